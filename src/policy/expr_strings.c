/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of string, string[] and char[]. Letters have two cases here when they are ASCII; other
 * characters compare as they are, in every StringComparison.
 */
#include <string.h>

#include "base/encode.h"
#include "policy/expr_internal.h"

static bool out_of_range(struct expr_run *run)
{
    return expr_throw(run,
                      "ArgumentOutOfRangeException: a position or length is outside of a text");
}

static bool give(struct pn_expr_value *out, struct pn_slice s)
{
    *out = pn_expr_string(s);
    return true;
}

static bool ignores_case(const struct pn_expr_value *args, size_t count)
{
    return count > 0 && args[count - 1].type == PN_EXPR_COMPARISON && args[count - 1].i != 0;
}

static bool is_same(struct pn_slice a, struct pn_slice b, bool ignore_case)
{
    return ignore_case ? pn_slice_case_eq(a, b) : pn_slice_eq(a, b);
}

/** Byte of the first `needle` at or behind `from`; SIZE_MAX: none. */
static bool find(struct expr_run *run, struct pn_slice s, struct pn_slice needle, size_t from,
                 bool ignore_case, size_t *at)
{
    struct pn_slice rest = pn_slice_sub(s, from, s.len);

    *at = SIZE_MAX;
    if (needle.len > rest.len)
        return true;
    if (!ignore_case) {
        *at = from + pn_slice_find_slice(rest, needle);
        if (*at + needle.len > s.len)
            *at = SIZE_MAX;
        return true;
    }
    if (!expr_take_steps(run, (uint64_t)rest.len * (needle.len + 1) / 4096))
        return false;
    for (size_t i = 0; i + needle.len <= rest.len; i++) {
        if (pn_slice_case_eq(pn_slice_sub(rest, i, needle.len), needle)) {
            *at = from + i;
            return true;
        }
    }
    return true;
}

/** A char or string argument as a text. */
static struct pn_slice needle_of(struct expr_run *run, const struct pn_expr_value *arg)
{
    return arg->type == PN_EXPR_CHAR ? expr_character(run, arg->i) : arg->s;
}

/* ---- string */

EXPR_FN(length)
{
    *out = pn_expr_int((int64_t)expr_units(self->s));
    return true;
}

EXPR_FN(change_case)
{
    char *copy = expr_alloc(run, self->s.len);
    bool is_upper = run->member->number != 0;

    if (!copy)
        return false;
    for (size_t i = 0; i < self->s.len; i++) {
        char c = self->s.ptr[i];

        if (is_upper && c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!is_upper && c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        copy[i] = c;
    }
    return give(out, pn_slice(copy, self->s.len));
}

static bool is_trimmed(struct pn_slice c, const struct pn_expr_value *args, size_t count)
{
    if (count == 0)
        return c.len == 1 && (c.ptr[0] == ' ' || (c.ptr[0] >= '\t' && c.ptr[0] <= '\r'));
    for (size_t i = 0; i < count; i++) {
        if (args[i].type == PN_EXPR_CHAR && args[i].i == expr_first_unit(c))
            return true;
        for (size_t j = 0; args[i].type == PN_EXPR_CHARS && j < args[i].list.count; j++)
            if (pn_slice_eq(args[i].list.items[j], c))
                return true;
    }
    return false;
}

/* number: 1 the beginning, 2 the end, 3 both. Characters to trim are ASCII, or whole ones. */
EXPR_FN(trim)
{
    struct pn_slice s = self->s;

    while ((run->member->number & 1) && s.len > 0) {
        size_t bytes = expr_unit_offset(s, 1);

        if (bytes > s.len || !is_trimmed(pn_slice_sub(s, 0, bytes), args, count))
            break;
        s = pn_slice_sub(s, bytes, s.len);
    }
    while ((run->member->number & 2) && s.len > 0) {
        size_t at = s.len - 1;

        while (at > 0 && ((unsigned char)s.ptr[at] & 0xC0) == 0x80)
            at--;
        if (!is_trimmed(pn_slice_sub(s, at, s.len), args, count))
            break;
        s.len = at;
    }
    return give(out, s);
}

EXPR_FN(contains)
{
    size_t at;

    if (!find(run, self->s, needle_of(run, &args[0]), 0, ignores_case(args, count), &at))
        return false;
    *out = pn_expr_bool(at != SIZE_MAX);
    return true;
}

EXPR_FN(starts_or_ends_with)
{
    struct pn_slice needle = needle_of(run, &args[0]);
    struct pn_slice part = pn_slice_sub(self->s, 0, needle.len);

    if (run->member->number && self->s.len >= needle.len)
        part = pn_slice_sub(self->s, self->s.len - needle.len, needle.len);
    *out = pn_expr_bool(is_same(part, needle, ignores_case(args, count)));
    return true;
}

EXPR_FN(equals)
{
    const struct pn_expr_value *a = self ? self : &args[0];
    const struct pn_expr_value *b = self ? &args[0] : &args[1];

    if (a->type == PN_EXPR_NULL || b->type == PN_EXPR_NULL)
        *out = pn_expr_bool(a->type == b->type);
    else
        *out = pn_expr_bool(is_same(a->s, b->s, ignores_case(args, count)));
    return true;
}

static size_t count_needles(struct pn_slice s, struct pn_slice needle)
{
    size_t found = 0;

    for (size_t at = pn_slice_find_slice(s, needle); at + needle.len <= s.len;
         at = pn_slice_find_slice(s, needle)) {
        found++;
        s = pn_slice_sub(s, at + needle.len, s.len);
        if (s.len == 0)
            break;
    }
    return found;
}

EXPR_FN(replace)
{
    struct pn_slice from = needle_of(run, &args[0]);
    struct pn_slice to = args[1].type == PN_EXPR_NULL ? pn_slice("", 0) : needle_of(run, &args[1]);
    struct pn_slice rest = self->s;
    size_t found;
    char *result, *end;

    if (from.len == 0)
        return expr_throw(run, "ArgumentException: the text that is replaced is empty");
    found = count_needles(self->s, from);
    if (found == 0)
        return give(out, self->s);
    result = end = expr_alloc(run, self->s.len - found * from.len + found * to.len);
    if (!result)
        return false;
    for (; found > 0; found--) {
        size_t at = pn_slice_find_slice(rest, from);

        memcpy(end, rest.ptr, at);
        end += at;
        if (to.len > 0)
            memcpy(end, to.ptr, to.len);
        end += to.len;
        rest = pn_slice_sub(rest, at + from.len, rest.len);
    }
    if (rest.len > 0)
        memcpy(end, rest.ptr, rest.len);
    return give(out, pn_slice(result, (size_t)(end - result) + rest.len));
}

/** Bytes of `length` units from unit `start`. */
static bool cut(struct expr_run *run, struct pn_slice s, int64_t start, int64_t length,
                struct pn_slice *part)
{
    size_t units = expr_units(s);
    size_t from, to;

    *part = pn_slice("", 0);
    if (start < 0 || length < 0 || (uint64_t)start + (uint64_t)length > units)
        return out_of_range(run);
    from = expr_unit_offset(s, (size_t)start);
    to = expr_unit_offset(s, (size_t)(start + length));
    if (from == SIZE_MAX || to == SIZE_MAX)
        return expr_throw(run, "ArgumentException: a character beyond U+FFFF would be cut in two");
    *part = pn_slice_sub(s, from, to - from);
    return true;
}

EXPR_FN(substring)
{
    int64_t units = (int64_t)expr_units(self->s);
    struct pn_slice part = {0};

    if (!cut(run, self->s, args[0].i, count > 1 ? args[1].i : units - args[0].i, &part))
        return false;
    return give(out, part);
}

EXPR_FN(remove_part)
{
    int64_t units = (int64_t)expr_units(self->s);
    struct pn_slice before = {0}, part = {0};
    char *joined;

    if (!cut(run, self->s, 0, args[0].i, &before) ||
        !cut(run, self->s, args[0].i, count > 1 ? args[1].i : units - args[0].i, &part))
        return false;
    joined = expr_alloc(run, self->s.len - part.len);
    if (!joined)
        return false;
    if (before.len > 0)
        memcpy(joined, before.ptr, before.len);
    if (self->s.len > before.len + part.len)
        memcpy(joined + before.len, self->s.ptr + before.len + part.len,
               self->s.len - before.len - part.len);
    return give(out, pn_slice(joined, self->s.len - part.len));
}

EXPR_FN(index_of)
{
    size_t from = 0;
    size_t at;

    if (count > 1 && args[1].type == PN_EXPR_INT) {
        if (args[1].i < 0 || (uint64_t)args[1].i > expr_units(self->s))
            return out_of_range(run);
        from = expr_unit_offset(self->s, (size_t)args[1].i);
        if (from == SIZE_MAX)
            return out_of_range(run);
    }
    if (!find(run, self->s, needle_of(run, &args[0]), from, ignores_case(args, count), &at))
        return false;
    *out = pn_expr_int(at == SIZE_MAX ? -1 : (int64_t)expr_units(pn_slice_sub(self->s, 0, at)));
    return true;
}

EXPR_FN(last_index_of)
{
    struct pn_slice needle = needle_of(run, &args[0]);
    bool ignore_case = ignores_case(args, count);

    *out = pn_expr_int(-1);
    if (!expr_take_steps(run, (uint64_t)self->s.len * (needle.len + 1) / 4096))
        return false;
    for (size_t i = self->s.len + 1; i > 0; i--) {
        struct pn_slice part = pn_slice_sub(self->s, i - 1, needle.len);

        if (part.len == needle.len && is_same(part, needle, ignore_case)) {
            *out = pn_expr_int((int64_t)expr_units(pn_slice_sub(self->s, 0, i - 1)));
            return true;
        }
    }
    return true;
}

EXPR_FN(pad)
{
    struct pn_slice fill = count > 1 ? expr_character(run, args[1].i) : PN_LIT(" ");
    size_t units = expr_units(self->s);
    size_t missing;
    char *padded, *at;

    if (args[0].i < 0)
        return out_of_range(run);
    if ((uint64_t)args[0].i <= units)
        return give(out, self->s);
    missing = (size_t)args[0].i - units;
    padded = expr_alloc(run, self->s.len + missing * fill.len);
    if (!padded)
        return false;
    at = padded + (run->member->number ? self->s.len : 0);
    for (size_t i = 0; i < missing && fill.len > 0; i++, at += fill.len)
        memcpy(at, fill.ptr, fill.len);
    if (self->s.len > 0)
        memcpy(run->member->number ? padded : at, self->s.ptr, self->s.len);
    return give(out, pn_slice(padded, self->s.len + missing * fill.len));
}

EXPR_FN(character_at)
{
    struct pn_slice part = {0};

    if (args[0].i < 0 || (uint64_t)args[0].i >= expr_units(self->s))
        return expr_throw(run, "IndexOutOfRangeException: a position is outside of a text");
    if (!cut(run, self->s, args[0].i, 1, &part))
        return false;
    *out = (struct pn_expr_value){.type = PN_EXPR_CHAR, .i = expr_first_unit(part)};
    return true;
}

/* ---- Split */

struct separators {
    const struct pn_slice *items;
    size_t count;
};

/** Length of the separator at `at`, or 0. */
static size_t separator_at(const struct separators *separators, struct pn_slice s, size_t at)
{
    for (size_t i = 0; i < separators->count; i++)
        if (separators->items[i].len > 0 &&
            pn_slice_eq(pn_slice_sub(s, at, separators->items[i].len), separators->items[i]))
            return separators->items[i].len;
    return 0;
}

/** Fills `parts` when it is not NULL; gives their number. */
static size_t split_into(struct pn_slice s, const struct separators *separators, bool skips_empty,
                         struct pn_slice *parts)
{
    size_t count = 0;
    size_t start = 0;

    for (size_t at = 0; at <= s.len; at++) {
        size_t len = at < s.len ? separator_at(separators, s, at) : 1;

        if (len == 0)
            continue;
        if (at > start || !skips_empty) {
            if (parts)
                parts[count] = pn_slice_sub(s, start, at - start);
            count++;
        }
        start = at + len;
        at = start - 1;
    }
    return count;
}

EXPR_FN(split)
{
    static const struct pn_slice spaces[] = {{" ", 1}, {"\t", 1}, {"\n", 1}, {"\r", 1}};
    struct pn_slice own[EXPR_ARGS_MAX];
    struct separators separators = {own, 0};
    bool skips_empty =
        count > 0 && args[count - 1].type == PN_EXPR_SPLIT_OPTIONS && args[count - 1].i != 0;
    struct pn_slice *parts;
    size_t found;

    for (size_t i = 0; i < count; i++) {
        if (args[i].type == PN_EXPR_CHAR || args[i].type == PN_EXPR_STRING)
            own[separators.count++] = needle_of(run, &args[i]);
        else if (args[i].type == PN_EXPR_CHARS || args[i].type == PN_EXPR_STRINGS)
            separators = (struct separators){args[i].list.items, args[i].list.count};
    }
    if (separators.count == 0)
        separators = (struct separators){spaces, sizeof(spaces) / sizeof(spaces[0])};
    if (!expr_take_steps(run, (uint64_t)self->s.len * separators.count / 256))
        return false;
    found = split_into(self->s, &separators, skips_empty, NULL);
    parts = expr_alloc(run, found * sizeof(*parts));
    if (!parts)
        return false;
    (void)split_into(self->s, &separators, skips_empty, parts);
    for (size_t i = 0; i < found; i++)
        if (!parts[i].ptr)
            parts[i] = pn_slice("", 0);
    *out = (struct pn_expr_value){.type = PN_EXPR_STRINGS, .list = {parts, found}};
    return true;
}

/* ---- static ones */

EXPR_FN(is_null_or_empty)
{
    bool allows_space = run->member->number != 0;
    bool is = args[0].type == PN_EXPR_NULL || args[0].s.len == 0;

    if (!is && allows_space) {
        is = true;
        for (size_t i = 0; i < args[0].s.len; i++)
            is = is && is_trimmed(pn_slice_sub(args[0].s, i, 1), NULL, 0);
    }
    *out = pn_expr_bool(is);
    return true;
}

/** All texts with a separator between. */
static bool join(struct expr_run *run, struct pn_slice separator, const struct pn_slice *texts,
                 size_t count, struct pn_expr_value *out)
{
    size_t len = 0;
    char *joined, *end;

    for (size_t i = 0; i < count; i++)
        len += texts[i].len + (i > 0 ? separator.len : 0);
    joined = end = expr_alloc(run, len);
    if (!joined)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && separator.len > 0) {
            memcpy(end, separator.ptr, separator.len);
            end += separator.len;
        }
        if (texts[i].len > 0)
            memcpy(end, texts[i].ptr, texts[i].len);
        end += texts[i].len;
    }
    return give(out, pn_slice(joined, len));
}

static bool texts_of(struct expr_run *run, const struct pn_expr_value *args, size_t count,
                     struct pn_slice *texts)
{
    for (size_t i = 0; i < count; i++)
        if (!expr_to_text(run, &args[i], &texts[i]))
            return false;
    return true;
}

EXPR_FN(concat)
{
    struct pn_slice texts[EXPR_ARGS_MAX];

    if (count == 1 && args[0].type == PN_EXPR_STRINGS)
        return join(run, pn_slice("", 0), args[0].list.items, args[0].list.count, out);
    return texts_of(run, args, count, texts) && join(run, pn_slice("", 0), texts, count, out);
}

EXPR_FN(join_texts)
{
    struct pn_slice texts[EXPR_ARGS_MAX];
    struct pn_slice separator = args[0].type == PN_EXPR_NULL ? pn_slice("", 0) : args[0].s;

    if (count == 2 && args[1].type == PN_EXPR_STRINGS)
        return join(run, separator, args[1].list.items, args[1].list.count, out);
    return texts_of(run, args + 1, count - 1, texts) && join(run, separator, texts, count - 1, out);
}

/** One {index,width:format} of string.Format; *at is behind its '{'. */
static bool format_item(struct expr_run *run, struct pn_slice form, size_t *at,
                        const struct pn_expr_value *args, size_t count, struct pn_slice *text)
{
    struct pn_slice item = pn_slice_sub(form, *at, form.len);
    size_t end = pn_slice_find(item, '}');
    struct pn_slice format, width;
    uint64_t index = 0;
    int64_t align = 0;
    struct pn_expr_value wide;

    item = pn_slice_sub(item, 0, end);
    *at += end + 1;
    format = pn_slice_sub(item, pn_slice_find(item, ':') + 1, item.len);
    item = pn_slice_sub(item, 0, pn_slice_find(item, ':'));
    width = pn_slice_sub(item, pn_slice_find(item, ',') + 1, item.len);
    item = pn_slice_sub(item, 0, pn_slice_find(item, ','));
    if (*at > form.len || !pn_slice_to_u64(item, EXPR_ARGS_MAX, &index) || index >= count ||
        (width.len > 0 && !expr_parse_long(width, -1000, 1000, &align)))
        return expr_throw(run, "FormatException: a hole of string.Format is none of its arguments");
    if (!expr_format(run, &args[index], format, text))
        return false;
    if (align == 0)
        return true;
    wide = pn_expr_string(*text);
    {
        static const struct expr_member left = {.number = 0}, right = {.number = 1};
        struct pn_expr_value size = pn_expr_int(align < 0 ? -align : align);
        struct pn_expr_value padded = pn_expr_null();

        run->member = align < 0 ? &right : &left;
        if (!pad(run, &wide, &size, 1, &padded))
            return false;
        *text = padded.s;
    }
    return true;
}

EXPR_FN(format)
{
    struct pn_slice form = args[0].s;
    struct pn_slice *pieces = expr_alloc(run, (form.len + 1) * sizeof(*pieces));
    size_t found = 0;
    size_t at = 0;

    while (pieces && at < form.len) {
        char c = form.ptr[at];
        char next = at + 1 < form.len ? form.ptr[at + 1] : '\0';
        size_t start = at;

        if ((c == '{' || c == '}') && next == c) {
            pieces[found++] = pn_slice_sub(form, at, 1);
            at += 2;
        } else if (c == '{') {
            at++;
            if (!format_item(run, form, &at, args + 1, count - 1, &pieces[found++]))
                return false;
        } else if (c == '}') {
            return expr_throw(run, "FormatException: a '}' of string.Format is written '}}'");
        } else {
            while (at < form.len && form.ptr[at] != '{' && form.ptr[at] != '}')
                at++;
            pieces[found++] = pn_slice_sub(form, start, at - start);
        }
    }
    return pieces && join(run, pn_slice("", 0), pieces, found, out);
}

EXPR_FN(empty)
{
    return give(out, pn_slice("", 0));
}

/* ---- every value */

EXPR_FN(to_string)
{
    struct pn_slice text;

    if (!expr_format(run, self, count > 0 ? args[0].s : pn_slice(NULL, 0), &text))
        return false;
    return give(out, text);
}

/* ---- arrays */

EXPR_FN(array_length)
{
    *out = pn_expr_int((int64_t)self->list.count);
    return true;
}

EXPR_FN(bytes_length)
{
    *out = pn_expr_int((int64_t)self->s.len);
    return true;
}

static bool give_item(struct expr_run *run, const struct pn_expr_value *list, uint64_t i,
                      struct pn_expr_value *out)
{
    struct pn_slice item;

    if (i >= list->list.count)
        return expr_throw(run, "IndexOutOfRangeException: an array has no such item");
    item = list->list.items[i];
    if (list->type == PN_EXPR_CHARS)
        *out = (struct pn_expr_value){.type = PN_EXPR_CHAR, .i = expr_first_unit(item)};
    else
        *out = item.ptr ? pn_expr_string(item) : pn_expr_null();
    return true;
}

EXPR_FN(item_at)
{
    return give_item(run, self, args[0].i < 0 ? UINT64_MAX : (uint64_t)args[0].i, out);
}

EXPR_FN(first)
{
    if (self->list.count == 0 && run->member->number)
        return expr_throw(run,
                          "InvalidOperationException: an array without items has no first one");
    *out = pn_expr_null();
    return self->list.count == 0 || give_item(run, self, 0, out);
}

EXPR_FN(last)
{
    if (self->list.count == 0 && run->member->number)
        return expr_throw(run, "InvalidOperationException: an array without items has no last one");
    *out = pn_expr_null();
    return self->list.count == 0 || give_item(run, self, self->list.count - 1, out);
}

EXPR_FN(any)
{
    *out = pn_expr_bool(self->list.count > 0);
    return true;
}

EXPR_FN(array_contains)
{
    *out = pn_expr_bool(false);
    if (!expr_take_steps(run, self->list.count))
        return false;
    for (size_t i = 0; i < self->list.count; i++)
        out->b =
            out->b || (args[0].type == PN_EXPR_NULL ? !self->list.items[i].ptr
                                                    : pn_slice_eq(self->list.items[i], args[0].s));
    return true;
}

/* ---- Basic credentials (RFC 7617) */

/* null when it is none */
EXPR_FN(as_basic)
{
    struct pn_slice *pair = expr_alloc(run, 2 * sizeof(*pair));
    struct pn_slice text, decoded = {0};
    struct pn_buf bytes;
    size_t colon;
    bool is_good;

    *out = pn_expr_null();
    if (!pair)
        return false;
    if (!pn_slice_case_starts_with(self->s, PN_LIT("Basic ")))
        return true;
    text = pn_slice_sub(self->s, 6, self->s.len);
    pn_buf_init_secret(&bytes, self->s.len + 1);
    if (pn_base64_decode(text, &bytes) != PN_OK) {
        pn_buf_fini(&bytes);
        return true;
    }
    is_good = expr_dup(run, pn_buf_slice(&bytes), &decoded);
    pn_buf_fini(&bytes);
    if (!is_good)
        return false;
    colon = pn_slice_find(decoded, ':');
    if (colon >= decoded.len)
        return true;
    pair[0] = pn_slice_sub(decoded, 0, colon);
    pair[1] = pn_slice_sub(decoded, colon + 1, decoded.len);
    *out = (struct pn_expr_value){.type = PN_EXPR_CREDENTIALS, .list = {pair, 2}};
    return true;
}

EXPR_FN(credential)
{
    return give(out, self->list.items[run->member->number]);
}

#define S PN_EXPR_STRING
#define B PN_EXPR_BOOL
#define I PN_EXPR_INT
#define L PN_EXPR_STRINGS
#define K PN_EXPR_CHARS

const struct expr_member expr_string_members[] = {
    {S, "Length", NULL, I, length, false, 0},
    {S, "ToLower", "", S, change_case, false, 0},
    {S, "ToLowerInvariant", "", S, change_case, false, 0},
    {S, "ToUpper", "", S, change_case, false, 1},
    {S, "ToUpperInvariant", "", S, change_case, false, 1},
    {S, "Trim", "", S, trim, false, 3},
    {S, "Trim", "c*", S, trim, false, 3},
    {S, "Trim", "K", S, trim, false, 3},
    {S, "TrimStart", "", S, trim, false, 1},
    {S, "TrimStart", "c*", S, trim, false, 1},
    {S, "TrimStart", "K", S, trim, false, 1},
    {S, "TrimEnd", "", S, trim, false, 2},
    {S, "TrimEnd", "c*", S, trim, false, 2},
    {S, "TrimEnd", "K", S, trim, false, 2},
    {S, "Contains", "s", B, contains, false, 0},
    {S, "Contains", "c", B, contains, false, 0},
    {S, "Contains", "sC", B, contains, false, 0},
    {S, "StartsWith", "s", B, starts_or_ends_with, false, 0},
    {S, "StartsWith", "c", B, starts_or_ends_with, false, 0},
    {S, "StartsWith", "sC", B, starts_or_ends_with, false, 0},
    {S, "EndsWith", "s", B, starts_or_ends_with, false, 1},
    {S, "EndsWith", "c", B, starts_or_ends_with, false, 1},
    {S, "EndsWith", "sC", B, starts_or_ends_with, false, 1},
    {S, "Equals", "S", B, equals, false, 0},
    {S, "Equals", "SC", B, equals, false, 0},
    {S, "Replace", "sS", S, replace, false, 0},
    {S, "Replace", "cc", S, replace, false, 0},
    {S, "Substring", "i", S, substring, false, 0},
    {S, "Substring", "ii", S, substring, false, 0},
    {S, "Remove", "i", S, remove_part, false, 0},
    {S, "Remove", "ii", S, remove_part, false, 0},
    {S, "IndexOf", "s", I, index_of, false, 0},
    {S, "IndexOf", "c", I, index_of, false, 0},
    {S, "IndexOf", "si", I, index_of, false, 0},
    {S, "IndexOf", "ci", I, index_of, false, 0},
    {S, "IndexOf", "sC", I, index_of, false, 0},
    {S, "LastIndexOf", "s", I, last_index_of, false, 0},
    {S, "LastIndexOf", "c", I, last_index_of, false, 0},
    {S, "LastIndexOf", "sC", I, last_index_of, false, 0},
    {S, "Split", "c*", L, split, false, 0},
    {S, "Split", "K", L, split, false, 0},
    {S, "Split", "KP", L, split, false, 0},
    {S, "Split", "LP", L, split, false, 0},
    {S, "Split", "cP", L, split, false, 0},
    {S, "Split", "s", L, split, false, 0},
    {S, "Split", "sP", L, split, false, 0},
    {S, "PadLeft", "i", S, pad, false, 0},
    {S, "PadLeft", "ic", S, pad, false, 0},
    {S, "PadRight", "i", S, pad, false, 1},
    {S, "PadRight", "ic", S, pad, false, 1},
    {S, "[]", "i", PN_EXPR_CHAR, character_at, false, 0},
    {S, "AsBasic", "", PN_EXPR_CREDENTIALS, as_basic, false, 0},

    {S, "Empty", NULL, S, empty, true, 0},
    {S, "IsNullOrEmpty", "S", B, is_null_or_empty, true, 0},
    {S, "IsNullOrWhiteSpace", "S", B, is_null_or_empty, true, 1},
    {S, "Equals", "SS", B, equals, true, 0},
    {S, "Equals", "SSC", B, equals, true, 0},
    {S, "Concat", "L", S, concat, true, 0},
    {S, "Concat", "o*", S, concat, true, 0},
    {S, "Join", "SL", S, join_texts, true, 0},
    {S, "Join", "So*", S, join_texts, true, 0},
    {S, "Format", "so*", S, format, true, 0},

    {PN_EXPR_OBJECT, "ToString", "", S, to_string, false, 0},
    {PN_EXPR_OBJECT, "ToString", "s", S, to_string, false, 0},

    {L, "Length", NULL, I, array_length, false, 0},
    {L, "Count", "", I, array_length, false, 0},
    {L, "[]", "i", S, item_at, false, 0},
    {L, "First", "", S, first, false, 1},
    {L, "FirstOrDefault", "", S, first, false, 0},
    {L, "Last", "", S, last, false, 1},
    {L, "LastOrDefault", "", S, last, false, 0},
    {L, "Any", "", B, any, false, 0},
    {L, "Contains", "S", B, array_contains, false, 0},
    {K, "Length", NULL, I, array_length, false, 0},
    {K, "[]", "i", PN_EXPR_CHAR, item_at, false, 0},
    {PN_EXPR_BYTES, "Length", NULL, I, bytes_length, false, 0},

    {PN_EXPR_CREDENTIALS, "UserId", NULL, S, credential, false, 0},
    {PN_EXPR_CREDENTIALS, "Password", NULL, S, credential, false, 1},

    {PN_EXPR_COMPARISON, "Ordinal", NULL, PN_EXPR_COMPARISON, NULL, true, 0},
    {PN_EXPR_COMPARISON, "OrdinalIgnoreCase", NULL, PN_EXPR_COMPARISON, NULL, true, 1},
    {PN_EXPR_COMPARISON, "InvariantCulture", NULL, PN_EXPR_COMPARISON, NULL, true, 0},
    {PN_EXPR_COMPARISON, "InvariantCultureIgnoreCase", NULL, PN_EXPR_COMPARISON, NULL, true, 1},
    {PN_EXPR_COMPARISON, "CurrentCulture", NULL, PN_EXPR_COMPARISON, NULL, true, 0},
    {PN_EXPR_COMPARISON, "CurrentCultureIgnoreCase", NULL, PN_EXPR_COMPARISON, NULL, true, 1},
    {PN_EXPR_SPLIT_OPTIONS, "None", NULL, PN_EXPR_SPLIT_OPTIONS, NULL, true, 0},
    {PN_EXPR_SPLIT_OPTIONS, "RemoveEmptyEntries", NULL, PN_EXPR_SPLIT_OPTIONS, NULL, true, 1},
    {.name = NULL},
};
