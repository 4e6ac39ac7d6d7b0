/* SPDX-License-Identifier: Apache-2.0
 *
 * An AEAD of libcrypto, called at the functions of the provider that implements it. EVP calls the
 * same functions, but looks up parameters by name for each nonce and each tag: for a small record
 * it takes as many instructions as all else together (docs/adr/0200-what-a-record-costs.md). For
 * the record layer only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

#define PN_AEAD_NONCE_BYTES 12
#define PN_AEAD_TAG_BYTES   16

struct pn_aead;     /* an algorithm, found once and kept for the life of the process */
struct pn_aead_key; /* a key of it in one direction, and the record that is in work; one thread */

/** `name`: as OpenSSL knows it ("AES-128-GCM"). *aead lives as long as the process.
 *  PN_UNSUPPORTED: libcrypto does not have it, or it is no such cipher. PN_NOMEM. */
enum pn_rc pn_aead_find(const char *name, struct pn_aead **aead) PN_MUST_USE;

/** `key`: of as many bytes as the algorithm's keys have; copied. `seals`: for encryption.
 *  PN_INTERNAL: refused, or of another length. PN_NOMEM. */
enum pn_rc pn_aead_key_create(const struct pn_aead *aead, const uint8_t *key, size_t len,
                              bool seals, struct pn_aead_key **result) PN_MUST_USE;
/** Wipes and frees. NULL is fine. */
void pn_aead_key_destroy(struct pn_aead_key *key);

/* A message: begin, any number of updates, and seal or open. All of them are false when libcrypto
 * refused; its error queue has the reason, and the message is lost. */

/** `data` is authenticated and not encrypted. A nonce must never come twice. */
bool pn_aead_begin(struct pn_aead_key *key, const uint8_t nonce[PN_AEAD_NONCE_BYTES],
                   const uint8_t *data, size_t len) PN_MUST_USE;
/** Encrypts or decrypts `len` bytes, also in place. */
bool pn_aead_update(struct pn_aead_key *key, uint8_t *out, const void *in, size_t len) PN_MUST_USE;
/** The end of a message that was encrypted: its tag. */
bool pn_aead_seal(struct pn_aead_key *key, uint8_t tag[PN_AEAD_TAG_BYTES]) PN_MUST_USE;
/** The tag that a message which will be decrypted must have. After begin, before the first update.
 */
bool pn_aead_expect(struct pn_aead_key *key, uint8_t tag[PN_AEAD_TAG_BYTES]) PN_MUST_USE;
/** The end of a message that was decrypted. false: its tag is another; what update gave counts for
 *  nothing. */
bool pn_aead_open(struct pn_aead_key *key) PN_MUST_USE;
