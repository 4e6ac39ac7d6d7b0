/* SPDX-License-Identifier: Apache-2.0
 *
 * An API from its description: `format` and `value` of a PUT. The operations become those of the
 * description, in the transaction that stores the API: one that answers the same method and
 * template keeps its name and its policy, others are made or deleted.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "openapi/openapi.h"

static const char *const formats[] = {"openapi", "openapi+json", "swagger-json", NULL};

static bool is_offered(const char *format)
{
    for (size_t i = 0; format && formats[i]; i++)
        if (strcasecmp(format, formats[i]) == 0)
            return true;
    return false;
}

/* "GET /orders/{}" in lower case: what tells two operations apart. NULL: out of memory. */
static const char *shape_of(struct arm_call *call, struct pn_problems *problems, json_t *properties)
{
    struct pn_buf shape;
    const char *text = NULL;

    pn_buf_init(&shape, 4096);
    if (arm_operation_check(problems, properties, &shape) == PN_OK)
        text = pn_arena_printf(call->arena, "%s %.*s", pn_json_str(properties, "method"),
                               PN_FMT(pn_buf_slice(&shape)));
    pn_buf_fini(&shape);
    return text;
}

/* One operation of the description, checked as if it had been put by itself. */
static void check_operation(struct arm_call *call, struct pn_problems *problems, json_t *shapes,
                            json_t *operation)
{
    const json_t *given = json_object_get(operation, "properties");
    const char *place = pn_arena_printf(call->arena, "%s %s", pn_json_str(given, "method"),
                                        pn_json_str(given, "urlTemplate"));
    struct pn_problems own = {0};
    json_t *properties = NULL;
    const char *shape = NULL;
    const char *twin = NULL;

    if (pn_schema_apply(pn_operation_fields, given, &properties, &own) == PN_OK)
        shape = shape_of(call, &own, properties);
    if (own.count > 0) {
        pn_problem_add(problems, "value", "%s: %s", place, own.items[0].message);
    } else if (!shape) {
        pn_problem_add(problems, "value", "%s: out of memory", place);
    } else {
        twin = pn_json_str(shapes, shape);
        if (twin)
            pn_problem_add(problems, "value",
                           "%s: the same method and template as operation '%s', but for the names "
                           "of parameters.",
                           place, twin);
        (void)json_object_set(shapes, shape, json_object_get(operation, "name"));
        (void)json_object_set(operation, "properties", properties);
        (void)json_object_set_new(operation, "shape", json_string(shape));
    }
    json_decref(properties);
}

static void adopt(json_t *properties, const json_t *described, const char *name)
{
    json_t *value = json_object_get(described, name);

    if (value && !json_object_get(properties, name))
        (void)json_object_set(properties, name, value);
}

void arm_import_read(struct arm_call *call, struct pn_problems *problems, json_t *properties)
{
    const char *format = pn_json_str(properties, "format");
    struct pn_slice value = pn_json_slice(properties, "value");
    struct pn_error err = {0};
    json_t *api = NULL;
    json_t *shapes = NULL;

    if (!json_object_get(properties, "format") && !json_object_get(properties, "value"))
        return;
    if (!is_offered(format)) {
        pn_problem_add(problems, "format",
                       "Descriptions in the format '%s' cannot be imported here. Give the document "
                       "itself in 'value', with 'format' openapi, openapi+json or swagger-json.",
                       format ? format : "");
        return;
    }
    if (pn_openapi_read(value, &api, &err) != PN_OK) {
        pn_problem_add(problems, "value", "The description of the API cannot be imported: %s.",
                       err.message);
        return;
    }
    adopt(properties, json_object_get(api, "properties"), "displayName");
    adopt(properties, json_object_get(api, "properties"), "description");
    adopt(properties, json_object_get(api, "properties"), "serviceUrl");
    (void)json_object_del(properties, "format");
    (void)json_object_del(properties, "value");
    call->imported = json_incref(json_object_get(api, "operations"));
    shapes = json_object();
    for (size_t i = 0; i < json_array_size(call->imported); i++)
        check_operation(call, problems, shapes, json_array_get(call->imported, i));
    json_decref(shapes);
    json_decref(api);
}

/* The operation of the description with this shape, or NULL. */
static json_t *find_shape(const json_t *operations, const char *shape)
{
    for (size_t i = 0; i < json_array_size(operations); i++)
        if (strcasecmp(pn_json_str(json_array_get(operations, i), "shape"), shape) == 0)
            return json_array_get(operations, i);
    return NULL;
}

/* An operation that was there: keeps its name if the description has its shape, else it goes. */
static enum pn_rc take_former(struct arm_call *call, struct pn_store_txn *txn,
                              const struct pn_store_item *item, struct pn_error *err)
{
    struct pn_problems ignored = {0};
    const char *shape = shape_of(call, &ignored, json_object_get(item->body, "properties"));
    const char *below = pn_arena_printf(call->arena, "%s/", item->id);
    json_t *operation = shape ? find_shape(call->imported, shape) : NULL;
    enum pn_rc rc;

    if (!shape || !below)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (operation) {
        (void)json_object_set_new(operation, "kept", json_string(strrchr(item->id, '/') + 1));
        return PN_OK;
    }
    rc = arm_delete_below(txn, below, NULL, err);
    return rc == PN_OK ? pn_store_delete(txn, item->id, err) : rc;
}

/* A name that no kept operation has. */
static const char *free_name(struct arm_call *call, const char *wanted)
{
    const char *name = wanted;

    for (int number = 2; name; number++) {
        bool is_taken = false;

        for (size_t i = 0; i < json_array_size(call->imported); i++) {
            const json_t *other = json_array_get(call->imported, i);
            const char *kept = pn_json_str(other, "kept");

            is_taken = is_taken || (kept && strcasecmp(kept, name) == 0);
        }
        if (!is_taken)
            return name;
        name = pn_arena_printf(call->arena, "%s-%d", wanted, number);
    }
    return NULL;
}

static enum pn_rc put_operation(struct arm_call *call, struct pn_store_txn *txn, json_t *operation,
                                struct pn_error *err)
{
    const char *kept = pn_json_str(operation, "kept");
    const char *name = kept ? kept : free_name(call, pn_json_str(operation, "name"));
    const char *id = name ? pn_arena_printf(call->arena, "%s/operations/%s", call->id, name) : NULL;
    json_t *body = id ? json_pack("{s:s, s:O}", "name", name, "properties",
                                  json_object_get(operation, "properties"))
                      : NULL;
    enum pn_rc rc = PN_NOMEM;

    if (body && !kept)
        (void)json_object_set_new(operation, "kept", json_string(name));
    if (body)
        rc = pn_store_put(txn, id, pn_type_facts(PN_TYPE_OPERATION)->type, body, NULL, err);
    else
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    json_decref(body);
    return rc;
}

enum pn_rc arm_import_store(struct arm_call *call, struct pn_store_txn *txn, struct pn_error *err)
{
    struct pn_store_list former;
    const char *prefix = pn_arena_printf(call->arena, "%s/operations/", call->id);
    enum pn_rc rc;

    if (!prefix)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_OPERATION)->type, &former, err);
    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; rc == PN_OK && i < former.count; i++)
        rc = take_former(call, txn, &former.items[i], err);
    pn_store_list_fini(&former);
    for (size_t i = 0; rc == PN_OK && i < json_array_size(call->imported); i++)
        rc = put_operation(call, txn, json_array_get(call->imported, i), err);
    return rc == PN_OK ? arm_policy_drop_embedded(call, txn, err) : rc;
}
