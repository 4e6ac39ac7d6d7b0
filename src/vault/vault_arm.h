/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the management plane of Microsoft.KeyVault: one call, and what its files share.
 */
#pragma once

#include "resource/call.h"
#include "vault/vault_internal.h"

#define DELETED_TYPE   "Microsoft.KeyVault/deletedVaults"
#define VAULT_ID_TEXT  512
#define RETENTION_DAYS 90

struct arm_call {
    struct pn_resource_call base;
    struct pn_vault *vault;
    struct pn_slice subscription, group, name; /* ptr NULL: not in the path */
    char group_id[256];                        /* of the subscription when the path has no group */
    char vault_id[VAULT_ID_TEXT];              /* "" without a name */
};

/* vault_arm_vaults.c */
void vault_arm_list(struct arm_call *call);
void vault_arm_get(struct arm_call *call);
void vault_arm_change(struct arm_call *call, bool is_patch);
void vault_arm_check_name(struct arm_call *call);
void vault_arm_not_found(struct arm_call *call);
/* Answers with what is stored now. */
void vault_arm_stored(struct arm_call *call, int status);
/* Tells whoever follows what is in the vault. */
void vault_arm_tell(struct arm_call *call);
/* A vault as Azure shows it: new reference. */
json_t *vault_arm_json(const struct pn_store_item *item);

/* vault_arm_policies.c: …/accessPolicies/{add|replace|remove} */
void vault_arm_policies(struct arm_call *call, struct pn_slice operation);

/* vault_arm_deleted.c */
/* Purges a deleted vault whose retention is over. PN_NOT_FOUND: it is none (any more). */
enum pn_rc vault_arm_purge_due(struct pn_vault *vault, const struct pn_store_item *item,
                               struct pn_error *err) PN_MUST_USE;

/* vault_arm_properties.c */
/* The document to store from what is given over what is there (`former` NULL: nothing). PN_INVALID.
 */
enum pn_rc vault_arm_body(struct arm_call *call, const json_t *given, const json_t *former,
                          bool is_patch, json_t **body, struct pn_error *err) PN_MUST_USE;

/* vault_arm_events.c: …/providers/Microsoft.EventGrid/eventSubscriptions[/{name}[/getFullUrl]];
 * `rest` is what follows. */
void vault_arm_events(struct arm_call *call, const struct pn_slice *rest, size_t count);

/* vault_arm_deleted.c */
/* DELETE of a vault: it can be recovered until its retention is over. */
void vault_arm_delete(struct arm_call *call);
/* createMode recover: puts the deleted vault back in `txn`. PN_NOT_FOUND: there is none. */
enum pn_rc vault_arm_recover(struct arm_call *call, struct pn_store_txn *txn,
                             struct pn_error *err) PN_MUST_USE;
/* PN_EXISTS: a deleted vault has the name. Purges one whose retention is over. */
enum pn_rc vault_arm_refuse_deleted(struct pn_vault *vault, const char *subscription_id,
                                    const char *name, struct pn_error *err) PN_MUST_USE;
void vault_arm_list_deleted(struct arm_call *call);
/* …/locations/{location}/deletedVaults[/{name}[/purge]] */
void vault_arm_deleted(struct arm_call *call, const struct pn_slice *rest, size_t count);
