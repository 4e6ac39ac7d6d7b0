/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of an HTTP/2 connection, and the buckets that count what a peer may send in vain.
 */
#include "base/limits.h"
#include "http/h2_internal.h"

enum { MINUTE_MS = 60000, FIRST_WINDOW_BYTES_MIN = 4096 };

static uint32_t limit(enum pn_limit name)
{
    return (uint32_t)pn_limit_value(name); /* the table lets no greater one pass */
}

/* As many streams as have room, so that those of which nobody takes anything hold up no others. Of
 * a backend, which sends to many clients, each has a whole window; a client's streams share half of
 * the room from the beginning, and those that move borrow of the other half. */
static void leave_room(struct pn_h2_config *config, bool is_server)
{
    uint32_t first = config->stream_window_bytes;
    uint32_t fit = 0;

    if (is_server) {
        first = config->connection_window_bytes / 2 / config->streams_max;
        first = first > FIRST_WINDOW_BYTES_MIN ? first : FIRST_WINDOW_BYTES_MIN;
        first = first < config->stream_window_bytes ? first : config->stream_window_bytes;
    }
    config->first_window_bytes = first;
    fit = config->connection_window_bytes / first;
    if (config->streams_max > fit)
        config->streams_max = fit > 0 ? fit : 1;
}

void pn_h2_config_init(struct pn_h2_config *config, enum pn_h2_side side)
{
    bool is_server = side == PN_H2_SERVER;

    *config = (struct pn_h2_config){
        .http = PN_HTTP_LIMITS_IN_FORCE,
        .streams_max = limit(is_server ? PN_LIMIT_H2_STREAMS : PN_LIMIT_H2_BACKEND_STREAMS),
        .stream_window_bytes = limit(PN_LIMIT_H2_STREAM_WINDOW),
        .connection_window_bytes = limit(is_server ? PN_LIMIT_H2_CONNECTION_WINDOW
                                                   : PN_LIMIT_H2_BACKEND_CONNECTION_WINDOW),
        .allows_connect = true,
        .stall_timeout_ms = limit(PN_LIMIT_H2_STALL_TIMEOUT),
        .resets_per_minute = limit(PN_LIMIT_H2_RESETS),
        .pings_per_minute = limit(PN_LIMIT_H2_PINGS),
        .settings_per_minute = limit(PN_LIMIT_H2_SETTINGS),
        .priorities_per_minute = limit(PN_LIMIT_H2_PRIORITIES),
        .empty_data_per_minute = limit(PN_LIMIT_H2_EMPTY_DATA),
        .window_updates_per_minute = limit(PN_LIMIT_H2_WINDOW_UPDATES),
        .continuations_max = limit(PN_LIMIT_H2_CONTINUATIONS),
        .queued_frames_max = limit(PN_LIMIT_H2_QUEUED_FRAMES),
        .hpack_table_bytes = limit(PN_LIMIT_H2_HPACK_TABLE),
        .head_bytes_hard_max = limit(PN_LIMIT_H2_HEAD_BYTES),
    };
    leave_room(config, is_server);
}

int32_t pn_h2_flow_window(const struct pn_h2_config *config)
{
    return config->connection_window_bytes > INT32_MAX / 2
               ? INT32_MAX
               : (int32_t)(2 * config->connection_window_bytes);
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
