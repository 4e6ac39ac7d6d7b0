/* SPDX-License-Identifier: Apache-2.0
 *
 * postern backend probe: the story of a handshake, and trust in what it showed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/internal.h"

/* ---- the story */

static void print_names(const char *title, const json_t *list, const char *member)
{
    const json_t *entry;
    size_t at;

    json_array_foreach(list, at, entry)
    {
        const char *text = member ? pn_json_str(entry, member) : json_string_value(entry);

        printf("%-20s %s\n", at == 0 ? title : "", text ? text : "");
    }
}

/* The story, in the order in which it happened. */
static void print_story(const json_t *story)
{
    const json_t *sent = json_object_get(story, "certificate");
    const char *cause = pn_json_str(story, "cause");
    const char *fix = pn_json_str(story, "fix");
    char version[32];

    print_names("address", json_object_get(story, "addresses"), "address");
    if (*pn_cli_text_at(story, "tlsVersion", version, sizeof version))
        printf("%-20s %s %s\n", "TLS", version, pn_json_str(story, "cipher"));
    print_names("server certificate", json_object_get(story, "serverChain"), "subject");
    printf("%-20s %s\n", "asked for ours",
           pn_json_bool(story, "certificateRequested", false) ? "yes" : "no");
    print_names("accepts issuers", json_object_get(story, "acceptableIssuers"), NULL);
    if (json_is_object(sent))
        printf("%-20s %s (%s)\n",
               pn_json_bool(story, "certificateSent", false) ? "sent" : "not sent",
               pn_json_str(sent, "subject"), pn_json_str(sent, "thumbprint"));
    printf("%-20s %s\n", "outcome", pn_json_str(story, "outcome"));
    if (cause && *cause)
        printf("%-20s %s: %s\n", "cause", cause, pn_json_str(story, "sentence"));
    if (fix && *fix)
        printf("%-20s %s\n", "what to do", fix);
}

/* ---- trust */

static void print_offer(const json_t *offer)
{
    printf("\n%-20s %s\n", "certificate", pn_json_str(offer, "subject"));
    printf("%-20s %s\n", "SHA-256", pn_json_str(offer, "sha256"));
    printf("%-20s %s\n", "thumbprint", pn_json_str(offer, "thumbprint"));
    printf("%-20s %s\n", "pin of its key", pn_json_str(offer, "pin"));
}

static const char *meaning_of(const char *way)
{
    if (strcmp(way, "ca") == 0)
        return "trust only what this certificate has issued, or it itself, for this backend";
    if (strcmp(way, "name") == 0)
        return "expect the name in this certificate instead of the host's, for this backend";
    return "trust exactly this key for this backend, without chain and name check";
}

/* Asks at the terminal; the answer is y or nothing. */
static bool is_agreed(const char *way)
{
    char answer[16];

    fprintf(stderr, "\nCompare the fingerprint with what the backend's operators say.\n%s? [y/N] ",
            meaning_of(way));
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* The way that --trust names, or the best one; NULL: none (told). */
static const char *choose_way(const char *wanted, const json_t *trust)
{
    static const char *const ways[] = {"ca", "name", "key"};

    if (*wanted) {
        if (json_object_get(trust, wanted))
            return wanted;
        (void)pn_cli_fail(PN_CLI_REFUSED, "--trust %s would not help with what the probe has found",
                          wanted);
        return NULL;
    }
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (json_object_get(trust, ways[i]))
            return ways[i];
    }
    return NULL;
}

/* Changes this backend, after consent. *changed: it was. */
static enum pn_cli_exit trust_shown(struct pn_cli *cli, const json_t *story, bool *changed)
{
    const char *wanted = pn_cli_value(cli, "trust");
    const json_t *trust = json_object_get(story, "trust");
    const char *way = trust ? choose_way(wanted ? wanted : "", trust) : NULL;
    const json_t *offer = json_object_get(trust, way ? way : "");
    char *path;
    json_t *body;
    enum pn_cli_exit code = PN_CLI_DONE;

    *changed = false;
    if (wanted && !trust)
        (void)pn_cli_fail(PN_CLI_REFUSED, "there is nothing that could be trusted: the cause is "
                                          "another one");
    if (!offer)
        return PN_CLI_DONE;
    if (pn_cli_is_table(cli))
        print_offer(offer);
    if (!wanted) {
        if (!pn_cli_is_table(cli) || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
            if (pn_cli_is_table(cli))
                printf("%-20s postern backend probe %s --trust %s: %s\n", "to trust it",
                       cli->positionals[0], way, meaning_of(way));
            return PN_CLI_DONE;
        }
        if (!is_agreed(way))
            return PN_CLI_DONE;
    }
    path = pn_cli_path("/backends/", cli->positionals[0], "");
    body = json_pack("{s:{s:O}}", "properties", "tls", json_object_get(offer, "tls"));
    code = pn_cli_arm(cli, "PATCH", path, body, NULL);
    *changed = code == PN_CLI_DONE;
    json_decref(body);
    free(path);
    return code;
}

/* ---- the command */

static enum pn_cli_exit ask(struct pn_cli *cli, json_t **story)
{
    const char *certificate = pn_cli_value(cli, "certificate");
    bool is_last = pn_cli_flag(cli, "last");
    char *path =
        pn_cli_path("/backends/", cli->positionals[0], is_last ? "/lastFailure" : "/probe");
    json_t *body =
        is_last ? NULL : json_pack("{s:{s:s*}}", "properties", "certificateId", certificate);
    enum pn_cli_exit code = pn_cli_arm(cli, is_last ? "GET" : "POST", path, body, story);

    json_decref(body);
    free(path);
    return code;
}

static bool is_accepted(const json_t *story)
{
    const char *outcome = pn_json_str(story, "outcome");

    return outcome && strcmp(outcome, "accepted") == 0;
}

/* Showing it is no refusal. */
static enum pn_cli_exit print_last(const struct pn_cli *cli, const json_t *story)
{
    static const struct pn_cli_column no_columns[] = {{NULL, NULL}};
    const char *outcome = pn_json_str(story, "outcome");

    if (!pn_cli_is_table(cli))
        return pn_cli_print_one(cli, story, no_columns);
    if (outcome && strcmp(outcome, "none") == 0) {
        printf("no connection to it has failed since the gateway started\n");
        return PN_CLI_DONE;
    }
    printf("%-20s %s (%lld times since %s)\n", "failed at", pn_json_str(story, "at"),
           (long long)pn_json_int(story, "count", 1), pn_json_str(story, "firstAt"));
    print_story(story);
    return PN_CLI_DONE;
}

void pn_cli_print_last_failure(struct pn_cli *cli, const char *path)
{
    json_t *story = NULL;
    const char *outcome;

    if (!pn_cli_is_table(cli) || pn_cli_arm(cli, "GET", path, NULL, &story) != PN_CLI_DONE)
        return;
    outcome = pn_json_str(story, "outcome");
    if (outcome && strcmp(outcome, "none") != 0)
        printf("%-20s %s (%lld times since %s): %s: %s\n", "last failure", pn_json_str(story, "at"),
               (long long)pn_json_int(story, "count", 1), pn_json_str(story, "firstAt"),
               pn_json_str(story, "cause"), pn_json_str(story, "sentence"));
    json_decref(story);
}

enum pn_cli_exit pn_cli_run_probe(struct pn_cli *cli)
{
    static const struct pn_cli_column no_columns[] = {{NULL, NULL}};
    const char *wanted = pn_cli_value(cli, "trust");
    json_t *story = NULL;
    bool changed = false;
    enum pn_cli_exit code;

    if (wanted && strcmp(wanted, "ca") != 0 && strcmp(wanted, "key") != 0 &&
        strcmp(wanted, "name") != 0)
        return pn_cli_usage(cli, "--trust must be ca, key or name");
    if (pn_cli_flag(cli, "last") && (wanted || pn_cli_value(cli, "certificate")))
        return pn_cli_usage(cli, "--last shows what is kept; it goes with no other option");
    code = ask(cli, &story);
    if (code == PN_CLI_DONE && pn_cli_flag(cli, "last")) {
        code = print_last(cli, story);
        json_decref(story);
        return code;
    }
    if (code == PN_CLI_DONE && pn_cli_is_table(cli))
        print_story(story);
    if (code == PN_CLI_DONE && !is_accepted(story))
        code = trust_shown(cli, story, &changed);
    if (code == PN_CLI_DONE && changed) { /* whether it helped */
        json_decref(story);
        story = NULL;
        code = ask(cli, &story);
        if (code == PN_CLI_DONE && pn_cli_is_table(cli)) {
            printf("\nwith that trust:\n");
            print_story(story);
        }
    }
    if (code == PN_CLI_DONE && !pn_cli_is_table(cli))
        code = pn_cli_print_one(cli, story, no_columns);
    if (code == PN_CLI_DONE && !is_accepted(story))
        code = PN_CLI_REFUSED;
    json_decref(story);
    return code;
}

const struct pn_cli_option pn_cli_probe_options[] = {
    {"certificate", "NAME", "show this certificate instead of the backend's own"},
    {"trust", "ca|key|name",
     "trust what it shows, for this backend only: its CA, its key, or the name it has"},
    {"last", NULL, "show the last connection that failed, instead of trying one"},
    {NULL, NULL, NULL},
};
