/* SPDX-License-Identifier: Apache-2.0
 *
 * policies at global, workspace, product, API and operation scope. One canonical form is stored
 * (rawxml, CRLF lines); `format` only decides how a value is read and answered.
 */
#include "policy/policy.h"

#include <string.h>

#include "arm/arm_internal.h"

static enum pn_policy_scope scope_of(const struct arm_call *call)
{
    if (call->route->type == PN_TYPE_OPERATION_POLICY)
        return PN_SCOPE_OPERATION;
    if (call->route->type == PN_TYPE_API_POLICY)
        return PN_SCOPE_API;
    if (call->route->type == PN_TYPE_PRODUCT_POLICY)
        return PN_SCOPE_PRODUCT;
    return call->workspace.len > 0 ? PN_SCOPE_WORKSPACE : PN_SCOPE_GLOBAL;
}

/** The stored rawxml as xml text. */
static json_t *as_xml(const struct arm_call *call, struct pn_slice rawxml, struct pn_error *err)
{
    struct pn_policy_document *document = NULL;
    struct pn_buf text;
    json_t *value = NULL;

    pn_buf_init_secret(&text, 8 * PN_POLICY_BYTES_MAX);
    if (pn_policy_parse(rawxml, PN_POLICY_RAWXML, scope_of(call), &document, err) != PN_OK) {
        err->rc = PN_INTERNAL; /* it was checked when it was stored */
        pn_error_prefix(err, "the stored policy cannot be read");
    } else if (pn_policy_print(document, PN_POLICY_XML, &text) == PN_OK) {
        value = json_stringn(text.ptr, text.len);
    }
    if (!value && err->rc == PN_OK)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    pn_policy_document_destroy(document);
    pn_buf_fini(&text);
    return value;
}

static bool join_secrets(json_t *properties, json_t *secrets)
{
    return json_object_update(properties, secrets) == 0;
}

enum pn_rc arm_policy_open(struct pn_arm *arm, const struct pn_store_item *item,
                           json_t **properties, struct pn_error *err)
{
    return arm_open_sealed(arm, item, join_secrets, properties, err);
}

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    struct pn_slice rawxml;
    json_t *properties = NULL;
    json_t *value = NULL;
    json_t *entity = NULL;

    if (arm_policy_open(call->arm, item, &properties, err) != PN_OK)
        return NULL;
    rawxml = pn_json_slice(properties, "value");
    if (call->wants_rawxml) {
        value = json_stringn(rawxml.ptr, rawxml.len);
        if (!value)
            pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    } else {
        value = as_xml(call, rawxml, err);
    }
    json_decref(properties);
    if (!value)
        return NULL;
    entity = arm_entity(item, json_pack("{s:o,s:s}", "value", value, "format",
                                        call->wants_rawxml ? "rawxml" : "xml"));
    if (!entity)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return entity;
}

/** Reads ?format=. False: answered. */
static bool read_format(struct arm_call *call)
{
    struct pn_slice format = pn_request_query(call->request, "format");

    call->wants_rawxml = pn_slice_case_eq_str(format, "rawxml");
    if (format.len == 0 || call->wants_rawxml || pn_slice_case_eq_str(format, "xml"))
        return true;
    arm_answer_invalid(call, "format", "'format' must be xml or rawxml.");
    return false;
}

/** What stands above it must exist. False: answered. */
static bool find_scope(struct arm_call *call, size_t names_up)
{
    return call->route->type == PN_TYPE_POLICY || arm_parent(call, names_up);
}

/** The name "policy" in its canonical casing. */
static bool fix_name(struct arm_call *call)
{
    const char *end = strrchr(call->id, '/');

    if (pn_slice_eq_str(arm_name(call), "policy"))
        return true;
    if (!pn_slice_case_eq_str(arm_name(call), "policy")) {
        arm_answer_not_found(call);
        return false;
    }
    call->id = pn_arena_printf(call->arena, "%.*s/policy", (int)(end - call->id), call->id);
    if (!call->id)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return call->id != NULL;
}

void arm_policies(struct arm_call *call)
{
    static const char *const no_fields[] = {"name", NULL};
    struct arm_list_rule rule = {
        .type = pn_type_facts(call->route->type)->type,
        .fields = no_fields,
        .view = view,
    };

    if (!find_scope(call, 0) || !read_format(call))
        return;
    rule.prefix = pn_arena_printf(call->arena, "%s/policies/", call->id);
    arm_list(call, &rule);
}

void arm_policy_get(struct arm_call *call)
{
    if (find_scope(call, 1) && fix_name(call) && read_format(call))
        arm_get_with(call, view);
}

/** Parses what the caller sent. NULL: answered. */
static struct pn_policy_document *parse(struct arm_call *call, const json_t *properties)
{
    struct pn_policy_document *document = NULL;
    const char *format = pn_json_str(properties, "format");
    struct pn_error err = {0};

    call->wants_rawxml = format && strcmp(format, "rawxml") == 0;
    if (format && !call->wants_rawxml && strcmp(format, "xml") != 0) {
        arm_answer_invalid(call, "format",
                           "Fetching a policy from a link ('%s') is not offered by this Postern: "
                           "put the document itself, as xml or rawxml.",
                           format);
        return NULL;
    }
    if (pn_policy_parse(pn_json_slice(properties, "value"),
                        call->wants_rawxml ? PN_POLICY_RAWXML : PN_POLICY_XML, scope_of(call),
                        &document, &err) == PN_OK)
        return document;
    arm_answer_failure(call, &err);
    return NULL;
}

/** The document as it is stored; NULL: answered. */
static json_t *canonical(struct arm_call *call, const struct pn_policy_document *document)
{
    struct pn_buf text;
    json_t *properties = NULL;

    pn_buf_init_secret(&text, 8 * PN_POLICY_BYTES_MAX);
    if (pn_policy_print(document, PN_POLICY_RAWXML, &text) == PN_OK)
        properties =
            json_pack("{s:o,s:s}", "value", json_stringn(text.ptr, text.len), "format", "rawxml");
    if (!properties)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    pn_buf_fini(&text);
    return properties;
}

/** A document with a password is sealed at rest: it moves from *properties to *internal. False:
 *  answered. */
static bool seal(struct arm_call *call, const struct pn_policy_document *document,
                 json_t *properties, json_t **internal)
{
    json_t *plain, *sealed = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!pn_policy_has_secret(document))
        return true;
    plain = json_pack("{s:O}", "value", json_object_get(properties, "value"));
    rc = plain ? arm_seal(&call->arm->config.services, call->id, plain, &sealed, &err)
               : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(plain);
    if (rc == PN_OK) {
        (void)json_object_del(properties, "value");
        *internal = json_pack("{s:o}", "sealed", sealed);
        if (*internal)
            return true;
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    arm_answer_failure(call, &err);
    return false;
}

void arm_policy_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former = {0};
    struct pn_policy_document *document = NULL;
    struct arm_policy_work *work = NULL;
    const char *const *references = NULL;
    json_t *given = NULL;
    json_t *stored = NULL;
    json_t *internal = NULL;

    if (!find_scope(call, 1) || !fix_name(call) || !arm_properties(call, pn_policy_fields, &given))
        return;
    document = parse(call, given);
    if (!document || !arm_policy_import(call, document, &work))
        goto out;
    stored = canonical(call, document);
    if (!stored || !seal(call, document, stored, &internal) || !arm_begin(call, &txn, &former))
        goto out;
    if (!arm_policy_refer(call, txn, document, work, &references)) {
        pn_store_rollback(txn);
        goto out;
    }
    call->before_commit = arm_policy_drop_embedded;
    (void)arm_store_and_answer(call, txn, &former, stored, internal, references, view);
    stored = internal = NULL;
    arm_policy_forget_dropped(call);
out:
    arm_policy_work_end(call, work);
    pn_policy_document_destroy(document);
    pn_store_item_fini(&former);
    json_decref(stored);
    json_decref(internal);
    json_decref(given);
}

void arm_policy_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    uint64_t revision = 0;
    json_t *body = NULL;
    enum pn_rc rc = PN_OK;

    if (!find_scope(call, 1) || !fix_name(call) || !arm_begin_delete(call, &txn, &item))
        return;
    if (scope_of(call) == PN_SCOPE_GLOBAL) { /* it goes back to the default */
        body = json_pack("{s:s,s:{s:s,s:s}}", "name", "policy", "properties", "value",
                         pn_policy_default(PN_SCOPE_GLOBAL), "format", "rawxml");
        rc = body ? pn_store_put(txn, item.id, item.type, body, NULL, &err)
                  : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    } else {
        rc = pn_store_delete(txn, item.id, &err);
    }
    if (rc == PN_OK)
        rc = arm_policy_drop_embedded(call, txn, &err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 200);
        arm_policy_forget_dropped(call);
    }
    json_decref(body);
    pn_store_item_fini(&item);
}
