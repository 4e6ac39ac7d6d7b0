/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the thread that looks and sends. See events.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/encode.h"
#include "events/events_internal.h"
#include "store/store.h"

#define TICK_MS 500

int64_t events_now_ms(const struct pn_events *events)
{
    return events->config.now_ms ? events->config.now_ms() : pn_clock_unix_ms();
}

enum pn_rc pn_webhook_check(const char *url, struct pn_error *err)
{
    char shown[300];
    bool is_loopback = false, is_https = false;

    if (strlen(url) > PN_WEBHOOK_URL_MAX || strchr(url, ' ') ||
        !webhook_origin(url, shown, sizeof(shown), &is_loopback, &is_https))
        return pn_error_set(err, PN_INVALID, "webhook",
                            "a webhook is an https:// URL of at most "
                            "%d bytes",
                            PN_WEBHOOK_URL_MAX);
    if (!is_https && !is_loopback)
        return pn_error_set(err, PN_INVALID, "webhook",
                            "a webhook outside of this machine needs https://");
    return PN_OK;
}

enum pn_rc pn_events_create(const struct pn_events_config *config, struct pn_events **result,
                            struct pn_error *err)
{
    struct pn_events *events = calloc(1, sizeof(*events));
    pthread_condattr_t attributes;

    if (!events)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    events->config = *config;
    for (size_t i = 0;
         config->webhooks && config->webhooks[i] && events->hook_count < PN_WEBHOOKS_MAX; i++) {
        struct hook *hook = &events->hooks[events->hook_count++];
        bool is_loopback, is_https;

        hook->url = config->webhooks[i];
        pn_sha256_hex(pn_slice_str(hook->url), hook->hash);
        if (!webhook_origin(hook->url, hook->shown, sizeof(hook->shown), &is_loopback, &is_https))
            hook->shown[0] = '\0';
    }
    pthread_mutex_init(&events->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&events->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    *result = events;
    return PN_OK;
}

static void rest(struct pn_events *events)
{
    uint64_t until_ms = pn_clock_monotonic_ms() + TICK_MS;
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};

    pthread_mutex_lock(&events->lock);
    if (!atomic_load(&events->is_stopping))
        (void)pthread_cond_timedwait(&events->wake, &events->lock, &at);
    pthread_mutex_unlock(&events->lock);
}

static bool is_time_to_look(const struct pn_events *events)
{
    uint64_t since_ms = pn_clock_monotonic_ms() - events->looked_ms;

    return !events->has_looked || since_ms >= PN_EVENTS_LOOK_EVERY_MS ||
           (since_ms >= PN_EVENTS_CHANGED_AFTER_MS &&
            pn_store_revision(events->config.store) != events->looked_revision);
}

/* When the nearest webhook that failed may be tried again; 0: none waits. */
static bool has_to_retry(const struct pn_events *events)
{
    for (size_t i = 0; i < events->hook_count; i++) {
        if (events->hooks[i].failures > 0 && pn_clock_monotonic_ms() >= events->hooks[i].next_ms)
            return true;
    }
    return false;
}

static void *run(void *ctx)
{
    struct pn_events *events = ctx;

    while (!atomic_load(&events->is_stopping)) {
        if (is_time_to_look(events)) {
            events->looked_revision = pn_store_revision(events->config.store);
            events_look(events);
            events->looked_ms = pn_clock_monotonic_ms();
            events->has_looked = true;
            events_send(events);
        } else if (has_to_retry(events)) {
            events_send(events);
        }
        rest(events);
    }
    return NULL;
}

enum pn_rc pn_events_start(struct pn_events *events, struct pn_error *err)
{
    int failed;

    if (events->hook_count == 0)
        return PN_OK;
    failed = pthread_create(&events->thread, NULL, run, events);
    if (failed)
        return pn_error_from_errno(err, failed, "cannot start the events' thread");
    events->has_thread = true;
    return PN_OK;
}

void pn_events_destroy(struct pn_events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    atomic_store(&events->is_stopping, true);
    pthread_cond_signal(&events->wake);
    pthread_mutex_unlock(&events->lock);
    if (events->has_thread)
        pthread_join(events->thread, NULL);
    pthread_cond_destroy(&events->wake);
    pthread_mutex_destroy(&events->lock);
    free(events);
}
