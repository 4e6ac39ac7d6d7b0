/* SPDX-License-Identifier: Apache-2.0
 *
 * postern workspace …; what is in a workspace is reached by --workspace of the other commands.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"TITLE", "properties.displayName"},
    {"DESCRIPTION", "properties.description"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"title", "properties.displayName"},
    {"description", "properties.description"},
    {"id", "id"},
    {NULL, NULL},
};

static enum pn_cli_exit on_workspace(struct pn_cli *cli, const char *method, const json_t *body)
{
    char *path = pn_cli_path("/workspaces/", cli->positionals[0], "");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit write_properties(struct pn_cli *cli, const char *method, const char *title)
{
    json_t *body = json_pack("{s:{s:s*, s:s*}}", "properties", "displayName", title, "description",
                             pn_cli_value(cli, "description"));
    enum pn_cli_exit code = body ? on_workspace(cli, method, body)
                                 : pn_cli_usage(cli, "the arguments must be UTF-8 text");

    json_decref(body);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    const char *title = pn_cli_value(cli, "title");

    return write_properties(cli, "PUT", title ? title : cli->positionals[0]);
}

static enum pn_cli_exit run_update(struct pn_cli *cli)
{
    if (!pn_cli_flag(cli, "title") && !pn_cli_flag(cli, "description"))
        return pn_cli_usage(cli, "nothing to change: --title or --description");
    return write_properties(cli, "PATCH", pn_cli_value(cli, "title"));
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/workspaces", list_columns);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    return on_workspace(cli, "GET", NULL);
}

/* "2 of apis, 1 of certificates"; empty: there is nothing in it. */
static enum pn_cli_exit read_contents(struct pn_cli *cli, char *out, size_t size)
{
    static const char *const kinds[] = {"apis",         "backends", "certificates",
                                        "namedValues",  "products", "policyFragments",
                                        "subscriptions"};
    enum pn_cli_exit code = PN_CLI_DONE;
    size_t len = 0;

    *out = '\0';
    for (size_t i = 0; code == PN_CLI_DONE && i < sizeof kinds / sizeof *kinds; i++) {
        char suffix[64];
        char *path;
        json_t *answer = NULL;
        long long count;

        snprintf(suffix, sizeof suffix, "/%s?$top=1", kinds[i]);
        path = pn_cli_path("/workspaces/", cli->positionals[0], suffix);
        code = pn_cli_arm(cli, "GET", path, NULL, &answer);
        count = (long long)pn_json_int(answer, "count", 0);
        if (count > 0 && len < size)
            len += (size_t)snprintf(out + len, size - len, "%s%lld %s", len > 0 ? ", " : "", count,
                                    kinds[i]);
        json_decref(answer);
        free(path);
    }
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    char contents[256] = "";
    enum pn_cli_exit code = PN_CLI_DONE;

    if (!pn_cli_flag(cli, "with-contents"))
        code = read_contents(cli, contents, sizeof contents);
    if (code == PN_CLI_DONE && *contents)
        return pn_cli_fail(PN_CLI_REFUSED,
                           "the workspace holds %s; --with-contents deletes all of it, with its "
                           "private keys",
                           contents);
    return code == PN_CLI_DONE ? on_workspace(cli, "DELETE", NULL) : code;
}

static const struct pn_cli_option write_options[] = {
    {"title", "TEXT", "display name (of a new one: default NAME)"},
    {"description", "TEXT", "what it is for"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option delete_options[] = {
    {"with-contents", NULL, "also when there is something in it, which goes along"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_workspace_commands[] = {
    {"workspace add", "NAME", 1, 1, write_options,
     "Makes a workspace: a team's own APIs, backends, certificates and keys, apart from all "
     "others.",
     "postern workspace add payments --title \"Payments team\"", run_add},
    {"workspace list", NULL, 0, 0, NULL, "Lists the workspaces.", "postern workspace list",
     run_list},
    {"workspace show", "NAME", 1, 1, NULL, "Shows one workspace.",
     "postern workspace show payments", run_show},
    {"workspace update", "NAME", 1, 1, write_options, "Changes title or description.",
     "postern workspace update payments --description \"cards and transfers\"", run_update},
    {"workspace delete", "NAME", 1, 1, delete_options,
     "Deletes it; not when there is something in it, unless that is said.",
     "postern workspace delete payments --with-contents", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
