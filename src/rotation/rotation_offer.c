/* SPDX-License-Identifier: Apache-2.0
 *
 * A generation's way to be the current one.
 *
 * The backends are asked outside every transaction; what they said counts only if the certificate
 * is still the same when it is written.
 */
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "rotation/generation.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

struct staging {
    const struct pn_rotation_offer *offer;
    json_t *used_by; /* owned */
    uint64_t number, revision;
    bool is_current; /* it serves already */
};

static bool has_source_of(const json_t *body, const json_t *properties)
{
    const json_t *now = json_object_get(json_object_get(body, "properties"), "keyVault");

    return pn_generation_is_same_source(now, json_object_get(properties, "keyVault"));
}

/* A person wants it against the backends' word; it serves already, and the watch is not to end
 * that.
 */
static enum pn_rc note_force(json_t *entry, struct pn_error *err)
{
    if (json_object_set_new(entry, "cause", json_string(ROTATION_FORCED)) == 0)
        return PN_OK;
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static enum pn_rc apply_staging(struct pn_rotation *rotation, json_t *body, void *ctx,
                                struct pn_error *err)
{
    struct staging *staging = ctx;
    const struct pn_rotation_offer *offer = staging->offer;
    struct pn_key_id key;
    struct pn_buf spki;
    json_t *entry;
    enum pn_rc rc;

    if (offer->keeps_source && !has_source_of(body, offer->properties))
        return pn_error_set(err, PN_NOT_FOUND, "certificate_changed",
                            "the certificate was changed to another source meanwhile");
    if (!pn_hex_decode(pn_json_slice(offer->internal, "keyId"), key.sha256, sizeof(key.sha256)))
        return pn_error_set(err, PN_INTERNAL, "no_key_id", "the generation has no key id");
    /* Somebody may have forgotten this key between the import and now. */
    pn_buf_init(&spki, 16384);
    rc = pn_keyholder_public(rotation->config.keyholder, PN_USE_CLIENT, &key, &spki, err);
    pn_buf_fini(&spki);
    if (rc != PN_OK)
        return rc == PN_NOT_FOUND ? PN_AGAIN : rc;
    staging->number = pn_generations_stage(body, offer->properties, offer->internal, offer->cause,
                                           rotation->now_ms());
    entry = pn_generations_at(body, staging->number);
    staging->is_current = pn_slice_eq_str(pn_json_slice(entry, "state"), "current");
    if (staging->is_current && offer->force)
        return note_force(entry, err);
    if (staging->number > 0 &&
        (staging->is_current ||
         pn_generations_note_users(body, staging->number, staging->used_by) == PN_OK))
        return PN_OK;
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
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

/* That it was forced is a change of what serves. What else follows is on the disk before anybody is
 * answered: the promotion, or the refusal. If the machine stops in between, the generation was
 * never there, and its key has no use. */
static enum pn_rc stage(struct pn_rotation *rotation, const char *certificate_id,
                        struct staging *staging, struct pn_error *err)
{
    const struct rotation_edit edit = {.apply = apply_staging,
                                       .ctx = staging,
                                       .is_soon = !staging->offer->force,
                                       .revision = staging->offer->revision};

    staging->used_by = rotation_used_by(rotation, certificate_id);
    return rotation_edit(rotation, certificate_id, &edit, &staging->revision, err);
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

/* Whether it waits still: then nobody has forgotten its key, and the keyholder has lost it. */
static bool is_waiting(const struct keeping *keeping, const json_t *internal)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    bool is_staged = false;

    if (pn_store_get(keeping->rotation->config.store, keeping->certificate_id, &item, &err) ==
        PN_OK) {
        const json_t *entry = pn_generations_at(item.body, keeping->staging->number);

        is_staged = pn_generations_is(entry, internal) &&
                    pn_slice_eq_str(pn_json_slice(entry, "state"), "staged");
    }
    pn_store_item_fini(&item);
    return is_staged;
}

/* What is relied on from now on is on the disk. */
static enum pn_rc keeping_end(struct keeping *keeping, const json_t *internal, struct pn_error *err)
{
    if (keeping->has_thread)
        (void)pthread_join(keeping->thread, NULL);
    if (keeping->settled == PN_NOT_FOUND && keeping->staging && !is_waiting(keeping, internal))
        return rotation_has_changed(err);
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
    struct rotation_promotion promotion = {.number = over->number,
                                           .cause = over->cause,
                                           .shown = over->internal,
                                           .used_by = over->users};
    const struct rotation_edit edit = {
        .apply = rotation_promote, .ctx = &promotion, .note = over->note};
    struct keeping keeping = {
        .rotation = rotation, .certificate_id = over->certificate_id, .staging = over->staging};
    struct pn_error unsettled = {0};
    uint64_t revision = 0;
    enum pn_rc rc;

    keeping_begin(&keeping, over->internal);
    rc = over->force ? PN_OK
                     : rotation_ask(rotation, over->certificate_id, over->internal,
                                    &promotion.verdicts, err);
    if (keeping_end(&keeping, over->internal, &unsettled) != PN_OK) {
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
        return rotation_publish(rotation, over->staging->revision, err);
    }
    if (over->staging) {
        promotion.number = over->staging->number;
        promotion.used_by = over->staging->used_by;
    }
    if (rc == PN_OK) {
        rc = rotation_edit(rotation, over->certificate_id, &edit, &revision, err);
    } else {
        rotation_note_refusal(rotation, over->certificate_id, &promotion, err->message);
        rotation_log_generation(PN_LOG_WARN, "generation_staged", over->certificate_id,
                                promotion.number, "reason", err->message, promotion.used_by);
    }
    if (rc == PN_OK && !promotion.was_current)
        rotation_log_generation(PN_LOG_INFO, "certificate_rotated", over->certificate_id,
                                promotion.number, "cause", over->cause, promotion.used_by);
    json_decref(promotion.verdicts);
    if (rc != PN_OK)
        return rc;
    watch_soon(rotation);
    return rotation_publish(rotation, revision, err);
}

enum pn_rc pn_rotation_offer(struct pn_rotation *rotation, const char *certificate_id,
                             const struct pn_rotation_offer *offer, uint64_t *number,
                             struct pn_error *err)
{
    struct staging staging = {.offer = offer};
    struct takeover over = {.certificate_id = certificate_id,
                            .internal = offer->internal,
                            .cause = offer->force ? ROTATION_FORCED : offer->cause,
                            .force = offer->force,
                            .note = offer->note};
    enum pn_rc rc;

    /* Nobody is asked about what serves already. */
    if (pn_generations_serves(offer->known, offer->properties, offer->internal)) {
        rc = stage(rotation, certificate_id, &staging, err);
        over.number = staging.number;
        over.users = staging.used_by;
        if (rc == PN_OK)
            rc = staging.is_current ? rotation_publish(rotation, staging.revision, err)
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
                                      .cause = force ? ROTATION_FORCED : "promoted",
                                      .force = force,
                                      .users = rotation_used_by(rotation, certificate_id)};

        rc = take_over(rotation, &over, err);
        json_decref(over.users);
    }
    json_decref(internal);
    return rc;
}
