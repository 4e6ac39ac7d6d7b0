/* SPDX-License-Identifier: Apache-2.0
 *
 * Client contexts: one SSL_CTX per (trust policy, certificate generations or none, ALPN), shared by
 * all backends that agree in these, with the sessions to resume, kept per identity.
 *
 * With several certificates the handshake takes the first that fits what the server asks for. The
 * identity is that of the whole list, in its order: a list of which one member has another
 * generation is another identity, and has its own connections and sessions
 * (docs/adr/0167-several-certificates.md).
 *
 * Invariant: a session is offered only to the identity it was won with, and only while its
 * certificate is valid; the cache belongs to the context, so it dies with the generation.
 */
#pragma once

#include "tls/certificate.h"
#include "tls/identity.h"
#include "tls/trust.h"

#define PN_TLS_CERTIFICATES_MAX 32 /* that one connection chooses from */

#define PN_TLS_SESSIONS_PER_IDENTITY_MAX 64 /* the most that "tls-sessions-per-identity" can be */

#define PN_TLS_LATE_REQUESTS_MAX                                                                   \
    4 /* for the certificate after the handshake, and renegotiations, on one connection: each      \
         costs a signature, and no turn of the loop ends between them */

struct pn_signer;
struct pn_tls_client;

/** Takes references. `certificate` NULL: none is presented.
 *  PN_INVALID: certificate of another use. PN_INTERNAL, PN_NOMEM. Reference-counted, any thread. */
enum pn_rc pn_tls_client_create(struct pn_signer *signer, struct pn_trust *trust,
                                struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                                struct pn_tls_client **client, struct pn_error *err) PN_MUST_USE;
/** With `count` certificates, in the order of preference; 0: none is presented. PN_LIMIT: more than
 *  PN_TLS_CERTIFICATES_MAX. */
enum pn_rc pn_tls_client_create_of(struct pn_signer *signer, struct pn_trust *trust,
                                   struct pn_tls_certificate *const *certificates, size_t count,
                                   enum pn_alpn alpn, struct pn_tls_client **client,
                                   struct pn_error *err) PN_MUST_USE;
/** Before the first connection: TLS 1.3 connections are taken over by our own record layer once
 * their first exchange is over (pn_stream_settle()). Nothing happens to a client whose trust policy
 * takes requests for the certificate after the handshake: only OpenSSL can answer those. */
void pn_tls_client_use_own_records(struct pn_tls_client *client);
struct pn_tls_client *pn_tls_client_ref(struct pn_tls_client *client);
void pn_tls_client_unref(struct pn_tls_client *client);
struct pn_trust *pn_tls_client_trust(const struct pn_tls_client *client);
/** NULL: none, or several. */
struct pn_tls_certificate *pn_tls_client_certificate(const struct pn_tls_client *client);
/** All; borrowed. */
struct pn_tls_certificate *const *pn_tls_client_certificates(const struct pn_tls_client *client,
                                                             size_t *count);
/** Fail closed: as pn_tls_certificate_check_time() of the first, unless another one is in its time.
 *  PN_OK without certificates. */
enum pn_rc pn_tls_client_check_time(const struct pn_tls_client *client, int64_t now_unix_s,
                                    struct pn_error *err) PN_MUST_USE;
enum pn_alpn pn_tls_client_alpn(const struct pn_tls_client *client);
/** Sessions kept now (all identities). */
size_t pn_tls_client_session_count(struct pn_tls_client *client);
/** Fills the TLS part of an identity from this context, and seals it. PN_INVALID as _set_tls(). */
enum pn_rc pn_tls_client_identity(const struct pn_tls_client *client,
                                  const struct pn_peer_address *peer, struct pn_slice server_name,
                                  struct pn_tls_identity *identity) PN_MUST_USE;

/* All contexts of a process, so that equal ones are shared by successive snapshots. One thread at a
 * time (the one that compiles snapshots). */
struct pn_tls_clients;
/** Borrows `signer`. PN_NOMEM. */
enum pn_rc pn_tls_clients_create(struct pn_signer *signer,
                                 struct pn_tls_clients **clients) PN_MUST_USE;
/** For all contexts that are made from now on. */
void pn_tls_clients_use_own_records(struct pn_tls_clients *clients);
void pn_tls_clients_destroy(struct pn_tls_clients *clients);
/** The context for these three, made when there is none yet; the caller gets a reference. Errors as
 *  pn_tls_client_create(). */
enum pn_rc pn_tls_clients_get(struct pn_tls_clients *clients, struct pn_trust *trust,
                              struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                              struct pn_tls_client **client, struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_tls_clients_get_of(struct pn_tls_clients *clients, struct pn_trust *trust,
                                 struct pn_tls_certificate *const *certificates, size_t count,
                                 enum pn_alpn alpn, struct pn_tls_client **client,
                                 struct pn_error *err) PN_MUST_USE;
/** It is not given out again, whoever still holds it: who asks for the same gets a new one. */
void pn_tls_clients_forget(struct pn_tls_clients *clients, const struct pn_tls_client *client);
/** Forgets contexts that nobody else holds: after a snapshot was released. Returns how many. */
size_t pn_tls_clients_sweep(struct pn_tls_clients *clients);
