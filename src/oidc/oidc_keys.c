/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of issuers, kept and renewed.
 *
 *   known and fresh, key there ──▶ used
 *   known, but old, or kid not there ──▶ fetched anew (by one thread; others wait, or use old keys)
 *   fetch failed ──▶ old keys until PN_OIDC_STALE_S, else "try again"; next try not before RETRY_S
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "oidc/oidc_internal.h"

#define RETRY_S     10
#define WAIT_S      20 /* for another thread's fetch: two timeouts and a bit */
#define STALE_FOR_S 60 /* after a failed fetch old keys are used so long before the next */
#define ROUNDS_MAX  4

/* ---- choosing a key ---- */

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
            (key->alg[0] && strcmp(key->alg, alg) != 0))
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
    for (size_t i = 0; i < PN_OIDC_KNOWN_MAX; i++) {
        if (strcmp(oidc->known[i].url, url) == 0)
            return &oidc->known[i];
    }
    return NULL;
}

/* A free place, or that of the one that was not asked for longest. NULL: all are being fetched. */
static struct issuer *take_place(struct pn_oidc *oidc, const char *url)
{
    struct issuer *chosen = NULL;

    for (size_t i = 0; i < PN_OIDC_KNOWN_MAX; i++) {
        struct issuer *entry = &oidc->known[i];

        if (!entry->is_fetching && (!chosen || entry->used_s < chosen->used_s))
            chosen = entry;
    }
    if (!chosen)
        return NULL;
    oidc_facts_fini(&chosen->facts);
    memset(chosen, 0, sizeof *chosen);
    snprintf(chosen->url, sizeof chosen->url, "%s", url);
    return chosen;
}

static enum pn_rc busy(struct pn_error *err)
{
    return pn_error_set(err, PN_UNAVAILABLE, "issuer_busy",
                        "too many issuers are being asked for their keys; try again");
}

/* Fetches, without the lock. The entry stays: one that is being fetched is not given away. */
static void refresh(struct pn_oidc *oidc, struct issuer *entry)
{
    struct issuer_facts *facts = calloc(1, sizeof *facts);
    struct pn_error err = {0};
    char url[PN_OIDC_URL_MAX];
    enum pn_rc rc;
    int64_t now_s;

    memcpy(url, entry->url, sizeof url);
    entry->is_fetching = true;
    entry->tried_s = oidc->now_s();
    oidc->fetches++;
    pthread_mutex_unlock(&oidc->lock);
    rc = facts ? oidc_fetch_facts(oidc->outbound, url, facts, &err) : PN_NOMEM;
    pn_metric_add(rc == PN_OK ? PN_METRIC_ISSUER_FETCHES : PN_METRIC_ISSUER_FETCHES_FAILED, 1);
    if (rc != PN_OK)
        pn_log(PN_LOG_WARN, "issuer_not_fetched", "issuer", PN_S(url), "code", PN_S(err.code),
               "cause", PN_S(err.message), NULL);
    pthread_mutex_lock(&oidc->lock);
    oidc->fetches--;
    entry->is_fetching = false;
    now_s = oidc->now_s();
    if (rc == PN_OK) {
        oidc_facts_fini(&entry->facts);
        entry->facts = *facts;
        entry->has_facts = true;
        entry->fetched_s = now_s;
        entry->expires_s = now_s + facts->lifetime_s;
    } else {
        entry->failure = err;
        if (entry->has_facts && now_s - entry->fetched_s < PN_OIDC_STALE_S) {
            entry->expires_s = now_s + STALE_FOR_S;
        } else {
            oidc_facts_fini(&entry->facts);
            entry->has_facts = false;
        }
    }
    free(facts);
    pthread_cond_broadcast(&oidc->fetched);
}

static bool wait_for_fetch(struct pn_oidc *oidc)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    return pthread_cond_timedwait(&oidc->fetched, &oidc->lock, &until) != ETIMEDOUT;
}

/* With the lock: the issuer's facts, fresh enough; `jwt` (may be NULL) wants a key of them. *entry
 * is good until the lock is given up. */
static enum pn_rc look_up(struct pn_oidc *oidc, const char *url, const struct pn_jwt *jwt,
                          struct issuer **result, struct pn_error *err)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct issuer *entry = find(oidc, url);
        int64_t now_s = oidc->now_s();
        bool is_there, is_fresh;

        if (!entry)
            entry = take_place(oidc, url);
        if (!entry)
            return busy(err);
        entry->used_s = now_s;
        is_there = entry->has_facts && (!jwt || choose_key(&entry->facts, jwt));
        is_fresh = entry->has_facts && now_s < entry->expires_s;
        if (is_there && (is_fresh || entry->is_fetching)) {
            *result = entry;
            return PN_OK;
        }
        if (entry->is_fetching) {
            if (!wait_for_fetch(oidc))
                return busy(err);
            continue;
        }
        if (is_fresh && entry->kid_tried_s != 0 && now_s - entry->kid_tried_s < PN_OIDC_REFETCH_S)
            return pn_error_set(err, PN_DENIED, "token_signature",
                                "the issuer %s has no key for this token", url);
        if (!entry->has_facts && entry->tried_s != 0 && now_s - entry->tried_s < RETRY_S)
            return pn_error_set(err, PN_UNAVAILABLE, "issuer_unavailable",
                                "the keys of the issuer %s cannot be had: %s", url,
                                entry->failure.message);
        if (oidc->fetches >= PN_OIDC_FETCHES_MAX)
            return busy(err);
        if (is_fresh) /* the keys are new: it is this token's kid that is not among them */
            entry->kid_tried_s = now_s;
        refresh(oidc, entry);
    }
    return busy(err);
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
    if (rc == PN_OK) {
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
