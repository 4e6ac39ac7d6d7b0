/* SPDX-License-Identifier: Apache-2.0
 *
 * Results for people: tables, and one thing in lines; and values with tabs between them.
 *
 * What people read is shorter than what scripts read: ids are told from the service on, times to
 * the second, and on a terminal a table is as wide as that. Whatever is piped is whole.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"

#define CELL_MAX    2048
#define COLUMNS_MAX 8
#define NARROWEST   8 /* cells; a column is not made narrower than this, nor than its title */

static const json_t *walk(const json_t *item, const char *path, size_t path_len)
{
    struct pn_slice rest = pn_slice(path, path_len);
    struct pn_slice part;

    while (item && pn_slice_cut(&rest, '.', &part)) {
        char name[64];

        snprintf(name, sizeof name, "%.*s", PN_FMT(part));
        item = json_object_get(item, name);
    }
    return item;
}

static size_t append_text(const json_t *value, char *buf, size_t size)
{
    if (json_is_string(value))
        return (size_t)snprintf(buf, size, "%s", json_string_value(value));
    if (json_is_integer(value))
        return (size_t)snprintf(buf, size, "%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value))
        return (size_t)snprintf(buf, size, "%s", json_is_true(value) ? "true" : "false");
    return 0;
}

/* A server's text must not steer the terminal: no control characters, those of UTF-8's C1 neither.
 */
static void tame(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7F)
            *at = '?';
        else if (*at == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
            at[0] = at[1] = '?';
    }
}

/* What a path names; of an array *rest is the path within each member (""): the member itself. */
static const json_t *find(const json_t *item, const char *path, const char **rest)
{
    const char *members = strstr(path, "[].");

    *rest = members ? members + strlen("[].") : "";
    return walk(item, path, members ? (size_t)(members - path) : strlen(path));
}

const char *pn_cli_text_at(const json_t *item, const char *path, char *buf, size_t size)
{
    const char *rest;
    const json_t *value = find(item, path, &rest);
    const json_t *part;
    size_t index;
    size_t len = 0;

    buf[0] = '\0';
    if (!json_is_array(value))
        append_text(value, buf, size);
    json_array_foreach(value, index, part)
    {
        if (len + 2 < size && index > 0)
            len += (size_t)snprintf(buf + len, size - len, ", ");
        if (len < size)
            len += append_text(walk(part, rest, strlen(rest)), buf + len, size - len);
    }
    tame(buf);
    return buf;
}

/* ---- values with tabs between them: whole, however long */

static void print_value(const json_t *value)
{
    char text[64] = "";

    if (json_is_string(value)) {
        char *copy = pn_cli_copy(json_string_value(value));

        tame(copy);
        fputs(copy, stdout);
        pn_wipe_free_str(copy);
    } else {
        append_text(value, text, sizeof text);
        fputs(text, stdout);
    }
}

static void print_tsv(const json_t *item, const struct pn_cli_column *columns)
{
    for (size_t i = 0; columns[i].title; i++) {
        const char *rest;
        const json_t *value = find(item, columns[i].path, &rest);
        const json_t *part;
        size_t index;

        if (!json_is_array(value))
            print_value(value);
        json_array_foreach(value, index, part)
        {
            fputs(index > 0 ? ", " : "", stdout);
            print_value(walk(part, rest, strlen(rest)));
        }
        putchar(columns[i + 1].title ? '\t' : '\n');
    }
}

/* ---- for people */

/* "/subscriptions/…/service/postern/apis/orders" -> "/apis/orders", wherever it stands. */
static void take_out_service(const struct pn_cli *cli, char *text)
{
    const char *service = cli->session.service_id;
    size_t len = service ? strlen(service) : 0;

    for (char *at = len > 0 ? strcasestr(text, service) : NULL; at; at = strcasestr(at, service)) {
        if (at[len] == '/')
            memmove(at, at + len, strlen(at + len) + 1);
        else
            at += len;
    }
}

#define TIME_CELLS 20 /* 2026-11-28T18:07:26Z */
#define DATE_CELLS 10

/* "2026-11-28T18:07:26.8670000Z" -> "2026-11-28T18:07:26Z" */
static void take_out_fraction(char *text)
{
    size_t dot = TIME_CELLS - 1;
    size_t end = strlen(text);

    if (end > dot + 2 && text[dot] == '.' && text[4] == '-' && text[DATE_CELLS] == 'T' &&
        text[end - 1] == 'Z' && strspn(text + dot + 1, "0123456789") == end - dot - 2)
        memmove(text + dot, text + end - 1, 2);
}

static bool is_time(const char *text)
{
    return strnlen(text, TIME_CELLS + 1) == TIME_CELLS && text[4] == '-' && text[7] == '-' &&
           text[DATE_CELLS] == 'T' && text[TIME_CELLS - 1] == 'Z';
}

static const char *cell_at(const struct pn_cli *cli, const json_t *item, const char *path,
                           char *cell, size_t size)
{
    pn_cli_text_at(item, path, cell, size);
    take_out_service(cli, cell);
    take_out_fraction(cell);
    return cell;
}

static size_t cells(const char *text)
{
    return pn_cli_cells(text, strlen(text));
}

/* Prints as much of it as there is room, with "…" where it goes on, and fills up with blanks unless
 * it is the last one of the line. */
static void print_cell(const char *text, size_t room, bool is_last)
{
    size_t wide = cells(text);

    if (wide > room) {
        size_t len = 0;

        for (wide = 0; wide + 1 < room && text[len]; wide++)
            for (len++; ((unsigned char)text[len] & 0xC0) == 0x80; len++)
                ;
        printf("%.*s\u2026", (int)len, text);
        wide++;
    } else {
        fputs(text, stdout);
    }
    printf("%*s", is_last ? 0 : (int)(room - wide + 2), "");
}

/* Where a table is wider than the terminal, times become dates, then the widest columns give way. A
 * pipe has no width. */
static void narrow(const struct pn_cli_column *columns, size_t *widths, size_t count,
                   const bool *are_times)
{
    size_t room = pn_cli_terminal_width(stdout);
    size_t all = count > 0 ? 2 * (count - 1) : 0;

    for (size_t i = 0; i < count; i++)
        all += widths[i];
    for (size_t i = 0; i < count && room > 0 && all > room; i++) {
        if (are_times[i]) {
            all -= TIME_CELLS - DATE_CELLS;
            widths[i] = DATE_CELLS;
        }
    }
    while (room > 0 && all > room) {
        size_t widest = 0;

        for (size_t i = 1; i < count; i++)
            if (widths[i] > widths[widest])
                widest = i;
        if (widths[widest] <= NARROWEST || widths[widest] <= strlen(columns[widest].title))
            return;
        widths[widest]--;
        all--;
    }
}

/* The widths that hold everything; and which columns hold nothing but times. */
static size_t measure(const struct pn_cli *cli, const json_t *items,
                      const struct pn_cli_column *columns, size_t *widths, bool *are_times)
{
    char cell[CELL_MAX] = "";
    size_t count = 0;
    size_t index;
    const json_t *item;

    for (; columns[count].title; count++) {
        widths[count] = strlen(columns[count].title);
        json_array_foreach(items, index, item)
        {
            size_t len = cells(cell_at(cli, item, columns[count].path, cell, sizeof cell));

            widths[count] = len > widths[count] ? len : widths[count];
            are_times[count] = (index == 0 || are_times[count]) && (len == 0 || is_time(cell));
        }
        are_times[count] = are_times[count] && widths[count] == TIME_CELLS;
    }
    return count;
}

static void print_table(const struct pn_cli *cli, const json_t *items,
                        const struct pn_cli_column *columns)
{
    size_t widths[COLUMNS_MAX] = {0};
    bool are_times[COLUMNS_MAX] = {false};
    size_t count = measure(cli, items, columns, widths, are_times);
    bool is_bold = pn_cli_has_colours(stdout);
    char cell[CELL_MAX] = "";
    size_t index;
    const json_t *item;

    narrow(columns, widths, count, are_times);
    fputs(is_bold ? "\x1b[1m" : "", stdout);
    for (size_t i = 0; i < count; i++)
        print_cell(columns[i].title, widths[i], i + 1 == count);
    puts(is_bold ? "\x1b[0m" : "");
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; i < count; i++) {
            cell_at(cli, item, columns[i].path, cell, sizeof cell);
            if (are_times[i])
                cell[widths[i]] = '\0'; /* the date, or all of it */
            print_cell(*cell ? cell : "-", widths[i], i + 1 == count);
        }
        putchar('\n');
    }
    if (json_array_size(items) == 0 && pn_cli_terminal_width(stdout) > 0)
        puts("(none)");
}

enum pn_cli_exit pn_cli_print_list(const struct pn_cli *cli, const json_t *items,
                                   const struct pn_cli_column *columns)
{
    size_t index;
    const json_t *item;

    if (cli->is_json)
        return pn_cli_print_answer(cli, items);
    if (!cli->is_tsv) {
        print_table(cli, items, columns);
        return PN_CLI_DONE;
    }
    json_array_foreach(items, index, item)
    {
        print_tsv(item, columns);
    }
    return PN_CLI_DONE;
}

enum pn_cli_exit pn_cli_print_one(const struct pn_cli *cli, const json_t *item,
                                  const struct pn_cli_column *columns)
{
    int width = 0;
    char cell[CELL_MAX] = "";

    if (!item)
        return PN_CLI_DONE;
    if (cli->is_json)
        return pn_cli_print_answer(cli, item);
    if (cli->is_tsv) {
        print_tsv(item, columns);
        return PN_CLI_DONE;
    }
    for (size_t i = 0; columns[i].title; i++)
        width = (int)strlen(columns[i].title) > width ? (int)strlen(columns[i].title) : width;
    for (size_t i = 0; columns[i].title; i++) {
        /* Its own id is what one copies; those of others are told as people call them. */
        if (strcmp(columns[i].path, "id") == 0)
            pn_cli_text_at(item, columns[i].path, cell, sizeof cell);
        else
            cell_at(cli, item, columns[i].path, cell, sizeof cell);
        if (*cell)
            printf("%-*s  %s\n", width, columns[i].title, cell);
    }
    return PN_CLI_DONE;
}
