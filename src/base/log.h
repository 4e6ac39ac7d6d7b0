/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines on standard error: one event, key=value, stable names. Thread-safe: one write per line.
 * Values with spaces, quotes or control bytes are quoted and escaped, so that a peer's bytes cannot
 * forge a line. Never log a secret.
 *
 *   pn_log(PN_LOG_WARN, "backend_refused", "backend", PN_S("b1"), "status", PN_I(495), NULL);
 *     -> ts=2026-01-02T03:04:05.678Z level=warn process=gateway event=backend_refused backend=b1
 * status=495
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

enum pn_log_level { PN_LOG_DEBUG, PN_LOG_INFO, PN_LOG_WARN, PN_LOG_ERROR };

struct pn_log_value {
    enum { PN_LOG_STR, PN_LOG_SLICE, PN_LOG_INT } kind;
    const char *str;
    struct pn_slice slice;
    int64_t number;
};

#define PN_S(text)         (&(struct pn_log_value){.kind = PN_LOG_STR, .str = (text)})
#define PN_SL(slice_value) (&(struct pn_log_value){.kind = PN_LOG_SLICE, .slice = (slice_value)})
#define PN_I(value)        (&(struct pn_log_value){.kind = PN_LOG_INT, .number = (int64_t)(value)})

/** `process`: static text, put into each line. Lines below `level` are dropped. */
void pn_log_setup(const char *process, enum pn_log_level level);
/** Changes the lowest level that is written; any thread, at any time. */
void pn_log_set_level(enum pn_log_level level);
/** "debug", "info", "warn", "error"; false if it is none of these. */
bool pn_log_level_parse(struct pn_slice text, enum pn_log_level *level);
/** "debug", "info", "warn", "error". */
const char *pn_log_level_name(enum pn_log_level level);
bool pn_log_enabled(enum pn_log_level level);
/** Pairs of `const char *key, const struct pn_log_value *value`, ended by NULL. A line has at most
 *  PN_LOG_LINE_MAX bytes; what is longer is cut and marked. */
#define PN_LOG_LINE_MAX 4096
void pn_log(enum pn_log_level level, const char *event, ...) __attribute__((sentinel));
/** Adds code= and message= of `err`. */
void pn_log_error(enum pn_log_level level, const char *event, const struct pn_error *err);
