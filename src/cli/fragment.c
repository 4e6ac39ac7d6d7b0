/* SPDX-License-Identifier: Apache-2.0
 *
 * postern fragment …: statements that policies include.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"DESCRIPTION", "properties.description"},
    {NULL, NULL},
};
static const struct pn_cli_column usage_columns[] = {
    {"INCLUDED BY", "id"},
    {NULL, NULL},
};

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    char *path = pn_cli_path("/policyFragments/", cli->positionals[0], "?format=rawxml");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);
    const char *value = pn_json_str(json_object_get(answer, "properties"), "value");

    if (code == PN_CLI_DONE && !pn_cli_is_table(cli))
        code = pn_cli_print_one(cli, answer, NULL);
    else if (code == PN_CLI_DONE)
        printf("%s\n", value ? value : "");
    json_decref(answer);
    free(path);
    return code;
}

/* The description that it has stays when none is given. */
static enum pn_cli_exit read_description(struct pn_cli *cli, json_t **out)
{
    const char *given = pn_cli_value(cli, "description");
    json_t *items = NULL;
    enum pn_cli_exit code;

    *out = given ? json_string(given) : NULL;
    if (given)
        return *out ? PN_CLI_DONE : pn_cli_usage(cli, "the arguments must be UTF-8 text");
    code = pn_cli_arm_list(cli, "/policyFragments", &items);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (pn_slice_case_eq_str(pn_json_slice(item, "name"), cli->positionals[0]))
            *out = json_incref(json_object_get(json_object_get(item, "properties"), "description"));
    }
    json_decref(items);
    return code;
}

static enum pn_cli_exit run_set(struct pn_cli *cli)
{
    char *path = pn_cli_path("/policyFragments/", cli->positionals[0], "");
    struct pn_buf text;
    json_t *description = NULL;
    json_t *body = NULL;
    enum pn_cli_exit code;

    pn_buf_init_secret(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(cli->positionals[1], &text);
    if (code == PN_CLI_DONE)
        code = read_description(cli, &description);
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:{s:s, s:o, s:o*}}", "properties", "format", "rawxml", "value",
                         pn_json_from_slice(pn_buf_slice(&text)), "description", description);
        if (!body)
            code = pn_cli_usage(cli, "%s is no UTF-8 text", cli->positionals[1]);
    }
    if (code == PN_CLI_DONE)
        code = pn_cli_arm(cli, "PUT", path, body, NULL);
    json_decref(body);
    pn_buf_fini(&text);
    free(path);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/policyFragments?format=rawxml", list_columns);
}

static enum pn_cli_exit run_usage(struct pn_cli *cli)
{
    char *path = pn_cli_path("/policyFragments/", cli->positionals[0], "/listReferences");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "POST", path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "value"), usage_columns);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    char *path = pn_cli_path("/policyFragments/", cli->positionals[0], "");
    enum pn_cli_exit code = pn_cli_arm(cli, "DELETE", path, NULL, NULL);

    free(path);
    return code;
}

static const struct pn_cli_option set_options[] = {
    {"description", "TEXT", "what it is for (default: as it was)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_fragment_commands[] = {
    {"fragment set", "NAME FILE", 2, 2, set_options,
     "Makes or changes a policy fragment from a file (\"-\": standard input); all policies that "
     "include it follow at once, or the change is refused.",
     "postern fragment set partner-headers headers.xml", run_set},
    {"fragment show", "NAME", 1, 1, NULL, "Prints the fragment's document.",
     "postern fragment show partner-headers", run_show},
    {"fragment list", NULL, 0, 0, NULL, "Lists the policy fragments.", "postern fragment list",
     run_list},
    {"fragment usage", "NAME", 1, 1, NULL, "Lists the policies and fragments that include it.",
     "postern fragment usage partner-headers", run_usage},
    {"fragment delete", "NAME", 1, 1, NULL, "Deletes it; not while something includes it.",
     "postern fragment delete partner-headers", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
