/* SPDX-License-Identifier: Apache-2.0
 *
 * What may stand where: sections in the document, statements in the sections,
 * attributes of the statements. What is not known is refused, never ignored.
 */
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

#define INBOUND  (1u << PN_SECTION_INBOUND)
#define BACKEND  (1u << PN_SECTION_BACKEND)
#define OUTBOUND (1u << PN_SECTION_OUTBOUND)
#define ON_ERROR (1u << PN_SECTION_ON_ERROR)
#define ANYWHERE (INBOUND | BACKEND | OUTBOUND | ON_ERROR)

static const struct {
    const char *name;
    enum pn_policy_kind kind;
    unsigned sections;
    pn_policy_check_fn check;
} elements[] = {
    {"base", PN_STATEMENT_BASE, ANYWHERE, pn_policy_check_base},
    {"authentication-certificate", PN_STATEMENT_CERTIFICATE, INBOUND, pn_policy_check_certificate},
    {"authentication-basic", PN_STATEMENT_BASIC, INBOUND, pn_policy_check_basic},
    {"authentication-managed-identity", PN_STATEMENT_IDENTITY, INBOUND, pn_policy_check_identity},
    {"set-backend-service", PN_STATEMENT_BACKEND, INBOUND | BACKEND, pn_policy_check_backend},
    {"forward-request", PN_STATEMENT_FORWARD, BACKEND, pn_policy_check_forward},
    {"set-header", PN_STATEMENT_HEADER, ANYWHERE, pn_policy_check_header},
    {"set-query-parameter", PN_STATEMENT_QUERY, INBOUND | BACKEND, pn_policy_check_query},
    {"rewrite-uri", PN_STATEMENT_REWRITE, INBOUND, pn_policy_check_rewrite},
    {"return-response", PN_STATEMENT_RESPONSE, ANYWHERE, pn_policy_check_response},
    {"set-status", PN_STATEMENT_STATUS, OUTBOUND | ON_ERROR, pn_policy_check_status},
    {"set-method", PN_STATEMENT_METHOD, INBOUND, pn_policy_check_method},
    {"set-variable", PN_STATEMENT_VARIABLE, ANYWHERE, pn_policy_check_variable},
    {"choose", PN_STATEMENT_CHOOSE, ANYWHERE, pn_policy_check_choose},
};

/* API Management has them, this release does not: the error says so. */
static const char *const later[] = {
    "azure-openai-emit-token-metric",
    "azure-openai-token-limit",
    "cache-lookup",
    "cache-lookup-value",
    "cache-remove-value",
    "cache-store",
    "cache-store-value",
    "check-header",
    "cors",
    "cross-domain",
    "emit-metric",
    "find-and-replace",
    "get-authorization-context",
    "invoke-dapr-binding",
    "ip-filter",
    "json-to-xml",
    "jsonp",
    "limit-concurrency",
    "log-to-eventhub",
    "mock-response",
    "proxy",
    "publish-to-dapr",
    "quota",
    "quota-by-key",
    "rate-limit",
    "rate-limit-by-key",
    "redirect-content-urls",
    "retry",
    "send-one-way-request",
    "send-request",
    "set-body",
    "trace",
    "validate-azure-ad-token",
    "validate-client-certificate",
    "validate-content",
    "validate-headers",
    "validate-jwt",
    "validate-parameters",
    "validate-status-code",
    "wait",
    "xml-to-json",
    "xsl-transform",
};

static const char *const section_names[] = {"inbound", "backend", "outbound", "on-error"};

const char *pn_policy_section_name(enum pn_policy_section section)
{
    return section_names[section];
}

const char *pn_policy_scope_name(enum pn_policy_scope scope)
{
    switch (scope) {
    case PN_SCOPE_GLOBAL:
        return "global";
    case PN_SCOPE_WORKSPACE:
        return "workspace";
    case PN_SCOPE_PRODUCT:
        return "product";
    case PN_SCOPE_API:
        return "api";
    case PN_SCOPE_OPERATION:
        return "operation";
    }
    return "";
}

static bool is_one_of(const char *name, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

static bool is_later(const char *name)
{
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(name, later[i]) == 0)
            return true;
    return false;
}

enum pn_rc pn_policy_check_literal(struct pn_policy_check *check, const struct pn_policy_node *node,
                                   const char *where, struct pn_slice value)
{
    if (pn_policy_is_expression(pn_slice_trim(value)))
        return pn_policy_node_error(check->err, node,
                                    "the %s cannot be a policy expression: it must be a literal "
                                    "value",
                                    where);
    return PN_OK;
}

static enum pn_rc unknown_attribute(struct pn_policy_check *check,
                                    const struct pn_policy_node *node, const char *name,
                                    const char *const *known, bool allows_id)
{
    char list[256] = "";
    size_t len = 0;

    for (; known && *known && len < sizeof list; known++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", *known);
    if (allows_id && len < sizeof list)
        len += (size_t)snprintf(list + len, sizeof list - len, "%sid", len ? ", " : "");
    if (len == 0)
        return pn_policy_node_error(
            check->err, node, "the attribute '%.100s' is not known; the element takes none", name);
    return pn_policy_node_error(
        check->err, node, "the attribute '%.100s' is not known; the element takes: %s", name, list);
}

enum pn_rc pn_policy_check_attributes(struct pn_policy_check *check,
                                      const struct pn_policy_node *node, const char *const *known,
                                      const char *const *unsupported, bool allows_id)
{
    return pn_policy_check_mixed(check, node, known, NULL, unsupported, allows_id);
}

enum pn_rc pn_policy_check_mixed(struct pn_policy_check *check, const struct pn_policy_node *node,
                                 const char *const *known, const char *const *mixed,
                                 const char *const *unsupported, bool allows_id)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        const struct pn_policy_attribute *attribute = &node->attributes[i];
        char where[160];
        enum pn_rc rc;

        if (is_one_of(attribute->name, unsupported))
            return pn_policy_node_error(check->err, node,
                                        "the attribute '%s' is not supported by this release",
                                        attribute->name);
        if (!is_one_of(attribute->name, known) &&
            !(allows_id && strcmp(attribute->name, "id") == 0))
            return unknown_attribute(check, node, attribute->name, known, allows_id);
        if (is_one_of(attribute->name, mixed))
            continue;
        snprintf(where, sizeof where, "attribute '%.100s'", attribute->name);
        rc = pn_policy_check_literal(check, node, where, attribute->value);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

enum pn_rc pn_policy_check_no_text(struct pn_policy_check *check, const struct pn_policy_node *node)
{
    if (pn_slice_trim(node->text).len == 0)
        return PN_OK;
    return pn_policy_node_error(check->err, node, "the element takes no text");
}

enum pn_rc pn_policy_check_no_children(struct pn_policy_check *check,
                                       const struct pn_policy_node *node)
{
    const struct pn_policy_node *child = pn_policy_element(node->first_child);

    if (!child)
        return PN_OK;
    return pn_policy_node_error(check->err, child, "the element '%s' takes no elements",
                                node->name);
}

enum pn_rc pn_policy_check_bool(struct pn_policy_check *check, const struct pn_policy_node *node,
                                const char *name, bool *value)
{
    struct pn_slice text = pn_policy_attribute(node, name);

    if (!text.ptr)
        return PN_OK;
    if (pn_slice_case_eq_str(text, "true")) {
        *value = true;
        return PN_OK;
    }
    if (pn_slice_case_eq_str(text, "false")) {
        *value = false;
        return PN_OK;
    }
    return pn_policy_node_error(check->err, node,
                                "the attribute '%s' must be \"true\" or \"false\"", name);
}

enum pn_rc pn_policy_check_base(struct pn_policy_check *check, struct pn_policy_node *node,
                                struct pn_policy_statement *statement)
{
    enum pn_rc rc = pn_policy_check_attributes(check, node, NULL, NULL, true);

    (void)statement;
    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    return rc;
}

static enum pn_rc not_here(struct pn_policy_check *check, const struct pn_policy_node *node,
                           unsigned sections)
{
    char list[64] = "";
    size_t len = 0;

    for (size_t i = 0; i < PN_POLICY_SECTIONS; i++)
        if (sections & (1u << i))
            len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "",
                                    section_names[i]);
    return pn_policy_node_error(check->err, node,
                                "the policy is not allowed in section '%s'; it is in: %s",
                                pn_policy_section_name(check->section), list);
}

static enum pn_policy_section first_section(unsigned sections)
{
    enum pn_policy_section section = PN_SECTION_INBOUND;

    while (!(sections & (1u << section)))
        section = (enum pn_policy_section)(section + 1);
    return section;
}

static enum pn_rc check_statement(struct pn_policy_check *check, struct pn_policy_node *node)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        if (strcmp(node->name, elements[i].name) != 0)
            continue;
        if (check->in_fragment)
            check->section = first_section(elements[i].sections);
        if (!(elements[i].sections & (1u << check->section)))
            return not_here(check, node, elements[i].sections);
        node->statement = pn_arena_zalloc(check->arena, sizeof *node->statement);
        if (!node->statement)
            return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
        node->statement->kind = elements[i].kind;
        node->statement->element = elements[i].name;
        node->statement->id = pn_policy_attribute(node, "id");
        return elements[i].check(check, node, node->statement);
    }
    if (is_later(node->name))
        return pn_policy_node_error(check->err, node,
                                    "the policy '%s' is not supported by this release", node->name);
    return pn_policy_node_error(check->err, node, "the policy '%.100s' is not known", node->name);
}

enum pn_rc pn_policy_check_statements(struct pn_policy_check *check, struct pn_policy_node *parent,
                                      bool allows_base)
{
    enum pn_rc rc = pn_policy_check_no_text(check, parent);
    size_t base_count = 0;
    size_t backend_count = 0;

    for (struct pn_policy_node *node = pn_policy_element(parent->first_child); rc == PN_OK && node;
         node = pn_policy_element(node->next)) {
        rc = check_statement(check, node);
        if (rc != PN_OK)
            return rc;
        if (node->statement->kind == PN_STATEMENT_BASE && !allows_base)
            return pn_policy_node_error(check->err, node,
                                        "<base /> stands in a section itself, not in a policy");
        if (node->statement->kind == PN_STATEMENT_BASE && ++base_count > 1)
            return pn_policy_node_error(
                check->err, node, "the section '%s' has more than one <base />", parent->name);
        if (check->section == PN_SECTION_BACKEND && node->statement->kind != PN_STATEMENT_BACKEND &&
            ++backend_count > 1)
            return pn_policy_node_error(
                check->err, node,
                "the section 'backend' holds one policy only (set-backend-service may stand "
                "beside it); move the others to 'inbound' or 'outbound'");
    }
    return rc;
}

static enum pn_rc check_section(struct pn_policy_check *check, struct pn_policy_node *section)
{
    enum pn_rc rc = pn_policy_check_attributes(check, section, NULL, NULL, false);

    return rc == PN_OK ? pn_policy_check_statements(check, section, true) : rc;
}

static enum pn_rc find_section(struct pn_policy_check *check, const struct pn_policy_node *node)
{
    for (size_t i = 0; i < PN_POLICY_SECTIONS; i++) {
        if (strcmp(node->name, section_names[i]) == 0) {
            check->section = (enum pn_policy_section)i;
            return PN_OK;
        }
    }
    return pn_policy_node_error(check->err, node,
                                "the section '%.100s' is not known; the sections are: inbound, "
                                "backend, outbound, on-error",
                                node->name);
}

/** Which section it is for is not known here; each document that includes it is checked with it. */
static enum pn_rc check_fragment(struct pn_policy_check *check, struct pn_policy_node *root)
{
    enum pn_rc rc = pn_policy_check_attributes(check, root, NULL, NULL, false);

    if (strcmp(root->name, "fragment") != 0)
        return pn_policy_node_error(check->err, root, "a fragment must start with <fragment>");
    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, root);
    check->in_fragment = true;
    for (struct pn_policy_node *node = pn_policy_element(root->first_child); rc == PN_OK && node;
         node = pn_policy_element(node->next)) {
        rc = check_statement(check, node);
        if (rc == PN_OK && node->statement->kind == PN_STATEMENT_BASE)
            rc = pn_policy_node_error(check->err, node, "a fragment may not contain <base />");
    }
    return rc;
}

enum pn_rc pn_policy_check_document(struct pn_policy_document *document, struct pn_slice text,
                                    bool is_raw, struct pn_error *err)
{
    struct pn_policy_check check = {.arena = document->arena,
                                    .home = &document->home,
                                    .text = text,
                                    .is_raw = is_raw,
                                    .err = err};
    struct pn_policy_node *root = document->root;
    enum pn_rc rc;

    if (document->is_fragment)
        return check_fragment(&check, root);
    if (strcmp(root->name, "policies") != 0)
        return pn_policy_node_error(
            err, root, "the document must start with <policies>%s",
            strcmp(root->name, "fragment") == 0 ? "; a fragment is put under policyFragments" : "");
    rc = pn_policy_check_attributes(&check, root, NULL, NULL, false);
    if (rc == PN_OK)
        rc = pn_policy_check_no_text(&check, root);
    for (struct pn_policy_node *node = pn_policy_element(root->first_child); rc == PN_OK && node;
         node = pn_policy_element(node->next)) {
        rc = find_section(&check, node);
        if (rc != PN_OK)
            return rc;
        if (document->sections[check.section])
            return pn_policy_node_error(err, node, "the section '%s' occurs twice", node->name);
        document->sections[check.section] = node;
        rc = check_section(&check, node);
    }
    return rc;
}
