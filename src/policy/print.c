/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical text of a document: four spaces per level, CRLF, attributes in their order,
 * comments kept. Without expressions both formats have the same text. What is printed parses to the
 * same document, so printing again gives the same bytes.
 */
#include <string.h>

#include "policy/internal.h"

struct printer {
    struct pn_buf *out;
    bool is_raw;   /* expressions as they are */
    enum pn_rc rc; /* the first error; then nothing more is written */
};

static void put(struct printer *p, struct pn_slice bytes)
{
    if (p->rc == PN_OK)
        p->rc = pn_buf_append_slice(p->out, bytes);
}

static void put_str(struct printer *p, const char *text)
{
    put(p, pn_slice_str(text));
}

static void put_indent(struct printer *p, int depth)
{
    for (int i = 0; i < depth; i++)
        put_str(p, "    ");
}

static struct pn_slice trim_start(struct pn_slice text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]))
        text = pn_slice_sub(text, 1, text.len);
    return text;
}

/* A CR in a value was written as a reference, else XML would have made it an LF (XML §2.11). */
static void put_escaped(struct printer *p, struct pn_slice text, bool is_attribute)
{
    size_t start = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *escape = NULL;

        switch (text.ptr[i]) {
        case '&':
            escape = "&amp;";
            break;
        case '<':
            escape = "&lt;";
            break;
        case '>':
            escape = "&gt;";
            break;
        case '"':
            escape = is_attribute ? "&quot;" : NULL;
            break;
        case '\t':
            escape = is_attribute ? "&#x9;" : NULL;
            break;
        case '\n':
            escape = is_attribute ? "&#xA;" : "\r\n";
            break;
        case '\r':
            escape = "&#xD;";
            break;
        default:
            break;
        }
        if (!escape)
            continue;
        put(p, pn_slice_sub(text, start, i - start));
        put_str(p, escape);
        start = i + 1;
    }
    put(p, pn_slice_sub(text, start, text.len));
}

/* In rawxml an expression at the beginning of a value stands as it is; a line's end in it is CRLF,
 * as everywhere. */
static void put_value(struct printer *p, struct pn_slice text, bool is_attribute)
{
    size_t start = is_attribute ? 0 : text.len - trim_start(text).len;
    struct pn_slice rest = pn_slice_sub(text, start, text.len);
    size_t len = p->is_raw && pn_policy_is_expression(rest) ? pn_policy_expression_len(rest) : 0;
    struct pn_slice expression = pn_slice_sub(rest, 0, len);

    put_escaped(p, pn_slice_sub(text, 0, start), is_attribute);
    while (expression.len > 0) {
        size_t line = pn_slice_find(expression, '\n');

        put(p, pn_slice_sub(expression, 0, line));
        if (line < expression.len)
            put_str(p, "\r\n");
        expression = pn_slice_sub(expression, line + 1, expression.len);
    }
    put_escaped(p, pn_slice_sub(rest, len, rest.len), is_attribute);
}

static void put_comment(struct printer *p, const struct pn_policy_node *node)
{
    struct pn_slice rest = node->text;
    struct pn_slice line;
    bool is_first = true;

    put_str(p, "<!--");
    while (pn_slice_cut(&rest, '\n', &line)) {
        if (!is_first)
            put_str(p, "\r\n");
        put(p, line);
        is_first = false;
    }
    if (pn_slice_ends_with(node->text, PN_LIT("\n")))
        put_str(p, "\r\n");
    put_str(p, "-->");
}

static bool holds_text(const struct pn_policy_node *node)
{
    return strcmp(node->name, "value") == 0 || strcmp(node->name, "set-body") == 0 ||
           strcmp(node->name, "set-method") == 0;
}

static void put_start(struct printer *p, const struct pn_policy_node *node)
{
    put_str(p, "<");
    put_str(p, node->name);
    for (size_t i = 0; i < node->attribute_count; i++) {
        put_str(p, " ");
        put_str(p, node->attributes[i].name);
        put_str(p, "=\"");
        put_value(p, node->attributes[i].value, true);
        put_str(p, "\"");
    }
}

/* Comments in an element with text come first, so that the text stays in one piece. */
static void put_text_element(struct printer *p, const struct pn_policy_node *node)
{
    if (node->text.len == 0 && !node->first_child) {
        put_str(p, " />");
        return;
    }
    put_str(p, ">");
    for (const struct pn_policy_node *child = node->first_child; child; child = child->next)
        if (child->type == PN_POLICY_COMMENT)
            put_comment(p, child);
    put_value(p, node->text, false);
    put_str(p, "</");
    put_str(p, node->name);
    put_str(p, ">");
}

/* Depth is bounded by PN_POLICY_DEPTH_MAX. */
static void put_node(struct printer *p, const struct pn_policy_node *node, int depth)
{
    put_indent(p, depth);
    if (node->type == PN_POLICY_COMMENT) {
        put_comment(p, node);
        return;
    }
    put_start(p, node);
    if (holds_text(node)) {
        put_text_element(p, node);
        return;
    }
    if (!node->first_child) {
        put_str(p, " />");
        return;
    }
    put_str(p, ">\r\n");
    for (const struct pn_policy_node *child = node->first_child; child; child = child->next) {
        put_node(p, child, depth + 1);
        put_str(p, "\r\n");
    }
    put_indent(p, depth);
    put_str(p, "</");
    put_str(p, node->name);
    put_str(p, ">");
}

enum pn_rc pn_policy_print(const struct pn_policy_document *document, enum pn_policy_format format,
                           struct pn_buf *out)
{
    struct printer p = {.out = out, .is_raw = format == PN_POLICY_RAWXML};

    for (const struct pn_policy_node *node = document->top.first_child; node; node = node->next) {
        put_node(&p, node, 0);
        if (node->next)
            put_str(&p, "\r\n");
    }
    return p.rc;
}

enum pn_rc pn_policy_print_resolved(const struct pn_policy_document *document, struct pn_buf *out)
{
    struct printer p = {.out = out, .is_raw = true};

    put_node(&p, document->root, 0);
    return p.rc;
}
