/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done with keys. Operations with the private key are the keyholder's; those with the
 * public one are done here. Whether a key may is asked first: enabled, its key_ops, its dates.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "vault/vault_key.h"

#define VALUE_MAX  (16u * 1024)
#define SEALED_MAX (2u * 1024 * 1024)
#define OUTPUT_MAX 1024
#define RANDOM_MAX 128

struct key_task {
    const char *word;   /* in messages and key_ops */
    bool is_date_gated; /* a key outside of nbf and exp still opens what it closed */
};

struct use {
    struct pn_store_item head, item;
    json_t *given;
    const char *algorithm;
    struct pn_buf value;
};

static void use_fini(struct use *use)
{
    pn_store_item_fini(&use->head);
    pn_store_item_fini(&use->item);
    json_decref(use->given);
    pn_buf_fini(&use->value);
}

static bool has_operation(const json_t *jwk, const char *word)
{
    json_t *entry;
    size_t index;

    json_array_foreach(json_object_get(jwk, "key_ops"), index, entry)
    {
        if (pn_slice_eq_str(pn_slice(json_string_value(entry), json_string_length(entry)), word))
            return true;
    }
    return false;
}

/* False: answered (403). */
static bool may_use(struct vault_call *call, const struct use *use, const struct key_task *task)
{
    const json_t *attributes =
        json_object_get(json_object_get(use->item.body, "properties"), "attributes");
    int64_t now_s = call->vault->now_s();
    json_t *jwk = vault_key_jwk(&use->item);
    bool has = has_operation(jwk, task->word);

    json_decref(jwk);
    if (!pn_json_bool(attributes, "enabled", true))
        vault_answer_error(call->response, 403, "Forbidden", "KeyDisabled",
                           "Operation %s is not allowed on a disabled key.", task->word);
    else if (!has)
        vault_answer_error(call->response, 403, "Forbidden", "KeyOperationForbidden",
                           "Operation %s is not permitted on this key: its key_ops do not have it.",
                           task->word);
    else if (task->is_date_gated && pn_json_int(attributes, "nbf", 0) > now_s)
        vault_answer_error(call->response, 403, "Forbidden", "KeyNotYetValid",
                           "Operation %s is not allowed on a key that is not yet valid.",
                           task->word);
    else if (task->is_date_gated && json_object_get(attributes, "exp") &&
             pn_json_int(attributes, "exp", 0) <= now_s)
        vault_answer_error(call->response, 403, "Forbidden", "KeyExpired",
                           "Operation %s is not allowed on an expired key.", task->word);
    else
        return true;
    return false;
}

/* The key and the request, checked. False: answered. End `use` in any case. */
static bool begin(struct vault_call *call, const struct key_task *task, const char *member,
                  struct use *use)
{
    struct pn_error err = {0};
    enum pn_rc rc;

    memset(use, 0, sizeof *use);
    pn_buf_init_secret(&use->value, VALUE_MAX);
    use->given = vault_read_body(call);
    if (!use->given)
        return false;
    use->algorithm = pn_json_str(use->given, "alg");
    if (!use->algorithm ||
        pn_base64url_decode(pn_json_slice(use->given, member), &use->value) != PN_OK ||
        use->value.len == 0) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property %s has invalid value: %s.", use->algorithm ? member : "alg",
                           use->algorithm ? "base64url text of at most 16384 bytes"
                                          : "the name of an algorithm");
        return false;
    }
    rc = vault_find(call, KIND_KEY, &use->head, &use->item, &err);
    if (rc != PN_OK) {
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
        return false;
    }
    return may_use(call, use, task);
}

static void answer_result(struct vault_call *call, const struct use *use, struct pn_slice result)
{
    vault_answer_json(call, 200,
                      json_pack("{s:o, s:o}", "kid",
                                vault_url(call, "keys", pn_json_str(use->head.body, "name"),
                                          vault_item_version(&use->item)),
                                "value", vault_base64url(result)));
}

static void answer_wrong_algorithm(struct vault_call *call, const struct use *use)
{
    vault_answer_error(call->response, 400, "BadParameter", NULL,
                       "Property alg has invalid value: '%.32s' does not fit this key and "
                       "operation.",
                       use->algorithm);
}

/* --- with the private key --- */

static void use_private(struct vault_call *call, const struct key_task *task,
                        enum pn_vault_key_operation operation)
{
    struct pn_error err = {0};
    struct pn_vault_key key;
    struct pn_buf sealed, out;
    struct use use;
    enum pn_rc rc;

    pn_buf_init(&sealed, SEALED_MAX);
    pn_buf_init_secret(&out, VALUE_MAX);
    if (!begin(call, task, "value", &use))
        goto done;
    rc = vault_sealed_bytes(&use.item, &sealed, &err);
    key = (struct pn_vault_key){.context = vault_context(use.item.id),
                                .sealed = pn_buf_slice(&sealed),
                                .is_certificate = strcmp(use.item.type, KEY_TYPE) != 0};
    if (rc == PN_OK)
        rc = pn_keyholder_vault_use(call->vault->keyholder, &key, operation, use.algorithm,
                                    pn_buf_slice(&use.value), &out, &err);
    if (rc == PN_OK)
        answer_result(call, &use, pn_buf_slice(&out));
    else if (rc == PN_INVALID && strcmp(err.code, "algorithm") == 0)
        answer_wrong_algorithm(call, &use);
    else if (rc == PN_INVALID)
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property value has invalid value: %s.", err.message);
    else
        vault_answer_failure(call, rc == PN_DENIED ? PN_INTERNAL : rc, &err);
done:
    use_fini(&use);
    pn_buf_fini(&sealed);
    pn_buf_fini(&out);
}

void vault_sign(struct vault_call *call)
{
    static const struct key_task task = {"sign", true};

    use_private(call, &task, PN_VAULT_KEY_SIGN);
}

void vault_decrypt(struct vault_call *call)
{
    static const struct key_task task = {"decrypt", false};

    use_private(call, &task, PN_VAULT_KEY_DECRYPT);
}

void vault_unwrap_key(struct vault_call *call)
{
    static const struct key_task task = {"unwrapKey", false};

    use_private(call, &task, PN_VAULT_KEY_DECRYPT);
}

/* --- with the public key --- */

struct scheme {
    const char *name;
    int padding; /* RSA; 0: ECDSA */
    const char *digest;
    size_t digest_len;
    const char *group;
    size_t coordinate_len;
};

static const struct scheme *scheme_of(const struct scheme *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    return NULL;
}

static bool encrypt_value(EVP_PKEY *key, const struct scheme *scheme, struct pn_slice value,
                          unsigned char *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is_fine = ctx && EVP_PKEY_encrypt_init(ctx) == 1 &&
                   EVP_PKEY_CTX_set_rsa_padding(ctx, scheme->padding) == 1;

    if (is_fine && scheme->digest)
        is_fine = EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, scheme->digest, NULL) == 1;
    if (is_fine)
        is_fine = EVP_PKEY_encrypt(ctx, out, len, (const unsigned char *)value.ptr, value.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return is_fine;
}

static void encrypt(struct vault_call *call, const struct key_task *task)
{
    static const struct scheme schemes[] = {
        {"RSA1_5", RSA_PKCS1_PADDING, NULL, 0, NULL, 0},
        {"RSA-OAEP", RSA_PKCS1_OAEP_PADDING, "SHA1", 0, NULL, 0},
        {"RSA-OAEP-256", RSA_PKCS1_OAEP_PADDING, "SHA256", 0, NULL, 0},
    };
    const struct scheme *scheme;
    unsigned char out[OUTPUT_MAX];
    size_t len = sizeof out;
    EVP_PKEY *key = NULL;
    struct use use;

    if (!begin(call, task, "value", &use))
        goto done;
    scheme = scheme_of(schemes, 3, use.algorithm);
    key = vault_key_public(&use.item);
    if (!scheme || !key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        answer_wrong_algorithm(call, &use);
    else if (!encrypt_value(key, scheme, pn_buf_slice(&use.value), out, &len))
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property value has invalid value: it is too long for this key and "
                           "algorithm.");
    else
        answer_result(call, &use, pn_slice(out, len));
done:
    EVP_PKEY_free(key);
    use_fini(&use);
}

void vault_encrypt(struct vault_call *call)
{
    static const struct key_task task = {"encrypt", true};

    encrypt(call, &task);
}

void vault_wrap_key(struct vault_call *call)
{
    static const struct key_task task = {"wrapKey", true};

    encrypt(call, &task);
}

/* r and s (RFC 7518 §3.4) as OpenSSL wants them; the caller frees *der. */
static int der_signature(struct pn_slice raw, size_t coordinate_len, unsigned char **der)
{
    const unsigned char *at = (const unsigned char *)raw.ptr;
    ECDSA_SIG *signature;
    BIGNUM *r, *s;
    int len = 0;

    if (raw.len != 2 * coordinate_len)
        return 0;
    signature = ECDSA_SIG_new();
    r = BN_bin2bn(at, (int)coordinate_len, NULL);
    s = BN_bin2bn(at + coordinate_len, (int)coordinate_len, NULL);
    if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
        len = i2d_ECDSA_SIG(signature, der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(signature);
    return len;
}

static bool verify_digest(EVP_PKEY *key, const struct scheme *scheme, struct pn_slice digest,
                          struct pn_slice signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, scheme->digest, NULL);
    unsigned char *der = NULL;
    bool is_fine = ctx && md && EVP_PKEY_verify_init(ctx) == 1;

    if (is_fine && scheme->padding)
        is_fine = EVP_PKEY_CTX_set_rsa_padding(ctx, scheme->padding) == 1;
    if (is_fine)
        is_fine = EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;
    if (is_fine && !scheme->padding) {
        int len = der_signature(signature, scheme->coordinate_len, &der);

        signature = pn_slice(der, len > 0 ? (size_t)len : 0);
        is_fine = len > 0;
    }
    if (is_fine)
        is_fine = EVP_PKEY_verify(ctx, (const unsigned char *)signature.ptr, signature.len,
                                  (const unsigned char *)digest.ptr, digest.len) == 1;
    OPENSSL_free(der);
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return is_fine;
}

static bool key_fits(const EVP_PKEY *key, const struct scheme *scheme)
{
    char group[32] = "";

    if (!key || EVP_PKEY_get_base_id(key) != (scheme->padding ? EVP_PKEY_RSA : EVP_PKEY_EC))
        return false;
    return scheme->padding || (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
                               strcmp(group, scheme->group) == 0);
}

void vault_verify(struct vault_call *call)
{
    static const struct key_task task = {"verify", false};
    static const struct scheme schemes[] = {
        {"RS256", RSA_PKCS1_PADDING, "SHA256", 32, NULL, 0},
        {"RS384", RSA_PKCS1_PADDING, "SHA384", 48, NULL, 0},
        {"RS512", RSA_PKCS1_PADDING, "SHA512", 64, NULL, 0},
        {"PS256", RSA_PKCS1_PSS_PADDING, "SHA256", 32, NULL, 0},
        {"PS384", RSA_PKCS1_PSS_PADDING, "SHA384", 48, NULL, 0},
        {"PS512", RSA_PKCS1_PSS_PADDING, "SHA512", 64, NULL, 0},
        {"ES256", 0, "SHA256", 32, "prime256v1", 32},
        {"ES384", 0, "SHA384", 48, "secp384r1", 48},
        {"ES512", 0, "SHA512", 64, "secp521r1", 66},
        {"ES256K", 0, "SHA256", 32, "secp256k1", 32},
    };
    const struct scheme *scheme;
    struct pn_buf digest;
    EVP_PKEY *key = NULL;
    struct use use;

    pn_buf_init(&digest, VALUE_MAX);
    if (!begin(call, &task, "value", &use))
        goto done;
    scheme = scheme_of(schemes, sizeof schemes / sizeof schemes[0], use.algorithm);
    key = vault_key_public(&use.item);
    if (!scheme || !key_fits(key, scheme))
        answer_wrong_algorithm(call, &use);
    else if (pn_base64url_decode(pn_json_slice(use.given, "digest"), &digest) != PN_OK ||
             digest.len != scheme->digest_len)
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property digest has invalid value: a digest for %s has %zu bytes.",
                           scheme->name, scheme->digest_len);
    else
        vault_answer_json(
            call, 200,
            json_pack("{s:b}", "value",
                      verify_digest(key, scheme, pn_buf_slice(&digest), pn_buf_slice(&use.value))));
done:
    EVP_PKEY_free(key);
    pn_buf_fini(&digest);
    use_fini(&use);
}

/* --- others --- */

void vault_release_key(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, KIND_KEY, &head, &item, &err);

    if (rc == PN_OK)
        vault_answer_error(call->response, 400, "BadParameter", "KeyNotExportable",
                           "The key %s is not exportable: this vault releases no keys.",
                           call->name);
    else
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

void vault_random_bytes(struct vault_call *call)
{
    json_t *given = vault_read_body(call);
    int64_t count = pn_json_int(given, "count", 0);
    uint8_t bytes[RANDOM_MAX];

    if (!given)
        return;
    if (count < 1 || count > RANDOM_MAX) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property count has invalid value: 1 to %d.", RANDOM_MAX);
    } else {
        pn_random(bytes, (size_t)count);
        vault_answer_json(
            call, 200,
            json_pack("{s:o}", "value", vault_base64url(pn_slice(bytes, (size_t)count))));
        pn_wipe(bytes, sizeof bytes);
    }
    json_decref(given);
}
