/* SPDX-License-Identifier: Apache-2.0
 *
 * One outcome, written: a new generation, or only lastStatus; nothing when nothing changed. Keys
 * that no certificate uses any more are forgotten, while a transaction proves that.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/log.h"
#include "rotation/generation.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

/* What a turn of rotation_apply does to the store. */
struct change {
    bool is_written;
    bool is_promoted;
    struct pn_key_id former_key;
    bool has_former_key;
};

static const json_t *key_vault_of(const json_t *body)
{
    return json_object_get(json_object_get(body, "properties"), "keyVault");
}

static bool has_status(const json_t *body, const char *code, const char *message)
{
    const json_t *status = json_object_get(key_vault_of(body), "lastStatus");
    struct pn_slice stored = pn_json_slice(status, "message");

    return pn_slice_eq_str(pn_json_slice(status, "code"), code) &&
           pn_slice_eq(stored, pn_slice_str(message));
}

static bool is_current(const json_t *body, const struct pn_fetched *fetched)
{
    char key_id[65];
    const json_t *internal = json_object_get(body, "internal");

    pn_hex_lower(fetched->imported.key.sha256, sizeof fetched->imported.key.sha256, key_id);
    return pn_slice_eq_str(pn_json_slice(internal, "secretVersion"), fetched->version) &&
           pn_slice_eq_str(pn_json_slice(internal, "keyId"), key_id);
}

/* Makes `body` the next generation. */
static enum pn_rc promote(struct pn_rotation *rotation, json_t *body,
                          const struct pn_fetched *fetched, struct change *change,
                          struct pn_error *err)
{
    json_t *own = json_object_get(body, "internal");
    const json_t *key_vault = key_vault_of(body);
    struct pn_generation_origin origin = {
        .generation = (uint64_t)pn_json_int(own, "generation", 0) + 1,
        .secret_identifier = pn_json_str(key_vault, "secretIdentifier"),
        .identity_client_id = pn_json_str(key_vault, "identityClientId"),
        .secret_version = fetched->version,
    };
    json_t *properties = NULL, *internal = NULL;
    enum pn_rc rc = pn_generation_make(&fetched->imported, &origin, rotation->now_ms(), &properties,
                                       &internal, err);

    if (rc != PN_OK)
        return rc;
    change->has_former_key = pn_hex_decode(pn_json_slice(own, "keyId"), change->former_key.sha256,
                                           sizeof change->former_key.sha256);
    change->is_promoted = true;
    if (json_object_update(own, internal) != 0 ||
        json_object_update(json_object_get(body, "properties"), properties) != 0)
        rc = PN_NOMEM;
    json_decref(properties);
    json_decref(internal);
    return rc;
}

/* A vault's own words may be cut inside a character, or be no UTF-8 at all; JSON wants UTF-8. */
static void keep_readable(char *message)
{
    json_t *probe = json_string(message);

    for (char *at = message; !probe && *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    json_decref(probe);
}

/* Decides what to do with the stored item; body is changed in place. */
static enum pn_rc decide(struct pn_rotation *rotation, json_t *body,
                         const struct pn_fetched *fetched, const struct pn_error *failure,
                         bool force, struct change *change, struct pn_error *err)
{
    json_t *properties = json_object_get(body, "properties");
    char message[STATUS_MESSAGE_MAX] = "";
    const char *code = "Success";

    if (fetched && !is_current(body, fetched)) {
        change->is_written = true;
        return promote(rotation, body, fetched, change, err);
    }
    if (!fetched) {
        code = pn_rotation_status_code(failure);
        snprintf(message, sizeof message, "%.*s", STATUS_MESSAGE_MAX - 1, failure->message);
        keep_readable(message);
    }
    if (!force && has_status(body, code, message))
        return PN_OK;
    change->is_written = true;
    return pn_generation_set_status(properties, code, message, rotation->now_ms());
}

/* Another fetch, which may have begun later, was faster. */
static enum pn_rc overtaken(struct pn_error *err)
{
    return pn_error_set(err, PN_AGAIN, "certificate_changed",
                        "the certificate was changed while its secret was fetched");
}

/* Everything inside the transaction. */
static enum pn_rc write_outcome(struct pn_rotation *rotation, struct pn_store_txn *txn,
                                const char *certificate_id, const char *secret_identifier,
                                const struct pn_fetched *fetched, const struct pn_error *failure,
                                bool force, struct change *change, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_error unfit = {0};
    struct pn_buf spki;
    enum pn_rc rc = pn_store_txn_get(txn, certificate_id, &item, err);

    if (rc != PN_OK)
        return rc;
    if (!pn_slice_eq_str(pn_json_slice(key_vault_of(item.body), "secretIdentifier"),
                         secret_identifier)) {
        pn_store_item_fini(&item);
        return pn_error_set(err, PN_NOT_FOUND, "certificate_changed",
                            "the certificate was changed to another source meanwhile");
    }
    /* A certificate of backends was current when it was looked at before, and is not any more:
     * nobody has asked the backends what they think of it (promise 5). */
    if (fetched && !is_current(item.body, fetched) &&
        (strcmp(item.type, CERTIFICATE_TYPE) == 0 || item.revision > fetched->since)) {
        pn_store_item_fini(&item);
        return overtaken(err);
    }
    /* A certificate that a listener must not show does not take over (promise 5). */
    if (fetched && strcmp(item.type, HOSTNAME_TYPE) == 0 && !is_current(item.body, fetched) &&
        pn_generation_check_host(&fetched->imported,
                                 pn_json_str(json_object_get(item.body, "properties"), "hostName"),
                                 rotation->now_ms() / 1000, &unfit) != PN_OK) {
        fetched = NULL;
        failure = &unfit;
    }
    rc = decide(rotation, item.body, fetched, failure, force, change, err);
    if (rc == PN_OK && change->is_written && failure == &unfit)
        pn_log(PN_LOG_WARN, "certificate_refused", "certificate", PN_S(certificate_id), "message",
               PN_S(unfit.message), NULL);
    if (rc == PN_OK && change->is_promoted) {
        /* Somebody may have forgotten this key between the import and now. */
        pn_buf_init(&spki, 16384);
        rc = pn_keyholder_public(rotation->config.keyholder, fetched->use, &fetched->imported.key,
                                 &spki, err);
        if (rc == PN_NOT_FOUND)
            rc = PN_AGAIN;
        pn_buf_fini(&spki);
    }
    if (rc == PN_OK && change->is_written)
        rc = pn_store_put(txn, item.id, item.type, item.body, pn_store_keep_references, err);
    pn_store_item_fini(&item);
    return rc;
}

static void log_outcome(const char *certificate_id, const struct pn_fetched *fetched,
                        const struct pn_error *failure, const struct change *change)
{
    if (change->is_promoted)
        pn_log(PN_LOG_INFO, "certificate_rotated", "certificate", PN_S(certificate_id), "version",
               PN_S(fetched->version), NULL);
    else if (!fetched && change->is_written)
        pn_log(PN_LOG_WARN, "certificate_fetch_failed", "certificate", PN_S(certificate_id), "code",
               PN_S(pn_rotation_status_code(failure)), "message", PN_S(failure->message), NULL);
}

/* A new version of a certificate: staged, shown to its backends, promoted. PN_NOT_FOUND: it is not
 * new, or not a certificate of backends. */
static enum pn_rc offer(struct pn_rotation *rotation, const char *certificate_id,
                        const char *secret_identifier, const struct pn_fetched *fetched,
                        struct pn_error *err)
{
    struct pn_store_item item = {0};
    json_t *properties = NULL, *internal = NULL;
    const json_t *key_vault;
    uint64_t number = 0;
    enum pn_rc rc = pn_store_get(rotation->config.store, certificate_id, &item, err);

    if (rc != PN_OK)
        return rc;
    key_vault = key_vault_of(item.body);
    if (strcmp(item.type, CERTIFICATE_TYPE) != 0 || is_current(item.body, fetched) ||
        !pn_slice_eq_str(pn_json_slice(key_vault, "secretIdentifier"), secret_identifier)) {
        rc = PN_NOT_FOUND;
    } else if (item.revision > fetched->since) {
        rc = overtaken(err);
    } else {
        struct pn_generation_origin origin = {
            .generation = 1, /* numbered when it is staged */
            .secret_identifier = secret_identifier,
            .identity_client_id = pn_json_str(key_vault, "identityClientId"),
            .secret_version = fetched->version,
        };

        rc = pn_generation_make(&fetched->imported, &origin, rotation->now_ms(), &properties,
                                &internal, err);
        if (rc == PN_OK)
            rc = pn_rotation_offer(rotation, certificate_id,
                                   &(struct pn_rotation_offer){.known = item.body,
                                                               .properties = properties,
                                                               .internal = internal,
                                                               .cause = "vault",
                                                               .keeps_source = true},
                                   &number, err);
    }
    pn_store_item_fini(&item);
    json_decref(properties);
    json_decref(internal);
    return rc;
}

enum pn_rc rotation_apply(struct pn_rotation *rotation, const char *certificate_id,
                          const char *secret_identifier, const struct pn_fetched *fetched,
                          const struct pn_error *failure, bool force, struct pn_error *err)
{
    const struct pn_publisher *publisher = &rotation->config.publisher;
    struct pn_store_txn *txn = NULL;
    struct change change = {0};
    uint64_t revision = 0;
    enum pn_rc rc;

    /* Our own stop says nothing about the vault: lastStatus stays. */
    if (failure && strcmp(failure->code, PN_KEYVAULT_STOPPING) == 0)
        return PN_OK;
    if (fetched) {
        rc = offer(rotation, certificate_id, secret_identifier, fetched, err);
        if (rc == PN_DENIED) /* written already: it stays staged, and lastStatus says why */
            return PN_OK;
        if (rc != PN_NOT_FOUND)
            return rc;
    }
    rc = pn_store_begin(rotation->config.store, &txn, err);
    if (rc != PN_OK)
        return rc;
    rc = write_outcome(rotation, txn, certificate_id, secret_identifier, fetched, failure, force,
                       &change, err);
    if (rc != PN_OK || !change.is_written) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, &revision, err);
    if (rc != PN_OK)
        return rc;
    log_outcome(certificate_id, fetched, failure, &change);
    if (!change.is_promoted)
        return PN_OK;
    if (publisher->publish)
        rc = publisher->publish(publisher->ctx, revision, err);
    /* The former key goes only when the gateway no longer needs it. */
    if (rc == PN_OK && change.has_former_key &&
        memcmp(&change.former_key, &fetched->imported.key, sizeof change.former_key) != 0)
        pn_rotation_forget_unused(rotation, fetched->use, &change.former_key);
    return rc;
}

/* Within a transaction: nobody else can begin to use the key meanwhile. */
static enum pn_rc forget_unused(struct pn_rotation *rotation, struct pn_store_txn *txn,
                                enum pn_key_use use, const struct pn_key_id *key,
                                struct pn_error *err)
{
    bool is_used = true;
    char key_id[65];
    enum pn_rc rc;

    pn_hex_lower(key->sha256, sizeof key->sha256, key_id);
    rc = pn_store_key_is_used(txn, key_id, &is_used, err);
    if (rc == PN_OK && !is_used)
        rc = rotation_key_waits(txn, key_id, &is_used, err);
    if (rc == PN_OK && !is_used)
        rc = pn_keyholder_forget(rotation->config.keyholder, use, key, err);
    return rc;
}

void pn_rotation_forget_unused(struct pn_rotation *rotation, enum pn_key_use use,
                               const struct pn_key_id *key)
{
    pn_rotation_forget_all_unused(rotation, use, key, 1);
}

void pn_rotation_forget_all_unused(struct pn_rotation *rotation, enum pn_key_use use,
                                   const struct pn_key_id *keys, size_t count)
{
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_begin(rotation->config.store, &txn, &err);

    for (size_t i = 0; rc == PN_OK && i < count; i++)
        rc = forget_unused(rotation, txn, use, &keys[i], &err);
    pn_store_rollback(txn);
    if (rc != PN_OK)
        pn_log_error(PN_LOG_WARN, "key_not_forgotten", &err);
}
