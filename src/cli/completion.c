/* SPDX-License-Identifier: Apache-2.0
 *
 * postern completion SHELL, postern manual DIR: made from the tables of commands, so that they tell
 * what --help tells.
 *
 * Each script asks two questions of a command line: which command is it (its words), and is the
 * word before the cursor an option with an argument. Choices ("on|off") and files are offered.
 */
#include <string.h>

#include "cli/internal.h"

/* Over the commands here and those outside, in order; NULL at the end. */
static const struct pn_cli_command *next(const struct pn_cli *cli, const struct pn_cli_command *at)
{
    const struct pn_cli_command *outside = cli->outside;
    bool is_outside = false;

    for (const struct pn_cli_command *o = outside; o && o->words; o++)
        is_outside = is_outside || o == at;
    if (is_outside)
        return at[1].words ? at + 1 : NULL;
    at = pn_cli_next(at);
    return at || !outside || !outside->words ? at : outside;
}

/* ---- words */

/* The word of the command behind `words`, or NULL: it does not begin with them, or has no more. */
static const char *word_behind(const struct pn_cli_command *command, const char *words, size_t *len)
{
    const char *word = command->words + (*words ? strlen(words) + 1 : 0);

    if (!pn_cli_starts_with_words(command->words, words) || strlen(command->words) <= strlen(words))
        return NULL;
    *len = strcspn(word, " ");
    return word;
}

/* The first command behind `after` (NULL: of all) whose word behind `words` is another one. */
static const struct pn_cli_command *next_word(const struct pn_cli *cli, const char *words,
                                              const struct pn_cli_command *after, const char **word,
                                              size_t *len)
{
    size_t last_len = 0;
    const char *last = after ? word_behind(after, words, &last_len) : NULL;

    for (const struct pn_cli_command *at = next(cli, after); at; at = next(cli, at)) {
        *word = word_behind(at, words, len);
        if (*word && !(last && *len == last_len && strncmp(*word, last, last_len) == 0))
            return at;
    }
    return NULL;
}

static void print_next_words(const struct pn_cli *cli, const char *words)
{
    const char *word = NULL;
    size_t len = 0;
    bool is_first = true;

    for (const struct pn_cli_command *at = next_word(cli, words, NULL, &word, &len); at;
         at = next_word(cli, words, at, &word, &len)) {
        printf("%s%.*s", is_first ? "" : " ", (int)len, word);
        is_first = false;
    }
}

/* Calls `each` with every first part of a command's words ("certificate", "vault secret"). */
static void each_prefix(const struct pn_cli *cli,
                        void (*each)(const struct pn_cli *cli, const char *words))
{
    char last[128] = "";

    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at)) {
        for (const char *end = strchr(at->words, ' '); end; end = strchr(end + 1, ' ')) {
            char words[128];

            snprintf(words, sizeof words, "%.*s", (int)(end - at->words), at->words);
            if (pn_cli_starts_with_words(last, words))
                continue;
            snprintf(last, sizeof last, "%s", words);
            each(cli, words);
        }
    }
}

/* "json|table" but not "FILE" */
static bool is_choice(const struct pn_cli_option *option)
{
    return option->argument && strchr(option->argument, '|') && !strchr(option->argument, ' ');
}

static void print_choices(const struct pn_cli_option *option)
{
    for (const char *at = option->argument; *at; at++)
        putchar(*at == '|' ? ' ' : *at);
}

/* Within single quotes of a shell; zsh's _arguments reads brackets and colons besides. */
static void print_quoted(const char *text, bool is_zsh)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\'')
            fputs(is_zsh ? "'\\''" : "\\'", stdout);
        else if (is_zsh && strchr("[]:\\", *at))
            printf("\\%c", *at);
        else if (!is_zsh && *at == '\\')
            fputs("\\\\", stdout);
        else
            putchar(*at);
    }
}

/* ---- bash */

static void bash_known_prefix(const struct pn_cli *cli, const char *words)
{
    (void)cli;
    printf("            \"%s\" | \\\n", words);
}

static void bash_prefix(const struct pn_cli *cli, const char *words)
{
    printf("        \"%s\") words=\"", words);
    print_next_words(cli, words);
    puts("\" ;;");
}

static void bash_options(const struct pn_cli_option *options)
{
    for (; options && options->name; options++)
        printf(" --%s", options->name);
}

static void bash_command(const struct pn_cli_command *command)
{
    printf("        \"%s\") options=\"", command->words);
    bash_options(command->options);
    bash_options(pn_cli_group_options(command));
    if (command->run)
        bash_options(pn_cli_common_options);
    puts("\" ;;");
}

static void bash_choices(const char *words, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        if (!is_choice(options))
            continue;
        printf("        \"%s --%s\") words=\"", words, options->name);
        print_choices(options);
        puts("\" ;;");
    }
}

static void print_bash(const struct pn_cli *cli)
{
    const char *between = "";

    puts("# Completion of postern for bash; made by: postern completion bash\n"
         "_postern()\n{\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command=\"\" words=\"\" options=\"\" i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case \"${command:+$command }${COMP_WORDS[i]}\" in");
    each_prefix(cli, bash_known_prefix);
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at)) {
        printf("%s            \"%s\"", between, at->words);
        between = " | \\\n";
    }
    puts(")\n                command=${command:+$command }${COMP_WORDS[i]} ;;\n"
         "            *) break ;;\n"
         "        esac\n"
         "    done\n"
         "    case $command in");
    fputs("        \"\") words=\"", stdout);
    print_next_words(cli, "");
    puts(" help --help --version\" ;;");
    each_prefix(cli, bash_prefix);
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at))
        bash_command(at);
    puts("    esac\n"
         "    [[ $current == -* ]] && words=$options\n"
         "    [[ $before == --output ]] && words=\"json table tsv\"\n"
         "    case \"$command $before\" in");
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at))
        bash_choices(at->words, at->options);
    puts("    esac\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then\n"
         "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "    fi\n"
         "}\n"
         "complete -o filenames -F _postern postern");
}

/* ---- zsh: with the sentences of --help */

static void zsh_known(const struct pn_cli *cli, const char *words)
{
    (void)cli;
    printf("            '%s') ;;\n", words);
}

static void zsh_prefix(const struct pn_cli *cli, const char *words)
{
    printf("        '%s') compadd ", words);
    print_next_words(cli, words);
    puts(" ;;");
}

static void zsh_options(const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        printf(" \\\n                '*--%s[", options->name);
        print_quoted(options->help, true);
        putchar(']');
        if (is_choice(options)) {
            fputs(": :(", stdout);
            print_choices(options);
            putchar(')');
        } else if (options->argument) {
            printf(": :_files");
        }
        putchar('\'');
    }
}

static void zsh_command(const struct pn_cli_command *command)
{
    printf("        '%s')\n            shift $((i - 2)) words; (( CURRENT -= i - 2 ))\n"
           "            _arguments",
           command->words);
    zsh_options(command->options);
    zsh_options(pn_cli_group_options(command));
    if (command->run)
        zsh_options(pn_cli_common_options);
    puts(" '*: :_files' ;;");
}

static void print_zsh(const struct pn_cli *cli)
{
    puts("#compdef postern\n"
         "# Completion of postern for zsh; made by: postern completion zsh\n"
         "_postern()\n{\n"
         "    local command='' i=2\n"
         "    while (( i < CURRENT )); do\n"
         "        case \"${command:+$command }${words[i]}\" in");
    each_prefix(cli, zsh_known);
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at))
        zsh_known(cli, at->words);
    puts("            *) break ;;\n"
         "        esac\n"
         "        command=\"${command:+$command }${words[i]}\"\n"
         "        (( i++ ))\n"
         "    done\n"
         "    case $command in");
    fputs("        '') compadd ", stdout);
    print_next_words(cli, "");
    puts(" help ;;");
    each_prefix(cli, zsh_prefix);
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at))
        zsh_command(at);
    /* Sourced it registers itself, autoloaded it is called. */
    puts("    esac\n}\n"
         "if [[ $funcstack[1] == _postern ]]; then _postern \"$@\"; else compdef _postern postern; "
         "fi");
}

/* ---- fish: likewise */

static void fish_words(const struct pn_cli *cli, const char *words)
{
    const char *word = NULL;
    size_t len = 0;

    for (const struct pn_cli_command *at = next_word(cli, words, NULL, &word, &len); at;
         at = next_word(cli, words, at, &word, &len)) {
        printf("complete -c postern -f -n '__postern_is \"%s\" exactly' -a %.*s -d '", words,
               (int)len, word);
        print_quoted(word[len] ? "" : at->summary, false);
        puts("'");
    }
}

static void fish_options(const char *words, const struct pn_cli_option *options)
{
    for (; options && options->name; options++) {
        printf("complete -c postern -n '__postern_is \"%s\"' -l %s", words, options->name);
        if (is_choice(options)) {
            fputs(" -x -a '", stdout);
            print_choices(options);
            putchar('\'');
        } else if (options->argument) {
            fputs(" -r -F", stdout);
        }
        fputs(" -d '", stdout);
        print_quoted(options->help, false);
        puts("'");
    }
}

static void print_fish(const struct pn_cli *cli)
{
    puts("# Completion of postern for fish; made by: postern completion fish\n"
         "function __postern_is --description 'whether the words so far begin with these'\n"
         "    set -l typed (commandline -opc)\n"
         "    set -e typed[1]\n"
         "    set -l wanted (string split -n ' ' -- $argv[1])\n"
         "    test (count $typed) -ge (count $wanted); or return 1\n"
         "    test \"$argv[2]\" = exactly -a (count $typed) -ne (count $wanted); and return 1\n"
         "    test (count $wanted) -eq 0; and return 0\n"
         "    test (string join ' ' -- $typed[1..(count $wanted)]) = \"$argv[1]\"\n"
         "end");
    fish_words(cli, "");
    each_prefix(cli, fish_words);
    for (const struct pn_cli_command *at = next(cli, NULL); at; at = next(cli, at)) {
        fish_options(at->words, at->options);
        fish_options(at->words, pn_cli_group_options(at));
        if (at->run)
            fish_options(at->words, pn_cli_common_options);
    }
}

/* ---- commands */

static enum pn_cli_exit run_completion(struct pn_cli *cli)
{
    static const struct {
        const char *name;
        void (*print)(const struct pn_cli *cli);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(cli->positionals[0], shells[i].name) == 0) {
            shells[i].print(cli);
            return PN_CLI_DONE;
        }
    }
    return pn_cli_usage(cli, "\"%s\" is none of bash, zsh and fish", cli->positionals[0]);
}

static enum pn_cli_exit run_manual(struct pn_cli *cli)
{
    return pn_cli_write_manual(cli, cli->positionals[0]);
}

const struct pn_cli_command pn_cli_completion_commands[] = {
    {"completion", "bash|zsh|fish", 1, 1, NULL,
     "Prints a script that completes commands in a shell.", "source <(postern completion bash)",
     run_completion},
    {"manual", "DIR", 1, 1, NULL, "Writes a manual page for each group of commands.",
     "postern manual ~/.local/share/man/man1", run_manual},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
