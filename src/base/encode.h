/* SPDX-License-Identifier: Apache-2.0
 *
 * Text forms of bytes: base64 (RFC 4648 §4), base64url without padding (§5), hex, UUIDs (RFC 9562),
 * percent-encoding (RFC 3986 §2.1), and hashes as text.
 */
#pragma once

#include "base/buf.h"

enum pn_rc pn_base64_encode(struct pn_slice bytes, struct pn_buf *out) PN_MUST_USE;
/** Appends "Basic " and base64 of user:password (RFC 7617 §2); `out` should be a secret buffer.
 * PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_basic_credentials(struct pn_slice user, struct pn_slice password,
                                struct pn_buf *out) PN_MUST_USE;
/** White space anywhere is skipped (az sends a trailing newline). PN_MALFORMED, PN_LIMIT, PN_NOMEM.
 */
enum pn_rc pn_base64_decode(struct pn_slice text, struct pn_buf *out) PN_MUST_USE;
enum pn_rc pn_base64url_encode(struct pn_slice bytes, struct pn_buf *out) PN_MUST_USE;
/** Accepts trailing padding. PN_MALFORMED on any byte outside the alphabet. */
enum pn_rc pn_base64url_decode(struct pn_slice text, struct pn_buf *out) PN_MUST_USE;

/** Writes 2*len lower-case digits and a NUL. */
void pn_hex_lower(const void *bytes, size_t len, char *out);
void pn_hex_upper(const void *bytes, size_t len, char *out);
/** Exactly `len` bytes from 2*len digits of either case; false otherwise. */
bool pn_hex_decode(struct pn_slice text, uint8_t *out, size_t len);

#define PN_UUID_TEXT 37 /* 36 characters and NUL */
/** A random (version 4) UUID in lower case. Aborts if the system has no randomness. */
void pn_uuid_v4(char out[PN_UUID_TEXT]);
/** 8-4-4-4-12 hex digits, either case. */
bool pn_is_uuid(struct pn_slice text);

/** %XX decoding; '+' stays. PN_MALFORMED on a broken escape. */
enum pn_rc pn_percent_decode(struct pn_slice text, struct pn_buf *out) PN_MUST_USE;
/** As above, and '+' is a space: application/x-www-form-urlencoded (WHATWG URL §5). */
enum pn_rc pn_form_decode(struct pn_slice text, struct pn_buf *out) PN_MUST_USE;
/** Everything but ALPHA DIGIT - . _ ~ is escaped. */
enum pn_rc pn_percent_encode(struct pn_slice text, struct pn_buf *out) PN_MUST_USE;

/** Fills with cryptographic randomness; aborts if there is none. */
void pn_random(void *out, size_t len);

#define PN_SHA1_BYTES   20
#define PN_SHA256_BYTES 32
/** Abort only if the library is broken. */
void pn_sha1(struct pn_slice bytes, uint8_t out[PN_SHA1_BYTES]);
void pn_sha256(struct pn_slice bytes, uint8_t out[PN_SHA256_BYTES]);
/** 64 lower-case hex digits and NUL. */
void pn_sha256_hex(struct pn_slice bytes, char out[65]);
