/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting children. See child.h.
 *
 * The supervisor has one thread, so that what runs between fork and exec may be ordinary code; it
 * is kept to system calls all the same. Descriptors are first moved up out of the way, then to
 * their places, and everything above is closed.
 */
#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "ipc/protocol.h"

#define SCRATCH_FD      200 /* children have fewer descriptors than this at birth */
#define PUSH_TIMEOUT_MS 100
#define EXIT_NO_EXEC    126

struct birth {
    const char *path;
    char *const *args;
    int executable;
    const int *fds; /* become 3, 4, 5, … */
    size_t fd_count;
    bool knows_trace;
};

/* Returns where the executable is now. */
static int move_descriptors(const struct birth *birth)
{
    int scratch[PN_CHILD_FDS_MAX + 2];
    int executable = -1;

    if (birth->executable > 0)
        executable = fcntl(birth->executable, F_DUPFD_CLOEXEC, SCRATCH_FD);
    for (size_t i = 0; i < birth->fd_count; i++) {
        scratch[i] = fcntl(birth->fds[i], F_DUPFD_CLOEXEC, SCRATCH_FD);
        if (scratch[i] < 0)
            _exit(EXIT_NO_EXEC);
    }
    for (size_t i = 0; i < birth->fd_count; i++) {
        if (dup2(scratch[i], PN_BROKER_ASK_FD + (int)i) < 0)
            _exit(EXIT_NO_EXEC);
    }
    if (executable >= 0 && dup3(executable, PN_BROKER_ASK_FD + (int)birth->fd_count, O_CLOEXEC) < 0)
        _exit(EXIT_NO_EXEC);
    if (executable >= 0)
        executable = PN_BROKER_ASK_FD + (int)birth->fd_count;
    close_range((unsigned)(PN_BROKER_ASK_FD + (int)birth->fd_count + (executable >= 0)), ~0u, 0);
    return executable;
}

/* By its path, as long as that is the same file: then the process has its name in lists. */
static void execute(const struct birth *birth, int executable)
{
    struct stat held, named;

    if (executable < 0 || (fstat(executable, &held) == 0 && stat(birth->path, &named) == 0 &&
                           held.st_dev == named.st_dev && held.st_ino == named.st_ino &&
                           strncmp(birth->path, "/proc/", 6) != 0))
        execv(birth->path, birth->args);
    else
        execveat(executable, "", birth->args, environ, AT_EMPTY_PATH);
}

static void reset_signals(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD, SIGPIPE};
    sigset_t none;

    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        signal(handled[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void be_born(const struct birth *birth, pid_t parent)
{
    /* Ctrl-C in a terminal goes to the foreground group: only the supervisor shall see it, because
     * children are stopped in order. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_NO_EXEC);
    reset_signals();
    if (!birth->knows_trace)
        unsetenv("PN_TRACE_SECRET");
    execute(birth, move_descriptors(birth));
    _exit(EXIT_NO_EXEC);
}

static enum pn_rc launch(const struct birth *birth, pid_t *pid, struct pn_error *err)
{
    pid_t parent = getpid();
    pid_t made;

    if (birth->executable <= 0 && access(birth->path, X_OK) != 0)
        return pn_error_from_errno(err, errno, "cannot start %s", birth->path);
    made = fork();
    if (made < 0)
        return pn_error_from_errno(err, errno, "cannot start %s", birth->path);
    if (made == 0)
        be_born(birth, parent);
    *pid = made;
    return PN_OK;
}

static enum pn_rc make_pair(int pair[2], struct pn_error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return pn_error_from_errno(err, errno, "cannot make a socket pair");
    return PN_OK;
}

static int set_or_unset(const char *name, const char *value)
{
    return value ? setenv(name, value, 1) : unsetenv(name);
}

/* The environment of the next child: what is not its own is taken out. */
static enum pn_rc set_environment(const struct pn_child_spec *spec, struct pn_error *err)
{
    struct pn_buf listen, proxies;
    enum pn_rc rc = PN_OK;
    const char *text;

    pn_buf_init(&listen, 4096);
    pn_buf_init(&proxies, 65536);
    for (size_t i = 0; i < spec->fd_count && rc == PN_OK; i++)
        rc = pn_buf_printf(&listen, "%s%s=%d", i > 0 ? "," : "", spec->fds[i].name,
                           PN_LISTEN_FIRST_FD + (int)i);
    for (size_t i = 0; i < spec->fd_count && rc == PN_OK; i++) {
        if (spec->fds[i].proxies)
            rc = pn_buf_printf(&proxies, "%s%d=%s", proxies.len > 0 ? "," : "",
                               PN_LISTEN_FIRST_FD + (int)i, spec->fds[i].proxies);
    }
    text = rc == PN_OK ? pn_buf_str(&listen) : NULL;
    if (!text || setenv(PN_LISTEN_ENV, text, 1) != 0 ||
        setenv(PN_LOG_LEVEL_ENV, spec->log_level, 1) != 0 ||
        set_or_unset(PN_LISTEN_PROXY_ENV, proxies.len > 0 ? pn_buf_str(&proxies) : NULL) != 0 ||
        set_or_unset("PN_ENDPOINTS", spec->endpoints) != 0 ||
        set_or_unset("PN_EVENT_WEBHOOKS", spec->webhooks) != 0 ||
        set_or_unset("PN_IDENTITY", spec->identity) != 0 ||
        set_or_unset(PN_LIMITS_ENV, spec->limits) != 0)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    pn_buf_fini(&listen);
    pn_buf_fini(&proxies);
    return rc;
}

static char *const *as_argv(const char *const *args)
{
    return (char *const *)(uintptr_t)args; /* execv promises not to change them */
}

enum pn_rc pn_child_start(struct pn_child *child, uint64_t now_ms, struct pn_error *err)
{
    int fds[PN_CHILD_FDS_MAX + 2];
    int ask[2] = {-1, -1};
    int push[2] = {-1, -1};
    struct birth birth = {child->spec.path,         as_argv(child->spec.args),
                          child->spec.executable,   fds,
                          child->spec.fd_count + 2, child->spec.knows_trace};
    enum pn_rc rc = make_pair(ask, err);

    if (rc == PN_OK)
        rc = make_pair(push, err);
    /* Nothing comes back on it. A captured child could leave descriptors in flight there until the
     * system lets this user pass no more. */
    if (rc == PN_OK)
        shutdown(push[0], SHUT_RD);
    if (rc == PN_OK)
        rc = set_environment(&child->spec, err);
    fds[0] = ask[1];
    fds[1] = push[1];
    for (size_t i = 0; i < child->spec.fd_count; i++)
        fds[i + 2] = child->spec.fds[i].fd;
    if (rc == PN_OK)
        rc = launch(&birth, &child->pid, err);
    for (int i = 0; i < 2; i++) {
        int *pair = i == 0 ? ask : push;

        if (pair[1] >= 0)
            close(pair[1]);
        if (rc != PN_OK && pair[0] >= 0)
            close(pair[0]);
    }
    if (rc != PN_OK)
        return rc;
    pn_channel_init(&child->ask, ask[0]);
    pn_channel_init(&child->push, push[0]);
    child->is_ready = false;
    child->owes_ready = false;
    child->started_ms = now_ms;
    child->restart_at_ms = 0;
    pn_child_flush(child);
    return PN_OK;
}

void pn_child_close(struct pn_child *child)
{
    pn_channel_fini(&child->ask);
    pn_channel_fini(&child->push);
    child->is_ready = false;
}

static enum pn_rc send_incoming(struct pn_child *child, const char *service, enum pn_role asker,
                                int fd)
{
    struct pn_buf frame;
    size_t start;
    enum pn_rc rc;

    pn_buf_init(&frame, 256);
    rc = pn_frame_begin(&frame, PN_BROKER_INCOMING, 0, &start);
    if (rc == PN_OK)
        rc = pn_frame_str(&frame, service);
    if (rc == PN_OK)
        rc = pn_frame_u8(&frame, (uint8_t)asker);
    if (rc == PN_OK)
        rc = pn_frame_end(&frame, start);
    if (rc == PN_OK)
        rc = pn_channel_send(&child->push, pn_buf_slice(&frame), fd, PUSH_TIMEOUT_MS);
    pn_buf_fini(&frame);
    return rc;
}

/* Whether a frame goes into the socket at once. The supervisor waits for nobody: a socket that is
 * writable has room for a small frame (unix(7): at most a quarter of its buffer is used). */
static bool is_taking(const struct pn_child *child)
{
    struct pollfd push = {.fd = child->push.fd, .events = POLLOUT};

    return child->pid > 0 && push.fd >= 0 && poll(&push, 1, 0) == 1 && push.revents == POLLOUT;
}

void pn_child_flush(struct pn_child *child)
{
    while (child->pending_count > 0 && is_taking(child)) {
        struct pn_pending *first = &child->pending[0];

        if (send_incoming(child, first->service, first->asker, first->fd) != PN_OK)
            return;
        close(first->fd);
        child->pending_count--;
        memmove(first, first + 1, child->pending_count * sizeof(*first));
    }
}

/* Control always finds a place. */
static bool has_place(const struct pn_child *child, enum pn_role asker)
{
    size_t of_gateway = 0;

    for (size_t i = 0; i < child->pending_count; i++)
        of_gateway += child->pending[i].asker == PN_ROLE_GATEWAY;
    return child->pending_count < PN_CHILD_PENDING_MAX &&
           (asker != PN_ROLE_GATEWAY || of_gateway < PN_CHILD_PENDING_GATEWAY_MAX);
}

enum pn_rc pn_child_push(struct pn_child *child, const char *service, enum pn_role asker, int fd)
{
    struct pn_pending *one;

    pn_child_flush(child);
    if (child->pending_count == 0 && is_taking(child) &&
        send_incoming(child, service, asker, fd) == PN_OK) {
        close(fd);
        return PN_OK;
    }
    if (!has_place(child, asker)) {
        close(fd);
        return PN_LIMIT;
    }
    one = &child->pending[child->pending_count++];
    snprintf(one->service, sizeof(one->service), "%s", service);
    one->asker = asker;
    one->fd = fd;
    return PN_OK;
}

void pn_child_log_level(struct pn_child *child, const char *level)
{
    struct pn_buf frame;
    size_t start;
    enum pn_rc rc;

    child->spec.log_level = level;
    if (!is_taking(child))
        return;
    pn_buf_init(&frame, 64);
    rc = pn_frame_begin(&frame, PN_BROKER_LOG_LEVEL, 0, &start);
    if (rc == PN_OK)
        rc = pn_frame_str(&frame, level);
    if (rc == PN_OK)
        rc = pn_frame_end(&frame, start);
    if (rc == PN_OK)
        (void)!pn_channel_send(&child->push, pn_buf_slice(&frame), -1, PUSH_TIMEOUT_MS);
    pn_buf_fini(&frame);
}

enum pn_rc pn_child_start_import(const char *path, int executable, const char *log_level,
                                 pid_t *pid, int *fd, struct pn_error *err)
{
    const char *args[] = {"postern-import", NULL};
    const struct pn_child_spec spec = {.log_level = log_level};
    int pair[2];
    struct birth birth = {path, as_argv(args), executable, &pair[1], 1, false};
    enum pn_rc rc = make_pair(pair, err);

    if (rc != PN_OK)
        return rc;
    rc = set_environment(&spec, err);
    if (rc == PN_OK)
        rc = launch(&birth, pid, err);
    close(pair[1]);
    if (rc == PN_OK)
        *fd = pair[0];
    else
        close(pair[0]);
    return rc;
}
