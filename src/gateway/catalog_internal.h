/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of the catalog: catalog.c (commits, life), catalog_slots.c (what belongs to
 * which API), catalog_stage.c (changes that wait), catalog_snapshot.c (what a commit makes of the
 * items). Main thread only.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "gateway/catalog.h"
#include "gateway/snapshot_internal.h"

/** What is known of one API: its items, what was compiled of them, and what is being compiled. */
struct pn_catalog_slot {
    struct pn_list dirty; /* in catalog.dirty while a commit touches it */
    char *key;
    struct pn_item **items; /* sorted by key, the API's own item included */
    size_t count, capacity;
    bool has_changed; /* one of its items, within a commit */
    struct pn_api_entry *current;
    struct pn_api_entry *next;
};

struct pn_catalog_change {
    struct pn_list entry;
    char *key;
    struct pn_item *item;   /* NULL: delete */
    struct pn_item *former; /* while a commit is being tried */
    bool is_applied;
};

struct pn_catalog {
    struct pn_item_house house;
    struct pn_tls_tickets *tickets; /* one set for all listeners that follow each other */
    bool use_own_records;           /* of those listeners */
    struct pn_trust_roots *system;  /* CAs; NULL: none */
    struct pn_trust_base *trusts;   /* what the current snapshot's policies are made of */
    struct pn_map *items;           /* key -> item */
    struct pn_map *slots;           /* "/apis/echo" -> slot */
    struct pn_list dirty;
    bool has_changed[PN_ITEM_KINDS]; /* by kind, within a commit */
    bool has_global_changed;
    bool has_workspace_changed;      /* the policy of one */
    struct pn_map *changed_products; /* "/products/gold" -> anything; NULL: none, within a commit */

    struct pn_map *pending; /* key -> change */
    struct pn_list pending_order;
    bool is_full;
    bool is_deferring; /* commits apply the items, and compile nothing */
    uint64_t deferred_revision;
    struct pn_error refused; /* the first item that could not be staged */
    bool is_refused;

    char epoch[PN_CATALOG_EPOCH_BYTES + 1];
    struct pn_snapshot *snapshot;
};

/** Whether what cannot be used is kept, marked, instead of refusing the commit. */
static inline bool pn_catalog_keeps_broken(const struct pn_catalog *catalog)
{
    return catalog->is_full || catalog->is_deferring;
}

static inline bool pn_item_is_open(const struct pn_item *item)
{
    return atomic_load_explicit(&item->is_open, memory_order_acquire);
}

#define PN_POLICY_SUFFIX "/policies/policy"

/* --- items and slots (catalog_slots.c) --- */

/** "/workspaces/w" of a key below it; else empty. */
struct pn_slice pn_catalog_slot_workspace(const char *key);
/** "/products/gold" of the product itself and of what is below it; else empty. */
struct pn_slice pn_catalog_product(const char *key);
/** The next of the slot's links to products before number `at` (slot->count: the last one). False:
 * no more. */
bool pn_catalog_slot_link(const struct pn_catalog_slot *slot, size_t *at);
/** What the slot's API stands on, as pn_api_entry_create() wants it: an array that the caller frees
 * with free(). PN_NOMEM. */
enum pn_rc pn_catalog_slot_bases(const struct pn_catalog *catalog,
                                 const struct pn_catalog_slot *slot, struct pn_item ***bases,
                                 size_t *count) PN_MUST_USE;
void pn_catalog_slot_destroy(void *slot);
/** The API's own item, or NULL. */
struct pn_item *pn_catalog_slot_api(const struct pn_catalog_slot *slot);
/** Sets or removes (NULL) one item (borrowed; the caller counts) in the maps. PN_NOMEM: nothing
 * changed. */
enum pn_rc pn_catalog_put(struct pn_catalog *catalog, const char *key,
                          struct pn_item *item) PN_MUST_USE;

/* --- changes that wait (catalog_stage.c) --- */

/** A whole configuration: what it does not name is deleted. PN_NOMEM. */
enum pn_rc pn_catalog_stage_deletes(struct pn_catalog *catalog) PN_MUST_USE;

/* --- the snapshot (catalog_snapshot.c) --- */

/** Of the items as they are, sharing what has not changed with the current one. As
 * pn_catalog_commit(). */
enum pn_rc pn_catalog_make_snapshot(struct pn_catalog *catalog, struct pn_snapshot **snapshot,
                                    struct pn_error *err) PN_MUST_USE;
