/* SPDX-License-Identifier: Apache-2.0
 *
 * The service itself. A Postern serves one; it is made at the first start. PUT and PATCH change its
 * identity, tags, host names, CA certificates and descriptive members; a PUT without `identity`
 * leaves the identity as it is, as clients that read, change and write back rely on.
 */
#include "arm/hostname.h"
#include "arm/service_identity.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/encode.h"
#include "outbound/outbound.h"

/* ---- view ---- */

static bool add_facts(struct arm_call *call, const struct pn_store_item *item, json_t *properties)
{
    const struct pn_arm_config *config = &call->arm->config;
    char created[PN_TIME_TEXT];
    json_t *facts = NULL;
    int failed = -1;

    pn_time_iso8601(item->created_s, created);
    facts = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "provisioningState", "Succeeded",
                      "targetProvisioningState", "", "createdAtUtc", created, "gatewayUrl",
                      config->gateway_url, "gatewayRegionalUrl", config->gateway_url,
                      "managementApiUrl", config->control_url, "platformVersion", "undetermined");
    if (facts)
        failed = json_object_update(properties, facts);
    json_decref(facts);
    return failed == 0;
}

static json_t *view(struct arm_call *call, const struct pn_store_item *item, struct pn_error *err)
{
    static const char *const members[] = {"location", "sku", "tags", "identity", NULL};
    json_t *properties = json_deep_copy(json_object_get(item->body, "properties"));
    json_t *hostnames = arm_hostnames_view(call, call->view_txn, item, err);
    char quoted[ARM_ETAG_TEXT];
    json_t *entity = NULL;
    bool failed = json_object_set_new(properties, "hostnameConfigurations", hostnames) != 0 ||
                  !add_facts(call, item, properties);

    if (!failed)
        entity = arm_entity(item, properties);
    else
        json_decref(properties);
    arm_etag(item->revision, quoted);
    failed = !entity ||
             json_object_set_new(entity, "etag", json_stringn(quoted + 1, strlen(quoted) - 2)) != 0;
    for (size_t i = 0; !failed && members[i]; i++) {
        json_t *member = json_object_get(item->body, members[i]);

        failed = member && json_object_set(entity, members[i], member) != 0;
    }
    if (!failed)
        return entity;
    json_decref(entity);
    if (err->rc == PN_OK)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return NULL;
}

void arm_service_get(struct arm_call *call)
{
    arm_get_with(call, view);
}

void arm_services_list(struct arm_call *call)
{
    static const char *const fields[] = {"name", NULL};
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/", call->id),
        .type = pn_type_facts(PN_TYPE_SERVICE)->type,
        .fields = fields,
        .view = view,
    };

    arm_list(call, &rule);
}

/* ---- writing ---- */

static void check_supported(struct pn_problems *problems, json_t *properties)
{
    static const char *const lists[] = {"additionalLocations", NULL};

    for (size_t i = 0; lists[i]; i++) {
        if (json_array_size(json_object_get(properties, lists[i])) > 0)
            pn_problem_add(problems, lists[i], "'%s' is not offered by this Postern.", lists[i]);
        (void)json_object_del(properties, lists[i]);
    }
}

#define JOIN_ACTION "Microsoft.Network/virtualNetworks/subnets/join/action"

/** Who may write the service may not yet put it into somebody's network. */
static enum pn_rc may_join(struct arm_call *call, const struct pn_store_item *former,
                           const char *subnet, struct pn_error *err)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const json_t *configuration =
        json_object_get(json_object_get(former->body, "properties"), "virtualNetworkConfiguration");
    enum pn_rc rc;

    if (pn_slice_case_eq_str(pn_json_slice(configuration, "subnetResourceId"), subnet) ||
        !strcasestr(subnet, "/providers/Microsoft.Network/virtualNetworks/"))
        return PN_OK; /* as before; or it is no subnet at all, which is told next */
    rc = services->authorize(services->ctx, &call->principal, JOIN_ACTION, subnet, err);
    if (rc != PN_DENIED)
        return rc;
    return pn_error_set(err, PN_DENIED, "LinkedAuthorizationFailed",
                        "The client with object id '%s' may write the service, but does not have "
                        "permission to perform action '" JOIN_ACTION
                        "' on the linked scope '%.300s'.",
                        call->principal.object_id, subnet);
}

/** The subnet whose network security group governs the service's connections. Only a service of
 * type External or Internal has one; a change to None leaves the network, as in Azure. */
static enum pn_rc check_network(struct arm_call *call, struct pn_store_txn *txn,
                                const struct pn_store_item *former, json_t *properties,
                                struct pn_problems *problems, struct pn_error *err)
{
    static const char target[] = "virtualNetworkConfiguration.subnetResourceId";
    const char *type = pn_json_str(properties, "virtualNetworkType");
    json_t *configuration = json_object_get(properties, "virtualNetworkConfiguration");
    const char *subnet = pn_json_str(configuration, "subnetResourceId");
    bool is_there = false;
    enum pn_rc rc;

    if (!type || strcasecmp(type, "None") == 0) {
        (void)json_object_del(properties, "virtualNetworkConfiguration");
        return PN_OK;
    }
    if (!subnet) {
        pn_problem_add(problems, target, "'%s' is required when virtualNetworkType is %s.", target,
                       type);
        return PN_OK;
    }
    rc = may_join(call, former, subnet, err);
    if (rc == PN_OK)
        rc = pn_outbound_find_subnet(txn, subnet, &is_there, err);
    if (rc == PN_OK && !is_there)
        pn_problem_add(problems, target, "'%s' is not the id of a subnet that exists: %s", target,
                       subnet);
    (void)json_object_del(configuration, "vnetid");
    (void)json_object_del(configuration, "subnetname");
    return rc;
}

/** The new document from checked parts; NULL: `problems` or `err` tells. */
static json_t *new_document(struct arm_call *call, struct pn_store_txn *txn,
                            const struct pn_store_item *former, json_t *top, json_t *properties,
                            const struct arm_hostnames *hostnames,
                            const struct arm_service_cas *cas, struct pn_problems *problems,
                            struct pn_error *err)
{
    static const char *const members[] = {"location", "sku", "tags", NULL};
    json_t *internal = json_copy(json_object_get(former->body, "internal"));
    json_t *body = json_pack("{s:s,s:O,s:o*}", "name", strrchr(former->id, '/') + 1, "properties",
                             properties, "internal", internal);
    bool failed = !body ||
                  arm_service_identity(call, txn, former, top, body, problems, err) != PN_OK ||
                  !arm_service_cas_set(cas, former, properties, internal, problems);

    if (!failed)
        failed = check_network(call, txn, former, properties, problems, err) != PN_OK;
    if (!failed && hostnames->is_given)
        failed = !arm_hostnames_set_built_in(hostnames, body);

    for (size_t i = 0; !failed && members[i]; i++) {
        json_t *member = json_object_get(top, members[i]);

        failed = member && json_object_set(body, members[i], member) != 0;
    }
    if (!failed && problems->count == 0)
        return body;
    json_decref(body);
    return NULL;
}

/** The view within the transaction. */
static json_t *stored_view(struct arm_call *call, struct pn_store_txn *txn,
                           const struct pn_store_item *item, struct pn_error *err)
{
    json_t *entity;

    call->view_txn = txn;
    entity = view(call, item, err);
    call->view_txn = NULL;
    if (!entity)
        arm_answer_failure(call, err);
    return entity;
}

/** The identities may be others now: what is no longer assigned gets no token, and those that the
 *  gateway has of it are taken back. False: answered. */
static bool renew_tokens(struct arm_call *call)
{
    struct pn_error err = {0};
    int64_t next_s;

    if (!json_object_get(call->body, "identity") ||
        pn_arm_renew_tokens(call->arm, true, &next_s, &err) == PN_OK)
        return true;
    pn_error_prefix(&err,
                    "The change is stored, but the tokens of the managed identities could not "
                    "be renewed (repeat the request)");
    arm_answer_failure(call, &err);
    return false;
}

/** Checks the two parts of the document, stores, answers. Ends the transaction. */
static void store(struct arm_call *call, struct pn_store_txn *txn,
                  const struct pn_store_item *former, const json_t *given_top,
                  const json_t *given_properties, struct arm_hostnames *hostnames,
                  const struct arm_service_cas *cas)
{
    struct pn_problems problems = {0};
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *top = NULL;
    json_t *properties = NULL;
    json_t *body = NULL;
    json_t *entity = NULL;
    const char *const *references = NULL;
    uint64_t revision = 0;
    enum pn_rc rc = pn_schema_apply(pn_service_top_fields, given_top, &top, &problems);

    if (rc != PN_NOMEM)
        rc = pn_schema_apply(pn_service_fields, given_properties, &properties, &problems);
    check_supported(&problems, properties);
    if (rc == PN_OK && problems.count == 0)
        body = new_document(call, txn, former, top, properties, hostnames, cas, &problems, &err);
    if (body)
        references = arm_service_references(call, body);
    if (problems.count > 0) {
        arm_answer_problems(call, &problems);
    } else if (!body && err.rc != PN_OK) {
        arm_answer_failure(call, &err);
    } else if (!body || !references) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else if (pn_store_put(txn, former->id, former->type, body, references, &err) != PN_OK ||
               pn_store_txn_get(txn, former->id, &item, &err) != PN_OK ||
               (call->arm->config.outbound &&
                pn_outbound_refresh(call->arm->config.outbound, txn, &err) != PN_OK)) {
        arm_answer_failure(call, &err);
    } else if (arm_hostnames_store(call, txn, hostnames)) {
        entity = stored_view(call, txn, &item, &err);
    }
    if (!entity) {
        pn_store_rollback(txn);
    } else if (arm_commit(call, txn, &revision) && renew_tokens(call)) {
        arm_answer_json(call, 200, json_incref(entity), revision);
        call->arm->config.services.rescan(call->arm->config.services.ctx);
    }
    json_decref(entity);
    json_decref(body);
    json_decref(top);
    json_decref(properties);
    pn_store_item_fini(&item);
}

/** What the body says of host names; before the transaction, because it imports and fetches. A
 * service that does not exist has none. False: answered. */
static bool prepare_hostnames(struct arm_call *call, bool is_whole, struct arm_hostnames *hostnames)
{
    struct pn_store_item service = {0};
    struct pn_error err = {0};
    const char *id = NULL;

    memset(hostnames, 0, sizeof(*hostnames));
    if (pn_store_get(call->arm->config.store, call->id, &service, &err) == PN_NOT_FOUND)
        return true;
    if (service.id)
        id = pn_arena_strdup(call->arena, pn_slice_str(service.id));
    pn_store_item_fini(&service);
    if (id)
        return arm_hostnames_prepare(call, id, is_whole, hostnames);
    if (err.rc == PN_OK)
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    arm_answer_failure(call, &err);
    return false;
}

/** Everything in the body that is a file. False: answered. */
static bool prepare_files(struct arm_call *call, bool is_whole, struct arm_hostnames *hostnames,
                          struct arm_service_cas *cas)
{
    if (!arm_service_cas_prepare(call, cas))
        return false;
    if (prepare_hostnames(call, is_whole, hostnames))
        return true;
    arm_service_cas_end(cas);
    return false;
}

static void end_files(struct arm_call *call, struct arm_hostnames *hostnames,
                      struct arm_service_cas *cas)
{
    arm_hostnames_end(call, hostnames);
    arm_service_cas_end(cas);
}

void arm_service_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    struct arm_hostnames hostnames;
    struct arm_service_cas cas;

    if (!prepare_files(call, true, &hostnames, &cas))
        return;
    if (!arm_begin(call, &txn, &former)) {
        end_files(call, &hostnames, &cas);
        return;
    }
    if (former.id) {
        store(call, txn, &former, call->body, json_object_get(call->body, "properties"), &hostnames,
              &cas);
    } else {
        pn_store_rollback(txn);
        arm_answer_error(call, 409, "ServiceLimitReached",
                         "A Postern serves one API Management service, and it was made at the "
                         "first start. Run another Postern for '%.*s'.",
                         PN_FMT(arm_name(call)));
    }
    end_files(call, &hostnames, &cas);
    pn_store_item_fini(&former);
}

void arm_service_patch(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    struct arm_hostnames hostnames;
    struct arm_service_cas cas;
    json_t *top = NULL;
    json_t *properties = NULL;

    if (!prepare_files(call, false, &hostnames, &cas))
        return;
    if (!arm_begin(call, &txn, &former)) {
        end_files(call, &hostnames, &cas);
        return;
    }
    if (!former.id) {
        pn_store_rollback(txn);
        arm_answer_not_found(call);
        end_files(call, &hostnames, &cas);
        return;
    }
    top = pn_schema_merge(former.body, call->body);
    properties = pn_schema_merge(json_object_get(former.body, "properties"),
                                 json_object_get(call->body, "properties"));
    /* The stored identity is not the caller's wish; without one it stays. (With one, the
     * identities that are assigned stay too, unless a null takes them away.) */
    if (top && !json_object_get(call->body, "identity"))
        (void)json_object_del(top, "identity");
    else if (top && !arm_service_identity_merge(&former, top)) {
        json_decref(top);
        top = NULL;
    }
    if (!top || !properties) {
        pn_store_rollback(txn);
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else {
        store(call, txn, &former, top, properties, &hostnames, &cas);
    }
    end_files(call, &hostnames, &cas);
    json_decref(top);
    json_decref(properties);
    pn_store_item_fini(&former);
}

void arm_check_name(struct arm_call *call)
{
    struct pn_slice name = pn_json_slice(call->body, "name");
    struct pn_error err = {0};
    struct pn_store_list services;
    bool is_taken = false;
    const char *prefix =
        pn_arena_printf(call->arena, "/subscriptions/%s/", call->arm->config.subscription_id);

    if (!name.ptr) {
        arm_answer_invalid(call, "name", "'name' is required.");
        return;
    }
    if (pn_name_check(PN_TYPE_SERVICE, name, &err) != PN_OK) {
        arm_answer_json(call, 200,
                        json_pack("{s:b,s:s,s:s}", "nameAvailable", 0, "reason", "Invalid",
                                  "message", err.message),
                        0);
        return;
    }
    if (!prefix || pn_store_list(call->arm->config.store, prefix,
                                 pn_type_facts(PN_TYPE_SERVICE)->type, &services, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return;
    }
    for (size_t i = 0; i < services.count; i++)
        if (pn_slice_case_eq_str(name, strrchr(services.items[i].id, '/') + 1))
            is_taken = true;
    pn_store_list_fini(&services);
    if (is_taken)
        arm_answer_json(call, 200,
                        json_pack("{s:b,s:s,s:o}", "nameAvailable", 0, "reason", "AlreadyExists",
                                  "message",
                                  json_sprintf("%.*s is already in use. Please select a different "
                                               "name.",
                                               PN_FMT(name))),
                        0);
    else
        arm_answer_json(
            call, 200,
            json_pack("{s:b,s:s,s:s}", "nameAvailable", 1, "reason", "Valid", "message", ""), 0);
}
