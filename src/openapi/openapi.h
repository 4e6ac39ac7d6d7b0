/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptions of APIs, OpenAPI 3.0 and 3.1 or Swagger 2.0, in JSON or YAML, as API Management's
 * entities. Bytes in, JSON out: no store, no network; references to other documents are refused.
 *
 * Sources: OpenAPI Specification 3.0.4 and 3.1.1, Swagger 2.0, YAML 1.2 core schema.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/slice.h"

#define PN_OPENAPI_NODES_MAX      200000 /* of the document, aliases counted each time */
#define PN_OPENAPI_DEPTH_MAX      64     /* nesting of a document */
#define PN_OPENAPI_REFS_MAX       16     /* references one behind the other */
#define PN_OPENAPI_OPERATIONS_MAX 2000

/** *out is the caller's: {"properties": {"displayName", "description"?, "serviceUrl"?},
 *  "operations": [{"name", "properties": {"displayName", "method", "urlTemplate", …}}]}. Names are
 *  unique and acceptable as resource names. PN_MALFORMED: neither JSON nor YAML (line in the
 *  message). PN_INVALID: no description of an API, or one that cannot be carried over; the message
 *  names the place ("paths./orders.get"). PN_LIMIT: one of the limits above. PN_NOMEM. */
enum pn_rc pn_openapi_read(struct pn_slice text, json_t **out, struct pn_error *err) PN_MUST_USE;

/** A YAML document (of which JSON is one) as JSON, by the core schema. PN_MALFORMED (also: a key
 *  twice, a key that is no text, several documents), PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_yaml_parse(struct pn_slice text, json_t **out, struct pn_error *err) PN_MUST_USE;
