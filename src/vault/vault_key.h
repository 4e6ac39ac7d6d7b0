/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files about keys share.
 */
#pragma once

#include <openssl/evp.h>

#include "ipc/keyholder_vault.h"
#include "vault/vault_internal.h"

#define VAULT_KEY_NUMBERS 10

struct vault_key_numbers {
    struct pn_vault_key_parts parts; /* borrow from `bytes` and from the JWK */
    struct pn_buf bytes[VAULT_KEY_NUMBERS];
};

/* vault_key_jwk.c */
/* The public part with key_ops: of a key, or of a certificate's. NULL: none of ours. */
json_t *vault_key_jwk(const struct pn_store_item *item);
json_t *vault_jwk_of_spki(struct pn_slice spki);
json_t *vault_key_default_operations(const json_t *jwk);
EVP_PKEY *vault_key_public(const struct pn_store_item *item);
/* PN_INVALID; end it with _fini in any case. */
enum pn_rc vault_key_numbers_read(const json_t *jwk, struct vault_key_numbers *numbers,
                                  struct pn_error *err) PN_MUST_USE;
void vault_key_numbers_fini(struct vault_key_numbers *numbers);

/* vault_keys.c */
/* Makes a version like `former` (a key's) and stores it, if that is still the latest one. */
enum pn_rc vault_key_renew(struct vault_call *call, const json_t *head,
                           const struct pn_store_item *former, struct pn_error *err) PN_MUST_USE;

/* vault_key_rotation.c */
/* Seconds from `from_s` to the time that the duration ("P90D", "P1Y6M") names; -1: it is none. */
int64_t vault_after_duration(int64_t from_s, const char *duration, bool is_before);
