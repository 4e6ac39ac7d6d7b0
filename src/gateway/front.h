/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call knows of its client: where the request came from, its body, and how the answer
 * leaves. Which version of HTTP carries it is the front's business alone: gateway/client_h1.h has
 * the one of HTTP/1.1, gateway/client_h2.h that of HTTP/2.
 *
 * A front is made for one request and lives until its answer has left or its client has gone.
 * Whoever ends it ends the other: a front that is done calls pn_call_answered(), one whose client
 * has gone pn_call_cancel(); a call that cannot go on calls ops->abort(). Thread: its worker's.
 */
#pragma once

#include <netinet/in.h>

#include "http/body.h"
#include "tls/session.h"

struct pn_call;
struct pn_front;

/** Facts of the connection that a request came on; they live as long as it. */
struct pn_origin {
    struct pn_peer_address peer;
    char ip[INET6_ADDRSTRLEN]; /* of `peer`, as text; empty until pn_origin_ip() */
    bool is_tls;
    struct pn_stream *stream; /* for its server name and its client certificate */
};
/** The client's address as text; made once for each connection. */
struct pn_slice pn_origin_ip(struct pn_origin *origin);

/** An answer to be sent. Everything is borrowed until the front calls pn_call_answered(). */
struct pn_answer {
    int status;
    struct pn_slice reason;     /* may be empty */
    struct pn_headers *headers; /* end to end; framing and Date are the front's, which may add them
                                   to the list */
    bool has_length;
    uint64_t length;  /* of the body; without a body, that which a GET would have had */
    bool is_bodiless; /* HEAD, 204, 304: what the source has is read and not sent */
    bool is_tunnel; /* to a request with front->upgrade: status 101, and from now on both bodies are
                       raw bytes: the front makes its body the client's half and calls
                          pn_call_tunnel() last */
    bool is_own;    /* the source is memory, and no backend waits behind it */
    bool is_uploading; /* the request's body is still wanted while the answer leaves */
    struct pn_source *body;
};

struct pn_front_ops {
    /** Sends the head and then the body. Once. The call may be over when it returns. */
    void (*answer)(struct pn_front *front, const struct pn_answer *answer);
    /** The answer's body may have more. The call may be over when it returns. */
    void (*resume)(struct pn_front *front);
    /** Sends a 1xx; `headers` may be NULL. 100 is left out when it would tell nothing. */
    void (*inform)(struct pn_front *front, int status, struct pn_slice reason,
                   const struct pn_headers *headers);
    /** Ends it so that the client takes nothing it got for whole. The call is over. */
    void (*abort)(struct pn_front *front);
};

/** Whether a tunnel may carry it. HTTP may not: requests inside of it would reach the backend past
 *  routes, keys and policies; HTTP/2 is not begun this way any more (RFC 9113 §3.1). TLS may not.
 */
bool pn_front_may_become(struct pn_slice protocol);

struct pn_front {
    const struct pn_front_ops *ops;
    struct pn_call *call;
    struct pn_origin *origin;
    struct pn_source *body;  /* the request's */
    struct pn_timer *timer;  /* ends in pn_call_on_timeout() while the answer has not begun */
    struct pn_slice upgrade; /* what the client asks to become: "websocket"; ptr NULL: nothing */
    bool closes;             /* no other request on this connection after the answer */
};
