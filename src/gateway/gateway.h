/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway process: the main thread with feed, catalog and log, and the workers that serve.
 */
#pragma once

#include "base/error.h"
#include "gateway/forwarded.h"
#include "ipc/broker.h"

struct pn_gateway;

struct pn_gateway_options {
    const char *data_dir; /* DIR: the feed log is DIR/gateway/feed.log */
    unsigned threads;     /* 0: one per core */
    struct pn_forwarding forwarding;
    bool use_openssl_records; /* for all TLS connections; else ours for those of TLS 1.3 */
    bool allows_guarded;      /* backends at link-local and metadata addresses */
    const char *dns_servers;  /* "192.0.2.1:53,…"; NULL: those of the system */
};

/** Everything that opens files, and no thread yet: the sandbox closes after it. Borrows `broker`.
 */
enum pn_rc pn_gateway_create(struct pn_broker *broker, const struct pn_gateway_options *options,
                             struct pn_gateway **gateway, struct pn_error *err) PN_MUST_USE;
/** Replays the log, starts the workers, serves until SIGTERM or SIGINT (then drains, PN_OK), until
 * SIGUSR2 (drains, but leaves the listening sockets to another gateway, PN_OK) or until the
 * supervisor is gone (the same). */
enum pn_rc pn_gateway_run(struct pn_gateway *gateway, struct pn_error *err) PN_MUST_USE;
void pn_gateway_destroy(struct pn_gateway *gateway);
