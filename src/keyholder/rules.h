/* SPDX-License-Identifier: Apache-2.0
 *
 * What a key of each use may sign. Pure: bytes in, answer out.
 */
#pragma once

#include "ipc/keyholder.h"

/** PN_OK, or PN_DENIED with a reason that holds no byte of the message. */
enum pn_rc pn_rules_check(enum pn_key_use use, enum pn_sign_algorithm algorithm,
                          struct pn_slice message, struct pn_error *err) PN_MUST_USE;
