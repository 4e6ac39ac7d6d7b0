/* SPDX-License-Identifier: Apache-2.0
 *
 * Which generation of a client certificate is shown to which backend, from when to when: for the
 * audit log. One table of the process, behind a mutex that is taken when a connection to a backend
 * opens and when it ends, never for a request.
 *
 * An entry stays until it is forgotten by pn_uses_forget(), so that its reader misses none. When
 * the table is full, further pairs are not noted, and pn_uses_dropped() counts them.
 *
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define PN_USES_MAX      4096
#define PN_USES_PAGE_MAX 200
#define PN_USE_NAME_MAX  257
#define PN_USE_PEER_MAX  272 /* "host:port" */
#define PN_USE_PRINT_MAX 41

struct pn_use {
    char certificate[PN_USE_NAME_MAX];
    uint64_t generation;
    char thumbprint[PN_USE_PRINT_MAX];
    char backend[PN_USE_PEER_MAX];
    int64_t first_ms, last_ms; /* Unix; `last` is now while one is open */
    size_t open;               /* connections */
    bool is_told;              /* pn_uses_tell(): the reader has noted its beginning */
};

/** A connection to host:port over which this generation was shown, or whose TLS session it was. */
void pn_uses_opened(const char *certificate, uint64_t generation, const char *thumbprint,
                    struct pn_slice host, uint16_t port);
/** One that was noted so has ended. */
void pn_uses_closed(const char *certificate, uint64_t generation, struct pn_slice host,
                    uint16_t port);
/** Up to `max` entries into `out`; how many there are. */
size_t pn_uses_read(struct pn_use *out, size_t max);
/** The entry of these three is known to the reader. */
void pn_uses_tell(const char *certificate, uint64_t generation, const char *backend);
/** It is not needed any more; one with an open connection stays. */
void pn_uses_forget(const char *certificate, uint64_t generation, const char *backend);
uint64_t pn_uses_dropped(void);
