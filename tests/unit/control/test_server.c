/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTPS server of the management plane, over a UNIX socket with a real TLS client: the loop
 * runs in a thread of its own, the test is the client. The server's key is local, through the
 * signer's seam.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "control/server.h"
#include "http/h1.h"
#include "loop/loop.h"
#include "signer/signer.h"
#include "tls/server.h"

enum { BODY_MAX = 64 * 1024 };

struct fixture {
    struct pn_signer *signer;
    struct pn_tls_certificate *certificate;
    struct pn_tls_server *tls;
    struct pn_loop *loop;
    struct pn_server *server;
    pthread_t thread;
    int listen_fd;
    EVP_PKEY *key;
    SSL_CTX *client_ctx;
    sem_t entered; /* the handler of /block is in */
    sem_t release; /* … and may go on */
    bool was_drained;
};

/* ---- the server's side ---- */

static enum pn_rc sign_locally(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                               enum pn_sign_algorithm algorithm, struct pn_slice message,
                               struct pn_buf *signature, struct pn_error *err)
{
    EVP_PKEY *pkey = ctx;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char bytes[256];
    size_t len = sizeof(bytes);
    int ok = 0;

    (void)key;
    if (use != PN_USE_SERVER || algorithm != PN_SIGN_ECDSA_SHA256 || !md) {
        EVP_MD_CTX_free(md);
        return pn_error_set(err, PN_DENIED, "use", "not a server's signature");
    }
    ok = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pkey) == 1 &&
         EVP_DigestSign(md, bytes, &len, (const unsigned char *)message.ptr, message.len) == 1;
    EVP_MD_CTX_free(md);
    if (!ok)
        return pn_error_set(err, PN_INTERNAL, "sign", "cannot sign");
    return pn_buf_append(signature, bytes, len);
}

static void handle(void *ctx, const struct pn_request *request, struct pn_response *response)
{
    struct fixture *f = ctx;
    char text[128];

    if (pn_slice_eq_str(request->path, "/block")) {
        if (sem_post(&f->entered) != 0 || sem_wait(&f->release) != 0)
            abort();
    }
    if (pn_slice_eq_str(request->path, "/bad-status")) {
        response->status = 99;
        return;
    }
    if (pn_slice_eq_str(request->path, "/none")) {
        response->status = 204;
        return;
    }
    (void)snprintf(text, sizeof(text), "%.*s %.*s %zu", PN_FMT(request->method),
                   PN_FMT(request->path), request->body.len);
    /* cmocka's asserts are for the test's thread only */
    if (pn_response_header(response, "X-Origin", "%.*s", PN_FMT(request->origin)) != PN_OK ||
        pn_response_body(response, 200, "text/plain", pn_slice_str(text)) != PN_OK)
        abort();
}

static X509 *self_signed(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = NULL;

    assert_non_null(cert);
    name = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static void make_tls(struct fixture *f)
{
    struct pn_error err = {0};
    struct pn_tls_certificate_spec spec = {.name = "listener", .generation = 1};
    struct pn_tls_host host = {0};
    struct pn_tls_server_spec server_spec = {
        .hosts = &host, .host_count = 1, .cleanse_plaintext = true};
    unsigned char *der = NULL;
    unsigned char *spki = NULL;
    struct pn_slice chain;
    X509 *cert = NULL;
    int len = 0;

    f->key = EVP_EC_gen("P-256");
    assert_non_null(f->key);
    cert = self_signed(f->key);
    len = i2d_PUBKEY(f->key, &spki);
    assert_true(len > 0);
    pn_sha256(pn_slice(spki, (size_t)len), spec.key.sha256);
    len = i2d_X509(cert, &der);
    assert_true(len > 0);
    chain = pn_slice(der, (size_t)len);
    spec.use = PN_USE_SERVER;
    spec.chain = &chain;
    spec.chain_count = 1;
    assert_int_equal(pn_signer_create(&f->signer, &err), PN_OK);
    assert_int_equal(pn_tls_certificate_create(f->signer, &spec, &f->certificate, &err), PN_OK);
    host.certificate = f->certificate;
    server_spec.alpn = PN_ALPN_HTTP11;
    assert_int_equal(pn_tls_server_create(f->signer, &server_spec, &f->tls, &err), PN_OK);
    OPENSSL_free(der);
    OPENSSL_free(spki);
    X509_free(cert);
}

static void *loop_main(void *argument)
{
    struct fixture *f = argument;
    struct pn_error err;

    pn_signer_bind_thread_fn(sign_locally, f->key);
    if (pn_loop_run(f->loop, &err) != PN_OK)
        abort();
    pn_signer_bind_thread_fn(NULL, NULL);
    return NULL;
}

static void start(struct fixture *f, const struct pn_server_limits *limits, size_t workers)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pn_server_spec spec = {.name = "test", .handler = handle, .ctx = f};
    struct pn_error err = {0};

    memset(f, 0, sizeof(*f));
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(sem_init(&f->entered, 0, 0), 0);
    assert_int_equal(sem_init(&f->release, 0, 0), 0);
    make_tls(f);
    f->client_ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(f->client_ctx);
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->listen_fd >= 0);
    /* No path: the kernel chooses an abstract name. */
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(f->listen_fd, 64), 0);
    assert_int_equal(pn_loop_create(&f->loop, &err), PN_OK);
    spec.listen_fds = &f->listen_fd;
    spec.listen_count = 1;
    spec.tls = f->tls;
    spec.worker_count = workers;
    if (limits)
        spec.limits = *limits;
    assert_int_equal(pn_server_create(f->loop, &spec, &f->server, &err), PN_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, loop_main, f), 0);
}

static void end_without_join(struct fixture *f)
{
    pn_server_destroy(f->server);
    pn_loop_destroy(f->loop);
    pn_tls_server_unref(f->tls);
    pn_tls_certificate_unref(f->certificate);
    pn_signer_destroy(f->signer);
    SSL_CTX_free(f->client_ctx);
    EVP_PKEY_free(f->key);
    (void)close(f->listen_fd);
    (void)sem_destroy(&f->entered);
    (void)sem_destroy(&f->release);
}

static void end(struct fixture *f)
{
    pn_loop_stop(f->loop);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    end_without_join(f);
}

/* ---- the client's side ---- */

struct client {
    SSL *ssl;
    int fd;
    struct pn_buf in;
    struct pn_arena *arena;
};

struct answer {
    struct pn_response_head head;
    struct pn_buf body;
};

static int connect_to(struct fixture *f)
{
    struct sockaddr_un address;
    struct timeval limit = {.tv_sec = 20};
    socklen_t len = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static void client_open(struct fixture *f, struct client *client)
{
    client->fd = connect_to(f);
    client->ssl = SSL_new(f->client_ctx);
    assert_non_null(client->ssl);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    assert_int_equal(SSL_connect(client->ssl), 1);
    pn_buf_init(&client->in, 1u << 20);
    client->arena = pn_arena_create(4096, 1u << 20);
    assert_non_null(client->arena);
}

static void client_close(struct client *client)
{
    SSL_free(client->ssl);
    (void)close(client->fd);
    pn_buf_fini(&client->in);
    pn_arena_destroy(client->arena);
}

static void client_send(struct client *client, const char *text)
{
    assert_int_equal(SSL_write(client->ssl, text, (int)strlen(text)), (int)strlen(text));
}

/* False: the server has closed. */
static bool client_fill(struct client *client)
{
    int len = 0;

    assert_int_equal(pn_buf_reserve(&client->in, 16384), PN_OK);
    len = SSL_read(client->ssl, client->in.ptr + client->in.len, 16384);
    if (len <= 0)
        return false;
    client->in.len += (size_t)len;
    return true;
}

static void client_read(struct client *client, const char *method, struct answer *answer)
{
    const struct pn_http_limits limits = PN_HTTP_LIMITS_DEFAULT;
    struct pn_h1_scan scan = {0};
    struct pn_http_fault fault = {0, "none"};
    struct pn_h1_body body;
    struct pn_slice head;
    size_t used = 0;
    enum pn_rc rc = PN_AGAIN;

    for (;;) {
        rc = pn_h1_scan(&scan, PN_H1_RESPONSE, pn_buf_slice(&client->in), &limits, &used, &fault);
        if (rc != PN_AGAIN)
            break;
        assert_true(client_fill(client));
    }
    assert_int_equal(rc, PN_OK);
    head = pn_arena_dup(client->arena, pn_slice(client->in.ptr, used));
    pn_buf_consume(&client->in, used);
    pn_headers_init(&answer->head.headers, client->arena);
    assert_int_equal(
        pn_h1_response_parse(head, &limits, pn_slice_str(method), &answer->head, &fault), PN_OK);
    pn_h1_body_init(&body, PN_H1_RESPONSE, answer->head.framing, answer->head.content_length,
                    &limits, NULL);
    pn_buf_init(&answer->body, 1u << 20);
    for (;;) {
        struct pn_slice data;

        rc = pn_h1_body_next(&body, pn_buf_slice(&client->in), &data, &used, &fault);
        if (rc == PN_OK)
            assert_int_equal(pn_buf_append_slice(&answer->body, data), PN_OK);
        pn_buf_consume(&client->in, used);
        if (rc == PN_AGAIN)
            assert_true(client_fill(client));
        else if (rc != PN_OK)
            break;
    }
    assert_int_equal(rc, PN_EOF);
}

static void expect(struct client *client, const char *method, int status, const char *body)
{
    struct answer answer;

    client_read(client, method, &answer);
    assert_int_equal(answer.head.status, status);
    if (body) {
        assert_int_equal(answer.body.len, strlen(body));
        if (answer.body.len > 0)
            assert_memory_equal(answer.body.ptr, body, answer.body.len);
    }
    pn_buf_fini(&answer.body);
}

/* The answer's body is the error form with that code. */
static void expect_error(struct client *client, int status, const char *code)
{
    struct answer answer;
    struct pn_error err;
    json_t *json = NULL;

    client_read(client, "GET", &answer);
    assert_int_equal(answer.head.status, status);
    assert_int_equal(pn_json_parse(pn_buf_slice(&answer.body), &json, &err), PN_OK);
    assert_string_equal(pn_json_str(json_object_get(json, "error"), "code"), code);
    assert_non_null(pn_json_str(json_object_get(json, "error"), "message"));
    json_decref(json);
    pn_buf_fini(&answer.body);
}

static void expect_closed(struct client *client)
{
    assert_false(client_fill(client));
}

/* ---- tests ---- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, NULL, 4);
    client_open(&f, &c);
    client_send(&c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                    "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
                    "GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(&c, "GET", 200, "GET /1 0");
    expect(&c, "PUT", 200, "PUT /2 3");
    expect(&c, "HEAD", 200, "");
    expect(&c, "GET", 204, "");
    expect(&c, "GET", 200, "GET /5 0");
    expect_closed(&c);
    client_close(&c);
    end(&f);
}

static void requests_may_arrive_byte_by_byte(void **state)
{
    const char *text = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n";
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &c);
    for (const char *p = text; *p; p++)
        assert_int_equal(SSL_write(c.ssl, p, 1), 1);
    expect(&c, "POST", 200, "POST /x 5");
    client_close(&c);
    end(&f);
}

static void answers_carry_the_common_headers(void **state)
{
    struct fixture f;
    struct client c;
    struct answer answer;

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &c);
    client_send(&c, "GET / HTTP/1.1\r\nHost: a.example:1\r\nx-ms-client-request-id: mine\r\n\r\n");
    client_read(&c, "GET", &answer);
    assert_int_equal(pn_headers_get(&answer.head.headers, "x-ms-request-id").len, 36);
    assert_true(
        pn_slice_eq_str(pn_headers_get(&answer.head.headers, "x-ms-client-request-id"), "mine"));
    assert_true(pn_slice_eq_str(pn_headers_get(&answer.head.headers, "Cache-Control"), "no-cache"));
    assert_true(
        pn_slice_eq_str(pn_headers_get(&answer.head.headers, "X-Content-Type-Options"), "nosniff"));
    assert_true(
        pn_slice_eq_str(pn_headers_get(&answer.head.headers, "X-Origin"), "https://a.example:1"));
    assert_true(pn_headers_has(&answer.head.headers, "Strict-Transport-Security"));
    assert_true(pn_headers_has(&answer.head.headers, "Date"));
    pn_buf_fini(&answer.body);
    client_send(&c, "GET / HTTP/1.1\r\nHost: v.localhost:9444\r\n\r\n");
    client_read(&c, "GET", &answer);
    assert_false(pn_headers_has(&answer.head.headers, "Strict-Transport-Security"));
    pn_buf_fini(&answer.body);
    client_close(&c);
    end(&f);
}

static void continue_is_sent_before_the_body(void **state)
{
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &c);
    client_send(&c, "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    expect(&c, "PUT", 100, "");
    client_send(&c, "ab");
    expect(&c, "PUT", 200, "PUT /x 2");
    client_close(&c);
    end(&f);
}

static void a_body_at_the_limit_is_taken(void **state)
{
    struct pn_server_limits limits = {.body_bytes_max = 5};
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, &limits, 1);
    client_open(&f, &c);
    client_send(&c, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    expect(&c, "PUT", 200, "PUT /x 5");
    client_send(&c, "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    expect_error(&c, 413, "RequestEntityTooLarge");
    expect_closed(&c);
    client_close(&c);
    end(&f);
}

static void a_client_that_sends_too_much_can_read_why(void **state)
{
    struct pn_server_limits limits = {.body_bytes_max = BODY_MAX};
    char *big = calloc(1, 10 * 1024 * 1024);
    struct fixture f;
    struct client c;

    (void)state;
    assert_non_null(big);
    start(&f, &limits, 1);
    client_open(&f, &c);
    client_send(&c, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n");
    for (size_t sent = 0; sent < 10 * 1024 * 1024;) {
        int len = SSL_write(c.ssl, big + sent, 10 * 1024 * 1024 - (int)sent);

        assert_true(len > 0);
        sent += (size_t)len;
    }
    expect_error(&c, 413, "RequestEntityTooLarge");
    client_close(&c);
    end(&f);
    free(big);
}

static void bad_requests_are_told_and_end_the_connection(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *code;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"},
        {"GET / HTTP/1.0\r\n\r\n", 400, "BadRequest"},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "HttpVersionNotSupported"},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BadRequest"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BadRequest"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "BadRequest"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417, "ExpectationFailed"},
        {"nonsense\r\n\r\n", 400, "BadRequest"},
    };
    struct fixture f;

    (void)state;
    start(&f, NULL, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c;

        client_open(&f, &c);
        client_send(&c, cases[i].text);
        expect_error(&c, cases[i].status, cases[i].code);
        expect_closed(&c);
        client_close(&c);
    }
    end(&f);
}

static void a_handler_without_an_answer_is_500(void **state)
{
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &c);
    client_send(&c, "GET /bad-status HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_error(&c, 500, "InternalServerError");
    client_send(&c, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&c, "GET", 200, "GET /x 0");
    client_close(&c);
    end(&f);
}

static void a_full_queue_is_told_to_come_back(void **state)
{
    struct pn_server_limits limits = {.queue_max = 1};
    struct fixture f;
    struct client c[3];
    struct pollfd ready[2] = {{.events = POLLIN}, {.events = POLLIN}};
    struct answer answer;
    int refused = 0;

    (void)state;
    start(&f, &limits, 1);
    for (int i = 0; i < 3; i++) {
        client_open(&f, &c[i]);
        client_send(&c[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(&c[i], "GET", 200, "GET /x 0");
    }
    client_send(&c[2], "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(sem_wait(&f.entered), 0);
    /* Two requests for the one place in the queue: one of them is refused at once. */
    for (int i = 0; i < 2; i++) {
        client_send(&c[i], "GET /y HTTP/1.1\r\nHost: a\r\n\r\n");
        ready[i].fd = c[i].fd;
    }
    assert_int_equal(poll(ready, 2, 20000), 1);
    refused = ready[0].revents != 0 ? 0 : 1;
    client_read(&c[refused], "GET", &answer);
    assert_int_equal(answer.head.status, 503);
    assert_true(pn_headers_has(&answer.head.headers, "Retry-After"));
    assert_true(answer.head.keep_alive);
    pn_buf_fini(&answer.body);
    assert_int_equal(sem_post(&f.release), 0);
    expect(&c[1 - refused], "GET", 200, "GET /y 0");
    expect(&c[2], "GET", 200, NULL);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    end(&f);
}

static void a_head_that_does_not_end_times_out(void **state)
{
    struct pn_server_limits limits = {.header_timeout_ms = 20, .body_timeout_ms = 20};
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, &limits, 1);
    client_open(&f, &c);
    client_send(&c, "GET / HTTP/1.1\r\nHo");
    expect_error(&c, 408, "RequestTimeout");
    expect_closed(&c);
    client_close(&c);
    client_open(&f, &c);
    client_send(&c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    expect_error(&c, 408, "RequestTimeout");
    client_close(&c);
    end(&f);
}

static void idle_connections_are_closed_in_time(void **state)
{
    struct pn_server_limits limits = {.idle_timeout_ms = 20};
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, &limits, 1);
    client_open(&f, &c);
    expect_closed(&c);
    client_close(&c);
    end(&f);
}

static void the_longest_idle_connection_makes_room(void **state)
{
    struct pn_server_limits limits = {.connections_max = 2};
    struct fixture f;
    struct client c[3];

    (void)state;
    start(&f, &limits, 1);
    for (int i = 0; i < 3; i++) {
        client_open(&f, &c[i]);
        client_send(&c[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(&c[i], "GET", 200, "GET /x 0");
    }
    expect_closed(&c[0]);
    client_send(&c[1], "GET /y HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&c[1], "GET", 200, "GET /y 0");
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    end(&f);
}

static void plain_text_gets_nothing(void **state)
{
    struct fixture f;
    char byte = 0;
    int fd = -1;

    (void)state;
    start(&f, NULL, 1);
    fd = connect_to(&f);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 27);
    while (read(fd, &byte, 1) == 1) /* at most a TLS alert */
        assert_int_not_equal(byte, 'H');
    (void)close(fd);
    end(&f);
}

static void on_drained(void *ctx)
{
    struct fixture *f = ctx;

    f->was_drained = true;
    pn_loop_stop(f->loop);
}

static void drain_now(struct pn_message *message)
{
    struct fixture *f = message->ctx;

    pn_server_drain(f->server, 10000, on_drained, f);
}

static void requests_in_flight_are_answered_while_draining(void **state)
{
    struct fixture f;
    struct client busy;
    struct client idle;
    struct answer answer;
    struct pn_message message = {.deliver = drain_now, .ctx = &f};

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &idle);
    client_open(&f, &busy);
    client_send(&busy, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(sem_wait(&f.entered), 0);
    assert_int_equal(pn_loop_post(f.loop, &message), PN_OK);
    expect_closed(&idle);
    assert_int_equal(sem_post(&f.release), 0);
    client_read(&busy, "GET", &answer);
    assert_int_equal(answer.head.status, 200);
    assert_false(answer.head.keep_alive);
    pn_buf_fini(&answer.body);
    expect_closed(&busy);
    client_close(&busy);
    client_close(&idle);
    assert_int_equal(pthread_join(f.thread, NULL), 0);
    assert_true(f.was_drained);
    end_without_join(&f);
}

static void destroying_waits_for_a_running_handler(void **state)
{
    struct fixture f;
    struct client c;

    (void)state;
    start(&f, NULL, 1);
    client_open(&f, &c);
    client_send(&c, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(sem_wait(&f.entered), 0);
    client_close(&c);
    pn_loop_stop(f.loop);
    assert_int_equal(pthread_join(f.thread, NULL), 0);
    assert_int_equal(sem_post(&f.release), 0);
    end_without_join(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_may_arrive_byte_by_byte),
        cmocka_unit_test(answers_carry_the_common_headers),
        cmocka_unit_test(continue_is_sent_before_the_body),
        cmocka_unit_test(a_body_at_the_limit_is_taken),
        cmocka_unit_test(a_client_that_sends_too_much_can_read_why),
        cmocka_unit_test(bad_requests_are_told_and_end_the_connection),
        cmocka_unit_test(a_handler_without_an_answer_is_500),
        cmocka_unit_test(a_full_queue_is_told_to_come_back),
        cmocka_unit_test(a_head_that_does_not_end_times_out),
        cmocka_unit_test(idle_connections_are_closed_in_time),
        cmocka_unit_test(the_longest_idle_connection_makes_room),
        cmocka_unit_test(plain_text_gets_nothing),
        cmocka_unit_test(requests_in_flight_are_answered_while_draining),
        cmocka_unit_test(destroying_waits_for_a_running_handler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
