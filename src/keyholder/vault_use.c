/* SPDX-License-Identifier: Apache-2.0
 *
 * What a vault's key does: sign a digest, decrypt, ask for a certificate.
 */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "ipc/protocol.h"
#include "keyholder/issue.h"
#include "keyholder/vault_key.h"

#define OUTPUT_MAX 1024u

struct signing {
    const char *name;
    int key_type;
    const char *digest;
    size_t digest_len;
    int padding;       /* RSA */
    const char *group; /* EC: a curve signs with its own digest (RFC 7518 §3.4, RFC 8812 §3) */
    size_t coordinate_len; /* of r and of s */
};

static const struct signing *signing_of(const char *name)
{
    static const struct signing all[] = {
        {"RS256", EVP_PKEY_RSA, "SHA256", 32, RSA_PKCS1_PADDING, NULL, 0},
        {"RS384", EVP_PKEY_RSA, "SHA384", 48, RSA_PKCS1_PADDING, NULL, 0},
        {"RS512", EVP_PKEY_RSA, "SHA512", 64, RSA_PKCS1_PADDING, NULL, 0},
        {"PS256", EVP_PKEY_RSA, "SHA256", 32, RSA_PKCS1_PSS_PADDING, NULL, 0},
        {"PS384", EVP_PKEY_RSA, "SHA384", 48, RSA_PKCS1_PSS_PADDING, NULL, 0},
        {"PS512", EVP_PKEY_RSA, "SHA512", 64, RSA_PKCS1_PSS_PADDING, NULL, 0},
        {"ES256", EVP_PKEY_EC, "SHA256", 32, 0, "prime256v1", 32},
        {"ES384", EVP_PKEY_EC, "SHA384", 48, 0, "secp384r1", 48},
        {"ES512", EVP_PKEY_EC, "SHA512", 64, 0, "secp521r1", 66},
        {"ES256K", EVP_PKEY_EC, "SHA256", 32, 0, "secp256k1", 32},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    return NULL;
}

static bool key_fits(const EVP_PKEY *key, const struct signing *signing)
{
    char group[32] = "";

    if (EVP_PKEY_get_base_id(key) != signing->key_type)
        return false;
    if (!signing->group)
        return true;
    return EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           strcmp(group, signing->group) == 0;
}

static enum pn_rc misfit(struct pn_error *err, const char *algorithm)
{
    ERR_clear_error();
    return pn_error_set(err, PN_INVALID, "algorithm",
                        "the algorithm '%.32s' is not one of this key's", algorithm);
}

static enum pn_rc put_r_s(const unsigned char *der, size_t len, size_t coordinate_len,
                          struct pn_buf *out)
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    unsigned char raw[2 * 66];
    enum pn_rc rc = PN_INTERNAL;

    if (signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, (int)coordinate_len) > 0 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + coordinate_len, (int)coordinate_len) > 0)
        rc = pn_buf_append(out, raw, 2 * coordinate_len);
    ECDSA_SIG_free(signature);
    return rc;
}

static enum pn_rc sign(EVP_PKEY *key, const struct signing *signing, struct pn_slice digest,
                       struct pn_buf *out, struct pn_error *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, signing->digest, NULL);
    unsigned char bytes[OUTPUT_MAX];
    size_t len = sizeof(bytes);
    bool is_fine = ctx && md && EVP_PKEY_sign_init(ctx) == 1;
    enum pn_rc rc;

    if (is_fine && signing->padding)
        is_fine = EVP_PKEY_CTX_set_rsa_padding(ctx, signing->padding) == 1;
    if (is_fine)
        is_fine = EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;
    if (is_fine && signing->padding == RSA_PKCS1_PSS_PADDING)
        is_fine = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    if (is_fine)
        is_fine =
            EVP_PKEY_sign(ctx, bytes, &len, (const unsigned char *)digest.ptr, digest.len) == 1;
    if (!is_fine)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "signing", "the key cannot sign this way");
    else if (signing->key_type == EVP_PKEY_EC)
        rc = put_r_s(bytes, len, signing->coordinate_len, out);
    else
        rc = pn_buf_append(out, bytes, len);
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

static enum pn_rc decrypt(EVP_PKEY *key, const char *algorithm, struct pn_slice value,
                          struct pn_buf *out, struct pn_error *err)
{
    static const struct {
        const char *name, *digest;
        int padding;
    } all[] = {{"RSA1_5", NULL, RSA_PKCS1_PADDING},
               {"RSA-OAEP", "SHA1", RSA_PKCS1_OAEP_PADDING},
               {"RSA-OAEP-256", "SHA256", RSA_PKCS1_OAEP_PADDING}};
    EVP_PKEY_CTX *ctx;
    unsigned char bytes[OUTPUT_MAX];
    size_t len = sizeof(bytes), chosen = 0;
    bool is_fine;
    enum pn_rc rc;

    while (chosen < 3 && strcmp(all[chosen].name, algorithm) != 0)
        chosen++;
    if (chosen == 3 || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return misfit(err, algorithm);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    is_fine = ctx && EVP_PKEY_decrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, all[chosen].padding) == 1;
    if (is_fine && all[chosen].digest)
        is_fine = EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, all[chosen].digest, NULL) == 1;
    if (is_fine)
        is_fine =
            value.len == (size_t)EVP_PKEY_get_size(key) &&
            EVP_PKEY_decrypt(ctx, bytes, &len, (const unsigned char *)value.ptr, value.len) == 1;
    rc = is_fine ? pn_buf_append(out, bytes, len)
                 : pn_error_set(err, PN_INVALID, "decrypt",
                                "the value was not encrypted for this key and algorithm");
    pn_wipe(bytes, sizeof(bytes));
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

enum pn_rc pn_vault_key_use(EVP_PKEY *key, enum pn_vault_key_operation operation,
                            const char *algorithm, struct pn_slice value, struct pn_buf *out,
                            struct pn_error *err)
{
    const struct signing *signing = signing_of(algorithm);

    switch (operation) {
    case PN_VAULT_KEY_DECRYPT:
        return decrypt(key, algorithm, value, out, err);
    case PN_VAULT_KEY_SIGN:
        if (!signing || !key_fits(key, signing))
            return misfit(err, algorithm);
        if (value.len != signing->digest_len)
            return pn_error_set(err, PN_INVALID, "digest", "a digest for %s has %zu bytes, not %zu",
                                signing->name, signing->digest_len, value.len);
        return sign(key, signing, value, out, err);
    }
    return pn_error_set(err, PN_INVALID, "operation", "no such operation");
}

/* The extensions that a certificate of `spec` would have, but those that are its issuer's. */
static STACK_OF(X509_EXTENSION) * wanted_extensions(const X509 *certificate)
{
    const STACK_OF(X509_EXTENSION) *all = X509_get0_extensions(certificate);
    STACK_OF(X509_EXTENSION) *wanted = sk_X509_EXTENSION_new_null();

    for (int i = 0; wanted && i < sk_X509_EXTENSION_num(all); i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(all, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

        if (nid != NID_subject_key_identifier && nid != NID_authority_key_identifier)
            sk_X509_EXTENSION_push(wanted, extension);
    }
    return wanted;
}

enum pn_rc pn_vault_key_request(const struct pn_issue_spec *spec, EVP_PKEY *key, struct pn_buf *out,
                                struct pn_error *err)
{
    struct pn_bundle sample = {0};
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    X509_REQ *request = NULL;
    unsigned char *der = NULL;
    int len = 0;
    /* The certificate as it would be if the key signed for itself: checks and parts are its. */
    enum pn_rc rc = pn_issue_for(spec, NULL, key, &sample, err);

    if (rc != PN_OK)
        return rc;
    request = X509_to_X509_REQ(sk_X509_value(sample.chain, 0), NULL, NULL);
    extensions = wanted_extensions(sk_X509_value(sample.chain, 0));
    if (request && extensions && X509_REQ_add_extensions(request, extensions) == 1 &&
        X509_REQ_sign(request, key, EVP_sha256()) > 0)
        len = i2d_X509_REQ(request, &der);
    rc = len > 0 ? pn_buf_append(out, der, (size_t)len)
                 : pn_error_from_openssl(err, PN_INTERNAL, "request", "cannot make the request");
    OPENSSL_free(der);
    sk_X509_EXTENSION_free(extensions);
    X509_REQ_free(request);
    pn_bundle_fini(&sample);
    return rc;
}
