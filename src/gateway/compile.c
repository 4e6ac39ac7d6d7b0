/* SPDX-License-Identifier: Apache-2.0
 *
 * One API with its operations and policies becomes a struct pn_api. It takes a reference on every
 * item it borrows from, so it may outlive their place in the catalog.
 */
#include "gateway/snapshot_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct build {
    struct pn_api *api;
    const struct pn_map *children;
    struct pn_item *global_policy;
    bool keep_broken;
    size_t item_capacity;
    struct pn_error *err;
};

void pn_api_unref(struct pn_api *api)
{
    if (!api || --api->refs > 0)
        return;
    pn_route_tree_destroy(api->tree);
    for (size_t i = 0; i < api->own_program_count; i++)
        pn_policy_program_destroy(api->own_programs[i]);
    pn_policy_program_destroy(api->program);
    free(api->own_programs);
    free(api->operations);
    for (size_t i = 0; i < api->item_count; i++)
        pn_item_unref(api->items[i]);
    free(api->items);
    free(api);
}

static void keep(struct build *build, struct pn_item *item)
{
    assert(build->api->item_count < build->item_capacity);
    build->api->items[build->api->item_count++] = pn_item_ref(item);
}

static enum pn_rc out_of_memory(struct build *build)
{
    return pn_error_set(build->err, PN_NOMEM, "out_of_memory", "no memory for API %s",
                        build->api->id);
}

/* --- the API itself --- */

static void read_protocols(struct pn_api *api, const json_t *list)
{
    size_t i;
    json_t *entry;

    if (!json_is_array(list) || json_array_size(list) == 0) {
        api->allows_https = true;
        return;
    }
    json_array_foreach(list, i, entry)
    {
        struct pn_slice text = pn_slice_str(json_string_value(entry));

        api->allows_http = api->allows_http || pn_slice_case_eq_str(text, "http") ||
                           pn_slice_case_eq_str(text, "ws");
        api->allows_https = api->allows_https || pn_slice_case_eq_str(text, "https") ||
                            pn_slice_case_eq_str(text, "wss");
    }
}

static const char *text_or(const json_t *object, const char *member, const char *otherwise)
{
    const char *text = pn_json_str(object, member);

    return text && *text ? text : otherwise;
}

static enum pn_rc read_api(struct build *build, struct pn_item *item)
{
    struct pn_api *api = build->api;
    const json_t *names = json_object_get(item->properties, "subscriptionKeyParameterNames");
    struct pn_slice url = pn_json_slice(item->properties, "serviceUrl");
    enum pn_rc rc;

    api->key = item->key;
    api->id = item->name;
    api->path = text_or(item->properties, "path", "");
    while (*api->path == '/')
        api->path++;
    api->is_current = pn_json_bool(item->properties, "isCurrent", true);
    api->subscription_required = pn_json_bool(item->properties, "subscriptionRequired", true);
    api->is_grpc = strcmp(text_or(item->properties, "type", ""), "grpc") == 0;
    api->key_header = text_or(names, "header", PN_SUBSCRIPTION_HEADER);
    api->key_query = text_or(names, "query", PN_SUBSCRIPTION_QUERY);
    api->is_websocket = strcmp(text_or(item->properties, "type", "http"), "websocket") == 0;
    read_protocols(api, json_object_get(item->properties, "protocols"));
    if (item->is_broken) {
        api->is_broken = true;
        api->broken_reason = item->broken_reason;
    }
    if (url.len == 0)
        return PN_OK;
    rc = pn_target_parse(url, &api->target, build->err);
    if (rc == PN_OK) {
        api->has_target = true;
        return PN_OK;
    }
    pn_error_prefix(build->err, "%s: serviceUrl", api->key);
    return build->keep_broken ? PN_OK : PN_INVALID; /* without a target: answers 500 */
}

/* --- policies --- */

/** `own`: the document of the operation, or NULL. */
static enum pn_rc compile_program(struct build *build, const struct pn_item *api_policy,
                                  const struct pn_item *own, struct pn_policy_program **program)
{
    static const enum pn_policy_scope scopes[] = {PN_SCOPE_GLOBAL, PN_SCOPE_API,
                                                  PN_SCOPE_OPERATION};
    const struct pn_policy_document *documents[] = {
        build->global_policy ? build->global_policy->as.policy : NULL,
        api_policy ? api_policy->as.policy : NULL,
        own ? own->as.policy : NULL,
    };

    return pn_policy_compile(documents, scopes, own ? 3 : 2, program, build->err);
}

/** Marks the API when a document that all its operations stand on cannot be used. */
static enum pn_rc compile_api_program(struct build *build, struct pn_item *api_policy)
{
    struct pn_api *api = build->api;
    struct pn_item *const documents[] = {build->global_policy, api_policy};

    for (size_t i = 0; i < 2; i++) {
        if (!documents[i])
            continue;
        keep(build, documents[i]);
        if (documents[i]->is_broken) {
            api->is_broken = true;
            api->broken_reason = documents[i]->broken_reason;
        }
    }
    if (api->is_broken)
        return PN_OK;
    return compile_program(build, api_policy, NULL, &api->program);
}

static struct pn_item *child(const struct build *build, const char *prefix, const char *suffix)
{
    char key[1024];
    size_t prefix_len = strlen(prefix);
    size_t suffix_len = strlen(suffix);

    if (prefix_len + suffix_len > sizeof(key))
        return NULL;
    memcpy(key, prefix, prefix_len);
    memcpy(key + prefix_len, suffix, suffix_len);
    return pn_map_get(build->children, pn_slice(key, prefix_len + suffix_len));
}

/* --- operations --- */

static enum pn_rc operation_program(struct build *build, struct pn_item *item,
                                    const struct pn_item *api_policy,
                                    struct pn_operation *operation)
{
    struct pn_api *api = build->api;
    struct pn_item *own = child(build, item->key, "/policies/policy");
    struct pn_policy_program *program = NULL;
    enum pn_rc rc;

    operation->program = api->program;
    if (!own || api->is_broken)
        return PN_OK;
    keep(build, own);
    if (own->is_broken) {
        operation->is_broken = true;
        return PN_OK;
    }
    rc = compile_program(build, api_policy, own, &program);
    if (rc != PN_OK)
        return rc;
    api->own_programs[api->own_program_count++] = program;
    operation->program = program;
    return PN_OK;
}

static enum pn_rc add_operation(struct build *build, struct pn_item *item,
                                const struct pn_item *api_policy)
{
    struct pn_api *api = build->api;
    struct pn_operation *operation = &api->operations[api->operation_count];
    enum pn_rc rc;

    keep(build, item);
    operation->id = item->name;
    operation->method = text_or(item->properties, "method", "");
    operation->url_template = text_or(item->properties, "urlTemplate", "/");
    operation->is_broken = item->is_broken;
    rc = pn_route_tree_add(api->tree, pn_slice_str(operation->method),
                           pn_slice_str(operation->url_template), operation, build->err);
    if (rc == PN_NOMEM)
        return rc;
    if (rc != PN_OK) {
        pn_error_prefix(build->err, "%s", item->key);
        if (!build->keep_broken)
            return PN_INVALID;
        pn_log_error(PN_LOG_ERROR, "operation_left_out", build->err);
        return PN_OK; /* it is not routed: 404 */
    }
    rc = operation_program(build, item, api_policy, operation);
    if (rc == PN_OK)
        api->operation_count++;
    return rc;
}

static int compare_items(const void *a, const void *b)
{
    const struct pn_item *const *left = a;
    const struct pn_item *const *right = b;

    return strcmp((*left)->key, (*right)->key);
}

/** The children in the order of their keys, so that the same feed always compiles to the same. */
static enum pn_rc add_operations(struct build *build, const struct pn_item *api_policy)
{
    size_t count = pn_map_count(build->children);
    struct pn_item **sorted = calloc(count + 1, sizeof(*sorted));
    struct pn_slice key;
    size_t position = 0;
    size_t n = 0;
    void *value;
    enum pn_rc rc = PN_OK;

    if (!sorted)
        return out_of_memory(build);
    while (pn_map_next(build->children, &position, &key, &value))
        sorted[n++] = value;
    qsort(sorted, n, sizeof(struct pn_item *), compare_items);
    for (size_t i = 0; rc == PN_OK && i < n; i++) {
        if (sorted[i]->kind == PN_ITEM_OPERATION)
            rc = add_operation(build, sorted[i], api_policy);
    }
    free(sorted);
    return rc;
}

static enum pn_rc compile(struct build *build, struct pn_item *api_item)
{
    struct pn_api *api = build->api;
    struct pn_item *policy = child(build, api_item->key, "/policies/policy");
    size_t count = pn_map_count(build->children);
    enum pn_rc rc;

    build->item_capacity = count + 3;
    api->items = calloc(build->item_capacity, sizeof(*api->items));
    api->operations = calloc(count + 1, sizeof(*api->operations));
    api->own_programs = calloc(count + 1, sizeof(*api->own_programs));
    api->tree = pn_route_tree_create();
    if (!api->items || !api->operations || !api->own_programs || !api->tree)
        return pn_error_set(build->err, PN_NOMEM, "out_of_memory", "no memory for %s",
                            api_item->key);
    keep(build, api_item);
    rc = read_api(build, api_item);
    if (rc == PN_OK)
        rc = compile_api_program(build, policy);
    if (rc == PN_OK)
        rc = add_operations(build, policy);
    return rc;
}

enum pn_rc pn_api_compile(struct pn_item *api_item, const struct pn_map *children,
                          struct pn_item *global_policy, bool keep_broken, struct pn_api **out,
                          struct pn_error *err)
{
    struct pn_error own;
    struct build build = {.children = children,
                          .global_policy = global_policy,
                          .keep_broken = keep_broken,
                          .err = err ? err : &own};
    enum pn_rc rc;

    build.api = calloc(1, sizeof(*build.api));
    if (!build.api)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for %s", api_item->key);
    build.api->refs = 1;
    rc = compile(&build, api_item);
    if (rc == PN_OK) {
        *out = build.api;
        build.api = NULL;
    }
    pn_api_unref(build.api);
    return rc;
}
