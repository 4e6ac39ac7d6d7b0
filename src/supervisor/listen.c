/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening listening sockets. See listen.h.
 */
#include "supervisor/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/slice.h"

#define SAME_PORT_TRIES 32

struct host_port {
    char host[256]; /* "" = every address */
    unsigned port;
};

static enum pn_rc split(const char *address, struct host_port *out, struct pn_error *err)
{
    const char *colon = strrchr(address, ':');
    struct pn_slice host = pn_slice(address, colon ? (size_t)(colon - address) : 0);
    uint64_t port;

    if (!colon || !pn_slice_to_u64(pn_slice_str(colon + 1), 65535, &port))
        return pn_error_set(err, PN_INVALID, "address", "'%s' is not HOST:PORT (port 0 to 65535)",
                            address);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = pn_slice_sub(host, 1, host.len - 2);
    else if (pn_slice_find(host, ':') < host.len)
        return pn_error_set(err, PN_INVALID, "address",
                            "'%s': an IPv6 address is written [ADDRESS]:PORT", address);
    if (host.len >= sizeof(out->host))
        return pn_error_set(err, PN_INVALID, "address", "'%.60s…': the host name is too long",
                            address);
    memcpy(out->host, host.ptr, host.len);
    out->host[host.len] = 0;
    out->port = (unsigned)port;
    return PN_OK;
}

/* errno tells after -1. */
static int open_one(const struct sockaddr *address, socklen_t len)
{
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int cause;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (address->sa_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, address, len) == 0 && listen(fd, PN_LISTEN_BACKLOG) == 0)
        return fd;
    cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof(address);

    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static enum pn_rc bind_error(struct pn_error *err, int cause, const char *address)
{
    const char *hint = "";

    if (cause == EADDRINUSE)
        hint =
            " (another program listens there: stop it, or choose another port; 0 is any free one)";
    else if (cause == EACCES)
        hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    pn_error_from_errno(err, cause, "cannot listen on %s%s", address, hint);
    return PN_IO;
}

static bool is_no_ipv6(int cause)
{
    return cause == EAFNOSUPPORT || cause == EADDRNOTAVAIL;
}

static enum pn_rc open_localhost(const char *address, unsigned port, struct pn_listen_set *set,
                                 struct pn_error *err)
{
    for (int tries = 0; tries < SAME_PORT_TRIES; tries++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int first = open_one((const struct sockaddr *)&v4, sizeof(v4));
        int second;
        int cause;

        if (first < 0)
            return bind_error(err, errno, address);
        set->port = port_of(first);
        v6.sin6_port = htons((uint16_t)set->port);
        second = open_one((const struct sockaddr *)&v6, sizeof(v6));
        cause = errno;
        set->fds[0] = first;
        set->count = 1;
        if (second >= 0)
            set->fds[set->count++] = second;
        if (second >= 0 || is_no_ipv6(cause))
            return PN_OK;
        pn_listen_close(set);
        if (port != 0 || cause != EADDRINUSE)
            return bind_error(err, cause, address);
    }
    return bind_error(err, EADDRINUSE, address);
}

static enum pn_rc open_named(const char *address, const struct host_port *where,
                             struct pn_listen_set *set, struct pn_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];
    enum pn_rc rc = PN_OK;
    int cause;

    snprintf(port, sizeof(port), "%u", where->port);
    cause = getaddrinfo(where->host[0] ? where->host : NULL, port, &hints, &found);
    if (cause != 0)
        return pn_error_set(err, PN_INVALID, "address", "'%s': %s", address, gai_strerror(cause));
    for (const struct addrinfo *at = found; at && set->count < PN_LISTEN_FDS_MAX && rc == PN_OK;
         at = at->ai_next) {
        int fd;

        if (set->count > 0 && where->port == 0) {
            uint16_t same = htons((uint16_t)set->port);

            if (at->ai_family == AF_INET6)
                ((struct sockaddr_in6 *)(void *)at->ai_addr)->sin6_port = same;
            else
                ((struct sockaddr_in *)(void *)at->ai_addr)->sin_port = same;
        }
        fd = open_one(at->ai_addr, at->ai_addrlen);
        if (fd >= 0) {
            set->fds[set->count++] = fd;
            set->port = port_of(fd);
        } else if (at->ai_family != AF_INET6 || !is_no_ipv6(errno)) {
            rc = bind_error(err, errno, address);
        }
    }
    if (rc == PN_OK && set->count == 0)
        rc = bind_error(err, EADDRNOTAVAIL, address);
    freeaddrinfo(found);
    return rc;
}

enum pn_rc pn_listen_open(const char *address, struct pn_listen_set *set, struct pn_error *err)
{
    struct host_port where = {0};
    enum pn_rc rc = split(address, &where, err);

    *set = (struct pn_listen_set){0};
    if (rc != PN_OK)
        return rc;
    if (pn_slice_case_eq_str(pn_slice_str(where.host), "localhost"))
        rc = open_localhost(address, where.port, set, err);
    else
        rc = open_named(address, &where, set, err);
    if (rc != PN_OK)
        pn_listen_close(set);
    return rc;
}

void pn_listen_close(struct pn_listen_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        close(set->fds[i]);
    set->count = 0;
}

void pn_listen_host(const char *address, char out[256])
{
    static const char *const local[] = {"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"};
    struct host_port where = {0};

    snprintf(out, 256, "localhost");
    if (split(address, &where, NULL) != PN_OK)
        return;
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (strcmp(where.host, local[i]) == 0)
            return;
    }
    snprintf(out, 256, strchr(where.host, ':') ? "[%.250s]" : "%.250s", where.host);
}
