/* SPDX-License-Identifier: Apache-2.0
 *
 * Which APIs are in which products. One stored link for each pair, {product}/apis/{api}, that
 * refers to the API; it can be addressed in two ways: as the association products/{p}/apis/{a},
 * and by a name of its own, internal.linkId, as products/{p}/apiLinks/{l} (ADR 250).
 */
#include "arm/arm_internal.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/encode.h"

#define LINK_KIND "Microsoft.ApiManagement/service/products/apiLinks"

static const char *const api_fields[] = {"name", "displayName", "description",
                                         "path", "serviceUrl",  NULL};
static const char *const link_fields[] = {"name", "apiId", NULL};

const char *arm_product_link_api(const struct pn_store_item *link)
{
    return strcmp(link->type, pn_type_facts(PN_TYPE_PRODUCT_API)->type) == 0
               ? pn_json_str(json_object_get(link->body, "properties"), "apiId")
               : NULL;
}

/** The product of a link: what stands before "/apis/{name}". In the arena; NULL: no memory. */
static const char *product_of(struct arm_call *call, const char *link_id)
{
    const char *name = strrchr(link_id, '/');

    return pn_arena_strdup(call->arena,
                           pn_slice(link_id, (size_t)(name - link_id) - strlen("/apis")));
}

/** The last name of the id of something that was found. */
static const char *name_of(const struct pn_store_item *item)
{
    assert(item->id);
    return strrchr(item->id, '/') + 1;
}

static const char *link_name(const struct pn_store_item *link)
{
    return pn_json_str(json_object_get(link->body, "internal"), "linkId");
}

/* ---- views ---- */

static json_t *no_memory(struct pn_error *err)
{
    pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return NULL;
}

/** The API, by the address of its being in the product. */
static json_t *api_view(struct arm_call *call, const struct pn_store_item *item,
                        struct pn_error *err)
{
    struct pn_store_item api = {0};
    json_t *entity = NULL;

    if (pn_store_get(call->arm->config.store, arm_product_link_api(item), &api, err) == PN_OK)
        entity = arm_entity(item, json_deep_copy(json_object_get(api.body, "properties")));
    else if (err->rc == PN_NOT_FOUND) /* it was deleted while this was read */
        entity = arm_entity(item, json_object());
    else
        return NULL;
    pn_store_item_fini(&api);
    return entity ? entity : no_memory(err);
}

static json_t *link_view(struct arm_call *call, const struct pn_store_item *item,
                         struct pn_error *err)
{
    const char *product = product_of(call, item->id);
    json_t *entity = product
                         ? json_pack("{s:o, s:s, s:o, s:{s:s}}", "id",
                                     json_sprintf("%s/apiLinks/%s", product, link_name(item)),
                                     "name", link_name(item), "type", arm_type(item->id, LINK_KIND),
                                     "properties", "apiId", arm_product_link_api(item))
                         : NULL;

    return entity ? entity : no_memory(err);
}

/* ---- finding ---- */

enum pn_rc arm_product_other_open(struct arm_call *call, struct pn_store_txn *txn,
                                  const char *api_id, const char *product_id, const char **name,
                                  struct pn_error *err)
{
    struct pn_store_list users = {0};
    enum pn_rc rc = pn_store_users(txn, api_id, &users, err);

    *name = NULL;
    for (size_t i = 0; rc == PN_OK && !*name && i < users.count; i++) {
        struct pn_store_item product = {0};
        const char *id =
            arm_product_link_api(&users.items[i]) ? product_of(call, users.items[i].id) : "";

        if (!id)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        if (!id || !*id || strcasecmp(id, product_id) == 0)
            continue;
        rc = pn_store_txn_get(txn, id, &product, err);
        if (rc == PN_OK && arm_product_is_open(json_object_get(product.body, "properties")))
            *name = strrchr(id, '/') + 1;
        pn_store_item_fini(&product);
    }
    pn_store_list_fini(&users);
    return rc;
}

/** The product's link of that name (`txn` NULL: of what is committed). PN_NOT_FOUND … */
static enum pn_rc find_link(struct arm_call *call, struct pn_store_txn *txn, const char *product_id,
                            struct pn_slice name, struct pn_store_item *link, struct pn_error *err)
{
    const char *type = pn_type_facts(PN_TYPE_PRODUCT_API)->type;
    const char *prefix = pn_arena_printf(call->arena, "%s/apis/", product_id);
    struct pn_store_list links = {0};
    enum pn_rc rc = prefix ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    memset(link, 0, sizeof(*link));
    if (rc == PN_OK)
        rc = txn ? pn_store_txn_list(txn, prefix, type, &links, err)
                 : pn_store_list(call->arm->config.store, prefix, type, &links, err);
    for (size_t i = 0; rc == PN_OK && !link->id && i < links.count; i++) {
        if (!pn_slice_case_eq_str(name, link_name(&links.items[i])))
            continue;
        *link = links.items[i];
        memset(&links.items[i], 0, sizeof(links.items[i]));
    }
    pn_store_list_fini(&links);
    return rc == PN_OK && !link->id
               ? pn_error_set(err, PN_NOT_FOUND, "not_found", "API link not found.")
               : rc;
}

/* ---- putting ---- */

/** What may be in it. False: answered. */
static bool check_place(struct arm_call *call, struct pn_store_txn *txn, const char *product_id,
                        const struct pn_store_item *api)
{
    struct pn_store_item product = {0};
    struct pn_store_list users = {0};
    struct pn_error err = {0};
    const char *other = NULL;
    size_t count = 0;
    enum pn_rc rc = pn_store_txn_get(txn, product_id, &product, &err);

    if (rc == PN_OK)
        rc = pn_store_users(txn, api->id, &users, &err);
    for (size_t i = 0; rc == PN_OK && i < users.count; i++)
        count += arm_product_link_api(&users.items[i]) != NULL;
    if (rc == PN_OK && arm_product_is_open(json_object_get(product.body, "properties")))
        rc = arm_product_other_open(call, txn, api->id, product_id, &other, &err);
    pn_store_list_fini(&users);
    pn_store_item_fini(&product);
    if (rc != PN_OK)
        arm_answer_failure(call, &err);
    else if (other)
        arm_answer_invalid(call, "apiId",
                           "API '%s' is in the open product '%s' already. An API can be in one "
                           "product that requires no subscription.",
                           name_of(api), other);
    else if (count >= PN_API_PRODUCTS_MAX)
        arm_answer_invalid(call, "apiId", "API '%s' is in %zu products; at most %d are possible.",
                           name_of(api), count, PN_API_PRODUCTS_MAX);
    return rc == PN_OK && !other && count < PN_API_PRODUCTS_MAX;
}

/** The name that the link has when nobody gave it one: the API's, unless that is taken. */
static const char *make_name(struct arm_call *call, struct pn_store_txn *txn,
                             const char *product_id, const char *api_name, struct pn_error *err)
{
    struct pn_store_item taken = {0};
    unsigned char random[4];
    char hex[9];
    enum pn_rc rc = find_link(call, txn, product_id, pn_slice_str(api_name), &taken, err);

    pn_store_item_fini(&taken);
    if (rc == PN_NOT_FOUND) {
        memset(err, 0, sizeof(*err));
        return api_name;
    }
    if (rc != PN_OK)
        return NULL;
    pn_random(random, sizeof(random));
    pn_hex_lower(random, sizeof(random), hex);
    return pn_arena_printf(call->arena, "%.240s-%s", api_name, hex);
}

/** Stores the link of the API and answers. `name`: NULL makes one. Ends the transaction. */
static void put_link(struct arm_call *call, struct pn_store_txn *txn,
                     const struct pn_store_item *former, const char *product_id,
                     const struct pn_store_item *api, const char *name, arm_view_fn view)
{
    const char *references[2] = {api->id, NULL};
    const char *api_name = name_of(api);
    struct pn_error err = {0};
    json_t *properties = NULL;
    json_t *internal = NULL;

    if (!check_place(call, txn, product_id, api)) {
        pn_store_rollback(txn);
        return;
    }
    if (!name)
        name = make_name(call, txn, product_id, api_name, &err);
    call->id = pn_arena_printf(call->arena, "%s/apis/%s", product_id, api_name);
    if (name) {
        properties = json_pack("{s:s}", "apiId", api->id);
        internal = json_pack("{s:s}", "linkId", name);
    }
    if (call->id && properties && internal) {
        (void)arm_store_and_answer(call, txn, former, properties, internal, references, view);
        return;
    }
    pn_store_rollback(txn);
    json_decref(properties);
    json_decref(internal);
    if (err.rc == PN_OK)
        pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    arm_answer_failure(call, &err);
}

/** It is there as it was wanted: perhaps by a request that was told "not yet live". */
static void answer_same(struct arm_call *call, const struct pn_store_item *link, arm_view_fn view)
{
    struct pn_error err = {0};
    json_t *entity = view(call, link, &err);

    if (!entity)
        arm_answer_failure(call, &err);
    else if (arm_publish(call, pn_store_revision(call->arm->config.store)))
        arm_answer_json(call, 200, json_incref(entity), link->revision);
    json_decref(entity);
}

static void delete_link(struct arm_call *call, struct pn_store_txn *txn,
                        const struct pn_store_item *link)
{
    struct pn_error err = {0};
    uint64_t revision = 0;

    if (pn_store_delete(txn, link->id, &err) != PN_OK) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_empty(call, 200);
    }
}

/* ---- products/{p}/apis/{a} ---- */

/** The product must be there; ";rev=1" is the API itself. False: answered. */
static bool find_association(struct arm_call *call)
{
    static const char current[] = ";rev=1";
    struct pn_slice id = pn_slice_str(call->id);

    if (pn_slice_ends_with(id, pn_slice_str(current)))
        call->id =
            pn_arena_strdup(call->arena, pn_slice_sub(id, 0, id.len - (sizeof(current) - 1)));
    if (!call->id) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    return arm_parent(call, 1);
}

void arm_product_apis(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .type = pn_type_facts(PN_TYPE_PRODUCT_API)->type, .fields = api_fields, .view = api_view};

    if (!arm_parent(call, 0))
        return;
    rule.prefix = pn_arena_printf(call->arena, "%s/apis/", call->id);
    arm_list(call, &rule);
}

void arm_product_api_get(struct arm_call *call)
{
    struct pn_store_item link;
    struct pn_error err = {0};

    if (!find_association(call))
        return;
    if (!pn_slice_eq_str(call->request->method, "HEAD")) {
        arm_get_with(call, api_view);
    } else if (pn_store_get(call->arm->config.store, call->id, &link, &err) == PN_OK) {
        arm_answer_empty(call, 204); /* what asks for an association expects that */
        pn_store_item_fini(&link);
    } else if (err.rc == PN_NOT_FOUND) {
        arm_answer_not_found(call);
    } else {
        arm_answer_failure(call, &err);
    }
}

void arm_product_api_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former, api = {0};
    struct pn_error err = {0};
    const char *api_id = NULL;
    enum pn_rc rc;

    if (!find_association(call) || !arm_begin(call, &txn, &former))
        return;
    if (former.id) {
        pn_store_rollback(txn);
        answer_same(call, &former, api_view);
        pn_store_item_fini(&former);
        return;
    }
    api_id = pn_arena_printf(call->arena, "%s/apis/%s", call->scope_id, strrchr(call->id, '/') + 1);
    rc = api_id ? pn_store_txn_get(txn, api_id, &api, &err)
                : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK) {
        put_link(call, txn, &former, product_of(call, call->id), &api, NULL, api_view);
    } else {
        pn_store_rollback(txn);
        if (rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
    }
    pn_store_item_fini(&api);
}

void arm_product_api_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item link;

    if (!find_association(call) || !arm_begin_delete(call, &txn, &link))
        return;
    delete_link(call, txn, &link);
    pn_store_item_fini(&link);
}

/* ---- apis/{a}/products ---- */

static bool has_this(const struct arm_call *call, const struct pn_store_item *product)
{
    struct pn_store_item link = {0};
    struct pn_error err = {0};
    const char *id =
        pn_arena_printf(call->arena, "%s/apis/%s", product->id, strrchr(call->id, '/') + 1);
    bool has = id && pn_store_get(call->arm->config.store, id, &link, &err) == PN_OK;

    pn_store_item_fini(&link);
    return has;
}

void arm_api_products(struct arm_call *call)
{
    static const char *const fields[] = {"name", "displayName", "description", "state", NULL};
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/products/", call->scope_id),
        .type = pn_type_facts(PN_TYPE_PRODUCT)->type,
        .fields = fields,
        .view = arm_view_plain,
        .keep = has_this,
    };

    if (arm_parent(call, 0))
        arm_list(call, &rule);
}

/* ---- products/{p}/apiLinks/{l} ---- */

void arm_product_links(struct arm_call *call)
{
    struct arm_list_rule rule = {
        .type = pn_type_facts(PN_TYPE_PRODUCT_API)->type, .fields = link_fields, .view = link_view};

    if (!arm_parent(call, 0))
        return;
    rule.prefix = pn_arena_printf(call->arena, "%s/apis/", call->id);
    arm_list(call, &rule);
}

/** The id of the product above the addressed link. NULL: answered. */
static const char *link_product(struct arm_call *call)
{
    const char *id;

    if (!arm_parent(call, 1))
        return NULL;
    id = pn_arena_strdup(
        call->arena,
        pn_slice(call->id, (size_t)(strrchr(call->id, '/') - call->id) - strlen("/apiLinks")));
    if (!id)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    return id;
}

static void answer_link_failure(struct arm_call *call, const struct pn_error *err)
{
    if (err->rc == PN_NOT_FOUND)
        arm_answer_error(call, 404, "ResourceNotFound", "API link not found.");
    else
        arm_answer_failure(call, err);
}

void arm_product_link_get(struct arm_call *call)
{
    struct pn_store_item link = {0};
    struct pn_error err = {0};
    json_t *entity = NULL;
    const char *product_id = link_product(call);

    if (!product_id)
        return;
    if (find_link(call, NULL, product_id, arm_name(call), &link, &err) == PN_OK)
        entity = link_view(call, &link, &err);
    if (entity)
        arm_answer_json(call, 200, entity, link.revision);
    else
        answer_link_failure(call, &err);
    pn_store_item_fini(&link);
}

/** The API that properties.apiId names, which may be given short or whole. False: answered. */
static bool find_api(struct arm_call *call, struct pn_store_txn *txn, const char *given,
                     struct pn_store_item *api)
{
    struct pn_slice text = pn_slice_str(given);
    struct pn_error err = {0};
    const char *id = NULL;
    enum pn_rc rc = PN_NOT_FOUND;

    if (pn_id_is_below(text, pn_slice_str(call->scope_id)))
        text = pn_id_relative(text, pn_slice_str(call->scope_id));
    if (pn_slice_ends_with(text, PN_LIT(";rev=1")))
        text = pn_slice_sub(text, 0, text.len - strlen(";rev=1"));
    if (pn_slice_case_starts_with(text, PN_LIT("/apis/")) &&
        pn_slice_find(pn_slice_sub(text, 6, text.len - 6), '/') == text.len - 6) {
        id = pn_arena_printf(call->arena, "%s%.*s", call->scope_id, PN_FMT(text));
        rc = id ? pn_store_txn_get(txn, id, api, &err)
                : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    if (rc == PN_NOT_FOUND)
        arm_answer_invalid(call, "apiId",
                           "'apiId' must be the id of an API of this service or workspace "
                           "(…/apis/{apiId}); there is none with this one.");
    else if (rc != PN_OK)
        arm_answer_failure(call, &err);
    return rc == PN_OK;
}

/** In the transaction, which it ends. `link`: what has the name now; its id is NULL: nothing has.
 */
static void put_named(struct arm_call *call, struct pn_store_txn *txn, const char *product_id,
                      const struct pn_store_item *link, const struct pn_store_item *api)
{
    struct pn_store_item twin = {0}, former = {0};
    struct pn_error err = {0};
    const char *id = pn_arena_printf(call->arena, "%s/apis/%s", product_id, name_of(api));
    const char *name = pn_arena_strdup(call->arena, arm_name(call));
    enum pn_rc rc = PN_NOMEM;

    if (id && name)
        rc = pn_store_txn_get(txn, id, &twin, &err);
    if (rc == PN_OK && link->id && strcasecmp(twin.id, link->id) == 0) {
        pn_store_rollback(txn);
        answer_same(call, &twin, link_view);
    } else if (rc == PN_OK) {
        arm_answer_invalid(call, "apiId", "API '%s' is in this product already, by the link '%s'.",
                           name_of(api), link_name(&twin));
        pn_store_rollback(txn);
    } else if (rc != PN_NOT_FOUND || (link->id && pn_store_delete(txn, link->id, &err) != PN_OK)) {
        pn_store_rollback(txn);
        if (rc == PN_NOMEM)
            pn_error_set(&err, rc, "out_of_memory", "out of memory");
        arm_answer_failure(call, &err);
    } else {
        put_link(call, txn, &former, product_id, api, name, link_view);
    }
    pn_store_item_fini(&twin);
}

void arm_product_link_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item nothing, link = {0}, api = {0};
    struct pn_error err = {0};
    json_t *properties = NULL;
    const char *product_id = link_product(call);
    enum pn_rc rc;

    if (!product_id || !arm_properties(call, pn_product_link_fields, &properties))
        return;
    if (!arm_begin(call, &txn, &nothing)) /* nothing is stored by this address */
        goto out;
    rc = find_link(call, txn, product_id, arm_name(call), &link, &err);
    if (rc != PN_OK && rc != PN_NOT_FOUND) {
        arm_answer_failure(call, &err);
        pn_store_rollback(txn);
    } else if (!find_api(call, txn, pn_json_str(properties, "apiId"), &api)) {
        pn_store_rollback(txn);
    } else {
        put_named(call, txn, product_id, &link, &api);
    }
out:
    pn_store_item_fini(&link);
    pn_store_item_fini(&api);
    json_decref(properties);
}

void arm_product_link_delete(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item nothing, link = {0};
    struct pn_error err = {0};
    const char *product_id = link_product(call);

    if (!product_id || !arm_begin(call, &txn, &nothing))
        return;
    if (find_link(call, txn, product_id, arm_name(call), &link, &err) == PN_OK) {
        delete_link(call, txn, &link);
    } else {
        pn_store_rollback(txn);
        if (err.rc != PN_NOT_FOUND)
            arm_answer_failure(call, &err);
        else if (arm_publish(call, pn_store_revision(call->arm->config.store)))
            arm_answer_empty(call, 204);
    }
    pn_store_item_fini(&link);
}
