/* SPDX-License-Identifier: Apache-2.0
 *
 * URIs (RFC 3986), as far as a gateway needs them. Raw bytes stay raw: what nobody asked to change
 * is forwarded as it came. Slices point into the input unless an arena is given.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define PN_URI_BYTES_MAX     (16u * 1024)
#define PN_HOST_BYTES_MAX    255u
#define PN_PATH_SEGMENTS_MAX 256u

struct pn_uri {
    struct pn_slice scheme;    /* as written; compare without case */
    struct pn_slice authority; /* "host", "host:port", "[::1]:port" */
    struct pn_slice host;      /* an IPv6 literal without its brackets */
    bool is_ipv6;
    bool has_port; /* written in the text */
    uint16_t port; /* 1..65535; the scheme's default (http, ws 80; https, wss 443) when not written;
                      else 0 */
    struct pn_slice path; /* raw; may be empty */
    bool has_query;
    struct pn_slice query; /* raw, without '?' */
};

/** "scheme://host[:port][/path][?query]". PN_MALFORMED, PN_LIMIT; PN_INVALID for userinfo or a
 *  fragment, which have no place where Postern takes URIs. `err` names the part; it may be NULL. */
enum pn_rc pn_uri_parse(struct pn_slice text, struct pn_uri *uri, struct pn_error *err) PN_MUST_USE;
/** "host", "host:port", "[v6]:port" (a Host field, an authority). PN_MALFORMED, PN_LIMIT.
 *  *port is 0 when none is written. `is_ipv6` may be NULL. */
enum pn_rc pn_uri_parse_host(struct pn_slice text, struct pn_slice *host, uint16_t *port,
                             bool *is_ipv6) PN_MUST_USE;
/** Host names as in DNS or IPv4 ("a-b.example", trailing dot allowed), or an IPv6 address. */
bool pn_host_name_is_valid(struct pn_slice host);

/** A path that is safe to route by and to forward, in the arena: starts with '/'; "." and ".." are
 *  taken out, also when written %2e; escapes of unreserved characters are decoded, all other
 * escapes stay, with upper-case digits: %2F and %5C stay data, so does a backslash. Empty segments
 * stay. A ".." above the root is dropped, as RFC 3986 §5.2.4 says. PN_MALFORMED: a broken escape,
 * %00, a control, a byte that is not ASCII, or pn_path_has_dots(). PN_LIMIT, PN_NOMEM. `path` that
 * needs no change is returned as it is, without a copy. */
enum pn_rc pn_path_normalise(struct pn_slice path, struct pn_arena *arena,
                             struct pn_slice *out) PN_MUST_USE;
/** Whether some reader could see a "." or ".." segment: one that decodes %2E, one that takes %2F,
 * %5C or a backslash for a slash, or one that cuts path parameters off ("..;a=b"). */
bool pn_path_has_dots(struct pn_slice path);

/* How other readers may see a normalised path; a set of these is one reading. */
#define PN_PATH_SLASHES_DECODED     1u /* %2F is a slash */
#define PN_PATH_BACKSLASHES_DECODED 2u /* so is %5C */
#define PN_PATH_PARAMETERS_CUT      4u /* "a;b=c" is the segment "a" */
#define PN_PATH_ESCAPED_CUT         8u /* so is "a%3Bb=c" */
/* Parameters are cut before slashes are decoded: "a;b%2Fc" is "a". */
#define PN_PATH_PARAMETERS_FIRST 16u
#define PN_PATH_SLASHES_MERGED   32u /* "a//b" is "a/b" */
/** What of it may make a difference to `path`; 0, for almost every path: all readers agree. */
unsigned pn_path_readings(struct pn_slice path);
/** `path` as that reader sees it, in the arena. PN_NOMEM. */
enum pn_rc pn_path_read_as(struct pn_slice path, unsigned reading, struct pn_arena *arena,
                           struct pn_slice *out) PN_MUST_USE;
/** `base` + `rest` with exactly one '/' between ("/v1/" + "/a" and "/v1" + "a" are "/v1/a"); an
 * empty or "/" rest gives `base` unchanged ("" gives "/"). Raw, in the arena. PN_NOMEM. */
enum pn_rc pn_path_join(struct pn_slice base, struct pn_slice rest, struct pn_arena *arena,
                        struct pn_slice *out) PN_MUST_USE;

/** Walks "a=1&b&=c": start with *rest = the raw query; false at the end. Raw slices; `value` has
 * ptr NULL when there is no '='. Empty parts ("a&&b") are skipped. */
bool pn_query_next(struct pn_slice *rest, struct pn_slice *name, struct pn_slice *value);
/** Whether the raw query has a parameter of that (decoded) name; names compare without case when
 *  `ignore_case`. *value: the first one, raw, may be NULL. */
bool pn_query_find(struct pn_slice query, struct pn_slice name, bool ignore_case,
                   struct pn_slice *value);
/** The query without any parameter of that (decoded) name; all other bytes as they were. In the
 * arena (or `query` itself when there is none). PN_NOMEM. */
enum pn_rc pn_query_remove(struct pn_slice query, struct pn_slice name, struct pn_arena *arena,
                           struct pn_slice *out) PN_MUST_USE;
/** Appends name=value, both given decoded and encoded here. PN_NOMEM. */
enum pn_rc pn_query_append(struct pn_slice query, struct pn_slice name, struct pn_slice value,
                           struct pn_arena *arena, struct pn_slice *out) PN_MUST_USE;
/** Replaces the first parameter of that name, removes the others of it; appends when there is none.
 */
enum pn_rc pn_query_set(struct pn_slice query, struct pn_slice name, struct pn_slice value,
                        struct pn_arena *arena, struct pn_slice *out) PN_MUST_USE;
/** `a` and `b` with '&' between, or the one that is not empty. PN_NOMEM. */
enum pn_rc pn_query_join(struct pn_slice a, struct pn_slice b, struct pn_arena *arena,
                         struct pn_slice *out) PN_MUST_USE;

/** Decodes %XX into the arena (`plus_is_space`: also '+', as in queries). Text without escapes is
 *  returned as it is. PN_MALFORMED: a broken escape. PN_NOMEM. */
enum pn_rc pn_uri_decode(struct pn_slice text, bool plus_is_space, struct pn_arena *arena,
                         struct pn_slice *out) PN_MUST_USE;
/** Escapes all but unreserved characters. PN_NOMEM. */
enum pn_rc pn_uri_encode(struct pn_slice text, struct pn_arena *arena,
                         struct pn_slice *out) PN_MUST_USE;
