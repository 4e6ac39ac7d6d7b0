/* SPDX-License-Identifier: Apache-2.0
 *
 * The change log, as the feed reads it.
 */
#include "unit/store/support.h"

#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

static void changes_come_once_per_id_in_order_of_revision(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list changes;
    uint64_t start = store_put_number(f, "/a", "t", 1);
    uint64_t revision = 0;
    uint64_t last = 0;

    store_put_number(f, "/b", "t", 1);
    store_put_number(f, "/c", "t", 1);
    store_put_number(f, "/b", "t", 2);
    store_delete_one(f, "/C");
    last = store_put_number(f, "/d", "t", 1);
    assert_int_equal(pn_store_changes(f->store, start, &changes, &revision, &f->err), PN_OK);
    assert_int_equal(revision, last);
    assert_int_equal(changes.count, 3);
    assert_string_equal(changes.items[0].id, "/b");
    assert_int_equal(json_integer_value(json_object_get(changes.items[0].body, "n")), 2);
    assert_string_equal(changes.items[1].id, "/c");
    assert_null(changes.items[1].body);
    assert_string_equal(changes.items[1].type, "t");
    assert_string_equal(changes.items[2].id, "/d");
    assert_true(changes.items[0].revision < changes.items[1].revision);
    pn_store_list_fini(&changes);
    assert_int_equal(pn_store_changes(f->store, last, &changes, &revision, &f->err), PN_OK);
    assert_int_equal(changes.count, 0);
    pn_store_list_fini(&changes);
}

static void resource_made_again_is_no_longer_deleted(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list changes;
    uint64_t revision = 0;

    store_put_number(f, "/a", "t", 1);
    store_delete_one(f, "/a");
    store_put_number(f, "/A", "t", 2);
    assert_int_equal(pn_store_changes(f->store, 0, &changes, &revision, &f->err), PN_OK);
    assert_int_equal(changes.count, 1);
    assert_non_null(changes.items[0].body);
    pn_store_list_fini(&changes);
}

static void revision_of_another_database_needs_everything(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list changes;
    uint64_t revision = store_put_number(f, "/a", "t", 1);

    assert_int_equal(pn_store_changes(f->store, revision + 1, &changes, &revision, &f->err),
                     PN_LIMIT);
    assert_int_equal(changes.count, 0);
}

/** Makes and deletes `count` resources, all in two transactions each. */
static void make_tombstones(struct store_fixture *f, int count)
{
    json_t *body = json_object();
    char id[32];

    for (int i = 0; i < count; i++) {
        struct pn_store_txn *txn = NULL;

        (void)snprintf(id, sizeof(id), "/x/%d", i);
        assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
        assert_int_equal(pn_store_put(txn, id, "t", body, NULL, &f->err), PN_OK);
        assert_int_equal(pn_store_delete(txn, id, &f->err), PN_OK);
        assert_int_equal(pn_store_commit(txn, NULL, &f->err), PN_OK);
    }
    json_decref(body);
}

static void log_is_compacted_and_says_so(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list changes;
    uint64_t revision = 0;

    make_tombstones(f, PN_STORE_TOMBSTONES_MAX);
    assert_int_equal(pn_store_changes(f->store, 0, &changes, &revision, &f->err), PN_OK);
    assert_int_equal(changes.count, PN_STORE_TOMBSTONES_MAX);
    pn_store_list_fini(&changes);
    store_put_number(f, "/y", "t", 1);
    store_delete_one(f, "/y"); /* one more than the log holds */
    assert_int_equal(pn_store_changes(f->store, 0, &changes, &revision, &f->err), PN_LIMIT);
    assert_int_equal(pn_store_changes(f->store, 1, &changes, &revision, &f->err), PN_OK);
    assert_int_equal(changes.count, PN_STORE_TOMBSTONES_MAX);
    pn_store_list_fini(&changes);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(changes_come_once_per_id_in_order_of_revision),
        STORE_TEST(resource_made_again_is_no_longer_deleted),
        STORE_TEST(revision_of_another_database_needs_everything),
        STORE_TEST(log_is_compacted_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
