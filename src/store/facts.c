/* SPDX-License-Identifier: Apache-2.0
 *
 * The facts of resources: short texts and truth values out of their properties, kept beside the
 * documents in an index of their own, so that a list of thousands is filtered and sorted without
 * reading one document.
 */
#include "store/store_internal.h"

#include <stdlib.h>

#include "base/json.h"

#define FACT_MAX  1024 /* migration.c says the same */
#define FACTS_MAX (16u * 1024)

enum pn_rc store_facts_of(const json_t *body, struct pn_buf *out)
{
    json_t *properties = json_object_get(body, "properties");
    json_t *facts = json_object(), *value;
    const char *name;
    bool is_short = true;
    struct pn_buf text;
    enum pn_rc rc = facts ? PN_OK : PN_NOMEM;

    json_object_foreach(properties, name, value)
    {
        if (json_is_string(value) && json_string_length(value) > FACT_MAX)
            is_short = false;
        else if ((json_is_string(value) || json_is_boolean(value)) &&
                 json_object_set(facts, name, value) != 0)
            rc = PN_NOMEM;
    }
    pn_buf_init(&text, FACTS_MAX);
    if (rc == PN_OK && is_short)
        rc = pn_json_dump(facts, &text);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(out, pn_buf_slice(&text));
    else if (rc == PN_LIMIT)
        rc = PN_OK;
    pn_buf_fini(&text);
    json_decref(facts);
    return rc;
}

static enum pn_rc walk(struct store_connection *reader, sqlite3_stmt *statement,
                       pn_store_facts_fn each, void *ctx, struct pn_error *err)
{
    int step;

    for (step = sqlite3_step(statement); step == SQLITE_ROW; step = sqlite3_step(statement)) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        const char *facts = (const char *)sqlite3_column_text(statement, 1);

        if (!key || !facts)
            return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        if (!each(ctx, key, pn_slice(facts, (size_t)sqlite3_column_bytes(statement, 1)), err))
            return err->rc;
    }
    return step == SQLITE_DONE ? PN_OK : store_error(err, reader, "list facts of resources");
}

enum pn_rc pn_store_facts(struct pn_store *store, const char *prefix, const char *type,
                          pn_store_facts_fn each, void *ctx, struct pn_error *err)
{
    struct store_connection *reader = NULL;
    sqlite3_stmt *statement;
    char *from = store_key(prefix);
    char *to = from ? store_range_end(from) : NULL;
    enum pn_rc rc = from && to
                        ? store_reader_take(store, &reader, err)
                        : pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");

    if (rc == PN_OK) {
        rc = PN_IO;
        statement = store_statement(reader, STATEMENT_FACTS, err);
        if (statement) {
            sqlite3_bind_text(statement, 1, from, -1, SQLITE_STATIC);
            sqlite3_bind_text(statement, 2, to, -1, SQLITE_STATIC);
            sqlite3_bind_text(statement, 3, type, -1, SQLITE_STATIC);
            rc = walk(reader, statement, each, ctx, err);
            store_statement_done(statement);
        }
        store_reader_give_back(store, reader);
    }
    free(from);
    free(to);
    return rc;
}
