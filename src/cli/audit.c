/* SPDX-License-Identifier: Apache-2.0
 *
 * postern audit …
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/internal.h"

/* What a person reads of an entry. */
static json_t *row_of(const json_t *item)
{
    const json_t *entry = json_object_get(item, "entry");
    const char *kind = pn_json_str(entry, "kind");
    const char *certificate = pn_json_str(entry, "certificate");
    const char *name = certificate ? strrchr(certificate, '/') : NULL;
    char what[512] = "", who[128] = "";

    if (kind && strcmp(kind, "operation") == 0) {
        snprintf(what, sizeof what, "%s %s: %lld %s", pn_json_str(entry, "method"),
                 pn_json_str(entry, "operation"), (long long)pn_json_int(entry, "status", 0),
                 pn_json_str(entry, "code") ? pn_json_str(entry, "code") : "");
        snprintf(who, sizeof who, "%s",
                 pn_json_str(json_object_get(entry, "principal"), "objectId"));
    } else if (kind && strcmp(kind, "generation") == 0) {
        snprintf(what, sizeof what, "generation %lld is %s (%s)",
                 (long long)pn_json_int(entry, "generation", 0), pn_json_str(entry, "state"),
                 pn_json_str(entry, "cause"));
    } else if (kind && strcmp(kind, "use") == 0) {
        snprintf(what, sizeof what, "generation %lld at %s: %s %s",
                 (long long)pn_json_int(entry, "generation", 0), pn_json_str(entry, "backend"),
                 pn_json_str(entry, "what"),
                 pn_json_str(entry, "until") ? pn_json_str(entry, "until")
                                             : pn_json_str(entry, "from"));
    } else {
        snprintf(what, sizeof what, "%s", kind ? kind : "");
    }
    return json_pack("{s:O?, s:O?, s:s, s:s, s:s}", "seq", json_object_get(item, "seq"), "time",
                     json_object_get(item, "time"), "certificate",
                     name ? name + 1 : (certificate ? certificate : ""), "what", what, "who", who);
}

static bool is_about(const json_t *item, const char *name)
{
    const char *id = pn_json_str(json_object_get(item, "entry"), "certificate");
    const char *last = id ? strrchr(id, '/') : NULL;

    return !name || (id && strcasecmp(last ? last + 1 : id, name) == 0);
}

static enum pn_cli_exit run_show(struct pn_cli *cli)
{
    static const struct pn_cli_column columns[] = {
        {"NUMBER", "seq"}, {"TIME", "time"}, {"CERTIFICATE", "certificate"},
        {"WHAT", "what"},  {"WHO", "who"},   {NULL, NULL}};
    const char *after = pn_cli_value(cli, "after");
    const char *name = pn_cli_value(cli, "certificate");
    uint64_t number = 0;
    char path[96];
    json_t *items = NULL;
    json_t *shown = json_array();
    const json_t *item;
    size_t at;
    enum pn_cli_exit code;

    if (after && !pn_slice_to_u64(pn_slice_str(after), INT64_MAX, &number))
        code = pn_cli_usage(cli, "--after must be the number of an entry");
    else {
        snprintf(path, sizeof path, "/audit?after=%llu&$top=1000", (unsigned long long)number);
        code = pn_cli_arm_list(cli, path, &items);
    }
    json_array_foreach(items, at, item)
    {
        if (is_about(item, name))
            json_array_append_new(shown, cli->is_json ? json_incref((json_t *)(uintptr_t)item)
                                                      : row_of(item));
    }
    if (code == PN_CLI_DONE)
        code = pn_cli_print_list(cli, shown, columns);
    json_decref(shown);
    json_decref(items);
    return code;
}

/* "NUMBER:HASH", as "audit head" prints it. NULL: it is not that. */
static json_t *anchor_of(const char *text)
{
    const char *colon = strchr(text, ':');
    uint64_t seq = 0;

    if (!colon || strlen(colon + 1) != 64 ||
        !pn_slice_to_u64(pn_slice(text, (size_t)(colon - text)), INT64_MAX, &seq) || seq == 0)
        return NULL;
    return json_pack("{s:{s:{s:I, s:s}}}", "properties", "anchor", "seq", (json_int_t)seq, "hash",
                     colon + 1);
}

static enum pn_cli_exit run_head(struct pn_cli *cli)
{
    static const struct pn_cli_column no_columns[] = {{NULL, NULL}};
    json_t *report = NULL;
    json_t *head = NULL;
    enum pn_cli_exit code = pn_cli_arm(cli, "POST", "/audit/verify", NULL, &report);

    if (code == PN_CLI_DONE && !pn_json_bool(report, "valid", false))
        code = pn_cli_fail(PN_CLI_REFUSED, "the audit log is not whole: %s",
                           pn_json_str(report, "problem"));
    if (code == PN_CLI_DONE) {
        head = json_pack("{s:O, s:O}", "seq", json_object_get(report, "head"), "hash",
                         json_object_get(report, "headHash"));
        if (pn_cli_is_table(cli))
            printf("%lld:%s\n", (long long)pn_json_int(head, "seq", 0), pn_json_str(head, "hash"));
        else
            code = pn_cli_print_one(cli, head, no_columns);
    }
    json_decref(head);
    json_decref(report);
    return code;
}

static enum pn_cli_exit run_verify(struct pn_cli *cli)
{
    static const struct pn_cli_column columns[] = {
        {"valid", "valid"},     {"entries", "entries"}, {"first", "first"}, {"last", "last"},
        {"problem", "problem"}, {"at", "at"},           {NULL, NULL}};
    const char *since = pn_cli_value(cli, "since");
    json_t *body = since ? anchor_of(since) : NULL;
    json_t *report = NULL;
    enum pn_cli_exit code;

    if (since && !body)
        return pn_cli_usage(cli, "--since must be what \"postern audit head\" has printed");
    code = pn_cli_arm(cli, "POST", "/audit/verify", body, &report);
    json_decref(body);
    if (code == PN_CLI_DONE)
        code = pn_cli_print_one(cli, report, columns);
    if (code == PN_CLI_DONE && !pn_json_bool(report, "valid", false))
        code = PN_CLI_REFUSED;
    json_decref(report);
    return code;
}

static const struct pn_cli_option show_options[] = {
    {"after", "N", "only entries after number N"},
    {"certificate", "NAME", "only entries about this certificate"},
    {NULL, NULL, NULL},
};

static const struct pn_cli_option verify_options[] = {
    {"since", "NUMBER:HASH", "what \"audit head\" printed then must be in it still"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_audit_commands[] = {
    {"audit show", NULL, 0, 0, show_options,
     "Shows who changed which certificate, and which generation served which backend.",
     "postern audit show --certificate orders", run_show},
    {"audit head", NULL, 0, 0, NULL,
     "Prints number and hash of the newest entry, to be kept elsewhere for \"audit verify "
     "--since\".",
     "postern audit head", run_head},
    {"audit verify", NULL, 0, 0, verify_options,
     "Checks that nothing of the audit log was changed, taken out or cut off; exit code 1 if so.",
     "postern audit verify --since \"$(cat head.kept)\"", run_verify},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
