/* SPDX-License-Identifier: Apache-2.0
 *
 * How …/networkstatus tries what the gateway connects to: by name, TCP and TLS as a request would,
 * and without a request; some at a time.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arm/network_status.h"
#include "arm/probe_internal.h"
#include "base/clock.h"
#include "http/uri.h"

#define AT_A_TIME      16
#define ASK_TIMEOUT_MS 3000
#define ASK_GRACE_MS   2000

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

json_t *arm_network_question(struct pn_slice url, const json_t *properties, bool *is_tls,
                             char shown[PN_NETWORK_URL_TEXT])
{
    struct pn_error err = {0};
    struct pn_uri uri = {0};
    bool is_v6;

    if (pn_uri_parse(url, &uri, &err) != PN_OK || uri.host.len == 0)
        return NULL;
    *is_tls = pn_slice_case_eq_str(uri.scheme, "https") || pn_slice_case_eq_str(uri.scheme, "wss");
    is_v6 = pn_slice_find(uri.host, ':') < uri.host.len;
    (void)snprintf(shown, PN_NETWORK_URL_TEXT, "%.*s://%s%.*s%s:%d",
                   PN_FMT(pn_slice_sub(uri.scheme, 0, 8)), is_v6 ? "[" : "",
                   PN_FMT(pn_slice_sub(uri.host, 0, 255)), is_v6 ? "]" : "", uri.port);
    return json_pack("{s:s%, s:i, s:b, s:i, s:O*, s:O*}", "host", uri.host.ptr, uri.host.len,
                     "port", uri.port, "plain", !*is_tls, "timeoutMs", ASK_TIMEOUT_MS, "tls",
                     json_object_get(properties, "tls"), "proxy",
                     json_object_get(properties, "proxy"));
}

/* --- asking --- */

struct task {
    const struct pn_arm_services *services;
    struct arm_network_question *question;
};

/* NULL: it is broken. */
static json_t *parsed(struct pn_slice text)
{
    struct pn_error err = {0};
    json_t *json = NULL;

    return pn_json_parse(text, &json, &err) == PN_OK ? json : NULL;
}

static void *ask(void *ctx)
{
    const struct task *task = ctx;
    struct arm_network_question *question = task->question;
    struct pn_error err = {0};
    struct pn_buf answer;
    char *text = json_dumps(question->json, JSON_COMPACT);

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    question->why = "the gateway could not be asked";
    if (text && task->services->probe(task->services->ctx, pn_slice_str(text),
                                      ASK_TIMEOUT_MS + ASK_GRACE_MS, &answer, &err) == PN_OK)
        question->answer = parsed(pn_buf_slice(&answer));
    free(text);
    pn_buf_fini(&answer);
    return NULL;
}

static void ask_some(const struct pn_arm_services *services, struct arm_network_question *questions,
                     size_t count)
{
    pthread_t threads[AT_A_TIME];
    bool has_thread[AT_A_TIME];
    struct task tasks[AT_A_TIME];

    for (size_t i = 0; i < count; i++) {
        tasks[i] = (struct task){services, &questions[i]};
        has_thread[i] = questions[i].json && pthread_create(&threads[i], NULL, ask, &tasks[i]) == 0;
        if (questions[i].json && !has_thread[i])
            (void)ask(&tasks[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (has_thread[i])
            (void)pthread_join(threads[i], NULL);
    }
}

/* --- what came of it --- */

static bool tell(struct arm_call *call, const struct arm_network_question *question, json_t *list)
{
    const char *cause = pn_json_str(question->answer, "cause");
    const char *sentence = pn_json_str(question->answer, "sentence");
    bool is_asked_for = question->bare_backend && cause &&
                        strcmp(cause, "tls_client_certificate_required") == 0 &&
                        arm_network_is_of_a_policy(call, question->bare_backend);
    bool is_good = question->answer && (!cause || !*cause || is_asked_for);
    char now[PN_TIME_TEXT];
    json_t *entry;

    pn_time_iso8601(pn_clock_unix_s(), now);
    if (!question->answer) {
        cause = question->code ? question->code : "internal";
        sentence = question->why;
    }
    entry =
        json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:O}", "name", question->url, "resourceType",
                  question->type, "isOptional", 1, "status", is_good ? "success" : "failure",
                  "error", is_good || !sentence ? "" : sentence, "lastUpdated", now,
                  "lastStatusChange", now, "postern", question->more);
    if (entry && is_asked_for)
        (void)json_object_set_new(
            question->more, "certificateFrom",
            json_string("the policies that send to it: it demands one, and names none itself"));
    if (entry && !is_good) {
        json_t *more = json_object_get(entry, "postern");

        (void)json_object_set_new(more, "layer", json_string(arm_network_layer_of_cause(cause)));
        (void)json_object_set_new(more, "code", json_string(cause));
    }
    return json_array_append_new(list, entry) == 0;
}

static void question_fini(struct arm_network_question *question)
{
    json_decref(question->json);
    json_decref(question->more);
    json_decref(question->answer);
}

bool arm_network_ask(struct arm_call *call, struct arm_network_question *questions, size_t count,
                     json_t *list)
{
    bool is_fine = true;

    for (size_t at = 0; at < count; at += AT_A_TIME)
        ask_some(&call->arm->config.services, questions + at,
                 count - at < AT_A_TIME ? count - at : AT_A_TIME);
    for (size_t i = 0; i < count; i++) {
        is_fine = is_fine && tell(call, &questions[i], list);
        question_fini(&questions[i]);
    }
    return is_fine;
}
