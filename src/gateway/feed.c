/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing the frames of the feed.
 */
#include "gateway/feed.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "network/denials.h"

void pn_feed_init(struct pn_feed *feed, struct pn_catalog *catalog, bool keeps_batch)
{
    memset(feed, 0, sizeof(*feed));
    feed->catalog = catalog;
    feed->keeps_batch = keeps_batch;
    pn_buf_init_secret(&feed->batch, PN_FEED_BATCH_BYTES_MAX);
}

void pn_feed_fini(struct pn_feed *feed)
{
    if (!feed->catalog)
        return;
    pn_catalog_rollback(feed->catalog);
    pn_buf_fini(&feed->batch);
    feed->catalog = NULL;
}

static enum pn_rc on_full(struct pn_feed *feed, struct pn_slice fields)
{
    struct pn_slice epoch;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &epoch);

    if (rc != PN_OK)
        return rc;
    feed->batch_is_full = true;
    return pn_catalog_full(feed->catalog, epoch);
}

static enum pn_rc on_upsert(struct pn_feed *feed, struct pn_slice fields)
{
    struct pn_slice key, type, json;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &key);

    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&fields, &type);
    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&fields, &json);
    if (rc != PN_OK)
        return rc;
    /* An unusable item is no broken frame: the commit is refused with its reason. */
    rc = pn_catalog_upsert(feed->catalog, key, type, json, NULL);
    return rc == PN_NOMEM ? rc : PN_OK;
}

static enum pn_rc on_delete(struct pn_feed *feed, struct pn_slice fields)
{
    struct pn_slice key;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &key);

    return rc == PN_OK ? pn_catalog_delete(feed->catalog, key) : rc;
}

static enum pn_rc on_commit(struct pn_feed *feed, struct pn_slice fields, enum pn_feed_event *event)
{
    struct pn_slice epoch;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &epoch);

    if (rc == PN_OK)
        rc = pn_frame_read_u64(&fields, &feed->revision);
    if (rc != PN_OK)
        return rc;
    rc = pn_catalog_commit(feed->catalog, epoch, feed->revision, &feed->refusal);
    *event = rc == PN_OK ? PN_FEED_COMMITTED : PN_FEED_REFUSED;
    return PN_OK;
}

enum pn_rc pn_feed_frame(struct pn_feed *feed, const struct pn_frame *frame, struct pn_slice raw,
                         enum pn_feed_event *event)
{
    enum pn_rc rc = PN_OK;

    *event = PN_FEED_STAGED;
    if (frame->type == PN_FEED_STATS) {
        feed->stats_id = frame->id;
        *event = PN_FEED_ASKED_STATS;
        return PN_OK;
    }
    if (feed->keeps_batch) {
        if (frame->type == PN_FEED_FULL)
            pn_buf_clear(&feed->batch);
        rc = pn_buf_append_slice(&feed->batch, raw);
        if (rc != PN_OK)
            return rc;
    }
    switch (frame->type) {
    case PN_FEED_FULL:
        return on_full(feed, frame->fields);
    case PN_FEED_UPSERT:
        return on_upsert(feed, frame->fields);
    case PN_FEED_DELETE:
        return on_delete(feed, frame->fields);
    case PN_FEED_COMMIT:
        return on_commit(feed, frame->fields, event);
    default:
        return PN_MALFORMED;
    }
}

/* --- answers --- */

enum pn_rc pn_feed_write_hello(struct pn_buf *out, const char *epoch, uint64_t revision)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_HELLO, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, epoch);
    if (rc == PN_OK)
        rc = pn_frame_u64(out, revision);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

enum pn_rc pn_feed_write_ack(struct pn_buf *out, uint64_t revision)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_ACK, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_u64(out, revision);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

enum pn_rc pn_feed_write_nack(struct pn_buf *out, uint64_t revision, const char *message)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_NACK, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_u64(out, revision);
    if (rc == PN_OK)
        rc = pn_frame_str(out, message);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

enum pn_rc pn_feed_write_stats(struct pn_buf *out, uint32_t id)
{
    struct pn_buf denials;
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_STATS, id, &start);

    if (rc == PN_OK)
        rc = pn_frame_u32(out, (uint32_t)PN_COUNTER_COUNT);
    for (size_t i = 0; rc == PN_OK && i < PN_COUNTER_COUNT; i++)
        rc = pn_frame_u64(out, (uint64_t)pn_counter_get(i));
    pn_buf_init(&denials, PN_DENIALS_TEXT_MAX);
    if (rc == PN_OK)
        rc = pn_denials_write(&denials);
    if (rc == PN_OK)
        rc = pn_frame_bytes(out, pn_buf_slice(&denials));
    pn_buf_fini(&denials);
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

static enum pn_rc write_upsert(struct pn_buf *out, const struct pn_item *item)
{
    size_t start;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_UPSERT, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, item->key);
    if (rc == PN_OK)
        rc = pn_frame_str(out, pn_item_type(item));
    if (rc == PN_OK)
        rc = pn_frame_bytes(out, pn_slice(item->text, item->text_bytes));
    return rc == PN_OK ? pn_frame_end(out, start) : rc;
}

enum pn_rc pn_feed_write_catalog(struct pn_buf *out, const struct pn_catalog *catalog)
{
    size_t start, position = 0;
    const struct pn_item *item;
    enum pn_rc rc = pn_frame_begin(out, PN_FEED_FULL, 0, &start);

    if (rc == PN_OK)
        rc = pn_frame_str(out, pn_catalog_epoch(catalog));
    if (rc == PN_OK)
        rc = pn_frame_end(out, start);
    for (item = pn_catalog_next(catalog, &position); rc == PN_OK && item;
         item = pn_catalog_next(catalog, &position))
        rc = write_upsert(out, item);
    if (rc == PN_OK)
        rc = pn_frame_begin(out, PN_FEED_COMMIT, 0, &start);
    if (rc == PN_OK)
        rc = pn_frame_str(out, pn_catalog_epoch(catalog));
    if (rc == PN_OK)
        rc = pn_frame_u64(out, pn_catalog_revision(catalog));
    if (rc == PN_OK)
        rc = pn_frame_end(out, start);
    return rc;
}
