/* SPDX-License-Identifier: Apache-2.0
 *
 * The property schemas of the resource types. What a member means stands with the room that acts
 * on it; here is only what it may be.
 */
#pragma once

#include "model/schema.h"

extern const struct pn_field pn_workspace_fields[];
extern const struct pn_field pn_certificate_fields[]; /* of a PUT; not what is stored */
extern const struct pn_field pn_backend_fields[];
extern const struct pn_field pn_reconnect_fields[]; /* of a POST .../reconnect */
extern const struct pn_field pn_api_fields[];
extern const struct pn_field pn_operation_fields[];
extern const struct pn_field pn_policy_fields[];
extern const struct pn_field pn_fragment_fields[];
extern const struct pn_field pn_named_value_fields[];
extern const struct pn_field pn_access_fields[]; /* a subscription of API Management */
extern const struct pn_field pn_product_fields[];
extern const struct pn_field pn_product_link_fields[]; /* of a product's apiLinks */
extern const struct pn_field pn_service_fields[];      /* properties of the service */
extern const struct pn_field pn_hostnames_fields[];    /* its hostnameConfigurations */
extern const struct pn_field pn_service_top_fields[];  /* location, sku, tags, identity */
extern const struct pn_field pn_group_fields[];        /* a resource group's location and tags */
