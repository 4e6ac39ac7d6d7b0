/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths of resources below any scope, and whether a scope is there.
 */
#include <stdio.h>
#include <string.h>

#include "model/id.h"
#include "resource/resource_internal.h"

/* Position of the last "providers" that is followed by a namespace; count: none. */
static size_t last_providers(const struct pn_slice *segments, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        if (i + 1 < count && pn_slice_case_eq_str(segments[i], "providers"))
            return i;
    }
    return count;
}

bool pn_resource_serves(const struct pn_slice *segments, size_t count)
{
    static const char *const spaces[] = {"Microsoft.Authorization", "Microsoft.ManagedIdentity",
                                         "Microsoft.Network", NULL};
    size_t at = last_providers(segments, count);

    for (size_t i = 0; at < count && spaces[i]; i++) {
        if (pn_slice_case_eq_str(segments[at + 1], spaces[i]))
            return true;
    }
    return false;
}

enum pn_rc resource_path_read(const struct pn_resource_call *call, struct resource_path *path)
{
    size_t at = last_providers(call->segments, call->segment_count);
    struct pn_buf text;
    enum pn_rc rc = PN_OK;

    *path = (struct resource_path){.scope_count = at};
    if (at == call->segment_count)
        return PN_MALFORMED;
    pn_buf_init(&text, sizeof path->scope - 1);
    for (size_t i = 0; i < at && rc == PN_OK; i++)
        rc = pn_buf_printf(&text, "/%.*s", PN_FMT(pn_id_canonical(call->segments[i])));
    if (rc == PN_OK)
        snprintf(path->scope, sizeof path->scope, "%.*s", PN_FMT(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    path->space = call->segments[at + 1];
    path->rest = call->segments + at + 2;
    path->rest_count = call->segment_count - at - 2;
    return rc;
}

static bool is_there(struct pn_resource_call *call, const char *id, int *failed)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->plane->store, id, &item, &err);

    pn_store_item_fini(&item);
    *failed = rc != PN_OK && rc != PN_NOT_FOUND;
    if (*failed)
        pn_resource_failure(call, rc, &err);
    return rc == PN_OK;
}

/* The first `count` segments of the scope as an id. */
static void part_of_scope(const struct resource_path *path, size_t count,
                          char out[PN_RESOURCE_ID_TEXT])
{
    const char *at = path->scope;

    for (size_t i = 0; i < count && at; i++)
        at = strchr(at + 1, '/');
    snprintf(out, PN_RESOURCE_ID_TEXT, "%.*s",
             at ? (int)(at - path->scope) : (int)strlen(path->scope), path->scope);
}

bool resource_scope_exists(struct pn_resource_call *call, const struct resource_path *path)
{
    const struct pn_slice *at = call->segments;
    size_t count = path->scope_count;
    char id[PN_RESOURCE_ID_TEXT];
    int failed = 0;

    if (count == 0)
        return true;
    if (count < 2 || !pn_slice_case_eq_str(at[0], "subscriptions") ||
        !pn_slice_case_eq_str(at[1], call->plane->subscription_id)) {
        pn_resource_error(call, 404, "SubscriptionNotFound",
                          "The subscription '%.*s' could not be found.",
                          PN_FMT(count > 1 ? at[1] : at[0]));
        return false;
    }
    if (count == 2)
        return true;
    if (count == 3 || !pn_slice_case_eq_str(at[2], "resourceGroups")) {
        pn_resource_error(call, 400, "InvalidScope",
                          "The scope '%s' is neither a subscription, a resource group, a resource "
                          "nor something in one.",
                          path->scope);
        return false;
    }
    part_of_scope(path, 4, id);
    if (!is_there(call, id, &failed)) {
        if (!failed)
            pn_resource_error(call, 404, "ResourceGroupNotFound",
                              "Resource group '%.*s' could not be found.", PN_FMT(at[3]));
        return false;
    }
    if (count == 4)
        return true;
    if (count < 8 || count % 2 != 0 || !pn_slice_case_eq_str(at[4], "providers")) {
        pn_resource_error(call, 400, "InvalidScope",
                          "The scope '%s' is neither a subscription, a resource group, a resource "
                          "nor something in one.",
                          path->scope);
        return false;
    }
    /* What lies below a resource (an API, a secret) may come later: Azure does not ask either. */
    part_of_scope(path, 8, id);
    if (is_there(call, id, &failed))
        return true;
    if (!failed)
        pn_resource_error(
            call, 404, "ResourceNotFound",
            "The Resource '%.*s/%.*s/%.*s' under resource group '%.*s' was not found.",
            PN_FMT(at[5]), PN_FMT(at[6]), PN_FMT(at[7]), PN_FMT(at[3]));
    return false;
}
