/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a backend keeps an HTTP/1.1 connection, as its answers say in Keep-Alive. A request that
 * meets the moment in which the backend closes may be lost, and cannot always be sent again: so the
 * connection is left alone a while before. It is a bound beside our own, never instead of them.
 *
 * The backend counts from when it has sent the end of its answer. We know when the last bytes came,
 * not how long they were on their way, nor how long the next request will be: that is the margin.
 * Servers that round their time to seconds round it down.
 */
#include "upstream/exchange_internal.h"
#include "upstream/pool_internal.h"

#define MARGIN_MS_MAX 1000 /* else a quarter */

void pn_exchange_h1_heed_keep_alive(struct pn_exchange *exchange)
{
    struct pn_conn *conn = exchange->conn;
    struct pn_http_keep_alive keep;
    uint64_t timeout_ms, margin_ms;

    pn_http_keep_alive_of(&exchange->response.headers, &keep);
    if (keep.timeout_s == UINT32_MAX && keep.requests_max == UINT32_MAX)
        return;
    timeout_ms = keep.timeout_s * UINT64_C(1000);
    margin_ms = timeout_ms / 4 < MARGIN_MS_MAX ? timeout_ms / 4 : MARGIN_MS_MAX;
    conn->is_bounded = true;
    conn->heard_ms = pn_loop_now_ms(pn_pool_loop(exchange->pool));
    conn->kept_ms = keep.timeout_s < UINT32_MAX ? timeout_ms - margin_ms : UINT64_MAX;
    conn->requests_max =
        keep.requests_max < UINT32_MAX ? conn->requests + keep.requests_max : UINT64_MAX;
}

bool pn_conn_is_announced_over(const struct pn_conn *conn)
{
    return conn->requests >= conn->requests_max ||
           pn_loop_now_ms(conn->group->pool->loop) - conn->heard_ms >= conn->kept_ms;
}
