/* SPDX-License-Identifier: Apache-2.0
 *
 * workspaces: a team's own APIs, backends, certificates, policies and subscriptions, below
 * {service}/workspaces/{w}. What is in them is handled as what is the service's own, in another
 * scope (ADR 230).
 */
#include <string.h>

#include "arm/arm_internal.h"

static const char *const filter_fields[] = {"name", "displayName", "description", NULL};

void arm_workspaces(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/workspaces/", call->service_id),
        .type = pn_type_facts(PN_TYPE_WORKSPACE)->type,
        .fields = filter_fields,
        .view = arm_view_plain,
    };

    arm_list(call, &rule);
}

void arm_workspace_get(struct arm_call *call)
{
    arm_get_with(call, arm_view_plain);
}

static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    (void)arm_store_and_answer(call, txn, former, properties, NULL, NULL, arm_view_plain);
}

void arm_workspace_put(struct arm_call *call)
{
    arm_put(call, pn_workspace_fields, store);
}

void arm_workspace_patch(struct arm_call *call)
{
    arm_patch(call, pn_workspace_fields, NULL, store);
}

/** Notes which certificates go, and remembers all keys. */
static enum pn_rc let_go(struct arm_call *call, struct pn_store_txn *txn,
                         const struct pn_store_list *list, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < list->count; i++) {
        const struct pn_store_item *item = &list->items[i];
        bool is_certificate = strcmp(item->type, pn_type_facts(PN_TYPE_CERTIFICATE)->type) == 0;

        if (is_certificate)
            rc = arm_audit_removed(call, txn, item, err);
        if (rc == PN_OK &&
            (is_certificate || strcmp(item->type, pn_type_facts(PN_TYPE_EMBEDDED)->type) == 0))
            rc = arm_drop_keys(call, json_object_get(item->body, "internal"), err);
    }
    return rc;
}

/** With everything that is in it; nothing outside can refer to that. */
static enum pn_rc remove_all(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                             struct pn_error *err)
{
    const char *below = pn_arena_printf(call->arena, "%s/", id);
    struct pn_store_list list = {0};
    enum pn_rc rc = below ? pn_store_txn_list(txn, below, NULL, &list, err)
                          : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK)
        rc = let_go(call, txn, &list, err);
    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        rc = pn_store_delete(txn, list.items[i].id, err);
    pn_store_list_fini(&list);
    return rc == PN_OK ? pn_store_delete(txn, id, err) : rc;
}

void arm_workspace_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;

    if (!arm_begin_delete(call, &txn, &item))
        return;
    if (remove_all(call, txn, item.id, &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 200);
        arm_policy_forget_dropped(call);
    }
    pn_store_item_fini(&item);
}
