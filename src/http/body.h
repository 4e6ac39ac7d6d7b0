/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a body comes from: an HTTP/1.1 connection, an HTTP/2 stream, memory. Whoever sends a body
 * on pulls it out of a source, so a piece is taken from the peer only when the one before it is on
 * its way: that is the back-pressure of every direction.
 *
 *   pn_source_peek()   the next piece, as a slice of the source's own buffer
 *   pn_source_use()    so many bytes of it are done with
 *   pn_source_read()   nothing is buffered: ask the peer for more
 *
 * A source tells nobody when it has more: its owner does, by its own events. Thread: its loop's.
 */
#pragma once

#include "http/head.h"

struct pn_source;

struct pn_source_ops {
    /** Called when `held` is empty and the body has not ended: puts the next piece, not empty, into
     *  `held`. PN_OK; PN_AGAIN: nothing is buffered; PN_EOF: the body ends here (the caller notes
     *  it); else `fault` may tell. */
    enum pn_rc (*next)(struct pn_source *source);
    /** Gets more from the peer, once. PN_OK; PN_AGAIN: an event will tell; PN_EOF: the peer has
     *  ended and that is where the body ends; PN_IO, PN_MALFORMED: it was cut; PN_NOMEM. */
    enum pn_rc (*read)(struct pn_source *source);
    /** `len` bytes of `held` were used: window updates. NULL: nothing to do. */
    void (*used)(struct pn_source *source, size_t len);
    /** Begins anew; called only while is_kept. NULL: a source that is never kept. */
    void (*rewind)(struct pn_source *source);
};

struct pn_source {
    const struct pn_source_ops *ops;
    struct pn_slice held; /* taken off its framing, not yet used; valid until all of it is used */
    uint64_t taken_bytes; /* that were ever in `held` */
    uint64_t bytes_max;   /* of the whole body; above: PN_LIMIT with the fault 413. 0: no limit */
    bool has_ended;       /* the last byte has been in `held` */
    bool is_kept;         /* all that was ever in `held` can be had again: http/replay.h */
    const struct pn_headers *trailers; /* of a body that has ended; NULL: none are wanted */
    enum pn_rc failure; /* why it failed: PN_IO, PN_MALFORMED, PN_LIMIT, PN_NOMEM, PN_TIMEOUT */
    struct pn_http_fault fault;
};

/** `has_ended`: there is no body. */
void pn_source_init(struct pn_source *source, const struct pn_source_ops *ops, bool has_ended);
/** A body that is there already. `bytes` is borrowed until all of it is used. */
void pn_source_init_memory(struct pn_source *source, struct pn_slice bytes);
/** PN_OK: source->held is not empty. PN_AGAIN, PN_EOF, or what ops->next() said. */
enum pn_rc pn_source_peek(struct pn_source *source) PN_MUST_USE;
/** len <= held.len. */
void pn_source_use(struct pn_source *source, size_t len);
/** PN_OK: peek again. PN_AGAIN, PN_EOF, or what ops->read() said. */
enum pn_rc pn_source_read(struct pn_source *source) PN_MUST_USE;
/** Drops what has come of a body that nobody wants, without waiting. True: that was all of it. */
bool pn_source_skip(struct pn_source *source);
/** It can be read from its beginning: nothing was taken yet, or all that was is kept. */
bool pn_source_can_rewind(const struct pn_source *source);
/** Reads it from its beginning. Only if it can be. */
void pn_source_rewind(struct pn_source *source);
/** Everything was used. */
bool pn_source_is_done(const struct pn_source *source);
