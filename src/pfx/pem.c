/* SPDX-License-Identifier: Apache-2.0
 *
 * PEM files (RFC 7468): one private key in any of its four forms, and certificates. Blocks of other
 * kinds are passed over, so that a file with parameters or a CRL in it works.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "pfx/pfx_internal.h"

struct block {
    char *name;
    char *header;
    unsigned char *data;
    long len;
};

static void block_free(struct block *block)
{
    if (block->data)
        pn_wipe(block->data, (size_t)block->len);
    OPENSSL_free(block->data);
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    *block = (struct block){0};
}

static enum pn_rc malformed(struct pn_error *err, const char *what)
{
    return pn_error_from_openssl(err, PN_MALFORMED, "malformed_pem", "%s", what);
}

/* OpenSSL's question for a password; never a prompt. */
static int give_password(char *buf, int size, int is_writing, void *ctx)
{
    const char *password = ctx;
    size_t len = password ? strlen(password) : 0;

    (void)is_writing;
    if (!password || len > (size_t)size)
        return -1;
    memcpy(buf, password, len);
    return (int)len;
}

/* "Proc-Type: 4,ENCRYPTED" blocks: decrypts in place. */
static enum pn_rc decrypt_traditional(struct block *block, const char *password,
                                      struct pn_error *err)
{
    EVP_CIPHER_INFO cipher;

    if (!PEM_get_EVP_CIPHER_INFO(block->header, &cipher)) {
        ERR_clear_error();
        return pn_error_set(
            err, PN_UNSUPPORTED, "unsupported_algorithm",
            "the PEM key is encrypted in a way that is not supported; convert it to "
            "PKCS#8");
    }
    if (!cipher.cipher)
        return PN_OK;
    if (!PEM_do_header(&cipher, block->data, &block->len, give_password,
                       (void *)(uintptr_t)password))
        return pn_pfx_wrong_password(err, password);
    return PN_OK;
}

static enum pn_rc key_from_info(PKCS8_PRIV_KEY_INFO *info, EVP_PKEY **key, struct pn_error *err)
{
    *key = EVP_PKCS82PKEY(info);
    if (*key)
        return PN_OK;
    if (pn_pfx_queue_says_unsupported()) {
        ERR_clear_error();
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's algorithm is not supported; use RSA, EC or Ed25519");
    }
    return malformed(err, "the private key in the PEM file is broken");
}

static enum pn_rc read_encrypted_pkcs8(const struct block *block, const char *password,
                                       EVP_PKEY **key, struct pn_error *err)
{
    const unsigned char *at = block->data;
    X509_SIG *encrypted = d2i_X509_SIG(NULL, &at, block->len);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    enum pn_rc rc;

    if (!encrypted)
        return malformed(err, "the encrypted private key in the PEM file is broken");
    info = PKCS8_decrypt(encrypted, password ? password : "", -1);
    if (info)
        rc = key_from_info(info, key, err);
    else if (pn_pfx_queue_says_unsupported())
        rc = pn_error_from_openssl(err, PN_UNSUPPORTED, "unsupported_algorithm",
                                   "the PEM key is encrypted in a way that is not supported");
    else
        rc = pn_pfx_wrong_password(err, password);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_SIG_free(encrypted);
    return rc;
}

static enum pn_rc read_pkcs8(const struct block *block, EVP_PKEY **key, struct pn_error *err)
{
    const unsigned char *at = block->data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, block->len);
    enum pn_rc rc;

    if (!info)
        return malformed(err, "the private key in the PEM file is broken");
    rc = key_from_info(info, key, err);
    PKCS8_PRIV_KEY_INFO_free(info);
    return rc;
}

static enum pn_rc read_traditional(struct block *block, int type, const char *password,
                                   EVP_PKEY **key, struct pn_error *err)
{
    const unsigned char *at;
    bool was_encrypted = strstr(block->header, "ENCRYPTED") != NULL;
    enum pn_rc rc = decrypt_traditional(block, password, err);

    if (rc != PN_OK)
        return rc;
    at = block->data;
    *key = d2i_PrivateKey(type, NULL, &at, block->len);
    if (*key)
        return PN_OK;
    /* This old form has no integrity check: one wrong password in 256 decrypts to well-padded
     * noise. */
    if (was_encrypted)
        return pn_pfx_wrong_password(err, password);
    return malformed(err, "the private key in the PEM file is broken");
}

static enum pn_rc on_key(struct block *block, const char *password, struct pn_parts *parts,
                         struct pn_error *err)
{
    if (parts->key)
        return pn_error_set(err, PN_MALFORMED, "malformed_pem",
                            "the PEM file has more than one private key");
    if (strcmp(block->name, PEM_STRING_PKCS8INF) == 0)
        return read_pkcs8(block, &parts->key, err);
    if (strcmp(block->name, PEM_STRING_PKCS8) == 0)
        return read_encrypted_pkcs8(block, password, &parts->key, err);
    if (strcmp(block->name, PEM_STRING_RSA) == 0)
        return read_traditional(block, EVP_PKEY_RSA, password, &parts->key, err);
    if (strcmp(block->name, PEM_STRING_ECPRIVATEKEY) == 0)
        return read_traditional(block, EVP_PKEY_EC, password, &parts->key, err);
    return pn_error_set(
        err, PN_UNSUPPORTED, "unsupported_algorithm",
        "the PEM file's private key is of an unsupported kind; use RSA, EC or Ed25519");
}

static enum pn_rc on_certificate(const struct block *block, struct pn_parts *parts,
                                 struct pn_error *err)
{
    const unsigned char *at = block->data;
    X509 *certificate;

    if (sk_X509_num(parts->certificates) >= PN_CHAIN_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "the file has more than %d certificates", PN_CHAIN_MAX);
    certificate = d2i_X509(NULL, &at, block->len);
    if (!certificate)
        return malformed(err, "a certificate in the PEM file is broken");
    if (!sk_X509_push(parts->certificates, certificate)) {
        X509_free(certificate);
        return pn_pfx_no_memory(err);
    }
    return PN_OK;
}

static enum pn_rc on_block(struct block *block, const char *password, struct pn_parts *parts,
                           struct pn_error *err)
{
    size_t len = strlen(block->name);
    const char *private_key = "PRIVATE KEY";
    size_t suffix = strlen(private_key);

    if (strcmp(block->name, PEM_STRING_X509) == 0 || strcmp(block->name, PEM_STRING_X509_OLD) == 0)
        return on_certificate(block, parts, err);
    if (len >= suffix && strcmp(block->name + len - suffix, private_key) == 0)
        return on_key(block, password, parts, err);
    return PN_OK;
}

enum pn_rc pn_pem_read(struct pn_slice file, const char *password, struct pn_parts *parts,
                       struct pn_error *err)
{
    BIO *bio = file.len <= INT_MAX ? BIO_new_mem_buf(file.ptr, (int)file.len) : NULL;
    struct block block = {0};
    enum pn_rc rc = PN_OK;

    parts->certificates = sk_X509_new_null();
    if (!bio || !parts->certificates) {
        BIO_free(bio);
        return pn_pfx_no_memory(err);
    }
    while (rc == PN_OK && PEM_read_bio(bio, &block.name, &block.header, &block.data, &block.len)) {
        rc = on_block(&block, password, parts, err);
        block_free(&block);
    }
    if (rc == PN_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = malformed(err, "the PEM file is broken");
    ERR_clear_error();
    BIO_free(bio);
    return rc;
}
