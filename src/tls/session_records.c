/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams on our own record layer. A read takes what the socket has into a place of the thread,
 * and decrypts it from there into the reader's buffer; a write encrypts into another, and sends
 * it at once. A connection has memory of its own only for what is left over: a record that has not
 * come whole or is larger than the reader's room, and records that the socket did not take.
 */
#include "tls/session_records.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "tls/record.h"
#include "tls/takeover.h"

#define BATCH          4 /* full records that are read or written at once */
#define IN_BYTES       ((size_t)BATCH * PN_RECORD_BYTES_MAX)
#define OUT_BYTES      (PN_RECORD_UPDATE_BYTES + (size_t)BATCH * PN_RECORD_SEALED(PN_RECORD_PLAIN_MAX))
#define LEFT_OVER_STEP 1024u /* its memory is taken in such steps */

/* One of each per thread, used within a call only. */
static _Thread_local uint8_t in_place[IN_BYTES];
static _Thread_local uint8_t out_place[OUT_BYTES];

/* bytes[plain_at..plain_end) is content, before bytes[at..end), which are records. */
struct incoming {
    uint8_t *bytes;
    size_t cap;
    size_t plain_at, plain_end;
    size_t at, end;
};

/* bytes[at..end) is to be sent; bytes[border] begins the first record that is not sent whole. */
struct outgoing {
    uint8_t *bytes;
    size_t lead; /* of bytes from `border`: a KeyUpdate, which is nobody's data */
    size_t border, at, end;
};

struct pn_stream_records {
    struct pn_records *records;
    struct incoming in;
    struct outgoing out;
};

void pn_stream_records_free(struct pn_stream_records *io)
{
    if (!io)
        return;
    pn_records_destroy(io->records);
    free(io->in.bytes);
    free(io->out.bytes);
    free(io);
}

/* ---- the beginning */

static bool is_between_calls(const struct pn_stream *stream)
{
    return stream->state == PN_STREAM_OPEN && !stream->is_broken && !stream->is_write_broken &&
           !stream->is_shut_down && !stream->has_unsent && !stream->wants_writable &&
           !stream->read_wants_write && !stream->link.held;
}

void pn_stream_records_take(struct pn_stream *stream)
{
    struct pn_tls_link *link = &stream->link;
    struct pn_stream_records *io;
    enum pn_rc rc;

    if (!stream->ssl || !link->takeover || !is_between_calls(stream))
        return;
    io = calloc(1, sizeof(*io));
    rc = io ? pn_tls_takeover_take(link, stream->ssl, &io->records) : PN_NOMEM;
    if (rc != PN_OK) {
        free(io);
        if (rc != PN_AGAIN)
            pn_tls_takeover_let_go(link, stream->ssl);
        return;
    }
    io->in.bytes = link->ahead;
    io->in.cap = link->ahead ? PN_TLS_AHEAD_BYTES : 0;
    io->in.at = link->ahead_at;
    io->in.end = link->ahead_end;
    link->ahead = NULL;
    link->ahead_at = link->ahead_end = 0;
    pn_tls_takeover_free(link->takeover);
    link->takeover = NULL;
    /* It goes on, and its session is good: without this OpenSSL would call it unfit to resume. */
    SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    stream->records = io;
    pn_metric_add(PN_METRIC_TLS_TAKEN_OVER, 1);
}

/* ---- the end */

/* `flags`: beside MSG_NOSIGNAL. */
static void send_alert(struct pn_stream *stream, enum pn_record_alert alert, int flags)
{
    struct pn_stream_records *io = stream->records;
    uint8_t bytes[PN_RECORD_ALERT_BYTES];

    if (stream->is_write_broken || io->out.border < io->out.end)
        return; /* it would come within another record */
    if (pn_records_alert(io->records, alert, bytes) == PN_OK)
        (void)!send(stream->link.fd, bytes, sizeof(bytes), MSG_NOSIGNAL | flags);
}

void pn_stream_records_close(struct pn_stream *stream)
{
    send_alert(stream, PN_ALERT_CLOSE_NOTIFY, MSG_MORE); /* FIN takes it along */
}

static enum pn_rc read_failed(struct pn_stream *stream, enum pn_rc rc)
{
    const struct pn_record_fault *fault = pn_records_fault(stream->records->records);

    if (fault->sent != PN_ALERT_NONE)
        send_alert(stream, fault->sent, 0);
    if (rc == PN_LIMIT)
        pn_limit_hit(PN_LIMIT_TLS_EMPTY_RECORDS);
    /* RFC 8446 §6.2: what can be resumed of a connection that failed should be forgotten. */
    if (stream->client)
        pn_tls_client_forget_sessions(stream->client, stream->identity);
    pn_tls_report_records(&stream->link, fault);
    stream->is_broken = true;
    return PN_IO;
}

/* ---- reading */

bool pn_stream_records_has_pending(const struct pn_stream_records *io)
{
    const struct incoming *in = &io->in;
    const uint8_t *bytes = in->bytes ? in->bytes + in->at : in_place;
    size_t len = 0;

    return in->plain_at < in->plain_end ||
           pn_records_whole(io->records, pn_slice(bytes, in->end - in->at), &len) != PN_AGAIN;
}

/* Where a read puts what it gets, and what of the last record had no room there. */
struct target {
    uint8_t *buf;
    size_t cap, len;
    size_t rest_at, rest_end; /* within the bytes that were opened */
};

/* Opens records of bytes[*at..end) until none is whole (PN_AGAIN) or there is no room (PN_OK). */
static enum pn_rc open_all(struct pn_records *records, uint8_t *bytes, size_t *at, size_t end,
                           struct target *target)
{
    while (target->len < target->cap) {
        uint8_t *buf = target->buf + target->len;
        size_t record_len = 0, room = target->cap - target->len, n;
        struct pn_slice data;
        enum pn_rc rc = pn_records_whole(records, pn_slice(bytes + *at, end - *at), &record_len);

        if (rc != PN_OK)
            return rc;
        if (target->len > 0 && !pn_records_fits(record_len, room))
            return PN_OK;
        rc = pn_records_open(records, bytes + *at, record_len, buf, room, &data);
        *at += record_len;
        if (rc != PN_OK)
            return rc;
        n = data.len < room ? data.len : room;
        if (n > 0 && (const uint8_t *)data.ptr != buf) {
            memcpy(buf, data.ptr, n);
            target->rest_at = (size_t)((const uint8_t *)data.ptr - bytes) + n;
            target->rest_end = target->rest_at + data.len - n;
        }
        target->len += n;
    }
    return PN_OK;
}

/* Keeps what a read has left of bytes[at..end), and the content before. */
static enum pn_rc keep(struct incoming *in, const uint8_t *bytes, const struct target *target,
                       size_t at, size_t end)
{
    size_t plain = target->rest_end - target->rest_at, len = plain + end - at;

    if (len > in->cap) {
        size_t cap = (len + LEFT_OVER_STEP - 1) / LEFT_OVER_STEP * LEFT_OVER_STEP;

        free(in->bytes);
        in->bytes = malloc(cap);
        in->cap = in->bytes ? cap : 0;
    }
    in->plain_at = in->plain_end = in->at = in->end = 0;
    if (len > 0 && !in->bytes)
        return PN_NOMEM;
    if (plain > 0)
        memcpy(in->bytes, bytes + target->rest_at, plain);
    if (end > at)
        memcpy(in->bytes + plain, bytes + at, end - at);
    in->plain_end = in->at = plain;
    in->end = len;
    return PN_OK;
}

/* No more than the reader has room for, so that little is left over; but a whole record. */
static size_t bytes_to_ask(size_t cap)
{
    size_t records = cap / PN_RECORD_PLAIN_MAX;

    return records >= BATCH ? IN_BYTES : (records + 1) * PN_RECORD_BYTES_MAX;
}

/* PN_OK: something has come; target->len tells whether there is content in it. */
static enum pn_rc receive(struct pn_stream *stream, struct target *target)
{
    struct pn_tls_link *link = &stream->link;
    struct incoming *in = &stream->records->in;
    size_t have = in->end - in->at, at = 0, asked = bytes_to_ask(target->cap) - have;
    enum pn_rc rc, kept;
    ssize_t got;

    if (link->is_drained)
        return PN_AGAIN;
    do
        got = recv(link->fd, in_place + have, asked, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return PN_AGAIN;
    if (got < 0)
        return pn_stream_break(stream, errno, true);
    if (got == 0) {
        pn_tls_report_records(link, NULL);
        stream->is_broken = true;
        return PN_IO;
    }
    if ((size_t)got < asked && !link->peer_ended)
        link->is_drained = true;
    if (have > 0)
        memcpy(in_place, in->bytes + in->at, have);
    rc = open_all(stream->records->records, in_place, &at, have + (size_t)got, target);
    kept = keep(in, in_place, target, at, have + (size_t)got);
    if (kept != PN_OK)
        return pn_stream_break(stream, ENOMEM, true);
    if (rc == PN_OK || rc == PN_AGAIN || rc == PN_EOF || target->len > 0)
        return rc == PN_EOF && target->len == 0 ? PN_EOF : PN_OK;
    return read_failed(stream, rc);
}

/* What an earlier read has left. PN_AGAIN: nothing that can be used yet. */
static enum pn_rc use_left_over(struct pn_stream *stream, struct target *target)
{
    struct incoming *in = &stream->records->in;
    size_t n = in->plain_end - in->plain_at;
    enum pn_rc rc;

    if (n > 0) {
        n = n < target->cap ? n : target->cap;
        memcpy(target->buf, in->bytes + in->plain_at, n);
        in->plain_at += n;
        target->len = n;
        return PN_OK;
    }
    rc = open_all(stream->records->records, in->bytes ? in->bytes : in_place, &in->at, in->end,
                  target);
    in->plain_at = target->rest_at;
    in->plain_end = target->rest_end;
    if (rc == PN_OK || rc == PN_AGAIN || rc == PN_EOF || target->len > 0)
        return target->len > 0 ? PN_OK : rc;
    return read_failed(stream, rc);
}

enum pn_rc pn_stream_records_read(struct pn_stream *stream, void *buf, size_t cap, size_t *len)
{
    struct target target = {.buf = buf, .cap = cap};
    enum pn_rc rc = use_left_over(stream, &target);

    /* It ends: records without data are bounded in a row, and a short recv() is the last one. */
    if (rc == PN_AGAIN) {
        do
            rc = receive(stream, &target);
        while (rc == PN_OK && target.len == 0);
    }
    *len = target.len;
    return rc;
}

/* ---- writing */

/* Bytes of data in the records that are sent whole; the border goes behind them. */
static size_t cross(const uint8_t *bytes, struct outgoing *out)
{
    size_t data = 0;

    while (out->border < out->at) {
        const uint8_t *header = bytes + out->border;
        size_t behind = (size_t)header[3] << 8 | header[4]; /* ours: whole */

        if (out->at - out->border < PN_RECORD_HEADER_BYTES + behind)
            break;
        out->border += PN_RECORD_HEADER_BYTES + behind;
        if (out->lead > 0)
            out->lead = 0;
        else
            data += behind - 1 - PN_RECORD_TAG_BYTES;
    }
    return data;
}

/* Sends bytes[at..end). PN_OK: *written bytes of data are on their way; PN_AGAIN: none yet. */
static enum pn_rc send_out(struct pn_stream *stream, const uint8_t *bytes, struct outgoing *out,
                           size_t *written)
{
    size_t data;
    ssize_t sent;

    do
        sent = send(stream->link.fd, bytes + out->at, out->end - out->at, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return pn_stream_break(stream, errno, false);
    if (sent > 0)
        out->at += (size_t)sent;
    data = cross(bytes, out);
    if (data > 0) {
        *written = data;
        return PN_OK;
    }
    stream->wants_writable = true;
    return PN_AGAIN;
}

static enum pn_rc send_left_over(struct pn_stream *stream, size_t *written)
{
    struct outgoing *out = &stream->records->out;
    enum pn_rc rc = send_out(stream, out->bytes, out, written);

    if (out->border == out->end) {
        free(out->bytes);
        *out = (struct outgoing){0};
    }
    return rc;
}

/* From the border on, so that the record that is half sent can be told from the next. */
static enum pn_rc keep_unsent(struct pn_stream *stream, const uint8_t *bytes,
                              const struct outgoing *out)
{
    struct outgoing *kept = &stream->records->out;
    size_t len = out->end - out->border;

    kept->bytes = malloc(len);
    if (!kept->bytes)
        return pn_stream_break(stream, ENOMEM, false);
    memcpy(kept->bytes, bytes + out->border, len);
    kept->lead = out->lead;
    kept->border = 0;
    kept->at = out->at - out->border;
    kept->end = len;
    return PN_OK;
}

enum pn_rc pn_stream_records_writev(struct pn_stream *stream, const struct iovec *iov, int count,
                                    size_t *written)
{
    struct pn_stream_records *io = stream->records;
    struct pn_record_batch batch;
    struct outgoing out = {0};
    enum pn_rc rc, kept;

    if (io->out.border < io->out.end)
        return send_left_over(stream, written);
    rc = pn_records_pack(io->records, iov, count, out_place, sizeof(out_place), &batch);
    if (rc != PN_OK)
        return pn_stream_break(stream, ENOMEM, false);
    if (batch.is_worn)
        pn_limit_hit(PN_LIMIT_TLS_KEY_RECORDS);
    out.lead = batch.lead;
    out.end = batch.len;
    rc = send_out(stream, out_place, &out, written);
    if (out.border == out.end || (rc != PN_OK && rc != PN_AGAIN))
        return rc;
    kept = keep_unsent(stream, out_place, &out);
    return kept == PN_OK ? rc : kept;
}

/* ---- idleness */

void pn_stream_records_trim(struct pn_stream_records *io)
{
    struct incoming *in = &io->in;

    pn_records_rest(io->records);
    if (in->plain_at == in->plain_end && in->at == in->end) {
        free(in->bytes);
        *in = (struct incoming){0};
    }
}
