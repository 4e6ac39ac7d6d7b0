/* SPDX-License-Identifier: Apache-2.0
 *
 * Record layer: reading, and obeying what the peer's TLS says after the handshake.
 */
#include <openssl/err.h>
#include <string.h>

#include "base/secret.h"
#include "tls/record_internal.h"

static enum pn_rc end(struct pn_records *records, enum pn_rc rc, enum pn_record_alert alert,
                      const char *detail)
{
    records->over = rc;
    records->fault.sent = alert;
    records->fault.detail = detail;
    return rc;
}

static enum pn_rc unexpected(struct pn_records *records, const char *detail)
{
    return end(records, PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE, detail);
}

/* ---- framing */

enum pn_rc pn_records_whole(struct pn_records *records, struct pn_slice bytes, size_t *len)
{
    const uint8_t *header = (const uint8_t *)bytes.ptr;
    size_t behind;

    if (records->over != PN_OK)
        return records->over;
    if (bytes.len == 0)
        return PN_AGAIN;
    /* Everything is encrypted now: no plain alert, no change_cipher_spec (§5, §5.1). The version
     * counts for nothing there, but the tag covers it. */
    if (header[0] != PN_RECORD_DATA)
        return unexpected(records, "a record that is not encrypted");
    if (bytes.len < PN_RECORD_HEADER_BYTES)
        return PN_AGAIN;
    behind = (size_t)header[3] << 8 | header[4];
    if (behind > PN_RECORD_CIPHER_MAX)
        return end(records, PN_MALFORMED, PN_ALERT_RECORD_OVERFLOW, "a record that is too long");
    if (behind < 1 + PN_RECORD_TAG_BYTES)
        return end(records, PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC, "a record that is too short");
    *len = PN_RECORD_HEADER_BYTES + behind;
    return bytes.len < *len ? PN_AGAIN : PN_OK;
}

/* ---- messages of the handshake (RFC 8446 §4.6) */

static enum pn_rc key_update(struct pn_records *records, size_t behind)
{
    uint8_t request = records->message[PN_MESSAGE_HEADER_BYTES];
    enum pn_rc rc;

    if (request > 1)
        return end(records, PN_MALFORMED, PN_ALERT_ILLEGAL_PARAMETER, "a strange KeyUpdate");
    if (behind > 0) /* no message spans a change of keys (§5.1) */
        return unexpected(records, "something behind a KeyUpdate in its record");
    rc = pn_record_half_update(&records->in, records->cipher);
    if (rc != PN_OK)
        return end(records, rc, PN_ALERT_INTERNAL_ERROR, "no next key");
    records->awaits_update = false;
    records->owes_update = records->owes_update || request == 1;
    return PN_OK;
}

/* The header has come. */
static enum pn_rc message_begin(struct pn_records *records)
{
    const uint8_t *header = records->message;
    uint32_t len = (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];

    if (header[0] == PN_MESSAGE_KEY_UPDATE) {
        if (len != PN_MESSAGE_KEY_UPDATE_BYTES - PN_MESSAGE_HEADER_BYTES)
            return end(records, PN_MALFORMED, PN_ALERT_DECODE_ERROR, "a KeyUpdate of wrong length");
        return PN_OK;
    }
    /* Who may ask for a certificate now has a connection that is not ours. */
    if (header[0] == PN_MESSAGE_CERTIFICATE_REQUEST && records->is_client) {
        records->fault.is_request = true;
        return end(records, PN_MALFORMED, PN_ALERT_HANDSHAKE_FAILURE,
                   "a request for the certificate after the handshake");
    }
    /* A ticket that comes when nobody can keep it any more is read over. */
    if (header[0] != PN_MESSAGE_NEW_SESSION_TICKET || !records->is_client)
        return unexpected(records, "a handshake message that may not come now");
    if (len > PN_MESSAGE_TICKET_MAX)
        return end(records, PN_MALFORMED, PN_ALERT_DECODE_ERROR, "a ticket that is too long");
    records->message_rest = len;
    return PN_OK;
}

/* Messages may lie together in one record, or be spread over several. */
static enum pn_rc on_handshake(struct pn_records *records, struct pn_slice bytes)
{
    size_t at = 0;

    if (bytes.len == 0)
        return unexpected(records, "an empty piece of a handshake message");
    while (at < bytes.len) {
        enum pn_rc rc = PN_OK;

        if (records->message_len >= PN_MESSAGE_HEADER_BYTES &&
            records->message[0] == PN_MESSAGE_NEW_SESSION_TICKET) {
            size_t n = bytes.len - at;

            n = n < records->message_rest ? n : records->message_rest;
            records->message_rest -= (uint32_t)n;
            at += n;
        } else {
            records->message[records->message_len++] = (uint8_t)bytes.ptr[at++];
            if (records->message_len == PN_MESSAGE_HEADER_BYTES)
                rc = message_begin(records);
            else if (records->message_len == PN_MESSAGE_KEY_UPDATE_BYTES)
                rc = key_update(records, bytes.len - at);
        }
        if (rc != PN_OK)
            return rc;
        if (records->message_len == PN_MESSAGE_KEY_UPDATE_BYTES ||
            (records->message_len == PN_MESSAGE_HEADER_BYTES &&
             records->message[0] == PN_MESSAGE_NEW_SESSION_TICKET && records->message_rest == 0))
            records->message_len = 0;
    }
    return PN_OK;
}

/* ---- alerts (RFC 8446 §6) */

static enum pn_rc on_alert(struct pn_records *records, struct pn_slice bytes)
{
    uint8_t description;

    if (bytes.len != 2) /* neither in pieces nor several together (§5.1) */
        return end(records, PN_MALFORMED, PN_ALERT_DECODE_ERROR, "an alert of wrong length");
    description = (uint8_t)bytes.ptr[1];
    if (description == PN_ALERT_CLOSE_NOTIFY)
        return end(records, PN_EOF, PN_ALERT_NONE, "");
    if (description == PN_ALERT_USER_CANCELED) /* close_notify comes behind it */
        return PN_OK;
    records->fault.received = description;
    return end(records, PN_DENIED, PN_ALERT_NONE, "");
}

/* ---- one record */

/* Decrypts the `inner` bytes between header and tag to `out`; the tag must be right. */
static enum pn_rc decrypt(struct pn_records *records, uint8_t *record, size_t inner, uint8_t *out)
{
    uint8_t *tag = record + PN_RECORD_HEADER_BYTES + inner;
    uint8_t nonce[PN_RECORD_IV_BYTES];
    struct pn_aead_key *key;
    enum pn_rc rc = pn_record_half_ready(&records->in, records->cipher, false);

    if (rc != PN_OK)
        return end(records, rc, PN_ALERT_INTERNAL_ERROR, "no key");
    key = records->in.key;
    pn_record_half_nonce(&records->in, nonce);
    if (pn_aead_begin(key, nonce, record, PN_RECORD_HEADER_BYTES) && pn_aead_expect(key, tag) &&
        pn_aead_update(key, out, record + PN_RECORD_HEADER_BYTES, inner) && pn_aead_open(key))
        return PN_OK;
    ERR_clear_error();
    pn_wipe(out, inner); /* nobody has said this */
    return end(records, PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC, "a record that is not authentic");
}

/* Takes padding and type off (§5.4). */
static enum pn_rc strip(struct pn_records *records, const uint8_t *inner, size_t len,
                        enum pn_record_type *type, struct pn_slice *content)
{
    if (len > PN_RECORD_PLAIN_MAX + 1)
        return end(records, PN_MALFORMED, PN_ALERT_RECORD_OVERFLOW, "content that is too long");
    while (len > 0 && inner[len - 1] == 0)
        len--;
    if (len == 0)
        return unexpected(records, "a record without a type");
    *type = (enum pn_record_type)inner[len - 1];
    *content = pn_slice(inner, len - 1);
    return PN_OK;
}

/* Records that move nothing cost us as much as others: there may not be many in a row. */
static enum pn_rc count_empty(struct pn_records *records)
{
    if (records->empty_records++ < records->empty_records_max)
        return PN_OK;
    return end(records, PN_LIMIT, PN_ALERT_UNEXPECTED_MESSAGE,
               "too many records in a row without data");
}

static enum pn_rc on_content(struct pn_records *records, enum pn_record_type type,
                             struct pn_slice content, struct pn_slice *data)
{
    enum pn_rc rc;

    if (records->message_len > 0 && type != PN_RECORD_HANDSHAKE)
        return unexpected(records, "another record within a handshake message");
    if (type == PN_RECORD_DATA && content.len > 0) {
        records->empty_records = 0;
        *data = content;
        return PN_OK;
    }
    if (type == PN_RECORD_DATA)
        return count_empty(records);
    if (type == PN_RECORD_ALERT)
        rc = on_alert(records, content);
    else if (type == PN_RECORD_HANDSHAKE)
        rc = on_handshake(records, content);
    else
        rc = unexpected(records, "a record of unknown type");
    return rc == PN_OK ? count_empty(records) : rc;
}

enum pn_rc pn_records_open(struct pn_records *records, uint8_t *record, size_t len, uint8_t *out,
                           size_t cap, struct pn_slice *data)
{
    size_t inner_len = len - PN_RECORD_HEADER_BYTES - PN_RECORD_TAG_BYTES;
    uint8_t *inner = cap >= inner_len ? out : record + PN_RECORD_HEADER_BYTES;
    enum pn_record_type type = PN_RECORD_DATA;
    struct pn_slice content;
    enum pn_rc rc;

    *data = pn_slice("", 0);
    if (records->over != PN_OK)
        return records->over;
    rc = decrypt(records, record, inner_len, inner);
    if (rc == PN_OK)
        rc = strip(records, inner, inner_len, &type, &content);
    return rc == PN_OK ? on_content(records, type, content, data) : rc;
}
