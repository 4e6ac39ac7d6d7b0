/* SPDX-License-Identifier: Apache-2.0
 *
 * See address.h.
 */
#include "network/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), 64:ff9b::a.b.c.d (NAT64, RFC 6052) and the old ::a.b.c.d
 * reach the IPv4 host. */
static void unmap(struct pn_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t compatible[12] = {0};
    bool is_low = address->ip[12] == 0 && address->ip[13] == 0 && address->ip[14] == 0;

    if (memcmp(address->ip, mapped, 12) != 0 && memcmp(address->ip, nat64, 12) != 0 &&
        (is_low || memcmp(address->ip, compatible, 12) != 0))
        return;
    memmove(address->ip, address->ip + 12, 4);
    memset(address->ip + 4, 0, 12);
    address->family = AF_INET;
}

bool pn_address_parse(struct pn_slice text, struct pn_address *address)
{
    char copy[INET6_ADDRSTRLEN];

    *address = (struct pn_address){0};
    if (text.len > 1 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = pn_slice_sub(text, 1, text.len - 2);
    text = pn_slice_sub(text, 0, pn_slice_find(text, '%'));
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    address->family = memchr(copy, ':', text.len) ? AF_INET6 : AF_INET;
    if (inet_pton(address->family, copy, address->ip) != 1) {
        *address = (struct pn_address){0};
        return false;
    }
    if (address->family == AF_INET6)
        unmap(address);
    return true;
}

bool pn_address_parse_loosely(struct pn_slice text, struct pn_address *address)
{
    char copy[64];
    struct in_addr in;

    if (pn_address_parse(text, address))
        return true;
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, ' ', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    if (copy[text.len - 1] == '.')
        text.len--;
    copy[text.len] = '\0';
    if (inet_aton(copy, &in) == 0)
        return false;
    address->family = AF_INET;
    memcpy(address->ip, &in, 4);
    return true;
}

struct pn_address pn_address_of(const struct sockaddr *socket_address)
{
    struct pn_address address = {0};

    if (socket_address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, socket_address, sizeof in);
        address.family = AF_INET;
        memcpy(address.ip, &in.sin_addr, 4);
    } else if (socket_address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;

        memcpy(&in, socket_address, sizeof in);
        address.family = AF_INET6;
        memcpy(address.ip, &in.sin6_addr, 16);
        unmap(&address);
    }
    return address;
}

bool pn_address_in(const struct pn_address *address, const struct pn_cidr *range)
{
    return address->family != 0 && pn_cidr_has(range, address->family, address->ip);
}

bool pn_address_in_list(const struct pn_address *address, const json_t *prefixes)
{
    struct pn_cidr range;
    json_t *prefix;
    size_t index;

    json_array_foreach(prefixes, index, prefix)
    {
        struct pn_slice text = pn_slice(json_string_value(prefix), json_string_length(prefix));

        if (pn_cidr_parse(text, &range, NULL) == PN_OK && pn_address_in(address, &range))
            return true;
    }
    return false;
}

/* --- this machine --- */

bool pn_host_is_loopback(const char *host)
{
    static const struct pn_cidr ranges[] = {
        {AF_INET, {127}, 8},
        {AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128},
    };
    struct pn_slice name = pn_slice_str(host), end = PN_LIT("localhost");
    struct pn_address address;

    if (pn_address_parse(name, &address))
        return pn_address_in(&address, &ranges[0]) || pn_address_in(&address, &ranges[1]);
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len < end.len ||
        !pn_slice_case_eq(pn_slice_sub(name, name.len - end.len, end.len), end))
        return false;
    return name.len == end.len || name.ptr[name.len - end.len - 1] == '.';
}

/* --- what must not be reached on behalf of others --- */

static const char *guarded_kind(const struct pn_address *address)
{
    static const struct {
        struct pn_cidr range;
        const char *kind;
    } guarded[] = {
        {{AF_INET, {169, 254}, 16}, "link-local"},
        {{AF_INET, {0}, 8}, "unspecified"},
        {{AF_INET, {100, 100, 100, 200}, 32}, "metadata"},
        {{AF_INET, {168, 63, 129, 16}, 32}, "metadata"},
        {{AF_INET6, {0xfe, 0x80}, 10}, "link-local"},
        {{AF_INET6, {0}, 128}, "unspecified"},
        {{AF_INET6, {0xfd, 0, 0x0e, 0xc2}, 32}, "metadata"},
        {{AF_INET6, {0xfd, 0, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe}, 128},
         "metadata"},
        {{AF_INET6, {0xfd, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42}, 128}, "metadata"},
        {{AF_INET6, {0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54}, 128}, "metadata"},
    };

    for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++) {
        if (pn_address_in(address, &guarded[i].range))
            return guarded[i].kind;
    }
    return NULL;
}

/* The IPv4 address whose bytes are at these places, each turned by `mask`. 0.0.0.0/8 means nothing
 * there, and is what the other forms of a prefix have at these places. */
static const char *guarded_inside(const struct pn_address *address, const size_t at[4],
                                  uint8_t mask)
{
    struct pn_address inner = {.family = AF_INET};

    for (size_t i = 0; i < 4; i++)
        inner.ip[i] = address->ip[at[i]] ^ mask;
    return inner.ip[0] != 0 ? guarded_kind(&inner) : NULL;
}

static bool is_isatap(const struct pn_address *address)
{
    const uint8_t *id = address->ip + 8;

    return (id[0] & ~2U) == 0 && id[1] == 0 && id[2] == 0x5e && id[3] == 0xfe;
}

const char *pn_address_is_guarded(const struct pn_address *address)
{
    static const struct {
        struct pn_cidr range;
        size_t at[4];
        uint8_t mask;
    } holders[] = {
        {{AF_INET6, {0x20, 2}, 16}, {2, 3, 4, 5}, 0},                      /* 6to4 */
        {{AF_INET6, {0x20, 1, 0, 0}, 32}, {12, 13, 14, 15}, 0xff},         /* Teredo: a client, */
        {{AF_INET6, {0x20, 1, 0, 0}, 32}, {4, 5, 6, 7}, 0},                /* its server */
        {{AF_INET6, {0, 0x64, 0xff, 0x9b, 0, 1}, 48}, {6, 7, 9, 10}, 0},   /* RFC 6052 §2.2, /48 */
        {{AF_INET6, {0, 0x64, 0xff, 0x9b, 0, 1}, 48}, {7, 9, 10, 11}, 0},  /* /56 */
        {{AF_INET6, {0, 0x64, 0xff, 0x9b, 0, 1}, 48}, {9, 10, 11, 12}, 0}, /* /64 */
        {{AF_INET6, {0, 0x64, 0xff, 0x9b, 0, 1}, 48}, {12, 13, 14, 15}, 0},          /* /96 */
        {{AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, {12, 13, 14, 15}, 0}, /* SIIT */
    };
    static const size_t last[4] = {12, 13, 14, 15};
    const char *kind = guarded_kind(address);

    if (address->family != AF_INET6)
        return kind;
    for (size_t i = 0; !kind && i < sizeof holders / sizeof holders[0]; i++) {
        if (pn_address_in(address, &holders[i].range))
            kind = guarded_inside(address, holders[i].at, holders[i].mask);
    }
    return !kind && is_isatap(address) ? guarded_inside(address, last, 0) : kind;
}

void pn_address_text(const struct pn_address *address, char *out)
{
    if (address->family == 0 || !inet_ntop(address->family, address->ip, out, PN_ADDRESS_TEXT))
        snprintf(out, PN_ADDRESS_TEXT, "unknown");
}
