/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of our own listeners: certificates by server name, TLS 1.2/1.3, tickets, ALPN.
 */
#pragma once

#include "tls/certificate.h"
#include "tls/identity.h"

#define PN_TLS_SERVER_CERTIFICATES_MAX 64

struct pn_signer;
struct pn_tls_server;

struct pn_tls_server_spec {
    /* The first is the default: for clients without SNI, and for names that no certificate has. */
    struct pn_tls_certificate *const *certificates;
    size_t certificate_count; /* 1..PN_TLS_SERVER_CERTIFICATES_MAX */
    enum pn_alpn alpn; /* what we speak; a client that offers nothing of it goes on without ALPN */
    bool cleanse_plaintext; /* wipe decrypted bytes in OpenSSL's buffers once read (control, vault)
                             */
};

/** Takes references on the certificates (use server). PN_INVALID, PN_LIMIT, PN_INTERNAL, PN_NOMEM.
 *  Reference-counted, any thread. */
enum pn_rc pn_tls_server_create(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                                struct pn_tls_server **server, struct pn_error *err) PN_MUST_USE;
struct pn_tls_server *pn_tls_server_ref(struct pn_tls_server *server);
void pn_tls_server_unref(struct pn_tls_server *server);
