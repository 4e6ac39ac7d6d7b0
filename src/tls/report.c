/* SPDX-License-Identifier: Apache-2.0
 *
 * Handshake report: classifying failures, and words for them.
 */
#include "tls/report.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "signer/signer.h"
#include "tls/record.h"
#include "tls/tls_internal.h"

/* RFC 8446 §6.2, RFC 5246 §7.2.2 */
enum alert {
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_CERTIFICATE_UNKNOWN = 46,
    ALERT_UNKNOWN_CA = 48,
    ALERT_ACCESS_DENIED = 49,
    ALERT_DECRYPT_ERROR = 51,
    ALERT_PROTOCOL_VERSION = 70,
    ALERT_INSUFFICIENT_SECURITY = 71,
    ALERT_CERTIFICATE_REQUIRED = 116,
};

static enum pn_tls_cause cause_of_verify(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return PN_CAUSE_UNKNOWN_CA;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return PN_CAUSE_SELF_SIGNED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return PN_CAUSE_NAME_MISMATCH;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return PN_CAUSE_PEER_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return PN_CAUSE_PEER_NOT_YET_VALID;
    case X509_V_ERR_INVALID_PURPOSE:
        return PN_CAUSE_PEER_PURPOSE;
    case X509_V_ERR_CERT_REVOKED:
        return PN_CAUSE_PEER_REVOKED;
    case PN_V_ERR_PIN:
        return PN_CAUSE_PIN_MISMATCH;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return PN_CAUSE_PEER_WEAK;
    default:
        return PN_CAUSE_VERIFY_OTHER;
    }
}

static enum pn_tls_cause cause_of_signer(enum pn_rc rc)
{
    if (rc == PN_UNAVAILABLE)
        return PN_CAUSE_SIGNER_AWAY;
    if (rc == PN_TIMEOUT)
        return PN_CAUSE_SIGNER_TIMEOUT;
    if (rc == PN_DENIED)
        return PN_CAUSE_SIGNER_DENIED;
    if (rc == PN_NOT_FOUND)
        return PN_CAUSE_SIGNER_NO_KEY;
    return PN_CAUSE_SIGNER_FAILED;
}

static enum pn_tls_cause cause_of_alert(const struct pn_tls_report *report)
{
    int alert = report->alert;
    bool is_about_certificate =
        (alert >= ALERT_BAD_CERTIFICATE && alert <= ALERT_CERTIFICATE_UNKNOWN) ||
        alert == ALERT_UNKNOWN_CA || alert == ALERT_ACCESS_DENIED || alert == ALERT_DECRYPT_ERROR;

    if (alert == ALERT_PROTOCOL_VERSION || alert == ALERT_INSUFFICIENT_SECURITY)
        return PN_CAUSE_PROTOCOL;
    if (alert == ALERT_CERTIFICATE_REQUIRED)
        return PN_CAUSE_CERTIFICATE_REQUIRED;
    if (report->certificate_requested && !report->certificate_sent &&
        (alert == ALERT_HANDSHAKE_FAILURE || is_about_certificate))
        return PN_CAUSE_CERTIFICATE_REQUIRED; /* TLS 1.2 has no alert of its own for it */
    if (report->certificate_sent && (is_about_certificate || alert == ALERT_HANDSHAKE_FAILURE))
        return PN_CAUSE_CERTIFICATE_REFUSED;
    return PN_CAUSE_ALERT;
}

static void set(struct pn_tls_report *report, enum pn_tls_stage stage, enum pn_tls_cause cause)
{
    report->stage = stage;
    report->cause = cause;
}

static void classify_transport(struct pn_tls_link *link, const SSL *ssl, int ssl_error,
                               unsigned long code, int system_error)
{
    struct pn_tls_report *report = pn_tls_link_report(link);
    /* Nothing has come since our last message of the handshake, in which our certificate was. */
    bool is_verdict = link->is_handshake_over && link->client && report->certificate_sent &&
                      !link->has_heard && SSL_version(ssl) >= TLS1_3_VERSION;
    bool is_end = ssl_error == SSL_ERROR_SYSCALL ||
                  (ERR_GET_LIB(code) == ERR_LIB_SSL &&
                   ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING);

    if (is_end && is_verdict) {
        report->system_error = ssl_error == SSL_ERROR_SYSCALL ? system_error : 0;
        report->is_late = true;
        set(report, PN_STAGE_OPEN, PN_CAUSE_CLOSED_LATE);
    } else if (is_end && ssl_error == SSL_ERROR_SYSCALL && system_error) {
        report->system_error = system_error;
        set(report, link->is_handshake_over ? PN_STAGE_OPEN : PN_STAGE_HANDSHAKE, PN_CAUSE_RESET);
    } else if (is_end) {
        set(report, link->is_handshake_over ? PN_STAGE_OPEN : PN_STAGE_HANDSHAKE,
            link->is_handshake_over ? PN_CAUSE_TRUNCATED : PN_CAUSE_CLOSED_IN_HANDSHAKE);
    } else if (!link->is_handshake_over && ERR_GET_LIB(code) == ERR_LIB_SSL &&
               (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER ||
                ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST ||
                ERR_GET_REASON(code) == SSL_R_HTTPS_PROXY_REQUEST)) {
        set(report, PN_STAGE_HANDSHAKE, PN_CAUSE_NOT_TLS);
    } else {
        set(report, link->is_handshake_over ? PN_STAGE_OPEN : PN_STAGE_HANDSHAKE,
            PN_CAUSE_PROTOCOL);
    }
}

void pn_tls_report_failure(struct pn_tls_link *link, SSL *ssl, int ssl_error, int system_error)
{
    struct pn_tls_report *report = pn_tls_link_report(link);
    const struct pn_error *signer = pn_signer_last_error();
    unsigned long code = ERR_peek_error();
    long verify = SSL_get_verify_result(ssl);
    struct pn_error words = {.rc = PN_OK};

    (void)snprintf(report->tls_version, sizeof(report->tls_version), "%s", SSL_get_version(ssl));
    if (link->is_late_unwanted) {
        report->is_late = true;
        if (!report->detail[0])
            (void)snprintf(report->detail, sizeof(report->detail), "%s", PN_LATE_IS_OFF);
        set(report, PN_STAGE_OPEN,
            SSL_version(ssl) >= TLS1_3_VERSION ? PN_CAUSE_LATE_AUTHENTICATION
                                               : PN_CAUSE_RENEGOTIATION);
    } else if (link->is_misfit) {
        set(report, PN_STAGE_SIGNATURE, PN_CAUSE_CERTIFICATE_NONE_FITS);
    } else if (link->is_expired) {
        set(report, PN_STAGE_HANDSHAKE, PN_CAUSE_CERTIFICATE_EXPIRED);
    } else if (link->is_unusable) {
        set(report, PN_STAGE_SIGNATURE, PN_CAUSE_CERTIFICATE_UNUSABLE);
    } else if (signer->rc != PN_OK) {
        set(report, PN_STAGE_SIGNATURE, cause_of_signer(signer->rc));
        (void)snprintf(report->detail, sizeof(report->detail), "%.*s",
                       (int)sizeof(report->detail) - 1, signer->message);
    } else if (report->alert >= 0) {
        report->is_late = link->is_handshake_over;
        set(report, PN_STAGE_ALERT, cause_of_alert(report));
    } else if (!link->is_handshake_over && verify != X509_V_OK && link->client &&
               SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
        report->verify_error = (int)verify;
        set(report, PN_STAGE_VERIFY, cause_of_verify((int)verify));
        (void)snprintf(report->detail, sizeof(report->detail), "%s",
                       X509_verify_cert_error_string(verify));
    } else {
        classify_transport(link, ssl, ssl_error, code, system_error);
    }
    if (!report->detail[0] && code) {
        (void)pn_error_from_openssl(&words, PN_IO, "tls", "TLS");
        (void)snprintf(report->detail, sizeof(report->detail), "%.*s",
                       (int)sizeof(report->detail) - 1, words.message);
    }
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_EXCESSIVE_MESSAGE_SIZE &&
        !link->client)
        pn_limit_hit(PN_LIMIT_TLS_CLIENT_CHAIN_BYTES);
    ERR_clear_error();
}

void pn_tls_report_records(struct pn_tls_link *link, const struct pn_record_fault *fault)
{
    struct pn_tls_report *report = pn_tls_link_report(link);

    if (!fault) {
        set(report, PN_STAGE_OPEN, PN_CAUSE_TRUNCATED);
    } else if (fault->is_request) {
        report->is_late = true;
        set(report, PN_STAGE_OPEN, PN_CAUSE_LATE_AUTHENTICATION);
    } else if (fault->received >= 0) {
        report->alert = fault->received;
        report->is_late = true;
        set(report, PN_STAGE_ALERT, cause_of_alert(report));
    } else {
        set(report, PN_STAGE_OPEN, PN_CAUSE_PROTOCOL);
    }
    (void)snprintf(report->tls_version, sizeof(report->tls_version), "TLSv1.3");
    if (!report->detail[0] && fault)
        (void)snprintf(report->detail, sizeof(report->detail), "%s", fault->detail);
}

void pn_tls_report_open(struct pn_tls_link *link, SSL *ssl)
{
    struct pn_tls_report *report = pn_tls_link_report(link);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;

    report->stage = PN_STAGE_OPEN;
    report->is_resumed = SSL_session_reused(ssl) == 1;
    (void)snprintf(report->tls_version, sizeof(report->tls_version), "%s", SSL_get_version(ssl));
    (void)snprintf(report->cipher, sizeof(report->cipher), "%s", SSL_get_cipher_name(ssl));
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    if (alpn_len < sizeof(report->alpn) && alpn_len)
        memcpy(report->alpn, alpn, alpn_len);
    link->alpn = strcmp(report->alpn, "h2") == 0         ? PN_ALPN_H2
                 : strcmp(report->alpn, "http/1.1") == 0 ? PN_ALPN_HTTP11
                                                         : PN_ALPN_NONE;
}
