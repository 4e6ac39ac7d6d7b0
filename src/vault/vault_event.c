/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: queued with the change that they tell of, in one transaction, and delivered until the
 * endpoint takes them, at least once and in order. A queue has an end (limit vault-events) and each
 * event a time to live; what is given up is counted and logged.
 */
#include "vault/vault_event.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define BATCH             16
#define ID_TEXT           512
#define TTL_MINUTES       1440
#define ATTEMPTS_MAX      30
#define EVENT_TYPE_PREFIX "Microsoft.KeyVault."

static void queue_id(const char *vault_name, const char *subscription, char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/eventqueues/%s", vault_name, subscription);
}

/* Whether the subscription wants it. */
static bool is_wanted(const json_t *subscription, const char *type, const char *subject)
{
    const json_t *filter = json_object_get(json_object_get(subscription, "properties"), "filter");
    const json_t *types = json_object_get(filter, "includedEventTypes");
    struct pn_slice begins = pn_json_slice(filter, "subjectBeginsWith");
    struct pn_slice ends = pn_json_slice(filter, "subjectEndsWith");
    struct pn_slice text = pn_slice_str(subject);
    bool is_listed = json_array_size(types) == 0;
    bool is_exact = pn_json_bool(filter, "isSubjectCaseSensitive", false);
    json_t *entry;
    size_t index;

    json_array_foreach(types, index, entry)
    {
        struct pn_slice listed = pn_slice(json_string_value(entry), json_string_length(entry));

        is_listed =
            is_listed || pn_slice_case_eq_str(listed, type) || pn_slice_eq_str(listed, "All");
    }
    if (!is_listed || begins.len > text.len || ends.len > text.len)
        return false;
    text.len = begins.len;
    if (begins.len > 0 && !(is_exact ? pn_slice_eq(begins, text) : pn_slice_case_eq(begins, text)))
        return false;
    text = pn_slice_str(subject + strlen(subject) - ends.len);
    return ends.len == 0 || (is_exact ? pn_slice_eq(ends, text) : pn_slice_case_eq(ends, text));
}

static enum pn_rc put_event(struct vault_call *call, struct pn_store_txn *txn,
                            const char *subscription, json_t *event, struct pn_error *err)
{
    struct pn_store_item queue = {0};
    char id[OBJECT_ID_TEXT], event_id[OBJECT_ID_TEXT + 32];
    int64_t now_s = call->vault->now_s();
    json_t *body = NULL, *properties;
    int64_t count, next;
    enum pn_rc rc;

    queue_id(call->vault_name, subscription, id);
    rc = pn_store_txn_get(txn, id, &queue, err);
    if (rc == PN_NOT_FOUND) {
        queue.body = json_pack("{s:s, s:{s:i, s:i}, s:{s:i}}", "name", subscription, "properties",
                               "count", 0, "next", 0, "internal", "attempts", 0);
        rc = queue.body ? PN_OK : PN_NOMEM;
    }
    properties = json_object_get(queue.body, "properties");
    count = pn_json_int(properties, "count", 0);
    next = pn_json_int(properties, "next", 0);
    if (rc == PN_OK && (uint64_t)count >= pn_limit_value(PN_LIMIT_VAULT_EVENTS)) {
        pn_limit_hit(PN_LIMIT_VAULT_EVENTS);
        pn_log(PN_LOG_WARN, "vault_event_dropped", "vault", PN_S(call->vault_name), "subscription",
               PN_S(subscription), "waiting", PN_I(count), NULL);
        pn_store_item_fini(&queue);
        return PN_OK;
    }
    if (rc == PN_OK) {
        snprintf(event_id, sizeof event_id, "/vault/%s/events/%s/%020lld", call->vault_name,
                 subscription, (long long)next);
        body = json_pack("{s:s, s:{s:O, s:I}}", "name", "event", "properties", "event", event,
                         "queued", (json_int_t)now_s);
        rc = body ? pn_store_put(txn, event_id, EVENT_TYPE, body, NULL, err) : PN_NOMEM;
    }
    if (rc == PN_OK) {
        json_t *internal = json_object_get(queue.body, "internal");

        json_object_set_new(properties, "count", json_integer((json_int_t)(count + 1)));
        json_object_set_new(properties, "next", json_integer((json_int_t)(next + 1)));
        if (!json_object_get(internal, "due"))
            json_object_set_new(internal, "due", json_integer((json_int_t)now_s));
        rc = pn_store_put(txn, id, QUEUE_TYPE, queue.body, NULL, err);
    }
    json_decref(body);
    pn_store_item_fini(&queue);
    return rc;
}

static json_t *make_event(const struct vault_call *call, enum vault_kind kind, const char *what,
                          const char *name, const char *version, const json_t *attributes)
{
    const struct vault_kind_facts *facts = &vault_kinds[kind];
    char uuid[PN_UUID_TEXT], time[PN_TIME_TEXT], type[64];
    json_t *nbf = json_object_get(attributes, "nbf"), *exp = json_object_get(attributes, "exp");

    pn_uuid_v4(uuid);
    pn_time_iso8601(call->vault->now_s(), time);
    snprintf(type, sizeof type, EVENT_TYPE_PREFIX "%s%s", facts->event, what);
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:o, s:s, s:s, s:s, s:s, s:O?, s:O?}, s:s, s:s, s:s}",
                     "id", uuid, "topic", call->item.id ? call->item.id : "", "subject", name,
                     "eventType", type, "data", "Id",
                     json_sprintf("https://%s.%s/%s/%s/%s", call->vault_name, call->vault->suffix,
                                  facts->collection, name, version),
                     "VaultName", call->vault_name, "ObjectType", facts->event, "ObjectName", name,
                     "Version", version, "NBF", nbf, "EXP", exp, "dataVersion", "1",
                     "metadataVersion", "1", "eventTime", time);
}

enum pn_rc vault_event_put(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                           const char *what, const char *name, const char *version,
                           const json_t *attributes, struct pn_error *err)
{
    struct pn_store_list subscriptions = {0};
    char prefix[ID_TEXT], type[64];
    json_t *event = NULL;
    enum pn_rc rc;

    if (!call->item.id) /* the vault is not known: nobody can have subscribed */
        return PN_OK;
    snprintf(prefix, sizeof prefix, "%s/providers/" SUBSCRIPTION_TYPE "/", call->item.id);
    snprintf(type, sizeof type, EVENT_TYPE_PREFIX "%s%s", vault_kinds[kind].event, what);
    rc = pn_store_txn_list(txn, prefix, SUBSCRIPTION_TYPE, &subscriptions, err);
    for (size_t i = 0; rc == PN_OK && i < subscriptions.count; i++) {
        const struct pn_store_item *subscription = &subscriptions.items[i];

        if (!is_wanted(subscription->body, type, name))
            continue;
        if (!event)
            event = make_event(call, kind, what, name, version, attributes);
        rc = event ? put_event(call, txn, pn_json_str(subscription->body, "name"), event, err)
                   : PN_NOMEM;
    }
    json_decref(event);
    pn_store_list_fini(&subscriptions);
    return rc;
}

/* --- delivery --- */

bool vault_event_is(const struct pn_store_item *item)
{
    return strcmp(item->type, QUEUE_TYPE) == 0;
}

/* What follows from one try, or from none when there was nothing to send. */
struct outcome {
    bool is_over;        /* the first event is delivered or given up */
    int64_t retry_s;     /* else: when to try again */
    const char *gave_up; /* why, or NULL */
};

/* As Event Grid's schedule. */
static int64_t delay_of(int64_t attempts)
{
    static const int64_t delays[] = {10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200};
    size_t count = sizeof delays / sizeof delays[0];

    return delays[attempts < (int64_t)count ? (size_t)attempts : count - 1];
}

static struct outcome try_one(struct pn_vault *vault, const json_t *subscription,
                              const json_t *event_body, int64_t attempts)
{
    const json_t *properties = json_object_get(subscription, "properties");
    const json_t *retry = json_object_get(properties, "retryPolicy");
    const json_t *queued = json_object_get(event_body, "properties");
    const char *url = pn_json_str(json_object_get(subscription, "internal"), "endpointUrl");
    int64_t now_s = vault->now_s();
    int64_t ends_s = pn_json_int(queued, "queued", 0) +
                     60 * pn_json_int(retry, "eventTimeToLiveInMinutes", TTL_MINUTES);
    json_t *events = json_pack("[O]", json_object_get(queued, "event"));
    struct outcome outcome = {.retry_s = now_s + delay_of(attempts)};
    struct pn_error err = {0};
    long status = 0;
    enum pn_rc rc =
        url ? vault_webhook_post(vault, url, "Notification", events, &status, NULL, &err)
            : PN_INTERNAL;

    json_decref(events);
    if (rc == PN_OK && status >= 200 && status < 300) {
        outcome.is_over = true;
    } else if (rc == PN_OK && (status == 400 || status == 413)) {
        outcome.is_over = true;
        outcome.gave_up = "refused";
    } else if (attempts + 1 >= pn_json_int(retry, "maxDeliveryAttempts", ATTEMPTS_MAX) ||
               outcome.retry_s > ends_s) {
        outcome.is_over = true;
        outcome.gave_up = "attempts";
    } else {
        pn_log(PN_LOG_WARN, "vault_event_not_delivered", "status", PN_I(status), "cause",
               PN_S(err.message), "attempt", PN_I(attempts + 1), NULL);
    }
    return outcome;
}

/* Writes down what came of it: the event goes, or the queue waits. */
static enum pn_rc settle(struct pn_vault *vault, const char *id, const char *event_id,
                         const struct outcome *outcome, struct pn_error *err)
{
    struct pn_store_item queue = {0};
    struct pn_store_txn *txn = NULL;
    json_t *properties, *internal;
    int64_t count;
    enum pn_rc rc = pn_store_begin(vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &queue, err);
    properties = json_object_get(queue.body, "properties");
    internal = json_object_get(queue.body, "internal");
    count = pn_json_int(properties, "count", 0);
    if (rc == PN_OK && outcome->is_over) {
        rc = event_id ? pn_store_erase(txn, event_id, err) : PN_OK;
        count = event_id && count > 0 ? count - 1 : 0;
        json_object_set_new(properties, "count", json_integer((json_int_t)count));
        json_object_set_new(internal, "attempts", json_integer(0));
        json_object_del(internal, "due");
        if (count > 0)
            json_object_set_new(internal, "due", json_integer((json_int_t)vault->now_s()));
    } else if (rc == PN_OK) {
        json_object_set_new(internal, "attempts",
                            json_integer((json_int_t)pn_json_int(internal, "attempts", 0) + 1));
        json_object_set_new(internal, "due", json_integer((json_int_t)outcome->retry_s));
    }
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, QUEUE_TYPE, queue.body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&queue);
    return rc;
}

static void say_gave_up(const char *vault_name, const char *name, const struct outcome *outcome)
{
    if (outcome->gave_up)
        pn_log(PN_LOG_ERROR, "vault_event_given_up", "vault", PN_S(vault_name), "subscription",
               PN_S(name), "cause", PN_S(outcome->gave_up), NULL);
}

bool vault_event_deliver(struct pn_vault *vault, const struct pn_store_item *queue)
{
    const char *name = pn_json_str(queue->body, "name");
    struct pn_slice rest = pn_slice_str(queue->id + strlen("/vault/"));
    int64_t attempts = pn_json_int(json_object_get(queue->body, "internal"), "attempts", 0);
    struct pn_store_item item = {0}, subscription = {0};
    struct pn_store_list events = {0};
    struct pn_error err = {0};
    char vault_name[VAULT_NAME_TEXT], prefix[OBJECT_ID_TEXT], id[ID_TEXT + NAME_TEXT];
    bool is_over = true;
    enum pn_rc rc;

    snprintf(vault_name, sizeof vault_name, "%.*s",
             PN_FMT(pn_slice_sub(rest, 0, pn_slice_find(rest, '/'))));
    snprintf(prefix, sizeof prefix, "/vault/%s/events/%s/", vault_name, name);
    rc = vault_resource(vault, vault_name, &item, &err);
    if (rc == PN_OK) {
        snprintf(id, sizeof id, "%s/providers/" SUBSCRIPTION_TYPE "/%s", item.id, name);
        rc = pn_store_get(vault->store, id, &subscription, &err);
    }
    if (rc == PN_OK)
        rc = pn_store_page(vault->store, prefix, EVENT_TYPE, NULL, BATCH, &events, &err);
    for (size_t i = 0; rc == PN_OK && is_over && i < events.count && !vault->clock.is_stopping;
         i++) {
        struct outcome outcome = try_one(vault, subscription.body, events.items[i].body, attempts);

        if (vault->clock.is_stopping && !outcome.is_over)
            break;
        say_gave_up(vault_name, name, &outcome);
        rc = settle(vault, queue->id, events.items[i].id, &outcome, &err);
        is_over = outcome.is_over;
        attempts = 0;
    }
    if (rc == PN_OK && events.count == 0)
        rc = settle(vault, queue->id, NULL, &(struct outcome){.is_over = true}, &err);
    if (rc == PN_NOT_FOUND) { /* the vault or the subscription is away: look again later */
        rc = settle(vault, queue->id, NULL,
                    &(struct outcome){.retry_s = vault->now_s() + delay_of(attempts)}, &err);
        is_over = false;
    }
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_ERROR, "vault_event_failed", &err);
    pn_store_list_fini(&events);
    pn_store_item_fini(&subscription);
    pn_store_item_fini(&item);
    return rc == PN_OK && is_over;
}
