/* SPDX-License-Identifier: Apache-2.0
 *
 * The authorization endpoint (RFC 6749 §4.1, OpenID Connect Core §3.1.2.1: prompt) and the grant of
 * its codes, for the portal only: PKCE with S256 is demanded, and the one redirect URI is
 * /signin/callback of the origin that was asked.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "http/uri.h"

#define CALLBACK     "/signin/callback"
#define CODE_BYTES   32
#define CODE_TEXT    64
#define VERIFIER_MIN 43 /* RFC 7636 §4.1 */
#define VERIFIER_MAX 128
#define CHALLENGE    43 /* base64url of 32 bytes */
#define STATE_MAX    512
#define LOCATION_MAX 4096

/* The parameters of one request, decoded. */
struct ask {
    struct pn_slice client, redirect, type, scope, state, challenge, method, prompt;
};

static void read_ask(const struct pn_request *request, struct ask *ask)
{
    ask->client = pn_request_query(request, "client_id");
    ask->redirect = pn_request_query(request, "redirect_uri");
    ask->type = pn_request_query(request, "response_type");
    ask->scope = pn_request_query(request, "scope");
    ask->state = pn_request_query(request, "state");
    ask->challenge = pn_request_query(request, "code_challenge");
    ask->method = pn_request_query(request, "code_challenge_method");
    ask->prompt = pn_request_query(request, "prompt");
}

static bool is_our_callback(const struct pn_request *request, struct pn_slice redirect)
{
    return redirect.len == request->origin.len + strlen(CALLBACK) &&
           pn_slice_case_starts_with(redirect, request->origin) &&
           pn_slice_ends_with(redirect, PN_LIT(CALLBACK));
}

/* 302 to the callback with `name`=`value` and the state. */
static void lead_back(const struct pn_request *request, struct pn_response *response,
                      const struct ask *ask, const char *name, struct pn_slice value)
{
    struct pn_buf location;
    enum pn_rc rc;

    pn_buf_init_secret(&location, LOCATION_MAX);
    rc = pn_buf_printf(&location, "%.*s" CALLBACK "?%s=%.*s", PN_FMT(request->origin), name,
                       PN_FMT(value));
    if (rc == PN_OK && ask->state.len > 0)
        rc = pn_buf_append_str(&location, "&state=");
    if (rc == PN_OK && ask->state.len > 0)
        rc = pn_percent_encode(ask->state, &location);
    if (rc == PN_OK)
        rc = pn_response_header(response, "Location", "%.*s", PN_FMT(pn_buf_slice(&location)));
    if (rc == PN_OK)
        rc = pn_response_header(response, "Referrer-Policy", "no-referrer");
    response->status = rc == PN_OK ? 302 : 500;
    pn_buf_fini(&location);
}

static void give_code(struct pn_authority *authority, const struct pn_request *request,
                      struct pn_response *response, const struct ask *ask,
                      const struct session *session, struct pn_slice audience)
{
    struct authorization_code *slot = &authority->codes[0];
    uint8_t random[CODE_BYTES];
    struct pn_buf code;
    enum pn_rc rc;

    pn_buf_init_secret(&code, CODE_TEXT);
    pn_random(random, sizeof random);
    rc = pn_base64url_encode(pn_slice(random, sizeof random), &code);
    pn_wipe(random, sizeof random);
    if (rc != PN_OK) {
        response->status = 500;
        pn_buf_fini(&code);
        return;
    }
    pthread_mutex_lock(&authority->lock);
    for (size_t i = 1; i < PN_AUTHORIZATION_CODES_MAX; i++) {
        if (authority->codes[i].expires_s < slot->expires_s)
            slot = &authority->codes[i];
    }
    pn_sha256(pn_buf_slice(&code), slot->hash);
    snprintf(slot->session, sizeof slot->session, "%s", session->id);
    snprintf(slot->challenge, sizeof slot->challenge, "%.*s", PN_FMT(ask->challenge));
    snprintf(slot->redirect, sizeof slot->redirect, "%.*s", PN_FMT(ask->redirect));
    snprintf(slot->audience, sizeof slot->audience, "%.*s", PN_FMT(audience));
    slot->expires_s = authority->now_s() + PN_AUTHORIZATION_CODE_LIFETIME_S;
    pthread_mutex_unlock(&authority->lock);
    lead_back(request, response, ask, "code", pn_buf_slice(&code));
    pn_buf_fini(&code);
}

/* Without a session: back with an error, or to the page where one signs in. */
static void demand_sign_in(const struct pn_request *request, struct pn_response *response,
                           const struct ask *ask)
{
    if (pn_slice_eq_str(ask->prompt, "none"))
        lead_back(request, response, ask, "error", PN_LIT("login_required"));
    else if (pn_response_header(response, "Location", "/signin") == PN_OK)
        response->status = 302;
    else
        response->status = 500;
}

void authority_handle_authorize(struct pn_authority *authority, const struct pn_request *request,
                                struct pn_response *response)
{
    struct session session = {0};
    struct pn_error err = {0};
    struct pn_slice audience;
    struct ask ask;
    enum pn_rc rc;

    read_ask(request, &ask);
    if (!pn_slice_case_eq_str(ask.client, PN_PORTAL_CLIENT_ID)) {
        authority_respond_error(authority, request, response, 400, "unauthorized_client", 700016,
                                "Only the portal's application gets authorization codes.");
        return;
    }
    /* RFC 6749 §4.1.2.1: nobody is led to an address that is not known. */
    if (!is_our_callback(request, ask.redirect) || ask.redirect.len >= URL_TEXT ||
        ask.state.len > STATE_MAX) {
        authority_respond_error(authority, request, response, 400, "invalid_request", 50011,
                                "redirect_uri must be " CALLBACK " of this server, and state has "
                                "at most 512 bytes.");
        return;
    }
    audience = authority_audience_of(ask.scope, (struct pn_slice){NULL, 0});
    if (!pn_slice_eq_str(ask.type, "code")) {
        lead_back(request, response, &ask, "error", PN_LIT("unsupported_response_type"));
    } else if (!pn_slice_eq_str(ask.method, "S256") || ask.challenge.len != CHALLENGE) {
        lead_back(request, response, &ask, "error", PN_LIT("invalid_request"));
    } else if (audience.len == 0 || audience.len >= URL_TEXT ||
               !authority_is_known_resource(authority, audience, request->origin)) {
        lead_back(request, response, &ask, "error", PN_LIT("invalid_scope"));
    } else {
        rc = authority_session_of(authority, request, &session, &err);
        if (rc == PN_OK)
            give_code(authority, request, response, &ask, &session, audience);
        else if (rc == PN_NOT_FOUND)
            demand_sign_in(request, response, &ask);
        else
            lead_back(request, response, &ask, "error", PN_LIT("temporarily_unavailable"));
    }
}

/* ---- redeeming ------------------------------------------------------------------------------ */

static bool take_code(struct pn_authority *authority, struct pn_slice code,
                      struct authorization_code *taken)
{
    uint8_t hash[PN_SHA256_BYTES];
    bool found = false;

    if (code.len == 0 || code.len > CODE_TEXT)
        return false;
    pn_sha256(code, hash);
    pthread_mutex_lock(&authority->lock);
    for (size_t i = 0; i < PN_AUTHORIZATION_CODES_MAX; i++) {
        struct authorization_code *entry = &authority->codes[i];

        if (entry->expires_s == 0 || !pn_equal_constant_time(pn_slice(hash, sizeof hash),
                                                             pn_slice(entry->hash, sizeof hash)))
            continue;
        found = entry->expires_s > authority->now_s();
        *taken = *entry;
        memset(entry, 0, sizeof *entry);
    }
    pthread_mutex_unlock(&authority->lock);
    return found;
}

/* RFC 7636 §4.6 */
static bool verifier_fits(struct pn_slice verifier, const char *challenge)
{
    uint8_t hash[PN_SHA256_BYTES];
    struct pn_buf text;
    bool fits;

    if (verifier.len < VERIFIER_MIN || verifier.len > VERIFIER_MAX)
        return false;
    pn_sha256(verifier, hash);
    pn_buf_init(&text, CODE_TEXT);
    fits = pn_base64url_encode(pn_slice(hash, sizeof hash), &text) == PN_OK &&
           pn_equal_constant_time(pn_buf_slice(&text), pn_slice_str(challenge));
    pn_buf_fini(&text);
    return fits;
}

void authority_redeem_code(struct pn_authority *authority, const struct pn_request *request,
                           struct pn_response *response, int version)
{
    struct pn_slice client, redirect, code, verifier;
    struct authorization_code taken = {0};
    struct session session = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (authority_form_field(request, "client_id", &client) != PN_OK ||
        authority_form_field(request, "redirect_uri", &redirect) != PN_OK ||
        authority_form_field(request, "code", &code) != PN_OK ||
        authority_form_field(request, "code_verifier", &verifier) != PN_OK) {
        authority_respond_error(authority, request, response, 400, "invalid_request", 90100,
                                "A parameter is malformed, or is there twice.");
        return;
    }
    if (!take_code(authority, code, &taken) || !verifier_fits(verifier, taken.challenge) ||
        !pn_slice_case_eq_str(client, PN_PORTAL_CLIENT_ID) ||
        !pn_slice_eq_str(redirect, taken.redirect)) {
        authority_respond_error(authority, request, response, 400, "invalid_grant", 70008,
                                "The code is unknown, used or expired, or it was given for another "
                                "client, redirect_uri or code_verifier.");
        return;
    }
    rc = authority_session_get(authority, taken.session, &session, &err);
    if (rc != PN_OK) {
        authority_respond_error(authority, request, response, 400, "invalid_grant", 50173,
                                "The session that the code came from has ended.");
        return;
    }
    {
        struct pn_authority_grant grant = {
            .client_id = session.client_id,
            .object_id = session.object_id,
            .by_portal = true,
            .user_name = session.user_name[0] ? session.user_name : NULL,
            .name = session.display_name,
            .is_person = session.issuer[0] != '\0',
            .groups = (const char(*)[40])session.groups,
            .group_count = session.group_count,
            .lifetime_s = PN_PORTAL_TOKEN_LIFETIME_S,
        };

        authority_respond_token(authority, request, response, &grant, pn_slice_str(taken.audience),
                                version);
    }
}
