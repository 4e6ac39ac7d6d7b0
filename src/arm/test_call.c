/* SPDX-License-Identifier: Apache-2.0
 *
 * POST …/apis/{api}/test: the test console. Control calls the gateway for the browser, which may
 * not (another origin, and no header that says what the gateway did): always this node's own
 * gateway, always below the API's path.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "http/headers.h"

#define METHOD_MAX  16
#define PATH_MAX_B  8192
#define HEADERS_MAX 64
#define HEADER_MAX  8192
#define BODY_MAX    (1024 * 1024)

static const struct pn_field header_fields[] = {
    {.name = "name", .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = 1, .max = 256},
    {.name = "value", .kind = PN_FIELD_STRING, .min = 0, .max = HEADER_MAX},
    {.name = NULL},
};
static const struct pn_field header = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = header_fields};
static const struct pn_field test_fields[] = {
    {.name = "method",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = METHOD_MAX},
    {.name = "path",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = PATH_MAX_B},
    {.name = "headers", .kind = PN_FIELD_ARRAY, .max = HEADERS_MAX, .element = &header},
    {.name = "body", .kind = PN_FIELD_STRING, .min = 0, .max = BODY_MAX},
    {.name = NULL},
};

static bool is_method(struct pn_slice method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (method.ptr[i] < 'A' || method.ptr[i] > 'Z')
            return false;
    }
    return method.len > 0 && !pn_slice_eq_str(method, "CONNECT");
}

/* What a request target may have (RFC 9112 §3.2.1); the rest must be percent-encoded. */
static bool is_target(struct pn_slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.ptr[i] <= ' ' || (unsigned char)path.ptr[i] >= 0x7f ||
            path.ptr[i] == '#')
            return false;
    }
    return path.len > 0 && path.ptr[0] == '/';
}

/* False: answered. Those that frame the message are the server's business. */
static bool check_headers(struct arm_call *call, const json_t *headers)
{
    static const char *const refused[] = {"Host", "Content-Length", "Transfer-Encoding",
                                          "Connection", "X-Postern-Trace"};
    const json_t *entry;
    size_t index;

    json_array_foreach(headers, index, entry)
    {
        struct pn_slice name = pn_json_slice(entry, "name");
        bool is_fine = pn_header_name_is_valid(name) &&
                       pn_header_value_is_valid(pn_json_slice(entry, "value"));

        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
            is_fine = is_fine && !pn_slice_case_eq_str(name, refused[i]);
        if (is_fine)
            continue;
        arm_answer_invalid(call, "headers",
                           "headers[%zu] is no header field that can be sent, or one of those that "
                           "frame the message (Host, Content-Length, Transfer-Encoding, "
                           "Connection).",
                           index);
        return false;
    }
    return true;
}

/* The API two names up: its path, in the arena; NULL: answered. */
static const char *full_path(struct arm_call *call, struct pn_slice below)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *text = NULL;
    struct pn_slice path;
    enum pn_rc rc = pn_store_get(call->arm->config.store, call->id, &item, &err);

    if (rc == PN_NOT_FOUND) {
        arm_answer_not_found(call);
        return NULL;
    }
    if (rc != PN_OK) {
        arm_answer_failure(call, &err);
        return NULL;
    }
    path = pn_json_slice(json_object_get(item.body, "properties"), "path");
    text = pn_arena_printf(call->arena, "%s%.*s%.*s", path.len > 0 ? "/" : "", PN_FMT(path),
                           PN_FMT(below));
    pn_store_item_fini(&item);
    if (!text)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return text;
}

static void send(struct arm_call *call, const json_t *properties)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_arm_test_call test = {
        .method = pn_json_str(properties, "method"),
        .headers = json_object_get(properties, "headers"),
        .body = pn_json_slice(properties, "body"),
    };
    struct pn_error err = {0};
    json_t *answer = NULL;

    test.path = full_path(call, pn_json_slice(properties, "path"));
    if (!test.path)
        return;
    if (!services->call_gateway)
        arm_answer_error(call, 501, "NotImplemented", "There is no gateway to call.");
    else if (services->call_gateway(services->gateway_ctx, &test, &answer, &err) == PN_OK)
        arm_answer_json(call, 200, answer, 0);
    else if (err.rc == PN_UNSUPPORTED)
        arm_answer_error(call, 409, "GatewayAddress", "%s", err.message);
    else
        arm_answer_error(call, 502, "GatewayUnreachable", "%s", err.message);
}

void arm_api_test(struct arm_call *call)
{
    json_t *properties = NULL;

    if (!arm_properties(call, test_fields, &properties))
        return;
    if (!is_method(pn_json_slice(properties, "method")))
        arm_answer_invalid(call, "method", "'method' must be capital letters: GET, POST, …");
    else if (!is_target(pn_json_slice(properties, "path")))
        arm_answer_invalid(call, "path",
                           "'path' must begin with '/'; white space, '#' and what is not ASCII "
                           "must be percent-encoded.");
    else if (check_headers(call, json_object_get(properties, "headers")))
        send(call, properties);
    json_decref(properties);
}
