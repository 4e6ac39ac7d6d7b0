/* SPDX-License-Identifier: Apache-2.0
 *
 * postern product …: APIs that are offered together. Its policy: postern policy … --product; its
 * keys: postern subscription add --product.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"KEY", "properties.subscriptionRequired"},
    {"STATE", "properties.state"},
    {"TITLE", "properties.displayName"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"title", "properties.displayName"},
    {"description", "properties.description"},
    {"terms", "properties.terms"},
    {"state", "properties.state"},
    {"subscription key", "properties.subscriptionRequired"},
    {"approval", "properties.approvalRequired"},
    {"subscriptions", "properties.subscriptionsLimit"},
    {"id", "id"},
    {NULL, NULL},
};
static const struct pn_cli_column api_columns[] = {
    {"API", "name"},
    {"PATH", "properties.path"},
    {"TITLE", "properties.displayName"},
    {NULL, NULL},
};

/* ---- what the options say */

/* "yes" or "no" as a boolean; NULL: not given. PN_CLI_USAGE: neither. */
static enum pn_cli_exit read_switch(const struct pn_cli *cli, const char *option, json_t **value)
{
    const char *text = pn_cli_value(cli, option);

    *value = NULL;
    if (!text)
        return PN_CLI_DONE;
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return pn_cli_usage(cli, "--%s is yes or no, not \"%s\"", option, text);
    *value = json_boolean(*text == 'y');
    return PN_CLI_DONE;
}

/* A number, or "none", which takes the limit away. */
static enum pn_cli_exit read_limit(const struct pn_cli *cli, json_t **value)
{
    const char *text = pn_cli_value(cli, "subscriptions-limit");
    char *end = NULL;
    long number;

    *value = NULL;
    if (!text)
        return PN_CLI_DONE;
    if (strcmp(text, "none") == 0) {
        *value = json_null();
        return PN_CLI_DONE;
    }
    errno = 0;
    number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 1 || number > INT_MAX)
        return pn_cli_usage(cli, "--subscriptions-limit is a number from 1, or none, not \"%s\"",
                            text);
    *value = json_integer(number);
    return PN_CLI_DONE;
}

/* What the options say, and nothing else; the caller's. */
static enum pn_cli_exit read_properties(const struct pn_cli *cli, const char *title, json_t **out)
{
    json_t *limit = NULL;
    json_t *needs_key = NULL;
    json_t *needs_approval = NULL;
    enum pn_cli_exit code = read_limit(cli, &limit);

    if (code == PN_CLI_DONE)
        code = read_switch(cli, "subscription-required", &needs_key);
    if (code == PN_CLI_DONE)
        code = read_switch(cli, "approval-required", &needs_approval);
    if (code == PN_CLI_DONE) {
        *out = json_pack("{s:s*, s:s*, s:s*, s:s*, s:O*, s:O*}", "displayName", title,
                         "description", pn_cli_value(cli, "description"), "terms",
                         pn_cli_value(cli, "terms"), "state", pn_cli_value(cli, "state"),
                         "subscriptionRequired", needs_key, "approvalRequired", needs_approval);
        if (!*out || (limit && json_object_set(*out, "subscriptionsLimit", limit) != 0))
            code = pn_cli_usage(cli, "the arguments must be UTF-8 text");
    }
    json_decref(limit);
    json_decref(needs_key);
    json_decref(needs_approval);
    return code;
}

/* ---- its APIs */

/* PUT or DELETE of the association; there is no body. */
static enum pn_cli_exit on_api(struct pn_cli *cli, const char *method, const char *api)
{
    char *suffix = pn_cli_path("/apis/", api, "");
    char *path = pn_cli_path("/products/", cli->positionals[0], suffix);
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, NULL, NULL);

    free(path);
    free(suffix);
    return code;
}

static enum pn_cli_exit list_apis(struct pn_cli *cli, json_t **items)
{
    char *path = pn_cli_path("/products/", cli->positionals[0], "/apis");
    enum pn_cli_exit code = pn_cli_arm_list(cli, path, items);

    free(path);
    return code;
}

static enum pn_cli_exit run_api_add(struct pn_cli *cli)
{
    return on_api(cli, "PUT", cli->positionals[1]);
}

static enum pn_cli_exit run_api_remove(struct pn_cli *cli)
{
    return on_api(cli, "DELETE", cli->positionals[1]);
}

static enum pn_cli_exit run_api_list(struct pn_cli *cli)
{
    json_t *items = NULL;
    enum pn_cli_exit code = list_apis(cli, &items);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, items, api_columns);
    json_decref(items);
    return code;
}

/* ---- the product itself */

/* Sends properties (taken) and gives the answer, which the caller prints. */
static enum pn_cli_exit write_product(struct pn_cli *cli, const char *method, json_t *properties,
                                      json_t **answer)
{
    char *path = pn_cli_path("/products/", cli->positionals[0], "");
    json_t *body = json_pack("{s:o}", "properties", properties);
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, body, answer);

    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    const char *title = pn_cli_value(cli, "title");
    const char *api = pn_cli_value_at(cli, "api", 0);
    json_t *properties = NULL;
    json_t *answer = NULL;
    enum pn_cli_exit code = read_properties(cli, title ? title : cli->positionals[0], &properties);

    if (code == PN_CLI_DONE)
        code = write_product(cli, "PUT", properties, &answer);
    else
        json_decref(properties);
    for (size_t i = 0; code == PN_CLI_DONE && api; api = pn_cli_value_at(cli, "api", ++i))
        code = on_api(cli, "PUT", api);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    return code;
}

static enum pn_cli_exit run_update(struct pn_cli *cli)
{
    json_t *properties = NULL;
    json_t *answer = NULL;
    enum pn_cli_exit code = read_properties(cli, pn_cli_value(cli, "title"), &properties);

    if (code == PN_CLI_DONE && json_object_size(properties) == 0)
        code = pn_cli_usage(cli, "nothing to change: give an option");
    if (code == PN_CLI_DONE)
        code = write_product(cli, "PATCH", properties, &answer);
    else
        json_decref(properties);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    const char *api = pn_cli_value(cli, "api");
    char *path = api ? pn_cli_path("/apis/", api, "/products") : NULL;
    enum pn_cli_exit code = pn_cli_show_list(cli, path ? path : "/products", list_columns);

    free(path);
    return code;
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    char *path = pn_cli_path("/products/", cli->positionals[0], "");
    json_t *answer = NULL;
    json_t *apis = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    if (code == PN_CLI_DONE && pn_cli_is_table(cli)) {
        code = list_apis(cli, &apis);
        if (code == PN_CLI_DONE && json_array_size(apis) > 0) {
            putchar('\n');
            code = pn_cli_print_list(cli, apis, api_columns);
        }
    }
    json_decref(apis);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    char *path =
        pn_cli_path("/products/", cli->positionals[0],
                    pn_cli_flag(cli, "with-subscriptions") ? "?deleteSubscriptions=true" : "");
    enum pn_cli_exit code = pn_cli_arm(cli, "DELETE", path, NULL, NULL);

    free(path);
    return code;
}

#define WRITE_OPTIONS                                                                              \
    {"title", "TEXT", "display name (of a new one: default NAME)"},                                \
        {"description", "TEXT", "what it offers"}, {"terms", "TEXT", "terms of use"},              \
        {"state", "published|notPublished", "whether it is shown (default: notPublished)"},        \
        {"subscription-required", "yes|no", "no: its APIs need no key (default: yes)"},            \
        {"approval-required", "yes|no",                                                            \
         "a new subscription waits until it is activated (default: no)"},                          \
    {                                                                                              \
        "subscriptions-limit", "N|none", "subscriptions of one owner at a time (default: none)"    \
    }

static const struct pn_cli_option add_options[] = {
    WRITE_OPTIONS,
    {"api", "NAME", "puts this API in; may be repeated"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option update_options[] = {
    WRITE_OPTIONS,
    {NULL, NULL, NULL},
};
static const struct pn_cli_option list_options[] = {
    {"api", "NAME", "only those that this API is in"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option delete_options[] = {
    {"with-subscriptions", NULL, "also when there are some, which go along with their keys"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_product_commands[] = {
    {"product add", "NAME", 1, 1, add_options,
     "Creates or replaces a product: APIs that are offered together, with keys and a policy of "
     "their own. APIs that are in it stay.",
     "postern product add gold --title Gold --api orders --api stock", run_add},
    {"product list", NULL, 0, 0, list_options, "Lists the products.",
     "postern product list --api orders", run_list},
    {"product show", "NAME", 1, 1, NULL, "Shows one product and its APIs.",
     "postern product show gold", run_show},
    {"product update", "NAME", 1, 1, update_options, "Changes what the options say.",
     "postern product update gold --subscriptions-limit 3 --state published", run_update},
    {"product delete", "NAME", 1, 1, delete_options,
     "Deletes it with its policy; its APIs stay. Not while it has subscriptions, unless that is "
     "said.",
     "postern product delete gold --with-subscriptions", run_delete},
    {"product api add", "NAME API", 2, 2, NULL, "Puts an API into a product.",
     "postern product api add gold orders", run_api_add},
    {"product api list", "NAME", 1, 1, NULL, "Lists the APIs of a product.",
     "postern product api list gold", run_api_list},
    {"product api remove", "NAME API", 2, 2, NULL,
     "Takes an API out of a product: its keys no longer open it.",
     "postern product api remove gold orders", run_api_remove},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
