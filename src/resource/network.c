/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of networks and security groups. See network.h.
 */
#include "resource/network.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum pn_rc network_bad(struct pn_error *err, const char *code, const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return pn_error_set(err, PN_INVALID, code, "%s", message);
}

enum pn_rc network_settle(const struct pn_resource_call *call, struct pn_store_txn *txn,
                          struct pn_error *err)
{
    return call->plane->outbound ? pn_outbound_refresh(call->plane->outbound, txn, err) : PN_OK;
}

enum pn_rc network_check_names(const json_t *children, const char *member, struct pn_error *err)
{
    static const struct tracked_type rule = {.name_min = 1, .name_max = 80, .name_more = "-_."};
    json_t *child, *other;
    size_t i, k;

    if (children && !json_is_array(children))
        return network_bad(err, "InvalidRequestFormat", "properties.%s must be a list", member);
    json_array_foreach(children, i, child)
    {
        struct pn_slice name = pn_json_slice(child, "name");

        if (!tracked_name_is_valid(name, &rule))
            return network_bad(err, "InvalidResourceName",
                               "properties.%s[%zu].name must have 1 to 80 letters, digits and -_., "
                               "and begin with a letter or a digit",
                               member, i);
        if (!json_is_object(json_object_get(child, "properties")))
            return network_bad(err, "InvalidRequestFormat",
                               "properties.%s[%zu].properties must be an object", member, i);
        json_array_foreach(children, k, other)
        {
            if (k < i && pn_slice_case_eq(name, pn_json_slice(other, "name")))
                return network_bad(err, "InvalidRequestFormat",
                                   "properties.%s has two entries with the name %s", member,
                                   pn_json_str(child, "name"));
        }
    }
    return PN_OK;
}

void network_view_children(const struct pn_store_item *item, const struct network_kind *kind,
                           json_t *properties)
{
    json_t *child;
    size_t index;

    json_array_foreach(json_object_get(properties, kind->member), index, child)
    {
        json_object_set_new(
            child, "id",
            json_sprintf("%s/%s/%s", item->id, kind->member, pn_json_str(child, "name")));
        json_object_set_new(child, "type", json_string(kind->child_type));
        json_object_set_new(json_object_get(child, "properties"), "provisioningState",
                            json_string("Succeeded"));
    }
}

static json_t *find(const json_t *children, struct pn_slice name, size_t *position)
{
    json_t *child;
    size_t index;

    json_array_foreach(children, index, child)
    {
        *position = index;
        if (pn_slice_case_eq(pn_json_slice(child, "name"), name))
            return child;
    }
    return NULL;
}

/* One child as it is answered: new reference; NULL: there is none. */
static json_t *child_json(const struct pn_store_item *item, const struct network_kind *kind,
                          struct pn_slice name)
{
    json_t *properties = json_deep_copy(json_object_get(item->body, "properties"));
    size_t position;
    json_t *child;

    network_view_children(item, kind, properties);
    child = json_incref(find(json_object_get(properties, kind->member), name, &position));
    json_decref(properties);
    return child;
}

static void answer_children(struct pn_resource_call *call, const struct pn_store_item *item,
                            const struct network_kind *kind, struct pn_slice name, int status)
{
    json_t *answer;

    if (name.ptr) {
        answer = child_json(item, kind, name);
        if (answer)
            pn_resource_json(call, status, answer);
        else
            pn_resource_error(call, 404, "NotFound", "Resource %s/%s/%.*s not found.", item->id,
                              kind->member, PN_FMT(pn_slice_sub(name, 0, 80)));
        return;
    }
    answer = json_deep_copy(json_object_get(item->body, "properties"));
    network_view_children(item, kind, answer);
    pn_resource_list(call, json_incref(json_object_get(answer, kind->member)));
    json_decref(answer);
}

/* Checks the parent's changed document like a PUT of it and stores it. */
static enum pn_rc store_parent(const struct tracked_call *call, struct pn_store_txn *txn,
                               struct pn_store_item *item, json_t *wanted, struct pn_error *err)
{
    const struct tracked_type *type = call->type;
    json_t *properties = NULL;
    const char *const *references = NULL;
    enum pn_rc rc =
        type->make(call, wanted, json_object_get(item->body, "properties"), &properties, err);

    if (rc == PN_OK && type->check)
        rc = type->check(call, txn, properties, err);
    if (rc == PN_OK) {
        references = type->references ? type->references(call, properties) : NULL;
        rc = json_object_set(item->body, "properties", properties) == 0 ? PN_OK : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = pn_store_put(txn, item->id, item->type, item->body, references, err);
    json_decref(properties);
    return rc;
}

/* *existed: whether the child was there before. `given` NULL: it is taken away. */
static enum pn_rc change(const struct tracked_call *call, const struct network_kind *kind,
                         struct pn_slice name, const json_t *given, bool *existed,
                         struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    char child_id[PN_RESOURCE_ID_TEXT + 256];
    json_t *wanted = NULL, *children, *entry;
    size_t position = 0;
    enum pn_rc rc = pn_store_begin(call->base->plane->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->id, &item, err);
    wanted = json_deep_copy(json_object_get(item.body, "properties"));
    children = json_object_get(wanted, kind->member);
    *existed = find(children, name, &position) != NULL;
    snprintf(child_id, sizeof child_id, "%s/%s/%.*s", call->id, kind->member, PN_FMT(name));
    if (rc == PN_OK && given) {
        entry =
            json_pack("{s:s%, s:O}", "name", name.ptr, name.len, "properties",
                      json_object_get(given, "properties") ? json_object_get(given, "properties")
                                                           : json_null());
        rc = (*existed ? json_array_set_new(children, position, entry)
                       : json_array_append_new(children, entry)) == 0
                 ? PN_OK
                 : PN_NOMEM;
    } else if (rc == PN_OK && *existed) {
        rc = tracked_refuse_used(txn, child_id, "InUseSubnetCannotBeDeleted", err);
        json_array_remove(children, position);
    }
    if (rc == PN_OK)
        rc = store_parent(call, txn, &item, wanted, err);
    rc = tracked_finish(call->base, call->type, txn, rc, err);
    json_decref(wanted);
    pn_store_item_fini(&item);
    return rc;
}

static void write_child(const struct tracked_call *call, const struct network_kind *kind,
                        struct pn_slice name, bool is_put)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *given = NULL;
    bool existed = false;
    enum pn_rc rc;

    if (is_put) {
        given = pn_resource_body(call->base);
        if (!given)
            return;
    }
    rc = change(call, kind, name, given, &existed, &err);
    json_decref(given);
    if (rc == PN_OK && !is_put)
        call->base->response->status = existed ? 200 : 204;
    else if (rc == PN_OK)
        rc = pn_store_get(call->base->plane->store, call->id, &item, &err);
    if (rc == PN_OK && is_put)
        answer_children(call->base, &item, kind, name, existed ? 200 : 201);
    else if (rc != PN_OK)
        pn_resource_failure(call->base, rc, &err);
    pn_store_item_fini(&item);
}

void network_child(struct pn_resource_call *base, const struct resource_path *path,
                   const struct network_kind *kind)
{
    struct tracked_call call = {.base = base, .type = kind->tracked};
    struct pn_slice name = path->rest_count == 4 ? path->rest[3] : (struct pn_slice){NULL, 0};
    bool is_get = pn_resource_reads(base), is_put = pn_resource_is(base, "PUT");
    struct pn_store_item parent = {0};
    struct pn_error err = {0};
    char action[160];
    enum pn_rc rc;

    if (path->scope_count != 4 || path->rest_count > 4 || strlen(path->scope) > 512 ||
        !pn_slice_case_eq_str(path->rest[2], kind->member)) {
        pn_resource_error(base, 404, "InvalidResourceType", "There is nothing at this path.");
        return;
    }
    if (!is_get && !(name.ptr && (is_put || pn_resource_is(base, "DELETE")))) {
        pn_resource_wrong_method(base, name.ptr ? "GET, HEAD, PUT, DELETE" : "GET, HEAD");
        return;
    }
    snprintf(call.id, sizeof call.id, "%.512s/providers/%s/%.*s", path->scope, kind->type,
             PN_FMT(path->rest[1]));
    snprintf(action, sizeof action, "%s/%s", kind->child_type,
             is_get   ? "read"
             : is_put ? "write"
                      : "delete");
    if (!pn_resource_may(base, action, call.id))
        return;
    rc = pn_store_get(base->plane->store, call.id, &parent, &err);
    if (rc == PN_OK)
        snprintf(call.id, sizeof call.id, "%s", parent.id);
    if (rc == PN_NOT_FOUND)
        pn_resource_error(base, 404, "ParentResourceNotFound",
                          "The parent resource '%s' was not found.", call.id);
    else if (rc != PN_OK)
        pn_resource_failure(base, rc, &err);
    else if (is_get)
        answer_children(base, &parent, kind, name, 200);
    else
        write_child(&call, kind, name, is_put);
    pn_store_item_fini(&parent);
}
