/* SPDX-License-Identifier: Apache-2.0
 *
 * GET …/certificates/{id}/usage: who uses it, directly or through others. The references are data
 * (store/store.h), so this is a walk against their direction: certificate <- backend <- pool <-
 * policy, and a policy stands for the API, operation or product that it is of; a product, then,
 * for the APIs that are in it. A host name of our listener
 * has a key of its own; it is there when it shows the same certificate or follows the same secret,
 * for it is rotated and expires with it.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "keyvault/keyvault.h"

#define BY_POLICY       "policy" /* of an API, operation or product; its own users are not meant */
#define BY_VALUE        "value"  /* a named value that holds its id or thumbprint; nor here */
#define USAGE_BYTES_MAX (16u * 1024 * 1024)

struct walk {
    struct pn_arena *arena;
    const char *scope_id;
    struct pn_store_txn *txn;
    json_t *known; /* ids in lower case */
    json_t *list;  /* the entries, in the order in which they were found */
    size_t max;    /* of the list */
    bool is_cut;
    bool with_any;
    bool is_dynamic; /* what is found now is so by an expression */
    struct pn_error *err;
};

static json_t *entry_of(const char *id, const char *type, const char *via, const char *by,
                        bool is_dynamic)
{
    const char *name = strrchr(id, '/');
    json_t *entry = json_pack("{s:s, s:s, s:o, s:s, s:s}", "id", id, "name", name ? name + 1 : id,
                              "type", arm_type(id, type), "via", via, "by", by);

    if (entry && is_dynamic && json_object_set_new(entry, "dynamic", json_true()) != 0) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

/** PN_EXISTS: it was there already. PN_LIMIT, PN_NOMEM. */
static enum pn_rc add(struct walk *walk, const char *id, const char *type, const char *via,
                      const char *by)
{
    const char *key = arm_lower(walk->arena, pn_slice_str(id));

    if (key && json_object_get(walk->known, key))
        return PN_EXISTS;
    if (json_array_size(walk->list) >= walk->max) {
        walk->is_cut = true;
        return PN_LIMIT;
    }
    if (!key || json_object_set_new(walk->known, key, json_true()) != 0 ||
        json_array_append_new(walk->list, entry_of(id, type, via, by, walk->is_dynamic)) != 0)
        return pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    return PN_OK;
}

/** The APIs in a product whose policy uses the item. */
static enum pn_rc add_apis(struct walk *walk, const char *product_id)
{
    const char *prefix = pn_arena_printf(walk->arena, "%s/apis/", product_id);
    const char *type = pn_type_facts(PN_TYPE_API)->type;
    struct pn_store_list links = {0};
    enum pn_rc rc =
        prefix ? pn_store_txn_list(walk->txn, prefix, pn_type_facts(PN_TYPE_PRODUCT_API)->type,
                                   &links, walk->err)
               : pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");

    for (size_t i = 0; rc == PN_OK && !walk->is_cut && i < links.count; i++) {
        rc = add(walk, arm_product_link_api(&links.items[i]), type, product_id, ARM_BY_PRODUCT);
        rc = rc == PN_NOMEM ? rc : PN_OK;
    }
    pn_store_list_fini(&links);
    return rc;
}

/** What the policy with this id is of: the id without "/policies/policy". */
static enum pn_rc add_scope(struct walk *walk, const char *policy_id)
{
    static const char suffix[] = "/policies/policy";
    size_t len = strlen(policy_id);
    struct pn_store_item scope;
    const char *id;
    enum pn_rc rc;

    if (len <= sizeof(suffix) - 1 ||
        strcasecmp(policy_id + len - (sizeof(suffix) - 1), suffix) != 0)
        return PN_OK;
    id = pn_arena_strdup(walk->arena, pn_slice(policy_id, len - (sizeof(suffix) - 1)));
    if (!id)
        return pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_get(walk->txn, id, &scope, walk->err);
    if (rc != PN_OK)
        return rc == PN_NOT_FOUND ? PN_OK : rc;
    rc = add(walk, scope.id, scope.type, policy_id, BY_POLICY);
    if (rc == PN_OK && strcmp(scope.type, pn_type_facts(PN_TYPE_PRODUCT)->type) == 0)
        rc = add_apis(walk, scope.id);
    pn_store_item_fini(&scope);
    return rc == PN_NOMEM ? rc : PN_OK;
}

/** The named value by which the policy names it; NULL: it does so itself. */
static const char *value_between(const struct pn_store_item *user, const char *reference)
{
    const json_t *through = json_object_get(json_object_get(user->body, "internal"), "through");

    for (size_t i = 0; i < json_array_size(through); i++) {
        const json_t *entry = json_array_get(through, i);
        const char *certificate = pn_json_str(entry, "certificate");

        if (certificate && strcasecmp(certificate, reference) == 0)
            return pn_json_str(entry, "namedValue");
    }
    return NULL;
}

static enum pn_rc add_users(struct walk *walk, const char *reference, const char *of,
                            const char *by)
{
    struct pn_store_list users;
    enum pn_rc rc = pn_store_users(walk->txn, reference, &users, walk->err);

    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const struct pn_store_item *user = &users.items[i];
        const char *through = value_between(user, reference);
        const char *value_id = through ? pn_arena_strdup(walk->arena, pn_slice_str(through)) : NULL;

        if (value_id) {
            rc = add(walk, value_id, pn_type_facts(PN_TYPE_NAMED_VALUE)->type, of, BY_VALUE);
            if (rc == PN_NOMEM)
                break;
        }
        rc = add(walk, user->id, user->type, value_id ? value_id : of, by);
        if (rc == PN_OK)
            rc = add_scope(walk, user->id);
        else if (rc != PN_NOMEM)
            rc = PN_OK;
    }
    pn_store_list_fini(&users);
    return rc;
}

/** Those that only an expression leads to, and then all others: who is found once is not found
 *  again. What one refers to by an expression has that reference beside the plain one. */
static enum pn_rc add_all_users(struct walk *walk, const char *id)
{
    bool is_dynamic = walk->is_dynamic;
    const char *reference = NULL;
    enum pn_rc rc = PN_OK;

    if (strncasecmp(id, walk->scope_id, strlen(walk->scope_id)) == 0) {
        reference = arm_dynamic_reference(walk->arena, walk->scope_id, id);
        if (!reference)
            return pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
        walk->is_dynamic = true;
        rc = add_users(walk, reference, id, "reference");
    }
    walk->is_dynamic = is_dynamic;
    return rc == PN_OK ? add_users(walk, id, id, "reference") : rc;
}

static enum pn_rc add_any_users(struct walk *walk, const char *kind, const char *id)
{
    const char *reference = arm_dynamic_any(walk->arena, walk->scope_id, kind);
    bool is_dynamic = walk->is_dynamic;
    enum pn_rc rc;

    if (!walk->with_any)
        return PN_OK;
    if (!reference)
        return pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    walk->is_dynamic = true;
    rc = add_users(walk, reference, id, ARM_BY_EXPRESSION);
    walk->is_dynamic = is_dynamic;
    return rc;
}

/** Each entry that was found is looked at in turn; those that it leads to come behind it. */
static enum pn_rc follow(struct walk *walk)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < json_array_size(walk->list); i++) {
        const json_t *entry = json_array_get(walk->list, i);
        const char *id = pn_json_str(entry, "id");
        const char *type = pn_json_str(entry, "type");

        if (!id || strcmp(pn_json_str(entry, "by"), BY_POLICY) == 0 ||
            strcmp(pn_json_str(entry, "by"), ARM_BY_PRODUCT) == 0 ||
            strcmp(pn_json_str(entry, "by"), BY_VALUE) == 0)
            continue;
        walk->is_dynamic = pn_json_bool(entry, "dynamic", false);
        rc = add_all_users(walk, id);
        if (rc == PN_OK && type && pn_slice_ends_with(pn_slice_str(type), PN_LIT("/backends")))
            rc = add_any_users(walk, ARM_BACKENDS, id);
    }
    walk->is_dynamic = false;
    return rc;
}

/** Who names the thumbprint that the certificate has now. */
static enum pn_rc add_thumbprint_users(struct walk *walk, const struct pn_store_item *certificate)
{
    const char *thumbprint =
        pn_json_str(json_object_get(certificate->body, "properties"), "thumbprint");
    const char *reference =
        thumbprint ? pn_arena_printf(walk->arena, "%s/thumbprints/%s", walk->scope_id, thumbprint)
                   : NULL;

    if (!thumbprint)
        return PN_OK;
    return reference ? add_users(walk, reference, certificate->id, "thumbprint")
                     : pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
}

/** Whether both follow one secret of a vault; a version of it is one certificate, not followed. */
static bool is_same_secret(const json_t *a, const json_t *b)
{
    struct pn_keyvault_id mine, its;
    struct pn_error err = {0};

    return pn_keyvault_id_parse(pn_json_slice(json_object_get(a, "keyVault"), "secretIdentifier"),
                                &mine, &err) == PN_OK &&
           pn_keyvault_id_parse(pn_json_slice(json_object_get(b, "keyVault"), "secretIdentifier"),
                                &its, &err) == PN_OK &&
           strcmp(mine.origin, its.origin) == 0 && strcasecmp(mine.name, its.name) == 0 &&
           strcasecmp(mine.version, its.version) == 0;
}

static enum pn_rc add_listeners(struct walk *walk, const struct pn_store_item *certificate)
{
    const json_t *own = json_object_get(certificate->body, "properties");
    const char *workspace =
        strcasestr(walk->scope_id, "/workspaces/"); /* names are the service's */
    size_t len = workspace ? (size_t)(workspace - walk->scope_id) : strlen(walk->scope_id);
    const char *prefix =
        pn_arena_printf(walk->arena, "%.*s/posternHostnames/", (int)len, walk->scope_id);
    struct pn_store_list hosts = {0};
    enum pn_rc rc =
        prefix ? pn_store_txn_list(walk->txn, prefix, pn_type_facts(PN_TYPE_HOSTNAME)->type, &hosts,
                                   walk->err)
               : pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");

    for (size_t i = 0; rc == PN_OK && i < hosts.count; i++) {
        const struct pn_store_item *host = &hosts.items[i];
        const json_t *its = json_object_get(host->body, "properties");
        const char *thumbprint = pn_json_str(its, "thumbprint");

        if (is_same_secret(own, its))
            rc = add(walk, host->id, host->type, certificate->id, ARM_BY_SECRET);
        else if (thumbprint && pn_slice_case_eq_str(pn_json_slice(own, "thumbprint"), thumbprint))
            rc = add(walk, host->id, host->type, certificate->id, ARM_BY_CERTIFICATE);
        rc = rc == PN_NOMEM ? rc : PN_OK;
    }
    pn_store_list_fini(&hosts);
    return rc;
}

static enum pn_rc walk_from(struct walk *walk, const struct pn_store_item *item,
                            const struct arm_usage_wish *wish)
{
    bool is_backend = strcmp(item->type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0;
    bool is_certificate = strcmp(item->type, pn_type_facts(PN_TYPE_CERTIFICATE)->type) == 0;
    enum pn_rc rc = add_all_users(walk, item->id);

    if (rc == PN_OK && wish->with_thumbprint)
        rc = add_thumbprint_users(walk, item);
    if (rc == PN_OK && wish->with_listeners)
        rc = add_listeners(walk, item);
    if (rc == PN_OK)
        rc = follow(walk);
    if (rc == PN_OK && (is_backend || is_certificate))
        rc = add_any_users(walk, is_backend ? ARM_BACKENDS : ARM_CERTIFICATES, item->id);
    return rc;
}

enum pn_rc arm_usage_in(struct pn_store_txn *txn, struct pn_arena *arena, const char *scope_id,
                        const struct pn_store_item *item, const struct arm_usage_wish *wish,
                        struct arm_usage *usage, struct pn_error *err)
{
    struct walk walk = {.arena = arena,
                        .scope_id = scope_id,
                        .txn = txn,
                        .known = json_object(),
                        .list = json_array(),
                        .max = wish->max,
                        .with_any = wish->with_any,
                        .err = err};
    enum pn_rc rc = walk.known && walk.list
                        ? walk_from(&walk, item, wish)
                        : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    json_decref(walk.known);
    if (rc != PN_OK) {
        json_decref(walk.list);
        walk.list = NULL;
    }
    *usage = (struct arm_usage){.list = walk.list, .is_cut = walk.is_cut};
    return rc;
}

/** The scope's id is what stands before "/certificates/". */
static enum pn_rc run(struct pn_store *store, struct pn_arena *arena, const char *certificate_id,
                      size_t max, struct arm_usage *usage, struct pn_error *err)
{
    const struct arm_usage_wish wish = {
        .max = max, .with_thumbprint = true, .with_listeners = true, .with_any = true};
    const char *suffix = strcasestr(certificate_id, "/certificates/");
    struct pn_store_item certificate = {0};
    struct pn_store_txn *txn = NULL;
    const char *scope_id = NULL;
    enum pn_rc rc = pn_store_begin(store, &txn, err);

    *usage = (struct arm_usage){0};
    if (suffix)
        scope_id =
            pn_arena_strdup(arena, pn_slice(certificate_id, (size_t)(suffix - certificate_id)));
    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, certificate_id, &certificate, err);
    if (rc == PN_OK && !scope_id)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK && scope_id)
        rc = arm_usage_in(txn, arena, scope_id, &certificate, &wish, usage, err);
    pn_store_rollback(txn);
    pn_store_item_fini(&certificate);
    return rc;
}

void arm_certificate_usage(struct arm_call *call)
{
    struct pn_error err = {0};
    struct arm_usage usage;

    if (run(call->arm->config.store, call->arena, call->id, ARM_USERS_MAX, &usage, &err) == PN_OK)
        arm_answer_json(call, 200,
                        json_pack("{s:O, s:I, s:b}", "value", usage.list, "count",
                                  (json_int_t)json_array_size(usage.list), "truncated",
                                  (int)usage.is_cut),
                        0);
    else if (err.rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
    json_decref(usage.list);
}

enum pn_rc pn_arm_usage(void *ctx, const char *certificate_id, json_t **users, struct pn_error *err)
{
    const struct pn_arm *arm = ctx;
    struct pn_arena *arena = pn_arena_create(4096, USAGE_BYTES_MAX);
    struct arm_usage usage = {0};
    enum pn_rc rc = arena
                        ? run(arm->config.store, arena, certificate_id, ARM_USERS_MAX, &usage, err)
                        : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK)
        *users = usage.list;
    pn_arena_destroy(arena);
    return rc;
}
