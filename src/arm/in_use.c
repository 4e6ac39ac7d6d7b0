/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise 7: what is in use is not deleted; the answer lists who uses it, directly and through
 * others.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "arm/quirks.h"

#define MESSAGE_USERS_BYTES (PN_ERROR_MESSAGE_MAX - 400) /* an id, and the line of the count */

const char *arm_thumbprint_reference(struct arm_call *call, const char *thumbprint)
{
    return pn_arena_printf(call->arena, "%s/thumbprints/%s", call->scope_id, thumbprint);
}

/** Whether another upload has the addressed certificate's thumbprint: who names that can go on with
 * the other one. */
static enum pn_rc has_twin(struct arm_call *call, struct pn_store_txn *txn,
                           const struct pn_store_item *item, bool *has, struct pn_error *err)
{
    struct pn_store_list all = {0};
    struct pn_slice thumbprint =
        pn_json_slice(json_object_get(item->body, "properties"), "thumbprint");
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    enum pn_rc rc =
        prefix ? pn_store_txn_list(txn, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type, &all, err)
               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    *has = false;
    for (size_t i = 0; rc == PN_OK && i < all.count; i++) {
        const json_t *properties = json_object_get(all.items[i].body, "properties");

        *has = *has || (strcasecmp(all.items[i].id, item->id) != 0 &&
                        !json_object_get(properties, "keyVault") &&
                        pn_slice_eq(pn_json_slice(properties, "thumbprint"), thumbprint));
    }
    pn_store_list_fini(&all);
    return rc;
}

/** `with_any`: also expressions of which nobody knows what they name: they refuse nothing, but are
 *  told. */
static enum pn_rc find_users(struct arm_call *call, struct pn_store_txn *txn, bool with_any,
                             struct arm_usage *usage, struct pn_error *err)
{
    struct arm_usage_wish wish = {.max = ARM_USERS_MAX, .with_any = with_any};
    struct pn_store_item item = {0};
    bool has = true;
    enum pn_rc rc = pn_store_txn_get(txn, call->id, &item, err);

    if (rc == PN_OK && call->route->type == PN_TYPE_CERTIFICATE)
        rc = has_twin(call, txn, &item, &has, err);
    wish.with_thumbprint = !has;
    if (rc == PN_OK)
        rc = arm_usage_in(txn, call->arena, call->scope_id, &item, &wish, usage, err);
    pn_store_item_fini(&item);
    return rc;
}

/** Below the service, as people write it. */
static struct pn_slice short_id(const struct arm_call *call, const char *text)
{
    struct pn_slice id = pn_slice_str(text);
    struct pn_slice below = pn_id_relative(id, pn_slice_str(call->service_id));

    return below.len > 0 ? below : id;
}

/** It names the addressed item itself. */
static bool is_direct(const struct arm_call *call, const json_t *user)
{
    const char *via = pn_json_str(user, "via");

    return via && strcasecmp(via, call->id) == 0 &&
           strcmp(pn_json_str(user, "by"), ARM_BY_EXPRESSION) != 0;
}

static const char *how(const struct arm_call *call, const json_t *user)
{
    const char *by = pn_json_str(user, "by");

    if (strcmp(by, "thumbprint") == 0)
        return "names its thumbprint";
    if (strcmp(by, "value") == 0)
        return "holds its id or thumbprint";
    if (strcmp(by, ARM_BY_EXPRESSION) == 0)
        return "may use it: an expression decides at run time";
    if (strcmp(by, "policy") == 0)
        return "uses it by its policy";
    if (strcmp(by, ARM_BY_PRODUCT) == 0)
        return pn_arena_printf(call->arena, "is in %.*s, whose policy uses it",
                               PN_FMT(short_id(call, pn_json_str(user, "via"))));
    if (is_direct(call, user))
        return pn_json_bool(user, "dynamic", false) ? "names it in an expression" : "refers to it";
    return pn_arena_printf(call->arena, "refers to %.*s",
                           PN_FMT(short_id(call, pn_json_str(user, "via"))));
}

/** Those that name it, one a line, and how many more there are. */
static void print_users(const struct arm_call *call, const struct arm_usage *usage,
                        struct pn_buf *text)
{
    size_t printed = 0;
    const json_t *user;
    size_t i;

    json_array_foreach(usage->list, i, user)
    {
        /* A very long list is cut: the first ones are enough to act on. */
        if (is_direct(call, user) && text->len < MESSAGE_USERS_BYTES &&
            pn_buf_printf(text, "%.*s\r\n", PN_FMT(short_id(call, pn_json_str(user, "id")))) ==
                PN_OK)
            printed++;
    }
    if (!arm_has_quirk(call, ARM_QUIRK_NO_INNERERROR) &&
        (json_array_size(usage->list) > printed || usage->is_cut) &&
        pn_buf_printf(text, "and by %s%zu more, directly or through them (see details)\r\n",
                      usage->is_cut ? "at least " : "",
                      json_array_size(usage->list) - printed) != PN_OK)
        pn_buf_clear(text); /* cannot be: there is room left */
}

/** One detail for each of the first users; the first detail tells of all. NULL: no memory. */
static json_t *details_of(const struct arm_call *call, const struct arm_usage *usage)
{
    json_t *details = json_array();
    json_t *shown = json_array();
    json_t *inner = NULL;
    const json_t *user;
    size_t i;

    json_array_foreach(usage->list, i, user)
    {
        struct pn_slice target = short_id(call, pn_json_str(user, "id"));
        const char *message = how(call, user);

        if (i == ARM_DETAILED_USERS_MAX)
            break;
        (void)json_array_append(shown, (json_t *)(uintptr_t)user);
        (void)json_array_append_new(
            details, json_pack("{s:s, s:s%, s:s}", "code", "ValidationError", "target", target.ptr,
                               target.len, "message", message ? message : ""));
    }
    inner = json_pack("{s:s, s:o, s:I, s:b}", "code", "in_use", "usage", shown, "usageCount",
                      (json_int_t)json_array_size(usage->list), "truncated", (int)usage->is_cut);
    (void)json_object_set_new(json_array_get(details, 0), "innererror", inner);
    return details;
}

static void refuse(struct arm_call *call, const struct arm_usage *usage)
{
    struct pn_buf text;
    json_t *details;

    pn_buf_init(&text, PN_ERROR_MESSAGE_MAX);
    print_users(call, usage, &text);
    /* API Management's form has no details. */
    details = arm_has_quirk(call, ARM_QUIRK_NO_INNERERROR) ? NULL : details_of(call, usage);
    arm_answer_error_with(call, 400, "ValidationError", details,
                          "The %s '%.*s' is used by the following entities:\r\n%.*s",
                          pn_type_facts(call->route->type)->noun, PN_FMT(arm_name(call)),
                          PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
}

bool arm_refuse_while_used(struct arm_call *call, struct pn_store_txn *txn)
{
    struct arm_usage usage = {0};
    struct pn_error err = {0};
    enum pn_rc rc = find_users(call, txn, false, &usage, &err);
    bool is_free = rc == PN_OK && json_array_size(usage.list) == 0;

    if (rc == PN_OK && !is_free) {
        json_decref(usage.list);
        usage.list = NULL;
        rc = find_users(call, txn, true, &usage, &err);
    }
    if (!is_free)
        pn_store_rollback(txn);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    else if (!is_free)
        refuse(call, &usage);
    json_decref(usage.list);
    return is_free;
}
