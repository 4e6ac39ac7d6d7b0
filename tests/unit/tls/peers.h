/* SPDX-License-Identifier: Apache-2.0
 *
 * Client streams against OpenSSL servers over a socketpair, step by step: for the tests of client
 * contexts.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "tls/support.h"

/* ---- what all tests use */

static struct pn_loop *loop;
static struct pn_signer *signer;
static struct test_pair ca, other_ca, server_pair;
static struct pn_trust *trust;

static inline int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* of the OpenSSL servers; ours never raise it */
    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    pn_signer_bind_thread_fn(test_sign, NULL);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    other_ca = test_pair_make(
        &(struct test_spec){.common_name = "other CA", .key_type = "EC:P-256", .is_ca = true});
    server_pair = test_pair_make(&(struct test_spec){.common_name = "backend",
                                                     .san = "DNS:backend.test,IP:127.0.0.1",
                                                     .key_type = "EC:P-256",
                                                     .issuer = &ca});
    trust = test_trust(&ca, true, true);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    pn_trust_unref(trust);
    test_pair_fini(&ca);
    test_pair_fini(&other_ca);
    test_pair_fini(&server_pair);
    test_keys_clear();
    pn_loop_destroy(loop);
    pn_signer_destroy(signer);
    return 0;
}

/* ---- the OpenSSL server */

struct server {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    bool is_done, is_failed, is_mute;
};

struct server_options {
    const struct test_pair *pair;      /* NULL: server_pair */
    const struct test_pair *client_ca; /* NULL: no certificate is asked for */
    int version;                       /* TLS1_2_VERSION, TLS1_3_VERSION, 0: both */
    const char *client_sigalgs;
};

static inline struct server server_make(const struct server_options *options)
{
    struct server server = {.ctx = SSL_CTX_new(TLS_server_method()), .fd = -1};
    const struct test_pair *pair = options->pair ? options->pair : &server_pair;

    assert_int_equal(SSL_CTX_use_certificate(server.ctx, pair->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server.ctx, pair->key), 1);
    SSL_CTX_set_session_id_context(server.ctx, (const unsigned char *)"t", 1);
    if (options->version) {
        SSL_CTX_set_min_proto_version(server.ctx, options->version);
        SSL_CTX_set_max_proto_version(server.ctx, options->version);
    }
    if (options->client_ca) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), options->client_ca->x509);
        SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (options->client_sigalgs)
        assert_int_equal(SSL_CTX_set1_client_sigalgs_list(server.ctx, options->client_sigalgs), 1);
    return server;
}

static inline void server_end(struct server *server)
{
    if (server->ssl) {
        SSL_shutdown(server->ssl);
        SSL_free(server->ssl);
        close(server->fd);
    }
    server->ssl = NULL;
    server->is_done = server->is_failed = false;
}

static inline void server_fini(struct server *server)
{
    server_end(server);
    SSL_CTX_free(server->ctx);
}

static inline int server_begin(struct server *server)
{
    int pair[2];

    server_end(server);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    server->fd = pair[1];
    server->ssl = SSL_new(server->ctx);
    SSL_set_fd(server->ssl, server->fd);
    SSL_set_accept_state(server->ssl);
    return pair[0];
}

/* A server with a certificate to check fails here by writing its alert. */
static inline void server_step(struct server *server)
{
    int done;

    if (!server->ssl || server->is_done || server->is_failed || server->is_mute)
        return;
    done = SSL_do_handshake(server->ssl);
    if (done == 1) {
        server->is_done = true;
    } else {
        int error = SSL_get_error(server->ssl, done);

        server->is_failed = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
    }
    ERR_clear_error();
}

/* ---- the client stream */

static int64_t peers_now_s; /* of the client; 0: the clock's */

struct client {
    struct pn_stream *stream;
    bool is_open, is_failed, is_ended, is_broken;
    struct pn_tls_report report;
    char input[65536];
    size_t input_len;
    int writable;
};

static inline void on_open(void *ctx, struct pn_stream *stream)
{
    struct client *client = ctx;

    (void)stream;
    client->is_open = true;
}

static inline void on_failed(void *ctx, struct pn_stream *stream,
                             const struct pn_tls_report *report)
{
    struct client *client = ctx;

    client->is_failed = true;
    client->report = *report;
    client->stream = NULL;
    pn_stream_destroy(stream);
}

static inline void on_readable(void *ctx, struct pn_stream *stream)
{
    struct client *client = ctx;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK) {
        size_t len = 0;

        rc = pn_stream_read(stream, client->input + client->input_len,
                            sizeof(client->input) - client->input_len, &len);
        if (rc == PN_OK)
            client->input_len += len;
    }
    client->is_ended = rc == PN_EOF;
    client->is_broken = rc == PN_IO;
    if (client->is_broken)
        client->report = *pn_stream_report(stream);
}

static inline void on_writable(void *ctx, struct pn_stream *stream)
{
    struct client *client = ctx;

    (void)stream;
    client->writable++;
}

static const struct pn_stream_events events = {on_open, on_failed, on_readable, on_writable};

static inline void turns(struct server *server)
{
    for (int i = 0; i < 12; i++) {
        if (server)
            server_step(server);
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    }
}

static inline struct pn_tls_identity identity_of(struct pn_tls_client *tls, const char *name,
                                                 uint16_t port)
{
    struct pn_peer_address peer = {.family = AF_INET, .port = port, .ip = {127, 0, 0, 1}};
    struct pn_tls_identity identity;

    assert_int_equal(pn_tls_client_identity(tls, &peer, pn_slice_str(name), &identity), PN_OK);
    return identity;
}

static inline enum pn_rc client_begin(struct client *client, struct pn_tls_client *tls,
                                      struct server *server, const struct pn_tls_identity *identity,
                                      struct pn_error *err)
{
    struct pn_stream_connect_spec spec = {
        .identity = identity, .tls = tls, .fd = server_begin(server), .now_unix_s = peers_now_s};

    memset(client, 0, sizeof(*client));
    /* The loop's clock stood still while a key was made, which can take longer than a handshake
     * may. */
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    return pn_stream_connect(loop, &spec, &events, client, &client->stream, err);
}

/* Connects as `name` and lets both sides finish. */
static inline void client_connect(struct client *client, struct pn_tls_client *tls,
                                  struct server *server, const char *name, uint16_t port)
{
    struct pn_tls_identity identity = identity_of(tls, name, port);
    struct pn_error err = {0};

    if (client_begin(client, tls, server, &identity, &err) != PN_OK)
        fail_msg("%s", err.message);
    turns(server);
}

static inline void client_end(struct client *client)
{
    pn_stream_destroy(client->stream);
    client->stream = NULL;
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
}

static inline struct pn_tls_client *context(struct pn_trust *with_trust,
                                            struct pn_tls_certificate *certificate)
{
    struct pn_tls_client *tls = NULL;
    struct pn_error err = {0};

    if (pn_tls_client_create(signer, with_trust, certificate, PN_ALPN_HTTP11, &tls, &err) != PN_OK)
        fail_msg("%s", err.message);
    return tls;
}
