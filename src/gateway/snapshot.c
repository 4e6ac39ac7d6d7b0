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

#define THUMBPRINT_PREFIX "#"
#define TABLE_KEY_MAX     320

/* --- item tables --- */

#define ITEM_KEYS_MAX 2

/** What an item is found by, in `texts`. */
static size_t item_keys(const struct pn_item *item, char texts[ITEM_KEYS_MAX][TABLE_KEY_MAX],
                        struct pn_slice keys[ITEM_KEYS_MAX])
{
    bool is_embedded =
        pn_slice_starts_with(pn_slice_str(item->key), PN_LIT(PN_EMBEDDED_KEY_PREFIX));
    size_t count = item->kind == PN_ITEM_CERTIFICATE && !is_embedded ? 2 : 1;
    int len = snprintf(texts[0], TABLE_KEY_MAX, "%s%s", is_embedded ? PN_EMBEDDED_NAME_PREFIX : "",
                       item->name);

    if (len < 0 || len >= TABLE_KEY_MAX)
        return 0; /* such a name cannot be asked for either */
    keys[0] = pn_slice(texts[0], (size_t)len);
    if (count == 2) {
        len = snprintf(texts[1], TABLE_KEY_MAX, "%s%s", THUMBPRINT_PREFIX,
                       item->as.certificate.thumbprint);
        keys[1] = pn_slice(texts[1], (size_t)len);
    }
    return count;
}

static struct pn_item gone; /* in the table over a base: the name is no more */

const struct pn_item *pn_item_table_find(const struct pn_item_table *table, struct pn_slice key)
{
    const struct pn_item *item = pn_map_get(table->by_name, key);

    if (!item && table->base)
        item = pn_map_get(table->base->by_name, key);
    return item == &gone ? NULL : item;
}

/** Later ones of the same name or thumbprint leave the first in place. */
static enum pn_rc table_add(struct pn_item_table *table, struct pn_item *item)
{
    char texts[ITEM_KEYS_MAX][TABLE_KEY_MAX];
    struct pn_slice keys[ITEM_KEYS_MAX];
    enum pn_rc rc = PN_OK;
    size_t count;

    if (item->is_broken)
        return PN_OK;
    if (item->kind == PN_ITEM_SUBSCRIPTION) {
        const struct pn_subscription_keys *of = &item->as.subscription;

        for (size_t i = 0; rc == PN_OK && i < of->count; i++)
            rc = pn_key_table_add(table->keys, of->sha256[i], &of->subscription);
        return rc;
    }
    count = item_keys(item, texts, keys);
    if (count == 0)
        return PN_LIMIT;
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (pn_item_table_find(table, keys[i]))
            table->has_twins = true;
        else
            rc = pn_map_set(table->by_name, keys[i], item, NULL);
    }
    return rc;
}

static enum pn_rc table_remove(struct pn_item_table *table, const struct pn_item *item)
{
    char texts[ITEM_KEYS_MAX][TABLE_KEY_MAX];
    struct pn_slice keys[ITEM_KEYS_MAX];
    size_t count = item->is_broken ? 0 : item_keys(item, texts, keys);
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        if (pn_item_table_find(table, keys[i]) == item)
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
    table->by_name = pn_map_create(true);
    table->items = calloc((former->base ? former->count : 0) + more, sizeof(*table->items));
    if (!table->by_name || !table->items)
        rc = PN_NOMEM;
    while (rc == PN_OK && former->base && pn_map_next(former->by_name, &position, &key, &value))
        rc = pn_map_set(table->by_name, key, value, NULL);
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

    if (former->has_twins || (former->base ? former->count : 0) + count > PN_TABLE_CHANGES_MAX)
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
        if (table->has_twins)
            rc = PN_LIMIT;
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
    table->by_name = pn_map_create(true);
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
    pn_key_table_destroy(table->keys);
    for (size_t i = 0; i < table->count; i++)
        pn_item_unref(table->items[i]);
    free(table->items);
    pn_item_table_unref(table->base);
    free(table);
}

/* --- routes --- */

enum pn_rc pn_route_list_create(struct pn_api *const *apis, size_t count, bool keep_broken,
                                struct pn_route_list **out, struct pn_error *err)
{
    struct pn_route_list *list = calloc(1, sizeof(*list));
    enum pn_rc rc = PN_NOMEM;

    if (!list)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the routes");
    list->refs = 1;
    list->table = pn_route_table_create();
    list->apis = calloc(count + 1, sizeof(*list->apis));
    if (list->table && list->apis)
        rc = PN_OK;
    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        struct pn_api *api = apis[i];

        api->refs++;
        list->apis[list->count++] = api;
        if (!api->is_current)
            continue;
        rc = pn_route_table_add(list->table, pn_slice_str(api->path), api);
        if (rc == PN_EXISTS && keep_broken) {
            pn_log(PN_LOG_ERROR, "api_path_taken_twice", "api", PN_S(api->id), "path",
                   PN_S(api->path), NULL);
            rc = PN_OK;
        } else if (rc == PN_EXISTS) {
            pn_error_set(err, rc, "path_taken", "%s: another API has the path '%s'", api->key,
                         api->path);
        }
    }
    if (rc == PN_OK) {
        *out = list;
        list = NULL;
    } else if (rc == PN_NOMEM) {
        pn_error_set(err, rc, "out_of_memory", "no memory for the routes");
    }
    pn_route_list_unref(list);
    return rc;
}

void pn_route_list_unref(struct pn_route_list *list)
{
    if (!list || --list->refs > 0)
        return;
    pn_route_table_destroy(list->table);
    for (size_t i = 0; i < list->count; i++)
        pn_api_unref(list->apis[i]);
    free(list->apis);
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
    pn_item_table_unref(snapshot->keys);
    pn_item_unref(snapshot->service);
    pn_tls_server_unref(snapshot->listener);
    free(snapshot);
}

const struct pn_api *pn_snapshot_route(const struct pn_snapshot *snapshot, struct pn_slice path,
                                       struct pn_slice *rest)
{
    return pn_route_table_find(snapshot->routes->table, path, rest);
}

const struct pn_backend *pn_snapshot_backend(const struct pn_snapshot *snapshot,
                                             struct pn_slice name)
{
    const struct pn_item *item = pn_item_table_find(snapshot->backends, name);

    return item ? &item->as.backend : NULL;
}

static const struct pn_client_certificate *certificate_get(const struct pn_snapshot *snapshot,
                                                           const char *prefix, struct pn_slice name)
{
    char key[TABLE_KEY_MAX];
    int len = snprintf(key, sizeof(key), "%s%.*s", prefix, PN_FMT(name));
    const struct pn_item *item;

    if (len < 0 || (size_t)len >= sizeof(key))
        return NULL;
    item = pn_item_table_find(snapshot->certificates, pn_slice(key, (size_t)len));
    return item ? &item->as.certificate : NULL;
}

/** A name with a ':' or '#' is no certificate id, so prefixes cannot be forged. */
const struct pn_client_certificate *pn_snapshot_certificate(const struct pn_snapshot *snapshot,
                                                            struct pn_slice name)
{
    const struct pn_item *item;

    if (pn_slice_find(name, ':') < name.len || pn_slice_find(name, '#') < name.len)
        return NULL;
    item = pn_item_table_find(snapshot->certificates, name);
    return item ? &item->as.certificate : NULL;
}

const struct pn_client_certificate *
pn_snapshot_certificate_by_thumbprint(const struct pn_snapshot *snapshot,
                                      struct pn_slice thumbprint)
{
    char text[PN_THUMBPRINT_TEXT];

    if (!pn_thumbprint_parse(thumbprint, text))
        return NULL;
    return certificate_get(snapshot, THUMBPRINT_PREFIX, pn_slice_str(text));
}

const struct pn_client_certificate *
pn_snapshot_certificate_embedded(const struct pn_snapshot *snapshot, struct pn_slice id)
{
    return certificate_get(snapshot, PN_EMBEDDED_NAME_PREFIX, id);
}

enum pn_rc pn_snapshot_check_key(const struct pn_snapshot *snapshot, const struct pn_api *api,
                                 struct pn_slice key, const struct pn_subscription **who)
{
    return pn_key_table_check(snapshot->keys->keys, key, pn_slice_str(api->key), who);
}

struct pn_tls_server *pn_snapshot_listener(const struct pn_snapshot *snapshot)
{
    return snapshot->listener;
}
