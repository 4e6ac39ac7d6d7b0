/* SPDX-License-Identifier: Apache-2.0
 *
 * The document. See outbound.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/name.h"
#include "outbound/outbound.h"

#define NETWORKS "/virtualNetworks/"
#define SUBNETS  "/subnets/"

static char *document_id(const struct pn_outbound_scope *scope)
{
    char *id = NULL;

    return asprintf(&id, "%s/posternOutbound/rules", scope->service_id) < 0 ? NULL : id;
}

/* --- what it is made of --- */

/* The subnet with its network: *network is filled, the subnet borrowed from it. */
static enum pn_rc find_subnet(struct pn_store_txn *txn, const char *id,
                              struct pn_store_item *network, json_t **subnet, struct pn_error *err)
{
    const char *mark = strcasestr(id, SUBNETS);
    char *network_id = mark ? strndup(id, (size_t)(mark - id)) : NULL;
    json_t *entry;
    size_t index;
    enum pn_rc rc;

    *subnet = NULL;
    if (!mark)
        return PN_NOT_FOUND;
    rc = network_id ? pn_store_txn_get(txn, network_id, network, err) : PN_NOMEM;
    free(network_id);
    if (rc != PN_OK)
        return rc;
    json_array_foreach(json_object_get(json_object_get(network->body, "properties"), "subnets"),
                       index, entry)
    {
        if (pn_slice_case_eq_str(pn_json_slice(entry, "name"), mark + strlen(SUBNETS)))
            *subnet = entry;
    }
    return *subnet ? PN_OK : PN_NOT_FOUND;
}

enum pn_rc pn_outbound_find_subnet(struct pn_store_txn *txn, const char *id, bool *is_there,
                                   struct pn_error *err)
{
    struct pn_store_item network = {0};
    json_t *subnet = NULL;
    enum pn_rc rc = find_subnet(txn, id, &network, &subnet, err);

    pn_store_item_fini(&network);
    *is_there = rc == PN_OK;
    return rc == PN_NOT_FOUND ? PN_OK : rc;
}

/* New reference. */
static json_t *prefixes_of(const json_t *subnet)
{
    const json_t *properties = json_object_get(subnet, "properties");
    json_t *many = json_object_get(properties, "addressPrefixes");
    json_t *one = json_object_get(properties, "addressPrefix");

    if (json_array_size(many) > 0)
        return json_incref(many);
    return json_is_string(one) ? json_pack("[O]", one) : json_array();
}

static json_t *make_document(const struct pn_outbound_scope *scope, const char *subnet_id,
                             const struct pn_store_item *network, const json_t *subnet,
                             const struct pn_store_item *group)
{
    const json_t *space =
        json_object_get(json_object_get(network->body, "properties"), "addressSpace");
    const json_t *rules =
        json_object_get(json_object_get(group->body, "properties"), "securityRules");
    json_t *outbound = json_array(), *rule;
    size_t inbound = 0;
    size_t index;

    json_array_foreach(rules, index, rule)
    {
        const json_t *properties = json_object_get(rule, "properties");

        if (pn_slice_case_eq_str(pn_json_slice(properties, "direction"), "Outbound"))
            json_array_append(outbound, rule);
        else
            inbound++;
    }
    return json_pack("{s:s, s:{s:s, s:s, s:o, s:O, s:o, s:O, s:I}}", "name", "rules", "properties",
                     "subnet", subnet_id, "group", group->id, "subnetPrefixes", prefixes_of(subnet),
                     "networkPrefixes", json_object_get(space, "addressPrefixes"), "rules",
                     outbound, "tags", scope->tags, "inboundRules", (json_int_t)inbound);
}

/* *document NULL: nothing is governed. */
static enum pn_rc build(const struct pn_outbound_scope *scope, struct pn_store_txn *txn,
                        json_t **document, struct pn_error *err)
{
    struct pn_store_item service = {0}, network = {0}, group = {0};
    const json_t *properties, *configuration;
    const char *subnet_id = NULL, *group_id = NULL;
    json_t *subnet = NULL;
    enum pn_rc rc = pn_store_txn_get(txn, scope->service_id, &service, err);

    *document = NULL;
    if (rc == PN_NOT_FOUND)
        return PN_OK;
    if (rc == PN_OK) {
        properties = json_object_get(service.body, "properties");
        configuration = json_object_get(properties, "virtualNetworkConfiguration");
        subnet_id = pn_json_str(configuration, "subnetResourceId");
        if (subnet_id)
            rc = find_subnet(txn, subnet_id, &network, &subnet, err);
    }
    if (rc == PN_OK && subnet) {
        group_id = pn_json_str(
            json_object_get(json_object_get(subnet, "properties"), "networkSecurityGroup"), "id");
        if (group_id)
            rc = pn_store_txn_get(txn, group_id, &group, err);
    }
    if (rc == PN_OK && group.body) {
        *document = make_document(scope, subnet_id, &network, subnet, &group);
        if (!*document)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for network rules");
    }
    /* Neither can be deleted while it is named. If it is gone all the same, nothing is known of
     * what was meant. */
    if (rc == PN_NOT_FOUND)
        rc = pn_error_set(err, PN_INTERNAL, "network_missing",
                          "the subnet of the service, or its network security group, is not there");
    pn_store_item_fini(&service);
    pn_store_item_fini(&network);
    pn_store_item_fini(&group);
    return rc;
}

/* --- keeping it --- */

enum pn_rc pn_outbound_refresh(const struct pn_outbound_scope *scope, struct pn_store_txn *txn,
                               struct pn_error *err)
{
    struct pn_store_item former = {0};
    json_t *document = NULL;
    char *id = document_id(scope);
    enum pn_rc rc = id ? build(scope, txn, &document, err) : PN_NOMEM;

    if (rc == PN_OK) {
        rc = pn_store_txn_get(txn, id, &former, err);
        rc = rc == PN_NOT_FOUND ? PN_OK : rc;
    }
    if (rc == PN_OK && !document && former.body)
        rc = pn_store_delete(txn, id, err);
    else if (rc == PN_OK && document && !json_equal(document, former.body))
        rc = pn_store_put(txn, id, pn_type_facts(PN_TYPE_OUTBOUND)->type, document, NULL, err);
    pn_store_item_fini(&former);
    json_decref(document);
    free(id);
    return rc;
}

enum pn_rc pn_outbound_refresh_now(const struct pn_outbound_scope *scope, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(scope->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_outbound_refresh(scope, txn, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

enum pn_rc pn_outbound_rules_now(const struct pn_outbound_scope *scope, struct pn_outbound **rules,
                                 struct pn_error *err)
{
    struct pn_store_item item = {0};
    char *id = document_id(scope);
    enum pn_rc rc = id ? pn_store_get(scope->store, id, &item, err) : PN_NOMEM;

    *rules = NULL;
    if (rc == PN_OK)
        rc = pn_outbound_compile(json_object_get(item.body, "properties"), rules, err);
    pn_store_item_fini(&item);
    free(id);
    if (rc == PN_NOT_FOUND) {
        if (err)
            err->rc = PN_OK;
        return PN_OK;
    }
    if (rc == PN_OK)
        return rc;
    *rules = pn_outbound_refuse_all();
    return *rules ? PN_OK : PN_NOMEM;
}

enum pn_rc pn_outbound_warn(const struct pn_outbound_scope *scope, json_t *list,
                            struct pn_error *err)
{
    struct pn_store_item item = {0};
    char *id = document_id(scope);
    enum pn_rc rc = id ? pn_store_get(scope->store, id, &item, err) : PN_NOMEM;
    const json_t *properties = json_object_get(item.body, "properties");
    int64_t inbound = pn_json_int(properties, "inboundRules", 0);
    const char *group = pn_json_str(properties, "group");

    if (rc == PN_OK && inbound > 0)
        rc = json_array_append_new(list,
                                   json_sprintf("network security group '%s': " PN_INBOUND_WARNING,
                                                group ? strrchr(group, '/') + 1 : "",
                                                (long long)inbound, inbound == 1 ? " is" : "s are",
                                                inbound == 1 ? "governs" : "govern")) == 0
                 ? PN_OK
                 : PN_NOMEM;
    pn_store_item_fini(&item);
    free(id);
    if (rc == PN_NOT_FOUND && err)
        err->rc = PN_OK;
    return rc == PN_NOT_FOUND ? PN_OK : rc;
}

/* --- own vaults and authorities --- */

json_t *pn_outbound_place(const char *url)
{
    const char *host = strstr(url, "://");
    struct pn_address address;
    struct pn_slice name;
    char *rest = NULL;
    size_t len;
    long port = 443;
    json_t *addresses = json_array(), *place;

    host = host ? host + 3 : url;
    len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    name = pn_slice(host, len);
    if (host[len] == ':')
        port = strtol(host + len + 1, &rest, 10);
    if (pn_host_is_below(name, PN_LIT("localhost"))) {
        json_array_append_new(addresses, json_string("127.0.0.0/8"));
        json_array_append_new(addresses, json_string("::1"));
        if (pn_host_is_below(name, PN_LIT("vault.localhost"))) /* any vault of that name */
            name = PN_LIT("vault.localhost");
    } else if (pn_address_parse(name, &address)) {
        char text[PN_ADDRESS_TEXT];

        pn_address_text(&address, text);
        json_array_append_new(addresses, json_string(text));
    }
    place = json_pack("{s:s%, s:I, s:o}", "host", name.ptr, name.len, "port", (json_int_t)port,
                      "addresses", addresses);
    return place;
}
