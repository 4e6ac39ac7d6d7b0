/* SPDX-License-Identifier: Apache-2.0
 *
 * The pre-flight of a generation: every backend that would be shown it is shown it now, by a
 * handshake without a request. Who that is, the stored references tell: backends that name the
 * certificate, and what stands behind the policies that name it. They are asked a question that
 * means nothing along with it (ipc/probe.h, "ask"), so that an answer ends the wait for a late
 * refusal; one that hangs up on that question does so with every certificate.
 *
 * A backend that says by an alert what it does not like has refused. One that merely hangs up when
 * it has seen a certificate, or answers as one does who misses something (400, 401, 403, 495, 496),
 * may have done so for any reason: it is asked again, and then shown the generation that serves
 * now. If it takes that one, or answers it otherwise, it has refused the other. One that chose
 * HTTP/2 and is content is asked over HTTP/1.1 as well, if it speaks that: requests go by it,
 * unless a policy says otherwise.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "arm/preflight_internal.h"
#include "base/log.h"
#include "ipc/probe.h"
#include "rotation/generations.h"

#define AT_A_TIME      8
#define ASK_TIMEOUT_MS 4000
#define ASK_GRACE_MS   3000

/* --- asking --- */

struct task {
    struct preflight *flight;
    const struct preflight_target *target;
    const json_t *certificate;
    json_t *answer;
    enum pn_rc rc;
};

/** The question with this certificate, in its place among others. NULL: no memory. */
static json_t *ask_for(const struct preflight_target *target, const json_t *certificate)
{
    json_t *question = json_copy(target->question);
    json_t *list = target->others ? json_copy(target->others) : json_pack("[n]");
    bool failed = !question || !list;

    for (size_t i = 0; !failed && i < json_array_size(list); i++) {
        if (json_is_null(json_array_get(list, i)))
            failed = json_array_set(list, i, (json_t *)(uintptr_t)certificate) != 0;
    }
    failed =
        failed || json_object_set(question, "certificates", list) != 0 ||
        json_object_set_new(question, "timeoutMs", json_integer(ASK_TIMEOUT_MS)) != 0 ||
        json_object_set_new(question, "ask", json_true()) != 0 ||
        (target->speaks_h1_too && json_object_set_new(question, "http", json_string("1")) != 0);
    json_decref(list);
    if (!failed)
        return question;
    json_decref(question);
    return NULL;
}

static void *ask_one(void *ctx)
{
    struct task *task = ctx;
    const struct pn_arm_services *services = &task->flight->arm->config.services;
    const struct preflight_target *target = task->target;
    struct pn_error err = {0};
    struct pn_buf answer;
    json_t *question = ask_for(target, task->certificate);
    char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    task->rc = text ? services->probe(services->ctx, pn_slice_str(text),
                                      ASK_TIMEOUT_MS + ASK_GRACE_MS, &answer, &err)
                    : PN_NOMEM;
    if (task->rc == PN_OK)
        task->rc = pn_json_parse(pn_buf_slice(&answer), &task->answer, &err);
    free(text);
    json_decref(question);
    pn_buf_fini(&answer);
    return NULL;
}

/** Asks up to AT_A_TIME at once, the last one on this thread. PN_UNAVAILABLE when one could not be
 * asked because the gateway is away. */
static enum pn_rc ask_some(struct task tasks[AT_A_TIME], size_t count, struct pn_error *err)
{
    pthread_t threads[AT_A_TIME];
    bool has_thread[AT_A_TIME];
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < count; i++) {
        has_thread[i] = i + 1 < count && pthread_create(&threads[i], NULL, ask_one, &tasks[i]) == 0;
        if (!has_thread[i])
            (void)ask_one(&tasks[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (has_thread[i])
            (void)pthread_join(threads[i], NULL);
        if (tasks[i].rc != PN_OK)
            rc = pn_error_set(err, PN_UNAVAILABLE, "gateway_away",
                              "the gateway could not be asked to try the certificate");
    }
    return rc;
}

/** What becomes of an answer. Takes it. */
typedef void (*judge_fn)(struct preflight_target *target, json_t *answer);

/** Whom to ask. */
typedef bool (*choose_fn)(const struct preflight_target *target);

static bool is_any(const struct preflight_target *target)
{
    return target != NULL;
}

static bool is_in_doubt(const struct preflight_target *target)
{
    return target->is_doubtful;
}

static bool is_over_h1(const struct preflight_target *target)
{
    return target->speaks_h1_too;
}

/** Shows `certificate` to the targets that are chosen. */
static enum pn_rc ask_all(struct preflight *flight, const json_t *certificate, choose_fn choose,
                          judge_fn judge, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t at = 0; at < flight->count && rc == PN_OK;) {
        struct task tasks[AT_A_TIME];
        struct preflight_target *asked[AT_A_TIME];
        size_t count = 0;

        for (; at < flight->count && count < AT_A_TIME; at++) {
            if (!choose(&flight->targets[at]))
                continue;
            asked[count] = &flight->targets[at];
            tasks[count] =
                (struct task){.flight = flight, .target = asked[count], .certificate = certificate};
            count++;
        }
        rc = ask_some(tasks, count, err);
        for (size_t i = 0; i < count; i++)
            judge(asked[i], tasks[i].answer);
    }
    return rc;
}

/* --- the verdict --- */

/** What only our certificate can be the reason of. A backend that cannot be reached refuses
 * nothing. */
static bool is_refusal(const char *cause)
{
    static const char *const causes[] = {"tls_client_certificate_refused",
                                         "tls_client_certificate_required",
                                         "client_certificate_unusable",
                                         "client_certificate_none_fits",
                                         "client_certificate_expired",
                                         "client_certificate_not_yet_valid",
                                         "tls_alert",
                                         "keyholder_refused"};

    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (strcmp(cause, causes[i]) == 0)
            return true;
    }
    return false;
}

/** Answered as one does who misses something of the caller's. */
static bool is_complaint(const json_t *answer)
{
    static const int statuses[] = {400, 401, 403, 495, 496};
    int64_t status = pn_json_int(answer, "answerStatus", 0);

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (status == statuses[i])
            return true;
    }
    return false;
}

/** It has seen a certificate, or asked for one, and then something went wrong. */
static bool is_doubt(const json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");

    return pn_json_bool(answer, "certificateRequested", false) &&
           ((cause && *cause) || pn_json_bool(answer, "endedEarly", false) || is_complaint(answer));
}

/** Of several another one was chosen: whatever came of it, this one was not shown. */
static bool is_of_another(const struct preflight_target *target, const json_t *answer)
{
    const char *sent = pn_json_str(json_object_get(answer, "sent"), "name");
    const json_t *other;
    size_t i;

    if (!sent || !target->others)
        return false;
    json_array_foreach(target->others, i, other)
    {
        const char *name = pn_json_str(other, "name");

        if (name && strcasecmp(name, sent) == 0)
            return true;
    }
    return false;
}

static void on_shown(struct preflight_target *target, json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");
    bool is_others = is_of_another(target, answer);

    json_decref(target->answer);
    target->answer = answer;
    target->is_refused = cause && is_refusal(cause) && !is_others;
    target->is_doubtful = !target->is_refused && !is_others && is_doubt(answer);
}

/** The same backend and the generation that works: whose fault it was. */
static void on_reference_shown(struct preflight_target *target, json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");
    bool is_well = cause && !*cause && !pn_json_bool(answer, "endedEarly", false);
    const json_t *shown = target->answer;

    target->former_status = (int)pn_json_int(answer, "answerStatus", 0);
    if (is_complaint(shown) && is_well) /* only another answer tells the two apart */
        target->is_refused = target->former_status != 0 &&
                             (pn_json_int(shown, "answerStatus", 0) != target->former_status ||
                              (pn_json_bool(shown, "answerBlames", false) &&
                               !pn_json_bool(answer, "answerBlames", false))) &&
                             !pn_json_bool(answer, "answerBlames", false);
    else
        target->is_refused = is_well;
    json_decref(answer);
}

/** Over HTTP/1.1 where HTTP/2 was chosen. One that does not speak it stays what it was. */
static void on_shown_over_h1(struct preflight_target *target, json_t *answer)
{
    if (pn_json_int(answer, "answerStatus", 0) != 0)
        on_shown(target, answer);
    else
        json_decref(answer);
    target->speaks_h1_too = is_complaint(target->answer);
}

static enum pn_rc ask_over_h1(struct preflight *flight, struct pn_error *err)
{
    bool has_any = false;
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < flight->count; i++) {
        struct preflight_target *target = &flight->targets[i];
        const char *alpn = pn_json_str(target->answer, "alpn");

        target->speaks_h1_too = !target->is_refused && !target->is_doubtful && alpn &&
                                strcmp(alpn, "h2") == 0 &&
                                pn_json_bool(target->answer, "certificateRequested", false);
        has_any = has_any || target->speaks_h1_too;
    }
    if (has_any)
        rc = ask_all(flight, flight->certificate, is_over_h1, on_shown_over_h1, err);
    return rc;
}

static enum pn_rc ask_everybody(struct preflight *flight, struct pn_error *err)
{
    enum pn_rc rc = ask_all(flight, flight->certificate, is_any, on_shown, err);

    if (rc == PN_OK && flight->reference)
        rc = ask_over_h1(flight, err);
    if (rc == PN_OK && flight->reference)
        rc = ask_all(flight, flight->certificate, is_in_doubt, on_shown, err);
    if (rc == PN_OK && flight->reference)
        rc = ask_all(flight, flight->reference, is_in_doubt, on_reference_shown, err);
    return rc;
}

static enum pn_rc judge(const struct preflight *flight, json_t *verdicts, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < flight->count; i++) {
        const struct preflight_target *target = &flight->targets[i];
        const char *cause = pn_json_str(target->answer, "cause");
        const char *sentence = pn_json_str(target->answer, "sentence");
        bool is_refused = target->is_refused;
        char words[120];

        if (is_refused && is_complaint(target->answer)) {
            cause = "tls_client_certificate_refused";
            (void)snprintf(words, sizeof(words),
                           "It answers %d to this certificate, and %d to the one that serves now.",
                           (int)pn_json_int(target->answer, "answerStatus", 0),
                           target->former_status);
            sentence = words;
        } else if (is_refused && target->is_doubtful) {
            cause = cause && *cause ? cause : "connection_closed";
            sentence = "It hangs up when it has seen this certificate, and takes the one that "
                       "serves now.";
        }

        (void)json_array_append_new(
            verdicts, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "user", target->user, "host",
                                target->host, "port", (int)target->port, "outcome",
                                is_refused        ? "refused"
                                : cause && *cause ? "notReached"
                                                  : "accepted",
                                "cause", cause ? cause : "", "message", sentence ? sentence : ""));
        if (is_refused && rc == PN_OK)
            rc = pn_error_set(err, PN_DENIED, cause, "%s at %s:%u refuses it: %.300s",
                              strrchr(target->user, '/') + 1, target->host, target->port,
                              sentence ? sentence : "");
    }
    if (flight->is_cut)
        (void)json_array_append_new(verdicts,
                                    json_pack("{s:s, s:s}", "outcome", "notAsked", "message",
                                              "more backends use the certificate than are asked"));
    return rc;
}

static json_t *certificate_json(const char *certificate_id, const json_t *internal)
{
    return arm_probe_certificate(strrchr(certificate_id, '/') + 1, internal);
}

/** The generation that works beside the one that is shown: the current one, or the one before. */
static json_t *reference_json(const char *certificate_id, const json_t *body, const json_t *shown)
{
    const json_t *internal = json_object_get(body, "internal");

    if (json_equal(json_object_get(internal, "chain"), json_object_get(shown, "chain")))
        internal = json_object_get(pn_generations_find(body, "draining"), "internal");
    if (!json_object_get(internal, "chain"))
        return NULL;
    return certificate_json(certificate_id, internal);
}

/* The thumbprint reference of the stored certificate: policies may name it so. */
static enum pn_rc add_all_users(struct preflight *flight, const char *certificate_id,
                                const json_t *shown, struct pn_error *err)
{
    struct pn_store_item item = {0};
    const char *thumbprint, *reference;
    enum pn_rc rc = arm_preflight_add_users(flight, certificate_id, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(flight->txn, certificate_id, &item, err);
    if (rc != PN_OK)
        return rc;
    thumbprint = pn_json_str(json_object_get(item.body, "properties"), "thumbprint");
    reference = thumbprint ? pn_arena_printf(flight->arena, "%s/thumbprints/%s", flight->scope_id,
                                             thumbprint)
                           : NULL;
    if (reference)
        rc = arm_preflight_add_users(flight, reference, err);
    flight->reference = reference_json(certificate_id, item.body, shown);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc pn_arm_preflight(void *ctx, const char *certificate_id, const json_t *internal,
                            json_t **verdicts, struct pn_error *err)
{
    struct preflight *flight = calloc(1, sizeof(*flight));
    const char *suffix = strcasestr(certificate_id, "/certificates/");
    enum pn_rc rc = PN_NOMEM;

    *verdicts = json_array();
    if (flight && suffix && *verdicts) {
        flight->arm = ctx;
        flight->arena = pn_arena_create(4096, 1024u * 1024);
        flight->scope_id = pn_arena_strdup(
            flight->arena, pn_slice(certificate_id, (size_t)(suffix - certificate_id)));
        flight->certificate_id = certificate_id;
        flight->certificate = certificate_json(certificate_id, internal);
        rc = pn_store_begin(flight->arm->config.store, &flight->txn, err);
        if (rc == PN_OK)
            rc = add_all_users(flight, certificate_id, internal, err);
        pn_store_rollback(flight->txn);
        if (rc == PN_OK)
            rc = ask_everybody(flight, err);
        if (rc == PN_OK)
            rc = judge(flight, *verdicts, err);
        for (size_t i = 0; i < flight->count; i++)
            arm_preflight_target_fini(&flight->targets[i]);
        json_decref(flight->certificate);
        json_decref(flight->reference);
        pn_arena_destroy(flight->arena);
    } else {
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    }
    free(flight);
    return rc;
}
