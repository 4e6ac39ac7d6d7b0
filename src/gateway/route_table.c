/* SPDX-License-Identifier: Apache-2.0
 *
 * API paths: one hash look-up for each segment border of the request's path, longest first, and
 * never deeper than the deepest API path there is.
 */
#include <stdlib.h>

#include "base/map.h"
#include "gateway/route.h"

struct pn_route_table {
    const struct pn_route_table *base; /* NULL: this one is whole */
    struct pn_map *paths; /* path -> api; with a base: what differs from it, &gone included */
    size_t segments_max;  /* of any path in the table */
};

static char gone; /* in the table over a base: the path is no more */

struct pn_route_table *pn_route_table_create(const struct pn_route_table *base)
{
    struct pn_route_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->base = base;
    table->segments_max = base ? base->segments_max : 0;
    table->paths = pn_map_create_borrowing(true);
    if (!table->paths) {
        free(table);
        return NULL;
    }
    return table;
}

void pn_route_table_destroy(struct pn_route_table *table)
{
    if (!table)
        return;
    pn_map_destroy(table->paths, NULL);
    free(table);
}

static size_t count_segments(struct pn_slice path)
{
    size_t count = path.len > 0 ? 1 : 0;

    for (size_t i = 0; i < path.len; i++)
        count += path.ptr[i] == '/';
    return count;
}

const void *pn_route_table_get(const struct pn_route_table *table, struct pn_slice path)
{
    const void *api = pn_map_get(table->paths, path);

    if (!api && table->base)
        api = pn_map_get(table->base->paths, path);
    return api == &gone ? NULL : api;
}

enum pn_rc pn_route_table_remove(struct pn_route_table *table, struct pn_slice path)
{
    if (table->base)
        return pn_map_set(table->paths, path, &gone, NULL);
    pn_map_remove(table->paths, path);
    return PN_OK;
}

enum pn_rc pn_route_table_copy(struct pn_route_table *table, const struct pn_route_table *over)
{
    struct pn_slice path;
    size_t position = 0;
    void *api;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && pn_map_next(over->paths, &position, &path, &api))
        rc = pn_map_set(table->paths, path, api, NULL);
    if (over->segments_max > table->segments_max)
        table->segments_max = over->segments_max;
    return rc;
}

enum pn_rc pn_route_table_add(struct pn_route_table *table, struct pn_slice path, const void *api)
{
    size_t segments = count_segments(path);
    enum pn_rc rc;

    if (pn_route_table_get(table, path))
        return PN_EXISTS;
    /* The map's values are plain pointers; what it gives back is const again. */
    rc = pn_map_set(table->paths, path, (void *)(uintptr_t)api, NULL);
    if (rc == PN_OK && segments > table->segments_max)
        table->segments_max = segments;
    return rc;
}

/** The end of the first `count` segments of "/a/b/c" ("/a/b" for 2), or of all there are; *found is
 *  how many there were. */
static size_t prefix_end(struct pn_slice path, size_t count, size_t *found)
{
    size_t at = 0;

    *found = 0;
    while (*found < count && at < path.len) {
        at++; /* the slash */
        while (at < path.len && path.ptr[at] != '/')
            at++;
        (*found)++;
    }
    return at;
}

const void *pn_route_table_find(const struct pn_route_table *table, struct pn_slice path,
                                struct pn_slice *rest)
{
    size_t segments;
    size_t end;

    if (path.len == 0 || path.ptr[0] != '/')
        return NULL;
    end = prefix_end(path, table->segments_max, &segments);
    if (end == 1)
        end = 0; /* an empty first segment is no path of an API: the root has all of it */
    for (;;) {
        struct pn_slice prefix = end > 0 ? pn_slice_sub(path, 1, end - 1) : pn_slice("", 0);
        const void *api = pn_route_table_get(table, prefix);

        if (api) {
            *rest = pn_slice_sub(path, end, path.len - end);
            return api;
        }
        if (end == 0)
            return NULL;
        do
            end--;
        while (end > 0 && path.ptr[end] != '/');
    }
}
