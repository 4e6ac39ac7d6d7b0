/* SPDX-License-Identifier: Apache-2.0
 *
 * The watch over what was promoted: canary, drain, retirement. Thread: the follower's.
 */
#include "base/clock.h"
#include "base/json.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

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
    const struct rotation_edit edit = {.apply = apply_retirement, .ctx = next_ms};
    struct pn_error err = {0};
    uint64_t revision;
    enum pn_rc rc = rotation_edit(rotation, item->id, &edit, &revision, &err);

    if (rc != PN_OK && rc != PN_AGAIN && rc != PN_NOT_FOUND)
        pn_log_error(PN_LOG_ERROR, "retirement_failed", &err);
}

/* A backend that refuses the new generation and takes the former one: back to that, unless another
 * one has been promoted while they were asked. */
static void roll_back_if_refused(struct pn_rotation *rotation, const struct pn_store_item *item)
{
    const json_t *current = json_object_get(item->body, "internal");
    const json_t *former = pn_generations_former(item->body);
    struct pn_error refusal = {0}, err = {0};
    struct rotation_promotion back = {
        .number = (uint64_t)pn_json_int(former, "number", 0),
        .shown = json_object_get(former, "internal"),
        .refused = current,
        .cause = "rolled back",
    };
    struct rotation_promotion refused = {
        .number = (uint64_t)pn_json_int(current, "generation", 0),
        .shown = current,
    };
    const struct rotation_edit edit = {.apply = rotation_promote, .ctx = &back};
    json_t *former_verdicts = NULL;
    uint64_t revision = 0;

    if (rotation_ask(rotation, item->id, current, &refused.verdicts, &refusal) == PN_DENIED &&
        rotation_ask(rotation, item->id, back.shown, &former_verdicts, &err) == PN_OK &&
        rotation_edit(rotation, item->id, &edit, &revision, &err) == PN_OK) {
        if (rotation_publish(rotation, revision, &err) != PN_OK)
            pn_log_error(PN_LOG_ERROR, "rollback_not_live", &err);
        refused.used_by = rotation_used_by(rotation, item->id);
        rotation_log_generation(PN_LOG_WARN, "certificate_rolled_back", item->id, back.number,
                                "reason", refusal.message, refused.used_by);
        rotation_note_refusal(rotation, item->id, &refused, refusal.message);
        json_decref(refused.used_by);
    }
    json_decref(refused.verdicts);
    json_decref(former_verdicts);
}

/* Whether the newest promotion is young enough to be watched. What a person forced is not: he knows
 * that the backends refuse it. */
static bool is_canary(const struct pn_rotation *rotation, const json_t *body)
{
    const json_t *current = pn_generations_find(body, "current");
    int64_t promoted_s = 0;

    return pn_generations_find(body, "draining") &&
           !pn_slice_eq_str(pn_json_slice(current, "cause"), ROTATION_FORCED) &&
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
        rc = pn_store_users(txn, ROTATION_DRAINING, &list, &err);
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
