/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of limits. See limits.h. What counts them is in metrics.c.
 */
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

#define OF_GATEWAY    "gateway"
#define OF_CONTROL    "control"
#define OF_SUPERVISOR "supervisor"

const struct pn_limit_row pn_limit_rows[PN_LIMIT_COUNT] = {
#define PN_LIMIT_ROW(symbol, name, unit, value, min, max, process, help)                           \
    {name, PN_UNIT_##unit, value, min, max, OF_##process, help},
    PN_LIMITS(PN_LIMIT_ROW)
#undef PN_LIMIT_ROW
};

uint64_t pn_limit_values[PN_LIMIT_COUNT] = {
#define PN_LIMIT_VALUE(symbol, name, unit, value, min, max, process, help) value,
    PN_LIMITS(PN_LIMIT_VALUE)
#undef PN_LIMIT_VALUE
};

struct suffix {
    const char *text;
    uint64_t factor;
};

/* Largest first. */
static const struct suffix byte_suffixes[] = {
    {"GiB", 1024u * 1024 * 1024}, {"MiB", 1024u * 1024}, {"KiB", 1024}, {NULL, 1}};
static const struct suffix time_suffixes[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 1}};
static const struct suffix short_time_suffixes[] = {
    {"s", 1000000}, {"ms", 1000}, {"us", 1}, {NULL, 1}};
static const struct suffix no_suffixes[] = {{NULL, 1}};

static const struct suffix *suffixes_of(enum pn_limit_unit unit)
{
    switch (unit) {
    case PN_UNIT_BYTES:
        return byte_suffixes;
    case PN_UNIT_MS:
        return time_suffixes;
    case PN_UNIT_US:
        return short_time_suffixes;
    case PN_UNIT_COUNT:
        break;
    }
    return no_suffixes;
}

static bool read_value(enum pn_limit_unit unit, struct pn_slice text, uint64_t *value)
{
    const struct suffix *found = suffixes_of(unit);
    size_t digits = 0;
    struct pn_slice rest;
    uint64_t number;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    rest = pn_slice_trim(pn_slice_sub(text, digits, text.len));
    while (found->text && !pn_slice_eq_str(rest, found->text))
        found++;
    if (!found->text && rest.len > 0)
        return false;
    if (!pn_slice_to_u64(pn_slice_sub(text, 0, digits), UINT64_MAX / found->factor, &number))
        return false;
    *value = number * found->factor;
    return true;
}

const char *pn_limit_text(enum pn_limit limit, uint64_t value, char out[32])
{
    enum pn_limit_unit unit = pn_limit_rows[limit].unit;
    const struct suffix *suffix = suffixes_of(unit);

    while (suffix->text && (value == 0 || value % suffix->factor != 0))
        suffix++;
    if (suffix->text)
        snprintf(out, 32, "%llu%s", (unsigned long long)(value / suffix->factor), suffix->text);
    else
        snprintf(out, 32, "%llu", (unsigned long long)value);
    return out;
}

static const char *name_at(size_t i)
{
    return i < PN_LIMIT_COUNT ? pn_limit_rows[i].name : NULL;
}

static enum pn_rc refuse_name(struct pn_slice name, struct pn_error *err)
{
    const char *near = pn_nearest(name, name_at);

    if (near)
        return pn_error_set(err, PN_NOT_FOUND, "limit",
                            "there is no limit '%.*s'; did you mean '%s'? (postern serve "
                            "--list-limits shows all)",
                            PN_FMT(pn_slice_sub(name, 0, 60)), near);
    return pn_error_set(err, PN_NOT_FOUND, "limit",
                        "there is no limit '%.*s' (postern serve --list-limits shows all)",
                        PN_FMT(pn_slice_sub(name, 0, 60)));
}

static enum pn_rc refuse_value(enum pn_limit limit, struct pn_slice value, struct pn_error *err)
{
    static const char *const wanted[] = {[PN_UNIT_BYTES] = "a number of bytes (also KiB, MiB, GiB)",
                                         [PN_UNIT_COUNT] = "a number",
                                         [PN_UNIT_MS] = "a time in ms (also s, m, h)",
                                         [PN_UNIT_US] = "a time in us (also ms, s)"};
    const struct pn_limit_row *row = &pn_limit_rows[limit];
    char min[32], max[32];

    return pn_error_set(err, PN_INVALID, "limit", "limit %s wants %s from %s to %s, not '%.*s'",
                        row->name, wanted[row->unit], pn_limit_text(limit, row->min, min),
                        pn_limit_text(limit, row->max, max), PN_FMT(pn_slice_sub(value, 0, 60)));
}

enum pn_rc pn_limit_set(uint64_t values[PN_LIMIT_COUNT], struct pn_slice name,
                        struct pn_slice value, struct pn_error *err)
{
    uint64_t number;

    for (size_t i = 0; i < PN_LIMIT_COUNT; i++) {
        const struct pn_limit_row *row = &pn_limit_rows[i];

        if (!pn_slice_eq_str(name, row->name))
            continue;
        if (!read_value(row->unit, value, &number) || number < row->min || number > row->max)
            return refuse_value((enum pn_limit)i, value, err);
        values[i] = number;
        return PN_OK;
    }
    return refuse_name(name, err);
}

enum pn_rc pn_limit_set_pair(uint64_t values[PN_LIMIT_COUNT], const char *pair,
                             struct pn_error *err)
{
    struct pn_slice text = pn_slice_str(pair);
    size_t equals = pn_slice_find(text, '=');

    if (equals == text.len)
        return pn_error_set(err, PN_INVALID, "limit", "a limit is set as NAME=VALUE, not '%.60s'",
                            pair);
    return pn_limit_set(values, pn_slice_sub(text, 0, equals),
                        pn_slice_sub(text, equals + 1, text.len), err);
}

void pn_limits_reset(uint64_t values[PN_LIMIT_COUNT])
{
    for (size_t i = 0; i < PN_LIMIT_COUNT; i++)
        values[i] = pn_limit_rows[i].value;
}

enum pn_rc pn_limits_export(const uint64_t values[PN_LIMIT_COUNT], struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < PN_LIMIT_COUNT && rc == PN_OK; i++) {
        if (values[i] != pn_limit_rows[i].value)
            rc = pn_buf_printf(out, "%s%s=%llu", out->len > 0 ? "," : "", pn_limit_rows[i].name,
                               (unsigned long long)values[i]);
    }
    return rc;
}

enum pn_rc pn_limits_import(struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(getenv(PN_LIMITS_ENV));
    struct pn_slice pair;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && pn_slice_cut(&rest, ',', &pair)) {
        size_t equals = pn_slice_find(pair, '=');

        rc = pn_limit_set(pn_limit_values, pn_slice_sub(pair, 0, equals),
                          pn_slice_sub(pair, equals + 1, pair.len), err);
    }
    return rc;
}

enum pn_rc pn_limits_print(const uint64_t values[PN_LIMIT_COUNT], struct pn_buf *out)
{
    enum pn_rc rc =
        pn_buf_printf(out, "%-26s %-10s %-10s %-10s %s\n", "LIMIT", "VALUE", "MIN", "MAX", "WHAT");

    for (size_t i = 0; i < PN_LIMIT_COUNT && rc == PN_OK; i++) {
        const struct pn_limit_row *row = &pn_limit_rows[i];
        enum pn_limit limit = (enum pn_limit)i;
        char value[32], min[32], max[32];

        rc = pn_buf_printf(out, "%-26s %-10s %-10s %-10s %s: %s\n", row->name,
                           pn_limit_text(limit, values[i], value),
                           pn_limit_text(limit, row->min, min), pn_limit_text(limit, row->max, max),
                           row->process, row->help);
    }
    return rc;
}
