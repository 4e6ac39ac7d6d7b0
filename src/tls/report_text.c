/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of a handshake report.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tls/report.h"

struct cause_text {
    const char *name;
    enum pn_rc rc;
    const char *sentence;
};

static const struct cause_text causes[] = {
    [PN_CAUSE_NONE] = {"none", PN_OK, "Nothing failed."},
    [PN_CAUSE_CONNECT_REFUSED] = {"connect_refused", PN_UNAVAILABLE,
                                  "The connection was refused: nothing listens there."},
    [PN_CAUSE_CONNECT_UNREACHABLE] = {"connect_unreachable", PN_UNAVAILABLE,
                                      "There is no route to the host."},
    [PN_CAUSE_CONNECT_FAILED] = {"connect_failed", PN_UNAVAILABLE, "The connection failed."},
    [PN_CAUSE_CONNECT_TIMEOUT] = {"connect_timeout", PN_TIMEOUT,
                                  "The host did not answer the connection attempt in time."},
    [PN_CAUSE_HANDSHAKE_TIMEOUT] = {"handshake_timeout", PN_TIMEOUT,
                                    "The TLS handshake was not finished in time."},
    [PN_CAUSE_CLOSED_IN_HANDSHAKE] =
        {"closed_in_handshake", PN_IO,
         "The peer hung up during the TLS handshake, without an alert."},
    [PN_CAUSE_NOT_TLS] = {"not_tls", PN_IO,
                          "The peer does not speak TLS there; is it an http:// address?"},
    [PN_CAUSE_PROTOCOL] =
        {"tls_protocol", PN_IO,
         "The TLS handshake failed: no common version or cipher, or a broken message."},
    [PN_CAUSE_UNKNOWN_CA] =
        {"unknown_ca", PN_DENIED,
         "The peer's certificate was issued by a CA that is not trusted here, or "
         "the peer did not send its intermediate certificates."},
    [PN_CAUSE_SELF_SIGNED] =
        {"self_signed", PN_DENIED,
         "The peer's certificate (or its root) is self-signed and not trusted here."},
    [PN_CAUSE_NAME_MISMATCH] = {"name_mismatch", PN_DENIED,
                                "The peer's certificate is for another name."},
    [PN_CAUSE_PEER_EXPIRED] = {"peer_expired", PN_DENIED,
                               "A certificate in the peer's chain has expired."},
    [PN_CAUSE_PEER_NOT_YET_VALID] =
        {"peer_not_yet_valid", PN_DENIED,
         "A certificate in the peer's chain is not valid yet; check the clocks."},
    [PN_CAUSE_PEER_PURPOSE] =
        {"peer_purpose", PN_DENIED,
         "The peer's certificate is not meant for TLS servers (extended key usage)."},
    [PN_CAUSE_PEER_REVOKED] = {"peer_revoked", PN_DENIED, "The peer's certificate is revoked."},
    [PN_CAUSE_PEER_WEAK] = {"peer_weak", PN_DENIED,
                            "The peer's chain has a key or a signature that is too weak."},
    [PN_CAUSE_VERIFY_OTHER] = {"verify_failed", PN_DENIED,
                               "The peer's certificate was not accepted."},
    [PN_CAUSE_PIN_MISMATCH] =
        {"pin_mismatch", PN_DENIED,
         "The peer's certificate has none of the keys that this backend's tls.postern.pins "
         "name."},
    [PN_CAUSE_SIGNER_AWAY] = {"keyholder_away", PN_UNAVAILABLE,
                              "The keyholder, which has the private key, cannot be reached."},
    [PN_CAUSE_SIGNER_TIMEOUT] = {"keyholder_timeout", PN_UNAVAILABLE,
                                 "The keyholder did not sign in time."},
    [PN_CAUSE_SIGNER_DENIED] = {"keyholder_denied", PN_UNAVAILABLE,
                                "The keyholder refused to sign this handshake."},
    [PN_CAUSE_SIGNER_NO_KEY] = {"keyholder_no_key", PN_UNAVAILABLE,
                                "The keyholder does not have the certificate's private key."},
    [PN_CAUSE_SIGNER_FAILED] = {"keyholder_failed", PN_UNAVAILABLE,
                                "The keyholder could not sign."},
    [PN_CAUSE_CERTIFICATE_REFUSED] = {"certificate_refused", PN_DENIED,
                                      "The peer refused the certificate that was presented."},
    [PN_CAUSE_CERTIFICATE_REQUIRED] =
        {"certificate_required", PN_DENIED,
         "The peer demands a client certificate and none was presented; name "
         "one in the backend or the policy."},
    [PN_CAUSE_ALERT] = {"alert", PN_DENIED, "The peer ended the connection with a TLS alert."},
    [PN_CAUSE_CERTIFICATE_EXPIRED] =
        {"certificate_expired", PN_INVALID,
         "The client certificate has expired; no connection is made with it."},
    [PN_CAUSE_CERTIFICATE_NOT_YET_VALID] =
        {"certificate_not_yet_valid", PN_INVALID,
         "The client certificate is not valid yet; no connection is made "
         "with it."},
    [PN_CAUSE_CERTIFICATE_UNUSABLE] =
        {"certificate_unusable", PN_INVALID,
         "The peer accepts no signature that the client certificate's key can "
         "make (another type of key is wanted)."},
    [PN_CAUSE_CERTIFICATE_NONE_FITS] =
        {"certificate_none_fits", PN_INVALID,
         "None of the client certificates fits what the peer asks for, and none was sent."},
    [PN_CAUSE_LATE_AUTHENTICATION] =
        {"late_authentication", PN_DENIED,
         "The peer asked for a client certificate after the handshake (TLS 1.3 post-handshake "
         "authentication)."},
    [PN_CAUSE_RENEGOTIATION] =
        {"renegotiation", PN_DENIED,
         "The peer wants to renegotiate (TLS 1.2), as servers do to ask for a client certificate "
         "after the request."},
    [PN_CAUSE_CLOSED_LATE] =
        {"closed_late", PN_IO,
         "The peer cut the connection off right after our side of the handshake, without an alert "
         "or an answer."},
    [PN_CAUSE_TRUNCATED] = {"truncated", PN_IO,
                            "The peer cut the connection off without closing TLS."},
    [PN_CAUSE_RESET] = {"reset", PN_IO, "The connection was reset."},
};

const char *pn_tls_cause_name(enum pn_tls_cause cause)
{
    return causes[cause].name;
}

const char *pn_tls_stage_name(enum pn_tls_stage stage)
{
    switch (stage) {
    case PN_STAGE_CONNECT:
        return "connect";
    case PN_STAGE_HANDSHAKE:
        return "handshake";
    case PN_STAGE_VERIFY:
        return "verify";
    case PN_STAGE_SIGNATURE:
        return "signature";
    case PN_STAGE_ALERT:
        return "alert";
    case PN_STAGE_OPEN:
        return "open";
    }
    return "";
}

/* RFC 8446 §6, and what TLS 1.2 had besides (RFC 5246 §7.2). */
const char *pn_tls_alert_name(int alert)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {21, "decryption_failed"},
        {22, "record_overflow"},
        {30, "decompression_failure"},
        {40, "handshake_failure"},
        {41, "no_certificate"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {100, "no_renegotiation"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {112, "unrecognized_name"},
        {113, "bad_certificate_status_response"},
        {115, "unknown_psk_identity"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].number == alert)
            return names[i].name;
    }
    return "unknown";
}

struct writer {
    char *out;
    size_t len;
};

static void append(struct writer *writer, const char *format, ...) PN_PRINTF(2, 3);

static void append(struct writer *writer, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(writer->out + writer->len, PN_TLS_SENTENCE_MAX - writer->len, format, args);
    va_end(args);
    if (len > 0)
        writer->len += (size_t)len;
    if (writer->len >= PN_TLS_SENTENCE_MAX)
        writer->len = PN_TLS_SENTENCE_MAX - 1;
}

void pn_tls_report_sentence(const struct pn_tls_report *report, char out[PN_TLS_SENTENCE_MAX])
{
    struct writer writer = {.out = out};

    out[0] = '\0';
    append(&writer, "%s", causes[report->cause].sentence);
    append(&writer, " Peer %s", report->peer[0] ? report->peer : "unknown");
    if (report->server_name[0])
        append(&writer, " as '%s'", report->server_name);
    append(&writer, ".");
    if (report->system_error)
        append(&writer, " System: %s.", strerrordesc_np(report->system_error));
    if (report->alert >= 0)
        append(&writer, " Alert received: %s (%d), %s the handshake.",
               pn_tls_alert_name(report->alert), report->alert,
               report->is_late ? "after our side had finished" : "during");
    if (report->certificate_requested)
        append(&writer, " The peer asked for a client certificate.");
    if (report->certificate_name[0])
        append(&writer, " Client certificate '%s', generation %llu, %s: %s.",
               report->certificate_name, (unsigned long long)report->certificate_generation,
               report->certificate_thumbprint, report->certificate_sent ? "sent" : "not sent");
    if (report->detail[0])
        append(&writer, " Detail: %s", report->detail);
}

enum pn_rc pn_tls_report_error(const struct pn_tls_report *report, struct pn_error *err)
{
    char sentence[PN_TLS_SENTENCE_MAX];

    pn_tls_report_sentence(report, sentence);
    return pn_error_set(err, causes[report->cause].rc, causes[report->cause].name, "%s", sentence);
}
