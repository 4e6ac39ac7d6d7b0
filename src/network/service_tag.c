/* SPDX-License-Identifier: Apache-2.0
 *
 * See service_tag.h. The names are those that the services' documentation gives for the public
 * cloud and the national ones.
 */
#include "network/service_tag.h"

#define HOSTS_MAX 8

static const struct {
    const char *name;
    const char *hosts[HOSTS_MAX]; /* each with all names below it; NULL-ended */
} tags[PN_TAG_COUNT] = {
    [PN_TAG_NONE] = {"", {NULL}},
    [PN_TAG_ANY] = {"*", {NULL}},
    [PN_TAG_VIRTUAL_NETWORK] = {"VirtualNetwork", {NULL}},
    [PN_TAG_INTERNET] = {"Internet", {NULL}},
    [PN_TAG_LOAD_BALANCER] = {"AzureLoadBalancer", {NULL}},
    [PN_TAG_API_MANAGEMENT] = {"ApiManagement", {NULL}},
    [PN_TAG_TRAFFIC_MANAGER] = {"AzureTrafficManager", {NULL}},
    [PN_TAG_GATEWAY_MANAGER] = {"GatewayManager", {NULL}},
    [PN_TAG_KEY_VAULT] = {"AzureKeyVault",
                          {"vault.azure.net", "managedhsm.azure.net", "vault.azure.cn",
                           "vault.usgovcloudapi.net", NULL}},
    [PN_TAG_ACTIVE_DIRECTORY] = {"AzureActiveDirectory",
                                 {"login.microsoftonline.com", "login.microsoft.com",
                                  "login.windows.net", "sts.windows.net", "login.chinacloudapi.cn",
                                  "login.partner.microsoftonline.cn", "login.microsoftonline.us",
                                  NULL}},
    [PN_TAG_STORAGE] = {"Storage",
                        {"blob.core.windows.net", "queue.core.windows.net",
                         "table.core.windows.net", "file.core.windows.net", "dfs.core.windows.net",
                         "web.core.windows.net", NULL}},
    [PN_TAG_SQL] = {"Sql", {"database.windows.net", NULL}},
    [PN_TAG_EVENT_HUB] = {"EventHub", {"servicebus.windows.net", NULL}},
    [PN_TAG_SERVICE_BUS] = {"ServiceBus", {"servicebus.windows.net", NULL}},
    [PN_TAG_MONITOR] = {"AzureMonitor",
                        {"monitor.azure.com", "applicationinsights.azure.com",
                         "services.visualstudio.com", "monitoring.azure.com", "metrics.nsatc.net",
                         NULL}},
    [PN_TAG_COSMOS_DB] = {"AzureCosmosDB", {"documents.azure.com", NULL}},
    [PN_TAG_CONTAINER_REGISTRY] = {"AzureContainerRegistry", {"azurecr.io", NULL}},
    [PN_TAG_APP_SERVICE] = {"AppService", {"azurewebsites.net", NULL}},
    [PN_TAG_RESOURCE_MANAGER] = {"AzureResourceManager", {"management.azure.com", NULL}},
};

enum pn_service_tag pn_service_tag_from(struct pn_slice name)
{
    for (int tag = PN_TAG_ANY; tag < PN_TAG_COUNT; tag++) {
        if (pn_slice_case_eq_str(name, tags[tag].name))
            return (enum pn_service_tag)tag;
    }
    return PN_TAG_NONE;
}

const char *pn_service_tag_name(enum pn_service_tag tag)
{
    return tags[tag].name;
}

bool pn_host_is_below(struct pn_slice host, struct pn_slice name)
{
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (name.len == 0 || host.len < name.len ||
        !pn_slice_case_eq(pn_slice_sub(host, host.len - name.len, name.len), name))
        return false;
    return host.len == name.len || host.ptr[host.len - name.len - 1] == '.';
}

bool pn_service_tag_has_host(enum pn_service_tag tag, struct pn_slice host)
{
    for (size_t i = 0; tags[tag].hosts[i]; i++) {
        if (pn_host_is_below(host, pn_slice_str(tags[tag].hosts[i])))
            return true;
    }
    return false;
}
