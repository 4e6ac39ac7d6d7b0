/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the authority.
 */
#include "authority/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "oidc/oidc.h"

enum pn_rc pn_authority_create(const struct pn_authority_config *config,
                               struct pn_authority **authority, struct pn_error *err)
{
    struct pn_authority *made = NULL;
    enum pn_rc rc = PN_NOMEM;

    if (!pn_is_uuid(pn_slice_str(config->tenant_id)) ||
        strlen(config->control_url) > URL_TEXT - 128 || strlen(config->vault_audience) >= URL_TEXT)
        return pn_error_set(err, PN_INVALID, "authority", "tenant id or addresses are not valid");
    made = calloc(1, sizeof *made);
    if (!made)
        return PN_NOMEM;
    pthread_mutex_init(&made->lock, NULL);
    pthread_mutex_init(&made->hash_lock, NULL);
    made->store = config->store;
    made->keyholder = config->keyholder;
    made->oidc = config->oidc;
    pn_random(made->sign_in_key, sizeof made->sign_in_key);
    made->now_s = config->now_s ? config->now_s : pn_clock_unix_s;
    snprintf(made->tenant_id, sizeof made->tenant_id, "%s", config->tenant_id);
    snprintf(made->control_url, sizeof made->control_url, "%s", config->control_url);
    snprintf(made->vault_audience, sizeof made->vault_audience, "%s", config->vault_audience);
    made->used = calloc(PN_ASSERTION_REPLAY_MAX, sizeof *made->used);
    made->codes = calloc(PN_AUTHORIZATION_CODES_MAX, sizeof *made->codes);
    if (made->used && made->codes)
        rc = pn_token_verifier_create(made->tenant_id, config->now_s, &made->verifier);
    if (rc == PN_OK && made->oidc)
        pn_token_verifier_set_foreign(made->verifier, pn_oidc_foreign_token, made->oidc);
    if (rc == PN_OK)
        rc = authority_load_keys(made, err);
    if (rc != PN_OK) {
        pn_authority_destroy(made);
        return rc;
    }
    *authority = made;
    return PN_OK;
}

void pn_authority_destroy(struct pn_authority *authority)
{
    if (!authority)
        return;
    authority_drop_keys(authority);
    pn_token_verifier_destroy(authority->verifier);
    pthread_mutex_destroy(&authority->lock);
    pthread_mutex_destroy(&authority->hash_lock);
    pn_wipe(authority->sign_in_key, sizeof authority->sign_in_key);
    free(authority->codes);
    free(authority->used);
    free(authority);
}

struct pn_token_verifier *pn_authority_verifier(struct pn_authority *authority)
{
    return authority->verifier;
}
