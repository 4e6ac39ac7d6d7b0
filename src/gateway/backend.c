/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a backend entity.
 */
#include "gateway/backend.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/headers.h"
#include "model/limits.h"
#include "model/text.h"

#define INTERVAL_DEFAULT_MS 60000
#define TRIP_DEFAULT_MS     60000

static enum pn_rc refuse(struct pn_error *err, const char *reason)
{
    return pn_error_set(err, PN_INVALID, "invalid_resource", "%s", reason);
}

/* --- certificates and credentials --- */

/** The last segment of "/…/certificates/c1". */
static const char *last_segment(const char *id)
{
    const char *slash = strrchr(id, '/');

    return slash ? slash + 1 : id;
}

static enum pn_rc read_certificate_ids(const json_t *list, struct pn_backend *backend,
                                       struct pn_error *err)
{
    size_t n = json_array_size(list);

    if (n > PN_BACKEND_CERTIFICATES_MAX)
        return refuse(err, "more than 32 credentials.certificateIds");
    if (n > 0)
        backend->certificate_ids = calloc(n, sizeof(const char *));
    if (n > 0 && !backend->certificate_ids)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a backend");
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(list, i));

        if (!id || *last_segment(id) == '\0')
            return refuse(err, "an entry of credentials.certificateIds is no certificate id");
        backend->certificate_ids[backend->certificate_id_count++] = last_segment(id);
    }
    return PN_OK;
}

static enum pn_rc read_thumbprints(const json_t *list, struct pn_backend *backend,
                                   struct pn_error *err)
{
    size_t n = json_array_size(list);

    if (n > PN_BACKEND_CERTIFICATES_MAX)
        return refuse(err, "more than 32 credentials.certificate");
    if (n > 0)
        backend->thumbprints = calloc(n, sizeof(*backend->thumbprints));
    if (n > 0 && !backend->thumbprints)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a backend");
    for (size_t i = 0; i < n; i++) {
        struct pn_slice text = pn_slice_str(json_string_value(json_array_get(list, i)));

        if (!pn_thumbprint_parse(text, backend->thumbprints[i]))
            return refuse(err, "an entry of credentials.certificate is no thumbprint");
        backend->thumbprint_count++;
    }
    return PN_OK;
}

/** {"name": ["value", …]}: names and values that can be sent. */
static enum pn_rc check_value_map(json_t *map, bool as_headers, json_t **out, struct pn_error *err)
{
    const char *name;
    json_t *values, *value;
    size_t i;

    if (!map || json_is_null(map))
        return PN_OK;
    if (!json_is_object(map))
        return refuse(err, "credentials.header and credentials.query must be objects");
    json_object_foreach(map, name, values)
    {
        if (as_headers && !pn_header_name_is_valid(pn_slice_str(name)))
            return refuse(err, "credentials.header has a name that is no header name");
        if (!json_is_array(values))
            return refuse(err, "credentials.header and credentials.query take lists of texts");
        json_array_foreach(values, i, value)
        {
            struct pn_slice text = pn_slice(json_string_value(value), json_string_length(value));

            if (!json_is_string(value) || (as_headers && !pn_header_value_is_valid(text)))
                return refuse(err, "credentials.header has a value that cannot be sent");
        }
    }
    *out = map;
    return PN_OK;
}

static enum pn_rc read_credentials(struct pn_backend *backend, json_t *credentials,
                                   const json_t *certificate_ids, struct pn_error *err)
{
    const json_t *authorization = json_object_get(credentials, "authorization");
    enum pn_rc rc = read_certificate_ids(
        certificate_ids ? certificate_ids : json_object_get(credentials, "certificateIds"), backend,
        err);

    if (rc == PN_OK)
        rc = read_thumbprints(json_object_get(credentials, "certificate"), backend, err);
    if (rc == PN_OK)
        rc = check_value_map(json_object_get(credentials, "header"), true, &backend->headers, err);
    if (rc == PN_OK)
        rc = check_value_map(json_object_get(credentials, "query"), false, &backend->query, err);
    if (rc != PN_OK || !json_is_object(authorization))
        return rc;
    backend->authorization_scheme = pn_json_str(authorization, "scheme");
    backend->authorization_parameter = pn_json_str(authorization, "parameter");
    if (!backend->authorization_scheme || !backend->authorization_parameter ||
        !pn_header_value_is_valid(pn_slice_str(backend->authorization_scheme)) ||
        !pn_header_value_is_valid(pn_slice_str(backend->authorization_parameter)))
        return refuse(err, "credentials.authorization needs a scheme and a parameter");
    return PN_OK;
}

/* --- pools --- */

/** `names`: of the members, lower case, in their order; without them, the last part of each id. */
static enum pn_rc read_pool(struct pn_backend *backend, const json_t *services, const json_t *names,
                            struct pn_error *err)
{
    size_t count = json_array_size(services);

    if (count == 0 || count > PN_BALANCE_MEMBERS_MAX)
        return refuse(err, "pool.services has no member, or too many");
    backend->members = calloc(count, sizeof(*backend->members));
    if (!backend->members)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a pool");
    for (size_t i = 0; i < count; i++) {
        const json_t *service = json_array_get(services, i);
        struct pn_pool_member *member = &backend->members[i];
        const char *name = json_string_value(json_array_get(names, i));

        if (!name)
            name = pn_json_str(service, "id");
        if (!name || *last_segment(name) == '\0')
            return refuse(err, "an entry of pool.services has no id");
        member->name = last_segment(name);
        member->weight = (unsigned)pn_json_int(service, "weight", 1);
        member->priority = (unsigned)pn_json_int(service, "priority", 0);
    }
    backend->member_count = count;
    return PN_OK;
}

/* --- circuit breaker --- */

static uint64_t duration(const json_t *object, const char *member, uint64_t otherwise)
{
    uint64_t ms = 0;

    return pn_text_to_duration_ms(pn_json_slice(object, member), &ms) && ms > 0 ? ms : otherwise;
}

static void read_matches(struct pn_breaker_match *match, const json_t *condition)
{
    const json_t *ranges = json_object_get(condition, "statusCodeRanges");
    const json_t *reasons = json_object_get(condition, "errorReasons");

    for (size_t i = 0; i < json_array_size(ranges) && i < PN_BREAKER_MATCHES_MAX; i++) {
        const json_t *range = json_array_get(ranges, i);

        match->ranges[i].min = (int)pn_json_int(range, "min", 0);
        match->ranges[i].max = (int)pn_json_int(range, "max", 0);
        match->range_count++;
    }
    for (size_t i = 0; i < json_array_size(reasons) && i < PN_BREAKER_MATCHES_MAX; i++) {
        const char *reason = json_string_value(json_array_get(reasons, i));

        if (reason)
            match->reasons[match->reason_count++] = reason;
    }
}

/** The first rule; of several, the service too honours one. */
static enum pn_rc read_breaker(struct pn_backend *backend, const json_t *circuit_breaker,
                               struct pn_error *err)
{
    const json_t *rules = json_object_get(circuit_breaker, "rules");
    const json_t *rule = json_array_get(rules, 0);
    const json_t *condition = json_object_get(rule, "failureCondition");
    struct pn_breaker_rule numbers = {
        .count = (unsigned)pn_json_int(condition, "count", 0),
        .percentage = (unsigned)pn_json_int(condition, "percentage", 0),
        .interval_ms = duration(condition, "interval", INTERVAL_DEFAULT_MS),
        .trip_ms = duration(rule, "tripDuration", TRIP_DEFAULT_MS),
    };

    if (!rule || (numbers.count == 0 && numbers.percentage == 0))
        return PN_OK; /* never trips */
    if (json_array_size(rules) > 1)
        pn_log(PN_LOG_WARN, "breaker_rules_ignored", "backend", PN_S(backend->name), "ignored",
               PN_I(json_array_size(rules) - 1), NULL);
    backend->match = calloc(1, sizeof(*backend->match));
    if (!backend->match || pn_breaker_create(&numbers, &backend->breaker) != PN_OK)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a circuit breaker");
    backend->breaker_json = circuit_breaker;
    backend->match->accept_retry_after = pn_json_bool(rule, "acceptRetryAfter", false);
    read_matches(backend->match, condition);
    return PN_OK;
}

void pn_backend_adopt(struct pn_backend *backend, const struct pn_backend *former)
{
    if (!backend->breaker || !former->breaker ||
        !json_equal(backend->breaker_json, former->breaker_json))
        return;
    pn_breaker_unref(backend->breaker);
    backend->breaker = pn_breaker_ref(former->breaker);
}

/* --- all of it --- */

enum pn_rc pn_backend_read(struct pn_backend *backend, json_t *properties, const json_t *internal,
                           struct pn_error *err)
{
    const json_t *tls = json_object_get(properties, "tls");
    const json_t *proxy = json_object_get(properties, "proxy");
    bool is_pool = pn_slice_case_eq_str(pn_json_slice(properties, "type"), "Pool");
    enum pn_rc rc;

    backend->reconnect_at_ms = pn_json_int(internal, "reconnectAtMs", 0);
    if (is_pool)
        return read_pool(backend, json_object_get(json_object_get(properties, "pool"), "services"),
                         json_object_get(internal, "members"), err);
    rc = pn_target_parse(pn_json_slice(properties, "url"), &backend->target, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_trust_wish_read(tls, &backend->wish, err);
    if (rc != PN_OK)
        return rc;
    rc = read_credentials(backend, json_object_get(properties, "credentials"),
                          json_object_get(internal, "certificateIds"), err);
    if (rc == PN_OK && json_is_object(proxy))
        rc = pn_proxy_create(pn_json_slice(proxy, "url"), pn_json_slice(proxy, "username"),
                             pn_json_slice(proxy, "password"), &backend->proxy, err);
    if (rc == PN_OK)
        rc = read_breaker(backend, json_object_get(properties, "circuitBreaker"), err);
    return rc;
}

void pn_backend_fini(struct pn_backend *backend)
{
    free(backend->members);
    free(backend->certificate_ids);
    free(backend->thumbprints);
    pn_trust_wish_fini(&backend->wish);
    free(backend->match);
    pn_breaker_unref(backend->breaker);
    pn_proxy_unref(backend->proxy);
}
