/* SPDX-License-Identifier: Apache-2.0
 *
 * What is fixed of the gateway's client side, and short names of its limits in base/limits.h.
 */
#pragma once

#include "base/limits.h"

#define PN_CLIENT_IDLE_TIMEOUT_MS   pn_limit_value(PN_LIMIT_CLIENT_IDLE_TIMEOUT)
#define PN_CLIENT_HEADER_TIMEOUT_MS pn_limit_value(PN_LIMIT_CLIENT_HEADER_TIMEOUT)
#define PN_CLIENT_BODY_TIMEOUT_MS   pn_limit_value(PN_LIMIT_CLIENT_BODY_TIMEOUT)
#define PN_CLIENT_WRITE_TIMEOUT_MS  pn_limit_value(PN_LIMIT_CLIENT_WRITE_TIMEOUT)
#define PN_TUNNEL_IDLE_TIMEOUT_MS   pn_limit_value(PN_LIMIT_TUNNEL_IDLE_TIMEOUT)
#define PN_CLIENT_TLS_TIMEOUT_MS    (uint32_t) pn_limit_value(PN_LIMIT_CLIENT_TLS_TIMEOUT)
#define PN_CLIENT_LINGER_MS         pn_limit_value(PN_LIMIT_CLIENT_LINGER_TIMEOUT)
#define PN_CALL_ARENA_BYTES_MAX     pn_limit_value(PN_LIMIT_CALL_MEMORY)

#define PN_CALL_ARENA_BLOCK_BYTES 8192 /* one request's memory: first block */
#define PN_CALLS_SPARE_MAX        256  /* unused request states that a worker keeps */
#define PN_RETRY_AFTER_S          1    /* told to who is refused for overload */
#define PN_GATEWAY_THREADS_MAX    256
