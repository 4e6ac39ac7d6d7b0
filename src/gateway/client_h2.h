/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 on a client's connection (RFC 9113): many requests at a time, each with a call of its own.
 *
 * What has arrived goes to the engine (http/h2.h), which begins and feeds the calls; what they
 * answer is pulled out of its sources when the connection can take it, all frames of one turn of
 * the loop in as few writes as they fit into.
 */
#pragma once

#include "gateway/client.h"

struct pn_h2_link;

/** From now on the connection speaks HTTP/2; what the inlet holds is the beginning of it (with the
 *  preface). State H2. */
void pn_h2_begin(struct pn_client *client);
void pn_h2_on_readable(struct pn_client *client);
void pn_h2_on_writable(struct pn_client *client);
void pn_h2_on_soon(struct pn_client *client);
void pn_h2_on_timer(struct pn_client *client);
/** Says that the connection ends; takes what still comes for `idle_ms`, then says which request was
 *  the last, and ends with it (RFC 9113 §6.8). */
void pn_h2_drain(struct pn_client *client, uint64_t idle_ms);
/** The client has gone: ends every call. */
void pn_h2_cancel(struct pn_client *client);

/** Whether `bytes` begin like an HTTP/2 preface; *is_whole: all 24 of them are there. */
bool pn_h2_is_preface(struct pn_slice bytes, bool *is_whole);

enum pn_rc pn_h2_worker_init(struct pn_worker *worker) PN_MUST_USE;
void pn_h2_worker_fini(struct pn_worker *worker);
