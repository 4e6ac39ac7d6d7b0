/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL's default provider, as far as TLS needs it. OpenSSL 3.0 walks all key managements, all
 * decoders and all names of a library context for each certificate that it reads: with everything
 * that the default provider has, this took a fifth of a whole handshake. What is passed through
 * here works on the default provider of the default library context; only the tables are shorter.
 */
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "signer/signer_internal.h"

#define ROWS_MAX 40 /* of one operation */

/* First names, as the default provider has them. What it does not have is not missed. */
static const char *const digests[] = {"SHA1",     "SHA2-224", "SHA2-256", "SHA2-384",
                                      "SHA2-512", "MD5",      "MD5-SHA1", NULL};
static const char *const ciphers[] = {"AES-256-GCM",
                                      "AES-128-GCM",
                                      "AES-256-CCM",
                                      "AES-128-CCM",
                                      "AES-256-CBC",
                                      "AES-128-CBC",
                                      "AES-128-CBC-HMAC-SHA1",
                                      "AES-256-CBC-HMAC-SHA1",
                                      "AES-128-CBC-HMAC-SHA256",
                                      "AES-256-CBC-HMAC-SHA256",
                                      "AES-256-CTR", /* of the random generator */
                                      "AES-256-ECB",
                                      "ChaCha20",
                                      "ChaCha20-Poly1305",
                                      "NULL",
                                      NULL};
static const char *const macs[] = {"HMAC", NULL};
static const char *const kdfs[] = {"HKDF", "TLS13-KDF", "TLS1-PRF", NULL};
static const char *const rands[] = {"CTR-DRBG", "SEED-SRC", NULL};
static const char *const keymgmts[] = {"DH",   "RSA",     "RSA-PSS", "EC",   "X25519",
                                       "X448", "ED25519", "ED448",   "HMAC", NULL};
static const char *const exchanges[] = {"DH", "ECDH", "X25519", "X448", NULL};
static const char *const signatures[] = {"RSA", "ED25519", "ED448", "ECDSA", "HMAC", NULL};
static const char *const asymmetric[] = {"RSA", NULL};
static const char *const decoders[] = {"EC", "ED25519", "ED448", "RSA", "RSA-PSS", NULL};

static const struct operation {
    int id;
    const char *const *names;
    const char *property; /* what the row's definition must have, or NULL */
} operations[] = {
    {OSSL_OP_DIGEST, digests, NULL},
    {OSSL_OP_CIPHER, ciphers, NULL},
    {OSSL_OP_MAC, macs, NULL},
    {OSSL_OP_KDF, kdfs, NULL},
    {OSSL_OP_RAND, rands, NULL},
    {OSSL_OP_KEYMGMT, keymgmts, NULL},
    {OSSL_OP_KEYEXCH, exchanges, NULL},
    {OSSL_OP_SIGNATURE, signatures, NULL},
    {OSSL_OP_ASYM_CIPHER, asymmetric, NULL},
    {OSSL_OP_DECODER, decoders, "input=der,structure=SubjectPublicKeyInfo"},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* Made once and for good: OpenSSL gives init no argument of ours. */
static struct {
    OSSL_PROVIDER *provider;
    OSSL_ALGORITHM rows[OPERATIONS][ROWS_MAX + 1];
} standard;
static pthread_once_t standard_once = PTHREAD_ONCE_INIT;

/* Whether `names` ("SHA2-256:SHA-256:…") begins with one of `wanted`. */
static bool is_wanted(const char *names, const char *const *wanted)
{
    size_t len = strcspn(names, ":");

    for (size_t i = 0; wanted[i]; i++) {
        if (strlen(wanted[i]) == len && strncasecmp(wanted[i], names, len) == 0)
            return true;
    }
    return false;
}

static void take_rows(const struct operation *operation, OSSL_ALGORITHM *rows)
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all =
        OSSL_PROVIDER_query_operation(standard.provider, operation->id, &no_cache);
    size_t count = 0;

    for (; all && all->algorithm_names && count < ROWS_MAX; all++) {
        if (!is_wanted(all->algorithm_names, operation->names))
            continue;
        if (operation->property && !strstr(all->property_definition, operation->property))
            continue;
        rows[count] = *all;
        if (operation->id == OSSL_OP_KDF && strncmp(all->algorithm_names, "TLS13-KDF", 9) == 0)
            rows[count].implementation = pn_signer_watched_kdf(all->implementation);
        count++;
    }
}

static void standard_make(void)
{
    standard.provider = OSSL_PROVIDER_load(NULL, "default");
    for (size_t i = 0; standard.provider && i < OPERATIONS; i++)
        take_rows(&operations[i], standard.rows[i]);
}

static const OSSL_ALGORITHM *standard_query(void *provctx, int id, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    for (size_t i = 0; i < OPERATIONS; i++) {
        if (operations[i].id == id)
            return standard.rows[i];
    }
    return NULL;
}

/* The groups of TLS are a provider's capability. */
static int standard_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *callback,
                                 void *arg)
{
    (void)provctx;
    return OSSL_PROVIDER_get_capabilities(standard.provider, capability, callback, arg);
}

int pn_signer_standard_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                            const OSSL_DISPATCH **out, void **provctx)
{
    typedef void (*dispatch_fn)(void);
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (dispatch_fn)standard_query},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (dispatch_fn)standard_capabilities},
        {0, NULL},
    };

    (void)handle;
    (void)in;
    if (pthread_once(&standard_once, standard_make) != 0 || !standard.provider)
        return 0;
    *out = functions;
    *provctx = OSSL_PROVIDER_get0_provider_ctx(standard.provider);
    return *provctx != NULL;
}
