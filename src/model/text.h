/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of single values: UTF-8 length, numbers as text, durations, URLs.
 */
#pragma once

#include "base/slice.h"

/** Number of characters (code points) of valid UTF-8 (RFC 3629 §4); false if it is not. */
bool pn_text_length(struct pn_slice text, size_t *length);
/** A byte below 0x20, or 0x7f. */
bool pn_text_has_control(struct pn_slice text);
/** A whole decimal number with an optional sign. */
bool pn_text_to_i64(struct pn_slice text, int64_t *value);
/** ISO 8601 duration without years and months ("P1D", "PT1H30M", "PT0.5S"): in milliseconds. */
bool pn_text_to_duration_ms(struct pn_slice text, uint64_t *ms);
/** An absolute http or https URL with a host, without user information, fragment or white space. */
bool pn_text_is_http_url(struct pn_slice text);
/** The same of ws and wss. */
bool pn_text_is_websocket_url(struct pn_slice text);
