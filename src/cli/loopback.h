/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a browser brings the answer of an authorization server to a command line (RFC 8252 §7.3).
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct pn_cli_loopback {
    int fds[2]; /* 127.0.0.1, ::1; -1: none */
    unsigned short port;
};

/** Listens. PN_IO. */
enum pn_rc pn_cli_loopback_open(struct pn_cli_loopback *loopback, struct pn_error *err) PN_MUST_USE;
void pn_cli_loopback_close(struct pn_cli_loopback *loopback);
/** Waits for the redirect with `state`; others are told that they are not it. The code goes into
 *  the secret buffer `code`. PN_DENIED: the issuer refused, or it is another one's answer;
 *  PN_TIMEOUT. */
enum pn_rc pn_cli_loopback_wait(const struct pn_cli_loopback *loopback, const char *state,
                                const char *issuer, unsigned seconds, struct pn_buf *code,
                                struct pn_error *err) PN_MUST_USE;
