/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers of libcurl: each address is looked at before it is connected to, once the name has been
 * resolved. Addresses that must not be reached on behalf of others are refused (network/address.h),
 * and what the network rules deny (outbound/outbound.h). What was denied is counted
 * (network/denials.h). Thread: the transfer's.
 */
#pragma once

#include <curl/curl.h>

#include "network/denials.h"
#include "network/security_rule.h"
#include "outbound/outbound.h"

/** What a transfer is. Borrowed. */
struct pn_outbound_spec {
    const struct pn_outbound_scope *scope; /* NULL: no rules govern it */
    const char *url;
    enum pn_service_tag service; /* what the other side is by its purpose, or PN_TAG_NONE */
    enum pn_outbound_kind kind;
    bool allows_guarded; /* the operator himself named the address */
};

/** One transfer. Zeroed by the caller, ended by _end. */
struct pn_outbound_call {
    struct pn_outbound *rules;
    struct pn_outbound_target target;
    enum pn_outbound_kind kind;
    bool allows_guarded;
    bool was_allowed; /* an address was connected to */
    char *host;
    char rule[PN_RULE_NAME_MAX + 1];
    struct pn_error denied; /* rc PN_DENIED, code network_rule or address_guarded: the last address
                               that was refused, and why */
};

/** Has every address judged. `call` must live until the transfer is over. CURLE_COULDNT_CONNECT:
 * the URL has a guarded address itself (behind a proxy nobody would look at it again). */
CURLcode pn_outbound_call_begin(struct pn_outbound_call *call, const struct pn_outbound_spec *spec,
                                CURL *curl) PN_MUST_USE;
/** Whether the transfer failed with `code` because nothing that it could connect to was allowed;
 *  then call->denied tells. */
bool pn_outbound_call_was_denied(const struct pn_outbound_call *call, CURLcode code);
/** Counts it, if it was denied. */
void pn_outbound_call_end(struct pn_outbound_call *call);
