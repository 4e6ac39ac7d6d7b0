/* SPDX-License-Identifier: Apache-2.0
 *
 * Results as JSON or as a table for people.
 */
#include <stdlib.h>
#include <string.h>

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

static enum pn_cli_exit print_json(const json_t *json)
{
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) != 0)
        return pn_cli_fail(PN_CLI_REFUSED, "standard output cannot be written");
    putchar('\n');
    return PN_CLI_DONE;
}

enum pn_cli_exit pn_cli_print_list(const struct pn_cli *cli, const json_t *items,
                                   const struct pn_cli_column *columns)
{
    int widths[COLUMNS_MAX] = {0};
    char cell[CELL_MAX];
    size_t index;
    const json_t *item;

    if (cli->is_json)
        return print_json(items);
    for (size_t i = 0; columns[i].title; i++) {
        widths[i] = (int)strlen(columns[i].title);
        json_array_foreach(items, index, item)
        {
            int len = (int)strlen(pn_cli_text_at(item, columns[i].path, cell, sizeof cell));

            widths[i] = len > widths[i] ? len : widths[i];
        }
    }
    for (size_t i = 0; columns[i].title; i++)
        printf("%-*s%s", columns[i + 1].title ? widths[i] : 0, columns[i].title,
               columns[i + 1].title ? "  " : "\n");
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
        return print_json(item);
    for (size_t i = 0; columns[i].title; i++)
        width = (int)strlen(columns[i].title) > width ? (int)strlen(columns[i].title) : width;
    for (size_t i = 0; columns[i].title; i++)
        if (*pn_cli_text_at(item, columns[i].path, cell, sizeof cell))
            printf("%-*s  %s\n", width, columns[i].title, cell);
    return PN_CLI_DONE;
}
