/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust policies.
 */
#include "tls/trust.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

struct pn_trust {
    atomic_size_t references;
    struct pn_trust_roots *roots;
    STACK_OF(X509) * intermediates; /* NULL: none */
    bool check_chain, check_name, has_partial_anchors, has_tls13_only, takes_late_requests;
    char server_name[PN_TRUST_NAME_MAX];
    uint8_t (*pins)[PN_SHA256_BYTES]; /* sorted */
    size_t pin_count;
    struct pn_trust_id id;

    pthread_mutex_t lock;              /* of what follows: taken at full handshakes only */
    struct pn_trust_verdict *verdicts; /* `sets` sets of `ways`; until_s 0: free */
    size_t sets, ways;
    unsigned turn; /* which one of a full set goes */
};
#define WAYS_MAX 4

/* ---- trust policies */

static int pin_compare(const void *a, const void *b)
{
    return memcmp(a, b, PN_SHA256_BYTES);
}

static enum pn_rc keep_pins(struct pn_trust *trust, const struct pn_trust_spec *spec)
{
    if (spec->pin_count == 0)
        return PN_OK;
    trust->pins = calloc(spec->pin_count, sizeof(*trust->pins));
    if (!trust->pins)
        return PN_NOMEM;
    for (size_t i = 0; i < spec->pin_count; i++)
        memcpy(trust->pins[i], spec->pins[i], PN_SHA256_BYTES);
    trust->pin_count = spec->pin_count;
    qsort(trust->pins, trust->pin_count, sizeof(*trust->pins), pin_compare);
    return PN_OK;
}

static enum pn_rc keep_name(struct pn_trust *trust, const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len >= sizeof(trust->server_name))
        return PN_INVALID;
    for (size_t i = 0; i < len; i++)
        trust->server_name[i] =
            (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    return PN_OK;
}

/* Without chain check no CA matters: then all such policies are one. */
static enum pn_rc keep_cas(struct pn_trust *trust, const struct pn_trust_spec *spec)
{
    if (!spec->check_chain)
        return PN_OK;
    trust->roots = pn_trust_roots_ref(spec->roots);
    trust->has_partial_anchors = spec->has_partial_anchors;
    if (!spec->intermediates)
        return PN_OK;
    trust->intermediates = X509_STORE_get1_all_certs(pn_trust_roots_store(spec->intermediates));
    return trust->intermediates ? PN_OK : PN_NOMEM;
}

struct facts {
    uint8_t bytes[4 * PN_SHA256_BYTES + 8];
    size_t len;
};

static void add_digest(struct facts *facts, struct pn_slice bytes)
{
    pn_sha256(bytes, facts->bytes + facts->len);
    facts->len += PN_SHA256_BYTES;
}

static void make_id(struct pn_trust *trust, const struct pn_trust_spec *spec)
{
    struct facts facts = {.len = 0};
    const struct pn_trust_roots *sets[] = {trust->roots,
                                           trust->intermediates ? spec->intermediates : NULL};

    for (size_t i = 0; i < 2; i++)
        add_digest(&facts, sets[i] ? pn_slice(pn_trust_roots_id(sets[i]), PN_SHA256_BYTES)
                                   : pn_slice("", 0));
    add_digest(&facts, pn_slice(trust->pin_count ? (const void *)trust->pins : "",
                                trust->pin_count * sizeof(*trust->pins)));
    add_digest(&facts, pn_slice_str(trust->server_name));
    facts.bytes[facts.len++] = trust->check_chain;
    facts.bytes[facts.len++] = trust->check_name;
    facts.bytes[facts.len++] = trust->has_partial_anchors;
    facts.bytes[facts.len++] = trust->has_tls13_only;
    facts.bytes[facts.len++] = trust->takes_late_requests;
    pn_sha256(pn_slice(facts.bytes, facts.len), trust->id.sha256);
}

enum pn_rc pn_trust_make(const struct pn_trust_spec *spec, struct pn_trust **out,
                         struct pn_error *err)
{
    struct pn_trust *trust;
    enum pn_rc rc;

    if (spec->check_chain && !spec->roots)
        return pn_error_set(err, PN_INVALID, "no_ca",
                            "A trust policy that checks the chain needs a CA set.");
    if (spec->pin_count > PN_TRUST_PINS_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_pins", "A trust policy has at most %d pins.",
                            PN_TRUST_PINS_MAX);
    trust = calloc(1, sizeof(*trust));
    if (!trust)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a trust policy.");
    atomic_init(&trust->references, 1);
    (void)pthread_mutex_init(&trust->lock, NULL);
    trust->check_chain = spec->check_chain;
    trust->check_name = spec->check_name;
    trust->has_tls13_only = spec->has_tls13_only;
    trust->takes_late_requests = spec->takes_late_requests;
    rc = keep_pins(trust, spec);
    if (rc == PN_OK)
        rc = keep_cas(trust, spec);
    if (rc == PN_OK)
        rc = keep_name(trust, spec->server_name);
    if (rc != PN_OK) {
        pn_trust_unref(trust);
        return rc == PN_NOMEM ? pn_error_set(err, rc, "no_memory", "No memory for a trust policy.")
                              : pn_error_set(err, rc, "server_name",
                                             "A server name has fewer than "
                                             "%d bytes.",
                                             PN_TRUST_NAME_MAX);
    }
    make_id(trust, spec);
    *out = trust;
    return PN_OK;
}

enum pn_rc pn_trust_create(struct pn_trust_roots *roots, bool check_chain, bool check_name,
                           struct pn_trust **out, struct pn_error *err)
{
    const struct pn_trust_spec spec = {
        .roots = roots, .check_chain = check_chain, .check_name = check_name};

    return pn_trust_make(&spec, out, err);
}

struct pn_trust *pn_trust_ref(struct pn_trust *trust)
{
    atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
    return trust;
}

void pn_trust_unref(struct pn_trust *trust)
{
    if (!trust || atomic_fetch_sub_explicit(&trust->references, 1, memory_order_acq_rel) != 1)
        return;
    pn_trust_roots_unref(trust->roots);
    sk_X509_pop_free(trust->intermediates, X509_free);
    (void)pthread_mutex_destroy(&trust->lock);
    free(trust->verdicts);
    free(trust->pins);
    free(trust);
}

const struct pn_trust_id *pn_trust_id(const struct pn_trust *trust)
{
    return &trust->id;
}

bool pn_trust_checks_chain(const struct pn_trust *trust)
{
    return trust->check_chain;
}

bool pn_trust_checks_name(const struct pn_trust *trust)
{
    return trust->check_name;
}

bool pn_trust_has_pins(const struct pn_trust *trust)
{
    return trust->pin_count > 0;
}

bool pn_trust_is_pinned(const struct pn_trust *trust, X509 *x509)
{
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
    uint8_t pin[PN_SHA256_BYTES];

    if (len <= 0) {
        ERR_clear_error();
        return false;
    }
    pn_sha256(pn_slice(spki, (size_t)len), pin);
    OPENSSL_free(spki);
    return bsearch(pin, trust->pins, trust->pin_count, sizeof(*trust->pins), pin_compare) != NULL;
}

bool pn_trust_has_tls13_only(const struct pn_trust *trust)
{
    return trust->has_tls13_only;
}

bool pn_trust_takes_late_requests(const struct pn_trust *trust)
{
    return trust->takes_late_requests;
}

bool pn_trust_has_partial_anchors(const struct pn_trust *trust)
{
    return trust->has_partial_anchors;
}

const char *pn_trust_server_name(const struct pn_trust *trust)
{
    return trust->server_name[0] ? trust->server_name : NULL;
}

STACK_OF(X509) * pn_trust_intermediates(const struct pn_trust *trust)
{
    return trust->intermediates;
}

bool pn_trust_is_shared(const struct pn_trust *trust)
{
    return atomic_load_explicit(&trust->references, memory_order_acquire) > 1;
}

X509_STORE *pn_trust_store(const struct pn_trust *trust)
{
    return trust->roots ? pn_trust_roots_store(trust->roots) : NULL;
}

/* ---- verified chains */

/* The key is a SHA-256: any part of it is as good as another for the place. */
static struct pn_trust_verdict *set_of(const struct pn_trust *trust,
                                       const uint8_t key[PN_SHA256_BYTES])
{
    uint64_t number;

    memcpy(&number, key, sizeof(number));
    return trust->verdicts + number % trust->sets * trust->ways;
}

static bool is_of(const struct pn_trust_verdict *verdict, const uint8_t key[PN_SHA256_BYTES])
{
    return verdict->until_s != 0 && memcmp(verdict->key, key, PN_SHA256_BYTES) == 0;
}

bool pn_trust_knows(struct pn_trust *trust, const uint8_t key[PN_SHA256_BYTES], int64_t now_s)
{
    bool is_known = false;

    pthread_mutex_lock(&trust->lock);
    for (size_t i = 0; trust->verdicts && i < trust->ways; i++) {
        const struct pn_trust_verdict *verdict = set_of(trust, key) + i;

        is_known = is_known ||
                   (is_of(verdict, key) && verdict->from_s <= now_s && now_s <= verdict->until_s);
    }
    pthread_mutex_unlock(&trust->lock);
    return is_known;
}

/* The place of the same key, else a free one, else that of another one. */
static struct pn_trust_verdict *place_for(struct pn_trust *trust,
                                          const uint8_t key[PN_SHA256_BYTES])
{
    struct pn_trust_verdict *set = set_of(trust, key);

    for (size_t i = 0; i < trust->ways; i++) {
        if (is_of(&set[i], key))
            return &set[i];
    }
    for (size_t i = 0; i < trust->ways; i++) {
        if (set[i].until_s == 0)
            return &set[i];
    }
    pn_limit_hit(PN_LIMIT_TLS_VERIFIED_CHAINS);
    return &set[trust->turn++ % trust->ways];
}

void pn_trust_learn(struct pn_trust *trust, const struct pn_trust_verdict *verdict)
{
    size_t max = (size_t)pn_limit_value(PN_LIMIT_TLS_VERIFIED_CHAINS);

    pthread_mutex_lock(&trust->lock);
    if (!trust->verdicts && max > 0) {
        trust->ways = max < WAYS_MAX ? max : WAYS_MAX; /* few: one set of as many */
        trust->sets = max / trust->ways;
        trust->verdicts = calloc(trust->sets * trust->ways, sizeof(*trust->verdicts));
    }
    if (trust->verdicts && trust->ways > 0)
        *place_for(trust, verdict->key) = *verdict;
    pthread_mutex_unlock(&trust->lock);
}
