/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a request did not get its answer from a backend: a stable code for logs and tests, and a
 * sentence for the operator. Never a secret.
 */
#pragma once

#include "base/error.h"
#include "tls/report.h"

#define PN_FAILURE_TEXT_MAX 512

struct pn_failure {
    const char *code; /* "tls_unknown_ca"; static. NULL: nothing failed */
    bool is_timeout;  /* the backend was too slow */
    bool is_unsent;   /* no byte of the request has left */
    bool is_replaced; /* nothing is opened any more with the certificate: it was replaced, and the
                         keyholder has its key no longer */
    char text[PN_FAILURE_TEXT_MAX];
    char peer[PN_PEER_ADDRESS_TEXT]; /* the address that was tried last; may be empty */
};

/* The codes:
 *   dns_failed address_guarded network_rule connect_refused connect_unreachable connect_failed
 * connect_timeout tls_timeout tls_closed tls_not_tls tls_protocol tls_alert tls_unknown_ca
 * tls_name_mismatch tls_certificate_expired tls_certificate_not_yet_valid
 *   tls_certificate_unacceptable tls_pin_mismatch
 *   tls_client_certificate_refused tls_client_certificate_required
 *   client_certificate_expired client_certificate_not_yet_valid
 *   client_certificate_unusable client_certificate_none_fits
 *   tls_late_authentication tls_renegotiation tls_closed_late
 *   keyholder_unavailable keyholder_refused
 *   tls_no_application_protocol http2_not_negotiated connect_not_offered
 *   proxy_tls proxy_auth_required proxy_refused proxy_malformed proxy_closed proxy_timeout
 *   identity_mismatch identity_replaced backend_queue_full timeout continue_timeout drain_timeout
 * ping_timeout connection_closed malformed_response response_header_too_large http2_protocol
 * http2_limit stream_refused stream_reset http1_required out_of_memory internal */

void pn_failure_set(struct pn_failure *failure, const char *code, const char *format, ...)
    PN_PRINTF(3, 4);
/** From a handshake report: code, sentence and peer. */
void pn_failure_from_report(struct pn_failure *failure, const struct pn_tls_report *report);
/** The code of a handshake's cause. Static text. */
const char *pn_failure_code(enum pn_tls_cause cause);
