/* SPDX-License-Identifier: Apache-2.0
 *
 * State of a running `postern demo`, and its part that talks to the REST API.
 */
#pragma once

#include "cli/demo.h"
#include "cli/internal.h"

struct pn_demo {
    char *data_dir, *ready_file, *demo_dir;
    pid_t service, backend;
    char backend_url[64];
    struct pn_demo_identity ca, server, uploaded, vaulted;
    char subscription_key[256];
    bool (*stopped)(struct pn_demo *demo); /* whether the user asked for the end */
};

/** Certificates, vault, backend, APIs, policies, subscription: all by REST. */
enum pn_cli_exit pn_demo_set_up(struct pn_cli *cli, struct pn_demo *demo) PN_MUST_USE;
/** Calls both APIs, compares what the backend saw, prints it. */
enum pn_cli_exit pn_demo_call_all(struct pn_cli *cli, struct pn_demo *demo) PN_MUST_USE;
