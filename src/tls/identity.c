/* SPDX-License-Identifier: Apache-2.0
 *
 * The identity of a backend connection.
 */
#include "tls/identity.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum pn_rc pn_peer_address_from(const struct sockaddr *address, struct pn_peer_address *peer)
{
    memset(peer, 0, sizeof(*peer));
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof(in));
        memcpy(peer->ip, &in.sin_addr, 4);
        peer->port = ntohs(in.sin_port);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof(in6));
        memcpy(peer->ip, &in6.sin6_addr, 16);
        peer->port = ntohs(in6.sin6_port);
        peer->scope_id = in6.sin6_scope_id;
    } else {
        return PN_UNSUPPORTED;
    }
    peer->family = address->sa_family;
    return PN_OK;
}

socklen_t pn_peer_address_to(const struct pn_peer_address *peer, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    if (peer->family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(peer->port)};

        memcpy(&in.sin_addr, peer->ip, 4);
        memcpy(address, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(peer->port), .sin6_scope_id = peer->scope_id};

    memcpy(&in6.sin6_addr, peer->ip, 16);
    memcpy(address, &in6, sizeof(in6));
    return sizeof(in6);
}

void pn_peer_address_print(const struct pn_peer_address *peer, char out[PN_PEER_ADDRESS_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "tunnel"; /* AF_UNSPEC: through a proxy, which knows the address */

    if (peer->family == AF_INET || peer->family == AF_INET6)
        (void)inet_ntop(peer->family, peer->ip, ip, sizeof(ip));
    (void)snprintf(out, PN_PEER_ADDRESS_TEXT, peer->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
                   peer->port);
}

void pn_tls_identity_init(struct pn_tls_identity *identity, const struct pn_peer_address *peer)
{
    memset(identity, 0, sizeof(*identity));
    identity->peer = *peer;
}

enum pn_rc pn_tls_identity_set_tls(struct pn_tls_identity *identity, struct pn_slice server_name,
                                   const struct pn_trust *trust,
                                   const struct pn_tls_certificate *certificate, enum pn_alpn alpn)
{
    if (server_name.len > 1 && server_name.ptr[server_name.len - 1] == '.')
        server_name.len--;
    if (!server_name.len || server_name.len >= PN_SERVER_NAME_MAX ||
        memchr(server_name.ptr, '\0', server_name.len))
        return PN_INVALID;
    identity->is_tls = true;
    identity->alpn = alpn;
    identity->trust = *pn_trust_id(trust);
    memset(identity->server_name, 0, sizeof(identity->server_name));
    for (size_t i = 0; i < server_name.len; i++)
        identity->server_name[i] = (char)tolower((unsigned char)server_name.ptr[i]);
    if (certificate) {
        identity->has_certificate = true;
        identity->generation = pn_tls_certificate_generation(certificate);
        memcpy(identity->thumbprint, pn_tls_certificate_thumbprint(certificate), PN_SHA1_BYTES);
        memcpy(identity->chain_id, pn_tls_certificate_chain_id(certificate), PN_SHA256_BYTES);
        (void)snprintf(identity->certificate_name, sizeof(identity->certificate_name), "%s",
                       pn_tls_certificate_name(certificate));
    }
    return PN_OK;
}

/* Each digest is over the one before, so that order and number count. */
void pn_tls_identity_set_several(struct pn_tls_identity *identity,
                                 struct pn_tls_certificate *const *certificates, size_t count)
{
    struct {
        uint8_t before[PN_SHA256_BYTES];
        uint8_t chain_id[PN_SHA256_BYTES];
        uint64_t generation;
        char name[PN_CERTIFICATE_NAME_MAX];
    } facts;

    memset(&facts, 0, sizeof(facts));
    for (size_t i = 0; i < count; i++) {
        memcpy(facts.before, identity->chain_id, sizeof(facts.before));
        memcpy(facts.chain_id, pn_tls_certificate_chain_id(certificates[i]), PN_SHA256_BYTES);
        facts.generation = pn_tls_certificate_generation(certificates[i]);
        memset(facts.name, 0, sizeof(facts.name));
        (void)snprintf(facts.name, sizeof(facts.name), "%s",
                       pn_tls_certificate_name(certificates[i]));
        pn_sha256(pn_slice(&facts, sizeof(facts)), identity->chain_id);
    }
    identity->has_certificate = true;
    (void)snprintf(identity->certificate_name, sizeof(identity->certificate_name), "%s",
                   pn_tls_certificate_name(certificates[0]));
}

static uint64_t mix(uint64_t hash, struct pn_slice part)
{
    return (hash ^ pn_slice_hash(part)) * UINT64_C(0x9E3779B97F4A7C15);
}

void pn_tls_identity_seal(struct pn_tls_identity *identity)
{
    uint64_t hash = identity->peer.port + ((uint64_t)identity->peer.scope_id << 16) +
                    ((uint64_t)identity->alpn << 48) + ((uint64_t)identity->is_tls << 56);

    hash = mix(hash, pn_slice(identity->peer.ip, sizeof(identity->peer.ip)));
    if (identity->is_tls) {
        hash = mix(hash, pn_slice(identity->trust.sha256, sizeof(identity->trust.sha256)));
        hash = mix(hash, pn_slice_str(identity->server_name));
    }
    if (identity->has_certificate) {
        hash = mix(hash ^ identity->generation,
                   pn_slice(identity->thumbprint, sizeof(identity->thumbprint)));
        hash = mix(hash, pn_slice_str(identity->certificate_name));
        hash = mix(hash, pn_slice(identity->chain_id, sizeof(identity->chain_id)));
    }
    identity->hash = hash;
}

static bool peer_equal(const struct pn_peer_address *a, const struct pn_peer_address *b)
{
    return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool pn_tls_identity_equal(const struct pn_tls_identity *a, const struct pn_tls_identity *b)
{
    return a->hash == b->hash && peer_equal(&a->peer, &b->peer) && a->is_tls == b->is_tls &&
           a->has_certificate == b->has_certificate && a->alpn == b->alpn &&
           a->generation == b->generation &&
           memcmp(a->trust.sha256, b->trust.sha256, sizeof(a->trust.sha256)) == 0 &&
           memcmp(a->thumbprint, b->thumbprint, sizeof(a->thumbprint)) == 0 &&
           memcmp(a->chain_id, b->chain_id, sizeof(a->chain_id)) == 0 &&
           strcmp(a->certificate_name, b->certificate_name) == 0 &&
           strcmp(a->server_name, b->server_name) == 0;
}
