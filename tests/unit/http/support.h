/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the tests of http/: arenas, and reading messages in pieces of any size.
 */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "http/h1.h"

extern const struct pn_http_limits test_limits;

/** cmocka set-up and tear-down: *state is a struct pn_arena. */
int make_arena(void **state);
int drop_arena(void **state);

/* The end of a head, whole (step 0) or `step` bytes at a time. */
enum pn_rc scan_in_pieces(struct pn_slice text, size_t step, enum pn_h1_side side,
                          const struct pn_http_limits *limits, size_t *head_bytes,
                          struct pn_http_fault *fault);

/** Scans and parses `text` as it arrives in pieces of `step` bytes (0: at once). */
enum pn_rc read_request(struct pn_arena *arena, struct pn_slice text, size_t step,
                        const struct pn_http_limits *limits, struct pn_request_head *request,
                        size_t *head_bytes, struct pn_http_fault *fault);
enum pn_rc read_response(struct pn_arena *arena, struct pn_slice text, size_t step,
                         const char *method, struct pn_response_head *response,
                         struct pn_http_fault *fault);
/** Reads a body that arrives in pieces of `step` bytes, collects its data, then closes the stream.
 *  *rest: bytes behind the body's end. */
enum pn_rc read_body(struct pn_h1_body *body, struct pn_slice in, size_t step, struct pn_buf *data,
                     size_t *rest, struct pn_http_fault *fault);

void expect_slice(struct pn_slice slice, const char *text);
