/* SPDX-License-Identifier: Apache-2.0
 *
 * postern vault reseal: the keyholder's executable does it, the only one that opens master keys.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/demo.h"
#include "cli/vault.h"

/* With the same standard error, so that the keyholder's words reach the user. */
static int run_keyholder(const char *path, const char *dir, const char *from, const char *to)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        if (from)
            execl(path, "postern-keyholder", "--data", dir, "--reseal", to, "--master-key", from,
                  (char *)NULL);
        else
            execl(path, "postern-keyholder", "--data", dir, "--reseal", to, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/* Whether something serves in the folder: it removes ready.json when it ends. */
static bool is_serving(const char *dir)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/ready.json", dir) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

static enum pn_cli_exit reseal(struct pn_cli *cli, const char *keyholder, const char *dir,
                               const char *to)
{
    int result;

    if (is_serving(dir))
        return pn_cli_fail(
            PN_CLI_REFUSED,
            "Postern serves in %s: stop it first (if it was killed, start and stop it "
            "once)",
            dir);
    result = run_keyholder(keyholder, dir, pn_cli_value(cli, "master-key"), to);
    if (result == 127)
        return pn_cli_fail(PN_CLI_REFUSED, "%s cannot be started", keyholder);
    if (result != 0)
        return PN_CLI_REFUSED; /* it told why */
    if (!cli->is_json)
        printf("the master key of %s is sealed anew; start with %s%s\n", dir,
               strcmp(to, "none") == 0 ? "no --master-key" : "--master-key ",
               strcmp(to, "none") == 0 ? "" : to);
    return PN_CLI_DONE;
}

enum pn_cli_exit vault_run_reseal(struct pn_cli *cli)
{
    const char *to = pn_cli_value(cli, "to");
    char *dir = pn_cli_data_dir(cli);
    char *keyholder = pn_demo_sibling("postern-keyholder");
    enum pn_cli_exit code;

    if (!to)
        code =
            pn_cli_usage(cli, "--to is needed: file:PATH, credential:NAME, passphrase-file:PATH, "
                              "passphrase-credential:NAME, or none");
    else if (!dir || !keyholder)
        code = pn_cli_fail(PN_CLI_USAGE, "out of memory");
    else
        code = reseal(cli, keyholder, dir, to);
    free(keyholder);
    free(dir);
    return code;
}
