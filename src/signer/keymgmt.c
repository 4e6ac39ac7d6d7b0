/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's key management: provider-keymgmt(7). A key is a public half and a name; it "has" a
 * private key in the sense that it can sign, and never gives one out.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "signer/signer_internal.h"

static struct pn_signer_keydata *keydata_new(enum pn_signer_kind kind)
{
    struct pn_signer_keydata *key = calloc(1, sizeof(*key));

    if (key)
        key->kind = kind;
    return key;
}

static void *rsa_new(void *provctx)
{
    (void)provctx;
    return keydata_new(PN_SIGNER_RSA);
}

static void *rsa_pss_new(void *provctx)
{
    (void)provctx;
    return keydata_new(PN_SIGNER_RSA_PSS);
}

static void *ec_new(void *provctx)
{
    (void)provctx;
    return keydata_new(PN_SIGNER_EC);
}

static void *ed25519_new(void *provctx)
{
    (void)provctx;
    return keydata_new(PN_SIGNER_ED25519);
}

static void keydata_free(void *keydata)
{
    struct pn_signer_keydata *key = keydata;

    if (!key)
        return;
    EVP_PKEY_free(key->public_half);
    free(key);
}

static int keydata_has(const void *keydata, int selection)
{
    const struct pn_signer_keydata *key = keydata;

    if (!key || !key->public_half)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !key->can_sign)
        return 0;
    return 1;
}

static int keydata_match(const void *keydata1, const void *keydata2, int selection)
{
    const struct pn_signer_keydata *key1 = keydata1, *key2 = keydata2;

    (void)selection; /* the public halves tell all: equal ones have equal private halves */
    if (!key1->public_half || !key2->public_half || key1->kind != key2->kind)
        return 0;
    return EVP_PKEY_eq(key1->public_half, key2->public_half) == 1;
}

static const char *kind_name(enum pn_signer_kind kind)
{
    switch (kind) {
    case PN_SIGNER_RSA:
        return "RSA";
    case PN_SIGNER_RSA_PSS:
        return "RSA-PSS";
    case PN_SIGNER_EC:
        return "EC";
    case PN_SIGNER_ED25519:
        return "ED25519";
    }
    return "";
}

/* fromdata() takes no const array, and reads it only. */
static EVP_PKEY *public_half_from(enum pn_signer_kind kind, const OSSL_PARAM params[])
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind_name(kind), NULL);
    OSSL_PARAM *copy = OSSL_PARAM_dup(params);

    if (ctx && copy && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, copy) != 1)
        pkey = NULL;
    OSSL_PARAM_free(copy);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static int keydata_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct pn_signer_keydata *key = keydata;
    const OSSL_PARAM *use = OSSL_PARAM_locate_const(params, PN_SIGNER_PARAM_USE);
    const OSSL_PARAM *id = OSSL_PARAM_locate_const(params, PN_SIGNER_PARAM_KEY_ID);
    unsigned use_number = 0;

    if (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) || key->public_half)
        return 0;
    key->public_half = public_half_from(key->kind, params);
    if (!key->public_half)
        return 0;
    if (!use || !id)
        return 1;
    if (!OSSL_PARAM_get_uint(use, &use_number) || id->data_type != OSSL_PARAM_OCTET_STRING ||
        id->data_size != sizeof(key->key.sha256))
        return 0;
    key->use = (enum pn_key_use)use_number;
    memcpy(key->key.sha256, id->data, sizeof(key->key.sha256));
    key->can_sign = true;
    return 1;
}

static int keydata_export(void *keydata, int selection, OSSL_CALLBACK *param_cb, void *cbarg)
{
    struct pn_signer_keydata *key = keydata;
    OSSL_PARAM *params = NULL;
    int done = 0;

    /* There is none here, and nobody shall go on as if it had got one. */
    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
        return 0;
    if (!key->public_half)
        return 0;
    if (EVP_PKEY_todata(key->public_half, EVP_PKEY_PUBLIC_KEY, &params) == 1)
        done = param_cb(params, cbarg);
    OSSL_PARAM_free(params);
    return done;
}

static int keydata_get_params(void *keydata, OSSL_PARAM params[])
{
    struct pn_signer_keydata *key = keydata;

    return key->public_half && EVP_PKEY_get_params(key->public_half, params);
}

#define COMMON_PARAMS                                                                              \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),                                                    \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),                                       \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),                                            \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0)
#define RSA_PARAMS                                                                                 \
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0)
#define EC_PARAMS                                                                                  \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),                                   \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0)
#define OWN_PARAMS                                                                                 \
    OSSL_PARAM_uint(PN_SIGNER_PARAM_USE, NULL),                                                    \
        OSSL_PARAM_octet_string(PN_SIGNER_PARAM_KEY_ID, NULL, 0)

static const OSSL_PARAM rsa_types[] = {RSA_PARAMS, OWN_PARAMS, OSSL_PARAM_END};
static const OSSL_PARAM ec_types[] = {EC_PARAMS, OWN_PARAMS, OSSL_PARAM_END};
static const OSSL_PARAM ed25519_types[] = {
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OWN_PARAMS, OSSL_PARAM_END};
static const OSSL_PARAM gettable[] = {COMMON_PARAMS, RSA_PARAMS, EC_PARAMS, OSSL_PARAM_END};

static const OSSL_PARAM *types_of_rsa(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? rsa_types : NULL;
}

static const OSSL_PARAM *types_of_ec(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? ec_types : NULL;
}

static const OSSL_PARAM *types_of_ed25519(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? ed25519_types : NULL;
}

static const OSSL_PARAM *keydata_gettable(void *provctx)
{
    (void)provctx;
    return gettable;
}

/* A key's signature algorithm, where it is not named as the key type. */
static const char *rsa_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *ed25519_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL;
}

typedef void (*dispatch_fn)(void);

#define KEYMGMT(new_fn, types_fn, operation_fn)                                                    \
    {                                                                                              \
        {OSSL_FUNC_KEYMGMT_NEW, (dispatch_fn)(new_fn)},                                            \
            {OSSL_FUNC_KEYMGMT_FREE, (dispatch_fn)keydata_free},                                   \
            {OSSL_FUNC_KEYMGMT_HAS, (dispatch_fn)keydata_has},                                     \
            {OSSL_FUNC_KEYMGMT_MATCH, (dispatch_fn)keydata_match},                                 \
            {OSSL_FUNC_KEYMGMT_IMPORT, (dispatch_fn)keydata_import},                               \
            {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (dispatch_fn)(types_fn)},                             \
            {OSSL_FUNC_KEYMGMT_EXPORT, (dispatch_fn)keydata_export},                               \
            {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (dispatch_fn)(types_fn)},                             \
            {OSSL_FUNC_KEYMGMT_GET_PARAMS, (dispatch_fn)keydata_get_params},                       \
            {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (dispatch_fn)keydata_gettable},                    \
            {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (dispatch_fn)(operation_fn)}, {0, NULL},      \
    }

static const OSSL_DISPATCH rsa_functions[] = KEYMGMT(rsa_new, types_of_rsa, rsa_operation);
static const OSSL_DISPATCH rsa_pss_functions[] = KEYMGMT(rsa_pss_new, types_of_rsa, rsa_operation);
static const OSSL_DISPATCH ec_functions[] = KEYMGMT(ec_new, types_of_ec, ec_operation);
static const OSSL_DISPATCH ed25519_functions[] =
    KEYMGMT(ed25519_new, types_of_ed25519, ed25519_operation);

#define OWN_PROPERTY "provider=" PN_SIGNER_PROVIDER_NAME

/* The names are those of the default provider: only keys of one name are ever compared. */
const OSSL_ALGORITHM pn_signer_keymgmt_algorithms[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OWN_PROPERTY, rsa_functions, "key in the keyholder"},
    {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", OWN_PROPERTY, rsa_pss_functions,
     "key in the keyholder"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", OWN_PROPERTY, ec_functions, "key in the keyholder"},
    {"ED25519:1.3.101.112", OWN_PROPERTY, ed25519_functions, "key in the keyholder"},
    {NULL, NULL, NULL, NULL},
};
