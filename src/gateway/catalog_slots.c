/* SPDX-License-Identifier: Apache-2.0
 *
 * Which items belong to which API.
 */
#include "gateway/catalog_internal.h"

#include <stdlib.h>
#include <string.h>

/** "/workspaces/w1" of "/workspaces/w1/apis/echo"; empty of what is the service's own. */
struct pn_slice pn_catalog_slot_workspace(const char *key)
{
    struct pn_slice scope = pn_item_scope(key);

    return scope.len > 0 ? pn_slice(key, 1 + scope.len) : scope;
}

#define APIS     "/apis/"
#define PRODUCTS "/" PN_PRODUCT_PREFIX

struct pn_slice pn_catalog_product(const char *text)
{
    struct pn_slice key = pn_slice_str(text);
    size_t scope = pn_catalog_slot_workspace(text).len;
    size_t prefix = scope + sizeof(PRODUCTS) - 1;

    if (!pn_slice_starts_with(pn_slice_sub(key, scope, key.len - scope), PN_LIT(PRODUCTS)))
        return pn_slice("", 0);
    return pn_slice_sub(key, 0,
                        prefix + pn_slice_find(pn_slice_sub(key, prefix, key.len - prefix), '/'));
}

/** "/apis/echo" of "/products/gold/apis/echo", in the buffer; empty when it is no link. */
static struct pn_slice linked_slot_key(const char *text, char buffer[PN_ITEM_KEY_MAX + 1])
{
    struct pn_slice product = pn_catalog_product(text);
    struct pn_slice rest = pn_slice_str(text + product.len);
    size_t scope = pn_catalog_slot_workspace(text).len;

    if (product.len == 0 || !pn_slice_starts_with(rest, PN_LIT(APIS)) ||
        pn_slice_find(pn_slice_sub(rest, sizeof(APIS) - 1, rest.len), '/') + sizeof(APIS) - 1 <
            rest.len)
        return pn_slice("", 0);
    memcpy(buffer, text, scope);
    memcpy(buffer + scope, rest.ptr, rest.len);
    return pn_slice(buffer, scope + rest.len);
}

/** "/apis/echo" of "/apis/echo/operations/get", also below a workspace; and of a link to a product.
 * Empty when it is no API's. */
static struct pn_slice slot_key(const char *text, char buffer[PN_ITEM_KEY_MAX + 1])
{
    struct pn_slice key = pn_slice_str(text);
    size_t scope = pn_catalog_slot_workspace(text).len;
    size_t prefix = scope + sizeof(APIS) - 1;

    if (pn_catalog_product(text).len > 0)
        return linked_slot_key(text, buffer);
    if (!pn_slice_starts_with(pn_slice_sub(key, scope, key.len - scope), PN_LIT(APIS)))
        return pn_slice("", 0);
    return pn_slice_sub(key, 0,
                        prefix + pn_slice_find(pn_slice_sub(key, prefix, key.len - prefix), '/'));
}

/* --- what an API stands on --- */

bool pn_catalog_slot_link(const struct pn_catalog_slot *slot, size_t *at)
{
    /* Keys of links come behind all others: "products" behind "apis". */
    if (*at == 0 || slot->items[*at - 1]->kind != PN_ITEM_PRODUCT_API)
        return false;
    --*at;
    return true;
}

/** Beyond the longest key there is nothing. */
static struct pn_item *policy_of(const struct pn_catalog *catalog, struct pn_slice owner)
{
    char key[PN_ITEM_KEY_MAX + sizeof(PN_POLICY_SUFFIX)];

    if (owner.len > PN_ITEM_KEY_MAX)
        return NULL;
    memcpy(key, owner.ptr, owner.len);
    memcpy(key + owner.len, PN_POLICY_SUFFIX, sizeof(PN_POLICY_SUFFIX));
    return pn_map_get(catalog->items, pn_slice(key, owner.len + sizeof(PN_POLICY_SUFFIX) - 1));
}

enum pn_rc pn_catalog_slot_bases(const struct pn_catalog *catalog,
                                 const struct pn_catalog_slot *slot, struct pn_item ***out,
                                 size_t *count)
{
    struct pn_slice workspace = pn_catalog_slot_workspace(slot->key);
    size_t first = slot->count;
    struct pn_item **bases;

    while (pn_catalog_slot_link(slot, &first))
        ;
    *count = PN_API_BASES + PN_LINK_BASES * (slot->count - first);
    bases = calloc(*count, sizeof(struct pn_item *));
    if (!bases)
        return PN_NOMEM;
    bases[0] = policy_of(catalog, pn_slice("", 0));
    bases[1] = workspace.len > 0 ? policy_of(catalog, workspace) : NULL;
    for (size_t i = first; i < slot->count; i++) {
        struct pn_slice product = pn_catalog_product(slot->items[i]->key);
        struct pn_item **pair = bases + PN_API_BASES + PN_LINK_BASES * (i - first);

        pair[0] = pn_map_get(catalog->items, product);
        pair[1] = policy_of(catalog, product);
    }
    *out = bases;
    return PN_OK;
}

/* --- slots --- */

void pn_catalog_slot_destroy(void *value)
{
    struct pn_catalog_slot *slot = value;

    if (!slot)
        return;
    pn_api_entry_unref(slot->current);
    pn_api_entry_unref(slot->next);
    free(slot->items);
    free(slot->key);
    free(slot);
}

static struct pn_catalog_slot *slot_get(struct pn_catalog *catalog, struct pn_slice key)
{
    struct pn_catalog_slot *slot = pn_map_get(catalog->slots, key);

    if (slot)
        return slot;
    slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    pn_list_init(&slot->dirty);
    slot->key = pn_slice_dup(key);
    if (!slot->key ||
        pn_map_set(catalog->slots, pn_slice(slot->key, key.len), slot, NULL) != PN_OK) {
        pn_catalog_slot_destroy(slot);
        return NULL;
    }
    return slot;
}

/** Where the key is among the slot's items, or would go. */
static size_t slot_place(const struct pn_catalog_slot *slot, const char *key, bool *is_there)
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

static enum pn_rc slot_set(struct pn_catalog_slot *slot, struct pn_item *item)
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

static void slot_remove(struct pn_catalog_slot *slot, const char *key)
{
    bool is_there;
    size_t at = slot_place(slot, key, &is_there);

    if (!is_there)
        return;
    slot->count--;
    memmove(slot->items + at, slot->items + at + 1, (slot->count - at) * sizeof(struct pn_item *));
}

/** The API's own item, or NULL: its key comes before those of its children. */
struct pn_item *pn_catalog_slot_api(const struct pn_catalog_slot *slot)
{
    return slot->count > 0 && strcmp(slot->items[0]->key, slot->key) == 0 ? slot->items[0] : NULL;
}

/** Sets or removes one item (borrowed; the caller counts) in the maps. PN_NOMEM: nothing changed.
 */
enum pn_rc pn_catalog_put(struct pn_catalog *catalog, const char *key_text, struct pn_item *item)
{
    struct pn_slice key = pn_slice_str(key_text);
    char buffer[PN_ITEM_KEY_MAX + 1];
    struct pn_slice owner = slot_key(key_text, buffer);
    struct pn_catalog_slot *slot = NULL;
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
