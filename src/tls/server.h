/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of our own listeners: host names with their certificates, TLS 1.2/1.3, tickets, ALPN,
 * and the request for a client's certificate.
 *
 * A session is bound to the server name that was sent, to the certificate that was shown, and to
 * whether a client's certificate is asked for: when one of them is another, the handshake is a
 * full one (RFC 6066 §3, RFC 8446 §4.2.11).
 */
#pragma once

#include "tls/certificate.h"
#include "tls/identity.h"
#include "tls/tickets.h"

#define PN_TLS_SERVER_HOSTS_MAX 64

struct pn_signer;
struct pn_tls_server;

/** A host name and what is shown for it. */
struct pn_tls_host {
    /* "api.example.com", or "*.example.com" for names with one label more; any case. NULL: the
     * names in the certificate. Borrowed while the server is made. */
    const char *name;
    struct pn_tls_certificate *certificate; /* use server or management */
    /* Ask the client for a certificate. It may have none; what it sends is not verified here
     * (pn_stream_peer()), only that it has the key. */
    bool asks_certificate;
};

struct pn_tls_server_spec {
    /* The first is the default: for clients without SNI, and for names that no host has. An exact
     * name comes before one with '*', and that before the names in certificates. */
    const struct pn_tls_host *hosts;
    size_t host_count; /* 1..PN_TLS_SERVER_HOSTS_MAX */
    /* What we speak. A client that offers something else only is refused (no_application_protocol,
     * RFC 7301 §3.2): what it says would be read as HTTP. One that offers http/1.0, or uses no
     * ALPN, goes on without. */
    enum pn_alpn alpn;
    struct pn_tls_tickets *tickets; /* NULL: keys of this object alone, never replaced */
    bool cleanse_plaintext; /* wipe decrypted bytes in OpenSSL's buffers once read (control, vault)
                             */
    bool use_own_records;   /* TLS 1.3: our record layer takes open connections over; it does not
                               cleanse plaintext */
};

/** Takes references on certificates and tickets. PN_INVALID, PN_LIMIT, PN_INTERNAL, PN_NOMEM.
 *  Reference-counted, any thread. */
enum pn_rc pn_tls_server_create(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                                struct pn_tls_server **server, struct pn_error *err) PN_MUST_USE;
struct pn_tls_server *pn_tls_server_ref(struct pn_tls_server *server);
void pn_tls_server_unref(struct pn_tls_server *server);
/** A client with a connection that was made for `server_name` (SNI, lower case; "": none) and on
 *  which no certificate was asked for wants something of `authority` ("name:port", any case): that
 *  is another host, which asks for one. On a connection of its own the client could show it (RFC
 *  9110 §15.5.20). What has no host of its own here is nobody's. */
bool pn_tls_server_is_misdirected(const struct pn_tls_server *server, const char *server_name,
                                  struct pn_slice authority);
