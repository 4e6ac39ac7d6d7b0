/* SPDX-License-Identifier: Apache-2.0
 *
 *   reading -> opening (upstream/opening.h, as for a request) -> listening -> answered
 *
 * "Listening": with TLS 1.3 a server looks at the client's certificate after the client has
 * finished, so a handshake that is over is not yet an acceptance. A session ticket says that its
 * TLS has: then a short while is enough. Some servers (Node is one) look at the certificate only
 * after that, and hang up without an alert: that the backend ended at once is told as endedEarly,
 * and what it means is for control to judge.
 *
 * Who asks for it ("ask") gets a sooner answer where the backend gives one: a question that means
 * nothing (OPTIONS /, RFC 9110 section 9.3.7) goes with the end of the
 * handshake. Whatever is answered, the backend has looked at the certificate and went on. What it
 * answered is told: nginx, for one, says in a response that it does not like a certificate. No
 * answer changes nothing.
 */
#include "gateway/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/probe_answer.h"
#include "gateway/probe_h2.h"
#include "gateway/probe_target.h"
#include "gateway/uses_answer.h"
#include "ipc/frame.h"
#include "ipc/probe.h"
#include "signer/signer.h"
#include "tls/session.h"
#include "upstream/failure.h"
#include "upstream/opening.h"

#define LINGER_MS          100  /* after a confirmation, at least */
#define LINGER_HANDSHAKES  4    /* and so many times what the handshake took */
#define RESPONSE_BYTES_MAX 2048 /* that are looked at */

struct pn_probes {
    struct pn_gateway *gateway;
    struct pn_resolver *resolver;
    struct pn_list open;
    size_t count;
};

struct probe {
    struct pn_list entry;
    struct pn_probes *probes;
    struct pn_watch watch; /* control's connection */
    struct pn_buf in;
    struct pn_deferred deferred;
    uint32_t id;
    json_t *question;
    struct pn_timer timer;
    struct pn_opening *opening;
    struct pn_failure failure; /* of the opening */
    struct pn_probe_target target;
    bool is_resolved;
    bool is_lingering;
    bool has_asked;               /* by "ask" */
    struct pn_probe_h2 *asked_h2; /* by HTTP/2; NULL: not */
    char response[RESPONSE_BYTES_MAX];
    size_t response_len; /* of HTTP/1.1: its beginning */
    struct pn_stream *stream;
    struct pn_tls_story story;
    struct pn_probe_facts facts;
    uint64_t started_ms, step_ms;
};

/* --- the end --- */

static void probe_free(void *object)
{
    free(object);
}

static void probe_end(struct probe *probe)
{
    struct pn_loop *loop = probe->probes->gateway->loop;

    pn_opening_cancel(probe->opening);
    pn_loop_disarm(loop, &probe->timer);
    pn_stream_destroy(probe->stream);
    pn_probe_h2_destroy(probe->asked_h2);
    pn_probe_target_fini(&probe->target);
    pn_tls_story_fini(&probe->story);
    json_decref(probe->question);
    json_decref(probe->facts.addresses);
    pn_buf_fini(&probe->in);
    pn_loop_unwatch(&probe->watch);
    close(probe->watch.fd);
    pn_list_remove(&probe->entry);
    probe->probes->count--;
    pn_loop_defer_free(loop, &probe->deferred, probe_free, probe);
}

/** Answers with `json` (taken; NULL: no memory, no answer), and ends. */
static void answer_json(struct probe *probe, json_t *json)
{
    struct pn_buf out;
    size_t start;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    enum pn_rc rc = PN_NOMEM;

    pn_buf_init(&out, PN_PROBE_BYTES_MAX + 64);
    if (text)
        rc = pn_frame_begin(&out, PN_PROBE_ANSWER, probe->id, &start);
    if (rc == PN_OK)
        rc = pn_frame_bytes(&out, pn_slice_str(text));
    if (rc == PN_OK)
        rc = pn_frame_end(&out, start);
    if (rc ==
        PN_OK) /* an answer that does not fit into the socket's buffer is lost; control says so */
        (void)!send(probe->watch.fd, out.ptr, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(text);
    json_decref(json);
    pn_buf_fini(&out);
    probe_end(probe);
}

/** Answers with what is known, and ends. */
static void answer(struct probe *probe)
{
    answer_json(probe, pn_probe_answer(&probe->facts, &probe->story));
}

/** Nothing is tried: what is kept of that backend. */
static void answer_last_failure(struct probe *probe, struct pn_slice backend)
{
    json_t *json = pn_last_failures_get(probe->probes->gateway->failures, backend);

    answer_json(probe, json ? json : json_pack("{s:s}", "outcome", "none"));
}

static void fail(struct probe *probe, const char *cause, const char *sentence)
{
    probe->facts.cause = cause;
    snprintf(probe->facts.sentence, sizeof(probe->facts.sentence), "%s", sentence);
    answer(probe);
}

static uint64_t lap(struct probe *probe)
{
    uint64_t now_ms = pn_clock_monotonic_ms();
    uint64_t took_ms = now_ms - probe->step_ms;

    probe->step_ms = now_ms;
    return took_ms;
}

/* --- the handshake --- */

static void on_step(void *ctx, enum pn_opening_step step, const struct pn_peer_address *peer,
                    const char *code, const struct pn_stream *stream)
{
    struct probe *probe = ctx;
    char text[PN_PEER_ADDRESS_TEXT];

    if (step == PN_OPENING_RESOLVED) {
        probe->is_resolved = true;
        probe->facts.dns_ms = lap(probe);
        return;
    }
    pn_peer_address_print(peer, text);
    (void)json_array_append_new(probe->facts.addresses, json_pack("{s:s, s:s}", "address", text,
                                                                  "cause", code ? code : ""));
    if (stream && pn_stream_report(stream))
        probe->facts.report = *pn_stream_report(stream);
}

static void take_report(struct probe *probe, const struct pn_tls_report *report)
{
    probe->facts.report = *report;
    probe->facts.cause = report->cause == PN_CAUSE_NONE ? NULL : pn_failure_code(report->cause);
    if (probe->facts.cause)
        pn_tls_report_sentence(report, probe->facts.sentence);
}

/** The last look: its TLS has taken the certificate. */
static void linger(struct probe *probe)
{
    uint64_t ms = probe->facts.handshake_ms * LINGER_HANDSHAKES;

    if (probe->is_lingering)
        return;
    probe->is_lingering = true;
    ms = ms > LINGER_MS ? ms : LINGER_MS;
    pn_loop_arm(probe->probes->gateway->loop, &probe->timer,
                ms < probe->facts.late_ms ? ms : probe->facts.late_ms);
}

/** What is to be sent over HTTP/2, as far as it goes. */
static void send_h2(struct probe *probe, struct pn_stream *stream)
{
    uint64_t now_ms = pn_loop_now_ms(probe->probes->gateway->loop);
    struct pn_slice bytes = pn_probe_h2_output(probe->asked_h2, now_ms);
    size_t written = 0;

    while (bytes.len > 0 && pn_stream_write(stream, bytes.ptr, bytes.len, &written) == PN_OK) {
        pn_probe_h2_sent(probe->asked_h2, written);
        bytes = pn_probe_h2_output(probe->asked_h2, now_ms);
    }
}

/** As far as it goes: a connection that is just open takes these few bytes. */
static void ask(struct probe *probe, struct pn_stream *stream)
{
    const char *host = pn_json_str(probe->question, "host");
    int port = (int)pn_json_int(probe->question, "port", 443);
    char options[512];
    size_t written = 0;
    int n;

    if (pn_stream_alpn(stream) == PN_ALPN_H2) {
        probe->asked_h2 =
            pn_probe_h2_create(host, (unsigned)port, pn_loop_now_ms(probe->probes->gateway->loop));
        probe->has_asked = probe->asked_h2 != NULL;
        if (probe->has_asked)
            send_h2(probe, stream);
        return;
    }
    n = snprintf(options, sizeof(options),
                 "OPTIONS / HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: postern-preflight\r\n"
                 "Connection: close\r\n\r\n",
                 host, port);
    probe->has_asked = n > 0 && (size_t)n < sizeof(options) &&
                       pn_stream_write(stream, options, (size_t)n, &written) == PN_OK;
}

/** Of an HTTP/1.1 response; 0: it is none. */
static int status_of(struct pn_slice response)
{
    uint64_t status = 0;

    if (response.len < 12 || !pn_slice_starts_with(response, PN_LIT("HTTP/1.")) ||
        !pn_slice_to_u64(pn_slice_sub(response, 9, 3), 999, &status))
        return 0;
    return (int)status;
}

/** What the answer says, as far as it is here. */
static void take_response(struct probe *probe, int status, struct pn_slice text)
{
    static const struct pn_slice word = {"certificate", 11};

    probe->facts.answer_status = status;
    for (size_t at = 0; at + word.len <= text.len && status >= 400; at++)
        probe->facts.answer_blames =
            probe->facts.answer_blames || pn_slice_case_eq(pn_slice_sub(text, at, word.len), word);
}

/** Whether the response is here, as far as it matters: of one that is good the first byte, of
 *  another one its text, too, until it ends or there is enough. */
static bool has_response(struct probe *probe, const char *bytes, size_t len)
{
    size_t room = sizeof(probe->response) - probe->response_len;
    size_t taken = len < room ? len : room;

    if (taken > 0)
        memcpy(probe->response + probe->response_len, bytes, taken);
    probe->response_len += taken;
    take_response(probe, status_of(pn_slice(probe->response, probe->response_len)),
                  pn_slice(probe->response, probe->response_len));
    return probe->response_len == sizeof(probe->response) || probe->facts.answer_blames ||
           (probe->response_len >= 12 && probe->facts.answer_status < 400);
}

/** Whether the backend has answered, as far as it matters. */
static bool has_answered(struct probe *probe, struct pn_stream *stream, const char *bytes,
                         size_t len)
{
    bool is_over;

    if (!probe->asked_h2)
        return has_response(probe, bytes, len);
    is_over = pn_probe_h2_receive(probe->asked_h2, pn_slice(bytes, len),
                                  pn_loop_now_ms(probe->probes->gateway->loop));
    take_response(probe, pn_probe_h2_status(probe->asked_h2), pn_probe_h2_text(probe->asked_h2));
    send_h2(probe, stream);
    return is_over || probe->facts.answer_blames;
}

/** The backend speaks, or ends: a late alert is in the report. */
static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct probe *probe = ctx;
    char bytes[512];
    size_t len;
    enum pn_rc rc;

    for (;;) {
        rc = pn_stream_read(stream, bytes, sizeof(bytes), &len);
        if (rc != PN_OK)
            break;
        if (probe->has_asked && has_answered(probe, stream, bytes, len)) {
            answer(probe);
            return;
        }
    }
    if (rc == PN_AGAIN) {
        if (probe->story.is_confirmed || probe->response_len > 0 || probe->facts.answer_status != 0)
            linger(probe);
        return;
    }
    if (probe->facts.answer_status != 0) { /* it has answered, and ends as it was asked to */
        answer(probe);
        return;
    }
    /* Hanging up politely without a request need not be a refusal; an alert is one, and what was
     * asked for after the handshake would be asked for again. */
    probe->facts.has_ended_early = true;
    if (pn_stream_report(stream)->alert >= 0 || pn_stream_report(stream)->is_late)
        take_report(probe, pn_stream_report(stream));
    answer(probe);
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events stream_events = {
    .on_open = on_writable,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct probe *probe = ctx;

    probe->opening = NULL;
    probe->stream = stream;
    pn_stream_set_events(stream, &stream_events, probe);
    probe->facts.handshake_ms = lap(probe);
    if (!probe->target.tls) { /* it is there: more is not asked of one without TLS */
        answer(probe);
        return;
    }
    take_report(probe, pn_stream_report(stream));
    if (pn_json_bool(probe->question, "ask", false))
        ask(probe, stream);
    /* In TLS 1.2 the server's Finished answers to our certificate. */
    if (strcmp(probe->facts.report.tls_version, "TLSv1.3") != 0)
        linger(probe);
    else
        pn_loop_arm(probe->probes->gateway->loop, &probe->timer, probe->facts.late_ms);
}

static void on_failed(void *ctx)
{
    struct probe *probe = ctx;

    probe->opening = NULL;
    probe->facts.handshake_ms = lap(probe);
    fail(probe, probe->failure.code, probe->failure.text);
}

static void start(struct probe *probe)
{
    struct pn_opening_spec spec = {
        .loop = probe->probes->gateway->loop,
        .resolver = probe->probes->resolver,
        .host = pn_slice_str(probe->target.host),
        .port = (uint16_t)pn_json_int(probe->question, "port", 443),
        .tls = probe->target.tls,
        .proxy = probe->target.proxy,
        .proxy_tls = probe->target.proxy_tls,
        .timeout_ms = probe->facts.timeout_ms,
        .kind = PN_OUTBOUND_PROBE,
        .on_open = on_open,
        .on_failed = on_failed,
        .on_step = on_step,
        .ctx = probe,
        .story = &probe->story,
        .failure = &probe->failure,
    };

    (void)lap(probe);
    pn_resolver_set_outbound(spec.resolver,
                             pn_catalog_snapshot(probe->probes->gateway->catalog)->outbound);
    if (pn_opening_start(&spec, &probe->opening) != PN_AGAIN)
        fail(probe, probe->failure.code, probe->failure.text);
}

/* --- the question --- */

static uint32_t bounded(const json_t *question, const char *name, uint32_t usual, uint32_t max)
{
    int64_t value = pn_json_int(question, name, usual);

    return value < 0 || value > max ? max : (uint32_t)value;
}

static void begin(struct probe *probe, struct pn_slice json)
{
    struct pn_error err = {.rc = PN_OK};
    enum pn_rc rc;

    probe->started_ms = probe->step_ms = pn_clock_monotonic_ms();
    probe->facts.addresses = json_array();
    if (pn_json_parse(json, &probe->question, &err) != PN_OK || !probe->facts.addresses) {
        fail(probe, "internal", "the question is not JSON");
        return;
    }
    if (json_object_get(probe->question, "lastFailureOf")) {
        answer_last_failure(probe, pn_json_slice(probe->question, "lastFailureOf"));
        return;
    }
    if (json_object_get(probe->question, "uses")) {
        answer_json(probe, pn_uses_answer(probe->question));
        return;
    }
    probe->facts.timeout_ms =
        bounded(probe->question, "timeoutMs", PN_PROBE_TIMEOUT_MS, PN_PROBE_TIMEOUT_MAX_MS);
    probe->facts.late_ms =
        bounded(probe->question, "lateMs", PN_PROBE_LATE_MS, PN_PROBE_LATE_MAX_MS);
    rc = pn_probe_target_make(probe->probes->gateway, probe->question, &probe->target, &err);
    if (rc != PN_OK) {
        fail(probe, rc == PN_UNAVAILABLE ? err.code : "internal", err.message);
        return;
    }
    probe->story.is_brief = pn_json_bool(probe->question, "ask", false); /* it wants a verdict */
    pn_loop_arm(probe->probes->gateway->loop, &probe->timer, probe->facts.timeout_ms);
    start(probe);
}

/* --- control's connection --- */

static void on_timer(struct pn_timer *timer)
{
    struct probe *probe = timer->ctx;

    if (!probe->question) { /* the question did not come */
        probe_end(probe);
    } else if (probe->stream && pn_stream_is_open(probe->stream)) {
        answer(probe); /* nothing was refused while we listened */
    } else {
        fail(probe, probe->is_resolved ? "connect_timeout" : "dns_failed",
             "the backend was not reached in time");
    }
}

static void on_question(struct pn_watch *watch, unsigned events)
{
    struct probe *probe = watch->ctx;
    struct pn_frame frame;
    struct pn_slice json;
    size_t used = 0;
    ssize_t n = -1;
    enum pn_rc rc;

    (void)events;
    if (pn_buf_reserve(&probe->in, 65536) == PN_OK)
        n = recv(watch->fd, probe->in.ptr + probe->in.len, 65536, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* it does not wait for the answer */
        probe_end(probe);
        return;
    }
    probe->in.len += (size_t)n;
    if (probe->question)
        return;
    rc = pn_frame_parse(pn_buf_slice(&probe->in), &frame, &used);
    if (rc == PN_AGAIN)
        return;
    if (rc != PN_OK || frame.type != PN_PROBE_ASK ||
        pn_frame_read_bytes(&frame.fields, &json) != PN_OK) {
        probe_end(probe);
        return;
    }
    probe->id = frame.id;
    begin(probe, json);
}

void pn_probes_open(struct pn_probes *probes, int fd)
{
    struct probe *probe = probes->count < PN_PROBES_MAX ? calloc(1, sizeof(*probe)) : NULL;

    if (!probe || pn_loop_watch(probes->gateway->loop, &probe->watch, fd, PN_LOOP_READ,
                                PN_WATCH_LEVEL, on_question, probe) != PN_OK) {
        pn_log(PN_LOG_WARN, "probe_refused", "open", PN_I(probes->count), NULL);
        free(probe);
        close(fd);
        return;
    }
    probe->probes = probes;
    pn_buf_init(&probe->in, PN_PROBE_BYTES_MAX);
    pn_timer_init(&probe->timer, on_timer, probe);
    pn_loop_arm(probes->gateway->loop, &probe->timer, PN_PROBE_TIMEOUT_MS);
    pn_list_push_back(&probes->open, &probe->entry);
    probes->count++;
}

enum pn_rc pn_probes_create(struct pn_gateway *gateway, struct pn_probes **out,
                            struct pn_error *err)
{
    struct pn_probes *probes = calloc(1, sizeof(*probes));
    enum pn_rc rc;

    if (!probes)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for probes");
    probes->gateway = gateway;
    pn_list_init(&probes->open);
    pn_signer_bind_thread(gateway->keyholder);
    rc = pn_resolver_create(gateway->loop, &probes->resolver, err);
    if (rc == PN_OK && gateway->dns_servers)
        rc = pn_resolver_use_servers(probes->resolver, gateway->dns_servers, err);
    if (rc == PN_OK && gateway->allows_guarded)
        pn_resolver_allow_guarded(probes->resolver);
    if (rc != PN_OK) {
        pn_resolver_destroy(probes->resolver);
        free(probes);
        return rc;
    }
    *out = probes;
    return PN_OK;
}

void pn_probes_destroy(struct pn_probes *probes)
{
    if (!probes)
        return;
    while (!pn_list_is_empty(&probes->open))
        probe_end(PN_CONTAINER(probes->open.next, struct probe, entry));
    pn_resolver_destroy(probes->resolver);
    free(probes);
}
