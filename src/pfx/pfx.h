/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens files that hold a private key with its certificates: PKCS#12 (RFC 7292) and PEM (RFC 7468;
 * keys as PKCS#8, encrypted PKCS#8, or OpenSSL's traditional forms). Bytes in, bytes out; only
 * postern-import links this room, because such files are hostile until proven otherwise.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "ipc/keyholder.h"
#include "pfx/password.h"

struct pn_opened {
    int format;          /* PN_FILE_PKCS12 or PN_FILE_PEM */
    struct pn_buf pkcs8; /* DER PrivateKeyInfo; secret */
    size_t chain_count;
    struct pn_buf
        chain[PN_CHAIN_MAX]; /* DER; leaf first, then its issuers as far as the file has them */
    struct pn_file_facts facts;
};

void pn_opened_fini(struct pn_opened *opened);

/** OpenSSL's default provider, and its legacy provider where it is installed: for old files (RC2,
 * 3DES). */
struct pn_pfx_library {
    struct ossl_provider_st *standard;
    struct ossl_provider_st *legacy; /* may be NULL */
};

/** Loads both. Before the sandbox is entered: they are files. PN_INTERNAL: not even the default
 * one. */
enum pn_rc pn_pfx_init(struct pn_pfx_library *library, struct pn_error *err) PN_MUST_USE;
void pn_pfx_fini(struct pn_pfx_library *library);

/** `password.ptr` NULL: none was given; then, and for an empty one, both the empty and the missing
 * password are tried (RFC 7292 readers differ); one with other characters than ASCII is tried in
 * the forms that programs have made of it (pfx/password.h). Of several keys the first is taken that
 * has a certificate for a TLS client. Certificates that are not in the leaf's chain are left out.
 * Codes as in pn_keyholder_import. PN_MALFORMED, PN_INVALID, PN_DENIED (wrong_password),
 * PN_UNSUPPORTED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_pfx_open(struct pn_slice file, struct pn_slice password, struct pn_opened *out,
                       struct pn_error *err) PN_MUST_USE;

/** Opens a file made for the purpose, so that the next one takes a third of the time. */
void pn_pfx_prepare(void);

struct pn_channel;
/** Serves one question of ipc/protocol.h (PN_IMPORT_OPEN) on `channel`, waiting at most
 * PN_IMPORT_TIMEOUT_MS for it. A file that cannot be opened is an answer, not a failure. PN_EOF:
 * the asker went away. */
enum pn_rc pn_pfx_serve_one(struct pn_channel *channel) PN_MUST_USE;
