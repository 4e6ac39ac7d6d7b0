/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema, step by step. user_version counts the steps that are done; each runs in a transaction
 * of its own. Steps are never edited after a release, only added.
 */
#include "store/store_internal.h"

#include <stdio.h>

/* links.target has no foreign key on purpose: a reference may be written before its target is there
 * (pn_store_put), and it outlives the target until its owner is written again. */
static const char *const steps[] = {
    "CREATE TABLE resources ("
    " key TEXT PRIMARY KEY NOT NULL,"
    " id TEXT NOT NULL,"
    " type TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " revision INTEGER NOT NULL,"
    " created INTEGER NOT NULL,"
    " modified INTEGER NOT NULL);"
    "CREATE INDEX resources_revision ON resources (revision);"
    "CREATE TABLE links ("
    " source TEXT NOT NULL REFERENCES resources (key) ON DELETE CASCADE,"
    " target TEXT NOT NULL,"
    " PRIMARY KEY (source, target)) WITHOUT ROWID;"
    "CREATE INDEX links_target ON links (target);"
    "CREATE TABLE tombstones ("
    " key TEXT PRIMARY KEY NOT NULL,"
    " id TEXT NOT NULL,"
    " type TEXT NOT NULL,"
    " revision INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL);"
    "CREATE INDEX tombstones_revision ON tombstones (revision);"
    "CREATE TABLE numbers (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO numbers (name, value) VALUES ('revision', 0), ('floor', 0);"
    "CREATE TABLE texts (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO texts (name, value) VALUES ('epoch', lower(hex(randomblob(16))));",
    /* What put_row() takes out of a body: asked at every change of a certificate, and without them
     * answered by reading all of them. */
    "ALTER TABLE resources ADD COLUMN key_id TEXT;"
    "ALTER TABLE resources ADD COLUMN follows TEXT;"
    "UPDATE resources SET key_id = coalesce(json_extract(body, '$.internal.keyId'),"
    " json_extract(body, '$.internal.listenerKeyId')),"
    " follows = json_extract(body, '$.properties.keyVault.secretIdentifier');"
    "CREATE INDEX resources_key_id ON resources (key_id) WHERE key_id IS NOT NULL;"
    "CREATE INDEX resources_follows ON resources (type, key) WHERE follows IS NOT NULL;",
    /* Likewise: whether a path is taken is asked at every change of an API. */
    "ALTER TABLE resources ADD COLUMN path TEXT COLLATE NOCASE;"
    "UPDATE resources SET path = json_extract(body, '$.properties.path');"
    "CREATE INDEX resources_path ON resources (type, path) WHERE path IS NOT NULL;",
    /* Lists of one type page by page; a resource by its name in any group; what is due. The heads
     * of certificates get a type of their own. */
    "UPDATE resources SET type = 'vault/certificateobject' WHERE type = 'vault/object'"
    " AND json_extract(body, '$.properties.kind') = 'certificate';"
    "CREATE INDEX resources_type ON resources (type, key);"
    "ALTER TABLE resources ADD COLUMN name TEXT;"
    "UPDATE resources SET name = replace(key, rtrim(key, replace(key, '/', '')), '')"
    " WHERE key LIKE '/subscriptions/%';"
    "CREATE INDEX resources_name ON resources (type, name) WHERE name IS NOT NULL;"
    "ALTER TABLE resources ADD COLUMN due INTEGER;"
    "CREATE INDEX resources_due ON resources (due) WHERE due IS NOT NULL;",
    /* The audit log (audit.h): it grows at its end, and is let go at its beginning. */
    "CREATE TABLE audit ("
    " seq INTEGER PRIMARY KEY NOT NULL,"
    " time INTEGER NOT NULL,"
    " entry TEXT NOT NULL,"
    " hash TEXT NOT NULL);"
    "INSERT INTO numbers (name, value) VALUES ('audit_floor', 0);"
    "CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'an entry of the audit log is not edited'); END;"
    "CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit"
    " WHEN old.seq > (SELECT value FROM numbers WHERE name = 'audit_floor')"
    " BEGIN SELECT RAISE(ABORT, 'an entry of the audit log is not deleted'); END;",
    /* Which certificate has a thumbprint: asked by what names one. */
    "ALTER TABLE resources ADD COLUMN thumbprint TEXT COLLATE NOCASE;"
    "UPDATE resources SET thumbprint = json_extract(body, '$.properties.thumbprint');"
    "CREATE INDEX resources_thumbprint ON resources (type, thumbprint)"
    " WHERE thumbprint IS NOT NULL;",
    /* Vaults that were deleted before the vault's clock purged them have no time for it. */
    "UPDATE resources SET body = json_set(body, '$.internal.due', json_extract(body, '$.purgeOn')),"
    " due = json_extract(body, '$.purgeOn')"
    " WHERE type = 'Microsoft.KeyVault/deletedVaults' AND due IS NULL"
    " AND json_type(body, '$.purgeOn') = 'integer';",
    /* Generations that became current, among all that is in the log: pn_audit_rotations(). */
    "CREATE INDEX audit_rotations ON audit (seq) WHERE " STORE_AUDIT_IS_ROTATION ";",
    /* What lists are filtered and sorted by, without the documents (facts.c). */
    "ALTER TABLE resources ADD COLUMN facts TEXT;"
    "UPDATE resources SET facts = CASE WHEN EXISTS (SELECT 1 FROM json_each(body, '$.properties') "
    "AS p"
    " WHERE p.type = 'text' AND length(CAST(p.value AS BLOB)) > 1024) THEN ''"
    " ELSE (SELECT json_group_object(p.key, CASE p.type WHEN 'true' THEN json('true')"
    " WHEN 'false' THEN json('false') ELSE p.value END) FROM json_each(body, '$.properties') AS p"
    " WHERE p.type IN ('text', 'true', 'false')) END WHERE key LIKE '/subscriptions/%';"
    "CREATE INDEX resources_facts ON resources (type, key, facts) WHERE facts IS NOT NULL;",
};

#define STEP_COUNT ((int)(sizeof(steps) / sizeof(steps[0])))

static enum pn_rc read_version(struct store_connection *connection, int *version,
                               struct pn_error *err)
{
    sqlite3_stmt *statement = NULL;
    enum pn_rc rc = PN_OK;

    if (sqlite3_prepare_v2(connection->db, "PRAGMA user_version", -1, &statement, NULL) !=
            SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        rc = store_error(err, connection, "read the schema's version");
    else
        *version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return rc;
}

static enum pn_rc run_step(struct store_connection *connection, int step, struct pn_error *err)
{
    char version[48];
    enum pn_rc rc = PN_OK;

    (void)snprintf(version, sizeof(version), "PRAGMA user_version = %d", step + 1);
    rc = store_execute(connection, "BEGIN IMMEDIATE", "begin a migration", err);
    if (rc != PN_OK)
        return rc;
    rc = store_execute(connection, steps[step], "migrate the schema", err);
    if (rc == PN_OK)
        rc = store_execute(connection, version, "migrate the schema", err);
    if (rc == PN_OK)
        rc = store_execute(connection, "COMMIT", "commit a migration", err);
    if (rc != PN_OK && !sqlite3_get_autocommit(connection->db))
        sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

enum pn_rc store_migrate(struct store_connection *connection, struct pn_error *err)
{
    int version = 0;
    enum pn_rc rc = read_version(connection, &version, err);

    if (rc != PN_OK)
        return rc;
    if (version > STEP_COUNT)
        return pn_error_set(err, PN_INVALID, "store_too_new",
                            "the database was made by a newer Postern (schema %d, this one knows "
                            "%d): run that one, or restore a backup",
                            version, STEP_COUNT);
    for (int step = version; step < STEP_COUNT; step++) {
        rc = run_step(connection, step, err);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}
