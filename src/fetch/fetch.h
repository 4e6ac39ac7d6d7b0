/* SPDX-License-Identifier: Apache-2.0
 *
 * One small document over HTTPS: what control asks of OpenID issuers, token endpoints and metadata
 * services. TLS 1.2 or later, always verified against the system's authorities (SSL_CERT_FILE and
 * SSL_CERT_DIR as OpenSSL has them); never a redirect; the answer's size and all times have limits.
 * Addresses that must not be reached on behalf of others (network/address.h) are refused, unless
 * the operator himself named them (is_local).
 *
 * Errors: code network_rule (the rule that refuses, PN_UNAVAILABLE), fetch_dns, fetch_connect,
 * fetch_tls, fetch_timeout, fetch_limit, fetch_url; the message names the host, never more of the
 * URL.
 *
 * Thread: any; each call has a connection of its own and blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "network/outbound.h"

#define PN_FETCH_CONNECT_TIMEOUT_MS 3000
#define PN_FETCH_TIMEOUT_MS         8000
#define PN_FETCH_BYTES_MAX          (256u * 1024)
#define PN_FETCH_URL_MAX            2048

struct pn_outbound_scope;

struct pn_fetch_request {
    const char *url;
    const char *const *headers; /* "Name: value"; NULL-ended, or NULL */
    struct pn_slice form;       /* application/x-www-form-urlencoded to be posted; ptr NULL: GET */
    bool is_local;              /* a metadata service: http:// and link-local are fine, no proxy */
    const struct pn_outbound_scope *outbound; /* network rules; NULL: not governed */
    enum pn_service_tag service;              /* what the other side is for those */
    unsigned timeout_ms;                      /* of the whole; 0: PN_FETCH_TIMEOUT_MS */
    unsigned connect_timeout_ms;              /* 0: PN_FETCH_CONNECT_TIMEOUT_MS */
};

struct pn_fetch_answer {
    int status;
    struct pn_buf body;     /* secret */
    int64_t max_age_s;      /* Cache-Control; -1: not said */
    unsigned retry_after_s; /* 0: not said */
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
