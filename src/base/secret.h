/* SPDX-License-Identifier: Apache-2.0
 *
 * Key material, passwords and tokens. Cleansed when ended; there is no copy function and no
 * printf form on purpose. `struct pn_secret` is in locked memory where mlock is allowed.
 */
#pragma once

#include "base/rc.h"
#include "base/slice.h"

struct pn_secret {
    uint8_t *ptr;
    size_t len;
    size_t mapped; /* bytes of the private mapping; 0 when empty */
};

/** Takes `len` zeroed bytes in their own locked, undumpable pages. PN_NOMEM. */
enum pn_rc pn_secret_init(struct pn_secret *secret, size_t len) PN_MUST_USE;
/** As _init, filled from `bytes`; the caller wipes its own copy. */
enum pn_rc pn_secret_from(struct pn_secret *secret, const void *bytes, size_t len) PN_MUST_USE;
/** Wipes and gives back. A zeroed secret is fine. */
void pn_secret_fini(struct pn_secret *secret);
/** Borrowed until _fini. */
struct pn_slice pn_secret_slice(const struct pn_secret *secret);
/** Wipes bytes so that the compiler cannot leave it out. */
void pn_wipe(void *ptr, size_t len);
/** Wipes and frees a NUL-terminated heap string; NULL is fine. */
void pn_wipe_free_str(char *text);
/** Takes NAME's value out of the environment, into `out` (size with NUL), and wipes it there: who
 *  looks at the process's environment (/proc/PID/environ) does not find it. False, and "": there is
 *  none, or it is too long. Before there are threads. */
bool pn_secret_take_env(const char *name, char *out, size_t size);
/** Constant time in the lengths' minimum; false at once when the lengths differ. */
bool pn_equal_constant_time(struct pn_slice a, struct pn_slice b);
