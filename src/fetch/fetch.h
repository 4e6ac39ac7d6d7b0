/* SPDX-License-Identifier: Apache-2.0
 *
 * One small document over HTTPS: what control asks of key vaults, OpenID issuers, token endpoints
 * and metadata services. TLS 1.2 or later, always verified against the system's authorities
 * (SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL has them); never a redirect; the answer's size and all
 * times have limits. Addresses that must not be reached on behalf of others (network/address.h) are
 * refused, unless the operator himself named them (is_local).
 *
 * Errors: code network_rule or address_guarded (PN_UNAVAILABLE), fetch_dns, fetch_connect,
 * fetch_tls, fetch_timeout, fetch_limit, fetch_stopped, fetch_url; the message names the host,
 * never more of the URL.
 *
 * Thread: any; each call has a connection of its own and blocks.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "network/denials.h"
#include "network/outbound.h"

#define PN_FETCH_CONNECT_TIMEOUT_MS 3000
#define PN_FETCH_TIMEOUT_MS         8000
#define PN_FETCH_BYTES_MAX          (256u * 1024)
#define PN_FETCH_URL_MAX            2048
#define PN_FETCH_KEPT_TEXT          1024
#define PN_FETCH_RETRY_AFTER_MAX_S  3600

struct pn_outbound_scope;

struct pn_fetch_request {
    const char *url;
    const char *const *headers; /* "Name: value"; NULL-ended, or NULL */
    struct pn_slice form;       /* application/x-www-form-urlencoded to be posted; ptr NULL: GET */
    bool is_local;              /* a metadata service: http:// and link-local are fine, no proxy */
    const char *ca_file;        /* PEM; trusted beside the system's authorities. NULL: only those */
    const char *kept_header;    /* the last field of this name */
    const char *kept_prefix;    /* whose value begins so, without case, is answer.kept; or NULL */
    const atomic_bool *is_stopping;           /* true ends it within about a second; or NULL */
    size_t bytes_max;                         /* of the answer's body; 0: PN_FETCH_BYTES_MAX */
    const struct pn_outbound_scope *outbound; /* network rules; NULL: not governed */
    enum pn_service_tag service;              /* what the other side is for those */
    enum pn_outbound_kind kind;               /* as which a denial is counted */
    unsigned timeout_ms;                      /* of the whole; 0: PN_FETCH_TIMEOUT_MS */
    unsigned connect_timeout_ms;              /* 0: PN_FETCH_CONNECT_TIMEOUT_MS */
};

struct pn_fetch_answer {
    int status;
    struct pn_buf body;            /* secret */
    int64_t max_age_s;             /* Cache-Control; -1: not said */
    unsigned retry_after_s;        /* 0: not said; at most PN_FETCH_RETRY_AFTER_MAX_S */
    char kept[PN_FETCH_KEPT_TEXT]; /* cut, if it is longer */
};

/** libcurl for this process: what it frees is wiped. Before any other use of libcurl; may be called
 *  again. PN_INTERNAL. */
enum pn_rc pn_fetch_setup(struct pn_error *err) PN_MUST_USE;
/** The answer, whatever its status. `answer` is filled by this call and ended by
 *  pn_fetch_answer_fini() in every case. PN_INVALID (the URL), PN_UNAVAILABLE, PN_TIMEOUT,
 * PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_fetch(const struct pn_fetch_request *request, struct pn_fetch_answer *answer,
                    struct pn_error *err) PN_MUST_USE;
void pn_fetch_answer_fini(struct pn_fetch_answer *answer);
