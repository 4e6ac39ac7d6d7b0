/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's clock. What has a time to come (purge, expiry, renewal, rotation, a webhook's next
 * try) says so in its row (internal.due); one thread takes what is due, the most urgent first, and
 * writes down that it is done in the same transaction, so that nothing is done twice or lost when
 * the process ends in between.
 *
 * A clock that jumps forward makes everything due at once. Renewals and events are harmless then; a
 * purge is not: it waits until the clock went steadily for the limit vault-purge-delay.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "vault/vault_arm.h"
#include "vault/vault_clock.h"
#include "vault/vault_key.h"

#define DAY_S        86400
#define NEAR_DAYS    30 /* before the end, as Key Vault's NearExpiry */
#define RETRY_S      3600
#define BATCH        64
#define BATCH_MAX    65536
#define LOOK_EVERY_S 15
#define JUMP_S       60

/* --- when --- */

static void earlier(int64_t *due, int64_t time_s)
{
    if (time_s > 0 && (*due == 0 || time_s < *due))
        *due = time_s;
}

static bool is_noted(const json_t *internal, const char *member, const char *latest)
{
    const char *noted = pn_json_str(internal, member);

    return noted && latest && strcmp(noted, latest) == 0;
}

/* When a lifetime action of a certificate's policy comes; 0: there is none of that type. */
static int64_t action_time(const json_t *policy, const char *type, int64_t nbf, int64_t exp)
{
    int64_t found = 0;
    json_t *entry;
    size_t index;

    json_array_foreach(json_object_get(policy, "lifetime_actions"), index, entry)
    {
        const json_t *trigger = json_object_get(entry, "trigger");
        int64_t percentage = pn_json_int(trigger, "lifetime_percentage", 0);
        int64_t days = pn_json_int(trigger, "days_before_expiry", 0);

        if (!pn_slice_eq_str(pn_json_slice(json_object_get(entry, "action"), "action_type"), type))
            continue;
        earlier(&found, days > 0 ? exp - days * DAY_S : nbf + (exp - nbf) / 100 * percentage);
    }
    return found;
}

/* When a rotation policy's action of a key comes. */
static int64_t rotation_time(const json_t *rotation, const char *type, int64_t created, int64_t exp)
{
    int64_t found = 0;
    json_t *entry;
    size_t index;

    json_array_foreach(json_object_get(rotation, "lifetimeActions"), index, entry)
    {
        const json_t *trigger = json_object_get(entry, "trigger");
        const char *after = pn_json_str(trigger, "timeAfterCreate");
        const char *before = pn_json_str(trigger, "timeBeforeExpiry");

        if (!pn_slice_eq_str(pn_json_slice(json_object_get(entry, "action"), "type"), type))
            continue;
        if (after)
            earlier(&found, vault_after_duration(created, after, false));
        else if (before && exp > 0)
            earlier(&found, vault_after_duration(exp, before, true));
    }
    return found;
}

struct times {
    int64_t near, expired, renewal; /* 0: never */
};

static struct times times_of(const json_t *head, enum vault_kind kind, const json_t *version)
{
    const json_t *properties = json_object_get(head, "properties");
    const json_t *internal = json_object_get(head, "internal");
    const json_t *policy = json_object_get(properties, "policy");
    const json_t *attributes =
        json_object_get(json_object_get(version, "properties"), "attributes");
    const char *latest = pn_json_str(properties, "latest");
    int64_t exp = pn_json_int(attributes, "exp", 0), nbf = pn_json_int(attributes, "nbf", 0);
    int64_t created = pn_json_int(attributes, "created", 0);
    struct times times = {0};

    if (!version)
        return times;
    times.expired = exp;
    times.near = exp > 0 ? exp - NEAR_DAYS * DAY_S : 0;
    if (kind == KIND_CERTIFICATE) {
        int64_t mail = action_time(policy, "EmailContacts", nbf, exp);

        if (mail > 0)
            times.near = mail;
        if (vault_source_of(policy) != SOURCE_UNKNOWN)
            times.renewal = action_time(policy, "AutoRenew", nbf, exp);
    } else if (kind == KIND_KEY) {
        const json_t *rotation = json_object_get(properties, "rotation");
        int64_t notice = rotation_time(rotation, "Notify", created, exp);

        if (notice > 0)
            times.near = notice;
        times.renewal = rotation_time(rotation, "Rotate", created, exp);
    }
    if (times.near < 1 && exp > 0)
        times.near = 1;
    if (is_noted(internal, "nearFor", latest))
        times.near = 0;
    if (is_noted(internal, "expiredFor", latest))
        times.expired = 0;
    if (!pn_json_bool(attributes, "enabled", true))
        times.renewal = 0;
    if (times.renewal > 0 && pn_json_int(internal, "retryAt", 0) > times.renewal)
        times.renewal = pn_json_int(internal, "retryAt", 0);
    return times;
}

int64_t vault_head_due(const json_t *head, enum vault_kind kind, const json_t *version)
{
    struct times times = times_of(head, kind, version);
    int64_t due = 0;

    earlier(&due, times.near);
    earlier(&due, times.expired);
    earlier(&due, times.renewal);
    return due;
}

/* --- what --- */

/* A call of nobody's: "/vault/{vault}/{folder}/{name}". False: no such id. */
static bool call_of(struct pn_vault *vault, const struct pn_store_item *head,
                    struct vault_call *call, char origin[2 * URL_TEXT])
{
    const char *name = pn_json_str(head->body, "name");
    struct pn_slice rest = pn_slice_str(head->id + strlen("/vault/"));
    struct pn_slice vault_name = pn_slice_sub(rest, 0, pn_slice_find(rest, '/'));
    struct pn_error err = {0};

    memset(call, 0, sizeof *call);
    if (!name || strlen(name) >= NAME_TEXT || vault_name.len >= VAULT_NAME_TEXT)
        return false;
    call->vault = vault;
    snprintf(call->vault_name, sizeof call->vault_name, "%.*s", PN_FMT(vault_name));
    snprintf(call->name, sizeof call->name, "%s", name);
    snprintf(call->key, sizeof call->key, "%s", vault_item_version(head));
    snprintf(origin, 2 * URL_TEXT, "https://%s.%s", call->vault_name, vault->suffix);
    call->origin = pn_slice_str(origin);
    /* Of a deleted vault nothing happens until it is back. */
    return vault_resource(vault, call->vault_name, &call->item, &err) == PN_OK;
}

static enum pn_rc read_again(struct vault_call *call, struct pn_store_txn *txn,
                             enum vault_kind kind, struct pn_store_item *head,
                             struct pn_store_item *version, struct pn_error *err)
{
    char id[OBJECT_ID_TEXT];
    const char *latest;
    enum pn_rc rc;

    vault_head_id(call, kind, id);
    rc = pn_store_txn_get(txn, id, head, err);
    latest = pn_json_str(json_object_get(head->body, "properties"), "latest");
    if (rc == PN_OK && latest) {
        vault_version_id(call, kind, latest, id);
        rc = pn_store_txn_get(txn, id, version, err);
    }
    return rc;
}

/* Queues the events whose time has come and notes them. `failed` (may be NULL): why a renewal could
 * not be done; it is tried again later. */
static enum pn_rc note(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                       const struct pn_error *failed, struct pn_error *err)
{
    struct pn_store_item head = {0}, version = {0};
    int64_t now_s = call->vault->now_s();
    const json_t *attributes;
    struct times times;
    const char *latest;
    json_t *internal;
    enum pn_rc rc = read_again(call, txn, kind, &head, &version, err);

    if (rc != PN_OK || !version.body)
        goto out;
    latest = vault_item_version(&version);
    internal = json_object_get(head.body, "internal");
    attributes = json_object_get(json_object_get(version.body, "properties"), "attributes");
    times = times_of(head.body, kind, version.body);
    if (times.near > 0 && times.near <= now_s) {
        rc = vault_event_put(call, txn, kind, "NearExpiry", call->name, latest, attributes, err);
        json_object_set_new(internal, "nearFor", json_string(latest));
    }
    if (rc == PN_OK && times.expired > 0 && times.expired <= now_s) {
        rc = vault_event_put(call, txn, kind, "Expired", call->name, latest, attributes, err);
        json_object_set_new(internal, "expiredFor", json_string(latest));
    }
    if (failed) {
        json_object_set_new(internal, "retryAt", json_integer((json_int_t)(now_s + RETRY_S)));
        if (kind == KIND_CERTIFICATE)
            json_object_set_new(
                json_object_get(head.body, "properties"), "pending",
                json_pack("{s:s, s:b, s:O*, s:{s:s, s:s}, s:s}", "status", "failed",
                          "cancellation_requested", 0, "issuer",
                          json_object_get(
                              json_object_get(json_object_get(head.body, "properties"), "policy"),
                              "issuer"),
                          "error", "code", "RenewalFailed", "message", failed->message,
                          "request_id", latest));
    }
    if (rc == PN_OK)
        rc = vault_put_head(call, txn, kind, head.body, version.body, err);
out:
    pn_store_item_fini(&head);
    pn_store_item_fini(&version);
    return rc;
}

static enum pn_rc note_all(struct vault_call *call, enum vault_kind kind,
                           const struct pn_error *failed, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = note(call, txn, kind, failed, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

/* A new version of a certificate or key, when it is time for one. */
static enum pn_rc renew(struct vault_call *call, enum vault_kind kind, struct pn_error *err)
{
    struct pn_store_item head = {0}, version = {0};
    enum pn_rc rc = vault_find(call, kind, &head, &version, err);
    struct times times = {0};

    if (rc == PN_OK)
        times = times_of(head.body, kind, version.body);
    if (rc == PN_OK && times.renewal > 0 && times.renewal <= call->vault->now_s()) {
        rc = kind == KIND_KEY ? vault_key_renew(call, head.body, &version, err)
                              : vault_certificate_renew(call, head.body, &version, err);
        if (rc == PN_OK)
            pn_log(PN_LOG_INFO, "vault_renewed", "vault", PN_S(call->vault_name), "kind",
                   PN_S(vault_kinds[kind].word), "name", PN_S(call->name), NULL);
        else if (rc == PN_CONFLICT)
            rc = PN_OK; /* somebody was faster */
    }
    pn_store_item_fini(&head);
    pn_store_item_fini(&version);
    return rc;
}

/* In the transaction: it may have been recovered meanwhile, and deleted anew with a time of its
 * own. PN_NOT_FOUND. */
static enum pn_rc check_over(struct vault_call *call, struct pn_store_txn *txn,
                             enum vault_kind kind, struct pn_error *err)
{
    struct pn_store_item head = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    vault_deleted_id(call, kind, id);
    rc = pn_store_txn_get(txn, id, &head, err);
    if (rc == PN_OK && pn_json_int(json_object_get(head.body, "internal"), "scheduledPurgeDate",
                                   0) > call->vault->now_s())
        rc = PN_NOT_FOUND;
    pn_store_item_fini(&head);
    return rc;
}

enum pn_rc vault_purge_over(struct vault_call *call, enum vault_kind kind, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = check_over(call, txn, kind, err);
    if (rc == PN_OK)
        rc = vault_purge(call, txn, kind, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK)
        pn_log(PN_LOG_INFO, "vault_purged", "vault", PN_S(call->vault_name), "kind",
               PN_S(vault_kinds[kind].word), "name", PN_S(call->name), NULL);
    return rc;
}

static enum pn_rc do_due(struct pn_vault *vault, const struct pn_store_item *head, bool may_purge,
                         bool *is_done)
{
    struct vault_call call;
    struct pn_error err = {0}, failed = {0};
    char origin[2 * URL_TEXT];
    enum vault_kind kind;
    enum pn_rc rc = PN_OK;

    *is_done = false;
    if (strcmp(head->type, DELETED_TYPE) == 0) { /* a whole vault */
        if (may_purge)
            rc = vault_arm_purge_due(vault, head, &err);
        *is_done = may_purge && rc == PN_OK;
        if (rc != PN_OK && rc != PN_NOT_FOUND)
            pn_log_error(PN_LOG_ERROR, "vault_clock_failed", &err);
        return rc;
    }
    if (!vault_kind_of(head, &kind) || !call_of(vault, head, &call, origin))
        return PN_OK;
    if (strcmp(head->type, vault_kinds[kind].deleted_type) == 0) {
        if (may_purge) {
            rc = vault_purge_over(&call, kind, &err);
            *is_done = rc == PN_OK;
        }
    } else {
        enum pn_rc renewed = kind == KIND_SECRET ? PN_OK : renew(&call, kind, &failed);

        if (renewed != PN_OK)
            pn_log_error(PN_LOG_ERROR, "vault_renewal_failed", &failed);
        rc = note_all(&call, kind, renewed == PN_OK ? NULL : &failed, &err);
        *is_done = rc == PN_OK;
    }
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_ERROR, "vault_clock_failed", &err);
    pn_store_item_fini(&call.item);
    return rc;
}

/* --- the thread --- */

/* Whether the clock went steadily long enough for what cannot be undone. */
static bool is_steady(struct vault_clock *clock, struct pn_vault *vault)
{
    uint64_t mono_ms = pn_clock_monotonic_ms();
    int64_t now_s = vault->now_s();
    int64_t moved_s = now_s - clock->seen_s - (int64_t)((mono_ms - clock->seen_mono_ms) / 1000);

    if (clock->seen_s == 0 || moved_s > JUMP_S || moved_s < -JUMP_S) {
        if (clock->seen_s != 0)
            pn_log(PN_LOG_WARN, "vault_clock_jumped", "seconds", PN_I(moved_s), NULL);
        clock->steady_since_ms = mono_ms;
    }
    clock->seen_s = now_s;
    clock->seen_mono_ms = mono_ms;
    return mono_ms - clock->steady_since_ms >= pn_limit_value(PN_LIMIT_VAULT_PURGE_DELAY);
}

/* Those due that cannot be done now stay the most urgent: then more are looked at. */
static size_t do_batch(struct pn_vault *vault, size_t max, bool may_purge, bool *has_done)
{
    struct pn_store_list due = {0};
    struct pn_error err = {0};
    size_t count;

    if (pn_store_list_due(vault->store, vault->now_s(), max, &due, &err) != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "vault_clock_failed", &err);
        return 0;
    }
    for (size_t i = 0; i < due.count && !vault->clock.is_stopping; i++) {
        bool is_done = false;

        if (vault_event_is(&due.items[i]))
            is_done = vault_event_deliver(vault, &due.items[i]);
        else
            (void)!do_due(vault, &due.items[i], may_purge, &is_done);
        *has_done = *has_done || is_done;
    }
    count = due.count;
    pn_store_list_fini(&due);
    return count;
}

bool vault_clock_turn(struct pn_vault *vault)
{
    bool may_purge = is_steady(&vault->clock, vault), has_done = false;
    size_t max = BATCH;

    while (do_batch(vault, max, may_purge, &has_done) == max && !has_done && max < BATCH_MAX)
        max *= 4;
    return has_done;
}

static void *run(void *ctx)
{
    struct pn_vault *vault = ctx;
    struct vault_clock *clock = &vault->clock;

    pthread_mutex_lock(&clock->lock);
    while (!clock->is_stopping) {
        struct timespec until;
        bool has_done;

        clock->is_woken = false;
        pthread_mutex_unlock(&clock->lock);
        has_done = vault_clock_turn(vault);
        pthread_mutex_lock(&clock->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOK_EVERY_S;
        while (!has_done && !clock->is_stopping && !clock->is_woken &&
               pthread_cond_timedwait(&clock->changed, &clock->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&clock->lock);
    return NULL;
}

void vault_wake(struct pn_vault *vault)
{
    pthread_mutex_lock(&vault->clock.lock);
    vault->clock.is_woken = true;
    pthread_cond_signal(&vault->clock.changed);
    pthread_mutex_unlock(&vault->clock.lock);
}

enum pn_rc vault_clock_init(struct vault_clock *clock)
{
    pthread_condattr_t attributes;
    bool is_fine;

    if (pthread_mutex_init(&clock->lock, NULL) != 0)
        return PN_NOMEM;
    is_fine = pthread_condattr_init(&attributes) == 0 &&
              pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&clock->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return is_fine ? PN_OK : PN_NOMEM;
}

void vault_clock_fini(struct vault_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    clock->is_stopping = true;
    pthread_cond_signal(&clock->changed);
    pthread_mutex_unlock(&clock->lock);
    if (clock->has_thread)
        pthread_join(clock->thread, NULL);
    pthread_cond_destroy(&clock->changed);
    pthread_mutex_destroy(&clock->lock);
}

enum pn_rc pn_vault_start(struct pn_vault *vault, struct pn_error *err)
{
    int failure = pthread_create(&vault->clock.thread, NULL, run, vault);

    if (failure != 0)
        return pn_error_from_errno(err, failure, "cannot start the vault's thread");
    vault->clock.has_thread = true;
    return PN_OK;
}
