/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptions of APIs: both versions, both notations, references, limits, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "openapi/openapi.h"

static struct pn_error err;

static json_t *read_good(const char *text)
{
    json_t *api = NULL;

    memset(&err, 0, sizeof err);
    if (pn_openapi_read(pn_slice_str(text), &api, &err) != PN_OK)
        fail_msg("%s", err.message);
    return api;
}

static void check_refused(const char *text, enum pn_rc rc, const char *part)
{
    json_t *api = NULL;

    memset(&err, 0, sizeof err);
    assert_int_equal(pn_openapi_read(pn_slice_str(text), &api, &err), rc);
    assert_null(api);
    if (!strstr(err.message, part))
        fail_msg("'%s' is not in: %s", part, err.message);
}

static const json_t *operation(const json_t *api, size_t index)
{
    return json_array_get(json_object_get(api, "operations"), index);
}

static const json_t *properties(const json_t *entity)
{
    return json_object_get(entity, "properties");
}

static const char orders[] =
    "openapi: 3.0.3\n"
    "info: {title: Orders, description: 'All orders.', version: '1'}\n"
    "servers:\n"
    "  - url: https://{region}.orders.example/v1/\n"
    "    variables: {region: {default: eu}}\n"
    "paths:\n"
    "  /items/{id}:\n"
    "    parameters:\n"
    "      - $ref: '#/components/parameters/Id'\n"
    "    get:\n"
    "      operationId: getItem\n"
    "      summary: One item\n"
    "      parameters:\n"
    "        - {name: verbose, in: query, schema: {type: boolean, default: false}}\n"
    "        - {name: X-Trace, in: header, required: true, schema: {type: string}}\n"
    "      responses:\n"
    "        200: {description: The item, content: {application/json: {}}}\n"
    "        default: {description: What went wrong}\n"
    "    delete: {}\n"
    "components:\n"
    "  parameters:\n"
    "    Id: {name: id, in: path, required: true, schema: {type: integer}, description: Its "
    "number}\n";

static void openapi_in_yaml_is_read(void **state)
{
    json_t *api = read_good(orders);
    const json_t *get = operation(api, 0);
    const json_t *parameter =
        json_array_get(json_object_get(properties(get), "templateParameters"), 0);
    const json_t *request = json_object_get(properties(get), "request");

    (void)state;
    assert_string_equal(pn_json_str(properties(api), "displayName"), "Orders");
    assert_string_equal(pn_json_str(properties(api), "serviceUrl"), "https://eu.orders.example/v1");
    assert_int_equal(json_array_size(json_object_get(api, "operations")), 2);
    assert_string_equal(pn_json_str(get, "name"), "getItem");
    assert_string_equal(pn_json_str(properties(get), "displayName"), "One item");
    assert_string_equal(pn_json_str(properties(get), "method"), "GET");
    assert_string_equal(pn_json_str(properties(get), "urlTemplate"), "/items/{id}");
    assert_string_equal(pn_json_str(parameter, "type"), "integer");
    assert_string_equal(pn_json_str(parameter, "description"), "Its number");
    assert_int_equal(json_array_size(json_object_get(request, "queryParameters")), 1);
    assert_int_equal(json_array_size(json_object_get(request, "headers")), 1);
    assert_int_equal(json_array_size(json_object_get(properties(get), "responses")), 1);
    assert_string_equal(pn_json_str(operation(api, 1), "name"), "delete-items-id");
    assert_string_equal(pn_json_str(properties(operation(api, 1)), "displayName"),
                        "DELETE /items/{id}");
    json_decref(api);
}

static void swagger_in_json_is_read(void **state)
{
    json_t *api = read_good(
        "{\"swagger\":\"2.0\",\"info\":{\"title\":\"Pets\"},\"host\":\"pets.example\","
        "\"basePath\":\"/v2\",\"schemes\":[\"http\",\"https\"],\"consumes\":[\"application/json\"],"
        "\"paths\":{\"/pets/{a}/{b}\":{\"post\":{\"parameters\":[{\"name\":\"b\",\"in\":\"path\","
        "\"type\":\"integer\",\"required\":true},{\"name\":\"kind\",\"in\":\"query\",\"type\":"
        "\"string\",\"enum\":[\"cat\",\"dog\"],\"default\":\"cat\"}],\"responses\":{\"201\":{"
        "\"description\":\"made\"}}}}}}");
    const json_t *template = json_object_get(properties(operation(api, 0)), "templateParameters");
    const json_t *query =
        json_array_get(json_object_get(json_object_get(properties(operation(api, 0)), "request"),
                                       "queryParameters"),
                       0);

    (void)state;
    assert_string_equal(pn_json_str(properties(api), "serviceUrl"), "https://pets.example/v2");
    /* In the order of the template; what is not declared is text. */
    assert_string_equal(pn_json_str(json_array_get(template, 0), "name"), "a");
    assert_string_equal(pn_json_str(json_array_get(template, 0), "type"), "string");
    assert_string_equal(pn_json_str(json_array_get(template, 1), "type"), "integer");
    assert_int_equal(json_array_size(json_object_get(query, "values")), 2);
    assert_string_equal(pn_json_str(query, "defaultValue"), "cat");
    json_decref(api);
}

static void operation_names_are_unique_without_regard_to_case(void **state)
{
    json_t *api =
        read_good("openapi: 3.1.0\npaths:\n  /a: {get: {operationId: list things}}\n"
                  "  /b: {get: {operationId: List-Things}}\n  /c: {get: {operationId: ÄÖ}}\n");

    (void)state;
    assert_string_equal(pn_json_str(operation(api, 0), "name"), "list-things");
    assert_string_equal(pn_json_str(operation(api, 1), "name"), "List-Things-2");
    assert_string_equal(pn_json_str(operation(api, 2), "name"), "get");
    json_decref(api);
}

static void relative_servers_name_no_backend(void **state)
{
    json_t *api = read_good("openapi: 3.0.0\nservers: [{url: /v1}]\npaths: {}\n");

    (void)state;
    assert_null(json_object_get(properties(api), "serviceUrl"));
    json_decref(api);
}

static void what_is_no_description_is_refused_with_its_place(void **state)
{
    (void)state;
    check_refused("", PN_MALFORMED, "empty");
    check_refused("a: [", PN_MALFORMED, "line 2");
    check_refused("{\"a\":1,}", PN_MALFORMED, "line 1");
    check_refused("a: 1\na: 2\n", PN_MALFORMED, "line 2: the key 'a' is there twice");
    check_refused("a: 1\n---\nb: 2\n", PN_MALFORMED, "more than one document");
    check_refused("[1]", PN_INVALID, "no mapping");
    check_refused("title: x\n", PN_INVALID, "neither 'openapi' nor 'swagger'");
    check_refused("swagger: '1.2'\npaths: {}\n", PN_INVALID, "only OpenAPI 3.x and Swagger 2.0");
    check_refused("openapi: 3.0.0\n", PN_INVALID, "'paths' is missing");
    check_refused("openapi: 3.0.0\npaths: {orders: {get: {}}}\n", PN_INVALID,
                  "paths.orders: a path must begin with a slash");
    check_refused("openapi: 3.0.0\npaths: {/a: {$ref: other.yaml}}\n", PN_INVALID,
                  "refers to another document");
    check_refused("openapi: 3.0.0\npaths: {/a: {get: {parameters: [{$ref: '#/nowhere'}]}}}\n",
                  PN_INVALID, "paths./a.get: '#/nowhere' leads nowhere");
}

static void documents_that_multiply_themselves_meet_a_limit(void **state)
{
    struct pn_buf text;

    (void)state;
    check_refused("openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1a'}}\n", PN_LIMIT, "references");
    pn_buf_init(&text, 100000);
    assert_int_equal(pn_buf_append_str(&text, "a0: &a0 [x]\n"), PN_OK);
    for (int i = 1; i < 10; i++) {
        assert_int_equal(pn_buf_printf(&text, "a%d: &a%d [", i, i), PN_OK);
        for (int k = 0; k < 10; k++)
            assert_int_equal(pn_buf_printf(&text, "*a%d,", i - 1), PN_OK);
        assert_int_equal(pn_buf_append_str(&text, "]\n"), PN_OK);
    }
    check_refused(pn_buf_str(&text), PN_LIMIT, "more than 200000 values");
    pn_buf_clear(&text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pn_buf_append_str(&text, "["), PN_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pn_buf_append_str(&text, "]"), PN_OK);
    check_refused(pn_buf_str(&text), PN_LIMIT, "deeper than 64");
    pn_buf_fini(&text);
}

static void every_beginning_of_a_document_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof orders; len++) {
        char *part = malloc(len + 1);
        json_t *api = NULL;

        assert_non_null(part);
        memcpy(part, orders, len);
        if (pn_openapi_read(pn_slice(part, len), &api, &err) == PN_OK)
            json_decref(api);
        free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openapi_in_yaml_is_read),
        cmocka_unit_test(swagger_in_json_is_read),
        cmocka_unit_test(operation_names_are_unique_without_regard_to_case),
        cmocka_unit_test(relative_servers_name_no_backend),
        cmocka_unit_test(what_is_no_description_is_refused_with_its_place),
        cmocka_unit_test(documents_that_multiply_themselves_meet_a_limit),
        cmocka_unit_test(every_beginning_of_a_document_is_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
