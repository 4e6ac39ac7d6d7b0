/* SPDX-License-Identifier: Apache-2.0
 *
 * The named limits of all processes: one table, from which the defaults, the check of what an
 * operator sets, `postern serve --list-limits`, the counters at /metrics and a test of the manual
 * come.
 *
 * The supervisor reads them (configuration file, --limit NAME=VALUE), checks them, and gives those
 * that are not the default to its children in the environment. A process sets them once, before it
 * has a second thread; afterwards a value is a plain load. Where nothing was set, as in unit tests,
 * the defaults hold.
 *
 * A new limit is one row in the section of its part, and one in docs/operating.md. Whoever enforces
 * it calls pn_limit_hit() each time it refuses, ends or drops something because of it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

/* X(symbol, name, unit (BYTES, COUNT, MS, US), default, minimum, maximum,
 *   process (GATEWAY, CONTROL, SUPERVISOR), help). Where 0 is allowed, the help says what it means.
 */

/* Connections and requests of clients. */
#define PN_LIMITS_CLIENT(X)                                                                        \
    X(CLIENT_CONNECTIONS, "client-connections", COUNT, 20000, 1, 10000000, GATEWAY,                \
      "open client connections of the whole gateway")                                              \
    X(CLIENT_CONNECTIONS_PER_ADDRESS, "client-connections-per-address", COUNT, 16384, 1, 1000000,  \
      GATEWAY, "open connections of one client address (IPv6: of one /64 network)")                \
    X(PROXY_HEADER_BYTES, "proxy-header-bytes", BYTES, 4096, 232, 65551, GATEWAY,                  \
      "a PROXY protocol header with its extensions")                                               \
    X(PROXY_HEADER_TIMEOUT, "proxy-header-timeout", MS, 5000, 100, 600000, GATEWAY,                \
      "a connection's first byte to the end of its PROXY protocol header")                         \
    X(CLIENT_TLS_TIMEOUT, "client-tls-timeout", MS, 10000, 100, 600000, GATEWAY,                   \
      "a client's TLS handshake")                                                                  \
    X(CLIENT_IDLE_TIMEOUT, "client-idle-timeout", MS, 75000, 100, 86400000, GATEWAY,               \
      "a client connection between two requests")                                                  \
    X(CLIENT_HEADER_TIMEOUT, "client-header-timeout", MS, 30000, 100, 3600000, GATEWAY,            \
      "first byte of a request's head to its last; and a new connection's first request")          \
    X(CLIENT_BODY_TIMEOUT, "client-body-timeout", MS, 60000, 100, 3600000, GATEWAY,                \
      "no byte of the request's body that is waited for; not of gRPC over HTTP/2")                 \
    X(CLIENT_WRITE_TIMEOUT, "client-write-timeout", MS, 60000, 100, 3600000, GATEWAY,              \
      "the client takes no byte of the answer")                                                    \
    X(CLIENT_HALF_CLOSED_TIMEOUT, "client-half-closed-timeout", MS, 5000, 0, 86400000, GATEWAY,    \
      "a client that has ended its half waits for its answer's head; 0: it counts as gone")        \
    X(TUNNEL_IDLE_TIMEOUT, "tunnel-idle-timeout", MS, 900000, 100, 86400000, GATEWAY,              \
      "no byte either way of a WebSocket or another upgraded connection")                          \
    X(CLIENT_REQUESTS, "client-requests", COUNT, 0, 0, 1000000000, GATEWAY,                        \
      "requests of one client connection; then it ends; 0: no end")                                \
    X(REQUEST_BODY_BYTES, "request-body-bytes", BYTES, 0, 0, 1099511627776, GATEWAY,               \
      "a request's body; above: 413; 0: no limit")                                                 \
    X(REQUEST_REPLAY, "request-replay-bytes", BYTES, 16384, 0, 1048576, GATEWAY,                   \
      "a request's body is kept until its answer begins, so that it can be sent again; 0: none")   \
    X(REQUEST_BUFFER, "request-buffer-bytes", BYTES, 1048576, 1, 67108864, GATEWAY,                \
      "a body that buffer-request-body=\"true\" takes whole before it is sent on; above: 413")     \
    X(REDIRECTS, "redirects", COUNT, 10, 1, 50, GATEWAY,                                           \
      "redirects that follow-redirects=\"true\" follows for one request; above: 500")              \
    X(REQUEST_SKIP_BYTES, "request-skip-bytes", BYTES, 1048576, 0, 1073741824, GATEWAY,            \
      "rest of a body that is read over after an early answer; above: the connection ends")        \
    X(CLIENT_LINGER_TIMEOUT, "client-linger-timeout", MS, 2000, 0, 60000, GATEWAY,                 \
      "reading and dropping what a refused client still sends")                                    \
    X(CALL_MEMORY, "call-memory", BYTES, 1048576, 131072, 1073741824, GATEWAY,                     \
      "memory of one request, without its body")

/* Heads and bodies of HTTP messages, of clients and of backends. */
#define PN_LIMITS_HTTP(X)                                                                          \
    X(HEADER_BYTES, "header-bytes", BYTES, 65536, 1024, 65536, GATEWAY,                            \
      "a message's head: start line, fields, empty line")                                          \
    X(HEADER_COUNT, "header-count", COUNT, 128, 8, 4096, GATEWAY, "fields of a message's head")    \
    X(TARGET_BYTES, "target-bytes", BYTES, 16384, 64, 65536, GATEWAY, "the request target")        \
    X(TRAILER_BYTES, "trailer-bytes", BYTES, 8192, 0, 65536, GATEWAY,                              \
      "all trailer fields of a body; 0: none are taken")                                           \
    X(TRAILER_COUNT, "trailer-count", COUNT, 32, 0, 4096, GATEWAY,                                 \
      "trailer fields of a body; 0: none are taken")                                               \
    X(CHUNK_EXTENSION_BYTES, "chunk-extension-bytes", BYTES, 4096, 0, 65536, GATEWAY,              \
      "all chunk extensions of a body together; 0: none are taken")

/* HTTP/2, of clients and of backends. Per minute: a bucket of so many that fills up again within a
 * minute. */
#define PN_LIMITS_HTTP2(X)                                                                         \
    X(H2_STREAMS, "h2-streams", COUNT, 128, 1, 65536, GATEWAY,                                     \
      "open streams of a client's HTTP/2 connection")                                              \
    X(H2_BACKEND_STREAMS, "h2-backend-streams", COUNT, 100, 1, 65536, GATEWAY,                     \
      "open streams of a backend's HTTP/2 connection, if it allows as many")                       \
    X(H2_STREAM_WINDOW, "h2-stream-window", BYTES, 262144, 16384, 16777216, GATEWAY,               \
      "body bytes received and not yet sent on, of one stream; a client's begins with less")       \
    X(H2_CONNECTION_WINDOW, "h2-connection-window", BYTES, 8388608, 65535, 1073741824, GATEWAY,    \
      "the same of all streams of a client's connection; half of it is shared out evenly, 4KiB "   \
      "at least, the other half lent to those that move")                                          \
    X(H2_BACKEND_CONNECTION_WINDOW, "h2-backend-connection-window", BYTES, 26214400, 65535,        \
      1073741824, GATEWAY,                                                                         \
      "the same of a backend's connection; it has no more streams than fit into it")               \
    X(H2_STALL_TIMEOUT, "h2-stall-timeout", MS, 60000, 100, 86400000, GATEWAY,                     \
      "a stream's body waits for the peer's window; then the stream is reset")                     \
    X(H2_HEAD_BYTES, "h2-head-bytes", BYTES, 262144, 65536, 16777216, GATEWAY,                     \
      "decoded bytes of a head that are read over to refuse it; above: GOAWAY")                    \
    X(H2_HPACK_TABLE, "h2-hpack-table-bytes", BYTES, 4096, 0, 65536, GATEWAY,                      \
      "HPACK's dynamic tables, one for each direction of a connection; 0: none")                   \
    X(H2_CONTINUATIONS, "h2-continuations", COUNT, 8, 1, 1024, GATEWAY,                            \
      "CONTINUATION frames of one head")                                                           \
    X(H2_QUEUED_FRAMES, "h2-queued-frames", COUNT, 1000, 16, 1000000, GATEWAY,                     \
      "frames, without DATA, that wait for a peer that does not read")                             \
    X(H2_RESETS, "h2-resets", COUNT, 1000, 1, 1000000, GATEWAY,                                    \
      "per minute: streams that end before their answer; a whole answer gives one back")           \
    X(H2_PINGS, "h2-pings", COUNT, 300, 1, 1000000, GATEWAY, "per minute: PING frames")            \
    X(H2_SETTINGS, "h2-settings", COUNT, 60, 1, 1000000, GATEWAY, "per minute: SETTINGS frames")   \
    X(H2_PRIORITIES, "h2-priorities", COUNT, 1000, 1, 1000000, GATEWAY,                            \
      "per minute: PRIORITY frames")                                                               \
    X(H2_EMPTY_DATA, "h2-empty-data", COUNT, 1000, 1, 1000000, GATEWAY,                            \
      "per minute: DATA frames without a byte")                                                    \
    X(H2_WINDOW_UPDATES, "h2-window-updates", COUNT, 10000, 1, 1000000, GATEWAY,                   \
      "per minute: WINDOW_UPDATE frames, beyond two for each DATA frame sent")

/* TLS on both sides. */
#define PN_LIMITS_TLS(X)                                                                           \
    X(TLS_TICKET_LIFETIME, "tls-ticket-lifetime", MS, 7200000, 60000, 604800000, GATEWAY,          \
      "a client's TLS session can be resumed, counted from its full handshake")                    \
    X(TLS_TICKET_ROTATION, "tls-ticket-rotation", MS, 3600000, 1000, 604800000, GATEWAY,           \
      "one key makes session tickets; at least a 60th of tls-ticket-lifetime")                     \
    X(TLS_CLIENT_CHAIN_BYTES, "tls-client-chain-bytes", BYTES, 65536, 4096, 1048576, GATEWAY,      \
      "the certificates that a client sends when it is asked for one")                             \
    X(TLS_VERIFIED_CHAINS, "tls-verified-chains", COUNT, 4096, 0, 1000000, GATEWAY,                \
      "verified chains of backends that are remembered, per trust policy; 0: none")                \
    X(TLS_VERIFIED_LIFETIME, "tls-verified-lifetime", MS, 3600000, 1000, 86400000, GATEWAY,        \
      "a verified chain is remembered, a session that came of it resumed, and neither beyond the " \
      "certificates' validity")                                                                    \
    X(TLS_SESSIONS, "tls-sessions", COUNT, 4096, 1, 1000000, GATEWAY,                              \
      "identities whose TLS sessions with backends are kept, per context and gateway thread")      \
    X(TLS_SESSIONS_PER_IDENTITY, "tls-sessions-per-identity", COUNT, 32, 1, 64, GATEWAY,           \
      "TLS sessions kept of one identity: each is used once in TLS 1.3")                           \
    X(TLS_KEY_RECORDS, "tls-key-records", COUNT, 16777216, 8, 23726566, GATEWAY,                   \
      "records that one TLS 1.3 key protects; then it is replaced (with --tls-records own)")       \
    X(TLS_EMPTY_RECORDS, "tls-empty-records", COUNT, 32, 4, 65536, GATEWAY,                        \
      "TLS 1.3 records in a row without data, of one connection (with --tls-records own)")         \
    X(SIGNATURE_TIMEOUT, "signature-timeout", MS, 500, 10, 10000, GATEWAY,                         \
      "a handshake's signature by the keyholder; its thread waits, and others with it")

/* Connections and requests to backends. */
#define PN_LIMITS_BACKEND(X)                                                                       \
    X(BACKEND_CONNECTIONS, "backend-connections", COUNT, 1024, 1, 1000000, GATEWAY,                \
      "open connections of one identity, of the whole gateway")                                    \
    X(BACKEND_HOST_CONNECTIONS, "backend-host-connections", COUNT, 4096, 1, 1000000, GATEWAY,      \
      "open connections to one host and port, all identities together, of the whole gateway")      \
    X(BACKEND_IDLE_CONNECTIONS, "backend-idle-connections", COUNT, 256, 0, 1000000, GATEWAY,       \
      "idle connections kept of one identity, shared out to the threads; 0: none is kept")         \
    X(BACKEND_QUEUE, "backend-queue", COUNT, 4096, 0, 1000000, GATEWAY,                            \
      "requests that wait for a connection of one identity; 0: none waits")                        \
    X(BACKEND_IDLE_TIMEOUT, "backend-idle-timeout", MS, 50000, 100, 86400000, GATEWAY,             \
      "an idle backend connection is kept; below the 60 s after which most servers close")         \
    X(BACKEND_AGE, "backend-age", MS, 600000, 1000, 86400000, GATEWAY,                             \
      "a backend connection carries new requests; then DNS is asked again")                        \
    X(BACKEND_CONNECT_TIMEOUT, "backend-connect-timeout", MS, 10000, 10, 600000, GATEWAY,          \
      "TCP and TLS to one address of a backend")                                                   \
    X(PROXY_ANSWER, "proxy-answer-bytes", BYTES, 8192, 1024, 65536, GATEWAY,                       \
      "a proxy's answer to CONNECT")                                                               \
    X(BACKEND_RESPONSE_TIMEOUT, "backend-response-timeout", MS, 300000, 10, 86400000, GATEWAY,     \
      "until the head of the answer, where the policy's forward-request says nothing")             \
    X(BACKEND_CONTINUE_TIMEOUT, "backend-continue-timeout", MS, 1000, 1, 3600000, GATEWAY,         \
      "a body that waits for the backend's 100 Continue; then it goes without")                    \
    X(BACKEND_INFORMATIONAL, "backend-informational", COUNT, 16, 0, 1000, GATEWAY,                 \
      "1xx answers of a backend to one request; 0: none is taken")                                 \
    X(BACKEND_PING_INTERVAL, "backend-ping-interval", MS, 30000, 0, 86400000, GATEWAY,             \
      "a busy HTTP/2 connection is silent, then PING asks whether it lives; 0: never")             \
    X(BACKEND_PING_TIMEOUT, "backend-ping-timeout", MS, 10000, 10, 600000, GATEWAY,                \
      "the answer to that PING")                                                                   \
    X(BACKEND_DRAIN_TIMEOUT, "backend-drain-timeout", MS, 300000, 0, 86400000, GATEWAY,            \
      "requests finish on connections whose certificate was replaced; 0: at once")                 \
    X(LAST_FAILURES, "last-failures", COUNT, 1024, 1, 1000000, GATEWAY,                            \
      "backends and APIs whose last failed connection is kept; the one that failed first goes")    \
    X(BACKEND_BODY_TIMEOUT, "backend-body-timeout", MS, 300000, 10, 86400000, GATEWAY,             \
      "no byte of the answer's body from a backend")

/* The gateway process. */
#define PN_LIMITS_GATEWAY(X)                                                                       \
    X(OPEN_REQUESTS, "open-requests", COUNT, 100000, 1, 10000000, GATEWAY,                         \
      "requests being served, of the whole gateway; above: 503 with Retry-After")                  \
    X(OVERLOAD_LAG, "overload-lag", MS, 300, 0, 60000, GATEWAY,                                    \
      "a gateway thread's turns last so long on average: new requests get 503 with Retry-After "   \
      "until it is three quarters of that; 0: not watched")                                        \
    X(BUSY_REST, "busy-rest", US, 300, 0, 10000, GATEWAY,                                          \
      "a busy gateway thread with many requests open rests so long when none can go on, so that "  \
      "several can afterwards; 0: it never does")                                                  \
    X(EXPRESSION_STEPS, "expression-steps", COUNT, 10000, 100, 10000000, GATEWAY,                  \
      "steps of one evaluation of a policy expression; above: 500")                                \
    X(EXPRESSION_BYTES, "expression-bytes", BYTES, 262144, 1024, 67108864, GATEWAY,                \
      "what one evaluation of a policy expression makes; above: 500")                              \
    X(EXPRESSION_REGEX_STEPS, "expression-regex-steps", COUNT, 100000, 100, 100000000, GATEWAY,    \
      "steps (match limit) of one regular expression of a policy; above: 500")                     \
    X(DRAIN_DELAY, "drain-delay", MS, 0, 0, 3600000, GATEWAY,                                      \
      "after SIGTERM, all is served as before while /readyz says 503, so that balancers notice")   \
    X(DRAIN_IDLE, "drain-idle", MS, 1000, 0, 60000, GATEWAY,                                       \
      "a draining gateway waits for a last request on a connection that carries none")             \
    X(DRAIN_TIMEOUT, "drain-timeout", MS, 30000, 0, 86400000, GATEWAY,                             \
      "requests under way are finished after SIGTERM; 0: they are ended at once")                  \
    X(HAND_OVER_TIMEOUT, "hand-over-timeout", MS, 600000, 0, 86400000, GATEWAY,                    \
      "the former version finishes its requests after an upgrade; 0: they are ended at once")

/* The HTTPS listeners of control and of the embedded vault, each on its own. */
#define PN_LIMITS_CONTROL(X)                                                                       \
    X(CONTROL_CONNECTIONS, "control-connections", COUNT, 512, 1, 65536, CONTROL,                   \
      "open connections of control, and of the vault")                                             \
    X(CONTROL_QUEUE, "control-queue", COUNT, 256, 1, 65536, CONTROL,                               \
      "requests that wait for a thread of control; above: 503")                                    \
    X(CONTROL_BODY_BYTES, "control-body-bytes", BYTES, 4194304, 65536, 268435456, CONTROL,         \
      "body of a management request; above: 413")                                                  \
    X(CONTROL_RESPONSE_BYTES, "control-response-bytes", BYTES, 16777216, 65536, 1073741824,        \
      CONTROL, "body of an answer of the management plane")                                        \
    X(CONTROL_CALL_MEMORY, "control-call-memory", BYTES, 67108864, 1048576, 4294967296, CONTROL,   \
      "what one management request may allocate")                                                  \
    X(CONTROL_TLS_TIMEOUT, "control-tls-timeout", MS, 10000, 100, 600000, CONTROL,                 \
      "TLS handshake with control or the vault")                                                   \
    X(CONTROL_IDLE_TIMEOUT, "control-idle-timeout", MS, 75000, 100, 86400000, CONTROL,             \
      "a management connection between two requests")                                              \
    X(CONTROL_HEADER_TIMEOUT, "control-header-timeout", MS, 10000, 100, 3600000, CONTROL,          \
      "first byte of a management request's head to its last")                                     \
    X(CONTROL_BODY_TIMEOUT, "control-body-timeout", MS, 120000, 100, 3600000, CONTROL,             \
      "end of a management request's head to end of its body")                                     \
    X(FRAGMENT_BYTES, "fragment-bytes", BYTES, 32768, 1024, 262144, CONTROL,                       \
      "a policy fragment; above: 400")                                                             \
    X(FRAGMENT_DEPTH, "fragment-depth", COUNT, 8, 1, 16, CONTROL,                                  \
      "policy fragments that include one another; above: 400")                                     \
    X(POLICY_EXPANDED, "policy-expanded-bytes", BYTES, 1048576, 32768, 2097152, CONTROL,           \
      "what named values and fragments put into one policy document; above: 400")                  \
    X(NAMED_VALUE_USERS, "named-value-users", COUNT, 10000, 1, 1000000, CONTROL,                   \
      "policies, fragments and backends that change with one named value or fragment; above: 400") \
    X(AUDIT_ENTRIES, "audit-entries", COUNT, 100000, 100, 100000000, CONTROL,                      \
      "entries kept of the audit log; above, the oldest tenth goes")                               \
    X(IDENTITY_TOKEN_LIFETIME, "identity-token-lifetime", MS, 3600000, 2000, 86400000, CONTROL,    \
      "a token of a managed identity that the embedded authority makes for a policy")              \
    X(IDENTITY_ENDPOINT_TOKENS, "identity-endpoint-tokens", COUNT, 500, 0, 1000000, CONTROL,       \
      "tokens that the identity endpoint gives within ten seconds; above: 429; 0: as many as "     \
      "come")                                                                                      \
    X(CONTROL_WRITE_TIMEOUT, "control-write-timeout", MS, 30000, 100, 3600000, CONTROL,            \
      "the caller takes no byte of the answer")

/* The embedded vault. Within ten seconds means in a window of ten seconds that begins with the
 * first request. */
#define PN_LIMITS_VAULT(X)                                                                         \
    X(VAULT_READS, "vault-reads", COUNT, 4000, 0, 100000000, CONTROL,                              \
      "reads of one vault within ten seconds; above: 429 with Retry-After; 0: as many as come")    \
    X(VAULT_WRITES, "vault-writes", COUNT, 4000, 0, 100000000, CONTROL,                            \
      "changes of one vault within ten seconds; above: 429; 0: as many as come")                   \
    X(VAULT_KEY_OPERATIONS, "vault-key-operations", COUNT, 2000, 0, 100000000, CONTROL,            \
      "operations with keys of one vault within ten seconds; above: 429; 0: as many as come")      \
    X(VAULT_GENERATIONS, "vault-generations", COUNT, 300, 0, 100000000, CONTROL,                   \
      "keys and certificates made in one vault within ten seconds; above: 429; 0: as many as "     \
      "come")                                                                                      \
    X(VAULT_EVENTS, "vault-events", COUNT, 1000, 1, 1000000, CONTROL,                              \
      "events that wait for one webhook; above: new ones are dropped")                             \
    X(VAULT_PURGE_DELAY, "vault-purge-delay", MS, 3600000, 0, 604800000, CONTROL,                  \
      "the clock goes steadily so long before what is deleted is purged by it")

/* Other identity providers: trusted issuers, and those of federated credentials. */
#define PN_LIMITS_ISSUERS(X)                                                                       \
    X(TRUSTED_ISSUERS, "trusted-issuers", COUNT, 8, 1, 10, CONTROL,                                \
      "trusted issuers; above: it does not start")                                                 \
    X(ISSUER_AUDIENCES, "issuer-audiences", COUNT, 8, 1, 32, CONTROL,                              \
      "audiences of one trusted issuer, and likewise its tenants; above: it does not start")       \
    X(ISSUERS_KNOWN, "issuers-known", COUNT, 64, 1, 4096, CONTROL,                                 \
      "issuers whose keys are kept; above: the one not asked for longest goes")                    \
    X(ISSUER_KEYS, "issuer-keys", COUNT, 32, 1, 256, CONTROL,                                      \
      "keys of one issuer; further ones are not seen")                                             \
    X(ISSUER_FETCHES, "issuer-fetches", COUNT, 2, 1, 64, CONTROL,                                  \
      "issuers that are asked for their keys at a time; above: 503 with Retry-After")              \
    X(ISSUER_WAITING, "issuer-waiting", COUNT, 4, 0, 64, CONTROL,                                  \
      "requests that wait for keys that are being fetched; above: 503 with Retry-After")           \
    X(ISSUER_REFETCH, "issuer-refetch", MS, 30000, 1000, 3600000, CONTROL,                         \
      "an issuer's keys are asked for once in it because a token names one that is not known")     \
    X(ISSUER_RETRY, "issuer-retry", MS, 10000, 1000, 3600000, CONTROL,                             \
      "an issuer that did not answer is not asked again; until then 503 with Retry-After")         \
    X(ISSUER_STALE, "issuer-stale", MS, 86400000, 0, 604800000, CONTROL,                           \
      "the last keys of an issuer serve while it does not answer; 0: as long as it said")          \
    X(ISSUER_LIFETIME_MIN, "issuer-lifetime-min", MS, 60000, 1000, 86400000, CONTROL,              \
      "keys are kept at least, whatever the issuer says (Cache-Control: max-age)")                 \
    X(ISSUER_LIFETIME_MAX, "issuer-lifetime-max", MS, 86400000, 1000, 604800000, CONTROL,          \
      "and at most")                                                                               \
    X(FOREIGN_TOKEN_BYTES, "foreign-token-bytes", BYTES, 32768, 1024, 65536, CONTROL,              \
      "an ID token, or a workload's token as client assertion")

#define PN_LIMITS(X)                                                                               \
    PN_LIMITS_CLIENT(X)                                                                            \
    PN_LIMITS_HTTP(X)                                                                              \
    PN_LIMITS_HTTP2(X)                                                                             \
    PN_LIMITS_TLS(X)                                                                               \
    PN_LIMITS_BACKEND(X)                                                                           \
    PN_LIMITS_GATEWAY(X)                                                                           \
    PN_LIMITS_CONTROL(X)                                                                           \
    PN_LIMITS_VAULT(X)                                                                             \
    PN_LIMITS_ISSUERS(X)

enum pn_limit {
#define PN_LIMIT_ENUM(symbol, name, unit, value, min, max, process, help) PN_LIMIT_##symbol,
    PN_LIMITS(PN_LIMIT_ENUM)
#undef PN_LIMIT_ENUM
        PN_LIMIT_COUNT
};

/* PN_LIMIT_…_DEFAULT, for constants. */
enum pn_limit_default {
#define PN_LIMIT_DEFAULT(symbol, name, unit, value, min, max, process, help)                       \
    PN_LIMIT_##symbol##_DEFAULT = value,
    PN_LIMITS(PN_LIMIT_DEFAULT)
#undef PN_LIMIT_DEFAULT
};

enum pn_limit_unit { PN_UNIT_BYTES, PN_UNIT_COUNT, PN_UNIT_MS, PN_UNIT_US };

struct pn_limit_row {
    const char *name;
    enum pn_limit_unit unit;
    uint64_t value, min, max; /* the default, and its borders */
    const char *process;      /* "gateway", "control", "supervisor" */
    const char *help;
};

extern const struct pn_limit_row pn_limit_rows[PN_LIMIT_COUNT];
extern uint64_t pn_limit_values[PN_LIMIT_COUNT]; /* read by pn_limit_value() */

/** The value in force, in the limit's unit. Any thread. */
static inline uint64_t pn_limit_value(enum pn_limit limit)
{
    return pn_limit_values[limit];
}

/** Counts that something was refused, ended or dropped because of it. Any thread. */
void pn_limit_hit(enum pn_limit limit);
/** How often that was in this process. */
int64_t pn_limit_hits(enum pn_limit limit);

/* Setting up: before the process has a second thread. `values` is pn_limit_values or a copy. */

/** All defaults. */
void pn_limits_reset(uint64_t values[PN_LIMIT_COUNT]);
/** `value`: a number in the limit's unit, or with one of KiB MiB GiB (bytes), ms s m h (times).
 *  PN_NOT_FOUND: no such name; err proposes the nearest one. PN_INVALID: not such a value, or
 *  beyond the borders. */
enum pn_rc pn_limit_set(uint64_t values[PN_LIMIT_COUNT], struct pn_slice name,
                        struct pn_slice value, struct pn_error *err) PN_MUST_USE;
/** "NAME=VALUE". The same errors. */
enum pn_rc pn_limit_set_pair(uint64_t values[PN_LIMIT_COUNT], const char *pair,
                             struct pn_error *err) PN_MUST_USE;
/** What a child must know: "name=number,…" of those that are not the default. */
enum pn_rc pn_limits_export(const uint64_t values[PN_LIMIT_COUNT], struct pn_buf *out) PN_MUST_USE;
/** Takes over what the supervisor left in the environment. PN_INVALID, PN_NOT_FOUND. */
enum pn_rc pn_limits_import(struct pn_error *err) PN_MUST_USE;
#define PN_LIMITS_ENV "PN_LIMITS"

/** The table for a person: name, value, borders, process and help, a line each. */
enum pn_rc pn_limits_print(const uint64_t values[PN_LIMIT_COUNT], struct pn_buf *out) PN_MUST_USE;
/** How the value is best read, in a form that pn_limit_set takes: "64KiB", "75s", "128". */
const char *pn_limit_text(enum pn_limit limit, uint64_t value, char out[32]);
