/* SPDX-License-Identifier: Apache-2.0
 *
 * forward-request follow-redirects="true" (RFC 9110 §15.4): the gateway asks where the backend's
 * answer says, instead of the client, as often as the limit redirects lets it.
 *
 * Identity: within one origin (scheme, host, port) the next request goes as the first one did. To
 * another origin nothing goes that is meant for this one: a request that carries a client
 * certificate (or several to choose from), credentials or the proxy of a backend entity is not
 * redirected there, and what the client sent to prove itself is taken out. From https to http no
 * redirect is followed. What is not followed is the answer, as it came.
 */
#include "base/log.h"
#include "gateway/call.h"
#include "http/uri.h"

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool has_scheme(struct pn_slice reference)
{
    size_t colon = pn_slice_find(reference, ':');

    return colon < reference.len && colon < pn_slice_find(reference, '/') &&
           colon < pn_slice_find(reference, '?');
}

/** The path of a request target, up to its last slash. */
static struct pn_slice folder_of(struct pn_slice target)
{
    size_t len = pn_slice_find(target, '?');

    while (len > 0 && target.ptr[len - 1] != '/')
        len--;
    return pn_slice(target.ptr, len);
}

/** The absolute URL that `reference` means (RFC 3986 §5.2), but for its dot segments. "": no
 *  memory. */
static struct pn_slice resolve(struct pn_call *call, struct pn_slice reference)
{
    const struct pn_exchange_spec *spec = &call->exchange.spec;
    const struct pn_target *from = spec->demand.target;
    const char *scheme = from->is_tls ? "https" : "http";
    struct pn_slice at = spec->request_target;
    struct pn_slice before = pn_slice("", 0);
    const char *text;

    reference = pn_slice_sub(reference, 0, pn_slice_find(reference, '#'));
    if (has_scheme(reference))
        return reference;
    if (pn_slice_starts_with(reference, PN_LIT("//"))) {
        text = pn_arena_printf(call->arena, "%s:%.*s", scheme, PN_FMT(reference));
        return text ? pn_slice_str(text) : before;
    }
    if (reference.len > 0 && reference.ptr[0] == '?')
        before = pn_slice(at.ptr, pn_slice_find(at, '?'));
    else if (reference.len == 0 || reference.ptr[0] != '/')
        before = folder_of(at);
    text = pn_arena_printf(call->arena, "%s://%.*s%.*s%.*s", scheme, PN_FMT(from->authority),
                           PN_FMT(before), PN_FMT(reference));
    return text ? pn_slice_str(text) : pn_slice("", 0);
}

static bool is_same_origin(const struct pn_target *a, const struct pn_target *b)
{
    return a->is_tls == b->is_tls && a->port == b->port && pn_slice_case_eq(a->host, b->host);
}

/** Something that is meant for this origin alone. */
static bool has_credentials(const struct pn_call *call)
{
    const struct pn_backend *backend = call->backend;
    const struct pn_tls_client *tls = call->exchange.spec.demand.tls;
    size_t certificates = 0;

    if (tls)
        (void)pn_tls_client_certificates(tls, &certificates);
    return certificates > 0 || (backend && backend->proxy) ||
           (backend && (backend->authorization_scheme || json_object_size(backend->headers) > 0 ||
                        json_object_size(backend->query) > 0));
}

/** NULL: it may be followed. */
static const char *why_not(const struct pn_call *call, const struct pn_target *to)
{
    const struct pn_target *from = call->exchange.spec.demand.target;

    if (from->is_tls && !to->is_tls)
        return "from https to http";
    if (!is_same_origin(from, to) && has_credentials(call))
        return "to another origin than the certificate or the credentials are for";
    return NULL;
}

/** 303, and by custom POST with 301 and 302, go on with GET and without a body (§15.4.2). */
static bool becomes_get(const struct pn_call *call, int status)
{
    struct pn_slice method = call->exchange.spec.method;

    if (pn_slice_eq_str(method, "HEAD"))
        return false;
    return status == 303 || (status < 303 && pn_slice_eq_str(method, "POST"));
}

static void remove_all(struct pn_headers *headers, const char *const *names)
{
    for (; *names; names++)
        (void)pn_headers_remove(headers, pn_slice_str(*names));
}

static void make_get(struct pn_call *call, struct pn_exchange_spec *spec)
{
    static const char *const of_body[] = {
        "Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
        "Content-MD5",  "Digest",           "Content-Digest",   NULL};

    remove_all(&call->context.request_headers, of_body);
    spec->method = PN_LIT("GET");
    spec->framing = PN_BODY_NONE;
    spec->content_length = 0;
    spec->expects_continue = false;
    spec->upgrade = pn_slice(NULL, 0);
    pn_source_init_memory(&call->own_body, pn_slice("", 0));
    spec->request_body = &call->own_body;
}

/** To another origin: without what was meant for this one, and with nothing of its entity. */
static void leave_origin(struct pn_call *call)
{
    static const char *const of_origin[] = {"Authorization", "Cookie", "Ocp-Apim-Subscription-Key",
                                            NULL};

    remove_all(&call->context.request_headers, of_origin);
    (void)pn_headers_remove(&call->context.request_headers, pn_slice_str(call->api->key_header));
    call->backend = NULL;
    call->pool = NULL;
}

/** The answer's body is read over if it is there already: then its connection is kept. */
static void end_exchange(struct pn_call *call)
{
    (void)pn_source_skip(call->exchange.answer);
    pn_exchange_finish(&call->exchange);
}

static bool find_target(struct pn_call *call, struct pn_target *to, struct pn_slice *request_target)
{
    const struct pn_response_head *response = &call->exchange.response;
    struct pn_slice location = pn_headers_get(&response->headers, "Location");
    struct pn_slice path;

    if (location.len == 0 || pn_headers_count(&response->headers, "Location") != 1 ||
        pn_target_parse(resolve(call, location), to, NULL) != PN_OK)
        return false;
    if (to->path.len > 0 && pn_path_normalise(to->path, call->arena, &path) != PN_OK)
        return false;
    if (to->path.len > 0)
        to->path = path;
    return pn_target_request(to, pn_slice("", 0), pn_slice("", 0), call->arena, request_target) ==
           PN_OK;
}

/** The redirect counts: is it one too many? Then the call has failed. */
static bool is_too_many(struct pn_call *call)
{
    static const struct pn_call_error error = {
        .status = 500,
        .code = "too_many_redirects",
        .source = "forward-request",
        .reason = "BackendConnectionFailure",
        .message = "The backend redirects too often.",
        .detail = "the backend redirects more often than the limit redirects"};

    if (call->redirects < pn_limit_value(PN_LIMIT_REDIRECTS)) {
        call->redirects++;
        return false;
    }
    pn_limit_hit(PN_LIMIT_REDIRECTS);
    pn_call_fail(call, &error);
    return true;
}

static void log_not_followed(const struct pn_call *call, const char *why)
{
    pn_log(PN_LOG_INFO, "redirect_not_followed", "api", PN_S(call->api->id), "cause", PN_S(why),
           NULL);
}

bool pn_call_follow_redirect(struct pn_call *call)
{
    int status = call->exchange.response.status;
    struct pn_exchange_spec spec = call->exchange.spec;
    struct pn_target to;
    const char *why = "its Location is no URL that can be asked";

    if (!is_redirect(status))
        return false;
    if (find_target(call, &to, &spec.request_target))
        why = why_not(call, &to);
    if (!why && !becomes_get(call, status) && !pn_exchange_can_repeat_body(&call->exchange))
        why = "the body is not kept: see request-replay-bytes and buffer-request-body";
    if (why) {
        log_not_followed(call, why);
        return false;
    }
    if (is_too_many(call))
        return true;
    if (!is_same_origin(spec.demand.target, &to))
        leave_origin(call);
    if (becomes_get(call, status))
        make_get(call, &spec);
    else
        pn_source_rewind(spec.request_body);
    end_exchange(call);
    call->redirect_target = to;
    pn_call_send(call, &spec, &call->redirect_target);
    return true;
}
