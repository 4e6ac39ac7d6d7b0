/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by catalog.c, compile.c and snapshot.c only.
 */
#pragma once

#include "base/map.h"
#include "gateway/snapshot.h"

#define PN_TABLE_CHANGES_MAX 256 /* entries over a base before a whole table is made again */

/** One API: what it is made of, and what was made of it. The main thread makes, counts and frees
 * it; any thread may have it compiled. */
struct pn_api_entry {
    unsigned refs;
    bool is_current;              /* other revisions are not routed */
    bool is_routed;               /* it has a path */
    _Atomic(struct pn_api *) api; /* NULL: not compiled */
    struct pn_item_house *house;  /* borrowed */
    char *path;                   /* without slashes at its ends; its place is behind `items` */
    uint32_t count, base_count;
    struct pn_item *items[]; /* the API, its operations and policies and its links to products in
                                the order of their keys; behind them the bases */
};

/** What an API stands on, each may be NULL: PN_API_BASES policies, the global one and its
 * workspace's; then for each link, in their order, its product and the product's policy. */
#define PN_LINK_BASES 2

/** `items` (count of them, sorted by key; the API's own among them): references are taken.
 * `former`: another version of the same API, whose path is taken over when its item is the same;
 * may be NULL. PN_NOMEM. */
enum pn_rc pn_api_entry_create(struct pn_item *api_item, struct pn_item *const *items, size_t count,
                               struct pn_item *const *bases, size_t base_count,
                               const struct pn_api_entry *former,
                               struct pn_api_entry **entry) PN_MUST_USE;
void pn_api_entry_unref(struct pn_api_entry *entry);
/** Compiles it strictly: PN_INVALID with the reason if something of it cannot be used; PN_NOMEM.
 * Not of a published one. */
enum pn_rc pn_api_entry_check(struct pn_api_entry *entry, struct pn_error *err) PN_MUST_USE;
/** Frees what was compiled. Not of a published one. */
void pn_api_entry_shut(struct pn_api_entry *entry);
/** Compiled when it was not; what cannot be used is marked as broken. Never NULL. Any thread. */
const struct pn_api *pn_api_entry_use(struct pn_api_entry *entry);

/** product.c: what the API is in, once its own programs are made. The house's lock is held.
 * PN_NOMEM.
 */
enum pn_rc pn_api_products_read(struct pn_api *api, const struct pn_api_entry *entry) PN_MUST_USE;
void pn_api_products_fini(struct pn_api *api);

/** The route table and the APIs in it. With a base, what differs from it. */
struct pn_route_list {
    unsigned refs;
    struct pn_route_list *base; /* NULL: this one is whole */
    struct pn_route_table *table;
    struct pn_api_entry **entries; /* with a base: those that came since */
    size_t count;
    bool has_twins; /* some path is of several APIs: the first one has it */
};

struct pn_api_change {
    struct pn_api_entry *former, *entry; /* either may be NULL */
};
/** `former` with these changes, sharing the rest. PN_LIMIT: make a whole one instead (too many
 *  changes, or twins). PN_EXISTS: two APIs with one path. PN_NOMEM. */
enum pn_rc pn_route_list_amend(struct pn_route_list *former, const struct pn_api_change *changes,
                               size_t count, struct pn_route_list **list,
                               struct pn_error *err) PN_MUST_USE;
/** References are taken. Two APIs with one path: with `keep_broken` the first one wins and it is
 *  logged, otherwise PN_EXISTS. PN_NOMEM. */
enum pn_rc pn_route_list_create(struct pn_api_entry *const *entries, size_t count, bool keep_broken,
                                struct pn_route_list **list, struct pn_error *err) PN_MUST_USE;
void pn_route_list_unref(struct pn_route_list *list);

/** A look-up table over items, and what keeps them. One with a base has only what differs from it.
 */
struct pn_item_table {
    unsigned refs;
    struct pn_item_table *base; /* NULL: this one is whole */
    struct pn_map *by_name;     /* with a base: also names that are no more (pn_item_gone) */
    struct pn_key_table *keys;  /* of subscriptions only */
    struct pn_item **items;     /* with a base: those that came since */
    size_t count;
    struct pn_map *twins; /* names and thumbprints of several items, of which the first one is
                             found; NULL: none */
};

/** NULL: no such thing. It may have to be opened. */
struct pn_item *pn_item_table_find(const struct pn_item_table *table, struct pn_slice key);

/** One item that a commit replaced, made (former NULL) or deleted (item NULL). */
struct pn_item_change {
    struct pn_item *former, *item;
};
/** A table of certificates or backends with these changes, which shares the rest with `former`.
 * PN_LIMIT: make a whole one instead (too many changes, or one of several with a name or thumbprint
 * goes). PN_NOMEM. */
enum pn_rc pn_item_table_amend(struct pn_item_table *former, const struct pn_item_change *changes,
                               size_t count, struct pn_item_table **table) PN_MUST_USE;

/** `items`: all of that kind; references are taken. PN_NOMEM. */
enum pn_rc pn_item_table_create(struct pn_item *const *items, size_t count, enum pn_item_kind kind,
                                struct pn_item_table **table) PN_MUST_USE;
void pn_item_table_unref(struct pn_item_table *table);
