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

enum pn_rc rotation_promote(struct pn_rotation *rotation, json_t *body, void *ctx,
                            struct pn_error *err)
{
    const struct rotation_promotion *promotion = ctx;
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

void rotation_note_refusal(struct pn_rotation *rotation, const char *certificate_id,
                           uint64_t number, json_t *verdicts, json_t *users, const char *message)
{
    struct refusal refusal = {
        .number = number, .verdicts = verdicts, .used_by = users, .message = message};
    const struct rotation_edit edit = {.apply = apply_refusal, .ctx = &refusal};
    struct pn_error err = {0};
    uint64_t revision;

    if (rotation_edit(rotation, certificate_id, &edit, &revision, &err) != PN_OK)
        pn_log_error(PN_LOG_ERROR, "refusal_not_written", &err);
}

enum pn_rc rotation_publish(struct pn_rotation *rotation, uint64_t revision, struct pn_error *err)
{
    const struct pn_publisher *publisher = &rotation->config.publisher;

    return publisher->publish ? publisher->publish(publisher->ctx, revision, err) : PN_OK;
}
