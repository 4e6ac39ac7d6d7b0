/* SPDX-License-Identifier: Apache-2.0
 *
 * forward-request buffer-request-body="true": the body is taken whole before a backend is chosen,
 * up to the limit request-buffer-bytes. A slow client then holds no connection to a backend, the
 * backend gets a Content-Length, and whatever is sent again has its body.
 */
#include "gateway/call.h"

static void refuse(struct pn_call *call, enum pn_rc rc)
{
    const struct pn_http_fault *fault = &call->replay.source.fault;

    if (rc == PN_IO || (rc != PN_LIMIT && !fault->cause)) {
        pn_call_abort(call);
    } else if (fault->cause) {
        pn_call_refuse(call, fault->status, fault->cause);
    } else {
        pn_limit_hit(PN_LIMIT_REQUEST_BUFFER);
        pn_call_refuse(call, 413, "the body is too large: the limit request-buffer-bytes");
    }
}

void pn_call_buffer(struct pn_call *call)
{
    enum pn_rc rc = pn_replay_fill(&call->replay);

    if (rc == PN_AGAIN) {
        pn_call_arm(call, PN_CLIENT_BODY_TIMEOUT_MS);
        return;
    }
    if (rc != PN_EOF) {
        refuse(call, rc);
        return;
    }
    call->state = PN_CALL_ROUTING;
    if (!call->body->trailers || call->body->trailers->count == 0) {
        call->request.framing = PN_BODY_LENGTH;
        call->request.content_length = call->replay.kept.len;
    }
    pn_call_buffered(call);
}

bool pn_call_begin_buffering(struct pn_call *call)
{
    uint64_t max = pn_limit_value(PN_LIMIT_REQUEST_BUFFER);
    const struct pn_request_head *request = &call->request;

    if (!call->run.forward.buffers_request_body || request->framing == PN_BODY_NONE ||
        call->front->upgrade.ptr)
        return false;
    pn_replay_init(&call->replay, call->body, (size_t)max);
    call->has_replay = true;
    call->state = PN_CALL_BUFFERING;
    if (request->framing == PN_BODY_LENGTH && request->content_length > max)
        refuse(call, PN_LIMIT);
    else {
        if (request->expects_continue && request->minor_version >= 1 && !call->body->has_ended)
            call->front->ops->inform(call->front, 100, pn_slice("", 0), NULL);
        pn_call_buffer(call);
    }
    return true;
}
