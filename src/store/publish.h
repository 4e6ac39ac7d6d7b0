/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise 3, read your writes: after a commit, a writer waits here until the gateway of this node
 * uses that revision, and answers 2xx only then.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct pn_publisher {
    /** Wakes the feed and waits until `revision` is acknowledged. PN_UNAVAILABLE / PN_TIMEOUT: it
     * is stored and will become live, but is not yet (err says so; answer 503). PN_INTERNAL: the
     * gateway refused to compile it. Any thread. */
    enum pn_rc (*publish)(void *ctx, uint64_t revision, struct pn_error *err);
    void *ctx;
};
