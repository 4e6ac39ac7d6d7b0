/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop over socketpairs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

static struct pn_loop *loop_new(void)
{
    struct pn_loop *loop = NULL;

    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    return loop;
}

static void turn(struct pn_loop *loop)
{
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
}

struct end {
    struct pn_watch watch;
    struct pn_deferred deferred;
    struct end *other;
    int calls;
    unsigned events;
};

static void on_count(struct pn_watch *watch, unsigned events)
{
    struct end *end = PN_CONTAINER(watch, struct end, watch);

    end->calls++;
    end->events |= events;
}

static void on_remove_other(struct pn_watch *watch, unsigned events)
{
    struct end *end = PN_CONTAINER(watch, struct end, watch);

    (void)events;
    end->calls++;
    pn_loop_unwatch(&end->other->watch);
}

static void level_watch_reports_until_read_and_edge_watch_once(void **state)
{
    struct pn_loop *loop = loop_new();
    struct end level = {0}, edge = {0};
    int pair[2], second;
    char byte;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    second = dup(pair[0]);
    assert_int_equal(
        pn_loop_watch(loop, &level.watch, pair[0], PN_LOOP_READ, PN_WATCH_LEVEL, on_count, NULL),
        PN_OK);
    assert_int_equal(pn_loop_watch(loop, &edge.watch, second, PN_LOOP_READ | PN_LOOP_WRITE,
                                   PN_WATCH_EDGE, on_count, NULL),
                     PN_OK);
    assert_int_equal(write(pair[1], "x", 1), 1);
    turn(loop);
    turn(loop);
    assert_int_equal(level.calls, 2);
    assert_int_equal(edge.calls, 1);
    assert_int_equal(edge.events, PN_LOOP_READ | PN_LOOP_WRITE);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    turn(loop);
    assert_int_equal(level.calls, 2);
    assert_int_equal(pn_loop_watch_change(&level.watch, 0), PN_OK);
    assert_int_equal(write(pair[1], "x", 1), 1);
    turn(loop);
    assert_int_equal(level.calls, 2);
    close(pair[1]);
    turn(loop);
    assert_true(edge.events & PN_LOOP_ERROR);
    pn_loop_unwatch(&level.watch);
    pn_loop_unwatch(&edge.watch);
    pn_loop_unwatch(&edge.watch);
    close(second);
    close(pair[0]);
    pn_loop_destroy(loop);
}

static void shared_watch_stops_and_resumes(void **state)
{
    struct pn_loop *loop = loop_new();
    struct end end = {0};
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(
        pn_loop_watch(loop, &end.watch, pair[0], PN_LOOP_READ, PN_WATCH_SHARED, on_count, NULL),
        PN_OK);
    assert_int_equal(write(pair[1], "x", 1), 1);
    turn(loop);
    assert_int_equal(end.calls, 1);
    assert_int_equal(pn_loop_watch_change(&end.watch, 0), PN_OK);
    assert_int_equal(pn_loop_watch_change(&end.watch, 0), PN_OK);
    turn(loop);
    assert_int_equal(end.calls, 1);
    assert_int_equal(pn_loop_watch_change(&end.watch, PN_LOOP_READ), PN_OK);
    turn(loop);
    assert_int_equal(end.calls, 2);
    pn_loop_unwatch(&end.watch);
    close(pair[0]);
    close(pair[1]);
    pn_loop_destroy(loop);
}

static void removed_watch_gets_no_event_of_the_same_turn(void **state)
{
    struct pn_loop *loop = loop_new();
    struct end a = {0}, b = {0};
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    a.other = &b;
    b.other = &a;
    assert_int_equal(pn_loop_watch(loop, &a.watch, pair[0], PN_LOOP_WRITE, PN_WATCH_LEVEL,
                                   on_remove_other, NULL),
                     PN_OK);
    assert_int_equal(pn_loop_watch(loop, &b.watch, pair[1], PN_LOOP_WRITE, PN_WATCH_LEVEL,
                                   on_remove_other, NULL),
                     PN_OK);
    turn(loop);
    assert_int_equal(a.calls + b.calls, 1);
    pn_loop_unwatch(&a.watch);
    pn_loop_unwatch(&b.watch);
    close(pair[0]);
    close(pair[1]);
    pn_loop_destroy(loop);
}

static int freed;
static int hooks_run;

static void count_free(void *object)
{
    (void)object;
    freed++;
}

static void on_hook(void *ctx)
{
    (void)ctx;
    assert_int_equal(freed, 0);
    hooks_run++;
}

static void run_defer(struct pn_task *task)
{
    struct end *end = task->ctx;

    pn_loop_defer_free(end->watch.loop, &end->deferred, count_free, end);
    assert_int_equal(freed, 0);
}

static void deferred_free_happens_when_the_turn_ends(void **state)
{
    struct pn_loop *loop = loop_new();
    struct end end = {.watch.loop = loop};
    struct pn_task task;

    (void)state;
    freed = hooks_run = 0;
    assert_int_equal(pn_loop_add_hook(loop, on_hook, NULL), PN_OK);
    pn_task_init(&task, run_defer, &end);
    pn_loop_soon(loop, &task);
    pn_loop_soon(loop, &task);
    turn(loop);
    assert_int_equal(hooks_run, 1);
    assert_int_equal(freed, 1);
    pn_loop_destroy(loop);
}

static void hooks_have_a_limit(void **state)
{
    struct pn_loop *loop = loop_new();

    (void)state;
    for (int i = 0; i < PN_LOOP_HOOKS_MAX; i++)
        assert_int_equal(pn_loop_add_hook(loop, on_hook, NULL), PN_OK);
    assert_int_equal(pn_loop_add_hook(loop, on_hook, NULL), PN_LIMIT);
    pn_loop_destroy(loop);
}

static int task_runs;

static void run_again(struct pn_task *task)
{
    task_runs++;
    pn_loop_soon(task->ctx, task);
}

static void task_queued_by_a_task_runs_in_the_next_turn(void **state)
{
    struct pn_loop *loop = loop_new();
    struct pn_task task;

    (void)state;
    task_runs = 0;
    pn_task_init(&task, run_again, loop);
    pn_loop_soon(loop, &task);
    turn(loop);
    assert_int_equal(task_runs, 1);
    assert_int_equal(pn_loop_turn(loop, -1, NULL), PN_OK); /* does not wait */
    assert_int_equal(task_runs, 2);
    pn_loop_soon_cancel(&task);
    turn(loop);
    assert_int_equal(task_runs, 2);
    pn_loop_destroy(loop);
}

static void on_timer_stop(struct pn_timer *timer)
{
    pn_loop_stop(timer->ctx);
}

static void timer_fires_from_a_sleeping_loop(void **state)
{
    struct pn_loop *loop = loop_new();
    struct pn_timer timer;
    uint64_t begin = pn_loop_now_ms(loop);

    (void)state;
    pn_timer_init(&timer, on_timer_stop, loop);
    pn_loop_arm(loop, &timer, 3);
    assert_int_equal(pn_loop_run(loop, NULL), PN_OK);
    assert_true(pn_loop_now_ms(loop) >= begin + 3);
    pn_loop_destroy(loop);
}

#define SENDERS  4
#define MESSAGES 5000

struct letter {
    struct pn_message message;
    int sender;
    int number;
};

static int next_number[SENDERS];
static int delivered;

static void deliver(struct pn_message *message)
{
    struct letter *letter = PN_CONTAINER(message, struct letter, message);

    assert_int_equal(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    delivered++;
    if (delivered == SENDERS * MESSAGES)
        pn_loop_stop(message->ctx);
    free(letter);
}

struct sender {
    struct pn_loop *loop;
    int number;
    pthread_t thread;
};

static void *sender_main(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < MESSAGES; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));

        *letter = (struct letter){.message = {.deliver = deliver, .ctx = sender->loop},
                                  .sender = sender->number,
                                  .number = i};
        if (pn_loop_post(sender->loop, &letter->message) != PN_OK)
            abort();
    }
    return NULL;
}

static void messages_of_many_threads_arrive_once_and_in_order(void **state)
{
    struct pn_loop *loop = loop_new();
    struct sender senders[SENDERS];

    (void)state;
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.loop = loop, .number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]), 0);
    }
    assert_int_equal(pn_loop_run(loop, NULL), PN_OK);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    assert_int_equal(delivered, SENDERS * MESSAGES);
    pn_loop_destroy(loop);
}

static void deliver_nothing(struct pn_message *message)
{
    (void)message;
}

static void mailbox_takes_its_maximum_and_not_one_more(void **state)
{
    struct pn_loop *loop = loop_new();
    struct pn_message *messages = calloc(PN_LOOP_MAILBOX_MAX + 1, sizeof(*messages));

    (void)state;
    for (int i = 0; i <= PN_LOOP_MAILBOX_MAX; i++) {
        messages[i].deliver = deliver_nothing;
        assert_int_equal(pn_loop_post(loop, &messages[i]),
                         i < PN_LOOP_MAILBOX_MAX ? PN_OK : PN_LIMIT);
    }
    turn(loop);
    assert_int_equal(pn_loop_post(loop, &messages[0]), PN_OK);
    turn(loop);
    free(messages);
    pn_loop_destroy(loop);
}

static int last_signal;

static void on_signal(void *ctx, int number)
{
    (void)ctx;
    last_signal = number;
}

static void signal_arrives_as_an_event(void **state)
{
    struct pn_loop *loop = loop_new();
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(pn_loop_signals(loop, &set, on_signal, NULL, NULL), PN_OK);
    assert_int_equal(pn_loop_signals(loop, &set, on_signal, NULL, NULL), PN_EXISTS);
    assert_int_equal(pthread_kill(pthread_self(), SIGUSR1), 0);
    turn(loop);
    assert_int_equal(last_signal, SIGUSR1);
    pn_loop_destroy(loop);
}

static void rest_is_taken_once_and_only_where_nothing_has_happened(void **state)
{
    struct pn_loop *loop = loop_new();
    struct end end = {0};
    uint64_t before_us;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(
        pn_loop_watch(loop, &end.watch, pair[0], PN_LOOP_READ, PN_WATCH_EDGE, on_count, NULL),
        PN_OK);
    pn_loop_rest(loop, 2000);
    turn(loop); /* does not want to wait: does not rest */
    assert_false(pn_loop_has_rested(loop));

    before_us = pn_loop_now_us(loop);
    pn_loop_rest(loop, 2000);
    assert_int_equal(pn_loop_turn(loop, 1, NULL), PN_OK);
    assert_true(pn_loop_has_rested(loop));
    assert_true(pn_loop_now_us(loop) >= before_us + 2000);
    assert_int_equal(pn_loop_turn(loop, 1, NULL), PN_OK);
    assert_false(pn_loop_has_rested(loop)); /* one turn's only */

    assert_int_equal(write(pair[1], "x", 1), 1);
    pn_loop_rest(loop, 2000);
    assert_int_equal(pn_loop_turn(loop, 1, NULL), PN_OK);
    assert_false(pn_loop_has_rested(loop));
    assert_int_equal(end.calls, 1);
    assert_int_equal(pn_loop_now_ms(loop), pn_loop_now_us(loop) / 1000);
    pn_loop_unwatch(&end.watch);
    close(pair[0]);
    close(pair[1]);
    pn_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(level_watch_reports_until_read_and_edge_watch_once),
        cmocka_unit_test(shared_watch_stops_and_resumes),
        cmocka_unit_test(removed_watch_gets_no_event_of_the_same_turn),
        cmocka_unit_test(deferred_free_happens_when_the_turn_ends),
        cmocka_unit_test(rest_is_taken_once_and_only_where_nothing_has_happened),
        cmocka_unit_test(hooks_have_a_limit),
        cmocka_unit_test(task_queued_by_a_task_runs_in_the_next_turn),
        cmocka_unit_test(timer_fires_from_a_sleeping_loop),
        cmocka_unit_test(messages_of_many_threads_arrive_once_and_in_order),
        cmocka_unit_test(mailbox_takes_its_maximum_and_not_one_more),
        cmocka_unit_test(signal_arrives_as_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
