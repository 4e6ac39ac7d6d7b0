/* SPDX-License-Identifier: Apache-2.0
 *
 * The receiving end of the feed (ipc/feed.h): frames in, changes to the catalog, answers out. Knows
 * no socket: the same reader serves the connection of control and the replay of the log. Main
 * thread.
 */
#pragma once

#include "gateway/catalog.h"
#include "ipc/feed.h"
#include "ipc/frame.h"

#define PN_FEED_BATCH_BYTES_MAX (512u * 1024 * 1024) /* frames of one commit */

/** What a frame asks for, besides changing the catalog. */
enum pn_feed_event {
    PN_FEED_STAGED,    /* nothing to do: more will follow */
    PN_FEED_COMMITTED, /* the catalog has a new snapshot: log it, swap it, then acknowledge */
    PN_FEED_REFUSED,   /* answer NACK with feed->refusal; the former snapshot stays */
    PN_FEED_ASKED_STATS,
};

struct pn_feed {
    struct pn_catalog *catalog;
    bool keeps_batch;    /* collect the frames since the last commit, for the log */
    struct pn_buf batch; /* secret */
    bool batch_is_full;  /* it begins with FULL */
    uint64_t revision;   /* of the commit that was read last */
    uint32_t stats_id;
    struct pn_error refusal;
};

void pn_feed_init(struct pn_feed *feed, struct pn_catalog *catalog, bool keeps_batch);
/** Drops what is staged and not committed. */
void pn_feed_fini(struct pn_feed *feed);
/** `raw`: the frame with its head, for the batch. PN_MALFORMED, PN_LIMIT, PN_NOMEM: end the
 * connection. */
enum pn_rc pn_feed_frame(struct pn_feed *feed, const struct pn_frame *frame, struct pn_slice raw,
                         enum pn_feed_event *event) PN_MUST_USE;

/* --- answers --- */
enum pn_rc pn_feed_write_hello(struct pn_buf *out, const char *epoch,
                               uint64_t revision) PN_MUST_USE;
enum pn_rc pn_feed_write_ack(struct pn_buf *out, uint64_t revision) PN_MUST_USE;
enum pn_rc pn_feed_write_nack(struct pn_buf *out, uint64_t revision,
                              const char *message) PN_MUST_USE;
enum pn_rc pn_feed_write_stats(struct pn_buf *out, uint32_t id) PN_MUST_USE;
/** The whole catalog as one batch: FULL, UPSERTs, COMMIT; for a new log. `out` must be secret. */
enum pn_rc pn_feed_write_catalog(struct pn_buf *out, const struct pn_catalog *catalog) PN_MUST_USE;
