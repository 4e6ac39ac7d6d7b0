/* SPDX-License-Identifier: Apache-2.0
 *
 * Dispatch by path. See routes.h.
 */
#include "control/routes.h"

#include <string.h>

#include "arm/arm.h"
#include "authority/authority.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "control/event_grid.h"
#include "control/feed.h"
#include "control/portal.h"
#include "events/forecast.h"
#include "network/denials.h"
#include "resource/resource.h"
#include "vault/vault.h"

#define SEGMENTS_MAX      32
#define VAULT_MOUNT       "/vault/"
#define METRICS_BYTES_MAX (512u * 1024)
#define TEXT              "text/plain; charset=utf-8"

static void answer_text(struct pn_response *response, int status, const char *text)
{
    if (pn_response_body(response, status, TEXT, pn_slice_str(text)) != PN_OK)
        response->status = 500;
}

/* Counters of this process and of the gateway, added up: each counts what the other cannot. */
static void answer_metrics(const struct pn_routes *routes, struct pn_response *response)
{
    int64_t values[PN_COUNTER_COUNT] = {0};
    struct pn_buf text, denials;
    bool has_gateway;
    enum pn_rc rc;

    pn_buf_init(&denials, PN_DENIALS_TEXT_MAX);
    has_gateway = pn_feed_stats(routes->feed, values, &denials) == PN_OK;
    for (size_t i = 0; i < PN_COUNTER_COUNT; i++)
        values[i] += pn_counter_get(i);
    pn_buf_init(&text, METRICS_BYTES_MAX);
    rc = pn_buf_printf(&text,
                       "# HELP postern_gateway_up Whether the gateway answered control.\n"
                       "# TYPE postern_gateway_up gauge\npostern_gateway_up %d\n",
                       has_gateway ? 1 : 0);
    if (rc == PN_OK)
        rc = pn_metrics_print(values, &text);
    if (rc == PN_OK)
        rc = pn_denials_print(pn_buf_slice(&denials), &text);
    if (rc == PN_OK)
        rc = pn_forecast_print(routes->forecast, pn_clock_unix_s(), &text);
    if (rc == PN_OK)
        rc = pn_response_body(response, 200, "text/plain; version=0.0.4; charset=utf-8",
                              pn_buf_slice(&text));
    if (rc != PN_OK)
        response->status = 500;
    pn_buf_fini(&denials);
    pn_buf_fini(&text);
}

static void answer_ready(const struct pn_routes *routes, struct pn_response *response)
{
    if (pn_feed_is_current(routes->feed))
        answer_text(response, 200, "ready\n");
    else
        answer_text(response, 503,
                    "not ready: the gateway has not acknowledged the newest configuration\n");
}

static bool is_own_page(const struct pn_request *request)
{
    return pn_slice_eq_str(request->path, "/healthz") ||
           pn_slice_eq_str(request->path, "/readyz") ||
           pn_slice_eq_str(request->path, "/metrics") || pn_slice_eq_str(request->path, "/");
}

static void answer_own_page(const struct pn_routes *routes, const struct pn_request *request,
                            struct pn_response *response)
{
    if (!pn_slice_eq_str(request->method, "GET") && !pn_slice_eq_str(request->method, "HEAD")) {
        if (pn_response_header(response, "Allow", "GET, HEAD") == PN_OK)
            answer_text(response, 405, "only GET and HEAD are answered here\n");
    } else if (pn_slice_eq_str(request->path, "/healthz")) {
        answer_text(response, 200, "ok\n");
    } else if (pn_slice_eq_str(request->path, "/readyz")) {
        answer_ready(routes, response);
    } else if (pn_slice_eq_str(request->path, "/metrics")) {
        answer_metrics(routes, response);
    } else {
        answer_text(response, 200,
                    "Postern " PN_VERSION
                    "\n\nManagement REST API: /subscriptions\nTokens: /{tenant}/oauth2/v2.0/token, "
                    "/adfs/oauth2/token\nHealth: /healthz /readyz /metrics\n");
    }
}

/* …/providers/Microsoft.KeyVault/… */
static bool is_for_key_vault(const struct pn_slice *segments, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        if (pn_slice_case_eq_str(segments[i], "providers"))
            return pn_slice_case_eq_str(segments[i + 1], "Microsoft.KeyVault");
    }
    return false;
}

/* /vault/{name}/…: the vault's data plane under this origin, for the portal: a browser that trusts
 * this server need not know another. Ids in the answers are those of the vault's own address. */
static void handle_mounted_vault(const struct pn_routes *routes, const struct pn_request *request,
                                 struct pn_response *response)
{
    struct pn_slice rest = pn_slice_sub(request->path, strlen(VAULT_MOUNT), request->path.len);
    struct pn_slice name = pn_slice_sub(rest, 0, pn_slice_find(rest, '/'));
    struct pn_slice authority = pn_slice_str(routes->vault_authority);
    struct pn_request inner = *request;
    const char *host =
        pn_arena_printf(request->arena, "%.*s.%.*s", PN_FMT(name), PN_FMT(authority));
    const char *origin = host ? pn_arena_printf(request->arena, "https://%s", host) : NULL;

    if (!origin) {
        response->status = 500;
        return;
    }
    inner.host = pn_slice_str(host);
    inner.origin = pn_slice_str(origin);
    inner.path = pn_slice_sub(rest, name.len, rest.len);
    if (inner.path.len == 0)
        inner.path = PN_LIT("/");
    pn_vault_handle(routes->vault, &inner, response);
}

void pn_routes_handle_control(void *ctx, const struct pn_request *request,
                              struct pn_response *response)
{
    const struct pn_routes *routes = ctx;
    struct pn_slice segments[SEGMENTS_MAX];
    size_t count = 0;

    if (pn_portal_handle(routes->portal, request, response))
        return;
    if (pn_slice_starts_with(request->path, PN_LIT(VAULT_MOUNT))) {
        handle_mounted_vault(routes, request, response);
        return;
    }
    if (is_own_page(request)) {
        answer_own_page(routes, request, response);
        return;
    }
    if (pn_slice_eq_str(request->path, PN_EVENT_GRID_PATH)) {
        pn_event_grid_handle(routes->event_grid, request, response);
        return;
    }
    if (pn_request_segments(request, segments, SEGMENTS_MAX, &count) != PN_OK) {
        answer_text(response, 400,
                    "the path has a broken escape, an encoded slash or too many segments\n");
        return;
    }
    if (count > 0 && (pn_slice_case_eq_str(segments[0], "subscriptions") ||
                      pn_slice_case_eq_str(segments[0], "tenants") ||
                      pn_slice_case_eq_str(segments[0], "providers"))) {
        if (pn_resource_serves(segments, count))
            pn_resource_handle(routes->resources, request, response);
        else if (is_for_key_vault(segments, count))
            pn_vault_handle_arm(routes->vault, request, response);
        else
            pn_arm_handle(routes->arm, request, response);
        return;
    }
    pn_authority_handle(routes->authority, request, response);
}

void pn_routes_handle_vault(void *ctx, const struct pn_request *request,
                            struct pn_response *response)
{
    const struct pn_routes *routes = ctx;

    if (pn_slice_eq_str(request->path, "/healthz"))
        answer_text(response, 200, "ok\n");
    else
        pn_vault_handle(routes->vault, request, response);
}

void pn_routes_handle_endpoint(void *ctx, const struct pn_request *request,
                               struct pn_response *response)
{
    const struct pn_routes *routes = ctx;

    pn_authority_handle_endpoint(routes->authority, routes->endpoint, request, response);
}
