/* SPDX-License-Identifier: Apache-2.0
 *
 * Property schemas: one walk over schema and document, side by side.
 */
#include "model/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/text.h"

struct walk {
    struct pn_problems *problems;
    char path[PN_ERROR_TARGET_MAX]; /* of the member that is looked at */
    int depth;
};

enum pn_rc pn_problem_add(struct pn_problems *problems, const char *target, const char *format, ...)
{
    struct pn_problem *problem = NULL;
    va_list arguments;

    if (problems->count == PN_VALIDATION_MAX)
        return PN_INVALID;
    problem = &problems->items[problems->count++];
    (void)snprintf(problem->target, sizeof(problem->target), "%s", target);
    va_start(arguments, format);
    (void)vsnprintf(problem->message, sizeof(problem->message), format, arguments);
    va_end(arguments);
    return PN_INVALID;
}

/* Messages name the member and the rule, never the value: it may be a secret. */
#define PROBLEM(walk, ...) pn_problem_add((walk)->problems, (walk)->path, __VA_ARGS__)

static enum pn_rc apply_value(struct walk *walk, const struct pn_field *field, const json_t *in,
                              json_t **out);

/** Appends ".name" (or "[index]") to the path; returns the former length, for leave(). */
static size_t enter(struct walk *walk, const char *name, size_t index)
{
    size_t len = strlen(walk->path);

    if (name)
        (void)snprintf(walk->path + len, sizeof(walk->path) - len, "%s%s", len > 0 ? "." : "",
                       name);
    else
        (void)snprintf(walk->path + len, sizeof(walk->path) - len, "[%zu]", index);
    walk->depth++;
    return len;
}

static void leave(struct walk *walk, size_t len)
{
    walk->path[len] = 0;
    walk->depth--;
}

static enum pn_rc new_text(const char *text, json_t **out)
{
    *out = json_string(text);
    return *out ? PN_OK : PN_NOMEM;
}

static enum pn_rc apply_string(struct walk *walk, const struct pn_field *field, const json_t *in,
                               json_t **out)
{
    struct pn_slice text = pn_slice(json_string_value(in), json_string_length(in));
    size_t length = 0;

    if (!json_is_string(in))
        return PROBLEM(walk, "'%s' must be a string.", walk->path);
    if (!pn_text_length(text, &length) || (int64_t)length < field->min ||
        (int64_t)length > field->max)
        return PROBLEM(walk, "The length of '%s' must be between %lld and %lld characters.",
                       walk->path, (long long)field->min, (long long)field->max);
    if (memchr(text.ptr, 0, text.len))
        return PROBLEM(walk, "'%s' must not contain a NUL character.", walk->path);
    if (field->kind == PN_FIELD_URL && text.len > 0 && !pn_text_is_http_url(text) &&
        !((field->flags & PN_FIELD_WEBSOCKET) && pn_text_is_websocket_url(text)))
        return PROBLEM(walk, "'%s' must be an absolute http or https URL without user information.",
                       walk->path);
    *out = json_stringn(text.ptr, text.len);
    return *out ? PN_OK : PN_NOMEM;
}

static enum pn_rc apply_enum(struct walk *walk, const struct pn_field *field, const json_t *in,
                             json_t **out)
{
    struct pn_slice text = pn_slice(json_string_value(in), json_string_length(in));
    char allowed[160];
    size_t len = 0;

    allowed[0] = 0;
    for (size_t i = 0; field->values[i]; i++) {
        int added = 0;

        if (json_is_string(in) && pn_slice_case_eq_str(text, field->values[i]))
            return new_text(field->values[i], out);
        added = snprintf(allowed + len, sizeof(allowed) - len, "%s%s", i > 0 ? ", " : "",
                         field->values[i]);
        if (added > 0 && len + (size_t)added < sizeof(allowed))
            len += (size_t)added;
    }
    return PROBLEM(walk, "'%s' must be one of: %s.", walk->path, allowed);
}

static enum pn_rc apply_bool(struct walk *walk, const json_t *in, json_t **out)
{
    struct pn_slice text = pn_slice(json_string_value(in), json_string_length(in));
    bool is_true = json_is_true(in) || (json_is_string(in) && pn_slice_case_eq_str(text, "true"));
    bool is_false =
        json_is_false(in) || (json_is_string(in) && pn_slice_case_eq_str(text, "false"));

    if (!is_true && !is_false)
        return PROBLEM(walk, "'%s' must be true or false.", walk->path);
    *out = json_boolean(is_true);
    return PN_OK;
}

static enum pn_rc apply_int(struct walk *walk, const struct pn_field *field, const json_t *in,
                            json_t **out)
{
    int64_t value = 0;
    double real = 0;

    if (json_is_integer(in)) {
        value = json_integer_value(in);
    } else if (json_is_real(in)) {
        real = json_real_value(in);
        if (!(real >= -1e15 && real <= 1e15) || (double)(int64_t)real < real ||
            (double)(int64_t)real > real)
            return PROBLEM(walk, "'%s' must be a whole number.", walk->path);
        value = (int64_t)real;
    } else if (!json_is_string(in) ||
               !pn_text_to_i64(pn_slice(json_string_value(in), json_string_length(in)), &value)) {
        return PROBLEM(walk, "'%s' must be a whole number.", walk->path);
    }
    if (value < field->min || value > field->max)
        return PROBLEM(walk, "'%s' must be between %lld and %lld.", walk->path,
                       (long long)field->min, (long long)field->max);
    *out = json_integer(value);
    return *out ? PN_OK : PN_NOMEM;
}

static enum pn_rc apply_duration(struct walk *walk, const json_t *in, json_t **out)
{
    uint64_t ms = 0;

    if (!json_is_string(in) ||
        !pn_text_to_duration_ms(pn_slice(json_string_value(in), json_string_length(in)), &ms))
        return PROBLEM(walk, "'%s' must be an ISO 8601 duration such as PT1M.", walk->path);
    return new_text(json_string_value(in), out);
}

static bool is_absent(const struct pn_field *field, const json_t *value)
{
    if (!value || json_is_null(value))
        return true;
    return (field->flags & PN_FIELD_EMPTY_IS_ABSENT) && json_is_string(value) &&
           json_string_length(value) == 0;
}

static enum pn_rc apply_members(struct walk *walk, const struct pn_field *fields, const json_t *in,
                                json_t **out)
{
    enum pn_rc result = PN_OK;
    json_t *object = json_object();

    if (!object)
        return PN_NOMEM;
    for (const struct pn_field *field = fields; field->name; field++) {
        const json_t *value = json_object_get(in, field->name);
        json_t *member = NULL;
        size_t len = 0;
        enum pn_rc rc = PN_OK;

        if (field->flags & PN_FIELD_READ_ONLY)
            continue;
        if (is_absent(field, value)) {
            if (field->flags & PN_FIELD_REQUIRED) {
                len = enter(walk, field->name, 0);
                result = PROBLEM(walk, "'%s' is required.", walk->path);
                leave(walk, len);
            }
            continue;
        }
        len = enter(walk, field->name, 0);
        rc = apply_value(walk, field, value, &member);
        leave(walk, len);
        if (rc == PN_OK && json_object_set_new(object, field->name, member) != 0)
            rc = PN_NOMEM;
        if (rc != PN_OK)
            result = rc;
        if (rc == PN_NOMEM)
            break;
    }
    if (result == PN_OK)
        *out = object;
    else
        json_decref(object);
    return result;
}

static enum pn_rc apply_array(struct walk *walk, const struct pn_field *field, const json_t *in,
                              json_t **out)
{
    enum pn_rc result = PN_OK;
    json_t *array = NULL;

    if (!json_is_array(in))
        return PROBLEM(walk, "'%s' must be an array.", walk->path);
    if ((int64_t)json_array_size(in) < field->min || (int64_t)json_array_size(in) > field->max)
        return PROBLEM(walk, "'%s' must have between %lld and %lld entries.", walk->path,
                       (long long)field->min, (long long)field->max);
    array = json_array();
    if (!array)
        return PN_NOMEM;
    for (size_t i = 0; i < json_array_size(in); i++) {
        json_t *entry = NULL;
        size_t len = enter(walk, NULL, i);
        enum pn_rc rc = apply_value(walk, field->element, json_array_get(in, i), &entry);

        leave(walk, len);
        if (rc == PN_OK && json_array_append_new(array, entry) != 0)
            rc = PN_NOMEM;
        if (rc != PN_OK)
            result = rc;
        if (rc == PN_NOMEM)
            break;
    }
    if (result == PN_OK)
        *out = array;
    else
        json_decref(array);
    return result;
}

static enum pn_rc apply_map(struct walk *walk, const struct pn_field *field, const json_t *in,
                            json_t **out)
{
    enum pn_rc result = PN_OK;
    json_t *map = NULL;
    const char *name = NULL;
    void *position = NULL;
    /* jansson's iterators want a pointer that could change the object; this loop does not. */
    json_t *source = json_incref((json_t *)(uintptr_t)in);

    if (!json_is_object(in) || (int64_t)json_object_size(in) > field->max) {
        result = PROBLEM(walk, "'%s' must be an object with at most %lld members.", walk->path,
                         (long long)field->max);
        goto out;
    }
    map = json_object();
    if (!map) {
        result = PN_NOMEM;
        goto out;
    }
    for (position = json_object_iter(source); position;
         position = json_object_iter_next(source, position)) {
        json_t *member = NULL;
        size_t len = 0;
        enum pn_rc rc = PN_OK;

        name = json_object_iter_key(position);
        if (json_is_null(json_object_iter_value(position)))
            continue;
        len = enter(walk, name, 0);
        rc = apply_value(walk, field->element, json_object_iter_value(position), &member);
        leave(walk, len);
        if (rc == PN_OK && json_object_set_new(map, name, member) != 0)
            rc = PN_NOMEM;
        if (rc != PN_OK)
            result = rc;
        if (rc == PN_NOMEM)
            break;
    }
out:
    if (result == PN_OK)
        *out = map;
    else
        json_decref(map);
    json_decref(source);
    return result;
}

/** Whether the table has every member. */
static bool knows_members(struct walk *walk, const struct pn_field *fields, const json_t *in)
{
    json_t *members = (json_t *)(uintptr_t)in; /* the iterators want it so */
    bool knows_all = true;

    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
        const char *name = json_object_iter_key(at);
        const struct pn_field *field = fields;
        char known[160] = "";
        size_t len = 0;

        while (field->name && strcmp(field->name, name) != 0)
            field++;
        if (field->name)
            continue;
        for (field = fields; field->name && len < sizeof(known); field++)
            len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "",
                                    field->name);
        (void)PROBLEM(walk, "'%.60s' is unknown in '%s'; it can have: %s.", name, walk->path,
                      known);
        knows_all = false;
    }
    return knows_all;
}

static enum pn_rc apply_value(struct walk *walk, const struct pn_field *field, const json_t *in,
                              json_t **out)
{
    if (walk->depth > PN_SCHEMA_DEPTH_MAX)
        return PROBLEM(walk, "'%s' is nested too deeply.", walk->path);
    switch (field->kind) {
    case PN_FIELD_STRING:
    case PN_FIELD_URL:
        return apply_string(walk, field, in, out);
    case PN_FIELD_ENUM:
        return apply_enum(walk, field, in, out);
    case PN_FIELD_BOOL:
        return apply_bool(walk, in, out);
    case PN_FIELD_INT:
        return apply_int(walk, field, in, out);
    case PN_FIELD_DURATION:
        return apply_duration(walk, in, out);
    case PN_FIELD_OBJECT:
        if (!json_is_object(in))
            return PROBLEM(walk, "'%s' must be an object.", walk->path);
        if ((field->flags & PN_FIELD_STRICT) && !knows_members(walk, field->members, in))
            return PN_INVALID;
        return apply_members(walk, field->members, in, out);
    case PN_FIELD_ARRAY:
        return apply_array(walk, field, in, out);
    case PN_FIELD_MAP:
        return apply_map(walk, field, in, out);
    case PN_FIELD_ANY:
        *out = json_deep_copy(in);
        return *out ? PN_OK : PN_NOMEM;
    }
    return PN_INTERNAL;
}

enum pn_rc pn_schema_apply(const struct pn_field *fields, const json_t *in, json_t **out,
                           struct pn_problems *problems)
{
    struct walk walk = {.problems = problems, .path = "", .depth = 0};

    *out = NULL;
    if (in && !json_is_object(in) && !json_is_null(in))
        return pn_problem_add(problems, "properties", "'properties' must be an object.");
    return apply_members(&walk, fields, in, out);
}

json_t *pn_schema_merge(const json_t *stored, const json_t *patch)
{
    json_t *merged =
        json_is_object(stored) ? json_copy((json_t *)(uintptr_t)stored) : json_object();
    json_t *changes = (json_t *)(uintptr_t)patch;

    if (!merged)
        return NULL;
    for (void *position = json_object_iter(changes); position;
         position = json_object_iter_next(changes, position)) {
        const char *name = json_object_iter_key(position);
        json_t *value = json_object_iter_value(position);

        if (json_is_null(value)) {
            (void)json_object_del(merged, name);
        } else if (json_object_set(merged, name, value) != 0) {
            json_decref(merged);
            return NULL;
        }
    }
    return merged;
}
