/* SPDX-License-Identifier: Apache-2.0
 *
 * Each call has a hash context of its own, which OpenSSL wipes when it is freed. The hashes are
 * looked up once for the process.
 */
#include "signer/hkdf.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/secret.h"

#define BLOCK_MAX 128 /* SHA-384 */

static struct hash {
    const char *names[3];
    size_t len, block;
    EVP_MD *md;
} hashes[] = {
    [PN_HKDF_SHA256] = {{"SHA2-256", "SHA256", "SHA-256"}, 32, 64, NULL},
    [PN_HKDF_SHA384] = {{"SHA2-384", "SHA384", "SHA-384"}, 48, 128, NULL},
};
#define HASHES (sizeof(hashes) / sizeof(hashes[0]))
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Never freed. */
static void fetch_all(void)
{
    for (size_t i = 0; i < HASHES; i++)
        hashes[i].md = EVP_MD_fetch(NULL, hashes[i].names[0], NULL);
    ERR_clear_error();
}

enum pn_rc pn_hkdf_find(const char *digest_name, enum pn_hkdf_hash *hash)
{
    for (size_t i = 0; i < HASHES; i++) {
        for (size_t n = 0; n < sizeof(hashes[i].names) / sizeof(hashes[i].names[0]); n++) {
            if (strcasecmp(digest_name, hashes[i].names[n]) == 0) {
                *hash = (enum pn_hkdf_hash)i;
                return PN_OK;
            }
        }
    }
    return PN_UNSUPPORTED;
}

size_t pn_hkdf_len(enum pn_hkdf_hash hash)
{
    return hashes[hash].len;
}

/* ---- on one hash context */

struct work {
    const struct hash *hash;
    EVP_MD_CTX *ctx;
};

static enum pn_rc work_begin(struct work *work, enum pn_hkdf_hash hash)
{
    if (pthread_once(&once, fetch_all) != 0 || !hashes[hash].md)
        return PN_NOMEM;
    work->hash = &hashes[hash];
    work->ctx = EVP_MD_CTX_new();
    return work->ctx ? PN_OK : PN_NOMEM;
}

static bool digest(const struct work *work, struct pn_slice first, struct pn_slice second,
                   uint8_t *out)
{
    return EVP_DigestInit_ex2(work->ctx, work->hash->md, NULL) == 1 &&
           EVP_DigestUpdate(work->ctx, first.ptr, first.len) == 1 &&
           (second.len == 0 || EVP_DigestUpdate(work->ctx, second.ptr, second.len) == 1) &&
           EVP_DigestFinal_ex(work->ctx, out, NULL) == 1;
}

static void pad(uint8_t *block, size_t len, struct pn_slice key, uint8_t with)
{
    memset(block, with, len);
    for (size_t i = 0; i < key.len; i++)
        block[i] = (uint8_t)((uint8_t)key.ptr[i] ^ with);
}

/* HMAC (RFC 2104); a key is never longer than a block here. */
static enum pn_rc hmac(const struct work *work, struct pn_slice key, struct pn_slice message,
                       uint8_t *out)
{
    uint8_t block[BLOCK_MAX], inner[PN_HKDF_BYTES_MAX];
    const struct hash *hash = work->hash;
    bool is_fine;

    if (key.len > hash->block)
        return PN_LIMIT;
    pad(block, hash->block, key, 0x36);
    is_fine = digest(work, pn_slice(block, hash->block), message, inner);
    pad(block, hash->block, key, 0x5c);
    is_fine =
        is_fine && digest(work, pn_slice(block, hash->block), pn_slice(inner, hash->len), out);
    pn_wipe(block, hash->block);
    pn_wipe(inner, sizeof(inner));
    return is_fine ? PN_OK : PN_NOMEM;
}

static enum pn_rc extract(const struct work *work, struct pn_slice salt, struct pn_slice ikm,
                          uint8_t *out)
{
    static const uint8_t zeros[PN_HKDF_BYTES_MAX];

    /* A key of zeros and no key are one to HMAC. */
    return hmac(work, salt, ikm.len > 0 ? ikm : pn_slice(zeros, work->hash->len), out);
}

/* struct HkdfLabel, and the counter of HKDF-Expand behind it: there is one block only. */
struct info {
    uint8_t bytes[2 + 1 + PN_HKDF_LABEL_MAX + 1 + PN_HKDF_LABEL_MAX + 1];
    size_t len;
};

static void add(struct info *info, struct pn_slice bytes)
{
    if (bytes.len > 0)
        memcpy(info->bytes + info->len, bytes.ptr, bytes.len);
    info->len += bytes.len;
}

static enum pn_rc expand_label(const struct work *work, struct pn_slice secret,
                               struct pn_slice prefix, struct pn_slice label,
                               struct pn_slice context, uint8_t *out, size_t len)
{
    struct info info = {.len = 3};
    uint8_t block[PN_HKDF_BYTES_MAX];
    enum pn_rc rc;

    if (len > work->hash->len || prefix.len > PN_HKDF_LABEL_MAX ||
        label.len > PN_HKDF_LABEL_MAX - prefix.len || context.len > PN_HKDF_LABEL_MAX)
        return PN_LIMIT;
    info.bytes[0] = (uint8_t)(len >> 8);
    info.bytes[1] = (uint8_t)len;
    info.bytes[2] = (uint8_t)(prefix.len + label.len);
    add(&info, prefix);
    add(&info, label);
    info.bytes[info.len++] = (uint8_t)context.len;
    add(&info, context);
    info.bytes[info.len++] = 1;
    rc = hmac(work, secret, pn_slice(info.bytes, info.len), block);
    if (rc == PN_OK)
        memcpy(out, block, len);
    pn_wipe(block, sizeof(block));
    return rc;
}

/* ---- what others call */

enum pn_rc pn_hkdf_expand_label(enum pn_hkdf_hash hash, struct pn_slice secret,
                                struct pn_slice prefix, struct pn_slice label,
                                struct pn_slice context, uint8_t *out, size_t len)
{
    struct work work;
    enum pn_rc rc = work_begin(&work, hash);

    if (rc != PN_OK)
        return rc;
    rc = expand_label(&work, secret, prefix, label, context, out, len);
    EVP_MD_CTX_free(work.ctx);
    return rc;
}

enum pn_rc pn_hkdf_next_secret(enum pn_hkdf_hash hash, struct pn_slice previous,
                               struct pn_slice prefix, struct pn_slice label, struct pn_slice input,
                               uint8_t *out)
{
    uint8_t of_nothing[PN_HKDF_BYTES_MAX], salt[PN_HKDF_BYTES_MAX];
    struct work work;
    size_t len = 0;
    enum pn_rc rc = work_begin(&work, hash);

    if (rc != PN_OK)
        return rc;
    if (previous.len > 0) {
        len = work.hash->len;
        rc = digest(&work, pn_slice("", 0), pn_slice("", 0), of_nothing) ? PN_OK : PN_NOMEM;
        if (rc == PN_OK)
            rc = expand_label(&work, previous, prefix, label, pn_slice(of_nothing, len), salt, len);
    }
    if (rc == PN_OK)
        rc = extract(&work, pn_slice(salt, len), input, out);
    pn_wipe(salt, sizeof(salt));
    EVP_MD_CTX_free(work.ctx);
    return rc;
}
