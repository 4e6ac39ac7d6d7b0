/* SPDX-License-Identifier: Apache-2.0
 *
 * From the feed's JSON to what the gateway works with, one reader for each type of resource.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "gateway/item.h"

_Static_assert(PN_SCOPED_NAME_BYTES_MAX < PN_CERTIFICATE_NAME_MAX,
               "what control stores fits into an identity");

static enum pn_rc refuse(struct pn_error *err, const char *reason)
{
    return pn_error_set(err, PN_INVALID, "invalid_resource", "%s", reason);
}

/* --- scopes --- */

struct pn_slice pn_item_scope(const char *key)
{
    struct pn_slice text = pn_slice_str(*key == '/' ? key + 1 : key);
    size_t prefix = sizeof(PN_WORKSPACE_PREFIX) - 1;
    size_t len;

    if (!pn_slice_starts_with(text, PN_LIT(PN_WORKSPACE_PREFIX)))
        return pn_slice("", 0);
    len = prefix + pn_slice_find(pn_slice_sub(text, prefix, text.len - prefix), '/');
    return len < text.len ? pn_slice_sub(text, 0, len) : pn_slice("", 0);
}

/** "apis/echo" of "/apis/echo" and of "/workspaces/w1/apis/echo". */
static struct pn_slice below_scope(const char *key)
{
    struct pn_slice scope = pn_item_scope(key);

    return pn_slice_str(key + 1 + (scope.len > 0 ? scope.len + 1 : 0));
}

/* --- certificates --- */

static void certificate_destroy(struct pn_client_certificate *certificate)
{
    if (!certificate)
        return;
    pn_tls_certificate_unref(certificate->tls);
    free(certificate->embedded_key);
    free(certificate->scoped_print_key);
    free(certificate);
}

static bool is_embedded(const struct pn_item *item)
{
    return pn_slice_starts_with(below_scope(item->key), PN_LIT(PN_EMBEDDED_KEY_PREFIX));
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
                           const struct pn_key_id *key, enum pn_key_use use, struct pn_error *err)
{
    struct pn_tls_certificate_spec spec = {
        .name = item->name,
        .generation = (uint64_t)pn_json_int(item->internal, "generation", 1),
        .use = use,
        .key = *key,
        .chain = ders,
        .chain_count = count,
    };
    char name[PN_CERTIFICATE_NAME_MAX];

    if (is_embedded(item)) {
        int len = snprintf(name, sizeof(name), PN_EMBEDDED_NAME_PREFIX "%s", item->name);

        if (len < 0 || (size_t)len >= sizeof(name))
            return refuse(err, "its name is too long");
        spec.name = name;
    } else if (item->kind == PN_ITEM_HOSTNAME) {
        snprintf(name, sizeof(name), "%.120s", pn_json_str(item->properties, "hostName"));
        spec.name = name;
    } else if (use == PN_USE_SERVER) {
        spec.name = "listener";
    }
    return pn_tls_certificate_create(item->house->signer, &spec, &item->as.certificate->tls, err);
}

/** What tables find it by: known also while it is not open. */
static enum pn_rc name_certificate(struct pn_item *item, struct pn_slice leaf)
{
    struct pn_client_certificate *certificate = calloc(1, sizeof(*certificate));
    struct pn_slice scope = pn_item_scope(item->key);
    uint8_t sha1[PN_SHA1_BYTES];

    if (!certificate)
        return PN_NOMEM;
    item->as.certificate = certificate;
    pn_sha1(leaf, sha1);
    certificate->print_key[0] = '#';
    pn_hex_upper(sha1, sizeof(sha1), certificate->print_key + 1);
    certificate->thumbprint = certificate->print_key + 1;
    if (!is_embedded(item) && scope.len > 0) {
        size_t size = sizeof(certificate->print_key) + 1 + scope.len;

        certificate->scoped_print_key = malloc(size);
        if (!certificate->scoped_print_key)
            return PN_NOMEM;
        snprintf(certificate->scoped_print_key, size, "%s/%.*s", certificate->print_key,
                 PN_FMT(scope));
    }
    if (!is_embedded(item))
        return PN_OK;
    certificate->embedded_key = malloc(sizeof(PN_EMBEDDED_NAME_PREFIX) + strlen(item->name));
    if (!certificate->embedded_key)
        return PN_NOMEM;
    memcpy(certificate->embedded_key, PN_EMBEDDED_NAME_PREFIX, sizeof(PN_EMBEDDED_NAME_PREFIX) - 1);
    memcpy(certificate->embedded_key + sizeof(PN_EMBEDDED_NAME_PREFIX) - 1, item->name,
           strlen(item->name) + 1);
    return PN_OK;
}

static enum pn_rc read_certificate(struct pn_item *item, const json_t *chain_json,
                                   const char *key_id, enum pn_key_use use, bool names_only,
                                   struct pn_error *err)
{
    struct pn_buf bufs[PN_CHAIN_MAX];
    struct pn_slice ders[PN_CHAIN_MAX] = {{NULL, 0}};
    struct pn_key_id key;
    size_t count = 0;
    enum pn_rc rc = decode_chain(chain_json, bufs, &count, err);

    if (rc == PN_OK && !pn_hex_decode(pn_slice_str(key_id), key.sha256, sizeof(key)))
        rc = refuse(err, "keyId is missing or not 64 hex digits");
    for (size_t i = 0; rc == PN_OK && i < count; i++)
        ders[i] = pn_buf_slice(&bufs[i]);
    if (rc == PN_OK && !item->as.certificate)
        rc = name_certificate(item, ders[0]);
    if (rc == PN_OK && !names_only)
        rc = make_tls(item, ders, count, &key, use, err);
    for (size_t i = 0; i < count; i++)
        pn_buf_fini(&bufs[i]);
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
    struct pn_subscription_keys *keys = calloc(1, sizeof(*keys));

    if (!keys)
        return PN_NOMEM;
    item->as.subscription = keys;
    keys->subscription.id = item->name;
    keys->subscription.name = pn_json_str(item->properties, "displayName");
    if (!keys->subscription.name)
        keys->subscription.name = item->name;
    keys->subscription.scope = pn_json_str(item->internal, "scope");
    keys->subscription.is_of_product =
        keys->subscription.scope &&
        pn_slice_starts_with(below_scope(keys->subscription.scope), PN_LIT(PN_PRODUCT_PREFIX));
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

static enum pn_policy_scope policy_scope(const char *key)
{
    struct pn_slice rest = below_scope(key);

    if (pn_slice_starts_with(rest, PN_LIT(PN_PRODUCT_PREFIX)))
        return PN_SCOPE_PRODUCT;
    if (pn_slice_find_slice(rest, PN_LIT("/operations/")) < rest.len)
        return PN_SCOPE_OPERATION;
    if (pn_slice_starts_with(rest, PN_LIT("apis/")))
        return PN_SCOPE_API;
    return pn_item_scope(key).len > 0 ? PN_SCOPE_WORKSPACE : PN_SCOPE_GLOBAL;
}

static enum pn_rc read_policy(struct pn_item *item, struct pn_error *err)
{
    bool is_xml = pn_slice_eq_str(pn_json_slice(item->properties, "format"), "xml");
    struct pn_slice text = pn_json_slice(item->properties, "value");

    return is_xml ? pn_policy_parse(text, PN_POLICY_XML, policy_scope(item->key), &item->as.policy,
                                    err)
                  : pn_policy_parse_resolved(text, policy_scope(item->key), &item->as.policy, err);
}

static enum pn_rc read_service(struct pn_item *item, struct pn_error *err)
{
    const json_t *chain = json_object_get(item->internal, "listenerChain");

    if (!chain || json_is_null(chain))
        return PN_OK; /* no TLS listener yet */
    return read_certificate(item, chain, pn_json_str(item->internal, "listenerKeyId"),
                            PN_USE_SERVER, false, err);
}

static enum pn_rc read_hostname(struct pn_item *item, struct pn_error *err)
{
    const char *name = pn_json_str(item->properties, "hostName");

    if (!name || *name == '\0' || strlen(name) >= PN_SERVER_NAME_MAX)
        return refuse(err, "properties.hostName is missing or too long");
    return read_certificate(item, json_object_get(item->internal, "chain"),
                            pn_json_str(item->internal, "keyId"), PN_USE_SERVER, false, err);
}

static enum pn_rc read_backend(struct pn_item *item, struct pn_error *err)
{
    struct pn_backend *backend = calloc(1, sizeof(*backend));

    if (!backend)
        return PN_NOMEM;
    item->as.backend = backend;
    backend->name = item->name;
    backend->scope = pn_item_scope(item->key);
    return pn_backend_read(backend, item->properties, item->internal, err);
}

static enum pn_rc read_token(struct pn_item *item, struct pn_error *err)
{
    struct pn_identity_token *token = calloc(1, sizeof(*token));

    if (!token)
        return PN_NOMEM;
    item->as.token = token;
    token->text = pn_json_slice(item->internal, "token");
    token->problem = pn_json_str(item->properties, "problem");
    token->expires_s = pn_json_int(item->properties, "expiresAt", 0);
    if (token->text.len == 0 && !token->problem)
        return refuse(err, "internal.token and properties.problem are missing");
    return PN_OK;
}

static enum pn_rc read_item(struct pn_item *item, struct pn_error *err)
{
    switch ((enum pn_item_kind)item->kind) {
    case PN_ITEM_SERVICE:
        return read_service(item, err);
    case PN_ITEM_API:
    case PN_ITEM_OPERATION:
    case PN_ITEM_PRODUCT:
        return item->properties ? PN_OK : refuse(err, "properties are missing");
    case PN_ITEM_POLICY:
        return read_policy(item, err);
    case PN_ITEM_BACKEND:
        return read_backend(item, err);
    case PN_ITEM_CERTIFICATE:
        return read_certificate(item, json_object_get(item->internal, "chain"),
                                pn_json_str(item->internal, "keyId"), PN_USE_CLIENT, false, err);
    case PN_ITEM_SUBSCRIPTION:
        return read_subscription(item, err);
    case PN_ITEM_HOSTNAME:
        return read_hostname(item, err);
    case PN_ITEM_OUTBOUND:
        return pn_outbound_compile(item->properties, &item->as.outbound, err);
    case PN_ITEM_TOKEN:
        return read_token(item, err);
    case PN_ITEM_PRODUCT_API:
        return PN_OK;
    case PN_ITEM_KINDS:
        break;
    }
    return PN_INTERNAL;
}

static const char *const type_names[] = {"service",  "api",         "operation",    "policy",
                                         "backend",  "certificate", "subscription", "hostname",
                                         "outbound", "token",       "product",      "productapi"};

const char *pn_item_type(const struct pn_item *item)
{
    return type_names[item->kind];
}

static bool kind_from_type(struct pn_slice type, uint8_t *kind)
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (pn_slice_eq_str(type, type_names[i])) {
            *kind = (uint8_t)i;
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

static void drop_tree(struct pn_item *item)
{
    item->properties = NULL;
    item->internal = NULL;
    json_decref(item->json);
    item->json = NULL;
}

/** Lets go of the tree, or of what is in it for people only: most of the memory of an open item. */
static void trim(struct pn_item *item)
{
    static const char *const for_people[] = {"description", "responses", "request",
                                             "templateParameters", NULL};

    if (item->kind == PN_ITEM_CERTIFICATE || item->kind == PN_ITEM_POLICY ||
        item->kind == PN_ITEM_PRODUCT_API)
        drop_tree(item);
    else if (item->kind == PN_ITEM_API || item->kind == PN_ITEM_OPERATION)
        for (size_t i = 0; for_people[i]; i++)
            (void)json_object_del(item->properties, for_people[i]);
    else if (item->kind == PN_ITEM_PRODUCT)
        (void)(json_object_del(item->properties, "description") +
               json_object_del(item->properties, "terms"));
}

/* --- open and shut --- */

static enum pn_rc parse_text(struct pn_item *item, struct pn_error *err)
{
    enum pn_rc rc = pn_json_parse(pn_slice(item->text, item->text_bytes), &item->json, err);

    if (rc != PN_OK)
        return rc;
    item->properties = json_object_get(item->json, "properties");
    item->internal = json_object_get(item->json, "internal");
    return PN_OK;
}

/** Frees what opening made; a certificate keeps its names. */
static void shut(struct pn_item *item)
{
    switch ((enum pn_item_kind)item->kind) {
    case PN_ITEM_POLICY:
        pn_policy_document_destroy(item->as.policy);
        item->as.policy = NULL;
        break;
    case PN_ITEM_SERVICE:
    case PN_ITEM_CERTIFICATE:
    case PN_ITEM_HOSTNAME:
        if (item->as.certificate) {
            pn_tls_certificate_unref(item->as.certificate->tls);
            item->as.certificate->tls = NULL;
        }
        break;
    case PN_ITEM_SUBSCRIPTION:
        free(item->as.subscription);
        item->as.subscription = NULL;
        break;
    case PN_ITEM_BACKEND:
        if (item->as.backend)
            pn_backend_fini(item->as.backend);
        free(item->as.backend);
        item->as.backend = NULL;
        break;
    case PN_ITEM_OUTBOUND:
        pn_outbound_unref(item->as.outbound);
        item->as.outbound = NULL;
        break;
    case PN_ITEM_TOKEN:
        free(item->as.token);
        item->as.token = NULL;
        break;
    case PN_ITEM_API:
    case PN_ITEM_OPERATION:
    case PN_ITEM_PRODUCT:
    case PN_ITEM_PRODUCT_API:
    case PN_ITEM_KINDS:
        break;
    }
    drop_tree(item);
    atomic_store_explicit(&item->is_open, false, memory_order_release);
}

/** PN_NOMEM, or why it cannot be used: then it is shut. */
static enum pn_rc open_item(struct pn_item *item, struct pn_error *err)
{
    enum pn_rc rc = parse_text(item, err);

    if (rc == PN_OK)
        rc = read_item(item, err);
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "no memory for %s", item->key);
    else if (rc != PN_OK)
        pn_error_prefix(err, "%s", item->key);
    if (rc != PN_OK) {
        shut(item);
        return rc;
    }
    trim(item);
    return PN_OK;
}

enum pn_rc pn_item_open_locked(struct pn_item *item)
{
    struct pn_error reason = {.rc = PN_OK};
    enum pn_rc rc = PN_OK;

    if (!atomic_load_explicit(&item->is_open, memory_order_relaxed)) {
        if (!item->is_broken)
            rc = open_item(item, &reason);
        if (rc != PN_OK && rc != PN_NOMEM) {
            rc = mark_broken(item, &reason);
            pn_log(PN_LOG_ERROR, "resource_unusable", "key", PN_S(item->key), "reason",
                   PN_S(reason.message), NULL);
        }
        if (rc != PN_OK)
            return rc;
        atomic_store_explicit(&item->is_open, true, memory_order_release);
    }
    item->users++;
    return PN_OK;
}

void pn_item_close_locked(struct pn_item *item)
{
    item->users--;
    if (item->users == 0)
        shut(item);
}

bool pn_item_use(struct pn_item *item)
{
    if (!atomic_load_explicit(&item->is_open, memory_order_acquire)) {
        enum pn_rc rc;

        pthread_mutex_lock(&item->house->lock);
        rc = pn_item_open_locked(item);
        pthread_mutex_unlock(&item->house->lock);
        if (rc != PN_OK)
            return false;
    }
    return !item->is_broken;
}

/* --- life --- */

/** What has to be known of an item that is not open. */
static enum pn_rc prepare(struct pn_item *item, struct pn_error *err)
{
    enum pn_rc rc = parse_text(item, err);
    if (rc == PN_OK)
        rc = read_certificate(item, json_object_get(item->internal, "chain"),
                              pn_json_str(item->internal, "keyId"), PN_USE_CLIENT, true, err);
    drop_tree(item);
    if (rc != PN_OK && rc != PN_NOMEM)
        pn_error_prefix(err, "%s", item->key);
    return rc;
}

/** What the main thread makes tables and listeners of. */
static bool is_always_open(uint8_t kind)
{
    return kind == PN_ITEM_SERVICE || kind == PN_ITEM_HOSTNAME || kind == PN_ITEM_SUBSCRIPTION ||
           kind == PN_ITEM_OUTBOUND;
}

static const char *name_of(const struct pn_item *item)
{
    bool is_looked_up = item->kind == PN_ITEM_API || item->kind == PN_ITEM_BACKEND ||
                        item->kind == PN_ITEM_CERTIFICATE || item->kind == PN_ITEM_SUBSCRIPTION;

    return is_looked_up && pn_item_scope(item->key).len > 0 ? item->key + 1
                                                            : last_segment(item->key);
}

/** The key and the text stand behind the item itself. */
static struct pn_item *allocate(struct pn_slice key, struct pn_slice text)
{
    struct pn_item *item = calloc(1, sizeof(*item) + key.len + text.len + 2);
    char *place;

    if (!item)
        return NULL;
    item->refs = 1;
    atomic_init(&item->is_open, false);
    place = (char *)(item + 1);
    memcpy(place, key.ptr, key.len);
    item->key = place;
    item->text = place + key.len + 1;
    item->text_bytes = (uint32_t)text.len;
    memcpy(item->text, text.ptr, text.len);
    return item;
}

enum pn_rc pn_item_create(struct pn_item_house *house, struct pn_slice key, struct pn_slice type,
                          struct pn_slice json, bool is_lazy, struct pn_item **out,
                          struct pn_error *err)
{
    struct pn_error own;
    struct pn_error *reason = err ? err : &own;
    struct pn_item *item;
    uint8_t kind;
    enum pn_rc rc;

    if (key.len == 0 || key.ptr[0] != '/' || !kind_from_type(type, &kind))
        return pn_error_set(err, PN_UNSUPPORTED, "unknown_type", "unknown type '%.*s' of '%.*s'",
                            PN_FMT(type), PN_FMT(key));
    if (key.len > PN_ITEM_KEY_MAX || json.len > UINT32_MAX)
        return pn_error_set(err, PN_LIMIT, "resource_too_long", "%.100s…: too long", key.ptr);
    item = allocate(key, json);
    if (!item)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for an item");
    item->house = house;
    item->kind = kind;
    item->name = name_of(item);
    pthread_mutex_lock(&house->lock);
    if (!is_lazy || is_always_open(kind)) {
        rc = open_item(item, reason);
        atomic_store_explicit(&item->is_open, rc == PN_OK, memory_order_release);
        item->users = rc == PN_OK;
    } else {
        rc = kind == PN_ITEM_CERTIFICATE ? prepare(item, reason) : PN_OK;
    }
    if (rc != PN_OK && rc != PN_NOMEM && is_lazy)
        rc = mark_broken(item, reason);
    pthread_mutex_unlock(&house->lock);
    if (rc == PN_OK)
        *out = item;
    else
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
    shut(item);
    if (item->kind == PN_ITEM_SERVICE || item->kind == PN_ITEM_CERTIFICATE ||
        item->kind == PN_ITEM_HOSTNAME)
        certificate_destroy(item->as.certificate);
    pn_wipe(item->text, item->text_bytes);
    free(item->broken_reason);
    free(item);
}

bool pn_item_eq(const struct pn_item *a, const struct pn_item *b)
{
    return a->kind == b->kind && strcmp(a->key, b->key) == 0 && a->text_bytes == b->text_bytes &&
           memcmp(a->text, b->text, a->text_bytes) == 0;
}
