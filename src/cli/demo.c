/* SPDX-License-Identifier: Apache-2.0
 *
 * postern demo: the main job from an empty machine. Nothing here has a way of its own: the service
 * is `postern serve`, everything is set up through the REST API with a token, the calls go through
 * the gateway, and what is printed is what the backend answered.
 *
 *   1. start the service, wait for ready.json
 *   2. make a CA, a server certificate, two client certificates
 *   3. start the sample backend, which demands a client certificate of that CA
 *   4. upload one PFX; import the other into the vault and refer to it
 *   5. one backend, one API each, called through the gateway
 */
#include "cli/demo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/demo_setup.h"
#include "cli/internal.h"

#define READY_TIMEOUT_MS   60000
#define BACKEND_TIMEOUT_MS 10000
#define STOP_PATIENCE_MS   15000
#define ARGUMENTS_MAX      16

static const struct {
    const char *option, *any;
    int port;
} listeners[] = {
    {"gateway", "localhost:0", 8080},
    {"gateway-tls", "localhost:0", 8443},
    {"control", "localhost:0", 9443},
    {"vault", "localhost:0", 9444},
};

/* ---- the service */

static enum pn_cli_exit start_service(struct pn_cli *cli, struct pn_demo *demo)
{
    const char *argv[ARGUMENTS_MAX] = {NULL};
    const char *threads = pn_cli_value(cli, "threads");
    char *self = pn_demo_self();
    char names[4][32];
    struct pn_error err = {0};
    size_t n = 0;

    if (!self)
        return pn_cli_fail(PN_CLI_REFUSED, "the path of this executable is not known");
    argv[n++] = self;
    argv[n++] = "serve";
    argv[n++] = "--data";
    argv[n++] = demo->data_dir;
    for (size_t i = 0; i < sizeof listeners / sizeof *listeners; i++) {
        const char *given = pn_cli_value(cli, listeners[i].option);

        if (!given && pn_demo_port_is_free(listeners[i].port))
            continue;
        if (!given)
            printf("Port %d is taken: --%s uses any free port.\n", listeners[i].port,
                   listeners[i].option);
        snprintf(names[i], sizeof names[i], "--%s", listeners[i].option);
        argv[n++] = names[i];
        argv[n++] = given ? given : listeners[i].any;
    }
    argv[n++] = "--log-level";
    argv[n++] = "warn";
    if (threads) {
        argv[n++] = "--threads";
        argv[n++] = threads;
    }
    demo->service = pn_demo_start((char *const *)(uintptr_t)argv, true, &err);
    free(self);
    return demo->service > 0 ? PN_CLI_DONE : pn_cli_fail(PN_CLI_REFUSED, "%s", err.message);
}

static enum pn_cli_exit wait_for_service(struct pn_cli *cli, struct pn_demo *demo)
{
    uint64_t end_ms = pn_clock_monotonic_ms() + READY_TIMEOUT_MS;
    struct pn_error err = {0};
    int status = 0;

    while (pn_clock_monotonic_ms() < end_ms && !demo->stopped(demo)) {
        enum pn_rc rc = PN_NOT_FOUND;

        if (access(demo->ready_file, R_OK) == 0)
            rc = pn_cli_read_ready(cli, demo->data_dir, &err);
        if (rc == PN_OK)
            return PN_CLI_DONE;
        if (rc != PN_NOT_FOUND)
            return pn_cli_fail(PN_CLI_UNREACHABLE, "%s", err.message);
        if (!pn_demo_is_running(demo->service, &status)) {
            demo->service = -1;
            return pn_cli_fail(PN_CLI_UNREACHABLE,
                               "postern serve ended with status %d before it was ready; its "
                               "messages are above",
                               WIFEXITED(status) ? WEXITSTATUS(status) : 128);
        }
        pn_demo_sleep_ms(50);
    }
    return pn_cli_fail(PN_CLI_UNREACHABLE, "postern serve was not ready within %d seconds",
                       READY_TIMEOUT_MS / 1000);
}

/* A ready.json that is there already: of a service that runs, or left behind by a crash. */
static enum pn_cli_exit check_other_service(struct pn_cli *cli, struct pn_demo *demo)
{
    struct pn_error err = {0};
    const char *colon;
    int port = 0;

    if (access(demo->ready_file, F_OK) != 0)
        return PN_CLI_DONE;
    if (pn_cli_read_ready(cli, demo->data_dir, &err) == PN_OK && cli->session.control_url) {
        colon = strrchr(cli->session.control_url, ':');
        port = colon ? (int)strtol(colon + 1, NULL, 10) : 0;
    }
    pn_cli_close(cli);
    if (port > 0 && !pn_demo_port_is_free(port))
        return pn_cli_fail(PN_CLI_REFUSED,
                           "a service runs on %s already: stop it, or name another folder with "
                           "--data DIR",
                           demo->data_dir);
    (void)unlink(demo->ready_file);
    return PN_CLI_DONE;
}

/* ---- the backend */

static enum pn_cli_exit make_certificates(struct pn_demo *demo)
{
    struct pn_error err = {0};
    enum pn_rc rc = pn_demo_issue(&demo->ca, NULL, PN_DEMO_CA, "Postern Demo CA", false, &err);

    if (rc == PN_OK)
        rc = pn_demo_issue(&demo->server, &demo->ca, PN_DEMO_SERVER, "localhost", false, &err);
    if (rc == PN_OK)
        rc = pn_demo_issue(&demo->uploaded, &demo->ca, PN_DEMO_CLIENT, "demo-uploaded", true, &err);
    if (rc == PN_OK)
        rc = pn_demo_issue(&demo->vaulted, &demo->ca, PN_DEMO_CLIENT, "demo-vault", false, &err);
    if (rc == PN_OK)
        rc = pn_dir_make(demo->demo_dir, 0700, &err);
    if (rc == PN_OK)
        rc = pn_demo_write(&demo->ca, demo->demo_dir, "ca", false, &err);
    if (rc == PN_OK)
        rc = pn_demo_write(&demo->server, demo->demo_dir, "server", true, &err);
    return rc == PN_OK ? PN_CLI_DONE : pn_cli_fail(PN_CLI_REFUSED, "%s", err.message);
}

static bool read_port(const char *path, uint64_t *port)
{
    struct pn_buf text;
    bool is_good;

    pn_buf_init(&text, 64);
    is_good = access(path, R_OK) == 0 && pn_file_read(path, &text, NULL) == PN_OK &&
              pn_slice_to_u64(pn_slice_trim(pn_buf_slice(&text)), 65535, port);
    pn_buf_fini(&text);
    return is_good;
}

static enum pn_cli_exit start_backend(struct pn_demo *demo)
{
    uint64_t end_ms = pn_clock_monotonic_ms() + BACKEND_TIMEOUT_MS;
    struct pn_error err = {0};
    char *program = pn_demo_sibling("postern-sample-backend");
    char *cert = NULL;
    char *key = NULL;
    char *ca = NULL;
    char *port_file = NULL;
    uint64_t port = 0;
    int status;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (!program || asprintf(&cert, "%s/server.pem", demo->demo_dir) < 0 ||
        asprintf(&key, "%s/server.key", demo->demo_dir) < 0 ||
        asprintf(&ca, "%s/ca.pem", demo->demo_dir) < 0 ||
        asprintf(&port_file, "%s/port", demo->demo_dir) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    (void)unlink(port_file);
    demo->backend =
        pn_demo_start((char *[]){program, "--listen", "127.0.0.1:0", "--cert", cert, "--key", key,
                                 "--ca", ca, "--port-file", port_file, NULL},
                      true, &err);
    if (demo->backend < 0)
        code = pn_cli_fail(PN_CLI_REFUSED, "%s", err.message);
    while (code == PN_CLI_DONE && !read_port(port_file, &port)) {
        if (!pn_demo_is_running(demo->backend, &status) || pn_clock_monotonic_ms() > end_ms)
            code = pn_cli_fail(PN_CLI_REFUSED, "the sample backend does not start");
        pn_demo_sleep_ms(20);
    }
    (void)unlink(key); /* it has been read */
    snprintf(demo->backend_url, sizeof demo->backend_url, "https://localhost:%u", (unsigned)port);
    free(program);
    free(cert);
    free(key);
    free(ca);
    free(port_file);
    return code;
}

/* ---- signals */

static sigset_t stop_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

/* Blocked signals wait until somebody asks. */
static bool is_stopped(struct pn_demo *demo)
{
    sigset_t pending;

    (void)demo;
    sigemptyset(&pending);
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
            sigismember(&pending, SIGHUP) == 1);
}

/* The portal, if it is installed: a link for who sees this terminal. */
static void print_portal(struct pn_cli *cli)
{
    json_t *link = NULL;

    if (pn_cli_portal_link(cli, &link) == PN_CLI_DONE)
        printf("\nThe portal, for one sign-in within the hour:\n  %s\n", pn_json_str(link, "url"));
    json_decref(link);
}

static enum pn_cli_exit serve_until_stopped(struct pn_demo *demo)
{
    sigset_t set = stop_signals();
    struct timespec second = {.tv_sec = 1};
    int status;

    printf("\nServing. Ctrl-C stops it.\n");
    fflush(stdout);
    for (;;) {
        if (sigtimedwait(&set, NULL, &second) > 0)
            return PN_CLI_DONE;
        if (!pn_demo_is_running(demo->service, &status)) {
            demo->service = -1;
            return pn_cli_fail(PN_CLI_UNREACHABLE, "postern serve ended by itself");
        }
    }
}

static enum pn_cli_exit run_all(struct pn_cli *cli, struct pn_demo *demo)
{
    enum pn_cli_exit code = check_other_service(cli, demo);

    if (code == PN_CLI_DONE)
        code = start_service(cli, demo);
    if (code == PN_CLI_DONE)
        code = wait_for_service(cli, demo);
    if (code == PN_CLI_DONE) {
        printf("Postern serves from %s.\n", demo->data_dir);
        code = make_certificates(demo);
    }
    if (code == PN_CLI_DONE)
        code = start_backend(demo);
    if (code == PN_CLI_DONE) {
        printf("A sample backend at %s demands a client certificate of %s/ca.pem.\n\n",
               demo->backend_url, demo->demo_dir);
        code = pn_demo_set_up(cli, demo);
    }
    if (code == PN_CLI_DONE)
        code = pn_demo_call_all(cli, demo);
    if (code == PN_CLI_DONE && !pn_cli_flag(cli, "once"))
        print_portal(cli);
    if (code == PN_CLI_DONE && !pn_cli_flag(cli, "once"))
        code = serve_until_stopped(demo);
    return code;
}

static enum pn_cli_exit run_demo(struct pn_cli *cli)
{
    struct pn_demo demo = {.stopped = is_stopped};
    sigset_t set = stop_signals();
    sigset_t before;
    enum pn_cli_exit code;

    demo.data_dir = pn_cli_data_dir(cli);
    if (!demo.data_dir || asprintf(&demo.ready_file, "%s/ready.json", demo.data_dir) < 0 ||
        asprintf(&demo.demo_dir, "%s/demo", demo.data_dir) < 0)
        return pn_cli_fail(PN_CLI_REFUSED, "out of memory");
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    code = run_all(cli, &demo);
    pn_demo_stop(demo.service, STOP_PATIENCE_MS); /* first who calls, then who is called */
    pn_demo_stop(demo.backend, STOP_PATIENCE_MS);
    pn_demo_identity_fini(&demo.ca);
    pn_demo_identity_fini(&demo.server);
    pn_demo_identity_fini(&demo.uploaded);
    pn_demo_identity_fini(&demo.vaulted);
    free(demo.data_dir);
    free(demo.ready_file);
    free(demo.demo_dir);
    /* A second Ctrl-C that came meanwhile is not to end us with another status. */
    while (sigtimedwait(&set, NULL, &(struct timespec){0}) > 0)
        ;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

static const struct pn_cli_option options[] = {
    {"once", NULL, "end after the calls, exit code 0 when both were right"},
    {"gateway", "HOST:PORT", "as of postern serve (default localhost:8080)"},
    {"gateway-tls", "HOST:PORT", "as of postern serve (default localhost:8443)"},
    {"control", "HOST:PORT", "as of postern serve (default localhost:9443)"},
    {"vault", "HOST:PORT", "as of postern serve (default localhost:9444)"},
    {"threads", "N", "as of postern serve"},
    {NULL, NULL, NULL},
};

const struct pn_cli_command pn_cli_demo_commands[] = {
    {"demo", NULL, 0, 0, options,
     "Starts the service and a backend that demands a client certificate, and calls it both ways.",
     "postern demo --data /tmp/postern-demo", run_demo},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
