/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/2 engine (RFC 9113), both sides: bytes in, facts out. No socket, no clock. nghttp2 does
 * frames and HPACK; what may be a request, an answer, a body, and how much of anything a peer may
 * send is decided here, by the rules that http/h1.h has: what passes can be written as HTTP/1.1
 * without a second thought.
 *
 *   pn_h2_receive()   takes bytes of the peer; then the events of the streams come, one by one
 *   pn_h2_output()    appends what is to be sent to a buffer, and pulls bodies out of their sources
 *                     for it: nothing is pulled that does not go into the buffer at once
 *
 * Events come from these two only, after nghttp2 has returned: inside an event everything may be
 * called but pn_h2_destroy() of the same connection. A stream's events come in the order of this
 * file; on_closed() is the last one, and the stream is gone when it returns.
 *
 * Back-pressure: received DATA waits in its stream, at most a window full; the peer may send more
 * when pn_source_use() says that bytes were used. Thread: one connection belongs to one thread.
 */
#pragma once

#include "base/buf.h"
#include "http/body.h"

struct pn_h2;
struct pn_h2_memory;
struct pn_h2_stream;

enum pn_h2_side { PN_H2_SERVER, PN_H2_CLIENT };

/** RFC 9113 §7. */
enum pn_h2_code {
    PN_H2_NO_ERROR = 0x0,
    PN_H2_PROTOCOL_ERROR = 0x1,
    PN_H2_INTERNAL_ERROR = 0x2,
    PN_H2_FLOW_CONTROL_ERROR = 0x3,
    PN_H2_SETTINGS_TIMEOUT = 0x4,
    PN_H2_STREAM_CLOSED = 0x5,
    PN_H2_FRAME_SIZE_ERROR = 0x6,
    PN_H2_REFUSED_STREAM = 0x7,
    PN_H2_CANCEL = 0x8,
    PN_H2_COMPRESSION_ERROR = 0x9,
    PN_H2_CONNECT_ERROR = 0xa,
    PN_H2_ENHANCE_YOUR_CALM = 0xb,
    PN_H2_INADEQUATE_SECURITY = 0xc,
    PN_H2_HTTP_1_1_REQUIRED = 0xd,
};

/* Fixed limits; the others are in base/limits.h. */
#define PN_H2_FIRST_STREAMS_MAX 100u  /* opened before the server's SETTINGS have come */
#define PN_H2_STALL_BYTES       1024u /* what a peer must take within the limit h2-stall-timeout */

/** What is told to the peer in SETTINGS, and what is borne from it. */
struct pn_h2_config {
    struct pn_http_limits http; /* of heads and trailers; chunk extensions do not exist here */
    uint32_t streams_max;       /* open at once; a client opens no more, whatever the peer allows */
    uint32_t first_window_bytes;  /* received and not used, of one stream in the beginning ... */
    uint32_t stream_window_bytes; /* ... of one whose bytes are used as they come ... */
    uint32_t connection_window_bytes; /* ... and of all: streams_max first windows fit into it */
    bool allows_connect;              /* extended CONNECT (RFC 8441) is served */
    uint32_t stall_timeout_ms; /* a body that waits so long for window of the peer: stream reset */
    /* Floods. Each is a bucket that holds so many and fills up again within a minute. */
    uint32_t resets_per_minute;     /* streams ended before their answer; a whole answer gives one
                                       back */
    uint32_t pings_per_minute;      /* PING */
    uint32_t settings_per_minute;   /* SETTINGS */
    uint32_t priorities_per_minute; /* PRIORITY */
    uint32_t empty_data_per_minute; /* DATA without a byte and without END_STREAM */
    uint32_t window_updates_per_minute; /* those beyond two for each DATA frame sent */
    uint32_t continuations_max;         /* CONTINUATION frames of one header block */
    uint32_t queued_frames_max;         /* frames that wait to be sent, without DATA */
    uint32_t hpack_table_bytes;         /* HPACK's dynamic table, of each direction */
    uint32_t head_bytes_hard_max; /* decoded bytes of a head that are read over, so that it can
                                     be refused on its stream; above: GOAWAY */
};
/** The limits in force. */
void pn_h2_config_init(struct pn_h2_config *config, enum pn_h2_side side);

/** One request and its answer. Fields are to be read, `user` is the owner's. */
struct pn_h2_stream {
    struct pn_h2 *h2;
    void *user; /* set in on_begin(), or by pn_h2_request() */
    int32_t id;
    struct pn_source in;      /* the body that comes; its trailers when it has ended */
    struct pn_slice protocol; /* :protocol of an extended CONNECT ("websocket"); else empty. The
                                 head's method is then CONNECT, its form PN_ORIGIN_FORM, and both
                                 bodies are the bytes of the tunnel */
    bool is_unprocessed;      /* in on_closed(), client: the request was surely not processed (never
                                 sent, REFUSED_STREAM, or above the last id of GOAWAY) */
    bool is_reset_by_peer;    /* in on_closed() */
};

/** `ctx` is what pn_h2_create() got. NULL where nothing is to be told (on_begin and on_request, or
 *  on_response, and on_closed must be there). */
struct pn_h2_events {
    /* Server, from inside pn_h2_receive(), before the head is there: gives the arena of the
     * request's head, trailers included; sets stream->user. NULL: overload, the stream is refused
     * (REFUSED_STREAM) and never heard of again. Calls nothing of the engine. */
    struct pn_arena *(*on_begin)(void *ctx, struct pn_h2_stream *stream);
    /* Server: the head is whole; it lives in the arena. `host` is a field of it, made of
     * :authority; cookies are one field. framing: PN_BODY_NONE, _LENGTH or _STREAMED. */
    void (*on_request)(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request);
    /* Server: in place of on_request(): the head is not acceptable. Answer fault->status with
     * pn_h2_respond() (what else the client sends of it is dropped), or pn_h2_reset(). `request`
     * has what could be read of it, for the log: any slice may be empty. */
    void (*on_refused)(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request, const struct pn_http_fault *fault);
    /* Client: a 1xx, never 101. `response` lives in the request's arena. */
    void (*on_informational)(void *ctx, struct pn_h2_stream *stream,
                             const struct pn_response_head *response);
    /* Client: the answer's head. framing as above; it has no reason, keep_alive is true. A head
     * that breaks a rule resets the stream instead: on_closed() with PROTOCOL_ERROR and in.fault.
     */
    void (*on_response)(void *ctx, struct pn_h2_stream *stream,
                        const struct pn_response_head *response);
    /* stream->in has more, or has ended (peek says PN_EOF), or has failed. Coalesced. */
    void (*on_data)(void *ctx, struct pn_h2_stream *stream);
    /* The source of the body we send failed with `rc` (its `failure` and `fault` tell); nothing
     * more is sent: reset the stream. */
    void (*on_source_failed)(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc);
    /* Our END_STREAM is in the output: the source is not touched any more. */
    void (*on_sent)(void *ctx, struct pn_h2_stream *stream);
    /* The stream has ended, orderly (`code` NO_ERROR, both bodies whole) or not: the reason of
     * RST_STREAM, theirs or the engine's own; CANCEL when the connection goes (pn_h2_destroy). The
     * sources and arena of the stream are not touched any more, `stream` is gone when it returns.
     * It does not come after pn_h2_reset(). Where `in` has ended it does not come before all of it
     * was taken (client, and tunnels of a server): use it up, or reset. */
    void (*on_closed)(void *ctx, struct pn_h2_stream *stream, uint32_t code);
    /* The peer has sent GOAWAY: nothing new can be opened. on_closed() of those above `last_id`
     * follows by itself. */
    void (*on_goaway)(void *ctx, int32_t last_id, uint32_t code);
    /* Client: pn_h2_can_open() is true again, or more than before. */
    void (*on_capacity)(void *ctx);
    /* The answer to pn_h2_ping(). */
    void (*on_pong)(void *ctx);
    /* Something is to be sent that was not before, and neither pn_h2_receive() nor pn_h2_output()
     * is at work (after these, ask pn_h2_wants_output()): a window update, an answer, a request, a
     * reset. Once until the next pn_h2_output(). Call pn_h2_output() soon, or right here. */
    void (*on_wants_output)(void *ctx);
};

/** Free lists that the connections of one thread share: blocks of nghttp2, streams, pieces of
 *  bodies. NULL: no memory. It must outlive the connections. */
struct pn_h2_memory *pn_h2_memory_create(void);
void pn_h2_memory_destroy(struct pn_h2_memory *memory);

/** Makes one connection; the preface and SETTINGS wait in its output at once. `events` and `memory`
 *  are borrowed until pn_h2_destroy(). NULL: no memory. */
struct pn_h2 *pn_h2_create(enum pn_h2_side side, const struct pn_h2_config *config,
                           const struct pn_h2_events *events, void *ctx,
                           struct pn_h2_memory *memory, uint64_t now_ms);
/** Streams still open are told by on_closed() (CANCEL) first. */
void pn_h2_destroy(struct pn_h2 *h2);

/** Takes all of `bytes`; `now_ms`: the loop's clock. PN_OK. Else the connection is over: send the
 *  output that is left (GOAWAY tells the peer why), then close; further bytes are dropped.
 *    PN_EOF        orderly: after a GOAWAY, and no stream is left
 *    PN_MALFORMED  the peer breaks the protocol; pn_h2_failure() tells how
 *    PN_LIMIT      the peer goes over a limit that guards the connection; likewise
 *    PN_NOMEM */
enum pn_rc pn_h2_receive(struct pn_h2 *h2, struct pn_slice bytes, uint64_t now_ms) PN_MUST_USE;
/** The sentence for the log: static text without bytes of the peer. "": nothing failed. */
const char *pn_h2_failure(const struct pn_h2 *h2);
/** Appends frames to `out` as long as out->len < `max` (bytes; the last frame is cut to fit, what
 *  remains comes with the next call). PN_OK; PN_EOF: nothing will ever follow: send what is there,
 *  then close; PN_LIMIT, PN_NOMEM: `out` cannot grow to `max`, close. */
enum pn_rc pn_h2_output(struct pn_h2 *h2, struct pn_buf *out, size_t max,
                        uint64_t now_ms) PN_MUST_USE;
/** pn_h2_output() would append something. */
bool pn_h2_wants_output(const struct pn_h2 *h2);
/** False: do not read from the peer now (too many answers wait to be sent), or ever again. */
bool pn_h2_wants_input(const struct pn_h2 *h2);

/* ---- server ---- */

/** Sends the head of the answer, then `body` (borrowed until on_sent(), on_closed() or
 *  pn_h2_reset(); NULL: none), then body->trailers. Header names are written in lower case;
 *  connection fields are left out. After a whole answer to a request whose body has not ended the
 *  engine resets the stream with NO_ERROR. PN_MALFORMED: a name or value is not valid, nothing was
 *  sent: send another answer; PN_INVALID: there was an answer already; PN_NOMEM. */
enum pn_rc pn_h2_respond(struct pn_h2_stream *stream, int status, const struct pn_headers *headers,
                         struct pn_source *body) PN_MUST_USE;
/** Sends a 1xx (not 101) in front of the answer. `headers` may be NULL. As above. */
enum pn_rc pn_h2_inform(struct pn_h2_stream *stream, int status,
                        const struct pn_headers *headers) PN_MUST_USE;

/* ---- client ---- */

struct pn_h2_request {
    struct pn_slice method;
    struct pn_slice scheme;    /* "http", "https" */
    struct pn_slice authority; /* "name:port"; a Host among the headers is left out */
    struct pn_slice path;      /* "/path?query" */
    struct pn_slice protocol;  /* RFC 8441 ("websocket"; then method is "CONNECT"); else empty */
    const struct pn_headers *headers;
    struct pn_source *body; /* NULL: none. Borrowed as above */
    struct pn_arena *arena; /* of the heads and trailers that come; borrowed until on_closed() or
                               pn_h2_reset() */
    bool sends_te_trailers; /* adds "te: trailers" (gRPC) */
    bool drops_trailers;    /* those of `body` are not sent */
    void *user;
};
/** Opens a stream. PN_AGAIN: none may be opened now (see on_capacity); PN_EOF: none ever again
 *  (GOAWAY, or the last id is used up); PN_MALFORMED: a part is not valid; PN_UNSUPPORTED: the peer
 *  does not serve extended CONNECT (or has not said so yet: see pn_h2_allows_connect());
 *  PN_NOMEM. */
enum pn_rc pn_h2_request(struct pn_h2 *h2, const struct pn_h2_request *request,
                         struct pn_h2_stream **stream) PN_MUST_USE;
/** How many streams may be opened now: what the peer allows, less what is open. */
size_t pn_h2_can_open(const struct pn_h2 *h2);
/** Its SETTINGS have come. */
bool pn_h2_has_settings(const struct pn_h2 *h2);
/** Trailers of a request were sent: some servers take them for an error of the connection. */
bool pn_h2_has_sent_trailers(const struct pn_h2 *h2);
/** It has said that it serves extended CONNECT. */
bool pn_h2_allows_connect(const struct pn_h2 *h2);

/* ---- both ---- */

/** The source of the body that is sent has more (or has ended, or has failed). */
void pn_h2_resume(struct pn_h2_stream *stream);
/** Ends the stream with RST_STREAM. It is the engine's from now on: no event of it follows, its
 *  sources, arena and `user` are not touched any more. */
void pn_h2_reset(struct pn_h2_stream *stream, uint32_t code);
/** Our END_STREAM is in the output; the peer's END_STREAM has come. */
bool pn_h2_has_sent(const struct pn_h2_stream *stream);
/** Client: the request's head is in the output. Not while the peer has taken back that it may be.
 */
bool pn_h2_has_begun(const struct pn_h2_stream *stream);
bool pn_h2_has_received(const struct pn_h2_stream *stream);

/** Server: GOAWAY that lets what is under way arrive (RFC 9113 §6.8: last id 2^31-1), then, when
 *  called again (after a round trip or so), the one that names the last stream. Client: nothing new
 *  is opened, GOAWAY is sent; not while the head of a request has yet to leave, for nghttp2 may
 *  then read no more. Streams go on; PN_EOF comes when the last has ended. */
void pn_h2_shutdown(struct pn_h2 *h2);
/** GOAWAY with a reason, at once: PN_EOF comes with the next output. */
void pn_h2_terminate(struct pn_h2 *h2, uint32_t code);
/** Sends PING; on_pong() comes when it is answered. One at a time: further calls do nothing. */
void pn_h2_ping(struct pn_h2 *h2);
/** Resets streams whose body has waited longer than stall_timeout_ms for a window of the peer
 *  (on_closed() comes with CANCEL). Call it now and then, at least each second when there are
 *  streams. */
void pn_h2_check(struct pn_h2 *h2, uint64_t now_ms);

size_t pn_h2_streams_open(const struct pn_h2 *h2);
/** Of the life of the connection. */
uint64_t pn_h2_streams_total(const struct pn_h2 *h2);
bool pn_h2_is_shut_down(const struct pn_h2 *h2); /* a GOAWAY was sent or has come */
