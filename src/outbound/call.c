/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers of libcurl: it asks for a socket for each address that it is about to connect to, one
 * after the other, so there is where each is judged. Behind a proxy of the environment that is the
 * proxy's address; the service and its host name count all the same.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "outbound/call.h"

static bool deny(const struct pn_outbound *rules, const struct pn_outbound_target *target,
                 struct pn_error *err)
{
    struct pn_outbound_verdict verdict = pn_outbound_judge(rules, target);
    char words[256];

    if (verdict.is_allowed)
        return false;
    pn_outbound_explain(rules, target, &verdict, words, sizeof words);
    pn_error_set(err, PN_DENIED, "network_rule", "%s", words);
    return true;
}

enum pn_rc pn_outbound_check_service(const struct pn_outbound_scope *scope, const char *url,
                                     enum pn_service_tag service, struct pn_error *err)
{
    struct pn_outbound_target target = {.service = service};
    struct pn_outbound *rules = NULL;
    json_t *place;
    enum pn_rc rc = pn_outbound_rules_now(scope, &rules, err);

    if (rc != PN_OK || !rules)
        return rc;
    place = pn_outbound_place(url);
    target.host = pn_json_slice(place, "host");
    target.port = (uint16_t)pn_json_int(place, "port", 0);
    (void)pn_address_parse(PN_LIT("127.0.0.1"), &target.address);
    if (deny(rules, &target, err))
        rc = PN_DENIED;
    json_decref(place);
    pn_outbound_unref(rules);
    return rc;
}

curl_socket_t pn_outbound_call_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *peer)
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
    if (!deny(call->rules, &call->target, &call->denied))
        return socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
    return CURL_SOCKET_BAD;
}

CURLcode pn_outbound_call_begin(struct pn_outbound_call *call,
                                const struct pn_outbound_scope *scope, CURL *curl, const char *url,
                                enum pn_service_tag service)
{
    struct pn_error err = {0};
    CURLU *parts;
    CURLcode code = CURLE_OK;

    if (!scope)
        return CURLE_OK;
    if (pn_outbound_rules_now(scope, &call->rules, &err) != PN_OK)
        return CURLE_OUT_OF_MEMORY;
    if (!call->rules)
        return CURLE_OK;
    parts = curl_url();
    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &call->host, 0) != CURLUE_OK)
        code = CURLE_URL_MALFORMAT;
    curl_url_cleanup(parts);
    call->target.host = pn_slice_str(call->host ? call->host : "");
    call->target.service = service;
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, pn_outbound_call_socket);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, call);
    return code;
}

void pn_outbound_call_end(struct pn_outbound_call *call)
{
    pn_outbound_unref(call->rules);
    call->rules = NULL;
    curl_free(call->host);
    call->host = NULL;
}
