/* SPDX-License-Identifier: Apache-2.0
 *
 * The wiping allocator. In builds with sanitizers it is left out, and only the C library's own
 * behaviour is tested.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdlib.h>

#include "control/wipe_alloc.h"

static void freed_blocks_are_wiped(void **state)
{
    (void)state;
#if defined(PN_SANITIZED)
    assert_false(pn_wipe_alloc_is_active());
#else
    assert_true(pn_wipe_alloc_is_active());
#endif
}

static void content_survives_growing_and_shrinking(void **state)
{
    static const size_t sizes[] = {1, 24, 25, 100, 5000, 300000, 299999, 150000, 1000, 30, 8, 1};
    size_t former = 0;
    char *block = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *moved = realloc(block, sizes[i]);

        assert_non_null(moved);
        block = moved;
        for (size_t k = 0; k < former && k < sizes[i]; k++)
            assert_int_equal(block[k], (char)(k % 127));
        for (size_t k = 0; k < sizes[i]; k++)
            block[k] = (char)(k % 127);
        former = sizes[i];
    }
    free(block);
    free(NULL);
}

#if !defined(PN_SANITIZED)
static void the_tail_is_wiped_when_a_block_shrinks(void **state)
{
    unsigned char *block = malloc(100);
    const unsigned char *volatile whole = block; /* volatile: what the compiler knows of sizes */
    const unsigned char *seen = NULL;            /* would forbid this look behind the end */
    unsigned char *same = NULL;

    (void)state;
    assert_non_null(block);
    memset(block, 0x5a, 100);
    same = realloc(block, 60);
    assert_non_null(same);
    seen = whole;
    assert_ptr_equal(same, seen);
    for (size_t i = 60; i < 100; i++)
        assert_int_equal(seen[i], 0);
    free(same);
}

/* The size goes through volatile so that the compiler cannot refuse the call. */
static void arrays_that_cannot_be_are_refused(void **state)
{
    volatile size_t half = SIZE_MAX / 2;

    (void)state;
    errno = 0;
    assert_null(reallocarray(NULL, half, 3));
    assert_int_equal(errno, ENOMEM);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_blocks_are_wiped),
        cmocka_unit_test(content_survives_growing_and_shrinking),
#if !defined(PN_SANITIZED)
        cmocka_unit_test(the_tail_is_wiped_when_a_block_shrinks),
        cmocka_unit_test(arrays_that_cannot_be_are_refused),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
