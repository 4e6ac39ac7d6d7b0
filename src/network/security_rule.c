/* SPDX-License-Identifier: Apache-2.0
 *
 * See security_rule.h. A member may be one text or a list of texts ("destinationPortRange",
 * "destinationPortRanges"); what both say counts.
 */
#include "network/security_rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define DESCRIPTION_MAX 140

static enum pn_rc bad(struct pn_error *err, const char *code, const char *rule, const char *member,
                      const char *format, struct pn_slice value)
{
    return pn_error_set(err, PN_INVALID, code, "security rule %s: %s '%.*s' %s", rule, member,
                        PN_FMT(pn_slice_sub(value, 0, 100)), format);
}

/* --- ports --- */

/* Digits only; the rest follows. */
static bool read_port(struct pn_slice *text, uint16_t *port)
{
    unsigned value = 0;
    size_t len = 0;

    while (len < text->len && len < 6 && text->ptr[len] >= '0' && text->ptr[len] <= '9')
        value = value * 10 + (unsigned)(text->ptr[len++] - '0');
    if (len == 0 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    *text = pn_slice_sub(*text, len, text->len - len);
    return true;
}

static bool read_ports(struct pn_slice text, struct pn_rule_ports *ports)
{
    if (pn_slice_eq_str(text, "*")) {
        *ports = (struct pn_rule_ports){0, UINT16_MAX};
        return true;
    }
    if (!read_port(&text, &ports->first))
        return false;
    ports->last = ports->first;
    if (text.len == 0)
        return true;
    if (text.ptr[0] != '-')
        return false;
    text = pn_slice_sub(text, 1, text.len - 1);
    return read_port(&text, &ports->last) && text.len == 0 && ports->first <= ports->last;
}

/* --- prefixes --- */

/* On which side of which rule a prefix stands. */
enum place { FROM_HERE, TO_THERE, FROM_THERE, TO_HERE };

static enum pn_rc read_prefix(struct pn_slice text, const char *rule, const char *member,
                              enum place place, struct pn_rule_prefix *prefix, struct pn_error *err)
{
    bool is_word = text.len > 0 && (text.ptr[0] | 0x20) >= 'a' && (text.ptr[0] | 0x20) <= 'z' &&
                   pn_slice_find(text, ':') == text.len;

    prefix->tag = pn_service_tag_from(text);
    /* Such a rule would fit no connection, and nobody would notice. */
    if (place == FROM_HERE && prefix->tag != PN_TAG_NONE && prefix->tag != PN_TAG_ANY &&
        prefix->tag != PN_TAG_VIRTUAL_NETWORK)
        return bad(err, "SecurityRuleInvalidServiceTag", rule, member,
                   "cannot be the source of an outbound rule, which is the subnet itself: use '*', "
                   "VirtualNetwork or address ranges",
                   text);
    if (prefix->tag >= PN_TAG_INBOUND_FIRST && prefix->tag < PN_TAG_SERVICE_FIRST &&
        place != FROM_THERE)
        return bad(err, "SecurityRuleInvalidServiceTag", rule, member,
                   "is a service that calls in: it can be the source of an inbound rule only",
                   text);
    if (prefix->tag != PN_TAG_NONE)
        return PN_OK;
    if (is_word)
        return bad(err, "SecurityRuleInvalidServiceTag", rule, member,
                   "is no service tag that this Postern knows (a region behind the name, as in "
                   "Storage.WestEurope, is not offered): use AzureKeyVault, AzureActiveDirectory, "
                   "Storage, Sql, EventHub, ServiceBus, AzureMonitor, AzureCosmosDB, "
                   "AzureContainerRegistry, AppService, AzureResourceManager, Internet, "
                   "VirtualNetwork, or address ranges",
                   text);
    if (pn_cidr_parse(text, &prefix->range, NULL) != PN_OK)
        return bad(err, "SecurityRuleInvalidAddressPrefix", rule, member,
                   "is no address prefix, no service tag and not '*'", text);
    return PN_OK;
}

/* --- one side --- */

/* The texts of `name` and `name` + "s" or "es": a new list. NULL: no memory, or not texts. */
static json_t *texts_of(const json_t *properties, const char *name, const char *plural)
{
    json_t *one = json_object_get(properties, name), *many = json_object_get(properties, plural);
    json_t *list = json_array(), *text;
    bool is_fine = list && (!one || json_is_null(one) || json_is_string(one)) &&
                   (!many || json_is_null(many) || json_is_array(many));
    size_t index;

    if (is_fine && json_is_string(one) && json_string_length(one) > 0)
        is_fine = json_array_append(list, one) == 0;
    if (is_fine)
        json_array_foreach(many, index, text)
        {
            is_fine = is_fine && json_is_string(text) && json_array_append(list, text) == 0;
        }
    if (is_fine)
        return list;
    json_decref(list);
    return NULL;
}

static enum pn_rc read_side(const json_t *properties, const char *side, const char *rule,
                            enum place place, struct pn_rule_side *out, struct pn_error *err)
{
    char names[4][48];
    json_t *prefixes, *ports, *text;
    size_t index;
    enum pn_rc rc = PN_OK;

    (void)snprintf(names[0], sizeof names[0], "%sAddressPrefix", side);
    (void)snprintf(names[1], sizeof names[1], "%sAddressPrefixes", side);
    (void)snprintf(names[2], sizeof names[2], "%sPortRange", side);
    (void)snprintf(names[3], sizeof names[3], "%sPortRanges", side);
    prefixes = texts_of(properties, names[0], names[1]);
    ports = texts_of(properties, names[2], names[3]);
    if (!prefixes || json_array_size(prefixes) == 0 ||
        json_array_size(prefixes) > PN_RULE_PREFIXES_MAX)
        rc = pn_error_set(err, PN_INVALID, "SecurityRuleInvalidAddressPrefix",
                          "security rule %s: %s or %s must have 1 to %d texts", rule, names[0],
                          names[1], PN_RULE_PREFIXES_MAX);
    else if (!ports || json_array_size(ports) == 0 || json_array_size(ports) > PN_RULE_PORTS_MAX)
        rc = pn_error_set(err, PN_INVALID, "SecurityRuleInvalidPortRange",
                          "security rule %s: %s or %s must have 1 to %d texts", rule, names[2],
                          names[3], PN_RULE_PORTS_MAX);
    if (rc == PN_OK) {
        out->prefixes = calloc(json_array_size(prefixes), sizeof *out->prefixes);
        out->ports = calloc(json_array_size(ports), sizeof *out->ports);
        rc = out->prefixes && out->ports ? PN_OK : PN_NOMEM;
    }
    json_array_foreach(prefixes, index, text)
    {
        if (rc == PN_OK)
            rc = read_prefix(pn_slice(json_string_value(text), json_string_length(text)), rule,
                             names[0], place, &out->prefixes[out->prefix_count++], err);
    }
    if (rc == PN_OK)
        json_array_foreach(ports, index, text)
        {
            struct pn_slice value = pn_slice(json_string_value(text), json_string_length(text));

            if (rc == PN_OK && !read_ports(value, &out->ports[out->port_count++]))
                rc = bad(err, "SecurityRuleInvalidPortRange", rule, names[2],
                         "is no port, no range of ports (1024-2047) and not '*'", value);
        }
    json_decref(prefixes);
    json_decref(ports);
    return rc;
}

static void end_side(struct pn_rule_side *side)
{
    free(side->prefixes);
    free(side->ports);
    *side = (struct pn_rule_side){0};
}

/* --- the rule --- */

/* One of the words, without case; their number, or -1. */
static int word_of(const json_t *properties, const char *name, const char *const *words)
{
    struct pn_slice value = pn_json_slice(properties, name);

    for (int i = 0; words[i]; i++) {
        if (pn_slice_case_eq_str(value, words[i]))
            return i;
    }
    return -1;
}

static enum pn_rc read_words(const json_t *properties, struct pn_security_rule *out,
                             struct pn_error *err)
{
    static const char *const protocols[] = {"*", "Tcp", "Udp", "Icmp", "Esp", "Ah", NULL};
    static const char *const accesses[] = {"Deny", "Allow", NULL};
    static const char *const directions[] = {"Inbound", "Outbound", NULL};
    int protocol = word_of(properties, "protocol", protocols);
    int access = word_of(properties, "access", accesses);
    int direction = word_of(properties, "direction", directions);

    if (protocol < 0)
        return pn_error_set(err, PN_INVALID, "InvalidRequestFormat",
                            "security rule %s: protocol must be Tcp, Udp, Icmp, Esp, Ah or *",
                            out->name);
    if (access < 0)
        return pn_error_set(err, PN_INVALID, "InvalidRequestFormat",
                            "security rule %s: access must be Allow or Deny", out->name);
    if (direction < 0)
        return pn_error_set(err, PN_INVALID, "InvalidRequestFormat",
                            "security rule %s: direction must be Inbound or Outbound", out->name);
    out->is_for_tcp = protocol <= 1;
    out->is_allow = access == 1;
    out->is_outbound = direction == 1;
    return PN_OK;
}

static enum pn_rc refuse_groups(const json_t *properties, const char *rule, struct pn_error *err)
{
    static const char *const members[] = {"sourceApplicationSecurityGroups",
                                          "destinationApplicationSecurityGroups", NULL};

    for (size_t i = 0; members[i]; i++) {
        if (json_array_size(json_object_get(properties, members[i])) > 0)
            return pn_error_set(err, PN_INVALID, "SecurityRuleParameterNotSupported",
                                "security rule %s: %s is not offered by this Postern; use address "
                                "prefixes",
                                rule, members[i]);
    }
    return PN_OK;
}

enum pn_rc pn_security_rule_read(const json_t *rule, struct pn_security_rule *out,
                                 struct pn_error *err)
{
    const json_t *properties = json_object_get(rule, "properties");
    const json_t *priority = json_object_get(properties, "priority");
    struct pn_slice description = pn_json_slice(properties, "description");
    enum pn_rc rc;

    *out = (struct pn_security_rule){0};
    (void)snprintf(out->name, sizeof out->name, "%.*s",
                   PN_FMT(pn_slice_sub(pn_json_slice(rule, "name"), 0, PN_RULE_NAME_MAX)));
    rc = read_words(properties, out, err);
    if (rc == PN_OK &&
        (!json_is_integer(priority) || json_integer_value(priority) < PN_RULE_PRIORITY_MIN ||
         json_integer_value(priority) > PN_RULE_PRIORITY_MAX))
        rc = pn_error_set(err, PN_INVALID, "SecurityRuleInvalidPriority",
                          "security rule %s: priority must be a number from %d to %d", out->name,
                          PN_RULE_PRIORITY_MIN, PN_RULE_PRIORITY_MAX);
    if (rc == PN_OK && description.len > DESCRIPTION_MAX)
        rc = pn_error_set(err, PN_INVALID, "InvalidRequestFormat",
                          "security rule %s: description has at most %d characters", out->name,
                          DESCRIPTION_MAX);
    if (rc == PN_OK)
        rc = refuse_groups(properties, out->name, err);
    if (rc == PN_OK)
        out->priority = (unsigned)json_integer_value(priority);
    if (rc == PN_OK)
        rc = read_side(properties, "source", out->name, out->is_outbound ? FROM_HERE : FROM_THERE,
                       &out->source, err);
    if (rc == PN_OK)
        rc = read_side(properties, "destination", out->name, out->is_outbound ? TO_THERE : TO_HERE,
                       &out->destination, err);
    if (rc != PN_OK)
        pn_security_rule_fini(out);
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "out_of_memory", "no memory for a security rule");
    return rc;
}

void pn_security_rule_fini(struct pn_security_rule *rule)
{
    end_side(&rule->source);
    end_side(&rule->destination);
}
