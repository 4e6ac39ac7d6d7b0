/* SPDX-License-Identifier: Apache-2.0
 *
 * What client and server contexts have in common.
 */
#include "signer/signer.h"
#include "tls/tls_internal.h"

#define ALERT_NO_RENEGOTIATION 100 /* RFC 5246 §7.2.2 */

/* Called for state changes and alerts; we keep the fatal alert that the peer sent, and let a server
 * renegotiate a few times only (TLS 1.2; our servers never do), or not at all: then OpenSSL
 * declines with a warning, and we end the connection, for what the server wants for this request it
 * will not get. */
static void on_info(const SSL *ssl, int where, int value)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);

    if (link && (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL)
        pn_tls_link_report(link)->alert = value & 0xff;
    if (link && link->is_handshake_over && (where & SSL_CB_HANDSHAKE_START) &&
        ++link->renegotiations >= PN_TLS_LATE_REQUESTS_MAX)
        (void)SSL_set_options((SSL *)(uintptr_t)ssl, SSL_OP_NO_RENEGOTIATION);
    if (link && link->client && (where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT &&
        (value & 0xff) == ALERT_NO_RENEGOTIATION)
        link->is_late_unwanted = true;
}

void pn_tls_context_setup(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* A whole flight per recv(); a write takes what the socket takes. Buffers are kept while a
     * connection is busy and given back by pn_stream_trim(): SSL_MODE_RELEASE_BUFFERS would
     * allocate at every read. The chain is sent as it was given: nothing is looked up in the trust
     * store. */
    SSL_CTX_set_read_ahead(ctx, 1);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_info_callback(ctx, on_info);
}

enum pn_rc pn_tls_context_use(SSL_CTX *ctx, const struct pn_tls_certificate *certificate,
                              struct pn_error *err)
{
    struct pn_tls_material material;
    enum pn_rc rc = pn_tls_certificate_open(certificate, &material, err);

    if (rc != PN_OK)
        return rc;
    if (SSL_CTX_use_certificate(ctx, material.leaf) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, material.pkey) != 1 ||
        SSL_CTX_set1_chain(ctx, material.issuers) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        rc = pn_error_from_openssl(
            err, PN_INVALID, "certificate_unusable", "Certificate '%s' (%s) cannot be used for TLS",
            pn_tls_certificate_name(certificate), pn_tls_certificate_thumbprint_text(certificate));
    pn_tls_material_fini(&material);
    return rc;
}

struct pn_slice pn_tls_alpn_wire(enum pn_alpn alpn)
{
    switch (alpn) {
    case PN_ALPN_NONE:
        return (struct pn_slice){NULL, 0};
    case PN_ALPN_HTTP11:
        return PN_LIT("\x08http/1.1");
    case PN_ALPN_H2:
        return PN_LIT("\x02h2");
    case PN_ALPN_H2_HTTP11:
        return PN_LIT("\x02h2\x08http/1.1");
    }
    return (struct pn_slice){NULL, 0};
}
