/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification of a backend's chain, remembered: what was verified once need not be verified at
 * each of thousands of handshakes with the same backend. Remembered is that exactly these bytes, in
 * this order, were accepted for this name by this trust policy, within the validity of every
 * certificate that was relied on. Path building and the signatures within the chain are saved;
 * the handshake's own signature never is (docs/adr/0114-verified-chains.md).
 */
#include <openssl/x509.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "tls/tls_internal.h"

#define CHAIN_BYTES_MAX 16384 /* longer ones are verified each time */

struct facts {
    unsigned char bytes[CHAIN_BYTES_MAX];
    size_t len;
};

static bool add(struct facts *facts, const void *bytes, size_t len)
{
    if (len > sizeof(facts->bytes) - facts->len)
        return false;
    memcpy(facts->bytes + facts->len, bytes, len);
    facts->len += len;
    return true;
}

/* DER tells its own length. */
static bool add_certificate(struct facts *facts, X509 *x509)
{
    int len = i2d_X509(x509, NULL);
    unsigned char *cursor = facts->bytes + facts->len;

    if (len <= 0 || (size_t)len > sizeof(facts->bytes) - facts->len)
        return false;
    len = i2d_X509(x509, &cursor);
    if (len <= 0)
        return false;
    facts->len += (size_t)len;
    return true;
}

/* The name with its NUL, then the leaf, then everything else that was sent, in its order. */
static bool chain_key(X509_STORE_CTX *store, const char *name, uint8_t key[PN_SHA256_BYTES])
{
    struct facts facts = {.len = 0};
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    if (!leaf || !add(&facts, name, strlen(name) + 1) || !add_certificate(&facts, leaf))
        return false;
    for (int i = 0; i < sk_X509_num(sent); i++) {
        if (!add_certificate(&facts, sk_X509_value(sent, i)))
            return false;
    }
    pn_sha256(pn_slice(facts.bytes, facts.len), key);
    return true;
}

static bool unix_time(const ASN1_TIME *time, int64_t *seconds)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *seconds = (int64_t)timegm(&parts);
    return true;
}

/* What every certificate of the verified path allows, the CA's own included. */
static bool validity_of(X509_STORE_CTX *store, int64_t now_s, struct pn_trust_verdict *verdict)
{
    const STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(store);

    verdict->from_s = INT64_MIN;
    verdict->until_s = now_s + (int64_t)(pn_limit_value(PN_LIMIT_TLS_VERIFIED_LIFETIME) / 1000);
    for (int i = 0; i < sk_X509_num(path); i++) {
        const X509 *x509 = sk_X509_value(path, i);
        int64_t from_s, until_s;

        if (!unix_time(X509_get0_notBefore(x509), &from_s) ||
            !unix_time(X509_get0_notAfter(x509), &until_s))
            return false;
        if (from_s > verdict->from_s)
            verdict->from_s = from_s;
        if (until_s < verdict->until_s)
            verdict->until_s = until_s;
    }
    return sk_X509_num(path) > 0;
}

/* With the intermediates that the policy adds to what the server sent. */
static int verify_completed(X509_STORE_CTX *store, const struct pn_trust *trust)
{
    STACK_OF(X509) *more = pn_trust_intermediates(trust);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    STACK_OF(X509) * both;
    int done = 0;

    if (pn_trust_has_partial_anchors(trust))
        X509_STORE_CTX_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    if (!more)
        return X509_verify_cert(store);
    both = sent ? sk_X509_dup(sent) : sk_X509_new_null();
    for (int i = 0; both && i < sk_X509_num(more); i++) {
        if (sk_X509_push(both, sk_X509_value(more, i)) == 0) {
            sk_X509_free(both);
            both = NULL;
        }
    }
    if (both) {
        X509_STORE_CTX_set0_untrusted(store, both);
        done = X509_verify_cert(store);
        X509_STORE_CTX_set0_untrusted(store, sent);
        sk_X509_free(both);
    } else {
        X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
    }
    return done;
}

/* One of the pins is a key of the verified chain; where no chain is verified, the leaf's: anybody
 * can send anybody's certificates behind his own. */
static bool has_pinned_key(X509_STORE_CTX *store, const struct pn_trust *trust)
{
    const STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(store);

    if (!pn_trust_has_pins(trust))
        return true;
    if (!pn_trust_checks_chain(trust))
        return pn_trust_is_pinned(trust, X509_STORE_CTX_get0_cert(store));
    for (int i = 0; i < sk_X509_num(path); i++) {
        if (pn_trust_is_pinned(trust, sk_X509_value(path, i)))
            return true;
    }
    return false;
}

static int verify(X509_STORE_CTX *store, const struct pn_trust *trust)
{
    int done = verify_completed(store, trust);

    if (done != 1 || has_pinned_key(store, trust))
        return done;
    X509_STORE_CTX_set_error(store, PN_V_ERR_PIN);
    X509_STORE_CTX_set_error_depth(store, 0);
    return 0;
}

int pn_tls_verify_chain(X509_STORE_CTX *store, void *arg)
{
    struct pn_trust *trust = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct pn_tls_link *link = ssl ? SSL_get_app_data(ssl) : NULL;
    struct pn_trust_verdict verdict;
    int64_t now_s;
    bool has_key;
    int done;

    if (!link || !link->identity)
        return verify(store, trust);
    now_s = link->now_unix_s ? link->now_unix_s : pn_clock_unix_s();
    has_key =
        pn_trust_checks_chain(trust) && chain_key(store, link->identity->server_name, verdict.key);
    if (has_key && pn_trust_knows(trust, verdict.key, now_s)) {
        pn_metric_add(PN_METRIC_BACKEND_CHAINS_KNOWN, 1);
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (link->now_unix_s)
        X509_STORE_CTX_set_time(store, 0, (time_t)link->now_unix_s);
    done = verify(store, trust);
    if (done != 1)
        link->verify_depth = X509_STORE_CTX_get_error_depth(store);
    if (done == 1 && has_key && X509_STORE_CTX_get_error(store) == X509_V_OK &&
        validity_of(store, now_s, &verdict))
        pn_trust_learn(trust, &verdict);
    return done;
}
