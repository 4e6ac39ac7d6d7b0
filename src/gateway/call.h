/* SPDX-License-Identifier: Apache-2.0
 *
 * One request from its head to the last byte of its answer, whichever version of HTTP its client
 * speaks (gateway/front.h).
 *
 *   ROUTING -> (BUFFERING ->) FORWARDING -> ANSWERING -> ended
 *        \____________\____________\______> ANSWERING (an answer of our own)
 *
 * ROUTING takes no time (route, key, inbound policy, backend and certificate). BUFFERING waits for
 * the whole body, where the policy wants that. FORWARDING waits for the backend's head while the
 * body is sent; ANSWERING moves the answer. All memory is in the arena, but for the body that is
 * kept.
 */
#pragma once

#include "gateway/front.h"
#include "gateway/worker.h"
#include "http/replay.h"

enum pn_call_state {
    PN_CALL_ROUTING,
    PN_CALL_BUFFERING,
    PN_CALL_FORWARDING,
    PN_CALL_ANSWERING,
};

struct pn_call {
    struct pn_call *next_spare;
    struct pn_front *front;
    struct pn_worker *worker;
    enum pn_call_state state;
    struct pn_arena *arena;
    struct pn_request_head request;
    bool has_request;        /* the head was readable */
    struct pn_source *body;  /* the request's: the front's */
    struct pn_replay replay; /* in front of it, when has_replay */
    bool has_replay;
    bool accepts_trailers;     /* the client said TE: trailers */
    bool is_traced;            /* of control's test console: trace.h */
    struct pn_source own_body; /* an answer of our own */
    bool is_tunnel;            /* 101: both bodies are raw bytes */
    bool sends_exchange_body;  /* the answer's body comes from the backend */

    struct pn_pin *pin;
    struct pn_pin *identity_pin; /* a newer one, for the certificate only; mostly NULL */
    const struct pn_api *api;
    const struct pn_operation *operation;
    const struct pn_subscription *subscription; /* by whose key it came; NULL: none was needed */
    struct pn_slice subscription_key;           /* as the client sent it */
    uint64_t began_us;                          /* of the loop's clock */
    const struct pn_product *product;           /* by whose key, or openness, it came; NULL: none */
    const struct pn_policy_program *program; /* the operation's, or the product's of it; NULL: there
                                                is none that could run */
    struct pn_route_match match;
    struct pn_policy_context context;
    struct pn_policy_run run; /* of the backend section, between forward and answer */
    char request_id[PN_UUID_TEXT];

    struct pn_target own_target;      /* of a base-url */
    const struct pn_backend *backend; /* the single one that was chosen; NULL: none */
    const struct pn_backend *pool;    /* of which it was chosen, or NULL */
    size_t member;                    /* its place there */
    bool was_rerouted;                /* it is the second one */
    bool needs_http1;                 /* a WebSocket that the backend does not take by HTTP/2 */
    unsigned redirects;               /* that were followed */
    struct pn_target redirect_target; /* where the last one went */
    enum pn_breaker_pass breaker_pass;
    uint64_t trial_until_ms;         /* of a trial that has decided nothing yet; else 0 */
    struct pn_headers plain_headers; /* of a pool: without the credentials of a member */
    struct pn_slice plain_query;
    const struct pn_client_certificate *certificate;
    enum pn_alpn alpn; /* what its connection may speak */
    struct pn_exchange exchange;
};

/* --- for fronts --- */

/** Fill call->request (its headers are a list in call->arena), set the front's body, then begin or
 *  refuse it. NULL: no memory. */
struct pn_call *pn_call_create(struct pn_worker *worker, struct pn_front *front);
/** The head is in call->request. The call may be over when this returns. */
void pn_call_begin(struct pn_call *call);
/** The head was refused: answers `status` and closes. */
void pn_call_refuse(struct pn_call *call, int status, const char *cause);
/** There may be more of the request's body, or its end, or its failure. */
void pn_call_on_body(struct pn_call *call);
void pn_call_on_timeout(struct pn_call *call);
/** Nothing of the answer is there yet, and somebody works on it. */
bool pn_call_awaits_answer(const struct pn_call *call);
/** The answer's source has nothing now: its backend's idle timeout runs. */
void pn_call_awaits_source(struct pn_call *call);
/** The client takes nothing now: the backend's idle timeout rests. */
void pn_call_awaits_client(struct pn_call *call);
/** An answer with is_tunnel is ready to leave, and front->body gives the client's bytes. The call
 * may be over when it returns. */
void pn_call_tunnel(struct pn_call *call);
/** The last byte of the client has been passed on: what remains of a tunnel is the other half. */
bool pn_call_has_sent(const struct pn_call *call);
/** The answer has left whole: gives the call back. */
void pn_call_answered(struct pn_call *call);
/** The answer's source failed after the head has left: logs it. The front shows its client. */
void pn_call_broke_off(struct pn_call *call);
/** The client has gone: ends the exchange and gives the call back. */
void pn_call_cancel(struct pn_call *call);
void pn_calls_free_spare(struct pn_worker *worker);

/* --- between call.c, route_call.c, forward.c and answer.c --- */

void pn_call_arm(struct pn_call *call, uint64_t delay_ms);
/** Ends it so that the client takes nothing for whole; the call is over. */
void pn_call_abort(struct pn_call *call);
/** Route, key, inbound (route_call.c). */
void pn_call_route(struct pn_call *call);
/** Where the request goes. NULL: the call has failed, or has been refused by a circuit breaker
 *  (backend_choice.c). */
const struct pn_target *pn_call_choose_target(struct pn_call *call);
/** The scope in which a document of that policy scope names things: what the global one names is
 * the service's own. */
struct pn_slice pn_call_policy_scope(const struct pn_call *call, enum pn_policy_scope scope);
/** Another member of call->pool, which takes over the call. NULL: there is none, nothing is
 *  changed. */
const struct pn_target *pn_call_choose_other(struct pn_call *call);
/** What its circuit breaker is told. */
void pn_call_backend_answered(struct pn_call *call, const struct pn_response_head *response);
void pn_call_backend_failed(struct pn_call *call, const struct pn_failure *failure);
/** The call ends before it was a trial of anything. Harmless for others. */
void pn_call_give_up_trial(struct pn_call *call);
/** Fills `demand`. false: the call has failed (backend_identity.c). */
bool pn_call_fix_identity(struct pn_call *call, const struct pn_target *target,
                          struct pn_demand *demand);
/** Header, query and authorization of the backend entity, into the request. PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_call_apply_credentials(struct pn_call *call) PN_MUST_USE;
/** The body as it is sent on (forward.c). */
struct pn_source *pn_call_sent_body(struct pn_call *call);
/** More of the body has come, or its end, while it is taken whole (buffering.c). */
void pn_call_buffer(struct pn_call *call);
/** Takes the body whole if the policy wants that and there is one. True: pn_call_buffered()
 * follows, unless the call fails. */
bool pn_call_begin_buffering(struct pn_call *call);
/** Sends what `spec` says to `target`, as the identity that is fixed for it (forward.c). */
void pn_call_send(struct pn_call *call, struct pn_exchange_spec *spec,
                  const struct pn_target *target);
/** The body is whole: sends the request (forward.c). */
void pn_call_buffered(struct pn_call *call);
/** The backend's answer is a redirect, and the policy follows it. False: it is answered as it is
 *  (redirect.c). */
bool pn_call_follow_redirect(struct pn_call *call);
/** A policy statement failed: what it left in the context's last_error. */
void pn_call_fail_policy(struct pn_call *call);
/** The context's find_token: what the feed brought (identity_token.c); `call` is its host. */
bool pn_call_find_token(void *call, struct pn_slice name, struct pn_slice *token, const char **why);
/** The context's find_fact (facts.c); `call` is its host. */
void pn_call_find_fact(void *call, enum pn_policy_fact fact, struct pn_expr_value *value);
/** Fails it with 500 before anything was sent. */
void pn_call_fail_forward(struct pn_call *call, const char *code, const char *detail);
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
    uint64_t retry_after_s;       /* 0: none */
};
/** The request is one of gRPC, by its Content-Type. */
bool pn_call_is_grpc(const struct pn_call *call);
/** If the client speaks gRPC and on-error has left the status as it was: the answer becomes gRPC's
 *  (answer_grpc.c). */
void pn_call_speak_grpc(struct pn_call *call, const struct pn_call_error *error);
/** Runs on-error and answers with what it left, or with the stock body. Logs one line. */
void pn_call_fail(struct pn_call *call, const struct pn_call_error *error);
