/* SPDX-License-Identifier: Apache-2.0
 *
 * apis. One revision each ("1"), no version sets yet, types http and websocket: what the gateway
 * cannot act on is refused, never stored in silence.
 */
#include "arm/arm_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const filter_fields[] = {"name", "displayName", "description", "serviceUrl",
                                            "path", "isCurrent",   NULL};

bool arm_drop_revision(struct arm_call *call)
{
    struct pn_slice name = call->names[3];
    size_t at = pn_slice_find_slice(name, PN_LIT(";rev="));
    struct pn_slice number = {0};
    const char *marker = NULL;

    if (at == name.len)
        return true;
    number = pn_slice_sub(name, at + 5, name.len - at - 5);
    if (!pn_slice_eq_str(number, "1")) {
        if (pn_slice_eq_str(call->request->method, "PUT"))
            arm_answer_invalid(call, "apiRevision",
                               "Revisions of APIs are not offered by this Postern: an API has the "
                               "revision 1 only.");
        else
            arm_answer_error(call, 404, "ResourceNotFound", "API not found.");
        return false;
    }
    marker = strstr(call->id, ";rev=1");
    call->names[3] = pn_slice_sub(name, 0, at);
    call->id =
        pn_arena_printf(call->arena, "%.*s%s", (int)(marker - call->id), call->id, marker + 6);
    if (!call->id)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return call->id != NULL;
}

void arm_apis(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/apis/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_API)->type,
        .fields = filter_fields,
        .view = arm_view_plain,
    };

    arm_list(call, &rule);
}

void arm_api_get(struct arm_call *call)
{
    if (arm_drop_revision(call))
        arm_get_with(call, arm_view_plain);
}

/* ---- checks ---- */

/** Without slashes at its ends; NULL in *path's place: not acceptable. */
static bool check_path(struct pn_problems *problems, json_t *properties)
{
    struct pn_slice path = pn_json_slice(properties, "path");
    json_t *text = NULL;

    while (path.len > 0 && path.ptr[0] == '/')
        path = pn_slice_sub(path, 1, path.len - 1);
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path = pn_slice_sub(path, 0, path.len - 1);
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.ptr[i] > ' ' && !memchr("?#*{}\\<>\"", path.ptr[i], 9) &&
            path.ptr[i] != 0x7f)
            continue;
        pn_problem_add(problems, "path",
                       "'path' must not contain white space or any of ? # * { } \\ < > \".");
        return false;
    }
    if (pn_slice_find_slice(path, PN_LIT("//")) < path.len) {
        pn_problem_add(problems, "path", "'path' must not contain empty segments.");
        return false;
    }
    text = json_stringn(path.len > 0 ? path.ptr : "", path.len);
    return json_object_set_new(properties, "path", text) == 0;
}

static bool is_supported_type(const char *type)
{
    return !type || strcmp(type, "http") == 0 || strcmp(type, "websocket") == 0 ||
           strcmp(type, "grpc") == 0;
}

static void check_supported(struct pn_problems *problems, const json_t *properties)
{
    const char *type = pn_json_str(properties, "type");
    const char *revision = pn_json_str(properties, "apiRevision");

    if (!is_supported_type(type))
        pn_problem_add(problems, "type",
                       "APIs of another type than 'http', 'websocket' and 'grpc' are not offered "
                       "by this Postern.");
    if (json_object_get(properties, "apiVersion") ||
        json_object_get(properties, "apiVersionSetId") ||
        json_object_get(properties, "apiVersionSet"))
        pn_problem_add(problems, "apiVersion",
                       "Versions of APIs are not offered by this Postern. Put the version into "
                       "'path' instead.");
    if (revision && strcmp(revision, "1") != 0)
        pn_problem_add(problems, "apiRevision",
                       "Revisions of APIs are not offered by this "
                       "Postern: 'apiRevision' can only be \"1\".");
    if (json_object_get(properties, "sourceApiId"))
        pn_problem_add(problems, "sourceApiId",
                       "Copying an API ('sourceApiId') is not offered by this Postern.");
}

static bool set_default(json_t *object, const char *name, json_t *value)
{
    if (!json_object_get(object, name))
        return json_object_set_new(object, name, value) == 0;
    json_decref(value);
    return true;
}

static bool fill_defaults(json_t *properties, struct pn_slice name)
{
    json_t *keys = json_object_get(properties, "subscriptionKeyParameterNames");

    if (!keys) {
        keys = json_object();
        if (json_object_set_new(properties, "subscriptionKeyParameterNames", keys) != 0)
            return false;
    }
    if (pn_json_slice(keys, "header").len == 0)
        (void)json_object_del(keys, "header");
    if (pn_json_slice(keys, "query").len == 0)
        (void)json_object_del(keys, "query");
    return set_default(keys, "header", json_string("Ocp-Apim-Subscription-Key")) &&
           set_default(keys, "query", json_string("subscription-key")) &&
           set_default(properties, "displayName", json_stringn(name.ptr, name.len)) &&
           set_default(properties, "protocols",
                       json_pack("[s]", arm_is_websocket(properties) ? "wss" : "https")) &&
           set_default(properties, "subscriptionRequired", json_true()) &&
           set_default(properties, "type", json_string("http")) &&
           set_default(properties, "apiRevision", json_string("1")) &&
           json_object_set_new(properties, "isCurrent", json_true()) == 0;
}

/** Which other API has this path already, in any scope: there is one gateway; its name in `other`.
 */
static enum pn_rc find_path(struct arm_call *call, struct pn_store_txn *txn, struct pn_slice path,
                            char other[PN_NAME_BYTES_MAX + 1], struct pn_error *err)
{
    struct pn_store_list apis;
    const char *prefix = pn_arena_printf(call->arena, "%s/", call->service_id);
    enum pn_rc rc = PN_NOT_FOUND;

    if (!prefix)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (pn_store_txn_list_path(txn, prefix, pn_type_facts(PN_TYPE_API)->type, path, &apis, err) !=
        PN_OK)
        return err->rc;
    for (size_t i = 0; rc == PN_NOT_FOUND && i < apis.count; i++) {
        struct pn_slice name = pn_slice_str(strrchr(apis.items[i].id, '/') + 1);

        if (strcasecmp(apis.items[i].id, call->id) == 0)
            continue;
        name = pn_slice_sub(name, 0, PN_NAME_BYTES_MAX);
        memcpy(other, name.ptr, name.len);
        other[name.len] = 0;
        rc = PN_EXISTS;
    }
    pn_store_list_fini(&apis);
    return rc;
}

/** "apiType" is what "type" is called in requests. */
static void adopt_type(json_t *properties)
{
    json_t *kind = json_object_get(properties, "apiType");

    if (kind && !json_object_get(properties, "type"))
        (void)json_object_set(properties, "type", kind);
    (void)json_object_del(properties, "apiType");
}

/** Checks, stores, answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    char other[PN_NAME_BYTES_MAX + 1];
    struct pn_slice path = {0};
    enum pn_rc rc = PN_OK;

    adopt_type(properties);
    arm_import_read(call, &problems, properties);
    check_supported(&problems, properties);
    (void)check_path(&problems, properties);
    arm_check_backend_url(&problems, "serviceUrl", pn_json_slice(properties, "serviceUrl"));
    arm_websocket_check(&problems, properties, former);
    path = pn_json_slice(properties, "path");
    if (problems.count > 0) {
        arm_answer_problems(call, &problems);
    } else if (!fill_defaults(properties, arm_name(call))) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else {
        rc = find_path(call, txn, path, other, &err);
        if (rc == PN_NOT_FOUND) {
            if (arm_is_websocket(properties))
                call->before_commit = arm_websocket_add_handshake;
            else if (call->imported)
                call->before_commit = arm_import_store;
            (void)arm_store_and_answer(call, txn, former, properties, NULL, NULL, arm_view_plain);
            arm_policy_forget_dropped(call);
            return;
        }
        if (rc == PN_EXISTS)
            arm_answer_invalid(call, "path",
                               "Cannot create API '%.*s' with the same Path '%.*s' as API '%s'.",
                               PN_FMT(arm_name(call)), PN_FMT(path), other);
        else
            arm_answer_failure(call, &err);
    }
    pn_store_rollback(txn);
    json_decref(properties);
}

void arm_api_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    json_t *properties = NULL;

    if (!arm_drop_revision(call) || !arm_properties(call, pn_api_fields, &properties))
        return;
    if (!arm_begin(call, &txn, &former)) {
        json_decref(properties);
        return;
    }
    store(call, txn, &former, properties);
    pn_store_item_fini(&former);
}

void arm_api_patch(struct arm_call *call)
{
    if (arm_drop_revision(call))
        arm_patch(call, pn_api_fields, NULL, store);
}

/** Takes it out of its products, and deletes the subscriptions that open nothing but this API: a
 *  later API of that name must not be opened by old keys. */
static enum pn_rc delete_accesses(struct arm_call *call, struct pn_store_txn *txn,
                                  struct pn_error *err)
{
    struct pn_store_list users;
    enum pn_rc rc = pn_store_users(txn, call->id, &users, err);

    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; rc == PN_OK && i < users.count; i++)
        if (strcmp(users.items[i].type, pn_type_facts(PN_TYPE_ACCESS)->type) == 0 ||
            strcmp(users.items[i].type, pn_type_facts(PN_TYPE_PRODUCT_API)->type) == 0)
            rc = pn_store_delete(txn, users.items[i].id, err);
    pn_store_list_fini(&users);
    return rc;
}

void arm_api_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;
    const char *below = NULL;
    bool is_done = false;

    if (strstr(call->id, ";rev=")) {
        if (arm_drop_revision(call))
            arm_answer_error(call, 400, "ValidationError",
                             "Cannot delete the current revision of an API. Delete the API "
                             "itself.");
        return;
    }
    if (!arm_begin_delete(call, &txn, &item))
        return;
    below = pn_arena_printf(call->arena, "%s/", item.id);
    if (!below)
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    is_done = below && delete_accesses(call, txn, &err) == PN_OK &&
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
