/* SPDX-License-Identifier: Apache-2.0
 *
 * See outbound.h. The subnet's own address is any of its prefixes: a rule whose source has only a
 * part of them counts when it denies, and does not when it allows; source ports likewise, because
 * the system chooses them.
 */
#include "network/outbound.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "network/denials.h"
#include "network/security_rule.h"

#define RANGES_MAX 256 /* of one list */
#define PLACES_MAX 32  /* of own services */
#define NAME_MAX   96

struct ranges {
    struct pn_cidr *items;
    size_t count;
};

/** Where an own vault or authority is. */
struct place {
    enum pn_service_tag tag;
    char *host;
    uint16_t port;
    struct ranges addresses;
};

struct pn_outbound {
    atomic_uint refs;
    bool refuses_all;
    char group[NAME_MAX];
    struct pn_security_rule *rules; /* outbound and for TCP, by priority */
    size_t rule_count;
    struct ranges subnet, network;
    struct place *places;
    size_t place_count;
};

/* --- the public internet --- */

/* What is not reached over the internet: RFC 6890, RFC 4193, RFC 6598. */
static const struct pn_cidr not_public[] = {
    {AF_INET, {0}, 8},         {AF_INET, {10}, 8},          {AF_INET, {100, 64}, 10},
    {AF_INET, {127}, 8},       {AF_INET, {169, 254}, 16},   {AF_INET, {172, 16}, 12},
    {AF_INET, {192, 168}, 16}, {AF_INET, {224}, 3},         {AF_INET6, {0}, 127}, /* :: and ::1 */
    {AF_INET6, {0xfc}, 7},     {AF_INET6, {0xfe, 0x80}, 9}, /* link-local, and the site-local that
                                                               was */
    {AF_INET6, {0xff}, 8},
};

static const struct pn_cidr own_machine[] = {
    {AF_INET, {127}, 8},
    {AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128},
};

static bool is_in(const struct pn_address *address, const struct pn_cidr *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pn_address_in(address, &ranges[i]))
            return true;
    }
    return false;
}

#define IS_IN(address, list) is_in(address, list, sizeof(list) / sizeof((list)[0]))

/* --- reading --- */

static enum pn_rc read_ranges(const json_t *list, struct ranges *out, struct pn_error *err)
{
    json_t *text;
    size_t index;

    if (json_array_size(list) > RANGES_MAX)
        return pn_error_set(err, PN_LIMIT, "outbound_rules", "more than %d prefixes", RANGES_MAX);
    out->items = calloc(json_array_size(list) + 1, sizeof *out->items);
    if (!out->items)
        return PN_NOMEM;
    json_array_foreach(list, index, text)
    {
        enum pn_rc rc = pn_cidr_parse(pn_slice(json_string_value(text), json_string_length(text)),
                                      &out->items[out->count++], err);

        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static enum pn_rc read_places(struct pn_outbound *rules, const json_t *tags, struct pn_error *err)
{
    const char *name;
    json_t *list, *entry;
    size_t index;

    rules->places = calloc(PLACES_MAX, sizeof *rules->places);
    if (!rules->places)
        return PN_NOMEM;
    json_object_foreach((json_t *)(uintptr_t)tags, name, list)
    {
        json_array_foreach(list, index, entry)
        {
            struct place *place = &rules->places[rules->place_count];
            enum pn_rc rc;

            if (rules->place_count == PLACES_MAX)
                return pn_error_set(err, PN_LIMIT, "outbound_rules", "more than %d own services",
                                    PLACES_MAX);
            rules->place_count++;
            place->tag = pn_service_tag_from(pn_slice_str(name));
            place->host = pn_slice_dup(pn_json_slice(entry, "host"));
            place->port = (uint16_t)pn_json_int(entry, "port", 0);
            rc = place->host
                     ? read_ranges(json_object_get(entry, "addresses"), &place->addresses, err)
                     : PN_NOMEM;
            if (rc != PN_OK)
                return rc;
        }
    }
    return PN_OK;
}

static int by_priority(const void *a, const void *b)
{
    const struct pn_security_rule *one = a, *other = b;

    return one->priority < other->priority ? -1 : one->priority > other->priority;
}

static enum pn_rc read_rules(struct pn_outbound *rules, const json_t *list, struct pn_error *err)
{
    json_t *entry;
    size_t index;

    if (json_array_size(list) > PN_OUTBOUND_RULES_MAX)
        return pn_error_set(err, PN_LIMIT, "outbound_rules", "more than %d rules",
                            PN_OUTBOUND_RULES_MAX);
    rules->rules = calloc(json_array_size(list) + 1, sizeof *rules->rules);
    if (!rules->rules)
        return PN_NOMEM;
    json_array_foreach(list, index, entry)
    {
        struct pn_security_rule *rule = &rules->rules[rules->rule_count];
        enum pn_rc rc = pn_security_rule_read(entry, rule, err);

        if (rc != PN_OK)
            return rc;
        if (rule->is_outbound && rule->is_for_tcp)
            rules->rule_count++;
        else
            pn_security_rule_fini(rule);
    }
    qsort(rules->rules, rules->rule_count, sizeof *rules->rules, by_priority);
    return PN_OK;
}

static const char *last_segment(const char *id)
{
    const char *slash = id ? strrchr(id, '/') : NULL;

    return slash ? slash + 1 : "";
}

enum pn_rc pn_outbound_compile(const json_t *document, struct pn_outbound **out,
                               struct pn_error *err)
{
    struct pn_outbound *rules = pn_outbound_refuse_all();
    enum pn_rc rc = rules ? PN_OK : PN_NOMEM;

    if (rc == PN_OK) {
        (void)snprintf(rules->group, sizeof rules->group, "%s",
                       last_segment(pn_json_str(document, "group")));
        rc = read_rules(rules, json_object_get(document, "rules"), err);
    }
    if (rc == PN_OK)
        rc = read_ranges(json_object_get(document, "subnetPrefixes"), &rules->subnet, err);
    if (rc == PN_OK)
        rc = read_ranges(json_object_get(document, "networkPrefixes"), &rules->network, err);
    if (rc == PN_OK)
        rc = read_places(rules, json_object_get(document, "tags"), err);
    if (rc == PN_OK) {
        rules->refuses_all = false;
        *out = rules;
        return PN_OK;
    }
    pn_outbound_unref(rules);
    return rc == PN_NOMEM ? pn_error_set(err, rc, "out_of_memory", "no memory for network rules")
                          : rc;
}

struct pn_outbound *pn_outbound_refuse_all(void)
{
    struct pn_outbound *rules = calloc(1, sizeof *rules);

    if (!rules)
        return NULL;
    atomic_init(&rules->refs, 1);
    rules->refuses_all = true;
    return rules;
}

struct pn_outbound *pn_outbound_ref(struct pn_outbound *rules)
{
    if (rules)
        atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void pn_outbound_unref(struct pn_outbound *rules)
{
    if (!rules || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < rules->rule_count; i++)
        pn_security_rule_fini(&rules->rules[i]);
    for (size_t i = 0; i < rules->place_count; i++) {
        free(rules->places[i].host);
        free(rules->places[i].addresses.items);
    }
    free(rules->rules);
    free(rules->places);
    free(rules->subnet.items);
    free(rules->network.items);
    free(rules);
}

/* --- judging --- */

static bool is_in_network(const struct pn_outbound *rules, const struct pn_address *address)
{
    return IS_IN(address, own_machine) ||
           is_in(address, rules->network.items, rules->network.count);
}

static bool is_internet(const struct pn_outbound *rules, const struct pn_address *address)
{
    return !IS_IN(address, not_public) && !is_in_network(rules, address);
}

static bool is_service(const struct pn_outbound *rules, const struct pn_outbound_target *target,
                       enum pn_service_tag tag)
{
    if (target->service == tag || pn_service_tag_has_host(tag, target->host))
        return true;
    for (size_t i = 0; i < rules->place_count; i++) {
        const struct place *place = &rules->places[i];

        if (place->tag != tag || place->port != target->port)
            continue;
        if (pn_host_is_below(target->host, pn_slice_str(place->host)) ||
            is_in(&target->address, place->addresses.items, place->addresses.count))
            return true;
    }
    return false;
}

static bool has_destination(const struct pn_outbound *rules, const struct pn_rule_side *side,
                            const struct pn_outbound_target *target)
{
    for (size_t i = 0; i < side->prefix_count; i++) {
        const struct pn_rule_prefix *prefix = &side->prefixes[i];
        bool fits;

        if (prefix->tag == PN_TAG_NONE)
            fits = pn_address_in(&target->address, &prefix->range);
        else if (prefix->tag == PN_TAG_ANY)
            fits = true;
        else if (prefix->tag == PN_TAG_VIRTUAL_NETWORK)
            fits = is_in_network(rules, &target->address);
        else if (prefix->tag == PN_TAG_INTERNET)
            fits = is_internet(rules, &target->address);
        else
            fits = is_service(rules, target, prefix->tag);
        if (fits)
            return true;
    }
    return false;
}

static bool has_port(const struct pn_rule_side *side, uint16_t port)
{
    for (size_t i = 0; i < side->port_count; i++) {
        if (port >= side->ports[i].first && port <= side->ports[i].last)
            return true;
    }
    return false;
}

/* Whether `wide` has all of `small`, or at least a part. */
static bool covers(const struct pn_cidr *wide, const struct pn_cidr *small, bool a_part)
{
    if (wide->bits <= small->bits)
        return pn_cidr_has(wide, small->family, small->ip);
    return a_part && pn_cidr_has(small, wide->family, wide->ip);
}

static bool has_source(const struct pn_outbound *rules, const struct pn_security_rule *rule)
{
    const struct pn_rule_side *side = &rule->source;
    size_t covered = 0;

    for (size_t i = 0; i < side->prefix_count; i++) {
        if (side->prefixes[i].tag == PN_TAG_ANY || side->prefixes[i].tag == PN_TAG_VIRTUAL_NETWORK)
            return true;
    }
    for (size_t k = 0; k < rules->subnet.count; k++) {
        bool is_covered = false;

        for (size_t i = 0; i < side->prefix_count && !is_covered; i++)
            is_covered = side->prefixes[i].tag == PN_TAG_NONE &&
                         covers(&side->prefixes[i].range, &rules->subnet.items[k], !rule->is_allow);
        covered += is_covered;
    }
    return rule->is_allow ? covered > 0 && covered == rules->subnet.count : covered > 0;
}

/* 1 to 1023 are never chosen for a connection that goes out. */
static bool has_source_ports(const struct pn_security_rule *rule)
{
    const struct pn_rule_side *side = &rule->source;

    for (size_t i = 0; i < side->port_count; i++) {
        if (!rule->is_allow || (side->ports[i].first <= 1024 && side->ports[i].last == UINT16_MAX))
            return true;
    }
    return false;
}

static struct pn_outbound_verdict by_default(const struct pn_outbound *rules,
                                             const struct pn_address *address)
{
    if (is_in_network(rules, address))
        return (struct pn_outbound_verdict){true, "AllowVnetOutBound", 65000};
    if (is_internet(rules, address))
        return (struct pn_outbound_verdict){true, "AllowInternetOutBound", 65001};
    return (struct pn_outbound_verdict){false, "DenyAllOutBound", 65500};
}

struct pn_outbound_verdict pn_outbound_judge(const struct pn_outbound *rules,
                                             const struct pn_outbound_target *target)
{
    if (!rules)
        return (struct pn_outbound_verdict){true, NULL, 0};
    if (rules->refuses_all || target->address.family == 0)
        return (struct pn_outbound_verdict){false, NULL, 0};
    for (size_t i = 0; i < rules->rule_count; i++) {
        const struct pn_security_rule *rule = &rules->rules[i];

        if (has_port(&rule->destination, target->port) &&
            has_destination(rules, &rule->destination, target) && has_source(rules, rule) &&
            has_source_ports(rule))
            return (struct pn_outbound_verdict){rule->is_allow, rule->name, rule->priority};
    }
    return by_default(rules, &target->address);
}

const char *pn_outbound_rule_of(const struct pn_outbound_verdict *verdict)
{
    return verdict->rule ? verdict->rule : PN_DENIED_UNUSABLE;
}

void pn_outbound_explain(const struct pn_outbound *rules, const struct pn_outbound_target *target,
                         const struct pn_outbound_verdict *verdict, char *out, size_t size)
{
    char address[PN_ADDRESS_TEXT];
    bool is_v6 = target->address.family == AF_INET6;

    pn_address_text(&target->address, address);
    if (!verdict->rule)
        (void)snprintf(out, size,
                       "the network rules of the service cannot be used, so no connection is made "
                       "(to %s%s%s:%u)",
                       is_v6 ? "[" : "", address, is_v6 ? "]" : "", target->port);
    else
        (void)snprintf(out, size,
                       "the rule '%s' (priority %u) of the network security group '%s' denies "
                       "connections to %s%s%s:%u",
                       verdict->rule, verdict->priority, rules->group, is_v6 ? "[" : "", address,
                       is_v6 ? "]" : "", target->port);
}
