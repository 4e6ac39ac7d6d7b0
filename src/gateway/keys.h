/* SPDX-License-Identifier: Apache-2.0
 *
 * Subscription keys. The gateway knows only their SHA-256; a key that a caller shows is hashed and
 * looked up, and the hashes are compared in constant time. Built once, then read by many threads.
 */
#pragma once

#include "base/encode.h"
#include "base/error.h"

/** What a key lets its bearer do. */
struct pn_subscription {
    const char *id;   /* name below /subscriptions */
    const char *name; /* its display name */
    /* "/": all; "/apis": the service's own APIs; "/workspaces/{w}/apis": those of that workspace;
     * "…/apis/{id}": that one; "…/products/{id}": those in it; lower case */
    const char *scope;
    bool is_of_product;
    bool is_active; /* of all states only "active" lets in */
};

/** What a key is to open: an API, by itself or by one of the products that it is in. */
struct pn_key_door {
    struct pn_slice api_key;         /* "/apis/echo" */
    const char *const *product_keys; /* "/products/gold" */
    size_t product_count;
};

struct pn_key_table;

/** `capacity`: how many keys will be added at most. NULL: no memory. */
struct pn_key_table *pn_key_table_create(size_t capacity);
void pn_key_table_destroy(struct pn_key_table *table);
/** `subscription` is borrowed. The same key may belong to several subscriptions. PN_LIMIT: more
 * than `capacity`. */
enum pn_rc pn_key_table_add(struct pn_key_table *table, const uint8_t sha256[PN_SHA256_BYTES],
                            const struct pn_subscription *subscription) PN_MUST_USE;
/** Whether `key` opens the door. PN_DENIED otherwise. `who` may be NULL. */
enum pn_rc pn_key_table_check(const struct pn_key_table *table, struct pn_slice key,
                              const struct pn_key_door *door,
                              const struct pn_subscription **who) PN_MUST_USE;
/** Whether the subscription's scope covers the door's API. */
bool pn_subscription_covers(const struct pn_subscription *subscription,
                            const struct pn_key_door *door);
