/* SPDX-License-Identifier: Apache-2.0
 *
 * Named values from a key vault: what the vault has now takes over with everything that names it,
 * or the former value stays and lastStatus says why. Called by the rotation room's follower, and by
 * refreshSecret.
 */
#include <string.h>

#include "arm/named_value.h"
#include "base/clock.h"
#include "base/log.h"
#include "keyvault/keyvault.h"
#include "rotation/generation.h"
#include "rotation/rotation.h"

#define APPLY_BYTES_MAX (64u * 1024 * 1024)
#define REFUSED         "ValueRefused"
#define REFRESH_TRIES   3

static const json_t *vault_of(const struct pn_store_item *item)
{
    return json_object_get(json_object_get(item->body, "properties"), "keyVault");
}

static bool has_status(const struct pn_store_item *item, const char *code, const char *message)
{
    const json_t *status = json_object_get(vault_of(item), "lastStatus");

    return pn_slice_eq_str(pn_json_slice(status, "code"), code) &&
           pn_slice_eq(pn_json_slice(status, "message"), pn_slice_str(message));
}

/** lastStatus alone; nothing when nothing has changed. Ends the transaction. */
static enum pn_rc set_status(struct pn_store_txn *txn, const struct pn_store_item *item,
                             const char *code, const char *message, bool force,
                             struct pn_error *err)
{
    json_t *body = NULL;
    enum pn_rc rc = PN_OK;

    if (!force && has_status(item, code, message)) {
        pn_store_rollback(txn);
        return PN_OK;
    }
    body = json_deep_copy(item->body);
    rc = body ? pn_generation_set_status(json_object_get(body, "properties"), code, message,
                                         pn_clock_unix_ms())
              : PN_NOMEM;
    if (rc != PN_OK)
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = pn_store_put(txn, item->id, item->type, body, pn_store_keep_references, err);
    json_decref(body);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

/** Begins a transaction with the item, which still follows that secret. */
static enum pn_rc begin(struct pn_arm *arm, const char *id, const char *identifier,
                        struct pn_store_txn **txn, struct pn_store_item *item, struct pn_error *err)
{
    enum pn_rc rc = pn_store_begin(arm->config.store, txn, err);

    memset(item, 0, sizeof *item);
    if (rc == PN_OK)
        rc = pn_store_txn_get(*txn, id, item, err);
    if (rc == PN_OK &&
        !pn_slice_eq_str(pn_json_slice(vault_of(item), "secretIdentifier"), identifier))
        rc = pn_error_set(err, PN_NOT_FOUND, "value_changed",
                          "the named value was changed to another source meanwhile");
    if (rc != PN_OK) {
        pn_store_item_fini(item);
        pn_store_rollback(*txn);
        *txn = NULL;
    }
    return rc;
}

/** The new value in the transaction, and all that names it. *is_new false: it is the same. */
static enum pn_rc take_over(struct arm_call *call, struct pn_store_txn *txn,
                            const struct pn_store_item *item, const struct pn_rotation_value *value,
                            struct arm_renewal *renewal, bool *is_new, struct pn_error *err)
{
    json_t *properties = NULL;
    const char *version = pn_json_str(json_object_get(item->body, "internal"), "secretVersion");
    enum pn_rc rc = arm_named_value_open(call->arm, item, &properties, err);

    if (rc == PN_OK)
        *is_new = !pn_slice_eq(pn_json_slice(properties, "value"), value->text) || !version ||
                  strcmp(version, value->version) != 0;
    if (rc == PN_OK && *is_new &&
        (json_object_set_new(properties, "value", pn_json_from_slice(value->text)) != 0 ||
         pn_generation_set_status(properties, "Success", NULL, pn_clock_unix_ms()) != PN_OK))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK && *is_new)
        rc = arm_named_value_put_in(call, txn, item->id, properties, value->version, err);
    if (rc == PN_OK && *is_new)
        rc = arm_renew_users(call, txn, item->id, renewal, err);
    json_decref(properties);
    return rc;
}

/** Another fetch, which may have begun later, was faster. Ends the transaction. */
static enum pn_rc overtaken(struct pn_store_txn *txn, struct pn_store_item *item,
                            struct pn_error *err)
{
    pn_store_item_fini(item);
    pn_store_rollback(txn);
    return pn_error_set(err, PN_AGAIN, "value_changed",
                        "the named value was changed while its secret was fetched");
}

/** PN_AGAIN: something had to be got first; *is_overtaken: or the vault must be asked again. */
static enum pn_rc apply(struct arm_call *call, const char *identifier,
                        const struct pn_rotation_value *value, struct arm_renewal *renewal,
                        bool force, bool *is_overtaken, struct pn_error *err)
{
    const struct pn_publisher *publisher = &call->arm->config.publisher;
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item = {0};
    struct pn_error refusal = {0};
    uint64_t revision = 0;
    bool is_new = false;
    enum pn_rc rc = begin(call->arm, call->id, identifier, &txn, &item, err);

    if (rc != PN_OK)
        return rc;
    *is_overtaken = item.revision > value->since;
    if (*is_overtaken)
        return overtaken(txn, &item, err);
    rc = take_over(call, txn, &item, value, renewal, &is_new, &refusal);
    if (rc == PN_OK && !is_new) {
        rc = set_status(txn, &item, "Success", "", force, err);
    } else if (rc == PN_OK) {
        rc = pn_store_commit(txn, &revision, err);
        if (rc == PN_OK)
            pn_log(PN_LOG_INFO, "named_value_rotated", "namedValue", PN_S(call->id), "version",
                   PN_S(value->version), NULL);
        if (rc == PN_OK && publisher->publish)
            rc = publisher->publish(publisher->ctx, revision, err);
    } else {
        pn_store_rollback(txn);
        pn_store_item_fini(&item);
        if (renewal->wanted) {
            rc = arm_renewal_prepare(call, renewal, err);
            return rc == PN_OK ? PN_AGAIN : rc;
        }
        *err = refusal;
        if (rc != PN_INVALID)
            return rc;
        pn_log(PN_LOG_WARN, "named_value_refused", "namedValue", PN_S(call->id), "message",
               PN_S(refusal.message), NULL);
        rc = begin(call->arm, call->id, identifier, &txn, &item, err);
        if (rc == PN_OK)
            rc = set_status(txn, &item, REFUSED, refusal.message, force, err);
    }
    pn_store_item_fini(&item);
    return rc;
}

static enum pn_rc apply_failure(struct pn_arm *arm, const char *id, const char *identifier,
                                const struct pn_error *failure, bool force, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item = {0};
    const char *code = pn_rotation_status_code(failure);
    enum pn_rc rc = begin(arm, id, identifier, &txn, &item, err);

    if (rc != PN_OK)
        return rc;
    if (strcmp(code, "CertificateRefused") == 0)
        code = REFUSED;
    if (!has_status(&item, code, failure->message))
        pn_log(PN_LOG_WARN, "named_value_fetch_failed", "namedValue", PN_S(id), "code", PN_S(code),
               "message", PN_S(failure->message), NULL);
    rc = set_status(txn, &item, code, failure->message, force, err);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc pn_arm_apply_value(void *ctx, const char *id, const char *secret_identifier,
                              const struct pn_rotation_value *value, const struct pn_error *failure,
                              bool force, struct pn_error *err)
{
    struct pn_arm *arm = ctx;
    struct pn_arena *arena = pn_arena_create(4096, APPLY_BYTES_MAX);
    const char *suffix = strcasestr(id, "/namedValues/");
    struct pn_request request = {.arena = arena};
    struct pn_response response = {.arena = arena, .status = 200};
    struct arm_call call = {
        .arm = arm, .request = &request, .response = &response, .arena = arena, .id = id};
    struct arm_renewal renewal = {0};
    bool is_overtaken = false;
    enum pn_rc rc = PN_AGAIN;

    if (failure) {
        pn_arena_destroy(arena);
        return apply_failure(arm, id, secret_identifier, failure, force, err);
    }
    if (arena && suffix)
        call.service_id = call.scope_id =
            pn_arena_strdup(arena, pn_slice(id, (size_t)(suffix - id)));
    if (!call.service_id) {
        pn_arena_destroy(arena);
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    while (rc == PN_AGAIN && !is_overtaken)
        rc = apply(&call, secret_identifier, value, &renewal, force, &is_overtaken, err);
    arm_renewal_end(&call, &renewal);
    pn_arena_destroy(arena);
    return rc;
}

/** Asks the vault that `item` names, and takes over what it has. As pn_arm_apply_value(). */
static enum pn_rc refresh_once(struct arm_call *call, const struct pn_store_item *item,
                               struct pn_error *err)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const char *identifier = pn_json_str(vault_of(item), "secretIdentifier");
    char version[PN_KEYVAULT_VERSION_TEXT] = "";
    struct pn_rotation_value value = {.version = version,
                                      .since = pn_store_revision(call->arm->config.store)};
    struct pn_error failure = {0};
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init_secret(&text, PN_NAMED_VALUE_BYTES_MAX);
    rc = services->fetch_value(services->ctx, call->service_id, identifier,
                               pn_json_str(vault_of(item), "identityClientId"), &text, version,
                               &failure);
    if (rc != PN_OK && failure.rc == PN_OK)
        pn_error_set(&failure, rc, "internal", "the fetch failed: %s", pn_rc_name(rc));
    value.text = pn_buf_slice(&text);
    rc = pn_arm_apply_value(call->arm, item->id, identifier, &value, rc == PN_OK ? NULL : &failure,
                            true, err);
    pn_buf_fini(&text);
    return rc;
}

/** The item as it is now. PN_CONFLICT: it has another source than `item`, as which it comes. */
static enum pn_rc load_again(struct arm_call *call, struct pn_store_item *item,
                             struct pn_error *err)
{
    struct pn_store_item now = {0};
    enum pn_rc rc = pn_store_get(call->arm->config.store, call->id, &now, err);

    if (rc != PN_OK)
        return rc;
    if (!pn_generation_is_same_source(vault_of(&now), vault_of(item))) {
        pn_store_item_fini(&now);
        return pn_error_set(err, PN_CONFLICT, "value_changed",
                            "The named value was given another source while its secret was "
                            "fetched; nothing was refreshed.");
    }
    pn_store_item_fini(item);
    *item = now;
    return PN_OK;
}

/** What others have changed meanwhile is looked at anew: it may be newer than what was fetched. */
static enum pn_rc refresh(struct arm_call *call, struct pn_store_item *item, struct pn_error *err)
{
    enum pn_rc rc = refresh_once(call, item, err);

    for (int i = 1;
         rc == PN_AGAIN || (rc == PN_NOT_FOUND && strcmp(err->code, "value_changed") == 0); i++) {
        rc = load_again(call, item, err);
        if (rc == PN_OK && i == REFRESH_TRIES)
            return pn_error_set(err, PN_CONFLICT, "value_changed",
                                "Other requests changed the named value whenever its secret was "
                                "fetched; try again.");
        if (rc == PN_OK)
            rc = refresh_once(call, item, err);
    }
    return rc;
}

void arm_named_value_refresh(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};

    if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
        return;
    }
    if (!pn_json_str(vault_of(&item), "secretIdentifier"))
        arm_answer_invalid(call, "keyVault",
                           "The named value '%.*s' is not from a key vault: there is nothing to "
                           "refresh. Set the new value with PUT or PATCH instead.",
                           PN_FMT(arm_name(call)));
    else if (!arm_precondition(call, &item))
        ; /* answered */
    else if (refresh(call, &item, &err) == PN_OK)
        arm_named_value_get(call);
    else if (err.rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
    pn_store_item_fini(&item);
}
