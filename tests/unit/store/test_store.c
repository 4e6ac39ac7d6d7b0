/* SPDX-License-Identifier: Apache-2.0
 *
 * Items, lists, transactions, references, migrations.
 */
#include "unit/store/support.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void item_is_found_in_any_casing_and_keeps_that_of_its_first_put(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_item item;
    uint64_t first = store_put_number(f, "/A/Certificates/MyCert", "t", 1);
    uint64_t second = store_put_number(f, "/a/certificates/MYCERT", "t", 2);

    assert_true(second > first);
    assert_int_equal(pn_store_get(f->store, "/A/CERTIFICATES/mycert", &item, &f->err), PN_OK);
    assert_string_equal(item.id, "/A/Certificates/MyCert");
    assert_string_equal(item.type, "t");
    assert_int_equal(json_integer_value(json_object_get(item.body, "n")), 2);
    assert_int_equal(item.revision, second);
    assert_true(item.created_s > 0);
    pn_store_item_fini(&item);
}

static void missing_item_is_not_found(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_item item;
    struct pn_store_txn *txn = NULL;

    assert_int_equal(pn_store_get(f->store, "/no", &item, &f->err), PN_NOT_FOUND);
    assert_null(item.body);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_delete(txn, "/no", &f->err), PN_NOT_FOUND);
    pn_store_rollback(txn);
}

static void list_gives_only_what_lies_below_the_prefix_in_order(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    store_put_number(f, "/s/apis/b", "api", 1);
    store_put_number(f, "/s/apis/A", "api", 2);
    store_put_number(f, "/s/apis/a/operations/x", "operation", 3);
    store_put_number(f, "/s/apis", "odd", 4);
    store_put_number(f, "/s/apisx/c", "api", 5);
    assert_int_equal(pn_store_list(f->store, "/s/apis/", "api", &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, "/s/apis/A");
    assert_string_equal(list.items[1].id, "/s/apis/b");
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list(f->store, "/s/APIS/", NULL, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 3);
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list(f->store, "", NULL, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 5);
    pn_store_list_fini(&list);
}

static void rolled_back_transaction_leaves_no_trace(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    uint64_t before = store_put_number(f, "/a", "t", 1);
    json_t *body = json_pack("{s:i}", "n", 2);

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/a", "t", body, NULL, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/b", "t", body, NULL, &f->err), PN_OK);
    assert_int_equal(pn_store_txn_get(txn, "/a", &item, &f->err), PN_OK);
    assert_int_equal(json_integer_value(json_object_get(item.body, "n")), 2);
    assert_int_equal(item.revision, before + 1);
    pn_store_item_fini(&item);
    assert_int_equal(store_number(f->store, "/a"), 1); /* readers do not see it */
    pn_store_rollback(txn);
    json_decref(body);
    assert_int_equal(store_number(f->store, "/a"), 1);
    assert_int_equal(store_number(f->store, "/b"), -1);
    assert_int_equal(pn_store_revision(f->store), before);
}

static void commit_without_changes_keeps_the_revision(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_txn *txn = NULL;
    uint64_t before = store_put_number(f, "/a", "t", 1);
    uint64_t revision = 0;

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, &revision, &f->err), PN_OK);
    assert_int_equal(revision, before);
}

static void references_follow_their_owner(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_txn *txn = NULL;
    struct pn_store_list users;
    json_t *body = json_object();
    const char *const both[] = {"/c/One", "/c/two", "/C/ONE", NULL};
    const char *const second[] = {"/c/two", NULL};

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/p/1", "policy", body, both, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/p/2", "policy", body, second, &f->err), PN_OK);
    assert_int_equal(pn_store_users(txn, "/c/ONE", &users, &f->err), PN_OK);
    assert_int_equal(users.count, 1);
    assert_string_equal(users.items[0].id, "/p/1");
    pn_store_list_fini(&users);
    assert_int_equal(pn_store_users(txn, "/c/TWO", &users, &f->err), PN_OK);
    assert_int_equal(users.count, 2);
    pn_store_list_fini(&users);
    /* a new put replaces them, a delete takes them along */
    assert_int_equal(pn_store_put(txn, "/p/1", "policy", body, NULL, &f->err), PN_OK);
    assert_int_equal(pn_store_delete(txn, "/p/2", &f->err), PN_OK);
    assert_int_equal(pn_store_users(txn, "/c/one", &users, &f->err), PN_OK);
    assert_int_equal(users.count, 0);
    pn_store_list_fini(&users);
    assert_int_equal(pn_store_users(txn, "/c/two", &users, &f->err), PN_OK);
    assert_int_equal(users.count, 0);
    pn_store_list_fini(&users);
    assert_int_equal(pn_store_commit(txn, NULL, &f->err), PN_OK);
    json_decref(body);
}

static void body_above_the_limit_is_refused(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_txn *txn = NULL;
    char *text = malloc(PN_STORE_BODY_MAX + 1);
    json_t *body = NULL;

    assert_non_null(text);
    memset(text, 'x', PN_STORE_BODY_MAX);
    text[PN_STORE_BODY_MAX] = 0;
    body = json_pack("{s:s}", "v", text);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/big", "t", body, NULL, &f->err), PN_LIMIT);
    pn_store_rollback(txn);
    json_decref(body);
    /* at the limit: {"v":"…"} is 8 bytes more than its text */
    text[PN_STORE_BODY_MAX - 8] = 0;
    body = json_pack("{s:s}", "v", text);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, "/big", "t", body, NULL, &f->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, &f->err), PN_OK);
    json_decref(body);
    free(text);
}

static void reopened_store_has_everything_and_the_same_epoch(void **state)
{
    struct store_fixture *f = *state;
    char epoch[64];
    uint64_t revision = store_put_number(f, "/a", "t", 7);

    (void)snprintf(epoch, sizeof(epoch), "%s", pn_store_epoch(f->store));
    assert_int_equal(strlen(epoch), 32);
    store_reopen(f);
    assert_string_equal(pn_store_epoch(f->store), epoch);
    assert_int_equal(pn_store_revision(f->store), revision);
    assert_int_equal(store_number(f->store, "/a"), 7);
}

static void database_files_are_readable_by_their_owner_only(void **state)
{
    struct store_fixture *f = *state;
    const char *const endings[] = {"", "-wal", "-shm"};
    char path[128];
    struct stat facts;

    store_put_number(f, "/a", "t", 1);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
        assert_int_equal(stat(path, &facts), 0);
        assert_int_equal(facts.st_mode & 0777, 0600);
    }
}

static void database_of_a_newer_postern_is_refused_and_left_alone(void **state)
{
    struct store_fixture *f = *state;
    sqlite3 *db = NULL;

    pn_store_close(f->store);
    f->store = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 9999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_INVALID);
    assert_null(f->store);
    assert_non_null(strstr(f->err.message, "newer"));
}

static void file_that_is_no_database_is_refused(void **state)
{
    struct store_fixture *f = *state;
    FILE *file = NULL;

    pn_store_close(f->store);
    f->store = NULL;
    file = fopen(f->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 400; i++)
        assert_true(fputs("not a database ", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_IO);
    assert_null(f->store);
}

struct counting {
    struct store_fixture *fixture;
    int failures;
};

#define COUNT_THREADS 4
#define COUNT_ROUNDS  25

static void *count_up(void *arg)
{
    struct counting *counting = arg;

    for (int i = 0; i < COUNT_ROUNDS; i++) {
        struct pn_store_txn *txn = NULL;
        struct pn_store_item item;
        json_t *body = NULL;
        enum pn_rc rc = pn_store_begin(counting->fixture->store, &txn, NULL);

        if (rc != PN_OK) {
            counting->failures++;
            continue;
        }
        rc = pn_store_txn_get(txn, "/n", &item, NULL);
        body = json_pack("{s:I}", "n",
                         rc == PN_OK ? json_integer_value(json_object_get(item.body, "n")) + 1
                                     : (json_int_t)1);
        pn_store_item_fini(&item);
        rc = pn_store_put(txn, "/n", "t", body, NULL, NULL);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, NULL);
        else
            pn_store_rollback(txn);
        if (rc != PN_OK || store_number(counting->fixture->store, "/n") < 1)
            counting->failures++;
        json_decref(body);
    }
    return NULL;
}

static void threads_lose_no_update(void **state)
{
    struct store_fixture *f = *state;
    pthread_t threads[COUNT_THREADS];
    struct counting counting[COUNT_THREADS];

    for (size_t i = 0; i < COUNT_THREADS; i++) {
        counting[i] = (struct counting){.fixture = f, .failures = 0};
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &counting[i]), 0);
    }
    for (size_t i = 0; i < COUNT_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(counting[i].failures, 0);
    }
    assert_int_equal(store_number(f->store, "/n"), COUNT_THREADS * COUNT_ROUNDS);
}

static uint64_t put_text(struct store_fixture *f, const char *id, const char *type,
                         const char *text)
{
    struct pn_store_txn *txn = NULL;
    json_t *body = json_loads(text, 0, NULL);
    uint64_t revision = 0;

    assert_non_null(body);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_put(txn, id, type, body, NULL, &f->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, &revision, &f->err), PN_OK);
    json_decref(body);
    return revision;
}

static bool key_is_used(struct store_fixture *f, const char *key_id)
{
    struct pn_store_txn *txn = NULL;
    bool is_used = false;

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_key_is_used(txn, key_id, &is_used, &f->err), PN_OK);
    pn_store_rollback(txn);
    return is_used;
}

static void key_is_used_while_any_resource_names_it(void **state)
{
    struct store_fixture *f = *state;

    put_text(f, "/c/1", "certificate", "{\"internal\":{\"keyId\":\"aa\"}}");
    put_text(f, "/c/2", "embedded", "{\"internal\":{\"keyId\":\"aa\"}}");
    assert_true(key_is_used(f, "aa"));
    assert_false(key_is_used(f, "bb"));
    store_delete_one(f, "/c/1");
    assert_true(key_is_used(f, "aa"));
    put_text(f, "/c/2", "embedded", "{\"internal\":{\"keyId\":\"bb\"}}");
    assert_false(key_is_used(f, "aa"));
    assert_true(key_is_used(f, "bb"));
    put_text(f, "/s", "service", "{\"internal\":{\"listenerKeyId\":\"cc\"}}");
    assert_true(key_is_used(f, "cc"));
}

#define VAULT_BODY "{\"properties\":{\"keyVault\":{\"secretIdentifier\":\"https://v\"}}}"

static void only_what_follows_a_vault_is_listed_as_followed(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    put_text(f, "/c/b", "certificate", VAULT_BODY);
    put_text(f, "/c/a", "certificate", VAULT_BODY);
    put_text(f, "/c/c", "certificate", "{\"properties\":{}}");
    put_text(f, "/d/a", "other", VAULT_BODY);
    assert_int_equal(pn_store_list_followed(f->store, "certificate", &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, "/c/a");
    assert_string_equal(list.items[1].id, "/c/b");
    pn_store_list_fini(&list);
    put_text(f, "/c/a", "certificate", "{\"properties\":{}}");
    assert_int_equal(pn_store_list_followed(f->store, "certificate", &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    pn_store_list_fini(&list);
}

static size_t count_at(struct store_fixture *f, const char *prefix, const char *path)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_list list;
    size_t count;

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_txn_list_path(txn, prefix, "api", pn_slice_str(path), &list, &f->err),
                     PN_OK);
    count = list.count;
    pn_store_list_fini(&list);
    pn_store_rollback(txn);
    return count;
}

static void path_is_found_without_case_below_its_prefix_only(void **state)
{
    struct store_fixture *f = *state;

    put_text(f, "/s/apis/a", "api", "{\"properties\":{\"path\":\"Echo/v1\"}}");
    put_text(f, "/s/apis/b", "other", "{\"properties\":{\"path\":\"echo/v1\"}}");
    put_text(f, "/t/apis/a", "api", "{\"properties\":{\"path\":\"echo/v1\"}}");
    put_text(f, "/s/apis/c", "api", "{\"properties\":{\"path\":\"\"}}");
    assert_int_equal(count_at(f, "/s/apis/", "echo/V1"), 1);
    assert_int_equal(count_at(f, "/s/apis/", "echo"), 0);
    assert_int_equal(count_at(f, "/s/apis/", ""), 1);
    put_text(f, "/s/apis/a", "api", "{\"properties\":{\"path\":\"moved\"}}");
    assert_int_equal(count_at(f, "/s/apis/", "echo/v1"), 0);
    assert_int_equal(count_at(f, "/s/apis/", "moved"), 1);
}

/** The ids below `prefix` that have it, each with a space before the next. */
static void check_thumbprint(struct store_fixture *f, const char *prefix, const char *thumbprint,
                             const char *expected)
{
    struct pn_store_list list, in_txn;
    struct pn_store_txn *txn = NULL;
    char ids[128] = "";

    assert_int_equal(
        pn_store_list_thumbprint(f->store, prefix, "certificate", thumbprint, &list, &f->err),
        PN_OK);
    for (size_t i = 0; i < list.count; i++)
        (void)snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%s", i ? " " : "",
                       list.items[i].id);
    assert_string_equal(ids, expected);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(
        pn_store_txn_list_thumbprint(txn, prefix, "certificate", thumbprint, &in_txn, &f->err),
        PN_OK);
    assert_int_equal(in_txn.count, list.count);
    pn_store_rollback(txn);
    pn_store_list_fini(&in_txn);
    pn_store_list_fini(&list);
}

static void certificates_are_found_by_their_thumbprint(void **state)
{
    struct store_fixture *f = *state;

    put_text(f, "/s/certificates/a", "certificate", "{\"properties\":{\"thumbprint\":\"AB01\"}}");
    put_text(f, "/s/certificates/b", "certificate", "{\"properties\":{\"thumbprint\":\"AB01\"}}");
    put_text(f, "/s/certificates/c", "certificate", "{\"properties\":{\"thumbprint\":\"AB02\"}}");
    put_text(f, "/s/w/certificates/d", "certificate", "{\"properties\":{\"thumbprint\":\"AB01\"}}");
    put_text(f, "/s/certificates/e", "other", "{\"properties\":{\"thumbprint\":\"AB01\"}}");
    check_thumbprint(f, "/s/certificates/", "ab01", "/s/certificates/a /s/certificates/b");
    check_thumbprint(f, "/s/", "AB01", "/s/certificates/a /s/certificates/b /s/w/certificates/d");
    check_thumbprint(f, "/s/certificates/", "AB03", "");
    put_text(f, "/s/certificates/a", "certificate", "{\"properties\":{\"thumbprint\":\"AB03\"}}");
    check_thumbprint(f, "/s/certificates/", "AB01", "/s/certificates/b");
    check_thumbprint(f, "/s/certificates/", "AB03", "/s/certificates/a");
    put_text(f, "/s/certificates/a", "certificate", "{}");
    check_thumbprint(f, "/s/certificates/", "AB03", "");
}

struct facts {
    char text[4096];
    size_t len;
};

static bool note_facts(void *ctx, const char *key, struct pn_slice facts, struct pn_error *err)
{
    struct facts *all = ctx;

    (void)err;
    all->len += (size_t)snprintf(all->text + all->len, sizeof(all->text) - all->len, "%s %.*s\n",
                                 strrchr(key, '/') + 1, PN_FMT(facts));
    return true;
}

static void check_facts(struct store_fixture *f)
{
    struct facts all = {0};

    assert_int_equal(
        pn_store_facts(f->store, "/subscriptions/s/x/", "fact", note_facts, &all, &f->err), PN_OK);
    assert_string_equal(all.text,
                        "a {\"title\":\"\u00e4 \\\"b\\\"\",\"isOn\":true,\"isOff\":false}\n"
                        "long \nnone {}\n");
}

static void put_facts(struct store_fixture *f)
{
    char text[1200], body[1400];

    put_text(f, "/subscriptions/s/x/A", "fact",
             "{\"properties\":{\"title\":\"\u00e4 \\\"b\\\"\",\"isOn\":true,\"isOff\":false,"
             "\"count\":3,\"more\":{\"x\":\"y\"},\"list\":[\"z\"],\"gone\":null}}");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    snprintf(body, sizeof(body), "{\"properties\":{\"title\":\"%s\"}}", text);
    put_text(f, "/subscriptions/s/x/long", "fact", body);
    put_text(f, "/subscriptions/s/x/none", "fact", "{}");
    put_text(f, "/subscriptions/s/x/other", "other", "{\"properties\":{\"title\":\"c\"}}");
}

static void facts_are_the_short_texts_and_truth_values_of_the_properties(void **state)
{
    struct store_fixture *f = *state;

    put_facts(f);
    check_facts(f);
    put_text(f, "/subscriptions/s/x/A", "fact", "{\"properties\":{\"title\":\"new\"}}");
    put_facts(f);
    check_facts(f);
}

/** Back to what the first schema had, with what was stored by then. */
static void make_old(const struct store_fixture *f)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP INDEX resources_key_id; DROP INDEX resources_follows;"
                                  "DROP INDEX resources_path; DROP INDEX resources_type;"
                                  "DROP INDEX resources_name; DROP INDEX resources_due;"
                                  "DROP INDEX resources_thumbprint; DROP INDEX resources_facts;"
                                  "ALTER TABLE resources DROP COLUMN facts;"
                                  "ALTER TABLE resources DROP COLUMN thumbprint;"
                                  "ALTER TABLE resources DROP COLUMN name;"
                                  "ALTER TABLE resources DROP COLUMN due;"
                                  "ALTER TABLE resources DROP COLUMN path;"
                                  "ALTER TABLE resources DROP COLUMN key_id;"
                                  "ALTER TABLE resources DROP COLUMN follows;"
                                  "DROP TABLE audit;"
                                  "DELETE FROM numbers WHERE name = 'audit_floor';"
                                  "PRAGMA user_version = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void database_of_the_first_schema_learns_which_keys_are_used(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    put_text(f, "/c/1", "certificate",
             "{\"internal\":{\"keyId\":\"aa\"},\"properties\":{\"thumbprint\":\"ABCD\"}}");
    put_text(f, "/c/2", "certificate", VAULT_BODY);
    put_text(f, "/subscriptions/s/vaults/Mine", "vault", "{}");
    put_text(f, "/vault/v/objects/c", "vault/object",
             "{\"properties\":{\"kind\":\"certificate\"}}");
    put_text(f, "/vault/v/objects/s", "vault/object", "{\"properties\":{\"kind\":\"secret\"}}");
    put_facts(f);
    pn_store_close(f->store);
    f->store = NULL;
    make_old(f);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_OK);
    assert_true(key_is_used(f, "aa"));
    assert_int_equal(pn_store_list_followed(f->store, "certificate", &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list_named(f->store, "vault", "mine", &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list(f->store, "/vault/", "vault/certificateobject", &list, &f->err),
                     PN_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].id, "/vault/v/objects/c");
    pn_store_list_fini(&list);
    check_thumbprint(f, "/c/", "abcd", "/c/1");
    check_facts(f);
}

static void vault_deleted_before_its_clock_purged_is_due(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    put_text(f, "/subscriptions/s/providers/Microsoft.KeyVault/deletedVaults/old",
             "Microsoft.KeyVault/deletedVaults", "{\"name\":\"old\",\"purgeOn\":1000}");
    put_text(f, "/subscriptions/s/providers/Microsoft.KeyVault/deletedVaults/new",
             "Microsoft.KeyVault/deletedVaults",
             "{\"name\":\"new\",\"purgeOn\":900,\"internal\":{\"due\":900}}");
    pn_store_close(f->store);
    f->store = NULL;
    make_old(f);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_OK);
    assert_int_equal(pn_store_list_due(f->store, 999, 10, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(strrchr(list.items[0].id, '/'), "/new");
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list_due(f->store, 1000, 10, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(list.items[1].body, "internal"), "due")),
        1000);
    pn_store_list_fini(&list);
}

static void pages_begin_behind_the_last_one(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    for (int i = 0; i < 5; i++) {
        char id[16];

        snprintf(id, sizeof(id), "/v/o/%d", i);
        store_put_number(f, id, i % 2 ? "odd" : "even", i);
    }
    store_put_number(f, "/v/p/9", "even", 9);
    assert_int_equal(pn_store_page(f->store, "/v/o/", NULL, NULL, 2, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[1].id, "/v/o/1");
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_page(f->store, "/v/o/", "even", "/V/O/0", 9, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, "/v/o/2");
    assert_string_equal(list.items[1].id, "/v/o/4");
    pn_store_list_fini(&list);
    /* A place before the prefix is no way out of it. */
    assert_int_equal(pn_store_page(f->store, "/v/o/", NULL, "/a", 9, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 5);
    pn_store_list_fini(&list);
}

/** The ids of a part, and how many there are in all: "2,4 of 5". */
static void check_part(struct store_fixture *f, uint64_t skip, uint64_t max, bool from_end,
                       const char *expected)
{
    struct pn_store_list list;
    uint64_t count = 0;
    char text[64] = "";

    assert_int_equal(
        pn_store_part(f->store, "/V/o/", "t", skip, max, from_end, &list, &count, &f->err), PN_OK);
    for (size_t i = 0; i < list.count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "," : "",
                 strrchr(list.items[i].id, '/') + 1);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), " of %d", (int)count);
    assert_string_equal(text, expected);
    pn_store_list_fini(&list);
}

static void a_part_of_a_list_is_read_from_either_end(void **state)
{
    struct store_fixture *f = *state;

    check_part(f, 0, 3, false, " of 0");
    check_part(f, 0, 3, true, " of 0");
    for (int i = 0; i < 5; i++) {
        char id[16];

        snprintf(id, sizeof(id), "/v/o/%d", i);
        store_put_number(f, id, "t", i);
    }
    store_put_number(f, "/v/o/1x", "other", 0);
    store_put_number(f, "/v/p/9", "t", 9);
    check_part(f, 0, 2, false, "0,1 of 5");
    check_part(f, 2, 2, false, "2,3 of 5");
    check_part(f, 4, 2, false, "4 of 5");
    check_part(f, 5, 2, false, " of 5");
    check_part(f, 0, 9, false, "0,1,2,3,4 of 5");
    check_part(f, 0, 2, true, "3,4 of 5");
    check_part(f, 2, 2, true, "1,2 of 5");
    check_part(f, 4, 2, true, "0 of 5");
    check_part(f, 9, 2, true, " of 5");
}

static void what_is_due_comes_the_most_urgent_first(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list list;

    put_text(f, "/a", "t", "{\"internal\":{\"due\":30}}");
    put_text(f, "/b", "t", "{\"internal\":{\"due\":20}}");
    put_text(f, "/c", "t", "{\"internal\":{\"due\":10}}");
    put_text(f, "/d", "t", "{\"internal\":{}}");
    put_text(f, "/c", "t", "{}"); /* no longer */
    assert_int_equal(pn_store_list_due(f->store, 30, 9, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, "/b");
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list_due(f->store, 29, 9, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    pn_store_list_fini(&list);
    assert_int_equal(pn_store_list_due(f->store, 30, 1, &list, &f->err), PN_OK);
    assert_int_equal(list.count, 1);
    pn_store_list_fini(&list);
}

static void what_is_erased_is_not_in_the_change_log(void **state)
{
    struct store_fixture *f = *state;
    struct pn_store_list changes;
    struct pn_store_txn *txn = NULL;
    uint64_t revision = store_put_number(f, "/a", "t", 1), last = 0;

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_erase(txn, "/A", &f->err), PN_OK);
    assert_int_equal(pn_store_erase(txn, "/A", &f->err), PN_NOT_FOUND);
    assert_int_equal(pn_store_commit(txn, NULL, &f->err), PN_OK);
    assert_int_equal(store_number(f->store, "/a"), -1);
    assert_int_equal(pn_store_changes(f->store, revision, &changes, &last, &f->err), PN_OK);
    assert_int_equal(last, revision + 1);
    assert_int_equal(changes.count, 0);
    pn_store_list_fini(&changes);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(item_is_found_in_any_casing_and_keeps_that_of_its_first_put),
        STORE_TEST(missing_item_is_not_found),
        STORE_TEST(list_gives_only_what_lies_below_the_prefix_in_order),
        STORE_TEST(rolled_back_transaction_leaves_no_trace),
        STORE_TEST(commit_without_changes_keeps_the_revision),
        STORE_TEST(references_follow_their_owner),
        STORE_TEST(body_above_the_limit_is_refused),
        STORE_TEST(reopened_store_has_everything_and_the_same_epoch),
        STORE_TEST(database_files_are_readable_by_their_owner_only),
        STORE_TEST(database_of_a_newer_postern_is_refused_and_left_alone),
        STORE_TEST(file_that_is_no_database_is_refused),
        STORE_TEST(threads_lose_no_update),
        STORE_TEST(key_is_used_while_any_resource_names_it),
        STORE_TEST(path_is_found_without_case_below_its_prefix_only),
        STORE_TEST(only_what_follows_a_vault_is_listed_as_followed),
        STORE_TEST(facts_are_the_short_texts_and_truth_values_of_the_properties),
        STORE_TEST(database_of_the_first_schema_learns_which_keys_are_used),
        STORE_TEST(certificates_are_found_by_their_thumbprint),
        STORE_TEST(vault_deleted_before_its_clock_purged_is_due),
        STORE_TEST(pages_begin_behind_the_last_one),
        STORE_TEST(a_part_of_a_list_is_read_from_either_end),
        STORE_TEST(what_is_due_comes_the_most_urgent_first),
        STORE_TEST(what_is_erased_is_not_in_the_change_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
