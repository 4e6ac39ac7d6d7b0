/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by exchange.c and the versions of HTTP: exchange_h1.c, exchange_h2.c.
 */
#pragma once

#include "upstream/exchange.h"

/* --- what the versions share (exchange.c) --- */

void pn_exchange_arm(struct pn_exchange *exchange, uint64_t delay_ms);
/** Ends it; exchange->failure is told. The exchange may be gone when this returns. */
void pn_exchange_fail(struct pn_exchange *exchange);
/** Leaves this connection, which is closed, and asks for a new one. */
void pn_exchange_retry(struct pn_exchange *exchange);
/** The connection broke before the head, and there is no retry: fails with what its report says. */
void pn_exchange_connection_failed(struct pn_exchange *exchange);
/** Promise 1, directly before the request is written. false: it has failed. */
bool pn_exchange_check_identity(struct pn_exchange *exchange);
/** The request is about to be written. */
void pn_exchange_sending(struct pn_exchange *exchange);
/** The backend took a part of it: its time begins anew. */
void pn_exchange_sent_some(struct pn_exchange *exchange);
/** The answer's head cannot be used. Returns `rc`; pn_exchange_fail() is the caller's. */
enum pn_rc pn_exchange_malformed(struct pn_exchange *exchange, enum pn_rc rc, const char *cause);
/** exchange->response is there. PN_OK: it is the final one; PN_AGAIN: another follows. */
enum pn_rc pn_exchange_take_head(struct pn_exchange *exchange) PN_MUST_USE;
/** The final head is there and exchange->answer is ready. */
void pn_exchange_answering(struct pn_exchange *exchange);
/** What we write ourselves in HTTP/1.1. */
#define PN_EXCHANGE_OWN_FIELDS                                                                     \
    (PN_HEADER_BIT(PN_HEADER_TE) | PN_HEADER_BIT(PN_HEADER_HOST) |                                 \
     PN_HEADER_BIT(PN_HEADER_EXPECT) | PN_HEADER_BIT(PN_HEADER_UPGRADE) |                          \
     PN_HEADER_BIT(PN_HEADER_CONNECTION) | PN_HEADER_BIT(PN_HEADER_CONTENT_LENGTH) |               \
     PN_HEADER_BIT(PN_HEADER_TRANSFER_ENCODING))

/* --- HTTP/1.1 (exchange_h1.c, keep_alive.c) --- */

/** The answer's head has a Keep-Alive field: how long its connection may be used again. */
void pn_exchange_h1_heed_keep_alive(struct pn_exchange *exchange);

void pn_exchange_h1_init(struct pn_exchange *exchange);
void pn_exchange_h1_fini(struct pn_exchange *exchange);
/** exchange->conn is there: writes the request. */
void pn_exchange_h1_begin(struct pn_exchange *exchange);
void pn_exchange_h1_send(struct pn_exchange *exchange);
/** spec.request_body is what the client says from now on. */
void pn_exchange_h1_tunnel(struct pn_exchange *exchange);
bool pn_exchange_h1_wants_body(const struct pn_exchange *exchange);
/** The answer was read whole: may another request follow on the connection? */
bool pn_exchange_h1_is_clean(const struct pn_exchange *exchange);

/* --- HTTP/2 (exchange_h2.c) --- */

void pn_exchange_h2_begin(struct pn_exchange *exchange);
/** Its stream waits for the backend to take more of them, or for SETTINGS: nothing has left. */
bool pn_exchange_h2_is_unsent(const struct pn_exchange *exchange);
void pn_exchange_h2_send(struct pn_exchange *exchange);
/** It leaves `conn`; a stream that has not ended is reset. */
void pn_exchange_h2_release(struct pn_exchange *exchange, struct pn_conn *conn);
/** "CANCEL". Static text. */
const char *pn_exchange_h2_code_name(uint32_t code);
/** What a client's stream is reset with when the backend reset ours with `code`. */
uint32_t pn_exchange_h2_code_out(uint32_t code);

/* What conn_h2.c hears of a stream whose `user` is an exchange. */
void pn_exchange_h2_on_informational(void *ctx, struct pn_h2_stream *stream,
                                     const struct pn_response_head *response);
void pn_exchange_h2_on_response(void *ctx, struct pn_h2_stream *stream,
                                const struct pn_response_head *response);
void pn_exchange_h2_on_data(void *ctx, struct pn_h2_stream *stream);
void pn_exchange_h2_on_source_failed(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc);
void pn_exchange_h2_on_sent(void *ctx, struct pn_h2_stream *stream);
void pn_exchange_h2_on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code);
