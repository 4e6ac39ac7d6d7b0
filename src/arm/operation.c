/* SPDX-License-Identifier: Apache-2.0
 *
 * apis/operations: method and URL template.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "http/headers.h"

static const char *const filter_fields[] = {"name",        "displayName", "method",
                                            "description", "urlTemplate", NULL};

void arm_operations(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .type = pn_type_facts(PN_TYPE_OPERATION)->type,
        .fields = filter_fields,
        .view = arm_view_plain,
    };

    if (!arm_parent(call, 0))
        return;
    rule.prefix = pn_arena_printf(call->arena, "%s/operations/", call->id);
    arm_list(call, &rule);
}

void arm_operation_get(struct arm_call *call)
{
    if (arm_parent(call, 1))
        arm_get_with(call, arm_view_plain);
}

/* ---- the template ---- */

static bool is_declared(const json_t *parameters, struct pn_slice name)
{
    for (size_t i = 0; i < json_array_size(parameters); i++)
        if (pn_slice_case_eq(pn_json_slice(json_array_get(parameters, i), "name"), name))
            return true;
    return false;
}

/** The names in braces; each must be declared, no other brace may be there. `shape` gets the
 *  template with "{}" for each, to compare two templates. */
static bool check_template(struct pn_problems *problems, struct pn_slice template,
                           const json_t *parameters, struct pn_buf *shape)
{
    enum pn_rc rc = PN_OK;
    size_t at = 0;

    while (rc == PN_OK && at < template.len) {
        struct pn_slice rest = pn_slice_sub(template, at, template.len - at);
        struct pn_slice name = {0};
        size_t end = 0;

        if (rest.ptr[0] == '}' || (unsigned char)rest.ptr[0] <= ' ' || rest.ptr[0] == '#') {
            pn_problem_add(problems, "urlTemplate",
                           "'urlTemplate' must not contain white space, '#', or an unpaired "
                           "brace.");
            return false;
        }
        if (rest.ptr[0] != '{') {
            rc = pn_buf_append_byte(shape, rest.ptr[0]);
            at++;
            continue;
        }
        end = pn_slice_find(rest, '}');
        name = pn_slice_sub(rest, 1, end < rest.len ? end - 1 : 0);
        if (name.len > 0 && name.ptr[0] == '*')
            name = pn_slice_sub(name, 1, name.len - 1);
        if (name.len == 0 || pn_slice_find(name, '{') < name.len) {
            pn_problem_add(problems, "urlTemplate",
                           "'urlTemplate' has a brace without a parameter name in it.");
            return false;
        }
        if (!is_declared(parameters, name)) {
            pn_problem_add(problems, "templateParameters",
                           "All template parameters used in the UriTemplate must be defined in "
                           "the Operation, please ensure to provide all of template parameters "
                           "for: %.*s",
                           PN_FMT(name));
            return false;
        }
        rc = pn_buf_append_str(shape, "{}");
        at += end + 1;
    }
    return rc == PN_OK;
}

static bool normalize(struct pn_problems *problems, json_t *properties)
{
    struct pn_slice method = pn_json_slice(properties, "method");
    const char *template = pn_json_str(properties, "urlTemplate");
    json_t *text = json_stringn(method.ptr, method.len);
    char *upper = text ? (char *)(uintptr_t)json_string_value(text) : NULL;

    if (!upper)
        return false;
    /* Ours alone until it is put into the object. */
    for (char *c = upper; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    if (!pn_header_name_is_valid(method)) /* a method is a token too, RFC 9110 §9.1 */
        pn_problem_add(problems, "method", "'method' must be an HTTP method such as GET.");
    if (json_object_set_new(properties, "method", text) != 0)
        return false;
    if (template[0] != '/' &&
        json_object_set_new(properties, "urlTemplate", json_sprintf("/%s", template)) != 0)
        return false;
    if (json_object_get(properties, "policies"))
        pn_problem_add(problems, "policies",
                       "'policies' is not offered here: put the document to the operation's "
                       "policies/policy.");
    if (!json_object_get(properties, "templateParameters") &&
        json_object_set_new(properties, "templateParameters", json_array()) != 0)
        return false;
    return json_object_get(properties, "responses") ||
           json_object_set_new(properties, "responses", json_array()) == 0;
}

enum pn_rc arm_operation_check(struct pn_problems *problems, json_t *properties,
                               struct pn_buf *shape)
{
    if (!normalize(problems, properties))
        return PN_NOMEM;
    (void)check_template(problems, pn_json_slice(properties, "urlTemplate"),
                         json_object_get(properties, "templateParameters"), shape);
    if (problems->count == 0)
        arm_check_url_template(problems, pn_json_slice(properties, "urlTemplate"));
    return PN_OK;
}

/** Whether another operation of the API answers the same method and template. */
static enum pn_rc find_twin(struct arm_call *call, struct pn_store_txn *txn,
                            const json_t *properties, struct pn_slice shape, struct pn_error *err)
{
    struct pn_store_list operations;
    const char *end = strrchr(call->id, '/');
    const char *prefix =
        pn_arena_strdup(call->arena, pn_slice(call->id, (size_t)(end - call->id) + 1));
    enum pn_rc rc = PN_NOT_FOUND;

    if (!prefix)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_OPERATION)->type, &operations, err) !=
        PN_OK)
        return err->rc;
    for (size_t i = 0; rc == PN_NOT_FOUND && i < operations.count; i++) {
        const json_t *other = json_object_get(operations.items[i].body, "properties");
        struct pn_problems ignored = {0};
        struct pn_buf other_shape;

        if (strcasecmp(operations.items[i].id, call->id) == 0 ||
            !pn_slice_eq(pn_json_slice(other, "method"), pn_json_slice(properties, "method")))
            continue;
        pn_buf_init(&other_shape, 4096);
        if (check_template(&ignored, pn_json_slice(other, "urlTemplate"),
                           json_object_get(other, "templateParameters"), &other_shape) &&
            pn_slice_case_eq(pn_buf_slice(&other_shape), shape))
            rc = pn_error_set(err, PN_EXISTS, "operation_exists",
                              "Operation '%s' of this API has the same method and URL template.",
                              strrchr(operations.items[i].id, '/') + 1);
        pn_buf_fini(&other_shape);
    }
    pn_store_list_fini(&operations);
    return rc;
}

/** Checks, stores, answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    struct pn_buf shape;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&shape, 4096);
    if (arm_operation_check(&problems, properties, &shape) != PN_OK)
        rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK && problems.count == 0)
        rc = find_twin(call, txn, properties, pn_buf_slice(&shape), &err);
    pn_buf_fini(&shape);
    if (rc == PN_NOT_FOUND) {
        (void)arm_store_and_answer(call, txn, former, properties, NULL, NULL, arm_view_plain);
        return;
    }
    if (problems.count > 0)
        arm_answer_problems(call, &problems);
    else if (rc == PN_EXISTS)
        arm_answer_invalid(call, "urlTemplate", "%s", err.message);
    else
        arm_answer_failure(call, &err);
    pn_store_rollback(txn);
    json_decref(properties);
}

void arm_operation_put(struct arm_call *call)
{
    if (arm_parent(call, 1) && !arm_websocket_keeps_operations(call))
        arm_put(call, pn_operation_fields, store);
}

void arm_operation_patch(struct arm_call *call)
{
    if (arm_parent(call, 1) && !arm_websocket_keeps_operations(call))
        arm_patch(call, pn_operation_fields, NULL, store);
}

void arm_operation_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;
    const char *below = NULL;

    if (!arm_parent(call, 1) || arm_websocket_keeps_operations(call) ||
        !arm_begin_delete(call, &txn, &item))
        return;
    below = pn_arena_printf(call->arena, "%s/", item.id);
    if (!below)
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (!below || arm_delete_below(txn, below, NULL, &err) != PN_OK ||
        pn_store_delete(txn, item.id, &err) != PN_OK ||
        arm_policy_drop_embedded(call, txn, &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 200);
        arm_policy_forget_dropped(call);
    }
    pn_store_item_fini(&item);
}
