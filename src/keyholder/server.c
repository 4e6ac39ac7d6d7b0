/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of the keyholder: one thread each, bounded in number.
 */
#include "keyholder/server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "keyholder/server_internal.h"

#define FRAME_TIMEOUT_MS 10000 /* from a question's first byte to its last, and for an answer */
#ifdef PN_SANITIZED
#define STACK_BYTES (2u * 1024 * 1024)
#else
#define STACK_BYTES (256u * 1024)
#endif

struct connection {
    struct pn_keyholder_server *server;
    int fd;
    enum pn_role asker;
    char service[PN_SERVICE_NAME_MAX];
};

bool pn_keyholder_may_connect(const char *service, enum pn_role asker)
{
    if (strcmp(service, PN_SERVICE_ADMIN) == 0)
        return asker == PN_ROLE_CONTROL;
    return strcmp(service, PN_SERVICE_SIGN) == 0 &&
           (asker == PN_ROLE_GATEWAY || asker == PN_ROLE_CONTROL);
}

enum pn_rc pn_keyholder_server_create(const struct pn_master *master, struct pn_keys *keys,
                                      pn_connect_fn connect, void *connect_ctx,
                                      struct pn_keyholder_server **server, struct pn_error *err)
{
    struct pn_keyholder_server *made = calloc(1, sizeof(*made));
    pthread_condattr_t attr;

    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    made->master = master;
    made->keys = keys;
    made->large.max = PN_GATEWAY_LARGE_MAX;
    made->working.max =
        sysconf(_SC_NPROCESSORS_ONLN) > 1 ? (unsigned)sysconf(_SC_NPROCESSORS_ONLN) : 1;
    made->connect = connect;
    made->connect_ctx = connect_ctx;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&made->import_ended, &attr);
    pthread_cond_init(&made->large.ended, &attr);
    pthread_cond_init(&made->working.ended, &attr);
    pthread_condattr_destroy(&attr);
    *server = made;
    return PN_OK;
}

void pn_keyholder_server_destroy(struct pn_keyholder_server *server)
{
    if (!server)
        return;
    pthread_cond_destroy(&server->import_ended);
    pthread_cond_destroy(&server->large.ended);
    pthread_cond_destroy(&server->working.ended);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static const char *role_name(enum pn_role role)
{
    static const char *const names[] = {"unknown", "supervisor", "keyholder",
                                        "gateway", "control",    "import"};

    return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : names[0];
}

/* The audit trail: who asked for what, and why not. Never a byte of the question. */
static void log_refusal(const struct pn_session *session, const struct pn_frame *question,
                        const struct pn_error *err)
{
    pn_log(PN_LOG_WARN, "keyholder_refused", "asker", PN_S(role_name(session->asker)), "question",
           PN_I(question->type), "code", PN_S(err->code), "message", PN_S(err->message), NULL);
}

static enum pn_rc put_error(struct pn_buf *out, const struct pn_error *err)
{
    enum pn_rc rc = pn_frame_u32(out, err->rc == PN_OK ? PN_INTERNAL : (uint32_t)err->rc);

    if (rc == PN_OK)
        rc = pn_frame_str(out, err->code);
    if (rc == PN_OK)
        rc = pn_frame_str(out, err->target);
    if (rc == PN_OK)
        rc = pn_frame_str(out, err->message);
    return rc;
}

/* Builds the answer to one question. PN_OK: send it. */
static enum pn_rc answer(struct pn_session *session, const struct pn_frame *question,
                         struct pn_buf *out)
{
    struct pn_error err = {0};
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_KEYHOLDER_OK, question->id, &start);
    enum pn_rc result;

    if (rc != PN_OK)
        return rc;
    result = pn_handle_question(session, question, out, &err);
    if (result != PN_OK) {
        if (result == PN_DENIED || session->is_broken)
            log_refusal(session, question, &err);
        if (session->is_broken)
            return PN_MALFORMED;
        err.rc = result;
        pn_buf_clear(out);
        rc = pn_frame_begin(out, PN_KEYHOLDER_ERROR, question->id, &start);
        if (rc == PN_OK)
            rc = put_error(out, &err);
    }
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

/* Whether the question that begins to come is longer than a small one, or may be. */
static bool is_large(const struct pn_channel *channel)
{
    unsigned char head[4];
    ssize_t got = recv(channel->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
    uint32_t rest = 0;

    if (got == 0)
        return false; /* the end */
    if (got < (ssize_t)sizeof(head))
        return true; /* our clients write frames in one piece */
    for (size_t i = 0; i < sizeof(head); i++)
        rest = rest << 8 | head[i];
    return rest > PN_QUESTION_SMALL_MAX - sizeof(head);
}

/* A gateway that was taken over could otherwise have each of its connections take the memory of
 * the largest frame three times over, until the kernel ends this process; and have so many of them
 * sign at once that control, which waits for the limit signature-timeout, gets no answer in time.
 */
static void take_turn(struct pn_keyholder_server *server, struct pn_turns *turns)
{
    pthread_mutex_lock(&server->lock);
    while (turns->taken >= turns->max)
        pthread_cond_wait(&turns->ended, &server->lock);
    turns->taken++;
    pthread_mutex_unlock(&server->lock);
}

static void end_turn(struct pn_keyholder_server *server, struct pn_turns *turns)
{
    pthread_mutex_lock(&server->lock);
    turns->taken--;
    pthread_cond_signal(&turns->ended);
    pthread_mutex_unlock(&server->lock);
}

/* One question and its answer. Otherwise the connection ends. */
static enum pn_rc serve_one(struct pn_session *session, struct pn_channel *channel)
{
    bool is_bounded = session->asker == PN_ROLE_GATEWAY;
    bool is_big = is_bounded && is_large(channel);
    struct pn_frame question;
    struct pn_buf out;
    enum pn_rc rc;

    if (is_big)
        take_turn(session->server, &session->server->large);
    channel->in.max = is_bounded && !is_big ? PN_QUESTION_SMALL_MAX : PN_FRAME_BYTES_MAX;
    pn_buf_init_secret(&out, PN_FRAME_BYTES_MAX);
    rc = pn_channel_receive(channel, &question, NULL, FRAME_TIMEOUT_MS);
    if (rc == PN_OK && is_bounded)
        take_turn(session->server, &session->server->working);
    if (rc == PN_OK) {
        rc = answer(session, &question, &out);
        if (is_bounded)
            end_turn(session->server, &session->server->working);
    }
    if (rc == PN_OK)
        rc = pn_channel_send(channel, pn_buf_slice(&out), -1, FRAME_TIMEOUT_MS);
    pn_buf_fini(&out);
    if (is_big) {
        pn_buf_fini(&channel->in);
        end_turn(session->server, &session->server->large);
    } else {
        pn_buf_clear(&channel->in); /* a question may hold a password */
    }
    return rc;
}

void pn_keyholder_server_serve(struct pn_keyholder_server *server, int fd, const char *service,
                               enum pn_role asker)
{
    struct pn_session session = {.server = server,
                                 .is_admin = strcmp(service, PN_SERVICE_ADMIN) == 0 &&
                                             asker == PN_ROLE_CONTROL,
                                 .asker = asker};
    struct pn_channel channel;
    enum pn_rc rc = PN_OK;

    pn_channel_init(&channel, fd);
    if (!pn_keyholder_may_connect(service, asker))
        rc = PN_DENIED;
    while (rc == PN_OK) {
        rc = pn_channel_wait(&channel, -1);
        if (rc == PN_OK)
            rc = serve_one(&session, &channel);
    }
    pn_channel_fini(&channel);
}

static void count(struct pn_keyholder_server *server, enum pn_role asker, int change)
{
    pthread_mutex_lock(&server->lock);
    server->connections += (unsigned)change;
    if (asker == PN_ROLE_GATEWAY)
        server->gateway_connections += (unsigned)change;
    pthread_mutex_unlock(&server->lock);
}

static void *run(void *arg)
{
    struct connection *connection = arg;
    struct pn_keyholder_server *server = connection->server;
    enum pn_role asker = connection->asker;

    pn_keyholder_server_serve(server, connection->fd, connection->service, asker);
    free(connection);
    count(server, asker, -1);
    return NULL;
}

static bool is_full(struct pn_keyholder_server *server, enum pn_role asker)
{
    bool full;

    pthread_mutex_lock(&server->lock);
    full = server->connections >= PN_KEYHOLDER_CONNECTIONS_MAX ||
           (asker == PN_ROLE_GATEWAY && server->gateway_connections >= PN_KEYHOLDER_GATEWAY_MAX);
    pthread_mutex_unlock(&server->lock);
    return full;
}

static enum pn_rc start_thread(struct connection *connection)
{
    pthread_attr_t attr;
    pthread_t thread;
    int failed;

    if (pthread_attr_init(&attr) != 0)
        return PN_NOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    failed = pthread_create(&thread, &attr, run, connection);
    pthread_attr_destroy(&attr);
    return failed == 0 ? PN_OK : PN_NOMEM;
}

enum pn_rc pn_keyholder_server_take(struct pn_keyholder_server *server, int fd, const char *service,
                                    enum pn_role asker, struct pn_error *err)
{
    struct connection *connection = NULL;
    enum pn_rc rc = PN_NOMEM;

    if (!pn_keyholder_may_connect(service, asker)) {
        rc = pn_error_set(err, PN_DENIED, "role", "%s may not connect to %s", role_name(asker),
                          service);
    } else if (is_full(server, asker)) {
        rc = pn_error_set(err, PN_LIMIT, "too_many_connections",
                          "%s has too many connections to the keyholder", role_name(asker));
    } else {
        connection = calloc(1, sizeof(*connection));
        if (connection) {
            *connection = (struct connection){.server = server, .fd = fd, .asker = asker};
            memcpy(connection->service, service, strnlen(service, sizeof(connection->service) - 1));
            count(server, asker, 1);
            rc = start_thread(connection);
            if (rc != PN_OK)
                count(server, asker, -1);
        }
        if (rc != PN_OK)
            pn_error_set(err, rc, "no_memory", "no thread for a connection to the keyholder");
    }
    if (rc != PN_OK) {
        free(connection);
        close(fd);
    }
    return rc;
}
