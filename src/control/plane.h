/* SPDX-License-Identifier: Apache-2.0
 *
 * The rooms of the management plane, made in the order of their arrows and ended in reverse;
 * without listeners and without threads, so that the process can lock itself in before it makes
 * any.
 */
#pragma once

#include "arm/arm.h"
#include "authority/authority.h"
#include "azure/azure.h"
#include "control/event_grid.h"
#include "control/feed.h"
#include "control/gateway_call.h"
#include "control/routes.h"
#include "control/settings.h"
#include "control/uses.h"
#include "events/events.h"
#include "identity/token_source.h"
#include "keyvault/keyvault.h"
#include "oidc/oidc.h"
#include "outbound/outbound.h"
#include "resource/resource.h"

/** Real addresses of the listeners, from the supervisor. */
struct pn_endpoints {
    json_t *body;
    const char *gateway_url, *gateway_tls_url, *control_url, *vault_url; /* borrowed from body */
    char vault_audience[128]; /* "https://vault.localhost:9444" */
    char arm_audience[160];   /* "https://localhost:9443/arm": az's cloud registration */
};
/** Reads the environment variable PN_ENDPOINTS. PN_INVALID. */
enum pn_rc pn_endpoints_read(struct pn_endpoints *endpoints, struct pn_error *err) PN_MUST_USE;
void pn_endpoints_fini(struct pn_endpoints *endpoints);

/* A connection to the keyholder for each room, so that a slow import never delays a token. */
enum pn_plane_keyholder {
    PN_PLANE_ARM,
    PN_PLANE_AUTHORITY,
    PN_PLANE_VAULT,
    PN_PLANE_ROTATION,
    PN_PLANE_AUDIT
};
#define PN_PLANE_KEYHOLDERS 5

struct pn_identity_tokens;
struct pn_portal;

struct pn_plane {
    struct pn_endpoints endpoints;
    const char *audiences[8]; /* of management tokens; NULL-ended */
    struct pn_keyholder *keyholders[PN_PLANE_KEYHOLDERS];
    struct pn_store *store;
    struct pn_settings settings;
    struct pn_oidc *oidc;
    struct pn_outbound_scope outbound;
    char *service_id;
    struct pn_token_provider embedded; /* under the network rules: plane.c */
    struct pn_azure *azure;
    struct pn_authority *authority;
    struct pn_token_source *tokens;
    struct pn_identity_tokens *identity_tokens;
    struct pn_keyvault *keyvault;
    struct pn_feed *feed;
    struct pn_rotation *rotation;
    struct pn_arm_connection connection;
    struct pn_arm_services services;
    struct pn_gateway_caller caller; /* of the test console */
    struct pn_arm *arm;
    struct pn_vault *vault;
    struct pn_portal *portal; /* NULL: not installed */
    struct pn_identity_endpoint endpoint;
    bool has_endpoint; /* the supervisor gave its listener */
    struct pn_resource_plane resources;
    struct pn_event_grid event_grid;
    struct pn_uses *uses;
    char ca_file[4096]; /* of our own authority */
    char *webhook_text; /* PN_EVENT_WEBHOOKS, cut at its spaces */
    const char *webhooks[PN_WEBHOOKS_MAX + 1];
    struct pn_thresholds thresholds;
    struct pn_forecast *forecast;
    struct pn_events *events;
    struct pn_routes routes;
};

struct pn_control_options;

/** Makes everything and does the first start. `plane` is zeroed by the caller, must not move, and
 * is ended by _fini also after a failure. */
enum pn_rc pn_plane_init(struct pn_plane *plane, struct pn_broker *broker,
                         const struct pn_control_options *options,
                         struct pn_error *err) PN_MUST_USE;
/** Starts the feed's and the follower's threads, and has the keyholder forget keys that no
 *  certificate uses (left by an import that never reached the store). */
enum pn_rc pn_plane_start(struct pn_plane *plane, struct pn_error *err) PN_MUST_USE;
void pn_plane_fini(struct pn_plane *plane);
