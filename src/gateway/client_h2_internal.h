/* SPDX-License-Identifier: Apache-2.0
 *
 * Between client_h2.c (the connection) and client_h2_turn.c (one request on it).
 */
#pragma once

#include "gateway/call.h"
#include "gateway/client_h2.h"
#include "http/h2.h"

/** HTTP/2's part of a connection. */
struct pn_h2_link {
    struct pn_client *client;
    struct pn_h2 *h2;
    struct pn_buf
        out; /* frames that the connection has not taken; memory only while there are any */
    size_t out_sent;
    bool is_stalled;            /* a write said PN_AGAIN */
    bool is_over;               /* the engine has ended: send what is left, then close */
    bool is_read_pending;       /* reading stopped before PN_AGAIN */
    uint64_t stalled_ms;        /* since when */
    uint64_t idle_ms;           /* since when no stream is open */
    bool is_leaving;            /* the first GOAWAY is said ... */
    bool is_last_said;          /* ... and the second */
    uint64_t leaving_ms;        /* not before this the second one is */
    struct pn_h2_turn *opening; /* its head is not whole yet */
    uint64_t opening_ms;
};

/** One request and its answer. */
struct pn_h2_turn {
    struct pn_front front; /* first */
    struct pn_h2_turn *next_spare;
    struct pn_h2_link *link;
    struct pn_h2_stream *stream;
    struct pn_source *answer; /* NULL until the head has been given to the engine */
    struct pn_source out;     /* the answer's, as the engine sees it */
    struct pn_source no_body; /* of an extended CONNECT: its body is the tunnel */
    struct pn_timer timer;
    bool is_sent; /* our END_STREAM is on its way */
    bool is_tunnel;
};

extern const struct pn_h2_events pn_h2_link_events;

/* client_h2_turn.c */
struct pn_arena *pn_h2_turn_begin(struct pn_h2_link *link, struct pn_h2_stream *stream);
void pn_h2_turn_request(struct pn_h2_turn *turn, const struct pn_request_head *request);
void pn_h2_turn_refuse(struct pn_h2_turn *turn, const struct pn_request_head *request,
                       const struct pn_http_fault *fault);
void pn_h2_turn_data(struct pn_h2_turn *turn);
void pn_h2_turn_source_failed(struct pn_h2_turn *turn);
void pn_h2_turn_sent(struct pn_h2_turn *turn);
void pn_h2_turn_closed(struct pn_h2_turn *turn, uint32_t code);
void pn_h2_turns_free_spare(struct pn_worker *worker);
