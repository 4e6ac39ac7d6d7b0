/* SPDX-License-Identifier: Apache-2.0
 *
 * See certificate.h. Every fact is read when the object is made, so that reading needs no lock and
 * no error path: OpenSSL decodes some extensions lazily, which is forced here before anyone shares
 * it.
 */
#include "certs/certificate.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "certs/certificate_internal.h"

static enum pn_rc create(X509 *x509, struct pn_certificate **result, struct pn_error *err)
{
    struct pn_certificate *certificate = calloc(1, sizeof *certificate);
    enum pn_rc rc;

    if (!certificate)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    atomic_init(&certificate->references, 1);
    if (X509_up_ref(x509) != 1) {
        free(certificate);
        return pn_error_from_openssl(err, PN_INTERNAL, "openssl", "cannot share a certificate");
    }
    certificate->x509 = x509;
    rc = pn_certificate_read_facts(certificate, err);
    if (rc != PN_OK) {
        pn_certificate_unref(certificate);
        return rc;
    }
    *result = certificate;
    return PN_OK;
}

enum pn_rc pn_certificate_from_der(struct pn_slice der, struct pn_certificate **certificate,
                                   struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *x509 = NULL;
    enum pn_rc rc;

    if (der.len > PN_CERTIFICATE_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "certificate_too_large",
                            "a certificate of %zu bytes; the limit is %u", der.len,
                            PN_CERTIFICATE_BYTES_MAX);
    if (der.len == 0)
        return pn_error_set(err, PN_MALFORMED, "not_a_certificate", "an empty certificate");
    ERR_clear_error();
    x509 = d2i_X509(NULL, &at, (long)der.len);
    if (!x509)
        return pn_error_from_openssl(err, PN_MALFORMED, "not_a_certificate",
                                     "not an X.509 certificate in DER");
    if (at != (const unsigned char *)der.ptr + der.len) {
        rc = pn_error_set(err, PN_MALFORMED, "not_a_certificate",
                          "bytes follow the certificate: one DER certificate is wanted");
        goto out;
    }
    rc = create(x509, certificate, err);
out:
    X509_free(x509);
    return rc;
}

enum pn_rc pn_certificate_from_pem(struct pn_slice pem, struct pn_certificate **certificate,
                                   struct pn_error *err)
{
    size_t offset = 0;

    return pn_certificate_next_pem(pem, &offset, certificate, err);
}

enum pn_rc pn_certificate_from_x509(const X509 *x509, struct pn_certificate **certificate,
                                    struct pn_error *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    enum pn_rc rc;

    if (len <= 0)
        return pn_error_from_openssl(err, PN_MALFORMED, "not_a_certificate",
                                     "the certificate cannot be encoded");
    rc = pn_certificate_from_der(pn_slice(der, (size_t)len), certificate, err);
    OPENSSL_free(der);
    return rc;
}

struct pn_certificate *pn_certificate_ref(struct pn_certificate *certificate)
{
    atomic_fetch_add_explicit(&certificate->references, 1, memory_order_relaxed);
    return certificate;
}

void pn_certificate_unref(struct pn_certificate *certificate)
{
    if (!certificate)
        return;
    if (atomic_fetch_sub_explicit(&certificate->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < certificate->eku_count; i++)
        free(certificate->ekus[i]);
    for (size_t i = 0; i < certificate->san_count; i++)
        free(certificate->san_texts[i]);
    free(certificate->ekus);
    free(certificate->sans);
    free(certificate->san_texts);
    free(certificate->subject);
    free(certificate->issuer);
    free(certificate->common_name);
    free(certificate->serial);
    free(certificate->der);
    free(certificate->spki);
    X509_free(certificate->x509);
    free(certificate);
}

/* PEM (RFC 7468): finds the blocks itself, so that keys beside them are never decoded. */
enum pn_rc pn_certificate_next_pem(struct pn_slice pem, size_t *offset,
                                   struct pn_certificate **certificate, struct pn_error *err)
{
    static const char *const begins[] = {"-----BEGIN CERTIFICATE-----",
                                         "-----BEGIN X509 CERTIFICATE-----"};
    static const char *const ends[] = {"-----END CERTIFICATE-----",
                                       "-----END X509 CERTIFICATE-----"};
    size_t kind = 0;
    size_t start = SIZE_MAX;
    struct pn_slice rest = pn_slice_sub(pem, *offset, pem.len);
    struct pn_slice body;
    struct pn_buf der;
    size_t end;
    enum pn_rc rc;

    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        size_t at = pn_slice_find_slice(rest, pn_slice_str(begins[i]));

        if (at < rest.len && at < start) {
            start = at;
            kind = i;
        }
    }
    if (start == SIZE_MAX)
        return pn_error_set(err, PN_NOT_FOUND, "no_certificate",
                            "the text holds no \"BEGIN CERTIFICATE\" block");
    body = pn_slice_sub(rest, start + strlen(begins[kind]), rest.len);
    end = pn_slice_find_slice(body, pn_slice_str(ends[kind]));
    if (end >= body.len)
        return pn_error_set(err, PN_MALFORMED, "not_a_certificate",
                            "a \"BEGIN CERTIFICATE\" line without its \"END CERTIFICATE\" line");
    *offset += start + strlen(begins[kind]) + end + strlen(ends[kind]);
    pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX);
    rc = pn_base64_decode(pn_slice_sub(body, 0, end), &der);
    if (rc == PN_LIMIT)
        rc = pn_error_set(err, PN_LIMIT, "certificate_too_large",
                          "a certificate of more than %u bytes", PN_CERTIFICATE_BYTES_MAX);
    else if (rc != PN_OK)
        rc = pn_error_set(err, rc, "not_a_certificate",
                          "the base64 text of a \"BEGIN CERTIFICATE\" block is broken");
    else
        rc = pn_certificate_from_der(pn_buf_slice(&der), certificate, err);
    pn_buf_fini(&der);
    return rc;
}

struct pn_slice pn_certificate_der(const struct pn_certificate *certificate)
{
    return pn_slice(certificate->der, certificate->der_len);
}

X509 *pn_certificate_x509(const struct pn_certificate *certificate)
{
    return certificate->x509;
}

enum pn_rc pn_certificate_pem(const struct pn_certificate *certificate, struct pn_buf *out)
{
    struct pn_buf base64;
    struct pn_slice rest;
    enum pn_rc rc;

    pn_buf_init(&base64, 2 * PN_CERTIFICATE_BYTES_MAX);
    rc = pn_base64_encode(pn_certificate_der(certificate), &base64);
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "-----BEGIN CERTIFICATE-----\n");
    rest = pn_buf_slice(&base64);
    while (rc == PN_OK && rest.len > 0) {
        struct pn_slice line = pn_slice_sub(rest, 0, 64); /* RFC 7468 §2 */

        rest = pn_slice_sub(rest, line.len, rest.len);
        rc = pn_buf_append_slice(out, line);
        if (rc == PN_OK)
            rc = pn_buf_append_byte(out, '\n');
    }
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "-----END CERTIFICATE-----\n");
    pn_buf_fini(&base64);
    return rc;
}

const char *pn_certificate_subject(const struct pn_certificate *certificate)
{
    return certificate->subject;
}

const char *pn_certificate_issuer(const struct pn_certificate *certificate)
{
    return certificate->issuer;
}

const char *pn_certificate_common_name(const struct pn_certificate *certificate)
{
    return certificate->common_name;
}

const char *pn_certificate_thumbprint(const struct pn_certificate *certificate)
{
    return certificate->thumbprint;
}

const uint8_t *pn_certificate_thumbprint_bytes(const struct pn_certificate *certificate)
{
    return certificate->sha1;
}

struct pn_slice pn_certificate_spki(const struct pn_certificate *certificate)
{
    return pn_slice(certificate->spki, certificate->spki_len);
}

const uint8_t *pn_certificate_spki_sha256(const struct pn_certificate *certificate)
{
    return certificate->spki_sha256;
}

const char *pn_certificate_key_id(const struct pn_certificate *certificate)
{
    return certificate->key_id;
}

int64_t pn_certificate_not_before(const struct pn_certificate *certificate)
{
    return certificate->not_before;
}

int64_t pn_certificate_not_after(const struct pn_certificate *certificate)
{
    return certificate->not_after;
}

const char *pn_certificate_serial(const struct pn_certificate *certificate)
{
    return certificate->serial;
}

enum pn_key_type pn_certificate_key_type(const struct pn_certificate *certificate)
{
    return certificate->key_type;
}

const char *pn_key_type_name(enum pn_key_type type)
{
    switch (type) {
    case PN_KEY_RSA:
        return "RSA";
    case PN_KEY_RSA_PSS:
        return "RSA-PSS";
    case PN_KEY_EC:
        return "EC";
    case PN_KEY_ED25519:
        return "Ed25519";
    case PN_KEY_ED448:
        return "Ed448";
    case PN_KEY_OTHER:
        break;
    }
    return "other";
}

int pn_certificate_key_bits(const struct pn_certificate *certificate)
{
    return certificate->key_bits;
}

const char *pn_certificate_curve(const struct pn_certificate *certificate)
{
    return certificate->curve;
}

const char *pn_certificate_signature_algorithm(const struct pn_certificate *certificate)
{
    return certificate->signature_algorithm;
}

const char *pn_certificate_signature_digest(const struct pn_certificate *certificate)
{
    return certificate->signature_digest;
}

bool pn_certificate_is_ca(const struct pn_certificate *certificate)
{
    return certificate->is_ca;
}

bool pn_certificate_is_self_signed(const struct pn_certificate *certificate)
{
    return certificate->is_self_signed;
}

bool pn_certificate_has_key_usage(const struct pn_certificate *certificate)
{
    return certificate->has_key_usage;
}

unsigned pn_certificate_key_usage(const struct pn_certificate *certificate)
{
    return certificate->key_usage;
}

size_t pn_certificate_eku_count(const struct pn_certificate *certificate)
{
    return certificate->eku_count;
}

const char *pn_certificate_eku(const struct pn_certificate *certificate, size_t index)
{
    return index < certificate->eku_count ? certificate->ekus[index] : NULL;
}

bool pn_certificate_allows_client_auth(const struct pn_certificate *certificate)
{
    return certificate->allows_client_auth;
}

bool pn_certificate_allows_server_auth(const struct pn_certificate *certificate)
{
    return certificate->allows_server_auth;
}

bool pn_certificate_names_host(const struct pn_certificate *certificate, const char *host)
{
    return X509_check_host(certificate->x509, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

size_t pn_certificate_san_count(const struct pn_certificate *certificate)
{
    return certificate->san_count;
}

const struct pn_san *pn_certificate_san(const struct pn_certificate *certificate, size_t index)
{
    return index < certificate->san_count ? &certificate->sans[index] : NULL;
}

bool pn_certificate_eq(const struct pn_certificate *a, const struct pn_certificate *b)
{
    return pn_slice_eq(pn_certificate_der(a), pn_certificate_der(b));
}

bool pn_certificate_is_issued_by(const struct pn_certificate *certificate,
                                 const struct pn_certificate *issuer)
{
    bool is_issued = false;

    if (X509_NAME_cmp(X509_get_issuer_name(certificate->x509),
                      X509_get_subject_name(issuer->x509)) == 0)
        is_issued = X509_verify(certificate->x509, X509_get0_pubkey(issuer->x509)) == 1;
    ERR_clear_error();
    return is_issued;
}

bool pn_thumbprint_parse(struct pn_slice text, char out[PN_THUMBPRINT_TEXT])
{
    static const char left_to_right_mark[] = "\xE2\x80\x8E";
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == ' ' || c == '\t' || c == ':')
            continue;
        if (text.len - i >= 3 && memcmp(text.ptr + i, left_to_right_mark, 3) == 0) {
            i += 2;
            continue;
        }
        if (c >= 'a' && c <= 'f')
            c = (char)(c - 'a' + 'A');
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')) || len == PN_THUMBPRINT_TEXT - 1)
            return false;
        out[len++] = c;
    }
    if (len != PN_THUMBPRINT_TEXT - 1)
        return false;
    out[len] = '\0';
    return true;
}
