/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust policies of a configuration: equal wishes share one, and wishes that differ in anything do
 * not (promise 1: the policy is part of the identity).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/map.h"
#include "gateway/trusts.h"

/* A self-signed certificate as base64 DER. */
static void make_ca(const char *name, struct pn_buf *text)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = X509_new();
    X509_NAME *subject = X509_get_subject_name(x509);
    unsigned char *der = NULL;
    int len;

    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 1), 1);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_set_pubkey(x509, key);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    len = i2d_X509(x509, &der);
    pn_buf_init(text, 65536);
    assert_int_equal(pn_base64_encode(pn_slice(der, (size_t)len), text), PN_OK);
    assert_int_equal(pn_buf_append(text, "", 1), PN_OK);
    OPENSSL_free(der);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static struct pn_buf one, two;

static int setup(void **state)
{
    (void)state;
    make_ca("one", &one);
    make_ca("two", &two);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_buf_fini(&one);
    pn_buf_fini(&two);
    return 0;
}

static struct pn_trust_base *make_base(const char *store, const char *der)
{
    json_t *list = json_pack("[{s:s, s:s}]", "store", store, "der", der);
    struct pn_trust_base *base = NULL;
    struct pn_error err;

    if (pn_trust_base_create(NULL, list, &base, &err) != PN_OK)
        fail_msg("%s", err.message);
    json_decref(list);
    return base;
}

/* The policy that `text` (a backend's tls) is granted; the caller's. NULL: refused. */
static struct pn_trust *grant(struct pn_trust_base *base, const char *text)
{
    struct pn_trust_wish wish;
    struct pn_trust *trust = NULL;
    struct pn_error err;
    json_t *tls = json_loads(text, 0, NULL);

    assert_non_null(tls);
    assert_int_equal(pn_trust_wish_read(tls, &wish, &err), PN_OK);
    if (pn_trust_base_grant(base, &wish, &trust, &err) != PN_OK) {
        assert_string_equal(err.code, "no_trusted_ca");
        trust = NULL;
    }
    pn_trust_wish_fini(&wish);
    json_decref(tls);
    return trust;
}

static void wishes_that_differ_in_anything_are_granted_different_policies(void **state)
{
    struct pn_trust_base *base = make_base("Root", one.ptr);
    char own[2][8192];
    const char *wishes[] = {
        "{}",
        "{\"validateCertificateName\":false}",
        "{\"validateCertificateChain\":false}",
        "{\"validateCertificateChain\":false,\"validateCertificateName\":false}",
        "{\"postern\":{\"serverName\":\"a.test\"}}",
        "{\"postern\":{\"serverName\":\"b.test\"}}",
        "{\"postern\":{\"serverName\":\"a.test\"},\"validateCertificateName\":false}",
        "{\"postern\":{\"minimumTlsVersion\":\"1.3\"}}",
        "{\"postern\":{\"lateAuthentication\":true}}",
        "{\"postern\":{\"pins\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]}}",
        "{\"postern\":{\"pins\":[\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]}}",
        "{\"postern\":{\"pins\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
        "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]}}",
        own[0],
        own[1],
    };
    struct pn_trust *granted[sizeof(wishes) / sizeof(wishes[0])];
    size_t count = sizeof(wishes) / sizeof(wishes[0]);

    (void)state;
    (void)snprintf(own[0], sizeof(own[0]), "{\"postern\":{\"caCertificates\":[\"%s\"]}}", one.ptr);
    (void)snprintf(own[1], sizeof(own[1]), "{\"postern\":{\"caCertificates\":[\"%s\"]}}", two.ptr);
    for (size_t i = 0; i < count; i++) {
        struct pn_trust *again;

        granted[i] = grant(base, wishes[i]);
        again = grant(base, wishes[i]);
        assert_non_null(granted[i]);
        assert_ptr_equal(granted[i], again); /* equal wishes share one */
        pn_trust_unref(again);
        /* its own CA that is also the service's is the same trust */
        for (size_t k = 0; k < i && i != 12; k++)
            assert_memory_not_equal(pn_trust_id(granted[i]), pn_trust_id(granted[k]),
                                    sizeof(struct pn_trust_id));
    }
    for (size_t i = 0; i < count; i++)
        pn_trust_unref(granted[i]);
    pn_trust_base_unref(base);
}

static void without_any_ca_what_needs_one_fails_closed(void **state)
{
    struct pn_trust_base *base = NULL;
    char own[8192];
    struct pn_trust *trust;

    (void)state;
    assert_int_equal(pn_trust_base_create(NULL, NULL, &base, NULL), PN_OK);
    assert_null(grant(base, "{}"));
    assert_null(grant(base, "{\"postern\":{\"minimumTlsVersion\":\"1.3\"}}"));
    trust = grant(base, "{\"validateCertificateChain\":false}");
    assert_non_null(trust);
    pn_trust_unref(trust);
    (void)snprintf(own, sizeof(own), "{\"postern\":{\"caCertificates\":[\"%s\"]}}", one.ptr);
    trust = grant(base, own);
    assert_non_null(trust);
    pn_trust_unref(trust);
    pn_trust_base_unref(base);
}

static void bases_are_equal_only_with_the_same_cas_in_the_same_stores(void **state)
{
    struct pn_trust_base *root = make_base("Root", one.ptr), *again = make_base("Root", one.ptr);
    struct pn_trust_base *other = make_base("Root", two.ptr);
    struct pn_trust_base *middle = make_base("CertificateAuthority", one.ptr);

    (void)state;
    assert_true(pn_trust_base_equal(root, again));
    assert_false(pn_trust_base_equal(root, other));
    assert_false(pn_trust_base_equal(root, middle));
    assert_null(grant(middle, "{}")); /* an intermediate is no anchor */
    pn_trust_base_unref(root);
    pn_trust_base_unref(again);
    pn_trust_base_unref(other);
    pn_trust_base_unref(middle);
}

/* Many wishes that nobody has any more leave no trace. */
static void policies_that_nobody_has_are_swept(void **state)
{
    struct pn_trust_base *base = make_base("Root", one.ptr);
    struct pn_trust *kept = grant(base, "{\"postern\":{\"serverName\":\"kept.test\"}}");
    struct pn_trust *again;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char wish[128];

        (void)snprintf(wish, sizeof(wish), "{\"postern\":{\"serverName\":\"n%d.test\"}}", i);
        pn_trust_unref(grant(base, wish));
    }
    assert_true(pn_map_count(base->granted) < 300);
    again = grant(base, "{\"postern\":{\"serverName\":\"kept.test\"}}");
    assert_ptr_equal(kept, again);
    pn_trust_unref(again);
    pn_trust_unref(kept);
    pn_trust_base_unref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes_that_differ_in_anything_are_granted_different_policies),
        cmocka_unit_test(without_any_ca_what_needs_one_fails_closed),
        cmocka_unit_test(bases_are_equal_only_with_the_same_cas_in_the_same_stores),
        cmocka_unit_test(policies_that_nobody_has_are_swept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
