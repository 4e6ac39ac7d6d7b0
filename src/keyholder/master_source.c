/* SPDX-License-Identifier: Apache-2.0
 *
 * The key that wraps the master key. See master_source.h.
 */
#include "keyholder/master_source.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/encode.h"
#include "base/file.h"

#define MAGIC          "PNW1"
#define MAGIC_LEN      4u
#define SALT_LEN       16u
#define KEY_LEN        32u
#define DOMAIN         PN_LIT("wrap")
#define SOURCE_MAX     4096u
#define KEY_MIN        32u
#define PASSPHRASE_MIN 12u
#define SCRYPT_N       (1u << 15)
#define SCRYPT_MEMORY  (64u * 1024 * 1024)

/* The path that the source names, and whether a passphrase is in it. */
static enum pn_rc read_source(const char *source, char path[PATH_MAX], bool *is_passphrase,
                              struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(source);
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    struct pn_slice kind = pn_slice_sub(rest, 0, pn_slice_find(rest, ':'));
    struct pn_slice place = pn_slice_sub(rest, kind.len + 1, rest.len);
    bool is_credential;

    *is_passphrase = pn_slice_starts_with(kind, PN_LIT("passphrase-"));
    if (*is_passphrase)
        kind = pn_slice_sub(kind, strlen("passphrase-"), kind.len);
    is_credential = pn_slice_eq_str(kind, "credential");
    if (place.len == 0 || (!is_credential && !pn_slice_eq_str(kind, "file")))
        return pn_error_set(err, PN_INVALID, "master_key_source",
                            "a master key comes from file:PATH, credential:NAME, "
                            "passphrase-file:PATH or passphrase-credential:NAME");
    if (is_credential && (!folder || pn_slice_find(place, '/') < place.len))
        return pn_error_set(err, PN_INVALID, "master_key_source",
                            "the credential %.*s is not there: CREDENTIALS_DIRECTORY is not set "
                            "(systemd: LoadCredential=), or the name has a slash",
                            PN_FMT(pn_slice_sub(place, 0, 64)));
    if (snprintf(path, PATH_MAX, "%s%s%.*s", is_credential ? folder : "", is_credential ? "/" : "",
                 PN_FMT(place)) >= PATH_MAX)
        return pn_error_set(err, PN_INVALID, "path_too_long",
                            "the path of the master key is too "
                            "long");
    return PN_OK;
}

/* The wrapping key for that salt. The caller ends *kek. */
static enum pn_rc derive(const char *source, const unsigned char *salt, struct pn_master *kek,
                         struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf bytes;
    struct pn_slice secret;
    bool is_passphrase;
    enum pn_rc rc = read_source(source, path, &is_passphrase, err);

    if (rc != PN_OK)
        return rc;
    pn_buf_init_secret(&bytes, SOURCE_MAX);
    rc = pn_file_read(path, &bytes, err);
    if (rc == PN_LIMIT)
        rc = pn_error_set(err, PN_INVALID, "master_key_source", "%s has more than %u bytes", path,
                          SOURCE_MAX);
    secret = pn_buf_slice(&bytes);
    if (is_passphrase && secret.len > 0 && secret.ptr[secret.len - 1] == '\n')
        secret.len--;
    if (rc == PN_OK && secret.len < (is_passphrase ? PASSPHRASE_MIN : KEY_MIN))
        rc = pn_error_set(err, PN_INVALID, "master_key_source", "%s is too short: %s", path,
                          is_passphrase ? "a passphrase has at least 12 characters"
                                        : "a key has at least 32 random bytes");
    if (rc == PN_OK && pn_secret_init(&kek->key, KEY_LEN) != PN_OK)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc == PN_OK && EVP_PBE_scrypt(secret.ptr, secret.len, salt, SALT_LEN, SCRYPT_N, 8, 1,
                                      SCRYPT_MEMORY, kek->key.ptr, KEY_LEN) != 1)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "scrypt", "cannot derive the wrapping key");
    pn_buf_fini(&bytes);
    ERR_clear_error();
    return rc;
}

enum pn_rc pn_master_wrap(const char *source, const struct pn_master *master,
                          struct pn_buf *wrapped, struct pn_error *err)
{
    struct pn_master kek = {0};
    unsigned char salt[SALT_LEN];
    enum pn_rc rc;

    pn_random(salt, sizeof(salt));
    rc = derive(source, salt, &kek, err);
    if (rc == PN_OK)
        rc = pn_buf_append(wrapped, MAGIC, MAGIC_LEN);
    if (rc == PN_OK)
        rc = pn_buf_append(wrapped, salt, sizeof(salt));
    if (rc == PN_OK)
        rc = pn_seal(&kek, DOMAIN, pn_slice(salt, sizeof(salt)), pn_secret_slice(&master->key),
                     wrapped);
    pn_master_fini(&kek);
    return rc;
}

enum pn_rc pn_master_unwrap(const char *source, struct pn_slice wrapped, struct pn_master *master,
                            struct pn_error *err)
{
    struct pn_slice salt = pn_slice_sub(wrapped, MAGIC_LEN, SALT_LEN);
    struct pn_master kek = {0};
    struct pn_buf plain;
    enum pn_rc rc;

    if (!pn_slice_starts_with(wrapped, pn_slice_str(MAGIC)) || salt.len != SALT_LEN)
        return pn_error_set(err, PN_INVALID, "wrong_master_key",
                            "master.wrapped is damaged: put it back from its backup");
    rc = derive(source, (const unsigned char *)salt.ptr, &kek, err);
    pn_buf_init_secret(&plain, 4 * KEY_LEN);
    if (rc == PN_OK) {
        rc = pn_unseal(&kek, DOMAIN, salt, pn_slice_sub(wrapped, MAGIC_LEN + SALT_LEN, wrapped.len),
                       &plain);
        if (rc == PN_DENIED || (rc == PN_OK && plain.len != KEY_LEN))
            rc = pn_error_set(err, PN_INVALID, "wrong_master_key",
                              "what %.80s holds does not open master.wrapped: it was sealed with "
                              "another key or passphrase",
                              source);
    }
    if (rc == PN_OK && pn_secret_from(&master->key, plain.ptr, plain.len) != PN_OK)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pn_buf_fini(&plain);
    pn_master_fini(&kek);
    return rc;
}
