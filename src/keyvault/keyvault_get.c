/* SPDX-License-Identifier: Apache-2.0
 *
 * One authorized GET: with the challenge that is known for this vault, or after asking for it.
 *
 *   no challenge known ──▶ GET without token ──401──▶ challenge ──▶ token ──▶ GET ──▶ answer
 *   challenge known ──▶ token ──▶ GET ──401──▶ forget the token, read the challenge anew, once
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "keyvault/keyvault_internal.h"

#define WORDS_MAX 400

void exchange_init(const struct pn_keyvault *keyvault, struct exchange *exchange)
{
    memset(exchange, 0, sizeof *exchange);
    pn_buf_init_secret(&exchange->body, keyvault->response_bytes_max);
}

void exchange_fini(struct exchange *exchange)
{
    pn_buf_fini(&exchange->body);
}

static bool known_challenge(struct pn_keyvault *keyvault, const char *origin,
                            struct challenge *challenge)
{
    bool found = false;

    pthread_mutex_lock(&keyvault->lock);
    for (size_t i = 0; i < CHALLENGES_KEPT && !found; i++) {
        found = strcmp(keyvault->challenges[i].origin, origin) == 0;
        if (found)
            *challenge = keyvault->challenges[i];
    }
    pthread_mutex_unlock(&keyvault->lock);
    return found;
}

static void keep_challenge(struct pn_keyvault *keyvault, const struct challenge *challenge)
{
    struct challenge *slot = NULL;

    pthread_mutex_lock(&keyvault->lock);
    for (size_t i = 0; i < CHALLENGES_KEPT && !slot; i++) {
        if (strcmp(keyvault->challenges[i].origin, challenge->origin) == 0)
            slot = &keyvault->challenges[i];
    }
    if (!slot)
        slot = &keyvault->challenges[keyvault->next_challenge++ % CHALLENGES_KEPT];
    *slot = *challenge;
    pthread_mutex_unlock(&keyvault->lock);
}

/* The vault's own words: code, inner code and message of its error, printable and cut. */
static void vault_words(const struct exchange *exchange, char out[WORDS_MAX])
{
    json_t *json = NULL;
    const json_t *error;
    const char *code, *inner, *message;

    out[0] = '\0';
    if (pn_json_parse(pn_buf_slice(&exchange->body), &json, NULL) != PN_OK)
        return;
    error = json_object_get(json, "error");
    code = pn_json_str(error, "code");
    inner = pn_json_str(json_object_get(error, "innererror"), "code");
    message = pn_json_str(error, "message");
    if (code || message)
        snprintf(out, WORDS_MAX, ": %s%s%s%s%s", code ? code : "", inner ? "/" : "",
                 inner ? inner : "", message ? ": " : "", message ? message : "");
    for (char *at = out; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    }
    json_decref(json);
}

static enum pn_rc tell_status(const struct exchange *exchange, const struct pn_keyvault_id *id,
                              struct pn_error *err)
{
    char words[WORDS_MAX];
    const char *code = "vault_unavailable";
    enum pn_rc rc = PN_UNAVAILABLE;

    vault_words(exchange, words);
    if (exchange->status == 401) {
        code = "vault_unauthorized";
        rc = PN_DENIED;
    } else if (exchange->status == 403) {
        code = "vault_forbidden";
        rc = PN_DENIED;
    } else if (exchange->status == 404) {
        code = "vault_not_found";
        rc = PN_NOT_FOUND;
    } else if (exchange->status == 429) {
        code = "vault_throttled";
    }
    return pn_error_set(err, rc, code, "the vault %s answered %d for the secret %s%s", id->origin,
                        exchange->status, id->name, words);
}

/* Sends without a token and reads the challenge of the 401. */
static enum pn_rc ask_challenge(struct pn_keyvault *keyvault, const struct pn_keyvault_id *id,
                                const char *url, struct challenge *challenge, struct pn_error *err)
{
    struct exchange exchange;
    enum pn_rc rc;

    exchange_init(keyvault, &exchange);
    rc = keyvault->transport(keyvault, url, NULL, &exchange, err);
    if (rc == PN_OK && exchange.status != 401)
        rc = exchange.status == 200
                 ? pn_error_set(err, PN_DENIED, "vault_challenge",
                                "%s answers without asking for a token: it is not a key vault",
                                id->origin)
                 : tell_status(&exchange, id, err);
    if (rc == PN_OK)
        rc = challenge_parse(exchange.challenge, challenge, err);
    snprintf(challenge->origin, sizeof challenge->origin, "%s", id->origin);
    exchange_fini(&exchange);
    return rc;
}

static enum pn_rc send_with_token(struct pn_keyvault *keyvault,
                                  const struct pn_identity_ref *identity,
                                  const struct pn_keyvault_id *id,
                                  const struct challenge *challenge, const char *url,
                                  struct exchange *exchange, struct pn_error *err)
{
    struct pn_token_target target = {.resource = challenge->resource,
                                     .authority =
                                         challenge->authority[0] ? challenge->authority : NULL};
    struct pn_secret token = {0};
    enum pn_rc rc = challenge_check(challenge, id, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_token_source_get(keyvault->tokens, identity, &target, &token, err);
    if (rc != PN_OK) {
        if (err && strcmp(err->code, "identity_not_enabled") != 0 &&
            strcmp(err->code, "network_rule") != 0 && strcmp(err->code, "address_guarded") != 0)
            snprintf(err->code, sizeof err->code, "vault_token");
        return rc == PN_NOMEM ? rc : PN_UNAVAILABLE;
    }
    pn_buf_clear(&exchange->body);
    exchange->challenge[0] = '\0';
    exchange->retry_after_s = 0;
    rc = keyvault->transport(keyvault, url, &token, exchange, err);
    pn_secret_fini(&token);
    if (rc == PN_OK && exchange->status == 401)
        pn_token_source_forget(keyvault->tokens, identity, &target);
    return rc;
}

enum pn_rc keyvault_get(struct pn_keyvault *keyvault, const struct pn_identity_ref *identity,
                        const struct pn_keyvault_id *id, const char *url, struct exchange *exchange,
                        struct pn_error *err)
{
    struct challenge challenge = {0};
    bool was_known = known_challenge(keyvault, id->origin, &challenge);
    enum pn_rc rc = PN_OK;

    if (!was_known)
        rc = ask_challenge(keyvault, id, url, &challenge, err);
    if (rc == PN_OK)
        rc = send_with_token(keyvault, identity, id, &challenge, url, exchange, err);
    if (rc == PN_OK && exchange->status == 401 && was_known &&
        challenge_parse(exchange->challenge, &challenge, NULL) == PN_OK)
        rc = send_with_token(keyvault, identity, id, &challenge, url, exchange, err);
    if (rc != PN_OK)
        return rc;
    if (exchange->status != 401)
        keep_challenge(keyvault, &challenge);
    return exchange->status == 200 ? PN_OK : tell_status(exchange, id, err);
}
