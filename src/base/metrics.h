/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and gauges: a fixed table, relaxed atomics; each thread adds to cells of its own. Every
 * process has its own; the gateway sends its numbers to control, which shows all at /metrics.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"

/* X(symbol, name, kind, help) */
#define PN_METRICS(X)                                                                              \
    X(REQUESTS, "postern_requests_total", "counter", "Requests answered by the gateway.")          \
    X(REQUESTS_FAILED, "postern_requests_failed_total", "counter",                                 \
      "Requests that the gateway itself answered with 5xx.")                                       \
    X(CLIENT_CONNECTIONS, "postern_client_connections", "gauge", "Open client connections.")       \
    X(CLIENT_ACCEPTED, "postern_client_accepted_total", "counter", "Client connections accepted.") \
    X(CALLS, "postern_calls", "gauge", "Requests that are being served.")                          \
    X(CLIENT_STREAMS, "postern_client_streams", "gauge",                                           \
      "Requests under way on HTTP/2 connections of clients.")                                      \
    X(CLIENT_REFUSED, "postern_client_refused_total", "counter",                                   \
      "Client connections refused because a limit was reached.")                                   \
    X(PROXY_REFUSED, "postern_proxy_header_refused_total", "counter",                              \
      "Client connections refused for a missing or malformed PROXY header, or an untrusted "       \
      "sender.")                                                                                   \
    X(BACKEND_CONNECTIONS, "postern_backend_connections", "gauge", "Open backend connections.")    \
    X(BACKEND_CONNECTED, "postern_backend_connected_total", "counter",                             \
      "Backend connections opened.")                                                               \
    X(BACKEND_FAILED, "postern_backend_failed_total", "counter",                                   \
      "Backend connections that failed before a request was sent.")                                \
    X(BACKEND_REUSED, "postern_backend_reused_total", "counter",                                   \
      "Requests sent on a pooled backend connection.")                                             \
    X(BACKENDS_TRIPPED, "postern_backends_tripped", "gauge",                                       \
      "Backends whose circuit breaker is open, or waits for its trial.")                           \
    X(BACKEND_TRIPS, "postern_backend_trips_total", "counter",                                     \
      "Times that a backend's circuit breaker has tripped.")                                       \
    X(BACKEND_TRIPPED_REFUSED, "postern_backend_tripped_requests_total", "counter",                \
      "Requests that were not sent because a circuit breaker was open.")                           \
    X(BACKEND_REROUTED, "postern_backend_rerouted_total", "counter",                               \
      "Requests that went to a second member of their pool.")                                      \
    X(BACKEND_RESUMED, "postern_backend_tls_resumed_total", "counter",                             \
      "Backend TLS handshakes that resumed a session.")                                            \
    X(BACKEND_HANDSHAKES, "postern_backend_tls_full_total", "counter",                             \
      "Full backend TLS handshakes.")                                                              \
    X(BACKEND_CHAINS_KNOWN, "postern_backend_tls_chains_known_total", "counter",                   \
      "Full backend handshakes whose chain had been verified before.")                             \
    X(BACKEND_SESSIONS_EVICTED, "postern_backend_tls_sessions_evicted_total", "counter",           \
      "Backend TLS sessions dropped for newer ones before they were resumed.")                     \
    X(CLIENT_RESUMED, "postern_client_tls_resumed_total", "counter",                               \
      "Client TLS handshakes that resumed a session.")                                             \
    X(CLIENT_HANDSHAKES, "postern_client_tls_full_total", "counter",                               \
      "Full client TLS handshakes.")                                                               \
    X(TLS_TAKEN_OVER, "postern_tls_taken_over_total", "counter",                                   \
      "TLS 1.3 connections whose records the gateway itself reads and writes.")                    \
    X(BACKEND_STREAMS, "postern_backend_streams", "gauge",                                         \
      "Requests under way on HTTP/2 connections to backends.")                                     \
    X(TUNNELS, "postern_tunnels", "gauge",                                                         \
      "Backend connections that became something else (101), open now.")                           \
    X(IDENTITY_MISMATCH, "postern_identity_mismatch_total", "counter",                             \
      "Connections whose identity was not that of the request: stays 0.")                          \
    X(SIGNATURES, "postern_signatures_total", "counter", "Signatures asked of the keyholder.")     \
    X(SIGNATURES_FAILED, "postern_signatures_failed_total", "counter",                             \
      "Signatures that the keyholder refused or did not give in time.")                            \
    X(TIMEOUTS, "postern_timeouts_total", "counter", "Connections ended by a timeout.")            \
    X(RESTS, "postern_rests_total", "counter",                                                     \
      "Rests of a busy thread, so that several things happen meanwhile (limit busy-rest).")        \
    X(SNAPSHOTS, "postern_snapshots_total", "counter", "Configuration snapshots taken into use.")  \
    X(SNAPSHOTS_REFUSED, "postern_snapshots_refused_total", "counter",                             \
      "Configuration changes that could not be compiled.")                                         \
    X(ISSUER_FETCHES, "postern_issuer_fetches_total", "counter",                                   \
      "Times that the keys of an OpenID issuer were fetched.")                                     \
    X(ISSUER_FETCHES_FAILED, "postern_issuer_fetches_failed_total", "counter",                     \
      "Fetches of an OpenID issuer's keys that failed.")                                           \
    X(FOREIGN_TOKENS_REFUSED, "postern_foreign_tokens_refused_total", "counter",                   \
      "Tokens of trusted issuers, and assertions of workloads, that were refused.")                \
    X(ENDPOINT_TOKENS, "postern_identity_endpoint_tokens_total", "counter",                        \
      "Tokens that the managed-identity endpoint gave.")                                           \
    X(ENDPOINT_REFUSED, "postern_identity_endpoint_refused_total", "counter",                      \
      "Requests that the managed-identity endpoint refused.")                                      \
    X(TOKENS_TAKEN, "postern_vault_tokens_total", "counter",                                       \
      "Tokens for key vaults that a token source gave.")                                           \
    X(TOKENS_FAILED, "postern_vault_tokens_failed_total", "counter",                               \
      "Times that no token source could give a token for a key vault.")

enum pn_metric {
#define PN_METRIC_ENUM(symbol, name, kind, help) PN_METRIC_##symbol,
    PN_METRICS(PN_METRIC_ENUM)
#undef PN_METRIC_ENUM
        PN_METRIC_COUNT
};

/* After the metrics come the hits of the limits: values are passed between processes as one row. */
#define PN_COUNTER_COUNT ((size_t)PN_METRIC_COUNT + (size_t)PN_LIMIT_COUNT)

/** Any thread. */
void pn_metric_add(enum pn_metric metric, int64_t amount);
int64_t pn_metric_get(enum pn_metric metric);
/** Metric or, from PN_METRIC_COUNT on, hits of a limit; `i` below PN_COUNTER_COUNT. Any thread. */
int64_t pn_counter_get(size_t i);
/** Prometheus text format 0.0.4 of `values` (PN_COUNTER_COUNT numbers). PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_metrics_print(const int64_t *values, struct pn_buf *out) PN_MUST_USE;
