/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: with the change or not at all, chained, bounded, and nothing without an auditor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "store/audit.h"

static char folder[64], file[80];
static struct pn_store *store;
static bool can_seal;

/* Turned around: enough to be no plain text. */
static enum pn_rc turn(void *ctx, struct pn_slice in, struct pn_buf *out, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    (void)ctx;
    if (!can_seal)
        return pn_error_set(err, PN_UNAVAILABLE, "keyholder_unavailable", "away");
    for (size_t i = in.len; rc == PN_OK && i-- > 0;)
        rc = pn_buf_append(out, in.ptr + i, 1);
    return rc;
}

static const struct pn_auditor auditor = {turn, turn, NULL};

static int setup(void **state)
{
    (void)state;
    can_seal = true;
    pn_limits_reset(pn_limit_values);
    snprintf(folder, sizeof folder, "/tmp/pn-audit-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/db", folder);
    assert_int_equal(pn_store_open(file, &store, NULL), PN_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_store_close(store);
    (void)unlink(file);
    (void)rmdir(folder);
    pn_limits_reset(pn_limit_values);
    return 0;
}

static enum pn_rc change(const char *id, bool commits)
{
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    json_t *body = json_pack("{s:s}", "name", "x");
    json_t *entry = json_pack("{s:s, s:s}", "kind", "operation", "certificate", id);
    enum pn_rc rc = PN_OK;

    assert_int_equal(pn_store_begin(store, &txn, &err), PN_OK);
    assert_int_equal(pn_store_put(txn, id, "t", body, NULL, &err), PN_OK);
    assert_int_equal(pn_audit_add(txn, entry, &err), PN_OK);
    if (commits)
        rc = pn_store_commit(txn, NULL, &err);
    else
        pn_store_rollback(txn);
    json_decref(body);
    json_decref(entry);
    return rc;
}

static size_t count(void)
{
    json_t *entries = NULL;
    size_t n;

    assert_int_equal(pn_audit_read(store, 0, 10000, &entries, NULL), PN_OK);
    n = json_array_size(entries);
    json_decref(entries);
    return n;
}

static bool is_valid(void)
{
    json_t *report = NULL;
    bool valid;

    assert_int_equal(pn_audit_verify(store, &report, NULL), PN_OK);
    valid = pn_json_bool(report, "valid", false);
    json_decref(report);
    return valid;
}

static void an_entry_is_there_with_its_change_or_neither_is(void **state)
{
    struct pn_store_item item = {0};

    (void)state;
    assert_int_equal(pn_audit_begin(store, &auditor, NULL), PN_OK);
    assert_int_equal(count(), 1); /* that it has begun */
    assert_int_equal(change("/a", true), PN_OK);
    assert_int_equal(change("/b", false), PN_OK);
    assert_int_equal(count(), 2);
    assert_int_equal(pn_store_get(store, "/b", &item, NULL), PN_NOT_FOUND);
    can_seal = false;
    assert_int_equal(change("/c", true), PN_UNAVAILABLE);
    can_seal = true;
    assert_int_equal(pn_store_get(store, "/c", &item, NULL), PN_NOT_FOUND);
    assert_int_equal(change("/d", true), PN_OK);
    assert_int_equal(count(), 3);
    assert_true(is_valid());
}

static void it_goes_on_after_a_restart(void **state)
{
    (void)state;
    assert_int_equal(pn_audit_begin(store, &auditor, NULL), PN_OK);
    assert_int_equal(change("/a", true), PN_OK);
    pn_store_close(store);
    assert_int_equal(pn_store_open(file, &store, NULL), PN_OK);
    assert_int_equal(pn_audit_begin(store, &auditor, NULL), PN_OK);
    assert_int_equal(change("/b", true), PN_OK);
    assert_int_equal(count(), 3);
    assert_true(is_valid());
}

static void it_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(pn_limit_set(pn_limit_values, PN_LIT("audit-entries"), PN_LIT("100"), NULL),
                     PN_OK);
    assert_int_equal(pn_audit_begin(store, &auditor, NULL), PN_OK);
    for (int i = 0; i < 250; i++)
        assert_int_equal(change("/a", true), PN_OK);
    assert_true(count() <= 100 && count() >= 90);
    assert_true(is_valid());
}

static void entries_alone_leave_the_revision_as_it_is(void **state)
{
    json_t *entry = json_pack("{s:s}", "kind", "operation");
    uint64_t revision;

    (void)state;
    assert_int_equal(pn_audit_begin(store, &auditor, NULL), PN_OK);
    revision = pn_store_revision(store);
    assert_int_equal(pn_audit_add_alone(store, entry, NULL), PN_OK);
    assert_int_equal(pn_store_revision(store), revision);
    assert_int_equal(count(), 2);
    json_decref(entry);
}

static void without_an_auditor_nothing_is_kept(void **state)
{
    (void)state;
    assert_int_equal(change("/a", true), PN_OK);
    assert_int_equal(count(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_entry_is_there_with_its_change_or_neither_is),
        TEST(it_goes_on_after_a_restart),
        TEST(it_is_bounded),
        TEST(entries_alone_leave_the_revision_as_it_is),
        TEST(without_an_auditor_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
