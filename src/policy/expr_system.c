/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of the small classes: numbers, bool, Guid, Convert, Encoding, Uri, WebUtility, Math.
 */
#include <math.h>
#include <string.h>

#include "base/encode.h"
#include "http/uri.h"
#include "policy/expr_internal.h"

static bool bad_format(struct expr_run *run)
{
    return expr_throw(run, "FormatException: a text is not of the form that is read here");
}

/* ---- numbers and bool */

EXPR_FN(parse_integer)
{
    enum pn_expr_type type = run->member->result;
    int64_t min = type == PN_EXPR_INT ? INT32_MIN : INT64_MIN;
    int64_t max = type == PN_EXPR_INT ? INT32_MAX : INT64_MAX;

    *out = (struct pn_expr_value){.type = type};
    return expr_parse_long(args[0].s, min, max, &out->i) || bad_format(run);
}

EXPR_FN(parse_double)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_DOUBLE};
    return expr_parse_double(args[0].s, &out->d) || bad_format(run);
}

EXPR_FN(parse_bool)
{
    struct pn_slice text = pn_slice_trim(args[0].s);

    *out = pn_expr_bool(pn_slice_case_eq_str(text, "true"));
    return out->b || pn_slice_case_eq_str(text, "false") || bad_format(run);
}

/* Convert.ToInt32 and the like: of a text, a number, a bool; null is 0. */
EXPR_FN(convert_integer)
{
    enum pn_expr_type type = run->member->result;
    int64_t min = type == PN_EXPR_INT ? INT32_MIN : INT64_MIN;
    int64_t max = type == PN_EXPR_INT ? INT32_MAX : INT64_MAX;
    double rounded;

    *out = (struct pn_expr_value){.type = type};
    switch ((int)args[0].type) {
    case PN_EXPR_NULL:
        return true;
    case PN_EXPR_STRING:
        return expr_parse_long(args[0].s, min, max, &out->i) || bad_format(run);
    case PN_EXPR_BOOL:
        out->i = args[0].b;
        return true;
    case PN_EXPR_DOUBLE:
        rounded = nearbyint(args[0].d); /* to even, as .NET does */
        if (!(rounded > -9.2e18 && rounded < 9.2e18))
            return expr_throw(run, "OverflowException: a number is too large");
        out->i = (int64_t)rounded;
        break;
    case PN_EXPR_INT:
    case PN_EXPR_LONG:
    case PN_EXPR_CHAR:
        out->i = args[0].i;
        break;
    default:
        return expr_throw(run, "InvalidCastException: a value is no number");
    }
    return (out->i >= min && out->i <= max) ||
           expr_throw(run, "OverflowException: a number is too large");
}

EXPR_FN(convert_bool)
{
    switch ((int)args[0].type) {
    case PN_EXPR_NULL:
        *out = pn_expr_bool(false);
        return true;
    case PN_EXPR_BOOL:
        *out = args[0];
        return true;
    case PN_EXPR_STRING:
        return parse_bool(run, self, args, count, out);
    case PN_EXPR_INT:
    case PN_EXPR_LONG:
        *out = pn_expr_bool(args[0].i != 0);
        return true;
    default:
        return expr_throw(run, "InvalidCastException: a value is no bool");
    }
}

EXPR_FN(convert_string)
{
    struct pn_slice text;

    if (!expr_to_text(run, &args[0], &text))
        return false;
    *out = pn_expr_string(text);
    return true;
}

/* ---- Math, on what both arguments became */

EXPR_FN(minimum)
{
    bool first = args[0].type == PN_EXPR_DOUBLE ? args[0].d <= args[1].d : args[0].i <= args[1].i;

    *out = first == (run->member->number == 0) ? args[0] : args[1];
    return true;
}

EXPR_FN(absolute)
{
    *out = args[0];
    if (out->type == PN_EXPR_DOUBLE) {
        out->d = fabs(out->d);
        return true;
    }
    if (out->i < 0)
        out->i = (int64_t)(0 - (uint64_t)out->i);
    return (out->i >= 0 && (out->type == PN_EXPR_LONG || out->i <= INT32_MAX)) ||
           expr_throw(run, "OverflowException: the smallest number has no opposite");
}

EXPR_FN(round_number)
{
    out->type = PN_EXPR_DOUBLE;
    out->d = run->member->number == 0   ? nearbyint(args[0].d)
             : run->member->number == 1 ? floor(args[0].d)
                                        : ceil(args[0].d);
    return true;
}

/* ---- Guid */

EXPR_FN(new_guid)
{
    char text[PN_UUID_TEXT];

    pn_uuid_v4(text);
    *out = (struct pn_expr_value){.type = PN_EXPR_GUID};
    return expr_dup(run, pn_slice_str(text), &out->s);
}

EXPR_FN(empty_guid)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_GUID,
                                  .s = PN_LIT("00000000-0000-0000-0000-000000000000")};
    return true;
}

EXPR_FN(parse_guid)
{
    struct pn_slice text = pn_slice_trim(args[0].s);
    char *lower;

    if (!pn_is_uuid(text))
        return bad_format(run);
    lower = expr_alloc(run, text.len);
    if (!lower)
        return false;
    for (size_t i = 0; i < text.len; i++)
        lower[i] =
            (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'F' ? text.ptr[i] | 0x20 : text.ptr[i]);
    *out = (struct pn_expr_value){.type = PN_EXPR_GUID, .s = pn_slice(lower, text.len)};
    return true;
}

/* ---- bytes and texts */

typedef enum pn_rc (*coder_fn)(struct pn_slice, struct pn_buf *);

/** By a function that appends to a buffer; the result is in the arena, and the buffer wiped. */
static bool code(struct expr_run *run, coder_fn coder, struct pn_slice in, enum pn_expr_type type,
                 struct pn_expr_value *out)
{
    struct pn_buf buf;
    bool is_good = true;
    enum pn_rc rc;

    *out = (struct pn_expr_value){.type = type};
    pn_buf_init_secret(&buf, 3 * in.len + 8 < run->bytes_left ? 3 * in.len + 8 : run->bytes_left);
    rc = coder(in, &buf);
    if (rc == PN_OK)
        is_good = expr_dup(run, pn_buf_slice(&buf), &out->s);
    else if (rc == PN_LIMIT)
        is_good = expr_alloc(run, run->bytes_left + 1) != NULL; /* says so */
    else
        is_good = bad_format(run);
    pn_buf_fini(&buf);
    return is_good;
}

EXPR_FN(to_base64)
{
    return code(run, pn_base64_encode, args[0].s, PN_EXPR_STRING, out);
}

EXPR_FN(from_base64)
{
    return code(run, pn_base64_decode, args[0].s, PN_EXPR_BYTES, out);
}

EXPR_FN(escape)
{
    return code(run, pn_percent_encode, args[0].s, PN_EXPR_STRING, out);
}

EXPR_FN(unescape)
{
    return code(run, run->member->number ? pn_form_decode : pn_percent_decode, args[0].s,
                PN_EXPR_STRING, out);
}

EXPR_FN(encoding)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_ENCODING, .i = run->member->number};
    return true;
}

static bool is_ascii(struct pn_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* ASCII writes '?' for what it does not have. */
EXPR_FN(get_bytes)
{
    char *copy;
    size_t len = 0;

    *out = (struct pn_expr_value){.type = run->member->number ? PN_EXPR_STRING : PN_EXPR_BYTES,
                                  .s = args[0].s};
    if (self->i == 0 || is_ascii(args[0].s))
        return true;
    copy = expr_alloc(run, args[0].s.len);
    if (!copy)
        return false;
    for (size_t at = 0; at < args[0].s.len;) {
        struct pn_slice rest = pn_slice_sub(args[0].s, at, args[0].s.len);
        size_t bytes = expr_unit_offset(rest, 1);

        if (bytes == SIZE_MAX)
            bytes = 4;
        copy[len++] = (unsigned char)rest.ptr[0] < 0x80 ? rest.ptr[0] : '?';
        at += bytes;
    }
    out->s = pn_slice(copy, len);
    return true;
}

#define I  PN_EXPR_INT
#define L  PN_EXPR_LONG
#define D  PN_EXPR_DOUBLE
#define B  PN_EXPR_BOOL
#define S  PN_EXPR_STRING
#define Y  PN_EXPR_BYTES
#define CV PN_EXPR_CLASS_CONVERT
#define MA PN_EXPR_CLASS_MATH
#define EN PN_EXPR_ENCODING

const struct expr_member expr_system_members[] = {
    {I, "Parse", "s", I, parse_integer, true, 0},
    {L, "Parse", "s", L, parse_integer, true, 0},
    {D, "Parse", "s", D, parse_double, true, 0},
    {B, "Parse", "s", B, parse_bool, true, 0},
    {CV, "ToInt32", "o", I, convert_integer, true, 0},
    {CV, "ToInt64", "o", L, convert_integer, true, 0},
    {CV, "ToBoolean", "o", B, convert_bool, true, 0},
    {CV, "ToString", "o", S, convert_string, true, 0},
    {CV, "ToBase64String", "y", S, to_base64, true, 0},
    {CV, "FromBase64String", "s", Y, from_base64, true, 0},
    {MA, "Min", "ii", I, minimum, true, 0},
    {MA, "Min", "ll", L, minimum, true, 0},
    {MA, "Min", "dd", D, minimum, true, 0},
    {MA, "Max", "ii", I, minimum, true, 1},
    {MA, "Max", "ll", L, minimum, true, 1},
    {MA, "Max", "dd", D, minimum, true, 1},
    {MA, "Abs", "i", I, absolute, true, 0},
    {MA, "Abs", "l", L, absolute, true, 0},
    {MA, "Abs", "d", D, absolute, true, 0},
    {MA, "Round", "d", D, round_number, true, 0},
    {MA, "Floor", "d", D, round_number, true, 1},
    {MA, "Ceiling", "d", D, round_number, true, 2},
    {PN_EXPR_GUID, "NewGuid", "", PN_EXPR_GUID, new_guid, true, 0},
    {PN_EXPR_GUID, "Empty", NULL, PN_EXPR_GUID, empty_guid, true, 0},
    {PN_EXPR_GUID, "Parse", "s", PN_EXPR_GUID, parse_guid, true, 0},
    {EN, "UTF8", NULL, EN, encoding, true, 0},
    {EN, "ASCII", NULL, EN, encoding, true, 1},
    {EN, "GetBytes", "s", Y, get_bytes, false, 0},
    {EN, "GetString", "y", S, get_bytes, false, 1},
    {PN_EXPR_CLASS_URI, "EscapeDataString", "s", S, escape, true, 0},
    {PN_EXPR_CLASS_URI, "UnescapeDataString", "s", S, unescape, true, 0},
    {PN_EXPR_CLASS_WEB, "UrlEncode", "s", S, escape, true, 0},
    {PN_EXPR_CLASS_WEB, "UrlDecode", "s", S, unescape, true, 1},
    {.name = NULL},
};
