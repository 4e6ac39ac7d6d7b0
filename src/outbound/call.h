/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers of libcurl under the network rules (outbound/outbound.h). Thread: the transfer's.
 */
#pragma once

#include <curl/curl.h>

#include "outbound/outbound.h"

/** One transfer by libcurl under the rules. Zeroed by the caller, ended by _end. */
struct pn_outbound_call {
    struct pn_outbound *rules;
    struct pn_outbound_target target;
    char *host;
    struct pn_error denied; /* rc PN_DENIED: the last address that was refused, with the rule */
};
/** Has every address of the transfer judged before it is connected to. `scope` NULL: nothing is
 * governed. `service`: what the other side is by its purpose, or PN_TAG_NONE. `call` must live
 * until the transfer is over. */
CURLcode pn_outbound_call_begin(struct pn_outbound_call *call,
                                const struct pn_outbound_scope *scope, CURL *curl, const char *url,
                                enum pn_service_tag service) PN_MUST_USE;
/** A CURLOPT_OPENSOCKETFUNCTION, for who has more to look at: `ctx` is the call. */
curl_socket_t pn_outbound_call_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *peer);
void pn_outbound_call_end(struct pn_outbound_call *call);
