/* SPDX-License-Identifier: Apache-2.0
 *
 * Key files: which kind, and what both kinds share.
 */
#include "pfx/pfx.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/provider.h>

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

enum pn_rc pn_pfx_unsupported(struct pn_error *err, const char *what, const ASN1_OBJECT *algorithm)
{
    char name[80] = "unknown";

    if (algorithm)
        OBJ_obj2txt(name, sizeof(name), algorithm, 0);
    ERR_clear_error();
    return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                        "the file uses %s %s, which is not supported; export it again with AES-256 "
                        "and SHA-256 (the password may well be right)",
                        what, name);
}

enum pn_rc pn_pfx_wrong_password(struct pn_error *err, const struct pn_passwords *passwords)
{
    ERR_clear_error();
    return pn_error_set(err, PN_DENIED, "wrong_password",
                        passwords->was_given ? "the password does not open the file"
                                             : "the file needs a password, and none was given");
}

static enum pn_rc open_parts(struct pn_slice file, const struct pn_passwords *passwords,
                             struct pn_opened *out, struct pn_error *err)
{
    struct pn_parts parts = {.certificates = sk_X509_new_null(), .out = out};
    bool is_pem = pn_slice_find_slice(file, PN_LIT("-----BEGIN ")) < file.len;
    enum pn_rc rc;

    out->format = is_pem ? PN_FILE_PEM : PN_FILE_PKCS12;
    if (!parts.certificates)
        return pn_pfx_no_memory(err);
    rc = is_pem ? pn_pem_read(file, passwords, &parts, err)
                : pn_pkcs12_read(file, passwords, &parts, err);
    if (rc == PN_OK)
        rc = pn_parts_choose(&parts, err);
    for (size_t i = 0; i < parts.key_count; i++)
        EVP_PKEY_free(parts.keys[i].key);
    sk_X509_pop_free(parts.certificates, X509_free);
    return rc;
}

enum pn_rc pn_pfx_open(struct pn_slice file, struct pn_slice password, struct pn_opened *out,
                       struct pn_error *err)
{
    struct pn_passwords passwords;
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
    if (pn_passwords_init(&passwords, password) != PN_OK)
        return pn_pfx_no_memory(err);
    ERR_clear_error();
    rc = open_parts(file, &passwords, out, err);
    pn_passwords_fini(&passwords);
    if (rc != PN_OK)
        pn_opened_fini(out);
    return rc;
}
