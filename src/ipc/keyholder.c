/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the keyholder: the connection, and the questions with short answers.
 */
#include "ipc/keyholder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "ipc/channel.h"
#include "ipc/keyholder_internal.h"
#include "ipc/protocol.h"

#define ANSWER_TIMEOUT_MS 5000 /* everything but signatures and imports */

struct pn_keyholder {
    pthread_mutex_t lock;     /* of all below */
    struct pn_broker *broker; /* borrowed; NULL: never connects anew */
    char service[PN_SERVICE_NAME_MAX];
    struct pn_channel channel;
    uint32_t next_id; /* goes on over connections: an answer can never be taken for another */
};

static enum pn_rc create(struct pn_broker *broker, const char *service, int fd,
                         struct pn_keyholder **kh)
{
    struct pn_keyholder *made = calloc(1, sizeof(*made));

    if (!made)
        return PN_NOMEM;
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made);
        return PN_NOMEM;
    }
    made->broker = broker;
    made->next_id = 1;
    memcpy(made->service, service, strnlen(service, sizeof(made->service) - 1));
    pn_channel_init(&made->channel, fd);
    *kh = made;
    return PN_OK;
}

enum pn_rc pn_keyholder_create(struct pn_broker *broker, const char *service,
                               struct pn_keyholder **kh, struct pn_error *err)
{
    int fd;
    enum pn_rc rc = pn_broker_connect(broker, service, &fd, err);

    if (rc != PN_OK)
        return rc;
    rc = create(broker, service, fd, kh);
    if (rc != PN_OK) {
        close(fd);
        return pn_error_set(err, rc, "no_memory", "out of memory");
    }
    return PN_OK;
}

enum pn_rc pn_keyholder_create_fd(int fd, struct pn_keyholder **kh)
{
    enum pn_rc rc = create(NULL, "", fd, kh);

    if (rc != PN_OK)
        close(fd);
    return rc;
}

void pn_keyholder_destroy(struct pn_keyholder *kh)
{
    if (!kh)
        return;
    pn_channel_fini(&kh->channel);
    pthread_mutex_destroy(&kh->lock);
    free(kh);
}

void pn_question_init(struct pn_question *question, uint16_t type)
{
    pn_buf_init_secret(&question->frame, PN_FRAME_BYTES_MAX);
    question->rc = pn_frame_begin(&question->frame, type, 0, &question->start);
}

void pn_question_fini(struct pn_question *question)
{
    pn_buf_fini(&question->frame);
}

void pn_question_u8(struct pn_question *question, uint8_t value)
{
    if (question->rc == PN_OK)
        question->rc = pn_frame_u8(&question->frame, value);
}

void pn_question_u32(struct pn_question *question, uint32_t value)
{
    if (question->rc == PN_OK)
        question->rc = pn_frame_u32(&question->frame, value);
}

void pn_question_u64(struct pn_question *question, uint64_t value)
{
    if (question->rc == PN_OK)
        question->rc = pn_frame_u64(&question->frame, value);
}

void pn_question_bytes(struct pn_question *question, struct pn_slice bytes)
{
    if (question->rc == PN_OK)
        question->rc = pn_frame_bytes(&question->frame, bytes);
}

void pn_question_str(struct pn_question *question, const char *text)
{
    pn_question_bytes(question, pn_slice_str(text));
}

void pn_question_id(struct pn_question *question, const struct pn_key_id *key)
{
    pn_question_bytes(question, pn_slice(key->sha256, sizeof(key->sha256)));
}

static void copy_text(char *out, size_t size, struct pn_slice text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;

    if (len > 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static enum pn_rc error_answer(struct pn_slice fields, struct pn_error *err)
{
    uint32_t rc;
    struct pn_slice code, target, message;
    char text[PN_ERROR_CODE_MAX];

    if (pn_frame_read_u32(&fields, &rc) != PN_OK || pn_frame_read_bytes(&fields, &code) != PN_OK ||
        pn_frame_read_bytes(&fields, &target) != PN_OK ||
        pn_frame_read_bytes(&fields, &message) != PN_OK || rc == PN_OK || rc > PN_INTERNAL)
        return pn_error_set(err, PN_INTERNAL, "keyholder_answer",
                            "the keyholder gave an answer that is none");
    copy_text(text, sizeof(text), code);
    pn_error_set(err, (enum pn_rc)rc, text, "%.*s", PN_FMT(message));
    if (target.len > 0) {
        char target_text[PN_ERROR_TARGET_MAX];

        copy_text(target_text, sizeof(target_text), target);
        pn_error_target(err, target_text);
    }
    return (enum pn_rc)rc;
}

/* One try on the present connection. PN_UNAVAILABLE: it broke before a whole answer came. */
static enum pn_rc ask_once(struct pn_keyholder *kh, struct pn_question *question, int timeout_ms,
                           struct pn_frame *answer)
{
    enum pn_rc rc = pn_channel_send(&kh->channel, pn_buf_slice(&question->frame), -1, timeout_ms);

    if (rc != PN_OK)
        return rc;
    rc = pn_channel_receive(&kh->channel, answer, NULL, timeout_ms);
    if (rc == PN_OK && answer->id != kh->next_id)
        rc = PN_MALFORMED;
    if (rc == PN_OK || rc == PN_TIMEOUT || rc == PN_NOMEM)
        return rc;
    /* Whatever it sent, it is not to be relied on: a new connection starts clean. */
    pn_channel_fini(&kh->channel);
    pn_channel_init(&kh->channel, -1);
    return PN_UNAVAILABLE;
}

static enum pn_rc reconnect(struct pn_keyholder *kh, struct pn_error *err)
{
    int fd;
    enum pn_rc rc;

    if (!kh->broker)
        return PN_UNAVAILABLE;
    rc = pn_broker_connect(kh->broker, kh->service, &fd, err);
    if (rc != PN_OK)
        return rc;
    pn_channel_fini(&kh->channel);
    pn_channel_init(&kh->channel, fd);
    return PN_OK;
}

/* The id stands in the last four bytes of the head. */
static void put_id(struct pn_question *question, uint32_t id)
{
    char *at = question->frame.ptr + question->start + PN_FRAME_HEAD - 4;

    for (int i = 0; i < 4; i++)
        at[i] = (char)(uint8_t)(id >> (24 - 8 * i));
}

static enum pn_rc ask_locked(struct pn_keyholder *kh, struct pn_question *question, int timeout_ms,
                             struct pn_frame *answer, struct pn_error *err)
{
    uint64_t deadline_ms = pn_clock_monotonic_ms() + (uint64_t)timeout_ms;
    enum pn_rc rc = PN_UNAVAILABLE;

    for (int attempt = 0; attempt < 2 && rc == PN_UNAVAILABLE; attempt++) {
        uint64_t now = pn_clock_monotonic_ms();

        if (now >= deadline_ms)
            return pn_error_set(err, PN_TIMEOUT, "keyholder_slow",
                                "no time left to ask the keyholder");
        if (kh->channel.fd < 0) {
            rc = reconnect(kh, err);
            if (rc != PN_OK)
                break;
        }
        kh->next_id++;
        put_id(question, kh->next_id);
        rc = ask_once(kh, question, (int)(deadline_ms - now), answer);
    }
    if (rc == PN_TIMEOUT)
        return pn_error_set(err, rc, "keyholder_slow", "the keyholder did not answer within %d ms",
                            timeout_ms);
    if (rc == PN_UNAVAILABLE)
        return pn_error_set(err, rc, "keyholder_away",
                            "the keyholder is away; it is restarted by itself, try again");
    return rc;
}

enum pn_rc pn_keyholder_ask(struct pn_keyholder *kh, struct pn_question *question, int timeout_ms,
                            pn_answer_fn on_answer, void *ctx, struct pn_error *err)
{
    struct pn_frame answer = {0};
    enum pn_rc rc = question->rc;

    if (rc == PN_OK)
        rc = pn_frame_end(&question->frame, question->start);
    if (rc != PN_OK)
        return pn_error_set(err, rc, rc == PN_LIMIT ? "too_large" : "no_memory",
                            "the request to the keyholder is larger than %u bytes, or there is no "
                            "memory for it",
                            PN_FRAME_BYTES_MAX);
    pthread_mutex_lock(&kh->lock);
    rc = ask_locked(kh, question, timeout_ms, &answer, err);
    if (rc == PN_OK && answer.type == PN_KEYHOLDER_OK && on_answer) {
        rc = on_answer(answer.fields, ctx);
        if (rc != PN_OK)
            pn_error_set(err, rc, "keyholder_answer", "the keyholder's answer cannot be used: %s",
                         pn_rc_name(rc));
    } else if (rc == PN_OK && answer.type != PN_KEYHOLDER_OK) {
        rc = error_answer(answer.type == PN_KEYHOLDER_ERROR ? answer.fields : (struct pn_slice){0},
                          err);
    }
    pn_buf_clear(&kh->channel.in);
    pthread_mutex_unlock(&kh->lock);
    return rc;
}

/* For all answers that are one bytes field. */
static enum pn_rc append_bytes(struct pn_slice fields, void *ctx)
{
    struct pn_slice bytes;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &bytes);

    if (rc != PN_OK)
        return rc;
    return pn_buf_append_slice(ctx, bytes);
}

enum pn_rc pn_keyholder_public(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_buf *spki,
                               struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, PN_KEYHOLDER_PUBLIC);
    pn_question_u8(&question, (uint8_t)use);
    pn_question_id(&question, key);
    rc = pn_keyholder_ask(kh, &question, ANSWER_TIMEOUT_MS, append_bytes, spki, err);
    pn_question_fini(&question);
    return rc;
}

enum pn_rc pn_keyholder_sign(struct pn_keyholder *kh, enum pn_key_use use,
                             const struct pn_key_id *key, enum pn_sign_algorithm algorithm,
                             struct pn_slice message, struct pn_buf *signature,
                             struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_metric_add(PN_METRIC_SIGNATURES, 1);
    pn_question_init(&question, PN_KEYHOLDER_SIGN);
    pn_question_u8(&question, (uint8_t)use);
    pn_question_id(&question, key);
    pn_question_u32(&question, (uint32_t)algorithm);
    pn_question_bytes(&question, message);
    rc = pn_keyholder_ask(kh, &question, (int)pn_limit_value(PN_LIMIT_SIGNATURE_TIMEOUT),
                          append_bytes, signature, err);
    if (rc == PN_TIMEOUT)
        pn_limit_hit(PN_LIMIT_SIGNATURE_TIMEOUT);
    if (rc != PN_OK)
        pn_metric_add(PN_METRIC_SIGNATURES_FAILED, 1);
    pn_question_fini(&question);
    return rc;
}

static enum pn_rc seal_or_unseal(struct pn_keyholder *kh, uint16_t type, const char *domain,
                                 struct pn_slice context, struct pn_slice input,
                                 struct pn_buf *output, struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, type);
    pn_question_str(&question, domain);
    pn_question_bytes(&question, context);
    pn_question_bytes(&question, input);
    rc = pn_keyholder_ask(kh, &question, ANSWER_TIMEOUT_MS, append_bytes, output, err);
    pn_question_fini(&question);
    return rc;
}

enum pn_rc pn_keyholder_seal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                             struct pn_slice plain, struct pn_buf *sealed, struct pn_error *err)
{
    return seal_or_unseal(kh, PN_KEYHOLDER_SEAL, domain, context, plain, sealed, err);
}

enum pn_rc pn_keyholder_unseal(struct pn_keyholder *kh, const char *domain, struct pn_slice context,
                               struct pn_slice sealed, struct pn_buf *plain, struct pn_error *err)
{
    return seal_or_unseal(kh, PN_KEYHOLDER_UNSEAL, domain, context, sealed, plain, err);
}

enum pn_rc pn_keyholder_list(struct pn_keyholder *kh, enum pn_key_use use, struct pn_buf *ids,
                             struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, PN_KEYHOLDER_LIST);
    pn_question_u8(&question, (uint8_t)use);
    rc = pn_keyholder_ask(kh, &question, ANSWER_TIMEOUT_MS, append_bytes, ids, err);
    pn_question_fini(&question);
    return rc;
}

/* A question that names a key, and is answered by a yes. */
static enum pn_rc ask_of_key(struct pn_keyholder *kh, enum pn_keyholder_frame type,
                             enum pn_key_use use, const struct pn_key_id *key, int timeout_ms,
                             struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, type);
    pn_question_u8(&question, (uint8_t)use);
    pn_question_id(&question, key);
    rc = pn_keyholder_ask(kh, &question, timeout_ms, NULL, NULL, err);
    pn_question_fini(&question);
    return rc;
}

enum pn_rc pn_keyholder_settle(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err)
{
    return ask_of_key(kh, PN_KEYHOLDER_SETTLE, use, key, PN_IMPORT_TIMEOUT_MS, err);
}

enum pn_rc pn_keyholder_forget(struct pn_keyholder *kh, enum pn_key_use use,
                               const struct pn_key_id *key, struct pn_error *err)
{
    return ask_of_key(kh, PN_KEYHOLDER_FORGET, use, key, ANSWER_TIMEOUT_MS, err);
}

enum pn_rc pn_keyholder_export_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice sealed, int format, struct pn_buf *out,
                                      struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, PN_KEYHOLDER_EXPORT_SEALED);
    pn_question_bytes(&question, context);
    pn_question_u8(&question, (uint8_t)format);
    pn_question_bytes(&question, sealed);
    rc = pn_keyholder_ask(kh, &question, ANSWER_TIMEOUT_MS, append_bytes, out, err);
    pn_question_fini(&question);
    return rc;
}
