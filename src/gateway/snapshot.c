/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of a snapshot, and asking them.
 */
#include "gateway/snapshot_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/catalog.h"

#define TABLE_KEY_MAX 768 /* two names of 80 characters in UTF-8, and what stands between */

/* --- item tables --- */

#define ITEM_KEYS_MAX 2

/** What an item is found by; they live as long as the item. */
static size_t item_keys(const struct pn_item *item, struct pn_slice keys[ITEM_KEYS_MAX])
{
    const struct pn_client_certificate *certificate =
        item->kind == PN_ITEM_CERTIFICATE ? item->as.certificate : NULL;

    keys[0] = pn_slice_str(certificate && certificate->embedded_key ? certificate->embedded_key
                                                                    : item->name);
    if (!certificate || certificate->embedded_key)
        return 1;
    keys[1] = pn_slice_str(certificate->scoped_print_key ? certificate->scoped_print_key
                                                         : certificate->print_key);
    return 2;
}

static struct pn_item gone; /* in the table over a base: the name is no more */

struct pn_item *pn_item_table_find(const struct pn_item_table *table, struct pn_slice key)
{
    struct pn_item *item = pn_map_get(table->by_name, key);

    if (!item && table->base)
        item = pn_map_get(table->base->by_name, key);
    return item == &gone ? NULL : item;
}

static enum pn_rc add_twin(struct pn_item_table *table, struct pn_slice key, struct pn_item *item)
{
    if (!table->twins)
        table->twins = pn_map_create_borrowing(true);
    return table->twins ? pn_map_set(table->twins, key, item, NULL) : PN_NOMEM;
}

static bool is_twin(const struct pn_item_table *table, struct pn_slice key)
{
    return (table->twins && pn_map_get(table->twins, key)) ||
           (table->base && is_twin(table->base, key));
}

/** Later ones of the same name or thumbprint leave the first in place. */
static enum pn_rc table_add(struct pn_item_table *table, struct pn_item *item)
{
    struct pn_slice keys[ITEM_KEYS_MAX];
    enum pn_rc rc = PN_OK;
    size_t count;

    if (item->is_broken)
        return PN_OK;
    if (item->kind == PN_ITEM_SUBSCRIPTION) {
        const struct pn_subscription_keys *of = item->as.subscription;

        for (size_t i = 0; rc == PN_OK && i < of->count; i++)
            rc = pn_key_table_add(table->keys, of->sha256[i], &of->subscription);
        return rc;
    }
    count = item_keys(item, keys);
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (pn_item_table_find(table, keys[i]))
            rc = add_twin(table, keys[i], item);
        else
            rc = pn_map_set(table->by_name, keys[i], item, NULL);
    }
    return rc;
}

static enum pn_rc table_remove(struct pn_item_table *table, const struct pn_item *item)
{
    struct pn_slice keys[ITEM_KEYS_MAX];
    size_t count =
        item->kind == PN_ITEM_CERTIFICATE && !item->as.certificate ? 0 : item_keys(item, keys);
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (is_twin(table, keys[i]))
            rc = PN_LIMIT; /* the other one is to be found now: who that is, all have to be asked */
        else if (pn_item_table_find(table, keys[i]) == item)
            rc = pn_map_set(table->by_name, keys[i], &gone, NULL);
    }
    return rc;
}

/** An empty table over the base of `former`, with what `former` has over it. */
static enum pn_rc table_over(struct pn_item_table *former, size_t more, struct pn_item_table **out)
{
    struct pn_item_table *table = calloc(1, sizeof(*table));
    struct pn_slice key;
    size_t position = 0;
    void *value;
    enum pn_rc rc = PN_OK;

    if (!table)
        return PN_NOMEM;
    table->refs = 1;
    table->base = former->base ? former->base : former;
    table->base->refs++;
    table->by_name = pn_map_create_borrowing(true);
    table->items = calloc((former->base ? former->count : 0) + more, sizeof(*table->items));
    if (!table->by_name || !table->items)
        rc = PN_NOMEM;
    while (rc == PN_OK && former->base && pn_map_next(former->by_name, &position, &key, &value))
        rc = pn_map_set(table->by_name, key, value, NULL);
    position = 0;
    while (rc == PN_OK && former->base && former->twins &&
           pn_map_next(former->twins, &position, &key, &value))
        rc = add_twin(table, key, value);
    for (size_t i = 0; rc == PN_OK && former->base && i < former->count; i++)
        table->items[table->count++] = pn_item_ref(former->items[i]);
    if (rc == PN_OK)
        *out = table;
    else
        pn_item_table_unref(table);
    return rc;
}

enum pn_rc pn_item_table_amend(struct pn_item_table *former, const struct pn_item_change *changes,
                               size_t count, struct pn_item_table **out)
{
    struct pn_item_table *table = NULL;
    enum pn_rc rc;

    if ((former->base ? former->count : 0) + count > PN_TABLE_CHANGES_MAX)
        return PN_LIMIT;
    rc = table_over(former, count, &table);
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (changes[i].former)
            rc = table_remove(table, changes[i].former);
    }
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (!changes[i].item)
            continue;
        table->items[table->count++] = pn_item_ref(changes[i].item);
        rc = table_add(table, changes[i].item);
    }
    if (rc == PN_OK) {
        *out = table;
        table = NULL;
    }
    pn_item_table_unref(table);
    return rc;
}

enum pn_rc pn_item_table_create(struct pn_item *const *items, size_t count, enum pn_item_kind kind,
                                struct pn_item_table **out)
{
    struct pn_item_table *table = calloc(1, sizeof(*table));
    enum pn_rc rc = PN_NOMEM;

    if (!table)
        return PN_NOMEM;
    table->refs = 1;
    table->by_name = pn_map_create_borrowing(true);
    table->items = calloc(count + 1, sizeof(*table->items));
    if (kind == PN_ITEM_SUBSCRIPTION)
        table->keys = pn_key_table_create(count * 2);
    if (table->by_name && table->items && (table->keys || kind != PN_ITEM_SUBSCRIPTION))
        rc = PN_OK;
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        table->items[table->count++] = pn_item_ref(items[i]);
        rc = table_add(table, items[i]);
    }
    if (rc == PN_OK) {
        *out = table;
        table = NULL;
    }
    pn_item_table_unref(table);
    return rc;
}

void pn_item_table_unref(struct pn_item_table *table)
{
    if (!table || --table->refs > 0)
        return;
    pn_map_destroy(table->by_name, NULL);
    pn_map_destroy(table->twins, NULL);
    pn_key_table_destroy(table->keys);
    for (size_t i = 0; i < table->count; i++)
        pn_item_unref(table->items[i]);
    free(table->items);
    pn_item_table_unref(table->base);
    free(table);
}

/* --- routes --- */

static enum pn_rc path_taken(const struct pn_api_entry *entry, struct pn_error *err)
{
    return pn_error_set(err, PN_EXISTS, "path_taken", "%s: another API has the path '%s'",
                        entry->items[0]->key, entry->path);
}

/** With room for `capacity` entries, over `base` or empty. */
static enum pn_rc list_begin(struct pn_route_list *base, size_t capacity,
                             struct pn_route_list **out)
{
    struct pn_route_list *list = calloc(1, sizeof(*list));

    if (!list)
        return PN_NOMEM;
    list->refs = 1;
    if (base) {
        list->base = base;
        base->refs++;
    }
    list->table = pn_route_table_create(base ? base->table : NULL);
    list->entries = calloc(capacity + 1, sizeof(struct pn_api_entry *));
    if (!list->table || !list->entries) {
        pn_route_list_unref(list);
        return PN_NOMEM;
    }
    *out = list;
    return PN_OK;
}

/** PN_EXISTS: its path is another's; it is kept nevertheless. */
static enum pn_rc list_add(struct pn_route_list *list, struct pn_api_entry *entry)
{
    entry->refs++;
    list->entries[list->count++] = entry;
    return entry->is_current && entry->is_routed
               ? pn_route_table_add(list->table, pn_slice_str(entry->path), entry)
               : PN_OK;
}

enum pn_rc pn_route_list_create(struct pn_api_entry *const *entries, size_t count, bool keep_broken,
                                struct pn_route_list **out, struct pn_error *err)
{
    struct pn_route_list *list = NULL;
    enum pn_rc rc = list_begin(NULL, count, &list);

    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        rc = list_add(list, entries[i]);
        if (rc == PN_EXISTS && keep_broken) {
            pn_log(PN_LOG_ERROR, "api_path_taken_twice", "api", PN_S(entries[i]->items[0]->name),
                   "path", PN_S(entries[i]->path), NULL);
            list->has_twins = true;
            rc = PN_OK;
        } else if (rc == PN_EXISTS) {
            path_taken(entries[i], err);
        }
    }
    if (rc == PN_OK) {
        *out = list;
        return PN_OK;
    }
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "no memory for the routes");
    pn_route_list_unref(list);
    return rc;
}

static enum pn_rc list_remove(struct pn_route_list *list, const struct pn_api_entry *entry)
{
    struct pn_slice path = pn_slice_str(entry->path);

    if (!entry->is_routed || pn_route_table_get(list->table, path) != entry)
        return PN_OK;
    return pn_route_table_remove(list->table, path);
}

enum pn_rc pn_route_list_amend(struct pn_route_list *former, const struct pn_api_change *changes,
                               size_t count, struct pn_route_list **out, struct pn_error *err)
{
    struct pn_route_list *list = NULL;
    size_t own = former->base ? former->count : 0;
    enum pn_rc rc;

    if (former->has_twins || own + count > PN_TABLE_CHANGES_MAX)
        return PN_LIMIT;
    rc = list_begin(former->base ? former->base : former, own + count, &list);
    for (size_t i = 0; rc == PN_OK && i < own; i++) {
        former->entries[i]->refs++; /* also replaced ones: the table borrows their paths */
        list->entries[list->count++] = former->entries[i];
    }
    if (rc == PN_OK && former->base)
        rc = pn_route_table_copy(list->table, former->table);
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (changes[i].former)
            rc = list_remove(list, changes[i].former);
    }
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (changes[i].entry)
            rc = list_add(list, changes[i].entry);
        if (rc == PN_EXISTS)
            path_taken(changes[i].entry, err);
    }
    if (rc == PN_OK) {
        *out = list;
        return PN_OK;
    }
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "no memory for the routes");
    pn_route_list_unref(list);
    return rc;
}

void pn_route_list_unref(struct pn_route_list *list)
{
    if (!list || --list->refs > 0)
        return;
    pn_route_table_destroy(list->table);
    for (size_t i = 0; i < list->count; i++)
        pn_api_entry_unref(list->entries[i]);
    free(list->entries);
    pn_route_list_unref(list->base);
    free(list);
}

/* --- snapshots --- */

struct pn_snapshot *pn_snapshot_ref(struct pn_snapshot *snapshot)
{
    snapshot->refs++;
    return snapshot;
}

void pn_snapshot_unref(struct pn_snapshot *snapshot)
{
    if (!snapshot || --snapshot->refs > 0)
        return;
    pn_route_list_unref(snapshot->routes);
    pn_item_table_unref(snapshot->backends);
    pn_item_table_unref(snapshot->certificates);
    pn_item_table_unref(snapshot->tokens);
    pn_item_table_unref(snapshot->keys);
    pn_item_unref(snapshot->service);
    pn_tls_server_unref(snapshot->listener);
    pn_trust_base_unref(snapshot->trusts);
    pn_outbound_unref(snapshot->outbound);
    free(snapshot);
}

const struct pn_api *pn_snapshot_route(const struct pn_snapshot *snapshot, struct pn_slice path,
                                       struct pn_slice *rest)
{
    const struct pn_api_entry *entry = pn_route_table_find(snapshot->routes->table, path, rest);

    /* The table gives back what it was given: an entry that threads may have compiled. */
    return entry ? pn_api_entry_use((struct pn_api_entry *)(uintptr_t)entry) : NULL;
}

const struct pn_backend *pn_snapshot_backend(const struct pn_snapshot *snapshot,
                                             struct pn_slice name)
{
    struct pn_item *item = pn_item_table_find(snapshot->backends, name);

    return item && pn_item_use(item) ? item->as.backend : NULL;
}

/** An item's name: `name` itself in the service, "{scope}{between}{name}" in a workspace. False:
 * longer than any there is, or no name at all: a '/' could lead into another scope. */
static bool scoped_name(struct pn_slice scope, const char *between, struct pn_slice name,
                        char buffer[TABLE_KEY_MAX], struct pn_slice *out)
{
    int len;

    *out = name;
    if (pn_slice_find(name, '/') < name.len)
        return false;
    if (scope.len == 0)
        return true;
    len = snprintf(buffer, TABLE_KEY_MAX, "%.*s%s%.*s", PN_FMT(scope), between, PN_FMT(name));
    *out = pn_slice(buffer, len > 0 ? (size_t)len : 0);
    return len > 0 && len < TABLE_KEY_MAX;
}

const struct pn_backend *pn_snapshot_backend_in(const struct pn_snapshot *snapshot,
                                                struct pn_slice scope, struct pn_slice name)
{
    char buffer[TABLE_KEY_MAX];
    struct pn_slice full;

    return scoped_name(scope, "/backends/", name, buffer, &full)
               ? pn_snapshot_backend(snapshot, full)
               : NULL;
}

bool pn_snapshot_has_backend(const struct pn_snapshot *snapshot, struct pn_slice name)
{
    return pn_item_table_find(snapshot->backends, name) != NULL;
}

static const struct pn_client_certificate *certificate_get(const struct pn_snapshot *snapshot,
                                                           struct pn_slice key)
{
    struct pn_item *item = pn_item_table_find(snapshot->certificates, key);

    return item && pn_item_use(item) ? item->as.certificate : NULL;
}

/** A name with a ':' or '#' is no certificate id, so prefixes cannot be forged. */
const struct pn_client_certificate *pn_snapshot_certificate(const struct pn_snapshot *snapshot,
                                                            struct pn_slice name)
{
    if (pn_slice_find(name, ':') < name.len || pn_slice_find(name, '#') < name.len)
        return NULL;
    return certificate_get(snapshot, name);
}

const struct pn_client_certificate *pn_snapshot_certificate_in(const struct pn_snapshot *snapshot,
                                                               struct pn_slice scope,
                                                               struct pn_slice name)
{
    char buffer[TABLE_KEY_MAX];
    struct pn_slice full;

    return scoped_name(scope, "/certificates/", name, buffer, &full)
               ? pn_snapshot_certificate(snapshot, full)
               : NULL;
}

const struct pn_client_certificate *
pn_snapshot_certificate_by_thumbprint(const struct pn_snapshot *snapshot, struct pn_slice scope,
                                      struct pn_slice thumbprint)
{
    char print[PN_THUMBPRINT_TEXT];
    char key[TABLE_KEY_MAX];
    int len;

    if (!pn_thumbprint_parse(thumbprint, print))
        return NULL;
    len = snprintf(key, sizeof(key), "#%s%s%.*s", print, scope.len > 0 ? "/" : "", PN_FMT(scope));
    if (len < 0 || (size_t)len >= sizeof(key))
        return NULL;
    return certificate_get(snapshot, pn_slice(key, (size_t)len));
}

const struct pn_client_certificate *
pn_snapshot_certificate_embedded_named(const struct pn_snapshot *snapshot, struct pn_slice name)
{
    char key[TABLE_KEY_MAX];
    int len = snprintf(key, sizeof(key), PN_EMBEDDED_NAME_PREFIX "%.*s", PN_FMT(name));

    if (len < 0 || (size_t)len >= sizeof(key))
        return NULL;
    return certificate_get(snapshot, pn_slice(key, (size_t)len));
}

const struct pn_client_certificate *
pn_snapshot_certificate_embedded(const struct pn_snapshot *snapshot, struct pn_slice scope,
                                 struct pn_slice id)
{
    char buffer[TABLE_KEY_MAX];
    struct pn_slice full;

    return scoped_name(scope, "/" PN_EMBEDDED_KEY_PREFIX, id, buffer, &full)
               ? pn_snapshot_certificate_embedded_named(snapshot, full)
               : NULL;
}

const struct pn_identity_token *pn_snapshot_token(const struct pn_snapshot *snapshot,
                                                  struct pn_slice name)
{
    struct pn_item *item = pn_item_table_find(snapshot->tokens, name);

    return item && pn_item_use(item) ? item->as.token : NULL;
}

enum pn_rc pn_snapshot_check_key(const struct pn_snapshot *snapshot, const struct pn_api *api,
                                 struct pn_slice key, const struct pn_subscription **who)
{
    const struct pn_key_door door = {pn_slice_str(api->key), api->product_keys, api->product_count};

    return pn_key_table_check(snapshot->keys->keys, key, &door, who);
}

struct pn_tls_server *pn_snapshot_listener(const struct pn_snapshot *snapshot)
{
    return snapshot->listener;
}
