/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the HTTP/2 engine share.
 *
 *   h2.c          one connection          h2_receive.c  nghttp2's callbacks for what comes
 *   h2_stream.c   one stream, its events  h2_fields.c   one field of a header block, and its rules
 *   h2_source.c   the body that comes     h2_head.c     whole header blocks
 *   h2_memory.c   free lists              h2_send.c     heads that go
 *   h2_config.c   limits and buckets      h2_body.c     bodies that go
 *   h2_watch.c    headers of frames that come, before nghttp2 sees them
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/limits.h"
#include "base/list.h"
#include "http/h2.h"

/* ---- memory ---- */

void *pn_h2_alloc(struct pn_h2_memory *memory, size_t len);
void pn_h2_free(void *block);
/** For tests: there is no memory after so many blocks. */
void pn_h2_memory_starve(struct pn_h2_memory *memory, size_t blocks);
nghttp2_mem *pn_h2_memory_of_nghttp2(struct pn_h2_memory *memory);
nghttp2_session_callbacks *pn_h2_memory_callbacks(struct pn_h2_memory *memory);

/* ---- buckets ---- */

enum h2_flood {
    H2_RESETS,
    H2_PINGS,
    H2_SETTINGS,
    H2_PRIORITIES,
    H2_EMPTY_DATA,
    H2_WINDOW_UPDATES,
    H2_FLOODS,
};

struct h2_bucket {
    uint64_t credit; /* in 1/60000 of a frame: a rate per minute times milliseconds */
    uint64_t filled_ms;
    uint32_t per_minute;
};

/** Of the connection, for its flow control: twice what its streams may hold, because nghttp2 gives
 *  window back when half of it was used, and never if more than the other half is held. */
int32_t pn_h2_flow_window(const struct pn_h2_config *config);

void pn_h2_bucket_init(struct h2_bucket *bucket, uint32_t per_minute, uint64_t now_ms);
/** False: it is empty. */
bool pn_h2_bucket_take(struct h2_bucket *bucket, uint64_t now_ms);
void pn_h2_bucket_give(struct h2_bucket *bucket);

/* ---- streams ---- */

/* What is still to be told of a stream, in the order in which it is told. */
enum {
    H2_TELL_INFORMATIONAL = 1,
    H2_TELL_HEAD = 2,
    H2_TELL_REFUSED = 4,
    H2_TELL_DATA = 8,
    H2_TELL_SOURCE_FAILED = 16,
    H2_TELL_SENT = 32,
    H2_TELL_CLOSED = 64,
};

/* A piece of a received body. */
struct h2_piece {
    struct h2_piece *next;
    size_t start;
    size_t end;
    size_t size;
    char bytes[];
};

struct h2_inform {
    struct h2_inform *next;
    struct pn_response_head head;
};

struct h2_stream {
    struct pn_h2_stream pub; /* the first: see pn_h2_stream_of_const() */
    struct pn_list link;     /* of the connection's streams */
    struct pn_list ready;    /* of those that have something to tell */
    struct pn_arena *arena;
    struct pn_source *body; /* what we send; NULL: none, or all was taken */
    struct h2_piece *first;
    struct h2_piece *last;
    size_t buffered_bytes; /* in the pieces, `held` included */
    uint32_t lent_bytes;   /* of window, beyond the first */
    uint64_t received_bytes;
    uint64_t expected_bytes; /* Content-Length of what comes */
    uint64_t sent_bytes;
    uint64_t checked_sent_bytes; /* when it was last seen to make progress ... */
    uint64_t stalled_ms;         /* ... and since when it has not; 0: it is not stalled */
    struct pn_headers trailers;
    struct h2_inform *informs;
    union {
        struct pn_request_head *request;
        struct pn_response_head *response;
    } head;
    uint32_t close_code;
    uint32_t reset_code; /* of our RST_STREAM, where the peer is at fault */
    enum pn_rc source_rc;
    unsigned tells;
    bool has_length;      /* expected_bytes counts */
    bool has_no_body;     /* whatever the fields say: HEAD, 204, 304 */
    bool is_head_request; /* client: the method is HEAD */
    bool drops_trailers;  /* client: of `body` */
    bool has_final_head;  /* of the peer: what follows are trailers */
    bool is_refused;      /* server: what else comes of the request is dropped */
    bool is_bad;          /* server: the request is malformed: PROTOCOL_ERROR behind the answer */
    bool is_answered;     /* server: pn_h2_respond() was called */
    bool is_begun;        /* the last byte of HEADERS is in the output ... */
    bool is_head_sent;    /* ... and nghttp2 has been told so */
    bool is_waiting;      /* `body` had nothing: pn_h2_resume() goes on */
    bool is_dry;          /* it had nothing when it was last asked, whatever the window is */
    bool is_end_received;
    bool is_end_sent;
    bool is_reset;     /* RST_STREAM of ours is on its way */
    bool is_detached;  /* the owner has reset it: nothing is told, nothing of his is touched */
    bool is_closed;    /* nghttp2 has forgotten it */
    bool is_telling;   /* in one of its events */
    bool is_completed; /* counted as a whole answer */
};

/** NULL: no memory. */
struct h2_stream *pn_h2_stream_create(struct pn_h2 *h2, int32_t id, struct pn_arena *arena);
void pn_h2_stream_destroy(struct h2_stream *stream);
static inline struct h2_stream *pn_h2_stream_of(struct pn_h2_stream *pub)
{
    return PN_CONTAINER(pub, struct h2_stream, pub);
}
static inline const struct h2_stream *pn_h2_stream_of_const(const struct pn_h2_stream *pub)
{
    return (const struct h2_stream *)(const void *)pub;
}
/** Remembers what is to be told. */
void pn_h2_stream_tell(struct h2_stream *stream, unsigned what);
/** Tells all that is to be told, of all streams. */
void pn_h2_tell(struct pn_h2 *h2);
/** Received DATA. PN_NOMEM. */
enum pn_rc pn_h2_stream_append(struct h2_stream *stream, const uint8_t *data,
                               size_t len) PN_MUST_USE;
/** NULL: nghttp2 does not know it, or not any more. */
struct h2_stream *pn_h2_stream_find(struct pn_h2 *h2, int32_t id);
/** For pn_source_init(). */
extern const struct pn_source_ops pn_h2_source_ops;
/** What has come and was not used is dropped, and its window given back. */
void pn_h2_stream_drop(struct h2_stream *stream);
/** The peer's END_STREAM. */
void pn_h2_stream_ended(struct h2_stream *stream);
/** Ends the stream for what the peer did: RST_STREAM with `code`; `in` fails with rc and fault. */
void pn_h2_stream_fail(struct h2_stream *stream, uint32_t code, enum pn_rc rc, int status,
                       const char *cause);
/** nghttp2 has closed it. */
void pn_h2_stream_closed(struct h2_stream *stream, uint32_t code);

/* ---- the connection ---- */

/* The header block in work. */
struct h2_head {
    struct h2_stream *stream; /* NULL: nobody wants it */
    bool is_trailer;
    bool has_regular; /* a field that is not a pseudo-header has come */
    bool has_host;
    bool has_expect;
    size_t bytes; /* RFC 9113 §6.5.2: name, value and 32 for each field */
    size_t count;
    size_t bytes_max; /* the limits of a head; of trailers theirs, too */
    size_t count_max;
    size_t continuations;
    size_t crumb_count; /* cookie fields */
    size_t crumb_bytes;
    struct pn_slice method;
    struct pn_slice scheme;
    struct pn_slice authority;
    struct pn_slice path;
    struct pn_slice protocol;
    struct pn_slice status;
    struct pn_slice length; /* Content-Length */
    struct pn_headers headers;
    struct pn_headers crumbs; /* those that are not empty */
    enum pn_rc rc;            /* why it is refused */
    struct pn_http_fault fault;
};

/* Streams that a client has passed over: closed by that, and never opened (RFC 9113 §5.1.1). */
struct h2_gap {
    uint32_t first; /* half the id */
    uint32_t end;   /* 0: an unused place */
};
enum {
    H2_GAPS = 4,      /* the last ones are remembered: who counts by two has none */
    H2_WATCHED = 256, /* streams of which it is remembered that the peer has ended them */
    H2_FRAME_HEADER_BYTES = 9,
    H2_AT_TYPE = 3, /* in it */
    H2_AT_FLAGS = 4,
    H2_AT_ID = 5,
    H2_DEFAULT_WINDOW_BYTES = 65535, /* of streams and connection, before SETTINGS are known */
};

struct h2_fault {
    uint32_t code;
    const char *why;
};

/* See h2_watch.c. */
struct h2_watch {
    const struct h2_fault *fault; /* of the frame that nghttp2 does not get any more */
    uint64_t data_bytes;          /* payloads of all DATA ... */
    uint64_t taken_bytes;         /* ... and of those that nghttp2 did not pass over */
    uint64_t late_bytes_max;      /* may be passed over */
    uint64_t ended[H2_WATCHED / 64];
    struct h2_gap gaps[H2_GAPS];
    size_t next_gap;
    uint32_t gaps_end; /* behind the last of them; 0: there are none */
    size_t header_len;
    uint32_t next;    /* half the id of the first stream that was never opened */
    uint32_t payload; /* bytes of it still to come */
    uint8_t header[H2_FRAME_HEADER_BYTES]; /* of which a part has come */
    bool is_in_block;                      /* CONTINUATION must be next */
};

struct pn_h2 {
    nghttp2_session *session;
    struct pn_h2_memory *memory;
    const struct pn_h2_events *events;
    void *ctx;
    enum pn_h2_side side;
    struct pn_h2_config config;
    struct pn_list streams;
    struct pn_list ready;
    size_t streams_open; /* in `streams` */
    uint64_t streams_total;
    uint64_t now_ms;
    struct h2_head head;
    struct h2_stream *found; /* that was looked for last; NULL: none, or nghttp2 has closed it */
    char authority[64];      /* that was judged to be good last ... */
    size_t authority_len;    /* ... 0: none */
    struct h2_watch watch;
    size_t buffered_bytes; /* of all streams */
    uint32_t lent_bytes;   /* likewise */
    struct h2_bucket floods[H2_FLOODS];
    enum pn_rc verdict;                       /* PN_OK: the connection lives */
    char failure[96];                         /* why not */
    struct pn_slice rest;                     /* of the frame that did not fit into the output */
    int32_t rest_head;                        /* whose head ends with it; 0: no head does */
    uint8_t end_frame[H2_FRAME_HEADER_BYTES]; /* `rest` may be this */
    struct pn_buf *out;                       /* while pn_h2_output() is at work */
    size_t out_max;
    enum pn_rc out_rc;
    int32_t out_window; /* of the DATA frame in work: what the peer gives to its stream now */
    uint64_t checked_ms;
    int32_t goaway_last_id;
    uint32_t goaway_code;
    size_t capacity_told;
    bool is_server;
    bool is_busy;    /* nghttp2 is on the stack */
    bool is_telling; /* an event is */
    bool has_asked;  /* on_wants_output() was called */
    bool has_peer_settings;
    bool has_peer_goaway;
    bool has_new_windows;   /* SETTINGS have come since streams were looked at ... */
    bool had_window;        /* ... or the connection had window */
    bool has_sent_trailers; /* client */
    bool is_noticed;        /* the first GOAWAY of a graceful end is submitted */
    bool is_shut_down;      /* the last one is */
    bool is_pinging;
    bool tells_goaway;
    bool tells_pong;
    bool tells_capacity;
};

/** The connection is over, for the peer's fault: GOAWAY with `code`. `why`: static text. */
void pn_h2_fail(struct pn_h2 *h2, enum pn_rc rc, uint32_t code, const char *why);
/** The same, for a limit: counts it; ENHANCE_YOUR_CALM. */
void pn_h2_over(struct pn_h2 *h2, enum pn_limit limit, const char *why);
/** Takes one out of the bucket; else pn_h2_fail(). False: it failed. */
bool pn_h2_flood_take(struct pn_h2 *h2, enum h2_flood flood);
/** Something may be to be sent: tells the owner, unless he is about to ask by himself. */
void pn_h2_ask(struct pn_h2 *h2);

/** The stream of a frame, by its header. */
static inline uint32_t pn_h2_frame_id(const uint8_t *header)
{
    const uint8_t *at = header + H2_AT_ID;

    return (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- frames before nghttp2 sees them ---- */

void pn_h2_watch_init(struct pn_h2 *h2);
/** How many of the bytes nghttp2 may have: all, or those in front of a frame that must not be. */
size_t pn_h2_watch(struct pn_h2 *h2, struct pn_slice bytes);
/** nghttp2 has had them: what must not be ends the connection. */
void pn_h2_watch_end(struct pn_h2 *h2);
/** Client: we have opened a stream. */
void pn_h2_watch_opened(struct pn_h2 *h2, int32_t id);
/** Our RST_STREAM was sent: what is under way of the stream is passed over. */
void pn_h2_watch_reset(struct pn_h2 *h2, int32_t id);

/* ---- heads ---- */

void pn_h2_head_begin(struct pn_h2 *h2, struct h2_stream *stream, bool is_trailer);
/** RFC 9113 §8.2.2: what belongs to a connection of HTTP/1.1. TE is not among them. */
#define PN_H2_OF_CONNECTION                                                                        \
    (PN_HEADER_BIT(PN_HEADER_UPGRADE) | PN_HEADER_BIT(PN_HEADER_CONNECTION) |                      \
     PN_HEADER_BIT(PN_HEADER_KEEP_ALIVE) | PN_HEADER_BIT(PN_HEADER_PROXY_CONNECTION) |             \
     PN_HEADER_BIT(PN_HEADER_TRANSFER_ENCODING))
/** One field. Faults are kept in the head; above the hard limit: pn_h2_fail(). */
void pn_h2_head_field(struct pn_h2 *h2, nghttp2_rcbuf *name_buf, nghttp2_rcbuf *value_buf);
/** Why the head is not acceptable; the first reason counts. */
void pn_h2_head_refuse(struct h2_head *head, enum pn_rc rc, int status, const char *cause);
/** The same: PN_MALFORMED, 400. */
void pn_h2_head_malformed(struct h2_head *head, const char *cause);
/** The pseudo-headers are over: Host is made of :authority, in front of the fields. */
void pn_h2_head_begin_regular(struct h2_head *head);
/** It is a host with an optional port. The last good one is known again. */
bool pn_h2_is_authority(struct pn_h2 *h2, struct pn_slice text);
/** The block is whole. */
void pn_h2_head_end(struct pn_h2 *h2, bool is_end_stream);

/* ---- sending ---- */

enum {
    H2_NV_STACK = 64, /* fields of a head that need no memory of their own */
};
/** Appends the fields to `nva`, which has room. Connection fields are left out, of a request Host
 *  too. PN_MALFORMED in *rc: one is not valid. */
size_t pn_h2_put_fields(nghttp2_nv *nva, const struct pn_headers *headers, bool is_request,
                        enum pn_rc *rc);
/** Of the provider of a body: its source.ptr is the struct h2_stream. */
ssize_t pn_h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                        uint32_t *flags, nghttp2_data_source *source, void *user);

/** No window is left, but the body has come to its end: that is sent. False: nothing was done. */
bool pn_h2_end_without_window(struct h2_stream *stream);
/** What nghttp2 sends, and in the place of that end what is sent. */
struct pn_slice pn_h2_end_frame(struct pn_h2 *h2, const uint8_t *frame, size_t len);

/* ---- callbacks ---- */

void pn_h2_receive_callbacks(nghttp2_session_callbacks *callbacks);
void pn_h2_send_callbacks(nghttp2_session_callbacks *callbacks);
void pn_h2_body_callbacks(nghttp2_session_callbacks *callbacks);
