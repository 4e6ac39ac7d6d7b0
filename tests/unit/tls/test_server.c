/* SPDX-License-Identifier: Apache-2.0
 *
 * Our listeners against an OpenSSL client in the same process: names, tickets, certificates of
 * clients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tls/support.h"

static struct pn_loop *loop;
static struct pn_signer *signer;
static struct test_pair ca, default_pair, exact_pair, wild_pair, client_pair, expired_pair;
static struct pn_tls_certificate *by_default, *exact, *wild;
static struct pn_tls_tickets *tickets;
static uint64_t now_ms;

static uint64_t test_now_ms(void)
{
    return now_ms;
}

static struct test_pair pair_of(const char *name, int not_before_days, int not_after_days)
{
    return test_pair_make(&(struct test_spec){.common_name = name,
                                              .key_type = "EC:P-256",
                                              .issuer = &ca,
                                              .not_before_days = not_before_days,
                                              .not_after_days = not_after_days});
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pn_loop_create(&loop, NULL), PN_OK);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    pn_signer_bind_thread_fn(test_sign, NULL);
    ca = test_pair_make(
        &(struct test_spec){.common_name = "CA", .key_type = "EC:P-256", .is_ca = true});
    default_pair = pair_of("default", 0, 0);
    exact_pair = pair_of("exact", 0, 0);
    wild_pair = pair_of("wild", 0, 0);
    client_pair = pair_of("client", 0, 0);
    expired_pair = pair_of("expired", -9, -2);
    by_default = test_certificate(signer, "default", 1, PN_USE_SERVER, &default_pair, NULL);
    exact = test_certificate(signer, "exact", 1, PN_USE_SERVER, &exact_pair, NULL);
    wild = test_certificate(signer, "wild", 1, PN_USE_SERVER, &wild_pair, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_tls_certificate_unref(by_default);
    pn_tls_certificate_unref(exact);
    pn_tls_certificate_unref(wild);
    test_pair_fini(&ca);
    test_pair_fini(&default_pair);
    test_pair_fini(&exact_pair);
    test_pair_fini(&wild_pair);
    test_pair_fini(&client_pair);
    test_pair_fini(&expired_pair);
    test_keys_clear();
    pn_loop_destroy(loop);
    pn_signer_destroy(signer);
    return 0;
}

/* ---- one listener, one handshake with it */

struct listener {
    struct pn_tls_certificate *wild; /* NULL: `wild` */
    bool asks;                       /* the exact host asks for certificates */
    enum pn_alpn alpn;
};

static struct pn_tls_server *server_of(const struct listener *listener)
{
    struct pn_tls_server *server = NULL;
    struct pn_tls_host hosts[] = {
        {.certificate = by_default},
        {.name = "*.Example.test",
         .certificate = listener->wild ? listener->wild : wild,
         .asks_certificate = false},
        {.name = "api.example.test", .certificate = exact, .asks_certificate = listener->asks},
    };
    const struct pn_tls_server_spec spec = {
        .hosts = hosts, .host_count = 3, .alpn = listener->alpn, .tickets = tickets};

    assert_int_equal(pn_tls_server_create(signer, &spec, &server, NULL), PN_OK);
    return server;
}

struct visit {
    /* asked for */
    const char *name; /* NULL: no SNI */
    int version;      /* 0: any */
    const struct test_pair *pair;
    const char *alpn; /* in wire form */
    SSL_SESSION *session;
    /* what came of it */
    bool is_open, is_refused, is_resumed;
    char shown[64]; /* common name of the server's certificate */
    char alpn_agreed[16];
    char server_name[64];
    enum pn_alpn server_alpn;
    char thumbprint[PN_THUMBPRINT_TEXT];
    size_t chain_count;
    bool was_asked;
    struct pn_stream *stream;
    SSL_SESSION *won;
};

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct visit *visit = ctx;
    const struct pn_tls_peer *peer = pn_stream_peer(stream);
    size_t written;

    visit->is_open = true;
    visit->is_resumed = pn_stream_report(stream)->is_resumed;
    visit->server_alpn = pn_stream_alpn(stream);
    (void)snprintf(visit->server_name, sizeof(visit->server_name), "%s",
                   pn_stream_server_name(stream));
    if (peer) {
        memcpy(visit->thumbprint, peer->thumbprint, sizeof(visit->thumbprint));
        visit->chain_count = peer->count;
    }
    assert_int_equal(pn_stream_write(stream, "x", 1, &written), PN_OK);
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct visit *visit = ctx;

    (void)stream;
    (void)report;
    visit->is_refused = true;
}

static void on_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events events = {
    .on_open = on_open, .on_failed = on_failed, .on_readable = on_event, .on_writable = on_event};

static struct visit *visiting;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(visiting->won);
    visiting->won = session;
    return 1;
}

static int on_asked(SSL *ssl, void *arg)
{
    struct visit *visit = arg;

    visit->was_asked = true;
    if (!visit->pair)
        return 1;
    assert_int_equal(SSL_use_certificate(ssl, visit->pair->x509), 1);
    assert_int_equal(SSL_use_PrivateKey(ssl, visit->pair->key), 1);
    return 1;
}

static void note_shown(struct visit *visit, SSL *ssl)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    X509 *shown = SSL_get0_peer_certificate(ssl);

    if (shown)
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, visit->shown,
                                        sizeof(visit->shown));
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    memcpy(visit->alpn_agreed, alpn ? (const char *)alpn : "", alpn_len);
}

static SSL *client_of(struct visit *visit, SSL_CTX *ctx, int fd)
{
    SSL *ssl;

    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_cert_cb(ctx, on_asked, visit);
    if (visit->version)
        (void)SSL_CTX_set_max_proto_version(ctx, visit->version);
    ssl = SSL_new(ctx);
    (void)SSL_set_fd(ssl, fd);
    if (visit->name)
        (void)SSL_set_tlsext_host_name(ssl, visit->name);
    if (visit->alpn)
        (void)SSL_set_alpn_protos(ssl, (const unsigned char *)visit->alpn,
                                  (unsigned)strlen(visit->alpn));
    if (visit->session)
        assert_int_equal(SSL_set_session(ssl, visit->session), 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* Handshakes; the session that was won is the caller's. */
static void visit_run(struct visit *visit, struct pn_tls_server *server)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    int fds[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    visiting = visit;
    ssl = client_of(visit, ctx, fds[1]);
    assert_int_equal(pn_stream_accept(loop, fds[0], server, 1000, &events, visit, &visit->stream),
                     PN_OK);
    for (int i = 0; i < 20; i++) {
        (void)SSL_read(ssl, &byte, 1);
        assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
    }
    note_shown(visit, ssl);
    if (!visit->won && SSL_session_reused(ssl)) /* TLS 1.2 tells of no ticket in place of another */
        visit->won = SSL_get1_session(ssl);
    ERR_clear_error();
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    pn_stream_destroy(visit->stream);
    close(fds[1]);
    assert_int_equal(pn_loop_turn(loop, 0, NULL), PN_OK);
}

static struct visit visited(struct pn_tls_server *server, struct visit visit)
{
    visit_run(&visit, server);
    assert_true(visit.is_open);
    return visit;
}

static void forget(struct visit *visit)
{
    SSL_SESSION_free(visit->won);
    visit->won = NULL;
}

/* ---- names */

static void shows(struct pn_tls_server *server, const char *name, const char *expected)
{
    struct visit visit = visited(server, (struct visit){.name = name});

    assert_string_equal(visit.shown, expected);
    forget(&visit);
}

static void name_chooses_the_certificate_exact_before_wildcard(void **state)
{
    struct pn_tls_server *server = server_of(&(struct listener){0});

    (void)state;
    shows(server, "api.example.test", "exact");
    shows(server, "API.example.TEST", "exact");
    shows(server, "other.example.test", "wild");
    pn_tls_server_unref(server);
}

static void unknown_name_gets_the_default(void **state)
{
    struct pn_tls_server *server = server_of(&(struct listener){0});

    (void)state;
    shows(server, NULL, "default");
    shows(server, "example.test", "default");           /* '*' stands for one label, */
    shows(server, "a.other.example.test", "default");   /* not for two */
    shows(server, "example.test.evil.test", "default"); /* and the end counts */
    pn_tls_server_unref(server);
}

static void stream_knows_the_name_that_was_sent(void **state)
{
    struct pn_tls_server *server = server_of(&(struct listener){0});
    struct visit known = visited(server, (struct visit){.name = "API.example.test"});
    struct visit unknown = visited(server, (struct visit){.name = "Other.test"});
    struct visit none = visited(server, (struct visit){0});

    (void)state;
    assert_string_equal(known.server_name, "api.example.test");
    assert_string_equal(unknown.server_name, "other.test");
    assert_string_equal(none.server_name, "");
    forget(&known);
    forget(&unknown);
    forget(&none);
    pn_tls_server_unref(server);
}

static void host_that_is_no_name_is_refused(void **state)
{
    struct pn_tls_host host = {.name = "", .certificate = by_default};
    char name[PN_SERVER_NAME_MAX + 1] = {0};
    struct pn_tls_server_spec spec = {.hosts = &host, .host_count = 1};
    struct pn_tls_server *server = NULL;
    struct pn_error err;

    (void)state;
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_INVALID);
    memset(name, 'a', PN_SERVER_NAME_MAX);
    host.name = name;
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_INVALID);
    name[PN_SERVER_NAME_MAX - 1] = '\0';
    assert_int_equal(pn_tls_server_create(signer, &spec, &server, &err), PN_OK);
    pn_tls_server_unref(server);
}

/* ---- ALPN */

static void alpn_is_what_both_speak(void **state)
{
    static const struct {
        enum pn_alpn ours;
        const char *offered, *agreed;
        enum pn_alpn seen;
    } cases[] = {
        {PN_ALPN_H2_HTTP11, "\x02h2\x08http/1.1", "h2", PN_ALPN_H2},
        {PN_ALPN_H2_HTTP11, "\x08http/1.1\x02h2", "h2", PN_ALPN_H2}, /* our order */
        {PN_ALPN_H2_HTTP11, "\x08http/1.1", "http/1.1", PN_ALPN_HTTP11},
        {PN_ALPN_HTTP11, "\x02h2\x08http/1.1", "http/1.1", PN_ALPN_HTTP11},
        {PN_ALPN_HTTP11, "\x08http/1.0", "", PN_ALPN_NONE},
        {PN_ALPN_H2_HTTP11,
         "\x03"
         "ftp\x08http/1.0",
         "", PN_ALPN_NONE},
        {PN_ALPN_H2_HTTP11, NULL, "", PN_ALPN_NONE},
        {PN_ALPN_NONE, "\x02h2", "", PN_ALPN_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_tls_server *server = server_of(&(struct listener){.alpn = cases[i].ours});
        struct visit visit = visited(server, (struct visit){.alpn = cases[i].offered});

        assert_string_equal(visit.alpn_agreed, cases[i].agreed);
        assert_int_equal(visit.server_alpn, cases[i].seen);
        forget(&visit);
        pn_tls_server_unref(server);
    }
}

static void who_speaks_something_else_is_refused(void **state)
{
    static const struct {
        enum pn_alpn ours;
        const char *offered;
    } cases[] = {
        {PN_ALPN_HTTP11, "\x02h2"},
        {PN_ALPN_H2_HTTP11, "\x03"
                            "ftp"},
        {PN_ALPN_H2_HTTP11, "\x04imap\x08http/1.9"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_tls_server *server = server_of(&(struct listener){.alpn = cases[i].ours});
        struct visit visit = {.alpn = cases[i].offered};

        visit_run(&visit, server);
        assert_false(visit.is_open);
        assert_true(visit.is_refused);
        forget(&visit);
        pn_tls_server_unref(server);
    }
}

/* ---- sessions */

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void tickets_begin(uint32_t lifetime_s, uint32_t rotation_s)
{
    const struct pn_tls_tickets_spec spec = {
        .lifetime_s = lifetime_s, .rotation_s = rotation_s, .now_ms = test_now_ms};

    assert_int_equal(pn_tls_tickets_create(&spec, &tickets, NULL), PN_OK);
}

static void tickets_end(void)
{
    pn_tls_tickets_unref(tickets);
    tickets = NULL;
}

/* Wins a session from `first`, offers it to `then`. */
static bool resumes(struct pn_tls_server *first, struct pn_tls_server *then, int version,
                    const char *name, const char *then_name)
{
    struct visit one = visited(first, (struct visit){.name = name, .version = version});
    struct visit two;

    assert_false(one.is_resumed);
    assert_non_null(one.won);
    two = visited(then, (struct visit){.name = then_name, .version = version, .session = one.won});
    forget(&one);
    forget(&two);
    return two.is_resumed;
}

static void session_is_resumed_by_another_listener_with_the_same_keys(void **state)
{
    int64_t full = pn_metric_get(PN_METRIC_CLIENT_HANDSHAKES);
    int64_t resumed = pn_metric_get(PN_METRIC_CLIENT_RESUMED);

    (void)state;
    tickets_begin(600, 300);
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_server *first = server_of(&(struct listener){0});
        struct pn_tls_server *second = server_of(&(struct listener){0});

        assert_true(resumes(first, second, versions[i], "api.example.test", "api.example.test"));
        assert_true(resumes(first, second, versions[i], NULL, NULL));
        pn_tls_server_unref(first);
        pn_tls_server_unref(second);
    }
    assert_int_equal(pn_metric_get(PN_METRIC_CLIENT_HANDSHAKES) - full, 4);
    assert_int_equal(pn_metric_get(PN_METRIC_CLIENT_RESUMED) - resumed, 4);
    tickets_end();
}

static void session_is_not_resumed_for_another_name(void **state)
{
    (void)state;
    tickets_begin(600, 300);
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_server *server = server_of(&(struct listener){0});

        assert_false(
            resumes(server, server, versions[i], "api.example.test", "other.example.test"));
        assert_false(resumes(server, server, versions[i], "a.example.test", "b.example.test"));
        assert_false(resumes(server, server, versions[i], "api.example.test", NULL));
        assert_false(resumes(server, server, versions[i], NULL, "api.example.test"));
        pn_tls_server_unref(server);
    }
    tickets_end();
}

static void session_does_not_outlive_a_changed_certificate_requirement(void **state)
{
    (void)state;
    tickets_begin(600, 300);
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_server *without = server_of(&(struct listener){0});
        struct pn_tls_server *with = server_of(&(struct listener){.asks = true});

        assert_false(resumes(without, with, versions[i], "api.example.test", "api.example.test"));
        assert_false(resumes(with, without, versions[i], "api.example.test", "api.example.test"));
        assert_true(resumes(with, with, versions[i], "api.example.test", "api.example.test"));
        assert_true(resumes(without, with, versions[i], "a.example.test", "a.example.test"));
        pn_tls_server_unref(without);
        pn_tls_server_unref(with);
    }
    tickets_end();
}

static void session_does_not_outlive_a_rotated_listener_certificate(void **state)
{
    struct pn_tls_certificate *rotated =
        test_certificate(signer, "wild", 2, PN_USE_SERVER, &exact_pair, NULL);

    (void)state;
    tickets_begin(600, 300);
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_server *before = server_of(&(struct listener){0});
        struct pn_tls_server *after = server_of(&(struct listener){.wild = rotated});

        assert_false(resumes(before, after, versions[i], "a.example.test", "a.example.test"));
        assert_true(resumes(before, after, versions[i], "api.example.test", "api.example.test"));
        pn_tls_server_unref(before);
        pn_tls_server_unref(after);
    }
    pn_tls_certificate_unref(rotated);
    tickets_end();
}

static void ticket_ends_with_its_key_and_old_keys_are_wiped(void **state)
{
    struct pn_tls_server *server;
    struct visit first, later;

    (void)state;
    now_ms = 1000000;
    tickets_begin(600, 300);
    server = server_of(&(struct listener){0});
    first = visited(server, (struct visit){.version = TLS1_2_VERSION});
    now_ms += 301000; /* another key makes the tickets, the former opens its own */
    later = visited(server, (struct visit){.version = TLS1_2_VERSION, .session = first.won});
    assert_true(later.is_resumed);
    assert_int_equal(pn_tls_tickets_count(tickets), 2);
    forget(&later);
    now_ms += 600000;
    later = visited(server, (struct visit){.version = TLS1_2_VERSION, .session = first.won});
    assert_false(later.is_resumed);
    assert_int_equal(pn_tls_tickets_count(tickets), 2); /* the first one is gone */
    forget(&later);
    now_ms += 3600000;
    later = visited(server, (struct visit){0});
    assert_int_equal(pn_tls_tickets_count(tickets), 1);
    forget(&later);
    forget(&first);
    pn_tls_server_unref(server);
    tickets_end();
}

/* Each resumption brings a ticket, but the client has shown who it is only once (RFC 8446 §4.6.1).
 */
static void tickets_of_tickets_end_with_the_first_one(void **state)
{
    static const uint64_t steps_s[] = {250, 250, 90};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pn_tls_server *server;
        struct visit last;

        now_ms = 1000000;
        tickets_begin(600, 300);
        server = server_of(&(struct listener){.asks = true});
        last = visited(server, (struct visit){.version = versions[i],
                                              .name = "api.example.test",
                                              .pair = &client_pair});
        assert_false(last.is_resumed);
        for (size_t k = 0; k < 4; k++) {
            struct visit next;

            now_ms += k < 3 ? steps_s[k] * 1000 : 20000; /* at last 610 s after the handshake */
            next = visited(server, (struct visit){.version = versions[i],
                                                  .name = "api.example.test",
                                                  .pair = &client_pair,
                                                  .session = last.won});
            if (next.is_resumed != (k < 3))
                fail_msg("version %#x, visit %zu: resumed %d", (unsigned)versions[i], k,
                         next.is_resumed);
            if (next.won) {
                forget(&last);
                last = next;
            }
        }
        forget(&last);
        pn_tls_server_unref(server);
        tickets_end();
    }
}

/* Threads ask the clock and then wait for each other: the later one may have the earlier time. */
static void a_key_that_another_thread_has_just_made_is_kept(void **state)
{
    struct pn_tls_server *server;
    struct visit first, second;

    (void)state;
    now_ms = 1000000;
    tickets_begin(600, 300);
    server = server_of(&(struct listener){0});
    first = visited(server, (struct visit){.version = TLS1_3_VERSION});
    now_ms -= 1;
    second = visited(server, (struct visit){.version = TLS1_3_VERSION, .session = first.won});
    assert_true(second.is_resumed);
    assert_int_equal(pn_tls_tickets_count(tickets), 1);
    forget(&first);
    forget(&second);
    pn_tls_server_unref(server);
    tickets_end();
}

static void ticket_times_that_do_not_fit_are_refused(void **state)
{
    struct pn_tls_tickets *none = NULL;
    struct pn_error err;

    (void)state;
    assert_int_equal(pn_tls_tickets_create(
                         &(struct pn_tls_tickets_spec){.lifetime_s = PN_TICKET_LIFETIME_S_MAX + 1,
                                                       .rotation_s = PN_TICKET_LIFETIME_S_MAX},
                         &none, &err),
                     PN_INVALID);
    assert_int_equal(
        pn_tls_tickets_create(&(struct pn_tls_tickets_spec){.lifetime_s = 7200, .rotation_s = 60},
                              &none, &err),
        PN_INVALID);
    assert_string_equal(err.code, "ticket_times");
}

/* ---- certificates of clients */

static void thumbprint_of(const struct test_pair *pair, char out[PN_THUMBPRINT_TEXT])
{
    unsigned char hash[20];
    unsigned len = sizeof(hash);

    assert_int_equal(X509_digest(pair->x509, EVP_sha1(), hash, &len), 1);
    pn_hex_upper(hash, sizeof(hash), out);
}

static void certificate_of_a_client_is_kept_unverified(void **state)
{
    const struct test_pair *pairs[] = {&client_pair, &expired_pair, &ca};
    struct pn_tls_server *server = server_of(&(struct listener){.asks = true});

    (void)state;
    for (size_t v = 0; v < 2; v++) {
        for (size_t i = 0; i < 3; i++) {
            struct visit visit = visited(server, (struct visit){.name = "api.example.test",
                                                                .version = versions[v],
                                                                .pair = pairs[i]});
            char expected[PN_THUMBPRINT_TEXT];

            thumbprint_of(pairs[i], expected);
            assert_string_equal(visit.thumbprint, expected);
            assert_int_equal(visit.chain_count, 1);
            forget(&visit);
        }
    }
    pn_tls_server_unref(server);
}

static void client_without_certificate_is_let_in(void **state)
{
    struct pn_tls_server *server = server_of(&(struct listener){.asks = true});

    (void)state;
    for (size_t v = 0; v < 2; v++) {
        struct visit asked =
            visited(server, (struct visit){.name = "api.example.test", .version = versions[v]});
        struct visit other = visited(
            server,
            (struct visit){.name = "a.example.test", .version = versions[v], .pair = &client_pair});

        assert_true(asked.was_asked);
        assert_string_equal(asked.thumbprint, "");
        assert_false(other.was_asked);
        assert_string_equal(other.thumbprint, "");
        forget(&asked);
        forget(&other);
    }
    pn_tls_server_unref(server);
}

static void resumed_session_remembers_the_clients_certificate(void **state)
{
    (void)state;
    tickets_begin(600, 300);
    for (size_t v = 0; v < 2; v++) {
        struct pn_tls_server *server = server_of(&(struct listener){.asks = true});
        struct visit first = visited(server, (struct visit){.name = "api.example.test",
                                                            .version = versions[v],
                                                            .pair = &client_pair});
        struct visit second = visited(server, (struct visit){.name = "api.example.test",
                                                             .version = versions[v],
                                                             .session = first.won});

        assert_true(second.is_resumed);
        assert_string_equal(second.thumbprint, first.thumbprint);
        forget(&first);
        forget(&second);
        pn_tls_server_unref(server);
    }
    tickets_end();
}

static void certificate_without_its_key_ends_the_handshake(void **state)
{
    struct pn_tls_server *server = server_of(&(struct listener){.asks = true});
    struct test_pair forged = {.x509 = client_pair.x509};

    (void)state;
    forged.key = test_forge(client_pair.key, default_pair.key);
    for (size_t v = 0; v < 2; v++) {
        struct visit visit = {.name = "api.example.test", .version = versions[v], .pair = &forged};

        visit_run(&visit, server);
        assert_true(visit.was_asked);
        assert_false(visit.is_open);
        assert_true(visit.is_refused);
        forget(&visit);
    }
    EVP_PKEY_free(forged.key);
    pn_tls_server_unref(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_chooses_the_certificate_exact_before_wildcard),
        cmocka_unit_test(unknown_name_gets_the_default),
        cmocka_unit_test(stream_knows_the_name_that_was_sent),
        cmocka_unit_test(host_that_is_no_name_is_refused),
        cmocka_unit_test(alpn_is_what_both_speak),
        cmocka_unit_test(who_speaks_something_else_is_refused),
        cmocka_unit_test(session_is_resumed_by_another_listener_with_the_same_keys),
        cmocka_unit_test(session_is_not_resumed_for_another_name),
        cmocka_unit_test(session_does_not_outlive_a_changed_certificate_requirement),
        cmocka_unit_test(session_does_not_outlive_a_rotated_listener_certificate),
        cmocka_unit_test(ticket_ends_with_its_key_and_old_keys_are_wiped),
        cmocka_unit_test(tickets_of_tickets_end_with_the_first_one),
        cmocka_unit_test(a_key_that_another_thread_has_just_made_is_kept),
        cmocka_unit_test(ticket_times_that_do_not_fit_are_refused),
        cmocka_unit_test(certificate_of_a_client_is_kept_unverified),
        cmocka_unit_test(client_without_certificate_is_let_in),
        cmocka_unit_test(certificate_without_its_key_ends_the_handshake),
        cmocka_unit_test(resumed_session_remembers_the_clients_certificate),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
