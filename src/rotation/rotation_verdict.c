/* SPDX-License-Identifier: Apache-2.0
 *
 * What the backends say of a generation, and what is written of it: that it serves now, or why not.
 */
#include <string.h>

#include "base/json.h"
#include "rotation/generation.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"

void pn_rotation_set_preflight(struct pn_rotation *rotation, pn_preflight_fn preflight, void *ctx)
{
    rotation->config.preflight = preflight;
    rotation->config.preflight_ctx = ctx;
}

enum pn_rc rotation_ask(struct pn_rotation *rotation, const char *certificate_id,
                        const json_t *internal, json_t **verdicts, struct pn_error *err)
{
    *verdicts = NULL;
    if (!rotation->config.preflight)
        return PN_OK;
    return rotation->config.preflight(rotation->config.preflight_ctx, certificate_id, internal,
                                      verdicts, err);
}

enum pn_rc rotation_has_changed(struct pn_error *err)
{
    return pn_error_set(err, PN_CONFLICT, "certificate_changed",
                        "Another request has changed the certificate while the backends were asked "
                        "about this generation: look at it, and repeat this request if it is still "
                        "wanted.");
}

/* What the backends said is of one generation, and of what served then: a number may be another
 * one's by now (the certificate was deleted and made again). */
static bool still_counts(const json_t *body, const struct rotation_promotion *promotion)
{
    const json_t *current = pn_generations_find(body, "current");

    return pn_generations_is(pn_generations_at(body, promotion->number), promotion->shown) &&
           (!promotion->refused ||
            (pn_generations_is(current, promotion->refused) &&
             !pn_slice_eq_str(pn_json_slice(current, "cause"), ROTATION_FORCED)));
}

/* Another call was faster with the same. */
static enum pn_rc leave_current(json_t *entry, struct rotation_promotion *promotion,
                                struct pn_error *err)
{
    promotion->was_current = true;
    if (strcmp(promotion->cause, ROTATION_FORCED) == 0 &&
        json_object_set_new(entry, "cause", json_string(ROTATION_FORCED)) != 0)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return PN_OK;
}

enum pn_rc rotation_promote(struct pn_rotation *rotation, json_t *body, void *ctx,
                            struct pn_error *err)
{
    struct rotation_promotion *promotion = ctx;
    json_t *entry = pn_generations_at(body, promotion->number);
    int64_t now_ms = rotation->now_ms();
    enum pn_rc rc = PN_OK;

    if (!still_counts(body, promotion))
        return rotation_has_changed(err);
    if (pn_slice_eq_str(pn_json_slice(entry, "state"), "current"))
        return leave_current(entry, promotion, err);
    if (promotion->verdicts)
        rc = pn_generations_note(body, promotion->number, promotion->verdicts, NULL, now_ms);
    if (rc == PN_OK)
        rc = pn_generations_note_users(body, promotion->number, promotion->used_by);
    if (rc == PN_OK)
        rc = pn_generations_promote(body, promotion->number, promotion->cause, now_ms,
                                    now_ms + PN_ROTATION_DRAIN_MS, err);
    return rc;
}

struct refusal {
    const struct rotation_promotion *promotion;
    const char *message;
};

static enum pn_rc apply_refusal(struct pn_rotation *rotation, json_t *body, void *ctx,
                                struct pn_error *err)
{
    const struct refusal *refusal = ctx;
    const struct rotation_promotion *promotion = refusal->promotion;
    const json_t *entry = pn_generations_at(body, promotion->number);

    if (!pn_generations_is(entry, promotion->shown) ||
        pn_slice_eq_str(pn_json_slice(entry, "state"), "current"))
        return rotation_has_changed(err);
    if (pn_generations_note(body, promotion->number, promotion->verdicts, refusal->message,
                            rotation->now_ms()) != PN_OK ||
        pn_generations_note_users(body, promotion->number, promotion->used_by) != PN_OK)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (json_object_get(json_object_get(body, "properties"), "keyVault"))
        return pn_generation_set_refused(body, refusal->message, rotation->now_ms());
    return PN_OK;
}

void rotation_note_refusal(struct pn_rotation *rotation, const char *certificate_id,
                           const struct rotation_promotion *promotion, const char *message)
{
    struct refusal refusal = {.promotion = promotion, .message = message};
    const struct rotation_edit edit = {.apply = apply_refusal, .ctx = &refusal};
    struct pn_error err = {0};
    uint64_t revision;
    enum pn_rc rc = rotation_edit(rotation, certificate_id, &edit, &revision, &err);

    if (rc != PN_OK)
        pn_log_error(rc == PN_CONFLICT || rc == PN_NOT_FOUND ? PN_LOG_INFO : PN_LOG_ERROR,
                     "refusal_not_written", &err);
}

enum pn_rc rotation_publish(struct pn_rotation *rotation, uint64_t revision, struct pn_error *err)
{
    const struct pn_publisher *publisher = &rotation->config.publisher;

    return publisher->publish ? publisher->publish(publisher->ctx, revision, err) : PN_OK;
}
