/* SPDX-License-Identifier: Apache-2.0
 *
 * Manual pages (man(7)) from the tables of commands: postern-certificate(1) and its kin, and
 * postern-serve(1) for what is run elsewhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

/* Text of ours in a page: hyphens are hyphens, a dot or a quote begins no request. */
static void print_text(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '-')
            fputs("\\-", out);
        else if (*at == '\\')
            fputs("\\e", out);
        else if ((*at == '.' || *at == '\'') && (at == text || at[-1] == '\n'))
            fprintf(out, "\\&%c", *at);
        else
            fputc(*at, out);
    }
}

static void print_options(FILE *out, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        fputs(".TP\n\\fB\\-\\-", out);
        print_text(out, options->name);
        fputs("\\fR", out);
        if (options->argument) {
            fputs(" \\fI", out);
            print_text(out, options->argument);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        print_text(out, options->help);
        fputs(".\n", out);
    }
}

static void print_command(FILE *out, const struct pn_cli_command *command)
{
    fputs(".SS postern ", out);
    print_text(out, command->words);
    if (command->positionals) {
        fputs(" \\fI", out);
        print_text(out, command->positionals);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    print_text(out, command->summary);
    fputc('\n', out);
    print_options(out, command->options);
    fputs(".PP\nExample:\n.PP\n.nf\n.RS\n", out);
    print_text(out, command->example);
    fputs("\n.RE\n.fi\n", out);
}

static void print_head(FILE *out, const char *name, const char *about)
{
    fputs(".\\\" Made by: postern manual\n.TH POSTERN\\-", out);
    for (const char *at = name; *at; at++)
        fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, out);
    fprintf(out,
            " 1 \"\" \"Postern " PN_VERSION "\" \"User Commands\"\n.SH NAME\npostern\\-%s \\- ",
            name);
    print_text(out, about);
    fputc('\n', out);
}

static void print_synopsis(FILE *out, const struct pn_cli_command *command)
{
    fputs("\\fBpostern ", out);
    print_text(out, command->words);
    fputs("\\fR", out);
    if (command->positionals) {
        fputs(" \\fI", out);
        print_text(out, command->positionals);
        fputs("\\fR", out);
    }
    fputs(" [\\fIoptions\\fR]\n.br\n", out);
}

static void print_common(FILE *out)
{
    fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
    print_options(out, pn_cli_common_options);
    fputs(".SH ENVIRONMENT\n", out);
    for (size_t i = 0; pn_cli_environment[i][0]; i++) {
        fprintf(out, ".TP\n.B %s\n", pn_cli_environment[i][0]);
        print_text(out, pn_cli_environment[i][1]);
        fputs(".\n", out);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 refused by the server, 2 wrong usage, 3 not reachable.\n"
          ".SH SEE ALSO\n.BR postern (1)\n",
          out);
}

static void print_group(FILE *out, const struct pn_cli_group *group)
{
    print_head(out, group->name, group->about);
    fputs(".SH SYNOPSIS\n", out);
    for (const struct pn_cli_command *at = group->commands; at->words; at++)
        print_synopsis(out, at);
    fputs(".SH COMMANDS\n", out);
    for (const struct pn_cli_command *at = group->commands; at->words; at++)
        print_command(out, at);
    if (group->is_scoped) {
        fputs(".SH OPTIONS OF THESE COMMANDS\n", out);
        print_options(out, pn_cli_group_options(group->commands));
    }
    print_common(out);
}

/* A page of one command: the only one of its name. */
static void print_single(FILE *out, const struct pn_cli_command *command)
{
    print_head(out, command->words, command->summary);
    fputs(".SH SYNOPSIS\n", out);
    print_synopsis(out, command);
    fputs(".SH OPTIONS\n", out);
    print_options(out, command->options);
    fputs(".SH EXAMPLE\n.nf\n", out);
    print_text(out, command->example);
    fputs("\n.fi\n", out);
    if (command->run)
        print_common(out);
    else
        fputs(".SH SEE ALSO\n.BR postern (1)\n", out);
}

static FILE *open_page(const char *dir, const char *name)
{
    char *path = NULL;
    FILE *out;

    if (asprintf(&path, "%s/postern-%s.1", dir, name) < 0)
        return NULL;
    out = fopen(path, "we");
    if (!out)
        (void)pn_cli_fail(PN_CLI_USAGE, "%s cannot be written: %s", path, strerror(errno));
    free(path);
    return out;
}

static bool end_page(FILE *out)
{
    bool is_good = !ferror(out);

    return fclose(out) == 0 && is_good;
}

enum pn_cli_exit pn_cli_write_manual(const struct pn_cli *cli, const char *dir)
{
    bool is_good = true;

    for (const struct pn_cli_group *group = pn_cli_groups; group->commands && is_good; group++) {
        const struct pn_cli_command *at = group->commands;

        if (group->name) {
            FILE *out = open_page(dir, group->name);

            if (!out)
                return PN_CLI_USAGE;
            print_group(out, group);
            is_good = end_page(out);
            continue;
        }
        for (; at->words && is_good; at++) {
            FILE *out = open_page(dir, at->words);

            if (!out)
                return PN_CLI_USAGE;
            print_single(out, at);
            is_good = end_page(out);
        }
    }
    for (const struct pn_cli_command *at = cli->outside; at && at->words && is_good; at++) {
        FILE *out = open_page(dir, at->words);

        if (!out)
            return PN_CLI_USAGE;
        print_single(out, at);
        is_good = end_page(out);
    }
    if (!is_good)
        return pn_cli_fail(PN_CLI_USAGE, "a page in %s could not be written whole", dir);
    return PN_CLI_DONE;
}
