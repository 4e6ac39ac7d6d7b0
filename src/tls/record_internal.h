/* SPDX-License-Identifier: Apache-2.0
 *
 * The record layer's object: shared by reading (record_open.c), writing (record_seal.c) and what
 * both are made of (record.c).
 */
#pragma once

#include "tls/record.h"
#include "tls/record_keys.h"

/* ContentType (RFC 8446 §5.1). */
enum pn_record_type {
    PN_RECORD_ALERT = 21,
    PN_RECORD_HANDSHAKE = 22,
    PN_RECORD_DATA = 23,
};

/* HandshakeType, as far as it may come after the handshake (RFC 8446 §4.6). */
enum pn_record_message {
    PN_MESSAGE_NEW_SESSION_TICKET = 4,
    PN_MESSAGE_CERTIFICATE_REQUEST = 13,
    PN_MESSAGE_KEY_UPDATE = 24,
};

#define PN_MESSAGE_HEADER_BYTES     4
#define PN_MESSAGE_KEY_UPDATE_BYTES (PN_MESSAGE_HEADER_BYTES + 1)
/* The fields of a NewSessionTicket at their largest (RFC 8446 §4.6.1). */
#define PN_MESSAGE_TICKET_MAX (4 + 4 + 1 + 255 + 2 + 65535 + 2 + 65535)

struct pn_records {
    struct pn_record_half in, out;
    const struct pn_record_cipher *cipher;
    uint64_t key_records_max;
    unsigned empty_records_max, empty_records;
    enum pn_rc over; /* why reading has ended; PN_OK: it has not */
    struct pn_record_fault fault;

    uint8_t message[PN_MESSAGE_KEY_UPDATE_BYTES]; /* the beginning of one that is being read */
    uint8_t message_len;                          /* bytes of it; 0: none is being read */
    uint32_t message_rest;                        /* bytes of a ticket that are still to come */

    bool is_client;
    bool owes_update;   /* the peer has asked for a KeyUpdate: before our next data */
    bool awaits_update; /* we have asked for one */
    bool is_closed;     /* our alert is sealed */
    bool is_unusable;   /* sealing has failed half-way: nothing more may leave */
};
