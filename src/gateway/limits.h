/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of the gateway's client side, with their defaults. Those of heads are in http/h1.h,
 * those of backend connections in upstream/pool.h.
 */
#pragma once

#define PN_CLIENT_CONNECTIONS_MAX   20000 /* open ones, of the whole gateway */
#define PN_CLIENT_IDLE_TIMEOUT_MS   75000 /* between two requests */
#define PN_CLIENT_HEADER_TIMEOUT_MS 30000 /* from the first byte of a head to its last */
#define PN_CLIENT_BODY_TIMEOUT_MS   60000 /* no byte of the body that we wait for */
#define PN_CLIENT_WRITE_TIMEOUT_MS  60000 /* the client takes no byte of the answer */
#define PN_CLIENT_TLS_TIMEOUT_MS    10000 /* handshake */
#define PN_CLIENT_LINGER_MS         2000  /* read and drop what a refused client still sends */
#define PN_CALL_ARENA_BLOCK_BYTES   8192  /* one request's memory: first block ... */
#define PN_CALL_ARENA_BYTES_MAX     (1024u * 1024) /* ... and bound */
#define PN_CALLS_SPARE_MAX          256            /* unused request states that a worker keeps */
#define PN_DRAIN_TIMEOUT_MS         30000          /* after SIGTERM */
#define PN_GATEWAY_THREADS_MAX      256
