/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of issuers, kept and renewed.
 *
 *   known and fresh, key there ──▶ used
 *   known, but old, or kid not there ──▶ fetched anew (by one thread; others wait, or use old keys)
 *   fetch failed ──▶ old keys for issuer-stale, else "try again"; next try after issuer-retry
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "oidc/oidc_internal.h"

#define WAIT_S     20 /* for another thread's fetch: two timeouts and a bit */
#define ROUNDS_MAX 4

/* ---- choosing a key ---- */

/* Whether a key of an issuer with tenants may sign what says `iss`. */
static bool is_key_of(const struct issuer_key *key, struct pn_slice iss)
{
    struct pn_slice whose = pn_slice_str(key->issuer);
    size_t at = pn_slice_find_slice(whose, PN_LIT(TENANT_HOLE));
    struct pn_slice after = pn_slice_sub(whose, at + strlen(TENANT_HOLE), whose.len);

    if (whose.len == 0)
        return true;
    if (at == whose.len)
        return pn_slice_eq(whose, iss);
    return iss.len == at + PN_UUID_TEXT - 1 + after.len &&
           pn_slice_starts_with(iss, pn_slice_sub(whose, 0, at)) &&
           pn_slice_ends_with(iss, after) && pn_is_uuid(pn_slice_sub(iss, at, PN_UUID_TEXT - 1));
}

/* RFC 7515 §4.1.4: by kid; without one only where there is no choice. */
static EVP_PKEY *choose_key(const struct issuer_facts *facts, const struct pn_jwt *jwt)
{
    const char *kid = pn_json_str(jwt->header, "kid");
    const char *alg = pn_json_str(jwt->header, "alg");
    const char *type = alg && strcmp(alg, "ES256") == 0 ? "EC" : "RSA";
    EVP_PKEY *found = NULL;

    for (size_t i = 0; alg && i < facts->key_count; i++) {
        const struct issuer_key *key = &facts->keys[i];

        if ((kid && strcmp(key->kid, kid) != 0) || !EVP_PKEY_is_a(key->key, type) ||
            (key->alg[0] && strcmp(key->alg, alg) != 0) ||
            !is_key_of(key, pn_json_slice(jwt->claims, "iss")))
            continue;
        if (!kid && found)
            return NULL;
        found = key->key;
        if (kid)
            break;
    }
    return found;
}

/* ---- the table ---- */

static struct issuer *find(struct pn_oidc *oidc, const char *url)
{
    for (size_t i = 0; i < oidc->known_max; i++) {
        if (strcmp(oidc->known[i].url, url) == 0)
            return &oidc->known[i];
    }
    return NULL;
}

/* A free place, or that of the one that was not asked for longest. NULL: all are being fetched. */
static struct issuer *take_place(struct pn_oidc *oidc, const char *url)
{
    struct issuer *chosen = NULL;

    for (size_t i = 0; i < oidc->known_max; i++) {
        struct issuer *entry = &oidc->known[i];

        if (!entry->is_fetching && (!chosen || entry->used_ms < chosen->used_ms))
            chosen = entry;
    }
    if (!chosen)
        return NULL;
    if (chosen->url[0])
        pn_limit_hit(PN_LIMIT_ISSUERS_KNOWN);
    oidc_facts_fini(&chosen->facts);
    memset(chosen, 0, sizeof *chosen);
    snprintf(chosen->url, sizeof chosen->url, "%s", url);
    return chosen;
}

static enum pn_rc busy(enum pn_limit limit, struct pn_error *err)
{
    pn_limit_hit(limit);
    return pn_error_set(err, PN_UNAVAILABLE, "issuer_busy",
                        "too many issuers are being asked for their keys; try again");
}

/* What a fetch brought, with the lock. Takes `facts`. */
static void keep(struct issuer *entry, enum pn_rc rc, const struct issuer_facts *facts,
                 const struct pn_error *err)
{
    uint64_t now_ms = pn_clock_monotonic_ms();

    entry->is_fetching = false;
    entry->has_failed = rc != PN_OK;
    if (rc == PN_OK) {
        oidc_facts_fini(&entry->facts);
        entry->facts = *facts;
        entry->has_facts = true;
        entry->fetched_ms = now_ms;
        entry->expires_ms = now_ms + facts->lifetime_ms;
        return;
    }
    entry->failure = *err;
    /* Before their end it was for an unknown kid: the keys are good. */
    if (!entry->has_facts || now_ms < entry->expires_ms)
        return;
    if (now_ms - entry->fetched_ms < pn_limit_value(PN_LIMIT_ISSUER_STALE)) {
        entry->expires_ms = now_ms + 2 * pn_limit_value(PN_LIMIT_ISSUER_RETRY);
    } else {
        pn_limit_hit(PN_LIMIT_ISSUER_STALE);
        oidc_facts_fini(&entry->facts);
        entry->has_facts = false;
    }
}

/* Fetches, without the lock. The entry stays: one that is being fetched is not given away. */
static void refresh(struct pn_oidc *oidc, struct issuer *entry)
{
    const struct pn_trusted_issuer *trusted = oidc_trusted_at(oidc, entry->url);
    struct issuer_facts facts = {.keys = NULL};
    struct pn_error err = {0};
    char url[PN_OIDC_URL_MAX];
    enum pn_rc rc;

    memcpy(url, entry->url, sizeof url);
    entry->is_fetching = true;
    entry->was_tried = true;
    entry->tried_ms = pn_clock_monotonic_ms();
    oidc->fetches++;
    pthread_mutex_unlock(&oidc->lock);
    rc = oidc_fetch_facts(oidc->outbound, url, trusted && trusted->tenant_count > 0, &facts, &err);
    pn_metric_add(rc == PN_OK ? PN_METRIC_ISSUER_FETCHES : PN_METRIC_ISSUER_FETCHES_FAILED, 1);
    if (rc != PN_OK)
        pn_log(PN_LOG_WARN, "issuer_not_fetched", "issuer", PN_S(url), "code", PN_S(err.code),
               "cause", PN_S(err.message), NULL);
    pthread_mutex_lock(&oidc->lock);
    oidc->fetches--;
    keep(entry, rc, &facts, &err);
    pthread_cond_broadcast(&oidc->fetched);
}

static bool wait_for_fetch(struct pn_oidc *oidc)
{
    struct timespec until;
    bool is_done;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    oidc->waiting++;
    is_done = pthread_cond_timedwait(&oidc->fetched, &oidc->lock, &until) != ETIMEDOUT;
    oidc->waiting--;
    return is_done;
}

static bool is_within(uint64_t since_ms, uint64_t now_ms, enum pn_limit limit)
{
    return now_ms - since_ms < pn_limit_value(limit);
}

/* Whether `entry` may be asked now. PN_OK; else why not. */
static enum pn_rc may_fetch(const struct pn_oidc *oidc, const struct issuer *entry, bool is_fresh,
                            uint64_t now_ms, struct pn_error *err)
{
    if (entry->has_failed && (is_fresh || !entry->has_facts) &&
        is_within(entry->tried_ms, now_ms, PN_LIMIT_ISSUER_RETRY)) {
        pn_limit_hit(PN_LIMIT_ISSUER_RETRY);
        return pn_error_set(err, PN_UNAVAILABLE, "issuer_unavailable",
                            "the keys of the issuer %s cannot be had: %s", entry->url,
                            entry->failure.message);
    }
    if (is_fresh && entry->was_kid_tried && !entry->has_failed &&
        is_within(entry->kid_tried_ms, now_ms, PN_LIMIT_ISSUER_REFETCH)) {
        pn_limit_hit(PN_LIMIT_ISSUER_REFETCH);
        return pn_error_set(err, PN_DENIED, "token_signature",
                            "the issuer %s has no key for this token", entry->url);
    }
    if (oidc->fetches >= pn_limit_value(PN_LIMIT_ISSUER_FETCHES))
        return busy(PN_LIMIT_ISSUER_FETCHES, err);
    return PN_OK;
}

/* With the lock: the issuer's facts, fresh enough; `jwt` (may be NULL) wants a key of them. *entry
 * is good until the lock is given up. */
static enum pn_rc look_up(struct pn_oidc *oidc, const char *url, const struct pn_jwt *jwt,
                          struct issuer **result, struct pn_error *err)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct issuer *entry = find(oidc, url);
        uint64_t now_ms = pn_clock_monotonic_ms();
        bool is_there, is_fresh;
        enum pn_rc rc;

        if (!entry)
            entry = take_place(oidc, url);
        if (!entry)
            return busy(PN_LIMIT_ISSUERS_KNOWN, err);
        entry->used_ms = now_ms;
        is_there = entry->has_facts && (!jwt || choose_key(&entry->facts, jwt));
        is_fresh = entry->has_facts && now_ms < entry->expires_ms;
        if (is_there && (is_fresh || entry->is_fetching)) {
            *result = entry;
            return PN_OK;
        }
        if (entry->is_fetching) {
            if (oidc->waiting >= pn_limit_value(PN_LIMIT_ISSUER_WAITING))
                return busy(PN_LIMIT_ISSUER_WAITING, err);
            if (!wait_for_fetch(oidc))
                return busy(PN_LIMIT_ISSUER_WAITING, err);
            continue;
        }
        rc = may_fetch(oidc, entry, is_fresh, now_ms, err);
        if (rc != PN_OK)
            return rc;
        if (is_fresh) { /* the keys are new: it is this token's kid that is not among them */
            entry->was_kid_tried = true;
            entry->kid_tried_ms = now_ms;
        }
        refresh(oidc, entry);
    }
    return busy(PN_LIMIT_ISSUER_FETCHES, err);
}

enum pn_rc pn_oidc_check_signature(struct pn_oidc *oidc, const char *url, const struct pn_jwt *jwt,
                                   struct pn_error *err)
{
    struct issuer *entry = NULL;
    EVP_PKEY *key = NULL;
    enum pn_rc rc;

    if (strlen(url) >= PN_OIDC_URL_MAX || url[0] == '\0')
        return pn_error_set(err, PN_DENIED, "token_issuer", "the issuer's URL is too long");
    pthread_mutex_lock(&oidc->lock);
    rc = look_up(oidc, url, jwt, &entry, err);
    if (rc == PN_OK && entry) {
        key = choose_key(&entry->facts, jwt);
        if (key && EVP_PKEY_up_ref(key) != 1)
            key = NULL;
    }
    pthread_mutex_unlock(&oidc->lock);
    if (rc == PN_OK && !key)
        rc = PN_NOMEM;
    if (rc == PN_OK) {
        rc = pn_jwt_verify(jwt, key, PN_JWT_RS256 | PN_JWT_PS256 | PN_JWT_ES256, err);
        rc = rc == PN_UNSUPPORTED ? PN_DENIED : rc;
    }
    EVP_PKEY_free(key);
    return rc;
}

enum pn_rc oidc_endpoints(struct pn_oidc *oidc, const char *url, struct endpoints *endpoints,
                          struct pn_error *err)
{
    struct issuer *entry = NULL;
    enum pn_rc rc;

    pthread_mutex_lock(&oidc->lock);
    rc = look_up(oidc, url, NULL, &entry, err);
    if (rc == PN_OK && entry) {
        memcpy(endpoints->authorization, entry->facts.authorization_endpoint,
               sizeof endpoints->authorization);
        memcpy(endpoints->token, entry->facts.token_endpoint, sizeof endpoints->token);
        endpoints->takes_basic = entry->facts.takes_basic;
    }
    pthread_mutex_unlock(&oidc->lock);
    if (rc == PN_OK && (!endpoints->authorization[0] || !endpoints->token[0]))
        rc = pn_error_set(err, PN_UNAVAILABLE, "issuer_answer",
                          "the issuer %s names no authorization and token endpoint", url);
    return rc;
}
