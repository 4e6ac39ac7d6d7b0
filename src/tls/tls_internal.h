/* SPDX-License-Identifier: Apache-2.0
 *
 * What contexts, sessions and the socket BIO share.
 */
#pragma once

#include <openssl/ssl.h>

#include "tls/client.h"
#include "tls/peer.h"
#include "tls/report.h"
#include "tls/server.h"
#include "tls/story.h"

/* What X509_STORE_CTX_get_error() says when no pin matches: the value that OpenSSL leaves to
 * applications. */
#define PN_V_ERR_PIN       X509_V_ERR_APPLICATION_VERIFICATION
#define PN_TLS_AHEAD_BYTES 4096
#define PN_TLS_HELD_MAX    4096 /* a flight of the handshake that waits for what comes behind it */

struct pn_below;
struct pn_tls_takeover;
struct pn_record_fault;

#define PN_LATE_IS_OFF "the backend's tls.postern.lateAuthentication is off"

/* Hangs at each SSL (SSL_set_app_data) for the callbacks of its context; part of the stream. */
struct pn_tls_link {
    int fd;
    bool is_drained; /* the last recv() took all: nothing to read until the next event */
    bool peer_ended; /* FIN or error seen: then recv() must be asked, no further edge comes */
    bool is_handshake_over;
    bool has_heard;         /* the peer has said something since: it takes what we sent */
    bool is_unusable;       /* the peer accepts nothing that our certificate's key can sign */
    bool is_misfit;         /* none of our certificates is what the peer asks for */
    bool is_expired;        /* our certificate expired before it was asked for */
    bool is_late_unwanted;  /* asked for it after the handshake, and the policy does not allow it */
    int chosen;             /* of several certificates: place + 1 of the one that was shown; or 0 */
    int verify_depth;       /* where the chain's verification failed */
    unsigned late_requests; /* for the certificate, after the handshake */
    unsigned renegotiations;
    bool is_host_known;             /* server: one of its hosts has the name that was sent */
    bool has_asked;                 /* server: the client was asked for a certificate */
    bool is_name_own;               /* peer_name is freed with the link */
    enum pn_alpn alpn;              /* what was agreed on */
    int64_t now_unix_s;             /* 0: take the clock */
    int64_t began_unix_s;           /* client: when the handshake began */
    int64_t session_until_s;        /* client: of the session that was offered, see client.c */
    struct pn_tls_client *client;   /* NULL: server */
    struct pn_tls_tickets *tickets; /* of a server; may be NULL */
    const struct pn_tls_identity *identity;
    struct pn_tls_story *story;   /* of a client that somebody wants to know all about; else NULL */
    struct pn_tls_report *report; /* of a client always; of a server while its handshake goes on */
    const char *peer_name;        /* of a server: the name that the client sent, or NULL */
    /* While the connection may be taken over from OpenSSL (tls/takeover.h), what recv() gave and
     * OpenSSL has not asked for yet: ahead[ahead_at..ahead_end) of PN_TLS_AHEAD_BYTES. */
    struct pn_tls_takeover *takeover;
    uint8_t *ahead;
    uint16_t ahead_at, ahead_end;
    /* What OpenSSL has sent and the socket has not got: held[0..held_len). */
    uint8_t *held;
    size_t held_len;
    bool is_holding;          /* the next bytes are held back: pn_tls_bio_flush() will follow */
    bool is_last;             /* the next bytes are the last: close() or shutdown() will follow */
    struct pn_tls_peer *peer; /* of a server: the client's certificate, or NULL */
    struct pn_below *below;   /* carries the bytes (tls/below.h); NULL: the socket does */
};

/** The report, made when there is none yet. Out of memory: one that nobody reads. */
struct pn_tls_report *pn_tls_link_report(struct pn_tls_link *link);
/** A copy of `name` for link->peer_name, freed with the link; NULL: no memory. */
const char *pn_tls_link_keep(struct pn_tls_link *link, const char *name);
/** The report names this certificate. */
void pn_tls_link_name(struct pn_tls_link *link, const struct pn_tls_certificate *certificate);
void pn_tls_link_fini(struct pn_tls_link *link);
/** What the client has shown, or NULL: nothing, or no memory. The caller frees it. */
struct pn_tls_peer *pn_tls_peer_of(SSL *ssl);

/** Whether anybody but the caller holds it. The registry's question: it alone can give out the
 * first further reference, so "no" stays true. */
bool pn_tls_client_is_shared(const struct pn_tls_client *client);
/** An SSL of the context, with its link. NULL: no memory. */
SSL *pn_tls_client_ssl(struct pn_tls_client *client, struct pn_tls_link *link);
/** A handshake with this identity has failed: perhaps for the session that was offered. */
void pn_tls_client_forget_sessions(struct pn_tls_client *client,
                                   const struct pn_tls_identity *identity);
/** Of a client with several certificates. */
const struct pn_tls_material *pn_tls_client_material(const struct pn_tls_client *client,
                                                     size_t index);
/** Takes the one of several certificates that fits what the server asks for, and gives it to `ssl`
 *  (choose.c). False: none fits; the link tells why. In the certificate callback only. */
bool pn_tls_client_choose(struct pn_tls_client *client, struct pn_tls_link *link, SSL *ssl);
/** What is known of the server now, also after a failure. */
void pn_tls_story_collect(struct pn_tls_story *story, const struct pn_tls_link *link,
                          struct ssl_st *ssl);
SSL *pn_tls_server_ssl(struct pn_tls_server *server, struct pn_tls_link *link);
/** A BIO over link->fd that never raises SIGPIPE and does not ask an empty socket twice. */
BIO *pn_tls_bio_new(struct pn_tls_link *link);
/** Sends what was held back, as far as the socket takes it; the rest waits for the next call, or
 * the next write. What a broken socket does not take is dropped: reading tells why. */
void pn_tls_bio_flush(struct pn_tls_link *link);
/** What OpenSSL asks when a ticket is made or opened: SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
int pn_tls_tickets_callback(struct pn_tls_tickets *tickets, SSL *ssl, unsigned char *name,
                            unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                            bool is_making);
/** A ticket is about to be made: it says since when its session is good. False: no memory. */
bool pn_tls_tickets_note(const struct pn_tls_tickets *tickets, SSL *ssl);
/** The session of a ticket is within its lifetime, which begins with its full handshake. */
bool pn_tls_tickets_is_good(const struct pn_tls_tickets *tickets, SSL_SESSION *session);
/** For SSL_CTX_set_cert_verify_callback(3) of a client whose policy checks the chain or has pins;
 * `arg`: its struct pn_trust. */
int pn_tls_verify_chain(X509_STORE_CTX *store, void *arg);
/** Things that both kinds of context want. */
void pn_tls_context_setup(SSL_CTX *ctx);
enum pn_rc pn_tls_context_use(SSL_CTX *ctx, const struct pn_tls_certificate *certificate,
                              struct pn_error *err);
/** ALPN list in wire form (RFC 7301 §3.1). Static. */
struct pn_slice pn_tls_alpn_wire(enum pn_alpn alpn);
/** Fills the report after SSL_do_handshake, SSL_read or SSL_write failed; clears OpenSSL's queue.
 */
void pn_tls_report_failure(struct pn_tls_link *link, SSL *ssl, int ssl_error, int system_error);
/** The same for a connection whose records are ours. `fault` NULL: it was cut off. */
void pn_tls_report_records(struct pn_tls_link *link, const struct pn_record_fault *fault);
/** Version, cipher, ALPN, resumption: once the handshake is over. */
void pn_tls_report_open(struct pn_tls_link *link, SSL *ssl);
