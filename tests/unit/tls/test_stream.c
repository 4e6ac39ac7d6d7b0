/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of both sides over a socketpair, plain and TLS, with OpenSSL's record layer and with
 * ours: the same tests for each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tls/support.h"

#define TRANSFER (3u * 1024 * 1024 + 17)

static bool own_records;
static struct pn_loop *loop;
static struct pn_signer *signer;
static struct test_pair ca, first_pair, second_pair;
static struct pn_trust *trust;
static struct pn_tls_certificate *first, *second;
static struct pn_tls_server *server_context;
static struct pn_tls_client *client_context;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    pn_signer_bind_thread_fn(test_sign, NULL);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    first_pair = test_pair_make(&(struct test_spec){
        .common_name = "first", .san = "DNS:first.test", .key_type = "EC:P-256", .issuer = &ca});
    second_pair = test_pair_make(&(struct test_spec){.common_name = "second",
                                                     .san = "DNS:*.second.test",
                                                     .key_type = "RSA:2048",
                                                     .issuer = &ca});
    trust = test_trust(&ca, true, true);
    first = test_certificate(signer, "first", 1, PN_USE_SERVER, &first_pair, NULL);
    second = test_certificate(signer, "second", 1, PN_USE_SERVER, &second_pair, NULL);
    assert_int_equal(
        pn_tls_server_create(
            signer,
            &(struct pn_tls_server_spec){
                .hosts = (struct pn_tls_host[]){{.certificate = first}, {.certificate = second}},
                .host_count = 2,
                .alpn = PN_ALPN_HTTP11,
                .cleanse_plaintext = !own_records,
                .use_own_records = own_records},
            &server_context, NULL),
        PN_OK);
    assert_int_equal(
        pn_tls_client_create(signer, trust, NULL, PN_ALPN_H2_HTTP11, &client_context, NULL), PN_OK);
    if (own_records)
        pn_tls_client_use_own_records(client_context);
    return 0;
}

static int setup_own_records(void **state)
{
    own_records = true;
    return setup(state);
}

static int teardown(void **state)
{
    (void)state;
    pn_tls_client_unref(client_context);
    pn_tls_server_unref(server_context);
    pn_tls_certificate_unref(first);
    pn_tls_certificate_unref(second);
    pn_trust_unref(trust);
    test_pair_fini(&ca);
    test_pair_fini(&first_pair);
    test_pair_fini(&second_pair);
    test_keys_clear();
    pn_loop_destroy(loop);
    pn_signer_destroy(signer);
    return 0;
}

/* One end: sends `to_send` bytes of a pattern when open, checks the pattern that it gets. */
struct end {
    struct pn_stream *stream;
    size_t to_send, sent, received;
    size_t piece; /* bytes of one write */
    bool is_open, is_failed, is_ended, is_broken, destroy_in_callback, shut_down_when_sent;
    int again;
};

static char pattern(size_t position)
{
    return (char)(position * 31 + position / 251);
}

static void end_send(struct end *end)
{
    static char bytes[65536];
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && end->sent < end->to_send) {
        size_t len = end->to_send - end->sent < end->piece ? end->to_send - end->sent : end->piece;
        size_t written = 0;
        struct iovec iov[3];

        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(end->sent + i);
        iov[0] = (struct iovec){bytes, len / 3};
        iov[1] = (struct iovec){bytes + len / 3, 0};
        iov[2] = (struct iovec){bytes + len / 3, len - len / 3};
        if (end->again % 2)
            rc = pn_stream_write(end->stream, bytes, len, &written);
        else
            rc = pn_stream_writev(end->stream, iov, 3, &written);
        if (rc == PN_OK)
            assert_in_range(written, 1, len);
        end->sent += written;
    }
    if (rc == PN_AGAIN)
        end->again++;
    if (end->sent == end->to_send && end->shut_down_when_sent)
        pn_stream_shutdown(end->stream);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct end *end = ctx;

    (void)stream;
    end->is_open = true;
    if (end->destroy_in_callback) {
        pn_stream_destroy(stream);
        end->stream = NULL;
        return;
    }
    end_send(end);
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct end *end = ctx;

    (void)report;
    end->is_failed = true;
    end->stream = NULL;
    pn_stream_destroy(stream);
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct end *end = ctx;
    char bytes[5000];
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK) {
        size_t len = 0;

        rc = pn_stream_read(stream, bytes, sizeof(bytes), &len);
        for (size_t i = 0; rc == PN_OK && i < len; i++)
            assert_int_equal(bytes[i], pattern(end->received++));
    }
    if (rc == PN_AGAIN)
        pn_stream_settle(stream);
    end->is_ended = end->is_ended || rc == PN_EOF;
    end->is_broken = end->is_broken || rc == PN_IO;
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    end_send(ctx);
}

static const struct pn_stream_events events = {on_open, on_failed, on_readable, on_writable};

static void pair_begin(struct end *client, struct end *server, bool is_tls, const char *name)
{
    struct pn_peer_address peer = {.family = AF_INET, .port = 443, .ip = {127, 0, 0, 1}};
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity,
                                          .tls = is_tls ? client_context : NULL};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    if (is_tls) {
        assert_int_equal(
            pn_tls_client_identity(client_context, &peer, pn_slice_str(name), &identity), PN_OK);
    } else {
        pn_tls_identity_init(&identity, &peer);
        pn_tls_identity_seal(&identity);
    }
    spec.fd = pair[0];
    assert_int_equal(pn_stream_connect(loop, &spec, &events, client, &client->stream, NULL), PN_OK);
    assert_int_equal(pn_stream_accept(loop, pair[1], is_tls ? server_context : NULL, 0, &events,
                                      server, &server->stream),
                     PN_OK);
}

static void turns(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
}

static void pair_end(struct end *client, struct end *server)
{
    pn_stream_destroy(client->stream);
    pn_stream_destroy(server->stream);
    pn_stream_destroy(NULL);
    turns(1);
}

static int64_t taken_over(void)
{
    return pn_metric_get(PN_METRIC_TLS_TAKEN_OVER);
}

static void bytes_arrive_whole_in_both_directions(void **state)
{
    (void)state;
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct end client = {.to_send = 10, .piece = 40000};
        struct end server = {.to_send = 10, .piece = 333};
        int64_t before = taken_over();

        pair_begin(&client, &server, is_tls, "first.test");
        turns(12);
        assert_int_equal(taken_over() - before, is_tls && own_records ? 2 : 0);
        client.to_send = server.to_send = TRANSFER;
        client.shut_down_when_sent = server.shut_down_when_sent = true;
        end_send(&client);
        end_send(&server);
        for (int i = 0; i < 50000 && !(client.is_ended && server.is_ended); i++)
            turns(1);
        assert_int_equal(client.received, TRANSFER);
        assert_int_equal(server.received, TRANSFER);
        assert_true(client.again + server.again > 0); /* there was back-pressure */
        assert_true(client.is_ended && server.is_ended);
        assert_false(client.is_broken || server.is_broken);
        pair_end(&client, &server);
    }
}

static void half_closed_stream_can_still_be_answered(void **state)
{
    (void)state;
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct end client = {.to_send = 10, .piece = 10, .shut_down_when_sent = true};
        struct end server = {.piece = 10};

        pair_begin(&client, &server, is_tls, "first.test");
        turns(10);
        assert_true(server.is_ended);
        server.to_send = 100;
        end_send(&server);
        turns(5);
        assert_int_equal(client.received, 100);
        assert_false(client.is_ended);
        pair_end(&client, &server);
    }
}

static void stream_destroyed_in_its_own_callback_gets_no_further_event(void **state)
{
    (void)state;
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct end client = {.to_send = 10, .piece = 10};
        struct end server = {.destroy_in_callback = true};

        pair_begin(&client, &server, is_tls, "first.test");
        turns(10);
        assert_true(server.is_open);
        assert_int_equal(server.received, 0);
        assert_true(client.is_ended || client.is_broken);
        pair_end(&client, &server);
    }
}

static void write_to_a_gone_peer_is_an_error_without_signal(void **state)
{
    (void)state;
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct end client = {.piece = 10}, server = {.piece = 10};
        enum pn_rc rc = PN_OK;
        size_t written;

        pair_begin(&client, &server, is_tls, "first.test");
        turns(10);
        pn_stream_abort(server.stream);
        server.stream = NULL;
        for (int i = 0; i < 3 && rc != PN_IO; i++)
            rc = pn_stream_write(client.stream, "x", 1, &written);
        assert_int_equal(rc, PN_IO);
        assert_int_equal(pn_stream_report(client.stream)->cause, PN_CAUSE_RESET);
        assert_false(pn_stream_is_open(client.stream));
        pair_end(&client, &server);
    }
}

static void server_signs_with_the_use_server_and_names_choose_the_certificate(void **state)
{
    static const struct {
        const char *name;
        bool is_fine;
    } cases[] = {
        {"first.test", true}, {"FIRST.test", true}, {"a.second.test", true}, {"third.test", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct end client = {0}, server = {0};

        pair_begin(&client, &server, true, cases[i].name);
        turns(12);
        assert_int_equal(test_last_use(), PN_USE_SERVER);
        assert_int_equal(client.is_open, cases[i].is_fine);
        assert_int_equal(client.is_failed, !cases[i].is_fine);
        if (client.is_open && server.is_open) {
            assert_int_equal(pn_stream_alpn(client.stream), PN_ALPN_HTTP11);
            assert_int_equal(pn_stream_alpn(server.stream), PN_ALPN_HTTP11);
            if (i == 1)
                assert_string_equal(pn_stream_server_name(server.stream), "first.test");
            assert_non_null(pn_stream_identity(client.stream));
            assert_null(pn_stream_identity(server.stream));
        }
        pair_end(&client, &server);
    }
}

static void trimmed_stream_works_on(void **state)
{
    struct end client = {.piece = 10}, server = {.piece = 10};

    (void)state;
    pair_begin(&client, &server, true, "first.test");
    turns(12);
    pn_stream_trim(client.stream);
    pn_stream_trim(server.stream);
    client.to_send = server.to_send = 1000;
    end_send(&client);
    end_send(&server);
    turns(5);
    assert_int_equal(client.received, 1000);
    assert_int_equal(server.received, 1000);
    pair_end(&client, &server);
}

static void certificate_of_another_use_is_refused(void **state)
{
    struct pn_tls_certificate *client =
        test_certificate(signer, "c", 1, PN_USE_CLIENT, &first_pair, NULL);
    struct pn_tls_host host = {.certificate = client};
    struct pn_tls_server_spec spec = {.hosts = &host, .host_count = 1};
    struct pn_tls_server *server = NULL;
    struct pn_tls_client *tls = NULL;
    struct pn_error err;

    (void)state;
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_INVALID);
    assert_int_equal(pn_tls_client_create(signer, trust, first, PN_ALPN_NONE, &tls, &err),
                     PN_INVALID);
    spec.host_count = 0;
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_INVALID);
    spec.host_count = PN_TLS_SERVER_HOSTS_MAX + 1;
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_LIMIT);
    pn_tls_certificate_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_whole_in_both_directions),
        cmocka_unit_test(half_closed_stream_can_still_be_answered),
        cmocka_unit_test(stream_destroyed_in_its_own_callback_gets_no_further_event),
        cmocka_unit_test(write_to_a_gone_peer_is_an_error_without_signal),
        cmocka_unit_test(server_signs_with_the_use_server_and_names_choose_the_certificate),
        cmocka_unit_test(trimmed_stream_works_on),
        cmocka_unit_test(certificate_of_another_use_is_refused),
    };
    int failed = cmocka_run_group_tests_name("openssl", tests, setup, teardown);

    return failed + cmocka_run_group_tests_name("own", tests, setup_own_records, teardown);
}
