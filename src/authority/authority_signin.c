/* SPDX-License-Identifier: Apache-2.0
 *
 * /signin/session: GET tells who is signed in, POST signs in (by a link's code, or by name and
 * password), DELETE signs out. /signin/link: POST with a management token of an application makes
 * a link. A request with the Origin of another site is refused whatever it carries.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

#define CODE_BYTES 32
#define CODE_TEXT  64
#define LINK_MAX   1024

static void answer_error(struct pn_response *response, int status, const char *code,
                         const char *message)
{
    json_t *json = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);

    authority_respond_json(response, status, json);
    json_decref(json);
}

static void answer_failure(struct pn_response *response, enum pn_rc rc, const struct pn_error *err)
{
    if (rc == PN_DENIED) {
        answer_error(response, 401, "InvalidCredentials", err->message);
    } else if (rc == PN_LIMIT) {
        if (pn_response_header(response, "Retry-After", "%d", PN_SECRET_FAILURE_WINDOW_S) == PN_OK)
            answer_error(response, 429, "TooManyRequests", err->message);
    } else if (rc == PN_INVALID || rc == PN_MALFORMED) {
        answer_error(response, 400, "InvalidRequest", err->message);
    } else {
        pn_log_error(PN_LOG_ERROR, "sign_in_failed", err);
        answer_error(response, 503, "ServiceUnavailable", "Nobody can sign in right now.");
    }
}

/* ---- links ---------------------------------------------------------------------------------- */

/* A place for a new link, which the caller fills; with the lock. */
static struct sign_in_link *new_link(struct pn_authority *authority, struct pn_slice code,
                                     int64_t lifetime_s)
{
    struct sign_in_link *slot = &authority->links[0];

    for (size_t i = 1; i < PN_SIGN_IN_LINKS_MAX; i++) {
        if (authority->links[i].expires_s < slot->expires_s)
            slot = &authority->links[i];
    }
    memset(slot, 0, sizeof *slot);
    pn_sha256(code, slot->hash);
    slot->expires_s = authority->now_s() + lifetime_s;
    return slot;
}

static enum pn_rc make_code(struct pn_buf *code)
{
    uint8_t random[CODE_BYTES];
    enum pn_rc rc;

    pn_random(random, sizeof random);
    rc = pn_base64url_encode(pn_slice(random, sizeof random), code);
    pn_wipe(random, sizeof random);
    return rc;
}

enum pn_rc pn_authority_sign_in_link(struct pn_authority *authority, const char *client_id,
                                     const char *origin, struct pn_buf *link, struct pn_error *err)
{
    struct client client = {0};
    struct sign_in_link *slot;
    struct pn_buf code;
    enum pn_rc rc = authority_client_get(authority, client_id, &client, err);

    client_fini(&client);
    if (rc != PN_OK)
        return rc;
    pn_buf_init_secret(&code, CODE_TEXT);
    rc = make_code(&code);
    if (rc == PN_OK)
        rc = pn_buf_printf(link, "%s/signin#code=%.*s", origin ? origin : authority->control_url,
                           PN_FMT(pn_buf_slice(&code)));
    if (rc == PN_OK) {
        pthread_mutex_lock(&authority->lock);
        slot = new_link(authority, pn_buf_slice(&code), PN_SIGN_IN_LINK_LIFETIME_S);
        snprintf(slot->client_id, sizeof slot->client_id, "%s", client_id);
        pthread_mutex_unlock(&authority->lock);
    }
    pn_buf_fini(&code);
    return rc;
}

enum pn_rc authority_foreign_link(struct pn_authority *authority, const struct pn_request *request,
                                  const struct session *session, int64_t lifetime_s,
                                  struct pn_buf *link)
{
    struct sign_in_link *slot;
    struct pn_buf code;
    enum pn_rc rc;

    pn_buf_init_secret(&code, CODE_TEXT);
    rc = make_code(&code);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(link, pn_buf_slice(&code));
    if (rc == PN_OK) {
        pthread_mutex_lock(&authority->lock);
        slot = new_link(authority, pn_buf_slice(&code), lifetime_s);
        slot->person = *session;
        authority_foreign_hash(authority, request, slot->cookie);
        pthread_mutex_unlock(&authority->lock);
    }
    pn_buf_fini(&code);
    return rc;
}

/* Takes the link's code: whoever comes second gets nothing. */
static bool take_link(struct pn_authority *authority, struct pn_slice code,
                      struct sign_in_link *taken)
{
    uint8_t hash[PN_SHA256_BYTES];
    bool found = false;

    if (code.len == 0 || code.len > CODE_TEXT)
        return false;
    pn_sha256(code, hash);
    pthread_mutex_lock(&authority->lock);
    for (size_t i = 0; i < PN_SIGN_IN_LINKS_MAX; i++) {
        struct sign_in_link *link = &authority->links[i];

        if (link->expires_s == 0 ||
            !pn_equal_constant_time(pn_slice(hash, sizeof hash), pn_slice(link->hash, sizeof hash)))
            continue;
        found = link->expires_s > authority->now_s();
        *taken = *link;
        memset(link, 0, sizeof *link);
    }
    pthread_mutex_unlock(&authority->lock);
    return found;
}

/* A person whom another issuer has proved: in the browser that went there, and in no other. */
static enum pn_rc as_person(struct pn_authority *authority, const struct pn_request *request,
                            const struct sign_in_link *link, struct session *session,
                            struct pn_error *err)
{
    static const uint8_t none[PN_SHA256_BYTES];
    uint8_t hash[PN_SHA256_BYTES];

    authority_foreign_hash(authority, request, hash);
    if (memcmp(hash, none, sizeof hash) == 0 ||
        !pn_equal_constant_time(pn_slice(hash, sizeof hash),
                                pn_slice(link->cookie, sizeof link->cookie)))
        return pn_error_set(err, PN_DENIED, "link",
                            "This sign-in was begun in another browser, or took too long.");
    *session = link->person;
    return PN_OK;
}

static enum pn_rc as_application(struct pn_authority *authority, const struct sign_in_link *link,
                                 struct session *session, struct pn_error *err)
{
    struct client client = {0};
    const char *name;
    enum pn_rc rc = authority_client_get(authority, link->client_id, &client, err);

    if (rc == PN_OK) {
        name = pn_json_str(json_object_get(client.body, "properties"), "displayName");
        snprintf(session->client_id, sizeof session->client_id, "%s", link->client_id);
        snprintf(session->object_id, sizeof session->object_id, "%s", client.object_id);
        snprintf(session->display_name, sizeof session->display_name, "%s",
                 name ? name : session->client_id);
    }
    client_fini(&client);
    return rc;
}

static enum pn_rc by_link(struct pn_authority *authority, const struct pn_request *request,
                          struct pn_slice code, struct session *session, struct pn_error *err)
{
    uint64_t key = authority_peer_hash(request->peer) * 31 + 2;
    struct sign_in_link link = {.expires_s = 0};

    if (authority_is_limited(authority, key, PN_PEER_FAILURES_MAX))
        return pn_error_set(err, PN_LIMIT, "links", "Too many wrong links were tried. Wait.");
    if (!take_link(authority, code, &link)) {
        authority_count_failure(authority, key);
        return pn_error_set(err, PN_DENIED, "link",
                            "This link has been used already, is older than an hour, or was made "
                            "before a restart. `postern portal` prints a new one.");
    }
    return link.client_id[0] ? as_application(authority, &link, session, err)
                             : as_person(authority, request, &link, session, err);
}

static void handle_link(struct pn_authority *authority, const struct pn_request *request,
                        struct pn_response *response)
{
    struct pn_principal principal;
    struct client client = {0};
    struct pn_error err = {0};
    struct pn_buf link, text;
    const char *origin = pn_arena_strdup(request->arena, request->origin);
    enum pn_rc rc;

    if (!authority_directory_caller(authority, request, response, &principal))
        return;
    rc = authority_client_get(authority, principal.app_id, &client, &err);
    if (rc != PN_OK || !pn_slice_case_eq_str(pn_slice_str(client.object_id), principal.object_id)) {
        client_fini(&client);
        answer_error(response, 403, "AuthorizationFailed",
                     "Only an application that logged in with its own secret or certificate may "
                     "make a sign-in link, and it signs in as that application.");
        return;
    }
    client_fini(&client);
    pn_buf_init_secret(&link, LINK_MAX);
    pn_buf_init_secret(&text, LINK_MAX + 128);
    rc = pn_authority_sign_in_link(authority, principal.app_id, origin, &link, &err);
    /* A link is an origin and base64url: nothing in it needs an escape in JSON. */
    if (rc == PN_OK)
        rc = pn_buf_printf(&text, "{\"url\":\"%.*s\",\"expiresInSeconds\":%d}",
                           PN_FMT(pn_buf_slice(&link)), PN_SIGN_IN_LINK_LIFETIME_S);
    if (rc == PN_OK)
        rc =
            pn_response_body(response, 201, "application/json; charset=utf-8", pn_buf_slice(&text));
    if (rc != PN_OK)
        answer_failure(response, rc, &err);
    pn_buf_fini(&link);
    pn_buf_fini(&text);
}

/* ---- sessions ------------------------------------------------------------------------------- */

static enum pn_rc by_password(struct pn_authority *authority, const json_t *body, const char *peer,
                              struct session *session, struct pn_error *err)
{
    struct user user = {0};
    enum pn_rc rc = authority_check_password(authority, pn_json_slice(body, "userName"),
                                             pn_json_slice(body, "password"), peer, &user, err);

    if (rc == PN_OK) {
        session->epoch = user.sessions_epoch;
        snprintf(session->user_name, sizeof session->user_name, "%s", user.name);
        snprintf(session->display_name, sizeof session->display_name, "%s", user.display_name);
        snprintf(session->client_id, sizeof session->client_id, "%s", PN_PORTAL_CLIENT_ID);
        snprintf(session->object_id, sizeof session->object_id, "%s", user.object_id);
    }
    user_fini(&user);
    return rc;
}

static void sign_in(struct pn_authority *authority, const struct pn_request *request,
                    struct pn_response *response)
{
    struct session session = {0};
    struct pn_error err = {0};
    json_t *body = NULL;
    struct pn_buf key, text;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    pn_buf_init_secret(&key, CODE_TEXT);
    pn_buf_init_secret(&text, LINK_MAX);
    if (rc == PN_OK && json_object_get(body, "code"))
        rc = by_link(authority, request, pn_json_slice(body, "code"), &session, &err);
    else if (rc == PN_OK)
        rc = by_password(authority, body, request->peer, &session, &err);
    if (rc == PN_OK)
        rc = authority_session_begin(authority, &session, response, &key, &err);
    if (rc == PN_OK && session.issuer[0])
        authority_foreign_done(response);
    if (rc == PN_OK)
        rc = pn_buf_printf(&text, "{\"sessionKey\":\"%.*s\"}", PN_FMT(pn_buf_slice(&key)));
    if (rc == PN_OK)
        rc =
            pn_response_body(response, 201, "application/json; charset=utf-8", pn_buf_slice(&text));
    if (rc != PN_OK)
        answer_failure(response, rc, &err);
    json_decref(body);
    pn_buf_fini(&key);
    pn_buf_fini(&text);
}

static void sign_out(struct pn_authority *authority, const struct pn_request *request,
                     struct pn_response *response)
{
    struct session session = {0};
    struct pn_error err = {0};
    enum pn_rc rc = authority_session_of(authority, request, &session, &err);

    if (rc == PN_OK)
        rc = authority_session_end(authority, session.id, &err);
    if ((rc == PN_OK || rc == PN_NOT_FOUND) &&
        pn_response_header(response, "Set-Cookie",
                           SESSION_COOKIE "=; Path=/; Max-Age=0; Secure; HttpOnly; "
                                          "SameSite=Strict") == PN_OK)
        response->status = 204;
    else
        answer_failure(response, rc, &err);
}

static json_t *session_json(const struct session *session)
{
    char expires[PN_TIME_TEXT];

    pn_time_iso8601(session->expires_s, expires);
    return json_pack("{s:s, s:s*, s:s, s:s}", "displayName", session->display_name, "userName",
                     session->user_name[0] ? session->user_name : NULL, "objectId",
                     session->object_id, "expiresOn", expires);
}

static void tell(struct pn_authority *authority, const struct pn_request *request,
                 struct pn_response *response)
{
    struct session session = {0};
    struct pn_error err = {0};
    enum pn_rc rc = authority_session_of(authority, request, &session, &err);
    json_t *json;

    if (rc != PN_OK && rc != PN_NOT_FOUND) {
        answer_failure(response, rc, &err);
        return;
    }
    json = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:o, s:o*}", "tenantId", authority->tenant_id,
                     "clientId", PN_PORTAL_CLIENT_ID, "vaultAudience", authority->vault_audience,
                     "version", PN_VERSION, "clientAddress", request->peer, "issuers",
                     authority_issuers_json(authority), "session",
                     rc == PN_OK ? session_json(&session) : NULL);
    authority_respond_json(response, 200, json);
    json_decref(json);
}

/* Browsers send Origin with every request that changes something (Fetch §3.2). */
static bool is_from_elsewhere(const struct pn_request *request)
{
    struct pn_slice origin = pn_headers_get(&request->headers, "Origin");
    struct pn_slice site = pn_headers_get(&request->headers, "Sec-Fetch-Site");

    return (origin.ptr && !pn_slice_case_eq(origin, request->origin)) ||
           (site.ptr && !pn_slice_eq_str(site, "same-origin") && !pn_slice_eq_str(site, "none"));
}

void authority_handle_signin(struct pn_authority *authority, const struct pn_request *request,
                             const struct pn_slice *segments, size_t count,
                             struct pn_response *response)
{
    bool is_get = pn_slice_eq_str(request->method, "GET");
    bool is_post = pn_slice_eq_str(request->method, "POST");

    if (count == 1 && is_get && pn_slice_eq_str(segments[0], "callback")) {
        response->status = 204; /* the page reads the code from the address it was led to */
    } else if (count != 1 || (!pn_slice_eq_str(segments[0], "session") &&
                              !pn_slice_eq_str(segments[0], "link"))) {
        answer_error(response, 404, "NotFound", "There is /signin/session and /signin/link.");
    } else if (is_from_elsewhere(request)) {
        answer_error(response, 403, "CrossOrigin", "Another site may not do this.");
    } else if (pn_slice_eq_str(segments[0], "link")) {
        if (is_post)
            handle_link(authority, request, response);
        else
            answer_error(response, 405, "MethodNotAllowed", "A link is made by POST.");
    } else if (is_get) {
        tell(authority, request, response);
    } else if (is_post) {
        sign_in(authority, request, response);
    } else if (pn_slice_eq_str(request->method, "DELETE")) {
        sign_out(authority, request, response);
    } else {
        answer_error(response, 405, "MethodNotAllowed", "A session takes GET, POST and DELETE.");
    }
}
