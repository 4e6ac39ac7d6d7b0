/* SPDX-License-Identifier: Apache-2.0
 *
 * The workers of one HTTPS server: a bounded queue under a lock, because a handler costs
 * milliseconds (SQLite, signatures) and the lock nanoseconds. Answers go back by the loop's
 * mailbox.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/server_internal.h"

static struct pn_server_conn *take_job(struct pn_server_pool *pool)
{
    struct pn_server_conn *conn = NULL;

    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->is_stopping && pn_list_is_empty(&pool->queue))
        (void)pthread_cond_wait(&pool->has_work, &pool->lock);
    if (!pool->is_stopping) {
        conn = PN_CONTAINER(pool->queue.next, struct pn_server_conn, job);
        pn_list_remove(&conn->job);
        pool->queued--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return conn;
}

/* The mailbox holds more than there can be connections; should others fill it, waiting is right:
 * the loop must learn of this answer. */
static void give_back(struct pn_server_conn *conn)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    while (pn_loop_post(conn->server->loop, &conn->finished) != PN_OK)
        (void)nanosleep(&pause, NULL);
}

static void *worker_main(void *argument)
{
    struct pn_server *server = argument;
    struct pn_server_conn *conn = NULL;

    if (server->on_worker_start)
        server->on_worker_start(server->ctx);
    for (conn = take_job(&server->pool); conn; conn = take_job(&server->pool)) {
        server->handler(server->ctx, &conn->request, &conn->response);
        give_back(conn);
    }
    if (server->on_worker_end)
        server->on_worker_end(server->ctx);
    return NULL;
}

enum pn_rc pn_server_pool_start(struct pn_server *server, size_t count, size_t queue_max,
                                struct pn_error *err)
{
    struct pn_server_pool *pool = &server->pool;
    sigset_t all;
    sigset_t former;
    int error = 0;

    pn_list_init(&pool->queue);
    pool->queue_max = queue_max;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)sigfillset(&all); /* signals are the loop's business */
    (void)pthread_sigmask(SIG_SETMASK, &all, &former);
    while (pool->thread_count < count && error == 0) {
        char name[16];

        error = pthread_create(&pool->threads[pool->thread_count], NULL, worker_main, server);
        if (error != 0)
            break;
        (void)snprintf(name, sizeof(name), "%.10s/%u", server->name,
                       (unsigned)pool->thread_count % 100);
        (void)pthread_setname_np(pool->threads[pool->thread_count], name);
        pool->thread_count++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error != 0)
        return pn_error_from_errno(err, error, "cannot start worker %zu of server %s",
                                   pool->thread_count + 1, server->name);
    return PN_OK;
}

enum pn_rc pn_server_pool_submit(struct pn_server *server, struct pn_server_conn *conn)
{
    struct pn_server_pool *pool = &server->pool;
    enum pn_rc rc = PN_LIMIT;

    (void)pthread_mutex_lock(&pool->lock);
    if (!pool->is_stopping && pool->queued < pool->queue_max) {
        pn_list_push_back(&pool->queue, &conn->job);
        pool->queued++;
        (void)pthread_cond_signal(&pool->has_work);
        rc = PN_OK;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (rc == PN_OK)
        server->in_flight++;
    return rc;
}

void pn_server_pool_stop(struct pn_server *server)
{
    struct pn_server_pool *pool = &server->pool;

    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    while (!pn_list_is_empty(&pool->queue)) {
        struct pn_server_conn *conn = PN_CONTAINER(pool->queue.next, struct pn_server_conn, job);

        pn_list_remove(&conn->job);
        conn->state = PN_SERVER_WRITING; /* the loop's again */
        server->in_flight--;
    }
    (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    pool->thread_count = 0;
    (void)pthread_cond_destroy(&pool->has_work);
    (void)pthread_mutex_destroy(&pool->lock);
}
