/* SPDX-License-Identifier: Apache-2.0
 *
 * See forwarded.h.
 */
#include "gateway/forwarded.h"

#include <sys/socket.h>

bool pn_forwarding_mode_parse(struct pn_slice text, enum pn_forwarding_mode *mode)
{
    static const char *const names[] = {"append", "replace", "off"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (pn_slice_eq_str(text, names[i])) {
            *mode = (enum pn_forwarding_mode)i;
            return true;
        }
    }
    return false;
}

/** Takes all fields of that name out: their values as one list, `more` (perhaps empty) last. */
static enum pn_rc take_list(struct pn_headers *headers, enum pn_header_kind kind, bool keeps,
                            struct pn_slice more, struct pn_slice *list)
{
    *list = more;
    if (!pn_headers_may_have(headers, kind))
        return PN_OK;
    for (size_t i = headers->count; keeps && i > 0; i--) {
        const struct pn_header *header = &headers->items[i - 1];

        if (header->kind != kind || header->value.len == 0)
            continue;
        if (list->len == 0) {
            *list = header->value;
            continue;
        }
        *list = pn_slice_str(
            pn_arena_printf(headers->arena, "%.*s, %.*s", PN_FMT(header->value), PN_FMT(*list)));
        if (!list->ptr)
            return PN_NOMEM;
    }
    pn_headers_remove_kind(headers, kind);
    return PN_OK;
}

static enum pn_rc add_list(struct pn_headers *headers, enum pn_header_kind kind,
                           struct pn_slice name, bool keeps, struct pn_slice more)
{
    struct pn_slice list;
    enum pn_rc rc = take_list(headers, kind, keeps, more, &list);

    return rc == PN_OK && list.len > 0 ? pn_headers_add(headers, name, list) : rc;
}

/** for=192.0.2.1;proto=https;host="api.example:8443" (RFC 7239 §4). The host was checked when the
 *  head was read: nothing in it ends a quoted string. */
static struct pn_slice element(struct pn_origin *origin, struct pn_slice host,
                               struct pn_arena *arena)
{
    const char *proto = origin->is_tls ? "https" : "http";
    struct pn_slice ip = pn_origin_ip(origin);
    const char *text;

    if (ip.len == 0)
        ip = PN_LIT("unknown"); /* a Unix socket */
    text = origin->peer.family == AF_INET6
               ? pn_arena_printf(arena, "for=\"[%.*s]\";proto=%s", PN_FMT(ip), proto)
               : pn_arena_printf(arena, "for=%.*s;proto=%s", PN_FMT(ip), proto);
    if (text && host.len > 0)
        text = pn_arena_printf(arena, "%s;host=\"%.*s\"", text, PN_FMT(host));
    return pn_slice_str(text);
}

enum pn_rc pn_forwarding_apply(const struct pn_forwarding *forwarding, struct pn_origin *origin,
                               struct pn_slice host, struct pn_headers *headers)
{
    bool keeps = forwarding->mode == PN_FORWARDING_APPEND;
    struct pn_slice own = pn_slice("", 0);
    struct pn_slice ip;
    enum pn_rc rc = PN_OK;

    if (forwarding->mode == PN_FORWARDING_OFF)
        return PN_OK;
    if (!keeps)
        pn_headers_remove_starting(headers, PN_LIT("X-Forwarded-"));
    ip = pn_origin_ip(origin);
    if (pn_headers_may_have(headers, PN_HEADER_X_FORWARDED_FOR))
        rc = add_list(headers, PN_HEADER_X_FORWARDED_FOR, PN_LIT("X-Forwarded-For"), keeps, ip);
    else if (ip.len > 0)
        rc =
            pn_headers_add_known(headers, PN_HEADER_X_FORWARDED_FOR, PN_LIT("X-Forwarded-For"), ip);
    pn_headers_remove_kind(headers, PN_HEADER_X_FORWARDED_PROTO);
    pn_headers_remove_kind(headers, PN_HEADER_X_FORWARDED_HOST);
    if (rc == PN_OK)
        rc = pn_headers_add_known(headers, PN_HEADER_X_FORWARDED_PROTO, PN_LIT("X-Forwarded-Proto"),
                                  origin->is_tls ? PN_LIT("https") : PN_LIT("http"));
    if (rc == PN_OK && host.len > 0)
        rc = pn_headers_add_known(headers, PN_HEADER_X_FORWARDED_HOST, PN_LIT("X-Forwarded-Host"),
                                  host); /* as Host was */
    if (rc != PN_OK || (keeps && !forwarding->writes_forwarded))
        return rc;
    if (forwarding->writes_forwarded) {
        own = element(origin, host, headers->arena);
        if (!own.ptr)
            return PN_NOMEM;
    }
    return add_list(headers, PN_HEADER_FORWARDED, PN_LIT("Forwarded"), keeps, own);
}
