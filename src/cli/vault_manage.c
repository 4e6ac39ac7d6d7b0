/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, certificate requests, issuers and contacts of a vault.
 */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/file.h"
#include "cli/vault.h"

#define CHAIN_MAX   16
#define DER_MAX     (256u * 1024)
#define PEM_BEGIN   "-----BEGIN CERTIFICATE-----"
#define PEM_END     "-----END CERTIFICATE-----"
#define ISSUERS     "/certificates/issuers"
#define CONTACTS    "/certificates/contacts"
#define LINE_LENGTH 64

static const struct pn_cli_column key_columns[] = {{"kid", "key.kid"},
                                                   {"type", "key.kty"},
                                                   {"curve", "key.crv"},
                                                   {"operations", "key.key_ops[]"},
                                                   {NULL, NULL}};
static const struct pn_cli_column issuer_list[] = {
    {"ID", "id"}, {"PROVIDER", "provider"}, {NULL, NULL}};
static const struct pn_cli_column issuer_one[] = {{"id", "id"},
                                                  {"provider", "provider"},
                                                  {"enabled", "attributes.enabled"},
                                                  {"account", "credentials.account_id"},
                                                  {NULL, NULL}};
static const struct pn_cli_column contact_columns[] = {
    {"EMAIL", "email"}, {"NAME", "name"}, {"PHONE", "phone"}, {NULL, NULL}};

static enum pn_cli_exit send(struct pn_cli *cli, const char *method, const char *folder,
                             const char *suffix, json_t *body, const struct pn_cli_column *columns)
{
    char *path = pn_cli_path(folder, cli->positionals[0], suffix);
    enum pn_cli_exit code = body ? vault_call(cli, method, path, body, columns)
                                 : pn_cli_usage(cli, "the arguments must be UTF-8 text");

    json_decref(body);
    free(path);
    return code;
}

enum pn_cli_exit vault_run_key_create(struct pn_cli *cli)
{
    const char *type = pn_cli_value(cli, "type");
    const char *size = pn_cli_value(cli, "size");
    uint64_t bits = 0;
    json_t *body;

    if (size && !pn_slice_to_u64(pn_slice_str(size), 16384, &bits))
        return pn_cli_usage(cli, "--size must be a number of bits");
    body = json_pack("{s:s, s:s*}", "kty", type ? type : "RSA", "crv", pn_cli_value(cli, "curve"));
    if (body && bits > 0)
        json_object_set_new(body, "key_size", json_integer((json_int_t)bits));
    return send(cli, "POST", "/keys/", "/create", body, key_columns);
}

enum pn_cli_exit vault_run_key_import(struct pn_cli *cli)
{
    const char *file = pn_cli_value(cli, "file");
    struct pn_error err = {0};
    struct pn_buf text;
    json_t *jwk = NULL;
    enum pn_cli_exit code;

    if (!file)
        return pn_cli_usage(cli, "--file is needed: a JSON Web Key with its private members");
    pn_buf_init_secret(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(file, &text);
    if (code == PN_CLI_DONE && pn_json_parse(pn_buf_slice(&text), &jwk, &err) != PN_OK)
        code = pn_cli_usage(cli, "%s is no JSON: %s", file, err.message);
    if (code == PN_CLI_DONE)
        code = send(cli, "PUT", "/keys/", "", json_pack("{s:O}", "key", jwk), key_columns);
    json_decref(jwk);
    pn_buf_fini(&text);
    return code;
}

enum pn_cli_exit vault_run_key_rotate(struct pn_cli *cli)
{
    char *path = pn_cli_path("/keys/", cli->positionals[0], "/rotate");
    enum pn_cli_exit code = vault_call(cli, "POST", path, NULL, key_columns);

    free(path);
    return code;
}

/* base64 in lines, as PEM has it (RFC 7468 §2). */
static void print_pem(FILE *out, const char *label, const char *base64)
{
    size_t len = strlen(base64);

    fprintf(out, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < len; i += LINE_LENGTH)
        fprintf(out, "%.*s\n", LINE_LENGTH, base64 + i);
    fprintf(out, "-----END %s-----\n", label);
}

enum pn_cli_exit vault_run_request(struct pn_cli *cli)
{
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "/pending");
    json_t *answer = NULL;
    const char *csr;
    enum pn_cli_exit code = pn_cli_vault(cli, "GET", path, NULL, &answer);

    csr = pn_json_str(answer, "csr");
    if (code == PN_CLI_DONE && cli->is_json)
        code = pn_cli_print_one(cli, answer, vault_certificate_columns);
    else if (code == PN_CLI_DONE && csr)
        print_pem(stdout, "CERTIFICATE REQUEST", csr);
    else if (code == PN_CLI_DONE)
        code = pn_cli_fail(PN_CLI_REFUSED, "the certificate %s has no request to be signed",
                           cli->positionals[0]);
    json_decref(answer);
    free(path);
    return code;
}

/* The certificates of a PEM file as a list of base64 without line ends. NULL: none, or too many. */
static json_t *read_chain(struct pn_slice text)
{
    json_t *list = json_array();

    for (;;) {
        size_t begin = pn_slice_find_slice(text, PN_LIT(PEM_BEGIN)), end;
        struct pn_buf der, base64;
        struct pn_slice body;
        bool is_fine;

        if (begin >= text.len)
            break;
        body = pn_slice_sub(text, begin + sizeof PEM_BEGIN - 1, text.len);
        end = pn_slice_find_slice(body, PN_LIT(PEM_END));
        pn_buf_init(&der, DER_MAX);
        pn_buf_init(&base64, 2 * DER_MAX);
        is_fine = end < body.len && json_array_size(list) < CHAIN_MAX &&
                  pn_base64_decode(pn_slice_sub(body, 0, end), &der) == PN_OK &&
                  pn_base64_encode(pn_buf_slice(&der), &base64) == PN_OK &&
                  json_array_append_new(list, pn_json_from_slice(pn_buf_slice(&base64))) == 0;
        text = pn_slice_sub(body, end, body.len);
        pn_buf_fini(&der);
        pn_buf_fini(&base64);
        if (!is_fine) {
            json_decref(list);
            return NULL;
        }
    }
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

enum pn_cli_exit vault_run_merge(struct pn_cli *cli)
{
    const char *file = pn_cli_value(cli, "file");
    struct pn_buf text;
    json_t *chain = NULL;
    enum pn_cli_exit code;

    if (!file)
        return pn_cli_usage(cli, "--file is needed: the signed certificate, PEM, and its chain");
    pn_buf_init(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(file, &text);
    if (code == PN_CLI_DONE) {
        chain = read_chain(pn_buf_slice(&text));
        code = chain ? send(cli, "POST", "/certificates/", "/pending/merge",
                            json_pack("{s:O}", "x5c", chain), vault_certificate_columns)
                     : pn_cli_usage(cli, "%s has no certificates in PEM, or more than %d", file,
                                    CHAIN_MAX);
    }
    json_decref(chain);
    pn_buf_fini(&text);
    return code;
}

/* --- issuers --- */

enum pn_cli_exit vault_run_issuer_add(struct pn_cli *cli)
{
    const char *provider = pn_cli_value(cli, "provider");

    return send(cli, "PUT", ISSUERS "/", "",
                json_pack("{s:s}", "provider", provider ? provider : "PosternCA"), issuer_one);
}

enum pn_cli_exit vault_run_issuer_list(struct pn_cli *cli)
{
    return vault_print_list(cli, ISSUERS, issuer_list);
}

enum pn_cli_exit vault_run_issuer_show(struct pn_cli *cli)
{
    char *path = pn_cli_path(ISSUERS "/", cli->positionals[0], "");
    json_t *answer = NULL;
    const char *certificate;
    enum pn_cli_exit code = pn_cli_vault(cli, "GET", path, NULL, &answer);

    certificate = pn_json_str(json_object_get(answer, "ca"), "cer");
    if (code == PN_CLI_DONE && pn_cli_flag(cli, "certificate") && certificate)
        print_pem(stdout, "CERTIFICATE", certificate);
    else if (code == PN_CLI_DONE && pn_cli_flag(cli, "certificate"))
        code = pn_cli_fail(PN_CLI_REFUSED, "%s is no CA of this vault", cli->positionals[0]);
    else if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, issuer_one);
    json_decref(answer);
    free(path);
    return code;
}

enum pn_cli_exit vault_run_issuer_delete(struct pn_cli *cli)
{
    char *path = pn_cli_path(ISSUERS "/", cli->positionals[0], "");
    enum pn_cli_exit code = pn_cli_vault(cli, "DELETE", path, NULL, NULL);

    free(path);
    return code;
}

/* --- contacts --- */

/* Those that there are; an empty list when there are none. */
static enum pn_cli_exit read_contacts(struct pn_cli *cli, json_t **contacts)
{
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {.method = "GET"};
    char *url = NULL;
    enum pn_cli_exit code = pn_cli_open_vault(cli);

    if (code != PN_CLI_DONE)
        return code;
    if (asprintf(&url, "%s" CONTACTS "?api-version=" PN_CLI_VAULT_VERSION, cli->session.vault_url) <
        0)
        abort();
    request.url = url;
    request.token = cli->session.vault_token;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE && answer.status == 200)
        *contacts = json_incref(json_object_get(answer.json, "contacts"));
    else if (code == PN_CLI_DONE && answer.status == 404)
        *contacts = json_array();
    else if (code == PN_CLI_DONE)
        code = pn_cli_refused(&answer, CONTACTS);
    pn_cli_answer_fini(&answer);
    free(url);
    return code;
}

enum pn_cli_exit vault_run_contact_list(struct pn_cli *cli)
{
    json_t *contacts = NULL;
    enum pn_cli_exit code = read_contacts(cli, &contacts);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, contacts, contact_columns);
    json_decref(contacts);
    return code;
}

enum pn_cli_exit vault_run_contact_add(struct pn_cli *cli)
{
    json_t *contacts = NULL, *body, *answer = NULL;
    enum pn_cli_exit code = read_contacts(cli, &contacts);

    if (code != PN_CLI_DONE)
        return code;
    json_array_append_new(contacts, json_pack("{s:s, s:s*, s:s*}", "email", cli->positionals[0],
                                              "name", pn_cli_value(cli, "name"), "phone",
                                              pn_cli_value(cli, "phone")));
    body = json_pack("{s:O}", "contacts", contacts);
    code = pn_cli_vault(cli, "PUT", CONTACTS, body, &answer);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "contacts"), contact_columns);
    json_decref(answer);
    json_decref(body);
    json_decref(contacts);
    return code;
}

enum pn_cli_exit vault_run_contact_clear(struct pn_cli *cli)
{
    return pn_cli_vault(cli, "DELETE", CONTACTS, NULL, NULL);
}
