/* SPDX-License-Identifier: Apache-2.0
 *
 * The child's side of the broker: questions on descriptor 3, pushed connections on descriptor 4.
 */
#include "ipc/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/protocol.h"

#define ANSWER_TIMEOUT_MS   2000
#define INCOMING_TIMEOUT_MS 1000 /* the rest of a frame that has begun */

struct pn_broker {
    pthread_mutex_t lock; /* of `ask` */
    struct pn_channel ask;
    struct pn_channel incoming; /* one thread only */
};

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

enum pn_rc pn_broker_create(struct pn_broker **broker, struct pn_error *err)
{
    struct pn_broker *made;
    enum pn_log_level level;

    if (!is_stream_socket(PN_BROKER_ASK_FD) || !is_stream_socket(PN_BROKER_INCOMING_FD))
        return pn_error_set(err, PN_UNAVAILABLE, "not_supervised",
                            "this program is started by `postern serve`, not by hand: descriptors "
                            "%d and %d are not its sockets",
                            PN_BROKER_ASK_FD, PN_BROKER_INCOMING_FD);
    made = calloc(1, sizeof(*made));
    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made);
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    fcntl(PN_BROKER_ASK_FD, F_SETFD, FD_CLOEXEC);
    fcntl(PN_BROKER_INCOMING_FD, F_SETFD, FD_CLOEXEC);
    pn_channel_init(&made->ask, PN_BROKER_ASK_FD);
    pn_channel_init(&made->incoming, PN_BROKER_INCOMING_FD);
    if (pn_log_level_parse(pn_slice_str(getenv(PN_LOG_LEVEL_ENV)), &level))
        pn_log_set_level(level);
    *broker = made;
    return PN_OK;
}

void pn_broker_destroy(struct pn_broker *broker)
{
    if (!broker)
        return;
    pn_channel_fini(&broker->ask);
    pn_channel_fini(&broker->incoming);
    pthread_mutex_destroy(&broker->lock);
    free(broker);
}

/* Waits for the answer to question `id`. An answer to an older question that was given up is
 * dropped, so that a slow moment of the supervisor does not cost us the channel. */
static enum pn_rc await_answer(struct pn_broker *broker, uint32_t id, struct pn_frame *answer,
                               int *passed_fd)
{
    uint64_t deadline_ms = pn_clock_monotonic_ms() + ANSWER_TIMEOUT_MS;

    for (;;) {
        uint64_t now = pn_clock_monotonic_ms();
        enum pn_rc rc =
            pn_channel_wait(&broker->ask, now < deadline_ms ? (int)(deadline_ms - now) : 0);

        if (rc != PN_OK)
            return rc == PN_TIMEOUT ? PN_TIMEOUT : PN_UNAVAILABLE;
        rc = pn_channel_receive(&broker->ask, answer, passed_fd, ANSWER_TIMEOUT_MS);
        if (rc != PN_OK)
            return PN_UNAVAILABLE;
        if (answer->id == id)
            return PN_OK;
        if (*passed_fd >= 0)
            close(*passed_fd);
    }
}

/* Asks with one text field. *answer is borrowed until the next question; the lock is held by the
 * caller. */
static enum pn_rc ask(struct pn_broker *broker, uint16_t type, struct pn_slice text,
                      struct pn_frame *answer, int *passed_fd)
{
    struct pn_buf question;
    uint32_t id = broker->ask.next_id++;
    size_t start;
    enum pn_rc rc;

    *passed_fd = -1;
    pn_buf_init(&question, PN_READY_BYTES_MAX + 64);
    rc = pn_frame_begin(&question, type, id, &start);
    if (rc == PN_OK)
        rc = pn_frame_bytes(&question, text);
    if (rc == PN_OK)
        rc = pn_frame_end(&question, start);
    if (rc == PN_OK)
        rc = pn_channel_send(&broker->ask, pn_buf_slice(&question), -1, ANSWER_TIMEOUT_MS);
    if (rc == PN_OK)
        rc = await_answer(broker, id, answer, passed_fd);
    pn_buf_fini(&question);
    return rc;
}

static enum pn_rc refused(const struct pn_frame *answer, const char *service, struct pn_error *err)
{
    struct pn_slice fields = answer->fields;
    struct pn_slice code, message;
    uint32_t rc;
    char code_text[PN_ERROR_CODE_MAX];

    if (answer->type != PN_BROKER_REFUSED || pn_frame_read_u32(&fields, &rc) != PN_OK ||
        pn_frame_read_bytes(&fields, &code) != PN_OK ||
        pn_frame_read_bytes(&fields, &message) != PN_OK || rc == PN_OK || rc > PN_INTERNAL ||
        code.len >= sizeof(code_text))
        return pn_error_set(err, PN_INTERNAL, "broker_answer",
                            "the supervisor gave an answer about %s that is none", service);
    memcpy(code_text, code.ptr, code.len);
    code_text[code.len] = '\0';
    return pn_error_set(err, (enum pn_rc)rc, code_text, "%.*s", PN_FMT(message));
}

enum pn_rc pn_broker_connect(struct pn_broker *broker, const char *service, int *fd,
                             struct pn_error *err)
{
    struct pn_frame answer;
    int passed_fd;
    enum pn_rc rc;

    pthread_mutex_lock(&broker->lock);
    rc = ask(broker, PN_BROKER_CONNECT, pn_slice_str(service), &answer, &passed_fd);
    if (rc == PN_TIMEOUT) {
        pn_error_set(err, rc, "supervisor_slow",
                     "the supervisor did not answer within %d ms when asked for %s",
                     ANSWER_TIMEOUT_MS, service);
    } else if (rc != PN_OK) {
        pn_error_set(err, rc, "supervisor_away", "the supervisor is away: no connection to %s",
                     service);
    } else if (answer.type == PN_BROKER_CONNECTED && passed_fd >= 0) {
        *fd = passed_fd;
        passed_fd = -1;
    } else {
        rc = refused(&answer, service, err);
    }
    pthread_mutex_unlock(&broker->lock);
    if (rc != PN_OK && passed_fd >= 0)
        close(passed_fd);
    return rc;
}

enum pn_rc pn_broker_ready(struct pn_broker *broker, struct pn_slice facts)
{
    struct pn_frame answer;
    int passed_fd;
    enum pn_rc rc;

    if (facts.len > PN_READY_BYTES_MAX)
        return PN_LIMIT;
    pthread_mutex_lock(&broker->lock);
    rc = ask(broker, PN_BROKER_READY, facts, &answer, &passed_fd);
    if (rc == PN_OK && answer.type != PN_BROKER_READY_OK)
        rc = refused(&answer, "readiness", NULL);
    pthread_mutex_unlock(&broker->lock);
    if (passed_fd >= 0)
        close(passed_fd);
    return rc;
}

int pn_broker_incoming_fd(const struct pn_broker *broker)
{
    return broker->incoming.fd;
}

static enum pn_rc read_incoming(struct pn_slice fields, char service[PN_SERVICE_NAME_MAX],
                                enum pn_role *asker)
{
    struct pn_slice name;
    uint8_t role;

    if (pn_frame_read_bytes(&fields, &name) != PN_OK || pn_frame_read_u8(&fields, &role) != PN_OK ||
        name.len >= PN_SERVICE_NAME_MAX || role < PN_ROLE_SUPERVISOR || role > PN_ROLE_IMPORT)
        return PN_MALFORMED;
    memcpy(service, name.ptr, name.len);
    service[name.len] = '\0';
    *asker = (enum pn_role)role;
    return PN_OK;
}

static void change_log_level(struct pn_slice fields)
{
    struct pn_slice text;
    enum pn_log_level level;

    if (pn_frame_read_bytes(&fields, &text) == PN_OK && pn_log_level_parse(text, &level))
        pn_log_set_level(level);
}

enum pn_rc pn_broker_accept(struct pn_broker *broker, char service[32], enum pn_role *asker,
                            int *fd)
{
    for (;;) {
        struct pn_frame frame;
        int passed_fd;
        enum pn_rc rc = pn_channel_wait(&broker->incoming, 0);

        if (rc != PN_OK)
            return rc == PN_TIMEOUT ? PN_AGAIN : PN_EOF;
        rc = pn_channel_receive(&broker->incoming, &frame, &passed_fd, INCOMING_TIMEOUT_MS);
        if (rc != PN_OK)
            return PN_EOF;
        if (frame.type == PN_BROKER_INCOMING && passed_fd >= 0 &&
            read_incoming(frame.fields, service, asker) == PN_OK) {
            *fd = passed_fd;
            return PN_OK;
        }
        if (frame.type == PN_BROKER_LOG_LEVEL)
            change_log_level(frame.fields);
        if (passed_fd >= 0)
            close(passed_fd);
    }
}
