/* SPDX-License-Identifier: Apache-2.0
 *
 * Role definitions: the built-in ones, which are the same at every scope; and what the caller may
 * do at a scope (Microsoft.Authorization/permissions).
 */
#include <stdio.h>
#include <string.h>

#include "resource/resource_internal.h"

#define TYPE "Microsoft.Authorization/roleDefinitions"

bool resource_filter_value(struct pn_slice term, const char *before, const char *after,
                           struct pn_slice *value)
{
    struct pn_slice text = pn_slice_trim(term);
    size_t quote = pn_slice_find(text, '\'');
    struct pn_slice head = pn_slice_trim(pn_slice_sub(text, 0, quote));
    struct pn_slice rest = pn_slice_sub(text, quote + 1, text.len);
    size_t end = pn_slice_find(rest, '\'');

    if (end == rest.len || !pn_slice_case_eq_str(head, before) ||
        !pn_slice_eq_str(pn_slice_trim(pn_slice_sub(rest, end + 1, rest.len)), after))
        return false;
    *value = pn_slice_sub(rest, 0, end);
    return true;
}

static json_t *pattern_list(const char *const *patterns)
{
    json_t *list = json_array();

    for (size_t i = 0; i < PN_ROLE_PATTERNS_MAX && patterns[i]; i++)
        json_array_append_new(list, json_string(patterns[i]));
    return list;
}

static json_t *permission_json(const struct pn_role_definition *role)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "actions", pattern_list(role->actions), "notActions",
                     pattern_list(role->not_actions), "dataActions",
                     pattern_list(role->data_actions), "notDataActions",
                     pattern_list(role->not_data_actions));
}

/* Azure shows the ids below the subscription that was asked, else at the root. */
static json_t *definition_json(const struct pn_resource_call *call,
                               const struct resource_path *path,
                               const struct pn_role_definition *role)
{
    json_t *id = path->scope_count > 0 ? json_sprintf("/subscriptions/%s/providers/" TYPE "/%s",
                                                      call->plane->subscription_id, role->id)
                                       : json_sprintf("/providers/" TYPE "/%s", role->id);

    return json_pack("{s:o, s:s, s:s, s:{s:s, s:s, s:s, s:[s], s:[o], s:s, s:s, s:n, s:n}}", "id",
                     id, "name", role->id, "type", TYPE, "properties", "roleName", role->name,
                     "type", "BuiltInRole", "description", role->description, "assignableScopes",
                     "/", "permissions", permission_json(role), "createdOn",
                     "2015-02-02T21:55:09.8806423Z", "updatedOn", "2024-01-01T00:00:00.0000000Z",
                     "createdBy", "updatedBy");
}

/* "roleName eq 'X'", "type eq 'BuiltInRole'", "atScopeAndBelow()", joined by "and". PN_INVALID. */
static enum pn_rc keeps(struct pn_slice filter, const struct pn_role_definition *role, bool *keep)
{
    struct pn_slice rest = filter, value;

    *keep = true;
    while (rest.len > 0) {
        size_t at = pn_slice_find_slice(rest, PN_LIT(" and "));
        struct pn_slice term = pn_slice_trim(pn_slice_sub(rest, 0, at));

        rest = at < rest.len ? pn_slice_sub(rest, at + 5, rest.len) : (struct pn_slice){0};
        if (resource_filter_value(term, "roleName eq", "", &value))
            *keep = *keep && pn_slice_case_eq_str(value, role->name);
        else if (resource_filter_value(term, "type eq", "", &value))
            *keep = *keep && (pn_slice_case_eq_str(value, "BuiltInRole"));
        else if (!pn_slice_case_eq_str(term, "atScopeAndBelow()") &&
                 !pn_slice_case_eq_str(term, "atScope()"))
            return PN_INVALID;
    }
    return PN_OK;
}

static void list(struct pn_resource_call *call, const struct resource_path *path)
{
    struct pn_slice filter = pn_slice_trim(pn_request_query(call->request, "$filter"));
    size_t count = 0;
    const struct pn_role_definition *roles = pn_roles(&count);
    json_t *value = json_array();

    for (size_t i = 0; i < count; i++) {
        bool keep = true;

        if (keeps(filter, &roles[i], &keep) != PN_OK) {
            json_decref(value);
            pn_resource_error(call, 400, "BadRequestFormat",
                              "The filter is not understood: roleName eq '…', type eq "
                              "'BuiltInRole' and atScopeAndBelow() are, joined by 'and'.");
            return;
        }
        if (keep)
            json_array_append_new(value, definition_json(call, path, &roles[i]));
    }
    pn_resource_list(call, value);
}

void resource_role_definitions(struct pn_resource_call *call, const struct resource_path *path)
{
    const struct pn_role_definition *role;

    if (path->rest_count > 2) {
        pn_resource_error(call, 404, "InvalidResourceType", "There is nothing below a role.");
        return;
    }
    if (!pn_resource_reads(call)) {
        if (pn_resource_is(call, "PUT") || pn_resource_is(call, "DELETE"))
            pn_resource_error(call, 400, "RoleDefinitionIsBuiltIn",
                              "This Postern has the built-in roles only; they can neither be "
                              "changed nor added to.");
        else
            pn_resource_wrong_method(call, "GET, HEAD");
        return;
    }
    /* At the root anybody may: what the built-in roles are is no secret. */
    if ((path->scope_count > 0 && !pn_resource_may(call, TYPE "/read", path->scope)) ||
        !resource_scope_exists(call, path))
        return;
    if (path->rest_count == 1) {
        list(call, path);
        return;
    }
    role = pn_role_find(path->rest[1]);
    if (role)
        pn_resource_json(call, 200, definition_json(call, path, role));
    else
        pn_resource_error(call, 404, "RoleDefinitionDoesNotExist",
                          "The specified role definition with ID '%.*s' does not exist.",
                          PN_FMT(pn_slice_sub(path->rest[1], 0, 64)));
}

/* What the portal asks before it shows a button. Anybody may ask about himself. */
void resource_permissions(struct pn_resource_call *call, const struct resource_path *path)
{
    struct pn_slice at = pn_slice_str(path->scope);
    struct pn_error err = {0};
    json_t *value;
    enum pn_rc rc = PN_OK;

    if (path->rest_count != 1 || !pn_resource_reads(call)) {
        pn_resource_wrong_method(call, "GET, HEAD");
        return;
    }
    value = json_array();
    for (bool more = true; more && rc == PN_OK;) {
        char prefix[PN_RESOURCE_ID_TEXT + 64];
        struct pn_store_list found = {0};

        snprintf(prefix, sizeof prefix, "%.*s/providers/" PN_ROLE_ASSIGNMENT_TYPE "/", PN_FMT(at));
        rc = pn_store_list(call->plane->store, prefix, PN_ROLE_ASSIGNMENT_TYPE, &found, &err);
        for (size_t i = 0; i < found.count; i++) {
            const json_t *properties = json_object_get(found.items[i].body, "properties");
            const struct pn_role_definition *role =
                pn_role_find(pn_json_slice(properties, "roleDefinitionId"));

            if (role &&
                pn_principal_has_id(&call->principal, pn_json_slice(properties, "principalId")))
                json_array_append_new(value, permission_json(role));
        }
        pn_store_list_fini(&found);
        more = at.len > 0;
        while (at.len > 0 && at.ptr[--at.len] != '/')
            ;
    }
    if (rc == PN_OK) {
        pn_resource_list(call, value);
    } else {
        json_decref(value);
        pn_resource_failure(call, rc, &err);
    }
}
