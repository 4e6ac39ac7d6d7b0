/* SPDX-License-Identifier: Apache-2.0
 *
 * Result codes: one meaning per code, everywhere in Postern.
 */
#pragma once

#define PN_MUST_USE                     __attribute__((warn_unused_result))
#define PN_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))

enum pn_rc {
    PN_OK = 0,
    PN_AGAIN,       /* nothing to do right now: come back when there is input, room or time */
    PN_EOF,         /* the peer ended orderly */
    PN_LIMIT,       /* a named limit was reached */
    PN_MALFORMED,   /* the input breaks its grammar or format */
    PN_INVALID,     /* well-formed, but the value is not acceptable */
    PN_DENIED,      /* not allowed: authentication, authorization or use */
    PN_NOT_FOUND,   /* no such thing */
    PN_EXISTS,      /* there is one already */
    PN_CONFLICT,    /* a precondition failed (If-Match), or it is in use */
    PN_UNAVAILABLE, /* the process or server that must answer is away */
    PN_TIMEOUT,     /* it did not answer in time */
    PN_UNSUPPORTED, /* understood, and deliberately not done */
    PN_NOMEM,       /* out of memory */
    PN_IO,          /* the operating system refused: errno tells why */
    PN_INTERNAL,    /* our own bug or a library's unexpected failure */
};

/** The code's name in lower case ("not_found"), for logs. Static text. */
const char *pn_rc_name(enum pn_rc rc);
