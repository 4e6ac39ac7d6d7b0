/* SPDX-License-Identifier: Apache-2.0
 *
 * One rule of a network security group, read from its Resource Manager form and checked as Azure
 * checks it. Immutable once read.
 */
#pragma once

#include <jansson.h>

#include "network/address.h"
#include "network/service_tag.h"

#define PN_RULE_PRIORITY_MIN 100
#define PN_RULE_PRIORITY_MAX 4096
#define PN_RULE_PREFIXES_MAX 256 /* of one side of one rule */
#define PN_RULE_PORTS_MAX    64
#define PN_RULE_NAME_MAX     80

struct pn_rule_prefix {
    enum pn_service_tag tag; /* PN_TAG_NONE: a range */
    struct pn_cidr range;
};

struct pn_rule_ports {
    uint16_t first, last;
};

struct pn_rule_side {
    struct pn_rule_prefix *prefixes;
    size_t prefix_count;
    struct pn_rule_ports *ports;
    size_t port_count;
};

struct pn_security_rule {
    char name[PN_RULE_NAME_MAX + 1];
    unsigned priority;
    bool is_outbound, is_allow;
    bool is_for_tcp; /* protocol Tcp or * */
    struct pn_rule_side source, destination;
};

/** `rule`: {"name", "properties"}. PN_INVALID with the code that Azure gives
 *  (SecurityRuleInvalidPriority, SecurityRuleInvalidPortRange, SecurityRuleInvalidAddressPrefix,
 *  SecurityRuleInvalidServiceTag, InvalidRequestFormat); PN_NOMEM. After a failure there is nothing
 * to end. */
enum pn_rc pn_security_rule_read(const json_t *rule, struct pn_security_rule *out,
                                 struct pn_error *err) PN_MUST_USE;
void pn_security_rule_fini(struct pn_security_rule *rule);
