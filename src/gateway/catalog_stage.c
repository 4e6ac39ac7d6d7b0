/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes that have come and are not committed.
 */
#include "gateway/catalog_internal.h"

#include <stdlib.h>

#include "base/log.h"

static void change_destroy(void *value)
{
    struct pn_catalog_change *change = value;

    if (!change)
        return;
    pn_list_remove(&change->entry);
    pn_item_unref(change->item);
    pn_item_unref(change->former);
    free(change->key);
    free(change);
}

void pn_catalog_rollback(struct pn_catalog *catalog)
{
    pn_map_destroy(catalog->pending, change_destroy);
    catalog->pending = NULL;
    catalog->is_full = false;
    catalog->is_refused = false;
}

static enum pn_rc stage(struct pn_catalog *catalog, struct pn_slice key, struct pn_item *item)
{
    struct pn_catalog_change *change;

    if (!catalog->pending)
        catalog->pending = pn_map_create_borrowing(false);
    change = calloc(1, sizeof(*change));
    if (change)
        pn_list_init(&change->entry);
    if (!catalog->pending || !change)
        goto no_memory;
    change->key = pn_slice_dup(key);
    if (!change->key)
        goto no_memory;
    change_destroy(pn_map_remove(catalog->pending, key));
    if (pn_map_set(catalog->pending, pn_slice(change->key, key.len), change, NULL) != PN_OK)
        goto no_memory;
    change->item = item;
    pn_list_push_back(&catalog->pending_order, &change->entry);
    return PN_OK;
no_memory:
    change_destroy(change);
    pn_item_unref(item);
    return PN_NOMEM;
}

enum pn_rc pn_catalog_full(struct pn_catalog *catalog, struct pn_slice epoch)
{
    if (epoch.len > PN_CATALOG_EPOCH_BYTES)
        return PN_LIMIT;
    pn_catalog_rollback(catalog);
    catalog->is_full = true;
    return PN_OK;
}

/** A backend that is in use has a state, which its next version goes on with. */
static void adopt(const struct pn_item *former, struct pn_item *item)
{
    if (!former || former->kind != PN_ITEM_BACKEND || item->kind != PN_ITEM_BACKEND ||
        !pn_item_is_open(former) || !former->as.backend)
        return;
    if (pn_item_is_open(item) ? !item->is_broken : pn_item_use(item))
        pn_backend_adopt(item->as.backend, former->as.backend);
}

enum pn_rc pn_catalog_upsert(struct pn_catalog *catalog, struct pn_slice key, struct pn_slice type,
                             struct pn_slice json, struct pn_error *err)
{
    struct pn_item *item = NULL;
    struct pn_error reason;
    enum pn_rc rc = PN_OK;

    if (pn_map_count(catalog->items) >= PN_CATALOG_ITEMS_MAX)
        rc = pn_error_set(&reason, PN_LIMIT, "too_many_items", "more than %d resources",
                          PN_CATALOG_ITEMS_MAX);
    if (rc == PN_OK)
        rc = pn_item_create(&catalog->house, key, type, json, pn_catalog_keeps_broken(catalog),
                            &item, &reason);
    if (rc == PN_OK) {
        adopt(pn_map_get(catalog->items, key), item);
        if (item->is_broken)
            pn_log(PN_LOG_ERROR, "resource_unusable", "key", PN_SL(key), "reason",
                   PN_S(item->broken_reason), NULL);
        rc = stage(catalog, key, item);
        return rc == PN_OK ? rc : pn_error_set(err, rc, "out_of_memory", "no memory to stage");
    }
    if (rc == PN_UNSUPPORTED) {
        pn_log_error(PN_LOG_WARN, "resource_of_unknown_type", &reason);
        return PN_OK;
    }
    if (!catalog->is_refused) {
        catalog->is_refused = true;
        catalog->refused = reason;
        catalog->refused.rc = rc;
    }
    if (err)
        *err = reason;
    return rc;
}

enum pn_rc pn_catalog_delete(struct pn_catalog *catalog, struct pn_slice key)
{
    return stage(catalog, key, NULL);
}

/** A whole configuration: what it does not name is deleted. */
enum pn_rc pn_catalog_stage_deletes(struct pn_catalog *catalog)
{
    struct pn_slice key;
    size_t position = 0;
    void *value;

    while (pn_map_next(catalog->items, &position, &key, &value)) {
        enum pn_rc rc;

        if (catalog->pending && pn_map_get(catalog->pending, key))
            continue;
        rc = stage(catalog, key, NULL);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}
