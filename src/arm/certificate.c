/* SPDX-License-Identifier: Apache-2.0
 *
 * certificates: an uploaded PFX or PEM file, or a reference into a key vault. The file goes to the
 * keyholder at once; what is stored are public facts and the key's name.
 *
 * The key's file is written when it is imported or, of a certificate that is there already, while
 * the backends are asked (rotation room); has_key() sees to it in any case.
 *
 * A key that was imported for a request that is then refused, or that no generation uses any more,
 * is forgotten. Another request may just be importing the same key: therefore the transaction that
 * puts a generation looks whether the keyholder still has its key, and forgetting happens inside a
 * transaction too (rotation room).
 */
#include "arm/arm_internal.h"
#include "arm/quirks.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "rotation/generation.h"
#include "rotation/rotation.h"

#define SHA256_HEX 64

/** A generation that is made but not stored yet. */
struct candidate {
    json_t *properties;
    json_t *internal;
};

static void candidate_fini(struct candidate *candidate)
{
    json_decref(candidate->properties);
    json_decref(candidate->internal);
    candidate->properties = NULL;
    candidate->internal = NULL;
}

static bool key_of(const json_t *internal, struct pn_key_id *key)
{
    return pn_hex_decode(pn_json_slice(internal, "keyId"), key->sha256, sizeof(key->sha256));
}

static void forget_unused(struct arm_call *call, const json_t *internal)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_key_id key;

    if (key_of(internal, &key))
        services->forget_unused(services->ctx, PN_USE_CLIENT, &key);
}

/** The keys of the current generation, and of those that wait or drain. */
static void forget_all(struct arm_call *call, const json_t *internal)
{
    const json_t *entry;
    size_t i;

    forget_unused(call, internal);
    json_array_foreach(json_object_get(internal, "generations"), i, entry)
    {
        forget_unused(call, json_object_get(entry, "internal"));
    }
}

/* ---- reading ---- */

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    json_t *entity = arm_view_plain(call, item, err);

    if (entity && arm_has_quirk(call, ARM_QUIRK_NO_WARNINGS))
        (void)json_object_del(json_object_get(entity, "properties"), "warnings");
    return entity;
}

/* The answer of refreshSecret. */
static json_t *view_refreshed(struct arm_call *call, const struct pn_store_item *item,
                              struct pn_error *err)
{
    json_t *entity = view(call, item, err);
    json_t *properties = json_incref(json_object_get(entity, "properties"));

    if (entity && arm_has_quirk(call, ARM_QUIRK_FLAT_REFRESH) &&
        (json_object_del(entity, "properties") != 0 ||
         json_object_update(entity, properties) != 0)) {
        json_decref(entity);
        entity = NULL;
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    json_decref(properties);
    return entity;
}

static const char *const filter_fields[] = {"name", "subject", "thumbprint", "expirationDate",
                                            NULL};

bool arm_is_refresh_failed(const struct arm_call *call, const struct pn_store_item *item)
{
    const json_t *vault = json_object_get(json_object_get(item->body, "properties"), "keyVault");
    const char *code = pn_json_str(json_object_get(vault, "lastStatus"), "code");

    (void)call;
    return code && strcmp(code, "Success") != 0;
}

void arm_certificates(struct arm_call *call)
{
    struct pn_slice failed = pn_request_query(call->request, "isKeyVaultRefreshFailed");
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_CERTIFICATE)->type,
        .fields = filter_fields,
        .view = view,
        .keep = pn_slice_case_eq_str(failed, "true") ? arm_is_refresh_failed : NULL,
        .are_facts = true,
        .is_followed = pn_slice_case_eq_str(failed, "true"),
    };

    arm_list(call, &rule);
}

void arm_certificate_get(struct arm_call *call)
{
    arm_get_with(call, view);
}

/* ---- writing ---- */

void arm_certificate_import_failed(struct arm_call *call, struct pn_error *err)
{
    if (err->rc == PN_MALFORMED || err->rc == PN_INVALID || err->rc == PN_LIMIT ||
        err->rc == PN_DENIED || err->rc == PN_NOT_FOUND || err->rc == PN_UNSUPPORTED) {
        arm_answer_cause(call, strcmp(err->code, "wrong_password") == 0 ? "password" : "data",
                         err->code, err->message);
        return;
    }
    arm_answer_failure(call, err);
}

bool arm_certificate_file(struct arm_call *call, const json_t *properties, struct pn_buf *file)
{
    enum pn_rc rc = pn_base64_decode(pn_json_slice(properties, "data"), file);

    if (rc == PN_OK && file->len > 0)
        return true;
    if (rc == PN_OK || rc == PN_LIMIT)
        arm_answer_invalid(call, "data", "'data' must hold a file of 1 to %u bytes.",
                           PN_IMPORT_BYTES_MAX);
    else
        arm_answer_invalid(call, "data",
                           "'data' is not valid base64: it must be the PFX file, "
                           "base64-encoded.");
    return false;
}

/** A certificate that is there already: its next generation's key is settled while the backends are
 * asked. */
static bool is_there(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    bool is_known = pn_store_get(call->arm->config.store, call->id, &item, &err) == PN_OK;

    pn_store_item_fini(&item);
    return is_known;
}

/** Imports the file that `data` holds and makes the candidate. False: answered. */
static bool import_data(struct arm_call *call, const json_t *properties,
                        struct candidate *candidate)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const struct pn_generation_origin origin = {.generation = 1};
    struct pn_imported imported = {0};
    struct pn_error err = {0};
    struct pn_buf file;
    enum pn_rc rc = PN_OK;

    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    if (!arm_certificate_file(call, properties, &file))
        goto out;
    rc = (is_there(call) ? services->import_soon : services->import)(
        services->ctx, PN_USE_CLIENT, pn_buf_slice(&file), pn_json_slice(properties, "password"),
        &imported, &err);
    if (rc != PN_OK) {
        arm_certificate_import_failed(call, &err);
        goto out;
    }
    rc = pn_generation_make(&imported, &origin, pn_clock_unix_ms(), &candidate->properties,
                            &candidate->internal, &err);
    if (rc != PN_OK) {
        services->forget_unused(services->ctx, PN_USE_CLIENT, &imported.key);
        arm_certificate_import_failed(call, &err);
    }
out:
    pn_imported_fini(&imported);
    pn_buf_fini(&file);
    return candidate->properties != NULL;
}

void arm_answer_fetch_failed(struct arm_call *call, const json_t *vault, enum pn_rc rc,
                             const struct pn_error *err)
{
    /* What the vault or the identity said is about the caller's reference, whatever its code. */
    if (strcmp(err->code, "identity_not_enabled") == 0)
        arm_answer_error(call, 400, "InvalidOperation", "%s", err->message);
    else if (strcmp(err->code, "vault_forbidden") == 0)
        arm_answer_vault_forbidden(call, vault, err);
    else if (strncmp(err->code, "vault_", 6) == 0 ||
             (rc != PN_UNAVAILABLE && rc != PN_TIMEOUT && rc != PN_NOMEM && rc != PN_IO &&
              rc != PN_INTERNAL))
        arm_answer_invalid(call, err->target[0] ? err->target : "keyVault.secretIdentifier", "%s",
                           err->message);
    else
        arm_answer_failure(call, err);
}

static bool fetch_from_vault(struct arm_call *call, const json_t *vault,
                             struct candidate *candidate)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const struct pn_arm_fetch what = {
        .service_id = call->service_id,
        .secret_identifier = pn_json_str(vault, "secretIdentifier"),
        .identity_client_id = pn_json_str(vault, "identityClientId"),
        .generation = 1,
        .use = PN_USE_CLIENT,
    };
    struct pn_error err = {0};
    enum pn_rc rc =
        services->fetch(services->ctx, &what, &candidate->properties, &candidate->internal, &err);

    if (rc != PN_OK)
        arm_answer_fetch_failed(call, vault, rc, &err);
    return rc == PN_OK;
}

/** The keyholder may have forgotten the key since the import, for another request's sake. */
static bool key_is_there(struct arm_call *call, const json_t *internal)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_error err = {0};
    struct pn_key_id key;
    enum pn_rc rc = PN_INTERNAL;

    if (key_of(internal, &key))
        rc = services->has_key(services->ctx, PN_USE_CLIENT, &key, &err);
    else
        pn_error_set(&err, rc, "no_key_id", "the certificate has no key id");
    if (rc == PN_OK)
        return true;
    if (rc == PN_NOT_FOUND)
        pn_error_set(&err, PN_UNAVAILABLE, "key_forgotten",
                     "The same certificate was just deleted by another request; repeat this one.");
    arm_answer_failure(call, &err);
    return false;
}

/** What the certificate must be when the generation is staged, so that of two who have read the
 * same only one writes. */
static uint64_t wanted_revision(const struct arm_call *call, const struct pn_store_item *known)
{
    struct pn_slice if_match = pn_slice_trim(pn_headers_get(&call->request->headers, "If-Match"));

    return if_match.len > 0 && !pn_slice_eq_str(if_match, "*") ? known->revision : 0;
}

static void answer_offer_failed(struct arm_call *call, const struct pn_rotation_offer *what,
                                uint64_t number, struct pn_error *err)
{
    if (err->rc == PN_DENIED)
        arm_answer_refused_generation(call, number, err);
    else if (err->rc == PN_CONFLICT && what->revision > 0)
        arm_answer_error(call, 412, "PreconditionFailed",
                         "Resource was modified since last retrieval.");
    else if (err->rc == PN_NOT_FOUND)
        arm_answer_error(call, 409, "Conflict",
                         "The certificate was deleted by another request meanwhile; repeat this "
                         "one if it is still wanted.");
    else
        arm_answer_failure(call, err);
}

/** A certificate that is there already gets a new generation: shown to its backends first. */
static bool offer_candidate(struct arm_call *call, const struct pn_store_item *known,
                            const struct candidate *candidate)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    json_t *entry = arm_audit_entry(call, 200);
    struct pn_rotation_note note = {.entry = entry};
    const struct pn_rotation_offer what = {
        .known = known->body,
        .properties = candidate->properties,
        .internal = candidate->internal,
        .cause = "upload",
        .force = !arm_has_quirk(call, ARM_QUIRK_NO_FORCE) &&
                 pn_slice_case_eq_str(pn_request_query(call->request, "force"), "true"),
        .revision = wanted_revision(call, known),
        .note = entry ? &note : NULL,
    };
    struct pn_error err = {0};
    uint64_t number = 0;
    enum pn_rc rc = services->offer(services->ctx, call->id, &what, &number, &err);

    json_decref(entry);
    call->is_noted = rc == PN_OK && note.is_noted; /* done but not live: that is noted, too */
    if (rc == PN_OK)
        arm_get_with(call, view);
    else
        answer_offer_failed(call, &what, number, &err);
    return rc == PN_OK;
}

/** Stores the candidate. Takes what it holds. */
static bool store_candidate(struct arm_call *call, struct candidate *candidate)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    const json_t *old = NULL;
    json_t *properties = candidate->properties;
    json_t *internal = json_incref(candidate->internal);
    bool is_stored = false;

    if (!arm_begin(call, &txn, &former)) {
        json_decref(internal);
        return false;
    }
    old = json_object_get(former.body, "internal");
    if (old && call->arm->config.services.offer) {
        pn_store_rollback(txn);
        json_decref(internal);
        is_stored = offer_candidate(call, &former, candidate);
        pn_store_item_fini(&former);
        return is_stored;
    }
    if (!key_is_there(call, candidate->internal)) {
        pn_store_rollback(txn);
        json_decref(internal);
    } else if (json_object_set_new(internal, "generation",
                                   json_integer(pn_json_int(old, "generation", 0) + 1)) != 0) {
        pn_store_rollback(txn);
        json_decref(internal);
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else {
        candidate->properties = NULL;
        is_stored = arm_store_and_answer(call, txn, &former, properties, internal, NULL, view);
    }
    if (is_stored && old)
        forget_unused(call, old);
    pn_store_item_fini(&former);
    return is_stored;
}

/** The gateway knows it by one name, with its workspace. False: answered. */
static bool check_length(struct arm_call *call)
{
    size_t above = call->workspace.len > 0
                       ? strlen("workspaces/") + call->workspace.len + strlen("/certificates/")
                       : 0;

    if (above + arm_name(call).len <= PN_SCOPED_NAME_BYTES_MAX)
        return true;
    arm_answer_invalid(call, "name", "The id has %zu bytes in UTF-8; here it may have at most %zu.",
                       arm_name(call).len, (size_t)PN_SCOPED_NAME_BYTES_MAX - above);
    return false;
}

void arm_certificate_put(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct candidate candidate = {0};
    json_t *properties = NULL;
    const json_t *vault = NULL;
    bool has_data = false;
    bool is_made = false;

    if (!arm_properties(call, pn_certificate_fields, &properties))
        return;
    if (!check_length(call))
        goto out;
    vault = json_object_get(properties, "keyVault");
    if (vault && call->workspace.len > 0) {
        arm_answer_invalid(call, "keyVault",
                           "Certificates from a key vault are not available in a workspace: the "
                           "service's identity reads the vault, and that is not lent to "
                           "workspaces. Upload the file ('data', 'password'), or keep the "
                           "certificate at the service.");
        goto out;
    }
    has_data = json_object_get(properties, "data") != NULL;
    if (has_data == (vault != NULL)) {
        arm_answer_invalid(call, has_data ? "keyVault" : "data",
                           has_data ? "Only one of 'data' and 'keyVault' may be given."
                                    : "Either 'data' or 'keyVault' is required.");
        goto out;
    }
    is_made = vault ? fetch_from_vault(call, vault, &candidate)
                    : import_data(call, properties, &candidate);
    if (!is_made)
        goto out;
    /* Not stored: the import must leave nothing behind. Stored but not live: the key is in use, and
     * forget_unused sees that. */
    if (!store_candidate(call, &candidate))
        forget_unused(call, candidate.internal);
    services->rescan(services->ctx);
out:
    candidate_fini(&candidate);
    json_decref(properties);
}

/** What was deleted is read in the transaction that deletes it: a generation that another request
 * had made current just before must not leave its key behind. */
void arm_certificate_delete(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_store_item item;

    if (arm_delete_item(call, &item)) {
        forget_all(call, json_object_get(item.body, "internal"));
        services->rescan(services->ctx);
        arm_answer_empty(call, 200);
    }
    pn_store_item_fini(&item);
}

void arm_certificate_refresh(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_store_item item;
    struct pn_error err = {0};
    bool is_from_vault = false;

    if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
        return;
    }
    is_from_vault = json_object_get(json_object_get(item.body, "properties"), "keyVault") != NULL;
    if (!is_from_vault)
        arm_answer_invalid(call, "keyVault",
                           "The certificate '%.*s' is not from a key vault: there is nothing to "
                           "refresh. Upload the new file with PUT instead.",
                           PN_FMT(arm_name(call)));
    else if (!arm_precondition(call, &item))
        is_from_vault = false;
    else if (services->refresh(services->ctx, item.id, &err) != PN_OK) {
        is_from_vault = false;
        if (err.rc == PN_NOT_FOUND && strcmp(err.code, "certificate_changed") == 0)
            err.rc = PN_CONFLICT; /* it is there, but follows something else by now */
        arm_answer_failure(call, &err);
    }
    pn_store_item_fini(&item);
    if (is_from_vault)
        arm_get_with(call, view_refreshed);
}
