/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "base/log.h"
#include "rotation/rotation.h"

#define CERTIFICATE_TYPE "Microsoft.ApiManagement/service/certificates"
#define HOSTNAME_TYPE    "postern/hostname"
#define NAMED_VALUE_TYPE "Microsoft.ApiManagement/service/namedValues"
#define NOTICES_MAX      1024
#define FIRST_POLL_DELAY_MS                                                                        \
    5000 /* at most: at the start of the process, listeners come up first                          \
          */
#define STATUS_MESSAGE_MAX 512

struct pn_store_txn;

/* One vault object that certificates follow, as one identity, for one use. */
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
 * `force`: also write when nothing changed but the time (refreshSecret). PN_AGAIN: the key has
 * gone, or the certificate was changed meanwhile: fetch again. PN_NOT_FOUND: the certificate is
 * gone or names another secret now. */
enum pn_rc rotation_apply(struct pn_rotation *rotation, const char *certificate_id,
                          const char *secret_identifier, const struct pn_fetched *fetched,
                          const struct pn_error *failure, bool force,
                          struct pn_error *err) PN_MUST_USE;

/* rotation_follow.c */
/* One turn: looks at the store, polls what is due. Returns when to come back (monotonic). */
uint64_t rotation_turn(struct pn_rotation *rotation);
void rotation_drop_followed(struct pn_rotation *rotation);
void *rotation_thread(void *ctx);

/* ---- rotation_edit.c */

/* One change of the stored certificate, in a transaction of its own. */
struct rotation_edit {
    bool is_soon;      /* nobody is told of it before another one is made: pn_store_begin_soon() */
    uint64_t revision; /* that the certificate must have (PN_CONFLICT); 0: any */
    struct pn_rotation_note *note; /* or NULL */
    enum pn_rc (*apply)(struct pn_rotation *rotation, json_t *body, void *ctx,
                        struct pn_error *err);
    void *ctx;
};

enum pn_rc rotation_edit(struct pn_rotation *rotation, const char *certificate_id,
                         const struct rotation_edit *edit, uint64_t *revision,
                         struct pn_error *err) PN_MUST_USE;
/* Whether a staged or draining generation has this key. */
enum pn_rc rotation_key_waits(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                              struct pn_error *err) PN_MUST_USE;

/* What certificates with generations that drain refer to: rotation_watch() finds them by it. */
#define ROTATION_DRAINING "/postern/draining"

/* ---- rotation_tell.c */

/* What a generation, its log lines and its audit entries tell of who uses the certificate: {count,
 * names}, of the first PN_ROTATION_USERS_MAX, below the service. NULL: nobody knows. */
json_t *rotation_used_by(struct pn_rotation *rotation, const char *certificate_id);
void rotation_log_generation(enum pn_log_level level, const char *event, const char *certificate_id,
                             uint64_t number, const char *why, const char *text,
                             const json_t *summary);

/* ---- rotation_verdict.c */

/* What the backends say of it. PN_OK when there is nobody to ask. */
enum pn_rc rotation_ask(struct pn_rotation *rotation, const char *certificate_id,
                        const json_t *internal, json_t **verdicts,
                        struct pn_error *err) PN_MUST_USE;

#define ROTATION_FORCED                                                                            \
    "forced" /* the cause of what a person wanted against the backends' word                       \
              */

/* All borrowed. */
struct rotation_promotion {
    uint64_t number;
    const char *cause;
    const json_t *shown;   /* `internal` of the generation that the word is of */
    const json_t *refused; /* likewise of the one that must be current still; NULL: whichever is */
    json_t *verdicts;
    json_t *used_by;  /* NULL: nobody knows */
    bool was_current; /* set: it was before, by another call; nothing was changed */
};
/* PN_CONFLICT, certificate_changed. */
enum pn_rc rotation_has_changed(struct pn_error *err);
/* Of an edit, with a struct rotation_promotion: it is the current one now. PN_CONFLICT: it is not
 * what was shown any more, or another one was promoted. */
enum pn_rc rotation_promote(struct pn_rotation *rotation, json_t *body, void *ctx,
                            struct pn_error *err) PN_MUST_USE;
/* Notes at the generation that was shown, and as lastStatus, why it does not serve; nothing where
 * it does meanwhile, or has gone. */
void rotation_note_refusal(struct pn_rotation *rotation, const char *certificate_id,
                           const struct rotation_promotion *promotion, const char *message);
enum pn_rc rotation_publish(struct pn_rotation *rotation, uint64_t revision,
                            struct pn_error *err) PN_MUST_USE;

/* ---- rotation_watch.c */

/* Canary, drain and retirement of all certificates; returns after how many ms to come again. */
uint64_t rotation_watch(struct pn_rotation *rotation);
