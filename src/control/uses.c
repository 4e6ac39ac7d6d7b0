/* SPDX-License-Identifier: Apache-2.0
 *
 * See uses.h.
 */
#include "control/uses.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "ipc/probe.h"
#include "store/audit.h"

#define ASK_TIMEOUT_MS 3000
#define PAGES_MAX      64
#define ID_TEXT        1024
#define KEY_TEXT       640

struct pn_uses {
    struct pn_broker *broker;
    struct pn_store *store;
    char *service_id;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t sync; /* one question at a time; guards known */
    json_t *known;        /* key -> the gateway's entry as it was last seen */
    pthread_mutex_t lock; /* guards is_stopping */
    pthread_cond_t wake;
    bool is_stopping;
};

/* ---- asking ---- */

/* NULL: the gateway is away. */
static json_t *ask(struct pn_uses *uses, json_t *wish)
{
    struct pn_error err = {0};
    struct pn_buf answer;
    json_t *question = json_pack("{s:o}", "uses", wish);
    json_t *json = NULL;
    char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    if (text &&
        pn_probe_ask(uses->broker, pn_slice_str(text), ASK_TIMEOUT_MS, &answer, &err) == PN_OK &&
        pn_json_parse(pn_buf_slice(&answer), &json, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "uses_not_read", &err);
    free(text);
    json_decref(question);
    pn_buf_fini(&answer);
    return json;
}

/* All entries by their keys; NULL: the gateway is away. */
static json_t *read_all(struct pn_uses *uses)
{
    json_t *all = json_object();
    int64_t seen = 0, total = 1;

    for (int page = 0; all && page < PAGES_MAX && seen < total; page++) {
        json_t *answer = ask(uses, json_pack("{s:I}", "skip", (json_int_t)seen));
        json_t *list = json_object_get(answer, "uses");
        json_t *use;
        size_t i;

        if (!list) {
            json_decref(answer);
            json_decref(all);
            return NULL;
        }
        json_array_foreach(list, i, use)
        {
            char key[KEY_TEXT];

            (void)snprintf(key, sizeof(key), "%s\n%lld\n%s", pn_json_str(use, "certificate"),
                           (long long)pn_json_int(use, "generation", 0),
                           pn_json_str(use, "backend"));
            (void)json_object_set(all, key, use);
        }
        seen += (int64_t)json_array_size(list);
        total = json_array_size(list) > 0 ? pn_json_int(answer, "total", 0) : seen;
        json_decref(answer);
    }
    return all;
}

/* ---- noting ---- */

/* The gateway knows one of a workspace as "workspaces/{w}/certificates/{c}". */
static void certificate_id(const struct pn_uses *uses, const json_t *use, char out[ID_TEXT])
{
    const char *name = pn_json_str(use, "certificate");
    bool is_whole = name && strncmp(name, "workspaces/", strlen("workspaces/")) == 0;

    (void)snprintf(out, ID_TEXT, "%s/%s%s", uses->service_id, is_whole ? "" : "certificates/",
                   name ? name : "");
}

static enum pn_rc note(struct pn_uses *uses, const json_t *use, bool has_ended)
{
    char from[PN_TIME_TEXT], until[PN_TIME_TEXT], id[ID_TEXT];
    struct pn_error err = {0};
    json_t *entry;
    enum pn_rc rc;

    pn_time_iso8601_ticks(pn_json_int(use, "firstMs", 0), from);
    pn_time_iso8601_ticks(pn_json_int(use, "lastMs", 0), until);
    certificate_id(uses, use, id);
    entry =
        json_pack("{s:s, s:s, s:s, s:O?, s:O?, s:O?, s:s, s:s*}", "kind", "use", "what",
                  has_ended ? "ended" : "began", "certificate", id, "generation",
                  json_object_get(use, "generation"), "thumbprint",
                  json_object_get(use, "thumbprint"), "backend", json_object_get(use, "backend"),
                  "from", from, "until", has_ended ? until : NULL);
    rc = entry ? pn_audit_add_alone(uses->store, entry, &err)
               : pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc != PN_OK)
        pn_log_error(PN_LOG_WARN, "use_not_noted", &err);
    json_decref(entry);
    return rc;
}

/* Whether the certificate still has this generation as its current one. */
static bool serves(struct pn_uses *uses, const json_t *use)
{
    char id[ID_TEXT];
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    bool does;

    certificate_id(uses, use, id);
    if (pn_store_get(uses->store, id, &item, &err) != PN_OK)
        return err.rc != PN_NOT_FOUND;
    does = pn_json_int(json_object_get(item.body, "internal"), "generation", 1) ==
           pn_json_int(use, "generation", 0);
    pn_store_item_fini(&item);
    return does;
}

static json_t *triple_of(const json_t *use)
{
    return json_pack("[O?, O?, O?]", json_object_get(use, "certificate"),
                     json_object_get(use, "generation"), json_object_get(use, "backend"));
}

/* What a gateway that is gone has told of is over. */
static void end_lost(struct pn_uses *uses, const json_t *all)
{
    const char *key;
    json_t *use;
    void *next;

    json_object_foreach_safe(uses->known, next, key, use)
    {
        if (!json_object_get(all, key) && note(uses, use, true) == PN_OK)
            (void)json_object_del(uses->known, key);
    }
}

static void look(struct pn_uses *uses, const json_t *all, json_t *tell, json_t *forget)
{
    const char *key;
    json_t *use;

    json_object_foreach((json_t *)(uintptr_t)all, key, use)
    {
        bool is_known = json_object_get(uses->known, key) || pn_json_bool(use, "isTold", false);

        if (!is_known && note(uses, use, false) != PN_OK)
            continue;
        (void)json_object_set(uses->known, key, use);
        if (!pn_json_bool(use, "isTold", false))
            (void)json_array_append_new(tell, triple_of(use));
        if (pn_json_int(use, "open", 1) > 0 || serves(uses, use) || note(uses, use, true) != PN_OK)
            continue;
        (void)json_object_del(uses->known, key);
        (void)json_array_append_new(forget, triple_of(use));
    }
}

void pn_uses_sync(void *ctx)
{
    struct pn_uses *uses = ctx;
    json_t *all, *tell, *forget;

    pthread_mutex_lock(&uses->sync);
    all = read_all(uses);
    tell = json_array();
    forget = json_array();
    if (all && tell && forget) {
        end_lost(uses, all);
        look(uses, all, tell, forget);
        if (json_array_size(tell) + json_array_size(forget) > 0)
            json_decref(ask(uses, json_pack("{s:O, s:O}", "tell", tell, "forget", forget)));
    }
    json_decref(all);
    json_decref(tell);
    json_decref(forget);
    pthread_mutex_unlock(&uses->sync);
}

/* ---- life ---- */

enum pn_rc pn_uses_create(struct pn_broker *broker, struct pn_store *store, const char *service_id,
                          struct pn_uses **result, struct pn_error *err)
{
    struct pn_uses *uses = calloc(1, sizeof(*uses));
    pthread_condattr_t attributes;

    if (uses) {
        uses->service_id = strdup(service_id);
        uses->known = json_object();
    }
    if (!uses || !uses->service_id || !uses->known) {
        if (uses)
            free(uses->service_id);
        free(uses);
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    uses->broker = broker;
    uses->store = store;
    pthread_mutex_init(&uses->sync, NULL);
    pthread_mutex_init(&uses->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&uses->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    *result = uses;
    return PN_OK;
}

static void *run(void *ctx)
{
    struct pn_uses *uses = ctx;
    bool is_stopping = false;

    while (!is_stopping) {
        uint64_t until_ms = pn_clock_monotonic_ms() + PN_USES_EVERY_MS;
        struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                              .tv_nsec = (long)(until_ms % 1000) * 1000000};

        pthread_mutex_lock(&uses->lock);
        while (!uses->is_stopping && pthread_cond_timedwait(&uses->wake, &uses->lock, &at) == 0)
            continue;
        is_stopping = uses->is_stopping;
        pthread_mutex_unlock(&uses->lock);
        if (!is_stopping)
            pn_uses_sync(uses);
    }
    return NULL;
}

enum pn_rc pn_uses_start(struct pn_uses *uses, struct pn_error *err)
{
    int failed = pthread_create(&uses->thread, NULL, run, uses);

    if (failed)
        return pn_error_from_errno(err, failed, "cannot start the thread of uses");
    uses->has_thread = true;
    return PN_OK;
}

void pn_uses_destroy(struct pn_uses *uses)
{
    if (!uses)
        return;
    pthread_mutex_lock(&uses->lock);
    uses->is_stopping = true;
    pthread_cond_signal(&uses->wake);
    pthread_mutex_unlock(&uses->lock);
    if (uses->has_thread)
        pthread_join(uses->thread, NULL);
    pthread_cond_destroy(&uses->wake);
    pthread_mutex_destroy(&uses->lock);
    pthread_mutex_destroy(&uses->sync);
    json_decref(uses->known);
    free(uses->service_id);
    free(uses);
}
