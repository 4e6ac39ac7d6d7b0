/* SPDX-License-Identifier: Apache-2.0
 *
 * One call from the request to its handler: token, route, api-version, rights, body, service.
 */
#include "arm/arm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/text.h"

#define OLDEST_API_VERSION "2014-04-01"

enum pn_rc pn_arm_create(const struct pn_arm_config *config, struct pn_arm **result,
                         struct pn_error *err)
{
    struct pn_arm *arm = calloc(1, sizeof(*arm));

    if (!arm)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "arm: out of memory");
    arm->config = *config;
    pthread_mutex_init(&arm->since_lock, NULL);
    *result = arm;
    return PN_OK;
}

void pn_arm_destroy(struct pn_arm *arm)
{
    if (!arm)
        return;
    json_decref(arm->since);
    pthread_mutex_destroy(&arm->since_lock);
    free(arm);
}

struct pn_slice arm_name(const struct arm_call *call)
{
    return call->name_count > 0 ? call->names[call->name_count - 1] : (struct pn_slice){0};
}

static void add_header(struct arm_call *call, const char *name, struct pn_slice value)
{
    if (pn_response_header(call->response, name, "%.*s", PN_FMT(value)) != PN_OK)
        pn_log(PN_LOG_WARN, "arm_header_dropped", "header", PN_S(name), NULL);
}

static void add_common_headers(struct arm_call *call)
{
    const struct pn_headers *headers = &call->request->headers;
    struct pn_slice own = pn_slice_str(call->request->request_id);
    struct pn_slice correlation = pn_headers_get(headers, "x-ms-correlation-request-id");
    struct pn_slice client = pn_headers_get(headers, "x-ms-client-request-id");
    struct pn_slice echo = pn_headers_get(headers, "x-ms-return-client-request-id");

    add_header(call, "Cache-Control", PN_LIT("no-cache"));
    add_header(call, "x-ms-request-id", own);
    add_header(call, "x-ms-correlation-request-id",
               correlation.len > 0 && correlation.len <= 64 && pn_header_value_is_valid(correlation)
                   ? correlation
                   : own);
    if (pn_slice_case_eq_str(echo, "true") && client.len > 0 && client.len <= 256 &&
        pn_header_value_is_valid(client))
        add_header(call, "x-ms-client-request-id", client);
}

/** "2024-05-01", "2025-03-01-preview". */
static bool is_dated(struct pn_slice version)
{
    static const char form[] = "dddd-dd-dd";
    struct pn_slice rest = {0};

    if (version.len < 10)
        return false;
    for (size_t i = 0; i < 10; i++) {
        bool is_digit = version.ptr[i] >= '0' && version.ptr[i] <= '9';

        if (form[i] == 'd' ? !is_digit : version.ptr[i] != '-')
            return false;
    }
    rest = pn_slice_sub(version, 10, version.len - 10);
    return rest.len == 0 || (rest.ptr[0] == '-' && rest.len <= 20);
}

static bool check_api_version(struct arm_call *call)
{
    struct pn_slice version = pn_request_query(call->request, "api-version");
    bool is_ours = strstr(call->route->pattern, "Microsoft.ApiManagement") != NULL;
    const char *oldest = is_ours ? "2020-12-01" : OLDEST_API_VERSION;

    if (version.len == 0 && call->route->is_extension)
        return true;
    if (version.len == 0) {
        arm_answer_error(call, 400, "MissingApiVersionParameter",
                         "The api-version query parameter (?api-version=) is required for all "
                         "requests.");
        return false;
    }
    if (!is_dated(version) ||
        pn_slice_compare(pn_slice_sub(version, 0, 10), pn_slice_str(oldest)) < 0) {
        arm_answer_error(call, 400, "InvalidApiVersionParameter",
                         "The api-version is invalid. Dated versions from %s on are supported, "
                         "for example 2024-05-01.",
                         oldest);
        return false;
    }
    return true;
}

static bool is_name(struct pn_slice name)
{
    size_t length = 0;

    return name.len <= PN_NAME_BYTES_MAX && pn_text_length(name, &length) &&
           !pn_text_has_control(name);
}

static bool check_names(struct arm_call *call)
{
    struct pn_error err = {0};

    for (size_t i = 0; i <= call->name_count; i++) {
        if (!is_name(i < call->name_count ? call->names[i] : call->workspace)) {
            arm_answer_invalid(call, "name",
                               "Names in the path must be valid UTF-8 of at most %d bytes, "
                               "without control characters.",
                               PN_NAME_BYTES_MAX);
            return false;
        }
    }
    if (!pn_slice_eq_str(call->request->method, "PUT") || call->is_collection ||
        pn_name_check(call->route->type, arm_name(call), &err) == PN_OK)
        return true;
    arm_answer_failure(call, &err);
    return false;
}

static bool read_body(struct arm_call *call)
{
    struct pn_slice text = pn_slice_trim(call->request->body);
    struct pn_error err = {0};

    /* A byte order mark is not JSON, but editors on Windows write one. */
    if (pn_slice_starts_with(text, PN_LIT("\xef\xbb\xbf")))
        text = pn_slice_sub(text, 3, text.len - 3);
    if (text.len == 0) {
        if ((!call->route->put && !call->route->patch) || call->route->is_association)
            return true;
        arm_answer_error(call, 400, "InvalidRequestContent",
                         "The request content was empty; a JSON object is expected.");
        return false;
    }
    if (pn_json_parse(text, &call->body, &err) != PN_OK) {
        if (err.rc == PN_NOMEM)
            arm_answer_failure(call, &err);
        else
            arm_answer_error(call, 400, "InvalidRequestContent",
                             "The request content was invalid and could not be deserialized: %s",
                             err.message);
        return false;
    }
    if (!json_is_object(call->body)) {
        arm_answer_error(call, 400, "InvalidRequestContent",
                         "The request content must be a JSON object.");
        return false;
    }
    return true;
}

void arm_answer_no_workspace(struct arm_call *call)
{
    arm_answer_error(call, 404, "ResourceNotFound", "Workspace not found.");
}

/** The workspace of the path, if there is one, which is `rest` of the id; its own casing from then
 * on. False: answered. */
static bool find_workspace(struct arm_call *call, const char *rest)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *id;
    enum pn_rc rc;

    if (call->workspace.len == 0)
        return true;
    id = pn_arena_printf(call->arena, "%s/workspaces/%.*s", call->service_id,
                         PN_FMT(call->workspace));
    rc = id ? pn_store_get(call->arm->config.store, id, &item, &err)
            : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_NOT_FOUND) {
        arm_answer_no_workspace(call);
    } else if (rc != PN_OK) {
        arm_answer_failure(call, &err);
    } else {
        rest += strlen("/workspaces/") + call->workspace.len;
        call->scope_id = pn_arena_strdup(call->arena, pn_slice_str(item.id));
        call->id = pn_arena_printf(call->arena, "%s%s", item.id, rest);
        if (!call->scope_id || !call->id) {
            rc = PN_NOMEM;
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
        }
    }
    pn_store_item_fini(&item);
    return rc == PN_OK;
}

/** Loads what stands above: subscription, resource group, service, workspace. */
static bool find_service(struct arm_call *call)
{
    struct pn_store *store = call->arm->config.store;
    struct pn_id id;
    struct pn_error err = {0};
    const char *rest = NULL;

    if (call->name_count > 0 &&
        !pn_slice_case_eq_str(call->names[0], call->arm->config.subscription_id)) {
        arm_answer_error(call, 404, "SubscriptionNotFound",
                         "The subscription '%.*s' could not be found.", PN_FMT(call->names[0]));
        return false;
    }
    if (call->name_count < 3 || call->route->type == PN_TYPE_SERVICE)
        return true;
    if (pn_id_parse(pn_slice_str(call->id), &id, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    rest = id.parts[0].name.ptr + id.parts[0].name.len;
    call->service_id = pn_arena_strdup(call->arena, pn_slice(call->id, (size_t)(rest - call->id)));
    if (!call->service_id) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    if (pn_store_get(store, call->service_id, &call->service, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_error(call, 404, "ResourceNotFound",
                             "The Resource 'Microsoft.ApiManagement/service/%.*s' under resource "
                             "group '%.*s' was not found.",
                             PN_FMT(call->names[2]), PN_FMT(call->names[1]));
        else
            arm_answer_failure(call, &err);
        return false;
    }
    /* From here on the ids are in the service's own casing. */
    call->service_id = call->service.id;
    call->scope_id = call->service_id;
    call->id = pn_arena_printf(call->arena, "%s%s", call->service.id, rest);
    if (!call->id)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return call->id != NULL && find_workspace(call, rest);
}

static void answer_unknown_route(struct arm_call *call, const struct pn_slice *segments,
                                 size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        if (!pn_slice_case_eq_str(segments[i], "providers"))
            continue;
        if (!pn_slice_case_eq_str(segments[i + 1], "Microsoft.ApiManagement")) {
            arm_answer_error(call, 404, "InvalidResourceNamespace",
                             "The resource namespace '%.*s' is invalid.", PN_FMT(segments[i + 1]));
            return;
        }
        arm_answer_error(call, 404, "InvalidResourceType",
                         "The resource type or action could not be found in the namespace "
                         "'Microsoft.ApiManagement'. This Postern does not offer it.");
        return;
    }
    arm_answer_error(call, 404, "NotFound", "There is nothing at this address.");
}

static void handle(struct arm_call *call)
{
    struct pn_slice segments[PN_ID_SEGMENTS_MAX];
    size_t count = 0;
    arm_handler_fn handler = NULL;

    if (!arm_authenticate(call))
        return;
    if (pn_request_segments(call->request, segments, PN_ID_SEGMENTS_MAX, &count) != PN_OK) {
        arm_answer_error(call, 400, "InvalidRequestUri",
                         "The path is malformed or has more than %d segments.", PN_ID_SEGMENTS_MAX);
        return;
    }
    if (!arm_route_find(call, segments, count)) {
        answer_unknown_route(call, segments, count);
        return;
    }
    handler = arm_route_handler(call);
    if (!handler) {
        add_header(call, "Allow", pn_slice_str(arm_route_allowed(call)));
        arm_answer_error(call, 405, "MethodNotAllowed",
                         "The method is not supported here; these are: %s.",
                         arm_route_allowed(call));
        return;
    }
    if (!check_api_version(call) || !check_names(call))
        return;
    if (arm_route_id(call) != PN_OK) {
        arm_answer_error(call, 400, "InvalidRequestUri", "The resource id is too long.");
        return;
    }
    if (!arm_authorize(call) || !find_service(call))
        return;
    if ((pn_slice_eq_str(call->request->method, "PUT") ||
         pn_slice_eq_str(call->request->method, "PATCH") ||
         pn_slice_eq_str(call->request->method, "POST")) &&
        !read_body(call))
        return;
    handler(call);
}

void pn_arm_handle(struct pn_arm *arm, const struct pn_request *request,
                   struct pn_response *response)
{
    struct arm_call call = {
        .arm = arm, .request = request, .response = response, .arena = request->arena};

    add_common_headers(&call);
    handle(&call);
    arm_audit_answer(&call);
    if (pn_slice_eq_str(request->method, "HEAD"))
        pn_buf_clear(&response->body);
    json_decref(call.body);
    json_decref(call.dropped_keys);
    json_decref(call.imported);
    pn_store_item_fini(&call.service);
}
