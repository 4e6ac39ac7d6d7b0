/* SPDX-License-Identifier: Apache-2.0
 *
 * Client contexts and the sessions that they keep.
 */
#include "tls/client.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"
#include "signer/signer.h"
#include "tls/tls_internal.h"

/* Servers without a preference take the first: SHA-256 costs a resumption half of what SHA-384
 * does, and AES-128 is as good as needed. */
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* The sessions won by one identity. */
struct kept {
    struct pn_list entry; /* in `ages`, oldest use first */
    struct pn_tls_identity identity;
    SSL_SESSION *sessions[PN_TLS_SESSIONS_PER_IDENTITY_MAX]; /* oldest first */
    size_t count;
};

struct pn_tls_client {
    atomic_size_t references;
    SSL_CTX *ctx;
    struct pn_trust *trust;
    struct pn_tls_certificate *certificate;
    enum pn_alpn alpn;

    pthread_mutex_t lock; /* of the sessions: taken at handshakes only */
    struct pn_map *kept;
    struct pn_list ages;
};

/* ---- sessions */

/* Within one context, peer and name are what identities may differ in. */
struct session_key {
    char bytes[sizeof(uint16_t) * 2 + sizeof(uint32_t) + 16 + PN_SERVER_NAME_MAX];
    size_t len;
};

static struct pn_slice session_key(const struct pn_tls_identity *identity, struct session_key *key)
{
    size_t name_len = strlen(identity->server_name);
    char *cursor = key->bytes;

    memcpy(cursor, &identity->peer.family, 2);
    memcpy(cursor + 2, &identity->peer.port, 2);
    memcpy(cursor + 4, &identity->peer.scope_id, 4);
    memcpy(cursor + 8, identity->peer.ip, 16);
    memcpy(cursor + 24, identity->server_name, name_len);
    return pn_slice(key->bytes, 24 + name_len);
}

static void kept_free(void *value)
{
    struct kept *kept = value;

    for (size_t i = 0; i < kept->count; i++)
        SSL_SESSION_free(kept->sessions[i]);
    free(kept);
}

static void kept_drop(struct pn_tls_client *client, struct kept *kept)
{
    struct session_key key;

    (void)pn_map_remove(client->kept, session_key(&kept->identity, &key));
    pn_list_remove(&kept->entry);
    kept_free(kept);
}

static struct kept *kept_find(struct pn_tls_client *client, const struct pn_tls_identity *identity)
{
    struct session_key key;
    struct kept *kept = pn_map_get(client->kept, session_key(identity, &key));

    /* The map's key has only what differs here; the whole identity must agree nevertheless. */
    if (kept && !pn_tls_identity_equal(&kept->identity, identity))
        return NULL;
    return kept;
}

static struct kept *kept_make(struct pn_tls_client *client, const struct pn_tls_identity *identity)
{
    struct session_key key;
    struct kept *kept;

    if (pn_map_count(client->kept) >= pn_limit_value(PN_LIMIT_TLS_SESSIONS)) {
        struct kept *oldest = PN_CONTAINER(client->ages.next, struct kept, entry);

        pn_metric_add(PN_METRIC_BACKEND_SESSIONS_EVICTED, (int64_t)oldest->count);
        pn_limit_hit(PN_LIMIT_TLS_SESSIONS);
        kept_drop(client, oldest);
    }
    kept = calloc(1, sizeof(*kept));
    if (!kept)
        return NULL;
    kept->identity = *identity;
    if (pn_map_set(client->kept, session_key(identity, &key), kept, NULL) != PN_OK) {
        free(kept);
        return NULL;
    }
    pn_list_push_back(&client->ages, &kept->entry);
    return kept;
}

/* Takes the session when it returns 1. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    struct pn_tls_client *client = link ? link->client : NULL;
    struct kept *kept;

    /* TLS 1.3: a ticket comes when the server has our Finished, and before it our certificate. */
    if (link && link->story)
        link->story->is_confirmed = true;
    if (!client || !SSL_SESSION_is_resumable(session))
        return 0;
    pthread_mutex_lock(&client->lock);
    kept = kept_find(client, link->identity);
    if (!kept)
        kept = kept_make(client, link->identity);
    if (kept) {
        if (kept->count >= pn_limit_value(PN_LIMIT_TLS_SESSIONS_PER_IDENTITY)) {
            pn_metric_add(PN_METRIC_BACKEND_SESSIONS_EVICTED, 1);
            pn_limit_hit(PN_LIMIT_TLS_SESSIONS_PER_IDENTITY);
            SSL_SESSION_free(kept->sessions[0]);
            memmove(kept->sessions, kept->sessions + 1,
                    (--kept->count) * sizeof(kept->sessions[0]));
        }
        kept->sessions[kept->count++] = session;
        pn_list_remove(&kept->entry);
        pn_list_push_back(&client->ages, &kept->entry);
    }
    pthread_mutex_unlock(&client->lock);
    return kept != NULL;
}

/* The newest session of this identity. A TLS 1.3 ticket is used once while there are others; the
 * last one stays, for connections that are opened at the same time: that an observer could tell
 * that they are of one client (RFC 8446 appendix C.4) is no secret between a gateway and its
 * backend. */
static SSL_SESSION *session_take(struct pn_tls_client *client,
                                 const struct pn_tls_identity *identity)
{
    SSL_SESSION *session = NULL;
    struct kept *kept;

    pthread_mutex_lock(&client->lock);
    kept = kept_find(client, identity);
    if (kept) {
        session = kept->sessions[kept->count - 1];
        if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
            SSL_SESSION_up_ref(session);
        else if (kept->count > 1)
            kept->count--;
        else
            session = SSL_SESSION_dup(session); /* OpenSSL marks one as used up */
    }
    pthread_mutex_unlock(&client->lock);
    return session;
}

void pn_tls_client_forget_sessions(struct pn_tls_client *client,
                                   const struct pn_tls_identity *identity)
{
    struct kept *kept;

    pthread_mutex_lock(&client->lock);
    kept = kept_find(client, identity);
    if (kept)
        kept_drop(client, kept);
    pthread_mutex_unlock(&client->lock);
}

size_t pn_tls_client_session_count(struct pn_tls_client *client)
{
    size_t position = 0, count = 0;
    struct pn_slice key;
    void *value;

    pthread_mutex_lock(&client->lock);
    while (pn_map_next(client->kept, &position, &key, &value))
        count += ((struct kept *)value)->count;
    pthread_mutex_unlock(&client->lock);
    return count;
}

/* ---- callbacks of the handshake */

/* The peer has asked for a certificate, and ours is about to be sent. */
static int on_certificate_wanted(SSL *ssl, void *arg)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    const struct pn_tls_certificate *certificate;

    (void)arg;
    link->report->certificate_requested = true;
    if (link->story)
        pn_tls_story_request(link->story, ssl);
    if (link->is_handshake_over && ++link->late_requests > PN_TLS_LATE_REQUESTS_MAX) {
        (void)snprintf(link->report->detail, sizeof(link->report->detail),
                       "the peer asked for the certificate more than %d times",
                       PN_TLS_LATE_REQUESTS_MAX);
        return 0;
    }
    certificate = link->client->certificate;
    if (!certificate)
        return 1;
    if (pn_tls_certificate_check_time(
            certificate, link->now_unix_s ? link->now_unix_s : pn_clock_unix_s(), NULL) != PN_OK) {
        link->is_expired = true;
        return 0;
    }
    link->report->certificate_sent = true;
    return 1;
}

/* OpenSSL asks this when our certificate fits nothing that the peer accepts; it would go on without
 * one. "Later" ends the handshake, because the stream takes SSL_ERROR_WANT_X509_LOOKUP for a
 * failure. */
static int on_certificate_unusable(SSL *ssl, X509 **x509, EVP_PKEY **pkey)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);

    (void)x509;
    (void)pkey;
    link->is_unusable = true;
    link->report->certificate_sent = false;
    return -1;
}

/* Chain check off, name check on: only the name matters. */
static int on_verify_name_only(int ok, X509_STORE_CTX *store)
{
    int error = X509_STORE_CTX_get_error(store);

    if (ok)
        return 1;
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return 0;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int on_verify_story(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct pn_tls_link *link = SSL_get_app_data(ssl);
    int accepted = pn_trust_checks_chain(link->client->trust) ? ok : on_verify_name_only(ok, store);

    pn_tls_story_verify(link->story, accepted == 1, store);
    return accepted;
}

/* ---- contexts */

static enum pn_rc context_fill(struct pn_tls_client *client, struct pn_error *err)
{
    struct pn_slice alpn = pn_tls_alpn_wire(client->alpn);
    bool checks_chain = pn_trust_checks_chain(client->trust);
    bool checks_name = pn_trust_checks_name(client->trust);

    pn_tls_context_setup(client->ctx);
    /* Servers like IIS ask for the certificate after the request: by renegotiation in TLS 1.2
     * (allowed by default, secure form only), by post-handshake authentication in TLS 1.3. */
    SSL_CTX_set_post_handshake_auth(client->ctx, 1);
    (void)SSL_CTX_set_session_cache_mode(client->ctx,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, on_new_session);
    SSL_CTX_set_verify(client->ctx, checks_chain || checks_name ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       checks_chain ? NULL : on_verify_name_only);
    if (checks_chain)
        SSL_CTX_set_cert_verify_callback(client->ctx, pn_tls_verify_chain, client->trust);
    if (SSL_CTX_set_ciphersuites(client->ctx, TLS13_CIPHERS) != 1)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "No TLS context");
    if (pn_trust_store(client->trust))
        SSL_CTX_set1_cert_store(client->ctx, pn_trust_store(client->trust));
    if (alpn.len && SSL_CTX_set_alpn_protos(client->ctx, (const unsigned char *)alpn.ptr,
                                            (unsigned)alpn.len) != 0)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "ALPN cannot be set");
    SSL_CTX_set_cert_cb(client->ctx, on_certificate_wanted, NULL);
    if (!client->certificate)
        return PN_OK;
    SSL_CTX_set_client_cert_cb(client->ctx, on_certificate_unusable);
    return pn_tls_context_use(client->ctx, client->certificate, err);
}

enum pn_rc pn_tls_client_create(struct pn_signer *signer, struct pn_trust *trust,
                                struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                                struct pn_tls_client **out, struct pn_error *err)
{
    enum pn_rc rc;
    struct pn_tls_client *client;

    if (certificate && pn_tls_certificate_use(certificate) != PN_USE_CLIENT)
        return pn_error_set(err, PN_INVALID, "certificate_use",
                            "Certificate '%s' is not for the use client.",
                            pn_tls_certificate_name(certificate));
    client = calloc(1, sizeof(*client));
    if (!client)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS context.");
    atomic_init(&client->references, 1);
    (void)pthread_mutex_init(&client->lock, NULL);
    pn_list_init(&client->ages);
    client->trust = pn_trust_ref(trust);
    client->certificate = certificate ? pn_tls_certificate_ref(certificate) : NULL;
    client->alpn = alpn;
    client->kept = pn_map_create(false);
    client->ctx =
        SSL_CTX_new_ex(pn_signer_libctx(signer), PN_SIGNER_PROPERTIES, TLS_client_method());
    if (!client->kept || !client->ctx)
        rc = pn_error_from_openssl(err, PN_NOMEM, "tls_context_failed", "No TLS context");
    else
        rc = context_fill(client, err);
    if (rc != PN_OK) {
        pn_tls_client_unref(client);
        return rc;
    }
    *out = client;
    return PN_OK;
}

struct pn_tls_client *pn_tls_client_ref(struct pn_tls_client *client)
{
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
    return client;
}

void pn_tls_client_unref(struct pn_tls_client *client)
{
    if (!client || atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(client->ctx);
    if (client->kept)
        pn_map_destroy(client->kept, kept_free);
    pn_tls_certificate_unref(client->certificate);
    pn_trust_unref(client->trust);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

bool pn_tls_client_is_shared(const struct pn_tls_client *client)
{
    return atomic_load_explicit(&client->references, memory_order_acquire) > 1;
}

struct pn_trust *pn_tls_client_trust(const struct pn_tls_client *client)
{
    return client->trust;
}

struct pn_tls_certificate *pn_tls_client_certificate(const struct pn_tls_client *client)
{
    return client->certificate;
}

enum pn_alpn pn_tls_client_alpn(const struct pn_tls_client *client)
{
    return client->alpn;
}

enum pn_rc pn_tls_client_identity(const struct pn_tls_client *client,
                                  const struct pn_peer_address *peer, struct pn_slice server_name,
                                  struct pn_tls_identity *identity)
{
    enum pn_rc rc;

    pn_tls_identity_init(identity, peer);
    rc = pn_tls_identity_set_tls(identity, server_name, client->trust, client->certificate,
                                 client->alpn);
    if (rc == PN_OK)
        pn_tls_identity_seal(identity);
    return rc;
}

/* ---- one connection */

static bool is_ip_address(const char *name)
{
    unsigned char ip[16];

    return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

static bool ssl_set_name(SSL *ssl, const char *name, bool check)
{
    if (is_ip_address(name))
        return !check || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    if (SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (!check)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

SSL *pn_tls_client_ssl(struct pn_tls_client *client, struct pn_tls_link *link)
{
    SSL *ssl = SSL_new(client->ctx);
    BIO *bio = pn_tls_bio_new(link);
    SSL_SESSION *session;

    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    SSL_set_connect_state(ssl);
    if (link->story && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
        SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify_story);
    if (!ssl_set_name(ssl, link->identity->server_name, pn_trust_checks_name(client->trust))) {
        SSL_free(ssl);
        return NULL;
    }
    session = link->story ? NULL : session_take(client, link->identity); /* the whole handshake */
    if (session) {
        (void)SSL_set_session(ssl, session);
        SSL_SESSION_free(session);
    }
    return ssl;
}
