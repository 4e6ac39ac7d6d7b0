/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake keyholder. Test code: it asserts instead of failing politely.
 */
#include "support/fake_keyholder.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "ipc/keyholder_vault.h"

#define KEYS_MAX 64

static struct fake_key {
    enum pn_key_use use; /* 0: sealed only */
    struct pn_key_id id;
    EVP_PKEY *key;
    X509 *certificate;
} keys[KEYS_MAX];
static size_t key_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of keys that are there */
bool fake_keyholder_is_away, fake_keyholder_has_restarted;

void fake_keyholder_reset(void)
{
    for (size_t i = 0; i < key_count; i++) {
        EVP_PKEY_free(keys[i].key);
        X509_free(keys[i].certificate);
    }
    memset(keys, 0, sizeof keys);
    key_count = 0;
    fake_keyholder_is_away = fake_keyholder_has_restarted = false;
}

size_t fake_keyholder_count(enum pn_key_use use)
{
    size_t count = 0;

    for (size_t i = 0; i < key_count; i++)
        count += keys[i].use == use && keys[i].key != NULL;
    return count;
}

static enum pn_rc away(struct pn_error *err)
{
    return pn_error_set(err, PN_UNAVAILABLE, "keyholder_unavailable", "the keyholder is away");
}

static void key_id(X509 *certificate, struct pn_key_id *id)
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    assert(len > 0);
    pn_sha256(pn_slice(der, (size_t)len), id->sha256);
    OPENSSL_free(der);
}

/* Takes key and certificate. */
static struct fake_key *keep(enum pn_key_use use, EVP_PKEY *key, X509 *certificate)
{
    struct fake_key *slot = &keys[key_count++];

    assert(key_count <= KEYS_MAX);
    slot->use = use;
    slot->key = key;
    slot->certificate = certificate;
    key_id(certificate, &slot->id);
    return slot;
}

static struct fake_key *find(enum pn_key_use use, const struct pn_key_id *id)
{
    for (size_t i = 0; i < key_count; i++) {
        if (keys[i].key && keys[i].use == use && memcmp(&keys[i].id, id, sizeof *id) == 0)
            return &keys[i];
    }
    return NULL;
}

static X509 *self_signed(EVP_PKEY *key, const char *subject, int64_t not_before, int64_t not_after)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    const char *text = strncmp(subject, "CN=", 3) == 0 ? subject + 3 : subject;

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)key_count + 1);
    ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before);
    ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    assert(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void take_der(X509 *certificate, struct pn_imported *out)
{
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    enum pn_rc rc;

    assert(len > 0);
    pn_buf_init(&out->chain[0], 65536);
    rc = pn_buf_append(&out->chain[0], der, (size_t)len);
    assert(rc == PN_OK);
    out->chain_count = 1;
    OPENSSL_free(der);
}

static void take_bio(BIO *bio, struct pn_buf *out)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    enum pn_rc rc = pn_buf_append(out, bytes, (size_t)len);

    assert(rc == PN_OK);
    BIO_free(bio);
}

static void write_file(EVP_PKEY *key, X509 *certificate, bool as_pem, const char *password,
                       struct pn_buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PKCS12 *p12;

    if (as_pem) {
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        PEM_write_bio_X509(bio, certificate);
    } else {
        p12 =
            PKCS12_create(password ? password : "", "test", key, certificate, NULL, 0, 0, 1, 1, 0);
        i2d_PKCS12_bio(bio, p12);
        PKCS12_free(p12);
    }
    take_bio(bio, out);
}

void fake_make_file(const char *subject, bool as_pem, const char *password, struct pn_buf *out)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *certificate = self_signed(key, subject, time(NULL) - 60, time(NULL) + 86400 * 30);

    write_file(key, certificate, as_pem, password, out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static enum pn_rc open_file(struct pn_slice file, struct pn_slice password, EVP_PKEY **key,
                            X509 **certificate, struct pn_imported *out, struct pn_error *err)
{
    BIO *bio = BIO_new_mem_buf(file.ptr, (int)file.len);
    bool is_pem = pn_slice_find_slice(file, PN_LIT("-----BEGIN ")) < file.len;
    char text[256] = "";
    enum pn_rc rc = PN_OK;
    PKCS12 *p12;

    out->format = is_pem ? PN_FILE_PEM : PN_FILE_PKCS12;
    if (is_pem) {
        *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
        bio = BIO_new_mem_buf(file.ptr, (int)file.len);
        *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!*key || !*certificate)
            rc = pn_error_set(err, PN_INVALID, *key ? "no_certificate" : "no_key", "not complete");
    } else {
        memcpy(text, password.ptr ? password.ptr : "", password.len);
        p12 = d2i_PKCS12_bio(bio, NULL);
        if (!p12)
            rc = pn_error_set(err, PN_MALFORMED, "not_pfx", "not a PKCS#12 file");
        else if (PKCS12_parse(p12, text, key, certificate, NULL) != 1)
            rc = pn_error_set(err, PN_INVALID, "wrong_password", "the password is wrong");
        PKCS12_free(p12);
    }
    ERR_clear_error();
    BIO_free(bio);
    return rc;
}

static void seal_index(struct pn_slice context, const struct fake_key *slot,
                       struct pn_imported *out)
{
    enum pn_rc rc;

    pn_buf_init(&out->sealed, 4096);
    rc = pn_buf_printf(&out->sealed, "FAKE %zu %.*s", (size_t)(slot - keys), PN_FMT(context));
    assert(rc == PN_OK);
}

static enum pn_rc import(enum pn_key_use use, struct pn_slice file, struct pn_slice password,
                         const struct pn_slice *context, struct pn_imported *out,
                         struct pn_error *err)
{
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    struct fake_key *slot;
    enum pn_rc rc;

    memset(out, 0, sizeof *out);
    if (fake_keyholder_is_away)
        return away(err);
    rc = open_file(file, password, &key, &certificate, out, err);
    if (rc != PN_OK) {
        EVP_PKEY_free(key);
        X509_free(certificate);
        return rc;
    }
    slot = keep(use, key, certificate);
    out->key = slot->id;
    take_der(certificate, out);
    if (context)
        seal_index(*context, slot, out);
    return PN_OK;
}

enum pn_rc pn_keyholder_import(struct pn_keyholder *kh, enum pn_key_use use, struct pn_slice file,
                               struct pn_slice password, struct pn_imported *out,
                               struct pn_error *err)
{
    (void)kh;
    return import(use, file, password, NULL, out, err);
}

enum pn_rc pn_keyholder_import_soon(struct pn_keyholder *kh, enum pn_key_use use,
                                    struct pn_slice file, struct pn_slice password,
                                    struct pn_imported *out, struct pn_error *err)
{
    return pn_keyholder_import(kh, use, file, password, out, err);
}

enum pn_rc pn_keyholder_settle(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err)
{
    bool is_there;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    pthread_mutex_lock(&lock);
    is_there = find(use, key) != NULL && !fake_keyholder_has_restarted;
    pthread_mutex_unlock(&lock);
    return is_there ? PN_OK : pn_error_set(err, PN_NOT_FOUND, "no_such_key", "no such key");
}

enum pn_rc pn_keyholder_import_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice file, struct pn_slice password,
                                      bool is_private, struct pn_imported *out,
                                      struct pn_error *err)
{
    (void)kh;
    (void)is_private;
    return import((enum pn_key_use)0, file, password, &context, out, err);
}

enum pn_rc pn_keyholder_export_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice sealed, int format, struct pn_buf *out,
                                      struct pn_error *err)
{
    char text[600];
    size_t index = 0;
    int at = 0;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    snprintf(text, sizeof text, "%.*s", PN_FMT(sealed));
    if (sscanf(text, "FAKE %zu %n", &index, &at) != 1 || index >= key_count ||
        !pn_slice_eq_str(context, text + at))
        return pn_error_set(err, PN_DENIED, "sealed", "sealed to another context");
    write_file(keys[index].key, keys[index].certificate, format == PN_FILE_PEM, NULL, out);
    return PN_OK;
}

static enum pn_rc issue(enum pn_key_use use, const struct pn_slice *context,
                        const struct pn_issue_spec *spec, struct pn_imported *out,
                        struct pn_error *err)
{
    bool is_ec = strcmp(spec->key_type, "EC") == 0;
    EVP_PKEY *key;
    struct fake_key *slot;

    memset(out, 0, sizeof *out);
    if (fake_keyholder_is_away)
        return away(err);
    key = is_ec ? EVP_EC_gen(spec->key_bits == 256   ? "P-256"
                             : spec->key_bits == 384 ? "P-384"
                                                     : "P-521")
                : EVP_RSA_gen(2048);
    slot = keep(use, key, self_signed(key, spec->subject, spec->not_before, spec->not_after));
    out->key = slot->id;
    out->format = PN_FILE_PEM;
    take_der(slot->certificate, out);
    if (context)
        seal_index(*context, slot, out);
    return PN_OK;
}

enum pn_rc pn_keyholder_issue(struct pn_keyholder *kh, enum pn_key_use use,
                              const struct pn_issue_spec *spec, struct pn_imported *out,
                              struct pn_error *err)
{
    (void)kh;
    return issue(use, NULL, spec, out, err);
}

enum pn_rc pn_keyholder_issue_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                     const struct pn_issue_spec *spec,
                                     const struct pn_vault_key *reuse, struct pn_imported *out,
                                     struct pn_error *err)
{
    (void)kh;
    (void)reuse;
    return issue((enum pn_key_use)0, &context, spec, out, err);
}

enum pn_rc pn_keyholder_public(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_buf *spki,
                               struct pn_error *err)
{
    const struct fake_key *slot;
    unsigned char *der = NULL;
    enum pn_rc rc;
    int len = 0;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    pthread_mutex_lock(&lock);
    slot = find(use, key);
    if (slot)
        len = i2d_PUBKEY(slot->key, &der);
    pthread_mutex_unlock(&lock);
    if (len <= 0)
        return pn_error_set(err, PN_NOT_FOUND, "no_such_key", "no such key");
    rc = pn_buf_append(spki, der, (size_t)len);
    OPENSSL_free(der);
    return rc;
}

enum pn_rc pn_keyholder_sign(struct pn_keyholder *kh, enum pn_key_use use,
                             const struct pn_key_id *key, enum pn_sign_algorithm algorithm,
                             struct pn_slice message, struct pn_buf *signature,
                             struct pn_error *err)
{
    struct fake_key *slot = find(use, key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char bytes[1024];
    size_t len = sizeof bytes;
    enum pn_rc rc;

    (void)kh;
    assert(algorithm == PN_SIGN_RSA_PKCS1_SHA256);
    if (fake_keyholder_is_away || !slot) {
        EVP_MD_CTX_free(ctx);
        return slot ? away(err) : PN_NOT_FOUND;
    }
    assert(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, slot->key) == 1);
    assert(EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)message.ptr, message.len) == 1);
    rc = pn_buf_append(signature, bytes, len);
    EVP_MD_CTX_free(ctx);
    return rc;
}

static void flip(struct pn_buf *buf, size_t from)
{
    for (size_t i = from; i < buf->len; i++)
        buf->ptr[i] = (char)(buf->ptr[i] ^ 0x5a);
}

enum pn_rc pn_keyholder_seal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                             struct pn_slice plain, struct pn_buf *sealed, struct pn_error *err)
{
    enum pn_rc rc;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    rc = pn_buf_printf(sealed, "%s|%.*s|", domain, PN_FMT(context));
    if (rc == PN_OK)
        rc = pn_buf_append_slice(sealed, plain);
    flip(sealed, 0);
    return rc;
}

enum pn_rc pn_keyholder_unseal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                               struct pn_slice sealed, struct pn_buf *plain, struct pn_error *err)
{
    char head[600];
    size_t head_len;
    enum pn_rc rc;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    rc = pn_buf_append_slice(plain, sealed);
    flip(plain, 0);
    head_len = (size_t)snprintf(head, sizeof head, "%s|%.*s|", domain, PN_FMT(context));
    if (rc != PN_OK || plain->len < head_len || memcmp(plain->ptr, head, head_len) != 0)
        return pn_error_set(err, PN_DENIED, "sealed", "sealed to another context");
    pn_buf_consume(plain, head_len);
    return PN_OK;
}

enum pn_rc pn_keyholder_forget(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err)
{
    struct fake_key *slot;

    (void)kh;
    if (fake_keyholder_is_away)
        return away(err);
    pthread_mutex_lock(&lock);
    slot = find(use, key);
    if (slot) {
        EVP_PKEY_free(slot->key);
        X509_free(slot->certificate);
        slot->key = NULL;
        slot->certificate = NULL;
    }
    pthread_mutex_unlock(&lock);
    return PN_OK;
}

void pn_imported_fini(struct pn_imported *imported)
{
    for (size_t i = 0; i < imported->chain_count; i++)
        pn_buf_fini(&imported->chain[i]);
    pn_buf_fini(&imported->sealed);
    memset(imported, 0, sizeof *imported);
}

/* The vault's keys are tried with the real keyholder; here they end the test. */

enum pn_rc pn_keyholder_vault_generate(struct pn_keyholder *kh, struct pn_slice context,
                                       const char *type, unsigned bits, const char *curve,
                                       struct pn_buf *spki, struct pn_buf *sealed,
                                       struct pn_error *err)
{
    (void)kh, (void)context, (void)type, (void)bits, (void)curve, (void)spki, (void)sealed;
    return away(err);
}

enum pn_rc pn_keyholder_vault_take(struct pn_keyholder *kh, struct pn_slice context,
                                   const struct pn_vault_key_parts *parts, struct pn_buf *spki,
                                   struct pn_buf *sealed, struct pn_error *err)
{
    (void)kh, (void)context, (void)parts, (void)spki, (void)sealed;
    return away(err);
}

enum pn_rc pn_keyholder_vault_use(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                  enum pn_vault_key_operation operation, const char *algorithm,
                                  struct pn_slice value, struct pn_buf *out, struct pn_error *err)
{
    (void)kh, (void)key, (void)operation, (void)algorithm, (void)value, (void)out;
    return away(err);
}

enum pn_rc pn_keyholder_vault_move(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                   struct pn_slice context, struct pn_buf *sealed,
                                   struct pn_error *err)
{
    (void)kh, (void)key, (void)context, (void)sealed;
    return away(err);
}

enum pn_rc pn_keyholder_vault_request(struct pn_keyholder *kh, struct pn_slice context,
                                      const struct pn_issue_spec *spec,
                                      const struct pn_vault_key *reuse, struct pn_buf *request,
                                      struct pn_buf *sealed, struct pn_error *err)
{
    (void)kh, (void)context, (void)spec, (void)reuse, (void)request, (void)sealed;
    return away(err);
}

enum pn_rc pn_keyholder_vault_merge(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                    struct pn_slice context, int format, bool is_private,
                                    const struct pn_slice *chain, size_t count,
                                    struct pn_imported *out, struct pn_error *err)
{
    (void)kh, (void)key, (void)context, (void)format, (void)is_private, (void)chain, (void)count;
    (void)out;
    return away(err);
}
