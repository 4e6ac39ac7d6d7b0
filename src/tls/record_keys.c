/* SPDX-License-Identifier: Apache-2.0
 *
 * From traffic secrets to ciphers. libcrypto's algorithms are looked up once for the process: by
 * name they cost more than a record.
 */
#include "tls/record_keys.h"

#include <assert.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>

#include "base/secret.h"
#include "signer/hkdf.h"

#define KEY_BYTES_MAX 32

struct pn_record_cipher {
    uint16_t suite;
    const char *cipher_name;
    enum pn_hkdf_hash hash;
    size_t key_len;
    size_t secret_len;
    struct pn_aead *aead; /* NULL: not in this libcrypto */
};

/* Filled once, before the first connection uses them; never freed. */
static struct pn_record_cipher ciphers[] = {
    {PN_RECORD_AES_128_GCM_SHA256, "AES-128-GCM", PN_HKDF_SHA256, 16, 32, NULL},
    {PN_RECORD_AES_256_GCM_SHA384, "AES-256-GCM", PN_HKDF_SHA384, 32, 48, NULL},
    {PN_RECORD_CHACHA20_POLY1305_SHA256, "ChaCha20-Poly1305", PN_HKDF_SHA256, 32, 32, NULL},
};
#define CIPHERS (sizeof(ciphers) / sizeof(ciphers[0]))
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
    for (size_t i = 0; i < CIPHERS; i++)
        (void)!pn_aead_find(ciphers[i].cipher_name, &ciphers[i].aead);
    ERR_clear_error();
}

const struct pn_record_cipher *pn_record_cipher_find(uint16_t suite)
{
    if (pthread_once(&once, fetch_all) != 0)
        return NULL;
    for (size_t i = 0; i < CIPHERS; i++) {
        if (ciphers[i].suite == suite && ciphers[i].aead)
            return &ciphers[i];
    }
    return NULL;
}

size_t pn_record_cipher_secret_len(const struct pn_record_cipher *cipher)
{
    return cipher->secret_len;
}

static enum pn_rc expand(const struct pn_record_cipher *cipher, const uint8_t *secret,
                         const char *label, uint8_t *out, size_t len)
{
    return pn_hkdf_expand_label(cipher->hash, pn_slice(secret, cipher->secret_len),
                                PN_LIT("tls13 "), pn_slice_str(label), pn_slice("", 0), out, len);
}

enum pn_rc pn_record_half_ready(struct pn_record_half *half, const struct pn_record_cipher *cipher,
                                bool is_out)
{
    uint8_t key[KEY_BYTES_MAX];
    enum pn_rc rc;

    if (half->key)
        return PN_OK;
    rc = expand(cipher, half->secret, "key", key, cipher->key_len);
    if (rc == PN_OK)
        rc = expand(cipher, half->secret, "iv", half->iv, sizeof(half->iv));
    if (rc == PN_OK)
        rc = pn_aead_key_create(cipher->aead, key, cipher->key_len, is_out, &half->key);
    pn_wipe(key, sizeof(key));
    if (rc == PN_OK)
        return PN_OK;
    ERR_clear_error();
    return PN_NOMEM;
}

enum pn_rc pn_record_half_update(struct pn_record_half *half, const struct pn_record_cipher *cipher)
{
    uint8_t next[PN_RECORD_SECRET_MAX];
    enum pn_rc rc = expand(cipher, half->secret, "traffic upd", next, cipher->secret_len);

    pn_record_half_rest(half);
    half->sequence = 0;
    if (rc == PN_OK)
        memcpy(half->secret, next, cipher->secret_len);
    else
        pn_wipe(half->secret, sizeof(half->secret));
    pn_wipe(next, sizeof(next));
    if (rc != PN_OK)
        ERR_clear_error();
    return rc;
}

void pn_record_half_nonce(struct pn_record_half *half, uint8_t nonce[PN_RECORD_IV_BYTES])
{
    uint64_t sequence = half->sequence++;

    assert(sequence != UINT64_MAX); /* the key was replaced long before */
    memcpy(nonce, half->iv, PN_RECORD_IV_BYTES);
    for (int i = 0; i < 8; i++)
        nonce[PN_RECORD_IV_BYTES - 1 - i] ^= (uint8_t)(sequence >> (8 * i));
}

void pn_record_half_rest(struct pn_record_half *half)
{
    pn_aead_key_destroy(half->key);
    half->key = NULL;
    pn_wipe(half->iv, sizeof(half->iv));
}
