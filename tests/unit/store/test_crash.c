/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise 10: kill -9 in the middle of writing, and a full disk. Each in a child process, so that
 * it can be killed and limited.
 */
#include "unit/store/support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRASH_ROUNDS 5

/* What SQLite calls in this process. */
static int syncs;

int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

typedef enum pn_rc (*begin_fn)(struct pn_store *store, struct pn_store_txn **txn,
                               struct pn_error *err);

static int syncs_of(struct pn_store *store, begin_fn begin, int number, bool is_kept)
{
    struct pn_store_txn *txn = NULL;
    json_t *body = json_pack("{s:i}", "n", number);
    int before = syncs;

    assert_int_equal(begin(store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_put(txn, "/a", "t", body, NULL, NULL), PN_OK);
    if (is_kept)
        assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
    else
        pn_store_rollback(txn);
    json_decref(body);
    return syncs - before;
}

static void only_what_is_told_of_waits_for_the_disk(void **state)
{
    struct store_fixture *f = *state;

    (void)syncs_of(f->store, pn_store_begin, 1, true);
    assert_true(syncs_of(f->store, pn_store_begin, 2, true) > 0);
    assert_int_equal(syncs_of(f->store, pn_store_begin_soon, 3, true), 0);
    assert_int_equal(store_number(f->store, "/a"), 3);
    assert_true(syncs_of(f->store, pn_store_begin, 4, true) > 0);
    assert_int_equal(syncs_of(f->store, pn_store_begin_soon, 5, false), 0);
    assert_true(syncs_of(f->store, pn_store_begin, 6, true) > 0);
}

/** Writes /a and /b in one transaction, for ever, and tells each committed number. Every other
 * number is one that nobody is told of before the next. */
static void write_for_ever(const char *path, int told)
{
    struct pn_store *store = NULL;

    if (pn_store_open(path, &store, NULL) != PN_OK)
        _exit(2);
    for (int n = store_number(store, "/a") + 1;; n++) {
        struct pn_store_txn *txn = NULL;
        json_t *body = json_pack("{s:i}", "n", n);

        if ((n % 2 ? pn_store_begin : pn_store_begin_soon)(store, &txn, NULL) != PN_OK ||
            pn_store_put(txn, "/a", "t", body, NULL, NULL) != PN_OK ||
            pn_store_put(txn, "/b", "t", body, NULL, NULL) != PN_OK ||
            pn_store_commit(txn, NULL, NULL) != PN_OK || write(told, &n, sizeof(n)) != sizeof(n))
            _exit(3);
        json_decref(body);
    }
}

static void acknowledged_is_durable_and_nothing_is_half_when_killed(void **state)
{
    struct store_fixture *f = *state;

    for (int round = 0; round < CRASH_ROUNDS; round++) {
        int pipe_fds[2];
        int acknowledged = -1;
        int number = 0;
        int status = 0;
        pid_t child = -1;

        pn_store_close(f->store);
        f->store = NULL;
        assert_int_equal(pipe(pipe_fds), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(pipe_fds[0]);
            write_for_ever(f->path, pipe_fds[1]);
        }
        close(pipe_fds[1]);
        for (int i = 0; i < 20 + 7 * round; i++)
            assert_int_equal(read(pipe_fds[0], &acknowledged, sizeof(acknowledged)),
                             sizeof(acknowledged));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        while (read(pipe_fds[0], &number, sizeof(number)) == sizeof(number))
            acknowledged = number;
        close(pipe_fds[0]);

        assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_OK);
        assert_true(store_number(f->store, "/a") >= acknowledged);
        assert_int_equal(store_number(f->store, "/a"), store_number(f->store, "/b"));
    }
}

static enum pn_rc put_big(struct pn_store *store, const char *value, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    json_t *body = json_pack("{s:i,s:s}", "n", 2, "value", value);
    enum pn_rc rc = pn_store_begin(store, &txn, err);

    if (rc == PN_OK) {
        rc = pn_store_put(txn, "/a", "t", body, NULL, err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, err);
        else
            pn_store_rollback(txn);
    }
    json_decref(body);
    return rc;
}

/** A device with room for 64 KiB more: files may not grow beyond RLIMIT_FSIZE. */
static int write_to_a_full_device(struct pn_store *store)
{
    struct rlimit full = {64 * 1024, RLIM_INFINITY};
    const struct rlimit free_again = {RLIM_INFINITY, RLIM_INFINITY};
    struct pn_error err = {0};
    uint64_t before = pn_store_revision(store);
    char *value = malloc(1024 * 1024);
    int failed = 0;

    if (!value)
        return 2;
    memset(value, 'v', 1024 * 1024 - 1);
    value[1024 * 1024 - 1] = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &full) != 0)
        failed = 3;
    else if (put_big(store, value, &err) != PN_IO)
        failed = 4;
    else if (store_number(store, "/a") != 1 || pn_store_revision(store) != before)
        failed = 5;
    else if (setrlimit(RLIMIT_FSIZE, &free_again) != 0)
        failed = 6;
    else if (put_big(store, value, &err) != PN_OK || store_number(store, "/a") != 2)
        failed = 7;
    free(value);
    pn_store_close(store);
    return failed;
}

static void full_device_is_an_error_that_changes_nothing(void **state)
{
    struct store_fixture *f = *state;
    int status = 0;
    pid_t child = -1;

    store_put_number(f, "/a", "t", 1);
    pn_store_close(f->store);
    f->store = NULL;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (pn_store_open(f->path, &f->store, NULL) != PN_OK)
            _exit(1);
        _exit(write_to_a_full_device(f->store));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_OK);
    assert_int_equal(store_number(f->store, "/a"), 2);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(only_what_is_told_of_waits_for_the_disk),
        STORE_TEST(acknowledged_is_durable_and_nothing_is_half_when_killed),
        STORE_TEST(full_device_is_an_error_that_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
