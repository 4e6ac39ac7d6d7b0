/* SPDX-License-Identifier: Apache-2.0
 *
 * Time. Durations use the monotonic clock; what people read uses UTC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

uint64_t pn_clock_monotonic_ms(void);
uint64_t pn_clock_monotonic_us(void);
/** Seconds since 1970-01-01 UTC. */
int64_t pn_clock_unix_s(void);
/** The same as of the kernel's last tick, up to 10 ms ago: does not ask the processor's counter.
 * For what is compared with whole seconds in each request. */
int64_t pn_clock_unix_s_of_tick(void);
/** Milliseconds since 1970-01-01 UTC. */
int64_t pn_clock_unix_ms(void);

#define PN_TIME_TEXT 32
/** "2037-01-01T07:00:00Z". */
void pn_time_iso8601(int64_t unix_s, char out[PN_TIME_TEXT]);
/** "2037-01-01T07:00:00.1234567Z": seven fractional digits, as API Management writes lastStatus. */
void pn_time_iso8601_ticks(int64_t unix_ms, char out[PN_TIME_TEXT]);
/** "Mon, 01 Jan 2037 07:00:00 GMT" (RFC 9110 §5.6.7). */
void pn_time_http_date(int64_t unix_s, char out[PN_TIME_TEXT]);
/** Reads the first two forms, also with an offset; false if it is neither. */
bool pn_time_parse_iso8601(struct pn_slice text, int64_t *unix_s);
