/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's keys: used by their own questions alone, and nothing else by these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/file.h"
#include "ipc/keyholder_vault.h"
#include "ipc/protocol.h"
#include "unit/keyholder/support.h"

#define PLACE PN_LIT("vault/local/keys/k/1")

struct desk {
    struct rig rig;
    struct pn_keyholder *admin, *gateway;
    pthread_t threads[2];
    struct pn_buf spki, sealed, out;
    struct pn_error err;
};

static int open_desk(void **state)
{
    static struct desk desk;

    memset(&desk, 0, sizeof(desk));
    rig_open(&desk.rig);
    desk.admin = rig_connect(&desk.rig, PN_SERVICE_ADMIN, PN_ROLE_CONTROL, &desk.threads[0]);
    desk.gateway = rig_connect(&desk.rig, PN_SERVICE_SIGN, PN_ROLE_GATEWAY, &desk.threads[1]);
    pn_buf_init(&desk.spki, 4096);
    pn_buf_init(&desk.sealed, 65536);
    pn_buf_init_secret(&desk.out, 65536);
    *state = &desk;
    return 0;
}

static int close_desk(void **state)
{
    struct desk *desk = *state;

    pn_buf_fini(&desk->spki);
    pn_buf_fini(&desk->sealed);
    pn_buf_fini(&desk->out);
    rig_disconnect(desk->admin, desk->threads[0]);
    rig_disconnect(desk->gateway, desk->threads[1]);
    rig_close(&desk->rig);
    rig_remove(&desk->rig);
    return 0;
}

static EVP_PKEY *public_key(const struct desk *desk)
{
    const unsigned char *at = (const unsigned char *)desk->spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)desk->spki.len);

    assert_non_null(key);
    return key;
}

static struct pn_vault_key sealed_key(const struct desk *desk)
{
    return (struct pn_vault_key){.context = PLACE, .sealed = pn_buf_slice(&desk->sealed)};
}

static enum pn_rc sign(struct desk *desk, const char *algorithm, size_t digest_len)
{
    const struct pn_vault_key key = sealed_key(desk);
    uint8_t digest[64];

    memset(digest, 7, sizeof(digest));
    pn_buf_clear(&desk->out);
    return pn_keyholder_vault_use(desk->admin, &key, PN_VAULT_KEY_SIGN, algorithm,
                                  pn_slice(digest, digest_len), &desk->out, &desk->err);
}

static void rsa_key_signs_digests_and_decrypts(void **state)
{
    struct desk *desk = *state;
    struct pn_vault_key sealed;
    unsigned char cipher[256];
    size_t len = sizeof(cipher);
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key;

    assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "RSA", 2048, "", &desk->spki,
                                                 &desk->sealed, &desk->err),
                     PN_OK);
    assert_int_equal(sign(desk, "RS256", 32), PN_OK);
    assert_int_equal(desk->out.len, 256);
    assert_int_equal(sign(desk, "PS512", 64), PN_OK);
    assert_int_equal(sign(desk, "RS256", 31), PN_INVALID);
    assert_int_equal(sign(desk, "ES256", 32), PN_INVALID);
    assert_int_equal(sign(desk, "RSNULL", 32), PN_INVALID);
    key = public_key(desk);
    ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING);
    EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, "SHA256", NULL);
    assert_int_equal(EVP_PKEY_encrypt(ctx, cipher, &len, (const unsigned char *)"word", 4), 1);
    sealed = sealed_key(desk);
    pn_buf_clear(&desk->out);
    assert_int_equal(pn_keyholder_vault_use(desk->admin, &sealed, PN_VAULT_KEY_DECRYPT,
                                            "RSA-OAEP-256", pn_slice(cipher, len), &desk->out,
                                            &desk->err),
                     PN_OK);
    assert_true(pn_slice_eq_str(pn_buf_slice(&desk->out), "word"));
    assert_int_equal(pn_keyholder_vault_use(desk->admin, &sealed, PN_VAULT_KEY_DECRYPT, "RSA-OAEP",
                                            pn_slice(cipher, len), &desk->out, &desk->err),
                     PN_INVALID);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void curve_signs_with_its_own_digest_only(void **state)
{
    static const struct {
        const char *curve, *algorithm;
        size_t digest_len, signature_len;
    } cases[] = {{"P-256", "ES256", 32, 64},
                 {"P-384", "ES384", 48, 96},
                 {"P-521", "ES512", 64, 132},
                 {"P-256K", "ES256K", 32, 64}};
    struct desk *desk = *state;

    for (size_t i = 0; i < 4; i++) {
        pn_buf_clear(&desk->spki);
        pn_buf_clear(&desk->sealed);
        assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "EC", 0, cases[i].curve,
                                                     &desk->spki, &desk->sealed, &desk->err),
                         PN_OK);
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(sign(desk, cases[j].algorithm, cases[j].digest_len),
                             i == j ? PN_OK : PN_INVALID);
            if (i == j)
                assert_int_equal(desk->out.len, cases[i].signature_len);
        }
    }
    assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "EC", 0, "P-224", &desk->spki,
                                                 &desk->sealed, &desk->err),
                     PN_INVALID);
    assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "RSA", 1024, "", &desk->spki,
                                                 &desk->sealed, &desk->err),
                     PN_INVALID);
}

static void sealed_key_opens_in_its_place_and_for_control_only(void **state)
{
    struct desk *desk = *state;
    struct pn_vault_key key;
    struct pn_buf moved;
    uint8_t digest[32] = {1};

    assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "EC", 0, "P-256", &desk->spki,
                                                 &desk->sealed, &desk->err),
                     PN_OK);
    key = sealed_key(desk);
    assert_int_equal(pn_keyholder_vault_use(desk->gateway, &key, PN_VAULT_KEY_SIGN, "ES256",
                                            pn_slice(digest, 32), &desk->out, &desk->err),
                     PN_DENIED);
    key.context = PN_LIT("vault/local/keys/k/2");
    assert_int_equal(pn_keyholder_vault_use(desk->admin, &key, PN_VAULT_KEY_SIGN, "ES256",
                                            pn_slice(digest, 32), &desk->out, &desk->err),
                     PN_DENIED);
    key.context = PLACE;
    pn_buf_init(&moved, 65536);
    assert_int_equal(
        pn_keyholder_vault_move(desk->admin, &key, PN_LIT("elsewhere"), &moved, &desk->err),
        PN_DENIED);
    assert_int_equal(
        pn_keyholder_vault_move(desk->admin, &key, PN_LIT("vault/b/keys/k/1"), &moved, &desk->err),
        PN_OK);
    key = (struct pn_vault_key){.context = PN_LIT("vault/b/keys/k/1"),
                                .sealed = pn_buf_slice(&moved)};
    assert_int_equal(pn_keyholder_vault_use(desk->admin, &key, PN_VAULT_KEY_SIGN, "ES256",
                                            pn_slice(digest, 32), &desk->out, &desk->err),
                     PN_OK);
    pn_buf_fini(&moved);
}

/* What a client's or server's key may sign is a TLS handshake; no way leads around that. */
static void kept_key_is_of_no_use_here_and_a_vaults_key_nowhere_else(void **state)
{
    static const enum pn_key_use uses[] = {PN_USE_CLIENT, PN_USE_SERVER, PN_USE_TOKEN};
    struct desk *desk = *state;
    const struct pn_issue_spec spec = rig_spec();
    uint8_t digest[32] = {1};
    struct pn_key_id id;

    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"client", "server", "token"};
        struct pn_imported made;
        struct pn_vault_key key = {0};
        struct pn_buf file;
        char path[256], hex[65], stem[128];

        assert_int_equal(pn_keyholder_issue(desk->admin, uses[i], &spec, &made, &desk->err), PN_OK);
        pn_hex_lower(made.key.sha256, 32, hex);
        snprintf(stem, sizeof(stem), "%s-%s", names[i], hex);
        snprintf(path, sizeof(path), "%s/%s" PN_KEY_FILE_SUFFIX, desk->rig.folder, stem);
        pn_buf_init(&file, 65536);
        assert_int_equal(pn_file_read(path, &file, &desk->err), PN_OK);
        key.sealed = pn_buf_slice(&file);
        key.context = pn_slice_str(stem);
        for (int is_certificate = 0; is_certificate < 2; is_certificate++) {
            key.is_certificate = is_certificate;
            assert_int_equal(pn_keyholder_vault_use(desk->admin, &key, PN_VAULT_KEY_SIGN, "ES256",
                                                    pn_slice(digest, 32), &desk->out, &desk->err),
                             PN_DENIED);
        }
        assert_int_equal(desk->out.len, 0);
        pn_buf_fini(&file);
        pn_imported_fini(&made);
    }
    assert_int_equal(pn_keyholder_vault_generate(desk->admin, PLACE, "EC", 0, "P-256", &desk->spki,
                                                 &desk->sealed, &desk->err),
                     PN_OK);
    pn_sha256(pn_buf_slice(&desk->spki), id.sha256);
    for (int use = PN_USE_CLIENT; use <= PN_USE_CA; use++)
        assert_int_equal(pn_keyholder_sign(desk->admin, (enum pn_key_use)use, &id,
                                           PN_SIGN_ECDSA_SHA256, PN_LIT("a.b"), &desk->out,
                                           &desk->err),
                         PN_DENIED);
    assert_int_equal(pn_keyholder_unseal(desk->admin, "vault", PLACE, pn_buf_slice(&desk->sealed),
                                         &desk->out, &desk->err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_unseal(desk->admin, "vaultkey", PLACE,
                                         pn_buf_slice(&desk->sealed), &desk->out, &desk->err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_export_sealed(desk->admin, PLACE, pn_buf_slice(&desk->sealed),
                                                PN_FILE_PEM, &desk->out, &desk->err),
                     PN_DENIED);
    assert_int_equal(desk->out.len, 0);
}

static void private_certificate_signs_and_is_not_exported(void **state)
{
    struct desk *desk = *state;
    struct pn_issue_spec spec = rig_spec();
    struct pn_imported made;
    struct pn_vault_key key = {.context = PLACE, .is_certificate = true};
    uint8_t digest[32] = {1};

    spec.is_private = true;
    assert_int_equal(pn_keyholder_issue_sealed(desk->admin, PLACE, &spec, NULL, &made, &desk->err),
                     PN_OK);
    assert_int_equal(pn_keyholder_export_sealed(desk->admin, PLACE, pn_buf_slice(&made.sealed),
                                                PN_FILE_PEM, &desk->out, &desk->err),
                     PN_DENIED);
    assert_string_equal(desk->err.code, "not_exportable");
    key.sealed = pn_buf_slice(&made.sealed);
    assert_int_equal(pn_keyholder_vault_use(desk->admin, &key, PN_VAULT_KEY_SIGN, "ES256",
                                            pn_slice(digest, 32), &desk->out, &desk->err),
                     PN_OK);
    pn_imported_fini(&made);
}

static void certificate_is_merged_with_the_key_of_its_request(void **state)
{
    struct desk *desk = *state;
    struct pn_issue_spec spec = rig_spec();
    struct pn_vault_key key = {.context = PN_LIT("vault/v/pending/c")};
    struct pn_imported made;
    const unsigned char *at;
    unsigned char *der = NULL;
    X509_REQ *request;
    X509 *certificate = X509_new();
    EVP_PKEY *ca = EVP_EC_gen("P-256");
    struct pn_slice chain;
    int len;

    spec.dns_names = (const char *const[]){"a.test", NULL};
    assert_int_equal(pn_keyholder_vault_request(desk->admin, key.context, &spec, NULL, &desk->out,
                                                &desk->sealed, &desk->err),
                     PN_OK);
    at = (const unsigned char *)desk->out.ptr;
    request = d2i_X509_REQ(NULL, &at, (long)desk->out.len);
    assert_non_null(request);
    assert_int_equal(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)), 1);
    X509_set_subject_name(certificate, X509_REQ_get_subject_name(request));
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, X509_REQ_get0_pubkey(request));
    X509_sign(certificate, ca, EVP_sha256());
    len = i2d_X509(certificate, &der);
    chain = pn_slice(der, (size_t)len);
    key.sealed = pn_buf_slice(&desk->sealed);
    assert_int_equal(pn_keyholder_vault_merge(desk->admin, &key, PLACE, PN_FILE_PEM, false, &chain,
                                              1, &made, &desk->err),
                     PN_OK);
    assert_int_equal(made.chain_count, 1);
    pn_imported_fini(&made);
    OPENSSL_free(der);
    X509_set_pubkey(certificate, ca); /* somebody else's */
    X509_sign(certificate, ca, EVP_sha256());
    der = NULL;
    len = i2d_X509(certificate, &der);
    chain = pn_slice(der, (size_t)len);
    assert_int_equal(pn_keyholder_vault_merge(desk->admin, &key, PLACE, PN_FILE_PEM, false, &chain,
                                              1, &made, &desk->err),
                     PN_INVALID);
    OPENSSL_free(der);
    X509_free(certificate);
    X509_REQ_free(request);
    EVP_PKEY_free(ca);
}

/* RFC 7517 appendix A.2, the EC key; and the same with another d. */
static void key_is_taken_from_its_numbers(void **state)
{
    struct desk *desk = *state;
    struct pn_buf x, y, d;
    struct pn_vault_key_parts parts = {.type = "EC", .curve = "P-256"};

    pn_buf_init(&x, 64);
    pn_buf_init(&y, 64);
    pn_buf_init(&d, 64);
    assert_int_equal(pn_base64url_decode(PN_LIT("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"), &x),
                     PN_OK);
    assert_int_equal(pn_base64url_decode(PN_LIT("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"), &y),
                     PN_OK);
    assert_int_equal(pn_base64url_decode(PN_LIT("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"), &d),
                     PN_OK);
    parts.x = pn_buf_slice(&x);
    parts.y = pn_buf_slice(&y);
    parts.d = pn_buf_slice(&d);
    assert_int_equal(
        pn_keyholder_vault_take(desk->admin, PLACE, &parts, &desk->spki, &desk->sealed, &desk->err),
        PN_OK);
    assert_int_equal(sign(desk, "ES256", 32), PN_OK);
    d.ptr[3] ^= 1;
    assert_int_equal(
        pn_keyholder_vault_take(desk->admin, PLACE, &parts, &desk->spki, &desk->sealed, &desk->err),
        PN_INVALID);
    parts.d = (struct pn_slice){0};
    assert_int_equal(
        pn_keyholder_vault_take(desk->admin, PLACE, &parts, &desk->spki, &desk->sealed, &desk->err),
        PN_INVALID);
    pn_buf_fini(&x);
    pn_buf_fini(&y);
    pn_buf_fini(&d);
}

#define DESK_TEST(name) cmocka_unit_test_setup_teardown(name, open_desk, close_desk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESK_TEST(rsa_key_signs_digests_and_decrypts),
        DESK_TEST(curve_signs_with_its_own_digest_only),
        DESK_TEST(sealed_key_opens_in_its_place_and_for_control_only),
        DESK_TEST(kept_key_is_of_no_use_here_and_a_vaults_key_nowhere_else),
        DESK_TEST(private_certificate_signs_and_is_not_exported),
        DESK_TEST(certificate_is_merged_with_the_key_of_its_request),
        DESK_TEST(key_is_taken_from_its_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
