/* SPDX-License-Identifier: Apache-2.0
 *
 * Absolute URIs and hosts (RFC 3986 §3). Stricter: no userinfo, no fragment, no empty host, no
 * percent-encoding in hosts, no zone identifiers.
 */
#include "http/uri.h"

#include <arpa/inet.h>
#include <string.h>

#include "http/h1_internal.h"

enum { LABEL_BYTES_MAX = 63 };

static bool is_alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_ipv6_address(struct pn_slice text)
{
    struct in6_addr address;
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* Labels of 1 to 63 bytes; the last one may be empty: "a.example." */
static bool is_dns_name(struct pn_slice host)
{
    size_t label = 0; /* where it begins */

    if (host.len == 0 || host.len > PN_HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];

        if (c == '.') {
            if (i == label || i - label > LABEL_BYTES_MAX)
                return false;
            label = i + 1;
        } else if (!pn_h1_is_label_byte(c)) {
            return false;
        }
    }
    return host.len - label <= LABEL_BYTES_MAX;
}

bool pn_host_name_is_valid(struct pn_slice host)
{
    return is_dns_name(host) || is_ipv6_address(host);
}

enum pn_rc pn_uri_parse_host(struct pn_slice text, struct pn_slice *host, uint16_t *port,
                             bool *is_ipv6)
{
    size_t host_end = 0;
    bool in_brackets = text.len > 0 && text.ptr[0] == '[';
    struct pn_slice rest;
    uint64_t number = 0;

    if (text.len > PN_HOST_BYTES_MAX + sizeof("[]:65535"))
        return PN_LIMIT;
    host_end = pn_slice_find(text, in_brackets ? ']' : ':');
    if (in_brackets) {
        *host =
            host_end == text.len ? (struct pn_slice){NULL, 0} : pn_slice_sub(text, 1, host_end - 1);
        if (!is_ipv6_address(*host))
            return PN_MALFORMED;
        host_end++;
    } else {
        *host = pn_slice_sub(text, 0, host_end);
        if (!is_dns_name(*host))
            return PN_MALFORMED;
    }
    if (is_ipv6)
        *is_ipv6 = in_brackets;
    *port = 0;
    rest = pn_slice_sub(text, host_end, text.len);
    if (rest.len == 0)
        return PN_OK;
    if (rest.ptr[0] != ':' || rest.len > sizeof(":65535") - 1 ||
        !pn_slice_to_u64(pn_slice_sub(rest, 1, rest.len), UINT16_MAX, &number) || number == 0)
        return PN_MALFORMED;
    *port = (uint16_t)number;
    return PN_OK;
}

static bool is_scheme(struct pn_slice scheme)
{
    if (scheme.len == 0 || !is_alnum((unsigned char)scheme.ptr[0]) ||
        (scheme.ptr[0] >= '0' && scheme.ptr[0] <= '9'))
        return false;
    for (size_t i = 1; i < scheme.len; i++) {
        unsigned char c = (unsigned char)scheme.ptr[i];

        if (!is_alnum(c) && c != '+' && c != '-' && c != '.')
            return false;
    }
    return true;
}

static uint16_t default_port(struct pn_slice scheme)
{
    if (pn_slice_case_eq_str(scheme, "https") || pn_slice_case_eq_str(scheme, "wss"))
        return 443;
    if (pn_slice_case_eq_str(scheme, "http") || pn_slice_case_eq_str(scheme, "ws"))
        return 80;
    return 0;
}

static enum pn_rc parse_authority(struct pn_uri *uri, struct pn_error *err)
{
    uint16_t port = 0;
    enum pn_rc rc = PN_OK;

    if (pn_slice_find(uri->authority, '@') < uri->authority.len)
        return pn_error_set(err, PN_INVALID, "userinfo",
                            "a URI must not carry a user name or password");
    rc = pn_uri_parse_host(uri->authority, &uri->host, &port, &uri->is_ipv6);
    if (rc != PN_OK)
        return pn_error_set(
            err, rc, "host",
            "the URI's host is not a DNS name, an IPv4 address or an IPv6 address in "
            "brackets, with an optional port from 1 to 65535");
    uri->has_port = port != 0;
    uri->port = port != 0 ? port : default_port(uri->scheme);
    return PN_OK;
}

enum pn_rc pn_uri_parse(struct pn_slice text, struct pn_uri *uri, struct pn_error *err)
{
    struct pn_slice rest;
    size_t end = pn_slice_find(text, ':');
    enum pn_rc rc = PN_OK;

    *uri = (struct pn_uri){0};
    if (text.len > PN_URI_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_long",
                            "the URI is longer than PN_URI_BYTES_MAX (%u bytes)", PN_URI_BYTES_MAX);
    uri->scheme = pn_slice_sub(text, 0, end);
    rest = pn_slice_sub(text, end, text.len);
    if (!is_scheme(uri->scheme) || !pn_slice_starts_with(rest, PN_LIT("://")))
        return pn_error_set(err, PN_MALFORMED, "scheme",
                            "the URI does not begin with a scheme such as https://");
    rest = pn_slice_sub(rest, 3, rest.len);
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '#')
            return pn_error_set(err, PN_INVALID, "fragment", "a URI must not have a fragment (#)");
        if (!pn_h1_is_target_byte((unsigned char)rest.ptr[i]))
            return pn_error_set(err, PN_MALFORMED, "byte",
                                "the URI has a byte that must be percent-encoded, at position %zu",
                                (size_t)(rest.ptr - text.ptr) + i + 1);
    }
    end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    uri->authority = pn_slice_sub(rest, 0, end);
    rc = parse_authority(uri, err);
    if (rc != PN_OK)
        return rc;
    rest = pn_slice_sub(rest, end, rest.len);
    end = pn_slice_find(rest, '?');
    uri->path = pn_slice_sub(rest, 0, end);
    uri->has_query = end < rest.len;
    if (uri->has_query)
        uri->query = pn_slice_sub(rest, end + 1, rest.len);
    return PN_OK;
}
