/* SPDX-License-Identifier: Apache-2.0
 *
 * Who calls (bearer token, RFC 6750), and may they do this.
 */
#include "arm/arm_internal.h"

#include <string.h>

#include "base/log.h"

/** 401 with its challenge. `description` is one of our texts: no quotes in it. */
static bool challenge(struct arm_call *call, const char *code, const char *description)
{
    const struct pn_arm_config *config = &call->arm->config;

    if (pn_response_header(call->response, "WWW-Authenticate",
                           "Bearer authorization_uri=\"%s/%s\", error=\"invalid_token\", "
                           "error_description=\"%s\"",
                           config->control_url, config->tenant_id, description) != PN_OK)
        pn_log(PN_LOG_WARN, "arm_header_dropped", "header", PN_S("WWW-Authenticate"), NULL);
    arm_answer_error(call, 401, code, "%s", description);
    return false;
}

static bool token_refused(struct arm_call *call, const struct pn_error *err)
{
    struct pn_token_refusal refusal = pn_token_refusal_of(err);

    if (err->rc != PN_DENIED) {
        arm_answer_failure(call, err);
        return false;
    }
    return challenge(call, refusal.arm_code, refusal.description);
}

bool arm_authenticate(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_slice header = pn_headers_get(&call->request->headers, "Authorization");
    struct pn_error err = {0};

    if (!header.ptr)
        return challenge(call, "AuthenticationFailed",
                         "Authentication failed. The 'Authorization' header is missing.");
    if (!pn_slice_case_starts_with(header, PN_LIT("Bearer ")))
        return challenge(call, "AuthenticationFailed",
                         "Authentication failed. The 'Authorization' header must hold a Bearer "
                         "token.");
    if (services->authenticate(services->ctx,
                               pn_slice_trim(pn_slice_sub(header, 7, header.len - 7)),
                               call->arm->config.audiences, &call->principal, &err) != PN_OK)
        return token_refused(call, &err);
    return true;
}

const char *arm_scoped_action(const struct arm_call *call, const char *action)
{
    static const char kind[] = "Microsoft.ApiManagement/service/";

    return call->workspace.len > 0 && strncmp(action, kind, sizeof(kind) - 1) == 0
               ? pn_arena_printf(call->arena, "%sworkspaces/%s", kind, action + sizeof(kind) - 1)
               : action;
}

static const char *action_of(const struct arm_call *call)
{
    const char *action = arm_scoped_action(call, call->route->action);
    const struct pn_slice method = call->request->method;
    const char *verb = "write";

    if (call->route->post || !action)
        return action;
    if (pn_slice_eq_str(method, "GET") || pn_slice_eq_str(method, "HEAD"))
        verb = "read";
    else if (pn_slice_eq_str(method, "DELETE"))
        verb = "delete";
    return pn_arena_printf(call->arena, "%s/%s", action, verb);
}

bool arm_authorize(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_error err = {0};
    const char *action = NULL;

    if (!call->route->action) /* lists that show only what the caller may see */
        return true;
    action = action_of(call);
    if (!action) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    if (services->authorize(services->ctx, &call->principal, action, call->id, &err) == PN_OK)
        return true;
    if (err.rc == PN_DENIED)
        arm_answer_error(call, 403, "AuthorizationFailed", "%s", err.message);
    else
        arm_answer_failure(call, &err);
    return false;
}
