/* SPDX-License-Identifier: Apache-2.0
 *
 * Child processes of the demonstration.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/demo.h"

char *pn_demo_self(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path);

    return len > 0 && (size_t)len < sizeof path ? pn_slice_dup(pn_slice(path, (size_t)len)) : NULL;
}

char *pn_demo_sibling(const char *name)
{
    char *self = pn_demo_self();
    char *slash = self ? strrchr(self, '/') : NULL;
    char *path = NULL;

    if (slash) {
        *slash = '\0';
        if (asprintf(&path, "%s/%s", self, name) < 0)
            path = NULL;
    }
    free(self);
    return path;
}

/* Between fork and exec: only what signal handlers may call. */
static void become(char *const *argv, bool is_quiet, pid_t parent)
{
    sigset_t none;
    int nowhere;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it ended before the line above */
        _exit(1);
    if (is_quiet) {
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0)
            (void)dup2(nowhere, STDOUT_FILENO);
    }
    execv(argv[0], argv);
    _exit(127);
}

pid_t pn_demo_start(char *const *argv, bool is_quiet, struct pn_error *err)
{
    pid_t parent = getpid();
    pid_t pid;

    if (access(argv[0], X_OK) != 0) {
        pn_error_from_errno(err, errno, "%s cannot be started", argv[0]);
        return -1;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        become(argv, is_quiet, parent);
    if (pid < 0)
        pn_error_from_errno(err, errno, "%s cannot be started", argv[0]);
    return pid;
}

bool pn_demo_is_running(pid_t pid, int *status)
{
    pid_t got;

    do
        got = waitpid(pid, status, WNOHANG);
    while (got < 0 && errno == EINTR);
    return got == 0;
}

void pn_demo_sleep_ms(unsigned ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&wait, NULL);
}

void pn_demo_stop(pid_t pid, unsigned patience_ms)
{
    uint64_t end_ms = pn_clock_monotonic_ms() + patience_ms;
    int status;

    if (pid <= 0 || !pn_demo_is_running(pid, &status))
        return;
    (void)kill(pid, SIGTERM);
    while (pn_clock_monotonic_ms() < end_ms) {
        if (!pn_demo_is_running(pid, &status))
            return;
        pn_demo_sleep_ms(20);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
}

static bool can_bind(int family, const struct sockaddr *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    bool is_free;

    if (fd < 0)
        return true; /* no such IP version here */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    is_free = bind(fd, address, len) == 0 || errno != EADDRINUSE;
    close(fd);
    return is_free;
}

bool pn_demo_port_is_free(int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};

    return can_bind(AF_INET, (const struct sockaddr *)&v4, sizeof v4) &&
           can_bind(AF_INET6, (const struct sockaddr *)&v6, sizeof v6);
}
