/* SPDX-License-Identifier: Apache-2.0
 *
 * A list that is filtered or sorted by what the store keeps of each resource: the documents of the
 * page are read, and those whose facts are too long; no others.
 *
 * What is looked at is a small entity {name, properties, key}: filter and order read it like a
 * view.
 */
#include "arm/arm_internal.h"

#include <string.h>

struct look {
    struct arm_call *call;
    const struct arm_list_rule *rule;
    const struct arm_filter *filter;
    bool is_sorted; /* then all that match are kept until it is known which are on the page */
    uint64_t skip, top, count;
    json_t *kept; /* array */
    struct pn_store_item item;
};

bool arm_list_has_facts(const struct arm_list_rule *rule)
{
    return rule->type && !rule->keep && (rule->are_facts || rule->view == arm_view_plain);
}

/* The document's view in place of facts that are not kept; NULL: it has gone meanwhile (PN_OK), or
 * *err tells. */
static json_t *view_of(struct look *look, const char *key, struct pn_error *err)
{
    json_t *view = NULL;
    enum pn_rc rc = pn_store_get(look->call->arm->config.store, key, &look->item, err);

    if (rc == PN_OK)
        view = look->rule->view(look->call, &look->item, err);
    else if (rc == PN_NOT_FOUND)
        *err = (struct pn_error){0};
    pn_store_item_fini(&look->item);
    return view;
}

static json_t *entity_of(struct look *look, const char *key, struct pn_slice facts,
                         struct pn_error *err)
{
    json_t *entity, *properties = NULL;

    if (facts.len == 0)
        return view_of(look, key, err);
    if (pn_json_parse(facts, &properties, err) != PN_OK)
        return NULL;
    entity = json_pack("{s:s, s:o}", "name", strrchr(key, '/') + 1, "properties", properties);
    if (!entity)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return entity;
}

static bool look_at(void *ctx, const char *key, struct pn_slice facts, struct pn_error *err)
{
    struct look *look = ctx;
    json_t *entity = entity_of(look, key, facts, err);
    bool is_kept;

    if (!entity)
        return err->rc == PN_OK;
    if (look->filter && !arm_filter_matches(look->filter, entity)) {
        json_decref(entity);
        return true;
    }
    is_kept =
        look->is_sorted || (look->count >= look->skip && look->count < look->skip + look->top);
    look->count++;
    if (!is_kept) {
        json_decref(entity);
        return true;
    }
    if (json_object_set_new(entity, "key", json_string(key)) == 0 &&
        json_array_append(look->kept, entity) == 0) {
        json_decref(entity);
        return true;
    }
    json_decref(entity);
    pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return false;
}

enum pn_rc arm_list_by_facts(struct arm_call *call, const struct arm_list_rule *rule,
                             const struct arm_filter *filter, const struct arm_order *order,
                             uint64_t skip, uint64_t top, json_t *value, uint64_t *count,
                             struct pn_error *err)
{
    struct look look = {.call = call,
                        .rule = rule,
                        .filter = filter,
                        .is_sorted = order->field != NULL,
                        .skip = skip,
                        .top = top,
                        .kept = json_array()};
    enum pn_rc rc = look.kept ? pn_store_facts(call->arm->config.store, rule->prefix, rule->type,
                                               look_at, &look, err)
                              : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    const json_t *entity;
    size_t i;

    if (rc == PN_OK && look.is_sorted)
        rc = arm_order_cut(order, skip, top, &look.kept, err);
    json_array_foreach(look.kept, i, entity)
    {
        json_t *view;

        if (rc != PN_OK)
            break;
        view = view_of(&look, pn_json_str(entity, "key"), err);
        if (view && json_array_append_new(value, view) != 0)
            pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        rc = err->rc;
    }
    json_decref(look.kept);
    *count = look.count;
    return rc;
}
