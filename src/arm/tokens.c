/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of managed identities for the policies of the gateway. One for each identity and resource
 * that a policy names, a resource of its own ({service}/posternTokens/{hash of both}): it is got
 * when the policy is put, goes to the gateway by the feed, is renewed before it expires and goes
 * with the last policy that names it. At rest it is sealed (ADR 235).
 */
#include <inttypes.h>
#include <string.h>

#include "arm/arm_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define RETRY_S 10
#define AHEAD_MAX_S                                                                                \
    600 /* so long before it expires a token is renewed, but not before half time                  \
         */

const char *arm_token_id(struct pn_arena *arena, const char *service_id, struct pn_slice name)
{
    return pn_arena_printf(arena, "%s/posternTokens/%.*s", service_id, PN_FMT(name));
}

/** When to renew what is got at `now_s`. */
static int64_t renewal_time(int64_t now_s, int64_t expires_s)
{
    int64_t life_s = expires_s - now_s;

    return life_s > 2 * AHEAD_MAX_S ? expires_s - AHEAD_MAX_S : now_s + life_s / 2;
}

static json_t *token_body(const char *id, const struct pn_arm_token_wish *wish)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:{}}", "name", strrchr(id, '/') + 1, "properties",
                     "clientId", wish->client_id, "resource", wish->resource, "internal");
}

static bool set_token(const struct pn_arm_services *services, const char *id, json_t *body,
                      struct pn_slice token, int64_t expires_s, struct pn_error *err)
{
    json_t *plain = json_pack("{s:s%}", "token", token.ptr, token.len);
    json_t *sealed = NULL;
    json_t *internal = json_object_get(body, "internal");
    bool is_made = plain && arm_seal(services, id, plain, &sealed, err) == PN_OK;

    json_decref(plain);
    return is_made && json_object_set_new(internal, "sealed", sealed) == 0 &&
           json_object_set_new(internal, "renewAt",
                               json_integer(renewal_time(pn_clock_unix_s(), expires_s))) == 0 &&
           json_object_set_new(json_object_get(body, "properties"), "expiresAt",
                               json_integer(expires_s)) == 0;
}

static bool set_problem(json_t *body, const struct pn_error *why)
{
    return json_object_set_new(json_object_get(body, "properties"), "problem",
                               json_string(why->message)) == 0 &&
           json_object_set_new(json_object_get(body, "internal"), "renewAt",
                               json_integer(pn_clock_unix_s() + RETRY_S)) == 0;
}

static enum pn_rc get(const struct pn_arm_services *services, const struct pn_arm_token_wish *wish,
                      struct pn_secret *token, int64_t *expires_s, struct pn_error *why)
{
    enum pn_rc rc;

    *expires_s = 0;
    if (!services->identity_token)
        return pn_error_set(why, PN_UNAVAILABLE, "no_token_provider",
                            "there is no identity source");
    rc = services->identity_token(services->identity_ctx, wish, token, expires_s, why);
    if (rc == PN_OK && *expires_s <= pn_clock_unix_s())
        rc = pn_error_set(why, PN_UNAVAILABLE, "token_expired",
                          "the identity source gave a token that has expired or does not say when "
                          "it does");
    return rc;
}

enum pn_rc arm_token_make(const struct pn_arm_services *services, const char *id,
                          const struct pn_arm_token_wish *wish, json_t **body, struct pn_error *err)
{
    struct pn_secret token = {0};
    struct pn_error why = {0};
    int64_t expires_s = 0;
    json_t *made = token_body(id, wish);
    bool is_made = false;

    if (made && get(services, wish, &token, &expires_s, &why) == PN_OK) {
        is_made = set_token(services, id, made, pn_secret_slice(&token), expires_s, err);
    } else if (made) {
        pn_log(PN_LOG_WARN, "identity_token_missing", "client_id", PN_S(wish->client_id),
               "resource", PN_S(wish->resource), "cause", PN_S(why.message), NULL);
        is_made = set_problem(made, &why);
    }
    pn_secret_fini(&token);
    if (is_made) {
        *body = made;
        return PN_OK;
    }
    json_decref(made);
    return err && err->rc != PN_OK ? err->rc
                                   : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

enum pn_rc arm_token_open(struct pn_arm *arm, const struct pn_store_item *item, json_t **internal,
                          struct pn_error *err)
{
    const char *sealed = pn_json_str(json_object_get(item->body, "internal"), "sealed");

    if (sealed)
        return arm_unseal(&arm->config.services, item->id, sealed, internal, err);
    *internal = json_object();
    return *internal ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

bool arm_token_is_good(const struct pn_store_item *item)
{
    const json_t *internal = json_object_get(item->body, "internal");

    return json_object_get(internal, "sealed") &&
           pn_json_int(internal, "renewAt", 0) > pn_clock_unix_s();
}

enum pn_rc arm_tokens_drop(struct arm_call *call, struct pn_store_txn *txn, struct pn_error *err)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/posternTokens/", call->service_id);

    return arm_delete_unused(txn, prefix, pn_type_facts(PN_TYPE_TOKEN)->type, NULL, call, err);
}

/* ---- renewing ---- */

struct renewal {
    struct pn_arm *arm;
    const char *service_id;
    bool all;
    int64_t next_s;
    uint64_t revision; /* of the last change; 0: none */
};

/** What is stored instead of `item`: a new token; without one the old one for as long as it is
 *  good, unless the identity may have been taken away. */
static enum pn_rc renewed(const struct renewal *renewal, const struct pn_store_item *item,
                          json_t **body, struct pn_error *err)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const struct pn_arm_token_wish wish = {.service_id = renewal->service_id,
                                           .client_id = pn_json_str(properties, "clientId"),
                                           .resource = pn_json_str(properties, "resource"),
                                           .is_fresh = true};
    enum pn_rc rc = arm_token_make(&renewal->arm->config.services, item->id, &wish, body, err);
    json_t *internal;

    if (rc != PN_OK || json_object_get(json_object_get(*body, "internal"), "sealed") ||
        renewal->all || pn_json_int(properties, "expiresAt", 0) <= pn_clock_unix_s())
        return rc;
    json_decref(*body);
    *body = json_deep_copy(item->body);
    internal = json_object_get(*body, "internal");
    if (*body &&
        json_object_set_new(internal, "renewAt", json_integer(pn_clock_unix_s() + RETRY_S)) == 0)
        return PN_OK;
    json_decref(*body);
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

/** In a transaction of its own: it may have gone or been renewed meanwhile. */
static enum pn_rc replace(struct renewal *renewal, const struct pn_store_item *item, json_t *body,
                          struct pn_error *err)
{
    struct pn_store *store = renewal->arm->config.store;
    struct pn_store_txn *txn = NULL;
    struct pn_store_item now = {0};
    enum pn_rc rc = pn_store_begin(store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, item->id, &now, err);
    if (rc != PN_OK || !json_equal(now.body, item->body)) {
        pn_store_rollback(txn);
        pn_store_item_fini(&now);
        return rc == PN_NOT_FOUND ? PN_OK : rc;
    }
    pn_store_item_fini(&now);
    rc = pn_store_put(txn, item->id, item->type, body, pn_store_keep_references, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    return pn_store_commit(txn, &renewal->revision, err);
}

static enum pn_rc renew_one(struct renewal *renewal, const struct pn_store_item *item,
                            struct pn_error *err)
{
    int64_t due_s = pn_json_int(json_object_get(item->body, "internal"), "renewAt", 0);
    json_t *body = NULL;
    enum pn_rc rc = PN_OK;

    if (renewal->all || due_s <= pn_clock_unix_s()) {
        rc = renewed(renewal, item, &body, err);
        if (rc == PN_OK)
            rc = replace(renewal, item, body, err);
        if (rc == PN_OK)
            due_s = pn_json_int(json_object_get(body, "internal"), "renewAt", 0);
        json_decref(body);
    }
    if (rc == PN_OK && due_s < renewal->next_s)
        renewal->next_s = due_s;
    return rc;
}

enum pn_rc pn_arm_renew_tokens(struct pn_arm *arm, bool all, int64_t *next_s, struct pn_error *err)
{
    const struct pn_publisher *publisher = &arm->config.publisher;
    struct renewal renewal = {.arm = arm, .all = all, .next_s = INT64_MAX};
    struct pn_store_list services = {0}, tokens = {0};
    char prefix[PN_ID_BYTES_MAX + 32];
    enum pn_rc rc;

    snprintf(prefix, sizeof(prefix), "/subscriptions/%s/", arm->config.subscription_id);
    rc = pn_store_list(arm->config.store, prefix, pn_type_facts(PN_TYPE_SERVICE)->type, &services,
                       err);
    for (size_t i = 0; rc == PN_OK && i < services.count; i++) {
        renewal.service_id = services.items[i].id;
        snprintf(prefix, sizeof(prefix), "%s/posternTokens/", renewal.service_id);
        rc = pn_store_list(arm->config.store, prefix, pn_type_facts(PN_TYPE_TOKEN)->type, &tokens,
                           err);
        for (size_t j = 0; rc == PN_OK && j < tokens.count; j++)
            rc = renew_one(&renewal, &tokens.items[j], err);
        pn_store_list_fini(&tokens);
    }
    pn_store_list_fini(&services);
    if (rc == PN_OK && renewal.revision > 0)
        rc = publisher->publish(publisher->ctx, renewal.revision, err);
    *next_s = renewal.next_s;
    return rc;
}
