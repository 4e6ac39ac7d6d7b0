/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors and refusals of ours as gRPC clients understand them: 200, no body, and the status in the
 * head ("trailers-only"). Told as an HTTP status they would all be UNKNOWN or INTERNAL.
 */
#include <string.h>

#include "gateway/call.h"

/* The numbers are gRPC's. */
enum grpc_status {
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

static enum grpc_status status_of(const struct pn_call_error *error)
{
    const char *reason = error->reason ? error->reason : "";

    if (strcmp(reason, "Timeout") == 0)
        return GRPC_DEADLINE_EXCEEDED;
    if (strcmp(reason, "BackendConnectionFailure") == 0)
        return GRPC_UNAVAILABLE;
    switch (error->status) {
    case 408: /* a limit of ours; the call's own deadline is the client's business */
        return GRPC_DEADLINE_EXCEEDED;
    case 413:
    case 414:
    case 431:
        return GRPC_RESOURCE_EXHAUSTED;
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
        return GRPC_RESOURCE_EXHAUSTED;
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_INTERNAL;
    }
}

static bool has_grpc_type(const struct pn_call *call)
{
    struct pn_slice prefix = PN_LIT("application/grpc");
    struct pn_slice type = pn_headers_get(&call->request.headers, "Content-Type");

    return pn_slice_case_starts_with(type, prefix) &&
           (type.len == prefix.len || type.ptr[prefix.len] == '+' || type.ptr[prefix.len] == ';');
}

bool pn_call_is_grpc(const struct pn_call *call)
{
    return call->has_request && call->request.framing != PN_BODY_NONE && has_grpc_type(call);
}

/** Percent-encoded, as grpc-message wants it. NULL: no memory. */
static const char *encode(struct pn_arena *arena, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = strlen(text);
    char *out = pn_arena_alloc(arena, len * 3 + 1);
    size_t at = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x20 && c < 0x7F && c != '%') {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '%';
        out[at++] = hex[c >> 4];
        out[at++] = hex[c & 15];
    }
    out[at] = '\0';
    return out;
}

void pn_call_speak_grpc(struct pn_call *call, const struct pn_call_error *error)
{
    struct pn_policy_context *context = &call->context;
    struct pn_headers *headers = &context->response_headers;
    const char *number, *message;

    /* Of a head that was refused the fields are what was read of them. */
    if (context->status != error->status ||
        !(call->has_request ? pn_call_is_grpc(call) : has_grpc_type(call)))
        return;
    number = pn_arena_printf(call->arena, "%d", (int)status_of(error));
    message = error->status == 500 || !error->message ? "Internal server error" : error->message;
    message = encode(call->arena, message);
    (void)pn_headers_remove(headers, PN_LIT("Content-Type"));
    if (!number || !message ||
        pn_headers_add(headers, PN_LIT("Content-Type"), PN_LIT("application/grpc")) != PN_OK ||
        pn_headers_add(headers, PN_LIT("grpc-status"), pn_slice_str(number)) != PN_OK ||
        pn_headers_add(headers, PN_LIT("grpc-message"), pn_slice_str(message)) != PN_OK)
        return; /* the HTTP status says enough */
    context->status = 200;
    context->reason = pn_slice("", 0);
    context->response_body = pn_slice("", 0);
}
