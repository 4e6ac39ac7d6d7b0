/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the frames between the processes: what a less trusted process sends is hostile. The first
 * byte chooses the order in which fields are read. Checked: no field reaches out of its frame, a
 * frame in pieces is the same frame, and what was read is written back to the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum pn_rc copy_field(unsigned kind, struct pn_slice *fields, struct pn_buf *out)
{
    uint8_t u8 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    struct pn_slice bytes;
    enum pn_rc rc = PN_OK;

    switch (kind % 4) {
    case 0:
        rc = pn_frame_read_u8(fields, &u8);
        return rc == PN_OK ? pn_frame_u8(out, u8) : rc;
    case 1:
        rc = pn_frame_read_u32(fields, &u32);
        return rc == PN_OK ? pn_frame_u32(out, u32) : rc;
    case 2:
        rc = pn_frame_read_u64(fields, &u64);
        return rc == PN_OK ? pn_frame_u64(out, u64) : rc;
    default:
        rc = pn_frame_read_bytes(fields, &bytes);
        return rc == PN_OK ? pn_frame_bytes(out, bytes) : rc;
    }
}

static void try_fields(unsigned kinds, const struct pn_frame *frame)
{
    struct pn_slice rest = frame->fields;
    struct pn_buf out;
    size_t start = 0;

    pn_buf_init(&out, 1u << 22);
    must(pn_frame_begin(&out, frame->type, frame->id, &start) == PN_OK);
    while (rest.len > 0) {
        size_t before = rest.len;

        if (copy_field(kinds, &rest, &out) != PN_OK)
            break;
        must(rest.len < before);
        kinds = (kinds >> 2) | ((kinds & 3) << 6);
    }
    must(pn_frame_end(&out, start) == PN_OK);
    must(out.len == PN_FRAME_HEAD + frame->fields.len - rest.len);
    must(memcmp(out.ptr + PN_FRAME_HEAD, frame->fields.ptr, out.len - PN_FRAME_HEAD) == 0);
    pn_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_slice in;

    if (size < 1 || size > 1u << 20)
        return 0;
    in = pn_slice(data + 1, size - 1);
    while (in.len > 0) {
        struct pn_frame frame = {0};
        size_t used = 0;
        size_t needed = 0;

        if (pn_frame_parse(in, &frame, &used) != PN_OK)
            break;
        must(used >= PN_FRAME_HEAD && used <= in.len);
        must(frame.fields.len == used - PN_FRAME_HEAD);
        must(pn_frame_parse(pn_slice(in.ptr, used - 1), &frame, &needed) == PN_AGAIN);
        must(pn_frame_parse(pn_slice(in.ptr, used), &frame, &needed) == PN_OK && needed == used);
        try_fields(data[0], &frame);
        in = pn_slice_sub(in, used, in.len);
    }
    return 0;
}
