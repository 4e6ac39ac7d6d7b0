/* SPDX-License-Identifier: Apache-2.0
 *
 * Signing in by another identity provider, which Postern trusts (--trusted-issuer): a person's
 * access token for it. Either the browser of this machine (authorization code, PKCE and a loopback
 * redirect: RFC 8252, RFC 7636) or one elsewhere (device code: RFC 8628). This program is a public
 * client of the issuer: it has no secret, and keeps no refresh token.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"
#include "cli/login_issuer.h"
#include "cli/loopback.h"

#define WELL_KNOWN     "/.well-known/openid-configuration"
#define TENANT_HOLE    "{tenantid}"
#define DEVICE_GRANT   "urn:ietf:params:oauth:grant-type:device_code"
#define SIGN_IN_S      300
#define RANDOM_BYTES   32
#define RANDOM_TEXT    48 /* base64url of 32 bytes, with NUL */
#define FORM_MAX       32768
#define CODE_MAX       4096
#define SHOWN_MAX      512
#define INTERVAL_S     5 /* RFC 8628 §3.2, §3.5 */
#define INTERVAL_S_MAX 60
#define DEVICE_S_MAX   1800

struct issuer {
    const char *url, *client_id, *scope, *resource; /* of the command line */
    json_t *document;
};

/* ---- requests to the issuer ---- */

static enum pn_cli_exit no_memory(void)
{
    return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
}

static enum pn_rc add(struct pn_buf *form, const char *name, const char *value)
{
    enum pn_rc rc = PN_OK;

    if (!value)
        return PN_OK;
    if (form->len > 0)
        rc = pn_buf_append_byte(form, '&');
    if (rc == PN_OK)
        rc = pn_buf_printf(form, "%s=", name);
    return rc == PN_OK ? pn_percent_encode(pn_slice_str(value), form) : rc;
}

/* What comes from the issuer and goes to a terminal: printable ASCII only. */
static void printable(const char *text, char out[SHOWN_MAX])
{
    size_t len = 0;

    for (; text && *text && len + 1 < SHOWN_MAX; text++) {
        if (*text >= ' ' && *text < 0x7f)
            out[len++] = *text;
    }
    out[len] = '\0';
}

/* RFC 6749 §5.2 */
static enum pn_cli_exit refused(const struct issuer *issuer, const struct pn_cli_answer *answer)
{
    char error[SHOWN_MAX], description[SHOWN_MAX];

    printable(pn_json_str(answer->json, "error"), error);
    printable(pn_json_str(answer->json, "error_description"), description);
    return pn_cli_fail(PN_CLI_REFUSED, "%s refused (%ld): %s%s%s", issuer->url, answer->status,
                       error[0] ? error : "no reason given", description[0] ? ": " : "",
                       description);
}

static bool is_https(const char *url)
{
    return url && strncmp(url, "https://", 8) == 0;
}

static enum pn_cli_exit discover(struct pn_cli *cli, struct issuer *issuer)
{
    struct pn_cli_request request = {.is_elsewhere = true};
    struct pn_cli_answer answer = {0};
    char *base = pn_cli_without_slash(issuer->url), *url = NULL;
    const char *named;
    enum pn_cli_exit code;

    if (!base || asprintf(&url, "%s" WELL_KNOWN, base) < 0) {
        free(base);
        return no_memory();
    }
    request.url = url;
    code = pn_cli_send(cli, &request, &answer);
    named = pn_json_str(answer.json, "issuer");
    if (code == PN_CLI_DONE && answer.status != 200)
        code = pn_cli_fail(PN_CLI_REFUSED, "%s answered %ld: is it the issuer's URL?", url,
                           answer.status);
    else if (code == PN_CLI_DONE &&
             (!named || (strcmp(named, issuer->url) != 0 && !strstr(named, TENANT_HOLE))))
        code = pn_cli_fail(PN_CLI_REFUSED, "%s does not name %s as its issuer", url, issuer->url);
    else if (code == PN_CLI_DONE && !is_https(pn_json_str(answer.json, "token_endpoint")))
        code = pn_cli_fail(PN_CLI_REFUSED, "%s names no https token endpoint", url);
    if (code == PN_CLI_DONE)
        issuer->document = json_incref(answer.json);
    pn_cli_answer_fini(&answer);
    free(base);
    free(url);
    return code;
}

/* A token that Postern can check has three parts; others only their issuer can read. */
static enum pn_cli_exit take_token(const struct issuer *issuer, const struct pn_cli_answer *answer,
                                   char **token)
{
    const char *text = pn_json_str(answer->json, "access_token");
    const char *first = text ? strchr(text, '.') : NULL;

    if (answer->status != 200 || !text)
        return refused(issuer, answer);
    if (!first || !strchr(first + 1, '.'))
        return pn_cli_fail(PN_CLI_REFUSED,
                           "%s gave a token that is no JWT: name what it is for, as Postern's "
                           "--trusted-issuer has it (audience), by --resource or --scope",
                           issuer->url);
    *token = pn_cli_copy(text);
    return PN_CLI_DONE;
}

/* ---- the browser of this machine ---- */

static bool make_random(char out[RANDOM_TEXT])
{
    uint8_t bytes[RANDOM_BYTES];
    struct pn_buf text;
    bool is_made;

    pn_random(bytes, sizeof bytes);
    pn_buf_init_secret(&text, RANDOM_TEXT - 1);
    is_made = pn_base64url_encode(pn_slice(bytes, sizeof bytes), &text) == PN_OK;
    if (is_made)
        snprintf(out, RANDOM_TEXT, "%.*s", PN_FMT(pn_buf_slice(&text)));
    pn_wipe(bytes, sizeof bytes);
    pn_buf_fini(&text);
    return is_made;
}

/* RFC 7636 §4.2 */
static bool make_challenge(const char *verifier, char out[RANDOM_TEXT])
{
    uint8_t hash[PN_SHA256_BYTES];
    struct pn_buf text;
    bool is_made;

    pn_sha256(pn_slice_str(verifier), hash);
    pn_buf_init(&text, RANDOM_TEXT - 1);
    is_made = pn_base64url_encode(pn_slice(hash, sizeof hash), &text) == PN_OK;
    if (is_made)
        snprintf(out, RANDOM_TEXT, "%.*s", PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    return is_made;
}

struct attempt {
    char state[RANDOM_TEXT], verifier[RANDOM_TEXT], challenge[RANDOM_TEXT];
    char redirect[64];
};

static enum pn_cli_exit make_url(const struct issuer *issuer, const struct attempt *attempt,
                                 struct pn_buf *url)
{
    const char *endpoint = pn_json_str(issuer->document, "authorization_endpoint");
    struct pn_buf query;
    enum pn_rc rc;

    if (!is_https(endpoint))
        return pn_cli_fail(PN_CLI_REFUSED,
                           "%s names no https authorization endpoint: --device "
                           "may work",
                           issuer->url);
    pn_buf_init(&query, FORM_MAX);
    rc = add(&query, "response_type", "code");
    if (rc == PN_OK)
        rc = add(&query, "client_id", issuer->client_id);
    if (rc == PN_OK)
        rc = add(&query, "redirect_uri", attempt->redirect);
    if (rc == PN_OK)
        rc = add(&query, "scope", issuer->scope);
    if (rc == PN_OK)
        rc = add(&query, "resource", issuer->resource); /* RFC 8707 */
    if (rc == PN_OK)
        rc = add(&query, "state", attempt->state);
    if (rc == PN_OK)
        rc = add(&query, "code_challenge", attempt->challenge);
    if (rc == PN_OK)
        rc = add(&query, "code_challenge_method", "S256");
    if (rc == PN_OK)
        rc = pn_buf_printf(url, "%s%c%.*s", endpoint, strchr(endpoint, '?') ? '&' : '?',
                           PN_FMT(pn_buf_slice(&query)));
    pn_buf_fini(&query);
    return rc == PN_OK && pn_buf_str(url) ? PN_CLI_DONE : no_memory();
}

/* Not waited for: some stay as long as the browser. What they print is nobody's. */
static void open_browser(const char *url)
{
    const char *browser = getenv("BROWSER");
    pid_t child = fork();

    if (child == 0) {
        if (fork() != 0) /* init collects the grandchild */
            _exit(0);
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(1);
        if (browser && *browser)
            execlp(browser, browser, url, (char *)NULL);
        else
            execlp("xdg-open", "xdg-open", url, (char *)NULL);
        _exit(1);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

static bool has_display(void)
{
    static const char *const variables[] = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"};

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i]);

        if (value && *value)
            return true;
    }
    return false;
}

/* The code for a token (RFC 6749 §4.1.3). */
static enum pn_cli_exit redeem(struct pn_cli *cli, const struct issuer *issuer,
                               const struct attempt *attempt, struct pn_buf *code, char **token)
{
    struct pn_cli_request request = {.method = "POST", .is_elsewhere = true};
    struct pn_cli_answer answer = {0};
    struct pn_buf form;
    enum pn_cli_exit result;
    enum pn_rc rc;

    pn_buf_init_secret(&form, FORM_MAX);
    rc = add(&form, "grant_type", "authorization_code");
    if (rc == PN_OK)
        rc = add(&form, "client_id", issuer->client_id);
    if (rc == PN_OK)
        rc = add(&form, "code", pn_buf_str(code));
    if (rc == PN_OK)
        rc = add(&form, "redirect_uri", attempt->redirect);
    if (rc == PN_OK)
        rc = add(&form, "code_verifier", attempt->verifier);
    if (rc == PN_OK)
        rc = add(&form, "resource", issuer->resource);
    request.url = pn_json_str(issuer->document, "token_endpoint");
    request.form = pn_buf_str(&form);
    if (rc != PN_OK || !request.form) {
        pn_buf_fini(&form);
        return no_memory();
    }
    result = pn_cli_send(cli, &request, &answer);
    if (result == PN_CLI_DONE)
        result = take_token(issuer, &answer, token);
    pn_cli_answer_fini(&answer);
    pn_buf_fini(&form);
    return result;
}

static enum pn_cli_exit by_browser(struct pn_cli *cli, const struct issuer *issuer, char **token)
{
    struct pn_cli_loopback loopback;
    struct attempt attempt;
    struct pn_error err = {0};
    struct pn_buf url, code;
    enum pn_cli_exit result;

    if (!make_random(attempt.state) || !make_random(attempt.verifier) ||
        !make_challenge(attempt.verifier, attempt.challenge))
        return no_memory();
    if (pn_cli_loopback_open(&loopback, &err) != PN_OK)
        return pn_cli_fail(PN_CLI_USAGE, "%s: --device needs none", err.message);
    snprintf(attempt.redirect, sizeof attempt.redirect, "http://localhost:%u/", loopback.port);
    pn_buf_init(&url, FORM_MAX);
    pn_buf_init_secret(&code, CODE_MAX);
    result = make_url(issuer, &attempt, &url);
    if (result == PN_CLI_DONE) {
        fprintf(stderr, "Sign in with your browser, within %d minutes:\n%s\n", SIGN_IN_S / 60,
                pn_buf_str(&url));
        if (!pn_cli_flag(cli, "no-browser") && has_display())
            open_browser(pn_buf_str(&url));
        if (pn_cli_loopback_wait(&loopback, attempt.state, issuer->url, SIGN_IN_S, &code, &err) !=
            PN_OK)
            result = pn_cli_fail(PN_CLI_REFUSED, "%s", err.message);
    }
    if (result == PN_CLI_DONE)
        result = redeem(cli, issuer, &attempt, &code, token);
    pn_wipe(&attempt, sizeof attempt);
    pn_cli_loopback_close(&loopback);
    pn_buf_fini(&url);
    pn_buf_fini(&code);
    return result;
}

/* ---- a browser elsewhere ---- */

/* PN_CLI_DONE with *token NULL: not yet. */
static enum pn_cli_exit ask_device(struct pn_cli *cli, const struct issuer *issuer,
                                   const char *form, int64_t *interval_s, char **token)
{
    struct pn_cli_request request = {.method = "POST",
                                     .url = pn_json_str(issuer->document, "token_endpoint"),
                                     .form = form,
                                     .is_elsewhere = true};
    struct pn_cli_answer answer = {0};
    enum pn_cli_exit result = pn_cli_send(cli, &request, &answer);
    const char *error = pn_json_str(answer.json, "error");

    if (result == PN_CLI_DONE && error && strcmp(error, "slow_down") == 0)
        *interval_s += INTERVAL_S;
    else if (result == PN_CLI_DONE && (!error || strcmp(error, "authorization_pending") != 0))
        result = take_token(issuer, &answer, token);
    pn_cli_answer_fini(&answer);
    return result;
}

static void sleep_s(int64_t seconds)
{
    struct timespec wait = {.tv_sec = (time_t)seconds};

    while (nanosleep(&wait, &wait) != 0)
        ;
}

static int64_t between(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static enum pn_cli_exit wait_for_device(struct pn_cli *cli, const struct issuer *issuer,
                                        const json_t *given, char **token)
{
    uint64_t begun_ms = pn_clock_monotonic_ms();
    int64_t interval_s = between(pn_json_int(given, "interval", INTERVAL_S), 1, INTERVAL_S_MAX);
    int64_t lasts_s = between(pn_json_int(given, "expires_in", SIGN_IN_S), 1, DEVICE_S_MAX);
    enum pn_cli_exit result = PN_CLI_DONE;
    struct pn_buf form;
    enum pn_rc rc;

    pn_buf_init_secret(&form, FORM_MAX);
    rc = add(&form, "grant_type", DEVICE_GRANT);
    if (rc == PN_OK)
        rc = add(&form, "client_id", issuer->client_id);
    if (rc == PN_OK)
        rc = add(&form, "device_code", pn_json_str(given, "device_code"));
    if (rc == PN_OK)
        rc = add(&form, "resource", issuer->resource);
    if (rc != PN_OK || !pn_buf_str(&form))
        result = no_memory();
    while (result == PN_CLI_DONE && !*token) {
        if (pn_clock_monotonic_ms() - begun_ms >= (uint64_t)lasts_s * 1000)
            result = pn_cli_fail(PN_CLI_REFUSED, "nobody signed in within %lld seconds",
                                 (long long)lasts_s);
        else
            sleep_s(interval_s);
        if (result == PN_CLI_DONE)
            result = ask_device(cli, issuer, pn_buf_str(&form), &interval_s, token);
        interval_s = between(interval_s, 1, INTERVAL_S_MAX);
    }
    pn_buf_fini(&form);
    return result;
}

static void tell_device(const json_t *given)
{
    char where[SHOWN_MAX], code[SHOWN_MAX];

    printable(pn_json_str(given, "verification_uri"), where);
    printable(pn_json_str(given, "user_code"), code);
    fprintf(stderr, "Open %s in any browser and enter the code %s\n", where, code);
}

static enum pn_cli_exit by_device(struct pn_cli *cli, const struct issuer *issuer, char **token)
{
    struct pn_cli_request request = {.method = "POST", .is_elsewhere = true};
    struct pn_cli_answer answer = {0};
    struct pn_buf form;
    enum pn_cli_exit result;

    request.url = pn_json_str(issuer->document, "device_authorization_endpoint");
    if (!is_https(request.url))
        return pn_cli_fail(PN_CLI_REFUSED, "%s has no device flow: leave out --device",
                           issuer->url);
    pn_buf_init(&form, FORM_MAX);
    if (add(&form, "client_id", issuer->client_id) != PN_OK ||
        add(&form, "scope", issuer->scope) != PN_OK ||
        add(&form, "resource", issuer->resource) != PN_OK || !pn_buf_str(&form)) {
        pn_buf_fini(&form);
        return no_memory();
    }
    request.form = pn_buf_str(&form);
    result = pn_cli_send(cli, &request, &answer);
    pn_buf_fini(&form);
    if (result == PN_CLI_DONE &&
        (answer.status != 200 || !pn_json_str(answer.json, "device_code") ||
         !pn_json_str(answer.json, "user_code") || !pn_json_str(answer.json, "verification_uri")))
        result = refused(issuer, &answer);
    if (result == PN_CLI_DONE) {
        tell_device(answer.json);
        result = wait_for_device(cli, issuer, answer.json, token);
    }
    pn_cli_answer_fini(&answer);
    return result;
}

enum pn_cli_exit pn_cli_issuer_token(struct pn_cli *cli, char **token)
{
    struct issuer issuer = {.url = pn_cli_value(cli, "issuer"),
                            .client_id = pn_cli_value(cli, "client-id"),
                            .scope = pn_cli_value(cli, "scope"),
                            .resource = pn_cli_value(cli, "resource")};
    enum pn_cli_exit result;

    if (!is_https(issuer.url))
        return pn_cli_usage(cli, "--issuer must begin with https://");
    if (!issuer.scope)
        issuer.scope = "openid";
    result = discover(cli, &issuer);
    if (result == PN_CLI_DONE)
        result = pn_cli_flag(cli, "device") ? by_device(cli, &issuer, token)
                                            : by_browser(cli, &issuer, token);
    json_decref(issuer.document);
    return result;
}
