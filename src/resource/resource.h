/* SPDX-License-Identifier: Apache-2.0
 *
 * The management REST API of the resource providers beside API Management and the vault:
 * Microsoft.Authorization (role definitions and assignments at any scope),
 * Microsoft.ManagedIdentity (user-assigned identities and their federated credentials) and
 * Microsoft.Network (virtual networks and their subnets, network security groups).
 *
 * Sources: the Azure Resource Manager RPC contract, the REST reference of each provider.
 * Thread: any.
 */
#pragma once

#include "resource/call.h"

/** Whether the path is one of these providers': the last `providers/{namespace}` in it decides. */
bool pn_resource_serves(const struct pn_slice *segments, size_t count);
/** Answers one request; never fails (what goes wrong becomes an error body). `plane` is borrowed.
 */
void pn_resource_handle(const struct pn_resource_plane *plane, const struct pn_request *request,
                        struct pn_response *response);
