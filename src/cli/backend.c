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

/* Ids of the --certificate names, or NULL when there is none. */
static json_t *certificate_ids(struct pn_cli *cli)
{
    json_t *ids = NULL;
    const char *name = pn_cli_value_at(cli, "certificate", 0);

    for (size_t i = 0; name; name = pn_cli_value_at(cli, "certificate", ++i)) {
        char *path = pn_cli_path("/certificates/", name, "");

        ids = ids ? ids : json_array();
        json_array_append_new(ids, json_sprintf("%s%s", cli->session.service_id, path));
        free(path);
    }
    return ids;
}

static enum pn_cli_exit read_check(struct pn_cli *cli, const char *name, json_t *tls,
                                   const char *member)
{
    const char *value = pn_cli_value(cli, name);

    if (!value)
        return PN_CLI_DONE;
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return pn_cli_usage(cli, "--%s must be on or off", name);
    json_object_set_new(tls, member, json_boolean(strcmp(value, "on") == 0));
    return PN_CLI_DONE;
}

/* What the options say, as `properties`; what they do not say is left out. */
static enum pn_cli_exit read_properties(struct pn_cli *cli, json_t **out)
{
    json_t *tls = json_object();
    json_t *ids = certificate_ids(cli);
    json_t *properties =
        json_pack("{s:s*, s:s*, s:s*}", "url", pn_cli_value(cli, "url"), "title",
                  pn_cli_value(cli, "title"), "description", pn_cli_value(cli, "description"));
    enum pn_cli_exit code = read_check(cli, "chain-check", tls, "validateCertificateChain");

    if (code == PN_CLI_DONE)
        code = read_check(cli, "name-check", tls, "validateCertificateName");
    if (code == PN_CLI_DONE && !properties)
        code = pn_cli_usage(cli, "the arguments must be UTF-8 text");
    if (code != PN_CLI_DONE) {
        json_decref(tls);
        json_decref(ids);
        json_decref(properties);
        return code;
    }
    if (json_object_size(tls) > 0)
        json_object_set(properties, "tls", tls);
    json_decref(tls);
    if (ids)
        json_object_set_new(properties, "credentials", json_pack("{s:o}", "certificateIds", ids));
    *out = properties;
    return PN_CLI_DONE;
}

static enum pn_cli_exit write_backend(struct pn_cli *cli, const char *method)
{
    char *path = pn_cli_path("/backends/", cli->positionals[0], "");
    json_t *properties = NULL;
    json_t *body = NULL;
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE)
        code = read_properties(cli, &properties);
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
    if (!pn_cli_value(cli, "url"))
        return pn_cli_usage(cli, "--url is needed");
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
static const struct pn_cli_option options[] = {
    {"url", "URL", "where it is, https://host[:port][/path]"},
    {"certificate", "NAME", "certificate to present to it; may be repeated"},
    {"chain-check", "on|off", "must its certificate come from a trusted CA (default on)"},
    {"name-check", "on|off", "must its certificate carry its host name (default on)"},
    {"title", "TEXT", "display name"},
    {"description", "TEXT", "for people"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_backend_commands[] = {
    {"backend add", "NAME", 1, 1, options, "Creates or replaces a backend.",
     "postern backend add orders --url https://orders.internal:8443 --certificate orders", run_add},
    {"backend update", "NAME", 1, 1, options, "Changes what is given, keeps the rest.",
     "postern backend update orders --name-check off", run_update},
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
