/* SPDX-License-Identifier: Apache-2.0
 *
 * The one command people type: `postern serve` is the supervisor, everything else a client of the
 * management REST API.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "supervisor/options.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade_command.h"

#define SETTINGS_MAX 64

/* The settings of serve, as the command line room describes options. */
static void describe_settings(struct pn_cli_option *options)
{
    for (size_t i = 0; i < SETTINGS_MAX && pn_settings[i].name; i++)
        options[i] = (struct pn_cli_option){pn_settings[i].name, pn_settings[i].argument,
                                            pn_settings[i].help};
}

static int run_client(int argc, char **argv)
{
    static const struct pn_cli_option upgrade_options[] = {
        {"data", "DIR", "where the service that is to be upgraded keeps everything"},
        {"config", "FILE", "its configuration file"},
        {NULL, NULL, NULL},
    };
    struct pn_cli_option settings[SETTINGS_MAX + 1] = {{NULL, NULL, NULL}};
    const struct pn_cli_command outside[] = {
        {"serve", NULL, 0, 0, settings, "Starts the service and keeps it running.",
         "postern serve --data ./data --gateway 0.0.0.0:8080 --gateway-tls 0.0.0.0:8443", NULL},
        {"upgrade", NULL, 0, 0, upgrade_options,
         "Hands over to the executables that are installed now, losing no request.",
         "postern upgrade --data /var/lib/postern", NULL},
        {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
    };

    describe_settings(settings);
    return pn_cli_main(argc, argv, outside);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "serve") == 0)
        return pn_supervisor_main(argc - 1, argv + 1);
    if (strcmp(command, "upgrade") == 0)
        return pn_upgrade_main(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0 || strcmp(command, "-V") == 0 ||
        strcmp(command, "version") == 0) {
        puts("postern " PN_VERSION);
        return PN_CLI_DONE;
    }
    return run_client(argc, argv);
}
