/* SPDX-License-Identifier: Apache-2.0
 *
 * postern vault …: the data plane of the embedded Key Vault (or of POSTERN_VAULT_URL).
 */
#include <stdlib.h>
#include <string.h>

#include "cli/vault.h"

static const struct pn_cli_column secret_columns[] = {
    {"id", "id"}, {"type", "contentType"}, {"enabled", "attributes.enabled"}, {NULL, NULL}};
const struct pn_cli_column vault_certificate_columns[] = {
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

enum pn_cli_exit vault_call(struct pn_cli *cli, const char *method, const char *path,
                            const json_t *body, const struct pn_cli_column *columns)
{
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_vault(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    return code;
}

enum pn_cli_exit vault_print_list(struct pn_cli *cli, const char *path,
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
        code = vault_call(cli, "PUT", path, body, secret_columns);
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
        code = vault_call(cli, "POST", path, body, vault_certificate_columns);
    json_decref(body);
    free(path);
    return code;
}

static enum pn_cli_exit run_certificate_create(struct pn_cli *cli)
{
    const char *subject = pn_cli_value(cli, "subject");
    const char *given = pn_cli_value(cli, "months");
    const char *issuer = pn_cli_value(cli, "issuer");
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
    body = json_pack("{s:{s:{s:s}, s:{s:s, s:I}, s:{s:s*}}}", "policy", "issuer", "name",
                     issuer ? issuer : "Self", "x509_props", "subject", subject, "validity_months",
                     (json_int_t)months, "secret_props", "contentType", type);
    code = body ? vault_call(cli, "POST", path, body, vault_certificate_columns)
                : pn_cli_usage(cli, "the arguments must be UTF-8 text");
    json_decref(body);
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
    {"issuer", "NAME", "Self (default), Unknown (a request to be signed elsewhere), or an issuer"},
    {"months", "N", "validity (default 12)"},
    {"content-type", "TYPE", "application/x-pkcs12 (default) or application/x-pem-file"},
    {NULL, NULL, NULL},
};

static const struct pn_cli_option update_options[] = {
    {"enabled", "true|false", "whether it may be used"},
    {"version", "VERSION", "default: the newest"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option backup_options[] = {
    {"file", "FILE", "where the sealed backup goes"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option key_create_options[] = {
    {"type", "RSA|EC", "default: RSA"},
    {"size", "BITS", "RSA: 2048 (default), 3072 or 4096"},
    {"curve", "CURVE", "EC: P-256 (default), P-384, P-521 or P-256K"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option key_import_options[] = {
    {"file", "FILE", "a JSON Web Key with its private members (\"-\": standard input)"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option merge_options[] = {
    {"file", "FILE", "the signed certificate and its chain, PEM"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option issuer_options[] = {
    {"provider", "NAME", "PosternCA (default): a private CA that the vault makes"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option issuer_show_options[] = {
    {"certificate", NULL, "prints the CA's certificate, PEM: what backends are to trust"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option reseal_options[] = {
    {"master-key", "SOURCE", "what opens it now (default: it lies in the data folder)"},
    {"to", "SOURCE", "file:PATH, credential:NAME, passphrase-file:PATH, … or none"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option contact_options[] = {
    {"name", "NAME", "of the person"},
    {"phone", "NUMBER", "of the person"},
    {NULL, NULL, NULL},
};

/* What all three kinds have. */
#define OBJECT_COMMANDS(word, a_word, example)                                                     \
    {"vault " word " list",         NULL,          0, 0, NULL, "Lists them, without values.",      \
     "postern vault " word " list", vault_run_list},                                               \
        {"vault " word " versions",                                                                \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "Lists the versions of " a_word ".",                                                      \
         "postern vault " word " versions " example,                                               \
         vault_run_versions},                                                                      \
        {"vault " word " update",                                                                  \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         update_options,                                                                           \
         "Enables or disables " a_word ".",                                                        \
         "postern vault " word " update " example " --enabled false",                              \
         vault_run_update},                                                                        \
        {"vault " word " delete",                                                                  \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "Deletes " a_word "; it can be recovered until it is purged.",                            \
         "postern vault " word " delete " example,                                                 \
         vault_run_delete},                                                                        \
        {"vault " word " deleted",                                                                 \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "Lists what is deleted and when it is purged.",                                           \
         "postern vault " word " deleted",                                                         \
         vault_run_deleted},                                                                       \
        {"vault " word " recover",                                                                 \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "Takes a deletion back.",                                                                 \
         "postern vault " word " recover " example,                                                \
         vault_run_recover},                                                                       \
        {"vault " word " purge",                                                                   \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "Ends what is deleted for good.",                                                         \
         "postern vault " word " purge " example,                                                  \
         vault_run_purge},                                                                         \
        {"vault " word " backup",                                                                  \
         "NAME",                                                                                   \
         1,                                                                                        \
         1,                                                                                        \
         backup_options,                                                                           \
         "Writes " a_word " with all its versions to a sealed file.",                              \
         "postern vault " word " backup " example " --file " example ".backup",                    \
         vault_run_backup},                                                                        \
    {                                                                                              \
        "vault " word " restore", "FILE", 1, 1, NULL, "Restores a backup of this installation.",   \
            "postern vault " word " restore " example ".backup", vault_run_restore                 \
    }

const struct pn_cli_command pn_cli_vault_commands[] = {
    {"vault secret set", "NAME", 1, 1, secret_set_options, "Sets a new version of a secret.",
     "postern vault secret set api-key --value-file key.txt", run_secret_set},
    {"vault secret get", "NAME", 1, 1, secret_get_options, "Prints the value of a secret.",
     "postern vault secret get api-key", run_secret_get},
    OBJECT_COMMANDS("secret", "a secret", "api-key"),
    {"vault certificate import", "NAME", 1, 1, import_options,
     "Imports a PFX or PEM file as a new version.",
     "postern vault certificate import billing --file billing.pfx --password-file -",
     run_certificate_import},
    {"vault certificate create", "NAME", 1, 1, create_options,
     "Creates one: self-signed, by an issuer, or as a request to be signed elsewhere.",
     "postern vault certificate create test --subject CN=test", run_certificate_create},
    OBJECT_COMMANDS("certificate", "a certificate", "billing"),
    {"vault certificate show", "NAME", 1, 1, NULL, "Shows the newest version.",
     "postern vault certificate show billing", vault_run_show},
    {"vault certificate request", "NAME", 1, 1, NULL,
     "Prints the request of a certificate by the issuer Unknown, PEM.",
     "postern vault certificate request billing >billing.csr", vault_run_request},
    {"vault certificate merge", "NAME", 1, 1, merge_options,
     "Completes a certificate with what was signed elsewhere.",
     "postern vault certificate merge billing --file billing.crt", vault_run_merge},
    {"vault key create", "NAME", 1, 1, key_create_options, "Makes a key, or a new version of it.",
     "postern vault key create signing --type EC --curve P-384", vault_run_key_create},
    {"vault key import", "NAME", 1, 1, key_import_options, "Imports a JSON Web Key.",
     "postern vault key import signing --file signing.jwk", vault_run_key_import},
    {"vault key show", "NAME", 1, 1, NULL, "Shows the newest version.",
     "postern vault key show signing", vault_run_show},
    {"vault key rotate", "NAME", 1, 1, NULL, "Makes a new version like the newest one.",
     "postern vault key rotate signing", vault_run_key_rotate},
    OBJECT_COMMANDS("key", "a key", "signing"),
    {"vault issuer add", "NAME", 1, 1, issuer_options,
     "Makes a private CA in the vault, or keeps the account of another provider.",
     "postern vault issuer add our-ca", vault_run_issuer_add},
    {"vault issuer list", NULL, 0, 0, NULL, "Lists the issuers.", "postern vault issuer list",
     vault_run_issuer_list},
    {"vault issuer show", "NAME", 1, 1, issuer_show_options, "Shows an issuer.",
     "postern vault issuer show our-ca --certificate >our-ca.pem", vault_run_issuer_show},
    {"vault issuer delete", "NAME", 1, 1, NULL,
     "Deletes an issuer that no certificate's policy names.", "postern vault issuer delete our-ca",
     vault_run_issuer_delete},
    {"vault reseal", NULL, 0, 0, reseal_options,
     "Seals the master key by another key or passphrase, while nothing serves.",
     "postern vault reseal --to passphrase-file:/etc/postern/master.pass", vault_run_reseal},
    {"vault contact add", "EMAIL", 1, 1, contact_options, "Adds a contact for certificates.",
     "postern vault contact add ops@example.com --name Operations", vault_run_contact_add},
    {"vault contact list", NULL, 0, 0, NULL, "Lists the contacts.", "postern vault contact list",
     vault_run_contact_list},
    {"vault contact clear", NULL, 0, 0, NULL, "Deletes all contacts.",
     "postern vault contact clear", vault_run_contact_clear},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
