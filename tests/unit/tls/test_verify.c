/* SPDX-License-Identifier: Apache-2.0
 *
 * Verified chains that are remembered: what is saved, and what never is accepted from memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "tls/support.h"

#define DAY_S 86400

static struct pn_loop *loop;
static struct pn_signer *signer;
static struct test_pair ca, other_ca, backend, twin;

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    other_ca = test_pair_make(
        &(struct test_spec){.common_name = "other", .key_type = "EC:P-256", .is_ca = true});
    backend = test_pair_make(&(struct test_spec){.common_name = "backend",
                                                 .san = "DNS:backend.test,DNS:second.test",
                                                 .key_type = "EC:P-256",
                                                 .issuer = &ca,
                                                 .not_before_days = -1,
                                                 .not_after_days = 5});
    twin = test_pair_make(&(struct test_spec){.common_name = "backend",
                                              .san = "DNS:backend.test",
                                              .key_type = "EC:P-256",
                                              .issuer = &other_ca});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_pair_fini(&ca);
    test_pair_fini(&other_ca);
    test_pair_fini(&backend);
    test_pair_fini(&twin);
    pn_loop_destroy(loop);
    pn_signer_destroy(signer);
    return 0;
}

struct attempt {
    bool is_open, is_failed;
    struct pn_tls_report report;
};

static void on_open(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    ((struct attempt *)ctx)->is_open = true;
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct attempt *attempt = ctx;

    (void)stream;
    attempt->is_failed = true;
    attempt->report = *report;
}

static void on_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events events = {
    .on_open = on_open, .on_failed = on_failed, .on_readable = on_event, .on_writable = on_event};

static SSL *server_of(SSL_CTX *ctx, const struct test_pair *pair, int version, int fd)
{
    SSL *ssl;

    assert_int_equal(SSL_CTX_use_certificate(ctx, pair->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pair->key), 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_proto_version(ctx, version);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_accept_state(ssl);
    return ssl;
}

/* One full handshake at `now_s` (0: now). */
static struct attempt connect_to(struct pn_tls_client *tls, const struct test_pair *pair,
                                 const char *name, int version, int64_t now_s)
{
    struct attempt attempt = {0};
    struct pn_peer_address peer = {.family = AF_INET, .port = 443, .ip = {127, 0, 0, 1}};
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity, .tls = tls, .now_unix_s = now_s};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct pn_stream *stream = NULL;
    int fds[2];
    SSL *ssl;

    assert_int_equal(pn_tls_client_identity(tls, &peer, pn_slice_str(name), &identity), PN_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    spec.fd = fds[0];
    ssl = server_of(ctx, pair, version, fds[1]);
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &attempt, &stream, NULL), PN_OK);
    for (int i = 0; i < 12; i++) {
        (void)SSL_do_handshake(ssl);
        ERR_clear_error();
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    }
    pn_stream_destroy(stream);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    return attempt;
}

static struct pn_tls_client *context(struct pn_trust *trust)
{
    struct pn_tls_client *tls = NULL;

    assert_int_equal(pn_tls_client_create(signer, trust, NULL, PN_ALPN_HTTP11, &tls, NULL), PN_OK);
    return tls;
}

static int64_t known(void)
{
    return pn_metric_get(PN_METRIC_BACKEND_CHAINS_KNOWN);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void chain_is_verified_once_and_then_known_to_all_contexts_of_the_policy(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_tls_client *one = context(trust), *two = context(trust);
    int64_t before = known();

    (void)state;
    assert_true(connect_to(one, &backend, "backend.test", TLS1_3_VERSION, 0).is_open);
    assert_int_equal(known() - before, 0);
    assert_true(connect_to(one, &backend, "backend.test", TLS1_3_VERSION, 0).is_open);
    assert_true(connect_to(two, &backend, "backend.test", TLS1_2_VERSION, 0).is_open);
    assert_int_equal(known() - before, 2);
    pn_tls_client_unref(one);
    pn_tls_client_unref(two);
    pn_trust_unref(trust);
}

static void another_name_certificate_or_policy_is_not_accepted_from_memory(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_trust *strangers = test_trust(&other_ca, true, true);
    struct pn_tls_client *tls = context(trust), *stranger = context(strangers);
    int64_t before = known();
    struct attempt attempt;

    (void)state;
    assert_true(connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, 0).is_open);
    attempt = connect_to(tls, &backend, "third.test", TLS1_3_VERSION, 0);
    assert_true(attempt.is_failed);
    assert_int_equal(attempt.report.cause, PN_CAUSE_NAME_MISMATCH);
    assert_true(connect_to(tls, &backend, "second.test", TLS1_3_VERSION, 0).is_open);
    attempt = connect_to(tls, &twin, "backend.test", TLS1_3_VERSION, 0); /* same names, same text */
    assert_true(attempt.is_failed);
    assert_int_equal(attempt.report.stage, PN_STAGE_VERIFY);
    attempt = connect_to(stranger, &backend, "backend.test", TLS1_3_VERSION, 0);
    assert_true(attempt.is_failed);
    assert_int_equal(known() - before, 0);
    pn_tls_client_unref(tls);
    pn_tls_client_unref(stranger);
    pn_trust_unref(trust);
    pn_trust_unref(strangers);
}

static void expired_certificate_is_not_accepted_from_memory(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_tls_client *tls = context(trust);
    int64_t before = known(), now_s = pn_clock_unix_s();
    struct attempt attempt;

    (void)state;
    /* Learnt a moment before its end: the memory ends with it, not with its own lifetime. */
    assert_true(
        connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s + 5 * DAY_S - 60).is_open);
    assert_true(
        connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s + 5 * DAY_S - 50).is_open);
    assert_int_equal(known() - before, 1);
    attempt = connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s + 5 * DAY_S + 60);
    assert_true(attempt.is_failed);
    assert_int_equal(attempt.report.cause, PN_CAUSE_PEER_EXPIRED);
    attempt = connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s - 2 * DAY_S);
    assert_true(attempt.is_failed); /* a clock that was put back */
    assert_int_equal(attempt.report.cause, PN_CAUSE_PEER_NOT_YET_VALID);
    assert_int_equal(known() - before, 1);
    pn_tls_client_unref(tls);
    pn_trust_unref(trust);
}

static void memory_has_a_lifetime(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_tls_client *tls = context(trust);
    int64_t before = known(), now_s = pn_clock_unix_s();
    int64_t lifetime_s = PN_LIMIT_TLS_VERIFIED_LIFETIME_DEFAULT / 1000;

    (void)state;
    assert_true(connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s).is_open);
    assert_true(
        connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s + lifetime_s).is_open);
    assert_int_equal(known() - before, 1);
    assert_true(
        connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, now_s + lifetime_s + 1).is_open);
    assert_int_equal(known() - before, 1);
    pn_tls_client_unref(tls);
    pn_trust_unref(trust);
}

static void handshake_signature_is_verified_also_with_a_known_chain(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_tls_client *tls = context(trust);
    struct test_pair thief = {.x509 = backend.x509};
    int64_t before = known();

    (void)state;
    thief.key = test_forge(backend.key, twin.key);
    assert_true(connect_to(tls, &backend, "backend.test", TLS1_3_VERSION, 0).is_open);
    for (size_t i = 0; i < 2; i++) {
        struct attempt attempt = connect_to(tls, &thief, "backend.test", versions[i], 0);

        assert_true(attempt.is_failed);
        assert_false(attempt.is_open);
    }
    assert_int_equal(known() - before, 2);
    EVP_PKEY_free(thief.key);
    pn_tls_client_unref(tls);
    pn_trust_unref(trust);
}

static void memory_is_bounded_and_counts_what_it_drops(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_trust_verdict verdict = {.from_s = 0, .until_s = 100};
    int64_t hits = pn_limit_hits(PN_LIMIT_TLS_VERIFIED_CHAINS);
    uint64_t all = 3 * PN_LIMIT_TLS_VERIFIED_CHAINS_DEFAULT;
    uint64_t found = 0;

    (void)state;
    for (uint64_t i = 0; i < all; i++) {
        memcpy(verdict.key, &i, sizeof(i));
        pn_trust_learn(trust, &verdict);
    }
    for (uint64_t i = 0; i < all; i++) {
        memcpy(verdict.key, &i, sizeof(i));
        found += pn_trust_knows(trust, verdict.key, 50);
        assert_false(pn_trust_knows(trust, verdict.key, 101));
    }
    assert_int_equal(found, PN_LIMIT_TLS_VERIFIED_CHAINS_DEFAULT);
    assert_int_equal(pn_limit_hits(PN_LIMIT_TLS_VERIFIED_CHAINS) - hits, all - found);
    pn_trust_unref(trust);
}

static void a_small_memory_is_as_large_as_it_is_said_to_be(void **state)
{
    (void)state;
    for (uint64_t max = 0; max <= 9; max++) {
        struct pn_trust *trust = test_trust(&ca, true, true);
        struct pn_trust_verdict verdict = {.from_s = 0, .until_s = 100};
        uint64_t found = 0;

        pn_limit_values[PN_LIMIT_TLS_VERIFIED_CHAINS] = max;
        for (uint64_t i = 0; i < 64; i++) {
            memcpy(verdict.key, &i, sizeof(i));
            pn_trust_learn(trust, &verdict);
        }
        for (uint64_t i = 0; i < 64; i++) {
            memcpy(verdict.key, &i, sizeof(i));
            found += pn_trust_knows(trust, verdict.key, 50);
        }
        assert_int_equal(found, max < 4 ? max : max / 4 * 4);
        pn_trust_unref(trust);
    }
    pn_limits_reset(pn_limit_values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_verified_once_and_then_known_to_all_contexts_of_the_policy),
        cmocka_unit_test(another_name_certificate_or_policy_is_not_accepted_from_memory),
        cmocka_unit_test(expired_certificate_is_not_accepted_from_memory),
        cmocka_unit_test(memory_has_a_lifetime),
        cmocka_unit_test(handshake_signature_is_verified_also_with_a_known_chain),
        cmocka_unit_test(memory_is_bounded_and_counts_what_it_drops),
        cmocka_unit_test(a_small_memory_is_as_large_as_it_is_said_to_be),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
