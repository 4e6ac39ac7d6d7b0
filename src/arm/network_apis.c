/* SPDX-License-Identifier: Apache-2.0
 *
 * The APIs in …/networkstatus that send to a URL by themselves: to their serviceUrl, or to the
 * base-url of a policy. The certificate is the one that the policies of service, workspace and API
 * name together; what an operation's own policy changes is not looked at. APIs that are alike in
 * all of this are tried once.
 */
#include <string.h>
#include <strings.h>

#include "arm/network_status.h"
#include "arm/probe_internal.h"
#include "policy/policy.h"

#define APIS_MAX 1000 /* looked at */

struct scope_policy {
    const char *id; /* of what the policy is of; in the arena */
    struct pn_policy_document *document;
};

struct collection {
    struct arm_call *call;
    struct scope_policy service, workspace; /* read once */
    struct arm_network_question *questions;
    size_t count, left_out;
};

/* --- policies --- */

/* NULL: there is none (or it cannot be read, which the gateway will have told). */
static struct pn_policy_document *read_policy(struct arm_call *call, const char *owner,
                                              enum pn_policy_scope scope)
{
    const char *id = pn_arena_printf(call->arena, "%s/policies/policy", owner);
    struct pn_policy_document *document = NULL;
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *properties = NULL;

    if (id && pn_store_get(call->arm->config.store, id, &item, &err) == PN_OK &&
        arm_policy_open_resolved(call->arm, &item, &properties, &err) == PN_OK &&
        pn_policy_parse_resolved(pn_json_slice(properties, "value"), scope, &document, &err) !=
            PN_OK)
        document = NULL;
    json_decref(properties);
    pn_store_item_fini(&item);
    return document;
}

/* The workspace that the API is in; NULL: in none. */
static const char *workspace_of(struct arm_call *call, const char *api_id)
{
    const char *end = strcasestr(api_id, "/apis/");
    const char *mark = strcasestr(api_id, "/workspaces/");

    return end && mark && mark < end
               ? pn_arena_strdup(call->arena, pn_slice(api_id, (size_t)(end - api_id)))
               : NULL;
}

static const struct pn_policy_document *workspace_policy(struct collection *all, const char *id)
{
    if (!id)
        return NULL;
    if (!all->workspace.id || strcasecmp(all->workspace.id, id) != 0) {
        pn_policy_document_destroy(all->workspace.document);
        all->workspace = (struct scope_policy){id, read_policy(all->call, id, PN_SCOPE_WORKSPACE)};
    }
    return all->workspace.document;
}

/* --- the question --- */

/* Where and as whom; slices are the documents', which outlive it. */
struct api {
    const struct pn_store_item *item;
    const char *scope_id; /* of its workspace, or of the service */
    struct pn_policy_way way;
};

static void fail(struct arm_network_question *question, const char *code, const char *why)
{
    json_decref(question->json);
    question->json = NULL;
    question->code = code;
    question->why = why;
}

static bool add_named(const struct collection *all, const struct api *api, json_t *list)
{
    const struct pn_policy_way *way = &api->way;
    struct arm_call *call = all->call;
    const char *scope =
        way->certificate_scope == PN_SCOPE_GLOBAL ? call->service_id : api->scope_id;
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", scope);
    bool is_fine = prefix != NULL;

    if (is_fine && way->certificate_id.ptr)
        return arm_network_add_certificate(
            call, pn_arena_printf(call->arena, "%s%.*s", prefix, PN_FMT(way->certificate_id)),
            list);
    if (is_fine && way->certificate_thumbprint.ptr)
        return arm_network_add_thumbprint(call, prefix, way->certificate_thumbprint, list);
    if (is_fine && way->certificate_embedded.ptr)
        return arm_network_add_certificate(call,
                                           pn_arena_printf(call->arena, "%s/posternEmbedded/%.*s",
                                                           scope,
                                                           PN_FMT(way->certificate_embedded)),
                                           list);
    for (size_t i = 0; is_fine && i < way->certificate_id_count; i++)
        is_fine = arm_network_add_certificate(
            call, pn_arena_printf(call->arena, "%s%.*s", prefix, PN_FMT(way->certificate_ids[i])),
            list);
    return is_fine;
}

/* Says which: "certificates" and "certificateFrom" of the entry. */
static void set_certificates(const struct collection *all, const struct api *api, bool is_tls,
                             struct arm_network_question *question)
{
    static const char *const owners[] = {[PN_SCOPE_GLOBAL] = "the policy of the service",
                                         [PN_SCOPE_WORKSPACE] = "the policy of the workspace",
                                         [PN_SCOPE_PRODUCT] = "the policy of a product",
                                         [PN_SCOPE_API] = "the policy of the API",
                                         [PN_SCOPE_OPERATION] = "the policy of an operation"};
    const struct pn_policy_way *way = &api->way;
    bool is_named = way->certificate_id.ptr || way->certificate_thumbprint.ptr ||
                    way->certificate_embedded.ptr || way->certificate_id_count > 0;
    json_t *list = json_array(), *names = json_array(), *entry;
    size_t i;

    if (is_named && !way->depends && !add_named(all, api, list))
        fail(question, "certificate_unknown",
             "the policies name a client certificate that is not there");
    else if (is_named && !way->depends && !is_tls)
        fail(question, "certificate_needs_tls",
             "a client certificate can be presented to an https:// backend only");
    json_array_foreach(list, i, entry)
    {
        (void)json_array_append(names, json_object_get(entry, "name"));
    }
    (void)json_object_set(question->more, "certificates", names);
    (void)json_object_set_new(question->more, "certificateFrom",
                              json_string(way->depends ? "decided by each request: tried with none"
                                          : is_named   ? owners[way->certificate_scope]
                                                       : "no policy names one"));
    if (question->json && is_tls)
        (void)json_object_set(question->json, "certificates", list);
    json_decref(names);
    json_decref(list);
}

/* The same as one that is tried already: its name is added there. */
static bool is_known(const struct collection *all, const struct arm_network_question *question)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct arm_network_question *known = &all->questions[i];

        if (known->code == question->code && strcmp(known->url, question->url) == 0 &&
            (known->json == question->json || json_equal(known->json, question->json)) &&
            json_equal(json_object_get(known->more, "certificateFrom"),
                       json_object_get(question->more, "certificateFrom"))) {
            (void)json_array_extend(json_object_get(known->more, "apis"),
                                    json_object_get(question->more, "apis"));
            return true;
        }
    }
    return false;
}

static void add(struct collection *all, const struct api *api)
{
    const json_t *properties = json_object_get(api->item->body, "properties");
    struct pn_slice url =
        api->way.base_url.ptr ? api->way.base_url : pn_json_slice(properties, "serviceUrl");
    struct arm_network_question question = {
        .type = "Api",
        .more = json_pack("{s:[s]}", "apis",
                          api->item->id + strlen(all->call->service_id) + strlen("/")),
        .why = "the API's serviceUrl cannot be tried",
    };
    bool is_tls = false;

    if (!question.more)
        return;
    (void)snprintf(question.url, sizeof(question.url), "%.*s",
                   PN_FMT(pn_slice_sub(url, 0, sizeof(question.url) - 1)));
    question.json = arm_network_question(url, NULL, &is_tls, question.url);
    set_certificates(all, api, is_tls, &question);
    if (!is_known(all, &question)) {
        if (all->count < PN_NETWORK_TRIED_MAX) {
            all->questions[all->count++] = question;
            return;
        }
        all->left_out++;
    }
    json_decref(question.json);
    json_decref(question.more);
}

static void look_at(struct collection *all, const struct pn_store_item *item)
{
    static const enum pn_policy_scope scopes[] = {PN_SCOPE_GLOBAL, PN_SCOPE_WORKSPACE,
                                                  PN_SCOPE_API};
    const json_t *properties = json_object_get(item->body, "properties");
    const char *workspace = workspace_of(all->call, item->id);
    struct api api = {.item = item, .scope_id = workspace ? workspace : all->call->service_id};
    struct pn_policy_document *own = read_policy(all->call, item->id, PN_SCOPE_API);
    const struct pn_policy_document *documents[] = {all->service.document,
                                                    workspace_policy(all, workspace), own};
    struct pn_policy_program *program = NULL;
    struct pn_error err = {0};

    if (pn_policy_compile(documents, scopes, 3, &program, &err) == PN_OK) {
        pn_policy_program_way(program, &api.way);
        if (!api.way.sends_nothing && !api.way.backend_id.ptr &&
            (api.way.base_url.ptr || pn_json_slice(properties, "serviceUrl").len > 0))
            add(all, &api);
    }
    pn_policy_program_destroy(program);
    pn_policy_document_destroy(own);
}

bool arm_network_add_apis(struct arm_call *call, json_t *list, size_t *left_out)
{
    const char *type = pn_type_facts(PN_TYPE_API)->type;
    const char *prefix = pn_arena_printf(call->arena, "%s/", call->service_id);
    struct collection all = {
        .call = call,
        .questions = pn_arena_zalloc(call->arena, PN_NETWORK_TRIED_MAX * sizeof(*all.questions)),
    };
    struct pn_store_list apis = {0};
    struct pn_error err = {0};
    uint64_t count = 0;
    bool is_fine = prefix && all.questions &&
                   pn_store_part(call->arm->config.store, prefix, type, 0, APIS_MAX, false, &apis,
                                 &count, &err) == PN_OK;

    if (is_fine)
        all.service.document = read_policy(call, call->service_id, PN_SCOPE_GLOBAL);
    for (size_t i = 0; i < apis.count; i++)
        look_at(&all, &apis.items[i]);
    *left_out += all.left_out + (count > apis.count ? (size_t)count - apis.count : 0);
    pn_policy_document_destroy(all.service.document);
    pn_policy_document_destroy(all.workspace.document);
    pn_store_list_fini(&apis);
    return is_fine && arm_network_ask(call, all.questions, all.count, list);
}
