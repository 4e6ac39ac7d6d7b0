/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the expressions share.
 *
 * text --lex--> tokens --parse (typed as it goes)--> nodes --run--> value
 *
 * Members and methods are rows of tables (struct expr_member); the parser picks a row, the run
 * calls its function.
 */
#pragma once

#include "policy/expr.h"
#include "policy/policy.h"

#define EXPR_DEPTH_MAX   100 /* nodes on the way from the root to a leaf */
#define EXPR_NESTING_MAX 64  /* brackets, conditions and statements in each other */
#define EXPR_LOCALS_MAX  32  /* variables of one expression that are in scope at once */
#define EXPR_ARGS_MAX    32  /* of one call */
#define EXPR_NAME_MAX    100

/* ---- expr_lex.c */

enum expr_token_kind {
    EXPR_END,
    EXPR_IDENTIFIER, /* keywords, too */
    EXPR_NUMBER,
    EXPR_TEXT,         /* a string literal */
    EXPR_CHARACTER,    /* a char literal */
    EXPR_INTERPOLATED, /* the lexer is behind its opening quote */
    EXPR_PUNCTUATION,
    EXPR_BROKEN, /* fault is set */
};

struct expr_token {
    enum expr_token_kind kind;
    size_t start, end;   /* in the text */
    struct pn_slice raw; /* as it is written */
    struct pn_expr_value value;
    bool is_verbatim; /* EXPR_INTERPOLATED */
};

struct expr_lexer {
    struct pn_slice text;
    size_t at;
    struct pn_arena *arena;
    char *scratch;
    struct pn_expr_fault *fault;
    bool has_failed; /* fault is set; the first one stays */
    bool is_out_of_memory;
};

void expr_lex(struct expr_lexer *lexer, struct expr_token *token);
/** The text of an interpolated string up to a hole, the end or a fault. True: lexer->at is behind a
 *  '{'; false: behind the closing quote (or it has failed). */
bool expr_lex_piece(struct expr_lexer *lexer, bool is_verbatim, struct pn_slice *piece);
/** A fault at that offset, unless there is one already. */
void expr_fail(struct expr_lexer *lexer, size_t offset, const char *format, ...) PN_PRINTF(3, 4);
void expr_no_memory(struct expr_lexer *lexer);

/* ---- nodes */

enum expr_kind {
    EXPR_VALUE,
    EXPR_LOCAL,
    EXPR_CLASS, /* type: which one; cannot be run */
    EXPR_HOLE,  /* what stands before the "?." */
    EXPR_CALL,
    EXPR_NOT,
    EXPR_NEGATE,
    EXPR_ARITHMETIC,
    EXPR_COMPARE,
    EXPR_EQUAL,
    EXPR_UNEQUAL,
    EXPR_AND,
    EXPR_OR,
    EXPR_TERNARY,
    EXPR_COALESCE,
    EXPR_IF_NOT_NULL, /* a?.b: `b` holds EXPR_HOLE */
    EXPR_CONVERT,     /* to `type`; what may fail fails */
    EXPR_AS,          /* or null */
    EXPR_IS,
    EXPR_CONCAT,
    EXPR_FORMAT, /* {a,align:format} */
    EXPR_ARRAY,
};

struct expr_member;

struct expr_node {
    enum expr_kind kind;
    enum pn_expr_type type;
    bool is_nullable; /* of a type that has no null by itself */
    uint16_t depth;
    uint32_t offset;
    struct expr_node *a, *b, *c;
    struct expr_node **list; /* arguments, parts */
    size_t count;
    union {
        struct pn_expr_value value;
        unsigned slot;
        char op; /* + - * / %; < > and l g for <= >= */
        struct {
            const struct expr_member *member;
            enum pn_expr_type generic;
            struct pn_expr_regex *regex;
        } call;
        struct {
            struct pn_slice text;
            int align;
        } format;
    };
};

enum expr_statement_kind {
    EXPR_ASSIGN, /* a declaration, too */
    EXPR_WHEN,   /* if */
    EXPR_RETURN,
    EXPR_FOREACH,
    EXPR_BREAK,
    EXPR_CONTINUE,
    EXPR_BLOCK,
};

struct expr_statement {
    enum expr_statement_kind kind;
    unsigned slot;
    struct expr_node *node;
    struct expr_statement *body, *otherwise; /* the first of a list */
    struct expr_statement *next;
};

struct expr_literal {
    struct pn_slice text;
    struct expr_literal *next;
};

struct pn_expr {
    struct expr_node *node;      /* of "@(…)", */
    struct expr_statement *body; /* or of "@{…}" */
    enum pn_expr_want want;
    struct expr_literal *literals; /* all of them, the last one first */
};

/* ---- compiling */

struct expr_local {
    struct pn_slice name;
    enum pn_expr_type type;
    bool is_nullable;
};

struct expr_compiler {
    struct expr_lexer lexer;
    struct expr_token token; /* the next one */
    struct pn_expr_home *home;
    struct pn_expr *expr;
    struct expr_local locals[EXPR_LOCALS_MAX];
    unsigned local_count;
    unsigned nesting;
    unsigned loops;
};

void expr_next(struct expr_compiler *c);
bool expr_is(const struct expr_compiler *c, const char *punctuation);
bool expr_is_word(const struct expr_compiler *c, const char *word);
/** Steps over it; a fault when something else is there. */
bool expr_expect(struct expr_compiler *c, const char *punctuation);
bool expr_accept(struct expr_compiler *c, const char *punctuation);
bool expr_accept_word(struct expr_compiler *c, const char *word);
/** NULL: too deep, or out of memory. Its depth is that of the deepest of `a`, `b`, `c`, plus one.
 */
struct expr_node *expr_node(struct expr_compiler *c, enum expr_kind kind, enum pn_expr_type type,
                            size_t offset, struct expr_node *a, struct expr_node *b,
                            struct expr_node *third);
struct expr_node *expr_literal(struct expr_compiler *c, size_t offset, struct pn_expr_value value);
/** Takes over the list into the arena and the depth. */
bool expr_set_list(struct expr_compiler *c, struct expr_node *node, struct expr_node *const *list,
                   size_t count);
bool expr_enter(struct expr_compiler *c);
void expr_leave(struct expr_compiler *c);

/* expr.c */
/** The node, if its type is one that is wanted, or becomes one; NULL: a fault. */
struct expr_node *expr_want(struct expr_compiler *c, struct expr_node *node);
/* expr_parse.c */
struct expr_node *expr_parse(struct expr_compiler *c);
/** a + b, a - b. NULL: a fault. */
struct expr_node *expr_operate(struct expr_compiler *c, char sign, size_t offset,
                               struct expr_node *a, struct expr_node *b);
/* expr_primary.c: literals, names, members, calls, casts */
struct expr_node *expr_parse_unary(struct expr_compiler *c);
/* expr_statement.c: to the closing brace; false: a fault */
bool expr_parse_body(struct expr_compiler *c, struct expr_statement **first);

/* expr_types.c */

/** As it is written in C#. */
const char *expr_type_name(enum pn_expr_type type);
bool expr_is_reference(enum pn_expr_type type);
bool expr_is_number(enum pn_expr_type type); /* int, long, double, char */
bool expr_is_class(enum pn_expr_type type);
/** "string", "String", "Guid", … False: no such type here. */
bool expr_find_type(struct pn_slice name, enum pn_expr_type *type);
/** Whether API Management has it and this release has not. */
bool expr_is_missing_type(struct pn_slice name);
/** Whether a value of the node's type is one of `type` without a cast. */
bool expr_converts(const struct expr_node *node, enum pn_expr_type type);
/** The node, or the conversion of it; NULL: a fault that names `what`. */
struct expr_node *expr_coerce(struct expr_compiler *c, struct expr_node *node,
                              enum pn_expr_type type, const char *what);
/** (type)node. */
struct expr_node *expr_cast(struct expr_compiler *c, struct expr_node *node, enum pn_expr_type type,
                            size_t offset);
/** The type that both have, after a conversion. */
bool expr_unify(struct expr_compiler *c, struct expr_node **a, struct expr_node **b,
                enum pn_expr_type *type, bool *is_nullable);

/* ---- members */

struct expr_run;
/** False: the run has a fault. `self` is not null; of a static member it is NULL. */
typedef bool (*expr_fn)(struct expr_run *run, const struct pn_expr_value *self,
                        const struct pn_expr_value *args, size_t count, struct pn_expr_value *out);

#define EXPR_FN(name)                                                                              \
    static bool name(struct expr_run *run __attribute__((unused)),                                 \
                     const struct pn_expr_value *self __attribute__((unused)),                     \
                     const struct pn_expr_value *args __attribute__((unused)),                     \
                     size_t count __attribute__((unused)), struct pn_expr_value *out)

struct expr_member {
    enum pn_expr_type owner;
    const char *name; /* "[]": the indexer */
    const char *args; /* NULL: no method; else a letter each, see expr_members.c */
    enum pn_expr_type result;
    expr_fn fn;
    bool is_static;
    int64_t number; /* for fn: run->member */
};

extern const struct expr_member expr_string_members[], expr_system_members[], expr_time_members[],
    expr_regex_members[], expr_context_members[]; /* each ends with a row without name */

/* expr_members.c */

/** self.name, without call. NULL: a fault. */
struct expr_node *expr_property(struct expr_compiler *c, struct expr_node *self,
                                struct pn_slice name, size_t offset);
/** self.name(list), self[list] ("[]"). `generic`: of GetValueOrDefault<T>, or PN_EXPR_NULL. */
struct expr_node *expr_call(struct expr_compiler *c, struct expr_node *self, struct pn_slice name,
                            enum pn_expr_type generic, struct expr_node **list, size_t count,
                            size_t offset);

/* expr_regex.c */
bool expr_regex_compile(struct expr_compiler *c, struct expr_node *call);

/* ---- running */

struct expr_run {
    const struct pn_policy_context *context;
    struct pn_arena *arena;
    uint64_t steps_left, bytes_left;
    const struct expr_node *node; /* the call whose function runs */
    const struct expr_member *member;
    const struct pn_expr_value *hole;
    struct pn_expr_value *locals;
    enum pn_rc rc;
    const char *why;
};

bool expr_evaluate(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out);
/** Always false. */
bool expr_throw(struct expr_run *run, const char *why);
bool expr_take_steps(struct expr_run *run, uint64_t steps);
/** NULL: the run has a fault. */
void *expr_alloc(struct expr_run *run, size_t bytes);
bool expr_dup(struct expr_run *run, struct pn_slice s, struct pn_slice *out);
/** What the host knows of the request; null without one. */
struct pn_expr_value expr_fact(const struct expr_run *run, enum pn_policy_fact fact);

/* expr_text.c */

/** As C#'s ToString() with the invariant culture; null is "". */
bool expr_to_text(struct expr_run *run, const struct pn_expr_value *value, struct pn_slice *text);
/** With a format, as in {x:yyyy-MM-dd}. */
bool expr_format(struct expr_run *run, const struct pn_expr_value *value, struct pn_slice format,
                 struct pn_slice *text);
/** UTF-16 code units. A byte that is no UTF-8 counts as one. */
size_t expr_units(struct pn_slice s);
/** The byte at which unit `units` begins; s.len when there are fewer; SIZE_MAX: inside of a
 *  surrogate pair. */
size_t expr_unit_offset(struct pn_slice s, size_t units);
/** The unit at the beginning of a text that has one. */
int64_t expr_first_unit(struct pn_slice s);
/** A unit as a text; empty when the run has a fault. */
struct pn_slice expr_character(struct expr_run *run, int64_t unit);
bool expr_parse_long(struct pn_slice text, int64_t min, int64_t max, int64_t *value);
bool expr_parse_double(struct pn_slice text, double *value);
/* expr_time.c */
bool expr_time_text(struct expr_run *run, int64_t unix_ms, struct pn_slice format,
                    struct pn_slice *text);
bool expr_span_text(struct expr_run *run, int64_t ms, struct pn_slice *text);
bool expr_is_time(int64_t unix_ms);
bool expr_time_parse(struct pn_slice text, int64_t *unix_ms);
/* expr_convert.c */
bool expr_convert(struct expr_run *run, const struct pn_expr_value *value, enum pn_expr_type type,
                  struct pn_expr_value *out);
