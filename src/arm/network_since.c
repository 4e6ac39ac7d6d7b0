/* SPDX-License-Identifier: Apache-2.0
 *
 * Since when a dependency is as networkstatus found it. Of key vaults the store knows; all else is
 * tried at each look, and what the last look found is remembered here, in memory: {service: {name:
 * {status, code, since}}}. As many entries as one answer has.
 */
#include <string.h>

#include "arm/network_status.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = pn_json_str(object, name);

    return text ? text : "";
}

/* "Backend orders https://orders:443"; two backends may have one address. NULL: no memory. */
static json_t *name_of(const json_t *entry)
{
    return json_sprintf("%s %s %s", text_of(entry, "resourceType"),
                        text_of(json_object_get(entry, "postern"), "backend"),
                        text_of(entry, "name"));
}

static bool is_same(const json_t *former, const json_t *now, const char *name)
{
    return strcmp(text_of(former, name), text_of(now, name)) == 0;
}

/* The entry's line in the new table; its time is the former one's when nothing has changed. */
static void note(const json_t *former, json_t *table, json_t *entry)
{
    json_t *name = name_of(entry);
    const json_t *known = name ? json_object_get(former, json_string_value(name)) : NULL;
    json_t *now = json_pack("{s:s, s:s, s:s}", "status", text_of(entry, "status"), "code",
                            text_of(json_object_get(entry, "postern"), "code"), "since",
                            text_of(entry, "lastStatusChange"));

    if (known && is_same(known, now, "status") && is_same(known, now, "code")) {
        json_t *since = json_object_get(known, "since");

        (void)json_object_set(entry, "lastStatusChange", since);
        (void)json_object_set(now, "since", since);
    }
    if (name && now) /* else the next look begins anew */
        (void)json_object_set(table, json_string_value(name), now);
    json_decref(name);
    json_decref(now);
}

void arm_network_since(struct pn_arm *arm, const char *service_id, json_t *list)
{
    json_t *table = json_object();
    const json_t *former;
    json_t *entry;
    size_t i;

    pthread_mutex_lock(&arm->since_lock);
    if (!arm->since)
        arm->since = json_object();
    former = json_object_get(arm->since, service_id);
    json_array_foreach(list, i, entry)
    {
        if (strcmp(text_of(entry, "resourceType"), "AzureKeyVault") != 0)
            note(former, table, entry);
    }
    (void)json_object_set_new(arm->since, service_id, table);
    pthread_mutex_unlock(&arm->since_lock);
}
