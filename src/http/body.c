/* SPDX-License-Identifier: Apache-2.0
 *
 * What all sources of bodies share.
 */
#include "http/body.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"

#define SKIP_READS_MAX 4 /* to get rid of an unwanted body */

void pn_source_init(struct pn_source *source, const struct pn_source_ops *ops, bool has_ended)
{
    memset(source, 0, sizeof(*source));
    source->ops = ops;
    source->has_ended = has_ended;
}

void pn_source_init_memory(struct pn_source *source, struct pn_slice bytes)
{
    static const struct pn_source_ops memory_ops = {0}; /* all of it is held: nothing is asked */

    pn_source_init(source, &memory_ops, true);
    source->held = bytes;
    source->taken_bytes = bytes.len;
}

/** A new piece is held. */
static enum pn_rc take(struct pn_source *source)
{
    source->taken_bytes += source->held.len;
    if (source->bytes_max == 0 || source->taken_bytes <= source->bytes_max)
        return PN_OK;
    pn_limit_hit(PN_LIMIT_REQUEST_BODY_BYTES);
    source->held = pn_slice("", 0);
    source->fault.status = 413;
    source->fault.cause = "the body is too large: the limit request-body-bytes";
    return PN_LIMIT;
}

enum pn_rc pn_source_peek(struct pn_source *source)
{
    enum pn_rc rc;

    if (source->held.len > 0)
        return PN_OK;
    if (source->has_ended)
        return PN_EOF;
    rc = source->ops->next(source);
    if (rc == PN_OK)
        rc = take(source);
    else if (rc == PN_EOF)
        source->has_ended = true;
    return rc;
}

void pn_source_use(struct pn_source *source, size_t len)
{
    assert(len <= source->held.len);
    source->held = pn_slice_sub(source->held, len, source->held.len - len);
    if (source->ops->used)
        source->ops->used(source, len);
}

enum pn_rc pn_source_read(struct pn_source *source)
{
    enum pn_rc rc = source->ops->read(source);

    if (rc == PN_EOF)
        source->has_ended = true;
    return rc;
}

bool pn_source_skip(struct pn_source *source)
{
    for (int round = 0; round < SKIP_READS_MAX; round++) {
        enum pn_rc rc;

        for (rc = pn_source_peek(source); rc == PN_OK; rc = pn_source_peek(source))
            pn_source_use(source, source->held.len);
        if (rc == PN_EOF)
            return true;
        if (rc != PN_AGAIN || pn_source_read(source) != PN_OK)
            return false;
    }
    return false;
}

bool pn_source_can_rewind(const struct pn_source *source)
{
    return source->taken_bytes == 0 || source->is_kept;
}

void pn_source_rewind(struct pn_source *source)
{
    if (source->taken_bytes == 0)
        return;
    assert(source->is_kept);
    source->taken_bytes = 0;
    source->ops->rewind(source);
}

bool pn_source_is_done(const struct pn_source *source)
{
    return source->has_ended && source->held.len == 0;
}
