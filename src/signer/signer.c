/* SPDX-License-Identifier: Apache-2.0
 *
 * The library context with our provider in it, keys, and the thread's binding.
 */
#include "signer/signer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/metrics.h"
#include "signer/signer_internal.h"

struct pn_signer {
    OSSL_LIB_CTX *libctx;
    OSSL_LIB_CTX *bare_libctx; /* without any algorithm: what is read in it decodes no key */
    OSSL_PROVIDER *none;
    OSSL_PROVIDER *standard;
    OSSL_PROVIDER *own;
};

/* OpenSSL calls a signature with no argument of ours, so the binding is the thread's. */
static _Thread_local struct {
    pn_sign_fn sign;
    void *ctx;
    struct pn_error last_error;
} bound;

/* ---- provider(7) */

static const OSSL_ALGORITHM *provider_query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    if (operation == OSSL_OP_KEYMGMT)
        return pn_signer_keymgmt_algorithms;
    if (operation == OSSL_OP_SIGNATURE)
        return pn_signer_signature_algorithms;
    return NULL;
}

static void provider_teardown(void *provctx)
{
    (void)provctx;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provctx)
{
    typedef void (*dispatch_fn)(void);
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (dispatch_fn)provider_query},
        {OSSL_FUNC_PROVIDER_TEARDOWN, (dispatch_fn)provider_teardown},
        {0, NULL},
    };
    static char context; /* no state: OpenSSL wants a pointer that is not NULL */

    (void)handle;
    (void)in;
    *out = functions;
    *provctx = &context;
    return 1;
}

enum pn_rc pn_signer_create(struct pn_signer **out, struct pn_error *err)
{
    struct pn_signer *signer = calloc(1, sizeof(*signer));

    if (!signer)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for the signer.");
    signer->libctx = OSSL_LIB_CTX_new();
    /* The standard one first: it wins wherever nobody asks for our provider. */
    if (signer->libctx && OSSL_PROVIDER_add_builtin(signer->libctx, PN_SIGNER_STANDARD_NAME,
                                                    pn_signer_standard_init) == 1)
        signer->standard = OSSL_PROVIDER_load(signer->libctx, PN_SIGNER_STANDARD_NAME);
    if (signer->standard &&
        OSSL_PROVIDER_add_builtin(signer->libctx, PN_SIGNER_PROVIDER_NAME, provider_init) == 1)
        signer->own = OSSL_PROVIDER_load(signer->libctx, PN_SIGNER_PROVIDER_NAME);
    signer->bare_libctx = OSSL_LIB_CTX_new();
    if (signer->bare_libctx)
        signer->none = OSSL_PROVIDER_load(signer->bare_libctx, "null");
    if (!signer->own || !signer->none) {
        pn_signer_destroy(signer);
        return pn_error_from_openssl(err, PN_INTERNAL, "provider_failed",
                                     "OpenSSL does not take the signing provider");
    }
    *out = signer;
    return PN_OK;
}

void pn_signer_destroy(struct pn_signer *signer)
{
    if (!signer)
        return;
    if (signer->own)
        OSSL_PROVIDER_unload(signer->own);
    if (signer->standard)
        OSSL_PROVIDER_unload(signer->standard);
    if (signer->none)
        OSSL_PROVIDER_unload(signer->none);
    OSSL_LIB_CTX_free(signer->bare_libctx);
    OSSL_LIB_CTX_free(signer->libctx);
    free(signer);
}

OSSL_LIB_CTX *pn_signer_libctx(const struct pn_signer *signer)
{
    return signer->libctx;
}

OSSL_LIB_CTX *pn_signer_bare_libctx(const struct pn_signer *signer)
{
    return signer->bare_libctx;
}

/* ---- keys */

static enum pn_rc unsupported(struct pn_error *err)
{
    return pn_error_set(
        err, PN_UNSUPPORTED, "unsupported_key",
        "Keys are RSA, RSA-PSS, EC on P-256, P-384 or P-521, or Ed25519; this one is "
        "another kind.");
}

/* By its algorithm identifier (RFC 3279 section 2.3, RFC 8410). */
static bool is_supported_algorithm(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *kind, *curve;
    const void *parameter;
    int type;

    X509_ALGOR_get0(&kind, &type, &parameter, algorithm);
    switch (OBJ_obj2nid(kind)) {
    case NID_rsaEncryption:
    case NID_rsassaPss:
    case NID_ED25519:
        return true;
    case NID_X9_62_id_ecPublicKey:
        curve = type == V_ASN1_OBJECT ? parameter : NULL;
        return curve &&
               (OBJ_obj2nid(curve) == NID_X9_62_prime256v1 || OBJ_obj2nid(curve) == NID_secp384r1 ||
                OBJ_obj2nid(curve) == NID_secp521r1);
    default:
        return false;
    }
}

enum pn_rc pn_signer_key_check(const struct pn_signer *signer, const struct pn_key_id *key,
                               struct pn_slice spki, struct pn_error *err)
{
    const unsigned char *cursor = (const unsigned char *)spki.ptr;
    X509_PUBKEY *public_key;
    X509_ALGOR *algorithm = NULL;
    uint8_t sha256[PN_SHA256_BYTES];
    enum pn_rc rc = PN_OK;

    pn_sha256(spki, sha256);
    if (memcmp(sha256, key->sha256, sizeof(sha256)) != 0)
        return pn_error_set(err, PN_INVALID, "key_mismatch",
                            "The key id is not the SHA-256 of this public key.");
    public_key = X509_PUBKEY_new_ex(signer->bare_libctx, NULL);
    if (!public_key || spki.len > LONG_MAX ||
        !d2i_X509_PUBKEY(&public_key, &cursor, (long)spki.len) ||
        cursor != (const unsigned char *)spki.ptr + spki.len)
        rc = pn_error_from_openssl(err, PN_MALFORMED, "malformed_key", "Not a public key");
    else if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, public_key) != 1 ||
             !is_supported_algorithm(algorithm))
        rc = unsupported(err);
    X509_PUBKEY_free(public_key);
    return rc;
}

static const char *supported_kind(EVP_PKEY *public_key)
{
    static const char *const groups[] = {"prime256v1", "P-256",     "secp384r1",
                                         "P-384",      "secp521r1", "P-521"};
    char group[64];

    /* RSA-PSS before RSA: the names are distinct, the order is only for the reader */
    if (EVP_PKEY_is_a(public_key, "RSA-PSS"))
        return "RSA-PSS";
    if (EVP_PKEY_is_a(public_key, "RSA"))
        return "RSA";
    if (EVP_PKEY_is_a(public_key, "ED25519"))
        return "ED25519";
    if (!EVP_PKEY_is_a(public_key, "EC") ||
        EVP_PKEY_get_group_name(public_key, group, sizeof(group), NULL) != 1)
        return NULL;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i], group) == 0)
            return "EC";
    }
    return NULL;
}

/* The public parameters of `public_key` and our own: what keydata_import() reads. */
static EVP_PKEY *named_key(struct pn_signer *signer, const char *kind, EVP_PKEY *public_key,
                           enum pn_key_use use, const struct pn_key_id *key)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    OSSL_PARAM *public_params = NULL, *params = NULL;
    unsigned use_number = (unsigned)use;
    struct pn_key_id id = *key;
    OSSL_PARAM own[] = {
        OSSL_PARAM_construct_uint(PN_SIGNER_PARAM_USE, &use_number),
        OSSL_PARAM_construct_octet_string(PN_SIGNER_PARAM_KEY_ID, id.sha256, sizeof(id.sha256)),
        OSSL_PARAM_construct_end(),
    };

    if (EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &public_params) != 1)
        goto out;
    params = OSSL_PARAM_merge(public_params, own);
    ctx = EVP_PKEY_CTX_new_from_name(signer->libctx, kind, "provider=" PN_SIGNER_PROVIDER_NAME);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1)
        goto out;
    if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
        pkey = NULL;
out:
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_free(public_params);
    return pkey;
}

enum pn_rc pn_signer_key(struct pn_signer *signer, enum pn_key_use use, const struct pn_key_id *key,
                         struct pn_slice spki, EVP_PKEY **pkey, struct pn_error *err)
{
    const unsigned char *cursor = (const unsigned char *)spki.ptr;
    const char *kind;
    EVP_PKEY *public_key = NULL;
    enum pn_rc rc = pn_signer_key_check(signer, key, spki, err);

    if (rc != PN_OK)
        return rc;
    public_key = d2i_PUBKEY_ex(NULL, &cursor, (long)spki.len, signer->libctx, PN_SIGNER_PROPERTIES);
    if (!public_key || cursor != (const unsigned char *)spki.ptr + spki.len) {
        rc = pn_error_from_openssl(err, PN_MALFORMED, "malformed_key",
                                   "Not a DER SubjectPublicKeyInfo");
        goto out;
    }
    kind = supported_kind(public_key);
    if (!kind) {
        rc = unsupported(err);
        goto out;
    }
    *pkey = named_key(signer, kind, public_key, use, key);
    rc = PN_OK;
    if (!*pkey)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "provider_failed",
                                   "The signing provider does not take this key");
out:
    EVP_PKEY_free(public_key);
    return rc;
}

/* ---- the thread's binding */

static enum pn_rc sign_by_keyholder(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                                    enum pn_sign_algorithm algorithm, struct pn_slice message,
                                    struct pn_buf *signature, struct pn_error *err)
{
    return pn_keyholder_sign(ctx, use, key, algorithm, message, signature, err);
}

void pn_signer_bind_thread(struct pn_keyholder *keyholder)
{
    pn_signer_bind_thread_fn(keyholder ? sign_by_keyholder : NULL, keyholder);
}

void pn_signer_bind_thread_fn(pn_sign_fn sign, void *ctx)
{
    bound.sign = sign;
    bound.ctx = ctx;
}

const struct pn_error *pn_signer_last_error(void)
{
    return &bound.last_error;
}

void pn_signer_clear_error(void)
{
    bound.last_error.rc = PN_OK;
}

void pn_signer_set_error(const struct pn_error *error)
{
    bound.last_error = *error;
}

enum pn_rc pn_signer_fail(enum pn_rc rc, const char *code, const char *sentence)
{
    return pn_error_set(&bound.last_error, rc, code, "%s", sentence);
}

enum pn_rc pn_signer_sign(const struct pn_signer_keydata *key, enum pn_sign_algorithm algorithm,
                          struct pn_slice message, struct pn_buf *signature)
{
    enum pn_rc rc;
    struct pn_error error = {.rc = PN_OK};

    pn_metric_add(PN_METRIC_SIGNATURES, 1);
    if (!bound.sign) {
        pn_metric_add(PN_METRIC_SIGNATURES_FAILED, 1);
        return pn_signer_fail(PN_UNAVAILABLE, "signer_unbound",
                              "This thread has no connection to the keyholder.");
    }
    rc = bound.sign(bound.ctx, key->use, &key->key, algorithm, message, signature, &error);
    if (rc == PN_OK)
        return PN_OK;
    pn_metric_add(PN_METRIC_SIGNATURES_FAILED, 1);
    if (error.rc == PN_OK)
        (void)pn_error_set(&error, rc, pn_rc_name(rc), "The keyholder did not sign: %s.",
                           pn_rc_name(rc));
    error.rc = rc;
    bound.last_error = error;
    return rc;
}
