/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of session tickets (RFC 5077, RFC 8446 §4.6.1): what lets any worker resume a session that
 * another one opened, without keeping sessions. Random, shared by all listeners of a process,
 * replaced by time: a session is good for its lifetime at most, however many tickets have come of
 * one another, and a key is wiped as soon as no ticket of it can be good any more.
 *
 * Thread: any; a lock is held while a key is looked for, at handshakes only.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define PN_TICKET_LIFETIME_S     7200   /* default: how long a session can be resumed */
#define PN_TICKET_ROTATION_S     3600   /* default: how long one key makes tickets */
#define PN_TICKET_LIFETIME_S_MAX 604800 /* RFC 8446 §4.6.1: seven days */
#define PN_TICKET_KEYS_MAX       64     /* kept at a time; lifetime / rotation + 2 must fit */

struct pn_tls_tickets;

struct pn_tls_tickets_spec {
    uint32_t lifetime_s;      /* 0: the default; else up to PN_TICKET_LIFETIME_S_MAX */
    uint32_t rotation_s;      /* 0: the default */
    uint64_t (*now_ms)(void); /* monotonic; NULL: the clock; tests set it */
};

/** PN_INVALID: the two times do not fit together. PN_NOMEM, PN_INTERNAL. Reference-counted. */
enum pn_rc pn_tls_tickets_create(const struct pn_tls_tickets_spec *spec,
                                 struct pn_tls_tickets **tickets, struct pn_error *err) PN_MUST_USE;
struct pn_tls_tickets *pn_tls_tickets_ref(struct pn_tls_tickets *tickets);
void pn_tls_tickets_unref(struct pn_tls_tickets *tickets);
uint32_t pn_tls_tickets_lifetime_s(const struct pn_tls_tickets *tickets);
/** Keys kept now. */
unsigned pn_tls_tickets_count(struct pn_tls_tickets *tickets);
