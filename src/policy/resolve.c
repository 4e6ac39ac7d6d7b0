/* SPDX-License-Identifier: Apache-2.0
 *
 * What a document only names is put in: {{named values}} in attributes and texts, and the
 * statements of fragments in the place of <include-fragment />. It is done in the tree, so that a
 * value cannot break out of its attribute or element, whatever characters it has; a value is not
 * looked through for further names. In an expression it becomes part of the expression's text.
 *
 * The written tree stays as it is, for printing; its copy is what is checked and compiled.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "policy/internal.h"

#define NAME_LENGTH_MAX 256
#define FRAGMENT_DEPTHS 16 /* the limit's own maximum */
#define SECRET_PIECE    4  /* so many bytes of a secret in an error text are told, not shown */
#define GENERIC_REASON  "it is not valid with the values of its secret named values"

struct resolver {
    struct pn_policy_document *document;
    const struct pn_policy_sources *sources;
    struct pn_policy_put_in **end; /* of the list */
    const char *stack[FRAGMENT_DEPTHS];
    size_t depth;
    size_t added; /* bytes */
    struct pn_error *err;
};

/* ---- names ---- */

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

bool pn_policy_find_named_value(struct pn_slice text, size_t from, size_t *start, size_t *end,
                                struct pn_slice *name)
{
    while (from + 4 < text.len) {
        size_t open = from + pn_slice_find_slice(pn_slice_sub(text, from, text.len), PN_LIT("{{"));
        size_t at = open + 2;

        if (open >= text.len)
            return false;
        while (at < text.len && is_name_character(text.ptr[at]))
            at++;
        if (at > open + 2 && at - open - 2 <= NAME_LENGTH_MAX && at + 1 < text.len &&
            text.ptr[at] == '}' && text.ptr[at + 1] == '}') {
            *start = open;
            *end = at + 2;
            *name = pn_slice_sub(text, open + 2, at - open - 2);
            return true;
        }
        from = open + 1;
    }
    return false;
}

static bool names_something(const struct pn_policy_node *node)
{
    struct pn_slice name;
    size_t start, end;

    if (node->type != PN_POLICY_ELEMENT)
        return false;
    if (strcmp(node->name, "include-fragment") == 0 ||
        pn_slice_find_slice(node->text, PN_LIT("{{")) < node->text.len)
        return true;
    for (size_t i = 0; i < node->attribute_count; i++)
        if (pn_policy_find_named_value(node->attributes[i].value, 0, &start, &end, &name) ||
            pn_slice_find_slice(node->attributes[i].value, PN_LIT("{{")) <
                node->attributes[i].value.len)
            return true;
    for (const struct pn_policy_node *child = node->first_child; child; child = child->next)
        if (names_something(child))
            return true;
    return false;
}

/* ---- errors ---- */

static enum pn_rc no_memory(struct resolver *r)
{
    return pn_error_set(r->err, PN_NOMEM, "out_of_memory", "out of memory");
}

static enum pn_rc limit_error(struct resolver *r, const struct pn_policy_node *node,
                              enum pn_limit limit, const char *what)
{
    pn_limit_hit(limit);
    (void)pn_policy_node_error(r->err, node, "%s; the limit %s is %llu", what,
                               pn_limit_rows[limit].name,
                               (unsigned long long)pn_limit_value(limit));
    r->err->rc = PN_LIMIT;
    return PN_LIMIT;
}

static enum pn_rc add_bytes(struct resolver *r, const struct pn_policy_node *node, size_t bytes)
{
    r->added += bytes;
    if (r->added <= pn_limit_value(PN_LIMIT_POLICY_EXPANDED))
        return PN_OK;
    return limit_error(r, node, PN_LIMIT_POLICY_EXPANDED,
                       "with its named values and fragments the document is too long");
}

/* ---- named values ---- */

static struct pn_policy_put_in *find(const struct pn_policy_document *document,
                                     struct pn_slice name, bool is_fragment, bool is_own)
{
    for (struct pn_policy_put_in *it = document->put_in; it; it = it->next)
        if (it->is_fragment == is_fragment && pn_slice_case_eq(it->name, name) &&
            (!is_own || !it->node->fragment))
            return it;
    return NULL;
}

static struct pn_policy_put_in *add(struct resolver *r, const struct pn_policy_node *node,
                                    struct pn_slice name, bool is_fragment)
{
    struct pn_policy_put_in *it = pn_arena_zalloc(r->document->arena, sizeof *it);

    if (!it)
        return NULL;
    *it = (struct pn_policy_put_in){
        .name = pn_arena_dup(r->document->arena, name), .is_fragment = is_fragment, .node = node};
    if (!it->name.ptr)
        return NULL;
    *r->end = it;
    r->end = &it->next;
    return it;
}

/** What the name stands for; each is asked for once, and listed once more when it is the document
 *  itself that names it and not only a fragment. */
static enum pn_rc value_of(struct resolver *r, const struct pn_policy_node *node,
                           struct pn_slice name, struct pn_slice *text)
{
    struct pn_policy_put_in *known = find(r->document, name, false, false);
    struct pn_policy_put_in *it = known;
    struct pn_policy_value value = {0};
    enum pn_rc rc = PN_OK;

    if (known)
        value = known->value;
    else
        rc = r->sources->named_value(r->sources->ctx, name, &value, r->err);
    if (rc == PN_NOT_FOUND)
        return pn_policy_node_error(r->err, node,
                                    "Cannot find a property '%.*s': there is no named value with "
                                    "this display name",
                                    PN_FMT(name));
    if (rc != PN_OK)
        return rc;
    if (!known ||
        (known->node->fragment && !node->fragment && !find(r->document, name, false, true))) {
        it = add(r, node, name, false);
        if (!it)
            return no_memory(r);
        it->value = value;
        if (!known) {
            it->value.text = pn_arena_dup(r->document->arena, value.text);
            if (!it->value.text.ptr)
                return no_memory(r);
        }
    }
    *text = it->value.text;
    return PN_OK;
}

/** "{{n v}}" outside of an expression is a slip of the pen, not a text. */
static enum pn_rc check_braces(struct resolver *r, const struct pn_policy_node *node,
                               struct pn_slice text)
{
    size_t open = pn_slice_find_slice(text, PN_LIT("{{"));
    struct pn_slice inside;
    size_t close;

    if (open >= text.len || pn_policy_is_expression(pn_slice_trim(text)))
        return PN_OK;
    inside = pn_slice_sub(text, open + 2, text.len);
    close = pn_slice_find_slice(inside, PN_LIT("}}"));
    if (close >= inside.len)
        return PN_OK;
    inside = pn_slice_sub(inside, 0, close);
    for (size_t i = 0; i < inside.len; i++)
        if (memchr("{}\"'\n<>:", inside.ptr[i], 8))
            return PN_OK; /* some other text */
    return pn_policy_node_error(r->err, node,
                                "'{{%.*s}}' names no named value: a display name has 1 to %d "
                                "letters, digits, '.', '-' and '_'",
                                (int)(inside.len > NAME_LENGTH_MAX ? NAME_LENGTH_MAX : inside.len),
                                inside.ptr, NAME_LENGTH_MAX);
}

static enum pn_rc put_values(struct resolver *r, const struct pn_policy_node *node,
                             struct pn_slice *text)
{
    struct pn_slice written = *text;
    struct pn_slice name = {0};
    struct pn_buf out;
    size_t at = 0, start = 0, end = 0;
    enum pn_rc rc = PN_OK;

    if (!pn_policy_find_named_value(written, 0, &start, &end, &name))
        return check_braces(r, node, written);
    pn_buf_init_secret(&out, PN_POLICY_RESOLVED_BYTES_MAX);
    while (rc == PN_OK && pn_policy_find_named_value(written, at, &start, &end, &name)) {
        struct pn_slice value = {0};

        rc = check_braces(r, node, pn_slice_sub(written, at, start - at));
        if (rc == PN_OK)
            rc = value_of(r, node, name, &value);
        if (rc == PN_OK)
            rc = add_bytes(r, node, value.len);
        if (rc == PN_OK &&
            (pn_buf_append_slice(&out, pn_slice_sub(written, at, start - at)) != PN_OK ||
             pn_buf_append_slice(&out, value) != PN_OK))
            rc = no_memory(r);
        at = end;
    }
    if (rc == PN_OK && pn_buf_append_slice(&out, pn_slice_sub(written, at, written.len)) != PN_OK)
        rc = no_memory(r);
    if (rc == PN_OK) {
        *text = pn_arena_dup(r->document->arena, pn_buf_slice(&out));
        if (!text->ptr)
            rc = no_memory(r);
    }
    pn_buf_fini(&out);
    return rc;
}

/** Liquid has braces of its own. */
static bool is_template(const struct pn_policy_node *node)
{
    return strcmp(node->name, "set-body") == 0 &&
           pn_slice_case_eq_str(pn_policy_attribute(node, "template"), "liquid");
}

/* ---- fragments ---- */

static enum pn_rc check_include(struct resolver *r, const struct pn_policy_node *node,
                                struct pn_slice *id)
{
    static const char *const known[] = {"fragment-id", NULL};
    struct pn_policy_check check = {.arena = r->document->arena, .err = r->err};
    enum pn_rc rc = pn_policy_check_attributes(&check, node, known, NULL, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(&check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(&check, node);
    if (rc != PN_OK)
        return rc;
    *id = pn_policy_attribute(node, "fragment-id");
    if (!id->ptr || id->len == 0)
        return pn_policy_node_error(r->err, node, "the attribute 'fragment-id' is required");
    if (pn_policy_is_expression(pn_slice_trim(*id)) ||
        pn_slice_find_slice(*id, PN_LIT("{{")) < id->len)
        return pn_policy_node_error(r->err, node,
                                    "'fragment-id' takes neither an expression nor a named value");
    for (size_t i = 0; i < r->depth; i++)
        if (pn_slice_case_eq_str(*id, r->stack[i]))
            return pn_policy_node_error(
                r->err, node, "the policy fragment '%.*s' would include itself", PN_FMT(*id));
    if (r->depth >= pn_limit_value(PN_LIMIT_FRAGMENT_DEPTH) || r->depth == FRAGMENT_DEPTHS)
        return limit_error(r, node, PN_LIMIT_FRAGMENT_DEPTH,
                           "policy fragments include one another too deep");
    return PN_OK;
}

/** Reads it into the document's arena. */
static enum pn_rc read_fragment(struct resolver *r, const struct pn_policy_node *node,
                                struct pn_slice id, struct pn_policy_node **root)
{
    struct pn_policy_document *part = pn_arena_zalloc(r->document->arena, sizeof *part);
    struct pn_policy_scan scan = {0};
    struct pn_slice text = {0};
    enum pn_rc rc;

    if (!part)
        return no_memory(r);
    rc = r->sources->fragment(r->sources->ctx, id, &text, r->err);
    if (rc == PN_NOT_FOUND)
        return pn_policy_node_error(
            r->err, node, "Policy fragment with id '%.*s' could not be found.", PN_FMT(id));
    if (rc == PN_OK)
        rc = add_bytes(r, node, text.len);
    if (rc != PN_OK)
        return rc;
    part->arena = r->document->arena;
    rc = pn_policy_scan(text, true, &scan, r->err);
    if (rc == PN_OK)
        rc = pn_policy_tree_read(part, &scan, r->err);
    pn_policy_scan_fini(&scan);
    *root = part->root;
    return rc;
}

static enum pn_rc resolve(struct resolver *r, struct pn_policy_node *node, bool is_top);

/** The fragment's children in the place of `include`, which is behind `before` (NULL: it is the
 *  first). *last: the last of them, or `before`. */
static enum pn_rc include(struct resolver *r, struct pn_policy_node *parent,
                          struct pn_policy_node *before, struct pn_policy_node *node,
                          struct pn_policy_node **last)
{
    struct pn_policy_node *root = NULL;
    struct pn_policy_node *first;
    struct pn_slice id = {0};
    const char *name = NULL;
    enum pn_rc rc = check_include(r, node, &id);

    if (rc == PN_OK)
        rc = read_fragment(r, node, id, &root);
    if (rc != PN_OK || !root)
        return rc;
    name = pn_arena_strdup(r->document->arena, id);
    if (!name || (!(find(r->document, id, true, true)) && !add(r, node, id, true)))
        return no_memory(r);
    /* What is in it names itself as being there, also for what it includes. */
    r->stack[r->depth++] = name;
    root->fragment = name;
    rc = resolve(r, root, true);
    r->depth--;
    if (rc != PN_OK)
        return rc;
    for (struct pn_policy_node *child = root->first_child; child; child = child->next)
        child->parent = parent;
    first = root->first_child ? root->first_child : node->next;
    if (root->last_child)
        root->last_child->next = node->next;
    *last = root->last_child ? root->last_child : before;
    if (before)
        before->next = first;
    else
        parent->first_child = first;
    if (parent->last_child == node)
        parent->last_child = *last;
    return PN_OK;
}

static enum pn_rc resolve_children(struct resolver *r, struct pn_policy_node *node, bool is_top)
{
    struct pn_policy_node *before = NULL;
    struct pn_policy_node *child = node->first_child;
    bool may_include = !is_top || node->fragment || r->document->is_fragment;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && child) {
        struct pn_policy_node *next = child->next;
        struct pn_policy_node *last = child;

        if (node->fragment)
            child->fragment = node->fragment;
        if (child->type == PN_POLICY_ELEMENT && may_include &&
            strcmp(child->name, "include-fragment") == 0)
            rc = include(r, node, before, child, &last);
        else if (child->type == PN_POLICY_ELEMENT)
            rc = resolve(r, child, false);
        before = last;
        child = next;
    }
    return rc;
}

/** Recursion: PN_POLICY_DEPTH_MAX for each of at most FRAGMENT_DEPTHS documents. */
static enum pn_rc resolve(struct resolver *r, struct pn_policy_node *node, bool is_top)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < node->attribute_count; i++) {
        /* A key file that changes by itself would have to be imported each time. */
        if (strcmp(node->name, "authentication-certificate") == 0 &&
            strcmp(node->attributes[i].name, "body") == 0) {
            size_t start, end;
            struct pn_slice name;

            if (pn_policy_find_named_value(node->attributes[i].value, 0, &start, &end, &name))
                rc = pn_policy_node_error(r->err, node,
                                          "'body' cannot be a named value: make it a certificate "
                                          "(certificates/{id}) and name that in 'certificate-id'");
        }
        if (rc == PN_OK)
            rc = put_values(r, node, &node->attributes[i].value);
    }
    if (rc == PN_OK && node->text.len > 0 && !is_template(node))
        rc = put_values(r, node, &node->text);
    return rc == PN_OK ? resolve_children(r, node, is_top) : rc;
}

/* ---- the document ---- */

static struct pn_policy_node *copy(struct resolver *r, struct pn_policy_node *node,
                                   struct pn_policy_node *parent)
{
    struct pn_arena *arena = r->document->arena;
    struct pn_policy_node *result = pn_arena_zalloc(arena, sizeof *result);

    if (!result)
        return NULL;
    *result = *node;
    result->parent = parent;
    result->first_child = result->last_child = result->next = NULL;
    result->origin = node;
    if (node->attribute_count > 0) {
        size_t bytes = node->attribute_count * sizeof *node->attributes;

        result->attributes = pn_arena_alloc(arena, bytes);
        if (!result->attributes)
            return NULL;
        memcpy(result->attributes, node->attributes, bytes);
    }
    for (struct pn_policy_node *child = node->first_child; child; child = child->next) {
        struct pn_policy_node *made = copy(r, child, result);

        if (!made)
            return NULL;
        if (result->last_child)
            result->last_child->next = made;
        else
            result->first_child = made;
        result->last_child = made;
    }
    return result;
}

enum pn_rc pn_policy_resolve(struct pn_policy_document *document,
                             const struct pn_policy_sources *sources, struct pn_error *err)
{
    struct resolver r = {
        .document = document, .sources = sources, .end = &document->put_in, .err = err};

    if (!names_something(document->root))
        return PN_OK;
    document->root = copy(&r, document->root, &document->top);
    return document->root ? resolve(&r, document->root, true) : no_memory(&r);
}

bool pn_policy_is_resolved(const struct pn_policy_document *document)
{
    return document->put_in != NULL;
}

/* ---- secrets ---- */

/** Whether a piece of the secret is in the text. */
static bool shows(struct pn_slice text, struct pn_slice secret)
{
    size_t piece = secret.len < SECRET_PIECE ? secret.len : SECRET_PIECE;

    for (size_t i = 0; piece > 0 && i + piece <= secret.len; i++)
        if (pn_slice_find_slice(text, pn_slice_sub(secret, i, piece)) < text.len)
            return true;
    return false;
}

void pn_policy_hide_secrets(const struct pn_policy_document *document, struct pn_error *err)
{
    struct pn_slice message = pn_slice_str(err->message);
    size_t place = pn_slice_find_slice(message, PN_LIT(": "));
    struct pn_slice reason = pn_slice_sub(message, place, message.len);

    for (const struct pn_policy_put_in *it = document->put_in; it; it = it->next) {
        if (it->is_fragment || !it->value.is_secret || !shows(reason, it->value.text))
            continue;
        (void)snprintf(err->message + place, sizeof err->message - place, "%s",
                       ": " GENERIC_REASON);
        return;
    }
}

struct pn_slice pn_policy_reference_value(const struct pn_policy_document *document,
                                          const struct pn_policy_reference *reference)
{
    static const char *const attributes[] = {"certificate-id", "certificate-ids", "thumbprint",
                                             NULL};
    const struct pn_policy_node *node = reference->node;
    const struct pn_policy_node *written = node ? node->origin : NULL;

    for (size_t i = 0; written && attributes[i]; i++) {
        struct pn_slice rest = pn_policy_attribute(written, attributes[i]);
        struct pn_slice part;

        while (pn_slice_cut(&rest, ',', &part)) {
            const struct pn_policy_put_in *it;
            size_t start, end;
            struct pn_slice name;

            part = pn_slice_trim(part);
            if (!pn_policy_find_named_value(part, 0, &start, &end, &name) || start != 0 ||
                end != part.len)
                continue;
            it = find(document, name, false, false);
            if (it && pn_slice_case_eq(pn_slice_trim(it->value.text), reference->name))
                return it->name;
        }
    }
    return (struct pn_slice){0};
}
