/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates from key vaults: fetched, checked, followed. An unversioned identifier is followed:
 * one poll per vault object (and identity) for all certificates that name it, with jitter, at once
 * when the embedded vault tells of a change; a versioned one is pinned.
 *
 * Invariants: a new generation replaces the good one only after the keyholder has it and the checks
 * passed; a failure changes nothing but keyVault.lastStatus; nothing is written when nothing
 * changed.
 *
 * lastStatus.code: Success, or one of VaultDnsError, VaultConnectError, VaultTlsError,
 * VaultTimeout, NetworkRuleDenied, VaultTokenError, VaultChallengeError, VaultUnauthorized,
 * VaultForbidden, VaultNotFound, VaultThrottled, VaultUnavailable, VaultContentError,
 * IdentityNotEnabled, CertificateRefused, KeyholderUnavailable, InternalError. These names are
 * stable.
 *
 * Thread: all functions from any thread; the follower is a thread of its own.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "ipc/keyholder.h"
#include "keyvault/keyvault.h"
#include "store/publish.h"

struct pn_rotation;
struct pn_store;

#define PN_ROTATION_INTERVAL_S    60 /* between two polls of an object; ±10 % */
#define PN_ROTATION_BACKOFF_MAX_S 3600
#define PN_ROTATION_OBJECTS_MAX   4096 /* vault objects that are followed */

/** Shows a generation (`internal`: keyId, chain, generation) to the backends that use the
 * certificate, by handshakes without a request. *verdicts: [{backend, address, outcome, cause,
 * message}], a new reference, also with PN_DENIED. PN_OK: nobody refuses it. PN_DENIED: err says
 * who does, and how. PN_UNAVAILABLE, PN_TIMEOUT: nobody could be asked. May block for seconds. */
typedef enum pn_rc (*pn_preflight_fn)(void *ctx, const char *certificate_id, const json_t *internal,
                                      json_t **verdicts, struct pn_error *err);

/** Who uses the certificate: *users [{id, …}], a new reference. */
typedef enum pn_rc (*pn_usage_fn)(void *ctx, const char *certificate_id, json_t **users,
                                  struct pn_error *err);

/** What a vault has for a named value. */
struct pn_rotation_value {
    struct pn_slice text; /* secret */
    const char *version;
    uint64_t since; /* the store's revision before the vault was asked */
};
/** Takes over what the vault has now (`failure` NULL), or notes why it cannot be had; nothing when
 * nothing has changed, unless `force`. `secret_identifier`: what was followed; PN_NOT_FOUND: the
 * named value is gone or (value_changed) follows another secret. PN_AGAIN: it was changed after
 * value->since; the vault may have something else by now: ask once more. Publishes. */
typedef enum pn_rc (*pn_value_fn)(void *ctx, const char *id, const char *secret_identifier,
                                  const struct pn_rotation_value *value,
                                  const struct pn_error *failure, bool force, struct pn_error *err);

#define PN_ROTATION_USERS_MAX       10    /* named with each generation; all are counted */
#define PN_ROTATION_CANARY_MS       60000 /* how long a new generation is watched */
#define PN_ROTATION_CANARY_EVERY_MS 5000
#define PN_ROTATION_DRAIN_MS        120000 /* then the former generation's key is forgotten */

/** All pointers are borrowed until _destroy. */
struct pn_rotation_config {
    struct pn_store *store;
    struct pn_keyholder *keyholder;
    struct pn_keyvault *keyvault;
    struct pn_publisher publisher;
    pn_preflight_fn preflight; /* NULL: nobody is asked */
    void *preflight_ctx;
    pn_usage_fn usage; /* NULL: who uses it is not told */
    void *usage_ctx;
    pn_value_fn apply_value; /* NULL: named values are not followed */
    void *apply_value_ctx;
    unsigned interval_s;       /* 0: PN_ROTATION_INTERVAL_S */
    int64_t (*now_ms)(void);   /* Unix; NULL: the system's clock */
    uint64_t (*mono_ms)(void); /* monotonic; NULL: the system's clock */
};

enum pn_rc pn_rotation_create(const struct pn_rotation_config *config,
                              struct pn_rotation **rotation, struct pn_error *err) PN_MUST_USE;
/** Starts the follower's thread. PN_IO. */
enum pn_rc pn_rotation_start(struct pn_rotation *rotation, struct pn_error *err) PN_MUST_USE;
/** Stops the thread (waits for a fetch in work, at most PN_KEYVAULT_TIMEOUT_MS). NULL is fine. */
void pn_rotation_destroy(struct pn_rotation *rotation);

/** What a fetch gave. */
struct pn_fetched {
    enum pn_key_use use;
    struct pn_imported imported; /* its key is kept by the keyholder, for `use` */
    struct pn_keyvault_id id;
    char version[PN_KEYVAULT_VERSION_TEXT]; /* that was fetched */
    uint64_t since; /* the store's revision when the vault was asked: what is newer knows better */
};
void pn_fetched_fini(struct pn_fetched *fetched);
/** For PUT of a certificate with keyVault (use client) or of a host name with keyVaultId (use
 * server): fetches, imports and checks; writes nothing. The result
 * goes into pn_generation_make(). `service_id`: ARM id of the service whose identity asks;
 * `identity_client_id` NULL or "": its system-assigned one. err->code: as in keyvault.h,
 * identity_not_enabled, or the keyholder's import codes; err->target "keyVault.secretIdentifier"
 * when the identifier is wrong. */
enum pn_rc pn_rotation_fetch_certificate(struct pn_rotation *rotation, enum pn_key_use use,
                                         const char *service_id, const char *secret_identifier,
                                         const char *identity_client_id, struct pn_fetched *fetched,
                                         struct pn_error *err) PN_MUST_USE;
/** refreshSecret: fetches `certificate_id` now, also a pinned one; promotes what is new, publishes,
 * and stores lastStatus in either case. PN_OK when that was done, also when the vault refused:
 * lastStatus then tells. PN_NOT_FOUND: no such certificate; PN_INVALID: it is not from a vault
 * (code not_key_vault); what store and publisher say. */
enum pn_rc pn_rotation_refresh(struct pn_rotation *rotation, const char *certificate_id,
                               struct pn_error *err) PN_MUST_USE;
/** An entry for the audit log (store/audit.h) that tells of a change, in the transaction that makes
 * it. */
struct pn_rotation_note {
    const json_t *entry; /* borrowed */
    bool is_noted;       /* set by whoever gets it */
};

/** A new generation of a certificate, made by pn_generation_make() and imported. All borrowed. */
struct pn_rotation_offer {
    const json_t *known; /* the certificate's document as the caller has read it */
    const json_t *properties, *internal;
    const char *cause; /* "upload", "vault" */
    bool force;        /* whatever the backends say */
    bool keeps_source; /* PN_NOT_FOUND if the certificate names another secret by now, or none */
    uint64_t revision; /* that the certificate must have when it is staged (If-Match); 0: any */
    struct pn_rotation_note *note; /* noted when it becomes the current one; may be NULL */
};
/** It is staged, meanwhile shown to the backends unless it serves already in `known`, and the
 * current one when nobody refuses it, or with `force`. Another call that has made it the current
 * one meanwhile has done this one's work. The certificate must exist (PN_NOT_FOUND). PN_DENIED: it
 * stays staged; err says who refused it. PN_CONFLICT (certificate_changed): another generation, or
 * another certificate of this name, has taken its place meanwhile, or the revision is another; it
 * was not promoted. PN_AGAIN: its key is forgotten. PN_UNAVAILABLE. Publishes. *number: which
 * generation. */
enum pn_rc pn_rotation_offer(struct pn_rotation *rotation, const char *certificate_id,
                             const struct pn_rotation_offer *offer, uint64_t *number,
                             struct pn_error *err) PN_MUST_USE;
/** Makes a staged or draining generation the current one. PN_DENIED without `force` when a backend
 * refuses it. PN_NOT_FOUND, PN_INVALID; PN_CONFLICT: it was changed while they were asked. */
enum pn_rc pn_rotation_promote(struct pn_rotation *rotation, const char *certificate_id,
                               uint64_t number, bool force, struct pn_error *err) PN_MUST_USE;
/** Before _start: who is asked. */
void pn_rotation_set_preflight(struct pn_rotation *rotation, pn_preflight_fn preflight, void *ctx);
/** Before _start: who tells what uses a certificate. */
void pn_rotation_set_usage(struct pn_rotation *rotation, pn_usage_fn usage, void *ctx);
/** Before _start: who takes over the values of named values. */
void pn_rotation_set_values(struct pn_rotation *rotation, pn_value_fn apply, void *ctx);
/** A secret's value as it is, for a named value: `value` is a secret buffer whose limit is the
 * longest one. `version` has PN_KEYVAULT_VERSION_TEXT bytes. Errors as those of
 * pn_rotation_fetch_certificate(), and PN_INVALID (vault_content): too long, empty or no text. */
enum pn_rc pn_rotation_fetch_value(struct pn_rotation *rotation, const char *service_id,
                                   const char *secret_identifier, const char *identity_client_id,
                                   struct pn_buf *value, char *version,
                                   struct pn_error *err) PN_MUST_USE;
/** The embedded vault changed `name` (NULL: its access policies): its followers are polled now.
 * Does not block. */
void pn_rotation_notify(struct pn_rotation *rotation, const char *vault, const char *name);
/** Somebody else (Event Grid) told that the object has a new version; `id` names it, its version
 * does not matter. Exactly its followers are polled now. Does not block. */
void pn_rotation_notify_object(struct pn_rotation *rotation, const struct pn_keyvault_id *id);
/** A certificate was made, changed or deleted: the follower looks at the store anew. Does not
 * block. */
void pn_rotation_rescan(struct pn_rotation *rotation);
/** The stable lastStatus code for a failure. Static text. */
const char *pn_rotation_status_code(const struct pn_error *err);
/** Forgets `key` in the keyholder unless something in the store still uses it (a certificate, a
 *  policy's embedded one, a host name, the listener): call after a delete or a replacing PUT is
 *  committed. Failures are only logged. */
void pn_rotation_forget_unused(struct pn_rotation *rotation, enum pn_key_use use,
                               const struct pn_key_id *key);
/** The same for many, in one transaction. */
void pn_rotation_forget_all_unused(struct pn_rotation *rotation, enum pn_key_use use,
                                   const struct pn_key_id *keys, size_t count);
