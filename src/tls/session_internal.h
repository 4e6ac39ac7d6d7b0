/* SPDX-License-Identifier: Apache-2.0
 *
 * The stream object: shared by its life (session.c) and its bytes (session_io.c).
 */
#pragma once

#include "tls/session.h"
#include "tls/tls_internal.h"

enum pn_stream_state {
    PN_STREAM_CONNECTING, /* accepted ones too, until their first event */
    PN_STREAM_HANDSHAKE,
    PN_STREAM_OPEN,
    PN_STREAM_FAILED, /* on_failed was called */
    PN_STREAM_CLOSED, /* destroyed; freed when the turn ends */
};

struct pn_stream_records;

struct pn_stream {
    struct pn_loop *loop;
    struct pn_watch watch;
    struct pn_timer timer; /* connect and handshake */
    struct pn_deferred deferred;
    const struct pn_stream_events *events;
    void *ctx;
    enum pn_stream_state state;

    SSL *ssl;                          /* NULL: plain, or `records` */
    struct pn_stream_records *records; /* taken over from OpenSSL: session_records.c */
    struct pn_tls_client *client;
    struct pn_tls_server *server;
    struct pn_tls_link link;
    uint64_t opened_ms;
    int connect_error; /* what connect() said at once */

    bool is_client;
    bool is_connected;     /* by whoever gave the socket */
    bool is_broken;        /* a read failed: nothing more is read or sent */
    bool is_write_broken;  /* a write failed: what the peer said before may still be read */
    bool is_shut_down;     /* our close_notify or FIN is out */
    bool has_input;        /* on_readable is due */
    bool wants_writable;   /* a write said PN_AGAIN */
    bool read_wants_write; /* TLS needs to send before it can read on */
    bool has_unsent;       /* OpenSSL holds part of a record that a write has not finished */
    bool write_wants_read; /* TLS needs to read before it can write on */

    struct pn_tls_identity identity[]; /* one, of a client stream; an accepted one has none */
};

/** The socket failed: the stream is broken, the report says why. PN_IO. session_io.c */
enum pn_rc pn_stream_break(struct pn_stream *stream, int system_error, bool is_read) PN_MUST_USE;
