/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 *
 * In the store (all names in lower case in ids):
 *   /vault/{vault}/objects/{name}                 "vault/object": one for each name, whatever its
 * kind: properties {kind "secret"|"certificate", latest, versions, order, policy?, pending?}
 *   /vault/{vault}/secrets/{name}/{version}       "vault/secret":
 *        properties {contentType?, attributes, tags?}, internal {order, sealed}
 *   /vault/{vault}/certificates/{name}/{version}  "vault/certificate":
 *        properties {x5t, cer, contentType, exportable, attributes, tags?}, internal {order,
 * sealed, chain}
 */
#pragma once

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
#define OBJECT_TYPE      "vault/object"
#define SECRET_TYPE      "vault/secret"
#define CERTIFICATE_TYPE "vault/certificate"
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
};

/* One request of the data plane, after token and vault are known. */
struct vault_call {
    struct pn_vault *vault;
    const struct pn_request *request;
    struct pn_response *response;
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
void vault_head_id(const struct vault_call *call, char id[OBJECT_ID_TEXT]);
void vault_version_id(const struct vault_call *call, const char *collection, const char *version,
                      char id[OBJECT_ID_TEXT]);
/* A version's sealing context: the store id without the first '/'. */
struct pn_slice vault_context(const char *id);
void vault_new_version(char version[VERSION_TEXT]);
/* Adds a version: writes it and the head in one transaction, and tells on_change. `version_body`
 * gets its internal.order here. `policy` and `pending` (may be NULL) replace the head's.
 * PN_CONFLICT: the name is of another kind; PN_LIMIT: too many versions. */
enum pn_rc vault_add_version(struct vault_call *call, const char *kind, const char *version,
                             json_t *version_body, json_t *policy, json_t *pending,
                             struct pn_error *err) PN_MUST_USE;
/* Answers 409 or 403 for PN_CONFLICT, else as vault_answer_failure. */
void vault_answer_add_failure(struct vault_call *call, const char *kind, enum pn_rc rc,
                              const struct pn_error *err);
/* The head, then the version that the request names or the latest one. `collection` "secrets" also
 * finds certificates. PN_NOT_FOUND. *item is a certificate or a secret by its type. */
enum pn_rc vault_find(struct vault_call *call, const char *collection, struct pn_store_item *head,
                      struct pn_store_item *item, struct pn_error *err) PN_MUST_USE;
/* "SecretNotFound" for "secrets", … */
const char *vault_not_found_code(const char *collection);
void vault_answer_not_found(struct vault_call *call, const char *collection);
/* Reads attributes {enabled,nbf,exp} of a request into `attributes` (which has created, updated).
 * PN_INVALID. */
enum pn_rc vault_read_attributes(const json_t *given, json_t *attributes,
                                 struct pn_error *err) PN_MUST_USE;
enum pn_rc vault_check_tags(const json_t *tags, struct pn_error *err) PN_MUST_USE;
/* New attributes {enabled:true, created, updated}. NULL: no memory. */
json_t *vault_new_attributes(const struct vault_call *call);
/* "https://host/{collection}/{name}[/{version}]" */
json_t *vault_url(const struct vault_call *call, const char *collection, const char *name,
                  const char *version);
const char *vault_item_version(const struct pn_store_item *item);
/* What a PATCH changes, all of it in one transaction and over what is stored then: a version that
 * is added meanwhile stays the latest. *head and *version (may be NULL) become the new bodies, the
 * caller's references, also on failure. PN_INVALID: a member of the request is wrong. */
struct vault_change {
    const char *head_id;    /* NULL: the head stays as it is */
    const json_t *policy;   /* merged into the head's; NULL: it stays */
    bool drops_pending;     /* of the head */
    const char *version_id; /* NULL: no version changes */
    json_t *given;          /* attributes, tags, contentType for the version */
};
enum pn_rc vault_change(struct vault_call *call, const struct vault_change *change, json_t **head,
                        json_t **version, struct pn_error *err) PN_MUST_USE;

/* vault_list.c */
typedef json_t *(*vault_item_fn)(const struct vault_call *call, const struct pn_store_item *item,
                                 const char *name, bool with_version);
void vault_list_objects(struct vault_call *call, const char *collection, vault_item_fn make);
void vault_list_versions(struct vault_call *call, const char *collection, vault_item_fn make);

/* The operations; vault_operation.c has the table. */
void vault_list_secrets(struct vault_call *call);
void vault_list_secret_versions(struct vault_call *call);
void vault_set_secret(struct vault_call *call);
void vault_get_secret(struct vault_call *call);
void vault_update_secret(struct vault_call *call);
void vault_list_certificates(struct vault_call *call);
void vault_list_certificate_versions(struct vault_call *call);
void vault_create_certificate(struct vault_call *call);
void vault_import_certificate(struct vault_call *call);
void vault_get_policy(struct vault_call *call);
void vault_update_policy(struct vault_call *call);
void vault_get_pending(struct vault_call *call);
void vault_delete_pending(struct vault_call *call);
void vault_get_certificate(struct vault_call *call);
void vault_update_certificate(struct vault_call *call);

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
/* Makes key and certificate from a complete policy. */
enum pn_rc vault_policy_issue(struct vault_call *call, const json_t *policy,
                              struct pn_slice context, struct pn_imported *made,
                              struct pn_error *err) PN_MUST_USE;

/* vault.c: the vault resource by name, in any resource group. PN_NOT_FOUND. */
enum pn_rc vault_resource(struct pn_vault *vault, const char *name, struct pn_store_item *item,
                          struct pn_error *err) PN_MUST_USE;
bool vault_name_is_valid(struct pn_slice name);
json_t *vault_default_properties(const struct pn_vault *vault, const char *name);
