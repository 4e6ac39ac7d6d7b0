/* SPDX-License-Identifier: Apache-2.0
 *
 * How often a connection that goes out was denied, by what it was for and by the rule: a metric and
 * a log event. One table for the process; the gateway sends its own to control, which shows the
 * sum. Thread: any.
 */
#pragma once

#include "base/buf.h"
#include "network/address.h"

enum pn_outbound_kind {
    PN_OUTBOUND_BACKEND,
    PN_OUTBOUND_PROBE, /* of a backend: networkstatus, pre-flight, postern backend probe */
    PN_OUTBOUND_VAULT,
    PN_OUTBOUND_AUTHORITY, /* gives tokens to the service */
    PN_OUTBOUND_ISSUER,    /* OpenID Connect: other people's tokens */
    PN_OUTBOUND_WEBHOOK,
    PN_OUTBOUND_KIND_COUNT
};

/** In the place of a rule: the address is link-local or a metadata service's. */
#define PN_DENIED_GUARDED "guarded-address"
/** In the place of a rule: the rules cannot be used. */
#define PN_DENIED_UNUSABLE "unusable-rules"

#define PN_DENIALS_MAX      256          /* pairs of kind and rule; others count as "other" */
#define PN_DENIALS_TEXT_MAX (64u * 1024) /* of pn_denials_write() */
#define PN_DENIALS_PAUSE_MS 10000        /* between two log lines of one pair */

/** "backend", "vault", …; static. */
const char *pn_outbound_kind_name(enum pn_outbound_kind kind);

/** Counts it. The first of a pair is logged at once (event=outbound_denied), others in one line
 *  after PN_DENIALS_PAUSE_MS, with their number. `rule` has no characters besides letters, digits
 *  and -_. ; `words` is the sentence for the log. */
void pn_denial_note(enum pn_outbound_kind kind, const char *rule, const char *words);
/** Forgets all. Tests. */
void pn_denials_reset(void);

/** "kind rule count\n" for each pair of this process. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_denials_write(struct pn_buf *out) PN_MUST_USE;
/** The metric postern_outbound_denied_total: the pairs of this process and those in `others`, which
 *  is what pn_denials_write() of another process wrote; lines of another form are passed over.
 *  PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_denials_print(struct pn_slice others, struct pn_buf *out) PN_MUST_USE;
