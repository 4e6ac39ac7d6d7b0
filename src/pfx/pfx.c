/* SPDX-License-Identifier: Apache-2.0
 *
 * Key files: which kind, what is checked of each, and the chain's order.
 */
#include "pfx/pfx.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "base/secret.h"
#include "ipc/protocol.h"
#include "pfx/pfx_internal.h"

enum pn_rc pn_pfx_init(struct pn_pfx_library *library, struct pn_error *err)
{
    *library = (struct pn_pfx_library){.standard = OSSL_PROVIDER_load(NULL, "default")};
    if (!library->standard)
        return pn_error_from_openssl(err, PN_INTERNAL, "openssl",
                                     "OpenSSL has no default provider");
    library->legacy = OSSL_PROVIDER_load(NULL, "legacy");
    if (!library->legacy)
        ERR_clear_error(); /* all but old files open */
    return PN_OK;
}

void pn_pfx_fini(struct pn_pfx_library *library)
{
    if (library->legacy)
        OSSL_PROVIDER_unload(library->legacy);
    if (library->standard)
        OSSL_PROVIDER_unload(library->standard);
    *library = (struct pn_pfx_library){0};
}

void pn_opened_fini(struct pn_opened *opened)
{
    if (!opened)
        return;
    pn_buf_fini(&opened->pkcs8);
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_fini(&opened->chain[i]);
    opened->chain_count = 0;
}

enum pn_rc pn_pfx_no_memory(struct pn_error *err)
{
    ERR_clear_error();
    return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory while opening the file");
}

bool pn_pfx_queue_says_unsupported(void)
{
    unsigned long first = ERR_peek_error();
    unsigned long last = ERR_peek_last_error();

    return ERR_GET_REASON(first) == ERR_R_UNSUPPORTED ||
           ERR_GET_REASON(last) == ERR_R_UNSUPPORTED ||
           (ERR_GET_LIB(first) == ERR_LIB_EVP &&
            (ERR_GET_REASON(first) == EVP_R_UNSUPPORTED_ALGORITHM ||
             ERR_GET_REASON(first) == EVP_R_UNKNOWN_PBE_ALGORITHM ||
             ERR_GET_REASON(first) == EVP_R_UNSUPPORTED_CIPHER ||
             ERR_GET_REASON(first) == EVP_R_UNSUPPORTED_PRF ||
             ERR_GET_REASON(first) == EVP_R_UNSUPPORTED_PRIVATE_KEY_ALGORITHM ||
             ERR_GET_REASON(first) == EVP_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION));
}

enum pn_rc pn_pfx_wrong_password(struct pn_error *err, const char *password)
{
    ERR_clear_error();
    return pn_error_set(err, PN_DENIED, "wrong_password",
                        password && *password ? "the password does not open the file"
                                              : "the file needs a password, and none was given");
}

static enum pn_rc check_key(const EVP_PKEY *key, struct pn_error *err)
{
    int type = EVP_PKEY_get_base_id(key);
    int bits = EVP_PKEY_get_bits(key);
    char group[32] = "";

    if (type == EVP_PKEY_ED25519)
        return PN_OK;
    if (type == EVP_PKEY_EC) {
        if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) &&
            (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ||
             strcmp(group, "secp521r1") == 0))
            return PN_OK;
        ERR_clear_error();
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's curve is not supported; use P-256, P-384 or P-521");
    }
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_RSA_PSS)
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's algorithm is not supported; use RSA, EC or Ed25519");
    if (bits < (int)PN_RSA_BITS_MIN || bits > (int)PN_RSA_BITS_MAX)
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the RSA key has %d bits; %u to %u are supported", bits,
                            PN_RSA_BITS_MIN, PN_RSA_BITS_MAX);
    return PN_OK;
}

static enum pn_rc put_certificate(X509 *certificate, struct pn_opened *out, struct pn_error *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    enum pn_rc rc = PN_NOMEM;

    if (len > 0)
        rc = pn_buf_append(&out->chain[out->chain_count], der, (size_t)len);
    OPENSSL_free(der);
    if (rc != PN_OK)
        return pn_pfx_no_memory(err);
    out->chain_count++;
    return PN_OK;
}

/* The issuer of `certificate` among those not yet used; used ones are NULL. */
static X509 *take_issuer(X509 **unused, int count, X509 *certificate)
{
    if (X509_check_issued(certificate, certificate) == X509_V_OK)
        return NULL;
    for (int i = 0; i < count; i++) {
        if (unused[i] && X509_check_issued(unused[i], certificate) == X509_V_OK) {
            X509 *found = unused[i];

            unused[i] = NULL;
            return found;
        }
    }
    return NULL;
}

static enum pn_rc order_chain(const struct pn_parts *parts, struct pn_opened *out,
                              struct pn_error *err)
{
    X509 *unused[PN_CHAIN_MAX];
    X509 *next = NULL;
    int count = sk_X509_num(parts->certificates);
    enum pn_rc rc = PN_OK;

    if (count <= 0)
        return pn_error_set(err, PN_INVALID, "no_certificate", "the file has no certificate");
    if (count > PN_CHAIN_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "the file has %d certificates; at most %d are supported", count,
                            PN_CHAIN_MAX);
    for (int i = 0; i < count; i++) {
        unused[i] = sk_X509_value(parts->certificates, i);
        if (!next && X509_check_private_key(unused[i], parts->key) == 1) {
            next = unused[i];
            unused[i] = NULL;
        }
    }
    ERR_clear_error(); /* one entry for each certificate that did not match */
    if (!next)
        return pn_error_set(err, PN_INVALID, "key_mismatch",
                            "none of the file's certificates belongs to its private key");
    for (; next && rc == PN_OK; next = take_issuer(unused, count, next))
        rc = put_certificate(next, out, err);
    ERR_clear_error();
    return rc;
}

static enum pn_rc put_key(const EVP_PKEY *key, struct pn_opened *out, struct pn_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    enum pn_rc rc = PN_NOMEM;

    if (len > 0) {
        rc = pn_buf_append(&out->pkcs8, der, (size_t)len);
        pn_wipe(der, (size_t)len);
    }
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return rc == PN_OK ? PN_OK : pn_pfx_no_memory(err);
}

static enum pn_rc open_parts(struct pn_slice file, const char *password, struct pn_opened *out,
                             struct pn_error *err)
{
    struct pn_parts parts = {0};
    bool is_pem = pn_slice_find_slice(file, PN_LIT("-----BEGIN ")) < file.len;
    enum pn_rc rc;

    out->format = is_pem ? PN_FILE_PEM : PN_FILE_PKCS12;
    rc = is_pem ? pn_pem_read(file, password, &parts, err)
                : pn_pkcs12_read(file, password, &parts, err);
    if (rc == PN_OK && !parts.key)
        rc = pn_error_set(err, PN_INVALID, "no_key", "the file has no private key");
    if (rc == PN_OK)
        rc = check_key(parts.key, err);
    if (rc == PN_OK)
        rc = order_chain(&parts, out, err);
    if (rc == PN_OK)
        rc = put_key(parts.key, out, err);
    EVP_PKEY_free(parts.key);
    sk_X509_pop_free(parts.certificates, X509_free);
    return rc;
}

enum pn_rc pn_pfx_open(struct pn_slice file, struct pn_slice password, struct pn_opened *out,
                       struct pn_error *err)
{
    struct pn_secret text = {0};
    enum pn_rc rc;

    memset(out, 0, sizeof(*out));
    pn_buf_init_secret(&out->pkcs8, PN_IMPORT_BYTES_MAX);
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_init(&out->chain[i], PN_IMPORT_BYTES_MAX);
    if (file.len > PN_IMPORT_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_large", "the file is larger than %u bytes",
                            PN_IMPORT_BYTES_MAX);
    if (file.len == 0)
        return pn_error_set(err, PN_MALFORMED, "not_pfx", "the file is empty");
    /* OpenSSL takes texts; a NUL would cut the password to a shorter one that might fit. */
    if (password.len > PN_PASSWORD_BYTES_MAX ||
        (password.len > 0 && memchr(password.ptr, '\0', password.len)))
        return pn_error_set(err, PN_DENIED, "wrong_password",
                            "the password is longer than %u bytes or has a NUL byte in it",
                            PN_PASSWORD_BYTES_MAX);
    if (pn_secret_init(&text, password.len + 1) != PN_OK)
        return pn_pfx_no_memory(err);
    if (password.len > 0)
        memcpy(text.ptr, password.ptr, password.len);
    ERR_clear_error();
    rc = open_parts(file, password.ptr ? (const char *)text.ptr : NULL, out, err);
    pn_secret_fini(&text);
    if (rc != PN_OK)
        pn_opened_fini(out);
    return rc;
}
