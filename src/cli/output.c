/* SPDX-License-Identifier: Apache-2.0
 *
 * Results: as JSON, as a part of it, as values with tabs between them, or as a table for people.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/internal.h"

#define CELL_MAX    512
#define COLUMNS_MAX 8

static const json_t *walk(const json_t *item, const char *path)
{
    struct pn_slice rest = pn_slice_str(path);
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

const char *pn_cli_text_at(const json_t *item, const char *path, char *buf, size_t size)
{
    const json_t *value = walk(item, path);
    const json_t *part;
    size_t index;
    size_t len = 0;

    buf[0] = '\0';
    if (!json_is_array(value)) {
        append_text(value, buf, size);
    } else {
        json_array_foreach(value, index, part)
        {
            if (len + 2 < size && index > 0)
                len += (size_t)snprintf(buf + len, size - len, ", ");
            if (len < size)
                len += append_text(part, buf + len, size - len);
        }
    }
    /* A server's text must not steer the terminal. */
    for (char *at = buf; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
    return buf;
}

/* ---- form */

enum pn_cli_exit pn_cli_read_form(struct pn_cli *cli)
{
    const char *output = pn_cli_value(cli, "output");
    bool wants_json = output && strcmp(output, "json") == 0;

    cli->query = pn_cli_value(cli, "query");
    cli->is_tsv = output && strcmp(output, "tsv") == 0;
    if (output && !wants_json && !cli->is_tsv && strcmp(output, "table") != 0)
        return pn_cli_usage(cli, "--output must be json, table or tsv");
    if (cli->query && *cli->query && *cli->query != '/')
        return pn_cli_usage(
            cli, "--query must be a JSON pointer like /properties/thumbprint, or /*/name "
                 "for every member of a list");
    cli->is_json = wants_json || cli->query;
    cli->is_bare = !wants_json;
    return PN_CLI_DONE;
}

bool pn_cli_is_table(const struct pn_cli *cli)
{
    return !cli->is_json && !cli->is_tsv;
}

bool pn_cli_has_colours(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    return isatty(fileno(stream)) && !(no_colour && *no_colour) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

/* ---- query: a JSON pointer (RFC 6901), with "*" for every member */

/* "~1" is a slash, "~0" a tilde (§4). */
static void unescape(struct pn_slice token, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < token.len && len + 1 < size; i++) {
        char c = token.ptr[i];

        if (c == '~' && i + 1 < token.len && (token.ptr[i + 1] == '0' || token.ptr[i + 1] == '1'))
            c = token.ptr[++i] == '1' ? '/' : '~';
        out[len++] = c;
    }
    out[len] = '\0';
}

static json_t *query(const json_t *value, struct pn_slice rest);

static json_t *query_every(const json_t *value, struct pn_slice rest)
{
    json_t *all = json_array();
    const json_t *member;
    const char *name;
    size_t at;

    if (json_is_array(value)) {
        json_array_foreach(value, at, member)
        {
            json_array_append_new(all, query(member, rest));
        }
    } else {
        json_object_foreach((json_t *)(uintptr_t)value, name, member)
        {
            json_array_append_new(all, query(member, rest));
        }
    }
    return all;
}

/* The part, the caller's; JSON null when there is none. */
static json_t *query(const json_t *value, struct pn_slice rest)
{
    struct pn_slice token;
    uint64_t index;
    char name[256];

    if (!value)
        return json_null();
    if (!pn_slice_cut(&rest, '/', &token))
        return json_incref((json_t *)(uintptr_t)value);
    if (pn_slice_eq_str(token, "*") && (json_is_array(value) || json_is_object(value)))
        return query_every(value, rest);
    if (json_is_array(value))
        return pn_slice_to_u64(token, UINT32_MAX, &index)
                   ? query(json_array_get(value, (size_t)index), rest)
                   : json_null();
    unescape(token, name, sizeof name);
    return query(json_object_get(value, name), rest);
}

/* ---- JSON */

static enum pn_cli_exit print_json(const json_t *json)
{
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) != 0)
        return pn_cli_fail(PN_CLI_REFUSED, "standard output cannot be written");
    putchar('\n');
    return PN_CLI_DONE;
}

/* A part as scripts want it: text without quotes, a line for each of a list, nothing for null. */
static enum pn_cli_exit print_bare(const json_t *value)
{
    enum pn_cli_exit code = PN_CLI_DONE;
    const json_t *member;
    size_t at;

    if (json_is_object(value))
        return print_json(value);
    if (json_is_string(value)) {
        puts(json_string_value(value));
    } else if (json_is_array(value)) {
        json_array_foreach(value, at, member)
        {
            if (code == PN_CLI_DONE)
                code = print_bare(member);
        }
    } else if (!json_is_null(value)) {
        code = print_json(value);
    }
    return code;
}

static enum pn_cli_exit print_answer(const struct pn_cli *cli, const json_t *json)
{
    struct pn_slice pointer = pn_slice_str(cli->query);
    json_t *part;
    enum pn_cli_exit code;

    if (pointer.len == 0)
        return cli->query && cli->is_bare ? print_bare(json) : print_json(json);
    part = query(json, pn_slice_sub(pointer, 1, pointer.len));
    code = cli->is_bare ? print_bare(part) : print_json(part);
    json_decref(part);
    return code;
}

/* ---- tables */

static void print_tsv(const json_t *item, const struct pn_cli_column *columns)
{
    char cell[CELL_MAX];

    for (size_t i = 0; columns[i].title; i++)
        printf("%s%s", pn_cli_text_at(item, columns[i].path, cell, sizeof cell),
               columns[i + 1].title ? "\t" : "\n");
}

static void print_heads(const struct pn_cli_column *columns, const int *widths)
{
    bool is_bold = pn_cli_has_colours(stdout);

    fputs(is_bold ? "\x1b[1m" : "", stdout);
    for (size_t i = 0; columns[i].title; i++)
        printf("%-*s%s", columns[i + 1].title ? widths[i] : 0, columns[i].title,
               columns[i + 1].title ? "  " : "");
    puts(is_bold ? "\x1b[0m" : "");
}

enum pn_cli_exit pn_cli_print_list(const struct pn_cli *cli, const json_t *items,
                                   const struct pn_cli_column *columns)
{
    int widths[COLUMNS_MAX] = {0};
    char cell[CELL_MAX];
    size_t index;
    const json_t *item;

    if (cli->is_json)
        return print_answer(cli, items);
    if (cli->is_tsv) {
        json_array_foreach(items, index, item)
        {
            print_tsv(item, columns);
        }
        return PN_CLI_DONE;
    }
    for (size_t i = 0; columns[i].title; i++) {
        widths[i] = (int)strlen(columns[i].title);
        json_array_foreach(items, index, item)
        {
            int len = (int)strlen(pn_cli_text_at(item, columns[i].path, cell, sizeof cell));

            widths[i] = len > widths[i] ? len : widths[i];
        }
    }
    print_heads(columns, widths);
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; columns[i].title; i++)
            printf("%-*s%s", columns[i + 1].title ? widths[i] : 0,
                   pn_cli_text_at(item, columns[i].path, cell, sizeof cell),
                   columns[i + 1].title ? "  " : "\n");
    }
    return PN_CLI_DONE;
}

enum pn_cli_exit pn_cli_print_one(const struct pn_cli *cli, const json_t *item,
                                  const struct pn_cli_column *columns)
{
    int width = 0;
    char cell[CELL_MAX];

    if (!item)
        return PN_CLI_DONE;
    if (cli->is_json)
        return print_answer(cli, item);
    if (cli->is_tsv) {
        print_tsv(item, columns);
        return PN_CLI_DONE;
    }
    for (size_t i = 0; columns[i].title; i++)
        width = (int)strlen(columns[i].title) > width ? (int)strlen(columns[i].title) : width;
    for (size_t i = 0; columns[i].title; i++)
        if (*pn_cli_text_at(item, columns[i].path, cell, sizeof cell))
            printf("%-*s  %s\n", width, columns[i].title, cell);
    return PN_CLI_DONE;
}
