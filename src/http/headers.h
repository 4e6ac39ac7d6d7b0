/* SPDX-License-Identifier: Apache-2.0
 *
 * An ordered list of header fields in an arena (RFC 9110 §5). Names compare without case. Names and
 * values are slices that live as long as the arena, or as the caller's buffer when borrowed.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

/** The fields that a proxy looks for in every head, so that it compares their names once. */
enum pn_header_kind {
    PN_HEADER_OTHER,
    PN_HEADER_CONNECTION,
    PN_HEADER_CONTENT_LENGTH,
    PN_HEADER_DATE,
    PN_HEADER_EXPECT,
    PN_HEADER_FORWARDED,
    PN_HEADER_HOST,
    PN_HEADER_HTTP2_SETTINGS,
    PN_HEADER_KEEP_ALIVE,
    PN_HEADER_PROXY_AUTHENTICATE,
    PN_HEADER_PROXY_AUTHORIZATION,
    PN_HEADER_PROXY_CONNECTION,
    PN_HEADER_TE,
    PN_HEADER_TRAILER,
    PN_HEADER_TRANSFER_ENCODING,
    PN_HEADER_UPGRADE,
    PN_HEADER_X_FORWARDED_FOR,
    PN_HEADER_X_FORWARDED_HOST,
    PN_HEADER_X_FORWARDED_PROTO,
    /* One of these with '_' for '-': the same to whoever makes variables of names, as CGI does. */
    PN_HEADER_LOOKALIKE,
};
#define PN_HEADER_BIT(kind) (1u << (kind))

struct pn_header {
    struct pn_slice name;
    struct pn_slice value;
    enum pn_header_kind kind; /* of a list's items: what pn_header_kind_of(name) says */
    bool is_sound; /* name and value were found valid when they were read: a writer need not
                    * look at them again. Whoever changes the value takes it away. */
    bool is_line;  /* sound, and they lie in memory as "name: value\r\n": a line to be written as
                    * it is, perhaps together with its neighbours. */
    bool has_lasting_name; /* in lower case, and memory of the process: may be lent to anybody */
};

struct pn_headers {
    struct pn_arena *arena;
    struct pn_header *items;
    size_t count;
    size_t capacity;
    unsigned kinds; /* PN_HEADER_BIT of all that were ever added: what is missing here is not in
                     * the list; PN_HEADER_OTHER has no bit */
};

/** The list uses `arena` for its own memory. */
void pn_headers_init(struct pn_headers *headers, struct pn_arena *arena);
/** Name and value are borrowed, not copied. PN_NOMEM. */
enum pn_rc pn_headers_add(struct pn_headers *headers, struct pn_slice name,
                          struct pn_slice value) PN_MUST_USE;
/** The same for what pn_header_name_is_valid() and pn_header_value_is_valid() have judged. */
enum pn_rc pn_headers_add_sound(struct pn_headers *headers, struct pn_slice name,
                                struct pn_slice value) PN_MUST_USE;
/** The same for a field whose kind, that of `name`, the caller knows. */
enum pn_rc pn_headers_add_known(struct pn_headers *headers, enum pn_header_kind kind,
                                struct pn_slice name, struct pn_slice value) PN_MUST_USE;
/** The same for who has judged all of *field; of a kind, too. */
enum pn_rc pn_headers_add_judged(struct pn_headers *headers,
                                 const struct pn_header *field) PN_MUST_USE;
/** The same for what lies in memory as a line, with one space, and lives as long as the list. */
enum pn_rc pn_headers_add_line(struct pn_headers *headers, struct pn_slice name,
                               struct pn_slice value) PN_MUST_USE;
/** Name and value are copied into the arena. PN_NOMEM. */
enum pn_rc pn_headers_add_copy(struct pn_headers *headers, struct pn_slice name,
                               struct pn_slice value) PN_MUST_USE;
/** First value, or an empty slice with ptr NULL. */
struct pn_slice pn_headers_find(const struct pn_headers *headers, struct pn_slice name);
static inline struct pn_slice pn_headers_get(const struct pn_headers *headers, const char *name)
{
    return pn_headers_find(headers, pn_slice_str(name)); /* a literal's length is known here */
}
bool pn_headers_has(const struct pn_headers *headers, const char *name);
/** The same by the kind, not PN_HEADER_OTHER. */
struct pn_slice pn_headers_get_kind(const struct pn_headers *headers, enum pn_header_kind kind);
bool pn_headers_has_kind(const struct pn_headers *headers, enum pn_header_kind kind);
size_t pn_headers_count(const struct pn_headers *headers, const char *name);
/** Removes every field of that name; returns how many. Order of the others stays. */
size_t pn_headers_remove(struct pn_headers *headers, struct pn_slice name);
/** The same for a kind, not PN_HEADER_OTHER. */
void pn_headers_remove_kind(struct pn_headers *headers, enum pn_header_kind kind);
/** The same for names that begin with `start`, in any case. */
void pn_headers_remove_starting(struct pn_headers *headers, struct pn_slice start);
enum pn_header_kind pn_header_kind_of(struct pn_slice name);
/** The same for a name that is in lower case. */
enum pn_header_kind pn_header_kind_of_lower(struct pn_slice name);
/** The field's name in lower case, of the same length, in memory of the process. NULL: it has none
 *  of its own, as of PN_HEADER_OTHER and PN_HEADER_LOOKALIKE. */
const char *pn_header_lower_name(const struct pn_header *field);
/** Whether a field of that kind may be in the list; no: surely not. */
static inline bool pn_headers_may_have(const struct pn_headers *headers, enum pn_header_kind kind)
{
    return (headers->kinds & PN_HEADER_BIT(kind)) != 0;
}
/** RFC 9110 §5.1 token; and §5.5 field value without CR, LF, NUL, leading or trailing space. */
bool pn_header_name_is_valid(struct pn_slice name);
bool pn_header_value_is_valid(struct pn_slice value);
