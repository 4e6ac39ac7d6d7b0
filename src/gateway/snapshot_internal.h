/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by catalog.c, compile.c and snapshot.c only.
 */
#pragma once

#include "base/map.h"
#include "gateway/snapshot.h"

/** The route table and the APIs in it. */
struct pn_route_list {
    unsigned refs;
    struct pn_route_table *table;
    struct pn_api **apis;
    size_t count;
};

#define PN_TABLE_CHANGES_MAX 256 /* entries over a base before a whole table is made again */

/** A look-up table over items, and what keeps them. One with a base has only what differs from it.
 */
struct pn_item_table {
    unsigned refs;
    struct pn_item_table *base; /* NULL: this one is whole */
    struct pn_map *by_name;     /* with a base: also names that are no more (pn_item_gone) */
    struct pn_key_table *keys;  /* of subscriptions only */
    struct pn_item **items;     /* with a base: those that came since */
    size_t count;
    bool has_twins; /* some name or thumbprint is of several items: the first one has it */
};

/** NULL: no such thing. */
const struct pn_item *pn_item_table_find(const struct pn_item_table *table, struct pn_slice key);

/** One item that a commit replaced, made (former NULL) or deleted (item NULL). */
struct pn_item_change {
    struct pn_item *former, *item;
};
/** A table of certificates with these changes, which shares the rest with `former`. PN_LIMIT: make
 * a whole one instead (too many changes, or twins). PN_NOMEM. */
enum pn_rc pn_item_table_amend(struct pn_item_table *former, const struct pn_item_change *changes,
                               size_t count, struct pn_item_table **table) PN_MUST_USE;

/** Compiles the API `api_item` with its `children` (operations and policies, by key). With
 *  `keep_broken`, what cannot be used is marked; otherwise PN_INVALID. PN_NOMEM. */
enum pn_rc pn_api_compile(struct pn_item *api_item, const struct pn_map *children,
                          struct pn_item *global_policy, bool keep_broken, struct pn_api **api,
                          struct pn_error *err) PN_MUST_USE;
void pn_api_unref(struct pn_api *api);

/** `items`: all of that kind; references are taken. PN_NOMEM. */
enum pn_rc pn_item_table_create(struct pn_item *const *items, size_t count, enum pn_item_kind kind,
                                struct pn_item_table **table) PN_MUST_USE;
void pn_item_table_unref(struct pn_item_table *table);
/** References are taken. Two APIs with one path: with `keep_broken` the first one wins and it is
 *  logged, otherwise PN_EXISTS. PN_NOMEM. */
enum pn_rc pn_route_list_create(struct pn_api *const *apis, size_t count, bool keep_broken,
                                struct pn_route_list **list, struct pn_error *err) PN_MUST_USE;
void pn_route_list_unref(struct pn_route_list *list);
