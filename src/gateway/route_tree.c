/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of one API as a tree of segments. A node has its literal children first, then
 * those with parameters in the order "most literal text first", then a wildcard. Matching goes
 * depth first in that order and comes back when a branch has no operation of the method;
 * ROUTE_STEPS_MAX bounds what a hostile path can cost.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/route_internal.h"
#include "http/uri.h"

struct node {
    struct pattern
        *patterns; /* children: literal ones first, sorted; then by descending literal text */
    struct node **children;
    size_t count;
    struct leaf *leaves;          /* operations that end here */
    struct leaf *wildcard_leaves; /* operations whose template goes on with a wildcard */
};

struct pn_route_tree {
    struct node *root;
};

struct pn_route_tree *pn_route_tree_create(void)
{
    struct pn_route_tree *tree = calloc(1, sizeof(*tree));

    if (!tree)
        return NULL;
    tree->root = calloc(1, sizeof(*tree->root));
    if (!tree->root) {
        free(tree);
        return NULL;
    }
    return tree;
}

static void leaves_destroy(struct leaf *leaf)
{
    while (leaf) {
        struct leaf *next = leaf->next;

        pn_route_leaf_destroy(leaf);
        leaf = next;
    }
}

static void node_destroy(struct node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) {
        pn_route_pattern_fini(&node->patterns[i]);
        node_destroy(node->children[i]);
    }
    free(node->patterns);
    free(node->children);
    leaves_destroy(node->leaves);
    leaves_destroy(node->wildcard_leaves);
    free(node);
}

void pn_route_tree_destroy(struct pn_route_tree *tree)
{
    if (!tree)
        return;
    node_destroy(tree->root);
    free(tree);
}

/** Puts `pattern` (taken on success) at its place; gives its child. NULL: no memory. */
static struct node *insert_child(struct node *node, struct pattern *pattern)
{
    struct pattern *patterns;
    struct node **children;
    struct node *child;
    size_t at = 0;

    while (at < node->count && pn_route_pattern_compare(&node->patterns[at], pattern) < 0)
        at++;
    if (at < node->count && pn_route_pattern_compare(&node->patterns[at], pattern) == 0) {
        pn_route_pattern_fini(pattern);
        return node->children[at];
    }
    child = calloc(1, sizeof(*child));
    if (!child)
        return NULL;
    patterns = realloc(node->patterns, (node->count + 1) * sizeof(*patterns));
    if (patterns)
        node->patterns = patterns;
    children = realloc(node->children, (node->count + 1) * sizeof(*children));
    if (children)
        node->children = children;
    if (!patterns || !children) {
        free(child);
        return NULL;
    }
    memmove(patterns + at + 1, patterns + at, (node->count - at) * sizeof(*patterns));
    memmove(children + at + 1, children + at, (node->count - at) * sizeof(*children));
    patterns[at] = *pattern;
    children[at] = child;
    node->count++;
    return child;
}

/** More required query parameters come first, so that the more exact template wins. */
static void insert_leaf(struct leaf **list, struct leaf *leaf)
{
    while (*list && (*list)->query_count >= leaf->query_count)
        list = &(*list)->next;
    leaf->next = *list;
    *list = leaf;
}

enum pn_rc pn_route_tree_add(struct pn_route_tree *tree, struct pn_slice method,
                             struct pn_slice url_template, const void *operation,
                             struct pn_error *err)
{
    struct template parsed;
    struct node *node = tree->root;
    enum pn_rc rc = pn_route_template_parse(url_template, method, operation, &parsed, err);

    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; i < parsed.count; i++) {
        node = insert_child(node, &parsed.segments[i]);
        if (!node) {
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the routing table");
            goto out;
        }
        memset(&parsed.segments[i], 0, sizeof(parsed.segments[i])); /* now the node's */
    }
    insert_leaf(parsed.has_wildcard ? &node->wildcard_leaves : &node->leaves, parsed.leaf);
    parsed.leaf = NULL;
out:
    pn_route_template_fini(&parsed);
    return rc;
}

/* --- matching --- */

struct search {
    struct pn_arena *arena;
    struct pn_slice method;
    struct pn_slice query;
    struct pn_slice path;                            /* without the leading slash */
    struct pn_slice raw[PN_ROUTE_SEGMENTS_MAX];      /* for the wildcard's rest */
    struct pn_slice segments[PN_ROUTE_SEGMENTS_MAX]; /* decoded */
    size_t count;
    struct pn_slice captured[PN_ROUTE_PARAMETERS_MAX]; /* in the order of the template */
    size_t captured_count;
    unsigned steps; /* bound of the backtracking */
    struct pn_route_match *match;
};

#define ROUTE_STEPS_MAX 10000 /* visits of nodes for one request; then nothing matches */

static bool take_leaf(struct search *s, const struct leaf *leaf, struct pn_slice rest)
{
    for (; leaf; leaf = leaf->next) {
        struct pn_route_match *match = s->match;
        size_t n = 0;

        if (!pn_slice_eq(pn_slice_str(leaf->method), s->method))
            continue;
        for (; n < s->captured_count && n < leaf->parameter_count; n++)
            match->parameters[n] = (struct pn_header){.name = pn_slice_str(leaf->parameters[n]),
                                                      .value = s->captured[n]};
        match->parameter_count = n;
        if (leaf->wildcard_name && match->parameter_count < PN_ROUTE_PARAMETERS_MAX)
            match->parameters[match->parameter_count++] =
                (struct pn_header){.name = pn_slice_str(leaf->wildcard_name), .value = rest};
        if (!pn_route_query_matches(leaf, s->arena, s->query, match))
            continue;
        match->operation = leaf->operation;
        return true;
    }
    return false;
}

/** What the wildcard stands for: everything from the segment `depth` on, undecoded. */
static struct pn_slice rest_from(const struct search *s, size_t depth)
{
    size_t at;

    if (depth >= s->count)
        return pn_slice("", 0);
    at = (size_t)(s->raw[depth].ptr - s->path.ptr);
    return pn_slice_sub(s->path, at, s->path.len - at);
}

static bool search_node(struct search *s, const struct node *node, size_t depth)
{
    if (++s->steps > ROUTE_STEPS_MAX)
        return false;
    if (depth == s->count && node->leaves && take_leaf(s, node->leaves, pn_slice("", 0)))
        return true;
    for (size_t i = 0; depth < s->count && i < node->count; i++) {
        const struct pattern *pattern = &node->patterns[i];
        size_t captured = s->captured_count;

        if (!pn_route_pattern_matches(pattern, s->segments[depth], s->captured,
                                      &s->captured_count)) {
            s->captured_count = captured;
            continue;
        }
        if (search_node(s, node->children[i], depth + 1))
            return true;
        s->captured_count = captured;
    }
    return node->wildcard_leaves && take_leaf(s, node->wildcard_leaves, rest_from(s, depth));
}

/** Cuts and decodes the segments. An empty last one ("/a/") does not count. */
static enum pn_rc split_path(struct search *s)
{
    size_t at = 0;

    while (at < s->path.len) {
        size_t len = pn_slice_find(pn_slice_sub(s->path, at, s->path.len - at), '/');
        struct pn_slice segment = pn_slice_sub(s->path, at, len);
        enum pn_rc rc;

        at += len + 1;
        if (s->count == PN_ROUTE_SEGMENTS_MAX)
            return PN_NOT_FOUND;
        s->raw[s->count] = segment;
        rc = pn_uri_decode(segment, false, s->arena, &s->segments[s->count]);
        if (rc != PN_OK)
            return rc == PN_MALFORMED ? PN_NOT_FOUND : rc;
        s->count++;
    }
    return PN_OK;
}

enum pn_rc pn_route_tree_match(const struct pn_route_tree *tree, struct pn_arena *arena,
                               struct pn_slice method, struct pn_slice path, struct pn_slice query,
                               struct pn_route_match *match)
{
    struct search s;
    enum pn_rc rc;

    s.arena = arena;
    s.method = method;
    s.query = query;
    s.path = path.len > 0 ? pn_slice_sub(path, 1, path.len - 1) : path;
    s.count = 0;
    s.captured_count = 0;
    s.steps = 0;
    s.match = match;
    match->operation = NULL;
    match->parameter_count = 0;
    rc = split_path(&s);
    if (rc != PN_OK)
        return rc;
    return search_node(&s, tree->root, 0) ? PN_OK : PN_NOT_FOUND;
}
