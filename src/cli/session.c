/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the server is, and the tokens for it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"

#define READY_BYTES_MAX  65536
#define SECRET_BYTES_MAX 4096

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

char *pn_cli_copy(const char *text)
{
    char *result = text ? strdup(text) : NULL;

    if (text && !result)
        abort(); /* a command line tool without memory has nothing to save */
    return result;
}

char *pn_cli_data_dir(const struct pn_cli *cli)
{
    const char *given = pn_cli_value(cli, "data");
    const char *state = environment("XDG_STATE_HOME");
    const char *home = environment("HOME");
    char *dir = NULL;
    int len;

    if (given)
        return pn_cli_copy(given);
    if (state)
        len = asprintf(&dir, "%s/postern", state);
    else
        len = asprintf(&dir, "%s/.local/state/postern", home ? home : "");
    return len < 0 ? NULL : dir;
}

char *pn_cli_without_slash(const char *url)
{
    char *result = pn_cli_copy(url);
    size_t len = result ? strlen(result) : 0;

    while (len > 0 && result[len - 1] == '/')
        result[--len] = '\0';
    return result;
}

static enum pn_rc read_secret(struct pn_cli_session *session, const char *path,
                              struct pn_error *err)
{
    struct pn_buf buf;
    enum pn_rc rc;

    pn_buf_init_secret(&buf, SECRET_BYTES_MAX);
    rc = pn_file_read(path, &buf, err);
    if (rc == PN_OK) {
        session->client_secret = pn_slice_dup(pn_slice_trim(pn_buf_slice(&buf)));
        if (!session->client_secret)
            rc = PN_NOMEM;
    }
    pn_buf_fini(&buf);
    return rc;
}

static enum pn_rc take_ready(struct pn_cli_session *session, const json_t *ready,
                             struct pn_error *err)
{
    const char *control = pn_json_str(ready, "controlUrl");
    const char *secret = pn_json_str(ready, "clientSecretFile");
    const char *subscription = pn_json_str(ready, "subscriptionId");
    const char *group = pn_json_str(ready, "resourceGroup");
    const char *service = pn_json_str(ready, "serviceName");

    if (!control || !subscription || !group || !service)
        return pn_error_set(err, PN_MALFORMED, "ready_incomplete",
                            "ready.json lacks controlUrl, subscriptionId, resourceGroup or "
                            "serviceName");
    session->control_url = pn_cli_without_slash(control);
    session->vault_url = pn_cli_without_slash(pn_json_str(ready, "vaultUrl"));
    session->gateway_url = pn_cli_without_slash(pn_json_str(ready, "gatewayUrl"));
    session->gateway_tls_url = pn_cli_without_slash(pn_json_str(ready, "gatewayTlsUrl"));
    session->ca_file = pn_cli_copy(pn_json_str(ready, "caFile"));
    session->tenant_id = pn_cli_copy(pn_json_str(ready, "tenantId"));
    session->client_id = pn_cli_copy(pn_json_str(ready, "clientId"));
    session->is_local = true;
    if (asprintf(&session->service_id,
                 "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ApiManagement/service/%s",
                 subscription, group, service) < 0)
        return PN_NOMEM;
    return secret && !environment("POSTERN_TOKEN") ? read_secret(session, secret, err) : PN_OK;
}

enum pn_rc pn_cli_read_ready(struct pn_cli *cli, const char *dir, struct pn_error *err)
{
    struct pn_buf buf;
    json_t *ready = NULL;
    char *path = NULL;
    enum pn_rc rc;

    if (asprintf(&path, "%s/ready.json", dir) < 0)
        return PN_NOMEM;
    pn_buf_init(&buf, READY_BYTES_MAX);
    rc = pn_file_read(path, &buf, err);
    if (rc == PN_OK)
        rc = pn_json_parse(pn_buf_slice(&buf), &ready, err);
    if (rc == PN_OK)
        rc = take_ready(&cli->session, ready, err);
    json_decref(ready);
    pn_buf_fini(&buf);
    free(path);
    return rc;
}

static enum pn_cli_exit locate_local(struct pn_cli *cli)
{
    struct pn_error err = {0};
    char *dir = pn_cli_data_dir(cli);
    enum pn_rc rc = dir ? pn_cli_read_ready(cli, dir, &err) : PN_NOMEM;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (rc == PN_NOT_FOUND && !pn_cli_value(cli, "data"))
        rc = pn_cli_read_ready(cli, "/var/lib/postern", &err);
    if (rc == PN_NOT_FOUND)
        code = pn_cli_fail(PN_CLI_UNREACHABLE,
                           "no service is running on %s (there is no ready.json). Start one with "
                           "\"postern serve\", name its folder with --data DIR, or set POSTERN_URL "
                           "and POSTERN_TOKEN",
                           dir ? dir : "the default folder");
    else if (rc != PN_OK)
        code = pn_cli_fail(PN_CLI_UNREACHABLE, "%s", err.message[0] ? err.message : pn_rc_name(rc));
    free(dir);
    return code;
}

enum pn_cli_exit pn_cli_locate(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    const char *url = environment("POSTERN_URL");
    const char *vault = environment("POSTERN_VAULT_URL");
    const char *ca_file;
    bool is_logged_in = false;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (session->control_url)
        return PN_CLI_DONE;
    if (url) {
        session->control_url = pn_cli_without_slash(url);
        session->service_id = pn_cli_copy(environment("POSTERN_SERVICE"));
        session->vault_url = pn_cli_without_slash(vault);
    } else {
        if (!pn_cli_value(cli, "data"))
            code = pn_cli_read_login(cli, &is_logged_in);
        if (code == PN_CLI_DONE && !is_logged_in)
            code = locate_local(cli);
        if (code != PN_CLI_DONE)
            return code;
    }
    /* The local service brings its own CA; SSL_CERT_FILE is what other tools go by. */
    ca_file = environment("POSTERN_CA_FILE");
    if (!ca_file && !session->ca_file)
        ca_file = environment("SSL_CERT_FILE");
    if (ca_file) {
        free(session->ca_file);
        session->ca_file = pn_cli_copy(ca_file);
    }
    return PN_CLI_DONE;
}

static enum pn_rc append_field(struct pn_buf *form, const char *name, const char *value)
{
    enum pn_rc rc = pn_buf_printf(form, "&%s=", name);

    return rc == PN_OK ? pn_percent_encode(pn_slice_str(value), form) : rc;
}

/* Client credentials (RFC 6749 §4.4) for one resource. */
static enum pn_cli_exit fetch_token(struct pn_cli *cli, const char *authority, const char *resource,
                                    char **token)
{
    struct pn_cli_session *session = &cli->session;
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {.method = "POST"};
    struct pn_buf form;
    char *url = NULL;
    char *scope = NULL;
    enum pn_cli_exit code = PN_CLI_REFUSED;

    if (!session->client_id || !session->client_secret)
        return pn_cli_fail(PN_CLI_USAGE, "no token: set POSTERN_TOKEN (and POSTERN_VAULT_TOKEN for "
                                         "vault commands)");
    pn_buf_init_secret(&form, 16384);
    if (asprintf(&url, "%s/oauth2/v2.0/token", authority) < 0 ||
        asprintf(&scope, "%s/.default", resource) < 0 ||
        pn_buf_append_str(&form, "grant_type=client_credentials") != PN_OK ||
        append_field(&form, "client_id", session->client_id) != PN_OK ||
        append_field(&form, "client_secret", session->client_secret) != PN_OK ||
        append_field(&form, "scope", scope) != PN_OK || !pn_buf_str(&form)) {
        code = pn_cli_fail(PN_CLI_REFUSED, "out of memory");
        goto out;
    }
    request.url = url;
    request.form = form.ptr;
    code = pn_cli_send(cli, &request, &answer);
    if (code != PN_CLI_DONE)
        goto out;
    if (answer.status != 200 || !pn_json_str(answer.json, "access_token")) {
        code = pn_cli_refused(&answer, "the token authority");
        goto out;
    }
    *token = pn_cli_copy(pn_json_str(answer.json, "access_token"));
out:
    pn_cli_answer_fini(&answer);
    pn_buf_fini(&form);
    free(url);
    free(scope);
    return code;
}

/* The first service that the token may see. */
static enum pn_cli_exit find_service(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {.token = session->token};
    char *url = NULL;
    const char *id;
    enum pn_cli_exit code;

    if (asprintf(&url, "%s/subscriptions?api-version=2022-12-01", session->control_url) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    request.url = url;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE && answer.status != 200)
        code = pn_cli_refused(&answer, "the list of subscriptions");
    id = pn_json_str(json_array_get(json_object_get(answer.json, "value"), 0), "id");
    free(url);
    url = NULL;
    if (code == PN_CLI_DONE && id &&
        asprintf(&url, "%s%s/providers/Microsoft.ApiManagement/service?api-version=%s",
                 session->control_url, id, PN_CLI_ARM_VERSION) < 0)
        url = NULL;
    pn_cli_answer_fini(&answer);
    if (code == PN_CLI_DONE && url) {
        request.url = url;
        code = pn_cli_send(cli, &request, &answer);
        if (code == PN_CLI_DONE && answer.status != 200)
            code = pn_cli_refused(&answer, "the list of services");
        session->service_id = pn_cli_copy(
            pn_json_str(json_array_get(json_object_get(answer.json, "value"), 0), "id"));
        pn_cli_answer_fini(&answer);
    }
    free(url);
    if (code == PN_CLI_DONE && !session->service_id)
        code = pn_cli_fail(PN_CLI_REFUSED, "the server has no service that this token may see; set "
                                           "POSTERN_SERVICE to its full id");
    return code;
}

enum pn_cli_exit pn_cli_open(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    char *authority = NULL;
    enum pn_cli_exit code = pn_cli_locate(cli);

    if (code != PN_CLI_DONE || session->is_open)
        return code;
    if (environment("POSTERN_TOKEN") && !session->token) {
        session->token = pn_cli_copy(environment("POSTERN_TOKEN"));
    } else if (!session->token) {
        if (asprintf(&authority, "%s/%s", session->control_url,
                     session->tenant_id ? session->tenant_id : "common") < 0)
            return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
        code = fetch_token(cli, authority, session->control_url, &session->token);
        free(authority);
    }
    if (code == PN_CLI_DONE && !session->service_id)
        code = find_service(cli);
    session->is_open = code == PN_CLI_DONE;
    return code;
}

/* Value of name="…" in a challenge (RFC 9110 §11.6.1), as a heap string. */
static char *challenge_value(const char *challenge, const char *name)
{
    char key[64];
    const char *at;
    const char *end;

    snprintf(key, sizeof key, "%s=\"", name);
    at = challenge ? strstr(challenge, key) : NULL;
    if (!at)
        return NULL;
    at += strlen(key);
    end = strchr(at, '"');
    return end ? pn_slice_dup(pn_slice(at, (size_t)(end - at))) : NULL;
}

enum pn_cli_exit pn_cli_open_vault(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    struct pn_cli_answer answer = {0};
    struct pn_cli_request request = {0};
    char *url = NULL;
    char *resource = NULL;
    char *authority = NULL;
    enum pn_cli_exit code = pn_cli_locate(cli);

    if (code != PN_CLI_DONE || session->vault_token)
        return code;
    if (!session->vault_url)
        return pn_cli_fail(PN_CLI_USAGE, "no vault is known: set POSTERN_VAULT_URL");
    if (environment("POSTERN_VAULT_TOKEN")) {
        session->vault_token = pn_cli_copy(environment("POSTERN_VAULT_TOKEN"));
        return PN_CLI_DONE;
    }
    if (asprintf(&url, "%s/secrets?api-version=" PN_CLI_VAULT_VERSION, session->vault_url) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    request.url = url;
    code = pn_cli_send(cli, &request, &answer);
    if (code == PN_CLI_DONE) {
        resource = challenge_value(answer.challenge, "resource");
        authority = challenge_value(answer.challenge, "authorization");
        if (!resource || !authority)
            code = pn_cli_fail(PN_CLI_REFUSED,
                               "%s answered without a challenge (status %ld): is it a vault?",
                               session->vault_url, answer.status);
    }
    /* The client secret goes to our own authority only, whatever a vault may say. */
    if (code == PN_CLI_DONE && authority &&
        (strncmp(authority, session->control_url, strlen(session->control_url)) != 0 ||
         authority[strlen(session->control_url)] != '/'))
        code = pn_cli_fail(PN_CLI_REFUSED,
                           "the vault asks for a token of %s, which is not %s: set "
                           "POSTERN_VAULT_TOKEN",
                           authority, session->control_url);
    if (code == PN_CLI_DONE)
        code = fetch_token(cli, authority, resource, &session->vault_token);
    pn_cli_answer_fini(&answer);
    free(resource);
    free(authority);
    free(url);
    return code;
}

void pn_cli_close(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;

    pn_wipe_free_str(session->client_secret);
    pn_wipe_free_str(session->token);
    pn_wipe_free_str(session->vault_token);
    free(session->control_url);
    free(session->vault_url);
    free(session->gateway_url);
    free(session->gateway_tls_url);
    free(session->ca_file);
    free(session->tenant_id);
    free(session->client_id);
    free(session->service_id);
    free(session->scope_id);
    *session = (struct pn_cli_session){0};
}

const char *pn_cli_scope_id(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    const char *workspace = pn_cli_value(cli, "workspace");

    if (workspace && !session->scope_id) {
        char *below = pn_cli_path("/workspaces/", workspace, "");

        if (asprintf(&session->scope_id, "%s%s", session->service_id, below) < 0)
            abort();
        free(below);
    }
    return workspace ? session->scope_id : session->service_id;
}
