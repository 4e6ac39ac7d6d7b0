/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by preflight.c, which asks, and preflight_targets.c, which finds whom.
 */
#pragma once

#include "arm/probe_internal.h"

#define PREFLIGHT_TARGETS_MAX 64 /* distinct ones; more are not asked, and that is said */
#define PREFLIGHT_HOST_TEXT   280

/* One endpoint and how it is checked. */
struct preflight_target {
    char host[PREFLIGHT_HOST_TEXT];
    unsigned port;
    json_t *question; /* where and how (arm_probe_target) */
    json_t *others;   /* of several certificates: all, null in the place of this one; or NULL */
    const char *user; /* id of the backend or API; in the arena */
    json_t *answer;   /* of the gateway; NULL: none */
    bool is_doubtful; /* it hung up on the certificate without a reason, or answered an error */
    bool is_refused;
    bool speaks_h1_too; /* what was negotiated was HTTP/2: it is asked once more */
    int former_status;  /* what the generation that works was answered; 0: nothing */
};

struct preflight {
    struct pn_arm *arm;
    struct pn_arena *arena;
    const char *scope_id;
    const char *certificate_id;
    struct pn_store_txn *txn;
    struct preflight_target targets[PREFLIGHT_TARGETS_MAX];
    size_t count;
    bool is_cut;
    json_t *certificate; /* as ipc/probe.h wants it */
    json_t *reference;   /* the generation that is known to work; NULL: there is none */
};

void arm_preflight_target_fini(struct preflight_target *target);
/** Adds the targets of everybody who uses `reference`, directly or through others. Within
 *  flight->txn. PN_NOMEM; what the store says. */
enum pn_rc arm_preflight_add_users(struct preflight *flight, const char *reference,
                                   struct pn_error *err) PN_MUST_USE;
