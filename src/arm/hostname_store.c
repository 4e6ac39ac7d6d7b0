/* SPDX-License-Identifier: Apache-2.0
 *
 * hostnameConfigurations at rest, and as a GET shows them.
 */
#include "arm/hostname.h"

#include <string.h>
#include <strings.h>

#include "base/encode.h"

#define BUILT_IN "builtInHostname"

static const char *type_text(void)
{
    return pn_type_facts(PN_TYPE_HOSTNAME)->type;
}

static enum pn_rc list_stored(struct arm_call *call, const char *service_id,
                              struct pn_store_txn *txn, struct pn_store_list *list,
                              struct pn_error *err)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/posternHostnames/", service_id);

    if (!prefix)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (txn)
        return pn_store_txn_list(txn, prefix, type_text(), list, err);
    return pn_store_list(call->arm->config.store, prefix, type_text(), list, err);
}

/* ---- writing ---- */

/** Remembers a generation that goes: its key may be of no more use. */
static enum pn_rc drop(struct arm_hostnames *hostnames, const struct pn_store_item *item)
{
    json_t *internal = json_object_get(item->body, "internal");

    if (!hostnames->dropped)
        hostnames->dropped = json_array();
    return json_array_append(hostnames->dropped, internal) == 0 ? PN_OK : PN_NOMEM;
}

static bool read_key(const json_t *internal, struct pn_key_id *key)
{
    return pn_hex_decode(pn_json_slice(internal, "keyId"), key->sha256, sizeof(key->sha256));
}

/** The keyholder may have forgotten the key since the import, for another request's sake. */
static enum pn_rc key_is_there(struct arm_call *call, const json_t *internal, struct pn_error *err)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_key_id key;
    enum pn_rc rc = PN_INTERNAL;

    if (!read_key(internal, &key))
        return pn_error_set(err, rc, "no_key_id", "the certificate has no key id");
    rc = services->has_key(services->ctx, PN_USE_SERVER, &key, err);
    if (rc == PN_NOT_FOUND)
        rc = pn_error_set(err, PN_UNAVAILABLE, "key_forgotten",
                          "The same certificate was just removed by another request; repeat this "
                          "one.");
    return rc;
}

/** The stored document: the certificate, new or as it was, and what the caller said. */
static enum pn_rc make_body(const struct arm_hostname *hostname, size_t position,
                            const struct pn_store_item *former, json_t **body)
{
    const json_t *old = json_object_get(former->body, "internal");
    json_t *properties = hostname->properties
                             ? json_incref(hostname->properties)
                             : json_copy(json_object_get(former->body, "properties"));
    json_t *internal = hostname->internal ? json_incref(hostname->internal)
                                          : json_copy(json_object_get(former->body, "internal"));
    json_t *said = json_pack("{s:s,s:s,s:b,s:b}", "type", hostname->type, "hostName",
                             hostname->host_name, "defaultSslBinding", (int)hostname->is_default,
                             "negotiateClientCertificate", (int)hostname->negotiates);
    bool failed =
        !properties || !internal || !said || json_object_update(properties, said) != 0 ||
        json_object_set_new(internal, "position", json_integer((json_int_t)position)) != 0;

    if (!failed && hostname->internal)
        failed = json_object_set_new(internal, "generation",
                                     json_integer(pn_json_int(old, "generation", 0) + 1)) != 0;
    json_decref(said);
    if (!failed)
        *body = json_pack("{s:s,s:O,s:O}", "name", strrchr(hostname->id, '/') + 1, "properties",
                          properties, "internal", internal);
    json_decref(properties);
    json_decref(internal);
    return *body ? PN_OK : PN_NOMEM;
}

static enum pn_rc put_one(struct arm_call *call, struct pn_store_txn *txn,
                          struct arm_hostnames *hostnames, size_t index, struct pn_error *err)
{
    const struct arm_hostname *hostname = &hostnames->items[index];
    struct pn_store_item former = {0};
    json_t *body = NULL;
    enum pn_rc rc = pn_store_txn_get(txn, hostname->id, &former, err);

    if (rc == PN_NOT_FOUND)
        rc = hostname->internal ? PN_OK
                                : pn_error_set(err, PN_UNAVAILABLE, "hostname_gone",
                                               "The host name '%s' was just removed by another "
                                               "request; repeat this one.",
                                               hostname->host_name);
    if (rc == PN_OK && hostname->internal)
        rc = key_is_there(call, hostname->internal, err);
    if (rc == PN_OK && hostname->internal && former.id)
        rc = drop(hostnames, &former);
    if (rc == PN_OK)
        rc = make_body(hostname, index, &former, &body);
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    if (rc == PN_OK && !(former.id && json_equal(former.body, body)))
        rc = pn_store_put(txn, hostname->id, type_text(), body, NULL, err);
    json_decref(body);
    pn_store_item_fini(&former);
    return rc;
}

static bool is_wanted(const struct arm_hostnames *hostnames, const char *id)
{
    for (size_t i = 0; i < hostnames->count; i++) {
        if (strcasecmp(hostnames->items[i].id, id) == 0)
            return true;
    }
    return false;
}

bool arm_hostnames_store(struct arm_call *call, struct pn_store_txn *txn,
                         struct arm_hostnames *hostnames)
{
    struct pn_store_list stored = {0};
    struct pn_error err = {0};
    enum pn_rc rc = PN_OK;

    if (!hostnames->is_given)
        return true;
    rc = list_stored(call, hostnames->service_id, txn, &stored, &err);
    for (size_t i = 0; rc == PN_OK && i < stored.count; i++) {
        if (is_wanted(hostnames, stored.items[i].id))
            continue;
        rc = drop(hostnames, &stored.items[i]);
        if (rc == PN_OK)
            rc = pn_store_delete(txn, stored.items[i].id, &err);
    }
    pn_store_list_fini(&stored);
    for (size_t i = 0; rc == PN_OK && i < hostnames->count; i++)
        rc = put_one(call, txn, hostnames, i, &err);
    if (rc == PN_OK)
        return true;
    if (err.rc == PN_OK)
        pn_error_set(&err, rc, "out_of_memory", "out of memory");
    arm_answer_failure(call, &err);
    return false;
}

bool arm_hostnames_set_built_in(const struct arm_hostnames *hostnames, json_t *service_body)
{
    json_t *internal = json_object_get(service_body, "internal");

    if (!hostnames->builtin_negotiates) {
        (void)json_object_del(internal, BUILT_IN);
        return true;
    }
    return json_object_set_new(internal, BUILT_IN,
                               json_pack("{s:b}", "negotiateClientCertificate", 1)) == 0;
}

static void forget(struct arm_call *call, const json_t *internal)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_key_id key;

    if (read_key(internal, &key))
        services->forget_unused(services->ctx, PN_USE_SERVER, &key);
}

void arm_hostnames_end(struct arm_call *call, struct arm_hostnames *hostnames)
{
    for (size_t i = 0; i < hostnames->count; i++) {
        struct arm_hostname *hostname = &hostnames->items[i];

        if (hostname->internal)
            forget(call, hostname->internal);
        json_decref(hostname->properties);
        json_decref(hostname->internal);
    }
    for (size_t i = 0; i < json_array_size(hostnames->dropped); i++)
        forget(call, json_array_get(hostnames->dropped, i));
    json_decref(hostnames->dropped);
    json_decref(hostnames->checked);
    memset(hostnames, 0, sizeof(*hostnames));
}

/* ---- reading ---- */

/** The gateway's own name: the host of its URL. */
static struct pn_slice own_host(const struct arm_call *call)
{
    struct pn_slice url = pn_slice_str(call->arm->config.gateway_url);
    size_t at = pn_slice_find_slice(url, PN_LIT("://"));

    if (at < url.len)
        url = pn_slice_sub(url, at + 3, url.len);
    url = pn_slice_sub(url, 0, pn_slice_find(url, '/'));
    if (url.len > 0 && url.ptr[0] == '[')
        return pn_slice_sub(url, 1, pn_slice_find(url, ']') - 1);
    return pn_slice_sub(url, 0, pn_slice_find(url, ':'));
}

static json_t *view_built_in(const struct arm_call *call, const struct pn_store_item *service,
                             bool is_default)
{
    struct pn_slice host = own_host(call);
    const json_t *said = json_object_get(json_object_get(service->body, "internal"), BUILT_IN);
    bool negotiates = pn_json_bool(said, "negotiateClientCertificate", false);

    return json_pack("{s:s,s:s%,s:b,s:b,s:s}", "type", "Proxy", "hostName", host.ptr, host.len,
                     "defaultSslBinding", (int)is_default, "negotiateClientCertificate",
                     (int)negotiates, "certificateSource", "BuiltIn");
}

static json_t *view_one(const struct pn_store_item *item)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const json_t *vault = json_object_get(properties, "keyVault");
    json_t *status = json_object_get(vault, "lastStatus");
    const char *code = pn_json_str(status, "code");
    bool is_well = !code || strcmp(code, "Success") == 0;

    return json_pack(
        "{s:O,s:O,s:O*,s:O*,s:O,s:O,s:{s:O,s:O,s:O},s:s,s:s,s:O*}", "type",
        json_object_get(properties, "type"), "hostName", json_object_get(properties, "hostName"),
        "keyVaultId", json_object_get(vault, "secretIdentifier"), "identityClientId",
        json_object_get(vault, "identityClientId"), "defaultSslBinding",
        json_object_get(properties, "defaultSslBinding"), "negotiateClientCertificate",
        json_object_get(properties, "negotiateClientCertificate"), "certificate", "expiry",
        json_object_get(properties, "expirationDate"), "thumbprint",
        json_object_get(properties, "thumbprint"), "subject",
        json_object_get(properties, "subject"), "certificateSource", vault ? "KeyVault" : "Custom",
        "certificateStatus", is_well ? "Completed" : "Failed", "lastStatus", status);
}

/** The one at `position`, as the caller ordered them; NULL: none. */
static const struct pn_store_item *at_position(const struct pn_store_list *list, size_t position)
{
    for (size_t i = 0; i < list->count; i++) {
        const json_t *internal = json_object_get(list->items[i].body, "internal");

        if (pn_json_int(internal, "position", 0) == (int64_t)position)
            return &list->items[i];
    }
    return NULL;
}

json_t *arm_hostnames_view(struct arm_call *call, struct pn_store_txn *txn,
                           const struct pn_store_item *service, struct pn_error *err)
{
    struct pn_store_list list = {0};
    json_t *view = NULL;
    bool has_default = false;
    int failed = -1;

    if (list_stored(call, service->id, txn, &list, err) != PN_OK)
        return NULL;
    for (size_t i = 0; i < list.count; i++)
        has_default = has_default || pn_json_bool(json_object_get(list.items[i].body, "properties"),
                                                  "defaultSslBinding", false);
    view = json_array();
    failed = json_array_append_new(view, view_built_in(call, service, !has_default));
    for (size_t i = 0; failed == 0 && i < PN_HOSTNAMES_MAX; i++) {
        const struct pn_store_item *item = at_position(&list, i);

        if (item)
            failed = json_array_append_new(view, view_one(item));
    }
    pn_store_list_fini(&list);
    if (failed == 0)
        return view;
    json_decref(view);
    pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return NULL;
}
