/* SPDX-License-Identifier: Apache-2.0
 *
 * From the feed's JSON to what the gateway works with, one reader for each type of resource.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "gateway/item.h"

static enum pn_rc refuse(struct pn_error *err, const char *reason)
{
    return pn_error_set(err, PN_INVALID, "invalid_resource", "%s", reason);
}

/* --- certificates --- */

static void certificate_fini(struct pn_client_certificate *certificate)
{
    pn_tls_certificate_unref(certificate->tls);
}

/** Decodes the base64 DER texts of `array` into bufs[]; the caller frees them. */
static enum pn_rc decode_chain(const json_t *array, struct pn_buf *bufs, size_t *count,
                               struct pn_error *err)
{
    size_t n = json_array_size(array);

    if (n == 0 || n > PN_CHAIN_MAX)
        return refuse(err, "the chain is missing, empty or too long");
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(array, i);
        enum pn_rc rc;

        pn_buf_init(&bufs[i], PN_CERTIFICATE_BYTES_MAX);
        *count = i + 1;
        if (!json_is_string(text))
            return refuse(err, "a certificate of the chain is no text");
        rc =
            pn_base64_decode(pn_slice(json_string_value(text), json_string_length(text)), &bufs[i]);
        if (rc != PN_OK)
            return refuse(err, "a certificate of the chain is not base64");
    }
    return PN_OK;
}

/** The TLS certificate's name: what the log shows, and what tells identities apart. */
static enum pn_rc make_tls(struct pn_item *item, const struct pn_slice *ders, size_t count,
                           enum pn_key_use use, struct pn_error *err)
{
    struct pn_client_certificate *certificate = &item->as.certificate;
    struct pn_tls_certificate_spec spec = {
        .name = item->name,
        .generation = (uint64_t)pn_json_int(item->internal, "generation", 1),
        .use = use,
        .key = certificate->key,
        .chain = ders,
        .chain_count = count,
    };
    char name[PN_CERTIFICATE_NAME_MAX];

    if (pn_slice_starts_with(pn_slice_str(item->key), PN_LIT(PN_EMBEDDED_KEY_PREFIX))) {
        snprintf(name, sizeof(name), PN_EMBEDDED_NAME_PREFIX "%.100s", item->name);
        spec.name = name;
    } else if (item->kind == PN_ITEM_HOSTNAME) {
        snprintf(name, sizeof(name), "%.120s", pn_json_str(item->properties, "hostName"));
        spec.name = name;
    } else if (use == PN_USE_SERVER) {
        spec.name = "listener";
    }
    return pn_tls_certificate_create(item->signer, &spec, &certificate->tls, err);
}

static enum pn_rc read_certificate(struct pn_item *item, const json_t *chain_json,
                                   const char *key_id, enum pn_key_use use, struct pn_error *err)
{
    struct pn_client_certificate *certificate = &item->as.certificate;
    struct pn_buf bufs[PN_CHAIN_MAX];
    struct pn_slice ders[PN_CHAIN_MAX];
    size_t count = 0;
    enum pn_rc rc = decode_chain(chain_json, bufs, &count, err);

    if (rc == PN_OK &&
        !pn_hex_decode(pn_slice_str(key_id), certificate->key.sha256, sizeof(certificate->key)))
        rc = refuse(err, "keyId is missing or not 64 hex digits");
    for (size_t i = 0; rc == PN_OK && i < count; i++)
        ders[i] = pn_buf_slice(&bufs[i]);
    if (rc == PN_OK)
        rc = make_tls(item, ders, count, use, err);
    for (size_t i = 0; i < count; i++)
        pn_buf_fini(&bufs[i]);
    if (rc == PN_OK)
        certificate->thumbprint = pn_tls_certificate_thumbprint_text(certificate->tls);
    return rc;
}

/** "c1" of "/…/certificates/c1". */
static const char *last_segment(const char *key)
{
    const char *slash = strrchr(key, '/');

    return slash ? slash + 1 : key;
}

/* --- subscriptions, policies, the service --- */

static enum pn_rc read_subscription(struct pn_item *item, struct pn_error *err)
{
    static const char *const members[] = {"primaryKeySha256", "secondaryKeySha256"};
    struct pn_subscription_keys *keys = &item->as.subscription;

    keys->subscription.id = item->name;
    keys->subscription.scope = pn_json_str(item->internal, "scope");
    keys->subscription.is_active =
        pn_slice_eq_str(pn_json_slice(item->properties, "state"), "active");
    if (!keys->subscription.scope)
        return refuse(err, "internal.scope is missing");
    for (size_t i = 0; i < 2; i++) {
        const char *hex = pn_json_str(item->internal, members[i]);

        if (!hex || *hex == '\0')
            continue;
        if (!pn_hex_decode(pn_slice_str(hex), keys->sha256[keys->count], PN_SHA256_BYTES))
            return refuse(err, "a key's SHA-256 is not 64 hex digits");
        keys->count++;
    }
    return PN_OK;
}

static enum pn_policy_scope policy_scope(struct pn_slice key)
{
    if (pn_slice_find_slice(key, PN_LIT("/operations/")) < key.len)
        return PN_SCOPE_OPERATION;
    return pn_slice_starts_with(key, PN_LIT("/apis/")) ? PN_SCOPE_API : PN_SCOPE_GLOBAL;
}

static enum pn_rc read_policy(struct pn_item *item, struct pn_error *err)
{
    bool is_xml = pn_slice_eq_str(pn_json_slice(item->properties, "format"), "xml");

    return pn_policy_parse(pn_json_slice(item->properties, "value"),
                           is_xml ? PN_POLICY_XML : PN_POLICY_RAWXML,
                           policy_scope(pn_slice_str(item->key)), &item->as.policy, err);
}

static enum pn_rc read_service(struct pn_item *item, struct pn_error *err)
{
    const json_t *chain = json_object_get(item->internal, "listenerChain");

    if (!chain || json_is_null(chain))
        return PN_OK; /* no TLS listener yet */
    return read_certificate(item, chain, pn_json_str(item->internal, "listenerKeyId"),
                            PN_USE_SERVER, err);
}

static enum pn_rc read_hostname(struct pn_item *item, struct pn_error *err)
{
    const char *name = pn_json_str(item->properties, "hostName");

    if (!name || *name == '\0' || strlen(name) >= PN_SERVER_NAME_MAX)
        return refuse(err, "properties.hostName is missing or too long");
    return read_certificate(item, json_object_get(item->internal, "chain"),
                            pn_json_str(item->internal, "keyId"), PN_USE_SERVER, err);
}

static enum pn_rc read_item(struct pn_item *item, struct pn_error *err)
{
    switch (item->kind) {
    case PN_ITEM_SERVICE:
        return read_service(item, err);
    case PN_ITEM_API:
    case PN_ITEM_OPERATION:
        return item->properties ? PN_OK : refuse(err, "properties are missing");
    case PN_ITEM_POLICY:
        return read_policy(item, err);
    case PN_ITEM_BACKEND:
        item->as.backend.name = item->name;
        return pn_backend_read(&item->as.backend, item->properties, item->internal, err);
    case PN_ITEM_CERTIFICATE:
        return read_certificate(item, json_object_get(item->internal, "chain"),
                                pn_json_str(item->internal, "keyId"), PN_USE_CLIENT, err);
    case PN_ITEM_SUBSCRIPTION:
        return read_subscription(item, err);
    case PN_ITEM_HOSTNAME:
        return read_hostname(item, err);
    case PN_ITEM_KINDS:
        break;
    }
    return PN_INTERNAL;
}

static bool kind_from_type(struct pn_slice type, enum pn_item_kind *kind)
{
    static const char *const names[] = {"service", "api",         "operation",    "policy",
                                        "backend", "certificate", "subscription", "hostname"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (pn_slice_eq_str(type, names[i])) {
            *kind = (enum pn_item_kind)i;
            return true;
        }
    }
    return false;
}

static enum pn_rc mark_broken(struct pn_item *item, const struct pn_error *err)
{
    item->is_broken = true;
    free(item->broken_reason);
    item->broken_reason = pn_slice_dup(pn_slice_str(err->message));
    return item->broken_reason ? PN_OK : PN_NOMEM;
}

/** Lets go of the tree, or of what is in it for people only: most of the memory of an item. */
static void trim(struct pn_item *item)
{
    static const char *const for_people[] = {"displayName", "description",        "responses",
                                             "request",     "templateParameters", NULL};

    if (item->kind == PN_ITEM_CERTIFICATE || item->kind == PN_ITEM_POLICY) {
        item->properties = NULL;
        item->internal = NULL;
        json_decref(item->json);
        item->json = NULL;
    } else if (item->kind == PN_ITEM_API || item->kind == PN_ITEM_OPERATION) {
        for (size_t i = 0; for_people[i]; i++)
            (void)json_object_del(item->properties, for_people[i]);
    }
}

enum pn_rc pn_item_create(struct pn_signer *signer, struct pn_slice key, struct pn_slice type,
                          struct pn_slice json, bool keep_broken, struct pn_item **out,
                          struct pn_error *err)
{
    struct pn_error own;
    struct pn_error *reason = err ? err : &own;
    struct pn_item *item = calloc(1, sizeof(*item));
    enum pn_rc rc = PN_NOMEM;

    if (!item)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for an item");
    item->refs = 1;
    item->signer = signer;
    if (key.len == 0 || key.ptr[0] != '/' || !kind_from_type(type, &item->kind)) {
        rc = pn_error_set(err, PN_UNSUPPORTED, "unknown_type", "unknown type '%.*s' of '%.*s'",
                          PN_FMT(type), PN_FMT(key));
        goto out;
    }
    item->key = pn_slice_dup(key);
    item->type = pn_slice_dup(type);
    item->text = pn_slice_dup(json);
    item->text_bytes = json.len;
    if (!item->key || !item->type || !item->text)
        goto out;
    item->name = last_segment(item->key);
    rc = pn_json_parse(json, &item->json, reason);
    if (rc == PN_OK) {
        item->properties = json_object_get(item->json, "properties");
        item->internal = json_object_get(item->json, "internal");
        rc = read_item(item, reason);
    }
    if (rc == PN_OK) {
        trim(item);
        goto out;
    }
    pn_error_prefix(reason, "%s", item->key);
    if (keep_broken && rc != PN_NOMEM)
        rc = mark_broken(item, reason);
out:
    if (rc == PN_OK) {
        *out = item;
        item = NULL;
    }
    pn_item_unref(item);
    return rc;
}

struct pn_item *pn_item_ref(struct pn_item *item)
{
    item->refs++;
    return item;
}

void pn_item_unref(struct pn_item *item)
{
    if (!item || --item->refs > 0)
        return;
    switch (item->kind) {
    case PN_ITEM_POLICY:
        pn_policy_document_destroy(item->as.policy);
        break;
    case PN_ITEM_SERVICE:
    case PN_ITEM_CERTIFICATE:
    case PN_ITEM_HOSTNAME:
        certificate_fini(&item->as.certificate);
        break;
    case PN_ITEM_API:
    case PN_ITEM_OPERATION:
    case PN_ITEM_SUBSCRIPTION:
    case PN_ITEM_KINDS:
        break;
    case PN_ITEM_BACKEND:
        pn_backend_fini(&item->as.backend);
        break;
    }
    json_decref(item->json);
    if (item->text)
        pn_wipe(item->text, item->text_bytes);
    free(item->text);
    free(item->broken_reason);
    free(item->key);
    free(item->type);
    free(item);
}

bool pn_item_eq(const struct pn_item *a, const struct pn_item *b)
{
    return a->kind == b->kind && strcmp(a->key, b->key) == 0 && a->is_broken == b->is_broken &&
           a->text_bytes == b->text_bytes && memcmp(a->text, b->text, a->text_bytes) == 0;
}
