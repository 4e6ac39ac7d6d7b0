/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of the feed log: AES-256-GCM (NIST SP 800-38D) under the key of their file, which the
 * keyholder has sealed. Pure: no file, no process. Any thread.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define PN_FEED_RECORD_KEY_BYTES 32
#define PN_FEED_RECORD_OVERHEAD  28 /* nonce and tag */

/** Appends nonce, ciphertext and tag. `context` is authenticated with it. PN_LIMIT, PN_NOMEM,
 *  PN_INTERNAL. */
enum pn_rc pn_feed_record_seal(const uint8_t key[PN_FEED_RECORD_KEY_BYTES], struct pn_slice context,
                               struct pn_slice plain, struct pn_buf *sealed,
                               struct pn_error *err) PN_MUST_USE;
/** Appends the plain bytes. PN_DENIED: changed, of another place, or of another file; then nothing
 * is appended. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_feed_record_unseal(const uint8_t key[PN_FEED_RECORD_KEY_BYTES],
                                 struct pn_slice context, struct pn_slice sealed,
                                 struct pn_buf *plain, struct pn_error *err) PN_MUST_USE;
