/* SPDX-License-Identifier: Apache-2.0
 *
 * backends. Secret members (credentials' header, query and authorization, the proxy's password) are
 * sealed in internal.sealed and put back for GET (but the proxy's password) and for the feed.
 */
#include "arm/arm_internal.h"

#include <string.h>

#include "http/headers.h"
#include "model/text.h"

static const char *const secret_members[] = {"header", "query", "authorization", NULL};
static const char *const filter_fields[] = {"name", "title", "url", NULL};

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

static bool join_secrets(json_t *properties, const json_t *secrets)
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

enum pn_rc arm_backend_open(struct pn_arm *arm, const struct pn_store_item *item,
                            json_t **properties, struct pn_error *err)
{
    const char *sealed = pn_json_str(json_object_get(item->body, "internal"), "sealed");
    json_t *copy = json_deep_copy(json_object_get(item->body, "properties"));
    json_t *secrets = NULL;
    enum pn_rc rc = copy ? PN_OK : PN_NOMEM;

    if (rc == PN_OK && sealed)
        rc = arm_unseal(&arm->config.services, item->id, sealed, &secrets, err);
    else if (rc != PN_OK)
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    if (rc == PN_OK && secrets && !join_secrets(copy, secrets))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(secrets);
    if (rc == PN_OK)
        *properties = copy;
    else
        json_decref(copy);
    return rc;
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

/* ---- checks ---- */

static bool has_named_value(struct pn_slice value)
{
    size_t open = pn_slice_find_slice(value, PN_LIT("{{"));

    return open < value.len;
}

static void check_value(struct pn_problems *problems, const char *target, const char *name,
                        struct pn_slice value)
{
    if (has_named_value(value))
        pn_problem_add(problems, target,
                       "The value of '%s' refers to a named value; named values are not offered "
                       "by this Postern.",
                       name);
    else if (!pn_header_value_is_valid(value))
        pn_problem_add(problems, target,
                       "The value of '%s' has characters that a header or query "
                       "value must not have.",
                       name);
}

static void check_values(struct pn_problems *problems, const json_t *map, bool are_headers)
{
    const char *target = are_headers ? "credentials.header" : "credentials.query";
    json_t *members = (json_t *)(uintptr_t)map; /* the iterators want it so */

    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *values = json_object_iter_value(at);

        if (are_headers && !pn_header_name_is_valid(pn_slice_str(name)))
            pn_problem_add(problems, target, "'%.100s' is not a valid header name.", name);
        for (size_t i = 0; i < json_array_size(values); i++) {
            const json_t *value = json_array_get(values, i);

            check_value(problems, target, name,
                        pn_slice(json_string_value(value), json_string_length(value)));
        }
    }
}

static bool check(struct arm_call *call, const json_t *properties)
{
    struct pn_problems problems = {0};
    const json_t *credentials = json_object_get(properties, "credentials");
    const json_t *authorization = json_object_get(credentials, "authorization");
    const char *type = pn_json_str(properties, "type");
    bool is_pool = type && strcmp(type, "Pool") == 0;
    const json_t *rules = json_object_get(json_object_get(properties, "circuitBreaker"), "rules");

    if (!is_pool && !json_object_get(properties, "url"))
        pn_problem_add(&problems, "url", "'url' is required.");
    arm_check_backend_url(&problems, "url", pn_json_slice(properties, "url"));
    if (!is_pool && !json_object_get(properties, "protocol"))
        pn_problem_add(&problems, "protocol", "'protocol' is required.");
    if (is_pool && !json_object_get(properties, "pool"))
        pn_problem_add(&problems, "pool", "'pool' is required for a backend of type Pool.");
    check_values(&problems, json_object_get(credentials, "header"), true);
    check_values(&problems, json_object_get(credentials, "query"), false);
    if (authorization) {
        check_value(&problems, "credentials.authorization", "scheme",
                    pn_json_slice(authorization, "scheme"));
        check_value(&problems, "credentials.authorization", "parameter",
                    pn_json_slice(authorization, "parameter"));
    }
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *condition = json_object_get(json_array_get(rules, i), "failureCondition");

        if (json_object_get(condition, "count") && json_object_get(condition, "percentage"))
            pn_problem_add(&problems, "circuitBreaker.rules",
                           "'count' and 'percentage' cannot both be given in one rule.");
    }
    if (problems.count == 0)
        return true;
    arm_answer_problems(call, &problems);
    return false;
}

/* ---- writing ---- */

/** Seals, refers, stores, answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    struct arm_backend_references references = {0};
    struct pn_error err = {0};
    json_t *internal = json_object();
    json_t *secrets = NULL;
    json_t *sealed = NULL;
    bool is_ready = false;

    if (!check(call, properties) || !arm_backend_refer(call, txn, properties, &references))
        goto out;
    secrets = split_secrets(properties);
    if (!internal || !secrets ||
        json_object_set(internal, "certificateIds", references.certificate_names) != 0) {
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
}

void arm_backends(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/backends/", call->service_id),
        .type = pn_type_facts(PN_TYPE_BACKEND)->type,
        .fields = filter_fields,
        .view = view,
    };

    if (rule.prefix)
        arm_list(call, &rule);
    else
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
}

void arm_backend_get(struct arm_call *call)
{
    arm_get_with(call, view);
}

void arm_backend_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    json_t *properties = NULL;

    if (!arm_properties(call, pn_backend_fields, &properties))
        return;
    if (!arm_begin(call, &txn, &former)) {
        json_decref(properties);
        return;
    }
    store(call, txn, &former, properties);
    pn_store_item_fini(&former);
}

void arm_backend_patch(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    struct pn_error err = {0};
    struct pn_problems problems = {0};
    json_t *stored = NULL;
    json_t *merged = NULL;
    json_t *properties = NULL;
    enum pn_rc rc = PN_OK;

    if (!arm_begin(call, &txn, &former))
        return;
    if (!former.id) {
        arm_answer_not_found(call);
        goto out;
    }
    rc = arm_backend_open(call->arm, &former, &stored, &err);
    if (rc != PN_OK) {
        arm_answer_failure(call, &err);
        goto out;
    }
    merged = pn_schema_merge(stored, json_object_get(call->body, "properties"));
    rc = merged ? pn_schema_apply(pn_backend_fields, merged, &properties, &problems) : PN_NOMEM;
    if (rc == PN_INVALID)
        arm_answer_problems(call, &problems);
    else if (rc != PN_OK)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    if (rc == PN_OK) {
        store(call, txn, &former, properties);
        txn = NULL;
    }
out:
    pn_store_rollback(txn);
    json_decref(stored);
    json_decref(merged);
    pn_store_item_fini(&former);
}
