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

/* ---- command line */

/* "--name", "-x"; "-" is standard input. */
static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != '\0' && strcmp(argument, "--") != 0;
}

/* The first `count` arguments with a blank between them, as far as they are words; false: fewer, or
 * longer than the buffer. */
static bool join_words(int argc, char **argv, int count, char *out, size_t size)
{
    size_t len = 0;

    for (int n = 0; n < count; n++) {
        if (n == argc || argv[n][0] == '-' || len + strlen(argv[n]) + 2 > size)
            return false;
        len += (size_t)snprintf(out + len, size - len, "%s%s", n ? " " : "", argv[n]);
    }
    return true;
}

/* The command whose words are the first arguments; *used: how many. The longest one wins. */
static const struct pn_cli_command *find_command(int argc, char **argv, int *used)
{
    char words[128] = "";

    for (int n = PN_CLI_WORDS_MAX; n > 0; n--) {
        if (!join_words(argc, argv, n, words, sizeof words))
            continue;
        for (const struct pn_cli_command *at = pn_cli_next(NULL); at; at = pn_cli_next(at)) {
            if (strcmp(at->words, words) == 0) {
                *used = n;
                return at;
            }
        }
    }
    return NULL;
}

static const struct pn_cli_option *find_option(const struct pn_cli_option *options,
                                               const char *name, size_t len)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

static enum pn_cli_exit unknown_option(const struct pn_cli *cli, struct pn_slice name)
{
    char text[64];
    const char *near;

    snprintf(text, sizeof text, "%.*s", PN_FMT(name));
    near = pn_cli_nearest_option(cli->command, text);
    return pn_cli_usage(cli, "unknown option --%s%s%s%s", text, near ? "; did you mean --" : "",
                        near ? near : "", near ? "?" : "");
}

/* "-h" and "-o", as everybody's fingers know them, by their long names. */
static enum pn_cli_exit long_name(const struct pn_cli *cli, const char *argument, const char **name)
{
    if (argument[1] == '-')
        *name = argument + 2;
    else if (strcmp(argument, "-h") == 0)
        *name = "help";
    else if (strcmp(argument, "-o") == 0)
        *name = "output";
    else
        return pn_cli_usage(
            cli, "unknown option %s; what begins with - and is no option goes behind --", argument);
    return PN_CLI_DONE;
}

/* "--name value" or "--name=value"; *at moves behind what was used. */
static enum pn_cli_exit take_option(struct pn_cli *cli, int argc, char **argv, int *at)
{
    const char *name = "";
    enum pn_cli_exit code = long_name(cli, argv[*at], &name);
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct pn_cli_option *option = find_option(cli->command->options, name, len);
    const char *value = "";

    if (code != PN_CLI_DONE)
        return code;
    if (!option)
        option = find_option(pn_cli_group_options(cli->command), name, len);
    if (!option)
        option = find_option(pn_cli_common_options, name, len);
    if (!option && len == 8 && strncmp(name, "password", len) == 0)
        return pn_cli_usage(cli, "passwords are not taken from the command line, where every user "
                                 "of this machine can read them: use --password-file FILE, "
                                 "--password-file - or POSTERN_PFX_PASSWORD");
    if (!option)
        return unknown_option(cli, pn_slice(name, len));
    ++*at;
    if (option->argument) {
        if (equals)
            value = equals + 1;
        else if (*at < argc && strncmp(argv[*at], "--", 2) != 0)
            value = argv[(*at)++];
        else if (*at < argc)
            return pn_cli_usage(cli, "--%s needs %s; one that begins with -- is written --%s=%s",
                                option->name, option->argument, option->name, argv[*at]);
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
    return pn_cli_read_form(cli);
}

/* The longest beginning of the arguments with which commands begin ("vault secret"); NULL: none. */
static const char *find_group(int argc, char **argv, char *words, size_t size)
{
    for (int n = PN_CLI_WORDS_MAX; n > 0; n--)
        if (join_words(argc, argv, n, words, size) && pn_cli_has_command(words))
            return words;
    return NULL;
}

/* "no command …", and the one that was meant, perhaps: of that group, if there is one. */
static int tell_unknown(int argc, char **argv)
{
    char group[128];
    char words[128] = "";
    const char *within = find_group(argc, argv, group, sizeof group);
    const char *near = NULL;
    bool is_more = false;

    for (int n = PN_CLI_WORDS_MAX; n > 0 && !near; n--) {
        if (!join_words(argc, argv, n, words, sizeof words))
            continue;
        is_more = is_more || !within || strlen(words) > strlen(within);
        near = pn_cli_nearest_command(words, within);
    }
    if (within && (!near || !is_more)) {
        if (is_more)
            (void)pn_cli_fail(PN_CLI_USAGE, "no command \"%s %s\"", within,
                              argv[pn_cli_word_count(within)]);
        pn_cli_print_group_help(stderr, within);
        return PN_CLI_USAGE;
    }
    if (near)
        return pn_cli_fail(PN_CLI_USAGE, "no command \"%s\"; did you mean: postern %s", words,
                           near);
    return pn_cli_fail(PN_CLI_USAGE, "no command \"%s\"; see: postern --help", argv[0]);
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "help") == 0 || strcmp(argument, "--help") == 0 ||
           strcmp(argument, "-h") == 0;
}

/* "postern help certificate add", "postern certificate help", "postern certificate --help" */
static int give_help(int argc, char **argv)
{
    char words[128];
    int used = 0;
    const struct pn_cli_command *command = find_command(argc, argv, &used);
    const char *group = find_group(argc, argv, words, sizeof words);

    if (command) {
        pn_cli_print_command_help(command);
    } else if (strcmp(argv[0], "commands") == 0) {
        pn_cli_print_all_commands(stdout);
    } else if (group) {
        pn_cli_print_group_help(stdout, group);
    } else {
        return tell_unknown(argc, argv);
    }
    return PN_CLI_DONE;
}

static int no_such_command(const struct pn_cli *cli, int argc, char **argv)
{
    bool wants_help = false;

    for (int i = 0; i < argc; i++)
        wants_help = wants_help || is_help(argv[i]);
    if (argc == 0 || (argc == 1 && wants_help)) {
        pn_cli_print_general_help(argc == 0 ? stderr : stdout, cli->outside);
        return argc == 0 ? PN_CLI_USAGE : PN_CLI_DONE;
    }
    if (wants_help && is_help(argv[0]))
        return give_help(argc - 1, argv + 1);
    if (wants_help)
        return give_help(argc, argv);
    if (argv[0][0] == '-')
        return pn_cli_fail(PN_CLI_USAGE,
                           "\"%s\" is no command; options stand behind it; see: postern --help",
                           argv[0]);
    return tell_unknown(argc, argv);
}

int pn_cli_main(int argc, char **argv, const struct pn_cli_command *outside)
{
    struct pn_cli cli = {.program = argc > 0 ? argv[0] : "postern", .outside = outside};
    int used = 0;
    enum pn_cli_exit code;

    if (argc < 2)
        return no_such_command(&cli, 0, NULL);
    cli.command = find_command(argc - 1, argv + 1, &used);
    if (!cli.command)
        return no_such_command(&cli, argc - 1, argv + 1);
    code = read_arguments(&cli, argc - 1 - used, argv + 1 + used);
    if (code != PN_CLI_DONE)
        return code;
    if (pn_cli_flag(&cli, "help")) {
        pn_cli_print_command_help(cli.command);
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
