/* SPDX-License-Identifier: Apache-2.0
 *
 * How policies and fragments are kept: as written (sealed when a password stands in it), and, when
 * they name named values or fragments, once more with those put in, always sealed: that is what the
 * gateway gets. It is made anew in the transaction that changes what is named (dependents.c).
 */
#include <string.h>

#include "arm/arm_internal.h"

#define TEXT_BYTES_MAX (8u * 1024 * 1024)

enum pn_policy_scope arm_policy_scope(const char *type, const char *id)
{
    enum pn_type kind = PN_TYPE_POLICY;

    (void)pn_type_from_text(type, &kind);
    if (kind == PN_TYPE_OPERATION_POLICY)
        return PN_SCOPE_OPERATION;
    if (kind == PN_TYPE_API_POLICY)
        return PN_SCOPE_API;
    if (kind == PN_TYPE_PRODUCT_POLICY)
        return PN_SCOPE_PRODUCT;
    return strcasestr(id, "/workspaces/") ? PN_SCOPE_WORKSPACE : PN_SCOPE_GLOBAL;
}

bool arm_is_policy(const char *type)
{
    enum pn_type kind = PN_TYPE_COUNT;
    const char *feed = pn_type_from_text(type, &kind) ? pn_type_facts(kind)->feed : NULL;

    return feed && strcmp(feed, "policy") == 0;
}

static bool is_fragment(const char *type)
{
    return strcmp(type, pn_type_facts(PN_TYPE_FRAGMENT)->type) == 0;
}

enum pn_rc arm_policy_read(struct arm_sources *sources, const char *type, const char *id,
                           struct pn_slice text, enum pn_policy_format format,
                           struct pn_policy_document **document, struct pn_error *err)
{
    const struct pn_policy_reading reading = {
        .format = format,
        .scope = arm_policy_scope(type, id),
        .is_fragment = is_fragment(type),
        .sources = &sources->policy,
    };

    return pn_policy_read(text, &reading, document, err);
}

enum pn_rc arm_policy_read_given(struct arm_call *call, const char *type, struct pn_slice text,
                                 enum pn_policy_format format, struct pn_policy_document **document,
                                 struct pn_error *err)
{
    struct arm_sources sources = {0};
    enum pn_rc rc = arm_sources_init(&sources, call, NULL, err);

    if (rc == PN_OK)
        rc = arm_policy_read(&sources, type, call->id, text, format, document, err);
    arm_sources_fini(&sources);
    return rc;
}

json_t *arm_policy_canonical(const struct pn_policy_document *document)
{
    struct pn_buf text;
    json_t *properties = NULL;

    pn_buf_init_secret(&text, TEXT_BYTES_MAX);
    if (pn_policy_print(document, PN_POLICY_RAWXML, &text) == PN_OK)
        properties =
            json_pack("{s:o,s:s}", "value", json_stringn(text.ptr, text.len), "format", "rawxml");
    pn_buf_fini(&text);
    return properties;
}

static enum pn_rc seal_text(struct arm_call *call, const char *id, struct pn_slice text,
                            json_t *internal, const char *member, struct pn_error *err)
{
    json_t *plain = json_pack("{s:o}", "value", json_stringn(text.ptr, text.len));
    json_t *sealed = NULL;
    enum pn_rc rc = plain ? arm_seal(&call->arm->config.services, id, plain, &sealed, err)
                          : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    json_decref(plain);
    if (rc == PN_OK && json_object_set_new(internal, member, sealed) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return rc;
}

/** The text with what it names, as the gateway will read it: it must be able to. */
static enum pn_rc seal_resolved(struct arm_call *call, const char *type, const char *id,
                                const struct pn_policy_document *document, json_t *internal,
                                struct pn_error *err)
{
    struct pn_policy_document *again = NULL;
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init_secret(&text, TEXT_BYTES_MAX);
    rc = pn_policy_print_resolved(document, &text);
    if (rc != PN_OK)
        rc = pn_error_set(err, rc, "policy_too_long",
                          "with its named values and fragments the policy is too long");
    if (rc == PN_OK) {
        rc = pn_policy_parse_resolved(pn_buf_slice(&text), arm_policy_scope(type, id), &again, err);
        if (rc != PN_OK)
            pn_policy_hide_secrets(document, err);
    }
    if (rc == PN_OK)
        rc = seal_text(call, id, pn_buf_slice(&text), internal, "resolved", err);
    pn_policy_document_destroy(again);
    pn_buf_fini(&text);
    return rc;
}

enum pn_rc arm_policy_keep(struct arm_call *call, const char *type, const char *id,
                           const struct pn_policy_document *document, json_t *through,
                           json_t *properties, json_t **internal, struct pn_error *err)
{
    json_t *made = json_object();
    enum pn_rc rc = made ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK && pn_policy_has_secret(document)) {
        rc = seal_text(call, id, pn_json_slice(properties, "value"), made, "sealed", err);
        (void)json_object_del(properties, "value");
    }
    if (rc == PN_OK && pn_policy_is_resolved(document) && !is_fragment(type))
        rc = seal_resolved(call, type, id, document, made, err);
    if (rc == PN_OK && json_array_size(through) > 0 &&
        json_object_set(made, "through", through) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK && json_object_size(made) > 0)
        *internal = json_incref(made);
    json_decref(made);
    return rc;
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

enum pn_rc arm_policy_open_resolved(struct pn_arm *arm, const struct pn_store_item *item,
                                    json_t **properties, struct pn_error *err)
{
    const char *resolved = pn_json_str(json_object_get(item->body, "internal"), "resolved");
    json_t *plain = NULL;
    json_t *copy = NULL;
    enum pn_rc rc;

    if (!resolved)
        return arm_policy_open(arm, item, properties, err);
    rc = arm_unseal(&arm->config.services, item->id, resolved, &plain, err);
    if (rc == PN_OK) {
        copy = json_deep_copy(json_object_get(item->body, "properties"));
        if (!copy || json_object_update(copy, plain) != 0) {
            json_decref(copy);
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        } else {
            *properties = copy;
        }
    }
    json_decref(plain);
    return rc;
}
