/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists, page by page: $skiptoken is the last name or version of the page before. A page costs what
 * it gives, not what the vault has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault/vault_internal.h"

#define PAGE_ROWS (PN_VAULT_PAGE_MAX + 1) /* one more tells that there is another page */

struct page {
    size_t max;
    char after[VERSION_TEXT + NAME_TEXT]; /* lower case; "": from the start */
    bool with_pending;
};

/* False: answered (400). */
static bool read_page(struct vault_call *call, struct page *page)
{
    struct pn_slice max = pn_request_query(call->request, "maxresults");
    struct pn_slice after = pn_request_query(call->request, "$skiptoken");
    uint64_t number = PN_VAULT_PAGE_MAX;

    if (max.ptr && (!pn_slice_to_u64(max, PN_VAULT_PAGE_MAX, &number) || number == 0)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property maxresults has invalid value: 1 to %d.", PN_VAULT_PAGE_MAX);
        return false;
    }
    if (after.len >= sizeof page->after ||
        (after.len > 0 && pn_slice_find(after, '/') < after.len)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property $skiptoken has invalid value: take the whole nextLink.");
        return false;
    }
    page->max = (size_t)number;
    snprintf(page->after, sizeof page->after, "%.*s", PN_FMT(after));
    page->with_pending =
        pn_slice_case_eq_str(pn_request_query(call->request, "includePending"), "true");
    return true;
}

static json_t *next_link(const struct vault_call *call, const struct page *page, const char *path,
                         const char *last)
{
    struct pn_slice version = pn_request_query(call->request, "api-version");

    return json_sprintf("%.*s/%s?api-version=%.*s&$skiptoken=%s&maxresults=%zu%s",
                        PN_FMT(call->origin), path, PN_FMT(version), last, page->max,
                        page->with_pending ? "&includePending=true" : "");
}

static void answer_page(struct vault_call *call, json_t *value, json_t *link)
{
    vault_answer_json(
        call, 200, json_pack("{s:o, s:o}", "value", value, "nextLink", link ? link : json_null()));
}

/* Rows of `folder` behind the last name, at most a page and one. */
static enum pn_rc read_rows(struct vault_call *call, const char *folder, const char *type,
                            const char *after, struct pn_store_list *rows, struct pn_error *err)
{
    char prefix[OBJECT_ID_TEXT], from[OBJECT_ID_TEXT];

    snprintf(prefix, sizeof prefix, "/vault/%s/%s/", call->vault_name, folder);
    snprintf(from, sizeof from, "%s%s", prefix, after);
    return pn_store_page(call->vault->store, prefix, type, after[0] ? from : NULL, PAGE_ROWS, rows,
                         err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(vault_item_version(a), vault_item_version(b));
}

/* Joins `more` into `rows`, in order of their names. */
static enum pn_rc join_rows(struct pn_store_list *rows, struct pn_store_list *more)
{
    size_t count = rows->count + more->count;
    struct pn_store_item *items = realloc(rows->items, (count ? count : 1) * sizeof *rows->items);

    if (!items)
        return PN_NOMEM;
    rows->items = items;
    if (more->count)
        memcpy(items + rows->count, more->items, more->count * sizeof *items);
    rows->count = count;
    more->count = 0;
    qsort(items, count, sizeof *items, by_name);
    return PN_OK;
}

/* The heads of a kind: all names are secrets; keys are those of keys and of certificates. */
static enum pn_rc read_heads(struct vault_call *call, enum vault_kind kind, bool is_deleted,
                             const char *after, struct pn_store_list *rows, struct pn_error *err)
{
    const struct vault_kind_facts *facts = &vault_kinds[kind];
    const struct vault_kind_facts *other = &vault_kinds[KIND_CERTIFICATE];
    struct pn_store_list more = {0};
    enum pn_rc rc = read_rows(call, is_deleted ? facts->deleted : facts->heads,
                              kind != KIND_CERTIFICATE ? NULL
                              : is_deleted             ? facts->deleted_type
                                                       : facts->head_type,
                              after, rows, err);

    if (rc != PN_OK || kind != KIND_KEY)
        return rc;
    rc = read_rows(call, is_deleted ? other->deleted : other->heads,
                   is_deleted ? other->deleted_type : other->head_type, after, &more, err);
    if (rc == PN_OK)
        rc = join_rows(rows, &more);
    pn_store_list_fini(&more);
    return rc;
}

/* The version that stands for the head. A certificate that is being made has none: *item then has
 * the head's own body, which the item function knows by its type. */
static enum pn_rc latest_of(struct vault_call *call, const struct pn_store_item *head,
                            struct pn_store_item *item, struct pn_error *err)
{
    const char *latest = pn_json_str(json_object_get(head->body, "properties"), "latest");
    enum vault_kind kind;
    char id[OBJECT_ID_TEXT];

    if (!latest || !vault_kind_of(head, &kind))
        return PN_NOT_FOUND;
    snprintf(call->key, sizeof call->key, "%s", vault_item_version(head));
    vault_version_id(call, kind, latest, id);
    return pn_store_get(call->vault->store, id, item, err);
}

/* Appends the item of one head. PN_NOT_FOUND: it is not listed. */
static enum pn_rc append_head(struct vault_call *call, const struct page *page,
                              enum vault_kind kind, bool is_deleted,
                              const struct pn_store_item *head, vault_item_fn make, json_t *value,
                              struct pn_error *err)
{
    const char *name = pn_json_str(head->body, "name");
    struct pn_store_item item = {0};
    json_t *json = NULL;
    enum pn_rc rc = latest_of(call, head, &item, err);

    if (rc == PN_OK)
        json = make(call, &item, name, false);
    else if (rc == PN_NOT_FOUND && kind == KIND_CERTIFICATE && (page->with_pending || is_deleted))
        json = vault_certificate_item(call, head, name, false);
    else
        return rc; /* deleted meanwhile, or not yet made */
    if (json && is_deleted)
        json = vault_add_deletion(call, kind, head->body, json);
    pn_store_item_fini(&item);
    return json_array_append_new(value, json) == 0 ? PN_OK : PN_NOMEM;
}

static void list_heads(struct vault_call *call, enum vault_kind kind, bool is_deleted,
                       vault_item_fn make)
{
    struct pn_store_list heads = {0};
    struct pn_error err = {0};
    char path[32], last[sizeof(((struct page *)NULL)->after)] = "";
    bool has_more = true;
    struct page page;
    json_t *value;
    enum pn_rc rc = PN_OK;

    if (!read_page(call, &page))
        return;
    value = json_array();
    snprintf(last, sizeof last, "%s", page.after);
    while (rc == PN_OK && has_more && json_array_size(value) < page.max) {
        size_t i = 0;

        rc = read_heads(call, kind, is_deleted, last, &heads, &err);
        for (; rc == PN_OK && i < heads.count && json_array_size(value) < page.max; i++) {
            snprintf(last, sizeof last, "%s", vault_item_version(&heads.items[i]));
            rc = append_head(call, &page, kind, is_deleted, &heads.items[i], make, value, &err);
            if (rc == PN_NOT_FOUND)
                rc = PN_OK;
        }
        has_more = i < heads.count || heads.count >= PAGE_ROWS;
        pn_store_list_fini(&heads);
    }
    snprintf(path, sizeof path, "%s%s", is_deleted ? "deleted" : "", vault_kinds[kind].collection);
    if (rc == PN_OK)
        answer_page(call, value, has_more ? next_link(call, &page, path, last) : NULL);
    else {
        json_decref(value);
        vault_answer_failure(call, rc, &err);
    }
}

void vault_list_objects(struct vault_call *call, enum vault_kind kind, vault_item_fn make)
{
    list_heads(call, kind, false, make);
}

void vault_list_deleted(struct vault_call *call, enum vault_kind kind, vault_item_fn make)
{
    list_heads(call, kind, true, make);
}

/* One page of rows, an item each. */
static void list_rows(struct vault_call *call, const char *prefix, const char *type,
                      const char *path, const char *name, vault_item_fn make)
{
    struct pn_store_list rows = {0};
    struct pn_error err = {0};
    char from[OBJECT_ID_TEXT];
    struct page page;
    json_t *value;
    bool has_more;
    enum pn_rc rc;

    if (!read_page(call, &page))
        return;
    snprintf(from, sizeof from, "%s%s", prefix, page.after);
    rc = pn_store_page(call->vault->store, prefix, type, page.after[0] ? from : NULL, page.max + 1,
                       &rows, &err);
    value = json_array();
    has_more = rows.count > page.max;
    for (size_t i = 0; rc == PN_OK && i < rows.count && i < page.max; i++) {
        const struct pn_store_item *row = &rows.items[i];

        if (json_array_append_new(
                value, make(call, row, name ? name : pn_json_str(row->body, "name"), true)) != 0)
            rc = PN_NOMEM;
    }
    if (rc == PN_OK) {
        answer_page(
            call, value,
            has_more ? next_link(call, &page, path, vault_item_version(&rows.items[page.max - 1]))
                     : NULL);
    } else {
        json_decref(value);
        vault_answer_failure(call, rc, &err);
    }
    pn_store_list_fini(&rows);
}

void vault_list_rows(struct vault_call *call, const char *prefix, const char *type,
                     const char *path, vault_item_fn make)
{
    list_rows(call, prefix, type, path, NULL, make);
}

void vault_list_versions(struct vault_call *call, enum vault_kind asked, vault_item_fn make)
{
    struct pn_store_item head = {0}, latest = {0};
    char prefix[OBJECT_ID_TEXT], path[OBJECT_ID_TEXT];
    struct pn_error err = {0};
    enum vault_kind kind = asked;
    const char *name;
    enum pn_rc rc;

    call->version[0] = '\0';
    rc = vault_find(call, asked, &head, &latest, &err);
    if (rc == PN_NOT_FOUND) { /* as Azure: a name without versions has an empty list */
        answer_page(call, json_array(), NULL);
    } else if (rc != PN_OK) {
        vault_answer_failure(call, rc, &err);
    } else {
        (void)vault_kind_of(&latest, &kind);
        name = pn_json_str(head.body, "name");
        vault_version_id(call, kind, "", prefix);
        snprintf(path, sizeof path, "%s/%s/versions", vault_kinds[asked].collection, name);
        list_rows(call, prefix, vault_kinds[kind].version_type, path, name, make);
    }
    pn_store_item_fini(&head);
    pn_store_item_fini(&latest);
}
