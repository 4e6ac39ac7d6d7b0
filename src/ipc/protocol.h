/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and shapes of the frames between Postern's processes. Kinds 0x1xx: broker (descriptors 3
 * and 4), 0x2xx: keyholder, 0x28x: postern-import, 0x3xx: the feed (ipc/feed.h). All processes are
 * of one build, so there is no version to agree on: an unknown kind ends the connection.
 */
#pragma once

/* Descriptors a child is born with. */
#define PN_BROKER_ASK_FD      3 /* questions to the supervisor and their answers */
#define PN_BROKER_INCOMING_FD 4 /* connections that the supervisor pushes */
#define PN_IMPORT_FD          3 /* postern-import: the one connection it has */

/* Descriptors a child finds its listening sockets from. */
#define PN_LISTEN_FIRST_FD  5
#define PN_LISTEN_ENV       "PN_LISTEN_FDS"
#define PN_LISTEN_PROXY_ENV "PN_LISTEN_PROXY"
#define PN_LOG_LEVEL_ENV    "PN_LOG_LEVEL"

/* A gateway that hands over to another one waits so long, at most, for a last request on idle
 * connections: the new control serves only then. */
#define PN_HAND_OVER_IDLE_MS 1000

#define PN_SERVICE_NAME_MAX 32 /* with NUL */
#define PN_READY_BYTES_MAX  (64u * 1024)

enum pn_broker_frame {
    PN_BROKER_CONNECT = 0x100, /* str service                       child -> supervisor */
    PN_BROKER_CONNECTED,       /* + descriptor                      answer */
    PN_BROKER_REFUSED,         /* u32 rc · str code · str message   answer */
    PN_BROKER_READY,           /* str facts (JSON object or "")     child -> supervisor */
    PN_BROKER_READY_OK,        /* -                                 answer */
    PN_BROKER_INCOMING,        /* str service · u8 role + descriptor  supervisor -> child, fd 4 */
    PN_BROKER_LOG_LEVEL,       /* str level                           supervisor -> child, fd 4 */
};

/* Keyholder: question -> fields of PN_KEYHOLDER_OK. "id" is 32 bytes (as a bytes field). */
enum pn_keyholder_frame {
    PN_KEYHOLDER_SIGN = 0x200, /* u8 use · id · u32 algorithm · bytes message -> bytes signature */
    PN_KEYHOLDER_PUBLIC,       /* u8 use · id -> bytes SPKI */
    PN_KEYHOLDER_SEAL,         /* str domain · bytes context · bytes plain -> bytes sealed */
    PN_KEYHOLDER_UNSEAL,       /* str domain · bytes context · bytes sealed -> bytes plain */
    PN_KEYHOLDER_LIST,         /* u8 use -> bytes of n × 32 */
    PN_KEYHOLDER_FORGET,       /* u8 use · id -> - */
    PN_KEYHOLDER_IMPORT, /* u8 use · u8 has_password · bytes password · bytes file -> imported */
    PN_KEYHOLDER_IMPORT_SEALED, /* bytes context · u8 is_private · u8 has_password · bytes password
                                   · bytes file -> imported */
    PN_KEYHOLDER_EXPORT_SEALED, /* bytes context · u8 format · bytes sealed -> bytes file */
    PN_KEYHOLDER_ISSUE,         /* u8 use · spec -> imported */
    PN_KEYHOLDER_ISSUE_SEALED,  /* bytes context · u8 reuses · vkey · spec -> imported */
    PN_KEYHOLDER_CHECK,         /* u8 has_password · bytes password · bytes file -> imported */
    /* Of the vault. "vkey" = bytes context · u8 is_certificate · bytes sealed */
    PN_KEYHOLDER_VAULT_GENERATE, /* bytes context · str type · u32 bits · str curve -> bytes SPKI ·
                                    bytes sealed */
    PN_KEYHOLDER_VAULT_TAKE, /* bytes context · str type · str curve · 10 × bytes n e d p q dp dq qi
                                x y -> bytes SPKI · bytes sealed */
    PN_KEYHOLDER_VAULT_USE, /* vkey · u8 operation · str algorithm · bytes value -> bytes result */
    PN_KEYHOLDER_VAULT_MOVE,    /* vkey · bytes context -> bytes sealed */
    PN_KEYHOLDER_VAULT_REQUEST, /* bytes context · u8 reuses · vkey (empty without) · spec -> bytes
                                   request · bytes sealed */
    PN_KEYHOLDER_VAULT_MERGE, /* vkey · bytes context · u8 format · u8 is_private · u32 n · n ×
                                 bytes DER -> imported */
    PN_KEYHOLDER_IMPORT_SOON, /* as IMPORT; the key is in memory only until SETTLE */
    PN_KEYHOLDER_SETTLE,      /* u8 use · id -> - */
    PN_KEYHOLDER_OK = 0x2f0,
    PN_KEYHOLDER_ERROR, /* u32 rc · str code · str target · str message */
    /* imported = id · u8 format · u32 n · n × bytes DER · bytes sealed ("" when kept) · facts
     * facts    = str friendly name · str integrity · str encryption · u32 n · n × (str code · str
     * text)
     * spec     = str key_type · u32 key_bits · str subject · 6 × (u32 n · n × str) dns, ip, email,
     * uri, eku, key_usage · u8 is_ca · u8 is_private · u64 not_before · u64 not_after · u8
     * has_issuer · bytes issuer id ("" without) · bytes issuer certificate */
};

/* postern-import: one question, one answer, end. */
enum pn_import_frame {
    PN_IMPORT_OPEN = 0x280, /* u8 has_password · bytes password · bytes file */
    PN_IMPORT_OPENED, /* u8 format · bytes PKCS#8 · u32 n · n × bytes DER, leaf first · facts */
    PN_IMPORT_FAILED, /* u32 rc · str code · str message */
};

/* A TLS 1.2 transcript with long chains is larger than one record. */
#define PN_SIGN_MESSAGE_BYTES_MAX (256u * 1024)
#define PN_CONTEXT_BYTES_MAX      2048u
#define PN_PASSWORD_BYTES_MAX     4096u
#define PN_SPEC_NAMES_MAX         64u /* in one list of an issue specification */
