/* SPDX-License-Identifier: Apache-2.0
 *
 * The sealed feed log: a file with records, appended, and replaced by rename after fsync. Appending
 * does not wait for the disk: what a power failure takes, control sends again (ADR 0002).
 */
#include "gateway/feedlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"
#include "gateway/feedlog_record.h"

#define MAGIC          "PNFEED2\n"
#define ID_DIGITS      32
#define HEAD_BYTES     (sizeof(MAGIC) - 1 + ID_DIGITS + 1)
#define SEALED_KEY_MAX 1024

struct file {
    int fd; /* -1: none */
    char id[ID_DIGITS + 1];
    uint8_t key[PN_FEED_RECORD_KEY_BYTES];
    uint64_t next;  /* number of the next record */
    uint64_t bytes; /* length of the file */
};

struct pn_feed_log {
    char *path;
    char *new_path;
    struct pn_feed_seal seal;
    struct file now;
    struct file next; /* while it is being rewritten */
    bool is_rewriting;
    uint64_t whole_bytes; /* of the file after the last rewrite */
};

static enum pn_rc seal_by_keyholder(void *ctx, struct pn_slice context, struct pn_slice plain,
                                    struct pn_buf *sealed, struct pn_error *err)
{
    return pn_keyholder_seal(ctx, "feed", context, plain, sealed, err);
}

static enum pn_rc unseal_by_keyholder(void *ctx, struct pn_slice context, struct pn_slice sealed,
                                      struct pn_buf *plain, struct pn_error *err)
{
    return pn_keyholder_unseal(ctx, "feed", context, sealed, plain, err);
}

struct pn_feed_seal pn_feed_seal_keyholder(struct pn_keyholder *keyholder)
{
    return (struct pn_feed_seal){seal_by_keyholder, unseal_by_keyholder, keyholder};
}

enum pn_rc pn_feed_log_create(const char *path, const struct pn_feed_seal *seal,
                              struct pn_feed_log **out, struct pn_error *err)
{
    struct pn_feed_log *log = calloc(1, sizeof(*log));
    size_t len = strlen(path);

    if (!log)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the feed log");
    log->now.fd = -1;
    log->next.fd = -1;
    log->seal = *seal;
    log->path = pn_slice_dup(pn_slice(path, len));
    log->new_path = calloc(1, len + sizeof(".new"));
    if (!log->path || !log->new_path) {
        pn_feed_log_destroy(log);
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the feed log");
    }
    memcpy(log->new_path, path, len);
    memcpy(log->new_path + len, ".new", sizeof(".new"));
    *out = log;
    return PN_OK;
}

static void file_close(struct file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    pn_wipe(file->key, sizeof(file->key));
}

void pn_feed_log_destroy(struct pn_feed_log *log)
{
    if (!log)
        return;
    pn_feed_log_rewrite_cancel(log);
    file_close(&log->now);
    free(log->path);
    free(log->new_path);
    free(log);
}

static struct pn_slice record_context(const struct file *file, uint64_t number, char *out,
                                      size_t cap)
{
    int len = snprintf(out, cap, "%s/%llu", file->id, (unsigned long long)number);

    return pn_slice(out, len > 0 ? (size_t)len : 0);
}

/* --- reading --- */

static enum pn_rc read_exact(int fd, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (char *)buf + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return PN_IO;
        if (n == 0)
            return PN_EOF;
        done += (size_t)n;
    }
    return PN_OK;
}

/** Length and bytes. PN_EOF: no whole record is left. */
static enum pn_rc read_record(struct pn_feed_log *log, size_t max, struct pn_buf *sealed)
{
    uint8_t head[4];
    uint32_t len;
    enum pn_rc rc = read_exact(log->now.fd, head, sizeof(head));

    if (rc != PN_OK)
        return rc;
    len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (len > max)
        return PN_EOF; /* torn, or not ours: cut off there */
    pn_buf_clear(sealed);
    rc = pn_buf_reserve(sealed, len);
    if (rc != PN_OK)
        return rc;
    rc = read_exact(log->now.fd, sealed->ptr, len);
    sealed->len = rc == PN_OK ? len : 0;
    return rc;
}

static enum pn_rc malformed(const struct pn_feed_log *log, struct pn_error *err)
{
    return pn_error_set(err, PN_MALFORMED, "feed_log_malformed", "%s is no feed log", log->path);
}

static enum pn_rc read_key(struct pn_feed_log *log, struct pn_error *err)
{
    struct pn_buf sealed, key;
    enum pn_rc rc;

    pn_buf_init(&sealed, SEALED_KEY_MAX);
    pn_buf_init_secret(&key, SEALED_KEY_MAX);
    rc = read_record(log, SEALED_KEY_MAX, &sealed);
    if (rc != PN_OK)
        rc = malformed(log, err);
    else
        rc = log->seal.unseal(log->seal.ctx, pn_slice(log->now.id, ID_DIGITS),
                              pn_buf_slice(&sealed), &key, err);
    if (rc == PN_OK && key.len != sizeof(log->now.key))
        rc = malformed(log, err);
    if (rc == PN_OK)
        memcpy(log->now.key, key.ptr, key.len);
    log->now.bytes = HEAD_BYTES + 4 + sealed.len;
    pn_buf_fini(&sealed);
    pn_buf_fini(&key);
    return rc;
}

static enum pn_rc open_for_reading(struct pn_feed_log *log, struct pn_error *err)
{
    char head[HEAD_BYTES];
    struct stat facts;
    enum pn_rc rc;

    file_close(&log->now);
    log->now.fd = open(log->path, O_RDWR | O_CLOEXEC);
    if (log->now.fd < 0 && errno == ENOENT)
        return PN_NOT_FOUND;
    if (log->now.fd < 0 || fstat(log->now.fd, &facts) < 0)
        return pn_error_from_errno(err, errno, "cannot open %s", log->path);
    if ((uint64_t)facts.st_size > PN_FEED_LOG_BYTES_MAX)
        return pn_error_set(err, PN_MALFORMED, "feed_log_too_long", "%s is too long", log->path);
    rc = read_exact(log->now.fd, head, sizeof(head));
    if (rc != PN_OK || memcmp(head, MAGIC, sizeof(MAGIC) - 1) != 0 || head[HEAD_BYTES - 1] != '\n')
        return malformed(log, err);
    memcpy(log->now.id, head + sizeof(MAGIC) - 1, ID_DIGITS);
    log->now.id[ID_DIGITS] = '\0';
    log->now.next = 0;
    return read_key(log, err);
}

struct place {
    uint64_t next, bytes;
};

static enum pn_rc replay_records(struct pn_feed_log *log, pn_feed_log_fn on_frames, void *ctx,
                                 struct place *good, struct pn_error *err)
{
    struct pn_buf sealed, plain;
    char text[64];
    enum pn_rc rc;

    pn_buf_init(&sealed, PN_FEED_LOG_SEALED_MAX);
    pn_buf_init_secret(&plain, PN_FEED_LOG_SEALED_MAX);
    for (;;) {
        rc = read_record(log, PN_FEED_LOG_SEALED_MAX, &sealed);
        if (rc != PN_OK)
            break;
        pn_buf_clear(&plain);
        rc = pn_feed_record_unseal(log->now.key,
                                   record_context(&log->now, log->now.next, text, sizeof(text)),
                                   pn_buf_slice(&sealed), &plain, err);
        if (rc != PN_OK)
            break;
        log->now.next++;
        log->now.bytes += 4 + sealed.len;
        rc = on_frames(ctx, pn_buf_slice(&plain));
        if (rc == PN_EOF)
            *good = (struct place){log->now.next, log->now.bytes};
        else if (rc != PN_OK)
            break;
    }
    pn_buf_fini(&sealed);
    pn_buf_fini(&plain);
    return rc == PN_EOF ? PN_OK : rc;
}

enum pn_rc pn_feed_log_replay(struct pn_feed_log *log, pn_feed_log_fn on_frames, void *ctx,
                              struct pn_error *err)
{
    enum pn_rc rc = open_for_reading(log, err);
    struct place good = {0, log->now.bytes};

    if (rc == PN_NOT_FOUND)
        return PN_OK;
    if (rc == PN_OK)
        rc = replay_records(log, on_frames, ctx, &good, err);
    if (rc == PN_UNAVAILABLE || rc == PN_TIMEOUT || rc == PN_IO) {
        file_close(&log->now);
        return rc;
    }
    if (rc != PN_OK || good.next == 0) { /* the next full configuration makes a new file */
        file_close(&log->now);
        return rc;
    }
    log->now.next = good.next;
    log->now.bytes = good.bytes;
    log->whole_bytes = good.bytes;
    if (ftruncate(log->now.fd, (off_t)good.bytes) < 0)
        return pn_error_from_errno(err, errno, "cannot cut %s", log->path);
    return PN_OK;
}

/* --- writing --- */

/** In front of what follows the first four bytes. */
static void put_length(struct pn_buf *record)
{
    size_t len = record->len - 4;

    for (int i = 0; i < 4; i++)
        record->ptr[i] = (char)(uint8_t)(len >> (24 - 8 * i));
}

static enum pn_rc append_record(struct file *file, struct pn_slice plain, struct pn_error *err)
{
    struct pn_buf record;
    char text[64];
    enum pn_rc rc;

    pn_buf_init(&record, PN_FEED_LOG_SEALED_MAX + 4);
    rc = pn_buf_append(&record, "\0\0\0\0", 4);
    if (rc == PN_OK)
        rc = pn_feed_record_seal(file->key, record_context(file, file->next, text, sizeof(text)),
                                 plain, &record, err);
    if (rc == PN_OK) {
        put_length(&record);
        if (lseek(file->fd, (off_t)file->bytes, SEEK_SET) < 0)
            rc = pn_error_from_errno(err, errno, "cannot write the feed log");
    }
    if (rc == PN_OK) {
        rc = pn_fd_write_all(file->fd, pn_buf_slice(&record));
        if (rc != PN_OK)
            pn_error_from_errno(err, errno, "cannot write the feed log");
    }
    if (rc == PN_OK) {
        file->next++;
        file->bytes += record.len;
    }
    pn_buf_fini(&record);
    return rc;
}

/** Cuts at frame borders are not needed: the reader puts the records together again. */
enum pn_rc pn_feed_log_append(struct pn_feed_log *log, struct pn_slice frames, struct pn_error *err)
{
    struct file *file = log->is_rewriting ? &log->next : &log->now;
    struct file before = *file;
    enum pn_rc rc = PN_OK;

    if (file->fd < 0)
        return pn_error_set(err, PN_NOT_FOUND, "no_feed_log", "there is no feed log to append to");
    while (rc == PN_OK && frames.len > 0) {
        size_t len = frames.len < PN_FEED_LOG_RECORD_BYTES ? frames.len : PN_FEED_LOG_RECORD_BYTES;

        rc = append_record(file, pn_slice_sub(frames, 0, len), err);
        frames = pn_slice_sub(frames, len, frames.len - len);
    }
    if (rc == PN_OK)
        return PN_OK;
    if (ftruncate(file->fd, (off_t)before.bytes) < 0)
        pn_log(PN_LOG_ERROR, "feed_log_not_cut", "errno", PN_I(errno), NULL);
    *file = before;
    return rc;
}

/** Magic, id and sealed key: everything before the records. */
static enum pn_rc make_head(struct pn_feed_log *log, struct pn_buf *head, struct pn_error *err)
{
    uint8_t id[ID_DIGITS / 2];
    struct pn_buf sealed;
    enum pn_rc rc;

    pn_random(id, sizeof(id));
    pn_hex_lower(id, sizeof(id), log->next.id);
    pn_random(log->next.key, sizeof(log->next.key));
    pn_buf_init(&sealed, SEALED_KEY_MAX + 4);
    rc = pn_buf_append(&sealed, "\0\0\0\0", 4);
    if (rc == PN_OK)
        rc = log->seal.seal(log->seal.ctx, pn_slice(log->next.id, ID_DIGITS),
                            pn_slice(log->next.key, sizeof(log->next.key)), &sealed, err);
    if (rc == PN_OK) {
        put_length(&sealed);
        rc = pn_buf_printf(head, MAGIC "%s\n", log->next.id);
    }
    if (rc == PN_OK)
        rc = pn_buf_append_slice(head, pn_buf_slice(&sealed));
    pn_buf_fini(&sealed);
    return rc;
}

enum pn_rc pn_feed_log_rewrite_begin(struct pn_feed_log *log, struct pn_error *err)
{
    struct pn_buf head;
    enum pn_rc rc;

    pn_feed_log_rewrite_cancel(log);
    log->next.fd = open(log->new_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log->next.fd < 0)
        return pn_error_from_errno(err, errno, "cannot write %s", log->new_path);
    log->is_rewriting = true;
    pn_buf_init(&head, HEAD_BYTES + SEALED_KEY_MAX + 4);
    rc = make_head(log, &head, err);
    if (rc == PN_OK) {
        log->next.next = 0;
        log->next.bytes = head.len;
        rc = pn_fd_write_all(log->next.fd, pn_buf_slice(&head));
        if (rc != PN_OK)
            pn_error_from_errno(err, errno, "cannot write %s", log->new_path);
    }
    pn_buf_fini(&head);
    if (rc != PN_OK)
        pn_feed_log_rewrite_cancel(log);
    return rc;
}

static enum pn_rc sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? pn_slice_dup(pn_slice(path, (size_t)(slash - path))) : NULL;
    int fd = open(folder && *folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0)
        close(fd);
    free(folder);
    return result == 0 ? PN_OK : PN_IO;
}

enum pn_rc pn_feed_log_rewrite_end(struct pn_feed_log *log, struct pn_error *err)
{
    if (fsync(log->next.fd) < 0 || rename(log->new_path, log->path) < 0 ||
        sync_folder(log->path) != PN_OK) {
        enum pn_rc rc = pn_error_from_errno(err, errno, "cannot replace %s", log->path);

        pn_feed_log_rewrite_cancel(log);
        return rc;
    }
    file_close(&log->now);
    log->now = log->next;
    pn_wipe(log->next.key, sizeof(log->next.key));
    log->next.fd = -1;
    log->is_rewriting = false;
    log->whole_bytes = log->now.bytes;
    return PN_OK;
}

void pn_feed_log_rewrite_cancel(struct pn_feed_log *log)
{
    if (!log->is_rewriting)
        return;
    file_close(&log->next);
    log->is_rewriting = false;
    if (unlink(log->new_path) < 0 && errno != ENOENT)
        pn_log(PN_LOG_WARN, "feed_log_left_over", "errno", PN_I(errno), NULL);
}

bool pn_feed_log_wants_rewrite(const struct pn_feed_log *log)
{
    uint64_t appended = log->now.bytes - log->whole_bytes;

    return log->now.fd < 0 || (appended > PN_FEED_LOG_REWRITE_MIN && appended > log->whole_bytes);
}
