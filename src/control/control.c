/* SPDX-License-Identifier: Apache-2.0
 *
 * The control process. See control.h.
 *
 *   plane (rooms, first start) → sandbox → loop, listeners → threads → ready → serve → drain
 *
 * The sandbox comes before the first thread, because it holds for the threads made after it. The
 * vault has workers of its own: a request to the REST API may fetch a certificate from our own
 * vault, and must not wait for itself.
 */
#include "control/control.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "authority/authority.h"
#include "base/json.h"
#include "base/log.h"
#include "control/listeners.h"
#include "control/plane.h"
#include "control/server.h"
#include "control/wipe_alloc.h"
#include "loop/loop.h"
#include "sandbox/sandbox.h"
#include "signer/signer.h"
#include "tls/server.h"

#define DRAIN_LIMIT_MS    8000 /* of each listener; the supervisor waits 20 s */
#define ENDPOINT_DRAIN_MS 1000
#define ENDPOINT_WORKERS  2
#define READY_BYTES_MAX   8192
#define LINK_BYTES_MAX    1024

enum { CONTROL, VAULT, ENDPOINT, LISTENERS };

struct control {
    struct pn_broker *broker;
    const struct pn_control_options *options;
    struct pn_plane plane;
    struct pn_keyholder *keyholder; /* signs for our listeners */
    struct pn_signer *signer;
    struct pn_loop *loop;
    struct pn_watch broker_watch;
    struct pn_server *servers[LISTENERS];
    bool is_stopping;
};

static enum pn_rc make_tls(struct control *control, const char *name, struct pn_tls_server **tls,
                           struct pn_error *err)
{
    struct pn_listener listener;
    struct pn_slice chain[2];
    struct pn_tls_certificate *certificate = NULL;
    struct pn_tls_certificate_spec spec = {
        .name = name, .generation = 1, .use = PN_USE_MANAGEMENT, .chain = chain, .chain_count = 2};
    struct pn_tls_host host = {0};
    struct pn_tls_server_spec server = {
        .hosts = &host, .host_count = 1, .alpn = PN_ALPN_HTTP11, .cleanse_plaintext = true};
    enum pn_rc rc = pn_listener_read(&control->plane.settings, name, &listener, err);

    if (rc != PN_OK)
        return rc;
    chain[0] = pn_buf_slice(&listener.chain[0]);
    chain[1] = pn_buf_slice(&listener.chain[1]);
    spec.key = listener.key;
    rc = pn_tls_certificate_create(control->signer, &spec, &certificate, err);
    host.certificate = certificate;
    if (rc == PN_OK)
        rc = pn_tls_server_create(control->signer, &server, tls, err);
    pn_tls_certificate_unref(certificate);
    pn_listener_fini(&listener);
    return rc;
}

static enum pn_rc make_server(struct control *control, int which, struct pn_error *err)
{
    static const char *const names[LISTENERS] = {"control", "vault", "identity-endpoint"};
    static const pn_server_handler_fn handlers[LISTENERS] = {
        pn_routes_handle_control, pn_routes_handle_vault, pn_routes_handle_endpoint};
    int fds[PN_SERVER_LISTENERS_MAX];
    struct pn_tls_server *tls = NULL;
    struct pn_server_spec spec = {
        .name = names[which],
        .listen_fds = fds,
        .handler = handlers[which],
        .ctx = &control->plane.routes,
        .worker_count =
            control->options->workers > 0 ? control->options->workers : PN_CONTROL_WORKERS,
    };
    enum pn_rc rc;

    while (spec.listen_count < PN_SERVER_LISTENERS_MAX) {
        fds[spec.listen_count] = pn_listen_fd(names[which], spec.listen_count);
        if (fds[spec.listen_count] < 0)
            break;
        spec.listen_count++;
    }
    if (which == ENDPOINT && spec.listen_count == 0)
        return PN_OK;
    if (which == ENDPOINT)
        spec.worker_count = ENDPOINT_WORKERS;
    if (spec.listen_count == 0)
        return pn_error_set(err, PN_INVALID, "no_listener",
                            "the supervisor gave no listening socket for %s", names[which]);
    rc = which == ENDPOINT ? PN_OK : make_tls(control, names[which], &tls, err);
    spec.tls = tls;
    if (rc == PN_OK)
        rc = pn_server_create(control->loop, &spec, &control->servers[which], err);
    if (tls)
        pn_tls_server_unref(tls);
    return rc;
}

static void on_vault_drained(void *ctx)
{
    struct control *control = ctx;

    pn_loop_stop(control->loop);
}

/* The vault's listener goes last: what control still answers may be a fetch from it. */
static void on_control_drained(void *ctx)
{
    struct control *control = ctx;

    pn_keyvault_stop(control->plane.keyvault);
    pn_server_drain(control->servers[VAULT], DRAIN_LIMIT_MS, on_vault_drained, control);
}

static void on_endpoint_drained(void *ctx)
{
    struct control *control = ctx;

    pn_server_drain(control->servers[CONTROL], DRAIN_LIMIT_MS, on_control_drained, control);
}

static void stop(struct control *control, const char *cause)
{
    if (control->is_stopping)
        return;
    control->is_stopping = true;
    pn_log(PN_LOG_INFO, "draining", "cause", PN_S(cause), NULL);
    if (control->servers[ENDPOINT])
        pn_server_drain(control->servers[ENDPOINT], ENDPOINT_DRAIN_MS, on_endpoint_drained,
                        control);
    else
        on_endpoint_drained(control);
}

static void on_signal(void *ctx, int signal_number)
{
    stop(ctx, signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* Nobody connects to control: what comes here is the supervisor's end, or a new log level. */
static void on_broker(struct pn_watch *watch, unsigned events)
{
    struct control *control = watch->ctx;
    char service[32];
    enum pn_role asker;
    int fd = -1;

    (void)events;
    if (pn_broker_accept(control->broker, service, &asker, &fd) == PN_EOF) {
        pn_loop_unwatch(watch);
        stop(control, "the supervisor is gone");
    }
}

static enum pn_rc enter_sandbox(const char *data_dir, const struct pn_azure *azure,
                                struct pn_error *err)
{
    char store[PATH_MAX];
    char ca[PATH_MAX];
    /* Not the data folder itself: the keyholder's folder is in it. */
    struct pn_sandbox_path paths[2 + PN_AZURE_FOLDERS_MAX] = {{store, true, true},
                                                              {ca, false, true}};
    size_t count = 2;

    for (size_t i = 0; i < PN_AZURE_FOLDERS_MAX; i++) {
        const char *folder = pn_azure_folder(azure, i);
        size_t len = folder ? strlen(folder) : 0;

        if (!folder)
            continue;
        if (strncmp(data_dir, folder, len) == 0 && (data_dir[len] == '/' || data_dir[len] == '\0'))
            return pn_error_set(err, PN_INVALID, "token_source",
                                "%s holds the data folder: put the file into a folder of its own",
                                folder);
        paths[count++] = (struct pn_sandbox_path){folder, false, false};
    }
    snprintf(store, sizeof(store), "%s/store", data_dir);
    snprintf(ca, sizeof(ca), "%s/ca.pem", data_dir);
    return pn_sandbox_enter(PN_SANDBOX_CONTROL, paths, count, err);
}

static enum pn_rc make_loop(struct control *control, struct pn_error *err)
{
    sigset_t signals;
    enum pn_rc rc = pn_loop_create(&control->loop, err);

    if (rc != PN_OK)
        return rc;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    rc = pn_loop_signals(control->loop, &signals, on_signal, control, err);
    if (rc == PN_OK)
        rc = pn_loop_watch(control->loop, &control->broker_watch,
                           pn_broker_incoming_fd(control->broker), PN_LOOP_READ, PN_WATCH_LEVEL,
                           on_broker, control);
    return rc;
}

static enum pn_rc make_signer(struct control *control, struct pn_error *err)
{
    enum pn_rc rc = pn_keyholder_create(control->broker, PN_SERVICE_SIGN, &control->keyholder, err);

    if (rc == PN_OK)
        rc = pn_signer_create(&control->signer, err);
    if (rc == PN_OK)
        pn_signer_bind_thread(control->keyholder);
    return rc;
}

/* For the supervisor to print, not for ready.json: the administrator's first way into the portal.
 */
static void add_sign_in_link(struct control *control, json_t *facts)
{
    struct pn_buf link;
    struct pn_error err = {0};

    pn_buf_init_secret(&link, LINK_BYTES_MAX);
    if (pn_authority_sign_in_link(control->plane.authority, control->plane.settings.admin_client_id,
                                  NULL, &link, &err) == PN_OK)
        json_object_set_new(facts, "signInUrl", pn_json_from_slice(pn_buf_slice(&link)));
    else
        pn_log_error(PN_LOG_WARN, "no_sign_in_link", &err);
    pn_buf_fini(&link);
}

static enum pn_rc tell_ready(struct control *control, struct pn_error *err)
{
    const struct pn_settings *settings = &control->plane.settings;
    char ca[PATH_MAX];
    char secret[PATH_MAX];
    struct pn_buf text;
    json_t *facts;
    enum pn_rc rc;

    snprintf(ca, sizeof(ca), "%s/ca.pem", control->options->data_dir);
    snprintf(secret, sizeof(secret), "%s/admin.secret", control->options->data_dir);
    facts =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "caFile", ca, "tenantId",
                  settings->tenant_id, "subscriptionId", settings->subscription_id, "resourceGroup",
                  settings->resource_group, "serviceName", settings->service_name, "clientId",
                  settings->admin_client_id, "clientSecretFile", secret);
    if (facts && control->plane.portal)
        add_sign_in_link(control, facts);
    pn_buf_init_secret(&text, READY_BYTES_MAX);
    rc = facts ? pn_json_dump(facts, &text) : PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_broker_ready(control->broker, pn_buf_slice(&text));
    if (rc != PN_OK)
        pn_error_set(err, rc, "not_announced",
                     "the supervisor could not be told that control is ready");
    pn_buf_fini(&text);
    json_decref(facts);
    return rc;
}

/* The gateway normally follows within milliseconds. When it does not, control is of use all the
 * same: /readyz and the gateway's own page tell. */
static void await_gateway(struct control *control)
{
    struct pn_publisher publisher = pn_feed_publisher(control->plane.feed);
    struct pn_error err = {0};

    if (publisher.publish(publisher.ctx, pn_store_revision(control->plane.store), &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "gateway_not_current", &err);
}

static enum pn_rc serve(struct control *control, struct pn_error *err)
{
    enum pn_rc rc = make_loop(control, err);

    if (rc == PN_OK)
        rc = make_signer(control, err);
    if (rc == PN_OK)
        rc = pn_plane_start(&control->plane, err);
    for (int i = 0; i < LISTENERS && rc == PN_OK; i++)
        rc = make_server(control, i, err);
    if (rc != PN_OK)
        return rc;
    await_gateway(control);
    rc = tell_ready(control, err);
    return rc == PN_OK ? pn_loop_run(control->loop, err) : rc;
}

enum pn_rc pn_control_run(struct pn_broker *broker, const struct pn_control_options *options,
                          struct pn_error *err)
{
    struct control control = {.broker = broker, .options = options};
    enum pn_rc rc = pn_plane_init(&control.plane, broker, options, err);

    if (!pn_wipe_alloc_is_active())
        pn_log(PN_LOG_WARN, "freed_memory_is_not_wiped", "cause", PN_S("sanitized build"), NULL);
    if (rc == PN_OK)
        rc = enter_sandbox(options->data_dir, control.plane.azure, err);
    if (rc == PN_OK)
        rc = serve(&control, err);
    /* Destroying a server turns the loop once more: nothing may start a drain in that turn. */
    control.is_stopping = true;
    pn_feed_stop(control.plane.feed);
    for (int i = 0; i < LISTENERS; i++)
        pn_server_destroy(control.servers[i]);
    pn_plane_fini(&control.plane);
    if (control.loop)
        pn_loop_unwatch(&control.broker_watch);
    pn_signer_bind_thread(NULL);
    pn_signer_destroy(control.signer);
    pn_keyholder_destroy(control.keyholder);
    pn_loop_destroy(control.loop);
    return rc;
}
