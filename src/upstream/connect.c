/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the pool and the opening of connections.
 */
#include "upstream/pool_internal.h"

static void tell(struct pn_acquire *acquire, const struct pn_stream *stream)
{
    acquire->is_told = true;
    pn_pool_tell(acquire->pool, acquire->backend, &acquire->failure, stream);
}

static void on_step(void *ctx, enum pn_opening_step step, const struct pn_peer_address *peer,
                    const char *code, const struct pn_stream *stream)
{
    (void)peer;
    (void)code;
    if (step == PN_OPENING_LOST && stream)
        tell(ctx, stream);
}

static void on_failed(void *ctx)
{
    struct pn_acquire *acquire = ctx;

    acquire->opening = NULL;
    if (!acquire->is_told)
        tell(acquire, NULL);
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
                                   .proxy_tls = group->proxy_tls,
                                   .timeout_ms = acquire->pool->limits.connect_timeout_ms,
                                   .kind = PN_OUTBOUND_BACKEND,
                                   .on_open = on_open,
                                   .on_failed = on_failed,
                                   .on_step = on_step,
                                   .ctx = acquire,
                                   .failure = &acquire->failure};

    enum pn_rc rc;

    acquire->is_told = false;
    rc = pn_opening_start(&spec, &acquire->opening);
    if (rc != PN_AGAIN && !acquire->is_told)
        tell(acquire, NULL);
    return rc;
}
