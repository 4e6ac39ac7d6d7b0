/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTPS by libcurl, and what the server says when it refuses.
 */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/encode.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/internal.h"

#define CONNECT_TIMEOUT_S 10L
#define REQUEST_TIMEOUT_S 120L
#define PAGES_MAX         1000

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct pn_cli_answer *answer = ctx;

    (void)size;
    return pn_buf_append(&answer->body, bytes, count) == PN_OK ? count : 0;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    struct pn_cli_answer *answer = ctx;
    struct pn_slice line = pn_slice(bytes, count);
    struct pn_slice name = PN_LIT("www-authenticate:");

    (void)size;
    if (pn_slice_case_starts_with(line, name) && !answer->challenge)
        answer->challenge = pn_slice_dup(pn_slice_trim(pn_slice_sub(line, name.len, line.len)));
    return count;
}

static bool add_header(struct curl_slist **headers, const char *name, const char *value)
{
    struct curl_slist *longer;
    char *line = NULL;

    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    longer = curl_slist_append(*headers, line);
    pn_wipe_free_str(line);
    if (!longer)
        return false;
    *headers = longer;
    return true;
}

static void wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        pn_wipe(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

static enum pn_cli_exit tell_unreachable(const struct pn_cli *cli,
                                         const struct pn_cli_request *request, CURLcode rc,
                                         const char *detail)
{
    const char *hint = "";

    if (request->is_elsewhere)
        hint = rc == CURLE_PEER_FAILED_VERIFICATION
                   ? ". Name the CA that issued its certificate with SSL_CERT_FILE"
                   : "";
    else if (rc == CURLE_COULDNT_CONNECT)
        hint = cli->session.is_local
                   ? ". Is the service still running? Start it with: postern serve"
                   : ". Is POSTERN_URL right?";
    else if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE)
        hint = ". Name the CA that issued its certificate with POSTERN_CA_FILE";
    return pn_cli_fail(PN_CLI_UNREACHABLE, "%s is not reachable: %s%s", request->url,
                       detail[0] ? detail : curl_easy_strerror(rc), hint);
}

/* Everything that libcurl must know; false: out of memory. */
static bool prepare(struct pn_cli *cli, CURL *curl, const struct pn_cli_request *request,
                    struct pn_buf *body, struct curl_slist **headers, struct pn_cli_answer *answer)
{
    const char *method = request->method ? request->method : "GET";
    char *bearer = NULL;
    bool is_good = true;

    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "postern/" PN_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, REQUEST_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    if (request->is_elsewhere && getenv("SSL_CERT_FILE"))
        curl_easy_setopt(curl, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
    else if (!request->is_elsewhere && cli->session.ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, cli->session.ca_file);
    if (cli->session.is_local)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (request->token) {
        is_good = asprintf(&bearer, "Bearer %s", request->token) >= 0 &&
                  add_header(headers, "Authorization", bearer);
        if (bearer)
            pn_wipe_free_str(bearer);
    }
    if (request->json) {
        is_good = is_good && add_header(headers, "Content-Type", "application/json") &&
                  pn_json_dump(request->json, body) == PN_OK;
    } else if (request->form) {
        is_good = is_good && pn_buf_append_str(body, request->form) == PN_OK;
    }
    if (strcmp(method, "DELETE") == 0)
        is_good = is_good && add_header(headers, "If-Match", "*");
    is_good = is_good && add_header(headers, "Expect", ""); /* no 100-continue round trip */
    if (request->header) {
        struct curl_slist *longer = curl_slist_append(*headers, request->header);

        is_good = is_good && longer;
        *headers = longer ? longer : *headers;
    }
    if (request->json || request->form || strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->ptr ? body->ptr : "");
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    return is_good;
}

enum pn_cli_exit pn_cli_send(struct pn_cli *cli, const struct pn_cli_request *request,
                             struct pn_cli_answer *answer)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    struct pn_buf body;
    CURL *curl = curl_easy_init();
    CURLcode rc;
    enum pn_cli_exit code = PN_CLI_DONE;

    *answer = (struct pn_cli_answer){0};
    pn_buf_init_secret(&answer->body, PN_CLI_BODY_BYTES_MAX);
    pn_buf_init_secret(&body, PN_CLI_BODY_BYTES_MAX);
    if (!curl || !prepare(cli, curl, request, &body, &headers, answer)) {
        code = pn_cli_fail(PN_CLI_UNREACHABLE, "out of memory");
        goto out;
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    rc = curl_easy_perform(curl);
    if (rc != CURLE_OK) {
        code = tell_unreachable(cli, request, rc, detail);
        goto out;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    if (answer->body.len > 0 &&
        pn_json_parse(pn_buf_slice(&answer->body), &answer->json, NULL) != PN_OK)
        answer->json = NULL;
out:
    wipe_headers(headers);
    pn_buf_fini(&body);
    curl_easy_cleanup(curl);
    return code;
}

void pn_cli_answer_fini(struct pn_cli_answer *answer)
{
    json_decref(answer->json);
    pn_buf_fini(&answer->body);
    free(answer->challenge);
    *answer = (struct pn_cli_answer){0};
}

/* The server names the first users of what cannot be deleted, and how many there are. */
static void tell_what_is_left_out(const json_t *details, const char *what)
{
    const json_t *inner = json_object_get(json_array_get(details, 0), "innererror");
    int64_t count = pn_json_int(inner, "usageCount", 0);
    int64_t shown = (int64_t)json_array_size(details);
    const char *name = strrchr(what, '/');

    if (count <= shown)
        return;
    fprintf(stderr, "  … and %s%lld more",
            pn_json_bool(inner, "truncated", false) ? "at least " : "", (long long)(count - shown));
    if (strstr(what, "/certificates/") && name)
        fprintf(stderr, ": postern certificate usage %s lists them all", name + 1);
    fputs(".\n", stderr);
}

/* The first line of an answer that is no JSON, as far as it is harmless text. */
static void tell_plain(struct pn_slice body)
{
    size_t len = 0;

    while (len < body.len && len < 200 && body.ptr[len] >= ' ' && body.ptr[len] < 0x7F)
        len++;
    if (len > 0 && body.ptr[0] != '<')
        fprintf(stderr, "  %.*s\n", (int)len, body.ptr);
}

enum pn_cli_exit pn_cli_refused(const struct pn_cli_answer *answer, const char *what)
{
    const json_t *error = json_object_get(answer->json, "error");
    const char *code =
        json_is_string(error) ? json_string_value(error) : pn_json_str(error, "code");
    const char *message = json_is_string(error) ? pn_json_str(answer->json, "error_description")
                                                : pn_json_str(error, "message");
    const json_t *details = json_object_get(error, "details");
    size_t index;
    const json_t *detail;

    fprintf(stderr, "postern: refused, %s: status %ld%s%s%s%s\n", what, answer->status,
            code ? " " : "", code ? code : "", message ? ": " : "", message ? message : "");
    json_array_foreach(details, index, detail)
    {
        const char *target = pn_json_str(detail, "target");
        const char *text = pn_json_str(detail, "message");

        fprintf(stderr, "  %s%s%s\n", target ? target : "", target ? ": " : "", text ? text : "");
    }
    tell_what_is_left_out(details, what);
    if (!answer->json)
        tell_plain(pn_buf_slice(&answer->body));
    if (answer->status == 401)
        fputs("  The token is missing, expired or for another audience: set POSTERN_TOKEN.\n",
              stderr);
    return PN_CLI_REFUSED;
}

char *pn_cli_path(const char *prefix, const char *name, const char *suffix)
{
    struct pn_buf buf;
    char *result = NULL;

    pn_buf_init(&buf, 65536);
    if (pn_buf_append_str(&buf, prefix) == PN_OK &&
        pn_percent_encode(pn_slice_str(name), &buf) == PN_OK &&
        pn_buf_append_str(&buf, suffix) == PN_OK)
        result = pn_slice_dup(pn_buf_slice(&buf));
    pn_buf_fini(&buf);
    if (!result)
        abort(); /* a command line tool without memory has nothing to save */
    return result;
}

/* "/certificates/c1" of the whole URL: what a person called it. */
static struct pn_slice short_name(const struct pn_cli *cli, const char *url)
{
    const char *const prefixes[] = {cli->session.control_url, cli->session.scope_id,
                                    cli->session.service_id, cli->session.vault_url};
    struct pn_slice rest = pn_slice_str(url);

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct pn_slice prefix = pn_slice_str(prefixes[i]);

        if (prefix.len > 0 && pn_slice_case_starts_with(rest, prefix))
            rest = pn_slice_sub(rest, prefix.len, rest.len);
    }
    return pn_slice_sub(rest, 0, pn_slice_find(rest, '?'));
}

static enum pn_cli_exit call(struct pn_cli *cli, const char *method, const char *url,
                             const char *token, const json_t *body, json_t **out)
{
    struct pn_cli_request request = {.method = method, .url = url, .token = token, .json = body};
    struct pn_cli_answer answer;
    enum pn_cli_exit code = pn_cli_send(cli, &request, &answer);
    char what[512];

    if (out)
        *out = NULL;
    if (code == PN_CLI_DONE && answer.status >= 400) {
        struct pn_slice name = short_name(cli, url);

        snprintf(what, sizeof what, "%s %.*s", method, PN_FMT(name));
        code = pn_cli_refused(&answer, what);
    } else if (code == PN_CLI_DONE && out) {
        *out = json_incref(answer.json);
    }
    pn_cli_answer_fini(&answer);
    return code;
}

static char *with_version(const char *origin, const char *base, const char *path,
                          const char *version)
{
    char *url = NULL;

    if (asprintf(&url, "%s%s%s%capi-version=%s", origin, base, path, strchr(path, '?') ? '&' : '?',
                 version) < 0)
        abort();
    return url;
}

enum pn_cli_exit pn_cli_arm(struct pn_cli *cli, const char *method, const char *path,
                            const json_t *body, json_t **out)
{
    enum pn_cli_exit code = pn_cli_open(cli);
    char *url;

    if (code != PN_CLI_DONE)
        return code;
    url = with_version(cli->session.control_url, pn_cli_scope_id(cli), path, PN_CLI_ARM_VERSION);
    code = call(cli, method, url, cli->session.token, body, out);
    free(url);
    return code;
}

enum pn_cli_exit pn_cli_at(struct pn_cli *cli, const char *method, const char *path,
                           const char *version, const json_t *body, json_t **out)
{
    enum pn_cli_exit code = pn_cli_open(cli);
    char *url = NULL;

    if (code != PN_CLI_DONE)
        return code;
    if (version)
        url = with_version(cli->session.control_url, "", path, version);
    else if (asprintf(&url, "%s%s", cli->session.control_url, path) < 0)
        abort();
    code = call(cli, method, url, cli->session.token, body, out);
    free(url);
    return code;
}

enum pn_cli_exit pn_cli_vault(struct pn_cli *cli, const char *method, const char *path,
                              const json_t *body, json_t **out)
{
    enum pn_cli_exit code = pn_cli_open_vault(cli);
    char *url;

    if (code != PN_CLI_DONE)
        return code;
    url = with_version(cli->session.vault_url, "", path, PN_CLI_VAULT_VERSION);
    code = call(cli, method, url, cli->session.vault_token, body, out);
    free(url);
    return code;
}

/* Follows nextLink, on the origin that was asked first only: the token goes nowhere else. */
static enum pn_cli_exit list(struct pn_cli *cli, char *url, const char *origin, const char *token,
                             json_t **items)
{
    json_t *all = json_array();
    enum pn_cli_exit code = PN_CLI_DONE;

    for (int page = 0; code == PN_CLI_DONE && url && page < PAGES_MAX; page++) {
        json_t *answer = NULL;
        const char *next = NULL;

        code = call(cli, "GET", url, token, NULL, &answer);
        free(url);
        url = NULL;
        if (code == PN_CLI_DONE) {
            json_array_extend(all, json_object_get(answer, "value"));
            next = pn_json_str(answer, "nextLink");
            if (next && strncmp(next, origin, strlen(origin)) == 0 && next[strlen(origin)] == '/')
                url = strdup(next);
        }
        json_decref(answer);
    }
    free(url);
    if (code != PN_CLI_DONE) {
        json_decref(all);
        return code;
    }
    *items = all;
    return PN_CLI_DONE;
}

enum pn_cli_exit pn_cli_arm_list(struct pn_cli *cli, const char *path, json_t **items)
{
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code != PN_CLI_DONE)
        return code;
    return list(
        cli, with_version(cli->session.control_url, pn_cli_scope_id(cli), path, PN_CLI_ARM_VERSION),
        cli->session.control_url, cli->session.token, items);
}

enum pn_cli_exit pn_cli_show_list(struct pn_cli *cli, const char *path,
                                  const struct pn_cli_column *columns)
{
    json_t *items = NULL;
    enum pn_cli_exit code = pn_cli_arm_list(cli, path, &items);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, items, columns);
    json_decref(items);
    return code;
}

enum pn_cli_exit pn_cli_vault_list(struct pn_cli *cli, const char *path, json_t **items)
{
    enum pn_cli_exit code = pn_cli_open_vault(cli);

    if (code != PN_CLI_DONE)
        return code;
    return list(cli, with_version(cli->session.vault_url, "", path, PN_CLI_VAULT_VERSION),
                cli->session.vault_url, cli->session.vault_token, items);
}
