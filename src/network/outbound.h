/* SPDX-License-Identifier: Apache-2.0
 *
 * What the network security group of the service's subnet says of connections that gateway and
 * control open. Control makes one document of the stored resources (outbound/document.h); here it
 * is compiled and asked, before each connection, with the address that was resolved:
 *
 *   {"group": id, "subnetPrefixes": [...], "networkPrefixes": [...],
 *    "rules": [{"name", "properties"}],      as in securityRules; inbound ones are passed over
 *    "tags": {"AzureKeyVault": [{"host", "port", "addresses": [...]}]}}
 *
 * The first rule that fits, by priority, decides; behind them are Azure's default rules:
 * VirtualNetwork to VirtualNetwork 65000 Allow, Internet 65001 Allow, all 65500 Deny.
 * Immutable once compiled; counted, so any thread may keep one.
 */
#pragma once

#include <jansson.h>

#include "network/address.h"
#include "network/service_tag.h"

#define PN_OUTBOUND_RULES_MAX 1000 /* of one group, both directions */

struct pn_outbound;

/** PN_INVALID names what is wrong; PN_LIMIT; PN_NOMEM. */
enum pn_rc pn_outbound_compile(const json_t *document, struct pn_outbound **rules,
                               struct pn_error *err) PN_MUST_USE;
/** Refuses everything: for a document that cannot be used. NULL: no memory. */
struct pn_outbound *pn_outbound_refuse_all(void);
struct pn_outbound *pn_outbound_ref(struct pn_outbound *rules);
void pn_outbound_unref(struct pn_outbound *rules);

/** A connection by TCP. Borrowed. */
struct pn_outbound_target {
    struct pn_slice host; /* as it was asked for; empty: only the address is known */
    uint16_t port;
    struct pn_address address;
    enum pn_service_tag service; /* known by its purpose, as a vault is; else PN_TAG_NONE */
};

/** Who decided; texts live as long as the rules. */
struct pn_outbound_verdict {
    bool is_allowed;
    const char *rule;
    unsigned priority;
};

/** The verdict's rule as a denial is counted by (network/denials.h). */
const char *pn_outbound_rule_of(const struct pn_outbound_verdict *verdict);
/** NULL rules: there is no group, everything is allowed. An address of no family is refused. */
struct pn_outbound_verdict pn_outbound_judge(const struct pn_outbound *rules,
                                             const struct pn_outbound_target *target);
/** "the rule 'deny-all' (priority 200) of the network security group 'nsg1' denies connections to
 *  192.0.2.1:443". */
void pn_outbound_explain(const struct pn_outbound *rules, const struct pn_outbound_target *target,
                         const struct pn_outbound_verdict *verdict, char *out, size_t size);
