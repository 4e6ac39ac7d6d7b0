/* SPDX-License-Identifier: Apache-2.0
 *
 * GET …/networkstatus: what the service depends on, and which layer fails. Of the key vaults that
 * its certificates come from, what the last look at each said: a certificate's lastStatus is the
 * same. Of the token authority, whether rules or tokens fail. Of the backends, and of APIs that
 * send to a URL by themselves, what a connection says now.
 */
#include <string.h>
#include <strings.h>

#include "arm/network_status.h"
#include "base/clock.h"
#include "outbound/outbound.h"

#define ORIGIN_TEXT 320

/* The layer of a lastStatus.code; a vault's 403 is told apart by its own words. */
static const char *layer_of(const char *code, const char *message)
{
    static const struct {
        const char *code, *layer;
    } layers[] = {
        {"NetworkRuleDenied", "rule"},     {"AddressGuarded", "rule"},
        {"VaultDnsError", "dns"},          {"VaultConnectError", "tcp"},
        {"VaultTimeout", "tcp"},           {"VaultTlsError", "tls"},
        {"VaultTokenError", "identity"},   {"VaultChallengeError", "identity"},
        {"VaultUnauthorized", "identity"}, {"IdentityNotEnabled", "identity"},
        {"VaultNotFound", "content"},      {"VaultContentError", "content"},
        {"CertificateRefused", "content"}, {"VaultThrottled", "service"},
        {"VaultUnavailable", "service"},   {"KeyholderUnavailable", "keyholder"},
    };

    if (strcmp(code, "VaultForbidden") == 0)
        return message && strstr(message, "ForbiddenByFirewall") ? "firewall" : "role";
    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
        if (strcmp(code, layers[i].code) == 0)
            return layers[i].layer;
    return "internal";
}

/* "https://vault:port" of a secret identifier. */
static void origin_of(const char *identifier, char out[ORIGIN_TEXT])
{
    const char *host = strstr(identifier, "://");
    const char *end = host ? strchr(host + 3, '/') : NULL;

    (void)snprintf(out, ORIGIN_TEXT, "%.*s",
                   end ? (int)(end - identifier) : (int)strlen(identifier), identifier);
}

static json_t *find(json_t *list, const char *name)
{
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        if (strcasecmp(pn_json_str(entry, "name"), name) == 0)
            return entry;
    }
    return NULL;
}

/* The entry of a vault from one certificate; a failure stays told when another certificate's fetch
 * went well. False: no memory. */
static bool add(json_t *list, const struct pn_store_item *item)
{
    const json_t *vault = json_object_get(json_object_get(item->body, "properties"), "keyVault");
    const json_t *last = json_object_get(vault, "lastStatus");
    const char *code = pn_json_str(last, "code"), *message = pn_json_str(last, "message");
    const char *time = pn_json_str(last, "timeStampUtc");
    const char *identifier = pn_json_str(vault, "secretIdentifier");
    bool is_good = code && strcmp(code, "Success") == 0;
    char name[ORIGIN_TEXT];
    json_t *entry;

    if (!identifier)
        return true;
    origin_of(identifier, name);
    entry = find(list, name);
    if (entry && (is_good || strcmp(pn_json_str(entry, "status"), "failure") == 0))
        return true;
    if (!entry) {
        entry = json_pack("{s:s, s:s, s:b}", "name", name, "resourceType", "AzureKeyVault",
                          "isOptional", 0);
        if (json_array_append_new(list, entry) != 0)
            return false;
    }
    if (json_object_set_new(entry, "status",
                            json_string(!code     ? "initializing"
                                        : is_good ? "success"
                                                  : "failure")) != 0 ||
        json_object_set_new(entry, "error", json_string(is_good || !message ? "" : message)) != 0)
        return false;
    if (time && (json_object_set_new(entry, "lastUpdated", json_string(time)) != 0 ||
                 json_object_set_new(entry, "lastStatusChange", json_string(time)) != 0))
        return false;
    if (code && !is_good)
        return json_object_set_new(entry, "postern",
                                   json_pack("{s:s, s:s, s:s}", "layer", layer_of(code, message),
                                             "code", code, "certificate",
                                             strrchr(item->id, '/') + 1)) == 0;
    return true;
}

/* The authority that gives the service's tokens: denied by a rule, or failing when a certificate's
 * vault was looked at last. */
static bool add_authority(struct arm_call *call, json_t *list, const struct pn_store_list *followed)
{
    const struct pn_arm_config *config = &call->arm->config;
    const char *code = NULL, *message = NULL, *layer = "identity";
    struct pn_error err = {0};
    char now[PN_TIME_TEXT];
    json_t *entry;

    if (config->outbound &&
        pn_outbound_check_service(config->outbound, config->control_url, PN_TAG_ACTIVE_DIRECTORY,
                                  false, &err) != PN_OK) {
        code = "NetworkRuleDenied";
        message = err.message;
        layer = "rule";
    }
    for (size_t i = 0; !code && i < followed->count; i++) {
        const json_t *properties = json_object_get(followed->items[i].body, "properties");
        const json_t *last = json_object_get(json_object_get(properties, "keyVault"), "lastStatus");

        if (pn_slice_eq_str(pn_json_slice(last, "code"), "VaultTokenError")) {
            code = "VaultTokenError";
            message = pn_json_str(last, "message");
        }
    }
    pn_time_iso8601(pn_clock_unix_s(), now);
    entry = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "name", config->control_url,
                      "resourceType", "AzureActiveDirectory", "isOptional", 0, "status",
                      code ? "failure" : "success", "error", message ? message : "", "lastUpdated",
                      now, "lastStatusChange", now);
    if (entry && code)
        (void)json_object_set_new(entry, "postern",
                                  json_pack("{s:s, s:s}", "layer", layer, "code", code));
    return json_array_append_new(list, entry) == 0;
}

/* {"dnsServers", "connectivityStatus"}; NULL: answered. */
static json_t *status(struct arm_call *call)
{
    const char *type = pn_type_facts(PN_TYPE_CERTIFICATE)->type;
    struct pn_store_list followed = {0};
    struct pn_error err = {0};
    json_t *list = json_array(), *sources = json_array(), *warnings = json_array();
    bool failed = !list || !sources || !warnings;
    size_t left_out = 0;

    if (!failed &&
        pn_store_list_followed(call->arm->config.store, type, &followed, &err) != PN_OK) {
        json_decref(list);
        json_decref(sources);
        json_decref(warnings);
        arm_answer_failure(call, &err);
        return NULL;
    }
    for (size_t i = 0; !failed && i < followed.count; i++)
        failed =
            pn_id_is_below(pn_slice_str(followed.items[i].id), pn_slice_str(call->service_id)) &&
            !add(list, &followed.items[i]);
    failed = failed || !add_authority(call, list, &followed);
    pn_store_list_fini(&followed);
    failed = failed || !arm_network_add_backends(call, list, &left_out) ||
             !arm_network_add_apis(call, list, &left_out);
    if (!failed && call->arm->config.tokens)
        failed = !pn_token_source_tell(call->arm->config.tokens, sources);
    if (!failed)
        arm_network_since(call->arm, call->service_id, list);
    if (!failed && call->arm->config.outbound)
        failed = pn_outbound_warn(call->arm->config.outbound, warnings, &err) != PN_OK;
    if (!failed)
        return json_pack("{s:[], s:o, s:{s:o, s:I, s:o}}", "dnsServers", "connectivityStatus", list,
                         "postern", "tokenSources", sources, "notTried", (json_int_t)left_out,
                         "warnings", warnings);
    json_decref(warnings);
    json_decref(list);
    json_decref(sources);
    arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return NULL;
}

void arm_network_status(struct arm_call *call)
{
    json_t *location = json_object_get(call->service.body, "location");
    json_t *inner = status(call);

    if (inner)
        arm_answer_json(call, 200,
                        json_pack("[{s:O, s:o}]", "location", location, "networkStatus", inner), 0);
}

void arm_network_status_at(struct arm_call *call)
{
    struct pn_slice location = pn_json_slice(call->service.body, "location");
    json_t *inner;

    if (!pn_slice_case_eq(call->names[3], location)) {
        arm_answer_error(call, 404, "ResourceNotFound",
                         "The service is not in the location '%.*s'.", PN_FMT(call->names[3]));
        return;
    }
    inner = status(call);
    if (inner)
        arm_answer_json(call, 200, inner, 0);
}
