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
    enum pn_header_kind kind = pn_header_kind_of(wanted);

    if (kind != PN_HEADER_OTHER && !pn_headers_may_have(headers, kind))
        return false;
    for (size_t i = 0; i < headers->count; i++) {
        if (headers->items[i].kind == kind && pn_slice_case_eq(headers->items[i].name, wanted) &&
            pn_http_is_listed(headers->items[i].value, wanted_token))
            return true;
    }
    return false;
}

/* And what somebody may take for one of these, for a length or for who sent it.
 * HTTP2-Settings: RFC 7540 §3.2.1; RFC 9113 has no upgrade to it any more. */
#define HOP_BY_HOP                                                                                 \
    (PN_HEADER_BIT(PN_HEADER_CONNECTION) | PN_HEADER_BIT(PN_HEADER_HTTP2_SETTINGS) |               \
     PN_HEADER_BIT(PN_HEADER_KEEP_ALIVE) | PN_HEADER_BIT(PN_HEADER_PROXY_AUTHENTICATE) |           \
     PN_HEADER_BIT(PN_HEADER_PROXY_AUTHORIZATION) | PN_HEADER_BIT(PN_HEADER_PROXY_CONNECTION) |    \
     PN_HEADER_BIT(PN_HEADER_TE) | PN_HEADER_BIT(PN_HEADER_TRAILER) |                              \
     PN_HEADER_BIT(PN_HEADER_TRANSFER_ENCODING) | PN_HEADER_BIT(PN_HEADER_UPGRADE) |               \
     PN_HEADER_BIT(PN_HEADER_LOOKALIKE))

static bool is_hop_by_hop(enum pn_header_kind kind)
{
    return (HOP_BY_HOP & PN_HEADER_BIT(kind)) != 0;
}

bool pn_http_is_hop_by_hop(struct pn_slice name)
{
    return is_hop_by_hop(pn_header_kind_of(name));
}

/* Whether a Connection field in [from, to) names `name`. */
static bool connection_names(const struct pn_headers *headers, size_t from, size_t to,
                             struct pn_slice name)
{
    for (size_t i = from; i < to; i++) {
        if (headers->items[i].kind == PN_HEADER_CONNECTION &&
            pn_http_is_listed(headers->items[i].value, name))
            return true;
    }
    return false;
}

/* Whether a Connection field names more than what is removed anyway. */
static bool has_connection_names(const struct pn_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (headers->items[i].kind == PN_HEADER_CONNECTION &&
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
        enum pn_header_kind kind = headers->items[i].kind;
        bool is_fixed = kind == PN_HEADER_CONNECTION || kind == PN_HEADER_HOST ||
                        kind == PN_HEADER_CONTENT_LENGTH;

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

    if ((headers->kinds & HOP_BY_HOP) == 0)
        return;
    if (has_connection_names(headers))
        strip_named(headers);
    for (size_t i = 0; i < headers->count; i++) {
        if (is_hop_by_hop(headers->items[i].kind))
            continue;
        if (kept != i)
            headers->items[kept] = headers->items[i];
        kept++;
    }
    headers->count = kept;
    headers->kinds &= ~HOP_BY_HOP;
}

/* One field's. false: it is malformed. */
static bool read_keep_alive(struct pn_slice value, struct pn_http_keep_alive *keep)
{
    struct pn_slice part;

    while (pn_slice_cut(&value, ',', &part)) {
        struct pn_slice name;
        uint32_t *bound = NULL;
        uint64_t number = 0;

        part = pn_slice_trim(part);
        if (part.len == 0)
            continue;
        (void)pn_slice_cut(&part, '=', &name);
        name = pn_slice_trim(name);
        if (!pn_header_name_is_valid(name)) /* a token, too */
            return false;
        if (pn_slice_case_eq_str(name, "timeout"))
            bound = &keep->timeout_s;
        else if (pn_slice_case_eq_str(name, "max"))
            bound = &keep->requests_max;
        if (!bound)
            continue;
        if (!pn_slice_to_u64(pn_slice_trim(part), UINT32_MAX, &number))
            return false;
        *bound = number < *bound ? (uint32_t)number : *bound;
    }
    return true;
}

void pn_http_keep_alive_of(const struct pn_headers *headers, struct pn_http_keep_alive *keep)
{
    *keep = (struct pn_http_keep_alive){UINT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < headers->count; i++) {
        struct pn_http_keep_alive said = *keep;

        if (headers->items[i].kind == PN_HEADER_KEEP_ALIVE &&
            read_keep_alive(headers->items[i].value, &said))
            *keep = said;
    }
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
