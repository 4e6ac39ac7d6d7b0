/* SPDX-License-Identifier: Apache-2.0
 *
 * …/certificates/{id}/generations: what this certificate was, is, and waits to be.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "rotation/generations.h"

/** The certificate two or three names up. False: answered. */
static bool load(struct arm_call *call, struct pn_store_item *item, const char **id)
{
    struct pn_error err = {0};
    const char *suffix = strcasestr(call->id, "/certificates/");
    const char *end = suffix ? strchr(suffix + strlen("/certificates/"), '/') : NULL;

    *id = pn_arena_strdup(call->arena,
                          pn_slice(call->id, end ? (size_t)(end - call->id) : strlen(call->id)));
    if (*id && pn_store_get(call->arm->config.store, *id, item, &err) == PN_OK)
        return true;
    if (err.rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
    return false;
}

void arm_generations(struct arm_call *call)
{
    struct pn_store_item item = {0};
    const char *id = NULL;

    if (!load(call, &item, &id))
        return;
    arm_answer_json(call, 200, json_pack("{s:o}", "value", pn_generations_view(item.body)), 0);
    pn_store_item_fini(&item);
}

void arm_answer_refused_generation(struct arm_call *call, uint64_t number,
                                   const struct pn_error *err)
{
    arm_answer_error(call, 409, "CertificateRefused",
                     "Generation %llu stays staged, and the certificate stays as it was: %s "
                     "(Look at …/generations; promote it with \"force\" to use it nevertheless.)",
                     (unsigned long long)number, err->message);
}

void arm_generation_promote(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *wish = NULL;
    uint64_t number = 0;
    const char *id = NULL;
    enum pn_rc rc;

    if (call->request->body.len > 0 && pn_json_parse(call->request->body, &wish, &err) != PN_OK) {
        arm_answer_invalid(call, "", "The body is not JSON: %s", err.message);
        return;
    }
    if (!pn_slice_to_u64(arm_name(call), UINT64_MAX, &number)) {
        arm_answer_not_found(call);
    } else if (load(call, &item, &id)) {
        rc = services->promote(services->ctx, item.id, number,
                               pn_json_bool(json_object_get(wish, "properties"), "force", false),
                               &err);
        pn_store_item_fini(&item);
        if (rc == PN_OK)
            arm_generations(call);
        else if (rc == PN_DENIED)
            arm_answer_refused_generation(call, number, &err);
        else if (rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else if (rc == PN_INVALID)
            arm_answer_error(call, 409, "GenerationState", "%s", err.message);
        else
            arm_answer_failure(call, &err);
    }
    json_decref(wish);
}
