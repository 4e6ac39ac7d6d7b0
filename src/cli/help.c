/* SPDX-License-Identifier: Apache-2.0
 *
 * What --help says: of everything, of a group, of a command.
 */
#include <string.h>

#include "cli/internal.h"

#define WIDTH 78

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

/* "add list show" of a group, wrapped behind its name. */
static void print_verbs(FILE *out, const struct pn_cli_group *group)
{
    int column = fprintf(out, "  %-11s", group->name);

    for (const struct pn_cli_command *at = group->commands; at->words; at++) {
        const char *verb = at->words + strlen(group->name) + 1;

        if (column + 3 + (int)strlen(verb) > WIDTH)
            column = fprintf(out, "\n%-13s", "") - 1;
        column += fprintf(out, "  %s%s", verb, at[1].words ? "," : "");
    }
    fputc('\n', out);
}

void pn_cli_print_summary(FILE *out)
{
    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++)
        if (group->name)
            print_verbs(out, group);
    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++)
        if (!group->name)
            for (const struct pn_cli_command *at = group->commands; at->words; at++)
                fprintf(out, "  %-12s %s\n", at->words, at->summary);
}

static void print_environment(FILE *out)
{
    fputs("Commands talk to the local service that DIR/ready.json describes, to the one that\n"
          "\"postern login\" named, or by the environment:\n",
          out);
    for (size_t i = 0; pn_cli_environment[i][0]; i++)
        fprintf(out, "  %-21s %s\n", pn_cli_environment[i][0], pn_cli_environment[i][1]);
    fputs("Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 not reachable.\n", out);
}

static void print_options(FILE *out, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", options->name, options->argument ? " " : "",
                 options->argument ? options->argument : "");
        fprintf(out, "  %-34s %s\n", left, options->help);
    }
}

void pn_cli_print_command_help(const struct pn_cli_command *command)
{
    printf("usage: postern %s%s%s [options]\n\n%s\n\n", command->words,
           command->positionals ? " " : "", command->positionals ? command->positionals : "",
           command->summary);
    print_options(stdout, command->options);
    print_options(stdout, pn_cli_group_options(command));
    print_options(stdout, pn_cli_common_options);
    printf("\nExample: %s\n", command->example);
}

void pn_cli_print_group_help(FILE *out, const char *words)
{
    for (const struct pn_cli_command *at = pn_cli_next(NULL); at; at = pn_cli_next(at))
        if (pn_cli_starts_with_words(at->words, words))
            fprintf(out, "  postern %-28s %s\n", at->words, at->summary);
}

void pn_cli_print_general_help(FILE *out)
{
    fputs("usage: postern COMMAND [options]\n\n"
          "  postern serve                        runs the service (see: postern serve --help)\n",
          out);
    pn_cli_print_group_help(out, "");
    fputs("\nEach has --help, with an example. ", out);
    print_environment(out);
}
