/* SPDX-License-Identifier: Apache-2.0
 *
 * The last failure of each backend.
 */
#include "gateway/last_failure.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "gateway/probe_answer.h"

struct entry {
    struct pn_list age; /* in failures->ages, that of the oldest failure first */
    char *name;
    const char *code;                   /* static */
    char *story;                        /* JSON; NULL: none yet */
    uint64_t count;                     /* of this code in a row */
    int64_t first_ms, last_ms, told_ms; /* Unix time */
};

struct pn_last_failures {
    pthread_mutex_t lock;
    struct pn_map *by_name;
    struct pn_list ages;
};

struct pn_last_failures *pn_last_failures_create(void)
{
    struct pn_last_failures *failures = calloc(1, sizeof(*failures));

    if (!failures)
        return NULL;
    (void)pthread_mutex_init(&failures->lock, NULL);
    pn_list_init(&failures->ages);
    failures->by_name = pn_map_create_borrowing(false);
    if (failures->by_name)
        return failures;
    pn_last_failures_destroy(failures);
    return NULL;
}

static void entry_free(void *value)
{
    struct entry *entry = value;

    free(entry->name);
    free(entry->story);
    free(entry);
}

void pn_last_failures_destroy(struct pn_last_failures *failures)
{
    if (!failures)
        return;
    pn_map_destroy(failures->by_name, entry_free);
    (void)pthread_mutex_destroy(&failures->lock);
    free(failures);
}

/* --- under the lock --- */

static void drop(struct pn_last_failures *failures, struct entry *entry)
{
    (void)pn_map_remove(failures->by_name, pn_slice_str(entry->name));
    pn_list_remove(&entry->age);
    entry_free(entry);
}

/** The backend's entry, made when it is missing. NULL: no memory. */
static struct entry *entry_of(struct pn_last_failures *failures, const char *backend)
{
    struct entry *entry = pn_map_get(failures->by_name, pn_slice_str(backend));

    if (entry)
        return entry;
    if (pn_map_count(failures->by_name) >= pn_limit_value(PN_LIMIT_LAST_FAILURES)) {
        pn_limit_hit(PN_LIMIT_LAST_FAILURES);
        drop(failures, PN_CONTAINER(failures->ages.next, struct entry, age));
    }
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    pn_list_init(&entry->age);
    entry->name = strdup(backend);
    if (!entry->name ||
        pn_map_set(failures->by_name, pn_slice_str(entry->name), entry, NULL) != PN_OK) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

/** Counts it. Whether it is to be told anew. */
static bool count(struct pn_last_failures *failures, const char *backend, const char *code)
{
    int64_t now_ms = pn_clock_unix_ms();
    struct entry *entry = entry_of(failures, backend);

    if (!entry)
        return false;
    pn_list_remove(&entry->age);
    pn_list_push_back(&failures->ages, &entry->age);
    if (!entry->code || strcmp(entry->code, code) != 0) {
        entry->code = code;
        entry->count = 0;
        entry->first_ms = now_ms;
        entry->told_ms = 0;
    }
    entry->count++;
    entry->last_ms = now_ms;
    if (now_ms - entry->told_ms < PN_LAST_FAILURE_REST_MS && now_ms >= entry->told_ms)
        return false;
    entry->told_ms = now_ms;
    return true;
}

/* --- the story --- */

static char *make_story(const struct pn_failure *failure, const struct pn_stream *stream)
{
    struct pn_probe_facts *facts = calloc(1, sizeof(*facts));
    struct pn_tls_story *story = calloc(1, sizeof(*story));
    json_t *json = NULL;
    char *text;

    if (facts && story) {
        facts->cause = failure->code;
        facts->report.alert = -1;
        (void)snprintf(facts->sentence, sizeof(facts->sentence), "%s", failure->text);
        if (stream) {
            facts->report = *pn_stream_report(stream);
            pn_stream_story(stream, story);
        }
        facts->addresses =
            json_pack("[{s:s, s:s}]", "address", failure->peer, "cause", failure->code);
        if (facts->addresses)
            json = pn_probe_answer(facts, story);
        json_decref(facts->addresses);
    }
    if (story)
        pn_tls_story_fini(story);
    free(story);
    free(facts);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

void pn_last_failures_note(struct pn_last_failures *failures, const char *backend,
                           const struct pn_failure *failure, const struct pn_stream *stream)
{
    struct entry *entry;
    char *story;
    bool is_news;

    pthread_mutex_lock(&failures->lock);
    is_news = count(failures, backend, failure->code);
    pthread_mutex_unlock(&failures->lock);
    if (!is_news)
        return;
    story = make_story(failure, stream);
    if (!story)
        return;
    pthread_mutex_lock(&failures->lock);
    entry = pn_map_get(failures->by_name, pn_slice_str(backend));
    if (entry && strcmp(entry->code, failure->code) == 0) {
        free(entry->story);
        entry->story = story;
        story = NULL;
    }
    pthread_mutex_unlock(&failures->lock);
    free(story);
}

json_t *pn_last_failures_get(struct pn_last_failures *failures, struct pn_slice backend)
{
    char first[PN_TIME_TEXT], last[PN_TIME_TEXT];
    const struct entry *entry;
    struct pn_error err;
    json_t *json = NULL;
    uint64_t times = 0;

    pthread_mutex_lock(&failures->lock);
    entry = pn_map_get(failures->by_name, backend);
    if (entry && entry->story && pn_json_parse(pn_slice_str(entry->story), &json, &err) == PN_OK) {
        pn_time_iso8601(entry->first_ms / 1000, first);
        pn_time_iso8601(entry->last_ms / 1000, last);
        times = entry->count;
    }
    pthread_mutex_unlock(&failures->lock);
    if (json && (json_object_set_new(json, "firstAt", json_string(first)) != 0 ||
                 json_object_set_new(json, "at", json_string(last)) != 0 ||
                 json_object_set_new(json, "count", json_integer((json_int_t)times)) != 0)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

static bool is_there(const struct pn_catalog *now, const char *name)
{
    return name[0] == '/' ? pn_catalog_has(now, pn_slice_str(name))
                          : pn_snapshot_has_backend(pn_catalog_snapshot(now), pn_slice_str(name));
}

void pn_last_failures_prune(struct pn_last_failures *failures, const struct pn_catalog *now)
{
    struct pn_list *at;

    pthread_mutex_lock(&failures->lock);
    for (at = failures->ages.next; at != &failures->ages;) {
        struct entry *entry = PN_CONTAINER(at, struct entry, age);

        at = at->next;
        if (!is_there(now, entry->name))
            drop(failures, entry);
    }
    pthread_mutex_unlock(&failures->lock);
}
