/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing: one transaction at a time, all or nothing. Every resource that a transaction puts gets
 * the same revision, the transaction's.
 */
#include "store/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

static enum pn_rc lock_writer(struct pn_store *store, struct pn_error *err)
{
    struct timespec deadline;
    bool is_free;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += PN_STORE_WAIT_MS / 1000;
    pthread_mutex_lock(&store->write_mutex);
    while (store->is_writing && waited == 0)
        waited = pthread_cond_timedwait(&store->write_ended, &store->write_mutex, &deadline);
    is_free = !store->is_writing;
    if (is_free)
        store->is_writing = true;
    pthread_mutex_unlock(&store->write_mutex);
    if (!is_free)
        return pn_error_set(err, PN_TIMEOUT, "store_busy",
                            "store: another change was not finished within %d ms",
                            PN_STORE_WAIT_MS);
    return PN_OK;
}

/** Ends the transaction's hold; *txn is gone after. */
static void end(struct pn_store_txn *txn)
{
    struct pn_store *store = txn->store;

    if (!sqlite3_get_autocommit(store->writer.db))
        sqlite3_exec(store->writer.db, "ROLLBACK", NULL, NULL, NULL);
    free(txn);
    pthread_mutex_lock(&store->write_mutex);
    store->is_writing = false;
    pthread_cond_signal(&store->write_ended);
    pthread_mutex_unlock(&store->write_mutex);
}

/** Steps a statement that gives no row, and lets go of it. */
static enum pn_rc run(struct store_connection *connection, sqlite3_stmt *statement,
                      const char *doing, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = store_error(err, connection, doing);
    store_statement_done(statement);
    return rc;
}

static enum pn_rc run_plain(struct store_connection *connection, enum store_statement which,
                            const char *doing, struct pn_error *err)
{
    sqlite3_stmt *statement = store_statement(connection, which, err);

    return statement ? run(connection, statement, doing, err) : PN_IO;
}

/* SQLite takes it between transactions only. Whether a commit waits for the disk: in WAL mode all
 * that was written before is in the same file, and is synced along. */
static enum pn_rc set_sync(struct pn_store *store, bool is_full, struct pn_error *err)
{
    enum pn_rc rc;

    if (store->is_sync_full == is_full)
        return PN_OK;
    rc = store_execute(&store->writer,
                       is_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                       "set synchronous", err);
    if (rc == PN_OK)
        store->is_sync_full = is_full;
    return rc;
}

static enum pn_rc begin(struct pn_store *store, bool is_full, struct pn_store_txn **result,
                        struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    struct pn_store_txn *txn = calloc(1, sizeof(*txn));

    *result = NULL;
    if (!txn)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
    rc = lock_writer(store, err);
    if (rc != PN_OK) {
        free(txn);
        return rc;
    }
    txn->store = store;
    rc = set_sync(store, is_full, err);
    if (rc == PN_OK)
        rc = run_plain(&store->writer, STATEMENT_BEGIN, "begin", err);
    if (rc == PN_OK)
        rc = store_read_u64(&store->writer, STATEMENT_REVISION, &txn->revision, err);
    if (rc != PN_OK) {
        end(txn);
        return rc;
    }
    txn->revision++;
    txn->audit_end = store->audit_end;
    *result = txn;
    return PN_OK;
}

enum pn_rc pn_store_begin(struct pn_store *store, struct pn_store_txn **txn, struct pn_error *err)
{
    return begin(store, true, txn, err);
}

enum pn_rc pn_store_begin_soon(struct pn_store *store, struct pn_store_txn **txn,
                               struct pn_error *err)
{
    return begin(store, false, txn, err);
}

enum pn_rc pn_store_txn_get(struct pn_store_txn *txn, const char *id, struct pn_store_item *item,
                            struct pn_error *err)
{
    return store_get(&txn->store->writer, id, item, err);
}

enum pn_rc pn_store_txn_list(struct pn_store_txn *txn, const char *prefix, const char *type,
                             struct pn_store_list *list, struct pn_error *err)
{
    return store_list(&txn->store->writer, prefix, type, list, err);
}

enum pn_rc pn_store_txn_list_path(struct pn_store_txn *txn, const char *prefix, const char *type,
                                  struct pn_slice path, struct pn_store_list *list,
                                  struct pn_error *err)
{
    return store_list_with(&txn->store->writer, STATEMENT_LIST_PATH, prefix, type, path, list, err);
}

enum pn_rc pn_store_txn_list_thumbprint(struct pn_store_txn *txn, const char *prefix,
                                        const char *type, const char *thumbprint,
                                        struct pn_store_list *list, struct pn_error *err)
{
    return store_list_with(&txn->store->writer, STATEMENT_LIST_THUMBPRINT, prefix, type,
                           pn_slice_str(thumbprint), list, err);
}

static enum pn_rc run_with_key(struct store_connection *connection, enum store_statement which,
                               const char *key, const char *doing, struct pn_error *err)
{
    sqlite3_stmt *statement = store_statement(connection, which, err);

    if (!statement)
        return PN_IO;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    return run(connection, statement, doing, err);
}

/** A NULL text is bound as NULL. */
static void bind_slice(sqlite3_stmt *statement, int index, struct pn_slice text)
{
    if (text.ptr)
        sqlite3_bind_text64(statement, index, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

/** `text` is `body` as JSON. */
static enum pn_rc put_row(struct pn_store_txn *txn, const char *key, const char *id,
                          const char *type, const json_t *body, struct pn_slice text,
                          struct pn_error *err)
{
    const json_t *properties = json_object_get(body, "properties");
    const json_t *internal = json_object_get(body, "internal");
    struct pn_slice key_id = pn_json_slice(internal, "keyId");
    struct store_connection *writer = &txn->store->writer;
    sqlite3_stmt *statement = store_statement(writer, STATEMENT_PUT, err);
    struct pn_buf facts;
    enum pn_rc rc = PN_OK;

    if (!statement)
        return PN_IO;
    pn_buf_init(&facts, PN_STORE_BODY_MAX);
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, type, -1, SQLITE_STATIC);
    bind_slice(statement, 4, text);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)txn->revision);
    sqlite3_bind_int64(statement, 6, pn_clock_unix_s());
    bind_slice(statement, 7, key_id.ptr ? key_id : pn_json_slice(internal, "listenerKeyId"));
    bind_slice(statement, 8,
               pn_json_slice(json_object_get(properties, "keyVault"), "secretIdentifier"));
    bind_slice(statement, 9, pn_json_slice(properties, "path"));
    /* Only what lies in a subscription is ever looked for by its name, or by facts. */
    if (pn_slice_starts_with(pn_slice_str(key), PN_LIT("/subscriptions/"))) {
        sqlite3_bind_text(statement, 10, strrchr(key, '/') + 1, -1, SQLITE_STATIC);
        rc = store_facts_of(body, &facts);
        bind_slice(statement, 13, facts.len > 0 ? pn_buf_slice(&facts) : PN_LIT(""));
    }
    if (json_is_integer(json_object_get(internal, "due")))
        sqlite3_bind_int64(statement, 11, pn_json_int(internal, "due", 0));
    bind_slice(statement, 12, pn_json_slice(properties, "thumbprint"));
    if (rc == PN_OK) {
        rc = run(writer, statement, "write a resource", err);
    } else {
        store_statement_done(statement);
        pn_error_set(err, rc, "out_of_memory", "store: out of memory");
    }
    pn_buf_fini(&facts);
    return rc;
}

static enum pn_rc put_links(struct pn_store_txn *txn, const char *key,
                            const char *const *references, struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    enum pn_rc rc = run_with_key(writer, STATEMENT_UNREFERENCE, key, "write references", err);

    for (size_t i = 0; rc == PN_OK && references && references[i]; i++) {
        sqlite3_stmt *statement = store_statement(writer, STATEMENT_REFERENCE, err);
        char *target = store_key(references[i]);

        if (!statement || !target) {
            free(target);
            return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        }
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, target, -1, SQLITE_STATIC);
        rc = run(writer, statement, "write references", err);
        free(target);
    }
    return rc;
}

const char *const pn_store_keep_references[] = {NULL};

enum pn_rc pn_store_put(struct pn_store_txn *txn, const char *id, const char *type, json_t *body,
                        const char *const *references, struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    struct pn_buf text;
    enum pn_rc rc = PN_OK;
    char *key = store_key(id);

    pn_buf_init_secret(&text, PN_STORE_BODY_MAX);
    if (!key) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    rc = pn_json_dump(body, &text);
    if (rc == PN_LIMIT)
        rc = pn_error_set(err, rc, "store_limit", "'%s' is larger than %u bytes", id,
                          PN_STORE_BODY_MAX);
    else if (rc != PN_OK)
        rc = pn_error_set(err, rc, "store_body", "store: cannot write '%s' as JSON", id);
    if (rc != PN_OK)
        goto out;
    rc = put_row(txn, key, id, type, body, pn_buf_slice(&text), err);
    if (rc == PN_OK)
        rc = run_with_key(writer, STATEMENT_UNBURY, key, "write a resource", err);
    if (rc == PN_OK && references != pn_store_keep_references)
        rc = put_links(txn, key, references, err);
    if (rc == PN_OK)
        txn->has_changes = true;
out:
    pn_buf_fini(&text);
    free(key);
    return rc;
}

static enum pn_rc bury(struct pn_store_txn *txn, const char *key, struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    sqlite3_stmt *statement = store_statement(writer, STATEMENT_BURY, err);

    if (!statement)
        return PN_IO;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)txn->revision);
    sqlite3_bind_int64(statement, 3, pn_clock_unix_s());
    return run(writer, statement, "note a deletion", err);
}

static enum pn_rc not_found(const char *id, struct pn_error *err)
{
    return pn_error_set(err, PN_NOT_FOUND, "not_found", "there is no '%s'", id);
}

static enum pn_rc delete_row(struct pn_store_txn *txn, const char *id, bool is_logged,
                             struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    enum pn_rc rc = PN_OK;
    char *key = store_key(id);

    if (!key)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
    if (is_logged)
        rc = bury(txn, key, err);
    if (rc == PN_OK && is_logged && sqlite3_changes(writer->db) == 0)
        rc = not_found(id, err);
    if (rc == PN_OK)
        rc = run_with_key(writer, STATEMENT_DELETE, key, "delete a resource", err);
    if (rc == PN_OK && sqlite3_changes(writer->db) == 0)
        rc = not_found(id, err);
    if (rc == PN_OK)
        txn->has_changes = true;
    free(key);
    return rc;
}

enum pn_rc pn_store_delete(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    return delete_row(txn, id, true, err);
}

enum pn_rc pn_store_erase(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    return delete_row(txn, id, false, err);
}

enum pn_rc pn_store_users(struct pn_store_txn *txn, const char *id, struct pn_store_list *users,
                          struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    enum pn_rc rc = PN_IO;
    sqlite3_stmt *statement = NULL;
    char *key = store_key(id);

    users->items = NULL;
    users->count = 0;
    if (!key)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
    statement = store_statement(writer, STATEMENT_USERS, err);
    if (statement) {
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        rc = store_list_read(writer, statement, users, err);
        store_statement_done(statement);
    }
    free(key);
    return rc;
}

enum pn_rc pn_store_key_is_used(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                                struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    sqlite3_stmt *statement = store_statement(writer, STATEMENT_KEY_IN_USE, err);
    enum pn_rc rc = PN_OK;

    if (!statement)
        return PN_IO;
    sqlite3_bind_text(statement, 1, key_id, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW)
        *is_used = sqlite3_column_int(statement, 0) != 0;
    else
        rc = store_error(err, writer, "look for the users of a key");
    store_statement_done(statement);
    return rc;
}

/** Forgets the oldest tombstones beyond the limit and raises the floor to the newest of them. */
static enum pn_rc compact(struct store_connection *writer, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;
    sqlite3_stmt *statement = store_statement(writer, STATEMENT_RAISE_FLOOR, err);

    if (!statement)
        return PN_IO;
    sqlite3_bind_int64(statement, 1, PN_STORE_TOMBSTONES_MAX);
    rc = run(writer, statement, "compact the change log", err);
    if (rc != PN_OK)
        return rc;
    statement = store_statement(writer, STATEMENT_COMPACT, err);
    if (!statement)
        return PN_IO;
    return run(writer, statement, "compact the change log", err);
}

static enum pn_rc finish(struct pn_store_txn *txn, struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    sqlite3_stmt *statement = NULL;
    enum pn_rc rc = txn->has_audit ? store_audit_finish(txn, err) : PN_OK;

    if (rc == PN_OK && txn->has_changes) {
        statement = store_statement(writer, STATEMENT_SET_REVISION, err);
        if (!statement)
            return PN_IO;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)txn->revision);
        rc = run(writer, statement, "count the revision", err);
        if (rc == PN_OK)
            rc = compact(writer, err);
    }
    if (rc == PN_OK)
        rc = run_plain(writer, STATEMENT_COMMIT, "commit", err);
    return rc;
}

enum pn_rc pn_store_commit(struct pn_store_txn *txn, uint64_t *revision, struct pn_error *err)
{
    struct pn_store *store = txn->store;
    enum pn_rc rc = PN_OK;

    if (txn->has_changes || txn->has_audit)
        rc = finish(txn, err);
    if (rc == PN_OK && txn->has_audit)
        store->audit_end = txn->audit_end;
    if (rc == PN_OK && txn->has_changes)
        atomic_store(&store->revision, txn->revision);
    else if (!txn->has_changes)
        txn->revision--;
    if (rc == PN_OK && revision)
        *revision = txn->revision;
    end(txn);
    return rc;
}

void pn_store_rollback(struct pn_store_txn *txn)
{
    if (txn)
        end(txn);
}
