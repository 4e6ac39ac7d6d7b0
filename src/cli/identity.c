/* SPDX-License-Identifier: Apache-2.0
 *
 * postern identity …: applications of the embedded token authority, by the same calls as
 * Microsoft Graph has for them.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "cli/internal.h"

#define APPLICATIONS   "/msgraph/v1.0/applications"
#define VALID_DAYS_MAX 36500

static const struct pn_cli_column columns[] = {
    {"client id", "appId"},
    {"object id", "id"},
    {"name", "displayName"},
    {NULL, NULL},
};
static const struct pn_cli_column list_columns[] = {
    {"CLIENT ID", "appId"},
    {"OBJECT ID", "id"},
    {"NAME", "displayName"},
    {"SECRETS END", "passwordCredentials[].endDateTime"},
    {NULL, NULL},
};
static const struct pn_cli_column secret_columns[] = {
    {"client id", "appId"},   {"object id", "id"},     {"key id", "keyId"},
    {"secret", "secretText"}, {"ends", "endDateTime"}, {NULL, NULL},
};

/* A PEM or DER file as base64 of DER. */
static enum pn_cli_exit read_certificate(const char *path, json_t **out)
{
    struct pn_buf file;
    struct pn_buf text;
    BIO *bio = NULL;
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    int len = 0;
    enum pn_cli_exit code;

    pn_buf_init(&file, PN_CLI_FILE_BYTES_MAX);
    pn_buf_init(&text, 2 * PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(path, &file);
    if (code != PN_CLI_DONE)
        goto out;
    bio = BIO_new_mem_buf(file.ptr ? file.ptr : "", (int)file.len);
    certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (!certificate) {
        const unsigned char *at = (const unsigned char *)file.ptr;

        certificate = at ? d2i_X509(NULL, &at, (long)file.len) : NULL;
    }
    ERR_clear_error();
    len = certificate ? i2d_X509(certificate, &der) : 0;
    if (len <= 0 || pn_base64_encode(pn_slice(der, (size_t)len), &text) != PN_OK)
        code = pn_cli_fail(PN_CLI_USAGE, "%s holds no certificate in PEM or DER", path);
    else
        *out = pn_json_from_slice(pn_buf_slice(&text));
out:
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);
    pn_buf_fini(&file);
    pn_buf_fini(&text);
    return code;
}

/* `suffix`: behind the application, "/addPassword" or "". */
static enum pn_cli_exit call(struct pn_cli *cli, const char *method, const char *suffix,
                             const json_t *body, json_t **out)
{
    char *tail = NULL, *path;
    enum pn_cli_exit code;

    if (asprintf(&tail, "')%s", suffix) < 0)
        abort();
    path = pn_cli_path(APPLICATIONS "(appId='", cli->positionals[0], tail);
    code = pn_cli_at(cli, method, path, NULL, body, out);
    free(path);
    free(tail);
    return code;
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    static const struct pn_cli_column credential_columns[] = {{"KEY ID", "keyId"},
                                                              {"TYPE", "type"},
                                                              {"NAME", "displayName"},
                                                              {"ENDS", "endDateTime"},
                                                              {NULL, NULL}};
    json_t *application = NULL;
    enum pn_cli_exit code = call(cli, "GET", "", NULL, &application);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, application, columns);
    if (code == PN_CLI_DONE && pn_cli_is_table(cli)) {
        json_t *all = json_copy(json_object_get(application, "keyCredentials"));

        json_array_extend(all, json_object_get(application, "passwordCredentials"));
        if (json_array_size(all) > 0) {
            putchar('\n');
            code = pn_cli_print_list(cli, all, credential_columns);
        }
        json_decref(all);
    }
    json_decref(application);
    return code;
}

/* A PATCH replaces the whole list: the ones that are there are named by their ids, and stay. */
static enum pn_cli_exit run_add_certificate(struct pn_cli *cli)
{
    json_t *application = NULL;
    json_t *credentials = json_array();
    json_t *key = NULL;
    json_t *body = NULL;
    const json_t *credential;
    size_t index;
    enum pn_cli_exit code = read_certificate(cli->positionals[1], &key);

    if (code == PN_CLI_DONE)
        code = call(cli, "GET", "", NULL, &application);
    json_array_foreach(json_object_get(application, "keyCredentials"), index, credential)
    {
        json_array_append_new(credentials,
                              json_pack("{s:s?}", "keyId", pn_json_str(credential, "keyId")));
    }
    json_array_append_new(credentials, json_pack("{s:s, s:s, s:O*}", "type", "AsymmetricX509Cert",
                                                 "usage", "Verify", "key", key));
    body = json_pack("{s:o}", "keyCredentials", credentials);
    if (code == PN_CLI_DONE)
        code = call(cli, "PATCH", "", body, NULL);
    json_decref(body);
    json_decref(key);
    json_decref(application);
    return code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_at(cli, "GET", APPLICATIONS, NULL, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "value"), list_columns);
    json_decref(answer);
    return code;
}

/* ---- secrets */

/* {"passwordCredential": {…}} from --name and --valid-days. */
static enum pn_cli_exit password_body(struct pn_cli *cli, json_t **body)
{
    const char *given = pn_cli_value(cli, "valid-days");
    char end[PN_TIME_TEXT] = "";
    uint64_t days = 0;

    if (given && (!pn_slice_to_u64(pn_slice_str(given), VALID_DAYS_MAX, &days) || days == 0))
        return pn_cli_usage(cli, "--valid-days must be a number from 1 to %d", VALID_DAYS_MAX);
    if (given)
        pn_time_iso8601(pn_clock_unix_s() + (int64_t)days * 86400, end);
    *body = json_pack("{s:{s:s*, s:s*}}", "passwordCredential", "displayName",
                      pn_cli_value(cli, "name"), "endDateTime", given ? end : NULL);
    return PN_CLI_DONE;
}

/* A new secret for positionals[0]; *made has appId, id and secretText. */
static enum pn_cli_exit new_secret(struct pn_cli *cli, const json_t *application, json_t **made)
{
    json_t *body = NULL;
    enum pn_cli_exit code = password_body(cli, &body);

    if (code == PN_CLI_DONE)
        code = call(cli, "POST", "/addPassword", body, made);
    if (code == PN_CLI_DONE) {
        json_object_set(*made, "appId", json_object_get(application, "appId"));
        json_object_set(*made, "id", json_object_get(application, "id"));
    }
    json_decref(body);
    return code;
}

static enum pn_cli_exit run_create(struct pn_cli *cli)
{
    const char *role = pn_cli_value(cli, "role"), *scope = pn_cli_value(cli, "scope");
    json_t *body = json_pack("{s:s}", "displayName", cli->positionals[0]);
    json_t *application = NULL, *made = NULL, *unused = NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (scope && !role)
        code = pn_cli_usage(cli, "--scope goes with --role");
    if (code == PN_CLI_DONE) /* before anything is made */
        code = password_body(cli, &unused);
    if (code == PN_CLI_DONE)
        code = pn_cli_at(cli, "POST", APPLICATIONS, NULL, body, &application);
    if (code == PN_CLI_DONE) {
        cli->positionals[0] = pn_json_str(application, "appId");
        code = new_secret(cli, application, &made);
    }
    if (code == PN_CLI_DONE && role)
        code = pn_cli_assign(cli, pn_json_str(application, "id"), role, scope ? scope : "", NULL);
    /* Also when the role could not be given: the secret is shown once only. */
    if (made && pn_cli_print_one(cli, made, secret_columns) != PN_CLI_DONE)
        code = PN_CLI_REFUSED;
    json_decref(unused);
    json_decref(made);
    json_decref(application);
    json_decref(body);
    return code;
}

static enum pn_cli_exit run_add_secret(struct pn_cli *cli)
{
    json_t *application = NULL, *made = NULL;
    enum pn_cli_exit code = call(cli, "GET", "", NULL, &application);

    if (code == PN_CLI_DONE)
        code = new_secret(cli, application, &made);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, made, secret_columns);
    json_decref(made);
    json_decref(application);
    return code;
}

/* The new one first: a failure in between leaves one secret too many, never none. */
static enum pn_cli_exit run_rotate(struct pn_cli *cli)
{
    json_t *application = NULL, *made = NULL, *former;
    size_t index;
    enum pn_cli_exit code = call(cli, "GET", "", NULL, &application);

    if (code == PN_CLI_DONE)
        code = new_secret(cli, application, &made);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, made, secret_columns);
    json_array_foreach(json_object_get(application, "passwordCredentials"), index, former)
    {
        json_t *body = json_pack("{s:O}", "keyId", json_object_get(former, "keyId"));

        if (code == PN_CLI_DONE)
            code = call(cli, "POST", "/removePassword", body, NULL);
        json_decref(body);
    }
    json_decref(made);
    json_decref(application);
    return code;
}

/* A secret, or a certificate, whichever has the key id. */
static enum pn_cli_exit run_remove(struct pn_cli *cli)
{
    const char *key_id = cli->positionals[1];
    json_t *application = NULL, *credential, *body;
    json_t *kept = json_array();
    bool is_certificate = false;
    size_t index;
    enum pn_cli_exit code = call(cli, "GET", "", NULL, &application);

    json_array_foreach(json_object_get(application, "keyCredentials"), index, credential)
    {
        const char *id = pn_json_str(credential, "keyId");

        if (id && strcasecmp(id, key_id) == 0)
            is_certificate = true;
        else
            json_array_append_new(kept, json_pack("{s:s?}", "keyId", id));
    }
    body = is_certificate ? json_pack("{s:O}", "keyCredentials", kept)
                          : json_pack("{s:s}", "keyId", key_id);
    if (code == PN_CLI_DONE)
        code = is_certificate ? call(cli, "PATCH", "", body, NULL)
                              : call(cli, "POST", "/removePassword", body, NULL);
    json_decref(body);
    json_decref(kept);
    json_decref(application);
    return code;
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return call(cli, "DELETE", "", NULL, NULL);
}

static const struct pn_cli_option secret_options[] = {
    {"name", "NAME", "what to call the secret"},
    {"valid-days", "N", "how long it is valid (default: two years)"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option create_options[] = {
    {"role", "ROLE", "name or id of a role to give it"},
    {"scope", "ID", "where it has the role (default: the subscription)"},
    {"name", "NAME", "what to call its secret"},
    {"valid-days", "N", "how long the secret is valid (default: two years)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_identity_commands[] = {
    {"identity show", "CLIENT_ID", 1, 1, NULL,
     "Shows an application, its certificates and secrets.",
     "postern identity show 3c698876-8b47-4e5b-a544-d126cc4ec1fb", run_show},
    {"identity add-certificate", "CLIENT_ID FILE", 2, 2, NULL,
     "Lets an application log in with a certificate (RSA; PEM or DER).",
     "postern identity add-certificate 3c698876-8b47-4e5b-a544-d126cc4ec1fb app.pem",
     run_add_certificate},
    {"identity list", NULL, 0, 0, NULL, "Lists the applications.",
     "postern identity list --output json", run_list},
    {"identity create", "NAME", 1, 1, create_options,
     "Registers an application, with a secret that is shown once.",
     "postern identity create deploy --role Contributor --valid-days 90", run_create},
    {"identity add-secret", "CLIENT_ID", 1, 1, secret_options,
     "Gives an application one more secret.",
     "postern identity add-secret 3c698876-8b47-4e5b-a544-d126cc4ec1fb", run_add_secret},
    {"identity rotate-secret", "CLIENT_ID", 1, 1, secret_options,
     "Gives an application a new secret and takes all former ones away.",
     "postern identity rotate-secret 3c698876-8b47-4e5b-a544-d126cc4ec1fb --valid-days 90",
     run_rotate},
    {"identity remove-credential", "CLIENT_ID KEY_ID", 2, 2, NULL,
     "Takes one secret or certificate away.",
     "postern identity remove-credential 3c698876-8b47-4e5b-a544-d126cc4ec1fb "
     "f1b7c3f0-2f5c-4be2-9d0c-7b0e1a6c8d11",
     run_remove},
    {"identity add-federated", "CLIENT_ID NAME", 2, 2, pn_cli_federated_options,
     "Lets a workload log in as an application with tokens of another issuer.",
     "postern identity add-federated 3c698876-8b47-4e5b-a544-d126cc4ec1fb main --issuer "
     "https://token.actions.githubusercontent.com --subject repo:org/app:ref:refs/heads/main",
     pn_cli_run_federated_add},
    {"identity list-federated", "CLIENT_ID", 1, 1, NULL, "Lists whose tokens an application takes.",
     "postern identity list-federated 3c698876-8b47-4e5b-a544-d126cc4ec1fb",
     pn_cli_run_federated_list},
    {"identity remove-federated", "CLIENT_ID NAME", 2, 2, NULL, "Takes one of them away.",
     "postern identity remove-federated 3c698876-8b47-4e5b-a544-d126cc4ec1fb main",
     pn_cli_run_federated_remove},
    {"identity delete", "CLIENT_ID", 1, 1, NULL, "Deletes an application.",
     "postern identity delete 3c698876-8b47-4e5b-a544-d126cc4ec1fb", run_delete},
    {"identity add-user", "NAME", 1, 1, pn_cli_user_add_options,
     "Adds a local account for the portal (password: at least 12 bytes).",
     "postern identity add-user alice --role Reader --display-name \"Alice\" --password-file -",
     pn_cli_run_user_add},
    {"identity list-users", NULL, 0, 0, NULL, "Lists the local accounts.",
     "postern identity list-users --output json", pn_cli_run_user_list},
    {"identity set-password", "NAME", 1, 1, pn_cli_user_password_options,
     "Gives an account a new password, and ends its sessions.",
     "postern identity set-password alice", pn_cli_run_user_password},
    {"identity remove-user", "NAME", 1, 1, NULL, "Removes an account, and ends its sessions.",
     "postern identity remove-user alice", pn_cli_run_user_remove},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
