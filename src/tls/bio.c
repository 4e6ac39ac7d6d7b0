/* SPDX-License-Identifier: Apache-2.0
 *
 * The BIO below a TLS session: recv() and send() on a non-blocking socket. A read that got less
 * than it asked for has emptied the socket, so the next one is answered without a system call until
 * the loop reports new input (epoll(7), edge-triggered).
 *
 * While a connection may be taken over (tls/takeover.h), OpenSSL asks for the bytes of one record
 * at a time, header and content; what came behind them waits here, where it can be got out again.
 *
 * A client's last flight of the handshake waits for the first request, which follows at once:
 * together they are one system call, and one packet.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tls/below.h"
#include "tls/tls_internal.h"

static int take_ahead(struct pn_tls_link *link, char *bytes, int len)
{
    int n = link->ahead_end - link->ahead_at;

    if (n > len)
        n = len;
    memcpy(bytes, link->ahead + link->ahead_at, (size_t)n);
    link->ahead_at = (uint16_t)(link->ahead_at + n);
    if (link->ahead_at < link->ahead_end)
        return n;
    link->ahead_at = link->ahead_end = 0;
    if (!link->takeover) {
        free(link->ahead);
        link->ahead = NULL;
    }
    return n;
}

/* Whether to read more than OpenSSL asks for. */
static bool reads_ahead(struct pn_tls_link *link, int len)
{
    if (!link->takeover || len >= PN_TLS_AHEAD_BYTES)
        return false;
    if (!link->ahead)
        link->ahead = malloc(PN_TLS_AHEAD_BYTES);
    return link->ahead != NULL;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
    struct pn_tls_link *link = BIO_get_data(bio);
    size_t asked;
    bool is_ahead;
    ssize_t got;

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (link->ahead_at < link->ahead_end)
        return take_ahead(link, bytes, len);
    if (link->is_drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    is_ahead = reads_ahead(link, len);
    asked = is_ahead ? PN_TLS_AHEAD_BYTES : (size_t)len;
    if (link->below)
        got = pn_below_read(link->below, bytes, asked);
    else
        do
            got = recv(link->fd, is_ahead ? (char *)link->ahead : bytes, asked, 0);
        while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_read(bio);
    else if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    if (got > 0 && (size_t)got < asked && !link->peer_ended && !link->below)
        link->is_drained = true;
    if (got <= 0 || !is_ahead)
        return (int)got;
    link->ahead_at = 0;
    link->ahead_end = (uint16_t)got;
    return take_ahead(link, bytes, len);
}

static bool hold(struct pn_tls_link *link, const char *bytes, int len)
{
    if (!link->is_holding || link->held || link->below || len > PN_TLS_HELD_MAX)
        return false;
    link->held = malloc((size_t)len);
    if (!link->held)
        return false;
    memcpy(link->held, bytes, (size_t)len);
    link->held_len = (size_t)len;
    return true;
}

static void drop_held(struct pn_tls_link *link, size_t len)
{
    if (len < link->held_len) {
        link->held_len -= len;
        memmove(link->held, link->held + len, link->held_len);
        return;
    }
    free(link->held);
    link->held = NULL;
    link->held_len = 0;
}

/* Before close() or shutdown() a packet of its own would be wasted: FIN takes the bytes along. */
static int flags_of(const struct pn_tls_link *link)
{
    return MSG_NOSIGNAL | (link->is_last ? MSG_MORE : 0);
}

/* What is held goes first. Of `bytes`: how many were sent, or -1. */
static ssize_t send_behind(struct pn_tls_link *link, const char *bytes, size_t len)
{
    struct iovec iov[2] = {{.iov_base = link->held, .iov_len = link->held_len},
                           {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    size_t held_len = link->held_len;
    ssize_t sent;

    do
        sent = sendmsg(link->fd, &message, flags_of(link));
    while (sent < 0 && errno == EINTR);
    if (sent <= 0)
        return sent;
    drop_held(link, (size_t)sent);
    if ((size_t)sent > held_len)
        return sent - (ssize_t)held_len;
    errno = EAGAIN;
    return -1;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct pn_tls_link *link = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (hold(link, bytes, len))
        return len;
    if (link->below)
        sent = pn_below_write(link->below, bytes, (size_t)len);
    else if (link->held)
        sent = send_behind(link, bytes, (size_t)len);
    else
        do
            sent = send(link->fd, bytes, (size_t)len, flags_of(link));
        while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(bio);
    return (int)sent;
}

void pn_tls_bio_flush(struct pn_tls_link *link)
{
    ssize_t sent;

    if (!link->held)
        return;
    do
        sent = send(link->fd, link->held, link->held_len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        drop_held(link, (size_t)sent);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        drop_held(link, link->held_len);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern socket");
    if (!method)
        return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *pn_tls_bio_new(struct pn_tls_link *link)
{
    BIO *bio;

    if (pthread_once(&method_once, method_make) != 0 || !method)
        return NULL;
    bio = BIO_new(method);
    if (!bio)
        return NULL;
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    return bio;
}
