/* SPDX-License-Identifier: Apache-2.0
 *
 * $orderby of lists (OData 4.01, 5.1.4 of the protocol), as far as a table needs it: one field of
 * those that can be filtered, and a direction. Texts compare without regard to ASCII case, dates as
 * the ISO 8601 texts that they are; what lacks the field comes first; equal ones stay by id.
 */
#include "arm/arm_internal.h"

#include <stdlib.h>
#include <strings.h>

struct sorted {
    json_t *entity;
    struct pn_slice text;
    size_t at;
};

enum pn_rc arm_order_parse(struct pn_slice text, const char *const *fields, struct arm_order *order,
                           struct pn_error *err)
{
    struct pn_slice field = pn_slice_sub(text, 0, pn_slice_find(text, ' '));
    struct pn_slice way = pn_slice_trim(pn_slice_sub(text, field.len, text.len));

    *order = (struct arm_order){0};
    if (text.len == 0)
        return PN_OK;
    if (pn_slice_case_starts_with(field, PN_LIT("properties/")))
        field = pn_slice_sub(field, 11, field.len);
    order->is_descending = pn_slice_case_eq_str(way, "desc");
    for (size_t i = 0; fields[i]; i++) {
        if (pn_slice_case_eq_str(field, fields[i]))
            order->field = fields[i];
    }
    if (order->field && (way.len == 0 || order->is_descending || pn_slice_case_eq_str(way, "asc")))
        return PN_OK;
    pn_error_set(err, PN_INVALID, "invalid_orderby",
                 "The $orderby must be one field that can be filtered, then nothing, 'asc' or "
                 "'desc'.");
    return pn_error_target(err, "$orderby");
}

static int compare(const void *a, const void *b)
{
    const struct sorted *left = a, *right = b;
    size_t common = left->text.len < right->text.len ? left->text.len : right->text.len;
    int order = common > 0 ? strncasecmp(left->text.ptr, right->text.ptr, common) : 0;

    if (order == 0)
        order = (left->text.len > right->text.len) - (left->text.len < right->text.len);
    return order != 0 ? order : (left->at > right->at) - (left->at < right->at);
}

enum pn_rc arm_order_cut(const struct arm_order *order, uint64_t skip, uint64_t top, json_t **value,
                         struct pn_error *err)
{
    size_t count = json_array_size(*value);
    struct sorted *list = calloc(count + 1, sizeof(*list));
    json_t *page = json_array();
    enum pn_rc rc = list && page ? PN_OK : PN_NOMEM;

    for (size_t i = 0; rc == PN_OK && i < count; i++) {
        list[i].entity = json_array_get(*value, i);
        list[i].at = i;
        if (!arm_field_text(list[i].entity, order->field, &list[i].text))
            list[i].text = (struct pn_slice){NULL, 0};
    }
    if (rc == PN_OK)
        qsort(list, count, sizeof(*list), compare);
    for (uint64_t i = skip; rc == PN_OK && i < count && i < skip + top; i++) {
        const struct sorted *item = &list[order->is_descending ? count - 1 - i : i];

        if (json_array_append(page, item->entity) != 0)
            rc = PN_NOMEM;
    }
    free(list);
    if (rc != PN_OK) {
        json_decref(page);
        return pn_error_set(err, rc, "out_of_memory", "out of memory");
    }
    json_decref(*value);
    *value = page;
    return PN_OK;
}
