/* SPDX-License-Identifier: Apache-2.0
 *
 * Which room answers what, on control's two listeners; the portal's files, and the health,
 * readiness and metrics pages.
 */
#pragma once

#include "http/message.h"

struct pn_arm;
struct pn_authority;
struct pn_vault;
struct pn_feed;
struct pn_portal;
struct pn_resource_plane;
struct pn_event_grid;
struct pn_identity_endpoint;
struct pn_forecast;

/** Borrowed while requests are handled. */
struct pn_routes {
    struct pn_arm *arm;
    struct pn_authority *authority;
    struct pn_vault *vault;
    struct pn_feed *feed;
    const struct pn_resource_plane *resources;
    const struct pn_event_grid *event_grid;
    const struct pn_portal *portal; /* NULL: not installed */
    const char *vault_authority;    /* "vault.localhost:9444" */
    struct pn_forecast *forecast;
    struct pn_identity_endpoint *endpoint;
};

/** Control's listener. `ctx` is a struct pn_routes. Worker threads. */
void pn_routes_handle_control(void *ctx, const struct pn_request *request,
                              struct pn_response *response);
/** The vault's listener. */
void pn_routes_handle_vault(void *ctx, const struct pn_request *request,
                            struct pn_response *response);
/** The identity endpoint's listener. */
void pn_routes_handle_endpoint(void *ctx, const struct pn_request *request,
                               struct pn_response *response);
