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
    document->home.arena = document->arena;
    document->scope = reading->scope;
    document->is_fragment = reading->is_fragment;
    rc = pn_policy_scan(text, reading->format == PN_POLICY_RAWXML, &scan, err);
    if (rc == PN_OK)
        rc = pn_policy_tree_read(document, &scan, err);
    if (rc == PN_OK && reading->sources)
        rc = pn_policy_resolve(document, reading->sources, err);
    if (rc == PN_OK && is_checked)
        rc = pn_policy_check_document(document, text, reading->format == PN_POLICY_RAWXML, err);
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
    pn_expr_home_fini(&document->home);
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

/** The next element behind `node`, its own children not among them, below `top`. */
static struct pn_policy_node *next_outside(struct pn_policy_node *node,
                                           const struct pn_policy_node *top)
{
    for (; node != top; node = node->parent) {
        struct pn_policy_node *next = pn_policy_element(node->next);

        if (next)
            return next;
    }
    return NULL;
}

struct pn_policy_node *pn_policy_next_statement(const struct pn_policy_document *document,
                                                struct pn_policy_node *node)
{
    struct pn_policy_node *next = node;

    do {
        /* Sections, choose and its branches lead inside; other statements have no statements. */
        bool is_around = !next || !next->statement || next->statement->kind == PN_STATEMENT_CHOOSE;
        struct pn_policy_node *inner =
            is_around ? pn_policy_element(next ? next->first_child : document->root->first_child)
                      : NULL;

        next = inner ? inner : next ? next_outside(next, document->root) : NULL;
    } while (next && !next->statement);
    return next;
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
    if (statement->kind != PN_STATEMENT_CERTIFICATE || statement->certificate.id_expr ||
        statement->certificate.thumbprint_expr)
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

/* ---- what expressions may name */

struct literals {
    pn_policy_reference_fn on_reference;
    void *ctx;
    struct pn_error *err;
    struct pn_policy_reference reference;
    enum pn_rc rc;
};

static void on_literal(void *ctx, struct pn_slice literal)
{
    struct literals *literals = ctx;

    literals->reference.name = literal;
    if (literals->rc == PN_OK && literal.len > 0)
        literals->rc = literals->on_reference(literals->ctx, &literals->reference, literals->err);
}

static void no_literal(void *ctx, struct pn_slice literal)
{
    (void)ctx;
    (void)literal;
}

static bool is_open(const struct pn_expr *expr)
{
    return expr && !pn_expr_literals(expr, no_literal, NULL);
}

/** Whether some expression's literals do not tell which certificate (backend) it gives. */
static bool has_open(const struct pn_policy_document *document, enum pn_policy_kind kind)
{
    for (struct pn_policy_node *node = pn_policy_next_statement(document, NULL); node;
         node = pn_policy_next_statement(document, node)) {
        const struct pn_policy_statement *statement = node->statement;

        if (statement->kind == kind &&
            (kind == PN_STATEMENT_BACKEND ? is_open(statement->backend.id_expr)
                                          : is_open(statement->certificate.id_expr) ||
                                                is_open(statement->certificate.thumbprint_expr)))
            return true;
    }
    return false;
}

/** The literals of one expression, and that they do not tell. */
static void tell_expression(struct literals *literals, const struct pn_expr *expr,
                            enum pn_policy_reference_kind kind, enum pn_policy_reference_kind any)
{
    if (!expr)
        return;
    literals->reference.kind = kind;
    literals->reference.is_certain = !is_open(expr);
    (void)pn_expr_literals(expr, on_literal, literals);
    if (literals->reference.is_certain || literals->rc != PN_OK)
        return;
    literals->reference.kind = any;
    literals->reference.name = (struct pn_slice){0};
    literals->rc = literals->on_reference(literals->ctx, &literals->reference, literals->err);
}

/** What a variable may hold, in a document where an expression reads names from somewhere. */
static void tell_variable(struct literals *literals, const struct pn_policy_operand *value,
                          enum pn_policy_reference_kind kind)
{
    literals->reference.kind = kind;
    literals->reference.is_certain = false;
    if (value->expr)
        (void)pn_expr_literals(value->expr, on_literal, literals);
    else
        on_literal(literals, value->text);
}

static enum pn_rc tell_literals(const struct pn_policy_document *document,
                                struct pn_policy_node *node, struct literals *literals)
{
    const struct pn_policy_statement *statement = node->statement;

    literals->reference = (struct pn_policy_reference){.element = node->name,
                                                       .line = node->line,
                                                       .column = node->column,
                                                       .node = node,
                                                       .fragment = node->fragment};
    if (statement->kind == PN_STATEMENT_CERTIFICATE) {
        tell_expression(literals, statement->certificate.id_expr, PN_POLICY_CERTIFICATE_LITERAL,
                        PN_POLICY_CERTIFICATE_ANY);
        tell_expression(literals, statement->certificate.thumbprint_expr,
                        PN_POLICY_CERTIFICATE_LITERAL, PN_POLICY_CERTIFICATE_ANY);
    } else if (statement->kind == PN_STATEMENT_BACKEND) {
        tell_expression(literals, statement->backend.id_expr, PN_POLICY_BACKEND_LITERAL,
                        PN_POLICY_BACKEND_ANY);
    } else if (statement->kind == PN_STATEMENT_VARIABLE) {
        if (has_open(document, PN_STATEMENT_CERTIFICATE))
            tell_variable(literals, &statement->variable.value, PN_POLICY_CERTIFICATE_LITERAL);
        if (has_open(document, PN_STATEMENT_BACKEND))
            tell_variable(literals, &statement->variable.value, PN_POLICY_BACKEND_LITERAL);
    }
    return literals->rc;
}

enum pn_rc pn_policy_references(const struct pn_policy_document *document,
                                pn_policy_reference_fn on_reference, void *ctx,
                                struct pn_error *err)
{
    struct literals literals = {.on_reference = on_reference, .ctx = ctx, .err = err};
    enum pn_rc rc = put_in_references(document, on_reference, ctx, err);

    for (struct pn_policy_node *node = pn_policy_next_statement(document, NULL);
         rc == PN_OK && node; node = pn_policy_next_statement(document, node)) {
        struct pn_policy_reference reference;

        for (size_t at = 0; rc == PN_OK && reference_of(node, at, &reference); at++)
            rc = on_reference(ctx, &reference, err);
        if (rc == PN_OK)
            rc = tell_literals(document, node, &literals);
    }
    return rc;
}

bool pn_policy_has_secret(const struct pn_policy_document *document)
{
    for (struct pn_policy_node *node = pn_policy_next_statement(document, NULL); node;
         node = pn_policy_next_statement(document, node))
        if (node->statement->kind == PN_STATEMENT_BASIC)
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
