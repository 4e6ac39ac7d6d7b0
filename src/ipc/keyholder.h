/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the keyholder: the only way to private keys. A connection is blocking; any thread may
 * use it, calls wait for one another (a mutex), so each gateway worker has one of its own. When the
 * keyholder was restarted, the next call connects anew by the broker and, being idempotent, is
 * asked once more.
 *
 * A key is named by its use and the SHA-256 of its SubjectPublicKeyInfo. One use per key entry:
 *   client   signs only a client's TLS handshake (TLS 1.3: 64 spaces + "TLS 1.3, client
 *            CertificateVerify" + NUL + hash, RFC 8446 §4.4.3; TLS 1.2: a handshake transcript that
 *            begins with a ClientHello, RFC 5246 §7.4.8)
 *   server   signs only a server's TLS handshake (TLS 1.3 context string; TLS 1.2: client_random +
 *            server_random + ServerECDHParams, RFC 8422 §5.4)
 *   management  the same, for control's own listeners: the gateway may not sign with it
 *   token    signs only a JWS signing input (RFC 7515 §5.1): base64url header with "alg" + '.' +
 * base64url ca       signs only certificates that the keyholder itself makes (pn_keyholder_issue)
 *
 * Every call: PN_UNAVAILABLE (keyholder away), PN_TIMEOUT, PN_DENIED (use or caller), PN_NOT_FOUND
 * (no such key), PN_MALFORMED or PN_INVALID (the input; err tells what and where).
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "ipc/broker.h"
#include "ipc/file_facts.h"

enum pn_key_use { PN_USE_CLIENT = 1, PN_USE_SERVER, PN_USE_MANAGEMENT, PN_USE_TOKEN, PN_USE_CA };

struct pn_key_id {
    uint8_t sha256[32]; /* of the DER SubjectPublicKeyInfo */
};

enum pn_sign_algorithm {
    PN_SIGN_RSA_PKCS1_SHA256 = 1,
    PN_SIGN_RSA_PKCS1_SHA384,
    PN_SIGN_RSA_PKCS1_SHA512,
    PN_SIGN_RSA_PKCS1_SHA1,
    PN_SIGN_RSA_PSS_SHA256,
    PN_SIGN_RSA_PSS_SHA384,
    PN_SIGN_RSA_PSS_SHA512, /* salt = hash length */
    PN_SIGN_ECDSA_SHA256,
    PN_SIGN_ECDSA_SHA384,
    PN_SIGN_ECDSA_SHA512,
    PN_SIGN_ECDSA_SHA1,
    PN_SIGN_ED25519,
};

#define PN_IMPORT_TIMEOUT_MS   15000
#define PN_CHAIN_MAX           16 /* certificates in one file */
#define PN_IMPORT_BYTES_MAX    (256u * 1024)
#define PN_SIGNATURE_BYTES_MAX 1024  /* RSA up to 8192 bits */
#define PN_RSA_BITS_MIN        1024u /* of keys that are imported */
#define PN_RSA_BITS_MAX        8192u

struct pn_keyholder;

enum pn_rc pn_keyholder_create(struct pn_broker *broker, const char *service,
                               struct pn_keyholder **kh, struct pn_error *err) PN_MUST_USE;
/** For tests: over an already connected socket, without reconnecting. Takes `fd`. */
enum pn_rc pn_keyholder_create_fd(int fd, struct pn_keyholder **kh) PN_MUST_USE;
void pn_keyholder_destroy(struct pn_keyholder *kh);

/** What an import or a generation gives back: public facts only. */
struct pn_imported {
    struct pn_key_id key;
    enum { PN_FILE_PKCS12 = 1, PN_FILE_PEM } format;
    size_t chain_count;                /* leaf first, then its issuers as far as they came along */
    struct pn_buf chain[PN_CHAIN_MAX]; /* DER certificates */
    struct pn_buf sealed;              /* only from the _sealed calls */
    struct pn_file_facts facts;        /* of an imported file */
};
void pn_imported_fini(struct pn_imported *imported);

/** Opens a PKCS#12 (DER) or PEM file; keeps the key (sealed on disk before it answers). `password`
 *  may be NULL: none given. Codes in err: not_pfx, wrong_password, no_key, no_certificate,
 *  key_mismatch, unsupported_algorithm, too_large, too_many_certificates, too_many_keys, too_deep,
 *  too_many_iterations, malformed_pem. */
enum pn_rc pn_keyholder_import(struct pn_keyholder *kh, enum pn_key_use use, struct pn_slice file,
                               struct pn_slice password, struct pn_imported *out,
                               struct pn_error *err) PN_MUST_USE;
/** The same, but the key may be in memory only, and would be lost with the keyholder: before
 * anything that is acknowledged relies on it, pn_keyholder_settle() must have said PN_OK. */
enum pn_rc pn_keyholder_import_soon(struct pn_keyholder *kh, enum pn_key_use use,
                                    struct pn_slice file, struct pn_slice password,
                                    struct pn_imported *out, struct pn_error *err) PN_MUST_USE;
/** PN_OK: the kept key is sealed on disk, as after pn_keyholder_import(). PN_NOT_FOUND. PN_IO: it
 * cannot be, and is forgotten. */
enum pn_rc pn_keyholder_settle(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err) PN_MUST_USE;
/** The same, and the key is not kept: what the file is. */
enum pn_rc pn_keyholder_check(struct pn_keyholder *kh, struct pn_slice file,
                              struct pn_slice password, struct pn_imported *out,
                              struct pn_error *err) PN_MUST_USE;
/** The same, but key and chain come back as one sealed blob for the store (embedded vault), bound
 *  to `context` (e.g. "vault/local/certificates/c1/<version>"); nothing is kept. `is_private`: the
 *  key is never exported. */
enum pn_rc pn_keyholder_import_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice file, struct pn_slice password,
                                      bool is_private, struct pn_imported *out,
                                      struct pn_error *err) PN_MUST_USE;
/** Opens such a blob and writes key and chain as a PKCS#12 without password, or as PEM (PKCS#8 key,
 *  then the chain). `out` must be a secret buffer. PN_DENIED also: the key is private. */
enum pn_rc pn_keyholder_export_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice sealed, int format, struct pn_buf *out,
                                      struct pn_error *err) PN_MUST_USE;

/** What to make a key and a certificate from. Texts are borrowed; lists end with NULL. */
struct pn_issue_spec {
    const char *key_type; /* "RSA" or "EC" */
    unsigned key_bits;    /* RSA 2048, 3072, 4096; EC 256, 384, 521 */
    const char *subject;  /* "CN=name, O=org": RFC 4514 order as typed, or "/CN=name" */
    const char *const *dns_names;
    const char *const *ip_addresses;
    const char *const *emails;
    const char *const *uris;
    const char *const *ekus;       /* OIDs: "1.3.6.1.5.5.7.3.2" */
    const char *const *key_usages; /* "digitalSignature", "keyEncipherment", … */
    bool is_ca;
    bool is_private;                    /* _issue_sealed: the key is never exported */
    int64_t not_before, not_after;      /* Unix seconds */
    const struct pn_key_id *issuer_key; /* NULL: self-signed; else a kept key of use ca */
    struct pn_slice issuer_certificate; /* DER, when issuer_key is set */
};
/** Generates a key of `use`, keeps it, and makes its certificate. */
enum pn_rc pn_keyholder_issue(struct pn_keyholder *kh, enum pn_key_use use,
                              const struct pn_issue_spec *spec, struct pn_imported *out,
                              struct pn_error *err) PN_MUST_USE;
/** The same as a sealed blob for the store; nothing is kept. `reuse` (may be NULL): no new key, but
 * that of this sealed certificate. */
struct pn_vault_key;
enum pn_rc pn_keyholder_issue_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                     const struct pn_issue_spec *spec,
                                     const struct pn_vault_key *reuse, struct pn_imported *out,
                                     struct pn_error *err) PN_MUST_USE;

/** The public key of a kept key, as DER SubjectPublicKeyInfo. */
enum pn_rc pn_keyholder_public(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_buf *spki,
                               struct pn_error *err) PN_MUST_USE;
/** Signs `message` (not a digest). Waits at most the limit signature-timeout. */
enum pn_rc pn_keyholder_sign(struct pn_keyholder *kh, enum pn_key_use use,
                             const struct pn_key_id *key, enum pn_sign_algorithm algorithm,
                             struct pn_slice message, struct pn_buf *signature,
                             struct pn_error *err) PN_MUST_USE;
/** Authenticated encryption under the keyholder's master key, bound to `domain` ("feed", "vault",
 *  "store") and `context`. Gateways may use the domain "feed" only. */
enum pn_rc pn_keyholder_seal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                             struct pn_slice plain, struct pn_buf *sealed,
                             struct pn_error *err) PN_MUST_USE;
/** PN_DENIED: not sealed here, changed, or another domain or context. `plain` must be secret. */
enum pn_rc pn_keyholder_unseal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                               struct pn_slice sealed, struct pn_buf *plain,
                               struct pn_error *err) PN_MUST_USE;
/** All kept keys of a use: 32 bytes each, appended. */
enum pn_rc pn_keyholder_list(struct pn_keyholder *kh, enum pn_key_use use, struct pn_buf *ids,
                             struct pn_error *err) PN_MUST_USE;
/** Forgets a kept key and removes its file. A missing one is fine. */
enum pn_rc pn_keyholder_forget(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err) PN_MUST_USE;
