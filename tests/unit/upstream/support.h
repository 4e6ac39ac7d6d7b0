/* SPDX-License-Identifier: Apache-2.0
 *
 * A backend for the tests of this room, played by hand: a listener on loopback, the bytes that
 * came, and what the exchange told its user. No thread and no sleep: it acts between two turns of
 * the loop, and each wait ends after a bounded number of them.
 */
#pragma once

#include "upstream/exchange.h"

struct pn_fake_source {
    struct pn_source source; /* first */
    const char *text;        /* what may be taken now */
    bool ends;               /* behind it */
};

/** A body of `text`, not yet ended unless `ends`. */
void pn_fake_source_init(struct pn_fake_source *fake);

/** Everything that one exchange told. */
struct pn_fake_user {
    struct pn_exchange exchange;
    struct pn_arena *arena;
    struct pn_fake_source body;
    unsigned heads, failures, continues, informational, request_failed, sent;
    int status;
    bool ends_at_head; /* cancel when the head comes */
};

struct pn_fake_backend {
    struct pn_loop *loop;
    struct pn_io_buffers buffers;
    struct pn_pool *pool;
    int listener;
    struct pn_target target;
    struct pn_http_limits limits;
    char in[65536]; /* of the last pn_fake_read() */
    size_t in_len;
};

void pn_fake_open(struct pn_fake_backend *backend, const struct pn_pool_limits *limits);
void pn_fake_close(struct pn_fake_backend *backend);
void pn_fake_turns(struct pn_fake_backend *backend, int turns);
/** A connection that was opened to us, non-blocking; -1: there is none after some turns. */
int pn_fake_accept(struct pn_fake_backend *backend);
/** Reads on until `part` is in backend->in (NUL-terminated), or until nothing comes: false. */
bool pn_fake_read(struct pn_fake_backend *backend, int fd, const char *part);
void pn_fake_write(struct pn_fake_backend *backend, int fd, const char *bytes);
/** The other end is closed. */
bool pn_fake_is_closed(struct pn_fake_backend *backend, int fd);

void pn_fake_user_init(struct pn_fake_user *user, struct pn_fake_backend *backend);
void pn_fake_user_fini(struct pn_fake_user *user);
/** `text` NULL: no body. */
struct pn_exchange_spec pn_fake_spec(struct pn_fake_user *user, struct pn_fake_backend *backend,
                                     const char *method, const char *text, bool ends);
/** All of the answer's body that is there now. The result is the next call's to overwrite. */
const char *pn_fake_answer(struct pn_fake_user *user);
