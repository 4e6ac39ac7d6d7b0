/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags and configuration file. See options.h.
 */
#include "supervisor/options.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "base/file.h"

const char *const pn_listen_names[PN_LISTEN_COUNT] = {"gateway", "gateway-tls", "control", "vault",
                                                      "identity-endpoint"};

enum setting {
    DATA,
    CONFIG,
    GATEWAY,
    GATEWAY_TLS,
    CONTROL,
    VAULT,
    IDENTITY_ENDPOINT,
    ENDPOINT_IDENTITY,
    TRUSTED_ISSUER,
    TOKEN_SOURCE,
    THREADS,
    DNS_SERVERS,
    LINK_LOCAL_BACKENDS,
    X_FORWARDED,
    FORWARDED,
    TLS_RECORDS,
    CONTROL_WORKERS,
    ROTATION_INTERVAL,
    EVENT_WEBHOOK,
    EXPIRY_DAYS,
    COMPATIBILITY,
    LINKED_ACCESS,
    USER,
    MASTER_KEY,
    LOG_LEVEL,
    LIMIT,
    LIST_LIMITS,
    CHECK,
    SETTINGS
};

const struct pn_setting pn_settings[SETTINGS + 1] = {
    [DATA] =
        {"data", "DIR",
         "where everything is kept (default: $XDG_STATE_HOME/postern or ~/.local/state/postern)"},
    [CONFIG] = {"config", "FILE",
                "YAML file with any of these settings; flags win; SIGHUP reads it again"},
    [GATEWAY] = {"gateway", "ADDRESS",
                 "plain HTTP listener of the gateway (default: localhost:8080): HOST:PORT, "
                 "[IPV6]:PORT, :PORT, unix:/PATH[,mode=0660] or none; again or by commas for more; "
                 "with \",proxy[,trusted=RANGE…]\" connections begin with a PROXY header"},
    [GATEWAY_TLS] = {"gateway-tls", "ADDRESS",
                     "TLS listener of the gateway (default: localhost:8443); likewise"},
    [CONTROL] = {"control", "HOST:PORT",
                 "HTTPS: management REST API, tokens (default: localhost:9443)"},
    [VAULT] = {"vault", "HOST:PORT", "HTTPS: embedded key vault (default: localhost:9444)"},
    [IDENTITY_ENDPOINT] =
        {"identity-endpoint", "ADDRESS",
         "plain HTTP on this machine: tokens of managed identities for applications beside the "
         "gateway, as Azure's IMDS and App Service give them (default: none): HOST:PORT of a "
         "loopback address, or unix:/PATH[,mode=0660]"},
    [ENDPOINT_IDENTITY] = {"endpoint-identity", "IDENTITY",
                           "an identity of the service that this endpoint gives: system, or the "
                           "client id or resource id of a user-assigned one; again for more"},
    [TRUSTED_ISSUER] =
        {"trusted-issuer", "URL,PARTS",
         "an OpenID Connect issuer whose tokens are taken, with at least one of audience=TEXT (of "
         "its access tokens) and client-id=ID (people sign in to the portal); and "
         "client-secret-file=FILE, name=TEXT, principal=sub|oid, groups=CLAIM; again for more"},
    [TOKEN_SOURCE] =
        {"token-source", "KIND[,PARTS]",
         "where tokens for key vaults come from, in this order: embedded, imds, app-service, "
         "workload, secret or certificate (default: embedded, then workload and app-service if "
         "their environment variables are set); again for more"},
    [THREADS] = {"threads", "N", "threads of the gateway, 1 to 256 (default: one per core)"},
    [DNS_SERVERS] = {"dns-servers", "IP[:PORT],...",
                     "name servers for the gateway's backends (default: those of the system)"},
    [LINK_LOCAL_BACKENDS] = {"link-local-backends", "deny|allow",
                             "backends at link-local addresses and those of clouds' metadata "
                             "services (169.254.0.0/16, fe80::/10, …; default: deny)"},
    [X_FORWARDED] = {"x-forwarded", "append|replace|off",
                     "X-Forwarded-For, -Proto and -Host for backends: behind what the client says, "
                     "instead of it, or none of ours (default: append)"},
    [FORWARDED] = {"forwarded", "on|off",
                   "the same as Forwarded (RFC 7239), unless x-forwarded is off (default: off)"},
    [TLS_RECORDS] = {"tls-records", "own|openssl",
                     "who reads and writes the gateway's TLS 1.3 connections once they are open "
                     "(default: own, which is faster)"},
    [CONTROL_WORKERS] =
        {"control-workers", "N",
         "requests that control and vault each handle at a time, 1 to 64 (default: 8)"},
    [ROTATION_INTERVAL] = {"rotation-interval", "SECONDS",
                           "between two looks at a followed vault certificate (default: 60)"},
    [EVENT_WEBHOOK] = {"event-webhook", "URL",
                       "is sent CloudEvents before a certificate expires; again for more, at most "
                       "8 (better in FILE: others can see a command line)"},
    [EXPIRY_DAYS] = {"expiry-days", "DAYS,...",
                     "days before a certificate's end at which an event is sent (default: "
                     "30,14,7,1)"},
    [COMPATIBILITY] = {"compatibility", "postern|azure-strict",
                       "where API Management is narrower or odd: do better, or exactly as it does "
                       "(default: postern)"},
    [LINKED_ACCESS] = {"linked-access-check", "on|off",
                       "who writes a policy or backend that names a certificate needs "
                       "certificates/use on it (default: off)"},
    [USER] = {"user", "NAME", "when started as root: become this user once the listeners are open"},
    [MASTER_KEY] = {"master-key", "SOURCE",
                    "what opens the master key: file:PATH, credential:NAME (of systemd), "
                    "passphrase-file:PATH or passphrase-credential:NAME (default: it lies in "
                    "DIR/keyholder); see postern vault reseal"},
    [LOG_LEVEL] = {"log-level", "LEVEL",
                   "debug, info, warn or error (default: info); SIGHUP applies a change"},
    [LIMIT] =
        {"limit", "NAME=VALUE",
         "set a limit; again for each (in FILE: \"limits:\" with a line NAME: VALUE for each)"},
    [CHECK] = {"check", NULL,
               "check options, FILE and executables, and end: status 0 if all is well"},
    [LIST_LIMITS] = {"list-limits", NULL, "print the limits as they would be, and end"},
};

static void print_help(void)
{
    puts("usage: postern serve [options]\n\n"
         "Starts Postern: keyholder, gateway and control, and keeps them running until SIGTERM or "
         "Ctrl-C.\n"
         "\"localhost\" listens on 127.0.0.1 and ::1; port 0 is any free port. When everything "
         "serves, the line\n"
         "\"ready\" is printed and DIR/ready.json tells the addresses.\n\noptions:");
    for (int i = 0; i < SETTINGS; i++)
        printf("  --%s %s\n      %s\n", pn_settings[i].name,
               pn_settings[i].argument ? pn_settings[i].argument : "", pn_settings[i].help);
    puts("\nexample:\n  postern serve --data ./data --gateway 0.0.0.0:8080 --gateway-tls "
         "0.0.0.0:8443");
}

static bool copy(char *out, size_t max, const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || len >= max)
        return false;
    memcpy(out, value, len + 1);
    return true;
}

static bool read_number(const char *value, unsigned min, unsigned max, unsigned *out)
{
    uint64_t number;

    if (!pn_slice_to_u64(pn_slice_str(value), max, &number) || number < min)
        return false;
    *out = (unsigned)number;
    return true;
}

/** "192.0.2.1", "192.0.2.1:53", "2001:db8::1" or "[2001:db8::1]:53". */
static bool is_name_server(struct pn_slice text)
{
    char ip[INET6_ADDRSTRLEN + 1];
    uint8_t bytes[16];
    uint64_t port = 53;
    size_t colon = pn_slice_find(text, ':');
    size_t close = pn_slice_find(text, ']');
    bool is_bracketed = text.len > 0 && text.ptr[0] == '[';
    bool is_ipv4 = !is_bracketed && pn_slice_find(text, '.') < text.len;
    struct pn_slice address = text;

    if (is_bracketed && close < text.len) {
        address = pn_slice_sub(text, 1, close - 1);
        colon = close + 1;
    }
    if (is_bracketed && close == text.len)
        return false;
    if (is_ipv4)
        address = pn_slice_sub(text, 0, colon);
    if ((is_ipv4 || is_bracketed) && colon < text.len &&
        (text.ptr[colon] != ':' ||
         !pn_slice_to_u64(pn_slice_sub(text, colon + 1, text.len - colon - 1), 65535, &port)))
        return false;
    if (address.len >= sizeof(ip) || port == 0)
        return false;
    memcpy(ip, address.ptr, address.len);
    ip[address.len] = '\0';
    return inet_pton(is_ipv4 ? AF_INET : AF_INET6, ip, bytes) == 1;
}

static bool are_name_servers(struct pn_slice list)
{
    struct pn_slice server = {0};

    if (list.len == 0 || list.ptr[list.len - 1] == ',')
        return false;
    while (pn_slice_cut(&list, ',', &server))
        if (!is_name_server(server))
            return false;
    return true;
}

/* The first value of a source takes the place of what was there, others are added. */
static bool add_listen(struct pn_options *options, enum pn_listen which, const char *value)
{
    char *text = options->listen[which];
    size_t len = options->listen_is_given[which] ? strlen(text) : 0;

    if (strchr(value, ' ') || len + strlen(value) + 2 > PN_ADDRESS_MAX)
        return false;
    options->listen_is_given[which] = true;
    snprintf(text + len, PN_ADDRESS_MAX - len, "%s%s", len > 0 ? " " : "", value);
    return true;
}

/* What the supervisor can see of it; control looks closer. */
static bool is_webhook(const char *url)
{
    static const char *const starts[] = {"https://", "http://localhost", "http://127.",
                                         "http://[::1]"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (pn_slice_case_starts_with(pn_slice_str(url), pn_slice_str(starts[i])))
            return !strpbrk(url, " \t\r\n");
    }
    return false;
}

static bool add_webhook(struct pn_options *options, const char *url)
{
    size_t len = options->webhooks_are_given ? strlen(options->webhooks) : 0;

    if (!options->webhooks_are_given)
        options->webhook_count = 0;
    options->webhooks_are_given = true;
    if (!is_webhook(url) || options->webhook_count == PN_OPTION_WEBHOOKS_MAX ||
        len + strlen(url) + 2 > sizeof(options->webhooks))
        return false;
    options->webhook_count++;
    snprintf(options->webhooks + len, sizeof(options->webhooks) - len, "%s%s", len > 0 ? " " : "",
             url);
    return true;
}

/* What the supervisor can see of it; control looks closer. */
static bool add_text(struct pn_options *options, enum pn_texts which, const char *value)
{
    char *text = options->texts[which];
    size_t len = options->texts_are_given[which] ? strlen(text) : 0;

    for (const char *at = value; *at; at++) {
        if ((unsigned char)*at < ' ')
            return false;
    }
    if (which == PN_TEXTS_TRUSTED_ISSUER &&
        (strncmp(value, "https://", 8) != 0 ||
         (!strstr(value, ",audience=") && !strstr(value, ",client-id="))))
        return false;
    if (!value[0] || len + strlen(value) + 2 > PN_OPTION_TEXTS_BYTES)
        return false;
    options->texts_are_given[which] = true;
    snprintf(text + len, PN_OPTION_TEXTS_BYTES - len, "%s\n", value);
    return true;
}

static bool are_days(const char *text)
{
    struct pn_slice rest = pn_slice_str(text);
    struct pn_slice part = {0};
    uint64_t days;
    size_t count = 0;

    while (pn_slice_cut(&rest, ',', &part)) {
        if (!pn_slice_to_u64(part, 3650, &days) || days == 0 || ++count > 8)
            return false;
    }
    return count > 0 && text[strlen(text) - 1] != ',';
}

/** `words`: by single spaces. */
static bool is_one_of(const char *value, const char *words)
{
    struct pn_slice rest = pn_slice_str(words);
    struct pn_slice word;

    while (pn_slice_cut(&rest, ' ', &word))
        if (pn_slice_eq_str(word, value))
            return true;
    return false;
}

static bool apply(struct pn_options *options, enum setting setting, const char *value)
{
    switch (setting) {
    case DATA:
        return copy(options->data_dir, sizeof(options->data_dir), value);
    case CONFIG:
        return copy(options->config_file, sizeof(options->config_file), value);
    case GATEWAY:
    case GATEWAY_TLS:
    case CONTROL:
    case VAULT:
    case IDENTITY_ENDPOINT:
        return add_listen(options, (enum pn_listen)(setting - GATEWAY), value);
    case ENDPOINT_IDENTITY:
    case TRUSTED_ISSUER:
    case TOKEN_SOURCE:
        return add_text(options, (enum pn_texts)(setting - ENDPOINT_IDENTITY), value);
    case THREADS:
        return read_number(value, 1, PN_THREADS_MAX, &options->threads);
    case DNS_SERVERS:
        return are_name_servers(pn_slice_str(value)) &&
               copy(options->dns_servers, sizeof(options->dns_servers), value);
    case LINK_LOCAL_BACKENDS:
        return is_one_of(value, "deny allow") &&
               copy(options->link_local_backends, sizeof(options->link_local_backends), value);
    case X_FORWARDED:
        return is_one_of(value, "append replace off") &&
               copy(options->x_forwarded, sizeof(options->x_forwarded), value);
    case FORWARDED:
        return is_one_of(value, "on off") &&
               copy(options->forwarded, sizeof(options->forwarded), value);
    case TLS_RECORDS:
        return is_one_of(value, "own openssl") &&
               copy(options->tls_records, sizeof(options->tls_records), value);
    case CONTROL_WORKERS:
        return read_number(value, 1, 64, &options->control_workers);
    case ROTATION_INTERVAL:
        return read_number(value, 1, 86400, &options->rotation_interval_s);
    case EVENT_WEBHOOK:
        return add_webhook(options, value);
    case EXPIRY_DAYS:
        return are_days(value) && copy(options->expiry_days, sizeof(options->expiry_days), value);
    case COMPATIBILITY:
        return is_one_of(value, "postern azure-strict") &&
               copy(options->compatibility, sizeof(options->compatibility), value);
    case LINKED_ACCESS:
        return is_one_of(value, "on off") &&
               copy(options->linked_access, sizeof(options->linked_access), value);
    case USER:
        return copy(options->user, sizeof(options->user), value);
    case MASTER_KEY:
        return copy(options->master_key, sizeof(options->master_key), value);
    case LOG_LEVEL:
        return pn_log_level_parse(pn_slice_str(value), &options->log_level);
    case LIMIT:
    case LIST_LIMITS:
    case CHECK:
    case SETTINGS:
        break; /* not of this form */
    }
    return false;
}

static int find_setting(struct pn_slice name)
{
    for (int i = 0; i < SETTINGS; i++) {
        if (pn_slice_eq_str(name, pn_settings[i].name))
            return i;
    }
    return -1;
}

/* "limits:", a mapping of names to values. */
static enum pn_rc apply_limits(struct pn_options *options, yaml_document_t *document,
                               const yaml_node_t *node, struct pn_error *err)
{
    if (node->type != YAML_MAPPING_NODE)
        return pn_error_set(err, PN_INVALID, "config",
                            "%s line %zu: 'limits' wants lines of the form 'NAME: VALUE'",
                            options->config_file, node->start_mark.line + 1);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        enum pn_rc rc = PN_INVALID;

        if (key->type == YAML_SCALAR_NODE && value->type == YAML_SCALAR_NODE)
            rc = pn_limit_set(options->limits,
                              pn_slice(key->data.scalar.value, key->data.scalar.length),
                              pn_slice(value->data.scalar.value, value->data.scalar.length), err);
        else
            pn_error_set(err, rc, "config", "'limits' wants lines of the form 'NAME: VALUE'");
        if (rc != PN_OK) {
            pn_error_prefix(err, "%s line %zu", options->config_file, key->start_mark.line + 1);
            return rc;
        }
    }
    return PN_OK;
}

/* A listener's addresses, one per line. */
static enum pn_rc apply_list(struct pn_options *options, yaml_document_t *document,
                             enum setting setting, const yaml_node_t *list, struct pn_error *err)
{
    for (const yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++) {
        const yaml_node_t *node = yaml_document_get_node(document, *item);

        if (node->type != YAML_SCALAR_NODE ||
            !apply(options, setting, (const char *)node->data.scalar.value))
            return pn_error_set(err, PN_INVALID, "config", "%s line %zu: '%s' wants %s: %s",
                                options->config_file, node->start_mark.line + 1,
                                pn_settings[setting].name, pn_settings[setting].argument,
                                pn_settings[setting].help);
    }
    return PN_OK;
}

/* One "key: value" of the file. */
static enum pn_rc apply_pair(struct pn_options *options, yaml_document_t *document, bool *seen,
                             const yaml_node_t *key, const yaml_node_t *value, struct pn_error *err)
{
    const char *name = (const char *)key->data.scalar.value;
    size_t line = key->start_mark.line + 1;
    int setting = key->type == YAML_SCALAR_NODE ? find_setting(pn_slice_str(name)) : -1;

    if (key->type == YAML_SCALAR_NODE && strcmp(name, "limits") == 0)
        setting = LIMIT;
    else if (setting == CONFIG || setting == LIMIT || setting == LIST_LIMITS || setting == CHECK)
        setting = -1;
    if (setting < 0)
        return pn_error_set(err, PN_INVALID, "config",
                            "%s line %zu: there is no setting '%s' (see postern serve --help)",
                            options->config_file, line, key->type == YAML_SCALAR_NODE ? name : "?");
    if (seen[setting])
        return pn_error_set(err, PN_INVALID, "config", "%s line %zu: '%s' is set twice",
                            options->config_file, line, name);
    seen[setting] = true;
    if (setting == LIMIT)
        return apply_limits(options, document, value, err);
    if (value->type == YAML_SEQUENCE_NODE &&
        ((setting >= GATEWAY && setting <= TOKEN_SOURCE) || setting == EVENT_WEBHOOK))
        return apply_list(options, document, (enum setting)setting, value, err);
    if (value->type != YAML_SCALAR_NODE ||
        !apply(options, (enum setting)setting, (const char *)value->data.scalar.value))
        return pn_error_set(err, PN_INVALID, "config", "%s line %zu: '%s' wants %s: %s",
                            options->config_file, line, name, pn_settings[setting].argument,
                            pn_settings[setting].help);
    return PN_OK;
}

static enum pn_rc apply_document(struct pn_options *options, yaml_document_t *document,
                                 struct pn_error *err)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    bool seen[SETTINGS] = {false};
    enum pn_rc rc = PN_OK;

    if (!root)
        return PN_OK;
    if (root->type != YAML_MAPPING_NODE)
        return pn_error_set(err, PN_INVALID, "config",
                            "%s: expected lines of the form 'setting: value'",
                            options->config_file);
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top && rc == PN_OK; pair++)
        rc = apply_pair(options, document, seen, yaml_document_get_node(document, pair->key),
                        yaml_document_get_node(document, pair->value), err);
    return rc;
}

static enum pn_rc read_config(struct pn_options *options, const char *given, struct pn_error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init(&text, PN_CONFIG_BYTES_MAX);
    rc = given ? pn_buf_append_str(&text, given) : pn_file_read(options->config_file, &text, err);
    options->config_text = rc == PN_OK ? pn_slice_dup(pn_buf_slice(&text)) : NULL;
    if (rc == PN_OK && !options->config_text)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc == PN_OK && !yaml_parser_initialize(&parser))
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc != PN_OK) {
        pn_buf_fini(&text);
        return rc;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    if (yaml_parser_load(&parser, &document)) {
        rc = apply_document(options, &document, err);
        yaml_document_delete(&document);
    } else {
        rc = pn_error_set(err, PN_INVALID, "config", "%s line %zu: %s", options->config_file,
                          parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    pn_buf_fini(&text);
    return rc;
}

/* Walks the flags; with `only_config`, takes --config alone (it must be known before the file is
 * read, and the flags must win over the file). */
static enum pn_rc read_flags(int argc, char **argv, struct pn_options *options, bool only_config,
                             struct pn_error *err)
{
    for (int i = 1; i < argc; i++) {
        struct pn_slice flag = pn_slice_str(argv[i]);
        size_t equals = pn_slice_find(flag, '=');
        const char *value;
        int setting;

        if (pn_slice_eq_str(flag, "--help") || pn_slice_eq_str(flag, "-h")) {
            print_help();
            return PN_EOF;
        }
        setting = pn_slice_starts_with(flag, PN_LIT("--"))
                      ? find_setting(pn_slice_sub(flag, 2, equals - 2))
                      : -1;
        if (setting < 0)
            return pn_error_set(err, PN_INVALID, "usage",
                                "there is no option '%s' (see postern serve --help)", argv[i]);
        if ((setting == LIST_LIMITS || setting == CHECK) && equals == flag.len) {
            options->lists_limits = options->lists_limits || setting == LIST_LIMITS;
            options->checks_only = options->checks_only || setting == CHECK;
            continue;
        }
        value = equals < flag.len ? argv[i] + equals + 1 : argv[++i];
        if (!value)
            return pn_error_set(err, PN_INVALID, "usage", "--%s wants %s",
                                pn_settings[setting].name, pn_settings[setting].argument);
        if (setting == LIMIT && !only_config) {
            enum pn_rc rc = pn_limit_set_pair(options->limits, value, err);

            if (rc != PN_OK) {
                pn_error_prefix(err, "--limit");
                return rc;
            }
            continue;
        }
        if ((!only_config || setting == CONFIG) && !apply(options, (enum setting)setting, value))
            return pn_error_set(
                err, PN_INVALID, "usage", "--%s: '%s' does not fit: %s", pn_settings[setting].name,
                setting == EVENT_WEBHOOK ? "(the URL)" : value, pn_settings[setting].help);
    }
    return PN_OK;
}

static enum pn_rc default_data_dir(struct pn_options *options, struct pn_error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len;

    if (state && state[0] == '/')
        len = snprintf(options->data_dir, sizeof(options->data_dir), "%s/postern", state);
    else if (home && home[0] == '/')
        len =
            snprintf(options->data_dir, sizeof(options->data_dir), "%s/.local/state/postern", home);
    else
        return pn_error_set(err, PN_INVALID, "usage",
                            "neither XDG_STATE_HOME nor HOME is set: say --data DIR");
    if (len < 0 || (size_t)len >= sizeof(options->data_dir))
        return pn_error_set(err, PN_INVALID, "usage", "the path of the data folder is too long");
    return PN_OK;
}

/* Children and ready.json need it from anywhere. */
static enum pn_rc make_absolute(char path[PATH_MAX], struct pn_error *err)
{
    char here[PATH_MAX];
    char whole[2 * PATH_MAX];

    if (path[0] == '/' || path[0] == 0)
        return PN_OK;
    if (!getcwd(here, sizeof(here)))
        return pn_error_from_errno(err, 0, "the current folder cannot be read");
    snprintf(whole, sizeof(whole), "%s/%s", here, path);
    if (!copy(path, PATH_MAX, whole))
        return pn_error_set(err, PN_INVALID, "usage", "the path %s is too long", path);
    return PN_OK;
}

static enum pn_rc read_addresses(struct pn_options *options, struct pn_error *err)
{
    for (int i = 0; i < PN_LISTEN_COUNT; i++) {
        bool for_clients = i == PN_LISTEN_GATEWAY || i == PN_LISTEN_GATEWAY_TLS;
        enum pn_rc rc =
            i == PN_LISTEN_IDENTITY
                ? pn_listen_value_parse_local(options->listen[i], &options->addresses[i], err)
                : pn_listen_value_parse(options->listen[i], for_clients, &options->addresses[i],
                                        err);

        if (rc != PN_OK) {
            pn_error_prefix(err, "--%s", pn_listen_names[i]);
            return rc;
        }
    }
    if (options->addresses[PN_LISTEN_IDENTITY].count > 0 &&
        !options->texts[PN_TEXTS_ENDPOINT_IDENTITY][0])
        return pn_error_set(err, PN_INVALID, "usage",
                            "--identity-endpoint needs --endpoint-identity: whose tokens it gives");
    return PN_OK;
}

enum pn_rc pn_options_read_as(int argc, char **argv, const char *config_text,
                              struct pn_options *options, struct pn_error *err)
{
    static const char *const defaults[PN_LISTEN_COUNT] = {
        "localhost:8080", "localhost:8443", "localhost:9443", "localhost:9444", "none"};
    enum pn_rc rc;

    *options = (struct pn_options){.log_level = PN_LOG_INFO};
    pn_limits_reset(options->limits);
    for (int i = 0; i < PN_LISTEN_COUNT; i++)
        snprintf(options->listen[i], PN_ADDRESS_MAX, "%s", defaults[i]);
    rc = read_flags(argc, argv, options, true, err);
    if (rc == PN_OK)
        rc = make_absolute(options->config_file, err);
    if (rc == PN_OK && options->config_file[0])
        rc = read_config(options, config_text, err);
    memset(options->listen_is_given, 0, sizeof(options->listen_is_given));
    options->webhooks_are_given = false;
    memset(options->texts_are_given, 0, sizeof(options->texts_are_given));
    if (rc == PN_OK)
        rc = read_flags(argc, argv, options, false, err);
    if (rc == PN_OK)
        rc = make_absolute(options->config_file, err);
    if (rc == PN_OK)
        rc = read_addresses(options, err);
    if (rc == PN_OK && !options->data_dir[0])
        rc = default_data_dir(options, err);
    return rc == PN_OK ? make_absolute(options->data_dir, err) : rc;
}

enum pn_rc pn_options_read(int argc, char **argv, struct pn_options *options, struct pn_error *err)
{
    return pn_options_read_as(argc, argv, NULL, options, err);
}

void pn_options_fini(struct pn_options *options)
{
    free(options->config_text);
    options->config_text = NULL;
}
