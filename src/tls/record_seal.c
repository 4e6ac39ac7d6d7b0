/* SPDX-License-Identifier: Apache-2.0
 *
 * Record layer: writing. Data is not padded, as nearly nobody pads; its length is no secret here.
 */
#include <assert.h>
#include <openssl/err.h>
#include <string.h>

#include "tls/record_internal.h"

#define GATHER_MAX                                                                                 \
    2048 /* content up to this is copied together: dearer than a call of the cipher */

/* Where the next byte of the pieces is. */
struct cursor {
    const struct iovec *iov;
    int count;
    size_t offset;
};

static size_t left(const struct cursor *cursor)
{
    size_t len = 0;

    for (int i = 0; i < cursor->count; i++)
        len += cursor->iov[i].iov_len;
    return len - cursor->offset;
}

/* The next piece, of at most `max` bytes; the cursor goes behind it. */
static struct pn_slice next_piece(struct cursor *cursor, size_t max)
{
    const char *bytes;
    size_t len;

    while (cursor->count > 1 && cursor->offset == cursor->iov->iov_len) {
        cursor->iov++;
        cursor->count--;
        cursor->offset = 0;
    }
    bytes = (const char *)cursor->iov->iov_base + cursor->offset;
    len = cursor->iov->iov_len - cursor->offset;
    if (len > max)
        len = max;
    cursor->offset += len;
    return pn_slice(bytes, len);
}

/* Content and type, encrypted to `out`. */
static bool seal_content(struct pn_aead_key *key, struct cursor *cursor, size_t len, uint8_t type,
                         uint8_t *out)
{
    size_t at = 0;

    if (len <= GATHER_MAX) {
        while (at < len) {
            struct pn_slice piece = next_piece(cursor, len - at);

            memcpy(out + at, piece.ptr, piece.len);
            at += piece.len;
        }
        out[at] = type;
        return pn_aead_update(key, out, out, len + 1);
    }
    while (at < len) {
        struct pn_slice piece = next_piece(cursor, len - at);

        if (!pn_aead_update(key, out + at, piece.ptr, piece.len))
            return false;
        at += piece.len;
    }
    return pn_aead_update(key, out + at, &type, 1);
}

static enum pn_rc fail(struct pn_records *records, enum pn_rc rc)
{
    ERR_clear_error();
    records->is_unusable = true;
    return rc;
}

/* `len` bytes at the cursor become a record of PN_RECORD_SEALED(len) bytes. */
static enum pn_rc seal(struct pn_records *records, enum pn_record_type type, struct cursor *cursor,
                       size_t len, uint8_t *out)
{
    size_t behind = len + 1 + PN_RECORD_TAG_BYTES;
    uint8_t nonce[PN_RECORD_IV_BYTES];
    struct pn_aead_key *key;
    enum pn_rc rc = pn_record_half_ready(&records->out, records->cipher, true);

    if (rc != PN_OK)
        return fail(records, rc);
    key = records->out.key;
    out[0] = PN_RECORD_DATA;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t)(behind >> 8);
    out[4] = (uint8_t)behind;
    pn_record_half_nonce(&records->out, nonce);
    if (!pn_aead_begin(key, nonce, out, PN_RECORD_HEADER_BYTES) ||
        !seal_content(key, cursor, len, (uint8_t)type, out + PN_RECORD_HEADER_BYTES) ||
        !pn_aead_seal(key, out + PN_RECORD_HEADER_BYTES + len + 1))
        return fail(records, PN_INTERNAL);
    return PN_OK;
}

static enum pn_rc seal_bytes(struct pn_records *records, enum pn_record_type type,
                             const uint8_t *bytes, size_t len, uint8_t *out)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};

    return seal(records, type, &(struct cursor){&iov, 1, 0}, len, out);
}

/* ---- keys (RFC 8446 §4.6.3) */

static bool is_worn(const struct pn_records *records, const struct pn_record_half *half)
{
    return half->sequence >= records->key_records_max;
}

static bool wants_update(const struct pn_records *records)
{
    return is_worn(records, &records->in) && !records->awaits_update;
}

/* Before data only: while we are silent, one answer is enough for any number of requests. */
static bool must_replace(const struct pn_records *records)
{
    return records->owes_update || wants_update(records) || is_worn(records, &records->out);
}

static enum pn_rc replace_key(struct pn_records *records, uint8_t *out)
{
    bool asks = wants_update(records);
    uint8_t message[PN_MESSAGE_KEY_UPDATE_BYTES] = {PN_MESSAGE_KEY_UPDATE, 0, 0, 1, asks ? 1 : 0};
    enum pn_rc rc = seal_bytes(records, PN_RECORD_HANDSHAKE, message, sizeof(message), out);

    if (rc == PN_OK)
        rc = pn_record_half_update(&records->out, records->cipher);
    if (rc != PN_OK)
        return fail(records, rc);
    records->owes_update = false;
    records->awaits_update = records->awaits_update || asks;
    return PN_OK;
}

/* ---- what others call */

enum pn_rc pn_records_pack(struct pn_records *records, const struct iovec *iov, int count,
                           uint8_t *out, size_t cap, struct pn_record_batch *batch)
{
    struct cursor cursor = {iov, count, 0};
    size_t rest = left(&cursor);
    enum pn_rc rc;

    *batch = (struct pn_record_batch){0};
    if (records->is_closed || records->is_unusable)
        return PN_INTERNAL;
    if (rest > 0 && must_replace(records)) {
        batch->is_worn = !records->owes_update;
        rc = replace_key(records, out);
        if (rc != PN_OK)
            return rc;
        batch->len = batch->lead = PN_RECORD_UPDATE_BYTES;
    }
    while (rest > 0 && cap - batch->len > PN_RECORD_OVERHEAD) {
        size_t room = cap - batch->len - PN_RECORD_OVERHEAD;
        size_t n = rest < PN_RECORD_PLAIN_MAX ? rest : PN_RECORD_PLAIN_MAX;

        if (batch->taken > 0 && must_replace(records))
            break;
        n = n < room ? n : room;
        rc = seal(records, PN_RECORD_DATA, &cursor, n, out + batch->len);
        if (rc != PN_OK)
            return rc;
        batch->len += PN_RECORD_SEALED(n);
        batch->taken += n;
        rest -= n;
    }
    return PN_OK;
}

enum pn_rc pn_records_alert(struct pn_records *records, enum pn_record_alert alert,
                            uint8_t out[PN_RECORD_ALERT_BYTES])
{
    bool is_closure = alert == PN_ALERT_CLOSE_NOTIFY || alert == PN_ALERT_USER_CANCELED;
    uint8_t bytes[] = {is_closure ? 1 : 2, (uint8_t)alert}; /* AlertLevel: warning, fatal */

    assert(alert != PN_ALERT_NONE);
    if (records->is_closed || records->is_unusable)
        return PN_INTERNAL;
    records->is_closed = true;
    return seal_bytes(records, PN_RECORD_ALERT, bytes, sizeof(bytes), out);
}
