/* SPDX-License-Identifier: Apache-2.0
 *
 * CA sets.
 */
#include "tls/roots.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define BUNDLE_BYTES_MAX (16u * 1024 * 1024)

struct pn_trust_roots {
    atomic_size_t references;
    X509_STORE *store;
    size_t count;
    uint8_t (
        *hashes)[PN_SHA256_BYTES]; /* of each certificate, sorted before the set is given out */
    uint8_t id[PN_SHA256_BYTES];
};

static struct pn_trust_roots *roots_new(void)
{
    struct pn_trust_roots *roots = calloc(1, sizeof(*roots));

    if (!roots)
        return NULL;
    atomic_init(&roots->references, 1);
    roots->store = X509_STORE_new();
    roots->hashes = malloc(PN_TRUST_ROOTS_MAX * sizeof(*roots->hashes));
    if (!roots->store || !roots->hashes) {
        pn_trust_roots_unref(roots);
        return NULL;
    }
    return roots;
}

static enum pn_rc roots_add(struct pn_trust_roots *roots, X509 *x509, struct pn_error *err)
{
    uint8_t hash[PN_SHA256_BYTES];
    unsigned len = sizeof(hash);

    if (X509_digest(x509, EVP_sha256(), hash, &len) != 1)
        return pn_error_from_openssl(err, PN_INTERNAL, "hash_failed", "A CA cannot be hashed");
    for (size_t i = 0; i < roots->count; i++) {
        if (memcmp(roots->hashes[i], hash, sizeof(hash)) == 0)
            return PN_OK; /* the same file by two names */
    }
    if (roots->count == PN_TRUST_ROOTS_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_cas", "A CA set has at most %d certificates.",
                            PN_TRUST_ROOTS_MAX);
    if (X509_STORE_add_cert(roots->store, x509) != 1)
        return pn_error_from_openssl(err, PN_NOMEM, "no_memory", "A CA cannot be kept");
    memcpy(roots->hashes[roots->count++], hash, sizeof(hash));
    return PN_OK;
}

static enum pn_rc roots_add_pem(struct pn_trust_roots *roots, struct pn_slice pem,
                                struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);

    if (!bio)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory to read CAs.");
    ERR_clear_error();
    while (rc == PN_OK) {
        X509 *x509 = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);

        if (!x509)
            break;
        rc = roots_add(roots, x509, err);
        X509_free(x509);
    }
    /* "no start line" is how PEM says that the text is over */
    if (rc == PN_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = pn_error_from_openssl(err, PN_MALFORMED, "malformed_ca",
                                   "Certificate number %zu of the CA bundle cannot be read",
                                   roots->count + 1);
    ERR_clear_error();
    BIO_free(bio);
    return rc;
}

static enum pn_rc roots_add_der(struct pn_trust_roots *roots, struct pn_slice der,
                                struct pn_error *err)
{
    const unsigned char *cursor = (const unsigned char *)der.ptr;
    const unsigned char *end = cursor + der.len;

    while (cursor < end) {
        X509 *x509 = d2i_X509(NULL, &cursor, (long)(end - cursor));
        enum pn_rc rc;

        if (!x509)
            return pn_error_from_openssl(err, PN_MALFORMED, "malformed_ca",
                                         "CA number %zu is not a certificate, neither PEM nor DER",
                                         roots->count + 1);
        rc = roots_add(roots, x509, err);
        X509_free(x509);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static int hash_compare(const void *a, const void *b)
{
    return memcmp(a, b, PN_SHA256_BYTES);
}

static void roots_finish(struct pn_trust_roots *roots)
{
    qsort(roots->hashes, roots->count, sizeof(*roots->hashes), hash_compare);
    pn_sha256(pn_slice(roots->hashes, roots->count * sizeof(*roots->hashes)), roots->id);
}

enum pn_rc pn_trust_roots_from(struct pn_slice certificates, struct pn_trust_roots **out,
                               struct pn_error *err)
{
    enum pn_rc rc;
    struct pn_trust_roots *roots;

    if (certificates.len > BUNDLE_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "ca_bundle_too_large",
                            "A CA bundle has at most %u bytes.", BUNDLE_BYTES_MAX);
    roots = roots_new();
    if (!roots)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a CA set.");
    if (pn_slice_find_slice(certificates, PN_LIT("-----BEGIN ")) < certificates.len)
        rc = roots_add_pem(roots, certificates, err);
    else
        rc = roots_add_der(roots, certificates, err);
    if (rc == PN_OK && !roots->count)
        rc = pn_error_set(err, PN_NOT_FOUND, "no_ca", "There is no certificate in the CA bundle.");
    if (rc != PN_OK) {
        pn_trust_roots_unref(roots);
        return rc;
    }
    roots_finish(roots);
    *out = roots;
    return PN_OK;
}

static enum pn_rc roots_add_file(struct pn_trust_roots *roots, const char *path,
                                 struct pn_error *err)
{
    struct pn_buf text;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&text, BUNDLE_BYTES_MAX);
    if (pn_file_read(path, &text, NULL) == PN_OK)
        rc = roots_add_pem(roots, pn_buf_slice(&text), err);
    if (rc != PN_OK)
        pn_error_prefix(err, "%s", path);
    pn_buf_fini(&text);
    return rc;
}

/* Files of a CA folder are one certificate each, often by several names; what is no certificate
 * there (a README, a CRL) is passed over. */
static enum pn_rc roots_add_folder(struct pn_trust_roots *roots, const char *path,
                                   struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (!folder)
        return PN_OK;
    for (entry = readdir(folder); entry && rc == PN_OK; entry = readdir(folder)) {
        char file[4096];
        struct pn_error ignored;
        int len = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);

        if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof(file))
            continue;
        if (roots_add_file(roots, file, &ignored) == PN_LIMIT)
            rc = pn_error_set(err, PN_LIMIT, ignored.code, "%s", ignored.message);
    }
    closedir(folder);
    return rc;
}

/* What the operator named, and only that; otherwise where distributions keep them. */
static enum pn_rc roots_add_system(struct pn_trust_roots *roots, struct pn_error *err)
{
    const char *file = getenv(X509_get_default_cert_file_env());
    const char *folder = getenv(X509_get_default_cert_dir_env());
    const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                   "/etc/pki/tls/certs/ca-bundle.crt",
                                   X509_get_default_cert_file()};
    enum pn_rc rc = PN_OK;

    if ((file && *file) || (folder && *folder)) {
        if (file && *file)
            rc = roots_add_file(roots, file, err);
        if (rc == PN_OK && folder && *folder)
            rc = roots_add_folder(roots, folder, err);
        return rc;
    }
    for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]) && !roots->count; i++) {
        rc = roots_add_file(roots, bundles[i], err);
        if (rc != PN_OK)
            return rc;
    }
    if (!roots->count)
        rc = roots_add_folder(roots, X509_get_default_cert_dir(), err);
    return rc;
}

enum pn_rc pn_trust_roots_system(struct pn_trust_roots **out, struct pn_error *err)
{
    struct pn_trust_roots *roots = roots_new();
    enum pn_rc rc;

    if (!roots)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for the system's CAs.");
    rc = roots_add_system(roots, err);
    if (rc == PN_OK && !roots->count)
        rc = pn_error_set(
            err, PN_NOT_FOUND, "no_system_cas",
            "No CA certificates were found. Install the package ca-certificates, or let "
            "%s or %s name a bundle or a folder that can be read.",
            X509_get_default_cert_file_env(), X509_get_default_cert_dir_env());
    if (rc != PN_OK) {
        pn_trust_roots_unref(roots);
        return rc;
    }
    roots_finish(roots);
    *out = roots;
    return PN_OK;
}

size_t pn_trust_roots_count(const struct pn_trust_roots *roots)
{
    return roots->count;
}

struct pn_trust_roots *pn_trust_roots_ref(struct pn_trust_roots *roots)
{
    atomic_fetch_add_explicit(&roots->references, 1, memory_order_relaxed);
    return roots;
}

void pn_trust_roots_unref(struct pn_trust_roots *roots)
{
    if (!roots || atomic_fetch_sub_explicit(&roots->references, 1, memory_order_acq_rel) != 1)
        return;
    X509_STORE_free(roots->store);
    free(roots->hashes);
    free(roots);
}

/** Every certificate of `from`. */
static enum pn_rc roots_add_all(struct pn_trust_roots *roots, const struct pn_trust_roots *from,
                                struct pn_error *err)
{
    STACK_OF(X509) *all = X509_STORE_get1_all_certs(from->store);
    enum pn_rc rc = PN_OK;

    if (!all)
        return pn_error_from_openssl(err, PN_NOMEM, "no_memory", "A CA set cannot be read");
    for (int i = 0; rc == PN_OK && i < sk_X509_num(all); i++)
        rc = roots_add(roots, sk_X509_value(all, i), err);
    sk_X509_pop_free(all, X509_free);
    return rc;
}

enum pn_rc pn_trust_roots_join(struct pn_trust_roots *a, struct pn_trust_roots *b,
                               struct pn_trust_roots **out, struct pn_error *err)
{
    struct pn_trust_roots *roots;
    enum pn_rc rc;

    if (!a || !b) {
        *out = a ? pn_trust_roots_ref(a) : b ? pn_trust_roots_ref(b) : NULL;
        return PN_OK;
    }
    roots = roots_new();
    if (!roots)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a CA set.");
    rc = roots_add_all(roots, a, err);
    if (rc == PN_OK)
        rc = roots_add_all(roots, b, err);
    if (rc != PN_OK) {
        pn_trust_roots_unref(roots);
        return rc;
    }
    roots_finish(roots);
    *out = roots;
    return PN_OK;
}

X509_STORE *pn_trust_roots_store(const struct pn_trust_roots *roots)
{
    return roots->store;
}

const uint8_t *pn_trust_roots_id(const struct pn_trust_roots *roots)
{
    return roots->id;
}
