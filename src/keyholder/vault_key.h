/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of the embedded vault: not kept here, but given back sealed (domain "vaultkey", bound to the
 * place they are stored at) and used only for the one question they come along with. No question
 * opens that domain to show what is in it. See docs/adr/0175-vault-keys.md
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ipc/keyholder_vault.h"
#include "keyholder/bundle.h"

/** "RSA" of 2048, 3072 or 4096 bits; "EC" on "P-256", "P-384", "P-521" or "P-256K" (bits ignored).
 * The caller frees *key. PN_INVALID, PN_INTERNAL. */
enum pn_rc pn_vault_key_generate(const char *type, unsigned bits, const char *curve, EVP_PKEY **key,
                                 struct pn_error *err) PN_MUST_USE;
/** From the numbers of a JWK, checked as a pair. PN_INVALID, PN_NOMEM. */
enum pn_rc pn_vault_key_build(const struct pn_vault_key_parts *parts, EVP_PKEY **key,
                              struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_vault_key_seal(const EVP_PKEY *key, const struct pn_master *master,
                             struct pn_slice context, struct pn_buf *sealed,
                             struct pn_error *err) PN_MUST_USE;
/** PN_DENIED: not sealed here, changed, or of another context or domain. */
enum pn_rc pn_vault_key_unseal(const struct pn_master *master, struct pn_slice context,
                               struct pn_slice sealed, EVP_PKEY **key,
                               struct pn_error *err) PN_MUST_USE;

/** Signs a digest (the result of ECDSA is r and s, RFC 7518 §3.4) or decrypts; appended to the
 * secret buffer `out`. PN_INVALID: the algorithm does not fit the key, the digest's length is
 * wrong, or there is nothing to decrypt (which of the reasons is not told). */
enum pn_rc pn_vault_key_use(EVP_PKEY *key, enum pn_vault_key_operation operation,
                            const char *algorithm, struct pn_slice value, struct pn_buf *out,
                            struct pn_error *err) PN_MUST_USE;

/** A certificate request (RFC 2986) with what `spec` says, for `key`: DER, appended. */
enum pn_rc pn_vault_key_request(const struct pn_issue_spec *spec, EVP_PKEY *key, struct pn_buf *out,
                                struct pn_error *err) PN_MUST_USE;
