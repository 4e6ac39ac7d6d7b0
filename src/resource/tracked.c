/* SPDX-License-Identifier: Apache-2.0
 *
 * See tracked.h.
 */
#include "resource/tracked.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/id.h"

#define LOCATION_MAX 90
#define TAGS_MAX     50
#define TAG_MAX      512
#define USERS_TOLD   5

json_t *tracked_json(const struct pn_store_item *item)
{
    return json_pack("{s:s, s:s, s:s, s:O*, s:O*, s:O}", "id", item->id, "name",
                     strrchr(item->id, '/') + 1, "type", item->type, "location",
                     json_object_get(item->body, "location"), "tags",
                     json_object_get(item->body, "tags"), "properties",
                     json_object_get(item->body, "properties"));
}

static json_t *view(const struct tracked_call *call, const struct pn_store_item *item)
{
    json_t *json = tracked_json(item);
    json_t *properties;

    if (!json || !call->type->view)
        return json;
    properties = json_deep_copy(json_object_get(json, "properties"));
    if (json_object_set_new(json, "properties", properties) == 0)
        call->type->view(call->base, item, json);
    return json;
}

bool tracked_name_is_valid(struct pn_slice name, const struct tracked_type *type)
{
    if (name.len < type->name_min || name.len > type->name_max)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!is_plain && (i == 0 || !strchr(type->name_more, c)))
            return false;
    }
    return true;
}

enum pn_rc tracked_refuse_used(struct pn_store_txn *txn, const char *id, const char *code,
                               struct pn_error *err)
{
    struct pn_store_list users = {0};
    struct pn_buf text;
    enum pn_rc rc = pn_store_users(txn, id, &users, err);

    pn_buf_init(&text, PN_ERROR_MESSAGE_MAX / 2);
    for (size_t i = 0; rc == PN_OK && i < users.count && i < USERS_TOLD; i++) {
        if (pn_buf_printf(&text, "%s%s", i ? ", " : "", users.items[i].id) != PN_OK)
            break; /* long names: those that fit are enough */
    }
    if (rc == PN_OK && users.count > 0)
        rc = pn_error_set(err, PN_CONFLICT, code,
                          "%s is in use and cannot be deleted. Take it away from: %.*s.", id,
                          PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    pn_store_list_fini(&users);
    return rc;
}

enum pn_rc tracked_finish(const struct pn_resource_call *call, const struct tracked_type *type,
                          struct pn_store_txn *txn, enum pn_rc rc, struct pn_error *err)
{
    const struct pn_publisher *publisher = &call->plane->publisher;
    uint64_t revision = 0;

    if (rc == PN_OK && type->settle)
        rc = type->settle(call, txn, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, &revision, err);
    if (rc == PN_OK && type->settle && publisher->publish)
        rc = publisher->publish(publisher->ctx, revision, err);
    return rc;
}

static void answer_not_found(const struct tracked_call *call)
{
    pn_resource_error(call->base, 404, "ResourceNotFound", "The Resource '%s' was not found.",
                      call->id);
}

static void list(const struct tracked_call *call)
{
    char prefix[PN_RESOURCE_ID_TEXT + 2];
    struct pn_store_list found = {0};
    struct pn_error err = {0};
    json_t *value;
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%s/", call->id);
    rc = pn_store_list(call->base->plane->store, prefix, call->type->type, &found, &err);
    if (rc != PN_OK) {
        pn_resource_failure(call->base, rc, &err);
        return;
    }
    value = json_array();
    for (size_t i = 0; i < found.count; i++)
        json_array_append_new(value, view(call, &found.items[i]));
    pn_store_list_fini(&found);
    pn_resource_list(call->base, value);
}

static void answer_stored(const struct tracked_call *call, int status)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->base->plane->store, call->id, &item, &err);

    if (rc == PN_OK)
        pn_resource_json(call->base, status, view(call, &item));
    else if (rc == PN_NOT_FOUND)
        answer_not_found(call);
    else
        pn_resource_failure(call->base, rc, &err);
    pn_store_item_fini(&item);
}

/* ---- writing ---- */

static enum pn_rc check_top(const struct tracked_call *call, const json_t *given, bool is_patch,
                            struct pn_error *err)
{
    struct pn_slice location = pn_json_slice(given, "location");
    const json_t *tags = json_object_get(given, "tags");
    const char *key;
    json_t *value;

    if (call->type->child)
        return PN_OK;
    if (!is_patch && (location.len == 0 || location.len > LOCATION_MAX))
        return pn_error_set(err, PN_INVALID, "LocationRequired",
                            "location is required, a text of at most %d characters", LOCATION_MAX);
    if (!tags || json_is_null(tags))
        return PN_OK;
    if (!json_is_object(tags) || json_object_size(tags) > TAGS_MAX)
        return pn_error_set(err, PN_INVALID, "InvalidTags",
                            "tags must be an object of at most %d texts", TAGS_MAX);
    json_object_foreach((json_t *)(uintptr_t)tags, key, value)
    {
        if (!json_is_string(value) || json_string_length(value) > TAG_MAX || strlen(key) > TAG_MAX)
            return pn_error_set(err, PN_INVALID, "InvalidTags",
                                "tags must be an object of texts of at most %d bytes", TAG_MAX);
    }
    return PN_OK;
}

static json_t *make_body(const struct tracked_call *call, const json_t *given,
                         const struct pn_store_item *former, bool is_patch, json_t *properties)
{
    json_t *body =
        json_pack("{s:s%, s:o}", "name", call->name.ptr, call->name.len, "properties", properties);
    json_t *location = former->body ? json_object_get(former->body, "location")
                                    : json_object_get(given, "location");
    json_t *tags = json_object_get(given, "tags");

    if (is_patch && !tags)
        tags = json_object_get(former->body, "tags");
    if (body && !call->type->child) {
        json_object_set(body, "location", location);
        if (json_is_object(tags))
            json_object_set(body, "tags", tags);
        else
            json_object_set_new(body, "tags", json_object());
    }
    return body;
}

static enum pn_rc store(const struct tracked_call *call, const json_t *given, bool is_patch,
                        bool *is_new, struct pn_error *err)
{
    struct pn_store_item former = {0};
    struct pn_store_txn *txn = NULL;
    json_t *properties = NULL, *body = NULL;
    const char *const *references = NULL;
    enum pn_rc rc = pn_store_begin(call->base->plane->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->id, &former, err);
    *is_new = rc == PN_NOT_FOUND;
    if (*is_new && !is_patch)
        rc = PN_OK;
    if (rc == PN_OK)
        rc = call->type->make(call, json_object_get(given, "properties"),
                              json_object_get(former.body, "properties"), &properties, err);
    if (rc == PN_OK && call->type->check)
        rc = call->type->check(call, txn, properties, err);
    if (rc == PN_OK) {
        if (call->type->references)
            references = call->type->references(call, properties);
        body = make_body(call, given, &former, is_patch, json_incref(properties));
        rc = body ? pn_store_put(txn, former.id ? former.id : call->id, call->type->type, body,
                                 references, err)
                  : PN_NOMEM;
    }
    rc = tracked_finish(call->base, call->type, txn, rc, err);
    json_decref(properties);
    json_decref(body);
    pn_store_item_fini(&former);
    return rc;
}

static void put(const struct tracked_call *call, bool is_patch)
{
    struct pn_error err = {0};
    bool is_new = false;
    json_t *given;
    enum pn_rc rc;

    if (!tracked_name_is_valid(call->name, call->type)) {
        pn_resource_error(call->base, 400, "InvalidResourceName",
                          "Resource name '%.*s' is invalid: it has %zu to %zu letters, digits and "
                          "%s, and begins with a letter or a digit.",
                          PN_FMT(pn_slice_sub(call->name, 0, 200)), call->type->name_min,
                          call->type->name_max, call->type->name_more);
        return;
    }
    given = pn_resource_body(call->base);
    if (!given)
        return;
    rc = check_top(call, given, is_patch, &err);
    if (rc == PN_OK)
        rc = store(call, given, is_patch, &is_new, &err);
    json_decref(given);
    if (rc == PN_OK) {
        if (call->type->changed)
            call->type->changed(call->base);
        answer_stored(call, is_new ? 201 : 200);
    } else if (rc == PN_NOT_FOUND && is_patch) {
        answer_not_found(call);
    } else {
        pn_resource_failure(call->base, rc, &err);
    }
}

/* What hangs below it goes with it: children, and roles that were given at it. */
static enum pn_rc delete_below(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    char prefix[PN_RESOURCE_ID_TEXT + 2];
    struct pn_store_list below = {0};
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%s/", id);
    rc = pn_store_txn_list(txn, prefix, NULL, &below, err);
    for (size_t i = 0; rc == PN_OK && i < below.count; i++)
        rc = pn_store_delete(txn, below.items[i].id, err);
    pn_store_list_fini(&below);
    return rc;
}

static void remove_one(const struct tracked_call *call)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_begin(call->base->plane->store, &txn, &err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, call->id, &item, &err);
    if (rc == PN_OK)
        rc = tracked_refuse_used(
            txn, call->id, call->type->in_use_code ? call->type->in_use_code : "ResourceInUse",
            &err);
    if (rc == PN_OK && call->type->may_go)
        rc = call->type->may_go(txn, &item, &err);
    if (rc == PN_OK)
        rc = delete_below(txn, call->id, &err);
    if (rc == PN_OK)
        rc = pn_store_delete(txn, call->id, &err);
    if (txn)
        rc = tracked_finish(call->base, call->type, txn, rc, &err);
    pn_store_item_fini(&item);
    if (rc == PN_OK && call->type->changed)
        call->type->changed(call->base);
    if (rc == PN_OK || rc == PN_NOT_FOUND)
        call->base->response->status = rc == PN_OK ? 200 : 204;
    else
        pn_resource_failure(call->base, rc, &err);
}

/* ---- the path ---- */

/* False: answered. */
static bool may(const struct tracked_call *call, const char *verb)
{
    char action[160];

    snprintf(action, sizeof action, "%s/%s", call->type->type, verb);
    return pn_resource_may(call->base, action, call->id);
}

/* Fills ids and name. False: answered. */
static bool read_path(struct tracked_call *call, const struct resource_path *path)
{
    const struct pn_slice *rest = path->rest;
    size_t above = call->type->child ? 2 : 0;
    bool has_name = path->rest_count == above + 2;
    int len;

    if ((path->rest_count != above + 1 && !has_name) ||
        (path->scope_count != 4 && (path->scope_count != 2 || has_name || above > 0))) {
        pn_resource_error(call->base, 404, "InvalidResourceType",
                          "There is nothing at this path: %s is listed below a subscription or a "
                          "resource group, and is named in a resource group.",
                          call->type->type);
        return false;
    }
    if (!has_name && above == 0) {
        snprintf(call->id, sizeof call->id, "%s", path->scope);
        return true;
    }
    len = snprintf(call->id, sizeof call->id, "%s/providers/%.*s/%.*s", path->scope,
                   PN_FMT(pn_slice_sub(pn_slice_str(call->type->type), 0,
                                       pn_slice_find(pn_slice_str(call->type->type), '/'))),
                   PN_FMT(pn_id_canonical(rest[0])));
    len += snprintf(call->id + len, sizeof call->id - (size_t)len, "/%.*s", PN_FMT(rest[1]));
    if (above > 0) {
        memcpy(call->parent, call->id, sizeof call->parent);
        if (has_name)
            snprintf(call->id + len, sizeof call->id - (size_t)len, "/%s/%.*s", call->type->child,
                     PN_FMT(rest[3]));
    }
    call->name = has_name ? rest[above + 1] : (struct pn_slice){NULL, 0};
    return true;
}

/* A child needs its parent; takes over its casing. False: answered. */
static bool parent_is_there(struct tracked_call *call)
{
    struct pn_store_item parent = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!call->type->child)
        return true;
    rc = pn_store_get(call->base->plane->store, call->parent, &parent, &err);
    if (rc == PN_OK)
        memcpy(call->id, parent.id, strlen(parent.id));
    else if (rc == PN_NOT_FOUND)
        pn_resource_error(call->base, 404, "ParentResourceNotFound",
                          "The parent resource '%s' was not found.", call->parent);
    else
        pn_resource_failure(call->base, rc, &err);
    pn_store_item_fini(&parent);
    return rc == PN_OK;
}

void tracked_handle(struct pn_resource_call *base, const struct resource_path *path,
                    const struct tracked_type *type)
{
    struct tracked_call call = {.base = base, .type = type};
    bool is_get = pn_resource_reads(base), is_put = pn_resource_is(base, "PUT");
    bool is_patch = pn_resource_is(base, "PATCH") && type->has_patch;

    if (strlen(path->scope) + 512 > PN_RESOURCE_ID_TEXT) {
        pn_resource_error(base, 400, "InvalidRequestUri", "The resource id is too long.");
        return;
    }
    if (!read_path(&call, path))
        return;
    if (!is_get && !(call.name.ptr && (is_put || is_patch || pn_resource_is(base, "DELETE")))) {
        pn_resource_wrong_method(base, !call.name.ptr    ? "GET, HEAD"
                                       : type->has_patch ? "GET, HEAD, PUT, PATCH, DELETE"
                                                         : "GET, HEAD, PUT, DELETE");
        return;
    }
    if (!may(&call, is_get               ? "read"
                    : is_put || is_patch ? "write"
                                         : "delete") ||
        !resource_scope_exists(base, path) || !parent_is_there(&call))
        return;
    if (is_get && call.name.ptr)
        answer_stored(&call, 200);
    else if (is_get)
        list(&call);
    else if (is_put || is_patch)
        put(&call, is_patch);
    else
        remove_one(&call);
}
