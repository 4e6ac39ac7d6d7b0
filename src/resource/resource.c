/* SPDX-License-Identifier: Apache-2.0
 *
 * Which type of which provider. See resource.h.
 */
#include "resource/network.h"

static const struct {
    const char *space, *type;
    void (*handle)(struct pn_resource_call *call, const struct resource_path *path);
} types[] = {
    {"Microsoft.Authorization", "roleDefinitions", resource_role_definitions},
    {"Microsoft.Authorization", "roleAssignments", resource_role_assignments},
    {"Microsoft.Authorization", "permissions", resource_permissions},
    {"Microsoft.ManagedIdentity", "userAssignedIdentities", resource_identities},
    {"Microsoft.ManagedIdentity", "identities", resource_default_identity},
    {"Microsoft.Network", "virtualNetworks", resource_networks},
    {"Microsoft.Network", "networkSecurityGroups", resource_security_groups},
};

static void handle(struct pn_resource_call *call)
{
    struct resource_path path;

    if (!pn_resource_begin(call))
        return;
    if (resource_path_read(call, &path) != PN_OK || path.rest_count == 0) {
        pn_resource_error(call, 400, "InvalidRequestUri",
                          "The path has no resource type, or its scope is too long.");
        return;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (pn_slice_case_eq_str(path.space, types[i].space) &&
            pn_slice_case_eq_str(path.rest[0], types[i].type)) {
            types[i].handle(call, &path);
            return;
        }
    }
    pn_resource_error(call, 404, "InvalidResourceType",
                      "The resource type '%.*s' could not be found in the namespace '%.*s'. This "
                      "Postern does not offer it.",
                      PN_FMT(path.rest[0]), PN_FMT(path.space));
}

void pn_resource_handle(const struct pn_resource_plane *plane, const struct pn_request *request,
                        struct pn_response *response)
{
    struct pn_resource_call call = {.plane = plane, .request = request, .response = response};

    handle(&call);
    if (pn_resource_is(&call, "HEAD"))
        pn_buf_clear(&response->body);
}
