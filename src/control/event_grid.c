/* SPDX-License-Identifier: Apache-2.0
 *
 * See event_grid.h.
 */
#include "control/event_grid.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "keyvault/keyvault.h"
#include "rotation/rotation.h"

#define SECRET_BYTES     32
#define SECRET_TEXT_MIN  16
#define SECRET_TEXT_MAX  256
#define ANSWER_BYTES_MAX 4096
#define CODE_BYTES_MAX   512
#define VALIDATION_TYPE  "Microsoft.EventGrid.SubscriptionValidationEvent"
#define REFRESH_ACTION   "Microsoft.ApiManagement/service/certificates/refreshSecret/action"
#define ALLOWED          "OPTIONS, POST"

/* ---- the secret ---- */

static enum pn_rc make_secret(const char *path, struct pn_buf *text, struct pn_error *err)
{
    uint8_t random[SECRET_BYTES];
    enum pn_rc rc;

    pn_buf_clear(text);
    pn_random(random, sizeof(random));
    rc = pn_base64url_encode(pn_slice(random, sizeof(random)), text);
    pn_wipe(random, sizeof(random));
    return rc == PN_OK ? pn_file_write_atomic(path, pn_buf_slice(text), 0600, err) : rc;
}

enum pn_rc pn_event_grid_init(struct pn_event_grid *grid, const char *data_dir,
                              struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf text;
    struct pn_slice secret;
    enum pn_rc rc;

    snprintf(path, sizeof(path), "%s/eventgrid.secret", data_dir);
    pn_buf_init_secret(&text, SECRET_TEXT_MAX);
    rc = pn_file_read(path, &text, err);
    if (rc == PN_NOT_FOUND)
        rc = make_secret(path, &text, err);
    secret = pn_slice_trim(pn_buf_slice(&text));
    if (rc == PN_OK && secret.len < SECRET_TEXT_MIN)
        rc = pn_error_set(err, PN_INVALID, "weak_secret",
                          "%s: the secret of the Event Grid webhook has less than %d characters; "
                          "delete the file and a new one is made",
                          path, SECRET_TEXT_MIN);
    if (rc == PN_OK)
        rc = pn_secret_from(&grid->secret, secret.ptr, secret.len);
    pn_buf_fini(&text);
    return rc;
}

void pn_event_grid_fini(struct pn_event_grid *grid)
{
    pn_secret_fini(&grid->secret);
    free(grid->service_id);
    grid->service_id = NULL;
}

/* ---- answers ---- */

static void answer_json(struct pn_response *response, int status, json_t *json)
{
    struct pn_buf text;
    enum pn_rc rc = PN_NOMEM;

    pn_buf_init(&text, ANSWER_BYTES_MAX);
    if (json)
        rc = pn_json_dump(json, &text);
    if (rc == PN_OK)
        rc = pn_response_body(response, status, "application/json; charset=utf-8",
                              pn_buf_slice(&text));
    if (rc != PN_OK)
        response->status = 500;
    pn_buf_fini(&text);
    json_decref(json);
}

static void answer_error(struct pn_response *response, int status, const char *code,
                         const char *message)
{
    answer_json(response, status,
                json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message));
}

/* ---- who tells ---- */

static bool has_code(const struct pn_event_grid *grid, const struct pn_request *request)
{
    struct pn_slice code = pn_request_query(request, "code");

    return code.ptr && code.len <= CODE_BYTES_MAX &&
           pn_equal_constant_time(code, pn_secret_slice(&grid->secret));
}

static bool has_token(const struct pn_event_grid *grid, const struct pn_request *request)
{
    struct pn_slice header = pn_headers_get(&request->headers, "Authorization");
    const struct pn_arm_services *services = grid->services;
    struct pn_principal principal = {0};
    struct pn_error err = {0};

    return pn_slice_case_starts_with(header, PN_LIT("Bearer ")) &&
           services->authenticate(services->ctx,
                                  pn_slice_trim(pn_slice_sub(header, 7, header.len - 7)),
                                  grid->audiences, &principal, &err) == PN_OK &&
           services->authorize(services->ctx, &principal, REFRESH_ACTION, grid->service_id, &err) ==
               PN_OK;
}

static bool may_tell(const struct pn_event_grid *grid, const struct pn_request *request,
                     struct pn_response *response)
{
    if (has_code(grid, request) || has_token(grid, request))
        return true;
    pn_log(PN_LOG_WARN, "event_grid_refused", "peer", PN_S(request->peer), NULL);
    if (pn_response_header(response, "WWW-Authenticate", "Bearer realm=\"postern\"") != PN_OK)
        response->status = 500;
    answer_error(response, 401, "Unauthorized",
                 "The URL's query needs ?code= with the secret of eventgrid.secret in the data "
                 "folder, or the request a bearer token that may refresh certificates.");
    return false;
}

/* ---- events ---- */

/* Members of `data` are written in several casings by different senders. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (strcasecmp(key, name) == 0)
            return json_string_value(value);
    }
    return NULL;
}

static const char *type_of(const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "eventType"));

    return type ? type : json_string_value(json_object_get(event, "type"));
}

static bool is_new_version(const char *type)
{
    return strcasecmp(type, "Microsoft.KeyVault.CertificateNewVersionCreated") == 0 ||
           strcasecmp(type, "Microsoft.KeyVault.SecretNewVersionCreated") == 0;
}

/* "https://{vault}/certificates|secrets/{name}[/{version}]": certificates are fetched as secrets.
 */
static bool read_object(const char *text, struct pn_keyvault_id *id)
{
    static const char as_certificate[] = "/certificates/";
    struct pn_error err = {0};
    const char *at = text ? strcasestr(text, as_certificate) : NULL;
    char secret[1024];
    int n;

    if (!text)
        return false;
    n = at ? snprintf(secret, sizeof(secret), "%.*s/secrets/%s", (int)(at - text), text,
                      at + sizeof(as_certificate) - 1)
           : snprintf(secret, sizeof(secret), "%s", text);
    return n > 0 && (size_t)n < sizeof(secret) &&
           pn_keyvault_id_parse(pn_slice_str(secret), id, &err) == PN_OK;
}

/* What is wrong with the event, or NULL. */
static const char *problem_of(const json_t *event)
{
    const json_t *version = json_object_get(event, "specversion");
    const char *type = type_of(event);
    struct pn_keyvault_id id;

    if (!json_is_object(event))
        return "Each event must be a JSON object.";
    if (version && strcmp(json_is_string(version) ? json_string_value(version) : "", "1.0") != 0)
        return "The member 'specversion' of a CloudEvent must be \"1.0\".";
    if (!type)
        return "An event needs the member 'eventType' (Event Grid schema) or 'type' (CloudEvents).";
    if (is_new_version(type) && !read_object(text_of(json_object_get(event, "data"), "id"), &id))
        return "The member 'data.Id' must be the https URL of a certificate or secret of a vault.";
    return NULL;
}

static void wake(const struct pn_event_grid *grid, const json_t *events)
{
    const json_t *event;
    size_t i;

    json_array_foreach(events, i, event)
    {
        struct pn_keyvault_id id;

        if (!is_new_version(type_of(event)) ||
            !read_object(text_of(json_object_get(event, "data"), "id"), &id))
            continue;
        pn_log(PN_LOG_INFO, "event_grid_event", "type", PN_S(type_of(event)), "origin",
               PN_S(id.origin), "name", PN_S(id.name), NULL);
        pn_rotation_notify_object(grid->rotation, &id);
    }
}

/* Event Grid's own handshake: it comes alone. */
static bool is_handshake(const json_t *events)
{
    const char *type = type_of(json_array_get(events, 0));

    return type && strcasecmp(type, VALIDATION_TYPE) == 0;
}

static void answer_handshake(const json_t *events, struct pn_response *response)
{
    const char *code =
        text_of(json_object_get(json_array_get(events, 0), "data"), "validationCode");

    if (!code || strlen(code) > CODE_BYTES_MAX)
        answer_error(response, 400, "InvalidEvent",
                     "A validation event needs the member 'data.validationCode'.");
    else
        answer_json(response, 200, json_pack("{s:s}", "validationResponse", code));
}

static void take_events(const struct pn_event_grid *grid, const json_t *events,
                        struct pn_response *response)
{
    const char *problem = NULL;
    char message[512];
    size_t at = 0;

    for (; at < json_array_size(events) && !problem; at++)
        problem = problem_of(json_array_get(events, at));
    if (problem) {
        snprintf(message, sizeof(message), "Event %zu: %s", at, problem);
        answer_error(response, 400, "InvalidEvent", message);
    } else if (json_array_size(events) == 0) {
        answer_error(response, 400, "InvalidEvent", "There is no event in the body.");
    } else if (is_handshake(events)) {
        answer_handshake(events, response);
    } else {
        wake(grid, events);
        response->status = 200;
    }
}

static void take_body(const struct pn_event_grid *grid, const struct pn_request *request,
                      struct pn_response *response)
{
    json_t *body = NULL;
    json_t *events = NULL;
    struct pn_error err = {0};
    char message[512];

    if (request->body.len == 0) {
        answer_error(response, 400, "InvalidEvent", "The body is empty; events are expected.");
    } else if (pn_json_parse(request->body, &body, &err) != PN_OK) {
        snprintf(message, sizeof(message), "The body is not JSON: %.400s", err.message);
        answer_error(response, 400, "InvalidEvent", message);
    } else {
        events = json_is_array(body) ? json_incref(body) : json_pack("[O]", body);
        if (json_array_size(events) > PN_EVENT_GRID_EVENTS_MAX) {
            snprintf(message, sizeof(message), "There are more than %d events in one delivery.",
                     PN_EVENT_GRID_EVENTS_MAX);
            answer_error(response, 400, "InvalidEvent", message);
        } else {
            take_events(grid, events, response);
        }
    }
    json_decref(events);
    json_decref(body);
}

/* May we be sent events? (CloudEvents' HTTP webhooks, section 4) */
static void answer_options(const struct pn_request *request, struct pn_response *response)
{
    struct pn_slice origin = pn_headers_get(&request->headers, "WebHook-Request-Origin");
    struct pn_slice wish = pn_headers_get(&request->headers, "WebHook-Request-Rate");
    uint64_t rate = PN_EVENT_GRID_RATE;

    if (origin.len == 0 || origin.len > 255) {
        answer_error(response, 400, "InvalidRequest",
                     "OPTIONS is the handshake of CloudEvents: it needs the header "
                     "WebHook-Request-Origin.");
        return;
    }
    (void)pn_slice_to_u64(wish, 1000000, &rate);
    response->status = 200;
    if (pn_response_header(response, "WebHook-Allowed-Origin", "%.*s", PN_FMT(origin)) != PN_OK ||
        pn_response_header(response, "WebHook-Allowed-Rate", "%llu", (unsigned long long)rate) !=
            PN_OK ||
        pn_response_header(response, "Allow", ALLOWED) != PN_OK)
        response->status = 500;
}

void pn_event_grid_handle(const struct pn_event_grid *grid, const struct pn_request *request,
                          struct pn_response *response)
{
    bool is_options = pn_slice_eq_str(request->method, "OPTIONS");

    if (!is_options && !pn_slice_eq_str(request->method, "POST")) {
        if (pn_response_header(response, "Allow", ALLOWED) != PN_OK)
            response->status = 500;
        answer_error(response, 405, "MethodNotAllowed", "Events come by POST.");
        return;
    }
    if (!may_tell(grid, request, response))
        return;
    if (is_options)
        answer_options(request, response);
    else
        take_body(grid, request, response);
}
