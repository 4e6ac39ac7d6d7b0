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
#include "base/log.h"
#include "base/metrics.h"

#define PROVIDERS_MAX 8
#define CACHE_KEY_MAX 2048
#define RENEW_RETRY_S 60

struct cache_entry {
    char *key; /* owner, client, resource, authority; NULL: free */
    struct pn_secret token;
    int64_t expires_s;
    int64_t renew_s; /* a new one is asked for from then on */
};

/* The last try of a provider. */
struct outcome {
    int64_t at_s; /* 0: none yet */
    bool is_good;
    char error[PN_ERROR_MESSAGE_MAX];
};

struct pn_token_source {
    int64_t (*now_s)(void);
    struct pn_token_provider providers[PROVIDERS_MAX];
    size_t provider_count;
    pthread_mutex_t lock; /* guards what follows */
    struct outcome outcomes[PROVIDERS_MAX];
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

/* Ahead of the end by PN_TOKEN_RENEW_S, or by a third of a short life. */
static int64_t renewal(int64_t now_s, int64_t expires_s)
{
    int64_t third_s = (expires_s - now_s) / 3;

    return expires_s - (third_s < PN_TOKEN_RENEW_S ? third_s : PN_TOKEN_RENEW_S);
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
    *entry = (struct cache_entry){.key = key_copy,
                                  .token = copy,
                                  .expires_s = expires_s,
                                  .renew_s = renewal(source->now_s(), expires_s)};
    pthread_mutex_unlock(&source->lock);
}

/* *wants_new: it nears its end; the next asker is given it as it is, while this one renews it. */
static bool take_kept(struct pn_token_source *source, const char *key, struct pn_secret *token,
                      int64_t *expires_s, bool *wants_new)
{
    struct cache_entry *entry;
    bool found = false;

    pthread_mutex_lock(&source->lock);
    entry = find(source, key);
    if (entry && entry->expires_s - PN_TOKEN_CACHE_SPARE_S > source->now_s())
        found = pn_secret_from(token, entry->token.ptr, entry->token.len) == PN_OK;
    if (found)
        *expires_s = entry->expires_s;
    *wants_new = found && source->now_s() >= entry->renew_s;
    if (*wants_new)
        entry->renew_s = source->now_s() + RENEW_RETRY_S;
    pthread_mutex_unlock(&source->lock);
    return found;
}

static void note(struct pn_token_source *source, size_t i, bool is_good, const char *error)
{
    struct outcome *outcome = &source->outcomes[i];

    pthread_mutex_lock(&source->lock);
    outcome->at_s = source->now_s();
    outcome->is_good = is_good;
    snprintf(outcome->error, sizeof outcome->error, "%s", error);
    pthread_mutex_unlock(&source->lock);
}

/* Asks the providers in their order. *by: which one answered. */
static enum pn_rc ask(struct pn_token_source *source, const struct pn_identity_ref *identity,
                      const struct pn_token_target *target, struct pn_secret *token,
                      int64_t *expires_s, const char **by, struct pn_error *err)
{
    char reasons[PN_ERROR_MESSAGE_MAX] = "";

    for (size_t i = 0; i < source->provider_count; i++) {
        const struct pn_token_provider *provider = &source->providers[i];
        struct pn_error why = {0};
        size_t len = strlen(reasons);
        enum pn_rc rc;

        *expires_s = 0;
        rc = provider->get(provider->ctx, identity, target, token, expires_s, &why);
        /* What is not its business says nothing about how it does. */
        if (strcmp(why.code, "foreign_resource") != 0)
            note(source, i, rc == PN_OK, rc == PN_OK ? "" : why.message);
        *by = provider->name;
        if (rc == PN_OK)
            return rc;
        pn_secret_fini(token);
        if (rc != PN_NOT_FOUND) {
            *err = why;
            pn_error_prefix(err, "%s", provider->name);
            return rc;
        }
        snprintf(reasons + len, sizeof reasons - len, "%s%s: %.300s", len > 0 ? "; " : "",
                 provider->name, why.message);
    }
    return pn_error_set(err, PN_UNAVAILABLE, "no_token_provider",
                        "no identity source can get a token for %s%s%s", or_empty(target->resource),
                        reasons[0] ? ": " : "", reasons);
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
    struct pn_secret made = {0};
    struct pn_error why = {0};
    bool is_keepable = make_key(identity, target, key), wants_new = false, has_former;
    int64_t made_until_s = 0;
    const char *by = "";
    enum pn_rc rc;

    *expires_s = 0;
    has_former = is_keepable && !is_fresh && take_kept(source, key, token, expires_s, &wants_new);
    if (has_former && !wants_new)
        return PN_OK;
    rc = ask(source, identity, target, &made, &made_until_s, &by, &why);
    pn_metric_add(rc == PN_OK ? PN_METRIC_TOKENS_TAKEN : PN_METRIC_TOKENS_FAILED, 1);
    if (rc != PN_OK) {
        if (has_former)
            pn_log_error(PN_LOG_WARN, "token_not_renewed", &why);
        else if (err)
            *err = why;
        return has_former ? PN_OK : rc;
    }
    if (is_keepable && made_until_s - PN_TOKEN_CACHE_SPARE_S > source->now_s())
        keep(source, key, &made, made_until_s);
    if (made_until_s != 0) /* one that is made in process each time is no news */
        pn_log(PN_LOG_INFO, "token_taken", "source", PN_S(by), "resource",
               PN_S(or_empty(target->resource)), "identity", PN_S(or_empty(identity->client_id)),
               "seconds", PN_I(made_until_s - source->now_s()), NULL);
    pn_secret_fini(token);
    *token = made;
    *expires_s = made_until_s;
    return PN_OK;
}

bool pn_token_source_tell(struct pn_token_source *source, json_t *list)
{
    bool is_fine = true;

    pthread_mutex_lock(&source->lock);
    for (size_t i = 0; is_fine && i < source->provider_count; i++) {
        const struct outcome *outcome = &source->outcomes[i];
        char at[PN_TIME_TEXT];

        pn_time_iso8601(outcome->at_s, at);
        is_fine = json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s*}", "name",
                                                        source->providers[i].name, "status",
                                                        outcome->at_s == 0 ? "initializing"
                                                        : outcome->is_good ? "success"
                                                                           : "failure",
                                                        "error", outcome->error, "lastUpdated",
                                                        outcome->at_s == 0 ? NULL : at)) == 0;
    }
    pthread_mutex_unlock(&source->lock);
    return is_fine;
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
