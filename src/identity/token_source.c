/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of tokens in front of the providers. When it is full, the entry that expires first
 * makes room.
 */
#include "identity/token_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PROVIDERS_MAX 8
#define CACHE_KEY_MAX 2048

struct cache_entry {
    char *key; /* owner, client, resource, authority; NULL: free */
    struct pn_secret token;
    int64_t expires_s;
};

struct pn_token_source {
    int64_t (*now_s)(void);
    struct pn_token_provider providers[PROVIDERS_MAX];
    size_t provider_count;
    pthread_mutex_t lock; /* guards cache */
    struct cache_entry cache[PN_TOKEN_CACHE_MAX];
};

enum pn_rc pn_token_source_create(int64_t (*now_s)(void), struct pn_token_source **source)
{
    struct pn_token_source *made = calloc(1, sizeof *made);

    if (!made)
        return PN_NOMEM;
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made);
        return PN_NOMEM;
    }
    made->now_s = now_s ? now_s : pn_clock_unix_s;
    *source = made;
    return PN_OK;
}

static void clear_entry(struct cache_entry *entry)
{
    free(entry->key);
    pn_secret_fini(&entry->token);
    memset(entry, 0, sizeof *entry);
}

void pn_token_source_destroy(struct pn_token_source *source)
{
    if (!source)
        return;
    for (size_t i = 0; i < PN_TOKEN_CACHE_MAX; i++)
        clear_entry(&source->cache[i]);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

enum pn_rc pn_token_source_add(struct pn_token_source *source,
                               const struct pn_token_provider *provider)
{
    if (source->provider_count == PROVIDERS_MAX)
        return PN_LIMIT;
    source->providers[source->provider_count++] = *provider;
    return PN_OK;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* False: too long to be kept. */
static bool make_key(const struct pn_identity_ref *identity, const struct pn_token_target *target,
                     char key[CACHE_KEY_MAX])
{
    int len = snprintf(key, CACHE_KEY_MAX, "%s\n%s\n%s\n%s", or_empty(identity->owner_id),
                       or_empty(identity->client_id), or_empty(target->resource),
                       or_empty(target->authority));

    return len > 0 && len < CACHE_KEY_MAX;
}

static struct cache_entry *find(struct pn_token_source *source, const char *key)
{
    for (size_t i = 0; i < PN_TOKEN_CACHE_MAX; i++) {
        if (source->cache[i].key && strcmp(source->cache[i].key, key) == 0)
            return &source->cache[i];
    }
    return NULL;
}

/* The entry to overwrite: this key's, a free one, or the one that expires first. */
static struct cache_entry *choose(struct pn_token_source *source, const char *key)
{
    struct cache_entry *chosen = find(source, key);

    for (size_t i = 0; !chosen && i < PN_TOKEN_CACHE_MAX; i++) {
        if (!source->cache[i].key)
            chosen = &source->cache[i];
    }
    if (chosen)
        return chosen;
    chosen = &source->cache[0];
    for (size_t i = 1; i < PN_TOKEN_CACHE_MAX; i++) {
        if (source->cache[i].expires_s < chosen->expires_s)
            chosen = &source->cache[i];
    }
    return chosen;
}

/* Best effort: without memory the token is used but not kept. */
static void keep(struct pn_token_source *source, const char *key, const struct pn_secret *token,
                 int64_t expires_s)
{
    struct pn_secret copy = {0};
    struct cache_entry *entry;
    char *key_copy = strdup(key);

    if (!key_copy || pn_secret_from(&copy, token->ptr, token->len) != PN_OK) {
        free(key_copy);
        return;
    }
    pthread_mutex_lock(&source->lock);
    entry = choose(source, key);
    clear_entry(entry);
    *entry = (struct cache_entry){.key = key_copy, .token = copy, .expires_s = expires_s};
    pthread_mutex_unlock(&source->lock);
}

static bool take_kept(struct pn_token_source *source, const char *key, struct pn_secret *token,
                      int64_t *expires_s)
{
    struct cache_entry *entry;
    bool found = false;

    pthread_mutex_lock(&source->lock);
    entry = find(source, key);
    if (entry && entry->expires_s - PN_TOKEN_CACHE_SPARE_S > source->now_s())
        found = pn_secret_from(token, entry->token.ptr, entry->token.len) == PN_OK;
    if (found)
        *expires_s = entry->expires_s;
    pthread_mutex_unlock(&source->lock);
    return found;
}

enum pn_rc pn_token_source_get(struct pn_token_source *source,
                               const struct pn_identity_ref *identity,
                               const struct pn_token_target *target, struct pn_secret *token,
                               struct pn_error *err)
{
    int64_t expires_s = 0;

    return pn_token_source_get_until(source, identity, target, false, token, &expires_s, err);
}

enum pn_rc pn_token_source_get_until(struct pn_token_source *source,
                                     const struct pn_identity_ref *identity,
                                     const struct pn_token_target *target, bool is_fresh,
                                     struct pn_secret *token, int64_t *expires_s,
                                     struct pn_error *err)
{
    char key[CACHE_KEY_MAX];
    bool is_keepable = make_key(identity, target, key);
    struct pn_error why = {0};

    *expires_s = 0;
    if (is_keepable && !is_fresh && take_kept(source, key, token, expires_s))
        return PN_OK;
    for (size_t i = 0; i < source->provider_count; i++) {
        const struct pn_token_provider *provider = &source->providers[i];
        enum pn_rc rc = provider->get(provider->ctx, identity, target, token, expires_s, &why);

        if (rc == PN_OK) {
            if (is_keepable && *expires_s - PN_TOKEN_CACHE_SPARE_S > source->now_s())
                keep(source, key, token, *expires_s);
            return PN_OK;
        }
        pn_secret_fini(token);
        if (rc != PN_NOT_FOUND) {
            if (err)
                *err = why;
            pn_error_prefix(err, "%s", provider->name);
            return rc;
        }
    }
    return pn_error_set(err, PN_UNAVAILABLE, "no_token_provider",
                        "no identity source can get a token for %s%s%s", or_empty(target->resource),
                        why.message[0] ? ": " : "", why.message);
}

void pn_token_source_forget(struct pn_token_source *source, const struct pn_identity_ref *identity,
                            const struct pn_token_target *target)
{
    char key[CACHE_KEY_MAX];
    struct cache_entry *entry;

    if (!make_key(identity, target, key))
        return;
    pthread_mutex_lock(&source->lock);
    entry = find(source, key);
    if (entry)
        clear_entry(entry);
    pthread_mutex_unlock(&source->lock);
}
