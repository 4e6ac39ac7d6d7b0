/* SPDX-License-Identifier: Apache-2.0
 *
 * The grammar of urlTemplate: '/'-separated segments with {parameters}, "*" or "{*name}" at the
 * end, and "?name=value&name={parameter}".
 */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "gateway/route_internal.h"
#include "http/uri.h"

void pn_route_pattern_fini(struct pattern *pattern)
{
    for (size_t i = 0; i <= ROUTE_PARTS_MAX; i++)
        free(pattern->literals[i]);
    memset(pattern, 0, sizeof(*pattern));
}

void pn_route_leaf_destroy(struct leaf *leaf)
{
    if (!leaf)
        return;
    for (size_t i = 0; i < leaf->parameter_count; i++)
        free(leaf->parameters[i]);
    for (size_t i = 0; i < leaf->query_count; i++) {
        free(leaf->query[i].name);
        free(leaf->query[i].literal);
        free(leaf->query[i].parameter);
    }
    free(leaf->query);
    free(leaf->wildcard_name);
    free(leaf->method);
    free(leaf);
}

void pn_route_template_fini(struct template *parsed)
{
    for (size_t i = 0; i < parsed->count; i++)
        pn_route_pattern_fini(&parsed->segments[i]);
    pn_route_leaf_destroy(parsed->leaf);
    parsed->leaf = NULL;
    parsed->count = 0;
}

static enum pn_rc refuse(struct pn_error *err, const char *reason)
{
    return pn_error_set(err, PN_INVALID, "invalid_url_template", "urlTemplate: %s", reason);
}

static enum pn_rc out_of_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the routing table");
}

/** Decoded copy of a literal. */
static enum pn_rc literal_dup(struct pn_slice text, char **out, struct pn_error *err)
{
    struct pn_buf buf;
    enum pn_rc rc;

    pn_buf_init(&buf, PN_ROUTE_TEMPLATE_MAX + 1);
    rc = pn_percent_decode(text, &buf);
    if (rc == PN_OK && pn_slice_find(pn_buf_slice(&buf), '\0') < buf.len)
        rc = PN_INVALID; /* the text would end there, and match more than it says */
    if (rc == PN_OK)
        *out = pn_slice_dup(pn_buf_slice(&buf));
    pn_buf_fini(&buf);
    if (rc == PN_INVALID)
        return refuse(err, "a NUL");
    if (rc == PN_MALFORMED)
        return refuse(err, "a broken percent escape");
    return rc == PN_OK && *out ? PN_OK : out_of_memory(err);
}

static enum pn_rc add_parameter(struct leaf *leaf, struct pn_slice name, struct pn_error *err)
{
    char *copy;

    if (name.len == 0)
        return refuse(err, "a parameter without a name");
    if (leaf->parameter_count == PN_ROUTE_PARAMETERS_MAX)
        return refuse(err, "too many parameters");
    copy = pn_slice_dup(name);
    if (!copy)
        return out_of_memory(err);
    leaf->parameters[leaf->parameter_count++] = copy;
    return PN_OK;
}

static enum pn_rc parse_segment(struct template *parsed, struct pn_slice text, struct pn_error *err)
{
    struct pattern *pattern = &parsed->segments[parsed->count];

    memset(pattern, 0, sizeof(*pattern));
    parsed->count++;
    for (;;) {
        size_t open = pn_slice_find(text, '{');
        struct pn_slice literal = pn_slice_sub(text, 0, open);
        size_t close;
        enum pn_rc rc;

        if (pn_slice_find(literal, '}') < literal.len)
            return refuse(err, "a '}' without '{'");
        rc = literal_dup(literal, &pattern->literals[pattern->parameters], err);
        if (rc != PN_OK || open == text.len)
            return rc;
        if (open == 0 && pattern->parameters > 0)
            return refuse(err, "two parameters with nothing between them");
        if (pattern->parameters == ROUTE_PARTS_MAX)
            return refuse(err, "too many parameters in one segment");
        text = pn_slice_sub(text, open + 1, text.len);
        close = pn_slice_find(text, '}');
        if (close == text.len)
            return refuse(err, "a '{' without '}'");
        rc = add_parameter(parsed->leaf, pn_slice_sub(text, 0, close), err);
        if (rc != PN_OK)
            return rc;
        pattern->parameters++;
        text = pn_slice_sub(text, close + 1, text.len);
    }
}

/** "*" or "{*name}". */
static bool is_wildcard(struct pn_slice segment, struct pn_slice *name)
{
    *name = pn_slice("", 0);
    if (pn_slice_eq_str(segment, "*"))
        return true;
    if (segment.len < 3 || !pn_slice_starts_with(segment, PN_LIT("{*")) ||
        segment.ptr[segment.len - 1] != '}')
        return false;
    *name = pn_slice_sub(segment, 1, segment.len - 2);
    return true;
}

static enum pn_rc parse_path(struct template *parsed, struct pn_slice path, struct pn_error *err)
{
    struct pn_slice rest = path;
    struct pn_slice segment, name;

    if (rest.len > 0 && rest.ptr[0] == '/')
        rest = pn_slice_sub(rest, 1, rest.len - 1);
    while (pn_slice_cut(&rest, '/', &segment)) {
        enum pn_rc rc;

        if (parsed->has_wildcard)
            return refuse(err, "a wildcard must be the last segment");
        if (is_wildcard(segment, &name)) {
            parsed->has_wildcard = true;
            if (name.len > 0) {
                parsed->leaf->wildcard_name = pn_slice_dup(name);
                if (!parsed->leaf->wildcard_name)
                    return out_of_memory(err);
            }
            continue;
        }
        if (parsed->count == PN_ROUTE_SEGMENTS_MAX)
            return refuse(err, "too many segments");
        rc = parse_segment(parsed, segment, err);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static enum pn_rc parse_query_rule(struct leaf *leaf, struct pn_slice text, struct pn_error *err)
{
    size_t equals = pn_slice_find(text, '=');
    struct pn_slice value = pn_slice_sub(text, equals + 1, text.len);
    struct query_rule *rules = realloc(leaf->query, (leaf->query_count + 1) * sizeof(*rules));
    struct query_rule *rule;
    enum pn_rc rc;

    if (!rules)
        return out_of_memory(err);
    leaf->query = rules;
    rule = &rules[leaf->query_count++];
    memset(rule, 0, sizeof(*rule));
    rc = literal_dup(pn_slice_sub(text, 0, equals), &rule->name, err);
    if (rc != PN_OK)
        return rc;
    if (value.len > 2 && value.ptr[0] == '{' && value.ptr[value.len - 1] == '}')
        return literal_dup(pn_slice_sub(value, 1, value.len - 2), &rule->parameter, err);
    if (pn_slice_find(value, '{') < value.len || pn_slice_find(value, '}') < value.len)
        return refuse(err, "a query value is either a literal or one {parameter}");
    return value.len > 0 ? literal_dup(value, &rule->literal, err) : PN_OK;
}

enum pn_rc pn_route_template_parse(struct pn_slice url_template, struct pn_slice method,
                                   const void *operation, struct template *parsed,
                                   struct pn_error *err)
{
    size_t question = pn_slice_find(url_template, '?');
    struct pn_slice query = pn_slice_sub(url_template, question + 1, url_template.len);
    struct pn_slice rule;
    enum pn_rc rc;

    parsed->count = 0;
    parsed->has_wildcard = false;
    parsed->leaf = NULL;
    if (url_template.len > PN_ROUTE_TEMPLATE_MAX)
        return pn_error_set(err, PN_LIMIT, "invalid_url_template",
                            "urlTemplate is longer than %d bytes", PN_ROUTE_TEMPLATE_MAX);
    if (pn_slice_find(url_template, '\0') < url_template.len)
        return refuse(err, "a NUL");
    parsed->leaf = calloc(1, sizeof(*parsed->leaf));
    if (!parsed->leaf)
        return out_of_memory(err);
    parsed->leaf->operation = operation;
    parsed->leaf->method = pn_slice_dup(method);
    rc = parsed->leaf->method ? PN_OK : out_of_memory(err);
    for (char *c = parsed->leaf->method; c && *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    if (rc == PN_OK)
        rc = parse_path(parsed, pn_slice_sub(url_template, 0, question), err);
    while (rc == PN_OK && pn_slice_cut(&query, '&', &rule))
        rc = parse_query_rule(parsed->leaf, rule, err);
    if (rc != PN_OK)
        pn_route_template_fini(parsed);
    return rc;
}

static size_t literal_bytes(const struct pattern *pattern)
{
    size_t len = 0;

    for (size_t i = 0; i <= pattern->parameters; i++)
        len += strlen(pattern->literals[i]);
    return len;
}

static int compare_text(const char *a, const char *b)
{
    return strcasecmp(a, b);
}

int pn_route_pattern_compare(const struct pattern *a, const struct pattern *b)
{
    bool a_literal = a->parameters == 0;
    bool b_literal = b->parameters == 0;
    size_t a_len, b_len;

    if (a_literal != b_literal)
        return a_literal ? -1 : 1;
    if (a_literal)
        return compare_text(a->literals[0], b->literals[0]);
    a_len = literal_bytes(a);
    b_len = literal_bytes(b);
    if (a_len != b_len)
        return a_len > b_len ? -1 : 1;
    if (a->parameters != b->parameters)
        return a->parameters < b->parameters ? -1 : 1;
    for (size_t i = 0; i <= a->parameters; i++) {
        int order = compare_text(a->literals[i], b->literals[i]);

        if (order != 0)
            return order;
    }
    return 0;
}

/** Where `needle` begins in `text`, without case, at `from` or later; text.len if nowhere. */
static size_t find_nocase(struct pn_slice text, size_t from, struct pn_slice needle)
{
    for (size_t at = from; at + needle.len <= text.len; at++) {
        if (pn_slice_case_eq(pn_slice_sub(text, at, needle.len), needle))
            return at;
    }
    return text.len;
}

bool pn_route_pattern_matches(const struct pattern *pattern, struct pn_slice segment,
                              struct pn_slice captured[PN_ROUTE_PARAMETERS_MAX], size_t *count)
{
    struct pn_slice literal = pn_slice_str(pattern->literals[0]);
    size_t at = literal.len;

    if (pattern->parameters == 0)
        return pn_slice_case_eq(segment, literal);
    if (!pn_slice_case_starts_with(segment, literal))
        return false;
    for (size_t i = 1; i <= pattern->parameters; i++) {
        size_t end;

        literal = pn_slice_str(pattern->literals[i]);
        if (i == pattern->parameters) { /* the last literal ends the segment */
            end = segment.len >= literal.len ? segment.len - literal.len : 0;
            if (!pn_slice_case_eq(pn_slice_sub(segment, end, segment.len - end), literal))
                return false;
        } else {
            end = find_nocase(segment, at + 1, literal);
        }
        if (end <= at || *count == PN_ROUTE_PARAMETERS_MAX) /* a parameter is never empty */
            return false;
        captured[(*count)++] = pn_slice_sub(segment, at, end - at);
        at = end + literal.len;
    }
    return true;
}

bool pn_route_query_matches(const struct leaf *leaf, struct pn_arena *arena, struct pn_slice query,
                            struct pn_route_match *match)
{
    match->query_name_count = 0;
    for (size_t i = 0; i < leaf->query_count; i++) {
        const struct query_rule *rule = &leaf->query[i];
        struct pn_slice value = {0};

        if (!pn_query_find(query, pn_slice_str(rule->name), true, &value) ||
            pn_uri_decode(value, true, arena, &value) != PN_OK)
            return false;
        if (rule->literal && !pn_slice_case_eq_str(value, rule->literal))
            return false;
        if (match->query_name_count < PN_ROUTE_PARAMETERS_MAX)
            match->query_names[match->query_name_count++] = pn_slice_str(rule->name);
        if (!rule->parameter)
            continue;
        if (match->parameter_count == PN_ROUTE_PARAMETERS_MAX)
            return false;
        match->parameters[match->parameter_count++] =
            (struct pn_header){.name = pn_slice_str(rule->parameter), .value = value};
    }
    return true;
}
