/* SPDX-License-Identifier: Apache-2.0
 *
 * A policy document's life: parse, defaults, references, embedding.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/secret.h"
#include "policy/internal.h"

/** `sources` NULL and `is_checked` false: read only. */
static enum pn_rc parse(struct pn_slice text, size_t bytes_max,
                        const struct pn_policy_reading *reading, bool is_checked,
                        struct pn_policy_document **result, struct pn_error *err)
{
    const char *root = reading->is_fragment ? "fragment" : "policies";
    struct pn_policy_document *document = NULL;
    struct pn_policy_scan scan = {0};
    enum pn_rc rc;

    if (text.len > bytes_max)
        return pn_policy_error(err, PN_LIMIT, root, 1, 1,
                               "the document has %zu bytes; the limit is %zu", text.len, bytes_max);
    document = calloc(1, sizeof *document);
    if (document)
        document->arena = pn_arena_create(PN_POLICY_ARENA_BLOCK, PN_POLICY_ARENA_MAX);
    if (!document || !document->arena) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        goto out;
    }
    pn_arena_mark_secret(document->arena);
    document->scope = reading->scope;
    document->is_fragment = reading->is_fragment;
    rc = pn_policy_scan(text, reading->format == PN_POLICY_RAWXML, &scan, err);
    if (rc == PN_OK)
        rc = pn_policy_tree_read(document, &scan, err);
    if (rc == PN_OK && reading->sources)
        rc = pn_policy_resolve(document, reading->sources, err);
    if (rc == PN_OK && is_checked)
        rc = pn_policy_check_document(document, err);
    if (rc != PN_OK) {
        if (document->put_in)
            pn_policy_hide_secrets(document, err);
        goto out;
    }
    *result = document;
    document = NULL; /* now the caller's */
out:
    pn_policy_scan_fini(&scan);
    pn_policy_document_destroy(document);
    return rc;
}

enum pn_rc pn_policy_parse(struct pn_slice text, enum pn_policy_format format,
                           enum pn_policy_scope scope, struct pn_policy_document **document,
                           struct pn_error *err)
{
    const struct pn_policy_reading reading = {.format = format, .scope = scope};

    return parse(text, PN_POLICY_BYTES_MAX, &reading, true, document, err);
}

enum pn_rc pn_policy_parse_resolved(struct pn_slice text, enum pn_policy_scope scope,
                                    struct pn_policy_document **document, struct pn_error *err)
{
    const struct pn_policy_reading reading = {.format = PN_POLICY_RAWXML, .scope = scope};

    return parse(text, PN_POLICY_RESOLVED_BYTES_MAX, &reading, true, document, err);
}

enum pn_rc pn_policy_parse_unchecked(struct pn_slice text, enum pn_policy_format format,
                                     struct pn_policy_document **document, struct pn_error *err)
{
    const struct pn_policy_reading reading = {.format = format};

    return parse(text, PN_POLICY_BYTES_MAX, &reading, false, document, err);
}

enum pn_rc pn_policy_read(struct pn_slice text, const struct pn_policy_reading *reading,
                          struct pn_policy_document **document, struct pn_error *err)
{
    size_t bytes_max = reading->is_fragment ? (size_t)pn_limit_value(PN_LIMIT_FRAGMENT_BYTES)
                                            : PN_POLICY_BYTES_MAX;

    if (reading->is_fragment && text.len > bytes_max)
        pn_limit_hit(PN_LIMIT_FRAGMENT_BYTES);
    return parse(text, bytes_max, reading, true, document, err);
}

void pn_policy_document_destroy(struct pn_policy_document *document)
{
    if (!document)
        return;
    pn_arena_destroy(document->arena);
    free(document);
}

const char *pn_policy_default(enum pn_policy_scope scope)
{
    if (scope == PN_SCOPE_GLOBAL)
        return "<policies>\r\n"
               "    <inbound />\r\n"
               "    <backend>\r\n"
               "        <forward-request />\r\n"
               "    </backend>\r\n"
               "    <outbound />\r\n"
               "    <on-error />\r\n"
               "</policies>";
    return "<policies>\r\n"
           "    <inbound>\r\n"
           "        <base />\r\n"
           "    </inbound>\r\n"
           "    <backend>\r\n"
           "        <base />\r\n"
           "    </backend>\r\n"
           "    <outbound>\r\n"
           "        <base />\r\n"
           "    </outbound>\r\n"
           "    <on-error>\r\n"
           "        <base />\r\n"
           "    </on-error>\r\n"
           "</policies>";
}

/* The statement's reference number `at`; false: there are no more. */
static bool reference_of(struct pn_policy_node *node, size_t at,
                         struct pn_policy_reference *reference)
{
    const struct pn_policy_statement *statement = node->statement;

    *reference = (struct pn_policy_reference){.element = node->name,
                                              .line = node->line,
                                              .column = node->column,
                                              .node = node,
                                              .fragment = node->fragment};
    if (statement->kind == PN_STATEMENT_CERTIFICATE && statement->certificate.certificate_ids) {
        if (at >= statement->certificate.certificate_id_count)
            return false;
        reference->kind = PN_POLICY_CERTIFICATE_ID;
        reference->name = statement->certificate.certificate_ids[at];
        reference->is_of_several = true;
        return true;
    }
    if (at > 0)
        return false;
    if (statement->kind == PN_STATEMENT_BACKEND && statement->backend.backend_id.ptr) {
        reference->kind = PN_POLICY_BACKEND_ID;
        reference->name = statement->backend.backend_id;
        return true;
    }
    if (statement->kind == PN_STATEMENT_IDENTITY) {
        reference->kind = PN_POLICY_IDENTITY_TOKEN;
        reference->name = statement->identity.token;
        reference->resource = statement->identity.resource;
        reference->client_id = statement->identity.client_id;
        return true;
    }
    if (statement->kind != PN_STATEMENT_CERTIFICATE)
        return false;
    if (statement->certificate.certificate_id.ptr) {
        reference->kind = PN_POLICY_CERTIFICATE_ID;
        reference->name = statement->certificate.certificate_id;
    } else if (statement->certificate.thumbprint.ptr) {
        reference->kind = PN_POLICY_CERTIFICATE_THUMBPRINT;
        reference->name = statement->certificate.thumbprint;
    } else if (statement->certificate.embedded.ptr) {
        reference->kind = PN_POLICY_CERTIFICATE_EMBEDDED;
        reference->name = statement->certificate.embedded;
    } else {
        reference->kind = PN_POLICY_CERTIFICATE_BODY;
        reference->name = statement->certificate.body;
        reference->password = statement->certificate.password;
    }
    return true;
}

/* What the document itself names, not what included fragments do. */
static enum pn_rc put_in_references(const struct pn_policy_document *document,
                                    pn_policy_reference_fn on_reference, void *ctx,
                                    struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (const struct pn_policy_put_in *it = document->put_in; rc == PN_OK && it; it = it->next) {
        const struct pn_policy_reference reference = {
            .kind = it->is_fragment ? PN_POLICY_FRAGMENT : PN_POLICY_NAMED_VALUE,
            .name = it->name,
            .element = it->node->name,
            .line = it->node->line,
            .column = it->node->column,
            .fragment = it->node->fragment,
        };

        if (!it->node->fragment)
            rc = on_reference(ctx, &reference, err);
    }
    return rc;
}

static enum pn_rc statements_references(struct pn_policy_node *parent,
                                        pn_policy_reference_fn on_reference, void *ctx,
                                        struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (struct pn_policy_node *node = pn_policy_element(parent->first_child); rc == PN_OK && node;
         node = pn_policy_element(node->next)) {
        struct pn_policy_reference reference;

        for (size_t at = 0; rc == PN_OK && reference_of(node, at, &reference); at++)
            rc = on_reference(ctx, &reference, err);
    }
    return rc;
}

enum pn_rc pn_policy_references(const struct pn_policy_document *document,
                                pn_policy_reference_fn on_reference, void *ctx,
                                struct pn_error *err)
{
    enum pn_rc rc = put_in_references(document, on_reference, ctx, err);

    if (document->is_fragment)
        return rc == PN_OK ? statements_references(document->root, on_reference, ctx, err) : rc;
    for (struct pn_policy_node *section = pn_policy_element(document->root->first_child);
         rc == PN_OK && section; section = pn_policy_element(section->next)) {
        rc = statements_references(section, on_reference, ctx, err);
    }
    return rc;
}

static bool has_password(struct pn_policy_node *parent)
{
    for (struct pn_policy_node *node = pn_policy_element(parent->first_child); node;
         node = pn_policy_element(node->next))
        if (node->statement->kind == PN_STATEMENT_BASIC)
            return true;
    return false;
}

bool pn_policy_has_secret(const struct pn_policy_document *document)
{
    if (document->is_fragment)
        return has_password(document->root);
    for (struct pn_policy_node *section = pn_policy_element(document->root->first_child); section;
         section = pn_policy_element(section->next))
        if (has_password(section))
            return true;
    return false;
}

enum pn_rc pn_policy_reference_error(const struct pn_policy_reference *reference,
                                     struct pn_error *err, const char *format, ...)
{
    char reason[PN_ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return pn_policy_error(err, PN_INVALID, reference->element, reference->line, reference->column,
                           "%s%s%s%s", reference->fragment ? "in the policy fragment '" : "",
                           reference->fragment ? reference->fragment : "",
                           reference->fragment ? "': " : "", reason);
}

static void embed_in(struct pn_policy_node *node, const char *value)
{
    size_t kept = 0;

    for (size_t i = 0; i < node->attribute_count; i++) {
        struct pn_policy_attribute attribute = node->attributes[i];
        bool is_body = strcmp(attribute.name, "body") == 0;

        /* The arena's memory is ours: the slice is const only for those who read it. */
        if (is_body || strcmp(attribute.name, "password") == 0)
            pn_wipe((void *)(uintptr_t)attribute.value.ptr, attribute.value.len);
        if (is_body)
            attribute.value = pn_slice_str(value);
        if (strcmp(attribute.name, "password") != 0)
            node->attributes[kept++] = attribute;
    }
    node->attribute_count = kept;
}

enum pn_rc pn_policy_embed(struct pn_policy_document *document,
                           const struct pn_policy_reference *reference, const char *id)
{
    struct pn_policy_node *node = reference->node;
    size_t prefix_len = strlen(PN_POLICY_EMBEDDED_PREFIX);
    char *value = pn_arena_printf(document->arena, "%s%s", PN_POLICY_EMBEDDED_PREFIX, id);

    if (!value)
        return PN_NOMEM;
    embed_in(node, value);
    if (node->origin)
        embed_in(node->origin, value);
    node->statement->certificate.body = (struct pn_slice){0};
    node->statement->certificate.password = (struct pn_slice){0};
    node->statement->certificate.embedded = pn_slice_str(value + prefix_len);
    return PN_OK;
}
