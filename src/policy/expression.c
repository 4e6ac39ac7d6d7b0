/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the end of a policy expression, @(…) or @{…}, without understanding it: brackets are
 * balanced, and what C# 7 lets hide a bracket is skipped: strings of all four kinds, characters,
 * comments. Nothing here evaluates anything.
 */
#include "policy/internal.h"

struct reader {
    struct pn_slice text;
    size_t at;
    int depth;
};

static bool skip_brackets(struct reader *r);

static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->text.len ? r->text.ptr[r->at + ahead] : '\0';
}

/* "…" and '…' with backslash escapes; a line end inside means that it is not closed. */
static bool skip_plain(struct reader *r)
{
    char quote = r->text.ptr[r->at++];

    for (; r->at < r->text.len; r->at++) {
        char c = r->text.ptr[r->at];

        if (c == quote) {
            r->at++;
            return true;
        }
        if (c == '\n')
            return false;
        if (c == '\\')
            r->at++;
    }
    return false;
}

/* @"…": only "" is special. */
static bool skip_verbatim(struct reader *r)
{
    for (r->at++; r->at < r->text.len; r->at++) {
        if (r->text.ptr[r->at] != '"')
            continue;
        if (peek(r, 1) == '"') {
            r->at++;
            continue;
        }
        r->at++;
        return true;
    }
    return false;
}

/* $"…{hole}…" and $@"…": holes hold expressions, {{ is a brace. r->at is on the opening quote. */
static bool skip_interpolated(struct reader *r, bool is_verbatim)
{
    r->at++;
    while (r->at < r->text.len) {
        char c = r->text.ptr[r->at];

        if (c == '"' && is_verbatim && peek(r, 1) == '"') {
            r->at += 2;
        } else if (c == '"') {
            r->at++;
            return true;
        } else if (c == '\\' && !is_verbatim) {
            r->at += 2;
        } else if (c == '{' && peek(r, 1) == '{') {
            r->at += 2;
        } else if (c == '{') {
            if (!skip_brackets(r))
                return false;
        } else {
            r->at++;
        }
    }
    return false;
}

static bool skip_comment(struct reader *r)
{
    bool is_line = peek(r, 1) == '/';

    for (r->at += 2; r->at < r->text.len; r->at++) {
        char c = r->text.ptr[r->at];

        if (is_line && c == '\n')
            return true;
        if (!is_line && c == '*' && peek(r, 1) == '/') {
            r->at += 2;
            return true;
        }
    }
    return false;
}

/* From an opening bracket to behind the one that closes it. */
static bool skip_brackets(struct reader *r)
{
    char open = r->text.ptr[r->at++];
    char close = open == '(' ? ')' : open == '[' ? ']' : '}';
    bool is_good = ++r->depth <= PN_POLICY_CONDITIONS_MAX;

    while (is_good && r->at < r->text.len) {
        char c = r->text.ptr[r->at];

        if (c == close) {
            r->at++;
            r->depth--;
            return true;
        }
        if (c == '(' || c == '[' || c == '{') {
            is_good = skip_brackets(r);
        } else if (c == ')' || c == ']' || c == '}') {
            return false;
        } else if (c == '"' || c == '\'') {
            is_good = skip_plain(r);
        } else if (c == '@' && peek(r, 1) == '"') {
            r->at++;
            is_good = skip_verbatim(r);
        } else if (c == '$' && peek(r, 1) == '"') {
            r->at++;
            is_good = skip_interpolated(r, false);
        } else if ((c == '$' && peek(r, 1) == '@' && peek(r, 2) == '"') ||
                   (c == '@' && peek(r, 1) == '$' && peek(r, 2) == '"')) {
            r->at += 2;
            is_good = skip_interpolated(r, true);
        } else if (c == '/' && (peek(r, 1) == '/' || peek(r, 1) == '*')) {
            is_good = skip_comment(r);
        } else {
            r->at++;
        }
    }
    return false;
}

bool pn_policy_is_expression(struct pn_slice text)
{
    return text.len >= 2 && text.ptr[0] == '@' && (text.ptr[1] == '(' || text.ptr[1] == '{');
}

size_t pn_policy_expression_len(struct pn_slice text)
{
    struct reader r = {.text = text, .at = 1};

    return skip_brackets(&r) ? r.at : 0;
}
