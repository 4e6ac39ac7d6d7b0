/* SPDX-License-Identifier: Apache-2.0
 *
 * The kept keys: on disk one sealed file for each (use, id), written and synced before anybody
 * hears of it; those in use also in memory, as OpenSSL keys. A damaged file is reported and passed
 * over. A key may be used before its file is there by who promises to ask for that before anything
 * relies on it: pn_keys_add_soon(), pn_keys_settle().
 */
#pragma once

#include <openssl/evp.h>

#include "ipc/keyholder.h"
#include "keyholder/seal.h"

#define PN_KEYS_MAX           100000u /* files */
#define PN_KEYS_OPEN_MAX      1024u /* what fits into the locked heap as RSA 4096, with room to work */
#define PN_KEYS_UNSETTLED_MAX 16u /* above, a file is written at once */
#define PN_KEY_FILE_SUFFIX    ".key.sealed"

struct pn_keys;

const char *pn_key_use_name(enum pn_key_use use);
/** Whether `number` is a use. */
bool pn_key_use_is_valid(uint8_t number);

/** Looks through what FOLDER has. `folder` and `master` are borrowed for its life. PN_IO, PN_NOMEM.
 */
enum pn_rc pn_keys_open(const char *folder, const struct pn_master *master, struct pn_keys **keys,
                        struct pn_error *err) PN_MUST_USE;
void pn_keys_close(struct pn_keys *keys);
size_t pn_keys_count(struct pn_keys *keys);

/** Keeps `key` (takes a reference of its own); one that is there already is fine. PN_LIMIT:
 * PN_KEYS_MAX. PN_IO. */
enum pn_rc pn_keys_add(struct pn_keys *keys, enum pn_key_use use, EVP_PKEY *key,
                       struct pn_key_id *id, struct pn_error *err) PN_MUST_USE;
/** The same, but a new key is in memory only: lost when the process ends before pn_keys_settle().
 */
enum pn_rc pn_keys_add_soon(struct pn_keys *keys, enum pn_key_use use, EVP_PKEY *key,
                            struct pn_key_id *id, struct pn_error *err) PN_MUST_USE;
/** PN_OK: its file is written and synced. PN_NOT_FOUND: there is no such key. PN_IO: it could not
 * be written, and the key is gone. */
enum pn_rc pn_keys_settle(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                          struct pn_error *err) PN_MUST_USE;
/** The caller frees *key (EVP_PKEY_free). PN_NOT_FOUND. The file cannot be opened any more: PN_IO,
 *  PN_DENIED, PN_MALFORMED, PN_INVALID. */
enum pn_rc pn_keys_get(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                       EVP_PKEY **key, struct pn_error *err) PN_MUST_USE;
/** Removes the file, then the key. PN_IO: it is still there. */
enum pn_rc pn_keys_forget(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                          struct pn_error *err) PN_MUST_USE;
/** Appends the 32-byte ids. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_keys_list(struct pn_keys *keys, enum pn_key_use use, struct pn_buf *ids) PN_MUST_USE;

/** SHA-256 of the DER SubjectPublicKeyInfo; the DER itself is appended to `spki` unless NULL. */
enum pn_rc pn_key_id_of(const EVP_PKEY *key, struct pn_key_id *id, struct pn_buf *spki,
                        struct pn_error *err) PN_MUST_USE;
/** DER PrivateKeyInfo, appended to a secret buffer; and back (the caller frees *key; unsupported
 * kinds: PN_UNSUPPORTED). */
enum pn_rc pn_key_to_pkcs8(const EVP_PKEY *key, struct pn_buf *pkcs8,
                           struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_key_from_pkcs8(struct pn_slice pkcs8, EVP_PKEY **key,
                             struct pn_error *err) PN_MUST_USE;
