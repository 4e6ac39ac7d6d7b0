/* SPDX-License-Identifier: Apache-2.0
 *
 * A body that can be read again from its beginning, as long as no more than a given number of bytes
 * of it has come: a source in front of another one, which keeps what passes. Above that number it
 * lets go of what it kept and only passes on.
 *
 * Invariant: each byte is in `kept` (those that were given again after a rewind come from there),
 * or still in the source behind. Thread: its source's.
 */
#pragma once

#include "base/buf.h"
#include "http/body.h"

struct pn_replay {
    struct pn_source source; /* what is read */
    struct pn_source *in;    /* what it comes from */
    struct pn_buf kept;
    size_t given;   /* bytes of `kept` that were in source.held since the beginning */
    bool is_direct; /* source.held is in->held */
};

/** `in` is borrowed, and must not be read by anybody else. At most `bytes_max` are kept. */
void pn_replay_init(struct pn_replay *replay, struct pn_source *in, size_t bytes_max);
void pn_replay_fini(struct pn_replay *replay);
/** It will not be rewound any more: what was given is let go as soon as it can be. */
void pn_replay_settle(struct pn_replay *replay);
/** Takes all that has come, without giving it. PN_EOF: the body is whole and kept; PN_AGAIN: more
 *  must come; PN_LIMIT: it is more than is kept, or the fault of the source behind says more; else
 *  that source is broken. */
enum pn_rc pn_replay_fill(struct pn_replay *replay) PN_MUST_USE;
