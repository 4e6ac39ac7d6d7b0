/* SPDX-License-Identifier: Apache-2.0
 *
 * See feedlog_record.h. Nonces are random: a record that could not be written is written again at
 * its place, so that a counted nonce could come twice with different bytes.
 */
#include "gateway/feedlog_record.h"

#include <limits.h>

#include <openssl/evp.h>

#include "base/encode.h"

#define NONCE_BYTES 12
#define TAG_BYTES   16

static bool begin(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce,
                  struct pn_slice context, bool is_sealing)
{
    int ignored;

    return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, is_sealing) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &ignored, (const unsigned char *)context.ptr,
                            (int)context.len) == 1;
}

static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, struct pn_slice in)
{
    int len = 0;

    return in.len == 0 ||
           EVP_CipherUpdate(ctx, out, &len, (const unsigned char *)in.ptr, (int)in.len) == 1;
}

enum pn_rc pn_feed_record_seal(const uint8_t key[PN_FEED_RECORD_KEY_BYTES], struct pn_slice context,
                               struct pn_slice plain, struct pn_buf *sealed, struct pn_error *err)
{
    EVP_CIPHER_CTX *ctx;
    uint8_t *out;
    int ignored;
    bool is_done;
    enum pn_rc rc = plain.len <= INT_MAX - PN_FEED_RECORD_OVERHEAD
                        ? pn_buf_reserve(sealed, plain.len + PN_FEED_RECORD_OVERHEAD)
                        : PN_LIMIT;

    if (rc != PN_OK)
        return pn_error_set(err, rc, "feed_log_record", "no room for a record of the feed log");
    out = (uint8_t *)sealed->ptr + sealed->len;
    pn_random(out, NONCE_BYTES);
    ctx = EVP_CIPHER_CTX_new();
    is_done = ctx && begin(ctx, key, out, context, true) && update(ctx, out + NONCE_BYTES, plain) &&
              EVP_CipherFinal_ex(ctx, out + NONCE_BYTES + plain.len, &ignored) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
                                  out + NONCE_BYTES + plain.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!is_done)
        return pn_error_from_openssl(err, PN_INTERNAL, "feed_log_record",
                                     "a record of the feed log cannot be sealed");
    sealed->len += plain.len + PN_FEED_RECORD_OVERHEAD;
    return PN_OK;
}

enum pn_rc pn_feed_record_unseal(const uint8_t key[PN_FEED_RECORD_KEY_BYTES],
                                 struct pn_slice context, struct pn_slice sealed,
                                 struct pn_buf *plain, struct pn_error *err)
{
    struct pn_slice body;
    uint8_t tag[TAG_BYTES];
    EVP_CIPHER_CTX *ctx;
    uint8_t *out;
    int ignored;
    bool is_done;
    enum pn_rc rc = PN_OK;

    if (sealed.len < PN_FEED_RECORD_OVERHEAD || sealed.len > INT_MAX)
        rc = PN_DENIED;
    body = pn_slice_sub(sealed, NONCE_BYTES, sealed.len - PN_FEED_RECORD_OVERHEAD);
    if (rc == PN_OK)
        rc = pn_buf_reserve(plain, body.len);
    if (rc != PN_OK)
        return pn_error_set(err, rc, "feed_log_record", "a record of the feed log cannot be read");
    for (size_t i = 0; i < TAG_BYTES; i++)
        tag[i] = (uint8_t)sealed.ptr[sealed.len - TAG_BYTES + i];
    out = (uint8_t *)plain->ptr + plain->len;
    ctx = EVP_CIPHER_CTX_new();
    is_done = ctx && begin(ctx, key, (const uint8_t *)sealed.ptr, context, false) &&
              update(ctx, out, body) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
              EVP_CipherFinal_ex(ctx, out + body.len, &ignored) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!is_done)
        return pn_error_from_openssl(
            err, PN_DENIED, "feed_log_record",
            "a record of the feed log was changed, moved, or is of another file");
    plain->len += body.len;
    return PN_OK;
}
