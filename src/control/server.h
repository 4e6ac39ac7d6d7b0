/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTPS server of the management plane: HTTP/1.1 over TLS (or plain, for neighbours) on the
 * loop's thread, handlers on a pool of worker threads of its own. It buffers whole requests, runs
 * handler(ctx, request, response) on a worker, and sends the answer when the worker's message comes
 * back by the loop's mailbox. Pipelined requests are answered in order.
 *
 * Everything of a request and its answer is wiped when it ends. The server adds x-ms-request-id,
 * Date, Cache-Control, Pragma, Expires, X-Content-Type-Options, and outside of localhost
 * Strict-Transport-Security (on localhost it would also forbid http:// on every other port).
 *
 * All functions: the loop's thread.
 */
#pragma once

#include "base/error.h"
#include "http/message.h"

struct pn_loop;
struct pn_server;
struct pn_tls_server;

#define PN_SERVER_WORKERS     8u
#define PN_SERVER_WORKERS_MAX 256u
/* Fixed: how long, and for how many bytes, a closing connection is still read, so that a client
 * that is sending gets to read the answer. */
#define PN_SERVER_LINGER_TIMEOUT_MS 5000u
#define PN_SERVER_LINGER_BYTES_MAX  (64u * 1024 * 1024)

/** Where a member is 0, the limit of base/limits.h holds (control-…). */
struct pn_server_limits {
    size_t connections_max;
    size_t queue_max;
    size_t body_bytes_max;
    size_t response_bytes_max;
    size_t arena_bytes_max;
    uint32_t handshake_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t header_timeout_ms;
    uint32_t body_timeout_ms;
    uint32_t write_timeout_ms;
};

/** Runs on a worker, several at once; may block. `response` is ready to be filled (status 200, no
 *  body); a status outside of 200..599 becomes 500. For HEAD the body is left out by the server. */
typedef void (*pn_server_handler_fn)(void *ctx, const struct pn_request *request,
                                     struct pn_response *response);

struct pn_server_spec {
    const char *name;          /* "control", "vault": static text for logs and thread names */
    const int *listen_fds;     /* listening sockets; made non-blocking here, never closed */
    size_t listen_count;       /* 1..PN_SERVER_LISTENERS_MAX */
    struct pn_tls_server *tls; /* a reference is taken; NULL: plain HTTP, on this machine only */
    pn_server_handler_fn handler;
    void *ctx;
    size_t worker_count;                /* 0: PN_SERVER_WORKERS */
    void (*on_worker_start)(void *ctx); /* on each worker, before its first request; may be NULL */
    void (*on_worker_end)(void *ctx);   /* may be NULL */
    struct pn_server_limits limits;     /* zeroed: all defaults */
};
#define PN_SERVER_LISTENERS_MAX 8u

/** Starts the workers and accepts from the next turn of `loop` on (its thread must be bound to the
 *  signer). PN_INVALID, PN_IO, PN_NOMEM. */
enum pn_rc pn_server_create(struct pn_loop *loop, const struct pn_server_spec *spec,
                            struct pn_server **server, struct pn_error *err) PN_MUST_USE;
/** New connections get this context (the listener's certificate was renewed). Takes a reference. */
void pn_server_set_tls(struct pn_server *server, struct pn_tls_server *tls);
/** Accepts no more, closes idle connections, answers what is in flight and closes those too; at
 *  `limit_ms` the rest is cut off. Then calls on_drained(ctx), once, from the loop. */
void pn_server_drain(struct pn_server *server, uint32_t limit_ms, void (*on_drained)(void *ctx),
                     void *ctx);
/** Cuts off what is left, waits for handlers that are still running, and frees. Not from a callback
 * of the loop: it turns the loop to collect the workers' last messages. NULL is fine. */
void pn_server_destroy(struct pn_server *server);
/** Connections now. */
size_t pn_server_connection_count(const struct pn_server *server);
