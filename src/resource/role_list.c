/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of role assignments: at a scope, inherited from above, and (without atScope()) below it.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "resource/resource_internal.h"

#define WHERE "/providers/" PN_ROLE_ASSIGNMENT_TYPE "/"

struct filter {
    bool is_at_scope;          /* not what is below it */
    struct pn_slice principal; /* ptr NULL: anybody's */
    bool with_groups;          /* also those of the caller's groups, when he asks for himself */
};

static bool read_filter(struct pn_resource_call *call, struct filter *filter)
{
    struct pn_slice rest = pn_slice_trim(pn_request_query(call->request, "$filter"));

    *filter = (struct filter){0};
    while (rest.len > 0) {
        size_t at = pn_slice_find_slice(rest, PN_LIT(" and "));
        struct pn_slice term = pn_slice_trim(pn_slice_sub(rest, 0, at));

        rest = at < rest.len ? pn_slice_sub(rest, at + 5, rest.len) : (struct pn_slice){0};
        if (pn_slice_case_eq_str(term, "atScope()"))
            filter->is_at_scope = true;
        else if (resource_filter_value(term, "assignedTo(", ")", &filter->principal))
            filter->with_groups = true;
        else if (!resource_filter_value(term, "principalId eq", "", &filter->principal)) {
            pn_resource_error(call, 400, "BadRequestFormat",
                              "The filter is not understood: atScope(), principalId eq '…' and "
                              "assignedTo('…') are, joined by 'and'.");
            return false;
        }
    }
    return true;
}

static bool keeps(const struct pn_resource_call *call, const struct filter *filter,
                  const struct pn_store_item *item)
{
    struct pn_slice principal =
        pn_json_slice(json_object_get(item->body, "properties"), "principalId");

    if (!filter->principal.ptr || pn_slice_case_eq(filter->principal, principal))
        return true;
    return filter->with_groups &&
           pn_slice_case_eq_str(filter->principal, call->principal.object_id) &&
           pn_principal_has_id(&call->principal, principal);
}

json_t *resource_role_assignment_json(const struct pn_resource_call *call,
                                      const struct pn_store_item *item)
{
    json_t *properties = json_deep_copy(json_object_get(item->body, "properties"));
    const struct pn_role_definition *role =
        pn_role_find(pn_json_slice(properties, "roleDefinitionId"));
    const char *slash = strrchr(item->id, '/');
    bool failed = !properties;

    /* Stored at the root by the first start; Azure shows it below the subscription. */
    failed =
        failed ||
        (role && json_object_set_new(properties, "roleDefinitionId",
                                     json_sprintf("/subscriptions/%s/providers/Microsoft."
                                                  "Authorization/roleDefinitions/%s",
                                                  call->plane->subscription_id, role->id)) != 0);
    static const char *const nullable[] = {"condition",
                                           "conditionVersion",
                                           "createdBy",
                                           "updatedBy",
                                           "delegatedManagedIdentityResourceId",
                                           "description",
                                           NULL};
    for (size_t i = 0; !failed && nullable[i]; i++) {
        if (!json_object_get(properties, nullable[i]))
            failed = json_object_set_new(properties, nullable[i], json_null()) != 0;
    }
    if (failed) {
        json_decref(properties);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "id", item->id, "name", slash + 1, "type",
                     PN_ROLE_ASSIGNMENT_TYPE, "properties", properties);
}

/* What is stored below `prefix`; with `only_at` not what has a longer scope. */
static enum pn_rc collect(const struct pn_resource_call *call, const char *prefix,
                          const struct filter *filter, json_t *value, struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = pn_store_list(call->plane->store, prefix, PN_ROLE_ASSIGNMENT_TYPE, &list, err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        if (keeps(call, filter, &list.items[i]) &&
            json_array_append_new(value, resource_role_assignment_json(call, &list.items[i])) != 0)
            rc = PN_NOMEM;
    }
    pn_store_list_fini(&list);
    return rc;
}

void resource_role_assignment_list(struct pn_resource_call *call, const struct resource_path *path)
{
    char prefix[PN_RESOURCE_ID_TEXT + sizeof WHERE];
    struct pn_slice at = pn_slice_str(path->scope);
    struct pn_error err = {0};
    struct filter filter;
    json_t *value;
    enum pn_rc rc;

    if (!read_filter(call, &filter))
        return;
    value = json_array();
    if (filter.is_at_scope) {
        snprintf(prefix, sizeof prefix, "%s" WHERE, path->scope);
        rc = collect(call, prefix, &filter, value, &err);
    } else { /* everything below, and what is at the scope itself */
        snprintf(prefix, sizeof prefix, "%s/", path->scope);
        rc = collect(call, prefix, &filter, value, &err);
    }
    while (rc == PN_OK && at.len > 0) {
        while (at.len > 0 && at.ptr[--at.len] != '/')
            ;
        snprintf(prefix, sizeof prefix, "%.*s" WHERE, PN_FMT(at));
        rc = collect(call, prefix, &filter, value, &err);
    }
    if (rc == PN_OK) {
        pn_resource_list(call, value);
    } else {
        json_decref(value);
        pn_resource_failure(call, rc, &err);
    }
}
