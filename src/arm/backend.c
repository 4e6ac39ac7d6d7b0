/* SPDX-License-Identifier: Apache-2.0
 *
 * backends. Secret members (credentials' header, query and authorization, the proxy's password) are
 * sealed in internal.sealed and put back for GET (but the proxy's password) and for the feed.
 */
#include "arm/arm_internal.h"

#include <string.h>

#include "base/clock.h"
#include "model/text.h"

static const char *const secret_members[] = {"header", "query", "authorization", NULL};
static const char *const filter_fields[] = {"name", "title", "url", "type", NULL};

#define RESOLVED "resolved" /* among the secrets: those members that name named values, put in */

/* ---- secrets out and in ---- */

/** Moves the secret members out of `properties` into a new object (empty when there are none). */
static json_t *split_secrets(json_t *properties)
{
    json_t *secrets = json_object();
    json_t *credentials = json_object_get(properties, "credentials");
    json_t *proxy = json_object_get(properties, "proxy");
    json_t *password = json_object_get(proxy, "password");
    bool failed = false;

    if (!secrets)
        return NULL;
    for (size_t i = 0; secret_members[i]; i++) {
        json_t *member = json_object_get(credentials, secret_members[i]);

        if (!member)
            continue;
        failed = failed || json_object_set(secrets, secret_members[i], member) != 0;
        (void)json_object_del(credentials, secret_members[i]);
    }
    if (password) {
        failed = failed || json_object_set(secrets, "proxyPassword", password) != 0;
        (void)json_object_del(proxy, "password");
    }
    if (!failed)
        return secrets;
    json_decref(secrets);
    return NULL;
}

static bool join_secrets(json_t *properties, json_t *secrets)
{
    json_t *credentials = json_object_get(properties, "credentials");
    json_t *proxy = json_object_get(properties, "proxy");
    json_t *password = json_object_get(secrets, "proxyPassword");

    for (size_t i = 0; secret_members[i]; i++) {
        json_t *member = json_object_get(secrets, secret_members[i]);

        if (!member)
            continue;
        if (!credentials) {
            credentials = json_object();
            if (json_object_set_new(properties, "credentials", credentials) != 0)
                return false;
        }
        if (json_object_set(credentials, secret_members[i], member) != 0)
            return false;
    }
    return !password || !proxy || json_object_set(proxy, "password", password) == 0;
}

/** With named values in their places. */
static bool join_resolved(json_t *properties, json_t *secrets)
{
    json_t *resolved = json_object_get(secrets, RESOLVED);

    return (!resolved || json_object_update(secrets, resolved) == 0) &&
           join_secrets(properties, secrets);
}

enum pn_rc arm_backend_open(struct pn_arm *arm, const struct pn_store_item *item,
                            json_t **properties, struct pn_error *err)
{
    return arm_open_sealed(arm, item, join_secrets, properties, err);
}

enum pn_rc arm_backend_open_resolved(struct pn_arm *arm, const struct pn_store_item *item,
                                     json_t **properties, struct pn_error *err)
{
    return arm_open_sealed(arm, item, join_resolved, properties, err);
}

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    json_t *properties = NULL;
    json_t *entity = NULL;

    if (arm_backend_open(call->arm, item, &properties, err) != PN_OK)
        return NULL;
    (void)json_object_del(json_object_get(properties, "proxy"), "password");
    entity = arm_entity(item, properties);
    if (!entity)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return entity;
}

/* ---- writing ---- */

/** Puts named values in, and refers to them. False: answered. */
static bool resolve(struct arm_call *call, struct pn_store_txn *txn, json_t *secrets,
                    struct arm_backend_references *references)
{
    struct arm_sources sources = {0};
    struct pn_error err = {0};
    enum pn_rc rc = arm_sources_init(&sources, call, txn, &err);

    if (rc == PN_OK)
        rc = arm_backend_values(&sources, secrets, references, &err);
    arm_sources_fini(&sources);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    return rc == PN_OK;
}

enum pn_rc arm_backend_renew(struct arm_sources *sources, const struct pn_store_item *item,
                             json_t *body, struct pn_error *err)
{
    const struct pn_arm_services *services = &sources->call->arm->config.services;
    json_t *internal = json_object_get(body, "internal");
    const char *text = pn_json_str(internal, "sealed");
    json_t *secrets = NULL;
    json_t *sealed = NULL;
    enum pn_rc rc = text
                        ? arm_unseal(services, item->id, text, &secrets, err)
                        : pn_error_set(err, PN_INTERNAL, "no_secrets",
                                       "'%s' has no credentials that could name a value", item->id);

    if (rc == PN_OK)
        rc = arm_backend_values(sources, secrets, NULL, err);
    if (rc == PN_OK)
        rc = arm_seal(services, item->id, secrets, &sealed, err);
    if (rc == PN_OK && json_object_set_new(internal, "sealed", sealed) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(secrets);
    return rc;
}

/** Seals, refers, stores, answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    struct arm_backend_references references = {0};
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    json_t *internal = json_object();
    json_t *secrets = NULL;
    json_t *sealed = NULL;
    bool is_ready = false;

    arm_backend_check(&problems, properties);
    arm_backend_trust(&problems, properties);
    if (problems.count > 0) {
        arm_answer_problems(call, &problems);
        goto out;
    }
    if (!arm_backend_refer(call, txn, properties, &references))
        goto out;
    secrets = split_secrets(properties);
    if (secrets && !resolve(call, txn, secrets, &references))
        goto out;
    if (!internal || !secrets ||
        json_object_set(internal, "certificateIds", references.certificate_names) != 0 ||
        json_object_set(internal, "members", references.member_names) != 0) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        goto out;
    }
    if (json_object_size(secrets) > 0) {
        if (arm_seal(&call->arm->config.services, former->id ? former->id : call->id, secrets,
                     &sealed, &err) != PN_OK) {
            arm_answer_failure(call, &err);
            goto out;
        }
        if (json_object_set_new(internal, "sealed", sealed) != 0) {
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
            goto out;
        }
    }
    is_ready = true;
out:
    if (is_ready) {
        (void)arm_store_and_answer(call, txn, former, properties, internal, references.ids, view);
    } else {
        pn_store_rollback(txn);
        json_decref(properties);
        json_decref(internal);
    }
    json_decref(secrets);
    json_decref(references.certificate_names);
    json_decref(references.member_names);
}

void arm_backends(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/backends/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_BACKEND)->type,
        .fields = filter_fields,
        .view = view,
        .are_facts = true,
    };

    arm_list(call, &rule);
}

void arm_backend_get(struct arm_call *call)
{
    arm_get_with(call, view);
}

void arm_backend_put(struct arm_call *call)
{
    arm_put(call, pn_backend_fields, store);
}

void arm_backend_patch(struct arm_call *call)
{
    arm_patch(call, pn_backend_fields, arm_backend_open, store);
}

/* ---- reconnect ---- */

/** When, in Unix milliseconds: "after" from now. False: answered. */
static bool reconnect_time(struct arm_call *call, int64_t *at_ms)
{
    json_t *properties = NULL;
    struct pn_slice after = {0};
    uint64_t delay_ms = 0;

    if (!arm_properties(call, pn_reconnect_fields, &properties))
        return false;
    after = pn_json_slice(properties, "after");
    if (after.len > 0 && !pn_text_to_duration_ms(after, &delay_ms))
        delay_ms = 0; /* checked by the schema */
    json_decref(properties);
    if (delay_ms > PN_BREAKER_TIME_MS_MAX) {
        arm_answer_invalid(call, "after", "'after' must be at most one day (P1D).");
        return false;
    }
    *at_ms = pn_clock_unix_ms() + (int64_t)delay_ms;
    return true;
}

/** The stored document with the new time in it; what it refers to stays as it is. */
static enum pn_rc put_reconnect(struct pn_store_txn *txn, const struct pn_store_item *former,
                                int64_t at_ms, struct pn_error *err)
{
    json_t *body = json_deep_copy(former->body);
    json_t *internal = json_object_get(body, "internal");
    enum pn_rc rc = PN_OK;

    if (body && !internal) {
        internal = json_object();
        if (json_object_set_new(body, "internal", internal) != 0)
            internal = NULL;
    }
    if (!internal || json_object_set_new(internal, "reconnectAtMs", json_integer(at_ms)) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = pn_store_put(txn, former->id, former->type, body, pn_store_keep_references, err);
    json_decref(body);
    return rc;
}

/** The order goes the way of every change: it is stored, and the gateway has it when the answer
 * leaves. */
void arm_backend_reconnect(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former = {0};
    struct pn_error err = {0};
    uint64_t revision = 0;
    int64_t at_ms = 0;

    if (!reconnect_time(call, &at_ms) || !arm_begin(call, &txn, &former))
        return;
    if (!former.id) {
        pn_store_rollback(txn);
        arm_answer_not_found(call);
    } else if (put_reconnect(txn, &former, at_ms, &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 202);
    }
    pn_store_item_fini(&former);
}
