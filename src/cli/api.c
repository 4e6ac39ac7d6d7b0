/* SPDX-License-Identifier: Apache-2.0
 *
 * postern api …
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

#define POLICY                                                                                     \
    "<policies><inbound><base />%s</inbound><backend><base /></backend><outbound><base />"         \
    "</outbound><on-error><base /></on-error></policies>"

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"PATH", "properties.path"},
    {"KEY", "properties.subscriptionRequired"},
    {"SERVICE URL", "properties.serviceUrl"},
    {"TITLE", "properties.displayName"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"title", "properties.displayName"},
    {"path", "properties.path"},
    {"protocols", "properties.protocols"},
    {"service URL", "properties.serviceUrl"},
    {"subscription key", "properties.subscriptionRequired"},
    {"id", "id"},
    {NULL, NULL},
};

/* "GET:/orders/{id}" -> the operation's body, with a template parameter for each {x}. */
static json_t *operation_body(const char *method, size_t method_len, const char *url_template)
{
    json_t *parameters = json_array();
    struct pn_slice rest = pn_slice_str(url_template);
    size_t open = pn_slice_find(rest, '{');

    while (open < rest.len) {
        struct pn_slice name;

        rest = pn_slice_sub(rest, open + 1, rest.len);
        name = pn_slice_sub(rest, 0, pn_slice_find(rest, '}'));
        if (name.len > 0 && name.ptr[0] == '*')
            name = pn_slice_sub(name, 1, name.len);
        json_array_append_new(parameters, json_pack("{s:s%, s:b, s:s}", "name", name.ptr, name.len,
                                                    "required", 1, "type", "string"));
        open = pn_slice_find(rest, '{');
    }
    return json_pack("{s:{s:s%, s:s%, s:s, s:o}}", "properties", "displayName", method, method_len,
                     "method", method, method_len, "urlTemplate", url_template,
                     "templateParameters", parameters);
}

static enum pn_cli_exit put_operation(struct pn_cli *cli, const char *text, size_t number)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    json_t *body;
    char suffix[128];
    char *path;
    enum pn_cli_exit code;

    if (len == 0 || len > 20 || colon[1] != '/')
        return pn_cli_usage(cli, "--operation must look like GET:/orders/{id}, not \"%s\"", text);
    snprintf(suffix, sizeof suffix, "/operations/%.*s-%zu", (int)len, text, number);
    path = pn_cli_path("/apis/", cli->positionals[0], suffix);
    body = operation_body(text, len, colon + 1);
    code = body ? pn_cli_arm(cli, "PUT", path, body, NULL)
                : pn_cli_usage(cli, "--operation must be UTF-8 text");
    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit put_operations(struct pn_cli *cli)
{
    static const char *const all[] = {"GET:/*",    "POST:/*", "PUT:/*",    "PATCH:/*",
                                      "DELETE:/*", "HEAD:/*", "OPTIONS:/*"};
    enum pn_cli_exit code = PN_CLI_DONE;
    const char *given = pn_cli_value_at(cli, "operation", 0);

    if (!given) {
        for (size_t i = 0; code == PN_CLI_DONE && i < sizeof all / sizeof *all; i++)
            code = put_operation(cli, all[i], i + 1);
        return code;
    }
    for (size_t i = 0; code == PN_CLI_DONE && given; given = pn_cli_value_at(cli, "operation", ++i))
        code = put_operation(cli, given, i + 1);
    return code;
}

enum { POLICY_ELEMENTS_MAX = 1024 };

/* What --client-certificate and --backend say, as elements of a policy. PN_CLI_USAGE: no name. */
static enum pn_cli_exit policy_elements(const struct pn_cli *cli, char *out, size_t size)
{
    static const struct {
        const char *option, *element;
    } elements[] = {
        {"client-certificate", "<authentication-certificate certificate-id=\"%s\" />"},
        {"backend", "<set-backend-service backend-id=\"%s\" />"},
    };
    size_t len = 0;

    *out = '\0';
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        const char *name = pn_cli_value(cli, elements[i].option);
        struct pn_slice element = pn_slice_str(elements[i].element);
        size_t at = pn_slice_find(element, '%');

        if (!name)
            continue;
        if (strpbrk(name, "<>&\"") || strlen(name) > 256)
            return pn_cli_usage(cli, "--%s must be a name", elements[i].option);
        len += (size_t)snprintf(out + len, size - len, "%.*s%s%s", (int)at, element.ptr, name,
                                element.ptr + at + 2);
    }
    return PN_CLI_DONE;
}

/* What the API's policy shall say. A policy that is there is not written over, and then nothing
 * else of the API is changed either: this is asked before. PN_CLI_REFUSED, PN_CLI_USAGE. */
static enum pn_cli_exit plan_policy(struct pn_cli *cli, char *elements, size_t size)
{
    const char *name = cli->positionals[0];
    json_t *apis = NULL;
    json_t *policies = NULL;
    char *path = NULL;
    enum pn_cli_exit code = policy_elements(cli, elements, size);

    if (code != PN_CLI_DONE || !*elements)
        return code;
    path = pn_cli_path("/apis?$filter=name%20eq%20%27", name, "%27");
    code = pn_cli_arm_list(cli, path, &apis);
    free(path);
    if (code == PN_CLI_DONE && json_array_size(apis) > 0) {
        path = pn_cli_path("/apis/", name, "/policies");
        code = pn_cli_arm(cli, "GET", path, NULL, &policies);
        free(path);
    }
    if (code == PN_CLI_DONE && json_array_size(json_object_get(policies, "value")) > 0)
        code = pn_cli_fail(PN_CLI_REFUSED,
                           "the API has a policy already; nothing was changed. Add to its "
                           "<inbound>: %s (postern policy show --api %s, then postern policy set)",
                           elements, name);
    json_decref(policies);
    json_decref(apis);
    return code;
}

static enum pn_cli_exit put_policy(struct pn_cli *cli, const char *elements)
{
    char *path = NULL;
    json_t *body = NULL;
    enum pn_cli_exit code;

    if (!*elements)
        return PN_CLI_DONE;
    path = pn_cli_path("/apis/", cli->positionals[0], "/policies/policy");
    body = json_pack("{s:{s:s, s:o}}", "properties", "format", "rawxml", "value",
                     json_sprintf(POLICY, elements));
    code = pn_cli_arm(cli, "PUT", path, body, NULL);
    json_decref(body);
    free(path);
    return code;
}

/* How it is called, for people; of a service elsewhere we do not know the gateway. */
static void print_call(const struct pn_cli *cli, const json_t *api)
{
    const struct pn_cli_session *session = &cli->session;
    const json_t *properties = json_object_get(api, "properties");
    const char *path = pn_json_str(properties, "path");

    if (!pn_cli_is_table(cli) || !session->gateway_url || !path)
        return;
    printf("%-16s  curl %s%s/%s%s\n", "to call it",
           pn_json_bool(properties, "subscriptionRequired", true)
               ? "-H \"Ocp-Apim-Subscription-Key: $KEY\" "
               : "",
           session->gateway_url, path, *path ? "/" : "");
    if (pn_json_bool(properties, "subscriptionRequired", true))
        printf("%-16s  KEY=$(postern subscription keys %s --query /primaryKey)\n", "its key",
               pn_cli_value(cli, "workspace") ? "NAME" : "master");
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    const char *name = cli->positionals[0];
    const char *title = pn_cli_value(cli, "title");
    const char *api_path = pn_cli_value(cli, "path");
    char *path = pn_cli_path("/apis/", name, "");
    json_t *answer = NULL;
    json_t *body = json_pack("{s:{s:s, s:s, s:s*, s:[s,s], s:b}}", "properties", "displayName",
                             title ? title : name, "path", api_path ? api_path : name, "serviceUrl",
                             pn_cli_value(cli, "url"), "protocols", "http", "https",
                             "subscriptionRequired", !pn_cli_flag(cli, "no-key"));
    char elements[POLICY_ELEMENTS_MAX] = "";
    enum pn_cli_exit code = body ? plan_policy(cli, elements, sizeof elements)
                                 : pn_cli_usage(cli, "the arguments must be UTF-8 text");

    if (code == PN_CLI_DONE)
        code = pn_cli_arm(cli, "PUT", path, body, &answer);
    if (code == PN_CLI_DONE)
        code = put_operations(cli);
    if (code == PN_CLI_DONE)
        code = put_policy(cli, elements);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    if (code == PN_CLI_DONE)
        print_call(cli, answer);
    json_decref(answer);
    json_decref(body);
    free(path);
    return code;
}

/* ---- import */

/* JSON or YAML; the server looks which version it is. */
static const char *format_of(struct pn_slice text)
{
    struct pn_slice start = pn_slice_trim(text);

    return start.len > 0 && start.ptr[0] == '{' ? "openapi+json" : "openapi";
}

static enum pn_cli_exit print_imported(struct pn_cli *cli, const json_t *api)
{
    char *path = pn_cli_path("/apis/", cli->positionals[0], "/operations");
    json_t *operations = NULL;
    enum pn_cli_exit code = pn_cli_print_one(cli, api, columns);

    if (code == PN_CLI_DONE && pn_cli_is_table(cli)) {
        code = pn_cli_arm_list(cli, path, &operations);
        printf("%-16s  %zu\n", "operations", json_array_size(operations));
        print_call(cli, api);
    }
    json_decref(operations);
    free(path);
    return code;
}

static enum pn_cli_exit run_import(struct pn_cli *cli)
{
    const char *name = cli->positionals[0];
    const char *api_path = pn_cli_value(cli, "path");
    char *path = pn_cli_path("/apis/", name, "");
    struct pn_buf text;
    json_t *body = NULL;
    json_t *answer = NULL;
    char elements[POLICY_ELEMENTS_MAX] = "";
    enum pn_cli_exit code;

    pn_buf_init(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(cli->positionals[1], &text);
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:{s:s, s:o, s:s, s:s*, s:s*, s:[s,s], s:b}}", "properties", "format",
                         format_of(pn_buf_slice(&text)), "value",
                         pn_json_from_slice(pn_buf_slice(&text)), "path",
                         api_path ? api_path : name, "displayName", pn_cli_value(cli, "title"),
                         "serviceUrl", pn_cli_value(cli, "url"), "protocols", "http", "https",
                         "subscriptionRequired", !pn_cli_flag(cli, "no-key"));
        code = body ? plan_policy(cli, elements, sizeof elements)
                    : pn_cli_usage(cli, "%s is no UTF-8 text", cli->positionals[1]);
    }
    if (code == PN_CLI_DONE)
        code = pn_cli_arm(cli, "PUT", path, body, &answer);
    if (code == PN_CLI_DONE)
        code = put_policy(cli, elements);
    if (code == PN_CLI_DONE)
        code = print_imported(cli, answer);
    json_decref(answer);
    json_decref(body);
    pn_buf_fini(&text);
    free(path);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/apis", list_columns);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    static const struct pn_cli_column operation_columns[] = {
        {"OPERATION", "name"},
        {"METHOD", "properties.method"},
        {"TEMPLATE", "properties.urlTemplate"},
        {NULL, NULL},
    };
    char *path = pn_cli_path("/apis/", cli->positionals[0], "");
    char *operations_path = pn_cli_path("/apis/", cli->positionals[0], "/operations");
    char *failure_path = pn_cli_path("/apis/", cli->positionals[0], "/lastFailure");
    json_t *answer = NULL;
    json_t *operations = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    if (code == PN_CLI_DONE)
        pn_cli_print_last_failure(cli, failure_path);
    if (code == PN_CLI_DONE && pn_cli_is_table(cli)) {
        code = pn_cli_arm_list(cli, operations_path, &operations);
        if (code == PN_CLI_DONE && json_array_size(operations) > 0) {
            putchar('\n');
            code = pn_cli_print_list(cli, operations, operation_columns);
        }
    }
    json_decref(operations);
    json_decref(answer);
    free(failure_path);
    free(operations_path);
    free(path);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    char *path = pn_cli_path("/apis/", cli->positionals[0], "?deleteRevisions=true");
    enum pn_cli_exit code = pn_cli_arm(cli, "DELETE", path, NULL, NULL);

    free(path);
    return code;
}

static const struct pn_cli_option add_options[] = {
    {"path", "PATH", "first part of its URLs on the gateway (default: NAME)"},
    {"url", "URL", "where requests go, unless a policy says otherwise"},
    {"title", "TEXT", "display name (default: NAME)"},
    {"operation", "METHOD:TEMPLATE", "may be repeated (default: every method, any path)"},
    {"client-certificate", "NAME",
     "presents this certificate to the backend (in the API's policy)"},
    {"backend", "NAME", "sends to this backend, with its certificates and trust (likewise)"},
    {"no-key", NULL, "callers need no subscription key"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option import_options[] = {
    {"path", "PATH", "first part of its URLs on the gateway (default: NAME)"},
    {"url", "URL", "where requests go (default: what the description says)"},
    {"title", "TEXT", "display name (default: the description's title)"},
    {"client-certificate", "NAME",
     "presents this certificate to the backend (in the API's policy)"},
    {"backend", "NAME", "sends to this backend, with its certificates and trust (likewise)"},
    {"no-key", NULL, "callers need no subscription key"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_api_commands[] = {
    {"api add", "NAME", 1, 1, add_options, "Creates or replaces an API and its operations.",
     "postern api add orders --path orders --url https://orders.internal --operation "
     "GET:/items/{id}",
     run_add},
    {"api import", "NAME FILE", 2, 2, import_options,
     "Creates or replaces an API from an OpenAPI 3 or Swagger 2 file (JSON or YAML).",
     "postern api import orders openapi.yaml --client-certificate orders", run_import},
    {"api list", NULL, 0, 0, NULL, "Lists the APIs.", "postern api list", run_list},
    {"api show", "NAME", 1, 1, NULL, "Shows one API and its operations.", "postern api show orders",
     run_show},
    {"api delete", "NAME", 1, 1, NULL, "Deletes an API with its operations and policies.",
     "postern api delete orders", run_delete},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
