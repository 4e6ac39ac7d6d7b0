/* SPDX-License-Identifier: Apache-2.0
 *
 * postern role …: role assignments of the subscription and what is in it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/encode.h"
#include "base/json.h"
#include "cli/internal.h"

#define VERSION       "2022-04-01"
#define AUTHORIZATION "/providers/Microsoft.Authorization"

static const struct pn_cli_column columns[] = {
    {"principal", "properties.principalId"},
    {"role", "role"},
    {"scope", "properties.scope"},
    {"id", "id"},
    {NULL, NULL},
};
static const struct pn_cli_column list_columns[] = {
    {"PRINCIPAL", "properties.principalId"},
    {"ROLE", "role"},
    {"SCOPE", "properties.scope"},
    {"ID", "id"},
    {NULL, NULL},
};

/* "/subscriptions/{id}" of the service; the caller frees it. */
static char *subscription_of(const struct pn_cli *cli)
{
    const char *id = cli->session.service_id ? cli->session.service_id : "";
    const char *end = strstr(id, "/resourceGroups/");
    char *text = NULL;

    if (asprintf(&text, "%.*s", end ? (int)(end - id) : (int)strlen(id), id) < 0)
        abort();
    return text;
}

/* "", "service", "/subscriptions/…" or an id below the service ("/apis/orders") as a scope. */
static char *full_scope(const struct pn_cli *cli, const char *scope)
{
    char *text = NULL;

    if (!*scope)
        return subscription_of(cli);
    if (strncmp(scope, "/subscriptions/", 15) == 0)
        text = strdup(scope);
    else if (asprintf(&text, "%s%s", cli->session.service_id ? cli->session.service_id : "",
                      strcmp(scope, "service") == 0 ? "" : scope) < 0)
        text = NULL;
    if (!text)
        abort();
    return text;
}

static enum pn_cli_exit definitions(struct pn_cli *cli, json_t **roles)
{
    json_t *answer = NULL;
    enum pn_cli_exit code =
        pn_cli_at(cli, "GET", AUTHORIZATION "/roleDefinitions", VERSION, NULL, &answer);

    *roles = code == PN_CLI_DONE ? json_incref(json_object_get(answer, "value")) : NULL;
    json_decref(answer);
    return code;
}

/* By name or GUID; NULL: none. */
static const json_t *find_role(const json_t *roles, const char *wanted)
{
    json_t *role;
    size_t index;

    json_array_foreach(roles, index, role)
    {
        const char *name = pn_json_str(json_object_get(role, "properties"), "roleName");

        if ((name && strcasecmp(name, wanted) == 0) ||
            strcasecmp(pn_json_str(role, "name"), wanted) == 0)
            return role;
    }
    return NULL;
}

enum pn_cli_exit pn_cli_assign(struct pn_cli *cli, const char *principal, const char *role,
                               const char *scope, json_t **out)
{
    char name[PN_UUID_TEXT];
    char *where = NULL, *path = NULL;
    json_t *roles = NULL, *body = NULL;
    const json_t *found;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE)
        code = definitions(cli, &roles);
    found = find_role(roles, role);
    if (code == PN_CLI_DONE && !found)
        code = pn_cli_fail(PN_CLI_USAGE,
                           "there is no role \"%s\"; postern role definitions lists "
                           "them",
                           role);
    if (code == PN_CLI_DONE) {
        pn_uuid_v4(name);
        where = full_scope(cli, scope);
        if (asprintf(&path, "%s" AUTHORIZATION "/roleAssignments/%s", where, name) < 0)
            abort();
        body = json_pack("{s:{s:O, s:s, s:s*}}", "properties", "roleDefinitionId",
                         json_object_get(found, "id"), "principalId", principal, "principalType",
                         pn_cli_value(cli, "principal-type"));
        code = pn_cli_at(cli, "PUT", path, VERSION, body, out);
    }
    if (code == PN_CLI_DONE && out)
        json_object_set(*out, "role",
                        json_object_get(json_object_get(found, "properties"), "roleName"));
    json_decref(body);
    json_decref(roles);
    free(path);
    free(where);
    return code;
}

static enum pn_cli_exit run_assign(struct pn_cli *cli)
{
    const char *scope = pn_cli_value(cli, "scope");
    json_t *made = NULL;
    enum pn_cli_exit code =
        pn_cli_assign(cli, cli->positionals[0], cli->positionals[1], scope ? scope : "", &made);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, made, columns);
    json_decref(made);
    return code;
}

static void add_role_names(json_t *assignments, const json_t *roles)
{
    json_t *assignment;
    size_t index;

    json_array_foreach(assignments, index, assignment)
    {
        const char *id = pn_json_str(json_object_get(assignment, "properties"), "roleDefinitionId");
        const char *slash = id ? strrchr(id, '/') : NULL;
        const json_t *role = slash ? find_role(roles, slash + 1) : NULL;

        json_object_set(assignment, "role",
                        json_object_get(json_object_get(role, "properties"), "roleName"));
    }
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    const char *scope = pn_cli_value(cli, "scope"), *principal = pn_cli_value(cli, "principal");
    char *where = NULL, *path = NULL, *filter;
    json_t *roles = NULL, *answer = NULL, *value;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE)
        code = definitions(cli, &roles);
    if (code == PN_CLI_DONE) {
        where = full_scope(cli, scope ? scope : "");
        filter = principal ? pn_cli_path("?$filter=principalId%20eq%20%27", principal, "%27")
                           : strdup("");
        if (!filter || asprintf(&path, "%s" AUTHORIZATION "/roleAssignments%s", where, filter) < 0)
            abort();
        free(filter);
        code = pn_cli_at(cli, "GET", path, VERSION, NULL, &answer);
    }
    value = json_object_get(answer, "value");
    add_role_names(value, roles);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, value, list_columns);
    json_decref(answer);
    json_decref(roles);
    free(path);
    free(where);
    return code;
}

static enum pn_cli_exit run_remove(struct pn_cli *cli)
{
    const char *id = cli->positionals[0];

    if (!strstr(id, "/roleAssignments/"))
        return pn_cli_usage(cli,
                            "the id of an assignment is needed, as postern role list shows it");
    return pn_cli_at(cli, "DELETE", id, VERSION, NULL, NULL);
}

static enum pn_cli_exit run_definitions(struct pn_cli *cli)
{
    static const struct pn_cli_column definition_columns[] = {{"NAME", "properties.roleName"},
                                                              {"ID", "name"},
                                                              {"ABOUT", "properties.description"},
                                                              {NULL, NULL}};
    json_t *roles = NULL;
    enum pn_cli_exit code = definitions(cli, &roles);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, roles, definition_columns);
    json_decref(roles);
    return code;
}

static const struct pn_cli_option scope_options[] = {
    {"scope", "ID",
     "an id, \"service\", or a path below it as /apis/orders (default: the "
     "subscription)"},
    {"principal-type", "TYPE", "User, Group or ServicePrincipal: one of another identity provider"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option list_options[] = {
    {"scope", "ID",
     "an id, \"service\", or a path below it as /apis/orders (default: the "
     "subscription)"},
    {"principal", "ID", "only those of this object id"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_role_commands[] = {
    {"role assign", "OBJECT_ID ROLE", 2, 2, scope_options,
     "Gives a role (name or id) to an application, a managed identity, or a person or group of "
     "another "
     "identity provider.",
     "postern role assign 5b0c1e9e-6a3f-4d5b-8a0e-1f2d3c4b5a69 Reader --scope service", run_assign},
    {"role list", NULL, 0, 0, list_options,
     "Lists who has which role: at the scope, above it and below it.",
     "postern role list --scope /apis/orders", run_list},
    {"role remove", "ID", 1, 1, NULL, "Takes an assignment away.",
     "postern role remove /subscriptions/…/providers/Microsoft.Authorization/roleAssignments/…",
     run_remove},
    {"role definitions", NULL, 0, 0, NULL, "Lists the roles that there are.",
     "postern role definitions", run_definitions},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
