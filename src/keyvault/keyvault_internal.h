/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the client's logic and how bytes get to a vault. Tests put a
 * transport of their own in its place.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/secret.h"
#include "keyvault/keyvault.h"

#define URL_TEXT        2048
#define CHALLENGE_TEXT  512
#define CHALLENGES_KEPT 32
#define API_VERSION     "7.4"

/* One GET and its answer. */
struct exchange {
    int status;
    struct pn_buf body;   /* secret */
    char challenge[1024]; /* WWW-Authenticate */
    unsigned retry_after_s;
};

struct challenge {
    char origin[PN_KEYVAULT_HOST_TEXT + 32]; /* "": free */
    char resource[CHALLENGE_TEXT];
    char authority[CHALLENGE_TEXT];
};

/* `token` may be NULL. Errors: code vault_dns, vault_connect, vault_tls, vault_timeout,
 * vault_content, network_rule, address_guarded. */
typedef enum pn_rc (*transport_fn)(struct pn_keyvault *keyvault, const char *url,
                                   const struct pn_secret *token, struct exchange *exchange,
                                   struct pn_error *err);

struct pn_keyvault {
    struct pn_token_source *tokens;
    char *ca_file;
    unsigned connect_timeout_ms, timeout_ms;
    size_t response_bytes_max;
    const struct pn_outbound_scope *outbound;
    transport_fn transport;
    void *transport_ctx; /* tests */
    atomic_bool is_stopping;
    pthread_mutex_t lock; /* guards challenges */
    struct challenge challenges[CHALLENGES_KEPT];
    size_t next_challenge;
};

/* keyvault_transport.c */
enum pn_rc fetch_transport(struct pn_keyvault *keyvault, const char *url,
                           const struct pn_secret *token, struct exchange *exchange,
                           struct pn_error *err) PN_MUST_USE;

/* keyvault_challenge.c */
/* Reads a WWW-Authenticate value. PN_MALFORMED: not a challenge with a resource. */
enum pn_rc challenge_parse(const char *text, struct challenge *challenge,
                           struct pn_error *err) PN_MUST_USE;
/* PN_DENIED: a vault at `origin` may not ask for a token for that resource. */
enum pn_rc challenge_check(const struct challenge *challenge, const struct pn_keyvault_id *id,
                           struct pn_error *err) PN_MUST_USE;

/* keyvault_get.c: GET with a token; only 200 is PN_OK. */
enum pn_rc keyvault_get(struct pn_keyvault *keyvault, const struct pn_identity_ref *identity,
                        const struct pn_keyvault_id *id, const char *url, struct exchange *exchange,
                        struct pn_error *err) PN_MUST_USE;
void exchange_init(const struct pn_keyvault *keyvault, struct exchange *exchange);
void exchange_fini(struct exchange *exchange);
