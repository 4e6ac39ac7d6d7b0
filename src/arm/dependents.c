/* SPDX-License-Identifier: Apache-2.0
 *
 * A named value or a fragment changes: what names it, directly or through fragments, is made anew
 * in the same transaction, so that the change is live when it is answered, or nothing has changed
 * and the answer says which policy could not bear it.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "base/limits.h"

struct renewal {
    struct arm_call *call;
    struct pn_store_txn *txn;
    struct arm_sources sources;
    struct arm_renewal *state;
    json_t *seen;  /* ids in lower case */
    json_t *queue; /* ids of what has users of its own: the changed one, fragments */
    size_t count;
};

static enum pn_rc no_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static const char *short_id(const struct arm_call *call, const char *id)
{
    size_t len = strlen(call->service_id);

    return strncasecmp(id, call->service_id, len) == 0 ? id + len : id;
}

static enum pn_rc put(struct renewal *renewal, const struct pn_store_item *item, json_t *properties,
                      json_t *internal, const char *const *references, struct pn_error *err)
{
    const char *name = strrchr(item->id, '/') + 1;
    json_t *body = json_pack("{s:s,s:O}", "name", name, "properties", properties);
    enum pn_rc rc = PN_OK;

    if (!body || (internal && json_object_set(body, "internal", internal) != 0))
        rc = no_memory(err);
    if (rc == PN_OK)
        rc = pn_store_put(renewal->txn, item->id, item->type, body, references, err);
    json_decref(body);
    return rc;
}

/** What a policy needs that is not made inside a transaction: got meanwhile by
 *  arm_renewal_prepare(). */
static struct arm_policy_work *work_of(struct renewal *renewal, const char *id)
{
    for (size_t i = 0; i < renewal->state->count; i++)
        if (strcasecmp(renewal->state->works[i].id, id) == 0)
            return renewal->state->works[i].work;
    return NULL;
}

/** Who changes a named value chooses the certificates that it names. False: answered. */
static bool may_use(struct arm_call *call, const json_t *through)
{
    for (size_t i = 0; i < json_array_size(through); i++) {
        const json_t *entry = json_array_get(through, i);
        const char *const certificate[] = {pn_json_str(entry, "certificate"), NULL};
        const char *value = pn_json_str(entry, "namedValue");

        if (certificate[0] && value && strcasecmp(value, call->id) == 0 &&
            !arm_check_linked_access(call, certificate))
            return false;
    }
    return true;
}

static enum pn_rc renew_policy(struct renewal *renewal, const struct pn_store_item *item,
                               struct pn_error *err)
{
    struct arm_call *call = renewal->call;
    struct pn_policy_document *document = NULL;
    struct arm_policy_refers refers = {0};
    json_t *properties = NULL;
    json_t *internal = NULL;
    enum pn_rc rc = arm_policy_open(call->arm, item, &properties, err);

    if (rc == PN_OK)
        rc = arm_policy_read(&renewal->sources, item->type, item->id,
                             pn_json_slice(properties, "value"), PN_POLICY_RAWXML, &document, err);
    if (rc == PN_OK)
        rc = arm_policy_refer_in(call, renewal->txn, &renewal->sources, document,
                                 work_of(renewal, item->id), &refers, err);
    if (rc == PN_UNAVAILABLE && strcmp(err->code, ARM_TOKEN_FORGOTTEN) == 0) {
        renewal->state->wanted = pn_arena_strdup(call->arena, pn_slice_str(item->id));
        renewal->state->document = document; /* the caller gets its tokens and comes again */
        document = NULL;
    }
    if (rc == PN_OK)
        rc = arm_policy_keep(call, item->type, item->id, document, refers.through, properties,
                             &internal, err);
    if (rc == PN_OK)
        rc = put(renewal, item, properties, internal, refers.ids, err);
    if (rc == PN_OK && call->principal.object_id[0] && !may_use(call, refers.through))
        rc = PN_EXISTS; /* answered */
    json_decref(refers.through);
    pn_policy_document_destroy(document);
    json_decref(properties);
    json_decref(internal);
    return rc;
}

static enum pn_rc renew_backend(struct renewal *renewal, const struct pn_store_item *item,
                                struct pn_error *err)
{
    json_t *body = json_deep_copy(item->body);
    enum pn_rc rc = body ? arm_backend_renew(&renewal->sources, item, body, err) : no_memory(err);

    if (rc == PN_OK)
        rc = pn_store_put(renewal->txn, item->id, item->type, body, pn_store_keep_references, err);
    json_decref(body);
    return rc;
}

static enum pn_rc renew(struct renewal *renewal, const struct pn_store_item *item,
                        struct pn_error *err)
{
    bool is_fragment = strcmp(item->type, pn_type_facts(PN_TYPE_FRAGMENT)->type) == 0;
    bool is_backend = strcmp(item->type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0;
    const char *key = arm_lower(renewal->call->arena, pn_slice_str(item->id));
    enum pn_rc rc = PN_OK;

    if (!key)
        return no_memory(err);
    if (json_object_get(renewal->seen, key) ||
        (!is_fragment && !is_backend && !arm_is_policy(item->type)))
        return PN_OK;
    if (json_object_set_new(renewal->seen, key, json_true()) != 0)
        return no_memory(err);
    if (++renewal->count > pn_limit_value(PN_LIMIT_NAMED_VALUE_USERS)) {
        pn_limit_hit(PN_LIMIT_NAMED_VALUE_USERS);
        return pn_error_set(err, PN_INVALID, "too_many_users",
                            "More than %llu policies, fragments and backends would change with it "
                            "(limit named-value-users).",
                            (unsigned long long)pn_limit_value(PN_LIMIT_NAMED_VALUE_USERS));
    }
    rc = is_backend ? renew_backend(renewal, item, err) : renew_policy(renewal, item, err);
    if ((rc == PN_INVALID || rc == PN_MALFORMED || rc == PN_LIMIT) && !renewal->state->wanted) {
        pn_error_prefix(err, "'%s' would no longer be valid", short_id(renewal->call, item->id));
        if (renewal->state->refused_by == NULL)
            renewal->state->refused_by =
                pn_arena_strdup(renewal->call->arena, pn_slice_str(item->id));
        rc = err->rc = PN_INVALID;
    }
    if (rc == PN_OK && is_fragment &&
        json_array_append_new(renewal->queue, json_string(item->id)) != 0)
        rc = no_memory(err);
    return rc;
}

enum pn_rc arm_renew_users(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                           struct arm_renewal *state, struct pn_error *err)
{
    struct renewal renewal = {.call = call,
                              .txn = txn,
                              .state = state,
                              .seen = json_object(),
                              .queue = json_pack("[s]", id)};
    enum pn_rc rc = renewal.seen && renewal.queue
                        ? arm_sources_init(&renewal.sources, call, txn, err)
                        : no_memory(err);

    state->wanted = NULL;
    for (size_t i = 0; rc == PN_OK && i < json_array_size(renewal.queue); i++) {
        struct pn_store_list users = {0};

        rc = pn_store_users(txn, json_string_value(json_array_get(renewal.queue, i)), &users, err);
        for (size_t u = 0; rc == PN_OK && u < users.count; u++)
            rc = renew(&renewal, &users.items[u], err);
        pn_store_list_fini(&users);
    }
    arm_sources_fini(&renewal.sources);
    json_decref(renewal.seen);
    json_decref(renewal.queue);
    return rc;
}

enum pn_rc arm_renewal_prepare(struct arm_call *call, struct arm_renewal *state,
                               struct pn_error *err)
{
    struct arm_policy_work *work = NULL;
    enum pn_rc rc;

    if (state->count == ARM_RENEWAL_WORKS_MAX) {
        pn_policy_document_destroy(state->document);
        state->document = NULL;
        return pn_error_set(err, PN_UNAVAILABLE, ARM_TOKEN_FORGOTTEN,
                            "Too many policies need another token of a managed identity at once; "
                            "repeat the request.");
    }
    rc = arm_policy_import_in(call, state->document, &work, err);
    pn_policy_document_destroy(state->document);
    state->document = NULL;
    if (work) {
        state->works[state->count].id = state->wanted;
        state->works[state->count++].work = work;
    }
    return rc;
}

void arm_renewal_end(struct arm_call *call, struct arm_renewal *state)
{
    for (size_t i = 0; i < state->count; i++)
        arm_policy_work_end(call, state->works[i].work);
    pn_policy_document_destroy(state->document);
    *state = (struct arm_renewal){0};
}
