/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by conn_h2.c (who uses it, and how it ends) and conn_h2_io.c (bytes both ways).
 */
#pragma once

#include "upstream/conn_h2.h"
#include "upstream/pool_internal.h"

struct pn_conn_h2 {
    struct pn_conn *conn;
    struct pn_h2 *h2;
    struct pn_buf out; /* frames, not yet written */
    size_t out_sent;
    struct pn_task work;
    struct pn_list waiting; /* struct pn_conn_h2_waiter */
    bool reads_on;          /* there may be more to read */
    bool is_checking;       /* look for streams that do not move */
    bool is_closing;        /* it takes no further request */
    bool has_said_goodbye;  /* GOAWAY is out, or in `out` */
    bool is_finished;       /* the engine has nothing to say or to hear any more */
    bool is_broken;         /* `failure` says why */
    bool has_drained;       /* we ended it: its identity is over */
    bool awaits_pong;
    uint64_t heard_ms, pinged_ms;
    struct pn_failure failure;
};

static inline uint64_t pn_conn_h2_now(const struct pn_conn_h2 *link)
{
    return pn_loop_now_ms(link->conn->group->pool->loop);
}

/** It carries no request, and none waits to begin. */
static inline bool pn_conn_h2_is_unused(const struct pn_conn_h2 *link)
{
    return pn_h2_streams_open(link->h2) == 0 && pn_list_is_empty(&link->waiting);
}

/** Tells those who wait for SETTINGS. */
void pn_conn_h2_tell_waiting(struct pn_conn_h2 *link);

/** Reads, writes and ends what there is to, at the end of this turn. */
static inline void pn_conn_h2_work_soon(struct pn_conn_h2 *link)
{
    pn_loop_soon(link->conn->group->pool->loop, &link->work);
}

/** `failure` is set: the requests on it are told when no event is on the stack. */
void pn_conn_h2_set_broken(struct pn_conn_h2 *link);
/** The task. */
void pn_conn_h2_on_work(struct pn_task *task);
/** How it gets to know of bytes. */
extern const struct pn_stream_events pn_conn_h2_stream_events;
