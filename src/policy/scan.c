/* SPDX-License-Identifier: Apache-2.0
 *
 * The pass before libxml2. It knows just enough of XML to tell start tags, comments and quotes
 * apart; well-formedness is libxml2's business. It has three jobs:
 *  - remember where each start tag is in the user's text, for "line L, column C";
 *  - in rawxml, escape expressions, which may hold raw '<', '&' and quotes (API Management,
 * "rawxml");
 *  - refuse what no policy needs and every XML parser is attacked with: DOCTYPE, instructions.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

struct scanner {
    struct pn_policy_scan *scan;
    struct pn_slice text;
    size_t at;
    bool is_raw;
    struct pn_error *err;
};

void pn_policy_position(struct pn_slice text, size_t offset, int *line, int *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '\n') {
            ++*line;
            *column = 1;
        } else if ((c & 0xC0) != 0x80) { /* the first byte of a UTF-8 character */
            ++*column;
        }
    }
}

size_t pn_policy_scan_original(const struct pn_policy_scan *scan, size_t escaped)
{
    size_t original = escaped;

    for (size_t i = 0; i < scan->stretch_count; i++) {
        const struct pn_policy_stretch *stretch = &scan->stretches[i];

        if (escaped < stretch->escaped)
            break;
        if (escaped < stretch->escaped + stretch->escaped_len)
            return stretch->original;
        original = stretch->original + stretch->original_len +
                   (escaped - stretch->escaped - stretch->escaped_len);
    }
    return original < scan->text.len ? original : scan->text.len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_name(char c)
{
    return is_space(c) || c == '>' || c == '/' || c == '=' || c == '<';
}

static bool looking_at(const struct scanner *s, const char *prefix)
{
    return pn_slice_starts_with(pn_slice_sub(s->text, s->at, strlen(prefix)), pn_slice_str(prefix));
}

/* The element of an error is the last one that was opened: the scanner keeps no stack. */
static enum pn_rc fail(struct scanner *s, size_t offset, const char *reason)
{
    char name[PN_ERROR_TARGET_MAX] = "policies";
    size_t len = 0;
    int line;
    int column;

    if (s->scan->tag_count > 0) {
        struct pn_slice rest =
            pn_slice_sub(s->text, s->scan->tags[s->scan->tag_count - 1], s->text.len);

        while (len < rest.len && len < sizeof name - 1 && !ends_name(rest.ptr[len]))
            len++;
        memcpy(name, rest.ptr, len);
        name[len] = '\0';
    }
    pn_policy_position(s->text, offset, &line, &column);
    return pn_policy_error(s->err, PN_MALFORMED, name, line, column, "%s", reason);
}

static enum pn_rc no_memory(struct scanner *s)
{
    return pn_error_set(s->err, PN_NOMEM, "out_of_memory", "out of memory");
}

static enum pn_rc put(struct scanner *s, struct pn_slice bytes)
{
    return pn_buf_append_slice(&s->scan->escaped, bytes) == PN_OK ? PN_OK : no_memory(s);
}

static void *grow(void *items, size_t *capacity, size_t count, size_t size)
{
    size_t wanted;
    void *grown;

    if (count < *capacity)
        return items;
    wanted = *capacity ? *capacity * 2 : 64;
    grown = realloc(items, wanted * size);
    if (grown)
        *capacity = wanted;
    return grown;
}

static enum pn_rc remember_tag(struct scanner *s)
{
    struct pn_policy_scan *scan = s->scan;
    size_t *tags = grow(scan->tags, &scan->tag_capacity, scan->tag_count, sizeof *tags);

    if (!tags)
        return no_memory(s);
    scan->tags = tags;
    scan->tags[scan->tag_count++] = s->at + 1;
    return PN_OK;
}

/* Copies up to and with `end`, verbatim. */
static enum pn_rc copy_until(struct scanner *s, const char *end, const char *reason)
{
    struct pn_slice rest = pn_slice_sub(s->text, s->at, s->text.len);
    size_t len = pn_slice_find_slice(rest, pn_slice_str(end));
    enum pn_rc rc;

    if (len >= rest.len)
        return fail(s, s->at, reason);
    len += strlen(end);
    rc = put(s, pn_slice_sub(rest, 0, len));
    s->at += len;
    return rc;
}

/* The declaration's encoding is about bytes that are no more: the text came in JSON, as UTF-8. */
static enum pn_rc blank_declaration(struct scanner *s)
{
    struct pn_slice rest = pn_slice_sub(s->text, s->at, s->text.len);
    size_t len = pn_slice_find_slice(rest, PN_LIT("?>"));
    enum pn_rc rc = PN_OK;

    if (len >= rest.len)
        return fail(s, s->at, "the XML declaration has no end");
    for (size_t i = 0; rc == PN_OK && i < len + 2; i++)
        rc = put(s, rest.ptr[i] == '\n' ? PN_LIT("\n") : PN_LIT(" "));
    s->at += len + 2;
    return rc;
}

static const char *escape_of(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\n':
        return "&#10;";
    case '\t':
        return "&#9;";
    case '\r':
        return "&#13;";
    default:
        return NULL;
    }
}

static enum pn_rc copy_expression(struct scanner *s)
{
    struct pn_policy_scan *scan = s->scan;
    struct pn_slice rest = pn_slice_sub(s->text, s->at, s->text.len);
    size_t len = pn_policy_expression_len(rest);
    struct pn_policy_stretch *stretches;
    struct pn_policy_stretch *stretch;
    enum pn_rc rc = PN_OK;

    if (len == 0)
        return fail(s, s->at,
                    "the policy expression that starts here has no end: a bracket, a "
                    "quote or a comment in it is not closed");
    stretches =
        grow(scan->stretches, &scan->stretch_capacity, scan->stretch_count, sizeof *stretches);
    if (!stretches)
        return no_memory(s);
    scan->stretches = stretches;
    stretch = &stretches[scan->stretch_count++];
    *stretch = (struct pn_policy_stretch){
        .original = s->at, .original_len = len, .escaped = scan->escaped.len};
    for (size_t i = 0; rc == PN_OK && i < len; i++) {
        const char *escape = escape_of(rest.ptr[i]);

        if (rest.ptr[i] == '\r' && i + 1 < len && rest.ptr[i + 1] == '\n')
            continue; /* a line's end is one character, as in XML */
        rc = put(s, escape ? pn_slice_str(escape) : pn_slice_sub(rest, i, 1));
    }
    stretch->escaped_len = scan->escaped.len - stretch->escaped;
    s->at += len;
    return rc;
}

static enum pn_rc copy_quoted(struct scanner *s)
{
    char quote = s->text.ptr[s->at];
    size_t start = s->at;
    struct pn_slice rest;
    size_t len;
    enum pn_rc rc = put(s, pn_slice_sub(s->text, s->at, 1));

    s->at++;
    if (rc == PN_OK && s->is_raw &&
        pn_policy_is_expression(pn_slice_sub(s->text, s->at, s->text.len)))
        rc = copy_expression(s);
    if (rc != PN_OK)
        return rc;
    rest = pn_slice_sub(s->text, s->at, s->text.len);
    len = pn_slice_find(rest, quote);
    if (len >= rest.len)
        return fail(s, start, "the attribute value that starts here has no closing quote");
    rc = put(s, pn_slice_sub(rest, 0, len + 1));
    s->at += len + 1;
    return rc;
}

static enum pn_rc copy_start_tag(struct scanner *s)
{
    size_t start = s->at;
    enum pn_rc rc = remember_tag(s);

    while (rc == PN_OK && s->at < s->text.len) {
        char c = s->text.ptr[s->at];

        if (c == '"' || c == '\'') {
            rc = copy_quoted(s);
            continue;
        }
        rc = put(s, pn_slice_sub(s->text, s->at, 1));
        s->at++;
        if (c == '>')
            return rc;
    }
    return rc == PN_OK ? fail(s, start, "the start tag has no '>'") : rc;
}

/* Text up to the next '<'; an expression is the whole text of its element. */
static enum pn_rc copy_text(struct scanner *s)
{
    struct pn_slice rest;
    size_t len = 0;
    enum pn_rc rc;

    while (s->at + len < s->text.len && is_space(s->text.ptr[s->at + len]))
        len++;
    rc = put(s, pn_slice_sub(s->text, s->at, len));
    s->at += len;
    if (rc == PN_OK && s->is_raw &&
        pn_policy_is_expression(pn_slice_sub(s->text, s->at, s->text.len)))
        rc = copy_expression(s);
    if (rc != PN_OK)
        return rc;
    rest = pn_slice_sub(s->text, s->at, s->text.len);
    len = pn_slice_find(rest, '<');
    rc = put(s, pn_slice_sub(rest, 0, len));
    s->at += len;
    return rc;
}

static enum pn_rc copy_markup(struct scanner *s)
{
    if (looking_at(s, "<!--"))
        return copy_until(s, "-->", "the comment has no end");
    if (looking_at(s, "<![CDATA["))
        return copy_until(s, "]]>", "the CDATA section has no end");
    if (looking_at(s, "<!"))
        return fail(s, s->at, "a document type declaration is not allowed in a policy");
    if (looking_at(s, "<?"))
        return fail(s, s->at, "a processing instruction is not allowed in a policy");
    if (looking_at(s, "</"))
        return copy_until(s, ">", "the end tag has no '>'");
    return copy_start_tag(s);
}

enum pn_rc pn_policy_scan(struct pn_slice text, bool is_raw, struct pn_policy_scan *scan,
                          struct pn_error *err)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct scanner s = {.scan = scan, .text = text, .is_raw = is_raw, .err = err};
    enum pn_rc rc = PN_OK;

    *scan = (struct pn_policy_scan){.text = text};
    pn_buf_init_secret(&scan->escaped, 8 * (size_t)PN_POLICY_RESOLVED_BYTES_MAX);
    if (pn_slice_find(text, '\0') < text.len)
        return fail(&s, pn_slice_find(text, '\0'), "a NUL character is not allowed");
    if (looking_at(&s, byte_order_mark)) {
        rc = put(&s, PN_LIT("   ")); /* as long as the mark: offsets stay the same */
        s.at = 3;
    }
    if (rc == PN_OK && looking_at(&s, "<?xml") && s.text.len > s.at + 5 &&
        is_space(s.text.ptr[s.at + 5]))
        rc = blank_declaration(&s);
    while (rc == PN_OK && s.at < text.len)
        rc = text.ptr[s.at] == '<' ? copy_markup(&s) : copy_text(&s);
    if (rc == PN_OK && scan->tag_count == 0)
        rc = fail(&s, 0, "there is no <policies> element");
    if (rc == PN_OK && !pn_buf_str(&scan->escaped)) /* libxml2 wants a NUL behind its input */
        rc = no_memory(&s);
    return rc;
}

void pn_policy_scan_fini(struct pn_policy_scan *scan)
{
    pn_buf_fini(&scan->escaped);
    free(scan->tags);
    free(scan->stretches);
    *scan = (struct pn_policy_scan){0};
}
