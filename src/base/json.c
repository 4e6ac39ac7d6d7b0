/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson behind our errors and buffers.
 */
#include "base/json.h"

#include <string.h>
#include <strings.h>

enum pn_rc pn_json_parse(struct pn_slice text, json_t **out, struct pn_error *err)
{
    json_error_t problem;
    const char *reason;
    size_t reason_len;

    *out = json_loadb(text.ptr ? text.ptr : "", text.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (*out)
        return PN_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory while reading JSON");
    /* jansson ends its sentence with "near '<input>'": the input may be a secret. */
    reason = problem.text;
    reason_len = pn_slice_find_slice(pn_slice_str(reason), PN_LIT(" near "));
    return pn_error_set(err, PN_MALFORMED, "malformed_json",
                        "not valid JSON at line %d, column %d: %.*s", problem.line, problem.column,
                        (int)reason_len, reason);
}

struct sink {
    struct pn_buf *out;
    enum pn_rc rc;
};

static int on_bytes(const char *bytes, size_t len, void *ctx)
{
    struct sink *sink = ctx;

    sink->rc = pn_buf_append(sink->out, bytes, len);
    return sink->rc == PN_OK ? 0 : -1;
}

enum pn_rc pn_json_dump(const json_t *json, struct pn_buf *out)
{
    struct sink sink = {out, PN_OK};

    if (json_dump_callback(json, on_bytes, &sink, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return sink.rc != PN_OK ? sink.rc : PN_INTERNAL;
    return PN_OK;
}

const char *pn_json_str(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

struct pn_slice pn_json_slice(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);

    return pn_slice(json_string_value(value), json_string_length(value));
}

bool pn_json_bool(const json_t *object, const char *member, bool otherwise)
{
    const json_t *value = json_object_get(object, member);

    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

int64_t pn_json_int(const json_t *object, const char *member, int64_t otherwise)
{
    const json_t *value = json_object_get(object, member);

    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

json_t *pn_json_get_nocase(const json_t *object, const char *member)
{
    json_t *exact = json_object_get(object, member);
    void *it;

    if (exact || !json_is_object(object))
        return exact;
    /* jansson's iterators take a non-const object although they do not change it. */
    for (it = json_object_iter((json_t *)(uintptr_t)object); it;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        if (strcasecmp(json_object_iter_key(it), member) == 0)
            return json_object_iter_value(it);
    }
    return NULL;
}

json_t *pn_json_from_slice(struct pn_slice slice)
{
    return json_stringn(slice.ptr ? slice.ptr : "", slice.len);
}
