/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodings, time, errors, JSON, files, log lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

static void check_base64(const char *plain, const char *padded, const char *url)
{
    struct pn_buf out;

    pn_buf_init(&out, 100);
    assert_int_equal(pn_base64_encode(pn_slice_str(plain), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), padded);
    pn_buf_clear(&out);
    assert_int_equal(pn_base64url_encode(pn_slice_str(plain), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), url);
    pn_buf_clear(&out);
    assert_int_equal(pn_base64_decode(pn_slice_str(padded), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), plain);
    pn_buf_clear(&out);
    assert_int_equal(pn_base64url_decode(pn_slice_str(url), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), plain);
    pn_buf_fini(&out);
}

static void basic_credentials_are_those_of_rfc_7617(void **state)
{
    struct pn_buf out;

    (void)state;
    pn_buf_init_secret(&out, 100);
    assert_int_equal(pn_basic_credentials(PN_LIT("Aladdin"), PN_LIT("open sesame"), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    pn_buf_fini(&out);
}

static void base64_round_trips_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    check_base64("", "", "");
    check_base64("f", "Zg==", "Zg");
    check_base64("fo", "Zm8=", "Zm8");
    check_base64("foo", "Zm9v", "Zm9v");
    check_base64("foob", "Zm9vYg==", "Zm9vYg");
    check_base64("fooba", "Zm9vYmE=", "Zm9vYmE");
    check_base64("foobar", "Zm9vYmFy", "Zm9vYmFy");
    check_base64("\xfb\xff", "+/8=", "-_8");
}

static void broken_base64_is_refused(void **state)
{
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zg==Zg==", "Z!==", "=Zg=", "Zm9v="};
    struct pn_buf out;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pn_buf_init(&out, 100);
        assert_int_equal(pn_base64_decode(pn_slice_str(bad[i]), &out), PN_MALFORMED);
        pn_buf_fini(&out);
    }
    pn_buf_init(&out, 100);
    assert_int_equal(pn_base64_decode(PN_LIT("Zm9v\r\nYg==\n"), &out), PN_OK);
    assert_int_equal(out.len, 4);
    pn_buf_fini(&out);
}

static void percent_escapes_decode_or_are_refused(void **state)
{
    struct pn_buf out;

    (void)state;
    pn_buf_init(&out, 100);
    assert_int_equal(pn_form_decode(PN_LIT("a+b%2Dc%00"), &out), PN_OK);
    assert_memory_equal(out.ptr, "a b-c\0", 6);
    pn_buf_clear(&out);
    assert_int_equal(pn_percent_decode(PN_LIT("a%2"), &out), PN_MALFORMED);
    pn_buf_clear(&out);
    assert_int_equal(pn_percent_encode(PN_LIT("a b/\xc3\xa9~"), &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), "a%20b%2F%C3%A9~");
    pn_buf_fini(&out);
}

static void times_are_written_and_read_in_utc(void **state)
{
    char text[PN_TIME_TEXT];
    int64_t unix_s = 0;

    (void)state;
    pn_time_iso8601(INT64_C(2114492400), text);
    assert_string_equal(text, "2037-01-02T07:00:00Z");
    pn_time_iso8601_ticks(INT64_C(2114492400123), text);
    assert_string_equal(text, "2037-01-02T07:00:00.1230000Z");
    pn_time_http_date(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_true(pn_time_parse_iso8601(PN_LIT("2037-01-02T07:00:00.1234567Z"), &unix_s));
    assert_int_equal(unix_s, INT64_C(2114492400));
    assert_true(pn_time_parse_iso8601(PN_LIT("2037-01-02T08:30:00+01:30"), &unix_s));
    assert_int_equal(unix_s, INT64_C(2114492400));
    assert_false(pn_time_parse_iso8601(PN_LIT("2037-13-02T07:00:00Z"), &unix_s));
    assert_false(pn_time_parse_iso8601(PN_LIT("2037-01-02"), &unix_s));
    assert_false(pn_time_parse_iso8601(PN_LIT("2037-01-02T07:00:00Zx"), &unix_s));
}

static void uuids_are_random_and_recognised(void **state)
{
    char a[PN_UUID_TEXT];
    char b[PN_UUID_TEXT];

    (void)state;
    pn_uuid_v4(a);
    pn_uuid_v4(b);
    assert_string_not_equal(a, b);
    assert_true(pn_is_uuid(pn_slice_str(a)));
    assert_int_equal(a[14], '4');
    assert_false(pn_is_uuid(PN_LIT("00000000-0000-0000-0000-00000000000g")));
}

static void json_error_names_the_place_and_never_the_content(void **state)
{
    struct pn_error err;
    json_t *json = NULL;

    (void)state;
    assert_int_equal(pn_json_parse(PN_LIT("{\"password\":\n \"hunter2\" x}"), &json, &err),
                     PN_MALFORMED);
    assert_null(json);
    assert_non_null(strstr(err.message, "line 2"));
    assert_null(strstr(err.message, "hunter2"));
    assert_null(strstr(err.message, "near"));
    assert_int_equal(pn_json_parse(PN_LIT("{\"a\":1,\"a\":2}"), &json, &err), PN_MALFORMED);
}

static void error_texts_are_cut_at_a_character(void **state)
{
    struct pn_error err;
    char text[PN_ERROR_MESSAGE_MAX + 10];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    memcpy(text + PN_ERROR_MESSAGE_MAX - 2, "\xc3\xa9", 2);
    assert_int_equal(pn_error_set(&err, PN_INVALID, "x", "%s", text), PN_INVALID);
    assert_int_equal(strlen(err.message), PN_ERROR_MESSAGE_MAX - 2);
    pn_error_set(&err, PN_INVALID, "x", "inner");
    pn_error_prefix(&err, "outer %d", 1);
    assert_string_equal(err.message, "outer 1: inner");
}

static void files_are_replaced_whole_and_read_up_to_a_limit(void **state)
{
    char folder[] = "/tmp/postern-test-XXXXXX";
    char path[64];
    struct pn_buf out;
    struct pn_error err;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x", folder);
    pn_buf_init(&out, 5);
    assert_int_equal(pn_file_read(path, &out, &err), PN_NOT_FOUND);
    assert_int_equal(pn_file_write_atomic(path, PN_LIT("12345"), 0600, &err), PN_OK);
    assert_int_equal(pn_file_read(path, &out, &err), PN_OK);
    assert_string_equal(pn_buf_str(&out), "12345");
    assert_int_equal(pn_file_write_atomic(path, PN_LIT("123456"), 0600, &err), PN_OK);
    pn_buf_clear(&out);
    assert_int_equal(pn_file_read(path, &out, &err), PN_LIMIT);
    pn_buf_fini(&out);
    unlink(path);
    rmdir(folder);
}

static void peer_cannot_forge_a_log_line(void **state)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    char line[512] = {0};

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    pn_log_setup("test", PN_LOG_INFO);
    pn_log(PN_LOG_DEBUG, "hidden", NULL);
    pn_log(PN_LOG_INFO, "request", "path", PN_S("/a\nlevel=error \"x\""), "status", PN_I(-1), NULL);
    dup2(saved, STDERR_FILENO);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    assert_non_null(strstr(line, " level=info process=test event=request path=\"/a\\x0alevel=error "
                                 "\\\"x\\\"\" status=-1\n"));
    assert_null(strstr(line, "hidden"));
    close(ends[0]);
    close(ends[1]);
    close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basic_credentials_are_those_of_rfc_7617),
        cmocka_unit_test(base64_round_trips_the_vectors_of_rfc_4648),
        cmocka_unit_test(broken_base64_is_refused),
        cmocka_unit_test(percent_escapes_decode_or_are_refused),
        cmocka_unit_test(times_are_written_and_read_in_utc),
        cmocka_unit_test(uuids_are_random_and_recognised),
        cmocka_unit_test(json_error_names_the_place_and_never_the_content),
        cmocka_unit_test(error_texts_are_cut_at_a_character),
        cmocka_unit_test(files_are_replaced_whole_and_read_up_to_a_limit),
        cmocka_unit_test(peer_cannot_forge_a_log_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
