/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust policies of a configuration.
 */
#include "gateway/trusts.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "certs/certificate.h"

#define SWEEP_MIN      64
#define DERS_BYTES_MAX (4u * 1024 * 1024) /* all certificates of one list */

/* --- CA sets --- */

/** Appends the certificate that a base64 text is. */
static enum pn_rc add_der(const json_t *text, struct pn_buf *ders, struct pn_error *err)
{
    struct pn_buf der;
    enum pn_rc rc;

    pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX);
    rc = pn_base64_decode(pn_slice(json_string_value(text), json_string_length(text)), &der);
    if (rc == PN_OK && der.len == 0)
        rc = PN_MALFORMED;
    if (rc == PN_OK)
        rc = pn_buf_append_slice(ders, pn_buf_slice(&der));
    if (rc != PN_OK)
        pn_error_set(err, rc, "malformed_ca", "a CA certificate is not base64, or too long");
    pn_buf_fini(&der);
    return rc;
}

/** *roots stays NULL when none is in it. */
static enum pn_rc make_roots(struct pn_buf *ders, struct pn_trust_roots **roots,
                             struct pn_error *err)
{
    return ders->len > 0 ? pn_trust_roots_from(pn_buf_slice(ders), roots, err) : PN_OK;
}

/** Those of the service that are in `store`. */
static enum pn_rc read_store(const json_t *certificates, const char *store,
                             struct pn_trust_roots **roots, struct pn_error *err)
{
    struct pn_buf ders;
    const json_t *entry;
    enum pn_rc rc = PN_OK;
    size_t i;

    pn_buf_init(&ders, DERS_BYTES_MAX);
    json_array_foreach(certificates, i, entry)
    {
        if (rc == PN_OK && pn_slice_eq_str(pn_json_slice(entry, "store"), store))
            rc = add_der(json_object_get(entry, "der"), &ders, err);
    }
    if (rc == PN_OK)
        rc = make_roots(&ders, roots, err);
    pn_buf_fini(&ders);
    return rc;
}

/* --- the base --- */

static enum pn_rc make_plain(struct pn_trust_base *base, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (unsigned i = 0; rc == PN_OK && i < PN_TRUST_VARIANTS; i++) {
        const struct pn_trust_spec spec = {
            .roots = base->roots,
            .intermediates = base->intermediates,
            .has_partial_anchors = base->has_own_roots,
            .check_chain = (i & 2u) != 0,
            .check_name = (i & 1u) != 0,
        };

        if (!spec.check_chain || spec.roots)
            rc = pn_trust_make(&spec, &base->plain[i], err);
    }
    return rc;
}

enum pn_rc pn_trust_base_create(struct pn_trust_roots *system, const json_t *certificates,
                                struct pn_trust_base **out, struct pn_error *err)
{
    struct pn_trust_base *base = calloc(1, sizeof(*base));
    struct pn_trust_roots *own = NULL;
    enum pn_rc rc;

    if (!base)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for trust policies");
    base->refs = 1;
    (void)pthread_mutex_init(&base->lock, NULL);
    base->granted = pn_map_create(false);
    base->sweep_at = SWEEP_MIN;
    if (!base->granted) {
        pn_trust_base_unref(base);
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for trust policies");
    }
    rc = read_store(certificates, "Root", &own, err);
    if (rc == PN_OK)
        rc = read_store(certificates, "CertificateAuthority", &base->intermediates, err);
    if (rc == PN_OK)
        rc = pn_trust_roots_join(system, own, &base->roots, err);
    base->has_own_roots = own != NULL;
    if (rc == PN_OK)
        rc = make_plain(base, err);
    pn_trust_roots_unref(own);
    if (rc != PN_OK) {
        pn_trust_base_unref(base);
        return rc;
    }
    *out = base;
    return PN_OK;
}

struct pn_trust_base *pn_trust_base_ref(struct pn_trust_base *base)
{
    base->refs++;
    return base;
}

static void unref_trust(void *trust)
{
    pn_trust_unref(trust);
}

void pn_trust_base_unref(struct pn_trust_base *base)
{
    if (!base || --base->refs > 0)
        return;
    for (unsigned i = 0; i < PN_TRUST_VARIANTS; i++)
        pn_trust_unref(base->plain[i]);
    pn_map_destroy(base->granted, unref_trust);
    (void)pthread_mutex_destroy(&base->lock);
    pn_trust_roots_unref(base->roots);
    pn_trust_roots_unref(base->intermediates);
    free(base);
}

static bool roots_equal(const struct pn_trust_roots *a, const struct pn_trust_roots *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(pn_trust_roots_id(a), pn_trust_roots_id(b), PN_SHA256_BYTES) == 0;
}

bool pn_trust_base_equal(const struct pn_trust_base *a, const struct pn_trust_base *b)
{
    return roots_equal(a->roots, b->roots) && roots_equal(a->intermediates, b->intermediates) &&
           a->has_own_roots == b->has_own_roots;
}

/* --- what a backend asks for --- */

static enum pn_rc refuse(struct pn_error *err, const char *reason)
{
    return pn_error_set(err, PN_INVALID, "invalid_resource", "%s", reason);
}

static enum pn_rc read_own_roots(const json_t *list, struct pn_trust_wish *wish,
                                 struct pn_error *err)
{
    struct pn_buf ders;
    const json_t *entry;
    enum pn_rc rc = PN_OK;
    size_t i;

    pn_buf_init(&ders, DERS_BYTES_MAX);
    json_array_foreach(list, i, entry)
    {
        if (rc == PN_OK)
            rc = add_der(entry, &ders, err);
    }
    if (rc == PN_OK)
        rc = make_roots(&ders, &wish->own_roots, err);
    pn_buf_fini(&ders);
    return rc;
}

static enum pn_rc read_pins(const json_t *list, struct pn_trust_wish *wish, struct pn_error *err)
{
    struct pn_buf pin;
    const json_t *entry;
    enum pn_rc rc = PN_OK;
    size_t i;

    if (json_array_size(list) > PN_TRUST_PINS_MAX)
        return refuse(err, "more than 32 tls.postern.pins");
    pn_buf_init(&pin, PN_SHA256_BYTES);
    json_array_foreach(list, i, entry)
    {
        pn_buf_clear(&pin);
        if (pn_base64_decode(pn_slice(json_string_value(entry), json_string_length(entry)), &pin) !=
                PN_OK ||
            pin.len != PN_SHA256_BYTES) {
            rc = refuse(err, "an entry of tls.postern.pins is no base64 SHA-256");
            break;
        }
        memcpy(wish->pins[wish->pin_count++], pin.ptr, PN_SHA256_BYTES);
    }
    pn_buf_fini(&pin);
    return rc;
}

static void make_digest(struct pn_trust_wish *wish)
{
    uint8_t facts[3 * PN_SHA256_BYTES + 4] = {0};
    uint8_t *flags = facts + (size_t)3 * PN_SHA256_BYTES;

    if (wish->own_roots)
        memcpy(facts, pn_trust_roots_id(wish->own_roots), PN_SHA256_BYTES);
    pn_sha256(pn_slice(wish->pins, wish->pin_count * sizeof(wish->pins[0])),
              facts + PN_SHA256_BYTES);
    pn_sha256(pn_slice_str(wish->server_name ? wish->server_name : ""),
              facts + (size_t)2 * PN_SHA256_BYTES);
    flags[0] = wish->check_chain;
    flags[1] = wish->check_name;
    flags[2] = wish->has_tls13_only;
    flags[3] = wish->takes_late_requests;
    pn_sha256(pn_slice(facts, sizeof(facts)), wish->digest);
}

enum pn_rc pn_trust_wish_read(const json_t *tls, struct pn_trust_wish *wish, struct pn_error *err)
{
    const json_t *own = json_object_get(tls, "postern");
    const char *version = pn_json_str(own, "minimumTlsVersion");
    enum pn_rc rc;

    memset(wish, 0, sizeof(*wish));
    wish->check_chain = pn_json_bool(tls, "validateCertificateChain", true);
    wish->check_name = pn_json_bool(tls, "validateCertificateName", true);
    if (!own || json_is_null(own))
        return PN_OK;
    wish->is_special = true;
    wish->server_name = pn_json_str(own, "serverName");
    wish->takes_late_requests = pn_json_bool(own, "lateAuthentication", false);
    wish->has_tls13_only = version && strcmp(version, "1.3") == 0;
    if (version && !wish->has_tls13_only && strcmp(version, "1.2") != 0)
        return refuse(err, "tls.postern.minimumTlsVersion is neither 1.2 nor 1.3");
    rc = read_pins(json_object_get(own, "pins"), wish, err);
    if (rc == PN_OK)
        rc = read_own_roots(json_object_get(own, "caCertificates"), wish, err);
    if (rc == PN_OK)
        make_digest(wish);
    return rc;
}

void pn_trust_wish_fini(struct pn_trust_wish *wish)
{
    pn_trust_roots_unref(wish->own_roots);
    wish->own_roots = NULL;
}

static enum pn_rc make_special(const struct pn_trust_base *base, const struct pn_trust_wish *wish,
                               struct pn_trust **trust, struct pn_error *err)
{
    const struct pn_trust_spec spec = {
        .roots = wish->own_roots ? wish->own_roots : base->roots,
        .intermediates = base->intermediates,
        .has_partial_anchors = wish->own_roots || base->has_own_roots,
        .check_chain = wish->check_chain,
        .check_name = wish->check_name,
        .server_name = wish->server_name,
        .has_tls13_only = wish->has_tls13_only,
        .takes_late_requests = wish->takes_late_requests,
        .pins = wish->pins,
        .pin_count = wish->pin_count,
    };

    return pn_trust_make(&spec, trust, err);
}

/** Those that nobody has any more go, when there are many; in one pass, because threads wait for
 * the lock. Without memory they stay till the next time. */
static void sweep(struct pn_trust_base *base)
{
    struct pn_map *kept;
    struct pn_slice key;
    size_t position = 0;
    void *value;

    if (pn_map_count(base->granted) < base->sweep_at)
        return;
    base->sweep_at *= 2;
    kept = pn_map_create(false);
    while (kept && pn_map_next(base->granted, &position, &key, &value)) {
        if (pn_trust_is_shared(value) && pn_map_set(kept, key, value, NULL) != PN_OK) {
            pn_map_destroy(kept, NULL);
            kept = NULL;
        }
    }
    if (!kept)
        return;
    position = 0;
    while (pn_map_next(base->granted, &position, &key, &value)) {
        if (!pn_map_get(kept, key))
            pn_trust_unref(value);
    }
    pn_map_destroy(base->granted, NULL);
    base->granted = kept;
    base->sweep_at = SWEEP_MIN + 2 * pn_map_count(kept);
}

static enum pn_rc grant_special(struct pn_trust_base *base, const struct pn_trust_wish *wish,
                                struct pn_trust **out, struct pn_error *err)
{
    struct pn_slice key = pn_slice(wish->digest, sizeof(wish->digest));
    struct pn_trust *trust;
    enum pn_rc rc = PN_OK;

    pthread_mutex_lock(&base->lock);
    trust = pn_map_get(base->granted, key);
    if (!trust) {
        sweep(base);
        rc = make_special(base, wish, &trust, err);
        if (rc == PN_OK && pn_map_set(base->granted, key, trust, NULL) != PN_OK) {
            pn_trust_unref(trust);
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a trust policy");
        }
    }
    if (rc == PN_OK)
        *out = pn_trust_ref(trust);
    pthread_mutex_unlock(&base->lock);
    return rc;
}

enum pn_rc pn_trust_base_grant(struct pn_trust_base *base, const struct pn_trust_wish *wish,
                               struct pn_trust **trust, struct pn_error *err)
{
    unsigned variant = (wish->check_chain ? 2u : 0u) + (wish->check_name ? 1u : 0u);

    if (wish->check_chain && !wish->own_roots && !base->roots)
        return pn_error_set(err, PN_UNAVAILABLE, "no_trusted_ca",
                            "this system has no CA certificates to check the backend by");
    if (wish->is_special)
        return grant_special(base, wish, trust, err);
    *trust = pn_trust_ref(base->plain[variant]);
    return PN_OK;
}
