/* SPDX-License-Identifier: Apache-2.0
 *
 * Staging, committing, undoing. A commit applies the changes to the items, compiles the APIs they
 * touch, makes the tables they touch, and then either keeps all of it or puts every former item
 * back.
 */
#include "gateway/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/listen_names.h"
#include "gateway/snapshot_internal.h"

#define GLOBAL_POLICY_KEY "/policies/policy"
#define POLICY_KEY_MAX    512 /* "/workspaces/{name}/policies/policy" */

/** What is known of one API: its items, what was compiled of them, and what is being compiled. */
struct slot {
    struct pn_list dirty; /* in catalog.dirty while a commit touches it */
    char *key;
    struct pn_item **items; /* sorted by key, the API's own item included */
    size_t count, capacity;
    bool has_changed; /* one of its items, within a commit */
    struct pn_api_entry *current;
    struct pn_api_entry *next;
};

struct change {
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
    bool has_workspace_changed; /* the policy of one */

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
static bool keeps_broken(const struct pn_catalog *catalog)
{
    return catalog->is_full || catalog->is_deferring;
}

/* --- items and slots --- */

/** "/workspaces/w1" of "/workspaces/w1/apis/echo"; empty of what is the service's own. */
static struct pn_slice workspace_of(const char *key)
{
    struct pn_slice scope = pn_item_scope(key);

    return scope.len > 0 ? pn_slice(key, 1 + scope.len) : scope;
}

/** "/apis/echo" of "/apis/echo/operations/get", also below a workspace; empty when it is no API's.
 */
static struct pn_slice slot_key(const char *text)
{
    struct pn_slice key = pn_slice_str(text);
    size_t scope = workspace_of(text).len;
    size_t prefix = scope + sizeof("/apis/") - 1;

    if (!pn_slice_starts_with(pn_slice_sub(key, scope, key.len - scope), PN_LIT("/apis/")))
        return pn_slice("", 0);
    return pn_slice_sub(key, 0,
                        prefix + pn_slice_find(pn_slice_sub(key, prefix, key.len - prefix), '/'));
}

static void slot_destroy(void *value)
{
    struct slot *slot = value;

    if (!slot)
        return;
    pn_api_entry_unref(slot->current);
    pn_api_entry_unref(slot->next);
    free(slot->items);
    free(slot->key);
    free(slot);
}

static struct slot *slot_get(struct pn_catalog *catalog, struct pn_slice key)
{
    struct slot *slot = pn_map_get(catalog->slots, key);

    if (slot)
        return slot;
    slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    pn_list_init(&slot->dirty);
    slot->key = pn_slice_dup(key);
    if (!slot->key ||
        pn_map_set(catalog->slots, pn_slice(slot->key, key.len), slot, NULL) != PN_OK) {
        slot_destroy(slot);
        return NULL;
    }
    return slot;
}

/** Where the key is among the slot's items, or would go. */
static size_t slot_place(const struct slot *slot, const char *key, bool *is_there)
{
    size_t low = 0;
    size_t high = slot->count;

    *is_there = false;
    while (low < high && !*is_there) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, slot->items[middle]->key);

        if (order > 0) {
            low = middle + 1;
        } else {
            high = middle;
            *is_there = order == 0;
        }
    }
    return high < low ? low : high;
}

static enum pn_rc slot_set(struct slot *slot, struct pn_item *item)
{
    bool is_there;
    size_t at = slot_place(slot, item->key, &is_there);

    if (is_there) {
        slot->items[at] = item;
        return PN_OK;
    }
    if (slot->count == slot->capacity) {
        size_t capacity = slot->capacity > 0 ? slot->capacity * 2 : 4;
        struct pn_item **items = realloc(slot->items, capacity * sizeof(struct pn_item *));

        if (!items)
            return PN_NOMEM;
        slot->items = items;
        slot->capacity = capacity;
    }
    memmove(slot->items + at + 1, slot->items + at, (slot->count - at) * sizeof(struct pn_item *));
    slot->items[at] = item;
    slot->count++;
    return PN_OK;
}

static void slot_remove(struct slot *slot, const char *key)
{
    bool is_there;
    size_t at = slot_place(slot, key, &is_there);

    if (!is_there)
        return;
    slot->count--;
    memmove(slot->items + at, slot->items + at + 1, (slot->count - at) * sizeof(struct pn_item *));
}

/** The API's own item, or NULL: its key comes before those of its children. */
static struct pn_item *slot_api(const struct slot *slot)
{
    return slot->count > 0 && strcmp(slot->items[0]->key, slot->key) == 0 ? slot->items[0] : NULL;
}

/** Sets or removes one item (borrowed; the caller counts) in the maps. PN_NOMEM: nothing changed.
 */
static enum pn_rc put(struct pn_catalog *catalog, const char *key_text, struct pn_item *item)
{
    struct pn_slice key = pn_slice_str(key_text);
    struct pn_slice owner = slot_key(key_text);
    struct slot *slot = NULL;
    enum pn_rc rc = PN_OK;

    if (owner.len > 0) {
        slot = slot_get(catalog, owner);
        if (!slot)
            return PN_NOMEM;
        pn_list_remove(&slot->dirty);
        pn_list_push_back(&catalog->dirty, &slot->dirty);
        slot->has_changed = true;
    }
    if (!item) {
        pn_map_remove(catalog->items, key);
        if (slot)
            slot_remove(slot, key_text);
        return PN_OK;
    }
    if (slot)
        rc = slot_set(slot, item);
    if (rc == PN_OK)
        rc = pn_map_set(catalog->items, pn_slice_str(item->key), item, NULL);
    return rc;
}

/* --- staging --- */

static void change_destroy(void *value)
{
    struct change *change = value;

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
    struct change *change;

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

static bool is_open(const struct pn_item *item)
{
    return atomic_load_explicit(&item->is_open, memory_order_acquire);
}

/** A backend that is in use has a state, which its next version goes on with. */
static void adopt(const struct pn_item *former, struct pn_item *item)
{
    if (!former || former->kind != PN_ITEM_BACKEND || item->kind != PN_ITEM_BACKEND ||
        !is_open(former) || !former->as.backend)
        return;
    if (is_open(item) ? !item->is_broken : pn_item_use(item))
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
        rc =
            pn_item_create(&catalog->house, key, type, json, keeps_broken(catalog), &item, &reason);
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
static enum pn_rc stage_deletes(struct pn_catalog *catalog)
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

/* --- committing --- */

static bool is_workspace_policy(const char *key)
{
    size_t scope = workspace_of(key).len;

    return scope > 0 && strcmp(key + scope, GLOBAL_POLICY_KEY) == 0;
}

static enum pn_rc apply(struct pn_catalog *catalog)
{
    for (struct pn_list *at = catalog->pending_order.next; at != &catalog->pending_order;
         at = at->next) {
        struct change *change = PN_CONTAINER(at, struct change, entry);
        struct pn_slice key = pn_slice_str(change->key);
        struct pn_item *former = pn_map_get(catalog->items, key);
        enum pn_rc rc;

        if (!former && !change->item)
            continue;
        if (former && change->item && pn_item_eq(former, change->item))
            continue; /* the same again: keep the compiled one */
        rc = put(catalog, change->key, change->item);
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
        struct change *change = PN_CONTAINER(at, struct change, entry);
        enum pn_rc rc;

        if (!change->is_applied)
            continue;
        rc = put(catalog, change->key, change->former);
        if (rc != PN_OK)
            abort(); /* out of memory in the middle of a configuration: start again from the log */
        change->former = NULL; /* the map's again */
        pn_item_unref(change->item);
        change->is_applied = false;
    }
}

/** The policy of the API's workspace, or NULL. */
static struct pn_item *workspace_policy(const struct pn_catalog *catalog, const struct slot *slot)
{
    struct pn_slice workspace = workspace_of(slot->key);
    char key[POLICY_KEY_MAX];
    int len;

    if (workspace.len == 0)
        return NULL;
    len = snprintf(key, sizeof(key), "%.*s" GLOBAL_POLICY_KEY, PN_FMT(workspace));
    return len > 0 && (size_t)len < sizeof(key)
               ? pn_map_get(catalog->items, pn_slice(key, (size_t)len))
               : NULL;
}

/** A change that comes alone is compiled to see whether it can be; otherwise that waits for the
 * first request. A changed global document alone can make no API unusable that was not. */
static enum pn_rc renew_dirty(struct pn_catalog *catalog, struct pn_error *err)
{
    struct pn_item *bases[PN_API_BASES] = {
        pn_map_get(catalog->items, PN_LIT(GLOBAL_POLICY_KEY)),
    };
    enum pn_rc rc = PN_OK;

    for (struct pn_list *at = catalog->dirty.next; rc == PN_OK && at != &catalog->dirty;
         at = at->next) {
        struct slot *slot = PN_CONTAINER(at, struct slot, dirty);
        struct pn_item *item = slot_api(slot);

        if (!item)
            continue; /* the API is gone: slot->next stays NULL */
        bases[1] = workspace_policy(catalog, slot);
        rc = pn_api_entry_create(item, slot->items, slot->count, bases, slot->current, &slot->next);
        if (rc != PN_OK)
            return pn_error_set(err, rc, "out_of_memory", "no memory for %s", slot->key);
        if (!keeps_broken(catalog) && slot->has_changed)
            rc = pn_api_entry_check(slot->next, err);
    }
    return rc;
}

/** The APIs that stand on a document which changed: all, or (`of_workspaces`) those of workspaces.
 */
static void mark_dirty(struct pn_catalog *catalog, bool of_workspaces)
{
    struct pn_slice key;
    size_t position = 0;
    void *value;

    while (pn_map_next(catalog->slots, &position, &key, &value)) {
        struct slot *slot = value;

        if (of_workspaces && !pn_slice_starts_with(key, PN_LIT("/" PN_WORKSPACE_PREFIX)))
            continue;
        pn_list_remove(&slot->dirty);
        pn_list_push_back(&catalog->dirty, &slot->dirty);
    }
}

static bool is_dirty(const struct slot *slot)
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
        const struct slot *slot = value;
        struct pn_api_entry *entry = is_dirty(slot) ? slot->next : slot->current;

        if (entry)
            entries[count++] = entry;
    }
    rc = pn_route_list_create(entries, count, keeps_broken(catalog), routes, err);
    free(entries);
    return rc;
}

/** The routes with what this commit changes: one API must not cost the more the more there are. */
static enum pn_rc make_routes(struct pn_catalog *catalog, struct pn_route_list *former,
                              struct pn_route_list **routes, struct pn_error *err)
{
    struct pn_api_change changes[PN_TABLE_CHANGES_MAX];
    size_t count = 0;
    enum pn_rc rc = former && !keeps_broken(catalog) ? PN_OK : PN_LIMIT;

    for (struct pn_list *at = catalog->dirty.next; rc == PN_OK && at != &catalog->dirty;
         at = at->next) {
        const struct slot *slot = PN_CONTAINER(at, struct slot, dirty);

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
    if (rc != PN_OK && keeps_broken(catalog) && rc != PN_NOMEM) {
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

    if (keeps_broken(catalog))
        return PN_LIMIT;
    for (struct pn_list *at = catalog->pending_order.next; at != &catalog->pending_order;
         at = at->next) {
        const struct change *change = PN_CONTAINER(at, struct change, entry);
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
    if (rc != PN_OK && rc != PN_NOMEM && keeps_broken(catalog)) {
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

static enum pn_rc make_snapshot(struct pn_catalog *catalog, struct pn_snapshot **out,
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

/** Ends the commit for every touched slot: the new API stays, or is dropped. */
static void settle(struct pn_catalog *catalog, bool is_committed)
{
    for (struct pn_list *at = catalog->dirty.next; at != &catalog->dirty;) {
        struct slot *slot = PN_CONTAINER(at, struct slot, dirty);

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
            slot_destroy(slot);
        }
    }
    pn_list_init(&catalog->dirty);
    memset(catalog->has_changed, 0, sizeof(catalog->has_changed));
    catalog->has_global_changed = false;
    catalog->has_workspace_changed = false;
}

static enum pn_rc apply_pending(struct pn_catalog *catalog, struct pn_error *err)
{
    enum pn_rc rc = catalog->is_full ? stage_deletes(catalog) : PN_OK;

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
        struct slot *slot = PN_CONTAINER(at, struct slot, dirty);

        if (slot->next && !(slot->current && atomic_load(&slot->current->api)))
            pn_api_entry_shut(slot->next);
    }
    pthread_mutex_lock(&catalog->house.lock);
    for (struct pn_list *at = catalog->pending_order.next;
         !keeps_broken(catalog) && at != &catalog->pending_order; at = at->next) {
        struct change *change = PN_CONTAINER(at, struct change, entry);
        const struct pn_item *item = change->item;

        if (!change->is_applied || !item || item->kind == PN_ITEM_SERVICE ||
            item->kind == PN_ITEM_HOSTNAME || item->kind == PN_ITEM_SUBSCRIPTION ||
            item->kind == PN_ITEM_OUTBOUND)
            continue;
        if ((item->kind == PN_ITEM_BACKEND || item->kind == PN_ITEM_CERTIFICATE) &&
            change->former && is_open(change->former))
            continue;
        pn_item_close_locked(change->item); /* what an API has compiled of it has it open too */
    }
    pthread_mutex_unlock(&catalog->house.lock);
}

static enum pn_rc compile(struct pn_catalog *catalog, struct pn_snapshot **next,
                          struct pn_error *err)
{
    enum pn_rc rc;

    if (catalog->has_global_changed)
        mark_dirty(catalog, false);
    else if (catalog->has_workspace_changed)
        mark_dirty(catalog, true);
    rc = renew_dirty(catalog, err);
    if (rc == PN_OK)
        rc = make_snapshot(catalog, next, err);
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
    rc = make_snapshot(catalog, &next, err);
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
    pn_map_destroy(catalog->slots, slot_destroy);
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
