/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backend refers to, kept as data: its certificates (by id or thumbprint) and the members of
 * its pool. All must exist when it is put.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "certs/certificate.h"

/** A child of this service by full id, "/certificates/x", or bare name; NULL: of no such form. */
static const char *child_id(struct arm_call *call, const char *kind, struct pn_slice text,
                            struct pn_slice *name)
{
    struct pn_slice service = pn_slice_str(call->scope_id);
    struct pn_slice rest = pn_id_is_below(text, service) ? pn_id_relative(text, service) : text;
    struct pn_slice prefix = pn_slice_str(pn_arena_printf(call->arena, "/%s/", kind));

    if (prefix.len > 0 && pn_slice_case_starts_with(rest, prefix))
        rest = pn_slice_sub(rest, prefix.len, rest.len - prefix.len);
    *name = rest;
    if (rest.len == 0 || pn_slice_find(rest, '/') < rest.len)
        return NULL;
    return pn_arena_printf(call->arena, "%s/%s/%.*s", call->scope_id, kind, PN_FMT(rest));
}

static struct pn_slice last_segment(struct pn_slice text)
{
    struct pn_slice part = {0};
    struct pn_slice last = text;

    while (pn_slice_cut(&text, '/', &part))
        last = part;
    return last;
}

/** Whether `id` is stored. */
static bool exists(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    struct pn_store_item item;
    bool is_there = pn_store_txn_get(txn, id, &item, err) == PN_OK;

    pn_store_item_fini(&item);
    return is_there;
}

static bool refer_to_certificate_ids(struct arm_call *call, struct pn_store_txn *txn,
                                     const json_t *ids, struct arm_backend_references *references)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *entry = json_array_get(ids, i);
        struct pn_slice text = pn_slice(json_string_value(entry), json_string_length(entry));
        struct pn_slice name = {0};
        struct pn_error err = {0};
        const char *id = child_id(call, "certificates", text, &name);
        const char *lower = arm_lower(call->arena, name);

        if (!id || !exists(txn, id, &err)) {
            if (id && err.rc != PN_NOT_FOUND)
                arm_answer_failure(call, &err);
            else
                arm_answer_invalid(call, "credentials", "Certificate with id '%.*s' not found.",
                                   PN_FMT(last_segment(text)));
            return false;
        }
        references->ids[references->count++] = id;
        if (json_array_append_new(references->certificate_names,
                                  lower ? json_string(lower) : NULL) != 0) {
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
            return false;
        }
    }
    return true;
}

/** References the uploaded certificate among `found`, which have the thumbprint now. */
static bool refer_to_found(struct arm_call *call, const struct pn_store_list *found,
                           const char *thumbprint, struct arm_backend_references *references)
{
    const struct pn_store_item *from_vault = NULL;

    for (size_t i = 0; i < found->count; i++) {
        const struct pn_store_item *item = &found->items[i];

        if (json_object_get(json_object_get(item->body, "properties"), "keyVault")) {
            from_vault = item;
            continue;
        }
        references->ids[references->count] = pn_arena_strdup(call->arena, pn_slice_str(item->id));
        references->ids[references->count + 1] = arm_thumbprint_reference(call, thumbprint);
        if (!references->ids[references->count] || !references->ids[references->count + 1]) {
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
            return false;
        }
        references->count += 2;
        return true;
    }
    if (from_vault)
        arm_answer_invalid(call, "credentials",
                           "Certificate with thumbprint '%s' ('%.*s') is from a key vault: its "
                           "thumbprint changes when it is rotated. Refer to it in "
                           "'credentials.certificateIds' instead.",
                           thumbprint, PN_FMT(last_segment(pn_slice_str(from_vault->id))));
    else
        arm_answer_invalid(call, "credentials", "Certificate with thumbprint '%s' not found.",
                           thumbprint);
    return false;
}

static bool refer_to_thumbprint(struct arm_call *call, struct pn_store_txn *txn, const char *prefix,
                                struct pn_slice text, struct arm_backend_references *references)
{
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_store_list found = {0};
    struct pn_error err = {0};
    bool is_fine = false;

    if (!pn_thumbprint_parse(text, thumbprint)) {
        arm_answer_invalid(call, "credentials",
                           "A thumbprint in 'credentials.certificate' is not 40 hexadecimal "
                           "digits.");
        return false;
    }
    if (pn_store_txn_list_thumbprint(txn, prefix, pn_type_facts(PN_TYPE_CERTIFICATE)->type,
                                     thumbprint, &found, &err) == PN_OK)
        is_fine = refer_to_found(call, &found, thumbprint, references);
    else
        arm_answer_failure(call, &err);
    pn_store_list_fini(&found);
    return is_fine;
}

static bool refer_to_thumbprints(struct arm_call *call, struct pn_store_txn *txn,
                                 const json_t *thumbprints,
                                 struct arm_backend_references *references)
{
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    bool is_fine = prefix != NULL;

    if (!prefix)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    for (size_t i = 0; is_fine && i < json_array_size(thumbprints); i++) {
        const json_t *entry = json_array_get(thumbprints, i);

        is_fine = refer_to_thumbprint(call, txn, prefix,
                                      pn_slice(json_string_value(entry), json_string_length(entry)),
                                      references);
    }
    return is_fine;
}

/** false: answered. `id` NULL: its text is of no form that a member can have. */
static bool check_member(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                         struct pn_slice name, const struct arm_backend_references *references)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *type = NULL;
    bool is_fine = false;

    if (id && strcasecmp(id, call->id) == 0)
        arm_answer_invalid(call, "pool", "The pool '%.*s' cannot be a member of itself.",
                           PN_FMT(name));
    else if (!id || (pn_store_txn_get(txn, id, &item, &err) != PN_OK && err.rc == PN_NOT_FOUND))
        arm_answer_invalid(call, "pool", "Backend with id '%.*s' not found.", PN_FMT(name));
    else if (!item.id)
        arm_answer_failure(call, &err);
    else
        is_fine = true;
    type = pn_json_str(json_object_get(item.body, "properties"), "type");
    if (is_fine && type && strcmp(type, "Pool") == 0) {
        arm_answer_invalid(call, "pool", "'%.*s' is itself a pool; a pool has single backends.",
                           PN_FMT(name));
        is_fine = false;
    }
    for (size_t i = 0; is_fine && i < references->count; i++) {
        if (strcasecmp(references->ids[i], id) != 0)
            continue;
        arm_answer_invalid(call, "pool", "'%.*s' is in the pool twice; give it a weight instead.",
                           PN_FMT(name));
        is_fine = false;
    }
    pn_store_item_fini(&item);
    return is_fine;
}

static bool refer_to_pool(struct arm_call *call, struct pn_store_txn *txn, const json_t *services,
                          struct arm_backend_references *references)
{
    for (size_t i = 0; i < json_array_size(services); i++) {
        struct pn_slice text = pn_json_slice(json_array_get(services, i), "id");
        struct pn_slice name = {0};
        const char *id = child_id(call, "backends", text, &name);
        const char *lower = arm_lower(call->arena, last_segment(text));

        if (!check_member(call, txn, id, last_segment(text), references))
            return false;
        references->ids[references->count++] = id;
        if (json_array_append_new(references->member_names, lower ? json_string(lower) : NULL) !=
            0) {
            arm_answer_error(call, 500, "InternalServerError", "out of memory");
            return false;
        }
    }
    return true;
}

/** A pool in a pool could also come about from the other side: a member becomes a pool. */
static bool is_no_member(struct arm_call *call, struct pn_store_txn *txn)
{
    struct pn_store_list users = {0};
    struct pn_error err = {0};
    const char *user = NULL;

    if (pn_store_users(txn, call->id, &users, &err) != PN_OK) {
        arm_answer_failure(call, &err);
        return false;
    }
    for (size_t i = 0; i < users.count; i++)
        if (strcmp(users.items[i].type, pn_type_facts(PN_TYPE_BACKEND)->type) == 0)
            user = users.items[i].id;
    if (user)
        arm_answer_invalid(call, "type",
                           "It is a member of the pool '%.*s', and a pool has single backends.",
                           PN_FMT(last_segment(pn_slice_str(user))));
    pn_store_list_fini(&users);
    return user == NULL;
}

static bool refer(struct arm_call *call, struct pn_store_txn *txn, const json_t *properties,
                  struct arm_backend_references *references)
{
    const json_t *credentials = json_object_get(properties, "credentials");
    const json_t *ids = json_object_get(credentials, "certificateIds");

    const char *type = pn_json_str(properties, "type");
    bool is_pool = type && strcmp(type, "Pool") == 0;

    references->certificate_names = json_array();
    references->member_names = json_array();
    if (!references->certificate_names || !references->member_names) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return false;
    }
    if (!refer_to_certificate_ids(call, txn, ids, references))
        return false;
    /* Thumbprints are ignored when there are ids. */
    if (json_array_size(ids) == 0 &&
        !refer_to_thumbprints(call, txn, json_object_get(credentials, "certificate"), references))
        return false;
    if (!is_pool)
        return true;
    return is_no_member(call, txn) &&
           refer_to_pool(call, txn,
                         json_object_get(json_object_get(properties, "pool"), "services"),
                         references);
}

bool arm_backend_refer(struct arm_call *call, struct pn_store_txn *txn, const json_t *properties,
                       struct arm_backend_references *references)
{
    return refer(call, txn, properties, references) &&
           arm_check_linked_access(call, references->ids);
}
