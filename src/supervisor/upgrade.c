/* SPDX-License-Identifier: Apache-2.0
 *
 * One version takes over from another, in the same process and with the same listening sockets, so
 * that no connection is refused or reset. docs/adr/0119-upgrade.md tells why it goes like this.
 *
 *   1. SIGUSR2: the executable at our path is asked (serve --check) whether it would serve so.
 *   2. We write down descriptors and children (hand_over.h) and become it by exec.
 *   3. It ends the former control, starts keyholder, gateway and control of its own; the former
 *      gateway goes on serving with the former keyholder.
 *   4. When all are ready, the former gateway is told to hand over (SIGUSR2): it accepts no more,
 *      finishes what it has, and ends; then the former keyholder ends. The new control may serve
 *      only once no new request reaches the former gateway: a change that it confirms is obeyed by
 *      the very next request.
 *
 * If anything fails before 4, the new gateway finishes what it has begun, for ten seconds at most;
 * the former executable, which was kept open, gets everything back by another exec, and starts its
 * control anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "ipc/protocol.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_internal.h"

#define CHECK_LIMIT_MS   10000
#define START_LIMIT_MS   60000 /* from the exec to the last READY */
#define CONTROL_STOP_MS  20000
#define RETURN_LIMIT_MS  10000 /* for what was begun, when the former version gets all back */
#define RETURN_POLL_MS   10
#define DRAIN_ADDED_MS   10000 /* to the gateway's own limit */
#define HOLD_ADDED_MS    100   /* for the signal to arrive */
#define ARGUMENTS_MAX    256
#define EXIT_NOT_STARTED 126

static void end_member(struct pn_child *child, int signal_number)
{
    if (child->pid > 0)
        kill(child->pid, signal_number);
}

/* ---- what people and `postern upgrade` see ---- */

static void report(struct pn_supervisor *self, const char *state, const char *message)
{
    char path[PATH_MAX + 16], now[PN_TIME_TEXT];
    struct pn_error err = {0};
    json_t *json;
    char *text;

    pn_log(strcmp(state, "failed") == 0 ? PN_LOG_ERROR : PN_LOG_INFO, "upgrade", "state",
           PN_S(state), "version", PN_S(PN_VERSION), "message", PN_S(message), NULL);
    pn_time_iso8601_ticks(pn_clock_unix_ms(), now);
    json = json_pack("{s:s, s:s, s:s, s:s}", "state", state, "version", PN_VERSION, "message",
                     message, "at", now);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    snprintf(path, sizeof(path), "%.4000s/upgrade.json", self->options.data_dir);
    if (text && pn_file_write_atomic(path, pn_slice_str(text), 0600, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "upgrade_not_reported", &err);
    free(text);
    json_decref(json);
    if (strcmp(state, "running") == 0)
        pn_notify_reloading();
    else if (strcmp(state, "refused") != 0)
        pn_notify("READY=1");
}

/* ---- the former one: from SIGUSR2 to exec ---- */

/* argv of an executable at `path` that is to serve as we do. */
static void make_argv(const struct pn_supervisor *self, const char *path, const char *last,
                      char *args[ARGUMENTS_MAX])
{
    size_t count = 0;

    args[count++] = (char *)(uintptr_t)path; /* exec promises not to change them */
    for (int i = 0; i < self->argc && count < ARGUMENTS_MAX - 2; i++)
        args[count++] = self->argv[i];
    if (last)
        args[count++] = (char *)(uintptr_t)last;
    args[count] = NULL;
}

static void run_check(const struct pn_supervisor *self)
{
    const char *path = self->paths[PN_EXECUTABLE_SUPERVISOR];
    char *args[ARGUMENTS_MAX];
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    close_range(3, ~0u, 0);
    make_argv(self, path, "--check", args);
    execv(path, args);
    _exit(EXIT_NOT_STARTED);
}

static const char *why_not_now(const struct pn_supervisor *self)
{
    if (self->is_stopping)
        return "this one is stopping";
    if (self->upgrade == PN_UPGRADE_DRAINING)
        return "the former version still finishes what it has: try again when it is gone, after "
               "the limit drain-timeout at the latest";
    if (self->upgrade != PN_UPGRADE_NONE)
        return "an upgrade is under way already";
    if (!pn_house_is_ready(&self->house))
        return "a part is just being started: try again in a moment";
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (self->house.members[i].pending_count > 0)
            return "connections between the parts are just being made: try again in a moment";
    }
    return self->argc + 3 > ARGUMENTS_MAX ? "there are too many arguments" : NULL;
}

void pn_upgrade_begin(struct pn_supervisor *self, uint64_t now_ms)
{
    const char *obstacle = why_not_now(self);
    pid_t pid;

    if (obstacle) {
        report(self, "refused", obstacle);
        if (self->upgrade == PN_UPGRADE_DRAINING) /* now it has as long as for a stop */
            end_member(&self->former.members[PN_MEMBER_GATEWAY], SIGTERM);
        return;
    }
    report(self, "running", "asking the new executable whether it would serve");
    pid = fork();
    if (pid == 0)
        run_check(self);
    if (pid < 0) {
        report(self, "failed", "no process could be started to check the new executable");
        return;
    }
    self->check_pid = pid;
    self->upgrade = PN_UPGRADE_CHECKING;
    self->upgrade_since_ms = now_ms;
}

static void describe(const struct pn_supervisor *self, struct pn_hand_over *state)
{
    *state = (struct pn_hand_over){.state_fd = -1, .lock_fd = self->lock_fd};
    memcpy(state->executables, self->executables, sizeof(state->executables));
    memcpy(state->path, self->paths[PN_EXECUTABLE_SUPERVISOR], sizeof(state->path));
    memcpy(state->listen, self->listen, sizeof(state->listen));
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        const struct pn_child *child = &self->house.members[i];

        state->members[i] = (struct pn_hand_over_member){child->pid, child->ask.fd, child->push.fd};
    }
    state->facts = self->house.facts;
    state->config = self->options.config_text;
}

/* Does not return when it succeeds. */
static void become_new(struct pn_supervisor *self)
{
    const char *path = self->paths[PN_EXECUTABLE_SUPERVISOR];
    struct pn_hand_over state;
    struct pn_error err = {0};
    char *args[ARGUMENTS_MAX];
    char where[32];

    describe(self, &state);
    if (pn_hand_over_write(&state, &state.state_fd, &err) == PN_OK) {
        snprintf(where, sizeof(where), "%d:%d", state.state_fd,
                 self->executables[PN_EXECUTABLE_SUPERVISOR]);
        make_argv(self, path, NULL, args);
        pn_hand_over_keep(&state, true);
        unsetenv(PN_HAND_OVER_FAILED_ENV);
        if (setenv(PN_HAND_OVER_ENV, where, 1) == 0)
            execv(path, args);
        pn_error_from_errno(&err, errno, "cannot execute %s", path);
        unsetenv(PN_HAND_OVER_ENV);
        pn_hand_over_keep(&state, false);
        close(state.state_fd);
    }
    self->upgrade = PN_UPGRADE_NONE;
    report(self, "failed", err.message);
}

static void on_checked(struct pn_supervisor *self, int wait_status)
{
    char message[PATH_MAX + 200];

    self->check_pid = 0;
    if (self->is_stopping)
        return;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        become_new(self);
        return;
    }
    self->upgrade = PN_UPGRADE_NONE;
    snprintf(message, sizeof(message),
             "%s serve --check ended with %s %d: nothing was changed; its output is in the log",
             self->paths[PN_EXECUTABLE_SUPERVISOR], WIFEXITED(wait_status) ? "status" : "signal",
             WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status));
    report(self, "failed", message);
}

/* ---- the new one: taking over ---- */

enum pn_rc pn_upgrade_take(struct pn_supervisor *self, struct pn_error *err)
{
    struct pn_slice text = pn_slice_str(getenv(PN_HAND_OVER_ENV));
    size_t colon = pn_slice_find(text, ':');
    uint64_t state_fd, executable;
    enum pn_rc rc;

    self->taken.state_fd = -1;
    if (!text.ptr || !pn_slice_to_u64(pn_slice_sub(text, 0, colon), INT_MAX, &state_fd) ||
        !pn_slice_to_u64(pn_slice_sub(text, colon + 1, text.len), INT_MAX, &executable))
        return PN_NOT_FOUND;
    rc = pn_hand_over_read((int)state_fd, &self->taken, err);
    self->taken.executables[PN_EXECUTABLE_SUPERVISOR] = (int)executable;
    if (rc == PN_OK)
        pn_hand_over_keep(&self->taken, false);
    return rc;
}

static bool is_alive(pid_t pid)
{
    int wait_status;

    return pid > 0 && waitpid(pid, &wait_status, WNOHANG) == 0;
}

static void adopt_child(struct pn_child *child, const struct pn_hand_over_member *member)
{
    pn_channel_init(&child->ask, -1);
    pn_channel_init(&child->push, -1);
    child->was_ready = true;
    if (!is_alive(member->pid)) /* its descriptors may be something else by now */
        return;
    pn_channel_init(&child->ask, member->ask);
    pn_channel_init(&child->push, member->push);
    child->pid = member->pid;
    child->is_ready = true;
    child->started_ms = pn_clock_monotonic_ms();
}

/* The new one could not: all is as before, but for control, which starts again. */
static void adopt_back(struct pn_supervisor *self, const char *cause)
{
    char message[PN_ERROR_MESSAGE_MAX + 100];

    for (size_t i = 0; i < PN_MEMBER_COUNT; i++)
        adopt_child(&self->house.members[i], &self->taken.members[i]);
    json_object_update(self->house.facts, self->taken.facts);
    unsetenv(PN_HAND_OVER_FAILED_ENV);
    pn_hand_over_fini(&self->taken);
    snprintf(message, sizeof(message), "the former version goes on: %.*s", PN_ERROR_MESSAGE_MAX,
             cause);
    report(self, "failed", message);
}

void pn_upgrade_adopt(struct pn_supervisor *self)
{
    const char *failed = getenv(PN_HAND_OVER_FAILED_ENV);

    unsetenv(PN_HAND_OVER_ENV);
    self->was_announced = true;
    if (failed) {
        adopt_back(self, failed);
        return;
    }
    self->former.log_level = self->house.log_level;
    self->former.facts = json_object();
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->former.members[i];

        child->spec.role = self->house.members[i].spec.role;
        child->spec.name = self->house.members[i].spec.name;
        adopt_child(child, &self->taken.members[i]);
    }
    if (self->former.members[PN_MEMBER_CONTROL].pid > 0)
        kill(self->former.members[PN_MEMBER_CONTROL].pid, SIGTERM);
    self->house.holds_control = true;
    self->upgrade = PN_UPGRADE_STARTING;
    self->upgrade_since_ms = pn_clock_monotonic_ms();
    pn_log(PN_LOG_INFO, "upgrade", "state", PN_S("taken over"), "version", PN_S(PN_VERSION), NULL);
}

/** Returns when it has ended: by itself within `limit_ms`, or killed. */
static void end_child(struct pn_child *child, uint64_t limit_ms)
{
    uint64_t end_ms = pn_clock_monotonic_ms() + limit_ms;

    if (child->pid <= 0)
        return;
    while (waitpid(child->pid, NULL, WNOHANG) == 0) {
        if (pn_clock_monotonic_ms() >= end_ms)
            kill(child->pid, SIGKILL);
        (void)poll(NULL, 0, RETURN_POLL_MS);
    }
    child->pid = 0;
}

/* The gateway may have accepted requests already, beside the former one: it finishes them, with its
 * keyholder. Not for long: until we are back there is no control. */
static void end_children(struct pn_supervisor *self)
{
    struct pn_child *members = self->house.members;

    end_child(&members[PN_MEMBER_CONTROL], 0);
    end_member(&members[PN_MEMBER_GATEWAY], SIGUSR2);
    end_child(&members[PN_MEMBER_GATEWAY], RETURN_LIMIT_MS);
    end_child(&members[PN_MEMBER_KEYHOLDER], 0);
}

void pn_upgrade_roll_back(struct pn_supervisor *self, const char *cause)
{
    int executable = self->taken.executables[PN_EXECUTABLE_SUPERVISOR];
    char where[32], path[PATH_MAX];
    char *args[ARGUMENTS_MAX];

    if (self->taken.state_fd < 0)
        return;
    pn_log(PN_LOG_ERROR, "upgrade", "state", PN_S("handing back"), "version", PN_S(PN_VERSION),
           "cause", PN_S(cause), NULL);
    end_children(self);
    snprintf(where, sizeof(where), "%d:%d", self->taken.state_fd, executable);
    snprintf(path, sizeof(path), "%s", self->taken.path);
    make_argv(self, path, NULL, args);
    pn_hand_over_keep(&self->taken, true);
    if (setenv(PN_HAND_OVER_ENV, where, 1) == 0 && setenv(PN_HAND_OVER_FAILED_ENV, cause, 1) == 0)
        execveat(executable, "", args, environ, AT_EMPTY_PATH);
    pn_log(PN_LOG_ERROR, "not_handed_back", "errno", PN_I(errno), NULL);
}

bool pn_upgrade_may_start(const struct pn_supervisor *self)
{
    return self->upgrade != PN_UPGRADE_STARTING || self->former.members[PN_MEMBER_CONTROL].pid == 0;
}

/* ---- the new one: the former children ---- */

static bool is_wanted(const struct pn_supervisor *self, int fd)
{
    for (size_t i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < self->listen[i].count; k++) {
            if (self->listen[i].sockets[k].fd == fd)
                return true;
        }
    }
    return false;
}

/* Addresses that were taken out of the configuration. */
static void close_unwanted(struct pn_supervisor *self)
{
    for (size_t i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < self->taken.listen[i].count; k++) {
            struct pn_listen_socket *socket = &self->taken.listen[i].sockets[k];

            if (is_wanted(self, socket->fd))
                socket->fd = -1;
        }
        pn_listen_close(&self->taken.listen[i], true);
    }
}

static void commit(struct pn_supervisor *self, uint64_t now_ms)
{
    if (self->former.members[PN_MEMBER_GATEWAY].pid > 0)
        kill(self->former.members[PN_MEMBER_GATEWAY].pid, SIGUSR2);
    close_unwanted(self);
    for (size_t i = 0; i < PN_HAND_OVER_FILES; i++)
        close(self->taken.executables[i]);
    pn_hand_over_fini(&self->taken);
    self->upgrade = PN_UPGRADE_DRAINING;
    self->upgrade_since_ms = now_ms;
    report(self, "done", "the new version serves; the former one finishes what it has");
}

static void tend_starting(struct pn_supervisor *self, uint64_t now_ms)
{
    uint64_t since_ms = now_ms - self->upgrade_since_ms;

    if (pn_house_is_ready(&self->house))
        commit(self, now_ms);
    else if (since_ms > START_LIMIT_MS)
        pn_upgrade_roll_back(self, "the new version was not ready in time");
    else if (since_ms > CONTROL_STOP_MS)
        end_member(&self->former.members[PN_MEMBER_CONTROL], SIGKILL);
}

static void tend_draining(struct pn_supervisor *self, uint64_t now_ms)
{
    struct pn_child *gateway = &self->former.members[PN_MEMBER_GATEWAY];
    struct pn_child *keyholder = &self->former.members[PN_MEMBER_KEYHOLDER];
    uint64_t since_ms = now_ms - self->upgrade_since_ms;

    if (self->house.holds_control &&
        (gateway->pid == 0 || since_ms > PN_HAND_OVER_IDLE_MS + HOLD_ADDED_MS))
        pn_house_release_control(&self->house);
    if (gateway->pid > 0 && since_ms > pn_limit_value(PN_LIMIT_HAND_OVER_TIMEOUT) + DRAIN_ADDED_MS)
        end_member(gateway, SIGKILL);
    if (gateway->pid > 0)
        return;
    end_member(keyholder, SIGTERM);
    if (keyholder->pid > 0)
        return;
    json_decref(self->former.facts);
    self->former.facts = NULL;
    self->upgrade = PN_UPGRADE_NONE;
    pn_log(PN_LOG_INFO, "upgrade", "state", PN_S("former version gone"), NULL);
}

void pn_upgrade_tend(struct pn_supervisor *self, uint64_t now_ms)
{
    switch (self->upgrade) {
    case PN_UPGRADE_NONE:
        return;
    case PN_UPGRADE_CHECKING:
        if (now_ms - self->upgrade_since_ms > CHECK_LIMIT_MS && self->check_pid > 0)
            kill(self->check_pid, SIGKILL);
        return;
    case PN_UPGRADE_STARTING:
        tend_starting(self, now_ms);
        return;
    case PN_UPGRADE_DRAINING:
        tend_draining(self, now_ms);
        return;
    }
}

bool pn_upgrade_reap(struct pn_supervisor *self, pid_t pid, int wait_status)
{
    if (pid == self->check_pid) {
        on_checked(self, wait_status);
        return true;
    }
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->former.members[i];

        if (child->pid != pid)
            continue;
        pn_log(PN_LOG_INFO, "former_child_ended", "child", PN_S(child->spec.name), "pid", PN_I(pid),
               "exit", PN_I(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1), NULL);
        child->pid = 0;
        pn_child_close(child);
        self->taken.members[i] = (struct pn_hand_over_member){0, -1, -1};
        return true;
    }
    return false;
}

bool pn_upgrade_stop(struct pn_supervisor *self, uint64_t now_ms)
{
    struct pn_child *members = self->former.members;
    if (self->check_pid > 0)
        kill(self->check_pid, SIGKILL);
    if (self->upgrade != PN_UPGRADE_STARTING && self->upgrade != PN_UPGRADE_DRAINING)
        return true;
    if (self->former_stop_ms == 0) {
        end_member(&members[PN_MEMBER_GATEWAY], SIGTERM);
        end_member(&members[PN_MEMBER_CONTROL], SIGTERM);
        self->former_stop_ms = now_ms;
    }
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (now_ms - self->former_stop_ms > pn_limit_value(PN_LIMIT_DRAIN_TIMEOUT) + DRAIN_ADDED_MS)
            end_member(&members[i], SIGKILL);
    }
    if (members[PN_MEMBER_GATEWAY].pid > 0 || members[PN_MEMBER_CONTROL].pid > 0)
        return false;
    end_member(&members[PN_MEMBER_KEYHOLDER], SIGTERM);
    return members[PN_MEMBER_KEYHOLDER].pid == 0;
}
