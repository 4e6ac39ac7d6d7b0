/* SPDX-License-Identifier: Apache-2.0
 *
 * One API with its operations and policies becomes a struct pn_api, when a request first needs it.
 * Its entry holds every item that it borrows from, and it keeps them open.
 */
#include "gateway/snapshot_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct build {
    struct pn_api *api;
    const struct pn_api_entry *entry;
    struct pn_item *const *bases; /* the entry's */
    bool keep_broken;
    struct pn_error *err;
};

static void api_destroy(struct pn_api *api)
{
    if (!api)
        return;
    pn_api_products_fini(api);
    pn_route_tree_destroy(api->tree);
    for (size_t i = 0; i < api->own_program_count; i++)
        pn_policy_program_destroy(api->own_programs[i]);
    pn_policy_program_destroy(api->program);
    free(api->own_programs);
    free(api->operations);
    free(api);
}

static enum pn_rc out_of_memory(struct build *build)
{
    return pn_error_set(build->err, PN_NOMEM, "out_of_memory", "no memory for API %s",
                        build->entry->items[0]->key);
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
    api->scope = pn_item_scope(item->key);
    api->id = item->name;
    api->name = text_or(item->properties, "displayName", item->name);
    api->revision = text_or(item->properties, "apiRevision", "1");
    api->version = pn_json_str(item->properties, "apiVersion");
    api->path = build->entry->path;
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
    static const enum pn_policy_scope scopes[] = {PN_SCOPE_GLOBAL, PN_SCOPE_WORKSPACE, PN_SCOPE_API,
                                                  PN_SCOPE_OPERATION};
    const struct pn_policy_document *documents[] = {
        build->bases[0] ? build->bases[0]->as.policy : NULL,
        build->bases[1] ? build->bases[1]->as.policy : NULL,
        api_policy ? api_policy->as.policy : NULL,
        own ? own->as.policy : NULL,
    };

    memcpy(build->api->documents, documents, sizeof(build->api->documents));

    return pn_policy_compile(documents, scopes, own ? 4 : 3, program, build->err);
}

/** Marks the API when a document that all its operations stand on cannot be used. */
static enum pn_rc compile_api_program(struct build *build, struct pn_item *api_policy)
{
    struct pn_api *api = build->api;
    struct pn_item *const documents[] = {build->bases[0], build->bases[1], api_policy};

    for (size_t i = 0; i < 1 + PN_API_BASES; i++) {
        if (documents[i] && documents[i]->is_broken) {
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
    size_t prefix_len = strlen(prefix);
    size_t low = 0;
    size_t high = build->entry->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct pn_item *item = build->entry->items[middle];
        int order = strncmp(prefix, item->key, prefix_len);

        if (order == 0)
            order = strcmp(suffix, item->key + prefix_len);
        if (order == 0)
            return item;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
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
    if (own->is_broken) {
        operation->is_broken = true;
        return PN_OK;
    }
    rc = compile_program(build, api_policy, own, &program);
    if (rc != PN_OK)
        return rc;
    api->own_programs[api->own_program_count++] = program;
    operation->program = program;
    operation->document = own->as.policy;
    return PN_OK;
}

static enum pn_rc add_operation(struct build *build, struct pn_item *item,
                                const struct pn_item *api_policy)
{
    struct pn_api *api = build->api;
    struct pn_operation *operation = &api->operations[api->operation_count];
    enum pn_rc rc;

    operation->id = item->name;
    operation->name = text_or(item->properties, "displayName", item->name);
    operation->index = api->operation_count;
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

/** In the order of their keys, so that the same feed always compiles to the same. */
static enum pn_rc add_operations(struct build *build, const struct pn_item *api_policy)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < build->entry->count; i++) {
        if (build->entry->items[i]->kind == PN_ITEM_OPERATION)
            rc = add_operation(build, build->entry->items[i], api_policy);
    }
    return rc;
}

static enum pn_rc compile(struct build *build, struct pn_item *api_item)
{
    struct pn_api *api = build->api;
    struct pn_item *policy = child(build, api_item->key, "/policies/policy");
    size_t count = build->entry->count;
    enum pn_rc rc;

    assert(count < UINT32_MAX); /* PN_CATALOG_ITEMS_MAX is far below */
    api->operations = calloc(count + 1, sizeof(*api->operations));
    api->own_programs = calloc(count + 1, sizeof(*api->own_programs));
    api->tree = pn_route_tree_create();
    if (!api->operations || !api->own_programs || !api->tree)
        return out_of_memory(build);
    rc = read_api(build, api_item);
    if (rc == PN_OK)
        rc = compile_api_program(build, policy);
    if (rc == PN_OK)
        rc = add_operations(build, policy);
    if (rc == PN_OK)
        rc = pn_api_products_read(api, build->entry);
    return rc == PN_NOMEM ? out_of_memory(build) : rc;
}

/* --- entries --- */

static struct pn_item *item_at(const struct pn_api_entry *entry, size_t i)
{
    return entry->items[i]; /* also the bases, behind the others */
}

static void close_items(const struct pn_api_entry *entry, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (item_at(entry, i))
            pn_item_close_locked(item_at(entry, i));
    }
}

static enum pn_rc open_items(const struct pn_api_entry *entry)
{
    for (size_t i = 0; i < entry->count + entry->base_count; i++) {
        struct pn_item *item = item_at(entry, i);
        enum pn_rc rc = item ? pn_item_open_locked(item) : PN_OK;

        if (rc != PN_OK) {
            close_items(entry, i);
            return rc;
        }
    }
    return PN_OK;
}

/** The lock is held. */
static enum pn_rc compile_entry(struct pn_api_entry *entry, bool keep_broken, struct pn_error *err)
{
    struct pn_error own;
    struct build build = {.entry = entry,
                          .bases = entry->items + entry->count,
                          .keep_broken = keep_broken,
                          .err = err ? err : &own};
    enum pn_rc rc;

    build.api = calloc(1, sizeof(*build.api));
    rc = build.api ? open_items(entry) : PN_NOMEM;
    if (rc != PN_OK) {
        api_destroy(build.api);
        return pn_error_set(err, rc, "out_of_memory", "no memory for %s", entry->items[0]->key);
    }
    rc = compile(&build, entry->items[0]);
    if (rc == PN_OK) {
        atomic_store_explicit(&entry->api, build.api, memory_order_release);
        return PN_OK;
    }
    api_destroy(build.api);
    close_items(entry, entry->count + entry->base_count);
    return rc;
}

enum pn_rc pn_api_entry_check(struct pn_api_entry *entry, struct pn_error *err)
{
    enum pn_rc rc;

    pthread_mutex_lock(&entry->house->lock);
    rc = compile_entry(entry, false, err);
    pthread_mutex_unlock(&entry->house->lock);
    return rc;
}

const struct pn_api *pn_api_entry_use(struct pn_api_entry *entry)
{
    static const struct pn_api no_memory = {.key = "",
                                            .id = "",
                                            .path = "",
                                            .allows_http = true,
                                            .allows_https = true,
                                            .key_header = PN_SUBSCRIPTION_HEADER,
                                            .key_query = PN_SUBSCRIPTION_QUERY,
                                            .is_broken = true,
                                            .broken_reason = "no memory to compile the API"};
    const struct pn_api *api = atomic_load_explicit(&entry->api, memory_order_acquire);

    if (api)
        return api;
    pthread_mutex_lock(&entry->house->lock);
    api = atomic_load_explicit(&entry->api, memory_order_relaxed);
    if (!api && compile_entry(entry, true, NULL) == PN_OK)
        api = atomic_load_explicit(&entry->api, memory_order_relaxed);
    pthread_mutex_unlock(&entry->house->lock);
    return api ? api : &no_memory;
}

void pn_api_entry_shut(struct pn_api_entry *entry)
{
    struct pn_api *api;

    pthread_mutex_lock(&entry->house->lock);
    api = atomic_load_explicit(&entry->api, memory_order_relaxed);
    if (api) {
        atomic_store_explicit(&entry->api, NULL, memory_order_relaxed);
        api_destroy(api);
        close_items(entry, entry->count + entry->base_count);
    }
    pthread_mutex_unlock(&entry->house->lock);
}

void pn_api_entry_unref(struct pn_api_entry *entry)
{
    if (!entry || --entry->refs > 0)
        return;
    pn_api_entry_shut(entry);
    for (size_t i = 0; i < entry->count + entry->base_count; i++)
        pn_item_unref(item_at(entry, i));
    free(entry);
}

/** What routing has to know of an API that is not compiled. PN_NOMEM, or why it has no path. */
static enum pn_rc read_place(struct pn_item *item, char **path, bool *is_current,
                             struct pn_error *err)
{
    const char *text;
    json_t *json = NULL;
    const json_t *properties = item->properties;
    enum pn_rc rc = PN_OK;

    if (!properties) {
        rc = pn_json_parse(pn_slice(item->text, item->text_bytes), &json, err);
        properties = json_object_get(json, "properties");
    }
    if (rc == PN_OK) {
        text = text_or(properties, "path", "");
        while (*text == '/')
            text++;
        *path = pn_slice_dup(pn_slice_str(text));
        *is_current = pn_json_bool(properties, "isCurrent", true);
        if (!*path)
            rc = PN_NOMEM;
    }
    json_decref(json);
    return rc;
}

enum pn_rc pn_api_entry_create(struct pn_item *api_item, struct pn_item *const *items, size_t count,
                               struct pn_item *const *bases, size_t base_count,
                               const struct pn_api_entry *former, struct pn_api_entry **out)
{
    struct pn_error reason = {.rc = PN_OK};
    struct pn_api_entry *entry;
    char *path = NULL;
    bool is_current = false;
    enum pn_rc rc = PN_OK;

    if (former && former->items[0] == api_item && former->is_routed) {
        path = pn_slice_dup(pn_slice_str(former->path));
        is_current = former->is_current;
        rc = path ? PN_OK : PN_NOMEM;
    } else {
        pthread_mutex_lock(&api_item->house->lock);
        rc = read_place(api_item, &path, &is_current, &reason);
        pthread_mutex_unlock(&api_item->house->lock);
    }
    if (rc == PN_NOMEM)
        return rc;
    if (rc != PN_OK) {
        pn_error_prefix(&reason, "%s", api_item->key);
        pn_log_error(PN_LOG_ERROR, "api_not_routed", &reason);
    }
    entry = calloc(1, sizeof(*entry) + (count + base_count) * sizeof(struct pn_item *) +
                          (path ? strlen(path) : 0) + 1);
    if (!entry) {
        free(path);
        return PN_NOMEM;
    }
    entry->refs = 1;
    atomic_init(&entry->api, NULL);
    entry->house = api_item->house;
    entry->is_current = is_current;
    entry->is_routed = path != NULL;
    entry->count = (uint32_t)count;
    entry->base_count = (uint32_t)base_count;
    for (size_t i = 0; i < count; i++)
        entry->items[i] = pn_item_ref(items[i]);
    for (size_t i = 0; i < base_count; i++)
        entry->items[count + i] = bases[i] ? pn_item_ref(bases[i]) : NULL;
    entry->path = (char *)&entry->items[count + base_count];
    if (path)
        memcpy(entry->path, path, strlen(path) + 1);
    free(path);
    *out = entry;
    return PN_OK;
}
