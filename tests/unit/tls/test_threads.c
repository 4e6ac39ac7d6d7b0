/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts, certificates and sessions shared by several threads, each with its own loop. Worth most
 * under the thread sanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/support.h"

#define THREADS 4
#define ROUNDS  20

struct shared {
    struct pn_tls_client *client;
    struct pn_tls_server *server;
};

struct worker {
    const struct shared *shared;
    pthread_t thread;
    uint16_t port; /* two threads share an identity */
    int opened;
    int resumed;
};

struct end {
    bool is_open;
    struct pn_stream *stream;
    size_t received;
};

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct end *end = ctx;
    size_t written;

    end->is_open = true;
    if (pn_stream_write(stream, "x", 1, &written) != PN_OK)
        abort();
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    (void)ctx;
    (void)stream;
    (void)report;
    abort();
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct end *end = ctx;
    char bytes[16];
    size_t len = 0;

    while (pn_stream_read(stream, bytes, sizeof(bytes), &len) == PN_OK)
        end->received += len;
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events events = {on_open, on_failed, on_readable, on_writable};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct pn_loop *loop = NULL;
    struct pn_peer_address peer = {.family = AF_INET, .port = worker->port, .ip = {127, 0, 0, 1}};

    pn_signer_bind_thread_fn(test_sign, NULL);
    if (pn_loop_create(&loop, NULL) != PN_OK)
        abort();
    for (int round = 0; round < ROUNDS; round++) {
        struct end client = {0}, server = {0};
        struct pn_tls_identity identity;
        struct pn_stream_connect_spec spec = {.identity = &identity, .tls = worker->shared->client};
        int pair[2];

        if (pn_tls_client_identity(spec.tls, &peer, PN_LIT("backend.test"), &identity) != PN_OK ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
            abort();
        spec.fd = pair[0];
        if (pn_stream_connect(loop, &spec, &events, &client, &client.stream, NULL) != PN_OK ||
            pn_stream_accept(loop, pair[1], worker->shared->server, 0, &events, &server,
                             &server.stream) != PN_OK)
            abort();
        for (int i = 0; i < 100 && !(client.received && server.received); i++) {
            if (pn_loop_turn(loop, 0, NULL) != PN_OK)
                abort();
        }
        worker->opened += client.is_open && server.is_open;
        worker->resumed += pn_stream_report(client.stream)->is_resumed;
        pn_stream_destroy(client.stream);
        pn_stream_destroy(server.stream);
        if (pn_loop_turn(loop, 0, NULL) != PN_OK)
            abort();
    }
    pn_loop_destroy(loop);
    return NULL;
}

static void threads_share_contexts_and_sessions(void **state)
{
    struct pn_signer *signer = NULL;
    struct shared shared = {0};
    struct worker workers[THREADS];
    struct test_pair ca, pair;
    struct pn_tls_certificate *client_certificate, *server_certificate;
    struct pn_tls_tickets *tickets = NULL;
    struct pn_trust *trust;

    (void)state;
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    pair = test_pair_make(&(struct test_spec){
        .common_name = "both", .san = "DNS:backend.test", .key_type = "EC:P-256", .issuer = &ca});
    trust = test_trust(&ca, true, true);
    client_certificate = test_certificate(signer, "c", 1, PN_USE_CLIENT, &pair, &ca);
    server_certificate = test_certificate(signer, "s", 1, PN_USE_SERVER, &pair, &ca);
    assert_int_equal(pn_tls_client_create(signer, trust, client_certificate, PN_ALPN_HTTP11,
                                          &shared.client, NULL),
                     PN_OK);
    assert_int_equal(pn_tls_tickets_create(&(struct pn_tls_tickets_spec){0}, &tickets, NULL),
                     PN_OK);
    assert_int_equal(
        pn_tls_server_create(signer,
                             &(struct pn_tls_server_spec){
                                 .hosts = &(struct pn_tls_host){.certificate = server_certificate},
                                 .tickets = tickets,
                                 .host_count = 1,
                                 .alpn = PN_ALPN_HTTP11},
                             &shared.server, NULL),
        PN_OK);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = &shared, .port = (uint16_t)(443 + i / 2)};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].opened, ROUNDS);
        assert_true(workers[i].resumed > 0);
    }
    pn_tls_client_unref(shared.client);
    pn_tls_server_unref(shared.server);
    pn_tls_tickets_unref(tickets);
    pn_tls_certificate_unref(client_certificate);
    pn_tls_certificate_unref(server_certificate);
    pn_trust_unref(trust);
    test_pair_fini(&ca);
    test_pair_fini(&pair);
    test_keys_clear();
    pn_signer_destroy(signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_contexts_and_sessions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
