/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises of the master key, of sealing, and of the kept keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "keyholder/issue.h"
#include "unit/keyholder/support.h"

/* A disk that takes its time to sync: while `slow` is armed, fsync() tells and waits. */
static struct {
    atomic_bool is_armed;
    sem_t began, go_on;
} slow;
static atomic_bool is_sync_off; /* for a thousand keys */

int fsync(int fd)
{
    if (atomic_exchange(&slow.is_armed, false)) {
        sem_post(&slow.began);
        sem_wait(&slow.go_on);
    }
    if (atomic_load(&is_sync_off))
        return 0;
    return (int)syscall(SYS_fsync, fd);
}

static EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_non_null(key);
    return key;
}

static void sealed_blob_of_another_context_is_refused(void **state)
{
    struct rig rig = {0};
    struct pn_buf sealed, plain;

    (void)state;
    rig_open(&rig);
    pn_buf_init(&sealed, 1024);
    pn_buf_init_secret(&plain, 1024);
    assert_int_equal(pn_seal(&rig.master, PN_LIT("store"), PN_LIT("a"), PN_LIT("secret"), &sealed),
                     PN_OK);
    assert_int_equal(sealed.len, 6 + PN_SEAL_OVERHEAD);
    assert_int_equal(
        pn_unseal(&rig.master, PN_LIT("store"), PN_LIT("b"), pn_buf_slice(&sealed), &plain),
        PN_DENIED);
    assert_int_equal(
        pn_unseal(&rig.master, PN_LIT("vault"), PN_LIT("a"), pn_buf_slice(&sealed), &plain),
        PN_DENIED);
    assert_int_equal(
        pn_unseal(&rig.master, PN_LIT("stor"), PN_LIT("ea"), pn_buf_slice(&sealed), &plain),
        PN_DENIED);
    assert_int_equal(plain.len, 0);
    assert_int_equal(
        pn_unseal(&rig.master, PN_LIT("store"), PN_LIT("a"), pn_buf_slice(&sealed), &plain), PN_OK);
    assert_true(pn_slice_eq_str(pn_buf_slice(&plain), "secret"));
    pn_buf_fini(&sealed);
    pn_buf_fini(&plain);
    rig_close(&rig);
    rig_remove(&rig);
}

static void a_sealed_blob_with_any_byte_changed_or_missing_is_refused(void **state)
{
    struct rig rig = {0};
    struct pn_buf sealed, plain;

    (void)state;
    rig_open(&rig);
    pn_buf_init(&sealed, 1024);
    pn_buf_init_secret(&plain, 1024);
    assert_int_equal(pn_seal(&rig.master, PN_LIT("d"), PN_LIT("c"), (struct pn_slice){0}, &sealed),
                     PN_OK);
    assert_int_equal(
        pn_unseal(&rig.master, PN_LIT("d"), PN_LIT("c"), pn_buf_slice(&sealed), &plain), PN_OK);
    for (size_t i = 0; i < sealed.len; i++) {
        assert_int_equal(
            pn_unseal(&rig.master, PN_LIT("d"), PN_LIT("c"), pn_slice(sealed.ptr, i), &plain),
            PN_DENIED);
        sealed.ptr[i] ^= 1;
        assert_int_equal(
            pn_unseal(&rig.master, PN_LIT("d"), PN_LIT("c"), pn_buf_slice(&sealed), &plain),
            PN_DENIED);
        sealed.ptr[i] ^= 1;
    }
    pn_buf_fini(&sealed);
    pn_buf_fini(&plain);
    rig_close(&rig);
    rig_remove(&rig);
}

static void a_restarted_keyholder_has_its_keys_again(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id;
    EVP_PKEY *key = new_key();
    EVP_PKEY *again = NULL;
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(pn_keys_count(rig.keys), 1);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_CLIENT, &id, &again, &err), PN_OK);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(again);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_SERVER, &id, &again, &err), PN_NOT_FOUND);
    assert_int_equal(pn_keys_forget(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    assert_int_equal(pn_keys_forget(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(pn_keys_count(rig.keys), 0);
    EVP_PKEY_free(key);
    rig_close(&rig);
    rig_remove(&rig);
}

/* --- keys whose file comes later --- */

static bool has_after_restart(struct rig *rig, const struct pn_key_id *id)
{
    EVP_PKEY *key = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    rig_close(rig);
    rig_open(rig);
    rc = pn_keys_get(rig->keys, PN_USE_CLIENT, id, &key, &err);
    assert_true(rc == PN_OK || rc == PN_NOT_FOUND);
    EVP_PKEY_free(key);
    return rc == PN_OK;
}

static void a_key_is_on_the_disk_once_it_is_settled(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id, other;
    EVP_PKEY *key = new_key();
    EVP_PKEY *given = NULL;
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_CLIENT, &id, &given, &err), PN_OK);
    assert_int_equal(EVP_PKEY_eq(key, given), 1);
    EVP_PKEY_free(given);
    assert_false(has_after_restart(&rig, &id));
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &id, &err), PN_NOT_FOUND);

    assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    assert_true(has_after_restart(&rig, &id));
    assert_int_equal(pn_keys_forget(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);

    /* Who asks for more gets more, and a forgotten one does not come back. */
    assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &other, &err), PN_OK);
    assert_true(has_after_restart(&rig, &id));
    assert_int_equal(pn_keys_forget(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    assert_int_equal(pn_keys_forget(rig.keys, PN_USE_CLIENT, &id, &err), PN_OK);
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &id, &err), PN_NOT_FOUND);
    assert_false(has_after_restart(&rig, &id));
    EVP_PKEY_free(key);
    rig_close(&rig);
    rig_remove(&rig);
}

static void keys_without_a_file_are_few_and_are_never_shut(void **state)
{
    struct rig rig = {0};
    struct pn_key_id first = {{0}}, last = {{0}}, id;
    EVP_PKEY *given = NULL;
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i <= PN_KEYS_UNSETTLED_MAX; i++) {
        EVP_PKEY *key = new_key();

        assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &last, &err), PN_OK);
        if (i == 0)
            first = last;
        EVP_PKEY_free(key);
    }
    atomic_store(&is_sync_off, true);
    for (size_t i = 0; i < PN_KEYS_OPEN_MAX + 8; i++) { /* more than are kept open */
        EVP_PKEY *key = new_key();

        assert_int_equal(pn_keys_add(rig.keys, PN_USE_SERVER, key, &id, &err), PN_OK);
        EVP_PKEY_free(key);
    }
    atomic_store(&is_sync_off, false);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_CLIENT, &first, &given, &err), PN_OK);
    EVP_PKEY_free(given);
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &first, &err), PN_OK);
    assert_true(has_after_restart(&rig, &first));
    assert_true(has_after_restart(&rig, &last)); /* the one too many was written at once */
    rig_close(&rig);
    rig_remove(&rig);
}

static void a_key_that_cannot_be_written_is_gone(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id;
    EVP_PKEY *key = new_key();
    EVP_PKEY *given = NULL;
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add_soon(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    rig_remove(&rig); /* the folder, under its feet */
    assert_int_equal(pn_keys_settle(rig.keys, PN_USE_CLIENT, &id, &err), PN_IO);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_CLIENT, &id, &given, &err), PN_NOT_FOUND);
    assert_int_equal(pn_keys_count(rig.keys), 0);
    EVP_PKEY_free(key);
    rig_close(&rig);
}

/* The one key file of a folder. */
/* postern-import checks it too, but may have been taken over by the file that it reads. */
static void keys_of_a_harmful_kind_are_refused(void **state)
{
    static const struct {
        const char *type, *parameter, *value;
    } cases[] = {{"EC", "ec_paramgen_curve", "secp256k1"},
                 {"EC", "ec_paramgen_curve", "B-571"},
                 {"RSA", "rsa_keygen_bits", "512"},
                 {"ED448", NULL, NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, cases[i].type, NULL);
        EVP_PKEY *key = NULL, *read = NULL;
        struct pn_error err = {0};
        struct pn_buf pkcs8;

        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        if (cases[i].parameter)
            assert_int_equal(EVP_PKEY_CTX_ctrl_str(ctx, cases[i].parameter, cases[i].value), 1);
        assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
        pn_buf_init_secret(&pkcs8, 64 * 1024);
        assert_int_equal(pn_key_to_pkcs8(key, &pkcs8, &err), PN_OK);
        assert_int_equal(pn_key_from_pkcs8(pn_buf_slice(&pkcs8), &read, &err), PN_UNSUPPORTED);
        assert_null(read);
        pn_buf_fini(&pkcs8);
        EVP_PKEY_free(key);
        EVP_PKEY_CTX_free(ctx);
    }
}

static void key_path(const struct rig *rig, char path[PATH_MAX])
{
    DIR *dir = opendir(rig->folder);
    const struct dirent *entry;

    assert_non_null(dir);
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strstr(entry->d_name, PN_KEY_FILE_SUFFIX))
            snprintf(path, PATH_MAX, "%s/%s", rig->folder, entry->d_name);
    }
    closedir(dir);
}

static void a_damaged_key_file_is_passed_over_and_the_others_load(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id;
    EVP_PKEY *one = new_key(), *two = new_key();
    char path[PATH_MAX] = "";
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, one, &id, &err), PN_OK);
    key_path(&rig, path);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_TOKEN, two, &id, &err), PN_OK);
    rig_close(&rig);
    assert_int_equal(truncate(path, 40), 0);
    rig_open(&rig);
    assert_int_equal(pn_keys_count(rig.keys), 1);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    rig_close(&rig);
    rig_remove(&rig);
}

static void a_key_file_damaged_after_the_start_gives_no_key(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id;
    EVP_PKEY *key = new_key();
    EVP_PKEY *found = NULL;
    char path[PATH_MAX] = "";
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    key_path(&rig, path);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(truncate(path, 40), 0);
    assert_int_equal(pn_keys_get(rig.keys, PN_USE_CLIENT, &id, &found, &err), PN_DENIED);
    assert_string_equal(err.code, "damaged_key");
    assert_null(found);
    EVP_PKEY_free(key);
    rig_close(&rig);
    rig_remove(&rig);
}

static void a_key_file_renamed_to_another_use_is_refused(void **state)
{
    struct rig rig = {0};
    struct pn_key_id id;
    EVP_PKEY *key = new_key();
    char path[PATH_MAX] = "";
    char renamed[PATH_MAX];
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &id, &err), PN_OK);
    key_path(&rig, path);
    rig_close(&rig);
    snprintf(renamed, sizeof(renamed), "%s/token-%s", rig.folder, strstr(path, "client-") + 7);
    assert_int_equal(rename(path, renamed), 0);
    rig_open(&rig);
    assert_int_equal(pn_keys_count(rig.keys), 0);
    EVP_PKEY_free(key);
    rig_close(&rig);
    rig_remove(&rig);
}

static void another_master_key_is_told_before_anything_is_opened(void **state)
{
    struct rig rig = {0};
    struct pn_master other;
    char path[128];
    char bytes[33];
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    rig_close(&rig);
    snprintf(path, sizeof(path), "%s/master.key", rig.folder);
    memset(bytes, 'k', sizeof(bytes));
    assert_int_equal(pn_file_write_atomic(path, pn_slice(bytes, 32), 0600, &err), PN_OK);
    assert_int_equal(pn_master_open(rig.folder, NULL, &other, &err), PN_INVALID);
    assert_string_equal(err.code, "wrong_master_key");
    for (size_t len = 31; len <= 33; len += 2) {
        assert_int_equal(pn_file_write_atomic(path, pn_slice(bytes, len), 0600, &err), PN_OK);
        assert_int_equal(pn_master_open(rig.folder, NULL, &other, &err), PN_INVALID);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pn_master_open(rig.folder, NULL, &other, &err), PN_INVALID);
    assert_string_equal(err.code, "master_key_missing");
    rig_remove(&rig);
}

static void a_master_key_that_others_may_read_is_refused(void **state)
{
    struct rig rig = {0};
    struct pn_master other;
    char path[128];
    struct pn_error err = {0};

    (void)state;
    rig_open(&rig);
    rig_close(&rig);
    snprintf(path, sizeof(path), "%s/master.key", rig.folder);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(pn_master_open(rig.folder, NULL, &other, &err), PN_INVALID);
    assert_string_equal(err.code, "master_key_exposed");
    rig_remove(&rig);
}

struct change {
    struct pn_keys *keys;
    EVP_PKEY *key;
    struct pn_key_id id;
    enum pn_rc rc;
    sem_t done;
};

static void *add_one(void *arg)
{
    struct change *change = arg;
    struct pn_error err = {0};

    change->rc = pn_keys_add(change->keys, PN_USE_CLIENT, change->key, &change->id, &err);
    return NULL;
}

static void *get_one(void *arg)
{
    struct change *change = arg;
    struct pn_error err = {0};

    change->rc = pn_keys_get(change->keys, PN_USE_CLIENT, &change->id, &change->key, &err);
    sem_post(&change->done);
    return NULL;
}

/* A loop of the gateway waits for this answer. */
static void a_key_is_given_while_the_disk_syncs_another(void **state)
{
    struct rig rig = {0};
    struct change former = {0}, added = {0};
    struct pn_error err = {0};
    struct timespec until;
    pthread_t adder, getter;
    EVP_PKEY *key = new_key();

    (void)state;
    rig_open(&rig);
    assert_int_equal(pn_keys_add(rig.keys, PN_USE_CLIENT, key, &former.id, &err), PN_OK);
    EVP_PKEY_free(key);
    former.keys = rig.keys;
    added.keys = rig.keys;
    added.key = new_key();
    sem_init(&slow.began, 0, 0);
    sem_init(&slow.go_on, 0, 0);
    sem_init(&former.done, 0, 0);
    atomic_store(&slow.is_armed, true);
    assert_int_equal(pthread_create(&adder, NULL, add_one, &added), 0);
    sem_wait(&slow.began);
    assert_int_equal(pthread_create(&getter, NULL, get_one, &former), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    assert_int_equal(sem_timedwait(&former.done, &until), 0);
    assert_int_equal(former.rc, PN_OK);
    sem_post(&slow.go_on);
    pthread_join(getter, NULL);
    pthread_join(adder, NULL);
    assert_int_equal(added.rc, PN_OK);
    assert_int_equal(pn_keys_count(rig.keys), 2);
    EVP_PKEY_free(former.key);
    EVP_PKEY_free(added.key);
    rig_close(&rig);
    rig_remove(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_blob_of_another_context_is_refused),
        cmocka_unit_test(a_sealed_blob_with_any_byte_changed_or_missing_is_refused),
        cmocka_unit_test(a_restarted_keyholder_has_its_keys_again),
        cmocka_unit_test(a_key_is_on_the_disk_once_it_is_settled),
        cmocka_unit_test(keys_without_a_file_are_few_and_are_never_shut),
        cmocka_unit_test(a_key_that_cannot_be_written_is_gone),
        cmocka_unit_test(keys_of_a_harmful_kind_are_refused),
        cmocka_unit_test(a_damaged_key_file_is_passed_over_and_the_others_load),
        cmocka_unit_test(a_key_file_damaged_after_the_start_gives_no_key),
        cmocka_unit_test(a_key_file_renamed_to_another_use_is_refused),
        cmocka_unit_test(another_master_key_is_told_before_anything_is_opened),
        cmocka_unit_test(a_master_key_that_others_may_read_is_refused),
        cmocka_unit_test(a_key_is_given_while_the_disk_syncs_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
