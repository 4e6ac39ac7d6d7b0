/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <pthread.h>

#include "authority/authority.h"
#include "base/json.h"
#include "ipc/keyholder.h"
#include "oidc/oidc.h"

struct pn_store_txn;

#define CLIENT_TYPE      "authority/client"
#define CLIENT_PREFIX    "/authority/clients/"
#define KEY_TYPE         "authority/key"
#define KEY_PREFIX       "/authority/keys/"
#define URL_TEXT         512
#define KID_TEXT         48
#define FAILURES_TRACKED 256

#define USER_TYPE         "authority/user"
#define USER_PREFIX       "/authority/users/"
#define USER_NAME_MAX     64
#define USER_DISPLAY_MAX  128
#define SESSION_TYPE      "authority/session"
#define SESSION_PREFIX    "/authority/sessions/"
#define SESSION_COOKIE    "__Host-postern-session"
#define SESSION_KEY_FIELD "X-Postern-Session-Key"

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

/* A code that was given to the portal and not redeemed yet (RFC 6749 §4.1.2). */
struct authorization_code {
    uint8_t hash[PN_SHA256_BYTES]; /* of the code */
    char session[65];              /* id of the session that it came from */
    char challenge[64];            /* RFC 7636 §4.2, S256 */
    char redirect[URL_TEXT];
    char audience[URL_TEXT];
    int64_t expires_s; /* 0: free */
};

struct session {
    char id[65];                       /* hash of both halves */
    char user_name[USER_NAME_MAX + 1]; /* empty: an application, or a person of another issuer */
    char display_name[USER_DISPLAY_MAX + 1];
    char client_id[64]; /* the application's, or the portal's */
    char object_id[64];
    char issuer[PN_OIDC_URL_MAX]; /* of a person of another issuer; then: */
    char groups[PN_PRINCIPAL_GROUPS_MAX][40];
    size_t group_count;
    int64_t epoch; /* of the account; another one: it has ended */
    int64_t expires_s;
};

struct sign_in_link {
    uint8_t hash[PN_SHA256_BYTES];   /* of its code */
    char client_id[64];              /* the application that it signs in; "": */
    struct session person;           /* of another issuer, */
    uint8_t cookie[PN_SHA256_BYTES]; /* in the browser with this cookie (its hash) */
    int64_t expires_s;               /* 0: free */
};

struct pn_authority {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    char tenant_id[64];
    char control_url[URL_TEXT];
    char vault_audience[URL_TEXT];
    int64_t (*now_s)(void);
    struct pn_oidc *oidc; /* NULL: no other issuer is believed */
    struct pn_token_verifier *verifier;
    struct signing_key keys[PN_TOKEN_KEYS_MAX]; /* immutable after create */
    size_t key_count;
    uint8_t sign_in_key[32];          /* of this process: see authority_foreign.c */
    pthread_mutex_t lock;             /* guards the tables below */
    struct authorization_code *codes; /* PN_AUTHORIZATION_CODES_MAX */
    struct sign_in_link links[PN_SIGN_IN_LINKS_MAX];
    pthread_mutex_t hash_lock;   /* one scrypt at a time: each takes 32 MiB */
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

/* authority_federated.c */
/* A user-assigned identity that workloads log in as. */
struct workload {
    char client_id[64];
    char object_id[64];
    char managed_by[512]; /* its id */
    json_t *credentials;  /* [{issuer, subject, audiences}] */
};
void workload_fini(struct workload *workload);
/* PN_NOT_FOUND: no such identity. */
enum pn_rc authority_workload_get(struct pn_authority *authority, const char *client_id,
                                  struct workload *workload, struct pn_error *err) PN_MUST_USE;
/* Whether the application has federated credentials and the assertion is not its own. */
bool authority_is_federated(const struct client *client, struct pn_slice assertion);
/* As authority_check_assertion(), by one of the credentials. PN_UNAVAILABLE: the issuer's keys
 * cannot be had now. */
enum pn_rc authority_check_federated(struct pn_authority *authority, const char *client_id,
                                     const json_t *credentials, struct pn_slice assertion,
                                     const char *peer, struct pn_error *err) PN_MUST_USE;

/* authority_federation.c: `id` of the application in the store; `segment`: one of them, or NULL. */
void authority_handle_federation(struct pn_authority *authority, const struct pn_request *request,
                                 const char *id, const struct pn_slice *segment,
                                 struct pn_response *response);

/* authority_principals.c */
void authority_handle_principals(struct pn_authority *authority, const struct pn_request *request,
                                 struct pn_response *response);

/* authority_http.c */
bool authority_is_tenant(const struct pn_authority *authority, struct pn_slice tenant);
/* All loopback addresses are one peer: a client may change between ::1 and 127.0.0.1. */
uint64_t authority_peer_hash(const char *peer);
void authority_respond_json(struct pn_response *response, int status, const json_t *json);
void authority_respond_error(const struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response, int status, const char *error,
                             int aadsts, const char *message);

/* authority_mint.c */
/* Whether a resource's identity block has this kind ("SystemAssigned", "UserAssigned"). */
bool authority_identity_is_on(const json_t *identity, const char *wanted);
/* Ids of the system-assigned identity of a resource with this document. False: it has none. */
bool authority_system_identity(const json_t *body, const char **object_id, const char **client_id);

/* authority_token.c */
void authority_handle_token(struct pn_authority *authority, const struct pn_request *request,
                            struct pn_response *response, int version);
/* Fills *value with one form or query field, decoded in the arena. PN_INVALID: it is there twice.
 */
enum pn_rc authority_form_field(const struct pn_request *request, const char *name,
                                struct pn_slice *value) PN_MUST_USE;
/* The audience: `resource`, or the one scope "<resource>/.default". ptr NULL: there is none. */
struct pn_slice authority_audience_of(struct pn_slice scope, struct pn_slice resource);
/* Resources that this authority makes tokens for. */
bool authority_is_known_resource(const struct pn_authority *authority, struct pn_slice audience,
                                 struct pn_slice origin);
/* Answers with a token. `grant` has all but origin, audience and version. */
void authority_respond_token(struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response, struct pn_authority_grant *grant,
                             struct pn_slice audience, int version);

/* authority_failures.c. `key`: a hash of who tries what. */
bool authority_is_limited(struct pn_authority *authority, uint64_t key, unsigned max);
void authority_count_failure(struct pn_authority *authority, uint64_t key);

/* authority_directory.c: also what the endpoints below /msgraph/v1.0 share */
void authority_directory_error(struct pn_response *response, int status, const char *code,
                               const char *message);
void authority_directory_failure(struct pn_response *response, enum pn_rc rc,
                                 const struct pn_error *err, const char *noun);
/* A valid management token; false: answered. */
bool authority_directory_caller(struct pn_authority *authority, const struct pn_request *request,
                                struct pn_response *response, struct pn_principal *principal);
/* Only who may write roles of the subscription (its Owner) administers; false: answered. */
bool authority_directory_may(struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response);

/* authority_users.c */
struct user {
    char name[USER_NAME_MAX + 1];
    char display_name[USER_DISPLAY_MAX + 1];
    char object_id[PN_UUID_TEXT];
    bool is_enabled;
    int64_t sessions_epoch; /* sessions of an earlier one have ended */
    json_t *body;
};
void user_fini(struct user *user);
/* PN_NOT_FOUND, also for what can be no name. */
enum pn_rc authority_user_get(struct pn_authority *authority, const char *name, struct user *user,
                              struct pn_error *err) PN_MUST_USE;
/* PN_DENIED: one sentence for unknown, disabled and wrong password; PN_LIMIT: too many failures. */
enum pn_rc authority_check_password(struct pn_authority *authority, struct pn_slice name,
                                    struct pn_slice password, const char *peer, struct user *user,
                                    struct pn_error *err) PN_MUST_USE;
/* /msgraph/v1.0/users and /msgraph/v1.0/users/{name or id} */
void authority_handle_users(struct pn_authority *authority, const struct pn_request *request,
                            const struct pn_slice *segment, struct pn_response *response);

/* authority_password.c: scrypt (RFC 7914). A record is {"salt", "hash", "n", "r", "p"}. */
enum pn_rc authority_password_make(struct pn_authority *authority, struct pn_slice password,
                                   json_t **record, struct pn_error *err) PN_MUST_USE;
/* `record` NULL: does the same work and answers PN_DENIED. PN_DENIED: another password. */
enum pn_rc authority_password_check(struct pn_authority *authority, const json_t *record,
                                    struct pn_slice password, struct pn_error *err) PN_MUST_USE;

/* authority_sessions.c */
/* Begins one: sets the cookie on `response`, and the page's half in `key` (secret). */
enum pn_rc authority_session_begin(struct pn_authority *authority, struct session *session,
                                   struct pn_response *response, struct pn_buf *key,
                                   struct pn_error *err) PN_MUST_USE;
/* The live session of the request's cookie and key. PN_NOT_FOUND. */
enum pn_rc authority_session_of(struct pn_authority *authority, const struct pn_request *request,
                                struct session *session, struct pn_error *err) PN_MUST_USE;
/* By its id: also looks whether the person may still sign in. PN_NOT_FOUND. */
enum pn_rc authority_session_get(struct pn_authority *authority, const char *id,
                                 struct session *session, struct pn_error *err) PN_MUST_USE;
enum pn_rc authority_session_end(struct pn_authority *authority, const char *id,
                                 struct pn_error *err) PN_MUST_USE;

/* authority_signin.c: /signin/session, /signin/link */
void authority_handle_signin(struct pn_authority *authority, const struct pn_request *request,
                             const struct pn_slice *segments, size_t count,
                             struct pn_response *response);

/* Appends the code of a link that signs `session` in, once, in the browser of the request. */
enum pn_rc authority_foreign_link(struct pn_authority *authority, const struct pn_request *request,
                                  const struct session *session, int64_t lifetime_s,
                                  struct pn_buf *link) PN_MUST_USE;

/* authority_foreign.c: /signin-oidc/… */
void authority_handle_foreign(struct pn_authority *authority, const struct pn_request *request,
                              const struct pn_slice *segments, size_t count,
                              struct pn_response *response);
/* [{"name", "path"}] of issuers by which people sign in; NULL: no memory. */
json_t *authority_issuers_json(const struct pn_authority *authority);
/* Hash of the browser's cookie of a sign-in under way; zeros: it has none. */
void authority_foreign_hash(const struct pn_authority *authority, const struct pn_request *request,
                            uint8_t hash[PN_SHA256_BYTES]);
/* The sign-in is over: the cookie goes. */
void authority_foreign_done(struct pn_response *response);
/* A cookie's value (RFC 6265 §4.2), or ptr NULL. */
struct pn_slice authority_cookie(const struct pn_request *request, const char *name);

/* authority_authorize.c */
void authority_handle_authorize(struct pn_authority *authority, const struct pn_request *request,
                                struct pn_response *response);
/* grant_type authorization_code */
void authority_redeem_code(struct pn_authority *authority, const struct pn_request *request,
                           struct pn_response *response, int version);
