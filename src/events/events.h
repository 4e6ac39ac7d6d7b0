/* SPDX-License-Identifier: Apache-2.0
 *
 * Events for the world outside: a certificate comes near its end (one for each threshold and
 * generation), or has expired. Sent to webhooks as CloudEvents 1.0 (structured, JSON).
 *
 * An event is a document of the store before it is sent, and stays one, with what became of it for
 * each webhook, as long as its certificate has that generation: that is why it is made once, also
 * across restarts. What could not be delivered is tried again, later and later, for three days. A
 * kill between a delivery and its note sends it once more, with the same id.
 *
 * types   Postern.CertificateNearExpiry, Postern.CertificateExpired
 * source  the service's id
 * subject "/certificates/{name}", or "/hostnames/{name}" for a host name of the listener
 * data    {id, name, subject, thumbprint, generation, expirationDate, daysLeft, threshold,
 *          origin "pfx" | "keyVault", usage [{id, type, via, by}], usageCount}
 *
 * Invariant: the addresses of webhooks may hold secrets, so the store has only their hashes, and
 * logs have only scheme, host and port.
 *
 * Thread: a thread of its own; all functions from any thread.
 */
#pragma once

#include <jansson.h>

#include "events/forecast.h"

struct pn_events;

#define PN_WEBHOOKS_MAX            8
#define PN_WEBHOOK_URL_MAX         2048
#define PN_WEBHOOK_TIMEOUT_MS      10000
#define PN_WEBHOOK_RETRY_MS        1000 /* the first time; then twice as long each time */
#define PN_WEBHOOK_RETRY_MAX_MS    3600000
#define PN_EVENT_GIVE_UP_MS        259200000 /* three days */
#define PN_EVENTS_KEPT_MAX         10000     /* documents; above, new ones wait for a later look */
#define PN_EVENT_USERS_MAX         100       /* in data.usage; usageCount tells of all */
#define PN_EVENTS_LOOK_EVERY_MS    3600000
#define PN_EVENTS_CHANGED_AFTER_MS 2000 /* a change of the store is looked at so much later */

/** Who uses a certificate: [{id, type, via, by}], a new reference. Any thread. */
typedef enum pn_rc (*pn_event_usage_fn)(void *ctx, const char *certificate_id, json_t **users,
                                        struct pn_error *err);

/** Everything is borrowed until _destroy. */
struct pn_outbound_scope;

struct pn_events_config {
    struct pn_store *store;
    struct pn_forecast *forecast;
    const struct pn_thresholds *thresholds;
    const char *const *webhooks;              /* of pn_webhook_check(); NULL-ended; may be empty */
    const char *ca_file;                      /* PEM, trusted beside the system's; may be NULL */
    const struct pn_outbound_scope *outbound; /* network rules of the posts; NULL: none */
    pn_event_usage_fn usage;
    void *usage_ctx;
    int64_t (*now_ms)(void); /* Unix; NULL: the system's clock */
};

/** Whether it can be a webhook: https://, or http:// to this machine. PN_INVALID; the message does
 * not repeat it. */
enum pn_rc pn_webhook_check(const char *url, struct pn_error *err) PN_MUST_USE;
/** PN_NOMEM. */
enum pn_rc pn_events_create(const struct pn_events_config *config, struct pn_events **events,
                            struct pn_error *err) PN_MUST_USE;
/** Starts the thread, if there is a webhook. PN_IO. */
enum pn_rc pn_events_start(struct pn_events *events, struct pn_error *err) PN_MUST_USE;
/** Ends the thread; waits for a delivery under way, which is cut off. NULL is fine. */
void pn_events_destroy(struct pn_events *events);
/** What became of the events: a new reference, [{id, type, subject, time, threshold, deliveries
 * [{webhook, state}]}], newest first. */
enum pn_rc pn_events_view(struct pn_events *events, json_t **view,
                          struct pn_error *err) PN_MUST_USE;
