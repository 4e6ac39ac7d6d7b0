/* SPDX-License-Identifier: Apache-2.0
 *
 * postern subscription …: keys with which callers open APIs.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"SCOPE", "properties.scope"},
    {"STATE", "properties.state"},
    {"TITLE", "properties.displayName"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"title", "properties.displayName"},
    {"scope", "properties.scope"},
    {"state", "properties.state"},
    {"created", "properties.createdDate"},
    {"id", "id"},
    {NULL, NULL},
};
static const struct pn_cli_column key_columns[] = {
    {"primary", "primaryKey"},
    {"secondary", "secondaryKey"},
    {NULL, NULL},
};

static enum pn_cli_exit on_subscription(struct pn_cli *cli, const char *method, const char *suffix,
                                        const json_t *body, const struct pn_cli_column *shown)
{
    char *path = pn_cli_path("/subscriptions/", cli->positionals[0], suffix);
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, shown);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    const char *api = pn_cli_value(cli, "api");
    const char *product = pn_cli_value(cli, "product");
    const char *title = pn_cli_value(cli, "title");
    json_t *scope = json_string("/apis");
    json_t *body;
    enum pn_cli_exit code;

    if (api && product) {
        json_decref(scope);
        return pn_cli_usage(cli, "--api or --product, not both");
    }
    if (api || product) {
        json_decref(scope);
        scope = json_sprintf("%s%s", api ? "/apis/" : "/products/", api ? api : product);
    }
    /* To a product that asks for approval it waits: the server says so where no state is given. */
    body = json_pack("{s:{s:s, s:o, s:s*}}", "properties", "displayName",
                     title ? title : cli->positionals[0], "scope", scope, "state",
                     product ? NULL : "active");
    code = body ? on_subscription(cli, "PUT", "", body, columns)
                : pn_cli_usage(cli, "the arguments must be UTF-8 text");
    json_decref(body);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/subscriptions", list_columns);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    return on_subscription(cli, "GET", "", NULL, columns);
}

static enum pn_cli_exit run_keys(struct pn_cli *cli)
{
    return on_subscription(cli, "POST", "/listSecrets", NULL, key_columns);
}

static enum pn_cli_exit run_renew_key(struct pn_cli *cli)
{
    const char *which = cli->positionals[1];

    if (strcmp(which, "primary") != 0 && strcmp(which, "secondary") != 0)
        return pn_cli_usage(cli, "\"%s\" is neither primary nor secondary", which);
    return on_subscription(cli, "POST",
                           *which == 'p' ? "/regeneratePrimaryKey" : "/regenerateSecondaryKey",
                           NULL, columns);
}

static enum pn_cli_exit set_state(struct pn_cli *cli, const char *state)
{
    json_t *body = json_pack("{s:{s:s}}", "properties", "state", state);
    enum pn_cli_exit code = on_subscription(cli, "PATCH", "", body, columns);

    json_decref(body);
    return code;
}

static enum pn_cli_exit run_suspend(struct pn_cli *cli)
{
    return set_state(cli, "suspended");
}

static enum pn_cli_exit run_activate(struct pn_cli *cli)
{
    return set_state(cli, "active");
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return on_subscription(cli, "DELETE", "", NULL, columns);
}

static const struct pn_cli_option add_options[] = {
    {"api", "NAME", "opens this API only (default: all)"},
    {"product", "NAME", "opens the APIs of this product only"},
    {"title", "TEXT", "display name (default: NAME)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_subscription_commands[] = {
    {"subscription add", "NAME", 1, 1, add_options,
     "Makes keys that open an API, the APIs of a product, or all of them.",
     "postern subscription add shop --api orders", run_add},
    {"subscription list", NULL, 0, 0, NULL, "Lists the subscriptions, without keys.",
     "postern subscription list", run_list},
    {"subscription show", "NAME", 1, 1, NULL, "Shows one subscription, without keys.",
     "postern subscription show shop", run_show},
    {"subscription keys", "NAME", 1, 1, NULL, "Prints its two keys.",
     "postern subscription keys shop --query /primaryKey", run_keys},
    {"subscription renew-key", "NAME primary|secondary", 2, 2, NULL,
     "Makes another key; the former one opens nothing any more.",
     "postern subscription renew-key shop secondary", run_renew_key},
    {"subscription suspend", "NAME", 1, 1, NULL, "Its keys open nothing until it is activated.",
     "postern subscription suspend shop", run_suspend},
    {"subscription activate", "NAME", 1, 1, NULL, "Its keys open again.",
     "postern subscription activate shop", run_activate},
    {"subscription delete", "NAME", 1, 1, NULL, "Deletes it with its keys.",
     "postern subscription delete shop", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
