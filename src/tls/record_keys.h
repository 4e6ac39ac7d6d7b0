/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of one direction of a connection: traffic secret, key, nonce (RFC 8446 §5.3, §7.2, §7.3).
 * For the record layer only.
 */
#pragma once

#include "base/rc.h"
#include "tls/record.h"
#include "tls/record_cipher.h"

#define PN_RECORD_IV_BYTES PN_AEAD_NONCE_BYTES

struct pn_record_cipher; /* what a suite consists of */

struct pn_record_half {
    struct pn_aead_key *key; /* NULL: not made yet, or given back */
    uint64_t sequence;       /* of the next record */
    uint8_t iv[PN_RECORD_IV_BYTES];
    uint8_t secret[PN_RECORD_SECRET_MAX];
};

/** NULL: unknown, or not in this libcrypto. */
const struct pn_record_cipher *pn_record_cipher_find(uint16_t suite);
size_t pn_record_cipher_secret_len(const struct pn_record_cipher *cipher);
/** Makes the key if there is none. PN_NOMEM. */
enum pn_rc pn_record_half_ready(struct pn_record_half *half, const struct pn_record_cipher *cipher,
                                bool is_out) PN_MUST_USE;
/** The next secret takes the place of this one (RFC 8446 §7.2). PN_NOMEM: unusable. */
enum pn_rc pn_record_half_update(struct pn_record_half *half,
                                 const struct pn_record_cipher *cipher) PN_MUST_USE;
/** The nonce of the next record; counts it. */
void pn_record_half_nonce(struct pn_record_half *half, uint8_t nonce[PN_RECORD_IV_BYTES]);
/** Frees the key; the secret stays. */
void pn_record_half_rest(struct pn_record_half *half);
