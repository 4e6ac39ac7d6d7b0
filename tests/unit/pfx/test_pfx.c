/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises about key files. The files are made by OpenSSL here, so that both sides of each border
 * are covered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "pfx/pfx.h"

struct kit {
    struct pn_pfx_library library;
    EVP_PKEY *ca_key, *key, *other_key;
    X509 *ca, *leaf;
};

static X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *signer)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
    X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                               (unsigned char *)(uintptr_t)name, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, signer, EVP_sha256()) > 0);
    return certificate;
}

static int open_kit(void **state)
{
    static struct kit kit;
    struct pn_error err = {0};

    assert_int_equal(pn_pfx_init(&kit.library, &err), PN_OK);
    kit.ca_key = EVP_EC_gen("P-256");
    kit.key = EVP_RSA_gen(2048);
    kit.other_key = EVP_EC_gen("P-384");
    kit.ca = make_certificate("ca", kit.ca_key, NULL, kit.ca_key);
    kit.leaf = make_certificate("leaf", kit.key, kit.ca, kit.ca_key);
    *state = &kit;
    return 0;
}

static int close_kit(void **state)
{
    struct kit *kit = *state;

    EVP_PKEY_free(kit->ca_key);
    EVP_PKEY_free(kit->key);
    EVP_PKEY_free(kit->other_key);
    X509_free(kit->ca);
    X509_free(kit->leaf);
    pn_pfx_fini(&kit->library);
    return 0;
}

/* `nid`: encryption of key and certificates; `certificate` NULL: only the CA's. */
static struct pn_buf make_pfx(const struct kit *kit, const char *password, EVP_PKEY *key,
                              X509 *certificate, int nid)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    struct pn_buf out;
    unsigned char *der = NULL;
    PKCS12 *p12;
    int len;

    sk_X509_push(others, kit->ca);
    p12 = PKCS12_create(password, "name", key, certificate, others, nid, nid, 1000, 1000, 0);
    assert_non_null(p12);
    len = i2d_PKCS12(p12, &der);
    pn_buf_init(&out, PN_IMPORT_BYTES_MAX);
    assert_int_equal(pn_buf_append(&out, der, (size_t)len), PN_OK);
    OPENSSL_free(der);
    PKCS12_free(p12);
    sk_X509_free(others);
    return out;
}

static enum pn_rc try(const struct pn_buf *file, const char *password, struct pn_opened *opened,
                      struct pn_error *err)
{
    *err = (struct pn_error){0};
    return pn_pfx_open(pn_buf_slice(file), pn_slice_str(password), opened, err);
}

static void pfx_gives_key_and_chain_leaf_first(void **state)
{
    static const int encryptions[] = {NID_aes_256_cbc, NID_pbe_WithSHA1And3_Key_TripleDES_CBC};
    struct kit *kit = *state;

    for (size_t i = 0; i < 2; i++) {
        struct pn_buf file = make_pfx(kit, "pässword", kit->key, kit->leaf, encryptions[i]);
        struct pn_opened opened;
        struct pn_error err;
        const unsigned char *at;
        X509 *leaf;

        assert_int_equal(try(&file, "pässword", &opened, &err), PN_OK);
        assert_int_equal(opened.format, PN_FILE_PKCS12);
        assert_int_equal(opened.chain_count, 2);
        at = (const unsigned char *)opened.chain[0].ptr;
        leaf = d2i_X509(NULL, &at, (long)opened.chain[0].len);
        assert_int_equal(X509_cmp(leaf, kit->leaf), 0);
        X509_free(leaf);
        pn_opened_fini(&opened);
        pn_buf_fini(&file);
    }
}

static void wrong_password_is_told_from_no_pfx_and_from_a_broken_one(void **state)
{
    struct kit *kit = *state;
    struct pn_buf file = make_pfx(kit, "right", kit->key, kit->leaf, NID_aes_256_cbc);
    struct pn_opened opened;
    struct pn_error err;

    assert_int_equal(try(&file, "wrong", &opened, &err), PN_DENIED);
    assert_string_equal(err.code, "wrong_password");
    assert_int_equal(try(&file, "", &opened, &err), PN_DENIED);
    assert_int_equal(try(&file, NULL, &opened, &err), PN_DENIED);
    assert_string_equal(err.code, "wrong_password");
    assert_int_equal(pn_pfx_open(pn_buf_slice(&file), pn_slice("right\0more", 10), &opened, &err),
                     PN_DENIED);
    file.len -= 1;
    assert_int_equal(try(&file, "right", &opened, &err), PN_MALFORMED);
    assert_string_equal(err.code, "not_pfx");
    pn_buf_clear(&file);
    assert_int_equal(try(&file, "right", &opened, &err), PN_MALFORMED);
    assert_int_equal(pn_buf_append_str(&file, "hello"), PN_OK);
    assert_int_equal(try(&file, "right", &opened, &err), PN_MALFORMED);
    assert_string_equal(err.code, "not_pfx");
    assert_null(strstr(err.message, "right"));
    pn_buf_fini(&file);
}

static void empty_and_missing_password_open_the_same_files(void **state)
{
    static const char *const made_with[] = {"", NULL};
    struct kit *kit = *state;

    for (size_t i = 0; i < 2; i++) {
        struct pn_buf file = make_pfx(kit, made_with[i], kit->key, kit->leaf, NID_aes_256_cbc);
        struct pn_opened opened;
        struct pn_error err;

        assert_int_equal(try(&file, "", &opened, &err), PN_OK);
        pn_opened_fini(&opened);
        assert_int_equal(try(&file, NULL, &opened, &err), PN_OK);
        pn_opened_fini(&opened);
        pn_buf_fini(&file);
    }
}

static void pfx_without_key_or_with_another_ones_certificate_is_refused(void **state)
{
    struct kit *kit = *state;
    struct pn_buf no_key = make_pfx(kit, "p", NULL, kit->leaf, NID_aes_256_cbc);
    struct pn_buf mismatch = make_pfx(kit, "p", kit->other_key, NULL, NID_aes_256_cbc);
    struct pn_opened opened;
    struct pn_error err;

    assert_int_equal(try(&no_key, "p", &opened, &err), PN_INVALID);
    assert_string_equal(err.code, "no_key");
    assert_int_equal(try(&mismatch, "p", &opened, &err), PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    pn_buf_fini(&no_key);
    pn_buf_fini(&mismatch);
}

static void a_file_above_the_limit_is_refused_unread(void **state)
{
    struct pn_buf file;
    struct pn_opened opened;
    struct pn_error err;

    (void)state;
    pn_buf_init(&file, PN_IMPORT_BYTES_MAX + 1);
    assert_int_equal(pn_buf_reserve(&file, PN_IMPORT_BYTES_MAX + 1), PN_OK);
    memset(file.ptr, 0x30, PN_IMPORT_BYTES_MAX + 1);
    file.len = PN_IMPORT_BYTES_MAX + 1;
    assert_int_equal(try(&file, "p", &opened, &err), PN_LIMIT);
    assert_string_equal(err.code, "too_large");
    file.len--;
    assert_int_equal(try(&file, "p", &opened, &err), PN_MALFORMED);
    pn_buf_fini(&file);
}

enum key_form { PKCS8, PKCS8_ENCRYPTED, TRADITIONAL, TRADITIONAL_ENCRYPTED, NO_KEY };

static struct pn_buf make_pem(X509 *const *certificates, EVP_PKEY *key, enum key_form form)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct pn_buf out;
    char *bytes;
    long len;
    const EVP_CIPHER *cipher =
        form == PKCS8_ENCRYPTED || form == TRADITIONAL_ENCRYPTED ? EVP_aes_256_cbc() : NULL;
    const unsigned char *password = cipher ? (const unsigned char *)"pw" : NULL;

    BIO_puts(bio, "a comment\n");
    for (; certificates && *certificates; certificates++)
        PEM_write_bio_X509(bio, *certificates);
    if (form == PKCS8 || form == PKCS8_ENCRYPTED)
        PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, (const char *)password, cipher ? 2 : 0,
                                      NULL, NULL);
    else if (form != NO_KEY)
        PEM_write_bio_PrivateKey_traditional(bio, key, cipher, password, cipher ? 2 : 0, NULL,
                                             NULL);
    len = BIO_get_mem_data(bio, &bytes);
    pn_buf_init(&out, PN_IMPORT_BYTES_MAX);
    assert_int_equal(pn_buf_append(&out, bytes, (size_t)len), PN_OK);
    BIO_free(bio);
    return out;
}

static void pem_opens_with_a_key_in_any_form(void **state)
{
    struct kit *kit = *state;
    X509 *const both[] = {kit->ca, kit->leaf, NULL}; /* issuer first */

    for (int form = PKCS8; form <= TRADITIONAL_ENCRYPTED; form++) {
        struct pn_buf file = make_pem(both, kit->key, (enum key_form)form);
        bool is_encrypted = form == PKCS8_ENCRYPTED || form == TRADITIONAL_ENCRYPTED;
        struct pn_opened opened;
        struct pn_error err;

        assert_int_equal(try(&file, is_encrypted ? "pw" : NULL, &opened, &err), PN_OK);
        assert_int_equal(opened.format, PN_FILE_PEM);
        assert_int_equal(opened.chain_count, 2);
        pn_opened_fini(&opened);
        if (is_encrypted) {
            assert_int_equal(try(&file, "no", &opened, &err), PN_DENIED);
            assert_string_equal(err.code, "wrong_password");
            assert_int_equal(try(&file, NULL, &opened, &err), PN_DENIED);
        }
        pn_buf_fini(&file);
    }
}

static void pem_with_something_missing_or_broken_says_what(void **state)
{
    struct kit *kit = *state;
    X509 *const one[] = {kit->leaf, NULL};
    struct pn_opened opened;
    struct pn_error err;
    struct pn_buf file = make_pem(one, NULL, NO_KEY);

    assert_int_equal(try(&file, NULL, &opened, &err), PN_INVALID);
    assert_string_equal(err.code, "no_key");
    pn_buf_fini(&file);
    file = make_pem(NULL, kit->key, PKCS8);
    assert_int_equal(try(&file, NULL, &opened, &err), PN_INVALID);
    assert_string_equal(err.code, "no_certificate");
    file.len -= 40;
    assert_int_equal(try(&file, NULL, &opened, &err), PN_MALFORMED);
    assert_string_equal(err.code, "malformed_pem");
    pn_buf_fini(&file);
    file = make_pem(one, kit->other_key, PKCS8);
    assert_int_equal(try(&file, NULL, &opened, &err), PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    pn_buf_fini(&file);
}

/* A chain of `count` certificates above a leaf that has kit->key; leaf first. */
static void make_long_chain(const struct kit *kit, X509 **chain, size_t count)
{
    chain[count - 1] = make_certificate("root", kit->ca_key, NULL, kit->ca_key);
    for (size_t i = count - 1; i-- > 0;) {
        char name[32];

        snprintf(name, sizeof(name), "issuer %zu", i);
        chain[i] =
            make_certificate(name, i == 0 ? kit->key : kit->ca_key, chain[i + 1], kit->ca_key);
    }
}

static void a_chain_longer_than_the_limit_is_refused(void **state)
{
    struct kit *kit = *state;
    X509 *many[PN_CHAIN_MAX + 2] = {NULL};
    struct pn_opened opened;
    struct pn_error err;
    struct pn_buf file;

    for (size_t count = PN_CHAIN_MAX; count <= PN_CHAIN_MAX + 1; count++) {
        make_long_chain(kit, many, count);
        file = make_pem(many, kit->key, PKCS8);
        if (count == PN_CHAIN_MAX) {
            assert_int_equal(try(&file, NULL, &opened, &err), PN_OK);
            assert_int_equal(opened.chain_count, PN_CHAIN_MAX);
            pn_opened_fini(&opened);
        } else {
            assert_int_equal(try(&file, NULL, &opened, &err), PN_LIMIT);
            assert_string_equal(err.code, "too_many_certificates");
        }
        pn_buf_fini(&file);
        for (size_t i = 0; i < count; i++)
            X509_free(many[i]);
    }
}

static bool has_note(const struct pn_opened *opened, const char *code)
{
    for (size_t i = 0; i < opened->facts.note_count; i++) {
        if (strcmp(opened->facts.notes[i].code, code) == 0)
            return true;
    }
    return false;
}

static void a_repaired_order_and_strangers_are_said(void **state)
{
    struct kit *kit = *state;
    X509 *stranger = make_certificate("stranger", kit->other_key, NULL, kit->other_key);
    X509 *shuffled[] = {kit->ca, stranger, kit->leaf, kit->leaf, NULL};
    struct pn_buf file = make_pem(shuffled, kit->key, PKCS8);
    struct pn_opened opened;
    struct pn_error err;

    assert_int_equal(try(&file, NULL, &opened, &err), PN_OK);
    assert_int_equal(opened.chain_count, 2);
    assert_true(has_note(&opened, "chain_reordered"));
    assert_true(has_note(&opened, "unrelated_certificates"));
    assert_true(has_note(&opened, "not_encrypted"));
    pn_opened_fini(&opened);
    pn_buf_fini(&file);
    X509_free(stranger);
}

static X509 *make_server_certificate(const struct kit *kit)
{
    X509 *certificate = make_certificate("server", kit->other_key, kit->ca, kit->ca_key);
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth");

    assert_true(X509_add_ext(certificate, usage, -1));
    X509_EXTENSION_free(usage);
    assert_true(X509_sign(certificate, kit->ca_key, EVP_sha256()) > 0);
    return certificate;
}

static void of_several_keys_the_one_for_a_tls_client_is_taken(void **state)
{
    struct kit *kit = *state;
    X509 *server = make_server_certificate(kit);
    X509 *certificates[] = {server, kit->leaf, kit->ca, NULL};
    struct pn_buf file = make_pem(certificates, kit->other_key, PKCS8);
    struct pn_buf more = make_pem(NULL, kit->key, PKCS8);
    struct pn_opened opened;
    struct pn_error err;
    const unsigned char *at;
    X509 *leaf;

    assert_int_equal(pn_buf_append_slice(&file, pn_buf_slice(&more)), PN_OK);
    assert_int_equal(try(&file, NULL, &opened, &err), PN_OK);
    at = (const unsigned char *)opened.chain[0].ptr;
    leaf = d2i_X509(NULL, &at, (long)opened.chain[0].len);
    assert_int_equal(X509_cmp(leaf, kit->leaf), 0);
    assert_true(has_note(&opened, "several_keys"));
    X509_free(leaf);
    pn_opened_fini(&opened);
    pn_buf_fini(&more);
    pn_buf_fini(&file);
    X509_free(server);
}

static void a_file_that_costs_too_many_rounds_is_refused_at_once(void **state)
{
    struct kit *kit = *state;
    X509_ALGOR *costly = PKCS5_pbe2_set(EVP_aes_256_cbc(), 2000000000, NULL, 0);
    X509_SIG *sealed = X509_SIG_new();
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *bytes;
    struct pn_opened opened;
    struct pn_error err;
    struct pn_buf file;
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    long len;

    X509_SIG_getm(sealed, &algorithm, &bytes);
    assert_true(X509_ALGOR_copy(algorithm, costly));
    ASN1_OCTET_STRING_set(bytes, (const unsigned char *)"0123456789abcdef", 16);
    assert_true(PEM_write_bio_PKCS8(bio, sealed));
    assert_true(PEM_write_bio_X509(bio, kit->leaf));
    len = BIO_get_mem_data(bio, &text);
    pn_buf_init(&file, PN_IMPORT_BYTES_MAX);
    assert_int_equal(pn_buf_append(&file, text, (size_t)len), PN_OK);
    assert_int_equal(try(&file, "p", &opened, &err), PN_LIMIT);
    assert_string_equal(err.code, "too_many_iterations");
    pn_buf_fini(&file);
    BIO_free(bio);
    X509_SIG_free(sealed);
    X509_ALGOR_free(costly);
}

static void weak_and_unknown_keys_are_unsupported(void **state)
{
    struct kit *kit = *state;
    EVP_PKEY *keys[] = {EVP_RSA_gen(512), EVP_EC_gen("secp256k1"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "X25519")};

    for (size_t i = 0; i < 3; i++) {
        X509 *certificate = make_certificate("odd", keys[i], kit->ca, kit->ca_key);
        X509 *const one[] = {certificate, NULL};
        struct pn_buf file = make_pem(one, keys[i], PKCS8);
        struct pn_opened opened;
        struct pn_error err;

        assert_int_equal(try(&file, NULL, &opened, &err), PN_UNSUPPORTED);
        assert_string_equal(err.code, "unsupported_algorithm");
        pn_buf_fini(&file);
        X509_free(certificate);
        EVP_PKEY_free(keys[i]);
    }
}

static void a_pfx_cut_anywhere_is_refused(void **state)
{
    struct kit *kit = *state;
    struct pn_buf file = make_pfx(kit, "p", kit->key, kit->leaf, NID_aes_256_cbc);

    for (size_t len = 0; len < file.len; len += 7) {
        struct pn_opened opened;
        struct pn_error err = {0};

        assert_int_not_equal(pn_pfx_open(pn_slice(file.ptr, len), PN_LIT("p"), &opened, &err),
                             PN_OK);
    }
    pn_buf_fini(&file);
}

static void one_question_is_answered_over_the_channel(void **state)
{
    struct kit *kit = *state;
    struct pn_buf file = make_pfx(kit, "p", kit->key, kit->leaf, NID_aes_256_cbc);
    struct pn_channel near, far;
    struct pn_frame answer;
    struct pn_slice code;
    struct pn_buf question;
    uint32_t rc;
    size_t start;
    int pair[2];

    for (int is_right = 0; is_right < 2; is_right++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        pn_channel_init(&near, pair[0]);
        pn_channel_init(&far, pair[1]);
        pn_buf_init(&question, PN_FRAME_BYTES_MAX);
        assert_int_equal(pn_frame_begin(&question, PN_IMPORT_OPEN, 9, &start), PN_OK);
        assert_int_equal(pn_frame_u8(&question, 1), PN_OK);
        assert_int_equal(pn_frame_str(&question, is_right ? "p" : "q"), PN_OK);
        assert_int_equal(pn_frame_bytes(&question, pn_buf_slice(&file)), PN_OK);
        assert_int_equal(pn_frame_end(&question, start), PN_OK);
        assert_int_equal(pn_channel_send(&near, pn_buf_slice(&question), -1, 100), PN_OK);
        assert_int_equal(pn_pfx_serve_one(&far), PN_OK);
        assert_int_equal(pn_channel_receive(&near, &answer, NULL, 100), PN_OK);
        assert_int_equal(answer.type, is_right ? PN_IMPORT_OPENED : PN_IMPORT_FAILED);
        if (!is_right) {
            assert_int_equal(pn_frame_read_u32(&answer.fields, &rc), PN_OK);
            assert_int_equal(pn_frame_read_bytes(&answer.fields, &code), PN_OK);
            assert_true(pn_slice_eq_str(code, "wrong_password"));
        }
        pn_buf_fini(&question);
        pn_channel_fini(&near);
        pn_channel_fini(&far);
    }
    pn_buf_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_gives_key_and_chain_leaf_first),
        cmocka_unit_test(wrong_password_is_told_from_no_pfx_and_from_a_broken_one),
        cmocka_unit_test(empty_and_missing_password_open_the_same_files),
        cmocka_unit_test(pfx_without_key_or_with_another_ones_certificate_is_refused),
        cmocka_unit_test(a_file_above_the_limit_is_refused_unread),
        cmocka_unit_test(pem_opens_with_a_key_in_any_form),
        cmocka_unit_test(pem_with_something_missing_or_broken_says_what),
        cmocka_unit_test(a_chain_longer_than_the_limit_is_refused),
        cmocka_unit_test(a_repaired_order_and_strangers_are_said),
        cmocka_unit_test(of_several_keys_the_one_for_a_tls_client_is_taken),
        cmocka_unit_test(a_file_that_costs_too_many_rounds_is_refused_at_once),
        cmocka_unit_test(weak_and_unknown_keys_are_unsupported),
        cmocka_unit_test(a_pfx_cut_anywhere_is_refused),
        cmocka_unit_test(one_question_is_answered_over_the_channel),
    };

    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
