/* SPDX-License-Identifier: Apache-2.0
 *
 * The `postern` commands: clients of the REST API, table-driven, one file per command group.
 *
 * They talk to POSTERN_URL with POSTERN_TOKEN, or to the local service that DIR/ready.json
 * describes, and know nothing of the store or of the other processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** Exit codes of every command. */
enum pn_cli_exit {
    PN_CLI_DONE = 0,
    PN_CLI_REFUSED = 1,     /* the server said no */
    PN_CLI_USAGE = 2,       /* the command line is wrong */
    PN_CLI_UNREACHABLE = 3, /* no answer from the server */
};

struct pn_cli;

struct pn_cli_option {
    const char *name;     /* without "--" */
    const char *argument; /* "FILE", or choices: "on|off"; NULL: a flag */
    const char *help;
};

/* Static text all of it. */
struct pn_cli_command {
    const char *words; /* "certificate add" */
    const char *positionals;
    size_t positional_min, positional_max;
    const struct pn_cli_option *options; /* ended by a NULL name; may be NULL */
    const char *summary;
    const char *example;
    enum pn_cli_exit (*run)(struct pn_cli *cli);
};

/** Runs `postern <command> …`; argv[0] is the program. Returns an exit code. Main thread only: the
 *  demo waits for signals. Writes results to standard output, messages to standard error.
 *  `outside`: commands that are run elsewhere (serve), for completion and manual pages; ended by
 * NULL words; may be NULL; borrowed. */
int pn_cli_main(int argc, char **argv, const struct pn_cli_command *outside);
/** Whether `name` is one of the commands here ("certificate", "api", …, "demo", "help"). */
bool pn_cli_has_command(const char *name);
