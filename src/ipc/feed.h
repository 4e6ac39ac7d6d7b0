/* SPDX-License-Identifier: Apache-2.0
 *
 * The feed: control tells the gateway its resources, in order; the gateway acknowledges by
 * revision. docs/feed.md tells the types and their JSON. Control connects (service "gateway.feed").
 *
 *   gateway -> control  HELLO   str epoch · u64 revision            what it has (epoch "" =
 * nothing) control -> gateway  FULL    str epoch                           forget all; upserts
 * follow control -> gateway  UPSERT  str key · str type · bytes json control -> gateway  DELETE str
 * key control -> gateway  COMMIT  str epoch · u64 revision            compile all since the last
 * commit, swap gateway -> control  ACK     u64 revision                        every thread uses it
 * from now on gateway -> control  NACK    u64 revision · str message          refused whole; the
 * former stays control -> gateway  STATS   (id)                                ask for the counters
 *   gateway -> control  STATS   (same id) · u32 n · n × u64         pn_metric order
 *                               · bytes                             pn_denials_write()
 *
 * The gateway has sealed and written a batch to its own log before it says ACK. The key of a
 * resource is its path below the service in lower case: "/apis/echo/operations/get".
 */
#pragma once

#include <stdint.h>

enum pn_feed_type {
    PN_FEED_HELLO = 0x300,
    PN_FEED_FULL,
    PN_FEED_UPSERT,
    PN_FEED_DELETE,
    PN_FEED_COMMIT,
    PN_FEED_ACK,
    PN_FEED_NACK,
    PN_FEED_STATS,
};
