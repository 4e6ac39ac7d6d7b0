/* SPDX-License-Identifier: Apache-2.0
 *
 * What OpenSSL tells of the handshake: its secrets by the callback that is there for key logs, the
 * records by the one for traces. Nothing of it is ever printed.
 */
#include "tls/takeover.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/secret.h"

#define MESSAGE_KEY_UPDATE 24 /* HandshakeType */

/* ---- from the callbacks */

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 0: not as long as a secret may be, or no hexadecimal digits. */
static size_t read_hex(const char *text, uint8_t out[PN_RECORD_SECRET_MAX])
{
    size_t len = strlen(text) / 2;

    if (len == 0 || len > PN_RECORD_SECRET_MAX || text[2 * len] != '\0')
        return 0;
    for (size_t i = 0; i < len; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return len;
}

/* "LABEL CLIENT_RANDOM SECRET". Comes when the keys that are made of the secret are put to use: the
 * records of that direction are counted from here. */
static void on_secret(const SSL *ssl, const char *line)
{
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    const struct pn_tls_link *link = SSL_get_app_data(ssl);
    struct pn_tls_takeover *takeover = link ? link->takeover : NULL;
    const char *secret = strrchr(line, ' ');
    bool is_of_client = strncmp(line, client, sizeof(client) - 1) == 0;

    if (!takeover || !secret || (!is_of_client && strncmp(line, server, sizeof(server) - 1) != 0))
        return;
    if (is_of_client)
        takeover->client_secret_len = read_hex(secret + 1, takeover->client_secret);
    else
        takeover->server_secret_len = read_hex(secret + 1, takeover->server_secret);
    if (is_of_client == (SSL_is_server(ssl) == 0))
        takeover->records_out = 0;
    else
        takeover->records_in = 0;
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
    SSL_CTX_set_keylog_callback(ctx, on_secret);
    SSL_CTX_set_msg_callback(ctx, on_message);
}

/* ---- from the stream */

void pn_tls_takeover_begin(struct pn_tls_link *link, SSL *ssl)
{
    link->takeover = calloc(1, sizeof(*link->takeover));
    /* What is read ahead must not be in the SSL, where it cannot be got out again: tls/bio.c. */
    if (link->takeover)
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
    bool is_client = SSL_is_server(ssl) == 0;

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
