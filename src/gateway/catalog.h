/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration as the main thread keeps it: the items of the feed, the changes that have come
 * but are not committed, and the snapshot made of the committed ones. Main thread only.
 *
 * A commit is whole or nothing: when one item cannot be compiled, the former snapshot stays and the
 * reason goes back to control. When a full configuration arrives (start, replay of the log, a new
 * connection of control), an unusable item is kept as broken instead, so that one bad resource
 * cannot keep the gateway from all others; what needs it fails closed.
 */
#pragma once

#include "gateway/snapshot.h"

#define PN_CATALOG_ITEMS_MAX   1000000 /* resources of one service */
#define PN_CATALOG_EPOCH_BYTES 64

struct pn_catalog;

/** For TLS listeners: open connections get our own record layer (tls/server.h). */
void pn_catalog_use_own_records(struct pn_catalog *catalog);
/** Starts with an empty snapshot. `signer` is borrowed; `tickets` (of the TLS listener) may be NULL
 * and is referenced. PN_NOMEM. */
enum pn_rc pn_catalog_create(struct pn_signer *signer, struct pn_tls_tickets *tickets,
                             struct pn_catalog **catalog, struct pn_error *err) PN_MUST_USE;
/** The CAs of this system; referenced. Before anything is committed. PN_NOMEM. */
enum pn_rc pn_catalog_use_roots(struct pn_catalog *catalog, struct pn_trust_roots *system,
                                struct pn_error *err) PN_MUST_USE;
/** Every snapshot must have been released. */
void pn_catalog_destroy(struct pn_catalog *catalog);

/** From now on, the pending changes are a whole configuration: what they do not name is deleted at
 *  commit. Pending changes before it are dropped. */
enum pn_rc pn_catalog_full(struct pn_catalog *catalog, struct pn_slice epoch) PN_MUST_USE;
/** PN_INVALID, PN_MALFORMED: the item (the next commit is then refused with this reason); PN_LIMIT;
 *  PN_NOMEM. Types this gateway does not know are logged and left out. */
enum pn_rc pn_catalog_upsert(struct pn_catalog *catalog, struct pn_slice key, struct pn_slice type,
                             struct pn_slice json, struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_catalog_delete(struct pn_catalog *catalog, struct pn_slice key) PN_MUST_USE;
/** Compiles; on PN_OK the new snapshot is current. On anything else the pending changes are dropped
 * and all is as it was. PN_CONFLICT: another epoch without a full configuration. */
enum pn_rc pn_catalog_commit(struct pn_catalog *catalog, struct pn_slice epoch, uint64_t revision,
                             struct pn_error *err) PN_MUST_USE;
/** From now on commits only take over the items, until pn_catalog_compile() makes one snapshot of
 * all of them: the replay of a log, where what the next commit replaces need not be compiled first.
 * What cannot be used is then kept as broken, as in a full configuration. */
void pn_catalog_defer(struct pn_catalog *catalog);
/** PN_NOMEM, or the first thing that cannot be marked as broken: the snapshot is the former one. */
enum pn_rc pn_catalog_compile(struct pn_catalog *catalog, struct pn_error *err) PN_MUST_USE;
/** Drops what is pending (the feed's connection ended). */
void pn_catalog_rollback(struct pn_catalog *catalog);

/** The current one; borrowed. */
struct pn_snapshot *pn_catalog_snapshot(const struct pn_catalog *catalog);
struct pn_snapshot *pn_snapshot_ref(struct pn_snapshot *snapshot);
void pn_snapshot_unref(struct pn_snapshot *snapshot);
/** What the committed configuration is: "" and 0 at first. */
const char *pn_catalog_epoch(const struct pn_catalog *catalog);
uint64_t pn_catalog_revision(const struct pn_catalog *catalog);
size_t pn_catalog_count(const struct pn_catalog *catalog);
/** Whether there is an item with this key ("/apis/echo"), usable or not. */
bool pn_catalog_has(const struct pn_catalog *catalog, struct pn_slice key);
/** Walks the committed items; *position starts at 0. */
const struct pn_item *pn_catalog_next(const struct pn_catalog *catalog, size_t *position);
