/* SPDX-License-Identifier: Apache-2.0
 *
 * The management REST API: what Azure Resource Manager and API Management answer, over the store.
 * One object per process; every function may be called from any thread and may block (store,
 * keyholder, vaults, the gateway's acknowledgement).
 *
 * Every change is one transaction; then the publisher waits until this node's gateway uses it
 * (promise 3). A refused request has changed nothing; a request that is stored but not yet live is
 * answered with 503 and Retry-After, so that clients repeat it.
 *
 * Sources: the Azure Resource Manager RPC contract and the REST reference of
 * Microsoft.ApiManagement.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "http/message.h"
#include "identity/principal.h"
#include "identity/token_source.h"
#include "ipc/keyholder.h"
#include "store/publish.h"
#include "store/store.h"

struct pn_arm;
struct pn_rotation;
struct pn_rotation_offer;
struct pn_rotation_value;

struct pn_arm_test_call;

/** Where a key vault certificate comes from; texts are borrowed. */
struct pn_arm_fetch {
    const char *service_id;         /* ARM id of the service whose identity asks */
    const char *secret_identifier;  /* https://{vault}/secrets/{name}[/{version}] */
    const char *identity_client_id; /* NULL: system-assigned */
    uint64_t generation;            /* number of the generation to make */
    enum pn_key_use use;            /* client, or server: of a host name */
    const char *host_name;          /* of use server: must be in the certificate */
};

/** Which token; texts are borrowed. */
struct pn_arm_token_wish {
    const char *service_id, *client_id, *resource;
    bool is_fresh;
};

/** What the REST API needs from the other rooms; tests put fakes here, pn_arm_connect the real
 * ones. `err->code` and the result codes are those of the functions named. */
struct pn_arm_services {
    void *ctx;
    /** pn_token_verify */
    enum pn_rc (*authenticate)(void *ctx, struct pn_slice token, const char *const *audiences,
                               struct pn_principal *principal, struct pn_error *err);
    /** pn_authorize */
    enum pn_rc (*authorize)(void *ctx, const struct pn_principal *principal, const char *action,
                            const char *scope, struct pn_error *err);
    /** pn_keyholder_import */
    enum pn_rc (*import)(void *ctx, enum pn_key_use use, struct pn_slice file,
                         struct pn_slice password, struct pn_imported *imported,
                         struct pn_error *err);
    /** pn_keyholder_import_soon: has_key() follows before the key is relied on */
    enum pn_rc (*import_soon)(void *ctx, enum pn_key_use use, struct pn_slice file,
                              struct pn_slice password, struct pn_imported *imported,
                              struct pn_error *err);
    /** pn_keyholder_check */
    enum pn_rc (*check)(void *ctx, struct pn_slice file, struct pn_slice password,
                        struct pn_imported *imported, struct pn_error *err);
    /** pn_keyholder_settle. PN_NOT_FOUND: the keyholder has no such key of this use. */
    enum pn_rc (*has_key)(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                          struct pn_error *err);
    /** pn_rotation_forget_unused: after a commit that let go of a key. */
    void (*forget_unused)(void *ctx, enum pn_key_use use, const struct pn_key_id *key);
    /** pn_keyholder_seal and _unseal, domain "store" */
    enum pn_rc (*seal)(void *ctx, struct pn_slice context, struct pn_slice plain,
                       struct pn_buf *sealed, struct pn_error *err);
    enum pn_rc (*unseal)(void *ctx, struct pn_slice context, struct pn_slice sealed,
                         struct pn_buf *plain, struct pn_error *err);
    /** pn_rotation_fetch_certificate, of use server pn_generation_check_host, then
     * pn_generation_make: new references. */
    enum pn_rc (*fetch)(void *ctx, const struct pn_arm_fetch *what, json_t **properties,
                        json_t **internal, struct pn_error *err);
    /** pn_rotation_fetch_value */
    enum pn_rc (*fetch_value)(void *ctx, const char *service_id, const char *secret_identifier,
                              const char *identity_client_id, struct pn_buf *value, char *version,
                              struct pn_error *err);
    /** pn_rotation_refresh and pn_rotation_rescan */
    enum pn_rc (*refresh)(void *ctx, const char *certificate_id, struct pn_error *err);
    void (*rescan)(void *ctx);
    /** pn_rotation_offer and pn_rotation_promote; NULL in tests: a PUT replaces at once. */
    enum pn_rc (*offer)(void *ctx, const char *certificate_id,
                        const struct pn_rotation_offer *offer, uint64_t *number,
                        struct pn_error *err);
    enum pn_rc (*promote)(void *ctx, const char *certificate_id, uint64_t number, bool force,
                          struct pn_error *err);
    /** Sends it to this node's gateway: *answer is {"status", "headers", "body", …}, a new
     *  reference. NULL in tests. PN_UNAVAILABLE, PN_TIMEOUT, PN_UNSUPPORTED: the gateway has no
     *  address. */
    enum pn_rc (*call_gateway)(void *ctx, const struct pn_arm_test_call *test, json_t **answer,
                               struct pn_error *err);
    void *gateway_ctx;
    /** A token of the service's identity (client_id "": the system-assigned one) for `resource`.
     *  `is_fresh`: made now. NULL in tests: there are none. May block. */
    enum pn_rc (*identity_token)(void *ctx, const struct pn_arm_token_wish *wish,
                                 struct pn_secret *token, int64_t *expires_s, struct pn_error *err);
    void *identity_ctx;
    /** pn_probe_ask */
    enum pn_rc (*probe)(void *ctx, struct pn_slice question, int timeout_ms, struct pn_buf *answer,
                        struct pn_error *err);
};

/** A request of the test console; texts are borrowed. */
struct pn_arm_test_call {
    const char *method;
    const char *path;      /* below the gateway's address, with query: "/orders/1?x=y" */
    const json_t *headers; /* [{"name", "value"}], checked */
    struct pn_slice body;
};

/** Everything is borrowed until pn_arm_destroy. */
struct pn_outbound_scope;

struct pn_arm_config {
    struct pn_store *store;
    struct pn_publisher publisher;
    struct pn_arm_services services;
    const char *tenant_id;
    const char *subscription_id;
    const char *control_url;      /* "https://localhost:9443": WWW-Authenticate, managementApiUrl */
    const char *gateway_url;      /* "http://localhost:8080" */
    const char *const *audiences; /* accepted in tokens, NULL-ended */
    const struct pn_outbound_scope *outbound; /* NULL: nothing is governed */
    void (*sync_uses)(
        void *ctx); /* asks the gateway what is used, for the audit log; may be NULL */
    void *sync_uses_ctx;
    /** What became of the events about expiry: a new reference. May be NULL: there are none. */
    enum pn_rc (*events)(void *ctx, json_t **view, struct pn_error *err);
    void *events_ctx;
    /* Where tokens for key vaults come from: networkstatus tells how they do. May be NULL. */
    struct pn_token_source *tokens;
    bool is_strict;            /* compatibility azure-strict: docs/compatibility.md */
    bool checks_linked_access; /* who names a certificate needs certificates/use/action on it */
};

/** PN_NOMEM. */
enum pn_rc pn_arm_create(const struct pn_arm_config *config, struct pn_arm **arm,
                         struct pn_error *err) PN_MUST_USE;
void pn_arm_destroy(struct pn_arm *arm);
/** A pn_preflight_fn (rotation/rotation.h); `ctx` is the struct pn_arm. Any thread. */
enum pn_rc pn_arm_preflight(void *ctx, const char *certificate_id, const json_t *internal,
                            json_t **verdicts, struct pn_error *err) PN_MUST_USE;

/** A pn_value_fn (rotation/rotation.h); `ctx` is the struct pn_arm. Any thread. */
enum pn_rc pn_arm_apply_value(void *ctx, const char *id, const char *secret_identifier,
                              const struct pn_rotation_value *value, const struct pn_error *failure,
                              bool force, struct pn_error *err) PN_MUST_USE;

/** Who uses the certificate: [{id, name, type, via, by}], a new reference. `ctx` is the struct
 * pn_arm. PN_NOT_FOUND, PN_NOMEM; what the store says. Any thread. */
enum pn_rc pn_arm_usage(void *ctx, const char *certificate_id, json_t **users,
                        struct pn_error *err) PN_MUST_USE;

/** Renews the tokens of managed identities that are due (`all`: every one, and what the identity no
 * longer gets is taken back), and waits until the gateway has them. *next_s: when the next one is
 * due (Unix time; INT64_MAX: there are none). What cannot be got is kept with the token for its
 * reason and tried again. PN_IO, PN_NOMEM, or what the publisher says. Any thread. */
enum pn_rc pn_arm_renew_tokens(struct pn_arm *arm, bool all, int64_t *next_s,
                               struct pn_error *err) PN_MUST_USE;

/** Answers one request; never fails (what goes wrong becomes an ARM error body). */
void pn_arm_handle(struct pn_arm *arm, const struct pn_request *request,
                   struct pn_response *response);

/** The real services. `ctx` is the caller's and must live as long as the config's user. */
struct pn_arm_connection {
    struct pn_store *store;
    struct pn_token_verifier *verifier;
    struct pn_keyholder *keyholder; /* over PN_SERVICE_ADMIN */
    struct pn_rotation *rotation;
    struct pn_broker *broker; /* to the gateway's probes */
};
void pn_arm_connect(struct pn_arm_services *services, struct pn_arm_connection *ctx);

/** One line of the feed to the gateway (ipc/feed.h). */
struct pn_arm_feed_item {
    char *key;          /* "/apis/echo", "/" for the service; heap */
    const char *type;   /* "service", "api", "operation", …; static */
    bool is_deleted;    /* then json is empty */
    struct pn_buf json; /* secret: {"name","properties","internal"}, nothing sealed any more */
};
void pn_arm_feed_item_fini(struct pn_arm_feed_item *item);
/** Makes it from a store item, as of pn_store_list or pn_store_changes (body NULL = deleted).
 *  PN_NOT_FOUND: no concern of the gateway's (vault objects, clients, role assignments …): skip it.
 *  PN_UNAVAILABLE, PN_TIMEOUT: the keyholder is needed and away: try again. PN_DENIED: sealed by
 *  another keyholder. PN_NOMEM. */
enum pn_rc pn_arm_feed_item(struct pn_arm *arm, const struct pn_store_item *item,
                            struct pn_arm_feed_item *out, struct pn_error *err) PN_MUST_USE;

/** What the first start makes. Texts are borrowed; none may be NULL but where said. */
struct pn_arm_first {
    const char *tenant_id, *subscription_id;
    const char *resource_group, *service_name, *location;
    const char *principal_id;       /* object id of the service's system-assigned identity */
    const char *client_id;          /* its client id */
    const json_t *service_internal; /* members for the service's internal object; may be NULL */
};
/** Puts subscription, resource group, service (with its system-assigned identity, both ids also in
 *  internal.systemAssigned) and the subscription "master" (scope: the whole service) into `txn`,
 *  each only when it is missing. PN_IO, PN_NOMEM, and what sealing answers. */
enum pn_rc pn_arm_first_start(struct pn_store_txn *txn, const struct pn_arm_services *services,
                              const struct pn_arm_first *first, struct pn_error *err) PN_MUST_USE;
