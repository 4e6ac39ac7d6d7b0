/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backend must prove, and what it may ask for: a set of CAs, chain check, name check, pins,
 * the lowest version of TLS, requests for our certificate after the handshake.
 *
 * All of it is in the policy's id, and the id in the identity of each connection (promise 1): what
 * was opened under one policy is never used under another. Immutable (but for what a policy
 * remembers of verified chains), reference-counted, any thread.
 */
#pragma once

#include "tls/roots.h"

#define PN_TRUST_PINS_MAX 32  /* of one policy */
#define PN_TRUST_NAME_MAX 256 /* bytes, with NUL */

struct pn_trust;

/** Two policies with equal id are interchangeable: SHA-256 of all that the spec says. */
struct pn_trust_id {
    uint8_t sha256[PN_SHA256_BYTES];
};

/** What a policy is made of; all borrowed, references are taken. */
struct pn_trust_spec {
    struct pn_trust_roots *roots;         /* NULL is allowed only when check_chain is false */
    struct pn_trust_roots *intermediates; /* complete chains, prove nothing; NULL: none */
    bool check_chain; /* signed by one of the roots, within its validity, for servers */
    bool check_name;  /* the SAN names the host that was asked for (RFC 6125; no fallback to the CN
                         unless the certificate has no SAN of that kind, as OpenSSL does) */
    bool has_partial_anchors; /* a root that is not self-signed is an anchor, too */
    bool has_tls13_only;      /* else TLS 1.2 or later */
    bool takes_late_requests; /* our certificate is shown also after the handshake: TLS 1.3
                                 post-handshake authentication, TLS 1.2 renegotiation */
    const char *server_name;  /* SNI and the name to check instead of the host; NULL: host */
    const uint8_t (*pins)[PN_SHA256_BYTES]; /* SPKI SHA-256 (RFC 7469 §2.4): one must match */
    size_t pin_count;
};

/** PN_INVALID: no roots, or a name that is too long. PN_LIMIT: too many pins. PN_NOMEM. */
enum pn_rc pn_trust_make(const struct pn_trust_spec *spec, struct pn_trust **trust,
                         struct pn_error *err) PN_MUST_USE;
/** One with these three only. */
enum pn_rc pn_trust_create(struct pn_trust_roots *roots, bool check_chain, bool check_name,
                           struct pn_trust **trust, struct pn_error *err) PN_MUST_USE;
struct pn_trust *pn_trust_ref(struct pn_trust *trust);
void pn_trust_unref(struct pn_trust *trust);
const struct pn_trust_id *pn_trust_id(const struct pn_trust *trust);
bool pn_trust_checks_chain(const struct pn_trust *trust);
bool pn_trust_checks_name(const struct pn_trust *trust);
bool pn_trust_has_pins(const struct pn_trust *trust);
/** Whether that certificate's public key is one of the pins. */
bool pn_trust_is_pinned(const struct pn_trust *trust, X509 *x509);
bool pn_trust_has_partial_anchors(const struct pn_trust *trust);
bool pn_trust_has_tls13_only(const struct pn_trust *trust);
bool pn_trust_takes_late_requests(const struct pn_trust *trust);
/** NULL: the host's. */
const char *pn_trust_server_name(const struct pn_trust *trust);
/** Borrowed; NULL: none. */
STACK_OF(X509) * pn_trust_intermediates(const struct pn_trust *trust);

/** Whether anybody but the caller holds it. Who alone gives out further references, and holds its
 * lock, may believe a "no". */
bool pn_trust_is_shared(const struct pn_trust *trust);

/** That a chain was verified for a name: SHA-256 of both, and while what validity holds. */
struct pn_trust_verdict {
    uint8_t key[PN_SHA256_BYTES];
    int64_t from_s, until_s; /* Unix seconds, both included */
};
/** Whether this policy has verified it and remembers, and `now_s` is within its validity. Any
 * thread. */
bool pn_trust_knows(struct pn_trust *trust, const uint8_t key[PN_SHA256_BYTES], int64_t now_s);
/** Remembers; an older verdict may make room (limit "tls-verified-chains"). Any thread. */
void pn_trust_learn(struct pn_trust *trust, const struct pn_trust_verdict *verdict);
/** Borrowed; NULL when the policy has no CA set. */
X509_STORE *pn_trust_store(const struct pn_trust *trust);
