/* SPDX-License-Identifier: Apache-2.0
 *
 * The properties of a backend from the options of `backend add` and `update`.
 *
 * What may be a secret (a header's value, a password) can be named as a file: NAME=@FILE.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

#define SECRET_BYTES_MAX 4096

const struct pn_cli_option pn_cli_backend_options[] = {
    {"url", "URL", "where it is, https://host[:port][/path]"},
    {"title", "TEXT", "display name"},
    {"description", "TEXT", "for people"},
    {"certificate", "NAME", "certificate to present to it; may be repeated: the one that fits"},
    {"certificate-thumbprint", "SHA1", "the same by thumbprint, as older templates do"},
    {"header", "NAME=VALUE", "header of each request (NAME=@FILE: its value is in FILE); repeated"},
    {"query-parameter", "NAME=VALUE", "query parameter of each request; likewise"},
    {"authorization", "SCHEME=VALUE", "Authorization of each request: Basic=@FILE"},
    {"proxy", "URL", "reach it through this HTTP proxy (http:// or https://)"},
    {"proxy-user", "NAME", "for the proxy"},
    {"proxy-password-file", "FILE", "for the proxy"},
    {"chain-check", "on|off", "must its certificate come from a trusted CA (default on)"},
    {"name-check", "on|off", "must its certificate carry its host name (default on)"},
    {"skip-certificate-chain-validation", NULL, "the same as --chain-check off"},
    {"skip-certificate-name-validation", NULL, "the same as --name-check off"},
    {"ca-file", "FILE|none", "trust these CA certificates (PEM) for it, and no others"},
    {"pin", "SHA256|none", "public key that its certificate must have (base64); may be repeated"},
    {"server-name", "NAME|none", "name to ask it for and to find in its certificate"},
    {"minimum-tls", "1.2|1.3|none", "oldest version of TLS that is spoken with it"},
    {"late-authentication", "on|off", "may it ask for the certificate after the handshake"},
    {"properties", "FILE", "JSON with more properties: circuitBreaker, pool, …"},
    {NULL, NULL, NULL},
};

/* ---- values */

/* "@FILE": what is in it, without the line's end; else the text. NULL: was told. */
static json_t *value_of(const char *text)
{
    struct pn_buf file;
    json_t *value = NULL;

    if (*text != '@')
        return json_string(text);
    pn_buf_init_secret(&file, SECRET_BYTES_MAX);
    if (pn_cli_read_secret(text + 1, &file) == PN_CLI_DONE)
        value = pn_json_from_slice(pn_buf_slice(&file));
    pn_buf_fini(&file);
    return value;
}

/* NAME=VALUE options as {"NAME": ["VALUE", …]}; NULL without any, or after an error in *code. */
static json_t *map_of(const struct pn_cli *cli, const char *option, enum pn_cli_exit *code)
{
    json_t *map = NULL;
    const char *text = pn_cli_value_at(cli, option, 0);

    for (size_t i = 0; text && *code == PN_CLI_DONE; text = pn_cli_value_at(cli, option, ++i)) {
        const char *equals = strchr(text, '=');
        json_t *value = NULL;
        char name[256];

        if (!equals || equals == text || (size_t)(equals - text) >= sizeof name) {
            *code = pn_cli_usage(cli, "--%s must look like NAME=VALUE or NAME=@FILE", option);
            break;
        }
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        value = value_of(equals + 1);
        map = map ? map : json_object();
        if (!value)
            *code = pn_cli_usage(cli, "--%s %s: the value must be UTF-8 text", option, name);
        else if (json_object_get(map, name))
            json_array_append_new(json_object_get(map, name), value);
        else
            json_object_set_new(map, name, json_pack("[o]", value));
    }
    return map;
}

/* The values of an option as an array; NULL without any. */
static json_t *list_of(const struct pn_cli *cli, const char *option)
{
    json_t *list = NULL;
    const char *text = pn_cli_value_at(cli, option, 0);

    for (size_t i = 0; text; text = pn_cli_value_at(cli, option, ++i)) {
        list = list ? list : json_array();
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static void set(json_t *object, const char *name, json_t *value)
{
    if (value)
        (void)json_object_set_new(object, name, value);
}

static bool is_none(const char *text)
{
    return text && strcmp(text, "none") == 0;
}

/* "none" takes away what is stored: a null is no member. */
static void set_or_none(json_t *object, const char *name, const char *text, json_t *value)
{
    if (!is_none(text)) {
        set(object, name, value);
        return;
    }
    json_decref(value);
    set(object, name, json_null());
}

static void set_text(const struct pn_cli *cli, json_t *object, const char *name, const char *option)
{
    const char *text = pn_cli_value(cli, option);

    set(object, name, text ? json_string(text) : NULL);
}

static void set_text_or_none(const struct pn_cli *cli, json_t *object, const char *name,
                             const char *option)
{
    const char *text = pn_cli_value(cli, option);

    set_or_none(object, name, text, text ? json_string(text) : NULL);
}

static enum pn_cli_exit set_switch(const struct pn_cli *cli, json_t *object, const char *name,
                                   const char *option)
{
    const char *value = pn_cli_value(cli, option);

    if (!value)
        return PN_CLI_DONE;
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return pn_cli_usage(cli, "--%s must be on or off", option);
    set(object, name, json_boolean(strcmp(value, "on") == 0));
    return PN_CLI_DONE;
}

/* ---- parts */

/* Ids of the --certificate names, or NULL when there is none. */
static json_t *certificate_ids(struct pn_cli *cli)
{
    json_t *ids = NULL;
    const char *name = pn_cli_value_at(cli, "certificate", 0);

    for (size_t i = 0; name; name = pn_cli_value_at(cli, "certificate", ++i)) {
        char *path = pn_cli_path("/certificates/", name, "");

        ids = ids ? ids : json_array();
        json_array_append_new(ids, json_sprintf("%s%s", pn_cli_scope_id(cli), path));
        free(path);
    }
    return ids;
}

static enum pn_cli_exit read_credentials(struct pn_cli *cli, json_t *credentials)
{
    const char *authorization = pn_cli_value(cli, "authorization");
    enum pn_cli_exit code = PN_CLI_DONE;
    json_t *pair = NULL;
    const char *scheme = NULL;
    json_t *values = NULL;

    set(credentials, "certificateIds", certificate_ids(cli));
    set(credentials, "certificate", list_of(cli, "certificate-thumbprint"));
    set(credentials, "header", map_of(cli, "header", &code));
    set(credentials, "query", map_of(cli, "query-parameter", &code));
    if (!authorization || code != PN_CLI_DONE)
        return code;
    pair = map_of(cli, "authorization", &code);
    json_object_foreach(pair, scheme, values)
    {
        if (code == PN_CLI_DONE)
            set(credentials, "authorization",
                json_pack("{s:s, s:O}", "scheme", scheme, "parameter", json_array_get(values, 0)));
    }
    json_decref(pair);
    return code;
}

static enum pn_cli_exit read_cas(const struct pn_cli *cli, json_t *postern)
{
    const char *path = pn_cli_value(cli, "ca-file");
    struct pn_buf file;
    enum pn_cli_exit code;

    if (is_none(path))
        set(postern, "caCertificates", json_null());
    if (!path || is_none(path))
        return PN_CLI_DONE;
    pn_buf_init(&file, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(path, &file);
    if (code == PN_CLI_DONE)
        set(postern, "caCertificates", json_pack("[o]", pn_json_from_slice(pn_buf_slice(&file))));
    if (code == PN_CLI_DONE && !json_object_get(postern, "caCertificates"))
        code = pn_cli_usage(cli, "%s is no text: CA certificates are given as PEM", path);
    pn_buf_fini(&file);
    return code;
}

static enum pn_cli_exit read_tls(const struct pn_cli *cli, json_t *tls)
{
    json_t *postern = json_object();
    enum pn_cli_exit code = set_switch(cli, tls, "validateCertificateChain", "chain-check");

    if (code == PN_CLI_DONE)
        code = set_switch(cli, tls, "validateCertificateName", "name-check");
    if (pn_cli_flag(cli, "skip-certificate-chain-validation"))
        set(tls, "validateCertificateChain", json_false());
    if (pn_cli_flag(cli, "skip-certificate-name-validation"))
        set(tls, "validateCertificateName", json_false());
    set_or_none(postern, "pins", pn_cli_value(cli, "pin"), list_of(cli, "pin"));
    set_text_or_none(cli, postern, "serverName", "server-name");
    set_text_or_none(cli, postern, "minimumTlsVersion", "minimum-tls");
    if (code == PN_CLI_DONE)
        code = set_switch(cli, postern, "lateAuthentication", "late-authentication");
    if (code == PN_CLI_DONE)
        code = read_cas(cli, postern);
    if (json_object_size(postern) > 0)
        set(tls, "postern", json_incref(postern));
    json_decref(postern);
    return code;
}

static enum pn_cli_exit read_proxy(const struct pn_cli *cli, json_t *proxy)
{
    const char *password = pn_cli_value(cli, "proxy-password-file");
    char *file = NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    set_text(cli, proxy, "url", "proxy");
    set_text(cli, proxy, "username", "proxy-user");
    if (!password)
        return PN_CLI_DONE;
    if (asprintf(&file, "@%s", password) < 0)
        abort();
    set(proxy, "password", value_of(file));
    if (!json_object_get(proxy, "password"))
        code = PN_CLI_USAGE;
    free(file);
    return code;
}

/* --properties FILE: what the other options do not have. */
static enum pn_cli_exit read_more(const struct pn_cli *cli, json_t *properties)
{
    const char *path = pn_cli_value(cli, "properties");
    struct pn_error err = {0};
    struct pn_buf file;
    json_t *more = NULL;
    enum pn_cli_exit code;

    if (!path)
        return PN_CLI_DONE;
    pn_buf_init_secret(&file, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(path, &file);
    if (code == PN_CLI_DONE && pn_json_parse(pn_buf_slice(&file), &more, &err) != PN_OK)
        code = pn_cli_fail(PN_CLI_USAGE, "%s: %s", path, err.message);
    else if (code == PN_CLI_DONE && json_object_update(properties, more) != 0)
        code = pn_cli_fail(PN_CLI_USAGE, "%s: expected a JSON object", path);
    json_decref(more);
    pn_buf_fini(&file);
    return code;
}

enum pn_cli_exit pn_cli_backend_properties(struct pn_cli *cli, json_t **out)
{
    json_t *properties = json_object();
    json_t *credentials = json_object();
    json_t *tls = json_object();
    json_t *proxy = json_object();
    enum pn_cli_exit code = read_more(cli, properties);

    set_text(cli, properties, "url", "url");
    set_text(cli, properties, "title", "title");
    set_text(cli, properties, "description", "description");
    if (code == PN_CLI_DONE)
        code = read_credentials(cli, credentials);
    if (code == PN_CLI_DONE)
        code = read_tls(cli, tls);
    if (code == PN_CLI_DONE)
        code = read_proxy(cli, proxy);
    if (json_object_size(credentials) > 0)
        (void)json_object_set(properties, "credentials", credentials);
    if (json_object_size(tls) > 0)
        (void)json_object_set(properties, "tls", tls);
    if (json_object_size(proxy) > 0)
        (void)json_object_set(properties, "proxy", proxy);
    json_decref(credentials);
    json_decref(tls);
    json_decref(proxy);
    if (code == PN_CLI_DONE)
        *out = properties;
    else
        json_decref(properties);
    return code;
}
