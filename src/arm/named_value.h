/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files about named values share.
 */
#pragma once

#include "arm/arm_internal.h"

/** Puts the named value with these properties ("value" among them, which is sealed when "secret")
 * in the transaction. `version`: of the vault's secret, "" or NULL for none. */
enum pn_rc arm_named_value_put_in(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                                  json_t *properties, const char *version,
                                  struct pn_error *err) PN_MUST_USE;
