/* SPDX-License-Identifier: Apache-2.0
 *
 * The three walls of pn_sandbox_enter, one file each.
 */
#pragma once

#include "sandbox/sandbox.h"

/** *abi is what is in force: 0 when the kernel has no Landlock. PN_IO. */
enum pn_rc pn_landlock_apply(enum pn_sandbox_profile profile, const struct pn_sandbox_path *paths,
                             size_t count, int *abi, struct pn_error *err) PN_MUST_USE;
/** PN_UNSUPPORTED: this build or this kernel has none. PN_IO. */
enum pn_rc pn_seccomp_apply(enum pn_sandbox_profile profile, struct pn_error *err) PN_MUST_USE;
