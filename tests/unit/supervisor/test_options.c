/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags, configuration file, listening addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "supervisor/listen.h"
#include "supervisor/options.h"

static struct pn_options options;
static struct pn_error err;

static enum pn_rc read_args(const char *const *args)
{
    char *argv[16] = {0};
    int argc = 0;

    for (; args[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc];
    return pn_options_read(argc, argv, &options, &err);
}

#define READ(...) read_args((const char *const[]){"serve", __VA_ARGS__, NULL})

static void write_config(char path[64], const char *text)
{
    int fd;

    snprintf(path, 64, "/tmp/postern-config-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(pn_file_write_atomic(path, pn_slice_str(text), 0600, &err), PN_OK);
}

static void flags_win_over_the_file_and_the_file_over_the_defaults(void **state)
{
    char path[64];

    (void)state;
    write_config(path, "# a comment\ngateway: 0.0.0.0:80\nthreads: 3\nlog-level: warn\n");
    assert_int_equal(READ("--threads", "4", "--config", path, "--data=/tmp/d"), PN_OK);
    assert_int_equal(options.threads, 4);
    assert_string_equal(options.listen[PN_LISTEN_GATEWAY], "0.0.0.0:80");
    assert_string_equal(options.listen[PN_LISTEN_VAULT], "localhost:9444");
    assert_int_equal(options.log_level, PN_LOG_WARN);
    assert_string_equal(options.data_dir, "/tmp/d");
    unlink(path);
}

static void wrong_flag_says_which_and_what_is_expected(void **state)
{
    (void)state;
    assert_int_equal(READ("--treads", "4"), PN_INVALID);
    assert_non_null(strstr(err.message, "--treads"));
    assert_int_equal(READ("--threads"), PN_INVALID);
    assert_non_null(strstr(err.message, "--threads wants N"));
    assert_int_equal(READ("--threads", "0"), PN_INVALID);
    assert_int_equal(READ("--threads", "257"), PN_INVALID);
    assert_int_equal(READ("--threads", "256", "--data", "/d"), PN_OK);
    assert_int_equal(READ("--log-level", "loud"), PN_INVALID);
}

static void wrong_line_of_the_file_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *place;
    } cases[] = {{"data: /d\ngatewya: x:1\n", "line 2"},
                 {"threads: 1\nthreads: 2\n", "line 2"},
                 {"threads: many\n", "line 1"},
                 {"- a\n- b\n", "setting: value"},
                 {"config: /x\n", "line 1"},
                 {"data: [1, 2]\n", "line 1"},
                 {"data: \"x\n", "line"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[64];

        write_config(path, cases[i].text);
        assert_int_equal(READ("--config", path), PN_INVALID);
        assert_non_null(strstr(err.message, cases[i].place));
        unlink(path);
    }
    assert_int_equal(READ("--config", "/nonexistent/x.yaml"), PN_NOT_FOUND);
}

static void data_folder_has_a_default_and_is_absolute(void **state)
{
    (void)state;
    setenv("XDG_STATE_HOME", "/state", 1);
    assert_int_equal(READ("--threads", "1"), PN_OK);
    assert_string_equal(options.data_dir, "/state/postern");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/h/x", 1);
    assert_int_equal(READ("--threads", "1"), PN_OK);
    assert_string_equal(options.data_dir, "/h/x/.local/state/postern");
    assert_int_equal(READ("--data", "d"), PN_OK);
    assert_int_equal(options.data_dir[0], '/');
}

static void localhost_has_one_port_on_both_loopback_addresses(void **state)
{
    struct pn_listen_set set;
    char host[256];

    (void)state;
    assert_int_equal(pn_listen_open("localhost:0", &set, &err), PN_OK);
    assert_true(set.count >= 1);
    assert_true(set.port > 0);
    pn_listen_close(&set);
    pn_listen_host("0.0.0.0:80", host);
    assert_string_equal(host, "localhost");
    pn_listen_host("[2001:db8::1]:80", host);
    assert_string_equal(host, "[2001:db8::1]");
    pn_listen_host("gw.example:80", host);
    assert_string_equal(host, "gw.example");
}

static void address_in_use_or_malformed_is_refused_with_a_hint(void **state)
{
    struct pn_listen_set set;
    struct pn_listen_set other;
    char address[64];

    (void)state;
    assert_int_equal(pn_listen_open("127.0.0.1:0", &set, &err), PN_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", set.port);
    assert_int_equal(pn_listen_open(address, &other, &err), PN_IO);
    assert_non_null(strstr(err.message, "another program listens there"));
    pn_listen_close(&set);
    assert_int_equal(pn_listen_open("127.0.0.1", &set, &err), PN_INVALID);
    assert_int_equal(pn_listen_open("127.0.0.1:65536", &set, &err), PN_INVALID);
    assert_int_equal(pn_listen_open("::1:80", &set, &err), PN_INVALID);
    assert_int_equal(pn_listen_open("127.0.0.1:-1", &set, &err), PN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_win_over_the_file_and_the_file_over_the_defaults),
        cmocka_unit_test(wrong_flag_says_which_and_what_is_expected),
        cmocka_unit_test(wrong_line_of_the_file_is_named),
        cmocka_unit_test(data_folder_has_a_default_and_is_absolute),
        cmocka_unit_test(localhost_has_one_port_on_both_loopback_addresses),
        cmocka_unit_test(address_in_use_or_malformed_is_refused_with_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
