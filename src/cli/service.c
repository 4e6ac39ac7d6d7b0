/* SPDX-License-Identifier: Apache-2.0
 *
 * postern token, postern status
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

#define NETWORK_VERSION "2023-04-01"

static enum pn_cli_exit run_token(struct pn_cli *cli)
{
    bool is_vault = pn_cli_flag(cli, "vault");
    enum pn_cli_exit code = is_vault ? pn_cli_open_vault(cli) : pn_cli_open(cli);
    const char *token = is_vault ? cli->session.vault_token : cli->session.token;

    if (code != PN_CLI_DONE)
        return code;
    if (!cli->is_json) {
        printf("%s\n", token);
        return PN_CLI_DONE;
    }
    printf("{\"tokenType\":\"Bearer\",\"accessToken\":\"%s\"}\n", token);
    return PN_CLI_DONE;
}

/* "ready", or why not, of one process's health page. */
static enum pn_cli_exit probe(struct pn_cli *cli, const char *url, char *out, size_t size)
{
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {0};
    char *page = NULL;
    enum pn_cli_exit code;

    if (!url || asprintf(&page, "%s/readyz", url) < 0)
        return PN_CLI_DONE;
    request.url = page;
    code = pn_cli_send(cli, &request, &answer);
    if (code != PN_CLI_DONE)
        snprintf(out, size, "not reachable");
    else if (answer.status == 200)
        snprintf(out, size, "ready");
    else
        snprintf(out, size, "not ready (status %ld)", answer.status);
    if (code == PN_CLI_DONE && answer.status != 200)
        code = PN_CLI_UNREACHABLE;
    pn_cli_answer_fini(&answer);
    free(page);
    return code;
}

static enum pn_cli_exit count(struct pn_cli *cli, const char *path, json_t *status,
                              const char *member)
{
    json_t *items = NULL;
    enum pn_cli_exit code = pn_cli_arm_list(cli, path, &items);

    if (code == PN_CLI_DONE)
        json_object_set_new(status, member, json_integer((json_int_t)json_array_size(items)));
    json_decref(items);
    return code;
}

/* The JSON at the resource's id, without a word when it cannot be had: NULL. */
static json_t *look_at(struct pn_cli *cli, const char *id, const char *version)
{
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {.token = cli->session.token};
    json_t *json = NULL;
    char *url = NULL;

    if (!id || asprintf(&url, "%s%s?api-version=%s", cli->session.control_url, id, version) < 0)
        return NULL;
    request.url = url;
    if (pn_cli_send(cli, &request, &answer) == PN_CLI_DONE && answer.status == 200)
        json = json_incref(answer.json);
    pn_cli_answer_fini(&answer);
    free(url);
    return json;
}

/* What is set up and has no effect: of the network security group of the service's subnet. */
static void add_warnings(struct pn_cli *cli, json_t *status)
{
    json_t *service = look_at(cli, cli->session.service_id, PN_CLI_ARM_VERSION);
    const json_t *configuration =
        json_object_get(json_object_get(service, "properties"), "virtualNetworkConfiguration");
    json_t *subnet = look_at(cli, pn_json_str(configuration, "subnetResourceId"), NETWORK_VERSION);
    const json_t *reference =
        json_object_get(json_object_get(subnet, "properties"), "networkSecurityGroup");
    json_t *group = look_at(cli, pn_json_str(reference, "id"), NETWORK_VERSION);
    json_t *warnings = json_object_get(
        json_object_get(json_object_get(group, "properties"), "postern"), "warnings");
    const char *first = json_string_value(json_array_get(warnings, 0));

    if (first)
        json_object_set_new(
            status, "warning",
            json_sprintf("network security group '%s': %s", pn_json_str(group, "name"), first));
    json_decref(service);
    json_decref(subnet);
    json_decref(group);
}

static enum pn_cli_exit run_status(struct pn_cli *cli)
{
    static const struct pn_cli_column columns[] = {
        {"control", "control"},        {"control URL", "controlUrl"},    {"gateway", "gateway"},
        {"gateway URL", "gatewayUrl"}, {"gateway TLS", "gatewayTlsUrl"}, {"vault URL", "vaultUrl"},
        {"service", "service"},        {"certificates", "certificates"}, {"APIs", "apis"},
        {"backends", "backends"},      {"warning", "warning"},           {NULL, NULL},
    };
    char control[64] = "";
    char gateway[64] = "";
    json_t *status = NULL;
    enum pn_cli_exit code = pn_cli_open(cli);
    enum pn_cli_exit health;

    if (code != PN_CLI_DONE)
        return code;
    health = probe(cli, cli->session.control_url, control, sizeof control);
    if (probe(cli, cli->session.gateway_url, gateway, sizeof gateway) != PN_CLI_DONE)
        health = PN_CLI_UNREACHABLE;
    status = json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s}", "control", control, "gateway",
                       gateway, "controlUrl", cli->session.control_url, "gatewayUrl",
                       cli->session.gateway_url, "gatewayTlsUrl", cli->session.gateway_tls_url,
                       "vaultUrl", cli->session.vault_url, "service", cli->session.service_id);
    code = count(cli, "/certificates", status, "certificates");
    if (code == PN_CLI_DONE)
        code = count(cli, "/apis", status, "apis");
    if (code == PN_CLI_DONE)
        code = count(cli, "/backends", status, "backends");
    if (code == PN_CLI_DONE)
        add_warnings(cli, status);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, status, columns);
    json_decref(status);
    return code == PN_CLI_DONE ? health : code;
}

enum pn_cli_exit pn_cli_portal_link(struct pn_cli *cli, json_t **out)
{
    char *url = NULL;
    struct pn_cli_request request = {.method = "POST", .form = ""};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code != PN_CLI_DONE)
        return code;
    if (asprintf(&url, "%s/signin/link", cli->session.control_url) < 0)
        abort();
    request.url = url;
    request.token = cli->session.token;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE && (answer.status != 201 || !pn_json_str(answer.json, "url")))
        code = pn_cli_refused(&answer, "a sign-in link");
    else if (code == PN_CLI_DONE)
        *out = json_incref(answer.json);
    pn_cli_answer_fini(&answer);
    free(url);
    return code;
}

static enum pn_cli_exit run_portal(struct pn_cli *cli)
{
    json_t *link = NULL;
    enum pn_cli_exit code = pn_cli_portal_link(cli, &link);

    if (code != PN_CLI_DONE)
        return code;
    if (cli->is_json)
        code = pn_cli_print_one(cli, link, NULL);
    else
        printf("%s\n", pn_json_str(link, "url"));
    json_decref(link);
    return code;
}

static const struct pn_cli_option token_options[] = {
    {"vault", NULL, "a token for the vault instead of the management API"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_service_commands[] = {
    {"token", NULL, 0, 0, token_options, "Prints an access token, for curl.",
     "curl --cacert ca.pem -H \"Authorization: Bearer $(postern token)\" "
     "\"https://localhost:9443/subscriptions?api-version=2022-12-01\"",
     run_token},
    {"status", NULL, 0, 0, NULL, "Shows whether the service is ready, and what it holds.",
     "postern status --output json", run_status},
    {"portal", NULL, 0, 0, NULL,
     "Prints a link that signs in to the portal, once and within an hour.",
     "xdg-open \"$(postern portal)\"", run_portal},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
