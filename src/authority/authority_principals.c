/* SPDX-License-Identifier: Apache-2.0
 *
 * Microsoft Graph's `GET /msgraph/v1.0/servicePrincipals?$filter=…`, by which az finds the object
 * id of who is signed in (`keyvault create`) and of a client id (`keyvault set-policy --spn`). An
 * application, or a user-assigned identity. Everybody may look up himself, an owner of the
 * subscription everybody.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"

/* The client id that the filter asks for; ptr NULL: it is another kind of filter. */
static struct pn_slice wanted(struct pn_slice filter)
{
    static const char *const heads[] = {"servicePrincipalNames/any(c:c eq '", "appId eq '", NULL};
    static const char *const tails[] = {"')", "'"};

    filter = pn_slice_trim(filter);
    for (size_t i = 0; heads[i]; i++) {
        size_t head = strlen(heads[i]), tail = strlen(tails[i]);

        if (filter.len > head + tail && pn_slice_case_starts_with(filter, pn_slice_str(heads[i])) &&
            pn_slice_ends_with(filter, pn_slice_str(tails[i])))
            return pn_slice_sub(filter, head, filter.len - head - tail);
    }
    return (struct pn_slice){NULL, 0};
}

static json_t *principal_json(const char *object_id, const char *client_id, const char *name,
                              const char *type)
{
    return json_pack("{s:s, s:s, s:s, s:[s], s:s, s:b}", "id", object_id, "appId", client_id,
                     "displayName", name, "servicePrincipalNames", client_id,
                     "servicePrincipalType", type, "accountEnabled", 1);
}

static enum pn_rc find(struct pn_authority *authority, const char *client_id, json_t *list,
                       struct pn_error *err)
{
    struct client client = {0};
    struct workload workload = {0};
    const char *name;
    enum pn_rc rc = authority_client_get(authority, client_id, &client, err);

    if (rc == PN_OK) {
        name = pn_json_str(json_object_get(client.body, "properties"), "displayName");
        json_array_append_new(list, principal_json(client.object_id, client.client_id,
                                                   name ? name : client_id, "Application"));
    } else if (rc == PN_NOT_FOUND || rc == PN_DENIED) {
        rc = authority_workload_get(authority, client_id, &workload, err);
        if (rc == PN_OK) {
            name = strrchr(workload.managed_by, '/');
            json_array_append_new(list,
                                  principal_json(workload.object_id, workload.client_id,
                                                 name ? name + 1 : client_id, "ManagedIdentity"));
        }
    }
    client_fini(&client);
    workload_fini(&workload);
    return rc == PN_NOT_FOUND || rc == PN_DENIED ? PN_OK : rc;
}

void authority_handle_principals(struct pn_authority *authority, const struct pn_request *request,
                                 struct pn_response *response)
{
    struct pn_slice filter = wanted(pn_request_query(request, "$filter"));
    struct pn_principal caller = {0};
    struct pn_error err = {0};
    char client_id[PN_UUID_TEXT];
    json_t *list, *answer;
    enum pn_rc rc;

    if (!authority_directory_caller(authority, request, response, &caller))
        return;
    if (!pn_slice_eq_str(request->method, "GET") || !filter.ptr) {
        authority_directory_error(response, 400, "Request_UnsupportedQuery",
                                  "Service principals are found by GET with $filter=appId eq "
                                  "'{client id}' or "
                                  "servicePrincipalNames/any(c:c eq '{client id}').");
        return;
    }
    if (!pn_slice_case_eq_str(filter, caller.app_id) &&
        !authority_directory_may(authority, request, response))
        return;
    list = json_array();
    snprintf(client_id, sizeof client_id, "%.*s", PN_FMT(pn_slice_sub(filter, 0, 36)));
    rc = pn_is_uuid(filter) ? find(authority, client_id, list, &err) : PN_OK;
    answer = json_pack("{s:o}", "value", list);
    if (rc == PN_OK && answer)
        authority_respond_json(response, 200, answer);
    else
        authority_directory_failure(response, rc == PN_OK ? PN_NOMEM : rc, &err, "principal");
    json_decref(answer);
}
