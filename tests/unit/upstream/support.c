/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend that tests play by hand.
 */
#include "upstream/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 60

void pn_fake_open(struct pn_fake_backend *backend, const struct pn_pool_limits *limits)
{
    static const struct pn_http_limits http_limits = PN_HTTP_LIMITS_DEFAULT;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);

    memset(backend, 0, sizeof(*backend));
    backend->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(backend->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(backend->listener, 16), 0);
    assert_int_equal(getsockname(backend->listener, (struct sockaddr *)&address, &len), 0);
    backend->target = (struct pn_target){.host = PN_LIT("127.0.0.1"),
                                         .port = ntohs(address.sin_port),
                                         .authority = PN_LIT("backend.test")};
    backend->limits = http_limits;
    assert_int_equal(pn_loop_create(&backend->loop, NULL), PN_OK);
    pn_io_buffers_init(&backend->buffers);
    assert_int_equal(
        pn_pool_create(backend->loop, limits, &backend->buffers, NULL, &backend->pool, NULL),
        PN_OK);
}

void pn_fake_close(struct pn_fake_backend *backend)
{
    pn_pool_destroy(backend->pool);
    pn_loop_destroy(backend->loop);
    pn_io_buffers_fini(&backend->buffers);
    close(backend->listener);
}

void pn_fake_turns(struct pn_fake_backend *backend, int turns)
{
    for (int i = 0; i < turns; i++)
        assert_int_equal(pn_loop_turn(backend->loop, 2, NULL), PN_OK);
}

int pn_fake_accept(struct pn_fake_backend *backend)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        int fd = accept4(backend->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            int on = 1;

            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return fd;
        }
        pn_fake_turns(backend, 1);
    }
    return -1;
}

bool pn_fake_read(struct pn_fake_backend *backend, int fd, const char *part)
{
    backend->in_len = 0;
    for (int i = 0; i < TURNS_MAX; i++) {
        ssize_t got =
            recv(fd, backend->in + backend->in_len, sizeof(backend->in) - 1 - backend->in_len, 0);

        if (got > 0)
            backend->in_len += (size_t)got;
        backend->in[backend->in_len] = '\0';
        if (strstr(backend->in, part))
            return true;
        pn_fake_turns(backend, 1);
    }
    return false;
}

void pn_fake_write(struct pn_fake_backend *backend, int fd, const char *bytes)
{
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
    pn_fake_turns(backend, 3);
}

bool pn_fake_is_closed(struct pn_fake_backend *backend, int fd)
{
    char bytes[4096];

    for (int i = 0; i < TURNS_MAX; i++) {
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
        if (got > 0)
            continue;
        pn_fake_turns(backend, 1);
    }
    return false;
}

/* --- the user --- */

static enum pn_rc body_next(struct pn_source *source)
{
    struct pn_fake_source *fake = (struct pn_fake_source *)source;

    if (fake->text && *fake->text) {
        source->held = pn_slice_str(fake->text);
        fake->text = NULL;
        return PN_OK;
    }
    return fake->ends ? PN_EOF : PN_AGAIN;
}

static enum pn_rc body_read(struct pn_source *source)
{
    (void)source;
    return PN_AGAIN;
}

static const struct pn_source_ops body_ops = {.next = body_next, .read = body_read};

void pn_fake_source_init(struct pn_fake_source *fake)
{
    pn_source_init(&fake->source, &body_ops, false);
}

static void on_informational(void *ctx)
{
    ((struct pn_fake_user *)ctx)->informational++;
}

static void on_continue(void *ctx)
{
    ((struct pn_fake_user *)ctx)->continues++;
}

static void on_head(void *ctx)
{
    struct pn_fake_user *user = ctx;

    user->heads++;
    user->status = user->exchange.response.status;
    if (user->ends_at_head)
        pn_exchange_cancel(&user->exchange);
}

static void on_body(void *ctx)
{
    (void)ctx;
}

static void on_request_failed(void *ctx)
{
    ((struct pn_fake_user *)ctx)->request_failed++;
}

static void on_request_sent(void *ctx)
{
    ((struct pn_fake_user *)ctx)->sent++;
}

static void on_failed(void *ctx)
{
    ((struct pn_fake_user *)ctx)->failures++;
}

static const struct pn_exchange_events events = {
    .on_informational = on_informational,
    .on_continue = on_continue,
    .on_head = on_head,
    .on_body = on_body,
    .on_request_failed = on_request_failed,
    .on_request_sent = on_request_sent,
    .on_failed = on_failed,
};

void pn_fake_user_init(struct pn_fake_user *user, struct pn_fake_backend *backend)
{
    memset(user, 0, sizeof(*user));
    user->arena = pn_arena_create(8192, 1024u * 1024);
    assert_non_null(user->arena);
    pn_exchange_init(&user->exchange, backend->pool, &events, user);
}

void pn_fake_user_fini(struct pn_fake_user *user)
{
    pn_exchange_fini(&user->exchange);
    pn_arena_destroy(user->arena);
}

struct pn_exchange_spec pn_fake_spec(struct pn_fake_user *user, struct pn_fake_backend *backend,
                                     const char *method, const char *text, bool ends)
{
    struct pn_headers *headers = pn_arena_zalloc(user->arena, sizeof(*headers));
    struct pn_exchange_spec spec = {.demand = {.target = &backend->target},
                                    .method = pn_slice_str(method),
                                    .request_target = PN_LIT("/a?b"),
                                    .headers = headers,
                                    .framing = text ? PN_BODY_STREAMED : PN_BODY_NONE,
                                    .request_body = &user->body.source,
                                    .timeout_ms = 60000,
                                    .limits = &backend->limits,
                                    .arena = user->arena};

    pn_headers_init(headers, user->arena);
    pn_source_init(&user->body.source, &body_ops, !text);
    user->body.text = text;
    user->body.ends = ends;
    return spec;
}

const char *pn_fake_answer(struct pn_fake_user *user)
{
    static char text[65536];
    struct pn_source *answer = user->exchange.answer;
    size_t len = 0;

    for (int i = 0; i < 64; i++) {
        enum pn_rc rc = pn_source_peek(answer);

        if (rc == PN_AGAIN)
            rc = pn_source_read(answer) == PN_OK ? pn_source_peek(answer) : PN_AGAIN;
        if (rc != PN_OK)
            break;
        memcpy(text + len, answer->held.ptr, answer->held.len);
        len += answer->held.len;
        pn_source_use(answer, answer->held.len);
    }
    text[len] = '\0';
    return text;
}
