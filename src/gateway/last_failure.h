/* SPDX-License-Identifier: Apache-2.0
 *
 * The last failed connection to each backend entity, and of each API that sends to a URL without
 * one, told as a probe tells it, without probing: of all workers, in memory. A new failure takes
 * the place of the former one of the same backend; above the limit last-failures the one that has
 * not failed for the longest time makes room. It stays whatever else changes; it goes with its
 * backend or API.
 *
 * Thread: any; a lock is held for a moment, at failures only. A backend that fails all the time is
 * told anew once in PN_LAST_FAILURE_REST_MS, and counted in between.
 */
#pragma once

#include <jansson.h>

#include "gateway/catalog.h"
#include "tls/session.h"
#include "upstream/failure.h"

#define PN_LAST_FAILURE_REST_MS 1000

struct pn_last_failures;

/** NULL: no memory. */
struct pn_last_failures *pn_last_failures_create(void);
void pn_last_failures_destroy(struct pn_last_failures *failures);
/** `backend`: its name in lower case, or the key of the API ("/apis/echo"). `stream`: NULL when
 * there was none yet. */
void pn_last_failures_note(struct pn_last_failures *failures, const char *backend,
                           const struct pn_failure *failure, const struct pn_stream *stream);
/** The story (gateway/probe_answer.h) with "at", "firstAt" (of the same code in a row) and "count".
 *  New reference; NULL: there is none. */
json_t *pn_last_failures_get(struct pn_last_failures *failures, struct pn_slice backend);
/** Forgets those of backends and APIs that `now` does not have. */
void pn_last_failures_prune(struct pn_last_failures *failures, const struct pn_catalog *now);
