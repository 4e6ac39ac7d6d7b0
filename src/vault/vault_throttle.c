/* SPDX-License-Identifier: Apache-2.0
 *
 * How often a vault may be asked: by class of operation, so many within ten seconds. A window that
 * is full answers 429 with the time until the next one.
 */
#include "vault/vault_throttle.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "vault/vault_internal.h"

#define WINDOW_MS  10000u
#define VAULTS_MAX 65536 /* counted at once; more than these are forgotten and begin anew */

struct window {
    uint64_t began_ms;
    uint64_t count[VAULT_CLASS_COUNT];
};

struct vault_throttle {
    pthread_mutex_t lock;
    struct pn_map *windows; /* vault name -> struct window */
};

static const enum pn_limit limits[VAULT_CLASS_COUNT] = {
    [VAULT_CLASS_READ] = PN_LIMIT_VAULT_READS,
    [VAULT_CLASS_WRITE] = PN_LIMIT_VAULT_WRITES,
    [VAULT_CLASS_CRYPTO] = PN_LIMIT_VAULT_KEY_OPERATIONS,
    [VAULT_CLASS_GENERATE] = PN_LIMIT_VAULT_GENERATIONS,
};

struct vault_throttle *vault_throttle_create(void)
{
    struct vault_throttle *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->windows = pn_map_create(false);
    if (!made->windows || pthread_mutex_init(&made->lock, NULL) != 0) {
        if (made->windows)
            pn_map_destroy(made->windows, free);
        free(made);
        return NULL;
    }
    return made;
}

void vault_throttle_destroy(struct vault_throttle *throttle)
{
    if (!throttle)
        return;
    pn_map_destroy(throttle->windows, free);
    pthread_mutex_destroy(&throttle->lock);
    free(throttle);
}

/* The vault's window of now; the lock is held. NULL: no memory. */
static struct window *window_of(struct vault_throttle *throttle, const char *vault_name,
                                uint64_t now_ms)
{
    struct pn_slice key = pn_slice_str(vault_name);
    struct window *window = pn_map_get(throttle->windows, key);

    if (!window && pn_map_count(throttle->windows) >= VAULTS_MAX) {
        struct pn_map *fresh = pn_map_create(false);

        if (!fresh)
            return NULL;
        pn_map_destroy(throttle->windows, free);
        throttle->windows = fresh;
    }
    if (!window) {
        window = calloc(1, sizeof *window);
        if (!window || pn_map_set(throttle->windows, key, window, NULL) != PN_OK) {
            free(window);
            return NULL;
        }
        window->began_ms = now_ms;
    }
    if (now_ms - window->began_ms >= WINDOW_MS)
        *window = (struct window){.began_ms = now_ms};
    return window;
}

bool vault_throttle_passes(struct vault_throttle *throttle, const char *vault_name,
                           enum vault_class class, unsigned *retry_after_s)
{
    uint64_t now_ms = pn_clock_monotonic_ms(), most = pn_limit_value(limits[class]);
    struct window *window;
    bool passes = true;

    pthread_mutex_lock(&throttle->lock);
    window = window_of(throttle, vault_name, now_ms);
    if (window && most > 0 && window->count[class] >= most) {
        passes = false;
        *retry_after_s = (unsigned)((WINDOW_MS - (now_ms - window->began_ms) + 999) / 1000);
    } else if (window) {
        window->count[class]++;
    }
    pthread_mutex_unlock(&throttle->lock);
    if (!passes)
        pn_limit_hit(limits[class]);
    return passes;
}
