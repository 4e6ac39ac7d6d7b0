/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises of channels and of the keyholder's client, over socket pairs.
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

#include "ipc/channel.h"
#include "ipc/keyholder.h"
#include "ipc/protocol.h"

static void make_pair(struct pn_channel *a, struct pn_channel *b)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pn_channel_init(a, pair[0]);
    pn_channel_init(b, pair[1]);
}

static void make_frame(struct pn_buf *out, uint16_t type, uint32_t id, const char *text)
{
    size_t start;

    assert_int_equal(pn_frame_begin(out, type, id, &start), PN_OK);
    assert_int_equal(pn_frame_str(out, text), PN_OK);
    assert_int_equal(pn_frame_end(out, start), PN_OK);
}

static void expect_text(struct pn_frame *frame, uint16_t type, const char *text)
{
    struct pn_slice bytes;

    assert_int_equal(frame->type, type);
    assert_int_equal(pn_frame_read_bytes(&frame->fields, &bytes), PN_OK);
    assert_true(pn_slice_eq_str(bytes, text));
}

static void frames_that_come_together_are_received_one_by_one(void **state)
{
    struct pn_channel a, b;
    struct pn_frame frame;
    struct pn_buf buf;

    (void)state;
    make_pair(&a, &b);
    pn_buf_init(&buf, 1024);
    make_frame(&buf, 1, 1, "one");
    make_frame(&buf, 2, 2, "two");
    assert_int_equal(pn_channel_send(&a, pn_buf_slice(&buf), -1, 100), PN_OK);
    assert_int_equal(pn_channel_receive(&b, &frame, NULL, 100), PN_OK);
    expect_text(&frame, 1, "one");
    assert_int_equal(pn_channel_receive(&b, &frame, NULL, 100), PN_OK);
    expect_text(&frame, 2, "two");
    pn_buf_fini(&buf);
    pn_channel_fini(&a);
    pn_channel_fini(&b);
}

static void a_descriptor_comes_with_its_own_frame_and_closes_on_exec(void **state)
{
    struct pn_channel a, b;
    struct pn_frame frame;
    struct pn_buf one, two;
    int fd = -1;

    (void)state;
    make_pair(&a, &b);
    pn_buf_init(&one, 256);
    pn_buf_init(&two, 256);
    make_frame(&one, 1, 1, "without");
    make_frame(&two, 2, 2, "with");
    assert_int_equal(pn_channel_send(&a, pn_buf_slice(&one), -1, 100), PN_OK);
    assert_int_equal(pn_channel_send(&a, pn_buf_slice(&two), STDIN_FILENO, 100), PN_OK);
    assert_int_equal(pn_channel_receive(&b, &frame, &fd, 100), PN_OK);
    assert_int_equal(fd, -1);
    assert_int_equal(pn_channel_receive(&b, &frame, &fd, 100), PN_OK);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    pn_buf_fini(&one);
    pn_buf_fini(&two);
    pn_channel_fini(&a);
    pn_channel_fini(&b);
}

static void an_answer_that_does_not_come_in_time_closes_the_channel(void **state)
{
    struct pn_channel a, b;
    struct pn_frame frame;

    (void)state;
    make_pair(&a, &b);
    assert_int_equal(pn_channel_wait(&b, 0), PN_TIMEOUT);
    assert_true(b.fd >= 0);
    assert_int_equal(pn_channel_receive(&b, &frame, NULL, 0), PN_TIMEOUT);
    assert_int_equal(b.fd, -1);
    assert_int_equal(pn_channel_receive(&b, &frame, NULL, 0), PN_EOF);
    pn_channel_fini(&a);
    pn_channel_fini(&b);
}

static void a_frame_cut_short_is_malformed_and_an_end_between_frames_is_not(void **state)
{
    struct pn_buf buf;

    (void)state;
    pn_buf_init(&buf, 256);
    make_frame(&buf, 1, 1, "cut");
    for (size_t len = 0; len < buf.len; len++) {
        struct pn_channel a, b;
        struct pn_frame frame;

        make_pair(&a, &b);
        if (len > 0)
            assert_int_equal(write(a.fd, buf.ptr, len), len);
        pn_channel_fini(&a);
        assert_int_equal(pn_channel_receive(&b, &frame, NULL, 100),
                         len == 0 ? PN_EOF : PN_MALFORMED);
        assert_int_equal(b.fd, -1);
        pn_channel_fini(&b);
    }
    pn_buf_fini(&buf);
}

static void a_frame_above_the_receivers_limit_ends_the_connection(void **state)
{
    struct pn_channel a, b;
    struct pn_frame frame;
    struct pn_buf buf;

    (void)state;
    make_pair(&a, &b);
    pn_buf_init(&buf, 256);
    make_frame(&buf, 1, 1, "0123456789");
    b.in.max = buf.len - 1;
    assert_int_equal(pn_channel_send(&a, pn_buf_slice(&buf), -1, 100), PN_OK);
    assert_int_equal(pn_channel_receive(&b, &frame, NULL, 100), PN_LIMIT);
    pn_buf_fini(&buf);
    pn_channel_fini(&a);
    pn_channel_fini(&b);
}

static void sending_to_a_peer_that_went_away_is_unavailable(void **state)
{
    struct pn_channel a, b;

    (void)state;
    make_pair(&a, &b);
    pn_channel_fini(&b);
    assert_int_equal(pn_channel_send(&a, PN_LIT("x"), -1, 100), PN_UNAVAILABLE);
    assert_int_equal(a.fd, -1);
    pn_channel_fini(&a);
}

/* A keyholder that answers one question with what the test wants. */
struct fake {
    pthread_t thread;
    struct pn_channel channel;
    enum { FAKE_ERROR, FAKE_WRONG_ID, FAKE_NONSENSE, FAKE_CLOSE } how;
};

static void *run_fake(void *arg)
{
    struct fake *fake = arg;
    struct pn_frame question;
    struct pn_buf buf;
    size_t start;
    uint32_t id;

    pn_buf_init(&buf, 1024);
    if (pn_channel_receive(&fake->channel, &question, NULL, 5000) != PN_OK)
        return NULL;
    id = fake->how == FAKE_WRONG_ID ? question.id + 1 : question.id;
    if (fake->how == FAKE_CLOSE) {
        pn_channel_fini(&fake->channel);
        return NULL;
    }
    (void)!pn_frame_begin(&buf, fake->how == FAKE_ERROR ? PN_KEYHOLDER_ERROR : PN_KEYHOLDER_OK, id,
                          &start);
    if (fake->how == FAKE_ERROR) {
        (void)!pn_frame_u32(&buf, PN_DENIED);
        (void)!pn_frame_str(&buf, "use");
        (void)!pn_frame_str(&buf, "target");
        (void)!pn_frame_str(&buf, "not with this key");
    } else {
        (void)!pn_frame_u32(&buf, 0xffffffff);
    }
    (void)!pn_frame_end(&buf, start);
    (void)!pn_channel_send(&fake->channel, pn_buf_slice(&buf), -1, 1000);
    pn_buf_fini(&buf);
    return NULL;
}

static enum pn_rc ask_fake(int how, struct pn_error *err)
{
    struct pn_channel near;
    struct fake fake = {.how = how};
    struct pn_keyholder *kh;
    struct pn_key_id id = {{0}};
    struct pn_buf out;
    enum pn_rc rc;

    pn_buf_init(&out, 1024);
    make_pair(&near, &fake.channel);
    assert_int_equal(pthread_create(&fake.thread, NULL, run_fake, &fake), 0);
    assert_int_equal(pn_keyholder_create_fd(near.fd, &kh), PN_OK);
    rc = pn_keyholder_public(kh, PN_USE_CLIENT, &id, &out, err);
    pthread_join(fake.thread, NULL);
    pn_channel_fini(&fake.channel);
    pn_keyholder_destroy(kh);
    pn_buf_fini(&out);
    return rc;
}

static void the_keyholders_reason_reaches_the_caller(void **state)
{
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(ask_fake(FAKE_ERROR, &err), PN_DENIED);
    assert_string_equal(err.code, "use");
    assert_string_equal(err.target, "target");
    assert_string_equal(err.message, "not with this key");
}

static void an_answer_that_is_none_is_never_taken(void **state)
{
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(ask_fake(FAKE_WRONG_ID, &err), PN_UNAVAILABLE);
    assert_int_equal(ask_fake(FAKE_NONSENSE, &err), PN_MALFORMED);
    assert_int_equal(ask_fake(FAKE_CLOSE, &err), PN_UNAVAILABLE);
}

static void listening_sockets_are_found_by_name_and_index(void **state)
{
    (void)state;
    setenv(PN_LISTEN_ENV, "gateway=5,gateway=6,gateway-tls=7,vault=x,broken", 1);
    assert_int_equal(pn_listen_fd("gateway", 0), 5);
    assert_int_equal(pn_listen_fd("gateway", 1), 6);
    assert_int_equal(pn_listen_fd("gateway", 2), -1);
    assert_int_equal(pn_listen_fd("gateway-tls", 0), 7);
    assert_int_equal(pn_listen_fd("vault", 0), -1);
    assert_int_equal(pn_listen_fd("broken", 0), -1);
    unsetenv(PN_LISTEN_ENV);
    assert_int_equal(pn_listen_fd("gateway", 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_come_together_are_received_one_by_one),
        cmocka_unit_test(a_descriptor_comes_with_its_own_frame_and_closes_on_exec),
        cmocka_unit_test(an_answer_that_does_not_come_in_time_closes_the_channel),
        cmocka_unit_test(a_frame_cut_short_is_malformed_and_an_end_between_frames_is_not),
        cmocka_unit_test(a_frame_above_the_receivers_limit_ends_the_connection),
        cmocka_unit_test(sending_to_a_peer_that_went_away_is_unavailable),
        cmocka_unit_test(the_keyholders_reason_reaches_the_caller),
        cmocka_unit_test(an_answer_that_is_none_is_never_taken),
        cmocka_unit_test(listening_sockets_are_found_by_name_and_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
