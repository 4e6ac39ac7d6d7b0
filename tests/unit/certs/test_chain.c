/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of chains, and what lint finds in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs/lint.h"
#include "unit/certs/support.h"

#define NOW 1790000000 /* in September 2026 */

static struct {
    EVP_PKEY *root_key, *sub_key, *leaf_key;
    X509 *root_x509, *sub_x509, *leaf_x509;
    struct pn_certificate *root, *sub, *leaf;
} pki;

static int set_up(void **state)
{
    (void)state;
    pki.root_x509 =
        test_make(&(struct test_certificate){.name = (const char *[]){"CN", "Root", NULL},
                                             .constraints = "critical,CA:TRUE"},
                  &pki.root_key);
    pki.sub_x509 =
        test_make(&(struct test_certificate){.name = (const char *[]){"CN", "Issuing", NULL},
                                             .constraints = "critical,CA:TRUE",
                                             .issuer = pki.root_x509,
                                             .issuer_key = pki.root_key},
                  &pki.sub_key);
    pki.leaf_x509 =
        test_make(&(struct test_certificate){.name = (const char *[]){"CN", "leaf", NULL},
                                             .eku = "clientAuth",
                                             .issuer = pki.sub_x509,
                                             .issuer_key = pki.sub_key},
                  &pki.leaf_key);
    pki.root = test_wrap(pki.root_x509);
    pki.sub = test_wrap(pki.sub_x509);
    pki.leaf = test_wrap(pki.leaf_x509);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pn_certificate_unref(pki.root);
    pn_certificate_unref(pki.sub);
    pn_certificate_unref(pki.leaf);
    X509_free(pki.root_x509);
    X509_free(pki.sub_x509);
    X509_free(pki.leaf_x509);
    EVP_PKEY_free(pki.root_key);
    EVP_PKEY_free(pki.sub_key);
    EVP_PKEY_free(pki.leaf_key);
    return 0;
}

static void chain_is_ordered_leaf_first_from_any_order(void **state)
{
    struct pn_certificate *orders[][3] = {{pki.root, pki.sub, pki.leaf},
                                          {pki.sub, pki.leaf, pki.root},
                                          {pki.leaf, pki.root, pki.sub}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct pn_chain *chain = NULL;
        const uint8_t *key = i == 1 ? pn_certificate_spki_sha256(pki.leaf) : NULL;

        assert_int_equal(pn_chain_from_certificates(orders[i], 3, key, &chain, NULL), PN_OK);
        assert_int_equal(pn_chain_count(chain), 3);
        assert_ptr_equal(pn_chain_leaf(chain), pki.leaf);
        assert_ptr_equal(pn_chain_at(chain, 1), pki.sub);
        assert_ptr_equal(pn_chain_at(chain, 2), pki.root);
        assert_true(pn_chain_is_complete(chain));
        pn_chain_unref(chain);
    }
}

static void certificate_of_another_chain_is_left_out(void **state)
{
    EVP_PKEY *key = NULL;
    X509 *x509 = test_make(&(struct test_certificate){.name = (const char *[]){"CN", "Root", NULL},
                                                      .constraints = "CA:TRUE"},
                           &key);
    struct pn_certificate *same_name = test_wrap(x509);
    struct pn_chain *chain = NULL;

    (void)state;
    assert_int_equal(
        pn_chain_from_certificates((struct pn_certificate *[]){same_name, pki.sub, pki.leaf}, 3,
                                   NULL, &chain, NULL),
        PN_OK);
    assert_int_equal(pn_chain_count(chain), 2);
    assert_false(pn_chain_is_complete(chain));
    pn_chain_unref(chain);
    pn_certificate_unref(same_name);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static void key_without_its_certificate_is_refused(void **state)
{
    struct pn_chain *chain = NULL;
    struct pn_error err = {0};
    uint8_t other[PN_SHA256_BYTES] = {1};

    (void)state;
    assert_int_equal(pn_chain_from_certificates(&pki.leaf, 1, other, &chain, &err), PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    assert_int_equal(pn_chain_from_certificates(&pki.leaf, 0, NULL, &chain, &err), PN_NOT_FOUND);
}

static void chain_survives_pem_and_der(void **state)
{
    struct pn_chain *chain = NULL;
    struct pn_chain *again = NULL;
    struct pn_slice ders[PN_CHAIN_MAX + 1];
    struct pn_buf pem;

    (void)state;
    pn_buf_init(&pem, 65536);
    assert_int_equal(
        pn_chain_from_certificates((struct pn_certificate *[]){pki.sub, pki.leaf, pki.root}, 3,
                                   NULL, &chain, NULL),
        PN_OK);
    assert_int_equal(pn_chain_pem(chain, &pem), PN_OK);
    assert_int_equal(pn_chain_from_pem(pn_buf_slice(&pem), NULL, &again, NULL), PN_OK);
    assert_true(pn_certificate_eq(pn_chain_leaf(again), pki.leaf));
    assert_int_equal(pn_chain_count(again), 3);
    pn_chain_unref(again);
    for (size_t i = 0; i <= PN_CHAIN_MAX; i++)
        ders[i] = pn_certificate_der(pn_chain_at(chain, i % 3));
    assert_int_equal(pn_chain_from_ders(ders, 3, &again, NULL), PN_OK);
    assert_true(pn_chain_is_complete(again));
    pn_chain_unref(again);
    assert_int_equal(pn_chain_from_ders(ders, PN_CHAIN_MAX, &again, NULL), PN_OK);
    pn_chain_unref(again);
    assert_int_equal(pn_chain_from_ders(ders, PN_CHAIN_MAX + 1, &again, NULL), PN_LIMIT);
    pn_buf_fini(&pem);
    pn_chain_unref(chain);
}

static void lint(X509 *const *x509s, size_t count, struct pn_lint_report *report, int64_t now)
{
    struct pn_certificate *certificates[3];
    struct pn_chain *chain = NULL;

    for (size_t i = 0; i < count; i++)
        certificates[i] = test_wrap(x509s[i]);
    assert_int_equal(pn_chain_from_certificates(certificates, count, NULL, &chain, NULL), PN_OK);
    pn_lint_client_chain(chain, now, report);
    pn_chain_unref(chain);
    for (size_t i = 0; i < count; i++)
        pn_certificate_unref(certificates[i]);
}

static void good_chain_has_no_finding(void **state)
{
    struct pn_lint_report report;

    (void)state;
    lint((X509 *[]){pki.leaf_x509, pki.sub_x509, pki.root_x509}, 3, &report, NOW);
    assert_int_equal(report.count, 0);
}

static void validity_counts_both_ends(void **state)
{
    X509 *chain[] = {pki.leaf_x509, pki.sub_x509, pki.root_x509};
    struct pn_lint_report report;

    (void)state;
    lint(chain, 3, &report, 1767225600);
    assert_int_equal(report.count, 0);
    lint(chain, 3, &report, 1767225599);
    assert_true(pn_lint_has(&report, PN_LINT_NOT_YET_VALID));
    lint(chain, 3, &report, 2082758400);
    assert_int_equal(report.count, 0);
    lint(chain, 3, &report, 2082758401);
    assert_true(pn_lint_has(&report, PN_LINT_EXPIRED));
}

static void weaknesses_are_found(void **state)
{
    EVP_PKEY *key = NULL;
    X509 *x509 = test_make(&(struct test_certificate){.key = "RSA:1024",
                                                      .digest = "SHA1",
                                                      .name = (const char *[]){"CN", "weak", NULL},
                                                      .eku = "serverAuth",
                                                      .constraints = "CA:TRUE",
                                                      .issuer = pki.root_x509,
                                                      .issuer_key = pki.root_key},
                           &key);
    struct pn_lint_report report;

    (void)state;
    lint(&x509, 1, &report, NOW);
    assert_true(pn_lint_has(&report, PN_LINT_WEAK_KEY));
    assert_true(pn_lint_has(&report, PN_LINT_WEAK_SIGNATURE));
    assert_true(pn_lint_has(&report, PN_LINT_MISSING_CLIENT_AUTH_EKU));
    assert_true(pn_lint_has(&report, PN_LINT_CA_AS_LEAF));
    assert_true(pn_lint_has(&report, PN_LINT_CHAIN_INCOMPLETE));
    assert_int_equal(report.count, 5);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static void self_signed_is_a_finding_of_its_own(void **state)
{
    EVP_PKEY *key = NULL;
    X509 *x509 =
        test_make(&(struct test_certificate){.name = (const char *[]){"CN", "self", NULL}}, &key);
    struct pn_lint_report report;

    (void)state;
    lint(&x509, 1, &report, NOW);
    assert_int_equal(report.count, 1);
    assert_string_equal(pn_lint_code_name(report.findings[0].code), "self_signed");
    X509_free(x509);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_ordered_leaf_first_from_any_order),
        cmocka_unit_test(certificate_of_another_chain_is_left_out),
        cmocka_unit_test(key_without_its_certificate_is_refused),
        cmocka_unit_test(chain_survives_pem_and_der),
        cmocka_unit_test(good_chain_has_no_finding),
        cmocka_unit_test(validity_counts_both_ends),
        cmocka_unit_test(weaknesses_are_found),
        cmocka_unit_test(self_signed_is_a_finding_of_its_own),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
