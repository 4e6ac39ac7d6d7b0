/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of probes: probe.c (the question), probe_story.c (what the answer means),
 * probe_trust.c (what could be trusted), preflight.c.
 */
#pragma once

#include "arm/arm_internal.h"
#include "certs/chain.h"
#include "ipc/probe.h"

/** One of the certificates that the backend may be shown. */
struct arm_candidate {
    struct pn_store_item item;
    struct pn_chain *chain;
};

struct arm_probe {
    struct arm_call *call;
    struct pn_store_item backend;
    json_t *properties; /* of the backend, with what is sealed */
    json_t *question;
    struct arm_candidate candidates[PN_CERTIFICATE_REFS_MAX];
    size_t count; /* 0: none is shown */
    bool is_api;  /* `backend` is an API that sends to a URL by itself */
};

/* probe.c */
/** A certificate as ipc/probe.h wants it; NULL: no memory. */
json_t *arm_probe_certificate(const char *name, const json_t *internal);
/** Adds host, port, tls, proxy of a backend to a question. PN_INVALID: err tells, with a target. */
enum pn_rc arm_probe_target(json_t *question, const json_t *properties, struct pn_error *err);

/* probe_story.c */
/** Answers with `facts` (of the gateway; taken) and what they mean. */
void arm_probe_tell(struct arm_probe *probe, json_t *facts);

/* probe_trust.c */
/** What `tls` of the backend could be so that what the server has shown is trusted, by it alone: an
 *  object with "ca", "key" and "name", as far as they would help. New reference; NULL: nothing to
 * offer, or no memory. */
json_t *arm_probe_trust(const json_t *facts, const json_t *tls);
