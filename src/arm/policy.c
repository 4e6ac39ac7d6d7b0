/* SPDX-License-Identifier: Apache-2.0
 *
 * policies at global, workspace, product, API and operation scope. One canonical form is stored
 * (rawxml, CRLF lines); `format` only decides how a value is read and answered.
 */
#include "policy/policy.h"

#include <string.h>

#include "arm/arm_internal.h"

/** The stored rawxml as xml text. */
json_t *arm_policy_as_xml(struct pn_slice rawxml, struct pn_error *err)
{
    struct pn_policy_document *document = NULL;
    struct pn_buf text;
    json_t *value = NULL;

    pn_buf_init_secret(&text, 8 * PN_POLICY_BYTES_MAX);
    if (pn_policy_parse_unchecked(rawxml, PN_POLICY_RAWXML, &document, err) != PN_OK) {
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
        value = arm_policy_as_xml(rawxml, err);
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

bool arm_policy_format(struct arm_call *call)
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

    if (!find_scope(call, 0) || !arm_policy_format(call))
        return;
    rule.prefix = pn_arena_printf(call->arena, "%s/policies/", call->id);
    arm_list(call, &rule);
}

void arm_policy_get(struct arm_call *call)
{
    if (find_scope(call, 1) && fix_name(call) && arm_policy_format(call))
        arm_get_with(call, view);
}

/** The format of what the caller sent. False: answered. */
static bool given_format(struct arm_call *call, const json_t *properties)
{
    const char *format = pn_json_str(properties, "format");

    call->wants_rawxml = format && strcmp(format, "rawxml") == 0;
    if (!format || call->wants_rawxml || strcmp(format, "xml") == 0)
        return true;
    arm_answer_invalid(call, "format",
                       "Fetching a policy from a link ('%s') is not offered by this Postern: "
                       "put the document itself, as xml or rawxml.",
                       format);
    return false;
}

/** A document on its way into the store. */
struct putting {
    const struct pn_policy_document *document; /* as it was read, */
    uint64_t revision;                         /* when the store was here */
    json_t *stored;                            /* its canonical form */
    struct arm_policy_work *work;
    struct arm_renewal renewal;
    arm_view_fn view_fn;
};

/** Inside of the transaction: refers, stores, answers; ends the transaction. */
static void store_document(struct arm_call *call, struct pn_store_txn *txn,
                           const struct pn_store_item *former, struct putting *putting)
{
    const char *type = pn_type_facts(call->route->type)->type;
    const struct pn_policy_document *document = putting->document;
    struct pn_policy_document *again = NULL;
    struct arm_policy_refers refers = {0};
    struct arm_sources sources = {0};
    struct pn_error err = {0};
    json_t *stored = json_deep_copy(putting->stored);
    json_t *internal = NULL;
    bool is_answered = false;
    enum pn_rc rc = arm_sources_init(&sources, call, txn, &err);

    if (rc == PN_OK && !stored)
        rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    /* What it names may have been changed since it was read. */
    if (rc == PN_OK && pn_policy_is_resolved(document) &&
        pn_store_revision(call->arm->config.store) != putting->revision) {
        rc = arm_policy_read(&sources, type, call->id, pn_json_slice(stored, "value"),
                             PN_POLICY_RAWXML, &again, &err);
        document = again;
    }
    if (rc == PN_OK)
        rc = arm_policy_refer_in(call, txn, &sources, document, putting->work, &refers, &err);
    if (rc == PN_OK)
        is_answered = !arm_check_linked_access(call, refers.ids) ||
                      !arm_check_linked_access(call, refers.included);
    if (rc == PN_OK && !is_answered)
        rc = arm_policy_keep(call, type, call->id, document, refers.through, stored, &internal,
                             &err);
    call->renewal = &putting->renewal;
    if (rc == PN_OK && !is_answered) {
        call->before_commit = arm_document_before_commit;
        (void)arm_store_and_answer(call, txn, former, stored, internal, refers.ids,
                                   putting->view_fn);
    } else {
        pn_store_rollback(txn);
        json_decref(stored);
        json_decref(internal);
        if (!is_answered)
            arm_answer_failure(call, &err);
    }
    json_decref(refers.through);
    pn_policy_document_destroy(again);
    arm_sources_fini(&sources);
}

void arm_document_put(struct arm_call *call, const json_t *given, const char *const *kept,
                      arm_view_fn view_fn)
{
    struct putting putting = {.revision = pn_store_revision(call->arm->config.store),
                              .view_fn = view_fn};
    struct pn_policy_document *document = NULL;
    struct pn_store_item former = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = PN_OK;

    if (!given_format(call, given))
        return;
    rc = arm_policy_read_given(
        call, pn_type_facts(call->route->type)->type, pn_json_slice(given, "value"),
        call->wants_rawxml ? PN_POLICY_RAWXML : PN_POLICY_XML, &document, &err);
    if (rc == PN_OK)
        rc = arm_policy_import_in(call, document, &putting.work, &err);
    if (rc == PN_OK) {
        putting.document = document;
        putting.stored = arm_policy_canonical(document);
        for (; putting.stored && kept && *kept; kept++)
            if (json_object_get(given, *kept))
                (void)json_object_set(putting.stored, *kept, json_object_get(given, *kept));
        if (!putting.stored)
            rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    call->wants_again = rc == PN_OK;
    while (rc == PN_OK && call->wants_again) {
        /* Again when a policy that includes it needs a token that has to be got first. */
        call->wants_again = false;
        if (!arm_begin(call, &txn, &former))
            break;
        store_document(call, txn, &former, &putting);
        pn_store_item_fini(&former);
        if (call->wants_again)
            rc = arm_renewal_prepare(call, &putting.renewal, &err);
    }
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    arm_policy_forget_dropped(call);
    arm_renewal_end(call, &putting.renewal);
    arm_policy_work_end(call, putting.work);
    pn_policy_document_destroy(document);
    json_decref(putting.stored);
}

enum pn_rc arm_document_before_commit(struct arm_call *call, struct pn_store_txn *txn,
                                      struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    if (call->route->type == PN_TYPE_FRAGMENT)
        rc = arm_renew_users(call, txn, call->id, call->renewal, err);
    call->wants_again = rc != PN_OK && call->renewal->wanted;
    return rc == PN_OK ? arm_policy_drop_embedded(call, txn, err) : rc;
}

void arm_policy_put(struct arm_call *call)
{
    json_t *given = NULL;

    if (!find_scope(call, 1) || !fix_name(call) || !arm_properties(call, pn_policy_fields, &given))
        return;
    arm_document_put(call, given, NULL, view);
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
    if (arm_policy_scope(item.type, item.id) == PN_SCOPE_GLOBAL) { /* it goes back to the default */
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
