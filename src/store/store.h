/* SPDX-License-Identifier: Apache-2.0
 *
 * Resources at rest. A resource is a JSON document under an ARM-like id; the key is the id in lower
 * case. All writing is in transactions: all or nothing, and durable when commit returns. References
 * between resources are kept as data, in the same transaction. One interface; SQLite now, etcd
 * later.
 *
 * Thread: every function may be called from any thread; a transaction belongs to the thread that
 * began it, and there is one writer at a time (begin waits, at most PN_STORE_WAIT_MS).
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

#define PN_STORE_WAIT_MS  5000
#define PN_STORE_BODY_MAX (4u * 1024 * 1024)

struct pn_store;
struct pn_store_txn;

struct pn_store_item {
    char *id;          /* canonical casing, as given at the first put */
    char *type;        /* "Microsoft.ApiManagement/service/certificates", "vault/secret", … */
    json_t *body;      /* the stored document; the owner's own shape */
    uint64_t revision; /* revision of the last put: the ETag comes from it */
    int64_t created_s, modified_s;
};
void pn_store_item_fini(struct pn_store_item *item);

struct pn_store_list {
    struct pn_store_item *items;
    size_t count;
};
void pn_store_list_fini(struct pn_store_list *list);

/** Opens or makes the database in `path` and brings it to the newest schema. PN_IO, PN_INVALID
 * (made by a newer Postern). */
enum pn_rc pn_store_open(const char *path, struct pn_store **store,
                         struct pn_error *err) PN_MUST_USE;
void pn_store_close(struct pn_store *store);
/** A random id of this database, made with it: the feed's epoch. Borrowed. */
const char *pn_store_epoch(const struct pn_store *store);
/** Revision of the last committed transaction. */
uint64_t pn_store_revision(struct pn_store *store);

/** PN_NOT_FOUND. */
enum pn_rc pn_store_get(struct pn_store *store, const char *id, struct pn_store_item *item,
                        struct pn_error *err) PN_MUST_USE;
/** Every resource of `type` (NULL: any) whose id lies below `prefix` ("/subscriptions/…/apis/"),
 *  ordered by key. */
enum pn_rc pn_store_list(struct pn_store *store, const char *prefix, const char *type,
                         struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;

/** At most `max` resources of `type` (NULL: any) below `prefix` whose key lies behind `after` (an
 * id; NULL: from the first), ordered by key. Costs what it gives, however many there are. */
enum pn_rc pn_store_page(struct pn_store *store, const char *prefix, const char *type,
                         const char *after, size_t max, struct pn_store_list *list,
                         struct pn_error *err) PN_MUST_USE;
/** Of the list that pn_store_list() gives: at most `max` from number `skip` on; `from_end`: counted
 * from its last one backwards, which are then given in the list's own order nevertheless. *count is
 * how many there are in all. The others are not read. */
enum pn_rc pn_store_part(struct pn_store *store, const char *prefix, const char *type,
                         uint64_t skip, uint64_t max, bool from_end, struct pn_store_list *list,
                         uint64_t *count, struct pn_error *err) PN_MUST_USE;
/** Every resource of `type` in a subscription whose id ends with "/name", without ASCII case,
 * ordered by key. */
enum pn_rc pn_store_list_named(struct pn_store *store, const char *type, const char *name,
                               struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;
/** At most `max` resources whose internal.due (Unix seconds) is not later than `until_s`, the most
 * urgent first. */
enum pn_rc pn_store_list_due(struct pn_store *store, int64_t until_s, size_t max,
                             struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;

/** Every resource of `type` that follows a key vault (properties.keyVault.secretIdentifier),
 * ordered by key. What the others are does not cost anything. */
enum pn_rc pn_store_list_followed(struct pn_store *store, const char *type,
                                  struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;

/** Every resource of `type` below `prefix` whose properties.thumbprint is that one, without ASCII
 * case, ordered by key. What the others are does not cost anything. */
enum pn_rc pn_store_list_thumbprint(struct pn_store *store, const char *prefix, const char *type,
                                    const char *thumbprint, struct pn_store_list *list,
                                    struct pn_error *err) PN_MUST_USE;

/** What a resource of a subscription is filtered and sorted by: the texts and truth values that are
 * its properties' own members, as a JSON object. Without bytes: they are too long to be kept (a
 * text of more than 1,024 bytes), and the document itself must be looked at. False ends the list:
 * *err tells why. */
typedef bool (*pn_store_facts_fn)(void *ctx, const char *key, struct pn_slice facts,
                                  struct pn_error *err);
/** Calls `each` for every resource of `type` below `prefix`, ordered by key; the documents are not
 * read. What `each` set. */
enum pn_rc pn_store_facts(struct pn_store *store, const char *prefix, const char *type,
                          pn_store_facts_fn each, void *ctx, struct pn_error *err) PN_MUST_USE;

enum pn_rc pn_store_begin(struct pn_store *store, struct pn_store_txn **txn,
                          struct pn_error *err) PN_MUST_USE;
/** The same for a change that nobody is told of before another one is committed: when its commit
 * returns it is done, also for a process that is killed, but on the disk only with the next commit
 * of the other kind. It cannot come to be half there, nor later than what follows it. */
enum pn_rc pn_store_begin_soon(struct pn_store *store, struct pn_store_txn **txn,
                               struct pn_error *err) PN_MUST_USE;
/** Reads see the transaction's own writes. */
enum pn_rc pn_store_txn_get(struct pn_store_txn *txn, const char *id, struct pn_store_item *item,
                            struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_store_txn_list(struct pn_store_txn *txn, const char *prefix, const char *type,
                             struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;
/** As pn_store_put()'s `references`: those that the resource has stay as they are. */
extern const char *const pn_store_keep_references[];
/** Of these only the ones whose properties.path is `path`, without ASCII case. */
enum pn_rc pn_store_txn_list_path(struct pn_store_txn *txn, const char *prefix, const char *type,
                                  struct pn_slice path, struct pn_store_list *list,
                                  struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_store_txn_list_thumbprint(struct pn_store_txn *txn, const char *prefix,
                                        const char *type, const char *thumbprint,
                                        struct pn_store_list *list,
                                        struct pn_error *err) PN_MUST_USE;
/** Inserts or replaces. `references`: ids this resource uses, ended by NULL (NULL: none); they
 *  replace the former ones. The target need not exist: that is the caller's check. PN_LIMIT. */
enum pn_rc pn_store_put(struct pn_store_txn *txn, const char *id, const char *type, json_t *body,
                        const char *const *references, struct pn_error *err) PN_MUST_USE;
/** Deletes it and its references to others. Children are the caller's business. PN_NOT_FOUND. */
enum pn_rc pn_store_delete(struct pn_store_txn *txn, const char *id,
                           struct pn_error *err) PN_MUST_USE;
/** The same for what no reader of the change log needs: it does not push out the deletions that
 * they need. PN_NOT_FOUND. */
enum pn_rc pn_store_erase(struct pn_store_txn *txn, const char *id,
                          struct pn_error *err) PN_MUST_USE;
/** The resources that reference `id`, ordered by key. */
enum pn_rc pn_store_users(struct pn_store_txn *txn, const char *id, struct pn_store_list *users,
                          struct pn_error *err) PN_MUST_USE;
/** Whether any resource names the keyholder's key `key_id` (hex) at internal.keyId or, if that is
 *  missing, internal.listenerKeyId. */
enum pn_rc pn_store_key_is_used(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                                struct pn_error *err) PN_MUST_USE;
/** Durable when it returns PN_OK; *revision (may be NULL) is this transaction's: what the items'
 * ETags and the feed use. Ends the transaction either way. */
enum pn_rc pn_store_commit(struct pn_store_txn *txn, uint64_t *revision,
                           struct pn_error *err) PN_MUST_USE;
/** Ends it without a trace. NULL is fine. */
void pn_store_rollback(struct pn_store_txn *txn);

/** What changed after `since`, one entry per id in order of revision: body NULL = deleted.
 *  PN_LIMIT: the log no longer reaches back so far: send everything. */
enum pn_rc pn_store_changes(struct pn_store *store, uint64_t since, struct pn_store_list *changes,
                            uint64_t *revision, struct pn_error *err) PN_MUST_USE;
