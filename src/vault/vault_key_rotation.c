/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotation policies of keys: when a new version is made by itself, and when somebody is told.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vault/vault_key.h"

#define DAY_S          86400
#define ACTIONS_MAX    10
#define EXPIRY_DAYS    28 /* at least, as in Key Vault */
#define NUMBER_MAX     10000
#define TRIGGER_DAYS   7
#define DURATION_MAX   32
#define DEFAULT_NOTICE "P30D"

/* ISO 8601: years, months, days. */
static bool read_duration(const char *text, int parts[3])
{
    static const char units[] = "YMD";
    int unit = 0;

    parts[0] = parts[1] = parts[2] = 0;
    if (!text || *text != 'P' || !text[1] || strlen(text) >= DURATION_MAX)
        return false;
    for (text++; *text; text++) {
        int number = 0;

        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            number = 10 * number + (*text - '0');
            if (number > NUMBER_MAX)
                return false;
        }
        while (unit < 3 && units[unit] != *text)
            unit++;
        if (unit == 3)
            return false;
        parts[unit++] = number;
    }
    return true;
}

int64_t vault_after_duration(int64_t from_s, const char *duration, bool is_before)
{
    time_t from = (time_t)from_s;
    int parts[3], sign = is_before ? -1 : 1;
    struct tm date;

    if (!read_duration(duration, parts))
        return -1;
    gmtime_r(&from, &date);
    date.tm_year += sign * parts[0];
    date.tm_mon += sign * parts[1];
    date.tm_mday += sign * parts[2];
    return (int64_t)timegm(&date); /* normalises */
}

static bool is_at_least(const char *duration, int days)
{
    return vault_after_duration(0, duration, false) >= (int64_t)days * DAY_S;
}

static enum pn_rc invalid(struct pn_error *err, const char *member, const char *why)
{
    return pn_error_set(err, PN_INVALID, "BadParameter", "Property %s has invalid value: %s",
                        member, why);
}

/* One action as it is kept. */
static enum pn_rc read_action(const json_t *given, const char *expiry, json_t **kept,
                              struct pn_error *err)
{
    const json_t *trigger = json_object_get(given, "trigger");
    const char *after = pn_json_str(trigger, "timeAfterCreate");
    const char *before = pn_json_str(trigger, "timeBeforeExpiry");
    const char *type = pn_json_str(json_object_get(given, "action"), "type");
    bool rotates = type && pn_slice_case_eq_str(pn_slice_str(type), "Rotate");

    if (!type || (!rotates && !pn_slice_case_eq_str(pn_slice_str(type), "Notify")))
        return invalid(err, "lifetimeActions.action.type", "Rotate or Notify");
    if (!after == !before)
        return invalid(err, "lifetimeActions.trigger",
                       "one of timeAfterCreate and timeBeforeExpiry");
    if (!rotates && after)
        return invalid(err, "lifetimeActions.trigger",
                       "Notify takes timeBeforeExpiry, not timeAfterCreate");
    if (!is_at_least(after ? after : before, TRIGGER_DAYS))
        return invalid(err, "lifetimeActions.trigger",
                       "a duration of at least 7 days, like P30D, P6M or P1Y");
    if (before && rotates && !expiry)
        return invalid(err, "attributes.expiryTime", "it is needed by an action before the expiry");
    if (expiry && vault_after_duration(0, after ? after : before, false) >=
                      vault_after_duration(0, expiry, false))
        return invalid(err, "lifetimeActions.trigger", "it must be shorter than expiryTime");
    *kept =
        json_pack("{s:{s:s}, s:{s:s}}", "trigger", after ? "timeAfterCreate" : "timeBeforeExpiry",
                  after ? after : before, "action", "type", rotates ? "Rotate" : "Notify");
    return *kept ? PN_OK : PN_NOMEM;
}

static enum pn_rc read_policy(const struct vault_call *call, const json_t *given,
                              const json_t *former, json_t **policy, struct pn_error *err)
{
    const json_t *actions = json_object_get(given, "lifetimeActions");
    const char *expiry = pn_json_str(json_object_get(given, "attributes"), "expiryTime");
    json_int_t now_s = (json_int_t)call->vault->now_s();
    json_int_t created_s =
        (json_int_t)pn_json_int(json_object_get(former, "attributes"), "created", now_s);
    json_t *list = json_array(), *entry;
    enum pn_rc rc = PN_OK;
    size_t index;

    if (expiry && !is_at_least(expiry, EXPIRY_DAYS))
        rc = invalid(err, "attributes.expiryTime", "a duration of at least 28 days, like P90D");
    if (actions && (!json_is_array(actions) || json_array_size(actions) > ACTIONS_MAX))
        rc = invalid(err, "lifetimeActions", "a list of actions");
    json_array_foreach(actions, index, entry)
    {
        json_t *kept = NULL;

        if (rc == PN_OK)
            rc = read_action(entry, expiry, &kept, err);
        if (rc == PN_OK && json_array_append_new(list, kept) != 0)
            rc = PN_NOMEM;
    }
    *policy = rc == PN_OK
                  ? json_pack("{s:O, s:{s:s*, s:I, s:I}}", "lifetimeActions", list, "attributes",
                              "expiryTime", expiry, "created", created_s, "updated", now_s)
                  : NULL;
    json_decref(list);
    return rc == PN_OK && !*policy ? PN_NOMEM : rc;
}

static void answer_policy(struct vault_call *call, const json_t *head)
{
    const char *name = pn_json_str(head, "name");
    json_t *policy =
        json_deep_copy(json_object_get(json_object_get(head, "properties"), "rotation"));
    char path[NAME_TEXT + 32];

    if (!policy)
        policy =
            json_pack("{s:[{s:{s:s}, s:{s:s}}], s:{}}", "lifetimeActions", "trigger",
                      "timeBeforeExpiry", DEFAULT_NOTICE, "action", "type", "Notify", "attributes");
    snprintf(path, sizeof path, "%s/rotationpolicy", name);
    if (policy)
        json_object_set_new(policy, "id", vault_url(call, "keys", path, NULL));
    vault_answer_json(call, 200, policy);
}

/* The head of a key. False: answered. */
static bool find_key(struct vault_call *call, struct pn_store_item *head)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, KIND_KEY, head, &item, &err);
    bool is_key = rc == PN_OK && strcmp(item.type, KEY_TYPE) == 0;

    if (rc != PN_OK)
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
    else if (!is_key)
        vault_answer_error(call->response, 403, "Forbidden", "ManagedKey",
                           "The key %s belongs to the certificate of that name, whose policy says "
                           "when it is renewed.",
                           call->name);
    pn_store_item_fini(&item);
    return is_key;
}

void vault_get_rotation_policy(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (find_key(call, &head))
        answer_policy(call, head.body);
    pn_store_item_fini(&head);
}

void vault_set_rotation_policy(struct vault_call *call)
{
    struct vault_change change = {.kind = KIND_KEY};
    json_t *given = vault_read_body(call), *policy = NULL, *changed = NULL;
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!given)
        return;
    if (find_key(call, &head)) {
        rc = read_policy(call, given,
                         json_object_get(json_object_get(head.body, "properties"), "rotation"),
                         &policy, &err);
        change.rotation = policy;
        if (rc == PN_OK)
            rc = vault_change(call, &change, &changed, NULL, &err);
        if (rc == PN_OK) {
            answer_policy(call, changed);
            vault_wake(call->vault);
        } else {
            vault_answer_failure(call, rc, &err);
        }
    }
    json_decref(given);
    json_decref(policy);
    json_decref(changed);
    pn_store_item_fini(&head);
}
