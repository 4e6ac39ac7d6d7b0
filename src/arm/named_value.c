/* SPDX-License-Identifier: Apache-2.0
 *
 * namedValues: texts that policies and the credentials of backends name by {{displayName}}. A
 * secret one, and one from a key vault, is sealed and in no answer but that of listValue.
 *
 * A change is in the same transaction as that of everything that names it (dependents.c): it is
 * live when it is answered, or refused and nothing has changed.
 */
#include "arm/named_value.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "keyvault/keyvault.h"
#include "rotation/generation.h"

#define TRIES 4

static const char *const filter_fields[] = {"name", "displayName", "tags", NULL};

/* ---- reading ---- */

static bool join_secrets(json_t *properties, json_t *secrets)
{
    return json_object_update(properties, secrets) == 0;
}

enum pn_rc arm_named_value_open(struct pn_arm *arm, const struct pn_store_item *item,
                                json_t **properties, struct pn_error *err)
{
    return arm_open_sealed(arm, item, join_secrets, properties, err);
}

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    json_t *entity = arm_view_plain(call, item, err);
    json_t *properties = json_object_get(entity, "properties");

    if (entity &&
        json_object_set_new(properties, "provisioningState", json_string("Succeeded")) != 0) {
        json_decref(entity);
        entity = NULL;
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    return entity;
}

void arm_named_values(struct arm_call *call)
{
    struct pn_slice failed = pn_request_query(call->request, "isKeyVaultRefreshFailed");
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/namedValues/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_NAMED_VALUE)->type,
        .fields = filter_fields,
        .view = view,
        .keep = pn_slice_case_eq_str(failed, "true") ? arm_is_refresh_failed : NULL,
    };

    arm_list(call, &rule);
}

void arm_named_value_get(struct arm_call *call)
{
    arm_get_with(call, view);
}

void arm_named_value_secret(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *properties = NULL;

    if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
    } else if (arm_precondition(call, &item)) {
        if (arm_named_value_open(call->arm, &item, &properties, &err) == PN_OK)
            arm_answer_json(call, 200,
                            json_pack("{s:O}", "value", json_object_get(properties, "value")),
                            item.revision);
        else
            arm_answer_failure(call, &err);
    }
    json_decref(properties);
    pn_store_item_fini(&item);
}

/* ---- what is stored ---- */

enum pn_rc arm_named_value_put_in(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                                  json_t *properties, const char *version, struct pn_error *err)
{
    const char *references[2] = {
        arm_named_value_reference(call->arena, call->scope_id,
                                  pn_json_slice(properties, "displayName")),
        NULL};
    json_t *kept = json_deep_copy(properties);
    json_t *sealed = NULL;
    json_t *plain = NULL;
    json_t *body = NULL;
    bool is_secret = pn_json_bool(properties, "secret", false);
    enum pn_rc rc = kept && references[0]
                        ? PN_OK
                        : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK && is_secret) {
        plain = json_pack("{s:O}", "value", json_object_get(properties, "value"));
        rc = plain ? arm_seal(&call->arm->config.services, id, plain, &sealed, err)
                   : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        (void)json_object_del(kept, "value");
    }
    if (rc == PN_OK) {
        body = json_pack("{s:s, s:O, s:{s:O*, s:s*}}", "name", strrchr(id, '/') + 1, "properties",
                         kept, "internal", "sealed", sealed, "secretVersion", version);
        rc = body ? pn_store_put(txn, id, pn_type_facts(PN_TYPE_NAMED_VALUE)->type, body,
                                 references, err)
                  : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    json_decref(body);
    json_decref(plain);
    json_decref(sealed);
    json_decref(kept);
    return rc;
}

/* ---- writing ---- */

/** What a PUT or PATCH wants. */
struct wish {
    json_t *properties; /* with the value */
    char version[PN_KEYVAULT_VERSION_TEXT];
    uint64_t revision; /* PATCH: of what it was merged into; 0: PUT */
};

static bool is_display_name(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return text.len > 0;
}

/** What the schema cannot say. False: answered. */
static bool check(struct arm_call *call, const json_t *properties)
{
    const json_t *vault = json_object_get(properties, "keyVault");
    bool has_value = json_object_get(properties, "value") != NULL;

    if (!is_display_name(pn_json_slice(properties, "displayName"))) {
        arm_answer_invalid(
            call, "displayName",
            "'displayName' may have only letters, digits, '.', '-' and '_': policies "
            "name the value as {{displayName}}.");
        return false;
    }
    if (vault && call->workspace.len > 0) {
        arm_answer_invalid(call, "keyVault",
                           "Named values from a key vault are not available in a workspace: the "
                           "service's identity reads the vault, and that is not lent to "
                           "workspaces. Give the 'value', or keep the named value at the service.");
        return false;
    }
    if (has_value != (vault != NULL))
        return true;
    arm_answer_invalid(call, has_value ? "keyVault" : "value",
                       has_value ? "Only one of 'value' and 'keyVault' may be given."
                                 : "Either 'value' or 'keyVault' is required.");
    return false;
}

/** Reads the secret from the vault into the wish. False: answered. */
static bool fetch(struct arm_call *call, struct wish *wish)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    json_t *vault = json_object_get(wish->properties, "keyVault");
    struct pn_error err = {0};
    struct pn_buf value;
    bool is_set = false;
    enum pn_rc rc;

    pn_buf_init_secret(&value, PN_NAMED_VALUE_BYTES_MAX);
    rc = services->fetch_value(services->ctx, call->service_id,
                               pn_json_str(vault, "secretIdentifier"),
                               pn_json_str(vault, "identityClientId"), &value, wish->version, &err);
    if (rc != PN_OK) {
        arm_answer_fetch_failed(call, vault, rc, &err);
    } else {
        is_set = json_object_set_new(wish->properties, "value",
                                     pn_json_from_slice(pn_buf_slice(&value))) == 0 &&
                 json_object_set_new(wish->properties, "secret", json_true()) == 0 &&
                 pn_generation_set_status(wish->properties, "Success", NULL, pn_clock_unix_ms()) ==
                     PN_OK;
        if (!is_set)
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
    }
    pn_buf_fini(&value);
    return is_set;
}

/** Another one with this display name. *is_taken. */
static enum pn_rc find_twin(struct arm_call *call, struct pn_store_txn *txn,
                            const json_t *properties, bool *is_taken, struct pn_error *err)
{
    const char *reference = arm_named_value_reference(call->arena, call->scope_id,
                                                      pn_json_slice(properties, "displayName"));
    struct pn_store_list users = {0};
    enum pn_rc rc = reference ? pn_store_users(txn, reference, &users, err)
                              : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    *is_taken = false;
    for (size_t i = 0; i < users.count; i++)
        *is_taken = *is_taken || strcasecmp(users.items[i].id, call->id) != 0;
    pn_store_list_fini(&users);
    return rc;
}

enum outcome { ANSWERED, STORED, AGAIN, CHANGED };

/** One attempt in a transaction. AGAIN: something is to be got first; CHANGED: what was merged into
 *  has been changed meanwhile. */
static enum outcome attempt(struct arm_call *call, const struct wish *wish,
                            struct arm_renewal *renewal)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former = {0};
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum outcome outcome = ANSWERED;
    json_t *entity = NULL;
    uint64_t revision = 0;
    bool is_taken = false;
    const char *id;
    enum pn_rc rc;

    if (!arm_begin(call, &txn, &former))
        return ANSWERED;
    if (wish->revision != 0 && former.revision != wish->revision) {
        pn_store_rollback(txn);
        pn_store_item_fini(&former);
        return CHANGED;
    }
    id = former.id ? former.id : call->id;
    rc = find_twin(call, txn, wish->properties, &is_taken, &err);
    if (rc == PN_OK && is_taken) {
        rc = pn_error_set(&err, PN_INVALID, "duplicate_name",
                          "Property with the same name already exist.");
        (void)pn_error_target(&err, "name");
    }
    if (rc == PN_OK)
        rc = arm_named_value_put_in(call, txn, id, wish->properties, wish->version, &err);
    if (rc == PN_OK)
        rc = arm_renew_users(call, txn, id, renewal, &err);
    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, id, &item, &err);
    if (rc == PN_OK) {
        entity = view(call, &item, &err);
        rc = entity ? PN_OK : err.rc;
    }
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        if (renewal->wanted)
            outcome = AGAIN;
        else if (rc != PN_EXISTS)
            arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_json(call, former.id ? 200 : 201, entity, revision);
        entity = NULL;
        outcome = STORED;
    }
    json_decref(entity);
    pn_store_item_fini(&item);
    pn_store_item_fini(&former);
    return outcome;
}

/** CHANGED: to be merged anew. */
static enum outcome store(struct arm_call *call, struct wish *wish)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct arm_renewal renewal = {0};
    struct pn_error err = {0};
    enum outcome outcome = attempt(call, wish, &renewal);

    while (outcome == AGAIN) {
        outcome = ANSWERED;
        if (arm_renewal_prepare(call, &renewal, &err) != PN_OK)
            arm_answer_failure(call, &err);
        else
            outcome = attempt(call, wish, &renewal);
    }
    if (outcome == STORED && json_object_get(wish->properties, "keyVault"))
        services->rescan(services->ctx);
    arm_renewal_end(call, &renewal);
    return outcome;
}

void arm_named_value_put(struct arm_call *call)
{
    struct wish wish = {0};

    if (!arm_properties(call, pn_named_value_fields, &wish.properties))
        return;
    if (check(call, wish.properties) &&
        (!json_object_get(wish.properties, "keyVault") || fetch(call, &wish))) {
        if (!json_object_get(wish.properties, "secret") &&
            json_object_set_new(wish.properties, "secret", json_false()) != 0)
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
        else
            (void)store(call, &wish);
    }
    json_decref(wish.properties);
}

/** The stored one with what the caller gives in place; the source is the one that was given last.
 *  False: answered. */
static bool merge(struct arm_call *call, const struct pn_store_item *item, struct wish *wish)
{
    const json_t *given = json_object_get(call->body, "properties");
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    json_t *stored = NULL;
    json_t *merged = NULL;
    enum pn_rc rc = arm_named_value_open(call->arm, item, &stored, &err);
    const char *version = pn_json_str(json_object_get(item->body, "internal"), "secretVersion");

    if (rc != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    wish->revision = item->revision;
    /* The value of a vault's secret is no value that the caller gave. */
    if (json_object_get(stored, "keyVault") || json_is_object(json_object_get(given, "keyVault")))
        (void)json_object_del(stored, "value");
    if (json_is_string(json_object_get(given, "value")) && !json_object_get(given, "keyVault"))
        (void)json_object_del(stored, "keyVault");
    merged = pn_schema_merge(stored, given);
    rc = merged ? pn_schema_apply(pn_named_value_fields, merged, &wish->properties, &problems)
                : PN_NOMEM;
    json_decref(stored);
    json_decref(merged);
    if (rc == PN_INVALID)
        arm_answer_problems(call, &problems);
    else if (rc != PN_OK)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    if (rc == PN_OK && version)
        (void)snprintf(wish->version, sizeof wish->version, "%s", version);
    return rc == PN_OK && check(call, wish->properties);
}

/** A vault's secret is read again only when the caller names the vault. False: answered. */
static bool keep_or_fetch(struct arm_call *call, const struct pn_store_item *item,
                          struct wish *wish)
{
    const json_t *given = json_object_get(call->body, "properties");
    struct pn_error err = {0};
    json_t *stored = NULL;
    bool is_fine = true;

    if (!json_object_get(wish->properties, "keyVault")) {
        wish->version[0] = '\0';
        return true;
    }
    if (json_is_object(json_object_get(given, "keyVault")))
        return fetch(call, wish);
    if (arm_named_value_open(call->arm, item, &stored, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    is_fine =
        json_object_set(wish->properties, "value", json_object_get(stored, "value")) == 0 &&
        json_object_set(wish->properties, "keyVault", json_object_get(stored, "keyVault")) == 0 &&
        json_object_set_new(wish->properties, "secret", json_true()) == 0;
    json_decref(stored);
    if (!is_fine)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return is_fine;
}

void arm_named_value_patch(struct arm_call *call)
{
    enum outcome outcome = CHANGED;

    for (int i = 0; outcome == CHANGED && i < TRIES; i++) {
        struct pn_store_item item = {0};
        struct pn_error err = {0};
        struct wish wish = {0};

        outcome = ANSWERED;
        if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
            if (err.rc == PN_NOT_FOUND)
                arm_answer_not_found(call);
            else
                arm_answer_failure(call, &err);
        } else if (arm_precondition(call, &item) && merge(call, &item, &wish) &&
                   keep_or_fetch(call, &item, &wish)) {
            outcome = store(call, &wish);
        }
        json_decref(wish.properties);
        pn_store_item_fini(&item);
    }
    if (outcome == CHANGED)
        arm_answer_error(call, 409, "Conflict",
                         "The named value is being changed by others; repeat the request.");
}

void arm_named_value_delete(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;

    arm_delete(call);
    if (call->response->status == 200)
        services->rescan(services->ctx);
}
