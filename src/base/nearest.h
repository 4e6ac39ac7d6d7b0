/* SPDX-License-Identifier: Apache-2.0
 *
 * "Did you mean …?": the known name that differs least from the one that was given.
 */
#pragma once

#include "base/slice.h"

/** `name_at(i)`: the known names from 0, NULL after the last. The nearest one (insertions,
 *  deletions, replaced and swapped letters), or NULL when none is near: more than a third of the
 * letters differ. */
const char *pn_nearest(struct pn_slice name, const char *(*name_at)(size_t i));
/** The same among `count` names. */
const char *pn_nearest_of(struct pn_slice name, const char *const *names, size_t count);
