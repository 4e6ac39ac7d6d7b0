/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection of control, and the log behind it. A commit is acknowledged when it is in the log
 * and every worker serves by it; until then no further frame is read. A connection that ends is no
 * event for those who are served: a new one comes and begins with our HELLO.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/gateway_internal.h"

#define READ_BYTES      (64u * 1024)
#define REPLAY_TRIES    50 /* the keyholder may just be starting */
#define REPLAY_PAUSE_MS 200

static void process(struct pn_gateway *gateway);

void pn_control_link_close(struct pn_gateway *gateway)
{
    struct pn_control_link *link = &gateway->link;

    if (!link->is_open)
        return;
    link->is_open = false;
    pn_loop_unwatch(&link->watch);
    close(link->watch.fd);
    pn_feed_fini(&link->feed);
    pn_buf_fini(&link->in);
    link->owes_ack = false;
    pn_log(PN_LOG_INFO, "feed_disconnected", NULL);
}

/** Answers are small; a control that does not read them is cut off. */
static void send_answer(struct pn_gateway *gateway, enum pn_rc built, struct pn_buf *out)
{
    struct pn_control_link *link = &gateway->link;
    ssize_t n = -1;

    if (built == PN_OK)
        n = send(link->watch.fd, out->ptr, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 || (size_t)n != out->len)
        pn_control_link_close(gateway);
    pn_buf_fini(out);
}

static void answer_stats(struct pn_gateway *gateway)
{
    struct pn_buf out;
    enum pn_rc rc;

    pn_buf_init(&out, PN_FRAME_BYTES_MAX);
    rc = pn_feed_write_stats(&out, gateway->link.feed.stats_id);
    send_answer(gateway, rc, &out);
}

static void answer_nack(struct pn_gateway *gateway, uint64_t revision, const char *message)
{
    struct pn_buf out;
    enum pn_rc rc;

    pn_log(PN_LOG_ERROR, "feed_refused", "revision", PN_I(revision), "reason", PN_S(message), NULL);
    pn_buf_init(&out, PN_FRAME_BYTES_MAX);
    rc = pn_feed_write_nack(&out, revision, message);
    send_answer(gateway, rc, &out);
}

/* --- the log --- */

static enum pn_rc write_whole(struct pn_gateway *gateway, struct pn_error *err)
{
    struct pn_buf frames;
    enum pn_rc rc;

    pn_buf_init_secret(&frames, PN_FEED_BATCH_BYTES_MAX);
    rc = pn_feed_write_catalog(&frames, gateway->catalog);
    if (rc != PN_OK)
        pn_error_set(err, rc, "feed_log_too_large", "the configuration does not fit into the log");
    if (rc == PN_OK)
        rc = pn_feed_log_rewrite_begin(gateway->log, err);
    if (rc == PN_OK)
        rc = pn_feed_log_append(gateway->log, pn_buf_slice(&frames), err);
    if (rc == PN_OK)
        rc = pn_feed_log_rewrite_end(gateway->log, err);
    else
        pn_feed_log_rewrite_cancel(gateway->log);
    pn_buf_fini(&frames);
    return rc;
}

static void log_batch(struct pn_gateway *gateway)
{
    struct pn_control_link *link = &gateway->link;
    struct pn_error err = {.rc = PN_OK};
    enum pn_rc rc;

    link->log_problem[0] = '\0';
    if (link->feed.batch_is_full || gateway->log_is_stale ||
        pn_feed_log_wants_rewrite(gateway->log))
        rc = write_whole(gateway, &err);
    else
        rc = pn_feed_log_append(gateway->log, pn_buf_slice(&link->feed.batch), &err);
    gateway->log_is_stale = rc != PN_OK;
    if (rc == PN_OK)
        return;
    pn_log_error(PN_LOG_ERROR, "feed_log_failed", &err);
    snprintf(link->log_problem, sizeof(link->log_problem),
             "the configuration is in use but could not be written to the feed log: %.120s",
             err.message);
}

struct replay {
    struct pn_feed feed;
    struct pn_buf rest; /* of a frame that goes on in the next record */
};

static enum pn_rc on_frames(void *ctx, struct pn_slice frames)
{
    struct replay *replay = ctx;
    bool is_committed = false;
    size_t done = 0; /* a record holds many frames: what is left of it is moved once */
    enum pn_rc rc = pn_buf_append_slice(&replay->rest, frames);

    while (rc == PN_OK) {
        struct pn_slice in = pn_slice_sub(pn_buf_slice(&replay->rest), done, replay->rest.len);
        enum pn_feed_event event = PN_FEED_STAGED;
        struct pn_frame frame;
        size_t used = 0;

        rc = pn_frame_parse(in, &frame, &used);
        if (rc != PN_OK)
            break;
        rc = pn_feed_frame(&replay->feed, &frame, pn_slice_sub(in, 0, used), &event);
        if (event == PN_FEED_REFUSED)
            pn_log_error(PN_LOG_ERROR, "logged_change_refused", &replay->feed.refusal);
        is_committed = event == PN_FEED_COMMITTED || event == PN_FEED_REFUSED;
        done += used;
    }
    pn_buf_consume(&replay->rest, done);
    if (rc != PN_AGAIN)
        return rc;
    return is_committed && replay->rest.len == 0 ? PN_EOF : PN_OK;
}

enum pn_rc pn_gateway_replay(struct pn_gateway *gateway, struct pn_error *err)
{
    struct timespec pause = {0, REPLAY_PAUSE_MS * 1000000L};
    enum pn_rc rc = PN_OK;
    enum pn_rc compiled;

    pn_catalog_defer(gateway->catalog);
    for (int i = 0; i < REPLAY_TRIES; i++) {
        struct replay replay;

        pn_feed_init(&replay.feed, gateway->catalog, false);
        pn_buf_init_secret(&replay.rest, 2 * PN_FRAME_BYTES_MAX);
        rc = pn_feed_log_replay(gateway->log, on_frames, &replay, err);
        pn_feed_fini(&replay.feed);
        pn_buf_fini(&replay.rest);
        if (rc != PN_UNAVAILABLE && rc != PN_TIMEOUT)
            break;
        nanosleep(&pause, NULL);
    }
    compiled = pn_catalog_compile(gateway->catalog, rc == PN_OK ? err : NULL);
    rc = rc == PN_OK ? compiled : rc;
    (void)malloc_trim(0); /* the log's buffers, and what staging took */
    pn_log(PN_LOG_INFO, "feed_log_replayed", "resources", PN_I(pn_catalog_count(gateway->catalog)),
           "revision", PN_I(pn_catalog_revision(gateway->catalog)), NULL);
    return rc;
}

/* --- frames --- */

static void on_committed(struct pn_gateway *gateway)
{
    struct pn_control_link *link = &gateway->link;

    log_batch(gateway);
    if (link->feed.batch_is_full) { /* it was as large as the whole configuration */
        pn_buf_fini(&link->feed.batch);
        (void)malloc_trim(0);
    }
    pn_buf_clear(&link->feed.batch);
    link->feed.batch_is_full = false;
    link->owes_ack = true;
    link->pending_ack = link->feed.revision;
    pn_metric_add(PN_METRIC_SNAPSHOTS, 1);
    pn_gateway_switch(gateway);
}

void pn_control_link_switched(struct pn_gateway *gateway)
{
    struct pn_control_link *link = &gateway->link;
    struct pn_buf out;
    enum pn_rc rc;

    if (!link->is_open || !link->owes_ack)
        return;
    link->owes_ack = false;
    if (link->log_problem[0] != '\0') {
        answer_nack(gateway, link->pending_ack, link->log_problem);
    } else {
        pn_buf_init(&out, PN_FRAME_BYTES_MAX);
        rc = pn_feed_write_ack(&out, link->pending_ack);
        send_answer(gateway, rc, &out);
    }
    if (link->is_open && pn_loop_watch_change(&link->watch, PN_LOOP_READ) != PN_OK)
        pn_control_link_close(gateway);
    if (link->is_open)
        process(gateway);
}

static void act(struct pn_gateway *gateway, enum pn_feed_event event)
{
    struct pn_control_link *link = &gateway->link;

    switch (event) {
    case PN_FEED_STAGED:
        return;
    case PN_FEED_ASKED_STATS:
        answer_stats(gateway);
        return;
    case PN_FEED_REFUSED:
        pn_buf_clear(&link->feed.batch);
        link->feed.batch_is_full = false;
        answer_nack(gateway, link->feed.revision, link->feed.refusal.message);
        return;
    case PN_FEED_COMMITTED:
        on_committed(gateway);
        return;
    }
}

/** All whole frames in the buffer, but none while a commit is under way. */
static void process(struct pn_gateway *gateway)
{
    struct pn_control_link *link = &gateway->link;
    size_t done = 0;

    while (link->is_open && !link->owes_ack && gateway->switching == 0) {
        struct pn_slice in = pn_slice_sub(pn_buf_slice(&link->in), done, link->in.len);
        enum pn_feed_event event = PN_FEED_STAGED;
        struct pn_frame frame;
        size_t used = 0;
        enum pn_rc rc = pn_frame_parse(in, &frame, &used);

        if (rc == PN_AGAIN)
            break;
        if (rc == PN_OK)
            rc = pn_feed_frame(&link->feed, &frame, pn_slice_sub(in, 0, used), &event);
        if (rc != PN_OK) {
            pn_log(PN_LOG_ERROR, "feed_malformed", "rc", PN_S(pn_rc_name(rc)), NULL);
            pn_control_link_close(gateway);
            return;
        }
        done += used;
        if (event != PN_FEED_STAGED) {
            pn_buf_consume(&link->in, done);
            done = 0;
            act(gateway, event);
        }
    }
    if (!link->is_open)
        return;
    pn_buf_consume(&link->in, done);
    if (link->owes_ack && pn_loop_watch_change(&link->watch, 0) != PN_OK)
        pn_control_link_close(gateway);
}

static void on_feed_readable(struct pn_watch *watch, unsigned events)
{
    struct pn_gateway *gateway = watch->ctx;
    struct pn_control_link *link = &gateway->link;
    ssize_t n;

    (void)events;
    if (pn_buf_reserve(&link->in, READ_BYTES) != PN_OK) {
        pn_control_link_close(gateway);
        return;
    }
    n = recv(watch->fd, link->in.ptr + link->in.len, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        pn_control_link_close(gateway);
        return;
    }
    link->in.len += (size_t)n;
    process(gateway);
}

void pn_control_link_open(struct pn_gateway *gateway, int fd)
{
    struct pn_control_link *link = &gateway->link;
    struct pn_buf out;
    enum pn_rc rc;

    pn_control_link_close(gateway);
    if (pn_loop_watch(gateway->loop, &link->watch, fd, PN_LOOP_READ, PN_WATCH_LEVEL,
                      on_feed_readable, gateway) != PN_OK) {
        close(fd);
        return;
    }
    link->is_open = true;
    link->owes_ack = false;
    pn_buf_init_secret(&link->in, 2 * PN_FRAME_BYTES_MAX);
    pn_feed_init(&link->feed, gateway->catalog, true);
    pn_buf_init(&out, PN_FRAME_BYTES_MAX);
    rc = pn_feed_write_hello(&out, pn_catalog_epoch(gateway->catalog),
                             pn_catalog_revision(gateway->catalog));
    send_answer(gateway, rc, &out);
    pn_log(PN_LOG_INFO, "feed_connected", NULL);
}
