/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: reading, writing, half-close. No memory is allocated here.
 */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "base/secret.h"
#include "signer/signer.h"
#include "tls/below.h"
#include "tls/session_records.h"

/* Pieces of one write become one record. Each thread has one such place, used within a call only.
 */
static _Thread_local char record[PN_STREAM_RECORD_MAX];

/* A peer that resets the connection may have said why before: that waits in the socket. */
static void set_broken(struct pn_stream *stream, bool is_read)
{
    if (is_read) {
        stream->is_broken = true;
        return;
    }
    stream->is_write_broken = true;
    stream->link.is_drained = false;
    stream->link.peer_ended = true;
}

enum pn_rc pn_stream_break(struct pn_stream *stream, int system_error, bool is_read)
{
    struct pn_tls_report *report = pn_tls_link_report(&stream->link);

    set_broken(stream, is_read);
    report->stage = PN_STAGE_OPEN;
    report->cause = PN_CAUSE_RESET;
    report->system_error = system_error;
    return PN_IO;
}

/* ---- reading */

static enum pn_rc plain_read(struct pn_stream *stream, void *buf, size_t cap, size_t *len)
{
    ssize_t got;

    if (stream->link.is_drained)
        return PN_AGAIN;
    if (stream->link.below)
        got = pn_below_read(stream->link.below, buf, cap);
    else
        do
            got = recv(stream->link.fd, buf, cap, 0);
        while (got < 0 && errno == EINTR);
    if (got > 0) {
        *len = (size_t)got;
        if (*len < cap && !stream->link.peer_ended && !stream->link.below)
            stream->link.is_drained = true;
        return PN_OK;
    }
    if (got == 0)
        return PN_EOF;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return PN_AGAIN;
    return pn_stream_break(stream, errno, true);
}

/* What was refused after the handshake shall not be tried again by resuming it. */
static void after_failure(struct pn_stream *stream)
{
    const struct pn_tls_report *report = pn_tls_link_report(&stream->link);

    if (stream->client && report->is_late)
        pn_tls_client_forget_sessions(stream->client, stream->identity);
    if (stream->link.story)
        pn_tls_story_collect(stream->link.story, &stream->link, stream->ssl);
}

/* After SSL_read or SSL_write failed. */
static enum pn_rc tls_failed(struct pn_stream *stream, int done, bool is_read)
{
    int system_error = errno;
    int ssl_error = SSL_get_error(stream->ssl, done);

    if (ssl_error == SSL_ERROR_WANT_READ) {
        if (!is_read)
            stream->write_wants_read = stream->wants_writable = true;
        return PN_AGAIN;
    }
    if (ssl_error == SSL_ERROR_WANT_WRITE) {
        if (is_read)
            stream->read_wants_write = true;
        else
            stream->wants_writable = true;
        return PN_AGAIN;
    }
    if (ssl_error == SSL_ERROR_ZERO_RETURN && is_read)
        return PN_EOF;
    set_broken(stream, is_read);
    pn_tls_report_failure(&stream->link, stream->ssl, ssl_error, system_error);
    after_failure(stream);
    return PN_IO;
}

/* The peer wants to renegotiate and may not; OpenSSL has declined and would go on. */
static enum pn_rc end_unwanted(struct pn_stream *stream)
{
    set_broken(stream, true);
    pn_tls_report_failure(&stream->link, stream->ssl, SSL_ERROR_SSL, 0);
    after_failure(stream);
    return PN_IO;
}

static void tls_begin(void)
{
    /* A renegotiation or a late request for the certificate may sign within a read. */
    pn_signer_clear_error();
    if (ERR_peek_error() != 0) /* clearing walks all sixteen places, also when they are empty */
        ERR_clear_error();
    errno = 0;
}

enum pn_rc pn_stream_read(struct pn_stream *stream, void *buf, size_t cap, size_t *len)
{
    int done;

    if (stream->is_broken || stream->state != PN_STREAM_OPEN)
        return PN_IO;
    if (!cap)
        return PN_AGAIN;
    if (stream->records)
        return pn_stream_records_read(stream, buf, cap, len);
    if (!stream->ssl)
        return plain_read(stream, buf, cap, len);
    tls_begin();
    done = SSL_read_ex(stream->ssl, buf, cap, len);
    if (stream->link.is_late_unwanted && SSL_version(stream->ssl) < TLS1_3_VERSION)
        return end_unwanted(stream);
    if (done != 1)
        return tls_failed(stream, done, true);
    stream->link.has_heard = true;
    return PN_OK;
}

bool pn_stream_has_pending(const struct pn_stream *stream)
{
    if (stream->link.below && pn_stream_has_pending(stream->link.below->stream))
        return true;
    if (stream->records)
        return pn_stream_records_has_pending(stream->records);
    return stream->ssl &&
           (SSL_has_pending(stream->ssl) == 1 || stream->link.ahead_at < stream->link.ahead_end);
}

bool pn_stream_is_quiet(const struct pn_stream *stream)
{
    const struct pn_stream *lowest = stream;

    while (lowest->link.below)
        lowest = lowest->link.below->stream;
    return lowest->link.is_drained && !pn_stream_has_pending(stream);
}

void pn_stream_settle(struct pn_stream *stream)
{
    if (stream->link.below)
        pn_stream_settle(stream->link.below->stream);
    if (stream->link.ahead_at == stream->link.ahead_end)
        pn_stream_records_take(stream);
}

void pn_stream_trim(struct pn_stream *stream)
{
    if (stream->link.below)
        pn_stream_trim(stream->link.below->stream);
    if (stream->records)
        pn_stream_records_trim(stream->records);
    else if (stream->ssl && stream->state == PN_STREAM_OPEN)
        (void)SSL_free_buffers(stream->ssl); /* refuses while they hold something */
}

/* ---- writing */

static ssize_t send_pieces(int fd, const struct iovec *iov, int count)
{
    struct msghdr message = {0};
    struct iovec copy[PN_STREAM_IOV_MAX];

    if (count == 1) /* the usual answer; the kernel has no list to copy and check */
        return send(fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
    memcpy(copy, iov, (size_t)count * sizeof(*iov));
    message.msg_iov = copy;
    message.msg_iovlen = (size_t)count;
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static enum pn_rc plain_writev(struct pn_stream *stream, const struct iovec *iov, int count,
                               size_t *written)
{
    ssize_t sent;

    if (stream->link.below)
        sent = pn_below_writev(stream->link.below, iov, count);
    else
        do
            sent = send_pieces(stream->link.fd, iov, count);
        while (sent < 0 && errno == EINTR);
    if (sent > 0) {
        *written = (size_t)sent;
        return PN_OK;
    }
    if (sent == 0 || errno == EAGAIN || errno == EWOULDBLOCK) {
        stream->wants_writable = true;
        return PN_AGAIN;
    }
    return pn_stream_break(stream, errno, false);
}

static enum pn_rc tls_write(struct pn_stream *stream, const void *bytes, size_t len,
                            size_t *written)
{
    int done;

    if (len > PN_STREAM_RECORD_MAX)
        len = PN_STREAM_RECORD_MAX;
    tls_begin();
    done = SSL_write_ex(stream->ssl, bytes, len, written);
    stream->has_unsent = done != 1;
    return done == 1 ? PN_OK : tls_failed(stream, done, false);
}

enum pn_rc pn_stream_write(struct pn_stream *stream, const void *bytes, size_t len, size_t *written)
{
    struct iovec iov = {.iov_len = len};

    /* iov_base is not const, though it is only read. */
    memcpy(&iov.iov_base, &bytes, sizeof(iov.iov_base));
    return pn_stream_writev(stream, &iov, 1, written);
}

enum pn_rc pn_stream_writev(struct pn_stream *stream, const struct iovec *iov, int count,
                            size_t *written)
{
    enum pn_rc rc;
    size_t len = 0;

    if (stream->is_broken || stream->is_write_broken || stream->is_shut_down ||
        stream->state != PN_STREAM_OPEN)
        return PN_IO;
    if (count > PN_STREAM_IOV_MAX)
        count = PN_STREAM_IOV_MAX;
    if (stream->records)
        return pn_stream_records_writev(stream, iov, count, written);
    if (!stream->ssl)
        return plain_writev(stream, iov, count, written);
    if (count == 1)
        return tls_write(stream, iov[0].iov_base, iov[0].iov_len, written);
    for (int i = 0; i < count && len < sizeof(record); i++) {
        size_t piece = iov[i].iov_len;

        if (piece > sizeof(record) - len)
            piece = sizeof(record) - len;
        if (piece)
            memcpy(record + len, iov[i].iov_base, piece);
        len += piece;
    }
    rc = tls_write(stream, record, len, written);
    if (SSL_get_options(stream->ssl) & SSL_OP_CLEANSE_PLAINTEXT)
        pn_wipe(record, len);
    return rc;
}

void pn_stream_shutdown(struct pn_stream *stream)
{
    if (stream->state != PN_STREAM_OPEN || stream->is_broken || stream->is_write_broken ||
        stream->is_shut_down)
        return;
    stream->is_shut_down = true;
    if (stream->records) {
        pn_stream_records_close(stream);
    } else if (stream->ssl) {
        ERR_clear_error();
        stream->link.is_last = true;
        (void)SSL_shutdown(stream->ssl);
        stream->link.is_last = false;
        ERR_clear_error();
    }
    if (stream->link.below)
        pn_stream_shutdown(stream->link.below->stream);
    else
        (void)shutdown(stream->link.fd, SHUT_WR);
}
