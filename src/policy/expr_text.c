/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as texts, and texts as UTF-16 has them: positions and lengths in C# count its code units,
 * so a character beyond U+FFFF counts as two. Texts are UTF-8 here; a byte that is none (a header
 * may hold any) counts as one unit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/expr_internal.h"

#define NUMBER_TEXT 64

/* ---- UTF-16 */

static bool continues(struct pn_slice s, size_t at, size_t count)
{
    for (size_t i = 1; i <= count; i++)
        if (at + i >= s.len || ((unsigned char)s.ptr[at + i] & 0xC0) != 0x80)
            return false;
    return true;
}

/** Bytes of the character at `at`: 1 to 4. */
static size_t step(struct pn_slice s, size_t at)
{
    unsigned char c = (unsigned char)s.ptr[at];

    if (c >= 0xC2 && c < 0xE0 && continues(s, at, 1))
        return 2;
    if (c >= 0xE0 && c < 0xF0 && continues(s, at, 2))
        return 3;
    if (c >= 0xF0 && c < 0xF5 && continues(s, at, 3))
        return 4;
    return 1;
}

size_t expr_units(struct pn_slice s)
{
    size_t units = 0;

    for (size_t at = 0; at < s.len;) {
        size_t bytes = step(s, at);

        units += bytes == 4 ? 2 : 1;
        at += bytes;
    }
    return units;
}

size_t expr_unit_offset(struct pn_slice s, size_t units)
{
    size_t at = 0;

    while (at < s.len && units > 0) {
        size_t bytes = step(s, at);

        if (bytes == 4 && units == 1)
            return SIZE_MAX;
        units -= bytes == 4 ? 2 : 1;
        at += bytes;
    }
    return at;
}

int64_t expr_first_unit(struct pn_slice s)
{
    unsigned char c;

    if (s.len == 0)
        return 0;
    c = (unsigned char)s.ptr[0];
    switch (step(s, 0)) {
    case 2:
        return (c & 0x1F) << 6 | (s.ptr[1] & 0x3F);
    case 3:
        return (c & 0x0F) << 12 | (s.ptr[1] & 0x3F) << 6 | (s.ptr[2] & 0x3F);
    case 4: /* a surrogate alone is no text */
        return 0xFFFD;
    default:
        return c;
    }
}

struct pn_slice expr_character(struct expr_run *run, int64_t unit)
{
    uint32_t c = (uint32_t)unit & 0xFFFF;
    char bytes[3];
    size_t len = 1;
    struct pn_slice out = pn_slice("", 0);

    if (c < 0x80) {
        bytes[0] = (char)c;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xC0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3F));
        len = 2;
    } else {
        bytes[0] = (char)(0xE0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3F));
        bytes[2] = (char)(0x80 | (c & 0x3F));
        len = 3;
    }
    (void)expr_dup(run, pn_slice(bytes, len), &out);
    return out;
}

/* ---- numbers */

bool expr_parse_long(struct pn_slice text, int64_t min, int64_t max, int64_t *value)
{
    bool is_negative = false;
    uint64_t magnitude = 0;
    uint64_t limit;

    text = pn_slice_trim(text);
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        is_negative = text.ptr[0] == '-';
        text = pn_slice_sub(text, 1, text.len);
    }
    if (is_negative && min >= 0)
        return false;
    limit = is_negative ? (uint64_t)0 - (uint64_t)min : (uint64_t)max;
    if (!pn_slice_to_u64(text, limit, &magnitude))
        return false;
    *value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool expr_parse_double(struct pn_slice text, double *value)
{
    char copy[NUMBER_TEXT];
    char *end = NULL;

    text = pn_slice_trim(text);
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789+-.eE", text.ptr[i]))
            return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *value = strtod(copy, &end);
    return end == copy + text.len;
}

/** The shortest text that is read back as the same number. */
static void double_text(double value, char out[NUMBER_TEXT])
{
    char *exponent;

    if (value != value) {
        memcpy(out, "NaN", 4);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        double back = 0;

        (void)snprintf(out, NUMBER_TEXT, "%.*G", digits, value);
        back = strtod(out, NULL);
        if (back >= value && back <= value)
            break;
    }
    exponent = strchr(out, 'I');
    if (exponent) /* INF */
        (void)snprintf(out, NUMBER_TEXT, "%s", value > 0 ? "Infinity" : "-Infinity");
}

static bool text_of_number(struct expr_run *run, const char *text, struct pn_slice *out)
{
    return expr_dup(run, pn_slice_str(text), out);
}

/* ---- texts */

bool expr_to_text(struct expr_run *run, const struct pn_expr_value *value, struct pn_slice *text)
{
    char number[NUMBER_TEXT];

    switch ((int)value->type) {
    case PN_EXPR_NULL:
        *text = pn_slice("", 0);
        return true;
    case PN_EXPR_BOOL:
        *text = value->b ? PN_LIT("True") : PN_LIT("False");
        return true;
    case PN_EXPR_INT:
    case PN_EXPR_LONG:
        (void)snprintf(number, sizeof(number), "%" PRId64, value->i);
        return text_of_number(run, number, text);
    case PN_EXPR_DOUBLE:
        double_text(value->d, number);
        return text_of_number(run, number, text);
    case PN_EXPR_CHAR:
        *text = expr_character(run, value->i);
        return run->rc == PN_OK;
    case PN_EXPR_STRING:
    case PN_EXPR_GUID:
    case PN_EXPR_NAME:
        *text = value->s;
        return true;
    case PN_EXPR_TIME:
        return expr_time_text(run, value->i, pn_slice(NULL, 0), text);
    case PN_EXPR_SPAN:
        return expr_span_text(run, value->i, text);
    case PN_EXPR_GROUP:
        *text = value->list.count > 0 ? value->list.items[0] : pn_slice("", 0);
        return true;
    case PN_EXPR_STRINGS:
        *text = PN_LIT("System.String[]");
        return true;
    case PN_EXPR_CHARS:
        *text = PN_LIT("System.Char[]");
        return true;
    case PN_EXPR_BYTES:
        *text = PN_LIT("System.Byte[]");
        return true;
    default:
        return expr_throw(run, "a value has no text");
    }
}

static bool format_guid(struct expr_run *run, struct pn_slice guid, char kind,
                        struct pn_slice *text)
{
    char *out;
    size_t len = 0;

    if (kind == 'D' || kind == 'd') {
        *text = guid;
        return true;
    }
    if (kind != 'N' && kind != 'n' && kind != 'B' && kind != 'b')
        return expr_throw(run, "FormatException: a Guid's format is N, D or B");
    out = expr_alloc(run, guid.len + 2);
    if (!out)
        return false;
    if (kind == 'B' || kind == 'b')
        out[len++] = '{';
    for (size_t i = 0; i < guid.len; i++)
        if (guid.ptr[i] != '-' || out[0] == '{')
            out[len++] = guid.ptr[i];
    if (out[0] == '{')
        out[len++] = '}';
    *text = pn_slice(out, len);
    return true;
}

static bool is_zeros(struct pn_slice format)
{
    for (size_t i = 0; i < format.len; i++)
        if (format.ptr[i] != '0')
            return false;
    return true;
}

/** D5, X, X8, F2, N0 and 0000 of numbers. */
static bool format_number(struct expr_run *run, const struct pn_expr_value *value,
                          struct pn_slice format, struct pn_slice *text)
{
    char number[NUMBER_TEXT + 32];
    char kind = format.ptr[0];
    uint64_t digits = 0;
    bool has_digits = pn_slice_to_u64(pn_slice_sub(format, 1, format.len), 30, &digits);
    bool is_integer = value->type != PN_EXPR_DOUBLE;
    double d = is_integer ? (double)value->i : value->d;

    if (format.len > 1 && !has_digits && kind != '0')
        return expr_throw(run, "FormatException: the format of a number is one of D, X, F and 0");
    if ((kind == 'D' || kind == 'd') && is_integer) {
        (void)snprintf(number, sizeof(number), "%s%0*" PRIu64, value->i < 0 ? "-" : "", (int)digits,
                       value->i < 0 ? 0 - (uint64_t)value->i : (uint64_t)value->i);
    } else if ((kind == 'X' || kind == 'x') && is_integer) {
        uint64_t bits = value->type == PN_EXPR_INT ? (uint32_t)value->i : (uint64_t)value->i;

        if (kind == 'X')
            (void)snprintf(number, sizeof(number), "%0*" PRIX64, (int)digits, bits);
        else
            (void)snprintf(number, sizeof(number), "%0*" PRIx64, (int)digits, bits);
    } else if ((kind == 'F' || kind == 'f') && d < 1e30 && d > -1e30) {
        (void)snprintf(number, sizeof(number), "%.*f", has_digits ? (int)digits : 2, d);
    } else if (kind == '0' && is_integer && format.len <= 30 && is_zeros(format)) {
        (void)snprintf(number, sizeof(number), "%s%0*" PRIu64, value->i < 0 ? "-" : "",
                       (int)format.len, value->i < 0 ? 0 - (uint64_t)value->i : (uint64_t)value->i);
    } else {
        return expr_throw(run, "FormatException: the format of a number is one of D, X, F and 0");
    }
    return text_of_number(run, number, text);
}

bool expr_format(struct expr_run *run, const struct pn_expr_value *value, struct pn_slice format,
                 struct pn_slice *text)
{
    if (format.len == 0)
        return expr_to_text(run, value, text);
    if (value->type == PN_EXPR_TIME)
        return expr_time_text(run, value->i, format, text);
    if (value->type == PN_EXPR_GUID)
        return format_guid(run, value->s, format.len == 1 ? format.ptr[0] : '?', text);
    if (value->type == PN_EXPR_INT || value->type == PN_EXPR_LONG || value->type == PN_EXPR_DOUBLE)
        return format_number(run, value, format, text);
    return expr_to_text(run, value, text);
}
