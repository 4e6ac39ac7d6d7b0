/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom a generation is shown before it serves: the backends that name the certificate, and what
 * stands behind the policies that name it: backends, the API itself, or of a product's policy
 * those of the APIs in it.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "arm/preflight_internal.h"
#include "base/limits.h"
#include "http/uri.h"
#include "policy/policy.h"

#define PRODUCT_APIS_MAX 1000 /* of one product that are looked at; more, and that is said */

void arm_preflight_target_fini(struct preflight_target *target)
{
    json_decref(target->question);
    json_decref(target->others);
    json_decref(target->answer);
}

/** Takes `others`. */
static void add_target(struct preflight *flight, const char *user, const json_t *properties,
                       json_t *others)
{
    struct pn_error err = {0};
    struct preflight_target target = {.question = json_object(), .others = others};

    if (arm_probe_target(target.question, properties, &err) != PN_OK) {
        arm_preflight_target_fini(&target);
        return;
    }
    (void)snprintf(target.host, sizeof(target.host), "%s", pn_json_str(target.question, "host"));
    target.port = (unsigned)pn_json_int(target.question, "port", 0);
    target.user = pn_arena_strdup(flight->arena, pn_slice_str(user));
    for (size_t i = 0; i < flight->count; i++) {
        const struct preflight_target *known = &flight->targets[i];

        if (json_equal(known->question, target.question) &&
            (known->others == target.others || json_equal(known->others, target.others))) {
            arm_preflight_target_fini(&target);
            return;
        }
    }
    if (flight->count == PREFLIGHT_TARGETS_MAX || !target.user) {
        flight->is_cut = true;
        arm_preflight_target_fini(&target);
    } else {
        flight->targets[flight->count++] = target;
    }
}

/** What the backend would be shown beside the certificate; NULL: nothing, or it cannot be told. */
static json_t *others_of(struct preflight *flight, const json_t *names)
{
    json_t *list = json_array();
    bool has_place = false;

    for (size_t i = 0; list && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const char *id =
            pn_arena_printf(flight->arena, "%s/certificates/%s", flight->scope_id, name);
        bool is_this = id && strcasecmp(id, flight->certificate_id) == 0;
        struct pn_store_item item = {0};
        struct pn_error err = {0};

        has_place = has_place || is_this;
        if (is_this)
            (void)json_array_append_new(list, json_null());
        else if (id && pn_store_txn_get(flight->txn, id, &item, &err) == PN_OK)
            (void)json_array_append_new(
                list, arm_probe_certificate(name, json_object_get(item.body, "internal")));
        pn_store_item_fini(&item);
    }
    if (has_place)
        return list;
    json_decref(list);
    return NULL;
}

/** How a policy names the certificate: alone, or in a list from which the server chooses; and which
 *  backends it names. */
struct listing {
    const char *name; /* of the certificate */
    json_t *backends; /* names */
    void *node;       /* the statement that is looked at */
    json_t *current;  /* names of its list */
    json_t *names;    /* of the list that the certificate is in */
    bool is_alone;
};

static enum pn_rc on_listed(void *ctx, const struct pn_policy_reference *reference,
                            struct pn_error *err)
{
    struct listing *listing = ctx;
    bool is_this;

    (void)err;
    if (reference->kind == PN_POLICY_BACKEND_ID)
        (void)json_array_append_new(listing->backends,
                                    json_stringn(reference->name.ptr, reference->name.len));
    if (reference->kind != PN_POLICY_CERTIFICATE_ID)
        return PN_OK;
    is_this = pn_slice_case_eq_str(reference->name, listing->name);
    listing->is_alone = listing->is_alone || (is_this && !reference->is_of_several);
    if (!reference->is_of_several)
        return PN_OK;
    if (reference->node != listing->node) {
        json_decref(listing->current);
        listing->current = json_array();
        listing->node = reference->node;
    }
    (void)json_array_append_new(listing->current,
                                json_stringn(reference->name.ptr, reference->name.len));
    if (is_this && !listing->names)
        listing->names = json_incref(listing->current);
    return PN_OK;
}

/** The names of the list that the policy has the certificate in; an empty one: it names it alone,
 *  too, and then it is shown alone. *backends: those that the policy names, with what its fragments
 *  do. New references. */
static json_t *listed_with(const struct preflight *flight, const struct pn_store_item *policy,
                           json_t **backends)
{
    struct listing listing = {.name = strrchr(flight->certificate_id, '/') + 1,
                              .backends = json_array()};
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    json_t *properties = NULL;

    if (arm_policy_open_resolved(flight->arm, policy, &properties, &err) == PN_OK &&
        pn_policy_parse_resolved(pn_json_slice(properties, "value"),
                                 arm_policy_scope(policy->type, policy->id), &document,
                                 &err) == PN_OK &&
        pn_policy_references(document, on_listed, &listing, &err) != PN_OK)
        listing.is_alone = true;
    pn_policy_document_destroy(document);
    json_decref(properties);
    json_decref(listing.current);
    *backends = listing.backends;
    if (!listing.is_alone && listing.names)
        return listing.names;
    json_decref(listing.names);
    return json_array();
}

/** `listed` NULL: the backend names the certificate itself; else what the policy lists, an empty
 *  array when it names it alone. */
static void add_backend(struct preflight *flight, const struct pn_store_item *backend,
                        const json_t *listed)
{
    const json_t *names =
        listed ? listed
               : json_object_get(json_object_get(backend->body, "internal"), "certificateIds");
    struct pn_error err = {0};
    json_t *properties = NULL;
    json_t *others = NULL;

    if (json_array_size(names) > 1)
        others = others_of(flight, names);
    if (arm_backend_open(flight->arm, backend, &properties, &err) == PN_OK)
        add_target(flight, backend->id, properties, others);
    else
        json_decref(others);
    json_decref(properties);
}

/** The backends that the policy sends to. */
static enum pn_rc add_policys_backends(struct preflight *flight, const json_t *names,
                                       const json_t *listed, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < json_array_size(names); i++) {
        struct pn_store_item backend = {0};
        const char *id = pn_arena_printf(flight->arena, "%s/backends/%s", flight->scope_id,
                                         json_string_value(json_array_get(names, i)));

        rc = id ? pn_store_txn_get(flight->txn, id, &backend, err)
                : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        if (rc == PN_OK)
            add_backend(flight, &backend, listed);
        else if (rc == PN_NOT_FOUND)
            rc = PN_OK;
        pn_store_item_fini(&backend);
    }
    return rc;
}

/** Where the API sends by itself. */
static void add_api(struct preflight *flight, const char *api_id, const json_t *listed)
{
    struct pn_store_item api = {0};
    struct pn_error err = {0};

    if (api_id && pn_store_txn_get(flight->txn, api_id, &api, &err) == PN_OK) {
        json_t *properties =
            json_pack("{s:O*}", "url",
                      json_object_get(json_object_get(api.body, "properties"), "serviceUrl"));

        add_target(flight, api.id, properties,
                   json_array_size(listed) > 1 ? others_of(flight, listed) : NULL);
        json_decref(properties);
    }
    pn_store_item_fini(&api);
}

struct sending {
    struct preflight *flight;
    const json_t *listed;
};

static enum pn_rc on_sent(void *ctx, const struct pn_policy_reference *reference,
                          struct pn_error *err)
{
    struct sending *sending = ctx;
    struct preflight *flight = sending->flight;
    struct pn_store_item backend = {0};
    const char *id;

    if (reference->kind != PN_POLICY_BACKEND_ID)
        return PN_OK;
    id = pn_arena_printf(flight->arena, "%s/backends/%.*s", flight->scope_id,
                         PN_FMT(reference->name));
    if (id && pn_store_txn_get(flight->txn, id, &backend, err) == PN_OK)
        add_backend(flight, &backend, sending->listed);
    pn_store_item_fini(&backend);
    return PN_OK;
}

/** An API in a product whose policy names the certificate: the backends that its own policy sends
 * to, or where it sends by itself. */
static void add_api_of_product(struct preflight *flight, const char *api_id, const json_t *listed)
{
    const char *policy_id = pn_arena_printf(flight->arena, "%s/policies/policy", api_id);
    struct sending sending = {flight, listed};
    struct pn_policy_document *document = NULL;
    struct pn_store_item policy = {0};
    struct pn_error err = {0};
    json_t *properties = NULL;
    size_t before = flight->count;

    if (policy_id && pn_store_txn_get(flight->txn, policy_id, &policy, &err) == PN_OK &&
        arm_policy_open_resolved(flight->arm, &policy, &properties, &err) == PN_OK &&
        pn_policy_parse_resolved(pn_json_slice(properties, "value"), PN_SCOPE_API, &document,
                                 &err) == PN_OK &&
        pn_policy_references(document, on_sent, &sending, &err) != PN_OK)
        flight->is_cut = true; /* cannot be: on_sent refuses nothing */
    pn_policy_document_destroy(document);
    json_decref(properties);
    pn_store_item_fini(&policy);
    if (flight->count == before)
        add_api(flight, api_id, listed);
}

static void add_apis_of_product(struct preflight *flight, const char *product_id,
                                const json_t *listed)
{
    const char *prefix = pn_arena_printf(flight->arena, "%s/apis/", product_id);
    struct pn_store_list links = {0};
    struct pn_error err = {0};

    if (!prefix || pn_store_txn_list(flight->txn, prefix, pn_type_facts(PN_TYPE_PRODUCT_API)->type,
                                     &links, &err) != PN_OK)
        return;
    if (links.count > PRODUCT_APIS_MAX)
        flight->is_cut = true;
    for (size_t i = 0; i < PRODUCT_APIS_MAX && i < links.count; i++)
        add_api_of_product(flight, arm_product_link_api(&links.items[i]), listed);
    pn_store_list_fini(&links);
}

/** Where the API above the policy sends by itself; of a product's policy, all that are in it. */
static void add_policys_apis(struct preflight *flight, const char *policy_id, const json_t *listed)
{
    struct pn_slice id = pn_slice_str(policy_id);
    struct pn_slice rest = pn_id_relative(id, pn_slice_str(flight->scope_id));
    struct pn_slice kind = {0}, name = {0};
    const char *above;

    /* "/apis/{name}/…" */
    (void)pn_slice_cut(&rest, '/', &kind);
    if (!pn_slice_cut(&rest, '/', &kind) || !pn_slice_cut(&rest, '/', &name))
        return;
    above = pn_arena_printf(flight->arena, "%s/%.*s/%.*s", flight->scope_id, PN_FMT(kind),
                            PN_FMT(name));
    if (above && pn_slice_case_eq_str(kind, "apis"))
        add_api(flight, above, listed);
    else if (above && pn_slice_case_eq_str(kind, "products"))
        add_apis_of_product(flight, above, listed);
}

static enum pn_rc add_policy(struct preflight *flight, const struct pn_store_item *policy,
                             struct pn_error *err)
{
    size_t before = flight->count;
    json_t *backends = NULL;
    json_t *listed = listed_with(flight, policy, &backends);
    enum pn_rc rc = add_policys_backends(flight, backends, listed, err);

    if (flight->count == before)
        add_policys_apis(flight, policy->id, listed);
    json_decref(listed);
    json_decref(backends);
    return rc;
}

/** `depth`: of fragments that include one another. */
static enum pn_rc add_users(struct preflight *flight, const char *reference, unsigned depth,
                            struct pn_error *err)
{
    struct pn_store_list users = {0};
    enum pn_rc rc = pn_store_users(flight->txn, reference, &users, err);

    for (size_t i = 0; rc == PN_OK && i < users.count; i++) {
        const struct pn_store_item *user = &users.items[i];

        if (strcasecmp(user->type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0)
            add_backend(flight, user, NULL);
        else if (arm_is_policy(user->type))
            rc = add_policy(flight, user, err);
        else if (strcasecmp(user->type, pn_type_facts(PN_TYPE_FRAGMENT)->type) == 0 &&
                 depth <= pn_limit_value(PN_LIMIT_FRAGMENT_DEPTH))
            rc = add_users(flight, user->id, depth + 1, err);
    }
    pn_store_list_fini(&users);
    return rc;
}

enum pn_rc arm_preflight_add_users(struct preflight *flight, const char *reference,
                                   struct pn_error *err)
{
    return add_users(flight, reference, 0, err);
}
