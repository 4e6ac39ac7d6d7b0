/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of kept keys and its folder.
 *
 * Files: "<use>-<hex of id>.key.sealed". Every file is unsealed once at the start, which finds
 * damaged ones, and decoded when its key is first used: decoding takes OpenSSL half a millisecond,
 * and of thousands of keys few are in use. Of the decoded ones PN_KEYS_OPEN_MAX stay, those used
 * last.
 *
 * Two locks. `change` is held by who adds or forgets a key, over the file too, so that memory and
 * disk never disagree. `lock` guards the table and is held for memory only: a disk that is slow to
 * sync must not keep a loop of the gateway waiting for a signature. Who has `change` may take
 * `lock`. A caller takes a reference on a key and signs outside of both.
 */
#include "keyholder/keys.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

#define KEY_DOMAIN     PN_LIT("key")
#define KEY_FILE_MAX   (32u * 1024)
#define NAME_MAX_BYTES 128

struct kept {
    EVP_PKEY *key;        /* NULL: in its file only */
    struct pn_list entry; /* in pn_keys.open while `key` is there */
    bool is_unsettled;    /* it has no file yet: `key` is all there is */
};

struct pn_keys {
    pthread_mutex_t change;
    pthread_mutex_t lock;
    const char *folder;
    const struct pn_master *master;
    struct pn_map *table; /* use (1 byte) + id -> struct kept */
    struct pn_list open;  /* the one used last first */
    size_t open_count;
    size_t unsettled_count;
};

struct place {
    char bytes[1 + 32];        /* the table's key */
    char name[NAME_MAX_BYTES]; /* "client-<hex>": the file's stem and the sealing context */
};

const char *pn_key_use_name(enum pn_key_use use)
{
    switch (use) {
    case PN_USE_CLIENT:
        return "client";
    case PN_USE_SERVER:
        return "server";
    case PN_USE_MANAGEMENT:
        return "management";
    case PN_USE_TOKEN:
        return "token";
    case PN_USE_CA:
        return "ca";
    }
    return "unknown";
}

bool pn_key_use_is_valid(uint8_t number)
{
    return number >= PN_USE_CLIENT && number <= PN_USE_CA;
}

static struct place place_of(enum pn_key_use use, const struct pn_key_id *id)
{
    struct place place;
    char hex[65];

    pn_hex_lower(id->sha256, sizeof(id->sha256), hex);
    place.bytes[0] = (char)use;
    memcpy(place.bytes + 1, id->sha256, sizeof(id->sha256));
    snprintf(place.name, sizeof(place.name), "%s-%s", pn_key_use_name(use), hex);
    return place;
}

static struct pn_slice table_key(const struct place *place)
{
    return pn_slice(place->bytes, sizeof(place->bytes));
}

static enum pn_rc file_path(const struct pn_keys *keys, const char *stem, char path[PATH_MAX],
                            struct pn_error *err)
{
    if (snprintf(path, PATH_MAX, "%s/%s" PN_KEY_FILE_SUFFIX, keys->folder, stem) >= PATH_MAX)
        return pn_error_set(err, PN_INVALID, "path_too_long", "the path %s is too long",
                            keys->folder);
    return PN_OK;
}

/* "client-<64 hex>.key.sealed" -> use and id. */
static bool parse_name(const char *name, enum pn_key_use *use, struct pn_key_id *id)
{
    struct pn_slice rest = pn_slice_str(name);
    struct pn_slice suffix = pn_slice_str(PN_KEY_FILE_SUFFIX);

    if (!pn_slice_ends_with(rest, suffix))
        return false;
    rest.len -= suffix.len;
    for (int number = PN_USE_CLIENT; number <= PN_USE_CA; number++) {
        struct pn_slice prefix = pn_slice_str(pn_key_use_name((enum pn_key_use)number));

        if (rest.len == prefix.len + 65 && pn_slice_starts_with(rest, prefix) &&
            rest.ptr[prefix.len] == '-') {
            *use = (enum pn_key_use)number;
            return pn_hex_decode(pn_slice_sub(rest, prefix.len + 1, 64), id->sha256,
                                 sizeof(id->sha256));
        }
    }
    return false;
}

/* --- in memory: the lock is held --- */

/* Those who sign have references of their own; the last one frees the key. ThreadSanitizer does not
 * see how libcrypto counts them: tests/tsan.supp names this function. */
static void shut(struct pn_keys *keys, struct kept *kept)
{
    if (!kept->key)
        return;
    EVP_PKEY_free(kept->key);
    kept->key = NULL;
    pn_list_remove(&kept->entry);
    keys->open_count--;
}

/* The one used longest ago; not one that has no file. */
static void shut_one(struct pn_keys *keys)
{
    for (struct pn_list *at = keys->open.prev; at != &keys->open; at = at->prev) {
        struct kept *kept = PN_CONTAINER(at, struct kept, entry);

        if (kept->is_unsettled)
            continue;
        shut(keys, kept);
        return;
    }
}

/* Takes a reference on `key`. */
static void keep_open(struct pn_keys *keys, struct kept *kept, EVP_PKEY *key)
{
    if (kept->key)
        return;
    if (keys->open_count >= PN_KEYS_OPEN_MAX)
        shut_one(keys);
    EVP_PKEY_up_ref(key);
    kept->key = key;
    pn_list_push_front(&keys->open, &kept->entry);
    keys->open_count++;
}

static enum pn_rc enter(struct pn_keys *keys, const struct place *place, struct kept **out)
{
    struct kept *kept = calloc(1, sizeof(*kept));
    enum pn_rc rc = PN_NOMEM;

    if (kept) {
        pn_list_init(&kept->entry);
        rc = pn_map_set(keys->table, table_key(place), kept, NULL);
    }
    if (rc == PN_OK)
        *out = kept;
    else
        free(kept);
    return rc;
}

/* --- files --- */

static enum pn_rc read_file(const struct pn_keys *keys, const struct place *place,
                            struct pn_buf *pkcs8, struct pn_error *err)
{
    struct pn_buf sealed;
    char path[PATH_MAX];
    enum pn_rc rc;

    pn_buf_init(&sealed, KEY_FILE_MAX);
    rc = file_path(keys, place->name, path, err);
    if (rc == PN_OK)
        rc = pn_file_read(path, &sealed, err);
    if (rc == PN_OK) {
        rc = pn_unseal(keys->master, KEY_DOMAIN, pn_slice_str(place->name), pn_buf_slice(&sealed),
                       pkcs8);
        if (rc != PN_OK)
            pn_error_set(err, rc, "damaged_key", "%s was changed or damaged, or is of another key",
                         path);
    }
    pn_buf_fini(&sealed);
    return rc;
}

static enum pn_rc open_file(const struct pn_keys *keys, const struct place *place, EVP_PKEY **out,
                            struct pn_error *err)
{
    struct pn_key_id actual;
    struct pn_buf plain;
    EVP_PKEY *key = NULL;
    enum pn_rc rc;

    pn_buf_init_secret(&plain, KEY_FILE_MAX);
    rc = read_file(keys, place, &plain, err);
    if (rc == PN_OK)
        rc = pn_key_from_pkcs8(pn_buf_slice(&plain), &key, err);
    if (rc == PN_OK)
        rc = pn_key_id_of(key, &actual, NULL, err);
    if (rc == PN_OK && memcmp(actual.sha256, place->bytes + 1, sizeof(actual.sha256)) != 0)
        rc = pn_error_set(err, PN_INVALID, "damaged_key",
                          "the file of %s holds another key than its name says", place->name);
    if (rc == PN_OK) {
        *out = key;
        key = NULL;
    }
    EVP_PKEY_free(key);
    pn_buf_fini(&plain);
    return rc;
}

static enum pn_rc load_file(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                            struct pn_error *err)
{
    struct place place = place_of(use, id);
    struct pn_buf plain;
    struct kept *kept;
    enum pn_rc rc;

    pn_buf_init_secret(&plain, KEY_FILE_MAX);
    rc = read_file(keys, &place, &plain, err);
    if (rc == PN_OK)
        rc = enter(keys, &place, &kept);
    pn_buf_fini(&plain);
    return rc;
}

static enum pn_rc load_all(struct pn_keys *keys, struct pn_error *err)
{
    DIR *dir = opendir(keys->folder);
    const struct dirent *entry;

    if (!dir)
        return pn_error_from_errno(err, errno, "cannot read the folder %s", keys->folder);
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        enum pn_key_use use;
        struct pn_key_id id;
        struct pn_error why = {0};

        if (!parse_name(entry->d_name, &use, &id))
            continue;
        if (pn_map_count(keys->table) >= PN_KEYS_MAX) {
            pn_log(PN_LOG_ERROR, "too_many_keys", "limit", PN_I(PN_KEYS_MAX), "file",
                   PN_S(entry->d_name), NULL);
            continue;
        }
        if (load_file(keys, use, &id, &why) != PN_OK)
            pn_log_error(PN_LOG_ERROR, "key_not_loaded", &why);
    }
    closedir(dir);
    return PN_OK;
}

enum pn_rc pn_keys_open(const char *folder, const struct pn_master *master, struct pn_keys **keys,
                        struct pn_error *err)
{
    struct pn_keys *made = calloc(1, sizeof(*made));
    enum pn_rc rc;

    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pthread_mutex_init(&made->change, NULL);
    pthread_mutex_init(&made->lock, NULL);
    pn_list_init(&made->open);
    made->folder = folder;
    made->master = master;
    made->table = pn_map_create(false);
    rc = made->table ? load_all(made, err)
                     : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc != PN_OK) {
        pn_keys_close(made);
        return rc;
    }
    *keys = made;
    return PN_OK;
}

static void free_kept(void *value)
{
    struct kept *kept = value;

    if (kept)
        EVP_PKEY_free(kept->key);
    free(kept);
}

void pn_keys_close(struct pn_keys *keys)
{
    if (!keys)
        return;
    if (keys->table)
        pn_map_destroy(keys->table, free_kept);
    pthread_mutex_destroy(&keys->lock);
    pthread_mutex_destroy(&keys->change);
    free(keys);
}

size_t pn_keys_count(struct pn_keys *keys)
{
    size_t count;

    pthread_mutex_lock(&keys->lock);
    count = pn_map_count(keys->table);
    pthread_mutex_unlock(&keys->lock);
    return count;
}

static enum pn_rc write_file(const struct pn_keys *keys, const struct place *place,
                             const EVP_PKEY *key, struct pn_error *err)
{
    struct pn_buf plain, sealed;
    char path[PATH_MAX];
    enum pn_rc rc;

    pn_buf_init_secret(&plain, KEY_FILE_MAX);
    pn_buf_init(&sealed, KEY_FILE_MAX);
    rc = file_path(keys, place->name, path, err);
    if (rc == PN_OK)
        rc = pn_key_to_pkcs8(key, &plain, err);
    if (rc == PN_OK) {
        rc = pn_seal(keys->master, KEY_DOMAIN, pn_slice_str(place->name), pn_buf_slice(&plain),
                     &sealed);
        if (rc != PN_OK)
            pn_error_set(err, rc, "seal", "cannot seal a key");
    }
    if (rc == PN_OK)
        rc = pn_file_write_atomic(path, pn_buf_slice(&sealed), 0600, err);
    pn_buf_fini(&sealed);
    pn_buf_fini(&plain);
    return rc;
}

/* PN_OK: there is room, and *is_known says whether the key is there already. */
static enum pn_rc look_for_room(struct pn_keys *keys, const struct place *place, bool *is_known,
                                struct pn_error *err)
{
    bool is_full;

    pthread_mutex_lock(&keys->lock);
    *is_known = pn_map_get(keys->table, table_key(place)) != NULL;
    is_full = pn_map_count(keys->table) >= PN_KEYS_MAX;
    pthread_mutex_unlock(&keys->lock);
    if (*is_known || !is_full)
        return PN_OK;
    return pn_error_set(err, PN_LIMIT, "too_many_keys",
                        "the keyholder keeps %u keys already; delete certificates that are not "
                        "used",
                        PN_KEYS_MAX);
}

static enum pn_rc enter_open(struct pn_keys *keys, const struct place *place, EVP_PKEY *key,
                             bool is_settled)
{
    struct kept *kept = NULL;
    enum pn_rc rc;

    pthread_mutex_lock(&keys->lock);
    rc = enter(keys, place, &kept);
    if (rc == PN_OK)
        keep_open(keys, kept, key);
    if (rc == PN_OK && !is_settled) {
        kept->is_unsettled = true;
        keys->unsettled_count++;
    }
    pthread_mutex_unlock(&keys->lock);
    return rc;
}

/* Both are held, and nobody else writes files. */
static void set_settled(struct pn_keys *keys, struct kept *kept)
{
    if (!kept->is_unsettled)
        return;
    kept->is_unsettled = false;
    keys->unsettled_count--;
}

static void drop(struct pn_keys *keys, const struct place *place)
{
    struct kept *kept;

    pthread_mutex_lock(&keys->lock);
    kept = pn_map_remove(keys->table, table_key(place));
    if (kept) {
        shut(keys, kept);
        set_settled(keys, kept);
    }
    pthread_mutex_unlock(&keys->lock);
    free(kept);
}

/* `change` is held: the key stays in the table meanwhile. */
static enum pn_rc settle(struct pn_keys *keys, const struct place *place, struct pn_error *err)
{
    EVP_PKEY *key = NULL;
    struct kept *kept;
    enum pn_rc rc;

    pthread_mutex_lock(&keys->lock);
    kept = pn_map_get(keys->table, table_key(place));
    if (kept && kept->is_unsettled) {
        key = kept->key;
        EVP_PKEY_up_ref(key);
    }
    pthread_mutex_unlock(&keys->lock);
    if (!kept)
        return pn_error_set(err, PN_NOT_FOUND, "no_such_key", "the keyholder has no key %s",
                            place->name);
    if (!key)
        return PN_OK;
    rc = write_file(keys, place, key, err);
    EVP_PKEY_free(key);
    if (rc != PN_OK) {
        drop(keys, place);
        return rc;
    }
    pthread_mutex_lock(&keys->lock);
    set_settled(keys, kept);
    pthread_mutex_unlock(&keys->lock);
    return PN_OK;
}

/* `change` is held. */
static enum pn_rc add(struct pn_keys *keys, const struct place *place, EVP_PKEY *key, bool is_soon,
                      struct pn_error *err)
{
    bool is_known = false;
    char path[PATH_MAX];
    enum pn_rc rc = look_for_room(keys, place, &is_known, err);

    if (rc != PN_OK)
        return rc;
    if (is_known)
        return is_soon ? PN_OK : settle(keys, place, err);
    if (is_soon && keys->unsettled_count < PN_KEYS_UNSETTLED_MAX) {
        rc = enter_open(keys, place, key, false);
        return rc == PN_OK ? PN_OK : pn_error_set(err, rc, "no_memory", "out of memory");
    }
    rc = write_file(keys, place, key, err);
    if (rc != PN_OK)
        return rc;
    rc = enter_open(keys, place, key, true);
    if (rc == PN_OK)
        return PN_OK;
    if (file_path(keys, place->name, path, NULL) == PN_OK)
        unlink(path);
    return pn_error_set(err, rc, "no_memory", "out of memory");
}

static enum pn_rc add_key(struct pn_keys *keys, enum pn_key_use use, EVP_PKEY *key, bool is_soon,
                          struct pn_key_id *id, struct pn_error *err)
{
    struct place place;
    enum pn_rc rc = pn_key_id_of(key, id, NULL, err);

    if (rc != PN_OK)
        return rc;
    place = place_of(use, id);
    pthread_mutex_lock(&keys->change);
    rc = add(keys, &place, key, is_soon, err);
    pthread_mutex_unlock(&keys->change);
    return rc;
}

enum pn_rc pn_keys_add(struct pn_keys *keys, enum pn_key_use use, EVP_PKEY *key,
                       struct pn_key_id *id, struct pn_error *err)
{
    return add_key(keys, use, key, false, id, err);
}

enum pn_rc pn_keys_add_soon(struct pn_keys *keys, enum pn_key_use use, EVP_PKEY *key,
                            struct pn_key_id *id, struct pn_error *err)
{
    return add_key(keys, use, key, true, id, err);
}

enum pn_rc pn_keys_settle(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                          struct pn_error *err)
{
    struct place place = place_of(use, id);
    enum pn_rc rc;

    pthread_mutex_lock(&keys->change);
    rc = settle(keys, &place, err);
    pthread_mutex_unlock(&keys->change);
    return rc;
}

/* False: there is no such key. *key stays NULL when it is in its file only. */
static bool find(struct pn_keys *keys, const struct place *place, EVP_PKEY **key)
{
    struct kept *kept;

    pthread_mutex_lock(&keys->lock);
    kept = pn_map_get(keys->table, table_key(place));
    if (kept && kept->key) {
        EVP_PKEY_up_ref(kept->key);
        *key = kept->key;
        pn_list_remove(&kept->entry);
        pn_list_push_front(&keys->open, &kept->entry);
    }
    pthread_mutex_unlock(&keys->lock);
    return kept != NULL;
}

enum pn_rc pn_keys_get(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                       EVP_PKEY **key, struct pn_error *err)
{
    struct place place = place_of(use, id);
    struct kept *kept;
    enum pn_rc rc;

    *key = NULL;
    if (!find(keys, &place, key))
        return pn_error_set(err, PN_NOT_FOUND, "no_such_key", "the keyholder has no key %s",
                            place.name);
    if (*key)
        return PN_OK;
    rc = open_file(keys, &place, key, err); /* not under the lock: others sign meanwhile */
    if (rc != PN_OK)
        return rc;
    pthread_mutex_lock(&keys->lock);
    kept = pn_map_get(keys->table, table_key(&place));
    if (kept) /* else it was forgotten meanwhile; this caller still has it */
        keep_open(keys, kept, *key);
    pthread_mutex_unlock(&keys->lock);
    return PN_OK;
}

enum pn_rc pn_keys_forget(struct pn_keys *keys, enum pn_key_use use, const struct pn_key_id *id,
                          struct pn_error *err)
{
    struct place place = place_of(use, id);
    char path[PATH_MAX];
    enum pn_rc rc = file_path(keys, place.name, path, err);

    if (rc != PN_OK)
        return rc;
    pthread_mutex_lock(&keys->change);
    if (unlink(path) != 0 && errno != ENOENT)
        rc = pn_error_from_errno(err, errno, "cannot remove %s", path);
    else
        drop(keys, &place);
    pthread_mutex_unlock(&keys->change);
    return rc;
}

enum pn_rc pn_keys_list(struct pn_keys *keys, enum pn_key_use use, struct pn_buf *ids)
{
    struct pn_slice name;
    size_t position = 0;
    void *key;
    enum pn_rc rc = PN_OK;

    pthread_mutex_lock(&keys->lock);
    while (rc == PN_OK && pn_map_next(keys->table, &position, &name, &key)) {
        if (name.ptr[0] == (char)use)
            rc = pn_buf_append_slice(ids, pn_slice_sub(name, 1, 32));
    }
    pthread_mutex_unlock(&keys->lock);
    return rc;
}
