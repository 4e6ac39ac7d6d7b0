/* SPDX-License-Identifier: Apache-2.0
 *
 * See trace.h.
 */
#include "gateway/trace.h"

#include "base/secret.h"
#include "gateway/call.h"

#define FIELD      "X-Postern-Trace"
#define SECRET_MAX 64

static char secret[SECRET_MAX + 1]; /* empty: nobody may ask */

void pn_trace_setup(void)
{
    (void)pn_secret_take_env("PN_TRACE_SECRET", secret, sizeof(secret));
}

void pn_trace_take(struct pn_call *call)
{
    struct pn_slice given = pn_headers_get(&call->request.headers, FIELD);

    if (!given.ptr)
        return;
    call->is_traced = secret[0] && pn_equal_constant_time(given, pn_slice_str(secret));
    (void)pn_headers_remove(&call->request.headers, PN_LIT(FIELD));
}

static void add(struct pn_call *call, struct pn_slice name, struct pn_slice value)
{
    struct pn_headers *headers = &call->context.response_headers;

    (void)pn_headers_remove(headers, name);
    /* Without memory the console is told less. */
    if (value.len > 0 && pn_header_value_is_valid(value) &&
        pn_headers_add(headers, name, value) != PN_OK)
        return;
}

void pn_trace_tell(struct pn_call *call)
{
    if (!call->is_traced)
        return;
    add(call, PN_LIT("X-Postern-Client-Certificate"),
        pn_slice_str(call->certificate ? call->certificate->thumbprint : "none"));
    add(call, PN_LIT("X-Postern-Backend"), call->context.backend_id);
}
