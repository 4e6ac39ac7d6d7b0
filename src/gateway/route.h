/* SPDX-License-Identifier: Apache-2.0
 *
 * Which API and which operation a request means. Two steps: the longest API path that is a prefix
 * of the request's path at a segment border, then the operation by method and URL template within
 * it. Pure: no socket, no clock. Built once, then read by many threads.
 *
 * Literals compare without ASCII case, like the API paths of API Management. A template segment is
 * a literal, one with parameters in it ("Products({id})"), or, as the last one, a wildcard: "*" or
 * "{*rest}". Where several templates fit, the more literal one wins, segment by segment from the
 * left. A wildcard's parameter is named with its star ("*rest"), undecoded, so that its slashes
 * stay slashes. A query part ("/find?kind={kind}&v=2") names parameters that must be there.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "http/headers.h"

#define PN_ROUTE_TEMPLATE_MAX   1000 /* bytes of a urlTemplate */
#define PN_ROUTE_PARAMETERS_MAX 32   /* parameters of one template */
#define PN_ROUTE_SEGMENTS_MAX                                                                      \
    128 /* segments of a request's path below the API; more match nothing */

/* --- the operations of one API --- */

struct pn_route_tree;

struct pn_route_match {
    const void *operation;
    struct pn_header parameters[PN_ROUTE_PARAMETERS_MAX]; /* decoded values, in the arena */
    size_t parameter_count;
    struct pn_slice query_names[PN_ROUTE_PARAMETERS_MAX]; /* that the template's query part names */
    size_t query_name_count;
};

/** NULL: no memory. */
struct pn_route_tree *pn_route_tree_create(void);
void pn_route_tree_destroy(struct pn_route_tree *tree);
/** `operation` is borrowed. PN_INVALID: the template is not one (err says where); PN_LIMIT;
 * PN_NOMEM. */
enum pn_rc pn_route_tree_add(struct pn_route_tree *tree, struct pn_slice method,
                             struct pn_slice url_template, const void *operation,
                             struct pn_error *err) PN_MUST_USE;
/** `path`: from pn_path_normalise(), below the API's path ("" or starting with '/'). PN_NOT_FOUND;
 * PN_NOMEM. */
enum pn_rc pn_route_tree_match(const struct pn_route_tree *tree, struct pn_arena *arena,
                               struct pn_slice method, struct pn_slice path, struct pn_slice query,
                               struct pn_route_match *match) PN_MUST_USE;

/* --- the API paths --- */

struct pn_route_table;

/** `base`: a table that the new one begins as a copy of, and borrows from; it has no base itself.
 * NULL: an empty one. NULL: no memory. */
struct pn_route_table *pn_route_table_create(const struct pn_route_table *base);
void pn_route_table_destroy(struct pn_route_table *table);
/** `path` without leading or trailing '/', "" is the root; it and `api` are borrowed. PN_EXISTS,
 * PN_NOMEM. */
enum pn_rc pn_route_table_add(struct pn_route_table *table, struct pn_slice path,
                              const void *api) PN_MUST_USE;
/** No API has this path any more; `path` is borrowed. PN_NOMEM. */
enum pn_rc pn_route_table_remove(struct pn_route_table *table, struct pn_slice path) PN_MUST_USE;
/** Adds what `over`, a table with the same base, has over it. PN_NOMEM. */
enum pn_rc pn_route_table_copy(struct pn_route_table *table,
                               const struct pn_route_table *over) PN_MUST_USE;
/** Exactly this path; NULL: nobody has it. */
const void *pn_route_table_get(const struct pn_route_table *table, struct pn_slice path);
/** The API with the longest path that is a prefix of the normalised `path`, or NULL. `*rest` is
 * what follows: "" or "/…". */
const void *pn_route_table_find(const struct pn_route_table *table, struct pn_slice path,
                                struct pn_slice *rest);
