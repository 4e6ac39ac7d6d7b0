/* SPDX-License-Identifier: Apache-2.0
 *
 * URIs, paths and queries.
 */
#include "http/support.h"

#include "http/uri.h"

static void parts_of_a_uri_are_found(void **state)
{
    struct pn_uri uri;

    (void)state;
    assert_int_equal(pn_uri_parse(PN_LIT("HTTPS://a.example:8443/p/q?x=1?2"), &uri, NULL), PN_OK);
    expect_slice(uri.scheme, "HTTPS");
    expect_slice(uri.authority, "a.example:8443");
    expect_slice(uri.host, "a.example");
    assert_true(uri.has_port);
    assert_int_equal(uri.port, 8443);
    expect_slice(uri.path, "/p/q");
    expect_slice(uri.query, "x=1?2");
    assert_int_equal(pn_uri_parse(PN_LIT("http://[2001:db8::1]"), &uri, NULL), PN_OK);
    expect_slice(uri.host, "2001:db8::1");
    assert_true(uri.is_ipv6);
    assert_false(uri.has_port);
    assert_int_equal(uri.port, 80);
    assert_int_equal(uri.path.len, 0);
    assert_false(uri.has_query);
    assert_int_equal(pn_uri_parse(PN_LIT("https://127.0.0.1?"), &uri, NULL), PN_OK);
    assert_int_equal(uri.port, 443);
    assert_true(uri.has_query);
    assert_int_equal(pn_uri_parse(PN_LIT("etcd://h"), &uri, NULL), PN_OK);
    assert_int_equal(uri.port, 0);
}

static void bad_uris_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *text;
        enum pn_rc rc;
    } cases[] = {
        {"", PN_MALFORMED},
        {"/p", PN_MALFORMED},
        {"a.example", PN_MALFORMED},
        {"://a", PN_MALFORMED},
        {"1http://a", PN_MALFORMED},
        {"http:/a", PN_MALFORMED},
        {"http://", PN_MALFORMED},
        {"http:///p", PN_MALFORMED},
        {"http://a:/", PN_MALFORMED},
        {"http://a:x/", PN_MALFORMED},
        {"http://a:0/", PN_MALFORMED},
        {"http://a:65536/", PN_MALFORMED},
        {"http://a:00080/x", PN_OK},
        {"http://a:65535/", PN_OK},
        {"http://a..b/", PN_MALFORMED},
        {"http://.a/", PN_MALFORMED},
        {"http://a./", PN_OK},
        {"http://a%2eb/", PN_MALFORMED},
        {"http://[::1/", PN_MALFORMED},
        {"http://[::1]x/", PN_MALFORMED},
        {"http://[::g]/", PN_MALFORMED},
        {"http://[fe80::1%25eth0]/", PN_MALFORMED},
        {"http://[]/", PN_MALFORMED},
        {"http://::1/", PN_MALFORMED},
        {"http://u@a/", PN_INVALID},
        {"http://u:p@a/", PN_INVALID},
        {"http://a/#f", PN_INVALID},
        {"http://a/ b", PN_MALFORMED},
        {"http://a\\b/", PN_MALFORMED},
        {"http://a/\xc3\xa9", PN_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_error err = {0};
        struct pn_uri uri;
        enum pn_rc rc = pn_uri_parse(pn_slice_str(cases[i].text), &uri, &err);

        if (rc != cases[i].rc)
            fail_msg("rc %d: %s", (int)rc, cases[i].text);
        if (rc != PN_OK)
            assert_true(strlen(err.message) > 0);
    }
}

static void host_labels_have_limits(void **state)
{
    char text[300];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(pn_host_name_is_valid(pn_slice(text, 63)));
    assert_false(pn_host_name_is_valid(pn_slice(text, 64)));
    for (size_t i = 50; i < sizeof(text); i += 51)
        text[i] = '.';
    assert_true(pn_host_name_is_valid(pn_slice(text, PN_HOST_BYTES_MAX)));
    assert_false(pn_host_name_is_valid(pn_slice(text, PN_HOST_BYTES_MAX + 1)));
    assert_true(pn_host_name_is_valid(PN_LIT("::1")));
    assert_false(pn_host_name_is_valid(PN_LIT("[::1]")));
    assert_false(pn_host_name_is_valid(PN_LIT("")));
}

static void paths_are_made_safe_to_route_by(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: malformed */
    } cases[] = {
        {"/", "/"},
        {"", "/"},
        {"a/b", "/a/b"},
        {"/a/b", "/a/b"},
        {"/a//b/", "/a//b/"},
        {"/a/./b", "/a/b"},
        {"/a/b/.", "/a/b/"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"..", "/"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a//../b", "/a/b"},
        {"/a/...", "/a/..."},
        {"/.well-known/x", "/.well-known/x"},
        {"/a..b/.c", "/a..b/.c"},
        {"/%41%7a%2d%5f%7E", "/Az-_~"},
        {"/a%2fb", "/a%2Fb"},
        {"/a\\b", "/a%5Cb"},
        {"/a%2f...%2fb", "/a%2F...%2Fb"},
        {"/a;..", "/a;.."},
        {"/%252e%252e/", "/%252e%252e/"},
        {"/a%20b;c=d", "/a%20b;c=d"},
        {"/%c3%a9", "/%C3%A9"},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%zz", NULL},
        {"/%00", NULL},
        {"/a b", NULL},
        {"/a?b", NULL},
        {"/a#b", NULL},
        {"/\xc3\xa9", NULL},
        {"/a\n", NULL},
        {"/a%2f..%2fb", NULL}, /* dots that another reader would find */
        {"/a\\..\\b", NULL},
        {"/a%5c..%5Cb", NULL},
        {"/..%2fa", NULL},
        {"/a%2f..", NULL},
        {"/a/..;/b", NULL},
        {"/a/..;b=c", NULL},
        {"/a/.;/b", NULL},
        {"/a/%2e%2E%3b/b", NULL},
        {"/a%2F.;x%5cb", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_slice out = {NULL, 0};
        enum pn_rc rc = pn_path_normalise(pn_slice_str(cases[i].in), *state, &out);

        if (rc != (cases[i].out ? PN_OK : PN_MALFORMED))
            fail_msg("rc %d: %s", (int)rc, cases[i].in);
        if (cases[i].out && !pn_slice_eq_str(out, cases[i].out))
            fail_msg("%s gives %.*s", cases[i].in, PN_FMT(out));
        if (cases[i].out) { /* and once more changes nothing */
            struct pn_slice again = {NULL, 0};

            assert_int_equal(pn_path_normalise(out, *state, &again), PN_OK);
            assert_true(pn_slice_eq(out, again));
        }
    }
}

static void other_readings_of_a_path_are_known(void **state)
{
    static const struct {
        const char *in;
        unsigned readings;
        const char *whole; /* by all of them */
    } cases[] = {
        {"/a/b", 0, "/a/b"},
        {"/", 0, "/"},
        {"/a%20b/%252F", 0, "/a%20b/%252F"},
        {"/a//b", PN_PATH_SLASHES_MERGED, "/a/b"},
        {"//a", PN_PATH_SLASHES_MERGED, "/a"},
        {"/a%2Fb", PN_PATH_SLASHES_DECODED | PN_PATH_SLASHES_MERGED, "/a/b"},
        {"/a%5Cb/", PN_PATH_BACKSLASHES_DECODED | PN_PATH_SLASHES_MERGED, "/a/b/"},
        {"/a;b=c/d", PN_PATH_PARAMETERS_CUT | PN_PATH_SLASHES_MERGED, "/a/d"},
        {"/a/;x/d", PN_PATH_PARAMETERS_CUT | PN_PATH_SLASHES_MERGED, "/a/d"},
        {"/a%3Bb/c", PN_PATH_ESCAPED_CUT | PN_PATH_SLASHES_MERGED, "/a/c"},
        {"/a%3Bb%2F%2Fc;", 63 & ~PN_PATH_BACKSLASHES_DECODED, "/a"},
        {"/a;b/c%2Fd",
         63 & ~(PN_PATH_ESCAPED_CUT | PN_PATH_BACKSLASHES_DECODED | PN_PATH_PARAMETERS_FIRST),
         "/a/c/d"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_slice in = pn_slice_str(cases[i].in);
        struct pn_slice out;

        assert_int_equal(pn_path_readings(in), cases[i].readings);
        assert_int_equal(pn_path_read_as(in, cases[i].readings, *state, &out), PN_OK);
        expect_slice(out, cases[i].whole);
        assert_int_equal(pn_path_read_as(in, 0, *state, &out), PN_OK);
        assert_true(pn_slice_eq(in, out));
    }
}

static void each_reading_of_a_path_is_one_by_itself(void **state)
{
    static const char path[] = "/a%5Cb%2Fc;d%2Fe%3Bf";
    static const struct {
        unsigned reading;
        const char *out;
    } cases[] = {
        {PN_PATH_SLASHES_DECODED, "/a%5Cb/c;d/e%3Bf"},
        {PN_PATH_BACKSLASHES_DECODED, "/a/b%2Fc;d%2Fe%3Bf"},
        {PN_PATH_PARAMETERS_CUT, "/a%5Cb%2Fc"},
        {PN_PATH_ESCAPED_CUT, "/a%5Cb%2Fc;d%2Fe"},
        {PN_PATH_SLASHES_DECODED | PN_PATH_PARAMETERS_CUT, "/a%5Cb/c/e%3Bf"},
        {PN_PATH_SLASHES_DECODED | PN_PATH_PARAMETERS_CUT | PN_PATH_PARAMETERS_FIRST, "/a%5Cb/c"},
        {PN_PATH_SLASHES_DECODED | PN_PATH_ESCAPED_CUT, "/a%5Cb/c;d/e"},
    };

    assert_int_equal(pn_path_readings(pn_slice_str(path)), 63);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_slice out;

        assert_int_equal(pn_path_read_as(pn_slice_str(path), cases[i].reading, *state, &out),
                         PN_OK);
        expect_slice(out, cases[i].out);
    }
}

static void dots_are_seen_however_they_are_written(void **state)
{
    static const char *const dots[] = {"/..",       "..",          ".",         "/a/..",
                                       "/../a",     "/%2e%2e/a",   "/.%2E",     "/%2e",
                                       "/a%2F..",   "/a%5c%2e./b", "/..;a=b/c", "/%2e%2E%3ba",
                                       "/a\\..\\b", "/..\\b",      "/.;/"};
    static const char *const plain[] = {"",     "/",      "/a",      "/...", "/%2e%2e%2e",
                                        "/.a",  "/a.",    "/..a",    "/a..", "/%2e%2ea",
                                        "/.%2", "/%252e", "/a;../b", "/%2",  "/%"};

    (void)state;
    for (size_t i = 0; i < sizeof(dots) / sizeof(dots[0]); i++)
        if (!pn_path_has_dots(pn_slice_str(dots[i])))
            fail_msg("no dots in %s", dots[i]);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (pn_path_has_dots(pn_slice_str(plain[i])))
            fail_msg("dots in %s", plain[i]);
}

static void paths_are_joined_by_one_slash(void **state)
{
    static const char *const cases[][3] = {
        {"/v1", "/a", "/v1/a"}, {"/v1/", "/a", "/v1/a"}, {"/v1/", "a", "/v1/a"},
        {"/v1", "a", "/v1/a"},  {"", "/a", "/a"},        {"", "", "/"},
        {"/v1", "", "/v1"},     {"/v1/", "/", "/v1/"},   {"/", "/a/", "/a/"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_slice out;

        assert_int_equal(
            pn_path_join(pn_slice_str(cases[i][0]), pn_slice_str(cases[i][1]), *state, &out),
            PN_OK);
        expect_slice(out, cases[i][2]);
    }
}

static void queries_are_walked_and_found(void **state)
{
    struct pn_slice rest = PN_LIT("a=1&&b&c=&%41=x=y&");
    struct pn_slice name;
    struct pn_slice value;

    (void)state;
    assert_true(pn_query_next(&rest, &name, &value));
    expect_slice(name, "a");
    expect_slice(value, "1");
    assert_true(pn_query_next(&rest, &name, &value));
    expect_slice(name, "b");
    assert_null(value.ptr);
    assert_true(pn_query_next(&rest, &name, &value));
    expect_slice(name, "c");
    assert_non_null(value.ptr);
    assert_int_equal(value.len, 0);
    assert_true(pn_query_next(&rest, &name, &value));
    expect_slice(name, "%41");
    expect_slice(value, "x=y");
    assert_false(pn_query_next(&rest, &name, &value));

    assert_true(pn_query_find(PN_LIT("a=1&%24Top=2"), PN_LIT("$top"), true, &value));
    expect_slice(value, "2");
    assert_false(pn_query_find(PN_LIT("a=1&%24Top=2"), PN_LIT("$top"), false, &value));
    assert_true(pn_query_find(PN_LIT("a+b=1"), PN_LIT("a b"), false, NULL));
    assert_false(pn_query_find(PN_LIT("ab=1"), PN_LIT("a"), false, NULL));
    assert_false(pn_query_find(PN_LIT("a=1"), PN_LIT("ab"), false, NULL));
    assert_true(pn_query_find(PN_LIT("%zz=1"), PN_LIT("%zz"), false, NULL));
    assert_false(pn_query_find((struct pn_slice){NULL, 0}, PN_LIT("a"), false, NULL));
}

static void queries_change_only_where_asked(void **state)
{
    struct pn_slice out;

#define Q(call, wanted)                                                                            \
    assert_int_equal(call, PN_OK);                                                                 \
    expect_slice(out, wanted)
    Q(pn_query_remove(PN_LIT("a=%zz&k=1&&b&k&%6b=2"), PN_LIT("k"), *state, &out), "a=%zz&&b");
    Q(pn_query_remove(PN_LIT("k=1"), PN_LIT("k"), *state, &out), "");
    Q(pn_query_remove(PN_LIT("k=1&a"), PN_LIT("k"), *state, &out), "a");
    Q(pn_query_remove(PN_LIT("a&"), PN_LIT("k"), *state, &out), "a&");
    Q(pn_query_append(PN_LIT(""), PN_LIT("k"), PN_LIT("v &"), *state, &out), "k=v%20%26");
    Q(pn_query_append(PN_LIT("a"), PN_LIT("k="), PN_LIT(""), *state, &out), "a&k%3D=");
    Q(pn_query_set(PN_LIT("a=1&k=1&b&k=2"), PN_LIT("k"), PN_LIT("3"), *state, &out), "a=1&k=3&b");
    Q(pn_query_set(PN_LIT("a=1"), PN_LIT("k"), PN_LIT("3"), *state, &out), "a=1&k=3");
    Q(pn_query_join(PN_LIT("a"), PN_LIT("b"), *state, &out), "a&b");
    Q(pn_query_join(PN_LIT(""), PN_LIT("b"), *state, &out), "b");
    Q(pn_query_join(PN_LIT("a"), PN_LIT(""), *state, &out), "a");
}

static void escapes_are_decoded_and_encoded(void **state)
{
    struct pn_slice out;

    Q(pn_uri_decode(PN_LIT("a%20b+c%2F"), false, *state, &out), "a b+c/");
    Q(pn_uri_decode(PN_LIT("a+b"), true, *state, &out), "a b");
    Q(pn_uri_decode(PN_LIT("plain"), true, *state, &out), "plain");
    Q(pn_uri_decode((struct pn_slice){NULL, 0}, true, *state, &out), "");
    assert_int_equal(pn_uri_decode(PN_LIT("%4"), false, *state, &out), PN_MALFORMED);
    assert_int_equal(pn_uri_decode(PN_LIT("%"), false, *state, &out), PN_MALFORMED);
    assert_int_equal(pn_uri_decode(PN_LIT("a%g0"), false, *state, &out), PN_MALFORMED);
    Q(pn_uri_encode(PN_LIT("a-._~ /\xc3\xa9"), *state, &out), "a-._~%20%2F%C3%A9");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(parts_of_a_uri_are_found),
        TEST(bad_uris_are_refused_with_a_reason),
        TEST(host_labels_have_limits),
        TEST(paths_are_made_safe_to_route_by),
        TEST(other_readings_of_a_path_are_known),
        TEST(each_reading_of_a_path_is_one_by_itself),
        TEST(dots_are_seen_however_they_are_written),
        TEST(paths_are_joined_by_one_slash),
        TEST(queries_are_walked_and_found),
        TEST(queries_change_only_where_asked),
        TEST(escapes_are_decoded_and_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
