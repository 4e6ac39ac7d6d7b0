/* SPDX-License-Identifier: Apache-2.0
 *
 * c-ares tells by a callback which sockets it wants watched; one timer drives its own timeouts.
 */
#include "upstream/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "network/outbound.h"

/** The question for one family, apart from the one for both. */
struct half {
    struct name *name;
    bool is_asked;
};

enum { HALF_V4, HALF_V6, HALVES };

struct name {
    struct pn_resolver *resolver;
    struct pn_list waiting; /* struct pn_resolve */
    bool is_asked;          /* for both families */
    bool is_lame; /* one family was answered long before both: the halves are asked for at once */
    struct half halves[HALVES];
    struct pn_timer patience; /* while it is asked */
    uint64_t asked_ms;
    bool is_stale; /* no server answered lately: the addresses are those of before */
    uint64_t expires_ms;
    uint64_t stale_until_ms; /* of the addresses, if no server answers any more */
    unsigned turn;
    enum pn_rc rc;
    const char *reason;
    struct pn_peer_address addresses[PN_RESOLVE_ADDRESSES_MAX];
    size_t count;
    char text[];
};

struct socket_watch {
    struct pn_list entry;
    struct pn_watch watch;
    struct pn_deferred deferred;
};

struct pn_resolver {
    struct pn_loop *loop;
    ares_channel channel;
    bool has_channel;
    struct pn_map *names;
    struct pn_list sockets;
    struct pn_timer timer;
    bool allows_guarded;
    struct pn_outbound *outbound; /* NULL: no rules */
};

void pn_resolver_allow_guarded(struct pn_resolver *resolver)
{
    resolver->allows_guarded = true;
}

bool pn_resolver_allows(const struct pn_resolver *resolver, const struct pn_peer_address *peer)
{
    struct sockaddr_storage address;
    struct pn_address plain;

    if (resolver->allows_guarded)
        return true;
    (void)pn_peer_address_to(peer, &address);
    plain = pn_address_of((const struct sockaddr *)&address);
    return !pn_address_is_guarded(&plain);
}

/* --- network rules --- */

void pn_resolver_set_outbound(struct pn_resolver *resolver, struct pn_outbound *rules)
{
    struct pn_outbound *former = resolver->outbound;

    resolver->outbound = pn_outbound_ref(rules);
    pn_outbound_unref(former);
}

static struct pn_outbound_target target_of(struct pn_slice host, const struct pn_peer_address *peer)
{
    struct sockaddr_storage address;

    (void)pn_peer_address_to(peer, &address);
    return (struct pn_outbound_target){
        .host = host,
        .port = peer->port,
        .address = pn_address_of((const struct sockaddr *)&address),
    };
}

bool pn_resolver_may_connect(const struct pn_resolver *resolver, struct pn_slice host,
                             const struct pn_peer_address *peer)
{
    struct pn_outbound_target target;

    if (!resolver->outbound)
        return true;
    target = target_of(host, peer);
    return pn_outbound_judge(resolver->outbound, &target).is_allowed;
}

const char *pn_resolver_explain(const struct pn_resolver *resolver, struct pn_slice host,
                                const struct pn_peer_address *peer, char *out, size_t size)
{
    struct pn_outbound_target target = target_of(host, peer);
    struct pn_outbound_verdict verdict = pn_outbound_judge(resolver->outbound, &target);

    pn_outbound_explain(resolver->outbound, &target, &verdict, out, size);
    return pn_outbound_rule_of(&verdict);
}

/* --- names that need no query --- */

static bool parse_address(struct pn_slice host, struct pn_peer_address *address)
{
    char text[INET6_ADDRSTRLEN + 1];

    memset(address, 0, sizeof(*address));
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, address->ip) == 1)
        address->family = AF_INET;
    else if (inet_pton(AF_INET6, text, address->ip) == 1)
        address->family = AF_INET6;
    else
        return false;
    return true;
}

/** RFC 6761 §6.3: localhost and everything below it is the loopback address. */
static bool is_localhost(struct pn_slice host)
{
    static const char name[] = "localhost";
    size_t len = sizeof(name) - 1;

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len < len || !pn_slice_case_eq_str(pn_slice_sub(host, host.len - len, len), name))
        return false;
    return host.len == len || host.ptr[host.len - len - 1] == '.';
}

static bool answer_without_query(struct pn_resolve *query, struct pn_slice host)
{
    if (parse_address(host, &query->addresses[0])) {
        query->count = 1;
        return true;
    }
    if (!is_localhost(host))
        return false;
    (void)parse_address(PN_LIT("127.0.0.1"), &query->addresses[0]);
    (void)parse_address(PN_LIT("::1"), &query->addresses[1]);
    query->count = 2;
    return true;
}

/* --- c-ares' sockets and time --- */

static void arm_timer(struct pn_resolver *resolver)
{
    struct timeval value;
    const struct timeval *next = ares_timeout(resolver->channel, NULL, &value);

    if (!next) {
        pn_loop_disarm(resolver->loop, &resolver->timer);
        return;
    }
    pn_loop_arm(resolver->loop, &resolver->timer,
                (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

static void on_timer(struct pn_timer *timer)
{
    struct pn_resolver *resolver = timer->ctx;

    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static void on_socket(struct pn_watch *watch, unsigned events)
{
    struct pn_resolver *resolver = watch->ctx;
    int fd = watch->fd;

    ares_process_fd(resolver->channel,
                    events & (PN_LOOP_READ | PN_LOOP_ERROR) ? fd : ARES_SOCKET_BAD,
                    events & (PN_LOOP_WRITE | PN_LOOP_ERROR) ? fd : ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static struct socket_watch *find_socket(struct pn_resolver *resolver, int fd)
{
    for (struct pn_list *at = resolver->sockets.next; at != &resolver->sockets; at = at->next) {
        struct socket_watch *known = PN_CONTAINER(at, struct socket_watch, entry);

        if (known->watch.fd == fd)
            return known;
    }
    return NULL;
}

static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct pn_resolver *resolver = ctx;
    struct socket_watch *known = find_socket(resolver, fd);
    unsigned interest = (readable ? PN_LOOP_READ : 0u) | (writable ? PN_LOOP_WRITE : 0u);

    if (interest == 0) {
        if (!known)
            return;
        pn_loop_unwatch(&known->watch);
        pn_list_remove(&known->entry);
        pn_loop_defer_free(resolver->loop, &known->deferred, free, known);
        return;
    }
    if (known) {
        if (pn_loop_watch_change(&known->watch, interest) != PN_OK)
            pn_log(PN_LOG_ERROR, "dns_watch_failed", NULL);
        return;
    }
    known = calloc(1, sizeof(*known));
    if (!known)
        return; /* the query ends by its timeout */
    if (pn_loop_watch(resolver->loop, &known->watch, fd, interest, PN_WATCH_LEVEL, on_socket,
                      resolver) != PN_OK) {
        free(known);
        return;
    }
    pn_list_push_back(&resolver->sockets, &known->entry);
}

/* --- answers --- */

static void copy_answer(struct pn_resolve *query, struct name *name)
{
    query->turn = name->turn++;
    query->rc = name->rc;
    query->reason = name->reason;
    query->count = name->count;
    memcpy(query->addresses, name->addresses, sizeof(query->addresses));
}

static void keep_addresses(struct name *name, const struct ares_addrinfo *info, uint64_t *ttl_s)
{
    *ttl_s = PN_RESOLVE_TTL_MAX_S;
    name->count = 0;
    for (const struct ares_addrinfo_node *node = info->nodes;
         node && name->count < PN_RESOLVE_ADDRESSES_MAX; node = node->ai_next) {
        if (pn_peer_address_from(node->ai_addr, &name->addresses[name->count]) != PN_OK)
            continue;
        name->addresses[name->count++].port = 0;
        if (node->ai_ttl >= 0 && (uint64_t)node->ai_ttl < *ttl_s)
            *ttl_s = (uint64_t)node->ai_ttl;
    }
    /* Who moves an alias moves the name, whatever its former target says of its own addresses. */
    for (const struct ares_addrinfo_cname *alias = info->cnames; alias; alias = alias->next) {
        if (alias->ttl >= 0 && (uint64_t)alias->ttl < *ttl_s)
            *ttl_s = (uint64_t)alias->ttl;
    }
    if (*ttl_s < PN_RESOLVE_TTL_MIN_S)
        *ttl_s = PN_RESOLVE_TTL_MIN_S;
}

static enum pn_rc status_rc(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return PN_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return PN_NOT_FOUND;
    case ARES_ETIMEOUT:
        return PN_TIMEOUT;
    case ARES_ENOMEM:
        return PN_NOMEM;
    default:
        return PN_UNAVAILABLE;
    }
}

static bool has_stale_addresses(const struct name *name, uint64_t now_ms)
{
    return name->count > 0 && now_ms < name->stale_until_ms;
}

/** The callbacks may ask again, also for this name: the list is taken first. */
static void tell_waiting(struct name *name)
{
    struct pn_list waiting;

    pn_list_init(&waiting);
    while (!pn_list_is_empty(&name->waiting)) {
        struct pn_list *entry = name->waiting.next;

        pn_list_remove(entry);
        pn_list_push_back(&waiting, entry);
    }
    while (!pn_list_is_empty(&waiting)) {
        struct pn_resolve *query = PN_CONTAINER(waiting.next, struct pn_resolve, entry);

        pn_list_remove(&query->entry);
        copy_answer(query, name);
        query->on_done(query);
    }
}

static bool is_known(const struct name *name, uint64_t now_ms)
{
    return name->expires_ms > now_ms;
}

/** For both families. */
static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct name *name = ctx;
    uint64_t ttl_s = PN_RESOLVE_TTL_FAILED_S;
    uint64_t now_ms = pn_loop_now_ms(name->resolver->loop);

    (void)timeouts;
    pn_loop_disarm(name->resolver->loop, &name->patience);
    name->is_asked = false;
    if (now_ms - name->asked_ms < PN_RESOLVE_PATIENCE_MS)
        name->is_lame = false;
    if (status != ARES_SUCCESS && is_known(name, now_ms)) { /* one family has answered */
        ares_freeaddrinfo(info);
        return;
    }
    name->rc = status_rc(status);
    name->reason = ares_strerror(status);
    if (info) {
        keep_addresses(name, info, &ttl_s);
        ares_freeaddrinfo(info);
    }
    if (name->rc == PN_OK && name->count == 0) {
        name->rc = PN_NOT_FOUND;
        name->reason = "the name has no address";
    }
    name->is_stale =
        name->rc != PN_OK && name->rc != PN_NOT_FOUND && has_stale_addresses(name, now_ms);
    if (name->rc == PN_OK) {
        name->stale_until_ms = now_ms + (ttl_s + PN_RESOLVE_STALE_S) * 1000;
    } else if (name->is_stale) {
        /* No server answers: the addresses of before are better than none (RFC 8767). */
        pn_log(PN_LOG_WARN, "dns_stale", "reason", PN_S(name->reason), NULL);
        name->rc = PN_OK;
        name->reason = NULL;
    } else {
        name->count = 0;
    }
    name->expires_ms = now_ms + ttl_s * 1000;
    tell_waiting(name);
}

/** For one family: it counts while there is nothing better. */
static void on_half(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct half *half = ctx;
    struct name *name = half->name;
    uint64_t now_ms = pn_loop_now_ms(name->resolver->loop);
    uint64_t ttl_s = 0;

    (void)timeouts;
    half->is_asked = false;
    if (status == ARES_SUCCESS && info && info->nodes && name->is_asked &&
        !is_known(name, now_ms)) {
        keep_addresses(name, info, &ttl_s);
        name->rc = PN_OK;
        name->reason = NULL;
        name->is_stale = false;
        name->is_lame = true;
        name->expires_ms = now_ms + ttl_s * 1000;
        name->stale_until_ms = name->expires_ms + PN_RESOLVE_STALE_S * 1000;
        tell_waiting(name);
    }
    ares_freeaddrinfo(info);
}

/* --- asking --- */

/** `half` NULL: for both families. */
static void ask(struct name *name, int family, struct half *half)
{
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};

    ares_getaddrinfo(name->resolver->channel, name->text, NULL, &hints, half ? on_half : on_answer,
                     half ? (void *)half : (void *)name);
    arm_timer(name->resolver);
}

static void ask_halves(struct name *name)
{
    static const int families[HALVES] = {[HALF_V4] = AF_INET, [HALF_V6] = AF_INET6};

    for (int i = 0; i < HALVES; i++) {
        if (name->halves[i].is_asked)
            continue;
        name->halves[i].is_asked = true;
        ask(name, families[i], &name->halves[i]);
    }
}

static void on_impatient(struct pn_timer *timer)
{
    ask_halves(timer->ctx);
}

/** What is known is out of date, or nothing is. */
static void ask_both(struct name *name, uint64_t now_ms)
{
    name->is_asked = true;
    name->asked_ms = now_ms;
    ask(name, AF_UNSPEC, NULL);
    if (name->is_asked && !name->is_lame) /* /etc/hosts does not know it */
        pn_loop_arm(name->resolver->loop, &name->patience, PN_RESOLVE_PATIENCE_MS);
}

static void name_free(void *value)
{
    struct name *name = value;

    pn_loop_disarm(name->resolver->loop, &name->patience);
    free(name);
}

static bool is_in_use(const struct name *name)
{
    return name->is_asked || name->halves[HALF_V4].is_asked || name->halves[HALF_V6].is_asked;
}

/** Makes room in the cache: names that are expired and that nobody waits for go. */
static void sweep(struct pn_resolver *resolver)
{
    struct pn_map *kept = pn_map_create(true);
    uint64_t now_ms = pn_loop_now_ms(resolver->loop);
    struct pn_slice key;
    size_t position = 0;
    void *value;

    if (!kept)
        return;
    while (pn_map_next(resolver->names, &position, &key, &value)) {
        const struct name *name = value;

        if ((is_in_use(name) || is_known(name, now_ms)) &&
            pn_map_set(kept, key, value, NULL) != PN_OK) {
            pn_map_destroy(kept, NULL);
            return;
        }
    }
    position = 0;
    while (pn_map_next(resolver->names, &position, &key, &value)) {
        if (!pn_map_get(kept, key))
            name_free(value);
    }
    pn_map_destroy(resolver->names, NULL);
    resolver->names = kept;
}

static struct name *name_get(struct pn_resolver *resolver, struct pn_slice host)
{
    struct name *name = pn_map_get(resolver->names, host);

    if (name)
        return name;
    if (pn_map_count(resolver->names) >= PN_RESOLVE_CACHE_MAX)
        sweep(resolver);
    if (pn_map_count(resolver->names) >= PN_RESOLVE_CACHE_MAX)
        return NULL;
    name = calloc(1, sizeof(*name) + host.len + 1);
    if (!name)
        return NULL;
    name->resolver = resolver;
    memcpy(name->text, host.ptr, host.len);
    for (int i = 0; i < HALVES; i++)
        name->halves[i].name = name;
    pn_timer_init(&name->patience, on_impatient, name);
    pn_list_init(&name->waiting);
    if (pn_map_set(resolver->names, host, name, NULL) != PN_OK) {
        free(name);
        return NULL;
    }
    return name;
}

static enum pn_rc fail(struct pn_resolve *query, enum pn_rc rc, const char *reason)
{
    query->rc = rc;
    query->reason = reason;
    return rc;
}

enum pn_rc pn_resolver_start(struct pn_resolver *resolver, struct pn_resolve *query,
                             struct pn_slice host)
{
    struct name *name;
    uint64_t now_ms = pn_loop_now_ms(resolver->loop);

    pn_list_init(&query->entry);
    query->rc = PN_OK;
    query->reason = NULL;
    query->count = 0;
    if (answer_without_query(query, host))
        return PN_OK;
    if (host.len == 0 || host.len >= NI_MAXHOST)
        return fail(query, PN_NOT_FOUND, "not a host name");
    name = name_get(resolver, host);
    if (!name)
        return fail(query, PN_LIMIT, "too many host names at once");
    if (!name->is_asked && !is_known(name, now_ms))
        ask_both(name, now_ms);
    if (name->is_asked && !is_known(name, now_ms) && name->is_lame)
        ask_halves(name);
    /* It is known, or /etc/hosts knew it; or it has been seen that no server answers, and nobody
     * needs to wait until that is seen once more (RFC 8767 §5). */
    if (!name->is_asked || is_known(name, now_ms) ||
        (name->is_stale && has_stale_addresses(name, now_ms))) {
        copy_answer(query, name);
        return query->rc;
    }
    pn_list_push_back(&name->waiting, &query->entry);
    return PN_AGAIN;
}

void pn_resolve_cancel(struct pn_resolve *query)
{
    if (query->entry.next)
        pn_list_remove(&query->entry);
}

/* --- life --- */

enum pn_rc pn_resolver_create(struct pn_loop *loop, struct pn_resolver **out, struct pn_error *err)
{
    struct pn_resolver *resolver = calloc(1, sizeof(*resolver));
    struct ares_options options = {.timeout = PN_RESOLVE_TIMEOUT_MS,
                                   .tries = PN_RESOLVE_TRIES,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = resolver};
    int status;

    if (!resolver)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the resolver");
    resolver->loop = loop;
    pn_list_init(&resolver->sockets);
    pn_timer_init(&resolver->timer, on_timer, resolver);
    resolver->names = pn_map_create(true);
    status = ares_init_options(&resolver->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    resolver->has_channel = status == ARES_SUCCESS;
    if (resolver->names && resolver->has_channel) {
        *out = resolver;
        return PN_OK;
    }
    pn_resolver_destroy(resolver);
    return pn_error_set(err, PN_IO, "dns_init_failed", "c-ares: %s", ares_strerror(status));
}

enum pn_rc pn_resolver_use_servers(struct pn_resolver *resolver, const char *servers,
                                   struct pn_error *err)
{
    int status = ares_set_servers_ports_csv(resolver->channel, servers);

    if (status == ARES_SUCCESS)
        return PN_OK;
    return pn_error_set(err, PN_INVALID, "dns_servers", "'%s' is no list of name servers: %s",
                        servers, ares_strerror(status));
}

void pn_resolver_destroy(struct pn_resolver *resolver)
{
    if (!resolver)
        return;
    if (resolver->has_channel)
        ares_destroy(resolver->channel);
    pn_loop_disarm(resolver->loop, &resolver->timer);
    pn_map_destroy(resolver->names, name_free);
    pn_outbound_unref(resolver->outbound);
    free(resolver);
}
