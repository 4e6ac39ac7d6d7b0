/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of an HTTP/2 connection, and the buckets that count what a peer may send in vain.
 */
#include "http/h2_internal.h"

enum { MINUTE_MS = 60000 };

void pn_h2_config_init(struct pn_h2_config *config, enum pn_h2_side side)
{
    bool is_server = side == PN_H2_SERVER;

    *config = (struct pn_h2_config){
        .http = PN_HTTP_LIMITS_DEFAULT,
        .streams_max = is_server ? PN_H2_STREAMS_MAX : PN_H2_BACKEND_STREAMS_MAX,
        .stream_window_bytes = PN_H2_STREAM_WINDOW_BYTES,
        .connection_window_bytes =
            is_server ? PN_H2_CONNECTION_WINDOW_BYTES : PN_H2_BACKEND_CONNECTION_WINDOW_BYTES,
        .allows_connect = true,
        .stall_timeout_ms = PN_H2_STALL_TIMEOUT_MS,
        .resets_per_minute = PN_H2_RESETS_PER_MINUTE,
        .pings_per_minute = PN_H2_PINGS_PER_MINUTE,
        .settings_per_minute = PN_H2_SETTINGS_PER_MINUTE,
        .priorities_per_minute = PN_H2_PRIORITIES_PER_MINUTE,
        .empty_data_per_minute = PN_H2_EMPTY_DATA_PER_MINUTE,
        .window_updates_per_minute = PN_H2_WINDOW_UPDATES_PER_MINUTE,
        .continuations_max = PN_H2_CONTINUATIONS_MAX,
        .queued_frames_max = PN_H2_QUEUED_FRAMES_MAX,
        .head_bytes_hard_max = PN_H2_HEAD_BYTES_HARD_MAX,
    };
}

void pn_h2_bucket_init(struct h2_bucket *bucket, uint32_t per_minute, uint64_t now_ms)
{
    *bucket = (struct h2_bucket){
        .credit = (uint64_t)per_minute * MINUTE_MS, .filled_ms = now_ms, .per_minute = per_minute};
}

static void add(struct h2_bucket *bucket, uint64_t credit)
{
    uint64_t max = (uint64_t)bucket->per_minute * MINUTE_MS;

    bucket->credit = max - bucket->credit > credit ? bucket->credit + credit : max;
}

bool pn_h2_bucket_take(struct h2_bucket *bucket, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > bucket->filled_ms ? now_ms - bucket->filled_ms : 0;

    if (passed_ms > MINUTE_MS)
        passed_ms = MINUTE_MS;
    add(bucket, passed_ms * bucket->per_minute);
    bucket->filled_ms = now_ms;
    if (bucket->credit < MINUTE_MS)
        return false;
    bucket->credit -= MINUTE_MS;
    return true;
}

void pn_h2_bucket_give(struct h2_bucket *bucket)
{
    add(bucket, MINUTE_MS);
}
