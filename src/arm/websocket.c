/* SPDX-License-Identifier: Apache-2.0
 *
 * APIs of type websocket: what is different about them. Their one operation, onHandshake, is made
 * with the API; it can carry a policy and cannot be changed.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "http/uri.h"

#define HANDSHAKE "onHandshake"

bool arm_is_websocket(const json_t *properties)
{
    const char *type = pn_json_str(properties, "type");

    return type && strcmp(type, "websocket") == 0;
}

static bool is_websocket_scheme(struct pn_slice scheme)
{
    return pn_slice_case_eq_str(scheme, "ws") || pn_slice_case_eq_str(scheme, "wss");
}

void arm_websocket_check(struct pn_problems *problems, const json_t *properties,
                         const struct pn_store_item *former)
{
    const json_t *protocols = json_object_get(properties, "protocols");
    const json_t *before = former->id ? json_object_get(former->body, "properties") : NULL;
    struct pn_slice url = pn_json_slice(properties, "serviceUrl");
    struct pn_uri uri;

    if (before && arm_is_websocket(before) != arm_is_websocket(properties))
        pn_problem_add(problems, "type", "The type of an API cannot be changed.");
    if (!arm_is_websocket(properties))
        return;
    if (url.len == 0 || pn_uri_parse(url, &uri, NULL) != PN_OK || !is_websocket_scheme(uri.scheme))
        pn_problem_add(problems, "serviceUrl",
                       "'serviceUrl' of an API of type websocket must start with ws:// or wss://.");
    for (size_t i = 0; i < json_array_size(protocols); i++)
        if (!is_websocket_scheme(pn_slice_str(json_string_value(json_array_get(protocols, i)))))
            pn_problem_add(problems, "protocols",
                           "'protocols' of an API of type websocket can be ws and wss.");
}

enum pn_rc arm_websocket_add_handshake(struct arm_call *call, struct pn_store_txn *txn,
                                       struct pn_error *err)
{
    const char *id = pn_arena_printf(call->arena, "%s/operations/" HANDSHAKE, call->id);
    struct pn_store_item former = {0};
    json_t *body = NULL;
    enum pn_rc rc;

    if (!id)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_get(txn, id, &former, err);
    pn_store_item_fini(&former);
    if (rc != PN_NOT_FOUND)
        return rc;
    body = json_pack("{s:s,s:{s:s,s:s,s:s,s:[],s:[]}}", "name", HANDSHAKE, "properties",
                     "displayName", HANDSHAKE, "method", "GET", "urlTemplate", "/",
                     "templateParameters", "responses");
    rc = body ? pn_store_put(txn, id, pn_type_facts(PN_TYPE_OPERATION)->type, body, NULL, err)
              : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(body);
    return rc;
}

bool arm_websocket_keeps_operations(struct arm_call *call)
{
    struct pn_store_item parent = {0};
    struct pn_error err = {0};
    bool is_websocket = false;

    if (pn_store_get(call->arm->config.store, call->parent_id, &parent, &err) == PN_OK)
        is_websocket = arm_is_websocket(json_object_get(parent.body, "properties"));
    pn_store_item_fini(&parent);
    if (is_websocket)
        arm_answer_error(call, 400, "ValidationError",
                         "Operation entity cannot be defined by user for web socket api type.");
    return is_websocket;
}
