/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded token authority: OAuth 2.0 client credentials (RFC 6749 §4.4; assertions RFC 7523)
 * and OpenID Connect discovery for `/{tenant}/…` and `/adfs/…`, as the clients of Azure expect
 * them, and `/metadata/endpoints` for the Azure CLI.
 *
 * Applications live in the store ("authority/client", `/authority/clients/{clientId}`): secrets as
 * salted PBKDF2 hashes with key ids, certificates as public keys. Workloads log in with tokens of
 * other issuers (federated credentials of applications and of user-assigned identities). Tokens are
 * RS256, signed by the keyholder (use token); control never has the private key.
 *
 * People: local accounts ("authority/user", passwords by scrypt) and the authorization code grant
 * with PKCE (RFC 6749 §4.1, RFC 7636) for the portal, which is the only public client. A session
 * ("authority/session") has two halves, a cookie and a key that the page keeps; only hashes are
 * stored. See docs/adr/0186-sign-in.md.
 *
 * Thread: pn_authority_create() once; all else from any thread.
 */
#pragma once

#include <pthread.h>

#include "base/encode.h"
#include "http/message.h"
#include "identity/token_source.h"
#include "identity/token_verifier.h"

struct pn_authority;
struct pn_store;
struct pn_keyholder;
struct pn_oidc;

#define PN_TOKEN_LIFETIME_S         3599
#define PN_TOKEN_KEY_AGE_MAX_S      (180ll * 24 * 3600) /* then a start makes a new one */
#define PN_ASSERTION_LIFETIME_MAX_S (24ll * 3600)
#define PN_ASSERTION_REPLAY_MAX     8192 /* remembered jti; when full, assertions get 503 */
#define PN_SECRET_FAILURES_MAX      10   /* wrong secrets of an application and peer, per window */
#define PN_SECRET_FAILURE_WINDOW_S  60
#define PN_CLIENT_SECRETS_MAX       16
#define PN_CLIENT_CERTIFICATES_MAX  16

/* The portal's application, in every tenant: a public client, known to nobody else. */
#define PN_PORTAL_CLIENT_ID "7d1a4c1e-5a0c-4d4f-9c39-3b0f6a5e0c11"
#define PN_PORTAL_TOKEN_LIFETIME_S                                                                 \
    600 /* a sign-out or a revocation takes hold within this time                                  \
         */
#define PN_SESSION_LIFETIME_S            (8 * 3600)
#define PN_SESSIONS_MAX                  1000 /* above: the oldest ends */
#define PN_SIGN_IN_LINKS_MAX             64   /* not used yet; above: the oldest ends */
#define PN_SIGN_IN_LINK_LIFETIME_S       3600
#define PN_AUTHORIZATION_CODES_MAX       256 /* not redeemed yet; above: the oldest ends */
#define PN_AUTHORIZATION_CODE_LIFETIME_S 60
#define PN_USERS_MAX                     1000
#define PN_PASSWORD_BYTES_MIN            12
#define PN_PASSWORD_BYTES_MAX            256
#define PN_PEER_FAILURES_MAX             50 /* wrong passwords of a peer, all accounts, per window */

/** Texts are copied. Store and keyholder are borrowed until _destroy. */
struct pn_authority_config {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    const char *tenant_id; /* UUID */
    const char
        *control_url; /* "https://localhost:9443": origin of processes that have no request */
    const char *vault_audience; /* "https://vault.localhost:9444" */
    int64_t (*now_s)(void);     /* NULL: the system's clock */
    struct pn_oidc *oidc;       /* borrowed; NULL: no other issuer is believed */
};

/** Loads the token keys, or makes the first one. What store and keyholder say. */
enum pn_rc pn_authority_create(const struct pn_authority_config *config,
                               struct pn_authority **authority, struct pn_error *err) PN_MUST_USE;
void pn_authority_destroy(struct pn_authority *authority);
/** Answers `/{tenant}/…`, `/adfs/…`, `/metadata/endpoints`, `/common/discovery/instance`,
 *  `/msgraph/v1.0/applications(appId='…')`: GET, and PATCH of keyCredentials (certificates to log
 *  in with), `/msgraph/v1.0/users…`: local accounts, and `/signin/…`: sessions. */
void pn_authority_handle(struct pn_authority *authority, const struct pn_request *request,
                         struct pn_response *response);
/** What checks this authority's tokens. Borrowed until _destroy. */
struct pn_token_verifier *pn_authority_verifier(struct pn_authority *authority);
/** Tokens of managed identities, made in process, for pn_token_source_add(). The owner must be a
 * store item with body.identity {type, principalId, userAssignedIdentities} and
 * body.internal.systemAssigned. Only for the embedded vault's and the management plane's
 * audience: nobody else trusts this authority (PN_NOT_FOUND then). PN_INVALID, code
 * identity_not_enabled: the service has no such identity. */
struct pn_token_provider pn_authority_provider(struct pn_authority *authority);

/** An application and what it can prove itself with; at least one of secret and certificate. */
struct pn_authority_client {
    const char *client_id; /* NULL: a new UUID */
    const char *object_id; /* of the service principal; NULL: a new UUID */
    const char *display_name;
    struct pn_slice secret;          /* may be empty */
    struct pn_slice certificate_der; /* may be empty; RSA */
};
/** Adds an application, or a further secret or certificate to one that exists. Ids go to the out
 *  parameters (may be NULL). PN_INVALID, PN_LIMIT, or what the store says. */
enum pn_rc pn_authority_add_client(struct pn_authority *authority,
                                   const struct pn_authority_client *client,
                                   char client_id[PN_UUID_TEXT], char object_id[PN_UUID_TEXT],
                                   struct pn_error *err) PN_MUST_USE;

/** Makes a link that signs its bearer in as the application, once: "{origin}/signin#code=…".
 *  `origin` NULL: config.control_url. `link` must be a secret buffer. PN_NOT_FOUND: no such
 *  application. */
enum pn_rc pn_authority_sign_in_link(struct pn_authority *authority, const char *client_id,
                                     const char *origin, struct pn_buf *link,
                                     struct pn_error *err) PN_MUST_USE;

/** A token of the identity of the service `owner_id` (client_id NULL or "": the system-assigned
 * one) for any resource: for the policies of that service (ADR 235). PN_INVALID
 * identity_not_enabled: it does not have that identity. */
enum pn_rc pn_authority_managed_token(struct pn_authority *authority, const char *owner_id,
                                      const char *client_id, const char *resource,
                                      struct pn_secret *token, int64_t *expires_s,
                                      struct pn_error *err) PN_MUST_USE;

/* ---- the managed-identity endpoint, for applications beside the gateway ---- */

#define PN_ENDPOINT_IDENTITIES_MAX 32

/** Zero it before _init. */
struct pn_identity_endpoint {
    const char *service_id;
    char *identities[PN_ENDPOINT_IDENTITIES_MAX]; /* "system", client ids, resource ids */
    size_t identity_count;
    struct pn_secret header; /* what App Service's protocol must show: DIR/identity.header */
    pthread_mutex_t lock;    /* guards what follows */
    int64_t window_s;
    uint64_t count;
};
/** Reads DIR/identity.header, or makes it. `service_id` is borrowed. PN_INVALID, PN_IO. */
enum pn_rc pn_identity_endpoint_init(struct pn_identity_endpoint *endpoint, const char *service_id,
                                     const char *data_dir, struct pn_error *err) PN_MUST_USE;
/** Gives one more identity of the service. PN_INVALID, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_identity_endpoint_add(struct pn_identity_endpoint *endpoint, struct pn_slice identity,
                                    struct pn_error *err) PN_MUST_USE;
void pn_identity_endpoint_fini(struct pn_identity_endpoint *endpoint);
/** Answers `/metadata/identity/oauth2/token` (IMDS; a form too, as Cloud Shell) and `/msi/token`
 *  (App Service, 2019-08-01 and 2017-09-01), for identities that are assigned to the service *and*
 * to the endpoint. `peer` "unix": a Unix socket. Any thread. */
void pn_authority_handle_endpoint(struct pn_authority *authority,
                                  struct pn_identity_endpoint *endpoint,
                                  const struct pn_request *request, struct pn_response *response);

/** What a token says. Texts are borrowed. */
struct pn_authority_grant {
    const char *origin; /* NULL: config.control_url */
    const char *audience;
    const char *client_id;
    const char *object_id;
    const char *managed_by; /* xms_mirid, or NULL */
    int version;            /* 1 or 2: the shape of the claims */
    bool by_certificate;    /* appidacr "2" instead of "1" */
    bool by_portal;         /* a public client: appidacr "0" */
    const char *user_name;  /* of a person; NULL: an application, or is_person */
    bool is_person;         /* of another issuer, with these groups: */
    const char (*groups)[40];
    size_t group_count;
    const char *name;   /* to be shown; may be NULL */
    int64_t lifetime_s; /* 0: PN_TOKEN_LIFETIME_S */
};
/** Makes a token without asking who wants it. `token` must be a secret buffer. */
enum pn_rc pn_authority_mint(struct pn_authority *authority, const struct pn_authority_grant *grant,
                             struct pn_buf *token, int64_t *expires_s,
                             struct pn_error *err) PN_MUST_USE;
