/* SPDX-License-Identifier: Apache-2.0
 *
 * Service tags of network security rules: names for address spaces that the rule's writer does not
 * list. Azure publishes ranges for them, which change each week; here a service's tag stands for
 * the host names of that service, because the name is known of every connection (ADR 225). Whoever
 * runs an own vault or authority has its host, port and addresses added (network/outbound.h).
 */
#pragma once

#include "base/slice.h"

enum pn_service_tag {
    PN_TAG_NONE, /* not a tag */
    PN_TAG_ANY,  /* "*" */
    PN_TAG_VIRTUAL_NETWORK,
    PN_TAG_INTERNET,
    /* Those from here on call in, and mean nothing as a destination. */
    PN_TAG_INBOUND_FIRST,
    PN_TAG_LOAD_BALANCER = PN_TAG_INBOUND_FIRST,
    PN_TAG_API_MANAGEMENT,
    PN_TAG_TRAFFIC_MANAGER,
    PN_TAG_GATEWAY_MANAGER,
    /* And those from here on are services that are called, by their host names. */
    PN_TAG_SERVICE_FIRST,
    PN_TAG_KEY_VAULT = PN_TAG_SERVICE_FIRST,
    PN_TAG_ACTIVE_DIRECTORY,
    PN_TAG_STORAGE,
    PN_TAG_SQL,
    PN_TAG_EVENT_HUB,
    PN_TAG_SERVICE_BUS,
    PN_TAG_MONITOR,
    PN_TAG_COSMOS_DB,
    PN_TAG_CONTAINER_REGISTRY,
    PN_TAG_APP_SERVICE,
    PN_TAG_RESOURCE_MANAGER,
    PN_TAG_COUNT
};

/** Without case. PN_TAG_NONE: there is no such tag here. */
enum pn_service_tag pn_service_tag_from(struct pn_slice name);
/** "AzureKeyVault"; static. */
const char *pn_service_tag_name(enum pn_service_tag tag);
/** Whether `host` is one of the well-known names of that service. */
bool pn_service_tag_has_host(enum pn_service_tag tag, struct pn_slice host);
/** `name`, or a name below it; without case, a final dot does not count. */
bool pn_host_is_below(struct pn_slice host, struct pn_slice name);
