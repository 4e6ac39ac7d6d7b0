/* SPDX-License-Identifier: Apache-2.0
 *
 * Ticket keys: AES-256-CBC and HMAC-SHA256, as RFC 5077 §4 recommends. Newest first.
 */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/secret.h"
#include "tls/tls_internal.h"

#define KEY_NAME_BYTES 16
#define IV_BYTES       16

struct ticket_key {
    uint8_t name[KEY_NAME_BYTES];
    uint8_t aes[32];
    uint8_t hmac[32];
    uint64_t made_ms;
};

struct pn_tls_tickets {
    atomic_size_t references;
    uint32_t lifetime_s, rotation_s;
    uint64_t (*now_ms)(void);
    EVP_CIPHER *cipher;
    pthread_mutex_t lock;
    struct pn_secret memory; /* of `keys` */
    struct ticket_key *keys;
    unsigned count;
};

enum pn_rc pn_tls_tickets_create(const struct pn_tls_tickets_spec *spec,
                                 struct pn_tls_tickets **out, struct pn_error *err)
{
    struct pn_tls_tickets *tickets;
    uint32_t lifetime_s = spec->lifetime_s ? spec->lifetime_s : PN_TICKET_LIFETIME_S;
    uint32_t rotation_s = spec->rotation_s ? spec->rotation_s : PN_TICKET_ROTATION_S;

    if (lifetime_s > PN_TICKET_LIFETIME_S_MAX || lifetime_s / rotation_s + 2 > PN_TICKET_KEYS_MAX)
        return pn_error_set(err, PN_INVALID, "ticket_times",
                            "Session tickets live %u s at most, and at most %d times as long as "
                            "a key makes them (now %u s, a key %u s).",
                            PN_TICKET_LIFETIME_S_MAX, PN_TICKET_KEYS_MAX - 2, lifetime_s,
                            rotation_s);
    tickets = calloc(1, sizeof(*tickets));
    if (!tickets)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for ticket keys.");
    atomic_init(&tickets->references, 1);
    tickets->lifetime_s = lifetime_s;
    tickets->rotation_s = rotation_s;
    tickets->now_ms = spec->now_ms ? spec->now_ms : pn_clock_monotonic_ms;
    (void)pthread_mutex_init(&tickets->lock, NULL);
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!tickets->cipher ||
        pn_secret_init(&tickets->memory, PN_TICKET_KEYS_MAX * sizeof(struct ticket_key)) != PN_OK) {
        pn_tls_tickets_unref(tickets);
        return pn_error_from_openssl(err, PN_NOMEM, "no_memory", "No memory for ticket keys");
    }
    tickets->keys = (struct ticket_key *)(void *)tickets->memory.ptr;
    *out = tickets;
    return PN_OK;
}

struct pn_tls_tickets *pn_tls_tickets_ref(struct pn_tls_tickets *tickets)
{
    atomic_fetch_add_explicit(&tickets->references, 1, memory_order_relaxed);
    return tickets;
}

void pn_tls_tickets_unref(struct pn_tls_tickets *tickets)
{
    if (!tickets || atomic_fetch_sub_explicit(&tickets->references, 1, memory_order_acq_rel) != 1)
        return;
    EVP_CIPHER_free(tickets->cipher);
    pn_secret_fini(&tickets->memory);
    (void)pthread_mutex_destroy(&tickets->lock);
    free(tickets);
}

uint32_t pn_tls_tickets_lifetime_s(const struct pn_tls_tickets *tickets)
{
    return tickets->lifetime_s;
}

unsigned pn_tls_tickets_count(struct pn_tls_tickets *tickets)
{
    unsigned count;

    pthread_mutex_lock(&tickets->lock);
    count = tickets->count;
    pthread_mutex_unlock(&tickets->lock);
    return count;
}

/* Who asked the clock first may get the lock last: then something is younger than now. */
static uint64_t age_ms(uint64_t now_ms, uint64_t since_ms)
{
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* ---- under the lock */

/* A key is of no use once the last ticket that it made has ended. */
static void drop_old(struct pn_tls_tickets *tickets, uint64_t now_ms)
{
    uint64_t age_max_ms = ((uint64_t)tickets->lifetime_s + tickets->rotation_s) * 1000;

    while (tickets->count > 0 &&
           age_ms(now_ms, tickets->keys[tickets->count - 1].made_ms) >= age_max_ms) {
        tickets->count--;
        pn_wipe(&tickets->keys[tickets->count], sizeof(*tickets->keys));
    }
}

static bool makes_tickets(const struct pn_tls_tickets *tickets, const struct ticket_key *key,
                          uint64_t now_ms)
{
    return key == tickets->keys &&
           age_ms(now_ms, key->made_ms) < (uint64_t)tickets->rotation_s * 1000;
}

static const struct ticket_key *newest(struct pn_tls_tickets *tickets, uint64_t now_ms)
{
    struct ticket_key *keys = tickets->keys;

    if (tickets->count > 0 && makes_tickets(tickets, keys, now_ms))
        return keys;
    if (tickets->count == PN_TICKET_KEYS_MAX)
        tickets->count--; /* cannot be: drop_old() has been */
    memmove(keys + 1, keys, tickets->count * sizeof(*keys));
    pn_random(keys[0].name, sizeof(keys[0].name));
    pn_random(keys[0].aes, sizeof(keys[0].aes));
    pn_random(keys[0].hmac, sizeof(keys[0].hmac));
    keys[0].made_ms = now_ms;
    tickets->count++;
    return keys;
}

static const struct ticket_key *named(const struct pn_tls_tickets *tickets, const uint8_t *name)
{
    for (unsigned i = 0; i < tickets->count; i++) {
        if (memcmp(tickets->keys[i].name, name, KEY_NAME_BYTES) == 0)
            return &tickets->keys[i];
    }
    return NULL;
}

/* ---- for OpenSSL */

static bool mac_start(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_init(mac, key->hmac, sizeof(key->hmac), params) == 1;
}

static int ticket_make(struct pn_tls_tickets *tickets, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key;
    uint64_t now_ms = tickets->now_ms();
    bool is_fine;

    pn_random(iv, IV_BYTES);
    pthread_mutex_lock(&tickets->lock);
    drop_old(tickets, now_ms);
    key = newest(tickets, now_ms);
    memcpy(name, key->name, KEY_NAME_BYTES);
    is_fine = EVP_EncryptInit_ex2(cipher, tickets->cipher, key->aes, iv, NULL) == 1 &&
              mac_start(mac, key);
    pthread_mutex_unlock(&tickets->lock);
    return is_fine ? 1 : -1;
}

/* 0: not ours, or too old: a full handshake. 2: good, and a new ticket shall be given: always in
 * TLS 1.3, where a ticket is used once, and when the key makes no tickets any more. */
static int ticket_open(struct pn_tls_tickets *tickets, bool is_tls13, const unsigned char *name,
                       const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key;
    uint64_t now_ms = tickets->now_ms();
    int answer = 0;

    pthread_mutex_lock(&tickets->lock);
    drop_old(tickets, now_ms);
    key = named(tickets, name);
    if (key) {
        answer = makes_tickets(tickets, key, now_ms) && !is_tls13 ? 1 : 2;
        if (EVP_DecryptInit_ex2(cipher, tickets->cipher, key->aes, iv, NULL) != 1 ||
            !mac_start(mac, key))
            answer = -1;
    }
    pthread_mutex_unlock(&tickets->lock);
    return answer;
}

int pn_tls_tickets_callback(struct pn_tls_tickets *tickets, SSL *ssl, unsigned char *name,
                            unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                            bool is_making)
{
    if (is_making)
        return ticket_make(tickets, name, iv, cipher, mac);
    return ticket_open(tickets, SSL_version(ssl) >= TLS1_3_VERSION, name, iv, cipher, mac);
}

/* ---- what a ticket holds besides */

/* When the client of this session shook hands in full. False: a session that is not ours. */
static bool began_ms(SSL_SESSION *session, uint64_t *then_ms)
{
    void *data = NULL;
    size_t len = 0;

    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(*then_ms))
        return false;
    memcpy(then_ms, data, sizeof(*then_ms));
    return true;
}

static uint32_t left_s(const struct pn_tls_tickets *tickets, SSL_SESSION *session)
{
    uint64_t then_ms, gone_s;

    if (!began_ms(session, &then_ms))
        return 0;
    gone_s = age_ms(tickets->now_ms(), then_ms) / 1000;
    return gone_s < tickets->lifetime_s ? (uint32_t)(tickets->lifetime_s - gone_s) : 0;
}

bool pn_tls_tickets_note(const struct pn_tls_tickets *tickets, SSL *ssl)
{
    SSL_SESSION *session = SSL_get_session(ssl);
    uint64_t now_ms = tickets->now_ms();

    if (!SSL_session_reused(ssl))
        return SSL_SESSION_set1_ticket_appdata(session, &now_ms, sizeof(now_ms)) == 1;
    /* In TLS 1.3 OpenSSL counts anew from here; in TLS 1.2 from the beginning. */
    return SSL_version(ssl) < TLS1_3_VERSION ||
           SSL_SESSION_set_timeout(session, left_s(tickets, session)) == 1;
}

bool pn_tls_tickets_is_good(const struct pn_tls_tickets *tickets, SSL_SESSION *session)
{
    return left_s(tickets, session) > 0;
}
