/* SPDX-License-Identifier: Apache-2.0
 *
 * A person's access token from another identity provider, for postern login.
 */
#pragma once

#include "cli/cli.h"

/** By --issuer, --client-id, --scope, --resource, --device and --no-browser of the command line.
 *  *token is the caller's, to be wiped. What failed was told: PN_CLI_USAGE, PN_CLI_REFUSED (the
 *  issuer, or nobody signed in), PN_CLI_UNREACHABLE. */
enum pn_cli_exit pn_cli_issuer_token(struct pn_cli *cli, char **token);
