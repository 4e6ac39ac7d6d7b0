/* SPDX-License-Identifier: Apache-2.0
 *
 * Committing, undoing, life. A commit applies the changes to the items, compiles the APIs they
 * touch, makes the tables they touch, and then either keeps all of it or puts every former item
 * back.
 */
#include "gateway/catalog_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

#define GLOBAL_POLICY_KEY PN_POLICY_SUFFIX

/* --- committing --- */

static bool is_workspace_policy(const char *key)
{
    size_t scope = pn_catalog_slot_workspace(key).len;

    return scope > 0 && strcmp(key + scope, GLOBAL_POLICY_KEY) == 0;
}

/** A product or its policy, not a link to it: that makes its own API dirty. */
static enum pn_rc note_product(struct pn_catalog *catalog, const char *key)
{
    struct pn_slice product = pn_catalog_product(key);

    if (product.len == 0 ||
        (key[product.len] != '\0' && strcmp(key + product.len, PN_POLICY_SUFFIX) != 0))
        return PN_OK;
    if (!catalog->changed_products)
        catalog->changed_products = pn_map_create(false);
    return catalog->changed_products ? pn_map_set(catalog->changed_products, product, catalog, NULL)
                                     : PN_NOMEM;
}

static enum pn_rc apply(struct pn_catalog *catalog)
{
    for (struct pn_list *at = catalog->pending_order.next; at != &catalog->pending_order;
         at = at->next) {
        struct pn_catalog_change *change = PN_CONTAINER(at, struct pn_catalog_change, entry);
        struct pn_slice key = pn_slice_str(change->key);
        struct pn_item *former = pn_map_get(catalog->items, key);
        enum pn_rc rc;

        if (!former && !change->item)
            continue;
        if (former && change->item && pn_item_eq(former, change->item))
            continue; /* the same again: keep the compiled one */
        rc = note_product(catalog, change->key);
        if (rc == PN_OK)
            rc = pn_catalog_put(catalog, change->key, change->item);
        if (rc != PN_OK)
            return rc;
        change->former = former; /* the map's reference is now ours */
        change->is_applied = true;
        if (pn_slice_eq_str(key, GLOBAL_POLICY_KEY))
            catalog->has_global_changed = true;
        if (is_workspace_policy(change->key))
            catalog->has_workspace_changed = true;
        if (former)
            catalog->has_changed[former->kind] = true;
        if (change->item) {
            pn_item_ref(change->item); /* the map's */
            catalog->has_changed[change->item->kind] = true;
        }
    }
    return PN_OK;
}

/** Puts every former item back. Cannot fail: the entries were there, so no map has to grow...
 * except for one that was deleted, whose place is still free. */
static void undo(struct pn_catalog *catalog)
{
    for (struct pn_list *at = catalog->pending_order.prev; at != &catalog->pending_order;
         at = at->prev) {
        struct pn_catalog_change *change = PN_CONTAINER(at, struct pn_catalog_change, entry);
        enum pn_rc rc;

        if (!change->is_applied)
            continue;
        rc = pn_catalog_put(catalog, change->key, change->former);
        if (rc != PN_OK)
            abort(); /* out of memory in the middle of a configuration: start again from the log */
        change->former = NULL; /* the map's again */
        pn_item_unref(change->item);
        change->is_applied = false;
    }
}

/** A change that comes alone is compiled to see whether it can be; otherwise that waits for the
 * first request. A changed global document alone can make no API unusable that was not. */
static enum pn_rc renew_dirty(struct pn_catalog *catalog, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (struct pn_list *at = catalog->dirty.next; rc == PN_OK && at != &catalog->dirty;
         at = at->next) {
        struct pn_catalog_slot *slot = PN_CONTAINER(at, struct pn_catalog_slot, dirty);
        struct pn_item *item = pn_catalog_slot_api(slot);
        struct pn_item **bases = NULL;
        size_t base_count = 0;

        if (!item)
            continue; /* the API is gone: slot->next stays NULL */
        rc = pn_catalog_slot_bases(catalog, slot, &bases, &base_count);
        if (rc == PN_OK)
            rc = pn_api_entry_create(item, slot->items, slot->count, bases, base_count,
                                     slot->current, &slot->next);
        free(bases);
        if (rc != PN_OK)
            return pn_error_set(err, rc, "out_of_memory", "no memory for %s", slot->key);
        if (!pn_catalog_keeps_broken(catalog) && slot->has_changed)
            rc = pn_api_entry_check(slot->next, err);
    }
    return rc;
}

/** Whether the API is in a product that changed, or whose policy did. */
static bool is_in_changed_product(const struct pn_catalog *catalog,
                                  const struct pn_catalog_slot *slot)
{
    size_t at = slot->count;

    while (pn_catalog_slot_link(slot, &at))
        if (pn_map_get(catalog->changed_products, pn_catalog_product(slot->items[at]->key)))
            return true;
    return false;
}

/** The APIs that stand on something that changed. */
static void mark_dirty(struct pn_catalog *catalog)
{
    bool with_workspaces = catalog->has_workspace_changed;
    struct pn_slice key;
    size_t position = 0;
    void *value;

    while (pn_map_next(catalog->slots, &position, &key, &value)) {
        struct pn_catalog_slot *slot = value;

        if (!catalog->has_global_changed &&
            !(with_workspaces && pn_slice_starts_with(key, PN_LIT("/" PN_WORKSPACE_PREFIX))) &&
            !(catalog->changed_products && is_in_changed_product(catalog, slot)))
            continue;
        pn_list_remove(&slot->dirty);
        pn_list_push_back(&catalog->dirty, &slot->dirty);
    }
}

/** Ends the commit for every touched slot: the new API stays, or is dropped. */
static void settle(struct pn_catalog *catalog, bool is_committed)
{
    for (struct pn_list *at = catalog->dirty.next; at != &catalog->dirty;) {
        struct pn_catalog_slot *slot = PN_CONTAINER(at, struct pn_catalog_slot, dirty);

        at = at->next;
        pn_list_init(&slot->dirty);
        slot->has_changed = false;
        if (is_committed) {
            pn_api_entry_unref(slot->current);
            slot->current = slot->next;
        } else {
            pn_api_entry_unref(slot->next);
        }
        slot->next = NULL;
        if (slot->count == 0) {
            pn_map_remove(catalog->slots, pn_slice_str(slot->key));
            pn_catalog_slot_destroy(slot);
        }
    }
    pn_list_init(&catalog->dirty);
    memset(catalog->has_changed, 0, sizeof(catalog->has_changed));
    catalog->has_global_changed = false;
    catalog->has_workspace_changed = false;
    pn_map_destroy(catalog->changed_products, NULL);
    catalog->changed_products = NULL;
}

static enum pn_rc apply_pending(struct pn_catalog *catalog, struct pn_error *err)
{
    enum pn_rc rc = catalog->is_full ? pn_catalog_stage_deletes(catalog) : PN_OK;

    if (rc == PN_OK)
        rc = apply(catalog);
    if (rc != PN_OK)
        pn_error_set(err, rc, "out_of_memory", "no memory for the configuration");
    return rc;
}

/** What was opened and compiled only to be checked is shut again, unless its predecessor was in
 * use: then the next request is likely to need it. Nobody has the new snapshot yet. */
static void close_unused(struct pn_catalog *catalog)
{
    for (struct pn_list *at = catalog->dirty.next; at != &catalog->dirty; at = at->next) {
        struct pn_catalog_slot *slot = PN_CONTAINER(at, struct pn_catalog_slot, dirty);

        if (slot->next && !(slot->current && atomic_load(&slot->current->api)))
            pn_api_entry_shut(slot->next);
    }
    pthread_mutex_lock(&catalog->house.lock);
    for (struct pn_list *at = catalog->pending_order.next;
         !pn_catalog_keeps_broken(catalog) && at != &catalog->pending_order; at = at->next) {
        struct pn_catalog_change *change = PN_CONTAINER(at, struct pn_catalog_change, entry);
        const struct pn_item *item = change->item;

        if (!change->is_applied || !item || item->kind == PN_ITEM_SERVICE ||
            item->kind == PN_ITEM_HOSTNAME || item->kind == PN_ITEM_SUBSCRIPTION ||
            item->kind == PN_ITEM_OUTBOUND)
            continue;
        if ((item->kind == PN_ITEM_BACKEND || item->kind == PN_ITEM_CERTIFICATE) &&
            change->former && pn_item_is_open(change->former))
            continue;
        pn_item_close_locked(change->item); /* what an API has compiled of it has it open too */
    }
    pthread_mutex_unlock(&catalog->house.lock);
}

static enum pn_rc compile(struct pn_catalog *catalog, struct pn_snapshot **next,
                          struct pn_error *err)
{
    enum pn_rc rc;

    if (catalog->has_global_changed || catalog->has_workspace_changed || catalog->changed_products)
        mark_dirty(catalog);
    rc = renew_dirty(catalog, err);
    if (rc == PN_OK)
        rc = pn_catalog_make_snapshot(catalog, next, err);
    if (rc == PN_OK)
        close_unused(catalog);
    return rc;
}

static void take_snapshot(struct pn_catalog *catalog, struct pn_snapshot *next, uint64_t revision)
{
    assert(next);
    next->revision = revision;
    pn_snapshot_unref(catalog->snapshot);
    catalog->snapshot = next;
    pn_trust_base_unref(catalog->trusts);
    catalog->trusts = pn_trust_base_ref(next->trusts);
}

enum pn_rc pn_catalog_commit(struct pn_catalog *catalog, struct pn_slice epoch, uint64_t revision,
                             struct pn_error *err)
{
    struct pn_snapshot *next = NULL;
    enum pn_rc rc;

    if (epoch.len > PN_CATALOG_EPOCH_BYTES)
        rc = pn_error_set(err, PN_LIMIT, "epoch_too_long", "the feed's epoch is too long");
    else if (catalog->is_refused) {
        rc = catalog->refused.rc;
        if (err)
            *err = catalog->refused;
    } else if (!catalog->is_full && !pn_slice_eq_str(epoch, catalog->epoch))
        rc = pn_error_set(err, PN_CONFLICT, "wrong_epoch",
                          "a change of another epoch without a full configuration before it");
    else
        rc = apply_pending(catalog, err);
    if (rc == PN_OK && !catalog->is_deferring)
        rc = compile(catalog, &next, err);
    if (rc != PN_OK) {
        undo(catalog);
        if (!catalog->is_deferring)
            settle(catalog, false);
        pn_catalog_rollback(catalog);
        pn_metric_add(PN_METRIC_SNAPSHOTS_REFUSED, 1);
        return rc;
    }
    memcpy(catalog->epoch, epoch.ptr ? epoch.ptr : "", epoch.len);
    catalog->epoch[epoch.len] = '\0';
    catalog->deferred_revision = revision;
    if (!catalog->is_deferring) {
        settle(catalog, true);
        take_snapshot(catalog, next, revision);
    }
    pn_catalog_rollback(catalog);
    return PN_OK;
}

void pn_catalog_defer(struct pn_catalog *catalog)
{
    catalog->is_deferring = true;
    catalog->deferred_revision = catalog->snapshot->revision;
}

enum pn_rc pn_catalog_compile(struct pn_catalog *catalog, struct pn_error *err)
{
    struct pn_snapshot *next = NULL;
    enum pn_rc rc = compile(catalog, &next, err);

    settle(catalog, rc == PN_OK);
    if (rc == PN_OK)
        take_snapshot(catalog, next, catalog->deferred_revision);
    catalog->is_deferring = false;
    return rc;
}

/* --- life --- */

static void item_unref(void *item)
{
    pn_item_unref(item);
}

void pn_catalog_use_own_records(struct pn_catalog *catalog)
{
    catalog->use_own_records = true;
}

enum pn_rc pn_catalog_create(struct pn_signer *signer, struct pn_tls_tickets *tickets,
                             struct pn_catalog **out, struct pn_error *err)
{
    struct pn_catalog *catalog = calloc(1, sizeof(*catalog));
    enum pn_rc rc;

    if (!catalog)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the catalog");
    if (pthread_mutex_init(&catalog->house.lock, NULL) != 0) {
        free(catalog);
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the catalog");
    }
    catalog->house.signer = signer;
    catalog->tickets = tickets ? pn_tls_tickets_ref(tickets) : NULL;
    pn_list_init(&catalog->dirty);
    pn_list_init(&catalog->pending_order);
    catalog->items = pn_map_create_borrowing(false);
    catalog->slots = pn_map_create_borrowing(false);
    rc = catalog->items && catalog->slots
             ? pn_catalog_use_roots(catalog, NULL, err)
             : pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the catalog");
    if (rc == PN_OK) {
        *out = catalog;
        return PN_OK;
    }
    pn_catalog_destroy(catalog);
    return rc;
}

enum pn_rc pn_catalog_use_roots(struct pn_catalog *catalog, struct pn_trust_roots *system,
                                struct pn_error *err)
{
    struct pn_snapshot *next = NULL;
    enum pn_rc rc;

    pn_trust_roots_unref(catalog->system);
    catalog->system = system ? pn_trust_roots_ref(system) : NULL;
    pn_trust_base_unref(catalog->trusts);
    catalog->trusts = NULL;
    rc = pn_catalog_make_snapshot(catalog, &next, err);
    if (rc == PN_OK)
        take_snapshot(catalog, next, 0);
    return rc;
}

void pn_catalog_destroy(struct pn_catalog *catalog)
{
    if (!catalog)
        return;
    pn_catalog_rollback(catalog);
    pn_snapshot_unref(catalog->snapshot);
    pn_map_destroy(catalog->slots, pn_catalog_slot_destroy);
    pn_map_destroy(catalog->items, item_unref);
    pn_tls_tickets_unref(catalog->tickets);
    pn_trust_base_unref(catalog->trusts);
    pn_trust_roots_unref(catalog->system);
    pthread_mutex_destroy(&catalog->house.lock);
    free(catalog);
}

struct pn_snapshot *pn_catalog_snapshot(const struct pn_catalog *catalog)
{
    return catalog->snapshot;
}

const char *pn_catalog_epoch(const struct pn_catalog *catalog)
{
    return catalog->epoch;
}

uint64_t pn_catalog_revision(const struct pn_catalog *catalog)
{
    return catalog->snapshot->revision;
}

bool pn_catalog_has(const struct pn_catalog *catalog, struct pn_slice key)
{
    return pn_map_get(catalog->items, key) != NULL;
}

size_t pn_catalog_count(const struct pn_catalog *catalog)
{
    return pn_map_count(catalog->items);
}

const struct pn_item *pn_catalog_next(const struct pn_catalog *catalog, size_t *position)
{
    struct pn_slice key;
    void *value = NULL;

    return pn_map_next(catalog->items, position, &key, &value) ? value : NULL;
}
