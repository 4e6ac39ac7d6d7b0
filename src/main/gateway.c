/* SPDX-License-Identifier: Apache-2.0
 *
 * postern-gateway --data DIR [--threads N] [--dns-servers LIST] [--x-forwarded MODE]
 * [--forwarded on|off] [--tls-records own|openssl] [--link-local-backends deny|allow]: faces the
 * network. Started by `postern serve`; exits 0 after a drain, 1 when it cannot serve, 2 on a wrong
 * argument. Links no key parsing, no store.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/trace.h"
#include "ipc/broker.h"
#include "sandbox/sandbox.h"

#define THREADS_MAX 256
#define PATHS_MAX   4096

static bool read_options(int argc, char **argv, struct pn_gateway_options *options)
{
    static const struct option known[] = {{"data", required_argument, NULL, 'd'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"dns-servers", required_argument, NULL, 'n'},
                                          {"x-forwarded", required_argument, NULL, 'x'},
                                          {"forwarded", required_argument, NULL, 'f'},
                                          {"tls-records", required_argument, NULL, 'r'},
                                          {"link-local-backends", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    bool is_fine = true;
    int option;

    for (option = getopt_long(argc, argv, "", known, NULL); option != -1 && is_fine;
         option = getopt_long(argc, argv, "", known, NULL)) {
        uint64_t number = 0;

        if (option == 'd') {
            options->data_dir = optarg;
        } else if (option == 'n') {
            options->dns_servers = optarg;
        } else if (option == 'x') {
            is_fine = pn_forwarding_mode_parse(pn_slice_str(optarg), &options->forwarding.mode);
        } else if (option == 'f') {
            options->forwarding.writes_forwarded = strcmp(optarg, "on") == 0;
            is_fine = options->forwarding.writes_forwarded || strcmp(optarg, "off") == 0;
        } else if (option == 'r') {
            options->use_openssl_records = strcmp(optarg, "openssl") == 0;
            is_fine = options->use_openssl_records || strcmp(optarg, "own") == 0;
        } else if (option == 'l') {
            options->allows_guarded = strcmp(optarg, "allow") == 0;
            is_fine = options->allows_guarded || strcmp(optarg, "deny") == 0;
        } else if (option == 't') {
            is_fine = pn_slice_to_u64(pn_slice_str(optarg), THREADS_MAX, &number);
            options->threads = (unsigned)number;
        } else {
            is_fine = false;
        }
    }
    return is_fine && options->data_dir && optind == argc;
}

/** It writes its feed log and nothing else. */
static enum pn_rc close_sandbox(const char *data_dir, struct pn_error *err)
{
    char log_dir[PATHS_MAX];
    struct pn_sandbox_path paths[] = {{log_dir, true, true}};
    int len = snprintf(log_dir, sizeof(log_dir), "%s/gateway", data_dir);

    if (len < 0 || (size_t)len >= sizeof(log_dir))
        return pn_error_set(err, PN_LIMIT, "path_too_long", "the data folder's path is too long");
    return pn_sandbox_enter(PN_SANDBOX_GATEWAY, paths, 1, err);
}

int main(int argc, char **argv)
{
    struct pn_gateway_options options = {0};
    struct pn_gateway *gateway = NULL;
    struct pn_broker *broker = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    pn_log_setup("gateway", PN_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr, "usage: postern-gateway --data DIR [--threads N] [--dns-servers LIST] "
                        "[--x-forwarded append|replace|off] [--forwarded on|off] "
                        "[--tls-records own|openssl] "
                        "[--link-local-backends deny|allow]\n");
        return 2;
    }
    pn_trace_setup();
    rc = pn_limits_import(&err);
    if (rc == PN_OK)
        rc = pn_sandbox_harden(&err);
    if (rc == PN_OK)
        rc = pn_broker_create(&broker, &err);
    if (rc == PN_OK)
        rc = pn_gateway_create(broker, &options, &gateway, &err);
    if (rc == PN_OK)
        rc = close_sandbox(options.data_dir, &err);
    if (rc == PN_OK)
        rc = pn_gateway_run(gateway, &err);
    if (rc != PN_OK)
        pn_log_error(PN_LOG_ERROR, "gateway_failed", &err);
    pn_gateway_destroy(gateway);
    pn_broker_destroy(broker);
    return rc == PN_OK ? 0 : 1;
}
