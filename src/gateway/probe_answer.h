/* SPDX-License-Identifier: Apache-2.0
 *
 * What a probe has found, as the JSON of ipc/probe.h.
 */
#pragma once

#include <jansson.h>

#include "tls/report.h"
#include "tls/story.h"

struct pn_probe_facts {
    const char *cause; /* NULL: the backend accepted us */
    char sentence[PN_TLS_SENTENCE_MAX];
    struct pn_tls_report report; /* of the last address; zero before one was tried */
    bool has_ended_early; /* the backend hung up by itself before we did, without a request */
    int answer_status;    /* of the response to what was asked; 0: none, or it was not asked */
    bool answer_blames;   /* an error whose text has the word "certificate" */
    json_t *addresses;    /* [{address, cause}]; owned */
    uint32_t timeout_ms, late_ms;
    uint64_t dns_ms, handshake_ms; /* the latter with the connection */
};

/** New reference; NULL: no memory. */
json_t *pn_probe_answer(const struct pn_probe_facts *facts, const struct pn_tls_story *story);
