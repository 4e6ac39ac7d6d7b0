/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's own copy of the feed: what it serves by when it starts while control is dead.
 *
 *   file   = "PNFEED2\n" + 32 hex digits (the file's id) + "\n" + u32 length + the file's key +
 * records key    = 32 random bytes, sealed by the keyholder, domain "feed", context = the id record
 * = u32 length + AES-256-GCM under the key of feed frames (ipc/feed.h): FULL, UPSERT, DELETE,
 * COMMIT; authenticated with it: id "/" number
 *
 * A record cannot be changed, left out, moved or taken from another file without being noticed.
 * What follows the last whole COMMIT (a crash in the middle of a write) is cut off at start. Main
 * thread only; the calls block for the disk, and _replay and _rewrite_begin for the keyholder.
 */
#pragma once

#include "base/buf.h"
#include "ipc/keyholder.h"

#define PN_FEED_LOG_RECORD_BYTES (4u * 1024 * 1024)    /* plain bytes of one record, at most */
#define PN_FEED_LOG_SEALED_MAX   (16u * 1024 * 1024)   /* bytes of a sealed record */
#define PN_FEED_LOG_BYTES_MAX    (1024u * 1024 * 1024) /* a longer file is not read */
#define PN_FEED_LOG_REWRITE_MIN  (4u * 1024 * 1024) /* below, appending never asks for a rewrite */

struct pn_feed_log;

/** How a file's key is sealed: the keyholder's calls, or a test's. */
struct pn_feed_seal {
    enum pn_rc (*seal)(void *ctx, struct pn_slice context, struct pn_slice plain,
                       struct pn_buf *sealed, struct pn_error *err);
    enum pn_rc (*unseal)(void *ctx, struct pn_slice context, struct pn_slice sealed,
                         struct pn_buf *plain, struct pn_error *err);
    void *ctx;
};
/** By the keyholder, domain "feed". */
struct pn_feed_seal pn_feed_seal_keyholder(struct pn_keyholder *keyholder);

/** `path` is copied; nothing is opened yet. PN_NOMEM. */
enum pn_rc pn_feed_log_create(const char *path, const struct pn_feed_seal *seal,
                              struct pn_feed_log **log, struct pn_error *err) PN_MUST_USE;
void pn_feed_log_destroy(struct pn_feed_log *log);

/** For each whole record the plain frames; PN_OK: go on; PN_EOF: the frames ended with a COMMIT (go
 *  on, and remember this place); anything else stops. */
typedef enum pn_rc (*pn_feed_log_fn)(void *ctx, struct pn_slice frames);
/** Reads the file. PN_OK also when it does not exist or has a torn tail (which is cut off).
 *  PN_UNAVAILABLE, PN_TIMEOUT: the keyholder is away, nothing was lost: try again. PN_DENIED,
 *  PN_MALFORMED: not readable from some record on: what came before it was replayed. PN_IO. */
enum pn_rc pn_feed_log_replay(struct pn_feed_log *log, pn_feed_log_fn on_frames, void *ctx,
                              struct pn_error *err) PN_MUST_USE;

/** Outlives this process when it returns (not a power failure: ADR 0002). On failure the file ends
 * as before. PN_IO, PN_UNAVAILABLE, … */
enum pn_rc pn_feed_log_append(struct pn_feed_log *log, struct pn_slice frames,
                              struct pn_error *err) PN_MUST_USE;
/** Starts a new file beside the old one; pn_feed_log_append() goes there; _end makes it the file.
 */
enum pn_rc pn_feed_log_rewrite_begin(struct pn_feed_log *log, struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_feed_log_rewrite_end(struct pn_feed_log *log, struct pn_error *err) PN_MUST_USE;
void pn_feed_log_rewrite_cancel(struct pn_feed_log *log);
/** More has been appended since the last rewrite than a whole copy takes: rewrite. */
bool pn_feed_log_wants_rewrite(const struct pn_feed_log *log);
