/* SPDX-License-Identifier: Apache-2.0
 *
 * A byte stream on a loop: plain TCP or TLS, client or server, behind one interface, so that HTTP
 * code is the same for http:// and https://.
 *
 *   CONNECTING -> HANDSHAKE -> OPEN -> CLOSED      (plain: without HANDSHAKE; accepted: without
 * CONNECTING)
 *
 * Events are edge-triggered: on_readable means "there may be something new": read until PN_AGAIN,
 * or read again later by yourself. on_writable comes after a write said PN_AGAIN. No callback is
 * ever made from inside a call of the user; each comes from the loop. A stream belongs to its
 * loop's thread. Reading and writing allocate nothing.
 */
#pragma once

#include <sys/uio.h>

#include "loop/loop.h"
#include "tls/client.h"
#include "tls/peer.h"
#include "tls/report.h"
#include "tls/server.h"
#include "tls/story.h"

#define PN_STREAM_RECORD_MAX         16384 /* bytes of one TLS record: one write takes no more */
#define PN_STREAM_IOV_MAX            16
#define PN_STREAM_CONNECT_TIMEOUT_MS 10000 /* default for connect + handshake */

struct pn_stream;

struct pn_stream_events {
    /** Connected (TLS: and handshaken and verified). Reading and writing work from now on. */
    void (*on_open)(void *ctx, struct pn_stream *stream);
    /** Did not come to be open: the report says why. Only pn_stream_destroy() is left to do. */
    void (*on_failed)(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report);
    void (*on_readable)(void *ctx, struct pn_stream *stream);
    void (*on_writable)(void *ctx, struct pn_stream *stream);
};

struct pn_stream_connect_spec {
    /* Who: for plain TCP only its peer is used. Must be what `tls` stands for (checked: a mismatch
     * counts in postern_identity_mismatch_total and is refused). */
    const struct pn_tls_identity *identity;
    struct pn_tls_client *tls; /* NULL: plain TCP */
    uint32_t timeout_ms;       /* connect and handshake together; 0: the default */
    int fd; /* an already connected socket (it is taken), or -1: connect to the peer */
    struct pn_stream *below; /* an open stream (it is taken) whose bytes are this one's, instead of
                                a socket: TLS within TLS, through a proxy. NULL: none */
    int64_t now_unix_s;      /* 0: the clock; tests set it */
    struct pn_tls_story *story; /* filled while the stream lives; no session is resumed. NULL:
                                   nobody wants to know */
};

/** Starts; on_open or on_failed follows from the loop. `events` is borrowed for the stream's life.
 *  Fail closed: PN_INVALID (certificate expired or not yet valid, no connection was made; err->code
 *  certificate_expired / certificate_not_yet_valid), PN_CONFLICT (identity mismatch), PN_IO,
 * PN_NOMEM. On failure a given fd, or the stream below, is closed. */
enum pn_rc pn_stream_connect(struct pn_loop *loop, const struct pn_stream_connect_spec *spec,
                             const struct pn_stream_events *events, void *ctx,
                             struct pn_stream **stream, struct pn_error *err) PN_MUST_USE;
/** Takes an accepted, non-blocking socket. `tls` NULL: plain TCP. As above; for plain TCP too
 * on_open comes from the loop. `timeout_ms`: for the handshake; 0: the default. PN_IO, PN_NOMEM (fd
 * closed). */
enum pn_rc pn_stream_accept(struct pn_loop *loop, int fd, struct pn_tls_server *tls,
                            uint32_t timeout_ms, const struct pn_stream_events *events, void *ctx,
                            struct pn_stream **stream) PN_MUST_USE;

/** Changes who gets the events: a pool takes the connection, or gives it on. */
void pn_stream_set_events(struct pn_stream *stream, const struct pn_stream_events *events,
                          void *ctx);
void *pn_stream_ctx(const struct pn_stream *stream);

/** PN_OK: *len >= 1 bytes. PN_AGAIN: wait for on_readable. PN_EOF: the peer ended orderly (plain:
 * FIN; TLS: close_notify). PN_IO: broken, cut off without close_notify, or a late alert:
 * pn_stream_report() says why. After EOF one may still write. */
enum pn_rc pn_stream_read(struct pn_stream *stream, void *buf, size_t cap, size_t *len) PN_MUST_USE;
/** PN_OK: *written >= 1 bytes of `bytes` are on their way (maybe fewer than len). PN_AGAIN: none;
 * wait for on_writable, then write *the same bytes* (or those and more): a TLS record may be half
 * sent. PN_IO: broken; the report says why. len >= 1. */
enum pn_rc pn_stream_write(struct pn_stream *stream, const void *bytes, size_t len,
                           size_t *written) PN_MUST_USE;
/** The same from up to PN_STREAM_IOV_MAX pieces: one system call, one TLS record (16 KB at most).
 */
enum pn_rc pn_stream_writev(struct pn_stream *stream, const struct iovec *iov, int count,
                            size_t *written) PN_MUST_USE;
/** True when bytes are already decrypted and wait inside. */
bool pn_stream_has_pending(const struct pn_stream *stream);
/** True when nothing waits inside, and the socket was empty when it was last read: the next bytes
 * come with an event. Else only a read can tell, for the event of what waits may be over. */
bool pn_stream_is_quiet(const struct pn_stream *stream);
/** For client streams, between two messages and not within a read or write: what only the TLS
 * library could take, session tickets above all, has come by now if it ever does. If the context
 * allows it, our own record layer takes the connection over (tls/takeover.h); else nothing
 * happens. Accepted streams are taken over when they are open. */
void pn_stream_settle(struct pn_stream *stream);
/** Gives TLS buffers (about 34 KB, or what is left of our record layer's) back while the connection
 * idles; the next read or write takes new ones. For pools: not between two requests of a busy
 * connection. */
void pn_stream_trim(struct pn_stream *stream);

/** Half-close after the last write: TLS close_notify, TCP FIN. Reading goes on. */
void pn_stream_shutdown(struct pn_stream *stream);
/** Ends it: close_notify if that can be sent at once, close, free when the turn ends. No callback
 *  after this call. NULL is fine. May be called from any of its callbacks. */
void pn_stream_destroy(struct pn_stream *stream);
/** Ends it with a TCP reset: the peer shall not take what it got for a whole message. */
void pn_stream_abort(struct pn_stream *stream);

bool pn_stream_is_open(const struct pn_stream *stream);
bool pn_stream_is_tls(const struct pn_stream *stream);
/** Milliseconds of the loop's clock at which on_open came. */
uint64_t pn_stream_opened_ms(const struct pn_stream *stream);
/** The peer has closed, or its half, as far as the loop has told; bytes may be left to read. Costs
 * no system call. No further event comes, so who begins anew on such a stream waits in vain. */
bool pn_stream_peer_ended(const struct pn_stream *stream);
/** What a client stream was opened with: before each request the pool compares it with what the
 * request demands. NULL for accepted streams. */
const struct pn_tls_identity *pn_stream_identity(const struct pn_stream *stream);
/** The certificate that this client stream presents if it is asked for one; of several the one that
 *  was chosen. NULL: none, or not chosen. Borrowed. */
const struct pn_tls_certificate *pn_stream_certificate(const struct pn_stream *stream);
/** Adds to `story` what is known of the server, also in on_failed and after a failed read; nothing
 *  for plain TCP. */
void pn_stream_story(const struct pn_stream *stream, struct pn_tls_story *story);
/** Facts so far, or the cause of the failure. Borrowed. An accepted stream has the facts of its
 * handshake until on_open returns; later only what went wrong. */
const struct pn_tls_report *pn_stream_report(const struct pn_stream *stream);
/** The negotiated protocol: PN_ALPN_HTTP11, PN_ALPN_H2, or PN_ALPN_NONE. */
enum pn_alpn pn_stream_alpn(const struct pn_stream *stream);
/** The SNI that the client sent, lower case, or "". Server streams. */
const char *pn_stream_server_name(const struct pn_stream *stream);
/** Whether the client of an accepted stream was asked for a certificate when it came, or when the
 *  session that it resumed began. */
bool pn_stream_has_asked(const struct pn_stream *stream);
/** The certificate that the client of an accepted stream has shown, or NULL. Borrowed, until the
 * stream is destroyed. Not verified: see tls/peer.h. */
const struct pn_tls_peer *pn_stream_peer(const struct pn_stream *stream);
/** For getpeername() and the like; do not read, write or close it. */
int pn_stream_fd(const struct pn_stream *stream);
struct pn_loop *pn_stream_loop(const struct pn_stream *stream);
