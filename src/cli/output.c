/* SPDX-License-Identifier: Apache-2.0
 *
 * The form of results: JSON, a part of it (a JSON pointer), or what table.c makes for people.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

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

enum pn_cli_exit pn_cli_print_answer(const struct pn_cli *cli, const json_t *json)
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
