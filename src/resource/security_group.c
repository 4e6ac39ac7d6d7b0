/* SPDX-License-Identifier: Apache-2.0
 *
 * Microsoft.Network/networkSecurityGroups and their rules. Rules that go out govern the connections
 * of the service in a subnet that names the group (network/outbound.h); rules that come in are kept
 * and shown, as templates have them, and it is said that they govern nothing (ADR 261).
 */
#include <stdio.h>
#include <string.h>

#include "network/outbound.h"
#include "network/security_rule.h"
#include "resource/network.h"

#define RULES       "securityRules"
#define RULE_TYPE   GROUP_TYPE "/" RULES
#define PRESET      "defaultSecurityRules"
#define PRESET_TYPE GROUP_TYPE "/" PRESET

static const struct network_kind groups;

/* --- the rules that every group has --- */

static const struct {
    const char *name, *description, *source, *destination;
    int priority;
    bool is_allow, is_outbound;
} presets[] = {
    {"AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "VirtualNetwork",
     "VirtualNetwork", 65000, true, false},
    {"AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer",
     "AzureLoadBalancer", "*", 65001, true, false},
    {"DenyAllInBound", "Deny all inbound traffic", "*", "*", 65500, false, false},
    {"AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET",
     "VirtualNetwork", "VirtualNetwork", 65000, true, true},
    {"AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "*", "Internet",
     65001, true, true},
    {"DenyAllOutBound", "Deny all outbound traffic", "*", "*", 65500, false, true},
};
#define PRESETS (sizeof presets / sizeof presets[0])

static json_t *preset_json(const char *group, size_t i)
{
    return json_pack(
        "{s:o, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s}}", "id",
        json_sprintf("%s/" PRESET "/%s", group, presets[i].name), "name", presets[i].name, "type",
        PRESET_TYPE, "properties", "provisioningState", "Succeeded", "description",
        presets[i].description, "protocol", "*", "sourcePortRange", "*", "destinationPortRange",
        "*", "sourceAddressPrefix", presets[i].source, "destinationAddressPrefix",
        presets[i].destination, "access", presets[i].is_allow ? "Allow" : "Deny", "priority",
        presets[i].priority, "direction", presets[i].is_outbound ? "Outbound" : "Inbound");
}

static json_t *presets_json(const char *group)
{
    json_t *list = json_array();

    for (size_t i = 0; i < PRESETS; i++)
        json_array_append_new(list, preset_json(group, i));
    return list;
}

/* --- what is stored --- */

/* Numbers and texts as they were given, with the writing of the words that Azure answers. */
static json_t *kept_rule(const json_t *given, const struct pn_security_rule *rule)
{
    static const char *const members[] = {"description",
                                          "protocol",
                                          "sourcePortRange",
                                          "sourcePortRanges",
                                          "destinationPortRange",
                                          "destinationPortRanges",
                                          "sourceAddressPrefix",
                                          "sourceAddressPrefixes",
                                          "priority",
                                          "destinationAddressPrefix",
                                          "destinationAddressPrefixes",
                                          NULL};
    json_t *from = json_object_get(given, "properties"), *properties = json_object();

    for (size_t i = 0; members[i]; i++) {
        json_t *value = json_object_get(from, members[i]);

        if (value && !json_is_null(value))
            json_object_set(properties, members[i], value);
    }
    json_object_set_new(properties, "access", json_string(rule->is_allow ? "Allow" : "Deny"));
    json_object_set_new(properties, "direction",
                        json_string(rule->is_outbound ? "Outbound" : "Inbound"));
    return json_pack("{s:O, s:o}", "name", json_object_get(given, "name"), "properties",
                     properties);
}

static enum pn_rc check_twin(const json_t *rules, size_t at, const struct pn_security_rule *rule,
                             struct pn_error *err)
{
    json_t *other;
    size_t index;

    json_array_foreach(rules, index, other)
    {
        const json_t *properties = json_object_get(other, "properties");
        bool goes_out = pn_slice_case_eq_str(pn_json_slice(properties, "direction"), "Outbound");

        if (index < at && goes_out == rule->is_outbound &&
            pn_json_int(properties, "priority", 0) == rule->priority)
            return network_bad(err, "SecurityRuleConflict",
                               "Security rule %s conflicts with rule %s. Rules cannot have the "
                               "same Priority and Direction. (priority %u)",
                               rule->name, pn_json_str(other, "name"), rule->priority);
    }
    return PN_OK;
}

static enum pn_rc make_group(const struct tracked_call *call, const json_t *given,
                             const json_t *former, json_t **properties, struct pn_error *err)
{
    json_t *rules = json_object_get(given, RULES), *entry;
    json_t *kept = json_array();
    size_t index;
    enum pn_rc rc;

    (void)call;
    (void)former;
    if (json_is_null(rules))
        rules = NULL;
    rc = network_check_names(rules, RULES, err);
    if (rc == PN_OK && json_array_size(rules) > PN_OUTBOUND_RULES_MAX)
        rc = network_bad(err, "MaxSecurityRulesPerNetworkSecurityGroupLimitReached",
                         "a network security group has at most %d rules", PN_OUTBOUND_RULES_MAX);
    json_array_foreach(rules, index, entry)
    {
        struct pn_security_rule rule;

        if (rc != PN_OK)
            break;
        rc = pn_security_rule_read(entry, &rule, err);
        if (rc != PN_OK)
            break;
        rc = check_twin(rules, index, &rule, err);
        json_array_append_new(kept, kept_rule(entry, &rule));
        pn_security_rule_fini(&rule);
    }
    if (rc == PN_OK) {
        *properties = json_pack("{s:O, s:s}", RULES, kept, "provisioningState", "Succeeded");
        rc = *properties ? PN_OK : PN_NOMEM;
    }
    json_decref(kept);
    return rc;
}

/* --- what is shown --- */

/* The subnets that name the group. */
static json_t *subnets_of(const struct pn_resource_call *call, const char *group)
{
    struct pn_store_list networks = {0};
    struct pn_error err = {0};
    json_t *list = json_array(), *subnet;
    char prefix[160];
    size_t index;

    (void)snprintf(prefix, sizeof prefix, "/subscriptions/%s/", call->plane->subscription_id);
    if (pn_store_list(call->plane->store, prefix, NETWORK_TYPE, &networks, &err) != PN_OK)
        return list;
    for (size_t i = 0; i < networks.count; i++) {
        const json_t *properties = json_object_get(networks.items[i].body, "properties");

        json_array_foreach(json_object_get(properties, "subnets"), index, subnet)
        {
            const json_t *named =
                json_object_get(json_object_get(subnet, "properties"), "networkSecurityGroup");

            if (pn_slice_case_eq_str(pn_json_slice(named, "id"), group))
                json_array_append_new(list,
                                      json_pack("{s:o}", "id",
                                                json_sprintf("%s/subnets/%s", networks.items[i].id,
                                                             pn_json_str(subnet, "name"))));
        }
    }
    pn_store_list_fini(&networks);
    return list;
}

/* What is kept and has no effect is not left unsaid: "postern": {"warnings": […]}. */
static void add_warnings(json_t *properties)
{
    json_t *rule;
    size_t index;
    long long inbound = 0;

    json_array_foreach(json_object_get(properties, RULES), index, rule)
    {
        inbound += pn_slice_case_eq_str(
            pn_json_slice(json_object_get(rule, "properties"), "direction"), "Inbound");
    }
    if (inbound > 0)
        json_object_set_new(
            properties, "postern",
            json_pack("{s:[o]}", "warnings",
                      json_sprintf(PN_INBOUND_WARNING, inbound, inbound == 1 ? " is" : "s are",
                                   inbound == 1 ? "governs" : "govern")));
}

static void view_group(const struct pn_resource_call *call, const struct pn_store_item *item,
                       json_t *answer)
{
    json_t *properties = json_object_get(answer, "properties");
    json_t *subnets = subnets_of(call, item->id);

    network_view_children(item, &groups, properties);
    add_warnings(properties);
    json_object_set_new(properties, PRESET, presets_json(item->id));
    if (json_array_size(subnets) > 0)
        json_object_set(properties, "subnets", subnets);
    json_decref(subnets);
}

static const struct tracked_type group_type = {
    .type = GROUP_TYPE,
    .name_min = 1,
    .name_max = 80,
    .name_more = "-_.",
    .in_use_code = "InUseNetworkSecurityGroupCannotBeDeleted",
    .make = make_group,
    .view = view_group,
    .settle = network_settle,
};
static const struct network_kind groups = {GROUP_TYPE, RULES, RULE_TYPE, &group_type};

/* GET of defaultSecurityRules[/name] of a group that is there. */
static void answer_presets(struct pn_resource_call *call, const char *group, struct pn_slice name)
{
    if (!name.ptr) {
        pn_resource_list(call, presets_json(group));
        return;
    }
    for (size_t i = 0; i < PRESETS; i++) {
        if (pn_slice_case_eq_str(name, presets[i].name)) {
            pn_resource_json(call, 200, preset_json(group, i));
            return;
        }
    }
    pn_resource_error(call, 404, "NotFound", "Resource %s/" PRESET "/%.*s not found.", group,
                      PN_FMT(pn_slice_sub(name, 0, 80)));
}

static void presets_of(struct pn_resource_call *call, const struct resource_path *path)
{
    char id[PN_RESOURCE_ID_TEXT];
    struct pn_store_item group = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!pn_resource_reads(call)) {
        pn_resource_wrong_method(call, "GET, HEAD");
        return;
    }
    (void)snprintf(id, sizeof id, "%.512s/providers/" GROUP_TYPE "/%.*s", path->scope,
                   PN_FMT(pn_slice_sub(path->rest[1], 0, 160)));
    if (!pn_resource_may(call, PRESET_TYPE "/read", id))
        return;
    rc = pn_store_get(call->plane->store, id, &group, &err);
    if (rc == PN_OK)
        answer_presets(call, group.id,
                       path->rest_count == 4 ? path->rest[3] : (struct pn_slice){NULL, 0});
    else if (rc == PN_NOT_FOUND)
        pn_resource_error(call, 404, "ParentResourceNotFound",
                          "The parent resource '%s' was not found.", id);
    else
        pn_resource_failure(call, rc, &err);
    pn_store_item_fini(&group);
}

void resource_security_groups(struct pn_resource_call *call, const struct resource_path *path)
{
    if ((path->rest_count == 3 || path->rest_count == 4) && path->scope_count == 4 &&
        strlen(path->scope) <= 512 && pn_slice_case_eq_str(path->rest[2], PRESET))
        presets_of(call, path);
    else if (path->rest_count > 2)
        network_child(call, path, &groups);
    else
        tracked_handle(call, path, &group_type);
}
