/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay.h.
 */
#include "http/replay.h"

#include <assert.h>

#include "base/list.h"

static struct pn_replay *replay_of(struct pn_source *source)
{
    return PN_CONTAINER(source, struct pn_replay, source);
}

/** All that the source behind holds goes into `kept`. False: that is more than may be kept, or
 *  there is no memory; nothing has changed. */
static bool keep(struct pn_replay *replay)
{
    struct pn_source *in = replay->in;

    if (!replay->source.is_kept || pn_buf_append_slice(&replay->kept, in->held) != PN_OK)
        return false;
    pn_source_use(in, in->held.len);
    return true;
}

static void note_end(struct pn_replay *replay)
{
    const struct pn_source *in = replay->in;

    replay->source.trailers = in->trailers;
    replay->source.has_ended =
        in->has_ended && replay->given == replay->kept.len &&
        (in->held.len == 0 || (replay->is_direct && replay->source.held.len > 0));
}

static void give_kept(struct pn_replay *replay)
{
    replay->source.held =
        pn_slice(replay->kept.ptr + replay->given, replay->kept.len - replay->given);
    replay->given = replay->kept.len;
    replay->is_direct = false;
    note_end(replay);
}

static enum pn_rc replay_next(struct pn_source *source)
{
    struct pn_replay *replay = replay_of(source);
    struct pn_source *in = replay->in;
    enum pn_rc rc;

    if (replay->given < replay->kept.len) {
        give_kept(replay);
        return PN_OK;
    }
    rc = pn_source_peek(in);
    source->fault = in->fault;
    if (rc == PN_OK && keep(replay)) {
        give_kept(replay);
        return PN_OK;
    }
    if (rc == PN_OK) { /* too much: from here on it only passes */
        source->is_kept = false;
        pn_buf_fini(&replay->kept);
        replay->given = 0;
        source->held = in->held;
        replay->is_direct = true;
    }
    note_end(replay);
    return rc;
}

static enum pn_rc replay_read(struct pn_source *source)
{
    struct pn_replay *replay = replay_of(source);

    return replay->given < replay->kept.len ? PN_OK : pn_source_read(replay->in);
}

static void replay_used(struct pn_source *source, size_t len)
{
    struct pn_replay *replay = replay_of(source);

    if (replay->is_direct)
        pn_source_use(replay->in, len);
}

static void replay_rewind(struct pn_source *source)
{
    struct pn_replay *replay = replay_of(source);

    assert(source->is_kept && !replay->is_direct);
    replay->given = 0;
    source->held = pn_slice("", 0);
    note_end(replay);
}

static const struct pn_source_ops replay_ops = {replay_next, replay_read, replay_used,
                                                replay_rewind};

void pn_replay_init(struct pn_replay *replay, struct pn_source *in, size_t bytes_max)
{
    pn_source_init(&replay->source, &replay_ops, false);
    replay->source.is_kept = true;
    replay->in = in;
    replay->given = 0;
    replay->is_direct = false;
    pn_buf_init(&replay->kept, bytes_max);
    note_end(replay);
}

void pn_replay_fini(struct pn_replay *replay)
{
    pn_buf_fini(&replay->kept);
    replay->source.held = pn_slice("", 0);
    replay->given = 0;
}

void pn_replay_settle(struct pn_replay *replay)
{
    replay->source.is_kept = false;
    if (replay->is_direct || replay->source.held.len > 0 || replay->given < replay->kept.len)
        return;
    pn_buf_fini(&replay->kept);
    replay->given = 0;
}

enum pn_rc pn_replay_fill(struct pn_replay *replay)
{
    struct pn_source *in = replay->in;

    for (;;) {
        enum pn_rc rc = pn_source_peek(in);

        if (rc == PN_AGAIN)
            rc = pn_source_read(in);
        else if (rc == PN_OK && !keep(replay))
            return PN_LIMIT;
        if (rc == PN_EOF) {
            note_end(replay);
            return rc;
        }
        if (rc != PN_OK) {
            replay->source.fault = in->fault;
            return rc;
        }
    }
}
