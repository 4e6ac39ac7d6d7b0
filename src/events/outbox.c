/* SPDX-License-Identifier: Apache-2.0
 *
 * Events as documents: {event (a CloudEvent), certificate (id in lower case), generation, madeMs,
 * deliveries [{webhook (hash), state "pending" | "sent" | "failed"}]}. The id of a document is made
 * of certificate, generation and threshold: that is why there is one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/log.h"
#include "events/events_internal.h"
#include "store/store.h"

#define ID_TEXT 160

static void lower(char *text)
{
    for (; *text; text++)
        *text = *text >= 'A' && *text <= 'Z' ? (char)(*text + 32) : *text;
}

static void document_id(const char *certificate_id, uint64_t generation, int threshold,
                        char out[ID_TEXT])
{
    char hash[65];
    char *id = strdup(certificate_id);

    if (id)
        lower(id);
    pn_sha256_hex(pn_slice_str(id ? id : certificate_id), hash);
    free(id);
    snprintf(out, ID_TEXT, EVENT_PREFIX "%.32s-%llu-%d", hash, (unsigned long long)generation,
             threshold);
}

/* ---- making one ---- */

static json_t *deliveries_of(const struct pn_events *events)
{
    json_t *list = json_array();

    for (size_t i = 0; i < events->hook_count; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "webhook", events->hooks[i].hash, "state", "pending"));
    return list;
}

/* What breaks: of a host name the listener that shows it. */
static enum pn_rc users_of(struct pn_events *events, const struct pn_store_item *item,
                           const struct pn_expiry *expiry, json_t **users, struct pn_error *err)
{
    if (!expiry->is_host)
        return events->config.usage
                   ? events->config.usage(events->config.usage_ctx, item->id, users, err)
                   : PN_OK;
    *users = json_pack("[{s:s, s:s, s:s, s:s, s:s}]", "id", item->id, "name", expiry->name, "type",
                       item->type, "via", item->id, "by", "listener");
    return *users ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static json_t *data_of(struct pn_events *events, const struct pn_store_item *item,
                       const struct pn_expiry *expiry, int threshold)
{
    const json_t *properties = json_object_get(item->body, "properties");
    json_t *users = NULL;
    json_t *data;
    struct pn_error err = {0};
    size_t count;

    if (users_of(events, item, expiry, &users, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "event_without_usage", &err);
    count = json_array_size(users);
    while (json_array_size(users) > PN_EVENT_USERS_MAX)
        (void)json_array_remove(users, json_array_size(users) - 1);
    data = json_pack(
        "{s:s, s:s, s:O?, s:O?, s:I, s:O?, s:I, s:i, s:s, s:o, s:I}", "id", item->id, "name",
        expiry->name, "subject", json_object_get(properties, "subject"), "thumbprint",
        json_object_get(properties, "thumbprint"), "generation", (json_int_t)expiry->generation,
        "expirationDate", json_object_get(properties, "expirationDate"), "daysLeft",
        (json_int_t)pn_expiry_days(expiry->expires_s, events_now_ms(events) / 1000), "threshold",
        threshold, "origin", json_object_get(properties, "keyVault") ? "keyVault" : "pfx", "usage",
        users ? users : json_array(), "usageCount", (json_int_t)count);
    return data;
}

static json_t *document_of(struct pn_events *events, const struct pn_store_item *item,
                           const struct pn_expiry *expiry, int threshold)
{
    char time[PN_TIME_TEXT], uuid[PN_UUID_TEXT], subject[PN_FORECAST_NAME_MAX + 16];
    char *service = strdup(item->id);
    char *key = strdup(item->id);
    char *end = service
                    ? strcasestr(service, expiry->is_host ? "/posternHostnames/" : "/certificates/")
                    : NULL;
    json_t *event, *document = NULL;

    if (end && key) {
        *end = '\0';
        lower(key);
        pn_uuid_v4(uuid);
        pn_time_iso8601(events_now_ms(events) / 1000, time);
        snprintf(subject, sizeof(subject), "%s%s",
                 expiry->is_host ? "/hostnames/" : "/certificates/", expiry->name);
        event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "specversion", "1.0", "id",
                          uuid, "source", service, "type",
                          threshold == PN_THRESHOLD_EXPIRED ? "Postern.CertificateExpired"
                                                            : "Postern.CertificateNearExpiry",
                          "subject", subject, "time", time, "datacontenttype", "application/json",
                          "data", data_of(events, item, expiry, threshold));
        document =
            json_pack("{s:o, s:s, s:I, s:I, s:o}", "event", event, "certificate", key, "generation",
                      (json_int_t)expiry->generation, "madeMs", (json_int_t)events_now_ms(events),
                      "deliveries", deliveries_of(events));
    }
    free(service);
    free(key);
    return document;
}

static enum pn_rc put(struct pn_events *events, const char *id, json_t *document,
                      struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(events->config.store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_put(txn, id, EVENT_TYPE, document, NULL, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

static void make_event(struct pn_events *events, const char *id, const struct pn_expiry *expiry,
                       int threshold)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *document = NULL;
    enum pn_rc rc = pn_store_get(events->config.store, expiry->id, &item, &err);

    if (rc == PN_OK)
        document = document_of(events, &item, expiry, threshold);
    if (rc == PN_OK && !document)
        rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc == PN_OK)
        rc = put(events, id, document, &err);
    if (rc == PN_OK)
        pn_log(PN_LOG_WARN, "certificate_expires", "certificate", PN_S(expiry->name), "generation",
               PN_I(expiry->generation), "days",
               PN_I(pn_expiry_days(expiry->expires_s, events_now_ms(events) / 1000)), NULL);
    else if (rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_ERROR, "event_not_made", &err);
    json_decref(document);
    pn_store_item_fini(&item);
}

/* ---- the look ---- */

static bool is_pending(const json_t *document)
{
    const json_t *delivery;
    size_t i;

    json_array_foreach(json_object_get(document, "deliveries"), i, delivery)
    {
        if (pn_slice_eq_str(pn_json_slice(delivery, "state"), "pending"))
            return true;
    }
    return false;
}

static bool is_known(const struct pn_store_list *documents, const char *id)
{
    size_t low = 0, high = documents->count;

    while (low < high) { /* ordered by key, and our ids are in lower case */
        size_t middle = low + (high - low) / 2;
        int order = strcmp(documents->items[middle].id, id);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Whether the certificate still has the generation that the document is about. */
static bool is_of_today(struct pn_events *events, const json_t *document)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *id = pn_json_str(document, "certificate");
    bool is_current;

    if (!id || pn_store_get(events->config.store, id, &item, &err) != PN_OK)
        return err.rc != PN_NOT_FOUND && id;
    is_current = pn_json_int(json_object_get(item.body, "internal"), "generation", 1) ==
                 pn_json_int(document, "generation", 0);
    pn_store_item_fini(&item);
    return is_current;
}

static void drop(struct pn_events *events, const char *id)
{
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_begin(events->config.store, &txn, &err);

    if (rc == PN_OK)
        rc = pn_store_delete(txn, id, &err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, &err);
    else
        pn_store_rollback(txn);
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_WARN, "event_not_dropped", &err);
}

void events_look(struct pn_events *events)
{
    struct pn_store_list documents = {0};
    struct pn_expiries expiries = {0};
    struct pn_error err = {0};
    int64_t now_s = events_now_ms(events) / 1000;
    size_t kept;
    enum pn_rc rc = pn_store_list(events->config.store, EVENT_PREFIX, EVENT_TYPE, &documents, &err);

    if (rc == PN_OK)
        rc = pn_forecast_read(events->config.forecast, &expiries, &err);
    if (rc != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "expiry_not_looked_at", &err);
        pn_store_list_fini(&documents);
        return;
    }
    kept = documents.count;
    for (size_t i = 0; i < documents.count; i++) {
        if (!is_pending(documents.items[i].body) && !is_of_today(events, documents.items[i].body)) {
            drop(events, documents.items[i].id);
            kept--;
        }
    }
    for (size_t i = 0; i < expiries.count && kept < PN_EVENTS_KEPT_MAX; i++) {
        const struct pn_expiry *expiry = &expiries.items[i];
        int reached = pn_thresholds_reached(events->config.thresholds, expiry->expires_s, now_s);
        char id[ID_TEXT];

        if (reached == PN_THRESHOLD_NONE)
            break; /* ordered: all others end later */
        document_id(expiry->id, expiry->generation, reached, id);
        if (is_known(&documents, id))
            continue;
        make_event(events, id, expiry, reached);
        kept++;
    }
    pn_expiries_fini(&expiries);
    pn_store_list_fini(&documents);
}

/* ---- sending ---- */

/* False: this webhook waits now. */
static bool deliver(struct pn_events *events, struct hook *hook, const json_t *document,
                    json_t *delivery)
{
    uint64_t retry_after_ms = 0, wait_ms;
    char *body = json_dumps(json_object_get(document, "event"), JSON_COMPACT);
    enum delivery outcome = DELIVERY_AGAIN;

    if (body)
        outcome = webhook_post(events, hook, pn_slice_str(body), &retry_after_ms);
    free(body);
    if (outcome == DELIVERY_DONE) {
        hook->failures = 0;
        (void)json_object_set_new(delivery, "state", json_string("sent"));
        return true;
    }
    if (outcome == DELIVERY_GONE ||
        events_now_ms(events) - pn_json_int(document, "madeMs", 0) > PN_EVENT_GIVE_UP_MS) {
        pn_log(PN_LOG_ERROR, "event_given_up", "webhook", PN_S(hook->shown), "event",
               PN_S(pn_json_str(json_object_get(document, "event"), "id")), NULL);
        (void)json_object_set_new(delivery, "state", json_string("failed"));
    }
    wait_ms = PN_WEBHOOK_RETRY_MS << (hook->failures < 12 ? hook->failures : 12);
    hook->failures++;
    wait_ms = wait_ms > retry_after_ms ? wait_ms : retry_after_ms;
    hook->next_ms = pn_clock_monotonic_ms() +
                    (wait_ms < PN_WEBHOOK_RETRY_MAX_MS ? wait_ms : PN_WEBHOOK_RETRY_MAX_MS);
    return false;
}

static struct hook *hook_of(struct pn_events *events, const json_t *delivery)
{
    for (size_t i = 0; i < events->hook_count; i++) {
        if (pn_slice_eq_str(pn_json_slice(delivery, "webhook"), events->hooks[i].hash))
            return &events->hooks[i];
    }
    return NULL;
}

/* True: something became of it that must be written. */
static bool send_document(struct pn_events *events, json_t *document)
{
    json_t *delivery;
    bool has_changed = false;
    size_t i;

    json_array_foreach(json_object_get(document, "deliveries"), i, delivery)
    {
        struct hook *hook = hook_of(events, delivery);

        if (!pn_slice_eq_str(pn_json_slice(delivery, "state"), "pending") ||
            atomic_load(&events->is_stopping))
            continue;
        if (!hook) { /* no longer configured */
            has_changed = json_object_set_new(delivery, "state", json_string("failed")) == 0;
            continue;
        }
        if (pn_clock_monotonic_ms() < hook->next_ms)
            continue;
        (void)deliver(events, hook, document, delivery);
        has_changed = has_changed || !pn_slice_eq_str(pn_json_slice(delivery, "state"), "pending");
    }
    return has_changed;
}

void events_send(struct pn_events *events)
{
    struct pn_store_list documents = {0};
    struct pn_error err = {0};

    if (pn_store_list(events->config.store, EVENT_PREFIX, EVENT_TYPE, &documents, &err) != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "events_not_read", &err);
        return;
    }
    for (size_t i = 0; i < documents.count && !atomic_load(&events->is_stopping); i++) {
        if (is_pending(documents.items[i].body) && send_document(events, documents.items[i].body) &&
            put(events, documents.items[i].id, documents.items[i].body, &err) != PN_OK)
            pn_log_error(PN_LOG_ERROR, "delivery_not_noted", &err);
    }
    pn_store_list_fini(&documents);
}

/* ---- for people ---- */

static json_t *view_of(struct pn_events *events, const json_t *document)
{
    const json_t *event = json_object_get(document, "event");
    const json_t *delivery;
    json_t *list = json_array();
    size_t i;

    json_array_foreach(json_object_get(document, "deliveries"), i, delivery)
    {
        const struct hook *hook = hook_of(events, delivery);

        (void)json_array_append_new(list, json_pack("{s:s, s:O}", "webhook",
                                                    hook ? hook->shown : "(not configured)",
                                                    "state", json_object_get(delivery, "state")));
    }
    return json_pack(
        "{s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:o}", "id", json_object_get(event, "id"), "type",
        json_object_get(event, "type"), "subject", json_object_get(event, "subject"), "time",
        json_object_get(event, "time"), "generation", json_object_get(document, "generation"),
        "threshold", json_object_get(json_object_get(event, "data"), "threshold"), "deliveries",
        list);
}

enum pn_rc pn_events_view(struct pn_events *events, json_t **view, struct pn_error *err)
{
    struct pn_store_list documents = {0};
    enum pn_rc rc = pn_store_list(events->config.store, EVENT_PREFIX, EVENT_TYPE, &documents, err);

    *view = json_array();
    for (size_t i = 0; rc == PN_OK && i < documents.count; i++)
        (void)json_array_append_new(*view, view_of(events, documents.items[i].body));
    pn_store_list_fini(&documents);
    return rc;
}
