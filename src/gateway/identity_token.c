/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokens that authentication-managed-identity sends on. Control fetches them ahead and renews
 * them; here one is only looked up, so that no request waits for one (ADR 235).
 */
#include "base/clock.h"
#include "gateway/call.h"

bool pn_call_find_token(void *host, struct pn_slice name, struct pn_slice *token, const char **why)
{
    struct pn_call *call = host;
    const struct pn_identity_token *found = pn_snapshot_token(call->pin->snapshot, name);

    if (!found) {
        *why = "the management plane has not delivered one";
        return false;
    }
    if (found->text.len == 0) {
        *why = found->problem;
        return false;
    }
    if (found->expires_s <= pn_clock_unix_s()) {
        *why = "it has expired, and the management plane has not delivered a new one";
        return false;
    }
    *token = found->text;
    return true;
}
