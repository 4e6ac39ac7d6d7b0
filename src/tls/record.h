/* SPDX-License-Identifier: Apache-2.0
 *
 * The record layer of an established TLS 1.3 connection (RFC 8446 §4.6, §5, §6, §7.2): what is left
 * to do when the handshake is over. Bytes in, bytes out; no socket, no clock. One connection, one
 * thread.
 *
 * Invariants: no sequence number is used twice with a key; nothing of a record is given out before
 * its tag was found right; what the peer did wrong ends reading for good, and is answered by one
 * alert. Secrets are wiped when they are replaced and when the object ends.
 */
#pragma once

#include <sys/uio.h>

#include "base/rc.h"
#include "base/slice.h"

#define PN_RECORD_HEADER_BYTES 5
#define PN_RECORD_PLAIN_MAX    16384                       /* bytes of content (RFC 8446 §5.1) */
#define PN_RECORD_CIPHER_MAX   (PN_RECORD_PLAIN_MAX + 256) /* behind the header (§5.2) */
#define PN_RECORD_BYTES_MAX    (PN_RECORD_HEADER_BYTES + PN_RECORD_CIPHER_MAX)
#define PN_RECORD_TAG_BYTES    16
#define PN_RECORD_OVERHEAD     (PN_RECORD_HEADER_BYTES + 1 + PN_RECORD_TAG_BYTES) /* of ours */
#define PN_RECORD_SECRET_MAX   48

/* AES-GCM wants a new key before 2^24.5 full records (RFC 8446 §5.5). */
#define PN_RECORD_KEY_RECORDS_MAX 23726566u

enum pn_record_suite {
    PN_RECORD_AES_128_GCM_SHA256 = 0x1301,
    PN_RECORD_AES_256_GCM_SHA384 = 0x1302,
    PN_RECORD_CHACHA20_POLY1305_SHA256 = 0x1303,
};

/** AlertDescription (RFC 8446 §6). */
enum pn_record_alert {
    PN_ALERT_NONE = -1,
    PN_ALERT_CLOSE_NOTIFY = 0,
    PN_ALERT_UNEXPECTED_MESSAGE = 10,
    PN_ALERT_BAD_RECORD_MAC = 20,
    PN_ALERT_RECORD_OVERFLOW = 22,
    PN_ALERT_HANDSHAKE_FAILURE = 40,
    PN_ALERT_ILLEGAL_PARAMETER = 47,
    PN_ALERT_DECODE_ERROR = 50,
    PN_ALERT_INTERNAL_ERROR = 80,
    PN_ALERT_USER_CANCELED = 90,
};

struct pn_records;

struct pn_records_spec {
    uint16_t suite; /* enum pn_record_suite; others are PN_UNSUPPORTED */
    bool is_client;
    const uint8_t *secret_in, *secret_out; /* application traffic secrets; copied */
    uint64_t sequence_in, sequence_out;    /* records that were already read and sent with them */
    uint64_t key_records_max;   /* records of one key before it is replaced; 0: the most there is */
    unsigned empty_records_max; /* records in a row without a byte of content; 0: none */
};

/** Bytes of a traffic secret of this suite; 0: a suite that we do not know. */
size_t pn_records_secret_len(uint16_t suite);
/** PN_UNSUPPORTED, PN_NOMEM. */
enum pn_rc pn_records_create(const struct pn_records_spec *spec,
                             struct pn_records **records) PN_MUST_USE;
/** Wipes and frees. NULL is fine. */
void pn_records_destroy(struct pn_records *records);
/** Gives the ciphers' memory back (about 2 KB); they are made anew when they are needed. */
void pn_records_rest(struct pn_records *records);

/* ---- reading */

/** Whether `bytes` begin with a whole record. PN_OK: of *len bytes, header included. PN_AGAIN: more
 * is needed. PN_MALFORMED: nothing that may come now; the fault is set. */
enum pn_rc pn_records_whole(struct pn_records *records, struct pn_slice bytes,
                            size_t *len) PN_MUST_USE;
/** Opens one whole record. *data: its content, which may be empty (then it was one of TLS's own
 * messages, already obeyed). It lies in `out`, if `cap` holds the record without header and tag
 * (pn_records_fits()); else within the record itself, whose bytes are overwritten.
 *  PN_EOF: close_notify. PN_DENIED: the peer's fatal alert. PN_MALFORMED, PN_LIMIT: the peer's
 * fault. PN_NOMEM, PN_INTERNAL: ours. All of these are final; the fault tells. */
enum pn_rc pn_records_open(struct pn_records *records, uint8_t *record, size_t len, uint8_t *out,
                           size_t cap, struct pn_slice *data) PN_MUST_USE;

/** Whether the content of a record of `len` bytes goes to an `out` of `cap` bytes. */
static inline bool pn_records_fits(size_t len, size_t cap)
{
    return len - PN_RECORD_HEADER_BYTES - PN_RECORD_TAG_BYTES <= cap;
}

struct pn_record_fault {
    enum pn_record_alert sent; /* what we owe the peer, or PN_ALERT_NONE */
    int received;              /* the peer's fatal alert, or -1 */
    bool is_request;           /* for our certificate, after the handshake */
    const char *detail;        /* static; "" */
};
/** Why reading has ended. Borrowed. */
const struct pn_record_fault *pn_records_fault(const struct pn_records *records);

/* ---- writing */

/** Bytes that a record with `len` bytes of content takes. */
#define PN_RECORD_SEALED(len)  ((len) + PN_RECORD_OVERHEAD)
#define PN_RECORD_UPDATE_BYTES PN_RECORD_SEALED(5)

struct pn_record_batch {
    size_t len;   /* bytes in `out` */
    size_t lead;  /* of these, before the first record of data: a KeyUpdate, or none */
    size_t taken; /* bytes of the pieces */
    bool is_worn; /* the KeyUpdate is for key_records_max, not for the peer's wish */
};
/** Seals as much of the pieces as `cap` has room for, in records as large as may be. `cap` at least
 * PN_RECORD_UPDATE_BYTES + PN_RECORD_OVERHEAD + 1. At least one byte is taken, if there is one; a
 * key that must be replaced first ends the batch before it. PN_NOMEM, PN_INTERNAL: final; then
 * nothing in `out` may be sent. */
enum pn_rc pn_records_pack(struct pn_records *records, const struct iovec *iov, int count,
                           uint8_t *out, size_t cap, struct pn_record_batch *batch) PN_MUST_USE;
#define PN_RECORD_ALERT_BYTES PN_RECORD_SEALED(2)
/** Seals an alert; nothing may be packed afterwards (PN_INTERNAL). PN_NOMEM, PN_INTERNAL. */
enum pn_rc pn_records_alert(struct pn_records *records, enum pn_record_alert alert,
                            uint8_t out[PN_RECORD_ALERT_BYTES]) PN_MUST_USE;
