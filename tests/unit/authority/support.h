/* SPDX-License-Identifier: Apache-2.0
 *
 * An authority over a real store and a fake keyholder, and requests to it.
 */
#pragma once

#include "authority/authority.h"
#include "base/json.h"
#include "store/store.h"
#include "support/fake_keyholder.h"

#define TENANT         "11111111-2222-3333-4444-555555555555"
#define ORIGIN         "https://localhost:9443"
#define VAULT_AUDIENCE "https://vault.localhost:9444"
#define SECRET         "correct horse battery staple"

struct house {
    char folder[64];
    struct pn_store *store;
    struct pn_authority *authority;
    char client_id[PN_UUID_TEXT], object_id[PN_UUID_TEXT];
};
extern int64_t house_now_s;

int house_setup(void **state);
int house_teardown(void **state);

struct answer {
    struct pn_arena *arena;
    struct pn_response response;
    json_t *json;
};
/** Sends; `body` may be NULL; `authorization` too. End with answer_fini(). */
/** What requests say as their Host: ORIGIN, until a test says otherwise. */
extern const char *house_origin;

void ask(struct house *house, const char *method, const char *path, const char *query,
         const char *body, const char *authorization, const char *peer, struct answer *answer);
void answer_fini(struct answer *answer);
