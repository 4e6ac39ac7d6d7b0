/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags, configuration file, listening addresses.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

    pn_options_fini(&options);
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

static enum pn_rc open_text(const char *text, struct pn_listen_set *former,
                            struct pn_listen_set *set)
{
    struct pn_listen_value value;
    enum pn_rc rc = pn_listen_value_parse(text, true, &value, &err);

    return rc == PN_OK ? pn_listen_open(&value, former, set, &err) : rc;
}

static void localhost_has_one_port_on_both_loopback_addresses(void **state)
{
    struct pn_listen_set set;
    char text[PN_LISTEN_ADDRESS_MAX], wanted[64];

    (void)state;
    assert_int_equal(open_text("localhost:0", NULL, &set), PN_OK);
    assert_true(set.count >= 1);
    assert_true(set.port > 0);
    assert_string_equal(set.host, "localhost");
    snprintf(wanted, sizeof(wanted), "127.0.0.1:%u", set.port);
    pn_listen_address_print(&set.sockets[0], text);
    assert_string_equal(text, wanted);
    snprintf(wanted, sizeof(wanted), "[::1]:%u", set.port);
    if (set.count > 1) {
        pn_listen_address_print(&set.sockets[1], text);
        assert_string_equal(text, wanted);
    }
    pn_listen_close(&set, true);
}

static void *close_soon(void *set)
{
    const struct timespec pause = {.tv_nsec = 200 * 1000000L};

    nanosleep(&pause, NULL);
    pn_listen_close(set, false);
    return NULL;
}

static void address_that_is_let_go_in_a_moment_is_waited_for(void **state)
{
    struct pn_listen_set set;
    struct pn_listen_set other;
    pthread_t thread;
    char address[64];

    (void)state;
    assert_int_equal(open_text("127.0.0.1:0", NULL, &set), PN_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", set.port);
    assert_int_equal(pthread_create(&thread, NULL, close_soon, &set), 0);
    assert_int_equal(open_text(address, NULL, &other), PN_OK);
    pthread_join(thread, NULL);
    pn_listen_close(&other, true);
}

static void address_in_use_or_malformed_is_refused_with_a_hint(void **state)
{
    static const char *const malformed[] = {"127.0.0.1", "127.0.0.1:65536", "::1:80",
                                            "127.0.0.1:-1"};
    struct pn_listen_set set;
    struct pn_listen_set other;
    char address[64];

    (void)state;
    assert_int_equal(open_text("127.0.0.1:0", NULL, &set), PN_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", set.port);
    assert_int_equal(open_text(address, NULL, &other), PN_IO);
    assert_non_null(strstr(err.message, "another program listens there"));
    pn_listen_close(&set, true);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_int_equal(open_text(malformed[i], NULL, &other), PN_INVALID);
}

static void listener_has_several_addresses_each_with_its_options(void **state)
{
    struct pn_listen_value value;

    (void)state;
    assert_int_equal(READ("--gateway", "127.0.0.1:80,[::1]:80", "--gateway",
                          "unix:/run/p.sock,proxy,mode=0666,trusted=10.0.0.0/8,trusted=::1"),
                     PN_OK);
    value = options.addresses[PN_LISTEN_GATEWAY];
    assert_int_equal(value.count, 3);
    assert_string_equal(value.addresses[0].text, "127.0.0.1:80");
    assert_string_equal(value.addresses[1].text, "[::1]:80");
    assert_false(value.addresses[1].wants_proxy);
    assert_string_equal(value.addresses[2].text, "unix:/run/p.sock");
    assert_true(value.addresses[2].is_unix && value.addresses[2].wants_proxy);
    assert_int_equal(value.addresses[2].mode, 0666);
    assert_string_equal(value.addresses[2].trusted, "10.0.0.0/8 ::1");
    assert_int_equal(options.addresses[PN_LISTEN_VAULT].count, 1);

    assert_int_equal(READ("--gateway", "none", "--gateway-tls", "*:443,proxy"), PN_OK);
    assert_int_equal(options.addresses[PN_LISTEN_GATEWAY].count, 0);
    value = options.addresses[PN_LISTEN_GATEWAY_TLS];
    assert_string_equal(value.addresses[0].trusted, "127.0.0.0/8 ::1/128");
}

static void list_of_addresses_in_the_file_gives_way_to_a_flag(void **state)
{
    char path[64];

    (void)state;
    write_config(path, "gateway:\n  - 10.0.0.1:80\n  - 10.0.0.2:80,proxy\n");
    assert_int_equal(READ("--config", path), PN_OK);
    assert_int_equal(options.addresses[PN_LISTEN_GATEWAY].count, 2);
    assert_true(options.addresses[PN_LISTEN_GATEWAY].addresses[1].wants_proxy);
    assert_int_equal(READ("--config", path, "--gateway", "10.0.0.3:80"), PN_OK);
    assert_int_equal(options.addresses[PN_LISTEN_GATEWAY].count, 1);
    unlink(path);
}

static void address_that_cannot_be_meant_is_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"8080", "neither an address"},
                 {"127.0.0.1:80,prox", "neither an address"},
                 {"proxy", "no address"},
                 {"127.0.0.1:80,trusted=10.0.0.0/8", "needs 'proxy'"},
                 {"127.0.0.1:80,proxy,trusted=10.0.0.1/8", "behind its prefix"},
                 {"127.0.0.1:80,proxy,trusted=x", "no address range"},
                 {"127.0.0.1:80,mode=0600", "Unix sockets only"},
                 {"unix:run/p.sock", "unix:/PATH"},
                 {"unix:", "unix:/PATH"},
                 {"unix:/p,mode=9", "like 0660"},
                 {"unix:/p,mode=07777", "like 0660"},
                 {"", "empty"}};
    struct pn_listen_value value;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pn_listen_value_parse(cases[i].text, true, &value, &err), PN_INVALID);
        assert_non_null(strstr(err.message, cases[i].part));
    }
    assert_int_equal(pn_listen_value_parse("unix:/p", false, &value, &err), PN_INVALID);
    assert_int_equal(pn_listen_value_parse("127.0.0.1:1,proxy", false, &value, &err), PN_INVALID);
    assert_int_equal(pn_listen_value_parse("none", false, &value, &err), PN_INVALID);
}

static void unix_socket_replaces_a_stale_file_and_nothing_else(void **state)
{
    char folder[] = "/tmp/postern-listen-XXXXXX";
    char path[64], text[80];
    struct pn_listen_set set, other;
    struct stat info;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/s", folder);
    snprintf(text, sizeof(text), "unix:%s,mode=0600", path);
    assert_int_equal(open_text(text, NULL, &set), PN_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(open_text(text, NULL, &other), PN_IO);
    assert_non_null(strstr(err.message, "another program listens"));

    pn_listen_close(&set, false); /* as if it had been killed */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(open_text(text, NULL, &set), PN_OK);
    pn_listen_close(&set, true);
    assert_int_equal(stat(path, &info), -1);

    assert_int_equal(pn_file_write_atomic(path, PN_LIT("mine"), 0600, &err), PN_OK);
    assert_int_equal(open_text(text, NULL, &set), PN_IO);
    assert_non_null(strstr(err.message, "is no socket"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void open_socket_of_the_same_address_is_kept(void **state)
{
    struct pn_listen_set former, set;
    int fd;
    unsigned port;

    (void)state;
    assert_int_equal(open_text("127.0.0.1:0", NULL, &former), PN_OK);
    fd = former.sockets[0].fd;
    port = former.port;
    assert_int_equal(open_text("127.0.0.1:0,proxy", &former, &set), PN_OK);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.sockets[0].fd, fd);
    assert_int_equal(set.port, port);
    assert_true(set.sockets[0].wants_proxy);
    assert_int_equal(former.sockets[0].fd, -1);
    pn_listen_close(&former, true);
    pn_listen_close(&set, true);
}

static void limits_come_from_flags_and_from_the_file(void **state)
{
    char path[64];

    (void)state;
    write_config(path, "limits:\n  drain-timeout: 5s\n  header-bytes: 8KiB\n");
    assert_int_equal(READ("--config", path, "--limit", "drain-timeout=7s"), PN_OK);
    assert_int_equal(options.limits[PN_LIMIT_DRAIN_TIMEOUT], 7000);
    assert_int_equal(options.limits[PN_LIMIT_HEADER_BYTES], 8192);
    assert_int_equal(options.limits[PN_LIMIT_HEADER_COUNT], PN_LIMIT_HEADER_COUNT_DEFAULT);
    unlink(path);
    write_config(path, "gateway: :80\nlimits:\n  drain-timout: 5s\n");
    assert_int_equal(READ("--config", path), PN_NOT_FOUND);
    assert_non_null(strstr(err.message, "line 3"));
    assert_non_null(strstr(err.message, "did you mean 'drain-timeout'?"));
    unlink(path);
    assert_int_equal(READ("--limit", "drain-timeout=1d"), PN_INVALID);
}

static int drop_options(void **state)
{
    (void)state;
    pn_options_fini(&options);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_win_over_the_file_and_the_file_over_the_defaults),
        cmocka_unit_test(wrong_flag_says_which_and_what_is_expected),
        cmocka_unit_test(wrong_line_of_the_file_is_named),
        cmocka_unit_test(data_folder_has_a_default_and_is_absolute),
        cmocka_unit_test(localhost_has_one_port_on_both_loopback_addresses),
        cmocka_unit_test(address_that_is_let_go_in_a_moment_is_waited_for),
        cmocka_unit_test(address_in_use_or_malformed_is_refused_with_a_hint),
        cmocka_unit_test(listener_has_several_addresses_each_with_its_options),
        cmocka_unit_test(list_of_addresses_in_the_file_gives_way_to_a_flag),
        cmocka_unit_test(address_that_cannot_be_meant_is_refused),
        cmocka_unit_test(unix_socket_replaces_a_stale_file_and_nothing_else),
        cmocka_unit_test(open_socket_of_the_same_address_is_kept),
        cmocka_unit_test(limits_come_from_flags_and_from_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, drop_options);
}
