/* SPDX-License-Identifier: Apache-2.0
 *
 * The snapshot that a commit makes: routes, tables, listener, trust. What has not changed is the
 * former one's; one change must not cost the more the more there is.
 */
#include "gateway/catalog_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/listen_names.h"

static bool is_dirty(const struct pn_catalog_slot *slot)
{
    return slot->dirty.next != &slot->dirty;
}

static enum pn_rc make_whole_routes(struct pn_catalog *catalog, struct pn_route_list **routes,
                                    struct pn_error *err)
{
    size_t capacity = pn_map_count(catalog->slots);
    struct pn_api_entry **entries = calloc(capacity + 1, sizeof(struct pn_api_entry *));
    struct pn_slice key;
    size_t position = 0;
    size_t count = 0;
    void *value;
    enum pn_rc rc;

    if (!entries)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the routes");
    while (pn_map_next(catalog->slots, &position, &key, &value)) {
        const struct pn_catalog_slot *slot = value;
        struct pn_api_entry *entry = is_dirty(slot) ? slot->next : slot->current;

        if (entry)
            entries[count++] = entry;
    }
    rc = pn_route_list_create(entries, count, pn_catalog_keeps_broken(catalog), routes, err);
    free(entries);
    return rc;
}

/** The routes with what this commit changes: one API must not cost the more the more there are. */
static enum pn_rc make_routes(struct pn_catalog *catalog, struct pn_route_list *former,
                              struct pn_route_list **routes, struct pn_error *err)
{
    struct pn_api_change changes[PN_TABLE_CHANGES_MAX];
    size_t count = 0;
    enum pn_rc rc = former && !pn_catalog_keeps_broken(catalog) ? PN_OK : PN_LIMIT;

    for (struct pn_list *at = catalog->dirty.next; rc == PN_OK && at != &catalog->dirty;
         at = at->next) {
        const struct pn_catalog_slot *slot = PN_CONTAINER(at, struct pn_catalog_slot, dirty);

        if (count == PN_TABLE_CHANGES_MAX)
            rc = PN_LIMIT;
        else
            changes[count++] = (struct pn_api_change){slot->current, slot->next};
    }
    if (rc == PN_OK)
        rc = pn_route_list_amend(former, changes, count, routes, err);
    return rc == PN_LIMIT ? make_whole_routes(catalog, routes, err) : rc;
}

/** The items of one kind; the array is the caller's. NULL: no memory. */
static struct pn_item **items_of(struct pn_catalog *catalog, enum pn_item_kind kind, size_t *count)
{
    struct pn_item **items = calloc(pn_map_count(catalog->items) + 1, sizeof(*items));
    struct pn_slice key;
    size_t position = 0;
    void *value;

    *count = 0;
    while (items && pn_map_next(catalog->items, &position, &key, &value)) {
        struct pn_item *item = value;

        if (item->kind == kind)
            items[(*count)++] = item;
    }
    return items;
}

static enum pn_rc make_table(struct pn_catalog *catalog, enum pn_item_kind kind,
                             struct pn_item_table **table)
{
    size_t count;
    struct pn_item **items = items_of(catalog, kind, &count);
    enum pn_rc rc;

    if (!items)
        return PN_NOMEM;
    rc = pn_item_table_create(items, count, kind, table);
    free(items);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct pn_item *const *)a)->key, (*(struct pn_item *const *)b)->key);
}

/** The TLS listener: the former's, unless the service or a host name changed. In a whole
 * configuration one that cannot be made is left out: clients are then refused. */
static enum pn_rc make_listener(struct pn_catalog *catalog, const struct pn_snapshot *former,
                                struct pn_snapshot *next, struct pn_error *err)
{
    struct pn_error reason = {.rc = PN_OK};
    struct pn_item **items;
    size_t count, usable = 0;
    enum pn_rc rc;

    if (former && !catalog->has_changed[PN_ITEM_SERVICE] &&
        !catalog->has_changed[PN_ITEM_HOSTNAME]) {
        next->listener = former->listener ? pn_tls_server_ref(former->listener) : NULL;
        return PN_OK;
    }
    items = items_of(catalog, PN_ITEM_HOSTNAME, &count);
    if (!items)
        return PN_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (!items[i]->is_broken)
            items[usable++] = items[i];
    }
    qsort(items, usable, sizeof(struct pn_item *), by_key);
    rc = pn_listen_names_make(next->service, items, usable, catalog->tickets,
                              catalog->use_own_records, &next->listener, &reason);
    free(items);
    if (rc != PN_OK && pn_catalog_keeps_broken(catalog) && rc != PN_NOMEM) {
        pn_log_error(PN_LOG_ERROR, "listener_unusable", &reason);
        return PN_OK;
    }
    if (rc != PN_OK && err)
        *err = reason;
    return rc;
}

/** The certificates or backends with what this commit changes: one of them must not cost the more
 * the more there are. PN_LIMIT: a whole table is to be made. */
static enum pn_rc amend_table(struct pn_catalog *catalog, enum pn_item_kind kind,
                              struct pn_item_table *former, struct pn_item_table **table)
{
    struct pn_item_change changes[PN_TABLE_CHANGES_MAX];
    size_t count = 0;

    if (pn_catalog_keeps_broken(catalog))
        return PN_LIMIT;
    for (struct pn_list *at = catalog->pending_order.next; at != &catalog->pending_order;
         at = at->next) {
        const struct pn_catalog_change *change = PN_CONTAINER(at, struct pn_catalog_change, entry);
        const struct pn_item *either = change->item ? change->item : change->former;

        if (!change->is_applied || either->kind != kind)
            continue;
        if (count == PN_TABLE_CHANGES_MAX)
            return PN_LIMIT;
        changes[count++] = (struct pn_item_change){change->former, change->item};
    }
    return pn_item_table_amend(former, changes, count, table);
}

/** The former's table when nothing of that kind changed, else a new one. */
static enum pn_rc table_for(struct pn_catalog *catalog, enum pn_item_kind kind,
                            struct pn_item_table *former, struct pn_item_table **table)
{
    if (former && !catalog->has_changed[kind]) {
        former->refs++;
        *table = former;
        return PN_OK;
    }
    if (former && kind != PN_ITEM_SUBSCRIPTION) {
        enum pn_rc rc = amend_table(catalog, kind, former, table);

        if (rc != PN_LIMIT)
            return rc;
    }
    return make_table(catalog, kind, table);
}

/** What trust policies are made of: as before, unless the service's CAs are others. */
static enum pn_rc make_trusts(struct pn_catalog *catalog, struct pn_snapshot *next,
                              struct pn_error *err)
{
    const struct pn_item *service = pn_map_get(catalog->items, PN_LIT("/"));
    struct pn_trust_base *former = catalog->trusts;
    struct pn_error reason = {.rc = PN_OK};
    json_t *json = NULL;
    enum pn_rc rc = PN_OK;

    if (former && !catalog->has_changed[PN_ITEM_SERVICE]) {
        next->trusts = pn_trust_base_ref(former);
        return PN_OK;
    }
    if (service)
        rc = pn_json_parse(pn_slice(service->text, service->text_bytes), &json, &reason);
    if (rc == PN_OK)
        rc = pn_trust_base_create(
            catalog->system, json_object_get(json_object_get(json, "internal"), "caCertificates"),
            &next->trusts, &reason);
    json_decref(json);
    if (rc != PN_OK && rc != PN_NOMEM && pn_catalog_keeps_broken(catalog)) {
        /* Fail closed: without the service's CAs fewer backends are trusted, not more. */
        pn_log_error(PN_LOG_ERROR, "service_cas_unusable", &reason);
        rc = pn_trust_base_create(catalog->system, NULL, &next->trusts, &reason);
    }
    if (rc == PN_OK && former && pn_trust_base_equal(next->trusts, former)) {
        pn_trust_base_unref(next->trusts);
        next->trusts = pn_trust_base_ref(former);
    }
    if (rc != PN_OK && err)
        *err = reason;
    return rc;
}

/** Rules that cannot be used refuse everything: nobody knows what they meant to allow. */
static enum pn_rc make_outbound(struct pn_catalog *catalog, const struct pn_snapshot *former,
                                struct pn_snapshot *next)
{
    const struct pn_item *item = pn_map_get(catalog->items, PN_LIT("/posternoutbound/rules"));

    if (former && !catalog->has_changed[PN_ITEM_OUTBOUND])
        next->outbound = pn_outbound_ref(former->outbound);
    else if (item && !item->is_broken)
        next->outbound = pn_outbound_ref(item->as.outbound);
    else if (item)
        next->outbound = pn_outbound_refuse_all();
    return item && !next->outbound ? PN_NOMEM : PN_OK;
}

enum pn_rc pn_catalog_make_snapshot(struct pn_catalog *catalog, struct pn_snapshot **out,
                                    struct pn_error *err)
{
    const struct pn_snapshot *former = catalog->snapshot;
    struct pn_snapshot *next = calloc(1, sizeof(*next));
    struct pn_item *service = pn_map_get(catalog->items, PN_LIT("/"));
    enum pn_rc rc = PN_OK;

    if (!next)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a snapshot");
    next->refs = 1;
    next->number = former ? former->number + 1 : 1;
    if (service && !service->is_broken)
        next->service = pn_item_ref(service);
    if (former && pn_list_is_empty(&catalog->dirty)) {
        next->routes = former->routes;
        next->routes->refs++;
    } else {
        rc = make_routes(catalog, former ? former->routes : NULL, &next->routes, err);
    }
    if (rc == PN_OK)
        rc = table_for(catalog, PN_ITEM_BACKEND, former ? former->backends : NULL, &next->backends);
    if (rc == PN_OK)
        rc = table_for(catalog, PN_ITEM_CERTIFICATE, former ? former->certificates : NULL,
                       &next->certificates);
    if (rc == PN_OK)
        rc = table_for(catalog, PN_ITEM_TOKEN, former ? former->tokens : NULL, &next->tokens);
    if (rc == PN_OK)
        rc = table_for(catalog, PN_ITEM_SUBSCRIPTION, former ? former->keys : NULL, &next->keys);
    if (rc == PN_OK)
        rc = make_listener(catalog, former, next, err);
    if (rc == PN_OK)
        rc = make_trusts(catalog, next, err);
    if (rc == PN_OK)
        rc = make_outbound(catalog, former, next);
    if (rc == PN_OK) {
        *out = next;
        return PN_OK;
    }
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "no memory for a snapshot");
    pn_snapshot_unref(next);
    return rc;
}
