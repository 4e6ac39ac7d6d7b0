/* SPDX-License-Identifier: Apache-2.0
 *
 * See generations.h. An entry: {number, state, cause, properties, internal, stagedAt, preflightAt?,
 * promotedAt?, drainingAt?, drainUntilMs?, retiredAt?, refusal?, verdicts?, usedBy? {count,
 * names}}.
 */
#include "rotation/generations.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "rotation/generation.h"

static json_t *list_of(const json_t *body)
{
    return json_object_get(json_object_get(body, "internal"), "generations");
}

static bool is_state(const json_t *entry, const char *state)
{
    return pn_slice_eq_str(pn_json_slice(entry, "state"), state);
}

static int set_time(json_t *entry, const char *member, int64_t now_ms)
{
    char text[PN_TIME_TEXT];

    pn_time_iso8601_ticks(now_ms, text);
    return json_object_set_new(entry, member, json_string(text));
}

static int set_state(json_t *entry, const char *state, const char *member, int64_t now_ms)
{
    return json_object_set_new(entry, "state", json_string(state)) == 0
               ? set_time(entry, member, now_ms)
               : -1;
}

json_t *pn_generations_at(const json_t *body, uint64_t number)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list_of(body), i, entry)
    {
        if ((uint64_t)pn_json_int(entry, "number", 0) == number)
            return entry;
    }
    return NULL;
}

json_t *pn_generations_find(const json_t *body, const char *state)
{
    const json_t *list = list_of(body);

    for (size_t i = json_array_size(list); i-- > 0;) {
        if (is_state(json_array_get(list, i), state))
            return json_array_get(list, i);
    }
    return NULL;
}

/** The way back leads to it rather than to `other`: that was refused, or ended to serve earlier. */
static bool is_better_former(const json_t *entry, const json_t *other)
{
    bool is_refused = json_object_get(entry, "refusal") != NULL;

    if (!other || is_refused != (json_object_get(other, "refusal") != NULL))
        return !other || !is_refused;
    return pn_json_int(entry, "drainUntilMs", 0) >= pn_json_int(other, "drainUntilMs", 0);
}

json_t *pn_generations_former(const json_t *body)
{
    json_t *entry, *former = NULL;
    size_t i;

    json_array_foreach(list_of(body), i, entry)
    {
        if (is_state(entry, "draining") && is_better_former(entry, former))
            former = entry;
    }
    return former;
}

/** What the document itself is, as an entry: of a certificate made before there were entries. */
static json_t *entry_of_current(const json_t *body, int64_t now_ms)
{
    json_t *internal = json_deep_copy(json_object_get(body, "internal"));
    json_t *entry;

    (void)json_object_del(internal, "generations");
    entry = json_pack("{s:I, s:s, s:s, s:o, s:o}", "number",
                      (json_int_t)pn_json_int(internal, "generation", 1), "state", "current",
                      "cause", "upload", "properties",
                      json_deep_copy(json_object_get(body, "properties")), "internal", internal);
    if (entry && set_time(entry, "promotedAt", now_ms) == 0)
        return entry;
    json_decref(entry);
    return NULL;
}

/** The list, made when there is none yet. NULL: no memory. */
static json_t *list_for(json_t *body, int64_t now_ms)
{
    json_t *internal = json_object_get(body, "internal");
    json_t *list = list_of(body);

    if (list)
        return list;
    list = json_array();
    if (!list || json_object_set_new(internal, "generations", list) != 0)
        return NULL;
    if (json_object_get(internal, "keyId") &&
        json_array_append_new(list, entry_of_current(body, now_ms)) != 0)
        return NULL;
    return list;
}

static bool is_same_text(const json_t *a, const json_t *b, const char *member)
{
    return pn_slice_eq(pn_json_slice(a, member), pn_json_slice(b, member));
}

bool pn_generations_is(const json_t *entry, const json_t *internal)
{
    const json_t *own = json_object_get(entry, "internal");

    return is_same_text(own, internal, "keyId") && json_object_get(own, "chain") &&
           json_equal(json_object_get(own, "chain"), json_object_get(internal, "chain"));
}

/** Same key and chain from the same place: nothing that a backend or a person could tell apart. */
static bool is_same(const json_t *entry, const json_t *properties, const json_t *internal)
{
    const json_t *own = json_object_get(entry, "internal");
    const json_t *vault = json_object_get(json_object_get(entry, "properties"), "keyVault");

    return is_same_text(own, internal, "keyId") && is_same_text(own, internal, "secretVersion") &&
           json_equal(json_object_get(own, "chain"), json_object_get(internal, "chain")) &&
           pn_generation_is_same_source(vault, json_object_get(properties, "keyVault"));
}

bool pn_generations_serves(const json_t *body, const json_t *properties, const json_t *internal)
{
    return is_same(body, properties, internal);
}

static bool retire(json_t *entry, int64_t now_ms)
{
    if (set_state(entry, "retired", "retiredAt", now_ms) != 0)
        return false;
    (void)json_object_del(json_object_get(entry, "internal"), "chain");
    (void)json_object_del(entry, "drainUntilMs");
    return true;
}

/** The oldest retired ones go. When that is not enough, rotations come faster than they drain: the
 * oldest that drain go before their time. The gateway drains its connections all the same;
 * only the way back is gone. */
static void forget_old(json_t *list)
{
    size_t i = 0;

    while (json_array_size(list) > PN_GENERATIONS_KEPT_MAX && i < json_array_size(list)) {
        if (is_state(json_array_get(list, i), "retired"))
            (void)json_array_remove(list, i);
        else
            i++;
    }
    i = 0;
    while (json_array_size(list) > PN_GENERATIONS_KEPT_MAX && i < json_array_size(list)) {
        if (is_state(json_array_get(list, i), "draining"))
            (void)json_array_remove(list, i);
        else
            i++;
    }
}

uint64_t pn_generations_stage(json_t *body, const json_t *properties, const json_t *internal,
                              const char *cause, int64_t now_ms)
{
    json_t *list = list_for(body, now_ms);
    json_t *entry, *own;
    uint64_t number = 0;
    size_t i;

    if (!list)
        return 0;
    json_array_foreach(list, i, entry)
    {
        if ((is_state(entry, "staged") || is_state(entry, "current")) &&
            is_same(entry, properties, internal))
            return (uint64_t)pn_json_int(entry, "number", 0);
        if ((uint64_t)pn_json_int(entry, "number", 0) > number)
            number = (uint64_t)pn_json_int(entry, "number", 0);
    }
    /* Of what is staged only the newest waits. */
    for (entry = pn_generations_find(body, "staged"); entry;
         entry = pn_generations_find(body, "staged")) {
        if (!retire(entry, now_ms))
            return 0;
    }
    number++;
    own = json_deep_copy(internal);
    entry = json_pack("{s:I, s:s, s:s, s:o, s:o}", "number", (json_int_t)number, "state", "staged",
                      "cause", cause, "properties", json_deep_copy(properties), "internal", own);
    if (!entry || json_object_set_new(own, "generation", json_integer((json_int_t)number)) != 0 ||
        set_time(entry, "stagedAt", now_ms) != 0 || json_array_append(list, entry) != 0)
        number = 0;
    json_decref(entry);
    forget_old(list);
    return number;
}

/** The document becomes this generation. */
static enum pn_rc serve_by(json_t *body, const json_t *entry)
{
    json_t *list = json_incref(list_of(body));
    json_t *properties = json_deep_copy(json_object_get(entry, "properties"));
    json_t *internal = json_deep_copy(json_object_get(entry, "internal"));
    bool is_done =
        properties && internal && json_object_set_new(internal, "generations", list) == 0;

    if (is_done)
        is_done = json_object_set(body, "properties", properties) == 0 &&
                  json_object_set(body, "internal", internal) == 0;
    json_decref(properties);
    json_decref(internal);
    return is_done ? PN_OK : PN_NOMEM;
}

enum pn_rc pn_generations_promote(json_t *body, uint64_t number, const char *cause, int64_t now_ms,
                                  int64_t drain_until_ms, struct pn_error *err)
{
    json_t *list = list_for(body, now_ms);
    json_t *entry = pn_generations_at(body, number);
    json_t *former = pn_generations_find(body, "current");

    if (!entry)
        return pn_error_set(err, list ? PN_NOT_FOUND : PN_NOMEM, "no_generation",
                            "there is no generation %llu", (unsigned long long)number);
    if (is_state(entry, "retired") || is_state(entry, "current"))
        return pn_error_set(err, PN_INVALID, "generation_state", "generation %llu is %s already",
                            (unsigned long long)number, pn_json_str(entry, "state"));
    if (former && (set_state(former, "draining", "drainingAt", now_ms) != 0 ||
                   json_object_set_new(former, "drainUntilMs", json_integer(drain_until_ms)) != 0))
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (set_state(entry, "current", "promotedAt", now_ms) != 0 ||
        json_object_set_new(entry, "cause", json_string(cause)) != 0 ||
        serve_by(body, entry) != PN_OK)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    (void)json_object_del(entry, "refusal");
    (void)json_object_del(entry, "drainUntilMs");
    return PN_OK;
}

enum pn_rc pn_generations_note(json_t *body, uint64_t number, json_t *verdicts, const char *refusal,
                               int64_t now_ms)
{
    json_t *entry = pn_generations_at(body, number);

    if (!entry)
        return PN_NOT_FOUND;
    (void)json_object_del(entry, "refusal");
    if (set_time(entry, "preflightAt", now_ms) != 0 ||
        (verdicts && json_object_set(entry, "verdicts", verdicts) != 0) ||
        (refusal && json_object_set_new(entry, "refusal", json_string(refusal)) != 0))
        return PN_NOMEM;
    return PN_OK;
}

enum pn_rc pn_generations_note_users(json_t *body, uint64_t number, json_t *used_by)
{
    json_t *entry = pn_generations_at(body, number);

    if (!entry)
        return PN_NOT_FOUND;
    return !used_by || json_object_set(entry, "usedBy", used_by) == 0 ? PN_OK : PN_NOMEM;
}

bool pn_generations_retire(json_t *body, int64_t now_ms, int64_t *next_ms)
{
    bool has_changed = false;
    json_t *entry;
    size_t i;

    json_array_foreach(list_of(body), i, entry)
    {
        int64_t until_ms = pn_json_int(entry, "drainUntilMs", 0);

        if (!is_state(entry, "draining"))
            continue;
        if (until_ms <= now_ms) {
            has_changed = retire(entry, now_ms) || has_changed;
        } else if (until_ms < *next_ms) {
            *next_ms = until_ms;
        }
    }
    return has_changed;
}

bool pn_generations_uses_key(const json_t *body, const char *key_id)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list_of(body), i, entry)
    {
        if (!is_state(entry, "retired") &&
            pn_slice_eq_str(pn_json_slice(json_object_get(entry, "internal"), "keyId"), key_id))
            return true;
    }
    return false;
}

static json_t *view_of(const json_t *entry)
{
    static const char *const shown[] = {"number",      "state",      "cause",      "stagedAt",
                                        "preflightAt", "promotedAt", "drainingAt", "retiredAt",
                                        "refusal",     "verdicts",   "usedBy"};
    static const char *const facts[] = {"subject", "thumbprint", "expirationDate", "warnings"};
    const json_t *properties = json_object_get(entry, "properties");
    const json_t *internal = json_object_get(entry, "internal");
    json_t *view = json_object();

    for (size_t i = 0; view && i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (json_object_get(entry, shown[i]))
            (void)json_object_set(view, shown[i], json_object_get(entry, shown[i]));
    }
    for (size_t i = 0; view && i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (json_object_get(properties, facts[i]))
            (void)json_object_set(view, facts[i], json_object_get(properties, facts[i]));
    }
    /* The certificate itself, for a download: the leaf is first. */
    if (view && json_array_size(json_object_get(internal, "chain")) > 0)
        (void)json_object_set(view, "cer", json_array_get(json_object_get(internal, "chain"), 0));
    if (view && json_object_get(internal, "secretVersion"))
        (void)json_object_set(view, "secretVersion", json_object_get(internal, "secretVersion"));
    return view;
}

json_t *pn_generations_view(const json_t *body)
{
    json_t *view = json_array();
    json_t *entry;
    size_t i;

    if (view && !list_of(body)) { /* made before entries were kept: there is one */
        entry = entry_of_current(body, 0);
        (void)json_object_del(entry, "promotedAt");
        (void)json_array_append_new(view, view_of(entry));
        json_decref(entry);
    }
    json_array_foreach(list_of(body), i, entry)
    {
        (void)json_array_append_new(view, view_of(entry));
    }
    return view;
}
