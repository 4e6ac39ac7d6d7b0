/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames between Postern's processes: bytes in, bytes out, no socket.
 *
 *   frame   = u32 length of the rest · u16 type · u16 flags (0) · u32 id · fields
 *   integer = big endian; bytes = u32 length + bytes; string = bytes without NUL
 *
 * The reader never trusts a length: PN_MALFORMED when a field runs out of the frame, PN_LIMIT above
 * PN_FRAME_BYTES_MAX. A bad frame ends that connection, never the process.
 */
#pragma once

#include "base/buf.h"

#define PN_FRAME_BYTES_MAX (16u * 1024 * 1024)
#define PN_FRAME_HEAD      12u

struct pn_frame {
    uint16_t type;
    uint32_t id; /* an answer carries the id of its question */
    struct pn_slice fields;
};

/** Starts a frame at the end of `out`; remember *start for pn_frame_end. */
enum pn_rc pn_frame_begin(struct pn_buf *out, uint16_t type, uint32_t id,
                          size_t *start) PN_MUST_USE;
enum pn_rc pn_frame_u8(struct pn_buf *out, uint8_t value) PN_MUST_USE;
enum pn_rc pn_frame_u32(struct pn_buf *out, uint32_t value) PN_MUST_USE;
enum pn_rc pn_frame_u64(struct pn_buf *out, uint64_t value) PN_MUST_USE;
enum pn_rc pn_frame_bytes(struct pn_buf *out, struct pn_slice bytes) PN_MUST_USE;
enum pn_rc pn_frame_str(struct pn_buf *out, const char *text) PN_MUST_USE;
/** Writes the length. PN_LIMIT above PN_FRAME_BYTES_MAX. */
enum pn_rc pn_frame_end(struct pn_buf *out, size_t start) PN_MUST_USE;

/** Takes one frame from the front of `in`: PN_OK and *used bytes; PN_AGAIN: not whole yet (then
 *  *used is the number of bytes needed in all, as far as known); PN_LIMIT; PN_MALFORMED. */
enum pn_rc pn_frame_parse(struct pn_slice in, struct pn_frame *frame, size_t *used) PN_MUST_USE;

/* Reading fields: each takes from the front of *fields. PN_MALFORMED when there is too little. */
enum pn_rc pn_frame_read_u8(struct pn_slice *fields, uint8_t *value) PN_MUST_USE;
enum pn_rc pn_frame_read_u32(struct pn_slice *fields, uint32_t *value) PN_MUST_USE;
enum pn_rc pn_frame_read_u64(struct pn_slice *fields, uint64_t *value) PN_MUST_USE;
/** Borrowed from the frame. */
enum pn_rc pn_frame_read_bytes(struct pn_slice *fields, struct pn_slice *bytes) PN_MUST_USE;
