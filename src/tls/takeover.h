/* SPDX-License-Identifier: Apache-2.0
 *
 * From OpenSSL, which makes the handshake, to the record layer, which does what is left (as kernels
 * do it with kTLS). Taken over is a TLS 1.3 connection between two records: nothing half read,
 * nothing unsent, no key replaced yet. Every other one stays with OpenSSL. For this room only.
 */
#pragma once

#include "tls/record.h"
#include "tls/tls_internal.h"

/* What is known of the handshake until the connection is taken over. Wiped when it ends. */
struct pn_tls_takeover {
    uint8_t client_secret[PN_RECORD_SECRET_MAX];
    uint8_t server_secret[PN_RECORD_SECRET_MAX];
    size_t client_secret_len, server_secret_len;
    uint64_t records_in, records_out; /* under these secrets */
    bool is_client;
    bool is_rekeyed; /* a KeyUpdate went by: the secrets are old */
};

/** Once per context whose connections may be taken over. */
void pn_tls_takeover_setup(SSL_CTX *ctx);
/** Before the handshake: this one shall be taken over. Without memory it stays with OpenSSL. */
void pn_tls_takeover_begin(struct pn_tls_link *link, SSL *ssl);
/** Before a step of the handshake; behind it pn_signer_watch_secrets(NULL, NULL). */
void pn_tls_takeover_watch(const struct pn_tls_link *link);
/** PN_OK: the caller frees the SSL, and goes on with *records and with link->ahead. PN_AGAIN: not
 * between two records now. PN_UNSUPPORTED, PN_NOMEM: it never will be; let it go. */
enum pn_rc pn_tls_takeover_take(struct pn_tls_link *link, SSL *ssl,
                                struct pn_records **records) PN_MUST_USE;
/** It stays with OpenSSL. */
void pn_tls_takeover_let_go(struct pn_tls_link *link, SSL *ssl);
/** Wipes what is known. NULL is fine. */
void pn_tls_takeover_free(struct pn_tls_takeover *takeover);
