/* SPDX-License-Identifier: Apache-2.0
 *
 * postern identity …: applications of the embedded token authority, by the same calls as
 * Microsoft Graph has for them.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/json.h"
#include "cli/internal.h"

static const struct pn_cli_column columns[] = {
    {"client id", "appId"},
    {"object id", "id"},
    {"name", "displayName"},
    {NULL, NULL},
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

static enum pn_cli_exit call(struct pn_cli *cli, const char *method, const json_t *body,
                             json_t **out)
{
    char *path = pn_cli_path("/msgraph/v1.0/applications(appId='", cli->positionals[0], "')");
    char *url = NULL;
    struct pn_cli_request request = {.method = method, .json = body};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code == PN_CLI_DONE && asprintf(&url, "%s%s", cli->session.control_url, path) < 0)
        abort();
    if (code == PN_CLI_DONE) {
        request.url = url;
        request.token = cli->session.token;
        code = pn_cli_send(cli, &request, &answer);
    }
    if (code == PN_CLI_DONE && answer.status >= 400)
        code = pn_cli_refused(&answer, "the application");
    else if (code == PN_CLI_DONE && out)
        *out = json_incref(answer.json);
    pn_cli_answer_fini(&answer);
    free(url);
    free(path);
    return code;
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    static const struct pn_cli_column credential_columns[] = {
        {"KEY ID", "keyId"}, {"NAME", "displayName"}, {"ENDS", "endDateTime"}, {NULL, NULL}};
    json_t *application = NULL;
    enum pn_cli_exit code = call(cli, "GET", NULL, &application);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, application, columns);
    if (code == PN_CLI_DONE && pn_cli_is_table(cli) &&
        json_array_size(json_object_get(application, "keyCredentials")) > 0) {
        putchar('\n');
        code = pn_cli_print_list(cli, json_object_get(application, "keyCredentials"),
                                 credential_columns);
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
        code = call(cli, "GET", NULL, &application);
    json_array_foreach(json_object_get(application, "keyCredentials"), index, credential)
    {
        json_array_append_new(credentials,
                              json_pack("{s:s?}", "keyId", pn_json_str(credential, "keyId")));
    }
    json_array_append_new(credentials, json_pack("{s:s, s:s, s:O*}", "type", "AsymmetricX509Cert",
                                                 "usage", "Verify", "key", key));
    body = json_pack("{s:o}", "keyCredentials", credentials);
    if (code == PN_CLI_DONE)
        code = call(cli, "PATCH", body, NULL);
    json_decref(body);
    json_decref(key);
    json_decref(application);
    return code;
}

const struct pn_cli_command pn_cli_identity_commands[] = {
    {"identity show", "CLIENT_ID", 1, 1, NULL, "Shows an application and its certificates.",
     "postern identity show 3c698876-8b47-4e5b-a544-d126cc4ec1fb", run_show},
    {"identity add-certificate", "CLIENT_ID FILE", 2, 2, NULL,
     "Lets an application log in with a certificate (RSA; PEM or DER).",
     "postern identity add-certificate 3c698876-8b47-4e5b-a544-d126cc4ec1fb app.pem",
     run_add_certificate},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
