/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the store: one SQLite connection with its prepared statements, the pool of readers, the
 * writer. A connection is used by one thread at a time; who holds it is decided in pool.c.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "store/audit.h"
#include "store/store.h"

#define PN_STORE_READERS_MAX    8
#define PN_STORE_TOMBSTONES_MAX 4096 /* deletions remembered for pn_store_changes */
#define PN_STORE_EPOCH_TEXT     37

enum store_statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_GET,
    STATEMENT_LIST,
    STATEMENT_LIST_TYPE,
    STATEMENT_PUT,
    STATEMENT_DELETE,
    STATEMENT_BURY,
    STATEMENT_UNBURY,
    STATEMENT_REFERENCE,
    STATEMENT_UNREFERENCE,
    STATEMENT_USERS,
    STATEMENT_REVISION,
    STATEMENT_SET_REVISION,
    STATEMENT_FLOOR,
    STATEMENT_CHANGES,
    STATEMENT_COMPACT,
    STATEMENT_RAISE_FLOOR,
    STATEMENT_KEY_IN_USE,
    STATEMENT_FOLLOWED,
    STATEMENT_LIST_PATH,
    STATEMENT_LIST_THUMBPRINT,
    STATEMENT_PAGE,
    STATEMENT_PAGE_TYPE,
    STATEMENT_PART,
    STATEMENT_PART_COUNT,
    STATEMENT_NAMED,
    STATEMENT_DUE,
    STATEMENT_FACTS,
    STATEMENT_COUNT
};

#define STORE_AUDIT_HASH 65
/* What an entry's text has, as pn_json_dump() writes it; the index and the question say the same.
 */
#define STORE_AUDIT_IS_ROTATION                                                                    \
    "substr(entry, 1, 20) = '{\"kind\":\"generation\"'"                                            \
    " AND instr(entry, '\"state\":\"current\"') > 0"

/* The last entry of the audit log, and the last one that was let go. */
struct store_audit_end {
    uint64_t seq, floor;
    char hash[STORE_AUDIT_HASH], floor_hash[STORE_AUDIT_HASH];
};

struct store_connection {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

struct pn_store {
    char *path;
    char epoch[PN_STORE_EPOCH_TEXT];
    _Atomic uint64_t revision; /* of the last commit */

    pthread_mutex_t write_mutex; /* guards is_writing */
    pthread_cond_t write_ended;
    bool is_sync_full; /* a commit of the writer waits for the disk */
    bool is_writing;   /* from begin to commit or rollback; then the writer is that thread's */
    struct store_connection writer;
    struct pn_auditor auditor;        /* .seal NULL: nothing is audited */
    struct store_audit_end audit_end; /* the writer's */

    pthread_mutex_t pool_mutex;
    pthread_cond_t pool_changed;
    struct store_connection *idle[PN_STORE_READERS_MAX];
    size_t idle_count;
    size_t open_count;
};

struct pn_store_txn {
    struct pn_store *store;
    uint64_t revision; /* what commit will make it */
    bool has_changes;
    bool has_audit;
    struct store_audit_end audit_end; /* with what this transaction adds */
};

/* connection.c */
/** Fills `err` from the connection's last failure and returns the code. */
enum pn_rc store_error(struct pn_error *err, struct store_connection *connection,
                       const char *doing);
enum pn_rc store_connection_open(struct store_connection *connection, const char *path,
                                 bool is_writer, struct pn_error *err) PN_MUST_USE;
void store_connection_close(struct store_connection *connection);
/** The prepared statement, reset; prepares it at its first use. NULL: *err tells. */
sqlite3_stmt *store_statement(struct store_connection *connection, enum store_statement which,
                              struct pn_error *err);
/** Lets go of what the statement holds (rows, locks, bound bodies). NULL is fine. */
void store_statement_done(sqlite3_stmt *statement);
enum pn_rc store_execute(struct store_connection *connection, const char *sql, const char *doing,
                         struct pn_error *err) PN_MUST_USE;

/* audit.c */
/** Before the commit of a transaction with entries. */
enum pn_rc store_audit_finish(struct pn_store_txn *txn, struct pn_error *err) PN_MUST_USE;

/* migration.c */
enum pn_rc store_migrate(struct store_connection *connection, struct pn_error *err) PN_MUST_USE;

/* item.c: reading with any connection */
/** The key of an id: ASCII letters in lower case. The caller frees it; NULL: no memory. */
char *store_key(const char *id);
/** The first key behind all that start with `prefix`. The caller frees it; NULL: no memory. */
char *store_range_end(const char *prefix);
/** Column order: id, type, body, revision, created, modified. */
enum pn_rc store_item_read(sqlite3_stmt *row, struct pn_store_item *item,
                           struct pn_error *err) PN_MUST_USE;
/** Steps `statement` to its end and appends each row. */
enum pn_rc store_list_read(struct store_connection *connection, sqlite3_stmt *statement,
                           struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;
enum pn_rc store_get(struct store_connection *connection, const char *id,
                     struct pn_store_item *item, struct pn_error *err) PN_MUST_USE;
enum pn_rc store_list(struct store_connection *connection, const char *prefix, const char *type,
                      struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;
/** What pn_store_txn_list_path() and pn_store_list_thumbprint() ask: `which` is STATEMENT_LIST_PATH
 *  or STATEMENT_LIST_THUMBPRINT. */
enum pn_rc store_list_with(struct store_connection *connection, enum store_statement which,
                           const char *prefix, const char *type, struct pn_slice value,
                           struct pn_store_list *list, struct pn_error *err) PN_MUST_USE;
/** What pn_store_part() asks. */
enum pn_rc store_part(struct store_connection *connection, const char *prefix, const char *type,
                      uint64_t skip, uint64_t max, bool from_end, struct pn_store_list *list,
                      uint64_t *count, struct pn_error *err) PN_MUST_USE;
/** What pn_store_page() asks. */
enum pn_rc store_page(struct store_connection *connection, const char *prefix, const char *type,
                      const char *after, size_t max, struct pn_store_list *list,
                      struct pn_error *err) PN_MUST_USE;
enum pn_rc store_read_u64(struct store_connection *connection, enum store_statement which,
                          uint64_t *value, struct pn_error *err) PN_MUST_USE;

/* facts.c */
/** The facts of a document, appended to `out`; nothing is appended when they are too long. */
enum pn_rc store_facts_of(const json_t *body, struct pn_buf *out) PN_MUST_USE;

/* pool.c */
enum pn_rc store_reader_take(struct pn_store *store, struct store_connection **reader,
                             struct pn_error *err) PN_MUST_USE;
void store_reader_give_back(struct pn_store *store, struct store_connection *reader);
