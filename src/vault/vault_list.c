/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists, page by page: $skiptoken is the last name or version of the page before.
 */
#include <stdio.h>
#include <string.h>

#include "vault/vault_internal.h"

struct page {
    size_t max;
    struct pn_slice after; /* ptr NULL: from the start */
};

/* False: answered (400). */
static bool read_page(struct vault_call *call, struct page *page)
{
    struct pn_slice max = pn_request_query(call->request, "maxresults");
    uint64_t number = PN_VAULT_PAGE_MAX;

    if (max.ptr && (!pn_slice_to_u64(max, PN_VAULT_PAGE_MAX, &number) || number == 0)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property maxresults has invalid value: 1 to %d.", PN_VAULT_PAGE_MAX);
        return false;
    }
    page->max = (size_t)number;
    page->after = pn_request_query(call->request, "$skiptoken");
    return true;
}

static json_t *next_link(const struct vault_call *call, const struct page *page, const char *path,
                         const char *last)
{
    struct pn_slice version = pn_request_query(call->request, "api-version");

    return json_sprintf("%.*s/%s?api-version=%.*s&$skiptoken=%s&maxresults=%zu",
                        PN_FMT(call->request->origin), path, PN_FMT(version), last, page->max);
}

static void answer_page(struct vault_call *call, json_t *value, json_t *link)
{
    vault_answer_json(
        call, 200, json_pack("{s:o, s:o}", "value", value, "nextLink", link ? link : json_null()));
}

static bool is_behind(const char *name, struct pn_slice after)
{
    return !after.ptr || pn_slice_compare(pn_slice_str(name), after) > 0;
}

/* The latest version of the object whose head is `head`. */
static enum pn_rc latest_of(struct vault_call *call, const struct pn_store_item *head,
                            struct pn_store_item *item, struct pn_error *err)
{
    struct pn_store_item again = {0};
    enum pn_rc rc;

    snprintf(call->key, sizeof call->key, "%s", vault_item_version(head));
    call->version[0] = '\0';
    rc = vault_find(call, "secrets", &again, item, err);
    pn_store_item_fini(&again);
    return rc;
}

/* Fills *value up to the page's limit; *last: the last name when there are more. */
static enum pn_rc collect(struct vault_call *call, const struct page *page,
                          const struct pn_store_list *heads, bool certificates_only,
                          vault_item_fn make, json_t *value, const char **last,
                          struct pn_error *err)
{
    for (size_t i = 0; i < heads->count; i++) {
        const struct pn_store_item *head = &heads->items[i];
        const char *kind = pn_json_str(json_object_get(head->body, "properties"), "kind");
        const char *name = pn_json_str(head->body, "name");
        struct pn_store_item item = {0};
        enum pn_rc rc;

        if (!name || !kind || !is_behind(vault_item_version(head), page->after) ||
            (certificates_only && strcmp(kind, "certificate") != 0))
            continue;
        if (json_array_size(value) == page->max)
            return PN_OK;
        *last = NULL;
        rc = latest_of(call, head, &item, err);
        if (rc == PN_NOT_FOUND)
            continue; /* deleted meanwhile */
        if (rc == PN_OK && json_array_append_new(value, make(call, &item, name, false)) != 0)
            rc = PN_NOMEM;
        pn_store_item_fini(&item);
        if (rc != PN_OK)
            return rc;
        if (json_array_size(value) == page->max)
            *last = vault_item_version(head);
    }
    *last = NULL;
    return PN_OK;
}

void vault_list_objects(struct vault_call *call, const char *collection, vault_item_fn make)
{
    char prefix[OBJECT_ID_TEXT];
    struct pn_store_list heads = {0};
    struct pn_error err = {0};
    struct page page;
    const char *last = NULL;
    json_t *value;
    enum pn_rc rc;

    if (!read_page(call, &page))
        return;
    snprintf(prefix, sizeof prefix, "/vault/%s/objects/", call->vault_name);
    rc = pn_store_list(call->vault->store, prefix, OBJECT_TYPE, &heads, &err);
    value = json_array();
    if (rc == PN_OK)
        rc = collect(call, &page, &heads, strcmp(collection, "certificates") == 0, make, value,
                     &last, &err);
    if (rc == PN_OK)
        answer_page(call, value, last ? next_link(call, &page, collection, last) : NULL);
    else {
        json_decref(value);
        vault_answer_failure(call, rc, &err);
    }
    pn_store_list_fini(&heads);
}

void vault_list_versions(struct vault_call *call, const char *collection, vault_item_fn make)
{
    struct pn_store_item head = {0}, latest = {0};
    char prefix[OBJECT_ID_TEXT], path[OBJECT_ID_TEXT];
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    struct page page;
    const char *last = NULL, *name;
    json_t *value = NULL;
    enum pn_rc rc;

    if (!read_page(call, &page))
        return;
    call->version[0] = '\0';
    rc = vault_find(call, collection, &head, &latest, &err);
    if (rc == PN_NOT_FOUND) { /* as Azure: a name without versions has an empty list */
        answer_page(call, json_array(), NULL);
        return;
    }
    if (rc == PN_OK) {
        vault_version_id(call,
                         strcmp(latest.type, CERTIFICATE_TYPE) == 0 ? "certificates" : "secrets",
                         "", prefix);
        rc = pn_store_list(call->vault->store, prefix, latest.type, &list, &err);
    }
    name = pn_json_str(head.body, "name");
    value = json_array();
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        const char *version = vault_item_version(&list.items[i]);

        if (!is_behind(version, page.after))
            continue;
        if (json_array_size(value) == page.max) {
            last = vault_item_version(&list.items[i - 1]);
            break;
        }
        if (json_array_append_new(value, make(call, &list.items[i], name, true)) != 0)
            rc = PN_NOMEM;
    }
    snprintf(path, sizeof path, "%s/%s/versions", collection, name ? name : call->name);
    if (rc == PN_OK) {
        answer_page(call, value, last ? next_link(call, &page, path, last) : NULL);
    } else {
        json_decref(value);
        vault_answer_failure(call, rc, &err);
    }
    pn_store_list_fini(&list);
    pn_store_item_fini(&head);
    pn_store_item_fini(&latest);
}
