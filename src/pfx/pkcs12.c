/* SPDX-License-Identifier: Apache-2.0
 *
 * PKCS#12 (RFC 7292) by OpenSSL. The MAC is checked first, by itself: it tells a wrong password
 * from a file that is broken or uses what we cannot.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "pfx/pfx_internal.h"

static enum pn_rc unsupported(struct pn_error *err, const char *what, const ASN1_OBJECT *algorithm)
{
    char name[80] = "unknown";

    if (algorithm)
        OBJ_obj2txt(name, sizeof(name), algorithm, 0);
    ERR_clear_error();
    return pn_error_set(
        err, PN_UNSUPPORTED, "unsupported_algorithm",
        "the PFX file uses %s %s, which is not supported; export it again with AES-256 "
        "and SHA-256",
        what, name);
}

/* Finds which form of the password opens the MAC: *effective is it. */
static enum pn_rc check_mac(PKCS12 *p12, const char *password, const char **effective,
                            struct pn_error *err)
{
    const X509_ALGOR *mac_algorithm = NULL;
    const ASN1_OBJECT *digest = NULL;
    bool is_empty = !password || *password == '\0';

    *effective = password;
    if (!PKCS12_mac_present(p12))
        return PN_OK;
    PKCS12_get0_mac(NULL, &mac_algorithm, NULL, NULL, p12);
    X509_ALGOR_get0(&digest, NULL, NULL, mac_algorithm);
    if (!EVP_get_digestbyobj(digest))
        return unsupported(err, "the integrity algorithm", digest);
    /* "No password" and "the empty password" are different keys in PKCS#12, and programs mean
     * either. */
    if (is_empty && PKCS12_verify_mac(p12, NULL, 0)) {
        *effective = NULL;
        return PN_OK;
    }
    ERR_clear_error();
    if (PKCS12_verify_mac(p12, is_empty ? "" : password, is_empty ? 0 : -1)) {
        *effective = is_empty ? "" : password;
        return PN_OK;
    }
    if (pn_pfx_queue_says_unsupported())
        return unsupported(err, "the integrity algorithm", digest);
    return pn_pfx_wrong_password(err, password);
}

/* The MAC was right (or there is none), and still it does not open. */
static enum pn_rc parse_failed(PKCS12 *p12, const char *password, struct pn_error *err)
{
    if (pn_pfx_queue_says_unsupported())
        return unsupported(err, "an encryption algorithm", NULL);
    if (!PKCS12_mac_present(p12))
        return pn_pfx_wrong_password(err, password);
    return pn_error_from_openssl(err, PN_MALFORMED, "not_pfx",
                                 "the PFX file's password is right but its content is broken");
}

enum pn_rc pn_pkcs12_read(struct pn_slice file, const char *password, struct pn_parts *parts,
                          struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)file.ptr;
    PKCS12 *p12 = file.len <= LONG_MAX ? d2i_PKCS12(NULL, &at, (long)file.len) : NULL;
    const char *effective = NULL;
    X509 *matching = NULL;
    enum pn_rc rc;

    if (!p12)
        return pn_error_from_openssl(err, PN_MALFORMED, "not_pfx",
                                     "the data is neither a PKCS#12 (PFX) file nor PEM");
    rc = check_mac(p12, password, &effective, err);
    if (rc != PN_OK)
        goto out;
    if (!PKCS12_parse(p12, effective, &parts->key, &matching, &parts->certificates)) {
        rc = parse_failed(p12, password, err);
        goto out;
    }
    if (!parts->certificates)
        parts->certificates = sk_X509_new_null();
    if (!parts->certificates || (matching && !sk_X509_unshift(parts->certificates, matching))) {
        rc = pn_pfx_no_memory(err);
        goto out;
    }
    matching = NULL; /* now in the stack */
out:
    X509_free(matching);
    PKCS12_free(p12);
    return rc;
}
