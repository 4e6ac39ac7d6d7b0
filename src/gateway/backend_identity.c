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

/* --- which certificate --- */

struct choice {
    bool is_demanded;
    const struct pn_client_certificate *certificate; /* NULL though demanded: unknown */
    const char *detail;
};

/** A policy's certificate wins over the backend's; ids over thumbprints. */
static struct choice choose_certificate(const struct pn_call *call)
{
    const struct pn_policy_context *context = &call->context;
    const struct pn_pin *pin = call->identity_pin ? call->identity_pin : call->pin;
    const struct pn_snapshot *snapshot = pin->snapshot;
    const struct pn_backend *backend = call->backend;
    struct choice choice = {.is_demanded = true};

    if (context->certificate_id.ptr) {
        choice.certificate = pn_snapshot_certificate(snapshot, context->certificate_id);
        choice.detail = "the policy names a certificate id that does not exist";
    } else if (context->certificate_thumbprint.ptr) {
        choice.certificate =
            pn_snapshot_certificate_by_thumbprint(snapshot, context->certificate_thumbprint);
        choice.detail = "the policy names a thumbprint that no certificate has";
    } else if (context->certificate_embedded.ptr) {
        choice.certificate =
            pn_snapshot_certificate_embedded(snapshot, context->certificate_embedded);
        choice.detail = "the policy's own certificate is not there";
    } else if (backend && backend->certificate_id) {
        choice.certificate =
            pn_snapshot_certificate(snapshot, pn_slice_str(backend->certificate_id));
        choice.detail = "the backend names a certificate id that does not exist";
    } else if (backend && backend->thumbprint[0]) {
        choice.certificate =
            pn_snapshot_certificate_by_thumbprint(snapshot, pn_slice_str(backend->thumbprint));
        choice.detail = "the backend names a thumbprint that no certificate has";
    } else {
        choice.is_demanded = false;
    }
    return choice;
}

bool pn_call_fix_identity(struct pn_call *call, const struct pn_target *target,
                          struct pn_demand *demand)
{
    struct choice choice = choose_certificate(call);
    struct pn_error err = {.rc = PN_OK};
    enum pn_rc rc;

    call->certificate = choice.certificate;
    demand->target = target;
    demand->proxy = call->backend ? call->backend->proxy : NULL;
    demand->tls = NULL;
    demand->is_h2c = !target->is_tls && call->alpn == PN_ALPN_H2;
    if (choice.is_demanded && !choice.certificate) {
        pn_call_fail_forward(call, "certificate_unknown", choice.detail);
        return false;
    }
    if (choice.certificate && !target->is_tls) {
        pn_call_fail_forward(call, "certificate_needs_tls",
                             "a client certificate can be presented to an https:// backend only");
        return false;
    }
    if (choice.certificate &&
        pn_tls_certificate_check_time(choice.certificate->tls, pn_clock_unix_s(), &err) != PN_OK) {
        pn_call_fail_forward(call,
                             strcmp(err.code, "certificate_not_yet_valid") == 0
                                 ? "client_certificate_not_yet_valid"
                                 : "client_certificate_expired",
                             err.message);
        return false;
    }
    if (!target->is_tls)
        return true;
    rc = pn_worker_tls_client(
        call->worker, choice.certificate, call->backend ? call->backend->validate_chain : true,
        call->backend ? call->backend->validate_name : true, call->alpn, &demand->tls, &err);
    if (rc == PN_OK)
        return true;
    pn_call_fail_forward(call, rc == PN_UNAVAILABLE ? "no_trusted_ca" : "internal", err.message);
    return false;
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
