/* SPDX-License-Identifier: Apache-2.0
 *
 * postern identity add-user, list-users, set-password, remove-user: local accounts, by the calls
 * that Microsoft Graph has for users.
 */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"

#define PASSWORD_BYTES_MAX 4096
#define ROLES              "/providers/Microsoft.Authorization/roleDefinitions"
#define ASSIGNMENTS        "/providers/Microsoft.Authorization/roleAssignments"
#define ROLE_VERSION       "2022-04-01"

static const struct pn_cli_column columns[] = {
    {"name", "userPrincipalName"},
    {"display name", "displayName"},
    {"object id", "id"},
    {"enabled", "accountEnabled"},
    {NULL, NULL},
};

/* `name` NULL: the whole list. */
static enum pn_cli_exit call(struct pn_cli *cli, const char *method, const char *name,
                             const json_t *body, json_t **out)
{
    char *path = name ? pn_cli_path("/msgraph/v1.0/users/", name, "") : NULL;
    char *url = NULL;
    struct pn_cli_request request = {.method = method, .json = body};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE &&
        asprintf(&url, "%s%s", cli->session.control_url, path ? path : "/msgraph/v1.0/users") < 0)
        abort();
    if (code == PN_CLI_DONE) {
        request.url = url;
        request.token = cli->session.token;
        code = pn_cli_send(cli, &request, &answer);
    }
    if (code == PN_CLI_DONE && answer.status >= 400)
        code = pn_cli_refused(&answer, name ? name : "the account");
    else if (code == PN_CLI_DONE && out)
        *out = json_incref(answer.json);
    pn_cli_answer_fini(&answer);
    free(url);
    free(path);
    return code;
}

/* From --password-file, or asked for twice. Never from the command line. */
static enum pn_cli_exit read_password(struct pn_cli *cli, json_t **out)
{
    const char *file = pn_cli_value(cli, "password-file");
    struct pn_buf password, again;
    enum pn_cli_exit code = PN_CLI_DONE;

    pn_buf_init_secret(&password, PASSWORD_BYTES_MAX);
    pn_buf_init_secret(&again, PASSWORD_BYTES_MAX);
    if (file) {
        code = pn_cli_read_secret(file, &password);
    } else if (!pn_cli_prompt("New password: ", &password) ||
               !pn_cli_prompt("Once more: ", &again)) {
        code = pn_cli_usage(cli, "there is no terminal to ask for the password: use "
                                 "--password-file FILE, or - for standard input");
    } else if (!pn_slice_eq(pn_buf_slice(&password), pn_buf_slice(&again))) {
        code = pn_cli_fail(PN_CLI_USAGE, "the two passwords differ");
    }
    if (code == PN_CLI_DONE) {
        *out = pn_json_from_slice(pn_buf_slice(&password));
        if (!*out)
            code = pn_cli_fail(PN_CLI_USAGE, "the password is no UTF-8 text");
    }
    pn_buf_fini(&password);
    pn_buf_fini(&again);
    return code;
}

/* The role definition's GUID by its name. */
static enum pn_cli_exit find_role(struct pn_cli *cli, const char *scope, const char *name,
                                  json_t **definition)
{
    char *filter = pn_cli_path("roleName%20eq%20'", name, "'");
    char *url = NULL;
    struct pn_cli_request request = {0};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit code;

    if (asprintf(&url, "%s%s" ROLES "?api-version=" ROLE_VERSION "&$filter=%s",
                 cli->session.control_url, scope, filter) < 0)
        abort();
    request.url = url;
    request.token = cli->session.token;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE && answer.status != 200)
        code = pn_cli_refused(&answer, "the role");
    else if (code == PN_CLI_DONE) {
        *definition = json_incref(json_array_get(json_object_get(answer.json, "value"), 0));
        if (!*definition)
            code = pn_cli_fail(PN_CLI_USAGE,
                               "there is no role \"%s\"; try Owner, Contributor or "
                               "Reader",
                               name);
    }
    pn_cli_answer_fini(&answer);
    free(url);
    free(filter);
    return code;
}

static enum pn_cli_exit assign_role(struct pn_cli *cli, const char *scope, const json_t *definition,
                                    const char *object_id)
{
    char name[PN_UUID_TEXT];
    char *url = NULL;
    json_t *body = json_pack("{s:{s:O, s:s, s:s}}", "properties", "roleDefinitionId",
                             json_object_get(definition, "id"), "principalId", object_id,
                             "principalType", "User");
    struct pn_cli_request request = {.method = "PUT", .json = body};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit code;

    pn_uuid_v4(name);
    if (asprintf(&url, "%s%s" ASSIGNMENTS "/%s?api-version=" ROLE_VERSION, cli->session.control_url,
                 scope, name) < 0)
        abort();
    request.url = url;
    request.token = cli->session.token;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE && answer.status >= 400)
        code = pn_cli_refused(&answer, "the role assignment");
    pn_cli_answer_fini(&answer);
    json_decref(body);
    free(url);
    return code;
}

/* "/subscriptions/{id}" of a resource's id. */
static char *subscription_of(const char *id)
{
    const char *end = strcasestr(id, "/resourceGroups/");

    return pn_slice_dup(pn_slice(id, end ? (size_t)(end - id) : strlen(id)));
}

enum pn_cli_exit pn_cli_run_user_add(struct pn_cli *cli)
{
    const char *role = pn_cli_value(cli, "role"), *scope = pn_cli_value(cli, "scope");
    json_t *password = NULL, *body = NULL, *made = NULL, *definition = NULL;
    char *subscription = NULL;
    enum pn_cli_exit code = read_password(cli, &password);

    if (code == PN_CLI_DONE)
        code = pn_cli_open(cli);
    if (code == PN_CLI_DONE && !scope)
        scope = subscription = subscription_of(cli->session.service_id);
    /* What is not there is found out before anybody is added. */
    if (code == PN_CLI_DONE && role)
        code = find_role(cli, scope, role, &definition);

    if (code == PN_CLI_DONE) {
        body = json_pack("{s:s, s:s*, s:b, s:{s:O}}", "userPrincipalName", cli->positionals[0],
                         "displayName", pn_cli_value(cli, "display-name"), "accountEnabled", 1,
                         "passwordProfile", "password", password);
        code = body ? call(cli, "POST", NULL, body, &made)
                    : pn_cli_fail(PN_CLI_USAGE, "the names must be UTF-8 text");
    }
    if (code == PN_CLI_DONE && definition)
        code = assign_role(cli, scope, definition, pn_json_str(made, "id"));
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, made, columns);
    json_decref(password);
    json_decref(body);
    json_decref(made);
    json_decref(definition);
    free(subscription);
    return code;
}

enum pn_cli_exit pn_cli_run_user_list(struct pn_cli *cli)
{
    json_t *answer = NULL;
    enum pn_cli_exit code = call(cli, "GET", NULL, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "value"), columns);
    json_decref(answer);
    return code;
}

enum pn_cli_exit pn_cli_run_user_password(struct pn_cli *cli)
{
    json_t *password = NULL, *body = NULL;
    enum pn_cli_exit code = read_password(cli, &password);

    if (code == PN_CLI_DONE) {
        body = json_pack("{s:{s:O}}", "passwordProfile", "password", password);
        code = call(cli, "PATCH", cli->positionals[0], body, NULL);
    }
    json_decref(password);
    json_decref(body);
    return code;
}

enum pn_cli_exit pn_cli_run_user_remove(struct pn_cli *cli)
{
    return call(cli, "DELETE", cli->positionals[0], NULL, NULL);
}

const struct pn_cli_option pn_cli_user_add_options[] = {
    {"role", "NAME", "give it this role: Owner, Contributor, Reader, ..."},
    {"scope", "ID", "where the role holds (default: the subscription)"},
    {"display-name", "TEXT", "how the portal calls the person"},
    {"password-file", "FILE", "first password; - is standard input (default: asks)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_option pn_cli_user_password_options[] = {
    {"password-file", "FILE", "new password; - is standard input (default: asks)"},
    {NULL, NULL, NULL},
};
