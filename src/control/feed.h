/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of the feed (ipc/feed.h): one thread that keeps the gateway of this node at the
 * store's revision, and tells waiting writers when it is there (promise 3).
 *
 * The thread connects through the broker, learns what the gateway has, sends what changed since (or
 * everything, when the gateway has another store's epoch or the change log no longer reaches back),
 * and waits for the acknowledgement. A lost connection is made anew; nothing is kept in between, so
 * a restart of either side needs no special case.
 */
#pragma once

#include "base/metrics.h"
#include "ipc/broker.h"
#include "store/publish.h"
#include "store/store.h"

/* A writer waits no longer than this for the gateway; then the answer is 503, and the change
 * becomes live when the gateway is back. */
#define PN_FEED_PUBLISH_TIMEOUT_MS 10000
/* The gateway has this long to compile and acknowledge one batch. */
#define PN_FEED_ACK_TIMEOUT_MS 30000

struct pn_feed;
struct pn_arm;

/** Makes the feed; the publisher may be handed out, but nothing is sent before pn_feed_start.
 * Broker and store are borrowed until destroy. PN_NOMEM, PN_IO. */
enum pn_rc pn_feed_create(struct pn_broker *broker, struct pn_store *store, struct pn_feed **feed,
                          struct pn_error *err) PN_MUST_USE;
/** Starts the thread; `arm` turns store items into what the gateway is told, and is borrowed until
 *  destroy. PN_IO. */
enum pn_rc pn_feed_start(struct pn_feed *feed, struct pn_arm *arm,
                         struct pn_error *err) PN_MUST_USE;
/** Ends the thread; waiting writers, and later ones, get PN_UNAVAILABLE. NULL is fine. */
void pn_feed_stop(struct pn_feed *feed);
/** When no writer has its publisher any more. */
void pn_feed_destroy(struct pn_feed *feed);
/** For the rooms that write: see store/publish.h. Valid until destroy. */
struct pn_publisher pn_feed_publisher(struct pn_feed *feed);
/** The gateway's counters, and its text of denied connections (network/denials.h) behind what is in
 *  `denials`. PN_UNAVAILABLE or PN_TIMEOUT (2 s). Any thread. */
enum pn_rc pn_feed_stats(struct pn_feed *feed, int64_t values[PN_COUNTER_COUNT],
                         struct pn_buf *denials) PN_MUST_USE;
/** Whether the gateway has acknowledged the store's newest revision; it gets a second for it. For
 *  /readyz. Any thread. */
bool pn_feed_is_current(struct pn_feed *feed);
