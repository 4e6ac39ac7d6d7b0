/* SPDX-License-Identifier: Apache-2.0
 *
 * Where API Management is narrower or odd, and what `compatibility: azure-strict` does as it does.
 * docs/compatibility.md tells each of them, and how sure it is; a test holds the two together.
 */
#pragma once

#include "arm/arm_internal.h"

/* X(symbol, name in docs/compatibility.md) */
#define ARM_QUIRKS(X)                                                                              \
    X(FLAT_REFRESH, "flat-refresh-secret")                                                         \
    X(NO_WARNINGS, "no-warnings")                                                                  \
    X(NO_INNERERROR, "no-innererror")                                                              \
    X(NO_ORDERBY, "no-orderby")                                                                    \
    X(NO_FORCE, "no-force")                                                                        \
    X(NO_CERTIFICATE_IDS, "no-certificate-ids")

enum arm_quirk {
#define ARM_QUIRK_ENUM(symbol, name) ARM_QUIRK_##symbol,
    ARM_QUIRKS(ARM_QUIRK_ENUM)
#undef ARM_QUIRK_ENUM
};

/** Whether this one is to be imitated: all are, or none. */
static inline bool arm_has_quirk(const struct arm_call *call, enum arm_quirk quirk)
{
    (void)quirk;
    return call->arm->config.is_strict;
}
