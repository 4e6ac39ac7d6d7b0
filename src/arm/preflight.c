/* SPDX-License-Identifier: Apache-2.0
 *
 * The pre-flight of a generation: every backend that would be shown it is shown it now, by a
 * handshake without a request. Who that is, the stored references tell: backends that name the
 * certificate, and what stands behind the policies that name it. They are asked a question that
 * means nothing along with it (ipc/probe.h, "ask"), so that an answer ends the wait for a late
 * refusal; one that hangs up on that question does so with every certificate.
 *
 * A backend that says by an alert what it does not like has refused. One that merely hangs up when
 * it has seen a certificate may have done so for any reason: it is asked again, and then shown the
 * generation that serves now. If it takes that one, it has refused the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "base/log.h"
#include "http/uri.h"
#include "ipc/probe.h"
#include "rotation/generations.h"

#define TARGETS_MAX    64 /* distinct ones; more are not asked, and that is said */
#define AT_A_TIME      8
#define ASK_TIMEOUT_MS 4000
#define ASK_GRACE_MS   3000
#define HOST_TEXT      280

/* One endpoint and how it is checked. */
struct target {
    char host[HOST_TEXT];
    unsigned port;
    json_t *tls;      /* of the backend; NULL: as an API's serviceUrl is checked */
    const char *user; /* id of the backend or API; in the arena */
    json_t *answer;   /* of the gateway; NULL: none */
    bool is_doubtful; /* it hung up on the certificate without a reason */
    bool is_refused;
};

struct preflight {
    struct pn_arm *arm;
    struct pn_arena *arena;
    const char *service_id;
    struct pn_store_txn *txn;
    struct target targets[TARGETS_MAX];
    size_t count;
    bool is_cut;
    json_t *certificate; /* as ipc/probe.h wants it */
    json_t *reference;   /* the generation that is known to work; NULL: there is none */
};

/* --- who --- */

static void add_target(struct preflight *flight, const char *user, struct pn_slice url, json_t *tls)
{
    struct pn_error err = {0};
    struct target target = {.tls = tls};
    struct pn_uri uri;

    if (!url.ptr || pn_uri_parse(url, &uri, &err) != PN_OK ||
        !pn_slice_case_eq_str(uri.scheme, "https"))
        return;
    (void)snprintf(target.host, sizeof(target.host), "%.*s", PN_FMT(uri.host));
    target.port = uri.port;
    target.user = pn_arena_strdup(flight->arena, pn_slice_str(user));
    for (size_t i = 0; i < flight->count; i++) {
        const struct target *known = &flight->targets[i];

        if (strcasecmp(known->host, target.host) == 0 && known->port == target.port &&
            (known->tls == target.tls || json_equal(known->tls, target.tls)))
            return;
    }
    if (flight->count == TARGETS_MAX || !target.user)
        flight->is_cut = true;
    else
        flight->targets[flight->count++] = target;
    if (!flight->is_cut)
        json_incref(tls);
}

static void add_backend(struct preflight *flight, const struct pn_store_item *backend)
{
    const json_t *properties = json_object_get(backend->body, "properties");

    if (!json_object_get(properties, "proxy")) /* behind a proxy nobody can be asked yet */
        add_target(flight, backend->id, pn_json_slice(properties, "url"),
                   json_object_get(properties, "tls"));
}

/** The backends that the policy sends to. */
static enum pn_rc add_policys_backends(struct preflight *flight, const char *policy_id,
                                       struct pn_error *err)
{
    struct pn_store_list backends = {0};
    const char *prefix = pn_arena_printf(flight->arena, "%s/backends/", flight->service_id);
    enum pn_rc rc = prefix ? pn_store_txn_list(flight->txn, prefix,
                                               pn_type_facts(PN_TYPE_BACKEND)->type, &backends, err)
                           : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    for (size_t i = 0; rc == PN_OK && i < backends.count; i++) {
        struct pn_store_list users = {0};

        rc = pn_store_users(flight->txn, backends.items[i].id, &users, err);
        for (size_t u = 0; rc == PN_OK && u < users.count; u++) {
            if (strcasecmp(users.items[u].id, policy_id) == 0)
                add_backend(flight, &backends.items[i]);
        }
        pn_store_list_fini(&users);
    }
    pn_store_list_fini(&backends);
    return rc;
}

/** Where the API above the policy sends by itself. */
static void add_policys_api(struct preflight *flight, const char *policy_id)
{
    struct pn_slice id = pn_slice_str(policy_id);
    struct pn_slice rest = pn_id_relative(id, pn_slice_str(flight->service_id));
    struct pn_slice part = {0};
    struct pn_store_item api = {0};
    struct pn_error err = {0};
    const char *api_id;

    /* "/apis/{name}/…" */
    (void)pn_slice_cut(&rest, '/', &part);
    if (!pn_slice_cut(&rest, '/', &part) || !pn_slice_case_eq_str(part, "apis") ||
        !pn_slice_cut(&rest, '/', &part))
        return;
    api_id = pn_arena_printf(flight->arena, "%s/apis/%.*s", flight->service_id, PN_FMT(part));
    if (api_id && pn_store_txn_get(flight->txn, api_id, &api, &err) == PN_OK)
        add_target(flight, api.id,
                   pn_json_slice(json_object_get(api.body, "properties"), "serviceUrl"), NULL);
    pn_store_item_fini(&api);
}

static enum pn_rc add_users(struct preflight *flight, const char *reference, struct pn_error *err)
{
    struct pn_store_list users = {0};
    enum pn_rc rc = pn_store_users(flight->txn, reference, &users, err);

    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const struct pn_store_item *user = &users.items[i];

        if (strcasecmp(user->type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0) {
            add_backend(flight, user);
        } else {
            size_t before = flight->count;

            rc = add_policys_backends(flight, user->id, err);
            if (flight->count == before)
                add_policys_api(flight, user->id);
        }
    }
    pn_store_list_fini(&users);
    return rc;
}

/* --- asking --- */

struct task {
    struct preflight *flight;
    const struct target *target;
    const json_t *certificate;
    json_t *answer;
    enum pn_rc rc;
};

static void *ask_one(void *ctx)
{
    struct task *task = ctx;
    const struct pn_arm_services *services = &task->flight->arm->config.services;
    const struct target *target = task->target;
    struct pn_error err = {0};
    struct pn_buf answer;
    json_t *question = json_pack("{s:s, s:i, s:O*, s:i, s:[O], s:b}", "host", target->host, "port",
                                 (int)target->port, "tls", target->tls, "timeoutMs", ASK_TIMEOUT_MS,
                                 "certificates", task->certificate, "ask", 1);
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

/** Asks up to AT_A_TIME at once. PN_UNAVAILABLE when one could not be asked because the gateway is
 * away. */
static enum pn_rc ask_some(struct task tasks[AT_A_TIME], size_t count, struct pn_error *err)
{
    pthread_t threads[AT_A_TIME];
    bool has_thread[AT_A_TIME];
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < count; i++) {
        has_thread[i] = pthread_create(&threads[i], NULL, ask_one, &tasks[i]) == 0;
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
typedef void (*judge_fn)(struct target *target, json_t *answer);

/** Shows `certificate` to all targets, or to those in doubt. */
static enum pn_rc ask_all(struct preflight *flight, const json_t *certificate, bool doubtful_only,
                          judge_fn judge, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t at = 0; at < flight->count && rc == PN_OK;) {
        struct task tasks[AT_A_TIME];
        struct target *asked[AT_A_TIME];
        size_t count = 0;

        for (; at < flight->count && count < AT_A_TIME; at++) {
            if (doubtful_only && !flight->targets[at].is_doubtful)
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

/** It has seen a certificate, or asked for one, and then something went wrong. */
static bool is_doubt(const json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");

    return pn_json_bool(answer, "certificateRequested", false) &&
           ((cause && *cause) || pn_json_bool(answer, "endedEarly", false));
}

static void on_shown(struct target *target, json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");

    json_decref(target->answer);
    target->answer = answer;
    target->is_refused = cause && is_refusal(cause);
    target->is_doubtful = !target->is_refused && is_doubt(answer);
}

/** The same backend and the generation that works: whose fault it was. */
static void on_reference_shown(struct target *target, json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");

    target->is_refused = cause && !*cause && !is_doubt(answer);
    json_decref(answer);
}

static enum pn_rc ask_everybody(struct preflight *flight, struct pn_error *err)
{
    enum pn_rc rc = ask_all(flight, flight->certificate, false, on_shown, err);

    if (rc == PN_OK && flight->reference)
        rc = ask_all(flight, flight->certificate, true, on_shown, err);
    if (rc == PN_OK && flight->reference)
        rc = ask_all(flight, flight->reference, true, on_reference_shown, err);
    return rc;
}

static enum pn_rc judge(const struct preflight *flight, json_t *verdicts, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < flight->count; i++) {
        const struct target *target = &flight->targets[i];
        const char *cause = pn_json_str(target->answer, "cause");
        const char *sentence = pn_json_str(target->answer, "sentence");
        bool is_refused = target->is_refused;

        if (is_refused && target->is_doubtful) {
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
    return json_pack("{s:s, s:I, s:O?, s:O?}", "name", strrchr(certificate_id, '/') + 1,
                     "generation", (json_int_t)pn_json_int(internal, "generation", 1), "keyId",
                     json_object_get(internal, "keyId"), "chain",
                     json_object_get(internal, "chain"));
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
    enum pn_rc rc = add_users(flight, certificate_id, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(flight->txn, certificate_id, &item, err);
    if (rc != PN_OK)
        return rc;
    thumbprint = pn_json_str(json_object_get(item.body, "properties"), "thumbprint");
    reference = thumbprint ? pn_arena_printf(flight->arena, "%s/thumbprints/%s", flight->service_id,
                                             thumbprint)
                           : NULL;
    if (reference)
        rc = add_users(flight, reference, err);
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
        flight->service_id = pn_arena_strdup(
            flight->arena, pn_slice(certificate_id, (size_t)(suffix - certificate_id)));
        flight->certificate = certificate_json(certificate_id, internal);
        rc = pn_store_begin(flight->arm->config.store, &flight->txn, err);
        if (rc == PN_OK)
            rc = add_all_users(flight, certificate_id, internal, err);
        pn_store_rollback(flight->txn);
        if (rc == PN_OK)
            rc = ask_everybody(flight, err);
        if (rc == PN_OK)
            rc = judge(flight, *verdicts, err);
        for (size_t i = 0; i < flight->count; i++) {
            json_decref(flight->targets[i].answer);
            json_decref(flight->targets[i].tls);
        }
        json_decref(flight->certificate);
        json_decref(flight->reference);
        pn_arena_destroy(flight->arena);
    } else {
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    }
    free(flight);
    return rc;
}
