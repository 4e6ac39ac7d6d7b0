/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be told without a server: help, usage errors, exit codes, policy check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "cli/cli.h"

#define ARGUMENTS_MAX 16

static char output[65536];

/* Runs with both outputs in `output`. */
static int run(const char *first, ...)
{
    const char *argv[ARGUMENTS_MAX] = {"postern", first};
    int argc = first ? 2 : 1;
    FILE *capture = tmpfile();
    int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    va_list args;
    size_t len;
    int code;

    va_start(args, first);
    while (first && argc < ARGUMENTS_MAX - 1) {
        argv[argc] = va_arg(args, const char *);
        if (!argv[argc])
            break;
        argc++;
    }
    va_end(args);
    fflush(NULL);
    assert_non_null(capture);
    dup2(fileno(capture), STDOUT_FILENO);
    dup2(fileno(capture), STDERR_FILENO);
    code = pn_cli_main(argc, (char **)(uintptr_t)argv, NULL);
    fflush(NULL);
    dup2(saved[0], STDOUT_FILENO);
    dup2(saved[1], STDERR_FILENO);
    close(saved[0]);
    close(saved[1]);
    rewind(capture);
    len = fread(output, 1, sizeof output - 1, capture);
    output[len] = '\0';
    fclose(capture);
    return code;
}

static void check_said(const char *part)
{
    if (!strstr(output, part))
        fail_msg("'%s' is not in: %s", part, output);
}

static void every_command_has_help_with_an_example(void **state)
{
    static const char *const commands[][3] = {
        {"certificate", "add"},
        {"certificate", "list"},
        {"certificate", "show"},
        {"certificate", "refresh"},
        {"certificate", "delete"},
        {"certificate", "usage"},
        {"certificate", "check"},
        {"api", "add"},
        {"api", "list"},
        {"api", "show"},
        {"api", "delete"},
        {"backend", "add"},
        {"backend", "update"},
        {"backend", "list"},
        {"backend", "show"},
        {"backend", "delete"},
        {"policy", "show"},
        {"policy", "set"},
        {"policy", "delete"},
        {"policy", "check"},
        {"vault", "secret", "set"},
        {"vault", "secret", "get"},
        {"vault", "secret", "list"},
        {"vault", "certificate", "import"},
        {"vault", "certificate", "create"},
        {"vault", "certificate", "list"},
        {"vault", "certificate", "show"},
        {"identity", "show"},
        {"identity", "add-certificate"},
        {"token"},
        {"status"},
        {"demo"},
        {"completion"},
        {"manual"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *const *words = commands[i];

        assert_int_equal(words[2]   ? run(words[0], words[1], words[2], "--help", NULL)
                         : words[1] ? run(words[0], words[1], "--help", NULL)
                                    : run(words[0], "--help", NULL),
                         PN_CLI_DONE);
        check_said("usage: postern ");
        check_said(words[0]);
        check_said("\nExample: ");
        check_said("--output json|table|tsv");
        assert_true(pn_cli_has_command(words[0]));
    }
    assert_false(pn_cli_has_command("serve"));
    assert_false(pn_cli_has_command("cert"));
}

static void group_help_lists_its_commands(void **state)
{
    (void)state;
    assert_int_equal(run("--help", NULL), PN_CLI_DONE);
    check_said("add, add-all, replace");
    check_said("POSTERN_TOKEN");
    assert_int_equal(run("help", "commands", NULL), PN_CLI_DONE);
    check_said("postern certificate add ");
    assert_int_equal(run("vault", "--help", NULL), PN_CLI_DONE);
    check_said("vault secret set");
    assert_int_equal(run("vault", NULL), PN_CLI_USAGE);
    assert_int_equal(run(NULL), PN_CLI_USAGE);
}

static void what_was_meant_is_asked(void **state)
{
    (void)state;
    assert_int_equal(run("certificate", "lsit", NULL), PN_CLI_USAGE);
    check_said("did you mean: postern certificate list");
    assert_int_equal(run("certificat", "show", "orders", NULL), PN_CLI_USAGE);
    check_said("did you mean: postern certificate show");
    assert_int_equal(run("certificate", "add", "c", "--pxf", "x", NULL), PN_CLI_USAGE);
    check_said("did you mean --pfx?");
    assert_int_equal(run("certificate", "list", "--ouput", "x", NULL), PN_CLI_USAGE);
    check_said("did you mean --output?");
}

static void wrong_usage_is_told_with_exit_code_2(void **state)
{
    (void)state;
    assert_int_equal(run("nope", NULL), PN_CLI_USAGE);
    check_said("no command \"nope\"");
    assert_int_equal(run("certificate", "show", NULL), PN_CLI_USAGE);
    check_said("missing argument");
    assert_int_equal(run("certificate", "show", "a", "b", NULL), PN_CLI_USAGE);
    check_said("unexpected argument \"b\"");
    assert_int_equal(run("certificate", "list", "--nope", NULL), PN_CLI_USAGE);
    check_said("unknown option --nope");
    assert_int_equal(run("certificate", "list", "--output", "xml", NULL), PN_CLI_USAGE);
    check_said("json, table or tsv");
    assert_int_equal(run("certificate", "list", "--query", "name", NULL), PN_CLI_USAGE);
    check_said("JSON pointer");
    assert_int_equal(run("certificate", "list", "--data", NULL), PN_CLI_USAGE);
    check_said("--data needs DIR");
    assert_int_equal(run("certificate", "add", "c", NULL), PN_CLI_USAGE);
    check_said("exactly one of --pfx and --vault-secret");
    assert_int_equal(run("certificate", "add", "c", "--pfx=/nonexistent/x", NULL), PN_CLI_USAGE);
    assert_int_equal(run("policy", "show", "--operation", "x", NULL), PN_CLI_USAGE);
    check_said("goes with --api");
    assert_int_equal(run("api", "add", "a", "--no-key=1", NULL), PN_CLI_USAGE);
}

static void password_on_the_command_line_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run("certificate", "add", "c", "--pfx", "f", "--password", "hunter2", NULL),
                     PN_CLI_USAGE);
    check_said("--password-file");
    assert_null(strstr(output, "hunter2"));
}

static void no_service_is_exit_code_3_with_what_to_do(void **state)
{
    (void)state;
    unsetenv("POSTERN_URL");
    assert_int_equal(run("certificate", "list", "--data", "/nonexistent", NULL),
                     PN_CLI_UNREACHABLE);
    check_said("no service is running on /nonexistent");
    check_said("postern serve");
}

static void policy_check_works_offline(void **state)
{
    char path[] = "/tmp/postern-test-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(
        pn_file_write_atomic(path, PN_LIT("<policies>\n <inbound><nope/></inbound></policies>"),
                             0600, NULL),
        PN_OK);
    assert_int_equal(run("policy", "check", path, NULL), PN_CLI_REFUSED);
    check_said("Error in element 'nope' on line 2, column 12: ");
    assert_int_equal(pn_file_write_atomic(path, PN_LIT("<policies/>"), 0600, NULL), PN_OK);
    assert_int_equal(run("policy", "check", path, NULL), PN_CLI_DONE);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_help_with_an_example),
        cmocka_unit_test(group_help_lists_its_commands),
        cmocka_unit_test(what_was_meant_is_asked),
        cmocka_unit_test(wrong_usage_is_told_with_exit_code_2),
        cmocka_unit_test(password_on_the_command_line_is_refused),
        cmocka_unit_test(no_service_is_exit_code_3_with_what_to_do),
        cmocka_unit_test(policy_check_works_offline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
