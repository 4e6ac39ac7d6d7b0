/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: writing and reading, see the header for the layout.
 */
#include "ipc/frame.h"

#include <assert.h>
#include <string.h>

static void put_be32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_be32(const char *at)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 8 | (uint8_t)at[i];
    return value;
}

static uint16_t get_be16(const char *at)
{
    return (uint16_t)((unsigned)(uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

enum pn_rc pn_frame_begin(struct pn_buf *out, uint16_t type, uint32_t id, size_t *start)
{
    char head[PN_FRAME_HEAD] = {0};

    *start = out->len;
    head[4] = (char)(uint8_t)(type >> 8);
    head[5] = (char)(uint8_t)type;
    put_be32(head + 8, id);
    return pn_buf_append(out, head, sizeof(head));
}

enum pn_rc pn_frame_u8(struct pn_buf *out, uint8_t value)
{
    return pn_buf_append(out, &value, 1);
}

enum pn_rc pn_frame_u32(struct pn_buf *out, uint32_t value)
{
    char bytes[4];

    put_be32(bytes, value);
    return pn_buf_append(out, bytes, sizeof(bytes));
}

enum pn_rc pn_frame_u64(struct pn_buf *out, uint64_t value)
{
    char bytes[8];

    put_be32(bytes, (uint32_t)(value >> 32));
    put_be32(bytes + 4, (uint32_t)value);
    return pn_buf_append(out, bytes, sizeof(bytes));
}

enum pn_rc pn_frame_bytes(struct pn_buf *out, struct pn_slice bytes)
{
    enum pn_rc rc;

    if (bytes.len > PN_FRAME_BYTES_MAX)
        return PN_LIMIT;
    rc = pn_buf_reserve(out, 4 + bytes.len);
    if (rc != PN_OK)
        return rc;
    rc = pn_frame_u32(out, (uint32_t)bytes.len);
    if (rc != PN_OK)
        return rc;
    return pn_buf_append_slice(out, bytes);
}

enum pn_rc pn_frame_str(struct pn_buf *out, const char *text)
{
    return pn_frame_bytes(out, pn_slice_str(text));
}

enum pn_rc pn_frame_end(struct pn_buf *out, size_t start)
{
    size_t len = out->len - start;

    assert(out->len >= start + PN_FRAME_HEAD);
    if (len > PN_FRAME_BYTES_MAX)
        return PN_LIMIT;
    put_be32(out->ptr + start, (uint32_t)(len - 4));
    return PN_OK;
}

enum pn_rc pn_frame_parse(struct pn_slice in, struct pn_frame *frame, size_t *used)
{
    uint32_t rest;

    *used = PN_FRAME_HEAD;
    if (in.len < 4)
        return PN_AGAIN;
    rest = get_be32(in.ptr);
    if (rest < PN_FRAME_HEAD - 4)
        return PN_MALFORMED;
    if (rest > PN_FRAME_BYTES_MAX - 4)
        return PN_LIMIT;
    *used = (size_t)rest + 4;
    /* Flags are for later; a peer that sets one means something that we do not understand. */
    if (in.len >= 8 && get_be16(in.ptr + 6) != 0)
        return PN_MALFORMED;
    if (in.len < *used)
        return PN_AGAIN;
    frame->type = get_be16(in.ptr + 4);
    frame->id = get_be32(in.ptr + 8);
    frame->fields = pn_slice(in.ptr + PN_FRAME_HEAD, *used - PN_FRAME_HEAD);
    return PN_OK;
}

/* Takes `len` bytes off the front of *fields. */
static const char *take(struct pn_slice *fields, size_t len)
{
    const char *at = fields->ptr;

    if (fields->len < len)
        return NULL;
    fields->ptr += len;
    fields->len -= len;
    return at;
}

enum pn_rc pn_frame_read_u8(struct pn_slice *fields, uint8_t *value)
{
    const char *at = take(fields, 1);

    if (!at)
        return PN_MALFORMED;
    *value = (uint8_t)*at;
    return PN_OK;
}

enum pn_rc pn_frame_read_u32(struct pn_slice *fields, uint32_t *value)
{
    const char *at = take(fields, 4);

    if (!at)
        return PN_MALFORMED;
    *value = get_be32(at);
    return PN_OK;
}

enum pn_rc pn_frame_read_u64(struct pn_slice *fields, uint64_t *value)
{
    const char *at = take(fields, 8);

    if (!at)
        return PN_MALFORMED;
    *value = (uint64_t)get_be32(at) << 32 | get_be32(at + 4);
    return PN_OK;
}

enum pn_rc pn_frame_read_bytes(struct pn_slice *fields, struct pn_slice *bytes)
{
    struct pn_slice rest = *fields;
    uint32_t len;
    const char *at;

    if (pn_frame_read_u32(&rest, &len) != PN_OK)
        return PN_MALFORMED;
    at = take(&rest, len);
    if (!at)
        return PN_MALFORMED;
    *bytes = pn_slice(at, len);
    *fields = rest;
    return PN_OK;
}
