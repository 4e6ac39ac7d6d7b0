/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities, trust policies and certificates as values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/support.h"

static struct pn_signer *signer;
static struct test_pair ca, other_ca;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    other_ca = test_pair_make(
        &(struct test_spec){.common_name = "other", .key_type = "EC:P-256", .is_ca = true});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_pair_fini(&ca);
    test_pair_fini(&other_ca);
    test_keys_clear();
    pn_signer_destroy(signer);
    return 0;
}

static struct pn_tls_identity identity(const char *ip_last, uint16_t port, const char *name,
                                       struct pn_trust *trust,
                                       struct pn_tls_certificate *certificate, enum pn_alpn alpn)
{
    struct pn_peer_address peer = {.family = AF_INET, .port = port};
    struct pn_tls_identity result;

    memcpy(peer.ip, ip_last, 4);
    memset(&result, 0xA5, sizeof(result)); /* padding must not matter */
    pn_tls_identity_init(&result, &peer);
    assert_int_equal(pn_tls_identity_set_tls(&result, pn_slice_str(name), trust, certificate, alpn),
                     PN_OK);
    pn_tls_identity_seal(&result);
    return result;
}

static void identities_differ_in_every_part(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true), *lax = test_trust(&ca, true, false);
    struct test_pair pair = test_pair_make(
        &(struct test_spec){.common_name = "client", .key_type = "EC:P-256", .issuer = &ca});
    struct pn_tls_certificate *one = test_certificate(signer, "c1", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_certificate *two = test_certificate(signer, "c1", 2, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_certificate *name = test_certificate(signer, "c2", 1, PN_USE_CLIENT, &pair, NULL);
    struct pn_tls_identity base = identity("\1\2\3\4", 443, "b.test", trust, one, PN_ALPN_HTTP11);
    struct pn_tls_identity same = identity("\1\2\3\4", 443, "B.Test.", trust, one, PN_ALPN_HTTP11);
    struct pn_tls_identity others[] = {
        identity("\1\2\3\5", 443, "b.test", trust, one, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 444, "b.test", trust, one, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "c.test", trust, one, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "b.test", lax, one, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "b.test", trust, two, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "b.test", trust, name, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "b.test", trust, NULL, PN_ALPN_HTTP11),
        identity("\1\2\3\4", 443, "b.test", trust, one, PN_ALPN_H2),
    };

    (void)state;
    assert_true(pn_tls_identity_equal(&base, &same));
    assert_true(base.hash == same.hash);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(pn_tls_identity_equal(&base, &others[i]));
        assert_true(base.hash != others[i].hash);
        others[i].hash = base.hash; /* a collision makes nothing equal */
        assert_false(pn_tls_identity_equal(&base, &others[i]));
    }
    pn_tls_certificate_unref(one);
    pn_tls_certificate_unref(two);
    pn_tls_certificate_unref(name);
    pn_trust_unref(trust);
    pn_trust_unref(lax);
    test_pair_fini(&pair);
}

static void server_names_have_a_border(void **state)
{
    struct pn_trust *trust = test_trust(&ca, true, true);
    struct pn_peer_address peer = {.family = AF_INET};
    struct pn_tls_identity result;
    char name[PN_SERVER_NAME_MAX + 1];

    (void)state;
    memset(name, 'a', sizeof(name));
    pn_tls_identity_init(&result, &peer);
    assert_int_equal(pn_tls_identity_set_tls(&result, pn_slice(name, PN_SERVER_NAME_MAX - 1), trust,
                                             NULL, PN_ALPN_NONE),
                     PN_OK);
    assert_int_equal(pn_tls_identity_set_tls(&result, pn_slice(name, PN_SERVER_NAME_MAX), trust,
                                             NULL, PN_ALPN_NONE),
                     PN_INVALID);
    assert_int_equal(pn_tls_identity_set_tls(&result, PN_LIT(""), trust, NULL, PN_ALPN_NONE),
                     PN_INVALID);
    assert_int_equal(pn_tls_identity_set_tls(&result, PN_LIT("a\0b"), trust, NULL, PN_ALPN_NONE),
                     PN_INVALID);
    pn_trust_unref(trust);
}

static void addresses_survive_the_round_trip(void **state)
{
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(8443), .sin6_scope_id = 3};
    struct sockaddr_storage back;
    struct pn_peer_address peer;
    char text[PN_PEER_ADDRESS_TEXT];

    (void)state;
    in6.sin6_addr = in6addr_loopback;
    assert_int_equal(pn_peer_address_from((struct sockaddr *)&in6, &peer), PN_OK);
    pn_peer_address_print(&peer, text);
    assert_string_equal(text, "[::1]:8443");
    assert_int_equal(pn_peer_address_to(&peer, &back), sizeof(in6));
    assert_memory_equal(&back, &in6, sizeof(in6));
    in6.sin6_family = AF_UNIX;
    assert_int_equal(pn_peer_address_from((struct sockaddr *)&in6, &peer), PN_UNSUPPORTED);
}

static bool same_id(const struct pn_trust *a, const struct pn_trust *b)
{
    return memcmp(pn_trust_id(a), pn_trust_id(b), sizeof(struct pn_trust_id)) == 0;
}

static void trust_policies_are_equal_when_they_demand_the_same(void **state)
{
    struct pn_trust *one = test_trust(&ca, true, true), *same = test_trust(&ca, true, true);
    struct pn_trust *other = test_trust(&other_ca, true, true);
    struct pn_trust *no_chain = test_trust(&ca, false, true),
                    *no_chain2 = test_trust(&other_ca, false, true);
    struct pn_trust *missing = NULL;
    struct pn_error err;

    (void)state;
    assert_true(same_id(one, same));
    assert_false(same_id(one, other));
    assert_false(same_id(one, no_chain));
    assert_true(same_id(no_chain, no_chain2));
    assert_int_equal(pn_trust_create(NULL, true, true, &missing, &err), PN_INVALID);
    pn_trust_unref(one);
    pn_trust_unref(same);
    pn_trust_unref(other);
    pn_trust_unref(no_chain);
    pn_trust_unref(no_chain2);
    pn_trust_unref(NULL);
}

static void ca_bundles_are_read_as_pem_and_der(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct pn_trust_roots *roots = NULL;
    struct pn_error err;
    char *pem;
    long len;
    char path[] = "/tmp/postern-test-XXXXXX";
    int fd = mkstemp(path);
    char folder[64], in_folder[96];

    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s.d", path);
    (void)snprintf(in_folder, sizeof(in_folder), "%s/ca.pem", folder);
    PEM_write_bio_X509(bio, ca.x509);
    PEM_write_bio_X509(bio, other_ca.x509);
    PEM_write_bio_X509(bio, ca.x509);
    len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(pn_trust_roots_from(pn_slice(pem, (size_t)len), &roots, &err), PN_OK);
    assert_int_equal(pn_trust_roots_count(roots), 2); /* each once */
    pn_trust_roots_unref(roots);
    /* broken inside the second one */
    assert_int_equal(pn_trust_roots_from(pn_slice(pem, (size_t)len / 2), &roots, &err),
                     PN_MALFORMED);
    assert_int_equal(pn_trust_roots_from(PN_LIT("nonsense"), &roots, &err), PN_MALFORMED);
    assert_int_equal(pn_trust_roots_from(PN_LIT(""), &roots, &err), PN_NOT_FOUND);

    assert_true(write(fd, pem, (size_t)len) == len);
    assert_int_equal(unsetenv("SSL_CERT_DIR"), 0);
    assert_int_equal(setenv("SSL_CERT_FILE", path, 1), 0);
    assert_int_equal(pn_trust_roots_system(&roots, &err), PN_OK);
    assert_int_equal(pn_trust_roots_count(roots), 2);
    pn_trust_roots_unref(roots);
    assert_int_equal(setenv("SSL_CERT_FILE", "/nonexistent/bundle", 1), 0);
    assert_int_equal(pn_trust_roots_system(&roots, &err), PN_NOT_FOUND); /* no fallback */
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(rename(path, in_folder), 0);
    assert_int_equal(setenv("SSL_CERT_DIR", folder, 1), 0);
    assert_int_equal(pn_trust_roots_system(&roots, &err), PN_OK);
    assert_int_equal(pn_trust_roots_count(roots), 2);
    pn_trust_roots_unref(roots);
    assert_int_equal(unsetenv("SSL_CERT_DIR"), 0);
    close(fd);
    assert_int_equal(unlink(in_folder), 0);
    assert_int_equal(rmdir(folder), 0);
    BIO_free(bio);
}

static void certificate_and_key_must_belong_together(void **state)
{
    unsigned char *der = NULL;
    int len = i2d_X509(ca.x509, &der);
    struct pn_slice chain = pn_slice(der, (size_t)len);
    struct pn_tls_certificate_spec spec = {
        .name = "c1", .use = PN_USE_CLIENT, .chain = &chain, .chain_count = 1};
    struct pn_tls_certificate *certificate = NULL;
    struct pn_error err;

    (void)state;
    assert_int_equal(pn_tls_certificate_create(signer, &spec, &certificate, &err), PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    spec.chain_count = 0;
    assert_int_equal(pn_tls_certificate_create(signer, &spec, &certificate, &err), PN_INVALID);
    spec.chain_count = PN_CHAIN_MAX + 1;
    assert_int_equal(pn_tls_certificate_create(signer, &spec, &certificate, &err), PN_LIMIT);
    spec.chain_count = 1;
    chain.len--;
    assert_int_equal(pn_tls_certificate_create(signer, &spec, &certificate, &err), PN_MALFORMED);
    chain.len = 0;
    assert_int_equal(pn_tls_certificate_create(signer, &spec, &certificate, &err), PN_MALFORMED);
    OPENSSL_free(der);
}

static void every_cause_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int i = PN_CAUSE_NONE; i <= PN_CAUSE_RESET; i++) {
        struct pn_tls_report report = {.cause = (enum pn_tls_cause)i, .alert = 46};
        struct pn_error err;

        assert_non_null(pn_tls_cause_name((enum pn_tls_cause)i));
        memset(report.detail, 'd', sizeof(report.detail) - 1);
        memset(report.server_name, 's', sizeof(report.server_name) - 1);
        memset(report.certificate_name, 'n', sizeof(report.certificate_name) - 1);
        (void)pn_tls_report_error(&report, &err);
        assert_string_equal(err.code, pn_tls_cause_name((enum pn_tls_cause)i));
        assert_non_null(strstr(err.message, "certificate_unknown (46)"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_differ_in_every_part),
        cmocka_unit_test(server_names_have_a_border),
        cmocka_unit_test(addresses_survive_the_round_trip),
        cmocka_unit_test(trust_policies_are_equal_when_they_demand_the_same),
        cmocka_unit_test(ca_bundles_are_read_as_pem_and_der),
        cmocka_unit_test(certificate_and_key_must_belong_together),
        cmocka_unit_test(every_cause_has_a_name_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
