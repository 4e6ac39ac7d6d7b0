/* SPDX-License-Identifier: Apache-2.0
 *
 * The relying party's side of the authorization code flow (OpenID Connect Core §3.1).
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "base/limits.h"
#include "fetch/fetch.h"
#include "oidc/oidc_internal.h"

#define SCOPE     "openid profile email"
#define FORM_MAX  (16u * 1024)
#define BASIC_MAX 4096
#define WORDS_MAX 200

/* Appends "name=value", percent-encoded, with the sign that is needed before it. */
static enum pn_rc add(struct pn_buf *form, const char *name, struct pn_slice value, char first)
{
    enum pn_rc rc = PN_OK;

    if (first)
        rc = pn_buf_append_byte(form, first);
    if (rc == PN_OK)
        rc = pn_buf_append_str(form, name);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(form, '=');
    return rc == PN_OK ? pn_percent_encode(value, form) : rc;
}

enum pn_rc pn_oidc_authorize_url(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                                 const struct pn_oidc_sign_in *ask, struct pn_buf *url,
                                 struct pn_error *err)
{
    struct endpoints endpoints = {.takes_basic = false};
    const struct {
        const char *name, *value;
    } parameters[] = {
        {"client_id", issuer->client_id},
        {"redirect_uri", ask->redirect_uri},
        {"scope", SCOPE},
        {"state", ask->state},
        {"nonce", ask->nonce},
        {"code_challenge", ask->code_challenge},
    };
    char sign;
    enum pn_rc rc = oidc_endpoints(oidc, issuer->url, &endpoints, err);

    if (rc != PN_OK)
        return rc;
    sign = strchr(endpoints.authorization, '?') ? '&' : '?';
    rc = pn_buf_printf(url, "%s%cresponse_type=code&response_mode=query&code_challenge_method=S256",
                       endpoints.authorization, sign);
    for (size_t i = 0; rc == PN_OK && i < sizeof parameters / sizeof parameters[0]; i++)
        rc = add(url, parameters[i].name, pn_slice_str(parameters[i].value), '&');
    return rc;
}

/* RFC 6749 §2.3.1: both parts are form-encoded before they are joined. */
static enum pn_rc make_basic(const struct pn_trusted_issuer *issuer, struct pn_buf *header)
{
    struct pn_buf pair;
    enum pn_rc rc;

    pn_buf_init_secret(&pair, BASIC_MAX);
    rc = pn_percent_encode(pn_slice_str(issuer->client_id), &pair);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(&pair, ':');
    if (rc == PN_OK)
        rc = pn_percent_encode(pn_secret_slice(&issuer->client_secret), &pair);
    if (rc == PN_OK)
        rc = pn_buf_append_str(header, "Authorization: Basic ");
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_buf_slice(&pair), header);
    pn_buf_fini(&pair);
    return rc;
}

static enum pn_rc make_form(const struct pn_trusted_issuer *issuer,
                            const struct pn_oidc_sign_in *ask, struct pn_slice code,
                            struct pn_slice verifier, bool by_basic, struct pn_buf *form)
{
    enum pn_rc rc = pn_buf_append_str(form, "grant_type=authorization_code");

    if (rc == PN_OK)
        rc = add(form, "code", code, '&');
    if (rc == PN_OK)
        rc = add(form, "redirect_uri", pn_slice_str(ask->redirect_uri), '&');
    if (rc == PN_OK)
        rc = add(form, "code_verifier", verifier, '&');
    if (rc == PN_OK && !by_basic)
        rc = add(form, "client_id", pn_slice_str(issuer->client_id), '&');
    if (rc == PN_OK && !by_basic && issuer->client_secret.len > 0)
        rc = add(form, "client_secret", pn_secret_slice(&issuer->client_secret), '&');
    return rc;
}

/* The issuer's error code (RFC 6749 §5.2), for the log: letters and '_' only. */
static void error_of(const json_t *answer, char out[WORDS_MAX])
{
    const char *error = pn_json_str(answer, "error");
    size_t len = 0;

    for (size_t i = 0; error && error[i] && len + 1 < WORDS_MAX; i++) {
        if ((error[i] >= 'a' && error[i] <= 'z') || error[i] == '_')
            out[len++] = error[i];
    }
    out[len] = '\0';
}

static enum pn_rc ask_token(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                            const struct endpoints *endpoints, const struct pn_oidc_sign_in *ask,
                            struct pn_slice code, struct pn_slice verifier, json_t **answer,
                            struct pn_error *err)
{
    bool by_basic = endpoints->takes_basic && issuer->client_secret.len > 0;
    const char *headers[2] = {NULL, NULL};
    struct pn_fetch_request request = {.url = endpoints->token,
                                       .headers = headers,
                                       .outbound = oidc->outbound,
                                       .service = PN_TAG_ACTIVE_DIRECTORY,
                                       .kind = PN_OUTBOUND_ISSUER};
    struct pn_fetch_answer got = {.status = 0};
    char words[WORDS_MAX];
    struct pn_buf form, basic;
    enum pn_rc rc;

    pn_buf_init_secret(&form, FORM_MAX);
    pn_buf_init_secret(&basic, BASIC_MAX);
    rc = make_form(issuer, ask, code, verifier, by_basic, &form);
    if (rc == PN_OK && by_basic)
        rc = make_basic(issuer, &basic);
    if (rc == PN_OK && by_basic)
        headers[0] = pn_buf_str(&basic);
    request.form = pn_buf_slice(&form);
    if (rc == PN_OK && (!by_basic || headers[0])) {
        rc = pn_fetch(&request, &got, err);
        if (rc == PN_OK && pn_json_parse(pn_buf_slice(&got.body), answer, NULL) != PN_OK)
            *answer = NULL;
        if (rc == PN_OK && got.status != 200) {
            error_of(*answer, words);
            rc = pn_error_set(err, got.status >= 500 ? PN_UNAVAILABLE : PN_DENIED, "issuer_answer",
                              "the token endpoint of %s answered %d %s", issuer->url, got.status,
                              words);
        }
        pn_fetch_answer_fini(&got);
    }
    pn_buf_fini(&form);
    pn_buf_fini(&basic);
    return rc;
}

static enum pn_rc deny(struct pn_error *err, const char *message)
{
    return pn_error_set(err, PN_DENIED, "id_token", "%s", message);
}

/* OpenID Connect Core §3.1.3.7 */
static enum pn_rc check_id_token(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                                 const struct pn_oidc_sign_in *ask, const struct pn_jwt *jwt,
                                 struct pn_error *err)
{
    const char *const audience = issuer->client_id;
    const json_t *azp = json_object_get(jwt->claims, "azp");
    struct pn_slice nonce = pn_json_slice(jwt->claims, "nonce");
    enum pn_rc rc;

    if (!pn_oidc_says(issuer, pn_json_slice(jwt->claims, "iss")))
        return deny(err, "the ID token is not the issuer's that was asked");
    rc = pn_oidc_check_signature(oidc, issuer->url, jwt, err);
    if (rc == PN_OK)
        rc = pn_jwt_check_times(jwt->claims, oidc->now_s(), err);
    if (rc != PN_OK)
        return rc;
    if (!pn_oidc_has_audience(jwt->claims, &audience, 1) ||
        (azp && !pn_slice_eq_str(pn_json_slice(jwt->claims, "azp"), audience)))
        return deny(err, "the ID token is for another client");
    if (nonce.len == 0 || !pn_equal_constant_time(nonce, pn_slice_str(ask->nonce)))
        return deny(err, "the ID token has another nonce: it was not made for this sign-in");
    return PN_OK;
}

static void take_name(const json_t *claims, char out[128])
{
    static const char *const members[] = {"name", "preferred_username", "email", "sub"};

    out[0] = '\0';
    for (size_t i = 0; !out[0] && i < sizeof members / sizeof members[0]; i++) {
        const char *text = pn_json_str(claims, members[i]);

        if (text && strlen(text) < 128)
            snprintf(out, 128, "%s", text);
    }
}

enum pn_rc pn_oidc_redeem(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                          const struct pn_oidc_sign_in *ask, struct pn_slice code,
                          struct pn_slice code_verifier, struct pn_oidc_person *person,
                          struct pn_error *err)
{
    struct endpoints endpoints = {.takes_basic = false};
    struct pn_jwt jwt = {.header = NULL};
    json_t *answer = NULL;
    enum pn_rc rc = oidc_endpoints(oidc, issuer->url, &endpoints, err);

    memset(person, 0, sizeof *person);
    if (rc == PN_OK)
        rc = ask_token(oidc, issuer, &endpoints, ask, code, code_verifier, &answer, err);
    if (rc == PN_OK)
        rc = pn_jwt_parse(pn_json_slice(answer, "id_token"),
                          (size_t)pn_limit_value(PN_LIMIT_FOREIGN_TOKEN_BYTES), &jwt, err);
    if (rc == PN_LIMIT)
        pn_limit_hit(PN_LIMIT_FOREIGN_TOKEN_BYTES);
    if (rc == PN_MALFORMED || rc == PN_LIMIT)
        rc = deny(err, "the issuer's answer has no ID token");
    if (rc == PN_OK)
        rc = check_id_token(oidc, issuer, ask, &jwt, err);
    if (rc == PN_OK)
        rc = oidc_map(oidc, issuer, jwt.claims, &person->principal, err);
    if (rc == PN_OK)
        take_name(jwt.claims, person->display_name);
    pn_jwt_fini(&jwt);
    json_decref(answer);
    return rc;
}
