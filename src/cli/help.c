/* SPDX-License-Identifier: Apache-2.0
 *
 * What --help says: of everything, of a group, of a command.
 */
#include <string.h>

#include "cli/internal.h"

#define NAMES   16 /* column behind the names of groups */
#define OPTIONS 30 /* column behind options */

const char *const pn_cli_environment[][2] = {
    {"POSTERN_URL", "management URL of another service than the local one"},
    {"POSTERN_TOKEN", "bearer token for it"},
    {"POSTERN_VAULT_URL", "URL of a key vault"},
    {"POSTERN_VAULT_TOKEN", "bearer token for it"},
    {"POSTERN_SERVICE", "full id of the service (default: the first one that the token may see)"},
    {"POSTERN_CA_FILE", "CA certificates to trust (PEM)"},
    {"POSTERN_PFX_PASSWORD", "password of a PFX file"},
    {"POSTERN_CLIENT_SECRET", "client secret for \"postern login\""},
    {"NO_COLOR", "no colours, also on a terminal"},
    {NULL, NULL},
};

/* "add, list, show" of a group: the next word of each command, "secret …" when more words follow.
 */
static void print_verbs(FILE *out, const struct pn_cli_group *group)
{
    size_t skip = strlen(group->name) + 1;
    char text[1024];
    size_t len = 0;

    for (const struct pn_cli_command *at = group->commands; at->words && len < sizeof text; at++) {
        const char *verb = at->words + skip;
        size_t word = strcspn(verb, " ");

        if (at != group->commands && strncmp(at[-1].words + skip, verb, word) == 0 &&
            at[-1].words[skip + word] == ' ')
            continue;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s%s", len > 0 ? ", " : "",
                                (int)word, verb, verb[word] ? "\u00a0\u2026" : "");
    }
    pn_cli_print_wrapped(out, 0, NAMES, text);
}

static void print_name(FILE *out, const char *name, const char *about)
{
    pn_cli_print_wrapped(out, (size_t)fprintf(out, "  %s", name), NAMES, about);
}

static void print_environment(FILE *out)
{
    pn_cli_print_wrapped(out, 0, 0,
                         "Commands talk to the local service that DIR/ready.json describes, to the "
                         "one that \"postern login\" named, or by the environment:");
    for (size_t i = 0; pn_cli_environment[i][0]; i++)
        pn_cli_print_wrapped(out, (size_t)fprintf(out, "  %s", pn_cli_environment[i][0]), 24,
                             pn_cli_environment[i][1]);
    pn_cli_print_wrapped(
        out, 0, 0, "Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 not reachable.");
}

static void print_options(FILE *out, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        int column = fprintf(out, "  --%s%s%s", options->name, options->argument ? " " : "",
                             options->argument ? options->argument : "");

        pn_cli_print_wrapped(out, (size_t)column, OPTIONS, options->help);
    }
}

void pn_cli_print_command_help(const struct pn_cli_command *command)
{
    printf("usage: postern %s%s%s [options]\n\n", command->words, command->positionals ? " " : "",
           command->positionals ? command->positionals : "");
    pn_cli_print_wrapped(stdout, 0, 0, command->summary);
    putchar('\n');
    print_options(stdout, command->options);
    print_options(stdout, pn_cli_group_options(command));
    print_options(stdout, pn_cli_common_options);
    printf("\nExample: %s\n", command->example);
}

static void print_commands(FILE *out, const char *words)
{
    size_t widest = 0;

    for (const struct pn_cli_command *at = pn_cli_next(NULL); at; at = pn_cli_next(at))
        if (pn_cli_starts_with_words(at->words, words) && strlen(at->words) > widest)
            widest = strlen(at->words);
    for (const struct pn_cli_command *at = pn_cli_next(NULL); at; at = pn_cli_next(at))
        if (pn_cli_starts_with_words(at->words, words))
            pn_cli_print_wrapped(out, (size_t)fprintf(out, "  postern %s", at->words),
                                 strlen("  postern   ") + widest, at->summary);
}

void pn_cli_print_group_help(FILE *out, const char *words)
{
    fprintf(out, "usage: postern %s COMMAND [options]\n\n", words);
    print_commands(out, words);
    fputs("\nEach has --help, with an example.\n", out);
}

void pn_cli_print_all_commands(FILE *out)
{
    print_commands(out, "");
}

void pn_cli_print_general_help(FILE *out, const struct pn_cli_command *outside)
{
    pn_cli_print_wrapped(out, 0, 0,
                         "Postern " PN_VERSION ": an API gateway that guards the way to backends "
                         "with client certificates.");
    fputs("\nusage: postern COMMAND [options]\n\n", out);
    for (; outside && outside->words; outside++)
        print_name(out, outside->words, outside->summary);
    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++)
        for (const struct pn_cli_command *at = group->commands; !group->name && at->words; at++)
            print_name(out, at->words, at->summary);
    fputc('\n', out);
    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++) {
        if (!group->name)
            continue;
        print_name(out, group->name, group->about);
        print_verbs(out, group);
    }
    fputc('\n', out);
    pn_cli_print_wrapped(
        out, 0, 0,
        "Each has --help, with an example; \"postern help commands\" lists all of them.");
    fputc('\n', out);
    print_environment(out);
}
