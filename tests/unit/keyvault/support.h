/* SPDX-License-Identifier: Apache-2.0
 *
 * A vault without a network: a transport that answers from a script.
 */
#pragma once

#include "keyvault/keyvault_internal.h"

#define VAULT "https://kv1.vault.localhost:9444"
#define CHALLENGE                                                                                  \
    "Bearer authorization=\"https://localhost:9443/t\", resource=\"https://vault.localhost:9444\""

struct script {
    const char *challenge; /* of a request without token */
    int status;            /* of a request with token */
    const char *body;
    const char *next_body; /* of the second and later requests with a token, when set */
    unsigned retry_after_s;
    unsigned bare, authorized; /* requests seen */
    bool refuses_first_token;  /* 401 once */
    bool is_unreachable;
    char last_url[2048];
};

extern struct script script;
extern struct pn_keyvault *keyvault;
extern const struct pn_identity_ref me;

int keyvault_setup(void **state);
int keyvault_teardown(void **state);
