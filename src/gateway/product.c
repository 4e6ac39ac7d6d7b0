/* SPDX-License-Identifier: Apache-2.0
 *
 * The products that an API is in, and the programs of calls that come by one of them: the product's
 * document stands between the workspace's and the API's (ADR 251). Such a program is made when the
 * first such call comes; where no product has a policy there is none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/snapshot_internal.h"

static void read_product(struct pn_product *product, const struct pn_item *item,
                         const struct pn_item *policy)
{
    const char *name = pn_json_str(item->properties, "displayName");

    product->key = item->key;
    product->id = item->name;
    product->name = name ? name : item->name;
    product->is_open = !pn_json_bool(item->properties, "subscriptionRequired", true);
    product->is_broken = policy && policy->is_broken;
    if (policy && !product->is_broken)
        product->policy = policy->as.policy;
}

enum pn_rc pn_api_products_read(struct pn_api *api, const struct pn_api_entry *entry)
{
    size_t links = (entry->base_count - PN_API_BASES) / PN_LINK_BASES;
    struct pn_item *const *bases = entry->items + entry->count + PN_API_BASES;

    api->house = entry->house;
    if (links == 0)
        return PN_OK;
    api->products = calloc(links, sizeof(*api->products));
    api->product_keys = calloc(links, sizeof(*api->product_keys));
    if (!api->products || !api->product_keys)
        return PN_NOMEM;
    for (size_t i = 0; i < links; i++) {
        const struct pn_item *item = bases[PN_LINK_BASES * i];
        struct pn_product *product = &api->products[api->product_count];

        /* What cannot be used opens nothing. */
        if (!item || item->is_broken)
            continue;
        read_product(product, item, bases[PN_LINK_BASES * i + 1]);
        api->product_keys[api->product_count++] = product->key;
        if (product->is_open && !api->open_product)
            api->open_product = product;
        if (!product->policy)
            continue;
        product->programs = calloc(api->operation_count + 1, sizeof(*product->programs));
        if (!product->programs)
            return PN_NOMEM;
    }
    return PN_OK;
}

void pn_api_products_fini(struct pn_api *api)
{
    for (size_t i = 0; i < api->product_count; i++) {
        for (size_t j = 0; api->products[i].programs && j <= api->operation_count; j++)
            pn_policy_program_destroy(
                atomic_load_explicit(&api->products[i].programs[j].made, memory_order_relaxed));
        free(api->products[i].programs);
    }
    free(api->products);
    free((void *)api->product_keys);
}

const struct pn_product *pn_api_product(const struct pn_api *api, const char *key)
{
    for (size_t i = 0; i < api->product_count; i++)
        if (strcasecmp(api->products[i].key, key) == 0)
            return &api->products[i];
    return NULL;
}

/** The lock is held. NULL: logged. */
static struct pn_policy_program *make_program(const struct pn_api *api,
                                              const struct pn_product *product,
                                              const struct pn_policy_document *own)
{
    static const enum pn_policy_scope scopes[] = {
        PN_SCOPE_GLOBAL, PN_SCOPE_WORKSPACE, PN_SCOPE_PRODUCT, PN_SCOPE_API, PN_SCOPE_OPERATION};
    const struct pn_policy_document *documents[] = {
        api->documents[0], api->documents[1], product->policy, api->documents[2], own,
    };
    struct pn_policy_program *program = NULL;
    struct pn_error err = {0};

    if (pn_policy_compile(documents, scopes, own ? 5 : 4, &program, &err) == PN_OK)
        return program;
    pn_error_prefix(&err, "%s in %s", api->key, product->key);
    pn_log_error(PN_LOG_ERROR, "policy_not_compiled", &err);
    return NULL;
}

const struct pn_policy_program *pn_api_program(const struct pn_api *api,
                                               const struct pn_operation *operation,
                                               const struct pn_product *product)
{
    _Atomic(struct pn_policy_program *) *place;
    struct pn_policy_program *program;

    if (!product || !product->policy)
        return operation->program;
    place = &product->programs[operation->document ? operation->index + 1 : 0].made;
    program = atomic_load_explicit(place, memory_order_acquire);
    if (program)
        return program;
    pthread_mutex_lock(&api->house->lock);
    program = atomic_load_explicit(place, memory_order_relaxed);
    if (!program) {
        program = make_program(api, product, operation->document);
        atomic_store_explicit(place, program, memory_order_release);
    }
    pthread_mutex_unlock(&api->house->lock);
    return program;
}
