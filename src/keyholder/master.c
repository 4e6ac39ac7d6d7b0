/* SPDX-License-Identifier: Apache-2.0
 *
 * FOLDER/master.key (32 random bytes) or FOLDER/master.wrapped (the same, sealed by a source
 * outside of the folder), and FOLDER/master.check (a sealed constant: tells a wrong key before
 * anything is opened or, worse, newly sealed with it).
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "keyholder/keys.h"
#include "keyholder/master_source.h"
#include "keyholder/seal.h"

#define KEY_LEN      32u
#define CHECK_DOMAIN PN_LIT("check")
#define CHECK_TEXT   PN_LIT("postern master key")
#define CHECK_MAX    256u
#define WRAPPED_MAX  256u
#define REMEDY                                                                                     \
    "put the right master.key back from its backup, or move the folder away to start with new "    \
    "keys"

static enum pn_rc make_path(char path[PATH_MAX], const char *folder, const char *name,
                            struct pn_error *err)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return pn_error_set(err, PN_INVALID, "path_too_long", "the path %s is too long", folder);
    return PN_OK;
}

/* Whether something in the folder was sealed already. */
static bool has_sealed_files(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool has = false;

    if (!dir)
        return false;
    for (entry = readdir(dir); entry && !has; entry = readdir(dir))
        has = strncmp(entry->d_name, "master.", 7) == 0 ||
              pn_slice_ends_with(pn_slice_str(entry->d_name), pn_slice_str(PN_KEY_FILE_SUFFIX));
    closedir(dir);
    return has;
}

static bool is_there(const char *folder, const char *name)
{
    char path[PATH_MAX];

    return make_path(path, folder, name, NULL) == PN_OK && access(path, F_OK) == 0;
}

static enum pn_rc make_key(const char *folder, const char *path, struct pn_master *master,
                           struct pn_error *err)
{
    if (is_there(folder, "master.wrapped"))
        return pn_error_set(
            err, PN_INVALID, "master_key_source",
            "the master key of %s is sealed (master.wrapped): say with --master-key "
            "where the key or passphrase is that opens it",
            folder);
    if (has_sealed_files(folder))
        return pn_error_set(err, PN_INVALID, "master_key_missing",
                            "%s is missing, and %s holds keys that were sealed with it; " REMEDY,
                            path, folder);
    if (pn_secret_init(&master->key, KEY_LEN) != PN_OK)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pn_random(master->key.ptr, KEY_LEN);
    return pn_file_write_atomic(path, pn_secret_slice(&master->key), 0600, err);
}

static enum pn_rc read_key(const char *folder, struct pn_master *master, struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf bytes;
    struct stat status;
    enum pn_rc rc = make_path(path, folder, "master.key", err);

    if (rc != PN_OK)
        return rc;
    pn_buf_init_secret(&bytes, KEY_LEN);
    rc = pn_file_read(path, &bytes, err);
    if (rc == PN_NOT_FOUND) {
        pn_buf_fini(&bytes);
        return make_key(folder, path, master, err);
    }
    if (rc == PN_LIMIT || (rc == PN_OK && bytes.len != KEY_LEN))
        rc = pn_error_set(err, PN_INVALID, "wrong_master_key",
                          "%s does not have exactly %u bytes; " REMEDY, path, KEY_LEN);
    if (rc == PN_OK && (stat(path, &status) != 0 || (status.st_mode & 077) != 0))
        rc = pn_error_set(err, PN_INVALID, "master_key_exposed",
                          "%s may be read by other users; if nobody did, run: chmod 600 %s", path,
                          path);
    if (rc == PN_OK && pn_secret_from(&master->key, bytes.ptr, bytes.len) != PN_OK)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pn_buf_fini(&bytes);
    return rc;
}

static enum pn_rc write_check(const struct pn_master *master, const char *path,
                              struct pn_error *err)
{
    struct pn_buf sealed;
    enum pn_rc rc;

    pn_buf_init(&sealed, CHECK_MAX);
    rc = pn_seal(master, CHECK_DOMAIN, (struct pn_slice){0}, CHECK_TEXT, &sealed);
    if (rc != PN_OK)
        pn_error_set(err, rc, "seal", "cannot seal the key-check value");
    else
        rc = pn_file_write_atomic(path, pn_buf_slice(&sealed), 0600, err);
    pn_buf_fini(&sealed);
    return rc;
}

static enum pn_rc verify_check(const struct pn_master *master, const char *folder,
                               struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf sealed, plain;
    enum pn_rc rc = make_path(path, folder, "master.check", err);

    if (rc != PN_OK)
        return rc;
    pn_buf_init(&sealed, CHECK_MAX);
    pn_buf_init_secret(&plain, CHECK_MAX);
    rc = pn_file_read(path, &sealed, err);
    if (rc == PN_NOT_FOUND) {
        rc = write_check(master, path, err);
    } else if (rc == PN_OK) {
        rc = pn_unseal(master, CHECK_DOMAIN, (struct pn_slice){0}, pn_buf_slice(&sealed), &plain);
        if (rc != PN_OK || !pn_slice_eq(pn_buf_slice(&plain), CHECK_TEXT))
            rc = pn_error_set(
                err, PN_INVALID, "wrong_master_key",
                "%s/master.key is not the key that this folder was sealed with; " REMEDY, folder);
    }
    pn_buf_fini(&sealed);
    pn_buf_fini(&plain);
    return rc;
}

static enum pn_rc write_wrapped(const char *folder, const char *source,
                                const struct pn_master *master, struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf wrapped;
    enum pn_rc rc = make_path(path, folder, "master.wrapped", err);

    pn_buf_init(&wrapped, WRAPPED_MAX);
    if (rc == PN_OK)
        rc = pn_master_wrap(source, master, &wrapped, err);
    if (rc == PN_OK)
        rc = pn_file_write_atomic(path, pn_buf_slice(&wrapped), 0600, err);
    pn_buf_fini(&wrapped);
    return rc;
}

/* A missing file is fine. */
static enum pn_rc drop(const char *folder, const char *name, struct pn_error *err)
{
    char path[PATH_MAX];
    enum pn_rc rc = make_path(path, folder, name, err);

    if (rc == PN_OK && unlink(path) != 0 && errno != ENOENT)
        rc = pn_error_from_errno(err, errno, "cannot remove %s", path);
    return rc;
}

static enum pn_rc make_wrapped(const char *folder, const char *source, struct pn_master *master,
                               struct pn_error *err)
{
    if (has_sealed_files(folder))
        return pn_error_set(err, PN_INVALID, "master_key_source",
                            "%s has a master key that is not sealed by a source: run postern vault "
                            "reseal, or leave --master-key out",
                            folder);
    if (pn_secret_init(&master->key, KEY_LEN) != PN_OK)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pn_random(master->key.ptr, KEY_LEN);
    return write_wrapped(folder, source, master, err);
}

static enum pn_rc read_wrapped(const char *folder, const char *source, struct pn_master *master,
                               struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_buf wrapped;
    enum pn_rc rc = make_path(path, folder, "master.wrapped", err);

    if (rc != PN_OK)
        return rc;
    pn_buf_init(&wrapped, WRAPPED_MAX);
    rc = pn_file_read(path, &wrapped, err);
    if (rc == PN_NOT_FOUND)
        rc = make_wrapped(folder, source, master, err);
    else if (rc == PN_OK)
        rc = pn_master_unwrap(source, pn_buf_slice(&wrapped), master, err);
    pn_buf_fini(&wrapped);
    return rc;
}

enum pn_rc pn_master_open(const char *folder, const char *source, struct pn_master *master,
                          struct pn_error *err)
{
    enum pn_rc rc;

    *master = (struct pn_master){0};
    rc = pn_dir_make(folder, 0700, err);
    if (rc == PN_OK)
        rc = source ? read_wrapped(folder, source, master, err) : read_key(folder, master, err);
    if (rc == PN_OK)
        rc = verify_check(master, folder, err);
    if (rc == PN_OK && source) /* what a reseal that was killed left behind */
        rc = drop(folder, "master.key", err);
    if (rc != PN_OK)
        pn_master_fini(master);
    return rc;
}

enum pn_rc pn_master_reseal(const char *folder, const char *from, const char *to,
                            struct pn_error *err)
{
    char path[PATH_MAX];
    struct pn_master master = {0};
    enum pn_rc rc = make_path(path, folder, "master.key", err);

    if (rc == PN_OK && !is_there(folder, "master.check"))
        rc = pn_error_set(err, PN_INVALID, "master_key_missing",
                          "%s has no master key that could be sealed anew", folder);
    if (rc == PN_OK)
        rc = pn_master_open(folder, from, &master, err);
    if (rc == PN_OK && to)
        rc = write_wrapped(folder, to, &master, err);
    else if (rc == PN_OK)
        rc = pn_file_write_atomic(path, pn_secret_slice(&master.key), 0600, err);
    if (rc == PN_OK)
        rc = drop(folder, to ? "master.key" : "master.wrapped", err);
    pn_master_fini(&master);
    return rc;
}

void pn_master_fini(struct pn_master *master)
{
    if (master)
        pn_secret_fini(&master->key);
}
