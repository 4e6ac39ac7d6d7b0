/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends in …/networkstatus: each is tried now, by name, TCP and TLS as a request would, with
 * its certificates and without a request.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arm/network_status.h"
#include "arm/probe_internal.h"
#include "base/clock.h"
#include "http/uri.h"

#define AT_A_TIME      8
#define ASK_TIMEOUT_MS 3000
#define ASK_GRACE_MS   2000

struct question {
    const struct pn_arm_services *services;
    const char *name; /* of the backend, in the store's list */
    char url[PN_NETWORK_URL_TEXT];
    json_t *json;    /* NULL: it cannot be asked */
    json_t *answer;  /* NULL: none */
    const char *why; /* there is none; static */
};

const char *arm_network_layer_of_cause(const char *cause)
{
    static const struct {
        const char *prefix, *layer;
    } layers[] = {
        {"dns_", "dns"},
        {"connect_", "tcp"},
        {"network_rule", "rule"},
        {"address_guarded", "rule"},
        {"tls_client_certificate", "identity"},
        {"client_certificate", "identity"},
        {"certificate_", "identity"},
        {"tls_", "tls"},
        {"no_trusted_ca", "tls"},
        {"http2_", "tls"},
        {"proxy_", "proxy"},
        {"keyholder_", "keyholder"},
    };

    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
        if (strncmp(cause, layers[i].prefix, strlen(layers[i].prefix)) == 0)
            return layers[i].layer;
    }
    return "internal";
}

/* --- the question --- */

static bool add_certificate(const struct pn_store_item *item, json_t *list)
{
    return json_array_append_new(
               list, arm_probe_certificate(pn_json_str(item->body, "name"),
                                           json_object_get(item->body, "internal"))) == 0;
}

static bool has_thumbprint(const struct pn_store_item *item, const json_t *thumbprints)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const json_t *text;
    size_t i;

    json_array_foreach(thumbprints, i, text)
    {
        struct pn_slice wanted = pn_slice(json_string_value(text), json_string_length(text));
        char thumbprint[PN_THUMBPRINT_TEXT];

        if (pn_thumbprint_parse(wanted, thumbprint) &&
            pn_slice_case_eq_str(pn_json_slice(properties, "thumbprint"), thumbprint))
            return true;
    }
    return false;
}

static void add_by_name(struct arm_call *call, const char *prefix, const json_t *names,
                        json_t *list)
{
    for (size_t i = 0; i < json_array_size(names) && i < PN_CERTIFICATE_REFS_MAX; i++) {
        const char *id = pn_arena_printf(call->arena, "%s%s", prefix,
                                         json_string_value(json_array_get(names, i)));
        struct pn_store_item item = {0};
        struct pn_error err = {0};

        if (id && pn_store_get(call->arm->config.store, id, &item, &err) == PN_OK)
            (void)add_certificate(&item, list);
        pn_store_item_fini(&item);
    }
}

static void add_by_thumbprint(struct arm_call *call, const char *prefix, const json_t *thumbprints,
                              json_t *list)
{
    struct pn_store_list all = {0};
    struct pn_error err = {0};

    if (pn_store_list(call->arm->config.store, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type,
                      &all, &err) != PN_OK)
        return;
    for (size_t i = 0; i < all.count && json_array_size(list) < PN_CERTIFICATE_REFS_MAX; i++) {
        if (has_thumbprint(&all.items[i], thumbprints))
            (void)add_certificate(&all.items[i], list);
    }
    pn_store_list_fini(&all);
}

/* Those that the backend shows: by name, else by thumbprint; of its own workspace or service. */
static json_t *certificates_of(struct arm_call *call, const struct pn_store_item *backend,
                               const json_t *properties)
{
    const json_t *names =
        json_object_get(json_object_get(backend->body, "internal"), "certificateIds");
    const json_t *thumbprints =
        json_object_get(json_object_get(properties, "credentials"), "certificate");
    const char *mark = strcasestr(backend->id, "/backends/");
    const char *prefix = mark ? pn_arena_printf(call->arena, "%.*s/certificates/",
                                                (int)(mark - backend->id), backend->id)
                              : NULL;
    json_t *list = json_array();

    if (list && prefix && json_array_size(names) > 0)
        add_by_name(call, prefix, names, list);
    else if (list && prefix && json_array_size(thumbprints) > 0)
        add_by_thumbprint(call, prefix, thumbprints, list);
    return list;
}

static void make_question(struct arm_call *call, const struct pn_store_item *backend,
                          struct question *question)
{
    struct pn_error err = {0};
    struct pn_uri uri = {0};
    json_t *properties = NULL;

    question->services = &call->arm->config.services;
    question->name = strrchr(backend->id, '/') + 1;
    question->why = "the backend's url cannot be tried";
    if (arm_backend_open(call->arm, backend, &properties, &err) != PN_OK)
        return;
    if (pn_uri_parse(pn_json_slice(properties, "url"), &uri, &err) == PN_OK && uri.host.len > 0) {
        bool is_tls =
            pn_slice_case_eq_str(uri.scheme, "https") || pn_slice_case_eq_str(uri.scheme, "wss");
        bool is_v6 = pn_slice_find(uri.host, ':') < uri.host.len;

        (void)snprintf(question->url, sizeof(question->url), "%.*s://%s%.*s%s:%d",
                       PN_FMT(pn_slice_sub(uri.scheme, 0, 8)), is_v6 ? "[" : "",
                       PN_FMT(pn_slice_sub(uri.host, 0, 255)), is_v6 ? "]" : "", uri.port);
        question->json = json_pack("{s:s%, s:i, s:b, s:i, s:O*, s:O*}", "host", uri.host.ptr,
                                   uri.host.len, "port", uri.port, "plain", !is_tls, "timeoutMs",
                                   ASK_TIMEOUT_MS, "tls", json_object_get(properties, "tls"),
                                   "proxy", json_object_get(properties, "proxy"));
        if (question->json && is_tls)
            (void)json_object_set_new(question->json, "certificates",
                                      certificates_of(call, backend, properties));
    }
    json_decref(properties);
}

/* --- asking --- */

/* NULL: it is broken. */
static json_t *parsed(struct pn_slice text)
{
    struct pn_error err = {0};
    json_t *json = NULL;

    return pn_json_parse(text, &json, &err) == PN_OK ? json : NULL;
}

static void *ask(void *ctx)
{
    struct question *question = ctx;
    const struct pn_arm_services *services = question->services;
    struct pn_error err = {0};
    struct pn_buf answer;
    char *text = question->json ? json_dumps(question->json, JSON_COMPACT) : NULL;

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    if (text) {
        question->why = "the gateway could not be asked";
        if (services->probe(services->ctx, pn_slice_str(text), ASK_TIMEOUT_MS + ASK_GRACE_MS,
                            &answer, &err) == PN_OK)
            question->answer = parsed(pn_buf_slice(&answer));
    }
    free(text);
    pn_buf_fini(&answer);
    return NULL;
}

static void ask_some(struct question *questions, size_t count)
{
    pthread_t threads[AT_A_TIME];
    bool has_thread[AT_A_TIME];

    for (size_t i = 0; i < count; i++) {
        has_thread[i] = pthread_create(&threads[i], NULL, ask, &questions[i]) == 0;
        if (!has_thread[i])
            (void)ask(&questions[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (has_thread[i])
            (void)pthread_join(threads[i], NULL);
    }
}

/* --- what came of it --- */

static bool tell(json_t *list, const struct question *question)
{
    const char *cause = pn_json_str(question->answer, "cause");
    const char *sentence = pn_json_str(question->answer, "sentence");
    bool is_good = question->answer && (!cause || !*cause);
    char now[PN_TIME_TEXT];
    json_t *entry;

    pn_time_iso8601(pn_clock_unix_s(), now);
    if (!question->answer)
        cause = "internal", sentence = question->why;
    entry = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:{s:s}}", "name",
                      question->url[0] ? question->url : question->name, "resourceType", "Backend",
                      "isOptional", 1, "status", is_good ? "success" : "failure", "error",
                      is_good || !sentence ? "" : sentence, "lastUpdated", now, "lastStatusChange",
                      now, "postern", "backend", question->name);
    if (entry && !is_good) {
        json_t *more = json_object_get(entry, "postern");

        (void)json_object_set_new(more, "layer", json_string(arm_network_layer_of_cause(cause)));
        (void)json_object_set_new(more, "code", json_string(cause));
    }
    return json_array_append_new(list, entry) == 0;
}

bool arm_network_add_backends(struct arm_call *call, json_t *list)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/", call->service_id);
    struct question questions[AT_A_TIME];
    struct pn_store_list backends = {0};
    struct pn_error err = {0};
    size_t tried = 0;
    bool is_fine =
        prefix && pn_store_list(call->arm->config.store, prefix,
                                pn_type_facts(PN_TYPE_BACKEND)->type, &backends, &err) == PN_OK;

    for (size_t at = 0; is_fine && at < backends.count && tried < PN_NETWORK_BACKENDS_MAX;) {
        size_t count = 0;

        memset(questions, 0, sizeof(questions));
        for (; at < backends.count && count < AT_A_TIME; at++) {
            const json_t *properties = json_object_get(backends.items[at].body, "properties");

            if (pn_slice_case_eq_str(pn_json_slice(properties, "type"), "Pool"))
                continue; /* it is its members */
            make_question(call, &backends.items[at], &questions[count++]);
        }
        ask_some(questions, count);
        for (size_t i = 0; i < count; i++) {
            is_fine = is_fine && tell(list, &questions[i]);
            json_decref(questions[i].json);
            json_decref(questions[i].answer);
        }
        tried += count;
    }
    pn_store_list_fini(&backends);
    return is_fine;
}
