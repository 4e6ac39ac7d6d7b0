/* SPDX-License-Identifier: Apache-2.0
 *
 * "Sign this TLS message with key K": an OpenSSL provider whose keys have a public part and a name
 * (use, key id), and whose signatures come from the keyholder. There is no private part to lose: an
 * export that asks for it is refused.
 *
 * The provider lives in an OSSL_LIB_CTX of its own, together with OpenSSL's "default" provider. All
 * TLS contexts are made in it (SSL_CTX_new_ex(pn_signer_libctx(), PN_SIGNER_PROPERTIES));
 * everything else (hashes, token checks) stays in the process' default context and never meets this
 * provider. docs/adr/0010-signer-library-context.md
 *
 * A signature is asked of what the calling thread was bound to; a thread without binding signs
 * nothing (PN_UNAVAILABLE). The call blocks for at most the limit signature-timeout.
 */
#pragma once

#include <openssl/evp.h>

#include "base/error.h"
#include "ipc/keyholder.h"

struct pn_signer;

/** The whole seam: who signs. Same contract and errors as pn_keyholder_sign. */
typedef enum pn_rc (*pn_sign_fn)(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                                 enum pn_sign_algorithm algorithm, struct pn_slice message,
                                 struct pn_buf *signature, struct pn_error *err);

#define PN_SIGNER_MESSAGE_MAX   (256u * 1024) /* a TLS 1.2 transcript with long chains */
#define PN_SIGNER_PROPERTIES    "?provider=default"
#define PN_SIGNER_PROVIDER_NAME "postern"

/** PN_INTERNAL: OpenSSL refused the provider (err tells). PN_NOMEM. */
enum pn_rc pn_signer_create(struct pn_signer **signer, struct pn_error *err) PN_MUST_USE;
/** After all keys and contexts made with it are gone, and after every other thread that used it has
 *  ended. */
void pn_signer_destroy(struct pn_signer *signer);
/** For SSL_CTX_new_ex(). Borrowed. Any thread. */
OSSL_LIB_CTX *pn_signer_libctx(const struct pn_signer *signer);

/** For certificates of which only the bytes and the facts are wanted: no key is decoded in it,
 * which is most of the work of reading one (0.2 ms of 0.2). Borrowed. Any thread. */
OSSL_LIB_CTX *pn_signer_bare_libctx(const struct pn_signer *signer);
/** What pn_signer_key() would say about the key id and the kind of key, from the algorithm's
 *  identifier alone. PN_UNSUPPORTED, PN_MALFORMED, PN_INVALID as there. Any thread. */
enum pn_rc pn_signer_key_check(const struct pn_signer *signer, const struct pn_key_id *key,
                               struct pn_slice spki, struct pn_error *err) PN_MUST_USE;

/** The key `key` of use `use`, whose public part is `spki` (DER SubjectPublicKeyInfo: RSA, RSA-PSS,
 *  EC on P-256/P-384/P-521, Ed25519). The caller EVP_PKEY_free()s *pkey. PN_UNSUPPORTED: another
 * kind of key. PN_MALFORMED: not an SPKI. PN_INVALID: its SHA-256 is not the key id. Any thread. */
enum pn_rc pn_signer_key(struct pn_signer *signer, enum pn_key_use use, const struct pn_key_id *key,
                         struct pn_slice spki, EVP_PKEY **pkey, struct pn_error *err) PN_MUST_USE;

/** Signatures made on this thread are asked of `keyholder` (NULL: none). Borrowed until rebound. */
void pn_signer_bind_thread(struct pn_keyholder *keyholder);
/** The same with another function: tests sign with a local key. */
void pn_signer_bind_thread_fn(pn_sign_fn sign, void *ctx);

/** `label` of RFC 8446 §7.1 without "tls13 ": "c ap traffic"; `secret`: what was derived. Both are
 * OpenSSL's: borrowed for the call, and wiped by whoever copies them. */
typedef void (*pn_secret_fn)(void *ctx, struct pn_slice label, struct pn_slice secret);
/** From now on, what TLS 1.3 derives on this thread is told to `on_secret`; NULL: to nobody. */
void pn_signer_watch_secrets(pn_secret_fn on_secret, void *ctx);

/** Why the last signature of this thread failed: rc PN_UNAVAILABLE, PN_TIMEOUT, PN_DENIED,
 *  PN_NOT_FOUND, …; rc PN_OK: none has failed since pn_signer_clear_error(). Borrowed, this thread.
 */
const struct pn_error *pn_signer_last_error(void);
void pn_signer_clear_error(void);
/** Puts back what pn_signer_last_error() said before. */
void pn_signer_set_error(const struct pn_error *error);
