/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of the embedded vault: made, read, sealed. See vault_key.h.
 */
#include "keyholder/vault_key.h"

#include <limits.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "certs/private_key.h"
#include "keyholder/keys.h"

#define KEY_DOMAIN    PN_LIT("vaultkey")
#define KEY_BYTES_MAX (16u * 1024)
#define NUMBERS_MAX   10
#define POINT_MAX     (1 + 2 * 66)

/* The curve's name in OpenSSL and the bytes of one coordinate; NULL: not one of ours. */
static const char *group_of(const char *curve, size_t *coordinate)
{
    static const struct {
        const char *curve, *group;
        size_t coordinate;
    } known[] = {{"P-256", "P-256", 32},
                 {"P-384", "P-384", 48},
                 {"P-521", "P-521", 66},
                 {"P-256K", "secp256k1", 32}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].curve, curve) == 0) {
            *coordinate = known[i].coordinate;
            return known[i].group;
        }
    }
    return NULL;
}

static enum pn_rc invalid(struct pn_error *err, const char *why)
{
    ERR_clear_error();
    return pn_error_set(err, PN_INVALID, "vault_key", "%s", why);
}

enum pn_rc pn_vault_key_generate(const char *type, unsigned bits, const char *curve, EVP_PKEY **key,
                                 struct pn_error *err)
{
    size_t coordinate;

    if (strcmp(type, "RSA") == 0) {
        if (bits != 2048 && bits != 3072 && bits != 4096)
            return invalid(err, "RSA keys have 2048, 3072 or 4096 bits");
        *key = EVP_RSA_gen(bits);
    } else if (strcmp(type, "EC") == 0) {
        const char *group = group_of(curve, &coordinate);

        if (!group)
            return invalid(err, "the curve is P-256, P-384, P-521 or P-256K");
        *key = EVP_EC_gen(group);
    } else {
        return invalid(err, "a key is RSA or EC");
    }
    if (!*key)
        return pn_error_from_openssl(err, PN_INTERNAL, "vault_key", "cannot generate a key");
    return PN_OK;
}

/* --- from numbers --- */

struct builder {
    OSSL_PARAM_BLD *params;
    BIGNUM *numbers[NUMBERS_MAX]; /* must live until the key is made */
    size_t count;
    bool is_fine;
};

static void push_number(struct builder *builder, const char *name, struct pn_slice bytes,
                        bool is_secret)
{
    BIGNUM *number;

    if (!builder->is_fine || bytes.len == 0)
        return;
    if (bytes.len > KEY_BYTES_MAX || builder->count == NUMBERS_MAX) {
        builder->is_fine = false;
        return;
    }
    number = is_secret ? BN_secure_new() : BN_new();
    builder->is_fine = number &&
                       BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, number) &&
                       OSSL_PARAM_BLD_push_BN(builder->params, name, number) == 1;
    if (number && is_secret)
        BN_set_flags(number, BN_FLG_CONSTTIME);
    builder->numbers[builder->count++] = number;
}

static void push_rsa(struct builder *builder, const struct pn_vault_key_parts *parts)
{
    push_number(builder, OSSL_PKEY_PARAM_RSA_N, parts->n, false);
    push_number(builder, OSSL_PKEY_PARAM_RSA_E, parts->e, false);
    push_number(builder, OSSL_PKEY_PARAM_RSA_D, parts->d, true);
    push_number(builder, OSSL_PKEY_PARAM_RSA_FACTOR1, parts->p, true);
    push_number(builder, OSSL_PKEY_PARAM_RSA_FACTOR2, parts->q, true);
    push_number(builder, OSSL_PKEY_PARAM_RSA_EXPONENT1, parts->dp, true);
    push_number(builder, OSSL_PKEY_PARAM_RSA_EXPONENT2, parts->dq, true);
    push_number(builder, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, parts->qi, true);
}

/* `point` must live until the key is made. */
static void push_ec(struct builder *builder, const struct pn_vault_key_parts *parts,
                    unsigned char point[POINT_MAX])
{
    size_t coordinate = 0;
    const char *group = group_of(parts->curve, &coordinate);

    builder->is_fine = builder->is_fine && group && parts->x.len == coordinate &&
                       parts->y.len == coordinate && parts->d.len <= coordinate;
    if (!builder->is_fine)
        return;
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, parts->x.ptr, coordinate);
    memcpy(point + 1 + coordinate, parts->y.ptr, coordinate);
    builder->is_fine = OSSL_PARAM_BLD_push_utf8_string(builder->params, OSSL_PKEY_PARAM_GROUP_NAME,
                                                       group, 0) == 1 &&
                       OSSL_PARAM_BLD_push_octet_string(builder->params, OSSL_PKEY_PARAM_PUB_KEY,
                                                        point, 1 + 2 * coordinate) == 1;
    push_number(builder, OSSL_PKEY_PARAM_PRIV_KEY, parts->d, true);
}

static EVP_PKEY *make(struct builder *builder, const char *type)
{
    OSSL_PARAM *params = builder->is_fine ? OSSL_PARAM_BLD_to_param(builder->params) : NULL;
    EVP_PKEY_CTX *ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    EVP_PKEY *key = NULL;

    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static bool is_pair(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool answer = ctx && EVP_PKEY_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return answer;
}

enum pn_rc pn_vault_key_build(const struct pn_vault_key_parts *parts, EVP_PKEY **key,
                              struct pn_error *err)
{
    bool is_rsa = strcmp(parts->type, "RSA") == 0;
    unsigned char point[POINT_MAX];
    struct builder builder = {.params = OSSL_PARAM_BLD_new(), .is_fine = true};
    EVP_PKEY *made = NULL;
    enum pn_rc rc = PN_OK;

    if (!builder.params)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (parts->d.len == 0)
        rc = invalid(err, "the private member d is missing");
    else if (!is_rsa && strcmp(parts->type, "EC") != 0)
        rc = invalid(err, "a key is RSA or EC");
    if (rc == PN_OK && is_rsa)
        push_rsa(&builder, parts);
    else if (rc == PN_OK)
        push_ec(&builder, parts, point);
    if (rc == PN_OK)
        made = make(&builder, parts->type);
    if (rc == PN_OK && !made)
        rc = invalid(err, "the numbers are no key of this type and curve");
    if (rc == PN_OK && is_rsa && EVP_PKEY_get_bits(made) != 2048 &&
        EVP_PKEY_get_bits(made) != 3072 && EVP_PKEY_get_bits(made) != 4096)
        rc = invalid(err, "RSA keys have 2048, 3072 or 4096 bits");
    if (rc == PN_OK && !is_pair(made))
        rc = invalid(err, "the private numbers do not belong to the public ones");
    for (size_t i = 0; i < builder.count; i++)
        BN_clear_free(builder.numbers[i]);
    OSSL_PARAM_BLD_free(builder.params);
    ERR_clear_error();
    if (rc == PN_OK)
        *key = made;
    else
        EVP_PKEY_free(made);
    return rc;
}

/* --- sealed --- */

enum pn_rc pn_vault_key_seal(const EVP_PKEY *key, const struct pn_master *master,
                             struct pn_slice context, struct pn_buf *sealed, struct pn_error *err)
{
    struct pn_buf pkcs8;
    enum pn_rc rc;

    pn_buf_init_secret(&pkcs8, KEY_BYTES_MAX);
    rc = pn_key_to_pkcs8(key, &pkcs8, err);
    if (rc == PN_OK) {
        rc = pn_seal(master, KEY_DOMAIN, context, pn_buf_slice(&pkcs8), sealed);
        if (rc != PN_OK)
            pn_error_set(err, rc, "seal", "the key cannot be sealed");
    }
    pn_buf_fini(&pkcs8);
    return rc;
}

enum pn_rc pn_vault_key_unseal(const struct pn_master *master, struct pn_slice context,
                               struct pn_slice sealed, EVP_PKEY **key, struct pn_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = NULL;
    const unsigned char *at;
    struct pn_buf pkcs8;
    enum pn_rc rc;

    pn_buf_init_secret(&pkcs8, KEY_BYTES_MAX);
    rc = pn_unseal(master, KEY_DOMAIN, context, sealed, &pkcs8);
    if (rc != PN_OK) {
        pn_error_set(err, rc, "sealed",
                     "the sealed key was changed, belongs elsewhere, or was sealed by another "
                     "installation");
        goto out;
    }
    at = (const unsigned char *)pkcs8.ptr;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.len);
    *key = info ? pn_private_key_decode(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (!*key)
        rc = pn_error_from_openssl(err, PN_MALFORMED, "sealed", "the sealed key cannot be read");
out:
    pn_buf_fini(&pkcs8);
    return rc;
}
