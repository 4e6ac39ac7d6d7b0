/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by network_status.c (key vaults, the token authority), network_backends.c, network_apis.c
 * and network_ask.c, which tries what these two find.
 */
#pragma once

#include "arm/arm_internal.h"

#define PN_NETWORK_TRIED_MAX 64 /* of each kind for one answer; those behind them are counted */
#define PN_NETWORK_URL_TEXT  320

/** One endpoint to be tried. */
struct arm_network_question {
    const char *type; /* resourceType; static */
    char url[PN_NETWORK_URL_TEXT];
    json_t *json;             /* as ipc/probe.h has it; NULL: it cannot be asked */
    json_t *more;             /* the entry's "postern" */
    json_t *answer;           /* NULL: none */
    const char *code;         /* why there is none, as a cause; NULL: "internal". Static */
    const char *why;          /* the same as a sentence; static */
    const char *bare_backend; /* the id of a backend that names no certificate; NULL: all else */
};

/** host, port and how, of `url`; `properties` may have "tls" and "proxy" as a backend has them.
 *  `shown` becomes "https://host:port". NULL: no such URL, or no memory; `shown` is as it was. */
json_t *arm_network_question(struct pn_slice url, const json_t *properties, bool *is_tls,
                             char shown[PN_NETWORK_URL_TEXT]);
/** Tries all that have a question, some at a time, and appends an entry for each. Ends them. Blocks
 *  for seconds if they do not answer. False: no memory. */
bool arm_network_ask(struct arm_call *call, struct arm_network_question *questions, size_t count,
                     json_t *list);

/** Appends the certificate to those of a question. False: it is not there (`id` NULL: no memory).
 */
bool arm_network_add_certificate(struct arm_call *call, const char *id, json_t *list);
/** The same of the one below `prefix` with that thumbprint. */
bool arm_network_add_thumbprint(struct arm_call *call, const char *prefix, struct pn_slice text,
                                json_t *list);

/** A policy sends to the backend, and may name whom it shows. No, too, if the store is busy. */
bool arm_network_is_of_a_policy(struct arm_call *call, const char *backend_id);
/** Each backend of the service. False: the store, or no memory. */
bool arm_network_add_backends(struct arm_call *call, json_t *list, size_t *left_out);
/** What APIs send to without a backend entity. */
bool arm_network_add_apis(struct arm_call *call, json_t *list, size_t *left_out);
/** Puts into lastStatusChange of what has been tried now since when it is so: as long as it was
 * seen so at each look since this process began. Forgets what is not in `list`. Thread: any. */
void arm_network_since(struct pn_arm *arm, const char *service_id, json_t *list);
/** "dns", "tcp", "tls", "identity", "rule", "proxy", "keyholder" of a cause code; else "internal".
 */
const char *arm_network_layer_of_cause(const char *cause);
