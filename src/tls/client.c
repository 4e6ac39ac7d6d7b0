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
#include "tls/takeover.h"
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
    struct pn_tls_certificate **certificates;
    size_t certificate_count;
    struct pn_tls_material *materials; /* of each, where there are several to choose from */
    enum pn_alpn alpn;
    bool use_own_records;

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

/* Which of several certificates a session was won with, as link->chosen has it, and until when it
 * may be resumed; copies of a session have both too. */
static int chosen_index = -1, until_index = -1;
static pthread_once_t indexes_once = PTHREAD_ONCE_INIT;

static void reserve_indexes(void)
{
    chosen_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    until_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static void set_chosen(SSL_SESSION *session, int chosen)
{
    (void)SSL_SESSION_set_ex_data(session, chosen_index, (void *)(uintptr_t)chosen);
}

static int chosen_of(const SSL_SESSION *session)
{
    return (int)(uintptr_t)SSL_SESSION_get_ex_data(session, chosen_index);
}

static int64_t now_of(const struct pn_tls_link *link)
{
    return link->now_unix_s ? link->now_unix_s : pn_clock_unix_s();
}

static void set_until(SSL_SESSION *session, int64_t until_s)
{
    (void)SSL_SESSION_set_ex_data(session, until_index, (void *)(uintptr_t)until_s);
}

static int64_t until_of(const SSL_SESSION *session)
{
    return (int64_t)(uintptr_t)SSL_SESSION_get_ex_data(session, until_index);
}

/* A resumed handshake verifies nothing. What comes of a full one is good for as long as a verified
 * chain is remembered, and not beyond the backend's certificate where that matters; what comes of a
 * resumed one is good no longer than that was (RFC 8446 §4.6.1). The peer chooses when it sends a
 * ticket: what counts is when the connection began. */
static int64_t trusted_until(const struct pn_tls_link *link, SSL *ssl)
{
    const X509 *leaf = SSL_get0_peer_certificate(ssl);
    int64_t until_s =
        link->began_unix_s + (int64_t)(pn_limit_value(PN_LIMIT_TLS_VERIFIED_LIFETIME) / 1000);
    struct tm parts;
    int64_t end_s;

    if (SSL_session_reused(ssl))
        return link->session_until_s;
    if (!leaf || !pn_trust_checks_chain(link->client->trust) ||
        ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &parts) != 1)
        return until_s;
    end_s = (int64_t)timegm(&parts);
    return end_s < until_s ? end_s : until_s;
}

/* Takes the session when it returns 1. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    struct pn_tls_client *client = link ? link->client : NULL;
    struct kept *kept;

    /* TLS 1.3: a ticket comes when the server has our Finished, and before it our certificate. */
    if (link)
        link->has_heard = true;
    if (link && link->story)
        link->story->is_confirmed = true;
    if (!client || !SSL_SESSION_is_resumable(session))
        return 0;
    set_chosen(session, link->chosen);
    set_until(session, trusted_until(link, ssl));
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

/* What was verified is too old, or the certificate that it was won with is out of its time. Of a
 * single one that was asked before. */
static bool is_outdated(const struct pn_tls_client *client, const SSL_SESSION *session,
                        int64_t now_s)
{
    int chosen = chosen_of(session);

    if (now_s >= until_of(session))
        return true;
    return chosen > 0 &&
           pn_tls_certificate_check_time(client->certificates[chosen - 1], now_s, NULL) != PN_OK;
}

/* The newest session of this identity. A TLS 1.3 ticket is used once while there are others; the
 * last one stays, for connections that are opened at the same time: that an observer could tell
 * that they are of one client (RFC 8446 appendix C.4) is no secret between a gateway and its
 * backend. */
static SSL_SESSION *session_take(struct pn_tls_client *client,
                                 const struct pn_tls_identity *identity, int64_t now_s)
{
    SSL_SESSION *session = NULL;
    struct kept *kept;

    pthread_mutex_lock(&client->lock);
    kept = kept_find(client, identity);
    while (kept && kept->count > 0 && is_outdated(client, kept->sessions[kept->count - 1], now_s))
        SSL_SESSION_free(kept->sessions[--kept->count]);
    if (kept && kept->count == 0) {
        kept_drop(client, kept);
        kept = NULL;
    }
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

/* After the handshake: whether it may go on. */
static bool takes_late_request(struct pn_tls_link *link)
{
    if (!link->is_handshake_over)
        return true;
    if (!pn_trust_takes_late_requests(link->client->trust) || link->alpn == PN_ALPN_H2) {
        link->is_late_unwanted = true;
        (void)snprintf(link->report->detail, sizeof(link->report->detail), "%s",
                       link->alpn == PN_ALPN_H2
                           ? "HTTP/2 has no certificates after the handshake (RFC 8740)"
                           : PN_LATE_IS_OFF);
        return false;
    }
    if (++link->late_requests > PN_TLS_LATE_REQUESTS_MAX) {
        (void)snprintf(link->report->detail, sizeof(link->report->detail),
                       "the peer asked for the certificate more than %d times",
                       PN_TLS_LATE_REQUESTS_MAX);
        return false;
    }
    return true;
}

/* The peer has asked for a certificate, and ours is about to be sent. */
static int on_certificate_wanted(SSL *ssl, void *arg)
{
    struct pn_tls_link *link = SSL_get_app_data(ssl);
    struct pn_tls_client *client = link->client;

    (void)arg;
    link->report->certificate_requested = true;
    if (!takes_late_request(link))
        return 0;
    if (client->certificate_count == 0)
        return 1;
    if (client->certificate_count > 1) {
        if (!pn_tls_client_choose(client, link, ssl))
            return 0;
    } else if (pn_tls_certificate_check_time(
                   client->certificates[0], link->now_unix_s ? link->now_unix_s : pn_clock_unix_s(),
                   NULL) != PN_OK) {
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

/* ---- contexts */

/* What the choice is made from; a context with one certificate keeps it itself. */
static enum pn_rc open_materials(struct pn_tls_client *client, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    client->materials = calloc(client->certificate_count, sizeof(*client->materials));
    if (!client->materials)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS context.");
    for (size_t i = 0; i < client->certificate_count && rc == PN_OK; i++)
        rc = pn_tls_certificate_open(client->certificates[i], &client->materials[i], err);
    return rc;
}

static enum pn_rc context_fill(struct pn_tls_client *client, struct pn_error *err)
{
    struct pn_slice alpn = pn_tls_alpn_wire(client->alpn);
    bool checks_chain = pn_trust_checks_chain(client->trust);
    bool checks_name = pn_trust_checks_name(client->trust);
    bool has_pins = pn_trust_has_pins(client->trust);

    pn_tls_context_setup(client->ctx);
    if (pn_trust_has_tls13_only(client->trust))
        (void)SSL_CTX_set_min_proto_version(client->ctx, TLS1_3_VERSION);
    /* Servers like IIS ask for the certificate after the request: by renegotiation in TLS 1.2
     * (secure form only), by post-handshake authentication in TLS 1.3. Where the policy does not
     * allow it, what is asked is refused, with a cause: see on_certificate_wanted and
     * pn_tls_context_setup. */
    SSL_CTX_set_post_handshake_auth(client->ctx, 1);
    if (!pn_trust_takes_late_requests(client->trust))
        (void)SSL_CTX_set_options(client->ctx, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(client->ctx,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, on_new_session);
    SSL_CTX_set_verify(client->ctx,
                       checks_chain || checks_name || has_pins ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       checks_chain ? NULL : on_verify_name_only);
    if (checks_chain || has_pins)
        SSL_CTX_set_cert_verify_callback(client->ctx, pn_tls_verify_chain, client->trust);
    if (SSL_CTX_set_ciphersuites(client->ctx, TLS13_CIPHERS) != 1)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "No TLS context");
    if (pn_trust_store(client->trust))
        SSL_CTX_set1_cert_store(client->ctx, pn_trust_store(client->trust));
    if (alpn.len && SSL_CTX_set_alpn_protos(client->ctx, (const unsigned char *)alpn.ptr,
                                            (unsigned)alpn.len) != 0)
        return pn_error_from_openssl(err, PN_INTERNAL, "tls_context_failed", "ALPN cannot be set");
    SSL_CTX_set_cert_cb(client->ctx, on_certificate_wanted, NULL);
    if (client->certificate_count == 0)
        return PN_OK;
    SSL_CTX_set_client_cert_cb(client->ctx, on_certificate_unusable);
    if (client->certificate_count == 1)
        return pn_tls_context_use(client->ctx, client->certificates[0], err);
    return open_materials(client, err);
}

static enum pn_rc keep_certificates(struct pn_tls_client *client,
                                    struct pn_tls_certificate *const *certificates, size_t count)
{
    if (count == 0)
        return PN_OK;
    client->certificates = calloc(count, sizeof(struct pn_tls_certificate *));
    if (!client->certificates)
        return PN_NOMEM;
    for (size_t i = 0; i < count; i++)
        client->certificates[i] = pn_tls_certificate_ref(certificates[i]);
    client->certificate_count = count;
    return PN_OK;
}

enum pn_rc pn_tls_client_create_of(struct pn_signer *signer, struct pn_trust *trust,
                                   struct pn_tls_certificate *const *certificates, size_t count,
                                   enum pn_alpn alpn, struct pn_tls_client **out,
                                   struct pn_error *err)
{
    enum pn_rc rc;
    struct pn_tls_client *client;

    if (count > PN_TLS_CERTIFICATES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "A connection chooses from at most %d certificates.",
                            PN_TLS_CERTIFICATES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (pn_tls_certificate_use(certificates[i]) != PN_USE_CLIENT)
            return pn_error_set(err, PN_INVALID, "certificate_use",
                                "Certificate '%s' is not for the use client.",
                                pn_tls_certificate_name(certificates[i]));
    }
    (void)pthread_once(&indexes_once, reserve_indexes);
    client = calloc(1, sizeof(*client));
    if (!client || chosen_index < 0) {
        free(client);
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS context.");
    }
    atomic_init(&client->references, 1);
    (void)pthread_mutex_init(&client->lock, NULL);
    pn_list_init(&client->ages);
    client->trust = pn_trust_ref(trust);
    client->alpn = alpn;
    client->kept = pn_map_create(false);
    client->ctx =
        SSL_CTX_new_ex(pn_signer_libctx(signer), PN_SIGNER_PROPERTIES, TLS_client_method());
    if (!client->kept || !client->ctx)
        rc = pn_error_from_openssl(err, PN_NOMEM, "tls_context_failed", "No TLS context");
    else if (keep_certificates(client, certificates, count) != PN_OK)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a TLS context.");
    else
        rc = context_fill(client, err);
    if (rc != PN_OK) {
        pn_tls_client_unref(client);
        return rc;
    }
    *out = client;
    return PN_OK;
}

enum pn_rc pn_tls_client_create(struct pn_signer *signer, struct pn_trust *trust,
                                struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                                struct pn_tls_client **out, struct pn_error *err)
{
    return pn_tls_client_create_of(signer, trust, &certificate, certificate ? 1 : 0, alpn, out,
                                   err);
}

void pn_tls_client_use_own_records(struct pn_tls_client *client)
{
    if (pn_trust_takes_late_requests(client->trust))
        return; /* OpenSSL must answer them, as long as the connection lives */
    pn_tls_takeover_setup(client->ctx);
    client->use_own_records = true;
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
    for (size_t i = 0; i < client->certificate_count; i++) {
        if (client->materials)
            pn_tls_material_fini(&client->materials[i]);
        pn_tls_certificate_unref(client->certificates[i]);
    }
    free(client->materials);
    free(client->certificates);
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
    return client->certificate_count == 1 ? client->certificates[0] : NULL;
}

struct pn_tls_certificate *const *pn_tls_client_certificates(const struct pn_tls_client *client,
                                                             size_t *count)
{
    *count = client->certificate_count;
    return client->certificates;
}

const struct pn_tls_material *pn_tls_client_material(const struct pn_tls_client *client,
                                                     size_t index)
{
    return &client->materials[index];
}

enum pn_rc pn_tls_client_check_time(const struct pn_tls_client *client, int64_t now_unix_s,
                                    struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = client->certificate_count; i > 0; i--) { /* the first one's words stay */
        rc = pn_tls_certificate_check_time(client->certificates[i - 1], now_unix_s, err);
        if (rc == PN_OK)
            return PN_OK;
    }
    return rc;
}

enum pn_alpn pn_tls_client_alpn(const struct pn_tls_client *client)
{
    return client->alpn;
}

enum pn_rc pn_tls_client_identity(const struct pn_tls_client *client,
                                  const struct pn_peer_address *peer, struct pn_slice server_name,
                                  struct pn_tls_identity *identity)
{
    const char *other = pn_trust_server_name(client->trust);
    enum pn_rc rc;

    pn_tls_identity_init(identity, peer);
    rc = pn_tls_identity_set_tls(identity, other ? pn_slice_str(other) : server_name, client->trust,
                                 pn_tls_client_certificate(client), client->alpn);
    if (rc == PN_OK && client->certificate_count > 1)
        pn_tls_identity_set_several(identity, client->certificates, client->certificate_count);
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
    SSL_SESSION *session = NULL;

    if (!ssl || !bio) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    SSL_set_connect_state(ssl);
    if (client->use_own_records && !link->story && !link->below)
        pn_tls_takeover_begin(link, ssl);
    if (!ssl_set_name(ssl, link->identity->server_name, pn_trust_checks_name(client->trust))) {
        SSL_free(ssl);
        return NULL;
    }
    link->began_unix_s = now_of(link);
    if (!link->story) /* else the whole handshake is wanted */
        session = session_take(client, link->identity, link->began_unix_s);
    if (session) {
        link->session_until_s = until_of(session);
        link->chosen = chosen_of(session);
        if (link->chosen > 0)
            pn_tls_link_name(link, client->certificates[link->chosen - 1]);
        (void)SSL_set_session(ssl, session);
        SSL_SESSION_free(session);
    }
    return ssl;
}
