/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <pthread.h>

#include "authority/authority.h"
#include "base/json.h"
#include "ipc/keyholder.h"

struct pn_store_txn;

#define CLIENT_TYPE      "authority/client"
#define CLIENT_PREFIX    "/authority/clients/"
#define KEY_TYPE         "authority/key"
#define KEY_PREFIX       "/authority/keys/"
#define URL_TEXT         512
#define KID_TEXT         48
#define FAILURES_TRACKED 256

/* An RS256 key: the private half is in the keyholder. The first of the list signs. */
struct signing_key {
    char kid[KID_TEXT]; /* base64url of the certificate's SHA-1, as x5t */
    struct pn_key_id id;
    struct pn_buf certificate; /* DER */
    struct pn_buf spki;
    int64_t created_s;
};

/* An assertion that was used: by its jti (or, without one, its signature). */
struct used_assertion {
    uint8_t id[16];
    uint8_t content[16]; /* of the signature: the same jti on other bytes is a replay */
    uint64_t peer;
    int64_t forget_s; /* 0: free */
};

struct secret_failures {
    uint64_t key; /* of application and peer */
    int64_t since_s;
    unsigned count; /* 0: free */
};

struct pn_authority {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    char tenant_id[64];
    char control_url[URL_TEXT];
    char vault_audience[URL_TEXT];
    int64_t (*now_s)(void);
    struct pn_token_verifier *verifier;
    struct signing_key keys[PN_TOKEN_KEYS_MAX]; /* immutable after create */
    size_t key_count;
    pthread_mutex_t lock;        /* guards the two tables */
    struct used_assertion *used; /* PN_ASSERTION_REPLAY_MAX */
    struct secret_failures failures[FAILURES_TRACKED];
};

/* authority_keys.c */
enum pn_rc authority_load_keys(struct pn_authority *authority, struct pn_error *err) PN_MUST_USE;
void authority_drop_keys(struct pn_authority *authority);
/* The JWKS with `issuer` on each key; NULL: no memory. The caller's reference. */
json_t *authority_jwks(const struct pn_authority *authority, const char *issuer);

/* authority_clients.c. Answers: PN_OK; PN_DENIED with err->code an OAuth error and err->target the
 * AADSTS number; PN_NOT_FOUND: unknown application; PN_LIMIT: too many failures. */
struct client {
    char client_id[64];
    char object_id[64];
    json_t *body;
};
void client_fini(struct client *client);
enum pn_rc authority_client_get(struct pn_authority *authority, const char *client_id,
                                struct client *client, struct pn_error *err) PN_MUST_USE;
enum pn_rc authority_check_secret(struct pn_authority *authority, const struct client *client,
                                  struct pn_slice secret, const char *peer,
                                  struct pn_error *err) PN_MUST_USE;

/* Appends a secret's hash to internal.secrets. PN_LIMIT. */
struct authority_secret {
    struct pn_slice text;
    const char *display_name; /* may be NULL */
    int64_t not_after_s;      /* 0: never ends; then no hint is kept either */
};
enum pn_rc authority_secret_add(json_t *internal, const struct authority_secret *secret,
                                int64_t now_s, struct pn_error *err) PN_MUST_USE;
/* Appends a certificate of an application to a list like that of its document. PN_LIMIT, PN_INVALID
 * (no RSA key), PN_MALFORMED. */
enum pn_rc authority_certificate_add(json_t *certificates, struct pn_slice der, int64_t now_s,
                                     struct pn_error *err) PN_MUST_USE;

/* authority_directory.c: /msgraph/v1.0/applications… */
void authority_handle_directory(struct pn_authority *authority, const struct pn_request *request,
                                const struct pn_slice *segments, size_t count,
                                struct pn_response *response);
/* authority_applications.c */
/* An application as Microsoft Graph shows it; NULL: no memory. */
json_t *authority_application_json(const json_t *body);
/* Changes one in a transaction: `change` gets the stored document. */
typedef enum pn_rc (*application_change_fn)(struct pn_authority *authority,
                                            struct pn_store_txn *txn, json_t *body, void *ctx,
                                            struct pn_error *err);
enum pn_rc authority_application_change(struct pn_authority *authority, const char *id,
                                        application_change_fn change, void *ctx,
                                        struct pn_error *err) PN_MUST_USE;
/* keyCredentials as the request wants them; ctx: the list given. An application_change_fn. */
enum pn_rc authority_application_keys(struct pn_authority *authority, struct pn_store_txn *txn,
                                      json_t *body, void *given, struct pn_error *err);
/* PN_CONFLICT: without credentials of this application nobody could own the subscription. */
enum pn_rc authority_keep_owner(struct pn_authority *authority, struct pn_store_txn *txn,
                                const json_t *body, struct pn_error *err) PN_MUST_USE;
/* Password of an application: adds one ({displayName, endDateTime} may be given) and gives its text
 * and entry, or takes one away. */
struct application_password {
    const json_t *given;
    struct pn_buf text; /* secret */
    json_t *entry;      /* the caller's reference */
};
enum pn_rc authority_password_add(struct pn_authority *authority, struct pn_store_txn *txn,
                                  json_t *body, void *password, struct pn_error *err);
enum pn_rc authority_password_remove(struct pn_authority *authority, struct pn_store_txn *txn,
                                     json_t *body, void *key_id, struct pn_error *err);

/* authority_assertion.c. `origin`: of the request; the assertion's audience must be a token
 * endpoint there. */
enum pn_rc authority_check_assertion(struct pn_authority *authority, const struct client *client,
                                     struct pn_slice assertion, struct pn_slice origin,
                                     const char *peer, struct pn_error *err) PN_MUST_USE;

/* authority_http.c */
bool authority_is_tenant(const struct pn_authority *authority, struct pn_slice tenant);
/* All loopback addresses are one peer: a client may change between ::1 and 127.0.0.1. */
uint64_t authority_peer_hash(const char *peer);
void authority_respond_json(struct pn_response *response, int status, const json_t *json);
void authority_respond_error(const struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response, int status, const char *error,
                             int aadsts, const char *message);

/* authority_token.c */
void authority_handle_token(struct pn_authority *authority, const struct pn_request *request,
                            struct pn_response *response, int version);
/* Fills *value with one form or query field, decoded in the arena. PN_INVALID: it is there twice.
 */
enum pn_rc authority_form_field(const struct pn_request *request, const char *name,
                                struct pn_slice *value) PN_MUST_USE;
