/* SPDX-License-Identifier: Apache-2.0
 *
 * Which path is which endpoint; discovery documents (OpenID Connect Discovery 1.0 §3); errors.
 *
 * The issuer has the origin that the request used: MSAL for Node refuses any other.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/encode.h"

#define SEGMENTS_MAX 6
#define JSON_MAX     (8u * 1024 * 1024)

bool authority_is_tenant(const struct pn_authority *authority, struct pn_slice tenant)
{
    return pn_slice_case_eq_str(tenant, authority->tenant_id) ||
           pn_slice_case_eq_str(tenant, "common") || pn_slice_case_eq_str(tenant, "organizations");
}

void authority_respond_json(struct pn_response *response, int status, const json_t *json)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init(&text, JSON_MAX);
    rc = json ? pn_json_dump(json, &text) : PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_response_body(response, status, "application/json; charset=utf-8",
                              pn_buf_slice(&text));
    if (rc != PN_OK)
        response->status = 500;
    pn_buf_fini(&text);
}

void authority_respond_error(const struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response, int status, const char *error,
                             int aadsts, const char *message)
{
    char time[PN_TIME_TEXT], description[PN_ERROR_MESSAGE_MAX + 256];
    const char *trace = request->request_id ? request->request_id : "";
    struct pn_slice client_request = pn_headers_get(&request->headers, "client-request-id");
    const char *correlation = trace;
    char correlation_text[PN_UUID_TEXT];
    json_t *json;

    if (pn_is_uuid(client_request)) {
        snprintf(correlation_text, sizeof correlation_text, "%.*s", PN_FMT(client_request));
        correlation = correlation_text;
    }
    pn_time_iso8601(authority->now_s(), time);
    snprintf(description, sizeof description,
             "AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", aadsts, message, trace,
             correlation, time);
    json = json_pack("{s:s, s:s, s:[i], s:s, s:s, s:s}", "error", error, "error_description",
                     description, "error_codes", aadsts, "timestamp", time, "trace_id", trace,
                     "correlation_id", correlation);
    authority_respond_json(response, status, json);
    json_decref(json);
}

enum dialect { DIALECT_V1, DIALECT_V2, DIALECT_ADFS };

static json_t *openid_configuration(const struct pn_authority *authority, const char *origin,
                                    enum dialect dialect)
{
    const char *tenant = dialect == DIALECT_ADFS ? "adfs" : authority->tenant_id;
    const char *version = dialect == DIALECT_V2 ? "/v2.0" : "";
    char issuer[URL_TEXT], base[URL_TEXT], authorize[URL_TEXT * 2], token[URL_TEXT * 2];
    char keys[URL_TEXT * 2], device[URL_TEXT * 2], logout[URL_TEXT * 2];

    snprintf(base, sizeof base, "%s/%s", origin, tenant);
    snprintf(issuer, sizeof issuer, "%s/%s%s", origin, tenant,
             dialect == DIALECT_V2   ? "/v2.0"
             : dialect == DIALECT_V1 ? "/"
                                     : "");
    snprintf(authorize, sizeof authorize, "%s/oauth2%s/authorize", base, version);
    snprintf(token, sizeof token, "%s/oauth2%s/token", base, version);
    snprintf(device, sizeof device, "%s/oauth2%s/devicecode", base, version);
    snprintf(logout, sizeof logout, "%s/oauth2%s/logout", base, version);
    snprintf(keys, sizeof keys, "%s/discovery%s/keys", base, version);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[s,s], s:[s,s], s:[s], s:[s], s:[s,s,s], "
                     "s:[s], s:[s,s], s:[s], s:s, s:n}",
                     "issuer", issuer, "authorization_endpoint", authorize, "token_endpoint", token,
                     "jwks_uri", keys, "device_authorization_endpoint", device,
                     "end_session_endpoint", logout, "response_types_supported", "token", "code",
                     "grant_types_supported", "client_credentials", "authorization_code",
                     "subject_types_supported", "pairwise", "id_token_signing_alg_values_supported",
                     "RS256", "token_endpoint_auth_methods_supported", "client_secret_post",
                     "private_key_jwt", "client_secret_basic", "scopes_supported", "openid",
                     "token_endpoint_auth_signing_alg_values_supported", "RS256", "PS256",
                     "code_challenge_methods_supported", "S256", "cloud_instance_name", "localhost",
                     "tenant_region_scope");
}

static void handle_configuration(const struct pn_authority *authority, const char *origin,
                                 enum dialect dialect, struct pn_response *response)
{
    json_t *json = openid_configuration(authority, origin, dialect);

    authority_respond_json(response, 200, json);
    json_decref(json);
}

static void handle_keys(const struct pn_authority *authority, const char *origin,
                        enum dialect dialect, struct pn_response *response)
{
    char issuer[URL_TEXT + 80];
    json_t *json;

    snprintf(issuer, sizeof issuer, "%s/%s%s", origin,
             dialect == DIALECT_ADFS ? "adfs" : authority->tenant_id,
             dialect == DIALECT_V2   ? "/v2.0"
             : dialect == DIALECT_V1 ? "/"
                                     : "");
    json = authority_jwks(authority, issuer);
    authority_respond_json(response, 200, json);
    json_decref(json);
}

/* Instance discovery: MSAL asks it which hosts are one cloud. */
static void handle_instance(const struct pn_authority *authority, const struct pn_request *request,
                            const char *origin, struct pn_response *response)
{
    char endpoint[URL_TEXT * 2];
    const char *host = pn_arena_strdup(request->arena, request->host);
    json_t *json = NULL;

    snprintf(endpoint, sizeof endpoint, "%s/%s/v2.0/.well-known/openid-configuration", origin,
             authority->tenant_id);
    if (host)
        json = json_pack("{s:s, s:s, s:[{s:s, s:s, s:[s]}]}", "tenant_discovery_endpoint", endpoint,
                         "api-version", "1.1", "metadata", "preferred_network", host,
                         "preferred_cache", host, "aliases", host);
    authority_respond_json(response, 200, json);
    json_decref(json);
}

/* What `az cloud register` and Terraform's metadata_host read. */
static json_t *cloud(const struct pn_authority *authority, const char *origin)
{
    const char *suffix = authority->vault_audience;

    if (strncmp(suffix, "https://", 8) == 0)
        suffix += 8;
    return json_pack("{s:s, s:s, s:{s:s, s:[s,s], s:s, s:s}, s:s, s:s, s:s, s:{s:s}}", "name",
                     "Postern", "resourceManager", origin, "authentication", "loginEndpoint",
                     origin, "audiences", origin, "https://management.azure.com", "tenant",
                     authority->tenant_id, "identityProvider", "AAD", "portal", origin, "graph",
                     origin, "graphAudience", origin, "suffixes", "keyVaultDns", suffix);
}

static void handle_metadata(const struct pn_authority *authority, const struct pn_request *request,
                            const char *origin, struct pn_response *response)
{
    struct pn_slice version = pn_request_query(request, "api-version");
    char login[URL_TEXT + 16], arm[URL_TEXT + 16], graph[URL_TEXT + 16];
    json_t *json;

    snprintf(login, sizeof login, "%s/adfs", origin);
    snprintf(arm, sizeof arm, "%s/arm", origin);
    snprintf(graph, sizeof graph, "%s/graph", origin);
    if (pn_slice_starts_with(version, PN_LIT("2019")) ||
        pn_slice_starts_with(version, PN_LIT("2020")))
        json = json_pack("[o]", cloud(authority, origin));
    else if (version.len > 0 && pn_slice_compare(version, PN_LIT("2021")) > 0)
        json = cloud(authority, origin);
    else
        json = json_pack("{s:s, s:s, s:s, s:{s:s, s:[s,s]}}", "galleryEndpoint", origin,
                         "graphEndpoint", graph, "portalEndpoint", origin, "authentication",
                         "loginEndpoint", login, "audiences", arm, origin);
    authority_respond_json(response, 200, json);
    json_decref(json);
}

static bool is_path(const struct pn_slice *segments, size_t count, const char *const *words)
{
    for (size_t i = 0; i < count; i++) {
        if (!words[i] || !pn_slice_case_eq_str(segments[i], words[i]))
            return false;
    }
    return words[count] == NULL;
}

/* Only `allowed` may pass; false: 405 is answered. */
static bool check_method(const struct pn_authority *authority, const struct pn_request *request,
                         struct pn_response *response, bool is_post)
{
    bool fits = is_post ? pn_slice_eq_str(request->method, "POST")
                        : pn_slice_eq_str(request->method, "GET") ||
                              pn_slice_eq_str(request->method, "HEAD");

    if (fits)
        return true;
    if (pn_response_header(response, "Allow", "%s", is_post ? "POST" : "GET, HEAD") == PN_OK)
        authority_respond_error(authority, request, response, 405, "invalid_request", 900561,
                                is_post ? "The endpoint only accepts POST requests."
                                        : "The endpoint only accepts GET requests.");
    else
        response->status = 500;
    return false;
}

static const struct endpoint {
    const char *words[4]; /* below the tenant */
    enum { CONFIGURATION, KEYS, TOKEN, AUTHORIZE } kind;
    bool is_v2;
} endpoints[] = {
    {{"oauth2", "v2.0", "token"}, TOKEN, true},
    {{"oauth2", "v2.0", "authorize"}, AUTHORIZE, true},
    {{"oauth2", "token"}, TOKEN, false},
    {{"v2.0", ".well-known", "openid-configuration"}, CONFIGURATION, true},
    {{".well-known", "openid-configuration"}, CONFIGURATION, false},
    {{"discovery", "v2.0", "keys"}, KEYS, true},
    {{"discovery", "keys"}, KEYS, false},
};

static void handle_endpoint(struct pn_authority *authority, const struct pn_request *request,
                            const struct endpoint *endpoint, bool is_adfs, const char *origin,
                            struct pn_response *response)
{
    enum dialect dialect = is_adfs ? DIALECT_ADFS : endpoint->is_v2 ? DIALECT_V2 : DIALECT_V1;

    if (!check_method(authority, request, response, endpoint->kind == TOKEN))
        return;
    switch (endpoint->kind) {
    case CONFIGURATION:
        handle_configuration(authority, origin, dialect, response);
        break;
    case KEYS:
        handle_keys(authority, origin, dialect, response);
        break;
    case AUTHORIZE:
        authority_handle_authorize(authority, request, response);
        break;
    case TOKEN:
        authority_handle_token(authority, request, response, dialect == DIALECT_V2 ? 2 : 1);
        break;
    }
}

static void handle_tenant(struct pn_authority *authority, const struct pn_request *request,
                          const struct pn_slice *segments, size_t count, const char *origin,
                          struct pn_response *response)
{
    bool is_adfs = pn_slice_case_eq_str(segments[0], "adfs");

    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        if (count > 4 || !is_path(segments + 1, count - 1, endpoints[i].words))
            continue;
        if (is_adfs || authority_is_tenant(authority, segments[0]))
            handle_endpoint(authority, request, &endpoints[i], is_adfs, origin, response);
        else
            authority_respond_error(
                authority, request, response, 400, "invalid_tenant",
                pn_is_uuid(segments[0]) ? 90002 : 900023,
                pn_is_uuid(segments[0])
                    ? "The tenant in the path was not found. Check to make sure "
                      "you have the correct tenant ID."
                    : "The tenant in the path is neither this authority's tenant "
                      "id nor 'common', 'organizations' or 'adfs'.");
        return;
    }
    authority_respond_error(authority, request, response, 404, "invalid_request", 900561,
                            "There is no such endpoint.");
}

void pn_authority_handle(struct pn_authority *authority, const struct pn_request *request,
                         struct pn_response *response)
{
    static const char *const instance[] = {"common", "discovery", "instance", NULL};
    static const char *const metadata[] = {"metadata", "endpoints", NULL};
    static const char *const graph[] = {"msgraph", "v1.0", NULL};
    struct pn_slice segments[SEGMENTS_MAX];
    char *origin = pn_arena_strdup(request->arena, request->origin);
    size_t count = 0;

    if (!origin || strlen(origin) > URL_TEXT - 128 ||
        pn_response_header(response, "Cache-Control", "no-store") != PN_OK ||
        pn_response_header(response, "Pragma", "no-cache") != PN_OK) {
        response->status = 500;
        return;
    }
    if (pn_request_segments(request, segments, SEGMENTS_MAX, &count) != PN_OK || count == 0) {
        authority_respond_error(authority, request, response, 404, "invalid_request", 900561,
                                "There is no such endpoint.");
        return;
    }
    if (count == 3 && is_path(segments, count, instance)) {
        if (check_method(authority, request, response, false))
            handle_instance(authority, request, origin, response);
    } else if (count == 2 && is_path(segments, count, metadata)) {
        if (check_method(authority, request, response, false))
            handle_metadata(authority, request, origin, response);
    } else if (pn_slice_eq_str(segments[0], "signin-oidc")) {
        authority_handle_foreign(authority, request, segments + 1, count - 1, response);
    } else if (pn_slice_eq_str(segments[0], "signin")) {
        authority_handle_signin(authority, request, segments + 1, count - 1, response);
    } else if ((count == 3 || count == 4) && is_path(segments, 2, graph) &&
               pn_slice_case_eq_str(segments[2], "users")) {
        authority_handle_users(authority, request, count == 4 ? &segments[3] : NULL, response);
    } else if (count == 3 && is_path(segments, 2, graph) &&
               pn_slice_case_eq_str(segments[2], "servicePrincipals")) {
        authority_handle_principals(authority, request, response);
    } else if (count >= 3 && is_path(segments, 2, graph)) {
        authority_handle_directory(authority, request, segments + 2, count - 2, response);
    } else {
        handle_tenant(authority, request, segments, count, origin, response);
    }
}
