/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise 7: what is in use is not deleted; the answer lists who uses it.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"

const char *arm_thumbprint_reference(struct arm_call *call, const char *thumbprint)
{
    return pn_arena_printf(call->arena, "%s/thumbprints/%s", call->scope_id, thumbprint);
}

/** Who names the addressed certificate's thumbprint, unless another upload has the same one. */
static enum pn_rc thumbprint_users(struct arm_call *call, struct pn_store_txn *txn,
                                   struct pn_store_list *users, struct pn_error *err)
{
    struct pn_store_list all = {0};
    struct pn_slice thumbprint = {0};
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    const char *reference = NULL;
    size_t others = 0;
    enum pn_rc rc =
        prefix ? pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type, &all, err)
               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    for (size_t i = 0; rc == PN_OK && i < all.count; i++)
        if (strcasecmp(all.items[i].id, call->id) == 0)
            thumbprint =
                pn_json_slice(json_object_get(all.items[i].body, "properties"), "thumbprint");
    for (size_t i = 0; rc == PN_OK && i < all.count; i++) {
        const json_t *properties = json_object_get(all.items[i].body, "properties");

        others += strcasecmp(all.items[i].id, call->id) != 0 &&
                  !json_object_get(properties, "keyVault") &&
                  pn_slice_eq(pn_json_slice(properties, "thumbprint"), thumbprint);
    }
    if (rc == PN_OK && others == 0 && thumbprint.len > 0) {
        const char *text = pn_arena_strdup(call->arena, thumbprint);

        reference = text ? arm_thumbprint_reference(call, text) : NULL;
        rc = reference ? pn_store_users(txn, reference, users, err)
                       : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    pn_store_list_fini(&all);
    return rc;
}

/** One line for each user that is not in `known` (NULL: each). */
static void list_users(const struct arm_call *call, const struct pn_store_list *users,
                       const struct pn_store_list *known, struct pn_buf *text)
{
    for (size_t i = 0; i < users->count; i++) {
        struct pn_slice id = pn_slice_str(users->items[i].id);
        struct pn_slice below = pn_id_relative(id, pn_slice_str(call->service_id));
        bool is_known = false;

        for (size_t k = 0; known && k < known->count; k++)
            is_known = is_known || pn_slice_eq_str(id, known->items[k].id);
        /* A very long list is cut: the first ones are enough to act on. */
        if (!is_known &&
            pn_buf_printf(text, "%.*s\r\n", PN_FMT(below.len > 0 ? below : id)) != PN_OK)
            return;
    }
}

bool arm_refuse_while_used(struct arm_call *call, struct pn_store_txn *txn)
{
    struct pn_store_list users;
    struct pn_store_list by_thumbprint = {0};
    struct pn_error err = {0};
    struct pn_buf text;
    enum pn_rc rc = pn_store_users(txn, call->id, &users, &err);
    bool is_free = false;

    if (rc == PN_OK && call->route->type == PN_TYPE_CERTIFICATE)
        rc = thumbprint_users(call, txn, &by_thumbprint, &err);
    is_free = rc == PN_OK && users.count + by_thumbprint.count == 0;
    pn_buf_init(&text, PN_ERROR_MESSAGE_MAX);
    list_users(call, &users, NULL, &text);
    list_users(call, &by_thumbprint, &users, &text);
    if (!is_free)
        pn_store_rollback(txn);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    else if (!is_free)
        arm_answer_error(call, 400, "ValidationError",
                         "The %s '%.*s' is used by the following entities:\r\n%.*s",
                         pn_type_facts(call->route->type)->noun, PN_FMT(arm_name(call)),
                         PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    pn_store_list_fini(&users);
    pn_store_list_fini(&by_thumbprint);
    return is_free;
}
