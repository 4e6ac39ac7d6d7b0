/* SPDX-License-Identifier: Apache-2.0
 *
 * The child's side of the broker. The test is the supervisor; the child's two descriptors are put
 * where a child has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/broker.h"
#include "ipc/channel.h"
#include "ipc/protocol.h"

struct supervisor {
    struct pn_channel ask, push;
    struct pn_broker *broker;
    enum { GIVE, REFUSE, LATE_THEN_GIVE, NONSENSE, VANISH } how;
    pthread_t thread;
};

/* Sockets at descriptors 3 and 4, as after the exec of a child. */
static void open_supervisor(struct supervisor *supervisor)
{
    struct pn_error err = {0};
    int ask[2], push[2];

    for (int i = 0; i < 2; i++) {
        int *pair = i == 0 ? ask : push;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        for (int k = 0; k < 2; k++) {
            int high = fcntl(pair[k], F_DUPFD_CLOEXEC, 50);

            assert_true(high >= 0);
            close(pair[k]);
            pair[k] = high;
        }
    }
    assert_int_equal(dup2(ask[1], PN_BROKER_ASK_FD), PN_BROKER_ASK_FD);
    assert_int_equal(dup2(push[1], PN_BROKER_INCOMING_FD), PN_BROKER_INCOMING_FD);
    close(ask[1]);
    close(push[1]);
    pn_channel_init(&supervisor->ask, ask[0]);
    pn_channel_init(&supervisor->push, push[0]);
    assert_int_equal(pn_broker_create(&supervisor->broker, &err), PN_OK);
}

static void close_supervisor(struct supervisor *supervisor)
{
    pn_broker_destroy(supervisor->broker);
    pn_channel_fini(&supervisor->ask);
    pn_channel_fini(&supervisor->push);
}

static void send_frame(struct pn_channel *channel, uint16_t type, uint32_t id, const char *text,
                       uint8_t role, int fd)
{
    struct pn_buf buf;
    size_t start;

    pn_buf_init(&buf, 1024);
    (void)!pn_frame_begin(&buf, type, id, &start);
    if (type == PN_BROKER_REFUSED) {
        (void)!pn_frame_u32(&buf, PN_DENIED);
        (void)!pn_frame_str(&buf, "not_allowed");
    }
    if (text)
        (void)!pn_frame_str(&buf, text);
    if (type == PN_BROKER_INCOMING)
        (void)!pn_frame_u8(&buf, role);
    (void)!pn_frame_end(&buf, start);
    (void)!pn_channel_send(channel, pn_buf_slice(&buf), fd, 1000);
    pn_buf_fini(&buf);
}

static void *run(void *arg)
{
    struct supervisor *supervisor = arg;
    struct pn_frame question;

    if (pn_channel_receive(&supervisor->ask, &question, NULL, 5000) != PN_OK)
        return NULL;
    if (supervisor->how == LATE_THEN_GIVE) /* the answer to a question that was given up */
        send_frame(&supervisor->ask, PN_BROKER_CONNECTED, question.id - 1, NULL, 0, STDIN_FILENO);
    if (supervisor->how == GIVE || supervisor->how == LATE_THEN_GIVE)
        send_frame(&supervisor->ask, PN_BROKER_CONNECTED, question.id, NULL, 0, STDIN_FILENO);
    else if (supervisor->how == REFUSE)
        send_frame(&supervisor->ask, PN_BROKER_REFUSED, question.id, "not for you", 0, -1);
    else if (supervisor->how == NONSENSE)
        send_frame(&supervisor->ask, PN_BROKER_CONNECTED, question.id, NULL, 0, -1);
    else
        pn_channel_fini(&supervisor->ask);
    return NULL;
}

static enum pn_rc connect_to(int how, int *fd, struct pn_error *err)
{
    struct supervisor supervisor = {.how = how};
    enum pn_rc rc;

    open_supervisor(&supervisor);
    assert_int_equal(pthread_create(&supervisor.thread, NULL, run, &supervisor), 0);
    rc = pn_broker_connect(supervisor.broker, PN_SERVICE_SIGN, fd, err);
    pthread_join(supervisor.thread, NULL);
    close_supervisor(&supervisor);
    return rc;
}

static void a_service_that_is_allowed_gives_a_descriptor(void **state)
{
    struct pn_error err = {0};
    int fd = -1;

    (void)state;
    assert_int_equal(connect_to(GIVE, &fd, &err), PN_OK);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_int_equal(connect_to(LATE_THEN_GIVE, &fd, &err), PN_OK);
    close(fd);
}

static void the_supervisors_refusal_and_absence_are_told_apart(void **state)
{
    struct pn_error err = {0};
    int fd = -1;

    (void)state;
    assert_int_equal(connect_to(REFUSE, &fd, &err), PN_DENIED);
    assert_string_equal(err.code, "not_allowed");
    assert_string_equal(err.message, "not for you");
    assert_int_equal(connect_to(VANISH, &fd, &err), PN_UNAVAILABLE);
    assert_int_equal(connect_to(NONSENSE, &fd, &err), PN_INTERNAL);
    assert_int_equal(fd, -1);
}

static void pushed_connections_come_with_service_and_asker(void **state)
{
    struct supervisor supervisor = {0};
    char service[32];
    enum pn_role asker;
    int fd = -1;

    (void)state;
    open_supervisor(&supervisor);
    assert_int_equal(pn_broker_accept(supervisor.broker, service, &asker, &fd), PN_AGAIN);
    send_frame(&supervisor.push, PN_BROKER_INCOMING, 0, PN_SERVICE_FEED, 99, STDIN_FILENO);
    send_frame(&supervisor.push, PN_BROKER_INCOMING, 0, "a name that is longer than any service is",
               PN_ROLE_CONTROL, STDIN_FILENO);
    send_frame(&supervisor.push, PN_BROKER_INCOMING, 0, PN_SERVICE_FEED, PN_ROLE_CONTROL, -1);
    send_frame(&supervisor.push, PN_BROKER_LOG_LEVEL, 0, "error", 0, -1);
    send_frame(&supervisor.push, PN_BROKER_INCOMING, 0, PN_SERVICE_FEED, PN_ROLE_CONTROL,
               STDIN_FILENO);
    assert_true(pn_log_enabled(PN_LOG_INFO));
    assert_int_equal(pn_broker_accept(supervisor.broker, service, &asker, &fd), PN_OK);
    assert_string_equal(service, PN_SERVICE_FEED);
    assert_int_equal(asker, PN_ROLE_CONTROL);
    assert_false(pn_log_enabled(PN_LOG_INFO));
    pn_log_set_level(PN_LOG_INFO);
    close(fd);
    pn_channel_fini(&supervisor.push);
    assert_int_equal(pn_broker_accept(supervisor.broker, service, &asker, &fd), PN_EOF);
    close_supervisor(&supervisor);
}

static void a_child_without_a_supervisor_says_so(void **state)
{
    struct pn_broker *broker;
    struct pn_error err = {0};

    (void)state;
    close(PN_BROKER_ASK_FD);
    close(PN_BROKER_INCOMING_FD);
    assert_int_equal(pn_broker_create(&broker, &err), PN_UNAVAILABLE);
    assert_string_equal(err.code, "not_supervised");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_that_is_allowed_gives_a_descriptor),
        cmocka_unit_test(the_supervisors_refusal_and_absence_are_told_apart),
        cmocka_unit_test(pushed_connections_come_with_service_and_asker),
        cmocka_unit_test(a_child_without_a_supervisor_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
