/* SPDX-License-Identifier: Apache-2.0
 *
 * The BIO below a TLS session: recv() and send() on a non-blocking socket. A read that got less
 * than it asked for has emptied the socket, so the next one is answered without a system call until
 * the loop reports new input (epoll(7), edge-triggered).
 *
 * While a connection may be taken over (tls/takeover.h), OpenSSL asks for the bytes of one record
 * at a time, header and content; what came behind them waits here, where it can be got out again.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct pn_tls_link *link = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (link->below)
        sent = pn_below_write(link->below, bytes, (size_t)len);
    else
        do
            sent = send(link->fd, bytes, (size_t)len, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(bio);
    return (int)sent;
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
