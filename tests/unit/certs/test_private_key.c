/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys in PKCS#8: what is read by its name is what OpenSSL reads itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "certs/private_key.h"

static PKCS8_PRIV_KEY_INFO *info_of(const EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);

    assert_non_null(info);
    return info;
}

static void keys_of_every_kind_are_read_as_openssl_reads_them(void **state)
{
    EVP_PKEY *keys[] = {
        EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048),
        EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"),
        EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"),
        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
        EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), /* not one that is read by its name */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        PKCS8_PRIV_KEY_INFO *info = info_of(keys[i]);
        EVP_PKEY *usual = EVP_PKCS82PKEY(info);
        EVP_PKEY *key = pn_private_key_decode(info);

        assert_non_null(key);
        assert_int_equal(EVP_PKEY_eq(key, keys[i]), 1);
        assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(usual));
        assert_string_equal(EVP_PKEY_get0_type_name(key), EVP_PKEY_get0_type_name(usual));
        assert_int_equal(ERR_peek_error(), 0);
        EVP_PKEY_free(key);
        EVP_PKEY_free(usual);
        PKCS8_PRIV_KEY_INFO_free(info);
        EVP_PKEY_free(keys[i]);
    }
}

/* Whatever one of a key's bytes becomes: what OpenSSL refuses is refused, with words. */
static void broken_keys_are_refused_as_openssl_refuses_them(void **state)
{
    EVP_PKEY *whole = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKCS8_PRIV_KEY_INFO *info = info_of(whole);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    size_t refused = 0;

    (void)state;
    assert_true(len > 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    for (int at = 0; at < len; at++) {
        const unsigned char *from = der;
        EVP_PKEY *usual, *key;

        der[at] ^= 0x55;
        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &from, len);
        der[at] ^= 0x55;
        ERR_clear_error();
        if (!info)
            continue;
        key = pn_private_key_decode(info);
        if (!key)
            assert_int_not_equal(ERR_peek_error(), 0);
        ERR_clear_error();
        usual = EVP_PKCS82PKEY(info);
        assert_int_equal(key != NULL, usual != NULL);
        if (key)
            assert_int_equal(EVP_PKEY_eq(key, usual), 1);
        else
            refused++;
        ERR_clear_error();
        EVP_PKEY_free(key);
        EVP_PKEY_free(usual);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
    assert_true(refused > 10);
    OPENSSL_clear_free(der, (size_t)len);
    EVP_PKEY_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_every_kind_are_read_as_openssl_reads_them),
        cmocka_unit_test(broken_keys_are_refused_as_openssl_refuses_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
