/* SPDX-License-Identifier: Apache-2.0
 *
 * Proxies: the value, the request, the answer. Bytes in, bytes out; the socket is tunnel.c's.
 */
#include "upstream/proxy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "http/uri.h"

/* --- the value --- */

static enum pn_rc set_authorization(struct pn_proxy *proxy, struct pn_slice username,
                                    struct pn_slice password)
{
    struct pn_buf text;
    enum pn_rc rc;

    if (username.len == 0 && password.len == 0)
        return PN_OK;
    pn_buf_init_secret(&text, 4 * PN_PROXY_CREDENTIAL_MAX);
    rc = pn_basic_credentials(username, password, &text);
    if (rc == PN_OK)
        rc = pn_secret_from(&proxy->authorization, text.ptr, text.len);
    pn_buf_fini(&text);
    return rc;
}

/** Over everything that tells two proxies apart. */
static enum pn_rc set_digest(struct pn_proxy *proxy)
{
    uint8_t digest[PN_SHA256_BYTES];
    struct pn_buf all;
    enum pn_rc rc;

    pn_buf_init_secret(&all, PN_TARGET_HOST_MAX + 4 * PN_PROXY_CREDENTIAL_MAX + 64);
    rc = pn_buf_printf(&all, "%s %s %u ", proxy->is_tls ? "https" : "http", proxy->host,
                       proxy->port);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&all, pn_secret_slice(&proxy->authorization));
    if (rc == PN_OK) {
        pn_sha256(pn_buf_slice(&all), digest);
        memcpy(proxy->digest, digest, sizeof(proxy->digest));
    }
    pn_buf_fini(&all);
    return rc;
}

enum pn_rc pn_proxy_create(struct pn_slice url, struct pn_slice username, struct pn_slice password,
                           struct pn_proxy **out, struct pn_error *err)
{
    struct pn_proxy *proxy = NULL;
    struct pn_target target;
    enum pn_rc rc = pn_target_parse(url, &target, err);

    if (rc != PN_OK) {
        pn_error_prefix(err, "the proxy's URL");
        return rc;
    }
    if (username.len > PN_PROXY_CREDENTIAL_MAX || password.len > PN_PROXY_CREDENTIAL_MAX)
        return pn_error_set(err, PN_INVALID, "proxy_credentials",
                            "the proxy's user name or password is too long");
    proxy = calloc(1, sizeof(*proxy));
    if (!proxy)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a proxy");
    atomic_init(&proxy->refs, 1);
    proxy->port = target.port;
    proxy->is_tls = target.is_tls;
    for (size_t i = 0; i < target.host.len; i++) {
        char c = target.host.ptr[i];

        proxy->host[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    rc = set_authorization(proxy, username, password);
    if (rc == PN_OK)
        rc = set_digest(proxy);
    if (rc == PN_OK) {
        *out = proxy;
        return PN_OK;
    }
    pn_proxy_unref(proxy);
    return pn_error_set(err, rc, "out_of_memory", "no memory for a proxy");
}

struct pn_proxy *pn_proxy_ref(struct pn_proxy *proxy)
{
    atomic_fetch_add_explicit(&proxy->refs, 1, memory_order_relaxed);
    return proxy;
}

void pn_proxy_unref(struct pn_proxy *proxy)
{
    if (!proxy || atomic_fetch_sub_explicit(&proxy->refs, 1, memory_order_acq_rel) > 1)
        return;
    pn_secret_fini(&proxy->authorization);
    free(proxy);
}

bool pn_proxy_equal(const struct pn_proxy *a, const struct pn_proxy *b)
{
    return a == b || (a && b && memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
}

void pn_proxy_peer(const struct pn_proxy *proxy, uint16_t port, struct pn_peer_address *peer)
{
    memset(peer, 0, sizeof(*peer));
    peer->family = AF_UNSPEC;
    peer->port = port;
    memcpy(peer->ip, proxy->digest, sizeof(peer->ip));
}

/* --- the request --- */

enum pn_rc pn_proxy_request(const struct pn_proxy *proxy, struct pn_slice host, uint16_t port,
                            struct pn_buf *out)
{
    struct pn_slice authorization = pn_secret_slice(&proxy->authorization);
    bool is_ipv6 = pn_slice_find(host, ':') < host.len;
    const char *open = is_ipv6 ? "[" : "";
    const char *close = is_ipv6 ? "]" : "";
    enum pn_rc rc = pn_buf_printf(out, "CONNECT %s%.*s%s:%u HTTP/1.1\r\nHost: %s%.*s%s:%u\r\n",
                                  open, PN_FMT(host), close, port, open, PN_FMT(host), close, port);

    if (rc == PN_OK && authorization.len > 0) {
        rc = pn_buf_append_slice(out, PN_LIT("Proxy-Authorization: "));
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, authorization);
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, PN_LIT("\r\n"));
    }
    return rc == PN_OK ? pn_buf_append_slice(out, PN_LIT("\r\n")) : rc;
}

/* --- the answer --- */

/** "HTTP/1.x NNN" and a space or the line's end (RFC 9112 §4). */
static bool read_status(struct pn_slice line, int *status)
{
    const char *at = line.ptr;
    bool is_status_line = line.len >= 12 && pn_slice_starts_with(line, PN_LIT("HTTP/1.")) &&
                          at[7] >= '0' && at[7] <= '9' && at[8] == ' ' &&
                          (line.len == 12 || at[12] == ' ');

    if (!is_status_line)
        return false;
    *status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *status = *status * 10 + (at[i] - '0');
    }
    return *status >= 100;
}

enum pn_proxy_answer pn_proxy_read(struct pn_slice answer, size_t max, int *status)
{
    size_t line_end = pn_slice_find_slice(answer, PN_LIT("\r\n"));
    size_t head_end = pn_slice_find_slice(answer, PN_LIT("\r\n\r\n"));

    if (line_end < answer.len && !read_status(pn_slice_sub(answer, 0, line_end), status))
        return PN_PROXY_MALFORMED;
    if (head_end == answer.len)
        return answer.len >= max ? PN_PROXY_MALFORMED : PN_PROXY_MORE;
    if (*status < 200) { /* a 1xx is followed by the answer that counts */
        size_t next = head_end + 4;

        return pn_proxy_read(pn_slice_sub(answer, next, answer.len - next), max - next, status);
    }
    if (*status == 407)
        return PN_PROXY_AUTH_REQUIRED;
    if (*status >= 300)
        return PN_PROXY_REFUSED;
    return head_end + 4 == answer.len ? PN_PROXY_OPEN : PN_PROXY_MALFORMED;
}
