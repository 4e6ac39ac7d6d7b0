/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 over a backend connection (RFC 9113): moves bytes between its stream and the engine, keeps
 * it alive, and ends it. The requests on it are exchanges (exchange_h2.c). Thread: the loop's.
 *
 *   open -> closing (GOAWAY either way, age, replaced certificate: no new request) -> ended
 *      \___________ broken: every request on it hears of it ______________________/
 *
 * Writing is put off to the end of the loop's turn, so that requests and window updates of a turn
 * leave in one write. Whatever would destroy the engine is put off too: its events may be on the
 * stack.
 */
#pragma once

#include "http/h2.h"
#include "upstream/pool.h"

#define PN_CONN_H2_OUT_BYTES (32u * 1024) /* frames made before they are written */

/** Makes the connection one of HTTP/2, in its group's list. PN_NOMEM. */
enum pn_rc pn_conn_h2_create(struct pn_conn *conn) PN_MUST_USE;
/** It may take one more request. */
bool pn_conn_h2_is_usable(const struct pn_conn *conn);
/** It carries no request. */
bool pn_conn_h2_is_idle(const struct pn_conn *conn);
/** It takes no request any more: its server has said GOAWAY, it broke, or we end it. */
bool pn_conn_h2_is_closing(const struct pn_conn *conn);
/** It has not said yet how many requests it takes: until then it gets one. */
bool pn_conn_h2_is_starting(const struct pn_conn *conn);
/** PN_OK; else as pn_h2_request(). */
enum pn_rc pn_conn_h2_request(struct pn_conn *conn, const struct pn_h2_request *request,
                              struct pn_h2_stream **stream) PN_MUST_USE;
/** Its server has been seen to end a connection over a request's trailers. */
bool pn_conn_h2_refuses_trailers(const struct pn_conn *conn);
/** What its server allows is known. */
bool pn_conn_h2_has_settings(const struct pn_conn *conn);
/** Who cannot begin before that. Embedded; zero before first use. */
struct pn_conn_h2_waiter {
    struct pn_list entry;
    /* Once, from the loop: they have come, or the connection is over (pn_conn_h2_failure()). */
    void (*on_settings)(void *ctx);
    void *ctx;
};
/** The connection stays open for it as for a request; pn_conn_h2_left() must follow, too. */
void pn_conn_h2_await_settings(struct pn_conn *conn, struct pn_conn_h2_waiter *waiter);
/** It is not told any more. Harmless for one that does not wait. */
void pn_conn_h2_stop_waiting(struct pn_conn_h2_waiter *waiter);
/** A request on it is over. */
void pn_conn_h2_left(struct pn_conn *conn);
/** Why it broke, or NULL: it did not. */
const struct pn_failure *pn_conn_h2_failure(const struct pn_conn *conn);
/** It broke by itself: not because the drain limit has ended it. */
bool pn_conn_h2_was_lost(const struct pn_conn *conn);
/** It takes no new request and ends with its last one. */
void pn_conn_h2_close(struct pn_conn *conn);
/** About once a second: age, idleness, the drain limit, PING, streams that do not move. */
void pn_conn_h2_tick(struct pn_conn *conn);
/** At once; requests on it are told. Not from an event of the engine. */
void pn_conn_h2_end(struct pn_conn *conn);
