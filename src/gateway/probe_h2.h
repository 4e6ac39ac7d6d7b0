/* SPDX-License-Identifier: Apache-2.0
 *
 * The question of a pre-flight over HTTP/2: OPTIONS / on a stream of its own, and what is answered
 * to it. Bytes in, bytes out; the stream below is the probe's. Thread: the probe's.
 */
#pragma once

#include "base/buf.h"

struct pn_probe_h2;

/** NULL: no memory. `host` is borrowed until the end. */
struct pn_probe_h2 *pn_probe_h2_create(const char *host, unsigned port, uint64_t now_ms);
void pn_probe_h2_destroy(struct pn_probe_h2 *asked);
/** What is to be sent, valid until the next call; empty: nothing now. */
struct pn_slice pn_probe_h2_output(struct pn_probe_h2 *asked, uint64_t now_ms);
/** So many bytes of it were sent. */
void pn_probe_h2_sent(struct pn_probe_h2 *asked, size_t len);
/** Takes what the backend has sent. True: nothing that matters will follow: the head of a good
 *  answer, the whole of another one, or an end without any. */
bool pn_probe_h2_receive(struct pn_probe_h2 *asked, struct pn_slice bytes, uint64_t now_ms);
/** The answer's status; 0: there is none (yet). */
int pn_probe_h2_status(const struct pn_probe_h2 *asked);
/** The beginning of its text. */
struct pn_slice pn_probe_h2_text(const struct pn_probe_h2 *asked);
