/* SPDX-License-Identifier: Apache-2.0
 *
 * The loopback redirect of a native application (RFC 8252 §7.3): one port of 127.0.0.1 and ::1, on
 * which a browser brings the answer of an authorization server.
 *
 * Anything of this machine may connect here. What does not have the state is told so and forgotten;
 * a code that somebody else takes is of no use without the code verifier (RFC 7636).
 */
#include "cli/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/secret.h"

#define PORT_TRIES 8
#define HEAD_MAX   8192
#define HEAD_MS    2000 /* of one connection; browsers open some that they do not use */

static int listen_at(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    if ((address->sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, address, len) != 0 || listen(fd, 8) != 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Both families at one port: nobody else shall have "localhost" at it. A machine without IPv6 has
 * one. */
static bool open_both(struct pn_cli_loopback *loopback, bool *is_taken)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof four;

    *is_taken = false;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    loopback->fds[0] = listen_at((struct sockaddr *)&four, sizeof four);
    if (loopback->fds[0] < 0 || getsockname(loopback->fds[0], (struct sockaddr *)&four, &len) != 0)
        return false;
    six.sin6_port = four.sin_port;
    loopback->port = ntohs(four.sin_port);
    loopback->fds[1] = listen_at((struct sockaddr *)&six, sizeof six);
    *is_taken = loopback->fds[1] < 0 && errno == EADDRINUSE;
    return !*is_taken;
}

enum pn_rc pn_cli_loopback_open(struct pn_cli_loopback *loopback, struct pn_error *err)
{
    *loopback = (struct pn_cli_loopback){.fds = {-1, -1}};
    for (int i = 0; i < PORT_TRIES; i++) {
        bool is_taken;

        if (open_both(loopback, &is_taken))
            return PN_OK;
        if (!is_taken)
            break;
        pn_cli_loopback_close(loopback);
    }
    pn_error_from_errno(err, errno, "cannot listen on a port of localhost");
    pn_cli_loopback_close(loopback);
    return PN_IO;
}

void pn_cli_loopback_close(struct pn_cli_loopback *loopback)
{
    for (int i = 0; i < 2; i++) {
        if (loopback->fds[i] >= 0)
            close(loopback->fds[i]);
        loopback->fds[i] = -1;
    }
}

/* ---- one connection ---- */

/* Reads to the end of the head. False: it is none, or does not come. */
static bool read_head(int fd, struct pn_buf *head)
{
    uint64_t until_ms = pn_clock_monotonic_ms() + HEAD_MS;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint64_t now_ms = pn_clock_monotonic_ms();
        char chunk[1024];
        ssize_t got;

        if (pn_slice_find_slice(pn_buf_slice(head), PN_LIT("\r\n\r\n")) < head->len)
            return true;
        if (now_ms >= until_ms || poll(&wait, 1, (int)(until_ms - now_ms)) <= 0)
            return false;
        got = recv(fd, chunk, sizeof chunk, 0);
        if (got <= 0 || pn_buf_append(head, chunk, (size_t)got) != PN_OK)
            return false;
        pn_wipe(chunk, sizeof chunk);
    }
}

static void answer(int fd, const char *status, const char *title, const char *text)
{
    char page[1024];
    char head[512];
    int page_len = snprintf(page, sizeof page,
                            "<!doctype html><html lang=en><meta charset=utf-8><title>Postern"
                            "</title><h1>%s</h1><p>%s</p>\n",
                            title, text);
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                            "Content-Length: %d\r\nCache-Control: no-store\r\n"
                            "Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
                            "Content-Security-Policy: default-src 'none'\r\n"
                            "Connection: close\r\n\r\n",
                            status, page_len);

    if (send(fd, head, (size_t)head_len, MSG_NOSIGNAL) == head_len)
        (void)!send(fd, page, (size_t)page_len, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
}

/* The decoded parameter of a query. False: not there, there twice, broken or too long. */
static bool read_parameter(struct pn_slice query, const char *name, struct pn_buf *value)
{
    struct pn_slice part;
    bool found = false;

    pn_buf_clear(value);
    while (pn_slice_cut(&query, '&', &part)) {
        size_t equals = pn_slice_find(part, '=');

        if (!pn_slice_eq_str(pn_slice_sub(part, 0, equals), name))
            continue;
        if (found || equals == part.len ||
            pn_percent_decode(pn_slice_sub(part, equals + 1, part.len), value) != PN_OK)
            return false;
        found = true;
    }
    return found;
}

/* The query of "GET /?…"; ptr NULL: another request. */
static struct pn_slice query_of(struct pn_slice head)
{
    struct pn_slice line = pn_slice_sub(head, 0, pn_slice_find(head, '\r'));
    struct pn_slice start = PN_LIT("GET /?");
    struct pn_slice rest;

    if (!pn_slice_starts_with(line, start))
        return (struct pn_slice){NULL, 0};
    rest = pn_slice_sub(line, start.len, line.len);
    return pn_slice_sub(rest, 0, pn_slice_find(rest, ' '));
}

/* PN_AGAIN: it was not the answer that is waited for. */
static enum pn_rc take(int fd, struct pn_slice query, const char *state, const char *issuer,
                       struct pn_buf *code, struct pn_error *err)
{
    struct pn_buf value;
    enum pn_rc rc = PN_AGAIN;

    pn_buf_init_secret(&value, HEAD_MAX);
    if (!query.ptr || !read_parameter(query, "state", &value) ||
        !pn_equal_constant_time(pn_buf_slice(&value), pn_slice_str(state))) {
        answer(fd, "404 Not Found", "Not found", "This sign-in is not known here.");
    } else if (read_parameter(query, "iss", &value) &&
               !pn_slice_eq_str(pn_buf_slice(&value), issuer)) {
        /* RFC 9207 §2.4 */
        rc = pn_error_set(err, PN_DENIED, "login", "the answer is that of another issuer");
        answer(fd, "400 Bad Request", "Not signed in", "The answer is that of another issuer.");
    } else if (read_parameter(query, "error", &value)) {
        struct pn_slice word = pn_buf_slice(&value);
        bool is_word = word.len > 0 && word.len <= 64;

        for (size_t i = 0; is_word && i < word.len; i++)
            is_word = word.ptr[i] == '_' || (word.ptr[i] >= 'a' && word.ptr[i] <= 'z');
        rc = pn_error_set(err, PN_DENIED, "login", "the issuer refused: %.*s",
                          is_word ? (int)word.len : 5, is_word ? word.ptr : "error");
        answer(fd, "200 OK", "Not signed in", "The issuer refused. The terminal says more.");
    } else if (read_parameter(query, "code", code) && code->len > 0) {
        rc = PN_OK;
        answer(fd, "200 OK", "Signed in", "You can close this window and go back to the terminal.");
    } else {
        answer(fd, "400 Bad Request", "Not signed in", "The answer has no code.");
    }
    pn_buf_fini(&value);
    return rc;
}

static enum pn_rc serve_one(int listener, const char *state, const char *issuer,
                            struct pn_buf *code, struct pn_error *err)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct pn_buf head;
    enum pn_rc rc = PN_AGAIN;

    if (fd < 0)
        return PN_AGAIN;
    pn_buf_init_secret(&head, HEAD_MAX);
    if (read_head(fd, &head))
        rc = take(fd, query_of(pn_buf_slice(&head)), state, issuer, code, err);
    pn_buf_fini(&head);
    close(fd);
    return rc;
}

enum pn_rc pn_cli_loopback_wait(const struct pn_cli_loopback *loopback, const char *state,
                                const char *issuer, unsigned seconds, struct pn_buf *code,
                                struct pn_error *err)
{
    uint64_t until_ms = pn_clock_monotonic_ms() + seconds * 1000ull;
    enum pn_rc rc = PN_AGAIN;

    while (rc == PN_AGAIN) {
        struct pollfd waits[2] = {{.fd = loopback->fds[0], .events = POLLIN},
                                  {.fd = loopback->fds[1], .events = POLLIN}};
        uint64_t now_ms = pn_clock_monotonic_ms();

        if (now_ms >= until_ms)
            return pn_error_set(err, PN_TIMEOUT, "login", "nobody signed in within %u seconds",
                                seconds);
        if (poll(waits, 2, (int)(until_ms - now_ms)) <= 0)
            continue;
        for (int i = 0; i < 2 && rc == PN_AGAIN; i++) {
            if (waits[i].revents & POLLIN)
                rc = serve_one(waits[i].fd, state, issuer, code, err);
        }
    }
    return rc;
}
