/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by network_status.c (key vaults, the token authority) and network_backends.c.
 */
#pragma once

#include "arm/arm_internal.h"

#define PN_NETWORK_BACKENDS_MAX 64 /* tried for one answer; those behind them are left out */
#define PN_NETWORK_URL_TEXT     320

/** Appends an entry for each backend of the service. Blocks for seconds if they do not answer.
 * False: the store, or no memory. */
bool arm_network_add_backends(struct arm_call *call, json_t *list);
/** "dns", "tcp", "tls", "identity", "rule", "proxy", "keyholder" of a cause code; else "internal".
 */
const char *arm_network_layer_of_cause(const char *cause);
