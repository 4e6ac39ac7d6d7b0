/* SPDX-License-Identifier: Apache-2.0
 *
 * A vault server over a real store and a fake keyholder, with tokens of a test key, and requests to
 * it.
 */
#pragma once

#include "base/json.h"
#include "store/store.h"
#include "support/fake_keyholder.h"
#include "vault/vault.h"

#define TENANT       "11111111-2222-3333-4444-555555555555"
#define ADMIN        "aaaaaaaa-0000-4000-8000-000000000001"
#define READER       "aaaaaaaa-0000-4000-8000-000000000002"
#define NOBODY       "aaaaaaaa-0000-4000-8000-000000000003"
#define AUDIENCE     "https://vault.localhost:9444"
#define ARM_AUDIENCE "https://localhost:9443"
#define SUBSCRIPTION "/subscriptions/22222222-2222-4222-8222-222222222222"
#define GROUP_ID     SUBSCRIPTION "/resourceGroups/postern"
#define VAULTS       GROUP_ID "/providers/Microsoft.KeyVault/vaults"
#define ORIGIN       "https://local.vault.localhost:9444"
#define VERSION      "api%2Dversion=2025-07-01"

struct house {
    char folder[64];
    struct pn_store *store;
    struct pn_token_verifier *verifier;
    struct pn_vault *vault;
    unsigned changes;      /* calls of on_change */
    char changed_name[64]; /* of the last; "" for policies */
};

int house_setup(void **state);
int house_teardown(void **state);

struct answer {
    struct pn_arena *arena;
    struct pn_response response;
    json_t *json;
};
/** To the data plane as principal `oid` (NULL: no token), at the vault named local unless `host`.
 */
void ask(struct house *house, const char *oid, const char *method, const char *path,
         const char *query, const char *body, const char *host, struct answer *answer);
/** To the data plane with a token for another audience. */
void ask_with_audience(struct house *house, const char *audience, const char *path,
                       struct answer *answer);
/** To the management plane. */
void ask_arm(struct house *house, const char *oid, const char *method, const char *path,
             const char *body, struct answer *answer);
void answer_fini(struct answer *answer);
/** error.code and error.innererror.code of an answer; "" when absent. */
const char *error_code(const struct answer *answer);
const char *inner_code(const struct answer *answer);
