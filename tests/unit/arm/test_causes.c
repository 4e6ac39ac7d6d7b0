/* SPDX-License-Identifier: Apache-2.0
 *
 * Cause codes: the table, the documentation and the codes that the gateway has are one.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arm/causes.h"
#include "base/file.h"

static void read_file(const char *path, struct pn_buf *text)
{
    pn_buf_init(text, 1024u * 1024);
    assert_int_equal(pn_file_read(path, text, NULL), PN_OK);
    assert_int_equal(pn_buf_append(text, "", 1), PN_OK);
}

static bool is_in_table(const char *code, size_t len)
{
    for (const struct arm_cause *cause = arm_causes; cause->code; cause++) {
        if (strlen(cause->code) == len && strncmp(cause->code, code, len) == 0)
            return true;
    }
    return false;
}

static void documentation_has_exactly_the_table(void **state)
{
    struct pn_buf text;
    size_t rows = 0, causes = 0;

    (void)state;
    read_file("docs/causes.md", &text);
    for (const struct arm_cause *cause = arm_causes; cause->code; cause++, causes++) {
        char row[1024];

        (void)snprintf(row, sizeof(row), "\n| `%s` | %s | %s |\n", cause->code, cause->meaning,
                       cause->fix);
        if (!strstr(text.ptr, row))
            fail_msg("docs/causes.md lacks:%s", row);
        assert_true(*cause->meaning && *cause->fix);
    }
    for (const char *at = text.ptr; (at = strstr(at, "\n| `")); at++)
        rows++;
    assert_int_equal(rows, causes);
    pn_buf_fini(&text);
}

/* Every code that src/upstream/failure.h lists, which is where codes are added. */
static void every_code_of_the_gateway_is_in_the_table(void **state)
{
    struct pn_buf text;
    const char *at, *end;
    size_t count = 0;

    (void)state;
    read_file("src/upstream/failure.h", &text);
    at = strstr(text.ptr, "/* The codes:");
    assert_non_null(at);
    end = strstr(at, "*/");
    assert_non_null(end);
    at += strlen("/* The codes:");
    while (at < end) {
        size_t len = 0;

        while (at + len < end && (islower((unsigned char)at[len]) ||
                                  isdigit((unsigned char)at[len]) || at[len] == '_'))
            len++;
        if (len > 0 && !is_in_table(at, len))
            fail_msg("no cause '%.*s'", (int)len, at);
        count += len > 0;
        at += len + 1;
    }
    assert_true(count > 40);
    pn_buf_fini(&text);
}

/* What failure.c answers is listed in failure.h. */
static void every_code_of_a_handshake_is_listed(void **state)
{
    struct pn_buf code, header;

    (void)state;
    read_file("src/upstream/failure.c", &code);
    read_file("src/upstream/failure.h", &header);
    for (const char *at = code.ptr; (at = strstr(at, "return \"")); at++) {
        char word[64];
        const char *start = at + strlen("return \"");
        size_t len = strcspn(start, "\"");

        assert_true(len > 0 && len < sizeof(word));
        memcpy(word, start, len);
        word[len] = '\0';
        if (!strstr(header.ptr, word))
            fail_msg("'%s' is not in failure.h", word);
    }
    pn_buf_fini(&code);
    pn_buf_fini(&header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documentation_has_exactly_the_table),
        cmocka_unit_test(every_code_of_the_gateway_is_in_the_table),
        cmocka_unit_test(every_code_of_a_handshake_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
