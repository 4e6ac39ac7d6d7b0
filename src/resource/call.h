/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of a resource provider beside API Management: who calls (bearer token, RFC 6750), may
 * they, which api-version, what is in the body; and its answers in Resource Manager's form.
 * Stack object of the handler; any thread.
 */
#pragma once

#include "base/json.h"
#include "http/message.h"
#include "identity/principal.h"
#include "outbound/outbound.h"
#include "store/publish.h"
#include "store/store.h"

#define PN_RESOURCE_ID_TEXT      2048
#define PN_RESOURCE_SEGMENTS_MAX 32

/** What the calls of all providers share; borrowed, immutable. */
struct pn_resource_plane {
    struct pn_store *store;
    struct pn_token_verifier *verifier;
    const char *tenant_id;
    const char *subscription_id;
    const char *control_url;                  /* "https://localhost:9443": the challenge names it */
    const char *const *audiences;             /* accepted in tokens, NULL-ended */
    const struct pn_outbound_scope *outbound; /* NULL: nothing is governed */
    struct pn_publisher publisher;            /* publish NULL: nobody waits for the gateway */
};

struct pn_resource_call {
    const struct pn_resource_plane *plane;
    const struct pn_request *request;
    struct pn_response *response;
    struct pn_principal principal;
    struct pn_slice segments[PN_RESOURCE_SEGMENTS_MAX]; /* of the path, decoded */
    size_t segment_count;
};

/** Proves the token, then looks at path and api-version. False: answered (401, 400). */
bool pn_resource_begin(struct pn_resource_call *call);
/** False: answered (403 AuthorizationFailed, or a failure of the store). */
bool pn_resource_may(struct pn_resource_call *call, const char *action, const char *scope);
/** True for GET and HEAD. */
bool pn_resource_reads(const struct pn_resource_call *call);
bool pn_resource_is(const struct pn_resource_call *call, const char *method);

void pn_resource_error(struct pn_resource_call *call, int status, const char *code,
                       const char *format, ...) PN_PRINTF(4, 5);
/** 405 with Allow. */
void pn_resource_wrong_method(struct pn_resource_call *call, const char *allowed);
/** By rc: PN_INVALID and its kin 400 with err->code ("BadRequest" without one), PN_DENIED 403,
 *  PN_NOT_FOUND 404, PN_EXISTS and PN_CONFLICT 409, the rest 503 or 500. */
void pn_resource_failure(struct pn_resource_call *call, enum pn_rc rc, const struct pn_error *err);
/** Takes `json`; NULL counts as out of memory. */
void pn_resource_json(struct pn_resource_call *call, int status, json_t *json);
/** {"value": […]}; takes `items`. */
void pn_resource_list(struct pn_resource_call *call, json_t *items);
/** The body as an object, the caller's reference. NULL: answered (400). */
json_t *pn_resource_body(struct pn_resource_call *call);
