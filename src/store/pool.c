/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool of readers: opened when needed, at most PN_STORE_READERS_MAX, kept until the store
 * closes.
 */
#include "store/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void deadline_after(struct timespec *deadline, int wait_ms)
{
    clock_gettime(CLOCK_MONOTONIC, deadline);
    deadline->tv_sec += wait_ms / 1000;
    deadline->tv_nsec += (long)(wait_ms % 1000) * 1000000L;
    if (deadline->tv_nsec >= 1000000000L) {
        deadline->tv_sec++;
        deadline->tv_nsec -= 1000000000L;
    }
}

enum pn_rc store_reader_take(struct pn_store *store, struct store_connection **reader,
                             struct pn_error *err)
{
    struct timespec deadline;
    struct store_connection *connection = NULL;
    bool may_open = false;
    enum pn_rc rc = PN_OK;

    deadline_after(&deadline, PN_STORE_WAIT_MS);
    pthread_mutex_lock(&store->pool_mutex);
    while (store->idle_count == 0 && store->open_count == PN_STORE_READERS_MAX) {
        if (pthread_cond_timedwait(&store->pool_changed, &store->pool_mutex, &deadline) ==
            ETIMEDOUT)
            break;
    }
    if (store->idle_count > 0) {
        connection = store->idle[--store->idle_count];
    } else if (store->open_count < PN_STORE_READERS_MAX) {
        store->open_count++;
        may_open = true;
    }
    pthread_mutex_unlock(&store->pool_mutex);
    if (connection) {
        *reader = connection;
        return PN_OK;
    }
    if (!may_open)
        return pn_error_set(err, PN_TIMEOUT, "store_busy",
                            "store: all %d readers were busy for %d ms", PN_STORE_READERS_MAX,
                            PN_STORE_WAIT_MS);

    connection = calloc(1, sizeof(*connection));
    if (!connection)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "store: out of memory");
    else
        rc = store_connection_open(connection, store->path, false, err);
    if (rc != PN_OK) {
        free(connection);
        pthread_mutex_lock(&store->pool_mutex);
        store->open_count--;
        pthread_cond_signal(&store->pool_changed);
        pthread_mutex_unlock(&store->pool_mutex);
        return rc;
    }
    *reader = connection;
    return PN_OK;
}

void store_reader_give_back(struct pn_store *store, struct store_connection *reader)
{
    pthread_mutex_lock(&store->pool_mutex);
    assert(store->idle_count < PN_STORE_READERS_MAX);
    store->idle[store->idle_count++] = reader;
    pthread_cond_signal(&store->pool_changed);
    pthread_mutex_unlock(&store->pool_mutex);
}
