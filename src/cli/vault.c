/* SPDX-License-Identifier: Apache-2.0
 *
 * postern vault …: the data plane of the embedded Key Vault (or of POSTERN_VAULT_URL).
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column secret_list_columns[] = {
    {"ID", "id"}, {"TYPE", "contentType"}, {"ENABLED", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column secret_columns[] = {
    {"id", "id"}, {"type", "contentType"}, {"enabled", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column certificate_list_columns[] = {
    {"ID", "id"}, {"X5T", "x5t"}, {"ENABLED", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column certificate_columns[] = {
    {"id", "id"},
    {"secret", "sid"},
    {"key", "kid"},
    {"x5t", "x5t"},
    {"type", "policy.secret_props.contentType"},
    {"subject", "policy.x509_props.subject"},
    {"issuer", "policy.issuer.name"},
    {"status", "status"},
    {NULL, NULL},
};

static enum pn_cli_exit call_and_print(struct pn_cli *cli, const char *method, const char *path,
                                       const json_t *body, const struct pn_cli_column *columns)
{
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_vault(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli, const char *path,
                                 const struct pn_cli_column *columns)
{
    json_t *items = NULL;
    enum pn_cli_exit code = pn_cli_vault_list(cli, path, &items);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, items, columns);
    json_decref(items);
    return code;
}

static enum pn_cli_exit run_secret_set(struct pn_cli *cli)
{
    const char *file = pn_cli_value(cli, "value-file");
    char *path = pn_cli_path("/secrets/", cli->positionals[0], "");
    struct pn_buf value;
    json_t *body = NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    pn_buf_init_secret(&value, PN_CLI_FILE_BYTES_MAX);
    if (file)
        code = pn_cli_read_file(file, &value);
    else if (!pn_cli_prompt("Value of the secret: ", &value))
        code = pn_cli_usage(cli, "--value-file FILE is needed when there is no terminal to ask");
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:o, s:s*}", "value", pn_json_from_slice(pn_buf_slice(&value)),
                         "contentType", pn_cli_value(cli, "content-type"));
        if (!body)
            code = pn_cli_usage(cli, "the value is no UTF-8 text");
    }
    if (code == PN_CLI_DONE)
        code = call_and_print(cli, "PUT", path, body, secret_columns);
    json_decref(body);
    pn_buf_fini(&value);
    free(path);
    return code;
}

static enum pn_cli_exit run_secret_get(struct pn_cli *cli)
{
    const char *version = pn_cli_value(cli, "version");
    char *suffix = pn_cli_path("/", version ? version : "", "");
    char *path = pn_cli_path("/secrets/", cli->positionals[0], suffix);
    json_t *answer = NULL;
    const char *value;
    enum pn_cli_exit code = pn_cli_vault(cli, "GET", path, NULL, &answer);

    value = pn_json_str(answer, "value");
    if (code == PN_CLI_DONE && cli->is_json)
        code = pn_cli_print_one(cli, answer, secret_columns);
    else if (code == PN_CLI_DONE)
        printf("%s\n", value ? value : "");
    json_decref(answer);
    free(path);
    free(suffix);
    return code;
}

static enum pn_cli_exit run_secret_list(struct pn_cli *cli)
{
    return run_list(cli, "/secrets", secret_list_columns);
}

static enum pn_cli_exit run_certificate_import(struct pn_cli *cli)
{
    const char *file = pn_cli_value(cli, "file");
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "/import");
    json_t *value = NULL;
    json_t *password = NULL;
    json_t *body = NULL;
    enum pn_cli_exit code;

    if (file)
        code = pn_cli_file_base64(file, &value); /* PFX, or PEM in base64: the vault looks */
    else
        code = pn_cli_usage(cli, "--file is needed");
    if (code == PN_CLI_DONE)
        code = pn_cli_password(cli, file, &password);
    body = json_pack("{s:o*, s:o*}", "value", value, "pwd", password);
    if (code == PN_CLI_DONE)
        code = call_and_print(cli, "POST", path, body, certificate_columns);
    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit run_certificate_create(struct pn_cli *cli)
{
    const char *subject = pn_cli_value(cli, "subject");
    const char *given = pn_cli_value(cli, "months");
    const char *type = pn_cli_value(cli, "content-type");
    uint64_t months = 12;
    char *path;
    json_t *body;
    enum pn_cli_exit code;

    if (!subject)
        return pn_cli_usage(cli, "--subject is needed, for example --subject CN=orders");
    if (given && (!pn_slice_to_u64(pn_slice_str(given), 1200, &months) || months == 0))
        return pn_cli_usage(cli, "--months must be a number from 1 to 1200");
    path = pn_cli_path("/certificates/", cli->positionals[0], "/create");
    body = json_pack("{s:{s:{s:s}, s:{s:s, s:I}, s:{s:s*}}}", "policy", "issuer", "name", "Self",
                     "x509_props", "subject", subject, "validity_months", (json_int_t)months,
                     "secret_props", "contentType", type);
    code = body ? call_and_print(cli, "POST", path, body, certificate_columns)
                : pn_cli_usage(cli, "the arguments must be UTF-8 text");
    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit run_certificate_list(struct pn_cli *cli)
{
    return run_list(cli, "/certificates", certificate_list_columns);
}

static enum pn_cli_exit run_certificate_show(struct pn_cli *cli)
{
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "/");
    enum pn_cli_exit code = call_and_print(cli, "GET", path, NULL, certificate_columns);

    free(path);
    return code;
}

static const struct pn_cli_option secret_set_options[] = {
    {"value-file", "FILE", "the value (\"-\": standard input; default: ask)"},
    {"content-type", "TYPE", "what the value is, for people"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option secret_get_options[] = {
    {"version", "VERSION", "default: the newest"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option import_options[] = {
    {"file", "FILE", "PFX or PEM file with key and chain"},
    {"password-file", "FILE", "its password (\"-\": standard input)"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option create_options[] = {
    {"subject", "DN", "CN=orders,O=Example"},
    {"months", "N", "validity (default 12)"},
    {"content-type", "TYPE", "application/x-pkcs12 (default) or application/x-pem-file"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_vault_commands[] = {
    {"vault secret set", "NAME", 1, 1, secret_set_options, "Sets a new version of a secret.",
     "postern vault secret set api-key --value-file key.txt", run_secret_set},
    {"vault secret get", "NAME", 1, 1, secret_get_options, "Prints the value of a secret.",
     "postern vault secret get api-key", run_secret_get},
    {"vault secret list", NULL, 0, 0, NULL, "Lists the secrets, without values.",
     "postern vault secret list", run_secret_list},
    {"vault certificate import", "NAME", 1, 1, import_options,
     "Imports a PFX or PEM file as a new version.",
     "postern vault certificate import billing --file billing.pfx --password-file -",
     run_certificate_import},
    {"vault certificate create", "NAME", 1, 1, create_options, "Creates a self-signed one.",
     "postern vault certificate create test --subject CN=test", run_certificate_create},
    {"vault certificate list", NULL, 0, 0, NULL, "Lists the certificates.",
     "postern vault certificate list", run_certificate_list},
    {"vault certificate show", "NAME", 1, 1, NULL, "Shows the newest version.",
     "postern vault certificate show billing", run_certificate_show},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
