/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads and bodies that go. A body's bytes are copied once, from where its source holds them to
 * their place in the output behind the frame header that nghttp2 then writes: it is told that the
 * frame is sent without a copy of its own, and asks for a body only when the frame goes out at
 * once.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http/h1_internal.h"
#include "http/h2_internal.h"
#include "http/uri.h"

enum {
    FRAME_HEADER_BYTES = 9,
    FRAME_BYTES_MAX =
        16384,            /* of a payload, even if the peer takes more: the room of a TLS record */
    NV_STACK = 64,        /* fields of a head that need no memory of their own */
    CREDITS_PER_DATA = 2, /* WINDOW_UPDATE frames that a DATA frame of ours may bring: one for the
                             stream, one for the connection */
};

static bool has_room(const struct pn_h2 *h2)
{
    return h2->out_max - h2->out->len > FRAME_HEADER_BYTES;
}

/* ---- bodies ---- */

static ssize_t on_read_length(nghttp2_session *session, uint8_t type, int32_t id,
                              int32_t connection_window, int32_t stream_window,
                              uint32_t frame_bytes_max, void *user)
{
    struct pn_h2 *h2 = user;
    size_t room = 0;

    (void)session;
    (void)type;
    (void)id;
    (void)connection_window;
    (void)stream_window;
    assert(h2->out && has_room(h2));
    room = h2->out_max - h2->out->len - FRAME_HEADER_BYTES;
    if (room > FRAME_BYTES_MAX)
        room = FRAME_BYTES_MAX;
    return (ssize_t)(room < frame_bytes_max ? room : frame_bytes_max);
}

/* Copies up to `len` bytes to where the frame's payload will be. *copied: how many. PN_OK: full;
 * PN_AGAIN, PN_EOF: the source has no more now, or ever. */
static enum pn_rc pull(struct pn_h2 *h2, struct pn_source *body, size_t len, size_t *copied)
{
    bool has_read = false;

    *copied = 0;
    /* All of it at once: what lies behind the buffer's end would not survive its growing. */
    h2->out_rc = pn_buf_reserve(h2->out, FRAME_HEADER_BYTES + len);
    if (h2->out_rc != PN_OK)
        return h2->out_rc;
    while (*copied < len) {
        enum pn_rc rc = pn_source_peek(body);
        size_t part = 0;

        if (rc == PN_AGAIN && *copied == 0 && !has_read) {
            has_read = true;
            rc = pn_source_read(body);
            if (rc == PN_OK)
                continue;
        }
        if (rc != PN_OK)
            return rc;
        part = body->held.len < len - *copied ? body->held.len : len - *copied;
        memcpy(h2->out->ptr + h2->out->len + FRAME_HEADER_BYTES + *copied, body->held.ptr, part);
        *copied += part;
        pn_source_use(body, part);
    }
    return pn_source_is_done(body) ? PN_EOF : PN_OK;
}

static size_t put_fields(nghttp2_nv *nva, const struct pn_headers *headers, bool is_request,
                         enum pn_rc *rc);

/* The trailers go behind the body. */
static enum pn_rc submit_trailers(struct pn_h2 *h2, struct h2_stream *stream,
                                  const struct pn_headers *trailers, uint32_t *flags)
{
    nghttp2_nv stack[NV_STACK];
    nghttp2_nv *nva = stack;
    enum pn_rc rc = PN_OK;
    size_t count = 0;

    if (trailers->count > NV_STACK)
        nva = pn_h2_alloc(h2->memory, trailers->count * sizeof(*nva));
    if (!nva)
        return PN_NOMEM;
    count = put_fields(nva, trailers, true, &rc);
    if (rc == PN_OK && count > 0) {
        if (nghttp2_submit_trailer(h2->session, stream->pub.id, nva, count) != 0)
            rc = PN_NOMEM;
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    if (nva != stack)
        pn_h2_free(nva);
    return rc;
}

static ssize_t source_failed(struct h2_stream *stream, enum pn_rc rc)
{
    stream->source_rc = rc;
    stream->body = NULL;
    pn_h2_stream_tell(stream, H2_TELL_SOURCE_FAILED);
    return NGHTTP2_ERR_DEFERRED;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = source->ptr;
    struct pn_source *body = stream->body;
    size_t copied = 0;
    enum pn_rc rc = PN_OK;

    (void)session;
    (void)id;
    (void)buf;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!body) /* reset by its owner, or failed */
        return NGHTTP2_ERR_DEFERRED;
    rc = pull(h2, body, len, &copied);
    if (h2->out_rc != PN_OK)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (rc == PN_EOF) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (body->trailers && body->trailers->count > 0)
            rc = submit_trailers(h2, stream, body->trailers, flags);
        if (rc == PN_NOMEM) {
            h2->out_rc = rc;
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        stream->body = NULL;
    } else if (copied == 0 && rc == PN_AGAIN) {
        stream->is_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    } else if (copied == 0) {
        return source_failed(stream, rc);
    }
    return (ssize_t)copied;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t len, nghttp2_data_source *source, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = source->ptr;

    (void)session;
    (void)frame;
    memcpy(h2->out->ptr + h2->out->len, header, FRAME_HEADER_BYTES);
    h2->out->len += FRAME_HEADER_BYTES + len;
    stream->sent_bytes += len;
    for (int i = 0; i < CREDITS_PER_DATA; i++)
        pn_h2_bucket_give(&h2->floods[H2_WINDOW_UPDATES]);
    return has_room(h2) ? 0 : NGHTTP2_ERR_PAUSE;
}

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

    if (frame->hd.type == NGHTTP2_GOAWAY) {
        on_goaway_sent(h2, &frame->goaway);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        stream->is_request_sent = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        on_end_sent(h2, stream);
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
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
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

/* Pseudo-headers: the name is a literal. */
static nghttp2_nv pseudo(struct pn_slice name, struct pn_slice value)
{
    return nv_of(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

/* What belongs to a connection of HTTP/1.1, or is written as a pseudo-header. */
static bool is_left_out(struct pn_slice name, bool is_request)
{
    switch (name.len) {
    case 2:
        return pn_slice_case_eq_str(name, "te");
    case 4:
        return is_request && pn_slice_case_eq_str(name, "host");
    case 7:
        return pn_slice_case_eq_str(name, "upgrade");
    case 10:
        return pn_slice_case_eq_str(name, "connection") || pn_slice_case_eq_str(name, "keep-alive");
    case 16:
        return pn_slice_case_eq_str(name, "proxy-connection");
    case 17:
        return pn_slice_case_eq_str(name, "transfer-encoding");
    default:
        return false;
    }
}

/* Appends the fields. PN_MALFORMED: one is not valid. Names are turned into lower case by nghttp2,
 * which copies both. */
static size_t put_fields(nghttp2_nv *nva, const struct pn_headers *headers, bool is_request,
                         enum pn_rc *rc)
{
    size_t count = 0;

    for (size_t i = 0; i < headers->count; i++) {
        const struct pn_header *field = &headers->items[i];

        if (!pn_header_name_is_valid(field->name) || !pn_header_value_is_valid(field->value)) {
            *rc = PN_MALFORMED;
            return 0;
        }
        if (is_left_out(field->name, is_request))
            continue;
        nva[count] = nv_of(field->name, field->value, NGHTTP2_NV_FLAG_NONE);
        count++;
    }
    return count;
}

/* Room for the fields and a few pseudo-headers. */
static nghttp2_nv *nv_room(struct pn_h2 *h2, nghttp2_nv *stack, const struct pn_headers *headers)
{
    size_t count = (headers ? headers->count : 0) + 6;

    return count <= NV_STACK ? stack : pn_h2_alloc(h2->memory, count * sizeof(*stack));
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
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = on_read_body};
    nghttp2_nv stack[NV_STACK];
    nghttp2_nv *nva = nv_room(h2, stack, headers);
    char digits[4];
    enum pn_rc rc = PN_OK;
    size_t count = 1;
    int code = 0;

    if (!nva)
        return PN_NOMEM;
    (void)snprintf(digits, sizeof(digits), "%d", status);
    nva[0] = pseudo(PN_LIT(":status"), pn_slice_str(digits));
    if (headers)
        count += put_fields(nva + 1, headers, false, &rc);
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
    for (size_t i = 0; i < path.len; i++) {
        if (!pn_h1_is_target_byte((unsigned char)path.ptr[i]))
            return false;
    }
    if (pn_slice_eq_str(path, "*"))
        return pn_slice_eq_str(method, "OPTIONS");
    return path.len > 0 && path.ptr[0] == '/';
}

static enum pn_rc check_request(const struct pn_h2 *h2, const struct pn_h2_request *request)
{
    struct pn_slice host;
    uint16_t port = 0;
    bool is_connect = pn_slice_eq_str(request->method, "CONNECT");

    if (!pn_header_name_is_valid(request->method) || is_connect != (request->protocol.len > 0) ||
        (is_connect && !pn_header_name_is_valid(request->protocol)) ||
        !pn_header_name_is_valid(request->scheme) ||
        pn_uri_parse_host(request->authority, &host, &port, NULL) != PN_OK ||
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

    nva[count++] = pseudo(PN_LIT(":method"), request->method);
    nva[count++] = pseudo(PN_LIT(":scheme"), request->scheme);
    nva[count++] = pseudo(PN_LIT(":authority"), request->authority);
    nva[count++] = pseudo(PN_LIT(":path"), request->path);
    if (request->protocol.len > 0)
        nva[count++] = pseudo(PN_LIT(":protocol"), request->protocol);
    return count;
}

enum pn_rc pn_h2_request(struct pn_h2 *h2, const struct pn_h2_request *request,
                         struct pn_h2_stream **result)
{
    nghttp2_data_provider provider = {.read_callback = on_read_body};
    nghttp2_nv stack[NV_STACK];
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
    count += put_fields(nva + count, request->headers, true, &rc);
    if (rc != PN_OK)
        goto out;
    if (request->sends_te_trailers)
        nva[count++] = nv_of(PN_LIT("te"), PN_LIT("trailers"), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    stream->pub.user = request->user;
    stream->pub.protocol = request->protocol;
    stream->is_head_request = pn_slice_eq_str(request->method, "HEAD");
    stream->body = is_empty(request->body) ? NULL : request->body;
    provider.source.ptr = stream;
    id = nghttp2_submit_request(h2->session, NULL, nva, count, stream->body ? &provider : NULL,
                                stream);
    rc = id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? PN_EOF : rc_of(id);
    if (rc != PN_OK)
        goto out;
    stream->pub.id = id;
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

    if (!stream->is_waiting || stream->is_closed || !stream->body)
        return;
    stream->is_waiting = false;
    if (nghttp2_session_resume_data(pub->h2->session, pub->id) == NGHTTP2_ERR_NOMEM)
        pn_h2_fail(pub->h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    pn_h2_ask(pub->h2);
}
