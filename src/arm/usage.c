/* SPDX-License-Identifier: Apache-2.0
 *
 * GET …/certificates/{id}/usage: who uses it, directly or through others. The references are data
 * (store/store.h), so this is a walk against their direction: certificate <- backend <- pool <-
 * policy, and a policy stands for the API or operation that it is of.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"

#define BY_POLICY       "policy" /* an API or operation, by its policy; its own users are not meant */
#define USAGE_BYTES_MAX (16u * 1024 * 1024)
#define USERS_MAX       10000 /* entries of one answer; above, it says that there are more */

struct walk {
    struct pn_arena *arena;
    const char *scope_id;
    struct pn_store_txn *txn;
    json_t *known; /* ids in lower case */
    json_t *list;  /* the entries, in the order in which they were found */
    bool is_cut;
    struct pn_error *err;
};

static json_t *entry_of(const char *id, const char *type, const char *via, const char *by)
{
    const char *name = strrchr(id, '/');

    return json_pack("{s:s, s:s, s:o, s:s, s:s}", "id", id, "name", name ? name + 1 : id, "type",
                     arm_type(id, type), "via", via, "by", by);
}

/** PN_EXISTS: it was there already. PN_LIMIT, PN_NOMEM. */
static enum pn_rc add(struct walk *walk, const char *id, const char *type, const char *via,
                      const char *by)
{
    const char *key = arm_lower(walk->arena, pn_slice_str(id));

    if (key && json_object_get(walk->known, key))
        return PN_EXISTS;
    if (json_array_size(walk->list) >= USERS_MAX) {
        walk->is_cut = true;
        return PN_LIMIT;
    }
    if (!key || json_object_set_new(walk->known, key, json_true()) != 0 ||
        json_array_append_new(walk->list, entry_of(id, type, via, by)) != 0)
        return pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    return PN_OK;
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
    pn_store_item_fini(&scope);
    return rc == PN_NOMEM ? rc : PN_OK;
}

static enum pn_rc add_users(struct walk *walk, const char *reference, const char *of,
                            const char *by)
{
    struct pn_store_list users;
    enum pn_rc rc = pn_store_users(walk->txn, reference, &users, walk->err);

    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const struct pn_store_item *user = &users.items[i];

        rc = add(walk, user->id, user->type, of, by);
        if (rc == PN_OK)
            rc = add_scope(walk, user->id);
        else if (rc != PN_NOMEM)
            rc = PN_OK;
    }
    pn_store_list_fini(&users);
    return rc;
}

/** Each entry that was found is looked at in turn; those that it leads to come behind it. */
static enum pn_rc follow(struct walk *walk)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < json_array_size(walk->list); i++) {
        const json_t *entry = json_array_get(walk->list, i);
        const char *id = pn_json_str(entry, "id");

        if (id && strcmp(pn_json_str(entry, "by"), BY_POLICY) != 0)
            rc = add_users(walk, id, id, "reference");
    }
    return rc;
}

static enum pn_rc find(struct walk *walk, const struct pn_store_item *certificate)
{
    const char *thumbprint =
        pn_json_str(json_object_get(certificate->body, "properties"), "thumbprint");
    enum pn_rc rc = add_users(walk, certificate->id, certificate->id, "reference");

    if (rc == PN_OK && thumbprint) {
        const char *reference =
            pn_arena_printf(walk->arena, "%s/thumbprints/%s", walk->scope_id, thumbprint);

        rc = reference ? add_users(walk, reference, certificate->id, "thumbprint")
                       : pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    return rc == PN_OK ? follow(walk) : rc;
}

/** The scope's id is what stands before "/certificates/". */
static enum pn_rc run(struct walk *walk, struct pn_store *store, const char *certificate_id)
{
    struct pn_store_item certificate = {0};
    const char *suffix = strcasestr(certificate_id, "/certificates/");
    enum pn_rc rc = pn_store_begin(store, &walk->txn, walk->err);

    if (rc == PN_OK && suffix)
        walk->scope_id = pn_arena_strdup(
            walk->arena, pn_slice(certificate_id, (size_t)(suffix - certificate_id)));
    if (rc == PN_OK)
        rc = pn_store_txn_get(walk->txn, certificate_id, &certificate, walk->err);
    if (rc == PN_OK && (!walk->known || !walk->list || !walk->scope_id))
        rc = pn_error_set(walk->err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = find(walk, &certificate);
    pn_store_rollback(walk->txn);
    pn_store_item_fini(&certificate);
    return rc;
}

void arm_certificate_usage(struct arm_call *call)
{
    struct pn_error err = {0};
    struct walk walk = {
        .arena = call->arena, .known = json_object(), .list = json_array(), .err = &err};

    if (run(&walk, call->arm->config.store, call->id) == PN_OK)
        arm_answer_json(call, 200,
                        json_pack("{s:O, s:I, s:b}", "value", walk.list, "count",
                                  (json_int_t)json_array_size(walk.list), "truncated", walk.is_cut),
                        0);
    else if (err.rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
    json_decref(walk.known);
    json_decref(walk.list);
}

enum pn_rc pn_arm_usage(void *ctx, const char *certificate_id, json_t **users, struct pn_error *err)
{
    const struct pn_arm *arm = ctx;
    struct walk walk = {.arena = pn_arena_create(4096, USAGE_BYTES_MAX),
                        .known = json_object(),
                        .list = json_array(),
                        .err = err};
    enum pn_rc rc = walk.arena ? run(&walk, arm->config.store, certificate_id)
                               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    if (rc == PN_OK)
        *users = json_incref(walk.list);
    json_decref(walk.known);
    json_decref(walk.list);
    pn_arena_destroy(walk.arena);
    return rc;
}
