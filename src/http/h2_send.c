/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads that go: answers, requests, and what follows when frames have been sent.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http/h1_internal.h"
#include "http/h2_internal.h"

/* ---- what has been sent ---- */

static void on_end_sent(struct pn_h2 *h2, struct h2_stream *stream)
{
    stream->is_end_sent = true;
    stream->body = NULL;
    pn_h2_stream_tell(stream, H2_TELL_SENT);
    if (!h2->is_server)
        return;
    pn_h2_bucket_give(&h2->floods[H2_RESETS]);
    if (stream->is_reset || stream->pub.protocol.len > 0)
        return;
    if (stream->is_bad || !stream->is_end_received) { /* RFC 9113 §8.1 */
        stream->is_reset = true;
        if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->pub.id,
                                      stream->is_bad ? PN_H2_PROTOCOL_ERROR : PN_H2_NO_ERROR) != 0)
            pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    }
}

static void on_goaway_sent(struct pn_h2 *h2, const nghttp2_goaway *goaway)
{
    size_t len = goaway->opaque_data_len;

    if (goaway->error_code == PN_H2_NO_ERROR || h2->verdict != PN_OK)
        return;
    /* nghttp2 has found the peer at fault; its sentence says how. */
    h2->verdict = PN_MALFORMED;
    if (len == 0)
        (void)snprintf(h2->failure, sizeof(h2->failure), "%s",
                       nghttp2_http2_strerror(goaway->error_code));
    else
        (void)snprintf(h2->failure, sizeof(h2->failure), "%.*s",
                       (int)(len < sizeof(h2->failure) ? len : sizeof(h2->failure) - 1),
                       (const char *)goaway->opaque_data);
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = NULL;

    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        on_goaway_sent(h2, &frame->goaway);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        pn_h2_watch_reset(h2, frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    stream = pn_h2_stream_find(h2, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        stream->is_head_sent = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        on_end_sent(h2, stream);
    else if (frame->hd.type == NGHTTP2_HEADERS)
        (void)pn_h2_end_without_window(stream);
    return 0;
}

/* A head that cannot be sent: too big for nghttp2. Else the stream is closing anyway. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code,
                             void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = NULL;

    if (frame->hd.type != NGHTTP2_HEADERS || !h2->is_server || code == NGHTTP2_ERR_STREAM_CLOSED ||
        code == NGHTTP2_ERR_STREAM_CLOSING)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream)
        pn_h2_stream_fail(stream, PN_H2_INTERNAL_ERROR, PN_LIMIT, 500, "the head cannot be sent");
    return 0;
}

void pn_h2_send_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
}

/* ---- heads ---- */

static nghttp2_nv nv_of(struct pn_slice name, struct pn_slice value, uint8_t flags)
{
    /* nghttp2 copies and does not write, but is not told so by the type. */
    union {
        const char *from;
        uint8_t *to;
    } name_ptr = {.from = name.ptr}, value_ptr = {.from = value.ptr ? value.ptr : ""};

    return (nghttp2_nv){name_ptr.to, value_ptr.to, name.len, value.len, flags};
}

/* The name is a literal, in lower case. */
static nghttp2_nv named(struct pn_slice name, struct pn_slice value)
{
    return nv_of(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

/* What belongs to a connection of HTTP/1.1, or is written as a pseudo-header. */
static unsigned kinds_left_out(bool is_request)
{
    unsigned kinds = PN_H2_OF_CONNECTION | PN_HEADER_BIT(PN_HEADER_TE);

    return is_request ? kinds | PN_HEADER_BIT(PN_HEADER_HOST) : kinds;
}

/* nghttp2 copies, and turns names into lower case, but for names that last: a head may wait in it
 * when its stream, and the memory of its fields, are gone. */
static nghttp2_nv nv_of_field(const struct pn_header *field)
{
    const char *lasting = pn_header_lower_name(field);

    if (lasting)
        return named(pn_slice(lasting, field->name.len), field->value);
    return nv_of(field->name, field->value,
                 field->has_lasting_name ? NGHTTP2_NV_FLAG_NO_COPY_NAME : NGHTTP2_NV_FLAG_NONE);
}

/* Appends the fields. PN_MALFORMED: one is not valid. */
size_t pn_h2_put_fields(nghttp2_nv *nva, const struct pn_headers *headers, bool is_request,
                        enum pn_rc *rc)
{
    unsigned left_out = kinds_left_out(is_request);
    size_t count = 0;

    for (size_t i = 0; i < headers->count; i++) {
        const struct pn_header *field = &headers->items[i];

        if (!field->is_sound &&
            (!pn_header_name_is_valid(field->name) || !pn_header_value_is_valid(field->value))) {
            *rc = PN_MALFORMED;
            return 0;
        }
        if ((left_out & PN_HEADER_BIT(field->kind)) != 0)
            continue;
        nva[count] = nv_of_field(field);
        count++;
    }
    return count;
}

/* Room for the fields and a few pseudo-headers. */
static nghttp2_nv *nv_room(struct pn_h2 *h2, nghttp2_nv *stack, const struct pn_headers *headers)
{
    size_t count = (headers ? headers->count : 0) + 6;

    return count <= H2_NV_STACK ? stack : pn_h2_alloc(h2->memory, count * sizeof(*stack));
}

static enum pn_rc rc_of(int code)
{
    if (code >= 0)
        return PN_OK;
    return code == NGHTTP2_ERR_NOMEM ? PN_NOMEM : PN_INTERNAL;
}

/* Nothing at all, so that END_STREAM can go with the head. */
static bool is_empty(struct pn_source *body)
{
    if (!body)
        return true;
    if (body->trailers && body->trailers->count > 0)
        return false;
    return pn_source_is_done(body);
}

static enum pn_rc respond(struct h2_stream *stream, int status, const struct pn_headers *headers,
                          struct pn_source *body, bool is_final)
{
    struct pn_h2 *h2 = stream->pub.h2;
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = pn_h2_read_body};
    nghttp2_nv stack[H2_NV_STACK];
    nghttp2_nv *nva = nv_room(h2, stack, headers);
    char digits[3] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10)}; /* 100 to 599; printf is dearer than all else */
    enum pn_rc rc = PN_OK;
    size_t count = 1;
    int code = 0;

    if (!nva)
        return PN_NOMEM;
    nva[0] = named(PN_LIT(":status"), pn_slice(digits, sizeof(digits)));
    if (headers)
        count += pn_h2_put_fields(nva + 1, headers, false, &rc);
    if (rc != PN_OK)
        goto out;
    if (is_final) {
        bool has_body = !is_empty(body);

        stream->body = has_body ? body : NULL;
        code = nghttp2_submit_response(h2->session, stream->pub.id, nva, count,
                                       has_body ? &provider : NULL);
    } else {
        code = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, stream->pub.id, NULL, nva,
                                      count, NULL);
    }
    rc = rc_of(code);
    pn_h2_ask(h2);
out:
    if (nva != stack)
        pn_h2_free(nva);
    return rc;
}

enum pn_rc pn_h2_respond(struct pn_h2_stream *pub, int status, const struct pn_headers *headers,
                         struct pn_source *body)
{
    struct h2_stream *stream = pn_h2_stream_of(pub);
    enum pn_rc rc = PN_OK;

    assert(pub->h2->is_server && !stream->is_detached);
    if (status < 200 || status > 599)
        return PN_MALFORMED;
    if (stream->is_answered)
        return PN_INVALID;
    if (stream->is_closed || stream->is_reset)
        return PN_OK; /* on_closed() is on its way */
    rc = respond(stream, status, headers, body, true);
    stream->is_answered = rc == PN_OK;
    return rc;
}

enum pn_rc pn_h2_inform(struct pn_h2_stream *pub, int status, const struct pn_headers *headers)
{
    struct h2_stream *stream = pn_h2_stream_of(pub);

    assert(pub->h2->is_server && !stream->is_detached);
    if (status < 100 || status > 199 || status == 101)
        return PN_MALFORMED;
    if (stream->is_answered)
        return PN_INVALID;
    if (stream->is_closed || stream->is_reset)
        return PN_OK;
    return respond(stream, status, headers, NULL, false);
}

/* ---- requests ---- */

static bool is_target(struct pn_slice path, struct pn_slice method)
{
    if (!pn_h1_are_target_bytes(path))
        return false;
    if (pn_slice_eq_str(path, "*"))
        return pn_slice_eq_str(method, "OPTIONS");
    return path.len > 0 && path.ptr[0] == '/';
}

static enum pn_rc check_request(struct pn_h2 *h2, const struct pn_h2_request *request)
{
    bool is_connect = pn_slice_eq_str(request->method, "CONNECT");

    if (!pn_header_name_is_valid(request->method) || is_connect != (request->protocol.len > 0) ||
        (is_connect && !pn_header_name_is_valid(request->protocol)) ||
        !pn_header_name_is_valid(request->scheme) || !pn_h2_is_authority(h2, request->authority) ||
        !is_target(request->path, request->method))
        return PN_MALFORMED;
    if (pn_h2_is_shut_down(h2) || h2->verdict != PN_OK ||
        !nghttp2_session_check_request_allowed(h2->session))
        return PN_EOF;
    if (is_connect && !pn_h2_allows_connect(h2))
        return PN_UNSUPPORTED;
    return pn_h2_can_open(h2) > 0 ? PN_OK : PN_AGAIN;
}

static size_t put_pseudo(nghttp2_nv *nva, const struct pn_h2_request *request)
{
    size_t count = 0;

    nva[count++] = named(PN_LIT(":method"), request->method);
    nva[count++] = named(PN_LIT(":scheme"), request->scheme);
    nva[count++] = named(PN_LIT(":authority"), request->authority);
    nva[count++] = named(PN_LIT(":path"), request->path);
    if (request->protocol.len > 0)
        nva[count++] = named(PN_LIT(":protocol"), request->protocol);
    return count;
}

enum pn_rc pn_h2_request(struct pn_h2 *h2, const struct pn_h2_request *request,
                         struct pn_h2_stream **result)
{
    nghttp2_data_provider provider = {.read_callback = pn_h2_read_body};
    nghttp2_nv stack[H2_NV_STACK];
    nghttp2_nv *nva = NULL;
    struct h2_stream *stream = NULL;
    enum pn_rc rc = check_request(h2, request);
    size_t count = 0;
    int32_t id = 0;

    assert(!h2->is_server);
    if (rc != PN_OK)
        return rc;
    nva = nv_room(h2, stack, request->headers);
    stream = pn_h2_stream_create(h2, 0, request->arena);
    rc = nva && stream ? PN_OK : PN_NOMEM;
    if (rc != PN_OK)
        goto out;
    count = put_pseudo(nva, request);
    count += pn_h2_put_fields(nva + count, request->headers, true, &rc);
    if (rc != PN_OK)
        goto out;
    if (request->sends_te_trailers)
        nva[count++] = named(PN_LIT("te"), PN_LIT("trailers"));
    stream->pub.user = request->user;
    stream->pub.protocol = request->protocol;
    stream->is_head_request = pn_slice_eq_str(request->method, "HEAD");
    stream->drops_trailers = request->drops_trailers;
    stream->body = is_empty(request->body) ? NULL : request->body;
    provider.source.ptr = stream;
    id = nghttp2_submit_request(h2->session, NULL, nva, count, stream->body ? &provider : NULL,
                                stream);
    rc = id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? PN_EOF : rc_of(id);
    if (rc != PN_OK)
        goto out;
    stream->pub.id = id;
    pn_h2_watch_opened(h2, id);
    h2->capacity_told = pn_h2_can_open(h2);
    *result = &stream->pub;
    stream = NULL;
    pn_h2_ask(h2);
out:
    if (stream)
        pn_h2_stream_destroy(stream);
    if (nva != stack)
        pn_h2_free(nva);
    return rc;
}

void pn_h2_resume(struct pn_h2_stream *pub)
{
    struct h2_stream *stream = pn_h2_stream_of(pub);

    if (stream->is_closed || !stream->body || !stream->is_head_sent)
        return; /* nobody has asked for it yet */
    stream->is_dry = false;
    if (pn_h2_end_without_window(stream)) {
        pn_h2_ask(pub->h2);
        return;
    }
    if (!stream->is_waiting)
        return;
    stream->is_waiting = false;
    if (nghttp2_session_resume_data(pub->h2->session, pub->id) == NGHTTP2_ERR_NOMEM)
        pn_h2_fail(pub->h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    pn_h2_ask(pub->h2);
}
