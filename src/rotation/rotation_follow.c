/* SPDX-License-Identifier: Apache-2.0
 *
 * The follower: which vault objects there are to follow, when each is due, and one poll of each.
 *
 * Thread: rotation_turn() runs on the follower's thread alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/encode.h"
#include "base/json.h"
#include "base/log.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

#define KEY_TEXT      2048
#define SCAN_EVERY_MS 60000 /* at least, so that nothing depends on being told */
#define BACKOFF_SHIFT 6
#define FETCH_TRIES   3
#define VALUE_BYTES_MAX                                                                            \
    16384 /* of a named value: 4096 characters                                                     \
           */

static void drop(struct followed *followed)
{
    for (size_t i = 0; i < followed->certificate_count; i++)
        free(followed->certificates[i]);
    free(followed->certificates);
    free(followed->key);
    free(followed->service_id);
    free(followed->client_id);
    memset(followed, 0, sizeof *followed);
}

static void drop_all(struct followed *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop(&list[i]);
    free(list);
}

void rotation_drop_followed(struct pn_rotation *rotation)
{
    drop_all(rotation->followed, rotation->followed_count);
    rotation->followed = NULL;
    rotation->followed_count = 0;
}

static struct followed *find(struct followed *list, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].key, key) == 0)
            return &list[i];
    }
    return NULL;
}

/* ±10 % of `ms`, so that many nodes and objects do not come at once. */
static uint64_t jitter(uint64_t ms)
{
    uint32_t random;

    pn_random(&random, sizeof random);
    return ms - ms / 10 + random % (ms / 5 + 1);
}

/* ---- what to follow ---- */

struct scan {
    struct followed *list;
    size_t count;
};

static struct followed *add_object(struct pn_rotation *rotation, struct scan *scan, const char *key,
                                   enum pn_key_use use, const struct pn_keyvault_id *id,
                                   const char *service_id, const char *client_id)
{
    const struct followed *former = find(rotation->followed, rotation->followed_count, key);
    struct followed *grown, *made;

    if (scan->count >= PN_ROTATION_OBJECTS_MAX)
        return NULL;
    grown = realloc(scan->list, (scan->count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    scan->list = grown;
    made = &grown[scan->count];
    memset(made, 0, sizeof *made);
    made->key = strdup(key);
    made->service_id = strdup(service_id);
    made->client_id = strdup(client_id);
    if (!made->key || !made->service_id || !made->client_id) {
        drop(made);
        return NULL;
    }
    made->use = use;
    made->id = *id;
    made->is_settled = true;
    made->due_ms = former ? former->due_ms
                          : rotation->mono_ms() + jitter((uint64_t)rotation->interval_s * 1000);
    made->failures = former ? former->failures : 0;
    scan->count++;
    return made;
}

/* A certificate joins its object; the object is settled while all have one version and are well. */
static bool join(struct followed *object, const struct pn_store_item *item, const json_t *key_vault)
{
    const char *version = pn_json_str(json_object_get(item->body, "internal"), "secretVersion");
    const char *code = pn_json_str(json_object_get(key_vault, "lastStatus"), "code");
    char **grown = realloc(object->certificates,
                           (object->certificate_count + 1) * sizeof *object->certificates);

    if (!grown)
        return false;
    object->certificates = grown;
    grown[object->certificate_count] = strdup(item->id);
    if (!grown[object->certificate_count])
        return false;
    if (object->certificate_count == 0)
        snprintf(object->version, sizeof object->version, "%s", version ? version : "");
    object->is_settled = object->is_settled && version && strcmp(version, object->version) == 0 &&
                         code && strcmp(code, "Success") == 0;
    object->certificate_count++;
    return true;
}

/* The service's id: the certificate's without "/certificates/{name}" (or a host name's). */
static char *service_of(const char *certificate_id)
{
    struct pn_slice id = pn_slice_str(certificate_id);

    for (int slashes = 0; id.len > 0 && slashes < 2; id.len--) {
        if (id.ptr[id.len - 1] == '/')
            slashes++;
    }
    return pn_slice_dup(id);
}

/* The vault object that the item follows now: "use, service, client id, origin, name". False: none.
 */
static bool object_key(const struct pn_store_item *item, enum pn_key_use use, bool is_value,
                       struct pn_keyvault_id *id, char key[KEY_TEXT])
{
    const json_t *key_vault =
        json_object_get(json_object_get(item->body, "properties"), "keyVault");
    const char *client_id = pn_json_str(key_vault, "identityClientId");
    struct pn_slice identifier = pn_json_slice(key_vault, "secretIdentifier");
    char *service_id;

    if (!identifier.ptr || pn_keyvault_id_parse(identifier, id, NULL) != PN_OK || id->version[0])
        return false;
    service_id = service_of(item->id);
    if (!service_id)
        return false;
    snprintf(key, KEY_TEXT, "%d\n%s\n%s\n%s\n%s", is_value ? -1 : (int)use, service_id,
             client_id ? client_id : "", id->origin, id->name);
    free(service_id);
    for (char *at = key; *at; at++)
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
    return true;
}

static void scan_item(struct pn_rotation *rotation, struct scan *scan, enum pn_key_use use,
                      bool is_value, const struct pn_store_item *item)
{
    const json_t *key_vault =
        json_object_get(json_object_get(item->body, "properties"), "keyVault");
    const char *client_id = pn_json_str(key_vault, "identityClientId");
    struct pn_keyvault_id id;
    struct followed *object;
    char key[KEY_TEXT];
    char *service_id;

    if (!object_key(item, use, is_value, &id, key))
        return;
    service_id = service_of(item->id);
    if (service_id) {
        object = find(scan->list, scan->count, key);
        if (!object)
            object =
                add_object(rotation, scan, key, use, &id, service_id, client_id ? client_id : "");
        if (object)
            object->is_value = is_value;
        if (!object || !join(object, item, key_vault))
            pn_log(PN_LOG_ERROR, "rotation_limit", "certificate", PN_S(item->id), "objects",
                   PN_I(scan->count), NULL);
    }
    free(service_id);
}

/* A new object, or one whose version another thread changed since the last look (a PUT, a refresh):
 * the vault may have told of a newer version just then, so it is looked at soon. */
static void hurry_changed(const struct pn_rotation *rotation, const struct scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct followed *object = &scan->list[i];
        const struct followed *former =
            find(rotation->followed, rotation->followed_count, object->key);
        uint64_t soon_ms = rotation->mono_ms() + jitter(FIRST_POLL_DELAY_MS / 2);

        if ((!former || strcmp(former->version, object->version) != 0) && object->due_ms > soon_ms)
            object->due_ms = soon_ms;
    }
}

static bool scan_type(struct pn_rotation *rotation, struct scan *scan, const char *type,
                      enum pn_key_use use, bool is_value)
{
    struct pn_store_list list = {0};
    struct pn_error err = {0};

    if (pn_store_list_followed(rotation->config.store, type, &list, &err) != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "rotation_scan_failed", &err);
        return false;
    }
    for (size_t i = 0; i < list.count; i++)
        scan_item(rotation, scan, use, is_value, &list.items[i]);
    pn_store_list_fini(&list);
    return true;
}

static void scan_store(struct pn_rotation *rotation)
{
    struct scan scan = {0};

    if (!scan_type(rotation, &scan, CERTIFICATE_TYPE, PN_USE_CLIENT, false) ||
        !scan_type(rotation, &scan, HOSTNAME_TYPE, PN_USE_SERVER, false) ||
        (rotation->config.apply_value &&
         !scan_type(rotation, &scan, NAMED_VALUE_TYPE, PN_USE_CLIENT, true))) {
        drop_all(scan.list, scan.count);
        return;
    }
    hurry_changed(rotation, &scan);
    rotation_drop_followed(rotation);
    rotation->followed = scan.list;
    rotation->followed_count = scan.count;
}

/* ---- one poll ---- */

/* What was got: one of both, or why not. */
struct outcome {
    const struct pn_fetched *fetched;
    const struct pn_rotation_value *value;
    const struct pn_error *failure;
    uint64_t since; /* the store's revision when the vault was asked */
};

static enum pn_rc apply_to_one(struct pn_rotation *rotation, const struct followed *object,
                               const char *id, const char *identifier,
                               const struct outcome *outcome, struct pn_error *err)
{
    const struct pn_rotation_config *config = &rotation->config;

    if (!object->is_value)
        return rotation_apply(rotation, id, identifier, outcome->fetched, outcome->failure, false,
                              err);
    /* Our own stop says nothing about the vault: lastStatus stays. */
    if (outcome->failure && strcmp(outcome->failure->code, PN_KEYVAULT_STOPPING) == 0)
        return PN_OK;
    return config->apply_value(config->apply_value_ctx, id, identifier, outcome->value,
                               outcome->failure, false, err);
}

static bool follows(const struct followed *object, const struct pn_store_item *item)
{
    struct pn_keyvault_id id;
    char key[KEY_TEXT];

    return object_key(item, object->use, object->is_value, &id, key) &&
           strcmp(key, object->key) == 0;
}

/* To all that follow the object still: since the last scan, and while the vault was asked, somebody
 * may have given them another source, of which this is not the content. Or a refresh may have found
 * something newer: PN_AGAIN, the vault has to be asked once more. */
static enum pn_rc apply_to_all(struct pn_rotation *rotation, const struct followed *object,
                               const struct outcome *outcome)
{
    enum pn_rc worst = PN_OK;

    for (size_t i = 0; i < object->certificate_count; i++) {
        struct pn_store_item item = {0};
        struct pn_error err = {0};
        enum pn_rc rc = pn_store_get(rotation->config.store, object->certificates[i], &item, &err);

        if (rc == PN_OK && follows(object, &item)) {
            if (item.revision > outcome->since)
                rc = outcome->failure ? PN_OK : PN_AGAIN;
            else
                rc = apply_to_one(
                    rotation, object, object->certificates[i],
                    pn_json_str(
                        json_object_get(json_object_get(item.body, "properties"), "keyVault"),
                        "secretIdentifier"),
                    outcome, &err);
        }
        pn_store_item_fini(&item);
        if (rc == PN_AGAIN)
            return rc;
        if (rc != PN_OK && rc != PN_NOT_FOUND) {
            pn_log_error(PN_LOG_ERROR, "rotation_failed", &err);
            worst = rc;
        }
    }
    return worst;
}

/* Fetches once and gives it to all; again when that has been overtaken, or the key was forgotten
 * under our hands. */
static enum pn_rc fetch_and_apply(struct pn_rotation *rotation, const struct followed *object,
                                  struct pn_error *err)
{
    char identifier[PN_KEYVAULT_HOST_TEXT + PN_KEYVAULT_NAME_TEXT + 64];
    struct pn_fetched fetched;
    enum pn_rc rc = PN_AGAIN;

    snprintf(identifier, sizeof identifier, "%s/secrets/%s", object->id.origin, object->id.name);
    for (int i = 0; rc == PN_AGAIN && i < FETCH_TRIES; i++) {
        rc = pn_rotation_fetch_certificate(rotation, object->use, object->service_id, identifier,
                                           object->client_id, &fetched, err);
        if (rc == PN_OK) {
            const struct outcome outcome = {.fetched = &fetched, .since = fetched.since};

            rc = apply_to_all(rotation, object, &outcome);
            pn_rotation_forget_unused(rotation, object->use, &fetched.imported.key);
            pn_fetched_fini(&fetched);
            if (rc != PN_OK && rc != PN_AGAIN)
                return PN_OK; /* not the vault's fault: logged, and tried again with the next poll
                               */
        }
    }
    return rc;
}

static enum pn_rc fetch_and_apply_value(struct pn_rotation *rotation, const struct followed *object,
                                        struct pn_error *err)
{
    char identifier[PN_KEYVAULT_HOST_TEXT + PN_KEYVAULT_NAME_TEXT + 64];
    char version[PN_KEYVAULT_VERSION_TEXT] = "";
    struct pn_buf text;
    bool is_overtaken = true;
    enum pn_rc rc = PN_OK;

    snprintf(identifier, sizeof identifier, "%s/secrets/%s", object->id.origin, object->id.name);
    pn_buf_init_secret(&text, VALUE_BYTES_MAX);
    for (int i = 0; rc == PN_OK && is_overtaken && i < FETCH_TRIES; i++) {
        uint64_t since = pn_store_revision(rotation->config.store);

        pn_buf_clear(&text);
        rc = pn_rotation_fetch_value(rotation, object->service_id, identifier, object->client_id,
                                     &text, version, err);
        if (rc == PN_OK) {
            const struct pn_rotation_value value = {
                .text = pn_buf_slice(&text), .version = version, .since = since};
            const struct outcome outcome = {.value = &value, .since = since};

            /* Other failures are logged; tried again with the next poll. */
            is_overtaken = apply_to_all(rotation, object, &outcome) == PN_AGAIN;
        }
    }
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc poll_object(struct pn_rotation *rotation, const struct followed *object,
                              unsigned *retry_after_s, struct pn_error *err)
{
    struct pn_identity_ref identity = {.owner_id = object->service_id,
                                       .client_id = object->client_id};
    char newest[PN_KEYVAULT_VERSION_TEXT];
    enum pn_rc rc = pn_keyvault_newest_version(rotation->config.keyvault, &identity, &object->id,
                                               newest, retry_after_s, err);

    if (rc == PN_OK && object->is_settled && strcmp(newest, object->version) == 0)
        return PN_OK;
    if (rc == PN_OK || rc == PN_AGAIN)
        rc = object->is_value ? fetch_and_apply_value(rotation, object, err)
                              : fetch_and_apply(rotation, object, err);
    return rc;
}

static void run_poll(struct pn_rotation *rotation, struct followed *object)
{
    uint64_t wait_ms = (uint64_t)rotation->interval_s * 1000;
    uint64_t max_ms = (uint64_t)PN_ROTATION_BACKOFF_MAX_S * 1000;
    uint64_t least_ms;
    uint64_t since = pn_store_revision(rotation->config.store);
    unsigned retry_after_s = 0;
    struct pn_error err = {0};
    enum pn_rc rc = poll_object(rotation, object, &retry_after_s, &err);

    if (rc == PN_OK) {
        object->failures = 0;
    } else {
        const struct outcome outcome = {.failure = &err, .since = since};

        if (err.rc == PN_OK)
            pn_error_set(&err, rc, "internal", "the poll failed: %s", pn_rc_name(rc));
        (void)apply_to_all(rotation, object, &outcome);
        object->failures += object->failures < BACKOFF_SHIFT ? 1 : 0;
        wait_ms <<= object->failures;
        if (wait_ms > max_ms)
            wait_ms = max_ms;
    }
    least_ms = (uint64_t)retry_after_s * 1000;
    if (least_ms > max_ms)
        least_ms = max_ms;
    if (wait_ms < least_ms)
        wait_ms = least_ms;
    wait_ms = jitter(wait_ms);
    /* Chance never asks a vault earlier than it said (RFC 9110 §10.2.3). */
    object->due_ms = rotation->mono_ms() + (wait_ms > least_ms ? wait_ms : least_ms);
}

/* ---- turns ---- */

static bool is_in_vault(const struct pn_keyvault_id *id, const char *vault)
{
    size_t len = strcspn(id->host, ".");
    bool is_bare = strcmp(id->host, "localhost") == 0 || strcmp(id->host, "::1") == 0 ||
                   strncmp(id->host, "127.", 4) == 0;

    if (is_bare)
        return strcasecmp(vault, "local") == 0;
    return strlen(vault) == len && strncasecmp(id->host, vault, len) == 0;
}

static bool is_about(const struct notice *notice, const struct pn_keyvault_id *id)
{
    bool is_there = notice->vault[0] ? is_in_vault(id, notice->vault)
                                     : strcasecmp(notice->origin, id->origin) == 0;

    return is_there && (!notice->name[0] || strcasecmp(notice->name, id->name) == 0);
}

/* What the embedded vault or somebody else told of is due now. */
static void take_notices(struct pn_rotation *rotation)
{
    struct notice *notices = NULL;
    size_t count;
    bool overflowed;

    pthread_mutex_lock(&rotation->lock);
    count = rotation->notice_count;
    if (count > 0)
        notices = malloc(count * sizeof notices[0]);
    overflowed = rotation->notices_overflowed || (count > 0 && !notices);
    if (notices)
        memcpy(notices, rotation->notices, count * sizeof notices[0]);
    rotation->notice_count = 0;
    rotation->notices_overflowed = false;
    pthread_mutex_unlock(&rotation->lock);
    for (size_t i = 0; i < rotation->followed_count; i++) {
        struct followed *object = &rotation->followed[i];
        bool is_told = overflowed;

        for (size_t n = 0; notices && n < count && !is_told; n++)
            is_told = is_about(&notices[n], &object->id);
        if (!is_told)
            continue;
        object->due_ms = 0;
        pn_log(PN_LOG_INFO, "vault_object_told", "origin", PN_S(object->id.origin), "name",
               PN_S(object->id.name), "certificates", PN_I(object->certificate_count), NULL);
    }
    free(notices);
}

static bool is_stopping(struct pn_rotation *rotation)
{
    bool stopping;

    pthread_mutex_lock(&rotation->lock);
    stopping = rotation->is_stopping;
    pthread_mutex_unlock(&rotation->lock);
    return stopping;
}

/* Takes what the lock guards: to be done before the look at the store, or what changes in between
 * would be missed. */
static void begin_turn(struct pn_rotation *rotation)
{
    pthread_mutex_lock(&rotation->lock);
    rotation->needs_scan = false;
    if (rotation->needs_watch) {
        uint64_t soon_ms = rotation->mono_ms() + PN_ROTATION_CANARY_EVERY_MS;

        rotation->needs_watch = false;
        if (rotation->watch_due_ms > soon_ms)
            rotation->watch_due_ms = soon_ms;
    }
    pthread_mutex_unlock(&rotation->lock);
}

static bool needs_scan(struct pn_rotation *rotation)
{
    bool needs;

    pthread_mutex_lock(&rotation->lock);
    needs = rotation->needs_scan;
    pthread_mutex_unlock(&rotation->lock);
    return needs;
}

/* The object that has been due for longest, or NULL: what was told of is due since ever. */
static struct followed *most_due(const struct pn_rotation *rotation)
{
    struct followed *found = NULL;

    for (size_t i = 0; i < rotation->followed_count; i++) {
        struct followed *object = &rotation->followed[i];

        if (object->due_ms <= rotation->mono_ms() && (!found || object->due_ms < found->due_ms))
            found = object;
    }
    return found;
}

/* What was told of comes first, also of what is told meanwhile: a rotation does not wait for the
 * polls of other objects, nor for the watch over former ones. */
uint64_t rotation_turn(struct pn_rotation *rotation)
{
    uint64_t next_ms = rotation->mono_ms() + SCAN_EVERY_MS;
    struct followed *object;

    begin_turn(rotation);
    scan_store(rotation);
    take_notices(rotation);
    for (object = most_due(rotation); object && !is_stopping(rotation);
         object = most_due(rotation)) {
        run_poll(rotation, object);
        if (needs_scan(rotation)) /* what it found out may be in the store already */
            return rotation->mono_ms();
        take_notices(rotation);
    }
    if (rotation->watch_due_ms <= rotation->mono_ms() && !is_stopping(rotation))
        rotation->watch_due_ms = rotation->mono_ms() + rotation_watch(rotation);
    if (rotation->watch_due_ms < next_ms)
        next_ms = rotation->watch_due_ms;
    for (size_t i = 0; i < rotation->followed_count; i++) {
        if (rotation->followed[i].due_ms < next_ms)
            next_ms = rotation->followed[i].due_ms;
    }
    return next_ms;
}

void *rotation_thread(void *ctx)
{
    struct pn_rotation *rotation = ctx;

    while (!is_stopping(rotation)) {
        uint64_t until_ms = rotation_turn(rotation);
        struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                              .tv_nsec = (long)(until_ms % 1000) * 1000000};

        pthread_mutex_lock(&rotation->lock);
        while (!rotation->is_stopping && !rotation->needs_scan && rotation->notice_count == 0 &&
               !rotation->notices_overflowed &&
               pthread_cond_timedwait(&rotation->wake, &rotation->lock, &at) == 0)
            continue;
        pthread_mutex_unlock(&rotation->lock);
    }
    return NULL;
}
