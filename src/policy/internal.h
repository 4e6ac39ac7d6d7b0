/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the tree of a document, its statements, a program.
 *
 * text --scan--> escaped text --tree (libxml2)--> nodes --check--> statements --compile--> program
 */
#pragma once

#include "policy/expr.h"
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

/* An attribute or a text that may be an expression. */
struct pn_policy_operand {
    struct pn_slice text;       /* as it is written; ptr NULL: it is not there */
    const struct pn_expr *expr; /* then text is its source; NULL: text is the value */
};

struct pn_policy_condition {
    const struct pn_expr *expr; /* or NULL: */
    bool holds;
};

struct pn_policy_node {
    enum pn_policy_node_type type;
    const char *name;     /* of an element */
    struct pn_slice text; /* of an element (all its text, joined) or of a comment */
    int line, column;     /* of the name; both from 1, columns count characters */
    struct pn_policy_attribute *attributes;
    size_t attribute_count;
    struct pn_policy_node *parent, *first_child, *last_child, *next;
    size_t offset;                         /* of the name in the user's text, for errors */
    struct pn_policy_statement *statement; /* set by the check */
    struct pn_policy_condition *branch;    /* of when and otherwise: set by the check */
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
    PN_STATEMENT_STATUS,
    PN_STATEMENT_METHOD,
    PN_STATEMENT_VARIABLE,
    PN_STATEMENT_CHOOSE, /* in documents only; programs have: */
    PN_STATEMENT_UNLESS, /* goes to the step's target unless its condition holds */
    PN_STATEMENT_GOTO,
};

enum pn_policy_action { PN_ACTION_OVERRIDE, PN_ACTION_SKIP, PN_ACTION_APPEND, PN_ACTION_DELETE };

/* set-header and set-query-parameter */
struct pn_policy_change {
    struct pn_policy_operand name;
    enum pn_policy_action action;
    bool is_header;
    struct pn_policy_operand *values;
    size_t value_count;
};

/* set-status */
struct pn_policy_status_line {
    struct pn_policy_operand code;
    int status; /* unless code is an expression */
    struct pn_policy_operand reason;
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
            const struct pn_expr *id_expr, *thumbprint_expr; /* or one of these */
        } certificate;
        struct {
            struct pn_slice authorization; /* the header's value, or, without: */
            struct pn_policy_operand username, password;
        } basic;
        struct {
            struct pn_slice resource, client_id; /* client_id: empty for the system-assigned one */
            struct pn_slice token;               /* pn_policy_token_name */
            struct pn_slice variable;            /* empty: the header is set */
            bool ignores_error;
        } identity;
        struct { /* exactly one is set */
            struct pn_slice base_url, backend_id;
            const struct pn_expr *url_expr, *id_expr; /* or one of these */
        } backend;
        struct {
            struct pn_policy_forward how;
            const struct pn_expr *timeout, *timeout_ms, *follows_redirects;
        } forward;
        struct pn_policy_change change;
        struct {
            struct pn_slice path, query; /* with {parameters} */
            const struct pn_expr *expr;  /* or this gives both */
            bool copy_unmatched;
        } rewrite;
        struct {
            struct pn_policy_status_line line;
            struct pn_policy_change *headers;
            size_t header_count;
            struct pn_policy_operand body;
        } response;
        struct pn_policy_status_line status;
        struct pn_policy_operand method;
        struct {
            struct pn_slice name;
            struct pn_policy_operand value;
        } variable;
        const struct pn_policy_node *choose;
    };
};

struct pn_policy_document {
    struct pn_expr_home home; /* of its expressions; in the arena */
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
    const struct pn_policy_condition *condition; /* PN_STATEMENT_UNLESS */
    size_t target; /* … and PN_STATEMENT_GOTO: of the section's steps */
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
    struct pn_expr_home *home;
    struct pn_slice text; /* the user's, for places */
    bool is_raw;
    enum pn_policy_section section;
    struct pn_error *err;
};
/** Sections, and every statement in them. `text`: the user's. PN_INVALID, PN_NOMEM. */
enum pn_rc pn_policy_check_document(struct pn_policy_document *document, struct pn_slice text,
                                    bool is_raw, struct pn_error *err) PN_MUST_USE;
/** The statements in a section, or in a branch of choose (then without <base/>). */
enum pn_rc pn_policy_check_statements(struct pn_policy_check *check, struct pn_policy_node *parent,
                                      bool allows_base) PN_MUST_USE;
/** Every attribute is in `known` ("id" too, when allows_id) and is a literal. */
enum pn_rc pn_policy_check_attributes(struct pn_policy_check *check,
                                      const struct pn_policy_node *node, const char *const *known,
                                      const char *const *unsupported, bool allows_id) PN_MUST_USE;
/** The same, but those in `mixed` may be expressions: the caller checks them. */
enum pn_rc pn_policy_check_mixed(struct pn_policy_check *check, const struct pn_policy_node *node,
                                 const char *const *known, const char *const *mixed,
                                 const char *const *unsupported, bool allows_id) PN_MUST_USE;
/** An attribute (NULL: the text) that may be an expression, which is compiled; else it is a literal
 *  as above. PN_INVALID with the place in the expression. */
enum pn_rc pn_policy_check_operand(struct pn_policy_check *check, const struct pn_policy_node *node,
                                   const char *name, enum pn_expr_want want,
                                   struct pn_policy_operand *operand) PN_MUST_USE;
/** The attribute "condition". */
enum pn_rc pn_policy_check_condition(struct pn_policy_check *check,
                                     const struct pn_policy_node *node,
                                     struct pn_policy_condition *condition) PN_MUST_USE;
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
enum pn_rc pn_policy_check_choose(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_variable(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_method(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement);
enum pn_rc pn_policy_check_status(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement);
/** A set-status element's content, also for the one inside return-response. */
enum pn_rc pn_policy_check_status_line(struct pn_policy_check *check,
                                       const struct pn_policy_node *node,
                                       struct pn_policy_status_line *line,
                                       bool allows_id) PN_MUST_USE;
/* What is wrong with a value, as the end of a sentence, or NULL: also of what an expression gave.
 */
const char *pn_policy_method_problem(struct pn_slice method);
const char *pn_policy_name_problem(struct pn_slice name, bool is_header);
const char *pn_policy_template_problem(struct pn_slice text);
const char *pn_policy_url_problem(struct pn_slice url);
const char *pn_policy_user_problem(struct pn_slice username);
const char *pn_policy_password_problem(struct pn_slice password);
bool pn_policy_is_resource_name(struct pn_slice name);
/** 40 hex digits in upper case, in the arena; ptr NULL: it is none. */
struct pn_slice pn_policy_thumbprint(struct pn_arena *arena, struct pn_slice text);
/** A set-header element's content, also for the one inside return-response. */
enum pn_rc pn_policy_check_change(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_change *change, bool is_header) PN_MUST_USE;

/* ---- run_values.c: what operands give */

struct pn_policy_fault {
    const char *reason, *message, *code; /* for LastError and the log */
};
/** The operand's value, and for a header or a name what is left of it without spaces around. PN_OK;
 *  PN_INVALID, PN_LIMIT, PN_NOMEM with *fault. */
enum pn_rc pn_policy_text(struct pn_policy_context *context, const struct pn_expr *expr,
                          struct pn_slice literal, struct pn_slice *text,
                          struct pn_policy_fault *fault) PN_MUST_USE;
enum pn_rc pn_policy_holds(struct pn_policy_context *context,
                           const struct pn_policy_condition *condition, bool *holds,
                           struct pn_policy_fault *fault) PN_MUST_USE;
enum pn_rc pn_policy_number(struct pn_policy_context *context, const struct pn_expr *expr,
                            int64_t min, int64_t max, const char *what, int64_t *number,
                            struct pn_policy_fault *fault) PN_MUST_USE;
/** A value that may not be what it is: PN_INVALID with *fault. `problem`: as pn_policy_*_problem.
 */
enum pn_rc pn_policy_value_fault(struct pn_policy_context *context, const char *what,
                                 const char *problem, struct pn_policy_fault *fault);
enum pn_rc pn_policy_set_variable(struct pn_policy_context *context, struct pn_slice name,
                                  const struct pn_policy_operand *value,
                                  struct pn_policy_fault *fault) PN_MUST_USE;
/** Name and values as they are for this request. */
struct pn_policy_values {
    struct pn_slice name;
    const struct pn_slice *items;
    size_t count;
};
enum pn_rc pn_policy_change_values(struct pn_policy_context *context,
                                   const struct pn_policy_change *change,
                                   struct pn_policy_values *values,
                                   struct pn_policy_fault *fault) PN_MUST_USE;

/* ---- run_credentials.c: the Authorization header, and the client certificate */

enum pn_rc pn_policy_apply_certificate(struct pn_policy_context *context,
                                       const struct pn_policy_step *step,
                                       struct pn_policy_fault *fault) PN_MUST_USE;
/** PN_NOMEM, and what pn_policy_text() returns. */
enum pn_rc pn_policy_apply_basic(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement,
                                 struct pn_policy_fault *fault) PN_MUST_USE;
/** PN_NOMEM; PN_DENIED: there is no token, and the policy does not ignore that; *why says why (a
 *  sentence in the context's arena, or static). */
enum pn_rc pn_policy_apply_identity(struct pn_policy_context *context,
                                    const struct pn_policy_statement *statement,
                                    const char **why) PN_MUST_USE;

/* ---- run_uri.c: what policies do to path and query, all in the context's arena */

/** PN_NOMEM. */
enum pn_rc pn_policy_apply_query(struct pn_policy_context *context, enum pn_policy_action action,
                                 const struct pn_policy_values *values) PN_MUST_USE;
/** `template`: "/path?query" with {parameters}. PN_NOMEM; PN_NOT_FOUND: *missing is the parameter
 * that the request does not have; PN_MALFORMED: a parameter's value makes a dot segment;
 * PN_INVALID: the path has a broken escape or %00. */
enum pn_rc pn_policy_apply_rewrite(struct pn_policy_context *context, struct pn_slice path_template,
                                   struct pn_slice query_template, bool copy_unmatched,
                                   struct pn_slice *missing) PN_MUST_USE;

/* ---- document.c */

/** The statements of a document, choose and those in it too, in their order. NULL: the first one,
 *  or that there is no more. */
struct pn_policy_node *pn_policy_next_statement(const struct pn_policy_document *document,
                                                struct pn_policy_node *node);
