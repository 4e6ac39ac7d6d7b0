/* SPDX-License-Identifier: Apache-2.0
 *
 * The front of HTTP/1.1: heads, bodies and 1xx to the client (RFC 9112 §4, §6, §9).
 */
#include "base/log.h"
#include "gateway/client_h1_internal.h"

static struct pn_h1_turn *turn_of(struct pn_front *front)
{
    return PN_CONTAINER(front, struct pn_h1_turn, front);
}

/* --- heads --- */

/** Fields that are ours to write. */
#define OWN_FIELDS                                                                                 \
    (PN_HEADER_BIT(PN_HEADER_CONTENT_LENGTH) | PN_HEADER_BIT(PN_HEADER_TRANSFER_ENCODING) |        \
     PN_HEADER_BIT(PN_HEADER_CONNECTION))

static bool is_old(const struct pn_call *call)
{
    return !call->has_request || call->request.minor_version == 0;
}

/** How the answer's body is delimited for this client. */
static enum pn_framing choose_framing(struct pn_h1_turn *turn, const struct pn_answer *answer)
{
    if (answer->is_tunnel) {
        turn->is_keepable = false;
        return PN_BODY_UNTIL_CLOSE;
    }
    if (answer->has_length || answer->is_own)
        return PN_BODY_LENGTH;
    if (answer->is_bodiless)
        return PN_BODY_NONE;
    if (!is_old(turn->front.call))
        return PN_BODY_STREAMED;
    turn->is_keepable = false;
    return PN_BODY_UNTIL_CLOSE;
}

static enum pn_rc write_fields(struct pn_h1_turn *turn, const struct pn_answer *answer,
                               enum pn_framing framing)
{
    struct pn_buf *out = &turn->out.out;
    enum pn_rc rc = pn_h1_write_fields_but(out, answer->headers, OWN_FIELDS);

    if (rc == PN_OK && !pn_headers_has_kind(answer->headers, PN_HEADER_DATE))
        rc = pn_h1_write_field(out, PN_LIT("Date"), pn_worker_date(turn->client->worker));
    if (rc == PN_OK && answer->has_length)
        rc = pn_h1_write_content_length(out, answer->length);
    if (rc == PN_OK && framing == PN_BODY_STREAMED)
        rc = pn_h1_write_field(out, PN_LIT("Transfer-Encoding"), PN_LIT("chunked"));
    if (answer->is_tunnel) {
        if (rc == PN_OK)
            rc = pn_h1_write_field(out, PN_LIT("Connection"), PN_LIT("Upgrade"));
        if (rc == PN_OK)
            rc = pn_h1_write_field(out, PN_LIT("Upgrade"), turn->front.upgrade);
    } else if (rc == PN_OK && !turn->is_keepable)
        rc = pn_h1_write_field(out, PN_LIT("Connection"), PN_LIT("close"));
    else if (rc == PN_OK && turn->front.call->request.minor_version == 0)
        rc = pn_h1_write_field(out, PN_LIT("Connection"), PN_LIT("keep-alive"));
    return rc == PN_OK ? pn_h1_write_end(out) : rc;
}

/** What has not come yet of the request's body will be read over before the next request, if the
 *  client surely sends it (it may not, when it waits for a 100) and it is not too much. */
static bool can_skip_rest(const struct pn_h1_turn *turn)
{
    const struct pn_request_head *request = &turn->front.call->request;

    if (request->framing != PN_BODY_LENGTH)
        return false;
    if (request->expects_continue && !turn->has_continued && turn->in.source.taken_bytes == 0)
        return false;
    if (request->content_length - turn->in.source.taken_bytes <=
        pn_limit_value(PN_LIMIT_REQUEST_SKIP_BYTES))
        return true;
    pn_limit_hit(PN_LIMIT_REQUEST_SKIP_BYTES);
    return false;
}

/** Whether the connection can be used again: the head says so, and what it says must come true. */
static void settle_keep_alive(struct pn_h1_turn *turn, const struct pn_answer *answer)
{
    struct pn_source *body = &turn->in.source;

    if (turn->front.closes || turn->client->worker->is_draining)
        turn->is_keepable = false;
    if (!turn->is_keepable || body->has_ended)
        return;
    if (answer->is_uploading || !pn_source_skip(body))
        turn->is_keepable = can_skip_rest(turn);
}

/* --- bodies --- */

/** The answer has begun: all we can do is to make its cut visible. */
static void broken_off(struct pn_h1_turn *turn)
{
    pn_call_broke_off(turn->front.call);
    pn_client_close(turn->client, true);
}

/** The backend has ended its half: so does the client see it. The other half may go on. */
static void tunnel_half_done(struct pn_h1_turn *turn)
{
    if (pn_call_has_sent(turn->front.call)) {
        pn_h1_turn_end(turn);
        return;
    }
    if (!turn->is_half_done)
        pn_stream_shutdown(turn->client->stream);
    turn->is_half_done = true;
}

/** Nothing waits for the client. */
static void wait_read(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;

    if (turn->is_tunnel) {
        pn_client_arm(client, PN_TUNNEL_IDLE_TIMEOUT_MS);
        return;
    }
    pn_loop_disarm(client->worker->loop, &client->timer); /* the exchange has its own */
    pn_call_awaits_source(turn->front.call);
}

static void move(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;
    uint64_t sent = turn->out.sent_bytes;

    if (turn->answer->failure != PN_OK) {
        broken_off(turn);
        return;
    }
    if (turn->is_half_done) {
        tunnel_half_done(turn);
        return;
    }
    switch (pn_transfer(turn->answer, &turn->out)) {
    case PN_TRANSFER_DONE:
        if (turn->is_tunnel)
            tunnel_half_done(turn);
        else
            pn_h1_turn_end(turn);
        return;
    case PN_TRANSFER_WAIT_READ:
        wait_read(turn);
        return;
    case PN_TRANSFER_WAIT_WRITE:
        if (turn->out.sent_bytes != sent || !pn_timer_is_armed(&client->timer))
            pn_client_arm(client, PN_CLIENT_WRITE_TIMEOUT_MS);
        pn_call_awaits_client(turn->front.call);
        return;
    case PN_TRANSFER_YIELD:
        pn_loop_soon(client->worker->loop, &turn->again);
        return;
    case PN_TRANSFER_SOURCE_FAILED:
        broken_off(turn);
        return;
    case PN_TRANSFER_SINK_FAILED:
        pn_client_close(client, true);
        return;
    }
}

void pn_h1_on_again(struct pn_task *task)
{
    struct pn_h1_turn *turn = task->ctx;

    if (turn->is_skipping)
        pn_h1_skip_body(turn);
    else
        move(turn);
}

void pn_h1_on_writable(struct pn_client *client)
{
    if (client->turn->answer && !client->turn->is_skipping)
        move(client->turn);
}

/* --- what the call asks for --- */

/** The 101 leaves when this turn of the loop ends: what the client has sent already may end the
 *  call. */
static void begin_tunnel(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;

    turn->is_tunnel = true;
    pn_body_in_init(&turn->in, &client->inlet, client->stream, PN_H1_REQUEST, PN_BODY_UNTIL_CLOSE,
                    0, &client->worker->http_limits, NULL);
    pn_loop_soon(client->worker->loop, &turn->again);
    pn_call_tunnel(turn->front.call);
}

static void front_answer(struct pn_front *front, const struct pn_answer *answer)
{
    struct pn_h1_turn *turn = turn_of(front);
    struct pn_buf *out = &turn->out.out;
    enum pn_framing framing;
    enum pn_rc rc;

    if (turn->interim_cut) {
        pn_client_close(turn->client, true);
        return;
    }
    settle_keep_alive(turn, answer);
    framing = choose_framing(turn, answer);
    pn_body_out_start(&turn->out, turn->client->stream, framing);
    turn->out.discards = answer->is_bodiless;
    rc = pn_h1_write_status_line(out, answer->status, answer->reason);
    if (rc == PN_OK)
        rc = write_fields(turn, answer, framing);
    if (rc != PN_OK) { /* a header that cannot be written: nothing has left yet, but nothing can */
        pn_log(PN_LOG_ERROR, "answer_not_writable", "rc", PN_S(pn_rc_name(rc)), NULL);
        pn_client_close(turn->client, true);
        return;
    }
    turn->answer = answer->body;
    pn_client_arm(turn->client, PN_CLIENT_WRITE_TIMEOUT_MS);
    if (answer->is_tunnel)
        begin_tunnel(turn);
    else
        move(turn);
}

static void front_resume(struct pn_front *front)
{
    if (turn_of(front)->answer)
        move(turn_of(front));
}

/** Writes bytes before the answer. They fit into an idle socket's buffer; a client that does not
 * read what it asked for is ended when the answer is there, for it could not tell where that
 * begins. */
static void write_interim(struct pn_h1_turn *turn, struct pn_slice bytes)
{
    size_t written = 0;

    if (turn->interim_cut)
        return;
    turn->interim_cut =
        pn_stream_write(turn->client->stream, bytes.ptr, bytes.len, &written) != PN_OK ||
        written != bytes.len;
}

static void front_inform(struct pn_front *front, int status, struct pn_slice reason,
                         const struct pn_headers *headers)
{
    struct pn_h1_turn *turn = turn_of(front);
    struct pn_buf *out = &turn->out.out;
    enum pn_rc rc;

    if (is_old(front->call))
        return;
    if (status == 100) {
        turn->has_continued = true;
        if (pn_inlet_bytes(&turn->client->inlet).len == 0) /* else it has not waited */
            write_interim(turn, PN_H1_CONTINUE);
        return;
    }
    pn_body_out_start(&turn->out, turn->client->stream, PN_BODY_NONE);
    rc = pn_h1_write_status_line(out, status, reason);
    if (rc == PN_OK && headers)
        rc = pn_h1_write_fields(out, headers);
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    if (rc == PN_OK)
        write_interim(turn, pn_buf_slice(out));
    pn_buf_clear(out);
}

static void front_abort(struct pn_front *front)
{
    pn_client_close(turn_of(front)->client, true);
}

const struct pn_front_ops pn_h1_front_ops = {
    .answer = front_answer,
    .resume = front_resume,
    .inform = front_inform,
    .abort = front_abort,
};
