/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop's turn, its descriptors, tasks, hooks, mailbox and signals. Thread: see loop.h.
 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

struct hook {
    pn_loop_hook_fn run;
    void *ctx;
};

struct pn_loop {
    int epoll_fd;
    uint64_t now_ms;
    uint64_t now_us;
    unsigned rest_us; /* before the next wait */
    bool has_rested;  /* before this turn */
    struct pn_timer_wheel timers;
    struct pn_list tasks;
    struct pn_deferred *deferred;
    struct hook hooks[PN_LOOP_HOOKS_MAX];
    size_t hook_count;

    /* events of this turn; those of removed watches are struck out */
    struct epoll_event events[PN_LOOP_EVENTS_MAX];
    int event_count;
    int event_position;

    struct pn_watch mail_watch; /* fd: an eventfd */
    struct pn_watch signal_watch;
    pn_signal_fn on_signal;
    void *signal_ctx;

    /* touched by other threads */
    _Atomic(struct pn_message *) mailbox; /* newest first */
    atomic_size_t mailbox_count;
    atomic_bool is_stopping;
};

static void take_clock(struct pn_loop *loop)
{
    loop->now_us = pn_clock_monotonic_us();
    loop->now_ms = loop->now_us / 1000;
}

/* ---- descriptors */

static uint32_t epoll_events(unsigned interest, enum pn_watch_mode mode)
{
    uint32_t events = 0;

    switch (mode) {
    case PN_WATCH_EDGE:
        events = (uint32_t)EPOLLET | EPOLLRDHUP;
        break;
    case PN_WATCH_SHARED:
        events = EPOLLEXCLUSIVE;
        break;
    case PN_WATCH_LEVEL:
        break;
    }
    if (interest & PN_LOOP_READ)
        events |= EPOLLIN;
    if (interest & PN_LOOP_WRITE)
        events |= EPOLLOUT;
    return events;
}

enum pn_rc pn_loop_watch(struct pn_loop *loop, struct pn_watch *watch, int fd, unsigned interest,
                         enum pn_watch_mode mode, pn_watch_fn on_event, void *ctx)
{
    struct epoll_event event = {.events = epoll_events(interest, mode), .data.ptr = watch};

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return PN_IO;
    *watch =
        (struct pn_watch){.fd = fd, .loop = loop, .on_event = on_event, .ctx = ctx, .mode = mode};
    return PN_OK;
}

enum pn_rc pn_loop_watch_change(struct pn_watch *watch, unsigned interest)
{
    struct epoll_event event = {.events = epoll_events(interest, watch->mode), .data.ptr = watch};
    int epoll_fd = watch->loop->epoll_fd;

    if (watch->mode != PN_WATCH_SHARED)
        return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? PN_IO : PN_OK;
    /* EPOLLEXCLUSIVE knows no MOD. A stopped one is not there, which is fine. */
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    if (interest && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return PN_IO;
    return PN_OK;
}

void pn_loop_unwatch(struct pn_watch *watch)
{
    struct pn_loop *loop = watch->loop;

    if (!loop)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->loop = NULL;
    for (int i = loop->event_position; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
    }
}

static void turn_events(struct pn_loop *loop)
{
    while (loop->event_position < loop->event_count) {
        struct epoll_event *event = &loop->events[loop->event_position++];
        struct pn_watch *watch = event->data.ptr;
        unsigned seen = 0;

        if (!watch)
            continue;
        if (event->events & (EPOLLIN | EPOLLRDHUP))
            seen |= PN_LOOP_READ;
        if (event->events & EPOLLRDHUP)
            seen |= PN_LOOP_END;
        if (event->events & EPOLLOUT)
            seen |= PN_LOOP_WRITE;
        if (event->events & (EPOLLERR | EPOLLHUP))
            seen |= PN_LOOP_ERROR | PN_LOOP_READ | PN_LOOP_WRITE;
        watch->on_event(watch, seen);
    }
}

/* ---- mailbox */

static void loop_wake(struct pn_loop *loop)
{
    /* EAGAIN means that the counter is full, so the loop is awake anyway. */
    (void)!eventfd_write(loop->mail_watch.fd, 1);
}

enum pn_rc pn_loop_post(struct pn_loop *loop, struct pn_message *message)
{
    struct pn_message *newest;

    if (atomic_fetch_add_explicit(&loop->mailbox_count, 1, memory_order_relaxed) >=
        PN_LOOP_MAILBOX_MAX) {
        atomic_fetch_sub_explicit(&loop->mailbox_count, 1, memory_order_relaxed);
        return PN_LIMIT;
    }
    newest = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
    do {
        message->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &newest, message,
                                                    memory_order_release, memory_order_relaxed));
    if (!newest)
        loop_wake(loop);
    return PN_OK;
}

static void on_mail(struct pn_watch *watch, unsigned events)
{
    struct pn_loop *loop = watch->ctx;
    struct pn_message *message, *next, *oldest = NULL;
    eventfd_t count;

    (void)events;
    (void)!eventfd_read(watch->fd, &count); /* before the exchange, so that no wake-up is lost */
    message = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    for (; message; message = next) {
        next = message->next;
        message->next = oldest;
        oldest = message;
    }
    for (message = oldest; message; message = next) {
        next = message->next;
        atomic_fetch_sub_explicit(&loop->mailbox_count, 1, memory_order_relaxed);
        message->deliver(message);
    }
}

/* ---- signals */

static void on_signal_fd(struct pn_watch *watch, unsigned events)
{
    struct pn_loop *loop = watch->ctx;
    struct signalfd_siginfo info;

    (void)events;
    while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        loop->on_signal(loop->signal_ctx, (int)info.ssi_signo);
}

enum pn_rc pn_loop_signals(struct pn_loop *loop, const sigset_t *signals, pn_signal_fn on_signal,
                           void *ctx, struct pn_error *err)
{
    int fd, failed;

    if (loop->signal_watch.loop)
        return pn_error_set(
            err, PN_EXISTS, "signals_taken",
            "This loop receives signals already; give it one set with all of them.");
    failed = pthread_sigmask(SIG_BLOCK, signals, NULL);
    if (failed)
        return pn_error_from_errno(err, failed, "Signals cannot be blocked");
    fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return pn_error_from_errno(err, errno, "No descriptor for signals");
    loop->on_signal = on_signal;
    loop->signal_ctx = ctx;
    if (pn_loop_watch(loop, &loop->signal_watch, fd, PN_LOOP_READ, PN_WATCH_LEVEL, on_signal_fd,
                      loop) != PN_OK) {
        enum pn_rc rc = pn_error_from_errno(err, errno, "The signal descriptor cannot be watched");

        close(fd);
        return rc;
    }
    return PN_OK;
}

/* ---- timers, tasks, hooks, deferred frees */

void pn_loop_arm(struct pn_loop *loop, struct pn_timer *timer, uint64_t delay_ms)
{
    if (delay_ms > PN_TIMER_DELAY_MAX_MS)
        delay_ms = PN_TIMER_DELAY_MAX_MS;
    pn_timer_wheel_arm(&loop->timers, timer, loop->now_ms + delay_ms);
}

void pn_loop_disarm(struct pn_loop *loop, struct pn_timer *timer)
{
    pn_timer_wheel_disarm(&loop->timers, timer);
}

void pn_task_init(struct pn_task *task, pn_task_fn run, void *ctx)
{
    *task = (struct pn_task){.run = run, .ctx = ctx};
    pn_list_init(&task->entry);
}

void pn_loop_soon(struct pn_loop *loop, struct pn_task *task)
{
    if (pn_list_is_empty(&task->entry))
        pn_list_push_back(&loop->tasks, &task->entry);
}

void pn_loop_soon_cancel(struct pn_task *task)
{
    if (task->entry.next)
        pn_list_remove(&task->entry);
}

static void turn_tasks(struct pn_loop *loop)
{
    struct pn_list now;

    if (pn_list_is_empty(&loop->tasks))
        return;
    pn_list_init(&now);
    pn_list_insert_before(&loop->tasks, &now);
    pn_list_remove(&loop->tasks); /* what is queued from here on waits for the next turn */
    while (!pn_list_is_empty(&now)) {
        struct pn_task *task = PN_CONTAINER(now.next, struct pn_task, entry);

        pn_list_remove(&task->entry);
        task->run(task);
    }
}

enum pn_rc pn_loop_add_hook(struct pn_loop *loop, pn_loop_hook_fn run, void *ctx)
{
    if (loop->hook_count == PN_LOOP_HOOKS_MAX)
        return PN_LIMIT;
    loop->hooks[loop->hook_count++] = (struct hook){.run = run, .ctx = ctx};
    return PN_OK;
}

void pn_loop_defer_free(struct pn_loop *loop, struct pn_deferred *entry, void (*free_fn)(void *),
                        void *object)
{
    *entry = (struct pn_deferred){.next = loop->deferred, .free_fn = free_fn, .object = object};
    loop->deferred = entry;
}

static void turn_reap(struct pn_loop *loop)
{
    while (loop->deferred) {
        struct pn_deferred *entry = loop->deferred;

        loop->deferred = entry->next;
        entry->free_fn(entry->object);
    }
}

/* ---- the loop */

enum pn_rc pn_loop_create(struct pn_loop **out, struct pn_error *err)
{
    enum pn_rc rc;
    int mail_fd = -1;
    struct pn_loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for an event loop.");
    pn_list_init(&loop->tasks);
    take_clock(loop);
    pn_timer_wheel_init(&loop->timers, loop->now_ms);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        rc = pn_error_from_errno(err, errno, "No epoll descriptor");
        goto fail;
    }
    mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mail_fd < 0) {
        rc = pn_error_from_errno(err, errno, "No eventfd");
        goto fail;
    }
    rc = pn_loop_watch(loop, &loop->mail_watch, mail_fd, PN_LOOP_READ, PN_WATCH_LEVEL, on_mail,
                       loop);
    if (rc != PN_OK) {
        rc = pn_error_from_errno(err, errno, "The mailbox cannot be watched");
        goto fail;
    }
    *out = loop;
    return PN_OK;
fail:
    if (mail_fd >= 0)
        close(mail_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
    return rc;
}

void pn_loop_destroy(struct pn_loop *loop)
{
    if (!loop)
        return;
    turn_reap(loop);
    if (loop->signal_watch.loop)
        close(loop->signal_watch.fd);
    close(loop->mail_watch.fd);
    close(loop->epoll_fd);
    free(loop);
}

uint64_t pn_loop_now_ms(const struct pn_loop *loop)
{
    return loop->now_ms;
}

uint64_t pn_loop_now_us(const struct pn_loop *loop)
{
    return loop->now_us;
}

void pn_loop_rest(struct pn_loop *loop, unsigned us)
{
    loop->rest_us = us;
}

bool pn_loop_has_rested(const struct pn_loop *loop)
{
    return loop->has_rested;
}

/* How long this turn may sleep. The clock was last taken when the previous turn began, so a busy
 * turn makes this one wake a little late, never early. */
static int turn_wait_ms(const struct pn_loop *loop, int wait_ms)
{
    uint64_t next_ms;

    if (!pn_list_is_empty(&loop->tasks) || loop->deferred ||
        atomic_load_explicit(&loop->is_stopping, memory_order_acquire))
        return 0;
    next_ms = pn_timer_wheel_next_ms(&loop->timers);
    if (next_ms > INT_MAX)
        next_ms = wait_ms < 0 && next_ms == UINT64_MAX ? UINT64_MAX : INT_MAX;
    if (next_ms == UINT64_MAX)
        return -1;
    return wait_ms < 0 || next_ms < (uint64_t)wait_ms ? (int)next_ms : wait_ms;
}

/* As epoll_wait(), which a rest goes before if nothing has happened yet. */
static int take_events(struct pn_loop *loop, int wait_ms)
{
    struct timespec rest = {.tv_nsec = (long)loop->rest_us * 1000};
    int count = 0;

    loop->rest_us = 0;
    loop->has_rested = false;
    if (rest.tv_nsec > 0 && wait_ms != 0) {
        count = epoll_wait(loop->epoll_fd, loop->events, PN_LOOP_EVENTS_MAX, 0);
        loop->has_rested = count == 0;
        if (count == 0)
            nanosleep(&rest, NULL);
    }
    return count != 0 ? count
                      : epoll_wait(loop->epoll_fd, loop->events, PN_LOOP_EVENTS_MAX, wait_ms);
}

enum pn_rc pn_loop_turn(struct pn_loop *loop, int wait_ms, struct pn_error *err)
{
    int count = take_events(loop, turn_wait_ms(loop, wait_ms));

    if (count < 0 && errno != EINTR)
        return pn_error_from_errno(err, errno, "Waiting for events failed");
    take_clock(loop);
    loop->event_position = 0;
    loop->event_count = count < 0 ? 0 : count;
    turn_events(loop);
    loop->event_count = 0;
    pn_timer_wheel_run(&loop->timers, loop->now_ms);
    turn_tasks(loop);
    for (size_t i = 0; i < loop->hook_count; i++)
        loop->hooks[i].run(loop->hooks[i].ctx);
    turn_reap(loop);
    return PN_OK;
}

enum pn_rc pn_loop_run(struct pn_loop *loop, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && !atomic_load_explicit(&loop->is_stopping, memory_order_acquire))
        rc = pn_loop_turn(loop, -1, err);
    return rc;
}

void pn_loop_stop(struct pn_loop *loop)
{
    atomic_store_explicit(&loop->is_stopping, true, memory_order_release);
    loop_wake(loop);
}
