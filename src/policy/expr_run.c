/* SPDX-License-Identifier: Apache-2.0
 *
 * Running an expression: a walk over its nodes. Depth was bounded when it was compiled; steps and
 * bytes are bounded here. A step is a node; a call also takes one for each 64 bytes of its texts,
 * so that what is long costs more.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "policy/expr_internal.h"

#define BYTES_PER_STEP 64

bool expr_throw(struct expr_run *run, const char *why)
{
    if (run->rc == PN_OK) {
        run->rc = PN_INVALID;
        run->why = why ? why : "";
    }
    return false;
}

static bool over(struct expr_run *run, enum pn_limit limit, const char *why)
{
    if (run->rc == PN_OK) {
        run->rc = PN_LIMIT;
        run->why = why;
        pn_limit_hit(limit);
    }
    return false;
}

bool expr_take_steps(struct expr_run *run, uint64_t steps)
{
    if (steps > run->steps_left)
        return over(run, PN_LIMIT_EXPRESSION_STEPS,
                    "it takes more steps than the limit expression-steps allows");
    run->steps_left -= steps;
    return true;
}

void *expr_alloc(struct expr_run *run, size_t bytes)
{
    void *ptr;

    if (bytes > run->bytes_left) {
        (void)over(run, PN_LIMIT_EXPRESSION_BYTES,
                   "it makes more bytes than the limit expression-bytes allows");
        return NULL;
    }
    run->bytes_left -= bytes;
    ptr = pn_arena_alloc(run->arena, bytes > 0 ? bytes : 1);
    if (!ptr && run->rc == PN_OK) {
        run->rc = PN_NOMEM;
        run->why = "the request needs more memory than one request may have";
    }
    return ptr;
}

bool expr_dup(struct expr_run *run, struct pn_slice s, struct pn_slice *out)
{
    char *copy = expr_alloc(run, s.len);

    if (!copy)
        return false;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    *out = pn_slice(copy, s.len);
    return true;
}

struct pn_expr_value expr_fact(const struct expr_run *run, enum pn_policy_fact fact)
{
    struct pn_expr_value value = pn_expr_null();

    if (run->context->find_fact)
        run->context->find_fact(run->context->host, fact, &value);
    return value;
}

/* ---- calls */

static size_t bytes_of(const struct pn_expr_value *value)
{
    return value->type == PN_EXPR_STRING || value->type == PN_EXPR_BYTES ? value->s.len : 0;
}

/** A parameter "s" takes no null. */
static bool check_arguments(struct expr_run *run, const struct expr_member *member,
                            const struct pn_expr_value *args, size_t count)
{
    const char *letter = member->args;

    for (size_t i = 0; i < count; i++) {
        if (args[i].type == PN_EXPR_NULL && strchr("sLKy", *letter))
            return expr_throw(run, pn_arena_printf(run->arena,
                                                   "ArgumentNullException: an argument of %s is "
                                                   "null",
                                                   member->name));
        if (letter[1] != '*' && letter[1] != '\0')
            letter++;
    }
    return true;
}

static bool call(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    const struct expr_member *member = node->call.member;
    struct pn_expr_value args[EXPR_ARGS_MAX];
    struct pn_expr_value self = pn_expr_null();
    size_t bytes = 0;

    if (node->a) {
        if (!expr_evaluate(run, node->a, &self))
            return false;
        if (self.type == PN_EXPR_NULL)
            return expr_throw(run, pn_arena_printf(run->arena,
                                                   "NullReferenceException: what stands before "
                                                   "'%s' is null",
                                                   member->name));
        bytes += bytes_of(&self);
    }
    for (size_t i = 0; i < node->count; i++) {
        if (!expr_evaluate(run, node->list[i], &args[i]))
            return false;
        bytes += bytes_of(&args[i]);
    }
    if (!expr_take_steps(run, bytes / BYTES_PER_STEP) ||
        (node->count > 0 && !check_arguments(run, member, args, node->count)))
        return false;
    run->node = node;
    run->member = member;
    return member->fn(run, node->a ? &self : NULL, args, node->count, out);
}

/* ---- numbers */

static bool divide(struct expr_run *run, char op, int64_t a, int64_t b, int64_t *out)
{
    if (b == 0)
        return expr_throw(run, "DivideByZeroException: a number is divided by zero");
    if (b == -1) { /* the smallest number has no opposite */
        *out = op == '/' ? (int64_t)(0 - (uint64_t)a) : 0;
        return true;
    }
    *out = op == '/' ? a / b : a % b;
    return true;
}

/** Overflow wraps around, as C# does unless told otherwise. */
static bool arithmetic_of_integers(struct expr_run *run, const struct expr_node *node, int64_t a,
                                   int64_t b, struct pn_expr_value *out)
{
    int64_t result = 0;

    switch (node->op) {
    case '+':
        result = (int64_t)((uint64_t)a + (uint64_t)b);
        break;
    case '-':
        result = (int64_t)((uint64_t)a - (uint64_t)b);
        break;
    case '*':
        result = (int64_t)((uint64_t)a * (uint64_t)b);
        break;
    default:
        if (!divide(run, node->op, a, b, &result))
            return false;
        break;
    }
    *out = (struct pn_expr_value){.type = node->type, .i = result};
    if (node->type == PN_EXPR_TIME && !expr_is_time(result))
        return expr_throw(run, "ArgumentOutOfRangeException: a time is outside of the years 1 to "
                               "9999");
    if (node->type == PN_EXPR_INT)
        out->i = (int32_t)(uint32_t)(uint64_t)result;
    return true;
}

static bool arithmetic(struct expr_run *run, const struct expr_node *node,
                       struct pn_expr_value *out)
{
    struct pn_expr_value a = pn_expr_null(), b = a;

    if (!expr_evaluate(run, node->a, &a) || !expr_evaluate(run, node->b, &b))
        return false;
    if (node->type != PN_EXPR_DOUBLE)
        return arithmetic_of_integers(run, node, a.i, b.i, out);
    out->type = PN_EXPR_DOUBLE;
    switch (node->op) {
    case '+':
        out->d = a.d + b.d;
        break;
    case '-':
        out->d = a.d - b.d;
        break;
    case '*':
        out->d = a.d * b.d;
        break;
    case '/':
        out->d = a.d / b.d;
        break;
    default:
        out->d = fmod(a.d, b.d);
        break;
    }
    return true;
}

static double as_double(const struct pn_expr_value *value)
{
    return value->type == PN_EXPR_DOUBLE ? value->d : (double)value->i;
}

static int order(double a, double b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

static bool compare(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_expr_value a = pn_expr_null(), b = a;
    int sign;

    if (!expr_evaluate(run, node->a, &a) || !expr_evaluate(run, node->b, &b))
        return false;
    *out = pn_expr_bool(false); /* with null, and with what is no number */
    if (a.type == PN_EXPR_NULL || b.type == PN_EXPR_NULL)
        return true;
    if (a.type == PN_EXPR_DOUBLE || b.type == PN_EXPR_DOUBLE) {
        if (isnan(as_double(&a)) || isnan(as_double(&b)))
            return true;
        sign = order(as_double(&a), as_double(&b));
    } else {
        sign = a.i < b.i ? -1 : a.i > b.i;
    }
    out->b = node->op == '<'   ? sign < 0
             : node->op == '>' ? sign > 0
             : node->op == 'l' ? sign <= 0
                               : sign >= 0;
    return true;
}

static bool is_equal(const struct pn_expr_value *a, const struct pn_expr_value *b)
{
    if (a->type == PN_EXPR_NULL || b->type == PN_EXPR_NULL)
        return a->type == b->type;
    if (a->type == PN_EXPR_DOUBLE || b->type == PN_EXPR_DOUBLE)
        return as_double(a) >= as_double(b) && as_double(a) <= as_double(b);
    switch ((int)a->type) {
    case PN_EXPR_STRING:
        return b->type == PN_EXPR_STRING && pn_slice_eq(a->s, b->s);
    case PN_EXPR_GUID:
        return b->type == PN_EXPR_GUID && pn_slice_case_eq(a->s, b->s);
    case PN_EXPR_BOOL:
        return a->b == b->b;
    case PN_EXPR_STRINGS: /* references */
    case PN_EXPR_CHARS:
        return a->list.items == b->list.items;
    case PN_EXPR_BYTES:
        return a->s.ptr == b->s.ptr;
    default:
        return a->type < PN_EXPR_ENCODING ? a->i == b->i : a->type == b->type && a->p == b->p;
    }
}

static bool equality(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_expr_value a = pn_expr_null(), b = a;

    if (!expr_evaluate(run, node->a, &a) || !expr_evaluate(run, node->b, &b) ||
        !expr_take_steps(run, bytes_of(&a) / BYTES_PER_STEP))
        return false;
    *out = pn_expr_bool(is_equal(&a, &b) == (node->kind == EXPR_EQUAL));
    return true;
}

/* ---- texts */

static bool concat(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_slice *texts = expr_alloc(run, node->count * sizeof(*texts));
    size_t len = 0;
    char *joined;

    if (!texts)
        return false;
    for (size_t i = 0; i < node->count; i++) {
        struct pn_expr_value value = pn_expr_null();

        if (!expr_evaluate(run, node->list[i], &value) || !expr_to_text(run, &value, &texts[i]))
            return false;
        len += texts[i].len;
    }
    joined = expr_alloc(run, len);
    if (!joined)
        return false;
    *out = pn_expr_string(pn_slice(joined, len));
    for (size_t i = 0; i < node->count; i++) {
        if (texts[i].len > 0)
            memcpy(joined, texts[i].ptr, texts[i].len);
        joined += texts[i].len;
    }
    return true;
}

static bool format(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_expr_value value = pn_expr_null();
    struct pn_slice text;
    size_t width = (size_t)(node->format.align < 0 ? -node->format.align : node->format.align);
    size_t units;
    char *padded;

    if (!expr_evaluate(run, node->a, &value) || !expr_format(run, &value, node->format.text, &text))
        return false;
    *out = pn_expr_string(text);
    units = expr_units(text);
    if (units >= width)
        return true;
    padded = expr_alloc(run, text.len + width - units);
    if (!padded)
        return false;
    memset(padded, ' ', text.len + width - units);
    if (text.len > 0)
        memcpy(padded + (node->format.align > 0 ? width - units : 0), text.ptr, text.len);
    out->s = pn_slice(padded, text.len + width - units);
    return true;
}

static bool array(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_slice *items = expr_alloc(run, node->count * sizeof(*items));

    if (!items)
        return false;
    for (size_t i = 0; i < node->count; i++) {
        struct pn_expr_value value = pn_expr_null();

        if (!expr_evaluate(run, node->list[i], &value))
            return false;
        items[i] = value.type == PN_EXPR_CHAR     ? expr_character(run, value.i)
                   : value.type == PN_EXPR_STRING ? value.s
                                                  : (struct pn_slice){0}; /* null */
    }
    *out = (struct pn_expr_value){.type = node->type, .list = {items, node->count}};
    return run->rc == PN_OK;
}

/* ---- the others */

static bool logic(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    if (!expr_evaluate(run, node->a, out))
        return false;
    if (out->b == (node->kind == EXPR_OR))
        return true;
    return expr_evaluate(run, node->b, out);
}

static bool if_not_null(struct expr_run *run, const struct expr_node *node,
                        struct pn_expr_value *out)
{
    const struct pn_expr_value *outer = run->hole;
    struct pn_expr_value self = pn_expr_null();
    bool is_good;

    if (!expr_evaluate(run, node->a, &self))
        return false;
    if (self.type == PN_EXPR_NULL) {
        *out = self;
        return true;
    }
    run->hole = &self;
    is_good = expr_evaluate(run, node->b, out);
    run->hole = outer;
    return is_good;
}

static bool test_type(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_expr_value value = pn_expr_null();
    bool is;

    if (!expr_evaluate(run, node->a, &value))
        return false;
    is = value.type != PN_EXPR_NULL &&
         (value.type == node->value.type || node->value.type == PN_EXPR_OBJECT);
    if (node->kind == EXPR_IS)
        *out = pn_expr_bool(is);
    else
        *out = is ? value : pn_expr_null();
    return true;
}

/** The hole of an outer "?." is not that of a condition inside of its arguments: the parser gives
 *  each chain its own, and the innermost one that runs is the one that is meant. */
bool expr_evaluate(struct expr_run *run, const struct expr_node *node, struct pn_expr_value *out)
{
    struct pn_expr_value value = pn_expr_null();

    *out = value;
    if (!expr_take_steps(run, 1))
        return false;
    switch (node->kind) {
    case EXPR_VALUE:
        *out = node->value;
        return true;
    case EXPR_LOCAL:
        *out = run->locals[node->slot];
        return true;
    case EXPR_HOLE:
        assert(run->hole); /* the parser makes one behind "?." only */
        *out = *run->hole;
        return true;
    case EXPR_CALL:
        return call(run, node, out);
    case EXPR_NOT:
        if (!expr_evaluate(run, node->a, out))
            return false;
        out->b = !out->b;
        return true;
    case EXPR_NEGATE:
        if (!expr_evaluate(run, node->a, out))
            return false;
        if (node->type == PN_EXPR_DOUBLE)
            out->d = -out->d;
        else
            out->i = (int64_t)(0 - (uint64_t)out->i);
        if (node->type == PN_EXPR_INT)
            out->i = (int32_t)(uint32_t)(uint64_t)out->i;
        return true;
    case EXPR_ARITHMETIC:
        return arithmetic(run, node, out);
    case EXPR_COMPARE:
        return compare(run, node, out);
    case EXPR_EQUAL:
    case EXPR_UNEQUAL:
        return equality(run, node, out);
    case EXPR_AND:
    case EXPR_OR:
        return logic(run, node, out);
    case EXPR_TERNARY:
        return expr_evaluate(run, node->a, &value) &&
               expr_evaluate(run, value.b ? node->b : node->c, out);
    case EXPR_COALESCE:
        if (!expr_evaluate(run, node->a, out))
            return false;
        return out->type != PN_EXPR_NULL || expr_evaluate(run, node->b, out);
    case EXPR_IF_NOT_NULL:
        return if_not_null(run, node, out);
    case EXPR_CONVERT:
        if (!expr_evaluate(run, node->a, &value))
            return false;
        if (node->is_nullable && value.type == PN_EXPR_NULL) {
            *out = value;
            return true;
        }
        return expr_convert(run, &value, node->type, out);
    case EXPR_AS:
    case EXPR_IS:
        return test_type(run, node, out);
    case EXPR_CONCAT:
        return concat(run, node, out);
    case EXPR_FORMAT:
        return format(run, node, out);
    case EXPR_ARRAY:
        return array(run, node, out);
    case EXPR_CLASS:
        break;
    }
    return expr_throw(run, "a type is no value");
}

/* ---- statements */

enum flow { FLOW_ON, FLOW_RETURN, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAIL };

static enum flow run_statements(struct expr_run *run, const struct expr_statement *statement,
                                struct pn_expr_value *out);

static enum flow run_foreach(struct expr_run *run, const struct expr_statement *statement,
                             struct pn_expr_value *out)
{
    struct pn_expr_value list = pn_expr_null();
    enum flow flow = FLOW_ON;

    if (!expr_evaluate(run, statement->node, &list))
        return FLOW_FAIL;
    if (list.type == PN_EXPR_NULL) {
        (void)expr_throw(run, "NullReferenceException: 'foreach' goes through null");
        return FLOW_FAIL;
    }
    for (size_t i = 0; i < list.list.count; i++) {
        struct pn_slice item = list.list.items[i];

        if (!expr_take_steps(run, 1))
            return FLOW_FAIL;
        run->locals[statement->slot] = item.ptr ? pn_expr_string(item) : pn_expr_null();
        if (list.type == PN_EXPR_CHARS)
            run->locals[statement->slot] =
                (struct pn_expr_value){.type = PN_EXPR_CHAR, .i = expr_first_unit(item)};
        flow = run_statements(run, statement->body, out);
        if (flow == FLOW_BREAK)
            return FLOW_ON;
        if (flow == FLOW_RETURN || flow == FLOW_FAIL)
            return flow;
    }
    return FLOW_ON;
}

static enum flow run_statement(struct expr_run *run, const struct expr_statement *statement,
                               struct pn_expr_value *out)
{
    struct pn_expr_value value = pn_expr_null();

    if (!expr_take_steps(run, 1))
        return FLOW_FAIL;
    switch (statement->kind) {
    case EXPR_ASSIGN:
        if (!expr_evaluate(run, statement->node, &value))
            return FLOW_FAIL;
        run->locals[statement->slot] = value;
        return FLOW_ON;
    case EXPR_WHEN:
        if (!expr_evaluate(run, statement->node, &value))
            return FLOW_FAIL;
        return run_statements(run, value.b ? statement->body : statement->otherwise, out);
    case EXPR_RETURN:
        return expr_evaluate(run, statement->node, out) ? FLOW_RETURN : FLOW_FAIL;
    case EXPR_FOREACH:
        return run_foreach(run, statement, out);
    case EXPR_BREAK:
        return FLOW_BREAK;
    case EXPR_CONTINUE:
        return FLOW_CONTINUE;
    case EXPR_BLOCK:
        return run_statements(run, statement->body, out);
    }
    return FLOW_FAIL;
}

/* Recursion: as deep as the statements are nested (EXPR_NESTING_MAX). */
static enum flow run_statements(struct expr_run *run, const struct expr_statement *statement,
                                struct pn_expr_value *out)
{
    enum flow flow = FLOW_ON;

    for (; statement && flow == FLOW_ON; statement = statement->next)
        flow = run_statement(run, statement, out);
    return flow;
}

/* ---- results */

static bool to_number(struct expr_run *run, struct pn_expr_value *value)
{
    int64_t number = 0;

    if (value->type == PN_EXPR_INT || value->type == PN_EXPR_LONG)
        return true;
    if (value->type == PN_EXPR_STRING && expr_parse_long(value->s, INT64_MIN, INT64_MAX, &number)) {
        *value = (struct pn_expr_value){.type = PN_EXPR_LONG, .i = number};
        return true;
    }
    return expr_throw(run, "the result is no number");
}

static bool to_wanted(struct expr_run *run, enum pn_expr_want want, struct pn_expr_value *value)
{
    struct pn_slice text;

    switch (want) {
    case PN_EXPR_WANT_TEXT:
        if (value->type == PN_EXPR_STRING)
            return true;
        if (!expr_to_text(run, value, &text))
            return false;
        *value = pn_expr_string(text);
        return true;
    case PN_EXPR_WANT_BOOL:
        return value->type == PN_EXPR_BOOL || expr_throw(run, "the result is no bool");
    case PN_EXPR_WANT_NUMBER:
        return to_number(run, value);
    case PN_EXPR_WANT_ANY:
        return true;
    }
    return false;
}

enum pn_rc pn_expr_run(const struct pn_expr *expr, const struct pn_policy_context *context,
                       struct pn_expr_result *result)
{
    struct pn_expr_value locals[EXPR_LOCALS_MAX];
    struct expr_run run = {.context = context,
                           .arena = context->arena,
                           .steps_left = pn_limit_value(PN_LIMIT_EXPRESSION_STEPS),
                           .bytes_left = pn_limit_value(PN_LIMIT_EXPRESSION_BYTES),
                           .locals = locals};
    bool is_good;

    *result = (struct pn_expr_result){0};
    if (expr->node)
        is_good = expr_evaluate(&run, expr->node, &result->value);
    else
        is_good = run_statements(&run, expr->body, &result->value) == FLOW_RETURN;
    if (is_good)
        is_good = to_wanted(&run, expr->want, &result->value);
    if (is_good)
        return PN_OK;
    result->why = run.why;
    return run.rc == PN_OK ? PN_INTERNAL : run.rc;
}
