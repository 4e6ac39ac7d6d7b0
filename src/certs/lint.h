/* SPDX-License-Identifier: Apache-2.0
 *
 * What a careful person would say about a client certificate before using it. Findings are
 * warnings, never refusals: API Management accepts self-signed and expired uploads, and a staging
 * backend may.
 */
#pragma once

#include "certs/chain.h"

enum pn_lint_code {
    PN_LINT_EXPIRED,
    PN_LINT_NOT_YET_VALID,
    PN_LINT_MISSING_CLIENT_AUTH_EKU,
    PN_LINT_WEAK_KEY,       /* RSA under 2048 bits, EC under 224 */
    PN_LINT_WEAK_SIGNATURE, /* MD5 or SHA-1, other than of a self-signed root */
    PN_LINT_CA_AS_LEAF,
    PN_LINT_SELF_SIGNED,
    PN_LINT_CHAIN_INCOMPLETE, /* an issuer is missing: some backends need the intermediates */
    PN_LINT_COUNT
};

#define PN_LINT_MESSAGE_MAX 256
struct pn_lint_finding {
    enum pn_lint_code code;
    char message[PN_LINT_MESSAGE_MAX]; /* a sentence: what, and what to do */
};
/** At most one finding of each code. */
struct pn_lint_report {
    size_t count;
    struct pn_lint_finding findings[PN_LINT_COUNT];
};

/** Looks at a chain as a TLS client's at `now_unix_s`. Cannot fail. Any thread. */
void pn_lint_client_chain(const struct pn_chain *chain, int64_t now_unix_s,
                          struct pn_lint_report *report);
/** "expired", "missing_client_auth_eku", … Static text. */
const char *pn_lint_code_name(enum pn_lint_code code);
bool pn_lint_has(const struct pn_lint_report *report, enum pn_lint_code code);
