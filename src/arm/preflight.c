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

#include "arm/probe_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/uri.h"
#include "ipc/probe.h"
#include "policy/policy.h"
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
    json_t *question; /* where and how (arm_probe_target) */
    json_t *others;   /* of several certificates: all, null in the place of this one; or NULL */
    const char *user; /* id of the backend or API; in the arena */
    json_t *answer;   /* of the gateway; NULL: none */
    bool is_doubtful; /* it hung up on the certificate without a reason, or answered an error */
    bool is_refused;
    bool speaks_h1_too; /* what was negotiated was HTTP/2: it is asked once more */
    int former_status;  /* what the generation that works was answered; 0: nothing */
};

struct preflight {
    struct pn_arm *arm;
    struct pn_arena *arena;
    const char *scope_id;
    const char *certificate_id;
    struct pn_store_txn *txn;
    struct target targets[TARGETS_MAX];
    size_t count;
    bool is_cut;
    json_t *certificate; /* as ipc/probe.h wants it */
    json_t *reference;   /* the generation that is known to work; NULL: there is none */
};

/* --- who --- */

static void target_fini(struct target *target)
{
    json_decref(target->question);
    json_decref(target->others);
    json_decref(target->answer);
}

/** Takes `others`. */
static void add_target(struct preflight *flight, const char *user, const json_t *properties,
                       json_t *others)
{
    struct pn_error err = {0};
    struct target target = {.question = json_object(), .others = others};

    if (arm_probe_target(target.question, properties, &err) != PN_OK) {
        target_fini(&target);
        return;
    }
    (void)snprintf(target.host, sizeof(target.host), "%s", pn_json_str(target.question, "host"));
    target.port = (unsigned)pn_json_int(target.question, "port", 0);
    target.user = pn_arena_strdup(flight->arena, pn_slice_str(user));
    for (size_t i = 0; i < flight->count; i++) {
        const struct target *known = &flight->targets[i];

        if (json_equal(known->question, target.question) &&
            (known->others == target.others || json_equal(known->others, target.others))) {
            target_fini(&target);
            return;
        }
    }
    if (flight->count == TARGETS_MAX || !target.user) {
        flight->is_cut = true;
        target_fini(&target);
    } else {
        flight->targets[flight->count++] = target;
    }
}

/** What the backend would be shown beside the certificate; NULL: nothing, or it cannot be told. */
static json_t *others_of(struct preflight *flight, const json_t *names)
{
    json_t *list = json_array();
    bool has_place = false;

    for (size_t i = 0; list && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const char *id =
            pn_arena_printf(flight->arena, "%s/certificates/%s", flight->scope_id, name);
        bool is_this = id && strcasecmp(id, flight->certificate_id) == 0;
        struct pn_store_item item = {0};
        struct pn_error err = {0};

        has_place = has_place || is_this;
        if (is_this)
            (void)json_array_append_new(list, json_null());
        else if (id && pn_store_txn_get(flight->txn, id, &item, &err) == PN_OK)
            (void)json_array_append_new(
                list, arm_probe_certificate(name, json_object_get(item.body, "internal")));
        pn_store_item_fini(&item);
    }
    if (has_place)
        return list;
    json_decref(list);
    return NULL;
}

/** How a policy names the certificate: alone, or in a list from which the server chooses; and which
 *  backends it names. */
struct listing {
    const char *name; /* of the certificate */
    json_t *backends; /* names */
    void *node;       /* the statement that is looked at */
    json_t *current;  /* names of its list */
    json_t *names;    /* of the list that the certificate is in */
    bool is_alone;
};

static enum pn_rc on_listed(void *ctx, const struct pn_policy_reference *reference,
                            struct pn_error *err)
{
    struct listing *listing = ctx;
    bool is_this;

    (void)err;
    if (reference->kind == PN_POLICY_BACKEND_ID)
        (void)json_array_append_new(listing->backends,
                                    json_stringn(reference->name.ptr, reference->name.len));
    if (reference->kind != PN_POLICY_CERTIFICATE_ID)
        return PN_OK;
    is_this = pn_slice_case_eq_str(reference->name, listing->name);
    listing->is_alone = listing->is_alone || (is_this && !reference->is_of_several);
    if (!reference->is_of_several)
        return PN_OK;
    if (reference->node != listing->node) {
        json_decref(listing->current);
        listing->current = json_array();
        listing->node = reference->node;
    }
    (void)json_array_append_new(listing->current,
                                json_stringn(reference->name.ptr, reference->name.len));
    if (is_this && !listing->names)
        listing->names = json_incref(listing->current);
    return PN_OK;
}

/** The names of the list that the policy has the certificate in; an empty one: it names it alone,
 *  too, and then it is shown alone. *backends: those that the policy names, with what its fragments
 *  do. New references. */
static json_t *listed_with(const struct preflight *flight, const struct pn_store_item *policy,
                           json_t **backends)
{
    struct listing listing = {.name = strrchr(flight->certificate_id, '/') + 1,
                              .backends = json_array()};
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    json_t *properties = NULL;

    if (arm_policy_open_resolved(flight->arm, policy, &properties, &err) == PN_OK &&
        pn_policy_parse_resolved(pn_json_slice(properties, "value"),
                                 arm_policy_scope(policy->type, policy->id), &document,
                                 &err) == PN_OK &&
        pn_policy_references(document, on_listed, &listing, &err) != PN_OK)
        listing.is_alone = true;
    pn_policy_document_destroy(document);
    json_decref(properties);
    json_decref(listing.current);
    *backends = listing.backends;
    if (!listing.is_alone && listing.names)
        return listing.names;
    json_decref(listing.names);
    return json_array();
}

/** `listed` NULL: the backend names the certificate itself; else what the policy lists, an empty
 *  array when it names it alone. */
static void add_backend(struct preflight *flight, const struct pn_store_item *backend,
                        const json_t *listed)
{
    const json_t *names =
        listed ? listed
               : json_object_get(json_object_get(backend->body, "internal"), "certificateIds");
    struct pn_error err = {0};
    json_t *properties = NULL;
    json_t *others = NULL;

    if (json_array_size(names) > 1)
        others = others_of(flight, names);
    if (arm_backend_open(flight->arm, backend, &properties, &err) == PN_OK)
        add_target(flight, backend->id, properties, others);
    else
        json_decref(others);
    json_decref(properties);
}

/** The backends that the policy sends to. */
static enum pn_rc add_policys_backends(struct preflight *flight, const json_t *names,
                                       const json_t *listed, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < json_array_size(names); i++) {
        struct pn_store_item backend = {0};
        const char *id = pn_arena_printf(flight->arena, "%s/backends/%s", flight->scope_id,
                                         json_string_value(json_array_get(names, i)));

        rc = id ? pn_store_txn_get(flight->txn, id, &backend, err)
                : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        if (rc == PN_OK)
            add_backend(flight, &backend, listed);
        else if (rc == PN_NOT_FOUND)
            rc = PN_OK;
        pn_store_item_fini(&backend);
    }
    return rc;
}

/** Where the API sends by itself. */
static void add_api(struct preflight *flight, const char *api_id, const json_t *listed)
{
    struct pn_store_item api = {0};
    struct pn_error err = {0};

    if (api_id && pn_store_txn_get(flight->txn, api_id, &api, &err) == PN_OK) {
        json_t *properties =
            json_pack("{s:O*}", "url",
                      json_object_get(json_object_get(api.body, "properties"), "serviceUrl"));

        add_target(flight, api.id, properties,
                   json_array_size(listed) > 1 ? others_of(flight, listed) : NULL);
        json_decref(properties);
    }
    pn_store_item_fini(&api);
}

struct sending {
    struct preflight *flight;
    const json_t *listed;
};

static enum pn_rc on_sent(void *ctx, const struct pn_policy_reference *reference,
                          struct pn_error *err)
{
    struct sending *sending = ctx;
    struct preflight *flight = sending->flight;
    struct pn_store_item backend = {0};
    const char *id;

    if (reference->kind != PN_POLICY_BACKEND_ID)
        return PN_OK;
    id = pn_arena_printf(flight->arena, "%s/backends/%.*s", flight->scope_id,
                         PN_FMT(reference->name));
    if (id && pn_store_txn_get(flight->txn, id, &backend, err) == PN_OK)
        add_backend(flight, &backend, sending->listed);
    pn_store_item_fini(&backend);
    return PN_OK;
}

/** An API in a product whose policy names the certificate: the backends that its own policy sends
 * to, or where it sends by itself. */
static void add_api_of_product(struct preflight *flight, const char *api_id, const json_t *listed)
{
    const char *policy_id = pn_arena_printf(flight->arena, "%s/policies/policy", api_id);
    struct sending sending = {flight, listed};
    struct pn_policy_document *document = NULL;
    struct pn_store_item policy = {0};
    struct pn_error err = {0};
    json_t *properties = NULL;
    size_t before = flight->count;

    if (policy_id && pn_store_txn_get(flight->txn, policy_id, &policy, &err) == PN_OK &&
        arm_policy_open_resolved(flight->arm, &policy, &properties, &err) == PN_OK &&
        pn_policy_parse_resolved(pn_json_slice(properties, "value"), PN_SCOPE_API, &document,
                                 &err) == PN_OK &&
        pn_policy_references(document, on_sent, &sending, &err) != PN_OK)
        flight->is_cut = true; /* cannot be: on_sent refuses nothing */
    pn_policy_document_destroy(document);
    json_decref(properties);
    pn_store_item_fini(&policy);
    if (flight->count == before)
        add_api(flight, api_id, listed);
}

static void add_apis_of_product(struct preflight *flight, const char *product_id,
                                const json_t *listed)
{
    const char *prefix = pn_arena_printf(flight->arena, "%s/apis/", product_id);
    struct pn_store_list links = {0};
    struct pn_error err = {0};

    if (!prefix || pn_store_txn_list(flight->txn, prefix, pn_type_facts(PN_TYPE_PRODUCT_API)->type,
                                     &links, &err) != PN_OK)
        return;
    for (size_t i = 0; !flight->is_cut && i < links.count; i++)
        add_api_of_product(flight, arm_product_link_api(&links.items[i]), listed);
    pn_store_list_fini(&links);
}

/** Where the API above the policy sends by itself; of a product's policy, all that are in it. */
static void add_policys_apis(struct preflight *flight, const char *policy_id, const json_t *listed)
{
    struct pn_slice id = pn_slice_str(policy_id);
    struct pn_slice rest = pn_id_relative(id, pn_slice_str(flight->scope_id));
    struct pn_slice kind = {0}, name = {0};
    const char *above;

    /* "/apis/{name}/…" */
    (void)pn_slice_cut(&rest, '/', &kind);
    if (!pn_slice_cut(&rest, '/', &kind) || !pn_slice_cut(&rest, '/', &name))
        return;
    above = pn_arena_printf(flight->arena, "%s/%.*s/%.*s", flight->scope_id, PN_FMT(kind),
                            PN_FMT(name));
    if (above && pn_slice_case_eq_str(kind, "apis"))
        add_api(flight, above, listed);
    else if (above && pn_slice_case_eq_str(kind, "products"))
        add_apis_of_product(flight, above, listed);
}

static enum pn_rc add_policy(struct preflight *flight, const struct pn_store_item *policy,
                             struct pn_error *err)
{
    size_t before = flight->count;
    json_t *backends = NULL;
    json_t *listed = listed_with(flight, policy, &backends);
    enum pn_rc rc = add_policys_backends(flight, backends, listed, err);

    if (flight->count == before)
        add_policys_apis(flight, policy->id, listed);
    json_decref(listed);
    json_decref(backends);
    return rc;
}

/** `depth`: of fragments that include one another. */
static enum pn_rc add_users(struct preflight *flight, const char *reference, unsigned depth,
                            struct pn_error *err)
{
    struct pn_store_list users = {0};
    enum pn_rc rc = pn_store_users(flight->txn, reference, &users, err);

    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const struct pn_store_item *user = &users.items[i];

        if (strcasecmp(user->type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0)
            add_backend(flight, user, NULL);
        else if (arm_is_policy(user->type))
            rc = add_policy(flight, user, err);
        else if (strcasecmp(user->type, pn_type_facts(PN_TYPE_FRAGMENT)->type) == 0 &&
                 depth <= pn_limit_value(PN_LIMIT_FRAGMENT_DEPTH))
            rc = add_users(flight, user->id, depth + 1, err);
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

/** The question with this certificate, in its place among others. NULL: no memory. */
static json_t *ask_for(const struct target *target, const json_t *certificate)
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
    const struct target *target = task->target;
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

/** Whom to ask. */
typedef bool (*choose_fn)(const struct target *target);

static bool is_any(const struct target *target)
{
    return target != NULL;
}

static bool is_in_doubt(const struct target *target)
{
    return target->is_doubtful;
}

static bool is_over_h1(const struct target *target)
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
        struct target *asked[AT_A_TIME];
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
static bool is_of_another(const struct target *target, const json_t *answer)
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

static void on_shown(struct target *target, json_t *answer)
{
    const char *cause = pn_json_str(answer, "cause");
    bool is_others = is_of_another(target, answer);

    json_decref(target->answer);
    target->answer = answer;
    target->is_refused = cause && is_refusal(cause) && !is_others;
    target->is_doubtful = !target->is_refused && !is_others && is_doubt(answer);
}

/** The same backend and the generation that works: whose fault it was. */
static void on_reference_shown(struct target *target, json_t *answer)
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
static void on_shown_over_h1(struct target *target, json_t *answer)
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
        struct target *target = &flight->targets[i];
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
        const struct target *target = &flight->targets[i];
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
    enum pn_rc rc = add_users(flight, certificate_id, 0, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(flight->txn, certificate_id, &item, err);
    if (rc != PN_OK)
        return rc;
    thumbprint = pn_json_str(json_object_get(item.body, "properties"), "thumbprint");
    reference = thumbprint ? pn_arena_printf(flight->arena, "%s/thumbprints/%s", flight->scope_id,
                                             thumbprint)
                           : NULL;
    if (reference)
        rc = add_users(flight, reference, 0, err);
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
            target_fini(&flight->targets[i]);
        json_decref(flight->certificate);
        json_decref(flight->reference);
        pn_arena_destroy(flight->arena);
    } else {
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    }
    free(flight);
    return rc;
}
