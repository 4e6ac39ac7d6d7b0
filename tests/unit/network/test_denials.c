/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting what was denied.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "network/denials.h"

static struct pn_buf out;

static int setup(void **state)
{
    (void)state;
    pn_denials_reset();
    pn_buf_init(&out, PN_DENIALS_TEXT_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_buf_fini(&out);
    return 0;
}

static bool prints(const char *others, const char *line)
{
    pn_buf_clear(&out);
    assert_int_equal(pn_denials_print(pn_slice_str(others), &out), PN_OK);
    return strstr(pn_buf_str(&out), line) != NULL;
}

#define METRIC "postern_outbound_denied_total"

static void both_processes_are_added_up(void **state)
{
    (void)state;
    pn_denial_note(PN_OUTBOUND_VAULT, "no-vault", "words");
    pn_denial_note(PN_OUTBOUND_VAULT, "no-vault", "words");
    pn_denial_note(PN_OUTBOUND_WEBHOOK, "no-vault", "words");
    assert_int_equal(pn_denials_write(&out), PN_OK);
    assert_string_equal(pn_buf_str(&out), "vault no-vault 2\nwebhook no-vault 1\n");
    assert_true(prints("vault no-vault 5\nbackend a_b.c 1\n",
                       METRIC "{kind=\"vault\",rule=\"no-vault\"} 7\n"));
    assert_true(prints("backend a_b.c 1\n", METRIC "{kind=\"backend\",rule=\"a_b.c\"} 1\n"));
    assert_true(prints("", METRIC "{kind=\"webhook\",rule=\"no-vault\"} 1\n"));
}

static void what_another_process_says_is_not_believed_blindly(void **state)
{
    static const char *const bad[] = {"backend a\"} 1\n", "backend  1\n",   "planet a 1\n",
                                      "backend a x\n",    "backend a -1\n", "backend a\n",
                                      "backend a b 1\n",  "\n\n",           "backend"};
    char longer[256];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(prints(bad[i], METRIC "{"));
    (void)snprintf(longer, sizeof longer, "backend %0150d 1\n", 0);
    assert_false(prints(longer, METRIC "{"));
}

static void pairs_beyond_the_table_are_other(void **state)
{
    char rule[32];
    size_t lines = 0;

    (void)state;
    for (int i = 0; i < PN_DENIALS_MAX + 100; i++) {
        (void)snprintf(rule, sizeof rule, "r%d", i);
        pn_denial_note(PN_OUTBOUND_BACKEND, rule, "words");
    }
    pn_denial_note(PN_OUTBOUND_VAULT, "late", "words");
    pn_denial_note(PN_OUTBOUND_BACKEND, "r0", "words");
    assert_int_equal(pn_denials_write(&out), PN_OK);
    for (const char *at = pn_buf_str(&out); (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, PN_DENIALS_MAX - PN_OUTBOUND_KIND_COUNT + 2);
    assert_non_null(strstr(pn_buf_str(&out), "backend r0 2\n"));
    assert_non_null(strstr(pn_buf_str(&out), "backend other 106\n"));
    assert_non_null(strstr(pn_buf_str(&out), "vault other 1\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_processes_are_added_up),
        TEST(what_another_process_says_is_not_believed_blindly),
        TEST(pairs_beyond_the_table_are_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
