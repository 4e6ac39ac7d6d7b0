/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes what a peer that has the keys may send: the input is a program of records (type, length,
 * padding, content), each sealed as it should be or with a bit changed, and opened. Checked: the
 * content that comes out is what went in, an end is an end, and nothing of a changed record comes
 * out.
 *
 * One command: operation, two bytes of length, bytes of content.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/record.h"
#include "tls/record_internal.h"

#define COMMANDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct pn_records *make(bool is_client)
{
    static const uint8_t secrets[2][PN_RECORD_SECRET_MAX] = {"of the client", "of the server"};
    struct pn_records *records = NULL;
    struct pn_records_spec spec = {.suite = PN_RECORD_AES_128_GCM_SHA256,
                                   .is_client = is_client,
                                   .secret_in = secrets[is_client],
                                   .secret_out = secrets[!is_client],
                                   .key_records_max = 8,
                                   .empty_records_max = 8};

    must(pn_records_create(&spec, &records) == PN_OK);
    return records;
}

/* A record whose inner plaintext is `inner`, whatever that is. */
static size_t seal_raw(struct pn_record_half *half, const struct pn_record_cipher *cipher,
                       const uint8_t *inner, size_t len, uint8_t *out)
{
    size_t behind = len + PN_RECORD_TAG_BYTES;
    uint8_t nonce[PN_RECORD_IV_BYTES];

    must(pn_record_half_ready(half, cipher, true) == PN_OK);
    pn_record_half_nonce(half, nonce);
    memcpy(out, "\x17\x03\x03", 3);
    out[3] = (uint8_t)(behind >> 8);
    out[4] = (uint8_t)behind;
    must(pn_aead_begin(half->key, nonce, out, PN_RECORD_HEADER_BYTES) &&
         pn_aead_update(half->key, out + PN_RECORD_HEADER_BYTES, inner, len) &&
         pn_aead_seal(half->key, out + PN_RECORD_HEADER_BYTES + len));
    return PN_RECORD_HEADER_BYTES + behind;
}

/* Opened from an exact copy, into an exact room: one byte too far is seen. */
static enum pn_rc open_copy(struct pn_records *records, const uint8_t *record, size_t len,
                            size_t room, struct pn_slice *content, uint8_t **held)
{
    uint8_t *copy = malloc(len), *out = malloc(room ? room : 1);
    size_t whole = 0;
    enum pn_rc rc;

    must(copy && out);
    memcpy(copy, record, len);
    *content = pn_slice("", 0);
    held[0] = copy;
    held[1] = out;
    for (size_t i = 0; i < len; i += 1 + i / 4) {
        size_t early = 0;

        rc = pn_records_whole(records, pn_slice(copy, i), &early);
        if (rc != PN_AGAIN)
            break;
    }
    rc = pn_records_whole(records, pn_slice(copy, len), &whole);
    if (rc != PN_OK)
        return rc;
    must(whole <= len);
    return pn_records_open(records, copy, whole, out, room, content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t inner[PN_RECORD_CIPHER_MAX + 256], record[PN_RECORD_BYTES_MAX + 512];
    bool is_client = size > 0 && data[0] & 1;
    struct pn_records *records = make(is_client), *peer = make(!is_client);
    enum pn_rc over = PN_OK;
    size_t at = 1;

    for (int i = 0; i < COMMANDS_MAX && at + 4 <= size; i++) {
        uint8_t operation = data[at], type = data[at + 1];
        size_t len = (size_t)data[at + 2] << 8 | data[at + 3], given, sealed;
        struct pn_slice content;
        uint8_t *held[2];
        enum pn_rc rc;

        at += 4;
        len %= PN_RECORD_CIPHER_MAX - PN_RECORD_TAG_BYTES;
        given = size - at < len ? size - at : len;
        memset(inner, operation & 2 ? 0 : 'x', len); /* zeros: padding */
        memcpy(inner, data + at, given);
        at += given;
        if (operation & 4)
            inner[given] = type;
        else
            inner[len++] = type;
        if (len <= given)
            len = given + 1;
        sealed = seal_raw(&peer->out, peer->cipher, inner, len, record);
        if ((operation & 0xf0) == 0xf0)
            record[(size_t)type * 7 % sealed] ^= (uint8_t)(1 << (type & 7));
        rc = open_copy(records, record, sealed, operation & 8 ? 64 : PN_RECORD_BYTES_MAX, &content,
                       held);
        if (over != PN_OK)
            must(rc == over && content.len == 0);
        if ((operation & 0xf0) == 0xf0)
            must(rc != PN_OK && rc != PN_EOF && rc != PN_DENIED ? content.len == 0
                                                                : over != PN_OK || rc == PN_AGAIN);
        if (rc == PN_OK)
            must(content.len <= PN_RECORD_PLAIN_MAX &&
                 memcmp(content.ptr, inner, content.len) == 0);
        if (rc != PN_OK)
            over = rc == PN_AGAIN ? over : rc;
        free(held[0]);
        free(held[1]);
        if (rc == PN_AGAIN)
            break; /* the length was changed: the rest would be waited for */
        if (rc == PN_OK && records->in.sequence == 0) /* it has obeyed a KeyUpdate */
            must(pn_record_half_update(&peer->out, peer->cipher) == PN_OK);
        if (operation & 1) { /* ours is always one that the peer can read */
            struct iovec iov = {inner, len};
            struct pn_record_batch batch;
            size_t read = 0, whole = 0, got = 0;

            must(pn_records_pack(records, &iov, 1, record, sizeof(record), &batch) == PN_OK);
            while (read < batch.len) {
                uint8_t out[PN_RECORD_BYTES_MAX];

                must(pn_records_whole(peer, pn_slice(record + read, batch.len - read), &whole) ==
                     PN_OK);
                must(pn_records_open(peer, record + read, whole, out, sizeof(out), &content) ==
                     PN_OK);
                must(memcmp(content.ptr, inner + got, content.len) == 0);
                got += content.len;
                read += whole;
            }
            must(got == batch.taken);
        }
    }
    pn_records_destroy(records);
    pn_records_destroy(peer);
    return 0;
}
