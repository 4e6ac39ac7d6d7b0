/* SPDX-License-Identifier: Apache-2.0
 *
 * See uses_answer.h.
 */
#include "gateway/uses_answer.h"

#include <stdlib.h>

#include "base/json.h"
#include "upstream/uses.h"

typedef void (*each_fn)(const char *certificate, uint64_t generation, const char *backend);

static void for_each(const json_t *list, each_fn each)
{
    const json_t *triple;
    size_t i;

    json_array_foreach(list, i, triple)
    {
        const char *certificate = json_string_value(json_array_get(triple, 0));
        const char *backend = json_string_value(json_array_get(triple, 2));

        if (certificate && backend)
            each(certificate, (uint64_t)json_integer_value(json_array_get(triple, 1)), backend);
    }
}

static json_t *use_json(const struct pn_use *use)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:b}", "certificate", use->certificate,
                     "generation", (json_int_t)use->generation, "thumbprint", use->thumbprint,
                     "backend", use->backend, "firstMs", (json_int_t)use->first_ms, "lastMs",
                     (json_int_t)use->last_ms, "open", (json_int_t)use->open, "isTold",
                     use->is_told);
}

json_t *pn_uses_answer(const json_t *question)
{
    const json_t *wish = json_object_get(question, "uses");
    struct pn_use *uses = calloc(PN_USES_MAX, sizeof(*uses));
    size_t skip = (size_t)pn_json_int(wish, "skip", 0);
    json_t *list = json_array();
    size_t total = 0;

    for_each(json_object_get(wish, "tell"), pn_uses_tell);
    for_each(json_object_get(wish, "forget"), pn_uses_forget);
    if (uses)
        total = pn_uses_read(uses, PN_USES_MAX);
    for (size_t i = skip; list && i < total && i < skip + PN_USES_PAGE_MAX; i++)
        (void)json_array_append_new(list, use_json(&uses[i]));
    free(uses);
    return json_pack("{s:o, s:I, s:I}", "uses", list, "total", (json_int_t)total, "dropped",
                     (json_int_t)pn_uses_dropped());
}
