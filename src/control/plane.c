/* SPDX-License-Identifier: Apache-2.0
 *
 * Wiring of the management plane. See plane.h.
 */
#include "control/plane.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/authority.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "control/control.h"
#include "control/first_start.h"
#include "control/identity_tokens.h"
#include "control/listeners.h"
#include "control/portal.h"
#include "rotation/rotation.h"
#include "store/audit.h"
#include "vault/vault.h"

#define KEY_BYTES     32
#define IDS_BYTES_MAX (4u * 1024 * 1024)

enum pn_rc pn_endpoints_read(struct pn_endpoints *endpoints, struct pn_error *err)
{
    const char *text = getenv("PN_ENDPOINTS");
    const char *port;
    enum pn_rc rc;

    *endpoints = (struct pn_endpoints){0};
    if (!text)
        return pn_error_set(err, PN_INVALID, "no_endpoints",
                            "PN_ENDPOINTS is not set: control is started by 'postern serve'");
    rc = pn_json_parse(pn_slice_str(text), &endpoints->body, err);
    if (rc != PN_OK) {
        pn_error_prefix(err, "PN_ENDPOINTS");
        return rc;
    }
    endpoints->gateway_url = pn_json_str(endpoints->body, "gatewayUrl");
    endpoints->gateway_tls_url = pn_json_str(endpoints->body, "gatewayTlsUrl");
    endpoints->control_url = pn_json_str(endpoints->body, "controlUrl");
    endpoints->vault_url = pn_json_str(endpoints->body, "vaultUrl");
    /* A gateway that listens at Unix sockets alone, or not at all, has no URL. */
    if (!endpoints->gateway_url)
        endpoints->gateway_url = endpoints->gateway_tls_url ? endpoints->gateway_tls_url : "";
    if (!endpoints->control_url || !endpoints->vault_url)
        return pn_error_set(err, PN_INVALID, "no_endpoints", "PN_ENDPOINTS lacks a URL");
    port = strrchr(endpoints->vault_url, ':');
    snprintf(endpoints->vault_audience, sizeof(endpoints->vault_audience),
             "https://vault.localhost%s", port && port[1] != '/' ? port : "");
    snprintf(endpoints->arm_audience, sizeof(endpoints->arm_audience), "%s/arm",
             endpoints->control_url);
    return PN_OK;
}

void pn_endpoints_fini(struct pn_endpoints *endpoints)
{
    json_decref(endpoints->body);
    *endpoints = (struct pn_endpoints){0};
}

static void on_vault_change(void *ctx, const char *vault, const char *name)
{
    pn_rotation_notify(ctx, vault, name);
}

static void list_audiences(struct pn_plane *plane)
{
    const char *const all[] = {plane->endpoints.control_url, plane->endpoints.arm_audience,
                               "https://management.azure.com",
                               "https://management.core.windows.net", NULL};

    memcpy(plane->audiences, all, sizeof(all));
}

static enum pn_rc open_store(struct pn_plane *plane, const char *data_dir, struct pn_error *err)
{
    char path[PATH_MAX];
    enum pn_rc rc;

    snprintf(path, sizeof(path), "%s/store", data_dir);
    rc = pn_dir_make(path, 0700, err);
    if (rc != PN_OK)
        return rc;
    snprintf(path, sizeof(path), "%s/store/postern.db", data_dir);
    rc = pn_store_open(path, &plane->store, err);
    return rc == PN_OK ? pn_settings_load(plane->store, &plane->settings, err) : rc;
}

/* The embedded authority is asked within this process. A rule about AzureActiveDirectory counts all
 * the same: what is tried out here shall not fail only once the authority is Azure's. */
static enum pn_rc embedded_token(void *ctx, const struct pn_identity_ref *identity,
                                 const struct pn_token_target *target, struct pn_secret *token,
                                 int64_t *expires_s, struct pn_error *err)
{
    struct pn_plane *plane = ctx;
    enum pn_rc rc =
        plane->embedded.get(plane->embedded.ctx, identity, target, token, expires_s, err);

    if (rc != PN_OK) /* not its vault: another source is asked, under the rules of its own */
        return rc;
    rc = pn_outbound_check_service(&plane->outbound, plane->endpoints.control_url,
                                   PN_TAG_ACTIVE_DIRECTORY, true, err);
    if (rc != PN_OK)
        pn_secret_fini(token);
    return rc;
}

/* Where this process' own vault and authority are, for the service tags; which service is governed.
 */
static enum pn_rc make_outbound(struct pn_plane *plane, struct pn_error *err)
{
    const struct pn_settings *settings = &plane->settings;

    if (asprintf(&plane->service_id,
                 "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ApiManagement/service/%s",
                 settings->subscription_id, settings->resource_group, settings->service_name) < 0) {
        plane->service_id = NULL;
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    plane->outbound = (struct pn_outbound_scope){
        .store = plane->store,
        .service_id = plane->service_id,
        .tags = json_pack("{s:[o, o], s:[o]}", "AzureKeyVault",
                          pn_outbound_place(plane->endpoints.vault_url),
                          pn_outbound_place(plane->endpoints.vault_audience),
                          "AzureActiveDirectory", pn_outbound_place(plane->endpoints.control_url)),
    };
    return plane->outbound.tags ? PN_OK : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
}

static enum pn_rc make_identity(struct pn_plane *plane, const char *ca_file, struct pn_error *err)
{
    struct pn_authority_config config = {
        .store = plane->store,
        .keyholder = plane->keyholders[PN_PLANE_AUTHORITY],
        .tenant_id = plane->settings.tenant_id,
        .control_url = plane->endpoints.control_url,
        .vault_audience = plane->endpoints.vault_audience,
    };
    struct pn_keyvault_options options = {.ca_file = ca_file, .outbound = &plane->outbound};
    enum pn_rc rc = pn_oidc_create(plane->store, &plane->outbound, NULL, &plane->oidc);

    if (rc != PN_OK)
        return pn_error_set(err, rc, "no_memory", "out of memory");
    config.oidc = plane->oidc;
    rc = pn_authority_create(&config, &plane->authority, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_token_source_create(NULL, &plane->tokens);
    if (rc == PN_OK)
        rc =
            pn_azure_create(plane->keyholders[PN_PLANE_AUTHORITY], &plane->outbound, &plane->azure);
    if (rc != PN_OK)
        return pn_error_set(err, rc, "no_memory", "out of memory");
    options.tokens = plane->tokens;
    return pn_keyvault_create(&options, &plane->keyvault, err);
}

/* The next of the token sources, in their order. */
static enum pn_rc add_source(struct pn_plane *plane, struct pn_slice text, size_t *azure_count,
                             struct pn_error *err)
{
    struct pn_token_provider provider;
    enum pn_rc rc = PN_OK;

    plane->embedded = pn_authority_provider(plane->authority);
    provider = (struct pn_token_provider){plane->embedded.name, embedded_token, plane};

    if (!pn_slice_eq_str(text, "embedded")) {
        rc = pn_azure_add(plane->azure, text, err);
        if (rc != PN_OK || !pn_azure_provider(plane->azure, (*azure_count)++, &provider))
            return rc;
    }
    rc = pn_token_source_add(plane->tokens, &provider);
    return rc == PN_OK ? rc
                       : pn_error_set(err, rc, "token_source", "there are too many token sources");
}

/* Where nobody says so: our own authority for our own vault, then what the environment offers. */
static enum pn_rc add_default_sources(struct pn_plane *plane, size_t *azure_count,
                                      struct pn_error *err)
{
    enum pn_rc rc = add_source(plane, PN_LIT("embedded"), azure_count, err);

    if (rc == PN_OK && getenv("AZURE_FEDERATED_TOKEN_FILE"))
        rc = add_source(plane, PN_LIT("workload"), azure_count, err);
    if (rc == PN_OK && getenv("IDENTITY_ENDPOINT") && getenv("IDENTITY_HEADER"))
        rc = add_source(plane, PN_LIT("app-service"), azure_count, err);
    return rc;
}

/* PN_IDENTITY: "setting value" lines. */
static enum pn_rc read_identity(struct pn_plane *plane, struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(getenv("PN_IDENTITY"));
    struct pn_slice line;
    size_t azure_count = 0;
    bool has_sources = false;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && rest.ptr && pn_slice_cut(&rest, '\n', &line)) {
        size_t space = pn_slice_find(line, ' ');
        struct pn_slice setting = pn_slice_sub(line, 0, space);
        struct pn_slice value = pn_slice_sub(line, space + 1, line.len);

        if (line.len == 0)
            continue;
        if (pn_slice_eq_str(setting, "trusted-issuer"))
            rc = pn_oidc_trust(plane->oidc, value, err);
        else if (pn_slice_eq_str(setting, "endpoint-identity"))
            rc = pn_identity_endpoint_add(&plane->endpoint, value, err);
        else if (pn_slice_eq_str(setting, "token-source")) {
            has_sources = true;
            rc = add_source(plane, value, &azure_count, err);
        }
        if (rc != PN_OK)
            pn_error_prefix(err, "%.*s", PN_FMT(setting));
    }
    if (rc == PN_OK && !has_sources)
        rc = add_default_sources(plane, &azure_count, err);
    return rc;
}

static enum pn_rc make_endpoint(struct pn_plane *plane, const char *data_dir, struct pn_error *err)
{
    plane->has_endpoint = pn_listen_fd("identity-endpoint", 0) >= 0;
    return plane->has_endpoint
               ? pn_identity_endpoint_init(&plane->endpoint, plane->service_id, data_dir, err)
               : PN_OK;
}

static enum pn_rc make_rotation(struct pn_plane *plane, struct pn_broker *broker,
                                unsigned interval_s, struct pn_error *err)
{
    struct pn_rotation_config config = {
        .store = plane->store,
        .keyholder = plane->keyholders[PN_PLANE_ROTATION],
        .keyvault = plane->keyvault,
        .interval_s = interval_s,
    };
    enum pn_rc rc = pn_feed_create(broker, plane->store, &plane->feed, err);

    if (rc != PN_OK)
        return rc;
    config.publisher = pn_feed_publisher(plane->feed);
    return pn_rotation_create(&config, &plane->rotation, err);
}

/* The events are made after the REST API, which they ask for usage. */
static enum pn_rc view_events(void *ctx, json_t **view, struct pn_error *err)
{
    const struct pn_plane *plane = ctx;

    return pn_events_view(plane->events, view, err);
}

static enum pn_rc make_uses(struct pn_plane *plane, struct pn_broker *broker, struct pn_error *err)
{
    const struct pn_settings *settings = &plane->settings;
    char *id = NULL;
    enum pn_rc rc;

    if (asprintf(&id,
                 "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ApiManagement/service/%s",
                 settings->subscription_id, settings->resource_group, settings->service_name) < 0)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    rc = pn_uses_create(broker, plane->store, id, &plane->uses, err);
    free(id);
    return rc;
}

static enum pn_rc make_arm(struct pn_plane *plane, struct pn_broker *broker,
                           const struct pn_control_options *options, struct pn_error *err)
{
    struct pn_arm_config config = {
        .store = plane->store,
        .publisher = pn_feed_publisher(plane->feed),
        .tenant_id = plane->settings.tenant_id,
        .subscription_id = plane->settings.subscription_id,
        .control_url = plane->endpoints.control_url,
        .gateway_url = plane->endpoints.gateway_url,
        .audiences = plane->audiences,
        .is_strict = options->is_strict,
        .checks_linked_access = options->checks_linked_access,
    };
    enum pn_rc rc = make_uses(plane, broker, err);

    config.outbound = &plane->outbound;
    config.sync_uses = pn_uses_sync;
    config.sync_uses_ctx = plane->uses;
    config.tokens = plane->tokens;
    config.events = view_events;
    config.events_ctx = plane;
    if (rc != PN_OK)
        return rc;
    plane->connection = (struct pn_arm_connection){
        .store = plane->store,
        .verifier = pn_authority_verifier(plane->authority),
        .keyholder = plane->keyholders[PN_PLANE_ARM],
        .rotation = plane->rotation,
        .broker = broker,
    };
    pn_arm_connect(&plane->services, &plane->connection);
    plane->services.call_gateway = pn_gateway_call;
    plane->services.gateway_ctx = &plane->caller;
    rc = pn_identity_tokens_create(plane->tokens, plane->authority, plane->store,
                                   &plane->identity_tokens, err);
    if (rc != PN_OK)
        return rc;
    plane->services.identity_token = pn_identity_tokens_get;
    plane->services.identity_ctx = plane->identity_tokens;
    config.services = plane->services;
    rc = pn_arm_create(&config, &plane->arm, err);
    if (rc == PN_OK) {
        pn_rotation_set_preflight(plane->rotation, pn_arm_preflight, plane->arm);
        pn_rotation_set_usage(plane->rotation, pn_arm_usage, plane->arm);
        pn_rotation_set_values(plane->rotation, pn_arm_apply_value, plane->arm);
    }
    return rc;
}

static enum pn_rc make_vault(struct pn_plane *plane, const char *ca_file, struct pn_error *err)
{
    const struct pn_vault_config config = {
        .store = plane->store,
        .keyholder = plane->keyholders[PN_PLANE_VAULT],
        .verifier = pn_authority_verifier(plane->authority),
        .tenant_id = plane->settings.tenant_id,
        .subscription_id = plane->settings.subscription_id,
        .authority_url = plane->endpoints.control_url,
        .audience = plane->endpoints.vault_audience,
        .arm_audiences = plane->audiences,
        .on_change = on_vault_change,
        .on_change_ctx = plane->rotation,
        .ca_file = ca_file,
    };

    return pn_vault_create(&config, &plane->vault, err);
}

static enum pn_rc make_event_grid(struct pn_plane *plane, const char *data_dir,
                                  struct pn_error *err)
{
    struct pn_event_grid *grid = &plane->event_grid;
    const struct pn_settings *settings = &plane->settings;

    grid->rotation = plane->rotation;
    grid->services = &plane->services;
    grid->audiences = plane->audiences;
    if (asprintf(&grid->service_id,
                 "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ApiManagement/service/%s",
                 settings->subscription_id, settings->resource_group, settings->service_name) < 0) {
        grid->service_id = NULL;
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    return pn_event_grid_init(grid, data_dir, err);
}

/* What is not there, or not whole, is missing; the REST API serves all the same. */
static void load_portal(struct pn_plane *plane)
{
    struct pn_error err = {0};

    if (pn_portal_load(NULL, &plane->portal, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "portal_not_loaded", &err);
}

#define AUDIT_DOMAIN  "store"
#define AUDIT_CONTEXT "postern/audit/head"

/* The head of the audit log is sealed as base64 text, by a connection to the keyholder that no
 * import can hold up: all writers wait for it. */
static enum pn_rc seal_head(void *ctx, struct pn_slice plain, struct pn_buf *sealed,
                            struct pn_error *err)
{
    struct pn_buf bytes;
    enum pn_rc rc;

    pn_buf_init(&bytes, 8192);
    rc = pn_keyholder_seal(ctx, AUDIT_DOMAIN, PN_LIT(AUDIT_CONTEXT), plain, &bytes, err);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_buf_slice(&bytes), sealed);
    pn_buf_fini(&bytes);
    return rc;
}

static enum pn_rc unseal_head(void *ctx, struct pn_slice sealed, struct pn_buf *plain,
                              struct pn_error *err)
{
    struct pn_buf bytes;
    enum pn_rc rc;

    pn_buf_init(&bytes, 8192);
    rc = pn_base64_decode(sealed, &bytes);
    if (rc == PN_OK)
        rc = pn_keyholder_unseal(ctx, AUDIT_DOMAIN, PN_LIT(AUDIT_CONTEXT), pn_buf_slice(&bytes),
                                 plain, err);
    pn_buf_fini(&bytes);
    return rc;
}

static enum pn_rc begin_audit(struct pn_plane *plane, struct pn_error *err)
{
    const struct pn_auditor auditor = {seal_head, unseal_head, plane->keyholders[PN_PLANE_AUDIT]};

    return pn_audit_begin(plane->store, &auditor, err);
}

/* PN_EVENT_WEBHOOKS: URLs by spaces. They may hold secrets, so they do not stay in the environment.
 */
static enum pn_rc read_webhooks(struct pn_plane *plane, struct pn_error *err)
{
    const char *text = getenv("PN_EVENT_WEBHOOKS");
    char *rest, *url;
    size_t count = 0;
    enum pn_rc rc = PN_OK;

    if (!text)
        return PN_OK;
    plane->webhook_text = strdup(text);
    if (!plane->webhook_text)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    (void)unsetenv("PN_EVENT_WEBHOOKS");
    rest = plane->webhook_text;
    for (url = strsep(&rest, " "); rc == PN_OK && url; url = strsep(&rest, " ")) {
        if (count == PN_WEBHOOKS_MAX)
            return pn_error_set(err, PN_LIMIT, "webhook", "there are more than %d webhooks",
                                PN_WEBHOOKS_MAX);
        rc = pn_webhook_check(url, err);
        plane->webhooks[count++] = url;
    }
    if (rc != PN_OK)
        pn_error_prefix(err, "event-webhook, number %zu", count);
    return rc;
}

static enum pn_rc make_events(struct pn_plane *plane, const char *ca_file, const char *expiry_days,
                              struct pn_error *err)
{
    struct pn_events_config config = {
        .store = plane->store,
        .thresholds = &plane->thresholds,
        .webhooks = plane->webhooks,
        .ca_file = plane->ca_file,
        .outbound = &plane->outbound,
        .usage = pn_arm_usage,
        .usage_ctx = plane->arm,
    };
    enum pn_rc rc = pn_thresholds_parse(expiry_days ? expiry_days : PN_THRESHOLDS_DEFAULT,
                                        &plane->thresholds, err);

    snprintf(plane->ca_file, sizeof(plane->ca_file), "%s", ca_file);
    if (rc == PN_OK)
        rc = read_webhooks(plane, err);
    if (rc == PN_OK &&
        pn_forecast_create(plane->store, &plane->thresholds, &plane->forecast) != PN_OK)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    config.forecast = plane->forecast;
    return rc == PN_OK ? pn_events_create(&config, &plane->events, err) : rc;
}

enum pn_rc pn_plane_init(struct pn_plane *plane, struct pn_broker *broker,
                         const struct pn_control_options *options, struct pn_error *err)
{
    const char *data_dir = options->data_dir;
    char ca_file[PATH_MAX];
    struct pn_first_start first;
    enum pn_rc rc;

    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", data_dir);
    rc = pn_endpoints_read(&plane->endpoints, err);
    for (size_t i = 0; i < PN_PLANE_KEYHOLDERS && rc == PN_OK; i++)
        rc = pn_keyholder_create(broker, PN_SERVICE_ADMIN, &plane->keyholders[i], err);
    if (rc == PN_OK)
        rc = open_store(plane, data_dir, err);
    if (rc == PN_OK)
        rc = begin_audit(plane, err);
    if (rc == PN_OK)
        rc = pn_listeners_prepare(plane->store, plane->keyholders[PN_PLANE_ARM], &plane->settings,
                                  data_dir, err);
    if (rc != PN_OK)
        return rc;
    list_audiences(plane);
    pn_gateway_caller_init(&plane->caller, plane->endpoints.gateway_url, ca_file);
    rc = make_outbound(plane, err);
    if (rc == PN_OK)
        rc = make_identity(plane, ca_file, err);
    if (rc == PN_OK)
        rc = make_endpoint(plane, data_dir, err);
    if (rc == PN_OK)
        rc = read_identity(plane, err);
    if (rc == PN_OK)
        rc = make_rotation(plane, broker, options->rotation_interval_s, err);
    if (rc == PN_OK)
        rc = make_arm(plane, broker, options, err);
    if (rc == PN_OK)
        rc = make_vault(plane, ca_file, err);
    if (rc != PN_OK)
        return rc;
    plane->resources = (struct pn_resource_plane){
        .store = plane->store,
        .verifier = pn_authority_verifier(plane->authority),
        .tenant_id = plane->settings.tenant_id,
        .subscription_id = plane->settings.subscription_id,
        .control_url = plane->endpoints.control_url,
        .audiences = plane->audiences,
        .outbound = &plane->outbound,
        .publisher = pn_feed_publisher(plane->feed),
    };
    rc = make_event_grid(plane, data_dir, err);
    if (rc == PN_OK)
        rc = make_events(plane, ca_file, options->expiry_days, err);
    if (rc != PN_OK)
        return rc;
    load_portal(plane);
    plane->routes = (struct pn_routes){
        .arm = plane->arm,
        .authority = plane->authority,
        .vault = plane->vault,
        .feed = plane->feed,
        .resources = &plane->resources,
        .event_grid = &plane->event_grid,
        .forecast = plane->forecast,
        .portal = plane->portal,
        .endpoint = &plane->endpoint,
        .vault_authority = plane->endpoints.vault_audience + strlen("https://"),
    };
    first = (struct pn_first_start){plane->store, &plane->services, plane->authority, plane->vault,
                                    data_dir};
    rc = pn_first_start_run(&first, &plane->settings, err);
    return rc == PN_OK ? pn_outbound_refresh_now(&plane->outbound, err) : rc;
}

static void forget_unused_keys(struct pn_plane *plane, enum pn_key_use use)
{
    struct pn_error err = {0};
    struct pn_key_id *keys = NULL;
    struct pn_buf ids;
    size_t count;

    pn_buf_init(&ids, IDS_BYTES_MAX);
    if (pn_keyholder_list(plane->keyholders[PN_PLANE_ARM], use, &ids, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "keys_not_listed", &err);
    count = ids.len / KEY_BYTES;
    keys = calloc(count + 1, sizeof(*keys));
    for (size_t i = 0; keys && i < count; i++)
        memcpy(keys[i].sha256, ids.ptr + i * KEY_BYTES, KEY_BYTES);
    if (keys)
        pn_rotation_forget_all_unused(plane->rotation, use, keys, count);
    free(keys);
    pn_buf_fini(&ids);
}

enum pn_rc pn_plane_start(struct pn_plane *plane, struct pn_error *err)
{
    enum pn_rc rc = pn_feed_start(plane->feed, plane->arm, err);

    if (rc == PN_OK)
        rc = pn_rotation_start(plane->rotation, err);
    if (rc == PN_OK)
        rc = pn_vault_start(plane->vault, err);
    if (rc == PN_OK)
        rc = pn_events_start(plane->events, err);
    if (rc == PN_OK)
        rc = pn_uses_start(plane->uses, err);
    if (rc == PN_OK)
        rc = pn_identity_tokens_start(plane->identity_tokens, plane->arm, err);
    if (rc == PN_OK) {
        forget_unused_keys(plane, PN_USE_CLIENT);
        forget_unused_keys(plane, PN_USE_SERVER);
    }
    return rc;
}

void pn_plane_fini(struct pn_plane *plane)
{
    /* Writers that wait for the gateway are let go first; the feed itself outlives its writers. */
    pn_feed_stop(plane->feed);
    pn_events_destroy(plane->events);
    pn_uses_destroy(plane->uses);
    pn_identity_tokens_destroy(plane->identity_tokens);
    pn_forecast_destroy(plane->forecast);
    pn_wipe_free_str(plane->webhook_text);
    pn_rotation_destroy(plane->rotation);
    pn_portal_destroy(plane->portal);
    pn_vault_destroy(plane->vault);
    pn_event_grid_fini(&plane->event_grid);
    pn_arm_destroy(plane->arm);
    pn_feed_destroy(plane->feed);
    pn_keyvault_destroy(plane->keyvault);
    pn_token_source_destroy(plane->tokens);
    pn_azure_destroy(plane->azure);
    pn_authority_destroy(plane->authority);
    pn_oidc_destroy(plane->oidc);
    pn_identity_endpoint_fini(&plane->endpoint);
    free(plane->service_id);
    pn_settings_fini(&plane->settings);
    pn_store_close(plane->store);
    for (size_t i = 0; i < PN_PLANE_KEYHOLDERS; i++)
        pn_keyholder_destroy(plane->keyholders[i]);
    json_decref(plane->outbound.tags);
    pn_endpoints_fini(&plane->endpoints);
}
