/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends in …/networkstatus, each with the certificates that it names.
 */
#include <stdlib.h>
#include <string.h>

#include "arm/network_status.h"
#include "arm/probe_internal.h"

/* --- which certificates --- */

static bool add_certificate(const struct pn_store_item *item, json_t *list)
{
    return json_array_append_new(
               list, arm_probe_certificate(pn_json_str(item->body, "name"),
                                           json_object_get(item->body, "internal"))) == 0;
}

bool arm_network_add_certificate(struct arm_call *call, const char *id, json_t *list)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    bool is_there = id && pn_store_get(call->arm->config.store, id, &item, &err) == PN_OK &&
                    add_certificate(&item, list);

    pn_store_item_fini(&item);
    return is_there;
}

bool arm_network_add_thumbprint(struct arm_call *call, const char *prefix, struct pn_slice text,
                                json_t *list)
{
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_store_list found = {0};
    struct pn_error err = {0};
    bool is_there = pn_thumbprint_parse(text, thumbprint) &&
                    pn_store_list_thumbprint(call->arm->config.store, prefix,
                                             pn_type_facts(PN_TYPE_CERTIFICATE)->type, thumbprint,
                                             &found, &err) == PN_OK &&
                    found.count > 0 && add_certificate(&found.items[0], list);

    pn_store_list_fini(&found);
    return is_there;
}

/* Those that the backend shows: by name, else by thumbprint; of its own workspace or service. */
static json_t *certificates_of(struct arm_call *call, const struct pn_store_item *backend,
                               const json_t *properties)
{
    const json_t *names =
        json_object_get(json_object_get(backend->body, "internal"), "certificateIds");
    const json_t *thumbprints =
        json_object_get(json_object_get(properties, "credentials"), "certificate");
    const char *mark = strcasestr(backend->id, "/backends/");
    const char *prefix = mark ? pn_arena_printf(call->arena, "%.*s/certificates/",
                                                (int)(mark - backend->id), backend->id)
                              : NULL;
    json_t *list = json_array();
    const json_t *entry;
    size_t i;

    if (!prefix)
        return list;
    json_array_foreach(names, i, entry)
    {
        if (i < PN_CERTIFICATE_REFS_MAX)
            (void)arm_network_add_certificate(
                call, pn_arena_printf(call->arena, "%s%s", prefix, json_string_value(entry)), list);
    }
    if (json_array_size(names) > 0)
        return list;
    json_array_foreach(thumbprints, i, entry)
    {
        if (i < PN_CERTIFICATE_REFS_MAX)
            (void)arm_network_add_thumbprint(
                call, prefix, pn_slice(json_string_value(entry), json_string_length(entry)), list);
    }
    return list;
}

bool arm_network_is_of_a_policy(struct arm_call *call, const char *backend_id)
{
    struct pn_store_list users = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    bool is = false;

    if (pn_store_begin(call->arm->config.store, &txn, &err) == PN_OK &&
        pn_store_users(txn, backend_id, &users, &err) == PN_OK) {
        for (size_t i = 0; i < users.count && !is; i++)
            is = strcasestr(users.items[i].id, "/policies/") ||
                 strcasestr(users.items[i].id, "/policyFragments/");
    }
    pn_store_rollback(txn);
    pn_store_list_fini(&users);
    return is;
}

/* --- the questions --- */

static void make_question(struct arm_call *call, const struct pn_store_item *backend,
                          struct arm_network_question *question)
{
    const char *name = strrchr(backend->id, '/') + 1;
    struct pn_error err = {0};
    json_t *properties = NULL;
    bool is_tls = false;

    *question = (struct arm_network_question){
        .type = "Backend",
        .more = json_pack("{s:s}", "backend", name),
        .why = "the backend's url cannot be tried",
    };
    (void)snprintf(question->url, sizeof(question->url), "%s", name);
    if (arm_backend_open(call->arm, backend, &properties, &err) != PN_OK)
        return;
    question->json =
        arm_network_question(pn_json_slice(properties, "url"), properties, &is_tls, question->url);
    if (question->json && is_tls) {
        json_t *certificates = certificates_of(call, backend, properties);

        if (json_array_size(certificates) == 0)
            question->bare_backend = pn_arena_strdup(call->arena, pn_slice_str(backend->id));
        (void)json_object_set_new(question->json, "certificates", certificates);
    }
    json_decref(properties);
}

bool arm_network_add_backends(struct arm_call *call, json_t *list, size_t *left_out)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/", call->service_id);
    struct arm_network_question *questions =
        pn_arena_zalloc(call->arena, PN_NETWORK_TRIED_MAX * sizeof(*questions));
    struct pn_store_list backends = {0};
    struct pn_error err = {0};
    size_t count = 0;
    bool is_fine = prefix && questions &&
                   pn_store_list(call->arm->config.store, prefix,
                                 pn_type_facts(PN_TYPE_BACKEND)->type, &backends, &err) == PN_OK;

    for (size_t i = 0; is_fine && i < backends.count; i++) {
        const json_t *properties = json_object_get(backends.items[i].body, "properties");

        if (pn_slice_case_eq_str(pn_json_slice(properties, "type"), "Pool"))
            continue; /* it is its members */
        if (count == PN_NETWORK_TRIED_MAX)
            (*left_out)++;
        else
            make_question(call, &backends.items[i], &questions[count++]);
    }
    pn_store_list_fini(&backends);
    return is_fine && arm_network_ask(call, questions, count, list);
}
