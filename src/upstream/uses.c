/* SPDX-License-Identifier: Apache-2.0
 *
 * See uses.h.
 */
#include "upstream/uses.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"

#define KEY_MAX (PN_USE_NAME_MAX + PN_USE_PEER_MAX + 32)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pn_map *table; /* made with the first entry */
static uint64_t dropped;

static struct pn_slice make_key(const char *certificate, uint64_t generation, const char *backend,
                                char out[KEY_MAX])
{
    int len = snprintf(out, KEY_MAX, "%s\n%llu\n%s", certificate, (unsigned long long)generation,
                       backend);

    return pn_slice(out, len < 0 ? 0 : len < KEY_MAX ? (size_t)len : KEY_MAX - 1);
}

/* With the lock. NULL: no memory, or full. */
static struct pn_use *make(const char *certificate, uint64_t generation, const char *thumbprint,
                           const char *backend, struct pn_slice key)
{
    struct pn_use *use = NULL;

    if (!table)
        table = pn_map_create(false);
    if (table && pn_map_count(table) < PN_USES_MAX)
        use = calloc(1, sizeof(*use));
    if (!use)
        return NULL;
    snprintf(use->certificate, sizeof(use->certificate), "%s", certificate);
    snprintf(use->backend, sizeof(use->backend), "%s", backend);
    snprintf(use->thumbprint, sizeof(use->thumbprint), "%s", thumbprint);
    use->generation = generation;
    use->first_ms = pn_clock_unix_ms();
    if (pn_map_set(table, key, use, NULL) == PN_OK)
        return use;
    free(use);
    return NULL;
}

static void print_backend(struct pn_slice host, uint16_t port, char out[PN_USE_PEER_MAX])
{
    (void)snprintf(out, PN_USE_PEER_MAX, "%.*s:%u", PN_FMT(host), port);
}

void pn_uses_opened(const char *certificate, uint64_t generation, const char *thumbprint,
                    struct pn_slice host, uint16_t port)
{
    char backend[PN_USE_PEER_MAX], key[KEY_MAX];
    struct pn_slice slice;
    struct pn_use *use;

    print_backend(host, port, backend);
    slice = make_key(certificate, generation, backend, key);
    pthread_mutex_lock(&lock);
    use = table ? pn_map_get(table, slice) : NULL;
    if (!use)
        use = make(certificate, generation, thumbprint, backend, slice);
    if (use) {
        use->last_ms = pn_clock_unix_ms();
        use->open++;
    } else {
        dropped++;
    }
    pthread_mutex_unlock(&lock);
}

void pn_uses_closed(const char *certificate, uint64_t generation, struct pn_slice host,
                    uint16_t port)
{
    char backend[PN_USE_PEER_MAX], key[KEY_MAX];
    struct pn_use *use;

    print_backend(host, port, backend);
    pthread_mutex_lock(&lock);
    use = table ? pn_map_get(table, make_key(certificate, generation, backend, key)) : NULL;
    if (use && use->open > 0) {
        use->last_ms = pn_clock_unix_ms();
        use->open--;
    }
    pthread_mutex_unlock(&lock);
}

size_t pn_uses_read(struct pn_use *out, size_t max)
{
    struct pn_slice key;
    size_t position = 0, count = 0;
    void *value;

    pthread_mutex_lock(&lock);
    while (table && count < max && pn_map_next(table, &position, &key, &value)) {
        out[count] = *(const struct pn_use *)value;
        if (out[count].open > 0)
            out[count].last_ms = pn_clock_unix_ms();
        count++;
    }
    pthread_mutex_unlock(&lock);
    return count;
}

void pn_uses_tell(const char *certificate, uint64_t generation, const char *backend)
{
    char key[KEY_MAX];
    struct pn_use *use;

    pthread_mutex_lock(&lock);
    use = table ? pn_map_get(table, make_key(certificate, generation, backend, key)) : NULL;
    if (use)
        use->is_told = true;
    pthread_mutex_unlock(&lock);
}

void pn_uses_forget(const char *certificate, uint64_t generation, const char *backend)
{
    char key[KEY_MAX];
    struct pn_slice slice = make_key(certificate, generation, backend, key);
    struct pn_use *use;

    pthread_mutex_lock(&lock);
    use = table ? pn_map_get(table, slice) : NULL;
    if (use && use->open == 0) {
        (void)pn_map_remove(table, slice);
        free(use);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t pn_uses_dropped(void)
{
    uint64_t count;

    pthread_mutex_lock(&lock);
    count = dropped;
    pthread_mutex_unlock(&lock);
    return count;
}
