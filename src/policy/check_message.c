/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements that change a message: set-header, set-query-parameter, rewrite-uri,
 * return-response.
 */
#include <string.h>

#include "policy/internal.h"

#define QUERY_NAME_MAX 256
#define TEMPLATE_MAX   2000

/* The gateway frames messages itself; a policy that could would open the door to smuggling
 * (RFC 9112 §11.2). API Management refuses to change them too. */
static const char *const framing_headers[] = {
    "Connection", "Content-Length", "Keep-Alive",        "Proxy-Connection",
    "TE",         "Trailer",        "Transfer-Encoding", "Upgrade"};

static enum pn_rc no_memory(struct pn_policy_check *check)
{
    return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
}

static enum pn_rc check_action(struct pn_policy_check *check, const struct pn_policy_node *node,
                               enum pn_policy_action *action)
{
    static const char *const names[] = {"override", "skip", "append", "delete"};
    struct pn_slice text = pn_policy_attribute(node, "exists-action");

    *action = PN_ACTION_OVERRIDE;
    if (!text.ptr)
        return PN_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (pn_slice_case_eq_str(text, names[i])) {
            *action = (enum pn_policy_action)i;
            return PN_OK;
        }
    }
    return pn_policy_node_error(check->err, node,
                                "the attribute 'exists-action' must be \"override\", \"skip\", "
                                "\"append\" or \"delete\"");
}

/** The framing header that it names, or NULL. */
static const char *framing_header(struct pn_slice name)
{
    for (size_t i = 0; i < sizeof framing_headers / sizeof *framing_headers; i++)
        if (pn_slice_case_eq_str(name, framing_headers[i]))
            return framing_headers[i];
    return NULL;
}

const char *pn_policy_name_problem(struct pn_slice name, bool is_header)
{
    if (!is_header)
        return name.len > 0 && name.len <= QUERY_NAME_MAX ? NULL : "must have 1 to 256 characters";
    if (!pn_header_name_is_valid(name))
        return "is no header name: letters, digits and ! # $ % & ' * + - . ^ _ ` | ~ only";
    return framing_header(name) ? "names a header that belongs to the gateway and cannot be changed"
                                : NULL;
}

static enum pn_rc check_change_name(struct pn_policy_check *check,
                                    const struct pn_policy_node *node,
                                    struct pn_policy_operand *name, bool is_header)
{
    const char *problem;
    enum pn_rc rc = pn_policy_check_operand(check, node, "name", PN_EXPR_WANT_TEXT, name);

    if (rc != PN_OK || name->expr)
        return rc;
    if (!name->text.ptr)
        return pn_policy_node_error(check->err, node, "the attribute 'name' is required");
    if (is_header && framing_header(name->text))
        return pn_policy_node_error(check->err, node,
                                    "the header '%s' belongs to the gateway and cannot be "
                                    "changed",
                                    framing_header(name->text));
    problem = pn_policy_name_problem(name->text, is_header);
    return problem ? pn_policy_node_error(check->err, node, "the attribute 'name' %s", problem)
                   : PN_OK;
}

static enum pn_rc check_value(struct pn_policy_check *check, const struct pn_policy_node *node,
                              bool is_header, struct pn_policy_operand *value)
{
    enum pn_rc rc;

    if (strcmp(node->name, "value") != 0)
        return pn_policy_node_error(check->err, node, "only <value> is allowed inside '%s'",
                                    node->parent->name);
    rc = pn_policy_check_attributes(check, node, NULL, NULL, false);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, NULL, PN_EXPR_WANT_TEXT, value);
    if (rc != PN_OK || value->expr)
        return rc;
    value->text = pn_slice_trim(node->text);
    if (is_header && value->text.len > 0 && !pn_header_value_is_valid(value->text))
        return pn_policy_node_error(check->err, node,
                                    "the text is no header value: line ends and control "
                                    "characters are not allowed");
    return PN_OK;
}

enum pn_rc pn_policy_check_change(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_change *change, bool is_header)
{
    static const char *const known[] = {"name", "exists-action", NULL};
    static const char *const mixed[] = {"name", NULL};
    size_t count = 0;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, mixed, NULL, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = check_action(check, node, &change->action);
    change->is_header = is_header;
    if (rc == PN_OK)
        rc = check_change_name(check, node, &change->name, is_header);
    if (rc != PN_OK)
        return rc;
    for (struct pn_policy_node *child = pn_policy_element(node->first_child); child;
         child = pn_policy_element(child->next))
        count++;
    if (count == 0 && change->action != PN_ACTION_DELETE)
        return pn_policy_node_error(check->err, node,
                                    "at least one <value> is required, unless "
                                    "exists-action=\"delete\"");
    if (count > 0) {
        change->values = pn_arena_zalloc(check->arena, count * sizeof *change->values);
        if (!change->values)
            return no_memory(check);
    }
    for (struct pn_policy_node *child = pn_policy_element(node->first_child); rc == PN_OK && child;
         child = pn_policy_element(child->next))
        rc = check_value(check, child, is_header, &change->values[change->value_count++]);
    return rc;
}

enum pn_rc pn_policy_check_header(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement)
{
    return pn_policy_check_change(check, node, &statement->change, true);
}

enum pn_rc pn_policy_check_query(struct pn_policy_check *check, struct pn_policy_node *node,
                                 struct pn_policy_statement *statement)
{
    return pn_policy_check_change(check, node, &statement->change, false);
}

/* A path and perhaps a query of URI characters (RFC 3986 §3.3-3.4), and {parameters}. */
const char *pn_policy_template_problem(struct pn_slice text)
{
    if (text.len > TEMPLATE_MAX)
        return "is longer than 2000 characters";
    if (pn_slice_find_slice(text, PN_LIT("://")) < text.len)
        return "must be a path, not a whole URL; use set-backend-service for the host";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '{') {
            size_t len = pn_slice_find(pn_slice_sub(text, i + 1, text.len), '}');

            if (len == 0 || i + 1 + len >= text.len)
                return "has a '{' without a name and a '}' behind it";
            if (memchr(text.ptr + i, '?', len + 1))
                return "has a '?' in the name of a parameter";
            i += len + 1;
            continue;
        }
        if (c == '}')
            return "has a '}' without its '{'";
        if (c <= 0x20 || c >= 0x7F || strchr("\"#<>\\^`|", (char)c))
            return "holds a character that a URL cannot have; percent-encode it";
    }
    return NULL;
}

enum pn_rc pn_policy_check_rewrite(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement)
{
    static const char *const known[] = {"template", "copy-unmatched-params", NULL};
    static const char *const mixed[] = {"template", NULL};
    struct pn_policy_operand operand = {0};
    struct pn_slice text = pn_policy_attribute(node, "template");
    const char *problem;
    size_t mark;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, mixed, NULL, true);

    statement->rewrite.copy_unmatched = true;
    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_bool(check, node, "copy-unmatched-params",
                                  &statement->rewrite.copy_unmatched);
    if (rc != PN_OK)
        return rc;
    if (!text.ptr)
        return pn_policy_node_error(check->err, node, "the attribute 'template' is required");
    rc = pn_policy_check_operand(check, node, "template", PN_EXPR_WANT_TEXT, &operand);
    statement->rewrite.expr = operand.expr;
    if (rc != PN_OK || operand.expr)
        return rc;
    text = pn_slice_trim(text);
    problem = pn_policy_template_problem(text);
    if (problem)
        return pn_policy_node_error(check->err, node, "the attribute 'template' %s", problem);
    mark = pn_slice_find(text, '?');
    statement->rewrite.path = pn_slice_sub(text, 0, mark);
    statement->rewrite.query = pn_slice_sub(text, mark + 1, text.len);
    return PN_OK;
}

enum pn_rc pn_policy_check_status_line(struct pn_policy_check *check,
                                       const struct pn_policy_node *node,
                                       struct pn_policy_status_line *line, bool allows_id)
{
    static const char *const known[] = {"code", "reason", NULL};
    struct pn_slice reason = pn_policy_attribute(node, "reason");
    uint64_t value = 0;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, known, NULL, allows_id);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, "code", PN_EXPR_WANT_NUMBER, &line->code);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, "reason", PN_EXPR_WANT_TEXT, &line->reason);
    if (rc != PN_OK)
        return rc;
    if (!line->code.text.ptr || !reason.ptr)
        return pn_policy_node_error(check->err, node, "the attribute '%s' is required",
                                    line->code.text.ptr ? "reason" : "code");
    /* 1xx are no final answers (RFC 9110 §15.2): the client would wait for another one. */
    if (!line->code.expr &&
        (!pn_slice_to_u64(pn_slice_trim(line->code.text), 599, &value) || value < 200))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'code' must be a status from 200 to 599");
    if (!line->reason.expr && reason.len > 0 && !pn_header_value_is_valid(reason))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'reason' must be one line of text");
    line->status = (int)value;
    return PN_OK;
}

static enum pn_rc check_body(struct pn_policy_check *check, const struct pn_policy_node *node,
                             struct pn_policy_statement *statement)
{
    static const char *const unsupported[] = {"template", "xsi-nil", "parse-date", NULL};
    enum pn_rc rc = pn_policy_check_attributes(check, node, NULL, unsupported, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, NULL, PN_EXPR_WANT_TEXT,
                                     &statement->response.body);
    return rc;
}

enum pn_rc pn_policy_check_response(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement)
{
    static const char *const unsupported[] = {"response-variable-name", NULL};
    enum { STATUS, HEADERS, BODY, END } order = STATUS;
    size_t count = 0;
    enum pn_rc rc = pn_policy_check_attributes(check, node, NULL, unsupported, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc != PN_OK)
        return rc;
    statement->response.line.status = 200;
    statement->response.line.reason.text = PN_LIT("OK");
    statement->response.body.text = pn_slice("", 0);
    for (struct pn_policy_node *child = pn_policy_element(node->first_child); child;
         child = pn_policy_element(child->next))
        count++;
    if (count > 0) {
        statement->response.headers =
            pn_arena_zalloc(check->arena, count * sizeof *statement->response.headers);
        if (!statement->response.headers)
            return no_memory(check);
    }
    for (struct pn_policy_node *child = pn_policy_element(node->first_child); rc == PN_OK && child;
         child = pn_policy_element(child->next)) {
        if (strcmp(child->name, "set-status") == 0 && order == STATUS) {
            rc = pn_policy_check_status_line(check, child, &statement->response.line, true);
            order = HEADERS;
        } else if (strcmp(child->name, "set-header") == 0 && order <= HEADERS) {
            rc = pn_policy_check_change(
                check, child, &statement->response.headers[statement->response.header_count++],
                true);
            order = HEADERS;
        } else if (strcmp(child->name, "set-body") == 0 && order <= BODY) {
            rc = check_body(check, child, statement);
            order = END;
        } else {
            return pn_policy_node_error(check->err, child,
                                        "return-response takes, in this order: set-status, "
                                        "set-header (any number), set-body");
        }
    }
    return rc;
}
