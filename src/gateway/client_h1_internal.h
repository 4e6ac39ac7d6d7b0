/* SPDX-License-Identifier: Apache-2.0
 *
 * Between client_h1.c and client_h1_answer.c: one request of an HTTP/1.1 connection.
 */
#pragma once

#include "gateway/call.h"
#include "gateway/client_h1.h"

struct pn_h1_turn {
    struct pn_front front; /* first */
    struct pn_h1_turn *next_spare;
    struct pn_client *client;
    struct pn_body_in in;       /* the request's body */
    struct pn_headers trailers; /* the request's */
    struct pn_body_out out;     /* to the client; keeps its memory */
    struct pn_source *answer;   /* NULL until the head has been written */
    struct pn_task again;
    bool is_own;         /* the answer is memory */
    bool is_keepable;    /* as far as the request and the answer say */
    bool is_tunnel;      /* after a 101 */
    bool is_half_done;   /* the backend's half of the tunnel has ended */
    bool has_continued;  /* a 100 was sent */
    bool is_skipping;    /* the call is over; the rest of the request's body is still to come */
    bool is_half_closed; /* by the client, which may still wait for its answer */
    bool interim_cut;    /* the client took a part of a 1xx answer only */
};

extern const struct pn_front_ops pn_h1_front_ops;
void pn_h1_on_again(struct pn_task *task);
/** The answer has left. */
void pn_h1_turn_end(struct pn_h1_turn *turn);
/** Reads what nobody wants of the request's body, up to where the next request begins. */
void pn_h1_skip_body(struct pn_h1_turn *turn);
