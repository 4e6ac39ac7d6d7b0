/* SPDX-License-Identifier: Apache-2.0
 *
 * From text to nodes, by libxml2's SAX1 interface: names come with their prefix, so that a
 * namespace is just an unknown name. No DTD (the scan refused it), so only the five entities exist;
 * no network.
 *
 * libxml2 reads the scan's buffer in place; the copies that it makes of attribute values (passwords
 * may be among them) are wiped as soon as they are in the document's arena.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "base/secret.h"
#include "policy/internal.h"

struct reader {
    xmlParserCtxtPtr parser;
    struct pn_policy_document *document;
    const struct pn_policy_scan *scan;
    struct pn_policy_node *current;
    size_t tag;
    size_t
        place; /* offset of `line` and `column`; tags come in order, so nothing is counted twice */
    int line, column;
    int depth;
    enum pn_rc rc; /* the first error; then nothing more is taken in */
    struct pn_error *err;
};

enum pn_rc pn_policy_error(struct pn_error *err, enum pn_rc rc, const char *element, int line,
                           int column, const char *format, ...)
{
    char reason[PN_ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    pn_error_set(err, rc, "policy_invalid", "Error in element '%.100s' on line %d, column %d: %s",
                 element, line, column, reason);
    pn_error_target(err, element);
    return rc;
}

enum pn_rc pn_policy_node_error(struct pn_error *err, const struct pn_policy_node *node,
                                const char *format, ...)
{
    char reason[PN_ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return pn_policy_error(err, PN_INVALID, node->name, node->line, node->column, "%s%s%s%s",
                           node->fragment ? "in the policy fragment '" : "",
                           node->fragment ? node->fragment : "", node->fragment ? "': " : "",
                           reason);
}

struct pn_slice pn_policy_attribute(const struct pn_policy_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return node->attributes[i].value;
    return (struct pn_slice){0};
}

struct pn_policy_node *pn_policy_element(struct pn_policy_node *node)
{
    while (node && node->type != PN_POLICY_ELEMENT)
        node = node->next;
    return node;
}

static void stop(struct reader *r, enum pn_rc rc)
{
    r->rc = rc;
    xmlStopParser(r->parser);
}

static void out_of_memory(struct reader *r)
{
    stop(r, pn_error_set(r->err, PN_NOMEM, "out_of_memory", "out of memory"));
}

static struct pn_policy_node *new_node(struct reader *r, enum pn_policy_node_type type)
{
    struct pn_policy_node *node = pn_arena_zalloc(r->document->arena, sizeof *node);

    if (!node) {
        out_of_memory(r);
        return NULL;
    }
    node->type = type;
    node->parent = r->current;
    if (r->current->last_child)
        r->current->last_child->next = node;
    else
        r->current->first_child = node;
    r->current->last_child = node;
    return node;
}

static bool copy_attributes(struct reader *r, struct pn_policy_node *node, const xmlChar **pairs)
{
    size_t count = 0;

    while (pairs && pairs[2 * count])
        count++;
    if (count == 0)
        return true;
    node->attributes = pn_arena_zalloc(r->document->arena, count * sizeof *node->attributes);
    for (size_t i = 0; node->attributes && i < count; i++) {
        struct pn_slice value = pn_slice_str((const char *)pairs[2 * i + 1]);

        node->attributes[i].name =
            pn_arena_strdup(r->document->arena, pn_slice_str((const char *)pairs[2 * i]));
        node->attributes[i].value = pn_arena_dup(r->document->arena, value);
        /* The parser's own copy; it is freed, but not wiped, when this callback returns. */
        pn_wipe((void *)(uintptr_t)value.ptr, value.len);
        if (!node->attributes[i].name || !node->attributes[i].value.ptr)
            return false;
        node->attribute_count++;
    }
    return node->attributes != NULL;
}

static void find_place(struct reader *r, size_t offset)
{
    int line;
    int column;

    if (offset < r->place)
        return; /* libxml2 and the scan disagree; the document will not be well-formed */
    pn_policy_position(pn_slice_sub(r->scan->text, r->place, r->scan->text.len), offset - r->place,
                       &line, &column);
    r->column = line == 1 ? r->column + column - 1 : column;
    r->line += line - 1;
    r->place = offset;
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar **attributes)
{
    struct reader *r = ctx;
    struct pn_policy_node *node;
    size_t offset = r->tag < r->scan->tag_count ? r->scan->tags[r->tag] : 0;

    r->tag++;
    if (r->rc != PN_OK)
        return;
    node = new_node(r, PN_POLICY_ELEMENT);
    if (!node)
        return;
    node->name = pn_arena_strdup(r->document->arena, pn_slice_str((const char *)name));
    if (!node->name || !copy_attributes(r, node, attributes)) {
        out_of_memory(r);
        return;
    }
    find_place(r, offset);
    node->offset = offset;
    node->line = r->line;
    node->column = r->column;
    if (r->current == &r->document->top)
        r->document->root = node;
    r->current = node;
    if (++r->depth > PN_POLICY_DEPTH_MAX)
        stop(r, pn_policy_error(r->err, PN_LIMIT, node->name, node->line, node->column,
                                "elements are nested more than %d deep", PN_POLICY_DEPTH_MAX));
}

static void on_end(void *ctx, const xmlChar *name)
{
    struct reader *r = ctx;

    (void)name;
    if (r->rc != PN_OK)
        return;
    r->current = r->current->parent;
    r->depth--;
}

static void on_text(void *ctx, const xmlChar *text, int len)
{
    struct reader *r = ctx;
    size_t old_len;
    char *joined;

    if (r->rc != PN_OK || len <= 0)
        return;
    /* Doubling keeps many small pieces (one per entity) from costing the square of their number. */
    old_len = r->current->text.len;
    joined = (char *)(uintptr_t)r->current->text.ptr;
    if (old_len == 0 || ((old_len + (size_t)len) ^ old_len) > old_len) {
        size_t capacity = 16;

        while (capacity <= old_len + (size_t)len)
            capacity *= 2;
        joined = pn_arena_alloc(r->document->arena, capacity);
        if (!joined) {
            out_of_memory(r);
            return;
        }
        if (old_len > 0)
            memcpy(joined, r->current->text.ptr, old_len);
    }
    memcpy(joined + old_len, text, (size_t)len);
    r->current->text = pn_slice(joined, old_len + (size_t)len);
}

static void on_comment(void *ctx, const xmlChar *text)
{
    struct reader *r = ctx;
    struct pn_policy_node *node;

    if (r->rc != PN_OK)
        return;
    node = new_node(r, PN_POLICY_COMMENT);
    if (!node)
        return;
    node->text = pn_arena_dup(r->document->arena, pn_slice_str((const char *)text));
    if (!node->text.ptr)
        out_of_memory(r);
}

/* libxml2's texts end in a line feed and may quote a name of the document, never a value. */
static void on_error(void *ctx, const char *format, ...)
{
    struct reader *r = ctx;
    const xmlError *error = xmlCtxtGetLastError(r->parser);
    const xmlParserInput *input = r->parser->input;
    size_t escaped = 0;
    struct pn_slice reason = pn_slice_str(error && error->message ? error->message : "broken XML");
    int line;
    int column;

    (void)format;
    if (r->rc != PN_OK)
        return;
    if (input)
        escaped = (size_t)input->consumed + (size_t)(input->cur - input->base);
    pn_policy_position(r->scan->text, pn_policy_scan_original(r->scan, escaped), &line, &column);
    reason = pn_slice_trim(reason);
    r->rc = pn_policy_error(r->err, PN_MALFORMED, r->current->name, line, column,
                            "not well-formed XML: %.*s", PN_FMT(reason));
}

static enum pn_rc parse(struct reader *r, const struct pn_buf *escaped)
{
    xmlParserInputPtr input = NULL;
    xmlSAXHandler *sax = r->parser->sax;

    memset(sax, 0, sizeof *sax);
    sax->initialized = 1; /* SAX1 */
    sax->startElement = on_start;
    sax->endElement = on_end;
    sax->characters = on_text;
    sax->ignorableWhitespace = on_text;
    sax->cdataBlock = on_text;
    sax->comment = on_comment;
    sax->error = on_error;
    sax->fatalError = on_error;
    /* NOENT, or libxml2 hands an '&' of an attribute over as "&#38;". The scan refused every
     * document type declaration, so that XML's own five entities are all that there can be. */
    xmlCtxtUseOptions(r->parser, XML_PARSE_NONET | XML_PARSE_SAX1 | XML_PARSE_NOENT);
    r->parser->userData = r;
    input = xmlNewInputStream(r->parser);
    if (!input)
        return PN_NOMEM;
    /* Without a buffer of its own: libxml2 must not move what it has read so far. */
    input->base = (const xmlChar *)escaped->ptr;
    input->cur = input->base;
    input->end = input->base + escaped->len;
    if (inputPush(r->parser, input) < 0)
        return PN_NOMEM;
    xmlParseDocument(r->parser);
    return PN_OK;
}

enum pn_rc pn_policy_tree_read(struct pn_policy_document *document,
                               const struct pn_policy_scan *scan, struct pn_error *err)
{
    struct reader r = {.document = document, .scan = scan, .line = 1, .column = 1, .err = err};
    enum pn_rc rc;

    document->top.name = "policies"; /* for errors outside of the root */
    r.current = &document->top;
    r.parser = xmlNewParserCtxt();
    if (!r.parser)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = parse(&r, &scan->escaped);
    if (rc != PN_OK)
        rc = pn_error_set(err, rc, "out_of_memory", "out of memory");
    else if (r.rc != PN_OK)
        rc = r.rc;
    else if (!r.parser->wellFormed || !document->root)
        rc = pn_policy_error(err, PN_MALFORMED, "policies", 1, 1, "not well-formed XML");
    xmlFreeParserCtxt(r.parser);
    return rc;
}
