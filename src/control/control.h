/* SPDX-License-Identifier: Apache-2.0
 *
 * The management plane as one process: keyholder's client, store, authority, vault, rotation, REST
 * API, feed, and two HTTPS listeners, wired together.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct pn_broker;

struct pn_control_options {
    const char *data_dir;
    unsigned workers;             /* threads per listener that run handlers; 0: the default */
    unsigned rotation_interval_s; /* 0: the default */
    const char *expiry_days;      /* NULL: the default */
    bool is_strict;               /* compatibility: azure-strict */
    bool checks_linked_access;
};

#define PN_CONTROL_WORKERS 8

/** Prepares, tells the broker that it is ready, serves until SIGTERM, SIGINT or the supervisor's
 * end, and drains. What the rooms say. Call it once, from the main thread, before any other is
 * made. */
enum pn_rc pn_control_run(struct pn_broker *broker, const struct pn_control_options *options,
                          struct pn_error *err) PN_MUST_USE;
