/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a request that takes no time: which API and operation, may the caller use it, and the
 * inbound policies.
 */
#include <string.h>

#include "base/log.h"
#include "gateway/call.h"
#include "http/uri.h"

#define RESOURCE_NOT_FOUND "Resource not found"
#define KEY_MISSING                                                                                \
    "Access denied due to missing subscription key. Make sure to include subscription key when "   \
    "making requests to an API."
#define KEY_INVALID                                                                                \
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an "      \
    "active subscription."

static void not_found(struct pn_call *call)
{
    static const struct pn_call_error error = {.status = 404,
                                               .source = "configuration",
                                               .reason = "OperationNotFound",
                                               .message = RESOURCE_NOT_FOUND};

    pn_call_fail(call, &error);
}

/** Better no answer of a backend than a late one for everybody. */
static void overloaded(struct pn_call *call)
{
    static const struct pn_call_error error = {.status = 503,
                                               .code = "overloaded",
                                               .source = "configuration",
                                               .reason = "Overloaded",
                                               .message = "Service unavailable",
                                               .retry_after_s = PN_OVERLOAD_RETRY_AFTER_S};

    pn_call_fail(call, &error);
}

static void unusable(struct pn_call *call, const char *detail)
{
    struct pn_call_error error = {.status = 500,
                                  .code = "configuration_unusable",
                                  .source = "configuration",
                                  .reason = "ConfigurationError",
                                  .message = "The configuration of this API cannot be used.",
                                  .detail = detail};

    pn_call_fail(call, &error);
}

/** For load balancers, where no API has taken the path. */
static bool answer_health(struct pn_call *call, struct pn_slice path)
{
    if (!pn_slice_eq_str(path, "/healthz") && !pn_slice_eq_str(path, "/readyz"))
        return false;
    if (!pn_slice_eq_str(call->request.method, "GET") &&
        !pn_slice_eq_str(call->request.method, "HEAD"))
        return false;
    if ((call->worker->is_leaving || call->worker->is_draining) && pn_slice_eq_str(path, "/readyz"))
        pn_call_answer_text(call, 503, "text/plain", PN_LIT("draining\n"));
    else
        pn_call_answer_text(call, 200, "text/plain", PN_LIT("ok\n"));
    return true;
}

/* --- subscription keys --- */

static struct pn_slice find_key(struct pn_call *call)
{
    struct pn_slice key = pn_headers_get(&call->request.headers, call->api->key_header);
    struct pn_slice decoded;

    if (key.ptr)
        return key;
    if (!pn_query_find(call->request.query, pn_slice_str(call->api->key_query), true, &key) ||
        pn_uri_decode(key, true, call->arena, &decoded) != PN_OK)
        return pn_slice(NULL, 0);
    return decoded;
}

/** A product's key, or no key for an API in an open one, makes the call one of that product. */
static bool check_key(struct pn_call *call)
{
    struct pn_call_error error = {.status = 401, .source = "authorization"};
    const struct pn_subscription *who = NULL;
    struct pn_slice key;

    if (!call->api->subscription_required && call->api->product_count == 0)
        return true;
    key = find_key(call);
    if (key.len > 0 && pn_snapshot_check_key(call->pin->snapshot, call->api, key, &who) == PN_OK) {
        call->subscription = who;
        call->subscription_key = key;
        if (who->is_of_product)
            call->product = pn_api_product(call->api, who->scope);
        return true;
    }
    call->product = call->api->open_product;
    if (call->product || !call->api->subscription_required)
        return true;
    error.reason = key.len > 0 ? "SubscriptionKeyInvalid" : "SubscriptionKeyNotFound";
    error.message = key.len > 0 ? KEY_INVALID : KEY_MISSING;
    error.www_authenticate = pn_arena_printf(
        call->arena, "AzureApiManagementKey realm=\"%s://%.*s/%s\",name=\"%s\",type=\"header\"",
        call->front->origin->is_tls ? "https" : "http", PN_FMT(call->request.host), call->api->path,
        call->api->key_header);
    pn_call_fail(call, &error);
    return false;
}

/** The program that has the product's policy in it. False: answered. */
static bool use_product(struct pn_call *call)
{
    const struct pn_policy_program *program =
        call->product->is_broken ? NULL : pn_api_program(call->api, call->operation, call->product);

    call->program = program;
    if (program)
        return true;
    unusable(call, call->product->is_broken ? "the product's policy cannot be used"
                                            : "the product's policy cannot be compiled");
    return false;
}

/* --- what policies see --- */

static enum pn_rc fill_context(struct pn_call *call, struct pn_slice rest)
{
    struct pn_policy_context *context = &call->context;

    context->find_token = pn_call_find_token;
    context->find_fact = pn_call_find_fact;
    context->host = call;
    context->method = call->request.method;
    context->path = rest.len > 0 ? rest : PN_LIT("/");
    context->query = call->request.query;
    call->accepts_trailers = pn_headers_may_have(&call->request.headers, PN_HEADER_TE) &&
                             pn_http_list_has(&call->request.headers, "TE", "trailers");
    context->request_headers = call->request.headers; /* from now on the policies' */
    pn_http_strip_hop_by_hop(&context->request_headers);
    context->template_parameters = call->match.parameters;
    context->template_parameter_count = call->match.parameter_count;
    context->template_query_names = call->match.query_names;
    context->template_query_name_count = call->match.query_name_count;
    return pn_forwarding_apply(&call->worker->spec.forwarding, call->front->origin,
                               call->request.host, &context->request_headers);
}

static void run_inbound(struct pn_call *call)
{
    struct pn_policy_run run;

    if (pn_policy_has_section(call->program, PN_SECTION_INBOUND)) {
        pn_policy_run_init(&run, call->program, PN_SECTION_INBOUND);
        switch (pn_policy_resume(&run, &call->context)) {
        case PN_POLICY_DONE:
            break;
        case PN_POLICY_RESPOND:
            call->context.has_response_body = true;
            pn_call_answer(call);
            return;
        case PN_POLICY_FORWARD:
        case PN_POLICY_FAIL:
            pn_call_fail_policy(call);
            return;
        }
    }
    pn_call_run_backend(call);
}

/** Without TLS or with it; and an API of type websocket takes handshakes and nothing else. */
static bool allows_scheme(const struct pn_call *call)
{
    if (call->api->is_websocket && !pn_slice_case_eq_str(call->front->upgrade, "websocket"))
        return false;
    return call->front->origin->is_tls ? call->api->allows_https : call->api->allows_http;
}

/* Whether a backend that reads the path otherwise than RFC 3986 (slashes decoded or merged, path
 * parameters cut) would take the request for one of another operation: its policies would not have
 * run. What it would take for no operation of ours at all goes on as the data that it is. */
static bool is_ambiguous(struct pn_call *call, struct pn_slice path)
{
    unsigned present = pn_path_readings(path);

    for (unsigned reading = 1; reading <= present; reading++) {
        struct pn_route_match match;
        const struct pn_api *api;
        struct pn_slice text, rest;

        if ((reading & ~present) != 0)
            continue;
        if (pn_path_read_as(path, reading, call->arena, &text) != PN_OK)
            return true;
        api = pn_snapshot_route(call->pin->snapshot, text, &rest);
        if (api && api->is_broken) /* nobody may call it, by whatever path */
            return true;
        if (api &&
            pn_route_tree_match(api->tree, call->arena, call->request.method, rest,
                                call->request.query, &match) == PN_OK &&
            match.operation != call->match.operation)
            return true;
    }
    return false;
}

void pn_call_route(struct pn_call *call)
{
    struct pn_slice path, rest;
    enum pn_rc rc = pn_path_normalise(call->request.path, call->arena, &path);

    if (rc != PN_OK) {
        pn_call_refuse(call, rc == PN_MALFORMED ? 400 : 500, "the path is not a valid URL path");
        return;
    }
    call->pin = pn_worker_pin(call->worker);
    call->api = pn_snapshot_route(call->pin->snapshot, path, &rest);
    if (!call->api) {
        if (!answer_health(call, path))
            not_found(call);
        return;
    }
    if (pn_worker_is_overloaded(call->worker)) {
        overloaded(call);
        return;
    }
    if (!allows_scheme(call)) {
        not_found(call);
        return;
    }
    if (call->api->is_broken) {
        unusable(call, call->api->broken_reason);
        return;
    }
    rc = pn_route_tree_match(call->api->tree, call->arena, call->request.method, rest,
                             call->request.query, &call->match);
    if (rc != PN_OK) {
        not_found(call);
        return;
    }
    if (is_ambiguous(call, path)) {
        pn_call_refuse(call, 400, "the path can be read as that of another operation");
        return;
    }
    call->operation = call->match.operation;
    if (call->operation->is_broken) {
        unusable(call, "the operation's policy cannot be used");
        return;
    }
    call->program = call->operation->program;
    if (!check_key(call))
        return;
    if (call->product && !use_product(call))
        return;
    if (fill_context(call, rest) != PN_OK) {
        unusable(call, "out of memory");
        return;
    }
    run_inbound(call);
}
