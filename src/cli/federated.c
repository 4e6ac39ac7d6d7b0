/* SPDX-License-Identifier: Apache-2.0
 *
 * postern identity add-federated, list-federated, remove-federated: tokens of other issuers by
 * which a workload logs in as an application, by the calls that Microsoft Graph has for them.
 */
#include <stdlib.h>

#include "base/json.h"
#include "cli/internal.h"

#define APPLICATION      "/msgraph/v1.0/applications(appId='"
#define CREDENTIALS      "')/federatedIdentityCredentials"
#define DEFAULT_AUDIENCE "api://AzureADTokenExchange"

static const struct pn_cli_column columns[] = {
    {"NAME", "name"}, {"ISSUER", "issuer"}, {"SUBJECT", "subject"}, {"AUDIENCES", "audiences[]"},
    {NULL, NULL},
};

static enum pn_cli_exit call(struct pn_cli *cli, const char *method, const char *name,
                             const json_t *body, json_t **out)
{
    char *head =
        pn_cli_path(APPLICATION, cli->positionals[0], name ? CREDENTIALS "/" : CREDENTIALS);
    char *path = name ? pn_cli_path(head, name, "") : NULL;
    enum pn_cli_exit code = pn_cli_at(cli, method, path ? path : head, NULL, body, out);

    free(head);
    free(path);
    return code;
}

enum pn_cli_exit pn_cli_run_federated_add(struct pn_cli *cli)
{
    const char *issuer = pn_cli_value(cli, "issuer"), *subject = pn_cli_value(cli, "subject");
    const char *audience = pn_cli_value(cli, "audience");
    json_t *body, *made = NULL;
    enum pn_cli_exit code;

    if (!issuer || !subject)
        return pn_cli_usage(cli, "--issuer and --subject say whose tokens are taken");
    body = json_pack("{s:s, s:s, s:s, s:[s]}", "name", cli->positionals[1], "issuer", issuer,
                     "subject", subject, "audiences", audience ? audience : DEFAULT_AUDIENCE);
    code = call(cli, "POST", NULL, body, &made);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, made, columns);
    json_decref(made);
    json_decref(body);
    return code;
}

enum pn_cli_exit pn_cli_run_federated_list(struct pn_cli *cli)
{
    json_t *answer = NULL;
    enum pn_cli_exit code = call(cli, "GET", NULL, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "value"), columns);
    json_decref(answer);
    return code;
}

enum pn_cli_exit pn_cli_run_federated_remove(struct pn_cli *cli)
{
    return call(cli, "DELETE", cli->positionals[1], NULL, NULL);
}

const struct pn_cli_option pn_cli_federated_options[] = {
    {"issuer", "URL", "the OpenID Connect issuer, as its tokens have it"},
    {"subject", "TEXT", "the subject of its tokens"},
    {"audience", "TEXT", "their audience (default: " DEFAULT_AUDIENCE ")"},
    {NULL, NULL, NULL},
};
