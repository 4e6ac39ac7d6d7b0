/* SPDX-License-Identifier: Apache-2.0
 *
 * What one backend can be trusted by besides CAs, what it may ask for after the handshake, and
 * which of several certificates it gets.
 */
#include "tls/peers.h"

static struct pn_trust *make(const struct pn_trust_spec *spec)
{
    struct pn_trust *made = NULL;
    struct pn_error err = {.rc = PN_OK};

    if (pn_trust_make(spec, &made, &err) != PN_OK)
        fail_msg("%s", err.message);
    return made;
}

static void spki_sha256(X509 *x509, uint8_t out[PN_SHA256_BYTES])
{
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);

    pn_sha256(pn_slice(spki, (size_t)len), out);
    OPENSSL_free(spki);
}

/* Whether it opens; else the cause is in *cause. */
static bool opens(struct pn_trust *with, struct server *server, const char *name,
                  enum pn_tls_cause *cause)
{
    struct pn_tls_client *tls = context(with, NULL);
    struct client client;
    bool is_open;

    client_connect(&client, tls, server, name, 443);
    is_open = client.is_open;
    *cause = is_open ? PN_CAUSE_NONE : client.report.cause;
    client_end(&client);
    pn_tls_client_unref(tls);
    return is_open;
}

/* ---- pins */

static void a_pin_holds_also_where_no_chain_is_checked(void **state)
{
    struct server server = server_make(&(struct server_options){0});
    uint8_t pins[2][PN_SHA256_BYTES] = {{1}, {0}};
    struct pn_trust_spec spec = {.pins = pins, .pin_count = 2};
    enum pn_tls_cause cause;
    struct pn_trust *with;

    (void)state;
    spki_sha256(server_pair.x509, pins[1]);
    with = make(&spec);
    assert_true(opens(with, &server, "any.test", &cause));
    pn_trust_unref(with);
    spki_sha256(ca.x509, pins[1]); /* not the leaf's: what is sent behind it proves nothing */
    with = make(&spec);
    assert_false(opens(with, &server, "any.test", &cause));
    assert_int_equal(cause, PN_CAUSE_PIN_MISMATCH);
    pn_trust_unref(with);
    server_fini(&server);
}

static void a_pin_may_be_any_key_of_a_verified_chain_and_adds_to_the_other_checks(void **state)
{
    struct server server = server_make(&(struct server_options){0});
    struct pn_trust_roots *roots = test_roots(&ca), *others = test_roots(&other_ca);
    uint8_t pins[1][PN_SHA256_BYTES];
    struct pn_trust_spec spec = {
        .roots = roots, .check_chain = true, .check_name = true, .pins = pins, .pin_count = 1};
    enum pn_tls_cause cause;
    struct pn_trust *with;

    (void)state;
    spki_sha256(ca.x509, pins[0]);
    with = make(&spec);
    for (int i = 0; i < 2; i++) /* the second time the chain is known */
        assert_true(opens(with, &server, "backend.test", &cause));
    assert_false(opens(with, &server, "other.test", &cause));
    assert_int_equal(cause, PN_CAUSE_NAME_MISMATCH);
    pn_trust_unref(with);
    spki_sha256(other_ca.x509, pins[0]);
    with = make(&spec);
    for (int i = 0; i < 2; i++)
        assert_false(opens(with, &server, "backend.test", &cause));
    assert_int_equal(cause, PN_CAUSE_PIN_MISMATCH);
    pn_trust_unref(with);
    spki_sha256(ca.x509, pins[0]);
    spec.roots = others;
    with = make(&spec);
    assert_false(opens(with, &server, "backend.test", &cause));
    assert_int_equal(cause, PN_CAUSE_UNKNOWN_CA);
    pn_trust_unref(with);
    pn_trust_roots_unref(roots);
    pn_trust_roots_unref(others);
    server_fini(&server);
}

/* ---- anchors, intermediates, name, version */

static void an_intermediate_completes_a_chain_and_is_no_anchor(void **state)
{
    struct test_pair middle = test_pair_make(&(struct test_spec){
        .common_name = "middle", .key_type = "EC:P-256", .issuer = &ca, .is_ca = true});
    struct test_pair leaf = test_pair_make(&(struct test_spec){.common_name = "leaf",
                                                               .san = "DNS:backend.test",
                                                               .key_type = "EC:P-256",
                                                               .issuer = &middle});
    struct server server =
        server_make(&(struct server_options){.pair = &leaf}); /* sends it alone */
    struct pn_trust_roots *roots = test_roots(&ca), *middles = test_roots(&middle);
    struct pn_trust_roots *others = test_roots(&other_ca);
    struct pn_trust_spec spec = {.roots = roots, .check_chain = true, .check_name = true};
    struct pn_trust *plain = make(&spec), *completed, *wrong, *anchored;
    enum pn_tls_cause cause;

    (void)state;
    spec.intermediates = middles;
    completed = make(&spec);
    spec.roots = others;
    wrong = make(&spec);
    spec = (struct pn_trust_spec){
        .roots = middles, .check_chain = true, .check_name = true, .has_partial_anchors = true};
    anchored = make(&spec);
    assert_false(opens(plain, &server, "backend.test", &cause));
    assert_int_equal(cause, PN_CAUSE_UNKNOWN_CA);
    assert_true(opens(completed, &server, "backend.test", &cause));
    assert_false(opens(plain, &server, "backend.test", &cause)); /* what one knows no other does */
    assert_false(opens(wrong, &server, "backend.test", &cause));
    assert_true(opens(anchored, &server, "backend.test", &cause));
    pn_trust_unref(plain);
    pn_trust_unref(completed);
    pn_trust_unref(wrong);
    pn_trust_unref(anchored);
    pn_trust_roots_unref(roots);
    pn_trust_roots_unref(middles);
    pn_trust_roots_unref(others);
    server_fini(&server);
    test_pair_fini(&middle);
    test_pair_fini(&leaf);
}

static void the_policys_name_takes_the_place_of_the_hosts(void **state)
{
    struct server server = server_make(&(struct server_options){0});
    struct pn_trust_roots *roots = test_roots(&ca);
    struct pn_trust_spec spec = {
        .roots = roots, .check_chain = true, .check_name = true, .server_name = "Backend.Test"};
    struct pn_trust *with = make(&spec);
    struct pn_tls_client *tls = context(with, NULL), *plain = context(trust, NULL);
    struct pn_tls_identity identity = identity_of(tls, "10.0.0.1", 443);
    struct pn_tls_identity other = identity_of(plain, "backend.test", 443);
    enum pn_tls_cause cause;

    (void)state;
    assert_string_equal(identity.server_name, "backend.test");
    assert_false(pn_tls_identity_equal(&identity, &other));
    assert_true(opens(with, &server, "10.0.0.1", &cause));
    assert_false(opens(trust, &server, "10.0.0.1", &cause));
    pn_tls_client_unref(tls);
    pn_tls_client_unref(plain);
    pn_trust_unref(with);
    pn_trust_roots_unref(roots);
    server_fini(&server);
}

static void an_older_version_than_allowed_is_refused(void **state)
{
    struct server old = server_make(&(struct server_options){.version = TLS1_2_VERSION});
    struct server new = server_make(&(struct server_options){.version = TLS1_3_VERSION});
    struct pn_trust_roots *roots = test_roots(&ca);
    struct pn_trust_spec spec = {
        .roots = roots, .check_chain = true, .check_name = true, .has_tls13_only = true};
    struct pn_trust *with = make(&spec);
    enum pn_tls_cause cause;

    (void)state;
    assert_false(opens(with, &old, "backend.test", &cause));
    assert_int_equal(cause, PN_CAUSE_PROTOCOL);
    assert_true(opens(with, &new, "backend.test", &cause));
    pn_trust_unref(with);
    pn_trust_roots_unref(roots);
    server_fini(&old);
    server_fini(&new);
}

/* Promise 1: each part of a policy is part of the identity. */
static void policies_that_differ_in_anything_have_different_ids(void **state)
{
    struct pn_trust_roots *roots = test_roots(&ca), *others = test_roots(&other_ca);
    static const uint8_t pins[2][PN_SHA256_BYTES] = {{1}, {2}};
    const struct pn_trust_spec plain = {.roots = roots, .check_chain = true, .check_name = true};
    struct pn_trust_spec specs[12];
    struct pn_trust *made[12];
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < 12; i++)
        specs[i] = plain;
    specs[1].roots = others;
    specs[2].intermediates = others;
    specs[3].intermediates = roots;
    specs[4].check_name = false;
    specs[5].check_chain = false;
    specs[6].has_partial_anchors = true;
    specs[7].has_tls13_only = true;
    specs[8].takes_late_requests = true;
    specs[9].server_name = "a.test";
    specs[10].pins = pins;
    specs[10].pin_count = 1;
    specs[11].pins = pins;
    specs[11].pin_count = 2;
    for (; count < 12; count++) {
        made[count] = make(&specs[count]);
        for (size_t k = 0; k < count; k++)
            assert_memory_not_equal(pn_trust_id(made[k]), pn_trust_id(made[count]),
                                    sizeof(struct pn_trust_id));
    }
    while (count > 0)
        pn_trust_unref(made[--count]);
    pn_trust_roots_unref(roots);
    pn_trust_roots_unref(others);
}

/* ---- requests after the handshake */

static void a_late_request_that_is_not_allowed_ends_the_connection_and_is_named(void **state)
{
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *certificate =
        test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_client *tls = context(trust, certificate);
    static const struct {
        int version;
        enum pn_tls_cause cause;
    } cases[] = {{TLS1_2_VERSION, PN_CAUSE_RENEGOTIATION},
                 {TLS1_3_VERSION, PN_CAUSE_LATE_AUTHENTICATION}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = server_make(&(struct server_options){.version = cases[i].version});
        struct client client;
        X509 *seen;

        client_connect(&client, tls, &server, "backend.test", 443);
        assert_true(client.is_open);
        SSL_set_verify(server.ssl, SSL_VERIFY_PEER, NULL);
        if (cases[i].version == TLS1_3_VERSION)
            assert_int_equal(SSL_verify_client_post_handshake(server.ssl), 1);
        else
            assert_int_equal(SSL_renegotiate(server.ssl), 1);
        assert_int_equal(SSL_do_handshake(server.ssl), 1);
        (void)SSL_write(server.ssl, "late", 4);
        turns(NULL);
        assert_true(client.is_broken);
        assert_int_equal(client.report.cause, cases[i].cause);
        assert_true(client.report.is_late);
        assert_int_equal(client.input_len, 0); /* nothing that came behind it is believed */
        seen = SSL_get1_peer_certificate(server.ssl);
        assert_null(seen);
        ERR_clear_error();
        client_end(&client);
        server_fini(&server);
    }
    pn_tls_client_unref(tls);
    pn_tls_certificate_unref(certificate);
    test_pair_fini(&pair);
}

/* ---- several certificates */

struct several {
    struct test_pair pairs[3];
    struct pn_tls_certificate *certificates[3]; /* "rsa" of ca, "ec" of ca, "foreign" of other_ca */
    struct pn_tls_client *tls;
};

static struct several several_make(void)
{
    struct several all;
    struct pn_error err = {.rc = PN_OK};

    all.pairs[0] = test_pair_make(
        &(struct test_spec){.common_name = "rsa", .key_type = "RSA:2048", .issuer = &ca});
    all.pairs[1] = test_pair_make(
        &(struct test_spec){.common_name = "ec", .key_type = "EC:P-256", .issuer = &ca});
    all.pairs[2] = test_pair_make(
        &(struct test_spec){.common_name = "foreign", .key_type = "EC:P-256", .issuer = &other_ca});
    all.certificates[0] = test_certificate(signer, "rsa", 1, PN_USE_CLIENT, &all.pairs[0], NULL);
    all.certificates[1] = test_certificate(signer, "ec", 4, PN_USE_CLIENT, &all.pairs[1], NULL);
    all.certificates[2] =
        test_certificate(signer, "foreign", 2, PN_USE_CLIENT, &all.pairs[2], NULL);
    if (pn_tls_client_create_of(signer, trust, all.certificates, 3, PN_ALPN_HTTP11, &all.tls,
                                &err) != PN_OK)
        fail_msg("%s", err.message);
    return all;
}

static void several_fini(struct several *all)
{
    pn_tls_client_unref(all->tls);
    for (size_t i = 0; i < 3; i++) {
        pn_tls_certificate_unref(all->certificates[i]);
        test_pair_fini(&all->pairs[i]);
    }
}

static void accept_issuer(struct server *server, const struct test_pair *issuer)
{
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server->ctx), issuer->x509);
    assert_int_equal(SSL_CTX_add_client_CA(server->ctx, issuer->x509), 1);
    SSL_CTX_set_verify(server->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void the_certificate_that_fits_the_request_is_shown(void **state)
{
    struct several all = several_make();
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const struct {
        const char *sigalgs;
        const struct test_pair *issuer;
        int expected; /* place; -1: none */
    } cases[] = {
        {NULL, &ca, 0},
        {"RSA-PSS+SHA256:RSA+SHA256", &ca, 0},
        {"ECDSA+SHA256", &ca, 1},
        {NULL, &other_ca, 2},
        {"RSA-PSS+SHA256:RSA+SHA256", &other_ca, -1},
        {"ed25519", &ca, -1},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        int expected = cases[i / 2].expected;
        struct server server = server_make(&(struct server_options){
            .version = versions[i % 2], .client_sigalgs = cases[i / 2].sigalgs});
        struct client client;

        accept_issuer(&server, cases[i / 2].issuer);
        client_connect(&client, all.tls, &server, "backend.test", 443);
        if (expected < 0) {
            assert_true(client.is_failed);
            assert_int_equal(client.report.cause, PN_CAUSE_CERTIFICATE_NONE_FITS);
            assert_false(client.report.certificate_sent);
            assert_non_null(strstr(client.report.detail, "'rsa': "));
            assert_non_null(strstr(client.report.detail, "'foreign': "));
        } else {
            X509 *seen = SSL_get1_peer_certificate(server.ssl);

            if (!client.is_open)
                fail_msg("case %zu: %s", i, client.report.detail);
            assert_non_null(seen);
            assert_int_equal(X509_cmp(seen, all.pairs[expected].x509), 0);
            assert_ptr_equal(pn_stream_certificate(client.stream), all.certificates[expected]);
            assert_string_equal(pn_stream_report(client.stream)->certificate_name,
                                pn_tls_certificate_name(all.certificates[expected]));
            X509_free(seen);
        }
        client_end(&client);
        server_fini(&server);
    }
    several_fini(&all);
}

/* One connection with an exchange, so that tickets arrive. */
static bool visit(struct pn_tls_client *tls, struct server *server,
                  const struct pn_tls_certificate **shown)
{
    struct client client;
    bool is_resumed;

    client_connect(&client, tls, server, "backend.test", 443);
    assert_true(client.is_open);
    is_resumed = pn_stream_report(client.stream)->is_resumed;
    assert_int_equal(SSL_write(server->ssl, "hello", 5), 5);
    turns(server);
    *shown = pn_stream_certificate(client.stream);
    client_end(&client);
    return is_resumed;
}

/* Promise 1: a session carries the certificate that it was won with, and belongs to the whole list.
 */
static void a_resumed_session_is_of_the_same_list_and_knows_its_certificate(void **state)
{
    struct several all = several_make();
    struct pn_tls_certificate *reversed[] = {all.certificates[1], all.certificates[0],
                                             all.certificates[2]};
    struct pn_tls_certificate *renewed =
        test_certificate(signer, "rsa", 2, PN_USE_CLIENT, &all.pairs[0], NULL);
    struct pn_tls_certificate *rotated[] = {renewed, all.certificates[1], all.certificates[2]};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct pn_tls_client *others[3];

    (void)state;
    assert_int_equal(
        pn_tls_client_create_of(signer, trust, reversed, 3, PN_ALPN_HTTP11, &others[0], NULL),
        PN_OK);
    assert_int_equal(
        pn_tls_client_create_of(signer, trust, rotated, 3, PN_ALPN_HTTP11, &others[1], NULL),
        PN_OK);
    others[2] = context(trust, all.certificates[1]); /* the chosen one alone */
    for (int i = 0; i < 2; i++) {
        struct server server = server_make(
            &(struct server_options){.version = versions[i], .client_sigalgs = "ECDSA+SHA256"});
        const struct pn_tls_certificate *shown = NULL;

        accept_issuer(&server, &ca);
        assert_false(visit(all.tls, &server, &shown));
        assert_ptr_equal(shown, all.certificates[1]);
        for (int k = 0; k < 3; k++) {
            assert_true(visit(all.tls, &server, &shown));
            assert_ptr_equal(shown, all.certificates[1]);
        }
        for (int k = 0; k < 3; k++)
            assert_false(visit(others[k], &server, &shown));
        server_fini(&server);
    }
    for (int k = 0; k < 3; k++) {
        struct pn_tls_identity mine = identity_of(all.tls, "backend.test", 443);
        struct pn_tls_identity its = identity_of(others[k], "backend.test", 443);

        assert_false(pn_tls_identity_equal(&mine, &its));
        pn_tls_client_unref(others[k]);
    }
    pn_tls_certificate_unref(renewed);
    several_fini(&all);
}

static void of_several_an_expired_one_is_passed_over(void **state)
{
    struct test_pair old = test_pair_make(&(struct test_spec){.common_name = "old",
                                                              .key_type = "EC:P-256",
                                                              .issuer = &ca,
                                                              .not_before_days = -20,
                                                              .not_after_days = -10});
    struct test_pair good = test_pair_make(
        &(struct test_spec){.common_name = "good", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *list[] = {
        test_certificate(signer, "old", 1, PN_USE_CLIENT, &old, NULL),
        test_certificate(signer, "good", 1, PN_USE_CLIENT, &good, NULL),
        test_certificate(signer, "older", 1, PN_USE_CLIENT, &old, NULL)};
    struct pn_tls_certificate *all_old[] = {list[0], list[2]};
    struct pn_tls_client *tls = NULL, *dead = NULL;
    struct server server = server_make(&(struct server_options){0});
    const struct pn_tls_certificate *shown = NULL;
    struct pn_tls_identity identity;
    struct pn_error err = {.rc = PN_OK};
    struct client client;

    (void)state;
    assert_int_equal(pn_tls_client_create_of(signer, trust, list, 3, PN_ALPN_HTTP11, &tls, NULL),
                     PN_OK);
    assert_int_equal(
        pn_tls_client_create_of(signer, trust, all_old, 2, PN_ALPN_HTTP11, &dead, NULL), PN_OK);
    accept_issuer(&server, &ca);
    (void)visit(tls, &server, &shown);
    assert_ptr_equal(shown, list[1]);
    identity = identity_of(dead, "backend.test", 443);
    assert_int_equal(client_begin(&client, dead, &server, &identity, &err), PN_INVALID);
    assert_string_equal(err.code, "certificate_expired");
    assert_non_null(strstr(err.message, "'old'"));
    server_fini(&server);
    pn_tls_client_unref(tls);
    pn_tls_client_unref(dead);
    for (size_t i = 0; i < 3; i++)
        pn_tls_certificate_unref(list[i]);
    test_pair_fini(&old);
    test_pair_fini(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_holds_also_where_no_chain_is_checked),
        cmocka_unit_test(a_pin_may_be_any_key_of_a_verified_chain_and_adds_to_the_other_checks),
        cmocka_unit_test(an_intermediate_completes_a_chain_and_is_no_anchor),
        cmocka_unit_test(the_policys_name_takes_the_place_of_the_hosts),
        cmocka_unit_test(an_older_version_than_allowed_is_refused),
        cmocka_unit_test(policies_that_differ_in_anything_have_different_ids),
        cmocka_unit_test(a_late_request_that_is_not_allowed_ends_the_connection_and_is_named),
        cmocka_unit_test(the_certificate_that_fits_the_request_is_shown),
        cmocka_unit_test(a_resumed_session_is_of_the_same_list_and_knows_its_certificate),
        cmocka_unit_test(of_several_an_expired_one_is_passed_over),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
