/* SPDX-License-Identifier: Apache-2.0
 *
 * One request to a backend and its answer, over a pooled connection, whichever version of HTTP
 * carries it (RFC 9110). exchange.c is what the versions share; exchange_h1.c is
 * HTTP/1.1, exchange_h2.c HTTP/2.
 *
 *   IDLE -> ACQUIRING -> SENDING -> (head read) ANSWERING -> IDLE
 *                \           \     \-> (101) TUNNEL -> IDLE
 *                 \___________\___ failed: on_failed once, then IDLE
 *
 * The request's body comes from a source of the caller (the client's) and is sent while the answer
 * may already come. The answer's body is the source exchange->answer: the caller moves it.
 *
 * A request is tried a second time, once, only when nothing of an answer came, its body can be read
 * from its beginning, and either it was surely not processed (nothing of it was written; an HTTP/2
 * peer said REFUSED_STREAM, or GOAWAY with a lower last stream), or it is idempotent and was sent
 * on a reused connection that turned out to be closed (RFC 9110 §9.2.2, RFC 9113 §8.7). Thread: the
 * loop's. Memory: the request's arena.
 */
#pragma once

#include "http/h2.h"
#include "upstream/conn_h2.h"
#include "upstream/pool.h"

struct pn_exchange_events {
    /** A 1xx other than 100 and 101: exchange->response. */
    void (*on_informational)(void *ctx);
    /** To a request with expects_continue: the backend wants its body, or does not say (RFC 9110
     *  §10.1.1): tell the client. Not when a final answer comes first. */
    void (*on_continue)(void *ctx);
    /** The final answer's head: exchange->response; exchange->answer is ready. */
    void (*on_head)(void *ctx);
    /** There may be more of the answer's body. */
    void (*on_body)(void *ctx);
    /** The request's body broke off or is malformed: exchange->request_body->failure. */
    void (*on_request_failed)(void *ctx);
    /** TUNNEL: the client's last byte is written, and the backend told so. May be NULL. */
    void (*on_request_sent)(void *ctx);
    /** exchange->failure. Before the head only; later the transfer tells. */
    void (*on_failed)(void *ctx);
};

struct pn_exchange_spec {
    struct pn_demand demand; /* its target must live as long as the exchange */
    struct pn_slice method;
    struct pn_slice request_target; /* "/path?query" */
    const struct pn_headers
        *headers; /* end to end; Host, framing and Connection are written here */
    enum pn_framing framing;
    uint64_t content_length;
    struct pn_source *request_body;
    bool expects_continue;   /* the client waits for a 100: Expect goes along, on_continue comes */
    bool accepts_trailers;   /* the client said TE: trailers; it goes along */
    struct pn_slice upgrade; /* "websocket": asks to become that (RFC 9110 §7.8), over HTTP/2 by
                                extended CONNECT (RFC 8441), whose answer is told as a 101 all the
                                same; ptr NULL: no */
    uint64_t timeout_ms;     /* until the answer's head, after the last byte that was sent */
    bool was_retried;        /* by an exchange before this one: not again */
    uint64_t continue_timeout_ms; /* no 100 for so long fails; 0: after the limit
                                     backend-continue-timeout the body goes without */
    const struct pn_http_limits *limits;
    struct pn_arena *arena;
};

enum pn_exchange_state {
    PN_EXCHANGE_IDLE,
    PN_EXCHANGE_ACQUIRING,
    PN_EXCHANGE_SENDING,
    PN_EXCHANGE_ANSWERING,
    PN_EXCHANGE_TUNNEL, /* no timer of ours: the caller watches both directions */
};

/** HTTP/1.1's part of an exchange (exchange_h1.c). */
struct pn_exchange_h1 {
    struct pn_body_out out; /* to the backend; keeps its memory */
    bool is_cut; /* the backend took only a part of the request: no other may follow it */
    struct pn_h1_scan scan;
    struct pn_body_in body; /* the answer's */
    struct pn_task again;
};

/** HTTP/2's part of it (exchange_h2.c). */
struct pn_exchange_h2 {
    struct pn_h2_stream *stream; /* NULL: not yet, or no longer */
    struct pn_source answer;     /* the stream's body, which it outlives */
    uint64_t taken_bytes;        /* of the request's body, when the timer was armed */
    struct pn_source tunnel; /* of an extended CONNECT: what goes there, once there is a client */
    struct pn_conn_h2_waiter waiter;
};

struct pn_exchange {
    enum pn_exchange_state state;
    struct pn_pool *pool;
    struct pn_exchange_spec spec;
    const struct pn_exchange_events *events;
    void *ctx;
    struct pn_acquire acquire;
    struct pn_conn *conn;
    bool is_reused, was_retried, request_sent;
    bool awaits_continue;
    unsigned informational;
    struct pn_response_head response;
    struct pn_headers trailers; /* of the answer */
    struct pn_source *answer;   /* the answer's body */
    struct pn_timer timer;
    struct pn_failure failure;
    /* When the answer breaks off: what a client's HTTP/2 stream is reset with. */
    uint32_t reset_code;
    struct pn_exchange_h1 h1;
    struct pn_exchange_h2 h2;
};

/** Once for many exchanges of one client connection. */
void pn_exchange_init(struct pn_exchange *exchange, struct pn_pool *pool,
                      const struct pn_exchange_events *events, void *ctx);
void pn_exchange_fini(struct pn_exchange *exchange);
/** PN_OK: events follow, perhaps before it returns. Else exchange->failure.
 */
enum pn_rc pn_exchange_start(struct pn_exchange *exchange,
                             const struct pn_exchange_spec *spec) PN_MUST_USE;
/** The request's body can be sent once more. Where it is too long for that, the limit is counted.
 */
bool pn_exchange_can_repeat_body(const struct pn_exchange *exchange);
/** The request's body may go on: its source has more. */
void pn_exchange_send(struct pn_exchange *exchange);
/** After on_head with status 101: exchange->answer gives the backend's raw bytes up to its end, and
 *  `client` those for it; its end half-closes the connection, which is never used again. */
void pn_exchange_tunnel(struct pn_exchange *exchange, struct pn_source *client);
/** Everything that came of the request's body is on its way: the client is who keeps us waiting. */
bool pn_exchange_wants_body(struct pn_exchange *exchange);
/** The answer's body waits for its reader: its idle timeout rests until more of it comes, or until
 *  pn_exchange_wait(). */
void pn_exchange_hold(struct pn_exchange *exchange);
void pn_exchange_wait(struct pn_exchange *exchange);
/** The answer's body was read up to its end: the connection is kept if it can be, else closed. */
void pn_exchange_finish(struct pn_exchange *exchange);
/** Ends it in any state and closes its connection; no event follows. */
void pn_exchange_cancel(struct pn_exchange *exchange);
