/* SPDX-License-Identifier: Apache-2.0
 *
 * postern demo's REST calls: what any client would send.
 */
#include "cli/demo_setup.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/secret.h"

#define PFX_TEXT_MAX     131072
#define BACKEND_NAME     "demo-backend"
#define UPLOADED_NAME    "demo-uploaded"
#define VAULT_NAME       "demo-vault"
#define PASSWORD_TEXT    (PN_UUID_TEXT)
#define SUBSCRIPTION_SID "demo"

/* PUT or POST of a body, which is taken over. */
static enum pn_cli_exit put(struct pn_cli *cli, const char *path, json_t *body, json_t **answer)
{
    enum pn_cli_exit code = body ? pn_cli_arm(cli, "PUT", path, body, answer)
                                 : pn_cli_fail(PN_CLI_REFUSED, "out of memory");

    json_decref(body);
    return code;
}

/* A PFX with a random password, as JSON texts. */
static enum pn_cli_exit make_pfx(const struct pn_demo *demo,
                                 const struct pn_demo_identity *identity, json_t **data,
                                 json_t **password)
{
    char secret[PASSWORD_TEXT];
    struct pn_error err = {0};
    struct pn_buf base64;
    enum pn_rc rc;

    pn_uuid_v4(secret);
    pn_buf_init_secret(&base64, PFX_TEXT_MAX);
    rc = pn_demo_pfx(identity, &demo->ca, secret, &base64, &err);
    if (rc == PN_OK) {
        *data = pn_json_from_slice(pn_buf_slice(&base64));
        *password = json_string(secret);
    }
    pn_wipe(secret, sizeof secret);
    pn_buf_fini(&base64);
    return rc == PN_OK ? PN_CLI_DONE : pn_cli_fail(PN_CLI_REFUSED, "%s", err.message);
}

static enum pn_cli_exit upload(struct pn_cli *cli, const struct pn_demo *demo)
{
    json_t *data = NULL;
    json_t *password = NULL;
    enum pn_cli_exit code = make_pfx(demo, &demo->uploaded, &data, &password);

    if (code == PN_CLI_DONE)
        code = put(cli, "/certificates/" UPLOADED_NAME,
                   json_pack("{s:{s:o, s:o}}", "properties", "data", data, "password", password),
                   NULL);
    if (code == PN_CLI_DONE)
        printf("PUT certificates/" UPLOADED_NAME ": a PFX was uploaded.\n");
    return code;
}

static enum pn_cli_exit import_and_refer(struct pn_cli *cli, const struct pn_demo *demo)
{
    json_t *data = NULL;
    json_t *password = NULL;
    json_t *body;
    char *secret_url = NULL;
    enum pn_cli_exit code = make_pfx(demo, &demo->vaulted, &data, &password);

    if (code != PN_CLI_DONE)
        return code;
    body = json_pack("{s:o, s:o}", "value", data, "pwd", password);
    code = body ? pn_cli_vault(cli, "POST", "/certificates/" VAULT_NAME "/import", body, NULL)
                : pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    json_decref(body);
    if (code != PN_CLI_DONE)
        return code;
    printf("POST %s/certificates/" VAULT_NAME "/import: another PFX is in the vault.\n",
           cli->session.vault_url);
    if (asprintf(&secret_url, "%s/secrets/" VAULT_NAME, cli->session.vault_url) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    code = put(cli, "/certificates/" VAULT_NAME,
               json_pack("{s:{s:{s:s}}}", "properties", "keyVault", "secretIdentifier", secret_url),
               NULL);
    if (code == PN_CLI_DONE)
        printf("PUT certificates/" VAULT_NAME ": refers to %s, and follows new versions.\n",
               secret_url);
    free(secret_url);
    return code;
}

/* The demo's CA is nobody's: the backend entity is where API Management switches its check off. */
static enum pn_cli_exit make_backend(struct pn_cli *cli, const struct pn_demo *demo)
{
    return put(cli, "/backends/" BACKEND_NAME,
               json_pack("{s:{s:s, s:s, s:s, s:{s:b, s:b}}}", "properties", "url",
                         demo->backend_url, "protocol", "http", "description",
                         "postern demo: the sample backend", "tls", "validateCertificateChain", 0,
                         "validateCertificateName", 1),
               NULL);
}

static enum pn_cli_exit make_api(struct pn_cli *cli, const char *name, const char *api_path,
                                 bool needs_key)
{
    char *base = pn_cli_path("/apis/", name, "");
    char *operation = pn_cli_path("/apis/", name, "/operations/whoami");
    char *policy_path = pn_cli_path("/apis/", name, "/policies/policy");
    char *policy = NULL;
    enum pn_cli_exit code;

    code = put(cli, base,
               json_pack("{s:{s:s, s:s, s:[s,s], s:b}}", "properties", "displayName", name, "path",
                         api_path, "protocols", "http", "https", "subscriptionRequired", needs_key),
               NULL);
    if (code == PN_CLI_DONE)
        code = put(cli, operation,
                   json_pack("{s:{s:s, s:s, s:s}}", "properties", "displayName", "whoami", "method",
                             "GET", "urlTemplate", "/whoami"),
                   NULL);
    if (asprintf(&policy,
                 "<policies>\n"
                 "    <inbound>\n"
                 "        <base />\n"
                 "        <set-backend-service backend-id=\"" BACKEND_NAME "\" />\n"
                 "        <authentication-certificate certificate-id=\"%s\" />\n"
                 "    </inbound>\n"
                 "    <backend>\n"
                 "        <base />\n"
                 "    </backend>\n"
                 "    <outbound>\n"
                 "        <base />\n"
                 "    </outbound>\n"
                 "    <on-error>\n"
                 "        <base />\n"
                 "    </on-error>\n"
                 "</policies>",
                 name) < 0)
        policy = NULL;
    if (code == PN_CLI_DONE)
        code = put(cli, policy_path,
                   json_pack("{s:{s:s, s:s}}", "properties", "format", "rawxml", "value",
                             policy ? policy : ""),
                   NULL);
    if (code == PN_CLI_DONE)
        printf("PUT apis/%s: GET /%s/whoami presents certificate %s%s.\n", name, api_path, name,
               needs_key ? ", and needs a subscription key" : "");
    free(policy);
    free(base);
    free(operation);
    free(policy_path);
    return code;
}

static enum pn_cli_exit make_subscription(struct pn_cli *cli, struct pn_demo *demo)
{
    json_t *keys = NULL;
    const char *key;
    enum pn_cli_exit code =
        put(cli, "/subscriptions/" SUBSCRIPTION_SID,
            json_pack("{s:{s:s, s:s, s:s}}", "properties", "displayName", "Postern demo", "scope",
                      "/apis/" VAULT_NAME, "state", "active"),
            NULL);

    if (code == PN_CLI_DONE)
        code =
            pn_cli_arm(cli, "POST", "/subscriptions/" SUBSCRIPTION_SID "/listSecrets", NULL, &keys);
    key = pn_json_str(keys, "primaryKey");
    if (code == PN_CLI_DONE && !key)
        code = pn_cli_fail(PN_CLI_REFUSED, "listSecrets answered without a primaryKey");
    if (code == PN_CLI_DONE)
        snprintf(demo->subscription_key, sizeof demo->subscription_key, "%s", key);
    json_decref(keys);
    return code;
}

enum pn_cli_exit pn_demo_set_up(struct pn_cli *cli, struct pn_demo *demo)
{
    enum pn_cli_exit code = upload(cli, demo);

    if (code == PN_CLI_DONE)
        code = import_and_refer(cli, demo);
    if (code == PN_CLI_DONE)
        code = make_backend(cli, demo);
    if (code == PN_CLI_DONE)
        code = make_api(cli, UPLOADED_NAME, "demo/uploaded", false);
    if (code == PN_CLI_DONE)
        code = make_api(cli, VAULT_NAME, "demo/vault", true);
    if (code == PN_CLI_DONE)
        code = make_subscription(cli, demo);
    return code;
}

static enum pn_cli_exit call_one(struct pn_cli *cli, const char *what, const char *path,
                                 const char *header, const char *thumbprint)
{
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {.header = header};
    struct pn_slice body;
    char *url = NULL;
    const char *seen;
    enum pn_cli_exit code;

    if (asprintf(&url, "%s/%s/whoami", cli->session.gateway_url, path) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    request.url = url;
    code = pn_cli_send(cli, &request, &answer);
    seen = pn_json_str(answer.json, "thumbprint");
    body = pn_slice_trim(pn_buf_slice(&answer.body));
    if (code == PN_CLI_DONE)
        printf("\n%s: GET %s answered %ld\n", what, url, answer.status);
    if (code == PN_CLI_DONE && answer.status == 200 && seen) {
        const char *subject = pn_json_str(answer.json, "subject");
        const char *tls = pn_json_str(answer.json, "tls");

        printf("  the backend saw  %s\n", subject ? subject : "");
        printf("  thumbprint       %s (%s)\n", seen,
               strcmp(seen, thumbprint) == 0 ? "right" : "WRONG");
        printf("  over             %s\n", tls ? tls : "");
    }
    if (code == PN_CLI_DONE && answer.status != 200)
        code = pn_cli_fail(PN_CLI_REFUSED, "the gateway answered %ld: %.*s", answer.status,
                           PN_FMT(body));
    else if (code == PN_CLI_DONE && (!seen || strcmp(seen, thumbprint) != 0))
        code = pn_cli_fail(PN_CLI_REFUSED, "the backend should have seen %s", thumbprint);
    pn_cli_answer_fini(&answer);
    free(url);
    return code;
}

enum pn_cli_exit pn_demo_call_all(struct pn_cli *cli, struct pn_demo *demo)
{
    const char *gateway = cli->session.gateway_url;
    char header[320];
    enum pn_cli_exit code;

    if (!gateway)
        return pn_cli_fail(PN_CLI_REFUSED, "ready.json names no gatewayUrl");
    snprintf(header, sizeof header, "Ocp-Apim-Subscription-Key: %s", demo->subscription_key);
    code = call_one(cli, "Uploaded certificate", "demo/uploaded", NULL, demo->uploaded.thumbprint);
    if (code == PN_CLI_DONE)
        code =
            call_one(cli, "Key vault certificate", "demo/vault", header, demo->vaulted.thumbprint);
    if (code != PN_CLI_DONE)
        return code;
    printf("\nTo repeat it:\n"
           "  curl %s/demo/uploaded/whoami\n"
           "  curl -H '%s' %s/demo/vault/whoami\n",
           gateway, header, gateway);
    printf("To look around:\n"
           "  %s certificate list --data '%s'\n",
           cli->program, demo->data_dir);
    return PN_CLI_DONE;
}
