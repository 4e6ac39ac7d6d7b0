/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h. The end of the log is remembered in the store, guarded by its one writer.
 */
#include "store/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/store_internal.h"

#define HEAD_TEXT_MAX  8192
#define PRUNED_DIVISOR 10
#define TAMPERED       "tampered"

/* ---- SQL ---- */

static sqlite3_stmt *prepare(struct store_connection *connection, const char *sql,
                             struct pn_error *err)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL) != SQLITE_OK)
        (void)store_error(err, connection, "read the audit log");
    return statement;
}

static enum pn_rc run(struct store_connection *connection, sqlite3_stmt *statement,
                      struct pn_error *err)
{
    enum pn_rc rc = statement && sqlite3_step(statement) == SQLITE_DONE
                        ? PN_OK
                        : store_error(err, connection, "write the audit log");

    sqlite3_finalize(statement);
    return rc;
}

static enum pn_rc set_text(struct store_connection *writer, const char *name, struct pn_slice value,
                           struct pn_error *err)
{
    sqlite3_stmt *statement =
        prepare(writer, "INSERT OR REPLACE INTO texts (name, value) VALUES (?1, ?2)", err);

    if (statement) {
        sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, value.ptr, (int)value.len, SQLITE_STATIC);
    }
    return run(writer, statement, err);
}

/* PN_NOT_FOUND: there is none. */
static enum pn_rc get_text(struct store_connection *connection, const char *name,
                           struct pn_buf *out, struct pn_error *err)
{
    sqlite3_stmt *statement = prepare(connection, "SELECT value FROM texts WHERE name = ?1", err);
    enum pn_rc rc = PN_NOT_FOUND;
    int step;

    if (!statement)
        return PN_IO;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        rc = pn_buf_append(out, sqlite3_column_text(statement, 0),
                           (size_t)sqlite3_column_bytes(statement, 0));
    else if (step != SQLITE_DONE)
        rc = store_error(err, connection, "read the audit log's head");
    sqlite3_finalize(statement);
    return rc;
}

/* ---- the chain ---- */

static enum pn_rc link_hash(const char *before, uint64_t seq, int64_t time_ms, struct pn_slice text,
                            char out[STORE_AUDIT_HASH])
{
    struct pn_buf all;
    enum pn_rc rc;

    pn_buf_init(&all, PN_AUDIT_ENTRY_MAX + 256);
    rc = pn_buf_printf(&all, "%s\n%llu\n%lld\n", before, (unsigned long long)seq,
                       (long long)time_ms);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&all, text);
    if (rc == PN_OK)
        pn_sha256_hex(pn_buf_slice(&all), out);
    pn_buf_fini(&all);
    return rc;
}

static void first_hash(const struct pn_store *store, char out[STORE_AUDIT_HASH])
{
    char text[PN_STORE_EPOCH_TEXT + 32];

    snprintf(text, sizeof(text), "postern audit %s", store->epoch);
    pn_sha256_hex(pn_slice_str(text), out);
}

static enum pn_rc insert(struct store_connection *writer, const struct store_audit_end *end,
                         int64_t time_ms, struct pn_slice text, struct pn_error *err)
{
    sqlite3_stmt *statement =
        prepare(writer, "INSERT INTO audit (seq, time, entry, hash) VALUES (?1, ?2, ?3, ?4)", err);

    if (statement) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)end->seq);
        sqlite3_bind_int64(statement, 2, time_ms);
        sqlite3_bind_text(statement, 3, text.ptr, (int)text.len, SQLITE_STATIC);
        sqlite3_bind_text(statement, 4, end->hash, -1, SQLITE_STATIC);
    }
    return run(writer, statement, err);
}

enum pn_rc pn_audit_add(struct pn_store_txn *txn, const json_t *entry, struct pn_error *err)
{
    int64_t now_ms = pn_clock_unix_ms();
    struct pn_buf text;
    enum pn_rc rc;

    if (!txn->store->auditor.seal)
        return PN_OK;
    pn_buf_init(&text, PN_AUDIT_ENTRY_MAX);
    rc = pn_json_dump(entry, &text);
    if (rc == PN_OK)
        rc = link_hash(txn->audit_end.hash, txn->audit_end.seq + 1, now_ms, pn_buf_slice(&text),
                       txn->audit_end.hash);
    if (rc == PN_OK) {
        txn->audit_end.seq++;
        rc = insert(&txn->store->writer, &txn->audit_end, now_ms, pn_buf_slice(&text), err);
    } else {
        pn_error_set(err, rc, "audit", "an entry of the audit log is too long");
    }
    txn->has_audit = true;
    pn_buf_fini(&text);
    return rc;
}

/* ---- the head ---- */

static json_t *head_json(const struct store_audit_end *end)
{
    return json_pack("{s:I, s:s, s:I, s:s}", "seq", (json_int_t)end->seq, "hash", end->hash,
                     "floor", (json_int_t)end->floor, "floorHash", end->floor_hash);
}

static enum pn_rc write_head(struct pn_store *store, const struct store_audit_end *end,
                             struct pn_error *err)
{
    struct pn_buf plain, sealed;
    json_t *json = head_json(end);
    enum pn_rc rc;

    pn_buf_init(&plain, HEAD_TEXT_MAX);
    pn_buf_init(&sealed, HEAD_TEXT_MAX);
    rc = json ? pn_json_dump(json, &plain) : PN_NOMEM;
    if (rc != PN_OK)
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = store->auditor.seal(store->auditor.ctx, pn_buf_slice(&plain), &sealed, err);
    if (rc == PN_OK)
        rc = set_text(&store->writer, "audit_head", pn_buf_slice(&sealed), err);
    json_decref(json);
    pn_buf_fini(&plain);
    pn_buf_fini(&sealed);
    return rc;
}

/* PN_NOT_FOUND: there is none. PN_DENIED: it is not of our keyholder, or no head. */
static enum pn_rc read_head(struct pn_store *store, struct store_connection *connection,
                            struct store_audit_end *end, struct pn_error *err)
{
    struct pn_buf plain, sealed;
    json_t *json = NULL;
    const char *hash, *floor_hash;
    enum pn_rc rc;

    memset(end, 0, sizeof(*end));
    pn_buf_init(&plain, HEAD_TEXT_MAX);
    pn_buf_init(&sealed, HEAD_TEXT_MAX);
    rc = get_text(connection, "audit_head", &sealed, err);
    if (rc == PN_OK)
        rc = store->auditor.unseal(store->auditor.ctx, pn_buf_slice(&sealed), &plain, err);
    if (rc == PN_MALFORMED || rc == PN_INVALID)
        rc = PN_DENIED;
    if (rc == PN_OK)
        rc = pn_json_parse(pn_buf_slice(&plain), &json, err) == PN_OK ? PN_OK : PN_DENIED;
    if (rc == PN_OK) {
        hash = pn_json_str(json, "hash");
        floor_hash = pn_json_str(json, "floorHash");
        end->seq = (uint64_t)pn_json_int(json, "seq", 0);
        end->floor = (uint64_t)pn_json_int(json, "floor", 0);
        snprintf(end->hash, sizeof(end->hash), "%s", hash ? hash : "");
        snprintf(end->floor_hash, sizeof(end->floor_hash), "%s", floor_hash ? floor_hash : "");
    }
    json_decref(json);
    pn_buf_fini(&plain);
    pn_buf_fini(&sealed);
    return rc;
}

/* ---- the limit ---- */

/* The oldest tenth goes. The triggers let it: the floor is raised first. */
static enum pn_rc prune(struct pn_store_txn *txn, struct pn_error *err)
{
    struct store_connection *writer = &txn->store->writer;
    uint64_t max = pn_limit_value(PN_LIMIT_AUDIT_ENTRIES);
    uint64_t floor = txn->audit_end.floor + (max / PRUNED_DIVISOR > 0 ? max / PRUNED_DIVISOR : 1);
    sqlite3_stmt *statement;
    enum pn_rc rc = PN_IO;

    if (txn->audit_end.seq - txn->audit_end.floor <= max)
        return PN_OK;
    pn_limit_hit(PN_LIMIT_AUDIT_ENTRIES);
    statement = prepare(writer, "SELECT hash FROM audit WHERE seq = ?1", err);
    if (statement) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)floor);
        if (sqlite3_step(statement) == SQLITE_ROW) {
            snprintf(txn->audit_end.floor_hash, sizeof(txn->audit_end.floor_hash), "%s",
                     (const char *)sqlite3_column_text(statement, 0));
            txn->audit_end.floor = floor;
            rc = PN_OK;
        }
        sqlite3_finalize(statement);
    }
    if (rc != PN_OK) /* somebody took it out: nothing is pruned, and a look at the log tells */
        return PN_OK;
    statement = prepare(writer, "UPDATE numbers SET value = ?1 WHERE name = 'audit_floor'", err);
    if (statement)
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)floor);
    rc = run(writer, statement, err);
    if (rc == PN_OK) {
        statement = prepare(writer, "DELETE FROM audit WHERE seq <= ?1", err);
        if (statement)
            sqlite3_bind_int64(statement, 1, (sqlite3_int64)floor);
        rc = run(writer, statement, err);
    }
    return rc;
}

enum pn_rc store_audit_finish(struct pn_store_txn *txn, struct pn_error *err)
{
    enum pn_rc rc = prune(txn, err);

    return rc == PN_OK ? write_head(txn->store, &txn->audit_end, err) : rc;
}

enum pn_rc pn_audit_add_alone(struct pn_store *store, const json_t *entry, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(store, &txn, err);

    if (rc == PN_OK)
        rc = pn_audit_add(txn, entry, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

/* ---- the beginning ---- */

/* What the last row says; an empty table: the floor of `head`. */
static enum pn_rc read_end(struct pn_store *store, const struct store_audit_end *head,
                           struct store_audit_end *end, struct pn_error *err)
{
    sqlite3_stmt *statement =
        prepare(&store->writer, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", err);

    if (!statement)
        return PN_IO;
    *end = *head;
    end->seq = head->floor;
    memcpy(end->hash, head->floor_hash, sizeof(end->hash));
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const char *hash = (const char *)sqlite3_column_text(statement, 1);

        end->seq = (uint64_t)sqlite3_column_int64(statement, 0);
        snprintf(end->hash, sizeof(end->hash), "%s", hash ? hash : "");
    }
    sqlite3_finalize(statement);
    return PN_OK;
}

static enum pn_rc note_begin(struct pn_store *store, const struct store_audit_end *head,
                             const struct store_audit_end *end, bool is_new, struct pn_error *err)
{
    bool is_whole = is_new || (head->seq == end->seq && strcmp(head->hash, end->hash) == 0);
    json_t *entry;
    enum pn_rc rc;

    if (is_whole && !is_new)
        return PN_OK;
    entry = is_whole ? json_pack("{s:s}", "kind", "begun")
                     : json_pack("{s:s, s:I, s:s, s:I, s:s}", "kind", TAMPERED, "headSeq",
                                 (json_int_t)head->seq, "headHash", head->hash, "foundSeq",
                                 (json_int_t)end->seq, "foundHash", end->hash);
    if (!is_whole)
        pn_log(PN_LOG_ERROR, "audit_log_tampered", "head", PN_I(head->seq), "found", PN_I(end->seq),
               NULL);
    rc = entry ? pn_audit_add_alone(store, entry, err)
               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(entry);
    return rc;
}

enum pn_rc pn_audit_begin(struct pn_store *store, const struct pn_auditor *auditor,
                          struct pn_error *err)
{
    struct store_audit_end head, end;
    bool is_new;
    enum pn_rc rc;

    store->auditor = *auditor;
    rc = read_head(store, &store->writer, &head, err);
    is_new = rc == PN_NOT_FOUND;
    if (rc != PN_OK && rc != PN_NOT_FOUND && rc != PN_DENIED)
        return rc;
    if (rc != PN_OK)
        first_hash(store, head.floor_hash);
    rc = read_end(store, &head, &end, err);
    is_new = is_new && end.seq == 0;
    store->audit_end = end;
    /* Go on above the head, so that no number is given twice. */
    if (rc == PN_OK && head.seq > end.seq)
        store->audit_end.seq = head.seq;
    return rc == PN_OK ? note_begin(store, &head, &end, is_new, err) : rc;
}

/* ---- reading ---- */

/* Every row of `statement` (seq, time, entry, hash), which it ends. */
static enum pn_rc read_rows(struct store_connection *reader, sqlite3_stmt *statement,
                            json_t *entries, struct pn_error *err)
{
    int step;
    enum pn_rc rc = PN_OK;

    for (step = sqlite3_step(statement); step == SQLITE_ROW; step = sqlite3_step(statement)) {
        char time[PN_TIME_TEXT];
        const char *text = (const char *)sqlite3_column_text(statement, 2);
        json_t *entry = text ? json_loads(text, 0, NULL) : NULL;

        pn_time_iso8601_ticks(sqlite3_column_int64(statement, 1), time);
        (void)json_array_append_new(
            entries,
            json_pack("{s:I, s:s, s:s, s:o}", "seq", (json_int_t)sqlite3_column_int64(statement, 0),
                      "time", time, "hash", (const char *)sqlite3_column_text(statement, 3),
                      "entry", entry ? entry : json_null()));
    }
    if (step != SQLITE_DONE)
        rc = store_error(err, reader, "read the audit log");
    sqlite3_finalize(statement);
    return rc;
}

enum pn_rc pn_audit_read(struct pn_store *store, uint64_t after, size_t max, json_t **entries,
                         struct pn_error *err)
{
    struct store_connection *reader = NULL;
    sqlite3_stmt *statement = NULL;
    enum pn_rc rc = store_reader_take(store, &reader, err);

    *entries = json_array();
    if (rc != PN_OK)
        return rc;
    statement = prepare(
        reader, "SELECT seq, time, entry, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        err);
    rc = PN_IO;
    if (statement) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)max);
        rc = read_rows(reader, statement, *entries, err);
    }
    store_reader_give_back(store, reader);
    return rc;
}

enum pn_rc pn_audit_rotations(struct pn_store *store, const char *prefix, size_t max,
                              json_t **entries, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    sqlite3_stmt *statement = NULL;
    enum pn_rc rc = store_reader_take(store, &reader, err);

    *entries = json_array();
    if (rc != PN_OK)
        return rc;
    statement = prepare(reader,
                        "SELECT seq, time, entry, hash FROM audit WHERE " STORE_AUDIT_IS_ROTATION
                        " AND json_valid(entry)"
                        " AND lower(substr(json_extract(entry, '$.certificate'), 1, length(?1)))"
                        " = lower(?1) ORDER BY seq DESC LIMIT ?2",
                        err);
    rc = PN_IO;
    if (statement) {
        sqlite3_bind_text(statement, 1, prefix, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)max);
        rc = read_rows(reader, statement, *entries, err);
    }
    store_reader_give_back(store, reader);
    return rc;
}

/* ---- verifying ---- */

struct look {
    uint64_t seq, count, first;
    char hash[STORE_AUDIT_HASH];
    const char *problem; /* NULL: none yet */
    uint64_t at;
};

static void look_at(struct look *look, sqlite3_stmt *row)
{
    uint64_t seq = (uint64_t)sqlite3_column_int64(row, 0);
    const char *text = (const char *)sqlite3_column_text(row, 2);
    const char *hash = (const char *)sqlite3_column_text(row, 3);
    struct pn_slice entry =
        pn_slice(text ? text : "", text ? (size_t)sqlite3_column_bytes(row, 2) : 0);

    look->at = look->seq + 1;
    if (seq != look->seq + 1) {
        look->problem = "an entry is missing";
        return;
    }
    if (link_hash(look->hash, seq, sqlite3_column_int64(row, 1), entry, look->hash) != PN_OK ||
        !hash || strcmp(hash, look->hash) != 0) {
        look->problem = "an entry was changed or put elsewhere";
        return;
    }
    if (pn_slice_starts_with(entry, PN_LIT("{\"kind\":\"" TAMPERED "\""))) {
        look->problem = "the log was found tampered with when control started";
        return;
    }
    look->seq = seq;
    look->first = look->count == 0 ? seq : look->first;
    look->count++;
}

/* One statement: it sees one state, whatever is added meanwhile. The head is read within. */
static enum pn_rc walk(struct store_connection *reader, struct look *look, struct pn_error *err)
{
    sqlite3_stmt *statement =
        prepare(reader, "SELECT seq, time, entry, hash FROM audit ORDER BY seq", err);
    int step = SQLITE_DONE;
    enum pn_rc rc = PN_OK;

    if (!statement)
        return PN_IO;
    for (step = sqlite3_step(statement); step == SQLITE_ROW && !look->problem;
         step = sqlite3_step(statement))
        look_at(look, statement);
    if (step != SQLITE_DONE && step != SQLITE_ROW)
        rc = store_error(err, reader, "read the audit log");
    sqlite3_finalize(statement);
    return rc;
}

static json_t *report_of(const struct look *look, const struct store_audit_end *head)
{
    json_t *report =
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:s}", "valid", !look->problem, "entries",
                  (json_int_t)look->count, "first", (json_int_t)look->first, "last",
                  (json_int_t)look->seq, "head", (json_int_t)head->seq, "headHash", head->hash);

    if (report && look->problem &&
        (json_object_set_new(report, "problem", json_string(look->problem)) != 0 ||
         json_object_set_new(report, "at", json_integer((json_int_t)look->at)) != 0)) {
        json_decref(report);
        report = NULL;
    }
    return report;
}

enum pn_rc pn_audit_verify(struct pn_store *store, json_t **report, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    struct store_audit_end head;
    struct look look = {0};
    enum pn_rc rc = store_reader_take(store, &reader, err);

    if (rc != PN_OK)
        return rc;
    rc = store_execute(reader, "BEGIN", "look at the audit log", err);
    if (rc == PN_OK) {
        rc = read_head(store, reader, &head, err);
        if (rc == PN_NOT_FOUND || rc == PN_DENIED) {
            look.problem = rc == PN_DENIED ? "the head was not sealed by this keyholder"
                                           : "the head is missing";
            rc = PN_OK;
        }
        look.seq = head.floor;
        memcpy(look.hash, head.floor_hash, sizeof(look.hash));
        if (rc == PN_OK && !look.problem)
            rc = walk(reader, &look, err);
        if (rc == PN_OK && !look.problem &&
            (look.seq != head.seq || strcmp(look.hash, head.hash) != 0)) {
            look.problem = look.seq < head.seq ? "entries were cut off at the end"
                                               : "there is more than the head knows of";
            look.at = look.seq + 1;
        }
        (void)sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
    }
    store_reader_give_back(store, reader);
    *report = rc == PN_OK ? report_of(&look, &head) : NULL;
    if (rc == PN_OK && !*report)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return rc;
}
