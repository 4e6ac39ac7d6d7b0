/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded Key Vault: data plane (secrets, certificates, keys) and the management plane of
 * Microsoft.KeyVault/vaults.
 *
 * Invariants: nothing is said before the bearer token is proved; a value is at rest only sealed by
 * the keyholder (domain "vault", bound to vault, collection, name and version); the private key of
 * a certificate is made or opened in the keyholder and leaves it only as the answer to an allowed
 * GET of the certificate's secret.
 *
 * A vault is addressed by its host: `{name}.vault.localhost`; bare `localhost` and loopback
 * addresses are the vault named "local". Ids in answers begin with the origin the caller used.
 *
 * Thread: all functions from any thread.
 */
#pragma once

#include "http/message.h"

struct pn_vault;
struct pn_store;
struct pn_keyholder;
struct pn_token_verifier;

#define PN_VAULT_SECRET_BYTES_MAX (25u * 1024)
#define PN_VAULT_TAGS_MAX         15
#define PN_VAULT_TAG_BYTES_MAX    256
#define PN_VAULT_CONTENT_TYPE_MAX 255
#define PN_VAULT_NAME_MAX         127
#define PN_VAULT_PAGE_MAX         25
#define PN_VAULT_VERSIONS_MAX     10000 /* of one object */
#define PN_VAULT_POLICIES_MAX     1024
#define PN_VAULT_DEFAULT_NAME     "local"
/* For tests only: the environment variable that moves the vault's clock by so many seconds. */
#define PN_VAULT_CLOCK_ENV "PN_VAULT_CLOCK"

/** Texts are copied; the rest is borrowed until _destroy. */
struct pn_vault_config {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    struct pn_token_verifier *verifier;
    const char *tenant_id;
    const char *subscription_id; /* may be NULL */
    const char
        *authority_url;   /* "https://localhost:9443": the challenge names it with the tenant */
    const char *audience; /* "https://vault.localhost:9444": the challenge's resource */
    const char *const *arm_audiences; /* NULL-ended: tokens for the management plane */
    /** A new version of `name` is committed (secret or certificate), or the vault's access policies
     * changed (then name is NULL): wire pn_rotation_notify() here. May be NULL. Called on the
     * request's thread after the commit; must not block. */
    void (*on_change)(void *ctx, const char *vault, const char *name);
    void *on_change_ctx;
    int64_t (*now_s)(void); /* NULL: the system's clock, moved by PN_VAULT_CLOCK (tests) */
    const char *ca_file;    /* trusted by webhooks besides the system's; may be NULL */
};

enum pn_rc pn_vault_create(const struct pn_vault_config *config, struct pn_vault **vault,
                           struct pn_error *err) PN_MUST_USE;
/** Ends the thread first. */
void pn_vault_destroy(struct pn_vault *vault);
/** Starts the thread that purges, renews, rotates and tells webhooks. PN_IO. Without it nothing of
 * that happens. */
enum pn_rc pn_vault_start(struct pn_vault *vault, struct pn_error *err) PN_MUST_USE;
/** The data plane: everything on the vault listener. */
void pn_vault_handle(struct pn_vault *vault, const struct pn_request *request,
                     struct pn_response *response);
/** The management plane: requests below …/providers/Microsoft.KeyVault. */
void pn_vault_handle_arm(struct pn_vault *vault, const struct pn_request *request,
                         struct pn_response *response);

/** For the first start: makes the vault resource `vault_id`
 *  (`/subscriptions/{s}/resourceGroups/{rg}/providers/Microsoft.KeyVault/vaults/{name}`) without
 * policies. PN_EXISTS, PN_INVALID (name), or what the store says. */
enum pn_rc pn_vault_add(struct pn_vault *vault, const char *vault_id, const char *location,
                        struct pn_error *err) PN_MUST_USE;
/** Adds (joins with a former one of that object id) an access policy; each list is NULL-ended and
 * may be NULL; "all" is every permission. PN_NOT_FOUND: no such vault. */
enum pn_rc pn_vault_grant(struct pn_vault *vault, const char *vault_id, const char *object_id,
                          const char *const *secrets, const char *const *certificates,
                          const char *const *keys, struct pn_error *err) PN_MUST_USE;
