/* SPDX-License-Identifier: Apache-2.0
 *
 * Linked access: who writes what names a certificate needs Microsoft.ApiManagement/service/
 * certificates/use/action on it, when the configuration asks for that. An expression that may give
 * any certificate needs it on all of them: at the service, or the workspace.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"

#define USE_ACTION "Microsoft.ApiManagement/service/certificates/use/action"

static bool is_certificate(const struct arm_call *call, const char *id)
{
    size_t len = strlen(call->scope_id);

    return strncasecmp(id, call->scope_id, len) == 0 &&
           strncasecmp(id + len, "/certificates/", strlen("/certificates/")) == 0;
}

static bool refuse(struct arm_call *call, const char *action, const char *id)
{
    const struct pn_principal *principal = &call->principal;

    arm_answer_error(call, 403, "LinkedAuthorizationFailed",
                     "The client '%s' with object id '%s' has permission to perform action "
                     "'%s/write' on scope '%s'; however, it does not have permission to perform "
                     "action '%s' on the linked scope(s) '%s' or the linked scope(s) "
                     "are invalid.",
                     principal->app_id[0] ? principal->app_id : principal->object_id,
                     principal->object_id, arm_scoped_action(call, call->route->action), call->id,
                     action, id);
    return false;
}

bool arm_check_linked_access(struct arm_call *call, const char *const *references)
{
    const struct pn_arm_services *services = &call->arm->config.services;

    const char *action = arm_scoped_action(call, USE_ACTION);
    const char *any;

    if (!call->arm->config.checks_linked_access)
        return true;
    if (!action) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    any = arm_dynamic_any(call->arena, call->scope_id, ARM_CERTIFICATES);
    if (!any) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    for (; *references; references++) {
        const char *needed = strcasecmp(*references, any) == 0 ? call->scope_id : *references;
        struct pn_error err = {0};

        if ((needed == *references && !is_certificate(call, needed)) ||
            services->authorize(services->ctx, &call->principal, action, needed, &err) == PN_OK)
            continue;
        if (err.rc == PN_DENIED)
            return refuse(call, action, needed);
        arm_answer_failure(call, &err);
        return false;
    }
    return true;
}
