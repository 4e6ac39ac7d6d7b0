/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's signatures: provider-signature(7), the one-shot form only, because the keyholder
 * wants to see the whole message. TLS 1.2 and 1.3 sign in one shot.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "signer/signer_internal.h"

enum digest { DIGEST_NONE, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };

struct signature_ctx {
    const struct pn_signer_keydata *key; /* OpenSSL holds the EVP_PKEY meanwhile */
    enum digest digest;
    bool is_pss;
};

static void *signature_new(void *provctx, const char *propq)
{
    (void)provctx;
    (void)propq;
    return calloc(1, sizeof(struct signature_ctx));
}

static void signature_free(void *ctx)
{
    free(ctx);
}

static void *signature_dup(void *ctx)
{
    struct signature_ctx *copy = malloc(sizeof(*copy));

    if (copy)
        memcpy(copy, ctx, sizeof(*copy));
    return copy;
}

static bool digest_from_name(const char *name, enum digest *digest)
{
    static const struct {
        const char *name;
        enum digest digest;
    } names[] = {
        {"SHA256", DIGEST_SHA256}, {"SHA2-256", DIGEST_SHA256}, {"SHA-256", DIGEST_SHA256},
        {"SHA384", DIGEST_SHA384}, {"SHA2-384", DIGEST_SHA384}, {"SHA-384", DIGEST_SHA384},
        {"SHA512", DIGEST_SHA512}, {"SHA2-512", DIGEST_SHA512}, {"SHA-512", DIGEST_SHA512},
        {"SHA1", DIGEST_SHA1},     {"SHA-1", DIGEST_SHA1},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(names[i].name, name) == 0) {
            *digest = names[i].digest;
            return true;
        }
    }
    return false;
}

static int digest_bytes(enum digest digest)
{
    switch (digest) {
    case DIGEST_NONE:
        return 0;
    case DIGEST_SHA1:
        return 20;
    case DIGEST_SHA256:
        return 32;
    case DIGEST_SHA384:
        return 48;
    case DIGEST_SHA512:
        return 64;
    }
    return 0;
}

static int refuse(const char *sentence)
{
    (void)pn_signer_fail(PN_UNSUPPORTED, "signature_unsupported", sentence);
    ERR_raise_data(ERR_LIB_USER, 1, "%s", sentence);
    return 0;
}

static int set_padding(struct signature_ctx *ctx, const OSSL_PARAM *param)
{
    int mode = 0;
    const char *name = NULL;

    if (ctx->key->kind != PN_SIGNER_RSA && ctx->key->kind != PN_SIGNER_RSA_PSS)
        return refuse("Padding is for RSA keys.");
    if (param->data_type == OSSL_PARAM_UTF8_STRING) {
        if (!OSSL_PARAM_get_utf8_string_ptr(param, &name))
            return 0;
        mode = strcasecmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0       ? RSA_PKCS1_PSS_PADDING
               : strcasecmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING
                                                                       : 0;
    } else if (!OSSL_PARAM_get_int(param, &mode)) {
        return 0;
    }
    if (mode == RSA_PKCS1_PSS_PADDING)
        ctx->is_pss = true;
    else if (mode == RSA_PKCS1_PADDING && ctx->key->kind == PN_SIGNER_RSA)
        ctx->is_pss = false;
    else
        return refuse(
            "Only the paddings PKCS#1 v1.5 and PSS are signed (and PSS with RSA-PSS keys).");
    return 1;
}

/* TLS knows one salt length, that of the hash: RFC 8446 §4.2.3. */
static int set_salt_length(struct signature_ctx *ctx, const OSSL_PARAM *param)
{
    int length = 0;
    const char *text = NULL;

    if (param->data_type == OSSL_PARAM_UTF8_STRING) {
        if (!OSSL_PARAM_get_utf8_string_ptr(param, &text))
            return 0;
        if (strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0)
            return 1;
        length = (int)strtol(text, NULL, 10);
    } else if (!OSSL_PARAM_get_int(param, &length)) {
        return 0;
    }
    if (length != RSA_PSS_SALTLEN_DIGEST && length != digest_bytes(ctx->digest))
        return refuse("The PSS salt is as long as the hash.");
    return 1;
}

static int set_mgf1_digest(struct signature_ctx *ctx, const OSSL_PARAM *param)
{
    const char *name = NULL;
    enum digest digest;

    if (!OSSL_PARAM_get_utf8_string_ptr(param, &name))
        return 0;
    if (!digest_from_name(name, &digest) || digest != ctx->digest)
        return refuse("The hash of MGF1 is that of the signature.");
    return 1;
}

static int signature_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;
    const OSSL_PARAM *param;

    if (!params)
        return 1;
    if (!ctx->key)
        return 0;
    param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (param && !set_padding(ctx, param))
        return 0;
    param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (param && !set_salt_length(ctx, param))
        return 0;
    param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    if (param && !set_mgf1_digest(ctx, param))
        return 0;
    return 1;
}

static const OSSL_PARAM *signature_settable(void *ctx, void *provctx)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)ctx;
    (void)provctx;
    return settable;
}

static int signature_init(void *vctx, const char *digest_name, void *keydata,
                          const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;
    const struct pn_signer_keydata *key = keydata;

    if (key)
        ctx->key = key;
    if (!ctx->key || !ctx->key->can_sign)
        return refuse("This key is a public key only.");
    ctx->is_pss = ctx->key->kind == PN_SIGNER_RSA_PSS;
    ctx->digest = DIGEST_NONE;
    if (ctx->key->kind == PN_SIGNER_ED25519) {
        if (digest_name && *digest_name)
            return refuse("Ed25519 signs the message itself, without a hash.");
    } else if (!digest_name || !*digest_name) {
        ctx->digest = DIGEST_SHA256;
    } else if (!digest_from_name(digest_name, &ctx->digest)) {
        return refuse("Only SHA-1, SHA-256, SHA-384 and SHA-512 are signed.");
    }
    return signature_set_params(ctx, params);
}

static bool algorithm_of(const struct signature_ctx *ctx, enum pn_sign_algorithm *algorithm)
{
    static const enum pn_sign_algorithm pkcs1[] = {
        [DIGEST_SHA1] = PN_SIGN_RSA_PKCS1_SHA1,
        [DIGEST_SHA256] = PN_SIGN_RSA_PKCS1_SHA256,
        [DIGEST_SHA384] = PN_SIGN_RSA_PKCS1_SHA384,
        [DIGEST_SHA512] = PN_SIGN_RSA_PKCS1_SHA512,
    };
    static const enum pn_sign_algorithm pss[] = {
        [DIGEST_SHA256] = PN_SIGN_RSA_PSS_SHA256,
        [DIGEST_SHA384] = PN_SIGN_RSA_PSS_SHA384,
        [DIGEST_SHA512] = PN_SIGN_RSA_PSS_SHA512,
    };
    static const enum pn_sign_algorithm ecdsa[] = {
        [DIGEST_SHA1] = PN_SIGN_ECDSA_SHA1,
        [DIGEST_SHA256] = PN_SIGN_ECDSA_SHA256,
        [DIGEST_SHA384] = PN_SIGN_ECDSA_SHA384,
        [DIGEST_SHA512] = PN_SIGN_ECDSA_SHA512,
    };

    switch (ctx->key->kind) {
    case PN_SIGNER_RSA:
    case PN_SIGNER_RSA_PSS:
        *algorithm = ctx->is_pss ? pss[ctx->digest] : pkcs1[ctx->digest];
        break;
    case PN_SIGNER_EC:
        *algorithm = ecdsa[ctx->digest];
        break;
    case PN_SIGNER_ED25519:
        *algorithm = PN_SIGN_ED25519;
        break;
    }
    return *algorithm != 0;
}

static int signature_sign(void *vctx, unsigned char *signature, size_t *signature_len, size_t cap,
                          const unsigned char *message, size_t message_len)
{
    struct signature_ctx *ctx = vctx;
    enum pn_sign_algorithm algorithm = 0;
    struct pn_buf buf;
    int size = EVP_PKEY_get_size(ctx->key->public_half);
    int done = 0;

    if (size <= 0)
        return 0;
    if (!signature) {
        *signature_len = (size_t)size;
        return 1;
    }
    if (!algorithm_of(ctx, &algorithm))
        return refuse("PSS is signed with SHA-256, SHA-384 and SHA-512.");
    if (message_len > PN_SIGNER_MESSAGE_MAX)
        return refuse("The message is longer than PN_SIGNER_MESSAGE_MAX.");
    pn_buf_init(&buf, PN_SIGNATURE_BYTES_MAX);
    if (pn_signer_sign(ctx->key, algorithm, pn_slice(message, message_len), &buf) != PN_OK) {
        ERR_raise_data(ERR_LIB_USER, 1, "%s", pn_signer_last_error()->code);
    } else if (!buf.len || buf.len > (size_t)size || buf.len > cap) {
        refuse("The keyholder's signature has the wrong length.");
    } else {
        memcpy(signature, buf.ptr, buf.len);
        *signature_len = buf.len;
        done = 1;
    }
    pn_buf_fini(&buf);
    return done;
}

typedef void (*dispatch_fn)(void);

static const OSSL_DISPATCH signature_functions[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (dispatch_fn)signature_new},
    {OSSL_FUNC_SIGNATURE_FREECTX, (dispatch_fn)signature_free},
    {OSSL_FUNC_SIGNATURE_DUPCTX, (dispatch_fn)signature_dup},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (dispatch_fn)signature_init},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (dispatch_fn)signature_sign},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (dispatch_fn)signature_set_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (dispatch_fn)signature_settable},
    {0, NULL},
};

#define OWN_PROPERTY "provider=" PN_SIGNER_PROVIDER_NAME

const OSSL_ALGORITHM pn_signer_signature_algorithms[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OWN_PROPERTY, signature_functions,
     "signed by the keyholder"},
    {"ECDSA", OWN_PROPERTY, signature_functions, "signed by the keyholder"},
    {"ED25519:1.3.101.112", OWN_PROPERTY, signature_functions, "signed by the keyholder"},
    {NULL, NULL, NULL, NULL},
};
