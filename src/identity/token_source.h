/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens that Postern itself asks for: as which identity, for which resource. A source asks its
 * providers in order (the embedded authority in process; others, such as an instance metadata
 * service, a workload identity or a client secret, are further providers) and keeps what they give
 * until shortly before it expires; it is renewed ahead, and while that fails the former one is
 * given. Tokens are in secret memory only.
 *
 * Thread: any; one lock around the cache, never held while a provider works.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/secret.h"

#define PN_TOKEN_CACHE_MAX     64
#define PN_TOKEN_CACHE_SPARE_S 300 /* a token is not given when it expires sooner than this */
#define PN_TOKEN_RENEW_S                                                                           \
    900 /* a new one is asked for so long before the end, or at a third of its life */

/** Whose token. Texts are borrowed. */
struct pn_identity_ref {
    const char *owner_id;  /* ARM id of the resource that acts: the service */
    const char *client_id; /* a user-assigned identity of it; NULL or "": its system-assigned one */
};

/** For what. Both as in the challenge of the server that asked for a token. */
struct pn_token_target {
    const char *resource;  /* "https://vault.azure.net": becomes the token's audience */
    const char *authority; /* "https://login.microsoftonline.com/<tenant>"; may be NULL */
};

struct pn_token_provider {
    const char *name; /* static; for error messages: "embedded authority" */
    /** Fills *token (a zeroed secret; the text without NUL) and *expires_s (Unix time; 0: the token
     * is for this call only and not to be kept).
     * PN_NOT_FOUND: not in this provider's power, the next one is asked; err says why not. Any
     * other failure ends the search. Any thread, several at once; may block. */
    enum pn_rc (*get)(void *ctx, const struct pn_identity_ref *identity,
                      const struct pn_token_target *target, struct pn_secret *token,
                      int64_t *expires_s, struct pn_error *err);
    void *ctx;
};

struct pn_token_source;

/** `now_s` may be NULL: the system's clock. PN_NOMEM. */
enum pn_rc pn_token_source_create(int64_t (*now_s)(void),
                                  struct pn_token_source **source) PN_MUST_USE;
/** Wipes all tokens. NULL is fine. */
void pn_token_source_destroy(struct pn_token_source *source);
/** At start only, before the first get. PN_LIMIT: too many providers. */
enum pn_rc pn_token_source_add(struct pn_token_source *source,
                               const struct pn_token_provider *provider) PN_MUST_USE;
/** A valid token into *token (zeroed by the caller, ended by the caller). PN_UNAVAILABLE: no
 * provider can get one (code "no_token_provider"); or the provider's own answer. */
enum pn_rc pn_token_source_get(struct pn_token_source *source,
                               const struct pn_identity_ref *identity,
                               const struct pn_token_target *target, struct pn_secret *token,
                               struct pn_error *err) PN_MUST_USE;
/** The same, and when it expires (Unix time; 0: its provider does not say). `is_fresh`: a kept one
 *  is not good enough. */
enum pn_rc pn_token_source_get_until(struct pn_token_source *source,
                                     const struct pn_identity_ref *identity,
                                     const struct pn_token_target *target, bool is_fresh,
                                     struct pn_secret *token, int64_t *expires_s,
                                     struct pn_error *err) PN_MUST_USE;
/** What became of the last try of each source: appends {"name", "status": "initializing",
 * "success", "failure", "error", "lastUpdated"} to the list, in the order in which they are asked.
 * False: no memory. */
bool pn_token_source_tell(struct pn_token_source *source, json_t *list);
/** Forgets the kept token: the server refused it. */
void pn_token_source_forget(struct pn_token_source *source, const struct pn_identity_ref *identity,
                            const struct pn_token_target *target);
