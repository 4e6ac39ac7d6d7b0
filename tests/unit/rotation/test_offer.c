/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to a certificate while the backends of its next generation are asked: other callers,
 * a deletion, a key that is gone. The backends are a function that does it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/json.h"
#include "rotation/generation.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"
#include "support/fake_keyholder.h"

#define C1                                                                                         \
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement/service/postern/"         \
    "certificates/c1"
#define NOW_MS 1800000000123

static char folder[64];
static struct pn_store *store;
static struct pn_rotation *rotation;
static uint64_t published;

/* An uploaded file. */
struct file {
    json_t *properties, *internal;
    struct pn_key_id key;
};
static struct file first, second, third;

/* What the backends do when they are asked about a file, and say. */
static struct {
    const struct file *file;
    void (*meanwhile)(void);
    enum pn_rc rc;
} question;

static int64_t now_ms(void)
{
    return NOW_MS;
}

static enum pn_rc publish(void *ctx, uint64_t revision, struct pn_error *err)
{
    (void)ctx, (void)err;
    published = revision;
    return PN_OK;
}

static bool is_of(const json_t *internal, const struct file *file)
{
    return pn_slice_eq(pn_json_slice(internal, "keyId"), pn_json_slice(file->internal, "keyId"));
}

static enum pn_rc show(void *ctx, const char *certificate_id, const json_t *internal,
                       json_t **verdicts, struct pn_error *err)
{
    void (*meanwhile)(void) = question.meanwhile;

    (void)ctx, (void)certificate_id;
    *verdicts = json_array();
    if (!question.file || !is_of(internal, question.file))
        return PN_OK;
    question.meanwhile = NULL; /* once */
    if (meanwhile)
        meanwhile();
    return question.rc == PN_OK ? PN_OK
                                : pn_error_set(err, question.rc, "refused", "b1 refuses it");
}

static void make_file(struct file *out)
{
    const struct pn_generation_origin origin = {.generation = 1};
    struct pn_imported imported = {0};
    struct pn_error err = {0};
    struct pn_buf file;

    pn_buf_init(&file, 65536);
    fake_make_file("CN=c1", false, NULL, &file);
    assert_int_equal(pn_keyholder_import(NULL, PN_USE_CLIENT, pn_buf_slice(&file), pn_slice_str(""),
                                         &imported, &err),
                     PN_OK);
    assert_int_equal(
        pn_generation_make(&imported, &origin, NOW_MS, &out->properties, &out->internal, &err),
        PN_OK);
    out->key = imported.key;
    pn_imported_fini(&imported);
    pn_buf_fini(&file);
}

static void free_file(struct file *file)
{
    json_decref(file->properties);
    json_decref(file->internal);
    *file = (struct file){0};
}

static void put(const struct file *file)
{
    json_t *body =
        json_pack("{s:s, s:o, s:o}", "name", "c1", "properties", json_deep_copy(file->properties),
                  "internal", json_deep_copy(file->internal));
    struct pn_store_txn *txn = NULL;

    assert_int_equal(pn_store_begin(store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_put(txn, C1, CERTIFICATE_TYPE, body, NULL, NULL), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
    json_decref(body);
}

static void delete (void)
{
    struct pn_store_txn *txn = NULL;

    assert_int_equal(pn_store_begin(store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_delete(txn, C1, NULL), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
}

static int setup(void **state)
{
    struct pn_rotation_config config = {
        .publisher = {publish, NULL}, .now_ms = now_ms, .preflight = show};
    char file[80];

    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/pn-offer-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/db", folder);
    assert_int_equal(pn_store_open(file, &store, NULL), PN_OK);
    config.store = store;
    assert_int_equal(pn_rotation_create(&config, &rotation, NULL), PN_OK);
    make_file(&first);
    make_file(&second);
    make_file(&third);
    memset(&question, 0, sizeof(question));
    published = 0;
    put(&first);
    return 0;
}

static int teardown(void **state)
{
    char file[80];

    (void)state;
    pn_rotation_destroy(rotation);
    pn_store_close(store);
    snprintf(file, sizeof(file), "%s/db", folder);
    (void)unlink(file);
    (void)rmdir(folder);
    free_file(&first);
    free_file(&second);
    free_file(&third);
    fake_keyholder_reset();
    return 0;
}

static enum pn_rc offer_with(const struct file *file, bool force, uint64_t *number,
                             struct pn_error *err)
{
    struct pn_store_item known = {0};
    struct pn_rotation_offer what = {.properties = file->properties,
                                     .internal = file->internal,
                                     .cause = "upload",
                                     .force = force};
    enum pn_rc rc = pn_store_get(store, C1, &known, err);

    what.known = known.body;
    if (rc == PN_OK)
        rc = pn_rotation_offer(rotation, C1, &what, number, err);
    pn_store_item_fini(&known);
    return rc;
}

static enum pn_rc offer(const struct file *file, uint64_t *number, struct pn_error *err)
{
    return offer_with(file, false, number, err);
}

/* The certificate as it is stored; NULL: there is none. A new reference. */
static json_t *stored(void)
{
    struct pn_store_item item = {0};
    json_t *body = NULL;

    if (pn_store_get(store, C1, &item, NULL) == PN_OK)
        body = json_incref(item.body);
    pn_store_item_fini(&item);
    return body;
}

static void expect_state(uint64_t number, const char *state)
{
    json_t *body = stored();

    assert_string_equal(pn_json_str(pn_generations_at(body, number), "state"), state);
    json_decref(body);
}

static void expect_serves(const struct file *file)
{
    json_t *body = stored();

    assert_true(is_of(json_object_get(body, "internal"), file));
    json_decref(body);
}

/* Staging is another thread's: until it has been. */
static void wait_for_staged(void)
{
    bool is_staged = false;

    while (!is_staged) {
        json_t *body = stored();

        is_staged = pn_generations_find(body, "staged") != NULL;
        json_decref(body);
        if (!is_staged)
            usleep(1000);
    }
}

/* ---- two callers at the same moment */

static void put_the_same(void)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    wait_for_staged();
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    assert_int_equal(number, 2);
}

static void two_callers_with_one_file_make_one_generation_and_both_succeed(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};
    json_t *body;

    (void)state;
    question.file = &second;
    question.meanwhile = put_the_same;
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    assert_int_equal(number, 2);
    assert_int_equal(published, pn_store_revision(store));
    body = stored();
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(body, "internal"), "generations")), 2);
    json_decref(body);
    expect_state(2, "current");
    expect_serves(&second);
}

static void force_the_same(void)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    wait_for_staged();
    assert_int_equal(offer_with(&second, true, &number, &err), PN_OK);
}

static void a_refusal_is_not_noted_at_what_serves_meanwhile(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};
    json_t *body;

    (void)state;
    question.file = &second;
    question.meanwhile = force_the_same;
    question.rc = PN_DENIED;
    assert_int_equal(offer(&second, &number, &err), PN_DENIED);
    expect_serves(&second);
    body = stored();
    assert_null(json_object_get(pn_generations_at(body, 2), "refusal"));
    json_decref(body);
}

/* Of two who have read the same only one writes, though both were right when they asked. */
static void a_revision_that_has_passed_is_refused(void **state)
{
    struct pn_store_item known = {0};
    struct pn_rotation_offer what = {
        .properties = third.properties, .internal = third.internal, .cause = "upload"};
    struct pn_error err = {0};
    uint64_t number = 0;

    (void)state;
    assert_int_equal(pn_store_get(store, C1, &known, &err), PN_OK);
    what.known = known.body;
    what.revision = known.revision;
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    number = 0;
    assert_int_equal(pn_rotation_offer(rotation, C1, &what, &number, &err), PN_CONFLICT);
    assert_int_equal(number, 0);
    expect_serves(&second);
    pn_store_item_fini(&known);
}

static void what_is_forced_though_it_serves_is_watched_no_more(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    assert_int_equal(offer_with(&second, true, &number, &err), PN_OK);
    question.file = &second;
    question.rc = PN_DENIED;
    (void)rotation_watch(rotation);
    expect_serves(&second);
}

static void put_another(void)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    wait_for_staged();
    assert_int_equal(offer(&third, &number, &err), PN_OK);
    assert_int_equal(number, 3);
}

static void whom_another_file_has_overtaken_is_told_so(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    question.file = &second;
    question.meanwhile = put_another;
    assert_int_equal(offer(&second, &number, &err), PN_CONFLICT);
    assert_string_equal(err.code, "certificate_changed");
    expect_serves(&third);
    expect_state(2, "retired");
}

/* ---- a deletion */

static void delete_it(void)
{
    wait_for_staged();
    delete ();
}

static void a_certificate_that_is_deleted_while_its_backends_are_asked_stays_deleted(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    question.file = &second;
    question.meanwhile = delete_it;
    assert_int_equal(offer(&second, &number, &err), PN_NOT_FOUND);
    assert_null(stored());
    /* As the caller does: nothing of it is left. */
    pn_rotation_forget_unused(rotation, PN_USE_CLIENT, &second.key);
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), 2);
}

static void replace_it(void)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    delete_it();
    put(&first);
    question.file = &third;
    question.rc = PN_DENIED;
    assert_int_equal(offer(&third, &number, &err), PN_DENIED);
    assert_int_equal(number, 2); /* of the new certificate, another one */
    question.rc = PN_OK;
}

static void the_word_of_one_file_promotes_no_other_of_the_same_number(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    question.file = &second;
    question.meanwhile = replace_it;
    assert_int_equal(offer(&second, &number, &err), PN_CONFLICT);
    expect_serves(&first);
    expect_state(2, "staged");
}

/* ---- staging fails */

static void a_file_whose_key_has_gone_leaves_nothing_though_the_backends_take_it(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};
    json_t *body;

    (void)state;
    question.file = &second;
    assert_int_equal(pn_keyholder_forget(NULL, PN_USE_CLIENT, &second.key, &err), PN_OK);
    assert_int_equal(offer(&second, &number, &err), PN_AGAIN);
    assert_int_equal(number, 0);
    assert_true(err.message[0] != '\0');
    expect_serves(&first);
    body = stored();
    assert_null(pn_generations_at(body, 2));
    json_decref(body);
    assert_int_equal(published, 0);
}

static void a_refusal_of_what_could_not_be_staged_is_not_noted(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    question.file = &second;
    question.rc = PN_DENIED;
    fake_keyholder_is_away = true;
    assert_int_equal(offer(&second, &number, &err), PN_UNAVAILABLE);
    assert_string_equal(err.code, "keyholder_unavailable");
    fake_keyholder_is_away = false;
    expect_serves(&first);
}

/* The keyholder was killed between the import and the disk. It stays staged, and is not promoted.
 */
static void a_key_that_was_lost_before_it_was_kept_is_told(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    fake_keyholder_has_restarted = true;
    assert_int_equal(offer(&second, &number, &err), PN_UNAVAILABLE);
    assert_string_equal(err.code, "key_forgotten");
    assert_int_equal(number, 2);
    expect_serves(&first);
    expect_state(2, "staged");
    fake_keyholder_has_restarted = false;
    assert_int_equal(offer(&second, &number, &err), PN_OK); /* the same file again */
    assert_int_equal(number, 2);
    expect_serves(&second);
}

/* ---- the watch */

static void put_a_third(void)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    question.file = NULL;
    assert_int_equal(offer(&third, &number, &err), PN_OK);
    question.file = &second;
}

static void what_was_put_while_a_generation_is_refused_is_not_rolled_back(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    question.file = &second;
    question.meanwhile = put_a_third;
    question.rc = PN_DENIED;
    (void)rotation_watch(rotation);
    expect_serves(&third);
    expect_state(3, "current");
}

static void a_rollback_goes_to_what_served_before(void **state)
{
    uint64_t number = 0;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(offer(&second, &number, &err), PN_OK);
    question.file = &second;
    question.rc = PN_DENIED;
    (void)rotation_watch(rotation);
    expect_serves(&first); /* the second drains, and is refused */
    question.file = NULL;
    assert_int_equal(offer(&third, &number, &err), PN_OK);
    assert_int_equal(number, 3);
    question.file = &third;
    (void)rotation_watch(rotation);
    expect_serves(&first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_callers_with_one_file_make_one_generation_and_both_succeed),
        TEST(a_refusal_is_not_noted_at_what_serves_meanwhile),
        TEST(a_revision_that_has_passed_is_refused),
        TEST(what_is_forced_though_it_serves_is_watched_no_more),
        TEST(whom_another_file_has_overtaken_is_told_so),
        TEST(a_certificate_that_is_deleted_while_its_backends_are_asked_stays_deleted),
        TEST(the_word_of_one_file_promotes_no_other_of_the_same_number),
        TEST(a_file_whose_key_has_gone_leaves_nothing_though_the_backends_take_it),
        TEST(a_refusal_of_what_could_not_be_staged_is_not_noted),
        TEST(a_key_that_was_lost_before_it_was_kept_is_told),
        TEST(what_was_put_while_a_generation_is_refused_is_not_rolled_back),
        TEST(a_rollback_goes_to_what_served_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
