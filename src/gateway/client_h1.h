/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 on a client's connection (RFC 9112): one request after the other.
 */
#pragma once

#include "gateway/client.h"

/** Looks for a request in what has arrived, reads more, and begins it. States IDLE and HEAD. */
void pn_h1_read_requests(struct pn_client *client);
/** The head takes too long. State HEAD. */
void pn_h1_head_timeout(struct pn_client *client);

/* Of the request under way, state CALL. */
void pn_h1_on_readable(struct pn_client *client);
void pn_h1_on_writable(struct pn_client *client);
void pn_h1_on_timeout(struct pn_client *client);
/** The client has gone. */
void pn_h1_cancel(struct pn_client *client);

void pn_h1_turns_free_spare(struct pn_worker *worker);
