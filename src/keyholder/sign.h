/* SPDX-License-Identifier: Apache-2.0
 *
 * Signing by a private key, after the rules allowed it.
 */
#pragma once

#include <openssl/evp.h>

#include "ipc/keyholder.h"

/** Appends to *signature (DER for ECDSA). PN_INVALID: the algorithm does not fit the key. Any
 * thread. */
enum pn_rc pn_sign(EVP_PKEY *key, enum pn_sign_algorithm algorithm, struct pn_slice message,
                   struct pn_buf *signature, struct pn_error *err) PN_MUST_USE;
/** Signs something and checks it with the certificate's public key: whether both are really a pair.
 */
enum pn_rc pn_sign_pair_check(EVP_PKEY *key, EVP_PKEY *public_key,
                              struct pn_error *err) PN_MUST_USE;
