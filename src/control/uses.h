/* SPDX-License-Identifier: Apache-2.0
 *
 * Evidence of use: asks the gateway which generation was shown to which backend (over the service
 * of probes, gateway/uses_answer.h), and notes in the audit log when that began, and from when to
 * when it was once it is over: when the generation no longer serves and its last connection has
 * ended, or when the gateway that had it is gone.
 *
 * An entry is noted before the gateway is told so; a kill in between notes the beginning twice.
 *
 * A thread of its own; pn_uses_sync() from any thread.
 */
#pragma once

#include "base/error.h"

struct pn_broker;
struct pn_store;
struct pn_uses;

#define PN_USES_EVERY_MS 10000

/** PN_NOMEM. Broker and store are borrowed until _destroy. `service_id` is copied. */
enum pn_rc pn_uses_create(struct pn_broker *broker, struct pn_store *store, const char *service_id,
                          struct pn_uses **uses, struct pn_error *err) PN_MUST_USE;
/** PN_IO. */
enum pn_rc pn_uses_start(struct pn_uses *uses, struct pn_error *err) PN_MUST_USE;
/** NULL is fine. */
void pn_uses_destroy(struct pn_uses *uses);
/** Asks now. `ctx` is the struct pn_uses. A gateway that is away is asked again later. */
void pn_uses_sync(void *ctx);
