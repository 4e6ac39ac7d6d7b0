/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor's life. One thread, one poll loop.
 *
 *   starting ──all ready──▶ serving ──SIGTERM──▶ stopping: gateway, then control, then keyholder
 * ──▶ end └── a child dies before it was ever ready: stopping, exit status 1
 *
 * A child that dies later is started again: at once the first time, then with a growing delay until
 * it has stayed up for a while.
 */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "sandbox/sandbox.h"
#include "supervisor/house.h"
#include "supervisor/listen.h"
#include "supervisor/options.h"

#define START_LIMIT_MS    60000 /* from start to ready */
#define STEADY_MS         10000 /* a child that lived so long starts again at once */
#define RESTART_MS        100   /* second quick death; doubles */
#define RESTART_MAX_MS    5000
#define TICK_MS           1000
#define LIMITS_BYTES_MAX  65536
#define LOG_LEVEL_TEXT(l) (level_names[l])

static const char *const level_names[] = {"debug", "info", "warn", "error"};
/* How long each member may take to end, in the order of the stop. */
static const struct {
    enum pn_member member;
    uint64_t limit_ms;
} stop_order[PN_MEMBER_COUNT] = {
    {PN_MEMBER_GATEWAY, 40000}, {PN_MEMBER_CONTROL, 20000}, {PN_MEMBER_KEYHOLDER, 5000}};

struct supervisor {
    int argc;
    char **argv;
    struct pn_options options;
    struct pn_listen_set listen[PN_LISTEN_COUNT];
    struct pn_house house;
    char paths[PN_MEMBER_COUNT + 1][PATH_MAX]; /* of the executables; the last is postern-import */
    char threads[16], workers[16], interval[16];
    char *endpoints;      /* JSON text */
    struct pn_buf limits; /* those that are not the default, for the children */
    char ready_file[PATH_MAX];
    int signal_fd;
    int lock_fd;
    bool was_announced;
    bool is_stopping;
    size_t stop_step;
    uint64_t stop_since_ms;
    int status;
};

/* ---- set-up --------------------------------------------------------------------------------- */

static enum pn_rc find_executables(struct supervisor *self, struct pn_error *err)
{
    static const char *const names[] = {"postern-keyholder", "postern-gateway", "postern-control",
                                        "postern-import"};
    const char *forced = getenv("PN_LIBEXEC");
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    if (len < 0)
        return pn_error_from_errno(err, errno, "cannot tell where this executable is");
    own[len] = 0;
    slash = strrchr(own, '/');
    *slash = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = self->paths[i];

        if (forced)
            snprintf(path, PATH_MAX, "%.2000s/%s", forced, names[i]);
        else
            snprintf(path, PATH_MAX, "%.2000s/%s", own, names[i]);
        if (!forced && access(path, X_OK) != 0)
            snprintf(path, PATH_MAX, "%.2000s/../libexec/postern/%s", own, names[i]);
        if (access(path, X_OK) != 0)
            return pn_error_from_errno(
                err, errno, "%s is missing: it belongs beside postern or in libexec/postern",
                names[i]);
    }
    return PN_OK;
}

static enum pn_rc lock_data_dir(struct supervisor *self, struct pn_error *err)
{
    char path[PATH_MAX + 8];
    char pid[32];
    enum pn_rc rc = pn_dir_make(self->options.data_dir, 0700, err);

    if (rc != PN_OK)
        return rc;
    snprintf(path, sizeof(path), "%s/lock", self->options.data_dir);
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lock_fd < 0)
        return pn_error_from_errno(err, errno, "cannot open %s", path);
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return pn_error_set(
            err, PN_CONFLICT, "in_use",
            "another postern serves from %s: stop it, or choose another folder with --data",
            self->options.data_dir);
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(self->lock_fd, 0) != 0 ||
        pn_fd_write_all(self->lock_fd, pn_slice_str(pid)) != PN_OK)
        return pn_error_from_errno(err, errno, "cannot write %s", path);
    return PN_OK;
}

static enum pn_rc open_listeners(struct supervisor *self, struct pn_error *err)
{
    for (int i = 0; i < PN_LISTEN_COUNT; i++) {
        enum pn_rc rc = pn_listen_open(self->options.listen[i], &self->listen[i], err);

        if (rc != PN_OK) {
            pn_error_prefix(err, "--%s", pn_listen_names[i]);
            return rc;
        }
    }
    return PN_OK;
}

static enum pn_rc become_user(const struct pn_options *options, struct pn_error *err)
{
    const struct passwd *user;

    if (!options->user[0])
        return PN_OK;
    if (geteuid() != 0)
        return pn_error_set(err, PN_INVALID, "usage", "--user works only when started as root");
    user = getpwnam(options->user);
    if (!user)
        return pn_error_set(err, PN_INVALID, "usage", "--user: there is no user '%s'",
                            options->user);
    if (chown(options->data_dir, user->pw_uid, user->pw_gid) != 0 ||
        initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return pn_error_from_errno(err, errno, "cannot become the user '%s'", options->user);
    return PN_OK;
}

static enum pn_rc make_endpoints(struct supervisor *self, struct pn_error *err)
{
    char gateway[256];
    char gateway_tls[256];
    char control[256];

    pn_listen_host(self->options.listen[PN_LISTEN_GATEWAY], gateway);
    pn_listen_host(self->options.listen[PN_LISTEN_GATEWAY_TLS], gateway_tls);
    pn_listen_host(self->options.listen[PN_LISTEN_CONTROL], control);
    /* Clients that try ::1 first find the gateway either way; an address spares them the choice. */
    if (strcmp(gateway, "localhost") == 0)
        snprintf(gateway, sizeof(gateway), "127.0.0.1");
    self->house.facts = json_object();
    if (!self->house.facts)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    json_object_set_new(
        self->house.facts, "gatewayUrl",
        json_sprintf("http://%s:%u", gateway, self->listen[PN_LISTEN_GATEWAY].port));
    json_object_set_new(
        self->house.facts, "gatewayTlsUrl",
        json_sprintf("https://%s:%u", gateway_tls, self->listen[PN_LISTEN_GATEWAY_TLS].port));
    json_object_set_new(
        self->house.facts, "controlUrl",
        json_sprintf("https://%s:%u", control, self->listen[PN_LISTEN_CONTROL].port));
    json_object_set_new(
        self->house.facts, "vaultUrl",
        json_sprintf("https://local.vault.localhost:%u", self->listen[PN_LISTEN_VAULT].port));
    self->endpoints = json_dumps(self->house.facts, JSON_COMPACT);
    return self->endpoints ? PN_OK : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
}

static void give_listener(struct supervisor *self, enum pn_member member, enum pn_listen which)
{
    struct pn_child_spec *spec = &self->house.members[member].spec;

    for (size_t i = 0; i < self->listen[which].count; i++)
        spec->fds[spec->fd_count++] =
            (struct pn_child_fd){pn_listen_names[which], self->listen[which].fds[i]};
}

static void describe_members(struct supervisor *self)
{
    static const enum pn_role roles[] = {PN_ROLE_KEYHOLDER, PN_ROLE_GATEWAY, PN_ROLE_CONTROL};
    static const char *const names[] = {"keyholder", "gateway", "control"};
    static const char *const programs[] = {"postern-keyholder", "postern-gateway",
                                           "postern-control"};
    const struct pn_options *options = &self->options;
    const char **args;

    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->house.members[i];

        pn_channel_init(&child->ask, -1);
        pn_channel_init(&child->push, -1);
        child->spec = (struct pn_child_spec){
            .role = roles[i],
            .name = names[i],
            .path = self->paths[i],
            .args = {programs[i], "--data", options->data_dir},
            .log_level = LOG_LEVEL_TEXT(options->log_level),
            .limits = pn_buf_str(&self->limits),
        };
    }
    give_listener(self, PN_MEMBER_GATEWAY, PN_LISTEN_GATEWAY);
    give_listener(self, PN_MEMBER_GATEWAY, PN_LISTEN_GATEWAY_TLS);
    give_listener(self, PN_MEMBER_CONTROL, PN_LISTEN_CONTROL);
    give_listener(self, PN_MEMBER_CONTROL, PN_LISTEN_VAULT);
    self->house.members[PN_MEMBER_CONTROL].spec.endpoints = self->endpoints;
    self->house.import_path = self->paths[PN_MEMBER_COUNT];
    self->house.log_level = LOG_LEVEL_TEXT(options->log_level);
    args = self->house.members[PN_MEMBER_GATEWAY].spec.args + 3;
    if (options->threads > 0) {
        snprintf(self->threads, sizeof(self->threads), "%u", options->threads);
        *args++ = "--threads";
        *args++ = self->threads;
    }
    if (options->dns_servers[0] != '\0') {
        *args++ = "--dns-servers";
        *args++ = options->dns_servers;
    }
    args = self->house.members[PN_MEMBER_CONTROL].spec.args + 3;
    if (options->control_workers > 0) {
        snprintf(self->workers, sizeof(self->workers), "%u", options->control_workers);
        *args++ = "--workers";
        *args++ = self->workers;
    }
    if (options->rotation_interval_s > 0) {
        snprintf(self->interval, sizeof(self->interval), "%u", options->rotation_interval_s);
        *args++ = "--rotation-interval";
        *args++ = self->interval;
    }
}

static enum pn_rc watch_signals(struct supervisor *self, struct pn_error *err)
{
    sigset_t signals;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return pn_error_from_errno(err, errno, "cannot block signals");
    self->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd >= 0 ? PN_OK : pn_error_from_errno(err, errno, "cannot watch signals");
}

/* ---- ready ---------------------------------------------------------------------------------- */

static void print_ready(const struct supervisor *self)
{
    static const char *const members[] = {"gatewayUrl", "gatewayTlsUrl", "controlUrl", "vaultUrl"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        printf("%-14s %s\n", members[i], pn_json_str(self->house.facts, members[i]));
    printf("%-14s %s\nready\n", "data", self->options.data_dir);
    fflush(stdout);
}

/* Also after a child was started again with other facts. */
static void announce(struct supervisor *self)
{
    struct pn_error err = {0};
    char *text;

    if (!pn_house_is_ready(&self->house) || self->is_stopping)
        return;
    text = json_dumps(self->house.facts, JSON_INDENT(2));
    if (!text || pn_file_write_atomic(self->ready_file, pn_slice_str(text), 0600, &err) != PN_OK)
        pn_log_error(PN_LOG_ERROR, "ready_file_not_written", &err);
    free(text);
    if (!self->was_announced)
        print_ready(self);
    self->was_announced = true;
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void start_stop(struct supervisor *self, const char *cause, int status)
{
    if (self->is_stopping)
        return;
    pn_log(PN_LOG_INFO, "stopping", "cause", PN_S(cause), NULL);
    unlink(self->ready_file);
    self->is_stopping = true;
    self->status = status;
    self->stop_step = 0;
    self->stop_since_ms = 0;
}

/* Signals the member whose turn it is; goes on when it is gone. True when all are. */
static bool continue_stop(struct supervisor *self, uint64_t now_ms)
{
    while (self->stop_step < PN_MEMBER_COUNT) {
        struct pn_child *child = &self->house.members[stop_order[self->stop_step].member];

        if (child->pid == 0) {
            self->stop_step++;
            self->stop_since_ms = 0;
            continue;
        }
        if (self->stop_since_ms == 0) {
            self->stop_since_ms = now_ms;
            kill(child->pid, SIGTERM);
        } else if (now_ms - self->stop_since_ms > stop_order[self->stop_step].limit_ms) {
            pn_log(PN_LOG_WARN, "killed", "child", PN_S(child->spec.name), "cause",
                   PN_S("it did not stop in time"), NULL);
            kill(child->pid, SIGKILL);
            self->stop_since_ms = now_ms;
        }
        return false;
    }
    return true;
}

/* A second SIGTERM or Ctrl-C: no more waiting. */
static void hurry(struct supervisor *self)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (self->house.members[i].pid > 0)
            kill(self->house.members[i].pid, SIGKILL);
    }
}

/* ---- children ------------------------------------------------------------------------------- */

static uint64_t restart_delay_ms(const struct pn_child *child)
{
    uint64_t delay_ms = RESTART_MS;

    if (child->quick_deaths <= 1)
        return 0;
    for (unsigned i = 2; i < child->quick_deaths && delay_ms < RESTART_MAX_MS; i++)
        delay_ms *= 2;
    return delay_ms < RESTART_MAX_MS ? delay_ms : RESTART_MAX_MS;
}

static void on_death(struct supervisor *self, struct pn_child *child, int wait_status,
                     uint64_t now_ms)
{
    bool was_quick = now_ms - child->started_ms < STEADY_MS;

    pn_log(self->is_stopping ? PN_LOG_INFO : PN_LOG_ERROR, "child_ended", "child",
           PN_S(child->spec.name), "pid", PN_I(child->pid), "exit",
           PN_I(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1), "signal",
           PN_I(WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0), NULL);
    child->pid = 0;
    pn_child_close(child);
    if (self->is_stopping) {
        self->stop_since_ms = 0;
        return;
    }
    if (!child->was_ready) {
        start_stop(self, "a part did not start; its log lines above tell why", 1);
        return;
    }
    child->quick_deaths = was_quick ? child->quick_deaths + 1 : 1;
    child->restart_at_ms = now_ms + restart_delay_ms(child);
}

static void reap(struct supervisor *self, uint64_t now_ms)
{
    int wait_status;

    for (pid_t pid = waitpid(-1, &wait_status, WNOHANG); pid > 0;
         pid = waitpid(-1, &wait_status, WNOHANG)) {
        if (pn_house_reap_import(&self->house, pid))
            continue;
        for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
            if (self->house.members[i].pid == pid)
                on_death(self, &self->house.members[i], wait_status, now_ms);
        }
    }
}

static void start_child(struct supervisor *self, struct pn_child *child, uint64_t now_ms)
{
    struct pn_error err = {0};

    if (pn_child_start(child, now_ms, &err) == PN_OK) {
        pn_log(PN_LOG_INFO, "child_started", "child", PN_S(child->spec.name), "pid",
               PN_I(child->pid), NULL);
        return;
    }
    pn_log_error(PN_LOG_ERROR, "child_not_started", &err);
    if (!child->was_ready)
        start_stop(self, "a part could not be started", 1);
    child->quick_deaths++;
    child->restart_at_ms = now_ms + restart_delay_ms(child) + RESTART_MS;
}

/* At the start each waits for the one before it; later each is on its own. */
static void start_what_is_due(struct supervisor *self, uint64_t now_ms)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT && !self->is_stopping; i++) {
        struct pn_child *child = &self->house.members[i];

        if (child->pid == 0 && child->was_ready && now_ms >= child->restart_at_ms)
            start_child(self, child, now_ms);
        if (child->was_ready)
            continue;
        if (child->pid == 0)
            start_child(self, child, now_ms);
        else if (now_ms - child->started_ms > START_LIMIT_MS)
            start_stop(self, "a part was not ready in time", 1);
        return;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void reload(struct supervisor *self)
{
    struct pn_options fresh;
    struct pn_error err = {0};

    if (!self->options.config_file[0]) {
        pn_log(PN_LOG_INFO, "reload", "result",
               PN_S("no configuration file was given: nothing to read"), NULL);
        return;
    }
    if (pn_options_read(self->argc, self->argv, &fresh, &err) != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "reload_refused", &err);
        return;
    }
    self->options.log_level = fresh.log_level;
    pn_log_set_level(fresh.log_level);
    self->house.log_level = LOG_LEVEL_TEXT(fresh.log_level);
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++)
        pn_child_log_level(&self->house.members[i], self->house.log_level);
    pn_log(PN_LOG_INFO, "reload", "log-level", PN_S(self->house.log_level), "note",
           PN_S("all other settings take a restart"), NULL);
}

static void on_signals(struct supervisor *self, uint64_t now_ms)
{
    struct signalfd_siginfo info;

    while (read(self->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(self, now_ms);
        else if (info.ssi_signo == SIGHUP)
            reload(self);
        else if (self->is_stopping)
            hurry(self);
        else
            start_stop(self, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", 0);
    }
}

static void on_question(struct supervisor *self, struct pn_child *child, uint64_t now_ms)
{
    bool was_ready = child->is_ready;

    if (!pn_house_answer(&self->house, child, now_ms)) {
        /* It ended (then SIGCHLD follows), or it does not keep to the protocol (then it must go).
         */
        pn_channel_fini(&child->ask);
        child->ask.fd = -1;
        if (child->pid > 0 && !self->is_stopping)
            kill(child->pid, SIGKILL);
    } else if (child->is_ready && !was_ready) {
        announce(self);
    }
}

static bool has_due_work(const struct supervisor *self)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        const struct pn_child *child = &self->house.members[i];

        if ((child->pid == 0 && !self->is_stopping) || child->pending_count > 0)
            return true;
    }
    return false;
}

static int run(struct supervisor *self)
{
    for (;;) {
        struct pollfd fds[PN_MEMBER_COUNT + 1] = {{.fd = self->signal_fd, .events = POLLIN}};
        uint64_t now_ms = pn_clock_monotonic_ms();

        start_what_is_due(self, now_ms);
        pn_house_check_imports(&self->house, now_ms);
        if (self->is_stopping && continue_stop(self, now_ms))
            return self->status;
        for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
            pn_child_flush(&self->house.members[i]);
            fds[i + 1] = (struct pollfd){.fd = self->house.members[i].ask.fd, .events = POLLIN};
        }
        if (poll(fds, PN_MEMBER_COUNT + 1, has_due_work(self) ? RESTART_MS : TICK_MS) < 0 &&
            errno != EINTR)
            return 1;
        now_ms = pn_clock_monotonic_ms();
        for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
            if (fds[i + 1].revents != 0)
                on_question(self, &self->house.members[i], now_ms);
        }
        if (fds[0].revents != 0)
            on_signals(self, now_ms);
    }
}

static enum pn_rc prepare(struct supervisor *self, struct pn_error *err)
{
    enum pn_rc rc = find_executables(self, err);

    if (rc == PN_OK)
        rc = lock_data_dir(self, err);
    if (rc == PN_OK)
        rc = open_listeners(self, err);
    if (rc == PN_OK)
        rc = become_user(&self->options, err);
    if (rc == PN_OK)
        rc = pn_sandbox_harden(err);
    if (rc == PN_OK)
        rc = make_endpoints(self, err);
    if (rc == PN_OK)
        rc = watch_signals(self, err);
    if (rc == PN_OK && (pn_limits_export(self->options.limits, &self->limits) != PN_OK ||
                        !pn_buf_str(&self->limits)))
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc != PN_OK)
        return rc;
    snprintf(self->ready_file, sizeof(self->ready_file), "%.4000s/ready.json",
             self->options.data_dir);
    unlink(self->ready_file); /* of a supervisor that was killed */
    describe_members(self);
    return PN_OK;
}

static void clean_up(struct supervisor *self)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->house.members[i];

        for (size_t k = 0; k < child->pending_count; k++)
            close(child->pending[k].fd);
    }
    for (int i = 0; i < PN_LISTEN_COUNT; i++)
        pn_listen_close(&self->listen[i]);
    if (self->signal_fd >= 0)
        close(self->signal_fd);
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    json_decref(self->house.facts);
    pn_buf_fini(&self->limits);
    free(self->endpoints);
    free(self);
}

static int list_limits(const struct supervisor *self)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init(&text, LIMITS_BYTES_MAX);
    rc = pn_limits_print(self->options.limits, &text);
    if (rc == PN_OK)
        fwrite(text.ptr, 1, text.len, stdout);
    pn_buf_fini(&text);
    return rc == PN_OK ? 0 : 1;
}

int pn_supervisor_main(int argc, char **argv)
{
    struct supervisor *self = calloc(1, sizeof(*self));
    struct pn_error err = {0};
    enum pn_rc rc;
    int status;

    if (!self)
        return 1;
    self->argc = argc;
    self->argv = argv;
    self->signal_fd = -1;
    pn_buf_init(&self->limits, LIMITS_BYTES_MAX);
    self->lock_fd = -1;
    rc = pn_options_read(argc, argv, &self->options, &err);
    if (rc != PN_OK) {
        if (rc != PN_EOF)
            fprintf(stderr, "postern serve: %s\n", err.message);
        free(self);
        return rc == PN_EOF ? 0 : 2;
    }
    if (self->options.lists_limits) {
        status = list_limits(self);
        free(self);
        return status;
    }
    pn_log_setup("supervisor", self->options.log_level);
    rc = prepare(self, &err);
    if (rc != PN_OK)
        fprintf(stderr, "postern serve: %s\n", err.message);
    status = rc == PN_OK ? run(self) : 1;
    clean_up(self);
    return status;
}
