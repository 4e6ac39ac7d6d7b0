/* SPDX-License-Identifier: Apache-2.0
 *
 * One request from its head to the last byte of its answer.
 *
 *   ROUTING -> FORWARDING -> ANSWERING -> ended
 *        \____________\______> ANSWERING (an answer of our own)
 *
 * ROUTING takes no time (route, key, inbound policy, backend and certificate). FORWARDING waits for
 * the backend's head while the body is sent; ANSWERING moves the answer. All memory is in the
 * arena.
 */
#pragma once

#include "gateway/client.h"

enum pn_call_state { PN_CALL_ROUTING, PN_CALL_FORWARDING, PN_CALL_ANSWERING };

struct pn_call {
    struct pn_call *next_spare;
    struct pn_client *client;
    struct pn_worker *worker;
    enum pn_call_state state;
    struct pn_arena *arena;
    struct pn_request_head request;
    bool has_request; /* the head was readable */
    struct pn_headers request_trailers;
    struct pn_source *body;    /* the request's */
    struct pn_body_in h1_body; /* the same of an HTTP/1.1 request */
    struct pn_body_out out;    /* to the client */
    bool keep_alive;
    bool sends_exchange_body; /* the answer's body comes from the backend */
    bool interim_cut;         /* the client took a part of a 1xx answer only */
    struct pn_task again;

    struct pn_pin *pin;
    struct pn_pin *identity_pin; /* a newer one, for the certificate only; mostly NULL */
    const struct pn_api *api;
    const struct pn_operation *operation;
    struct pn_route_match match;
    struct pn_policy_context context;
    struct pn_policy_run run; /* of the backend section, between forward and answer */
    char request_id[PN_UUID_TEXT];

    struct pn_target own_target; /* of a base-url */
    const struct pn_backend *backend;
    const struct pn_client_certificate *certificate;
    struct pn_exchange exchange;
};

/** NULL: no memory. */
struct pn_call *pn_call_create(struct pn_client *client);
/** `head`: in the client's inlet; consumed here. The call may be over when this returns. */
void pn_call_begin(struct pn_call *call, struct pn_slice head);
/** The head was refused: answers `status` and closes. */
void pn_call_refuse(struct pn_call *call, int status, const char *cause);
void pn_call_on_readable(struct pn_call *call);
void pn_call_on_writable(struct pn_call *call);
void pn_call_on_timeout(struct pn_call *call);
/** The client has gone: ends the exchange and gives the call back. */
void pn_call_cancel(struct pn_call *call);
void pn_calls_free_spare(struct pn_worker *worker);

/* --- between call.c, route_call.c, forward.c and answer.c --- */

/** Route, key, inbound (route_call.c). */
void pn_call_route(struct pn_call *call);
/** The backend section (forward.c). */
void pn_call_run_backend(struct pn_call *call);
extern const struct pn_exchange_events pn_call_exchange_events;
/** Sends what the context holds; the body of the exchange when there is one (answer.c). */
void pn_call_answer(struct pn_call *call);
/** An answer of our own with that body, without policies. */
void pn_call_answer_text(struct pn_call *call, int status, const char *content_type,
                         struct pn_slice body);
/** What went wrong, for on-error and for the stock answer. */
struct pn_call_error {
    int status;
    const char *code;             /* for the log: "tls_unknown_ca" */
    const char *source;           /* "configuration", "authorization", "forward-request", … */
    const char *reason;           /* "OperationNotFound", "BackendConnectionFailure", … */
    const char *message;          /* in the body unless status is 500; in LastError always */
    const char *detail;           /* for the log only; may be NULL */
    const char *www_authenticate; /* NULL: none */
};
/** Runs on-error and answers with what it left, or with the stock body. Logs one line. */
void pn_call_fail(struct pn_call *call, const struct pn_call_error *error);
/** Moves the answer on (answer.c). */
void pn_call_move_answer(struct pn_call *call);
