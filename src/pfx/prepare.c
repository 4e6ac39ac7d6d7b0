/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL looks up each algorithm and decoder when it is first used, two thirds of the time that a
 * small file takes. A process that waits for its file can have that behind it.
 */
#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "pfx/pfx.h"

#define ITERATIONS 16 /* nothing is protected */

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 1) &&
        X509_set_pubkey(certificate, key) == 1 && X509_sign(certificate, key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

void pn_pfx_prepare(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *certificate = key ? make_certificate(key) : NULL;
    PKCS12 *file = certificate ? PKCS12_create("x", NULL, key, certificate, NULL, NID_aes_256_cbc,
                                               NID_aes_256_cbc, ITERATIONS, ITERATIONS, 0)
                               : NULL;
    unsigned char *der = NULL;
    int len = file ? i2d_PKCS12(file, &der) : 0;
    struct pn_opened opened = {0};

    if (len > 0 && pn_pfx_open(pn_slice(der, (size_t)len), PN_LIT("x"), &opened, NULL) == PN_OK)
        pn_opened_fini(&opened);
    OPENSSL_free(der);
    PKCS12_free(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
}
