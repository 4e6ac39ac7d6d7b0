/* SPDX-License-Identifier: Apache-2.0
 *
 * API paths and URL templates: what matches, and which one wins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/route.h"

static const char *const none = "none";

static const void *find(struct pn_route_table *table, const char *path, const char *rest_expected)
{
    struct pn_slice rest = {0};
    const void *api = pn_route_table_find(table, pn_slice_str(path), &rest);

    if (api && rest_expected)
        assert_true(pn_slice_eq_str(rest, rest_expected));
    return api;
}

static void longest_path_wins_at_a_segment_border(void **state)
{
    struct pn_route_table *table = pn_route_table_create(NULL);
    int echo, nested;

    (void)state;
    assert_int_equal(pn_route_table_add(table, PN_LIT("echo"), &echo), PN_OK);
    assert_int_equal(pn_route_table_add(table, PN_LIT("echo/v1"), &nested), PN_OK);
    assert_int_equal(pn_route_table_add(table, PN_LIT("Echo"), &echo), PN_EXISTS);
    assert_ptr_equal(find(table, "/echo", ""), &echo);
    assert_ptr_equal(find(table, "/echo/", "/"), &echo);
    assert_ptr_equal(find(table, "/ECHO/v2/x", "/v2/x"), &echo);
    assert_ptr_equal(find(table, "/echo/v1/x", "/x"), &nested);
    assert_null(find(table, "/echoes", NULL));
    assert_null(find(table, "/", NULL));
    pn_route_table_destroy(table);
}

static void root_api_takes_what_no_other_has(void **state)
{
    struct pn_route_table *table = pn_route_table_create(NULL);
    int root, echo;

    (void)state;
    assert_int_equal(pn_route_table_add(table, PN_LIT(""), &root), PN_OK);
    assert_int_equal(pn_route_table_add(table, PN_LIT("echo"), &echo), PN_OK);
    assert_ptr_equal(find(table, "/a/b", "/a/b"), &root);
    assert_ptr_equal(find(table, "/", "/"), &root);
    assert_ptr_equal(find(table, "/echo/x", "/x"), &echo);
    pn_route_table_destroy(table);
}

static const char *match(const char *const *templates, const char *method, const char *path,
                         const char *query, char *parameters, size_t size)
{
    struct pn_route_tree *tree = pn_route_tree_create();
    struct pn_arena *arena = pn_arena_create(4096, 1 << 20);
    struct pn_route_match found;
    const char *result = none;
    size_t used = 0;

    for (size_t i = 0; templates[i]; i += 2)
        assert_int_equal(pn_route_tree_add(tree, pn_slice_str(templates[i]),
                                           pn_slice_str(templates[i + 1]), templates[i + 1], NULL),
                         PN_OK);
    parameters[0] = '\0';
    if (pn_route_tree_match(tree, arena, pn_slice_str(method), pn_slice_str(path),
                            pn_slice_str(query), &found) == PN_OK) {
        result = found.operation;
        for (size_t i = 0; i < found.parameter_count; i++)
            used += (size_t)snprintf(parameters + used, size - used, "%.*s=%.*s;",
                                     PN_FMT(found.parameters[i].name),
                                     PN_FMT(found.parameters[i].value));
    }
    pn_arena_destroy(arena);
    pn_route_tree_destroy(tree);
    return result;
}

static const char *const shop[] = {"get",  "/items",         "GET", "/items/{id}",
                                   "GET",  "/items/special", "GET", "/items/{id}/parts/{part}",
                                   "POST", "/items/{id}",    "GET", "/odata/Products({key})",
                                   "GET",  "/files/{*path}", "GET", "/find?kind={kind}&v=2",
                                   "GET",  "/find",          "GET", "/any/*",
                                   NULL};

static void check(const char *method, const char *path, const char *query, const char *template,
                  const char *parameters)
{
    char text[512];

    assert_string_equal(match(shop, method, path, query, text, sizeof(text)), template);
    assert_string_equal(text, parameters);
}

static void literal_wins_over_parameter_and_parameter_over_wildcard(void **state)
{
    (void)state;
    check("GET", "/items", "", "/items", "");
    check("GET", "/items/", "", "/items", "");
    check("GET", "/items/special", "", "/items/special", "");
    check("GET", "/Items/7", "", "/items/{id}", "id=7;");
    check("POST", "/items/special", "", "/items/{id}", "id=special;");
    check("GET", "/items/a%20b/parts/c%2Fd", "", "/items/{id}/parts/{part}", "id=a b;part=c/d;");
    check("GET", "/odata/Products(42)", "", "/odata/Products({key})", "key=42;");
    check("GET", "/odata/Products()", "", none, "");
}

static void wildcard_takes_the_rest_with_its_slashes(void **state)
{
    (void)state;
    check("GET", "/files/a/b%2Fc/d", "", "/files/{*path}", "*path=a/b%2Fc/d;");
    check("GET", "/files", "", "/files/{*path}", "*path=;");
    check("GET", "/any/x/y", "", "/any/*", "");
}

static void query_part_of_a_template_must_be_there(void **state)
{
    (void)state;
    check("GET", "/find", "kind=a%20b&v=2", "/find?kind={kind}&v=2", "kind=a b;");
    check("GET", "/find", "kind=a&v=3", "/find", "");
    check("GET", "/find", "", "/find", "");
}

static void what_no_template_has_is_not_found(void **state)
{
    (void)state;
    check("DELETE", "/items/7", "", none, "");
    check("get", "/items/7", "", none, "");
    check("GET", "/nothing", "", none, "");
    check("GET", "/items/7/parts", "", none, "");
}

static void broken_templates_are_refused(void **state)
{
    static const char *const broken[] = {"/{a",    "/a}",     "/{a}{b}",   "/{}",
                                         "/*/a",   "/{*r}/a", "/a?b={c}d", "/%zz",
                                         "/a%00b", "/{a}%00", "/a?b=%00c"};
    struct pn_route_tree *tree = pn_route_tree_create();

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct pn_error err = {0};

        if (pn_route_tree_add(tree, PN_LIT("GET"), pn_slice_str(broken[i]), tree, &err) !=
            PN_INVALID)
            fail_msg("%s was taken", broken[i]);
        assert_string_equal(err.code, "invalid_url_template");
    }
    pn_route_tree_destroy(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_path_wins_at_a_segment_border),
        cmocka_unit_test(root_api_takes_what_no_other_has),
        cmocka_unit_test(literal_wins_over_parameter_and_parameter_over_wildcard),
        cmocka_unit_test(wildcard_takes_the_rest_with_its_slashes),
        cmocka_unit_test(query_part_of_a_template_must_be_there),
        cmocka_unit_test(what_no_template_has_is_not_found),
        cmocka_unit_test(broken_templates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
