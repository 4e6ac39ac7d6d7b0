/* SPDX-License-Identifier: Apache-2.0
 *
 * products: APIs that are offered together, with a policy and keys of their own. What is in one is
 * in product_api.c; what the gateway makes of it, in ADR 251.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

static const char *const filter_fields[] = {"name",  "displayName", "description",
                                            "terms", "state",       NULL};

bool arm_product_is_open(const json_t *properties)
{
    return !pn_json_bool(properties, "subscriptionRequired", true);
}

/* ---- reading ---- */

void arm_products(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/products/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_PRODUCT)->type,
        .fields = filter_fields,
        .view = arm_view_plain,
    };

    arm_list(call, &rule);
}

void arm_product_get(struct arm_call *call)
{
    arm_get_with(call, arm_view_plain);
}

static bool opens_this(const struct arm_call *call, const struct pn_store_item *item)
{
    return pn_slice_case_eq_str(pn_json_slice(json_object_get(item->body, "properties"), "scope"),
                                call->id);
}

void arm_product_accesses(struct arm_call *call)
{
    static const char *const fields[] = {"name",  "displayName", "stateComment", "ownerId", "scope",
                                         "state", NULL};
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/subscriptions/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_ACCESS)->type,
        .fields = fields,
        .view = arm_view_plain,
        .keep = opens_this,
    };

    if (arm_parent(call, 0))
        arm_list(call, &rule);
}

/* ---- writing ---- */

static bool set_default(json_t *object, const char *name, json_t *value)
{
    if (!json_object_get(object, name))
        return json_object_set_new(object, name, value) == 0;
    json_decref(value);
    return true;
}

/** Who needs no subscription can neither wait for one nor have too many. */
static void check(struct pn_problems *problems, const json_t *properties)
{
    if (!arm_product_is_open(properties))
        return;
    if (pn_json_bool(properties, "approvalRequired", false))
        pn_problem_add(problems, "approvalRequired",
                       "'approvalRequired' can be true only while 'subscriptionRequired' is.");
    if (json_object_get(properties, "subscriptionsLimit"))
        pn_problem_add(problems, "subscriptionsLimit",
                       "'subscriptionsLimit' can be set only while 'subscriptionRequired' is "
                       "true.");
}

/** An API is in one open product at most: whose policy a call without a key runs must be clear.
 *  False: answered. */
static bool may_be_open(struct arm_call *call, struct pn_store_txn *txn)
{
    struct pn_store_list links = {0};
    struct pn_error err = {0};
    const char *other = NULL;
    const char *prefix = pn_arena_printf(call->arena, "%s/apis/", call->id);
    enum pn_rc rc =
        prefix
            ? pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_PRODUCT_API)->type, &links, &err)
            : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");

    for (size_t i = 0; rc == PN_OK && !other && i < links.count; i++) {
        rc = arm_product_other_open(call, txn, arm_product_link_api(&links.items[i]), call->id,
                                    &other, &err);
        if (rc == PN_OK && other)
            arm_answer_invalid(call, "subscriptionRequired",
                               "API '%s' is in the open product '%s' already. An API can be in "
                               "one product that requires no subscription.",
                               strrchr(links.items[i].id, '/') + 1, other);
    }
    pn_store_list_fini(&links);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    return rc == PN_OK && !other;
}

/** Checks, stores, answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    struct pn_problems problems = {0};

    if (pn_json_int(properties, "subscriptionsLimit", -1) == 0)
        (void)json_object_del(properties, "subscriptionsLimit"); /* no limit */
    check(&problems, properties);
    if (problems.count > 0) {
        arm_answer_problems(call, &problems);
    } else if (!set_default(properties, "subscriptionRequired", json_true()) ||
               !set_default(properties, "approvalRequired", json_false()) ||
               !set_default(properties, "state", json_string("notPublished"))) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else if (!arm_product_is_open(properties) || !former->id || may_be_open(call, txn)) {
        (void)arm_store_and_answer(call, txn, former, properties, NULL, NULL, arm_view_plain);
        return;
    }
    pn_store_rollback(txn);
    json_decref(properties);
}

void arm_product_put(struct arm_call *call)
{
    arm_put(call, pn_product_fields, store);
}

void arm_product_patch(struct arm_call *call)
{
    arm_patch(call, pn_product_fields, NULL, store);
}

/* ---- deleting ---- */

static enum pn_rc delete_accesses(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    struct pn_store_list users;
    enum pn_rc rc = pn_store_users(txn, id, &users, err);

    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; rc == PN_OK && i < users.count; i++)
        rc = pn_store_delete(txn, users.items[i].id, err);
    pn_store_list_fini(&users);
    return rc;
}

/** Its APIs stay; that they were in it, and its policy, go. */
void arm_product_delete(struct arm_call *call)
{
    bool with_accesses =
        pn_slice_case_eq_str(pn_request_query(call->request, "deleteSubscriptions"), "true");
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;
    const char *below = NULL;
    bool is_done = false;

    if (!arm_begin_delete(call, &txn, &item))
        return;
    if (!with_accesses && !arm_refuse_while_used(call, txn)) {
        pn_store_item_fini(&item);
        return;
    }
    below = pn_arena_printf(call->arena, "%s/", item.id);
    if (!below)
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    is_done = below && delete_accesses(txn, item.id, &err) == PN_OK &&
              arm_delete_below(txn, below, NULL, &err) == PN_OK &&
              pn_store_delete(txn, item.id, &err) == PN_OK &&
              arm_policy_drop_embedded(call, txn, &err) == PN_OK;
    if (!is_done) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 200);
        arm_policy_forget_dropped(call);
    }
    pn_store_item_fini(&item);
}
