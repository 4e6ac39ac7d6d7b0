/* SPDX-License-Identifier: Apache-2.0
 *
 * postern backend …
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"URL", "properties.url"},
    {"CHAIN CHECK", "properties.tls.validateCertificateChain"},
    {"NAME CHECK", "properties.tls.validateCertificateName"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"title", "properties.title"},
    {"url", "properties.url"},
    {"protocol", "properties.protocol"},
    {"certificates", "properties.credentials.certificateIds"},
    {"thumbprints", "properties.credentials.certificate"},
    {"chain check", "properties.tls.validateCertificateChain"},
    {"name check", "properties.tls.validateCertificateName"},
    {"pins", "properties.tls.postern.pins"},
    {"server name", "properties.tls.postern.serverName"},
    {"minimum TLS", "properties.tls.postern.minimumTlsVersion"},
    {"late authentication", "properties.tls.postern.lateAuthentication"},
    {"id", "id"},
    {NULL, NULL},
};

/* Members that are objects are sent whole: what the options do not name stays as it is stored. */
static void keep_rest(json_t *properties, const json_t *stored)
{
    static const char *const members[] = {"tls", "credentials", "proxy"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *given = json_object_get(properties, members[i]);
        json_t *whole = json_deep_copy(json_object_get(stored, members[i]));
        json_t *postern = json_object_get(given, "postern");

        if (json_is_object(given) && whole) {
            json_t *former = json_object_get(whole, "postern");

            if (json_is_object(postern) && json_is_object(former)) {
                (void)json_object_update_missing(postern, former);
                (void)json_object_del(whole, "postern");
            }
            (void)json_object_update(whole, given);
            json_object_set(properties, members[i], whole);
        }
        json_decref(whole);
    }
}

static enum pn_cli_exit write_backend(struct pn_cli *cli, const char *method)
{
    char *path = pn_cli_path("/backends/", cli->positionals[0], "");
    json_t *properties = NULL;
    json_t *stored = NULL;
    json_t *body = NULL;
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE && strcmp(method, "PATCH") == 0)
        code = pn_cli_arm(cli, "GET", path, NULL, &stored);
    if (code == PN_CLI_DONE)
        code = pn_cli_backend_properties(cli, &properties);
    if (code == PN_CLI_DONE)
        keep_rest(properties, json_object_get(stored, "properties"));
    json_decref(stored);
    if (code == PN_CLI_DONE && strcmp(method, "PUT") == 0)
        json_object_set_new(properties, "protocol", json_string("http"));
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:o}", "properties", properties);
        code = pn_cli_arm(cli, method, path, body, &answer);
    }
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    if (!pn_cli_value(cli, "url") && !pn_cli_value(cli, "properties"))
        return pn_cli_usage(cli, "--url is needed (or --properties FILE)");
    return write_backend(cli, "PUT");
}

static enum pn_cli_exit run_update(struct pn_cli *cli)
{
    if (cli->value_count == 0)
        return pn_cli_usage(cli, "nothing to change was given");
    return write_backend(cli, "PATCH");
}

/* What is not said is checked; a pool checks nothing itself. For people, who see no difference. */
static void say_defaults(json_t *items)
{
    static const char *const checks[] = {"validateCertificateChain", "validateCertificateName"};
    json_t *item;
    size_t at;

    json_array_foreach(items, at, item)
    {
        json_t *properties = json_object_get(item, "properties");
        json_t *tls = json_object_get(properties, "tls");

        if (!pn_json_str(properties, "url"))
            continue;
        if (!json_is_object(tls)) {
            tls = json_object();
            json_object_set_new(properties, "tls", tls);
        }
        for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
            if (!json_object_get(tls, checks[i]))
                json_object_set_new(tls, checks[i], json_true());
    }
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    json_t *items = NULL;
    enum pn_cli_exit code = pn_cli_arm_list(cli, "/backends", &items);

    if (code == PN_CLI_DONE && !cli->is_json)
        say_defaults(items);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, items, list_columns);
    json_decref(items);
    return code;
}

static enum pn_cli_exit on_backend(struct pn_cli *cli, const char *method)
{
    char *path = pn_cli_path("/backends/", cli->positionals[0], "");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, method, path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    char *path = pn_cli_path("/backends/", cli->positionals[0], "/lastFailure");
    enum pn_cli_exit code = on_backend(cli, "GET");

    if (code == PN_CLI_DONE)
        pn_cli_print_last_failure(cli, path);
    free(path);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return on_backend(cli, "DELETE");
}

const struct pn_cli_command pn_cli_backend_commands[] = {
    {"backend add", "NAME", 1, 1, pn_cli_backend_options, "Creates or replaces a backend.",
     "postern backend add orders --url https://orders.internal:8443 --certificate orders", run_add},
    {"backend update", "NAME", 1, 1, pn_cli_backend_options,
     "Changes what is given, keeps the rest.", "postern backend update orders --name-check off",
     run_update},
    {"backend list", NULL, 0, 0, NULL, "Lists the backends.", "postern backend list", run_list},
    {"backend show", "NAME", 1, 1, NULL, "Shows one backend, and how its last connection failed.",
     "postern backend show orders", run_show},
    {"backend probe", "NAME", 1, 1, pn_cli_probe_options,
     "Shakes hands with it as a request would, and tells the story; exit code 1 if it refuses.",
     "postern backend probe orders", pn_cli_run_probe},
    {"backend delete", "NAME", 1, 1, NULL, "Deletes one that nothing uses.",
     "postern backend delete orders", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
