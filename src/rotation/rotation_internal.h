/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "rotation/rotation.h"

#define CERTIFICATE_TYPE "Microsoft.ApiManagement/service/certificates"
#define HOSTNAME_TYPE    "postern/hostname"
#define NAMED_VALUE_TYPE "Microsoft.ApiManagement/service/namedValues"
#define NOTICES_MAX      1024
#define FIRST_POLL_DELAY_MS                                                                        \
    5000 /* at most: at the start of the process, listeners come up first                          \
          */
#define STATUS_MESSAGE_MAX 512

/* One vault object that certificates follow, as one identity, for one use. */
struct pn_store_txn;

struct followed {
    char *key; /* use, service, client id, origin, name */
    enum pn_key_use use;
    bool is_value; /* of named values: `certificates` are their ids, `use` means nothing */
    struct pn_keyvault_id id;
    char *service_id;
    char *client_id;     /* "" : system-assigned */
    char **certificates; /* ids */
    size_t certificate_count;
    bool is_settled; /* all of them have `version`, with status Success */
    char version[PN_KEYVAULT_VERSION_TEXT];
    uint64_t due_ms;
    unsigned failures; /* in a row */
};

struct notice {
    char vault[PN_KEYVAULT_NAME_TEXT]; /* of ours; "": `origin` says which */
    char origin[PN_KEYVAULT_HOST_TEXT + 32];
    char name[PN_KEYVAULT_NAME_TEXT]; /* "": everything in that vault */
};

struct pn_rotation {
    struct pn_rotation_config config;
    unsigned interval_s;
    int64_t (*now_ms)(void);
    uint64_t (*mono_ms)(void);
    pthread_t thread;
    bool has_thread;
    /* of the follower's thread alone */
    struct followed *followed;
    size_t followed_count;
    uint64_t watch_due_ms; /* monotonic; 0: at once */
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    bool needs_scan;
    bool needs_watch;       /* there is a new generation */
    struct notice *notices; /* NOTICES_MAX */
    size_t notice_count;
    bool notices_overflowed;
};

/* rotation_apply.c: one outcome for one certificate. `fetched` NULL: it failed with `failure`.
 * `force`: also write when nothing changed but the time (refreshSecret). PN_AGAIN: the key has gone
 * meanwhile, fetch again. PN_NOT_FOUND: the certificate is gone or names another secret now. */
enum pn_rc rotation_apply(struct pn_rotation *rotation, const char *certificate_id,
                          const char *secret_identifier, const struct pn_fetched *fetched,
                          const struct pn_error *failure, bool force,
                          struct pn_error *err) PN_MUST_USE;

/* rotation_follow.c */
/* One turn: looks at the store, polls what is due. Returns when to come back (monotonic). */
uint64_t rotation_turn(struct pn_rotation *rotation);
void rotation_drop_followed(struct pn_rotation *rotation);
void *rotation_thread(void *ctx);

/* rotation_offer.c */
/* Whether a staged or draining generation has this key. */
enum pn_rc rotation_key_waits(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                              struct pn_error *err) PN_MUST_USE;
/* Canary, drain and retirement of all certificates; returns after how many ms to come again. */
uint64_t rotation_watch(struct pn_rotation *rotation);
