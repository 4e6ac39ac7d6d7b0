/* SPDX-License-Identifier: Apache-2.0
 *
 * What policies refer to, kept as data: certificates by id or thumbprint, backends, what an
 * expression may give of both (marked as such by a second reference, ADR 241), and
 * certificates given in the document itself. Those are taken out when the policy is put: key and
 * chain go to the keyholder and to a resource of their own ({service}/posternEmbedded/{hash of the
 * chain}), the document keeps only its name.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "arm/quirks.h"
#include "base/clock.h"
#include "base/encode.h"
#include "certs/certificate.h"
#include "policy/policy.h"
#include "rotation/generation.h"

#define POLICY_REFERENCES_MAX 256 /* literal references of one document */
#define POLICY_EMBEDDED_MAX   16  /* certificates given in one document */
#define POLICY_TOKENS_MAX     16  /* tokens of managed identities that one document names */

struct embedded {
    const char *hash;
    json_t *properties;
    json_t *internal;
};

struct token {
    const char *id;
    json_t *body;
};

struct arm_policy_work {
    struct embedded items[POLICY_EMBEDDED_MAX];
    size_t count;
    struct token tokens[POLICY_TOKENS_MAX];
    size_t token_count;
};

/* ---- taking certificates out ---- */

struct bodies {
    struct pn_policy_reference items[POLICY_EMBEDDED_MAX];
    size_t count;
};

static enum pn_rc on_body(void *ctx, const struct pn_policy_reference *reference,
                          struct pn_error *err)
{
    struct bodies *bodies = ctx;

    if (reference->kind != PN_POLICY_CERTIFICATE_BODY)
        return PN_OK;
    if (bodies->count == POLICY_EMBEDDED_MAX)
        return pn_policy_reference_error(reference, err,
                                         "a policy may hold at most %d certificates in 'body'",
                                         POLICY_EMBEDDED_MAX);
    bodies->items[bodies->count++] = *reference;
    return PN_OK;
}

/** SHA-256 over the whole chain, as text in the arena. */
static const char *hash_chain(struct arm_call *call, const struct pn_imported *imported)
{
    char hash[65];
    struct pn_buf all;
    const char *text = NULL;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&all, (size_t)PN_CHAIN_MAX * PN_CERTIFICATE_BYTES_MAX);
    for (size_t i = 0; rc == PN_OK && i < imported->chain_count; i++)
        rc = pn_buf_append_slice(&all, pn_buf_slice(&imported->chain[i]));
    if (rc == PN_OK) {
        pn_sha256_hex(pn_buf_slice(&all), hash);
        text = pn_arena_strdup(call->arena, pn_slice_str(hash));
    }
    pn_buf_fini(&all);
    return text;
}

/** Gives an error of the keyholder the form of a policy error, unless it is about the keyholder. */
static enum pn_rc import_error(const struct pn_policy_reference *reference, enum pn_rc rc,
                               struct pn_error *err)
{
    char reason[PN_ERROR_MESSAGE_MAX];

    if (rc == PN_UNAVAILABLE || rc == PN_TIMEOUT || rc == PN_NOMEM || rc == PN_IO ||
        rc == PN_INTERNAL)
        return rc;
    memcpy(reason, err->message, sizeof(reason));
    return pn_policy_reference_error(reference, err, "%s", reason);
}

static enum pn_rc import_body(struct arm_call *call, const struct pn_policy_reference *reference,
                              struct embedded *embedded, struct pn_error *err)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const struct pn_generation_origin origin = {.generation = 1};
    struct pn_imported imported = {0};
    struct pn_buf file;
    enum pn_rc rc = PN_OK;

    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    rc = pn_base64_decode(reference->name, &file);
    if (rc != PN_OK || file.len == 0) {
        rc = pn_policy_reference_error(reference, err,
                                       "'body' must be a PFX file of at most %u bytes in base64",
                                       PN_IMPORT_BYTES_MAX);
        goto out;
    }
    rc = services->import(services->ctx, PN_USE_CLIENT, pn_buf_slice(&file), reference->password,
                          &imported, err);
    if (rc == PN_OK)
        rc = pn_generation_make(&imported, &origin, pn_clock_unix_ms(), &embedded->properties,
                                &embedded->internal, err);
    if (rc != PN_OK) {
        if (imported.chain_count > 0)
            services->forget_unused(services->ctx, PN_USE_CLIENT, &imported.key);
        rc = import_error(reference, rc, err);
        goto out;
    }
    embedded->hash = hash_chain(call, &imported);
    if (!embedded->hash)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
out:
    pn_imported_fini(&imported);
    pn_buf_fini(&file);
    return rc;
}

/* ---- tokens of managed identities ---- */

struct tokens {
    struct arm_call *call;
    struct arm_policy_work *work;
};

static bool has_token(const struct arm_policy_work *work, const char *id)
{
    for (size_t i = 0; i < work->token_count; i++)
        if (strcmp(work->tokens[i].id, id) == 0)
            return true;
    return false;
}

/** Gets it ahead, unless a good one is there. Before the transaction: a source may take its time.
 */
static enum pn_rc on_token(void *ctx, const struct pn_policy_reference *reference,
                           struct pn_error *err)
{
    struct tokens *tokens = ctx;
    struct arm_call *call = tokens->call;
    struct arm_policy_work *work = tokens->work;
    struct pn_arm_token_wish wish = {.service_id = call->service_id, .is_fresh = false};
    struct pn_store_item item = {0};
    const char *id;
    enum pn_rc rc;

    if (reference->kind != PN_POLICY_IDENTITY_TOKEN)
        return PN_OK;
    if (strstr(call->id + strlen(call->service_id), "/workspaces/"))
        return pn_policy_reference_error(reference, err,
                                         "a workspace has no managed identity; use the policy of "
                                         "the service, or of an API that is in no workspace");
    id = arm_token_id(call->arena, call->service_id, reference->name);
    wish.client_id = pn_arena_strdup(call->arena, reference->client_id);
    wish.resource = pn_arena_strdup(call->arena, reference->resource);
    if (!id || !wish.client_id || !wish.resource)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (has_token(work, id))
        return PN_OK;
    rc = pn_store_get(call->arm->config.store, id, &item, err);
    if (rc == PN_OK && arm_token_is_good(&item)) {
        pn_store_item_fini(&item);
        return PN_OK;
    }
    pn_store_item_fini(&item);
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        return rc;
    if (work->token_count == POLICY_TOKENS_MAX)
        return pn_policy_reference_error(
            reference, err, "a policy may name at most %d tokens of managed identities",
            POLICY_TOKENS_MAX);
    memset(err, 0, sizeof(*err));
    rc = arm_token_make(&call->arm->config.services, id, &wish,
                        &work->tokens[work->token_count].body, err);
    if (rc == PN_OK)
        work->tokens[work->token_count++].id = id;
    return rc;
}

enum pn_rc arm_policy_import_in(struct arm_call *call, struct pn_policy_document *document,
                                struct arm_policy_work **work, struct pn_error *err)
{
    struct bodies *bodies = pn_arena_zalloc(call->arena, sizeof(*bodies));
    enum pn_rc rc = PN_OK;

    *work = pn_arena_zalloc(call->arena, sizeof(**work));
    if (!bodies || !*work)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_policy_references(document, on_body, bodies, err);
    for (size_t i = 0; rc == PN_OK && i < bodies->count; i++) {
        struct embedded *embedded = &(*work)->items[(*work)->count++];

        rc = import_body(call, &bodies->items[i], embedded, err);
        if (rc == PN_OK) {
            rc = pn_policy_embed(document, &bodies->items[i], embedded->hash);
            if (rc != PN_OK)
                pn_error_set(err, rc, "out_of_memory", "out of memory");
        }
    }
    if (rc == PN_OK) {
        struct tokens tokens = {call, *work};

        rc = pn_policy_references(document, on_token, &tokens, err);
    }
    if (rc != PN_OK)
        pn_policy_hide_secrets(document, err);
    return rc;
}

void arm_policy_work_end(struct arm_call *call, struct arm_policy_work *work)
{
    const struct pn_arm_services *services = &call->arm->config.services;

    for (size_t i = 0; work && i < work->token_count; i++)
        json_decref(work->tokens[i].body);
    for (size_t i = 0; work && i < work->count; i++) {
        struct pn_key_id key;

        /* In use: forget_unused sees that. Not stored: nothing must be left behind. */
        if (pn_hex_decode(pn_json_slice(work->items[i].internal, "keyId"), key.sha256,
                          sizeof(key.sha256)) &&
            call->response->status >= 300)
            services->forget_unused(services->ctx, PN_USE_CLIENT, &key);
        json_decref(work->items[i].properties);
        json_decref(work->items[i].internal);
    }
}

/* ---- referring ---- */

struct referring {
    struct arm_call *call;
    struct pn_store_txn *txn;
    struct arm_sources *sources;
    const struct pn_policy_document *document;
    struct arm_policy_work *work; /* NULL: nothing was imported */
    const char **ids;             /* NULL-ended; what is named by the document itself */
    size_t count;
    const char **included; /* NULL-ended: certificates that fragments name, */
    size_t included_count;
    json_t *through;      /* [{certificate, namedValue}]: those that a named value names */
    const char **dynamic; /* those that only an expression names */
    size_t dynamic_count;
};

static enum pn_rc add(struct referring *referring, const char *id, struct pn_error *err)
{
    if (!id)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    referring->ids[referring->count++] = id;
    return PN_OK;
}

static enum pn_rc add_included(struct referring *referring, const char *id)
{
    if (referring->included_count < POLICY_REFERENCES_MAX)
        referring->included[referring->included_count++] = id;
    return PN_OK;
}

/** The reference names the certificate: itself, in a fragment, or by a named value. */
static enum pn_rc add_certificate(struct referring *referring,
                                  const struct pn_policy_reference *reference, const char *id,
                                  struct pn_error *err)
{
    struct pn_slice name = pn_policy_reference_value(referring->document, reference);
    struct pn_policy_value value = {0};
    const char *value_id = NULL;
    enum pn_rc rc = PN_OK;

    if (!id)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (reference->fragment)
        return add_included(referring, id);
    if (name.len > 0) {
        rc = arm_named_value_find(referring->sources, name, &value, &value_id, err);
        if (rc == PN_OK &&
            json_array_append_new(referring->through, json_pack("{s:s,s:s}", "certificate", id,
                                                                "namedValue", value_id)) != 0)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    return rc == PN_OK ? add(referring, id, err) : rc;
}

static enum pn_rc refer_by_id(struct referring *referring, const char *kind, const char *noun,
                              const struct pn_policy_reference *reference, struct pn_error *err)
{
    struct pn_store_item item;
    const char *id = pn_arena_printf(referring->call->arena, "%s/%s/%.*s",
                                     referring->call->scope_id, kind, PN_FMT(reference->name));
    enum pn_rc rc = id ? pn_store_txn_get(referring->txn, id, &item, err)
                       : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_NOT_FOUND)
        return pn_policy_reference_error(reference, err, "%s with id '%.*s' could not be found.",
                                         noun, PN_FMT(reference->name));
    if (rc != PN_OK)
        return rc;
    pn_store_item_fini(&item);
    if (reference->kind == PN_POLICY_CERTIFICATE_ID)
        return add_certificate(referring, reference, id, err);
    return reference->fragment ? PN_OK : add(referring, id, err);
}

/** To one that was uploaded: the thumbprint of one from a vault changes by itself. */
static enum pn_rc refer_to_found(struct referring *referring, const struct pn_store_list *found,
                                 const char *thumbprint,
                                 const struct pn_policy_reference *reference, struct pn_error *err)
{
    struct arm_call *call = referring->call;
    const struct pn_store_item *from_vault = NULL;

    for (size_t i = 0; i < found->count; i++) {
        const struct pn_store_item *item = &found->items[i];
        enum pn_rc rc;

        if (json_object_get(json_object_get(item->body, "properties"), "keyVault")) {
            from_vault = item;
            continue;
        }
        rc = add_certificate(referring, reference, arm_thumbprint_reference(call, thumbprint), err);
        return rc == PN_OK
                   ? add_certificate(referring, reference,
                                     pn_arena_strdup(call->arena, pn_slice_str(item->id)), err)
                   : rc;
    }
    if (!from_vault)
        return pn_policy_reference_error(
            reference, err, "Certificate with thumbprint '%s' could not be found.", thumbprint);
    return pn_policy_reference_error(
        reference, err,
        "Certificate with id '%s' and thumbprint '%s' is from the key vault secret '%s': its "
        "thumbprint changes when it is rotated. Use the attribute certificate-id=\"%s\" instead.",
        strrchr(from_vault->id, '/') + 1, thumbprint,
        pn_json_str(json_object_get(json_object_get(from_vault->body, "properties"), "keyVault"),
                    "secretIdentifier"),
        strrchr(from_vault->id, '/') + 1);
}

static enum pn_rc refer_by_thumbprint(struct referring *referring,
                                      const struct pn_policy_reference *reference,
                                      struct pn_error *err)
{
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_store_list found = {0};
    const char *prefix =
        pn_arena_printf(referring->call->arena, "%s/certificates/", referring->call->scope_id);
    enum pn_rc rc;

    if (!pn_thumbprint_parse(reference->name, thumbprint))
        return pn_policy_reference_error(reference, err, "a thumbprint has 40 hexadecimal digits");
    if (!prefix)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_list_thumbprint(
        referring->txn, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type, thumbprint, &found, err);
    if (rc == PN_OK)
        rc = refer_to_found(referring, &found, thumbprint, reference, err);
    pn_store_list_fini(&found);
    return rc;
}

/** Puts an embedded certificate that this call imported. */
static enum pn_rc put_embedded(struct referring *referring, const struct embedded *embedded,
                               const char *id, struct pn_error *err)
{
    const struct pn_arm_services *services = &referring->call->arm->config.services;
    struct pn_key_id key;
    json_t *body = json_pack("{s:s,s:O,s:O}", "name", embedded->hash, "properties",
                             embedded->properties, "internal", embedded->internal);
    enum pn_rc rc = PN_OK;

    if (!body || !pn_hex_decode(pn_json_slice(embedded->internal, "keyId"), key.sha256,
                                sizeof(key.sha256))) {
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        goto out;
    }
    rc = services->has_key(services->ctx, PN_USE_CLIENT, &key, err);
    if (rc == PN_NOT_FOUND)
        rc = pn_error_set(err, PN_UNAVAILABLE, "key_forgotten",
                          "The same certificate was just deleted by another request; repeat this "
                          "one.");
    if (rc == PN_OK)
        rc = pn_store_put(referring->txn, id, pn_type_facts(PN_TYPE_EMBEDDED)->type, body, NULL,
                          err);
out:
    json_decref(body);
    return rc;
}

static enum pn_rc refer_to_embedded(struct referring *referring,
                                    const struct pn_policy_reference *reference,
                                    struct pn_error *err)
{
    struct pn_store_item item;
    const char *id = pn_arena_printf(referring->call->arena, "%s/posternEmbedded/%.*s",
                                     referring->call->scope_id, PN_FMT(reference->name));
    enum pn_rc rc = id ? pn_store_txn_get(referring->txn, id, &item, err)
                       : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK)
        pn_store_item_fini(&item);
    if (rc == PN_NOT_FOUND) {
        rc = pn_policy_reference_error(
            reference, err,
            "the certificate that was taken out of 'body' is no longer there; give the PFX file in "
            "'body' and its 'password' again");
        for (size_t i = 0; referring->work && i < referring->work->count; i++)
            if (pn_slice_case_eq_str(reference->name, referring->work->items[i].hash))
                rc = put_embedded(referring, &referring->work->items[i], id, err);
    }
    return rc == PN_OK ? add(referring, id, err) : rc;
}

static enum pn_rc refer_to_token(struct referring *referring,
                                 const struct pn_policy_reference *reference, struct pn_error *err)
{
    struct pn_store_item item = {0};
    const struct arm_policy_work *work = referring->work;
    const char *id =
        arm_token_id(referring->call->arena, referring->call->service_id, reference->name);
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; id && work && i < work->token_count; i++)
        if (strcmp(work->tokens[i].id, id) == 0) {
            rc = pn_store_put(referring->txn, id, pn_type_facts(PN_TYPE_TOKEN)->type,
                              work->tokens[i].body, NULL, err);
            return rc == PN_OK ? add(referring, id, err) : rc;
        }
    if (id)
        rc = pn_store_txn_get(referring->txn, id, &item, err);
    pn_store_item_fini(&item);
    if (rc == PN_NOT_FOUND)
        return pn_error_set(err, PN_UNAVAILABLE, ARM_TOKEN_FORGOTTEN,
                            "The token of the managed identity was just given up by another "
                            "request; repeat this one.");
    return rc == PN_OK ? add(referring, id, err) : rc;
}

static enum pn_rc refer_to_value(struct referring *referring,
                                 const struct pn_policy_reference *reference, struct pn_error *err)
{
    struct pn_policy_value value = {0};
    const char *id = NULL;
    enum pn_rc rc = arm_named_value_find(referring->sources, reference->name, &value, &id, err);

    return rc == PN_OK
               ? add(referring, pn_arena_strdup(referring->call->arena, pn_slice_str(id)), err)
               : rc;
}

/* ---- what expressions name ---- */

static enum pn_rc add_dynamic(struct referring *referring,
                              const struct pn_policy_reference *reference, const char *id,
                              struct pn_error *err)
{
    if (!id)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (reference->fragment)
        return add_included(referring, id);
    if (referring->dynamic_count < POLICY_REFERENCES_MAX)
        referring->dynamic[referring->dynamic_count++] = id;
    return PN_OK;
}

/** Of a thumbprint, as of one that is written outright, also who has it later is referred to. */
static enum pn_rc refer_by_literal(struct referring *referring, const char *kind,
                                   const struct pn_policy_reference *reference,
                                   struct pn_error *err)
{
    struct arm_literal literal = {.kind = kind, .reference = reference};
    enum pn_rc rc = arm_literal_find(referring->call, referring->txn, &literal, err);

    if (rc == PN_OK && literal.thumbprint && !reference->fragment)
        rc = add(referring, literal.thumbprint, err);
    for (size_t i = 0; rc == PN_OK && i < literal.count; i++)
        rc = add_dynamic(referring, reference, literal.ids[i], err);
    return rc;
}

static enum pn_rc refer_to_any(struct referring *referring, const char *kind,
                               const struct pn_policy_reference *reference, struct pn_error *err)
{
    const char *id = arm_dynamic_any(referring->call->arena, referring->call->scope_id, kind);

    return id && reference->fragment ? add_included(referring, id) : add(referring, id, err);
}

static bool is_among(const char *const *ids, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(ids[i], id) == 0)
            return true;
    return false;
}

/** What the document also names outright is no dynamic reference. */
static enum pn_rc join_dynamic(struct referring *referring, struct pn_error *err)
{
    size_t certain = referring->count;
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < referring->dynamic_count; i++) {
        const char *id = referring->dynamic[i];

        if (is_among(referring->ids, certain, id) || is_among(referring->dynamic, i, id))
            continue;
        rc = add(referring, id, err);
        if (rc == PN_OK)
            rc = add(referring,
                     arm_dynamic_reference(referring->call->arena, referring->call->scope_id, id),
                     err);
    }
    return rc;
}

static enum pn_rc on_reference(void *ctx, const struct pn_policy_reference *reference,
                               struct pn_error *err)
{
    struct referring *referring = ctx;
    bool is_certificate = reference->kind == PN_POLICY_CERTIFICATE_ID ||
                          reference->kind == PN_POLICY_CERTIFICATE_THUMBPRINT ||
                          reference->kind == PN_POLICY_CERTIFICATE_LITERAL ||
                          reference->kind == PN_POLICY_CERTIFICATE_ANY;

    /* What else a fragment names is the fragment's reference. */
    if (reference->fragment && !is_certificate)
        return PN_OK;
    if (referring->count + referring->dynamic_count >= POLICY_REFERENCES_MAX)
        return pn_policy_reference_error(reference, err, "a policy may have at most %d references",
                                         POLICY_REFERENCES_MAX);
    switch (reference->kind) {
    case PN_POLICY_CERTIFICATE_ID:
        if (reference->is_of_several &&
            arm_has_quirk(referring->call, ARM_QUIRK_NO_CERTIFICATE_IDS))
            return pn_policy_reference_error(
                reference, err, "the attribute 'certificate-ids' is not known (azure-strict)");
        return refer_by_id(referring, "certificates", "Certificate", reference, err);
    case PN_POLICY_CERTIFICATE_THUMBPRINT:
        return refer_by_thumbprint(referring, reference, err);
    case PN_POLICY_CERTIFICATE_BODY:
        return pn_error_set(err, PN_INTERNAL, "not_embedded", "a certificate was not taken out");
    case PN_POLICY_CERTIFICATE_EMBEDDED:
        return refer_to_embedded(referring, reference, err);
    case PN_POLICY_IDENTITY_TOKEN:
        return refer_to_token(referring, reference, err);
    case PN_POLICY_BACKEND_ID:
        return refer_by_id(referring, "backends", "Backend", reference, err);
    case PN_POLICY_FRAGMENT:
        return refer_by_id(referring, "policyFragments", "Policy fragment", reference, err);
    case PN_POLICY_NAMED_VALUE:
        return refer_to_value(referring, reference, err);
    case PN_POLICY_CERTIFICATE_LITERAL:
        return refer_by_literal(referring, ARM_CERTIFICATES, reference, err);
    case PN_POLICY_BACKEND_LITERAL:
        return refer_by_literal(referring, ARM_BACKENDS, reference, err);
    case PN_POLICY_CERTIFICATE_ANY:
        return refer_to_any(referring, ARM_CERTIFICATES, reference, err);
    case PN_POLICY_BACKEND_ANY:
        return refer_to_any(referring, ARM_BACKENDS, reference, err);
    }
    return PN_INTERNAL;
}

static const char **list_of(struct arm_call *call)
{
    return pn_arena_zalloc(call->arena, (2 * POLICY_REFERENCES_MAX + 4) * sizeof(const char *));
}

enum pn_rc arm_policy_refer_in(struct arm_call *call, struct pn_store_txn *txn,
                               struct arm_sources *sources,
                               const struct pn_policy_document *document,
                               struct arm_policy_work *work, struct arm_policy_refers *refers,
                               struct pn_error *err)
{
    struct referring referring = {.call = call,
                                  .txn = txn,
                                  .sources = sources,
                                  .document = document,
                                  .work = work,
                                  .ids = list_of(call),
                                  .included = list_of(call),
                                  .through = json_array()};
    enum pn_rc rc = PN_OK;

    referring.dynamic = list_of(call);
    if (!referring.ids || !referring.included || !referring.through || !referring.dynamic)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    else
        rc = pn_policy_references(document, on_reference, &referring, err);
    if (rc == PN_OK)
        rc = join_dynamic(&referring, err);
    if (rc != PN_OK && err->code[0])
        pn_policy_hide_secrets(document, err);
    *refers = (struct arm_policy_refers){
        .ids = (const char *const *)referring.ids,
        .included = (const char *const *)referring.included,
        .through = referring.through,
    };
    return rc;
}

/* ---- letting go ---- */

enum pn_rc arm_drop_keys(struct arm_call *call, const json_t *internal, struct pn_error *err)
{
    const json_t *entry;
    size_t i;
    bool failed;

    if (!call->dropped_keys)
        call->dropped_keys = json_array();
    failed = json_array_append(call->dropped_keys, (json_t *)(uintptr_t)internal) != 0;
    json_array_foreach(json_object_get(internal, "generations"), i, entry)
    {
        json_t *kept = json_object_get(entry, "internal");

        failed = failed || (kept && json_array_append(call->dropped_keys, kept) != 0);
    }
    return failed ? pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory") : PN_OK;
}

enum pn_rc arm_policy_drop_embedded(struct arm_call *call, struct pn_store_txn *txn,
                                    struct pn_error *err)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/posternEmbedded/", call->scope_id);
    enum pn_rc rc = arm_delete_unused(txn, prefix, pn_type_facts(PN_TYPE_EMBEDDED)->type,
                                      arm_drop_keys, call, err);

    return rc == PN_OK ? arm_tokens_drop(call, txn, err) : rc;
}

void arm_policy_forget_dropped(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;

    if (call->response->status >= 300)
        return;
    for (size_t i = 0; i < json_array_size(call->dropped_keys); i++) {
        struct pn_key_id key;

        if (pn_hex_decode(pn_json_slice(json_array_get(call->dropped_keys, i), "keyId"), key.sha256,
                          sizeof(key.sha256)))
            services->forget_unused(services->ctx, PN_USE_CLIENT, &key);
    }
}
