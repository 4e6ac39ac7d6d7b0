/* SPDX-License-Identifier: Apache-2.0
 *
 * What a probe's question (ipc/probe.h) names: whom to dial, by which proxy, and with which TLS
 * context. All of it is made for this probe alone. Thread: the probe's.
 */
#pragma once

#include <jansson.h>

#include "tls/client.h"
#include "upstream/proxy.h"
#include "upstream/target.h"

struct pn_gateway;

struct pn_probe_target {
    char host[PN_TARGET_HOST_MAX + 1]; /* in lower case */
    struct pn_tls_client *tls;         /* NULL: plain */
    struct pn_proxy *proxy;            /* NULL: directly */
    struct pn_tls_client *proxy_tls;   /* NULL: plain TCP to it */
};

/** Fills *target, which is zero; pn_probe_target_fini() also after an error. PN_MALFORMED: the
 *  question cannot be read; PN_LIMIT: too many certificates; PN_UNAVAILABLE: err->code says what
 * the TLS context lacks; PN_INVALID, PN_NOMEM. */
enum pn_rc pn_probe_target_make(struct pn_gateway *gateway, const json_t *question,
                                struct pn_probe_target *target, struct pn_error *err) PN_MUST_USE;
void pn_probe_target_fini(struct pn_probe_target *target);
