/* SPDX-License-Identifier: Apache-2.0
 *
 * The feed thread. See feed.h.
 *
 *   away ──connect──▶ HELLO ──▶ behind ──send, COMMIT──▶ waiting ──ACK──▶ current ──wake──▶ behind
 *     ▲                                                     │ NACK: sent in full, once
 *     └───────────────────── any failure ───────────────────┘
 */
#include "control/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arm/arm.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/feed.h"
#include "network/denials.h"

#define RECONNECT_MS    100
#define CURRENT_WAIT_MS 1000
#define STATS_WAIT_MS   2000
#define BATCH_BYTES     (4u * 1024 * 1024)

struct pn_feed {
    struct pn_broker *broker;
    struct pn_store *store;
    struct pn_arm *arm;
    pthread_t thread;
    bool is_started;
    int wake_fd;

    /* Of the thread alone. */
    struct pn_channel channel;
    bool needs_full;

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    bool is_stopping;
    int end_fd; /* the channel's descriptor once more, for pn_feed_stop(); -1: no connection */
    bool is_connected;
    uint64_t acknowledged;              /* the gateway uses this revision */
    uint64_t refused;                   /* it said NACK to this one, */
    char refusal[PN_ERROR_MESSAGE_MAX]; /* for this reason */
    unsigned stats_wanted;              /* number of the newest question */
    unsigned stats_given;               /* number of the question that `stats` answers */
    int64_t stats[PN_COUNTER_COUNT];
    struct pn_buf denials; /* with them: network/denials.h */
};

static void wake(struct pn_feed *feed)
{
    const uint64_t one = 1;
    ssize_t ignored = write(feed->wake_fd, &one, sizeof(one));

    (void)ignored; /* full means that it is awake already */
}

static bool is_stopping(struct pn_feed *feed)
{
    bool answer;

    pthread_mutex_lock(&feed->lock);
    answer = feed->is_stopping;
    pthread_mutex_unlock(&feed->lock);
    return answer;
}

static void set_connected(struct pn_feed *feed, bool is_connected, uint64_t revision)
{
    pthread_mutex_lock(&feed->lock);
    feed->is_connected = is_connected;
    feed->acknowledged = revision;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

/* Sends what `out` holds and empties it. */
static enum pn_rc flush(struct pn_feed *feed, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    if (out->len > 0)
        rc = pn_channel_send(&feed->channel, pn_buf_slice(out), -1, PN_FEED_ACK_TIMEOUT_MS);
    pn_buf_clear(out);
    return rc;
}

static enum pn_rc put_delete(struct pn_buf *out, const struct pn_arm_feed_item *item)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_DELETE, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, item->key);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

static enum pn_rc put_upsert(struct pn_buf *out, const struct pn_arm_feed_item *item)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_UPSERT, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, item->key);
    if (rc == PN_OK)
        rc = pn_frame_str(out, item->type);
    if (rc == PN_OK)
        rc = pn_frame_bytes(out, pn_buf_slice(&item->json));
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

static enum pn_rc put_item(struct pn_feed *feed, struct pn_buf *out,
                           const struct pn_store_item *stored)
{
    struct pn_arm_feed_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_arm_feed_item(feed->arm, stored, &item, &err);

    if (rc == PN_NOT_FOUND) {
        rc = PN_OK;
        goto out;
    }
    if (rc != PN_OK) {
        pn_error_prefix(&err, "%s", stored->id);
        pn_log_error(PN_LOG_ERROR, "feed_item_unreadable", &err);
        goto out;
    }
    rc = item.is_deleted ? put_delete(out, &item) : put_upsert(out, &item);
    if (rc == PN_OK && out->len > BATCH_BYTES)
        rc = flush(feed, out);
out:
    pn_arm_feed_item_fini(&item);
    return rc;
}

static enum pn_rc put_head(struct pn_buf *out, enum pn_feed_type type, const char *epoch,
                           const uint64_t *revision)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, (uint16_t)type, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, epoch);
    if (rc == PN_OK && revision)
        rc = pn_frame_u64(out, *revision);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

/* Everything that is to be sent to get from `acknowledged` to the newest revision. */
static enum pn_rc collect(struct pn_feed *feed, uint64_t acknowledged, struct pn_store_list *list,
                          uint64_t *revision, struct pn_error *err)
{
    enum pn_rc rc = PN_LIMIT;

    if (!feed->needs_full)
        rc = pn_store_changes(feed->store, acknowledged, list, revision, err);
    if (rc == PN_LIMIT) {
        /* The revision is read first: what is written in between is sent now and once more later.
         */
        feed->needs_full = true;
        *revision = pn_store_revision(feed->store);
        /* What the gateway gets lies in a subscription; a vault's secrets do not. */
        rc = pn_store_list(feed->store, "/subscriptions/", NULL, list, err);
    }
    return rc;
}

static enum pn_rc send_changes(struct pn_feed *feed, uint64_t acknowledged, uint64_t *revision)
{
    const char *epoch = pn_store_epoch(feed->store);
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    struct pn_buf out;
    enum pn_rc rc;

    pn_buf_init_secret(&out, 2 * PN_FRAME_BYTES_MAX);
    rc = collect(feed, acknowledged, &list, revision, &err);
    if (rc != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "feed_store_unreadable", &err);
        goto out;
    }
    if (feed->needs_full)
        rc = put_head(&out, PN_FEED_FULL, epoch, NULL);
    for (size_t i = 0; i < list.count && rc == PN_OK; i++)
        rc = put_item(feed, &out, &list.items[i]);
    if (rc == PN_OK)
        rc = put_head(&out, PN_FEED_COMMIT, epoch, revision);
    if (rc == PN_OK)
        rc = flush(feed, &out);
out:
    pn_store_list_fini(&list);
    pn_buf_fini(&out);
    if (feed->needs_full)
        (void)malloc_trim(0); /* it was the whole configuration */
    return rc;
}

/* A revision that the store never had comes from a gateway that was taken over. Believed, it would
 * keep every change from the gateway, and refused ones from their callers, for good. */
static bool is_known(const struct pn_feed *feed, uint64_t revision)
{
    return revision <= pn_store_revision(feed->store);
}

static enum pn_rc on_ack(struct pn_feed *feed, struct pn_slice fields)
{
    uint64_t revision;
    enum pn_rc rc = pn_frame_read_u64(&fields, &revision);

    if (rc != PN_OK)
        return rc;
    if (!is_known(feed, revision))
        return PN_MALFORMED;
    feed->needs_full = false;
    pthread_mutex_lock(&feed->lock);
    feed->acknowledged = revision;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    return PN_OK;
}

static enum pn_rc on_nack(struct pn_feed *feed, struct pn_slice fields)
{
    struct pn_slice message;
    uint64_t revision;
    enum pn_rc rc = pn_frame_read_u64(&fields, &revision);

    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&fields, &message);
    if (rc == PN_OK && !is_known(feed, revision))
        rc = PN_MALFORMED;
    if (rc != PN_OK)
        return rc;
    pn_log(PN_LOG_ERROR, "feed_refused", "revision", PN_I(revision), "message", PN_SL(message),
           NULL);
    /* The gateway dropped the batch whole. Sent in full, all but the broken resource becomes live
     * (that one fails closed), so that one bad change never holds up the others. */
    feed->needs_full = true;
    pthread_mutex_lock(&feed->lock);
    feed->refused = revision;
    snprintf(feed->refusal, sizeof(feed->refusal), "%.*s", PN_FMT(message));
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    return PN_OK;
}

static enum pn_rc on_stats(struct pn_feed *feed, const struct pn_frame *frame)
{
    struct pn_slice fields = frame->fields, denials = {0};
    uint32_t count;
    enum pn_rc rc = pn_frame_read_u32(&fields, &count);

    pthread_mutex_lock(&feed->lock);
    for (uint32_t i = 0; i < count && rc == PN_OK; i++) {
        uint64_t value;

        rc = pn_frame_read_u64(&fields, &value);
        if (rc == PN_OK && i < PN_COUNTER_COUNT)
            feed->stats[i] = (int64_t)value;
    }
    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&fields, &denials);
    pn_buf_clear(&feed->denials);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&feed->denials, denials);
    feed->stats_given = frame->id;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    return rc;
}

static enum pn_rc receive_one(struct pn_feed *feed, int timeout_ms, uint16_t *type)
{
    struct pn_frame frame;
    enum pn_rc rc = pn_channel_receive(&feed->channel, &frame, NULL, timeout_ms);

    if (rc != PN_OK)
        return rc;
    *type = frame.type;
    if (frame.type == PN_FEED_ACK)
        return on_ack(feed, frame.fields);
    if (frame.type == PN_FEED_NACK)
        return on_nack(feed, frame.fields);
    if (frame.type == PN_FEED_STATS)
        return on_stats(feed, &frame);
    return PN_MALFORMED;
}

/* Brings the gateway to the newest revision: PN_OK also when it refused. */
static enum pn_rc catch_up(struct pn_feed *feed)
{
    uint64_t acknowledged;
    uint64_t revision = 0;
    uint16_t type = 0;
    enum pn_rc rc;

    pthread_mutex_lock(&feed->lock);
    acknowledged = feed->acknowledged;
    pthread_mutex_unlock(&feed->lock);
    if (!feed->needs_full && acknowledged >= pn_store_revision(feed->store))
        return PN_OK;
    rc = send_changes(feed, acknowledged, &revision);
    while (rc == PN_OK && type != PN_FEED_ACK && type != PN_FEED_NACK)
        rc = receive_one(feed, PN_FEED_ACK_TIMEOUT_MS, &type);
    return rc;
}

static enum pn_rc ask_stats(struct pn_feed *feed)
{
    unsigned wanted;
    unsigned given;
    struct pn_buf out;
    size_t start;
    uint16_t type = 0;
    enum pn_rc rc;

    pthread_mutex_lock(&feed->lock);
    wanted = feed->stats_wanted;
    given = feed->stats_given;
    pthread_mutex_unlock(&feed->lock);
    if (wanted == given)
        return PN_OK;
    pn_buf_init(&out, 64);
    rc = pn_frame_begin(&out, PN_FEED_STATS, wanted, &start);
    if (rc == PN_OK)
        rc = pn_frame_end(&out, start);
    if (rc == PN_OK)
        rc = flush(feed, &out);
    while (rc == PN_OK && type != PN_FEED_STATS)
        rc = receive_one(feed, STATS_WAIT_MS, &type);
    pn_buf_fini(&out);
    return rc;
}

static enum pn_rc read_hello(struct pn_feed *feed)
{
    struct pn_frame frame;
    struct pn_slice epoch;
    uint64_t revision = 0;
    enum pn_rc rc = pn_channel_receive(&feed->channel, &frame, NULL, PN_FEED_ACK_TIMEOUT_MS);

    if (rc == PN_OK && frame.type != PN_FEED_HELLO)
        rc = PN_MALFORMED;
    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&frame.fields, &epoch);
    if (rc == PN_OK)
        rc = pn_frame_read_u64(&frame.fields, &revision);
    if (rc != PN_OK)
        return rc;
    /* A revision that this store has not reached: the store is a backup, older than the gateway. */
    feed->needs_full = !pn_slice_eq_str(epoch, pn_store_epoch(feed->store)) ||
                       revision > pn_store_revision(feed->store);
    pn_log(PN_LOG_INFO, "feed_connected", "gateway_revision", PN_I(revision), "full",
           PN_I(feed->needs_full), NULL);
    set_connected(feed, true, feed->needs_full ? 0 : revision);
    return PN_OK;
}

/* Sleeps until woken, the gateway says something, or `timeout_ms`. PN_EOF: the gateway hung up. */
static enum pn_rc wait_for_work(struct pn_feed *feed, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = feed->wake_fd, .events = POLLIN},
                            {.fd = feed->channel.fd, .events = POLLIN}};
    uint64_t count;
    uint16_t type;

    if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
        return PN_IO;
    if (fds[0].revents != 0 && read(feed->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return PN_IO;
    if (feed->channel.fd >= 0 && fds[1].revents != 0)
        return receive_one(feed, 1000, &type);
    return PN_OK;
}

static void serve_connection(struct pn_feed *feed)
{
    enum pn_rc rc = read_hello(feed);

    while (rc == PN_OK && !is_stopping(feed)) {
        bool was_full = feed->needs_full;

        rc = catch_up(feed);
        if (rc == PN_OK && feed->needs_full && !was_full)
            rc = catch_up(feed);
        if (rc == PN_OK)
            rc = ask_stats(feed);
        if (rc == PN_OK)
            rc = wait_for_work(feed, -1);
    }
    set_connected(feed, false, 0);
    if (!is_stopping(feed))
        pn_log(PN_LOG_INFO, "feed_disconnected", "cause", PN_S(pn_rc_name(rc)), NULL);
}

/* pn_feed_stop() ends the connection from another thread, by a descriptor of its own: the channel
 * closes its one whenever the gateway goes. False: it was stopped meanwhile. */
static bool begin_connection(struct pn_feed *feed, int fd)
{
    bool goes_on;

    pn_channel_init(&feed->channel, fd);
    pthread_mutex_lock(&feed->lock);
    feed->end_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    goes_on = !feed->is_stopping;
    pthread_mutex_unlock(&feed->lock);
    return goes_on;
}

static void end_connection(struct pn_feed *feed)
{
    pn_channel_fini(&feed->channel);
    feed->channel.fd = -1;
    pthread_mutex_lock(&feed->lock);
    if (feed->end_fd >= 0)
        close(feed->end_fd);
    feed->end_fd = -1;
    pthread_mutex_unlock(&feed->lock);
}

static void *run(void *arg)
{
    struct pn_feed *feed = arg;

    while (!is_stopping(feed)) {
        struct pn_error err = {0};
        int fd = -1;

        if (pn_broker_connect(feed->broker, PN_SERVICE_FEED, &fd, &err) == PN_OK) {
            if (begin_connection(feed, fd))
                serve_connection(feed);
            end_connection(feed);
        } else {
            pn_log_error(PN_LOG_WARN, "feed_not_connected", &err);
        }
        if (!is_stopping(feed))
            (void)wait_for_work(feed, RECONNECT_MS);
    }
    return NULL;
}

static struct timespec deadline_after(int ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* With the lock: until the gateway has said something about `revision`, it was too long, or we
 * stop. */
static void wait_for_word(struct pn_feed *feed, uint64_t revision, int ms)
{
    struct timespec deadline = deadline_after(ms);
    int waited = 0;

    if (feed->acknowledged < revision)
        wake(feed);
    while (feed->acknowledged < revision && feed->refused < revision && !feed->is_stopping &&
           waited == 0)
        waited = pthread_cond_timedwait(&feed->changed, &feed->lock, &deadline);
}

static enum pn_rc publish(void *ctx, uint64_t revision, struct pn_error *err)
{
    struct pn_feed *feed = ctx;
    enum pn_rc rc = PN_OK;

    pthread_mutex_lock(&feed->lock);
    wait_for_word(feed, revision, PN_FEED_PUBLISH_TIMEOUT_MS);
    if (feed->acknowledged >= revision && feed->refused != revision)
        rc = PN_OK;
    else if (feed->refused >= revision)
        rc = pn_error_set(err, PN_INTERNAL, "gateway_refused",
                          "the change is stored, but the gateway could not take it into use: %s",
                          feed->refusal);
    else if (!feed->is_connected)
        rc = pn_error_set(
            err, PN_UNAVAILABLE, "gateway_unavailable",
            "the change is stored, but the gateway is away; it becomes live when it is back");
    else
        rc = pn_error_set(
            err, PN_TIMEOUT, "gateway_timeout",
            "the change is stored, but the gateway has not acknowledged it within %d s; "
            "it becomes live when it does",
            PN_FEED_PUBLISH_TIMEOUT_MS / 1000);
    pthread_mutex_unlock(&feed->lock);
    return rc;
}

enum pn_rc pn_feed_create(struct pn_broker *broker, struct pn_store *store, struct pn_feed **feed,
                          struct pn_error *err)
{
    struct pn_feed *made = calloc(1, sizeof(*made));
    pthread_condattr_t attributes;

    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    made->broker = broker;
    made->store = store;
    made->channel.fd = -1;
    pn_buf_init(&made->denials, PN_DENIALS_TEXT_MAX);
    made->end_fd = -1;
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_fd < 0) {
        free(made);
        return pn_error_from_errno(err, errno, "cannot start the feed");
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *feed = made;
    return PN_OK;
}

enum pn_rc pn_feed_start(struct pn_feed *feed, struct pn_arm *arm, struct pn_error *err)
{
    int cause;

    feed->arm = arm;
    cause = pthread_create(&feed->thread, NULL, run, feed);
    if (cause != 0)
        return pn_error_from_errno(err, cause, "cannot start the feed's thread");
    feed->is_started = true;
    return PN_OK;
}

void pn_feed_stop(struct pn_feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->lock);
    feed->is_stopping = true;
    if (feed->end_fd >= 0) /* a gateway that is about to end may never say HELLO */
        (void)shutdown(feed->end_fd, SHUT_RDWR);
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    wake(feed);
    if (feed->is_started)
        pthread_join(feed->thread, NULL);
    feed->is_started = false;
}

void pn_feed_destroy(struct pn_feed *feed)
{
    if (!feed)
        return;
    pn_feed_stop(feed);
    close(feed->wake_fd);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
    pn_buf_fini(&feed->denials);
    free(feed);
}

struct pn_publisher pn_feed_publisher(struct pn_feed *feed)
{
    return (struct pn_publisher){publish, feed};
}

enum pn_rc pn_feed_stats(struct pn_feed *feed, int64_t values[PN_COUNTER_COUNT],
                         struct pn_buf *denials)
{
    struct timespec deadline = deadline_after(STATS_WAIT_MS);
    enum pn_rc rc = PN_OK;
    unsigned number;
    int waited = 0;

    pthread_mutex_lock(&feed->lock);
    number = ++feed->stats_wanted;
    wake(feed);
    while ((int)(feed->stats_given - number) < 0 && feed->is_connected && waited == 0)
        waited = pthread_cond_timedwait(&feed->changed, &feed->lock, &deadline);
    if ((int)(feed->stats_given - number) >= 0) {
        memcpy(values, feed->stats, sizeof(feed->stats));
        rc = pn_buf_append_slice(denials, pn_buf_slice(&feed->denials));
    } else {
        rc = feed->is_connected ? PN_TIMEOUT : PN_UNAVAILABLE;
    }
    pthread_mutex_unlock(&feed->lock);
    return rc;
}

bool pn_feed_is_current(struct pn_feed *feed)
{
    uint64_t newest = pn_store_revision(feed->store);
    bool answer;

    pthread_mutex_lock(&feed->lock);
    /* Nobody has waited for it where it does not concern the gateway, as a sign-in. */
    if (feed->is_connected)
        wait_for_word(feed, newest, CURRENT_WAIT_MS);
    answer = feed->is_connected && feed->acknowledged >= newest;
    pthread_mutex_unlock(&feed->lock);
    return answer;
}
