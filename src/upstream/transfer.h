/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving a body out of its source (http/body.h) into an HTTP/1.1 stream, with back-pressure: bytes
 * are read only when the ones before are on their way, so each direction holds at most one buffer.
 *
 *   stream -> pn_inlet (buffer) -> pn_body_in (framing taken off), or another source
 *          -> pn_body_out (framing put on, head in front) -> stream
 *
 * Heads and the first body bytes leave in one write. Small pieces are copied together; large ones
 * are written from the buffer they were read into. Thread: the loop's.
 */
#pragma once

#include "http/body.h"
#include "http/h1.h"
#include "tls/session.h"

#define PN_IO_BUFFER_BYTES  (64u * 1024)  /* one inlet's buffer; holds any head within its limit */
#define PN_IO_SPARE_MAX     256           /* unused buffers a thread keeps */
#define PN_TRANSFER_COPY    4096          /* pieces up to this are copied together */
#define PN_TRANSFER_OUT_MAX (256u * 1024) /* a head and what was copied behind it */

/* --- buffers of a thread --- */

struct pn_io_buffers {
    struct pn_io_spare *spare;
    size_t count;
};
void pn_io_buffers_init(struct pn_io_buffers *buffers);
void pn_io_buffers_fini(struct pn_io_buffers *buffers);

/* --- reading --- */

/** What has been read from a stream and not yet been used. Has a buffer only while it needs one. */
struct pn_inlet {
    struct pn_io_buffers *buffers;
    char *base;
    size_t start, end;
    bool is_drained; /* the stream has no more now: do not ask again before it says "readable" */
};
void pn_inlet_init(struct pn_inlet *inlet, struct pn_io_buffers *buffers);
/** Gives the buffer back; unread bytes are gone. */
void pn_inlet_fini(struct pn_inlet *inlet);
/** Gives the buffer back when it is empty. */
void pn_inlet_rest(struct pn_inlet *inlet);
struct pn_slice pn_inlet_bytes(const struct pn_inlet *inlet);
void pn_inlet_consume(struct pn_inlet *inlet, size_t len);
/** Reads once behind what is there. PN_OK: more is there; PN_AGAIN, PN_EOF, PN_IO; PN_LIMIT: the
 *  buffer is full; PN_NOMEM. Slices into the inlet are no longer valid when something was consumed
 *  since they were made. */
enum pn_rc pn_inlet_read(struct pn_inlet *inlet, struct pn_stream *stream) PN_MUST_USE;

/** The body of an HTTP/1.1 message being read. */
struct pn_body_in {
    struct pn_source source; /* first */
    struct pn_inlet *inlet;
    struct pn_stream *stream;
    struct pn_h1_body framing;
};
void pn_body_in_init(struct pn_body_in *body, struct pn_inlet *inlet, struct pn_stream *stream,
                     enum pn_h1_side side, enum pn_framing framing, uint64_t content_length,
                     const struct pn_http_limits *limits, struct pn_headers *trailers);

/* --- writing --- */

/** A message being written. */
struct pn_body_out {
    struct pn_stream *stream;
    struct pn_buf out; /* head, chunk lines, copied pieces */
    size_t out_sent;
    struct pn_slice piece;   /* a large one, still in the source's buffer */
    struct pn_slice tail;    /* the line end behind it */
    enum pn_framing framing; /* CHUNKED: put chunk lines around; else bytes as they are */
    bool discards;           /* HEAD, 204, 304: the body is read and not written */
    bool has_ended;          /* the end of the body has been put into `out` */
    uint64_t sent_bytes;     /* everything that the stream took */
};
/** `out` keeps its memory between messages. */
void pn_body_out_init(struct pn_body_out *body);
void pn_body_out_fini(struct pn_body_out *body);
/** Starts a message: put the head into body->out now. */
void pn_body_out_start(struct pn_body_out *body, struct pn_stream *stream, enum pn_framing framing);
bool pn_body_out_is_empty(const struct pn_body_out *body);
/** Writes what waits. PN_OK: nothing waits any more; PN_AGAIN; PN_IO. `in` (may be NULL) is the
 *  source that a piece belongs to. */
enum pn_rc pn_body_out_flush(struct pn_body_out *body, struct pn_source *in) PN_MUST_USE;

enum pn_transfer {
    PN_TRANSFER_DONE,          /* the whole message is written */
    PN_TRANSFER_WAIT_READ,     /* the source has nothing now */
    PN_TRANSFER_WAIT_WRITE,    /* the sink takes nothing now */
    PN_TRANSFER_YIELD,         /* much was moved: let others run, then go on */
    PN_TRANSFER_SOURCE_FAILED, /* in->failure, in->fault */
    PN_TRANSFER_SINK_FAILED,
};
/** Moves what can be moved now. The source's trailers go behind a chunked body. */
enum pn_transfer pn_transfer(struct pn_source *in, struct pn_body_out *out);
