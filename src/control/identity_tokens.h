/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokens of managed identities for policies: where they come from, and the thread that renews
 * them before they expire (ADR 235).
 */
#pragma once

#include "arm/arm.h"
#include "authority/authority.h"
#include "identity/token_source.h"

struct pn_identity_tokens;

/** Everything is borrowed. PN_NOMEM. */
enum pn_rc pn_identity_tokens_create(struct pn_token_source *source, struct pn_authority *authority,
                                     struct pn_store *store, struct pn_identity_tokens **tokens,
                                     struct pn_error *err) PN_MUST_USE;
/** Ends the thread. NULL is fine. */
void pn_identity_tokens_destroy(struct pn_identity_tokens *tokens);
/** services->identity_token; `ctx` is the struct. */
enum pn_rc pn_identity_tokens_get(void *ctx, const struct pn_arm_token_wish *wish,
                                  struct pn_secret *token, int64_t *expires_s,
                                  struct pn_error *err) PN_MUST_USE;
/** Starts the thread. */
enum pn_rc pn_identity_tokens_start(struct pn_identity_tokens *tokens, struct pn_arm *arm,
                                    struct pn_error *err) PN_MUST_USE;
