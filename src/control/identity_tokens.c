/* SPDX-License-Identifier: Apache-2.0
 *
 * See identity_tokens.h. The thread looks once a second: after a change of the store, and when a
 * token is due.
 */
#include "control/identity_tokens.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

#define LOOK_EVERY_MS 1000

struct pn_identity_tokens {
    struct pn_token_source *source;
    struct pn_authority *authority;
    struct pn_store *store;
    struct pn_arm *arm;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* monotonic clock */
    bool is_stopping;    /* under the lock */
};

enum pn_rc pn_identity_tokens_create(struct pn_token_source *source, struct pn_authority *authority,
                                     struct pn_store *store, struct pn_identity_tokens **tokens,
                                     struct pn_error *err)
{
    struct pn_identity_tokens *made = calloc(1, sizeof(*made));
    pthread_condattr_t attributes;

    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    made->source = source;
    made->authority = authority;
    made->store = store;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    *tokens = made;
    return PN_OK;
}

/* The identity sources first: they know real resources. What none of them serves, and what our own
 * listeners check, is the embedded authority's: who trusts it has its keys from its JWKS. */
enum pn_rc pn_identity_tokens_get(void *ctx, const struct pn_arm_token_wish *wish,
                                  struct pn_secret *token, int64_t *expires_s, struct pn_error *err)
{
    struct pn_identity_tokens *tokens = ctx;
    const struct pn_identity_ref identity = {wish->service_id, wish->client_id};
    const struct pn_token_target target = {wish->resource, NULL};
    struct pn_error why = {0};
    enum pn_rc rc = pn_token_source_get_until(tokens->source, &identity, &target, wish->is_fresh,
                                              token, expires_s, &why);

    if (rc == PN_OK && *expires_s > 0)
        return PN_OK;
    pn_secret_fini(token);
    if (rc != PN_OK && strcmp(why.code, "no_token_provider") != 0) {
        if (err)
            *err = why;
        return rc;
    }
    return pn_authority_managed_token(tokens->authority, wish->service_id, wish->client_id,
                                      wish->resource, token, expires_s, err);
}

/* False: it is to end. */
static bool rest(struct pn_identity_tokens *tokens)
{
    uint64_t until_ms = pn_clock_monotonic_ms() + LOOK_EVERY_MS;
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};
    bool goes_on;

    pthread_mutex_lock(&tokens->lock);
    while (!tokens->is_stopping && pthread_cond_timedwait(&tokens->wake, &tokens->lock, &at) == 0)
        continue;
    goes_on = !tokens->is_stopping;
    pthread_mutex_unlock(&tokens->lock);
    return goes_on;
}

static void *run(void *ctx)
{
    struct pn_identity_tokens *tokens = ctx;
    int64_t next_s = 0;
    uint64_t seen = 0;

    do {
        uint64_t revision = pn_store_revision(tokens->store);
        struct pn_error err = {0};

        if (revision == seen && next_s > pn_clock_unix_s())
            continue;
        if (pn_arm_renew_tokens(tokens->arm, false, &next_s, &err) == PN_OK)
            seen = revision;
        else
            pn_log_error(PN_LOG_WARN, "identity_tokens_not_renewed", &err);
    } while (rest(tokens));
    return NULL;
}

enum pn_rc pn_identity_tokens_start(struct pn_identity_tokens *tokens, struct pn_arm *arm,
                                    struct pn_error *err)
{
    int failed;

    tokens->arm = arm;
    failed = pthread_create(&tokens->thread, NULL, run, tokens);
    if (failed)
        return pn_error_from_errno(err, failed, "cannot start the thread of identity tokens");
    tokens->has_thread = true;
    return PN_OK;
}

void pn_identity_tokens_destroy(struct pn_identity_tokens *tokens)
{
    if (!tokens)
        return;
    pthread_mutex_lock(&tokens->lock);
    tokens->is_stopping = true;
    pthread_cond_signal(&tokens->wake);
    pthread_mutex_unlock(&tokens->lock);
    if (tokens->has_thread)
        pthread_join(tokens->thread, NULL);
    pthread_cond_destroy(&tokens->wake);
    pthread_mutex_destroy(&tokens->lock);
    free(tokens);
}
