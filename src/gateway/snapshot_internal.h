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

/** A look-up table over items, and what keeps them. */
struct pn_item_table {
    unsigned refs;
    struct pn_map *by_name;
    struct pn_key_table *keys; /* of subscriptions only */
    struct pn_item **items;
    size_t count;
};

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
