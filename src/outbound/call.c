/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers of libcurl: it asks for a socket for each address that it is about to connect to, one
 * after the other, so there is where each is judged. Behind a proxy of the environment that is the
 * proxy's address; the service and its host name count all the same.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "outbound/call.h"

static bool deny(const struct pn_outbound *rules, const struct pn_outbound_target *target,
                 char rule[PN_RULE_NAME_MAX + 1], struct pn_error *err)
{
    struct pn_outbound_verdict verdict = pn_outbound_judge(rules, target);
    char words[256];

    if (verdict.is_allowed)
        return false;
    pn_outbound_explain(rules, target, &verdict, words, sizeof words);
    (void)snprintf(rule, PN_RULE_NAME_MAX + 1, "%s", pn_outbound_rule_of(&verdict));
    pn_error_set(err, PN_DENIED, "network_rule", "%s", words);
    return true;
}

enum pn_rc pn_outbound_check_service(const struct pn_outbound_scope *scope, const char *url,
                                     enum pn_service_tag service, bool is_counted,
                                     struct pn_error *err)
{
    struct pn_outbound_target target = {.service = service};
    struct pn_outbound *rules = NULL;
    char rule[PN_RULE_NAME_MAX + 1];
    struct pn_error unseen = {0};
    json_t *place;
    enum pn_rc rc = pn_outbound_rules_now(scope, &rules, err);

    err = err ? err : &unseen;
    if (rc != PN_OK || !rules)
        return rc;
    place = pn_outbound_place(url);
    target.host = pn_json_slice(place, "host");
    target.port = (uint16_t)pn_json_int(place, "port", 0);
    (void)pn_address_parse(PN_LIT("127.0.0.1"), &target.address);
    if (deny(rules, &target, rule, err)) {
        rc = PN_DENIED;
        if (is_counted)
            pn_denial_note(PN_OUTBOUND_AUTHORITY, rule, err->message);
    }
    json_decref(place);
    pn_outbound_unref(rules);
    return rc;
}

/* --- transfers --- */

static bool is_guarded(struct pn_outbound_call *call, const struct pn_address *address)
{
    const char *kind = call->allows_guarded ? NULL : pn_address_is_guarded(address);

    if (!kind)
        return false;
    (void)snprintf(call->rule, sizeof call->rule, "%s", PN_DENIED_GUARDED);
    pn_error_set(&call->denied, PN_DENIED, "address_guarded",
                 "'%.200s' has a %s address, to which no connection is made on behalf of others",
                 call->host, kind);
    return true;
}

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *peer)
{
    struct pn_outbound_call *call = ctx;
    struct sockaddr_storage address = {0};

    (void)purpose;
    /* The address is longer than its first member says: it has addrlen bytes. */
    memcpy(&address, (const char *)peer + offsetof(struct curl_sockaddr, addr),
           peer->addrlen < sizeof address ? peer->addrlen : sizeof address);
    call->target.address = pn_address_of((const struct sockaddr *)&address);
    call->target.port =
        ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&address)->sin6_port
                                            : ((const struct sockaddr_in *)&address)->sin_port);
    if (is_guarded(call, &call->target.address) ||
        (call->rules && deny(call->rules, &call->target, call->rule, &call->denied)))
        return CURL_SOCKET_BAD;
    call->was_allowed = true;
    return socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
}

/* libcurl has written numbers in other forms as addresses by now. */
static CURLcode read_host(struct pn_outbound_call *call, const char *url)
{
    CURLU *parts = curl_url();
    CURLcode code = CURLE_OK;

    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &call->host, 0) != CURLUE_OK)
        code = CURLE_URL_MALFORMAT;
    curl_url_cleanup(parts);
    return code;
}

CURLcode pn_outbound_call_begin(struct pn_outbound_call *call, const struct pn_outbound_spec *spec,
                                CURL *curl)
{
    struct pn_error err = {0};
    struct pn_address literal;
    CURLcode code = read_host(call, spec->url);

    if (code != CURLE_OK)
        return code;
    call->kind = spec->kind;
    call->allows_guarded = spec->allows_guarded;
    call->target.host = pn_slice_str(call->host);
    call->target.service = spec->service;
    if (pn_address_parse_loosely(call->target.host, &literal) && is_guarded(call, &literal))
        return CURLE_COULDNT_CONNECT;
    if (spec->scope && pn_outbound_rules_now(spec->scope, &call->rules, &err) != PN_OK)
        return CURLE_OUT_OF_MEMORY;
    code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, call) : code;
}

bool pn_outbound_call_was_denied(const struct pn_outbound_call *call, CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT && call->denied.rc == PN_DENIED && !call->was_allowed;
}

void pn_outbound_call_end(struct pn_outbound_call *call)
{
    if (call->denied.rc == PN_DENIED && !call->was_allowed)
        pn_denial_note(call->kind, call->rule, call->denied.message);
    pn_outbound_unref(call->rules);
    call->rules = NULL;
    curl_free(call->host);
    call->host = NULL;
}
