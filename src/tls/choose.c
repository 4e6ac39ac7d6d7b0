/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of several certificates fits what the server asks for: its kinds of keys and signatures
 * (certificate_types, signature_algorithms, signature_algorithms_cert) and the names of the CAs
 * that it accepts (RFC 8446 §4.3.2, RFC 5246 §7.4.4). The first that fits is taken, one whose chain
 * is signed in a way that the server names before one that is not: how chains may be signed is more
 * often configured wrong than meant, and a server that means it will say no (RFC 8446 §4.4.2.2).
 * None fits: the handshake ends, for going on without one is not what was asked of us.
 */
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tls/tls_internal.h"

/* NULL: it fits. */
static const char *misfit(SSL *ssl, const struct pn_tls_material *material, bool *is_best)
{
    int facts = SSL_check_chain(ssl, material->leaf, material->pkey, material->issuers);
    bool is_tls13 = SSL_version(ssl) >= TLS1_3_VERSION;

    /* TLS 1.3: EE_SIGNATURE says that our key can make a signature that the server takes. Before,
     * SIGN and CERT_TYPE say so, and EE_SIGNATURE is about the signature on our certificate. */
    if (is_tls13 ? !(facts & CERT_PKEY_EE_SIGNATURE)
                 : !(facts & CERT_PKEY_SIGN) || !(facts & CERT_PKEY_CERT_TYPE) ||
                       !(facts & CERT_PKEY_EE_PARAM))
        return "its kind of key is not asked for";
    if (!(facts & CERT_PKEY_ISSUER_NAME))
        return "its issuers are not among the accepted ones";
    *is_best = (facts & CERT_PKEY_CA_SIGNATURE) && (facts & CERT_PKEY_EE_SIGNATURE);
    return NULL;
}

static void note(struct pn_tls_report *report, const char *name, const char *why)
{
    size_t len = strlen(report->detail);

    (void)snprintf(report->detail + len, sizeof(report->detail) - len, "%s'%s': %s",
                   len ? "; " : "", name, why);
}

static bool use(SSL *ssl, const struct pn_tls_material *material)
{
    SSL_certs_clear(ssl); /* of an earlier choice on this connection */
    return SSL_use_certificate(ssl, material->leaf) == 1 &&
           SSL_use_PrivateKey(ssl, material->pkey) == 1 &&
           SSL_set1_chain(ssl, material->issuers) == 1;
}

/* Place + 1 of the one that fits best, or 0; the report's detail says why the others do not. */
static int find_best(struct pn_tls_client *client, struct pn_tls_link *link, SSL *ssl)
{
    int64_t now_s = link->now_unix_s ? link->now_unix_s : pn_clock_unix_s();
    size_t count, in_time = 0;
    struct pn_tls_certificate *const *certificates = pn_tls_client_certificates(client, &count);
    int second_best = 0;

    for (size_t i = 0; i < count; i++) {
        const char *why = "expired or not yet valid";
        bool is_best = false;

        if (pn_tls_certificate_check_time(certificates[i], now_s, NULL) == PN_OK) {
            in_time++;
            why = misfit(ssl, pn_tls_client_material(client, i), &is_best);
        }
        ERR_clear_error();
        if (why)
            note(link->report, pn_tls_certificate_name(certificates[i]), why);
        else if (is_best)
            return (int)i + 1;
        else if (second_best == 0)
            second_best = (int)i + 1;
    }
    link->is_expired = in_time == 0;
    return second_best;
}

bool pn_tls_client_choose(struct pn_tls_client *client, struct pn_tls_link *link, SSL *ssl)
{
    size_t count;
    struct pn_tls_certificate *const *certificates = pn_tls_client_certificates(client, &count);
    int chosen;

    link->report->detail[0] = '\0';
    chosen = find_best(client, link, ssl);
    link->chosen = chosen;
    if (chosen > 0 && use(ssl, pn_tls_client_material(client, (size_t)chosen - 1))) {
        link->report->detail[0] = '\0';
        pn_tls_link_name(link, certificates[chosen - 1]);
        return true;
    }
    link->chosen = 0;
    link->is_misfit = !link->is_expired;
    return false;
}
