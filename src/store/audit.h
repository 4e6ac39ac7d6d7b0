/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: who changed which certificate, and which generation served which backend. A table
 * of the store that only grows, written in the transaction of the change that it tells of.
 *
 * Each entry has a number and the hash of number, time, text and the hash before it. The head (the
 * last number and hash, and where the log begins) is sealed by the keyholder, whose key is not in
 * the store. So an entry that was changed, taken out, put elsewhere or cut off at the end is found;
 * not found is that the whole data folder was put back to an older state.
 *
 *   hash(n) = SHA-256( hash(n-1) LF n LF time LF text ), hash(0) = SHA-256("postern audit " epoch)
 *
 * The oldest tenth goes when there are more entries than the limit audit-entries; the head says so.
 */
#pragma once

#include "store/store.h"

#define PN_AUDIT_ENTRY_MAX 65536 /* bytes of one entry */
#define PN_AUDIT_PAGE_MAX  1000

/** Seals and unseals the head: texts in and out. PN_DENIED of unseal: it is not ours. */
struct pn_auditor {
    enum pn_rc (*seal)(void *ctx, struct pn_slice plain, struct pn_buf *sealed,
                       struct pn_error *err);
    enum pn_rc (*unseal)(void *ctx, struct pn_slice sealed, struct pn_buf *plain,
                         struct pn_error *err);
    void *ctx;
};

/** Begins the log, or goes on with it. When its end is not what the head says, that is logged, and
 * noted in the log for ever (kind "tampered"). Without it pn_audit_add() does nothing. Before other
 * threads use the store. What seal says; PN_IO, PN_NOMEM. */
enum pn_rc pn_audit_begin(struct pn_store *store, const struct pn_auditor *auditor,
                          struct pn_error *err) PN_MUST_USE;
/** Adds `entry` (borrowed; without any secret) to the transaction; it is committed with it. What
 * seal says comes with the commit. PN_LIMIT, PN_IO, PN_NOMEM. */
enum pn_rc pn_audit_add(struct pn_store_txn *txn, const json_t *entry,
                        struct pn_error *err) PN_MUST_USE;
/** In a transaction of its own. */
enum pn_rc pn_audit_add_alone(struct pn_store *store, const json_t *entry,
                              struct pn_error *err) PN_MUST_USE;
/** Up to `max` entries after number `after`: [{seq, time, hash, entry}], a new reference. */
enum pn_rc pn_audit_read(struct pn_store *store, uint64_t after, size_t max, json_t **entries,
                         struct pn_error *err) PN_MUST_USE;
/** Up to `max` entries that tell of a generation which became the current one, of certificates
 * whose id is below `prefix` ("…/certificates/"), newest first: as above. Costs what was rotated,
 * not what is in the log. */
enum pn_rc pn_audit_rotations(struct pn_store *store, const char *prefix, size_t max,
                              json_t **entries, struct pn_error *err) PN_MUST_USE;
/** Looks at the whole log. *report: {valid, entries, first, last, head, headHash, problem?, at?}, a
 * new reference; PN_OK also when it is not valid. */
enum pn_rc pn_audit_verify(struct pn_store *store, json_t **report,
                           struct pn_error *err) PN_MUST_USE;
