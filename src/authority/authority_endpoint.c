/* SPDX-License-Identifier: Apache-2.0
 *
 * The managed-identity endpoint for applications beside the gateway: the protocols of Azure's
 * instance metadata service (/metadata/identity/oauth2/token) and of App Service (/msi/token).
 * See authority.h and docs/adr/0221-identity-endpoint.md.
 *
 * Against requests that somebody else makes us or a neighbour send (SSRF): the header Metadata or
 * X-IDENTITY-HEADER, which no link or form can send; no X-Forwarded-For, which proxies add; no
 * Origin, which browsers add; and a Host that is this machine, which a rebound name is not.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/store.h"

#define WINDOW_S       10
#define RESOURCE_MAX   512
#define FORM_TYPE      "application/x-www-form-urlencoded"
#define TOKEN_TEXT_MAX (16u * 1024)

#define HEADER_BYTES    32
#define HEADER_TEXT_MIN 32
#define HEADER_TEXT_MAX 1024

enum protocol {
    IMDS,          /* GET, Metadata: true */
    CLOUD_SHELL,   /* POST of a form, Metadata: true */
    APP_SERVICE,   /* X-IDENTITY-HEADER */
    APP_SERVICE_17 /* 2017-09-01: the header is called secret */
};

struct ask {
    enum protocol protocol;
    struct pn_slice resource, client_id, object_id, resource_id;
};

/* ---- answers ---- */

static void answer_error(const struct ask *ask, const struct pn_request *request,
                         struct pn_response *response, int status, const char *error,
                         const char *message)
{
    json_t *json = ask->protocol == APP_SERVICE || ask->protocol == APP_SERVICE_17
                       ? json_pack("{s:i, s:s, s:s}", "statusCode", status, "message", message,
                                   "correlationId", request->request_id)
                       : json_pack("{s:s, s:s}", "error", error, "error_description", message);

    pn_metric_add(PN_METRIC_ENDPOINT_REFUSED, 1);
    pn_log(PN_LOG_WARN, "identity_endpoint_refused", "status", PN_I(status), "cause", PN_S(message),
           "peer", PN_S(request->peer), NULL);
    authority_respond_json(response, status, json);
    json_decref(json);
}

/* By hand: a token must not go through JSON's memory. Everything in it needs no escape but the
 * resource. Numbers are texts, as Azure has them. */
static enum pn_rc write_token(struct pn_response *response, const struct ask *ask,
                              const struct pn_authority_grant *grant, const struct pn_buf *token,
                              int64_t now_s, int64_t expires_s)
{
    struct pn_buf *out = &response->body;
    json_t *resource = json_string(grant->audience);
    enum pn_rc rc = resource ? PN_OK : PN_NOMEM;

    pn_buf_clear(out);
    if (rc == PN_OK)
        rc = pn_buf_printf(
            out,
            "{\"token_type\":\"Bearer\",\"client_id\":\"%s\",\"expires_on\":\"%" PRId64
            "\",\"resource\":",
            grant->client_id, expires_s);
    if (rc == PN_OK)
        rc = pn_json_dump(resource, out);
    if (rc == PN_OK && (ask->protocol == IMDS || ask->protocol == CLOUD_SHELL))
        rc = pn_buf_printf(out,
                           ",\"expires_in\":\"%" PRId64 "\",\"ext_expires_in\":\"%" PRId64
                           "\",\"not_before\":\"%" PRId64 "\"",
                           expires_s - now_s, expires_s - now_s, now_s - PN_TOKEN_SKEW_S);
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, ",\"access_token\":\"");
    if (rc == PN_OK)
        rc = pn_buf_append_slice(out, pn_buf_slice(token));
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "\"}");
    if (rc == PN_OK)
        rc = pn_response_header(response, "Content-Type", "application/json; charset=utf-8");
    json_decref(resource);
    return rc;
}

/* ---- what is asked ---- */

/* "127." and digits and dots. */
static bool is_loopback_text(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '.' && (name.ptr[i] < '0' || name.ptr[i] > '9'))
            return false;
    }
    return pn_slice_starts_with(name, PN_LIT("127.")) && name.len <= 15;
}

static bool is_this_machine(struct pn_slice host)
{
    struct pn_slice name = host;

    if (name.len > 0 && name.ptr[0] == '[')
        return pn_slice_starts_with(name, PN_LIT("[::1]")) && (name.len == 5 || name.ptr[5] == ':');
    name.len = pn_slice_find(name, ':');
    return pn_slice_case_eq_str(name, "localhost") || pn_slice_eq_str(name, "169.254.169.254") ||
           (name.len > 10 &&
            pn_slice_case_eq_str(pn_slice_sub(name, name.len - 10, name.len), ".localhost")) ||
           is_loopback_text(name);
}

/* Why nobody may be answered; NULL: fine. */
static const char *forgery(const struct pn_request *request)
{
    static const char *const of_proxies[] = {"X-Forwarded-For", "Forwarded", "X-Forwarded-Host",
                                             "Via", NULL};

    for (size_t i = 0; of_proxies[i]; i++) {
        if (pn_headers_get(&request->headers, of_proxies[i]).ptr)
            return "Requests that came by a proxy (X-Forwarded-For) are not answered.";
    }
    if (pn_headers_get(&request->headers, "Origin").ptr ||
        pn_headers_get(&request->headers, "Sec-Fetch-Site").ptr)
        return "Browsers are not answered.";
    if (strcmp(request->peer, "unix") != 0 && !is_this_machine(request->host))
        return "The Host must be localhost, a loopback address or 169.254.169.254.";
    return NULL;
}

static enum pn_rc read_field(const struct pn_request *request, bool is_form, const char *name,
                             struct pn_slice *value)
{
    struct pn_slice found = {NULL, 0};

    if (is_form) {
        enum pn_rc rc = authority_form_field(request, name, &found);

        if (rc != PN_OK)
            return rc;
    } else {
        found = pn_request_query(request, name);
    }
    if (!found.ptr || found.len == 0)
        return PN_OK;
    if (value->ptr || found.len > RESOURCE_MAX)
        return PN_INVALID;
    *value = found;
    return PN_OK;
}

/* All names that Azure's services have for the same. */
static enum pn_rc read_ask(const struct pn_request *request, struct ask *ask)
{
    const struct {
        const char *name;
        struct pn_slice *value;
    } fields[] = {
        {"resource", &ask->resource},      {"client_id", &ask->client_id},
        {"clientid", &ask->client_id},     {"object_id", &ask->object_id},
        {"principal_id", &ask->object_id}, {"msi_res_id", &ask->resource_id},
        {"mi_res_id", &ask->resource_id},
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum pn_rc rc =
            read_field(request, ask->protocol == CLOUD_SHELL, fields[i].name, fields[i].value);

        if (rc != PN_OK)
            return rc;
    }
    return (ask->client_id.ptr != NULL) + (ask->object_id.ptr != NULL) +
                       (ask->resource_id.ptr != NULL) >
                   1
               ? PN_INVALID
               : PN_OK;
}

/* ---- whose token ---- */

static bool is_assigned(const struct pn_identity_endpoint *endpoint, const char *name)
{
    for (size_t i = 0; i < endpoint->identity_count; i++) {
        if (name && pn_slice_case_eq_str(pn_slice_str(endpoint->identities[i]), name))
            return true;
    }
    return false;
}

struct search {
    const struct ask *ask;
    struct pn_authority_grant *grant;
    size_t found;
};

/* An identity that this endpoint gives: is it the one that is asked for? */
static void consider(struct search *search, const char *client_id, const char *object_id,
                     const char *resource_id)
{
    const struct ask *ask = search->ask;

    if ((ask->client_id.ptr && !pn_slice_case_eq_str(ask->client_id, client_id)) ||
        (ask->object_id.ptr && !pn_slice_case_eq_str(ask->object_id, object_id)) ||
        (ask->resource_id.ptr &&
         (!resource_id || !pn_slice_case_eq_str(ask->resource_id, resource_id))))
        return;
    search->found++;
    search->grant->client_id = client_id;
    search->grant->object_id = object_id;
    search->grant->managed_by = resource_id;
}

/* Without a selector the system-assigned identity comes before all others. A token of it names no
 * resource: whoever asks here is beside the gateway, and is not the service that a vault's firewall
 * trusts. */
static enum pn_rc choose(const struct pn_identity_endpoint *endpoint, const json_t *service,
                         const struct ask *ask, struct pn_authority_grant *grant,
                         struct pn_error *err)
{
    struct search search = {.ask = ask, .grant = grant};
    const json_t *identity = json_object_get(service, "identity");
    const char *object_id = NULL, *client_id = NULL, *id;
    json_t *entry;

    if (is_assigned(endpoint, "system") &&
        authority_system_identity(service, &object_id, &client_id))
        consider(&search, client_id, object_id, NULL);
    if (search.found > 0)
        return PN_OK;
    if (authority_identity_is_on(identity, "UserAssigned")) {
        json_object_foreach(json_object_get(identity, "userAssignedIdentities"), id, entry)
        {
            client_id = pn_json_str(entry, "clientId");
            object_id = pn_json_str(entry, "principalId");
            if (client_id && object_id &&
                (is_assigned(endpoint, id) || is_assigned(endpoint, client_id)))
                consider(&search, client_id, object_id, id);
        }
    }
    if (search.found == 1)
        return PN_OK;
    return search.found == 0
               ? pn_error_set(err, PN_NOT_FOUND, "invalid_request", "Identity not found")
               : pn_error_set(err, PN_INVALID, "invalid_request",
                              "Multiple user assigned identities exist, please specify the "
                              "clientId / resourceId of the identity in the token request");
}

/* ---- one request ---- */

static bool passes(struct pn_identity_endpoint *endpoint, int64_t now_s)
{
    uint64_t max = pn_limit_value(PN_LIMIT_IDENTITY_ENDPOINT_TOKENS);
    bool is_fine;

    pthread_mutex_lock(&endpoint->lock);
    if (now_s - endpoint->window_s >= WINDOW_S || now_s < endpoint->window_s) {
        endpoint->window_s = now_s;
        endpoint->count = 0;
    }
    is_fine = max == 0 || ++endpoint->count <= max;
    pthread_mutex_unlock(&endpoint->lock);
    if (!is_fine)
        pn_limit_hit(PN_LIMIT_IDENTITY_ENDPOINT_TOKENS);
    return is_fine;
}

static void give_token(struct pn_authority *authority, const struct pn_identity_endpoint *endpoint,
                       const struct pn_request *request, const struct ask *ask,
                       struct pn_response *response)
{
    struct pn_authority_grant grant = {.version = 1, .by_certificate = true};
    struct pn_store_item service = {0};
    struct pn_error err = {0};
    struct pn_buf token;
    int64_t expires_s = 0;
    enum pn_rc rc = pn_store_get(authority->store, endpoint->service_id, &service, &err);

    pn_buf_init_secret(&token, TOKEN_TEXT_MAX);
    if (rc == PN_OK || rc == PN_NOT_FOUND)
        rc = choose(endpoint, service.body, ask, &grant, &err);
    grant.audience = pn_arena_strdup(request->arena, ask->resource);
    if (rc == PN_OK)
        rc = grant.audience ? pn_authority_mint(authority, &grant, &token, &expires_s, &err)
                            : PN_NOMEM;
    if (rc == PN_OK)
        rc = write_token(response, ask, &grant, &token, authority->now_s(), expires_s);
    if (rc == PN_OK) {
        response->status = 200;
        pn_metric_add(PN_METRIC_ENDPOINT_TOKENS, 1);
        pn_log(PN_LOG_INFO, "identity_endpoint_token", "client", PN_S(grant.client_id), "resource",
               PN_S(grant.audience), "peer", PN_S(request->peer), NULL);
    } else if (rc == PN_NOT_FOUND || rc == PN_INVALID) {
        answer_error(ask, request, response, 400, "invalid_request", err.message);
    } else {
        pn_log_error(PN_LOG_ERROR, "identity_endpoint_failed", &err);
        answer_error(ask, request, response, 500, "server_error",
                     "The token cannot be made right now.");
    }
    pn_buf_fini(&token);
    pn_store_item_fini(&service);
}

/* The caller may ask; what does he ask for? */
static void answer(struct pn_authority *authority, struct pn_identity_endpoint *endpoint,
                   const struct pn_request *request, struct ask *ask, struct pn_response *response)
{
    if (read_ask(request, ask) != PN_OK)
        answer_error(ask, request, response, 400, "invalid_request",
                     "A parameter is malformed or there twice, or more than one identity is named");
    else if (!ask->resource.ptr)
        answer_error(ask, request, response, 400, "invalid_request",
                     "Required query variable 'resource' is missing");
    else if (!authority_is_known_resource(authority, ask->resource,
                                          pn_slice_str(authority->control_url)))
        answer_error(ask, request, response, 400, "invalid_resource",
                     "AADSTS500011: The resource principal named by resource was not found in the "
                     "tenant. Ask for the management plane's or the vault's address.");
    else if (!passes(endpoint, authority->now_s())) {
        if (pn_response_header(response, "Retry-After", "%d", WINDOW_S) == PN_OK)
            answer_error(ask, request, response, 429, "too_many_requests",
                         "Too many tokens were asked for. Keep a token until it expires.");
    } else {
        give_token(authority, endpoint, request, ask, response);
    }
}

static bool is_dated(struct pn_slice version)
{
    static const char form[] = "dddd-dd-dd";

    if (version.len != 10)
        return false;
    for (size_t i = 0; i < 10; i++) {
        bool is_digit = version.ptr[i] >= '0' && version.ptr[i] <= '9';

        if (form[i] == 'd' ? !is_digit : version.ptr[i] != '-')
            return false;
    }
    return pn_slice_compare(version, PN_LIT("2018-02-01")) >= 0;
}

static void handle_imds(struct pn_authority *authority, struct pn_identity_endpoint *endpoint,
                        const struct pn_request *request, struct pn_response *response)
{
    struct ask ask = {.protocol = IMDS};
    struct pn_slice version = pn_request_query(request, "api-version");
    const char *cause = forgery(request);

    if (pn_slice_eq_str(request->method, "POST"))
        ask.protocol = CLOUD_SHELL;
    if (!pn_slice_case_eq_str(pn_headers_get(&request->headers, "Metadata"), "true"))
        answer_error(&ask, request, response, 400, "invalid_request",
                     "Required metadata header not specified");
    else if (cause)
        answer_error(&ask, request, response, 400, "invalid_request", cause);
    else if (ask.protocol == IMDS && !pn_slice_eq_str(request->method, "GET"))
        answer_error(&ask, request, response, 405, "invalid_request",
                     "The method is not allowed here; GET is.");
    else if (ask.protocol == CLOUD_SHELL &&
             !pn_slice_case_starts_with(pn_headers_get(&request->headers, "Content-Type"),
                                        PN_LIT(FORM_TYPE)))
        answer_error(&ask, request, response, 400, "invalid_request",
                     "A POST must have a form (" FORM_TYPE ")");
    else if (ask.protocol == IMDS && version.len == 0)
        answer_error(&ask, request, response, 400, "invalid_request",
                     "Required query variable 'api-version' is missing");
    else if (ask.protocol == IMDS && !is_dated(version))
        answer_error(&ask, request, response, 400, "invalid_request",
                     "The api-version is not supported; use 2018-02-01");
    else
        answer(authority, endpoint, request, &ask, response);
}

static void handle_app_service(struct pn_authority *authority,
                               struct pn_identity_endpoint *endpoint,
                               const struct pn_request *request, struct pn_response *response)
{
    struct ask ask = {.protocol = APP_SERVICE};
    struct pn_slice version = pn_request_query(request, "api-version");
    struct pn_slice header = pn_headers_get(&request->headers, "X-IDENTITY-HEADER");
    const char *cause = forgery(request);

    if (pn_slice_eq_str(version, "2017-09-01")) {
        ask.protocol = APP_SERVICE_17;
        header = pn_headers_get(&request->headers, "secret");
    }
    if (!header.ptr || endpoint->header.len == 0 ||
        !pn_equal_constant_time(header, pn_secret_slice(&endpoint->header)))
        answer_error(&ask, request, response, 401, "unauthorized",
                     "The X-IDENTITY-HEADER is missing or wrong.");
    else if (cause)
        answer_error(&ask, request, response, 400, "invalid_request", cause);
    else if (!pn_slice_eq_str(request->method, "GET"))
        answer_error(&ask, request, response, 405, "invalid_request",
                     "The method is not allowed here; GET is.");
    else if (ask.protocol == APP_SERVICE && !pn_slice_eq_str(version, "2019-08-01"))
        answer_error(&ask, request, response, 400, "invalid_request",
                     "The api-version is missing or not supported; use 2019-08-01");
    else
        answer(authority, endpoint, request, &ask, response);
}

void pn_authority_handle_endpoint(struct pn_authority *authority,
                                  struct pn_identity_endpoint *endpoint,
                                  const struct pn_request *request, struct pn_response *response)
{
    static const char *const imds[] = {"metadata", "identity", "oauth2", "token"};
    static const char *const app_service[] = {"msi", "token"};
    const struct ask nothing = {.protocol = IMDS};
    struct pn_slice segments[4];
    size_t count = 0;
    bool is_imds, is_app_service;

    if (pn_response_header(response, "Cache-Control", "no-store") != PN_OK ||
        pn_request_segments(request, segments, 4, &count) != PN_OK)
        count = 0;
    is_imds = count == 4;
    for (size_t i = 0; i < count && is_imds; i++)
        is_imds = pn_slice_case_eq_str(segments[i], imds[i]);
    is_app_service = count == 2;
    for (size_t i = 0; i < count && is_app_service; i++)
        is_app_service = pn_slice_case_eq_str(segments[i], app_service[i]);
    if (is_imds)
        handle_imds(authority, endpoint, request, response);
    else if (is_app_service)
        handle_app_service(authority, endpoint, request, response);
    else
        answer_error(&nothing, request, response, 404, "not_found",
                     "There is /metadata/identity/oauth2/token, and /msi/token.");
}

/* ---- life ---- */

enum pn_rc pn_identity_endpoint_init(struct pn_identity_endpoint *endpoint, const char *service_id,
                                     const char *data_dir, struct pn_error *err)
{
    uint8_t random[HEADER_BYTES];
    char path[PATH_MAX];
    struct pn_slice header;
    struct pn_buf text;
    enum pn_rc rc;

    pthread_mutex_init(&endpoint->lock, NULL);
    endpoint->service_id = service_id;
    snprintf(path, sizeof path, "%s/identity.header", data_dir);
    pn_buf_init_secret(&text, HEADER_TEXT_MAX);
    rc = pn_file_read(path, &text, err);
    if (rc == PN_NOT_FOUND) {
        pn_random(random, sizeof random);
        rc = pn_base64url_encode(pn_slice(random, sizeof random), &text);
        pn_wipe(random, sizeof random);
        if (rc == PN_OK)
            rc = pn_file_write_atomic(path, pn_buf_slice(&text), 0600, err);
    }
    header = pn_slice_trim(pn_buf_slice(&text));
    if (rc == PN_OK && header.len < HEADER_TEXT_MIN)
        rc = pn_error_set(err, PN_INVALID, "identity_header",
                          "%s has less than %d characters: delete the file and a new one is made",
                          path, HEADER_TEXT_MIN);
    if (rc == PN_OK)
        rc = pn_secret_from(&endpoint->header, header.ptr, header.len);
    pn_buf_fini(&text);
    return rc;
}

enum pn_rc pn_identity_endpoint_add(struct pn_identity_endpoint *endpoint, struct pn_slice identity,
                                    struct pn_error *err)
{
    bool is_id = pn_slice_case_starts_with(identity, PN_LIT("/subscriptions/"));

    if (!pn_slice_eq_str(identity, "system") && !pn_is_uuid(identity) && !is_id)
        return pn_error_set(err, PN_INVALID, "endpoint_identity",
                            "an identity of the endpoint is 'system', the client id of a "
                            "user-assigned identity of the service, or its resource id");
    if (endpoint->identity_count == PN_ENDPOINT_IDENTITIES_MAX)
        return pn_error_set(err, PN_LIMIT, "endpoint_identity",
                            "the endpoint has at most %d identities", PN_ENDPOINT_IDENTITIES_MAX);
    endpoint->identities[endpoint->identity_count] = pn_slice_dup(identity);
    if (!endpoint->identities[endpoint->identity_count])
        return PN_NOMEM;
    endpoint->identity_count++;
    return PN_OK;
}

void pn_identity_endpoint_fini(struct pn_identity_endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->identity_count; i++)
        free(endpoint->identities[i]);
    pn_secret_fini(&endpoint->header);
    memset(endpoint, 0, sizeof *endpoint);
}
