/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator writes for a listener: one value or, separated by spaces, several. A value is a
 * list of addresses, and of options that hold for them:
 *
 *   localhost:8080                                 10.0.0.1:80,[2001:db8::1]:80      none
 *   0.0.0.0:8080,proxy,trusted=10.0.0.0/8          unix:/run/postern/http.sock,mode=0660
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

#define PN_LISTEN_ADDRESSES_MAX 16
#define PN_LISTEN_ADDRESS_MAX   300
#define PN_LISTEN_TRUSTED_TEXT  512
#define PN_LISTEN_PATH_MAX      108 /* of a Unix socket, with NUL (unix(7)) */

struct pn_listen_address {
    char text[PN_LISTEN_ADDRESS_MAX]; /* "localhost:8080", "unix:/run/x.sock" */
    bool is_unix;
    bool wants_proxy;                     /* connections begin with a PROXY header */
    char trusted[PN_LISTEN_TRUSTED_TEXT]; /* ranges, separated by spaces, of who may send one */
    unsigned mode;                        /* of the Unix socket's file */
};

struct pn_listen_value {
    struct pn_listen_address addresses[PN_LISTEN_ADDRESSES_MAX];
    size_t count; /* 0: "none" */
};

/** `for_clients`: a listener of the gateway; those of control take neither "none" nor Unix sockets
 *  nor PROXY headers. PN_INVALID: err says what is wrong; PN_LIMIT: too many or too long. */
enum pn_rc pn_listen_value_parse(const char *text, bool for_clients, struct pn_listen_value *value,
                                 struct pn_error *err) PN_MUST_USE;
/** The same for neighbours on this machine: loopback addresses, 169.254.169.254 and Unix sockets
 *  only, without PROXY headers; "none" is fine. */
enum pn_rc pn_listen_value_parse_local(const char *text, struct pn_listen_value *value,
                                       struct pn_error *err) PN_MUST_USE;
