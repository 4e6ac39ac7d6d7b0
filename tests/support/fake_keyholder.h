/* SPDX-License-Identifier: Apache-2.0
 *
 * A keyholder in this process, for unit tests of rooms that ask one: the same functions as
 * ipc/keyholder.h, with keys in a table. Include fake_keyholder.c into a test's support.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ipc/keyholder.h"

/** Calls fail with PN_UNAVAILABLE while set. */
extern bool fake_keyholder_is_away;
/** It was killed before a key was on the disk: pn_keyholder_settle() finds none, while set. */
extern bool fake_keyholder_has_restarted;
/** Kept keys of a use. */
size_t fake_keyholder_count(enum pn_key_use use);
/** Frees all keys. */
void fake_keyholder_reset(void);
/** Makes a PKCS#12 (password may be NULL) or PEM file with a new RSA key and a self-signed
 * certificate. */
void fake_make_file(const char *subject, bool as_pem, const char *password, struct pn_buf *out);
