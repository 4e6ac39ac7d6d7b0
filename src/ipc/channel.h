/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream socket that carries frames, used blockingly by one thread at a time: questions and
 * answers between processes. File descriptors may travel with a frame.
 *
 * A frame is read by two exact reads (head, rest) and nothing beyond it, so a descriptor always
 * belongs to the frame in whose bytes it came.
 */
#pragma once

#include "base/error.h"
#include "ipc/frame.h"

struct pn_channel {
    int fd; /* -1 when closed */
    struct pn_buf
        in; /* secret: wiped; in.max bounds what the peer may send (default: a whole frame) */
    uint32_t next_id;
};

/** Takes `fd`. */
void pn_channel_init(struct pn_channel *channel, int fd);
/** Closes. A zeroed channel must first be initialised with fd -1. */
void pn_channel_fini(struct pn_channel *channel);
/** Sends what `frame` holds (one or more whole frames), with `pass_fd` unless -1.
 *  PN_UNAVAILABLE: the peer is gone. PN_TIMEOUT. The channel is closed after either. */
enum pn_rc pn_channel_send(struct pn_channel *channel, struct pn_slice frame, int pass_fd,
                           int timeout_ms) PN_MUST_USE;
/** Waits until something is there to be read, or the peer has gone; takes nothing. timeout_ms < 0:
 * forever. PN_TIMEOUT leaves the channel open. PN_EOF: it is closed already. */
enum pn_rc pn_channel_wait(const struct pn_channel *channel, int timeout_ms) PN_MUST_USE;
/** Waits for one frame; its fields are borrowed until the next call. *passed_fd (may be NULL) is
 * the descriptor that came along, or -1. timeout_ms < 0: forever. PN_EOF, PN_TIMEOUT, PN_MALFORMED,
 *  PN_LIMIT: after each of them the channel is closed (PN_TIMEOUT too: an answer that comes late
 *  must not be taken for the next one). */
enum pn_rc pn_channel_receive(struct pn_channel *channel, struct pn_frame *frame, int *passed_fd,
                              int timeout_ms) PN_MUST_USE;
