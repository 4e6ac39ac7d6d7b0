/* SPDX-License-Identifier: Apache-2.0
 *
 * Events of a vault and who gets them. In the store:
 *   {vault}/providers/Microsoft.EventGrid/eventSubscriptions/{name}: the subscription, a resource
 *   /vault/{vault}/eventqueues/{name}        "vault/eventqueue": count, next; internal.due is the
 *                                            next try, when something waits
 *   /vault/{vault}/events/{name}/{number}    "vault/event": what waits, in its order
 */
#pragma once

#include "vault/vault_clock.h"

#define SUBSCRIPTION_TYPE "Microsoft.EventGrid/eventSubscriptions"
#define QUEUE_TYPE        "vault/eventqueue"
#define EVENT_TYPE        "vault/event"

/* vault_webhook.c */
/* Posts `events` (an array) to the URL; `kind` is the header aeg-event-type. *status is the
 * answer's; `body` (may be NULL) gets it. PN_UNAVAILABLE, PN_TIMEOUT, PN_DENIED (an address that
 * webhooks do not go to): err tells why. At most PN_VAULT_WEBHOOK_TIMEOUT_MS. */
enum pn_rc vault_webhook_post(struct pn_vault *vault, const char *url, const char *kind,
                              const json_t *events, long *status, struct pn_buf *body,
                              struct pn_error *err) PN_MUST_USE;
/* https, or http to a loopback address. PN_INVALID. */
enum pn_rc vault_webhook_check(const char *url, struct pn_error *err) PN_MUST_USE;
