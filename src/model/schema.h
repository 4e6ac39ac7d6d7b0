/* SPDX-License-Identifier: Apache-2.0
 *
 * Property schemas: what the members of a resource may be, and the check that turns a caller's
 * document into the one that is stored.
 *
 * Unknown members and read-only ones are left out, explicit nulls count as absent, numbers and
 * booleans given as text are converted, enum values get their canonical casing. What is wrong
 * becomes a list of details (code ValidationError, target, message), all of them at once.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "model/limits.h"

enum pn_field_kind {
    PN_FIELD_STRING, /* min..max characters */
    PN_FIELD_URL,    /* absolute http(s) URL, min..max characters */
    PN_FIELD_ENUM,   /* one of `values`, compared without case */
    PN_FIELD_BOOL,
    PN_FIELD_INT,      /* min..max */
    PN_FIELD_DURATION, /* ISO 8601, stored as given */
    PN_FIELD_OBJECT,   /* `members` */
    PN_FIELD_ARRAY,    /* of `element`, min..max entries */
    PN_FIELD_MAP,      /* free names, each of `element`, at most max members */
    PN_FIELD_ANY,      /* stored as given */
};

#define PN_FIELD_REQUIRED  (1u << 0)
#define PN_FIELD_READ_ONLY (1u << 1)
/** An empty text counts as absent. */
#define PN_FIELD_EMPTY_IS_ABSENT (1u << 2)
/** PN_FIELD_URL: ws and wss are schemes too. */
#define PN_FIELD_WEBSOCKET (1u << 3)
/** PN_FIELD_OBJECT: members that are not in the table are refused, not left out: of an object that
 * is ours alone, where a slip of the pen would otherwise mean less protection. */
#define PN_FIELD_STRICT (1u << 4)

/** Tables end with a field whose name is NULL; the name of an `element` is not used. */
struct pn_field {
    const char *name;
    enum pn_field_kind kind;
    unsigned flags;
    int64_t min, max;
    const char *const *values;      /* NULL-ended */
    const struct pn_field *members; /* of an object */
    const struct pn_field *element; /* of an array or a map */
};

struct pn_problem {
    char target[PN_ERROR_TARGET_MAX]; /* "credentials.authorization.scheme" */
    char message[256];
};
struct pn_problems {
    size_t count; /* at most PN_VALIDATION_MAX are kept */
    struct pn_problem items[PN_VALIDATION_MAX];
};
/** Adds one; beyond PN_VALIDATION_MAX it is only counted as "there are some". Returns PN_INVALID.
 */
enum pn_rc pn_problem_add(struct pn_problems *problems, const char *target, const char *format, ...)
    PN_PRINTF(3, 4);

/** Checks `in` (an object, or NULL for none) against `fields`. PN_OK: *out is a new reference.
 *  PN_INVALID: `problems` (zeroed by the caller) tells what. PN_NOMEM. */
enum pn_rc pn_schema_apply(const struct pn_field *fields, const json_t *in, json_t **out,
                           struct pn_problems *problems) PN_MUST_USE;
/** PATCH: `stored` with the members of `patch` in place of its own; a null takes a member out.
 *  The result still has to go through pn_schema_apply. NULL: out of memory. */
json_t *pn_schema_merge(const json_t *stored, const json_t *patch);
