/* SPDX-License-Identifier: Apache-2.0
 *
 * See probe_h2.h.
 */
#include "gateway/probe_h2.h"

#include <stdlib.h>
#include <string.h>

#include "http/h2.h"

#define TEXT_BYTES_MAX  2048 /* of the answer, that are looked at */
#define OUT_BYTES_MAX   (16u * 1024)
#define ARENA_BLOCK     4096
#define ARENA_BYTES_MAX (128u * 1024)

struct pn_probe_h2 {
    struct pn_h2 *h2;
    struct pn_h2_memory *memory;
    struct pn_arena *arena; /* heads */
    struct pn_buf out;
    size_t out_sent;
    int status;
    bool is_over;
    char text[TEXT_BYTES_MAX];
    size_t text_len;
};

/* --- events --- */

static void on_response(void *ctx, struct pn_h2_stream *stream,
                        const struct pn_response_head *response)
{
    struct pn_probe_h2 *asked = ctx;

    (void)stream;
    asked->status = response->status;
}

static void on_data(void *ctx, struct pn_h2_stream *stream)
{
    struct pn_probe_h2 *asked = ctx;

    while (pn_source_peek(&stream->in) == PN_OK) {
        struct pn_slice piece = stream->in.held;
        size_t room = sizeof(asked->text) - asked->text_len;
        size_t taken = piece.len < room ? piece.len : room;

        memcpy(asked->text + asked->text_len, piece.ptr, taken);
        asked->text_len += taken;
        pn_source_use(&stream->in, piece.len);
    }
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct pn_probe_h2 *asked = ctx;

    (void)stream;
    (void)code;
    asked->is_over = true;
}

static const struct pn_h2_events events = {
    .on_response = on_response,
    .on_data = on_data,
    .on_closed = on_closed,
};

/* --- the question --- */

static enum pn_rc ask(struct pn_probe_h2 *asked, const char *host, unsigned port)
{
    struct pn_h2_stream *stream = NULL;
    struct pn_headers fields;
    bool is_v6 = strchr(host, ':') != NULL;
    const char *authority =
        pn_arena_printf(asked->arena, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    const struct pn_h2_request request = {
        .method = PN_LIT("OPTIONS"),
        .scheme = PN_LIT("https"),
        .authority = pn_slice_str(authority ? authority : ""),
        .path = PN_LIT("/"),
        .headers = &fields,
        .arena = asked->arena,
    };
    enum pn_rc rc = authority ? PN_OK : PN_NOMEM;

    pn_headers_init(&fields, asked->arena);
    if (rc == PN_OK)
        rc = pn_headers_add(&fields, PN_LIT("user-agent"), PN_LIT("postern-preflight"));
    return rc == PN_OK ? pn_h2_request(asked->h2, &request, &stream) : rc;
}

struct pn_probe_h2 *pn_probe_h2_create(const char *host, unsigned port, uint64_t now_ms)
{
    struct pn_probe_h2 *asked = calloc(1, sizeof(*asked));
    struct pn_h2_config config;

    if (!asked)
        return NULL;
    pn_buf_init(&asked->out, OUT_BYTES_MAX);
    pn_h2_config_init(&config, PN_H2_CLIENT);
    asked->arena = pn_arena_create(ARENA_BLOCK, ARENA_BYTES_MAX);
    asked->memory = pn_h2_memory_create();
    if (asked->arena && asked->memory)
        asked->h2 = pn_h2_create(PN_H2_CLIENT, &config, &events, asked, asked->memory, now_ms);
    if (asked->h2 && ask(asked, host, port) == PN_OK)
        return asked;
    pn_probe_h2_destroy(asked);
    return NULL;
}

void pn_probe_h2_destroy(struct pn_probe_h2 *asked)
{
    if (!asked)
        return;
    if (asked->h2)
        pn_h2_destroy(asked->h2);
    pn_h2_memory_destroy(asked->memory);
    pn_arena_destroy(asked->arena);
    pn_buf_fini(&asked->out);
    free(asked);
}

struct pn_slice pn_probe_h2_output(struct pn_probe_h2 *asked, uint64_t now_ms)
{
    if (asked->out_sent == asked->out.len) {
        pn_buf_clear(&asked->out);
        asked->out_sent = 0;
        if (pn_h2_wants_output(asked->h2) &&
            pn_h2_output(asked->h2, &asked->out, OUT_BYTES_MAX, now_ms) != PN_OK)
            asked->is_over = true;
    }
    return pn_slice_sub(pn_buf_slice(&asked->out), asked->out_sent, asked->out.len);
}

void pn_probe_h2_sent(struct pn_probe_h2 *asked, size_t len)
{
    asked->out_sent += len;
}

bool pn_probe_h2_receive(struct pn_probe_h2 *asked, struct pn_slice bytes, uint64_t now_ms)
{
    if (pn_h2_receive(asked->h2, bytes, now_ms) != PN_OK)
        asked->is_over = true;
    return asked->is_over || asked->text_len == sizeof(asked->text) ||
           (asked->status != 0 && asked->status < 400);
}

int pn_probe_h2_status(const struct pn_probe_h2 *asked)
{
    return asked->status;
}

struct pn_slice pn_probe_h2_text(const struct pn_probe_h2 *asked)
{
    return pn_slice(asked->text, asked->text_len);
}
