/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON (RFC 8259) by jansson, with our limits, our errors, and buffers that can be wiped.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

/** Duplicate members are refused (two readers would disagree). The caller json_decref()s *out.
 *  PN_MALFORMED: message names line and column, never the content. PN_NOMEM. */
enum pn_rc pn_json_parse(struct pn_slice text, json_t **out, struct pn_error *err) PN_MUST_USE;
/** Compact form, appended. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_json_dump(const json_t *json, struct pn_buf *out) PN_MUST_USE;
/** Member's text, or NULL if it is missing or no string. Borrowed. */
const char *pn_json_str(const json_t *object, const char *member);
/** As a slice (may hold NUL bytes). */
struct pn_slice pn_json_slice(const json_t *object, const char *member);
bool pn_json_bool(const json_t *object, const char *member, bool otherwise);
int64_t pn_json_int(const json_t *object, const char *member, int64_t otherwise);
/** Member without regard to case, or NULL: for clients that vary it. */
json_t *pn_json_get_nocase(const json_t *object, const char *member);
json_t *pn_json_from_slice(struct pn_slice slice);
