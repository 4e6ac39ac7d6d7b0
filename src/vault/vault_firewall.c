/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's firewall: from where it may be asked. Decided for each request by what is stored
 * then, so a connection that is kept open outlives no rule.
 *
 *   publicNetworkAccess Disabled: nobody but trusted services (bypass AzureServices)
 *   else: trusted services; an address of ipRules; an address of a subnet of virtualNetworkRules
 *         that has the service endpoint Microsoft.KeyVault; else networkAcls.defaultAction
 *
 * The trusted service is API Management by its system-assigned identity, as in Azure; a
 * user-assigned one is not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "network/address.h"
#include "vault/vault_internal.h"

#define SERVICE_PART "/providers/Microsoft.ApiManagement/service/"
#define RULES_MAX    1000

static bool is_trusted(const struct vault_call *call)
{
    struct pn_slice owner = pn_slice_str(call->principal.managed_by);

    for (size_t i = 0; i < owner.len; i++) {
        if (pn_slice_case_starts_with(pn_slice_sub(owner, i, owner.len), PN_LIT(SERVICE_PART)))
            return true;
    }
    return false;
}

bool vault_address_is_in_rules(const struct pn_address *address, const json_t *acls)
{
    struct pn_cidr range;
    json_t *rule;
    size_t index;

    json_array_foreach(json_object_get(acls, "ipRules"), index, rule)
    {
        if (pn_cidr_parse(pn_json_slice(rule, "value"), &range, NULL) == PN_OK &&
            pn_address_in(address, &range))
            return true;
    }
    return false;
}

/* The subnet as it is now: its prefixes count only while it has the service endpoint. */
static bool subnet_covers(struct vault_call *call, const char *subnet_id,
                          const struct pn_address *address)
{
    json_t *subnet = NULL;
    bool covers = false;

    if (vault_subnet(call->vault->store, NULL, subnet_id, &subnet, NULL) == PN_OK &&
        vault_subnet_has_endpoint(subnet)) {
        const json_t *properties = json_object_get(subnet, "properties");
        struct pn_cidr range;

        covers =
            pn_address_in_list(address, json_object_get(properties, "addressPrefixes")) ||
            (pn_cidr_parse(pn_json_slice(properties, "addressPrefix"), &range, NULL) == PN_OK &&
             pn_address_in(address, &range));
    }
    json_decref(subnet);
    return covers;
}

static bool is_allowed(struct vault_call *call, const struct pn_address *address)
{
    const json_t *properties = json_object_get(call->item.body, "properties");
    const json_t *acls = json_object_get(properties, "networkAcls");
    const char *bypass = pn_json_str(acls, "bypass");
    bool is_public =
        !pn_slice_case_eq_str(pn_json_slice(properties, "publicNetworkAccess"), "Disabled");
    json_t *rule;
    size_t index;

    if ((!bypass || pn_slice_case_eq_str(pn_slice_str(bypass), "AzureServices")) &&
        is_trusted(call))
        return true;
    if (!is_public)
        return false;
    if (!pn_slice_case_eq_str(pn_json_slice(acls, "defaultAction"), "Deny"))
        return true;
    if (vault_address_is_in_rules(address, acls))
        return true;
    json_array_foreach(json_object_get(acls, "virtualNetworkRules"), index, rule)
    {
        const char *id = pn_json_str(rule, "id");

        if (id && subnet_covers(call, id, address))
            return true;
    }
    return false;
}

bool vault_firewall_lets(struct vault_call *call)
{
    struct pn_address address;
    const char *peer = call->request->peer ? call->request->peer : "unknown";

    (void)pn_address_parse(pn_slice_str(peer), &address);
    if (is_allowed(call, &address))
        return true;
    pn_log(PN_LOG_WARN, "vault_firewall_denied", "vault", PN_S(call->vault_name), "peer",
           PN_S(peer), "oid", PN_S(call->principal.object_id), NULL);
    vault_answer_error(call->response, 403, "Forbidden", "ForbiddenByFirewall",
                       "Client address is not authorized and caller is not a trusted service.\r\n"
                       "Client address: %s\r\nCaller: appid=%s;oid=%s;iss=%s\r\n"
                       "Vault: %s;location=%s\r\n",
                       peer, call->principal.app_id, call->principal.object_id,
                       call->principal.issuer, call->vault_name, call->location);
    return false;
}

/* ---- subnets ---- */

enum pn_rc vault_subnet(struct pn_store *store, struct pn_store_txn *txn, const char *subnet_id,
                        json_t **subnet, struct pn_error *err)
{
    const char *part = strstr(subnet_id, "/subnets/");
    struct pn_store_item network = {0};
    char id[1024];
    json_t *entry;
    size_t index;
    enum pn_rc rc;

    if (!part || (size_t)(part - subnet_id) >= sizeof id)
        return PN_NOT_FOUND;
    memcpy(id, subnet_id, (size_t)(part - subnet_id));
    id[part - subnet_id] = '\0';
    rc = txn ? pn_store_txn_get(txn, id, &network, err) : pn_store_get(store, id, &network, err);
    if (rc != PN_OK)
        return rc;
    rc = PN_NOT_FOUND;
    json_array_foreach(json_object_get(json_object_get(network.body, "properties"), "subnets"),
                       index, entry)
    {
        if (rc == PN_NOT_FOUND &&
            pn_slice_case_eq_str(pn_json_slice(entry, "name"), part + strlen("/subnets/"))) {
            *subnet = json_incref(entry);
            rc = PN_OK;
        }
    }
    pn_store_item_fini(&network);
    return rc;
}

bool vault_subnet_has_endpoint(const json_t *subnet)
{
    const json_t *list = json_object_get(json_object_get(subnet, "properties"), "serviceEndpoints");
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        if (pn_slice_case_eq_str(pn_json_slice(entry, "service"), "Microsoft.KeyVault"))
            return true;
    }
    return false;
}

/* ---- what a vault may be given ---- */

static enum pn_rc bad(struct pn_error *err, const char *what)
{
    return pn_error_set(err, PN_INVALID, "BadRequest", "properties.networkAcls: %s", what);
}

static bool is_one_of(const json_t *value, const char *one, const char *other)
{
    struct pn_slice text = pn_slice(json_string_value(value), json_string_length(value));

    return !value || json_is_null(value) || pn_slice_case_eq_str(text, one) ||
           pn_slice_case_eq_str(text, other);
}

enum pn_rc vault_acls_check(const json_t *properties, struct pn_error *err)
{
    const json_t *acls = json_object_get(properties, "networkAcls");
    const json_t *ip_rules = json_object_get(acls, "ipRules");
    const json_t *subnet_rules = json_object_get(acls, "virtualNetworkRules");
    struct pn_cidr range;
    json_t *rule;
    size_t index;

    if (!is_one_of(json_object_get(properties, "publicNetworkAccess"), "Enabled", "Disabled"))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.publicNetworkAccess must be Enabled or Disabled");
    if (!acls || json_is_null(acls))
        return PN_OK;
    if (!json_is_object(acls))
        return bad(err, "it must be an object");
    if (!is_one_of(json_object_get(acls, "defaultAction"), "Allow", "Deny"))
        return bad(err, "defaultAction must be Allow or Deny");
    if (!is_one_of(json_object_get(acls, "bypass"), "AzureServices", "None"))
        return bad(err, "bypass must be AzureServices or None");
    if ((ip_rules && !json_is_null(ip_rules) && !json_is_array(ip_rules)) ||
        (subnet_rules && !json_is_null(subnet_rules) && !json_is_array(subnet_rules)))
        return bad(err, "ipRules and virtualNetworkRules must be lists");
    if (json_array_size(ip_rules) > RULES_MAX || json_array_size(subnet_rules) > RULES_MAX)
        return bad(err, "a vault has at most 1000 rules of each kind");
    json_array_foreach(ip_rules, index, rule)
    {
        if (pn_cidr_parse(pn_json_slice(rule, "value"), &range, err) != PN_OK) {
            pn_error_prefix(err, "properties.networkAcls.ipRules[%zu].value", index);
            return PN_INVALID;
        }
    }
    json_array_foreach(subnet_rules, index, rule)
    {
        if (!strstr(pn_json_str(rule, "id") ? pn_json_str(rule, "id") : "", "/subnets/"))
            return bad(err, "virtualNetworkRules[].id must be the id of a subnet");
    }
    return PN_OK;
}

enum pn_rc vault_acls_check_subnets(struct pn_store_txn *txn, const json_t *properties,
                                    struct pn_error *err)
{
    json_t *rule;
    size_t index;

    json_array_foreach(
        json_object_get(json_object_get(properties, "networkAcls"), "virtualNetworkRules"), index,
        rule)
    {
        const char *id = pn_json_str(rule, "id");
        json_t *subnet = NULL;
        enum pn_rc rc = vault_subnet(NULL, txn, id, &subnet, err);
        bool has_endpoint = vault_subnet_has_endpoint(subnet);

        json_decref(subnet);
        if (rc == PN_NOT_FOUND)
            return pn_error_set(err, PN_INVALID, "VirtualNetworkNotValid",
                                "properties.networkAcls.virtualNetworkRules[%zu]: the subnet %s "
                                "was not found",
                                index, id);
        if (rc != PN_OK)
            return rc;
        if (!has_endpoint && !pn_json_bool(rule, "ignoreMissingVnetServiceEndpoint", false))
            return pn_error_set(err, PN_INVALID, "VirtualNetworkNotValid",
                                "Subnet %s does not have ServiceEndpoints for Microsoft.KeyVault "
                                "resources configured. Add the service endpoint to the subnet "
                                "before the rule to the vault.",
                                id);
    }
    return PN_OK;
}

const char **vault_acls_references(const json_t *properties)
{
    const json_t *rules =
        json_object_get(json_object_get(properties, "networkAcls"), "virtualNetworkRules");
    const char **list = calloc(json_array_size(rules) + 1, sizeof *list);
    json_t *rule;
    size_t index;

    json_array_foreach(rules, index, rule)
    {
        if (list)
            list[index] = pn_json_str(rule, "id");
    }
    return list;
}
