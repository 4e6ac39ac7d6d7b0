/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests and answers as the handlers of the management plane see them.
 */
#include "http/message.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "http/uri.h"

struct pn_slice pn_request_query(const struct pn_request *request, const char *name)
{
    struct pn_slice raw = {NULL, 0};
    struct pn_slice value = {NULL, 0};

    if (!pn_query_find(request->query, pn_slice_str(name), true, &raw))
        return value;
    /* A broken escape: the raw text goes on, and the handler's check of the value refuses it. */
    if (pn_uri_decode(raw, true, request->arena, &value) != PN_OK)
        return raw;
    return value;
}

static enum pn_rc decode_segment(struct pn_slice raw, struct pn_arena *arena,
                                 struct pn_slice *segment)
{
    enum pn_rc rc = pn_uri_decode(raw, false, arena, segment);

    if (rc != PN_OK)
        return rc;
    if (memchr(segment->ptr, '\0', segment->len) || memchr(segment->ptr, '/', segment->len))
        return PN_MALFORMED;
    return PN_OK;
}

enum pn_rc pn_request_segments(const struct pn_request *request, struct pn_slice *segments,
                               size_t max, size_t *count)
{
    struct pn_slice rest = request->path;
    struct pn_slice part;

    *count = 0;
    while (pn_slice_cut(&rest, '/', &part)) {
        enum pn_rc rc = PN_OK;

        if (part.len == 0)
            continue;
        if (*count == max)
            return PN_LIMIT;
        rc = decode_segment(part, request->arena, &segments[*count]);
        if (rc != PN_OK)
            return rc;
        (*count)++;
    }
    return PN_OK;
}

void pn_response_init(struct pn_response *response, struct pn_arena *arena, size_t body_bytes_max)
{
    *response = (struct pn_response){.arena = arena, .status = 200};
    pn_headers_init(&response->headers, arena);
    pn_buf_init_secret(&response->body, body_bytes_max);
}

void pn_response_fini(struct pn_response *response)
{
    if (response)
        pn_buf_fini(&response->body);
}

enum pn_rc pn_response_header(struct pn_response *response, const char *name, const char *format,
                              ...)
{
    struct pn_slice value;
    va_list arguments;
    char *text = NULL;
    int len = 0;

    va_start(arguments, format);
    len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len < 0)
        return PN_NOMEM;
    text = pn_arena_alloc(response->arena, (size_t)len + 1);
    if (!text)
        return PN_NOMEM;
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)len + 1, format, arguments);
    va_end(arguments);
    value = pn_slice(text, (size_t)len);
    assert(pn_header_name_is_valid(pn_slice_str(name)) && pn_header_value_is_valid(value));
    return pn_headers_add_copy(&response->headers, pn_slice_str(name), value);
}

enum pn_rc pn_response_body(struct pn_response *response, int status, const char *content_type,
                            struct pn_slice body)
{
    response->status = status;
    pn_buf_clear(&response->body);
    pn_headers_remove(&response->headers, PN_LIT("Content-Type"));
    if (content_type) {
        enum pn_rc rc = pn_response_header(response, "Content-Type", "%s", content_type);

        if (rc != PN_OK)
            return rc;
    }
    return pn_buf_append_slice(&response->body, body);
}
