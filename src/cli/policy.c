/* SPDX-License-Identifier: Apache-2.0
 *
 * postern policy …
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"
#include "policy/policy.h"

/* Path of the policy that the options name; NULL: wrong usage, which was told. */
static char *policy_path(const struct pn_cli *cli, const char *query)
{
    const char *api = pn_cli_value(cli, "api");
    const char *operation = pn_cli_value(cli, "operation");
    const char *product = pn_cli_value(cli, "product");
    char *api_path;
    char *operation_path;
    char *path = NULL;

    if (operation && !api) {
        (void)pn_cli_usage(cli, "--operation goes with --api");
        return NULL;
    }
    if (product && api) {
        (void)pn_cli_usage(cli, "--product or --api, not both");
        return NULL;
    }
    if (product)
        api_path = pn_cli_path("/products/", product, "");
    else
        api_path = api ? pn_cli_path("/apis/", api, "") : strdup("");
    operation_path = operation ? pn_cli_path("/operations/", operation, "") : strdup("");
    if (asprintf(&path, "%s%s/policies/policy%s", api_path, operation_path, query) < 0)
        path = NULL;
    free(api_path);
    free(operation_path);
    return path;
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    char *path = policy_path(cli, "?format=rawxml");
    json_t *answer = NULL;
    const char *value;
    enum pn_cli_exit code;

    if (!path)
        return PN_CLI_USAGE;
    code = pn_cli_arm(cli, "GET", path, NULL, &answer);
    value = pn_json_str(json_object_get(answer, "properties"), "value");
    if (code == PN_CLI_DONE && cli->is_json)
        code = pn_cli_print_one(cli, answer, NULL);
    else if (code == PN_CLI_DONE)
        printf("%s\n", value ? value : "");
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_set(struct pn_cli *cli)
{
    char *path = policy_path(cli, "");
    struct pn_buf text;
    json_t *value;
    json_t *body = NULL;
    enum pn_cli_exit code;

    if (!path)
        return PN_CLI_USAGE;
    pn_buf_init_secret(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(cli->positionals[0], &text);
    if (code == PN_CLI_DONE) {
        value = pn_json_from_slice(pn_buf_slice(&text));
        body = json_pack("{s:{s:s, s:o}}", "properties", "format", "rawxml", "value", value);
        if (!body)
            code = pn_cli_usage(cli, "%s is no UTF-8 text", cli->positionals[0]);
    }
    if (code == PN_CLI_DONE)
        code = pn_cli_arm(cli, "PUT", path, body, NULL);
    json_decref(body);
    pn_buf_fini(&text);
    free(path);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    char *path = policy_path(cli, "");
    enum pn_cli_exit code;

    if (!path)
        return PN_CLI_USAGE;
    code = pn_cli_arm(cli, "DELETE", path, NULL, NULL);
    free(path);
    return code;
}

/* What only the server knows: a named value stands for itself, a fragment is empty. */
static enum pn_rc unknown_value(void *ctx, struct pn_slice name, struct pn_policy_value *value,
                                struct pn_error *err)
{
    (void)err;
    *(bool *)ctx = true;
    *value = (struct pn_policy_value){.text = name};
    return PN_OK;
}

static enum pn_rc unknown_fragment(void *ctx, struct pn_slice id, struct pn_slice *text,
                                   struct pn_error *err)
{
    (void)ctx;
    (void)id;
    (void)err;
    *text = PN_LIT("<fragment />");
    return PN_OK;
}

/* A fragment by its root. */
static bool is_fragment(struct pn_slice text)
{
    return pn_slice_find_slice(text, PN_LIT("<fragment")) <
           pn_slice_find_slice(text, PN_LIT("<policies"));
}

/* Offline: whether the names in it exist is known to the server only. */
static enum pn_cli_exit run_check(struct pn_cli *cli)
{
    bool names_values = false;
    const struct pn_policy_sources sources = {
        .ctx = &names_values, .named_value = unknown_value, .fragment = unknown_fragment};
    struct pn_policy_reading reading = {
        .format = PN_POLICY_RAWXML, .scope = PN_SCOPE_API, .sources = &sources};
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct pn_buf text;
    enum pn_cli_exit code;

    pn_buf_init_secret(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(cli->positionals[0], &text);
    reading.is_fragment = is_fragment(pn_buf_slice(&text));
    if (code == PN_CLI_DONE &&
        pn_policy_read(pn_buf_slice(&text), &reading, &document, &err) != PN_OK)
        code = pn_cli_fail(PN_CLI_REFUSED, "%s: %s%s", cli->positionals[0], err.message,
                           names_values ? " (what its named values hold is known to the server "
                                          "only: here each stands for its name)"
                                        : "");
    if (code == PN_CLI_DONE)
        printf("%s is a good policy %s.\n", cli->positionals[0],
               reading.is_fragment ? "fragment" : "document");
    pn_policy_document_destroy(document);
    pn_buf_fini(&text);
    return code;
}

static const struct pn_cli_option options[] = {
    {"api", "NAME", "the policy of this API (default: the global one)"},
    {"operation", "NAME", "the policy of this operation of the API"},
    {"product", "NAME", "the policy of this product"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_policy_commands[] = {
    {"policy show", NULL, 0, 0, options, "Prints the policy document of a scope.",
     "postern policy show --api orders", run_show},
    {"policy set", "FILE", 1, 1, options,
     "Sets the policy document of a scope (\"-\": standard input).",
     "postern policy set orders.xml --api orders", run_set},
    {"policy delete", NULL, 0, 0, options, "Removes it: the outer scope's then applies.",
     "postern policy delete --api orders --operation get", run_delete},
    {"policy check", "FILE", 1, 1, NULL, "Checks a document without a server.",
     "postern policy check orders.xml", run_check},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
