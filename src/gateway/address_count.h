/* SPDX-License-Identifier: Apache-2.0
 *
 * How many connections each client address has open, of the whole gateway: a table that all workers
 * share, touched once when a connection comes and once when it goes. An IPv6 client is its /64
 * network, because it can choose freely within it.
 *
 * An address is a 44-bit keyed hash. The table is sets of eight words, one cache line each; where
 * eight other addresses are in a set, a ninth is not counted. Both err on the client's side only,
 * and a client cannot bring them about on purpose.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/identity.h"

struct pn_address_count;

/** For at most `connections` at a time. NULL: no memory. */
struct pn_address_count *pn_address_count_create(size_t connections);
void pn_address_count_destroy(struct pn_address_count *table);
/** One more. False, and nothing is counted: it has `max` already. A peer without an address (a Unix
 *  socket's) has no limit. Any thread. */
bool pn_address_count_add(struct pn_address_count *table, const struct pn_peer_address *peer,
                          uint64_t max);
/** One of those that were added has gone. Any thread. */
void pn_address_count_drop(struct pn_address_count *table, const struct pn_peer_address *peer);
/** How many it has. Any thread. */
uint64_t pn_address_count_get(struct pn_address_count *table, const struct pn_peer_address *peer);
