/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists: $filter, $orderby, $skip, $top, count, nextLink.
 */
#include "arm/arm_internal.h"
#include "arm/quirks.h"

#include <string.h>

#include "base/encode.h"

struct page {
    uint64_t top, skip;
    bool has_top;
    struct arm_filter *filter;
    struct arm_order order; /* field NULL: by id */
};

static bool read_number(struct arm_call *call, const char *name, uint64_t lowest, uint64_t *value,
                        bool *is_given)
{
    struct pn_slice text = pn_request_query(call->request, name);

    *is_given = text.len > 0;
    if (!*is_given)
        return true;
    if (pn_slice_to_u64(text, INT32_MAX, value) && *value >= lowest)
        return true;
    arm_answer_invalid(call, name, "'%s' must be a whole number, at least %llu.", name,
                       (unsigned long long)lowest);
    return false;
}

static bool read_page(struct arm_call *call, const struct arm_list_rule *rule, struct page *page)
{
    struct pn_slice filter = pn_slice_trim(pn_request_query(call->request, "$filter"));
    struct pn_slice order = pn_slice_trim(pn_request_query(call->request, "$orderby"));
    struct pn_error err = {0};
    bool is_given = false;

    if (arm_has_quirk(call, ARM_QUIRK_NO_ORDERBY))
        order.len = 0;
    page->top = PN_PAGE_ITEMS_MAX;
    if (!read_number(call, "$top", 1, &page->top, &page->has_top) ||
        !read_number(call, "$skip", 0, &page->skip, &is_given))
        return false;
    if (page->top > PN_PAGE_ITEMS_MAX)
        page->top = PN_PAGE_ITEMS_MAX;
    if (arm_order_parse(order, rule->fields, &page->order, &err) == PN_OK &&
        (filter.len == 0 ||
         arm_filter_parse(call->arena, filter, rule->fields, &page->filter, &err) == PN_OK))
        return true;
    arm_answer_failure(call, &err);
    return false;
}

static bool is_kept_parameter(struct pn_slice name)
{
    return !pn_slice_case_eq_str(name, "$skip") && !pn_slice_case_eq_str(name, "$top");
}

/** The address of the next page: the caller's own query with another $skip. */
static json_t *next_link(struct arm_call *call, const struct page *page)
{
    const struct pn_request *request = call->request;
    struct pn_slice rest = request->query;
    struct pn_slice pair = {0};
    struct pn_buf link;
    json_t *text = NULL;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&link, 16384);
    rc = pn_buf_printf(&link, "%.*s%.*s?", PN_FMT(request->origin), PN_FMT(request->path));
    while (rc == PN_OK && pn_slice_cut(&rest, '&', &pair)) {
        struct pn_slice raw = pn_slice_sub(pair, 0, pn_slice_find(pair, '='));
        struct pn_buf name;

        pn_buf_init(&name, raw.len + 1);
        if (raw.len > 0 && pn_form_decode(raw, &name) == PN_OK &&
            is_kept_parameter(pn_buf_slice(&name)))
            rc = pn_buf_printf(&link, "%.*s&", PN_FMT(pair));
        pn_buf_fini(&name);
    }
    if (rc == PN_OK && page->has_top)
        rc = pn_buf_printf(&link, "%%24top=%llu&", (unsigned long long)page->top);
    if (rc == PN_OK)
        rc = pn_buf_printf(&link, "%%24skip=%llu", (unsigned long long)(page->skip + page->top));
    if (rc == PN_OK)
        text = json_stringn(link.ptr, link.len);
    pn_buf_fini(&link);
    return text;
}

static bool is_below(const char *id, const char *prefix)
{
    return strncasecmp(id, prefix, strlen(prefix)) == 0;
}

/** Adds the page's part of `items` to `value`; *count is how many matched in all. */
static enum pn_rc collect(struct arm_call *call, const struct arm_list_rule *rule,
                          const struct page *page, const struct pn_store_list *items, json_t *value,
                          uint64_t *count, struct pn_error *err)
{
    *count = 0;
    for (size_t i = 0; i < items->count; i++) {
        const struct pn_store_item *item = &items->items[i];
        bool is_on_page = false;
        json_t *entity = NULL;

        if ((rule->keep && !rule->keep(call, item)) ||
            (rule->is_followed && !is_below(item->id, rule->prefix)))
            continue;
        is_on_page = page->order.field || (*count >= page->skip && *count < page->skip + page->top);
        if (!page->filter && !is_on_page) {
            (*count)++;
            continue;
        }
        entity = rule->view(call, item, err);
        if (!entity)
            return err->rc;
        if (page->filter && !arm_filter_matches(page->filter, entity)) {
            json_decref(entity);
            continue;
        }
        (*count)++;
        if (!is_on_page)
            json_decref(entity);
        else if (json_array_append_new(value, entity) != 0)
            return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    return PN_OK;
}

/** Whether the list's order is that of the ids and nobody has to be looked at to be counted: then
 * only the page is read, however many there are. */
static bool is_by_id(const struct arm_list_rule *rule, const struct page *page)
{
    return !page->filter && !rule->keep && rule->type &&
           (!page->order.field || strcmp(page->order.field, "name") == 0);
}

static enum pn_rc read_part(struct arm_call *call, const struct arm_list_rule *rule,
                            const struct page *page, json_t *value, uint64_t *count,
                            struct pn_error *err)
{
    bool is_backwards = page->order.field && page->order.is_descending;
    struct pn_store_list items = {0};
    enum pn_rc rc = pn_store_part(call->arm->config.store, rule->prefix, rule->type, page->skip,
                                  page->top, is_backwards, &items, count, err);

    for (size_t i = 0; rc == PN_OK && i < items.count; i++) {
        json_t *entity =
            rule->view(call, &items.items[is_backwards ? items.count - 1 - i : i], err);

        if (!entity)
            rc = err->rc;
        else if (json_array_append_new(value, entity) != 0)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    pn_store_list_fini(&items);
    return rc;
}

static enum pn_rc read_all(struct arm_call *call, const struct arm_list_rule *rule,
                           const struct page *page, json_t **value, uint64_t *count,
                           struct pn_error *err)
{
    struct pn_store_list items = {0};
    enum pn_rc rc =
        rule->is_followed
            ? pn_store_list_followed(call->arm->config.store, rule->type, &items, err)
            : pn_store_list(call->arm->config.store, rule->prefix, rule->type, &items, err);

    if (rc == PN_OK)
        rc = collect(call, rule, page, &items, *value, count, err);
    if (rc == PN_OK && page->order.field)
        rc = arm_order_cut(&page->order, page->skip, page->top, value, err);
    pn_store_list_fini(&items);
    return rc;
}

void arm_list(struct arm_call *call, const struct arm_list_rule *rule)
{
    struct page page = {0};
    struct pn_error err = {0};
    json_t *value = NULL;
    json_t *body = NULL;
    uint64_t count = 0;
    enum pn_rc rc = PN_OK;

    if (!rule->prefix) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return;
    }
    if (!read_page(call, rule, &page))
        return;
    value = json_array();
    if (!value)
        rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    else if (is_by_id(rule, &page))
        rc = read_part(call, rule, &page, value, &count, &err);
    else if (arm_list_has_facts(rule))
        rc = arm_list_by_facts(call, rule, page.filter, &page.order, page.skip, page.top, value,
                               &count, &err);
    else
        rc = read_all(call, rule, &page, &value, &count, &err);
    if (rc != PN_OK) {
        arm_answer_failure(call, &err);
        json_decref(value);
        return;
    }
    body = json_pack("{s:o,s:I}", "value", value, "count", (json_int_t)count);
    if (body && count > page.skip + page.top &&
        json_object_set_new(body, "nextLink", next_link(call, &page)) != 0) {
        json_decref(body);
        body = NULL;
    }
    arm_answer_json(call, 200, body, 0);
}
