/* SPDX-License-Identifier: Apache-2.0
 *
 * A generation's way to be the current one, and the watch after it: canary, drain, retirement.
 *
 * The backends are asked outside every transaction; what they said counts only if the certificate
 * is still the same when it is written.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/log.h"
#include "rotation/generation.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/audit.h"
#include "store/store.h"

void pn_rotation_set_preflight(struct pn_rotation *rotation, pn_preflight_fn preflight, void *ctx)
{
    rotation->config.preflight = preflight;
    rotation->config.preflight_ctx = ctx;
}

void pn_rotation_set_values(struct pn_rotation *rotation, pn_value_fn apply, void *ctx)
{
    rotation->config.apply_value = apply;
    rotation->config.apply_value_ctx = ctx;
}

void pn_rotation_set_usage(struct pn_rotation *rotation, pn_usage_fn usage, void *ctx)
{
    rotation->config.usage = usage;
    rotation->config.usage_ctx = ctx;
}

/* What a generation, its log lines and its audit entries tell of who uses the certificate: {count,
 * names}, of the first PN_ROTATION_USERS_MAX, below the service. NULL: nobody knows. */
static json_t *used_by(struct pn_rotation *rotation, const char *certificate_id)
{
    static const char service[] = "/service/";
    struct pn_error err = {0};
    json_t *users = NULL, *names = NULL;
    json_t *summary = NULL;

    if (!rotation->config.usage)
        return NULL;
    if (rotation->config.usage(rotation->config.usage_ctx, certificate_id, &users, &err) != PN_OK) {
        pn_log_error(PN_LOG_WARN, "rotation_without_usage", &err);
        return NULL;
    }
    names = json_array();
    for (size_t i = 0; i < json_array_size(users) && i < PN_ROTATION_USERS_MAX; i++) {
        const char *id = pn_json_str(json_array_get(users, i), "id");
        const char *at = id ? strcasestr(id, service) : NULL;
        const char *below = at ? strchr(at + strlen(service), '/') : NULL;

        (void)json_array_append_new(names, json_string(below ? below : id));
    }
    summary = json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(users), "names", names);
    json_decref(users);
    return summary;
}

/* The names as one text, for a log line. */
static void join_names(const json_t *summary, struct pn_buf *text)
{
    const json_t *name;
    size_t i;

    json_array_foreach(json_object_get(summary, "names"), i, name)
    {
        if (pn_buf_printf(text, "%s%s", i > 0 ? " " : "", json_string_value(name)) != PN_OK)
            break;
    }
}

static void log_generation(enum pn_log_level level, const char *event, const char *certificate_id,
                           uint64_t number, const char *why, const char *text,
                           const json_t *summary)
{
    struct pn_buf names;

    pn_buf_init(&names, PN_ROTATION_USERS_MAX * 512);
    join_names(summary, &names);
    if (pn_buf_append(&names, "", 1) == PN_OK)
        pn_log(level, event, "certificate", PN_S(certificate_id), "generation", PN_I(number), why,
               PN_S(text), "users", PN_I(pn_json_int(summary, "count", 0)), "used_by",
               PN_S(names.ptr), NULL);
    pn_buf_fini(&names);
}

/* What the backends say of it. PN_OK when there is nobody to ask. */
static enum pn_rc ask(struct pn_rotation *rotation, const char *certificate_id,
                      const json_t *internal, json_t **verdicts, struct pn_error *err)
{
    *verdicts = NULL;
    if (!rotation->config.preflight)
        return PN_OK;
    return rotation->config.preflight(rotation->config.preflight_ctx, certificate_id, internal,
                                      verdicts, err);
}

/* One change of the stored certificate, in a transaction of its own. */
struct edit {
    bool is_soon; /* nobody is told of it before another one is made: pn_store_begin_soon() */
    struct pn_rotation_note *note; /* or NULL */
    enum pn_rc (*apply)(struct pn_rotation *rotation, json_t *body, void *ctx,
                        struct pn_error *err);
    void *ctx;
};

/* What a certificate's document says of its generations, as references of the store, which has an
 * index of them: the keys of those that wait or drain, and whether there is one to watch. */
#define KEY_REFERENCE   "/postern/keys/%s"
#define WATCH_REFERENCE "/postern/draining"
#define REFERENCE_TEXT  96
#define CAUSE_FORCED    "forced"

struct references {
    char texts[PN_GENERATIONS_KEPT_MAX + 2][REFERENCE_TEXT];
    const char *list[PN_GENERATIONS_KEPT_MAX + 3];
    size_t count;
};

static void add_reference(struct references *references, const char *text)
{
    if (references->count >= PN_GENERATIONS_KEPT_MAX + 2)
        return;
    (void)snprintf(references->texts[references->count], REFERENCE_TEXT, "%s", text);
    references->list[references->count] = references->texts[references->count];
    references->count++;
}

static void make_references(const json_t *body, struct references *references)
{
    const json_t *list = json_object_get(json_object_get(body, "internal"), "generations");
    const json_t *entry;
    size_t i;

    memset(references, 0, sizeof(*references));
    if (pn_generations_find(body, "draining"))
        add_reference(references, WATCH_REFERENCE);
    json_array_foreach(list, i, entry)
    {
        const char *key = pn_json_str(json_object_get(entry, "internal"), "keyId");
        char text[REFERENCE_TEXT];

        if (!key || pn_slice_eq_str(pn_json_slice(entry, "state"), "retired"))
            continue;
        (void)snprintf(text, sizeof(text), KEY_REFERENCE, key);
        add_reference(references, text);
    }
}

enum pn_rc rotation_key_waits(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                              struct pn_error *err)
{
    struct pn_store_list users = {0};
    char text[REFERENCE_TEXT];
    enum pn_rc rc;

    (void)snprintf(text, sizeof(text), KEY_REFERENCE, key_id);
    rc = pn_store_users(txn, text, &users, err);
    *is_used = users.count > 0;
    pn_store_list_fini(&users);
    return rc;
}

/* The keys that an edit left without a use are forgotten, unless something else has them. */
static void forget_left(struct pn_rotation *rotation, const json_t *before, const json_t *after)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(before, i, entry)
    {
        const char *key_id = pn_json_str(json_object_get(entry, "internal"), "keyId");
        struct pn_key_id key;

        if (key_id && !pn_slice_eq_str(pn_json_slice(entry, "state"), "retired") &&
            !pn_generations_uses_key(after, key_id) &&
            pn_hex_decode(pn_slice_str(key_id), key.sha256, sizeof(key.sha256)))
            pn_rotation_forget_unused(rotation, PN_USE_CLIENT, &key);
    }
}

static json_t *state_entry(const char *certificate_id, const json_t *entry)
{
    const json_t *properties = json_object_get(entry, "properties");
    const json_t *internal = json_object_get(entry, "internal");

    return json_pack("{s:s, s:s, s:O?, s:O?, s:O?, s:O?, s:O*, s:O*, s:O*}", "kind", "generation",
                     "certificate", certificate_id, "generation", json_object_get(entry, "number"),
                     "state", json_object_get(entry, "state"), "cause",
                     json_object_get(entry, "cause"), "thumbprint",
                     json_object_get(properties, "thumbprint"), "secretVersion",
                     json_object_get(internal, "secretVersion"), "refusal",
                     json_object_get(entry, "refusal"), "usedBy", json_object_get(entry, "usedBy"));
}

/* Evidence: each generation whose state has changed, in the transaction that changes it. `before`:
 * the list as it was, or NULL: then there was one, and it was current. */
static enum pn_rc audit_states(struct pn_store_txn *txn, const char *certificate_id,
                               const json_t *before, const json_t *after, struct pn_error *err)
{
    const json_t *entry, *old;
    size_t i, k;
    enum pn_rc rc = PN_OK;

    json_array_foreach(json_object_get(json_object_get(after, "internal"), "generations"), i, entry)
    {
        struct pn_slice was = {0};
        json_t *note;

        if (!before && i == 0)
            was = PN_LIT("current");
        json_array_foreach(before, k, old)
        {
            if (pn_json_int(old, "number", 0) == pn_json_int(entry, "number", -1))
                was = pn_json_slice(old, "state");
        }
        if (rc != PN_OK || pn_slice_eq(was, pn_json_slice(entry, "state")))
            continue;
        note = state_entry(certificate_id, entry);
        rc = note ? pn_audit_add(txn, note, err)
                  : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        json_decref(note);
    }
    return rc;
}

static enum pn_rc edit_certificate(struct pn_rotation *rotation, const char *certificate_id,
                                   const struct edit *edit, uint64_t *revision,
                                   struct pn_error *err)
{
    struct references references;
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *before = NULL;
    enum pn_rc rc =
        (edit->is_soon ? pn_store_begin_soon : pn_store_begin)(rotation->config.store, &txn, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, certificate_id, &item, err);
    if (rc == PN_OK) {
        before =
            json_deep_copy(json_object_get(json_object_get(item.body, "internal"), "generations"));
        rc = edit->apply(rotation, item.body, edit->ctx, err);
    }
    if (rc == PN_OK) {
        make_references(item.body, &references);
        rc = pn_store_put(txn, item.id, item.type, item.body, references.list, err);
    }
    if (rc == PN_OK)
        rc = audit_states(txn, item.id, before, item.body, err);
    if (rc == PN_OK && edit->note)
        rc = pn_audit_add(txn, edit->note->entry, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, revision, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK && edit->note)
        edit->note->is_noted = true;
    if (rc == PN_OK)
        forget_left(rotation, before, item.body);
    json_decref(before);
    pn_store_item_fini(&item);
    return rc;
}

struct staging {
    const json_t *properties, *internal;
    json_t *used_by; /* owned */
    const char *cause;
    uint64_t number, revision;
    bool is_current; /* it serves already */
};

static enum pn_rc apply_staging(struct pn_rotation *rotation, json_t *body, void *ctx,
                                struct pn_error *err)
{
    struct staging *staging = ctx;
    struct pn_key_id key;
    struct pn_buf spki;
    enum pn_rc rc;

    if (!pn_hex_decode(pn_json_slice(staging->internal, "keyId"), key.sha256, sizeof(key.sha256)))
        return pn_error_set(err, PN_INTERNAL, "no_key_id", "the generation has no key id");
    /* Somebody may have forgotten this key between the import and now. */
    pn_buf_init(&spki, 16384);
    rc = pn_keyholder_public(rotation->config.keyholder, PN_USE_CLIENT, &key, &spki, err);
    pn_buf_fini(&spki);
    if (rc != PN_OK)
        return rc == PN_NOT_FOUND ? PN_AGAIN : rc;
    staging->number = pn_generations_stage(body, staging->properties, staging->internal,
                                           staging->cause, rotation->now_ms());
    staging->is_current = pn_slice_eq_str(
        pn_json_slice(pn_generations_at(body, staging->number), "state"), "current");
    if (staging->number > 0 &&
        (staging->is_current ||
         pn_generations_note_users(body, staging->number, staging->used_by) == PN_OK))
        return PN_OK;
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

struct promotion {
    uint64_t number;
    const char *cause;
    json_t *verdicts; /* borrowed */
    json_t *used_by;  /* borrowed; NULL: nobody knows */
};

static enum pn_rc apply_promotion(struct pn_rotation *rotation, json_t *body, void *ctx,
                                  struct pn_error *err)
{
    const struct promotion *promotion = ctx;
    int64_t now_ms = rotation->now_ms();
    enum pn_rc rc = promotion->verdicts ? pn_generations_note(body, promotion->number,
                                                              promotion->verdicts, NULL, now_ms)
                                        : PN_OK;

    if (rc == PN_OK)
        rc = pn_generations_note_users(body, promotion->number, promotion->used_by);
    if (rc == PN_OK)
        rc = pn_generations_promote(body, promotion->number, promotion->cause, now_ms,
                                    now_ms + PN_ROTATION_DRAIN_MS, err);
    return rc;
}

struct refusal {
    uint64_t number;
    json_t *verdicts;
    json_t *used_by;
    const char *message;
};

static enum pn_rc apply_refusal(struct pn_rotation *rotation, json_t *body, void *ctx,
                                struct pn_error *err)
{
    const struct refusal *refusal = ctx;

    if (pn_generations_note(body, refusal->number, refusal->verdicts, refusal->message,
                            rotation->now_ms()) != PN_OK ||
        pn_generations_note_users(body, refusal->number, refusal->used_by) != PN_OK)
        return pn_error_set(err, PN_CONFLICT, "certificate_changed",
                            "the certificate was changed meanwhile");
    if (json_object_get(json_object_get(body, "properties"), "keyVault"))
        return pn_generation_set_refused(body, refusal->message, rotation->now_ms());
    return PN_OK;
}

/* Notes at a generation, and as lastStatus, why it does not serve. */
static void note_refusal(struct pn_rotation *rotation, const char *certificate_id, uint64_t number,
                         json_t *verdicts, json_t *users, const char *message)
{
    struct refusal refusal = {
        .number = number, .verdicts = verdicts, .used_by = users, .message = message};
    const struct edit edit = {.apply = apply_refusal, .ctx = &refusal};
    struct pn_error err = {0};
    uint64_t revision;

    if (edit_certificate(rotation, certificate_id, &edit, &revision, &err) != PN_OK)
        pn_log_error(PN_LOG_ERROR, "refusal_not_written", &err);
}

static enum pn_rc publish(struct pn_rotation *rotation, uint64_t revision, struct pn_error *err)
{
    const struct pn_publisher *publisher = &rotation->config.publisher;

    return publisher->publish ? publisher->publish(publisher->ctx, revision, err) : PN_OK;
}

/* The follower watches over the new one. */
static void watch_soon(struct pn_rotation *rotation)
{
    pthread_mutex_lock(&rotation->lock);
    rotation->needs_watch = true;
    rotation->needs_scan = true;
    pthread_cond_signal(&rotation->wake);
    pthread_mutex_unlock(&rotation->lock);
}

/* What follows is on the disk before anybody is answered: the promotion, or the refusal. If the
 * machine stops in between, the generation was never there, and its key has no use. */
static enum pn_rc stage(struct pn_rotation *rotation, const char *certificate_id,
                        struct staging *staging, struct pn_error *err)
{
    const struct edit edit = {.apply = apply_staging, .ctx = staging, .is_soon = true};

    staging->used_by = used_by(rotation, certificate_id);
    return edit_certificate(rotation, certificate_id, &edit, &staging->revision, err);
}

/* The store and the disk take as long as the backends: all are asked at once. */
struct keeping {
    struct pn_rotation *rotation;
    const char *certificate_id;
    struct staging *staging; /* to be done first; NULL: it is staged */
    struct pn_key_id key;
    pthread_t thread;
    bool has_thread;
    enum pn_rc staged, settled;
    struct pn_error staging_err, settling_err;
};

static void *keep(void *ctx)
{
    struct keeping *keeping = ctx;

    if (keeping->staging)
        keeping->staged = stage(keeping->rotation, keeping->certificate_id, keeping->staging,
                                &keeping->staging_err);
    if (keeping->staged == PN_OK)
        keeping->settled = pn_keyholder_settle(keeping->rotation->config.keyholder, PN_USE_CLIENT,
                                               &keeping->key, &keeping->settling_err);
    return NULL;
}

static void keeping_begin(struct keeping *keeping, const json_t *internal)
{
    if (!pn_hex_decode(pn_json_slice(internal, "keyId"), keeping->key.sha256,
                       sizeof(keeping->key.sha256))) {
        keeping->settled = pn_error_set(&keeping->settling_err, PN_INTERNAL, "no_key_id",
                                        "the generation has no key id");
        return;
    }
    keeping->has_thread = pthread_create(&keeping->thread, NULL, keep, keeping) == 0;
    if (!keeping->has_thread)
        (void)keep(keeping);
}

/* What is relied on from now on is on the disk. */
static enum pn_rc keeping_end(struct keeping *keeping, struct pn_error *err)
{
    if (keeping->has_thread)
        (void)pthread_join(keeping->thread, NULL);
    if (keeping->settled == PN_NOT_FOUND)
        return pn_error_set(err, PN_UNAVAILABLE, "key_forgotten",
                            "The keyholder has the key of this generation no longer; upload the "
                            "file again.");
    if (keeping->settled != PN_OK)
        *err = keeping->settling_err;
    return keeping->settled;
}

/* A refusal (err, if there is one) does not hide that the key is not on the disk: who promotes the
 * generation with force would only then learn of it. */
static void say_both(struct pn_error *err, const struct pn_error *unsettled)
{
    struct pn_error refused = *err;

    if (refused.rc == PN_OK)
        *err = *unsettled;
    else
        pn_error_set(err, refused.rc, refused.code,
                     "%.700s Besides, its key could not be kept: %.200s", refused.message,
                     unsettled->message);
}

/* How a generation is to become the current one. */
struct takeover {
    const char *certificate_id;
    uint64_t number;
    const json_t *internal; /* what is shown */
    const char *cause;
    bool force;
    json_t *users;
    struct staging *staging; /* to be done meanwhile: number and users are its; or NULL */
    struct pn_rotation_note *note;
};

/* Asks, then makes it current. */
static enum pn_rc take_over(struct pn_rotation *rotation, const struct takeover *over,
                            struct pn_error *err)
{
    struct promotion promotion = {
        .number = over->number, .cause = over->cause, .used_by = over->users};
    const struct edit edit = {.apply = apply_promotion, .ctx = &promotion, .note = over->note};
    struct keeping keeping = {
        .rotation = rotation, .certificate_id = over->certificate_id, .staging = over->staging};
    struct pn_error unsettled = {0};
    uint64_t revision = 0;
    enum pn_rc rc;

    keeping_begin(&keeping, over->internal);
    rc = over->force
             ? PN_OK
             : ask(rotation, over->certificate_id, over->internal, &promotion.verdicts, err);
    if (keeping_end(&keeping, &unsettled) != PN_OK) {
        rc = rc == PN_OK ? unsettled.rc : rc;
        say_both(err, &unsettled);
    }
    if (keeping.staged != PN_OK) { /* there is nothing that the verdict could be noted at */
        json_decref(promotion.verdicts);
        *err = keeping.staging_err;
        return keeping.staged;
    }
    if (over->staging && over->staging->is_current) { /* another one's call was faster */
        json_decref(promotion.verdicts);
        return publish(rotation, over->staging->revision, err);
    }
    if (over->staging) {
        promotion.number = over->staging->number;
        promotion.used_by = over->staging->used_by;
    }
    if (rc == PN_OK) {
        rc = edit_certificate(rotation, over->certificate_id, &edit, &revision, err);
    } else {
        note_refusal(rotation, over->certificate_id, promotion.number, promotion.verdicts,
                     promotion.used_by, err->message);
        log_generation(PN_LOG_WARN, "generation_staged", over->certificate_id, promotion.number,
                       "reason", err->message, promotion.used_by);
    }
    if (rc == PN_OK)
        log_generation(PN_LOG_INFO, "certificate_rotated", over->certificate_id, promotion.number,
                       "cause", over->cause, promotion.used_by);
    json_decref(promotion.verdicts);
    if (rc != PN_OK)
        return rc;
    watch_soon(rotation);
    return publish(rotation, revision, err);
}

enum pn_rc pn_rotation_offer(struct pn_rotation *rotation, const char *certificate_id,
                             const json_t *known, const json_t *properties, const json_t *internal,
                             const char *cause, bool force, struct pn_rotation_note *note,
                             uint64_t *number, struct pn_error *err)
{
    struct staging staging = {.properties = properties, .internal = internal, .cause = cause};
    struct takeover over = {.certificate_id = certificate_id,
                            .internal = internal,
                            .cause = force ? CAUSE_FORCED : cause,
                            .force = force,
                            .note = note};
    enum pn_rc rc;

    /* Nobody is asked about what serves already. */
    if (pn_generations_serves(known, properties, internal)) {
        rc = stage(rotation, certificate_id, &staging, err);
        over.number = staging.number;
        over.users = staging.used_by;
        if (rc == PN_OK)
            rc = staging.is_current ? publish(rotation, staging.revision, err)
                                    : take_over(rotation, &over, err);
    } else {
        over.staging = &staging;
        rc = take_over(rotation, &over, err);
    }
    if (staging.number > 0)
        *number = staging.number;
    json_decref(staging.used_by);
    return rc;
}

enum pn_rc pn_rotation_promote(struct pn_rotation *rotation, const char *certificate_id,
                               uint64_t number, bool force, struct pn_error *err)
{
    struct pn_store_item item = {0};
    json_t *internal = NULL;
    enum pn_rc rc = pn_store_get(rotation->config.store, certificate_id, &item, err);

    if (rc == PN_OK) {
        const json_t *entry = pn_generations_at(item.body, number);
        const char *state = pn_json_str(entry, "state");

        internal = json_deep_copy(json_object_get(entry, "internal"));
        if (!internal)
            rc = pn_error_set(err, PN_NOT_FOUND, "no_generation", "there is no generation %llu",
                              (unsigned long long)number);
        else if (!state || strcmp(state, "retired") == 0 || strcmp(state, "current") == 0)
            rc = pn_error_set(err, PN_INVALID, "generation_state", "generation %llu is %s",
                              (unsigned long long)number, state ? state : "of no state");
    }
    pn_store_item_fini(&item);
    if (rc == PN_OK) {
        const struct takeover over = {.certificate_id = certificate_id,
                                      .number = number,
                                      .internal = internal,
                                      .cause = force ? CAUSE_FORCED : "promoted",
                                      .force = force,
                                      .users = used_by(rotation, certificate_id)};

        rc = take_over(rotation, &over, err);
        json_decref(over.users);
    }
    json_decref(internal);
    return rc;
}

/* ---- the watch: on the follower's thread */

static enum pn_rc apply_retirement(struct pn_rotation *rotation, json_t *body, void *ctx,
                                   struct pn_error *err)
{
    int64_t *next_ms = ctx;

    return pn_generations_retire(body, rotation->now_ms(), next_ms)
               ? PN_OK
               : pn_error_set(err, PN_AGAIN, "nothing_to_retire", "nothing is due");
}

static void retire_due(struct pn_rotation *rotation, const struct pn_store_item *item,
                       int64_t *next_ms)
{
    const struct edit edit = {.apply = apply_retirement, .ctx = next_ms};
    struct pn_error err = {0};
    uint64_t revision;
    enum pn_rc rc = edit_certificate(rotation, item->id, &edit, &revision, &err);

    if (rc != PN_OK && rc != PN_AGAIN && rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_ERROR, "retirement_failed", &err);
}

/* A backend that refuses the new generation and takes the former one: back to that. */
static void roll_back_if_refused(struct pn_rotation *rotation, const struct pn_store_item *item)
{
    const json_t *former = pn_generations_find(item->body, "draining");
    uint64_t number = (uint64_t)pn_json_int(former, "number", 0);
    struct pn_error refusal = {0}, err = {0};
    struct promotion promotion = {.number = number, .cause = "rolled back"};
    const struct edit edit = {.apply = apply_promotion, .ctx = &promotion};
    json_t *verdicts = NULL, *former_verdicts = NULL;
    uint64_t revision = 0;

    if (ask(rotation, item->id, json_object_get(item->body, "internal"), &verdicts, &refusal) ==
            PN_DENIED &&
        ask(rotation, item->id, json_object_get(former, "internal"), &former_verdicts, &err) ==
            PN_OK &&
        edit_certificate(rotation, item->id, &edit, &revision, &err) == PN_OK) {
        json_t *users = used_by(rotation, item->id);

        log_generation(PN_LOG_WARN, "certificate_rolled_back", item->id, number, "reason",
                       refusal.message, users);
        note_refusal(
            rotation, item->id,
            (uint64_t)pn_json_int(json_object_get(item->body, "internal"), "generation", 0),
            verdicts, users, refusal.message);
        json_decref(users);
        if (publish(rotation, revision, &err) != PN_OK)
            pn_log_error(PN_LOG_ERROR, "rollback_not_live", &err);
    }
    json_decref(verdicts);
    json_decref(former_verdicts);
}

/* Whether the newest promotion is young enough to be watched. What a person forced is not: he knows
 * that the backends refuse it. */
static bool is_canary(const struct pn_rotation *rotation, const json_t *body)
{
    const json_t *current = pn_generations_find(body, "current");
    int64_t promoted_s = 0;

    return pn_generations_find(body, "draining") &&
           !pn_slice_eq_str(pn_json_slice(current, "cause"), CAUSE_FORCED) &&
           pn_time_parse_iso8601(pn_json_slice(current, "promotedAt"), &promoted_s) &&
           rotation->now_ms() < promoted_s * 1000 + PN_ROTATION_CANARY_MS;
}

uint64_t rotation_watch(struct pn_rotation *rotation)
{
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    int64_t now_ms = rotation->now_ms();
    int64_t next_ms = now_ms + PN_ROTATION_DRAIN_MS;

    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(rotation->config.store, &txn, &err);

    if (rc == PN_OK)
        rc = pn_store_users(txn, WATCH_REFERENCE, &list, &err);
    pn_store_rollback(txn);
    if (rc != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "rotation_scan_failed", &err);
        return PN_ROTATION_CANARY_EVERY_MS;
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct pn_store_item *item = &list.items[i];

        if (!pn_generations_find(item->body, "draining"))
            continue;
        if (is_canary(rotation, item->body)) {
            roll_back_if_refused(rotation, item);
            if (next_ms > now_ms + PN_ROTATION_CANARY_EVERY_MS)
                next_ms = now_ms + PN_ROTATION_CANARY_EVERY_MS;
        }
        retire_due(rotation, item, &next_ms);
    }
    pn_store_list_fini(&list);
    return (uint64_t)(next_ms > now_ms ? next_ms - now_ms : 1);
}
