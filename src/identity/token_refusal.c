/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client of the management plane is told when its token is refused.
 */
#include <string.h>

#include "identity/principal.h"

struct pn_token_refusal pn_token_refusal_of(const struct pn_error *err)
{
    static const struct {
        const char *code;
        struct pn_token_refusal refusal;
    } reasons[] = {
        {"token_expired",
         {"ExpiredAuthenticationToken", "The access token has expired. Get a new one."}},
        {"token_not_yet_valid",
         {"InvalidAuthenticationToken", "The access token is not valid yet. Check the clocks."}},
        {"token_audience",
         {"InvalidAuthenticationTokenAudience",
          "The access token was issued for another audience."}},
        {"token_issuer",
         {"InvalidAuthenticationTokenTenant",
          "The access token was issued by another authority than that of this tenant."}},
        {"token_signature",
         {"InvalidAuthenticationToken", "The access token's signature is not valid."}},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(err->code, reasons[i].code) == 0)
            return reasons[i].refusal;
    }
    return (struct pn_token_refusal){"InvalidAuthenticationToken", "The access token is invalid."};
}
