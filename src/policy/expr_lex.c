/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of C#, as far as expressions need them (C# specification, lexical structure). Strings are
 * decoded here; "\u20AC" becomes UTF-8.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/expr_internal.h"

#define NUMBER_MAX 64

void expr_fail(struct expr_lexer *lexer, size_t offset, const char *format, ...)
{
    va_list args;

    if (lexer->has_failed)
        return;
    lexer->has_failed = true;
    lexer->fault->offset = offset < lexer->text.len ? offset : lexer->text.len;
    va_start(args, format);
    vsnprintf(lexer->fault->message, sizeof(lexer->fault->message), format, args);
    va_end(args);
}

void expr_no_memory(struct expr_lexer *lexer)
{
    lexer->is_out_of_memory = true;
    expr_fail(lexer, 0, "out of memory");
}

static char peek(const struct expr_lexer *lexer, size_t ahead)
{
    return lexer->at + ahead < lexer->text.len ? lexer->text.ptr[lexer->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static void skip_space(struct expr_lexer *lexer)
{
    for (;;) {
        char c = peek(lexer, 0);

        if (lexer->at >= lexer->text.len)
            return;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            lexer->at++;
        } else if (c == '/' && peek(lexer, 1) == '/') {
            while (lexer->at < lexer->text.len && peek(lexer, 0) != '\n')
                lexer->at++;
        } else if (c == '/' && peek(lexer, 1) == '*') {
            struct pn_slice rest = pn_slice_sub(lexer->text, lexer->at, lexer->text.len);
            size_t end = pn_slice_find_slice(rest, PN_LIT("*/"));

            if (end >= rest.len) {
                expr_fail(lexer, lexer->at, "the comment that starts here has no end");
                lexer->at = lexer->text.len;
                return;
            }
            lexer->at += end + 2;
        } else {
            return;
        }
    }
}

/* ---- strings */

struct text {
    char *ptr;
    size_t len;
};

/** One scratch for all literals: none has more bytes than it has in the text, for each escape is
 *  longer than what it means. */
static bool begin_text(struct expr_lexer *lexer, struct text *text)
{
    if (!lexer->scratch)
        lexer->scratch = pn_arena_alloc(lexer->arena, lexer->text.len + 1);
    text->ptr = lexer->scratch;
    text->len = 0;
    if (!text->ptr)
        expr_no_memory(lexer);
    return text->ptr != NULL;
}

static struct pn_slice end_text(struct expr_lexer *lexer, const struct text *text)
{
    struct pn_slice copy = pn_arena_dup(lexer->arena, pn_slice(text->ptr, text->len));

    if (!copy.ptr)
        expr_no_memory(lexer);
    return copy;
}

static void put_code(struct text *text, uint32_t code)
{
    if (code < 0x80) {
        text->ptr[text->len++] = (char)code;
    } else if (code < 0x800) {
        text->ptr[text->len++] = (char)(0xC0 | code >> 6);
        text->ptr[text->len++] = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        text->ptr[text->len++] = (char)(0xE0 | code >> 12);
        text->ptr[text->len++] = (char)(0x80 | (code >> 6 & 0x3F));
        text->ptr[text->len++] = (char)(0x80 | (code & 0x3F));
    } else {
        text->ptr[text->len++] = (char)(0xF0 | code >> 18);
        text->ptr[text->len++] = (char)(0x80 | (code >> 12 & 0x3F));
        text->ptr[text->len++] = (char)(0x80 | (code >> 6 & 0x3F));
        text->ptr[text->len++] = (char)(0x80 | (code & 0x3F));
    }
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/** Digits of \u, \U or \x at `at`. */
static bool read_hex(struct expr_lexer *lexer, size_t min, size_t max, uint32_t *code)
{
    size_t count = 0;

    *code = 0;
    while (count < max && hex_value(peek(lexer, 0)) >= 0) {
        *code = *code << 4 | (uint32_t)hex_value(peek(lexer, 0));
        lexer->at++;
        count++;
    }
    return count >= min;
}

static bool read_unicode(struct expr_lexer *lexer, char kind, size_t start, struct text *text)
{
    uint32_t code, low;
    size_t digits = kind == 'U' ? 8 : 4;

    if (!read_hex(lexer, kind == 'x' ? 1 : digits, digits, &code)) {
        expr_fail(lexer, start, "the escape \\%c needs hexadecimal digits", kind);
        return false;
    }
    if (code >= 0xD800 && code < 0xDC00 && peek(lexer, 0) == '\\' && peek(lexer, 1) == 'u') {
        lexer->at += 2;
        if (read_hex(lexer, 4, 4, &low) && low >= 0xDC00 && low < 0xE000)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        expr_fail(lexer, start, "the escape is no character that a text may have");
        return false;
    }
    put_code(text, code);
    return true;
}

/** lexer->at is on the backslash. */
static bool read_escape(struct expr_lexer *lexer, struct text *text)
{
    static const char from[] = "'\"\\abfnrtv";
    static const char to[] = "'\"\\\a\b\f\n\r\t\v";
    size_t start = lexer->at;
    char c = peek(lexer, 1);
    const char *found;

    lexer->at += 2;
    if (c == 'u' || c == 'U' || c == 'x')
        return read_unicode(lexer, c, start, text);
    found = c ? strchr(from, c) : NULL;
    if (!found) {
        expr_fail(
            lexer, start,
            "the escape is not known; those are \\\\ \\\" \\' \\n \\r \\t \\uXXXX (a backslash "
            "itself: \\\\, or @\"…\")");
        return false;
    }
    text->ptr[text->len++] = to[found - from];
    return true;
}

static bool no_end(struct expr_lexer *lexer, size_t start)
{
    expr_fail(lexer, start, "the string that starts here has no closing quote");
    lexer->at = lexer->text.len;
    return false;
}

/** "…" behind its opening quote. */
static bool read_plain(struct expr_lexer *lexer, size_t start, struct text *text)
{
    while (lexer->at < lexer->text.len) {
        char c = peek(lexer, 0);

        if (c == '"') {
            lexer->at++;
            return true;
        }
        if (c == '\n')
            break;
        if (c == '\\') {
            if (!read_escape(lexer, text))
                return false;
        } else {
            text->ptr[text->len++] = c;
            lexer->at++;
        }
    }
    return no_end(lexer, start);
}

/** @"…" behind its opening quote. */
static bool read_verbatim(struct expr_lexer *lexer, size_t start, struct text *text)
{
    while (lexer->at < lexer->text.len) {
        char c = lexer->text.ptr[lexer->at++];

        if (c == '"' && peek(lexer, 0) != '"')
            return true;
        if (c == '"')
            lexer->at++;
        text->ptr[text->len++] = c;
    }
    return no_end(lexer, start);
}

bool expr_lex_piece(struct expr_lexer *lexer, bool is_verbatim, struct pn_slice *piece)
{
    size_t start = lexer->at;
    struct text text;

    *piece = pn_slice("", 0);
    if (!begin_text(lexer, &text))
        return false;
    while (lexer->at < lexer->text.len && !lexer->has_failed) {
        char c = peek(lexer, 0);
        char next = peek(lexer, 1);

        if ((c == '{' || c == '}') && next == c) {
            text.ptr[text.len++] = c;
            lexer->at += 2;
        } else if (c == '{' || (c == '"' && !(is_verbatim && next == '"'))) {
            *piece = end_text(lexer, &text);
            lexer->at++;
            return c == '{' && !lexer->has_failed;
        } else if (c == '}') {
            expr_fail(lexer, lexer->at, "a '}' in an interpolated string is written '}}'");
        } else if (c == '\\' && !is_verbatim) {
            if (!read_escape(lexer, &text))
                return false;
        } else if (c == '\n' && !is_verbatim) {
            break;
        } else {
            lexer->at += c == '"' ? 2 : 1;
            text.ptr[text.len++] = c;
        }
    }
    return no_end(lexer, start);
}

static void lex_string(struct expr_lexer *lexer, struct expr_token *token, bool is_verbatim)
{
    struct text text;

    token->kind = EXPR_TEXT;
    if (!begin_text(lexer, &text))
        return;
    if (is_verbatim ? read_verbatim(lexer, token->start, &text)
                    : read_plain(lexer, token->start, &text))
        token->value = pn_expr_string(end_text(lexer, &text));
}

static void lex_character(struct expr_lexer *lexer, struct expr_token *token)
{
    struct text text;

    token->kind = EXPR_CHARACTER;
    lexer->at++;
    if (!begin_text(lexer, &text))
        return;
    if (peek(lexer, 0) == '\\') {
        if (!read_escape(lexer, &text))
            return;
    } else {
        while (lexer->at < lexer->text.len && peek(lexer, 0) != '\'' && peek(lexer, 0) != '\n')
            text.ptr[text.len++] = lexer->text.ptr[lexer->at++];
    }
    if (peek(lexer, 0) != '\'' || text.len == 0 || expr_units(pn_slice(text.ptr, text.len)) != 1) {
        expr_fail(lexer, token->start,
                  "a character literal holds one character; texts are in double quotes");
        return;
    }
    lexer->at++;
    token->value = (struct pn_expr_value){.type = PN_EXPR_CHAR, .i = (unsigned char)text.ptr[0]};
    if (text.len == 2)
        token->value.i = (text.ptr[0] & 0x1F) << 6 | (text.ptr[1] & 0x3F);
    if (text.len == 3)
        token->value.i =
            (text.ptr[0] & 0x0F) << 12 | (text.ptr[1] & 0x3F) << 6 | (text.ptr[2] & 0x3F);
}

/* ---- numbers */

static size_t copy_digits(struct expr_lexer *lexer, char *out, size_t len)
{
    while ((is_digit(peek(lexer, 0)) || peek(lexer, 0) == '_') && len < NUMBER_MAX - 4) {
        if (peek(lexer, 0) != '_')
            out[len++] = peek(lexer, 0);
        lexer->at++;
    }
    return len;
}

static void lex_hex(struct expr_lexer *lexer, struct expr_token *token)
{
    uint64_t value = 0;
    size_t digits = 0;

    for (lexer->at += 2; hex_value(peek(lexer, 0)) >= 0 && digits < 17; digits++)
        value = value << 4 | (uint64_t)hex_value(lexer->text.ptr[lexer->at++]);
    if (digits == 0 || digits > 16 || value > INT64_MAX)
        expr_fail(lexer, token->start, "the number is not one that a long can hold");
    token->value = (struct pn_expr_value){.type = value <= INT32_MAX ? PN_EXPR_INT : PN_EXPR_LONG,
                                          .i = (int64_t)value};
}

static void lex_number(struct expr_lexer *lexer, struct expr_token *token)
{
    char digits[NUMBER_MAX];
    size_t len;
    bool is_double = false;
    int64_t value = 0;
    char c;

    token->kind = EXPR_NUMBER;
    if (peek(lexer, 0) == '0' && (peek(lexer, 1) | 0x20) == 'x') {
        lex_hex(lexer, token);
        return;
    }
    len = copy_digits(lexer, digits, 0);
    if (peek(lexer, 0) == '.' && is_digit(peek(lexer, 1))) {
        is_double = true;
        digits[len++] = '.';
        lexer->at++;
        len = copy_digits(lexer, digits, len);
    }
    c = peek(lexer, 0);
    if ((c == 'e' || c == 'E') && len < NUMBER_MAX - 4 &&
        (is_digit(peek(lexer, 1)) ||
         ((peek(lexer, 1) == '-' || peek(lexer, 1) == '+') && is_digit(peek(lexer, 2))))) {
        is_double = true;
        digits[len++] = 'e';
        lexer->at++;
        if (!is_digit(peek(lexer, 0)))
            digits[len++] = lexer->text.ptr[lexer->at++];
        len = copy_digits(lexer, digits, len);
    }
    digits[len] = '\0';
    c = (char)(peek(lexer, 0) | 0x20);
    if (c == 'd' || c == 'l') {
        is_double = is_double || c == 'd';
        lexer->at++;
    }
    if (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0))) {
        expr_fail(lexer, token->start,
                  "the number is not one that is known here: int, long (1L) and double (1.5)");
        return;
    }
    if (is_double) {
        token->value = (struct pn_expr_value){.type = PN_EXPR_DOUBLE, .d = strtod(digits, NULL)};
        return;
    }
    if (!expr_parse_long(pn_slice(digits, len), 0, INT64_MAX, &value))
        expr_fail(lexer, token->start, "the number is larger than a long can be");
    token->value = (struct pn_expr_value){
        .type = value <= INT32_MAX && c != 'l' ? PN_EXPR_INT : PN_EXPR_LONG, .i = value};
}

/* ---- the rest */

static void lex_punctuation(struct expr_lexer *lexer, struct expr_token *token)
{
    static const char *const two[] = {"==", "!=", "<=", ">=", "&&", "||", "??", "?.",
                                      "=>", "++", "--", "+=", "-=", "<<", "::"};
    static const char one[] = "+-*/%<>=!&|?:.,;()[]{}~^";
    struct pn_slice rest = pn_slice_sub(lexer->text, lexer->at, 2);

    token->kind = EXPR_PUNCTUATION;
    /* "a?.5:1" is a condition */
    if (rest.len == 2 && rest.ptr[0] == '?' && rest.ptr[1] == '.' && is_digit(peek(lexer, 2))) {
        lexer->at++;
        return;
    }
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        if (pn_slice_eq_str(rest, two[i])) {
            lexer->at += 2;
            return;
        }
    }
    if (!strchr(one, rest.ptr[0])) {
        if (rest.ptr[0] > ' ' && rest.ptr[0] < 0x7F)
            expr_fail(lexer, token->start, "the character '%c' has no place here", rest.ptr[0]);
        else
            expr_fail(lexer, token->start, "there is a character that has no place here");
    }
    lexer->at++;
}

void expr_lex(struct expr_lexer *lexer, struct expr_token *token)
{
    char c, next, third;

    skip_space(lexer);
    *token = (struct expr_token){.kind = EXPR_END, .start = lexer->at};
    if (lexer->at < lexer->text.len && !lexer->has_failed) {
        c = peek(lexer, 0);
        next = peek(lexer, 1);
        third = peek(lexer, 2);
        if (c == '"') {
            lexer->at++;
            lex_string(lexer, token, false);
        } else if (c == '@' && next == '"') {
            lexer->at += 2;
            lex_string(lexer, token, true);
        } else if (c == '$' && next == '"') {
            lexer->at += 2;
            token->kind = EXPR_INTERPOLATED;
        } else if (((c == '$' && next == '@') || (c == '@' && next == '$')) && third == '"') {
            lexer->at += 3;
            token->kind = EXPR_INTERPOLATED;
            token->is_verbatim = true;
        } else if (c == '\'') {
            lex_character(lexer, token);
        } else if (is_digit(c)) {
            lex_number(lexer, token);
        } else if (is_letter(c) || (c == '@' && is_letter(next))) {
            token->kind = EXPR_IDENTIFIER;
            if (c == '@')
                lexer->at++;
            while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
                lexer->at++;
        } else {
            lex_punctuation(lexer, token);
        }
    }
    if (lexer->has_failed)
        token->kind = EXPR_BROKEN;
    token->end = lexer->at;
    token->raw = pn_slice_sub(lexer->text, token->start, token->end - token->start);
    if (token->kind == EXPR_IDENTIFIER && token->raw.ptr[0] == '@')
        token->raw = pn_slice_sub(token->raw, 1, token->raw.len);
}
