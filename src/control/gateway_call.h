/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP request to this node's own gateway, for the test console. Any thread; blocks for at most
 * PN_GATEWAY_CALL_MS.
 */
#pragma once

#include "arm/arm.h"

#define PN_GATEWAY_CALL_MS       60000
#define PN_GATEWAY_CALL_BODY_MAX (1024u * 1024) /* of the answer; the rest is left out */
#define PN_GATEWAY_CALLS_MAX     4              /* at a time; above: PN_LIMIT */

struct pn_gateway_caller {
    const char *gateway_url; /* borrowed; "" when it has none */
    char ca_file[4096];      /* for https:// */
    char secret[64];         /* X-Postern-Trace */
};

/** Takes the secret out of the environment. */
void pn_gateway_caller_init(struct pn_gateway_caller *caller, const char *gateway_url,
                            const char *ca_file);
/** The call_gateway of struct pn_arm_services; `ctx` is a struct pn_gateway_caller. */
enum pn_rc pn_gateway_call(void *ctx, const struct pn_arm_test_call *test, json_t **answer,
                           struct pn_error *err) PN_MUST_USE;
