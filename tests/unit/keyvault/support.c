/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h.
 */
#include "keyvault/support.h"

#include <stdio.h>
#include <string.h>

struct script script;
struct pn_keyvault *keyvault;
const struct pn_identity_ref me = {.owner_id = "/service"};
static struct pn_token_source *tokens;

static enum pn_rc give(void *ctx, const struct pn_identity_ref *identity,
                       const struct pn_token_target *target, struct pn_secret *token,
                       int64_t *expires_s, struct pn_error *err)
{
    (void)ctx, (void)target;
    *expires_s = INT64_MAX;
    if (identity->client_id)
        return pn_error_set(err, PN_INVALID, "identity_not_enabled", "no such identity");
    return pn_secret_from(token, "token", 5);
}

static enum pn_rc play(struct pn_keyvault *unused, const char *url, const struct pn_secret *token,
                       struct exchange *exchange, struct pn_error *err)
{
    const char *body = script.body;

    (void)unused;
    snprintf(script.last_url, sizeof script.last_url, "%s", url);
    if (script.is_unreachable)
        return pn_error_set(err, PN_UNAVAILABLE, "vault_connect", "connection refused");
    if (!token || (script.refuses_first_token && script.authorized == 0)) {
        script.bare += token == NULL;
        script.authorized += token != NULL;
        exchange->status = 401;
        snprintf(exchange->challenge, sizeof exchange->challenge, "%s", script.challenge);
        return PN_OK;
    }
    if (script.next_body && script.authorized > 0)
        body = script.next_body;
    script.authorized++;
    exchange->status = script.status;
    exchange->retry_after_s = script.retry_after_s;
    return body ? pn_buf_append_str(&exchange->body, body) : PN_OK;
}

int keyvault_setup(void **state)
{
    struct pn_token_provider provider = {"test", give, NULL};
    struct pn_keyvault_options options = {0};

    (void)state;
    script = (struct script){.challenge = CHALLENGE, .status = 200};
    if (pn_token_source_create(NULL, &tokens) != PN_OK ||
        pn_token_source_add(tokens, &provider) != PN_OK)
        return -1;
    options.tokens = tokens;
    if (pn_keyvault_create(&options, &keyvault, NULL) != PN_OK)
        return -1;
    keyvault->transport = play;
    return 0;
}

int keyvault_teardown(void **state)
{
    (void)state;
    pn_keyvault_destroy(keyvault);
    pn_token_source_destroy(tokens);
    return 0;
}
