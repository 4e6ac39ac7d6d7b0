/* SPDX-License-Identifier: Apache-2.0
 *
 * POST and OPTIONS /postern/eventgrid: Event Grid tells that an object of a key vault has a new
 * version, in its own schema or as CloudEvents 1.0 (structured, one or a batch), with the handshake
 * of each. Who follows exactly that object is woken; the event itself is not believed more than
 * that: what is new is asked of the vault.
 *
 * Who may tell: the query parameter `code` has the secret of DIR/eventgrid.secret, or the bearer
 * token's principal may refresh certificates of the service.
 *
 * Sources: Event Grid's webhook delivery; CloudEvents 1.0 with its HTTP binding, and its webhooks
 * for the OPTIONS handshake.
 */
#pragma once

#include "arm/arm.h"
#include "base/secret.h"
#include "http/message.h"

struct pn_rotation;

#define PN_EVENT_GRID_PATH       "/postern/eventgrid"
#define PN_EVENT_GRID_EVENTS_MAX 1000 /* of one delivery; above: 400 */
#define PN_EVENT_GRID_RATE       120  /* per minute, where the sender asks for none */

/** Everything is borrowed, the secret is owned. */
struct pn_event_grid {
    struct pn_rotation *rotation;
    const struct pn_arm_services *services; /* authenticate, authorize */
    const char *const *audiences;
    char *service_id; /* owned */
    struct pn_secret secret;
};

/** Reads DIR/eventgrid.secret, or makes it (0600). PN_IO, PN_NOMEM, PN_INVALID (too short). */
enum pn_rc pn_event_grid_init(struct pn_event_grid *grid, const char *data_dir,
                              struct pn_error *err) PN_MUST_USE;
void pn_event_grid_fini(struct pn_event_grid *grid);
/** Worker threads. */
void pn_event_grid_handle(const struct pn_event_grid *grid, const struct pn_request *request,
                          struct pn_response *response);
