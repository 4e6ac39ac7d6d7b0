/* SPDX-License-Identifier: Apache-2.0
 *
 * Client streams against an OpenSSL server in the same process, over a socketpair.
 */
#include "tls/peers.h"
#include "tls/session_internal.h"

/* ---- promises */

static void client_certificate_of_every_key_type_reaches_the_server(void **state)
{
    static const struct {
        const char *key_type;
        int version;
    } cases[] = {
        {"RSA:2048", TLS1_2_VERSION}, {"RSA:2048", TLS1_3_VERSION}, {"RSA:4096", TLS1_3_VERSION},
        {"EC:P-256", TLS1_2_VERSION}, {"EC:P-256", TLS1_3_VERSION}, {"EC:P-384", TLS1_2_VERSION},
        {"EC:P-384", TLS1_3_VERSION}, {"EC:P-521", TLS1_3_VERSION}, {"ED25519", TLS1_3_VERSION},
        {"ED25519", TLS1_2_VERSION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_pair pair = test_pair_make(&(struct test_spec){
            .common_name = "client", .key_type = cases[i].key_type, .issuer = &ca});
        struct pn_tls_certificate *certificate =
            test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, &ca);
        struct pn_tls_client *tls = context(trust, certificate);
        struct server server =
            server_make(&(struct server_options){.client_ca = &ca, .version = cases[i].version});
        struct client client;
        X509 *seen;

        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_open);
        assert_true(server.is_done);
        assert_int_equal(test_last_use(), PN_USE_CLIENT);
        assert_true(pn_stream_report(client.stream)->certificate_requested);
        assert_true(pn_stream_report(client.stream)->certificate_sent);
        seen = SSL_get1_peer_certificate(server.ssl);
        assert_int_equal(X509_cmp(seen, pair.x509), 0);
        assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(server.ssl)),
                         1); /* besides the leaf */
        X509_free(seen);
        client_end(&client);
        server_fini(&server);
        pn_tls_client_unref(tls);
        pn_tls_certificate_unref(certificate);
        test_pair_fini(&pair);
    }
}

/* Runs one connection without client certificate that must fail. */
static struct pn_tls_report failed_report(struct pn_trust *with_trust, const struct test_pair *pair,
                                          const char *name)
{
    struct pn_tls_client *tls = context(with_trust, NULL);
    struct server server = server_make(&(struct server_options){.pair = pair});
    struct client client;
    char sentence[PN_TLS_SENTENCE_MAX];

    client_connect(&client, tls, &server, name, 443);
    assert_true(client.is_failed);
    assert_false(client.is_open);
    pn_tls_report_sentence(&client.report, sentence);
    assert_true(strlen(sentence) > 20);
    server_fini(&server);
    pn_tls_client_unref(tls);
    return client.report;
}

static void server_with_another_name_is_refused(void **state)
{
    struct pn_tls_report report = failed_report(trust, NULL, "other.test");

    (void)state;
    assert_int_equal(report.stage, PN_STAGE_VERIFY);
    assert_int_equal(report.cause, PN_CAUSE_NAME_MISMATCH);
    report = failed_report(trust, NULL, "127.0.0.2");
    assert_int_equal(report.cause, PN_CAUSE_NAME_MISMATCH);
}

static void server_of_an_unknown_ca_is_refused(void **state)
{
    struct pn_trust *other = test_trust(&other_ca, true, true);
    struct pn_tls_report report = failed_report(other, NULL, "backend.test");

    (void)state;
    assert_int_equal(report.stage, PN_STAGE_VERIFY);
    assert_int_equal(report.cause, PN_CAUSE_UNKNOWN_CA);
    pn_trust_unref(other);
}

static void expired_server_certificate_is_refused(void **state)
{
    struct test_pair expired = test_pair_make(&(struct test_spec){.common_name = "old",
                                                                  .san = "DNS:backend.test",
                                                                  .key_type = "EC:P-256",
                                                                  .issuer = &ca,
                                                                  .not_before_days = -10,
                                                                  .not_after_days = -1});
    struct pn_tls_report report = failed_report(trust, &expired, "backend.test");

    (void)state;
    assert_int_equal(report.cause, PN_CAUSE_PEER_EXPIRED);
    test_pair_fini(&expired);
}

static void checks_are_off_only_as_the_trust_policy_says(void **state)
{
    struct pn_trust *no_chain = test_trust(&other_ca, false, true);
    struct pn_trust *no_name = test_trust(&ca, true, false);
    struct pn_trust *nothing = test_trust(&other_ca, false, false);
    struct pn_trust *cases[] = {no_chain, no_name, nothing, nothing};
    const char *names[] = {"backend.test", "other.test", "other.test", "backend.test"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pn_tls_client *tls = context(cases[i], NULL);
        struct server server = server_make(&(struct server_options){0});
        struct client client;

        client_connect(&client, tls, &server, names[i], 443);
        assert_true(client.is_open);
        client_end(&client);
        server_fini(&server);
        pn_tls_client_unref(tls);
    }
    assert_int_equal(failed_report(no_chain, NULL, "other.test").cause, PN_CAUSE_NAME_MISMATCH);
    pn_trust_unref(no_chain);
    pn_trust_unref(no_name);
    pn_trust_unref(nothing);
}

/* A client certificate of `issuer` shown to a server that trusts only `ca`. */
static struct client refused(int version, struct pn_tls_certificate *certificate)
{
    struct pn_tls_client *tls = context(trust, certificate);
    struct server server =
        server_make(&(struct server_options){.client_ca = &ca, .version = version});
    struct client client;

    client_connect(&client, tls, &server, "backend.test", 443);
    assert_true(server.is_failed);
    client_end(&client);
    server_fini(&server);
    pn_tls_client_unref(tls);
    return client;
}

static void refused_client_certificate_is_told_in_tls12(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &other_ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 7, PN_USE_CLIENT, &pair, NULL);
    struct client client = refused(TLS1_2_VERSION, certificate);
    char sentence[PN_TLS_SENTENCE_MAX];

    (void)state;
    assert_true(client.is_failed);
    assert_int_equal(client.report.stage, PN_STAGE_ALERT);
    assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_REFUSED);
    assert_false(client.report.is_late);
    assert_string_equal(pn_tls_alert_name(client.report.alert), "unknown_ca");
    pn_tls_report_sentence(&client.report, sentence);
    assert_non_null(strstr(sentence, "'c1', generation 7"));
    assert_non_null(strstr(sentence, pn_tls_certificate_thumbprint_text(certificate)));
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void refused_client_certificate_is_told_late_in_tls13(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &other_ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 7, PN_USE_CLIENT, &pair, NULL);
    struct client client = refused(TLS1_3_VERSION, certificate);

    (void)state;
    assert_true(client.is_open);
    assert_true(client.is_broken);
    assert_int_equal(client.report.stage, PN_STAGE_ALERT);
    assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_REFUSED);
    assert_true(client.report.is_late);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void missing_client_certificate_is_told(void **state)
{
    struct client client = refused(TLS1_2_VERSION, NULL);

    (void)state;
    assert_true(client.is_failed);
    assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_REQUIRED);
    client = refused(TLS1_3_VERSION, NULL);
    assert_true(client.is_broken);
    assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_REQUIRED);
    assert_true(client.report.is_late);
}

static void failed_signature_fails_the_connection_with_its_reason(void **state)
{
    static const struct {
        enum pn_rc rc;
        enum pn_tls_cause cause;
    } cases[] = {{PN_UNAVAILABLE, PN_CAUSE_SIGNER_AWAY},
                 {PN_TIMEOUT, PN_CAUSE_SIGNER_TIMEOUT},
                 {PN_DENIED, PN_CAUSE_SIGNER_DENIED},
                 {PN_NOT_FOUND, PN_CAUSE_SIGNER_NO_KEY}};
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "RSA:2048", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t before = pn_metric_get(PN_METRIC_SIGNATURES_FAILED);
        struct client client;

        test_sign_fail(cases[i].rc);
        client = refused(i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, certificate);
        assert_true(client.is_failed);
        assert_false(client.is_open);
        assert_int_equal(client.report.stage, PN_STAGE_SIGNATURE);
        assert_int_equal(client.report.cause, cases[i].cause);
        assert_true(pn_metric_get(PN_METRIC_SIGNATURES_FAILED) == before + 1);
    }
    test_sign_fail(PN_OK);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void expired_client_certificate_makes_no_connection(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_trust *any = test_trust(&ca, false, false); /* the server's may be over as well */
    struct pn_tls_client *tls = context(any, certificate);
    struct server server = server_make(&(struct server_options){0});
    struct pn_tls_identity identity = identity_of(tls, "backend.test", 443);
    struct pn_stream_connect_spec spec = {.identity = &identity, .tls = tls};
    struct client client = {0};
    struct pn_error err = {0};

    (void)state;
    spec.fd = server_begin(&server);
    spec.now_unix_s = pn_tls_certificate_not_after(certificate) + 1;
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &client, &client.stream, &err),
                     PN_INVALID);
    assert_string_equal(err.code, "certificate_expired");
    spec.fd = server_begin(&server);
    spec.now_unix_s = pn_tls_certificate_not_before(certificate) - 1;
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &client, &client.stream, &err),
                     PN_INVALID);
    assert_string_equal(err.code, "certificate_not_yet_valid");
    spec.fd = server_begin(&server);
    spec.now_unix_s = pn_tls_certificate_not_after(certificate);
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &client, &client.stream, &err), PN_OK);
    turns(&server);
    assert_true(client.is_open);
    client_end(&client);
    server_fini(&server);
    pn_tls_client_unref(tls);
    pn_trust_unref(any);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void
certificate_that_the_server_cannot_take_is_an_error_not_an_anonymous_connection(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pn_tls_client *tls = context(trust, certificate);
        struct server server = server_make(&(struct server_options){
            .client_ca = &ca, .version = versions[i], .client_sigalgs = "RSA-PSS+SHA256"});
        struct client client;

        SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER, NULL); /* anonymous ones are welcome */
        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_failed);
        assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_UNUSABLE);
        server_fini(&server);
        pn_tls_client_unref(tls);
    }
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void identity_that_is_not_the_contexts_is_not_connected(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *one = test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_certificate *two = test_certificate(signer, "c1", 2, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_client *tls_one = context(trust, one), *tls_two = context(trust, two);
    struct server server = server_make(&(struct server_options){0});
    struct pn_tls_identity identity = identity_of(tls_one, "backend.test", 443);
    struct client client;
    int64_t before = pn_metric_get(PN_METRIC_IDENTITY_MISMATCH);

    (void)state;
    assert_int_equal(client_begin(&client, tls_two, &server, &identity, NULL), PN_CONFLICT);
    assert_int_equal(client_begin(&client, NULL, &server, &identity, NULL), PN_CONFLICT);
    assert_true(pn_metric_get(PN_METRIC_IDENTITY_MISMATCH) == before + 2);
    server_fini(&server);
    pn_tls_client_unref(tls_one);
    pn_tls_client_unref(tls_two);
    pn_tls_certificate_unref(one);
    pn_tls_certificate_unref(two);
    test_pair_fini(&pair);
}

/* One connection with an exchange, so that tickets arrive; tells whether it was resumed. */
static bool visit(struct pn_tls_client *tls, struct server *server, const char *name, uint16_t port)
{
    struct client client;
    bool is_resumed;

    client_connect(&client, tls, server, name, port);
    assert_true(client.is_open);
    is_resumed = pn_stream_report(client.stream)->is_resumed;
    assert_int_equal(SSL_write(server->ssl, "hello", 5), 5);
    turns(server);
    assert_int_equal(client.input_len, 5);
    client_end(&client);
    return is_resumed;
}

static void resumption_works_within_an_identity_and_never_across(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *one = test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_certificate *two = test_certificate(signer, "c1", 2, PN_USE_CLIENT, &pair, NULL);
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct pn_trust *no_name = test_trust(&ca, true, false);

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pn_tls_client *tls = context(no_name, one), *next = context(no_name, two);
        struct pn_tls_client *none = context(no_name, NULL);
        struct server server = server_make(&(struct server_options){.version = versions[i]});

        SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER, NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), ca.x509);
        assert_false(visit(tls, &server, "backend.test", 443));
        assert_true(visit(tls, &server, "backend.test", 443));
        assert_true(visit(tls, &server, "backend.test", 443));
        assert_false(visit(tls, &server, "backend.test", 444));
        assert_false(visit(tls, &server, "other.test", 443));
        assert_false(visit(next, &server, "backend.test", 443)); /* a new generation */
        assert_false(visit(none, &server, "backend.test", 443));
        assert_true(pn_tls_client_session_count(tls) >= 3);
        server_fini(&server);
        pn_tls_client_unref(tls);
        pn_tls_client_unref(next);
        pn_tls_client_unref(none);
    }
    pn_trust_unref(no_name);
    pn_tls_certificate_unref(one);
    pn_tls_certificate_unref(two);
    test_pair_fini(&pair);
}

/* A resumed handshake verifies nothing: that must have been done not too long ago, and be true
 * still, however many sessions have come of one another. */
static void sessions_end_with_what_was_verified(void **state)
{
    struct test_pair brief = test_pair_make(&(struct test_spec){.common_name = "backend",
                                                                .san = "DNS:backend.test",
                                                                .key_type = "EC:P-256",
                                                                .issuer = &ca,
                                                                .not_before_days = -1,
                                                                .not_after_days = 1});
    const int64_t lifetime_s = PN_LIMIT_TLS_VERIFIED_LIFETIME_DEFAULT / 1000;
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pn_tls_client *tls = context(trust, NULL);
        struct server_options options = {.pair = &brief, .version = versions[i]};
        struct server server = server_make(&options);
        int64_t now_s = pn_clock_unix_s(), end_s = now_s + 86400;
        struct client client;

        peers_now_s = now_s;
        assert_false(visit(tls, &server, "backend.test", 443));
        peers_now_s = now_s + lifetime_s / 2;
        assert_true(visit(tls, &server, "backend.test", 443));
        peers_now_s = now_s + lifetime_s - 5;
        assert_true(visit(tls, &server, "backend.test", 443));
        peers_now_s = now_s + lifetime_s + 5;
        assert_false(visit(tls, &server, "backend.test", 443));
        peers_now_s = end_s - 600; /* full, and verified for the last time */
        assert_false(visit(tls, &server, "backend.test", 443));
        assert_true(visit(tls, &server, "backend.test", 443));
        peers_now_s = end_s + 600;
        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_failed);
        assert_int_equal(client.report.cause, PN_CAUSE_PEER_EXPIRED);
        server_fini(&server);
        pn_tls_client_unref(tls);
    }
    peers_now_s = 0;
    test_pair_fini(&brief);
}

/* A server may send a ticket at any time; what it resumes was verified when the connection began.
 */
static void a_late_ticket_lasts_no_longer_than_an_early_one(void **state)
{
    const int64_t lifetime_s = PN_LIMIT_TLS_VERIFIED_LIFETIME_DEFAULT / 1000;
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){.version = TLS1_3_VERSION});
    int64_t now_s = pn_clock_unix_s();
    struct client client;
    size_t count;

    (void)state;
    peers_now_s = now_s;
    client_connect(&client, tls, &server, "backend.test", 443);
    count = pn_tls_client_session_count(tls);
    client.stream->link.now_unix_s = now_s + lifetime_s - 5;
    assert_int_equal(SSL_new_session_ticket(server.ssl), 1);
    assert_int_equal(SSL_write(server.ssl, "x", 1), 1);
    turns(&server);
    assert_int_equal(pn_tls_client_session_count(tls), count + 1);
    client_end(&client);
    peers_now_s = now_s + lifetime_s - 4;
    assert_true(visit(tls, &server, "backend.test", 443));
    peers_now_s = now_s + lifetime_s + 5;
    assert_false(visit(tls, &server, "backend.test", 443));
    server_fini(&server);
    pn_tls_client_unref(tls);
    peers_now_s = 0;
}

static void sessions_die_with_their_generation(void **state)
{
    struct pn_tls_clients *clients = NULL;
    struct pn_tls_client *tls = NULL, *again = NULL;
    struct server server = server_make(&(struct server_options){0});

    (void)state;
    assert_int_equal(pn_tls_clients_create(signer, &clients), PN_OK);
    assert_int_equal(pn_tls_clients_get(clients, trust, NULL, PN_ALPN_HTTP11, &tls, NULL), PN_OK);
    assert_int_equal(pn_tls_clients_get(clients, trust, NULL, PN_ALPN_HTTP11, &again, NULL), PN_OK);
    assert_ptr_equal(tls, again);
    pn_tls_client_unref(again);
    assert_false(visit(tls, &server, "backend.test", 443));
    assert_int_equal(pn_tls_clients_sweep(clients), 0);
    pn_tls_client_unref(tls);
    assert_int_equal(pn_tls_clients_sweep(clients), 1);
    assert_int_equal(pn_tls_clients_get(clients, trust, NULL, PN_ALPN_HTTP11, &tls, NULL), PN_OK);
    assert_int_equal(pn_tls_client_session_count(tls), 0);
    assert_false(visit(tls, &server, "backend.test", 443));
    pn_tls_client_unref(tls);
    pn_tls_clients_destroy(clients);
    server_fini(&server);
}

/* Deleted and uploaded again with the issuer that was forgotten: name, generation and leaf are the
 * same, what the backend sees is not. */
static void certificate_with_another_chain_is_another_identity(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *bare = test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_certificate *whole = test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, &ca);
    struct pn_tls_client *tls[2] = {NULL, NULL};
    struct pn_tls_clients *clients = NULL;
    struct pn_tls_identity identity[2];

    (void)state;
    assert_int_equal(pn_tls_clients_create(signer, &clients), PN_OK);
    assert_int_equal(pn_tls_clients_get(clients, trust, bare, PN_ALPN_HTTP11, &tls[0], NULL),
                     PN_OK);
    assert_int_equal(pn_tls_clients_get(clients, trust, whole, PN_ALPN_HTTP11, &tls[1], NULL),
                     PN_OK);
    assert_ptr_not_equal(tls[0], tls[1]);
    assert_true(pn_tls_certificate_equal(bare, pn_tls_client_certificate(tls[0])));
    assert_false(pn_tls_certificate_equal(bare, whole));
    assert_false(pn_tls_certificate_equal(bare, NULL));
    assert_true(pn_tls_certificate_equal(NULL, NULL));
    for (int i = 0; i < 2; i++)
        identity[i] = identity_of(tls[i], "backend.test", 443);
    assert_false(pn_tls_identity_equal(&identity[0], &identity[1]));
    for (int i = 0; i < 2; i++)
        pn_tls_client_unref(tls[i]);
    pn_tls_clients_destroy(clients);
    pn_tls_certificate_unref(bare);
    pn_tls_certificate_unref(whole);
    test_pair_fini(&pair);
}

static void kept_sessions_are_bounded_per_identity(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){.version = TLS1_3_VERSION});

    (void)state;
    SSL_CTX_set_num_tickets(server.ctx, PN_LIMIT_TLS_SESSIONS_PER_IDENTITY_DEFAULT + 3);
    assert_false(visit(tls, &server, "backend.test", 443));
    assert_int_equal(pn_tls_client_session_count(tls), PN_LIMIT_TLS_SESSIONS_PER_IDENTITY_DEFAULT);
    server_fini(&server);
    pn_tls_client_unref(tls);
}

/* Many connections at once share the last ticket; they do not fall back to full handshakes. */
static void last_session_stays_for_connections_at_the_same_time(void **state)
{
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pn_tls_client *tls = context(trust, NULL);
        struct server server = server_make(&(struct server_options){.version = versions[i]});
        struct client client;

        assert_false(visit(tls, &server, "backend.test", 443));
        SSL_CTX_set_num_tickets(server.ctx, 0); /* no new ones come */
        for (int k = 0; k < 6; k++) {
            client_connect(&client, tls, &server, "backend.test", 443);
            assert_true(client.is_open);
            assert_true(pn_stream_report(client.stream)->is_resumed);
            client_end(&client);
        }
        assert_int_equal(pn_tls_client_session_count(tls), 1);
        server_fini(&server);
        pn_tls_client_unref(tls);
    }
}

static void failed_handshake_forgets_the_sessions_that_were_offered(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){0});
    struct client client;

    (void)state;
    assert_false(visit(tls, &server, "backend.test", 443));
    assert_false(visit(tls, &server, "backend.test", 444)); /* another identity */
    assert_int_equal(pn_tls_client_session_count(tls), 4);
    server.is_mute = true;
    client_connect(&client, tls, &server, "backend.test", 443);
    assert_int_equal(shutdown(server.fd, SHUT_RDWR), 0); /* hangs up on the ClientHello */
    turns(NULL);
    assert_true(client.is_failed);
    server.is_mute = false;
    assert_int_equal(pn_tls_client_session_count(tls), 2);
    assert_false(visit(tls, &server, "backend.test", 443));
    assert_true(visit(tls, &server, "backend.test", 444));
    server_fini(&server);
    pn_tls_client_unref(tls);
}

/* As `trust`, and the certificate may be asked for after the handshake. */
static struct pn_trust *late_trust(void)
{
    struct pn_trust_roots *roots = test_roots(&ca);
    struct pn_trust_spec spec = {
        .roots = roots, .check_chain = true, .check_name = true, .takes_late_requests = true};
    struct pn_trust *made = NULL;

    assert_int_equal(pn_trust_make(&spec, &made, NULL), PN_OK);
    pn_trust_roots_unref(roots);
    return made;
}

static void certificate_asked_for_after_the_handshake_is_sent(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "RSA:2048", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_trust *late = late_trust();
    struct pn_tls_client *tls = context(late, certificate);
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = server_make(&(struct server_options){.version = versions[i]});
        struct client client;
        char byte;
        X509 *seen;

        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), ca.x509);
        SSL_CTX_set_options(server.ctx, SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_open);
        assert_false(pn_stream_report(client.stream)->certificate_requested);
        SSL_set_verify(server.ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        if (versions[i] == TLS1_3_VERSION)
            assert_int_equal(SSL_verify_client_post_handshake(server.ssl), 1);
        else
            assert_int_equal(SSL_renegotiate(server.ssl), 1);
        assert_int_equal(SSL_do_handshake(server.ssl), 1);
        for (int turn = 0; turn < 12; turn++) {
            assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
            (void)SSL_read(server.ssl, &byte, 1);
        }
        assert_true(pn_stream_report(client.stream)->certificate_sent);
        seen = SSL_get1_peer_certificate(server.ssl);
        assert_non_null(seen);
        assert_int_equal(X509_cmp(seen, pair.x509), 0);
        X509_free(seen);
        client_end(&client);
        server_fini(&server);
    }
    pn_tls_client_unref(tls);
    pn_trust_unref(late);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

/* Whether the server got a further handshake, or certificate, out of an open connection. */
static bool ask_again(struct server *server, int version)
{
    char byte;
    bool is_sent = version == TLS1_3_VERSION ? SSL_verify_client_post_handshake(server->ssl) == 1
                                             : SSL_renegotiate(server->ssl) == 1;
    bool is_failed = !is_sent || SSL_do_handshake(server->ssl) != 1;

    for (int turn = 0; turn < 12 && !is_failed; turn++) {
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
        is_failed = SSL_read(server->ssl, &byte, 1) <= 0 &&
                    SSL_get_error(server->ssl, -1) != SSL_ERROR_WANT_READ;
    }
    ERR_clear_error();
    return !is_failed;
}

/* Each request costs a signature by the keyholder, within one turn of the loop. */
static void server_cannot_ask_for_the_certificate_without_end(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_trust *late = late_trust();
    struct pn_tls_client *tls = context(late, certificate);
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = server_make(&(struct server_options){.version = versions[i]});
        struct client client;
        int answered = 0;

        X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), ca.x509);
        SSL_CTX_set_options(server.ctx, SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_open);
        SSL_set_verify(server.ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        while (answered < 100 && ask_again(&server, versions[i]))
            answered++;
        assert_in_range(answered, 1, PN_TLS_LATE_REQUESTS_MAX);
        client_end(&client);
        server_fini(&server);
    }
    pn_tls_client_unref(tls);
    pn_trust_unref(late);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

static void broken_handshakes_have_their_own_causes(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){0});
    struct pn_tls_identity identity = identity_of(tls, "backend.test", 443);
    struct client client;

    (void)state;
    server.is_mute = true;
    assert_int_equal(client_begin(&client, tls, &server, &identity, NULL), PN_OK);
    assert_true(write(server.fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 28);
    turns(&server);
    assert_true(client.is_failed);
    assert_int_equal(client.report.cause, PN_CAUSE_NOT_TLS);

    assert_int_equal(client_begin(&client, tls, &server, &identity, NULL), PN_OK);
    turns(&server);
    assert_int_equal(shutdown(server.fd, SHUT_RDWR), 0);
    turns(&server);
    assert_true(client.is_failed);
    assert_int_equal(client.report.cause, PN_CAUSE_CLOSED_IN_HANDSHAKE);
    server_fini(&server);
    pn_tls_client_unref(tls);
}

static void silent_server_fails_by_the_handshake_timeout(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){0});
    struct pn_tls_identity identity = identity_of(tls, "backend.test", 443);
    struct pn_stream_connect_spec spec = {.identity = &identity, .tls = tls, .timeout_ms = 1};
    struct client client = {0};

    (void)state;
    spec.fd = server_begin(&server);
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &client, &client.stream, NULL), PN_OK);
    while (!client.is_failed)
        assert_int_equal(pn_loop_turn(loop, 1, NULL), PN_OK);
    assert_int_equal(client.report.cause, PN_CAUSE_HANDSHAKE_TIMEOUT);
    server_fini(&server);
    pn_tls_client_unref(tls);
}

static void truncation_is_told_from_an_orderly_end(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){0});
    struct client client;

    (void)state;
    client_connect(&client, tls, &server, "backend.test", 443);
    SSL_shutdown(server.ssl);
    turns(&server);
    assert_true(client.is_ended);
    client_end(&client);

    client_connect(&client, tls, &server, "backend.test", 443);
    assert_int_equal(shutdown(server.fd, SHUT_WR), 0);
    turns(&server);
    assert_true(client.is_broken);
    assert_int_equal(client.report.cause, PN_CAUSE_TRUNCATED);
    client_end(&client);
    server_fini(&server);
    pn_tls_client_unref(tls);
}

static void refused_tcp_connection_is_told_from_the_loop(void **state)
{
    struct pn_peer_address peer = {.family = AF_INET, .ip = {127, 0, 0, 1}};
    struct sockaddr_storage address;
    socklen_t len;
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity, .fd = -1};
    struct client client = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening */

    (void)state;
    len = pn_peer_address_to(&peer, &address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    len = sizeof(address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(pn_peer_address_from((struct sockaddr *)&address, &peer), PN_OK);
    pn_tls_identity_init(&identity, &peer);
    pn_tls_identity_seal(&identity);
    assert_int_equal(pn_stream_connect(loop, &spec, &events, &client, &client.stream, NULL), PN_OK);
    assert_false(client.is_failed);
    for (int i = 0; i < 100 && !client.is_failed; i++)
        assert_int_equal(pn_loop_turn(loop, 10, NULL), PN_OK);
    assert_true(client.is_failed);
    assert_int_equal(client.report.cause, PN_CAUSE_CONNECT_REFUSED);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_certificate_of_every_key_type_reaches_the_server),
        cmocka_unit_test(server_with_another_name_is_refused),
        cmocka_unit_test(server_of_an_unknown_ca_is_refused),
        cmocka_unit_test(expired_server_certificate_is_refused),
        cmocka_unit_test(checks_are_off_only_as_the_trust_policy_says),
        cmocka_unit_test(refused_client_certificate_is_told_in_tls12),
        cmocka_unit_test(refused_client_certificate_is_told_late_in_tls13),
        cmocka_unit_test(missing_client_certificate_is_told),
        cmocka_unit_test(failed_signature_fails_the_connection_with_its_reason),
        cmocka_unit_test(expired_client_certificate_makes_no_connection),
        cmocka_unit_test(
            certificate_that_the_server_cannot_take_is_an_error_not_an_anonymous_connection),
        cmocka_unit_test(identity_that_is_not_the_contexts_is_not_connected),
        cmocka_unit_test(resumption_works_within_an_identity_and_never_across),
        cmocka_unit_test(sessions_end_with_what_was_verified),
        cmocka_unit_test(a_late_ticket_lasts_no_longer_than_an_early_one),
        cmocka_unit_test(sessions_die_with_their_generation),
        cmocka_unit_test(certificate_with_another_chain_is_another_identity),
        cmocka_unit_test(kept_sessions_are_bounded_per_identity),
        cmocka_unit_test(last_session_stays_for_connections_at_the_same_time),
        cmocka_unit_test(failed_handshake_forgets_the_sessions_that_were_offered),
        cmocka_unit_test(certificate_asked_for_after_the_handshake_is_sent),
        cmocka_unit_test(server_cannot_ask_for_the_certificate_without_end),
        cmocka_unit_test(broken_handshakes_have_their_own_causes),
        cmocka_unit_test(silent_server_fails_by_the_handshake_timeout),
        cmocka_unit_test(truncation_is_told_from_an_orderly_end),
        cmocka_unit_test(refused_tcp_connection_is_told_from_the_loop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
