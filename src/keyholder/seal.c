/* SPDX-License-Identifier: Apache-2.0
 *
 * AES-256-GCM (NIST SP 800-38D) under the master key.
 */
#include "keyholder/seal.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/encode.h"

#define MAGIC     "PNS1"
#define MAGIC_LEN 4u
#define NONCE_LEN 12u
#define TAG_LEN   16
#define KEY_LEN   32u

/* The domain's length is part of it: otherwise ("a", "bc") and ("ab", "c") would be one place. */
static bool feed_place(EVP_CIPHER_CTX *ctx, struct pn_slice domain, struct pn_slice context)
{
    unsigned char head[MAGIC_LEN + 4];
    int ignored;

    memcpy(head, MAGIC, MAGIC_LEN);
    for (unsigned i = 0; i < 4; i++)
        head[MAGIC_LEN + i] = (unsigned char)(domain.len >> (24 - 8 * i));
    return EVP_CipherUpdate(ctx, NULL, &ignored, head, sizeof(head)) == 1 &&
           (domain.len == 0 ||
            EVP_CipherUpdate(ctx, NULL, &ignored, (const unsigned char *)domain.ptr,
                             (int)domain.len) == 1) &&
           (context.len == 0 ||
            EVP_CipherUpdate(ctx, NULL, &ignored, (const unsigned char *)context.ptr,
                             (int)context.len) == 1);
}

static bool start(EVP_CIPHER_CTX *ctx, const struct pn_master *master, const unsigned char *nonce,
                  struct pn_slice domain, struct pn_slice context, int is_sealing)
{
    return ctx && master->key.len == KEY_LEN &&
           EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), master->key.ptr, nonce, is_sealing, NULL) ==
               1 &&
           feed_place(ctx, domain, context);
}

enum pn_rc pn_seal(const struct pn_master *master, struct pn_slice domain, struct pn_slice context,
                   struct pn_slice plain, struct pn_buf *sealed)
{
    EVP_CIPHER_CTX *ctx;
    unsigned char *at;
    int len = 0, last = 0;
    enum pn_rc rc = PN_INTERNAL;

    if (plain.len > INT_MAX - PN_SEAL_OVERHEAD || context.len > INT_MAX || domain.len > INT_MAX)
        return PN_LIMIT;
    if (pn_buf_reserve(sealed, plain.len + PN_SEAL_OVERHEAD) != PN_OK)
        return PN_LIMIT;
    ctx = EVP_CIPHER_CTX_new();
    at = (unsigned char *)sealed->ptr + sealed->len;
    memcpy(at, MAGIC, MAGIC_LEN);
    pn_random(at + MAGIC_LEN, NONCE_LEN);
    if (!start(ctx, master, at + MAGIC_LEN, domain, context, 1))
        goto out;
    at += MAGIC_LEN + NONCE_LEN;
    if (plain.len > 0 &&
        EVP_CipherUpdate(ctx, at, &len, (const unsigned char *)plain.ptr, (int)plain.len) != 1)
        goto out;
    if (EVP_CipherFinal_ex(ctx, at + len, &last) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, at + plain.len) != 1)
        goto out;
    sealed->len += plain.len + PN_SEAL_OVERHEAD;
    rc = PN_OK;
out:
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

enum pn_rc pn_unseal(const struct pn_master *master, struct pn_slice domain,
                     struct pn_slice context, struct pn_slice sealed, struct pn_buf *plain)
{
    EVP_CIPHER_CTX *ctx = NULL;
    unsigned char tag[TAG_LEN];
    const unsigned char *at = (const unsigned char *)sealed.ptr;
    unsigned char *out;
    size_t plain_len;
    int len = 0, last = 0;
    enum pn_rc rc = PN_DENIED;

    if (sealed.len < PN_SEAL_OVERHEAD || sealed.len > INT_MAX || context.len > INT_MAX ||
        domain.len > INT_MAX || memcmp(at, MAGIC, MAGIC_LEN) != 0)
        return PN_DENIED;
    plain_len = sealed.len - PN_SEAL_OVERHEAD;
    rc = pn_buf_reserve(plain, plain_len + 1);
    if (rc != PN_OK)
        return rc;
    rc = PN_DENIED;
    out = (unsigned char *)plain->ptr + plain->len;
    ctx = EVP_CIPHER_CTX_new();
    memcpy(tag, at + sealed.len - TAG_LEN, TAG_LEN);
    if (!start(ctx, master, at + MAGIC_LEN, domain, context, 0)) {
        rc = PN_INTERNAL;
        goto out;
    }
    if (plain_len > 0 &&
        EVP_CipherUpdate(ctx, out, &len, at + MAGIC_LEN + NONCE_LEN, (int)plain_len) != 1)
        goto out;
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) != 1 ||
        EVP_CipherFinal_ex(ctx, out + len, &last) != 1) {
        pn_wipe(out, plain_len); /* not authentic: nobody may see it */
        goto out;
    }
    plain->len += plain_len;
    rc = PN_OK;
out:
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}
