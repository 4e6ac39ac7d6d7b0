/* SPDX-License-Identifier: Apache-2.0
 *
 * What a literal of a policy's expression names: a certificate by id or thumbprint, a backend by id
 * (ADR 241); and what such references are called in the store.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "certs/certificate.h"
#include "policy/policy.h"

#define RESOURCE_NAME_MAX 80

const char *arm_dynamic_any(struct pn_arena *arena, const char *scope_id, const char *kind)
{
    return pn_arena_printf(arena, "%s/dynamic/%s", scope_id, kind);
}

const char *arm_dynamic_reference(struct pn_arena *arena, const char *scope_id, const char *id)
{
    return pn_arena_printf(arena, "%s/dynamic%s", scope_id, id + strlen(scope_id));
}

/** Those who have the thumbprint. One from a vault is in use until it is rotated. */
static enum pn_rc find_by_thumbprint(struct arm_call *call, struct pn_store_txn *txn,
                                     const char *thumbprint, struct arm_literal *literal,
                                     struct pn_error *err)
{
    struct pn_store_list found = {0};
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    enum pn_rc rc = PN_OK;

    literal->thumbprint = arm_thumbprint_reference(call, thumbprint);
    if (!prefix || !literal->thumbprint)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_list_thumbprint(txn, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type,
                                      thumbprint, &found, err);
    for (size_t i = 0; rc == PN_OK && i < found.count && literal->count < ARM_LITERAL_MAX; i++)
        literal->ids[literal->count++] =
            pn_arena_strdup(call->arena, pn_slice_str(found.items[i].id));
    pn_store_list_fini(&found);
    return rc;
}

static bool may_be_name(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || strchr("*#&+:<>?/", name.ptr[i]))
            return false;
    return name.len > 0 && name.len <= RESOURCE_NAME_MAX;
}

/* If the literals are all that the expression can give, one counts also before there is such a
 * thing; otherwise it may be any text, and counts if there is. */
enum pn_rc arm_literal_find(struct arm_call *call, struct pn_store_txn *txn,
                            struct arm_literal *literal, struct pn_error *err)
{
    const struct pn_policy_reference *reference = literal->reference;
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_store_item item = {0};
    const char *id;
    enum pn_rc rc = PN_OK;

    if (strcmp(literal->kind, ARM_CERTIFICATES) == 0 &&
        pn_thumbprint_parse(reference->name, thumbprint))
        return find_by_thumbprint(call, txn, thumbprint, literal, err);
    if (!may_be_name(reference->name))
        return PN_OK;
    id = pn_arena_printf(call->arena, "%s/%s/%.*s", call->scope_id, literal->kind,
                         PN_FMT(reference->name));
    if (!id)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (!reference->is_certain) {
        rc = pn_store_txn_get(txn, id, &item, err);
        pn_store_item_fini(&item);
    }
    if (rc == PN_NOT_FOUND) {
        memset(err, 0, sizeof(*err));
        return PN_OK;
    }
    literal->ids[literal->count++] = id;
    return rc;
}
