/* SPDX-License-Identifier: Apache-2.0
 *
 * The management plane of Microsoft.KeyVault: which path is which operation.
 */
#include "vault/vault_arm.h"

#include <stdio.h>
#include <string.h>

#define PROVIDER "Microsoft.KeyVault"

static void answer_unknown(struct arm_call *call)
{
    pn_resource_error(&call->base, 404, "InvalidResourceType",
                      "The resource type or operation could not be found in the namespace "
                      "'" PROVIDER "'.");
}

static bool is_vaults(struct pn_slice word)
{
    return pn_slice_case_eq_str(word, "vaults");
}

/* Below a resource group: the vault, its access policies, and who is told of its events. */
static void route_vault(struct arm_call *call, const struct pn_slice *rest, size_t count)
{
    struct pn_resource_call *base = &call->base;

    if (count == 4 && pn_slice_case_eq_str(rest[2], "accessPolicies")) {
        if (pn_resource_is(base, "PUT"))
            vault_arm_policies(call, rest[3]);
        else
            pn_resource_wrong_method(base, "PUT");
    } else if (count >= 5 && pn_slice_case_eq_str(rest[2], "providers") &&
               pn_slice_case_eq_str(rest[3], "Microsoft.EventGrid") &&
               pn_slice_case_eq_str(rest[4], "eventSubscriptions")) {
        vault_arm_events(call, rest + 5, count - 5);
    } else if (count != 2) {
        answer_unknown(call);
    } else if (pn_resource_reads(base)) {
        vault_arm_get(call);
    } else if (pn_resource_is(base, "PUT")) {
        vault_arm_change(call, false);
    } else if (pn_resource_is(base, "PATCH")) {
        vault_arm_change(call, true);
    } else if (pn_resource_is(base, "DELETE")) {
        vault_arm_delete(call);
    } else {
        pn_resource_wrong_method(base, "GET, HEAD, PUT, PATCH, DELETE");
    }
}

static void route(struct arm_call *call, const struct pn_slice *rest, size_t count)
{
    struct pn_resource_call *base = &call->base;
    bool is_get = pn_resource_reads(base);

    if (count == 1 && is_vaults(rest[0]) && is_get)
        vault_arm_list(call);
    else if (call->group.ptr && count > 1 && is_vaults(rest[0]))
        route_vault(call, rest, count);
    else if (call->group.ptr)
        answer_unknown(call);
    else if (count == 1 && is_get && pn_slice_case_eq_str(rest[0], "deletedVaults"))
        vault_arm_list_deleted(call);
    else if (count == 1 && is_get && pn_slice_case_eq_str(rest[0], "deletedManagedHSMs"))
        pn_resource_list(base, json_array());
    else if (count == 1 && pn_resource_is(base, "POST") &&
             pn_slice_case_eq_str(rest[0], "checkNameAvailability"))
        vault_arm_check_name(call);
    else if (count > 2 && pn_slice_case_eq_str(rest[0], "locations") &&
             pn_slice_case_eq_str(rest[2], "deletedVaults"))
        vault_arm_deleted(call, rest + 1, count - 1);
    else
        answer_unknown(call);
}

/* /subscriptions/{s}[/resourceGroups/{g}]/providers/Microsoft.KeyVault/…; *rest is what follows.
 * False: answered. */
static bool read_path(struct arm_call *call, const struct pn_slice **rest, size_t *count)
{
    const struct pn_slice *at = call->base.segments;
    size_t left = call->base.segment_count;
    bool fits = left >= 5 && pn_slice_case_eq_str(at[0], "subscriptions");

    if (fits && pn_slice_case_eq_str(at[2], "resourceGroups")) {
        call->group = at[3];
        fits = left >= 7 && call->group.len <= 90;
        at += 2;
        left -= 2;
    }
    fits = fits && pn_slice_case_eq_str(at[2], "providers") && left >= 5;
    if (!fits) {
        pn_resource_error(&call->base, 404, "InvalidResourceType",
                          "The path does not name a subscription, a resource group and a vault.");
        return false;
    }
    call->subscription = call->base.segments[1];
    *rest = at + 4;
    *count = left - 4;
    if (call->group.ptr && *count > 1)
        call->name = (*rest)[1];
    if (call->name.len >= VAULT_NAME_TEXT || !pn_is_uuid(call->subscription)) {
        answer_unknown(call);
        return false;
    }
    snprintf(call->group_id, sizeof call->group_id,
             call->group.ptr ? "/subscriptions/%.*s/resourceGroups/%.*s" : "/subscriptions/%.*s",
             PN_FMT(call->subscription), PN_FMT(call->group));
    if (call->name.ptr)
        snprintf(call->vault_id, sizeof call->vault_id, "%s/providers/" VAULT_TYPE "/%.*s",
                 call->group_id, PN_FMT(call->name));
    return true;
}

void pn_vault_handle_arm(struct pn_vault *vault, const struct pn_request *request,
                         struct pn_response *response)
{
    struct arm_call call = {
        .base = {.plane = &vault->plane, .request = request, .response = response},
        .vault = vault,
    };
    const struct pn_slice *rest = NULL;
    size_t count = 0;

    if (pn_resource_begin(&call.base) && read_path(&call, &rest, &count))
        route(&call, rest, count);
    if (pn_resource_is(&call.base, "HEAD"))
        pn_buf_clear(&response->body);
}
