/* SPDX-License-Identifier: Apache-2.0
 *
 * postern-control --data DIR [--workers N] [--rotation-interval SECONDS] [--expiry-days DAYS,…]
 * [--compatibility postern|azure-strict] [--linked-access-check on|off]: the management plane.
 * Started by `postern serve`; exits 0 after a drain, 1 when it cannot serve, 2 on a wrong argument.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "control/control.h"
#include "ipc/broker.h"
#include "sandbox/sandbox.h"

#define WORKERS_MAX    256
#define INTERVAL_S_MAX 86400

static bool read_number(const char *text, uint64_t max, unsigned *value)
{
    uint64_t number;

    if (!pn_slice_to_u64(pn_slice_str(text), max, &number))
        return false;
    *value = (unsigned)number;
    return true;
}

static bool read_word(const char *text, const char *yes, const char *no, bool *value)
{
    *value = strcmp(text, yes) == 0;
    return *value || strcmp(text, no) == 0;
}

static bool read_options(int argc, char **argv, struct pn_control_options *options)
{
    static const struct option known[] = {{"data", required_argument, NULL, 'd'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"rotation-interval", required_argument, NULL, 'r'},
                                          {"expiry-days", required_argument, NULL, 'e'},
                                          {"compatibility", required_argument, NULL, 'c'},
                                          {"linked-access-check", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    bool is_fine = true;
    int option;

    for (option = getopt_long(argc, argv, "", known, NULL); option != -1 && is_fine;
         option = getopt_long(argc, argv, "", known, NULL)) {
        if (option == 'd')
            options->data_dir = optarg;
        else if (option == 'w')
            is_fine = read_number(optarg, WORKERS_MAX, &options->workers);
        else if (option == 'r')
            is_fine = read_number(optarg, INTERVAL_S_MAX, &options->rotation_interval_s);
        else if (option == 'e')
            options->expiry_days = optarg;
        else if (option == 'c')
            is_fine = read_word(optarg, "azure-strict", "postern", &options->is_strict);
        else if (option == 'l')
            is_fine = read_word(optarg, "on", "off", &options->checks_linked_access);
        else
            is_fine = false;
    }
    return is_fine && options->data_dir && optind == argc;
}

int main(int argc, char **argv)
{
    struct pn_control_options options = {0};
    struct pn_broker *broker = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    pn_log_setup("control", PN_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr,
                "usage: postern-control --data DIR [--workers N] [--rotation-interval SECONDS] "
                "[--expiry-days DAYS,...] [--compatibility postern|azure-strict] "
                "[--linked-access-check on|off]\n");
        return 2;
    }
    rc = pn_limits_import(&err);
    if (rc == PN_OK)
        rc = pn_sandbox_harden(&err);
    if (rc == PN_OK)
        rc = pn_broker_create(&broker, &err);
    if (rc == PN_OK)
        rc = pn_control_run(broker, &options, &err);
    if (rc != PN_OK)
        pn_log_error(PN_LOG_ERROR, "control_failed", &err);
    pn_broker_destroy(broker);
    return rc == PN_OK ? 0 : 1;
}
