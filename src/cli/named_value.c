/* SPDX-License-Identifier: Apache-2.0
 *
 * postern named-value …: texts that policies and backends name by {{NAME}}.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"DISPLAY NAME", "properties.displayName"},
    {"SECRET", "properties.secret"},
    {"STATUS", "properties.keyVault.lastStatus.code"},
    {"TAGS", "properties.tags[]"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"display name", "properties.displayName"},
    {"value", "properties.value"},
    {"secret", "properties.secret"},
    {"tags", "properties.tags[]"},
    {"vault secret", "properties.keyVault.secretIdentifier"},
    {"identity", "properties.keyVault.identityClientId"},
    {"last status", "properties.keyVault.lastStatus.code"},
    {"message", "properties.keyVault.lastStatus.message"},
    {"fetched", "properties.keyVault.lastStatus.timeStampUtc"},
    {"id", "id"},
    {NULL, NULL},
};

static enum pn_cli_exit on_value(struct pn_cli *cli, const char *method, const char *suffix,
                                 const json_t *body)
{
    char *path = pn_cli_path("/namedValues/", cli->positionals[0], suffix);
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    free(path);
    return code;
}

/* --value, --value-file or a prompt for a secret; *value NULL: none is given. */
static enum pn_cli_exit read_value(struct pn_cli *cli, bool is_wanted, json_t **value)
{
    const char *text = pn_cli_value(cli, "value");
    const char *file = pn_cli_value(cli, "value-file");
    enum pn_cli_exit code = PN_CLI_DONE;
    struct pn_buf secret;

    *value = NULL;
    if (text && file)
        return pn_cli_usage(cli, "--value and --value-file cannot both be given");
    if (text) {
        *value = json_string(text);
        return *value ? PN_CLI_DONE : pn_cli_usage(cli, "the value must be UTF-8 text");
    }
    pn_buf_init_secret(&secret, PN_CLI_FILE_BYTES_MAX);
    if (file)
        code = pn_cli_read_secret(file, &secret);
    else if (!is_wanted || !pn_cli_prompt("Value: ", &secret))
        goto out;
    if (code == PN_CLI_DONE) {
        *value = pn_json_from_slice(pn_buf_slice(&secret));
        if (!*value)
            code = pn_cli_usage(cli, "the value must be UTF-8 text");
    }
out:
    pn_buf_fini(&secret);
    return code;
}

/* Every --tag; NULL: none is given. */
static json_t *read_tags(const struct pn_cli *cli)
{
    json_t *tags = json_array();

    for (size_t i = 0; pn_cli_value_at(cli, "tag", i); i++)
        (void)json_array_append_new(tags, json_string(pn_cli_value_at(cli, "tag", i)));
    if (json_array_size(tags) > 0)
        return tags;
    json_decref(tags);
    return NULL;
}

/* What the options say. Takes nothing; *properties is the caller's. */
static enum pn_cli_exit read_properties(struct pn_cli *cli, bool is_new, json_t **properties)
{
    const char *title = pn_cli_value(cli, "display-name");
    const char *secret = pn_cli_value(cli, "vault-secret");
    const char *identity = pn_cli_value(cli, "identity");
    json_t *vault = NULL;
    json_t *value = NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (identity && !secret)
        return pn_cli_usage(cli, "--identity goes with --vault-secret");
    if (secret && (pn_cli_flag(cli, "value") || pn_cli_flag(cli, "value-file")))
        return pn_cli_usage(cli, "a value is given, or read from a vault (--vault-secret)");
    if (secret)
        vault = json_pack("{s:s, s:s*}", "secretIdentifier", secret, "identityClientId", identity);
    else
        code = read_value(cli, is_new, &value);
    if (code != PN_CLI_DONE)
        return code;
    if (is_new && !value && !vault)
        return pn_cli_usage(cli, "one of --value, --value-file and --vault-secret is needed");
    if (is_new && !title)
        title = cli->positionals[0];
    *properties = json_pack("{s:s*, s:o*, s:o*, s:o*, s:o*}", "displayName", title, "value", value,
                            "keyVault", vault, "tags", read_tags(cli), "secret",
                            pn_cli_flag(cli, "secret") ? json_true() : NULL);
    return *properties ? PN_CLI_DONE : pn_cli_usage(cli, "the arguments must be UTF-8 text");
}

static enum pn_cli_exit write_value(struct pn_cli *cli, bool is_new)
{
    json_t *properties = NULL;
    json_t *body = NULL;
    enum pn_cli_exit code = read_properties(cli, is_new, &properties);

    if (code == PN_CLI_DONE && !is_new && json_object_size(properties) == 0)
        code = pn_cli_usage(cli, "nothing to change: --value, --value-file, --vault-secret, "
                                 "--display-name, --tag or --secret");
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:O}", "properties", properties);
        code = on_value(cli, is_new ? "PUT" : "PATCH", "", body);
    }
    json_decref(body);
    json_decref(properties);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    return write_value(cli, true);
}

static enum pn_cli_exit run_update(struct pn_cli *cli)
{
    return write_value(cli, false);
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/namedValues", list_columns);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    return on_value(cli, "GET", "", NULL);
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return on_value(cli, "DELETE", "", NULL);
}

static enum pn_cli_exit run_refresh(struct pn_cli *cli)
{
    return on_value(cli, "POST", "/refreshSecret", NULL);
}

static enum pn_cli_exit run_value(struct pn_cli *cli)
{
    char *path = pn_cli_path("/namedValues/", cli->positionals[0], "/listValue");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "POST", path, NULL, &answer);
    const char *value = pn_json_str(answer, "value");

    if (code == PN_CLI_DONE && pn_cli_is_table(cli))
        printf("%s\n", value ? value : "");
    else if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, NULL);
    json_decref(answer);
    free(path);
    return code;
}

#define SOURCE_OPTIONS                                                                             \
    {"value", "TEXT", "its value; for a secret rather --value-file, or the prompt"},               \
        {"value-file", "FILE", "its value is in this file; \"-\" is standard input"},              \
        {"vault-secret", "URL",                                                                    \
         "read from this secret of a key vault; without a version followed"},                      \
        {"identity", "CLIENT-ID",                                                                  \
         "of the user-assigned identity that reads it (default: the "                              \
         "service's own)"},                                                                        \
        {"secret", NULL, "sealed, and shown by \"value\" only"},                                   \
        {"display-name", "TEXT", "what stands in {{…}} (of a new one: default NAME)"},             \
    {                                                                                              \
        "tag", "TEXT", "a tag; may be given several times"                                         \
    }

static const struct pn_cli_option write_options[] = {SOURCE_OPTIONS, {NULL, NULL, NULL}};

const struct pn_cli_command pn_cli_named_value_commands[] = {
    {"named-value add", "NAME", 1, 1, write_options,
     "Makes or replaces a named value, which policies and backends name as {{NAME}}.",
     "postern named-value add partner-key --secret --value-file key.txt", run_add},
    {"named-value list", NULL, 0, 0, NULL, "Lists the named values.", "postern named-value list",
     run_list},
    {"named-value show", "NAME", 1, 1, NULL, "Shows one, without a secret's value.",
     "postern named-value show partner-key", run_show},
    {"named-value value", "NAME", 1, 1, NULL, "Prints the value, also of a secret.",
     "postern named-value value partner-key", run_value},
    {"named-value update", "NAME", 1, 1, write_options,
     "Changes what is given; all that names it follows at once, or the change is refused.",
     "postern named-value update partner-key --value-file new.txt", run_update},
    {"named-value refresh", "NAME", 1, 1, NULL, "Reads its secret from the key vault now.",
     "postern named-value refresh partner-key", run_refresh},
    {"named-value delete", "NAME", 1, 1, NULL, "Deletes it; not while something names it.",
     "postern named-value delete partner-key", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
