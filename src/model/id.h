/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource ids:
 *   /subscriptions/{id}[/resourceGroups/{rg}][/providers/{namespace}{/type/name}...]
 *
 * Fixed segments compare without case and are written in their canonical casing; names keep the
 * caller's casing.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "model/limits.h"

struct pn_id_part {
    struct pn_slice type; /* "apis", canonical casing when the type is known */
    struct pn_slice name;
};

#define PN_ID_PARTS_MAX 8

struct pn_id {
    struct pn_slice subscription;   /* ptr NULL: none */
    struct pn_slice resource_group; /* ptr NULL: none */
    struct pn_slice provider;       /* "Microsoft.ApiManagement"; ptr NULL: none */
    struct pn_id_part parts[PN_ID_PARTS_MAX];
    size_t part_count;
};

/** Borrows from `text`. One trailing '/' is accepted. PN_MALFORMED: not of the form above, an empty
 *  segment, or a type without a name; PN_LIMIT: PN_ID_BYTES_MAX, PN_ID_PARTS_MAX. */
enum pn_rc pn_id_parse(struct pn_slice text, struct pn_id *id, struct pn_error *err) PN_MUST_USE;
/** Appends the id's canonical form with its first `parts` parts. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_id_format(const struct pn_id *id, size_t parts, struct pn_buf *out) PN_MUST_USE;
/** Appends "Microsoft.ApiManagement/service/apis". PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_id_type(const struct pn_id *id, struct pn_buf *out) PN_MUST_USE;
/** The last part's name; empty when there is none. */
struct pn_slice pn_id_name(const struct pn_id *id);
/** The canonical casing of a fixed segment ("RESOURCEGROUPS" -> "resourceGroups"), or the segment
 *  itself when it is not known. */
struct pn_slice pn_id_canonical(struct pn_slice segment);
/** Whether `id` is `ancestor` or lies below it; both without case. */
bool pn_id_is_below(struct pn_slice id, struct pn_slice ancestor);
/** What follows `ancestor` in `id` ("/apis/echo"), or the empty slice if it is not below it. */
struct pn_slice pn_id_relative(struct pn_slice id, struct pn_slice ancestor);
