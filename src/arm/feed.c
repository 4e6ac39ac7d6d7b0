/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway gets to see of a stored item. Nothing that only the management plane needs goes
 * along: no sealed members, no bookkeeping of the embedded authority.
 */
#include <stdlib.h>
#include <string.h>

#include "arm/arm_internal.h"

void pn_arm_feed_item_fini(struct pn_arm_feed_item *item)
{
    if (!item)
        return;
    free(item->key);
    item->key = NULL;
    pn_buf_fini(&item->json);
}

/** The path below the service, in lower case; "/" for the service itself. NULL: no memory. */
static char *make_key(const char *id, struct pn_error *err)
{
    struct pn_id parsed;
    const char *rest = NULL;
    char *key = NULL;

    if (pn_id_parse(pn_slice_str(id), &parsed, err) != PN_OK || parsed.part_count == 0) {
        pn_error_set(err, PN_INTERNAL, "bad_id", "'%.300s' is stored under a bad id", id);
        return NULL;
    }
    rest = parsed.parts[0].name.ptr + parsed.parts[0].name.len;
    key = strdup(*rest ? rest : "/");
    if (!key)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    for (char *c = key; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return key;
}

/** Members of internal that stay here. */
static json_t *gateway_internal(const struct pn_store_item *item)
{
    static const char *const kept_here[] = {
        "sealed", "sealedKeys", "systemAssigned", "generations", "resolved", "through", NULL};
    json_t *internal = json_object_get(item->body, "internal");
    json_t *copy = internal ? json_copy(internal) : json_object();

    for (size_t i = 0; copy && kept_here[i]; i++)
        (void)json_object_del(copy, kept_here[i]);
    return copy;
}

static enum pn_rc make_json(struct pn_arm *arm, const struct pn_store_item *item, enum pn_type type,
                            struct pn_buf *json, struct pn_error *err)
{
    json_t *properties = NULL;
    json_t *internal = NULL;
    json_t *document = NULL;
    const char *name = pn_json_str(item->body, "name");
    enum pn_rc rc = PN_OK;

    if (type == PN_TYPE_BACKEND)
        rc = arm_backend_open_resolved(arm, item, &properties, err);
    else if (strcmp(pn_type_facts(type)->feed, "policy") == 0)
        rc = arm_policy_open_resolved(arm, item, &properties, err);
    else
        properties = json_incref(json_object_get(item->body, "properties"));
    if (rc != PN_OK)
        return rc;
    if (type == PN_TYPE_TOKEN)
        rc = arm_token_open(arm, item, &internal, err);
    else
        internal = gateway_internal(item);
    if (rc != PN_OK) {
        json_decref(properties);
        return rc;
    }
    if (type == PN_TYPE_SERVICE && json_object_get(item->body, "location"))
        (void)json_object_set(internal, "location", json_object_get(item->body, "location"));
    document =
        json_pack("{s:s,s:o,s:o}", "name", name ? name : strrchr(item->id, '/') + 1, "properties",
                  properties ? properties : json_object(), "internal", internal);
    if (!document)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_json_dump(document, json);
    if (rc != PN_OK)
        pn_error_set(err, rc, "feed_item", "'%.300s' is too large for the feed", item->id);
    json_decref(document);
    return rc;
}

/** Host names of other endpoints than the gateway are only kept. The type is part of the id, so one
 * never becomes the other. */
static bool is_gateways_hostname(const struct pn_store_item *item, enum pn_type type)
{
    if (type != PN_TYPE_HOSTNAME || !item->body)
        return true;
    return pn_slice_eq_str(pn_json_slice(json_object_get(item->body, "properties"), "type"),
                           "Proxy");
}

enum pn_rc pn_arm_feed_item(struct pn_arm *arm, const struct pn_store_item *item,
                            struct pn_arm_feed_item *out, struct pn_error *err)
{
    enum pn_type type = PN_TYPE_COUNT;
    enum pn_rc rc = PN_OK;

    memset(out, 0, sizeof(*out));
    if (!pn_type_from_text(item->type, &type) || !pn_type_facts(type)->feed ||
        !is_gateways_hostname(item, type))
        return pn_error_set(err, PN_NOT_FOUND, "not_in_feed", "the gateway does not need '%.200s'",
                            item->type);
    pn_buf_init_secret(&out->json, 2 * PN_STORE_BODY_MAX);
    out->type = pn_type_facts(type)->feed;
    out->is_deleted = item->body == NULL;
    out->key = make_key(item->id, err);
    if (!out->key)
        return err ? err->rc : PN_NOMEM;
    if (!out->is_deleted)
        rc = make_json(arm, item, type, &out->json, err);
    if (rc != PN_OK)
        pn_arm_feed_item_fini(out);
    return rc;
}
