/* SPDX-License-Identifier: Apache-2.0
 *
 * What policy expressions ask about a request and the policies' context does not hold. Asked one by
 * one, so that requests without expressions pay for none of it.
 */
#include "base/clock.h"
#include "certs/certificate.h"
#include "gateway/call.h"
#include "http/uri.h"

/* --- the URL that the client asked for --- */

static struct pn_expr_value original_host(struct pn_call *call)
{
    struct pn_slice host = {0};
    uint16_t port = 0;

    if (pn_uri_parse_host(call->request.host, &host, &port, NULL) != PN_OK)
        return pn_expr_null();
    return pn_expr_string(host);
}

/** As it is written, else the scheme's. */
static struct pn_expr_value original_port(struct pn_call *call)
{
    struct pn_slice host = {0};
    uint16_t port = 0;

    if (pn_uri_parse_host(call->request.host, &host, &port, NULL) != PN_OK || port == 0)
        port = call->front->origin->is_tls ? 443 : 80;
    return pn_expr_int(port);
}

/* --- the backend's --- */

static struct pn_expr_value url_of(struct pn_call *call, const struct pn_target *target)
{
    return pn_expr_text(pn_arena_printf(call->arena, "%s://%.*s%.*s",
                                        target->is_tls ? "https" : "http",
                                        PN_FMT(target->authority), PN_FMT(target->path)));
}

/** A pool has no URL before a member is chosen; an unknown backend has none. */
static struct pn_expr_value base_url(struct pn_call *call)
{
    const struct pn_policy_context *context = &call->context;
    const struct pn_backend *backend;

    if (context->base_url.ptr)
        return pn_expr_string(context->base_url);
    if (context->backend_id.ptr) {
        backend = pn_snapshot_backend_in(call->pin->snapshot,
                                         pn_call_policy_scope(call, context->backend_scope),
                                         context->backend_id);
        return backend && backend->member_count == 0 ? url_of(call, &backend->target)
                                                     : pn_expr_null();
    }
    return call->api->has_target ? url_of(call, &call->api->target) : pn_expr_null();
}

/* --- times and ids --- */

static struct pn_expr_value request_id(struct pn_call *call)
{
    if (call->request_id[0] == '\0')
        pn_uuid_v4(call->request_id);
    return (struct pn_expr_value){.type = PN_EXPR_GUID, .s = pn_slice_str(call->request_id)};
}

static struct pn_expr_value began(const struct pn_call *call)
{
    uint64_t ago_ms = (pn_clock_monotonic_us() - call->began_us) / 1000;

    return pn_expr_time(pn_clock_unix_ms() - (int64_t)ago_ms);
}

/* --- the service --- */

static struct pn_expr_value service_fact(const struct pn_call *call, enum pn_policy_fact fact)
{
    const struct pn_item *service = call->pin->snapshot->service;

    if (!service)
        return pn_expr_null();
    return pn_expr_text(fact == PN_FACT_REGION ? pn_json_str(service->internal, "location")
                                               : pn_json_str(service->json, "name"));
}

/* --- the client's certificate --- */

static struct pn_expr_value certificate_fact(struct pn_call *call, enum pn_policy_fact fact)
{
    struct pn_stream *stream = call->front->origin->stream;
    const struct pn_tls_peer *peer =
        stream && call->front->origin->is_tls ? pn_stream_peer(stream) : NULL;
    struct pn_certificate *certificate = NULL;
    struct pn_expr_value value = pn_expr_null();
    const char *text = NULL;

    if (!peer || pn_certificate_from_der(peer->der[0], &certificate, NULL) != PN_OK)
        return value;
    if (fact == PN_FACT_CERTIFICATE_THUMBPRINT)
        text = peer->thumbprint;
    else if (fact == PN_FACT_CERTIFICATE_SUBJECT)
        text = pn_certificate_subject(certificate);
    else if (fact == PN_FACT_CERTIFICATE_ISSUER)
        text = pn_certificate_issuer(certificate);
    else if (fact == PN_FACT_CERTIFICATE_SERIAL)
        text = pn_certificate_serial(certificate);
    else if (fact == PN_FACT_CERTIFICATE_NOT_BEFORE)
        value = pn_expr_time(pn_certificate_not_before(certificate) * 1000);
    else
        value = pn_expr_time(pn_certificate_not_after(certificate) * 1000);
    if (text)
        value = pn_expr_text(pn_arena_strdup(call->arena, pn_slice_str(text)));
    pn_certificate_unref(certificate);
    return value;
}

/* --- all of them --- */

void pn_call_find_fact(void *host, enum pn_policy_fact fact, struct pn_expr_value *value)
{
    struct pn_call *call = host;

    switch (fact) {
    case PN_FACT_SCHEME:
        *value = pn_expr_text(call->front->origin->is_tls ? "https" : "http");
        return;
    case PN_FACT_HOST:
        *value = original_host(call);
        return;
    case PN_FACT_PORT:
        *value = original_port(call);
        return;
    case PN_FACT_PATH:
        *value = pn_expr_string(call->request.path);
        return;
    case PN_FACT_QUERY:
        *value = pn_expr_string(call->request.query);
        return;
    case PN_FACT_BASE_URL:
        *value = base_url(call);
        return;
    case PN_FACT_IP_ADDRESS:
        *value = pn_expr_string(pn_origin_ip(call->front->origin));
        return;
    case PN_FACT_REQUEST_ID:
        *value = request_id(call);
        return;
    case PN_FACT_TIMESTAMP:
        *value = began(call);
        return;
    case PN_FACT_NOW:
        *value = pn_expr_time(pn_clock_unix_ms());
        return;
    case PN_FACT_API_ID:
        *value = pn_expr_text(call->api->id);
        return;
    case PN_FACT_API_NAME:
        *value = pn_expr_text(call->api->name);
        return;
    case PN_FACT_API_PATH:
        *value = pn_expr_text(call->api->path);
        return;
    case PN_FACT_API_REVISION:
        *value = pn_expr_text(call->api->revision);
        return;
    case PN_FACT_API_VERSION:
        *value = pn_expr_text(call->api->version);
        return;
    case PN_FACT_OPERATION_ID:
        *value = pn_expr_text(call->operation->id);
        return;
    case PN_FACT_OPERATION_NAME:
        *value = pn_expr_text(call->operation->name);
        return;
    case PN_FACT_OPERATION_METHOD:
        *value = pn_expr_text(call->operation->method);
        return;
    case PN_FACT_OPERATION_TEMPLATE:
        *value = pn_expr_text(call->operation->url_template);
        return;
    case PN_FACT_PRODUCT_ID:
        *value = pn_expr_text(call->product ? call->product->id : NULL);
        return;
    case PN_FACT_PRODUCT_NAME:
        *value = pn_expr_text(call->product ? call->product->name : NULL);
        return;
    case PN_FACT_SUBSCRIPTION_ID:
        *value = pn_expr_text(call->subscription ? call->subscription->id : NULL);
        return;
    case PN_FACT_SUBSCRIPTION_NAME:
        *value = pn_expr_text(call->subscription ? call->subscription->name : NULL);
        return;
    case PN_FACT_SUBSCRIPTION_KEY:
        if (call->subscription)
            *value = pn_expr_string(call->subscription_key);
        return;
    case PN_FACT_SERVICE_NAME:
    case PN_FACT_REGION:
        *value = service_fact(call, fact);
        return;
    case PN_FACT_GATEWAY_ID:
        *value = pn_expr_text("managed"); /* the gateway of the service itself, as in Azure */
        return;
    case PN_FACT_CERTIFICATE_THUMBPRINT:
    case PN_FACT_CERTIFICATE_SUBJECT:
    case PN_FACT_CERTIFICATE_ISSUER:
    case PN_FACT_CERTIFICATE_SERIAL:
    case PN_FACT_CERTIFICATE_NOT_BEFORE:
    case PN_FACT_CERTIFICATE_NOT_AFTER:
        *value = certificate_fact(call, fact);
        return;
    }
}
