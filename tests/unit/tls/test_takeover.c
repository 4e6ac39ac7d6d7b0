/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that are taken over from OpenSSL, with an OpenSSL peer at the other end: its bytes go
 * through our hands, so that they come in pieces, changed, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "tls/support.h"

static struct pn_loop *loop;
static struct pn_signer *signer;
static struct test_pair ca, pair;
static struct pn_trust *trust;
static struct pn_tls_certificate *certificate;
static struct pn_tls_server *server_context;
static struct pn_tls_client *client_context;

static int setup(void **state)
{
    struct pn_tls_host host;
    struct pn_tls_server_spec spec = {
        .hosts = &host, .host_count = 1, .alpn = PN_ALPN_HTTP11, .use_own_records = true};

    (void)state;
    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    pn_signer_bind_thread_fn(test_sign, NULL);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    pair = test_pair_make(&(struct test_spec){
        .common_name = "test", .san = "DNS:test", .key_type = "EC:P-256", .issuer = &ca});
    trust = test_trust(&ca, true, true);
    certificate = test_certificate(signer, "test", 1, PN_USE_SERVER, &pair, NULL);
    host = (struct pn_tls_host){.certificate = certificate};
    assert_int_equal(pn_tls_server_create(signer, &spec, &server_context, NULL), PN_OK);
    assert_int_equal(
        pn_tls_client_create(signer, trust, NULL, PN_ALPN_HTTP11, &client_context, NULL), PN_OK);
    pn_tls_client_use_own_records(client_context);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_tls_client_unref(client_context);
    pn_tls_server_unref(server_context);
    pn_tls_certificate_unref(certificate);
    pn_trust_unref(trust);
    test_pair_fini(&ca);
    test_pair_fini(&pair);
    test_keys_clear();
    pn_loop_destroy(loop);
    pn_signer_destroy(signer);
    return 0;
}

/* ---- both ends */

struct ends {
    /* ours */
    struct pn_stream *stream;
    bool is_open, is_failed, is_ended, is_broken;
    bool settles; /* as a pool does when the first answer has come */
    char got[70000];
    size_t got_len;
    size_t room; /* of one read */
    /* OpenSSL's, on memory */
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    size_t piece; /* bytes that go to the stream at once */
    bool is_cut;  /* nothing more of it goes out */
    int64_t taken_before;
};

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct ends *ends = ctx;

    (void)stream;
    ends->is_open = true;
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct ends *ends = ctx;

    (void)stream;
    (void)report;
    ends->is_failed = true;
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct ends *ends = ctx;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK) {
        size_t len = 0, room = sizeof(ends->got) - ends->got_len;

        rc = pn_stream_read(stream, ends->got + ends->got_len,
                            room < ends->room ? room : ends->room, &len);
        if (rc == PN_OK)
            assert_in_range(len, 1, ends->room);
        ends->got_len += rc == PN_OK ? len : 0;
        assert_true(ends->got_len < sizeof(ends->got));
    }
    if (rc == PN_AGAIN && ends->settles)
        pn_stream_settle(stream);
    ends->is_ended = rc == PN_EOF;
    ends->is_broken = rc == PN_IO;
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    const struct ends *ends = ctx;

    if (ends->settles)
        pn_stream_settle(stream);
}

static const struct pn_stream_events events = {on_open, on_failed, on_readable, on_writable};

/* Moves what there is, in pieces, with a turn of the loop after each. */
static void pump(struct ends *ends)
{
    char bytes[16384];
    int idle = 0;

    while (idle < 3) {
        int n = ends->is_cut
                    ? 0
                    : BIO_read(SSL_get_wbio(ends->ssl), bytes,
                               (int)(ends->piece < sizeof(bytes) ? ends->piece : sizeof(bytes)));
        ssize_t got;

        idle++;
        if (n > 0) {
            assert_int_equal(write(ends->fd, bytes, (size_t)n), n);
            idle = 0;
        }
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
        got = read(ends->fd, bytes, sizeof(bytes));
        if (got > 0) {
            assert_int_equal(BIO_write(SSL_get_rbio(ends->ssl), bytes, (int)got), got);
            idle = 0;
        }
        if (!SSL_is_init_finished(ends->ssl))
            (void)SSL_do_handshake(ends->ssl);
        ERR_clear_error();
    }
}

struct begin_options {
    bool is_client; /* our side */
    const char *suite;
    int version;
    size_t piece;
    int fragment;      /* TLSEXT_max_fragment_length_… */
    const char *early; /* the peer sends it behind its Finished, in one piece */
    SSL_SESSION *session;
};

static void begin(struct ends *ends, const struct begin_options *options)
{
    struct pn_peer_address peer = {.family = AF_INET, .port = 443, .ip = {127, 0, 0, 1}};
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity, .tls = client_context};
    int fds[2];

    memset(ends, 0, sizeof(*ends));
    ends->piece = options->piece ? options->piece : 16384;
    ends->room = 5000;
    ends->taken_before = pn_metric_get(PN_METRIC_TLS_TAKEN_OVER);
    ends->ctx = SSL_CTX_new(options->is_client ? TLS_server_method() : TLS_client_method());
    if (options->version)
        (void)SSL_CTX_set_max_proto_version(ends->ctx, options->version);
    if (options->suite)
        assert_int_equal(SSL_CTX_set_ciphersuites(ends->ctx, options->suite), 1);
    if (options->is_client) {
        static unsigned char ticket_keys[80]; /* the same for all, so that sessions are resumed */

        (void)SSL_CTX_set_tlsext_ticket_keys(ends->ctx, ticket_keys, sizeof(ticket_keys));
        assert_int_equal(SSL_CTX_use_certificate(ends->ctx, pair.x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ends->ctx, pair.key), 1);
    }
    ends->ssl = SSL_new(ends->ctx);
    SSL_set_bio(ends->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (options->fragment)
        assert_int_equal(SSL_set_tlsext_max_fragment_length(ends->ssl, (uint8_t)options->fragment),
                         1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ends->fd = fds[1];
    if (options->is_client) {
        SSL_set_accept_state(ends->ssl);
        spec.fd = fds[0];
        assert_int_equal(
            pn_tls_client_identity(client_context, &peer, pn_slice_str("test"), &identity), PN_OK);
        assert_int_equal(pn_stream_connect(loop, &spec, &events, ends, &ends->stream, NULL), PN_OK);
    } else {
        SSL_set_connect_state(ends->ssl);
        (void)SSL_set_tlsext_host_name(ends->ssl, "test");
        assert_int_equal(
            pn_stream_accept(loop, fds[0], server_context, 0, &events, ends, &ends->stream), PN_OK);
        (void)SSL_do_handshake(ends->ssl);
        if (options->early) {
            char bytes[16384];

            /* the ClientHello goes, the answer comes, then Finished and data together */
            int n = BIO_read(SSL_get_wbio(ends->ssl), bytes, sizeof(bytes));

            assert_int_equal(write(ends->fd, bytes, (size_t)n), n);
            for (int i = 0; i < 3; i++)
                assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
            n = (int)read(ends->fd, bytes, sizeof(bytes));
            assert_true(n > 0);
            assert_int_equal(BIO_write(SSL_get_rbio(ends->ssl), bytes, n), n);
            assert_int_equal(SSL_do_handshake(ends->ssl), 1);
            assert_int_equal(SSL_write(ends->ssl, options->early, (int)strlen(options->early)),
                             (int)strlen(options->early));
        }
    }
    pump(ends);
}

static int64_t taken(const struct ends *ends)
{
    return pn_metric_get(PN_METRIC_TLS_TAKEN_OVER) - ends->taken_before;
}

static void end(struct ends *ends)
{
    pn_stream_destroy(ends->stream);
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    SSL_free(ends->ssl);
    SSL_CTX_free(ends->ctx);
    close(ends->fd);
}

static void peer_says(struct ends *ends, const char *bytes, size_t len)
{
    assert_int_equal(SSL_write(ends->ssl, bytes, (int)len), (int)len);
    pump(ends);
}

static void expect(struct ends *ends, const char *bytes, size_t len)
{
    assert_int_equal(ends->got_len, len);
    assert_memory_equal(ends->got, bytes, len);
    ends->got_len = 0;
}

static void we_say(struct ends *ends, const char *bytes, size_t len)
{
    static char got[70000];
    size_t sent = 0, at = 0;

    while (sent < len) {
        size_t written = 0;
        enum pn_rc rc = pn_stream_write(ends->stream, bytes + sent, len - sent, &written);

        assert_true(rc == PN_OK || rc == PN_AGAIN);
        sent += written;
        pump(ends);
    }
    while (at < len) {
        int n = SSL_read(ends->ssl, got + at, (int)(sizeof(got) - at));

        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_memory_equal(got, bytes, len);
}

static void talk(struct ends *ends)
{
    static char bytes[50000];
    size_t len = ends->piece < 100 ? 17000 : sizeof(bytes); /* more than one record */

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    we_say(ends, "question", 8);
    ends->settles = true;
    peer_says(ends, "answer", 6);
    expect(ends, "answer", 6);
    we_say(ends, bytes, len);
    peer_says(ends, bytes, len);
    expect(ends, bytes, len);
}

/* ---- what is taken over, and what is not */

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};

static void every_suite_is_taken_over_on_both_sides(void **state)
{
    static const size_t pieces[] = {16384, 1, 7, 1000};

    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        for (size_t s = 0; s < 3; s++) {
            for (size_t p = s ? 2 : 0; p < 4; p++) {
                struct ends ends;

                begin(&ends, &(struct begin_options){
                                 .is_client = is_client, .suite = suites[s], .piece = pieces[p]});
                assert_true(ends.is_open);
                assert_int_equal(taken(&ends), is_client ? 0 : 1);
                talk(&ends);
                assert_int_equal(taken(&ends), 1);
                assert_true(pn_stream_is_tls(ends.stream));
                talk(&ends);
                ends.room = 1 + p * 20000;
                talk(&ends);
                end(&ends);
            }
        }
    }
}

static void data_that_comes_with_the_handshake_is_not_lost(void **state)
{
    char early[9000];

    (void)state;
    memset(early, 'e', sizeof(early) - 1);
    early[sizeof(early) - 1] = '\0';
    for (size_t len = 1; len < sizeof(early); len = len * 3 + 1) {
        struct ends ends;

        begin(&ends, &(struct begin_options){.early = early + sizeof(early) - 1 - len});
        expect(&ends, early, len);
        assert_int_equal(taken(&ends), 1);
        talk(&ends);
        end(&ends);
    }
}

static void others_stay_with_openssl(void **state)
{
    static const struct begin_options cases[] = {
        {.is_client = true, .version = TLS1_2_VERSION},
        {.is_client = false, .version = TLS1_2_VERSION},
        {.is_client = false, .fragment = TLSEXT_max_fragment_length_1024},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct ends ends;

        begin(&ends, &cases[i]);
        assert_true(ends.is_open);
        talk(&ends);
        assert_int_equal(taken(&ends), 0);
        talk(&ends);
        end(&ends);
    }
}

static void connection_whose_keys_were_replaced_stays_with_openssl(void **state)
{
    struct ends ends;

    (void)state;
    begin(&ends, &(struct begin_options){.is_client = true});
    assert_int_equal(SSL_key_update(ends.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    peer_says(&ends, "x", 1);
    ends.got_len = 0;
    talk(&ends);
    assert_int_equal(taken(&ends), 0);
    end(&ends);
}

static void record_that_is_half_sent_is_finished_first(void **state)
{
    static char bytes[60000];
    int small = 4096;
    struct ends ends;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 17 + i / 239);
    begin(&ends, &(struct begin_options){.is_client = true});
    assert_int_equal(
        setsockopt(pn_stream_fd(ends.stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    ends.settles = true; /* as soon as the rest could be written, and before it is */
    we_say(&ends, bytes, sizeof(bytes));
    talk(&ends);
    assert_int_equal(taken(&ends), 1);
    we_say(&ends, bytes, sizeof(bytes));
    end(&ends);
}

/* ---- what the peer does later */

static void peer_replaces_keys_and_asks_for_ours(void **state)
{
    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        for (size_t s = 0; s < 3; s++) {
            struct ends ends;

            begin(&ends, &(struct begin_options){.is_client = is_client, .suite = suites[s]});
            talk(&ends);
            assert_int_equal(taken(&ends), 1);
            for (int i = 0; i < 6; i++) {
                assert_int_equal(SSL_key_update(ends.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                                : SSL_KEY_UPDATE_NOT_REQUESTED),
                                 1);
                talk(&ends);
                if (i == 3)
                    pn_stream_trim(ends.stream);
            }
            end(&ends);
        }
    }
}

static void we_replace_keys_that_are_worn(void **state)
{
    int64_t hits = pn_limit_hits(PN_LIMIT_TLS_KEY_RECORDS);
    uint64_t before = pn_limit_value(PN_LIMIT_TLS_KEY_RECORDS);
    struct ends ends;

    (void)state;
    pn_limit_values[PN_LIMIT_TLS_KEY_RECORDS] = 8;
    for (int is_client = 0; is_client < 2; is_client++) {
        begin(&ends, &(struct begin_options){.is_client = is_client});
        for (int i = 0; i < 12; i++)
            talk(&ends);
        assert_int_equal(taken(&ends), 1);
        end(&ends);
    }
    pn_limit_values[PN_LIMIT_TLS_KEY_RECORDS] = before;
    assert_true(pn_limit_hits(PN_LIMIT_TLS_KEY_RECORDS) > hits);
}

static void tickets_are_kept_before_and_read_over_after(void **state)
{
    struct ends ends;
    size_t sessions;

    (void)state;
    for (int i = 0; i < 2; i++) {
        begin(&ends, &(struct begin_options){.is_client = true});
        if (i > 0)
            assert_true(pn_stream_report(ends.stream)->is_resumed);
        talk(&ends);
        assert_int_equal(taken(&ends), 1);
        sessions = pn_tls_client_session_count(client_context);
        assert_true(sessions > 0);
        assert_int_equal(SSL_new_session_ticket(ends.ssl), 1);
        talk(&ends);
        assert_int_equal(pn_tls_client_session_count(client_context), sessions);
        end(&ends);
    }
}

static void ends_are_told_from_truncation(void **state)
{
    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        struct ends ends;

        begin(&ends, &(struct begin_options){.is_client = is_client});
        talk(&ends);
        (void)SSL_shutdown(ends.ssl);
        pump(&ends);
        assert_true(ends.is_ended);
        we_say(&ends, "still here", 10); /* its half is closed, ours is not */
        pn_stream_shutdown(ends.stream);
        pump(&ends);
        assert_int_equal(SSL_shutdown(ends.ssl), 1); /* our close_notify has come */
        end(&ends);

        begin(&ends, &(struct begin_options){.is_client = is_client});
        talk(&ends);
        assert_int_equal(shutdown(ends.fd, SHUT_WR), 0);
        pump(&ends);
        assert_true(ends.is_broken);
        assert_int_equal(pn_stream_report(ends.stream)->cause, PN_CAUSE_TRUNCATED);
        end(&ends);

        begin(&ends, &(struct begin_options){.is_client = is_client});
        talk(&ends); /* data and close_notify in one piece */
        assert_int_equal(SSL_write(ends.ssl, "last", 4), 4);
        (void)SSL_shutdown(ends.ssl);
        pump(&ends);
        expect(&ends, "last", 4);
        assert_true(ends.is_ended);
        end(&ends);

        begin(&ends, &(struct begin_options){.is_client = is_client});
        talk(&ends); /* within a record */
        assert_int_equal(SSL_write(ends.ssl, "never whole", 11), 11);
        ends.piece = 10;
        {
            char bytes[10];

            assert_int_equal(BIO_read(SSL_get_wbio(ends.ssl), bytes, 10), 10);
            assert_int_equal(write(ends.fd, bytes, 10), 10);
        }
        ends.is_cut = true;
        assert_int_equal(shutdown(ends.fd, SHUT_WR), 0);
        pump(&ends);
        assert_true(ends.is_broken);
        assert_int_equal(ends.got_len, 0);
        assert_int_equal(pn_stream_report(ends.stream)->cause, PN_CAUSE_TRUNCATED);
        end(&ends);
    }
}

static void closing_stream_says_so(void **state)
{
    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        struct ends ends;

        begin(&ends, &(struct begin_options){.is_client = is_client});
        talk(&ends);
        pn_stream_trim(ends.stream);
        pn_stream_destroy(ends.stream);
        ends.stream = NULL;
        pump(&ends);
        assert_int_equal(SSL_read(ends.ssl, ends.got, 1), 0);
        assert_int_equal(SSL_get_error(ends.ssl, 0), SSL_ERROR_ZERO_RETURN);
        end(&ends);
    }
}

static int alert_seen;

static void on_info(const SSL *ssl, int where, int value)
{
    (void)ssl;
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
        alert_seen = value & 0xff;
}

static void changed_record_is_answered_by_an_alert(void **state)
{
    (void)state;
    for (int is_client = 0; is_client < 2; is_client++) {
        for (int where = 0; where < 3; where++) {
            static const int alerts[] = {SSL_AD_UNEXPECTED_MESSAGE, SSL_AD_BAD_RECORD_MAC,
                                         SSL_AD_BAD_RECORD_MAC};
            struct ends ends;
            char bytes[200];
            int n;

            begin(&ends, &(struct begin_options){.is_client = is_client});
            talk(&ends);
            assert_int_equal(SSL_write(ends.ssl, "good", 4), 4);
            assert_int_equal(SSL_write(ends.ssl, "bad", 3), 3);
            n = BIO_read(SSL_get_wbio(ends.ssl), bytes, sizeof(bytes));
            assert_int_equal(n, 26 + 25);
            bytes[26 + (int[]){0, 10, 24}[where]] ^= 1;
            assert_int_equal(write(ends.fd, bytes, (size_t)n), n);
            SSL_set_info_callback(ends.ssl, on_info);
            alert_seen = -1;
            pump(&ends);
            expect(&ends, "good", 4);
            assert_true(ends.is_broken);
            assert_int_equal(pn_stream_report(ends.stream)->cause, PN_CAUSE_PROTOCOL);
            assert_true(SSL_read(ends.ssl, bytes, 1) <= 0);
            assert_int_equal(alert_seen, alerts[where]);
            assert_false(pn_stream_is_open(ends.stream));
            end(&ends);
            if (is_client) /* what could be resumed is forgotten */
                assert_int_equal(pn_tls_client_session_count(client_context), 0);
        }
    }
}

static void reset_and_late_alert_are_reported(void **state)
{
    struct ends ends;

    (void)state;
    begin(&ends, &(struct begin_options){.is_client = true});
    talk(&ends);
    /* Our record, changed on its way, makes the peer send a fatal alert. */
    {
        char bytes[100];
        size_t written = 0;
        ssize_t n;

        assert_int_equal(pn_stream_write(ends.stream, "x", 1, &written), PN_OK);
        n = read(ends.fd, bytes, sizeof(bytes));
        assert_true(n > 10);
        bytes[8] ^= 1;
        assert_int_equal(BIO_write(SSL_get_rbio(ends.ssl), bytes, (int)n), n);
        assert_int_equal(SSL_read(ends.ssl, bytes, 1), -1);
    }
    pump(&ends);
    assert_true(ends.is_broken);
    assert_int_equal(pn_stream_report(ends.stream)->alert, SSL_AD_BAD_RECORD_MAC);
    assert_int_equal(pn_stream_report(ends.stream)->cause, PN_CAUSE_ALERT);
    assert_true(pn_stream_report(ends.stream)->is_late);
    end(&ends);
}

static void flood_of_empty_records_is_ended(void **state)
{
    int64_t hits = pn_limit_hits(PN_LIMIT_TLS_EMPTY_RECORDS);
    struct ends ends;

    (void)state;
    begin(&ends, &(struct begin_options){0});
    talk(&ends);
    for (int i = 0; i < 40 && !ends.is_broken; i++) {
        assert_int_equal(SSL_key_update(ends.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        (void)SSL_do_handshake(ends.ssl);
        pump(&ends);
    }
    assert_true(ends.is_broken);
    assert_int_equal(pn_limit_hits(PN_LIMIT_TLS_EMPTY_RECORDS), hits + 1);
    end(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_is_taken_over_on_both_sides),
        cmocka_unit_test(data_that_comes_with_the_handshake_is_not_lost),
        cmocka_unit_test(others_stay_with_openssl),
        cmocka_unit_test(record_that_is_half_sent_is_finished_first),
        cmocka_unit_test(connection_whose_keys_were_replaced_stays_with_openssl),
        cmocka_unit_test(peer_replaces_keys_and_asks_for_ours),
        cmocka_unit_test(we_replace_keys_that_are_worn),
        cmocka_unit_test(tickets_are_kept_before_and_read_over_after),
        cmocka_unit_test(ends_are_told_from_truncation),
        cmocka_unit_test(closing_stream_says_so),
        cmocka_unit_test(changed_record_is_answered_by_an_alert),
        cmocka_unit_test(reset_and_late_alert_are_reported),
        cmocka_unit_test(flood_of_empty_records_is_ended),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
