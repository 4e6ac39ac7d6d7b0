/* SPDX-License-Identifier: Apache-2.0
 *
 * See openapi.h. Version 2 and 3 differ in where a parameter's type and a body's content types are;
 * everything else is read alike.
 */
#include "openapi/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define TITLE_MAX          300    /* characters: the schema of APIs and operations */
#define DESCRIPTION_MAX    1000   /* of an operation */
#define ABOUT_MAX          100000 /* of an API */
#define OPERATION_NAME_MAX 80
#define PLACE_MAX          256

struct reader {
    const json_t *document;
    bool is_swagger;
    json_t *names; /* taken operation names, lower case */
    struct pn_error *err;
};

static enum pn_rc no_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

/* ---- texts */

/* The text, cut at a character's border. NULL: no text, or out of memory. */
static json_t *text_of(const json_t *object, const char *member, size_t max)
{
    struct pn_slice text = pn_slice_trim(pn_json_slice(object, member));

    if (text.len > max) {
        text.len = max;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80)
            text.len--;
    }
    return text.len > 0 ? json_stringn(text.ptr, text.len) : NULL;
}

static bool set_text(json_t *object, const char *name, json_t *text)
{
    return !text || json_object_set_new(object, name, text) == 0;
}

/* ---- references (RFC 6901 behind "#") */

static const json_t *follow(const json_t *value, struct pn_slice pointer)
{
    struct pn_slice token;

    while (value && pn_slice_cut(&pointer, '/', &token)) {
        char name[256];
        size_t len = 0;
        uint64_t index;

        for (size_t i = 0; i < token.len && len + 1 < sizeof name; i++) {
            char c = token.ptr[i];

            if (c == '~' && i + 1 < token.len)
                c = token.ptr[++i] == '1' ? '/' : '~';
            name[len++] = c;
        }
        name[len] = '\0';
        if (json_is_array(value) && pn_slice_to_u64(token, UINT32_MAX, &index))
            value = json_array_get(value, (size_t)index);
        else
            value = json_object_get(value, name);
    }
    return value;
}

/* `value`, or what its $ref stands for. PN_INVALID. */
static enum pn_rc resolve(struct reader *reader, const char *place, const json_t **value)
{
    for (int i = 0; i < PN_OPENAPI_REFS_MAX; i++) {
        const char *ref = pn_json_str(*value, "$ref");

        if (!ref)
            return PN_OK;
        if (strncmp(ref, "#/", 2) != 0)
            return pn_error_set(reader->err, PN_INVALID, "foreign_reference",
                                "%s: '%.200s' refers to another document; put everything into one",
                                place, ref);
        *value = follow(reader->document, pn_slice_str(ref + 2));
        if (!*value)
            return pn_error_set(reader->err, PN_INVALID, "dangling_reference",
                                "%s: '%.200s' leads nowhere", place, ref);
    }
    return pn_error_set(reader->err, PN_LIMIT, "reference_loop",
                        "%s: more than %d references one behind the other", place,
                        PN_OPENAPI_REFS_MAX);
}

/* ---- the service's address */

/* "{name}" of an OpenAPI server replaced by its variable's default. */
static bool expand_server(const json_t *server, struct pn_buf *out)
{
    struct pn_slice url = pn_json_slice(server, "url");

    while (url.len > 0) {
        size_t open = pn_slice_find(url, '{');
        size_t close = pn_slice_find(url, '}');
        char name[128];
        const char *value;

        if (pn_buf_append_slice(out, pn_slice_sub(url, 0, open)) != PN_OK)
            return false;
        if (open == url.len)
            return true;
        if (close < open || close == url.len)
            return false;
        snprintf(name, sizeof name, "%.*s", (int)(close - open - 1), url.ptr + open + 1);
        value = pn_json_str(json_object_get(json_object_get(server, "variables"), name), "default");
        if (!value || pn_buf_append_str(out, value) != PN_OK)
            return false;
        url = pn_slice_sub(url, close + 1, url.len);
    }
    return true;
}

/* Swagger: schemes, host, basePath; https before others. */
static bool join_host(const json_t *document, struct pn_buf *out)
{
    const json_t *schemes = json_object_get(document, "schemes");
    const char *host = pn_json_str(document, "host");
    const char *base = pn_json_str(document, "basePath");
    const char *scheme = json_string_value(json_array_get(schemes, 0));

    for (size_t i = 0; i < json_array_size(schemes); i++)
        if (json_is_string(json_array_get(schemes, i)) &&
            strcmp(json_string_value(json_array_get(schemes, i)), "https") == 0)
            scheme = "https";
    return host && pn_buf_printf(out, "%s://%s%s", scheme ? scheme : "https", host,
                                 base ? base : "") == PN_OK;
}

/* The address of the first server; NULL: there is none, or a relative one. */
static json_t *service_url(const struct reader *reader)
{
    const json_t *server = json_array_get(json_object_get(reader->document, "servers"), 0);
    struct pn_buf url;
    struct pn_slice text;
    json_t *result = NULL;
    bool is_there;

    pn_buf_init(&url, 2000);
    is_there = reader->is_swagger ? join_host(reader->document, &url) : expand_server(server, &url);
    text = pn_buf_slice(&url);
    while (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    if (is_there && (pn_slice_case_starts_with(text, PN_LIT("http://")) ||
                     pn_slice_case_starts_with(text, PN_LIT("https://"))))
        result = json_stringn(text.ptr, text.len);
    pn_buf_fini(&url);
    return result;
}

/* ---- parameters */

/* API Management's parameter: name, type, required, description, default and choices. */
static json_t *parameter_of(const struct reader *reader, const json_t *parameter)
{
    const json_t *schema = reader->is_swagger ? parameter : json_object_get(parameter, "schema");
    const char *type = pn_json_str(schema, "type");
    const json_t *choices = json_object_get(schema, "enum");
    const json_t *otherwise = json_object_get(schema, "default");
    json_t *values = json_array();
    json_t *result =
        json_pack("{s:o*, s:s, s:b}", "name", text_of(parameter, "name", TITLE_MAX), "type",
                  type ? type : "string", "required", pn_json_bool(parameter, "required", false));
    char number[64];

    for (size_t i = 0; i < json_array_size(choices); i++)
        if (json_is_string(json_array_get(choices, i)))
            json_array_append(values, json_array_get(choices, i));
    (void)set_text(result, "description", text_of(parameter, "description", DESCRIPTION_MAX));
    if (json_is_string(otherwise)) {
        (void)json_object_set(result, "defaultValue", (json_t *)(uintptr_t)otherwise);
    } else if (json_is_integer(otherwise)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(otherwise));
        (void)json_object_set_new(result, "defaultValue", json_string(number));
    }
    if (json_array_size(values) > 0)
        (void)json_object_set(result, "values", values);
    json_decref(values);
    return result;
}

/* The parameters of the path and of the operation that are `in` a place; the operation's win. */
static enum pn_rc collect(struct reader *reader, const char *place, const json_t *path_item,
                          const json_t *operation, const char *in, json_t *out)
{
    const json_t *const lists[] = {json_object_get(operation, "parameters"),
                                   json_object_get(path_item, "parameters")};

    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; i < json_array_size(lists[l]); i++) {
            const json_t *parameter = json_array_get(lists[l], i);
            const char *name;
            bool is_there = false;

            if (resolve(reader, place, &parameter) != PN_OK)
                return reader->err ? reader->err->rc : PN_INVALID;
            name = pn_json_str(parameter, "name");
            if (!name || !pn_json_str(parameter, "in") ||
                strcmp(pn_json_str(parameter, "in"), in) != 0)
                continue;
            for (size_t k = 0; k < json_array_size(out); k++)
                is_there =
                    is_there || strcmp(pn_json_str(json_array_get(out, k), "name"), name) == 0;
            if (!is_there && json_array_append_new(out, parameter_of(reader, parameter)) != 0)
                return no_memory(reader->err);
        }
    }
    return PN_OK;
}

/* Each {name} of the template has a parameter, declared or not. */
static enum pn_rc complete_template(struct reader *reader, const char *template, json_t *parameters)
{
    struct pn_slice rest = pn_slice_str(template);
    json_t *wanted = json_array();
    size_t open = pn_slice_find(rest, '{');
    enum pn_rc rc = wanted ? PN_OK : no_memory(reader->err);

    while (rc == PN_OK && open < rest.len) {
        struct pn_slice name;
        json_t *found = NULL;

        rest = pn_slice_sub(rest, open + 1, rest.len);
        name = pn_slice_sub(rest, 0, pn_slice_find(rest, '}'));
        for (size_t k = 0; k < json_array_size(parameters); k++)
            if (pn_slice_eq(pn_json_slice(json_array_get(parameters, k), "name"), name))
                found = json_incref(json_array_get(parameters, k));
        if (!found)
            found = json_pack("{s:s%, s:s, s:b}", "name", name.ptr, name.len, "type", "string",
                              "required", 1);
        if (json_array_append_new(wanted, found) != 0)
            rc = no_memory(reader->err);
        open = pn_slice_find(rest, '{');
    }
    if (rc == PN_OK) {
        json_array_clear(parameters);
        json_array_extend(parameters, wanted);
    }
    json_decref(wanted);
    return rc;
}

/* ---- bodies */

/* The content types of version 3's "content" or of version 2's lists. */
static json_t *representations(const json_t *content, const json_t *types)
{
    json_t *result = json_array();
    const char *type;
    const json_t *ignored;

    json_object_foreach((json_t *)(uintptr_t)content, type, ignored)
    {
        json_array_append_new(result, json_pack("{s:s}", "contentType", type));
    }
    for (size_t i = 0; i < json_array_size(types); i++)
        if (json_is_string(json_array_get(types, i)))
            json_array_append_new(result,
                                  json_pack("{s:O}", "contentType", json_array_get(types, i)));
    return result;
}

static const json_t *either(const json_t *first, const json_t *second)
{
    return first ? first : second;
}

static enum pn_rc responses_of(struct reader *reader, const char *place, const json_t *operation,
                               json_t *out)
{
    const json_t *responses = json_object_get(operation, "responses");
    const json_t *types = reader->is_swagger ? either(json_object_get(operation, "produces"),
                                                      json_object_get(reader->document, "produces"))
                                             : NULL;
    const char *status;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)responses, status, member)
    {
        const json_t *response = member;
        uint64_t code;
        json_t *entry;

        if (!pn_slice_to_u64(pn_slice_str(status), 599, &code) || code < 100)
            continue; /* "default", "4XX": API Management has no place for them */
        if (resolve(reader, place, &response) != PN_OK)
            return reader->err ? reader->err->rc : PN_INVALID;
        entry = json_pack("{s:I, s:o}", "statusCode", (json_int_t)code, "representations",
                          representations(json_object_get(response, "content"),
                                          json_object_get(response, "schema") ? types : NULL));
        if (!entry ||
            !set_text(entry, "description", text_of(response, "description", DESCRIPTION_MAX)) ||
            json_array_append_new(out, entry) != 0)
            return no_memory(reader->err);
    }
    return PN_OK;
}

static enum pn_rc request_of(struct reader *reader, const char *place, const json_t *path_item,
                             const json_t *operation, json_t *out)
{
    const json_t *body = json_object_get(operation, "requestBody");
    const json_t *types = reader->is_swagger ? either(json_object_get(operation, "consumes"),
                                                      json_object_get(reader->document, "consumes"))
                                             : NULL;
    json_t *queries = json_array();
    json_t *headers = json_array();
    enum pn_rc rc = resolve(reader, place, &body);

    if (rc == PN_OK)
        rc = collect(reader, place, path_item, operation, "query", queries);
    if (rc == PN_OK)
        rc = collect(reader, place, path_item, operation, "header", headers);
    if (rc == PN_OK &&
        (json_object_set(out, "queryParameters", queries) != 0 ||
         json_object_set(out, "headers", headers) != 0 ||
         json_object_set_new(out, "representations",
                             representations(json_object_get(body, "content"), types)) != 0))
        rc = no_memory(reader->err);
    json_decref(queries);
    json_decref(headers);
    return rc;
}

/* ---- operations */

/* A resource name from an operationId, or from method and path; unique in the API. */
static json_t *name_of(struct reader *reader, const char *id, const char *method, const char *path)
{
    char text[512];
    char name[OPERATION_NAME_MAX + 1];
    char lower[OPERATION_NAME_MAX + 16];
    size_t len = 0;

    snprintf(text, sizeof text, "%s%s%s", id ? id : method, id ? "" : "-", id ? "" : path);
    for (const char *at = text; *at && len < OPERATION_NAME_MAX - 6; at++) {
        bool is_good = isalnum((unsigned char)*at) || *at == '_' || *at == '-';

        if (is_good || (len > 0 && name[len - 1] != '-'))
            name[len++] = is_good ? *at : '-';
    }
    while (len > 0 && name[len - 1] == '-')
        len--;
    name[len] = '\0';
    for (int number = 1; number <= PN_OPENAPI_OPERATIONS_MAX + 1; number++) {
        char unique[OPERATION_NAME_MAX + 16];

        if (number == 1)
            snprintf(unique, sizeof unique, "%s", len > 0 ? name : method);
        else
            snprintf(unique, sizeof unique, "%s-%d", len > 0 ? name : method, number);
        for (size_t i = 0;; i++) {
            lower[i] = (char)tolower((unsigned char)unique[i]);
            if (!unique[i])
                break;
        }
        if (json_object_get(reader->names, lower))
            continue;
        (void)json_object_set_new(reader->names, lower, json_true());
        return json_string(unique);
    }
    return NULL;
}

static enum pn_rc read_operation(struct reader *reader, const char *path, const char *method,
                                 const json_t *path_item, const json_t *operation, json_t *out)
{
    char place[PLACE_MAX];
    char upper[16] = "";
    const char *id = pn_json_str(operation, "operationId");
    json_t *title = text_of(operation, "summary", TITLE_MAX);
    json_t *properties = NULL;
    json_t *parameters = json_array();
    json_t *request = json_object();
    json_t *responses = json_array();
    enum pn_rc rc;

    snprintf(place, sizeof place, "paths.%.200s.%s", path, method);
    for (size_t i = 0; method[i] && i + 1 < sizeof upper; i++)
        upper[i] = (char)toupper((unsigned char)method[i]);
    if (!title)
        title = text_of(operation, "operationId", TITLE_MAX);
    if (!title)
        title = json_sprintf("%s %.250s", upper, path);
    rc = collect(reader, place, path_item, operation, "path", parameters);
    if (rc == PN_OK)
        rc = complete_template(reader, path, parameters);
    if (rc == PN_OK)
        rc = request_of(reader, place, path_item, operation, request);
    if (rc == PN_OK)
        rc = responses_of(reader, place, operation, responses);
    if (rc != PN_OK)
        goto out;
    properties = json_pack("{s:O, s:s, s:s, s:O, s:O, s:O}", "displayName", title, "method", upper,
                           "urlTemplate", path, "templateParameters", parameters, "request",
                           request, "responses", responses);
    if (!properties ||
        !set_text(properties, "description", text_of(operation, "description", DESCRIPTION_MAX)) ||
        json_array_append_new(out,
                              json_pack("{s:o, s:O}", "name", name_of(reader, id, method, path),
                                        "properties", properties)) != 0)
        rc = no_memory(reader->err);
out:
    json_decref(properties);
    json_decref(title);
    json_decref(parameters);
    json_decref(request);
    json_decref(responses);
    return rc;
}

static enum pn_rc read_path(struct reader *reader, const char *path, const json_t *path_item,
                            json_t *out)
{
    static const char *const methods[] = {"get",     "put",  "post",  "delete",
                                          "options", "head", "patch", "trace"};
    enum pn_rc rc = PN_OK;
    char place[PLACE_MAX];

    snprintf(place, sizeof place, "paths.%.200s", path);
    if (path[0] != '/')
        return strncmp(path, "x-", 2) == 0
                   ? PN_OK
                   : pn_error_set(reader->err, PN_INVALID, "bad_path",
                                  "%s: a path must begin with a slash", place);
    rc = resolve(reader, place, &path_item);
    for (size_t i = 0; rc == PN_OK && i < sizeof methods / sizeof *methods; i++) {
        const json_t *operation = json_object_get(path_item, methods[i]);

        if (!operation)
            continue;
        if (json_array_size(out) == PN_OPENAPI_OPERATIONS_MAX)
            return pn_error_set(reader->err, PN_LIMIT, "too_many_operations",
                                "the document describes more than %d operations",
                                PN_OPENAPI_OPERATIONS_MAX);
        rc = read_operation(reader, path, methods[i], path_item, operation, out);
    }
    return rc;
}

static enum pn_rc check_version(struct reader *reader)
{
    const char *openapi = pn_json_str(reader->document, "openapi");
    const json_t *swagger = json_object_get(reader->document, "swagger");
    bool is_two = (json_is_string(swagger) && strcmp(json_string_value(swagger), "2.0") == 0) ||
                  (json_is_number(swagger) && json_number_value(swagger) == 2.0);

    reader->is_swagger = is_two;
    if (is_two || (openapi && strncmp(openapi, "3.", 2) == 0))
        return PN_OK;
    return pn_error_set(reader->err, PN_INVALID, "no_description",
                        openapi || swagger
                            ? "only OpenAPI 3.x and Swagger 2.0 can be imported"
                            : "no description of an API: neither 'openapi' nor 'swagger' is in it");
}

static enum pn_rc read_document(struct reader *reader, json_t *operations, json_t **out)
{
    const json_t *info = json_object_get(reader->document, "info");
    const json_t *paths = json_object_get(reader->document, "paths");
    json_t *properties = json_object();
    enum pn_rc rc = check_version(reader);
    const char *path;
    json_t *path_item;

    if (rc == PN_OK && !json_is_object(paths))
        rc = pn_error_set(reader->err, PN_INVALID, "no_paths", "'paths' is missing");
    json_object_foreach((json_t *)(uintptr_t)paths, path, path_item)
    {
        if (rc == PN_OK)
            rc = read_path(reader, path, path_item, operations);
    }
    if (rc == PN_OK &&
        (!set_text(properties, "displayName", text_of(info, "title", TITLE_MAX)) ||
         !set_text(properties, "description", text_of(info, "description", ABOUT_MAX)) ||
         !set_text(properties, "serviceUrl", service_url(reader))))
        rc = no_memory(reader->err);
    if (rc == PN_OK) {
        *out = json_pack("{s:O, s:O}", "properties", properties, "operations", operations);
        rc = *out ? PN_OK : no_memory(reader->err);
    }
    json_decref(properties);
    return rc;
}

enum pn_rc pn_openapi_read(struct pn_slice text, json_t **out, struct pn_error *err)
{
    struct reader reader = {.err = err};
    json_t *document = NULL;
    json_t *operations = json_array();
    struct pn_slice start = pn_slice_trim(text);
    enum pn_rc rc;

    reader.names = json_object();
    /* YAML forgives what JSON does not; what looks like JSON gets JSON's errors. */
    if (start.len > 0 && start.ptr[0] == '{')
        rc = pn_json_parse(text, &document, err);
    else
        rc = pn_yaml_parse(text, &document, err);
    reader.document = document;
    if (rc == PN_OK && !json_is_object(document))
        rc = pn_error_set(err, PN_INVALID, "no_description",
                          "no description of an API: it is no mapping");
    if (rc == PN_OK)
        rc = read_document(&reader, operations, out);
    json_decref(operations);
    json_decref(reader.names);
    json_decref(document);
    return rc;
}
