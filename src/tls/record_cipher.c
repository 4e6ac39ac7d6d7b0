/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's functions for one cipher (OpenSSL's provider-cipher(7)), found through EVP: it
 * decides which provider it is, and keeps that loaded.
 */
#include "tls/record_cipher.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pn_aead {
    EVP_CIPHER *cipher; /* holds the provider */
    void *provider_ctx;
    size_t key_len;
    OSSL_FUNC_cipher_newctx_fn *new_ctx;
    OSSL_FUNC_cipher_freectx_fn *free_ctx;
    OSSL_FUNC_cipher_encrypt_init_fn *begin_sealing;
    OSSL_FUNC_cipher_decrypt_init_fn *begin_opening;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *end;
    OSSL_FUNC_cipher_get_ctx_params_fn *get_params;
    OSSL_FUNC_cipher_set_ctx_params_fn *set_params;
};

struct pn_aead_key {
    const struct pn_aead *aead;
    void *ctx;
    OSSL_FUNC_cipher_encrypt_init_fn *begin;
};

/* ---- finding it */

static void take_function(struct pn_aead *aead, const OSSL_DISPATCH *entry)
{
    switch (entry->function_id) {
    case OSSL_FUNC_CIPHER_NEWCTX:
        aead->new_ctx = OSSL_FUNC_cipher_newctx(entry);
        break;
    case OSSL_FUNC_CIPHER_FREECTX:
        aead->free_ctx = OSSL_FUNC_cipher_freectx(entry);
        break;
    case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
        aead->begin_sealing = OSSL_FUNC_cipher_encrypt_init(entry);
        break;
    case OSSL_FUNC_CIPHER_DECRYPT_INIT:
        aead->begin_opening = OSSL_FUNC_cipher_decrypt_init(entry);
        break;
    case OSSL_FUNC_CIPHER_UPDATE:
        aead->update = OSSL_FUNC_cipher_update(entry);
        break;
    case OSSL_FUNC_CIPHER_FINAL:
        aead->end = OSSL_FUNC_cipher_final(entry);
        break;
    case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
        aead->get_params = OSSL_FUNC_cipher_get_ctx_params(entry);
        break;
    case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
        aead->set_params = OSSL_FUNC_cipher_set_ctx_params(entry);
        break;
    default:
        break;
    }
}

static bool has_all(const struct pn_aead *aead)
{
    return aead->new_ctx && aead->free_ctx && aead->begin_sealing && aead->begin_opening &&
           aead->update && aead->end && aead->get_params && aead->set_params;
}

/* Whether `names` ("AES-128-GCM:id-aes128-GCM:…") has `name`. */
static bool is_among(const char *names, const char *name)
{
    size_t len = strlen(name);

    for (;;) {
        size_t here = strcspn(names, ":");

        if (here == len && strncasecmp(names, name, len) == 0)
            return true;
        if (names[here] == '\0')
            return false;
        names += here + 1;
    }
}

static bool take_functions(struct pn_aead *aead, const char *name)
{
    const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(aead->cipher);
    const OSSL_ALGORITHM *row;
    int no_cache = 0;

    if (!provider)
        return false;
    aead->provider_ctx = OSSL_PROVIDER_get0_provider_ctx(provider);
    row = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);
    while (row && row->algorithm_names && !is_among(row->algorithm_names, name))
        row++;
    if (!row || !row->algorithm_names)
        return false;
    for (const OSSL_DISPATCH *entry = row->implementation; entry->function_id != 0; entry++)
        take_function(aead, entry);
    return has_all(aead);
}

enum pn_rc pn_aead_find(const char *name, struct pn_aead **result)
{
    struct pn_aead *aead = calloc(1, sizeof(*aead));
    enum pn_rc rc = PN_UNSUPPORTED;

    if (!aead)
        return PN_NOMEM;
    aead->cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    if (!aead->cipher || EVP_CIPHER_get_iv_length(aead->cipher) != PN_AEAD_NONCE_BYTES ||
        !(EVP_CIPHER_get_flags(aead->cipher) & EVP_CIPH_FLAG_AEAD_CIPHER) ||
        !take_functions(aead, name))
        goto out;
    aead->key_len = (size_t)EVP_CIPHER_get_key_length(aead->cipher);
    *result = aead;
    aead = NULL;
    rc = PN_OK;
out:
    if (aead)
        EVP_CIPHER_free(aead->cipher);
    free(aead);
    ERR_clear_error();
    return rc;
}

/* ---- a key */

enum pn_rc pn_aead_key_create(const struct pn_aead *aead, const uint8_t *bytes, size_t len,
                              bool seals, struct pn_aead_key **result)
{
    struct pn_aead_key *key;

    if (len != aead->key_len)
        return PN_INTERNAL;
    key = calloc(1, sizeof(*key));
    if (!key)
        return PN_NOMEM;
    key->aead = aead;
    key->begin = seals ? aead->begin_sealing : aead->begin_opening;
    key->ctx = aead->new_ctx(aead->provider_ctx);
    if (!key->ctx || key->begin(key->ctx, bytes, len, NULL, 0, NULL) != 1) {
        enum pn_rc rc = key->ctx ? PN_INTERNAL : PN_NOMEM;

        pn_aead_key_destroy(key);
        return rc;
    }
    *result = key;
    return PN_OK;
}

void pn_aead_key_destroy(struct pn_aead_key *key)
{
    if (!key)
        return;
    if (key->ctx)
        key->aead->free_ctx(key->ctx); /* which wipes the key */
    free(key);
}

/* ---- a message */

bool pn_aead_begin(struct pn_aead_key *key, const uint8_t nonce[PN_AEAD_NONCE_BYTES],
                   const uint8_t *data, size_t len)
{
    size_t done = 0;

    /* Without a key it keeps the one that it has. */
    return key->begin(key->ctx, NULL, 0, nonce, PN_AEAD_NONCE_BYTES, NULL) == 1 &&
           key->aead->update(key->ctx, NULL, &done, len, data, len) == 1;
}

bool pn_aead_update(struct pn_aead_key *key, uint8_t *out, const void *in, size_t len)
{
    size_t done = 0;

    return key->aead->update(key->ctx, out, &done, len, in, len) == 1 && done == len;
}

bool pn_aead_seal(struct pn_aead_key *key, uint8_t tag[PN_AEAD_TAG_BYTES])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, PN_AEAD_TAG_BYTES),
        OSSL_PARAM_END,
    };
    size_t done = 0;

    return key->aead->end(key->ctx, tag, &done, 0) == 1 && done == 0 &&
           key->aead->get_params(key->ctx, params) == 1;
}

bool pn_aead_expect(struct pn_aead_key *key, uint8_t tag[PN_AEAD_TAG_BYTES])
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, PN_AEAD_TAG_BYTES),
        OSSL_PARAM_END,
    };

    return key->aead->set_params(key->ctx, params) == 1;
}

bool pn_aead_open(struct pn_aead_key *key)
{
    uint8_t nothing[PN_AEAD_TAG_BYTES];
    size_t done = 0;

    return key->aead->end(key->ctx, nothing, &done, 0) == 1 && done == 0;
}
