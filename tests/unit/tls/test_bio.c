/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket BIO's held bytes: the last flight of a client's handshake and what follows it are one
 * packet, and no byte is lost or out of order when the socket is full.
 */
#include "tls/peers.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <poll.h>

#include "tls/tls_internal.h"

/* ---- on a full socket */

struct pipe {
    struct pn_tls_link link;
    BIO *bio;
    int peer;
    size_t filled;
};

static struct pipe pipe_full(void)
{
    struct pipe pipe = {.peer = -1};
    char junk[512] = {0};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    pipe.peer = pair[1];
    for (ssize_t sent = 1; sent > 0; pipe.filled += sent > 0 ? (size_t)sent : 0)
        sent = send(pair[0], junk, sizeof(junk), MSG_NOSIGNAL);
    assert_int_equal(errno, EAGAIN);
    pipe.link.fd = pair[0];
    return pipe;
}

static void pipe_fini(struct pipe *pipe)
{
    BIO_free(pipe->bio);
    pn_tls_link_fini(&pipe->link);
    close(pipe->link.fd);
    close(pipe->peer);
}

/* Reads away what filled the socket. */
static void pipe_drain(struct pipe *pipe)
{
    char bytes[512];

    while (pipe->filled > 0) {
        ssize_t got =
            recv(pipe->peer, bytes, pipe->filled < sizeof(bytes) ? pipe->filled : sizeof(bytes), 0);

        assert_true(got > 0);
        pipe->filled -= (size_t)got;
    }
}

static void assert_peer_gets(const struct pipe *pipe, const char *expected)
{
    char bytes[64] = {0};

    assert_int_equal(recv(pipe->peer, bytes, sizeof(bytes) - 1, 0), strlen(expected));
    assert_string_equal(bytes, expected);
    assert_int_equal(recv(pipe->peer, bytes, sizeof(bytes), 0), -1);
}

static void full_socket_loses_nothing_of_what_is_held(void **state)
{
    struct pipe pipe = pipe_full();

    (void)state;
    pipe.bio = pn_tls_bio_new(&pipe.link);
    pipe.link.is_holding = true;
    assert_int_equal(BIO_write(pipe.bio, "finished", 8), 8);
    pipe.link.is_holding = false;
    pn_tls_bio_flush(&pipe.link);
    assert_int_equal(pipe.link.held_len, 8);
    assert_int_equal(BIO_write(pipe.bio, "request", 7), -1);
    assert_true(BIO_should_write(pipe.bio));
    assert_int_equal(pipe.link.held_len, 8);
    pipe_drain(&pipe);
    assert_int_equal(BIO_write(pipe.bio, "request", 7), 7);
    assert_null(pipe.link.held);
    assert_peer_gets(&pipe, "finishedrequest");
    pipe_fini(&pipe);
}

static void what_is_held_leaves_by_itself(void **state)
{
    struct pipe pipe = pipe_full();

    (void)state;
    pipe.bio = pn_tls_bio_new(&pipe.link);
    pipe.link.is_holding = true;
    assert_int_equal(BIO_write(pipe.bio, "finished", 8), 8);
    pn_tls_bio_flush(&pipe.link);
    pipe_drain(&pipe);
    pn_tls_bio_flush(&pipe.link);
    assert_null(pipe.link.held);
    assert_peer_gets(&pipe, "finished");
    pipe_fini(&pipe);
}

static void only_one_flight_is_held(void **state)
{
    struct pipe pipe = pipe_full();
    char flight[PN_TLS_HELD_MAX + 1] = {0};

    (void)state;
    pipe_drain(&pipe);
    pipe.bio = pn_tls_bio_new(&pipe.link);
    pipe.link.is_holding = true;
    assert_int_equal(BIO_write(pipe.bio, "one ", 4), 4);
    assert_int_equal(BIO_write(pipe.bio, "two", 3), 3);
    assert_null(pipe.link.held);
    assert_peer_gets(&pipe, "one two");
    assert_int_equal(BIO_write(pipe.bio, flight, sizeof(flight)), sizeof(flight));
    assert_null(pipe.link.held);
    pipe_fini(&pipe);
}

static void broken_socket_drops_what_is_held(void **state)
{
    struct pipe pipe = pipe_full();

    (void)state;
    pipe.bio = pn_tls_bio_new(&pipe.link);
    pipe.link.is_holding = true;
    assert_int_equal(BIO_write(pipe.bio, "finished", 8), 8);
    shutdown(pipe.peer, SHUT_RDWR);
    pn_tls_bio_flush(&pipe.link);
    assert_null(pipe.link.held);
    pipe_fini(&pipe);
}

/* ---- over TCP, where packets can be counted */

struct tcp_client {
    struct client client;
    const char *request; /* written in on_open; NULL: nothing */
    bool has_input;
};

static void on_tcp_readable(void *ctx, struct pn_stream *stream)
{
    struct tcp_client *client = ctx;

    on_readable(&client->client, stream);
    client->has_input = client->client.input_len > 0;
}

static void on_tcp_open(void *ctx, struct pn_stream *stream)
{
    struct tcp_client *client = ctx;
    size_t written = 0;

    on_open(&client->client, stream);
    if (!client->request)
        return;
    assert_int_equal(pn_stream_write(stream, client->request, strlen(client->request), &written),
                     PN_OK);
    assert_int_equal(written, strlen(client->request));
}

static const struct pn_stream_events tcp_events = {on_tcp_open, on_failed, on_tcp_readable,
                                                   on_writable};

static int tcp_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A network, even this one, takes its time. */
static void turns_until(const bool *is_done, struct server *server)
{
    for (int i = 0; i < 5000 && !*is_done; i++) {
        server_step(server);
        assert_int_equal(pn_loop_turn(loop, 1, NULL), PN_OK);
    }
    assert_true(*is_done);
}

static void wait_for_bytes(const struct server *server)
{
    struct pollfd readable = {.fd = server->fd, .events = POLLIN};

    assert_int_equal(poll(&readable, 1, 5000), 1);
}

static void tcp_connect(struct tcp_client *client, struct pn_tls_client *tls, struct server *server)
{
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity, .tls = tls, .fd = -1};
    uint16_t port;
    int listener = tcp_listen(&port);

    identity = identity_of(tls, "backend.test", port);
    assert_int_equal(
        pn_stream_connect(loop, &spec, &tcp_events, client, &client->client.stream, NULL), PN_OK);
    server->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(server->fd >= 0);
    close(listener);
    server->ssl = SSL_new(server->ctx);
    SSL_set_fd(server->ssl, server->fd);
    SSL_set_accept_state(server->ssl);
    turns_until(&client->client.is_open, server);
    turns_until(&server->is_done, server);
}

static unsigned packets_to(const struct server *server, bool with_data)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(server->fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return with_data ? info.tcpi_data_segs_in : info.tcpi_segs_in;
}

static void first_request_leaves_with_the_end_of_the_handshake(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    struct pn_tls_client *tls = context(trust, NULL);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct server server = server_make(&(struct server_options){.version = versions[i]});
        struct tcp_client client = {.request = "GET / HTTP/1.1\r\n\r\n"};
        char bytes[64] = {0};

        tcp_connect(&client, tls, &server);
        if (!SSL_has_pending(server.ssl))
            wait_for_bytes(&server);
        assert_int_equal(SSL_read(server.ssl, bytes, sizeof(bytes)), strlen(client.request));
        assert_string_equal(bytes, client.request);
        /* Hello, and all the rest; in TLS 1.2 the server still has a word before the request. */
        assert_int_equal(packets_to(&server, true), versions[i] == TLS1_3_VERSION ? 2 : 3);
        pn_stream_destroy(client.client.stream);
        turns(NULL);
        server_fini(&server);
    }
    pn_tls_client_unref(tls);
}

static void handshake_ends_without_a_request(void **state)
{
    struct pn_tls_client *tls = context(trust, NULL);
    struct server server = server_make(&(struct server_options){.version = TLS1_3_VERSION});
    struct tcp_client client = {.request = NULL};

    (void)state;
    tcp_connect(&client, tls, &server);
    assert_true(server.is_done);
    assert_int_equal(packets_to(&server, true), 2);
    pn_stream_destroy(client.client.stream);
    turns(NULL);
    server_fini(&server);
    pn_tls_client_unref(tls);
}

static void last_word_leaves_with_the_end(void **state)
{
    static const bool ours[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_client *tls = context(trust, NULL);
        struct server server = server_make(&(struct server_options){.version = TLS1_3_VERSION});
        struct tcp_client client = {.request = "?"};
        unsigned before;
        char byte;

        if (ours[i])
            pn_tls_client_use_own_records(tls);
        tcp_connect(&client, tls, &server);
        assert_int_equal(SSL_read(server.ssl, &byte, 1), 1);
        assert_int_equal(SSL_write(server.ssl, "!", 1), 1);
        turns_until(&client.has_input, &server);
        pn_stream_settle(client.client.stream);
        before = packets_to(&server, false);
        pn_stream_destroy(client.client.stream);
        wait_for_bytes(&server);
        assert_int_equal(SSL_read(server.ssl, &byte, 1), 0);
        assert_int_equal(SSL_get_error(server.ssl, 0), SSL_ERROR_ZERO_RETURN);
        assert_int_equal(packets_to(&server, false), before + 1);
        assert_int_equal(recv(server.fd, &byte, 1, 0), 0); /* FIN was in it */
        server_fini(&server);
        pn_tls_client_unref(tls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_socket_loses_nothing_of_what_is_held),
        cmocka_unit_test(what_is_held_leaves_by_itself),
        cmocka_unit_test(only_one_flight_is_held),
        cmocka_unit_test(broken_socket_drops_what_is_held),
        cmocka_unit_test(first_request_leaves_with_the_end_of_the_handshake),
        cmocka_unit_test(handshake_ends_without_a_request),
        cmocka_unit_test(last_word_leaves_with_the_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
