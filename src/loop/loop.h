/* SPDX-License-Identifier: Apache-2.0
 *
 * One epoll loop per thread.
 *
 * A turn: wait · take the clock · descriptor events and mailbox · timers · soon-tasks · hooks
 * ("between two turns") · deferred frees. Everything here is for the loop's own thread only, except
 * pn_loop_post() and pn_loop_stop(), which any thread may call.
 *
 * A callback never frees the object it was called for: it marks it closed and calls
 * pn_loop_defer_free(). A watch that was removed gets no event any more, also none of this turn.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>

#include "base/error.h"
#include "loop/timer.h"

#define PN_LOOP_EVENTS_MAX  256   /* descriptor events taken by one turn */
#define PN_LOOP_MAILBOX_MAX 65536 /* posted and not yet delivered messages: above, PN_LIMIT */
#define PN_LOOP_HOOKS_MAX   8     /* "between two turns" hooks */

struct pn_loop;

/** PN_IO, PN_NOMEM. Any thread may create; the thread that runs it owns it. */
enum pn_rc pn_loop_create(struct pn_loop **loop, struct pn_error *err) PN_MUST_USE;
/** Reaps what was deferred; all watches and timers must be gone or be abandoned by then. */
void pn_loop_destroy(struct pn_loop *loop);
/** Turns until pn_loop_stop(). PN_IO: epoll failed (err tells). */
enum pn_rc pn_loop_run(struct pn_loop *loop, struct pn_error *err) PN_MUST_USE;
/** One turn that waits at most `wait_ms` (0: not at all; < 0: until something happens). For tests
 * and for threads that have another main loop. */
enum pn_rc pn_loop_turn(struct pn_loop *loop, int wait_ms, struct pn_error *err) PN_MUST_USE;
/** The running turn is the last one. Any thread, also before pn_loop_run(). */
void pn_loop_stop(struct pn_loop *loop);
/** Monotonic milliseconds, as taken at the start of this turn. No system call. */
uint64_t pn_loop_now_ms(const struct pn_loop *loop);
/** The same moment in microseconds. */
uint64_t pn_loop_now_us(const struct pn_loop *loop);
/** If nothing has happened when this turn ends, the next one rests for `us` (below one second)
 * before it waits, whatever happens meanwhile, so that more than one thing may have happened then.
 * Timers are late by as much. Holds for the next turn only. */
void pn_loop_rest(struct pn_loop *loop, unsigned us);
/** Whether this turn began with a rest. */
bool pn_loop_has_rested(const struct pn_loop *loop);

/* ---- descriptors ------------------------------------------------------------------------------
 */

#define PN_LOOP_READ  1u /* readable, or the peer ended: reading tells which */
#define PN_LOOP_WRITE 2u
#define PN_LOOP_END   8u /* with READ, edge-triggered only: the peer will send nothing more */
#define PN_LOOP_ERROR 4u /* error or hang-up: always reported, together with READ and WRITE */

struct pn_watch;
typedef void (*pn_watch_fn)(struct pn_watch *watch, unsigned events);

enum pn_watch_mode {
    PN_WATCH_SHARED, /* as PN_WATCH_LEVEL, for a listener that the loops of several threads watch:
                        one (or few) of them wakes up, not all (EPOLLEXCLUSIVE) */
    PN_WATCH_LEVEL,  /* reported in each turn while it lasts: listeners, eventfds */
    PN_WATCH_EDGE,   /* reported once per change: sockets that are read and written until PN_AGAIN;
                        one epoll_ctl for the whole life of the connection */
};

/** Embed it; `on_event` finds its owner by PN_CONTAINER or by `ctx`. */
struct pn_watch {
    int fd;
    struct pn_loop *loop; /* NULL: not watched */
    pn_watch_fn on_event;
    void *ctx;
    enum pn_watch_mode mode;
};

/** Watches `fd` (non-blocking; stays the caller's). PN_IO. `interest`: READ, WRITE or both; with
 *  PN_WATCH_EDGE one watches both from the start. */
enum pn_rc pn_loop_watch(struct pn_loop *loop, struct pn_watch *watch, int fd, unsigned interest,
                         enum pn_watch_mode mode, pn_watch_fn on_event, void *ctx) PN_MUST_USE;
/** Before close(fd). Does nothing for one that is not watched (zeroed or removed). */
void pn_loop_unwatch(struct pn_watch *watch);
/** Stops (0) or resumes a level-triggered or shared watch without forgetting it (a listener at its
 *  limit). PN_IO. */
enum pn_rc pn_loop_watch_change(struct pn_watch *watch, unsigned interest) PN_MUST_USE;

/* ---- timers -----------------------------------------------------------------------------------
 */

/** Fires once, `delay_ms` after the turn's clock. Arming an armed one moves it. O(1). */
void pn_loop_arm(struct pn_loop *loop, struct pn_timer *timer, uint64_t delay_ms);
void pn_loop_disarm(struct pn_loop *loop, struct pn_timer *timer);

/* ---- later in this turn -------------------------------------------------------------------------
 */

struct pn_task;
typedef void (*pn_task_fn)(struct pn_task *task);
/** Embed it; zero it before first use. */
struct pn_task {
    struct pn_list entry;
    pn_task_fn run;
    void *ctx;
};
void pn_task_init(struct pn_task *task, pn_task_fn run, void *ctx);
/** Runs in this turn's task phase (one that is queued during that phase: in the next turn, which
 * then does not wait). Queuing a queued one does nothing. */
void pn_loop_soon(struct pn_loop *loop, struct pn_task *task);
void pn_loop_soon_cancel(struct pn_task *task);

struct pn_deferred {
    struct pn_deferred *next;
    void (*free_fn)(void *object);
    void *object;
};
/** Calls free_fn(object) when the turn ends. `entry` lives in the object. Once per object. */
void pn_loop_defer_free(struct pn_loop *loop, struct pn_deferred *entry, void (*free_fn)(void *),
                        void *object);

typedef void (*pn_loop_hook_fn)(void *ctx);
/** Called between two turns, when no callback is on the stack: where a snapshot is swapped.
 *  PN_LIMIT above PN_LOOP_HOOKS_MAX. */
enum pn_rc pn_loop_add_hook(struct pn_loop *loop, pn_loop_hook_fn hook, void *ctx) PN_MUST_USE;

/* ---- mailbox ------------------------------------------------------------------------------------
 */

struct pn_message;
typedef void (*pn_message_fn)(struct pn_message *message);
/** What one thread tells another. The sender's until posted, the receiver's from then on; `deliver`
 *  runs on the loop's thread and may free or post it again. */
struct pn_message {
    struct pn_message *next;
    pn_message_fn deliver;
    void *ctx;
};
/** Lock-free; wakes the loop when the mailbox was empty. Messages of one sender arrive in order.
 * Any thread. PN_LIMIT: PN_LOOP_MAILBOX_MAX reached, the message stays the sender's. */
enum pn_rc pn_loop_post(struct pn_loop *loop, struct pn_message *message) PN_MUST_USE;

/* ---- signals ------------------------------------------------------------------------------------
 */

typedef void (*pn_signal_fn)(void *ctx, int signal_number);
/** Blocks `signals` for the calling thread (call it before other threads start, they inherit that)
 * and delivers them here by a signalfd. Once per loop (PN_EXISTS). PN_IO. */
enum pn_rc pn_loop_signals(struct pn_loop *loop, const sigset_t *signals, pn_signal_fn on_signal,
                           void *ctx, struct pn_error *err) PN_MUST_USE;
