/* SPDX-License-Identifier: Apache-2.0
 *
 * What the handshake tells: its secrets by the key derivation, which is watched while OpenSSL works
 * on this connection; its records by the callback that is there for traces. Nothing of it is ever
 * printed.
 */
#include "tls/takeover.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/secret.h"
#include "signer/signer.h"

#define MESSAGE_KEY_UPDATE 24 /* HandshakeType */

/* ---- from the callbacks */

/* Comes when the keys that are made of the secret are put to use: the records of that direction are
 * counted from here. */
static void on_secret(void *ctx, struct pn_slice label, struct pn_slice secret)
{
    struct pn_tls_takeover *takeover = ctx;
    bool is_of_client = pn_slice_eq(label, PN_LIT("c ap traffic"));

    if ((!is_of_client && !pn_slice_eq(label, PN_LIT("s ap traffic"))) ||
        secret.len > PN_RECORD_SECRET_MAX)
        return;
    memcpy(is_of_client ? takeover->client_secret : takeover->server_secret, secret.ptr,
           secret.len);
    if (is_of_client)
        takeover->client_secret_len = secret.len;
    else
        takeover->server_secret_len = secret.len;
    if (is_of_client == takeover->is_client)
        takeover->records_out = 0;
    else
        takeover->records_in = 0;
}

void pn_tls_takeover_watch(const struct pn_tls_link *link)
{
    pn_signer_watch_secrets(link->takeover ? on_secret : NULL, link->takeover);
}

static void on_message(int is_sent, int version, int type, const void *bytes, size_t len, SSL *ssl,
                       void *arg)
{
    const struct pn_tls_link *link = SSL_get_app_data(ssl);
    struct pn_tls_takeover *takeover = link ? link->takeover : NULL;

    (void)version;
    (void)arg;
    if (!takeover)
        return;
    if (type == SSL3_RT_HEADER && is_sent)
        takeover->records_out++;
    else if (type == SSL3_RT_HEADER)
        takeover->records_in++;
    else if (type == SSL3_RT_HANDSHAKE && len > 0 && *(const uint8_t *)bytes == MESSAGE_KEY_UPDATE)
        takeover->is_rekeyed = true;
}

void pn_tls_takeover_setup(SSL_CTX *ctx)
{
    SSL_CTX_set_msg_callback(ctx, on_message);
}

/* ---- from the stream */

void pn_tls_takeover_begin(struct pn_tls_link *link, SSL *ssl)
{
    link->takeover = calloc(1, sizeof(*link->takeover));
    /* What is read ahead must not be in the SSL, where it cannot be got out again: tls/bio.c. */
    if (!link->takeover)
        return;
    link->takeover->is_client = SSL_is_server(ssl) == 0;
    SSL_set_read_ahead(ssl, 0);
}

void pn_tls_takeover_free(struct pn_tls_takeover *takeover)
{
    if (!takeover)
        return;
    pn_wipe(takeover, sizeof(*takeover));
    free(takeover);
}

void pn_tls_takeover_let_go(struct pn_tls_link *link, SSL *ssl)
{
    pn_tls_takeover_free(link->takeover);
    link->takeover = NULL;
    SSL_set_msg_callback(ssl, NULL);
    SSL_set_read_ahead(ssl, 1);
}

static bool is_fit(const struct pn_tls_takeover *takeover, SSL *ssl, uint16_t suite)
{
    size_t len = pn_records_secret_len(suite);

    return SSL_version(ssl) == TLS1_3_VERSION && len > 0 && takeover->client_secret_len == len &&
           takeover->server_secret_len == len && !takeover->is_rekeyed &&
           SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl)) ==
               TLSEXT_max_fragment_length_DISABLED;
}

/* "RH": it waits for the header of the next record. Of a record whose header it has and nothing
 * else, SSL_has_pending() knows nothing. */
static bool is_between_records(const SSL *ssl)
{
    return !SSL_in_init(ssl) && !SSL_has_pending(ssl) && strcmp(SSL_rstate_string(ssl), "RH") == 0;
}

enum pn_rc pn_tls_takeover_take(struct pn_tls_link *link, SSL *ssl, struct pn_records **records)
{
    const struct pn_tls_takeover *takeover = link->takeover;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    uint16_t suite = cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0;
    bool is_client = takeover->is_client;

    if (!is_fit(takeover, ssl, suite) || SSL_get_shutdown(ssl) != 0)
        return PN_UNSUPPORTED;
    if (!is_between_records(ssl) || SSL_get_key_update_type(ssl) != SSL_KEY_UPDATE_NONE)
        return PN_AGAIN;
    return pn_records_create(
        &(struct pn_records_spec){
            .suite = suite,
            .is_client = is_client,
            .secret_in = is_client ? takeover->server_secret : takeover->client_secret,
            .secret_out = is_client ? takeover->client_secret : takeover->server_secret,
            .sequence_in = takeover->records_in,
            .sequence_out = takeover->records_out,
            .key_records_max = pn_limit_value(PN_LIMIT_TLS_KEY_RECORDS),
            .empty_records_max = (unsigned)pn_limit_value(PN_LIMIT_TLS_EMPTY_RECORDS),
        },
        records);
}
