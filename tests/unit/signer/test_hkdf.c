/* SPDX-License-Identifier: Apache-2.0
 *
 * HKDF of TLS 1.3 against the published trace and against OpenSSL's own derivation, by itself and
 * as the provider answers it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/encode.h"
#include "signer/hkdf.h"
#include "signer/signer.h"

#define PREFIX  PN_LIT("tls13 ")
#define NOTHING pn_slice("", 0)

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char text[2 * PN_HKDF_BYTES_MAX + 1];

    pn_hex_lower(bytes, len, text);
    assert_string_equal(text, expected);
}

/* RFC 8448 section 3: the simple 1-RTT handshake. */
static void key_schedule_is_that_of_the_published_trace(void **state)
{
    static const uint8_t shared[] = {0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63,
                                     0xfd, 0xfb, 0xac, 0xf9, 0xf0, 0x4b, 0x9f, 0x0d,
                                     0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75, 0x63, 0xef,
                                     0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d};
    static const uint8_t client[] = {0xb3, 0xed, 0xdb, 0x12, 0x6e, 0x06, 0x7f, 0x35,
                                     0xa7, 0x80, 0xb3, 0xab, 0xf4, 0x5e, 0x2d, 0x8f,
                                     0x3b, 0x1a, 0x95, 0x07, 0x38, 0xf5, 0x2e, 0x96,
                                     0x00, 0x74, 0x6a, 0x0e, 0x27, 0xa5, 0x5a, 0x21};
    uint8_t early[32], handshake[32], master[32], key[16];

    (void)state;
    assert_int_equal(
        pn_hkdf_next_secret(PN_HKDF_SHA256, NOTHING, PREFIX, PN_LIT("derived"), NOTHING, early),
        PN_OK);
    assert_hex(early, 32, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    assert_int_equal(pn_hkdf_next_secret(PN_HKDF_SHA256, pn_slice(early, 32), PREFIX,
                                         PN_LIT("derived"), pn_slice(shared, 32), handshake),
                     PN_OK);
    assert_hex(handshake, 32, "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    assert_int_equal(pn_hkdf_expand_label(PN_HKDF_SHA256, pn_slice(client, 32), PREFIX,
                                          PN_LIT("key"), NOTHING, key, 16),
                     PN_OK);
    assert_hex(key, 16, "dbfaa693d1762c5b666af5d950258d01");
    assert_int_equal(pn_hkdf_next_secret(PN_HKDF_SHA256, pn_slice(handshake, 32), PREFIX,
                                         PN_LIT("derived"), NOTHING, master),
                     PN_OK);
    assert_hex(master, 32, "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919");
}

/* ---- against OpenSSL */

struct ask {
    int mode;
    const char *digest;
    struct pn_slice key, salt, label, data;
    size_t len;
    bool is_set_before; /* not with the derivation itself */
};

/* What the library context answers; 0: an error. */
static size_t derive(OSSL_LIB_CTX *libctx, const struct ask *ask, uint8_t *out)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, "TLS13-KDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    const struct {
        const char *name;
        struct pn_slice bytes;
    } texts[] = {{OSSL_KDF_PARAM_KEY, ask->key},
                 {OSSL_KDF_PARAM_SALT, ask->salt},
                 {OSSL_KDF_PARAM_PREFIX, PREFIX},
                 {OSSL_KDF_PARAM_LABEL, ask->label},
                 {OSSL_KDF_PARAM_DATA, ask->data}};
    OSSL_PARAM params[8], *at = params;
    int mode = ask->mode;
    bool is_fine;

    *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *at++ =
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)ask->digest, 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].bytes.len > 0)
            *at++ = OSSL_PARAM_construct_octet_string(
                texts[i].name, (void *)(uintptr_t)texts[i].bytes.ptr, texts[i].bytes.len);
    }
    *at = OSSL_PARAM_construct_end();
    if (ask->is_set_before)
        is_fine = EVP_KDF_CTX_set_params(ctx, params) == 1 &&
                  EVP_KDF_derive(ctx, out, ask->len, NULL) == 1;
    else
        is_fine = EVP_KDF_derive(ctx, out, ask->len, params) == 1;
    ERR_clear_error();
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return is_fine ? ask->len : 0;
}

static struct pn_signer *signer;

static void assert_same(const struct ask *ask)
{
    uint8_t ours[256] = {0}, theirs[256] = {0};

    assert_int_equal(derive(pn_signer_libctx(signer), ask, ours), derive(NULL, ask, theirs));
    assert_memory_equal(ours, theirs, sizeof(ours));
}

static void provider_answers_as_openssl_does(void **state)
{
    static const struct {
        const char *name;
        size_t len;
    } digests[] = {{"SHA256", 32},   {"SHA2-256", 32}, {"SHA384", 48},
                   {"SHA2-384", 48}, {"SHA512", 64},   {"SHA1", 20}};
    static const size_t lens[] = {1, 12, 16, 31, 32, 33, 48, 49, 64, 100};
    uint8_t random[3][64];

    (void)state;
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        size_t hash = digests[i].len;

        assert_int_equal(RAND_bytes(random[0], sizeof(random)), 1);
        for (size_t n = 0; n < sizeof(lens) / sizeof(lens[0]); n++) {
            struct ask ask = {.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                              .digest = digests[i].name,
                              .key = pn_slice(random[0], hash),
                              .label = PN_LIT("c ap traffic"),
                              .data = pn_slice(random[1], hash),
                              .len = lens[n]};

            assert_same(&ask);
            ask.data.len = 0;
            assert_same(&ask);
            ask.is_set_before = true;
            assert_same(&ask);
            ask.key.len--; /* a key of another length than the hash */
            ask.is_set_before = false;
            assert_same(&ask);
        }
        for (size_t n = 0; n < 8; n++) {
            struct ask ask = {.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                              .digest = digests[i].name,
                              .key = pn_slice(random[0], n & 1 ? hash : 0),
                              .salt = pn_slice(random[1], n & 2 ? hash : 0),
                              .label = PN_LIT("derived"),
                              .len = n & 4 ? hash : hash - 1};

            assert_same(&ask);
            ask.is_set_before = true;
            assert_same(&ask);
        }
    }
}

/* What TLS never asks gets OpenSSL's answer, and its refusal. */
static void strange_questions_are_openssls(void **state)
{
    uint8_t key[48] = {1};
    struct ask ask = {.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
                      .digest = "SHA256",
                      .key = pn_slice(key, 32),
                      .label = PN_LIT("key"),
                      .len = 32};
    char label[260] = {'x'};

    (void)state;
    assert_same(&ask);
    ask.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    ask.key.len = 0;
    assert_same(&ask);
    ask.key.len = 32;
    ask.label.len = 0;
    assert_same(&ask);
    ask.label = pn_slice(label, 249); /* with the prefix: the most that one byte can count */
    assert_same(&ask);
    ask.label.len++;
    assert_same(&ask);
    ask.label = PN_LIT("key");
    ask.digest = "no such hash";
    assert_same(&ask);
}

static void lengths_have_limits(void **state)
{
    uint8_t secret[48] = {1}, out[PN_HKDF_BYTES_MAX];
    char text[256] = {0};
    enum pn_hkdf_hash hash;

    (void)state;
    assert_int_equal(pn_hkdf_find("sha2-384", &hash), PN_OK);
    assert_int_equal(hash, PN_HKDF_SHA384);
    assert_int_equal(pn_hkdf_len(hash), 48);
    assert_int_equal(pn_hkdf_find("MD5", &hash), PN_UNSUPPORTED);
    assert_int_equal(pn_hkdf_expand_label(PN_HKDF_SHA256, pn_slice(secret, 32), PREFIX,
                                          PN_LIT("key"), NOTHING, out, 33),
                     PN_LIMIT);
    assert_int_equal(pn_hkdf_expand_label(PN_HKDF_SHA256, pn_slice(secret, 32), PREFIX,
                                          pn_slice(text, 250), NOTHING, out, 32),
                     PN_LIMIT);
    assert_int_equal(pn_hkdf_expand_label(PN_HKDF_SHA256, pn_slice(secret, 32), PREFIX,
                                          PN_LIT("key"), pn_slice(text, 256), out, 32),
                     PN_LIMIT);
    assert_int_equal(pn_hkdf_expand_label(PN_HKDF_SHA256, pn_slice(secret, 32), PREFIX,
                                          PN_LIT("key"), pn_slice(text, 255), out, 32),
                     PN_OK);
}

static int setup(void **state)
{
    (void)state;
    return pn_signer_create(&signer, NULL) == PN_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pn_signer_destroy(signer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_schedule_is_that_of_the_published_trace),
        cmocka_unit_test(provider_answers_as_openssl_does),
        cmocka_unit_test(strange_questions_are_openssls),
        cmocka_unit_test(lengths_have_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
