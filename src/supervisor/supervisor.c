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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_internal.h"

#define START_LIMIT_MS   60000 /* from start to ready */
#define STEADY_MS        10000 /* a child that lived so long starts again at once */
#define RESTART_MS       100   /* second quick death; doubles */
#define RESTART_MAX_MS   5000
#define TICK_MS          1000
#define LIMITS_BYTES_MAX 65536
#define STOP_ADDED_MS    10000 /* to the gateway's own limit */

/* How long each member may take to end, in the order of the stop; the gateway has limits of its
 * own. */
static const struct {
    enum pn_member member;
    uint64_t limit_ms;
} stop_order[PN_MEMBER_COUNT] = {
    {PN_MEMBER_GATEWAY, STOP_ADDED_MS}, {PN_MEMBER_CONTROL, 20000}, {PN_MEMBER_KEYHOLDER, 5000}};

/* ---- ready ---------------------------------------------------------------------------------- */

/* Unix sockets have no URL. */
static void print_sockets(const struct pn_supervisor *self)
{
    for (size_t i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < self->listen[i].count; k++) {
            if (self->listen[i].sockets[k].is_unix)
                printf("%-14s %s\n", pn_listen_names[i], self->listen[i].sockets[k].text);
        }
    }
}

/* The link signs in as the administrator: a terminal may see it, a journal may not. */
static void print_portal(const struct pn_supervisor *self)
{
    if (!self->sign_in_url)
        return;
    if (isatty(STDOUT_FILENO))
        printf("%-14s %s\n", "portal", self->sign_in_url);
    else
        printf("%-14s %s/ (a link to sign in: postern portal --data %s)\n", "portal",
               pn_json_str(self->house.facts, "controlUrl"), self->options.data_dir);
}

static void print_ready(const struct pn_supervisor *self)
{
    static const char *const members[] = {"gatewayUrl", "gatewayTlsUrl", "controlUrl", "vaultUrl"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (json_object_get(self->house.facts, members[i]))
            printf("%-14s %s\n", members[i], pn_json_str(self->house.facts, members[i]));
    }
    print_sockets(self);
    print_portal(self);
    printf("%-14s %s\nready\n", "data", self->options.data_dir);
    fflush(stdout);
}

/* What is printed once is no fact for ready.json. */
static void take_sign_in_url(struct pn_supervisor *self)
{
    const char *url = pn_json_str(self->house.facts, "signInUrl");

    if (!url)
        return;
    pn_wipe_free_str(self->sign_in_url);
    self->sign_in_url = strdup(url);
    json_object_del(self->house.facts, "signInUrl");
}

/* Also after a child was started again with other facts. */
static void announce(struct pn_supervisor *self)
{
    struct pn_error err = {0};
    char *text;

    if (!pn_house_is_ready(&self->house) || self->is_stopping)
        return;
    take_sign_in_url(self);
    text = json_dumps(self->house.facts, JSON_INDENT(2));
    if (!text || pn_file_write_atomic(self->ready_file, pn_slice_str(text), 0600, &err) != PN_OK)
        pn_log_error(PN_LOG_ERROR, "ready_file_not_written", &err);
    free(text);
    if (!self->was_announced)
        print_ready(self);
    pn_wipe_free_str(self->sign_in_url);
    self->sign_in_url = NULL;
    self->was_announced = true;
    if (self->upgrade == PN_UPGRADE_NONE) /* else its outcome says it */
        pn_notify("READY=1");
}

/* ---- stopping ------------------------------------------------------------------------------- */

void pn_supervisor_stop(struct pn_supervisor *self, const char *cause, int status)
{
    if (self->is_stopping)
        return;
    pn_log(PN_LOG_INFO, "stopping", "cause", PN_S(cause), NULL);
    pn_notify("STOPPING=1");
    unlink(self->ready_file);
    /* The children have theirs: whoever is the last to accept closes the door. */
    for (int i = 0; i < PN_LISTEN_COUNT; i++)
        pn_listen_close(&self->listen[i], true);
    pn_house_drop_spare(&self->house);
    self->is_stopping = true;
    self->status = status;
    self->stop_step = 0;
    self->stop_since_ms = 0;
}

static uint64_t stop_limit_ms(size_t step)
{
    uint64_t own_ms = 0;

    if (stop_order[step].member == PN_MEMBER_GATEWAY)
        own_ms = pn_limit_value(PN_LIMIT_DRAIN_DELAY) + pn_limit_value(PN_LIMIT_DRAIN_TIMEOUT);
    return own_ms + stop_order[step].limit_ms;
}

/* Signals the member whose turn it is; goes on when it is gone. True when all are. */
static bool continue_stop(struct pn_supervisor *self, uint64_t now_ms)
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
        } else if (now_ms - self->stop_since_ms > stop_limit_ms(self->stop_step)) {
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
static void hurry(struct pn_supervisor *self)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (self->house.members[i].pid > 0)
            kill(self->house.members[i].pid, SIGKILL);
        if (self->former.members[i].pid > 0)
            kill(self->former.members[i].pid, SIGKILL);
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

/* During an upgrade there is somebody to go on. */
static void fail_start(struct pn_supervisor *self, const char *cause)
{
    if (self->upgrade == PN_UPGRADE_STARTING)
        pn_upgrade_roll_back(self, cause);
    pn_supervisor_stop(self, cause, 1);
}

static void on_death(struct pn_supervisor *self, struct pn_child *child, int wait_status,
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
        fail_start(self, "a part did not start; its log lines above tell why");
        return;
    }
    child->quick_deaths = was_quick ? child->quick_deaths + 1 : 1;
    child->restart_at_ms = now_ms + restart_delay_ms(child);
}

static void reap(struct pn_supervisor *self, uint64_t now_ms)
{
    int wait_status;

    for (pid_t pid = waitpid(-1, &wait_status, WNOHANG); pid > 0;
         pid = waitpid(-1, &wait_status, WNOHANG)) {
        if (pn_house_reap_import(&self->house, pid, now_ms) ||
            pn_upgrade_reap(self, pid, wait_status))
            continue;
        for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
            if (self->house.members[i].pid == pid)
                on_death(self, &self->house.members[i], wait_status, now_ms);
        }
    }
}

static void start_child(struct pn_supervisor *self, struct pn_child *child, uint64_t now_ms)
{
    struct pn_error err = {0};

    if (pn_child_start(child, now_ms, &err) == PN_OK) {
        pn_log(PN_LOG_INFO, "child_started", "child", PN_S(child->spec.name), "pid",
               PN_I(child->pid), NULL);
        return;
    }
    pn_log_error(PN_LOG_ERROR, "child_not_started", &err);
    if (!child->was_ready)
        fail_start(self, "a part could not be started");
    child->quick_deaths++;
    child->restart_at_ms = now_ms + restart_delay_ms(child) + RESTART_MS;
}

/* At the start each waits for the one before it; later each is on its own. */
static void start_what_is_due(struct pn_supervisor *self, uint64_t now_ms)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT && !self->is_stopping && pn_upgrade_may_start(self);
         i++) {
        struct pn_child *child = &self->house.members[i];

        if (child->pid == 0 && child->was_ready && now_ms >= child->restart_at_ms)
            start_child(self, child, now_ms);
        if (child->was_ready)
            continue;
        if (child->pid == 0)
            start_child(self, child, now_ms);
        else if (now_ms - child->started_ms > START_LIMIT_MS)
            fail_start(self, "a part was not ready in time");
        return;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void reload(struct pn_supervisor *self)
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
        pn_options_fini(&fresh);
        return;
    }
    pn_options_fini(&fresh);
    self->options.log_level = fresh.log_level;
    pn_log_set_level(fresh.log_level);
    self->house.log_level = pn_log_level_name(fresh.log_level);
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++)
        pn_child_log_level(&self->house.members[i], self->house.log_level);
    pn_house_drop_spare(&self->house); /* the next one has the new level */
    pn_log(PN_LOG_INFO, "reload", "log-level", PN_S(self->house.log_level), "note",
           PN_S("all other settings take `postern upgrade` or a restart"), NULL);
}

static void on_signals(struct pn_supervisor *self, uint64_t now_ms)
{
    struct signalfd_siginfo info;

    while (read(self->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(self, now_ms);
        else if (info.ssi_signo == SIGHUP)
            reload(self);
        else if (info.ssi_signo == SIGUSR2)
            pn_upgrade_begin(self, now_ms);
        else if (self->is_stopping)
            hurry(self);
        else
            pn_supervisor_stop(self, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", 0);
    }
}

static void on_question(struct pn_supervisor *self, struct pn_house *house, struct pn_child *child,
                        uint64_t now_ms)
{
    bool was_ready = child->is_ready;

    if (!pn_house_answer(house, child, now_ms)) {
        /* It ended (then SIGCHLD follows), or it does not keep to the protocol (then it must go).
         */
        pn_channel_fini(&child->ask);
        child->ask.fd = -1;
        if (child->pid > 0 && !self->is_stopping)
            kill(child->pid, SIGKILL);
    } else if (child->is_ready && !was_ready && house == &self->house) {
        announce(self);
    }
}

static bool has_due_work(const struct pn_supervisor *self)
{
    if (self->upgrade != PN_UPGRADE_NONE || self->house.spare.pid == 0)
        return true;
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        const struct pn_child *child = &self->house.members[i];

        if ((child->pid == 0 && !self->is_stopping) || child->pending_count > 0)
            return true;
    }
    return false;
}

#define POLLED (2 * PN_MEMBER_COUNT + 1)

static void watch_children(struct pn_house *house, struct pollfd *fds)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        pn_child_flush(&house->members[i]);
        fds[i] = (struct pollfd){.fd = house->members[i].ask.fd, .events = POLLIN};
    }
}

static void hear_children(struct pn_supervisor *self, struct pn_house *house,
                          const struct pollfd *fds, uint64_t now_ms)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (fds[i].revents != 0)
            on_question(self, house, &house->members[i], now_ms);
    }
}

static int run(struct pn_supervisor *self)
{
    for (;;) {
        struct pollfd fds[POLLED] = {{.fd = self->signal_fd, .events = POLLIN}};
        uint64_t now_ms = pn_clock_monotonic_ms();

        pn_upgrade_tend(self, now_ms);
        start_what_is_due(self, now_ms);
        pn_house_check_imports(&self->house, now_ms);
        if (self->was_announced && !self->is_stopping && self->upgrade == PN_UPGRADE_NONE)
            pn_house_tend_spare(&self->house, now_ms);
        if (self->is_stopping && pn_upgrade_stop(self, now_ms) && continue_stop(self, now_ms))
            return self->status;
        watch_children(&self->house, fds + 1);
        watch_children(&self->former, fds + 1 + PN_MEMBER_COUNT);
        if (poll(fds, POLLED, has_due_work(self) ? RESTART_MS : TICK_MS) < 0 && errno != EINTR)
            return 1;
        now_ms = pn_clock_monotonic_ms();
        hear_children(self, &self->house, fds + 1, now_ms);
        hear_children(self, &self->former, fds + 1 + PN_MEMBER_COUNT, now_ms);
        if (fds[0].revents != 0)
            on_signals(self, now_ms);
    }
}

static void clean_up(struct pn_supervisor *self)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->house.members[i];

        for (size_t k = 0; k < child->pending_count; k++)
            close(child->pending[k].fd);
    }
    for (int i = 0; i < PN_LISTEN_COUNT; i++)
        pn_listen_close(&self->listen[i], true);
    if (self->signal_fd >= 0)
        close(self->signal_fd);
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    pn_hand_over_fini(&self->taken);
    json_decref(self->former.facts);
    json_decref(self->house.facts);
    pn_buf_fini(&self->limits);
    pn_buf_fini(&self->identity);
    pn_options_fini(&self->options);
    free(self->endpoints);
    free(self);
}

static int list_limits(const struct pn_supervisor *self)
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

static struct pn_supervisor *create(int argc, char **argv)
{
    struct pn_supervisor *self = calloc(1, sizeof(*self));

    if (!self)
        return NULL;
    self->argc = argc;
    self->argv = argv;
    self->signal_fd = -1;
    self->lock_fd = -1;
    self->taken.state_fd = -1;
    for (size_t i = 0; i < PN_EXECUTABLE_COUNT; i++)
        self->executables[i] = -1;
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        pn_channel_init(&self->former.members[i].ask, -1);
        pn_channel_init(&self->former.members[i].push, -1);
    }
    pn_buf_init(&self->limits, LIMITS_BYTES_MAX);
    return self;
}

/* From the arguments to the loop. `is_taking`: another supervisor left us its children. */
static enum pn_rc begin(struct pn_supervisor *self, bool is_taking, struct pn_error *err)
{
    enum pn_rc rc;

    pn_log_setup("supervisor", self->options.log_level);
    rc = pn_supervisor_prepare(self, is_taking ? &self->taken : NULL, err);
    if (rc == PN_OK && is_taking)
        pn_upgrade_adopt(self);
    return rc;
}

/* --check, --list-limits. */
static int answer_only(struct pn_supervisor *self)
{
    struct pn_error err = {0};

    if (self->options.lists_limits)
        return list_limits(self);
    if (pn_supervisor_find_executables(self, &err) == PN_OK)
        return 0;
    fprintf(stderr, "postern serve: %s\n", err.message);
    return 1;
}

int pn_supervisor_main(int argc, char **argv)
{
    struct pn_supervisor *self = create(argc, argv);
    struct pn_error err = {0};
    enum pn_rc rc;
    bool is_taking;
    int status;

    if (!self)
        return 1;
    rc = pn_upgrade_take(self, &err);
    is_taking = rc != PN_NOT_FOUND;
    if (rc == PN_OK || !is_taking)
        rc = pn_options_read_as(argc, argv,
                                getenv(PN_HAND_OVER_FAILED_ENV) ? self->taken.config : NULL,
                                &self->options, &err);
    if (rc == PN_OK && (self->options.lists_limits || self->options.checks_only)) {
        status = answer_only(self);
        clean_up(self);
        return status;
    }
    status = rc == PN_OK ? 1 : 2;
    if (rc == PN_OK)
        rc = begin(self, is_taking, &err);
    if (rc != PN_OK && rc != PN_EOF) {
        fprintf(stderr, "postern serve: %s\n", err.message);
        if (is_taking && !getenv(PN_HAND_OVER_FAILED_ENV))
            pn_upgrade_roll_back(self, err.message);
    }
    if (rc == PN_EOF)
        status = 0;
    else if (rc == PN_OK)
        status = run(self);
    clean_up(self);
    return status;
}
