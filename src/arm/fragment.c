/* SPDX-License-Identifier: Apache-2.0
 *
 * policyFragments: statements that policies include by <include-fragment fragment-id="…" />. A
 * change is in the same transaction as that of every policy that includes it (dependents.c).
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"

static const char *const filter_fields[] = {"name", "description", "value", NULL};

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    json_t *properties = NULL;
    json_t *value = NULL;
    json_t *entity;

    if (arm_policy_open(call->arm, item, &properties, err) != PN_OK)
        return NULL;
    value = call->wants_rawxml ? json_incref(json_object_get(properties, "value"))
                               : arm_policy_as_xml(pn_json_slice(properties, "value"), err);
    if (!value) {
        json_decref(properties);
        return NULL;
    }
    if (json_object_set_new(properties, "value", value) != 0 ||
        json_object_set_new(properties, "format",
                            json_string(call->wants_rawxml ? "rawxml" : "xml")) != 0 ||
        json_object_set_new(properties, "provisioningState", json_string("Succeeded")) != 0) {
        json_decref(properties);
        properties = NULL;
    }
    entity = arm_entity(item, properties);
    if (!entity)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return entity;
}

void arm_fragments(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/policyFragments/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_FRAGMENT)->type,
        .fields = filter_fields,
        .view = view,
    };

    if (arm_policy_format(call))
        arm_list(call, &rule);
}

void arm_fragment_get(struct arm_call *call)
{
    if (arm_policy_format(call))
        arm_get_with(call, view);
}

void arm_fragment_put(struct arm_call *call)
{
    static const char *const kept[] = {"description", NULL};
    json_t *given = NULL;

    if (!arm_properties(call, pn_fragment_fields, &given))
        return;
    arm_document_put(call, given, kept, view);
    json_decref(given);
}

/** The embedded certificates and tokens that only it named go with it. */
void arm_fragment_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;

    if (!arm_begin_delete(call, &txn, &item))
        return;
    if (arm_refuse_while_used(call, txn)) {
        if (pn_store_delete(txn, item.id, &err) != PN_OK ||
            arm_policy_drop_embedded(call, txn, &err) != PN_OK) {
            pn_store_rollback(txn);
            arm_answer_failure(call, &err);
        } else if (arm_commit(call, txn, &revision)) {
            arm_answer_empty(call, 200);
            arm_policy_forget_dropped(call);
        }
    }
    pn_store_item_fini(&item);
}

/* ---- listReferences ---- */

static bool read_number(struct arm_call *call, const char *name, uint64_t lowest, uint64_t *value)
{
    struct pn_slice text = pn_request_query(call->request, name);

    if (text.len == 0 || (pn_slice_to_u64(text, INT32_MAX, value) && *value >= lowest))
        return true;
    arm_answer_invalid(call, name, "'%s' must be a whole number, at least %llu.", name,
                       (unsigned long long)lowest);
    return false;
}

/** Who includes it itself: policies and other fragments. */
void arm_fragment_references(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item = {0};
    struct pn_store_list users = {0};
    struct pn_error err = {0};
    uint64_t top = PN_PAGE_ITEMS_MAX;
    uint64_t skip = 0;
    json_t *value = NULL;
    enum pn_rc rc;

    if (!read_number(call, "$top", 1, &top) || !read_number(call, "$skip", 0, &skip))
        return;
    if (top > PN_PAGE_ITEMS_MAX)
        top = PN_PAGE_ITEMS_MAX;
    rc = pn_store_begin(call->arm->config.store, &txn, &err);
    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, call->id, &item, &err);
    if (rc == PN_OK)
        rc = pn_store_users(txn, call->id, &users, &err);
    pn_store_rollback(txn);
    if (rc == PN_OK) {
        value = json_array();
        for (size_t i = (size_t)skip; i < users.count && i < skip + top; i++)
            (void)json_array_append_new(
                value, json_pack("{s:s, s:s, s:o}", "id", users.items[i].id, "name",
                                 strrchr(users.items[i].id, '/') + 1, "type",
                                 arm_type(users.items[i].id, users.items[i].type)));
        arm_answer_json(call, 200,
                        json_pack("{s:o, s:I}", "value", value, "count", (json_int_t)users.count),
                        0);
    } else if (rc == PN_NOT_FOUND) {
        arm_answer_not_found(call);
    } else {
        arm_answer_failure(call, &err);
    }
    pn_store_list_fini(&users);
    pn_store_item_fini(&item);
}
