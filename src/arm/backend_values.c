/* SPDX-License-Identifier: Apache-2.0
 *
 * Named values in the credentials of a backend: {{name}} in the values of headers and query
 * parameters, and in the parameter of the authorization.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "http/headers.h"

#define VALUE_BYTES_MAX 32768 /* of one header or query parameter, with its named values */

struct values {
    struct arm_sources *sources;
    struct arm_backend_references *references; /* may be NULL */
    size_t added;
    struct pn_error *err;
};

static enum pn_rc on_value(void *ctx, const char *id, struct pn_error *err)
{
    struct values *values = ctx;
    struct arm_backend_references *references = values->references;

    if (!references)
        return PN_OK;
    for (size_t i = 0; i < references->count; i++)
        if (strcasecmp(references->ids[i], id) == 0)
            return PN_OK;
    if (values->added++ == PN_BACKEND_VALUES_MAX)
        return pn_error_set(err, PN_INVALID, "too_many_values",
                            "The credentials of a backend may name at most %d named values.",
                            PN_BACKEND_VALUES_MAX);
    references->ids[references->count] =
        pn_arena_strdup(values->sources->call->arena, pn_slice_str(id));
    return references->ids[references->count++]
               ? PN_OK
               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static bool names_value(const json_t *text)
{
    struct pn_slice name;
    size_t start, end;

    return pn_policy_find_named_value(pn_slice(json_string_value(text), json_string_length(text)),
                                      0, &start, &end, &name);
}

/** A new reference: the text with its values. */
static enum pn_rc put_in(struct values *values, const char *target, const char *name,
                         const json_t *text, json_t **result)
{
    struct pn_slice written = pn_slice(json_string_value(text), json_string_length(text));
    struct pn_buf out;
    enum pn_rc rc;

    pn_buf_init_secret(&out, VALUE_BYTES_MAX);
    rc = arm_put_values(values->sources, written, &out, on_value, values, values->err);
    if (rc == PN_LIMIT)
        rc = pn_error_set(values->err, PN_INVALID, "too_long",
                          "The value of '%s' is longer than %d bytes with its named values.", name,
                          VALUE_BYTES_MAX);
    else if (rc == PN_INVALID && strcmp(values->err->code, "no_named_value") == 0)
        pn_error_prefix(values->err, "The value of '%s'", name);
    if (rc == PN_OK && !pn_header_value_is_valid(pn_buf_slice(&out)))
        rc = pn_error_set(values->err, PN_INVALID, "invalid_value",
                          "With its named values the value of '%s' has characters that a header or "
                          "query value must not have.",
                          name);
    if (rc == PN_INVALID)
        (void)pn_error_target(values->err, target);
    if (rc == PN_OK) {
        *result = json_stringn(out.ptr ? out.ptr : "", out.len);
        if (!*result)
            rc = pn_error_set(values->err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    pn_buf_fini(&out);
    return rc;
}

/** Every text of the map's lists. *is_any: one of them names something. */
static enum pn_rc put_in_map(struct values *values, const char *target, json_t *map, bool *is_any)
{
    enum pn_rc rc = PN_OK;

    for (void *at = json_object_iter(map); rc == PN_OK && at; at = json_object_iter_next(map, at)) {
        json_t *list = json_object_iter_value(at);

        for (size_t i = 0; rc == PN_OK && i < json_array_size(list); i++) {
            json_t *made = NULL;

            if (!names_value(json_array_get(list, i)))
                continue;
            *is_any = true;
            rc = put_in(values, target, json_object_iter_key(at), json_array_get(list, i), &made);
            if (rc == PN_OK && json_array_set_new(list, i, made) != 0)
                rc = pn_error_set(values->err, PN_NOMEM, "out_of_memory", "out of memory");
        }
    }
    return rc;
}

static enum pn_rc put_in_authorization(struct values *values, json_t *authorization, bool *is_any)
{
    json_t *parameter = json_object_get(authorization, "parameter");
    json_t *made = NULL;
    enum pn_rc rc = PN_OK;

    if (!names_value(parameter))
        return PN_OK;
    *is_any = true;
    rc = put_in(values, "credentials.authorization", "parameter", parameter, &made);
    if (rc == PN_OK && json_object_set_new(authorization, "parameter", made) != 0)
        rc = pn_error_set(values->err, PN_NOMEM, "out_of_memory", "out of memory");
    return rc;
}

enum pn_rc arm_backend_values(struct arm_sources *sources, json_t *secrets,
                              struct arm_backend_references *references, struct pn_error *err)
{
    static const char *const members[] = {"header", "query", "authorization", NULL};
    struct values values = {.sources = sources, .references = references, .err = err};
    json_t *resolved = json_object();
    enum pn_rc rc =
        resolved ? PN_OK : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");

    (void)json_object_del(secrets, "resolved");
    for (size_t i = 0; rc == PN_OK && members[i]; i++) {
        json_t *member = json_deep_copy(json_object_get(secrets, members[i]));
        char target[64];
        bool is_any = false;

        snprintf(target, sizeof target, "credentials.%s", members[i]);
        if (!member)
            continue;
        rc = strcmp(members[i], "authorization") == 0
                 ? put_in_authorization(&values, member, &is_any)
                 : put_in_map(&values, target, member, &is_any);
        if (rc == PN_OK && is_any && json_object_set(resolved, members[i], member) != 0)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        json_decref(member);
    }
    if (rc == PN_OK && json_object_size(resolved) > 0 &&
        json_object_set(secrets, "resolved", resolved) != 0)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    json_decref(resolved);
    return rc;
}
