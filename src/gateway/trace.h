/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of control's test console ask to be told which client certificate the backend gets. They
 * prove themselves by a secret that the supervisor gives to control and gateway when it starts
 * them: an API client cannot ask. Read once before there are threads, then any thread.
 */
#pragma once

struct pn_call;

/** Takes the secret out of the environment (PN_TRACE_SECRET). */
void pn_trace_setup(void);
/** The head is there: a field X-Postern-Trace is taken out of it, right or wrong. */
void pn_trace_take(struct pn_call *call);
/** The answer's head is about to go: adds X-Postern-Client-Certificate (the SHA-1 thumbprint, or
 *  "none") and X-Postern-Backend to that of a traced call. */
void pn_trace_tell(struct pn_call *call);
