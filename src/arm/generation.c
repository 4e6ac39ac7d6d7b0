/* SPDX-License-Identifier: Apache-2.0
 *
 * …/certificates/{id}/generations: what this certificate was, is, and waits to be; …/rotations:
 * which certificates got another generation last, as the audit log has it.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "rotation/generations.h"
#include "store/audit.h"

#define ROTATIONS_DEFAULT 10

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

/** One entry of the log as an item of the list; NULL: no memory. */
static json_t *rotation_view(const json_t *noted)
{
    static const char *const shown[] = {"generation", "cause", "thumbprint", "secretVersion",
                                        "usedBy"};
    const json_t *entry = json_object_get(noted, "entry");
    const char *id = pn_json_str(entry, "certificate");
    const char *name = id ? strrchr(id, '/') : NULL;
    json_t *view = json_pack("{s:s, s:s, s:O}", "id", id ? id : "", "name", name ? name + 1 : "",
                             "time", json_object_get(noted, "time"));

    for (size_t i = 0; view && i < sizeof(shown) / sizeof(shown[0]); i++) {
        json_t *member = json_object_get(entry, shown[i]);

        if (member && !json_is_null(member))
            (void)json_object_set(view, shown[i], member);
    }
    return view;
}

void arm_rotations(struct arm_call *call)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    struct pn_slice text = pn_request_query(call->request, "$top");
    json_t *entries = NULL, *list = json_array();
    uint64_t top = ROTATIONS_DEFAULT;
    struct pn_error err = {0};
    const json_t *noted;
    size_t i;

    if (text.len > 0 && (!pn_slice_to_u64(text, PN_PAGE_ITEMS_MAX, &top) || top == 0)) {
        arm_answer_invalid(call, "$top", "'$top' must be a whole number from 1 to %d.",
                           PN_PAGE_ITEMS_MAX);
    } else if (!prefix || !list) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    } else if (pn_audit_rotations(call->arm->config.store, prefix, top, &entries, &err) != PN_OK) {
        arm_answer_failure(call, &err);
    } else {
        json_array_foreach(entries, i, noted)
        {
            (void)json_array_append_new(list, rotation_view(noted));
        }
        arm_answer_json(call, 200, json_pack("{s:O}", "value", list), 0);
    }
    json_decref(entries);
    json_decref(list);
}
