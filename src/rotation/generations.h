/* SPDX-License-Identifier: Apache-2.0
 *
 * The generations of one certificate, kept in its stored document (internal.generations), newest
 * last:
 *
 *   staged ──checked, pre-flight──▶ current ──next one──▶ draining ──limit──▶ retired
 *     ▲  │ refused: stays staged       ▲                      │
 *     └──┘ tried again                 └──── rolled back ─────┘   (then the other one is staged
 * again)
 *
 * Of a staged and of a draining one the keyholder still has the key; a retired one is history. The
 * document's own properties and internal.{generation, keyId, chain, …} are always those of the
 * current one: that is what the gateway serves by.
 *
 * Plain data: no lock, no clock, no store; the caller writes the document back. Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

#define PN_GENERATIONS_KEPT_MAX 20 /* of one certificate; the oldest retired ones go */

/** The generation that the candidate {properties, internal} of pn_generation_make() is, added as
 * staged: its number. One that is staged or current already, with the same key, chain and source,
 * is the one: nothing is added. 0: no memory. `cause`: "upload", "vault", "refresh". */
uint64_t pn_generations_stage(json_t *body, const json_t *properties, const json_t *internal,
                              const char *cause, int64_t now_ms);
/** Whether the candidate's key, chain and source are those of the current generation. */
bool pn_generations_serves(const json_t *body, const json_t *properties, const json_t *internal);
/** Whether the entry is the generation with these key and chain: not one that has come to the same
 * number, nor one that is retired. False of NULL. */
bool pn_generations_is(const json_t *entry, const json_t *internal);
/** Makes `number` (staged or draining) the current one; the former one drains until
 * `drain_until_ms`. PN_NOT_FOUND; PN_INVALID: it is retired, or current already; PN_NOMEM. */
enum pn_rc pn_generations_promote(json_t *body, uint64_t number, const char *cause, int64_t now_ms,
                                  int64_t drain_until_ms, struct pn_error *err) PN_MUST_USE;
/** Notes what the backends said of it: `verdicts` (borrowed) and, when it was refused, why. */
enum pn_rc pn_generations_note(json_t *body, uint64_t number, json_t *verdicts, const char *refusal,
                               int64_t now_ms) PN_MUST_USE;
/** Notes who uses the certificate now: `used_by` {count, names} (borrowed; NULL: nothing is noted).
 */
enum pn_rc pn_generations_note_users(json_t *body, uint64_t number, json_t *used_by) PN_MUST_USE;
/** Retires what has drained long enough; true: something changed. *next_ms becomes the time of the
 * next one when that is earlier. */
bool pn_generations_retire(json_t *body, int64_t now_ms, int64_t *next_ms);
/** The newest generation in `state`, or NULL. Borrowed. */
json_t *pn_generations_find(const json_t *body, const char *state);
/** The way back: of those that drain the one that served last, and rather one that was not refused.
 * NULL: none drains. Borrowed. */
json_t *pn_generations_former(const json_t *body);
json_t *pn_generations_at(const json_t *body, uint64_t number);
/** Whether a generation that is not retired has this key. */
bool pn_generations_uses_key(const json_t *body, const char *key_id);
/** For people: an array without chains and key names. New reference, NULL: no memory. */
json_t *pn_generations_view(const json_t *body);
