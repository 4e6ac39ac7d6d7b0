/* SPDX-License-Identifier: Apache-2.0
 *
 * Named values and fragments as a transaction sees them: for the documents that name them.
 */
#include <string.h>

#include "arm/arm_internal.h"

#define SOURCES_BYTES_MAX (64u * 1024 * 1024)

struct arm_known_value {
    struct pn_slice name;
    const char *id;
    struct pn_policy_value value;
    struct arm_known_value *next;
};

const char *arm_named_value_reference(struct pn_arena *arena, const char *scope_id,
                                      struct pn_slice display_name)
{
    const char *lower = arm_lower(arena, display_name);

    return lower ? pn_arena_printf(arena, "%s/namedValueNames/%s", scope_id, lower) : NULL;
}

static enum pn_rc no_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

/** Most documents name nothing: then there is no transaction to be waited for. */
static enum pn_rc see_store(struct arm_sources *sources, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    if (sources->txn)
        return PN_OK;
    rc = pn_store_begin(sources->call->arm->config.store, &sources->own_txn, err);
    if (rc == PN_OK)
        sources->txn = sources->own_txn;
    return rc;
}

/** The one with that display name: its only user is the named value itself. */
static enum pn_rc find_item(struct arm_sources *sources, struct pn_slice name,
                            struct pn_store_list *found, struct pn_error *err)
{
    const char *reference =
        arm_named_value_reference(sources->arena, sources->call->scope_id, name);
    enum pn_rc rc = reference ? see_store(sources, err) : no_memory(err);

    if (rc == PN_OK)
        rc = pn_store_users(sources->txn, reference, found, err);
    if (rc == PN_OK && found->count == 0)
        rc = pn_error_set(err, PN_NOT_FOUND, "not_found", "there is no such named value");
    return rc;
}

enum pn_rc arm_named_value_find(struct arm_sources *sources, struct pn_slice name,
                                struct pn_policy_value *value, const char **id,
                                struct pn_error *err)
{
    struct arm_known_value *known = sources->known;
    struct pn_store_list found = {0};
    json_t *properties = NULL;
    struct pn_slice text;
    enum pn_rc rc;

    for (; known; known = known->next)
        if (pn_slice_case_eq(known->name, name))
            break;
    if (known) {
        *value = known->value;
        *id = known->id;
        return PN_OK;
    }
    rc = find_item(sources, name, &found, err);
    if (rc == PN_OK)
        rc = arm_named_value_open(sources->call->arm, &found.items[0], &properties, err);
    if (rc == PN_OK) {
        known = pn_arena_zalloc(sources->arena, sizeof *known);
        text = pn_json_slice(properties, "value");
        if (known) {
            known->name = pn_arena_dup(sources->arena, name);
            known->id = pn_arena_strdup(sources->arena, pn_slice_str(found.items[0].id));
            known->value.text =
                pn_arena_dup(sources->arena, pn_slice(text.ptr ? text.ptr : "", text.len));
            known->value.is_secret = pn_json_bool(properties, "secret", false);
        }
        if (!known || !known->name.ptr || !known->id || !known->value.text.ptr) {
            rc = no_memory(err);
        } else {
            known->next = sources->known;
            sources->known = known;
            *value = known->value;
            *id = known->id;
        }
    }
    json_decref(properties);
    pn_store_list_fini(&found);
    return rc;
}

static enum pn_rc named_value(void *ctx, struct pn_slice name, struct pn_policy_value *value,
                              struct pn_error *err)
{
    const char *id = NULL;

    return arm_named_value_find(ctx, name, value, &id, err);
}

static enum pn_rc fragment(void *ctx, struct pn_slice id, struct pn_slice *text,
                           struct pn_error *err)
{
    struct arm_sources *sources = ctx;
    struct pn_store_item item = {0};
    json_t *properties = NULL;
    const char *full = pn_arena_printf(sources->arena, "%s/policyFragments/%.*s",
                                       sources->call->scope_id, PN_FMT(id));
    enum pn_rc rc = full ? see_store(sources, err) : no_memory(err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(sources->txn, full, &item, err);
    if (rc == PN_OK)
        rc = arm_policy_open(sources->call->arm, &item, &properties, err);
    if (rc == PN_OK) {
        *text = pn_arena_dup(sources->arena, pn_json_slice(properties, "value"));
        if (!text->ptr)
            rc = no_memory(err);
    }
    json_decref(properties);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc arm_sources_init(struct arm_sources *sources, struct arm_call *call,
                            struct pn_store_txn *txn, struct pn_error *err)
{
    *sources = (struct arm_sources){
        .call = call,
        .txn = txn,
        .policy = {.ctx = sources, .named_value = named_value, .fragment = fragment},
        .arena = pn_arena_create(4096, SOURCES_BYTES_MAX),
    };
    if (!sources->arena)
        return no_memory(err);
    pn_arena_mark_secret(sources->arena);
    return PN_OK;
}

void arm_sources_fini(struct arm_sources *sources)
{
    pn_store_rollback(sources->own_txn);
    sources->own_txn = NULL;
    pn_arena_destroy(sources->arena);
    sources->arena = NULL;
    sources->known = NULL;
}

/* ---- texts that are no policy ---- */

enum pn_rc arm_put_values(struct arm_sources *sources, struct pn_slice text, struct pn_buf *out,
                          arm_on_value_fn on_value, void *ctx, struct pn_error *err)
{
    struct pn_slice name = {0};
    size_t at = 0, start = 0, end = 0;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && pn_policy_find_named_value(text, at, &start, &end, &name)) {
        struct pn_policy_value value = {0};
        const char *id = NULL;

        rc = arm_named_value_find(sources, name, &value, &id, err);
        if (rc == PN_NOT_FOUND)
            rc = pn_error_set(err, PN_INVALID, "no_named_value",
                              "Cannot find a property '%.*s': there is no named value with this "
                              "display name",
                              PN_FMT(name));
        if (rc == PN_OK && on_value)
            rc = on_value(ctx, id, err);
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, pn_slice_sub(text, at, start - at));
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, value.text);
        at = end;
    }
    if (rc == PN_OK)
        rc = pn_buf_append_slice(out, pn_slice_sub(text, at, text.len));
    if (rc == PN_LIMIT)
        pn_error_set(err, rc, "too_long", "with its named values the text is too long");
    return rc;
}
