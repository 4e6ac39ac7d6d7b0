/* SPDX-License-Identifier: Apache-2.0
 *
 * See cidr.h.
 */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

static unsigned bits_of(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* The first `bits` of both are the same. */
static bool is_same(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned mask = 0xffu & ~(0xffu >> bits % 8);

    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return mask == 0 || ((unsigned)(a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

static bool has_bits_behind(const struct pn_cidr *range)
{
    static const uint8_t none[16];
    unsigned at = range->bits / 8;
    unsigned all = bits_of(range->family) / 8;

    if (at == all)
        return false;
    if ((range->ip[at] & (0xffu >> range->bits % 8)) != 0)
        return true;
    return memcmp(range->ip + at + 1, none, all - at - 1) != 0;
}

/* ::ffff:a.b.c.d is a.b.c.d (RFC 4291 §2.5.5.2). False: another writing of IPv4 addresses (NAT64's
 * prefix, RFC 6052, or the old ::a.b.c.d), which no address is compared in. */
static bool take_ipv4(struct pn_cidr *range)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t none[15] = {0};

    if (range->family != AF_INET6 || range->bits < 96)
        return true;
    if (memcmp(range->ip, mapped, sizeof(mapped)) == 0) {
        memmove(range->ip, range->ip + 12, 4);
        memset(range->ip + 4, 0, 12);
        range->family = AF_INET;
        range->bits -= 96;
        return true;
    }
    if (memcmp(range->ip, nat64, sizeof(nat64)) == 0)
        return false;
    return memcmp(range->ip, none, 12) != 0 || memcmp(range->ip, none, sizeof(none)) == 0;
}

enum pn_rc pn_cidr_parse(struct pn_slice text, struct pn_cidr *range, struct pn_error *err)
{
    size_t slash = pn_slice_find(text, '/');
    char address[INET6_ADDRSTRLEN];
    uint64_t bits;

    *range = (struct pn_cidr){0};
    if (slash == 0 || slash >= sizeof(address))
        return pn_error_set(err, PN_INVALID, "address_range", "'%.*s' is no address range",
                            PN_FMT(pn_slice_sub(text, 0, 60)));
    memcpy(address, text.ptr, slash);
    address[slash] = 0;
    range->family = memchr(address, ':', slash) ? AF_INET6 : AF_INET;
    bits = bits_of(range->family);
    if (inet_pton(range->family, address, range->ip) != 1 ||
        (slash < text.len &&
         !pn_slice_to_u64(pn_slice_sub(text, slash + 1, text.len), bits, &bits)))
        return pn_error_set(err, PN_INVALID, "address_range",
                            "'%.*s' is no address range such as 10.0.0.0/8 or 2001:db8::/32",
                            PN_FMT(pn_slice_sub(text, 0, 60)));
    range->bits = (unsigned)bits;
    if (has_bits_behind(range))
        return pn_error_set(err, PN_INVALID, "address_range",
                            "'%.*s' has bits behind its prefix: write the first address of the "
                            "range, or more bits",
                            PN_FMT(pn_slice_sub(text, 0, 60)));
    if (!take_ipv4(range))
        return pn_error_set(err, PN_INVALID, "address_range",
                            "'%.*s' is a range of IPv4 addresses in an IPv6 form that is not "
                            "compared: write the IPv4 range",
                            PN_FMT(pn_slice_sub(text, 0, 60)));
    return PN_OK;
}

bool pn_cidr_has(const struct pn_cidr *range, int family, const uint8_t *ip)
{
    return range->family == family && is_same(range->ip, ip, range->bits);
}
