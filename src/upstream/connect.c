/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the pool and the opening of connections.
 */
#include "upstream/pool_internal.h"

static void on_failed(void *ctx)
{
    struct pn_acquire *acquire = ctx;

    acquire->opening = NULL;
    pn_acquire_failed(acquire);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_acquire *acquire = ctx;

    acquire->opening = NULL;
    pn_acquire_opened(acquire, stream);
}

enum pn_rc pn_acquire_connect(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    struct pn_opening_spec spec = {.loop = acquire->pool->loop,
                                   .resolver = acquire->pool->resolver,
                                   .host = pn_slice(group->host, group->host_len),
                                   .port = group->port,
                                   .tls = group->tls,
                                   .is_h2c = group->is_h2c,
                                   .proxy = group->proxy,
                                   .timeout_ms = acquire->pool->limits.connect_timeout_ms,
                                   .on_open = on_open,
                                   .on_failed = on_failed,
                                   .ctx = acquire,
                                   .failure = &acquire->failure};

    return pn_opening_start(&spec, &acquire->opening);
}
