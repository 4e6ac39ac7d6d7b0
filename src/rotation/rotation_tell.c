/* SPDX-License-Identifier: Apache-2.0
 *
 * What is told of a generation beside its state: who uses the certificate, in the document and in
 * log lines.
 */
#include <string.h>

#include "base/json.h"
#include "rotation/rotation_internal.h"

void pn_rotation_set_usage(struct pn_rotation *rotation, pn_usage_fn usage, void *ctx)
{
    rotation->config.usage = usage;
    rotation->config.usage_ctx = ctx;
}

json_t *rotation_used_by(struct pn_rotation *rotation, const char *certificate_id)
{
    static const char service[] = "/service/";
    struct pn_error err = {0};
    json_t *users = NULL, *names = NULL;
    json_t *summary = NULL;

    if (!rotation->config.usage)
        return NULL;
    if (rotation->config.usage(rotation->config.usage_ctx, certificate_id, &users, &err) != PN_OK) {
        pn_log_error(PN_LOG_WARN, "rotation_without_usage", &err);
        return NULL;
    }
    names = json_array();
    for (size_t i = 0; i < json_array_size(users) && i < PN_ROTATION_USERS_MAX; i++) {
        const char *id = pn_json_str(json_array_get(users, i), "id");
        const char *at = id ? strcasestr(id, service) : NULL;
        const char *below = at ? strchr(at + strlen(service), '/') : NULL;

        (void)json_array_append_new(names, json_string(below ? below : id));
    }
    summary = json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(users), "names", names);
    json_decref(users);
    return summary;
}

/* The names as one text, for a log line. */
static void join_names(const json_t *summary, struct pn_buf *text)
{
    const json_t *name;
    size_t i;

    json_array_foreach(json_object_get(summary, "names"), i, name)
    {
        if (pn_buf_printf(text, "%s%s", i > 0 ? " " : "", json_string_value(name)) != PN_OK)
            break;
    }
}

void rotation_log_generation(enum pn_log_level level, const char *event, const char *certificate_id,
                             uint64_t number, const char *why, const char *text,
                             const json_t *summary)
{
    struct pn_buf names;

    pn_buf_init(&names, PN_ROTATION_USERS_MAX * 512);
    join_names(summary, &names);
    if (pn_buf_append(&names, "", 1) == PN_OK)
        pn_log(level, event, "certificate", PN_S(certificate_id), "generation", PN_I(number), why,
               PN_S(text), "users", PN_I(pn_json_int(summary, "count", 0)), "used_by",
               PN_S(names.ptr), NULL);
    pn_buf_fini(&names);
}
