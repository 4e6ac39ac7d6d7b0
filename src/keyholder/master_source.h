/* SPDX-License-Identifier: Apache-2.0
 *
 * What seals the master key itself, when it does not lie in the folder in the clear:
 *
 *   file:PATH · credential:NAME                      at least 32 random bytes
 *   passphrase-file:PATH · passphrase-credential:NAME   at least 12 characters; one line end at
 *                                                     the end is not part of it
 *
 * Credentials are systemd's ($CREDENTIALS_DIRECTORY/NAME). See
 * docs/adr/0177-sealing-the-master-key.md
 */
#pragma once

#include "keyholder/seal.h"

/** Appends FOLDER/master.wrapped's content for `master`: "PNW1" · salt (16) · the master key sealed
 * under scrypt(N = 2^15, r = 8, p = 1; RFC 7914) of what the source holds. PN_INVALID (the source),
 * PN_IO, PN_NOT_FOUND, PN_NOMEM. */
enum pn_rc pn_master_wrap(const char *source, const struct pn_master *master,
                          struct pn_buf *wrapped, struct pn_error *err) PN_MUST_USE;
/** And back. PN_INVALID also: it was wrapped by another key or passphrase, or changed. */
enum pn_rc pn_master_unwrap(const char *source, struct pn_slice wrapped, struct pn_master *master,
                            struct pn_error *err) PN_MUST_USE;
