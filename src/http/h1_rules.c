/* SPDX-License-Identifier: Apache-2.0
 *
 * What a proxy must know of fields and methods (RFC 9110 §7.6.1, §9.2).
 */
#include "http/h1_internal.h"

bool pn_http_is_listed(struct pn_slice list, struct pn_slice token)
{
    struct pn_slice part;

    while (pn_slice_cut(&list, ',', &part)) {
        if (pn_slice_case_eq(pn_slice_trim(part), token))
            return true;
    }
    return false;
}

bool pn_http_list_has(const struct pn_headers *headers, const char *name, const char *token)
{
    struct pn_slice wanted = pn_slice_str(name);
    struct pn_slice wanted_token = pn_slice_str(token);

    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_eq(headers->items[i].name, wanted) &&
            pn_http_is_listed(headers->items[i].value, wanted_token))
            return true;
    }
    return false;
}

bool pn_http_is_hop_by_hop(struct pn_slice name)
{
    switch (name.len) {
    case 2:
        return pn_slice_case_eq_str(name, "TE");
    case 7:
        return pn_slice_case_eq_str(name, "Upgrade") || pn_slice_case_eq_str(name, "Trailer");
    case 10:
        return pn_slice_case_eq_str(name, "Connection") || pn_slice_case_eq_str(name, "Keep-Alive");
    case 14: /* RFC 7540 §3.2.1; RFC 9113 has no upgrade to it any more */
        return pn_slice_case_eq_str(name, "HTTP2-Settings");
    case 16:
        return pn_slice_case_eq_str(name, "Proxy-Connection");
    case 17:
        return pn_slice_case_eq_str(name, "Transfer-Encoding");
    case 18:
        return pn_slice_case_eq_str(name, "Proxy-Authenticate");
    case 19:
        return pn_slice_case_eq_str(name, "Proxy-Authorization");
    default:
        return false;
    }
}

/* Whether a Connection field in [from, to) names `name`. */
static bool connection_names(const struct pn_headers *headers, size_t from, size_t to,
                             struct pn_slice name)
{
    for (size_t i = from; i < to; i++) {
        if (pn_slice_case_eq_str(headers->items[i].name, "Connection") &&
            pn_http_is_listed(headers->items[i].value, name))
            return true;
    }
    return false;
}

/* Whether a Connection field names more than what is removed anyway. */
static bool has_connection_names(const struct pn_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_eq_str(headers->items[i].name, "Connection") &&
            !pn_slice_case_eq_str(headers->items[i].value, "keep-alive"))
            return true;
    }
    return false;
}

/* Those that Connection names; the Connection fields themselves stay until the fixed ones go. While
 * the list is closed up, they are to be found in front of `kept` or from `i` on. */
static void strip_named(struct pn_headers *headers)
{
    size_t kept = 0;

    for (size_t i = 0; i < headers->count; i++) {
        struct pn_slice name = headers->items[i].name;
        bool is_fixed = pn_slice_case_eq_str(name, "Connection") ||
                        pn_slice_case_eq_str(name, "Host") ||
                        pn_slice_case_eq_str(name, "Content-Length");

        if (!is_fixed && (connection_names(headers, 0, kept, name) ||
                          connection_names(headers, i, headers->count, name)))
            continue;
        headers->items[kept] = headers->items[i];
        kept++;
    }
    headers->count = kept;
}

void pn_http_strip_hop_by_hop(struct pn_headers *headers)
{
    size_t kept = 0;

    if (has_connection_names(headers))
        strip_named(headers);
    for (size_t i = 0; i < headers->count; i++) {
        if (pn_http_is_hop_by_hop(headers->items[i].name))
            continue;
        if (kept != i)
            headers->items[kept] = headers->items[i];
        kept++;
    }
    headers->count = kept;
}

bool pn_http_method_is_safe(struct pn_slice method)
{
    return pn_slice_eq_str(method, "GET") || pn_slice_eq_str(method, "HEAD") ||
           pn_slice_eq_str(method, "OPTIONS") || pn_slice_eq_str(method, "TRACE");
}

bool pn_http_method_is_idempotent(struct pn_slice method)
{
    return pn_http_method_is_safe(method) || pn_slice_eq_str(method, "PUT") ||
           pn_slice_eq_str(method, "DELETE");
}
