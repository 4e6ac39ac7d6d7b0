/* SPDX-License-Identifier: Apache-2.0
 *
 * One X.509 certificate (RFC 5280) and the facts that Postern needs of it, read once when it is
 * made.
 *
 * Immutable and reference-counted: any thread may read it. All texts and slices are borrowed until
 * the last pn_certificate_unref(). Never holds a private key.
 */
#pragma once

#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"

#define PN_CERTIFICATE_BYTES_MAX (64u * 1024) /* DER of one certificate */
#define PN_CERTIFICATE_NAMES_MAX 256          /* subject alternative names that are kept */
#define PN_CERTIFICATE_EKUS_MAX  32

#define PN_THUMBPRINT_TEXT (2 * PN_SHA1_BYTES + 1)   /* 40 upper-case hex digits and NUL */
#define PN_SPKI_HASH_TEXT  (2 * PN_SHA256_BYTES + 1) /* 64 lower-case hex digits and NUL */

struct x509_st;
struct X509_name_st;
struct pn_certificate;

enum pn_key_type {
    PN_KEY_RSA,
    PN_KEY_RSA_PSS,
    PN_KEY_EC,
    PN_KEY_ED25519,
    PN_KEY_ED448,
    PN_KEY_OTHER,
};

/* Bits of pn_certificate_key_usage(), RFC 5280 §4.2.1.3 in its order. */
enum pn_key_usage {
    PN_USAGE_DIGITAL_SIGNATURE = 1 << 0,
    PN_USAGE_NON_REPUDIATION = 1 << 1,
    PN_USAGE_KEY_ENCIPHERMENT = 1 << 2,
    PN_USAGE_DATA_ENCIPHERMENT = 1 << 3,
    PN_USAGE_KEY_AGREEMENT = 1 << 4,
    PN_USAGE_KEY_CERT_SIGN = 1 << 5,
    PN_USAGE_CRL_SIGN = 1 << 6,
    PN_USAGE_ENCIPHER_ONLY = 1 << 7,
    PN_USAGE_DECIPHER_ONLY = 1 << 8,
};

enum pn_san_type { PN_SAN_DNS, PN_SAN_EMAIL, PN_SAN_URI, PN_SAN_IP, PN_SAN_UPN };

struct pn_san {
    enum pn_san_type type;
    const char *text; /* of an IP address: its usual text */
};

/** Exactly one DER certificate. PN_MALFORMED, PN_LIMIT (PN_CERTIFICATE_BYTES_MAX), PN_NOMEM. */
enum pn_rc pn_certificate_from_der(struct pn_slice der, struct pn_certificate **certificate,
                                   struct pn_error *err) PN_MUST_USE;
/** The first "CERTIFICATE" block of a PEM text; other blocks and text around are skipped.
 *  PN_NOT_FOUND: there is none; PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_certificate_from_pem(struct pn_slice pem, struct pn_certificate **certificate,
                                   struct pn_error *err) PN_MUST_USE;
/** From OpenSSL's object, which stays the caller's. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_certificate_from_x509(const struct x509_st *x509, struct pn_certificate **certificate,
                                    struct pn_error *err) PN_MUST_USE;
struct pn_certificate *pn_certificate_ref(struct pn_certificate *certificate);
void pn_certificate_unref(struct pn_certificate *certificate);

struct pn_slice pn_certificate_der(const struct pn_certificate *certificate);
/** OpenSSL's object, borrowed; do not change it (taking a reference is fine). */
struct x509_st *pn_certificate_x509(const struct pn_certificate *certificate);
/** Appends one PEM block with LF lines. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_certificate_pem(const struct pn_certificate *certificate,
                              struct pn_buf *out) PN_MUST_USE;

/** Names as .NET prints them, and API Management with it: last-encoded RDN first, "CN=x, O=y,
 * C=US". */
const char *pn_certificate_subject(const struct pn_certificate *certificate);
const char *pn_certificate_issuer(const struct pn_certificate *certificate);
/** The most specific common name of the subject, or "". */
const char *pn_certificate_common_name(const struct pn_certificate *certificate);
/** SHA-1 of the DER: 40 upper-case hex digits. */
const char *pn_certificate_thumbprint(const struct pn_certificate *certificate);
/** SHA-1 of the DER: PN_SHA1_BYTES bytes (Key Vault's x5t is their base64url). */
const uint8_t *pn_certificate_thumbprint_bytes(const struct pn_certificate *certificate);
/** SubjectPublicKeyInfo (RFC 5280 §4.1): its DER, and the SHA-256 that names the key everywhere. */
struct pn_slice pn_certificate_spki(const struct pn_certificate *certificate);
const uint8_t *pn_certificate_spki_sha256(const struct pn_certificate *certificate);
/** The same as 64 lower-case hex digits. */
const char *pn_certificate_key_id(const struct pn_certificate *certificate);
/** Seconds since 1970-01-01 UTC; both ends belong to the validity (RFC 5280 §4.1.2.5). */
int64_t pn_certificate_not_before(const struct pn_certificate *certificate);
int64_t pn_certificate_not_after(const struct pn_certificate *certificate);
/** Upper-case hex, most significant byte first, at least two digits. */
const char *pn_certificate_serial(const struct pn_certificate *certificate);

enum pn_key_type pn_certificate_key_type(const struct pn_certificate *certificate);
/** "RSA", "RSA-PSS", "EC", "Ed25519", "Ed448", "other". Static text. */
const char *pn_key_type_name(enum pn_key_type type);
/** Size of the modulus or of the curve's field. */
int pn_certificate_key_bits(const struct pn_certificate *certificate);
/** "P-256", "P-384", "P-521", "P-256K", another curve's OpenSSL name, or "" when it is no EC key.
 */
const char *pn_certificate_curve(const struct pn_certificate *certificate);
/** "sha256WithRSAEncryption", "ecdsa-with-SHA256", … and the digest in it ("SHA256", "" for
 * Ed25519). */
const char *pn_certificate_signature_algorithm(const struct pn_certificate *certificate);
const char *pn_certificate_signature_digest(const struct pn_certificate *certificate);

/** Basic constraints say CA; a version 1 certificate that signed itself counts as one too. */
bool pn_certificate_is_ca(const struct pn_certificate *certificate);
/** Subject and issuer are the same name and its own key verifies its signature. */
bool pn_certificate_is_self_signed(const struct pn_certificate *certificate);
bool pn_certificate_has_key_usage(const struct pn_certificate *certificate);
/** enum pn_key_usage bits; 0 when the extension is absent. */
unsigned pn_certificate_key_usage(const struct pn_certificate *certificate);
/** Extended key usages as dotted OIDs; a count of 0: the extension is absent (all uses allowed). */
size_t pn_certificate_eku_count(const struct pn_certificate *certificate);
const char *pn_certificate_eku(const struct pn_certificate *certificate, size_t index);
/** Whether it may be used as a TLS client: EKU absent, or with clientAuth or anyExtendedKeyUsage.
 */
bool pn_certificate_allows_client_auth(const struct pn_certificate *certificate);
bool pn_certificate_allows_server_auth(const struct pn_certificate *certificate);
/** Whether it stands for `host` ("api.example.com", "*.example.com"): by its DNS names, and by the
 * common name only when it has none (RFC 6125 §6.4). */
bool pn_certificate_names_host(const struct pn_certificate *certificate, const char *host);
size_t pn_certificate_san_count(const struct pn_certificate *certificate);
/** Borrowed. index < count. */
const struct pn_san *pn_certificate_san(const struct pn_certificate *certificate, size_t index);

/** Same DER. */
bool pn_certificate_eq(const struct pn_certificate *a, const struct pn_certificate *b);
/** `issuer` has the name and the key that signed `certificate`. */
bool pn_certificate_is_issued_by(const struct pn_certificate *certificate,
                                 const struct pn_certificate *issuer);

/** Normalizes a thumbprint that a person gave: spaces, colons and the invisible U+200E that
 * Windows' certificate dialog copies along are dropped, letters become upper case. false: not 40
 * hex digits. */
bool pn_thumbprint_parse(struct pn_slice text, char out[PN_THUMBPRINT_TEXT]);
/** A name as .NET prints it, as a heap string. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_name_format(const struct X509_name_st *name, char **text) PN_MUST_USE;
