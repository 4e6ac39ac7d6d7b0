/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream that is another one's transport instead of a socket: TLS within TLS, through a proxy
 * that is itself reached by TLS. What recv(2) and send(2) would say is said of the stream: an
 * orderly end is an end, one without close_notify is a broken connection. For this room only.
 */
#pragma once

#include "tls/session.h"

typedef void (*pn_below_event_fn)(struct pn_stream *upper, unsigned events); /* PN_LOOP_… */

struct pn_below {
    struct pn_stream *stream; /* owned; its events are ours */
    struct pn_stream *upper;
    pn_below_event_fn on_event;
    struct pn_task task; /* the event that a watched socket gives at once */
};

/** Takes `stream`, an open one. NULL: no memory, and `stream` stays the caller's. The result is
 *  freed with free() after pn_below_end(). */
struct pn_below *pn_below_create(struct pn_stream *upper, struct pn_stream *stream,
                                 pn_below_event_fn on_event);
/** From now on there are events, the first of them in this turn. */
void pn_below_watch(struct pn_below *below);
/** Ends the stream; no event comes any more. */
void pn_below_end(struct pn_below *below);

/* As recv(2) and send(2) of a non-blocking socket: -1 and errno EAGAIN or ECONNRESET. Reading gives
 * at most one record, so a short read does not mean that nothing is left. */
ssize_t pn_below_read(struct pn_below *below, void *bytes, size_t len);
ssize_t pn_below_write(struct pn_below *below, const void *bytes, size_t len);
ssize_t pn_below_writev(struct pn_below *below, const struct iovec *iov, int count);
