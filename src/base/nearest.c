/* SPDX-License-Identifier: Apache-2.0
 *
 * Edit distance of short names (optimal string alignment).
 */
#include "base/nearest.h"

#define NAME_BYTES_MAX 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Three rows of the table: the distance of the first i letters of `a` from the first k of `b`. */
static size_t distance(struct pn_slice a, struct pn_slice b)
{
    size_t rows[3][NAME_BYTES_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t k = 0; k <= b.len; k++)
        last[k] = before[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *oldest = before;

        now[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            size_t changed = last[k - 1] + (a.ptr[i - 1] != b.ptr[k - 1]);

            now[k] = least(changed, least(last[k], now[k - 1]) + 1);
            if (i > 1 && k > 1 && a.ptr[i - 1] == b.ptr[k - 2] && a.ptr[i - 2] == b.ptr[k - 1])
                now[k] = least(now[k], before[k - 2] + 1);
        }
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

struct best {
    const char *name;
    size_t distance;
};

static void compare(struct pn_slice name, const char *candidate, struct best *best)
{
    struct pn_slice known = pn_slice_str(candidate);
    size_t d = known.len <= NAME_BYTES_MAX ? distance(name, known) : NAME_BYTES_MAX;

    if (d < best->distance)
        *best = (struct best){candidate, d};
}

const char *pn_nearest(struct pn_slice name, const char *(*name_at)(size_t i))
{
    struct best best = {NULL, name.len / 3 + 1};

    for (size_t i = 0; name.len <= NAME_BYTES_MAX && name_at(i); i++)
        compare(name, name_at(i), &best);
    return best.name;
}

const char *pn_nearest_of(struct pn_slice name, const char *const *names, size_t count)
{
    struct best best = {NULL, name.len / 3 + 1};

    for (size_t i = 0; name.len <= NAME_BYTES_MAX && i < count; i++)
        compare(name, names[i], &best);
    return best.name;
}
