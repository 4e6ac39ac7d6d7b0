/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices, buffers, arenas, secrets, maps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/word.h"

static void cut_gives_each_part_and_empty_ones_between(void **state)
{
    struct pn_slice rest = PN_LIT("a,,b");
    struct pn_slice part;

    (void)state;
    assert_true(pn_slice_cut(&rest, ',', &part));
    assert_true(pn_slice_eq_str(part, "a"));
    assert_true(pn_slice_cut(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_true(pn_slice_cut(&rest, ',', &part));
    assert_true(pn_slice_eq_str(part, "b"));
    assert_false(pn_slice_cut(&rest, ',', &part));
}

static void numbers_have_digits_only_and_a_maximum(void **state)
{
    uint64_t value = 0;

    (void)state;
    assert_true(pn_slice_to_u64(PN_LIT("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_false(pn_slice_to_u64(PN_LIT("18446744073709551616"), UINT64_MAX, &value));
    assert_true(pn_slice_to_u64(PN_LIT("10"), 10, &value));
    assert_false(pn_slice_to_u64(PN_LIT("11"), 10, &value));
    assert_false(pn_slice_to_u64(PN_LIT(""), 10, &value));
    assert_false(pn_slice_to_u64(PN_LIT("+1"), 10, &value));
    assert_false(pn_slice_to_u64(PN_LIT(" 1"), 10, &value));
}

static unsigned char without_case(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

/* Words of eight bytes, and the rest of every length: each byte value against the one that it is
 * like, and against its neighbours by one bit, at each place. The texts end where their memory
 * does. */
static void case_counts_for_letters_only_at_every_place(void **state)
{
    enum { LONGEST = 26 };

    (void)state;
    for (size_t len = 1; len <= LONGEST; len++) {
        char *a = malloc(len), *b = malloc(len);

        assert_true(a && b);
        memset(a, 'k', len);
        memset(b, 'K', len);
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                for (unsigned bit = 0; bit <= 8; bit++) {
                    unsigned char other = (unsigned char)(c ^ (1u << bit)); /* 8: the same */
                    bool are_alike = without_case((unsigned char)c) == without_case(other);

                    a[at] = (char)c;
                    b[at] = (char)other;
                    assert_int_equal(pn_slice_case_eq(pn_slice(a, len), pn_slice(b, len)),
                                     are_alike);
                    if (are_alike)
                        assert_true(pn_slice_case_hash(pn_slice(a, len)) ==
                                    pn_slice_case_hash(pn_slice(b, len)));
                    else
                        assert_true(pn_slice_case_hash(pn_slice(a, len)) !=
                                    pn_slice_case_hash(pn_slice(b, len)));
                    assert_int_equal(pn_slice_hash(pn_slice(a, len)) ==
                                         pn_slice_hash(pn_slice(b, len)),
                                     memcmp(a, b, len) == 0);
                }
            }
            a[at] = 'k';
            b[at] = 'K';
        }
        assert_false(pn_slice_case_starts_with(pn_slice(a, len - 1), pn_slice(b, len)));
        assert_true(pn_slice_case_starts_with(pn_slice(a, len), pn_slice(b, len - 1)));
        free(a);
        free(b);
    }
}

static void a_byte_is_found_at_each_place_of_sixteen(void **state)
{
    (void)state;
    for (unsigned places = 0; places < 65536; places += places < 300 ? 1 : 37) {
        for (int other = 0; other < 256; other += 5) {
            char text[16];

            if (other == '\n')
                continue;
            for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char)((places >> i & 1) != 0 ? '\n' : other);
            assert_int_equal(pn_word_places16(text, '\n'), places);
            assert_int_equal(pn_word_places(pn_word_load(text), '\n') |
                                 pn_word_places(pn_word_load(text + 8), '\n') << 8,
                             places);
        }
    }
}

static void buffer_grows_to_its_maximum_and_no_further(void **state)
{
    struct pn_buf buf;

    (void)state;
    pn_buf_init(&buf, 5);
    assert_int_equal(pn_buf_append_str(&buf, "abcde"), PN_OK);
    assert_int_equal(pn_buf_append_byte(&buf, 'f'), PN_LIMIT);
    assert_int_equal(buf.len, 5);
    assert_string_equal(pn_buf_str(&buf), "abcde");
    pn_buf_consume(&buf, 3);
    assert_int_equal(pn_buf_printf(&buf, "%d", 123), PN_OK);
    assert_true(pn_slice_eq_str(pn_buf_slice(&buf), "de123"));
    assert_int_equal(pn_buf_printf(&buf, "x"), PN_LIMIT);
    pn_buf_fini(&buf);
}

static void secret_buffer_wipes_what_it_consumes(void **state)
{
    struct pn_buf buf;

    (void)state;
    pn_buf_init_secret(&buf, 64);
    assert_int_equal(pn_buf_append_str(&buf, "password!rest"), PN_OK);
    pn_buf_consume(&buf, 9);
    assert_memory_equal(buf.ptr, "rest", 4);
    for (size_t i = 4; i < 13; i++)
        assert_int_equal(buf.ptr[i], 0);
    pn_buf_fini(&buf);
}

static void arena_is_bounded_and_aligned(void **state)
{
    struct pn_arena *arena = pn_arena_create(64, 256);
    void *first;

    (void)state;
    assert_non_null(arena);
    first = pn_arena_alloc(arena, 3);
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % 16, 0);
    assert_non_null(pn_arena_alloc(arena, 100));
    assert_false(pn_arena_is_exhausted(arena));
    assert_null(pn_arena_alloc(arena, 200));
    assert_true(pn_arena_is_exhausted(arena));
    pn_arena_reset(arena);
    assert_false(pn_arena_is_exhausted(arena));
    assert_non_null(pn_arena_alloc(arena, 150));
    pn_arena_destroy(arena);
}

static void map_keeps_every_entry_through_growth_and_removal(void **state)
{
    struct pn_map *map = pn_map_create(true);
    char key[16];
    size_t seen = 0;
    size_t position = 0;

    (void)state;
    assert_non_null(map);
    for (uintptr_t i = 1; i <= 1000; i++) {
        snprintf(key, sizeof(key), "Key-%zu", (size_t)i);
        assert_int_equal(pn_map_set(map, pn_slice_str(key), (void *)i, NULL), PN_OK);
    }
    for (uintptr_t i = 1; i <= 1000; i += 3) {
        snprintf(key, sizeof(key), "kEY-%zu", (size_t)i);
        assert_ptr_equal(pn_map_remove(map, pn_slice_str(key)), (void *)i);
    }
    for (uintptr_t i = 1; i <= 1000; i++) {
        snprintf(key, sizeof(key), "key-%zu", (size_t)i);
        assert_ptr_equal(pn_map_get(map, pn_slice_str(key)), i % 3 == 1 ? NULL : (void *)i);
    }
    while (pn_map_next(map, &position, NULL, NULL))
        seen++;
    assert_int_equal(seen, pn_map_count(map));
    pn_map_destroy(map, NULL);
}

static void borrowing_map_keeps_the_later_of_two_equal_keys(void **state)
{
    struct pn_map *map = pn_map_create_borrowing(true);
    char first[] = "Key", second[] = "kEY";
    struct pn_slice key;
    size_t position = 0;

    (void)state;
    assert_int_equal(pn_map_set(map, pn_slice_str(first), first, NULL), PN_OK);
    assert_int_equal(pn_map_set(map, pn_slice_str(second), second, NULL), PN_OK);
    memset(first, 'x', sizeof(first) - 1); /* its owner may end now */
    assert_int_equal(pn_map_count(map), 1);
    assert_ptr_equal(pn_map_get(map, PN_LIT("key")), second);
    assert_true(pn_map_next(map, &position, &key, NULL));
    assert_ptr_equal(key.ptr, second);
    assert_ptr_equal(pn_map_remove(map, PN_LIT("KEY")), second);
    pn_map_destroy(map, NULL);
}

static void secrets_compare_in_full_and_end_empty(void **state)
{
    struct pn_secret secret;

    (void)state;
    assert_int_equal(pn_secret_from(&secret, "s3cret", 6), PN_OK);
    assert_true(pn_equal_constant_time(pn_secret_slice(&secret), PN_LIT("s3cret")));
    assert_false(pn_equal_constant_time(pn_secret_slice(&secret), PN_LIT("s3creT")));
    assert_false(pn_equal_constant_time(pn_secret_slice(&secret), PN_LIT("s3cre")));
    pn_secret_fini(&secret);
    assert_null(secret.ptr);
    pn_secret_fini(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_gives_each_part_and_empty_ones_between),
        cmocka_unit_test(numbers_have_digits_only_and_a_maximum),
        cmocka_unit_test(case_counts_for_letters_only_at_every_place),
        cmocka_unit_test(a_byte_is_found_at_each_place_of_sixteen),
        cmocka_unit_test(buffer_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(secret_buffer_wipes_what_it_consumes),
        cmocka_unit_test(arena_is_bounded_and_aligned),
        cmocka_unit_test(map_keeps_every_entry_through_growth_and_removal),
        cmocka_unit_test(borrowing_map_keeps_the_later_of_two_equal_keys),
        cmocka_unit_test(secrets_compare_in_full_and_end_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
