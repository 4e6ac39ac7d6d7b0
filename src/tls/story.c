/* SPDX-License-Identifier: Apache-2.0
 *
 * Collecting the story of a handshake. Whatever cannot be kept is left out: a probe goes on.
 */
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pn_tls_story_fini(struct pn_tls_story *story)
{
    for (size_t i = 0; i < story->chain_count; i++)
        pn_certificate_unref(story->chain[i]);
    memset(story, 0, sizeof(*story));
}

static void take_chain(struct pn_tls_story *story, const STACK_OF(X509) * chain)
{
    if (story->is_brief || story->chain_count > 0)
        return;
    for (int i = 0; i < sk_X509_num(chain) && story->chain_count < PN_STORY_CHAIN_MAX; i++) {
        struct pn_error err = {.rc = PN_OK};

        if (pn_certificate_from_x509(sk_X509_value(chain, i), &story->chain[story->chain_count],
                                     &err) == PN_OK)
            story->chain_count++;
    }
}

/* RFC 8446 §4.2.3, and what TLS 1.2 has besides (RFC 5246 §7.4.1.4.1). */
static const char *scheme_name(unsigned code)
{
    static const struct {
        unsigned code;
        const char *name;
    } names[] = {
        {0x0201, "rsa_pkcs1_sha1"},
        {0x0203, "ecdsa_sha1"},
        {0x0301, "rsa_pkcs1_sha224"},
        {0x0303, "ecdsa_sha224"},
        {0x0401, "rsa_pkcs1_sha256"},
        {0x0403, "ecdsa_secp256r1_sha256"},
        {0x0501, "rsa_pkcs1_sha384"},
        {0x0503, "ecdsa_secp384r1_sha384"},
        {0x0601, "rsa_pkcs1_sha512"},
        {0x0603, "ecdsa_secp521r1_sha512"},
        {0x0804, "rsa_pss_rsae_sha256"},
        {0x0805, "rsa_pss_rsae_sha384"},
        {0x0806, "rsa_pss_rsae_sha512"},
        {0x0807, "ed25519"},
        {0x0808, "ed448"},
        {0x0809, "rsa_pss_pss_sha256"},
        {0x080a, "rsa_pss_pss_sha384"},
        {0x080b, "rsa_pss_pss_sha512"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].code == code)
            return names[i].name;
    }
    return NULL;
}

static void take_schemes(struct pn_tls_story *story, SSL *ssl)
{
    int count = SSL_get_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

    story->scheme_count = 0;
    for (int i = 0; i < count && story->scheme_count < PN_STORY_SCHEME_MAX; i++) {
        unsigned char signature = 0, hash = 0;
        const char *name;

        if (SSL_get_sigalgs(ssl, i, NULL, NULL, NULL, &signature, &hash) <= 0)
            break;
        name = scheme_name((unsigned)hash << 8 | signature);
        if (name) /* GREASE and what nobody uses is left out */
            story->schemes[story->scheme_count++] = name;
    }
}

static void take_names(struct pn_tls_story *story, SSL *ssl)
{
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ssl);

    story->name_count = 0;
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        char *text = NULL;

        if (story->name_count < PN_STORY_NAMES_MAX &&
            pn_name_format(sk_X509_NAME_value(names, i), &text) == PN_OK)
            (void)snprintf(story->names[story->name_count], PN_STORY_NAME_MAX, "%s", text);
        free(text);
        story->name_count++;
    }
}

void pn_tls_story_collect(struct pn_tls_story *story, const struct pn_tls_link *link,
                          struct ssl_st *ssl)
{
    take_chain(story, SSL_get_peer_cert_chain(ssl));
    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) != X509_V_OK) {
        story->verify_error = (int)SSL_get_verify_result(ssl);
        story->verify_depth = link->verify_depth;
    }
    if (link->report && link->report->certificate_requested) {
        story->is_requested = true;
        if (!story->is_brief) {
            take_schemes(story, ssl);
            take_names(story, ssl);
        }
    }
    ERR_clear_error();
}
