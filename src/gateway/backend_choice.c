/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the request goes: the policy's backend, a member of a pool, the policy's URL, the API's
 * serviceUrl; and the circuit breakers on the way. What a breaker counts is told in
 * docs/backends.md.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"

#define RETRY_AFTER_TEXT_MAX 64

/* --- single backends --- */

static void refuse_tripped(struct pn_call *call, const char *name, uint64_t wait_ms)
{
    uint64_t wait_s = (wait_ms + 999) / 1000;
    struct pn_call_error error = {.status = 503,
                                  .code = "backend_tripped",
                                  .source = "forward-request",
                                  .reason = "CircuitBreakerOpen",
                                  .message = "Service unavailable",
                                  .retry_after_s = wait_s > 0 ? wait_s : 1};

    error.detail = pn_arena_printf(
        call->arena,
        "the circuit breaker of backend '%s' is open for %llu s more; see the event "
        "backend_tripped for its cause",
        name, (unsigned long long)error.retry_after_s);
    pn_metric_add(PN_METRIC_BACKEND_TRIPPED_REFUSED, 1);
    pn_call_fail(call, &error);
}

/** May it be sent? If not, *wait_ms until it may. */
static enum pn_breaker_pass ask_breaker(struct pn_call *call, const struct pn_backend *backend,
                                        uint64_t *wait_ms)
{
    uint64_t now_ms = pn_loop_now_ms(call->worker->loop);

    call->breaker_pass =
        backend->breaker ? pn_breaker_ask(backend->breaker, now_ms, wait_ms) : PN_BREAKER_CLOSED;
    call->trial_until_ms = call->breaker_pass == PN_BREAKER_TRIAL ? now_ms + *wait_ms : 0;
    return call->breaker_pass;
}

void pn_call_give_up_trial(struct pn_call *call)
{
    if (call->trial_until_ms > 0)
        pn_breaker_give_up(call->backend->breaker, call->trial_until_ms);
    call->trial_until_ms = 0;
}

static const struct pn_target *take_single(struct pn_call *call, const struct pn_backend *backend)
{
    uint64_t wait_ms = 0;

    call->backend = backend;
    (void)ask_breaker(call, backend, &wait_ms);
    if (call->breaker_pass != PN_BREAKER_OPEN)
        return &backend->target;
    refuse_tripped(call, backend->name, wait_ms);
    return NULL;
}

/* --- pools --- */

/** The members that can be had now; `except`: the place of one that shall not be taken. */
static void find_members(struct pn_call *call, const struct pn_backend *pool, size_t except,
                         const struct pn_backend **backends, struct pn_balance_member *members)
{
    uint64_t now_ms = pn_loop_now_ms(call->worker->loop);

    for (size_t i = 0; i < pool->member_count; i++) {
        const struct pn_pool_member *member = &pool->members[i];

        backends[i] =
            pn_snapshot_backend_in(call->pin->snapshot, pool->scope, pn_slice_str(member->name));
        members[i].weight = member->weight;
        members[i].priority = member->priority;
        members[i].is_available =
            backends[i] && backends[i]->member_count == 0 && i != except &&
            !(backends[i]->breaker && pn_breaker_wait_ms(backends[i]->breaker, now_ms) > 0);
    }
}

/** Takes one whose breaker lets it go. PN_BALANCE_NONE: there is none; *wait_ms is the shortest
 * time until there may be one, or 0 if no member has a breaker that is open. */
static size_t choose_member(struct pn_call *call, const struct pn_backend *pool, size_t except,
                            const struct pn_backend **backend, uint64_t *wait_ms)
{
    const struct pn_backend *backends[PN_BALANCE_MEMBERS_MAX];
    struct pn_balance_member members[PN_BALANCE_MEMBERS_MAX];
    struct pn_balance *balance = pn_worker_balance(call->worker, pool->name);
    uint64_t now_ms = pn_loop_now_ms(call->worker->loop);
    size_t chosen = PN_BALANCE_NONE;
    uint64_t open_ms = 0;

    find_members(call, pool, except, backends, members);
    for (chosen = pn_balance_choose(balance, members, pool->member_count);
         chosen != PN_BALANCE_NONE;
         chosen = pn_balance_choose(balance, members, pool->member_count)) {
        *backend = backends[chosen];
        if (ask_breaker(call, *backend, &open_ms) != PN_BREAKER_OPEN)
            return chosen;
        members[chosen].is_available = false; /* another thread has just taken its trial */
    }
    *wait_ms = 0;
    for (size_t i = 0; i < pool->member_count; i++) {
        if (!backends[i] || !backends[i]->breaker || i == except)
            continue;
        open_ms = pn_breaker_wait_ms(backends[i]->breaker, now_ms);
        if (open_ms > 0 && (*wait_ms == 0 || open_ms < *wait_ms))
            *wait_ms = open_ms;
    }
    return PN_BALANCE_NONE;
}

/** Each member adds its own credentials: they must not meet those of the one before. */
static bool keep_plain_request(struct pn_call *call)
{
    const struct pn_headers *headers = &call->context.request_headers;

    pn_headers_init(&call->plain_headers, call->arena);
    call->plain_query = call->context.query;
    for (size_t i = 0; i < headers->count; i++)
        if (pn_headers_add(&call->plain_headers, headers->items[i].name, headers->items[i].value) !=
            PN_OK)
            return false;
    return true;
}

static const struct pn_target *take_member(struct pn_call *call, const struct pn_backend *pool)
{
    const struct pn_backend *backend = NULL;
    uint64_t wait_ms = 0;
    size_t chosen = choose_member(call, pool, PN_BALANCE_NONE, &backend, &wait_ms);

    if (chosen == PN_BALANCE_NONE) {
        if (wait_ms > 0)
            refuse_tripped(call, pool->name, wait_ms);
        else
            pn_call_fail_forward(call, "pool_empty", "no member of the pool can be used");
        return NULL;
    }
    call->pool = pool;
    call->member = chosen;
    call->backend = backend;
    if (!keep_plain_request(call)) {
        pn_call_fail_forward(call, "out_of_memory", "no memory for the request");
        return NULL;
    }
    return &backend->target;
}

const struct pn_target *pn_call_choose_other(struct pn_call *call)
{
    struct pn_headers *headers = &call->context.request_headers;
    const struct pn_backend *backend = NULL;
    uint64_t wait_ms = 0;
    size_t chosen = choose_member(call, call->pool, call->member, &backend, &wait_ms);

    if (chosen == PN_BALANCE_NONE)
        return NULL;
    pn_log(PN_LOG_INFO, "request_rerouted", "pool", PN_S(call->pool->name), "from",
           PN_S(call->backend->name), "to", PN_S(backend->name), "code",
           PN_S(call->exchange.failure.code), "detail", PN_S(call->exchange.failure.text), NULL);
    call->member = chosen;
    call->backend = backend;
    *headers = call->plain_headers;
    call->context.query = call->plain_query;
    return &backend->target;
}

/* --- all of them --- */

struct pn_slice pn_call_policy_scope(const struct pn_call *call, enum pn_policy_scope scope)
{
    return scope == PN_SCOPE_GLOBAL ? pn_slice("", 0) : call->api->scope;
}

const struct pn_target *pn_call_choose_target(struct pn_call *call)
{
    const struct pn_policy_context *context = &call->context;
    struct pn_error err;

    pn_error_clear(&err);
    call->backend = NULL;
    call->pool = NULL;
    call->was_rerouted = false;
    if (context->backend_id.ptr) {
        const struct pn_backend *backend = pn_snapshot_backend_in(
            call->pin->snapshot, pn_call_policy_scope(call, context->backend_scope),
            context->backend_id);

        if (backend)
            return backend->member_count > 0 ? take_member(call, backend)
                                             : take_single(call, backend);
        pn_call_fail_forward(call, "backend_unknown",
                             "the policy names a backend that does not exist");
        return NULL;
    }
    if (context->base_url.ptr) {
        if (pn_target_parse(context->base_url, &call->own_target, &err) == PN_OK)
            return &call->own_target;
        pn_call_fail_forward(call, "base_url_invalid", err.message);
        return NULL;
    }
    if (call->api->has_target)
        return &call->api->target;
    pn_call_fail_forward(call, "no_backend",
                         "the API has no serviceUrl and no policy sets a backend");
    return NULL;
}

/* --- what a breaker is told --- */

static bool names(const struct pn_breaker_match *match, const char *reason)
{
    for (size_t i = 0; i < match->reason_count; i++)
        if (pn_slice_case_eq_str(pn_slice_str(match->reasons[i]), reason))
            return true;
    return false;
}

/** A rule that names nothing means every server error. */
static bool counts_server_errors(const struct pn_breaker_match *match)
{
    return match->reason_count + match->range_count == 0 || names(match, "Server errors");
}

static bool status_counts(const struct pn_breaker_match *match, int status)
{
    for (size_t i = 0; i < match->range_count; i++)
        if (status >= match->ranges[i].min && status <= match->ranges[i].max)
            return true;
    return status >= 500 && counts_server_errors(match);
}

/** What went wrong on our side of the wire says nothing about the backend. */
static bool is_our_own(const char *code)
{
    static const char *const prefixes[] = {"client_certificate_", "keyholder_", "identity_",
                                           "backend_queue_",      "out_of_",    "internal"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (pn_slice_starts_with(pn_slice_str(code), pn_slice_str(prefixes[i])))
            return true;
    return false;
}

static bool failure_counts(const struct pn_breaker_match *match, const struct pn_failure *failure)
{
    if (names(match, failure->code))
        return true;
    if (is_our_own(failure->code))
        return false;
    return match->reason_count == 0 || counts_server_errors(match) ||
           names(match, failure->is_timeout ? "Timeout" : "BackendConnectionFailure");
}

static bool is_number(struct pn_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return false;
    return value.len > 0;
}

/** The three forms of a date that a recipient must take (RFC 9110 §5.6.7). */
static bool read_date(const char *text, struct tm *date)
{
    static const char *const layouts[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %e %H:%M:%S %Y"};

    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        const char *end;

        memset(date, 0, sizeof(*date));
        end = strptime(text, layouts[i], date);
        if (end && *end == '\0')
            return true;
    }
    return false;
}

/** Seconds, or a date (RFC 9110 §10.2.3); 0: none that can be read. However long, it counts as
 * PN_BREAKER_TRIP_MS_MAX at most. */
static uint64_t retry_after_ms(const struct pn_response_head *response)
{
    struct pn_slice value = pn_headers_get(&response->headers, "Retry-After");
    uint64_t max_s = PN_BREAKER_TRIP_MS_MAX / 1000;
    char text[RETRY_AFTER_TEXT_MAX];
    uint64_t seconds = 0;
    struct tm date;
    int64_t delay_s;

    if (value.len == 0 || value.len >= sizeof(text))
        return 0;
    if (is_number(value))
        return (pn_slice_to_u64(value, max_s, &seconds) ? seconds : max_s) * 1000;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    if (!read_date(text, &date))
        return 0;
    delay_s = (int64_t)timegm(&date) - pn_clock_unix_s();
    if (delay_s <= 0)
        return 0;
    return ((uint64_t)delay_s < max_s ? (uint64_t)delay_s : max_s) * 1000;
}

static void count_failure(struct pn_call *call, uint64_t trip_ms, const char *cause,
                          const char *detail)
{
    const struct pn_backend *backend = call->backend;

    call->trial_until_ms = 0;
    if (!pn_breaker_failure(backend->breaker, call->breaker_pass,
                            pn_loop_now_ms(call->worker->loop), trip_ms))
        return;
    if (trip_ms == 0)
        trip_ms = pn_breaker_rule(backend->breaker)->trip_ms;
    pn_log(PN_LOG_WARN, "backend_tripped", "backend", PN_S(backend->name), "cause", PN_S(cause),
           "seconds", PN_I((trip_ms + 999) / 1000), "after_trial",
           PN_S(call->breaker_pass == PN_BREAKER_TRIAL ? "yes" : "no"), "detail", PN_S(detail),
           NULL);
}

static void count_success(struct pn_call *call)
{
    const struct pn_backend *backend = call->backend;

    call->trial_until_ms = 0;
    if (pn_breaker_success(backend->breaker, call->breaker_pass,
                           pn_loop_now_ms(call->worker->loop)))
        pn_log(PN_LOG_INFO, "backend_recovered", "backend", PN_S(backend->name), NULL);
}

void pn_call_backend_answered(struct pn_call *call, const struct pn_response_head *response)
{
    const struct pn_backend *backend = call->backend;
    char cause[32];

    if (!backend || !backend->breaker)
        return;
    if (!status_counts(backend->match, response->status)) {
        count_success(call);
        return;
    }
    (void)snprintf(cause, sizeof(cause), "status_%d", response->status);
    count_failure(call, backend->match->accept_retry_after ? retry_after_ms(response) : 0, cause,
                  "the backend answered with a status of the rule");
}

void pn_call_backend_failed(struct pn_call *call, const struct pn_failure *failure)
{
    const struct pn_backend *backend = call->backend;

    if (!backend || !backend->breaker)
        return;
    if (failure_counts(backend->match, failure))
        count_failure(call, 0, failure->code, failure->text);
    else
        pn_call_give_up_trial(call);
}
