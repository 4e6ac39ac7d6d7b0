/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords of people: scrypt (RFC 7914) with N = 2^15, r = 8, p = 1: 32 MiB and some 100 ms each.
 * One at a time, so that a crowd of sign-ins can take neither the memory nor all workers' cores.
 */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "authority/authority_internal.h"

#define HASH_BYTES 32
#define SALT_BYTES 16
#define COST       32768
#define BLOCKS     8
#define LANES      1
#define MEMORY_MAX (128ull * 1024 * 1024)
#define COST_MAX   (1 << 20)
#define TEXT_MAX   256

struct cost {
    uint64_t n;
    uint32_t r, p;
};

static enum pn_rc derive(struct pn_authority *authority, struct pn_slice password,
                         struct pn_slice salt, struct cost cost, uint8_t hash[HASH_BYTES],
                         struct pn_error *err)
{
    uint64_t memory = MEMORY_MAX;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD,
                                          (unsigned char *)(uintptr_t)password.ptr, password.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (unsigned char *)(uintptr_t)salt.ptr,
                                          salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &cost.n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &cost.r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &cost.p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    enum pn_rc rc = PN_OK;

    pthread_mutex_lock(&authority->hash_lock);
    if (!ctx || EVP_KDF_derive(ctx, hash, HASH_BYTES, params) != 1)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "server_error", "cannot hash a password");
    pthread_mutex_unlock(&authority->hash_lock);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return rc;
}

enum pn_rc authority_password_make(struct pn_authority *authority, struct pn_slice password,
                                   json_t **record, struct pn_error *err)
{
    const struct cost cost = {COST, BLOCKS, LANES};
    uint8_t salt[SALT_BYTES], hash[HASH_BYTES];
    struct pn_buf salt_text, hash_text;
    enum pn_rc rc;

    if (password.len < PN_PASSWORD_BYTES_MIN || password.len > PN_PASSWORD_BYTES_MAX)
        return pn_error_set(err, PN_INVALID, "passwordProfile",
                            "passwordProfile.password must have %d to %d bytes",
                            PN_PASSWORD_BYTES_MIN, PN_PASSWORD_BYTES_MAX);
    pn_buf_init(&salt_text, TEXT_MAX);
    pn_buf_init(&hash_text, TEXT_MAX);
    pn_random(salt, sizeof salt);
    rc = derive(authority, password, pn_slice(salt, sizeof salt), cost, hash, err);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_slice(salt, sizeof salt), &salt_text);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_slice(hash, sizeof hash), &hash_text);
    if (rc == PN_OK) {
        *record = json_pack("{s:s, s:s%, s:s%, s:i, s:i, s:i}", "algorithm", "scrypt", "salt",
                            salt_text.ptr, salt_text.len, "hash", hash_text.ptr, hash_text.len, "n",
                            COST, "r", BLOCKS, "p", LANES);
        rc = *record ? PN_OK : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    pn_wipe(hash, sizeof hash);
    pn_buf_fini(&salt_text);
    pn_buf_fini(&hash_text);
    return rc;
}

enum pn_rc authority_password_check(struct pn_authority *authority, const json_t *record,
                                    struct pn_slice password, struct pn_error *err)
{
    const struct cost cost = {(uint64_t)pn_json_int(record, "n", COST),
                              (uint32_t)pn_json_int(record, "r", BLOCKS),
                              (uint32_t)pn_json_int(record, "p", LANES)};
    uint8_t hash[HASH_BYTES] = {0};
    uint8_t nobody[SALT_BYTES] = {0};
    struct pn_buf salt, wanted;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&salt, TEXT_MAX);
    pn_buf_init(&wanted, TEXT_MAX);
    if (record)
        rc = pn_base64_decode(pn_json_slice(record, "salt"), &salt);
    else
        rc = pn_buf_append(&salt, nobody, sizeof nobody);
    if (rc == PN_OK && record)
        rc = pn_base64_decode(pn_json_slice(record, "hash"), &wanted);
    if (rc != PN_OK || cost.n < 2 || cost.n > COST_MAX)
        rc = pn_error_set(err, PN_INTERNAL, "server_error", "a stored password hash is broken");
    if (rc == PN_OK)
        rc = derive(authority, password, pn_buf_slice(&salt), cost, hash, err);
    if (rc == PN_OK &&
        (!record || !pn_equal_constant_time(pn_slice(hash, sizeof hash), pn_buf_slice(&wanted))))
        rc = PN_DENIED;
    pn_wipe(hash, sizeof hash);
    pn_buf_fini(&salt);
    pn_buf_fini(&wanted);
    return rc;
}
