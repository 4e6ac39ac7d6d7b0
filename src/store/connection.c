/* SPDX-License-Identifier: Apache-2.0
 *
 * One SQLite connection: how it is opened, its prepared statements, its errors.
 */
#include "store/store_internal.h"

#include <errno.h>

static const char *const statement_texts[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_GET] = "SELECT id, type, body, revision, created, modified FROM resources"
                      " WHERE key = ?1",
    [STATEMENT_LIST] = "SELECT id, type, body, revision, created, modified FROM resources"
                       " WHERE key > ?1 AND key < ?2 ORDER BY key",
    [STATEMENT_LIST_TYPE] = "SELECT id, type, body, revision, created, modified FROM resources"
                            " WHERE key > ?1 AND key < ?2 AND type = ?3 ORDER BY key",
    /* Where several indexes would do the planner takes the one by type, which reads all of a type:
     * the narrow one is named. */
    [STATEMENT_LIST_PATH] = "SELECT id, type, body, revision, created, modified FROM resources"
                            " INDEXED BY resources_path WHERE type = ?3 AND path = ?4 AND key > ?1 "
                            "AND key < ?2 ORDER BY key",
    [STATEMENT_LIST_THUMBPRINT] =
        "SELECT id, type, body, revision, created, modified FROM resources"
        " INDEXED BY resources_thumbprint WHERE type = ?3 AND thumbprint = ?4 AND key > ?1"
        " AND key < ?2 ORDER BY key",
    [STATEMENT_PAGE] = "SELECT id, type, body, revision, created, modified FROM resources"
                       " WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?4",
    [STATEMENT_PAGE_TYPE] = "SELECT id, type, body, revision, created, modified FROM resources"
                            " WHERE type = ?3 AND key > ?1 AND key < ?2 ORDER BY key LIMIT ?4",
    [STATEMENT_PART] = "SELECT id, type, body, revision, created, modified FROM resources"
                       " WHERE type = ?3 AND key > ?1 AND key < ?2 ORDER BY key"
                       " LIMIT ?4 OFFSET ?5",
    [STATEMENT_PART_COUNT] = "SELECT count(*) FROM resources"
                             " WHERE type = ?3 AND key > ?1 AND key < ?2",
    [STATEMENT_NAMED] = "SELECT id, type, body, revision, created, modified FROM resources"
                        " INDEXED BY resources_name WHERE type = ?1 AND name = ?2 ORDER BY key",
    [STATEMENT_FACTS] = "SELECT key, facts FROM resources INDEXED BY resources_facts"
                        " WHERE type = ?3 AND key > ?1 AND key < ?2 AND facts IS NOT NULL"
                        " ORDER BY key",
    [STATEMENT_DUE] = "SELECT id, type, body, revision, created, modified FROM resources"
                      " INDEXED BY resources_due WHERE due <= ?1 ORDER BY due, key LIMIT ?2",
    [STATEMENT_PUT] = "INSERT INTO resources (key, id, type, body, revision, created, modified,"
                      " key_id, follows, path, name, due, thumbprint, facts)"
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
                      " ON CONFLICT (key) DO UPDATE SET type = excluded.type, body = excluded.body,"
                      " revision = excluded.revision, modified = excluded.modified,"
                      " key_id = excluded.key_id, follows = excluded.follows, path = excluded.path,"
                      " name = excluded.name, due = excluded.due,"
                      " thumbprint = excluded.thumbprint, facts = excluded.facts",
    [STATEMENT_DELETE] = "DELETE FROM resources WHERE key = ?1",
    [STATEMENT_BURY] = "INSERT INTO tombstones (key, id, type, revision, deleted)"
                       " SELECT key, id, type, ?2, ?3 FROM resources WHERE key = ?1"
                       " ON CONFLICT (key) DO UPDATE SET id = excluded.id, type = excluded.type,"
                       " revision = excluded.revision, deleted = excluded.deleted",
    [STATEMENT_UNBURY] = "DELETE FROM tombstones WHERE key = ?1",
    [STATEMENT_REFERENCE] = "INSERT OR IGNORE INTO links (source, target) VALUES (?1, ?2)",
    [STATEMENT_UNREFERENCE] = "DELETE FROM links WHERE source = ?1",
    [STATEMENT_USERS] = "SELECT id, type, body, revision, created, modified FROM resources"
                        " WHERE key IN (SELECT source FROM links WHERE target = ?1) ORDER BY key",
    [STATEMENT_REVISION] = "SELECT value FROM numbers WHERE name = 'revision'",
    [STATEMENT_SET_REVISION] = "UPDATE numbers SET value = ?1 WHERE name = 'revision'",
    [STATEMENT_FLOOR] = "SELECT value FROM numbers WHERE name = 'floor'",
    [STATEMENT_CHANGES] = "SELECT id, type, body, revision, created, modified FROM resources"
                          " WHERE revision > ?1 UNION ALL"
                          " SELECT id, type, NULL, revision, deleted, deleted FROM tombstones"
                          " WHERE revision > ?1 ORDER BY revision, id",
    [STATEMENT_RAISE_FLOOR] =
        "UPDATE numbers SET value = max(value, coalesce((SELECT revision FROM tombstones"
        " ORDER BY revision DESC LIMIT 1 OFFSET ?1), 0)) WHERE name = 'floor'",
    [STATEMENT_COMPACT] = "DELETE FROM tombstones WHERE revision <="
                          " (SELECT value FROM numbers WHERE name = 'floor')",
    [STATEMENT_KEY_IN_USE] = "SELECT EXISTS (SELECT 1 FROM resources WHERE key_id = ?1)",
    [STATEMENT_FOLLOWED] =
        "SELECT id, type, body, revision, created, modified FROM resources"
        " INDEXED BY resources_follows WHERE type = ?1 AND follows IS NOT NULL ORDER BY key",
};

enum pn_rc store_error(struct pn_error *err, struct store_connection *connection, const char *doing)
{
    int code = connection->db ? sqlite3_extended_errcode(connection->db) : SQLITE_NOMEM;
    int system = connection->db ? sqlite3_system_errno(connection->db) : 0;
    const char *text = connection->db ? sqlite3_errmsg(connection->db) : "out of memory";

    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: %s: out of memory", doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return pn_error_set(err, PN_TIMEOUT, "store_busy",
                            "store: %s: another process holds the database", doing);
    case SQLITE_TOOBIG:
        return pn_error_set(err, PN_LIMIT, "store_limit", "store: %s: too large", doing);
    case SQLITE_FULL:
        return pn_error_set(err, PN_IO, "store_full",
                            "store: %s: no room on the device; free some and repeat", doing);
    case SQLITE_IOERR:
        if (system != 0)
            return pn_error_from_errno(err, system, "store: %s: %s", doing, text);
        return pn_error_set(err, PN_IO, "store_io", "store: %s: %s", doing, text);
    default:
        return pn_error_set(err, PN_IO, "store_io", "store: %s: %s (%d)", doing, text, code);
    }
}

enum pn_rc store_execute(struct store_connection *connection, const char *sql, const char *doing,
                         struct pn_error *err)
{
    if (sqlite3_exec(connection->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return store_error(err, connection, doing);
    return PN_OK;
}

enum pn_rc store_connection_open(struct store_connection *connection, const char *path,
                                 bool is_writer, struct pn_error *err)
{
    /* Readers open read-write too: a WAL reader needs the shared-memory file; query_only keeps it
     * from changing anything. */
    const char *setup = is_writer
                            ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                              "PRAGMA foreign_keys = ON; PRAGMA secure_delete = FAST;"
                              "PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;"
                            : "PRAGMA query_only = ON; PRAGMA foreign_keys = ON;"
                              "PRAGMA trusted_schema = OFF;";
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

    connection->db = NULL;
    if (sqlite3_open_v2(path, &connection->db, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(connection->db, PN_STORE_WAIT_MS) != SQLITE_OK ||
        sqlite3_exec(connection->db, setup, NULL, NULL, NULL) != SQLITE_OK) {
        enum pn_rc rc = store_error(err, connection, "open the database");

        pn_error_prefix(err, "%s", path);
        store_connection_close(connection);
        return rc;
    }
    return PN_OK;
}

void store_connection_close(struct store_connection *connection)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(connection->statements[i]);
        connection->statements[i] = NULL;
    }
    sqlite3_close(connection->db);
    connection->db = NULL;
}

sqlite3_stmt *store_statement(struct store_connection *connection, enum store_statement which,
                              struct pn_error *err)
{
    if (!connection->statements[which] &&
        sqlite3_prepare_v3(connection->db, statement_texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &connection->statements[which], NULL) != SQLITE_OK) {
        store_error(err, connection, "prepare a statement");
        return NULL;
    }
    return connection->statements[which];
}

void store_statement_done(sqlite3_stmt *statement)
{
    if (!statement)
        return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}
