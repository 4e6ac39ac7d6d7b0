/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts of certificates: names, keys, extensions, encodings, thumbprints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/certs/support.h"

static struct pn_certificate *make(const struct test_certificate *what)
{
    EVP_PKEY *key = NULL;
    X509 *x509 = test_make(what, &key);
    struct pn_certificate *certificate = test_wrap(x509);

    X509_free(x509);
    EVP_PKEY_free(key);
    return certificate;
}

static void check_subject(const char *const *name, const char *expected)
{
    struct pn_certificate *certificate = make(&(struct test_certificate){.name = name});

    assert_string_equal(pn_certificate_subject(certificate), expected);
    pn_certificate_unref(certificate);
}

static void subject_is_in_dotnet_order(void **state)
{
    (void)state;
    check_subject((const char *[]){"C", "US", "ST", "WA", "O", "y", "CN", "x", NULL},
                  "CN=x, O=y, S=WA, C=US");
    check_subject((const char *[]){"DC", "com", "DC", "example", "emailAddress", "a@b.c", NULL},
                  "E=a@b.c, DC=example, DC=com");
    check_subject((const char *[]){"O", "y", "OU", "+z", "CN", "x", NULL}, "CN=x, O=y + OU=z");
    check_subject((const char *[]){"UID", "u1", "CN", "x", NULL},
                  "CN=x, OID.0.9.2342.19200300.100.1.1=u1");
}

static void subject_values_are_quoted_where_dotnet_quotes_them(void **state)
{
    (void)state;
    check_subject((const char *[]){"O", "Fabrikam, Inc.", "CN", "a=b", NULL},
                  "CN=\"a=b\", O=\"Fabrikam, Inc.\"");
    check_subject((const char *[]){"CN", "say \"hi\"", NULL}, "CN=\"say \"\"hi\"\"\"");
    check_subject((const char *[]){"CN", " leading", NULL}, "CN=\" leading\"");
    check_subject((const char *[]){"CN", "inner space", NULL}, "CN=inner space");
    check_subject((const char *[]){"CN", "back\\slash", NULL}, "CN=back\\slash");
    check_subject((const char *[]){"CN", "m\xC3\xBCller", NULL}, "CN=m\xC3\xBCller");
}

static void facts_are_those_of_the_certificate(void **state)
{
    struct pn_certificate *certificate = make(&(struct test_certificate){
        .name = (const char *[]){"CN", "client-a", NULL},
        .eku = "clientAuth",
        .usage = "critical,digitalSignature,keyAgreement",
        .san = "DNS:a.example,email:x@y.z,IP:192.0.2.1,IP:2001:db8::1,URI:spiffe://a/b,"
               "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:u@corp"});
    uint8_t sha1[PN_SHA1_BYTES];
    char hex[PN_THUMBPRINT_TEXT];

    (void)state;
    pn_sha1(pn_certificate_der(certificate), sha1);
    pn_hex_upper(sha1, sizeof sha1, hex);
    assert_string_equal(pn_certificate_thumbprint(certificate), hex);
    assert_string_equal(pn_certificate_common_name(certificate), "client-a");
    assert_int_equal(pn_certificate_not_before(certificate), 1767225600);
    assert_int_equal(pn_certificate_not_after(certificate), 2082758400);
    assert_string_equal(pn_certificate_serial(certificate), "0BADCAFE");
    assert_int_equal(pn_certificate_key_type(certificate), PN_KEY_EC);
    assert_int_equal(pn_certificate_key_bits(certificate), 256);
    assert_string_equal(pn_certificate_curve(certificate), "P-256");
    assert_string_equal(pn_certificate_signature_digest(certificate), "SHA256");
    assert_int_equal(pn_certificate_key_usage(certificate),
                     PN_USAGE_DIGITAL_SIGNATURE | PN_USAGE_KEY_AGREEMENT);
    assert_int_equal(pn_certificate_eku_count(certificate), 1);
    assert_string_equal(pn_certificate_eku(certificate, 0), "1.3.6.1.5.5.7.3.2");
    assert_true(pn_certificate_allows_client_auth(certificate));
    assert_false(pn_certificate_allows_server_auth(certificate));
    assert_false(pn_certificate_is_ca(certificate));
    assert_true(pn_certificate_is_self_signed(certificate));
    assert_int_equal(pn_certificate_san_count(certificate), 6);
    assert_string_equal(pn_certificate_san(certificate, 2)->text, "192.0.2.1");
    assert_string_equal(pn_certificate_san(certificate, 3)->text, "2001:db8::1");
    assert_int_equal(pn_certificate_san(certificate, 5)->type, PN_SAN_UPN);
    assert_null(pn_certificate_san(certificate, 6));
    pn_certificate_unref(certificate);
}

static void keys_of_every_kind_are_told_apart(void **state)
{
    static const struct {
        const char *key;
        enum pn_key_type type;
        int bits;
        const char *curve;
    } cases[] = {
        {"RSA:2048", PN_KEY_RSA, 2048, ""},
        {"EC:P-384", PN_KEY_EC, 384, "P-384"},
        {"EC:P-521", PN_KEY_EC, 521, "P-521"},
        {"ED25519", PN_KEY_ED25519, 256, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pn_certificate *certificate = make(&(struct test_certificate){
            .key = cases[i].key, .name = (const char *[]){"CN", "k", NULL}});

        assert_int_equal(pn_certificate_key_type(certificate), cases[i].type);
        assert_string_equal(pn_certificate_curve(certificate), cases[i].curve);
        if (cases[i].type != PN_KEY_ED25519)
            assert_int_equal(pn_certificate_key_bits(certificate), cases[i].bits);
        pn_certificate_unref(certificate);
    }
}

static void pem_and_der_give_the_same_certificate(void **state)
{
    struct pn_certificate *first =
        make(&(struct test_certificate){.name = (const char *[]){"CN", "x", NULL}});
    struct pn_certificate *second = NULL;
    struct pn_error err = {0};
    struct pn_buf pem;

    (void)state;
    pn_buf_init(&pem, 65536);
    assert_int_equal(pn_buf_append_str(&pem, "a comment\r\n-----BEGIN PRIVATE KEY-----\nAAAA\n"),
                     PN_OK);
    assert_int_equal(pn_buf_append_str(&pem, "-----END PRIVATE KEY-----\n"), PN_OK);
    assert_int_equal(pn_certificate_pem(first, &pem), PN_OK);
    assert_int_equal(pn_certificate_from_pem(pn_buf_slice(&pem), &second, &err), PN_OK);
    assert_true(pn_certificate_eq(first, second));
    pn_certificate_unref(second);
    assert_int_equal(pn_certificate_from_pem(PN_LIT("none"), &second, &err), PN_NOT_FOUND);
    assert_int_equal(
        pn_certificate_from_pem(PN_LIT("-----BEGIN CERTIFICATE-----\nAAAA"), &second, &err),
        PN_MALFORMED);
    pn_buf_fini(&pem);
    pn_certificate_unref(first);
}

static void broken_der_is_refused_at_every_cut(void **state)
{
    struct pn_certificate *whole =
        make(&(struct test_certificate){.name = (const char *[]){"CN", "x", NULL}});
    struct pn_slice der = pn_certificate_der(whole);
    struct pn_certificate *certificate = NULL;
    struct pn_error err = {0};
    char *longer = calloc(1, PN_CERTIFICATE_BYTES_MAX + 1);

    (void)state;
    assert_non_null(longer);
    for (size_t len = 0; len < der.len; len++)
        assert_int_equal(pn_certificate_from_der(pn_slice_sub(der, 0, len), &certificate, &err),
                         PN_MALFORMED);
    memcpy(longer, der.ptr, der.len);
    assert_int_equal(pn_certificate_from_der(pn_slice(longer, der.len + 1), &certificate, &err),
                     PN_MALFORMED);
    assert_int_equal(
        pn_certificate_from_der(pn_slice(longer, PN_CERTIFICATE_BYTES_MAX + 1), &certificate, &err),
        PN_LIMIT);
    free(longer);
    pn_certificate_unref(whole);
}

static void thumbprints_are_normalized(void **state)
{
    char out[PN_THUMBPRINT_TEXT];

    (void)state;
    assert_true(
        pn_thumbprint_parse(PN_LIT("\xE2\x80\x8E"
                                   "aa bb cc dd ee ff 00 11 22 33 44 55 66 77 88 99 aa bb cc dd"),
                            out));
    assert_string_equal(out, "AABBCCDDEEFF00112233445566778899AABBCCDD");
    assert_true(pn_thumbprint_parse(PN_LIT("AABBCCDDEEFF00112233445566778899AABBCCDD"), out));
    assert_false(pn_thumbprint_parse(PN_LIT("AABBCCDDEEFF00112233445566778899AABBCCD"), out));
    assert_false(pn_thumbprint_parse(PN_LIT("AABBCCDDEEFF00112233445566778899AABBCCDDE"), out));
    assert_false(pn_thumbprint_parse(PN_LIT("GABBCCDDEEFF00112233445566778899AABBCCDD"), out));
    assert_false(pn_thumbprint_parse(PN_LIT(""), out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subject_is_in_dotnet_order),
        cmocka_unit_test(subject_values_are_quoted_where_dotnet_quotes_them),
        cmocka_unit_test(facts_are_those_of_the_certificate),
        cmocka_unit_test(keys_of_every_kind_are_told_apart),
        cmocka_unit_test(pem_and_der_give_the_same_certificate),
        cmocka_unit_test(broken_der_is_refused_at_every_cut),
        cmocka_unit_test(thumbprints_are_normalized),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
