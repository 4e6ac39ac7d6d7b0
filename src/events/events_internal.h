/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "events/events.h"

#define EVENT_TYPE   "postern/event"
#define EVENT_PREFIX "/postern/events/"
#define HOOK_HASH    65

struct hook {
    const char *url;
    char hash[HOOK_HASH]; /* of the url: what the store knows it by */
    char shown[300];      /* "https://host:port" */
    unsigned failures;    /* in a row */
    uint64_t next_ms;     /* monotonic; nothing is sent before */
};

struct pn_events {
    struct pn_events_config config;
    struct hook hooks[PN_WEBHOOKS_MAX];
    size_t hook_count;
    uint64_t looked_ms, looked_revision;
    bool has_looked;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic bool is_stopping;
};

int64_t events_now_ms(const struct pn_events *events);

/* outbox.c: the thread's */
/** Makes the events that are due, and drops those whose certificate or generation is gone. */
void events_look(struct pn_events *events);
/** Delivers what is pending and may be tried now. */
void events_send(struct pn_events *events);

/* deliver.c */
enum delivery { DELIVERY_DONE, DELIVERY_AGAIN, DELIVERY_GONE };
/** "https://host:port" of a URL, without what may be secret. False: not a URL. */
bool webhook_origin(const char *url, char *out, size_t size, bool *is_loopback, bool *is_https);
/** POSTs. *retry_after_ms: what the receiver asked for, or 0. */
enum delivery webhook_post(struct pn_events *events, const struct hook *hook, struct pn_slice body,
                           uint64_t *retry_after_ms);
