/* SPDX-License-Identifier: Apache-2.0
 *
 * URL templates, taken apart: shared by route_tree.c and route_template.c only.
 */
#pragma once

#include "gateway/route.h"

#define ROUTE_PARTS_MAX 8 /* parameters in one segment */

/** One segment: literal[0] {p} literal[1] {p} … literal[parameters]. Literals are decoded. */
struct pattern {
    char *literals[ROUTE_PARTS_MAX + 1];
    size_t parameters;
};

struct query_rule {
    char *name;
    char *literal;   /* the value that must be there, or NULL */
    char *parameter; /* the parameter that takes the value, or NULL */
};

/** An operation at the end of its template. */
struct leaf {
    struct leaf *next;
    const void *operation;
    char *method;
    char *parameters[PN_ROUTE_PARAMETERS_MAX]; /* names in the path, in order */
    size_t parameter_count;
    char *wildcard_name; /* NULL: none, or it has no name */
    struct query_rule *query;
    size_t query_count;
};

struct template
{
    struct pattern segments[PN_ROUTE_SEGMENTS_MAX];
    size_t count;
    bool has_wildcard;
    struct leaf *leaf;
};

/** PN_INVALID, PN_LIMIT, PN_NOMEM (nothing is left to free then). */
enum pn_rc pn_route_template_parse(struct pn_slice url_template, struct pn_slice method,
                                   const void *operation, struct template *parsed,
                                   struct pn_error *err) PN_MUST_USE;
void pn_route_template_fini(struct template *parsed);
void pn_route_leaf_destroy(struct leaf *leaf);
void pn_route_pattern_fini(struct pattern *pattern);
/** Order of children: pure literals first (by text), then by descending length of literal text. */
int pn_route_pattern_compare(const struct pattern *a, const struct pattern *b);
/** Appends what the parameters stand for; on false the caller sets *count back. */
bool pn_route_pattern_matches(const struct pattern *pattern, struct pn_slice segment,
                              struct pn_slice captured[PN_ROUTE_PARAMETERS_MAX], size_t *count);
/** Whether the request's query has what the template's query part asks; appends its parameters. */
bool pn_route_query_matches(const struct leaf *leaf, struct pn_arena *arena, struct pn_slice query,
                            struct pn_route_match *match);
