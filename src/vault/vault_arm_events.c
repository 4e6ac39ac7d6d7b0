/* SPDX-License-Identifier: Apache-2.0
 *
 * …/vaults/{vault}/providers/Microsoft.EventGrid/eventSubscriptions: webhooks that a vault tells
 * what happens in it, in the Event Grid schema. An endpoint proves with the validation handshake
 * that it wants them.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "vault/vault_arm.h"
#include "vault/vault_event.h"

#define SUBSCRIPTIONS_MAX 64 /* of one vault */
#define NAME_MAX_BYTES    64
#define ANSWER_MAX        (16u * 1024)
#define CODE_BYTES        32
#define VALIDATION_TYPE   "Microsoft.EventGrid.SubscriptionValidationEvent"

static void subscription_id(const struct arm_call *call, struct pn_slice name,
                            char id[2 * VAULT_ID_TEXT])
{
    snprintf(id, 2 * VAULT_ID_TEXT, "%s/providers/" SUBSCRIPTION_TYPE "/%.*s", call->vault_id,
             PN_FMT(name));
}

static bool name_is_valid(struct pn_slice name)
{
    bool is_fine = name.len >= 3 && name.len <= NAME_MAX_BYTES;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        is_fine = is_fine && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z') || c == '-');
    }
    return is_fine;
}

/* The URL's query may hold the endpoint's secret: it is shown to who asks for the full URL only. */
static json_t *subscription_json(const struct pn_store_item *item)
{
    return json_pack("{s:s, s:O, s:s, s:O}", "id", item->id, "name",
                     json_object_get(item->body, "name"), "type", SUBSCRIPTION_TYPE, "properties",
                     json_object_get(item->body, "properties"));
}

static enum pn_rc invalid(struct pn_error *err, const char *member, const char *why)
{
    return pn_error_set(err, PN_INVALID, "InvalidRequest", "properties.%s: %s", member, why);
}

static enum pn_rc check_filter(const json_t *filter, struct pn_error *err)
{
    const json_t *types = json_object_get(filter, "includedEventTypes");
    json_t *entry;
    size_t index;

    if (filter && !json_is_null(filter) && !json_is_object(filter))
        return invalid(err, "filter", "an object");
    if (types && !json_is_null(types) && (!json_is_array(types) || json_array_size(types) > 32))
        return invalid(err, "filter.includedEventTypes", "a list of at most 32 event types");
    json_array_foreach(types, index, entry)
    {
        if (!pn_slice_starts_with(pn_slice(json_string_value(entry), json_string_length(entry)),
                                  PN_LIT("Microsoft.KeyVault.")) &&
            !pn_slice_eq_str(pn_slice(json_string_value(entry), json_string_length(entry)), "All"))
            return invalid(err, "filter.includedEventTypes",
                           "event types like Microsoft.KeyVault.SecretNewVersionCreated");
    }
    if (json_array_size(json_object_get(filter, "advancedFilters")) > 0)
        return invalid(err, "filter.advancedFilters", "advanced filters are not offered");
    return PN_OK;
}

static enum pn_rc check_properties(const json_t *properties, struct pn_error *err)
{
    const json_t *destination = json_object_get(properties, "destination");
    struct pn_slice schema = pn_json_slice(properties, "eventDeliverySchema");
    const json_t *retry = json_object_get(properties, "retryPolicy");
    int64_t attempts = pn_json_int(retry, "maxDeliveryAttempts", 30);
    int64_t minutes = pn_json_int(retry, "eventTimeToLiveInMinutes", 1440);

    if (!pn_slice_case_eq_str(pn_json_slice(destination, "endpointType"), "WebHook"))
        return invalid(err, "destination.endpointType", "this vault tells webhooks (WebHook)");
    if (schema.len > 0 && !pn_slice_case_eq_str(schema, "EventGridSchema"))
        return invalid(err, "eventDeliverySchema", "this vault speaks EventGridSchema");
    if (attempts < 1 || attempts > 30 || minutes < 1 || minutes > 1440)
        return invalid(err, "retryPolicy",
                       "maxDeliveryAttempts 1 to 30, eventTimeToLiveInMinutes 1 to 1440");
    if (json_is_object(json_object_get(properties, "deadLetterDestination")))
        return invalid(err, "deadLetterDestination", "it is not offered: leave it out");
    return check_filter(json_object_get(properties, "filter"), err);
}

/* The endpoint answers with the code that it was sent. */
static enum pn_rc shake_hands(struct arm_call *call, const char *url, struct pn_error *err)
{
    char code[2 * CODE_BYTES + 1], uuid[PN_UUID_TEXT], time[PN_TIME_TEXT];
    uint8_t random[CODE_BYTES];
    struct pn_buf body;
    json_t *events, *answer = NULL;
    long status = 0;
    enum pn_rc rc;

    pn_random(random, sizeof random);
    pn_hex_lower(random, sizeof random, code);
    pn_uuid_v4(uuid);
    pn_time_iso8601(call->vault->now_s(), time);
    events =
        json_pack("[{s:s, s:s, s:s, s:{s:s}, s:s, s:s, s:s, s:s}]", "id", uuid, "topic",
                  call->vault_id, "subject", "", "data", "validationCode", code, "eventType",
                  VALIDATION_TYPE, "eventTime", time, "metadataVersion", "1", "dataVersion", "2");
    pn_buf_init(&body, ANSWER_MAX);
    rc = events ? vault_webhook_post(call->vault, url, "SubscriptionValidation", events, &status,
                                     &body, err)
                : PN_NOMEM;
    if (rc == PN_OK && (status < 200 || status > 299))
        rc = pn_error_set(err, PN_DENIED, "webhook", "the endpoint answered with %ld", status);
    if (rc == PN_OK &&
        (pn_json_parse(pn_buf_slice(&body), &answer, NULL) != PN_OK ||
         !pn_equal_constant_time(pn_json_slice(answer, "validationResponse"), pn_slice_str(code))))
        rc = pn_error_set(err, PN_DENIED, "webhook",
                          "the endpoint did not answer {\"validationResponse\": the code}");
    if (rc != PN_OK && rc != PN_NOMEM) {
        struct pn_error cause = *err;

        rc = pn_error_set(err, PN_INVALID, "URLValidationFailed",
                          "The attempt to validate the endpoint failed: %s.", cause.message);
    }
    json_decref(answer);
    json_decref(events);
    pn_buf_fini(&body);
    return rc;
}

/* What is stored: the URL without its query is shown, the whole one is internal. */
static json_t *make_body(const struct arm_call *call, struct pn_slice name, const json_t *given,
                         const char *url)
{
    const json_t *retry = json_object_get(given, "retryPolicy");
    json_t *filter = json_object_get(given, "filter");
    json_t *body = json_pack(
        "{s:s%, s:{s:s, s:s, s:{s:s, s:{s:s%}}, s:s, s:{s:I, s:I}}, s:{s:s}}", "name", name.ptr,
        name.len, "properties", "topic", call->vault_id, "provisioningState", "Succeeded",
        "destination", "endpointType", "WebHook", "properties", "endpointBaseUrl", url,
        strcspn(url, "?"), "eventDeliverySchema", "EventGridSchema", "retryPolicy",
        "maxDeliveryAttempts", (json_int_t)pn_json_int(retry, "maxDeliveryAttempts", 30),
        "eventTimeToLiveInMinutes",
        (json_int_t)pn_json_int(retry, "eventTimeToLiveInMinutes", 1440), "internal", "endpointUrl",
        url);

    if (body && json_is_object(filter))
        json_object_set(json_object_get(body, "properties"), "filter", filter);
    return body;
}

/* Not more than the vault may have. */
static enum pn_rc store(struct arm_call *call, const char *id, json_t *body, bool *is_new,
                        struct pn_error *err)
{
    char prefix[2 * VAULT_ID_TEXT];
    struct pn_store_list others = {0};
    struct pn_store_item former = {0};
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &former, err);
    *is_new = rc == PN_NOT_FOUND;
    if (*is_new)
        rc = PN_OK;
    subscription_id(call, PN_LIT(""), prefix);
    if (rc == PN_OK)
        rc = pn_store_txn_list(txn, prefix, SUBSCRIPTION_TYPE, &others, err);
    if (rc == PN_OK && *is_new && others.count >= SUBSCRIPTIONS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "InvalidRequest",
                          "A vault has at most %d event subscriptions.", SUBSCRIPTIONS_MAX);
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, SUBSCRIPTION_TYPE, body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_list_fini(&others);
    pn_store_item_fini(&former);
    return rc;
}

/* False: answered (404). */
static bool has_vault(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->vault->store, call->vault_id, &item, &err);

    pn_store_item_fini(&item);
    if (rc == PN_NOT_FOUND)
        vault_arm_not_found(call);
    else if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    return rc == PN_OK;
}

static void put(struct arm_call *call, struct pn_slice name, const char *id)
{
    json_t *given = pn_resource_body(&call->base), *body = NULL;
    struct pn_error err = {0};
    struct pn_store_item item;
    const json_t *properties, *destination;
    bool is_new = false;
    const char *url;
    enum pn_rc rc;

    if (!given)
        return;
    properties = json_object_get(given, "properties");
    destination = json_object_get(properties, "destination");
    url = pn_json_str(json_object_get(destination, "properties"), "endpointUrl");
    rc = check_properties(properties, &err);
    if (rc == PN_OK)
        rc = vault_webhook_check(url, &err);
    if (rc == PN_OK && !name_is_valid(name))
        rc = pn_error_set(&err, PN_INVALID, "InvalidRequest",
                          "An event subscription's name has 3 to 64 letters, digits and hyphens.");
    if (rc == PN_OK)
        rc = shake_hands(call, url, &err);
    if (rc == PN_OK) {
        body = make_body(call, name, properties, url);
        rc = body ? store(call, id, body, &is_new, &err) : PN_NOMEM;
    }
    if (rc == PN_OK) {
        item = (struct pn_store_item){.id = (char *)(uintptr_t)id, .body = body};
        pn_resource_json(&call->base, is_new ? 201 : 200, subscription_json(&item));
    } else {
        pn_resource_failure(&call->base, rc, &err);
    }
    json_decref(body);
    json_decref(given);
}

/* With what waits for it. */
static enum pn_rc erase(struct arm_call *call, const char *id, struct pn_slice name,
                        struct pn_error *err)
{
    char prefix[VAULT_ID_TEXT];
    struct pn_store_list events = {0};
    struct pn_store_txn *txn = NULL;
    char vault_name[VAULT_NAME_TEXT];
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err), queue;

    if (rc != PN_OK)
        return rc;
    vault_lower(vault_name, call->name);
    snprintf(prefix, sizeof prefix, "/vault/%s/events/%.*s/", vault_name, PN_FMT(name));
    rc = pn_store_delete(txn, id, err);
    if (rc == PN_OK)
        rc = pn_store_txn_list(txn, prefix, EVENT_TYPE, &events, err);
    for (size_t i = 0; rc == PN_OK && i < events.count; i++)
        rc = pn_store_erase(txn, events.items[i].id, err);
    if (rc == PN_OK) {
        snprintf(prefix, sizeof prefix, "/vault/%s/eventqueues/%.*s", vault_name, PN_FMT(name));
        queue = pn_store_erase(txn, prefix, err);
        rc = queue == PN_NOT_FOUND ? PN_OK : queue;
    }
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_list_fini(&events);
    return rc;
}

static void list(struct arm_call *call)
{
    char prefix[2 * VAULT_ID_TEXT];
    struct pn_store_list items = {0};
    struct pn_error err = {0};
    json_t *value;
    enum pn_rc rc;

    subscription_id(call, PN_LIT(""), prefix);
    rc = pn_store_list(call->vault->store, prefix, SUBSCRIPTION_TYPE, &items, &err);
    if (rc != PN_OK) {
        pn_resource_failure(&call->base, rc, &err);
        return;
    }
    value = json_array();
    for (size_t i = 0; i < items.count; i++)
        json_array_append_new(value, subscription_json(&items.items[i]));
    pn_store_list_fini(&items);
    pn_resource_list(&call->base, value);
}

static void show(struct arm_call *call, const char *id, bool is_full_url)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->vault->store, id, &item, &err);

    if (rc == PN_NOT_FOUND)
        pn_resource_error(&call->base, 404, "ResourceNotFound",
                          "There is no such event subscription of this vault.");
    else if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    else if (is_full_url)
        pn_resource_json(
            &call->base, 200,
            json_pack("{s:O}", "endpointUrl",
                      json_object_get(json_object_get(item.body, "internal"), "endpointUrl")));
    else
        pn_resource_json(&call->base, 200, subscription_json(&item));
    pn_store_item_fini(&item);
}

static void drop(struct arm_call *call, const char *id, struct pn_slice name)
{
    struct pn_error err = {0};
    enum pn_rc rc = erase(call, id, name, &err);

    if (rc == PN_OK || rc == PN_NOT_FOUND)
        call->base.response->status = rc == PN_OK ? 200 : 204;
    else
        pn_resource_failure(&call->base, rc, &err);
}

void vault_arm_events(struct arm_call *call, const struct pn_slice *rest, size_t count)
{
    struct pn_resource_call *base = &call->base;
    bool is_full_url = count == 2 && pn_slice_case_eq_str(rest[1], "getFullUrl");
    char id[2 * VAULT_ID_TEXT];

    if (count > 2 || (count == 2 && !is_full_url) || (count > 0 && rest[0].len > NAME_MAX_BYTES)) {
        pn_resource_error(base, 404, "InvalidResourceType",
                          "Event subscriptions are at eventSubscriptions/{name}, and take "
                          "getFullUrl.");
        return;
    }
    if (count > 0)
        subscription_id(call, rest[0], id);
    if (!pn_resource_may(base,
                         is_full_url                      ? SUBSCRIPTION_TYPE "/getFullUrl/action"
                         : pn_resource_reads(base)        ? SUBSCRIPTION_TYPE "/read"
                         : pn_resource_is(base, "DELETE") ? SUBSCRIPTION_TYPE "/delete"
                                                          : SUBSCRIPTION_TYPE "/write",
                         call->vault_id) ||
        !has_vault(call))
        return;
    if (count == 0 && pn_resource_reads(base))
        list(call);
    else if (count == 1 && pn_resource_reads(base))
        show(call, id, false);
    else if (count == 1 && pn_resource_is(base, "PUT"))
        put(call, rest[0], id);
    else if (count == 1 && pn_resource_is(base, "DELETE"))
        drop(call, id, rest[0]);
    else if (is_full_url && pn_resource_is(base, "POST"))
        show(call, id, true);
    else
        pn_resource_wrong_method(base, count == 0    ? "GET, HEAD"
                                       : is_full_url ? "POST"
                                                     : "GET, HEAD, PUT, DELETE");
}
