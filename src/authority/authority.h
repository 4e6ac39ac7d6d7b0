/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded token authority: OAuth 2.0 client credentials (RFC 6749 §4.4; assertions RFC 7523)
 * and OpenID Connect discovery for `/{tenant}/…` and `/adfs/…`, as the clients of Azure expect
 * them, and `/metadata/endpoints` for the Azure CLI.
 *
 * Applications live in the store ("authority/client", `/authority/clients/{clientId}`): secrets as
 * salted PBKDF2 hashes with key ids, certificates as public keys. Tokens are RS256, signed by the
 * keyholder (use token); control never has the private key.
 *
 * Thread: pn_authority_create() once; all else from any thread.
 */
#pragma once

#include "base/encode.h"
#include "http/message.h"
#include "identity/token_source.h"
#include "identity/token_verifier.h"

struct pn_authority;
struct pn_store;
struct pn_keyholder;

#define PN_TOKEN_LIFETIME_S         3599
#define PN_TOKEN_KEY_AGE_MAX_S      (180ll * 24 * 3600) /* then a start makes a new one */
#define PN_ASSERTION_LIFETIME_MAX_S (24ll * 3600)
#define PN_ASSERTION_REPLAY_MAX     8192 /* remembered jti; when full, assertions get 503 */
#define PN_SECRET_FAILURES_MAX      10   /* wrong secrets of an application and peer, per window */
#define PN_SECRET_FAILURE_WINDOW_S  60
#define PN_CLIENT_SECRETS_MAX       16
#define PN_CLIENT_CERTIFICATES_MAX  16

/** Texts are copied. Store and keyholder are borrowed until _destroy. */
struct pn_authority_config {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    const char *tenant_id; /* UUID */
    const char
        *control_url; /* "https://localhost:9443": origin of processes that have no request */
    const char *vault_audience; /* "https://vault.localhost:9444" */
    int64_t (*now_s)(void);     /* NULL: the system's clock */
};

/** Loads the token keys, or makes the first one. What store and keyholder say. */
enum pn_rc pn_authority_create(const struct pn_authority_config *config,
                               struct pn_authority **authority, struct pn_error *err) PN_MUST_USE;
void pn_authority_destroy(struct pn_authority *authority);
/** Answers `/{tenant}/…`, `/adfs/…`, `/metadata/endpoints`, `/common/discovery/instance`, and
 *  `/msgraph/v1.0/applications(appId='…')`: GET, and PATCH of keyCredentials (certificates to log
 * in with). */
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

/** What a token says. Texts are borrowed. */
struct pn_authority_grant {
    const char *origin; /* NULL: config.control_url */
    const char *audience;
    const char *client_id;
    const char *object_id;
    const char *managed_by; /* xms_mirid, or NULL */
    int version;            /* 1 or 2: the shape of the claims */
    bool by_certificate;    /* appidacr "2" instead of "1" */
};
/** Makes a token without asking who wants it. `token` must be a secret buffer. */
enum pn_rc pn_authority_mint(struct pn_authority *authority, const struct pn_authority_grant *grant,
                             struct pn_buf *token, int64_t *expires_s,
                             struct pn_error *err) PN_MUST_USE;
