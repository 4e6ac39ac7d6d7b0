/* SPDX-License-Identifier: Apache-2.0
 *
 * The service's identity block. Inside the management API.
 */
#pragma once

#include "arm/arm_internal.h"

/** Puts the identity that `top` (checked) asks for into `body`, or the former one when it does not
 *  mention any; type None: none. PN_INVALID: `problems` tells; PN_DENIED: the caller may not assign
 *  an identity; PN_NOMEM, PN_IO. */
enum pn_rc arm_service_identity(struct arm_call *call, struct pn_store_txn *txn,
                                const struct pn_store_item *former, const json_t *top, json_t *body,
                                struct pn_problems *problems, struct pn_error *err) PN_MUST_USE;
/** PATCH: the identities that are assigned, beside those that `top` names. False: no memory. */
bool arm_service_identity_merge(const struct pn_store_item *former, json_t *top);
/** The ids that a service's document uses, NULL-ended, in the arena. NULL: no memory. */
const char *const *arm_service_references(struct arm_call *call, const json_t *body);
