/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of path and query. Query parameters that no policy touches keep their bytes: backends may
 * have signed them.
 */
#include <string.h>

#include "http/uri.h"
#include "policy/internal.h"

/* Text of known maximum length in the arena. */
struct writer {
    char *ptr;
    size_t len;
};

static bool writer_init(struct writer *w, struct pn_arena *arena, size_t max)
{
    w->ptr = pn_arena_alloc(arena, max + 1);
    w->len = 0;
    return w->ptr != NULL;
}

static void write_byte(struct writer *w, char byte)
{
    w->ptr[w->len++] = byte;
}

static void write_slice(struct writer *w, struct pn_slice bytes)
{
    if (bytes.len > 0)
        memcpy(w->ptr + w->len, bytes.ptr, bytes.len);
    w->len += bytes.len;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_escape(struct pn_slice text, size_t at)
{
    return text.len - at > 2 && text.ptr[at] == '%' && hex_value(text.ptr[at + 1]) >= 0 &&
           hex_value(text.ptr[at + 2]) >= 0;
}

/* What write_encoded() leaves as it is, besides what needs no escape. */
#define KEEPS_SLASHES 1u
#define KEEPS_ESCAPES 2u

/* At most three bytes per byte. */
static void write_encoded(struct writer *w, struct pn_slice bytes, unsigned keeps)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        bool is_unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';

        if (is_unreserved || ((keeps & KEEPS_SLASHES) && c == '/') ||
            ((keeps & KEEPS_ESCAPES) && is_escape(bytes, i))) {
            write_byte(w, (char)c);
        } else {
            write_byte(w, '%');
            write_byte(w, digits[c >> 4]);
            write_byte(w, digits[c & 15]);
        }
    }
}

/* One byte of a form-encoded name; a broken escape stands for itself. */
static char decode_at(struct pn_slice text, size_t *at)
{
    char c = text.ptr[(*at)++];

    if (c == '+')
        return ' ';
    if (c == '%' && *at + 1 < text.len && hex_value(text.ptr[*at]) >= 0 &&
        hex_value(text.ptr[*at + 1]) >= 0) {
        c = (char)(hex_value(text.ptr[*at]) * 16 + hex_value(text.ptr[*at + 1]));
        *at += 2;
    }
    return c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether the raw parameter "n%61me=value" has that name; names compare without case. */
static bool has_name(struct pn_slice parameter, struct pn_slice name)
{
    struct pn_slice raw = pn_slice_sub(parameter, 0, pn_slice_find(parameter, '='));
    size_t at = 0;
    size_t i = 0;

    while (at < raw.len) {
        char c = decode_at(raw, &at);

        if (i == name.len || lower(c) != lower(name.ptr[i]))
            return false;
        i++;
    }
    return i == name.len;
}

static void begin_parameter(struct writer *w)
{
    if (w->len > 0)
        write_byte(w, '&');
}

enum pn_rc pn_policy_apply_query(struct pn_policy_context *context, enum pn_policy_action action,
                                 const struct pn_policy_values *values)
{
    bool removes = action == PN_ACTION_DELETE || action == PN_ACTION_OVERRIDE;
    struct pn_slice rest = context->query;
    struct pn_slice parameter;
    struct writer w;
    size_t max = context->query.len;
    bool exists = false;

    for (size_t i = 0; i < values->count; i++)
        max += 2 + 3 * values->name.len + 3 * values->items[i].len;
    if (!writer_init(&w, context->arena, max))
        return PN_NOMEM;
    while (pn_slice_cut(&rest, '&', &parameter)) {
        bool is_it = has_name(parameter, values->name);

        exists = exists || is_it;
        if (is_it && removes)
            continue;
        begin_parameter(&w);
        write_slice(&w, parameter);
    }
    if (action == PN_ACTION_SKIP && exists)
        return PN_OK;
    for (size_t i = 0; action != PN_ACTION_DELETE && i < values->count; i++) {
        begin_parameter(&w);
        write_encoded(&w, values->name, 0);
        write_byte(&w, '=');
        write_encoded(&w, values->items[i], 0);
    }
    context->query = pn_slice(w.ptr, w.len);
    return PN_OK;
}

static struct pn_slice without_star(struct pn_slice name)
{
    return name.len > 0 && name.ptr[0] == '*' ? pn_slice_sub(name, 1, name.len) : name;
}

static const struct pn_header *find_parameter(const struct pn_policy_context *context,
                                              struct pn_slice name)
{
    for (size_t i = 0; i < context->template_parameter_count; i++)
        if (pn_slice_eq(without_star(context->template_parameters[i].name), without_star(name)))
            return &context->template_parameters[i];
    return NULL;
}

static bool is_wildcard(struct pn_slice name)
{
    return name.len > 0 && name.ptr[0] == '*';
}

/* A wildcard's value is a piece of the request's path as it is: its escapes are escapes. */
static unsigned what_is_kept(struct pn_slice name, const struct pn_header *parameter, bool is_path)
{
    bool is_piece = is_wildcard(parameter->name);

    return (is_piece ? KEEPS_ESCAPES : 0) |
           (is_path && (is_piece || is_wildcard(name)) ? KEEPS_SLASHES : 0);
}

/* Replaces {name} by its value; with w NULL it only counts (an upper bound of) the bytes. */
static enum pn_rc expand(const struct pn_policy_context *context, struct pn_slice text,
                         bool is_path, struct writer *w, size_t *max, struct pn_slice *missing)
{
    while (text.len > 0) {
        size_t open = pn_slice_find(text, '{');
        const struct pn_header *parameter;
        struct pn_slice name;

        *max += open;
        if (w)
            write_slice(w, pn_slice_sub(text, 0, open));
        if (open == text.len)
            break;
        text = pn_slice_sub(text, open + 1, text.len);
        name = pn_slice_sub(text, 0, pn_slice_find(text, '}'));
        text = pn_slice_sub(text, name.len + 1, text.len);
        parameter = find_parameter(context, name);
        if (!parameter) {
            *missing = name;
            return PN_NOT_FOUND;
        }
        *max += 3 * parameter->value.len;
        if (w)
            write_encoded(w, parameter->value, what_is_kept(name, parameter, is_path));
    }
    return PN_OK;
}

static bool is_in_template(const struct pn_policy_context *context, struct pn_slice parameter)
{
    for (size_t i = 0; i < context->template_query_name_count; i++)
        if (has_name(parameter, context->template_query_names[i]))
            return true;
    return false;
}

enum pn_rc pn_policy_apply_rewrite(struct pn_policy_context *context, struct pn_slice path_template,
                                   struct pn_slice query_template, bool copy_unmatched,
                                   struct pn_slice *missing)
{
    struct pn_slice rest = context->query;
    struct pn_slice parameter;
    struct pn_slice normal;
    struct writer path;
    struct writer query;
    size_t path_max = 1;
    size_t query_max = context->query.len + 1;
    enum pn_rc rc = expand(context, path_template, true, NULL, &path_max, missing);

    if (rc == PN_OK)
        rc = expand(context, query_template, false, NULL, &query_max, missing);
    if (rc != PN_OK)
        return rc;
    if (!writer_init(&path, context->arena, path_max) ||
        !writer_init(&query, context->arena, query_max))
        return PN_NOMEM;
    if (path_template.len == 0 || path_template.ptr[0] != '/')
        write_byte(&path, '/');
    rc = expand(context, path_template, true, &path, &path_max, missing);
    if (rc == PN_OK)
        rc = expand(context, query_template, false, &query, &query_max, missing);
    while (rc == PN_OK && copy_unmatched && pn_slice_cut(&rest, '&', &parameter)) {
        if (parameter.len == 0 || is_in_template(context, parameter))
            continue;
        begin_parameter(&query);
        write_slice(&query, parameter);
    }
    if (rc != PN_OK)
        return rc;
    if (pn_path_has_dots(pn_slice(path.ptr, path.len)))
        return PN_MALFORMED; /* a value of the client's would climb out of the template */
    rc = pn_path_normalise(pn_slice(path.ptr, path.len), context->arena, &normal);
    if (rc != PN_OK)
        return rc == PN_MALFORMED ? PN_INVALID : rc;
    context->path = normal;
    context->query = pn_slice(query.ptr, query.len);
    return PN_OK;
}
