/* SPDX-License-Identifier: Apache-2.0
 *
 * Microsoft.Network/virtualNetworks and their subnets. What a subnet is good for here: its prefixes
 * tell which callers a vault's rule means, and its service endpoints whether they count.
 */
#include <stdio.h>
#include <string.h>

#include "network/address.h"
#include "resource/network.h"

#define PREFIXES_MAX 64
#define SUBNETS_MAX  1000

static const struct network_kind networks;

/* Every prefix of a list is a range. */
static enum pn_rc check_prefixes(const json_t *list, const char *what, struct pn_error *err)
{
    struct pn_cidr range;
    json_t *prefix;
    size_t index;

    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > PREFIXES_MAX)
        return network_bad(err, "InvalidRequestFormat", "%s must be a list of 1 to %d prefixes",
                           what, PREFIXES_MAX);
    json_array_foreach(list, index, prefix)
    {
        if (pn_cidr_parse(pn_slice(json_string_value(prefix), json_string_length(prefix)), &range,
                          err) != PN_OK) {
            pn_error_prefix(err, "%s[%zu]", what, index);
            if (err)
                snprintf(err->code, sizeof err->code, "InvalidAddressPrefixFormat");
            return PN_INVALID;
        }
    }
    return PN_OK;
}

/* The prefixes of a subnet as a list: new reference. */
static json_t *subnet_prefixes(const json_t *properties)
{
    json_t *list = json_object_get(properties, "addressPrefixes");
    json_t *one = json_object_get(properties, "addressPrefix");

    if (json_is_array(list) && json_array_size(list) > 0)
        return json_incref(list);
    list = json_array();
    if (json_is_string(one))
        json_array_append(list, one);
    return list;
}

static bool read_range(const json_t *text, struct pn_cidr *range)
{
    return pn_cidr_parse(pn_slice(json_string_value(text), json_string_length(text)), range,
                         NULL) == PN_OK;
}

/* Whether `inner` lies in one of the prefixes. */
static bool is_inside(const json_t *inner, const json_t *prefixes)
{
    struct pn_cidr small, wide;
    json_t *prefix;
    size_t index;

    if (!read_range(inner, &small))
        return false;
    json_array_foreach(prefixes, index, prefix)
    {
        if (read_range(prefix, &wide) && wide.bits <= small.bits &&
            pn_cidr_has(&wide, small.family, small.ip))
            return true;
    }
    return false;
}

static bool overlaps(const json_t *one, const json_t *other)
{
    json_t *prefix;
    size_t index;

    json_array_foreach(one, index, prefix)
    {
        if (is_inside(prefix, other))
            return true;
    }
    return false;
}

static enum pn_rc check_endpoints(const json_t *list, const char *name, struct pn_error *err)
{
    json_t *entry;
    size_t index;

    if (list && !json_is_null(list) && !json_is_array(list))
        return network_bad(err, "InvalidRequestFormat",
                           "subnet %s: serviceEndpoints must be a list", name);
    json_array_foreach(list, index, entry)
    {
        if (!pn_slice_case_starts_with(pn_json_slice(entry, "service"), PN_LIT("Microsoft.")))
            return network_bad(err, "InvalidServiceEndpoint",
                               "subnet %s: serviceEndpoints[%zu].service must be the name of a "
                               "service, as Microsoft.KeyVault",
                               name, index);
    }
    return PN_OK;
}

static enum pn_rc check_subnet(const json_t *subnet, const json_t *space, struct pn_error *err)
{
    const json_t *properties = json_object_get(subnet, "properties");
    const char *name = pn_json_str(subnet, "name");
    const json_t *group = json_object_get(properties, "networkSecurityGroup");
    json_t *prefixes = subnet_prefixes(properties);
    json_t *prefix;
    size_t index;
    enum pn_rc rc = check_prefixes(prefixes, "addressPrefix", err);

    if (rc != PN_OK)
        pn_error_prefix(err, "subnet %s", name);
    json_array_foreach(prefixes, index, prefix)
    {
        if (rc == PN_OK && !is_inside(prefix, space))
            rc = network_bad(err, "NetcfgInvalidSubnet",
                             "Subnet '%s' is not valid: %s is not in the address space of its "
                             "virtual network.",
                             name, json_string_value(prefix));
    }
    json_decref(prefixes);
    if (rc == PN_OK)
        rc = check_endpoints(json_object_get(properties, "serviceEndpoints"), name, err);
    if (rc == PN_OK && json_is_object(group) && !pn_json_str(group, "id"))
        rc = network_bad(err, "InvalidRequestFormat",
                         "subnet %s: networkSecurityGroup.id must be the id of a group", name);
    return rc;
}

static enum pn_rc check_overlaps(const json_t *subnets, struct pn_error *err)
{
    json_t *one, *other;
    size_t i, k;

    json_array_foreach(subnets, i, one)
    {
        json_t *prefixes = subnet_prefixes(json_object_get(one, "properties"));
        const char *twin = NULL;

        json_array_foreach(subnets, k, other)
        {
            json_t *others = subnet_prefixes(json_object_get(other, "properties"));

            if (k != i && !twin && overlaps(prefixes, others))
                twin = pn_json_str(other, "name");
            json_decref(others);
        }
        json_decref(prefixes);
        if (twin)
            return network_bad(
                err, "NetcfgSubnetRangesOverlap",
                "Subnet '%s' is not valid because its IP address range overlaps with "
                "that of subnet '%s'.",
                pn_json_str(one, "name"), twin);
    }
    return PN_OK;
}

static enum pn_rc make_network(const struct tracked_call *call, const json_t *given,
                               const json_t *former, json_t **properties, struct pn_error *err)
{
    json_t *space = json_object_get(json_object_get(given, "addressSpace"), "addressPrefixes");
    json_t *subnets = json_object_get(given, "subnets");
    json_t *kept = json_array(), *subnet;
    size_t index;
    enum pn_rc rc = check_prefixes(space, "properties.addressSpace.addressPrefixes", err);

    (void)call;
    (void)former;
    if (json_is_null(subnets))
        subnets = NULL;
    if (rc == PN_OK)
        rc = network_check_names(subnets, "subnets", err);
    if (rc == PN_OK && json_array_size(subnets) > SUBNETS_MAX)
        rc = network_bad(err, "SubnetCountExceeded", "a network has at most %d subnets",
                         SUBNETS_MAX);
    json_array_foreach(subnets, index, subnet)
    {
        if (rc == PN_OK)
            rc = check_subnet(subnet, space, err);
        json_array_append_new(kept, json_pack("{s:O, s:O}", "name", json_object_get(subnet, "name"),
                                              "properties", json_object_get(subnet, "properties")));
    }
    if (rc == PN_OK)
        rc = check_overlaps(subnets, err);
    if (rc == PN_OK) {
        *properties = json_pack("{s:{s:O}, s:O, s:s}", "addressSpace", "addressPrefixes", space,
                                "subnets", kept, "provisioningState", "Succeeded");
        rc = *properties ? PN_OK : PN_NOMEM;
    }
    json_decref(kept);
    return rc;
}

#define JOIN_ACTION GROUP_TYPE "/join/action"

/* A subnet takes a group that it did not have yet from whoever may join it. */
static enum pn_rc may_join(const struct tracked_call *call, const json_t *former,
                           const json_t *subnet, const char *group, struct pn_error *err)
{
    json_t *other;
    size_t index;
    enum pn_rc rc;

    json_array_foreach(json_object_get(json_object_get(former, "properties"), "subnets"), index,
                       other)
    {
        const json_t *had =
            json_object_get(json_object_get(other, "properties"), "networkSecurityGroup");

        if (pn_slice_case_eq(pn_json_slice(other, "name"), pn_json_slice(subnet, "name")) &&
            pn_slice_case_eq_str(pn_json_slice(had, "id"), group))
            return PN_OK;
    }
    if (!strcasestr(group, "/providers/" GROUP_TYPE "/"))
        return PN_OK; /* no group at all, which is told next */
    rc = pn_authorize(call->base->plane->store, &call->base->principal, JOIN_ACTION, group, err);
    if (rc != PN_DENIED)
        return rc;
    return pn_error_set(err, PN_DENIED, "LinkedAuthorizationFailed",
                        "The client with object id '%s' may write the network, but does not have "
                        "permission to perform action '" JOIN_ACTION
                        "' on the linked scope '%.300s'.",
                        call->base->principal.object_id, group);
}

/* A subnet that somebody refers to stays; a group that it names is there. */
static enum pn_rc check_network(const struct tracked_call *call, struct pn_store_txn *txn,
                                const json_t *properties, struct pn_error *err)
{
    struct pn_store_item former = {0};
    json_t *subnet, *other;
    size_t index, k;
    enum pn_rc rc = pn_store_txn_get(txn, call->id, &former, err);

    rc = rc == PN_NOT_FOUND ? PN_OK : rc;
    json_array_foreach(json_object_get(json_object_get(former.body, "properties"), "subnets"),
                       index, subnet)
    {
        char id[PN_RESOURCE_ID_TEXT + 160];
        bool stays = false;

        json_array_foreach(json_object_get(properties, "subnets"), k, other)
        {
            stays = stays ||
                    pn_slice_case_eq(pn_json_slice(subnet, "name"), pn_json_slice(other, "name"));
        }
        snprintf(id, sizeof id, "%s/subnets/%s", former.id, pn_json_str(subnet, "name"));
        if (rc == PN_OK && !stays)
            rc = tracked_refuse_used(txn, id, "InUseSubnetCannotBeDeleted", err);
    }
    json_array_foreach(json_object_get(properties, "subnets"), index, subnet)
    {
        const char *group = pn_json_str(
            json_object_get(json_object_get(subnet, "properties"), "networkSecurityGroup"), "id");
        struct pn_store_item item = {0};

        if (rc != PN_OK || !group)
            continue;
        rc = may_join(call, former.body, subnet, group, err);
        if (rc == PN_OK)
            rc = pn_store_txn_get(txn, group, &item, err);
        if (rc == PN_NOT_FOUND || (rc == PN_OK && strcmp(item.type, GROUP_TYPE) != 0))
            rc = network_bad(err, "InvalidResourceReference",
                             "Resource %.300s referenced by subnet %s was not found.", group,
                             pn_json_str(subnet, "name"));
        pn_store_item_fini(&item);
    }
    pn_store_item_fini(&former);
    return rc;
}

static const char *const *network_references(const struct tracked_call *call,
                                             const json_t *properties)
{
    const json_t *subnets = json_object_get(properties, "subnets");
    const char **list =
        pn_arena_zalloc(call->base->request->arena, (json_array_size(subnets) + 1) * sizeof *list);
    size_t count = 0, index;
    json_t *subnet;

    json_array_foreach(subnets, index, subnet)
    {
        const char *group = pn_json_str(
            json_object_get(json_object_get(subnet, "properties"), "networkSecurityGroup"), "id");

        if (list && group)
            list[count++] = group; /* borrowed from `properties`, which outlives the put */
    }
    return list;
}

/* Before the network goes: none of its subnets may be in use. */
static enum pn_rc may_go(struct pn_store_txn *txn, const struct pn_store_item *item,
                         struct pn_error *err)
{
    json_t *subnet;
    size_t index;
    enum pn_rc rc = PN_OK;

    json_array_foreach(json_object_get(json_object_get(item->body, "properties"), "subnets"), index,
                       subnet)
    {
        char id[PN_RESOURCE_ID_TEXT + 160];

        snprintf(id, sizeof id, "%s/subnets/%s", item->id, pn_json_str(subnet, "name"));
        if (rc == PN_OK)
            rc = tracked_refuse_used(txn, id, "InUseSubnetCannotBeDeleted", err);
    }
    return rc;
}

static void view_network(const struct pn_resource_call *call, const struct pn_store_item *item,
                         json_t *answer)
{
    (void)call;
    network_view_children(item, &networks, json_object_get(answer, "properties"));
}

static const struct tracked_type network_type = {
    .type = NETWORK_TYPE,
    .name_min = 2,
    .name_max = 64,
    .name_more = "-_.",
    .make = make_network,
    .check = check_network,
    .references = network_references,
    .view = view_network,
    .may_go = may_go,
    .settle = network_settle,
};
static const struct network_kind networks = {NETWORK_TYPE, "subnets", NETWORK_TYPE "/subnets",
                                             &network_type};

void resource_networks(struct pn_resource_call *call, const struct resource_path *path)
{
    if (path->rest_count > 2)
        network_child(call, path, &networks);
    else
        tracked_handle(call, path, &network_type);
}
