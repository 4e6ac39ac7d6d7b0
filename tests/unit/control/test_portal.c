/* SPDX-License-Identifier: Apache-2.0
 *
 * The portal's table of files and its answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "control/portal.h"

#define PAGE "<meta nonce=\"__CSP_NONCE__\"><script src=\"/assets/a-1.js\"></script>__CSP_NONCE__"

struct fixture {
    char folder[64];
    struct pn_portal *portal;
    struct pn_arena *arena;
    struct pn_request request;
    struct pn_response response;
};

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[160];
    struct pn_error err = {0};

    snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
    assert_int_equal(pn_file_write_atomic(path, pn_slice_str(text), 0600, &err), PN_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char path[160];
    struct pn_error err = {0};

    assert_non_null(fixture);
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/pn-portal-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(path, sizeof(path), "%s/assets", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(fixture, "index.html", PAGE);
    write_file(fixture, "favicon.svg", "<svg/>");
    write_file(fixture, "assets/a-1.js", "plain");
    write_file(fixture, "assets/a-1.js.br", "brotli");
    write_file(fixture, "assets/a-1.js.gz", "gzip");
    write_file(fixture, "assets/notes.secret", "never served");
    fixture->arena = pn_arena_create(4096, 1024 * 1024);
    assert_int_equal(pn_portal_load(fixture->folder, &fixture->portal, &err), PN_OK);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "index.html",       "favicon.svg",         "assets/a-1.js", "assets/a-1.js.br",
        "assets/a-1.js.gz", "assets/notes.secret", "assets",        ""};
    struct fixture *fixture = *state;
    char path[160];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
        (void)remove(path);
    }
    pn_portal_destroy(fixture->portal);
    pn_response_fini(&fixture->response);
    pn_arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

/* Asks with one further header; false: it is not the portal's. */
static bool ask(struct fixture *fixture, const char *path, const char *name, const char *value)
{
    pn_response_fini(&fixture->response);
    pn_response_init(&fixture->response, fixture->arena, 1024 * 1024);
    fixture->request = (struct pn_request){
        .arena = fixture->arena, .method = PN_LIT("GET"), .path = pn_slice_str(path)};
    pn_headers_init(&fixture->request.headers, fixture->arena);
    if (name)
        assert_int_equal(
            pn_headers_add(&fixture->request.headers, pn_slice_str(name), pn_slice_str(value)),
            PN_OK);
    return pn_portal_handle(fixture->portal, &fixture->request, &fixture->response);
}

static bool has(const struct fixture *fixture, const char *name, const char *part)
{
    struct pn_slice value = pn_headers_get(&fixture->response.headers, name);

    return value.ptr && pn_slice_find_slice(value, pn_slice_str(part)) < value.len;
}

static void page_has_a_fresh_nonce_at_each_mark(void **state)
{
    struct fixture *fixture = *state;
    char first[256], *at;
    struct pn_slice body;

    assert_true(ask(fixture, "/", "Accept", "text/html,*/*"));
    assert_int_equal(fixture->response.status, 200);
    body = pn_buf_slice(&fixture->response.body);
    snprintf(first, sizeof(first), "%.*s", PN_FMT(body));
    assert_null(strstr(first, "__CSP_NONCE__"));
    at = strstr(first, "nonce=\"") + 7;
    *strchr(at, '"') = '\0';
    assert_true(has(fixture, "Content-Security-Policy", at));
    assert_false(has(fixture, "Content-Security-Policy", "unsafe"));
    assert_true(pn_slice_ends_with(body, pn_slice_str(at)));
    assert_true(has(fixture, "Cache-Control", "no-store"));
    assert_true(ask(fixture, "/portal/a/b/certificates", "Accept", "text/html"));
    assert_false(has(fixture, "Content-Security-Policy", at)); /* another one */
    assert_true(ask(fixture, "/signin", "Accept", "text/html"));
}

static void who_is_no_browser_gets_what_was_there_before(void **state)
{
    struct fixture *fixture = *state;

    assert_false(ask(fixture, "/", NULL, NULL));
    assert_false(ask(fixture, "/", "Accept", "*/*"));
    assert_false(ask(fixture, "/", "Accept", "text/html;q=0"));
    assert_false(ask(fixture, "/subscriptions", "Accept", "text/html"));
    assert_false(ask(fixture, "/portalx", "Accept", "text/html"));
    assert_false(ask(fixture, "/signin/session", "Accept", "application/json"));
}

static void assets_are_kept_for_ever_in_the_best_coding(void **state)
{
    struct fixture *fixture = *state;
    static const char *const cases[][3] = {{"gzip, deflate, br", "br", "brotli"},
                                           {"gzip", "gzip", "gzip"},
                                           {"br;q=0, gzip", "gzip", "gzip"},
                                           {"identity", NULL, "plain"}};
    char etag[80];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(ask(fixture, "/assets/a-1.js", "Accept-Encoding", cases[i][0]));
        assert_true(pn_slice_eq_str(pn_buf_slice(&fixture->response.body), cases[i][2]));
        assert_int_equal(cases[i][1] != NULL,
                         pn_headers_has(&fixture->response.headers, "Content-Encoding"));
        assert_true(has(fixture, "Cache-Control", "immutable"));
        assert_true(has(fixture, "Vary", "Accept-Encoding"));
        assert_true(has(fixture, "Content-Type", "text/javascript"));
    }
    snprintf(etag, sizeof(etag), "%.*s",
             PN_FMT(pn_headers_get(&fixture->response.headers, "ETag")));
    assert_true(ask(fixture, "/assets/a-1.js", "If-None-Match", etag));
    assert_int_equal(fixture->response.status, 304);
    assert_true(ask(fixture, "/favicon.svg", NULL, NULL));
    assert_true(has(fixture, "Cache-Control", "no-cache"));
}

static void nothing_but_the_table_is_served(void **state)
{
    struct fixture *fixture = *state;
    static const char *const below[] = {"/assets/../index.html", "/assets/notes.secret",
                                        "/assets/a-1.js.br",     "/assets/",
                                        "/assets/%2e%2e/x",      "/assets/a-1.js/"};
    static const char *const others[] = {"/../etc/passwd", "/etc/passwd", "//assets/a-1.js",
                                         "/index.html.br"};

    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        assert_true(ask(fixture, below[i], "Accept", "text/html"));
        assert_int_equal(fixture->response.status, 404);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(ask(fixture, others[i], "Accept", "text/html"));
    fixture->request.method = PN_LIT("POST");
    fixture->request.path = PN_LIT("/");
    assert_false(pn_portal_handle(fixture->portal, &fixture->request, &fixture->response));
    assert_false(pn_portal_handle(NULL, &fixture->request, &fixture->response));
}

static void folder_without_a_page_is_none(void **state)
{
    struct fixture *fixture = *state;
    struct pn_portal *portal = NULL;
    struct pn_error err = {0};
    char path[160];

    assert_int_equal(pn_portal_load("/nowhere", &portal, &err), PN_NOT_FOUND);
    assert_null(portal);
    snprintf(path, sizeof(path), "%s/index.html", fixture->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pn_portal_load(fixture->folder, &portal, &err), PN_NOT_FOUND);
    assert_null(portal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(page_has_a_fresh_nonce_at_each_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_no_browser_gets_what_was_there_before, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(assets_are_kept_for_ever_in_the_best_coding, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_but_the_table_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_without_a_page_is_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
