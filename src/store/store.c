/* SPDX-License-Identifier: Apache-2.0
 *
 * The store over SQLite: opening, closing, reading, what changed. Writing is in txn.c.
 *
 * WAL with synchronous=FULL: a commit is on the disk when it returns, readers never wait for the
 * writer. The change log is not a table of its own: every resource carries the revision of its last
 * put, and a deletion leaves a tombstone; tombstones beyond PN_STORE_TOMBSTONES_MAX are forgotten,
 * and `floor` says since which revision the log is whole.
 */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** Makes the file before SQLite does, so that it, its WAL and its shared memory are 0600. */
static enum pn_rc make_file(const char *path, struct pn_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum pn_rc rc = PN_OK;

    if (fd < 0)
        return pn_error_from_errno(err, errno, "store: open %s", path);
    if (fchmod(fd, 0600) != 0)
        rc = pn_error_from_errno(err, errno, "store: set the mode of %s", path);
    /* A handle of this process on the file must be closed before SQLite locks it (POSIX locks). */
    (void)close(fd);
    return rc;
}

static enum pn_rc read_epoch(struct pn_store *store, struct pn_error *err)
{
    sqlite3_stmt *statement = NULL;
    enum pn_rc rc = PN_OK;

    if (sqlite3_prepare_v2(store->writer.db, "SELECT value FROM texts WHERE name = 'epoch'", -1,
                           &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        rc = store_error(err, &store->writer, "read the epoch");
    } else {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        size_t len = text ? strnlen(text, sizeof(store->epoch) - 1) : 0;

        if (len > 0)
            memcpy(store->epoch, text, len);
    }
    sqlite3_finalize(statement);
    return rc;
}

static enum pn_rc init_locks(struct pn_store *store, struct pn_error *err)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);

    if (failed == 0) {
        failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        if (failed == 0)
            failed = pthread_cond_init(&store->pool_changed, &attributes);
        if (failed == 0)
            failed = pthread_cond_init(&store->write_ended, &attributes);
        pthread_condattr_destroy(&attributes);
    }
    if (failed != 0)
        return pn_error_from_errno(err, failed, "store: make a condition variable");
    pthread_mutex_init(&store->write_mutex, NULL);
    pthread_mutex_init(&store->pool_mutex, NULL);
    return PN_OK;
}

enum pn_rc pn_store_open(const char *path, struct pn_store **result, struct pn_error *err)
{
    uint64_t revision = 0;
    struct pn_store *store = calloc(1, sizeof(*store));
    enum pn_rc rc = PN_NOMEM;

    if (!store)
        return pn_error_set(err, rc, "out_of_memory", "store: out of memory");
    rc = init_locks(store, err);
    if (rc != PN_OK) {
        free(store);
        return rc;
    }
    store->path = strdup(path);
    if (!store->path) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    rc = make_file(path, err);
    if (rc != PN_OK)
        goto out;
    rc = store_connection_open(&store->writer, path, true, err);
    if (rc != PN_OK)
        goto out;
    rc = store_migrate(&store->writer, err);
    if (rc != PN_OK)
        goto out;
    rc = read_epoch(store, err);
    if (rc != PN_OK)
        goto out;
    rc = store_read_u64(&store->writer, STATEMENT_REVISION, &revision, err);
    if (rc != PN_OK)
        goto out;
    atomic_store(&store->revision, revision);
    *result = store;
    store = NULL; /* now the caller's */
out:
    pn_store_close(store);
    return rc;
}

void pn_store_close(struct pn_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->idle_count; i++) {
        store_connection_close(store->idle[i]);
        free(store->idle[i]);
    }
    store_connection_close(&store->writer);
    pthread_cond_destroy(&store->write_ended);
    pthread_mutex_destroy(&store->write_mutex);
    pthread_mutex_destroy(&store->pool_mutex);
    pthread_cond_destroy(&store->pool_changed);
    free(store->path);
    free(store);
}

const char *pn_store_epoch(const struct pn_store *store)
{
    return store->epoch;
}

uint64_t pn_store_revision(struct pn_store *store)
{
    return atomic_load(&store->revision);
}

enum pn_rc pn_store_get(struct pn_store *store, const char *id, struct pn_store_item *item,
                        struct pn_error *err)
{
    struct store_connection *reader = NULL;
    enum pn_rc rc = PN_OK;

    memset(item, 0, sizeof(*item));
    rc = store_reader_take(store, &reader, err);
    if (rc != PN_OK)
        return rc;
    rc = store_get(reader, id, item, err);
    store_reader_give_back(store, reader);
    return rc;
}

/* ---- lists ---- */

/* What is asked: by a statement with up to two parameters, or by prefix. */
struct question {
    enum pn_rc (*read)(struct store_connection *reader, const struct question *question,
                       struct pn_store_list *list, struct pn_error *err);
    enum store_statement statement;
    const char *text[2]; /* parameters in their order; NULL: the number at that place */
    sqlite3_int64 number[2];
    size_t count;
    const char *prefix, *type, *after;
    size_t max;
};

static enum pn_rc by_statement(struct store_connection *reader, const struct question *question,
                               struct pn_store_list *list, struct pn_error *err)
{
    sqlite3_stmt *statement = store_statement(reader, question->statement, err);
    enum pn_rc rc;

    if (!statement)
        return PN_IO;
    for (size_t i = 0; i < question->count; i++) {
        if (question->text[i])
            sqlite3_bind_text(statement, (int)i + 1, question->text[i], -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(statement, (int)i + 1, question->number[i]);
    }
    rc = store_list_read(reader, statement, list, err);
    store_statement_done(statement);
    return rc;
}

static enum pn_rc by_prefix(struct store_connection *reader, const struct question *question,
                            struct pn_store_list *list, struct pn_error *err)
{
    return store_list(reader, question->prefix, question->type, list, err);
}

static enum pn_rc by_page(struct store_connection *reader, const struct question *question,
                          struct pn_store_list *list, struct pn_error *err)
{
    return store_page(reader, question->prefix, question->type, question->after, question->max,
                      list, err);
}

static enum pn_rc look_up(struct pn_store *store, const struct question *question,
                          struct pn_store_list *list, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    enum pn_rc rc;

    list->items = NULL;
    list->count = 0;
    rc = store_reader_take(store, &reader, err);
    if (rc != PN_OK)
        return rc;
    rc = question->read(reader, question, list, err);
    store_reader_give_back(store, reader);
    return rc;
}

enum pn_rc pn_store_list(struct pn_store *store, const char *prefix, const char *type,
                         struct pn_store_list *list, struct pn_error *err)
{
    const struct question question = {.read = by_prefix, .prefix = prefix, .type = type};

    return look_up(store, &question, list, err);
}

static enum pn_rc by_thumbprint(struct store_connection *reader, const struct question *question,
                                struct pn_store_list *list, struct pn_error *err)
{
    return store_list_with(reader, STATEMENT_LIST_THUMBPRINT, question->prefix, question->type,
                           pn_slice_str(question->text[0]), list, err);
}

enum pn_rc pn_store_list_thumbprint(struct pn_store *store, const char *prefix, const char *type,
                                    const char *thumbprint, struct pn_store_list *list,
                                    struct pn_error *err)
{
    const struct question question = {
        .read = by_thumbprint, .prefix = prefix, .type = type, .text = {thumbprint}};

    return look_up(store, &question, list, err);
}

enum pn_rc pn_store_list_followed(struct pn_store *store, const char *type,
                                  struct pn_store_list *list, struct pn_error *err)
{
    const struct question question = {
        .read = by_statement, .statement = STATEMENT_FOLLOWED, .text = {type}, .count = 1};

    return look_up(store, &question, list, err);
}

enum pn_rc pn_store_page(struct pn_store *store, const char *prefix, const char *type,
                         const char *after, size_t max, struct pn_store_list *list,
                         struct pn_error *err)
{
    const struct question question = {
        .read = by_page, .prefix = prefix, .type = type, .after = after, .max = max};

    return look_up(store, &question, list, err);
}

enum pn_rc pn_store_part(struct pn_store *store, const char *prefix, const char *type,
                         uint64_t skip, uint64_t max, bool from_end, struct pn_store_list *list,
                         uint64_t *count, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    enum pn_rc rc = PN_OK;

    list->items = NULL;
    list->count = 0;
    rc = store_reader_take(store, &reader, err);
    if (rc != PN_OK)
        return rc;
    rc = store_part(reader, prefix, type, skip, max, from_end, list, count, err);
    store_reader_give_back(store, reader);
    return rc;
}

enum pn_rc pn_store_list_named(struct pn_store *store, const char *type, const char *name,
                               struct pn_store_list *list, struct pn_error *err)
{
    char *key = store_key(name);
    const struct question question = {
        .read = by_statement, .statement = STATEMENT_NAMED, .text = {type, key}, .count = 2};
    enum pn_rc rc = PN_NOMEM;

    list->items = NULL;
    list->count = 0;
    if (key)
        rc = look_up(store, &question, list, err);
    free(key);
    return rc;
}

enum pn_rc pn_store_list_due(struct pn_store *store, int64_t until_s, size_t max,
                             struct pn_store_list *list, struct pn_error *err)
{
    const struct question question = {.read = by_statement,
                                      .statement = STATEMENT_DUE,
                                      .number = {until_s, (sqlite3_int64)max},
                                      .count = 2};

    return look_up(store, &question, list, err);
}

static enum pn_rc read_changes(struct store_connection *reader, uint64_t since,
                               struct pn_store_list *changes, uint64_t *revision,
                               struct pn_error *err)
{
    sqlite3_stmt *statement = NULL;
    uint64_t floor = 0;
    enum pn_rc rc = store_read_u64(reader, STATEMENT_FLOOR, &floor, err);

    if (rc == PN_OK)
        rc = store_read_u64(reader, STATEMENT_REVISION, revision, err);
    if (rc != PN_OK)
        return rc;
    if (since < floor || since > *revision)
        return pn_error_set(err, PN_LIMIT, "store_compacted",
                            "the change log reaches from revision %llu to %llu, not back to %llu",
                            (unsigned long long)floor, (unsigned long long)*revision,
                            (unsigned long long)since);
    statement = store_statement(reader, STATEMENT_CHANGES, err);
    if (!statement)
        return PN_IO;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)since);
    rc = store_list_read(reader, statement, changes, err);
    store_statement_done(statement);
    return rc;
}

enum pn_rc pn_store_changes(struct pn_store *store, uint64_t since, struct pn_store_list *changes,
                            uint64_t *revision, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    enum pn_rc rc = PN_OK;

    changes->items = NULL;
    changes->count = 0;
    rc = store_reader_take(store, &reader, err);
    if (rc != PN_OK)
        return rc;
    /* One read transaction, so that floor, revision and rows are of the same moment. */
    rc = store_execute(reader, "BEGIN", "read changes", err);
    if (rc == PN_OK) {
        rc = read_changes(reader, since, changes, revision, err);
        sqlite3_exec(reader->db, "COMMIT", NULL, NULL, NULL);
        if (!sqlite3_get_autocommit(reader->db))
            sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
    }
    store_reader_give_back(store, reader);
    return rc;
}
