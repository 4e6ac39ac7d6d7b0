/* SPDX-License-Identifier: Apache-2.0
 *
 * postern-keyholder --data DIR: the only process that holds private keys. Started by the
 * supervisor.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/limits.h"
#include "base/log.h"
#include "ipc/broker.h"
#include "keyholder/server.h"
#include "sandbox/sandbox.h"

#define SECURE_HEAP_BYTES (4u * 1024 * 1024) /* PN_KEYS_MAX keys of RSA 4096 */

/* Whether this process may lock as much as it wants, now and later. Only then MCL_FUTURE: above the
 * limit every later allocation would fail. */
static bool may_lock_all(void)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit limit = {0};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

    if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0)
        return true;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
        return true;
    return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & 1u << CAP_IPC_LOCK) != 0;
}

/* Everything in this process is locked where that is allowed; where it is not, at least OpenSSL's
 * secure heap, which has the private numbers of all keys. */
static void lock_memory(void)
{
    const char *remedy = "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=infinity)";
    bool is_locked = may_lock_all() && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;

    if (CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, 32) != 1)
        pn_log(PN_LOG_WARN, "secure_heap_not_locked", "bytes", PN_I(SECURE_HEAP_BYTES), "remedy",
               PN_S(remedy), NULL);
    else if (!is_locked)
        pn_log(PN_LOG_INFO, "memory_not_locked", "locked", PN_S("secure heap only"), "remedy",
               PN_S(remedy), NULL);
}

static enum pn_rc connect_by_broker(void *ctx, const char *service, int *fd, struct pn_error *err)
{
    return pn_broker_connect(ctx, service, fd, err);
}

static enum pn_rc accept_all(struct pn_broker *broker, struct pn_keyholder_server *server)
{
    for (;;) {
        struct pn_error err = {0};
        char service[32];
        enum pn_role asker;
        int fd;
        enum pn_rc rc = pn_broker_accept(broker, service, &asker, &fd);

        if (rc != PN_OK)
            return rc;
        if (pn_keyholder_server_take(server, fd, service, asker, &err) != PN_OK)
            pn_log_error(PN_LOG_WARN, "keyholder_connection_refused", &err);
    }
}

/* Until the supervisor is gone. */
static void serve(struct pn_broker *broker, struct pn_keyholder_server *server)
{
    enum pn_rc rc = PN_AGAIN;

    while (rc == PN_AGAIN) {
        struct pollfd incoming = {.fd = pn_broker_incoming_fd(broker), .events = POLLIN};

        if (poll(&incoming, 1, -1) < 0 && errno != EINTR)
            return;
        rc = accept_all(broker, server);
    }
}

static enum pn_rc run(const char *folder, const char *source, struct pn_error *err)
{
    struct pn_sandbox_path own = {.path = folder, .is_writable = true, .is_required = true};
    struct pn_keyholder_server *server = NULL;
    struct pn_broker *broker = NULL;
    struct pn_master master = {0};
    struct pn_keys *keys = NULL;
    enum pn_rc rc = pn_broker_create(&broker, err);

    if (rc != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "keyholder_failed", err);
        return rc;
    }
    lock_memory();
    rc = pn_master_open(folder, source, &master, err);
    if (rc == PN_OK)
        rc = pn_keys_open(folder, &master, &keys, err);
    if (rc == PN_OK)
        rc = pn_sandbox_enter(PN_SANDBOX_KEYHOLDER, &own, 1, err);
    if (rc == PN_OK)
        rc = pn_keyholder_server_create(&master, keys, connect_by_broker, broker, &server, err);
    if (rc == PN_OK && pn_broker_ready(broker, (struct pn_slice){0}) != PN_OK)
        rc = pn_error_set(err, PN_UNAVAILABLE, "supervisor_away", "the supervisor is away");
    if (rc == PN_OK) {
        pn_log(PN_LOG_INFO, "keyholder_ready", "keys", PN_I(pn_keys_count(keys)), NULL);
        serve(broker, server);
        /* Threads may still be signing: the process ends around them, there is nothing to save. */
        _exit(EXIT_SUCCESS);
    }
    pn_keyholder_server_destroy(server);
    pn_keys_close(keys);
    pn_master_fini(&master);
    /* Once its connection is gone the supervisor ends us: what is wrong is said before. */
    pn_log_error(PN_LOG_ERROR, "keyholder_failed", err);
    pn_broker_destroy(broker);
    return rc;
}

/* Started by `postern vault reseal` while nothing serves. "none": the key lies in the folder. */
static int reseal(const char *folder, const char *from, const char *to)
{
    struct pn_error err = {0};
    enum pn_rc rc = pn_sandbox_harden(&err);

    lock_memory();
    if (rc == PN_OK)
        rc = pn_master_reseal(folder, from, strcmp(to, "none") == 0 ? NULL : to, &err);
    if (rc == PN_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "postern: %s\n", err.message);
    return EXIT_FAILURE;
}

static bool read_options(int argc, char **argv, const char **data, const char **source,
                         const char **to)
{
    static const struct option known[] = {{"data", required_argument, NULL, 'd'},
                                          {"master-key", required_argument, NULL, 'm'},
                                          {"reseal", required_argument, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    bool is_fine = true;
    int option;

    for (option = getopt_long(argc, argv, "", known, NULL); option != -1 && is_fine;
         option = getopt_long(argc, argv, "", known, NULL)) {
        if (option == 'd')
            *data = optarg;
        else if (option == 'm')
            *source = optarg;
        else if (option == 'r')
            *to = optarg;
        else
            is_fine = false;
    }
    return is_fine && *data && optind == argc;
}

int main(int argc, char **argv)
{
    const char *data = NULL, *source = NULL, *to = NULL;
    struct pn_error err = {0};
    char folder[PATH_MAX];
    enum pn_rc rc;

    pn_log_setup("keyholder", PN_LOG_INFO);
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
    if (!read_options(argc, argv, &data, &source, &to) ||
        snprintf(folder, sizeof(folder), "%s/keyholder", data) >= (int)sizeof(folder)) {
        fputs("usage: postern-keyholder --data DIR [--master-key SOURCE] [--reseal SOURCE]\n"
              "(started by `postern serve` and `postern vault reseal`)\n",
              stderr);
        return 2;
    }
    if (to)
        return reseal(folder, source, to);
    rc = pn_limits_import(&err);
    if (rc == PN_OK)
        rc = pn_sandbox_harden(&err);
    if (rc != PN_OK)
        pn_log_error(PN_LOG_ERROR, "keyholder_failed", &err);
    else
        rc = run(folder, source, &err);
    return rc == PN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
