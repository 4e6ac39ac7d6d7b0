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
    {"id", "id"},
    {NULL, NULL},
};

static enum pn_cli_exit write_backend(struct pn_cli *cli, const char *method)
{
    char *path = pn_cli_path("/backends/", cli->positionals[0], "");
    json_t *properties = NULL;
    json_t *body = NULL;
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE)
        code = pn_cli_backend_properties(cli, &properties);
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

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    json_t *items = NULL;
    enum pn_cli_exit code = pn_cli_arm_list(cli, "/backends", &items);

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
    return on_backend(cli, "GET");
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return on_backend(cli, "DELETE");
}

/* ---- probe */

static void print_names(const char *title, const json_t *list, const char *member)
{
    const json_t *entry;
    size_t at;

    json_array_foreach(list, at, entry)
    {
        const char *text = member ? pn_json_str(entry, member) : json_string_value(entry);

        printf("%-20s %s\n", at == 0 ? title : "", text ? text : "");
    }
}

/* The story, in the order in which it happened. */
static void print_story(const json_t *story)
{
    const json_t *sent = json_object_get(story, "certificate");
    const char *cause = pn_json_str(story, "cause");
    const char *fix = pn_json_str(story, "fix");

    print_names("address", json_object_get(story, "addresses"), "address");
    printf("%-20s %s %s\n", "TLS", pn_json_str(story, "tlsVersion"), pn_json_str(story, "cipher"));
    print_names("server certificate", json_object_get(story, "serverChain"), "subject");
    printf("%-20s %s\n", "asked for ours",
           pn_json_bool(story, "certificateRequested", false) ? "yes" : "no");
    print_names("accepts issuers", json_object_get(story, "acceptableIssuers"), NULL);
    if (json_is_object(sent))
        printf("%-20s %s (%s)\n",
               pn_json_bool(story, "certificateSent", false) ? "sent" : "not sent",
               pn_json_str(sent, "subject"), pn_json_str(sent, "thumbprint"));
    printf("%-20s %s\n", "outcome", pn_json_str(story, "outcome"));
    if (cause && *cause)
        printf("%-20s %s: %s\n", "cause", cause, pn_json_str(story, "sentence"));
    if (fix && *fix)
        printf("%-20s %s\n", "what to do", fix);
}

static enum pn_cli_exit run_probe(struct pn_cli *cli)
{
    static const struct pn_cli_column no_columns[] = {{NULL, NULL}};
    const char *certificate = pn_cli_value(cli, "certificate");
    char *path = pn_cli_path("/backends/", cli->positionals[0], "/probe");
    json_t *body = json_pack("{s:{s:s*}}", "properties", "certificateId", certificate);
    json_t *story = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "POST", path, body, &story);
    const char *outcome = pn_json_str(story, "outcome");

    if (code == PN_CLI_DONE && cli->is_json)
        code = pn_cli_print_one(cli, story, no_columns);
    else if (code == PN_CLI_DONE)
        print_story(story);
    if (code == PN_CLI_DONE && (!outcome || strcmp(outcome, "accepted") != 0))
        code = PN_CLI_REFUSED;
    json_decref(story);
    json_decref(body);
    free(path);
    return code;
}

static const struct pn_cli_option probe_options[] = {
    {"certificate", "NAME", "show this certificate instead of the backend's own"},
    {NULL, NULL, NULL},
};
const struct pn_cli_command pn_cli_backend_commands[] = {
    {"backend add", "NAME", 1, 1, pn_cli_backend_options, "Creates or replaces a backend.",
     "postern backend add orders --url https://orders.internal:8443 --certificate orders", run_add},
    {"backend update", "NAME", 1, 1, pn_cli_backend_options,
     "Changes what is given, keeps the rest.", "postern backend update orders --name-check off",
     run_update},
    {"backend list", NULL, 0, 0, NULL, "Lists the backends.", "postern backend list", run_list},
    {"backend show", "NAME", 1, 1, NULL, "Shows one backend.", "postern backend show orders",
     run_show},
    {"backend probe", "NAME", 1, 1, probe_options,
     "Shakes hands with it as a request would, and tells the story; exit code 1 if it refuses.",
     "postern backend probe orders", run_probe},
    {"backend delete", "NAME", 1, 1, NULL, "Deletes one that nothing uses.",
     "postern backend delete orders", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
