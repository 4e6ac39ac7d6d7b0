/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams over streams.
 */
#include "tls/below.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signer/signer.h"

/* ---- events */

static void tell(const struct pn_below *below, unsigned events)
{
    if (pn_stream_peer_ended(below->stream) || !pn_stream_is_open(below->stream))
        events |= PN_LOOP_READ | PN_LOOP_END;
    below->on_event(below->upper, events);
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    tell(ctx, PN_LOOP_READ);
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    tell(ctx, PN_LOOP_WRITE);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events events = {
    .on_open = on_open,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

static void on_task(struct pn_task *task)
{
    tell(task->ctx, PN_LOOP_READ | PN_LOOP_WRITE);
}

struct pn_below *pn_below_create(struct pn_stream *upper, struct pn_stream *stream,
                                 pn_below_event_fn on_event)
{
    struct pn_below *below = calloc(1, sizeof(*below));

    if (!below)
        return NULL;
    below->stream = stream;
    below->upper = upper;
    below->on_event = on_event;
    pn_task_init(&below->task, on_task, below);
    return below;
}

void pn_below_watch(struct pn_below *below)
{
    pn_stream_set_events(below->stream, &events, below);
    pn_loop_soon(pn_stream_loop(below->stream), &below->task);
}

void pn_below_end(struct pn_below *below)
{
    pn_loop_soon_cancel(&below->task);
    pn_stream_destroy(below->stream);
}

/* ---- what failed above */

/* The stream below is read and written from within a call of OpenSSL for the one above, which may
 * have failed already and be sending its alert. OpenSSL's queue and the signer's error are of the
 * thread: what they say of the stream above is kept while the one below clears them. */
#define QUEUE_MAX 16 /* ERR_NUM_ERRORS */

static _Thread_local struct {
    struct pn_error signer;
    size_t count;
    struct {
        unsigned long code;
        int line;
        char file[96], function[64], data[256]; /* copies: the queue's own texts go with it */
    } queue[QUEUE_MAX];
} kept;

/** The oldest error of the queue. False: it is empty. */
static bool keep_one(void)
{
    const char *file, *function, *data;
    int line, flags;
    unsigned long code = ERR_get_error_all(&file, &line, &function, &data, &flags);
    size_t at = kept.count;

    if (code == 0 || at == QUEUE_MAX)
        return false;
    kept.queue[at].code = code;
    kept.queue[at].line = line;
    (void)snprintf(kept.queue[at].file, sizeof(kept.queue[at].file), "%s", file);
    (void)snprintf(kept.queue[at].function, sizeof(kept.queue[at].function), "%s", function);
    (void)snprintf(kept.queue[at].data, sizeof(kept.queue[at].data), "%s",
                   (flags & ERR_TXT_STRING) ? data : "");
    kept.count++;
    return true;
}

static bool keep(void)
{
    if (ERR_peek_error() == 0 && pn_signer_last_error()->rc == PN_OK)
        return false;
    kept.signer = *pn_signer_last_error();
    kept.count = 0;
    while (keep_one())
        ;
    return true;
}

static void put_back(bool is_kept)
{
    if (!is_kept)
        return;
    ERR_clear_error();
    for (size_t i = 0; i < kept.count; i++) {
        ERR_new();
        ERR_set_debug(kept.queue[i].file, kept.queue[i].line, kept.queue[i].function);
        ERR_set_error(ERR_GET_LIB(kept.queue[i].code), ERR_GET_REASON(kept.queue[i].code), "%s",
                      kept.queue[i].data);
    }
    pn_signer_set_error(&kept.signer);
}

/* ---- bytes */

static ssize_t as_socket(enum pn_rc rc, size_t len)
{
    switch ((int)rc) {
    case PN_OK:
        return (ssize_t)len;
    case PN_EOF:
        return 0;
    case PN_AGAIN:
        errno = EAGAIN;
        return -1;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

ssize_t pn_below_read(struct pn_below *below, void *bytes, size_t len)
{
    size_t got = 0;
    bool is_kept = keep();
    enum pn_rc rc = pn_stream_read(below->stream, bytes, len, &got);

    put_back(is_kept);
    return as_socket(rc, got);
}

ssize_t pn_below_writev(struct pn_below *below, const struct iovec *iov, int count)
{
    size_t sent = 0;
    bool is_kept = keep();
    enum pn_rc rc = pn_stream_writev(below->stream, iov, count, &sent);

    put_back(is_kept);
    return as_socket(rc, sent);
}

ssize_t pn_below_write(struct pn_below *below, const void *bytes, size_t len)
{
    struct iovec iov = {.iov_len = len};

    /* iov_base is not const, though it is only read. */
    memcpy(&iov.iov_base, &bytes, sizeof(iov.iov_base));
    return pn_below_writev(below, &iov, 1);
}
