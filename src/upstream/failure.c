/* SPDX-License-Identifier: Apache-2.0
 *
 * From handshake reports to the gateway's cause codes.
 */
#include "upstream/failure.h"

#include <stdarg.h>
#include <stdio.h>

void pn_failure_set(struct pn_failure *failure, const char *code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(failure->text, sizeof(failure->text), format, args);
    va_end(args);
    failure->code = code;
    failure->is_timeout = false;
    failure->is_unsent = false;
    failure->is_replaced = false;
}

const char *pn_failure_code(enum pn_tls_cause cause)
{
    switch (cause) {
    case PN_CAUSE_CONNECT_REFUSED:
        return "connect_refused";
    case PN_CAUSE_CONNECT_UNREACHABLE:
        return "connect_unreachable";
    case PN_CAUSE_CONNECT_FAILED:
        return "connect_failed";
    case PN_CAUSE_CONNECT_TIMEOUT:
        return "connect_timeout";
    case PN_CAUSE_HANDSHAKE_TIMEOUT:
        return "tls_timeout";
    case PN_CAUSE_CLOSED_IN_HANDSHAKE:
        return "tls_closed";
    case PN_CAUSE_NOT_TLS:
        return "tls_not_tls";
    case PN_CAUSE_PROTOCOL:
        return "tls_protocol";
    case PN_CAUSE_UNKNOWN_CA:
    case PN_CAUSE_SELF_SIGNED:
        return "tls_unknown_ca";
    case PN_CAUSE_NAME_MISMATCH:
        return "tls_name_mismatch";
    case PN_CAUSE_PEER_EXPIRED:
        return "tls_certificate_expired";
    case PN_CAUSE_PEER_NOT_YET_VALID:
        return "tls_certificate_not_yet_valid";
    case PN_CAUSE_PIN_MISMATCH:
        return "tls_pin_mismatch";
    case PN_CAUSE_PEER_PURPOSE:
    case PN_CAUSE_PEER_REVOKED:
    case PN_CAUSE_PEER_WEAK:
    case PN_CAUSE_VERIFY_OTHER:
        return "tls_certificate_unacceptable";
    case PN_CAUSE_SIGNER_AWAY:
    case PN_CAUSE_SIGNER_TIMEOUT:
        return "keyholder_unavailable";
    case PN_CAUSE_SIGNER_DENIED:
    case PN_CAUSE_SIGNER_NO_KEY:
    case PN_CAUSE_SIGNER_FAILED:
        return "keyholder_refused";
    case PN_CAUSE_CERTIFICATE_REFUSED:
        return "tls_client_certificate_refused";
    case PN_CAUSE_CERTIFICATE_REQUIRED:
        return "tls_client_certificate_required";
    case PN_CAUSE_ALERT:
        return "tls_alert";
    case PN_CAUSE_CERTIFICATE_EXPIRED:
        return "client_certificate_expired";
    case PN_CAUSE_CERTIFICATE_NOT_YET_VALID:
        return "client_certificate_not_yet_valid";
    case PN_CAUSE_CERTIFICATE_UNUSABLE:
        return "client_certificate_unusable";
    case PN_CAUSE_CERTIFICATE_NONE_FITS:
        return "client_certificate_none_fits";
    case PN_CAUSE_LATE_AUTHENTICATION:
        return "tls_late_authentication";
    case PN_CAUSE_RENEGOTIATION:
        return "tls_renegotiation";
    case PN_CAUSE_CLOSED_LATE:
        return "tls_closed_late";
    case PN_CAUSE_NONE:
    case PN_CAUSE_TRUNCATED:
    case PN_CAUSE_RESET:
        return "connection_closed";
    }
    return "internal";
}

#define ALERT_NO_APPLICATION_PROTOCOL 120 /* RFC 7301 §3.2 */

void pn_failure_from_report(struct pn_failure *failure, const struct pn_tls_report *report)
{
    char sentence[PN_TLS_SENTENCE_MAX];

    pn_tls_report_sentence(report, sentence);
    if (report->alert == ALERT_NO_APPLICATION_PROTOCOL)
        pn_failure_set(
            failure, "tls_no_application_protocol",
            "The backend does not speak the version of HTTP that http-version demands. %s",
            sentence);
    else
        pn_failure_set(failure, pn_failure_code(report->cause), "%s", sentence);
    failure->is_replaced = report->cause == PN_CAUSE_SIGNER_NO_KEY;
    snprintf(failure->peer, sizeof(failure->peer), "%s", report->peer);
}
