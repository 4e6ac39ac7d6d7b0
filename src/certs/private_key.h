/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys in PKCS#8 (RFC 5208), for the processes that may see one: the keyholder and
 * postern-import. The gateway links nothing of it.
 */
#pragma once

#include <openssl/types.h>

/** The key that `info` holds: as EVP_PKCS82PKEY() makes it, but four times as fast for RSA,
 * RSA-PSS, EC and Ed25519. The caller frees it. NULL: OpenSSL's queue says why. Any thread. */
EVP_PKEY *pn_private_key_decode(const PKCS8_PRIV_KEY_INFO *info);
