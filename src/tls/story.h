/* SPDX-License-Identifier: Apache-2.0
 *
 * The story of one handshake with a backend, for a person who asks why: what the server showed,
 * what it asked for. Collected only when somebody wants it (pn_stream_connect_spec.story,
 * pn_stream_story()); the report (tls/report.h) says how it ended.
 */
#pragma once

#include "certs/certificate.h"
#include "tls/report.h"

#define PN_STORY_CHAIN_MAX  16  /* certificates of the server; more are left out */
#define PN_STORY_NAMES_MAX  64  /* acceptable CA names; more are counted only */
#define PN_STORY_NAME_MAX   256 /* bytes with NUL */
#define PN_STORY_SCHEME_MAX 32
#define PN_STORY_DER_MAX    (16u * 1024) /* of one certificate; a larger one is left out */

struct pn_tls_story {
    bool is_brief; /* set before: neither chain nor names nor schemes are wanted */
    struct pn_certificate *chain[PN_STORY_CHAIN_MAX]; /* as the server sent it, leaf first */
    size_t chain_count;
    int verify_error;  /* of our trust policy: X509_V_ERR_*, 0: none */
    int verify_depth;  /* of the certificate that it is about */
    bool is_requested; /* the server asked for a client certificate */
    bool is_confirmed; /* the server has gone on after our last message: it takes the certificate */
    char names[PN_STORY_NAMES_MAX][PN_STORY_NAME_MAX]; /* of CAs that it accepts, as .NET writes */
    size_t name_count;                        /* of all; the first PN_STORY_NAMES_MAX are kept */
    const char *schemes[PN_STORY_SCHEME_MAX]; /* "rsa_pss_rsae_sha256"; static */
    size_t scheme_count;
};

/** A zeroed one is a beginning. Ends it. */
void pn_tls_story_fini(struct pn_tls_story *story);
