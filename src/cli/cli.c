/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the command in the tables, reads its options, prints help.
 */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "cli/internal.h"

static const struct pn_cli_command *const groups[] = {
    pn_cli_certificate_commands, pn_cli_api_commands,   pn_cli_backend_commands,
    pn_cli_policy_commands,      pn_cli_vault_commands, pn_cli_identity_commands,
    pn_cli_service_commands,     pn_cli_demo_commands,
};
#define GROUP_COUNT (sizeof groups / sizeof *groups)

static const struct pn_cli_option common[] = {
    {"data", "DIR", "folder of the local service, where ready.json is"},
    {"output", "json|table", "how to print (default table)"},
    {"help", NULL, "this text"},
    {NULL, NULL, NULL},
};

static const char summary[] =
    "  certificate add|list|show|refresh|delete|usage|check\n"
    "  api add|list|show|delete               backend add|update|list|show|delete\n"
    "  policy show|set|delete|check           vault secret set|get|list\n"
    "  token, status                          vault certificate import|create|list|show\n"
    "  identity show|add-certificate          demo (the main job, with a backend)\n";

static const char environment[] =
    "Commands talk to the local service that DIR/ready.json describes, or to another one:\n"
    "  POSTERN_URL, POSTERN_TOKEN              management URL and bearer token\n"
    "  POSTERN_VAULT_URL, POSTERN_VAULT_TOKEN  the same of a vault\n"
    "  POSTERN_SERVICE                         full id of the service (default: the first one)\n"
    "  POSTERN_CA_FILE                         CA certificates to trust (PEM)\n"
    "  POSTERN_PFX_PASSWORD                    password of a PFX file\n"
    "Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 not reachable.\n";

static void say(const char *format, va_list args)
{
    fputs("postern: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

enum pn_cli_exit pn_cli_fail(enum pn_cli_exit code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return code;
}

enum pn_cli_exit pn_cli_usage(const struct pn_cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    if (cli->command)
        fprintf(stderr, "See: postern %s --help\n", cli->command->words);
    return PN_CLI_USAGE;
}

const char *pn_cli_value_at(const struct pn_cli *cli, const char *name, size_t index)
{
    for (size_t i = 0; i < cli->value_count; i++)
        if (strcmp(cli->values[i].name, name) == 0 && index-- == 0)
            return cli->values[i].value;
    return NULL;
}

const char *pn_cli_value(const struct pn_cli *cli, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < cli->value_count; i++)
        if (strcmp(cli->values[i].name, name) == 0)
            value = cli->values[i].value;
    return value;
}

bool pn_cli_flag(const struct pn_cli *cli, const char *name)
{
    return pn_cli_value(cli, name) != NULL;
}

const char *pn_cli_summary(void)
{
    return summary;
}

bool pn_cli_has_command(const char *name)
{
    size_t len = strlen(name);

    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return true;
    for (size_t i = 0; i < GROUP_COUNT; i++)
        for (const struct pn_cli_command *command = groups[i]; command->words; command++)
            if (strncmp(command->words, name, len) == 0 &&
                (command->words[len] == ' ' || command->words[len] == '\0'))
                return true;
    return false;
}

/* ---- help */

static void print_options(FILE *out, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", options->name, options->argument ? " " : "",
                 options->argument ? options->argument : "");
        fprintf(out, "  %-34s %s\n", left, options->help);
    }
}

static void print_command_help(const struct pn_cli_command *command)
{
    printf("usage: postern %s%s%s [options]\n\n%s\n\n", command->words,
           command->positionals ? " " : "", command->positionals ? command->positionals : "",
           command->summary);
    print_options(stdout, command->options);
    print_options(stdout, common);
    printf("\nExample: %s\n", command->example);
}

/* The commands that start with these words. */
static void print_group_help(FILE *out, const char *words)
{
    size_t len = strlen(words);

    for (size_t i = 0; i < GROUP_COUNT; i++)
        for (const struct pn_cli_command *command = groups[i]; command->words; command++)
            if (len == 0 || (strncmp(command->words, words, len) == 0 &&
                             (command->words[len] == ' ' || command->words[len] == '\0')))
                fprintf(out, "  postern %-28s %s\n", command->words, command->summary);
}

static void print_general_help(FILE *out)
{
    fputs("usage: postern COMMAND [options]\n\n"
          "  postern serve                        runs the service (see: postern serve --help)\n",
          out);
    print_group_help(out, "");
    fputs("\nEach has --help, with an example. ", out);
    fputs(environment, out);
}

/* ---- command line */

static bool is_option(const char *argument)
{
    return strncmp(argument, "--", 2) == 0 && argument[2] != '\0';
}

/* The command whose words are the first arguments; *used: how many. The longest one wins. */
static const struct pn_cli_command *find_command(int argc, char **argv, int *used)
{
    const struct pn_cli_command *found = NULL;
    char words[128] = "";
    size_t len = 0;

    for (int n = 0; n < argc && n < 3 && argv[n][0] != '-'; n++) {
        len += (size_t)snprintf(words + len, sizeof words - len, "%s%s", n ? " " : "", argv[n]);
        if (len >= sizeof words)
            break;
        for (size_t i = 0; i < GROUP_COUNT; i++) {
            for (const struct pn_cli_command *command = groups[i]; command->words; command++) {
                if (strcmp(command->words, words) == 0) {
                    found = command;
                    *used = n + 1;
                }
            }
        }
    }
    return found;
}

static const struct pn_cli_option *find_option(const struct pn_cli_option *options,
                                               const char *name, size_t len)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

/* "--name value" or "--name=value"; *at moves behind what was used. */
static enum pn_cli_exit take_option(struct pn_cli *cli, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct pn_cli_option *option = find_option(cli->command->options, name, len);
    const char *value = "";

    if (!option)
        option = find_option(common, name, len);
    if (!option && len == 8 && strncmp(name, "password", len) == 0)
        return pn_cli_usage(cli, "passwords are not taken from the command line, where every user "
                                 "of this machine can read them: use --password-file FILE, "
                                 "--password-file - or POSTERN_PFX_PASSWORD");
    if (!option)
        return pn_cli_usage(cli, "unknown option --%.*s", (int)len, name);
    ++*at;
    if (option->argument) {
        if (equals)
            value = equals + 1;
        else if (*at < argc)
            value = argv[(*at)++];
        else
            return pn_cli_usage(cli, "--%s needs %s", option->name, option->argument);
    } else if (equals) {
        return pn_cli_usage(cli, "--%s takes no value", option->name);
    }
    if (cli->value_count == PN_CLI_VALUES_MAX)
        return pn_cli_usage(cli, "more than %d options", PN_CLI_VALUES_MAX);
    cli->values[cli->value_count].name = option->name;
    cli->values[cli->value_count++].value = value;
    return PN_CLI_DONE;
}

static enum pn_cli_exit read_arguments(struct pn_cli *cli, int argc, char **argv)
{
    const struct pn_cli_command *command = cli->command;
    bool only_positionals = false;
    int at = 0;
    const char *output;

    while (at < argc) {
        if (!only_positionals && strcmp(argv[at], "--") == 0) {
            only_positionals = true;
            at++;
        } else if (!only_positionals && is_option(argv[at])) {
            enum pn_cli_exit code = take_option(cli, argc, argv, &at);

            if (code != PN_CLI_DONE)
                return code;
        } else {
            if (cli->positional_count == command->positional_max)
                return pn_cli_usage(cli, "unexpected argument \"%s\"", argv[at]);
            cli->positionals[cli->positional_count++] = argv[at++];
        }
    }
    if (pn_cli_flag(cli, "help"))
        return PN_CLI_DONE;
    if (cli->positional_count < command->positional_min)
        return pn_cli_usage(cli, "missing argument: postern %s %s", command->words,
                            command->positionals);
    output = pn_cli_value(cli, "output");
    if (output && strcmp(output, "json") != 0 && strcmp(output, "table") != 0)
        return pn_cli_usage(cli, "--output must be json or table");
    cli->is_json = output && strcmp(output, "json") == 0;
    return PN_CLI_DONE;
}

static int no_such_command(int argc, char **argv)
{
    bool wants_help = false;

    for (int i = 0; i < argc; i++)
        wants_help = wants_help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (argc == 0 || strcmp(argv[0], "help") == 0 || argv[0][0] == '-') {
        print_general_help(argc == 0 ? stderr : stdout);
        return argc == 0 ? PN_CLI_USAGE : PN_CLI_DONE;
    }
    if (pn_cli_has_command(argv[0])) {
        char words[64];

        snprintf(words, sizeof words, "%s", argv[0]);
        print_group_help(wants_help ? stdout : stderr, words);
        return wants_help ? PN_CLI_DONE : PN_CLI_USAGE;
    }
    return pn_cli_fail(PN_CLI_USAGE, "no command \"%s\"; see: postern --help", argv[0]);
}

int pn_cli_main(int argc, char **argv)
{
    struct pn_cli cli = {.program = argc > 0 ? argv[0] : "postern"};
    int used = 0;
    enum pn_cli_exit code;

    if (argc < 2)
        return no_such_command(0, NULL);
    cli.command = find_command(argc - 1, argv + 1, &used);
    if (!cli.command)
        return no_such_command(argc - 1, argv + 1);
    code = read_arguments(&cli, argc - 1 - used, argv + 1 + used);
    if (code != PN_CLI_DONE)
        return code;
    if (pn_cli_flag(&cli, "help")) {
        print_command_help(cli.command);
        return PN_CLI_DONE;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return pn_cli_fail(PN_CLI_UNREACHABLE, "libcurl cannot be started");
    code = cli.command->run(&cli);
    pn_cli_close(&cli);
    curl_global_cleanup();
    if (fflush(stdout) != 0 && code == PN_CLI_DONE)
        code = pn_cli_fail(PN_CLI_REFUSED, "standard output cannot be written");
    return code;
}
