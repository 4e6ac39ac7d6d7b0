/* SPDX-License-Identifier: Apache-2.0
 *
 * Casts, and the conversions that the parser put in.
 */
#include "policy/expr_internal.h"

static bool cannot(struct expr_run *run, const struct pn_expr_value *value, enum pn_expr_type type)
{
    if (value->type == PN_EXPR_NULL)
        return expr_throw(run,
                          pn_arena_printf(run->arena, "NullReferenceException: null is cast to %s",
                                          expr_type_name(type)));
    return expr_throw(run, pn_arena_printf(run->arena, "InvalidCastException: a %s is cast to %s",
                                           expr_type_name(value->type), expr_type_name(type)));
}

static bool to_integer(struct expr_run *run, const struct pn_expr_value *value,
                       enum pn_expr_type type, struct pn_expr_value *out)
{
    int64_t number = value->i;

    if (value->type == PN_EXPR_DOUBLE) {
        if (!(value->d > -9.2e18 && value->d < 9.2e18))
            return expr_throw(run, "OverflowException: the number is too large for an integer");
        number = (int64_t)value->d;
    }
    *out = (struct pn_expr_value){.type = type, .i = number};
    if (type == PN_EXPR_INT)
        out->i = (int32_t)(uint32_t)(uint64_t)number;
    if (type == PN_EXPR_CHAR)
        out->i = number & 0xFFFF;
    return true;
}

bool expr_convert(struct expr_run *run, const struct pn_expr_value *value, enum pn_expr_type type,
                  struct pn_expr_value *out)
{
    *out = *value;
    if (value->type == type || type == PN_EXPR_OBJECT ||
        (value->type == PN_EXPR_NULL && expr_is_reference(type)))
        return true;
    if (!expr_is_number(value->type) || !expr_is_number(type))
        return cannot(run, value, type);
    if (type != PN_EXPR_DOUBLE)
        return to_integer(run, value, type, out);
    *out = (struct pn_expr_value){.type = PN_EXPR_DOUBLE, .d = (double)value->i};
    return true;
}
