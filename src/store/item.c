/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading items with any connection, a reader's or the writer's.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void pn_store_item_fini(struct pn_store_item *item)
{
    if (!item)
        return;
    free(item->id);
    free(item->type);
    json_decref(item->body);
    memset(item, 0, sizeof(*item));
}

void pn_store_list_fini(struct pn_store_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        pn_store_item_fini(&list->items[i]);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

char *store_key(const char *id)
{
    char *key = strdup(id);

    for (char *c = key; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return key;
}

static char *column_dup(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return text ? strdup(text) : NULL;
}

enum pn_rc store_item_read(sqlite3_stmt *row, struct pn_store_item *item, struct pn_error *err)
{
    const void *body = NULL;
    enum pn_rc rc = PN_OK;

    memset(item, 0, sizeof(*item));
    item->id = column_dup(row, 0);
    item->type = column_dup(row, 1);
    item->revision = (uint64_t)sqlite3_column_int64(row, 3);
    item->created_s = sqlite3_column_int64(row, 4);
    item->modified_s = sqlite3_column_int64(row, 5);
    if (!item->id || !item->type) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    if (sqlite3_column_type(row, 2) == SQLITE_NULL) /* a tombstone */
        return PN_OK;
    body = sqlite3_column_text(row, 2);
    if (!body) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    rc = pn_json_parse(pn_slice(body, (size_t)sqlite3_column_bytes(row, 2)), &item->body, err);
    if (rc == PN_MALFORMED)
        rc = pn_error_set(err, PN_IO, "store_damaged", "store: the document of '%s' is damaged",
                          item->id);
out:
    if (rc != PN_OK)
        pn_store_item_fini(item);
    return rc;
}

enum pn_rc store_list_read(struct store_connection *connection, sqlite3_stmt *statement,
                           struct pn_store_list *list, struct pn_error *err)
{
    size_t capacity = 0;
    int step = SQLITE_ROW;
    enum pn_rc rc = PN_OK;

    list->items = NULL;
    list->count = 0;
    for (;;) {
        step = sqlite3_step(statement);
        if (step != SQLITE_ROW)
            break;
        if (list->count == capacity) {
            size_t wanted = capacity ? capacity * 2 : 16;
            struct pn_store_item *items = realloc(list->items, wanted * sizeof(*items));

            if (!items) {
                rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
                break;
            }
            list->items = items;
            capacity = wanted;
        }
        rc = store_item_read(statement, &list->items[list->count], err);
        if (rc != PN_OK)
            break;
        list->count++;
    }
    if (rc == PN_OK && step != SQLITE_DONE)
        rc = store_error(err, connection, "list resources");
    if (rc != PN_OK)
        pn_store_list_fini(list);
    return rc;
}

enum pn_rc store_get(struct store_connection *connection, const char *id,
                     struct pn_store_item *item, struct pn_error *err)
{
    enum pn_rc rc = PN_IO;
    sqlite3_stmt *statement = NULL;
    char *key = store_key(id);

    memset(item, 0, sizeof(*item));
    if (!key)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
    statement = store_statement(connection, STATEMENT_GET, err);
    if (!statement)
        goto out;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        rc = store_item_read(statement, item, err);
        break;
    case SQLITE_DONE:
        rc = pn_error_set(err, PN_NOT_FOUND, "not_found", "there is no '%s'", id);
        break;
    default:
        rc = store_error(err, connection, "read a resource");
        break;
    }
out:
    store_statement_done(statement);
    free(key);
    return rc;
}

char *store_range_end(const char *prefix)
{
    char *end = strdup(prefix);
    size_t len = end ? strlen(end) : 0;

    if (!end)
        return NULL;
    /* Keys are UTF-8: no byte is 0xff, so the last one can always be raised. */
    if (len > 0)
        end[len - 1] = (char)((unsigned char)end[len - 1] + 1);
    return end;
}

/** `value` of the statement's own column; without bytes: any. */
static enum pn_rc list_below(struct store_connection *connection, enum store_statement which,
                             const char *prefix, const char *type, struct pn_slice value,
                             struct pn_store_list *list, struct pn_error *err)
{
    enum pn_rc rc = PN_IO;
    sqlite3_stmt *statement = NULL;
    char *from = store_key(prefix);
    char *to = from ? store_range_end(from) : NULL;

    list->items = NULL;
    list->count = 0;
    if (!from || !to) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    statement = store_statement(connection, which, err);
    if (!statement)
        goto out;
    sqlite3_bind_text(statement, 1, from, -1, SQLITE_STATIC);
    /* An empty prefix means everything: a blob is greater than every text. */
    if (*to)
        sqlite3_bind_text(statement, 2, to, -1, SQLITE_STATIC);
    else
        sqlite3_bind_zeroblob(statement, 2, 1);
    if (type)
        sqlite3_bind_text(statement, 3, type, -1, SQLITE_STATIC);
    if (value.ptr)
        sqlite3_bind_text64(statement, 4, value.ptr, value.len, SQLITE_STATIC, SQLITE_UTF8);
    rc = store_list_read(connection, statement, list, err);
out:
    store_statement_done(statement);
    free(from);
    free(to);
    return rc;
}

enum pn_rc store_list(struct store_connection *connection, const char *prefix, const char *type,
                      struct pn_store_list *list, struct pn_error *err)
{
    return list_below(connection, type ? STATEMENT_LIST_TYPE : STATEMENT_LIST, prefix, type,
                      pn_slice(NULL, 0), list, err);
}

enum pn_rc store_list_with(struct store_connection *connection, enum store_statement which,
                           const char *prefix, const char *type, struct pn_slice value,
                           struct pn_store_list *list, struct pn_error *err)
{
    return list_below(connection, which, prefix, type, value, list, err);
}

enum pn_rc store_page(struct store_connection *connection, const char *prefix, const char *type,
                      const char *after, size_t max, struct pn_store_list *list,
                      struct pn_error *err)
{
    enum pn_rc rc = PN_IO;
    sqlite3_stmt *statement = NULL;
    char *begin = store_key(prefix);
    char *from = store_key(after ? after : prefix);
    char *to = begin ? store_range_end(begin) : NULL;

    list->items = NULL;
    list->count = 0;
    if (!begin || !from || !to) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
        goto out;
    }
    statement = store_statement(connection, type ? STATEMENT_PAGE_TYPE : STATEMENT_PAGE, err);
    if (!statement)
        goto out;
    sqlite3_bind_text(statement, 1, strcmp(from, begin) > 0 ? from : begin, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, to, -1, SQLITE_STATIC);
    if (type)
        sqlite3_bind_text(statement, 3, type, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)max);
    rc = store_list_read(connection, statement, list, err);
out:
    store_statement_done(statement);
    free(begin);
    free(from);
    free(to);
    return rc;
}

/** Binds where the ids below a prefix are; the texts must live until the statement is done. */
static void bind_range(sqlite3_stmt *statement, const char *from, const char *to, const char *type)
{
    sqlite3_bind_text(statement, 1, from, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, to, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, type, -1, SQLITE_STATIC);
}

static enum pn_rc count_part(struct store_connection *connection, const char *from, const char *to,
                             const char *type, uint64_t *count, struct pn_error *err)
{
    sqlite3_stmt *statement = store_statement(connection, STATEMENT_PART_COUNT, err);
    enum pn_rc rc = PN_OK;

    if (!statement)
        return PN_IO;
    bind_range(statement, from, to, type);
    if (sqlite3_step(statement) == SQLITE_ROW)
        *count = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        rc = store_error(err, connection, "count a list");
    store_statement_done(statement);
    return rc;
}

enum pn_rc store_part(struct store_connection *connection, const char *prefix, const char *type,
                      uint64_t skip, uint64_t max, bool from_end, struct pn_store_list *list,
                      uint64_t *count, struct pn_error *err)
{
    sqlite3_stmt *statement = NULL;
    char *from = store_key(prefix);
    char *to = from ? store_range_end(from) : NULL;
    enum pn_rc rc = PN_NOMEM;

    list->items = NULL;
    list->count = 0;
    *count = 0;
    if (from && to)
        rc = count_part(connection, from, to, type, count, err);
    else
        pn_error_set(err, rc, "out_of_memory", "store: out of memory");
    if (rc == PN_OK && skip < *count) {
        max = max < *count - skip ? max : *count - skip;
        statement = store_statement(connection, STATEMENT_PART, err);
        rc = PN_IO;
    }
    if (statement) {
        bind_range(statement, from, to, type);
        sqlite3_bind_int64(statement, 4, (sqlite3_int64)max);
        sqlite3_bind_int64(statement, 5, (sqlite3_int64)(from_end ? *count - skip - max : skip));
        rc = store_list_read(connection, statement, list, err);
        store_statement_done(statement);
    }
    free(from);
    free(to);
    return rc;
}

enum pn_rc store_read_u64(struct store_connection *connection, enum store_statement which,
                          uint64_t *value, struct pn_error *err)
{
    sqlite3_stmt *statement = store_statement(connection, which, err);
    enum pn_rc rc = PN_OK;

    if (!statement)
        return PN_IO;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *value = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        rc = store_error(err, connection, "read a number");
    store_statement_done(statement);
    return rc;
}
