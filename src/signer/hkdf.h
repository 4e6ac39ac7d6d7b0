/* SPDX-License-Identifier: Apache-2.0
 *
 * HKDF as TLS 1.3 uses it (RFC 5869, RFC 8446 §7.1), on OpenSSL's hashes. OpenSSL 3.0's own
 * "TLS13-KDF" looks up, allocates and copies so much around each of its two to four hashes that it
 * takes a tenth of a resumed handshake. docs/adr/0205-resumed-handshakes.md
 */
#pragma once

#include "base/rc.h"
#include "base/slice.h"

#define PN_HKDF_BYTES_MAX 48 /* of a secret: SHA-384 */
#define PN_HKDF_LABEL_MAX 255

enum pn_hkdf_hash { PN_HKDF_SHA256, PN_HKDF_SHA384 };

/** By OpenSSL's name for it ("SHA256", "SHA2-256", …). PN_UNSUPPORTED: not one of the two. */
enum pn_rc pn_hkdf_find(const char *digest_name, enum pn_hkdf_hash *hash) PN_MUST_USE;
/** Bytes of a hash: of each secret. */
size_t pn_hkdf_len(enum pn_hkdf_hash hash);

/** HKDF-Expand-Label; `prefix` is "tls13 ". `out`: `len` bytes, at most one hash.
 *  PN_LIMIT: more than that, or prefix and label, or context, are longer than PN_HKDF_LABEL_MAX
 * together. PN_NOMEM. Any thread. */
enum pn_rc pn_hkdf_expand_label(enum pn_hkdf_hash hash, struct pn_slice secret,
                                struct pn_slice prefix, struct pn_slice label,
                                struct pn_slice context, uint8_t *out, size_t len) PN_MUST_USE;

/** The key schedule's step: HKDF-Extract(Derive-Secret(previous, label, ""), input), with the label
 * "derived". `previous` empty: the first step, whose salt is zeros; `input` empty: zeros, too.
 * `out`: a hash. PN_NOMEM, PN_LIMIT as above. */
enum pn_rc pn_hkdf_next_secret(enum pn_hkdf_hash hash, struct pn_slice previous,
                               struct pn_slice prefix, struct pn_slice label, struct pn_slice input,
                               uint8_t *out) PN_MUST_USE;
