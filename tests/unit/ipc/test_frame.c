/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises of the frame codec.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/frame.h"

static void make_frame(struct pn_buf *out)
{
    size_t start;

    pn_buf_init(out, PN_FRAME_BYTES_MAX + 64);
    assert_int_equal(pn_frame_begin(out, 0x1234, 0xa1b2c3d4, &start), PN_OK);
    assert_int_equal(pn_frame_u8(out, 0xfe), PN_OK);
    assert_int_equal(pn_frame_u32(out, 0xdeadbeef), PN_OK);
    assert_int_equal(pn_frame_u64(out, 0x0102030405060708ull), PN_OK);
    assert_int_equal(pn_frame_str(out, "text"), PN_OK);
    assert_int_equal(pn_frame_bytes(out, (struct pn_slice){0}), PN_OK);
    assert_int_equal(pn_frame_end(out, start), PN_OK);
}

static void what_is_written_is_read_back(void **state)
{
    struct pn_buf buf;
    struct pn_frame frame;
    struct pn_slice bytes;
    size_t used;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;

    (void)state;
    make_frame(&buf);
    assert_int_equal(pn_frame_parse(pn_buf_slice(&buf), &frame, &used), PN_OK);
    assert_int_equal(used, buf.len);
    assert_int_equal(frame.type, 0x1234);
    assert_int_equal(frame.id, 0xa1b2c3d4);
    assert_int_equal(pn_frame_read_u8(&frame.fields, &u8), PN_OK);
    assert_int_equal(u8, 0xfe);
    assert_int_equal(pn_frame_read_u32(&frame.fields, &u32), PN_OK);
    assert_int_equal(u32, 0xdeadbeef);
    assert_int_equal(pn_frame_read_u64(&frame.fields, &u64), PN_OK);
    assert_true(u64 == 0x0102030405060708ull);
    assert_int_equal(pn_frame_read_bytes(&frame.fields, &bytes), PN_OK);
    assert_true(pn_slice_eq_str(bytes, "text"));
    assert_int_equal(pn_frame_read_bytes(&frame.fields, &bytes), PN_OK);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(frame.fields.len, 0);
    pn_buf_fini(&buf);
}

static void a_frame_byte_by_byte_is_whole_at_its_last_byte_only(void **state)
{
    struct pn_buf buf;
    struct pn_frame frame;
    size_t used;

    (void)state;
    make_frame(&buf);
    for (size_t len = 0; len < buf.len; len++) {
        assert_int_equal(pn_frame_parse(pn_slice(buf.ptr, len), &frame, &used), PN_AGAIN);
        assert_int_equal(used, len < 4 ? PN_FRAME_HEAD : buf.len);
    }
    assert_int_equal(pn_frame_parse(pn_buf_slice(&buf), &frame, &used), PN_OK);
    pn_buf_fini(&buf);
}

static void a_field_that_runs_out_of_the_frame_is_malformed(void **state)
{
    static const char zeros[8] = {0};
    static const char claims_five[] = {0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e'};
    static const char claims_all[] = {(char)0xff, (char)0xff, (char)0xff, (char)0xff, 'a'};
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    struct pn_slice bytes;

    (void)state;
    for (size_t len = 0; len <= 8; len++) {
        struct pn_slice a = pn_slice(zeros, len), b = a, c = a;

        assert_int_equal(pn_frame_read_u8(&a, &u8), len >= 1 ? PN_OK : PN_MALFORMED);
        assert_int_equal(pn_frame_read_u32(&b, &u32), len >= 4 ? PN_OK : PN_MALFORMED);
        assert_int_equal(pn_frame_read_u64(&c, &u64), len >= 8 ? PN_OK : PN_MALFORMED);
    }
    for (size_t len = 0; len <= sizeof(claims_five); len++) {
        struct pn_slice fields = pn_slice(claims_five, len);

        assert_int_equal(pn_frame_read_bytes(&fields, &bytes),
                         len == sizeof(claims_five) ? PN_OK : PN_MALFORMED);
        assert_int_equal(fields.len, len == sizeof(claims_five) ? 0 : len);
    }
    bytes = pn_slice(claims_all, sizeof(claims_all));
    assert_int_equal(pn_frame_read_bytes(&bytes, &bytes), PN_MALFORMED);
}

static void lengths_are_refused_at_both_borders(void **state)
{
    char head[PN_FRAME_HEAD] = {0};
    struct pn_frame frame;
    size_t used;
    uint32_t most = PN_FRAME_BYTES_MAX - 4;

    (void)state;
    head[3] = 7;
    assert_int_equal(pn_frame_parse(pn_slice(head, 12), &frame, &used), PN_MALFORMED);
    head[3] = 8;
    assert_int_equal(pn_frame_parse(pn_slice(head, 12), &frame, &used), PN_OK);
    for (int i = 0; i < 4; i++)
        head[i] = (char)(most >> (24 - 8 * i));
    assert_int_equal(pn_frame_parse(pn_slice(head, 12), &frame, &used), PN_AGAIN);
    assert_int_equal(used, PN_FRAME_BYTES_MAX);
    most++;
    for (int i = 0; i < 4; i++)
        head[i] = (char)(most >> (24 - 8 * i));
    assert_int_equal(pn_frame_parse(pn_slice(head, 12), &frame, &used), PN_LIMIT);
}

static void a_frame_with_unknown_flags_is_malformed(void **state)
{
    struct pn_buf buf;
    struct pn_frame frame;
    size_t used;

    (void)state;
    make_frame(&buf);
    buf.ptr[7] = 1;
    assert_int_equal(pn_frame_parse(pn_buf_slice(&buf), &frame, &used), PN_MALFORMED);
    pn_buf_fini(&buf);
}

static void a_frame_above_the_limit_cannot_be_made(void **state)
{
    struct pn_buf big, out;
    size_t start;

    (void)state;
    pn_buf_init(&big, PN_FRAME_BYTES_MAX + 1);
    pn_buf_init(&out, 2u * PN_FRAME_BYTES_MAX);
    assert_int_equal(pn_buf_reserve(&big, PN_FRAME_BYTES_MAX + 1), PN_OK);
    memset(big.ptr, 'x', PN_FRAME_BYTES_MAX + 1);
    assert_int_equal(pn_frame_begin(&out, 1, 1, &start), PN_OK);
    assert_int_equal(pn_frame_bytes(&out, pn_slice(big.ptr, PN_FRAME_BYTES_MAX + 1)), PN_LIMIT);
    assert_int_equal(pn_frame_bytes(&out, pn_slice(big.ptr, PN_FRAME_BYTES_MAX - 16)), PN_OK);
    assert_int_equal(pn_frame_end(&out, start), PN_OK);
    assert_int_equal(pn_frame_u8(&out, 1), PN_OK);
    assert_int_equal(pn_frame_end(&out, start), PN_LIMIT);
    pn_buf_fini(&big);
    pn_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_frame_byte_by_byte_is_whole_at_its_last_byte_only),
        cmocka_unit_test(a_field_that_runs_out_of_the_frame_is_malformed),
        cmocka_unit_test(lengths_are_refused_at_both_borders),
        cmocka_unit_test(a_frame_with_unknown_flags_is_malformed),
        cmocka_unit_test(a_frame_above_the_limit_cannot_be_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
