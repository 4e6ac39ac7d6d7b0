/* SPDX-License-Identifier: Apache-2.0
 *
 * The master key's own seal: where it comes from, and that another one takes over all or nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "keyholder/seal.h"

#define SOURCES 4

struct place {
    char root[64], folder[96];
    char sources[SOURCES][160];
};

static void write_text(const struct place *place, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", place->root, name);
    assert_int_equal(pn_file_write_atomic(path, pn_slice_str(text), 0600, NULL), PN_OK);
}

static int enter(void **state)
{
    static struct place place;

    snprintf(place.root, sizeof(place.root), "/tmp/pn-master-XXXXXX");
    assert_non_null(mkdtemp(place.root));
    snprintf(place.folder, sizeof(place.folder), "%s/keyholder", place.root);
    setenv("CREDENTIALS_DIRECTORY", place.root, 1);
    write_text(&place, "key", "0123456789abcdef0123456789abcdef");
    write_text(&place, "key2", "another 0123456789abcdef0123456789abcdef");
    write_text(&place, "words", "correct horse battery staple\n");
    write_text(&place, "short", "too short\n");
    snprintf(place.sources[0], sizeof(place.sources[0]), "file:%s/key", place.root);
    snprintf(place.sources[1], sizeof(place.sources[1]), "credential:key2");
    snprintf(place.sources[2], sizeof(place.sources[2]), "passphrase-file:%s/words", place.root);
    snprintf(place.sources[3], sizeof(place.sources[3]), "passphrase-credential:words");
    *state = &place;
    return 0;
}

static int leave(void **state)
{
    static const char *const names[] = {"keyholder/master.key",
                                        "keyholder/master.wrapped",
                                        "keyholder/master.check",
                                        "keyholder",
                                        "key",
                                        "key2",
                                        "words",
                                        "short",
                                        ""};
    const struct place *place = *state;
    char path[256];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", place->root, names[i]);
        (void)remove(path);
    }
    return 0;
}

/* Opens and gives the key's first bytes. */
static enum pn_rc open_key(const struct place *place, const char *source, char first[8],
                           struct pn_error *err)
{
    struct pn_master master;
    enum pn_rc rc = pn_master_open(place->folder, source, &master, err);

    if (rc == PN_OK)
        memcpy(first, master.key.ptr, 8);
    pn_master_fini(&master);
    return rc;
}

static bool has(const struct place *place, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    return access(path, F_OK) == 0;
}

static void every_source_seals_and_no_other_opens(void **state)
{
    const struct place *place = *state;
    struct pn_error err;
    char first[8], again[8];
    const char *former = place->sources[0];

    assert_int_equal(open_key(place, former, first, &err), PN_OK); /* a new folder */
    assert_false(has(place, "master.key"));
    for (size_t i = 1; i < SOURCES; i++) {
        assert_int_equal(pn_master_reseal(place->folder, former, place->sources[i], &err), PN_OK);
        assert_int_equal(open_key(place, place->sources[i], again, &err), PN_OK);
        assert_memory_equal(again, first, 8); /* what was sealed under it opens as before */
        /* the last two hold the same passphrase */
        assert_int_equal(open_key(place, former, again, &err), i == 3 ? PN_OK : PN_INVALID);
        if (i != 3)
            assert_string_equal(err.code, "wrong_master_key");
        former = place->sources[i];
    }
    assert_int_equal(open_key(place, NULL, again, &err), PN_INVALID);
    assert_string_equal(err.code, "master_key_source");
    assert_int_equal(pn_master_reseal(place->folder, former, NULL, &err), PN_OK);
    assert_false(has(place, "master.wrapped"));
    assert_int_equal(open_key(place, NULL, again, &err), PN_OK);
    assert_memory_equal(again, first, 8);
}

static void bad_sources_say_what_is_wrong(void **state)
{
    static const char *const bad[] = {
        "", "key", "file:", "file:/nowhere/at/all", "credential:no/slash", "other:x", "file:short"};
    const struct place *place = *state;
    struct pn_error err;
    char first[8], source[160];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_not_equal(open_key(place, bad[i], first, &err), PN_OK);
        assert_false(has(place, "master.wrapped"));
    }
    snprintf(source, sizeof(source), "passphrase-file:%s/short", place->root);
    assert_int_equal(open_key(place, source, first, &err), PN_INVALID);
    assert_non_null(strstr(err.message, "12 characters"));
    assert_null(strstr(err.message, "too short\n"));
    assert_int_equal(open_key(place, NULL, first, &err), PN_OK);
    assert_int_equal(open_key(place, place->sources[0], first, &err), PN_INVALID);
    assert_non_null(strstr(err.message, "reseal"));
}

static void what_a_killed_reseal_left_in_the_clear_goes_at_the_next_start(void **state)
{
    const struct place *place = *state;
    struct pn_error err;
    char first[8];

    assert_int_equal(open_key(place, place->sources[0], first, &err), PN_OK);
    write_text(place, "keyholder/master.key", "0123456789abcdef0123456789abcdef");
    assert_int_equal(open_key(place, place->sources[0], first, &err), PN_OK);
    assert_false(has(place, "master.key"));
}

/* Killed at any moment, one of the two opens it: the former or the new one. */
static void killed_reseal_is_all_or_nothing(void **state)
{
    const struct place *place = *state;
    const char *const both[] = {place->sources[0], place->sources[1]};
    struct pn_error err;
    char first[8], again[8];
    unsigned now = 0;

    assert_int_equal(open_key(place, both[0], first, &err), PN_OK);
    for (int i = 0; i < 12; i++) {
        struct timespec pause = {0, (long)(i * 37 % 400) * 1000000L};
        pid_t child = fork();
        int opened[2];

        assert_true(child >= 0);
        if (child == 0) {
            for (unsigned at = now;; at ^= 1)
                if (pn_master_reseal(place->folder, both[at], both[at ^ 1], &err) != PN_OK)
                    _exit(1);
        }
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        for (unsigned at = 0; at < 2; at++)
            opened[at] = open_key(place, both[at], again, &err) == PN_OK;
        assert_int_equal(opened[0] + opened[1], 1);
        assert_memory_equal(again, first, 8);
        now = opened[1] ? 1 : 0;
    }
}

#define MASTER_TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MASTER_TEST(every_source_seals_and_no_other_opens),
        MASTER_TEST(bad_sources_say_what_is_wrong),
        MASTER_TEST(what_a_killed_reseal_left_in_the_clear_goes_at_the_next_start),
        MASTER_TEST(killed_reseal_is_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
