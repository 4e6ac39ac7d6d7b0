/* SPDX-License-Identifier: Apache-2.0
 *
 * postern certificate …
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/internal.h"

#define DAYS_DEFAULT 30

static const struct pn_cli_column list_columns[] = {
    {"NAME", "name"},
    {"THUMBPRINT", "properties.thumbprint"},
    {"EXPIRES", "properties.expirationDate"},
    {"STATUS", "properties.keyVault.lastStatus.code"},
    {"SUBJECT", "properties.subject"},
    {NULL, NULL},
};
static const struct pn_cli_column columns[] = {
    {"name", "name"},
    {"subject", "properties.subject"},
    {"thumbprint", "properties.thumbprint"},
    {"expires", "properties.expirationDate"},
    {"vault secret", "properties.keyVault.secretIdentifier"},
    {"identity", "properties.keyVault.identityClientId"},
    {"last status", "properties.keyVault.lastStatus.code"},
    {"message", "properties.keyVault.lastStatus.message"},
    {"fetched", "properties.keyVault.lastStatus.timeStampUtc"},
    {"id", "id"},
    {NULL, NULL},
};

static enum pn_cli_exit on_certificate(struct pn_cli *cli, const char *method, const char *suffix,
                                       const json_t *body)
{
    char *path = pn_cli_path("/certificates/", cli->positionals[0], suffix);
    json_t *answer = NULL;
    enum pn_cli_exit code = strcmp(method, "PUT") == 0
                                ? pn_cli_certificate_put(cli, path, body, &answer)
                                : pn_cli_arm(cli, method, path, body, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, answer, columns);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_add(struct pn_cli *cli)
{
    const char *pfx = pn_cli_value(cli, "pfx");
    const char *secret = pn_cli_value(cli, "vault-secret");
    const char *identity = pn_cli_value(cli, "identity");
    json_t *properties = NULL;
    json_t *data = NULL;
    json_t *password = NULL;
    json_t *body;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (!pfx == !secret)
        return pn_cli_usage(cli, "exactly one of --pfx and --vault-secret is needed");
    if (identity && !secret)
        return pn_cli_usage(cli, "--identity goes with --vault-secret");
    if (pfx) {
        code = pn_cli_file_base64(pfx, &data);
        if (code == PN_CLI_DONE)
            code = pn_cli_password(cli, pfx, &password);
        properties = json_pack("{s:o*, s:o*}", "data", data, "password", password);
    } else {
        properties = json_pack("{s:{s:s, s:s*}}", "keyVault", "secretIdentifier", secret,
                               "identityClientId", identity);
    }
    body = json_pack("{s:o}", "properties", properties);
    if (code == PN_CLI_DONE && !body)
        code = pn_cli_usage(cli, "the arguments must be UTF-8 text");
    if (code == PN_CLI_DONE)
        code = on_certificate(cli, "PUT", pn_cli_flag(cli, "force") ? "?force=true" : "", body);
    json_decref(body);
    return code;
}

/* As add, for one that is there: a mistyped name does not become another certificate. */
static enum pn_cli_exit run_replace(struct pn_cli *cli)
{
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "");
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, NULL);

    free(path);
    return code == PN_CLI_DONE ? run_add(cli) : code;
}

static enum pn_cli_exit run_list(struct pn_cli *cli)
{
    return pn_cli_show_list(cli, "/certificates", list_columns);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    return on_certificate(cli, "GET", "", NULL);
}

static enum pn_cli_exit run_refresh(struct pn_cli *cli)
{
    return on_certificate(cli, "POST", "/refreshSecret", NULL);
}

static enum pn_cli_exit run_delete(struct pn_cli *cli)
{
    return on_certificate(cli, "DELETE", "", NULL);
}

/* ---- usage */

static enum pn_cli_exit run_usage(struct pn_cli *cli)
{
    static const struct pn_cli_column user_columns[] = {
        {"USER", "id"}, {"BY", "by"}, {"DYNAMIC", "dynamic"}, {"VIA", "via"}, {NULL, NULL}};
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "/usage");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, json_object_get(answer, "value"), user_columns);
    json_decref(answer);
    free(path);
    return code;
}

/* ---- generations */

static enum pn_cli_exit show_generations(struct pn_cli *cli, const json_t *answer)
{
    static const struct pn_cli_column generation_columns[] = {{"NUMBER", "number"},
                                                              {"STATE", "state"},
                                                              {"CAUSE", "cause"},
                                                              {"THUMBPRINT", "thumbprint"},
                                                              {"EXPIRES", "expirationDate"},
                                                              {"PROMOTED", "promotedAt"},
                                                              {"USERS", "usedBy.count"},
                                                              {"REFUSAL", "refusal"},
                                                              {NULL, NULL}};

    return pn_cli_print_list(cli, json_object_get(answer, "value"), generation_columns);
}

static enum pn_cli_exit run_generations(struct pn_cli *cli)
{
    char *path = pn_cli_path("/certificates/", cli->positionals[0], "/generations");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);

    if (code == PN_CLI_DONE)
        code = show_generations(cli, answer);
    json_decref(answer);
    free(path);
    return code;
}

static enum pn_cli_exit run_promote(struct pn_cli *cli)
{
    char *above = pn_cli_path("/certificates/", cli->positionals[0], "/generations");
    char *last = pn_cli_path("/", cli->positionals[1], "/promote");
    char *path = NULL;
    json_t *answer = NULL;
    json_t *body = json_pack("{s:{s:b}}", "properties", "force", pn_cli_flag(cli, "force"));
    enum pn_cli_exit code = PN_CLI_REFUSED;

    if (asprintf(&path, "%s%s", above, last) < 0)
        abort();
    code = pn_cli_arm(cli, "POST", path, body, &answer);
    if (code == PN_CLI_DONE)
        code = show_generations(cli, answer);
    json_decref(body);
    json_decref(answer);
    free(path);
    free(last);
    free(above);
    return code;
}

/* ---- check FILE: the doctor */

static enum pn_cli_exit print_report(struct pn_cli *cli, const json_t *report)
{
    static const struct pn_cli_column report_columns[] = {
        {"format", "file.format"},
        {"integrity", "file.integrity"},
        {"encryption", "file.encryption"},
        {"name", "file.friendlyName"},
        {"subject", "subject"},
        {"thumbprint", "thumbprint"},
        {"expires", "expirationDate"},
        {"chain", "chain[].subject"},
        {NULL, NULL},
    };
    const json_t *warnings = json_object_get(report, "warnings");
    enum pn_cli_exit code = pn_cli_print_one(cli, report, report_columns);
    const json_t *warning;
    size_t at;

    json_array_foreach(warnings, at, warning)
    {
        if (pn_cli_is_table(cli))
            printf("%-10s  %s: %s\n", "warning", pn_json_str(warning, "code"),
                   pn_json_str(warning, "message"));
    }
    return code;
}

static enum pn_cli_exit check_file(struct pn_cli *cli, const char *file)
{
    json_t *data = NULL, *password = NULL, *body = NULL, *report = NULL;
    enum pn_cli_exit code = pn_cli_file_base64(file, &data);

    if (code == PN_CLI_DONE)
        code = pn_cli_password(cli, file, &password);
    body = json_pack("{s:{s:o*, s:o*}}", "properties", "data", data, "password", password);
    if (code == PN_CLI_DONE)
        code = pn_cli_arm(cli, "POST", "/checkCertificate", body, &report);
    if (code == PN_CLI_DONE)
        code = print_report(cli, report);
    json_decref(report);
    json_decref(body);
    return code;
}

/* ---- expiry: what needs a person's attention */

static const char *finding(const json_t *item, int64_t now, int64_t days, char *buf, size_t size)
{
    char text[256];
    int64_t expires = 0;
    bool has_expiry = pn_time_parse_iso8601(
        pn_slice_str(pn_cli_text_at(item, "properties.expirationDate", text, sizeof text)),
        &expires);
    int64_t left = (expires - now) / 86400;

    pn_cli_text_at(item, "properties.keyVault.lastStatus.code", text, sizeof text);
    if (has_expiry && expires < now)
        snprintf(buf, size, "expired: upload a new one");
    else if (*text && strcmp(text, "Success") != 0)
        snprintf(buf, size, "last fetch failed: %.100s", text);
    else if (has_expiry && left < days)
        snprintf(buf, size, "expires in %lld days", (long long)left);
    else
        return NULL;
    return buf;
}

/* Who breaks when it ends: an array, the caller's. */
static enum pn_cli_exit read_usage(struct pn_cli *cli, const char *name, json_t **users)
{
    char *path = pn_cli_path("/certificates/", name, "/usage");
    json_t *answer = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", path, NULL, &answer);

    *users = json_incref(json_object_get(answer, "value"));
    json_decref(answer);
    free(path);
    return code;
}

/* Below the service, by commas: "/apis/orders, /backends/b1". */
static json_t *short_names(const json_t *users)
{
    struct pn_buf text;
    const json_t *user;
    json_t *joined;
    size_t at;

    pn_buf_init(&text, 65536);
    json_array_foreach(users, at, user)
    {
        const char *id = pn_json_str(user, "id");
        const char *below = id ? strstr(id, "/service/") : NULL;

        below = below ? strchr(below + strlen("/service/"), '/') : id;
        if (below && pn_buf_printf(&text, "%s%s", text.len > 0 ? ", " : "", below) != PN_OK)
            break;
    }
    joined = json_stringn(text.ptr ? text.ptr : "", text.len);
    pn_buf_fini(&text);
    return joined;
}

struct expiry {
    uint64_t days, fail_within;
    bool has_fail_within;
    json_t *rows;
    bool has_finding;
};

static bool read_days(const struct pn_cli *cli, const char *option, uint64_t *days)
{
    const char *given = pn_cli_value(cli, option);

    return !given || pn_slice_to_u64(pn_slice_str(given), 36500, days);
}

/* Whether this one is what --fail-within is about: it ends by then, or has. */
static bool fails_within(const json_t *item, uint64_t days)
{
    char text[64];
    int64_t expires = 0;

    return pn_time_parse_iso8601(
               pn_slice_str(pn_cli_text_at(item, "properties.expirationDate", text, sizeof text)),
               &expires) &&
           expires - pn_clock_unix_s() < (int64_t)days * 86400;
}

static enum pn_cli_exit add_expiry(struct pn_cli *cli, struct expiry *expiry, const json_t *item,
                                   bool is_host)
{
    char buf[256], expires[64];
    const char *name = pn_json_str(item, "name");
    const char *text = finding(item, pn_clock_unix_s(), (int64_t)expiry->days, buf, sizeof buf);
    bool fails = expiry->has_fail_within ? fails_within(item, expiry->fail_within) : text != NULL;
    json_t *users = NULL;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (cli->positional_count > 0 && (!name || strcasecmp(name, cli->positionals[0]) != 0))
        return PN_CLI_DONE;
    if (name && is_host)
        users = json_pack("[{s:s, s:s, s:s}]", "name", name, "type", "postern/hostname", "by",
                          "listener");
    else if (name && (text || fails))
        code = read_usage(cli, name, &users);
    expiry->has_finding = expiry->has_finding || fails;
    pn_cli_text_at(item, "properties.expirationDate", expires, sizeof expires);
    json_array_append_new(
        expiry->rows, json_pack("{s:s?, s:s, s:s, s:o, s:o}", "name", name, "expires", expires,
                                "finding", text ? text : "good", "breaks",
                                is_host ? json_sprintf("listener %s", name) : short_names(users),
                                "usage", users ? users : json_array()));
    return code;
}

/* The host names of the listener, each as a certificate with {name, properties} would be. */
static enum pn_cli_exit read_hosts(struct pn_cli *cli, json_t **hosts)
{
    json_t *service = NULL;
    const json_t *host;
    size_t at;
    enum pn_cli_exit code = pn_cli_arm(cli, "GET", "", NULL, &service);

    *hosts = json_array();
    json_array_foreach(
        json_object_get(json_object_get(service, "properties"), "hostnameConfigurations"), at, host)
    {
        json_t *expires = json_object_get(json_object_get(host, "certificate"), "expiry");

        if (expires)
            json_array_append_new(*hosts,
                                  json_pack("{s:O?, s:{s:O, s:{s:O*}}}", "name",
                                            json_object_get(host, "hostName"), "properties",
                                            "expirationDate", expires, "keyVault", "lastStatus",
                                            json_object_get(host, "lastStatus")));
    }
    json_decref(service);
    return code;
}

static enum pn_cli_exit run_expiry(struct pn_cli *cli)
{
    static const struct pn_cli_column check_columns[] = {{"NAME", "name"},
                                                         {"EXPIRES", "expires"},
                                                         {"FINDING", "finding"},
                                                         {"BREAKS", "breaks"},
                                                         {NULL, NULL}};
    struct expiry expiry = {.days = DAYS_DEFAULT, .rows = json_array()};
    json_t *hosts = NULL;
    json_t *items = NULL;
    const json_t *item;
    size_t index;
    enum pn_cli_exit code;

    expiry.has_fail_within = pn_cli_value(cli, "fail-within") != NULL;
    if (!read_days(cli, "days", &expiry.days))
        code = pn_cli_usage(cli, "--days must be a number from 0 to 36500");
    else if (!read_days(cli, "fail-within", &expiry.fail_within))
        code = pn_cli_usage(cli, "--fail-within must be a number from 0 to 36500");
    else
        code = pn_cli_arm_list(cli, "/certificates", &items);
    json_array_foreach(items, index, item)
    {
        if (code == PN_CLI_DONE)
            code = add_expiry(cli, &expiry, item, false);
    }
    if (code == PN_CLI_DONE)
        code = read_hosts(cli, &hosts);
    json_array_foreach(hosts, index, item)
    {
        if (code == PN_CLI_DONE)
            code = add_expiry(cli, &expiry, item, true);
    }
    json_decref(hosts);
    if (code == PN_CLI_DONE && cli->positional_count > 0 && json_array_size(expiry.rows) == 0)
        code = pn_cli_fail(PN_CLI_REFUSED, "there is no certificate \"%s\"", cli->positionals[0]);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, expiry.rows, check_columns);
    json_decref(expiry.rows);
    json_decref(items);
    return code == PN_CLI_DONE && expiry.has_finding ? PN_CLI_REFUSED : code;
}

static enum pn_cli_exit run_check(struct pn_cli *cli)
{
    return check_file(cli, cli->positionals[0]);
}

static const struct pn_cli_option add_options[] = {
    {"pfx", "FILE", "PKCS#12 file to upload (\"-\": standard input)"},
    {"password-file", "FILE", "its password (\"-\": standard input)"},
    {"vault-secret", "URL", "secret identifier in a key vault; without a version it is followed"},
    {"identity", "CLIENTID", "user-assigned identity for the vault (default: system-assigned)"},
    {"grant", NULL, "when the vault refuses it: give it Get and List on secrets, or the role"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option replace_options[] = {
    {"pfx", "FILE", "PKCS#12 or PEM file to upload (\"-\": standard input)"},
    {"password-file", "FILE", "its password (\"-\": standard input)"},
    {"vault-secret", "URL", "secret identifier in a key vault; without a version it is followed"},
    {"identity", "CLIENTID", "user-assigned identity for the vault (default: system-assigned)"},
    {"grant", NULL, "when the vault refuses it: give it Get and List on secrets, or the role"},
    {"force", NULL, "also when a backend that uses it refuses the new one"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option add_all_options[] = {
    {"password-file", "FILE", "password of all (NAME.pass beside NAME.pfx wins)"},
    {"prefix", "TEXT", "before each name"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option promote_options[] = {
    {"force", NULL, "also when a backend refuses it"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option check_options[] = {
    {"password-file", "FILE", "its password (\"-\": standard input)"},
    {NULL, NULL, NULL},
};
static const struct pn_cli_option expiry_options[] = {
    {"days", "N", "warn when fewer days are left (default 30)"},
    {"fail-within", "N",
     "exit code 1 only when one ends within so many days (default: for every finding)"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_certificate_commands[] = {
    {"certificate add", "NAME", 1, 1, add_options,
     "Uploads a PFX, or refers to a certificate in a key vault.",
     "postern certificate add orders --pfx orders.pfx --password-file orders.pass", run_add},
    {"certificate add-all", "DIR", 1, 1, add_all_options,
     "Uploads every .pfx, .p12 and .pem file of a folder, each under its file's name.",
     "postern certificate add-all partners/ --password-file partners.pass",
     pn_cli_certificate_add_all},
    {"certificate replace", "NAME", 1, 1, replace_options,
     "Puts another file, or another vault secret, behind a name that is there.",
     "postern certificate replace orders --pfx orders-2027.pfx --password-file orders.pass",
     run_replace},
    {"certificate list", NULL, 0, 0, NULL, "Lists the certificates.",
     "postern certificate list --output json", run_list},
    {"certificate show", "NAME", 1, 1, NULL, "Shows one certificate.",
     "postern certificate show orders", run_show},
    {"certificate refresh", "NAME", 1, 1, NULL, "Fetches it from its key vault now.",
     "postern certificate refresh billing", run_refresh},
    {"certificate delete", "NAME", 1, 1, NULL, "Deletes one that nothing uses.",
     "postern certificate delete orders", run_delete},
    {"certificate usage", "NAME", 1, 1, NULL,
     "Lists what uses it: backends, policies, APIs and operations.",
     "postern certificate usage orders", run_usage},
    {"certificate generations", "NAME", 1, 1, NULL,
     "Shows its generations: which serves, which waits and why, which were.",
     "postern certificate generations orders", run_generations},
    {"certificate promote", "NAME NUMBER", 2, 2, promote_options,
     "Makes a staged or a draining generation the current one.",
     "postern certificate promote orders 3", run_promote},
    {"certificate check", "FILE", 1, 1, check_options,
     "Tells what a PFX or PEM file is and what is wrong with it; nothing is saved.",
     "postern certificate check orders.pfx --password-file orders.pass", run_check},
    {"certificate expiry", "[NAME]", 0, 1, expiry_options,
     "Finds what expires soon (host names, too) or could not be fetched, and what breaks then; "
     "exit "
     "code 1 if any.",
     "postern certificate expiry --days 30 --fail-within 7", run_expiry},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
