/* SPDX-License-Identifier: Apache-2.0
 *
 * postern login, postern logout: another service than the local one, for the commands that follow.
 *
 * What is kept is where the service is and access tokens that end by themselves, in a file that
 * only its owner reads; the client secret is not kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"
#include "cli/login_issuer.h"

#define LOGIN_BYTES_MAX  65536
#define SECRET_BYTES_MAX 4096

/* $XDG_CONFIG_HOME/postern or ~/.config/postern; made when `is_made`. A heap string. */
static char *login_file(bool is_made)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *above = NULL, *dir = NULL, *file = NULL;

    if ((config && *config ? asprintf(&above, "%s", config)
                           : asprintf(&above, "%s/.config", home ? home : "")) < 0 ||
        asprintf(&dir, "%s/postern", above) < 0 || asprintf(&file, "%s/login.json", dir) < 0)
        abort();
    if (is_made) {
        (void)mkdir(above, 0700);
        (void)mkdir(dir, 0700);
    }
    free(above);
    free(dir);
    return file;
}

enum pn_cli_exit pn_cli_read_login(struct pn_cli *cli, bool *is_there)
{
    struct pn_cli_session *session = &cli->session;
    struct pn_error err = {0};
    struct pn_buf text;
    json_t *login = NULL;
    char *file = login_file(false);
    enum pn_cli_exit code = PN_CLI_DONE;
    enum pn_rc rc;

    pn_buf_init_secret(&text, LOGIN_BYTES_MAX);
    rc = pn_file_read(file, &text, &err);
    if (rc == PN_OK)
        rc = pn_json_parse(pn_buf_slice(&text), &login, &err);
    *is_there = rc == PN_OK && pn_json_str(login, "url") && pn_json_str(login, "token");
    if (*is_there && pn_json_int(login, "expiresOn", 0) <= pn_clock_unix_s()) {
        code = pn_cli_fail(PN_CLI_USAGE,
                           "the login at %s has ended: \"postern login\" again, or \"postern "
                           "logout\" to go back to the local service",
                           pn_json_str(login, "url"));
    } else if (*is_there) {
        session->control_url = pn_cli_copy(pn_json_str(login, "url"));
        session->token = pn_cli_copy(pn_json_str(login, "token"));
        session->service_id = pn_cli_copy(pn_json_str(login, "service"));
        session->vault_url = pn_cli_copy(pn_json_str(login, "vaultUrl"));
        session->vault_token = pn_cli_copy(pn_json_str(login, "vaultToken"));
        session->ca_file = pn_cli_copy(pn_json_str(login, "caFile"));
        session->is_open = session->service_id != NULL;
    } else if (rc != PN_OK && rc != PN_NOT_FOUND) {
        code =
            pn_cli_fail(PN_CLI_USAGE, "%s: %s. \"postern logout\" removes it", file, err.message);
    }
    json_decref(login);
    pn_buf_fini(&text);
    free(file);
    return code;
}

/* The client secret: --secret-file, POSTERN_CLIENT_SECRET, or a question. */
static enum pn_cli_exit read_secret(struct pn_cli *cli, char **secret)
{
    const char *file = pn_cli_value(cli, "secret-file");
    const char *variable = getenv("POSTERN_CLIENT_SECRET");
    struct pn_buf text;
    enum pn_cli_exit code = PN_CLI_DONE;

    pn_buf_init_secret(&text, SECRET_BYTES_MAX);
    if (file)
        code = pn_cli_read_file(file, &text);
    else if (variable && *variable)
        code = pn_buf_append_str(&text, variable) == PN_OK ? PN_CLI_DONE : PN_CLI_USAGE;
    else if (!pn_cli_prompt("Client secret: ", &text))
        code = pn_cli_usage(cli, "--secret-file FILE is needed when there is no terminal to ask");
    if (code == PN_CLI_DONE)
        *secret = pn_slice_dup(pn_slice_trim(pn_buf_slice(&text)));
    if (code == PN_CLI_DONE && (!*secret || !**secret))
        code = pn_cli_usage(cli, "the client secret is empty");
    pn_buf_fini(&text);
    return code;
}

/* "exp" of a token (RFC 7519 §4.1.4); it is only looked at to say in time that it has ended. */
static int64_t expiry_of(const char *token)
{
    const char *first = strchr(token, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;
    struct pn_buf text;
    json_t *claims = NULL;
    int64_t expiry = 0;

    pn_buf_init(&text, LOGIN_BYTES_MAX);
    if (second &&
        pn_base64url_decode(pn_slice(first + 1, (size_t)(second - first - 1)), &text) == PN_OK &&
        pn_json_parse(pn_buf_slice(&text), &claims, NULL) == PN_OK)
        expiry = pn_json_int(claims, "exp", 0);
    json_decref(claims);
    pn_buf_fini(&text);
    return expiry;
}

static enum pn_cli_exit write_login(const struct pn_cli_session *session)
{
    struct pn_error err = {0};
    struct pn_buf text;
    char *file = login_file(true);
    json_t *login =
        json_pack("{s:s, s:s, s:I, s:s*, s:s*, s:s*, s:s*}", "url", session->control_url, "token",
                  session->token, "expiresOn", (json_int_t)expiry_of(session->token), "service",
                  session->service_id, "vaultUrl", session->vault_url, "vaultToken",
                  session->vault_token, "caFile", session->ca_file);
    enum pn_cli_exit code = PN_CLI_DONE;

    pn_buf_init_secret(&text, LOGIN_BYTES_MAX);
    if (!login || pn_json_dump(login, &text) != PN_OK)
        code = pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    else if (pn_file_write_atomic(file, pn_buf_slice(&text), 0600, &err) != PN_OK)
        code = pn_cli_fail(PN_CLI_USAGE, "%s", err.message);
    json_decref(login);
    pn_buf_fini(&text);
    free(file);
    return code;
}

/* Who has no role yet cannot find the service. Which id gets one is in what refuses him. */
static void tell_principal(struct pn_cli *cli)
{
    static const char nowhere[] =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups?api-version=2021-04-01";
    static const char before[] = "object id '";
    struct pn_cli_request request = {.token = cli->session.token};
    struct pn_cli_answer answer = {0};
    char *url = NULL;
    const char *message, *id;

    if (asprintf(&url, "%s%s", cli->session.control_url, nowhere) < 0)
        return;
    request.url = url;
    if (pn_cli_send(cli, &request, &answer) == PN_CLI_DONE && answer.status == 403) {
        message = pn_json_str(json_object_get(answer.json, "error"), "message");
        id = message ? strstr(message, before) : NULL;
        id = id ? id + strlen(before) : NULL;
        if (id && strlen(id) >= PN_UUID_TEXT - 1 && pn_is_uuid(pn_slice(id, PN_UUID_TEXT - 1)))
            fprintf(stderr,
                    "postern: you are %.36s there, and have no role yet. Who manages the service "
                    "gives one: postern role assign %.36s Reader --principal-type User\n",
                    id, id);
    }
    pn_cli_answer_fini(&answer);
    free(url);
}

static bool is_of_issuer(const struct pn_cli *cli)
{
    return pn_cli_value(cli, "scope") || pn_cli_value(cli, "resource") ||
           pn_cli_flag(cli, "device") || pn_cli_flag(cli, "no-browser");
}

static enum pn_cli_exit open_by_issuer(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    enum pn_cli_exit code = pn_cli_issuer_token(cli, &session->token);

    if (code == PN_CLI_DONE) {
        session->vault_token = session->vault_url ? pn_cli_copy(session->token) : NULL;
        code = pn_cli_open(cli);
        if (code == PN_CLI_REFUSED)
            tell_principal(cli);
    }
    return code;
}

static enum pn_cli_exit run_login(struct pn_cli *cli)
{
    struct pn_cli_session *session = &cli->session;
    const char *url = pn_cli_value(cli, "url");
    const char *ca_file = pn_cli_value(cli, "ca-file");
    const char *issuer = pn_cli_value(cli, "issuer");
    char *absolute = ca_file ? realpath(ca_file, NULL) : NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (!url || !pn_cli_value(cli, "client-id"))
        code = pn_cli_usage(cli, "--url and --client-id are needed");
    else if (strncmp(url, "https://", 8) != 0)
        code = pn_cli_usage(cli, "--url must begin with https://, as a secret is sent there");
    else if (ca_file && !absolute)
        code = pn_cli_usage(cli, "%s: %s", ca_file, strerror(errno));
    else if (issuer && pn_cli_value(cli, "secret-file"))
        code = pn_cli_usage(cli, "--secret-file is of an application here; with --issuer this "
                                 "program is a public client");
    else if (!issuer && is_of_issuer(cli))
        code = pn_cli_usage(cli, "--scope, --resource, --device and --no-browser go with --issuer");
    else if (!issuer)
        code = read_secret(cli, &session->client_secret);
    if (code != PN_CLI_DONE) {
        free(absolute);
        return code;
    }
    session->control_url = pn_cli_without_slash(url);
    session->service_id = pn_cli_copy(getenv("POSTERN_SERVICE"));
    session->vault_url = pn_cli_without_slash(pn_cli_value(cli, "vault-url"));
    session->tenant_id = pn_cli_copy(pn_cli_value(cli, "tenant"));
    session->client_id = pn_cli_copy(pn_cli_value(cli, "client-id"));
    session->ca_file = absolute ? absolute : pn_cli_copy(getenv("POSTERN_CA_FILE"));
    code = issuer ? open_by_issuer(cli) : pn_cli_open(cli);
    if (code == PN_CLI_DONE && session->vault_url)
        code = pn_cli_open_vault(cli);
    if (code == PN_CLI_DONE)
        code = write_login(session);
    if (code == PN_CLI_DONE && pn_cli_is_table(cli))
        printf("Logged in at %s for %lld minutes.\n", session->control_url,
               (long long)(expiry_of(session->token) - pn_clock_unix_s()) / 60);
    return code;
}

static enum pn_cli_exit run_logout(struct pn_cli *cli)
{
    char *file = login_file(false);
    enum pn_cli_exit code = PN_CLI_DONE;

    (void)cli;
    if (unlink(file) != 0 && errno != ENOENT)
        code = pn_cli_fail(PN_CLI_USAGE, "%s cannot be removed: %s", file, strerror(errno));
    free(file);
    return code;
}

static const struct pn_cli_option login_options[] = {
    {"url", "URL", "management URL: https://gateway.example:9443"},
    {"client-id", "ID",
     "of the application (postern identity) to log in as; with --issuer that of this program "
     "there"},
    {"secret-file", "FILE",
     "its secret (\"-\": standard input; default: POSTERN_CLIENT_SECRET, ask)"},
    {"issuer", "URL",
     "another identity provider that the service trusts: signs a person in by a browser"},
    {"scope", "TEXT",
     "what is asked of the issuer (default: openid); Entra ID: api://postern/.default"},
    {"resource", "URI", "what the token shall be for (RFC 8707), where the issuer wants it"},
    {"device", NULL, "sign in by a browser elsewhere, with a code to enter there"},
    {"no-browser", NULL, "only show where to sign in; open no browser"},
    {"tenant", "ID", "default: the service's own"},
    {"vault-url", "URL", "a key vault of the service, for vault commands"},
    {"ca-file", "FILE", "CA certificates to trust (PEM)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_login_commands[] = {
    {"login", NULL, 0, 0, login_options,
     "Logs in at another service than the local one; later commands go there.",
     "postern login --url https://gateway.example:9443 --client-id ID --ca-file ca.pem", run_login},
    {"logout", NULL, 0, 0, NULL, "Forgets the login: commands go to the local service again.",
     "postern logout", run_logout},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
