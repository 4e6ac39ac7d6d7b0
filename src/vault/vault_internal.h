/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 *
 * In the store (all names in lower case in ids):
 *   /vault/{vault}/objects/{name}      the head of a secret ("vault/object") or of a certificate
 *                                      ("vault/certificateobject"): they share their names
 *   /vault/{vault}/keyobjects/{name}   the head of a key ("vault/keyobject")
 *        properties {kind, latest?, versions, order, policy?, pending?, rotation?},
 *        internal {due?, …: what the vault's clock did already}
 *   /vault/{vault}/deletedobjects/{name}, …/deletedkeyobjects/{name}   the head of what is deleted;
 *        internal has deletedDate, scheduledPurgeDate, due. Its versions stay where they are.
 *   /vault/{vault}/secrets/{name}/{version}       "vault/secret":
 *        properties {contentType?, attributes, tags?}, internal {order, sealed}
 *   /vault/{vault}/certificates/{name}/{version}  "vault/certificate":
 *        properties {x5t, cer, contentType, exportable, attributes, tags?}, internal {order,
 *        sealed, chain}
 *   /vault/{vault}/keys/{name}/{version}          "vault/key":
 *        properties {key: public JWK with key_ops, attributes, tags?}, internal {order, sealed}
 *   /vault/{vault}/issuers/{name}                 "vault/issuer"
 *   /vault/{vault}/contacts                       "vault/contacts"
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/encode.h"
#include "base/json.h"
#include "http/message.h"
#include "identity/principal.h"
#include "identity/token_verifier.h"
#include "ipc/keyholder.h"
#include "resource/call.h"
#include "store/store.h"
#include "vault/vault.h"

#define VAULT_TYPE       "Microsoft.KeyVault/vaults"
#define ISSUER_TYPE      "vault/issuer"
#define CONTACTS_TYPE    "vault/contacts"
#define SECRET_TYPE      "vault/secret"
#define CERTIFICATE_TYPE "vault/certificate"
#define KEY_TYPE         "vault/key"
#define CONTENT_PKCS12   "application/x-pkcs12"
#define CONTENT_PEM      "application/x-pem-file"
#define VAULT_NAME_TEXT  64
#define NAME_TEXT        (PN_VAULT_NAME_MAX + 1)
#define VERSION_TEXT     33
#define OBJECT_ID_TEXT   320
#define URL_TEXT         512
#define SEGMENTS_MAX     16
#define VAULT_JSON_MAX   (2u * 1024 * 1024)
#define LOCATION_TEXT    64

/* The thread that does what is due (vault_due.c). All but is_stopping and is_woken, which the lock
 * guards, is the thread's own. */
struct vault_clock {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread, is_woken;
    atomic_bool is_stopping;
    int64_t seen_s;
    uint64_t seen_mono_ms, steady_since_ms;
};
enum pn_rc vault_clock_init(struct vault_clock *clock) PN_MUST_USE;
void vault_clock_fini(struct vault_clock *clock);

struct pn_vault {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    struct pn_token_verifier *verifier;
    char tenant_id[64];
    char authority_url[URL_TEXT];
    char audience[URL_TEXT];
    char suffix[URL_TEXT];      /* "vault.localhost:9444" of the audience */
    char suffix_host[URL_TEXT]; /* without the port */
    char *arm_audiences[9];
    char subscription_id[64];
    struct pn_resource_plane plane; /* of the management plane's calls; points into this */
    void (*on_change)(void *ctx, const char *vault, const char *name);
    void *on_change_ctx;
    int64_t (*now_s)(void);
    char ca_file[URL_TEXT]; /* "": none; besides the system's */
    struct vault_clock clock;
    struct vault_throttle *throttle;
};

enum vault_kind { KIND_SECRET, KIND_CERTIFICATE, KIND_KEY };
struct vault_kind_facts {
    const char *word;       /* "secret" */
    const char *collection; /* "secrets" */
    const char *event;      /* "Secret": in event types */
    const char *heads, *head_type;
    const char *deleted, *deleted_type;
    const char *version_type;
    const char *not_found; /* "SecretNotFound" */
};
extern const struct vault_kind_facts vault_kinds[3];

/* One request of the data plane, after token and vault are known. */
struct vault_call {
    struct pn_vault *vault;
    const struct pn_request *request; /* NULL: the vault's own clock is at work */
    struct pn_response *response;     /* likewise */
    struct pn_slice origin;           /* ids begin with it */
    struct pn_principal principal;
    char vault_name[VAULT_NAME_TEXT]; /* lower case */
    char location[LOCATION_TEXT];
    json_t *access_policies;   /* borrowed from item */
    struct pn_store_item item; /* the vault resource */
    struct pn_slice segments[SEGMENTS_MAX];
    size_t segment_count;
    char name[NAME_TEXT];       /* as sent */
    char key[NAME_TEXT];        /* in lower case */
    char version[VERSION_TEXT]; /* lower case, or "" */
};

/* vault_answer.c: answers of the data plane */
void vault_answer_json(struct vault_call *call, int status, json_t *json); /* takes json */
void vault_answer_error(struct pn_response *response, int status, const char *code,
                        const char *inner, const char *format, ...) PN_PRINTF(5, 6);
/* For what a store or keyholder call said. */
void vault_answer_failure(struct vault_call *call, enum pn_rc rc, const struct pn_error *err);
/* Body as an object; NULL: answered (400). The caller's reference. */
json_t *vault_read_body(struct vault_call *call);

/* vault_access.c */
/* False: answered (403). kind "secrets", "certificates" or "keys"; decided by the vault's model of
 * permissions: its access policies, or the caller's roles. */
bool vault_may(struct vault_call *call, const char *kind, const char *permission);
/* vault_firewall.c: from where the vault may be asked */
struct pn_address;
/* False: answered (403 ForbiddenByFirewall). */
bool vault_firewall_lets(struct vault_call *call);
bool vault_address_is_in_rules(const struct pn_address *address, const json_t *acls);
/* The form of publicNetworkAccess and networkAcls. PN_INVALID. */
enum pn_rc vault_acls_check(const json_t *properties, struct pn_error *err) PN_MUST_USE;
/* In the transaction: the subnets of the rules are there, with the service endpoint. PN_INVALID. */
enum pn_rc vault_acls_check_subnets(struct pn_store_txn *txn, const json_t *properties,
                                    struct pn_error *err) PN_MUST_USE;
/* Ids of those subnets, NULL-ended, borrowed from `properties`; the caller frees the list. NULL: no
 * memory. */
const char **vault_acls_references(const json_t *properties);
/* A subnet by id: new reference. `txn` NULL: of the store. PN_NOT_FOUND. */
enum pn_rc vault_subnet(struct pn_store *store, struct pn_store_txn *txn, const char *subnet_id,
                        json_t **subnet, struct pn_error *err) PN_MUST_USE;
bool vault_subnet_has_endpoint(const json_t *subnet);
/* vault_data_actions.c */
bool vault_may_by_role(struct vault_call *call, const char *kind, const char *permission);
/* "Microsoft.KeyVault/vaults/secrets/getSecret/action" for "secrets", "get". */
void vault_data_action(const char *kind, const char *permission, char action[128]);
/* Checks a list of access policies (management plane). PN_INVALID. */
enum pn_rc vault_policies_check(const json_t *policies, const char *tenant_id,
                                struct pn_error *err) PN_MUST_USE;
enum policies_change { POLICIES_ADD, POLICIES_REPLACE, POLICIES_REMOVE };
/* Changes `policies` in place by `changes`. PN_NOMEM, PN_LIMIT. */
enum pn_rc vault_policies_change(json_t *policies, const json_t *changes,
                                 enum policies_change change) PN_MUST_USE;

/* vault_object.c: heads, versions, attributes */
void vault_head_id(const struct vault_call *call, enum vault_kind kind, char id[OBJECT_ID_TEXT]);
void vault_deleted_id(const struct vault_call *call, enum vault_kind kind, char id[OBJECT_ID_TEXT]);
void vault_version_id(const struct vault_call *call, enum vault_kind kind, const char *version,
                      char id[OBJECT_ID_TEXT]);
/* By a head's type (deleted or not) or a version's; true: it is one. */
bool vault_kind_of(const struct pn_store_item *item, enum vault_kind *kind);
/* A version's sealing context: the store id without the first '/'. */
struct pn_slice vault_context(const char *id);
void vault_new_version(char version[VERSION_TEXT]);
/* The head, then the version that the request names or the latest one. Asked as a secret or key it
 * may be a certificate. PN_NOT_FOUND (*head is filled when only the version is missing). */
enum pn_rc vault_find(struct vault_call *call, enum vault_kind asked, struct pn_store_item *head,
                      struct pn_store_item *item, struct pn_error *err) PN_MUST_USE;
void vault_answer_not_found(struct vault_call *call, enum vault_kind kind);
/* For what vault_find said. */
void vault_answer_find_failure(struct vault_call *call, enum vault_kind kind, enum pn_rc rc,
                               const struct pn_error *err);
/* Reads attributes {enabled,nbf,exp} of a request into `attributes` (which has created, updated).
 * PN_INVALID. */
enum pn_rc vault_read_attributes(const json_t *given, json_t *attributes,
                                 struct pn_error *err) PN_MUST_USE;
enum pn_rc vault_check_tags(const json_t *tags, struct pn_error *err) PN_MUST_USE;
/* New attributes {enabled:true, created, updated}. NULL: no memory. */
json_t *vault_new_attributes(const struct vault_call *call);
/* Those of a stored version, with what the vault's properties say about recovery. */
json_t *vault_attributes(const struct vault_call *call, const struct pn_store_item *item);
int64_t vault_retention_days(const struct vault_call *call);
bool vault_is_purge_protected(const struct vault_call *call);
/* "https://host/{collection}/{name}[/{version}]" */
json_t *vault_url(const struct vault_call *call, const char *collection, const char *name,
                  const char *version);
const char *vault_item_version(const struct pn_store_item *item);
/* Bytes that are base64 at `member` of the item's internal part, appended. */
enum pn_rc vault_sealed_bytes(const struct pn_store_item *item, struct pn_buf *out,
                              struct pn_error *err) PN_MUST_USE;
json_t *vault_base64(struct pn_slice bytes);    /* NULL: no memory */
json_t *vault_base64url(struct pn_slice bytes); /* likewise */

/* vault_write.c */
/* A new version and what changes in its head. The name is made when it is new. */
struct vault_addition {
    enum vault_kind kind;
    const char *version;  /* NULL: none; an operation begins, with policy and pending */
    json_t *body;         /* the version's; gets its internal.order */
    json_t *policy;       /* replaces the head's unless NULL */
    json_t *pending;      /* likewise */
    const char *expected; /* NULL, or: PN_CONFLICT unless this is the latest version */
    const char
        *request_id; /* NULL, or: only if this operation is pending, which is then completed */
};
/* One transaction, which also queues the events; then tells on_change. PN_CONFLICT (err->code says
 * which: see vault_answer_add_failure); PN_LIMIT: too many versions. */
enum pn_rc vault_add_version(struct vault_call *call, const struct vault_addition *addition,
                             struct pn_error *err) PN_MUST_USE;
/* That the call's vault is still the one that was found: what is written into one that was purged
 * meanwhile would be in the next vault of that name. PN_CONFLICT: answer it by
 * vault_answer_add_failure(). */
enum pn_rc vault_check_there(const struct vault_call *call, struct pn_store_txn *txn,
                             struct pn_error *err) PN_MUST_USE;
/* Whether the name is free for that kind: PN_OK, also when it is of that kind already; or
 * PN_CONFLICT. */
enum pn_rc vault_check_name(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                            struct pn_error *err) PN_MUST_USE;
/* Answers 409 or 403 for PN_CONFLICT, else as vault_answer_failure. */
void vault_answer_add_failure(struct vault_call *call, enum vault_kind kind, enum pn_rc rc,
                              const struct pn_error *err);
/* Writes a head with what it refers to, and when something is to be done with it. `version`: the
 * latest version's body, NULL if there is none. */
enum pn_rc vault_put_head(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                          json_t *head, const json_t *version, struct pn_error *err) PN_MUST_USE;
/* After a commit: tells who follows the object, and the vault's clock that it may be due. */
void vault_tell_change(struct vault_call *call);
/* What a PATCH changes, all of it in one transaction and over what is stored then: a version that
 * is added meanwhile stays the latest. *head and *version (may be NULL) become the new bodies, the
 * caller's references, also on failure. PN_INVALID: a member of the request is wrong. */
struct vault_change {
    enum vault_kind kind;
    const json_t *policy;   /* merged into the head's; NULL: it stays */
    const json_t *rotation; /* replaces the head's; NULL: it stays */
    const json_t *cancels;  /* true or false: of the pending operation; NULL: it stays */
    bool drops_pending;     /* of the head */
    const char *version;    /* NULL: no version changes */
    const json_t *given;    /* attributes, tags, contentType, key_ops for the version */
};
enum pn_rc vault_change(struct vault_call *call, const struct vault_change *change, json_t **head,
                        json_t **version, struct pn_error *err) PN_MUST_USE;

/* vault_due.c: the vault's clock */
/* When the vault must look at this head again; 0: never. */
/* Looks whether something is due, soon. */
void vault_wake(struct pn_vault *vault);
int64_t vault_head_due(const json_t *head, enum vault_kind kind, const json_t *version);

/* vault_event.c */
/* Queues an event of the vault about an object, in the change's own transaction. `what`:
 * "NewVersionCreated", "NearExpiry", "Expired". */
enum pn_rc vault_event_put(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                           const char *what, const char *name, const char *version,
                           const json_t *attributes, struct pn_error *err) PN_MUST_USE;

/* vault_deleted.c */
/* Takes the deleted object of the call's name away, with all its versions. */
enum pn_rc vault_purge(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                       struct pn_error *err) PN_MUST_USE;
/* The item as it is listed and answered: with recoveryId, deletedDate and scheduledPurgeDate. Takes
 * and gives `json`. */
json_t *vault_add_deletion(const struct vault_call *call, enum vault_kind kind,
                           const json_t *deleted_head, json_t *json);

/* vault_operation.c: ASCII letters in lower case, and NUL; `out` has room for them. */
void vault_lower(char *out, struct pn_slice text);

/* vault_list.c */
typedef json_t *(*vault_item_fn)(const struct vault_call *call, const struct pn_store_item *item,
                                 const char *name, bool with_version);
void vault_list_objects(struct vault_call *call, enum vault_kind kind, vault_item_fn make);
void vault_list_deleted(struct vault_call *call, enum vault_kind kind, vault_item_fn make);
void vault_list_versions(struct vault_call *call, enum vault_kind kind, vault_item_fn make);
/* A page of `path` ("certificates/issuers") from the rows below `prefix`. */
void vault_list_rows(struct vault_call *call, const char *prefix, const char *type,
                     const char *path, vault_item_fn make);

/* The shapes of answers: an item of a list (or a bundle's part), and the whole bundle. */
json_t *vault_secret_item(const struct vault_call *call, const struct pn_store_item *item,
                          const char *name, bool with_version);
json_t *vault_certificate_item(const struct vault_call *call, const struct pn_store_item *item,
                               const char *name, bool with_version);
json_t *vault_certificate_bundle(const struct vault_call *call, const json_t *head,
                                 const struct pn_store_item *item);
json_t *vault_certificate_policy(const struct vault_call *call, const json_t *head);
json_t *vault_key_item(const struct vault_call *call, const struct pn_store_item *item,
                       const char *name, bool with_version);
json_t *vault_key_bundle(const struct vault_call *call, const struct pn_store_item *item,
                         const char *name);

/* The operations; vault_operation.c has the table. */
void vault_list_secrets(struct vault_call *call);
void vault_list_deleted_secrets(struct vault_call *call);
void vault_get_deleted_secret(struct vault_call *call);
void vault_recover_secret(struct vault_call *call);
void vault_purge_secret(struct vault_call *call);
void vault_restore_secret(struct vault_call *call);
void vault_backup_secret(struct vault_call *call);
void vault_list_secret_versions(struct vault_call *call);
void vault_delete_secret(struct vault_call *call);
void vault_set_secret(struct vault_call *call);
void vault_get_secret(struct vault_call *call);
void vault_update_secret(struct vault_call *call);
void vault_get_contacts(struct vault_call *call);
void vault_set_contacts(struct vault_call *call);
void vault_delete_contacts(struct vault_call *call);
void vault_list_issuers(struct vault_call *call);
void vault_get_issuer(struct vault_call *call);
void vault_set_issuer(struct vault_call *call);
void vault_update_issuer(struct vault_call *call);
void vault_delete_issuer(struct vault_call *call);
void vault_list_certificates(struct vault_call *call);
void vault_list_deleted_certificates(struct vault_call *call);
void vault_get_deleted_certificate(struct vault_call *call);
void vault_recover_certificate(struct vault_call *call);
void vault_purge_certificate(struct vault_call *call);
void vault_restore_certificate(struct vault_call *call);
void vault_backup_certificate(struct vault_call *call);
void vault_list_certificate_versions(struct vault_call *call);
void vault_delete_certificate(struct vault_call *call);
void vault_create_certificate(struct vault_call *call);
void vault_import_certificate(struct vault_call *call);
void vault_get_policy(struct vault_call *call);
void vault_update_policy(struct vault_call *call);
void vault_get_pending(struct vault_call *call);
void vault_update_pending(struct vault_call *call);
void vault_delete_pending(struct vault_call *call);
void vault_merge_certificate(struct vault_call *call);
void vault_get_certificate(struct vault_call *call);
void vault_update_certificate(struct vault_call *call);
void vault_list_keys(struct vault_call *call);
void vault_list_deleted_keys(struct vault_call *call);
void vault_get_deleted_key(struct vault_call *call);
void vault_recover_key(struct vault_call *call);
void vault_purge_key(struct vault_call *call);
void vault_restore_key(struct vault_call *call);
void vault_backup_key(struct vault_call *call);
void vault_list_key_versions(struct vault_call *call);
void vault_delete_key(struct vault_call *call);
void vault_random_bytes(struct vault_call *call);
void vault_create_key(struct vault_call *call);
void vault_import_key(struct vault_call *call);
void vault_rotate_key(struct vault_call *call);
void vault_get_rotation_policy(struct vault_call *call);
void vault_set_rotation_policy(struct vault_call *call);
void vault_encrypt(struct vault_call *call);
void vault_decrypt(struct vault_call *call);
void vault_wrap_key(struct vault_call *call);
void vault_unwrap_key(struct vault_call *call);
void vault_sign(struct vault_call *call);
void vault_verify(struct vault_call *call);
void vault_release_key(struct vault_call *call);
void vault_get_key(struct vault_call *call);
void vault_update_key(struct vault_call *call);

/* vault_certificate_policy.c */
struct pn_certificate;
/* The policy that describes `certificate` (import without a policy). NULL: no memory. */
json_t *vault_policy_of(const struct vault_call *call, const struct pn_certificate *certificate,
                        const char *content_type);
/* Fills what a policy of a request leaves out; checks it. PN_INVALID, PN_UNSUPPORTED, PN_NOMEM. */
enum pn_rc vault_policy_complete(const struct vault_call *call, const json_t *given,
                                 json_t **policy, struct pn_error *err) PN_MUST_USE;
/* Members of `given` that are not empty replace those of `policy`. PN_INVALID: one is of another
 * type than the member it replaces. */
enum pn_rc vault_policy_merge(json_t *policy, const json_t *given,
                              struct pn_error *err) PN_MUST_USE;
/* The same for a change of a complete one: lists are replaced whole, the result is checked.
 * PN_INVALID, PN_UNSUPPORTED. */
enum pn_rc vault_policy_change(json_t *policy, const json_t *given,
                               struct pn_error *err) PN_MUST_USE;
/* Makes key and certificate from a complete policy, self-signed or by our own CA. `reuse` (may be
 * NULL): the key it gets. */
struct pn_vault_key;
enum pn_rc vault_policy_issue(struct vault_call *call, const json_t *policy,
                              struct pn_slice context, const struct pn_vault_key *reuse,
                              struct pn_imported *made, struct pn_error *err) PN_MUST_USE;
/* Makes key and certificate request. */
enum pn_rc vault_policy_request(struct vault_call *call, const json_t *policy,
                                struct pn_slice context, const struct pn_vault_key *reuse,
                                struct pn_buf *request, struct pn_buf *sealed,
                                struct pn_error *err) PN_MUST_USE;

/* vault.c: the vault resource by name, in any resource group. PN_NOT_FOUND. */
enum pn_rc vault_resource(struct pn_vault *vault, const char *name, struct pn_store_item *item,
                          struct pn_error *err) PN_MUST_USE;
bool vault_name_is_valid(struct pn_slice name);
json_t *vault_default_properties(const struct pn_vault *vault, const char *name);
