/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of our own listeners: one SSL_CTX per host name. The choice is made when the ClientHello
 * has come and before anything of it is acted on: OpenSSL looks for the session to resume before it
 * asks for the server name.
 */
#include "tls/server.h"

#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "signer/signer.h"
#include "tls/takeover.h"
#include "tls/tls_internal.h"

/* Forward secrecy only: a key of use server signs key exchanges and decrypts nothing. */
#define TLS12_CIPHERS                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS        "X25519:P-256:P-384:P-521"

struct host {
    char name[PN_SERVER_NAME_MAX]; /* lower case; "": the names in the certificate */
    SSL_CTX *ctx;
    struct pn_tls_certificate *certificate;
    bool asks_certificate;
};

struct pn_tls_server {
    atomic_size_t references;
    enum pn_alpn alpn;
    struct pn_tls_tickets *tickets;
    bool use_own_records;
    bool asks_certificate; /* one of the hosts does */
    size_t count;
    struct host hosts[];
};

/* ---- names */

static bool is_below_wildcard(const char *pattern, const char *name)
{
    const char *dot = strchr(name, '.');

    return pattern[0] == '*' && dot && dot != name && strcmp(pattern + 1, dot) == 0;
}

static bool is_named_in(const struct host *host, const char *name)
{
    X509 *leaf = SSL_CTX_get0_certificate(host->ctx);

    return leaf && X509_check_host(leaf, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* The host for `name`, or NULL. */
static const struct host *host_find(const struct pn_tls_server *server, const char *name)
{
    const struct host *found = NULL;

    for (size_t i = 0; i < server->count; i++) {
        if (strcmp(server->hosts[i].name, name) == 0)
            return &server->hosts[i];
    }
    for (size_t i = 0; i < server->count && !found; i++) {
        if (is_below_wildcard(server->hosts[i].name, name))
            found = &server->hosts[i];
    }
    for (size_t i = 0; i < server->count && !found; i++) {
        if (!server->hosts[i].name[0] && is_named_in(&server->hosts[i], name))
            found = &server->hosts[i];
    }
    return found;
}

/* As a ClientHello has it: lower case, without a port and a dot at the end. */
static bool authority_name(struct pn_slice authority, char name[PN_SERVER_NAME_MAX])
{
    size_t len = pn_slice_find(authority, ':');

    if (len > 0 && authority.ptr[len - 1] == '.')
        len--;
    if (len == 0 || len >= PN_SERVER_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)tolower((unsigned char)authority.ptr[i]);
    name[len] = '\0';
    return true;
}

bool pn_tls_server_is_misdirected(const struct pn_tls_server *server, const char *server_name,
                                  struct pn_slice authority)
{
    char name[PN_SERVER_NAME_MAX];
    const struct host *wanted, *used;

    if (!server->asks_certificate || !authority_name(authority, name) ||
        strcmp(name, server_name) == 0)
        return false;
    wanted = host_find(server, name);
    used = *server_name ? host_find(server, server_name) : NULL;
    return wanted && wanted->asks_certificate && wanted != (used ? used : server->hosts);
}

/* ---- the ClientHello */

/* The name in the ClientHello (RFC 6066 §3), lower case, without a dot at its end; "" when there is
 * none. OpenSSL judges malformed ones afterwards. */
static void hello_name(SSL *ssl, char name[PN_SERVER_NAME_MAX])
{
    const unsigned char *bytes = NULL;
    size_t len = 0, name_len;

    name[0] = '\0';
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len) != 1 || len < 5 ||
        ((size_t)bytes[0] << 8 | bytes[1]) != len - 2 || bytes[2] != TLSEXT_NAMETYPE_host_name)
        return;
    name_len = (size_t)bytes[3] << 8 | bytes[4];
    if (name_len > len - 5 || name_len >= PN_SERVER_NAME_MAX || memchr(bytes + 5, 0, name_len))
        return;
    if (name_len > 0 && bytes[5 + name_len - 1] == '.')
        name_len--;
    for (size_t i = 0; i < name_len; i++)
        name[i] = (char)tolower(bytes[5 + i]);
    name[name_len] = '\0';
}

/* What a session is bound to. */
static bool bind_sessions(SSL *ssl, const struct host *host, const char *name)
{
    struct {
        uint8_t chain[PN_SHA256_BYTES];
        char asks_certificate;
        char name[PN_SERVER_NAME_MAX];
    } facts;
    uint8_t context[PN_SHA256_BYTES];

    memset(&facts, 0, sizeof(facts));
    memcpy(facts.chain, pn_tls_certificate_chain_id(host->certificate), sizeof(facts.chain));
    facts.asks_certificate = host->asks_certificate ? 1 : 0;
    memcpy(facts.name, name, strlen(name));
    pn_sha256(pn_slice(&facts, sizeof(facts)), context);
    return SSL_set_session_id_context(ssl, context, sizeof(context)) == 1;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    const struct pn_tls_server *server = arg;
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    char name[PN_SERVER_NAME_MAX];
    const struct host *host;

    *alert = SSL_AD_INTERNAL_ERROR;
    hello_name(ssl, name);
    host = name[0] ? host_find(server, name) : NULL;
    if (link) {
        link->is_host_known = host != NULL;
        link->has_asked = (host ? host : server->hosts)->asks_certificate;
        link->peer_name = host && strcmp(host->name, name) == 0 ? (char *)(uintptr_t)host->name
                                                                : pn_tls_link_keep(link, name);
    }
    if (!host)
        host = server->hosts; /* the default; the client judges */
    if (host != server->hosts && !SSL_set_SSL_CTX(ssl, host->ctx))
        return SSL_CLIENT_HELLO_ERROR;
    /* A context that is set later does not bring this with it. */
    SSL_set_verify(ssl, host->asks_certificate ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return bind_sessions(ssl, host, name) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* Only says whether we knew the name: then the answer has the extension too. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct pn_tls_link *link = SSL_get_app_data(ssl);

    (void)alert;
    (void)arg;
    return link && link->is_host_known ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static bool offers_http10(const unsigned char *offered, unsigned len)
{
    static const unsigned char wanted[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '0'};

    /* OpenSSL has looked at the lengths. */
    for (unsigned at = 0; at < len; at += 1u + offered[at]) {
        if (len - at >= sizeof(wanted) && memcmp(offered + at, wanted, sizeof(wanted)) == 0)
            return true;
    }
    return false;
}

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                   const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct pn_tls_server *server = arg;
    struct pn_slice ours = pn_tls_alpn_wire(server->alpn);
    unsigned char *found = NULL;

    (void)ssl;
    if (!ours.len)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&found, chosen_len, (const unsigned char *)ours.ptr,
                              (unsigned)ours.len, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return offers_http10(offered, offered_len) ? SSL_TLSEXT_ERR_NOACK
                                                   : SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_making)
{
    const struct pn_tls_link *link = SSL_get_app_data(ssl);

    if (!link || !link->tickets)
        return -1;
    return pn_tls_tickets_callback(link->tickets, ssl, name, iv, cipher, mac, is_making == 1);
}

static int on_ticket_filled(SSL *ssl, void *arg)
{
    const struct pn_tls_link *link = SSL_get_app_data(ssl);

    (void)arg;
    return link && link->tickets && pn_tls_tickets_note(link->tickets, ssl);
}

static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    const struct pn_tls_link *link = SSL_get_app_data(ssl);

    (void)name;
    (void)name_len;
    (void)arg;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) || !link ||
        !link->tickets || !pn_tls_tickets_is_good(link->tickets, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW; /* a full handshake, and a new one */
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* A client's certificate is asked for so that others can judge it later; here counts only that the
 * client has its key, which its CertificateVerify shows. */
static int on_client_chain(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* ---- contexts */

static void context_callbacks(struct pn_tls_server *server, SSL_CTX *ctx)
{
    SSL_CTX_set_client_hello_cb(ctx, on_hello, server);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
    SSL_CTX_set_cert_verify_callback(ctx, on_client_chain, NULL);
    if (server->tickets) {
        (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
        (void)SSL_CTX_set_session_ticket_cb(ctx, on_ticket_filled, on_ticket_read, NULL);
        (void)SSL_CTX_set_timeout(ctx, pn_tls_tickets_lifetime_s(server->tickets));
    }
}

static enum pn_rc context_make(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                               struct pn_tls_server *server, struct host *host,
                               struct pn_error *err)
{
    static const unsigned char session_context[] = "postern"; /* until the ClientHello has come */
    SSL_CTX *ctx =
        SSL_CTX_new_ex(pn_signer_libctx(signer), PN_SIGNER_PROPERTIES, TLS_server_method());

    if (!ctx)
        return pn_error_from_openssl(err, PN_NOMEM, "tls_context_failed", "No TLS context");
    host->ctx = ctx;
    pn_tls_context_setup(ctx);
    if (spec->use_own_records)
        pn_tls_takeover_setup(ctx);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA);
    if (spec->cleanse_plaintext)
        (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
    /* Sessions are the client's tickets; nothing is kept here. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, (long)pn_limit_value(PN_LIMIT_TLS_CLIENT_CHAIN_BYTES));
    context_callbacks(server, ctx);
    if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1 ||
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, TLS13_CIPHERS) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "No TLS context");
    return pn_tls_context_use(ctx, host->certificate, err);
}

static enum pn_rc host_make(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                            struct pn_tls_server *server, size_t index, struct pn_error *err)
{
    const struct pn_tls_host *wanted = &spec->hosts[index];
    struct host *host = &server->hosts[index];
    size_t len = wanted->name ? strlen(wanted->name) : 0;

    if (len >= sizeof(host->name) || (wanted->name && !len))
        return pn_error_set(err, PN_INVALID, "host_name",
                            "A host name of a TLS listener has 1 to %d bytes.",
                            PN_SERVER_NAME_MAX - 1);
    if (pn_tls_certificate_use(wanted->certificate) == PN_USE_CLIENT)
        return pn_error_set(err, PN_INVALID, "certificate_use",
                            "Certificate '%s' is not for the use server.",
                            pn_tls_certificate_name(wanted->certificate));
    for (size_t i = 0; i < len; i++)
        host->name[i] = (char)tolower((unsigned char)wanted->name[i]);
    host->asks_certificate = wanted->asks_certificate;
    server->asks_certificate |= wanted->asks_certificate;
    host->certificate = pn_tls_certificate_ref(wanted->certificate);
    server->count = index + 1;
    return context_make(signer, spec, server, host, err);
}

enum pn_rc pn_tls_server_create(struct pn_signer *signer, const struct pn_tls_server_spec *spec,
                                struct pn_tls_server **out, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    struct pn_tls_server *server;

    if (!spec->host_count)
        return pn_error_set(err, PN_INVALID, "no_certificate",
                            "A TLS listener needs at least one certificate.");
    if (spec->host_count > PN_TLS_SERVER_HOSTS_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "A TLS listener has at most %d host names.", PN_TLS_SERVER_HOSTS_MAX);
    server = calloc(1, sizeof(*server) + spec->host_count * sizeof(server->hosts[0]));
    if (!server)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS listener.");
    atomic_init(&server->references, 1);
    server->alpn = spec->alpn;
    server->use_own_records = spec->use_own_records;
    server->tickets = spec->tickets ? pn_tls_tickets_ref(spec->tickets) : NULL;
    for (size_t i = 0; i < spec->host_count && rc == PN_OK; i++)
        rc = host_make(signer, spec, server, i, err);
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
        SSL_CTX_free(server->hosts[i].ctx);
        pn_tls_certificate_unref(server->hosts[i].certificate);
    }
    pn_tls_tickets_unref(server->tickets);
    free(server);
}

SSL *pn_tls_server_ssl(struct pn_tls_server *server, struct pn_tls_link *link)
{
    SSL *ssl = SSL_new(server->hosts[0].ctx);
    BIO *bio = pn_tls_bio_new(link);

    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    link->tickets = server->tickets;
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    SSL_set_accept_state(ssl);
    if (server->use_own_records)
        pn_tls_takeover_begin(link, ssl);
    return ssl;
}
