/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP proxy of a backend: connections go through a tunnel that it opens (CONNECT, RFC 9110
 * §9.3.6). TLS runs inside the tunnel, end to end, with the same identity as without one. The proxy
 * sees host name, port and bytes. It may itself be reached by TLS (https://), which hides from the
 * way there whom the tunnel is for, and the proxy's credentials (docs/adr/0210-tls-to-proxies.md).
 *
 * A proxy is part of what tells connections apart: its digest, of scheme, address and credentials,
 * stands in the peer's place of the identity, for the backend's own address is known to the proxy
 * only.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "tls/identity.h"
#include "upstream/target.h"

#define PN_PROXY_CREDENTIAL_MAX 256  /* bytes of user name, and of password */
#define PN_PROXY_REQUEST_MAX    4096 /* bytes of a CONNECT request */
#define PN_PROXY_DIGEST_BYTES   16

struct pn_proxy {
    _Atomic unsigned refs;
    char host[PN_TARGET_HOST_MAX + 1];
    uint16_t port;
    bool is_tls;                    /* https:// */
    struct pn_secret authorization; /* "Basic …"; empty: none */
    uint8_t digest[PN_PROXY_DIGEST_BYTES];
};

/** `url`: http://host[:port], https://host[:port]; port 80, 443 if none is given. PN_INVALID,
 * PN_MALFORMED, PN_NOMEM. Reference-counted, any thread. */
enum pn_rc pn_proxy_create(struct pn_slice url, struct pn_slice username, struct pn_slice password,
                           struct pn_proxy **proxy, struct pn_error *err) PN_MUST_USE;
struct pn_proxy *pn_proxy_ref(struct pn_proxy *proxy);
void pn_proxy_unref(struct pn_proxy *proxy);
/** NULL equals NULL. */
bool pn_proxy_equal(const struct pn_proxy *a, const struct pn_proxy *b);

/** The peer of a connection to port `port` through it. */
void pn_proxy_peer(const struct pn_proxy *proxy, uint16_t port, struct pn_peer_address *peer);
/** The CONNECT request for that backend. `out` is a secret buffer. PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_proxy_request(const struct pn_proxy *proxy, struct pn_slice host, uint16_t port,
                            struct pn_buf *out) PN_MUST_USE;

enum pn_proxy_answer {
    PN_PROXY_MORE,          /* the answer goes on */
    PN_PROXY_OPEN,          /* the tunnel is open and nothing came behind the answer */
    PN_PROXY_AUTH_REQUIRED, /* 407 */
    PN_PROXY_REFUSED,       /* another status */
    PN_PROXY_MALFORMED,     /* no HTTP answer, or `max` bytes without an end */
};
/** What the proxy has answered so far. `status` of OPEN, AUTH_REQUIRED and REFUSED. Bytes behind
 * the empty line of a 2xx are malformed: a TLS server does not speak first, and a plain one neither
 * (RFC 9110 §9.3.6: 2xx has no content). */
enum pn_proxy_answer pn_proxy_read(struct pn_slice answer, size_t max, int *status);
