/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading PROXY headers. See proxy_protocol.h; sections are those of the specification.
 */
#include "gateway/proxy_protocol.h"

#include <arpa/inet.h>
#include <string.h>

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};

enum { V2_LOCAL = 0x0, V2_PROXY = 0x1 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };
#define V2_UNIX_BYTES 216 /* two paths of 108 */
#define TLV_HEAD      3

static enum pn_rc refuse(const char **cause, const char *text)
{
    *cause = text;
    return PN_MALFORMED;
}

/* ---- version 1 (§2.1) ---- */

/* Numbers have no leading zeros there. */
static bool read_port(struct pn_slice text, uint16_t *port)
{
    uint64_t number;

    if (text.len > 1 && text.ptr[0] == '0')
        return false;
    if (!pn_slice_to_u64(text, 65535, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool read_ip(struct pn_slice text, int family, uint8_t ip[16])
{
    char address[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(address) || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(address, text.ptr, text.len);
    address[text.len] = 0;
    return inet_pton(family, address, ip) == 1;
}

/* `line`: between "PROXY " and CR LF. */
static enum pn_rc read_v1_line(struct pn_slice line, struct pn_proxy_header *header,
                               const char **cause)
{
    struct pn_slice words[5] = {{NULL, 0}};
    size_t count = 0;

    if (pn_slice_eq_str(line, "UNKNOWN") || pn_slice_starts_with(line, PN_LIT("UNKNOWN ")))
        return PN_OK; /* "the receiver must ignore anything presented before the CRLF" */
    while (line.len > 0) {
        size_t space = pn_slice_find(line, ' ');

        if (count == 5 || space == 0 || space + 1 == line.len)
            return refuse(cause, "the line of PROXY version 1 has other than five words");
        words[count++] = pn_slice_sub(line, 0, space);
        line = pn_slice_sub(line, space + 1, line.len);
    }
    if (count != 5)
        return refuse(cause, "the line of PROXY version 1 has other than five words");
    if (pn_slice_eq_str(words[0], "TCP4"))
        header->family = AF_INET;
    else if (pn_slice_eq_str(words[0], "TCP6"))
        header->family = AF_INET6;
    else
        return refuse(cause, "the protocol in PROXY version 1 is not TCP4, TCP6 or UNKNOWN");
    if (!read_ip(words[1], header->family, header->source_ip) ||
        !read_ip(words[2], header->family, header->target_ip))
        return refuse(cause, "an address in PROXY version 1 is not of its protocol");
    if (!read_port(words[3], &header->source_port) || !read_port(words[4], &header->target_port))
        return refuse(cause, "a port in PROXY version 1 is no number from 0 to 65535");
    header->has_addresses = true;
    return PN_OK;
}

static enum pn_rc read_v1(struct pn_slice in, struct pn_proxy_header *header, const char **cause)
{
    const size_t start = sizeof("PROXY ") - 1;
    struct pn_slice in_reach = pn_slice_sub(in, 0, PN_PROXY_V1_BYTES_MAX);
    size_t lf = pn_slice_find(in_reach, '\n');

    if (lf == in_reach.len) {
        if (in_reach.len == PN_PROXY_V1_BYTES_MAX)
            return refuse(cause, "the line of PROXY version 1 is longer than 107 bytes");
        return PN_AGAIN;
    }
    if (in.ptr[lf - 1] != '\r')
        return refuse(cause, "the line of PROXY version 1 ends without CR");
    header->len = lf + 1;
    return read_v1_line(pn_slice_sub(in, start, lf - 1 - start), header, cause);
}

/* ---- version 2 (§2.2) ---- */

static uint16_t u16_at(const char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return ntohs(value);
}

static enum pn_rc check_extensions(struct pn_slice rest, const char **cause)
{
    while (rest.len > 0) {
        size_t len;

        if (rest.len < TLV_HEAD)
            return refuse(cause, "an extension of PROXY version 2 is cut off");
        len = TLV_HEAD + u16_at(rest.ptr + 1);
        if (len > rest.len)
            return refuse(cause, "an extension of PROXY version 2 is longer than the header");
        rest = pn_slice_sub(rest, len, rest.len);
    }
    return PN_OK;
}

static enum pn_rc read_v2_addresses(unsigned kind, struct pn_slice body,
                                    struct pn_proxy_header *header, const char **cause)
{
    size_t ip_len = kind == V2_TCP4 ? 4 : 16;
    size_t needed = kind == V2_UNIX ? V2_UNIX_BYTES : 2 * ip_len + 4;

    if (kind == V2_UNSPEC) /* "the receiver should ignore address information" */
        return PN_OK;
    if (kind != V2_TCP4 && kind != V2_TCP6 && kind != V2_UNIX)
        return refuse(cause, "the protocol in PROXY version 2 is not a stream over IP or Unix");
    if (body.len < needed)
        return refuse(cause, "the addresses in PROXY version 2 are cut off");
    header->has_addresses = true;
    header->family = kind == V2_UNIX ? AF_UNIX : (kind == V2_TCP4 ? AF_INET : AF_INET6);
    if (kind != V2_UNIX) {
        memcpy(header->source_ip, body.ptr, ip_len);
        memcpy(header->target_ip, body.ptr + ip_len, ip_len);
        header->source_port = u16_at(body.ptr + 2 * ip_len);
        header->target_port = u16_at(body.ptr + 2 * ip_len + 2);
    }
    return check_extensions(pn_slice_sub(body, needed, body.len), cause);
}

static enum pn_rc read_v2(struct pn_slice in, size_t bytes_max, struct pn_proxy_header *header,
                          const char **cause)
{
    unsigned version, kind, command = V2_LOCAL;

    if (in.len > 12) {
        version = (unsigned char)in.ptr[12] >> 4;
        command = (unsigned char)in.ptr[12] & 0xf;
        if (version != 2)
            return refuse(cause, "the version of the PROXY protocol is not 1 or 2");
        if (command != V2_LOCAL && command != V2_PROXY)
            return refuse(cause, "the command in PROXY version 2 is not LOCAL or PROXY");
    }
    if (in.len < PN_PROXY_V2_FIXED_BYTES)
        return PN_AGAIN;
    header->len = (size_t)PN_PROXY_V2_FIXED_BYTES + u16_at(in.ptr + 14);
    if (header->len > bytes_max)
        return PN_LIMIT;
    if (in.len < header->len)
        return PN_AGAIN;
    if (command == V2_LOCAL) /* "the receiver must use the real connection endpoints" */
        return PN_OK;
    kind = (unsigned char)in.ptr[13];
    return read_v2_addresses(
        kind, pn_slice_sub(in, PN_PROXY_V2_FIXED_BYTES, header->len - PN_PROXY_V2_FIXED_BYTES),
        header, cause);
}

/* ---- both ---- */

static bool may_start_with(struct pn_slice in, struct pn_slice start)
{
    size_t len = in.len < start.len ? in.len : start.len;

    return len == 0 || memcmp(in.ptr, start.ptr, len) == 0;
}

enum pn_rc pn_proxy_header_parse(struct pn_slice in, size_t bytes_max,
                                 struct pn_proxy_header *header, const char **cause)
{
    struct pn_slice signature = pn_slice(v2_signature, sizeof(v2_signature));

    *header = (struct pn_proxy_header){0};
    *cause = NULL;
    if (may_start_with(in, signature))
        return in.len < signature.len ? PN_AGAIN : read_v2(in, bytes_max, header, cause);
    if (!may_start_with(in, PN_LIT("PROXY ")))
        return refuse(cause, "there is no PROXY header where one is required");
    if (in.len < sizeof("PROXY ") - 1)
        return PN_AGAIN;
    return read_v1(in, header, cause);
}
