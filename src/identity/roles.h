/* SPDX-License-Identifier: Apache-2.0
 *
 * Built-in role definitions and role assignments (Azure RBAC): which actions a role allows, and who
 * has it where. pn_authorize() is in identity/principal.h.
 *
 * An assignment is the store item
 * `{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid}` of type
 * PN_ROLE_ASSIGNMENT_TYPE with body {"name", "properties": {"roleDefinitionId", "principalId",
 * "principalType", "scope", "createdOn", "updatedOn"}}.
 *
 * Source: reference of Azure RBAC; wildcards match across '/', a scope covers everything below it.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#define PN_ROLE_ASSIGNMENT_TYPE "Microsoft.Authorization/roleAssignments"

#define PN_ROLE_OWNER                          "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
#define PN_ROLE_CONTRIBUTOR                    "b24988ac-6180-42a0-ab88-20f7382dd24c"
#define PN_ROLE_READER                         "acdd72a7-3385-48ef-bd42-f606fba81ae7"
#define PN_ROLE_APIM_CONTRIBUTOR               "312a565d-c81f-4fd8-895a-4e21e48d571c"
#define PN_ROLE_KEY_VAULT_SECRETS_USER         "4633458b-17de-408a-b874-0445c86b69e6"
#define PN_ROLE_KEY_VAULT_CONTRIBUTOR          "f25e0fa2-a7c8-4377-a976-54943a77a395"
#define PN_ROLE_KEY_VAULT_ACCESS_ADMINISTRATOR "8b54135c-b56d-4d72-a534-26097cfdc8d8"

#define PN_ROLE_PATTERNS_MAX 16

struct pn_store;
struct pn_store_txn;

/** Lists end with NULL. */
struct pn_role_definition {
    const char *id; /* the GUID of the role definition */
    const char *name;
    const char *description;
    const char *actions[PN_ROLE_PATTERNS_MAX];
    const char *not_actions[PN_ROLE_PATTERNS_MAX];
    const char *data_actions[PN_ROLE_PATTERNS_MAX];
    const char *not_data_actions[PN_ROLE_PATTERNS_MAX];
};

/** All built-in roles; *count of them. Static. */
const struct pn_role_definition *pn_roles(size_t *count);
/** By GUID, or by a role definition's id (`…/roleDefinitions/{guid}`). NULL: none such. */
const struct pn_role_definition *pn_role_find(struct pn_slice id);
/** Whether its actions (or data actions) allow `action`, in ASCII without regard to case. */
bool pn_role_allows(const struct pn_role_definition *role, struct pn_slice action,
                    bool is_data_action);
/** '*' stands for any run of characters, also of none. Without regard to case. */
bool pn_action_matches(struct pn_slice pattern, struct pn_slice action);
/** Whether a holder of `role` that may write or delete assignments may do so with one of `assigned`
 *  (NULL: not known which). Only the Key Vault Data Access Administrator is narrowed. */
bool pn_role_may_assign(const struct pn_role_definition *role,
                        const struct pn_role_definition *assigned);
/** Writes an assignment with a new id. `principal_type`: "ServicePrincipal", "User", "Group". An
 *  equal one (principal, role, scope) that exists already is left alone. PN_INVALID (no such role),
 *  or what the store says. */
enum pn_rc pn_role_assign(struct pn_store_txn *txn, const char *scope, const char *role_id,
                          const char *principal_id, const char *principal_type,
                          struct pn_error *err) PN_MUST_USE;
/** Whether the subscription has an Owner (at it or at the root) beside the assignment `except_id`
 *  and those of `except_principal` (either may be NULL or empty) that somebody can be: a user, a
 *  group, or an application that is there. PN_IO. */
enum pn_rc pn_role_other_owner(struct pn_store *store, struct pn_store_txn *txn,
                               const char *subscription_id, const char *except_id,
                               struct pn_slice except_principal, bool *is_left,
                               struct pn_error *err) PN_MUST_USE;
