/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of the result codes.
 */
#include "base/rc.h"

const char *pn_rc_name(enum pn_rc rc)
{
    switch (rc) {
    case PN_OK:
        return "ok";
    case PN_AGAIN:
        return "again";
    case PN_EOF:
        return "eof";
    case PN_LIMIT:
        return "limit";
    case PN_MALFORMED:
        return "malformed";
    case PN_INVALID:
        return "invalid";
    case PN_DENIED:
        return "denied";
    case PN_NOT_FOUND:
        return "not_found";
    case PN_EXISTS:
        return "exists";
    case PN_CONFLICT:
        return "conflict";
    case PN_UNAVAILABLE:
        return "unavailable";
    case PN_TIMEOUT:
        return "timeout";
    case PN_UNSUPPORTED:
        return "unsupported";
    case PN_NOMEM:
        return "no_memory";
    case PN_IO:
        return "io";
    case PN_INTERNAL:
        return "internal";
    }
    return "unknown";
}
