/* SPDX-License-Identifier: Apache-2.0
 *
 * PEM files (RFC 7468): private keys in any of their four forms, and certificates, in any order.
 * Blocks of other kinds are passed over, so that a file with parameters or a CRL in it works.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "certs/private_key.h"
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
    const struct pn_password *password = ctx;

    (void)is_writing;
    if (!password->ptr || password->len > size)
        return -1;
    memcpy(buf, password->ptr, (size_t)password->len);
    return password->len;
}

/* "Proc-Type: 4,ENCRYPTED" blocks: decrypts a copy of the block into *plain. PN_DENIED: not with
 * this form of the password. */
static enum pn_rc decrypt_traditional(const struct block *block, EVP_CIPHER_INFO *cipher,
                                      const struct pn_password *password, struct block *plain)
{
    plain->data = OPENSSL_memdup(block->data, (size_t)block->len);
    plain->len = block->len;
    if (!plain->data)
        return PN_NOMEM;
    if (!cipher->cipher ||
        PEM_do_header(cipher, plain->data, &plain->len, give_password, (void *)(uintptr_t)password))
        return PN_OK;
    plain->len = block->len; /* all of it is to be wiped */
    return PN_DENIED;
}

static enum pn_rc key_from_info(PKCS8_PRIV_KEY_INFO *info, EVP_PKEY **key, struct pn_error *err)
{
    *key = pn_private_key_decode(info);
    if (*key)
        return PN_OK;
    if (pn_pfx_queue_says_unsupported()) {
        ERR_clear_error();
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's algorithm is not supported; use RSA, EC or Ed25519");
    }
    return malformed(err, "the private key in the PEM file is broken");
}

static enum pn_rc read_encrypted_pkcs8(const struct block *block,
                                       const struct pn_passwords *passwords, struct pn_parts *parts,
                                       EVP_PKEY **key, struct pn_error *err)
{
    const unsigned char *at = block->data;
    X509_SIG *encrypted = d2i_X509_SIG(NULL, &at, block->len);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    const X509_ALGOR *algorithm = NULL;
    bool is_unsupported = false;
    enum pn_rc rc = PN_OK;

    if (!encrypted)
        return malformed(err, "the encrypted private key in the PEM file is broken");
    X509_SIG_get0(encrypted, &algorithm, NULL);
    pn_pfx_note_encryption(parts, algorithm);
    for (size_t i = 0; rc == PN_OK && !info && !is_unsupported && i < passwords->count; i++) {
        ERR_clear_error();
        rc = pn_pfx_charge(parts, algorithm, err);
        if (rc == PN_OK)
            info = PKCS8_decrypt(encrypted, passwords->forms[i].ptr, passwords->forms[i].len);
        is_unsupported = !info && pn_pfx_queue_says_unsupported();
    }
    if (info)
        rc = key_from_info(info, key, err);
    else if (is_unsupported)
        rc = pn_pfx_unsupported(err, "the encryption", algorithm->algorithm);
    else if (rc == PN_OK)
        rc = pn_pfx_wrong_password(err, passwords);
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

/* This old form has no integrity check: one wrong password in 256 decrypts to well-padded noise,
 * which then is no key. */
static enum pn_rc read_traditional(const struct block *block, int type,
                                   const struct pn_passwords *passwords, struct pn_parts *parts,
                                   EVP_PKEY **key, struct pn_error *err)
{
    EVP_CIPHER_INFO cipher;
    enum pn_rc rc = PN_OK;

    if (!PEM_get_EVP_CIPHER_INFO(block->header, &cipher)) {
        ERR_clear_error();
        return pn_error_set(
            err, PN_UNSUPPORTED, "unsupported_algorithm",
            "the PEM key is encrypted in a way that is not supported; convert it to "
            "PKCS#8");
    }
    if (cipher.cipher)
        pn_file_facts_note(
            &parts->out->facts, "weak_encryption",
            "the key is encrypted in OpenSSL's old form, which is easily guessed at: "
            "treat the file as a secret, and convert it to PKCS#8");
    for (size_t i = 0; rc != PN_NOMEM && !*key && i < passwords->count; i++) {
        struct block plain = {0};
        const unsigned char *at;

        if (passwords->forms[i].only_pbes2)
            continue;
        rc = decrypt_traditional(block, &cipher, &passwords->forms[i], &plain);
        at = plain.data;
        if (rc == PN_OK)
            *key = d2i_PrivateKey(type, NULL, &at, plain.len);
        block_free(&plain);
    }
    if (*key)
        return PN_OK;
    if (rc == PN_NOMEM)
        return pn_pfx_no_memory(err);
    return cipher.cipher ? pn_pfx_wrong_password(err, passwords)
                         : malformed(err, "the private key in the PEM file is broken");
}

static void note_plain(const struct block *block, struct pn_parts *parts)
{
    if (strcmp(block->name, PEM_STRING_PKCS8) != 0 && !strstr(block->header, "ENCRYPTED"))
        pn_file_facts_note(
            &parts->out->facts, "not_encrypted",
            "the private key is in the file without encryption: treat it as a secret");
}

static enum pn_rc read_key(const struct block *block, const struct pn_passwords *passwords,
                           struct pn_parts *parts, EVP_PKEY **key, struct pn_error *err)
{
    if (strcmp(block->name, PEM_STRING_PKCS8INF) == 0)
        return read_pkcs8(block, key, err);
    if (strcmp(block->name, PEM_STRING_PKCS8) == 0)
        return read_encrypted_pkcs8(block, passwords, parts, key, err);
    if (strcmp(block->name, PEM_STRING_RSA) == 0)
        return read_traditional(block, EVP_PKEY_RSA, passwords, parts, key, err);
    if (strcmp(block->name, PEM_STRING_ECPRIVATEKEY) == 0)
        return read_traditional(block, EVP_PKEY_EC, passwords, parts, key, err);
    return PN_NOT_FOUND;
}

static enum pn_rc on_key(const struct block *block, const struct pn_passwords *passwords,
                         struct pn_parts *parts, struct pn_error *err)
{
    EVP_PKEY *key = NULL;
    enum pn_rc rc = read_key(block, passwords, parts, &key, err);

    if (rc == PN_NOT_FOUND) { /* DSA, OpenSSH */
        parts->strange_keys++;
        return PN_OK;
    }
    if (rc != PN_OK)
        return rc;
    note_plain(block, parts);
    return pn_parts_add_key(parts, key, "", err);
}

static enum pn_rc on_certificate(const struct block *block, struct pn_parts *parts,
                                 struct pn_error *err)
{
    const unsigned char *at = block->data;
    X509 *certificate;

    /* "TRUSTED" ones have OpenSSL's own data behind the certificate */
    if (strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0)
        certificate = d2i_X509_AUX(NULL, &at, block->len);
    else
        certificate = d2i_X509(NULL, &at, block->len);
    if (!certificate)
        return malformed(err, "a certificate in the PEM file is broken");
    return pn_parts_add_certificate(parts, certificate, err);
}

static enum pn_rc on_block(const struct block *block, const struct pn_passwords *passwords,
                           struct pn_parts *parts, struct pn_error *err)
{
    size_t len = strlen(block->name);
    const char *private_key = "PRIVATE KEY";
    size_t suffix = strlen(private_key);

    if (strcmp(block->name, PEM_STRING_X509) == 0 ||
        strcmp(block->name, PEM_STRING_X509_OLD) == 0 ||
        strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0)
        return on_certificate(block, parts, err);
    if (len >= suffix && strcmp(block->name + len - suffix, private_key) == 0)
        return on_key(block, passwords, parts, err);
    return PN_OK;
}

enum pn_rc pn_pem_read(struct pn_slice file, const struct pn_passwords *passwords,
                       struct pn_parts *parts, struct pn_error *err)
{
    BIO *bio = file.len <= INT_MAX ? BIO_new_mem_buf(file.ptr, (int)file.len) : NULL;
    struct block block = {0};
    enum pn_rc rc = PN_OK;

    if (!bio)
        return pn_pfx_no_memory(err);
    while (rc == PN_OK && PEM_read_bio(bio, &block.name, &block.header, &block.data, &block.len)) {
        rc = on_block(&block, passwords, parts, err);
        block_free(&block);
    }
    if (rc == PN_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = malformed(err, "the PEM file is broken");
    ERR_clear_error();
    BIO_free(bio);
    snprintf(parts->out->facts.integrity, sizeof(parts->out->facts.integrity), "none");
    if (!parts->out->facts.encryption[0])
        snprintf(parts->out->facts.encryption, sizeof(parts->out->facts.encryption), "none");
    return rc;
}
