/* SPDX-License-Identifier: Apache-2.0
 *
 * Signing in to the portal by a trusted issuer (OpenID Connect Core §3.1, RFC 7636):
 *
 *   GET /signin-oidc/{n}        makes a cookie, leads to the issuer
 *   GET /signin-oidc/callback   the issuer leads back here: code ──▶ ID token ──▶ one-time link
 *   /signin#code=…              the page takes the link's code, as of any other link
 *
 * Nothing is kept while somebody is at the issuer. State, nonce and code verifier are MACs of the
 * cookie's value under a key of this process, so the cookie alone (which other ports of this host
 * may see) gives none of them, and a callback that another browser began fits no cookie. The link
 * is good for the browser that has the cookie.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "http/uri.h"
#include "oidc/oidc.h"

#define COOKIE        "__Host-postern-oidc"
#define CALLBACK      "/signin-oidc/callback"
#define LIFETIME_S    600
#define LINK_S        60
#define RANDOM_BYTES  32
#define MAC_TEXT      48 /* base64url of 32 bytes, with NUL */
#define COOKIE_MAX    128
#define LOCATION_MAX  8192
#define CODE_MAX      4096
#define ISSUERS_LIMIT 10 /* one digit in a state */

/* What hangs together in one sign-in. */
struct attempt {
    size_t issuer;
    char redirect[URL_TEXT];
    char state[MAC_TEXT + 8], nonce[MAC_TEXT], verifier[MAC_TEXT], challenge[MAC_TEXT];
};

/* base64url(HMAC-SHA-256(key of this process, what \n issuer \n redirect \n cookie)). */
static enum pn_rc derive(const struct pn_authority *authority, const char *what,
                         const struct attempt *attempt, struct pn_slice cookie, char out[MAC_TEXT])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t mac_len = 0;
    struct pn_buf text, encoded;
    enum pn_rc rc;

    pn_buf_init_secret(&text, URL_TEXT + COOKIE_MAX + 64);
    pn_buf_init_secret(&encoded, MAC_TEXT - 1);
    rc = pn_buf_printf(&text, "%s\n%zu\n%s\n%.*s", what, attempt->issuer, attempt->redirect,
                       PN_FMT(cookie));
    if (rc == PN_OK && !EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, authority->sign_in_key,
                                  sizeof authority->sign_in_key, (const unsigned char *)text.ptr,
                                  text.len, mac, sizeof mac, &mac_len))
        rc = PN_INTERNAL;
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_slice(mac, mac_len), &encoded);
    if (rc == PN_OK)
        snprintf(out, MAC_TEXT, "%.*s", PN_FMT(pn_buf_slice(&encoded)));
    pn_wipe(mac, sizeof mac);
    pn_buf_fini(&text);
    pn_buf_fini(&encoded);
    return rc;
}

static enum pn_rc make_challenge(struct attempt *attempt)
{
    uint8_t hash[PN_SHA256_BYTES];
    struct pn_buf text;
    enum pn_rc rc;

    pn_sha256(pn_slice_str(attempt->verifier), hash);
    pn_buf_init(&text, MAC_TEXT - 1);
    rc = pn_base64url_encode(pn_slice(hash, sizeof hash), &text);
    if (rc == PN_OK)
        snprintf(attempt->challenge, sizeof attempt->challenge, "%.*s",
                 PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    return rc;
}

/* Fills in all but issuer. */
static enum pn_rc make_attempt(const struct pn_authority *authority,
                               const struct pn_request *request, struct pn_slice cookie,
                               struct attempt *attempt)
{
    char mac[MAC_TEXT];
    enum pn_rc rc;

    if (request->origin.len + sizeof CALLBACK > sizeof attempt->redirect)
        return PN_LIMIT;
    snprintf(attempt->redirect, sizeof attempt->redirect, "%.*s" CALLBACK, PN_FMT(request->origin));
    rc = derive(authority, "state", attempt, cookie, mac);
    if (rc == PN_OK)
        snprintf(attempt->state, sizeof attempt->state, "%zu.%s", attempt->issuer, mac);
    if (rc == PN_OK)
        rc = derive(authority, "nonce", attempt, cookie, attempt->nonce);
    if (rc == PN_OK)
        rc = derive(authority, "verifier", attempt, cookie, attempt->verifier);
    return rc == PN_OK ? make_challenge(attempt) : rc;
}

static const struct pn_trusted_issuer *issuer_of(const struct pn_authority *authority, size_t i)
{
    const struct pn_trusted_issuer *issuer =
        i < ISSUERS_LIMIT ? pn_oidc_trusted(authority->oidc, i) : NULL;

    return issuer && issuer->client_id[0] ? issuer : NULL;
}

json_t *authority_issuers_json(const struct pn_authority *authority)
{
    json_t *list = json_array();

    for (size_t i = 0; i < PN_OIDC_TRUSTED_MAX; i++) {
        const struct pn_trusted_issuer *issuer = issuer_of(authority, i);

        if (issuer)
            json_array_append_new(list, json_pack("{s:s, s:o}", "name", issuer->name, "path",
                                                  json_sprintf("/signin-oidc/%zu", i)));
    }
    return list;
}

/* ---- cookies and redirections ---- */

struct pn_slice authority_cookie(const struct pn_request *request, const char *name)
{
    struct pn_slice rest = pn_headers_get(&request->headers, "Cookie");
    struct pn_slice part;

    while (pn_slice_cut(&rest, ';', &part)) {
        struct pn_slice pair = pn_slice_trim(part);
        size_t at = pn_slice_find(pair, '=');

        if (at < pair.len && pn_slice_eq_str(pn_slice_sub(pair, 0, at), name))
            return pn_slice_sub(pair, at + 1, pair.len);
    }
    return (struct pn_slice){NULL, 0};
}

/* The cookie's value, if it is ours and not too old: "{random}.{when it ends}". */
static struct pn_slice cookie_of(const struct pn_authority *authority,
                                 const struct pn_request *request)
{
    struct pn_slice cookie = authority_cookie(request, COOKIE);
    size_t dot = pn_slice_find(cookie, '.');
    uint64_t ends;

    if (!cookie.ptr || cookie.len > COOKIE_MAX || dot < 40 || dot == cookie.len ||
        !pn_slice_to_u64(pn_slice_sub(cookie, dot + 1, cookie.len), INT64_MAX, &ends) ||
        (int64_t)ends <= authority->now_s() || (int64_t)ends > authority->now_s() + LIFETIME_S)
        return (struct pn_slice){NULL, 0};
    return cookie;
}

void authority_foreign_hash(const struct pn_authority *authority, const struct pn_request *request,
                            uint8_t hash[PN_SHA256_BYTES])
{
    struct pn_slice cookie = cookie_of(authority, request);

    memset(hash, 0, PN_SHA256_BYTES);
    if (cookie.ptr)
        pn_sha256(cookie, hash);
}

void authority_foreign_done(struct pn_response *response)
{
    if (pn_response_header(response, "Set-Cookie",
                           COOKIE "=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax") != PN_OK)
        pn_log(PN_LOG_WARN, "header_dropped", "header", PN_S("Set-Cookie"), NULL);
}

static void lead(struct pn_response *response, struct pn_slice location)
{
    enum pn_rc rc = pn_response_header(response, "Location", "%.*s", PN_FMT(location));

    if (rc == PN_OK)
        rc = pn_response_header(response, "Referrer-Policy", "no-referrer");
    response->status = rc == PN_OK ? 302 : 500;
}

/* Back to the page, which has the sentence for each word. */
static void fail(struct pn_response *response, const struct pn_request *request, const char *word,
                 const struct pn_error *err)
{
    char location[64];

    pn_log(PN_LOG_WARN, "sign_in_refused", "reason", PN_S(word), "code", PN_S(err ? err->code : ""),
           "cause", PN_S(err ? err->message : ""), "peer", PN_S(request->peer), NULL);
    snprintf(location, sizeof location, "/signin#problem=%s", word);
    lead(response, pn_slice_str(location));
}

/* ---- there ---- */

static void begin(struct pn_authority *authority, const struct pn_request *request, size_t number,
                  struct pn_response *response)
{
    const struct pn_trusted_issuer *issuer = issuer_of(authority, number);
    struct attempt attempt = {.issuer = number};
    struct pn_oidc_sign_in ask = {.redirect_uri = attempt.redirect,
                                  .state = attempt.state,
                                  .nonce = attempt.nonce,
                                  .code_challenge = attempt.challenge};
    uint8_t random[RANDOM_BYTES];
    struct pn_error err = {0};
    struct pn_buf cookie, url;
    enum pn_rc rc;

    if (!issuer) {
        fail(response, request, "unknown", NULL);
        return;
    }
    pn_buf_init_secret(&cookie, COOKIE_MAX);
    pn_buf_init_secret(&url, LOCATION_MAX);
    pn_random(random, sizeof random);
    rc = pn_base64url_encode(pn_slice(random, sizeof random), &cookie);
    pn_wipe(random, sizeof random);
    if (rc == PN_OK)
        rc = pn_buf_printf(&cookie, ".%" PRId64, authority->now_s() + LIFETIME_S);
    if (rc == PN_OK)
        rc = make_attempt(authority, request, pn_buf_slice(&cookie), &attempt);
    if (rc == PN_OK)
        rc = pn_oidc_authorize_url(authority->oidc, issuer, &ask, &url, &err);
    if (rc == PN_OK)
        rc = pn_response_header(response, "Set-Cookie",
                                COOKIE "=%.*s; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Lax",
                                PN_FMT(pn_buf_slice(&cookie)), LIFETIME_S);
    if (rc == PN_OK)
        lead(response, pn_buf_slice(&url));
    else
        fail(response, request, "unavailable", &err);
    pn_buf_fini(&cookie);
    pn_buf_fini(&url);
}

/* ---- and back ---- */

static void take_person(const struct pn_oidc_person *person, const struct pn_trusted_issuer *issuer,
                        struct session *session)
{
    memset(session, 0, sizeof *session);
    snprintf(session->object_id, sizeof session->object_id, "%s", person->principal.object_id);
    snprintf(session->display_name, sizeof session->display_name, "%s",
             person->display_name[0] ? person->display_name : person->principal.object_id);
    snprintf(session->client_id, sizeof session->client_id, "%s", PN_PORTAL_CLIENT_ID);
    snprintf(session->issuer, sizeof session->issuer, "%s", issuer->url);
    memcpy(session->groups, person->principal.groups, sizeof session->groups);
    session->group_count = person->principal.group_count;
}

static void finish(struct pn_authority *authority, const struct pn_request *request,
                   const struct attempt *attempt, struct pn_slice code,
                   struct pn_response *response)
{
    const struct pn_trusted_issuer *issuer = issuer_of(authority, attempt->issuer);
    const struct pn_oidc_sign_in ask = {.redirect_uri = attempt->redirect,
                                        .state = attempt->state,
                                        .nonce = attempt->nonce,
                                        .code_challenge = attempt->challenge};
    struct pn_oidc_person person;
    struct session session;
    struct pn_error err = {0};
    struct pn_buf link;
    enum pn_rc rc = pn_oidc_redeem(authority->oidc, issuer, &ask, code,
                                   pn_slice_str(attempt->verifier), &person, &err);

    if (rc != PN_OK) {
        fail(response, request, rc == PN_DENIED ? "refused" : "unavailable", &err);
        return;
    }
    take_person(&person, issuer, &session);
    pn_buf_init_secret(&link, LOCATION_MAX);
    rc = pn_buf_append_str(&link, "/signin#code=");
    if (rc == PN_OK)
        rc = authority_foreign_link(authority, request, &session, LINK_S, &link);
    if (rc == PN_OK)
        lead(response, pn_buf_slice(&link));
    else
        fail(response, request, "unavailable", &err);
    pn_buf_fini(&link);
}

static void come_back(struct pn_authority *authority, const struct pn_request *request,
                      struct pn_response *response)
{
    struct pn_slice state = pn_request_query(request, "state");
    struct pn_slice code = pn_request_query(request, "code");
    struct pn_slice error = pn_request_query(request, "error");
    struct pn_slice issuer = pn_request_query(request, "iss");
    struct pn_slice cookie = cookie_of(authority, request);
    struct attempt attempt = {.issuer = ISSUERS_LIMIT};

    if (state.len > 2 && state.ptr[0] >= '0' && state.ptr[0] <= '9' && state.ptr[1] == '.')
        attempt.issuer = (size_t)(state.ptr[0] - '0');
    if (!cookie.ptr || !issuer_of(authority, attempt.issuer) ||
        make_attempt(authority, request, cookie, &attempt) != PN_OK ||
        !pn_equal_constant_time(state, pn_slice_str(attempt.state)))
        fail(response, request, "expired", NULL);
    else if (issuer.ptr && !pn_oidc_says(issuer_of(authority, attempt.issuer), issuer))
        fail(response, request, "refused", NULL); /* RFC 9207 §2.4: another issuer's answer */
    else if (pn_slice_eq_str(error, "access_denied"))
        fail(response, request, "cancelled", NULL);
    else if (code.len == 0 || code.len > CODE_MAX)
        fail(response, request, "refused", NULL);
    else
        finish(authority, request, &attempt, code, response);
    pn_wipe(&attempt, sizeof attempt);
}

void authority_handle_foreign(struct pn_authority *authority, const struct pn_request *request,
                              const struct pn_slice *segments, size_t count,
                              struct pn_response *response)
{
    struct pn_slice site = pn_headers_get(&request->headers, "Sec-Fetch-Site");
    uint64_t number;

    if (count != 1 || !pn_slice_eq_str(request->method, "GET"))
        authority_directory_error(response, count != 1 ? 404 : 405, "NotFound",
                                  "There is GET /signin-oidc/{number} and its callback.");
    else if (pn_slice_eq_str(segments[0], "callback"))
        come_back(authority, request, response);
    else if (!pn_slice_to_u64(segments[0], ISSUERS_LIMIT - 1, &number))
        fail(response, request, "unknown", NULL);
    else if (site.ptr && !pn_slice_eq_str(site, "same-origin") && !pn_slice_eq_str(site, "none"))
        authority_directory_error(response, 403, "CrossOrigin", "Another site may not do this.");
    else
        begin(authority, request, (size_t)number, response);
}
