/* SPDX-License-Identifier: Apache-2.0
 *
 * Bundles: checked, sealed, exported.
 */
#include "keyholder/bundle.h"

#include <limits.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "ipc/frame.h"
#include "keyholder/keys.h"
#include "keyholder/sign.h"

#define BLOB_DOMAIN    PN_LIT("blob")
#define BLOB_VERSION   2 /* 1 had no flags: exportable */
#define FLAG_PRIVATE   1
#define BLOB_BYTES_MAX (2u * PN_IMPORT_BYTES_MAX)
#define PFX_ITERATIONS 2048 /* the password is empty: more of them would protect nothing */

void pn_bundle_fini(struct pn_bundle *bundle)
{
    if (!bundle)
        return;
    EVP_PKEY_free(bundle->key);
    sk_X509_pop_free(bundle->chain, X509_free);
    *bundle = (struct pn_bundle){0};
}

static enum pn_rc add_certificate(STACK_OF(X509) * chain, struct pn_slice der, struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *certificate =
        der.len > 0 && der.len <= INT_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;

    if (!certificate)
        return pn_error_from_openssl(err, PN_MALFORMED, "no_certificate",
                                     "a certificate of the chain is broken");
    if (!sk_X509_push(chain, certificate)) {
        X509_free(certificate);
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    return PN_OK;
}

enum pn_rc pn_bundle_make(int format, struct pn_slice pkcs8, const struct pn_slice *chain,
                          size_t count, struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_bundle made = {.format = format, .chain = sk_X509_new_null()};
    EVP_PKEY *public_key;
    enum pn_rc rc = PN_OK;

    if (!made.chain)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc == PN_OK && (count < 1 || count > PN_CHAIN_MAX))
        rc = pn_error_set(err, PN_INVALID, "no_certificate",
                          "there are %zu certificates, not 1 to %d", count, PN_CHAIN_MAX);
    if (rc == PN_OK)
        rc = pn_key_from_pkcs8(pkcs8, &made.key, err);
    for (size_t i = 0; i < count && rc == PN_OK; i++)
        rc = add_certificate(made.chain, chain[i], err);
    if (rc == PN_OK) {
        public_key = X509_get0_pubkey(sk_X509_value(made.chain, 0));
        if (!public_key || EVP_PKEY_eq(public_key, made.key) != 1) {
            ERR_clear_error();
            rc = pn_error_set(err, PN_INVALID, "key_mismatch",
                              "the certificate does not belong to the private key");
        } else {
            rc = pn_sign_pair_check(made.key, public_key, err);
        }
    }
    if (rc != PN_OK)
        pn_bundle_fini(&made);
    else
        *bundle = made;
    return rc;
}

static enum pn_rc put_der(struct pn_buf *out, X509 *certificate)
{
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    enum pn_rc rc = len > 0 ? pn_frame_bytes(out, pn_slice(der, (size_t)len)) : PN_INTERNAL;

    OPENSSL_free(der);
    return rc;
}

/* u8 version · u8 format · u8 flags · bytes PKCS#8 · u32 n · n × bytes DER */
static enum pn_rc encode(const struct pn_bundle *bundle, struct pn_buf *plain, struct pn_error *err)
{
    struct pn_buf pkcs8;
    int count = sk_X509_num(bundle->chain);
    enum pn_rc rc;

    pn_buf_init_secret(&pkcs8, PN_IMPORT_BYTES_MAX);
    rc = pn_key_to_pkcs8(bundle->key, &pkcs8, err);
    if (rc == PN_OK)
        rc = pn_frame_u8(plain, BLOB_VERSION);
    if (rc == PN_OK)
        rc = pn_frame_u8(plain, (uint8_t)bundle->format);
    if (rc == PN_OK)
        rc = pn_frame_u8(plain, bundle->is_private ? FLAG_PRIVATE : 0);
    if (rc == PN_OK)
        rc = pn_frame_bytes(plain, pn_buf_slice(&pkcs8));
    if (rc == PN_OK)
        rc = pn_frame_u32(plain, (uint32_t)count);
    for (int i = 0; i < count && rc == PN_OK; i++)
        rc = put_der(plain, sk_X509_value(bundle->chain, i));
    pn_buf_fini(&pkcs8);
    if (rc != PN_OK)
        return pn_error_set(err, rc, "too_large", "the key and its chain cannot be encoded");
    return PN_OK;
}

enum pn_rc pn_bundle_seal(const struct pn_bundle *bundle, const struct pn_master *master,
                          struct pn_slice context, struct pn_buf *sealed, struct pn_error *err)
{
    struct pn_buf plain;
    enum pn_rc rc;

    pn_buf_init_secret(&plain, BLOB_BYTES_MAX);
    rc = encode(bundle, &plain, err);
    if (rc == PN_OK) {
        rc = pn_seal(master, BLOB_DOMAIN, context, pn_buf_slice(&plain), sealed);
        if (rc != PN_OK)
            pn_error_set(err, rc, "seal", "the key and its chain cannot be sealed");
    }
    pn_buf_fini(&plain);
    return rc;
}

static enum pn_rc decode(struct pn_slice plain, struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_slice pkcs8, chain[PN_CHAIN_MAX];
    uint8_t version, format, flags = 0;
    uint32_t count = 0;
    enum pn_rc rc;
    bool is_fine = pn_frame_read_u8(&plain, &version) == PN_OK &&
                   (version == 1 || version == BLOB_VERSION) &&
                   pn_frame_read_u8(&plain, &format) == PN_OK &&
                   (version == 1 || pn_frame_read_u8(&plain, &flags) == PN_OK) &&
                   pn_frame_read_bytes(&plain, &pkcs8) == PN_OK &&
                   pn_frame_read_u32(&plain, &count) == PN_OK && count <= PN_CHAIN_MAX;

    for (uint32_t i = 0; i < count && is_fine; i++)
        is_fine = pn_frame_read_bytes(&plain, &chain[i]) == PN_OK;
    if (!is_fine)
        return pn_error_set(err, PN_MALFORMED, "sealed",
                            "the sealed key has a form that is not known");
    rc = pn_bundle_make(format, pkcs8, chain, count, bundle, err);
    if (rc == PN_OK)
        bundle->is_private = (flags & FLAG_PRIVATE) != 0;
    return rc;
}

enum pn_rc pn_bundle_unseal(const struct pn_master *master, struct pn_slice context,
                            struct pn_slice sealed, struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_buf plain;
    enum pn_rc rc;

    pn_buf_init_secret(&plain, BLOB_BYTES_MAX);
    rc = pn_unseal(master, BLOB_DOMAIN, context, sealed, &plain);
    if (rc == PN_OK)
        rc = decode(pn_buf_slice(&plain), bundle, err);
    else
        pn_error_set(err, rc, "sealed",
                     "the sealed key was changed, belongs elsewhere, or was sealed by another "
                     "installation");
    pn_buf_fini(&plain);
    return rc;
}

static bool write_pkcs12(const struct pn_bundle *bundle, BIO *bio)
{
    STACK_OF(X509) *issuers = sk_X509_dup(bundle->chain);
    X509 *leaf = issuers ? sk_X509_shift(issuers) : NULL;
    PKCS12 *p12 = leaf ? PKCS12_create("", NULL, bundle->key, leaf, issuers, NID_aes_256_cbc,
                                       NID_aes_256_cbc, PFX_ITERATIONS, PFX_ITERATIONS, 0)
                       : NULL;
    bool is_written = p12 && i2d_PKCS12_bio(bio, p12) == 1;

    PKCS12_free(p12);
    sk_X509_free(issuers);
    return is_written;
}

static bool write_pem(const struct pn_bundle *bundle, BIO *bio)
{
    bool is_fine = PEM_write_bio_PKCS8PrivateKey(bio, bundle->key, NULL, NULL, 0, NULL, NULL) == 1;

    for (int i = 0; i < sk_X509_num(bundle->chain) && is_fine; i++)
        is_fine = PEM_write_bio_X509(bio, sk_X509_value(bundle->chain, i)) == 1;
    return is_fine;
}

enum pn_rc pn_bundle_export(const struct pn_bundle *bundle, int format, struct pn_buf *out,
                            struct pn_error *err)
{
    BIO *bio;
    char *bytes = NULL;
    long len;
    enum pn_rc rc = PN_OK;

    if (format != PN_FILE_PKCS12 && format != PN_FILE_PEM)
        return pn_error_set(err, PN_INVALID, "format", "no such file format: %d", format);
    if (bundle->is_private)
        return pn_error_set(err, PN_DENIED, "not_exportable",
                            "the key was made or imported as not exportable");
    bio = BIO_new(BIO_s_secmem());
    if (!bio)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (!(format == PN_FILE_PKCS12 ? write_pkcs12(bundle, bio) : write_pem(bundle, bio)))
        rc = pn_error_from_openssl(err, PN_INTERNAL, "export", "the key cannot be exported");
    len = BIO_get_mem_data(bio, &bytes);
    if (rc == PN_OK) {
        rc = pn_buf_append(out, bytes, (size_t)len);
        if (rc != PN_OK)
            pn_error_set(err, rc, "no_memory", "no room for the exported file");
    }
    BIO_free(bio); /* wipes: it is in the secure heap */
    return rc;
}
