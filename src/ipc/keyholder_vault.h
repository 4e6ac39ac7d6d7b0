/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the keyholder: what the embedded vault asks. A vault's key is not kept by the
 * keyholder; it goes sealed into the store and comes back with each question. Sealed keys open for
 * nothing but these questions: no other one shows or uses them, and these use no key of another
 * kind.
 *
 * Errors are those of ipc/keyholder.h. `context` names the place in the store, as with sealed
 * certificates.
 */
#pragma once

#include "ipc/keyholder.h"

/* The numbers of a JSON Web Key (RFC 7518 §6), big-endian; those of the other type are empty. */
struct pn_vault_key_parts {
    const char *type;  /* "RSA" or "EC" */
    const char *curve; /* "P-256", "P-384", "P-521", "P-256K"; "" for RSA */
    struct pn_slice n, e, d, p, q, dp, dq, qi;
    struct pn_slice x, y; /* and d */
};

enum pn_vault_key_operation { PN_VAULT_KEY_SIGN = 1, PN_VAULT_KEY_DECRYPT };

/* A private key that the keyholder is to work with. */
struct pn_vault_key {
    struct pn_slice context, sealed;
    bool is_certificate; /* sealed by an import or issue: key and chain */
};

/** Generates a key: the DER SubjectPublicKeyInfo, and the key sealed to `context`. */
enum pn_rc pn_keyholder_vault_generate(struct pn_keyholder *kh, struct pn_slice context,
                                       const char *type, unsigned bits, const char *curve,
                                       struct pn_buf *spki, struct pn_buf *sealed,
                                       struct pn_error *err) PN_MUST_USE;
/** The same from its numbers. PN_INVALID: they are no key, or none that is supported. */
enum pn_rc pn_keyholder_vault_take(struct pn_keyholder *kh, struct pn_slice context,
                                   const struct pn_vault_key_parts *parts, struct pn_buf *spki,
                                   struct pn_buf *sealed, struct pn_error *err) PN_MUST_USE;
/** Signs a digest or decrypts with it. `algorithm` as in Key Vault: "RS256", "RSA-OAEP", …  `out`
 * is a secret buffer. PN_INVALID: the algorithm or the value does not fit. */
enum pn_rc pn_keyholder_vault_use(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                  enum pn_vault_key_operation operation, const char *algorithm,
                                  struct pn_slice value, struct pn_buf *out,
                                  struct pn_error *err) PN_MUST_USE;
/** The same key sealed to another place (backup and restore). Only between contexts that begin with
 * "vault/" or "backup/". */
enum pn_rc pn_keyholder_vault_move(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                   struct pn_slice context, struct pn_buf *sealed,
                                   struct pn_error *err) PN_MUST_USE;
/** A certificate request for a new key of `spec` (or for `reuse`, if not NULL), and that key sealed
 * to `context`. */
enum pn_rc pn_keyholder_vault_request(struct pn_keyholder *kh, struct pn_slice context,
                                      const struct pn_issue_spec *spec,
                                      const struct pn_vault_key *reuse, struct pn_buf *request,
                                      struct pn_buf *sealed, struct pn_error *err) PN_MUST_USE;
/** Joins the key of a request with the certificates that were made for it (DER, leaf first), as an
 * import would: sealed to `context`. PN_INVALID: the leaf is not for this key. */
enum pn_rc pn_keyholder_vault_merge(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                    struct pn_slice context, int format, bool is_private,
                                    const struct pn_slice *chain, size_t count,
                                    struct pn_imported *out, struct pn_error *err) PN_MUST_USE;
