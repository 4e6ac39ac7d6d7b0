/* SPDX-License-Identifier: Apache-2.0
 *
 * The one command people type: `postern serve` is the supervisor, everything else a client of the
 * management REST API.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade_command.h"

static void print_help(void)
{
    printf("Postern " PN_VERSION
           ": an API gateway that guards the way to backends with client certificates.\n\n"
           "usage: postern COMMAND [options]\n\n"
           "  serve          start the gateway, the management plane and the keyholder\n"
           "  upgrade        hand over to the executables that are installed now, losing no "
           "request\n%s\n"
           "`postern COMMAND --help` tells the options and gives an example.\n",
           pn_cli_summary());
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "serve") == 0)
        return pn_supervisor_main(argc - 1, argv + 1);
    if (strcmp(command, "upgrade") == 0)
        return pn_upgrade_main(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        print_help();
        return PN_CLI_DONE;
    }
    if (strcmp(command, "--version") == 0) {
        puts("postern " PN_VERSION);
        return PN_CLI_DONE;
    }
    if (!command[0]) {
        print_help();
        return PN_CLI_USAGE;
    }
    return pn_cli_main(argc, argv);
}
