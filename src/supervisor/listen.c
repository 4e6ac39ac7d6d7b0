/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening listening sockets. See listen.h. With one thread, before it starts children.
 */
#include "supervisor/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"

#define SAME_PORT_TRIES 32
#define RETRY_MS        50

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
static int open_once(const struct sockaddr *address, socklen_t len)
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

/* What a killed supervisor started ends by itself, but may hold an address for a moment more.
 * False: it has been waited for long enough. */
static bool wait_a_moment(int *waited_ms)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

    if (*waited_ms >= PN_LISTEN_WAIT_MS)
        return false;
    *waited_ms += RETRY_MS;
    nanosleep(&pause, NULL);
    return true;
}

/* With `any_port` the next port will do. errno tells after -1. */
static int open_one(const struct sockaddr *address, socklen_t len, bool any_port)
{
    int waited_ms = 0;
    int fd = open_once(address, len);

    while (fd < 0 && errno == EADDRINUSE && !any_port) {
        if (!wait_a_moment(&waited_ms)) {
            errno = EADDRINUSE;
            break;
        }
        fd = open_once(address, len);
    }
    return fd;
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

/* The host as clients on this machine would write it: "localhost" for loopback and wildcard. */
static void name_host(const char *host, char out[256])
{
    static const char *const local[] = {"",        "localhost", "127.0.0.1", "::1",
                                        "0.0.0.0", "::",        "*",         NULL};

    snprintf(out, 256, "localhost");
    for (size_t i = 0; local[i]; i++) {
        if (strcmp(host, local[i]) == 0)
            return;
    }
    snprintf(out, 256, strchr(host, ':') ? "[%.250s]" : "%.250s", host);
}

static const char *path_of(const char *text)
{
    return text + sizeof("unix:") - 1;
}

static bool is_no_ipv6(int cause)
{
    return cause == EAFNOSUPPORT || cause == EADDRNOTAVAIL;
}

/* `address` as its owner wrote it. */
static enum pn_rc keep(struct pn_listen_set *set, int fd, const struct pn_listen_address *address,
                       struct pn_error *err)
{
    struct pn_listen_socket *socket = &set->sockets[set->count];

    if (set->count == PN_LISTEN_FDS_MAX) {
        close(fd);
        return pn_error_set(err, PN_LIMIT, "address", "a listener has at most %d sockets",
                            PN_LISTEN_FDS_MAX);
    }
    *socket = (struct pn_listen_socket){
        .fd = fd, .is_unix = address->is_unix, .wants_proxy = address->wants_proxy};
    memcpy(socket->text, address->text, sizeof(socket->text));
    memcpy(socket->trusted, address->trusted, sizeof(socket->trusted));
    set->count++;
    return PN_OK;
}

static enum pn_rc open_localhost(const struct pn_listen_address *address, unsigned port,
                                 struct pn_listen_set *set, struct pn_error *err)
{
    for (int tries = 0; tries < SAME_PORT_TRIES; tries++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int first = open_one((const struct sockaddr *)&v4, sizeof(v4), port == 0);
        int second;
        int cause;

        if (first < 0)
            return bind_error(err, errno, address->text);
        v6.sin6_port = htons((uint16_t)port_of(first));
        second = open_one((const struct sockaddr *)&v6, sizeof(v6), port == 0);
        cause = errno;
        if (second >= 0 || is_no_ipv6(cause)) {
            enum pn_rc rc = keep(set, first, address, err);

            if (second >= 0 && rc == PN_OK)
                rc = keep(set, second, address, err);
            return rc;
        }
        close(first);
        if (port != 0 || cause != EADDRINUSE)
            return bind_error(err, cause, address->text);
    }
    return bind_error(err, EADDRINUSE, address->text);
}

static void set_port(struct addrinfo *at, unsigned port)
{
    if (at->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)at->ai_addr)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)at->ai_addr)->sin_port = htons((uint16_t)port);
}

static enum pn_rc open_named(const struct pn_listen_address *address, const struct host_port *where,
                             struct pn_listen_set *set, struct pn_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    bool is_any = !where->host[0] || strcmp(where->host, "*") == 0;
    unsigned number = where->port;
    struct addrinfo *found = NULL;
    size_t before = set->count;
    char port[8];
    enum pn_rc rc = PN_OK;
    int cause;

    snprintf(port, sizeof(port), "%u", where->port);
    cause = getaddrinfo(is_any ? NULL : where->host, port, &hints, &found);
    if (cause != 0)
        return pn_error_set(err, PN_INVALID, "address", "'%s': %s", address->text,
                            gai_strerror(cause));
    for (struct addrinfo *at = found; at && rc == PN_OK; at = at->ai_next) {
        int fd;

        set_port(at, number); /* any free one is the same for all */
        fd = open_one(at->ai_addr, at->ai_addrlen, number == 0);
        if (fd >= 0) {
            number = port_of(fd);
            rc = keep(set, fd, address, err);
        } else if (at->ai_family != AF_INET6 || !is_no_ipv6(errno)) {
            rc = bind_error(err, errno, address->text);
        }
    }
    if (rc == PN_OK && set->count == before)
        rc = bind_error(err, EADDRNOTAVAIL, address->text);
    freeaddrinfo(found);
    return rc;
}

/* ---- Unix sockets ---- */

/* Whether somebody answers there. */
static bool is_alive(const struct sockaddr_un *where)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answer;

    if (fd < 0)
        return true;
    /* EAGAIN: its queue is full. */
    answer = connect(fd, (const struct sockaddr *)where, sizeof(*where)) == 0 || errno == EAGAIN;
    close(fd);
    return answer;
}

/* The file of a process that is gone. Anything else there is not ours to remove. */
static enum pn_rc remove_stale(const struct sockaddr_un *where, struct pn_error *err)
{
    struct stat info;
    int waited_ms = 0;

    if (lstat(where->sun_path, &info) != 0)
        return errno == ENOENT
                   ? PN_OK
                   : pn_error_from_errno(err, errno, "cannot look at %s", where->sun_path);
    if (!S_ISSOCK(info.st_mode))
        return pn_error_set(err, PN_IO, "address",
                            "%s exists and is no socket: choose another path", where->sun_path);
    while (is_alive(where)) {
        if (!wait_a_moment(&waited_ms))
            return pn_error_set(err, PN_IO, "address",
                                "another program listens on %s: stop it, or choose another path",
                                where->sun_path);
    }
    if (unlink(where->sun_path) != 0 && errno != ENOENT)
        return pn_error_from_errno(err, errno, "cannot remove the stale socket %s",
                                   where->sun_path);
    return PN_OK;
}

static enum pn_rc open_unix(const struct pn_listen_address *address, struct pn_listen_set *set,
                            struct pn_error *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int fd = -1;
    enum pn_rc rc;

    snprintf(where.sun_path, sizeof(where.sun_path), "%s", path_of(address->text));
    rc = remove_stale(&where, err);
    if (rc != PN_OK)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Nobody can connect before listen(): by then the mode is right. */
    if (fd < 0 || bind(fd, (const struct sockaddr *)&where, sizeof(where)) != 0 ||
        chmod(where.sun_path, address->mode) != 0 || listen(fd, PN_LISTEN_BACKLOG) != 0) {
        rc = pn_error_from_errno(err, errno, "cannot listen on %s", address->text);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    return keep(set, fd, address, err);
}

/* ---- all ---- */

/* Those of `former` that were made for the same address. True: there were some. */
static bool take_former(struct pn_listen_set *former, const struct pn_listen_address *address,
                        struct pn_listen_set *set)
{
    bool found = false;

    for (size_t i = 0; former && i < former->count; i++) {
        struct pn_listen_socket *socket = &former->sockets[i];

        if (socket->fd < 0 || strcmp(socket->text, address->text) != 0 ||
            keep(set, socket->fd, address, NULL) != PN_OK)
            continue;
        socket->fd = -1;
        found = true;
        if (address->is_unix)
            (void)!chmod(path_of(address->text), address->mode);
    }
    return found;
}

static enum pn_rc open_address(const struct pn_listen_address *address,
                               struct pn_listen_set *former, struct pn_listen_set *set,
                               struct pn_error *err)
{
    struct host_port where = {0};
    size_t first = set->count;
    enum pn_rc rc = PN_OK;

    if (!address->is_unix)
        rc = split(address->text, &where, err);
    if (rc == PN_OK && !take_former(former, address, set)) {
        if (address->is_unix)
            rc = open_unix(address, set, err);
        else if (pn_slice_case_eq_str(pn_slice_str(where.host), "localhost"))
            rc = open_localhost(address, where.port, set, err);
        else
            rc = open_named(address, &where, set, err);
    }
    if (rc == PN_OK && !address->is_unix && set->port == 0) {
        set->port = port_of(set->sockets[first].fd);
        name_host(where.host, set->host);
    }
    return rc;
}

enum pn_rc pn_listen_open(const struct pn_listen_value *value, struct pn_listen_set *former,
                          struct pn_listen_set *set, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    *set = (struct pn_listen_set){.count = 0};
    for (size_t i = 0; i < value->count && rc == PN_OK; i++)
        rc = open_address(&value->addresses[i], former, set, err);
    if (rc != PN_OK && !former)
        pn_listen_close(set, true);
    return rc;
}

void pn_listen_close(struct pn_listen_set *set, bool removes_files)
{
    for (size_t i = 0; i < set->count; i++) {
        struct pn_listen_socket *socket = &set->sockets[i];

        if (socket->fd < 0)
            continue;
        if (removes_files && socket->is_unix)
            (void)!unlink(path_of(socket->text));
        close(socket->fd);
    }
    set->count = 0;
}

void pn_listen_address_print(const struct pn_listen_socket *socket, char out[PN_LISTEN_ADDRESS_MAX])
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    char host[64], port[8];

    snprintf(out, PN_LISTEN_ADDRESS_MAX, "%s", socket->text);
    if (socket->is_unix || getsockname(socket->fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((const struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(out, PN_LISTEN_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
