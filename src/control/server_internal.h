/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the HTTPS server share: server.c (listeners, drain), server_conn.c (one
 * connection), server_answer.c (answers as bytes), server_pool.c (workers).
 */
#pragma once

#include <pthread.h>

#include "base/encode.h"
#include "base/list.h"
#include "control/server.h"
#include "http/h1.h"
#include "loop/loop.h"
#include "tls/session.h"

/*  One connection:
 *
 *    HANDSHAKE ──▶ HEAD ──▶ BODY ──▶ WORKING ──▶ WRITING ──▶ HEAD (kept alive)
 *                    └───────┴── refused ──────────▶ │ └──▶ LINGER ──▶ CLOSED
 *
 *  Any state goes to CLOSED when the peer breaks off. While WORKING the request, its arena and the
 *  response belong to the worker; a connection that is closed meanwhile is freed when its message
 *  arrives. */
enum pn_server_state {
    PN_SERVER_HANDSHAKE,
    PN_SERVER_HEAD,
    PN_SERVER_BODY,
    PN_SERVER_WORKING,
    PN_SERVER_WRITING,
    PN_SERVER_LINGER,
    PN_SERVER_CLOSED,
};

struct pn_server_conn {
    struct pn_list entry; /* of server->conns; oldest use first */
    struct pn_server *server;
    struct pn_stream *stream;
    enum pn_server_state state;
    struct pn_timer timer;
    struct pn_deferred deferred;

    struct pn_buf in; /* arrived, not used yet */
    struct pn_h1_scan scan;
    struct pn_arena *arena; /* of the request in work, wiped */
    struct pn_request_head head;
    struct pn_h1_body body_reader;
    struct pn_buf body;
    struct pn_request request;
    struct pn_response response;
    bool has_response; /* response is initialised */
    bool keep_alive;
    bool is_head; /* the method is HEAD */
    char peer[64];
    char request_id[PN_UUID_TEXT];
    uint64_t started_ms; /* of the request; loop's clock */

    struct pn_buf out; /* heads, and bodies of the server's own answers */
    size_t out_sent;   /* of out and then of the response's body */
    size_t lingered;   /* bytes thrown away */

    struct pn_list job;         /* of pool->queue */
    struct pn_message finished; /* worker -> loop */
};

struct pn_server_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct pn_list queue;
    size_t queued;
    size_t queue_max;
    bool is_stopping;
    pthread_t threads[PN_SERVER_WORKERS_MAX];
    size_t thread_count;
};

struct pn_server {
    struct pn_loop *loop;
    const char *name;
    struct pn_tls_server *tls;
    struct pn_server_limits limits;
    struct pn_http_limits h1_limits;
    struct pn_watch listeners[PN_SERVER_LISTENERS_MAX];
    size_t listener_count;
    bool is_accepting;
    struct pn_timer accept_timer; /* resumes accepting after the system ran out of descriptors */
    struct pn_list conns;
    size_t conn_count;
    size_t in_flight; /* with the workers */

    pn_server_handler_fn handler;
    void *ctx;
    void (*on_worker_start)(void *ctx);
    void (*on_worker_end)(void *ctx);
    struct pn_server_pool pool;

    bool is_draining;
    struct pn_timer drain_timer;
    struct pn_task drained;
    void (*on_drained)(void *ctx);
    void *drained_ctx;
};

/* server_conn.c */

/** Takes `fd`. PN_IO, PN_NOMEM: it is closed. */
enum pn_rc pn_server_conn_create(struct pn_server *server, int fd) PN_MUST_USE;
/** Closes now; freed when the turn ends, or when the worker is done with it. */
void pn_server_conn_close(struct pn_server_conn *conn);
/** It waits for a request of which no byte has come. */
bool pn_server_conn_is_idle(const struct pn_server_conn *conn);
/** A worker is done (runs on the loop's thread). */
void pn_server_conn_on_finished(struct pn_message *message);

/* server.c */

/** A connection is gone: the drain may be over. */
void pn_server_on_conn_gone(struct pn_server *server);

/* server_answer.c: each appends to conn->out. PN_LIMIT, PN_NOMEM, PN_MALFORMED. */

/** The head of conn->response, which then is followed by its body. */
enum pn_rc pn_server_write_response(struct pn_server_conn *conn) PN_MUST_USE;
/** A whole answer of the server itself: {"error":{"code":…,"message":…}}. */
enum pn_rc pn_server_write_error(struct pn_server_conn *conn, int status,
                                 const char *message) PN_MUST_USE;

/* server_pool.c */

/** PN_IO, PN_NOMEM. */
enum pn_rc pn_server_pool_start(struct pn_server *server, size_t count, size_t queue_max,
                                struct pn_error *err) PN_MUST_USE;
/** PN_LIMIT: the queue is full. */
enum pn_rc pn_server_pool_submit(struct pn_server *server, struct pn_server_conn *conn) PN_MUST_USE;
/** Waits for running handlers; what is still queued is dropped, and counted off in_flight. */
void pn_server_pool_stop(struct pn_server *server);
