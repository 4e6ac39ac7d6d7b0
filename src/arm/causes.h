/* SPDX-License-Identifier: Apache-2.0
 *
 * Cause codes of the gateway (upstream/failure.h, and those before a connection is asked for), what
 * they mean and what an operator does about them: one table for probes, the last failure, and the
 * documentation (docs/causes.md).
 */
#pragma once

struct arm_cause {
    const char *code, *meaning, *fix;
};
/** Ends with NULLs. */
extern const struct arm_cause arm_causes[];
/** "" for one that is not in it. */
const char *arm_cause_fix(const char *code);
