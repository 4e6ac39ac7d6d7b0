/* SPDX-License-Identifier: Apache-2.0
 *
 * What hangs at a connection's SSL: the report, the peer's name and certificate. They are apart
 * from the stream so that an idle client connection does not carry them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "tls/takeover.h"
#include "tls/tls_internal.h"

struct pn_tls_report *pn_tls_link_report(struct pn_tls_link *link)
{
    static _Thread_local struct pn_tls_report nowhere;

    if (link->report)
        return link->report;
    link->report = calloc(1, sizeof(*link->report));
    if (link->report) {
        link->report->alert = -1;
        return link->report;
    }
    memset(&nowhere, 0, sizeof(nowhere));
    nowhere.alert = -1;
    return &nowhere;
}

void pn_tls_link_name(struct pn_tls_link *link, const struct pn_tls_certificate *certificate)
{
    struct pn_tls_report *report = pn_tls_link_report(link);

    report->certificate_generation = pn_tls_certificate_generation(certificate);
    (void)snprintf(report->certificate_name, sizeof(report->certificate_name), "%s",
                   pn_tls_certificate_name(certificate));
    (void)snprintf(report->certificate_thumbprint, sizeof(report->certificate_thumbprint), "%s",
                   pn_tls_certificate_thumbprint_text(certificate));
}

const char *pn_tls_link_keep(struct pn_tls_link *link, const char *name)
{
    char *copy = *name ? strdup(name) : NULL;

    link->is_name_own = copy != NULL;
    return copy;
}

void pn_tls_link_fini(struct pn_tls_link *link)
{
    free(link->report);
    free(link->peer);
    pn_tls_takeover_free(link->takeover);
    free(link->ahead);
    free(link->held);
    if (link->is_name_own)
        free((char *)(uintptr_t)link->peer_name);
    link->takeover = NULL;
    link->ahead = NULL;
    link->held = NULL;
    link->report = NULL;
    link->peer = NULL;
    link->peer_name = NULL;
    link->is_name_own = false;
}

/* ---- the client's certificate */

/* The leaf comes first; the chain that a server remembers is without it. */
static X509 *peer_certificate(SSL *ssl, size_t index)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

    if (index == 0)
        return SSL_get0_peer_certificate(ssl);
    return (int)index <= sk_X509_num(chain) ? sk_X509_value(chain, (int)index - 1) : NULL;
}

static size_t der_bytes(X509 *x509)
{
    int len = i2d_X509(x509, NULL);

    return len > 0 ? (size_t)len : 0;
}

struct pn_tls_peer *pn_tls_peer_of(SSL *ssl)
{
    struct pn_tls_peer *peer;
    uint8_t thumbprint[PN_SHA1_BYTES];
    size_t bytes = 0, count = 0;
    unsigned char *cursor;

    if (!SSL_get0_peer_certificate(ssl))
        return NULL;
    for (; count < PN_CHAIN_MAX && peer_certificate(ssl, count); count++)
        bytes += der_bytes(peer_certificate(ssl, count));
    peer = calloc(1, sizeof(*peer) + bytes);
    if (!peer)
        return NULL;
    cursor = (unsigned char *)(peer + 1);
    for (size_t i = 0; i < count; i++) {
        unsigned char *start = cursor;
        int len = i2d_X509(peer_certificate(ssl, i), &cursor);

        if (len <= 0)
            break;
        peer->der[peer->count++] = pn_slice(start, (size_t)len);
    }
    pn_sha1(peer->der[0], thumbprint);
    pn_hex_upper(thumbprint, sizeof(thumbprint), peer->thumbprint);
    return peer;
}
