/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate that a client has shown to one of our listeners. It was not verified: neither
 * issuer, validity nor purpose; only that the client has the leaf's private key is certain (its
 * CertificateVerify). After a resumed handshake it is the leaf alone, as the session remembers it.
 */
#pragma once

#include "certs/certificate.h"
#include "ipc/keyholder.h"

struct pn_tls_peer {
    char thumbprint[PN_THUMBPRINT_TEXT]; /* SHA-1 of the leaf, upper-case hex */
    size_t count;                        /* at most PN_CHAIN_MAX; what follows is left out */
    struct pn_slice der[PN_CHAIN_MAX];   /* leaf first, as the client sent them */
};
