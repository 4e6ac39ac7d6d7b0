/* SPDX-License-Identifier: Apache-2.0
 *
 * From the JSON of a question to what a connection is opened with.
 */
#include "gateway/probe_target.h"

#include "base/encode.h"
#include "base/json.h"
#include "gateway/gateway_internal.h"
#include "signer/signer.h"

static enum pn_rc read_chain(const json_t *list, struct pn_buf ders[PN_CHAIN_MAX], size_t *count)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        struct pn_slice text = pn_slice(json_string_value(entry), json_string_length(entry));

        if (i == PN_CHAIN_MAX || !text.ptr || pn_base64_decode(text, &ders[i]) != PN_OK)
            return PN_MALFORMED;
        *count = i + 1;
    }
    return *count > 0 ? PN_OK : PN_MALFORMED;
}

static enum pn_rc make_certificate(struct pn_gateway *gateway, const json_t *json,
                                   struct pn_tls_certificate **certificate, struct pn_error *err)
{
    struct pn_tls_certificate_spec spec = {.use = PN_USE_CLIENT};
    struct pn_slice chain[PN_CHAIN_MAX];
    struct pn_buf ders[PN_CHAIN_MAX];
    enum pn_rc rc;

    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_init(&ders[i], PN_CERTIFICATE_BYTES_MAX);
    rc = read_chain(json_object_get(json, "chain"), ders, &spec.chain_count);
    for (size_t i = 0; i < spec.chain_count; i++)
        chain[i] = pn_buf_slice(&ders[i]);
    spec.name = pn_json_str(json, "name");
    spec.generation = (uint64_t)pn_json_int(json, "generation", 1);
    spec.chain = chain;
    if (rc == PN_OK && (!spec.name || !pn_hex_decode(pn_json_slice(json, "keyId"), spec.key.sha256,
                                                     sizeof(spec.key.sha256))))
        rc = PN_MALFORMED;
    if (rc == PN_OK)
        rc = pn_tls_certificate_create(gateway->signer, &spec, certificate, err);
    else
        pn_error_set(err, rc, "malformed_request", "the question's certificate cannot be read");
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_fini(&ders[i]);
    return rc;
}

/** Where nothing is said both are offered: a backend that speaks one of them only shall not seem to
 *  refuse the certificate. */
static enum pn_alpn alpn_of(const char *http)
{
    if (http && strcmp(http, "2") == 0)
        return PN_ALPN_H2;
    return http && strcmp(http, "1") == 0 ? PN_ALPN_HTTP11 : PN_ALPN_H2_HTTP11;
}

/** The question's tls is a backend's, so what is not stored yet can be tried. */
static enum pn_rc make_trust(struct pn_gateway *gateway, const json_t *question,
                             struct pn_trust **trust, struct pn_error *err)
{
    const struct pn_snapshot *now = pn_catalog_snapshot(gateway->catalog);
    struct pn_trust_wish wish;
    enum pn_rc rc = pn_trust_wish_read(json_object_get(question, "tls"), &wish, err);

    if (rc == PN_OK)
        rc = pn_trust_base_grant(now->trusts, &wish, trust, err);
    pn_trust_wish_fini(&wish);
    return rc;
}

static enum pn_rc make_context(struct pn_gateway *gateway, const json_t *question,
                               struct pn_tls_client **tls, struct pn_error *err)
{
    const json_t *list = json_object_get(question, "certificates");
    struct pn_tls_certificate *certificates[PN_TLS_CERTIFICATES_MAX];
    struct pn_trust *trust = NULL;
    size_t count = 0;
    enum pn_rc rc = make_trust(gateway, question, &trust, err);

    if (rc == PN_OK && json_array_size(list) > PN_TLS_CERTIFICATES_MAX)
        rc = pn_error_set(err, PN_LIMIT, "too_many_certificates", "too many certificates");
    while (rc == PN_OK && count < json_array_size(list)) {
        rc = make_certificate(gateway, json_array_get(list, count), &certificates[count], err);
        if (rc == PN_OK)
            count++;
    }
    if (rc == PN_OK)
        rc = pn_tls_client_create_of(gateway->signer, trust, certificates, count,
                                     alpn_of(pn_json_str(question, "http")), tls, err);
    for (size_t i = 0; i < count; i++)
        pn_tls_certificate_unref(certificates[i]);
    pn_trust_unref(trust);
    return rc;
}

/** False: there is none that could be dialled. */
static bool set_host(const json_t *question, char out[PN_TARGET_HOST_MAX + 1])
{
    struct pn_slice host = pn_json_slice(question, "host");

    if (!host.ptr || host.len > PN_TARGET_HOST_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        out[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return true;
}

static enum pn_rc set_proxy(struct pn_gateway *gateway, const json_t *question,
                            struct pn_probe_target *target, struct pn_error *err)
{
    static const struct pn_trust_wish usual = {.check_chain = true, .check_name = true};
    const json_t *proxy = json_object_get(question, "proxy");
    const struct pn_snapshot *now = pn_catalog_snapshot(gateway->catalog);
    struct pn_trust *trust = NULL;
    enum pn_rc rc;

    if (!proxy)
        return PN_OK;
    rc = pn_proxy_create(pn_json_slice(proxy, "url"), pn_json_slice(proxy, "username"),
                         pn_json_slice(proxy, "password"), &target->proxy, err);
    if (rc != PN_OK || !target->proxy->is_tls)
        return rc;
    rc = pn_trust_base_grant(now->trusts, &usual, &trust, err);
    if (rc == PN_OK)
        rc = pn_tls_client_create(gateway->signer, trust, NULL, PN_ALPN_HTTP11, &target->proxy_tls,
                                  err);
    pn_trust_unref(trust);
    return rc;
}

enum pn_rc pn_probe_target_make(struct pn_gateway *gateway, const json_t *question,
                                struct pn_probe_target *target, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    if (!set_host(question, target->host))
        return pn_error_set(err, PN_MALFORMED, "internal", "the question names no host");
    if (!pn_json_bool(question, "plain", false))
        rc = make_context(gateway, question, &target->tls, err);
    return rc == PN_OK ? set_proxy(gateway, question, target, err) : rc;
}

void pn_probe_target_fini(struct pn_probe_target *target)
{
    pn_proxy_unref(target->proxy);
    pn_tls_client_unref(target->tls);
    pn_tls_client_unref(target->proxy_tls);
}
