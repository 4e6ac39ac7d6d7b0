/* SPDX-License-Identifier: Apache-2.0
 *
 * Handshake report: how far a connection came and, when it failed, why, in words for the log. It
 * holds names, numbers and public facts only.
 */
#pragma once

#include "base/error.h"
#include "tls/identity.h"

enum pn_tls_stage {
    PN_STAGE_CONNECT,   /* TCP */
    PN_STAGE_HANDSHAKE, /* TLS, nothing more precise known */
    PN_STAGE_VERIFY,    /* the peer's certificate was not accepted by us */
    PN_STAGE_SIGNATURE, /* the keyholder did not sign */
    PN_STAGE_ALERT,     /* the peer sent a fatal alert */
    PN_STAGE_OPEN,      /* the handshake is over */
};

/** One value per thing that an operator does something about. */
enum pn_tls_cause {
    PN_CAUSE_NONE,
    PN_CAUSE_CONNECT_REFUSED,
    PN_CAUSE_CONNECT_UNREACHABLE,
    PN_CAUSE_CONNECT_FAILED,
    PN_CAUSE_CONNECT_TIMEOUT,
    PN_CAUSE_HANDSHAKE_TIMEOUT,
    PN_CAUSE_CLOSED_IN_HANDSHAKE, /* the peer hung up without an alert */
    PN_CAUSE_NOT_TLS,             /* the peer answered something else, e.g. plain HTTP */
    PN_CAUSE_PROTOCOL,            /* no common version or cipher, or a broken message */
    PN_CAUSE_UNKNOWN_CA,
    PN_CAUSE_SELF_SIGNED,
    PN_CAUSE_NAME_MISMATCH,
    PN_CAUSE_PEER_EXPIRED,
    PN_CAUSE_PEER_NOT_YET_VALID,
    PN_CAUSE_PEER_PURPOSE, /* not for TLS servers (EKU) */
    PN_CAUSE_PEER_REVOKED,
    PN_CAUSE_PEER_WEAK, /* key or signature too weak */
    PN_CAUSE_VERIFY_OTHER,
    PN_CAUSE_PIN_MISMATCH, /* none of the keys that the policy pins */
    PN_CAUSE_SIGNER_AWAY,
    PN_CAUSE_SIGNER_TIMEOUT,
    PN_CAUSE_SIGNER_DENIED,
    PN_CAUSE_SIGNER_NO_KEY,
    PN_CAUSE_SIGNER_FAILED,
    PN_CAUSE_CERTIFICATE_REFUSED,  /* alert about the certificate that we sent */
    PN_CAUSE_CERTIFICATE_REQUIRED, /* alert: a client certificate is demanded, none was sent */
    PN_CAUSE_ALERT,                /* any other fatal alert */
    PN_CAUSE_CERTIFICATE_EXPIRED,  /* ours: refused before connecting */
    PN_CAUSE_CERTIFICATE_NOT_YET_VALID,
    PN_CAUSE_CERTIFICATE_UNUSABLE,  /* ours: the peer accepts no signature that its key can make */
    PN_CAUSE_CERTIFICATE_NONE_FITS, /* ours: of several none is what the peer asks for */
    PN_CAUSE_LATE_AUTHENTICATION,   /* asked for it after the handshake (TLS 1.3), not allowed */
    PN_CAUSE_RENEGOTIATION,         /* wants to renegotiate (TLS 1.2), not allowed */
    PN_CAUSE_CLOSED_LATE, /* TLS 1.3: cut off before anything was said after our certificate */
    PN_CAUSE_TRUNCATED,   /* the connection ended without close_notify */
    PN_CAUSE_RESET,
};

struct pn_tls_report {
    enum pn_tls_stage stage;
    enum pn_tls_cause cause;
    int system_error; /* errno of CONNECT and RESET causes, or 0 */
    int verify_error; /* X509_V_ERR_*, or 0 */
    int alert;        /* number of the fatal alert received, or -1 */
    bool is_late;     /* the alert came after our side of the handshake was over (TLS 1.3) */
    bool is_resumed;
    bool certificate_requested;
    bool certificate_sent;
    uint64_t certificate_generation;
    char certificate_name[PN_CERTIFICATE_NAME_MAX];
    char certificate_thumbprint[2 * PN_SHA1_BYTES + 1];
    char server_name[PN_SERVER_NAME_MAX];
    char peer[PN_PEER_ADDRESS_TEXT];
    char tls_version[16]; /* "TLSv1.3", or empty */
    char cipher[64];
    char alpn[16];
    char detail[256]; /* OpenSSL's or the keyholder's own words; may be empty */
};

/** "unknown_ca": stable, for logs and metrics. Static text. */
const char *pn_tls_cause_name(enum pn_tls_cause cause);
const char *pn_tls_stage_name(enum pn_tls_stage stage);
/** "certificate_unknown" for alert 46 (RFC 8446 §6); "unknown" for a number without name. Static
 * text. */
const char *pn_tls_alert_name(int alert);
/** The sentence: what happened, with which certificate, what to do. */
#define PN_TLS_SENTENCE_MAX 1024
void pn_tls_report_sentence(const struct pn_tls_report *report, char out[PN_TLS_SENTENCE_MAX]);
/** As an error: code = cause name, message = sentence. Returns PN_DENIED (verify, alert),
 * PN_TIMEOUT, PN_UNAVAILABLE (connect, signer), PN_INVALID (our certificate) or PN_IO. */
enum pn_rc pn_tls_report_error(const struct pn_tls_report *report, struct pn_error *err);
