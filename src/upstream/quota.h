/* SPDX-License-Identifier: Apache-2.0
 *
 * Places and queues that the pools of all threads count together: the limits of connections of one
 * identity, of connections to one host, and of requests that wait, hold for the whole gateway.
 *
 * A place is taken and given back by an atomic count, which is touched when connections are opened
 * and closed, never by a request on an open one. Who finds no place wants one: that is announced,
 * all pools are woken, and again when a place becomes free; a pool that has idle connections closes
 * them then. Who wants a place and has none at all in this thread is poor: pools that have one
 * leave the next place to him, and give up one of theirs after its request. See ADR 157.
 *
 * Thread: any, but for what belongs to one pool (its member).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/slice.h"

#define PN_QUOTA_REFUSING_MAX 1024

struct pn_quotas;
struct pn_quota;

/** One pool. */
struct pn_quota_member {
    struct pn_list entry;
    /** A place may be free, or wanted. From any thread, with a lock held: it only posts. */
    void (*wake)(struct pn_quota_member *member);
};

/** NULL: no memory. It outlives its pools. */
struct pn_quotas *pn_quotas_create(void);
void pn_quotas_destroy(struct pn_quotas *quotas);
void pn_quotas_join(struct pn_quotas *quotas, struct pn_quota_member *member);
/** It is not woken any more when this returns. */
void pn_quotas_leave(struct pn_quotas *quotas, struct pn_quota_member *member);

/** The count of that key (bytes), which is held until pn_quota_put(). NULL: no memory. */
struct pn_quota *pn_quota_get(struct pn_quotas *quotas, struct pn_slice key);
void pn_quota_put(struct pn_quota *quota);

/** One of `max` places; false: all are taken. */
bool pn_quota_take(struct pn_quota *quota, size_t max);
/** One more, whatever the limit: for what exists already. */
void pn_quota_add(struct pn_quota *quota);
/** Gives a place back; whoever wants one is woken, but not `self`. */
void pn_quota_free(struct pn_quota *quota, const struct pn_quota_member *self);
size_t pn_quota_open(const struct pn_quota *quota);

/** Of a host: its HTTP/2 ends the connection over a request's trailers, whichever thread has seen
 *  that. It is remembered of PN_QUOTA_REFUSING_MAX hosts, as long as the gateway runs. */
void pn_quota_refuse_trailers(struct pn_quota *quota);
bool pn_quota_refuses_trailers(const struct pn_quota *quota);

/** One of `max` requests that wait; false: so many wait. */
bool pn_quota_enqueue(struct pn_quota *quota, size_t max);
void pn_quota_dequeue(struct pn_quota *quota);
size_t pn_quota_queued(const struct pn_quota *quota);

/** A place is wanted, until pn_quota_unwant() with the same `is_poor`: the others are woken. Look
 * once more after it, for one may have become free just before. When no poor one is left, they are
 * woken once more: there may be a place that was left to him. */
void pn_quota_want(struct pn_quota *quota, bool is_poor, const struct pn_quota_member *self);
void pn_quota_unwant(struct pn_quota *quota, bool is_poor, const struct pn_quota_member *self);
bool pn_quota_is_wanted(const struct pn_quota *quota);
bool pn_quota_is_wanted_by_poor(const struct pn_quota *quota);
