/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's own thread: what is due, and what goes to webhooks.
 */
#pragma once

#include "vault/vault_certificate.h"

/* vault_due.c: one turn, of at most a batch; true: something was done, and more may be due. */
bool vault_clock_turn(struct pn_vault *vault);

/* vault_event.c: whether the row is an event that waits for its delivery. */
bool vault_event_is(const struct pn_store_item *item);
/* Tries once; true: it is gone (delivered, or given up). */
bool vault_event_deliver(struct pn_vault *vault, const struct pn_store_item *item);

/* vault_due.c: purges a deleted object whose retention is over. PN_NOT_FOUND: it is not deleted, or
 * its time is not over (any more). */
enum pn_rc vault_purge_over(struct vault_call *call, enum vault_kind kind,
                            struct pn_error *err) PN_MUST_USE;
