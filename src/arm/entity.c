/* SPDX-License-Identifier: Apache-2.0
 *
 * What all types have in common: views, transactions with their preconditions, waiting for the
 * gateway, deletion.
 */
#include "arm/arm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define WORKSPACES "/workspaces/"

json_t *arm_type(const char *id, const char *kind)
{
    static const char service[] = "Microsoft.ApiManagement/service/";
    const char *workspace = strcasestr(id, WORKSPACES);

    /* The workspace itself is of that kind already. */
    if (!workspace || !strchr(workspace + strlen(WORKSPACES), '/') ||
        strncmp(kind, service, sizeof(service) - 1) != 0)
        return json_string(kind);
    return json_sprintf("%sworkspaces/%s", service, kind + sizeof(service) - 1);
}

json_t *arm_entity(const struct pn_store_item *item, json_t *properties)
{
    const char *slash = strrchr(item->id, '/');

    if (!properties)
        return NULL;
    return json_pack("{s:s,s:s,s:o,s:o}", "id", item->id, "name", slash ? slash + 1 : item->id,
                     "type", arm_type(item->id, item->type), "properties", properties);
}

json_t *arm_view_plain(struct arm_call *call, const struct pn_store_item *item,
                       struct pn_error *err)
{
    json_t *entity = arm_entity(item, json_deep_copy(json_object_get(item->body, "properties")));

    (void)call;
    if (!entity)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return entity;
}

void arm_get_with(struct arm_call *call, arm_view_fn view)
{
    struct pn_error err = {0};
    struct pn_store_item item;
    json_t *entity = NULL;

    if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
        return;
    }
    entity = view(call, &item, &err);
    if (entity)
        arm_answer_json(call, 200, entity, item.revision);
    else
        arm_answer_failure(call, &err);
    pn_store_item_fini(&item);
}

bool arm_properties(struct arm_call *call, const struct pn_field *fields, json_t **properties)
{
    struct pn_problems problems = {0};
    enum pn_rc rc =
        pn_schema_apply(fields, json_object_get(call->body, "properties"), properties, &problems);

    if (rc == PN_OK)
        return true;
    if (rc == PN_INVALID)
        arm_answer_problems(call, &problems);
    else
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return false;
}

/** What stands above may have been deleted since the call saw it: a child that is put now would be
 *  an orphan that nobody can address. False: answered. */
static bool is_still_there(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                           const char *noun)
{
    struct pn_store_item item;
    struct pn_error err = {0};

    if (pn_store_txn_get(txn, id, &item, &err) == PN_OK) {
        pn_store_item_fini(&item);
        return true;
    }
    if (err.rc == PN_NOT_FOUND)
        arm_answer_error(call, 404, "ResourceNotFound", "%s not found.", noun);
    else
        arm_answer_failure(call, &err);
    return false;
}

static bool parents_are_there(struct arm_call *call, struct pn_store_txn *txn)
{
    return (call->workspace.len == 0 || is_still_there(call, txn, call->scope_id, "Workspace")) &&
           (!call->parent_id || is_still_there(call, txn, call->parent_id, call->parent_noun));
}

bool arm_begin(struct arm_call *call, struct pn_store_txn **txn, struct pn_store_item *item)
{
    struct pn_error err = {0};

    memset(item, 0, sizeof(*item));
    if (pn_store_begin(call->arm->config.store, txn, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    if (!parents_are_there(call, *txn)) {
        pn_store_rollback(*txn);
        *txn = NULL;
        return false;
    }
    if (pn_store_txn_get(*txn, call->id, item, &err) != PN_OK && err.rc != PN_NOT_FOUND) {
        arm_answer_failure(call, &err);
    } else if (arm_precondition(call, item)) {
        return true;
    }
    pn_store_item_fini(item);
    pn_store_rollback(*txn);
    *txn = NULL;
    return false;
}

bool arm_publish(struct arm_call *call, uint64_t revision)
{
    const struct pn_publisher *publisher = &call->arm->config.publisher;
    struct pn_error err = {0};
    enum pn_rc rc = publisher->publish(publisher->ctx, revision, &err);

    if (rc == PN_OK)
        return true;
    pn_log_error(PN_LOG_WARN, "arm_not_live", &err);
    pn_error_prefix(&err, "The change is stored, but the gateway does not use it yet (repeat the "
                          "request)");
    err.rc = rc == PN_INTERNAL ? PN_INTERNAL : PN_UNAVAILABLE;
    arm_answer_failure(call, &err);
    return false;
}

bool arm_commit(struct arm_call *call, struct pn_store_txn *txn, uint64_t *revision)
{
    struct pn_error err = {0};

    if (pn_store_commit(txn, revision, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    return arm_publish(call, *revision);
}

/** The stored document; takes its parts. */
static json_t *document(const char *name, json_t *properties, json_t *internal)
{
    json_t *body = json_pack("{s:s}", "name", name);

    if (!body || !properties || json_object_set_new(body, "properties", properties) != 0) {
        if (!body)
            json_decref(properties);
        json_decref(internal);
        json_decref(body);
        return NULL;
    }
    if (internal && json_object_set_new(body, "internal", internal) != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

bool arm_store_and_answer(struct arm_call *call, struct pn_store_txn *txn,
                          const struct pn_store_item *former, json_t *properties, json_t *internal,
                          const char *const *references, arm_view_fn view)
{
    const char *id = former->id ? former->id : call->id;
    const char *type = pn_type_facts(call->route->type)->type;
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    uint64_t revision = 0;
    json_t *entity = NULL;
    json_t *body = document(strrchr(id, '/') + 1, properties, internal);
    bool is_stored = false;
    enum pn_rc rc = PN_OK;

    if (!body) {
        pn_store_rollback(txn);
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    if (pn_store_put(txn, id, type, body, references, &err) != PN_OK ||
        pn_store_txn_get(txn, id, &item, &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
        goto out;
    }
    rc = call->before_commit ? call->before_commit(call, txn, &err) : PN_OK;
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        if (rc != PN_EXISTS && !call->wants_again)
            arm_answer_failure(call, &err);
        goto out;
    }
    if (arm_audit_in(call, txn, former->id ? 200 : 201, json_object_get(body, "properties"),
                     &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
        goto out;
    }
    /* Made before the commit: a view that cannot be made must not leave a change behind. */
    entity = view(call, &item, &err);
    if (!entity) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
        goto out;
    }
    if (!arm_commit(call, txn, &revision))
        goto out;
    arm_answer_json(call, former->id ? 200 : 201, entity, revision);
    entity = NULL;
    is_stored = true;
out:
    json_decref(entity);
    json_decref(body);
    pn_store_item_fini(&item);
    return is_stored;
}

enum pn_rc arm_delete_below(struct pn_store_txn *txn, const char *prefix, const char *type,
                            struct pn_error *err)
{
    struct pn_store_list list;
    enum pn_rc rc = pn_store_txn_list(txn, prefix, type, &list, err);

    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        rc = pn_store_delete(txn, list.items[i].id, err);
    pn_store_list_fini(&list);
    return rc;
}

enum pn_rc arm_delete_unused(struct pn_store_txn *txn, const char *prefix, const char *type,
                             arm_dropped_fn dropped, struct arm_call *call, struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = prefix ? pn_store_txn_list(txn, prefix, type, &list, err)
                           : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        struct pn_store_list users;

        rc = pn_store_users(txn, list.items[i].id, &users, err);
        if (rc != PN_OK)
            break;
        if (users.count == 0) {
            rc = pn_store_delete(txn, list.items[i].id, err);
            if (rc == PN_OK && dropped)
                rc = dropped(call, json_object_get(list.items[i].body, "internal"), err);
        }
        pn_store_list_fini(&users);
    }
    pn_store_list_fini(&list);
    return rc;
}

bool arm_begin_delete(struct arm_call *call, struct pn_store_txn **txn, struct pn_store_item *item)
{
    if (!arm_begin(call, txn, item))
        return false;
    if (item->id)
        return true;
    pn_store_rollback(*txn);
    /* Gone already, perhaps by a request whose answer was "not yet live". */
    if (arm_publish(call, pn_store_revision(call->arm->config.store)))
        arm_answer_empty(call, 204);
    return false;
}

bool arm_delete_item(struct arm_call *call, struct pn_store_item *item)
{
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    uint64_t revision = 0;

    memset(item, 0, sizeof(*item));
    if (!arm_begin_delete(call, &txn, item))
        return false;
    if (!arm_refuse_while_used(call, txn))
        return false;
    if (pn_store_delete(txn, call->id, &err) != PN_OK ||
        arm_audit_in(call, txn, 200, json_object_get(item->body, "properties"), &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
        return false;
    }
    return arm_commit(call, txn, &revision);
}

void arm_delete(struct arm_call *call)
{
    struct pn_store_item item;

    if (arm_delete_item(call, &item))
        arm_answer_empty(call, 200);
    pn_store_item_fini(&item);
}

/** "Operation", "Product", "API": what a resource below it is told that there is none of. */
static const char *parent_noun(struct pn_slice type)
{
    if (pn_slice_eq_str(type, "operations"))
        return "Operation";
    return pn_slice_eq_str(type, "products") ? "Product" : "API";
}

bool arm_parent(struct arm_call *call, size_t names_up)
{
    struct pn_id id;
    struct pn_error err = {0};
    struct pn_store_item parent;
    const char *rest = NULL;
    char *parent_id = NULL;

    if (strstr(call->route->pattern, "/service/*/apis/") && !arm_drop_revision(call))
        return false;
    if (pn_id_parse(pn_slice_str(call->id), &id, &err) != PN_OK || id.part_count <= names_up) {
        arm_answer_error(call, 400, "InvalidRequestUri", "The resource id is malformed.");
        return false;
    }
    rest = id.parts[id.part_count - 1 - names_up].name.ptr +
           id.parts[id.part_count - 1 - names_up].name.len;
    parent_id = pn_arena_strdup(call->arena, pn_slice(call->id, (size_t)(rest - call->id)));
    if (!parent_id) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    call->parent_noun = parent_noun(id.parts[id.part_count - 1 - names_up].type);
    if (pn_store_get(call->arm->config.store, parent_id, &parent, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_error(call, 404, "ResourceNotFound", "%s not found.", call->parent_noun);
        else
            arm_answer_failure(call, &err);
        return false;
    }
    call->id = pn_arena_printf(call->arena, "%s%s", parent.id, rest);
    pn_store_item_fini(&parent);
    call->parent_id = parent_id;
    if (!call->id)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return call->id != NULL;
}

enum pn_rc arm_open_sealed(struct pn_arm *arm, const struct pn_store_item *item,
                           bool (*join)(json_t *properties, json_t *secrets), json_t **properties,
                           struct pn_error *err)
{
    const char *sealed = pn_json_str(json_object_get(item->body, "internal"), "sealed");
    json_t *copy = json_deep_copy(json_object_get(item->body, "properties"));
    json_t *secrets = NULL;
    enum pn_rc rc = copy ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK && sealed)
        rc = arm_unseal(&arm->config.services, item->id, sealed, &secrets, err);
    if (rc == PN_OK && secrets && !join(copy, secrets))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(secrets);
    if (rc == PN_OK)
        *properties = copy;
    else
        json_decref(copy);
    return rc;
}

void arm_put(struct arm_call *call, const struct pn_field *fields, arm_store_fn store)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    json_t *properties = NULL;

    if (!arm_properties(call, fields, &properties))
        return;
    if (!arm_begin(call, &txn, &former)) {
        json_decref(properties);
        return;
    }
    store(call, txn, &former, properties);
    pn_store_item_fini(&former);
}

void arm_patch(struct arm_call *call, const struct pn_field *fields, arm_open_fn open,
               arm_store_fn store)
{
    struct pn_store_item former = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    json_t *stored = NULL;
    json_t *merged = NULL;
    json_t *properties = NULL;
    enum pn_rc rc = PN_OK;

    if (!arm_begin(call, &txn, &former))
        return;
    if (!former.id) {
        arm_answer_not_found(call);
        goto out;
    }
    if (open)
        rc = open(call->arm, &former, &stored, &err);
    else
        stored = json_incref(json_object_get(former.body, "properties"));
    if (rc != PN_OK) {
        arm_answer_failure(call, &err);
        goto out;
    }
    merged = pn_schema_merge(stored, json_object_get(call->body, "properties"));
    rc = merged ? pn_schema_apply(fields, merged, &properties, &problems) : PN_NOMEM;
    if (rc == PN_INVALID)
        arm_answer_problems(call, &problems);
    else if (rc != PN_OK)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    if (rc == PN_OK) {
        store(call, txn, &former, properties);
        txn = NULL;
    }
out:
    pn_store_rollback(txn);
    json_decref(stored);
    json_decref(merged);
    pn_store_item_fini(&former);
}
