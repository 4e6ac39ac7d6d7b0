/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the tree of a document, its statements, a program.
 *
 * text --scan--> escaped text --tree (libxml2)--> nodes --check--> statements --compile--> program
 */
#pragma once

#include "policy/policy.h"

#define PN_POLICY_ARENA_BLOCK     1024u /* most documents have a handful of elements */
#define PN_POLICY_ARENA_MAX       (64u * 1024 * 1024) /* of one document's tree */
#define PN_POLICY_CONDITIONS_MAX  64                  /* nesting of brackets in an expression */
#define PN_POLICY_TIMEOUT_S_MAX   86400u
#define PN_POLICY_SECTIONS        4
#define PN_POLICY_EMBEDDED_PREFIX "postern:embedded:"

struct pn_policy_attribute {
    const char *name;
    struct pn_slice value; /* NUL-terminated in the arena */
};

enum pn_policy_node_type { PN_POLICY_ELEMENT, PN_POLICY_COMMENT };

struct pn_policy_node {
    enum pn_policy_node_type type;
    const char *name;     /* of an element */
    struct pn_slice text; /* of an element (all its text, joined) or of a comment */
    int line, column;     /* of the name; both from 1, columns count characters */
    struct pn_policy_attribute *attributes;
    size_t attribute_count;
    struct pn_policy_node *parent, *first_child, *last_child, *next;
    struct pn_policy_statement *statement; /* set by the check */
    struct pn_policy_node *origin;         /* as it was written; NULL: it is that itself */
    const char *fragment;                  /* the included fragment that it is from, or NULL */
};

/* A named value or a fragment that was put in, where it was first. */
struct pn_policy_put_in {
    struct pn_slice name; /* as written */
    bool is_fragment;
    struct pn_policy_value value; /* of a named value; the text is in the arena */
    const struct pn_policy_node *node;
    struct pn_policy_put_in *next;
};

enum pn_policy_kind {
    PN_STATEMENT_BASE,
    PN_STATEMENT_CERTIFICATE,
    PN_STATEMENT_BASIC,
    PN_STATEMENT_IDENTITY,
    PN_STATEMENT_BACKEND,
    PN_STATEMENT_FORWARD,
    PN_STATEMENT_HEADER,
    PN_STATEMENT_QUERY,
    PN_STATEMENT_REWRITE,
    PN_STATEMENT_RESPONSE,
};

enum pn_policy_action { PN_ACTION_OVERRIDE, PN_ACTION_SKIP, PN_ACTION_APPEND, PN_ACTION_DELETE };

/* set-header and set-query-parameter */
struct pn_policy_change {
    struct pn_slice name;
    enum pn_policy_action action;
    struct pn_slice *values;
    size_t value_count;
};

struct pn_policy_statement {
    enum pn_policy_kind kind;
    const char *element;
    struct pn_slice id;
    union {
        struct { /* exactly one is set; body with password, which may be empty */
            struct pn_slice certificate_id, thumbprint, embedded, body, password;
            struct pn_slice *certificate_ids; /* of certificate-ids */
            size_t certificate_id_count;
        } certificate;
        struct pn_slice authorization; /* authentication-basic: the header's value */
        struct {
            struct pn_slice resource, client_id; /* client_id: empty for the system-assigned one */
            struct pn_slice token;               /* pn_policy_token_name */
            struct pn_slice variable;            /* empty: the header is set */
            bool ignores_error;
        } identity;
        struct { /* exactly one is set */
            struct pn_slice base_url, backend_id;
        } backend;
        struct pn_policy_forward forward;
        struct pn_policy_change change;
        struct {
            struct pn_slice path, query; /* with {parameters} */
            bool copy_unmatched;
        } rewrite;
        struct {
            int status;
            struct pn_slice reason;
            struct pn_policy_change *headers;
            size_t header_count;
            struct pn_slice body;
        } response;
    };
};

struct pn_policy_document {
    struct pn_arena
        *arena; /* everything here; wiped at the end, as bodies and passwords are in it */
    enum pn_policy_scope scope;
    struct pn_policy_node top;   /* its children: comments around the root, and the root */
    struct pn_policy_node *root; /* what is checked and compiled; of `top`, or made from it */
    struct pn_policy_put_in *put_in;
    bool is_fragment;
    struct pn_policy_node *sections[PN_POLICY_SECTIONS]; /* NULL: absent */
};

struct pn_policy_step {
    const struct pn_policy_statement *statement;
    enum pn_policy_scope scope;
};
struct pn_policy_program {
    struct {
        struct pn_policy_step *steps;
        size_t count, capacity;
    } sections[PN_POLICY_SECTIONS];
};

/* ---- scan.c */

struct pn_policy_stretch { /* an escaped expression: where it was and where it is now */
    size_t original, original_len;
    size_t escaped, escaped_len;
};
struct pn_policy_scan {
    struct pn_slice text;  /* the user's */
    struct pn_buf escaped; /* plain XML; secret */
    size_t *tags;          /* offsets in text of each start tag's name, in order */
    size_t tag_count, tag_capacity;
    struct pn_policy_stretch *stretches;
    size_t stretch_count, stretch_capacity;
};
/** Finds start tags and escapes expressions (rawxml). Refuses DOCTYPE, processing instructions, NUL
 *  bytes, expressions without end. PN_MALFORMED, PN_NOMEM; fini in every case. */
enum pn_rc pn_policy_scan(struct pn_slice text, bool is_raw, struct pn_policy_scan *scan,
                          struct pn_error *err) PN_MUST_USE;
void pn_policy_scan_fini(struct pn_policy_scan *scan);
/** Offset in the user's text of an offset in the escaped one. */
size_t pn_policy_scan_original(const struct pn_policy_scan *scan, size_t escaped);
void pn_policy_position(struct pn_slice text, size_t offset, int *line, int *column);
/** Whether an expression starts at the beginning of `text` ("@(" or "@{"). */
bool pn_policy_is_expression(struct pn_slice text);
/** Length of the expression at the beginning of `text`, brackets, strings and comments balanced;
 *  0: it never ends. */
size_t pn_policy_expression_len(struct pn_slice text);

/* ---- tree.c */

/** Fills document->root. PN_MALFORMED, PN_LIMIT (depth), PN_NOMEM. */
enum pn_rc pn_policy_tree_read(struct pn_policy_document *document,
                               const struct pn_policy_scan *scan, struct pn_error *err) PN_MUST_USE;
/** "Error in element '<element>' on line L, column C: …"; returns rc. */
enum pn_rc pn_policy_error(struct pn_error *err, enum pn_rc rc, const char *element, int line,
                           int column, const char *format, ...) PN_PRINTF(6, 7);
enum pn_rc pn_policy_node_error(struct pn_error *err, const struct pn_policy_node *node,
                                const char *format, ...) PN_PRINTF(3, 4);
/** The attribute's value; ptr NULL when it is absent. */
struct pn_slice pn_policy_attribute(const struct pn_policy_node *node, const char *name);
/** Next element at or behind `node` among its siblings, or NULL. */
struct pn_policy_node *pn_policy_element(struct pn_policy_node *node);
const char *pn_policy_section_name(enum pn_policy_section section);
const char *pn_policy_scope_name(enum pn_policy_scope scope);

/* ---- resolve.c */

/** Puts named values and fragments into a copy of the tree, which then is document->root; leaves it
 *  as it is when nothing is named. */
enum pn_rc pn_policy_resolve(struct pn_policy_document *document,
                             const struct pn_policy_sources *sources,
                             struct pn_error *err) PN_MUST_USE;

/* ---- check*.c */

struct pn_policy_check {
    struct pn_arena *arena;
    bool in_fragment; /* the section is the first in which the statement may stand */
    enum pn_policy_section section;
    struct pn_error *err;
};
/** Sections, and every statement in them. PN_INVALID, PN_NOMEM. */
enum pn_rc pn_policy_check_document(struct pn_policy_document *document,
                                    struct pn_error *err) PN_MUST_USE;
/** Every attribute is in `known` ("id" too, when allows_id) and is a literal. */
enum pn_rc pn_policy_check_attributes(struct pn_policy_check *check,
                                      const struct pn_policy_node *node, const char *const *known,
                                      const char *const *unsupported, bool allows_id) PN_MUST_USE;
/** No text but white space. */
enum pn_rc pn_policy_check_no_text(struct pn_policy_check *check,
                                   const struct pn_policy_node *node) PN_MUST_USE;
enum pn_rc pn_policy_check_no_children(struct pn_policy_check *check,
                                       const struct pn_policy_node *node) PN_MUST_USE;
/** No expression. `where`: "attribute 'x'" or "text". */
enum pn_rc pn_policy_check_literal(struct pn_policy_check *check, const struct pn_policy_node *node,
                                   const char *where, struct pn_slice value) PN_MUST_USE;
/** "true" or "false" in any case; `value` keeps its content when the attribute is absent. */
enum pn_rc pn_policy_check_bool(struct pn_policy_check *check, const struct pn_policy_node *node,
                                const char *name, bool *value) PN_MUST_USE;

typedef enum pn_rc (*pn_policy_check_fn)(struct pn_policy_check *check, struct pn_policy_node *node,
                                         struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_base(struct pn_policy_check *check, struct pn_policy_node *node,
                                struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_certificate(struct pn_policy_check *check, struct pn_policy_node *node,
                                       struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_basic(struct pn_policy_check *check, struct pn_policy_node *node,
                                 struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_identity(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_backend(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_forward(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_header(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_query(struct pn_policy_check *check, struct pn_policy_node *node,
                                 struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_rewrite(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_response(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement);
/** A set-header element's content, also for the one inside return-response. */
enum pn_rc pn_policy_check_change(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_change *change, bool is_header) PN_MUST_USE;

/* ---- run_credentials.c: the Authorization header */

/** PN_NOMEM. */
enum pn_rc pn_policy_apply_basic(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement) PN_MUST_USE;
/** PN_NOMEM; PN_DENIED: there is no token, and the policy does not ignore that; *why says why (a
 *  sentence in the context's arena, or static). */
enum pn_rc pn_policy_apply_identity(struct pn_policy_context *context,
                                    const struct pn_policy_statement *statement,
                                    const char **why) PN_MUST_USE;

/* ---- run_uri.c: what policies do to path and query, all in the context's arena */

/** PN_NOMEM. */
enum pn_rc pn_policy_apply_query(struct pn_policy_context *context,
                                 const struct pn_policy_change *change) PN_MUST_USE;
/** PN_NOMEM; PN_NOT_FOUND: *missing is the parameter that the request does not have; PN_MALFORMED:
 * a parameter's value makes a dot segment. */
enum pn_rc pn_policy_apply_rewrite(struct pn_policy_context *context,
                                   const struct pn_policy_statement *statement,
                                   struct pn_slice *missing) PN_MUST_USE;
