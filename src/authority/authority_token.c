/* SPDX-License-Identifier: Apache-2.0
 *
 * The token endpoint (RFC 6749 §3.2, §4.4): who asks, for which audience, and the token.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "http/uri.h"

#define TOKEN_TEXT_MAX (16u * 1024)
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define DEFAULT_SUFFIX "/.default"

/* What the request says; slices live in its arena. */
struct token_form {
    struct pn_slice grant_type, client_id, secret, assertion_type, assertion, scope, resource;
};

enum pn_rc authority_form_field(const struct pn_request *request, const char *name,
                                struct pn_slice *value)
{
    struct pn_slice rest = request->body, raw_name, raw_value, decoded;
    bool found = false;

    *value = (struct pn_slice){NULL, 0};
    while (pn_query_next(&rest, &raw_name, &raw_value)) {
        if (pn_uri_decode(raw_name, true, request->arena, &decoded) != PN_OK)
            return PN_INVALID;
        if (!pn_slice_eq_str(decoded, name))
            continue;
        if (found || pn_uri_decode(raw_value, true, request->arena, value) != PN_OK)
            return PN_INVALID;
        found = true;
    }
    return PN_OK;
}

/* RFC 6749 §2.3.1: both parts are form-encoded before they are joined. */
static enum pn_rc read_basic(const struct pn_request *request, struct token_form *form)
{
    struct pn_slice value = pn_headers_get(&request->headers, "Authorization");
    struct pn_slice text;
    struct pn_buf decoded;
    size_t colon;
    enum pn_rc rc;

    if (!pn_slice_case_starts_with(value, PN_LIT("Basic ")))
        return PN_OK;
    if (form->secret.len > 0 || form->assertion.len > 0)
        return PN_INVALID; /* §2.3: one method per request */
    pn_buf_init_secret(&decoded, TOKEN_TEXT_MAX);
    rc = pn_base64_decode(pn_slice_sub(value, 6, value.len), &decoded);
    text = pn_arena_dup(request->arena, pn_buf_slice(&decoded));
    pn_buf_fini(&decoded);
    colon = pn_slice_find(text, ':');
    if (rc != PN_OK || !text.ptr || colon == text.len)
        return PN_INVALID;
    rc = pn_uri_decode(pn_slice_sub(text, 0, colon), true, request->arena, &form->client_id);
    if (rc == PN_OK)
        rc = pn_uri_decode(pn_slice_sub(text, colon + 1, text.len), true, request->arena,
                           &form->secret);
    return rc;
}

static enum pn_rc read_form(const struct pn_request *request, struct token_form *form)
{
    const struct {
        const char *name;
        struct pn_slice *value;
    } fields[] = {
        {"grant_type", &form->grant_type},      {"client_id", &form->client_id},
        {"client_secret", &form->secret},       {"client_assertion_type", &form->assertion_type},
        {"client_assertion", &form->assertion}, {"scope", &form->scope},
        {"resource", &form->resource},
    };

    memset(form, 0, sizeof *form);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum pn_rc rc = authority_form_field(request, fields[i].name, fields[i].value);

        if (rc != PN_OK)
            return rc;
    }
    return read_basic(request, form);
}

/* The audience: `resource`, or the one scope "<resource>/.default"; exactly that suffix goes away,
 * so that "https://h/msgraph//.default" is "https://h/msgraph/". ptr NULL: there is none. */
struct pn_slice authority_audience_of(struct pn_slice scope, struct pn_slice resource)
{
    struct pn_slice rest = scope, part, none = {NULL, 0};

    if (scope.len == 0)
        return resource;
    while (pn_slice_cut(&rest, ' ', &part)) {
        if (part.len > strlen(DEFAULT_SUFFIX) && pn_slice_ends_with(part, PN_LIT(DEFAULT_SUFFIX)))
            return pn_slice_sub(part, 0, part.len - strlen(DEFAULT_SUFFIX));
    }
    return none;
}

static bool has_origin(struct pn_slice url, struct pn_slice origin)
{
    return origin.len > 0 && pn_slice_case_starts_with(url, origin) &&
           (url.len == origin.len || url.ptr[origin.len] == '/');
}

/* Resources that this authority knows: all of this host, the vault, and the names that clients have
 * for the management plane and for vaults in Azure. */
bool authority_is_known_resource(const struct pn_authority *authority, struct pn_slice audience,
                                 struct pn_slice origin)
{
    static const char *const known[] = {
        "https://management.azure.com", "https://management.core.windows.net",
        "https://vault.azure.net",      "https://graph.microsoft.com",
        "https://graph.windows.net",    NULL,
    };

    if (has_origin(audience, origin) ||
        has_origin(audience, pn_slice_str(authority->control_url)) ||
        has_origin(audience, pn_slice_str(authority->vault_audience)))
        return true;
    for (size_t i = 0; known[i]; i++) {
        if (has_origin(audience, pn_slice_str(known[i])))
            return true;
    }
    return false;
}

static bool is_loopback(const char *peer)
{
    return peer && (strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 ||
                    strncmp(peer, "::ffff:127.", 11) == 0);
}

uint64_t authority_peer_hash(const char *peer)
{
    return pn_slice_hash(pn_slice_str(is_loopback(peer) ? "loopback" : peer));
}

static void respond_refusal(const struct pn_authority *authority, const struct pn_request *request,
                            struct pn_response *response, enum pn_rc rc, const struct pn_error *err)
{
    int aadsts = 7000215;

    if (rc == PN_LIMIT) {
        if (pn_response_header(response, "Retry-After", "%d", PN_SECRET_FAILURE_WINDOW_S) == PN_OK)
            authority_respond_error(authority, request, response, 429, "temporarily_unavailable",
                                    50196, err->message);
        return;
    }
    if (rc == PN_DENIED) {
        uint64_t number;

        if (pn_slice_to_u64(pn_slice_str(err->target), 9999999, &number))
            aadsts = (int)number;
        authority_respond_error(authority, request, response, 401, "invalid_client", aadsts,
                                err->message);
        return;
    }
    authority_respond_error(authority, request, response, 503, "temporarily_unavailable", 90033,
                            "A transient error has occurred. Please try again.");
}

/* Written by hand: a token must not go through JSON's memory. It is base64url and dots only. What
 * Azure's v1 writes as texts AD FS writes as numbers, and az, which signs in at /adfs, adds them.
 */
static enum pn_rc write_answer(struct pn_response *response, const struct pn_buf *token,
                               struct pn_slice audience, int64_t now_s, int64_t expires_s,
                               int version, bool is_adfs)
{
    const char *quote = is_adfs ? "" : "\"";
    struct pn_buf *out = &response->body;
    json_t *resource = pn_json_from_slice(audience);
    enum pn_rc rc;

    pn_buf_clear(out);
    rc = pn_buf_printf(out, "{\"token_type\":\"Bearer\",");
    if (rc == PN_OK && version == 1) {
        rc = pn_buf_printf(out,
                           "\"expires_in\":%s%" PRId64 "%s,\"ext_expires_in\":%s%" PRId64
                           "%s,\"expires_on\":\"%" PRId64 "\",\"not_before\":\"%" PRId64
                           "\",\"resource\":",
                           quote, expires_s - now_s, quote, quote, expires_s - now_s, quote,
                           expires_s, now_s - PN_TOKEN_SKEW_S);
        if (rc == PN_OK)
            rc = resource ? pn_json_dump(resource, out) : PN_NOMEM;
    } else if (rc == PN_OK) {
        rc = pn_buf_printf(out, "\"expires_in\":%" PRId64 ",\"ext_expires_in\":%" PRId64,
                           expires_s - now_s, expires_s - now_s);
    }
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, ",\"access_token\":\"");
    if (rc == PN_OK)
        rc = pn_buf_append_slice(out, pn_buf_slice(token));
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "\"}");
    json_decref(resource);
    return rc;
}

void authority_respond_token(struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response, struct pn_authority_grant *grant,
                             struct pn_slice audience, int version)
{
    struct pn_error err = {0};
    struct pn_buf token;
    int64_t expires_s = 0;
    enum pn_rc rc = PN_NOMEM;

    grant->origin = pn_arena_strdup(request->arena, request->origin);
    grant->audience = pn_arena_strdup(request->arena, audience);
    grant->version = version;
    pn_buf_init_secret(&token, TOKEN_TEXT_MAX);
    if (grant->origin && grant->audience)
        rc = pn_authority_mint(authority, grant, &token, &expires_s, &err);
    if (rc == PN_OK)
        rc = write_answer(response, &token, audience, authority->now_s(), expires_s, version,
                          pn_slice_case_starts_with(request->path, PN_LIT("/adfs/")));
    if (rc == PN_OK)
        rc = pn_response_header(response, "Content-Type", "application/json; charset=utf-8");
    if (rc == PN_OK)
        response->status = 200;
    else
        authority_respond_error(authority, request, response, 503, "temporarily_unavailable", 90033,
                                "The key that signs tokens is not available. Please try again.");
    pn_buf_fini(&token);
}

/* Secret or assertion of a known application. */
static enum pn_rc authenticate(struct pn_authority *authority, const struct pn_request *request,
                               const struct token_form *form, const struct client *client,
                               struct pn_error *err)
{
    if (form->assertion.len == 0)
        return authority_check_secret(authority, client, form->secret, request->peer, err);
    if (authority_is_federated(client, form->assertion))
        return authority_check_federated(
            authority, client->client_id,
            json_object_get(json_object_get(client->body, "internal"), "federated"),
            form->assertion, request->peer, err);
    return authority_check_assertion(authority, client, form->assertion, request->origin,
                                     request->peer, err);
}

/* Refuses what needs no look at the application; true when it answered. */
static bool refuse_form(const struct pn_authority *authority, const struct pn_request *request,
                        struct pn_response *response, const struct token_form *form)
{
    if (!pn_slice_eq_str(form->grant_type, "client_credentials")) {
        authority_respond_error(authority, request, response, 400,
                                form->grant_type.len ? "unsupported_grant_type" : "invalid_request",
                                form->grant_type.len ? 70003 : 900144,
                                form->grant_type.len
                                    ? "The app requested an unsupported grant type. This authority "
                                      "grants 'client_credentials' and, to the portal, "
                                      "'authorization_code'."
                                    : "The request body must contain the following parameter: "
                                      "'grant_type'.");
        return true;
    }
    if (form->client_id.len == 0) {
        authority_respond_error(
            authority, request, response, 400, "invalid_request", 900144,
            "The request body must contain the following parameter: 'client_id'.");
        return true;
    }
    if (form->assertion.len > 0 && !pn_slice_eq_str(form->assertion_type, ASSERTION_TYPE)) {
        authority_respond_error(authority, request, response, 400, "invalid_request", 50027,
                                "client_assertion_type must be '" ASSERTION_TYPE "'.");
        return true;
    }
    if (form->assertion.len == 0 && form->secret.len == 0) {
        authority_respond_error(authority, request, response, 401, "invalid_client", 7000216,
                                "'client_assertion' or 'client_secret' is required for the "
                                "'client_credentials' grant type.");
        return true;
    }
    return false;
}

static void refuse_unknown(const struct pn_authority *authority, const struct pn_request *request,
                           struct pn_response *response, const char *client_id)
{
    struct pn_error told = {0};

    pn_error_set(&told, PN_NOT_FOUND, "unauthorized_client",
                 "Application with identifier '%s' was not found in the directory '%s'.",
                 pn_is_uuid(pn_slice_str(client_id)) ? client_id : "(not a UUID)",
                 authority->tenant_id);
    authority_respond_error(authority, request, response, 400, "unauthorized_client", 700016,
                            told.message);
}

/* The token of somebody who has proved himself. `grant` has who. */
static void answer_token(struct pn_authority *authority, const struct pn_request *request,
                         struct pn_response *response, const struct token_form *form,
                         struct pn_authority_grant *grant, int version)
{
    struct pn_slice audience = authority_audience_of(form->scope, form->resource);

    if (!audience.ptr || audience.len == 0)
        authority_respond_error(
            authority, request, response, 400, "invalid_scope", 1002012,
            "The provided value for scope is not valid. Client credential flows "
            "must have a scope value with /.default suffixed to the resource "
            "identifier (application ID URI).");
    else if (!authority_is_known_resource(authority, audience, request->origin))
        authority_respond_error(
            authority, request, response, 400, "invalid_resource", 500011,
            "The resource principal named by scope or resource was not found in "
            "the tenant. Ask for the management plane's or the vault's address.");
    else
        authority_respond_token(authority, request, response, grant, audience, version);
}

/* A workload that logs in as a user-assigned identity. PN_NOT_FOUND: there is none, nothing was
 * answered. */
static enum pn_rc as_workload(struct pn_authority *authority, const struct pn_request *request,
                              struct pn_response *response, const struct token_form *form,
                              const char *client_id, int version)
{
    struct workload workload;
    struct pn_error err = {0};
    enum pn_rc rc = authority_workload_get(authority, client_id, &workload, &err);

    if (rc == PN_OK)
        rc = authority_check_federated(authority, workload.client_id, workload.credentials,
                                       form->assertion, request->peer, &err);
    if (rc == PN_OK) {
        struct pn_authority_grant grant = {
            .client_id = workload.client_id,
            .object_id = workload.object_id,
            .managed_by = workload.managed_by,
            .by_certificate = true,
        };

        answer_token(authority, request, response, form, &grant, version);
    } else if (rc != PN_NOT_FOUND) {
        respond_refusal(authority, request, response, rc, &err);
    }
    workload_fini(&workload);
    return rc;
}

void authority_handle_token(struct pn_authority *authority, const struct pn_request *request,
                            struct pn_response *response, int version)
{
    struct token_form form;
    struct client client = {0};
    struct pn_error err = {0};
    char client_id[64];
    enum pn_rc rc;

    if (read_form(request, &form) != PN_OK) {
        authority_respond_error(authority, request, response, 400, "invalid_request", 90100,
                                "A parameter is malformed, or is there twice.");
        return;
    }
    if (pn_slice_eq_str(form.grant_type, "authorization_code")) {
        authority_redeem_code(authority, request, response, version);
        return;
    }
    if (refuse_form(authority, request, response, &form))
        return;
    snprintf(client_id, sizeof client_id, "%.*s", PN_FMT(pn_slice_sub(form.client_id, 0, 63)));
    rc = authority_client_get(authority, client_id, &client, &err);
    if (rc == PN_NOT_FOUND) {
        if (form.assertion.len == 0 ||
            as_workload(authority, request, response, &form, client_id, version) == PN_NOT_FOUND)
            refuse_unknown(authority, request, response, client_id);
        return;
    }
    if (rc == PN_OK)
        rc = authenticate(authority, request, &form, &client, &err);
    if (rc != PN_OK) {
        respond_refusal(authority, request, response, rc, &err);
    } else {
        struct pn_authority_grant grant = {
            .client_id = client.client_id,
            .object_id = client.object_id,
            .by_certificate = form.assertion.len > 0,
        };

        answer_token(authority, request, response, &form, &grant, version);
    }
    client_fini(&client);
}
