/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes routing. Lines: API paths ("api PATH"), operations ("GET TEMPLATE"), and requests
 * ("> PATH?QUERY"). Checked: a path is normalised before it is matched; what matches once, matches
 * again; the API found is a prefix at a segment border; parameters lie in the path or the arena.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/route.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct house {
    struct pn_route_table *table;
    struct pn_route_tree *tree;
    struct pn_arena *arena;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void match(struct house *house, struct pn_slice path, struct pn_slice query)
{
    struct pn_route_match first;
    struct pn_route_match second;
    enum pn_rc rc =
        pn_route_tree_match(house->tree, house->arena, PN_LIT("GET"), path, query, &first);

    must(rc == PN_OK || rc == PN_NOT_FOUND || rc == PN_NOMEM);
    if (rc != PN_OK)
        return;
    must(first.operation == house && first.parameter_count <= PN_ROUTE_PARAMETERS_MAX);
    must(first.query_name_count <= PN_ROUTE_PARAMETERS_MAX);
    for (size_t i = 0; i < first.parameter_count; i++)
        must(first.parameters[i].name.len > 0);
    rc = pn_route_tree_match(house->tree, house->arena, PN_LIT("GET"), path, query, &second);
    must(rc == PN_NOMEM || (rc == PN_OK && second.parameter_count == first.parameter_count));
    for (size_t i = 0; rc == PN_OK && i < first.parameter_count; i++)
        must(pn_slice_eq(first.parameters[i].value, second.parameters[i].value));
}

static void request(struct house *house, struct pn_slice target)
{
    size_t question = pn_slice_find(target, '?');
    struct pn_slice query = pn_slice_sub(target, question + 1, target.len);
    struct pn_slice path;
    struct pn_slice rest = {NULL, 0};
    const void *api = NULL;

    if (pn_path_normalise(pn_slice_sub(target, 0, question), house->arena, &path) != PN_OK)
        return;
    api = pn_route_table_find(house->table, path, &rest);
    if (!api)
        return;
    must(api == house);
    must(rest.len <= path.len && (rest.len == 0 || rest.ptr[0] == '/'));
    must(rest.len == 0 || pn_slice_ends_with(path, rest));
    match(house, rest, query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct house house = {pn_route_table_create(NULL), pn_route_tree_create(),
                          pn_arena_create(4096, 1u << 20)};
    struct pn_slice rest = pn_slice(data, size);
    struct pn_slice line;
    int lines = 0;

    must(house.table && house.tree && house.arena);
    while (lines++ < 200 && pn_slice_cut(&rest, '\n', &line)) {
        enum pn_rc rc = PN_OK;

        if (pn_slice_starts_with(line, PN_LIT("api "))) {
            rc = pn_route_table_add(house.table, pn_slice_sub(line, 4, line.len), &house);
            must(rc == PN_OK || rc == PN_EXISTS);
        } else if (pn_slice_starts_with(line, PN_LIT("GET "))) {
            rc = pn_route_tree_add(house.tree, PN_LIT("GET"), pn_slice_sub(line, 4, line.len),
                                   &house, NULL);
            must(rc == PN_OK || rc == PN_INVALID || rc == PN_LIMIT || rc == PN_EXISTS);
        } else if (pn_slice_starts_with(line, PN_LIT("> "))) {
            request(&house, pn_slice_sub(line, 2, line.len));
        }
    }
    pn_route_table_destroy(house.table);
    pn_route_tree_destroy(house.tree);
    pn_arena_destroy(house.arena);
    return 0;
}
