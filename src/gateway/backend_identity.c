/* SPDX-License-Identifier: Apache-2.0
 *
 * With which certificate and which other credentials the request goes to its backend.
 *
 * Fail closed (promise 2): a certificate that is named but unknown, expired or not yet valid ends
 * the request; so does one for a backend without TLS. There is no way on without it. Each member of
 * a pool has its own.
 */
#include <string.h>

#include "gateway/call.h"
#include "http/uri.h"

/* --- which certificates --- */

struct choice {
    bool is_demanded;
    bool is_missing; /* one that is named is unknown */
    const struct pn_client_certificate *certificates[PN_TLS_CERTIFICATES_MAX];
    size_t count;
    const char *detail;
};

static void add(struct choice *choice, const struct pn_client_certificate *certificate,
                const char *detail)
{
    choice->is_demanded = true;
    if (certificate) {
        choice->certificates[choice->count++] = certificate;
    } else {
        choice->is_missing = true;
        choice->detail = detail;
    }
}

static void add_backends(struct choice *choice, struct pn_pin *pin,
                         const struct pn_backend *backend)
{
    for (size_t i = 0; i < backend->certificate_id_count; i++)
        add(choice,
            pn_pin_certificate(pin, backend->scope, pn_slice_str(backend->certificate_ids[i])),
            "the backend names a certificate id that does not exist");
    if (choice->is_demanded)
        return;
    for (size_t i = 0; i < backend->thumbprint_count; i++)
        add(choice,
            pn_snapshot_certificate_by_thumbprint(pin->snapshot, backend->scope,
                                                  pn_slice_str(backend->thumbprints[i])),
            "the backend names a thumbprint that no certificate has");
}

/** A policy's certificate wins over the backend's; ids over thumbprints. */
static void choose_certificates(const struct pn_call *call, struct choice *choice)
{
    const struct pn_policy_context *context = &call->context;
    struct pn_pin *pin = call->identity_pin ? call->identity_pin : call->pin;
    const struct pn_snapshot *snapshot = pin->snapshot;
    struct pn_slice scope = pn_call_policy_scope(call, context->certificate_scope);

    choice->is_demanded = choice->is_missing = false;
    choice->count = 0;
    for (size_t i = 0; i < context->certificate_id_count; i++)
        add(choice, pn_pin_certificate(pin, scope, context->certificate_ids[i]),
            "the policy names a certificate id that does not exist");
    if (context->certificate_id_count > 0)
        return;
    if (context->certificate_id.ptr)
        add(choice, pn_pin_certificate(pin, scope, context->certificate_id),
            "the policy names a certificate id that does not exist");
    else if (context->certificate_thumbprint.ptr)
        add(choice,
            pn_snapshot_certificate_by_thumbprint(snapshot, scope, context->certificate_thumbprint),
            "the policy names a thumbprint that no certificate has");
    else if (context->certificate_embedded.ptr)
        add(choice,
            pn_snapshot_certificate_embedded(snapshot, scope, context->certificate_embedded),
            "the policy's own certificate is not there");
    else if (call->backend)
        add_backends(choice, pin, call->backend);
}

/** Of several, those in their time are enough; the handshake takes no other. */
static enum pn_rc check_time(const struct choice *choice, struct pn_error *err)
{
    int64_t now_s = pn_clock_unix_s_of_tick();
    enum pn_rc rc = PN_OK;

    for (size_t i = choice->count; i > 0; i--) { /* the first one's words stay */
        rc = pn_tls_certificate_check_time(choice->certificates[i - 1]->tls, now_s, err);
        if (rc == PN_OK)
            return PN_OK;
    }
    return rc;
}

static bool find_context(struct pn_call *call, const struct choice *choice,
                         struct pn_demand *demand)
{
    struct pn_tls_certificate *certificates[PN_TLS_CERTIFICATES_MAX];
    struct pn_trust *trust = NULL;
    struct pn_error err;
    enum pn_rc rc;

    pn_error_clear(&err);
    rc = pn_worker_trust(call->worker, call->pin, call->backend, &trust, &err);
    for (size_t i = 0; i < choice->count; i++)
        certificates[i] = choice->certificates[i]->tls;
    if (rc == PN_OK)
        rc = pn_worker_tls_client(call->worker, certificates, choice->count, trust, call->alpn,
                                  &demand->tls, &err);
    pn_trust_unref(trust);
    if (rc == PN_OK)
        return true;
    pn_call_fail_forward(call, rc == PN_UNAVAILABLE ? "no_trusted_ca" : "internal", err.message);
    return false;
}

/** A proxy that is reached by TLS proves who it is to the CAs of the system and of the service;
 * what the backend's tls says is about the backend. It gets no certificate of ours. */
static bool find_proxy_context(struct pn_call *call, struct pn_demand *demand)
{
    struct pn_trust *trust = NULL;
    struct pn_error err;
    enum pn_rc rc;

    pn_error_clear(&err);
    demand->proxy_tls = NULL;
    if (!demand->proxy || !demand->proxy->is_tls)
        return true;
    rc = pn_worker_trust(call->worker, call->pin, NULL, &trust, &err);
    if (rc == PN_OK)
        rc = pn_worker_tls_client(call->worker, NULL, 0, trust, PN_ALPN_HTTP11, &demand->proxy_tls,
                                  &err);
    pn_trust_unref(trust);
    if (rc == PN_OK)
        return true;
    pn_call_fail_forward(call, rc == PN_UNAVAILABLE ? "no_trusted_ca" : "internal", err.message);
    return false;
}

bool pn_call_fix_identity(struct pn_call *call, const struct pn_target *target,
                          struct pn_demand *demand)
{
    struct choice choice;
    struct pn_error err;

    pn_error_clear(&err);
    choose_certificates(call, &choice);
    call->certificate = choice.count == 1 ? choice.certificates[0] : NULL;
    demand->target = target;
    demand->proxy = call->backend ? call->backend->proxy : NULL;
    demand->backend = call->backend ? call->backend->name : call->api->key;
    demand->tls = NULL;
    demand->is_h2c = !target->is_tls && call->alpn == PN_ALPN_H2;
    if (choice.is_missing) {
        pn_call_fail_forward(call, "certificate_unknown", choice.detail);
        return false;
    }
    if (choice.is_demanded && !target->is_tls) {
        pn_call_fail_forward(call, "certificate_needs_tls",
                             "a client certificate can be presented to an https:// backend only");
        return false;
    }
    if (check_time(&choice, &err) != PN_OK) {
        pn_call_fail_forward(call,
                             strcmp(err.code, "certificate_not_yet_valid") == 0
                                 ? "client_certificate_not_yet_valid"
                                 : "client_certificate_expired",
                             err.message);
        return false;
    }
    return (!target->is_tls || find_context(call, &choice, demand)) &&
           find_proxy_context(call, demand);
}

/* --- the backend entity's other credentials --- */

static enum pn_rc apply_headers(struct pn_call *call, json_t *map)
{
    struct pn_headers *headers = &call->context.request_headers;
    const char *name;
    json_t *values, *value;
    size_t i;

    json_object_foreach(map, name, values)
    {
        (void)pn_headers_remove(headers, pn_slice_str(name));
        json_array_foreach(values, i, value)
        {
            enum pn_rc rc =
                pn_headers_add(headers, pn_slice_str(name), pn_slice_str(json_string_value(value)));

            if (rc != PN_OK)
                return rc;
        }
    }
    return PN_OK;
}

static enum pn_rc apply_query(struct pn_call *call, json_t *map)
{
    struct pn_policy_context *context = &call->context;
    const char *name;
    json_t *values, *value;
    size_t i;

    json_object_foreach(map, name, values)
    {
        enum pn_rc rc =
            pn_query_remove(context->query, pn_slice_str(name), call->arena, &context->query);

        json_array_foreach(values, i, value)
        {
            if (rc == PN_OK)
                rc = pn_query_append(context->query, pn_slice_str(name),
                                     pn_slice_str(json_string_value(value)), call->arena,
                                     &context->query);
        }
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

enum pn_rc pn_call_apply_credentials(struct pn_call *call)
{
    const struct pn_backend *backend = call->backend;
    const char *value;
    enum pn_rc rc;

    if (!backend)
        return PN_OK;
    rc = apply_headers(call, backend->headers);
    if (rc == PN_OK)
        rc = apply_query(call, backend->query);
    if (rc != PN_OK || !backend->authorization_scheme)
        return rc;
    (void)pn_headers_remove(&call->context.request_headers, PN_LIT("Authorization"));
    value = pn_arena_printf(call->arena, "%s %s", backend->authorization_scheme,
                            backend->authorization_parameter);
    if (!value)
        return PN_NOMEM;
    return pn_headers_add(&call->context.request_headers, PN_LIT("Authorization"),
                          pn_slice_str(value));
}
