/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of our own listeners: one SSL_CTX per certificate; the server name chooses.
 */
#include "tls/server.h"

#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "signer/signer.h"
#include "tls/tls_internal.h"

/* Forward secrecy only: a key of use server signs key exchanges and decrypts nothing. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct pn_tls_server {
    atomic_size_t references;
    enum pn_alpn alpn;
    size_t count;
    SSL_CTX *contexts[PN_TLS_SERVER_CERTIFICATES_MAX];
    struct pn_tls_certificate *certificates[PN_TLS_SERVER_CERTIFICATES_MAX];
};

static bool name_is_whole(const char *name)
{
    return name && *name && strlen(name) < PN_SERVER_NAME_MAX;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    struct pn_tls_server *server = arg;
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    if (!name_is_whole(name))
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; link && name[i]; i++) {
        link->server_name[i] = (char)tolower((unsigned char)name[i]);
        link->server_name[i + 1] = '\0';
    }
    for (size_t i = 0; i < server->count; i++) {
        if (X509_check_host(pn_tls_certificate_leaf(server->certificates[i]), name, 0,
                            X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
            continue;
        if (i > 0)
            (void)SSL_set_SSL_CTX(ssl, server->contexts[i]);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK; /* the default certificate; the client judges */
}

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                   const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct pn_tls_server *server = arg;
    struct pn_slice ours = pn_tls_alpn_wire(server->alpn);
    unsigned char *found = NULL;

    (void)ssl;
    if (!ours.len ||
        SSL_select_next_proto(&found, chosen_len, (const unsigned char *)ours.ptr,
                              (unsigned)ours.len, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static enum pn_rc context_make(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                               struct pn_tls_server *server, size_t index, struct pn_error *err)
{
    static const unsigned char session_context[] = "postern";
    SSL_CTX *ctx =
        SSL_CTX_new_ex(pn_signer_libctx(signer), PN_SIGNER_PROPERTIES, TLS_server_method());

    if (!ctx)
        return pn_error_from_openssl(err, PN_NOMEM, "tls_context_failed", "No TLS context");
    server->contexts[index] = ctx;
    pn_tls_context_setup(ctx);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA);
    if (spec->cleanse_plaintext)
        (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
    /* Sessions are the client's tickets; nothing is kept here. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, server);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
    if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1 ||
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "No TLS context");
    return pn_tls_context_use(ctx, server->certificates[index], err);
}

enum pn_rc pn_tls_server_create(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                                struct pn_tls_server **out, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    struct pn_tls_server *server;

    if (!spec->certificate_count)
        return pn_error_set(err, PN_INVALID, "no_certificate",
                            "A TLS listener needs at least one certificate.");
    if (spec->certificate_count > PN_TLS_SERVER_CERTIFICATES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "A TLS listener has at most %d certificates.",
                            PN_TLS_SERVER_CERTIFICATES_MAX);
    server = calloc(1, sizeof(*server));
    if (!server)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS listener.");
    atomic_init(&server->references, 1);
    server->alpn = spec->alpn;
    for (size_t i = 0; i < spec->certificate_count && rc == PN_OK; i++) {
        struct pn_tls_certificate *certificate = spec->certificates[i];

        if (pn_tls_certificate_use(certificate) == PN_USE_CLIENT) {
            rc = pn_error_set(err, PN_INVALID, "certificate_use",
                              "Certificate '%s' is not for the use server.",
                              pn_tls_certificate_name(certificate));
            break;
        }
        server->certificates[i] = pn_tls_certificate_ref(certificate);
        server->count = i + 1;
        rc = context_make(signer, spec, server, i, err);
    }
    if (rc != PN_OK) {
        pn_tls_server_unref(server);
        return rc;
    }
    *out = server;
    return PN_OK;
}

struct pn_tls_server *pn_tls_server_ref(struct pn_tls_server *server)
{
    atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed);
    return server;
}

void pn_tls_server_unref(struct pn_tls_server *server)
{
    if (!server || atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < server->count; i++) {
        SSL_CTX_free(server->contexts[i]);
        pn_tls_certificate_unref(server->certificates[i]);
    }
    free(server);
}

SSL *pn_tls_server_ssl(struct pn_tls_server *server, struct pn_tls_link *link)
{
    SSL *ssl = SSL_new(server->contexts[0]);
    BIO *bio = pn_tls_bio_new(link);

    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    SSL_set_accept_state(ssl);
    return ssl;
}
