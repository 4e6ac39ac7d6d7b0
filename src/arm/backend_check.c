/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backend must be beyond its schema: what the gateway could not act on is refused here.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "http/headers.h"
#include "http/uri.h"
#include "model/text.h"

static void check_value(struct pn_problems *problems, const char *target, const char *name,
                        struct pn_slice value)
{
    if (!pn_header_value_is_valid(value))
        pn_problem_add(problems, target,
                       "The value of '%s' has characters that a header or query "
                       "value must not have.",
                       name);
}

static void check_values(struct pn_problems *problems, const json_t *map, bool are_headers)
{
    const char *target = are_headers ? "credentials.header" : "credentials.query";
    json_t *members = (json_t *)(uintptr_t)map; /* the iterators want it so */

    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *values = json_object_iter_value(at);

        if (are_headers && !pn_header_name_is_valid(pn_slice_str(name)))
            pn_problem_add(problems, target, "'%.100s' is not a valid header name.", name);
        for (size_t i = 0; i < json_array_size(values); i++) {
            const json_t *value = json_array_get(values, i);

            check_value(problems, target, name,
                        pn_slice(json_string_value(value), json_string_length(value)));
        }
    }
}

static void check_credentials(struct pn_problems *problems, const json_t *credentials)
{
    const json_t *authorization = json_object_get(credentials, "authorization");

    check_values(problems, json_object_get(credentials, "header"), true);
    check_values(problems, json_object_get(credentials, "query"), false);
    if (!authorization)
        return;
    check_value(problems, "credentials.authorization", "scheme",
                pn_json_slice(authorization, "scheme"));
    check_value(problems, "credentials.authorization", "parameter",
                pn_json_slice(authorization, "parameter"));
}

/** Basic authentication (RFC 7617 §2): a user name has no colon, neither has control characters. */
static void check_proxy(struct pn_problems *problems, const json_t *proxy)
{
    struct pn_slice url = pn_json_slice(proxy, "url");
    struct pn_slice username = pn_json_slice(proxy, "username");
    struct pn_slice password = pn_json_slice(proxy, "password");
    struct pn_error err = {0};
    struct pn_uri uri;

    if (!proxy)
        return;
    if (pn_uri_parse(url, &uri, &err) != PN_OK)
        pn_problem_add(problems, "proxy.url", "'proxy.url' cannot be used: %s.", err.message);
    else if (!pn_slice_case_eq_str(uri.scheme, "http") &&
             !pn_slice_case_eq_str(uri.scheme, "https"))
        pn_problem_add(problems, "proxy.url", "'proxy.url' must start with http:// or https://.");
    if (pn_slice_find(username, ':') < username.len || pn_text_has_control(username))
        pn_problem_add(problems, "proxy.username",
                       "'proxy.username' must have no colon and no control characters.");
    if (pn_text_has_control(password))
        pn_problem_add(problems, "proxy.password",
                       "'proxy.password' must have no control characters.");
}

static void check_duration(struct pn_problems *problems, const char *name, struct pn_slice text)
{
    uint64_t ms = 0;

    if (text.len > 0 && pn_text_to_duration_ms(text, &ms) &&
        (ms == 0 || ms > PN_BREAKER_TIME_MS_MAX))
        pn_problem_add(problems, "circuitBreaker.rules",
                       "'%s' must be more than zero and at most one day (P1D).", name);
}

static void check_rule(struct pn_problems *problems, const json_t *rule)
{
    const json_t *condition = json_object_get(rule, "failureCondition");
    const json_t *ranges = json_object_get(condition, "statusCodeRanges");
    bool has_count = json_object_get(condition, "count") != NULL;
    bool has_percentage = json_object_get(condition, "percentage") != NULL;

    if (has_count && has_percentage)
        pn_problem_add(problems, "circuitBreaker.rules",
                       "'count' and 'percentage' cannot both be given in one rule.");
    if (!has_count && !has_percentage)
        pn_problem_add(problems, "circuitBreaker.rules",
                       "A rule needs 'failureCondition.count' or 'failureCondition.percentage'.");
    check_duration(problems, "interval", pn_json_slice(condition, "interval"));
    check_duration(problems, "tripDuration", pn_json_slice(rule, "tripDuration"));
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        const json_t *range = json_array_get(ranges, i);

        if (pn_json_int(range, "min", 0) > pn_json_int(range, "max", 0))
            pn_problem_add(problems, "circuitBreaker.rules",
                           "In 'statusCodeRanges' a 'min' is greater than its 'max'.");
    }
}

static void check_single(struct pn_problems *problems, const json_t *properties)
{
    if (!json_object_get(properties, "url"))
        pn_problem_add(problems, "url", "'url' is required.");
    if (!json_object_get(properties, "protocol"))
        pn_problem_add(problems, "protocol", "'protocol' is required.");
    if (json_object_get(properties, "pool"))
        pn_problem_add(problems, "pool", "'pool' is for a backend of type Pool only.");
}

void arm_backend_check(struct pn_problems *problems, const json_t *properties)
{
    const char *type = pn_json_str(properties, "type");
    const json_t *rules = json_object_get(json_object_get(properties, "circuitBreaker"), "rules");

    if (!type || strcmp(type, "Pool") != 0)
        check_single(problems, properties);
    else if (!json_object_get(properties, "pool"))
        pn_problem_add(problems, "pool", "'pool' is required for a backend of type Pool.");
    arm_check_backend_url(problems, "url", pn_json_slice(properties, "url"));
    check_credentials(problems, json_object_get(properties, "credentials"));
    check_proxy(problems, json_object_get(properties, "proxy"));
    for (size_t i = 0; i < json_array_size(rules); i++)
        check_rule(problems, json_array_get(rules, i));
}
