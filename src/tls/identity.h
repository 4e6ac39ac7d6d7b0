/* SPDX-License-Identifier: Apache-2.0
 *
 * The identity of a backend connection: what was proved to whom. It is the key of connection pools
 * and session caches (promise: a request never travels on a connection or a resumed TLS session
 * that carries another identity). A rotated certificate has a new generation: a new identity.
 *
 * A plain value: copy it by assignment. Build it with pn_tls_identity_init() (which zeroes padding)
 * and end with pn_tls_identity_seal() (which computes the hash).
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "tls/certificate.h"
#include "tls/trust.h"

#define PN_SERVER_NAME_MAX 256 /* bytes, with NUL */

enum pn_alpn {
    PN_ALPN_NONE,
    PN_ALPN_HTTP11,
    PN_ALPN_H2,
    PN_ALPN_H2_HTTP11 /* both offered, h2 first */
};

/** An IPv4 or IPv6 address and port. */
struct pn_peer_address {
    uint16_t family; /* AF_INET, AF_INET6; AF_UNSPEC: a tunnel, ip tells which */
    uint16_t port;   /* host order */
    uint32_t scope_id;
    uint8_t ip[16]; /* 4 or 16 bytes, the rest 0 */
};
/** PN_UNSUPPORTED: neither IPv4 nor IPv6. */
enum pn_rc pn_peer_address_from(const struct sockaddr *address,
                                struct pn_peer_address *peer) PN_MUST_USE;
socklen_t pn_peer_address_to(const struct pn_peer_address *peer, struct sockaddr_storage *address);
#define PN_PEER_ADDRESS_TEXT 64
/** "127.0.0.1:443", "[::1]:443". */
void pn_peer_address_print(const struct pn_peer_address *peer, char out[PN_PEER_ADDRESS_TEXT]);

struct pn_tls_identity {
    uint64_t hash;
    struct pn_peer_address peer;
    bool is_tls; /* false: plain TCP; then all below but the peer is empty */
    bool has_certificate;
    enum pn_alpn alpn;
    struct pn_trust_id trust;
    uint64_t generation;
    uint8_t thumbprint[PN_SHA1_BYTES];
    uint8_t chain_id[PN_SHA256_BYTES]; /* a name taken anew may come with other issuers */
    char certificate_name[PN_CERTIFICATE_NAME_MAX];
    /* of several certificates chain_id is over names, generations and chains of all; the name is
     * the first one's, generation and thumbprint are 0 */
    char server_name[PN_SERVER_NAME_MAX]; /* lower case; host name or IP address without brackets */
};

void pn_tls_identity_init(struct pn_tls_identity *identity, const struct pn_peer_address *peer);
/** Makes it a TLS identity. `server_name`: for SNI and the name check (an IP address is checked but
 * not sent as SNI, RFC 6066 §3); one trailing dot is dropped. `certificate` may be NULL: none is
 * presented. PN_INVALID: name empty, too long or with a NUL. */
enum pn_rc pn_tls_identity_set_tls(struct pn_tls_identity *identity, struct pn_slice server_name,
                                   const struct pn_trust *trust,
                                   const struct pn_tls_certificate *certificate,
                                   enum pn_alpn alpn) PN_MUST_USE;
/** With several certificates to choose from, in their order (two or more): instead of the one of
 *  _set_tls(). */
void pn_tls_identity_set_several(struct pn_tls_identity *identity,
                                 struct pn_tls_certificate *const *certificates, size_t count);
/** Computes hash; nothing may be changed after. */
void pn_tls_identity_seal(struct pn_tls_identity *identity);
/** Both sealed. Compares everything, never the hash alone. */
bool pn_tls_identity_equal(const struct pn_tls_identity *a, const struct pn_tls_identity *b);
