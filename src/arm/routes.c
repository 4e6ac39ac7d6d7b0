/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of addresses.
 */
#include "arm/arm_internal.h"

#include <string.h>

#define SUBSCRIPTION "subscriptions/*"
#define GROUP        SUBSCRIPTION "/resourceGroups/*"
#define PROVIDER     "/providers/Microsoft.ApiManagement"
#define SERVICE      GROUP PROVIDER "/service/*"
#define KIND         "Microsoft.ApiManagement/service"

#define SERVICE_NAMES 3 /* subscription, group, service */

static const struct arm_route routes[] = {
    {.pattern = "tenants", .get = arm_tenants},
    {.pattern = "subscriptions", .get = arm_subscriptions},
    {.pattern = SUBSCRIPTION,
     .type = PN_TYPE_SUBSCRIPTION,
     .action = "Microsoft.Resources/subscriptions",
     .get = arm_subscription_get},
    {.pattern = SUBSCRIPTION "/resources",
     .type = PN_TYPE_SUBSCRIPTION,
     .action = "Microsoft.Resources/subscriptions/resources",
     .get = arm_resources},
    {.pattern = SUBSCRIPTION "/resourceGroups",
     .type = PN_TYPE_RESOURCE_GROUP,
     .action = "Microsoft.Resources/subscriptions/resourceGroups",
     .get = arm_groups},
    {.pattern = GROUP,
     .type = PN_TYPE_RESOURCE_GROUP,
     .action = "Microsoft.Resources/subscriptions/resourceGroups",
     .get = arm_group_get,
     .put = arm_group_put},
    {.pattern = SUBSCRIPTION PROVIDER "/checkNameAvailability",
     .type = PN_TYPE_SERVICE,
     .action = "Microsoft.ApiManagement/checkNameAvailability/action",
     .post = arm_check_name},
    {.pattern = SUBSCRIPTION PROVIDER "/service",
     .type = PN_TYPE_SERVICE,
     .action = KIND,
     .get = arm_services_list},
    {.pattern = GROUP PROVIDER "/service",
     .type = PN_TYPE_SERVICE,
     .action = KIND,
     .get = arm_services_list},
    {.pattern = SERVICE,
     .type = PN_TYPE_SERVICE,
     .action = KIND,
     .get = arm_service_get,
     .put = arm_service_put,
     .patch = arm_service_patch},
    {.pattern = SERVICE "/networkstatus",
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/networkStatus",
     .get = arm_network_status},
    {.pattern = SERVICE "/locations/*/networkstatus",
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/networkStatus",
     .get = arm_network_status_at},
    {.pattern = SERVICE "/workspaces",
     .type = PN_TYPE_WORKSPACE,
     .action = KIND "/workspaces",
     .get = arm_workspaces},
    {.pattern = SERVICE "/workspaces/*",
     .type = PN_TYPE_WORKSPACE,
     .action = KIND "/workspaces",
     .get = arm_workspace_get,
     .put = arm_workspace_put,
     .patch = arm_workspace_patch,
     .remove = arm_workspace_delete},
    {.pattern = SERVICE "/certificates",
     .in_workspace = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates",
     .get = arm_certificates},
    {.pattern = SERVICE "/certificates/*",
     .in_workspace = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates",
     .get = arm_certificate_get,
     .put = arm_certificate_put,
     .remove = arm_certificate_delete},
    {.pattern = SERVICE "/certificates/*/refreshSecret",
     .in_workspace = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates/refreshSecret/action",
     .post = arm_certificate_refresh},
    {.pattern = SERVICE "/certificates/*/generations",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates",
     .get = arm_generations},
    {.pattern = SERVICE "/certificates/*/generations/*/promote",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates/generations/promote/action",
     .post = arm_generation_promote},
    {.pattern = SERVICE "/certificates/*/usage",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates",
     .get = arm_certificate_usage},
    {.pattern = SERVICE "/rotations",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_CERTIFICATE,
     .action = KIND "/certificates",
     .get = arm_rotations},
    {.pattern = SERVICE "/audit",
     .is_extension = true,
     .type = PN_TYPE_SERVICE,
     .action = KIND "/audit",
     .get = arm_audit},
    {.pattern = SERVICE "/audit/verify",
     .is_extension = true,
     .type = PN_TYPE_SERVICE,
     .action = KIND "/audit/verify/action",
     .post = arm_audit_verify},
    {.pattern = SERVICE "/events",
     .is_extension = true,
     .type = PN_TYPE_SERVICE,
     .action = KIND "/events",
     .get = arm_events},
    {.pattern = SERVICE "/checkCertificate",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_SERVICE,
     .action = KIND "/certificates/check/action",
     .post = arm_certificate_check},
    {.pattern = SERVICE "/backends",
     .in_workspace = true,
     .type = PN_TYPE_BACKEND,
     .action = KIND "/backends",
     .get = arm_backends},
    {.pattern = SERVICE "/backends/*",
     .in_workspace = true,
     .type = PN_TYPE_BACKEND,
     .action = KIND "/backends",
     .get = arm_backend_get,
     .put = arm_backend_put,
     .patch = arm_backend_patch,
     .remove = arm_delete},
    {.pattern = SERVICE "/backends/*/reconnect",
     .in_workspace = true,
     .type = PN_TYPE_BACKEND,
     .action = KIND "/backends/reconnect/action",
     .post = arm_backend_reconnect},
    {.pattern = SERVICE "/backends/*/probe",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_BACKEND,
     .action = KIND "/backends/probe/action",
     .post = arm_backend_probe},
    {.pattern = SERVICE "/backends/*/lastFailure",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_BACKEND,
     .action = KIND "/backends",
     .get = arm_backend_last_failure},
    {.pattern = SERVICE "/namedValues",
     .in_workspace = true,
     .type = PN_TYPE_NAMED_VALUE,
     .action = KIND "/namedValues",
     .get = arm_named_values},
    {.pattern = SERVICE "/namedValues/*",
     .in_workspace = true,
     .type = PN_TYPE_NAMED_VALUE,
     .action = KIND "/namedValues",
     .get = arm_named_value_get,
     .put = arm_named_value_put,
     .patch = arm_named_value_patch,
     .remove = arm_named_value_delete},
    {.pattern = SERVICE "/namedValues/*/listValue",
     .in_workspace = true,
     .type = PN_TYPE_NAMED_VALUE,
     .action = KIND "/namedValues/listValue/action",
     .post = arm_named_value_secret},
    {.pattern = SERVICE "/namedValues/*/refreshSecret",
     .in_workspace = true,
     .type = PN_TYPE_NAMED_VALUE,
     .action = KIND "/namedValues/refreshSecret/action",
     .post = arm_named_value_refresh},
    {.pattern = SERVICE "/policyFragments",
     .in_workspace = true,
     .type = PN_TYPE_FRAGMENT,
     .action = KIND "/policyFragments",
     .get = arm_fragments},
    {.pattern = SERVICE "/policyFragments/*",
     .in_workspace = true,
     .type = PN_TYPE_FRAGMENT,
     .action = KIND "/policyFragments",
     .get = arm_fragment_get,
     .put = arm_fragment_put,
     .remove = arm_fragment_delete},
    {.pattern = SERVICE "/policyFragments/*/listReferences",
     .in_workspace = true,
     .type = PN_TYPE_FRAGMENT,
     .action = KIND "/policyFragments/listReferences/action",
     .post = arm_fragment_references},
    {.pattern = SERVICE "/apis",
     .in_workspace = true,
     .type = PN_TYPE_API,
     .action = KIND "/apis",
     .get = arm_apis},
    {.pattern = SERVICE "/apis/*",
     .in_workspace = true,
     .type = PN_TYPE_API,
     .action = KIND "/apis",
     .get = arm_api_get,
     .put = arm_api_put,
     .patch = arm_api_patch,
     .remove = arm_api_delete},
    {.pattern = SERVICE "/apis/*/lastFailure",
     .in_workspace = true,
     .is_extension = true,
     .type = PN_TYPE_API,
     .action = KIND "/apis",
     .get = arm_api_last_failure},
    {.pattern = SERVICE "/apis/*/test",
     .in_workspace = true,
     .type = PN_TYPE_API,
     .action = KIND "/apis/test/action",
     .post = arm_api_test},
    {.pattern = SERVICE "/apis/*/operations",
     .in_workspace = true,
     .type = PN_TYPE_OPERATION,
     .action = KIND "/apis/operations",
     .get = arm_operations},
    {.pattern = SERVICE "/apis/*/operations/*",
     .in_workspace = true,
     .type = PN_TYPE_OPERATION,
     .action = KIND "/apis/operations",
     .get = arm_operation_get,
     .put = arm_operation_put,
     .patch = arm_operation_patch,
     .remove = arm_operation_delete},
    {.pattern = SERVICE "/policies",
     .in_workspace = true,
     .type = PN_TYPE_POLICY,
     .action = KIND "/policies",
     .get = arm_policies},
    {.pattern = SERVICE "/policies/*",
     .in_workspace = true,
     .type = PN_TYPE_POLICY,
     .action = KIND "/policies",
     .get = arm_policy_get,
     .put = arm_policy_put,
     .remove = arm_policy_delete},
    {.pattern = SERVICE "/apis/*/policies",
     .in_workspace = true,
     .type = PN_TYPE_API_POLICY,
     .action = KIND "/apis/policies",
     .get = arm_policies},
    {.pattern = SERVICE "/apis/*/policies/*",
     .in_workspace = true,
     .type = PN_TYPE_API_POLICY,
     .action = KIND "/apis/policies",
     .get = arm_policy_get,
     .put = arm_policy_put,
     .remove = arm_policy_delete},
    {.pattern = SERVICE "/apis/*/operations/*/policies",
     .in_workspace = true,
     .type = PN_TYPE_OPERATION_POLICY,
     .action = KIND "/apis/operations/policies",
     .get = arm_policies},
    {.pattern = SERVICE "/apis/*/operations/*/policies/*",
     .in_workspace = true,
     .type = PN_TYPE_OPERATION_POLICY,
     .action = KIND "/apis/operations/policies",
     .get = arm_policy_get,
     .put = arm_policy_put,
     .remove = arm_policy_delete},
    {.pattern = SERVICE "/apis/*/products",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT,
     .action = KIND "/apis/products",
     .get = arm_api_products},
    {.pattern = SERVICE "/products",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT,
     .action = KIND "/products",
     .get = arm_products},
    {.pattern = SERVICE "/products/*",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT,
     .action = KIND "/products",
     .get = arm_product_get,
     .put = arm_product_put,
     .patch = arm_product_patch,
     .remove = arm_product_delete},
    {.pattern = SERVICE "/products/*/apis",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT_API,
     .action = KIND "/products/apis",
     .get = arm_product_apis},
    {.pattern = SERVICE "/products/*/apis/*",
     .in_workspace = true,
     .is_association = true,
     .type = PN_TYPE_PRODUCT_API,
     .action = KIND "/products/apis",
     .get = arm_product_api_get,
     .put = arm_product_api_put,
     .remove = arm_product_api_delete},
    {.pattern = SERVICE "/products/*/apiLinks",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT_API,
     .action = KIND "/products/apiLinks",
     .get = arm_product_links},
    {.pattern = SERVICE "/products/*/apiLinks/*",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT_API,
     .action = KIND "/products/apiLinks",
     .get = arm_product_link_get,
     .put = arm_product_link_put,
     .remove = arm_product_link_delete},
    {.pattern = SERVICE "/products/*/policies",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT_POLICY,
     .action = KIND "/products/policies",
     .get = arm_policies},
    {.pattern = SERVICE "/products/*/policies/*",
     .in_workspace = true,
     .type = PN_TYPE_PRODUCT_POLICY,
     .action = KIND "/products/policies",
     .get = arm_policy_get,
     .put = arm_policy_put,
     .remove = arm_policy_delete},
    {.pattern = SERVICE "/products/*/subscriptions",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/products/subscriptions",
     .get = arm_product_accesses},
    {.pattern = SERVICE "/subscriptions",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/subscriptions",
     .get = arm_accesses},
    {.pattern = SERVICE "/subscriptions/*",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/subscriptions",
     .get = arm_access_get,
     .put = arm_access_put,
     .patch = arm_access_patch,
     .remove = arm_access_delete},
    {.pattern = SERVICE "/subscriptions/*/listSecrets",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/subscriptions/listSecrets/action",
     .post = arm_access_secrets},
    {.pattern = SERVICE "/subscriptions/*/regeneratePrimaryKey",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/subscriptions/regeneratePrimaryKey/action",
     .post = arm_access_new_primary},
    {.pattern = SERVICE "/subscriptions/*/regenerateSecondaryKey",
     .in_workspace = true,
     .type = PN_TYPE_ACCESS,
     .action = KIND "/subscriptions/regenerateSecondaryKey/action",
     .post = arm_access_new_secondary},
};

/** Compares one pattern; fills call->names on the way. */
static bool matches(struct arm_call *call, const char *pattern, const struct pn_slice *segments,
                    size_t count)
{
    struct pn_slice rest = pn_slice_str(pattern);
    struct pn_slice fixed = {0};
    size_t at = 0;

    call->name_count = 0;
    while (pn_slice_cut(&rest, '/', &fixed)) {
        if (at == count)
            return false;
        if (pn_slice_eq_str(fixed, "*")) {
            if (call->name_count == ARM_NAMES_MAX)
                return false;
            call->names[call->name_count++] = segments[at];
        } else if (!pn_slice_case_eq(fixed, segments[at])) {
            return false;
        }
        at++;
    }
    return at == count;
}

#define WORKSPACE_AT    8 /* "…/service/{s}/workspaces/{w}/…" */
#define WORKSPACE_PARTS 2

/** Takes "workspaces/{w}" out of a path that goes on behind it. False: there is no such part. */
static bool cut_workspace(const struct pn_slice *segments, size_t count, struct pn_slice *rest)
{
    if (count <= WORKSPACE_AT + WORKSPACE_PARTS || count > PN_ID_SEGMENTS_MAX ||
        !pn_slice_case_eq_str(segments[WORKSPACE_AT], "workspaces"))
        return false;
    for (size_t i = 0; i < count; i++)
        if (i < WORKSPACE_AT || i >= WORKSPACE_AT + WORKSPACE_PARTS)
            rest[i < WORKSPACE_AT ? i : i - WORKSPACE_PARTS] = segments[i];
    return true;
}

bool arm_route_find(struct arm_call *call, const struct pn_slice *segments, size_t count)
{
    struct pn_slice rest[PN_ID_SEGMENTS_MAX];
    bool is_inside = cut_workspace(segments, count, rest);

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (is_inside ? !routes[i].in_workspace ||
                            !matches(call, routes[i].pattern, rest, count - WORKSPACE_PARTS)
                      : !matches(call, routes[i].pattern, segments, count))
            continue;
        call->workspace = is_inside ? segments[WORKSPACE_AT + 1] : pn_slice("", 0);
        call->route = &routes[i];
        call->is_collection = !pn_slice_ends_with(pn_slice_str(routes[i].pattern), PN_LIT("*"));
        return true;
    }
    return false;
}

enum pn_rc arm_route_id(struct arm_call *call)
{
    struct pn_slice rest = pn_slice_str(call->route->pattern);
    struct pn_slice fixed = {0};
    struct pn_slice pending = {0}; /* the fixed segments since the last name */
    struct pn_buf id;
    size_t names = 0;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&id, PN_ID_BYTES_MAX);
    while (rc == PN_OK && pn_slice_cut(&rest, '/', &fixed)) {
        if (!pn_slice_eq_str(fixed, "*")) {
            if (!pending.ptr)
                pending.ptr = fixed.ptr;
            pending.len = (size_t)(fixed.ptr + fixed.len - pending.ptr);
            continue;
        }
        rc = pn_buf_printf(&id, "/%.*s/%.*s", PN_FMT(pending), PN_FMT(call->names[names]));
        pending = (struct pn_slice){0};
        names++;
        if (rc == PN_OK && names == SERVICE_NAMES && call->workspace.len > 0)
            rc = pn_buf_printf(&id, "/workspaces/%.*s", PN_FMT(call->workspace));
    }
    if (rc == PN_OK) {
        call->id = pn_arena_strdup(call->arena, pn_buf_slice(&id));
        if (!call->id)
            rc = PN_NOMEM;
    }
    pn_buf_fini(&id);
    return rc;
}

arm_handler_fn arm_route_handler(const struct arm_call *call)
{
    static const struct {
        const char *method;
        size_t offset;
    } methods[] = {
        {"GET", offsetof(struct arm_route, get)},
        {"HEAD", offsetof(struct arm_route, get)},
        {"PUT", offsetof(struct arm_route, put)},
        {"PATCH", offsetof(struct arm_route, patch)},
        {"DELETE", offsetof(struct arm_route, remove)},
        {"POST", offsetof(struct arm_route, post)},
    };

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        arm_handler_fn handler = NULL;

        if (!pn_slice_eq_str(call->request->method, methods[i].method))
            continue;
        memcpy(&handler, (const char *)call->route + methods[i].offset, sizeof(handler));
        return handler;
    }
    return NULL;
}

const char *arm_route_allowed(const struct arm_call *call)
{
    const struct arm_route *route = call->route;

    if (route->post)
        return "POST";
    if (route->put && route->patch && route->remove)
        return "GET, HEAD, PUT, PATCH, DELETE";
    if (route->put && route->remove)
        return "GET, HEAD, PUT, DELETE";
    if (route->put && route->patch)
        return "GET, HEAD, PUT, PATCH";
    return route->put ? "GET, HEAD, PUT" : "GET, HEAD";
}
