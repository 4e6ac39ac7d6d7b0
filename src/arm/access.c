/* SPDX-License-Identifier: Apache-2.0
 *
 * subscriptions of API Management: who may call which APIs, by key. Keys are stored sealed (for
 * listSecrets) and as SHA-256 (for the gateway); never in clear.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/encode.h"

#define KEY_BYTES 16
#define KEY_TEXT  (2 * KEY_BYTES + 1)
#define PRODUCTS  "/products/"

static const char *const filter_fields[] = {"name",      "displayName", "stateComment",
                                            "ownerId",   "scope",       "userId",
                                            "productId", "state",       NULL};

/* ---- scope ---- */

const char *arm_access_scope(struct pn_arena *arena, const char *scope_id, const char *scope,
                             struct pn_error *err)
{
    struct pn_slice text = pn_slice_str(scope);
    struct pn_slice service = pn_slice_str(scope_id);
    struct pn_slice name = {0};
    char *lower = NULL;

    if (pn_id_is_below(text, service))
        text = pn_id_relative(text, service);
    while (text.len > 0 && text.ptr[text.len - 1] == '/')
        text = pn_slice_sub(text, 0, text.len - 1);
    if (text.len == 0)
        return "/";
    if (pn_slice_case_eq_str(text, "/apis"))
        return "/apis";
    if (pn_slice_case_starts_with(text, PN_LIT("/apis/")))
        name = pn_slice_sub(text, 6, text.len - 6);
    else if (pn_slice_case_starts_with(text, PN_LIT(PRODUCTS)))
        name = pn_slice_sub(text, strlen(PRODUCTS), text.len - strlen(PRODUCTS));
    if (name.len > 0 && pn_slice_find(name, '/') == name.len) {
        lower = arm_lower(arena, text);
        if (!lower)
            pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        return lower;
    }
    pn_error_set(err, PN_INVALID, "invalid_scope",
                 "'scope' must be /apis, /apis/{apiId} or /products/{productId} of this service or "
                 "workspace.");
    (void)pn_error_target(err, "scope");
    return NULL;
}

/* ---- keys ---- */

static void new_key(char key[KEY_TEXT])
{
    unsigned char bytes[KEY_BYTES];

    pn_random(bytes, sizeof(bytes));
    pn_hex_lower(bytes, sizeof(bytes), key);
    pn_wipe(bytes, sizeof(bytes));
}

static bool set_hash(json_t *internal, const char *member, const char *key)
{
    char hash[65];

    pn_sha256_hex(pn_slice_str(key), hash);
    return json_object_set_new(internal, member, json_string(hash)) == 0;
}

enum pn_rc arm_access_seal(const struct pn_arm_services *services, const char *id,
                           const char *primary, const char *secondary, json_t *internal,
                           struct pn_error *err)
{
    char made[2][KEY_TEXT];
    json_t *keys = NULL;
    json_t *sealed = NULL;
    enum pn_rc rc = PN_OK;

    new_key(made[0]);
    new_key(made[1]);
    primary = primary ? primary : made[0];
    secondary = secondary ? secondary : made[1];
    keys = json_pack("{s:s,s:s}", "primaryKey", primary, "secondaryKey", secondary);
    if (!keys || !set_hash(internal, "primaryKeySha256", primary) ||
        !set_hash(internal, "secondaryKeySha256", secondary))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = arm_seal(services, id, keys, &sealed, err);
    if (rc == PN_OK && json_object_set_new(internal, "sealedKeys", sealed) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    pn_wipe(made, sizeof(made));
    json_decref(keys);
    return rc;
}

static enum pn_rc open_keys(struct arm_call *call, const struct pn_store_item *item, json_t **keys,
                            struct pn_error *err)
{
    const char *sealed = pn_json_str(json_object_get(item->body, "internal"), "sealedKeys");

    if (!sealed)
        return pn_error_set(err, PN_INTERNAL, "no_keys", "the subscription has no stored keys");
    return arm_unseal(&call->arm->config.services, item->id, sealed, keys, err);
}

/** Whether a key of `internal` is used by another subscription already: the gateway could not tell
 *  whose call it is. */
static bool is_key_taken(const struct pn_store_list *all, const char *id, const json_t *internal)
{
    static const char *const members[] = {"primaryKeySha256", "secondaryKeySha256"};

    for (size_t i = 0; i < all->count; i++) {
        const json_t *other = json_object_get(all->items[i].body, "internal");

        if (strcasecmp(all->items[i].id, id) == 0)
            continue;
        for (size_t own = 0; own < 2; own++)
            for (size_t theirs = 0; theirs < 2; theirs++)
                if (pn_slice_eq(pn_json_slice(internal, members[own]),
                                pn_json_slice(other, members[theirs])))
                    return true;
    }
    return false;
}

/* ---- reading ---- */

void arm_accesses(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/subscriptions/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_ACCESS)->type,
        .fields = filter_fields,
        .view = arm_view_plain,
    };

    arm_list(call, &rule);
}

void arm_access_get(struct arm_call *call)
{
    arm_get_with(call, arm_view_plain);
}

void arm_access_secrets(struct arm_call *call)
{
    struct pn_store_item item;
    struct pn_error err = {0};
    json_t *keys = NULL;
    uint64_t revision = 0;
    enum pn_rc rc = pn_store_get(call->arm->config.store, call->id, &item, &err);

    if (rc == PN_OK) {
        revision = item.revision;
        rc = open_keys(call, &item, &keys, &err);
        pn_store_item_fini(&item);
    }
    if (rc == PN_OK)
        arm_answer_json(call, 200, keys, revision);
    else if (rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
}

/* ---- writing ---- */

/** "/workspaces/w1/apis", "/workspaces/w1/apis/echo": as the gateway knows it. NULL: no memory. */
static const char *gateway_scope(struct arm_call *call, const char *scope)
{
    const char *workspace = arm_lower(call->arena, call->workspace);

    return workspace ? pn_arena_printf(call->arena, "/workspaces/%s%s", workspace,
                                       strcmp(scope, "/") == 0 ? "/apis" : scope)
                     : NULL;
}

/** What a subscription opens, and with it everything that is behind it. */
struct opened {
    const char *id;  /* of the API or product; NULL: all APIs */
    json_t *product; /* its properties; NULL: it is no product. A reference of the caller's */
};

static enum pn_rc read_opened(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                              bool is_product, struct opened *opened, struct pn_error *err)
{
    struct pn_store_item item;
    enum pn_rc rc = pn_store_txn_get(txn, id, &item, err);

    if (rc != PN_OK)
        return rc;
    opened->id = pn_arena_strdup(call->arena, pn_slice_str(item.id));
    if (is_product)
        opened->product = json_incref(json_object_get(item.body, "properties"));
    pn_store_item_fini(&item);
    return opened->id ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

/** Makes scope and references. False: answered. */
static bool set_scope(struct arm_call *call, struct pn_store_txn *txn, json_t *properties,
                      json_t *internal, struct opened *opened)
{
    struct pn_error err = {0};
    const char *given = pn_json_str(properties, "scope");
    const char *scope = arm_access_scope(call->arena, call->scope_id, given, &err);
    const char *full = NULL;
    bool is_product = scope && strncmp(scope, PRODUCTS, strlen(PRODUCTS)) == 0;

    if (!scope) {
        arm_answer_failure(call, &err);
        return false;
    }
    full = pn_arena_printf(call->arena, "%s%s", call->scope_id, scope);
    if (full && (is_product || strncmp(scope, "/apis/", 6) == 0)) {
        if (read_opened(call, txn, full, is_product, opened, &err) != PN_OK) {
            if (err.rc == PN_NOT_FOUND)
                arm_answer_invalid(call, "scope", "%s with id '%s' not found.",
                                   is_product ? "Product" : "API", strrchr(scope, '/') + 1);
            else
                arm_answer_failure(call, &err);
            return false;
        }
        full = opened->id;
    }
    if (scope && call->workspace.len > 0)
        scope = gateway_scope(call, scope);
    if (full && scope && json_object_set_new(properties, "scope", json_string(full)) == 0 &&
        json_object_set_new(internal, "scope", json_string(scope)) == 0)
        return true;
    arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return false;
}

/** Takes the keys out of `properties` and seals them, with the former ones where none are given.
 *  False: answered. */
static bool set_keys(struct arm_call *call, struct pn_store_txn *txn,
                     const struct pn_store_item *former, json_t *properties, json_t *internal)
{
    struct pn_error err = {0};
    struct pn_store_list all = {0};
    json_t *keys = NULL;
    const char *primary = pn_json_str(properties, "primaryKey");
    const char *secondary = pn_json_str(properties, "secondaryKey");
    const char *prefix = pn_arena_printf(call->arena, "%s/", call->service_id); /* of any scope */
    enum pn_rc rc = prefix ? PN_OK : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK && former->id && (!primary || !secondary)) {
        rc = open_keys(call, former, &keys, &err);
        primary = primary ? primary : pn_json_str(keys, "primaryKey");
        secondary = secondary ? secondary : pn_json_str(keys, "secondaryKey");
    }
    if (rc == PN_OK)
        rc = arm_access_seal(&call->arm->config.services, former->id ? former->id : call->id,
                             primary, secondary, internal, &err);
    if (rc == PN_OK)
        rc = pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_ACCESS)->type, &all, &err);
    if (rc == PN_OK && is_key_taken(&all, call->id, internal)) {
        rc = pn_error_set(&err, PN_INVALID, "key_taken",
                          "Another subscription has the same key. Keys must be unique.");
        (void)pn_error_target(&err, "primaryKey");
    }
    (void)json_object_del(properties, "primaryKey");
    (void)json_object_del(properties, "secondaryKey");
    pn_store_list_fini(&all);
    json_decref(keys);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    return rc == PN_OK;
}

/** The state of one that was given none. To a product it stays as it was, so that who writes the
 *  rest once more neither approves it nor takes it back. */
static const char *default_state(const json_t *was, const json_t *product)
{
    const char *state = pn_json_str(was, "state");

    if (!product)
        return "active";
    if (state)
        return state;
    return pn_json_bool(product, "approvalRequired", false) ? "submitted" : "active";
}

static bool set_facts(const struct pn_store_item *former, json_t *properties, const json_t *product)
{
    const json_t *was = json_object_get(former->body, "properties");
    const char *created = pn_json_str(was, "createdDate");
    char now[PN_TIME_TEXT];

    pn_time_iso8601(pn_clock_unix_s(), now);
    if (!json_object_get(properties, "state") &&
        json_object_set_new(properties, "state", json_string(default_state(was, product))) != 0)
        return false;
    if (!json_object_get(properties, "allowTracing") &&
        json_object_set_new(properties, "allowTracing", json_false()) != 0)
        return false;
    return json_object_set_new(properties, "createdDate", json_string(created ? created : now)) ==
           0;
}

/** Whether it takes a place of those that a product's limit leaves to its owner. */
static bool takes_place(const json_t *properties)
{
    const char *state = pn_json_str(properties, "state");

    return state && strcmp(state, "rejected") != 0 && strcmp(state, "cancelled") != 0 &&
           strcmp(state, "expired") != 0;
}

static struct pn_slice owner_of(const json_t *properties)
{
    return pn_json_slice(properties, "ownerId");
}

/** subscriptionsLimit: of one owner; those without an owner are one, too. Who had a place keeps it,
 *  also when the limit was lowered. False: answered. */
static bool check_limit(struct arm_call *call, struct pn_store_txn *txn,
                        const struct pn_store_item *former, const json_t *properties,
                        const struct opened *opened)
{
    int64_t limit = pn_json_int(opened->product, "subscriptionsLimit", INT64_MAX);
    const json_t *was = json_object_get(former->body, "properties");
    struct pn_store_list users = {0};
    struct pn_error err = {0};
    int64_t count = 0;
    enum pn_rc rc;

    if (limit == INT64_MAX || !takes_place(properties) ||
        (takes_place(was) && pn_slice_case_eq(owner_of(was), owner_of(properties)) &&
         pn_slice_case_eq_str(pn_json_slice(was, "scope"), opened->id)))
        return true;
    rc = pn_store_users(txn, opened->id, &users, &err);
    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const json_t *other = json_object_get(users.items[i].body, "properties");

        count += strcasecmp(users.items[i].id, call->id) != 0 && takes_place(other) &&
                 pn_slice_case_eq(owner_of(other), owner_of(properties));
    }
    pn_store_list_fini(&users);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    else if (count >= limit)
        arm_answer_invalid(call, "scope",
                           "The product allows %lld subscriptions of one owner at a time "
                           "(subscriptionsLimit), and there are as many. Delete or cancel one, or "
                           "raise the product's limit.",
                           (long long)limit);
    return rc == PN_OK && count < limit;
}

/** Stores and answers. Takes `properties`; ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, json_t *properties)
{
    json_t *internal = json_object();
    struct opened opened = {0};

    if (!internal) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else if (set_scope(call, txn, properties, internal, &opened)) {
        if (!set_facts(former, properties, opened.product)) {
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
        } else if ((!opened.product || check_limit(call, txn, former, properties, &opened)) &&
                   set_keys(call, txn, former, properties, internal)) {
            const char *references[2] = {opened.id, NULL};

            (void)arm_store_and_answer(call, txn, former, properties, internal, references,
                                       arm_view_plain);
            json_decref(opened.product);
            return;
        }
    }
    pn_store_rollback(txn);
    json_decref(opened.product);
    json_decref(properties);
    json_decref(internal);
}

void arm_access_put(struct arm_call *call)
{
    arm_put(call, pn_access_fields, store);
}

void arm_access_patch(struct arm_call *call)
{
    arm_patch(call, pn_access_fields, NULL, store);
}

void arm_access_delete(struct arm_call *call)
{
    if (call->workspace.len == 0 && pn_slice_case_eq_str(arm_name(call), "master"))
        arm_answer_error(call, 400, "ValidationError",
                         "The built-in subscription 'master' cannot be deleted. Suspend it "
                         "instead: set its state to 'suspended'.");
    else
        arm_delete(call);
}

/** A new key in place of one. 204. */
static void regenerate(struct arm_call *call, bool is_primary)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item;
    struct pn_error err = {0};
    json_t *keys = NULL;
    json_t *internal = NULL;
    uint64_t revision = 0;
    enum pn_rc rc = PN_OK;

    if (!arm_begin(call, &txn, &item))
        return;
    if (!item.id) {
        pn_store_rollback(txn);
        arm_answer_not_found(call);
        return;
    }
    internal = json_object_get(item.body, "internal");
    rc = open_keys(call, &item, &keys, &err);
    if (rc == PN_OK)
        rc = arm_access_seal(&call->arm->config.services, item.id,
                             is_primary ? NULL : pn_json_str(keys, "primaryKey"),
                             is_primary ? pn_json_str(keys, "secondaryKey") : NULL, internal, &err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, item.type, item.body, pn_store_keep_references, &err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 204);
    }
    json_decref(keys);
    pn_store_item_fini(&item);
}

void arm_access_new_primary(struct arm_call *call)
{
    regenerate(call, true);
}

void arm_access_new_secondary(struct arm_call *call)
{
    regenerate(call, false);
}
