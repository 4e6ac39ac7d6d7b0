/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker's table: who may talk to whom, and what waits for a child that is away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "ipc/protocol.h"
#include "supervisor/house.h"

/* A house whose members are not processes: the test holds the children's ends. */
struct fixture {
    struct pn_house house;
    struct pn_channel ask[PN_MEMBER_COUNT];      /* descriptor 3 of each child */
    struct pn_channel incoming[PN_MEMBER_COUNT]; /* descriptor 4 */
};

static void join(struct pn_channel *ours, struct pn_channel *theirs)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pn_channel_init(ours, pair[0]);
    pn_channel_init(theirs, pair[1]);
}

static char own_path[4096];

static int set_up(void **state)
{
    static const enum pn_role roles[] = {PN_ROLE_KEYHOLDER, PN_ROLE_GATEWAY, PN_ROLE_CONTROL};
    static const char *const names[] = {"keyholder", "gateway", "control"};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_true(readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) > 0);
    pn_log_setup("test", PN_LOG_ERROR);
    f->house.facts = json_object();
    f->house.import_path = own_path;
    f->house.log_level = "error";
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &f->house.members[i];

        child->spec.role = roles[i];
        child->spec.name = names[i];
        child->pid = 1;
        join(&child->ask, &f->ask[i]);
        join(&child->push, &f->incoming[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        for (size_t k = 0; k < f->house.members[i].pending_count; k++)
            close(f->house.members[i].pending[k].fd);
        pn_child_close(&f->house.members[i]);
        pn_channel_fini(&f->ask[i]);
        pn_channel_fini(&f->incoming[i]);
    }
    json_decref(f->house.facts);
    free(f);
    return 0;
}

/* Asks as `member`; *answer is what came, *fd what came along. */
static bool ask(struct fixture *f, enum pn_member member, uint16_t type, const char *text,
                struct pn_frame *answer, int *fd)
{
    struct pn_buf frame;
    size_t start;
    bool is_fine;

    pn_buf_init(&frame, 4096);
    assert_int_equal(pn_frame_begin(&frame, type, 7, &start), PN_OK);
    assert_int_equal(pn_frame_str(&frame, text), PN_OK);
    assert_int_equal(pn_frame_end(&frame, start), PN_OK);
    assert_int_equal(pn_channel_send(&f->ask[member], pn_buf_slice(&frame), -1, 1000), PN_OK);
    pn_buf_fini(&frame);
    is_fine = pn_house_answer(&f->house, &f->house.members[member], 0);
    if (is_fine)
        assert_int_equal(pn_channel_receive(&f->ask[member], answer, fd, 1000), PN_OK);
    return is_fine;
}

static void control_reaches_the_keyholder_and_is_named_to_it(void **state)
{
    struct fixture *f = *state;
    struct pn_frame answer;
    struct pn_frame pushed;
    struct pn_slice service;
    uint8_t role = 0;
    int ours = -1;
    int theirs = -1;
    char byte = 0;

    assert_true(ask(f, PN_MEMBER_CONTROL, PN_BROKER_CONNECT, PN_SERVICE_ADMIN, &answer, &ours));
    assert_int_equal(answer.type, PN_BROKER_CONNECTED);
    assert_int_equal(answer.id, 7);
    assert_int_equal(pn_channel_receive(&f->incoming[PN_MEMBER_KEYHOLDER], &pushed, &theirs, 1000),
                     PN_OK);
    assert_int_equal(pushed.type, PN_BROKER_INCOMING);
    assert_int_equal(pn_frame_read_bytes(&pushed.fields, &service), PN_OK);
    assert_true(pn_slice_eq_str(service, PN_SERVICE_ADMIN));
    assert_int_equal(pn_frame_read_u8(&pushed.fields, &role), PN_OK);
    assert_int_equal(role, PN_ROLE_CONTROL);
    assert_int_equal(write(ours, "x", 1), 1);
    assert_int_equal(read(theirs, &byte, 1), 1);
    close(ours);
    close(theirs);
}

static void what_the_table_does_not_allow_is_denied(void **state)
{
    static const struct {
        enum pn_member asker;
        const char *service;
    } cases[] = {{PN_MEMBER_GATEWAY, PN_SERVICE_ADMIN},   {PN_MEMBER_GATEWAY, PN_SERVICE_IMPORT},
                 {PN_MEMBER_GATEWAY, PN_SERVICE_FEED},    {PN_MEMBER_CONTROL, PN_SERVICE_IMPORT},
                 {PN_MEMBER_KEYHOLDER, PN_SERVICE_ADMIN}, {PN_MEMBER_KEYHOLDER, PN_SERVICE_FEED},
                 {PN_MEMBER_CONTROL, "keyholder"},        {PN_MEMBER_CONTROL, ""}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_frame answer;
        uint32_t rc = 0;
        int fd = -1;

        assert_true(ask(f, cases[i].asker, PN_BROKER_CONNECT, cases[i].service, &answer, &fd));
        assert_int_equal(answer.type, PN_BROKER_REFUSED);
        assert_int_equal(pn_frame_read_u32(&answer.fields, &rc), PN_OK);
        assert_int_equal(rc, PN_DENIED);
        assert_int_equal(fd, -1);
    }
}

static void connection_waits_for_a_child_that_is_away(void **state)
{
    struct fixture *f = *state;
    struct pn_frame answer;
    int fd = -1;

    f->house.members[PN_MEMBER_KEYHOLDER].pid = 0;
    assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_CONNECT, PN_SERVICE_SIGN, &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_CONNECTED);
    assert_int_equal(f->house.members[PN_MEMBER_KEYHOLDER].pending_count, 1);
    close(fd);
    for (int i = 1; i < PN_CHILD_PENDING_GATEWAY_MAX; i++) {
        assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_CONNECT, PN_SERVICE_SIGN, &answer, &fd));
        assert_int_equal(answer.type, PN_BROKER_CONNECTED);
        close(fd);
    }
    assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_CONNECT, PN_SERVICE_SIGN, &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_REFUSED);
}

static void house_is_ready_when_each_member_has_said_so(void **state)
{
    struct fixture *f = *state;
    struct pn_frame answer;
    int fd = -1;

    assert_true(ask(f, PN_MEMBER_KEYHOLDER, PN_BROKER_READY, "", &answer, &fd));
    assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_READY, "", &answer, &fd));
    assert_false(pn_house_is_ready(&f->house));
    assert_true(ask(f, PN_MEMBER_CONTROL, PN_BROKER_READY, "{\"tenantId\":\"t\"}", &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_READY_OK);
    assert_true(pn_house_is_ready(&f->house));
    assert_string_equal(pn_json_str(f->house.facts, "tenantId"), "t");
}

/* Who writes ready.json tells the commands where to send the administrator's secret. */
static void only_control_tells_facts(void **state)
{
    struct fixture *f = *state;
    struct pn_frame answer;
    int fd = -1;

    assert_int_equal(json_object_set_new(f->house.facts, "controlUrl", json_string("https://own")),
                     0);
    assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_READY,
                    "{\"controlUrl\":\"https://evil\",\"caFile\":\"/evil\"}", &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_REFUSED);
    assert_false(f->house.members[PN_MEMBER_GATEWAY].is_ready);
    assert_true(
        ask(f, PN_MEMBER_KEYHOLDER, PN_BROKER_READY, "{\"caFile\":\"/evil\"}", &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_REFUSED);
    assert_null(json_object_get(f->house.facts, "caFile"));
    assert_string_equal(pn_json_str(f->house.facts, "controlUrl"), "https://own");
}

/* A gateway that asks for more connections than the keyholder takes off its socket neither blocks
 * the supervisor, nor costs the keyholder its channel, nor shuts control out. */
static void flood_of_connections_leaves_room_for_control(void **state)
{
    struct fixture *f = *state;
    struct pn_child *keyholder = &f->house.members[PN_MEMBER_KEYHOLDER];
    struct pn_frame answer = {0};
    int fd = -1;
    int tries = 0;

    do {
        fd = -1;
        assert_true(ask(f, PN_MEMBER_GATEWAY, PN_BROKER_CONNECT, PN_SERVICE_SIGN, &answer, &fd));
        if (fd >= 0)
            close(fd);
    } while (answer.type == PN_BROKER_CONNECTED && ++tries < 10000);
    assert_int_equal(answer.type, PN_BROKER_REFUSED);
    assert_true(keyholder->push.fd >= 0);
    assert_true(ask(f, PN_MEMBER_CONTROL, PN_BROKER_CONNECT, PN_SERVICE_ADMIN, &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_CONNECTED);
    close(fd);
    while (pn_channel_wait(&f->incoming[PN_MEMBER_KEYHOLDER], 0) == PN_OK) {
        struct pn_slice service;
        uint8_t role = 0;

        assert_int_equal(pn_channel_receive(&f->incoming[PN_MEMBER_KEYHOLDER], &answer, &fd, 1000),
                         PN_OK);
        close(fd);
        assert_int_equal(pn_frame_read_bytes(&answer.fields, &service), PN_OK);
        assert_int_equal(pn_frame_read_u8(&answer.fields, &role), PN_OK);
        pn_child_flush(keyholder);
        if (role == PN_ROLE_CONTROL)
            return;
    }
    fail_msg("control's connection was lost");
}

static void child_that_breaks_the_protocol_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct pn_frame answer;
    int fd = -1;

    assert_false(ask(f, PN_MEMBER_GATEWAY, 0x999, "x", &answer, &fd));
    assert_int_equal(write(f->ask[PN_MEMBER_CONTROL].fd, "\xff\xff\xff\xff", 4), 4);
    assert_false(pn_house_answer(&f->house, &f->house.members[PN_MEMBER_CONTROL], 0));
}

/* --- imports started ahead: this very program, as it is started by the house, stands for one ---
 */

static int be_import(void)
{
    char byte;

    return read(PN_IMPORT_FD, &byte, 1) == 1 && byte == 'd' ? 1 : 0; /* its end, or "die" */
}

static int take_import(struct fixture *f)
{
    struct pn_frame answer;
    int fd = -1;

    assert_true(ask(f, PN_MEMBER_KEYHOLDER, PN_BROKER_CONNECT, PN_SERVICE_IMPORT, &answer, &fd));
    assert_int_equal(answer.type, PN_BROKER_CONNECTED);
    assert_true(fd >= 0);
    return fd;
}

static void reap(struct fixture *f, pid_t pid, uint64_t now_ms)
{
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(pn_house_reap_import(&f->house, pid, now_ms));
}

static void import_started_ahead_is_used_once_and_followed_by_a_new_one(void **state)
{
    struct fixture *f = *state;
    pid_t first, second;
    int fd;

    pn_house_tend_spare(&f->house, 0);
    first = f->house.spare.pid;
    assert_true(first > 0);
    fd = take_import(f);
    assert_int_equal(f->house.imports[0].pid, first);
    assert_int_equal(f->house.spare.pid, 0);
    pn_house_tend_spare(&f->house, PN_SPARE_DELAY_MS - 1);
    assert_int_equal(f->house.spare.pid, 0);
    pn_house_tend_spare(&f->house, PN_SPARE_DELAY_MS);
    second = f->house.spare.pid;
    assert_true(second > 0 && second != first);
    close(fd);
    reap(f, first, 0);
    assert_int_equal(f->house.imports[0].pid, 0);
    pn_house_drop_spare(&f->house);
    assert_int_equal(waitpid(second, NULL, 0), second);
}

static void import_that_died_before_its_file_came_is_not_handed_out(void **state)
{
    struct fixture *f = *state;
    pid_t dead, cold;
    int fd;

    pn_house_tend_spare(&f->house, 0);
    dead = f->house.spare.pid;
    assert_int_equal(write(f->house.spare.fd, "d", 1), 1);
    assert_int_equal(waitpid(dead, NULL, 0), dead); /* SIGCHLD was not looked at yet */
    fd = take_import(f);
    cold = f->house.imports[0].pid;
    assert_true(cold > 0 && cold != dead);
    assert_int_equal(f->house.spare.pid, 0);
    pn_house_tend_spare(&f->house, PN_SPARE_DELAY_MS); /* no race of starting and dying */
    assert_int_equal(f->house.spare.pid, 0);
    close(fd);
    reap(f, cold, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(control_reaches_the_keyholder_and_is_named_to_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_the_table_does_not_allow_is_denied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_waits_for_a_child_that_is_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(house_is_ready_when_each_member_has_said_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(only_control_tells_facts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flood_of_connections_leaves_room_for_control, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(child_that_breaks_the_protocol_is_given_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(import_started_ahead_is_used_once_and_followed_by_a_new_one,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(import_that_died_before_its_file_came_is_not_handed_out,
                                        set_up, tear_down),
    };

    if (argc == 1 && strcmp(argv[0], "postern-import") == 0)
        return be_import();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
